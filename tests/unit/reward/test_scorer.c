/* Reward sources: what each of them says about a rollout, how they add up, who they
 * say they are, and which are refused.
 *
 * Reward models are made here: small random classifiers with or without one of the
 * tokenizers of tests/golden/tokenizers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/model/hf_checkpoint.h"
#include "reward/frozen.h"
#include "reward/scorer.h"

#define MODELS "tests/golden/models/"
#define TOKENIZERS "tests/golden/tokenizers/"

enum { N_ROLLOUTS = 3, N_PROMPT = 4, LONGEST = 14, POLICY_VOCAB = 97 };

static char root[] = "/tmp/test_scorer_XXXXXX";
static char model_type[] = "model", rule_type[] = "rule"; /* a config owns its texts */
static char length_name[] = "length", token_count_name[] = "token_count";
static struct reward_source length_rule = {.type = rule_type, .rule = length_name, .weight = 1};

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	struct error err;

	(void)state;
	return file_remove_tree(root, &err) == STATUS_OK ? 0 : -1;
}

/* --- rollouts --- */

struct batch_of_rollouts {
	struct rollout list[N_ROLLOUTS];
	int32_t ids[N_ROLLOUTS][LONGEST];
};

/* Completions of 10, 7 and 4 ids; the first id says how texts differ. */
static void set_rollouts(struct batch_of_rollouts *batch, int32_t first_id)
{
	*batch = (struct batch_of_rollouts){0};
	for (int i = 0; i < N_ROLLOUTS; i++) {
		for (int k = 0; k < LONGEST; k++)
			batch->ids[i][k] = first_id + (i * 5 + k * 3) % 20;
		batch->list[i] = (struct rollout){.step = 1,
						  .row = i,
						  .n_prompt = N_PROMPT,
						  .n_completion = 10 - 3 * i,
						  .ids = batch->ids[i]};
	}
}

static enum status create(struct scorer **scorer, const struct reward_source *sources, int n,
			  const struct tokenizer *policy, int n_vocab, struct error *err)
{
	return scorer_create(scorer, NULL, sources, n, policy, n_vocab, LONGEST, NULL, err);
}

static struct scorer *must_create(const struct reward_source *sources, int n,
				  const struct tokenizer *policy)
{
	struct error err = {""};
	struct scorer *scorer;

	if (create(&scorer, sources, n, policy, POLICY_VOCAB, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return scorer;
}

static void check_refused(const struct reward_source *source, const struct tokenizer *policy,
			  int n_vocab, const char *sentence)
{
	struct error err = {""};
	struct scorer *scorer;

	assert_int_equal(create(&scorer, source, 1, policy, n_vocab, &err), STATUS_BAD_INPUT);
	if (!strstr(err.text, sentence))
		fail_msg("expected \"%s\", found \"%s\"", sentence, err.text);
	scorer_destroy(scorer);
}

/* scores [N_ROLLOUTS] by the sources. */
static void scores_of(const struct reward_source *sources, int n, const struct tokenizer *policy,
		      int32_t first_id, float *scores)
{
	struct scorer *scorer = must_create(sources, n, policy);
	struct batch_of_rollouts batch;

	set_rollouts(&batch, first_id);
	scorer_score(scorer, batch.list, N_ROLLOUTS, NULL);
	for (int i = 0; i < N_ROLLOUTS; i++)
		scores[i] = batch.list[i].score;
	scorer_destroy(scorer);
}

/* --- reward models --- */

static const char llama[] =
	"{\"model_type\": \"llama\", \"architectures\": [\"LlamaForSequenceClassification\"], "
	"\"hidden_size\": 16, \"intermediate_size\": 24, \"num_hidden_layers\": 1, "
	"\"num_attention_heads\": 2, \"vocab_size\": 512, \"max_position_embeddings\": 64, "
	"\"id2label\": {\"0\": \"LABEL_0\"}}";
/* A table of 14 positions, and a window of 14: the policy's longest sequence. */
static const char gpt2_of_14[] =
	"{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2ForSequenceClassification\"], "
	"\"n_embd\": 16, \"n_layer\": 1, \"n_head\": 2, \"vocab_size\": 512, "
	"\"n_positions\": 14, \"id2label\": {\"0\": \"LABEL_0\"}}";
static const char mistral_of_14[] =
	"{\"model_type\": \"mistral\", \"architectures\": "
	"[\"MistralForSequenceClassification\"], "
	"\"hidden_size\": 16, \"intermediate_size\": 24, \"num_hidden_layers\": 1, "
	"\"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"vocab_size\": 512, "
	"\"max_position_embeddings\": 64, \"sliding_window\": 14, "
	"\"id2label\": {\"0\": \"LABEL_0\"}}";

/* A checkpoint in the directory root/name, whose path is the caller's to free. */
static char *save_model(const char *name, const char *config_text, const char *tokenizer_dir,
			const char *const *edits)
{
	struct hf_save_options options = {
		.config_text = config_text, .tokenizer_dir = tokenizer_dir, .edits = edits};
	struct model_config config;
	struct error err = {""};
	char *path = path_join(root, name);
	struct model *model;

	if (hf_parse_config(&config, config_text, strlen(config_text), name, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	model = model_create(&config, false);
	model_init_random(model, 3, .5);
	if (hf_save(model, path, &options, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	model_destroy(model);
	return path;
}

static struct tokenizer *load_tokenizer(const char *dir)
{
	struct tokenizer *tokenizer;
	struct error err = {""};

	if (tokenizer_load(&tokenizer, dir, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return tokenizer;
}

static struct reward_source model_source(char *path)
{
	return (struct reward_source){.type = model_type, .path = path, .weight = 1};
}

static float pooled_score(const char *path, const int32_t *ids, int n, enum pooling pooling)
{
	struct hf_load_options options = {.head = HEAD_SCORE};
	struct error err = {""};
	struct workspace workspace;
	struct model *model;
	float score;
	struct frozen_item item = {
		.ids = ids, .n = n, .n_prompt = N_PROMPT, .scores = &score};

	if (hf_load(&model, path, &options, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	workspace_init(&workspace, NULL);
	frozen_scores(model, &item, 1, pooling, &workspace, NULL);
	workspace_release(&workspace);
	model_destroy(model);
	return score;
}

static float score_of_ids(const char *path, const int32_t *ids, int n)
{
	return pooled_score(path, ids, n, POOLING_LAST_NON_PAD);
}

/* --- rules --- */

static void test_the_length_rule_counts_the_completion(void **state)
{
	float scores[N_ROLLOUTS];

	(void)state;
	scores_of(&length_rule, 1, NULL, 0, scores);
	for (int i = 0; i < N_ROLLOUTS; i++)
		assert_true(scores[i] == (float)(10 - 3 * i));
}

static void test_the_token_count_rule_counts_in_the_completion_alone(void **state)
{
	struct reward_source source = {.type = rule_type, .rule = token_count_name, .weight = 1};
	struct scorer *scorer;
	struct batch_of_rollouts batch;

	(void)state;
	source.token_id = 7;
	set_rollouts(&batch, 20);
	batch.ids[0][0] = batch.ids[0][N_PROMPT - 1] = 7;			   /* prompt */
	batch.ids[0][N_PROMPT] = batch.ids[0][N_PROMPT + 9] = batch.ids[0][6] = 7; /* three */
	batch.ids[1][N_PROMPT + 7] = 7; /* behind the end */
	batch.ids[2][N_PROMPT + 3] = 7; /* the last one */
	scorer = must_create(&source, 1, NULL);
	scorer_score(scorer, batch.list, N_ROLLOUTS, NULL);
	assert_true(batch.list[0].score == 3);
	assert_true(batch.list[1].score == 0);
	assert_true(batch.list[2].score == 1);
	scorer_destroy(scorer);
}

static void test_a_counted_id_outside_the_vocabulary_is_refused(void **state)
{
	struct reward_source source = {
		.type = rule_type, .rule = token_count_name, .weight = 1, .token_id = POLICY_VOCAB};

	(void)state;
	check_refused(&source, NULL, POLICY_VOCAB, "token_id is 97, expected");
}

/* --- several sources --- */

static void test_sources_add_up_by_their_weights(void **state)
{
	static char path[] = MODELS "rm-llama";
	struct reward_source sources[3] = {model_source(path), length_rule, length_rule};
	float model[N_ROLLOUTS], all[N_ROLLOUTS];

	(void)state;
	scores_of(sources, 1, NULL, 0, model);
	sources[0].weight = -2;
	sources[1].weight = .5;
	sources[2].weight = .25;
	scores_of(sources, 3, NULL, 0, all);
	for (int i = 0; i < N_ROLLOUTS; i++) {
		double length = 10 - 3 * i;

		assert_true(model[i] != 0);
		assert_true(all[i] == (float)(-2.0 * model[i] + .5 * length + .25 * length));
	}
}

static void check_other_identity(struct reward_source *changed, const struct scorer *scorer)
{
	struct scorer *other = must_create(changed, 1, NULL);

	assert_string_not_equal(scorer_identity(scorer), scorer_identity(other));
	scorer_destroy(other);
}

static void test_the_identity_names_sources_and_weights(void **state)
{
	static char path[] = MODELS "rm-llama";
	struct reward_source sources[2] = {model_source(path), length_rule}, changed;
	struct scorer *scorer, *again;

	(void)state;
	scorer = must_create(sources, 2, NULL);
	assert_non_null(strstr(scorer_identity(scorer), "model:" MODELS "rm-llama@"));
	assert_non_null(strstr(scorer_identity(scorer), "; rule:length*1"));
	assert_true(scorer_bytes(scorer).filled > 0);
	assert_int_equal(scorer_bytes(scorer).mapped, 0);
	scorer_destroy(scorer);

	scorer = must_create(sources, 1, NULL);
	again = must_create(sources, 1, NULL);
	assert_string_equal(scorer_identity(scorer), scorer_identity(again));
	changed = sources[0];
	changed.weight = 1.5;
	check_other_identity(&changed, scorer);
	changed.weight = 1.0000001; /* a small change is a change */
	check_other_identity(&changed, scorer);
	scorer_destroy(scorer);
	scorer_destroy(again);
}

static void test_the_identity_of_a_count_names_its_id(void **state)
{
	struct reward_source source = {
		.type = rule_type, .rule = token_count_name, .weight = 1, .token_id = 7};
	struct scorer *scorer = must_create(&source, 1, NULL);

	(void)state;
	source.token_id = 8;
	check_other_identity(&source, scorer);
	scorer_destroy(scorer);
}

/* --- normalised scores --- */

static void test_normalised_scores_use_the_moments_of_the_config(void **state)
{
	static const char *const edits[] = {"reward_mean", "0.25", "reward_std", "1.5", NULL};
	char *path = save_model("moments", llama, NULL, edits);
	struct reward_source source = model_source(path);
	float plain[N_ROLLOUTS], normalised[N_ROLLOUTS];
	struct scorer *scorer = must_create(&source, 1, NULL);

	(void)state;
	scores_of(&source, 1, NULL, 0, plain);
	source.normalise = true;
	check_other_identity(&source, scorer);
	scores_of(&source, 1, NULL, 0, normalised);
	for (int i = 0; i < N_ROLLOUTS; i++)
		assert_true(normalised[i] == (float)((plain[i] - .25) / 1.5));
	scorer_destroy(scorer);
	scorer = must_create(&source, 1, NULL);
	assert_non_null(strstr(scorer_identity(scorer), "*1,normalised(0.25,1.5)"));
	scorer_destroy(scorer);
	free(path);
}

static void test_moments_that_are_missing_or_not_positive_are_refused(void **state)
{
	static const char *const no_deviation[] = {"reward_mean", "0", NULL};
	static const char *const zero[] = {"reward_mean", "0", "reward_std", "0", NULL};
	static const char *const tiny[] = {"reward_mean", "0", "reward_std", "1e-320", NULL};
	static char path[] = MODELS "rm-llama";
	struct reward_source source = model_source(path);
	char *made;

	(void)state;
	source.normalise = true;
	check_refused(&source, NULL, POLICY_VOCAB, "reward_mean is missing");
	made = save_model("no_deviation", llama, NULL, no_deviation);
	source.path = made;
	check_refused(&source, NULL, POLICY_VOCAB, "reward_std is missing");
	free(made);
	made = save_model("zero", llama, NULL, zero);
	source.path = made;
	check_refused(&source, NULL, POLICY_VOCAB, "reward_std is 0, expected at least 1e-30");
	free(made);
	made = save_model("tiny", llama, NULL, tiny);
	source.path = made;
	check_refused(&source, NULL, POLICY_VOCAB, "reward_std is 9.99989e-321, expected at least 1e-30");
	free(made);
}

static void test_moments_of_openrlhf_are_read(void **state)
{
	static const char *const edits[] = {"mean", "-2", "std", "0.5", "normalize_reward", "true",
					    NULL};
	char *path = save_model("openrlhf", llama, NULL, edits);
	struct reward_source source = model_source(path);
	float plain[N_ROLLOUTS], normalised[N_ROLLOUTS];

	(void)state;
	scores_of(&source, 1, NULL, 0, plain);
	source.normalise = true;
	scores_of(&source, 1, NULL, 0, normalised);
	for (int i = 0; i < N_ROLLOUTS; i++)
		assert_true(normalised[i] == (float)((plain[i] + 2) / .5));
	free(path);
}

/* --- pooling --- */

/* The pad and the end token are ids of the completions, so that every rule reads another
 * position. */
static void test_a_source_pools_as_it_says(void **state)
{
	static const char *const edits[] = {"pad_token_id", "9", "eos_token_id", "3", NULL};
	static char names[][16] = {"last-non-pad", "last", "first-pad", "eos"};
	char *path = save_model("pooling", llama, NULL, edits);
	struct reward_source source = model_source(path);
	struct scorer *scorer = must_create(&source, 1, NULL);
	struct batch_of_rollouts batch;

	(void)state;
	for (int k = 0; k < 4; k++) {
		struct scorer *other;
		enum pooling pooling;

		source.pooling = names[k];
		assert_true(pooling_parse(names[k], &pooling));
		other = must_create(&source, 1, NULL);
		set_rollouts(&batch, 0);
		batch.ids[0][13] = 9;
		batch.ids[0][9] = 9;
		batch.ids[0][6] = 3;
		scorer_score(other, batch.list, N_ROLLOUTS, NULL);
		for (int i = 0; i < N_ROLLOUTS; i++)
			assert_true(batch.list[i].score ==
				    pooled_score(path, batch.ids[i],
						 N_PROMPT + batch.list[i].n_completion, pooling));
		if (k == 0)
			assert_string_equal(scorer_identity(scorer), scorer_identity(other));
		else
			assert_string_not_equal(scorer_identity(scorer), scorer_identity(other));
		scorer_destroy(other);
	}
	scorer_destroy(scorer);
	free(path);
}

/* --- refusals --- */

static void test_a_language_model_is_not_a_reward_model(void **state)
{
	static char path[] = MODELS "llama-gqa";
	struct reward_source source = model_source(path);

	(void)state;
	check_refused(&source, NULL, POLICY_VOCAB, path);
}

static void test_a_classifier_of_two_labels_is_refused(void **state)
{
	char *text = xstrdup(llama), *labels = strstr(text, "LABEL_0\"}");
	struct reward_source source;
	char *path;

	(void)state;
	labels[8] = ' '; /* in place of the brackets comes another label */
	labels[9] = 0;
	path = xasprintf("%s, \"1\": \"LABEL_1\"}}", text);
	free(text);
	text = path;
	path = save_model("two_labels", text, NULL, NULL);
	source = model_source(path);
	check_refused(&source, NULL, POLICY_VOCAB, "has 2");
	free(path);
	free(text);
}

static void test_a_head_of_zeros_is_refused(void **state)
{
	char *path = save_model("zero_head", llama, NULL, NULL);
	struct hf_load_options options = {.head = HEAD_SCORE};
	struct hf_save_options save = {.source_dir = path};
	struct reward_source source = model_source(path);
	struct model *model = NULL;
	struct error err;

	(void)state;
	assert_int_equal(hf_load(&model, path, &options, NULL, &err), STATUS_OK);
	memset(model_view(model, model->weights, PARAM_SCORE_WEIGHT, -1), 0, 16 * sizeof(float));
	assert_int_equal(hf_save(model, path, &save, &err), STATUS_OK);
	check_refused(&source, NULL, POLICY_VOCAB, "zero_head: not a reward model: its head is all zeros");
	model_destroy(model);
	free(path);
}

static void test_fewer_vocabulary_rows_than_the_policy_has_are_refused(void **state)
{
	static char path[] = MODELS "rm-llama";
	struct reward_source source = model_source(path);

	(void)state;
	check_refused(&source, NULL, POLICY_VOCAB + 1, "has 97 vocabulary rows, the policy has 98");
}

static void test_fewer_positions_than_the_policy_needs_are_refused(void **state)
{
	char *path = save_model("positions", gpt2_of_14, NULL, NULL);
	struct reward_source source = model_source(path);
	struct error err = {""};
	struct scorer *scorer;

	(void)state;
	assert_int_equal(scorer_create(&scorer, NULL, &source, 1, NULL, POLICY_VOCAB, 15, NULL,
				       &err),
			 STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "learned positions"));
	scorer_destroy(scorer);
	free(path);
}

static void test_a_tokenizer_on_one_side_only_is_refused(void **state)
{
	static char without[] = MODELS "rm-llama";
	char *with = save_model("with", llama, TOKENIZERS "byte_level", NULL);
	struct reward_source source = model_source(without);
	struct tokenizer *policy = load_tokenizer(TOKENIZERS "byte_level");

	(void)state;
	check_refused(&source, policy, POLICY_VOCAB, "the reward model has none");
	source = model_source(with);
	check_refused(&source, NULL, POLICY_VOCAB, "the policy has none");
	tokenizer_destroy(policy);
	free(with);
}

static void test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(void **state)
{
	char *text = xstrdup(llama), *path;
	struct reward_source source;
	struct tokenizer *policy = load_tokenizer(TOKENIZERS "byte_fallback");

	(void)state;
	memcpy(strstr(text, "512"), "256", 3);
	path = save_model("few_rows", text, TOKENIZERS "byte_level", NULL);
	source = model_source(path);
	check_refused(&source, policy, POLICY_VOCAB, "256 vocabulary rows");
	tokenizer_destroy(policy);
	free(path);
	free(text);
}

/* --- tokenizers --- */

static void test_the_same_tokenizer_reads_the_policys_ids(void **state)
{
	char *path = save_model("same", llama, TOKENIZERS "byte_level", NULL);
	struct tokenizer *policy = load_tokenizer(TOKENIZERS "byte_level");
	struct reward_source source = model_source(path);
	struct batch_of_rollouts batch;
	float scores[N_ROLLOUTS];

	(void)state;
	scores_of(&source, 1, policy, 60, scores);
	set_rollouts(&batch, 60);
	for (int i = 0; i < N_ROLLOUTS; i++)
		assert_true(scores[i] == score_of_ids(path, batch.ids[i], 14 - 3 * i));
	tokenizer_destroy(policy);
	free(path);
}

/* The policy's ids are letters, or words where they begin at 292, of byte_fallback; the
 * model reads byte_level's ids of the text, the last most of them. */
static void check_text(const char *name, const char *config_text, int32_t first_id, size_t most,
		       bool is_cut)
{
	char *path = save_model(name, config_text, TOKENIZERS "byte_level", NULL);
	struct tokenizer *policy = load_tokenizer(TOKENIZERS "byte_fallback");
	struct tokenizer *own = load_tokenizer(TOKENIZERS "byte_level");
	struct reward_source source = model_source(path);
	struct batch_of_rollouts batch;
	float scores[N_ROLLOUTS];
	bool was_cut = false;

	scores_of(&source, 1, policy, first_id, scores);
	set_rollouts(&batch, first_id);
	for (int i = 0; i < N_ROLLOUTS; i++) {
		struct buf text = BUF_INIT;
		struct ids ids = {0};
		size_t cut;

		tokenizer_decode(policy, batch.ids[i], (size_t)(14 - 3 * i), true, &text);
		tokenizer_encode(own, text.data, text.length, true, &ids);
		cut = ids.n > most ? ids.n - most : 0;
		was_cut = was_cut || cut > 0;
		assert_true(scores[i] == score_of_ids(path, ids.data + cut, (int)(ids.n - cut)));
		assert_true(scores[i] != score_of_ids(path, batch.ids[i], 14 - 3 * i));
		ids_release(&ids);
		buf_release(&text);
	}
	assert_true(was_cut == is_cut);
	tokenizer_destroy(own);
	tokenizer_destroy(policy);
	free(path);
}

static void test_another_tokenizer_reads_the_text(void **state)
{
	(void)state;
	check_text("text", llama, 262, 1000, false);
}

static void test_a_rotary_model_reads_a_text_beyond_its_positions_whole(void **state)
{
	char *text = xstrdup(llama);

	(void)state;
	memcpy(strstr(text, ": 64"), ": 14", 4);
	check_text("rotary", text, 293, 1000, false);
	check_text("window", mistral_of_14, 293, 1000, false);
	free(text);
}

static void test_a_text_too_long_for_the_model_is_read_from_its_end(void **state)
{
	(void)state;
	check_text("learned", gpt2_of_14, 293, 14, true);
}

/* What is read is the model's end token, or id 0 if it has none. */
static void check_nothing(const char *const *edits, int32_t expected)
{
	char *path = save_model("nothing", llama, TOKENIZERS "byte_level", edits);
	struct tokenizer *policy = load_tokenizer(TOKENIZERS "byte_fallback");
	struct reward_source source = model_source(path);
	struct scorer *scorer = must_create(&source, 1, policy);
	int32_t end = 2; /* byte_fallback's </s> */
	struct rollout rollout = {.ids = &end, .n_prompt = 0, .n_completion = 1};

	scorer_score(scorer, &rollout, 1, NULL);
	assert_true(rollout.score == score_of_ids(path, &expected, 1));
	scorer_destroy(scorer);
	tokenizer_destroy(policy);
	free(path);
}

static void test_a_text_of_nothing_has_a_score(void **state)
{
	static const char *const none[] = {"eos_token_id", "null", NULL};
	static const char *const other[] = {"eos_token_id", "7", NULL};

	(void)state;
	check_nothing(none, 0);
	check_nothing(other, 7);
	check_nothing(NULL, 2); /* Llama's default */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_length_rule_counts_the_completion),
		cmocka_unit_test(test_the_token_count_rule_counts_in_the_completion_alone),
		cmocka_unit_test(test_a_counted_id_outside_the_vocabulary_is_refused),
		cmocka_unit_test(test_sources_add_up_by_their_weights),
		cmocka_unit_test(test_the_identity_names_sources_and_weights),
		cmocka_unit_test(test_the_identity_of_a_count_names_its_id),
		cmocka_unit_test(test_normalised_scores_use_the_moments_of_the_config),
		cmocka_unit_test(test_moments_that_are_missing_or_not_positive_are_refused),
		cmocka_unit_test(test_moments_of_openrlhf_are_read),
		cmocka_unit_test(test_a_source_pools_as_it_says),
		cmocka_unit_test(test_a_language_model_is_not_a_reward_model),
		cmocka_unit_test(test_a_classifier_of_two_labels_is_refused),
		cmocka_unit_test(test_a_head_of_zeros_is_refused),
		cmocka_unit_test(test_fewer_vocabulary_rows_than_the_policy_has_are_refused),
		cmocka_unit_test(test_fewer_positions_than_the_policy_needs_are_refused),
		cmocka_unit_test(test_a_tokenizer_on_one_side_only_is_refused),
		cmocka_unit_test(test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused),
		cmocka_unit_test(test_the_same_tokenizer_reads_the_policys_ids),
		cmocka_unit_test(test_another_tokenizer_reads_the_text),
		cmocka_unit_test(test_a_rotary_model_reads_a_text_beyond_its_positions_whole),
		cmocka_unit_test(test_a_text_too_long_for_the_model_is_read_from_its_end),
		cmocka_unit_test(test_a_text_of_nothing_has_a_score),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}

/* Score heads as each program writes them: one reward model, renamed, must load to the
 * same weights and be saved in the layout of transformers. */
#include "common/model/hf_families.h"
#include "tests/unit/common/model/made_checkpoints.h"

/* Puts lead in front of every tensor's name but the head's, without skip in front. */
static void rename_backbone(struct store *store, const char *skip, const char *lead)
{
	for (int i = 0; i < store->n; i++) {
		char *name = store->items[i].name, old[160];
		const char *rest = old;

		memcpy(old, name, sizeof old);
		if (strncmp(old, "score.", 6) == 0)
			continue;
		if (strncmp(rest, skip, strlen(skip)) == 0)
			rest += strlen(skip);
		snprintf(name, sizeof store->items[i].name, "%s%.140s", lead, rest);
	}
}

static void rename_head(struct store *store, const char *name)
{
	snprintf(stored(store, "score.weight")->name, sizeof store->items->name, "%s", name);
}

/* Loads dir, which must have the weights of the golden reward model; a bias is the last of
 * them.  Saved, it must be what transformers reads. */
static void check_loads_as(const char *golden, const float *bias, struct model **out)
{
	struct hf_save_options options = {.source_dir = dir};
	struct model *expected = load(golden, HEAD_SCORE), *model = load(dir, HEAD_SCORE), *again;
	const float *found = model_view(model, model->weights, PARAM_SCORE_BIAS, -1);
	struct buf text;

	assert_int_equal(model->config.n_labels, expected->config.n_labels);
	assert_memory_equal(model->weights, expected->weights,
			    expected->layout.n_floats * sizeof *model->weights);
	assert_true(!found == !bias);
	if (bias)
		assert_true(*found == *bias);
	save(model, &options);
	again = load(saved, HEAD_SCORE);
	assert_same_weights(model, again);
	read_bytes(saved, "config.json", &text);
	assert_non_null(strstr(text.data, expected->config.family->score_architecture));
	buf_release(&text);
	model_destroy(expected);
	model_destroy(again);
	if (out)
		*out = model;
	else
		model_destroy(model);
}

static void start_from(struct store *store, const char *golden)
{
	copy(golden, "config.json");
	read_store(store, golden);
}

static void append_bias(struct store *store, const char *name, float bias)
{
	static const int64_t one = 1;

	append(store, name, "F32", 1, &one, &bias, sizeof bias);
}

static void test_heads_of_each_name_load(void **state)
{
	static const char *const names[] = {"v_head.weight",	     "value_head.weight",
					    "v_head.summary.weight", "scalar_head.weight",
					    "classifier.weight",     "reward.weight"};
	static const float bias = -0.25f;

	(void)state;
	for (int with_bias = 0; with_bias < 2; with_bias++)
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			struct store store;
			char name[100];

			start_from(&store, "rm-llama");
			edit_config("value_head_prefix", "\"reward\"");
			rename_head(&store, names[i]);
			snprintf(name, sizeof name, "%.*s.bias", (int)strlen(names[i]) - 7,
				 names[i]);
			if (with_bias)
				append_bias(&store, name, bias);
			finish_store(&store);
			check_loads_as(MODELS "rm-llama", with_bias ? &bias : NULL, NULL);
		}
}

static void test_the_prefix_of_the_config_must_be_there_to_count(void **state)
{
	struct store store;

	(void)state;
	start_from(&store, "rm-llama");
	rename_head(&store, "reward.weight");
	finish_store(&store);
	assert_refused(HEAD_SCORE, "not a reward model: its head, score.weight, is missing");
	edit_config("value_head_prefix", "7");
	assert_refused(HEAD_SCORE, "not a reward model: its head, score.weight, is missing");
}

static void test_backbones_of_each_wrapper_load(void **state)
{
	static const char *const leads[] = {"rwtransformer.", "lm_backbone.", "base_model.",
					    "transformer."};
	static const struct {
		const char *golden, *prefix;
	} models[] = {{"rm-llama", "model."}, {"rm-gpt2", "transformer."}};

	(void)state;
	for (int m = 0; m < 2; m++)
		for (size_t i = 0; i < sizeof leads / sizeof *leads; i++)
			for (int bare = 0; bare < 2; bare++) {
				struct store store;
				char golden[60];

				snprintf(golden, sizeof golden, MODELS "%s", models[m].golden);
				start_from(&store, models[m].golden);
				rename_backbone(&store, bare ? models[m].prefix : "", leads[i]);
				rename_head(&store, "v_head.weight");
				finish_store(&store);
				check_loads_as(golden, NULL, NULL);
			}
}

static void test_openrlhf_classes_need_a_known_type(void **state)
{
	static const char *const classes[] = {"[\"RewardModel\"]", "[\"CriticModel\"]",
					      "[\"LlamaForTokenClassification\"]",
					      "[\"LLMForSequenceRegression\"]"};

	(void)state;
	for (int i = 0; i < 4; i++) {
		copy("rm-llama", "config.json");
		copy("rm-llama", "model.safetensors");
		edit_config("architectures", classes[i]);
		edit_config("id2label", NULL);
		check_loads_as(MODELS "rm-llama", NULL, NULL);
		assert_refused(HEAD_LM, "a sequence classifier");
	}
	edit_config("model_type", "\"unheard\"");
	assert_refused(HEAD_SCORE, "model_type \"unheard\"");
}

/* A whole language model with a value head beside it. */
static void test_a_language_model_with_a_value_head_is_both(void **state)
{
	static const int64_t shape[] = {1, 32}, one = 1;
	struct hf_load_options create = {.head = HEAD_SCORE, .create_score = true};
	float head[32], bias = 0.5f;
	struct store store;
	struct model *model, *plain = load(MODELS "llama-gqa", HEAD_LM);
	struct model *critic = NULL;
	struct error err;

	(void)state;
	for (int i = 0; i < 32; i++)
		head[i] = (float)i;
	start_from(&store, "llama-gqa");
	append(&store, "v_head.summary.weight", "F32", 2, shape, head, sizeof head);
	append(&store, "v_head.summary.bias", "F32", 1, &one, &bias, sizeof bias);
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_same_weights(model, plain);
	model_destroy(model);
	model = load(dir, HEAD_SCORE);
	assert_int_equal(model->config.n_labels, 1);
	assert_memory_equal(model_view(model, model->weights, PARAM_SCORE_WEIGHT, -1), head,
			    sizeof head);
	assert_int_equal(hf_load(&critic, dir, &create, NULL, &err), STATUS_OK);
	assert_same_weights(model, critic);
	model_destroy(model);
	model_destroy(critic);
	model_destroy(plain);
}

static void test_heads_of_several_layers_are_refused(void **state)
{
	static const int64_t shape[] = {64, 32};
	static const char *const names[] = {"v_head.0.weight", "score.dense.weight",
					    "classifier.out_proj.weight",
					    "base_model.v_head.2.weight"};

	(void)state;
	for (int i = 0; i < 4; i++) {
		float values[64 * 32] = {0};
		struct store store;

		start_from(&store, "rm-llama");
		drop(&store, "score.weight");
		if (i == 3)
			rename_backbone(&store, "", "base_model.");
		append(&store, names[i], "F32", 2, shape, values, sizeof values);
		finish_store(&store);
		assert_refused(HEAD_SCORE, "heads of several layers are not supported");
		assert_refused(HEAD_SCORE, names[i]);
	}
}

static void test_a_wrapped_config_is_unwrapped_and_its_bias_subtracted(void **state)
{
	struct store store;
	struct buf base, text = BUF_INIT;
	float bias = -1.5f;
	struct model *model;

	(void)state;
	read_bytes(MODELS "rm-llama", "config.json", &base);
	buf_printf(&text,
		   "{\"architectures\": [\"ScalarModel\"], \"base_config\": %s, \"bias\": 1.75, "
		   "\"hidden_size\": 32, \"model_type\": \"\"}",
		   base.data);
	write_bytes(dir, "config.json", text.data, text.length);
	read_store(&store, "rm-llama");
	rename_backbone(&store, "model.", "lm_backbone.");
	rename_head(&store, "scalar_head.weight");
	append_bias(&store, "scalar_head.bias", 0.25f);
	finish_store(&store);
	check_loads_as(MODELS "rm-llama", &bias, &model);
	model_destroy(model);
	/* What was saved is the inner text. */
	assert_same_file(MODELS "rm-llama", saved, "config.json");
	edit_config("bias", "\"x\"");
	assert_refused(HEAD_SCORE, "config.json: bias is a string, expected a number");
	buf_release(&base);
	buf_release(&text);
}

static void test_labels_are_as_many_as_the_head_has_rows_unless_said(void **state)
{
	static const int64_t shape[] = {3, 32};
	float head[3 * 32] = {1, 2, 3};
	struct store store;
	struct model *model;

	(void)state;
	start_from(&store, "rm-llama");
	drop(&store, "score.weight");
	append(&store, "score.weight", "F32", 2, shape, head, sizeof head);
	finish_store(&store);
	assert_refused(HEAD_SCORE, "shape of score.weight is [3, 32], expected [1, 32]");
	edit_config("id2label", NULL);
	edit_config("num_labels", "2");
	assert_refused(HEAD_SCORE, "shape of score.weight is [3, 32], expected [2, 32]");
	edit_config("num_labels", NULL);
	model = load(dir, HEAD_SCORE);
	assert_int_equal(model->config.n_labels, 3);
	model_destroy(model);
}

/* Two numbers of labels: transformers 4 takes the names, 5 num_labels.  What is saved has
 * one, and keeps the names that are right. */
static void test_the_head_tells_which_number_of_labels_holds(void **state)
{
	static const struct {
		const char *names, *number, *saved_names;
	} cases[] = {
		{"{\"0\": \"a\", \"1\": \"b\"}", "1", "\"id2label\": {\"0\": \"LABEL_0\"}"},
		{"{\"0\": \"a\"}", "2", "\"id2label\": {\"0\": \"a\"}"},
	};
	struct hf_save_options options = {.source_dir = dir};

	(void)state;
	copy("rm-llama", "model.safetensors");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct model *model;
		struct buf text;

		copy("rm-llama", "config.json");
		edit_config("id2label", cases[i].names);
		edit_config("num_labels", cases[i].number);
		model = load(dir, HEAD_SCORE);
		assert_int_equal(model->config.n_labels, 1);
		save(model, &options);
		read_bytes(saved, "config.json", &text);
		assert_non_null(strstr(text.data, "\"num_labels\": 1"));
		assert_non_null(strstr(text.data, cases[i].saved_names));
		buf_release(&text);
		model_destroy(model);
	}
	edit_config("num_labels", "3");
	edit_config("id2label", "{\"0\": \"a\", \"1\": \"b\"}");
	assert_refused(HEAD_SCORE, "shape of score.weight is [1, 32], expected [2, 32]");
}

static void test_a_head_of_another_width_or_type_is_refused(void **state)
{
	static const int64_t wide[] = {1, 33}, flat[] = {32}, good[] = {1, 32};
	float head[33] = {0};
	struct store store;

	(void)state;
	start_from(&store, "rm-llama");
	drop(&store, "score.weight");
	append(&store, "v_head.weight", "F32", 2, wide, head, sizeof head);
	write_store(&store, "model.safetensors");
	assert_refused(HEAD_SCORE, "shape of v_head.weight is [1, 33], expected [1, 32]");
	drop(&store, "v_head.weight");
	append(&store, "v_head.weight", "F32", 1, flat, head, 32 * sizeof *head);
	write_store(&store, "model.safetensors");
	assert_refused(HEAD_SCORE, "shape of v_head.weight is [32], expected [1, 32]");
	drop(&store, "v_head.weight");
	append(&store, "v_head.weight", "I32", 2, good, head, 32 * sizeof *head);
	finish_store(&store);
	assert_refused(HEAD_SCORE, "unsupported type of v_head.weight");
}

static void test_an_old_name_of_a_norms_parts_is_read(void **state)
{
	struct store store;
	struct model *model, *expected = load(MODELS "gpt2", HEAD_LM);

	(void)state;
	start_from(&store, "gpt2");
	snprintf(stored(&store, "transformer.ln_f.weight")->name, sizeof store.items->name,
		 "transformer.ln_f.gamma");
	snprintf(stored(&store, "transformer.h.0.ln_1.bias")->name, sizeof store.items->name,
		 "transformer.h.0.ln_1.beta");
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_same_weights(model, expected);
	model_destroy(model);
	model_destroy(expected);
}

static void test_a_tied_model_may_store_its_output_matrix_alone(void **state)
{
	struct store store;
	struct model *model, *expected = load(MODELS "gpt2", HEAD_LM);

	(void)state;
	start_from(&store, "gpt2");
	snprintf(stored(&store, "transformer.wte.weight")->name, sizeof store.items->name,
		 "lm_head.weight");
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_true(model->config.tied);
	assert_same_weights(model, expected);
	model_destroy(model);
	model_destroy(expected);
	edit_config("tie_word_embeddings", "false");
	assert_refused(HEAD_LM, "missing transformer.wte.weight");
}

#define CASE(test) cmocka_unit_test_setup(test, start_afresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_heads_of_each_name_load),
		CASE(test_the_prefix_of_the_config_must_be_there_to_count),
		CASE(test_backbones_of_each_wrapper_load),
		CASE(test_openrlhf_classes_need_a_known_type),
		CASE(test_a_language_model_with_a_value_head_is_both),
		CASE(test_heads_of_several_layers_are_refused),
		CASE(test_a_wrapped_config_is_unwrapped_and_its_bias_subtracted),
		CASE(test_labels_are_as_many_as_the_head_has_rows_unless_said),
		CASE(test_the_head_tells_which_number_of_labels_holds),
		CASE(test_a_head_of_another_width_or_type_is_refused),
		CASE(test_an_old_name_of_a_norms_parts_is_read),
		CASE(test_a_tied_model_may_store_its_output_matrix_alone),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}

/* Frozen models have the bits of those that are loaded whole: hidden states, outputs and
 * the hash of their weights; and they are as large as their weights. */
#include <unistd.h>

#include "common/base/hash.h"
#include "common/model/head.h"
#include "common/model/hf_frozen.h"
#include "common/model/transformer.h"
#include "tests/unit/common/model/made_checkpoints.h"

enum { N_IDS = 12 };

/* A frozen model and its memory. */
struct ice {
	struct hf_frozen frozen;
	float *memory;
	struct model *model;
};

static void freeze(struct ice *ice, const char *path, enum head_kind head, enum weight_type type)
{
	struct error err = {""};

	if (hf_frozen_describe(&ice->frozen, path, head, type, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	ice->memory = xaligned(hf_frozen_floats(&ice->frozen), sizeof *ice->memory);
	if (hf_frozen_fill(&ice->frozen, ice->memory, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	ice->model = hf_frozen_model(&ice->frozen, ice->memory);
}

static void melt(struct ice *ice)
{
	model_destroy(ice->model);
	free(ice->memory);
}

/* Outputs at every position: logits or scores. */
static float *run(const struct model *model, size_t *n)
{
	int32_t ids[N_IDS];
	int offsets[2] = {0, N_IDS}, c = model->config.n_channels;
	struct batch batch = {.ids = ids, .offsets = offsets, .n_seqs = 1};
	bool is_lm = model->config.head == HEAD_LM;
	int width = is_lm ? model->config.n_vocab : model->config.n_labels;
	float *hidden = xcalloc((size_t)N_IDS * (size_t)c, sizeof *hidden), *out;
	struct arena arena;

	for (int i = 0; i < N_IDS; i++)
		ids[i] = (i * 7 + 3) % model->config.n_vocab;
	*n = (size_t)N_IDS * (size_t)width;
	out = xcalloc(*n, sizeof *out);
	arena_init(&arena);
	transformer_forward(model, &batch, hidden, NULL, &arena, NULL);
	if (is_lm)
		head_logits(model, hidden, N_IDS, out, &arena, NULL);
	else
		head_score(model, hidden, NULL, N_IDS, out, &arena, NULL);
	arena_release(&arena);
	free(hidden);
	return out;
}

/* What multiplies, to the nearest bfloat16. */
static void round_products(struct model *model)
{
	for (int i = 0; i < model->layout.n; i++) {
		const struct param *param = &model->layout.items[i];
		size_t n = (size_t)param->rows * (size_t)param->cols;
		uint16_t *rounded;

		if (param->packed_offset == SIZE_MAX)
			continue;
		rounded = xcalloc(n, sizeof *rounded);
		dtype_from_float(DTYPE_BF16, model->weights + param->offset, n, rounded);
		dtype_to_float(DTYPE_BF16, rounded, n, model->weights + param->offset);
		free(rounded);
	}
}

static void check_bf16_bits(const char *path, enum head_kind head, const char *identity)
{
	struct model *whole = load(path, head);
	struct ice ice;
	size_t n, n_frozen;
	float *expected, *found;

	round_products(whole);
	freeze(&ice, path, head, WEIGHTS_BF16);
	expected = run(whole, &n);
	found = run(ice.model, &n_frozen);
	assert_int_equal(n, n_frozen);
	if (memcmp(expected, found, n * sizeof *found) != 0)
		fail_msg("%s: bfloat16 weights have other outputs than rounded ones", path);
	assert_string_equal(hf_frozen_identity(&ice.frozen, ice.memory), identity);
	free(expected);
	free(found);
	melt(&ice);
	model_destroy(whole);
}

/* SHA-256 of the checksums of all rows. */
static void identify(const struct model *whole, char identity[65])
{
	struct sha256 sha;

	sha256_init(&sha);
	for (int i = 0; i < whole->layout.n; i++) {
		const struct param *param = &whole->layout.items[i];
		size_t bytes = (size_t)param->cols * sizeof(float);

		for (int r = 0; r < param->rows; r++) {
			const char *row = (const char *)(whole->weights + param->offset);
			uint32_t sum = htole32(crc32c(0, row + (size_t)r * bytes, bytes));

			sha256_update(&sha, &sum, sizeof sum);
		}
	}
	sha256_final_hex(&sha, identity);
}

static void check_bits(const char *path, enum head_kind head)
{
	struct model *whole = load(path, head);
	struct ice ice;
	size_t n, n_frozen;
	float *expected, *found;
	char identity[65];

	freeze(&ice, path, head, WEIGHTS_F32);
	expected = run(whole, &n);
	found = run(ice.model, &n_frozen);
	assert_int_equal(n, n_frozen);
	if (memcmp(expected, found, n * sizeof *found) != 0)
		fail_msg("%s: a frozen model has other outputs", path);
	identify(whole, identity);
	assert_string_equal(hf_frozen_identity(&ice.frozen, ice.memory), identity);
	assert_true(hf_frozen_floats(&ice.frozen) <
		    whole->layout.n_floats + whole->layout.n_packed_floats);
	check_bf16_bits(path, head, identity);
	free(expected);
	free(found);
	melt(&ice);
	model_destroy(whole);
}

static void check_lm(const char *name)
{
	char path[200];

	snprintf(path, sizeof path, MODELS "%.100s", name);
	check_bits(path, HEAD_LM);
}

static void check_classifier(const char *name)
{
	char path[200];

	snprintf(path, sizeof path, MODELS "%.100s", name);
	check_bits(path, HEAD_SCORE);
}

static void test_frozen_models_have_the_bits_of_whole_ones(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_lm) > 0);
	assert_true(for_each_model(true, "config.json", check_classifier) > 0);
}

/* More rows than a slice has, and columns that leave a remainder. */
static void test_large_tensors_are_filled_in_slices(void **state)
{
	static const char text[] =
		"{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], "
		"\"hidden_size\": 1000, \"intermediate_size\": 8, \"num_hidden_layers\": 1, "
		"\"num_attention_heads\": 10, \"vocab_size\": 4301, "
		"\"max_position_embeddings\": 32, \"tie_word_embeddings\": %s}";

	(void)state;
	for (int tied = 0; tied < 2; tied++) {
		char config_text[400];
		struct hf_save_options options = {.config_text = config_text};
		struct model_config config;
		struct model *model;
		struct error err = {""};

		snprintf(config_text, sizeof config_text, text, tied ? "true" : "false");
		assert_int_equal(
			hf_parse_config(&config, config_text, strlen(config_text), "text", &err),
			STATUS_OK);
		model = model_create(&config, false);
		model_init_random(model, 5, 0.02);
		save(model, &options);
		model_destroy(model);
		check_bits(saved, HEAD_LM);
	}
}

static void test_an_offset_of_the_scores_is_subtracted(void **state)
{
	struct buf base, text = BUF_INIT;
	struct store store;

	(void)state;
	read_bytes(MODELS "rm-llama", "config.json", &base);
	buf_printf(&text, "{\"base_config\": %s, \"bias\": 1.75}", base.data);
	write_bytes(dir, "config.json", text.data, text.length);
	read_store(&store, "rm-llama");
	finish_store(&store);
	check_bits(dir, HEAD_SCORE);
	buf_release(&base);
	buf_release(&text);
}

static void assert_not_described(enum head_kind head, const char *sentence)
{
	struct hf_frozen frozen;
	struct error err = {""};

	assert_int_equal(hf_frozen_describe(&frozen, dir, head, WEIGHTS_F32, &err), STATUS_BAD_INPUT);
	if (!strstr(err.text, sentence))
		fail_msg("expected \"%s\", found \"%s\"", sentence, err.text);
}

static void test_what_is_wrong_is_refused_before_it_is_filled(void **state)
{
	struct store store;

	(void)state;
	assert_not_described(HEAD_LM, "config.json: cannot open");
	copy("llama-gqa", "config.json");
	read_store(&store, "llama-gqa");
	write_store(&store, "model.safetensors");
	assert_not_described(HEAD_SCORE,
			     "not a reward model: the architecture is LlamaForCausalLM");
	drop(&store, "model.norm.weight");
	finish_store(&store);
	assert_not_described(HEAD_LM, "1 tensor is wrong: missing model.norm.weight");
}

static void test_values_that_are_not_finite_are_not_filled_in(void **state)
{
	static const char *const names[] = {"lm_head.weight",
					    "model.layers.1.self_attn.k_proj.weight"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct hf_frozen frozen;
		struct store store;
		struct error err = {""};
		const uint32_t nan = 0x7fc00000;
		float *memory;

		copy("llama-gqa", "config.json");
		read_store(&store, "llama-gqa");
		memcpy(stored(&store, names[i])->bytes.data + 28, &nan, sizeof nan);
		finish_store(&store);
		assert_int_equal(hf_frozen_describe(&frozen, dir, HEAD_LM, WEIGHTS_F32, &err), STATUS_OK);
		memory = xaligned(hf_frozen_floats(&frozen), sizeof *memory);
		assert_int_equal(hf_frozen_fill(&frozen, memory, NULL, &err), STATUS_BAD_INPUT);
		assert_non_null(strstr(err.text, names[i]));
		assert_non_null(strstr(err.text, "element 7 is nan"));
		free(memory);
	}
}

#define CASE(test) cmocka_unit_test_setup(test, start_afresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_frozen_models_have_the_bits_of_whole_ones),
		CASE(test_large_tensors_are_filled_in_slices),
		CASE(test_an_offset_of_the_scores_is_subtracted),
		CASE(test_what_is_wrong_is_refused_before_it_is_filled),
		CASE(test_values_that_are_not_finite_are_not_filled_in),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}

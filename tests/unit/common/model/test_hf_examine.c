/* Examining checkpoints: everything that is wrong is found, what is right is described as
 * loading would have it, and published models have the parameters that they are said to. */
#include <math.h>
#include <unistd.h>

#include "common/model/hf_examine.h"
#include "tests/unit/common/model/made_checkpoints.h"

static void assert_has(const struct hf_problems *list, const char *sentence)
{
	for (int i = 0; i < list->n; i++)
		if (strstr(list->items[i], sentence))
			return;
	for (int i = 0; i < list->n; i++)
		print_message("found: %s\n", list->items[i]);
	fail_msg("expected \"%s\"", sentence);
}

static void check_sound(const char *name, enum head_kind head)
{
	struct hf_examination found;
	struct model *model;
	size_t n = 0;
	char path[200];

	snprintf(path, sizeof path, MODELS "%.100s", name);
	hf_examine(&found, path, NULL);
	for (int i = 0; i < found.problems.n; i++)
		fail_msg("%s: %s", name, found.problems.items[i]);
	model = load(path, head);
	for (int i = 0; i < hf_tensor_count(model); i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(model, i, &tensor);
		n += tensor.n_elements;
	}
	assert_true(found.has_config);
	assert_int_equal(found.n_parameters, n);
	assert_int_equal(found.dtype, model->dtype);
	assert_int_equal(found.config.head, head);
	assert_int_equal(found.config.n_labels, model->config.n_labels);
	assert_int_equal(found.config.tied, model->config.tied);
	assert_int_equal(*found.head_name != 0, head == HEAD_SCORE);
	hf_examination_release(&found);
	model_destroy(model);
}

static void check_sound_lm(const char *name)
{
	check_sound(name, HEAD_LM);
}

static void check_sound_classifier(const char *name)
{
	check_sound(name, HEAD_SCORE);
}

static void test_what_loads_is_sound_and_described_as_it_loads(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_sound_lm) > 0);
	assert_true(for_each_model(true, "config.json", check_sound_classifier) > 0);
}

static void test_all_that_is_wrong_is_found(void **state)
{
	struct hf_examination found;
	struct store store;
	float bad = NAN, worse = INFINITY;

	(void)state;
	copy("llama-gqa", "config.json");
	read_store(&store, "llama-gqa");
	memcpy(stored(&store, "model.norm.weight")->bytes.data + 4, &bad, sizeof bad);
	memcpy(stored(&store, "lm_head.weight")->bytes.data, &worse, sizeof worse);
	stored(&store, "model.embed_tokens.weight")->shape[0] = 32;
	stored(&store, "model.embed_tokens.weight")->shape[1] = 97;
	drop(&store, "model.layers.0.mlp.up_proj.weight");
	drop(&store, "model.layers.1.mlp.up_proj.weight");
	snprintf(stored(&store, "model.layers.1.input_layernorm.weight")->name, 20, "other");
	memset(stored(&store, "model.layers.1.self_attn.o_proj.weight")->bytes.data, 0,
	       stored(&store, "model.layers.1.self_attn.o_proj.weight")->bytes.length);
	finish_store(&store);
	hf_examine(&found, dir, NULL);
	assert_int_equal(found.problems.n, 7);
	assert_has(&found.problems, "tensor \"model.norm.weight\": element 1 is nan");
	assert_has(&found.problems, "tensor \"lm_head.weight\": element 0 is inf");
	assert_has(&found.problems,
		   "shape of model.embed_tokens.weight is [32, 97], expected [97, 32]");
	assert_has(&found.problems, "missing model.layers.0.mlp.up_proj.weight");
	assert_has(&found.problems, "missing model.layers.1.mlp.up_proj.weight");
	assert_has(&found.problems, "missing model.layers.1.input_layernorm.weight");
	assert_has(&found.problems, "unexpected other");
	assert_int_equal(found.warnings.n, 1);
	assert_has(&found.warnings, "o_proj.weight\" is all zeros");
	hf_examination_release(&found);
}

static void test_every_broken_file_is_found(void **state)
{
	struct hf_examination found;
	char path[160];

	(void)state;
	copy("llama-gqa-sharded", "config.json");
	copy("llama-gqa-sharded", "model.safetensors.index.json");
	copy("llama-gqa-sharded", "model-00003-of-00003.safetensors");
	snprintf(path, sizeof path, "%s/model-00003-of-00003.safetensors", dir);
	assert_int_equal(truncate(path, 100), 0);
	hf_examine(&found, dir, NULL);
	assert_int_equal(found.problems.n, 3);
	assert_has(&found.problems, "model-00001-of-00003.safetensors: cannot open");
	assert_has(&found.problems, "model-00002-of-00003.safetensors: cannot open");
	assert_has(&found.problems, "model-00003-of-00003.safetensors: ");
	hf_examination_release(&found);
}

static void test_a_classifier_without_its_head_is_examined_to_the_end(void **state)
{
	struct hf_examination found;
	struct store store;

	(void)state;
	copy("rm-llama", "config.json");
	read_store(&store, "rm-llama");
	drop(&store, "score.weight");
	drop(&store, "model.norm.weight");
	finish_store(&store);
	hf_examine(&found, dir, NULL);
	assert_int_equal(found.problems.n, 2);
	assert_has(&found.problems, "its head, score.weight, is missing");
	assert_has(&found.problems, "missing model.norm.weight");
	hf_examination_release(&found);
}

static void test_what_deserves_a_warning_gets_one(void **state)
{
	struct hf_examination found;
	struct store store;

	(void)state;
	copy("gpt2", "config.json");
	read_store(&store, "gpt2");
	append(&store, "lm_head.weight", "F32", 2, (const int64_t[]){97, 32},
	       stored(&store, "transformer.wte.weight")->bytes.data, (size_t)97 * 32 * 4);
	stored(&store, "lm_head.weight")->bytes.data[3] ^= 0x40;
	append(&store, "v_head.0.weight", "F32", 2, (const int64_t[]){0, 32}, "", 0);
	finish_store(&store);
	copy("llama-gqa-sharded", "model.safetensors.index.json");
	hf_examine(&found, dir, NULL);
	assert_int_equal(found.problems.n, 0);
	assert_false(found.config.tied);
	assert_has(&found.warnings, "the output matrix differs from the embedding");
	assert_has(&found.warnings, "and an index of other files");
	assert_has(&found.warnings, "heads of several layers are not supported");
	hf_examination_release(&found);
}

/* --- published models --- */

static size_t count_parameters(const char *config_text)
{
	struct model shape = {0};
	struct error err = {""};
	size_t n = 0;

	if (hf_parse_config(&shape.config, config_text, strlen(config_text), "text", &err) !=
	    STATUS_OK)
		fail_msg("%s", err.text);
	param_layout_init(&shape.layout, &shape.config, false);
	for (int i = 0; i < hf_tensor_count(&shape); i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(&shape, i, &tensor);
		n += tensor.n_elements;
	}
	param_layout_release(&shape.layout);
	return n;
}

static void test_published_models_have_their_parameters(void **state)
{
	static const struct {
		size_t n;
		const char *text;
	} models[] = {
		{124439808, "{\"model_type\":\"gpt2\"}"},
		{354823168,
		 "{\"model_type\":\"gpt2\",\"n_embd\":1024,\"n_layer\":24,\"n_head\":16}"},
		{70426624,
		 "{\"model_type\":\"gpt_neox\",\"hidden_size\":512,\"num_hidden_layers\":6,"
		 "\"num_attention_heads\":8,\"intermediate_size\":2048,\"vocab_size\":50304}"},
		{1011781632,
		 "{\"model_type\":\"gpt_neox\",\"hidden_size\":2048,\"num_hidden_layers\":16,"
		 "\"num_attention_heads\":8,\"intermediate_size\":8192,\"vocab_size\":50304}"},
		{1235814400,
		 "{\"model_type\":\"llama\",\"hidden_size\":2048,\"num_hidden_layers\":16,"
		 "\"num_attention_heads\":32,\"num_key_value_heads\":8,\"head_dim\":64,"
		 "\"intermediate_size\":8192,\"vocab_size\":128256,"
		 "\"tie_word_embeddings\":true}"},
		{1100048384,
		 "{\"model_type\":\"llama\",\"hidden_size\":2048,\"num_hidden_layers\":22,"
		 "\"num_attention_heads\":32,\"num_key_value_heads\":4,"
		 "\"intermediate_size\":5632}"},
		{6738415616, "{\"model_type\":\"llama\"}"},
		{7241732096, "{\"model_type\":\"mistral\"}"},
		{494032768,
		 "{\"model_type\":\"qwen2\",\"hidden_size\":896,\"num_hidden_layers\":24,"
		 "\"num_attention_heads\":14,\"num_key_value_heads\":2,"
		 "\"intermediate_size\":4864,\"tie_word_embeddings\":true}"},
		{596049920,
		 "{\"model_type\":\"qwen3\",\"hidden_size\":1024,\"num_hidden_layers\":28,"
		 "\"num_attention_heads\":16,\"num_key_value_heads\":8,"
		 "\"intermediate_size\":3072,\"tie_word_embeddings\":true}"},
		{125239296, "{\"model_type\":\"opt\"}"},
		{331196416,
		 "{\"model_type\":\"opt\",\"hidden_size\":1024,\"num_hidden_layers\":24,"
		 "\"num_attention_heads\":16,\"ffn_dim\":4096,\"word_embed_proj_dim\":512,"
		 "\"do_layer_norm_before\":false}"},
		{2779683840,
		 "{\"model_type\":\"phi\",\"hidden_size\":2560,\"num_hidden_layers\":32,"
		 "\"num_attention_heads\":32,\"intermediate_size\":10240}"},
		{3821079552, "{\"model_type\":\"phi3\"}"},
		{2614341888, "{\"model_type\":\"gemma2\"}"},
		{999885952, "{\"model_type\":\"gemma3_text\",\"hidden_size\":1152,"
			    "\"num_hidden_layers\":26,\"num_attention_heads\":4,"
			    "\"num_key_value_heads\":1,\"head_dim\":256,\"intermediate_size\":6912,"
			    "\"vocab_size\":262144}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof models / sizeof *models; i++)
		if (count_parameters(models[i].text) != models[i].n)
			fail_msg("%s: %zu parameters, expected %zu", models[i].text,
				 count_parameters(models[i].text), models[i].n);
}

#define CASE(test) cmocka_unit_test_setup(test, start_afresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_what_loads_is_sound_and_described_as_it_loads),
		CASE(test_all_that_is_wrong_is_found),
		CASE(test_every_broken_file_is_found),
		CASE(test_a_classifier_without_its_head_is_examined_to_the_end),
		CASE(test_what_deserves_a_warning_gets_one),
		CASE(test_published_models_have_their_parameters),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}

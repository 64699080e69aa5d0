/* config.json to struct model_config: defaults of the classes, both dialects of keys,
 * and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "common/model/hf_checkpoint.h"

#define GPT2 "\"model_type\":\"gpt2\",\"n_embd\":32,\"n_layer\":2,\"n_head\":4,\"vocab_size\":97"
#define DIMENSIONS                                                                                 \
	"\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":4,"                    \
	"\"intermediate_size\":48,\"vocab_size\":97"
#define LLAMA "\"model_type\":\"llama\"," DIMENSIONS
#define MISTRAL "\"model_type\":\"mistral\",\"num_key_value_heads\":2," DIMENSIONS
#define QWEN2 "\"model_type\":\"qwen2\",\"num_key_value_heads\":2," DIMENSIONS

static enum status parse(struct model_config *config, const char *members, struct error *err)
{
	char text[2000];

	snprintf(text, sizeof text, "{%s}", members);
	err->text[0] = '\0';
	return hf_parse_config(config, text, strlen(text), "c.json", err);
}

static struct model_config accepted(const char *members)
{
	struct model_config config;
	struct error err;

	if (parse(&config, members, &err) != STATUS_OK)
		fail_msg("refused %s: %s", members, err.text);
	return config;
}

static void assert_refused(const char *members, const char *sentence)
{
	struct model_config config;
	struct error err;
	enum status status = parse(&config, members, &err);

	if (status != STATUS_BAD_INPUT)
		fail_msg("status %d for %s", status, members);
	if (strncmp(err.text, "c.json: ", 8) != 0 || !strstr(err.text, sentence))
		fail_msg("expected \"%s\", found \"%s\"", sentence, err.text);
}

/* --- what is read --- */

static void test_each_family_has_the_defaults_of_its_class(void **state)
{
	struct model_config config = accepted("\"model_type\":\"gpt2\"");

	(void)state;
	assert_string_equal(hf_family_name(config.family), "gpt2");
	assert_int_equal(config.n_channels, 768);
	assert_int_equal(config.n_layers, 12);
	assert_int_equal(config.n_heads, 12);
	assert_int_equal(config.n_kv_heads, 12);
	assert_int_equal(config.head_dim, 64);
	assert_int_equal(config.n_ff, 3072);
	assert_int_equal(config.n_vocab, 50257);
	assert_int_equal(config.max_positions, 1024);
	assert_true(!config.has_window && config.tied);
	assert_int_equal(config.activation, ACTIVATION_GELU_TANH);
	assert_true(config.norm_eps == 1e-5f && config.attention_scale == 0.125f);
	assert_int_equal(config.biases, BIAS_QKV | BIAS_O | BIAS_MLP);
	assert_int_equal(config.rotary_dim, 0);

	config = accepted("\"model_type\":\"llama\"");
	assert_int_equal(config.n_channels, 4096);
	assert_int_equal(config.n_ff, 11008);
	assert_int_equal(config.n_kv_heads, 32);
	assert_int_equal(config.head_dim, 128);
	assert_int_equal(config.max_positions, 2048);
	assert_true(!config.has_window && !config.tied);
	assert_int_equal(config.activation, ACTIVATION_SILU);
	assert_true(config.norm_eps == 1e-6f && config.rope_theta == 10000);
	assert_int_equal(config.rotary_dim, 128);
	assert_int_equal(config.biases, 0);

	config = accepted("\"model_type\":\"mistral\"");
	assert_int_equal(config.n_kv_heads, 8);
	assert_int_equal(config.max_positions, 4096);
	assert_true(config.has_window);
	config = accepted("\"model_type\":\"qwen2\"");
	assert_int_equal(config.n_kv_heads, 32);
	assert_int_equal(config.n_ff, 22016);
	assert_int_equal(config.max_positions, 32768);
	assert_int_equal(config.biases, BIAS_QKV);
}

static void test_null_is_the_default_that_follows_from_other_keys(void **state)
{
	struct model_config config =
		accepted("\"model_type\":\"mistral\"," DIMENSIONS ",\"num_key_value_heads\":null,"
			 "\"head_dim\":null,"
			 "\"rope_scaling\":null,\"sliding_window\":null,"
			 "\"quantization_config\":null,\"eos_token_id\":null,"
			 "\"architectures\":null,\"tie_word_embeddings\":null");

	(void)state;
	assert_int_equal(config.n_kv_heads, 4);
	assert_int_equal(config.head_dim, 8);
	assert_int_equal(config.max_positions, 131072);
	assert_int_equal(config.eos_id, -1);
	config = accepted(GPT2 ",\"n_inner\":null");
	assert_int_equal(config.n_ff, 128);
}

static void test_architectures_tell_the_head(void **state)
{
	struct model_config config =
		accepted(LLAMA ",\"architectures\":[\"LlamaForSequenceClassification\"],"
			       "\"id2label\":{\"0\":\"LABEL_0\"}");

	(void)state;
	assert_int_equal(config.head, HEAD_SCORE);
	assert_int_equal(config.n_labels, 1);
	config = accepted(LLAMA ",\"architectures\":[\"LlamaForSequenceClassification\"]");
	assert_int_equal(config.n_labels, 2);
	config = accepted(LLAMA ",\"architectures\":[\"LlamaForSequenceClassification\"],"
				"\"num_labels\":5");
	assert_int_equal(config.n_labels, 5);
	config = accepted(LLAMA ",\"architectures\":[\"LlamaForCausalLM\"],"
				"\"id2label\":{\"0\":\"a\",\"1\":\"b\"}");
	assert_int_equal(config.head, HEAD_LM);
	assert_int_equal(config.n_labels, 0);
	config = accepted("\"architectures\":[\"GPT2LMHeadModel\"]");
	assert_string_equal(hf_family_name(config.family), "gpt2");
	config = accepted(GPT2 ",\"architectures\":[\"GPT2Model\"]");
	assert_int_equal(config.head, HEAD_LM);
}

static void test_head_dim_need_not_divide_the_channels(void **state)
{
	struct model_config config = accepted(LLAMA ",\"head_dim\":20,\"num_key_value_heads\":1");

	(void)state;
	assert_int_equal(config.head_dim, 20);
	assert_int_equal(config.rotary_dim, 20);
	assert_int_equal(config.n_kv_heads, 1);
	assert_true(config.attention_scale == 1 / sqrtf(20));
	/* GPT-2 knows neither key. */
	config = accepted(GPT2 ",\"head_dim\":20,\"num_key_value_heads\":2");
	assert_int_equal(config.head_dim, 8);
	assert_int_equal(config.n_kv_heads, 4);
}

static void test_both_dialects_of_rotary_positions_are_read(void **state)
{
	(void)state;
	assert_true(accepted(LLAMA ",\"rope_theta\":5e5").rope_theta == 5e5);
	assert_true(accepted(LLAMA ",\"rope_parameters\":{\"rope_type\":\"default\","
				   "\"rope_theta\":5e5}")
			    .rope_theta == 5e5);
	assert_true(accepted(LLAMA ",\"rope_theta\":1000000,\"rope_parameters\":{}").rope_theta ==
		    1e6);
	assert_true(accepted(LLAMA ",\"rope_theta\":7,\"rope_parameters\":{\"rope_theta\":9}")
			    .rope_theta == 9);
	/* Where both objects are there, transformers 5 takes the older. */
	assert_true(accepted(LLAMA ",\"rope_scaling\":{\"type\":\"default\",\"rope_theta\":3},"
				   "\"rope_parameters\":{\"rope_theta\":9}")
			    .rope_theta == 3);
	assert_int_equal(accepted(LLAMA ",\"partial_rotary_factor\":1.0").rotary_dim, 8);
	assert_refused(LLAMA ",\"partial_rotary_factor\":0.5", "partial_rotary_factor is 0.5");
	assert_refused(LLAMA ",\"rope_parameters\":{\"partial_rotary_factor\":0.25}",
		       "partial_rotary_factor is 0.25");
}

static void test_old_names_of_positions_are_read(void **state)
{
	(void)state;
	assert_int_equal(accepted(GPT2 ",\"n_ctx\":77").max_positions, 77);
	assert_int_equal(accepted(GPT2 ",\"n_ctx\":77,\"n_positions\":64").max_positions, 64);
}

static void test_a_window_bounds_sequences(void **state)
{
	struct model_config config = accepted(MISTRAL ",\"sliding_window\":16");

	(void)state;
	assert_int_equal(config.max_positions, 16);
	assert_true(config.has_window);
	config = accepted(MISTRAL ",\"sliding_window\":16,\"max_position_embeddings\":12");
	assert_int_equal(config.max_positions, 12);
	assert_false(config.has_window);
	config = accepted(QWEN2 ",\"sliding_window\":16");
	assert_int_equal(config.max_positions, 32768);
	assert_false(config.has_window);
	config = accepted(QWEN2 ",\"sliding_window\":16,\"use_sliding_window\":true");
	assert_int_equal(config.max_positions, 16);
	assert_refused(MISTRAL ",\"sliding_window\":-1", "sliding_window is not a whole number");
	/* Llama has none. */
	assert_int_equal(accepted(LLAMA ",\"sliding_window\":16").max_positions, 2048);
}

static void test_activations_have_several_names(void **state)
{
	static const struct {
		const char *members;
		enum activation activation;
	} cases[] = {
		{"\"activation_function\":\"gelu\"", ACTIVATION_GELU},
		{"\"activation_function\":\"gelu_new\"", ACTIVATION_GELU_TANH},
		{"\"activation_function\":\"gelu_pytorch_tanh\"", ACTIVATION_GELU_TANH},
		{"\"activation_function\":\"relu\"", ACTIVATION_RELU},
		{"\"activation_function\":\"silu\"", ACTIVATION_SILU},
		{"\"activation_function\":\"swish\"", ACTIVATION_SILU},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char members[300];
		snprintf(members, sizeof members, GPT2 ",%s", cases[i].members);
		assert_int_equal(accepted(members).activation, cases[i].activation);
	}
	assert_refused(GPT2 ",\"activation_function\":\"quick_gelu\"",
		       "activation_function is \"quick_gelu\", which is not supported");
	assert_refused(LLAMA ",\"hidden_act\":7", "hidden_act is a number, expected a string");
}

static void test_bias_keys_are_read_where_the_family_has_them(void **state)
{
	(void)state;
	assert_int_equal(accepted(LLAMA ",\"attention_bias\":true").biases, BIAS_QKV | BIAS_O);
	assert_int_equal(accepted(LLAMA ",\"mlp_bias\":true").biases, BIAS_MLP);
	assert_int_equal(accepted(QWEN2 ",\"attention_bias\":false").biases, BIAS_QKV);
	assert_int_equal(accepted(MISTRAL ",\"attention_bias\":true").biases, 0);
	assert_refused(LLAMA ",\"mlp_bias\":1", "mlp_bias is a number, expected true or false");
}

static void test_gpt2_may_leave_scores_unscaled(void **state)
{
	(void)state;
	assert_true(accepted(GPT2 ",\"scale_attn_weights\":false").attention_scale == 1);
	assert_refused(GPT2 ",\"scale_attn_by_inverse_layer_idx\":true",
		       "scale_attn_by_inverse_layer_idx is not supported");
}

static void test_ids_outside_the_vocabulary_never_match(void **state)
{
	struct model_config config =
		accepted(LLAMA ",\"bos_token_id\":97,\"eos_token_id\":96,\"pad_token_id\":-1");

	(void)state;
	assert_int_equal(config.bos_id, -1);
	assert_int_equal(config.eos_id, 96);
	assert_int_equal(config.pad_id, -1);
	config = accepted(LLAMA ",\"bos_token_id\":\"1\",\"eos_token_id\":[5,6],"
				"\"pad_token_id\":5");
	assert_int_equal(config.bos_id, -1);
	assert_int_equal(config.eos_id, 5);
	assert_int_equal(config.pad_id, 5);
	config = accepted(LLAMA ",\"eos_token_id\":[],\"pad_token_id\":9007199254740993,"
				"\"bos_token_id\":1.5");
	assert_int_equal(config.eos_id, -1);
	assert_int_equal(config.pad_id, -1);
	assert_int_equal(config.bos_id, -1);
}

/* --- what is refused --- */

static void test_text_that_is_no_object_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "[]", "7", "null", "{", "{\"model_type\":}", "{\"a\":1,\"a\":2}"};
	struct model_config config;
	struct error err = {""};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(
			hf_parse_config(&config, texts[i], strlen(texts[i]), "c.json", &err),
			STATUS_BAD_INPUT);
		assert_non_null(strstr(err.text, "c.json"));
	}
}

static void test_unknown_families_are_refused(void **state)
{
	(void)state;
	assert_refused("", "model_type \"\" (none) is not a supported family");
	assert_refused("\"model_type\":\"bert\",\"architectures\":[\"BertForMaskedLM\"]",
		       "model_type \"bert\" (BertForMaskedLM) is not a supported family");
	assert_refused("\"model_type\":7,\"architectures\":\"LlamaForCausalLM\"",
		       "is not a supported family");
	assert_refused("\"architectures\":[]", "is not a supported family");
	assert_refused("\"model_type\":\"own\",\"auto_map\":{\"AutoConfig\":\"x.Y\"}",
		       "is not a supported family");
	assert_refused(MISTRAL ",\"architectures\":[\"LlamaForCausalLM\"]",
		       "model_type is \"mistral\", which is not that of architectures");
}

static void test_quantised_checkpoints_are_refused(void **state)
{
	(void)state;
	assert_refused(LLAMA ",\"quantization_config\":{\"bits\":4}", "quantised");
}

static void test_wrong_dimensions_are_refused(void **state)
{
	(void)state;
	assert_refused("\"model_type\":\"llama\",\"hidden_size\":0", "hidden_size is not a whole");
	assert_refused("\"model_type\":\"llama\",\"hidden_size\":-32", "hidden_size is not a");
	assert_refused("\"model_type\":\"llama\",\"hidden_size\":32.5", "hidden_size is not a");
	assert_refused("\"model_type\":\"llama\",\"hidden_size\":\"32\"", "hidden_size is not a");
	assert_refused("\"model_type\":\"llama\",\"hidden_size\":1e300", "hidden_size is not a");
	assert_refused("\"model_type\":\"gpt2\",\"n_layer\":0", "n_layer is not a whole number");
	assert_refused("\"model_type\":\"gpt2\",\"n_layer\":1000000000", "n_layer is not a whole");
	assert_refused("\"model_type\":\"gpt2\",\"n_head\":5", "n_embd is 768, not a multiple of");
	assert_refused("\"model_type\":\"gpt2\",\"n_positions\":0", "n_positions is not a whole");
	assert_refused("\"model_type\":\"gpt2\",\"n_ctx\":2000000", "n_ctx is not a whole");
	assert_refused("\"model_type\":\"gpt2\",\"vocab_size\":0", "vocab_size is not a whole");
	assert_refused(LLAMA ",\"num_key_value_heads\":8", "num_key_value_heads is not a whole");
	assert_refused(LLAMA ",\"num_key_value_heads\":3", "4 query heads are not a multiple of 3");
	assert_refused(LLAMA ",\"num_key_value_heads\":0", "num_key_value_heads is not a whole");
	/* The default of the class. */
	assert_refused("\"model_type\":\"mistral\"," DIMENSIONS,
		       "4 query heads are not a multiple of 8");
}

static void test_large_heads_are_refused(void **state)
{
	(void)state;
	assert_int_equal(accepted(LLAMA ",\"head_dim\":256").head_dim, 256);
	assert_refused(LLAMA ",\"head_dim\":258", "a head has 258 elements, at most 256");
	assert_refused("\"model_type\":\"gpt2\",\"n_embd\":768,\"n_head\":2",
		       "a head has 384 elements, at most 256");
	assert_refused(LLAMA ",\"head_dim\":0", "head_dim is not a whole number");
	assert_refused(LLAMA ",\"head_dim\":7", "7 rotary elements of a head");
	assert_refused("\"model_type\":\"llama\",\"num_attention_heads\":4194304,"
		       "\"head_dim\":2",
		       "are too many");
}

static void test_wrong_numbers_are_refused(void **state)
{
	(void)state;
	assert_refused(LLAMA ",\"rms_norm_eps\":0", "rms_norm_eps is not a number above 0");
	assert_refused(LLAMA ",\"rms_norm_eps\":-1e-5", "rms_norm_eps is not a number above 0");
	assert_refused(LLAMA ",\"rms_norm_eps\":1e-60", "rms_norm_eps is not a number above 0");
	assert_refused(LLAMA ",\"rms_norm_eps\":\"1e-5\"", "rms_norm_eps is not a number above 0");
	assert_refused(GPT2 ",\"layer_norm_epsilon\":1e60", "layer_norm_epsilon is not a number");
	assert_refused(LLAMA ",\"rope_theta\":0", "rope_theta is not a number above 0");
	assert_refused(LLAMA ",\"rope_theta\":[1]", "rope_theta is not a number above 0");
	assert_refused(LLAMA ",\"rope_theta\":NaN", "NaN is not a JSON number");
	assert_refused(LLAMA ",\"partial_rotary_factor\":0.01", "partial_rotary_factor is 0.01");
	assert_refused(LLAMA ",\"tie_word_embeddings\":\"no\"", "tie_word_embeddings is a string");
}

static void test_scaled_rotary_positions_are_refused(void **state)
{
	static const char *const types[] = {"linear", "dynamic",  "llama3",
					    "yarn",   "longrope", "su"};

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		static const char *const forms[] = {
			"\"rope_scaling\":{\"type\":\"%s\",\"factor\":2}",
			"\"rope_scaling\":{\"rope_type\":\"%s\",\"factor\":2}",
			"\"rope_parameters\":{\"rope_type\":\"%s\",\"factor\":2}",
		};
		for (int f = 0; f < 3; f++) {
			char members[400], sentence[100];
			int n = snprintf(members, sizeof members, LLAMA ",");
			snprintf(sentence, sizeof sentence, "of type \"%s\" is not supported",
				 types[i]);
			snprintf(members + n, sizeof members - (size_t)n, forms[f], types[i]);
			assert_refused(members, sentence);
		}
	}
	accepted(LLAMA ",\"rope_scaling\":{\"type\":\"default\"}");
	assert_refused(LLAMA ",\"rope_scaling\":\"linear\"", "rope_scaling is a string");
	assert_refused(LLAMA ",\"rope_scaling\":{\"type\":3}", "expected a type that is a string");
	assert_refused(LLAMA ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":7}}",
		       "rope_parameters.full_attention: positions by kind of layer");
	/* GPT-2 has no rotary positions to scale. */
	accepted(GPT2 ",\"rope_scaling\":{\"type\":\"linear\"}");
}

static void test_wrong_labels_are_refused(void **state)
{
#define SCORE LLAMA ",\"architectures\":[\"LlamaForSequenceClassification\"]"
	(void)state;
	assert_refused(SCORE ",\"id2label\":{}", "id2label has 0 labels, expected 1 to");
	assert_refused(SCORE ",\"id2label\":[\"a\"]", "id2label is an array, expected an object");
	assert_refused(SCORE ",\"id2label\":3", "id2label is a number, expected an object");
	assert_refused(SCORE ",\"num_labels\":0", "num_labels is not a whole number");
}

static void test_reading_a_directory_names_its_file(void **state)
{
	char dir[] = "/tmp/rlhf-test-config-XXXXXX", path[100];
	struct model_config config;
	struct error err = {""};

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(hf_read_config(&config, dir, &err), STATUS_BAD_INPUT);
	snprintf(path, sizeof path, "%s/config.json", dir);
	assert_non_null(strstr(err.text, path));
	rmdir(dir);
	assert_int_equal(hf_read_config(&config, "tests/golden/models/rm-llama", &err), STATUS_OK);
	assert_int_equal(config.head, HEAD_SCORE);
	assert_int_equal(config.n_labels, 1);
	assert_int_equal(config.n_kv_heads, 2);
	assert_int_equal(config.pad_id, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_family_has_the_defaults_of_its_class),
		cmocka_unit_test(test_null_is_the_default_that_follows_from_other_keys),
		cmocka_unit_test(test_architectures_tell_the_head),
		cmocka_unit_test(test_head_dim_need_not_divide_the_channels),
		cmocka_unit_test(test_both_dialects_of_rotary_positions_are_read),
		cmocka_unit_test(test_old_names_of_positions_are_read),
		cmocka_unit_test(test_a_window_bounds_sequences),
		cmocka_unit_test(test_activations_have_several_names),
		cmocka_unit_test(test_bias_keys_are_read_where_the_family_has_them),
		cmocka_unit_test(test_gpt2_may_leave_scores_unscaled),
		cmocka_unit_test(test_ids_outside_the_vocabulary_never_match),
		cmocka_unit_test(test_text_that_is_no_object_is_refused),
		cmocka_unit_test(test_unknown_families_are_refused),
		cmocka_unit_test(test_quantised_checkpoints_are_refused),
		cmocka_unit_test(test_wrong_dimensions_are_refused),
		cmocka_unit_test(test_large_heads_are_refused),
		cmocka_unit_test(test_wrong_numbers_are_refused),
		cmocka_unit_test(test_scaled_rotary_positions_are_refused),
		cmocka_unit_test(test_wrong_labels_are_refused),
		cmocka_unit_test(test_reading_a_directory_names_its_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

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
#define NEOX "\"model_type\":\"gpt_neox\"," DIMENSIONS
#define GPTJ "\"model_type\":\"gptj\",\"n_embd\":32,\"n_layer\":2,\"n_head\":4,\"vocab_size\":97"
#define PHI "\"model_type\":\"phi\"," DIMENSIONS
#define PHI3 "\"model_type\":\"phi3\"," DIMENSIONS
#define OPT                                                                                        \
	"\"model_type\":\"opt\",\"hidden_size\":32,\"num_hidden_layers\":2,"                       \
	"\"num_attention_heads\":4,\"ffn_dim\":48,\"vocab_size\":97"
/* Without the number of layers. */
#define GEMMA_DIMENSIONS                                                                           \
	"\"hidden_size\":32,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":8,"   \
	"\"intermediate_size\":48,\"vocab_size\":97"
#define GEMMA "\"model_type\":\"gemma\"," GEMMA_DIMENSIONS
#define GEMMA2 "\"model_type\":\"gemma2\"," GEMMA_DIMENSIONS
#define GEMMA3 "\"model_type\":\"gemma3_text\"," GEMMA_DIMENSIONS

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

/* What transformers 5.23 has for a config of nothing but the model type. */
static const struct {
	const char *type;
	int n_channels, n_layers, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, max_positions;
	enum activation activation;
	double eps;
	bool tied;
	int rotary_dim;
	unsigned biases;
	int bos, eos, pad;
} classes[] = {
	{"gpt2", 768, 12, 12, 12, 64, 3072, 50257, 1024, ACTIVATION_GELU_TANH, 1e-5, true, 0,
	 BIAS_QKV | BIAS_O | BIAS_MLP, 50256, 50256, -1},
	{"gpt_neox", 6144, 44, 64, 64, 96, 24576, 50432, 2048, ACTIVATION_GELU, 1e-5, false, 24,
	 BIAS_QKV | BIAS_O | BIAS_MLP, 0, 2, -1},
	{"gptj", 4096, 28, 16, 16, 256, 16384, 50400, 2048, ACTIVATION_GELU_TANH, 1e-5, false, 64,
	 BIAS_MLP | BIAS_HEAD, 50256, 50256, -1},
	{"llama", 4096, 32, 32, 32, 128, 11008, 32000, 2048, ACTIVATION_SILU, 1e-6, false, 128, 0,
	 1, 2, -1},
	{"mistral", 4096, 32, 32, 8, 128, 14336, 32000, 131072, ACTIVATION_SILU, 1e-6, false, 128,
	 0, 1, 2, -1},
	{"qwen2", 4096, 32, 32, 32, 128, 22016, 151936, 32768, ACTIVATION_SILU, 1e-6, false, 128,
	 BIAS_QKV, -1, -1, -1},
	{"qwen3", 4096, 32, 32, 32, 128, 22016, 151936, 32768, ACTIVATION_SILU, 1e-6, false, 128, 0,
	 -1, -1, -1},
	{"phi", 2048, 24, 32, 32, 64, 8192, 51200, 2048, ACTIVATION_GELU_TANH, 1e-5, false, 32,
	 BIAS_QKV | BIAS_O | BIAS_MLP | BIAS_HEAD, 1, 2, -1},
	{"phi3", 3072, 32, 32, 32, 96, 8192, 32064, 4096, ACTIVATION_SILU, 1e-5, false, 96, 0, 1,
	 32000, 32000},
	{"gemma", 3072, 28, 16, 16, 256, 24576, 256000, 8192, ACTIVATION_GELU_TANH, 1e-6, true, 256,
	 0, 2, 1, 0},
	{"gemma2", 2304, 26, 8, 4, 256, 9216, 256000, 8192, ACTIVATION_GELU_TANH, 1e-6, true, 256,
	 0, 2, 1, 0},
	{"gemma3_text", 2304, 26, 8, 4, 256, 9216, 262208, 131072, ACTIVATION_GELU_TANH, 1e-6, true,
	 256, 0, 2, 1, 0},
	{"opt", 768, 12, 12, 12, 64, 3072, 50272, 2048, ACTIVATION_RELU, 1e-5, true, 0,
	 BIAS_QKV | BIAS_O | BIAS_MLP, 2, 2, 1},
};

static void test_each_family_has_the_defaults_of_its_class(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		struct model_config config;
		char members[80];

		snprintf(members, sizeof members, "\"model_type\":\"%s\"", classes[i].type);
		config = accepted(members);
		assert_string_equal(hf_family_name(config.family), classes[i].type);
		assert_int_equal(config.n_channels, classes[i].n_channels);
		assert_int_equal(config.n_embedding, classes[i].n_channels);
		assert_int_equal(config.n_layers, classes[i].n_layers);
		assert_int_equal(config.n_heads, classes[i].n_heads);
		assert_int_equal(config.n_kv_heads, classes[i].n_kv_heads);
		assert_int_equal(config.head_dim, classes[i].head_dim);
		assert_int_equal(config.n_ff, classes[i].n_ff);
		assert_int_equal(config.n_vocab, classes[i].n_vocab);
		assert_int_equal(config.max_positions, classes[i].max_positions);
		assert_int_equal(config.activation, classes[i].activation);
		assert_true(config.norm_eps == (float)classes[i].eps);
		assert_int_equal(config.tied, classes[i].tied);
		assert_int_equal(config.rotary_dim, classes[i].rotary_dim);
		assert_int_equal(config.biases, classes[i].biases);
		assert_int_equal(config.bos_id, classes[i].bos);
		assert_int_equal(config.eos_id, classes[i].eos);
		assert_int_equal(config.pad_id, classes[i].pad);
		assert_true(config.has_norm_weights && config.has_final_norm);
		assert_true(config.rotary_dim == 0 || config.rotary.attention_factor == 1);
	}
}

/* What the blocks of a family are made of, where it differs from Llama's. */
static void test_each_family_has_its_own_block(void **state)
{
	struct model_config config = accepted("\"model_type\":\"llama\"");

	(void)state;
	assert_int_equal(config.block, BLOCK_PRE_NORM);
	assert_int_equal(config.norm, NORM_RMS);
	assert_int_equal(config.mlp, MLP_GATED);
	assert_true(config.embedding_scale == 1 && config.attention_scale == 1 / sqrtf(128));
	assert_true(config.attention_cap == 0 && config.logit_cap == 0 && config.window == 0);
	assert_true(config.rotary.theta == 10000 && config.rotary.kind == ROTARY_DEFAULT);
	assert_false(config.has_head_norm || config.scales_by_layer || config.has_local_rotary);

	assert_int_equal(accepted("\"model_type\":\"gpt_neox\"").block, BLOCK_PARALLEL);
	assert_int_equal(accepted("\"model_type\":\"gptj\"").block, BLOCK_PARALLEL_SHARED);
	assert_int_equal(accepted("\"model_type\":\"phi\"").block, BLOCK_PARALLEL_SHARED);
	assert_int_equal(accepted("\"model_type\":\"opt\"").position_offset, 2);
	assert_true(accepted("\"model_type\":\"qwen3\"").has_head_norm);

	config = accepted("\"model_type\":\"gemma2\"");
	assert_int_equal(config.block, BLOCK_SANDWICH);
	assert_int_equal(config.norm, NORM_RMS_UNIT);
	assert_true(config.embedding_scale == sqrtf(2304) && config.attention_scale == 1.0f / 16);
	assert_true(config.attention_cap == 50 && config.logit_cap == 30);
	config = accepted("\"model_type\":\"gemma3_text\"");
	assert_true(config.attention_cap == 0 && config.logit_cap == 0);
	assert_true(config.has_head_norm && config.head_norm == NORM_RMS_UNIT);
	assert_true(config.rotary.theta == 1e6 && config.local_rotary.theta == 1e4);
	assert_true(accepted("\"model_type\":\"gemma\"").attention_scale == 1.0f / 16);
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
	config = accepted(LLAMA ",\"architectures\":[\"LLaMAForCausalLM\"]");
	assert_int_equal(config.head, HEAD_LM);
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

static double theta(const char *members)
{
	return accepted(members).rotary.theta;
}

static void test_both_dialects_of_rotary_positions_are_read(void **state)
{
	struct model_config config;

	(void)state;
	assert_true(theta(LLAMA ",\"rope_theta\":5e5") == 5e5);
	assert_true(theta(LLAMA ",\"rope_parameters\":{\"rope_type\":\"default\","
				"\"rope_theta\":5e5}") == 5e5);
	assert_true(theta(LLAMA ",\"rope_theta\":1000000,\"rope_parameters\":{}") == 1e6);
	assert_true(theta(LLAMA ",\"rope_theta\":7,\"rope_parameters\":{\"rope_theta\":9}") == 9);
	/* Where both objects are there, transformers 5 takes the older, unless it is empty. */
	assert_true(theta(LLAMA ",\"rope_scaling\":{\"type\":\"default\",\"rope_theta\":3},"
				"\"rope_parameters\":{\"rope_theta\":9}") == 3);
	assert_true(theta(LLAMA ",\"rope_scaling\":{},"
				"\"rope_parameters\":{\"rope_theta\":9}") == 9);
	assert_int_equal(accepted(LLAMA ",\"partial_rotary_factor\":1.0").rotary_dim, 8);
	/* Where whole heads rotate, transformers 5 ignores a fraction. */
	assert_int_equal(accepted(LLAMA ",\"partial_rotary_factor\":0.5").rotary_dim, 8);
	assert_int_equal(accepted(LLAMA ",\"rope_parameters\":{\"partial_rotary_factor\":0.25}")
				 .rotary_width,
			 8);
	assert_refused(LLAMA ",\"partial_rotary_factor\":0.5,"
			     "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}",
		       "partial_rotary_factor is 0.5, expected 1");

	config = accepted(NEOX ",\"rotary_pct\":0.5,\"rotary_emb_base\":77");
	assert_true(config.rotary.theta == 77 && config.rotary_dim == 4);
	config = accepted(NEOX ",\"rope_parameters\":{\"rope_theta\":78,"
			       "\"partial_rotary_factor\":0.75}");
	assert_true(config.rotary.theta == 78 && config.rotary_dim == 6);
	assert_int_equal(accepted(PHI ",\"partial_rotary_factor\":0.25").rotary_dim, 2);
	assert_int_equal(accepted(PHI).rotary_dim, 4);
	/* An odd number of elements is rounded up, and their frequencies are not. */
	config = accepted(NEOX ",\"rotary_pct\":0.4");
	assert_true(config.rotary_dim == 4 && config.rotary_width == 3);
	config = accepted(PHI3 ",\"partial_rotary_factor\":0.15");
	assert_true(config.rotary_dim == 2 && config.rotary_width == 1);
	assert_refused(PHI ",\"partial_rotary_factor\":0.4", "3 rotary elements of a head");
	assert_refused(NEOX ",\"rotary_pct\":0.4,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,"
			    "\"partial_rotary_factor\":0.4}",
		       "rope_scaling with 3 rotary elements of a head, expected an even number");
	/* Rotary positions are made for this head_dim, and heads are not. */
	config = accepted(NEOX ",\"rotary_pct\":0.25,\"head_dim\":16");
	assert_true(config.head_dim == 8 && config.rotary_dim == 4);
	assert_refused(PHI ",\"partial_rotary_factor\":1.5", "partial_rotary_factor is 1.5");
	assert_refused(NEOX ",\"rotary_pct\":0.1", "0 rotary elements of a head");
	assert_int_equal(accepted(GPTJ ",\"rotary_dim\":6").rotary_dim, 6);
	assert_refused(GPTJ ",\"rotary_dim\":10", "rotary_dim is not a whole number from 1 to 8");
	assert_refused(GPTJ ",\"rotary_dim\":null", "rotary_dim is null");
	assert_refused(GPTJ, "64 rotary elements of a head of 8"); /* the class's default */
}

static void test_kinds_of_rotary_positions_are_read(void **state)
{
	struct rotary rotary;

	(void)state;
	rotary = accepted(LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}").rotary;
	assert_true(rotary.kind == ROTARY_LINEAR && rotary.factor == 2 && rotary.theta == 10000);
	rotary = accepted(LLAMA ",\"max_position_embeddings\":48,"
				"\"rope_parameters\":{\"rope_type\":\"dynamic\",\"factor\":4,"
				"\"original_max_position_embeddings\":7}")
			 .rotary;
	assert_true(rotary.kind == ROTARY_DYNAMIC && rotary.factor == 4 && rotary.original == 48);
	rotary = accepted(LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
				"\"low_freq_factor\":1,\"high_freq_factor\":4,"
				"\"original_max_position_embeddings\":8192}")
			 .rotary;
	assert_true(rotary.kind == ROTARY_LLAMA3 && rotary.low == 1 && rotary.high == 4);
	assert_int_equal(rotary.original, 8192);
	rotary = accepted(LLAMA ",\"max_position_embeddings\":64,\"rope_scaling\":{"
				"\"rope_type\":\"yarn\",\"factor\":null,\"truncate\":false},"
				"\"original_max_position_embeddings\":16")
			 .rotary;
	assert_true(rotary.kind == ROTARY_YARN && rotary.factor == 4 && rotary.original == 16);
	assert_true(rotary.high == 32 && rotary.low == 1 && !rotary.truncate);
	assert_true(fabs(rotary.attention_factor - (0.1 * log(4) + 1)) < 1e-12);
	rotary = accepted(LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,"
				"\"truncate\":null}")
			 .rotary;
	assert_false(rotary.truncate);
	rotary = accepted(LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,"
				"\"mscale\":0.7,\"mscale_all_dim\":0.5}")
			 .rotary;
	assert_true(rotary.truncate);
	assert_true(fabs(rotary.attention_factor - (0.07 * log(4) + 1) / (0.05 * log(4) + 1)) <
		    1e-12);
	rotary = accepted(LLAMA
			  ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,"
			  "\"mscale\":0.7,\"mscale_all_dim\":0,\"beta_fast\":0,\"beta_slow\":0}")
			 .rotary;
	assert_true(fabs(rotary.attention_factor - (0.1 * log(4) + 1)) < 1e-12);
	assert_true(rotary.high == 32 && rotary.low == 1);
	/* Legacy names of Phi-3; its class has an original length of its own. */
	rotary = accepted(PHI3 ",\"max_position_embeddings\":16384,\"rope_scaling\":{"
			       "\"type\":\"su\",\"short_factor\":[1,2,3,4],"
			       "\"long_factor\":[5,6,7,8]}")
			 .rotary;
	assert_true(rotary.kind == ROTARY_LONGROPE && rotary.original == 4096);
	assert_true(rotary.short_factor[3] == 4 && rotary.long_factor[0] == 5);
	assert_true(fabs(rotary.attention_factor - sqrt(1 + log(4) / log(4096))) < 1e-12);
	rotary = accepted(PHI3 ",\"original_max_position_embeddings\":24,\"rope_scaling\":{"
			       "\"type\":\"yarn\",\"short_factor\":[1,2,3,4],"
			       "\"long_factor\":[5,6,7,8],\"attention_factor\":1.5}")
			 .rotary;
	assert_true(rotary.original == 24 && rotary.attention_factor == 1.5);
}

static int limit_of(const char *text)
{
	struct model_config config = accepted(text);

	return model_position_limit(&config);
}

static void test_a_scaling_says_how_many_positions_are_served(void **state)
{
	struct model_config dynamic =
		accepted(LLAMA ",\"max_position_embeddings\":48,"
			       "\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":4}");
	struct model_config linear =
		accepted(LLAMA ",\"max_position_embeddings\":48,"
			       "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2.5}");

	(void)state;
	assert_int_equal(limit_of(LLAMA ",\"max_position_embeddings\":48"), 48);
	assert_int_equal(model_position_limit(&linear), 120);
	assert_int_equal(model_generation_limit(&linear), 120);
	/* A linear one whose max_position_embeddings counts the stretched positions says so. */
	assert_int_equal(limit_of(LLAMA ",\"max_position_embeddings\":16384,\"rope_scaling\":{"
					"\"rope_type\":\"linear\",\"factor\":4.0,"
					"\"original_max_position_embeddings\":4096}"),
			 16384);
	/* Qwen 2.5's, as its makers say it; one that has been raised already; one that ends
	 * before max_position_embeddings, which a model may be asked for in any case. */
	assert_int_equal(limit_of(LLAMA ",\"max_position_embeddings\":32768,\"rope_scaling\":{"
					"\"rope_type\":\"yarn\",\"factor\":4.0,"
					"\"original_max_position_embeddings\":32768}"),
			 131072);
	assert_int_equal(limit_of(LLAMA ",\"max_position_embeddings\":131072,\"rope_parameters\":{"
					"\"rope_type\":\"yarn\",\"factor\":4.0,"
					"\"original_max_position_embeddings\":32768}"),
			 131072);
	assert_int_equal(limit_of(LLAMA ",\"max_position_embeddings\":131072,\"rope_parameters\":{"
					"\"rope_type\":\"yarn\",\"factor\":2.0,"
					"\"original_max_position_embeddings\":32768}"),
			 131072);
	assert_int_equal(limit_of(LLAMA ",\"max_position_embeddings\":131072,\"rope_scaling\":{"
					"\"rope_type\":\"llama3\",\"factor\":32,"
					"\"low_freq_factor\":1,\"high_freq_factor\":4,"
					"\"original_max_position_embeddings\":8192}"),
			 131072);
	assert_int_equal(limit_of(PHI3 ",\"max_position_embeddings\":16384,\"rope_scaling\":{"
				       "\"type\":\"longrope\",\"factor\":8,"
				       "\"short_factor\":[1,2,3,4],\"long_factor\":[5,6,7,8]}"),
			 16384);
	assert_int_equal(limit_of(GEMMA3 ",\"max_position_embeddings\":131072,\"rope_scaling\":{"
					 "\"rope_type\":\"linear\",\"factor\":8.0}"),
			 131072);
	assert_int_equal(limit_of(GPT2 ",\"n_positions\":64"), 64);
	/* Angles that change with the length are those of a text that is there whole. */
	assert_int_equal(model_position_limit(&dynamic), 192);
	assert_int_equal(model_generation_limit(&dynamic), 48);
	assert_int_equal(model_generation_length(&dynamic, 47), 47);
	assert_int_equal(model_generation_length(&dynamic, 1LL << 40), 48);
}

static void test_gemma3_rotates_by_kind_of_layer(void **state)
{
	struct model_config config =
		accepted(GEMMA3 ",\"rope_theta\":5e5,\"rope_local_base_freq\":500,"
				"\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}");

	(void)state;
	assert_true(config.rotary.theta == 5e5 && config.rotary.kind == ROTARY_LINEAR);
	assert_true(config.local_rotary.theta == 500 && config.local_rotary.kind == ROTARY_DEFAULT);
	config = accepted(GEMMA3 ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":9,"
				 "\"rope_type\":\"linear\",\"factor\":3},"
				 "\"sliding_attention\":{\"rope_theta\":7}}");
	assert_true(config.rotary.theta == 9 && config.rotary.factor == 3);
	assert_true(config.local_rotary.theta == 7);
	assert_true(accepted(GEMMA3 ",\"rope_parameters\":{}").rotary.theta == 1e6);
	assert_refused(GEMMA3 ",\"rope_parameters\":{\"rope_theta\":5}",
		       "rope_parameters has neither full_attention nor sliding_attention");
	assert_refused(GEMMA3 ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":8,"
			      "\"truncate\":false}",
		       "truncate of rope_scaling is false, expected true");
	assert_true(accepted(GEMMA3 ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":8,"
				    "\"truncate\":null}")
			    .rotary.truncate);
	assert_refused(GEMMA3 ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":8}",
		       "rope_scaling has a type, expected rope_type");
}

static void test_old_names_of_positions_are_read(void **state)
{
	(void)state;
	assert_int_equal(accepted(GPT2 ",\"n_ctx\":77").max_positions, 77);
	assert_int_equal(accepted(GPT2 ",\"n_ctx\":77,\"n_positions\":64").max_positions, 64);
}

static void test_two_names_of_one_number_must_agree(void **state)
{
	(void)state;
	assert_int_equal(accepted(GPT2 ",\"num_hidden_layers\":2").n_layers, 2);
	assert_refused(GPT2 ",\"num_hidden_layers\":3",
		       "n_layer is 2 and num_hidden_layers is 3, expected one number");
	assert_refused(GPTJ ",\"num_attention_heads\":2",
		       "n_head is 4 and num_attention_heads is 2");
	assert_refused(GPT2 ",\"max_position_embeddings\":8,\"n_positions\":9",
		       "n_positions is 9 and max_position_embeddings is 8");
}

/* Which of the first eight layers have a window, a bit each. */
static unsigned windows(const char *members)
{
	struct model_config config = accepted(members);
	unsigned bits = 0;

	for (int layer = 0; layer < config.n_layers && layer < 8; layer++)
		bits |= (unsigned)config_has_window(&config, layer) << layer;
	assert_true(bits == 0 || config.window == 16);
	return bits;
}

static void test_windows_follow_the_rule_of_the_family(void **state)
{
#define SLIDING ",\"sliding_window\":16"
#define LAYERS(n) ",\"num_hidden_layers\":" #n
	(void)state;
	assert_int_equal(windows(MISTRAL SLIDING), 3);
	assert_int_equal(windows(MISTRAL ",\"sliding_window\":null"), 0);
	assert_int_equal(accepted(MISTRAL).window, 4096);
	assert_int_equal(accepted(MISTRAL SLIDING).max_positions, 131072);
	/* A list is heeded, as by the class that transformers takes then. */
	assert_int_equal(windows(MISTRAL SLIDING ",\"layer_types\":[\"full_attention\","
						 "\"sliding_attention\"]"),
			 2);
	assert_int_equal(windows(PHI3 SLIDING), 3);
	assert_int_equal(windows(PHI3 SLIDING ",\"layer_types\":[\"full_attention\","
					      "\"full_attention\"]"),
			 3);
	assert_int_equal(windows(PHI3), 0);
	assert_int_equal(windows(QWEN2 SLIDING), 0);
	assert_int_equal(windows(QWEN2 SLIDING ",\"use_sliding_window\":true"), 0);
	assert_int_equal(windows(QWEN2 SLIDING ",\"use_sliding_window\":true,"
					       "\"max_window_layers\":1"),
			 2);
	assert_int_equal(windows(QWEN2 SLIDING ",\"use_sliding_window\":true,\"layer_types\":["
					       "\"sliding_attention\",\"full_attention\"]"),
			 1);
	assert_int_equal(windows(GEMMA2 LAYERS(5) SLIDING), 0x15);
	assert_int_equal(windows(GEMMA3 LAYERS(8) SLIDING), 0xdf);
	assert_int_equal(windows(GEMMA3 LAYERS(8) SLIDING ",\"sliding_window_pattern\":2"), 0x55);
	/* Llama has none. */
	assert_int_equal(windows(LLAMA SLIDING), 0);
	assert_refused(MISTRAL ",\"sliding_window\":-1", "sliding_window is not a whole number");
	assert_refused(MISTRAL ",\"sliding_window\":0", "sliding_window is not a whole number");
	assert_refused(GEMMA2 LAYERS(2) ",\"sliding_window\":null",
		       "layer 0 has a sliding window, but sliding_window is not there");
	assert_refused(
		QWEN2 SLIDING ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]",
		"layer 1 has a sliding window, but sliding_window is not there or not in use");
	assert_refused(QWEN2 SLIDING ",\"layer_types\":[\"full_attention\"]",
		       "layer_types has 1 layers, expected 2");
	assert_refused(QWEN2 SLIDING ",\"layer_types\":[\"full_attention\",\"chunked_attention\"]",
		       "layer_types has \"chunked_attention\" for layer 1");
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
		{"\"activation_function\":\"quick_gelu\"", ACTIVATION_QUICK_GELU},
		{"\"activation_function\":\"sigmoid\"", ACTIVATION_SIGMOID},
		{"\"activation_function\":\"tanh\"", ACTIVATION_TANH},
		{"\"activation_function\":\"relu2\"", ACTIVATION_RELU_SQUARED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char members[300];
		snprintf(members, sizeof members, GPT2 ",%s", cases[i].members);
		assert_int_equal(accepted(members).activation, cases[i].activation);
	}
	/* The first files of Gemma say "gelu" and mean the other. */
	assert_int_equal(accepted(GEMMA ",\"hidden_act\":\"gelu\"").activation,
			 ACTIVATION_GELU_TANH);
	assert_int_equal(accepted(GEMMA ",\"hidden_act\":\"relu\"").activation, ACTIVATION_RELU);
	/* Gemma 1 has no other key, whatever its files say under that of its successors. */
	assert_int_equal(accepted(GEMMA ",\"hidden_act\":\"relu\","
					"\"hidden_activation\":\"silu\"")
				 .activation,
			 ACTIVATION_RELU);
	assert_int_equal(accepted(GEMMA ",\"hidden_activation\":\"relu\"").activation,
			 ACTIVATION_GELU_TANH);
	assert_int_equal(accepted(GEMMA2 ",\"hidden_activation\":\"gelu\"").activation,
			 ACTIVATION_GELU);
	assert_refused(GPT2 ",\"activation_function\":\"xielu\"",
		       "activation_function is \"xielu\", which is not supported");
	assert_refused(LLAMA ",\"hidden_act\":7", "hidden_act is a number, expected a string");
}

static void test_the_class_is_given_by_names(void **state)
{
	(void)state;
	accepted(LLAMA ",\"architectures\":null");
	accepted("\"model_type\":null,\"architectures\":[\"LlamaForCausalLM\"]," DIMENSIONS);
	assert_refused(LLAMA ",\"architectures\":\"LlamaForCausalLM\"",
		       "architectures is a string, expected a list of names");
	assert_refused(LLAMA ",\"architectures\":[\"LlamaForCausalLM\",7]",
		       "architectures has a number, expected a name");
	assert_refused("\"model_type\":7,\"architectures\":[\"LlamaForCausalLM\"]," DIMENSIONS,
		       "model_type is a number, expected a name");
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
	assert_true(accepted(GPT2 ",\"scale_attn_by_inverse_layer_idx\":true").scales_by_layer);
	assert_refused(GPT2 ",\"add_cross_attention\":true", "add_cross_attention is true");
}

static void test_opt_has_options_of_its_own(void **state)
{
	struct model_config config = accepted(OPT ",\"do_layer_norm_before\":false,"
						  "\"word_embed_proj_dim\":12,"
						  "\"enable_bias\":false,"
						  "\"layer_norm_elementwise_affine\":false");

	(void)state;
	assert_int_equal(config.block, BLOCK_POST_NORM);
	assert_false(config.has_final_norm || config.has_norm_weights);
	assert_int_equal(config.n_embedding, 12);
	assert_int_equal(config.n_channels, 32);
	assert_int_equal(config.biases, 0);
	config = accepted(OPT ",\"_remove_final_layer_norm\":true,\"word_embed_proj_dim\":null");
	assert_int_equal(config.block, BLOCK_PRE_NORM);
	assert_false(config.has_final_norm);
	assert_int_equal(config.n_embedding, 32);
}

static void test_options_of_single_families(void **state)
{
	(void)state;
	assert_int_equal(accepted(NEOX ",\"use_parallel_residual\":false").block, BLOCK_PRE_NORM);
	assert_int_equal(accepted(NEOX ",\"attention_bias\":false").biases, BIAS_MLP);
	assert_true(accepted(PHI ",\"qk_layernorm\":true").has_head_norm);
	assert_int_equal(accepted(PHI ",\"qk_layernorm\":true").head_norm, NORM_LAYER);
	assert_true(accepted(GEMMA2 ",\"query_pre_attn_scalar\":64").attention_scale == 0.125f);
	assert_true(accepted(GEMMA2 ",\"attn_logit_softcapping\":null").attention_cap == 0);
	assert_true(accepted(GEMMA2 ",\"final_logit_softcapping\":7.5").logit_cap == 7.5f);
	assert_true(accepted(GEMMA3 ",\"final_logit_softcapping\":7.5").logit_cap == 7.5f);
	assert_refused(GEMMA2 ",\"final_logit_softcapping\":0", "final_logit_softcapping is not");
	assert_refused(GEMMA2 ",\"use_bidirectional_attention\":true",
		       "use_bidirectional_attention is true");
	/* transformers 5 lets every family look ahead where that is said. */
	assert_refused(LLAMA ",\"is_causal\":false",
		       "is_causal is false, expected causal attention");
	assert_refused(LLAMA ",\"is_causal\":null", "is_causal is null, expected causal attention");
	accepted(LLAMA ",\"is_causal\":true");
	accepted(GEMMA2 ",\"use_bidirectional_attention\":null");
}

static void test_aliases_of_dimensions_are_read(void **state)
{
	struct model_config config =
		accepted("\"model_type\":\"gpt2\",\"hidden_size\":24,\"num_hidden_layers\":3,"
			 "\"num_attention_heads\":6,\"max_position_embeddings\":11");

	(void)state;
	assert_int_equal(config.n_channels, 24);
	assert_int_equal(config.n_layers, 3);
	assert_int_equal(config.n_heads, 6);
	assert_int_equal(config.max_positions, 11);
	assert_refused(GPT2 ",\"hidden_size\":24", "n_embd is 32 and hidden_size is 24");
}

static void test_ids_outside_the_vocabulary_never_match(void **state)
{
	struct model_config config =
		accepted(LLAMA ",\"bos_token_id\":97,\"eos_token_id\":96,\"pad_token_id\":-1");

	(void)state;
	assert_int_equal(config.bos_id, -1);
	assert_int_equal(config.eos_id, 96);
	assert_int_equal(config.pad_id, -1);
	assert_int_equal(config.frozen_id, 96);
	config = accepted(LLAMA ",\"bos_token_id\":null,\"eos_token_id\":[5,6],"
				"\"pad_token_id\":5");
	assert_int_equal(config.bos_id, -1);
	assert_int_equal(config.eos_id, 5);
	assert_int_equal(config.pad_id, 5);
	assert_int_equal(config.frozen_id, -1);
	assert_int_equal(accepted(LLAMA ",\"pad_token_id\":-98").frozen_id, -1);
	config = accepted(LLAMA ",\"eos_token_id\":[],\"pad_token_id\":4000000000,"
				"\"bos_token_id\":97");
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
	assert_refused("\"architectures\":[]", "is not a supported family");
	assert_refused("\"model_type\":\"own\",\"auto_map\":{\"AutoConfig\":\"x.Y\"}",
		       "is not a supported family");
	assert_refused(LLAMA ",\"architectures\":[\"LlamaForQuestionAnswering\"]",
		       "architectures has LlamaForQuestionAnswering, expected LlamaForCausalLM or "
		       "LlamaForSequenceClassification");
	assert_refused("\"model_type\":\"gemma3\"", "is not a supported family; supported: gpt2, ");
	assert_refused("\"model_type\":\"mixtral\"", "is not a supported family");
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
	assert_refused("\"model_type\":\"gpt2\",\"n_ctx\":200000000", "n_ctx is not a whole");
	assert_refused("\"model_type\":\"llama\",\"hidden_size\":2147483647",
		       "hidden_size is not a whole number from 1 to 4194304");
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
	assert_true(accepted(LLAMA ",\"rms_norm_eps\":0").norm_eps == 0);
	assert_refused(LLAMA ",\"rms_norm_eps\":-1e-5", "rms_norm_eps is not a number above 0");
	assert_refused(LLAMA ",\"rms_norm_eps\":1e-60", "rms_norm_eps is not a number above 0");
	assert_refused(LLAMA ",\"rms_norm_eps\":\"1e-5\"", "rms_norm_eps is not a number above 0");
	assert_refused(GPT2 ",\"layer_norm_epsilon\":1e60", "layer_norm_epsilon is not a number");
	assert_refused(LLAMA ",\"rope_theta\":0", "rope_theta is not a number above 0");
	assert_refused(LLAMA ",\"rope_theta\":[1]", "rope_theta is not a number above 0");
	assert_refused(LLAMA ",\"rope_theta\":NaN", "NaN is not a JSON number");
	assert_refused(LLAMA ",\"partial_rotary_factor\":0",
		       "partial_rotary_factor is not a number");
	assert_refused(LLAMA ",\"tie_word_embeddings\":\"no\"", "tie_word_embeddings is a string");
}

static void test_wrong_rotary_positions_are_refused(void **state)
{
#define ROPE(members) LLAMA ",\"rope_scaling\":{" members "}"
	(void)state;
	assert_refused(ROPE("\"type\":\"su\",\"factor\":2"), "of type \"su\" is not supported");
	assert_refused(LLAMA ",\"rope_parameters\":{\"rope_type\":\"mrope\"}",
		       "rope_parameters of type \"mrope\" is not supported");
	assert_refused(PHI3 ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}",
		       "rope_scaling of type \"linear\" is not supported");
	assert_refused(ROPE("\"type\":\"linear\""), "rope_scaling has no factor");
	assert_refused(ROPE("\"type\":\"yarn\""), "rope_scaling has no factor");
	assert_refused(ROPE("\"type\":\"dynamic\",\"factor\":-1"),
		       "factor is not a number above 0");
	assert_refused(ROPE("\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":0,"
			    "\"high_freq_factor\":1"),
		       "low_freq_factor is not a number above 0");
	assert_refused(ROPE("\"type\":\"longrope\",\"short_factor\":[1,2,3]"),
		       "short_factor of rope_scaling is not a list of 4 numbers above 0");
	assert_refused(ROPE("\"type\":\"longrope\",\"short_factor\":[1,2,3,4],"
			    "\"long_factor\":[1,2,3,\"4\"]"),
		       "long_factor of rope_scaling is not a list of 4 numbers above 0");
	assert_refused(ROPE("\"type\":\"yarn\",\"factor\":2,\"rope_theta\":1"),
		       "rope_theta is 1, expected more than 1 for yarn");
	assert_refused(LLAMA ",\"head_dim\":2,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}",
		       "rope_scaling with 2 rotary elements of a head, expected more");
	accepted(ROPE("\"type\":\"default\""));
	assert_refused(LLAMA ",\"rope_scaling\":\"linear\"", "rope_scaling is a string");
	assert_refused(ROPE("\"type\":3"), "expected a type that is a string");
	assert_refused(LLAMA ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":7}}",
		       "rope_parameters.full_attention: positions by kind of layer");
	/* GPT-2 has no rotary positions to scale. */
	accepted(GPT2 ",\"rope_scaling\":{\"type\":\"linear\"}");
}

static void test_ids_that_are_no_numbers_are_refused(void **state)
{
	(void)state;
	assert_refused(LLAMA ",\"pad_token_id\":\"1\"",
		       "pad_token_id is a string, expected an id or null");
	assert_refused(LLAMA ",\"bos_token_id\":1.5", "bos_token_id is not a whole number");
	assert_refused(LLAMA ",\"eos_token_id\":[true]", "eos_token_id is");
	assert_refused(LLAMA ",\"eos_token_id\":{}", "eos_token_id is an object");
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
		cmocka_unit_test(test_each_family_has_its_own_block),
		cmocka_unit_test(test_null_is_the_default_that_follows_from_other_keys),
		cmocka_unit_test(test_architectures_tell_the_head),
		cmocka_unit_test(test_head_dim_need_not_divide_the_channels),
		cmocka_unit_test(test_both_dialects_of_rotary_positions_are_read),
		cmocka_unit_test(test_old_names_of_positions_are_read),
		cmocka_unit_test(test_two_names_of_one_number_must_agree),
		cmocka_unit_test(test_kinds_of_rotary_positions_are_read),
		cmocka_unit_test(test_a_scaling_says_how_many_positions_are_served),
		cmocka_unit_test(test_gemma3_rotates_by_kind_of_layer),
		cmocka_unit_test(test_windows_follow_the_rule_of_the_family),
		cmocka_unit_test(test_activations_have_several_names),
		cmocka_unit_test(test_the_class_is_given_by_names),
		cmocka_unit_test(test_bias_keys_are_read_where_the_family_has_them),
		cmocka_unit_test(test_gpt2_may_leave_scores_unscaled),
		cmocka_unit_test(test_opt_has_options_of_its_own),
		cmocka_unit_test(test_options_of_single_families),
		cmocka_unit_test(test_aliases_of_dimensions_are_read),
		cmocka_unit_test(test_ids_outside_the_vocabulary_never_match),
		cmocka_unit_test(test_text_that_is_no_object_is_refused),
		cmocka_unit_test(test_unknown_families_are_refused),
		cmocka_unit_test(test_quantised_checkpoints_are_refused),
		cmocka_unit_test(test_wrong_dimensions_are_refused),
		cmocka_unit_test(test_large_heads_are_refused),
		cmocka_unit_test(test_wrong_numbers_are_refused),
		cmocka_unit_test(test_wrong_rotary_positions_are_refused),
		cmocka_unit_test(test_ids_that_are_no_numbers_are_refused),
		cmocka_unit_test(test_wrong_labels_are_refused),
		cmocka_unit_test(test_reading_a_directory_names_its_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The families themselves; see hf_families.h. */
#include "common/model/hf_families.h"

#include <string.h>

#include "common/model/hf_checkpoint.h"

/* GPT-2's linear layers are stored [in, out]; q, k and v are one tensor. */
static const struct hf_name gpt2_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "wte.weight"},
	{PARAM_POSITION_EMBEDDING, PART_WHOLE, false, "wpe.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "h.%d.ln_1.weight"},
	{PARAM_NORM1_SHIFT, PART_WHOLE, false, "h.%d.ln_1.bias"},
	{PARAM_QKV_WEIGHT, PART_WHOLE, true, "h.%d.attn.c_attn.weight"},
	{PARAM_QKV_BIAS, PART_WHOLE, false, "h.%d.attn.c_attn.bias"},
	{PARAM_O_WEIGHT, PART_WHOLE, true, "h.%d.attn.c_proj.weight"},
	{PARAM_O_BIAS, PART_WHOLE, false, "h.%d.attn.c_proj.bias"},
	{PARAM_NORM2_SCALE, PART_WHOLE, false, "h.%d.ln_2.weight"},
	{PARAM_NORM2_SHIFT, PART_WHOLE, false, "h.%d.ln_2.bias"},
	{PARAM_UP_WEIGHT, PART_WHOLE, true, "h.%d.mlp.c_fc.weight"},
	{PARAM_UP_BIAS, PART_WHOLE, false, "h.%d.mlp.c_fc.bias"},
	{PARAM_DOWN_WEIGHT, PART_WHOLE, true, "h.%d.mlp.c_proj.weight"},
	{PARAM_DOWN_BIAS, PART_WHOLE, false, "h.%d.mlp.c_proj.bias"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "ln_f.weight"},
	{PARAM_FINAL_SHIFT, PART_WHOLE, false, "ln_f.bias"},
	{0},
};

static const struct hf_name llama_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "embed_tokens.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "layers.%d.input_layernorm.weight"},
	{PARAM_QKV_WEIGHT, PART_Q, false, "layers.%d.self_attn.q_proj.weight"},
	{PARAM_QKV_WEIGHT, PART_K, false, "layers.%d.self_attn.k_proj.weight"},
	{PARAM_QKV_WEIGHT, PART_V, false, "layers.%d.self_attn.v_proj.weight"},
	{PARAM_QKV_BIAS, PART_Q, false, "layers.%d.self_attn.q_proj.bias"},
	{PARAM_QKV_BIAS, PART_K, false, "layers.%d.self_attn.k_proj.bias"},
	{PARAM_QKV_BIAS, PART_V, false, "layers.%d.self_attn.v_proj.bias"},
	{PARAM_O_WEIGHT, PART_WHOLE, false, "layers.%d.self_attn.o_proj.weight"},
	{PARAM_O_BIAS, PART_WHOLE, false, "layers.%d.self_attn.o_proj.bias"},
	{PARAM_NORM2_SCALE, PART_WHOLE, false, "layers.%d.post_attention_layernorm.weight"},
	{PARAM_UP_WEIGHT, PART_GATE, false, "layers.%d.mlp.gate_proj.weight"},
	{PARAM_UP_WEIGHT, PART_UP, false, "layers.%d.mlp.up_proj.weight"},
	{PARAM_UP_BIAS, PART_GATE, false, "layers.%d.mlp.gate_proj.bias"},
	{PARAM_UP_BIAS, PART_UP, false, "layers.%d.mlp.up_proj.bias"},
	{PARAM_DOWN_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.down_proj.weight"},
	{PARAM_DOWN_BIAS, PART_WHOLE, false, "layers.%d.mlp.down_proj.bias"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "norm.weight"},
	{0},
};

static const struct hf_keys gpt2_keys = {
	.hidden = "n_embd",
	.layers = "n_layer",
	.heads = "n_head",
	.ff = "n_inner",
	.positions = "n_positions",
	.positions_alias = "n_ctx",
	.activation = "activation_function",
	.eps = "layer_norm_epsilon",
	.default_hidden = 768,
	.default_layers = 12,
	.default_heads = 12,
	.default_positions = 1024,
	.default_vocab = 50257,
	.default_activation = "gelu_new",
	.default_eps = 1e-5,
};

#define LLAMA_KEYS                                                                                 \
	.hidden = "hidden_size", .layers = "num_hidden_layers", .heads = "num_attention_heads",    \
	.ff = "intermediate_size", .positions = "max_position_embeddings",                         \
	.activation = "hidden_act", .eps = "rms_norm_eps", .default_hidden = 4096,                 \
	.default_layers = 32, .default_heads = 32, .default_activation = "silu",                   \
	.default_eps = 1e-6

static const struct hf_keys llama_keys = {LLAMA_KEYS, .default_ff = 11008,
					  .default_positions = 2048, .default_vocab = 32000};
static const struct hf_keys mistral_keys = {LLAMA_KEYS,
					    .default_ff = 14336,
					    .default_positions = 131072,
					    .default_vocab = 32000,
					    .default_kv_heads = 8,
					    .default_window = 4096};
static const struct hf_keys qwen2_keys = {LLAMA_KEYS,
					  .default_ff = 22016,
					  .default_positions = 32768,
					  .default_vocab = 151936,
					  .default_kv_heads = 32,
					  .default_window = 4096};

static const struct hf_family families[] = {
	{.model_type = "gpt2",
	 .lm_architecture = "GPT2LMHeadModel",
	 .score_architecture = "GPT2ForSequenceClassification",
	 .prefix = "transformer.",
	 .names = gpt2_names,
	 .keys = &gpt2_keys,
	 .norm = NORM_LAYER,
	 .position = POSITION_LEARNED,
	 .mlp = MLP_PLAIN,
	 .biases = BIAS_QKV | BIAS_O | BIAS_MLP,
	 .ties_by_default = true},
	{.model_type = "llama",
	 .lm_architecture = "LlamaForCausalLM",
	 .score_architecture = "LlamaForSequenceClassification",
	 .prefix = "model.",
	 .names = llama_names,
	 .keys = &llama_keys,
	 .norm = NORM_RMS,
	 .position = POSITION_ROTARY,
	 .mlp = MLP_GATED,
	 .has_bias_keys = true,
	 .has_kv_heads = true},
	{.model_type = "mistral",
	 .lm_architecture = "MistralForCausalLM",
	 .score_architecture = "MistralForSequenceClassification",
	 .prefix = "model.",
	 .names = llama_names,
	 .keys = &mistral_keys,
	 .norm = NORM_RMS,
	 .position = POSITION_ROTARY,
	 .mlp = MLP_GATED,
	 .has_kv_heads = true,
	 .has_window = true},
	{.model_type = "qwen2",
	 .lm_architecture = "Qwen2ForCausalLM",
	 .score_architecture = "Qwen2ForSequenceClassification",
	 .prefix = "model.",
	 .names = llama_names,
	 .keys = &qwen2_keys,
	 .norm = NORM_RMS,
	 .position = POSITION_ROTARY,
	 .mlp = MLP_GATED,
	 .biases = BIAS_QKV,
	 .has_kv_heads = true,
	 .has_window = true,
	 .has_window_switch = true},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

const struct hf_family *hf_family_find(const char *model_type)
{
	for (int i = 0; i < N_FAMILIES; i++)
		if (strcmp(families[i].model_type, model_type) == 0)
			return &families[i];
	return NULL;
}

const struct hf_family *hf_family_of_architecture(const char *architecture)
{
	for (int i = 0; i < N_FAMILIES; i++)
		if (strcmp(families[i].lm_architecture, architecture) == 0 ||
		    strcmp(families[i].score_architecture, architecture) == 0)
			return &families[i];
	return NULL;
}

const char *hf_family_name(const struct hf_family *family)
{
	return family->model_type;
}

/* The families themselves; see hf_families.h.  Defaults are those of the classes of
 * transformers 4 and 5. */
#include "common/model/hf_families.h"

#include <stdio.h>
#include <string.h>

#include "common/model/hf_checkpoint.h"

/* --- names --- */

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

static const struct hf_name gpt_neox_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "embed_in.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "layers.%d.input_layernorm.weight"},
	{PARAM_NORM1_SHIFT, PART_WHOLE, false, "layers.%d.input_layernorm.bias"},
	{PARAM_QKV_WEIGHT, PART_HEADS, false, "layers.%d.attention.query_key_value.weight"},
	{PARAM_QKV_BIAS, PART_HEADS, false, "layers.%d.attention.query_key_value.bias"},
	{PARAM_O_WEIGHT, PART_WHOLE, false, "layers.%d.attention.dense.weight"},
	{PARAM_O_BIAS, PART_WHOLE, false, "layers.%d.attention.dense.bias"},
	{PARAM_NORM2_SCALE, PART_WHOLE, false, "layers.%d.post_attention_layernorm.weight"},
	{PARAM_NORM2_SHIFT, PART_WHOLE, false, "layers.%d.post_attention_layernorm.bias"},
	{PARAM_UP_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.dense_h_to_4h.weight"},
	{PARAM_UP_BIAS, PART_WHOLE, false, "layers.%d.mlp.dense_h_to_4h.bias"},
	{PARAM_DOWN_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.dense_4h_to_h.weight"},
	{PARAM_DOWN_BIAS, PART_WHOLE, false, "layers.%d.mlp.dense_4h_to_h.bias"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "final_layer_norm.weight"},
	{PARAM_FINAL_SHIFT, PART_WHOLE, false, "final_layer_norm.bias"},
	{0},
};

static const struct hf_name gptj_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "wte.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "h.%d.ln_1.weight"},
	{PARAM_NORM1_SHIFT, PART_WHOLE, false, "h.%d.ln_1.bias"},
	{PARAM_QKV_WEIGHT, PART_Q, false, "h.%d.attn.q_proj.weight"},
	{PARAM_QKV_WEIGHT, PART_K, false, "h.%d.attn.k_proj.weight"},
	{PARAM_QKV_WEIGHT, PART_V, false, "h.%d.attn.v_proj.weight"},
	{PARAM_O_WEIGHT, PART_WHOLE, false, "h.%d.attn.out_proj.weight"},
	{PARAM_UP_WEIGHT, PART_WHOLE, false, "h.%d.mlp.fc_in.weight"},
	{PARAM_UP_BIAS, PART_WHOLE, false, "h.%d.mlp.fc_in.bias"},
	{PARAM_DOWN_WEIGHT, PART_WHOLE, false, "h.%d.mlp.fc_out.weight"},
	{PARAM_DOWN_BIAS, PART_WHOLE, false, "h.%d.mlp.fc_out.bias"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "ln_f.weight"},
	{PARAM_FINAL_SHIFT, PART_WHOLE, false, "ln_f.bias"},
	{0},
};

/* Llama and its kin; a family has those of which its models have the parameter. */
#define QKV_NAMES                                                                                  \
	{PARAM_QKV_WEIGHT, PART_Q, false, "layers.%d.self_attn.q_proj.weight"},                    \
		{PARAM_QKV_WEIGHT, PART_K, false, "layers.%d.self_attn.k_proj.weight"},            \
		{PARAM_QKV_WEIGHT, PART_V, false, "layers.%d.self_attn.v_proj.weight"},            \
		{PARAM_QKV_BIAS, PART_Q, false, "layers.%d.self_attn.q_proj.bias"},                \
		{PARAM_QKV_BIAS, PART_K, false, "layers.%d.self_attn.k_proj.bias"},                \
	{                                                                                          \
		PARAM_QKV_BIAS, PART_V, false, "layers.%d.self_attn.v_proj.bias"                   \
	}
#define O_NAMES                                                                                    \
	{PARAM_O_WEIGHT, PART_WHOLE, false, "layers.%d.self_attn.o_proj.weight"},                  \
	{                                                                                          \
		PARAM_O_BIAS, PART_WHOLE, false, "layers.%d.self_attn.o_proj.bias"                 \
	}
#define GATED_NAMES                                                                                \
	{PARAM_UP_WEIGHT, PART_GATE, false, "layers.%d.mlp.gate_proj.weight"},                     \
		{PARAM_UP_WEIGHT, PART_UP, false, "layers.%d.mlp.up_proj.weight"},                 \
		{PARAM_UP_BIAS, PART_GATE, false, "layers.%d.mlp.gate_proj.bias"},                 \
		{PARAM_UP_BIAS, PART_UP, false, "layers.%d.mlp.up_proj.bias"},                     \
		{PARAM_DOWN_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.down_proj.weight"},          \
	{                                                                                          \
		PARAM_DOWN_BIAS, PART_WHOLE, false, "layers.%d.mlp.down_proj.bias"                 \
	}

static const struct hf_name llama_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "embed_tokens.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "layers.%d.input_layernorm.weight"},
	QKV_NAMES,
	{PARAM_Q_NORM_SCALE, PART_WHOLE, false, "layers.%d.self_attn.q_norm.weight"},
	{PARAM_K_NORM_SCALE, PART_WHOLE, false, "layers.%d.self_attn.k_norm.weight"},
	O_NAMES,
	{PARAM_NORM2_SCALE, PART_WHOLE, false, "layers.%d.post_attention_layernorm.weight"},
	GATED_NAMES,
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "norm.weight"},
	{0},
};

/* Norms around each branch: Gemma 2 and 3. */
static const struct hf_name gemma2_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "embed_tokens.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "layers.%d.input_layernorm.weight"},
	QKV_NAMES,
	{PARAM_Q_NORM_SCALE, PART_WHOLE, false, "layers.%d.self_attn.q_norm.weight"},
	{PARAM_K_NORM_SCALE, PART_WHOLE, false, "layers.%d.self_attn.k_norm.weight"},
	O_NAMES,
	{PARAM_POST_NORM1_SCALE, PART_WHOLE, false, "layers.%d.post_attention_layernorm.weight"},
	{PARAM_NORM2_SCALE, PART_WHOLE, false, "layers.%d.pre_feedforward_layernorm.weight"},
	GATED_NAMES,
	{PARAM_POST_NORM2_SCALE, PART_WHOLE, false, "layers.%d.post_feedforward_layernorm.weight"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "norm.weight"},
	{0},
};

static const struct hf_name phi_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "embed_tokens.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "layers.%d.input_layernorm.weight"},
	{PARAM_NORM1_SHIFT, PART_WHOLE, false, "layers.%d.input_layernorm.bias"},
	QKV_NAMES,
	{PARAM_Q_NORM_SCALE, PART_WHOLE, false, "layers.%d.self_attn.q_layernorm.weight"},
	{PARAM_Q_NORM_SHIFT, PART_WHOLE, false, "layers.%d.self_attn.q_layernorm.bias"},
	{PARAM_K_NORM_SCALE, PART_WHOLE, false, "layers.%d.self_attn.k_layernorm.weight"},
	{PARAM_K_NORM_SHIFT, PART_WHOLE, false, "layers.%d.self_attn.k_layernorm.bias"},
	{PARAM_O_WEIGHT, PART_WHOLE, false, "layers.%d.self_attn.dense.weight"},
	{PARAM_O_BIAS, PART_WHOLE, false, "layers.%d.self_attn.dense.bias"},
	{PARAM_UP_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.fc1.weight"},
	{PARAM_UP_BIAS, PART_WHOLE, false, "layers.%d.mlp.fc1.bias"},
	{PARAM_DOWN_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.fc2.weight"},
	{PARAM_DOWN_BIAS, PART_WHOLE, false, "layers.%d.mlp.fc2.bias"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "final_layernorm.weight"},
	{PARAM_FINAL_SHIFT, PART_WHOLE, false, "final_layernorm.bias"},
	{0},
};

/* q, k and v are one tensor of whole blocks, and so are gate and up. */
static const struct hf_name phi3_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "embed_tokens.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "layers.%d.input_layernorm.weight"},
	{PARAM_QKV_WEIGHT, PART_WHOLE, false, "layers.%d.self_attn.qkv_proj.weight"},
	{PARAM_O_WEIGHT, PART_WHOLE, false, "layers.%d.self_attn.o_proj.weight"},
	{PARAM_NORM2_SCALE, PART_WHOLE, false, "layers.%d.post_attention_layernorm.weight"},
	{PARAM_UP_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.gate_up_proj.weight"},
	{PARAM_DOWN_WEIGHT, PART_WHOLE, false, "layers.%d.mlp.down_proj.weight"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "norm.weight"},
	{0},
};

/* Norms have one name, whether they are before or behind their branch. */
static const struct hf_name opt_names[] = {
	{PARAM_TOKEN_EMBEDDING, PART_WHOLE, false, "decoder.embed_tokens.weight"},
	{PARAM_POSITION_EMBEDDING, PART_WHOLE, false, "decoder.embed_positions.weight"},
	{PARAM_PROJECT_IN, PART_WHOLE, false, "decoder.project_in.weight"},
	{PARAM_NORM1_SCALE, PART_WHOLE, false, "decoder.layers.%d.self_attn_layer_norm.weight"},
	{PARAM_NORM1_SHIFT, PART_WHOLE, false, "decoder.layers.%d.self_attn_layer_norm.bias"},
	{PARAM_QKV_WEIGHT, PART_Q, false, "decoder.layers.%d.self_attn.q_proj.weight"},
	{PARAM_QKV_WEIGHT, PART_K, false, "decoder.layers.%d.self_attn.k_proj.weight"},
	{PARAM_QKV_WEIGHT, PART_V, false, "decoder.layers.%d.self_attn.v_proj.weight"},
	{PARAM_QKV_BIAS, PART_Q, false, "decoder.layers.%d.self_attn.q_proj.bias"},
	{PARAM_QKV_BIAS, PART_K, false, "decoder.layers.%d.self_attn.k_proj.bias"},
	{PARAM_QKV_BIAS, PART_V, false, "decoder.layers.%d.self_attn.v_proj.bias"},
	{PARAM_O_WEIGHT, PART_WHOLE, false, "decoder.layers.%d.self_attn.out_proj.weight"},
	{PARAM_O_BIAS, PART_WHOLE, false, "decoder.layers.%d.self_attn.out_proj.bias"},
	{PARAM_POST_NORM1_SCALE, PART_WHOLE, false,
	 "decoder.layers.%d.self_attn_layer_norm.weight"},
	{PARAM_POST_NORM1_SHIFT, PART_WHOLE, false, "decoder.layers.%d.self_attn_layer_norm.bias"},
	{PARAM_NORM2_SCALE, PART_WHOLE, false, "decoder.layers.%d.final_layer_norm.weight"},
	{PARAM_NORM2_SHIFT, PART_WHOLE, false, "decoder.layers.%d.final_layer_norm.bias"},
	{PARAM_UP_WEIGHT, PART_WHOLE, false, "decoder.layers.%d.fc1.weight"},
	{PARAM_UP_BIAS, PART_WHOLE, false, "decoder.layers.%d.fc1.bias"},
	{PARAM_DOWN_WEIGHT, PART_WHOLE, false, "decoder.layers.%d.fc2.weight"},
	{PARAM_DOWN_BIAS, PART_WHOLE, false, "decoder.layers.%d.fc2.bias"},
	{PARAM_POST_NORM2_SCALE, PART_WHOLE, false, "decoder.layers.%d.final_layer_norm.weight"},
	{PARAM_POST_NORM2_SHIFT, PART_WHOLE, false, "decoder.layers.%d.final_layer_norm.bias"},
	{PARAM_FINAL_SCALE, PART_WHOLE, false, "decoder.final_layer_norm.weight"},
	{PARAM_FINAL_SHIFT, PART_WHOLE, false, "decoder.final_layer_norm.bias"},
	{PARAM_PROJECT_OUT, PART_WHOLE, false, "decoder.project_out.weight"},
	{0},
};

/* --- keys --- */

static const struct hf_keys gpt2_keys = {
	.hidden = {{"n_embd", "hidden_size"}, 768},
	.layers = {{"n_layer", "num_hidden_layers"}, 12},
	.heads = {{"n_head", "num_attention_heads"}, 12},
	.positions = {{"n_positions", "max_position_embeddings", "n_ctx"}, 1024},
	.ff = {{"n_inner"}, 0},
	.vocab = 50257,
	.activation = "activation_function",
	.default_activation = "gelu_new",
	.eps = "layer_norm_epsilon",
	.default_eps = 1e-5,
	.bos = 50256,
	.eos = 50256,
	.pad = -1,
};

static const struct hf_keys gptj_keys = {
	.hidden = {{"n_embd", "hidden_size"}, 4096},
	.layers = {{"n_layer", "num_hidden_layers"}, 28},
	.heads = {{"n_head", "num_attention_heads"}, 16},
	.positions = {{"n_positions", "max_position_embeddings", "n_ctx"}, 2048},
	.ff = {{"n_inner"}, 0},
	.vocab = 50400,
	.activation = "activation_function",
	.default_activation = "gelu_new",
	.eps = "layer_norm_epsilon",
	.default_eps = 1e-5,
	.bos = 50256,
	.eos = 50256,
	.pad = -1,
};

#define COUNTS(hidden_, layers_, heads_, ff_, positions_)                                          \
	.hidden = {{"hidden_size"}, hidden_}, .layers = {{"num_hidden_layers"}, layers_},          \
	.heads = {{"num_attention_heads"}, heads_}, .ff = {{"intermediate_size"}, ff_},            \
	.positions = {{"max_position_embeddings"}, positions_}
#define LLAMA_KEYS                                                                                 \
	.activation = "hidden_act", .default_activation = "silu", .eps = "rms_norm_eps",           \
	.default_eps = 1e-6, .theta = "rope_theta"

static const struct hf_keys gpt_neox_keys = {
	COUNTS(6144, 44, 64, 24576, 2048),
	.vocab = 50432,
	.activation = "hidden_act",
	.default_activation = "gelu",
	.eps = "layer_norm_eps",
	.default_eps = 1e-5,
	.theta = "rotary_emb_base",
	.fraction = "rotary_pct",
	.default_fraction = 0.25,
	.bos = 0,
	.eos = 2,
	.pad = -1,
};

static const struct hf_keys llama_keys = {
	COUNTS(4096, 32, 32, 11008, 2048),
	LLAMA_KEYS,
	.vocab = 32000,
	.bos = 1,
	.eos = 2,
	.pad = -1,
};

static const struct hf_keys mistral_keys = {
	COUNTS(4096, 32, 32, 14336, 131072),
	LLAMA_KEYS,
	.vocab = 32000,
	.kv_heads = 8,
	.window = 4096,
	.bos = 1,
	.eos = 2,
	.pad = -1,
};

static const struct hf_keys qwen2_keys = {
	COUNTS(4096, 32, 32, 22016, 32768),
	LLAMA_KEYS,
	.vocab = 151936,
	.kv_heads = 32,
	.window = 4096,
	.bos = -1,
	.eos = -1,
	.pad = -1,
};

static const struct hf_keys qwen3_keys = {
	COUNTS(4096, 32, 32, 22016, 32768),
	LLAMA_KEYS,
	.vocab = 151936,
	.kv_heads = 32,
	.head_dim = 128,
	.window = 4096,
	.bos = -1,
	.eos = -1,
	.pad = -1,
};

static const struct hf_keys phi_keys = {
	COUNTS(2048, 24, 32, 8192, 2048),
	.vocab = 51200,
	.activation = "hidden_act",
	.default_activation = "gelu_new",
	.eps = "layer_norm_eps",
	.default_eps = 1e-5,
	.theta = "rope_theta",
	.fraction = "partial_rotary_factor",
	.default_fraction = 0.5,
	.bos = 1,
	.eos = 2,
	.pad = -1,
};

static const struct hf_keys phi3_keys = {
	COUNTS(3072, 32, 32, 8192, 4096),
	.vocab = 32064,
	.original_positions = 4096,
	.activation = "hidden_act",
	.default_activation = "silu",
	.eps = "rms_norm_eps",
	.default_eps = 1e-5,
	.theta = "rope_theta",
	.fraction = "partial_rotary_factor",
	.default_fraction = 1,
	.bos = 1,
	.eos = 32000,
	.pad = 32000,
};

#define GEMMA_KEYS                                                                                 \
	.default_activation = "gelu_pytorch_tanh", .eps = "rms_norm_eps", .default_eps = 1e-6,     \
	.theta = "rope_theta", .head_dim = 256, .bos = 2, .eos = 1, .pad = 0

static const struct hf_keys gemma_keys = {
	COUNTS(3072, 28, 16, 24576, 8192), GEMMA_KEYS, .vocab = 256000, .kv_heads = 16,
	.activation = "hidden_act",
};

static const struct hf_keys gemma2_keys = {
	COUNTS(2304, 26, 8, 9216, 8192),
	GEMMA_KEYS,
	.vocab = 256000,
	.kv_heads = 4,
	.window = 4096,
	.activation = "hidden_activation",
};

static const struct hf_keys gemma3_keys = {
	COUNTS(2304, 26, 8, 9216, 131072),
	GEMMA_KEYS,
	.vocab = 262208,
	.kv_heads = 4,
	.window = 4096,
	.activation = "hidden_activation",
};

static const struct hf_keys opt_keys = {
	.hidden = {{"hidden_size"}, 768},
	.layers = {{"num_hidden_layers"}, 12},
	.heads = {{"num_attention_heads"}, 12},
	.positions = {{"max_position_embeddings"}, 2048},
	.ff = {{"ffn_dim"}, 3072},
	.vocab = 50272,
	.activation = "activation_function",
	.default_activation = "relu",
	.default_eps = 1e-5,
	.bos = 2,
	.eos = 2,
	.pad = 1,
};

/* --- families --- */

/* What Llama and its kin have in common. */
#define LLAMA_LIKE                                                                                 \
	.prefix = "model.", .lm_head = "lm_head", .position = POSITION_ROTARY, .mlp = MLP_GATED,   \
	.has_kv_heads = true, .has_head_dim = true, .freezes_pad = true

static const struct hf_family families[] = {
	{.model_type = "gpt2",
	 .base_architecture = "GPT2Model",
	 .lm_architecture = "GPT2LMHeadModel",
	 .score_architecture = "GPT2ForSequenceClassification",
	 .prefix = "transformer.",
	 .lm_head = "lm_head",
	 .names = gpt2_names,
	 .keys = &gpt2_keys,
	 .norm = NORM_LAYER,
	 .position = POSITION_LEARNED,
	 .mlp = MLP_PLAIN,
	 .biases = BIAS_QKV | BIAS_O | BIAS_MLP,
	 .ties_by_default = true,
	 .has_gpt2_scales = true},
	{.model_type = "gpt_neox",
	 .base_architecture = "GPTNeoXModel",
	 .lm_architecture = "GPTNeoXForCausalLM",
	 .score_architecture = "GPTNeoXForSequenceClassification",
	 .prefix = "gpt_neox.",
	 .lm_head = "embed_out",
	 .names = gpt_neox_names,
	 .keys = &gpt_neox_keys,
	 .block = BLOCK_PARALLEL,
	 .norm = NORM_LAYER,
	 .position = POSITION_ROTARY,
	 .mlp = MLP_PLAIN,
	 .biases = BIAS_MLP,
	 .has_attention_bias = true,
	 .attention_bias = true,
	 .rounds_rotary = true,
	 .has_parallel_switch = true},
	{.model_type = "gptj",
	 .base_architecture = "GPTJModel",
	 .lm_architecture = "GPTJForCausalLM",
	 .score_architecture = "GPTJForSequenceClassification",
	 .prefix = "transformer.",
	 .lm_head = "lm_head",
	 .names = gptj_names,
	 .keys = &gptj_keys,
	 .block = BLOCK_PARALLEL_SHARED,
	 .norm = NORM_LAYER,
	 .position = POSITION_ROTARY,
	 .mlp = MLP_PLAIN,
	 .biases = BIAS_MLP | BIAS_HEAD,
	 .interleaves_rotary = true,
	 .has_rotary_dim = true},
	{.model_type = "llama",
	 .base_architecture = "LlamaModel",
	 .lm_architecture = "LlamaForCausalLM",
	 .score_architecture = "LlamaForSequenceClassification",
	 LLAMA_LIKE,
	 .norm = NORM_RMS,
	 .names = llama_names,
	 .keys = &llama_keys,
	 .has_attention_bias = true,
	 .has_mlp_bias = true},
	{.model_type = "mistral",
	 .base_architecture = "MistralModel",
	 .lm_architecture = "MistralForCausalLM",
	 .score_architecture = "MistralForSequenceClassification",
	 LLAMA_LIKE,
	 .norm = NORM_RMS,
	 .names = llama_names,
	 .keys = &mistral_keys,
	 .windows = WINDOWS_LISTED},
	{.model_type = "qwen2",
	 .base_architecture = "Qwen2Model",
	 .lm_architecture = "Qwen2ForCausalLM",
	 .score_architecture = "Qwen2ForSequenceClassification",
	 LLAMA_LIKE,
	 .norm = NORM_RMS,
	 .names = llama_names,
	 .keys = &qwen2_keys,
	 .biases = BIAS_QKV,
	 .windows = WINDOWS_LATE},
	{.model_type = "qwen3",
	 .base_architecture = "Qwen3Model",
	 .lm_architecture = "Qwen3ForCausalLM",
	 .score_architecture = "Qwen3ForSequenceClassification",
	 LLAMA_LIKE,
	 .norm = NORM_RMS,
	 .names = llama_names,
	 .keys = &qwen3_keys,
	 .has_attention_bias = true,
	 .has_head_norm = true,
	 .windows = WINDOWS_LATE},
	{.model_type = "phi",
	 .base_architecture = "PhiModel",
	 .lm_architecture = "PhiForCausalLM",
	 .score_architecture = "PhiForSequenceClassification",
	 .prefix = "model.",
	 .lm_head = "lm_head",
	 .names = phi_names,
	 .keys = &phi_keys,
	 .block = BLOCK_PARALLEL_SHARED,
	 .norm = NORM_LAYER,
	 .position = POSITION_ROTARY,
	 .mlp = MLP_PLAIN,
	 .biases = BIAS_QKV | BIAS_O | BIAS_MLP | BIAS_HEAD,
	 .has_kv_heads = true,
	 .has_head_dim = true,
	 .has_head_norm_switch = true,
	 .freezes_pad = true},
	{.model_type = "phi3",
	 .base_architecture = "Phi3Model",
	 .lm_architecture = "Phi3ForCausalLM",
	 .score_architecture = "Phi3ForSequenceClassification",
	 LLAMA_LIKE,
	 .norm = NORM_RMS,
	 .names = phi3_names,
	 .keys = &phi3_keys,
	 .windows = WINDOWS_ALL,
	 .rounds_rotary = true,
	 .has_longrope_names = true},
	{.model_type = "gemma",
	 .base_architecture = "GemmaModel",
	 .lm_architecture = "GemmaForCausalLM",
	 .score_architecture = "GemmaForSequenceClassification",
	 LLAMA_LIKE,
	 .norm = NORM_RMS_UNIT,
	 .names = llama_names,
	 .keys = &gemma_keys,
	 .ties_by_default = true,
	 .has_attention_bias = true,
	 .scales_embedding = true,
	 .means_tanh_gelu = true},
	{.model_type = "gemma2",
	 .base_architecture = "Gemma2Model",
	 .lm_architecture = "Gemma2ForCausalLM",
	 .score_architecture = "Gemma2ForSequenceClassification",
	 LLAMA_LIKE,
	 .block = BLOCK_SANDWICH,
	 .norm = NORM_RMS_UNIT,
	 .names = gemma2_names,
	 .keys = &gemma2_keys,
	 .ties_by_default = true,
	 .has_attention_bias = true,
	 .scales_embedding = true,
	 .has_query_scalar = true,
	 .has_attention_cap = true,
	 .has_logit_cap = true,
	 .logit_cap = 30,
	 .windows = WINDOWS_SECOND},
	{.model_type = "gemma3_text",
	 .base_architecture = "Gemma3TextModel",
	 .lm_architecture = "Gemma3ForCausalLM",
	 .score_architecture = "Gemma3TextForSequenceClassification",
	 LLAMA_LIKE,
	 .block = BLOCK_SANDWICH,
	 .norm = NORM_RMS_UNIT,
	 .names = gemma2_names,
	 .keys = &gemma3_keys,
	 .ties_by_default = true,
	 .has_attention_bias = true,
	 .has_head_norm = true,
	 .scales_embedding = true,
	 .has_query_scalar = true,
	 .has_logit_cap = true,
	 .has_local_rotary = true,
	 .windows = WINDOWS_PATTERN},
	{.model_type = "opt",
	 .base_architecture = "OPTModel",
	 .lm_architecture = "OPTForCausalLM",
	 .score_architecture = "OPTForSequenceClassification",
	 .prefix = "model.",
	 .lm_head = "lm_head",
	 .names = opt_names,
	 .keys = &opt_keys,
	 .norm = NORM_LAYER,
	 .position = POSITION_LEARNED,
	 .position_offset = 2,
	 .mlp = MLP_PLAIN,
	 .ties_by_default = true,
	 .freezes_pad = true,
	 .has_opt_options = true},
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
	if (strcmp(architecture, "LLaMAForCausalLM") == 0) /* as the first files spell it */
		architecture = "LlamaForCausalLM";
	for (int i = 0; i < N_FAMILIES; i++)
		if (strcmp(families[i].base_architecture, architecture) == 0 ||
		    strcmp(families[i].lm_architecture, architecture) == 0 ||
		    strcmp(families[i].score_architecture, architecture) == 0)
			return &families[i];
	return NULL;
}

void hf_family_list(char *out, size_t size)
{
	size_t used = 0;

	for (int i = 0; i < N_FAMILIES && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
					 families[i].model_type);
}

const char *hf_family_name(const struct hf_family *family)
{
	return family->model_type;
}

/* The table of model families: how each is described in config.json and how its
 * tensors are named and laid out in a checkpoint.  Adding a family made of known
 * parts is an entry here.  Private to the hf_*.c files. */
#pragma once

#include <stdbool.h>

#include "common/model/model_config.h"
#include "common/model/params.h"

/* Which rows of a parameter a stored tensor is. */
enum hf_part {
	PART_WHOLE,
	PART_Q,
	PART_K,
	PART_V,
	PART_HEADS, /* q, k and v of head 0, then of head 1, and so on */
	PART_GATE,
	PART_UP,
};

struct hf_name {
	enum param_id id;
	enum hf_part part;
	bool is_transposed; /* stored [in, out] */
	const char *suffix; /* after the prefix; %d is the layer */
};

/* A whole number of config.json: its key, another name of it, a third that some files use
 * instead, and what it is if all are missing. */
struct hf_count {
	const char *keys[3];
	int fallback;
};

/* Names of the keys of config.json, and what a missing one means: the defaults of the
 * family's class. */
struct hf_keys {
	struct hf_count hidden, layers, heads, positions;
	struct hf_count ff; /* fallback 0: four times hidden */
	int vocab;
	int kv_heads;		/* 0: as many as heads */
	int head_dim;		/* 0: hidden / heads */
	int window;		/* of sliding_window; 0: none */
	int original_positions; /* of original_max_position_embeddings; 0: none */
	const char *activation, *default_activation;
	const char *eps; /* NULL: fixed */
	double default_eps;
	const char *theta;    /* NULL: fixed */
	const char *fraction; /* of a head that rotates; NULL: all of it */
	double default_fraction;
	int bos, eos, pad; /* -1: none */
};

/* Which layers have a window of sliding_window keys. */
enum hf_windows {
	WINDOWS_NONE,
	WINDOWS_ALL,	  /* whatever layer_types says */
	WINDOWS_LISTED,	  /* all, but for what layer_types says */
	WINDOWS_LATE,	 /* from max_window_layers on, if use_sliding_window is true */
	WINDOWS_SECOND,	 /* every second layer from the first on */
	WINDOWS_PATTERN, /* all but each sliding_window_pattern-th */
};

struct hf_family {
	const char *model_type;
	const char *base_architecture; /* without a head: read as a language model */
	const char *lm_architecture, *score_architecture;
	const char *prefix;	     /* of the backbone's tensors: "model." */
	const char *lm_head;	     /* "lm_head", of which .weight and .bias are tensors */
	const struct hf_name *names; /* ends with a NULL suffix; the embedding is first */
	const struct hf_keys *keys;
	enum block_kind block;
	enum norm_kind norm;
	enum position_kind position;
	int position_offset;
	enum mlp_kind mlp;
	unsigned biases; /* always there */
	enum hf_windows windows;
	bool ties_by_default;
	bool has_kv_heads;	   /* num_key_value_heads is read */
	bool has_head_dim;	   /* head_dim is read */
	bool has_attention_bias;   /* attention_bias adds to biases */
	bool attention_bias;	   /* if that key is missing */
	bool has_mlp_bias;	   /* mlp_bias adds to them */
	bool has_head_norm;	   /* of each head of q and k */
	bool has_head_norm_switch; /* only if qk_layernorm is true */
	bool has_query_scalar;	   /* query_pre_attn_scalar stands for the head size */
	bool has_attention_cap;	   /* attn_logit_softcapping is read, by default 50 */
	bool has_logit_cap;	   /* final_logit_softcapping is read */
	double logit_cap;	   /* if that key is missing; 0: none */
	bool scales_embedding;	   /* by the root of hidden */
	bool freezes_pad;	   /* no gradient for the embedding of an input pad_token_id */
	bool interleaves_rotary;   /* stores pairs as neighbours; they are halves in memory */
	bool rounds_rotary;	   /* an odd number of rotary elements, up */
	bool has_rotary_dim;	   /* rotary_dim is read, and rope_scaling is not */
	bool has_local_rotary;	   /* layers with a window rotate by rope_local_base_freq */
	bool has_longrope_names;   /* "su" and "yarn" stand for longrope, the only scaling */
	bool has_parallel_switch;  /* sequential if use_parallel_residual is false */
	bool has_gpt2_scales;	   /* scale_attn_weights, scale_attn_by_inverse_layer_idx */
	bool has_opt_options;	   /* do_layer_norm_before, word_embed_proj_dim and more */
	bool means_tanh_gelu;	   /* where it says "gelu" */
};

const struct hf_family *hf_family_find(const char *model_type);
/* By the name of a class, such as LlamaForCausalLM; NULL if unknown. */
const struct hf_family *hf_family_of_architecture(const char *architecture);
/* The model types of all, for messages: "gpt2, gpt_neox, ..."; out holds size bytes. */
void hf_family_list(char *out, size_t size);

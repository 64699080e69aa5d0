/* The table of model families: how each is described in config.json and how its
 * tensors are named and laid out in a checkpoint.  Adding a family made of known
 * parts is an entry here.  Private to the hf_*.c files. */
#pragma once

#include <stdbool.h>

#include "common/model/model_config.h"
#include "common/model/params.h"

/* Which rows of a parameter a stored tensor is. */
enum hf_part { PART_WHOLE, PART_Q, PART_K, PART_V, PART_GATE, PART_UP };

struct hf_name {
	enum param_id id;
	enum hf_part part;
	bool is_transposed; /* stored [in, out] */
	const char *suffix; /* after the prefix; %d is the layer */
};

/* Names of the keys of config.json, and what a missing one means. */
struct hf_keys {
	const char *hidden, *layers, *heads, *ff, *positions, *positions_alias, *activation, *eps;
	int default_hidden, default_layers, default_heads, default_ff, default_positions;
	int default_vocab;
	int default_kv_heads; /* 0: as many as heads */
	int default_window;   /* 0: none */
	const char *default_activation;
	double default_eps;
};

struct hf_family {
	const char *model_type;
	const char *lm_architecture, *score_architecture;
	const char *prefix;	     /* of the backbone's tensors: "model." */
	const struct hf_name *names; /* ends with a NULL suffix */
	const struct hf_keys *keys;
	enum norm_kind norm;
	enum position_kind position;
	enum mlp_kind mlp;
	unsigned biases;    /* always there */
	bool has_bias_keys; /* attention_bias and mlp_bias add to them */
	bool has_kv_heads;  /* num_key_value_heads and head_dim are read */
	bool ties_by_default;
	bool has_window;	/* sliding_window is read */
	bool has_window_switch; /* and only counts if use_sliding_window is true */
};

const struct hf_family *hf_family_find(const char *model_type);
/* By the name of a class, such as LlamaForCausalLM; NULL if unknown. */
const struct hf_family *hf_family_of_architecture(const char *architecture);

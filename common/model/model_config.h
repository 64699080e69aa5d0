/* What a transformer is: dimensions and variant, for every supported family.
 *
 * One forward pass is driven by this description, so that a family made of
 * known parts is an entry in the table of hf_families.c and nothing else.
 * Letters: C channels, H query heads, K key/value heads, D head size, F
 * feed-forward, L layers, V vocabulary rows, P learned positions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ops/activation.h"

enum norm_kind { NORM_LAYER, NORM_RMS };
enum position_kind { POSITION_LEARNED, POSITION_ROTARY };
enum mlp_kind { MLP_PLAIN, MLP_GATED };
enum head_kind { HEAD_LM, HEAD_SCORE }; /* next-token logits; labels (reward, value) */

/* Bits of model_config.biases. */
enum { BIAS_QKV = 1, BIAS_O = 2, BIAS_MLP = 4 };

struct model_config {
	const struct hf_family *family; /* names and storage in a checkpoint */
	enum norm_kind norm;
	enum position_kind position;
	enum mlp_kind mlp;
	enum activation activation;
	unsigned biases;
	int n_channels;	   /* C */
	int n_heads;	   /* H */
	int n_kv_heads;	   /* K */
	int head_dim;	   /* D */
	int n_ff;	   /* F */
	int n_layers;	   /* L */
	int n_vocab;	   /* V: rows of the embedding */
	int max_positions; /* P: no sequence may exceed learned positions or a window */
	bool has_window;   /* P is the length of a sliding window */
	int rotary_dim;	   /* elements of each head that rotate; 0 for learned */
	double rope_theta;
	float norm_eps;
	float attention_scale;
	bool tied; /* the output head is the embedding */
	enum head_kind head;
	int n_labels;			/* rows of the score head; 0 for HEAD_LM */
	int32_t bos_id, eos_id, pad_id; /* -1 where none or outside the vocabulary */
};

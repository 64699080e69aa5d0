/* What a transformer is: dimensions and variant, for every supported family.
 *
 * One forward pass is driven by this description, so that a family made of
 * known parts is an entry in the table of hf_families.c and nothing else.
 * Letters: C channels, H query heads, K key/value heads, D head size, F
 * feed-forward, L layers, V vocabulary rows, P learned positions, W columns of
 * the embedding. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ops/activation.h"
#include "common/ops/attention.h"
#include "common/ops/norm.h"

/* How a layer turns x into its successor; N norms, A attention, M feed-forward. */
enum block_kind {
	BLOCK_PRE_NORM,	       /* x += A(N1 x);  x += M(N2 x) */
	BLOCK_PARALLEL,	       /* x += A(N1 x) + M(N2 x) */
	BLOCK_PARALLEL_SHARED, /* x += A(N1 x) + M(N1 x) */
	BLOCK_SANDWICH,	       /* x += P1 A(N1 x);  x += P2 M(N2 x), with norms P */
	BLOCK_POST_NORM,       /* x = P1(x + A x);  x = P2(x + M x) */
};
enum position_kind { POSITION_LEARNED, POSITION_ROTARY };
enum mlp_kind { MLP_PLAIN, MLP_GATED };
enum head_kind { HEAD_LM, HEAD_SCORE }; /* next-token logits; labels (reward, value) */

/* Bits of model_config.biases. */
enum { BIAS_QKV = 1, BIAS_O = 2, BIAS_MLP = 4, BIAS_HEAD = 8 };

enum { MODEL_MAX_LAYERS = 4096, MODEL_MAX_POSITIONS = 1 << 26 };

/* Angles of rotary positions; formulas in rotary.c. */
enum rotary_kind {
	ROTARY_DEFAULT,
	ROTARY_LINEAR,
	ROTARY_DYNAMIC,
	ROTARY_LLAMA3,
	ROTARY_YARN,
	ROTARY_LONGROPE,
};
struct rotary {
	enum rotary_kind kind;
	double theta;
	double factor;		 /* all but default and longrope */
	int original;		 /* positions that the unscaled angles were made for */
	double low, high;	 /* llama3: frequency factors; yarn: beta slow, fast */
	bool truncate;		 /* yarn: whole numbers bound the ramp */
	double attention_factor; /* of cosine and sine */
	float short_factor[ATTENTION_MAX_HEAD_DIM / 2]; /* longrope */
	float long_factor[ATTENTION_MAX_HEAD_DIM / 2];
};

struct model_config {
	const struct hf_family *family; /* names and storage in a checkpoint */
	bool sees_images; /* the whole that config.json describes, of which this is a part */
	enum block_kind block;
	enum norm_kind norm;
	enum norm_kind head_norm; /* of each head of q and k, if has_head_norm */
	enum position_kind position;
	enum mlp_kind mlp;
	enum activation activation;
	unsigned biases;
	bool has_head_norm;
	bool has_norm_weights; /* norms scale and shift */
	bool has_final_norm;
	int n_channels;	     /* C */
	int n_heads;	     /* H */
	int n_kv_heads;	     /* K */
	int head_dim;	     /* D */
	int n_ff;	     /* F */
	int n_layers;	     /* L */
	int n_vocab;	     /* V: rows of the embedding */
	int n_embedding;     /* W: projected from and to C where they differ */
	int max_positions;   /* P; see model_position_limit */
	int position_offset; /* row of the position table for position 0 */
	int rotary_dim;	     /* elements of each head that rotate; 0 for learned */
	int rotary_width;    /* that their frequencies count: rotary_dim, or one less */
	struct rotary rotary;
	bool has_local_rotary; /* layers with a window rotate by local_rotary */
	struct rotary local_rotary;
	int window;				  /* of the layers that have one; 0: none has */
	uint64_t windowed[MODEL_MAX_LAYERS / 64]; /* a bit for each layer */
	float norm_eps;
	float attention_scale;
	bool scales_by_layer; /* attention_scale is divided by the layer's number from 1 */
	float attention_cap;  /* 0: none */
	float logit_cap;      /* 0: none */
	float embedding_scale;
	bool tied; /* the output head is the embedding */
	enum head_kind head;
	int n_labels;			/* rows of the score head; 0 for HEAD_LM */
	int32_t bos_id, eos_id, pad_id; /* -1 where none or outside the vocabulary */
	bool freezes_pad;		/* the embedding of pad_id is learnt as an output alone */
	int32_t frozen_id; /* without a pad_id that of this one, if freezes_pad; -1: none */
};

static inline bool config_has_window(const struct model_config *config, int layer)
{
	return config->windowed[layer / 64] >> (layer % 64) & 1;
}
static inline bool config_is_parallel(const struct model_config *config)
{
	return config->block == BLOCK_PARALLEL || config->block == BLOCK_PARALLEL_SHARED;
}
/* Norms before the branches of a layer, and behind them. */
static inline bool config_has_pre_norm(const struct model_config *config)
{
	return config->block != BLOCK_POST_NORM;
}
static inline bool config_has_post_norm(const struct model_config *config)
{
	return config->block == BLOCK_SANDWICH || config->block == BLOCK_POST_NORM;
}

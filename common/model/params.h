/* All weights of a model in one flat block of floats, with named views.
 *
 * Gradients and both moments of the optimizer use the same layout, so that
 * broadcast, reduction, the optimizer and checkpoints are loops over one array.
 * Matrices are [out, in].  q, k and v are one matrix [(H+2K) D, C]; gate and up
 * are one matrix [2F, C].  However a family stores them, the rows of a head are
 * rotated in halves; hf_tensors.c puts them in order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/model/model_config.h"

/* Numbers key the random start of a model: new ones go to the end. */
enum param_id {
	PARAM_TOKEN_EMBEDDING,	  /* [V, W] */
	PARAM_POSITION_EMBEDDING, /* [offset + P, C] */
	PARAM_NORM1_SCALE,	  /* [C], each layer; a norm's shift follows its scale */
	PARAM_NORM1_SHIFT,
	PARAM_QKV_WEIGHT, /* [(H+2K) D, C] */
	PARAM_QKV_BIAS,
	PARAM_O_WEIGHT, /* [C, H D] */
	PARAM_O_BIAS,
	PARAM_NORM2_SCALE,
	PARAM_NORM2_SHIFT,
	PARAM_UP_WEIGHT, /* [F, C], or gate | up [2F, C] */
	PARAM_UP_BIAS,
	PARAM_DOWN_WEIGHT, /* [C, F] */
	PARAM_DOWN_BIAS,
	PARAM_FINAL_SCALE, /* [C] */
	PARAM_FINAL_SHIFT,
	PARAM_LM_HEAD,	    /* [V, W]; absent when tied */
	PARAM_SCORE_WEIGHT, /* [n_labels, W] */
	PARAM_SCORE_BIAS,   /* [n_labels]; only if the checkpoint had one */
	PARAM_PROJECT_IN,   /* [C, W], [W, C]: where W is not C */
	PARAM_PROJECT_OUT,
	PARAM_Q_NORM_SCALE, /* [D], of each head */
	PARAM_Q_NORM_SHIFT,
	PARAM_K_NORM_SCALE,
	PARAM_K_NORM_SHIFT,
	PARAM_POST_NORM1_SCALE, /* [C], behind attention */
	PARAM_POST_NORM1_SHIFT,
	PARAM_POST_NORM2_SCALE, /* behind the feed-forward part */
	PARAM_POST_NORM2_SHIFT,
	PARAM_LM_HEAD_BIAS, /* [V] */
	PARAM_COUNT
};

struct param {
	enum param_id id;
	int layer; /* -1 outside the layers */
	int rows;
	int cols;	      /* 1 for vectors of `rows` elements */
	size_t offset; /* floats from the start of the block; SIZE_MAX: only packed */
	size_t packed_offset; /* floats into the packed block; SIZE_MAX if not a product's */
	bool decays;	      /* matrices do, biases and norms do not */
	const char *name;     /* NULL: that of its id */
};

struct param_layout {
	struct param *items;
	int n;
	size_t n_floats;	/* length of the flat block */
	size_t n_weights;	/* the same where nothing is left out of it */
	size_t n_packed_floats; /* length of the packed block at the current ISA level */
	int *index;		/* [L + 1][PARAM_COUNT]: item or -1; row L is outside layers */
	int n_layers;
};

/* The place after n_floats where a parameter may start, in every block of floats. */
enum { PARAM_ALIGN_FLOATS = 16 };
size_t param_aligned(size_t n_floats);

/* has_score_bias: keep PARAM_SCORE_BIAS. */
void param_layout_init(struct param_layout *layout, const struct model_config *config,
		       bool has_score_bias);
/* Leaves the flat form of what is packed out of the flat block: their offset becomes
 * SIZE_MAX. */
void param_layout_freeze(struct param_layout *layout);
void param_layout_release(struct param_layout *layout);
/* "layers.3.qkv.weight": what a parameter is called in files of our own. */
enum { PARAM_NAME_BYTES = 192 };
void param_name(const struct param *param, char name[static PARAM_NAME_BYTES]);
/* NULL where the model has none; layer -1 outside the layers. */
const struct param *param_find(const struct param_layout *layout, enum param_id id, int layer);

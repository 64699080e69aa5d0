/* Shared by transformer_forward.c, transformer_backward.c and
 * transformer_decode.c alone. */
#pragma once

#include "common/model/transformer.h"
#include "common/ops/attention.h"

/* What one layer's backward pass reads.  T rows each. */
struct kept_layer {
	float *input;		/* [T, C] the residual stream before the layer */
	float *mean1, *rstd1;	/* [T] */
	float *norm1;		/* [T, C] */
	float *qkv;		/* [T, (H+2K) D], rotated */
	float *attended;	/* [T, H D] */
	float *lse;		/* [T, H] */
	float *middle;		/* [T, C] the residual stream after attention */
	float *mean2, *rstd2;	/* [T] */
	float *norm2;		/* [T, C] */
	float *up;		/* [T, F] or gate | up [T, 2F] */
	float *activated;	/* [T, F] */
};

/* How a layer's attention is done: over the batch itself, or over a cache.
 * lse is NULL unless it is kept. */
struct attend {
	void (*run)(void *context, int layer, const float *qkv, float *out, float *lse);
	void *context;
};

static inline int qkv_width(const struct model_config *config)
{
	return (config->n_heads + 2 * config->n_kv_heads) * config->head_dim;
}
static inline int up_width(const struct model_config *config)
{
	return config->mlp == MLP_GATED ? 2 * config->n_ff : config->n_ff;
}
static inline struct attention_shape attention_shape_of(const struct model_config *config)
{
	return (struct attention_shape){.n_heads = config->n_heads,
					.n_kv_heads = config->n_kv_heads,
					.head_dim = config->head_dim,
					.scale = config->attention_scale};
}

/* The forward pass itself: T positions with the given ids, through all layers and
 * the final norm into hidden [T, C]. */
void transformer_run(const struct model *model, const int32_t *ids, const int *positions, int t,
		     const struct attend *attend, float *hidden, struct kept *kept,
		     struct arena *arena, struct pool *pool);

/* positions [T] counted from 0 in each sequence. */
int *batch_positions(const struct batch *batch, struct arena *arena);

/* Shared by transformer_forward.c, transformer_backward.c and
 * transformer_decode.c alone. */
#pragma once

#include "common/model/transformer.h"
#include "common/ops/attention.h"

/* What one layer's backward pass reads.  T rows each.  Arrays that a kind of layer has
 * no use for are NULL or stand for another: without a norm before a branch, its output
 * is its input. */
struct kept_layer {
	float *input;			/* [T, C] the residual stream before the layer */
	float *mean1, *rstd1;		/* [T] */
	float *norm1;			/* [T, C] what attention reads */
	float *qkv;			/* [T, (H+2K) D], normalised and rotated */
	float *qk;			/* [T, (H+K) D], before the norms of heads */
	float *head_mean, *head_rstd;	/* [T, H], then [T, K] */
	float *attended;		/* [T, H D] */
	float *lse;			/* [T, H] */
	float *post1;			/* [T, C] what the norm behind attention reads */
	float *post_mean1, *post_rstd1; /* [T] */
	float *middle;			/* [T, C] the residual stream after attention */
	float *mean2, *rstd2;		/* [T] */
	float *norm2;			/* [T, C] what the feed-forward part reads */
	float *up;			/* [T, F] or gate | up [T, 2F] */
	float *activated;		/* [T, F] */
	float *low;			/* what adapters kept; lora.h */
	float *post2;			/* [T, C] what the norm behind it reads */
	float *post_mean2, *post_rstd2; /* [T] */
};

/* The rows of a pass: T positions of any sequences. */
struct rows {
	const int32_t *ids;   /* [T] */
	const int *positions; /* [T] */
	const int *lengths;   /* [T] of the sequence that a row belongs to */
	int t;
	const int *wanted; /* [n_wanted], as struct batch has them */
	int n_wanted;
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
static inline int qk_width(const struct model_config *config)
{
	return (config->n_heads + config->n_kv_heads) * config->head_dim;
}
static inline int up_width(const struct model_config *config)
{
	return config->mlp == MLP_GATED ? 2 * config->n_ff : config->n_ff;
}
static inline struct attention_shape attention_shape_of(const struct model_config *config,
							int layer)
{
	int divisor = config->scales_by_layer ? layer + 1 : 1;

	return (struct attention_shape){.n_heads = config->n_heads,
					.n_kv_heads = config->n_kv_heads,
					.head_dim = config->head_dim,
					.scale = config->attention_scale / (float)divisor,
					.cap = config->attention_cap,
					.window = config_has_window(config, layer) ? config->window
										   : 0};
}
/* Which of the model's rotations a layer uses. */
static inline int rotary_index(const struct model_config *config, int layer)
{
	return config->has_local_rotary && config_has_window(config, layer);
}
/* The norms of q's heads and k's, of a row of qkv whose places are y_stride apart from
 * or to places x_stride apart. */
static inline struct norm_shape head_norm_shape(const struct model_config *config, int t,
						int n_heads, int x_stride)
{
	return (struct norm_shape){.kind = config->head_norm,
				   .eps = config->norm_eps,
				   .t = t,
				   .n_groups = n_heads,
				   .c = config->head_dim,
				   .x_stride = (size_t)x_stride,
				   .y_stride = (size_t)qkv_width(config)};
}

/* The forward pass itself: all layers and the final norm, into hidden [T or n_wanted, C]. */
void transformer_run(const struct model *model, const struct rows *rows,
		     const struct attend *attend, float *hidden, struct kept *kept,
		     struct arena *arena, struct pool *pool);
/* Runs a layer once more, of which only the input was kept, and fills what its backward
 * pass reads; from the arena. */
void transformer_rerun(const struct model *model, const struct batch *batch,
		       const struct kept *kept, int layer, struct arena *arena,
		       struct pool *pool);

/* What transformer_rerun and the backward pass allocate, counted by the arena. */
void transformer_count_rerun(const struct model *model, int layer, int t, int n_wanted,
			     struct arena *arena);
void transformer_count_backward(const struct model *model, int t, int n_wanted,
				struct arena *arena);

/* The rows of whole sequences; positions count from 0 in each. */
struct rows batch_rows(const struct batch *batch, struct arena *arena);

/* The forward pass of transformer_forward.c in reverse.  At every point dx is
 * the gradient of the residual stream; a branch adds the gradient that flows
 * through its norm.  Formulas of the parts are beside them in common/ops. */
#include "common/model/transformer_private.h"

#include <string.h>

#include "common/base/die.h"
#include "common/ops/activation.h"
#include "common/ops/elementwise.h"
#include "common/ops/gemm.h"
#include "common/ops/norm.h"
#include "common/ops/rope.h"

struct backward {
	const struct model *model;
	const struct batch *batch;
	const struct kept *kept;
	float *grads;
	int t;
	struct arena *arena;
	struct pool *pool;
};

static float *gradient(const struct backward *b, enum param_id id, int layer)
{
	return model_view(b->model, b->grads, id, layer);
}

/* For y = x W^T + bias: dx (overwritten) and the parameters' gradients. */
static void project_backward(const struct backward *b, enum param_id weight_id,
			     enum param_id bias_id, int layer, const float *dy, const float *x,
			     float *dx)
{
	const struct param *param = param_find(&b->model->layout, weight_id, layer);
	float *dbias = gradient(b, bias_id, layer);

	ASSERT(param);
	gemm_backward_input(dx, dy, b->model->weights + param->offset, b->t, param->rows,
			    param->cols, false, b->pool);
	gemm_backward_weight(b->grads + param->offset, dy, x, b->t, param->rows, param->cols,
			     b->pool);
	if (dbias)
		gemm_backward_bias(dbias, dy, b->t, param->rows, b->pool);
}

/* dx += the gradient through a norm whose input was x. */
static void normalise_backward(const struct backward *b, enum param_id scale_id, int layer,
			       float *dx, const float *dy, const float *x, const float *mean,
			       const float *rstd)
{
	const struct model_config *config = &b->model->config;
	const float *scale = model_view(b->model, b->model->weights, scale_id, layer);
	float *dscale = gradient(b, scale_id, layer);

	if (config->norm == NORM_RMS)
		rmsnorm_backward(dx, dscale, dy, x, scale, rstd, b->t, config->n_channels, b->pool);
	else
		layernorm_backward(dx, dscale, gradient(b, scale_id + 1, layer), dy, x, scale,
				   mean, rstd, b->t, config->n_channels, b->pool);
}

static void mlp_backward(const struct backward *b, int layer, float *dx)
{
	const struct model_config *config = &b->model->config;
	const struct kept_layer *at = &b->kept->layers[layer];
	size_t mark = arena_mark(b->arena), t = (size_t)b->t;
	float *dactivated = arena_alloc(b->arena, t * (size_t)config->n_ff, sizeof(float));
	float *dup = arena_alloc(b->arena, t * (size_t)up_width(config), sizeof(float));
	float *dnorm = arena_alloc(b->arena, t * (size_t)config->n_channels, sizeof(float));

	project_backward(b, PARAM_DOWN_WEIGHT, PARAM_DOWN_BIAS, layer, dx, at->activated,
			 dactivated);
	if (config->mlp == MLP_GATED)
		gated_backward(dup, dactivated, at->up, b->t, config->n_ff, config->activation,
			       b->pool);
	else
		activation_backward(dup, dactivated, at->up, t * (size_t)config->n_ff,
				    config->activation, b->pool);
	project_backward(b, PARAM_UP_WEIGHT, PARAM_UP_BIAS, layer, dup, at->norm2, dnorm);
	normalise_backward(b, PARAM_NORM2_SCALE, layer, dx, dnorm, at->middle, at->mean2,
			   at->rstd2);
	arena_rewind(b->arena, mark);
}

static void attention_branch_backward(const struct backward *b, int layer, float *dx)
{
	const struct model_config *config = &b->model->config;
	const struct kept_layer *at = &b->kept->layers[layer];
	struct attention_shape shape = attention_shape_of(config);
	size_t mark = arena_mark(b->arena), t = (size_t)b->t;
	float *dattended = arena_alloc(b->arena, t * (size_t)config->n_heads * config->head_dim,
				       sizeof(float));
	float *dqkv = arena_alloc(b->arena, t * (size_t)qkv_width(config), sizeof(float));
	float *dnorm = arena_alloc(b->arena, t * (size_t)config->n_channels, sizeof(float));

	project_backward(b, PARAM_O_WEIGHT, PARAM_O_BIAS, layer, dx, at->attended, dattended);
	attention_backward(dqkv, dattended, at->attended, at->lse, at->qkv, b->batch->offsets,
			   b->batch->n_seqs, &shape, b->pool);
	if (config->position == POSITION_ROTARY)
		rope_apply(dqkv, b->kept->positions, b->model->rope, b->t, qkv_width(config),
			   config->n_heads + config->n_kv_heads, config->head_dim,
			   config->rotary_dim, -1, b->pool);
	project_backward(b, PARAM_QKV_WEIGHT, PARAM_QKV_BIAS, layer, dqkv, at->norm1, dnorm);
	normalise_backward(b, PARAM_NORM1_SCALE, layer, dx, dnorm, at->input, at->mean1,
			   at->rstd1);
	arena_rewind(b->arena, mark);
}

void transformer_backward(const struct model *model, const struct batch *batch,
			  const struct kept *kept, float *dhidden, float *grads,
			  struct arena *arena, struct pool *pool)
{
	const struct model_config *config = &model->config;
	struct backward b = {.model = model,
			     .batch = batch,
			     .kept = kept,
			     .grads = grads,
			     .t = batch->offsets[batch->n_seqs],
			     .arena = arena,
			     .pool = pool};
	size_t mark = arena_mark(arena);
	float *dx = arena_calloc(arena, (size_t)b.t * config->n_channels, sizeof(float));
	float *dpositions = gradient(&b, PARAM_POSITION_EMBEDDING, -1);

	normalise_backward(&b, PARAM_FINAL_SCALE, -1, dx, dhidden, kept->final_input,
			   kept->final_mean, kept->final_rstd);
	for (int l = config->n_layers - 1; l >= 0; l--) {
		mlp_backward(&b, l, dx);
		attention_branch_backward(&b, l, dx);
	}
	embedding_backward(gradient(&b, PARAM_TOKEN_EMBEDDING, -1), batch->ids, dx, b.t,
			   config->n_channels, pool);
	if (dpositions)
		embedding_backward(dpositions, (const int32_t *)kept->positions, dx, b.t,
				   config->n_channels, pool);
	arena_rewind(arena, mark);
}

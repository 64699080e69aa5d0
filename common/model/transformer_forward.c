/* The one forward pass.
 *
 *     x = token embedding (+ position embedding)                  [T, C]
 *     for each layer:
 *         x += O attend(rotate(QKV norm1(x)))
 *         x += DOWN f(UP norm2(x))
 *     hidden = final norm(x)
 *
 * Training, scoring, prefill and decode differ in how a layer attends, and in
 * nothing else; see struct attend.  Every operation works on rows and a row's
 * bits never depend on the other rows. */
#include "common/model/transformer_private.h"

#include <string.h>

#include "common/base/die.h"
#include "common/ops/activation.h"
#include "common/ops/elementwise.h"
#include "common/ops/gemm.h"
#include "common/ops/norm.h"
#include "common/ops/rope.h"

static const float *weight(const struct model *model, enum param_id id, int layer)
{
	return model_view(model, model->weights, id, layer);
}

/* y [T, N] = x W^T + b with the parameters weight_id and bias_id of a layer. */
static void project(const struct model *model, enum param_id weight_id, enum param_id bias_id,
		    int layer, const float *x, float *y, int t, struct pool *pool)
{
	const struct param *param = param_find(&model->layout, weight_id, layer);
	ASSERT(param && param->packed_offset != SIZE_MAX);
	gemm_forward(y, x, model->packed + param->packed_offset, weight(model, bias_id, layer), t,
		     param->rows, param->cols, pool);
}

static void normalise(const struct model *model, enum param_id scale_id, int layer,
		      const float *x, float *y, float *mean, float *rstd, int t,
		      struct pool *pool)
{
	const struct model_config *config = &model->config;
	const float *scale = weight(model, scale_id, layer);
	/* A shift, where there is one, follows its scale in enum param_id. */
	const float *shift = weight(model, scale_id + 1, layer);

	if (config->norm == NORM_RMS)
		rmsnorm_forward(y, rstd, x, scale, t, config->n_channels, config->norm_eps, pool);
	else
		layernorm_forward(y, mean, rstd, x, scale, shift, t, config->n_channels,
				  config->norm_eps, pool);
}

static void attention_branch(const struct model *model, int layer, const struct kept_layer *at,
			     const int *positions, int t, const struct attend *attend,
			     float *projected, struct pool *pool)
{
	const struct model_config *config = &model->config;

	normalise(model, PARAM_NORM1_SCALE, layer, at->input, at->norm1, at->mean1, at->rstd1, t,
		  pool);
	project(model, PARAM_QKV_WEIGHT, PARAM_QKV_BIAS, layer, at->norm1, at->qkv, t, pool);
	if (config->position == POSITION_ROTARY)
		rope_apply(at->qkv, positions, model->rope, t, qkv_width(config),
			   config->n_heads + config->n_kv_heads, config->head_dim,
			   config->rotary_dim, 1, pool);
	attend->run(attend->context, layer, at->qkv, at->attended, at->lse);
	project(model, PARAM_O_WEIGHT, PARAM_O_BIAS, layer, at->attended, projected, t, pool);
}

static void mlp_branch(const struct model *model, int layer, const struct kept_layer *at, int t,
		       float *projected, struct pool *pool)
{
	const struct model_config *config = &model->config;

	normalise(model, PARAM_NORM2_SCALE, layer, at->middle, at->norm2, at->mean2, at->rstd2, t,
		  pool);
	project(model, PARAM_UP_WEIGHT, PARAM_UP_BIAS, layer, at->norm2, at->up, t, pool);
	if (config->mlp == MLP_GATED)
		gated_forward(at->activated, at->up, t, config->n_ff, config->activation, pool);
	else
		activation_forward(at->activated, at->up, (size_t)t * config->n_ff,
				   config->activation, pool);
	project(model, PARAM_DOWN_WEIGHT, PARAM_DOWN_BIAS, layer, at->activated, projected, t,
		pool);
}

/* Arrays of one layer.  Without backward, all layers share one set and the
 * residual stream is updated in place. */
static void layer_alloc(struct kept_layer *at, const struct model_config *config, int t,
			bool keep, struct arena *arena)
{
	size_t n = (size_t)t, c = (size_t)config->n_channels;

	at->input = arena_alloc(arena, n * c, sizeof(float));
	at->middle = keep ? arena_alloc(arena, n * c, sizeof(float)) : at->input;
	at->norm1 = arena_alloc(arena, n * c, sizeof(float));
	at->norm2 = keep ? arena_alloc(arena, n * c, sizeof(float)) : at->norm1;
	at->qkv = arena_alloc(arena, n * (size_t)qkv_width(config), sizeof(float));
	at->attended = arena_alloc(arena, n * (size_t)config->n_heads * config->head_dim,
				   sizeof(float));
	at->up = arena_alloc(arena, n * (size_t)up_width(config), sizeof(float));
	at->activated = arena_alloc(arena, n * (size_t)config->n_ff, sizeof(float));
	at->mean1 = at->rstd1 = at->mean2 = at->rstd2 = at->lse = NULL;
	if (!keep)
		return;
	at->lse = arena_alloc(arena, n * (size_t)config->n_heads, sizeof(float));
	at->mean1 = arena_alloc(arena, n, sizeof(float));
	at->rstd1 = arena_alloc(arena, n, sizeof(float));
	at->mean2 = arena_alloc(arena, n, sizeof(float));
	at->rstd2 = arena_alloc(arena, n, sizeof(float));
}

/* out = x + branch, or in place when out is x. */
static void add_residual(float *out, const float *x, const float *branch, size_t n,
			 struct pool *pool)
{
	if (out != x)
		memcpy(out, x, n * sizeof *x);
	add_into(out, branch, n, pool);
}

void transformer_run(const struct model *model, const int32_t *ids, const int *positions, int t,
		     const struct attend *attend, float *hidden, struct kept *kept,
		     struct arena *arena, struct pool *pool)
{
	const struct model_config *config = &model->config;
	size_t n = (size_t)t * config->n_channels;
	struct kept_layer shared = {0};
	float *x, *branch;
	size_t mark;

	if (kept) {
		kept->layers = arena_calloc(arena, (size_t)config->n_layers,
					    sizeof *kept->layers);
		for (int l = 0; l < config->n_layers; l++)
			layer_alloc(&kept->layers[l], config, t, true, arena);
		kept->final_input = arena_alloc(arena, n, sizeof(float));
		kept->final_mean = arena_alloc(arena, (size_t)t, sizeof(float));
		kept->final_rstd = arena_alloc(arena, (size_t)t, sizeof(float));
	}
	mark = arena_mark(arena);
	if (!kept)
		layer_alloc(&shared, config, t, false, arena);
	branch = arena_alloc(arena, n, sizeof(float));
	x = kept ? (config->n_layers ? kept->layers[0].input : kept->final_input) : shared.input;

	embedding_forward(x, weight(model, PARAM_TOKEN_EMBEDDING, -1), ids,
			  weight(model, PARAM_POSITION_EMBEDDING, -1), positions, t,
			  config->n_channels, pool);
	for (int l = 0; l < config->n_layers; l++) {
		const struct kept_layer *at = kept ? &kept->layers[l] : &shared;
		float *next = !kept ? shared.input
				    : l + 1 < config->n_layers ? kept->layers[l + 1].input
							       : kept->final_input;

		attention_branch(model, l, at, positions, t, attend, branch, pool);
		add_residual(at->middle, at->input, branch, n, pool);
		mlp_branch(model, l, at, t, branch, pool);
		add_residual(next, at->middle, branch, n, pool);
		x = next;
	}
	normalise(model, PARAM_FINAL_SCALE, -1, x, hidden, kept ? kept->final_mean : NULL,
		  kept ? kept->final_rstd : NULL, t, pool);
	arena_rewind(arena, mark);
}

int *batch_positions(const struct batch *batch, struct arena *arena)
{
	int *positions = arena_alloc(arena, (size_t)batch->offsets[batch->n_seqs], sizeof(int));

	for (int b = 0; b < batch->n_seqs; b++)
		for (int i = batch->offsets[b]; i < batch->offsets[b + 1]; i++)
			positions[i] = i - batch->offsets[b];
	return positions;
}

struct batch_attention {
	const struct batch *batch;
	struct attention_shape shape;
	struct pool *pool;
};

static void attend_batch(void *context, int layer, const float *qkv, float *out, float *lse)
{
	const struct batch_attention *a = context;
	(void)layer;
	attention_forward(out, lse, qkv, a->batch->offsets, a->batch->n_seqs, &a->shape, a->pool);
}

void transformer_forward(const struct model *model, const struct batch *batch, float *hidden,
			 struct kept *kept, struct arena *arena, struct pool *pool)
{
	struct batch_attention attention = {.batch = batch,
					    .shape = attention_shape_of(&model->config),
					    .pool = pool};
	struct attend attend = {.run = attend_batch, .context = &attention};
	size_t mark = arena_mark(arena);
	int *positions = batch_positions(batch, arena);

	if (kept)
		kept->positions = positions;
	transformer_run(model, batch->ids, positions, batch->offsets[batch->n_seqs], &attend,
			hidden, kept, arena, pool);
	if (!kept)
		arena_rewind(arena, mark);
}

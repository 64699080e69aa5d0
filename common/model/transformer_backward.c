/* The forward pass of transformer_forward.c in reverse.  At every point dx is
 * the gradient of the residual stream; a branch adds the gradient that flows
 * through its norm.  Formulas of the parts are beside them in common/ops. */
#include "common/model/transformer_private.h"

#include <string.h>

#include "common/base/die.h"
#include "common/model/lora.h"
#include "common/ops/activation.h"
#include "common/ops/elementwise.h"
#include "common/ops/gemm.h"
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
	return model_gradient(b->model, b->grads, id, layer);
}

static const float *weight(const struct backward *b, enum param_id id, int layer)
{
	return model_view(b->model, b->model->weights, id, layer);
}

/* Arrays of T rows. */
static float *floats(const struct backward *b, int width)
{
	return arena_alloc(b->arena, (size_t)b->t * (size_t)width, sizeof(float));
}

static float *zeros(const struct backward *b, int width)
{
	return arena_calloc(b->arena, (size_t)b->t * (size_t)width, sizeof(float));
}

/* For y = x W^T + bias: dx (overwritten) and the gradients of what is not frozen; low
 * is what the adapters kept. */
static void project_backward(const struct backward *b, enum param_id weight_id, float *dbias,
			     int layer, const float *dy, const float *x, const float *low,
			     float *dx)
{
	const struct model *model = b->model;
	const struct param *param = param_find(&model->layout, weight_id, layer);
	float *dweight = gradient(b, weight_id, layer);

	ASSERT(param);
	gemm_backward_input(dx, dy, model->weights + param->offset, b->t, param->rows, param->cols,
			    false, b->pool);
	if (dweight)
		gemm_backward_weight(dweight, dy, x, b->t, param->rows, param->cols, b->pool);
	if (dbias)
		gemm_backward_bias(dbias, dy, b->t, param->rows, b->pool);
	if (model->lora)
		lora_backward(model, param, dy, x, low, dx, b->grads, b->t, b->arena, b->pool);
}

/* dx += the gradient through a norm whose input was x. */
static void normalise_backward(const struct backward *b, enum param_id scale_id, int layer,
			       float *dx, const float *dy, const float *x, const float *mean,
			       const float *rstd)
{
	const struct model_config *config = &b->model->config;
	const struct norm_shape shape =
		norm_rows(config->norm, b->t, config->n_channels, config->norm_eps);
	const float *scale = config->has_norm_weights ? weight(b, scale_id, layer) : b->model->ones;

	norm_backward(dx, gradient(b, scale_id, layer), gradient(b, scale_id + 1, layer), dy, x,
		      scale, mean, rstd, &shape, b->pool);
}

static void mlp_backward(const struct backward *b, int layer, const struct kept_layer *at,
			 const float *dbranch, float *dnorm)
{
	const struct model_config *config = &b->model->config;
	size_t mark = arena_mark(b->arena);
	float *dactivated = floats(b, config->n_ff), *dup = floats(b, up_width(config));

	project_backward(b, PARAM_DOWN_WEIGHT, gradient(b, PARAM_DOWN_BIAS, layer), layer, dbranch,
			 at->activated, at->low, dactivated);
	if (config->mlp == MLP_GATED)
		gated_backward(dup, dactivated, at->up, b->t, config->n_ff, config->activation,
			       b->pool);
	else
		activation_backward(dup, dactivated, at->up, (size_t)b->t * config->n_ff,
				    config->activation, b->pool);
	project_backward(b, PARAM_UP_WEIGHT, gradient(b, PARAM_UP_BIAS, layer), layer, dup,
			 at->norm2, at->low, dnorm);
	arena_rewind(b->arena, mark);
}

/* q and k in dqkv, from the gradient behind the norms of their heads to that before. */
static void normalise_heads_backward(const struct backward *b, int layer, float *dqkv)
{
	const struct model_config *config = &b->model->config;
	const struct kept_layer *at = &b->kept->layers[layer];
	int h = config->n_heads, narrow = qk_width(config), wide = qkv_width(config);
	int k = h * config->head_dim;
	struct norm_shape q_shape = head_norm_shape(config, b->t, h, narrow);
	struct norm_shape k_shape = head_norm_shape(config, b->t, config->n_kv_heads, narrow);
	size_t n_q = (size_t)b->t * (size_t)h, mark = arena_mark(b->arena);
	float *dqk = zeros(b, narrow);

	norm_backward(dqk, gradient(b, PARAM_Q_NORM_SCALE, layer),
		      gradient(b, PARAM_Q_NORM_SHIFT, layer), dqkv, at->qk,
		      weight(b, PARAM_Q_NORM_SCALE, layer), at->head_mean, at->head_rstd, &q_shape,
		      b->pool);
	norm_backward(dqk + k, gradient(b, PARAM_K_NORM_SCALE, layer),
		      gradient(b, PARAM_K_NORM_SHIFT, layer), dqkv + k, at->qk + k,
		      weight(b, PARAM_K_NORM_SCALE, layer), at->head_mean + n_q,
		      at->head_rstd + n_q, &k_shape, b->pool);
	for (int i = 0; i < b->t; i++)
		memcpy(dqkv + (size_t)i * (size_t)wide, dqk + (size_t)i * (size_t)narrow,
		       (size_t)narrow * sizeof *dqkv);
	arena_rewind(b->arena, mark);
}

/* dnorm, of what the attention reads, from the gradient of what it gives. */
static void attention_part_backward(const struct backward *b, int layer, const float *dattended,
				    float *dnorm)
{
	const struct model_config *config = &b->model->config;
	const struct kept_layer *at = &b->kept->layers[layer];
	struct attention_shape shape = attention_shape_of(config, layer);
	size_t mark = arena_mark(b->arena);
	float *dqkv = floats(b, qkv_width(config));

	attention_backward(dqkv, dattended, at->attended, at->lse, at->qkv, b->batch->offsets,
			   b->batch->n_seqs, &shape, b->pool);
	if (config->position == POSITION_ROTARY)
		rope_apply(dqkv, b->kept->angles[rotary_index(config, layer)], b->t,
			   qkv_width(config), config->n_heads + config->n_kv_heads,
			   config->head_dim, config->rotary_dim, -1, b->pool);
	if (config->has_head_norm)
		normalise_heads_backward(b, layer, dqkv);
	project_backward(b, PARAM_QKV_WEIGHT, gradient(b, PARAM_QKV_BIAS, layer), layer, dqkv,
			 at->norm1, at->low, dnorm);
	arena_rewind(b->arena, mark);
}

/* The gradient of a branch's output, from dx behind the place where it joins; dx becomes
 * that of the stream before.  scratch [T, C]. */
static const float *join_backward(const struct backward *b, enum param_id norm_id, int layer,
				  float *dx, float *scratch, const float *x, const float *mean,
				  const float *rstd)
{
	const struct model_config *config = &b->model->config;
	size_t n = (size_t)b->t * (size_t)config->n_channels;

	if (!config_has_post_norm(config))
		return dx;
	zero_fill(scratch, n, b->pool);
	normalise_backward(b, norm_id, layer, scratch, dx, x, mean, rstd);
	if (config->block == BLOCK_SANDWICH)
		return scratch;
	memcpy(dx, scratch, n * sizeof *dx);
	return dx;
}

/* finish_layer: dx becomes that of the stream before, but for what flows through norm1;
 * dattended and dnorm2 are overwritten. */
static void finish_backward(const struct backward *b, int layer, const struct kept_layer *at,
			    float *dx, float *dattended, float *dnorm2)
{
	const struct model_config *config = &b->model->config;
	size_t n = (size_t)b->t * (size_t)config->n_channels, mark = arena_mark(b->arena);
	float *scratch = config_has_post_norm(config) ? floats(b, config->n_channels) : NULL;
	const float *dbranch = join_backward(b, PARAM_POST_NORM2_SCALE, layer, dx, scratch,
					     at->post2, at->post_mean2, at->post_rstd2);

	mlp_backward(b, layer, at, dbranch, dnorm2);
	if (!config_has_pre_norm(config))
		add_into(dx, dnorm2, n, b->pool);
	else if (!config_is_parallel(config))
		normalise_backward(b, PARAM_NORM2_SCALE, layer, dx, dnorm2, at->middle, at->mean2,
				   at->rstd2);
	dbranch = join_backward(b, PARAM_POST_NORM1_SCALE, layer, dx, scratch, at->post1,
				at->post_mean1, at->post_rstd1);
	project_backward(b, PARAM_O_WEIGHT, gradient(b, PARAM_O_BIAS, layer), layer, dbranch,
			 at->attended, at->low, dattended);
	if (config->block == BLOCK_PARALLEL)
		normalise_backward(b, PARAM_NORM2_SCALE, layer, dx, dnorm2, at->input, at->mean2,
				   at->rstd2);
	arena_rewind(b->arena, mark);
}

/* dx += what flows through what the attention reads. */
static void input_backward(const struct backward *b, int layer, float *dx, const float *dnorm1)
{
	const struct model_config *config = &b->model->config;
	const struct kept_layer *at = &b->kept->layers[layer];

	if (config_has_pre_norm(config))
		normalise_backward(b, PARAM_NORM1_SCALE, layer, dx, dnorm1, at->input, at->mean1,
				   at->rstd1);
	else
		add_into(dx, dnorm1, (size_t)b->t * (size_t)config->n_channels, b->pool);
}

static void layer_backward(const struct backward *b, int layer, float *dx)
{
	const struct model_config *config = &b->model->config;
	size_t n = (size_t)b->t * (size_t)config->n_channels, mark = arena_mark(b->arena);
	float *dnorm1 = floats(b, config->n_channels);
	float *dnorm2 = config_is_parallel(config) ? floats(b, config->n_channels) : dnorm1;
	float *dattended = floats(b, config->n_heads * config->head_dim);

	finish_backward(b, layer, &b->kept->layers[layer], dx, dattended, dnorm2);
	attention_part_backward(b, layer, dattended, dnorm1);
	if (config->block == BLOCK_PARALLEL_SHARED)
		add_into(dnorm1, dnorm2, n, b->pool);
	input_backward(b, layer, dx, dnorm1);
	arena_rewind(b->arena, mark);
}

/* Those rows of to += from. */
static void add_rows(float *to, const float *from, int width, const int *rows, int n)
{
	for (int i = 0; i < n; i++)
		for (int k = 0; k < width; k++)
			to[(size_t)rows[i] * (size_t)width + k] +=
				from[(size_t)i * (size_t)width + k];
}

/* The last layer, of which dwanted [n_wanted, C] is the gradient; dx, of all rows, is 0. */
static void last_layer_backward(const struct backward *b, float *dwanted, float *dx)
{
	const struct model_config *config = &b->model->config;
	const int *wanted = b->batch->wanted;
	int layer = config->n_layers - 1, n = b->batch->n_wanted, c = config->n_channels;
	int heads = config->n_heads * config->head_dim;
	struct backward tail = *b;
	size_t mark = arena_mark(b->arena);
	float *dnorm1 = floats(b, c), *dattended = zeros(b, heads), *dnorm2, *dgiven;

	tail.t = n;
	dnorm2 = floats(&tail, c);
	dgiven = floats(&tail, heads);
	finish_backward(&tail, layer, b->kept->tail, dwanted, dgiven, dnorm2);
	add_rows(dattended, dgiven, heads, wanted, n);
	add_rows(dx, dwanted, c, wanted, n);
	attention_part_backward(b, layer, dattended, dnorm1);
	if (config->block == BLOCK_PARALLEL_SHARED)
		add_rows(dnorm1, dnorm2, c, wanted, n);
	input_backward(b, layer, dx, dnorm1);
	arena_rewind(b->arena, mark);
}

/* Rows [T, W] of the padding id are 0, as its embedding takes no gradient. */
static void clear_pad(const struct backward *b, float *dembedded, int w)
{
	const struct model_config *config = &b->model->config;
	int32_t id = config->pad_id >= 0 ? config->pad_id : config->frozen_id;

	for (int t = 0; t < b->t && config->freezes_pad; t++)
		if (b->batch->ids[t] == id)
			memset(dembedded + (size_t)t * (size_t)w, 0, (size_t)w * sizeof *dembedded);
}

/* dx, of the embedded rows, into the tables; destroyed. */
static void embed_backward(const struct backward *b, float *dx)
{
	const struct model_config *config = &b->model->config;
	const int32_t *ids = b->batch->ids;
	int c = config->n_channels, w = config->n_embedding;
	size_t mark = arena_mark(b->arena), n = (size_t)b->t * (size_t)w;
	float *dpositions = gradient(b, PARAM_POSITION_EMBEDDING, -1);
	float *dtable = gradient(b, PARAM_TOKEN_EMBEDDING, -1), *dembedded = dx;

	if (dpositions)
		embedding_backward(dpositions + (size_t)config->position_offset * (size_t)c,
				   b->kept->positions, dx, b->t, c, b->pool);
	if (!dtable && !gradient(b, PARAM_PROJECT_IN, -1)) {
		arena_rewind(b->arena, mark);
		return;
	}
	if (w != c) {
		float *embedded = floats(b, w);

		dembedded = floats(b, w);
		embedding_forward(embedded, weight(b, PARAM_TOKEN_EMBEDDING, -1), ids, b->t, w,
				  b->pool);
		if (config->embedding_scale != 1)
			scale_in_place(embedded, config->embedding_scale, n, b->pool);
		project_backward(b, PARAM_PROJECT_IN, NULL, -1, dx, embedded, NULL, dembedded);
	}
	if (config->embedding_scale != 1)
		scale_in_place(dembedded, config->embedding_scale, n, b->pool);
	clear_pad(b, dembedded, w);
	if (dtable)
		embedding_backward(dtable, ids, dembedded, b->t, w, b->pool);
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
	/* Where nothing is trained further down, nothing is asked for. */
	int first = model->lora ? lora_first_layer(model->lora) : -1;
	int last = config->n_layers - 1;
	struct backward final = b;
	float *dfinal = dhidden, *dx;

	if (batch->wanted)
		final.t = batch->n_wanted;
	if (config->has_final_norm) {
		dfinal = zeros(&final, config->n_channels);
		normalise_backward(&final, PARAM_FINAL_SCALE, -1, dfinal, dhidden,
				   kept->final_input, kept->final_mean, kept->final_rstd);
	}
	dx = batch->wanted ? zeros(&b, config->n_channels) : dfinal;
	for (int l = last; l >= 0 && l >= first; l--) {
		size_t layer_mark = arena_mark(arena);

		if (model->recomputes)
			transformer_rerun(model, batch, kept, l, arena, pool);
		if (l == last && batch->wanted)
			last_layer_backward(&b, dfinal, dx);
		else
			layer_backward(&b, l, dx);
		arena_rewind(arena, layer_mark);
	}
	if (first < 0)
		embed_backward(&b, dx);
	arena_rewind(arena, mark);
}

/* --- counting, in the order of the functions above --- */

static void count_rows(struct arena *arena, int t, int width)
{
	arena_alloc(arena, (size_t)t * (size_t)width, sizeof(float));
}

static void count_project(const struct model *model, enum param_id id, int layer, int t,
			  struct arena *arena)
{
	if (model->lora)
		lora_count_backward(model, param_find(&model->layout, id, layer), t, arena);
}

static void count_mlp(const struct model *model, int layer, int t, struct arena *arena)
{
	size_t mark = arena_mark(arena);

	count_rows(arena, t, model->config.n_ff);
	count_rows(arena, t, up_width(&model->config));
	count_project(model, PARAM_DOWN_WEIGHT, layer, t, arena);
	count_project(model, PARAM_UP_WEIGHT, layer, t, arena);
	arena_rewind(arena, mark);
}

static void count_attention(const struct model *model, int layer, int t, struct arena *arena)
{
	const struct model_config *config = &model->config;
	size_t mark = arena_mark(arena), inner;

	count_rows(arena, t, qkv_width(config));
	inner = arena_mark(arena);
	if (config->has_head_norm)
		count_rows(arena, t, qk_width(config));
	arena_rewind(arena, inner);
	count_project(model, PARAM_QKV_WEIGHT, layer, t, arena);
	arena_rewind(arena, mark);
}

static void count_finish(const struct model *model, int layer, int t, struct arena *arena)
{
	const struct model_config *config = &model->config;
	size_t mark = arena_mark(arena);

	if (config_has_post_norm(config))
		count_rows(arena, t, config->n_channels);
	count_mlp(model, layer, t, arena);
	count_project(model, PARAM_O_WEIGHT, layer, t, arena);
	arena_rewind(arena, mark);
}

static void count_layer(const struct model *model, int layer, int t, int n_wanted,
			struct arena *arena)
{
	const struct model_config *config = &model->config;
	bool has_tail = layer + 1 == config->n_layers && n_wanted != ALL_ROWS;
	size_t mark = arena_mark(arena);

	if (model->recomputes)
		transformer_count_rerun(model, layer, t, n_wanted, arena);
	count_rows(arena, t, config->n_channels);
	count_rows(arena, t, config->n_heads * config->head_dim);
	if (has_tail) {
		count_rows(arena, n_wanted, config->n_channels);
		count_rows(arena, n_wanted, config->n_heads * config->head_dim);
	} else if (config_is_parallel(config)) {
		count_rows(arena, t, config->n_channels);
	}
	count_finish(model, layer, has_tail ? n_wanted : t, arena);
	count_attention(model, layer, t, arena);
	arena_rewind(arena, mark);
}

void transformer_count_backward(const struct model *model, int t, int n_wanted, struct arena *arena)
{
	const struct model_config *config = &model->config;
	int first = model->lora ? lora_first_layer(model->lora) : -1;
	size_t mark = arena_mark(arena);

	if (config->has_final_norm)
		count_rows(arena, n_wanted == ALL_ROWS ? t : n_wanted, config->n_channels);
	if (n_wanted != ALL_ROWS)
		count_rows(arena, t, config->n_channels);
	for (int l = config->n_layers - 1; l >= 0 && l >= first; l--)
		count_layer(model, l, t, n_wanted, arena);
	if (first < 0 && config->n_embedding != config->n_channels) {
		count_rows(arena, t, config->n_embedding);
		count_rows(arena, t, config->n_embedding);
	}
	arena_rewind(arena, mark);
}

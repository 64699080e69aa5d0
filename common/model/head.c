/* Heads work on chunks of rows, so that at most [chunk, V] logits exist at a
 * time.  The chunk's size is a function of V alone: it decides the order in
 * which head_train sums the gradient of the output matrix. */
#include "common/model/head.h"

#include <string.h>

#include "common/base/die.h"
#include "common/ops/elementwise.h"
#include "common/ops/gemm.h"
#include "common/ops/softmax.h"

static int chunk_rows(int v)
{
	int rows = (1 << 24) / v;
	return rows < 32 ? 32 : rows > 256 ? 256 : rows;
}

static int at_most(int n, int most)
{
	return n < most ? n : most;
}

/* For an arena that counts. */
static void count_rows(struct arena *arena, int n, int width)
{
	arena_alloc(arena, (size_t)n * (size_t)width, sizeof(float));
}

static const struct param *lm_param(const struct model *model)
{
	enum param_id id = model->config.tied ? PARAM_TOKEN_EMBEDDING : PARAM_LM_HEAD;
	const struct param *param = param_find(&model->layout, id, -1);
	ASSERT(model->config.head == HEAD_LM && param && param->packed_offset != SIZE_MAX);
	return param;
}

/* out [n, C] = hidden[rows[first + i]], or those rows themselves when rows is NULL. */
static const float *gather_rows(const float *hidden, const int *rows, int first, int n, int c,
				float *out)
{
	if (!rows)
		return hidden + (size_t)first * c;
	for (int i = 0; i < n; i++)
		memcpy(out + (size_t)i * c, hidden + (size_t)rows[first + i] * c,
		       (size_t)c * sizeof(float));
	return out;
}

/* dhidden[rows[first + i]] += d[i], or dhidden[first + i]. */
static void scatter_rows(float *dhidden, const int *rows, int first, const float *d, int n, int c)
{
	for (int i = 0; i < n; i++) {
		float *row = dhidden + (size_t)(rows ? rows[first + i] : first + i) * c;
		for (int k = 0; k < c; k++)
			row[k] += d[(size_t)i * c + k];
	}
}

/* What heads read of n hidden states x [n, C]: x itself, or its projection [n, W], made
 * in the arena, where the model has one. */
static const float *project_out(const struct model *model, const float *x, int n,
				struct arena *arena, struct pool *pool)
{
	const struct param *param = param_find(&model->layout, PARAM_PROJECT_OUT, -1);
	float *out;

	if (!param)
		return x;
	out = arena_alloc(arena, (size_t)n * (size_t)param->rows, sizeof(float));
	model_product(model, param, x, NULL, out, n, pool);
	return out;
}

/* The gradient of x, in the arena, from that of project_out's result. */
static const float *project_out_backward(const struct model *model, const float *dout,
					 const float *x, int n, float *grads, struct arena *arena,
					 struct pool *pool)
{
	const struct param *param = param_find(&model->layout, PARAM_PROJECT_OUT, -1);
	float *dx, *dweight;

	if (!param)
		return dout;
	dx = arena_alloc(arena, (size_t)n * (size_t)param->cols, sizeof(float));
	gemm_backward_input(dx, dout, model->weights + param->offset, n, param->rows, param->cols,
			    false, pool);
	dweight = model_gradient(model, grads, PARAM_PROJECT_OUT, -1);
	if (dweight)
		gemm_backward_weight(dweight, dout, x, n, param->rows, param->cols, pool);
	return dx;
}

/* Logits of projected hidden states [n, W]. */
static void logits_of(const struct model *model, const float *projected, int n, float *logits,
		      struct pool *pool)
{
	const struct param *param = lm_param(model);

	model_product(model, param, projected,
		      model_view(model, model->weights, PARAM_LM_HEAD_BIAS, -1), logits, n, pool);
	if (model->config.logit_cap > 0)
		softcap_forward(logits, model->config.logit_cap, (size_t)n * (size_t)param->rows,
				pool);
}

void head_logits(const struct model *model, const float *hidden, int n, float *logits,
		 struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);

	logits_of(model, project_out(model, hidden, n, arena, pool), n, logits, pool);
	arena_rewind(arena, mark);
}

/* Far below every logit, and finite: its probability is exactly 0 and its part of
 * the entropy is 0, not NaN. */
static const float banned_logit = -1e30f;

void head_apply_ban(const struct head_ban *ban, float *logits, int first, int n, int v)
{
	if (!ban)
		return;
	for (int i = 0; i < n; i++)
		for (int k = 0; ban->applies[first + i] && k < ban->n_ids; k++)
			logits[(size_t)i * v + ban->ids[k]] = banned_logit;
}

void head_logprobs(const struct model *model, const float *hidden, const int *rows,
		   const int32_t *targets, int n, float inv_temperature,
		   const struct head_ban *ban, float *logprob, float *entropy, uint8_t *is_top,
		   struct arena *arena, struct pool *pool)
{
	int v = model->config.n_vocab, c = model->config.n_channels, chunk = chunk_rows(v);
	size_t mark = arena_mark(arena);
	float *gathered, *logits;

	if (chunk > n)
		chunk = n;
	gathered = rows ? arena_alloc(arena, (size_t)chunk * c, sizeof(float)) : NULL;
	logits = arena_alloc(arena, (size_t)chunk * v, sizeof(float));
	for (int i = 0; i < n; i += chunk) {
		int m = n - i < chunk ? n - i : chunk;
		const float *x = gather_rows(hidden, rows, i, m, c, gathered);

		head_logits(model, x, m, logits, arena, pool);
		head_apply_ban(ban, logits, i, m, v);
		softmax_logprob(logprob + i, entropy ? entropy + i : NULL, NULL, logits,
				targets + i, m, v, inv_temperature, pool);
		if (is_top)
			softmax_is_top(is_top + i, logits, targets + i, m, v, pool);
	}
	arena_rewind(arena, mark);
}

size_t head_logprobs_bytes(const struct model *model, int n)
{
	const struct model_config *config = &model->config;
	int v = config->n_vocab, chunk = at_most(chunk_rows(v), n);
	struct arena arena;

	arena_init_counting(&arena);
	count_rows(&arena, chunk, config->n_channels);
	count_rows(&arena, chunk, v);
	if (param_find(&model->layout, PARAM_PROJECT_OUT, -1))
		count_rows(&arena, chunk, config->n_embedding);
	return arena.high_water;
}

void head_train(const struct model *model, const float *hidden, const int *rows,
		const int32_t *targets, int n, float inv_temperature,
		const struct head_ban *ban, head_loss *loss, void *context, uint8_t *is_top,
		float *dhidden, float *grads, struct arena *arena, struct pool *pool)
{
	const struct param *param = lm_param(model);
	int v = model->config.n_vocab, c = model->config.n_channels, chunk = chunk_rows(v);
	float cap = model->config.logit_cap,
	      *dweight = model_gradient(model, grads, param->id, -1),
	      *dbias = model_gradient(model, grads, PARAM_LM_HEAD_BIAS, -1);
	size_t mark = arena_mark(arena);
	float *gathered, *dprojected, *logits, *capped, *logprob, *entropy, *lse, *dlogprob;

	if (chunk > n)
		chunk = n;
	gathered = arena_alloc(arena, (size_t)chunk * c, sizeof(float));
	dprojected = arena_alloc(arena, (size_t)chunk * param->cols, sizeof(float));
	logits = arena_alloc(arena, (size_t)chunk * v, sizeof(float));
	capped = cap > 0 ? arena_alloc(arena, (size_t)chunk * v, sizeof(float)) : NULL;
	logprob = arena_alloc(arena, (size_t)chunk, sizeof(float));
	entropy = arena_alloc(arena, (size_t)chunk, sizeof(float));
	lse = arena_alloc(arena, (size_t)chunk, sizeof(float));
	dlogprob = arena_alloc(arena, (size_t)chunk, sizeof(float));
	for (int i = 0; i < n; i += chunk) {
		int m = n - i < chunk ? n - i : chunk;
		size_t n_logits = (size_t)m * (size_t)v, inner = arena_mark(arena);
		const float *x = gather_rows(hidden, rows, i, m, c, gathered);
		const float *projected = project_out(model, x, m, arena, pool);

		logits_of(model, projected, m, logits, pool);
		if (capped)
			memcpy(capped, logits, n_logits * sizeof *capped);
		head_apply_ban(ban, logits, i, m, v);
		softmax_logprob(logprob, entropy, lse, logits, targets + i, m, v, inv_temperature,
				pool);
		if (is_top)
			softmax_is_top(is_top + i, logits, targets + i, m, v, pool);
		loss(context, i, m, logprob, entropy, dlogprob);
		softmax_logprob_backward(logits, dlogprob, lse, targets + i, m, v, inv_temperature,
					 pool);
		if (capped)
			softcap_backward(logits, capped, cap, n_logits, pool);
		gemm_backward_input(dprojected, logits, model->weights + param->offset, m,
				    param->rows, param->cols, false, pool);
		if (dweight)
			gemm_backward_weight(dweight, logits, projected, m, param->rows,
					     param->cols, pool);
		if (dbias)
			gemm_backward_bias(dbias, logits, m, v, pool);
		scatter_rows(dhidden, rows, i,
			     project_out_backward(model, dprojected, x, m, grads, arena, pool), m,
			     c);
		arena_rewind(arena, inner);
	}
	arena_rewind(arena, mark);
}

size_t head_train_bytes(const struct model *model, int n)
{
	const struct model_config *config = &model->config;
	int v = config->n_vocab, chunk = at_most(chunk_rows(v), n);
	struct arena arena;

	arena_init_counting(&arena);
	count_rows(&arena, chunk, config->n_channels);
	count_rows(&arena, chunk, lm_param(model)->cols);
	count_rows(&arena, chunk, v);
	if (config->logit_cap > 0)
		count_rows(&arena, chunk, v);
	for (int i = 0; i < 4; i++)
		count_rows(&arena, chunk, 1);
	if (param_find(&model->layout, PARAM_PROJECT_OUT, -1)) {
		count_rows(&arena, chunk, config->n_embedding);
		count_rows(&arena, chunk, config->n_channels);
	}
	return arena.high_water;
}

void head_score(const struct model *model, const float *hidden, const int *rows, int n,
		float *scores, struct arena *arena, struct pool *pool)
{
	const struct param *param = param_find(&model->layout, PARAM_SCORE_WEIGHT, -1);
	int c = model->config.n_channels;
	size_t mark = arena_mark(arena);
	float *gathered = rows ? arena_alloc(arena, (size_t)n * c, sizeof(float)) : NULL;
	const float *x = gather_rows(hidden, rows, 0, n, c, gathered);

	model_product(model, param, project_out(model, x, n, arena, pool),
		      model_view(model, model->weights, PARAM_SCORE_BIAS, -1), scores, n, pool);
	arena_rewind(arena, mark);
}

void head_score_backward(const struct model *model, const float *hidden, const int *rows, int n,
			 const float *dscores, float *dhidden, float *grads, struct arena *arena,
			 struct pool *pool)
{
	const struct param *param = param_find(&model->layout, PARAM_SCORE_WEIGHT, -1);
	float *dweight = model_gradient(model, grads, PARAM_SCORE_WEIGHT, -1);
	float *dbias = model_gradient(model, grads, PARAM_SCORE_BIAS, -1);
	int c = model->config.n_channels;
	size_t mark = arena_mark(arena);
	float *gathered = rows ? arena_alloc(arena, (size_t)n * c, sizeof(float)) : NULL;
	float *dprojected = arena_alloc(arena, (size_t)n * param->cols, sizeof(float));
	const float *x = gather_rows(hidden, rows, 0, n, c, gathered);
	const float *projected = project_out(model, x, n, arena, pool);

	gemm_backward_input(dprojected, dscores, model->weights + param->offset, n, param->rows,
			    param->cols, false, pool);
	if (dweight)
		gemm_backward_weight(dweight, dscores, projected, n, param->rows, param->cols,
				     pool);
	if (dbias)
		gemm_backward_bias(dbias, dscores, n, param->rows, pool);
	scatter_rows(dhidden, rows, 0,
		     project_out_backward(model, dprojected, x, n, grads, arena, pool), n, c);
	arena_rewind(arena, mark);
}

int head_pooled_position(const int32_t *ids, int n, int32_t pad_id)
{
	for (int i = n - 1; i > 0; i--)
		if (ids[i] != pad_id)
			return i;
	return 0;
}

static const char *const pooling_names[] = {
	[POOLING_LAST_NON_PAD] = "last-non-pad",
	[POOLING_LAST] = "last",
	[POOLING_FIRST_PAD] = "first-pad",
	[POOLING_EOS] = "eos",
};

bool pooling_parse(const char *name, enum pooling *pooling)
{
	for (size_t i = 0; i < sizeof pooling_names / sizeof *pooling_names; i++)
		if (strcmp(pooling_names[i], name) == 0) {
			*pooling = (enum pooling)i;
			return true;
		}
	return false;
}

const char *pooling_name(enum pooling pooling)
{
	return pooling_names[pooling];
}

/* Python's index -1, which a pad at the very beginning leads to, is the last one. */
static int before_first_pad(const int32_t *ids, int n, int n_prompt, int32_t pad_id)
{
	for (int i = n_prompt; i < n; i++)
		if (ids[i] == pad_id)
			return i > 0 ? i - 1 : n - 1;
	return n - 1;
}

int head_pool(enum pooling pooling, const struct model_config *config, const int32_t *ids, int n,
	      int n_prompt)
{
	switch (pooling) {
	case POOLING_LAST_NON_PAD:
		return head_pooled_position(ids, n, config->pad_id);
	case POOLING_FIRST_PAD:
		return before_first_pad(ids, n, n_prompt, config->pad_id);
	case POOLING_EOS:
		for (int i = n - 1; i >= 0; i--)
			if (ids[i] == config->eos_id)
				return i;
		break;
	case POOLING_LAST:
		break;
	}
	return n - 1;
}

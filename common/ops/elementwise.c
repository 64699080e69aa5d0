/* Elementwise work on long arrays, embeddings and the optimizer steps.
 *
 * Arrays are cut into pieces for the pool; each element is computed by itself
 * (element_kernel.c), so the cuts change nothing.  Sums of squares are taken
 * over blocks of one size, whose results are added in order. */
#include "common/ops/elementwise.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "common/ops/element_kernel.h"
#include "common/ops/split.h"

/* --- plain arrays --- */

struct arrays {
	float *y;
	const float *x;
	float factor;
};

static void add_piece(void *args, size_t begin, size_t end)
{
	const struct arrays *a = args;
	element_kernels()->add(a->y + begin, a->x + begin, end - begin);
}

static void zero_piece(void *args, size_t begin, size_t end)
{
	const struct arrays *a = args;
	memset(a->y + begin, 0, (end - begin) * sizeof *a->y);
}

void add_into(float *y, const float *x, size_t n, struct pool *pool)
{
	struct arrays args = {.y = y, .x = x};
	split_run(pool, n, SPLIT_ELEMENTS, add_piece, &args);
}

void zero_fill(float *y, size_t n, struct pool *pool)
{
	struct arrays args = {.y = y};
	split_run(pool, n, SPLIT_ELEMENTS, zero_piece, &args);
}

static void scale_piece(void *args, size_t begin, size_t end)
{
	const struct arrays *a = args;
	element_kernels()->scale(a->y + begin, a->factor, end - begin);
}

static void softcap_piece(void *args, size_t begin, size_t end)
{
	const struct arrays *a = args;
	element_kernels()->softcap(a->y + begin, a->factor, end - begin);
}

static void softcap_backward_piece(void *args, size_t begin, size_t end)
{
	const struct arrays *a = args;
	element_kernels()->softcap_backward(a->y + begin, a->x + begin, a->factor, end - begin);
}

void scale_in_place(float *y, float factor, size_t n, struct pool *pool)
{
	struct arrays args = {.y = y, .factor = factor};
	split_run(pool, n, SPLIT_ELEMENTS, scale_piece, &args);
}

static void round_piece(void *args, size_t begin, size_t end)
{
	const struct arrays *a = args;
	element_kernels()->round_bf16(a->y + begin, a->x + begin, end - begin);
}

void round_to_bf16(float *y, const float *x, size_t n, struct pool *pool)
{
	struct arrays args = {.y = y, .x = x};
	split_run(pool, n, SPLIT_ELEMENTS, round_piece, &args);
}

void softcap_forward(float *y, float cap, size_t n, struct pool *pool)
{
	struct arrays args = {.y = y, .factor = cap};
	split_run(pool, n, SPLIT_ELEMENTS, softcap_piece, &args);
}

void softcap_backward(float *dy, const float *y, float cap, size_t n, struct pool *pool)
{
	struct arrays args = {.y = dy, .x = y, .factor = cap};
	split_run(pool, n, SPLIT_ELEMENTS, softcap_backward_piece, &args);
}

/* --- embeddings --- */

struct embedding {
	float *y, *dtable;
	const float *table, *dy;
	const int32_t *ids;
	size_t t, c;
};

static void embedding_rows(void *args, size_t begin, size_t end)
{
	const struct embedding *e = args;
	for (size_t t = begin; t < end; t++)
		memcpy(e->y + t * e->c, e->table + (size_t)e->ids[t] * e->c, e->c * sizeof *e->y);
}

static void embedding_add_rows(void *args, size_t begin, size_t end)
{
	const struct embedding *e = args;
	for (size_t t = begin; t < end; t++)
		element_kernels()->add(e->y + t * e->c, e->table + (size_t)e->ids[t] * e->c, e->c);
}

static void embedding_columns(void *args, size_t begin, size_t end)
{
	const struct embedding *e = args;
	for (size_t t = 0; t < e->t; t++)
		element_kernels()->add(e->dtable + (size_t)e->ids[t] * e->c + begin,
				       e->dy + t * e->c + begin, end - begin);
}

void embedding_forward(float *y, const float *table, const int32_t *ids, int t, int c,
		       struct pool *pool)
{
	struct embedding args = {.y = y, .table = table, .ids = ids, .c = (size_t)c};
	split_run(pool, (size_t)t, split_rows((size_t)c), embedding_rows, &args);
}

void embedding_add(float *y, const float *table, const int32_t *ids, int t, int c,
		   struct pool *pool)
{
	struct embedding args = {.y = y, .table = table, .ids = ids, .c = (size_t)c};
	split_run(pool, (size_t)t, split_rows((size_t)c), embedding_add_rows, &args);
}

void embedding_backward(float *dtable, const int32_t *ids, const float *dy, int t, int c,
			struct pool *pool)
{
	struct embedding args = {
		.dtable = dtable, .ids = ids, .dy = dy, .t = (size_t)t, .c = (size_t)c};
	split_run(pool, (size_t)c, split_columns((size_t)t), embedding_columns, &args);
}

/* --- looking at whole arrays by blocks --- */

struct scan {
	const float *x;
	size_t n;
	double *sums;		  /* by block */
	atomic_size_t non_finite; /* the lowest index known */
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t count_blocks(size_t n)
{
	return n / SUM_BLOCK + (n % SUM_BLOCK != 0);
}

static void sum_blocks(void *args, size_t begin, size_t end)
{
	struct scan *scan = args;
	for (size_t block = begin; block < end; block++) {
		size_t at = block * SUM_BLOCK;
		scan->sums[block] = element_kernels()->sum_of_squares(
			scan->x + at, smaller(SUM_BLOCK, scan->n - at));
	}
}

void block_squares(double *sums, const float *x, size_t n, struct pool *pool)
{
	struct scan scan = {.x = x, .n = n, .sums = sums};
	split_run(pool, count_blocks(n), 1, sum_blocks, &scan);
}

/* Lowers the known index if this block has a lower one; blocks that lie behind
 * it are passed over. */
static void find_non_finite(void *args, size_t begin, size_t end)
{
	struct scan *scan = args;
	for (size_t block = begin; block < end; block++) {
		size_t at = block * SUM_BLOCK;
		size_t last = at + smaller(SUM_BLOCK, scan->n - at);
		size_t known = atomic_load(&scan->non_finite);
		if (known < at || element_kernels()->is_finite(scan->x + at, last - at))
			continue;
		while (isfinite(scan->x[at]))
			at++;
		while (at < known && !atomic_compare_exchange_weak(&scan->non_finite, &known, at))
			;
	}
}

size_t first_non_finite(const float *x, size_t n, struct pool *pool)
{
	struct scan scan;
	scan.x = x;
	scan.n = n;
	atomic_init(&scan.non_finite, n);
	split_run(pool, count_blocks(n), 1, find_non_finite, &scan);
	return atomic_load(&scan.non_finite);
}

/* --- optimizer steps --- */

struct optimizer_step {
	float *w, *m, *v;
	const float *g;
	struct adamw_coefficients adamw;
	struct sgd_coefficients sgd;
};

static void adamw_piece(void *args, size_t begin, size_t end)
{
	const struct optimizer_step *s = args;
	element_kernels()->adamw(s->w + begin, s->m + begin, s->v + begin, s->g + begin,
				 end - begin, &s->adamw);
}

static void sgd_piece(void *args, size_t begin, size_t end)
{
	const struct optimizer_step *s = args;
	element_kernels()->sgd(s->w + begin, s->m ? s->m + begin : NULL, s->g + begin, end - begin,
			       &s->sgd);
}

void adamw_step(float *w, float *m, float *v, const float *g, size_t n, const struct adamw *adamw,
		int64_t t, float grad_scale, struct pool *pool)
{
	struct optimizer_step args = {
		.w = w,
		.m = m,
		.v = v,
		.g = g,
		.adamw = {
			.beta1 = (float)adamw->beta1,
			.one_minus_beta1 = (float)(1 - adamw->beta1),
			.beta2 = (float)adamw->beta2,
			.one_minus_beta2 = (float)(1 - adamw->beta2),
			.decay = (float)(adamw->learning_rate * adamw->weight_decay),
			.step = (float)(adamw->learning_rate / (1 - pow(adamw->beta1, (double)t))),
			.root_factor = (float)(1 / sqrt(1 - pow(adamw->beta2, (double)t))),
			.eps = (float)adamw->eps,
			.grad_scale = grad_scale,
		}};
	split_run(pool, n, SPLIT_ELEMENTS, adamw_piece, &args);
}

void sgd_step(float *w, float *m, const float *g, size_t n, double learning_rate, double momentum,
	      double weight_decay, float grad_scale, struct pool *pool)
{
	struct optimizer_step args = {.w = w,
				      .m = m,
				      .g = g,
				      .sgd = {.learning_rate = (float)learning_rate,
					      .momentum = (float)momentum,
					      .weight_decay = (float)weight_decay,
					      .grad_scale = grad_scale}};
	split_run(pool, n, SPLIT_ELEMENTS, sgd_piece, &args);
}

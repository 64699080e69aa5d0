/* Speed of row and elementwise operations on one core and on all. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/ops/activation.h"
#include "common/ops/elementwise.h"
#include "common/ops/isa.h"
#include "common/ops/norm.h"
#include "common/ops/sampling.h"
#include "common/ops/softmax.h"

enum { V = 50257, ROWS = 32, N = V * ROWS, C = 768, T = N / C, LONG = 1 << 24, REPEATS = 5 };

/* What the operations work on. */
struct arrays {
	float *x, *y;	      /* [N] */
	float *w, *m, *v, *g; /* [LONG] */
	float row_out[3 * ROWS];
	int32_t targets[ROWS];
	struct pool *pool;
};

static void logprob(struct arrays *a)
{
	softmax_logprob(a->row_out, NULL, NULL, a->x, a->targets, ROWS, V, 1, a->pool);
}
static void logprob_entropy(struct arrays *a)
{
	softmax_logprob(a->row_out, a->row_out + ROWS, a->row_out + 2 * ROWS, a->x, a->targets,
			ROWS, V, 1, a->pool);
}
static void draw(struct arrays *a, const struct sampling *sampling)
{
	for (int r = 0; r < ROWS; r++) {
		struct sampling_row row = {.logits = a->x + (size_t)r * V, .n = V};
		sampling_draw(&row, sampling, (r + 0.5) / ROWS, a->w);
	}
}
static void sample(struct arrays *a)
{
	draw(a, &(struct sampling){.temperature = 1, .top_p = 1});
}
static void sample_top_k(struct arrays *a)
{
	draw(a, &(struct sampling){.temperature = 1, .top_k = 50, .top_p = 1});
}
static void sample_top_p(struct arrays *a)
{
	draw(a, &(struct sampling){.temperature = 1, .top_p = 0.9});
}
static void rmsnorm(struct arrays *a)
{
	const struct norm_shape shape = norm_rows(NORM_RMS, T, C, 1e-5f);
	norm_forward(a->y, NULL, NULL, a->x, a->g, NULL, &shape, a->pool);
}
static void gelu(struct arrays *a)
{
	activation_forward(a->y, a->x, N, ACTIVATION_GELU, a->pool);
}
static void gelu_tanh(struct arrays *a)
{
	activation_forward(a->y, a->x, N, ACTIVATION_GELU_TANH, a->pool);
}
static void silu(struct arrays *a)
{
	activation_forward(a->y, a->x, N, ACTIVATION_SILU, a->pool);
}
static void adamw(struct arrays *a)
{
	const struct adamw form = {1e-6, 0.9, 0.999, 1e-8, 0.01};
	adamw_step(a->w, a->m, a->v, a->g, LONG, &form, 10, 1, a->pool);
}
static void squares(struct arrays *a)
{
	static double sums[LONG / SUM_BLOCK + 1];
	block_squares(sums, a->g, LONG, a->pool);
}

static void report(const char *name, void (*run)(struct arrays *), struct arrays *arrays,
		   double elements, double bytes)
{
	double best = INFINITY;
	for (int k = 0; k < REPEATS; k++) {
		double began = clock_now();
		run(arrays);
		best = fmin(best, clock_now() - began);
	}
	printf("%-16s threads %2d  %6.2f G elements/s  %6.1f GB/s\n", name,
	       pool_threads(arrays->pool), elements / best * 1e-9, bytes / best * 1e-9);
}

static void report_all(struct arrays *a)
{
	report("logprob", logprob, a, N, 4.0 * N);
	report("logprob+entropy", logprob_entropy, a, N, 4.0 * N);
	if (!a->pool) {
		report("sample", sample, a, N, 4.0 * N);
		report("sample top-k", sample_top_k, a, N, 4.0 * N);
		report("sample top-p", sample_top_p, a, N, 4.0 * N);
	}
	report("rmsnorm", rmsnorm, a, (double)T * C, 8.0 * T * C);
	report("gelu", gelu, a, N, 8.0 * N);
	report("gelu tanh", gelu_tanh, a, N, 8.0 * N);
	report("silu", silu, a, N, 8.0 * N);
	report("adamw", adamw, a, LONG, 28.0 * LONG);
	report("sum of squares", squares, a, LONG, 4.0 * LONG);
}

static float *numbers(size_t n)
{
	float *x = xaligned(n, sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)rng_uniform(1, RNG_DATA, (uint32_t)i, 0, 0, 0);
	return x;
}

int main(void)
{
	struct arrays a = {numbers(N),	  numbers(N), numbers(LONG), numbers(LONG), numbers(LONG),
			   numbers(LONG), {0},	      {0},	     NULL};
	printf("level %s\n", isa_name(isa_current()));
	report_all(&a);
	if (pool_cores() > 1) {
		a.pool = pool_create(pool_cores());
		report_all(&a);
		pool_destroy(a.pool);
	}
	float *all[] = {a.x, a.y, a.w, a.m, a.v, a.g};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
	return 0;
}

/* Matrix products beside this machine's own limits, measured in the same run.
 *
 *     bench_gemm [threads]
 *
 * The bound of a shape is the larger of two times: its arithmetic at the limit
 * of fused multiply-adds, and its weights at the bandwidth of memory.  Weights
 * rotate through 300 MB so that no cache holds them.  Each figure is the best
 * of 7.  OpenBLAS stands beside ours where it is installed. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/ops/gemm.h"
#include "common/ops/isa.h"
#include "tests/bench/fma_limit.h"

enum { REPEATS = 7, ROWS_MAX = 512 };
static const size_t rotate_floats = 75u << 20;
static const double sample_seconds = 0.02;

static struct pool *pool;
static double compute_limit; /* flop/s of all threads */
static double memory_limit;  /* bytes/s of all threads */
static volatile float drain; /* keeps results alive */

/* ---- limits ---- */

typedef float lanes __attribute__((vector_size(16)));

struct read_args {
	const float *memory;
	size_t floats;
	int n;
};

static void read_task(void *args, int i, int thread)
{
	const struct read_args *a = args;
	const lanes *from = (const lanes *)(a->memory + a->floats / a->n * i);
	lanes sum[8] = {{0}};
	(void)thread;
	for (size_t j = 0; j + 8 <= a->floats / a->n / 4; j += 8) {
		for (int v = 0; v < 8; v++)
			sum[v] += from[j + v];
		__builtin_prefetch(from + j + 256);
		__builtin_prefetch(from + j + 260);
	}
	for (int v = 1; v < 8; v++)
		sum[0] += sum[v];
	drain = sum[0][0];
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

/* The best seen so far: other programs may disturb any one attempt. */
static void measure_limits(const float *memory)
{
	struct read_args args = {memory, rotate_floats, 4 * pool_threads(pool)};
	compute_limit = larger(compute_limit, fma_limit(pool, 8 * REPEATS));
	for (int i = 0; i < REPEATS; i++) {
		double start = clock_now();
		pool_run(pool, args.n, read_task, &args);
		double bytes = (double)rotate_floats * sizeof *memory;
		memory_limit = larger(memory_limit, bytes / (clock_now() - start));
	}
}

/* ---- products ---- */

enum product { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT };

struct shape {
	enum product product;
	int m, n, k;
	float *x, *y;	/* [m, k] and [m, n], or their gradients */
	float *weights; /* several copies of W, or of its gradient */
	size_t stride;	/* floats from one copy to the next */
	int copies;
};

typedef void product_function(const struct shape *s, float *w);

static void run_ours(const struct shape *s, float *w)
{
	if (s->product == FORWARD)
		gemm_forward(s->y, s->x, w, NULL, s->m, s->n, s->k, pool);
	else if (s->product == BACKWARD_INPUT)
		gemm_backward_input(s->x, s->y, w, s->m, s->n, s->k, false, pool);
	else
		gemm_backward_weight(w, s->y, s->x, s->m, s->n, s->k, pool);
}

static void (*sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
		     const float *a, int a_stride, const float *b, int b_stride, float beta,
		     float *c, int c_stride);

static void run_openblas(const struct shape *s, float *w)
{
	enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
	if (s->product == FORWARD)
		sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, s->m, s->n, s->k, 1, s->x, s->k, w, s->k,
		      0, s->y, s->n);
	else if (s->product == BACKWARD_INPUT)
		sgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, s->m, s->k, s->n, 1, s->y, s->n, w,
		      s->k, 0, s->x, s->k);
	else
		sgemm(ROW_MAJOR, TRANSPOSE, NO_TRANSPOSE, s->n, s->k, s->m, 1, s->y, s->n, s->x,
		      s->k, 1, w, s->k);
}

/* Seconds for one product, best of REPEATS. */
static double measure(const struct shape *s, product_function *run)
{
	double best = 1e9;
	int copy = 0;
	for (int i = 0; i <= REPEATS; i++) { /* the first warms up */
		double start = clock_now(), seconds;
		int n = 0;
		do {
			run(s, s->weights + s->stride * copy);
			copy = (copy + 1) % s->copies;
			n++;
			seconds = clock_now() - start;
		} while (seconds < sample_seconds);
		if (i > 0 && seconds / n < best)
			best = seconds / n;
	}
	return best;
}

static void print_product(const struct shape *s)
{
	static const char *const names[] = {"forward", "dX", "dW"};
	const double flop = 2.0 * s->m * s->n * s->k, bytes = 4.0 * s->n * s->k;
	const double ours = measure(s, run_ours);
	const double theirs = sgemm ? measure(s, run_openblas) : 0;
	const double compute = flop / compute_limit, memory = bytes / memory_limit;
	const double bound = larger(compute, memory);
	printf("%-8s %5d x %5d %5d %9.1f %7.1f %7.0f %%", names[s->product], s->n, s->k, s->m,
	       flop / ours * 1e-9, bytes / ours * 1e-9, 100 * bound / ours);
	if (sgemm)
		printf(" %9.1f", flop / theirs * 1e-9);
	printf("\n");
	fflush(stdout);
}

static void bench_shape(int n, int k, float *weights)
{
	static const int rows[] = {1, 2, 3, 4, 8, 16, 32, 64, ROWS_MAX};
	struct shape s = {.n = n, .k = k, .weights = weights};
	measure_limits(weights);
	printf("%s, %d threads: %.0f GFLOP/s of multiply-adds, %.1f GB/s read from memory\n",
	       isa_name(isa_current()), pool_threads(pool), compute_limit * 1e-9,
	       memory_limit * 1e-9);
	printf("product      N       K     M   GFLOP/s    GB/s of bound  %s\n",
	       sgemm ? "OpenBLAS" : "");
	s.x = xaligned((size_t)ROWS_MAX * k, sizeof *s.x);
	s.y = xaligned((size_t)ROWS_MAX * n, sizeof *s.y);
	s.stride = gemm_packed_floats(n, k);
	s.copies = (int)(rotate_floats / s.stride);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		s.m = rows[i];
		print_product(&s);
	}
	for (s.product = BACKWARD_INPUT; s.product <= BACKWARD_WEIGHT; s.product++)
		print_product(&s);
	free(s.x);
	free(s.y);
}

static void open_openblas(int threads)
{
	void *library = dlopen("libopenblas.so.0", RTLD_NOW);
	void (*set_threads)(int) = NULL;
	if (!library)
		return;
	*(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
	*(void **)&sgemm = dlsym(library, "cblas_sgemm");
	if (set_threads)
		set_threads(threads);
}

int main(int argc, char **argv)
{
	static const int shapes[][2] = {{2304, 768}, {768, 3072}, {2048, 2048}};
	const int threads = argc > 1 ? atoi(argv[1]) : pool_cores();
	float *weights = xaligned(rotate_floats, sizeof *weights);
	for (size_t i = 0; i < rotate_floats; i++)
		weights[i] = (float)(i % 61) * 0x1p-6f;
	pool = pool_create(threads > 0 ? threads : 1);
	open_openblas(pool_threads(pool));
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		bench_shape(shapes[i][0], shapes[i][1], weights);
	pool_destroy(pool);
	free(weights);
	return 0;
}

/* Matrix products beside this machine's own limits.
 *
 *     bench_gemm [threads]
 *
 * The bound of a product is the larger of two times: its arithmetic at the limit
 * of fused multiply-adds, and its weights at the bandwidth of memory.  Both change
 * from second to second on a machine that others share, so each line measures them
 * between its own samples, the weights read as the product reads them: one copy
 * after the other, each cut up among the threads.  Copies rotate through 300 MB so
 * that no cache holds them.  Samples of limits and products are equally long, as the clock
 * rises for less than a millisecond.  Each figure is the best of 7, or of as many as a second and
 * a half allows, of 2 at least.  OpenBLAS stands beside ours where it is installed, and
 * beside weights in bfloat16 ("bf16") those in floats.  The kernels of every level that
 * this CPU has take their turn, but for the portable ones. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/ops/gemm.h"
#include "common/ops/isa.h"
#include "tests/bench/fma_limit.h"

enum { REPEATS = 7, REPEATS_LEAST = 2 };
static const double line_seconds = 1.5;
enum { HEAD_COLUMNS = 50257, HEAD_ROWS = 256 }; /* GPT-2's output matrix */
enum { X_FLOATS = 1024 * 3072, Y_FLOATS = HEAD_ROWS * HEAD_COLUMNS };
static const size_t rotate_floats = 75u << 20;
static const double sample_seconds = 0.02;
/* Threads of OpenBLAS that wait keep their cores busy for so long, which what is measured
 * next would share with them. */
static const struct timespec until_idle = {.tv_nsec = 50 * 1000 * 1000};

static struct pool *pool;
static volatile float drain; /* keeps results alive */

enum product { FORWARD, FORWARD_BF16, BACKWARD_INPUT, BACKWARD_WEIGHT };

struct shape {
	enum product product;
	int m, n, k;
	float *x, *y;	/* [m, k] and [m, n], or their gradients */
	float *weights; /* several copies of W, or of its gradient */
	size_t stride;	/* floats from one copy to the next */
	int copies;
};

/* ---- limits ---- */

typedef float lanes __attribute__((vector_size(16)));

struct read_args {
	const float *memory;
	size_t floats; /* of one task */
};

static void read_task(void *args, int i, int thread)
{
	const struct read_args *a = args;
	const lanes *from = (const lanes *)(a->memory + a->floats * i);
	lanes sum[8] = {{0}};
	(void)thread;
	for (size_t j = 0; j + 8 <= a->floats / 4; j += 8) {
		for (int v = 0; v < 8; v++)
			sum[v] += from[j + v];
		__builtin_prefetch(from + j + 384, 0, 2);
		__builtin_prefetch(from + j + 388, 0, 2);
	}
	for (int v = 1; v < 8; v++)
		sum[0] += sum[v];
	drain = sum[0][0];
}

static void run_read(const struct shape *s, float *w)
{
	const int n = 4 * pool_threads(pool);
	struct read_args args = {w, s->stride / n / 32 * 32};
	pool_run(pool, n, read_task, &args);
}

static void run_chains(const struct shape *s, float *w)
{
	(void)s;
	(void)w;
	fma_run(pool);
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

/* ---- products ---- */

typedef void product_function(const struct shape *s, float *w);

static void run_ours(const struct shape *s, float *w)
{
	if (s->product == FORWARD)
		gemm_forward(s->y, s->x, w, NULL, s->m, s->n, s->k, pool);
	else if (s->product == FORWARD_BF16)
		gemm_forward_bf16(s->y, s->x, (const uint16_t *)w, NULL, s->m, s->n, s->k, pool);
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

/* Seconds for one product. */
static double sample(const struct shape *s, product_function *run)
{
	static int copy;
	const double start = clock_now();
	double seconds;
	int n = 0;
	do {
		copy = (copy + 1) % s->copies;
		run(s, s->weights + s->stride * copy);
		n++;
		seconds = clock_now() - start;
	} while (seconds < sample_seconds);
	return seconds / n;
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

/* With weights in bfloat16, beside which those in floats stand in place of OpenBLAS. */
static void run_floats(const struct shape *s, float *w)
{
	gemm_forward(s->y, s->x, w, NULL, s->m, s->n, s->k, pool);
}

static void print_beside(const struct shape *s, double ours, double theirs, double bound)
{
	if (s->product == FORWARD_BF16)
		printf("     %5.2f times f32", theirs / ours);
	else if (sgemm)
		printf(" %9.0f %%", 100 * bound / theirs);
	printf("\n");
}

static void print_product(const struct shape *s)
{
	static const char *const names[] = {"forward", "bf16", "dX", "dW"};
	const bool is_bf16 = s->product == FORWARD_BF16;
	struct shape other = *s;
	const double flop = 2.0 * s->m * s->n * s->k;
	const double bytes = (is_bf16 ? 2.0 : 4.0) * s->n * s->k;
	double ours = 1e9, theirs = 1e9, compute = 1e9, memory = 1e9;
	const double began = clock_now();
	if (is_bf16) {
		other.stride *= 2;
		other.copies /= 2;
	}
	for (int i = 0; i <= REPEATS; i++) { /* the first warms up */
		if (i > REPEATS_LEAST && clock_now() - began > line_seconds)
			break;
		compute = smaller(compute, flop / fma_flop(pool) * sample(s, run_chains));
		memory = smaller(memory, bytes / 4 / s->stride * sample(s, run_read));
		if (i == 0)
			ours = theirs = 1e9;
		ours = smaller(ours, sample(s, run_ours));
		if (is_bf16) {
			theirs = smaller(theirs, sample(&other, run_floats));
		} else if (sgemm) {
			theirs = smaller(theirs, sample(s, run_openblas));
			nanosleep(&until_idle, NULL);
		}
	}
	const double bound = larger(compute, memory);
	printf("%-8s %5d x %5d %5d %9.1f %7.1f %9.1f %7.1f %6.0f %%", names[s->product], s->n, s->k,
	       s->m, flop / ours * 1e-9, bytes / ours * 1e-9, flop / compute * 1e-9,
	       bytes / memory * 1e-9, 100 * bound / ours);
	print_beside(s, ours, theirs, bound);
	fflush(stdout);
}

/* Numbers of ordinary size in either type: gradients have been added to them, and of the
 * halves of floats some are so small that multiply-adds take longer. */
static void fill_weights(float *weights, bool is_bf16)
{
	uint16_t *halves = (uint16_t *)weights;

	if (is_bf16)
		for (size_t i = 0; i < 2 * rotate_floats; i++)
			halves[i] = (uint16_t)(0x3c00 + i % 61);
	else
		for (size_t i = 0; i < rotate_floats; i++)
			weights[i] = (float)(i % 61) * 0x1p-6f;
}

static void set_product(struct shape *s, enum product product)
{
	const size_t floats = gemm_packed_floats(s->n, s->k);

	s->product = product;
	fill_weights(s->weights, product == FORWARD_BF16);
	s->stride = product == FORWARD_BF16 ? (floats / 2 + 15) / 16 * 16 : floats;
	s->copies = (int)(rotate_floats / s->stride);
}

static void bench_shape(struct shape *s, const int *forward, const int *backward)
{
	for (int product = FORWARD; product <= FORWARD_BF16; product++) {
		set_product(s, (enum product)product);
		for (const int *m = forward; *m; m++) {
			s->m = *m;
			print_product(s);
		}
	}
	for (; *backward; backward++) {
		s->m = *backward;
		for (int product = BACKWARD_INPUT; product <= BACKWARD_WEIGHT; product++) {
			set_product(s, (enum product)product);
			print_product(s);
		}
	}
}

static void bench_level(float *weights, float *x, float *y)
{
	static const int forward[] = {1, 4, 8, 16, 32, 64, 512, 0}, backward[] = {256, 1024, 0};
	static const int head_forward[] = {1, 8, 32, HEAD_ROWS, 0},
			 head_backward[] = {HEAD_ROWS, 0};
	static const int shapes[][2] = {{2304, 768}, {768, 3072}, {2048, 2048}};
	struct shape s = {.x = x, .y = y, .weights = weights};
	printf("%s, %d threads                    ours             limits          share of the "
	       "bound\n",
	       isa_name(isa_current()), pool_threads(pool));
	printf("product      N       K     M   GFLOP/s    GB/s   GFLOP/s    GB/s     ours  %s\n",
	       sgemm ? "OpenBLAS" : "");
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		s.n = shapes[i][0];
		s.k = shapes[i][1];
		bench_shape(&s, forward, backward);
	}
	s.n = HEAD_COLUMNS;
	s.k = 768;
	bench_shape(&s, head_forward, head_backward);
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
	const int threads = argc > 1 ? atoi(argv[1]) : pool_cores();
	float *weights = xaligned(rotate_floats, sizeof *weights);
	float *x = xaligned(X_FLOATS, sizeof *x), *y = xaligned(Y_FLOATS, sizeof *y);
	for (size_t i = 0; i < X_FLOATS; i++)
		x[i] = (float)(i % 59) * 0x1p-7f;
	for (size_t i = 0; i < Y_FLOATS; i++)
		y[i] = (float)(i % 67) * 0x1p-7f;
	pool = pool_create(threads > 0 ? threads : 1);
	open_openblas(pool_threads(pool));
	for (int isa = (int)isa_best(); isa > ISA_PORTABLE; isa--) {
		isa_select((enum isa)isa);
		bench_level(weights, x, y);
	}
	pool_destroy(pool);
	free(weights);
	free(x);
	free(y);
	return 0;
}

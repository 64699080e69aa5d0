/* Attention beside the limit of fused multiply-adds, measured in the same run.
 *
 *     bench_attention [threads]
 *
 * 12 heads of 64, alone and in groups of 4 that share a key/value head.  Only
 * the scores below the diagonal are counted: 4 D flop forward and 10 D backward
 * for each.  Each figure is the best of 7. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/die.h"
#include "common/ops/attention.h"
#include "tests/bench/fma_limit.h"

enum { REPEATS = 7, SEQS_MAX = 32 };
static const double sample_seconds = 0.03;

struct bench {
	struct attention_shape shape;
	struct pool *pool;
	double limit; /* flop/s */
	int t;	      /* positions of each sequence */
	int n_seqs;
	int offsets[SEQS_MAX + 1];
	struct attention_cache caches[SEQS_MAX];
	float *qkv, *out, *lse, *dout, *dqkv;
};

static void run_forward(const struct bench *b)
{
	attention_forward(b->out, b->lse, b->qkv, b->offsets, b->n_seqs, &b->shape, b->pool);
}

static void run_backward(const struct bench *b)
{
	attention_backward(b->dqkv, b->dout, b->out, b->lse, b->qkv, b->offsets, b->n_seqs,
			   &b->shape, b->pool);
}

static void run_decode(const struct bench *b)
{
	attention_decode(b->out, b->qkv, b->caches, b->n_seqs, &b->shape, b->pool);
}

static double measure(const struct bench *b, void (*run)(const struct bench *b))
{
	double best = 1e9;

	for (int i = 0; i <= REPEATS; i++) { /* the first warms up */
		double start = clock_now(), seconds;
		int n = 0;
		do {
			run(b);
			n++;
			seconds = clock_now() - start;
		} while (seconds < sample_seconds);
		if (i > 0 && seconds / n < best)
			best = seconds / n;
	}
	return best;
}

static void print(const struct bench *b, const char *name, double scores, double flop_per_score,
		  void (*run)(const struct bench *b))
{
	double seconds = measure(b, run);
	double flops = scores * flop_per_score * b->shape.head_dim * b->shape.n_heads / seconds;

	printf("%-9s %3d x %4d  %2d/%-2d %9.3f ms %8.1f %7.0f %%\n", name, b->n_seqs, b->t,
	       b->shape.n_heads, b->shape.n_kv_heads, seconds * 1e3, flops * 1e-9,
	       100 * flops / b->limit);
	fflush(stdout);
}

static float *random_floats(size_t n)
{
	float *x = xaligned(n, sizeof *x);

	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761u % 8191) / 4096 - 1;
	return x;
}

static void create(struct bench *b, int n_seqs, int t)
{
	size_t rows = (size_t)n_seqs * t, d = (size_t)b->shape.head_dim;
	size_t width = (size_t)(b->shape.n_heads + 2 * b->shape.n_kv_heads) * d;
	size_t n_blocks = ((size_t)t + ATTENTION_KEY_BLOCK - 1) / ATTENTION_KEY_BLOCK;

	b->n_seqs = n_seqs;
	b->t = t;
	b->qkv = random_floats(rows * width);
	b->dqkv = random_floats(rows * width);
	b->dout = random_floats(rows * (size_t)b->shape.n_heads * d);
	b->out = random_floats(rows * (size_t)b->shape.n_heads * d);
	b->lse = random_floats(rows * (size_t)b->shape.n_heads);
	for (int i = 0; i <= n_seqs; i++)
		b->offsets[i] = i * t;
	for (int i = 0; i < n_seqs; i++) {
		float **blocks = xcalloc(n_blocks, sizeof *blocks);
		for (size_t k = 0; k < n_blocks; k++)
			blocks[k] = random_floats(attention_block_floats(&b->shape));
		b->caches[i] = (struct attention_cache){.blocks = blocks, .length = t - 1};
	}
}

static void destroy(struct bench *b)
{
	for (int i = 0; i < b->n_seqs; i++) {
		for (int k = 0; k * ATTENTION_KEY_BLOCK < b->t; k++)
			free(b->caches[i].blocks[k]);
		free((void *)b->caches[i].blocks);
	}
	free(b->qkv);
	free(b->dqkv);
	free(b->dout);
	free(b->out);
	free(b->lse);
}

static void bench_training(struct bench *b, int n_seqs, int t)
{
	double scores = 0.5 * n_seqs * t * (t + 1);

	create(b, n_seqs, t);
	print(b, "forward", scores, 4, run_forward);
	print(b, "backward", scores, 10, run_backward);
	destroy(b);
}

static void bench_decode(struct bench *b, int n_seqs, int t)
{
	create(b, n_seqs, t);
	print(b, "decode", (double)n_seqs * t, 4, run_decode);
	destroy(b);
}

int main(int argc, char **argv)
{
	const int threads = argc > 1 ? atoi(argv[1]) : pool_cores();
	struct pool *pool = pool_create(threads > 0 ? threads : 1);
	double limit = fma_limit(pool, REPEATS);

	printf("%s, %d threads: %.0f GFLOP/s of multiply-adds\n", isa_name(isa_current()),
	       pool_threads(pool), limit * 1e-9);
	printf("                     H/K               GFLOP/s  of limit\n");
	for (int kv_heads = 12; kv_heads >= 3; kv_heads -= 9) {
		struct bench b = {
			.shape = {12, kv_heads, 64, 0.125f, 0, 0}, .pool = pool, .limit = limit};
		bench_training(&b, 4, 256);
		bench_training(&b, 16, 64);
		for (int n_seqs = 8; n_seqs <= SEQS_MAX; n_seqs *= 2)
			bench_decode(&b, n_seqs, 128);
	}
	pool_destroy(pool);
	return 0;
}

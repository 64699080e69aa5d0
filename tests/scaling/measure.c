/* Measures the costs of costs.h for the GPT-2 124M shape with all cores of this
 * machine, and prints them in their order, in seconds.
 *
 *     measure CONFIG.json SEQUENCES LENGTH
 *
 * The best of a few runs: a learner's node is taken to be quiet. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/head.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/transformer.h"
#include "common/ops/elementwise.h"
#include "tests/scaling/costs.h"

enum { REPEATS = 3 };

struct setting {
	struct model *model;
	struct pool *pool;
	struct arena arena;
	struct batch batch;
	int t;
	float *grads, *m, *v;
	double *sums;
};

static void cross_entropy(void *context, int first, int n, const float *logprob,
			  const float *entropy, float *dlogprob)
{
	(void)context, (void)first, (void)logprob, (void)entropy;
	for (int i = 0; i < n; i++)
		dlogprob[i] = -1e-3f;
}

static void run_tokens(struct setting *s)
{
	size_t mark = arena_mark(&s->arena), c = (size_t)s->model->config.n_channels;
	float *hidden = arena_alloc(&s->arena, (size_t)s->t * c, sizeof *hidden);
	float *dhidden = arena_calloc(&s->arena, (size_t)s->t * c, sizeof *dhidden);
	int *rows = arena_alloc(&s->arena, (size_t)s->t, sizeof *rows), n = 0;
	int32_t *targets = arena_alloc(&s->arena, (size_t)s->t, sizeof *targets);
	struct kept kept;

	for (int b = 0; b < s->batch.n_seqs; b++) {
		for (int i = s->batch.offsets[b]; i + 1 < s->batch.offsets[b + 1]; i++) {
			rows[n] = i;
			targets[n++] = s->batch.ids[i + 1];
		}
	}
	transformer_forward(s->model, &s->batch, hidden, &kept, &s->arena, s->pool);
	head_train(s->model, hidden, rows, targets, n, 1, NULL, cross_entropy, NULL, NULL,
		   dhidden, s->grads, &s->arena, s->pool);
	transformer_backward(s->model, &s->batch, &kept, dhidden, s->grads, &s->arena, s->pool);
	arena_rewind(&s->arena, mark);
}

static void run_zero(struct setting *s)
{
	zero_fill(s->grads, s->model->layout.n_floats, s->pool);
}
static void run_add(struct setting *s)
{
	add_into(s->grads, s->m, s->model->layout.n_floats, s->pool);
}
static void run_squares(struct setting *s)
{
	block_squares(s->sums, s->grads, s->model->layout.n_floats, s->pool);
}
static void run_adamw(struct setting *s)
{
	const struct adamw form = {1e-6, 0.9, 0.999, 1e-8, 0};

	adamw_step(s->model->weights, s->m, s->v, s->grads, s->model->layout.n_floats, &form, 10, 1,
		   s->pool);
}

static double best_seconds(void (*run)(struct setting *), struct setting *s)
{
	double best = INFINITY;

	for (int k = 0; k < REPEATS; k++) {
		double began = clock_now();
		run(s);
		best = fmin(best, clock_now() - began);
	}
	return best;
}

static void print_costs(struct setting *s)
{
	void (*const runs[COST_COUNT])(struct setting *) = {
		[COST_TOKEN] = run_tokens,    [COST_ZERO] = run_zero,	[COST_ADD] = run_add,
		[COST_SQUARE] = run_squares, [COST_ADAMW] = run_adamw,
	};

	for (int c = 0; c < COST_COUNT; c++) {
		double units = c == COST_TOKEN ? s->t : (double)s->model->layout.n_floats;
		printf("%s%.4g", c ? " " : "", best_seconds(runs[c], s) / units);
	}
	printf("\n");
}

static struct batch make_batch(int n_seqs, int length, int n_vocab)
{
	int *offsets = xcalloc((size_t)n_seqs + 1, sizeof *offsets);
	int32_t *ids = xcalloc((size_t)n_seqs * (size_t)length, sizeof *ids);

	for (int b = 0; b <= n_seqs; b++)
		offsets[b] = b * length;
	for (int i = 0; i < n_seqs * length; i++)
		ids[i] = (int32_t)((int64_t)i * 7919 % n_vocab);
	return (struct batch){.ids = ids, .offsets = offsets, .n_seqs = n_seqs};
}

int main(int argc, char **argv)
{
	struct model_config config;
	struct buf text = BUF_INIT;
	struct error err;
	size_t n;

	if (argc != 4) {
		fprintf(stderr, "usage: measure CONFIG.json SEQUENCES LENGTH\n");
		return STATUS_BAD_INPUT;
	}
	if (file_read(argv[1], 1 << 20, &text, &err) != STATUS_OK ||
	    hf_parse_config(&config, text.data, text.length, argv[1], &err) != STATUS_OK) {
		fprintf(stderr, "measure: %s\n", err.text);
		return STATUS_BAD_INPUT;
	}
	struct setting s = {.model = model_create(&config, false),
			    .pool = pool_create(pool_cores()),
			    .batch = make_batch(atoi(argv[2]), atoi(argv[3]), config.n_vocab)};
	arena_init(&s.arena);
	s.t = s.batch.offsets[s.batch.n_seqs];
	n = s.model->layout.n_floats;
	model_init_random(s.model, 1, 0.02);
	s.grads = xaligned(n, sizeof(float));
	s.m = xaligned(n, sizeof(float));
	s.v = xaligned(n, sizeof(float));
	s.sums = xcalloc(n / SUM_BLOCK + 1, sizeof *s.sums);
	print_costs(&s);
	free(s.grads);
	free(s.m);
	free(s.v);
	free(s.sums);
	free((void *)(uintptr_t)s.batch.ids);
	free((void *)(uintptr_t)s.batch.offsets);
	arena_release(&s.arena);
	model_destroy(s.model);
	pool_destroy(s.pool);
	buf_release(&text);
	return 0;
}

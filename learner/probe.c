/* How fast this machine is with a model's shapes: a model of one layer, all its weights
 * zero, which takes as long.  See plan.h. */
#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/memory.h"
#include "common/model/head.h"
#include "common/model/lora.h"
#include "common/model/sequences.h"
#include "common/model/transformer.h"
#include "common/ops/elementwise.h"
#include "learner/plan.h"

/* Seconds for the parts, and what a part may take at once: tokens are cut to that. */
#define LAYER_SECONDS 1.0
#define HEAD_SECONDS 0.5
#define UPDATE_SECONDS 0.3
#define DECODE_SECONDS 0.2
enum { LEAST_TOKENS = 64, GUESSED_FLOPS = 2000000000 }; /* FLOPS: in a twentieth second */

struct bench {
	struct model *model;
	struct trained trained;
	float *grads, *moments[2];
	struct batch batch;
	int t;
	int *rows;	  /* [T] */
	int32_t *targets; /* [T] */
	float *hidden, *dhidden;
	struct arena arena;
	struct pool *pool; /* of the work itself */
	int lanes;
};

typedef void bench_work(struct bench *bench);

/* The shortest time of one call; the first is not counted. */
static double seconds_of(bench_work *work, struct bench *bench, double limit)
{
	double began = clock_now(), shortest = INFINITY;
	bool is_first = true;

	while (is_first || isinf(shortest) || clock_now() - began < limit) {
		double from = clock_now();

		work(bench);
		if (!is_first)
			shortest = fmin(shortest, clock_now() - from);
		is_first = false;
	}
	return shortest;
}

static void run_forward(struct bench *b)
{
	transformer_forward(b->model, &b->batch, b->hidden, NULL, &b->arena, b->pool);
}

static void run_layer(struct bench *b)
{
	size_t mark = arena_mark(&b->arena);
	struct kept kept;

	transformer_forward(b->model, &b->batch, b->hidden, &kept, &b->arena, b->pool);
	transformer_backward(b->model, &b->batch, &kept, b->dhidden, b->grads, &b->arena, b->pool);
	arena_rewind(&b->arena, mark);
}

static void one_each(void *context, int first, int n, const float *logprob, const float *entropy,
		     float *dlogprob)
{
	(void)context;
	(void)first;
	(void)logprob;
	(void)entropy;
	for (int i = 0; i < n; i++)
		dlogprob[i] = 1;
}

static void run_head(struct bench *b)
{
	head_train(b->model, b->hidden, b->rows, b->targets, b->t, 1, NULL, one_each, NULL, NULL,
		   b->dhidden, b->grads, &b->arena, b->pool);
}

/* A step's work on a block of weights, but for its gradients. */
static void run_update(struct bench *b)
{
	static const struct adamw adamw = {.beta1 = .9, .beta2 = .999, .eps = 1e-8};
	size_t n = b->trained.layout->n_floats;

	for (int lane = 0; lane < b->lanes; lane++) {
		zero_fill(b->grads, n, b->pool);
		if (lane > 0)
			add_into(b->grads, b->moments[0], n, b->pool);
	}
	adamw_step(b->trained.values, b->moments[0], b->moments[1], b->grads, n, &adamw, 1, 1,
		   b->pool);
}

/* --- setting up --- */

/* Tokens that a first microbatch of so many has, cut to what takes half a second or so. */
static int at_most_tokens(const struct model *model, int t)
{
	double weights = (double)model->layout.n_floats / model->config.n_layers;
	double most = fmax(LEAST_TOKENS, 4.0 * GUESSED_FLOPS / weights);

	return t < most ? t : (int)most;
}

static void make_batch(struct bench *b, const struct model *outline, const int *lengths, int n)
{
	int *offsets = xcalloc((size_t)n + 1, sizeof *offsets), total = 0;
	int32_t *ids;

	for (int i = 0; i < n; i++)
		total += lengths[i];
	b->t = at_most_tokens(outline, total);
	for (b->batch.n_seqs = 0; offsets[b->batch.n_seqs] < b->t; b->batch.n_seqs++) {
		int end = offsets[b->batch.n_seqs] + lengths[b->batch.n_seqs];

		offsets[b->batch.n_seqs + 1] = end < b->t ? end : b->t;
	}
	ids = xcalloc((size_t)b->t, sizeof *ids);
	b->batch.ids = ids;
	b->batch.offsets = offsets;
	b->rows = xcalloc((size_t)b->t, sizeof *b->rows);
	b->targets = xcalloc((size_t)b->t, sizeof *b->targets);
	for (int i = 0; i < b->t; i++)
		b->rows[i] = i;
}

static struct model_config one_layer(const struct model *outline)
{
	struct model_config config = outline->config;

	config.n_layers = 1;
	return config;
}

static size_t bytes_needed(const struct model *outline)
{
	struct model_config config = one_layer(outline);
	struct param_layout layout;
	size_t bytes;

	param_layout_init(&layout, &config, false);
	bytes = (outline->lora ? 2 : 4) * layout.n_floats * sizeof(float);
	param_layout_release(&layout);
	return bytes;
}

static void bench_init(struct bench *b, const struct model *outline, const int *lengths, int n,
		       int lanes, struct pool *pool)
{
	struct model_config config = one_layer(outline);
	size_t n_hidden;

	*b = (struct bench){.model = model_create(&config, false), .lanes = lanes};
	b->model->recomputes = outline->recomputes;
	if (outline->lora)
		lora_attach_like(b->model, outline);
	b->trained = model_trained(b->model);
	b->grads = xaligned(b->trained.layout->n_floats, sizeof *b->grads);
	for (int i = 0; i < 2; i++)
		b->moments[i] = xaligned(b->trained.layout->n_floats, sizeof *b->moments[i]);
	make_batch(b, outline, lengths, n);
	n_hidden = (size_t)b->t * (size_t)config.n_channels;
	b->hidden = xaligned(n_hidden, sizeof *b->hidden);
	b->dhidden = xaligned(n_hidden, sizeof *b->dhidden);
	arena_init(&b->arena);
	b->pool = model_is_small(outline) ? NULL : pool;
}

static void bench_release(struct bench *b)
{
	model_destroy(b->model);
	free(b->grads);
	free(b->moments[0]);
	free(b->moments[1]);
	free((void *)b->batch.ids);
	free((void *)b->batch.offsets);
	free(b->rows);
	free(b->targets);
	free(b->hidden);
	free(b->dhidden);
	arena_release(&b->arena);
}

bool probe_run(struct probe *probe, const struct model *model, const int *lengths, int n,
	       int lanes, struct pool *pool, size_t *bytes)
{
	bool is_small = model_is_small(model);
	/* A small model's lanes are worked on side by side. */
	int n_threads = is_small ? pool_threads(pool) : 1, sharing = n_threads < lanes ? n_threads : lanes;
	struct bench bench;

	*probe = (struct probe){0};
	*bytes = bytes_needed(model);
	if (*bytes > memory_available() / 2)
		return false;
	bench_init(&bench, model, lengths, n, lanes, pool);
	probe->forward = seconds_of(run_forward, &bench, LAYER_SECONDS / 4) / bench.t / sharing;
	probe->layer = seconds_of(run_layer, &bench, LAYER_SECONDS) / bench.t / sharing;
	if (model->config.head == HEAD_LM)
		probe->head = seconds_of(run_head, &bench, HEAD_SECONDS) / bench.t / sharing;
	probe->update = seconds_of(run_update, &bench, UPDATE_SECONDS) /
			(double)bench.trained.layout->n_floats;
	bench_release(&bench);
	return true;
}

static void run_logits(struct bench *b)
{
	size_t mark = arena_mark(&b->arena), v = (size_t)b->model->config.n_vocab;
	float *logits = arena_alloc(&b->arena, (size_t)b->t * v, sizeof *logits);

	head_logits(b->model, b->hidden, b->t, logits, &b->arena, b->pool);
	arena_rewind(&b->arena, mark);
}

void probe_decode(struct probe *probe, const struct model *model, int slots, enum weight_type type,
		  struct pool *pool)
{
	int *ones = xcalloc((size_t)slots, sizeof *ones);
	struct bench bench;

	for (int i = 0; i < slots; i++)
		ones[i] = 1;
	bench_init(&bench, model, ones, slots, 1, pool);
	free(ones);
	model_pack(bench.model, type, pool);
	probe->decode = seconds_of(run_forward, &bench, DECODE_SECONDS);
	probe->logits = seconds_of(run_logits, &bench, DECODE_SECONDS);
	bench_release(&bench);
}

double probe_train(const struct probe *probe, const struct model *model, double n_tokens,
		   double n_targets)
{
	return n_tokens * probe->layer * model->config.n_layers + n_targets * probe->head +
	       probe->update * (double)model_trained(model).layout->n_floats;
}

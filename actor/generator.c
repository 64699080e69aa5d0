/* Continuous batching: a slot whose request is finished takes the next request at
 * once, so the batch stays full until the requests run out.
 *
 * An engine is a set of slots with a cache.  A small model gets one engine for
 * each thread, and the engines draw requests from one counter; a large model gets
 * a single engine whose products use all threads. */
#include "actor/generator.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/rng.h"
#include "common/model/head.h"
#include "common/model/sequences.h"
#include "common/model/transformer.h"
#include "common/ops/softmax.h"
#include "proto/rollout.h"

enum { PREFILL_TOKENS = 2048 };			       /* prompts run together */
static const size_t max_cache_bytes = (size_t)2 << 30; /* of all engines */

struct slot {
	struct request *request; /* NULL: free */
	int32_t last;		 /* the token whose position comes next */
};

struct engine {
	struct kv_cache *cache;
	struct slot *slots;
	struct arena arena;
};

struct generator {
	const struct model *model;
	struct pool *pool;
	struct engine *engines;
	int n_engines;
	int n_slots; /* of each engine */
	int capacity;
};

/* One call of generator_run. */
struct job {
	struct generator *generator;
	struct request *requests;
	int n;
	const struct generate_options *options;
	generator_done *done;
	void *context;
	atomic_int next; /* first request that nobody has taken */
	pthread_mutex_t done_lock;
};

void request_release(struct request *request)
{
	free(request->completion);
	free(request->logprob);
	request->completion = NULL;
	request->logprob = NULL;
}

struct generator *generator_create(const struct model *model, int capacity, int max_slots,
				   struct pool *pool)
{
	struct generator *generator = xcalloc(1, sizeof *generator);
	size_t one = kv_cache_bytes(model, 1, capacity);
	int n;

	generator->model = model;
	generator->pool = pool;
	generator->capacity = capacity;
	generator->n_engines = model_is_small(model) ? pool_threads(pool) : 1;
	n = (max_slots + generator->n_engines - 1) / generator->n_engines;
	while (n > 1 && one * (size_t)n * (size_t)generator->n_engines > max_cache_bytes)
		n = (n + 1) / 2;
	generator->n_slots = n;
	generator->engines = xcalloc((size_t)generator->n_engines, sizeof *generator->engines);
	for (int i = 0; i < generator->n_engines; i++) {
		generator->engines[i].cache = kv_cache_create(model, n, capacity);
		generator->engines[i].slots = xcalloc((size_t)n, sizeof(struct slot));
		arena_init(&generator->engines[i].arena);
	}
	return generator;
}

void generator_destroy(struct generator *generator)
{
	if (!generator)
		return;
	for (int i = 0; i < generator->n_engines; i++) {
		kv_cache_destroy(generator->engines[i].cache);
		free(generator->engines[i].slots);
		arena_release(&generator->engines[i].arena);
	}
	free(generator->engines);
	free(generator);
}

/* --- choosing tokens --- */

/* Rows of logits, one for each chosen slot. */
struct choice {
	const struct job *job;
	struct slot *const *slots;
	float *logits; /* [n, V] */
};

static void choose_row(void *args, int i, int thread)
{
	const struct choice *choice = args;
	const struct generate_options *options = choice->job->options;
	struct request *request = choice->slots[i]->request;
	int v = choice->job->generator->model->config.n_vocab;
	float *logits = choice->logits + (size_t)i * v;
	uint8_t early = request->n_completion < options->min_new_tokens;
	struct head_ban ban = {
		.ids = options->stop->ids, .n_ids = options->stop->n, .applies = &early};
	float inverse = options->temperature > 0 ? (float)(1 / options->temperature) : 0;
	double u = rng_uniform(options->seed, RNG_SAMPLE, request->step, request->row,
			       request->sample, (uint32_t)request->n_completion);
	float logprob;
	int32_t id;

	(void)thread;
	head_apply_ban(&ban, logits, 0, 1, v);
	id = softmax_sample(&logprob, logits, v, options->n_allowed, NULL, inverse, u);
	request->completion[request->n_completion] = id;
	request->logprob[request->n_completion++] = logprob;
	choice->slots[i]->last = id;
}

static bool is_stop(const struct generate_options *options, int32_t id)
{
	for (int i = 0; i < options->stop->n; i++)
		if (options->stop->ids[i] == id)
			return true;
	return false;
}

/* Frees the slot if its request has ended. */
static void retire(struct job *job, struct slot *slot)
{
	struct request *request = slot->request;
	const struct generate_options *options = job->options;

	if (is_stop(options, slot->last))
		request->finish = FINISH_STOP;
	else if (request->n_completion >= options->max_new_tokens)
		request->finish = FINISH_LENGTH;
	else
		return;
	slot->request = NULL;
	if (!job->done)
		return;
	pthread_mutex_lock(&job->done_lock);
	job->done(job->context, request);
	pthread_mutex_unlock(&job->done_lock);
}

/* The next token of n slots from their hidden states [n, C]. */
static void choose_tokens(struct job *job, struct engine *engine, struct slot *const *slots,
			  int n, const float *hidden, struct pool *pool)
{
	const struct model *model = job->generator->model;
	size_t mark = arena_mark(&engine->arena);
	struct choice choice = {.job = job, .slots = slots};

	choice.logits = arena_alloc(&engine->arena, (size_t)n * (size_t)model->config.n_vocab,
				    sizeof(float));
	head_logits(model, hidden, n, choice.logits, pool);
	pool_run(pool, n, choose_row, &choice);
	arena_rewind(&engine->arena, mark);
	for (int i = 0; i < n; i++)
		retire(job, slots[i]);
}

/* --- slots --- */

static struct request *take_request(struct job *job)
{
	int i = atomic_fetch_add(&job->next, 1);
	struct request *request;

	if (i >= job->n)
		return NULL;
	request = &job->requests[i];
	ASSERT(request->n_prompt + job->options->max_new_tokens <= job->generator->capacity + 1);
	request->completion = xcalloc((size_t)job->options->max_new_tokens, sizeof(int32_t));
	request->logprob = xcalloc((size_t)job->options->max_new_tokens, sizeof(float));
	request->n_completion = 0;
	return request;
}

/* Fills free slots and runs the new prompts, as many together as make sense. */
static bool admit(struct job *job, struct engine *engine, struct pool *pool)
{
	struct generator *generator = job->generator;
	struct arena *arena = &engine->arena;
	size_t mark = arena_mark(arena);
	int n = 0, total = 0;
	int *numbers = arena_alloc(arena, (size_t)generator->n_slots, sizeof *numbers);
	int *offsets = arena_alloc(arena, (size_t)generator->n_slots + 1, sizeof *offsets);
	struct slot **slots = arena_alloc(arena, (size_t)generator->n_slots, sizeof *slots);
	int32_t *ids;
	float *hidden;
	struct batch batch;

	offsets[0] = 0;
	for (int s = 0; s < generator->n_slots && total < PREFILL_TOKENS; s++) {
		struct slot *slot = &engine->slots[s];

		if (slot->request)
			continue;
		slot->request = take_request(job);
		if (!slot->request)
			break;
		kv_cache_clear(engine->cache, s);
		numbers[n] = s;
		slots[n++] = slot;
		total += slot->request->n_prompt;
		offsets[n] = total;
	}
	if (n > 0) {
		ids = arena_alloc(arena, (size_t)total, sizeof *ids);
		for (int i = 0; i < n; i++)
			memcpy(ids + offsets[i], slots[i]->request->prompt,
			       (size_t)slots[i]->request->n_prompt * sizeof *ids);
		batch = (struct batch){.ids = ids, .offsets = offsets, .n_seqs = n};
		hidden = arena_alloc(arena, (size_t)n * generator->model->config.n_channels,
				     sizeof *hidden);
		transformer_prefill(generator->model, engine->cache, numbers, &batch, hidden, arena,
				    pool);
		choose_tokens(job, engine, slots, n, hidden, pool);
	}
	arena_rewind(arena, mark);
	return n > 0;
}

/* One more token for every busy slot; false when there is none. */
static bool advance(struct job *job, struct engine *engine, struct pool *pool)
{
	struct generator *generator = job->generator;
	struct arena *arena = &engine->arena;
	size_t mark = arena_mark(arena);
	int n = 0;
	int *numbers = arena_alloc(arena, (size_t)generator->n_slots, sizeof *numbers);
	int32_t *ids = arena_alloc(arena, (size_t)generator->n_slots, sizeof *ids);
	struct slot **slots = arena_alloc(arena, (size_t)generator->n_slots, sizeof *slots);
	float *hidden;

	for (int s = 0; s < generator->n_slots; s++) {
		if (!engine->slots[s].request)
			continue;
		numbers[n] = s;
		ids[n] = engine->slots[s].last;
		slots[n++] = &engine->slots[s];
	}
	if (n > 0) {
		hidden = arena_alloc(arena, (size_t)n * generator->model->config.n_channels,
				     sizeof *hidden);
		transformer_decode(generator->model, engine->cache, numbers, ids, n, hidden, arena,
				   pool);
		choose_tokens(job, engine, slots, n, hidden, pool);
	}
	arena_rewind(arena, mark);
	return n > 0;
}

static void run_engine(struct job *job, struct engine *engine, struct pool *pool)
{
	bool is_busy = true;

	while (is_busy) {
		while (admit(job, engine, pool))
			;
		is_busy = advance(job, engine, pool);
	}
}

static void run_engine_alone(void *args, int i, int thread)
{
	struct job *job = args;

	(void)thread;
	run_engine(job, &job->generator->engines[i], NULL);
}

void generator_run(struct generator *generator, struct request *requests, int n,
		   const struct generate_options *options, generator_done *done, void *context)
{
	struct job job = {.generator = generator,
			  .requests = requests,
			  .n = n,
			  .options = options,
			  .done = done,
			  .context = context,
			  .done_lock = PTHREAD_MUTEX_INITIALIZER};

	if (model_is_small(generator->model))
		pool_run(generator->pool, generator->n_engines, run_engine_alone, &job);
	else
		run_engine(&job, &generator->engines[0], generator->pool);
	pthread_mutex_destroy(&job.done_lock);
}

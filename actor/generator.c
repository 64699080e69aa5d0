/* Continuous batching: a slot whose request is finished takes the next request at
 * once, so the batch stays full until the requests run out.
 *
 * An engine is a set of slots with a cache.  A small model gets one engine for
 * each thread, and the engines draw requests from one counter; a large model gets
 * a single engine whose products use all threads.
 *
 * Memory is given to what there is, not to what may come: a request is admitted
 * when blocks of the cache are free for its prompt and some are left for those at
 * work.  When none is left the youngest request gives its blocks back and waits; it
 * goes on later by running its prompt and its completion so far as a prompt, which
 * has the same bits.
 *
 * Requests of one prompt that follow each other share its run and the whole blocks
 * of its keys and values. */
#include "actor/generator.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/memory.h"
#include "common/base/rng.h"
#include "common/model/head.h"
#include "common/model/sequences.h"
#include "common/model/transformer.h"
#include "common/ops/softmax.h"
#include "proto/rollout.h"

enum {
	PREFILL_TOKENS = 2048, /* prompts run together */
	LOGITS = 1 << 24,      /* so many at a time, or one row */
	MAX_BLOCKS = 1 << 24,
	FIRST_TOKENS = 64,     /* of a completion's memory, which doubles */
};

struct slot {
	struct request *request; /* NULL: free */
	int32_t last;		 /* the token whose position comes next */
	bool is_ended;		 /* the caller says so */
};

struct engine {
	struct kv_cache *cache; /* one slot more: the shared prompt */
	struct slot *slots;
	int n_busy;
	struct request **waiting; /* [n_waiting] taken but without memory, the oldest on top */
	int n_waiting, capacity;
	const struct request *shared; /* whose prompt the last slot holds, or NULL */
	float *shared_hidden;	      /* [C], after it */
	struct arena arena;
};

struct generator {
	const struct model *model;
	struct pool *pool;
	struct engine *engines;
	int n_engines;
	int n_slots;  /* of each engine */
	int n_blocks; /* of each engine's cache, at most */
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

static struct engine engine_create(const struct generator *generator)
{
	size_t n = (size_t)generator->n_slots;
	struct engine engine = {
		.cache = kv_cache_create(generator->model, generator->n_slots + 1,
					 generator->n_blocks),
		.slots = xcalloc(n, sizeof *engine.slots),
		.shared_hidden = xcalloc((size_t)generator->model->config.n_channels,
					 sizeof *engine.shared_hidden),
	};

	arena_init(&engine.arena);
	return engine;
}

/* How slots and memory are dealt to engines, which are not made here. */
static struct generator describe(const struct model *model, int max_slots, size_t cache_bytes,
				 int n_threads)
{
	int n = model_is_small(model) ? n_threads : 1;
	size_t n_blocks = cache_bytes / (size_t)n / kv_cache_block_bytes(model);

	return (struct generator){.model = model,
				  .n_engines = n,
				  .n_slots = (max_slots + n - 1) / n,
				  .n_blocks = n_blocks < MAX_BLOCKS ? (int)n_blocks : MAX_BLOCKS};
}

struct generator *generator_create(const struct model *model, int max_slots, size_t cache_bytes,
				   struct pool *pool)
{
	struct generator *generator = xcalloc(1, sizeof *generator);
	int n;

	*generator = describe(model, max_slots, cache_bytes, pool_threads(pool));
	generator->pool = pool;
	n = generator->n_engines;
	generator->engines = xcalloc((size_t)n, sizeof *generator->engines);
	for (int i = 0; i < n; i++)
		generator->engines[i] = engine_create(generator);
	return generator;
}

void generator_destroy(struct generator *generator)
{
	if (!generator)
		return;
	for (int i = 0; i < generator->n_engines; i++) {
		struct engine *engine = &generator->engines[i];

		kv_cache_destroy(engine->cache);
		free(engine->slots);
		free(engine->waiting);
		free(engine->shared_hidden);
		arena_release(&engine->arena);
	}
	free(generator->engines);
	free(generator);
}

size_t generator_cache_bytes(int64_t limit_mb, int n_ranks)
{
	return limit_mb > 0 ? (size_t)limit_mb << 20 : memory_of_node() / 4 / (size_t)n_ranks;
}

int generator_positions(const struct generator *generator)
{
	return generator->n_blocks * ATTENTION_KEY_BLOCK;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Of an engine: its prompts, or its next tokens and their logits. */
static size_t engine_bytes(const struct generator *g, int n_prompt)
{
	size_t v = (size_t)g->model->config.n_vocab, c = (size_t)g->model->config.n_channels;
	size_t slots = (size_t)g->n_slots, rows = larger(1, LOGITS / v);
	size_t most = (size_t)PREFILL_TOKENS + (size_t)n_prompt - 1;
	size_t tokens = slots * (size_t)n_prompt < most ? slots * (size_t)n_prompt : most;
	size_t logits = (slots < rows ? slots : rows) * v;

	return larger(transformer_forward_bytes(g->model, (int)tokens) + tokens * sizeof(int32_t),
		      logits * sizeof(float)) +
	       2 * slots * c * sizeof(float);
}

void generator_plan(struct ledger *ledger, const struct model *model, int max_slots,
		    size_t cache_bytes, int n_threads, int n_prompt, int n_new)
{
	struct generator g = describe(model, max_slots, cache_bytes, n_threads);
	size_t blocks = (size_t)g.n_slots * (size_t)kv_cache_blocks_for(n_prompt + n_new);
	size_t most = (size_t)g.n_blocks;

	ledger_add(ledger, "keys and values",
		   (size_t)g.n_engines * (blocks < most ? blocks : most) *
			   kv_cache_block_bytes(model));
	ledger_add(ledger, "activations", (size_t)g.n_engines * engine_bytes(&g, n_prompt));
}

/* --- choosing tokens --- */

/* Room for one more token. */
static void make_room(struct request *request)
{
	int n = request->n_completion;
	bool is_full = n >= FIRST_TOKENS ? (n & (n - 1)) == 0 : n == 0;
	size_t capacity = n > 0 ? 2 * (size_t)n : FIRST_TOKENS;

	if (!is_full)
		return;
	request->completion =
		xrealloc(request->completion, capacity, sizeof *request->completion);
	request->logprob = xrealloc(request->logprob, capacity, sizeof *request->logprob);
}

/* Rows of logits, one for each chosen slot. */
struct choice {
	const struct job *job;
	struct slot *const *slots;
	float *logits;	/* [n, V] */
	char *scratch;	/* of each thread, for truncated sampling alone */
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
	struct sampling_row row = {.logits = logits,
				   .n = options->n_allowed < v ? options->n_allowed : v,
				   .banned = options->stop->ids,
				   .n_banned = early ? options->stop->n : 0};
	double temperature = options->sampling.temperature;
	double u = rng_uniform(options->seed, RNG_SAMPLE, request->step, request->row,
			       request->sample, (uint32_t)request->n_completion);
	float logprob;
	int32_t id;

	make_room(request);
	id = sampling_draw(&row, &options->sampling, u,
			   choice->scratch + (size_t)thread * sampling_scratch_bytes(v));
	if (options->ban_counts)
		head_apply_ban(&ban, logits, 0, 1, v);
	softmax_logprob(&logprob, NULL, NULL, logits, &id, 1, v,
			temperature > 0 ? (float)(1 / temperature) : 1, NULL);
	request->completion[request->n_completion] = id;
	request->logprob[request->n_completion++] = logprob;
	choice->slots[i]->last = id;
	choice->slots[i]->is_ended = options->token && options->token(request);
}

static bool is_stop(const struct generate_options *options, int32_t id)
{
	for (int i = 0; i < options->stop->n; i++)
		if (options->stop->ids[i] == id)
			return true;
	return false;
}

/* The request leaves its slot. */
static void release_slot(struct engine *engine, struct slot *slot)
{
	kv_cache_clear(engine->cache, (int)(slot - engine->slots));
	slot->request = NULL;
	engine->n_busy--;
}

/* Frees the slot if its request has ended. */
static void retire(struct job *job, struct engine *engine, struct slot *slot)
{
	struct request *request = slot->request;
	const struct generate_options *options = job->options;

	if (slot->is_ended || is_stop(options, slot->last))
		request->finish = FINISH_STOP;
	else if (request->n_completion >= options->max_new_tokens)
		request->finish = FINISH_LENGTH;
	else
		return;
	release_slot(engine, slot);
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
	size_t v = (size_t)model->config.n_vocab, c = (size_t)model->config.n_channels;
	size_t mark = arena_mark(&engine->arena);
	int at_once = LOGITS / (int)v > 0 ? LOGITS / (int)v : 1;
	struct choice choice = {.job = job};

	at_once = at_once < n ? at_once : n;
	choice.logits = arena_alloc(&engine->arena, (size_t)at_once * v, sizeof(float));
	if (sampling_truncates(&job->options->sampling))
		choice.scratch = arena_alloc(&engine->arena, (size_t)pool_threads(pool),
					     sampling_scratch_bytes((int)v));
	for (int i = 0; i < n; i += at_once) {
		int rows = n - i < at_once ? n - i : at_once;

		choice.slots = slots + i;
		head_logits(model, hidden + (size_t)i * c, rows, choice.logits, &engine->arena,
			    pool);
		pool_run(pool, rows, choose_row, &choice);
	}
	arena_rewind(&engine->arena, mark);
	for (int i = 0; i < n; i++)
		retire(job, engine, slots[i]);
}

/* --- requests and memory --- */

static void put_back(struct engine *engine, struct request *request)
{
	if (engine->n_waiting == engine->capacity) {
		engine->capacity = engine->capacity ? 2 * engine->capacity : 16;
		engine->waiting = xrealloc((void *)engine->waiting, (size_t)engine->capacity,
					   sizeof *engine->waiting);
	}
	engine->waiting[engine->n_waiting++] = request;
}

static struct request *take_request(struct job *job, struct engine *engine)
{
	int i;

	if (engine->n_waiting > 0)
		return engine->waiting[--engine->n_waiting];
	i = atomic_fetch_add(&job->next, 1);
	return i < job->n ? &job->requests[i] : NULL;
}

static void forget_shared(struct job *job, struct engine *engine)
{
	kv_cache_clear(engine->cache, job->generator->n_slots);
	engine->shared = NULL;
}

/* Takes memory back: the shared prompt's, or that of the youngest request at work,
 * which is put back. */
static void free_memory(struct job *job, struct engine *engine)
{
	struct slot *youngest = NULL;

	if (engine->shared) {
		forget_shared(job, engine);
		return;
	}
	for (int s = 0; s < job->generator->n_slots; s++) {
		struct slot *slot = &engine->slots[s];

		if (slot->request && (!youngest || slot->request > youngest->request))
			youngest = slot;
	}
	ASSERT(youngest && engine->n_busy > 1);
	put_back(engine, youngest->request);
	release_slot(engine, youngest);
}

/* --- admission --- */

static bool same_prompt(const struct request *a, const struct request *b)
{
	return a->n_prompt == b->n_prompt &&
	       (a->prompt == b->prompt ||
		memcmp(a->prompt, b->prompt, (size_t)a->n_prompt * sizeof *a->prompt) == 0);
}

/* Requests that begin together. */
struct admission {
	int n; /* of them */
	struct slot **slots;
	int *sources;  /* the row of hidden after each one's prompt */
	int n_prompts; /* that are run */
	int *numbers;  /* their slots */
	int *offsets;  /* [n_prompts + 1] */
	int n_promised; /* blocks that copies of prompts will take */
};

static struct admission admission_create(struct arena *arena, int n_slots)
{
	size_t n = (size_t)n_slots;
	struct admission a = {.slots = arena_alloc(arena, n, sizeof(struct slot *)),
			      .sources = arena_alloc(arena, n, sizeof(int)),
			      .numbers = arena_alloc(arena, n, sizeof(int)),
			      .offsets = arena_alloc(arena, n + 1, sizeof(int))};

	a.offsets[0] = 0;
	return a;
}

/* Of a request's prompt and its next token, which is never an input if it is the last. */
static int positions_needed(const struct job *job, const struct request *request)
{
	bool is_last = request->n_completion + 1 >= job->options->max_new_tokens;

	return request->n_prompt + request->n_completion + !is_last;
}

/* Blocks for these, less the whole ones it shares. */
static int blocks_needed(const struct job *job, const struct request *request, bool is_shared)
{
	int n = request->n_prompt + request->n_completion;

	return kv_cache_blocks_for(positions_needed(job, request)) -
	       (is_shared ? n / ATTENTION_KEY_BLOCK : 0);
}

/* Whether blocks are left for it; those at work soon want some too. */
static bool has_memory(const struct engine *engine, const struct admission *a, int n_blocks)
{
	int n_free = kv_cache_free_blocks(engine->cache) - a->n_promised;

	return engine->n_busy == 0 ? n_free >= n_blocks
				   : n_free - n_blocks >= (engine->n_busy + 1) / 2;
}

/* Puts a request into the free slot number s; false where memory lacks.  The prompt
 * may be known: from this admission, or as the shared one. */
static bool admit_request(struct job *job, struct engine *engine, struct admission *a, int s,
			  struct request *request)
{
	const struct slot *before = a->n > 0 ? a->slots[a->n - 1] : NULL;
	bool is_new = request->n_completion == 0;
	bool is_shared = is_new && engine->shared && same_prompt(request, engine->shared);
	bool is_copy = is_new && !is_shared && before && before->request->n_completion == 0 &&
		       same_prompt(request, before->request);
	int n = request->n_prompt + request->n_completion;
	int n_blocks = blocks_needed(job, request, is_copy || is_shared);

	if (!has_memory(engine, a, n_blocks) && !is_shared && engine->shared)
		forget_shared(job, engine);
	if (!has_memory(engine, a, n_blocks))
		return false;
	if (is_copy) {
		a->sources[a->n] = a->sources[a->n - 1];
		a->n_promised += n_blocks;
	} else if (is_shared) {
		a->sources[a->n] = job->generator->n_slots;
		kv_cache_fork(engine->cache, job->generator->n_slots, s);
		kv_cache_reserve(engine->cache, s, positions_needed(job, request));
	} else {
		a->sources[a->n] = a->n_prompts;
		kv_cache_reserve(engine->cache, s, positions_needed(job, request));
		a->numbers[a->n_prompts] = s;
		a->offsets[a->n_prompts + 1] = a->offsets[a->n_prompts] + n;
		a->n_prompts++;
	}
	engine->slots[s].request = request;
	engine->n_busy++;
	a->slots[a->n++] = &engine->slots[s];
	return true;
}

/* hidden [n_prompts, C] after the prompts of an admission. */
static void run_prompts(struct job *job, struct engine *engine, const struct admission *a,
			float *hidden, struct pool *pool)
{
	struct arena *arena = &engine->arena;
	size_t mark = arena_mark(arena);
	int32_t *ids = arena_alloc(arena, (size_t)a->offsets[a->n_prompts], sizeof *ids);
	int *last = arena_alloc(arena, (size_t)a->n_prompts, sizeof *last);
	struct batch batch = {.ids = ids,
			      .offsets = a->offsets,
			      .n_seqs = a->n_prompts,
			      .wanted = last,
			      .n_wanted = a->n_prompts};

	for (int i = 0; i < a->n_prompts; i++) {
		const struct request *request = engine->slots[a->numbers[i]].request;
		int32_t *at = ids + a->offsets[i];

		last[i] = a->offsets[i + 1] - 1;
		memcpy(at, request->prompt, (size_t)request->n_prompt * sizeof *ids);
		if (request->n_completion > 0)
			memcpy(at + request->n_prompt, request->completion,
			       (size_t)request->n_completion * sizeof *ids);
	}
	if (a->n_prompts > 0)
		transformer_prefill(job->generator->model, engine->cache, a->numbers, &batch,
				    hidden, arena, pool);
	arena_rewind(arena, mark);
}

/* Keys and values of the prompts that this admission has twice or more. */
static void copy_prompts(const struct job *job, struct engine *engine, const struct admission *a)
{
	int n_slots = job->generator->n_slots;

	for (int i = 0; i < a->n; i++) {
		int s = (int)(a->slots[i] - engine->slots);

		if (a->sources[i] == n_slots || a->numbers[a->sources[i]] == s)
			continue;
		kv_cache_fork(engine->cache, a->numbers[a->sources[i]], s);
		kv_cache_reserve(engine->cache, s, positions_needed(job, a->slots[i]->request));
	}
}

/* Keeps the last prompt of an admission if the next request has it too. */
static void share_last(struct job *job, struct engine *engine, const struct admission *a,
		       const float *hidden)
{
	const struct request *last = a->slots[a->n - 1]->request;
	int n_slots = job->generator->n_slots, c = job->generator->model->config.n_channels;
	int source = a->sources[a->n - 1], next = atomic_load(&job->next);

	if (source == n_slots)
		return;
	if (engine->shared)
		forget_shared(job, engine);
	if (last->n_completion > 0 || next >= job->n || !same_prompt(last, &job->requests[next]))
		return;
	if (!kv_cache_fork(engine->cache, a->numbers[source], n_slots))
		return;
	engine->shared = last;
	memcpy(engine->shared_hidden, hidden + (size_t)source * c, (size_t)c * sizeof *hidden);
}

/* Fills free slots and runs the new prompts, as many together as make sense. */
static bool admit(struct job *job, struct engine *engine, struct pool *pool)
{
	int n_slots = job->generator->n_slots, c = job->generator->model->config.n_channels;
	size_t mark = arena_mark(&engine->arena), row = (size_t)c * sizeof(float);
	struct admission a = admission_create(&engine->arena, n_slots);
	float *hidden, *rows;

	for (int s = 0; s < n_slots && a.offsets[a.n_prompts] < PREFILL_TOKENS; s++) {
		struct request *request;

		if (engine->slots[s].request)
			continue;
		request = take_request(job, engine);
		if (!request)
			break;
		if (!admit_request(job, engine, &a, s, request)) {
			put_back(engine, request);
			break;
		}
	}
	if (a.n > 0) {
		hidden = arena_alloc(&engine->arena, (size_t)n_slots + 1, row);
		rows = arena_alloc(&engine->arena, (size_t)a.n, row);
		run_prompts(job, engine, &a, hidden, pool);
		copy_prompts(job, engine, &a);
		memcpy(hidden + (size_t)n_slots * c, engine->shared_hidden, row);
		share_last(job, engine, &a, hidden);
		for (int i = 0; i < a.n; i++)
			memcpy(rows + (size_t)i * c, hidden + (size_t)a.sources[i] * c, row);
		choose_tokens(job, engine, a.slots, a.n, rows, pool);
	}
	arena_rewind(&engine->arena, mark);
	return a.n > 0;
}

/* --- going on --- */

/* Room for the next position of every busy slot, of fewer slots if need be. */
static void reserve_next(struct job *job, struct engine *engine)
{
	for (int s = 0; s < job->generator->n_slots; s++) {
		const struct slot *slot = &engine->slots[s];

		while (slot->request &&
		       !kv_cache_reserve(engine->cache, s, kv_cache_length(engine->cache, s) + 1))
			free_memory(job, engine);
	}
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

	reserve_next(job, engine);
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
	forget_shared(job, engine);
	if (engine->n_waiting > 0)
		die("a prompt of %d ids does not fit into the cache of %d positions",
		    engine->waiting[0]->n_prompt, generator_positions(job->generator));
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

	for (int i = 0; i < n; i++) {
		requests[i].completion = NULL;
		requests[i].logprob = NULL;
		requests[i].n_completion = 0;
	}
	if (model_is_small(generator->model))
		pool_run(generator->pool, generator->n_engines, run_engine_alone, &job);
	else
		run_engine(&job, &generator->engines[0], generator->pool);
	pthread_mutex_destroy(&job.done_lock);
}

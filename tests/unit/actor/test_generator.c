/* Sampling: a request's tokens and log-probabilities have the same bytes whatever the
 * slots, the threads, the order of requests and the size of the model, and they are
 * those that the full forward pass gives to the same ids.
 *
 * Two models of the same random weights stand for the small and the large path: the
 * large one has a longer table of positions, of which the tests use the beginning. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/generator.h"
#include "common/base/die.h"
#include "common/model/head.h"
#include "common/model/sequences.h"
#include "common/model/transformer.h"
#include "proto/rollout.h"
#include "tests/unit/common/model/small_models.h"

enum {
	N_REQUESTS = 24,
	LONGEST_PROMPT = 9,
	MAX_NEW = 12,
	CAPACITY = LONGEST_PROMPT + MAX_NEW - 1,
	V = 97,
	SMALL_POSITIONS = 32,
	LARGE_POSITIONS = 70000,
	CACHE_BYTES = 1 << 28,
};

/* Enough of them that some completions end early and some by length. */
static const struct stop_ids stop = {.ids = {2, 11, 23, 31, 47, 52, 60, 88}, .n = 8};
static const struct stop_ids no_stop = {.n = 0};

static struct model *with_random_weights(struct model *model)
{
	model_init_random(model, 5, .5);
	model_pack(model, WEIGHTS_F32, NULL);
	return model;
}

static struct model *learned_model(int max_positions)
{
	return with_random_weights(small_gpt2(2, 64, V, max_positions));
}

static struct model *rotary_model(int n_vocab)
{
	return with_random_weights(small_llama(1, 32, n_vocab, SMALL_POSITIONS));
}

/* --- requests --- */

static int32_t prompts[N_REQUESTS][LONGEST_PROMPT];

static void set_requests(struct request *requests)
{
	for (int i = 0; i < N_REQUESTS; i++) {
		for (int k = 0; k < LONGEST_PROMPT; k++)
			prompts[i][k] = (i * 31 + k * 17 + 3) % V;
		requests[i] = (struct request){.prompt = prompts[i],
					       .n_prompt = 1 + i * 5 % LONGEST_PROMPT,
					       .step = 3,
					       .row = (uint32_t)i / 2,
					       .sample = (uint32_t)i % 2};
	}
}

static void release_requests(struct request *requests, int n)
{
	for (int i = 0; i < n; i++)
		request_release(&requests[i]);
}

static struct generate_options usual_options(void)
{
	return (struct generate_options){.max_new_tokens = MAX_NEW,
					 .sampling = {.temperature = .8, .top_p = 1},
					 .seed = 42,
					 .n_allowed = 1 << 30,
					 .stop = &stop,
					 .ban_counts = true};
}

static void run_requests(const struct model *model, int slots, int n_threads,
			 struct request *requests, int n, const struct generate_options *options)
{
	struct pool *pool = pool_create(n_threads);
	struct generator *generator = generator_create(model, slots, CACHE_BYTES, pool);

	generator_run(generator, requests, n, options, NULL, NULL);
	generator_destroy(generator);
	pool_destroy(pool);
}

/* The usual requests, one at a time on one thread. */
static void run_usual(const struct model *model, struct request *requests,
		      const struct generate_options *options)
{
	set_requests(requests);
	run_requests(model, 1, 1, requests, N_REQUESTS, options);
}

static void assert_same_request(const struct request *a, const struct request *b)
{
	size_t n = (size_t)a->n_completion;

	assert_int_equal(a->n_completion, b->n_completion);
	assert_int_equal(a->finish, b->finish);
	assert_memory_equal(a->completion, b->completion, n * sizeof *a->completion);
	assert_memory_equal(a->logprob, b->logprob, n * sizeof *a->logprob);
}

static bool is_stop(int32_t id)
{
	for (int i = 0; i < stop.n; i++)
		if (stop.ids[i] == id)
			return true;
	return false;
}

/* --- the same bytes --- */

static void check_same(const struct model *model, int slots, int n_threads, int stride,
		       const struct request *expected, const struct generate_options *options)
{
	struct request usual[N_REQUESTS], requests[N_REQUESTS];

	set_requests(usual);
	for (int i = 0; i < N_REQUESTS; i++)
		requests[i] = usual[(i * stride + stride / 2) % N_REQUESTS];
	run_requests(model, slots, n_threads, requests, N_REQUESTS, options);
	for (int i = 0; i < N_REQUESTS; i++)
		assert_same_request(&requests[i],
				    &expected[(i * stride + stride / 2) % N_REQUESTS]);
	release_requests(requests, N_REQUESTS);
}

/* Strides are coprime to the number of requests: other orders. */
static void check_all_ways(const struct model *model, const struct request *expected,
			   const struct generate_options *options)
{
	check_same(model, 1, 2, 1, expected, options);
	check_same(model, 2, 1, 5, expected, options);
	check_same(model, 2, 2, 23, expected, options);
	check_same(model, 3, 1, 7, expected, options);
	check_same(model, 3, 2, 1, expected, options);
	check_same(model, 64, 1, 1, expected, options);
	check_same(model, 64, 2, 11, expected, options);
}

static void test_bytes_do_not_depend_on_slots_threads_order_or_path(void **state)
{
	struct model *small = learned_model(SMALL_POSITIONS);
	struct model *large = learned_model(LARGE_POSITIONS);
	struct generate_options options = usual_options();
	struct request expected[N_REQUESTS];

	(void)state;
	options.min_new_tokens = 2;
	assert_true(model_is_small(small));
	assert_false(model_is_small(large));
	run_usual(small, expected, &options);
	check_all_ways(small, expected, &options);
	check_same(large, 1, 1, 1, expected, &options);
	check_all_ways(large, expected, &options);
	release_requests(expected, N_REQUESTS);
	model_destroy(small);
	model_destroy(large);
}

static void test_bytes_of_a_large_vocabulary_do_not_depend_on_slots_or_threads(void **state)
{
	struct model *model = rotary_model(66000);
	struct generate_options options = usual_options();
	struct request expected[N_REQUESTS];

	(void)state;
	options.max_new_tokens = 3;
	assert_false(model_is_small(model));
	run_usual(model, expected, &options);
	check_same(model, 3, 2, 5, expected, &options);
	check_same(model, 64, 2, 1, expected, &options);
	release_requests(expected, N_REQUESTS);
	model_destroy(model);
}

static void test_a_generator_runs_again_as_if_it_were_new(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request expected[N_REQUESTS], requests[N_REQUESTS];
	struct pool *pool = pool_create(2);
	struct generator *generator = generator_create(model, 4, CACHE_BYTES, pool);

	(void)state;
	run_usual(model, expected, &options);
	for (int time = 0; time < 3; time++) {
		set_requests(requests);
		generator_run(generator, requests, N_REQUESTS - 5 * time, &options, NULL, NULL);
		for (int i = 0; i < N_REQUESTS - 5 * time; i++)
			assert_same_request(&requests[i], &expected[i]);
		release_requests(requests, N_REQUESTS);
	}
	generator_run(generator, requests, 0, &options, NULL, NULL);
	release_requests(expected, N_REQUESTS);
	generator_destroy(generator);
	pool_destroy(pool);
	model_destroy(model);
}

/* --- memory --- */

enum { LONG_PROMPT = 150, LONG_NEW = 120, N_LONG = 9 };

static int32_t long_prompt[LONG_PROMPT];

/* Groups of three requests with the same prompt, of which some end soon. */
static void set_long_requests(struct request *requests)
{
	static const int lengths[] = {3, 64, 150};

	for (int k = 0; k < LONG_PROMPT; k++)
		long_prompt[k] = (k * 29 + 5) % V;
	for (int i = 0; i < N_LONG; i++)
		requests[i] = (struct request){.prompt = long_prompt,
					       .n_prompt = lengths[i / 3],
					       .row = (uint32_t)i / 3,
					       .sample = (uint32_t)i % 3};
}

/* With room for n_blocks in each cache. */
static void run_long(const struct model *model, int slots, int n_threads, int n_blocks,
		     struct request *requests)
{
	static const struct stop_ids seldom = {.ids = {2}, .n = 1};
	struct generate_options options = usual_options();
	struct pool *pool = pool_create(n_threads);
	int n_engines = model_is_small(model) ? n_threads : 1;
	size_t bytes = kv_cache_block_bytes(model) * (size_t)n_blocks * (size_t)n_engines;
	struct generator *generator = generator_create(model, slots, bytes, pool);

	options.max_new_tokens = LONG_NEW;
	options.stop = &seldom;
	set_long_requests(requests);
	assert_int_equal(generator_positions(generator), 64 * n_blocks);
	generator_run(generator, requests, N_LONG, &options, NULL, NULL);
	generator_destroy(generator);
	pool_destroy(pool);
}

static void check_memory(const struct model *model, const struct request *expected, int slots,
			 int n_threads, int n_blocks)
{
	struct request requests[N_LONG];

	run_long(model, slots, n_threads, n_blocks, requests);
	for (int i = 0; i < N_LONG; i++)
		assert_same_request(&requests[i], &expected[i]);
	release_requests(requests, N_LONG);
}

/* 5 blocks hold one of the longest; from 6 to 12 of them requests wait, lose their
 * blocks and begin again. */
static void test_bytes_do_not_depend_on_the_memory_for_keys_and_values(void **state)
{
	struct model *models[] = {learned_model(300), learned_model(LARGE_POSITIONS)};
	struct request expected[N_LONG];

	(void)state;
	run_long(models[0], 1, 1, 1000, expected);
	assert_int_equal(expected[8].n_completion, LONG_NEW);
	for (int m = 0; m < 2; m++)
		for (int n_blocks = 5; n_blocks < 13; n_blocks++) {
			check_memory(models[m], expected, 4, 1, n_blocks);
			check_memory(models[m], expected, 9, 2, n_blocks);
		}
	release_requests(expected, N_LONG);
	model_destroy(models[0]);
	model_destroy(models[1]);
}

/* A completion's last token is never an input and needs no block of its own: prompts that
 * fill the cache give one token. */
static void test_a_prompt_that_fills_the_cache_gives_a_token(void **state)
{
	struct model *model = learned_model(300);
	struct generate_options options = usual_options();
	struct pool *pool = pool_create(1);
	struct request requests[3], expected[3];

	(void)state;
	options.max_new_tokens = 1;
	for (int k = 0; k < LONG_PROMPT; k++)
		long_prompt[k] = (k * 29 + 5) % V;
	for (int i = 0; i < 3; i++)
		requests[i] = expected[i] = (struct request){
			.prompt = long_prompt, .n_prompt = 128, .sample = (uint32_t)i};
	run_requests(model, 4, 1, expected, 3, &options);
	for (int slots = 1; slots < 5; slots++) {
		struct generator *generator = generator_create(
			model, slots, 2 * kv_cache_block_bytes(model), pool);

		assert_int_equal(generator_positions(generator), 128);
		generator_run(generator, requests, 3, &options, NULL, NULL);
		for (int i = 0; i < 3; i++)
			assert_same_request(&requests[i], &expected[i]);
		release_requests(requests, 3);
		generator_destroy(generator);
	}
	release_requests(expected, 3);
	pool_destroy(pool);
	model_destroy(model);
}

/* A request alone gives the bytes that it gives in a group of its prompt. */
static void test_bytes_do_not_depend_on_the_sharing_of_prompts(void **state)
{
	struct model *model = learned_model(300);
	struct generate_options options = usual_options();
	struct pool *pool = pool_create(1);
	struct generator *generator = generator_create(model, 2, CACHE_BYTES, pool);
	struct request together[N_LONG], alone[N_LONG];

	(void)state;
	options.stop = &no_stop;
	set_long_requests(together);
	set_long_requests(alone);
	generator_run(generator, together, N_LONG, &options, NULL, NULL);
	for (int i = 0; i < N_LONG; i++) {
		generator_run(generator, &alone[i], 1, &options, NULL, NULL);
		assert_same_request(&together[i], &alone[i]);
	}
	release_requests(together, N_LONG);
	release_requests(alone, N_LONG);
	generator_destroy(generator);
	pool_destroy(pool);
	model_destroy(model);
}

/* --- the same numbers as the full forward pass --- */

/* logprob [n_completion] of a request's own ids by transformer_forward. */
static void forward_logprobs(const struct model *model, const struct request *request,
			     const struct generate_options *options, float *logprob)
{
	int n = request->n_prompt + request->n_completion, rows[MAX_NEW];
	int offsets[2] = {0, n};
	int32_t ids[CAPACITY + 1];
	uint8_t early[MAX_NEW];
	float *hidden = xcalloc((size_t)n * (size_t)model->config.n_channels, sizeof *hidden);
	struct batch batch = {.ids = ids, .offsets = offsets, .n_seqs = 1};
	struct head_ban ban = {
		.ids = options->stop->ids, .n_ids = options->stop->n, .applies = early};
	struct arena arena;

	memcpy(ids, request->prompt, (size_t)request->n_prompt * sizeof *ids);
	memcpy(ids + request->n_prompt, request->completion,
	       (size_t)request->n_completion * sizeof *ids);
	for (int i = 0; i < request->n_completion; i++) {
		rows[i] = request->n_prompt + i - 1;
		early[i] = i < options->min_new_tokens;
	}
	arena_init(&arena);
	transformer_forward(model, &batch, hidden, NULL, &arena, NULL);
	head_logprobs(model, hidden, rows, request->completion, request->n_completion,
		      options->sampling.temperature > 0 ? (float)(1 / options->sampling.temperature) : 1, &ban,
		      logprob, NULL, NULL, &arena, NULL);
	arena_release(&arena);
	free(hidden);
}

static void check_logprobs(struct model *model, const struct generate_options *options)
{
	struct request requests[N_REQUESTS];
	float expected[MAX_NEW];

	set_requests(requests);
	run_requests(model, 5, 2, requests, N_REQUESTS, options);
	for (int i = 0; i < N_REQUESTS; i++) {
		forward_logprobs(model, &requests[i], options, expected);
		assert_memory_equal(requests[i].logprob, expected,
				    (size_t)requests[i].n_completion * sizeof *expected);
	}
	release_requests(requests, N_REQUESTS);
	model_destroy(model);
}

static void test_logprobs_are_those_of_the_full_forward_to_the_bit(void **state)
{
	struct generate_options options = usual_options();

	(void)state;
	options.min_new_tokens = 4;
	check_logprobs(learned_model(SMALL_POSITIONS), &options);
	check_logprobs(learned_model(LARGE_POSITIONS), &options);
	check_logprobs(rotary_model(V), &options);
	options.n_allowed = 40;
	check_logprobs(rotary_model(V), &options);
	options.sampling.temperature = 0;
	check_logprobs(rotary_model(V), &options);
}

/* --- options --- */

static void test_completions_end_with_an_end_id_or_by_length(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request requests[N_REQUESTS];
	int by_stop = 0, by_length = 0;

	(void)state;
	run_usual(model, requests, &options);
	for (int i = 0; i < N_REQUESTS; i++) {
		const struct request *request = &requests[i];

		for (int k = 0; k < request->n_completion - 1; k++)
			assert_false(is_stop(request->completion[k]));
		if (is_stop(request->completion[request->n_completion - 1])) {
			assert_int_equal(request->finish, FINISH_STOP);
			by_stop++;
		} else {
			assert_int_equal(request->finish, FINISH_LENGTH);
			assert_int_equal(request->n_completion, MAX_NEW);
			by_length++;
		}
	}
	assert_true(by_stop > 3 && by_length > 3);
	release_requests(requests, N_REQUESTS);
	model_destroy(model);
}

/* At the first multiple of 5, of a request that asks for it. */
static bool ends_at_fives(struct request *request)
{
	const int *from = request->context;

	return request->n_completion >= *from &&
	       request->completion[request->n_completion - 1] % 5 == 0;
}

static void test_completions_end_where_the_caller_says_so(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request free_requests[N_REQUESTS], requests[N_REQUESTS];
	int from[N_REQUESTS], n_ended = 0;

	(void)state;
	options.stop = &no_stop;
	run_usual(model, free_requests, &options);
	options.token = ends_at_fives;
	set_requests(requests);
	for (int i = 0; i < N_REQUESTS; i++) {
		from[i] = i % 4 * 3;
		requests[i].context = &from[i];
	}
	run_requests(model, 5, 2, requests, N_REQUESTS, &options);
	for (int i = 0; i < N_REQUESTS; i++) {
		int end = 0;

		while (end < MAX_NEW && (end + 1 < from[i] || free_requests[i].completion[end] % 5))
			end++;
		assert_int_equal(requests[i].finish, end < MAX_NEW ? FINISH_STOP : FINISH_LENGTH);
		assert_int_equal(requests[i].n_completion, end < MAX_NEW ? end + 1 : MAX_NEW);
		assert_memory_equal(requests[i].completion, free_requests[i].completion,
				    (size_t)requests[i].n_completion * sizeof(int32_t));
		n_ended += end < MAX_NEW;
	}
	assert_true(n_ended > 3 && n_ended < N_REQUESTS);
	release_requests(requests, N_REQUESTS);
	release_requests(free_requests, N_REQUESTS);
	model_destroy(model);
}

static void test_end_ids_cannot_be_drawn_before_the_minimum(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request requests[N_REQUESTS];
	int at_once = 0;

	(void)state;
	run_usual(model, requests, &options);
	for (int i = 0; i < N_REQUESTS; i++)
		at_once += requests[i].n_completion < 6;
	assert_true(at_once > 0); /* without a minimum they are drawn */
	release_requests(requests, N_REQUESTS);

	for (options.min_new_tokens = 6; options.min_new_tokens <= MAX_NEW;
	     options.min_new_tokens += 6) {
		run_usual(model, requests, &options);
		for (int i = 0; i < N_REQUESTS; i++) {
			assert_true(requests[i].n_completion >= options.min_new_tokens);
			for (int k = 0; k < options.min_new_tokens; k++)
				assert_false(is_stop(requests[i].completion[k]));
		}
		release_requests(requests, N_REQUESTS);
	}
	model_destroy(model);
}

/* The first token's distribution is what remains: over all ids that are not end
 * ids, the probabilities add up to 1. */
static void test_logprobs_before_the_minimum_are_of_the_remaining_distribution(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request request = {.prompt = (const int32_t[]){7}, .n_prompt = 1};
	bool seen[V] = {false};
	double total = 0;
	int n_seen = 0;

	(void)state;
	options.max_new_tokens = 1;
	options.min_new_tokens = 1;
	options.sampling.temperature = 8; /* nearly uniform: every id comes soon */
	for (request.row = 0; n_seen < V - stop.n && request.row < 20000; request.row++) {
		run_requests(model, 1, 1, &request, 1, &options);
		if (!seen[request.completion[0]]) {
			seen[request.completion[0]] = true;
			total += exp(request.logprob[0]);
			n_seen++;
		}
		request_release(&request);
	}
	assert_int_equal(n_seen, V - stop.n);
	assert_true(fabs(total - 1) < 1e-5);
	model_destroy(model);
}

static void test_temperature_zero_takes_the_most_probable_token(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request requests[N_REQUESTS];

	(void)state;
	options.sampling.temperature = 0;
	options.stop = &no_stop;
	run_usual(model, requests, &options);
	for (int i = 0; i < N_REQUESTS; i++) {
		struct request other = requests[i];
		int32_t changed[MAX_NEW];
		float best[MAX_NEW], logprob[MAX_NEW];

		forward_logprobs(model, &requests[i], &options, best);
		assert_memory_equal(best, requests[i].logprob, sizeof best);
		/* No other last token is more probable; nor any at an earlier place, whose
		 * prefix is the completion cut there. */
		other.completion = changed;
		for (int k = 0; k < MAX_NEW; k += 4)
			for (int32_t id = 0; id < V; id++) {
				memcpy(changed, requests[i].completion, sizeof changed);
				changed[k] = id;
				other.n_completion = k + 1;
				forward_logprobs(model, &other, &options, logprob);
				assert_true(logprob[k] <= best[k]);
			}
	}
	release_requests(requests, N_REQUESTS);
	model_destroy(model);
}

static void test_ids_from_n_allowed_on_are_never_drawn(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request requests[N_REQUESTS];

	(void)state;
	options.n_allowed = 13;
	for (int time = 0; time < 2; time++, options.sampling.temperature = 0) {
		run_usual(model, requests, &options);
		for (int i = 0; i < N_REQUESTS; i++)
			for (int k = 0; k < requests[i].n_completion; k++)
				assert_true(requests[i].completion[k] < 13);
		release_requests(requests, N_REQUESTS);
	}
	model_destroy(model);
}

/* --- the draw --- */

static void test_frequencies_are_the_probabilities(void **state)
{
	enum { N = 6000 };
	static const int32_t prompt[] = {7, 9};
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options();
	struct request *requests = xcalloc(N, sizeof *requests);
	int count[V] = {0};
	float logprob[V];

	(void)state;
	options.max_new_tokens = 1;
	for (int i = 0; i < N; i++)
		requests[i] = (struct request){.prompt = prompt, .n_prompt = 2, .row = (uint32_t)i};
	run_requests(model, 64, 2, requests, N, &options);
	for (int i = 0; i < N; i++)
		count[requests[i].completion[0]]++;
	for (int32_t id = 0; id < V; id++) {
		struct request one = requests[0];
		double p, sigma;

		one.completion = &id;
		forward_logprobs(model, &one, &options, logprob);
		p = exp(logprob[0]);
		sigma = sqrt(N * p * (1 - p));
		if (fabs(count[id] - N * p) > 4.5 * sigma + 1)
			fail_msg("id %d was drawn %d times, expected %g +- %g", id, count[id],
				 N * p, sigma);
	}
	release_requests(requests, N);
	free(requests);
	model_destroy(model);
}

static bool draws_differ(const struct model *model, const struct generate_options *a_options,
			 struct request a, const struct generate_options *b_options,
			 struct request b)
{
	bool differ;

	run_requests(model, 1, 1, &a, 1, a_options);
	run_requests(model, 1, 1, &b, 1, b_options);
	differ = a.n_completion != b.n_completion ||
		 memcmp(a.completion, b.completion,
			(size_t)a.n_completion * sizeof *a.completion) != 0;
	request_release(&a);
	request_release(&b);
	return differ;
}

static void test_the_draw_depends_on_each_part_of_the_key(void **state)
{
	struct model *model = rotary_model(V);
	struct generate_options options = usual_options(), reseeded;
	struct request base = {.prompt = (const int32_t[]){7}, .n_prompt = 1}, other = base;

	(void)state;
	options.stop = &no_stop;
	reseeded = options;
	reseeded.seed++;
	assert_false(draws_differ(model, &options, base, &options, other));
	assert_true(draws_differ(model, &options, base, &reseeded, other));
	other.step++;
	assert_true(draws_differ(model, &options, base, &options, other));
	other = base;
	other.row++;
	assert_true(draws_differ(model, &options, base, &options, other));
	other = base;
	other.sample++;
	assert_true(draws_differ(model, &options, base, &options, other));
	model_destroy(model);
}

/* --- the callback --- */

struct finished {
	const struct request *requests;
	int times[N_REQUESTS];
};

static void note_done(void *context, struct request *request)
{
	struct finished *finished = context;

	finished->times[request - finished->requests]++;
	assert_true(request->finish == FINISH_STOP || request->finish == FINISH_LENGTH);
	assert_true(request->n_completion > 0);
	request_release(request); /* what it gave is the caller's from here on */
}

static void check_done(struct model *model)
{
	struct generate_options options = usual_options();
	struct request requests[N_REQUESTS];
	struct finished finished = {.requests = requests};
	struct pool *pool = pool_create(2);
	struct generator *generator = generator_create(model, 3, CACHE_BYTES, pool);

	set_requests(requests);
	generator_run(generator, requests, N_REQUESTS, &options, note_done, &finished);
	for (int i = 0; i < N_REQUESTS; i++)
		assert_int_equal(finished.times[i], 1);
	generator_destroy(generator);
	pool_destroy(pool);
	model_destroy(model);
}

static void test_each_finished_request_is_handed_over_once(void **state)
{
	(void)state;
	check_done(learned_model(SMALL_POSITIONS));
	check_done(learned_model(LARGE_POSITIONS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_do_not_depend_on_slots_threads_order_or_path),
		cmocka_unit_test(
			test_bytes_of_a_large_vocabulary_do_not_depend_on_slots_or_threads),
		cmocka_unit_test(test_a_generator_runs_again_as_if_it_were_new),
		cmocka_unit_test(test_bytes_do_not_depend_on_the_memory_for_keys_and_values),
		cmocka_unit_test(test_a_prompt_that_fills_the_cache_gives_a_token),
		cmocka_unit_test(test_bytes_do_not_depend_on_the_sharing_of_prompts),
		cmocka_unit_test(test_logprobs_are_those_of_the_full_forward_to_the_bit),
		cmocka_unit_test(test_completions_end_with_an_end_id_or_by_length),
		cmocka_unit_test(test_completions_end_where_the_caller_says_so),
		cmocka_unit_test(test_end_ids_cannot_be_drawn_before_the_minimum),
		cmocka_unit_test(
			test_logprobs_before_the_minimum_are_of_the_remaining_distribution),
		cmocka_unit_test(test_temperature_zero_takes_the_most_probable_token),
		cmocka_unit_test(test_ids_from_n_allowed_on_are_never_drawn),
		cmocka_unit_test(test_frequencies_are_the_probabilities),
		cmocka_unit_test(test_the_draw_depends_on_each_part_of_the_key),
		cmocka_unit_test(test_each_finished_request_is_handed_over_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

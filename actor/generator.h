/* Sampling completions with a KV cache and continuous batching.
 *
 * A request's tokens are a function of (weights, prompt, key) alone: random
 * numbers are keyed by (seed, step, row, sample, position) and the forward pass
 * does not depend on the batch, so neither slots nor order matter. */
#pragma once

#include <stdint.h>

#include "common/base/pool.h"
#include "common/model/model.h"

struct generate_options {
	int max_new_tokens;
	int min_new_tokens; /* end ids are not drawn before */
	double temperature; /* 0: greedy */
	uint64_t seed;
	int n_allowed;	    /* ids >= it are never drawn: the tokenizer's size, or V */
	const int32_t *stop_ids;
	int n_stop_ids;
};

struct request {
	const int32_t *prompt; /* [n_prompt], borrowed */
	int n_prompt;
	uint32_t step, row, sample; /* the random key */
	int32_t *completion;	    /* out: [n_completion], owned by the request */
	float *logprob;		    /* out: [n_completion] */
	int n_completion;
	int finish; /* enum finish_reason of proto/rollout.h */
};
void request_release(struct request *request);

struct generator;
/* A generator for prompts and completions of at most capacity positions, with
 * as many slots as max_slots and memory_bytes allow (at least one). */
struct generator *generator_create(const struct model *model, int capacity, int max_slots);
void generator_destroy(struct generator *generator);

/* Called as soon as a request is finished, in any order; may be NULL. */
typedef void generator_done(void *context, struct request *request);
void generator_run(struct generator *generator, struct request *requests, int n,
		   const struct generate_options *options, generator_done *done, void *context,
		   struct pool *pool);

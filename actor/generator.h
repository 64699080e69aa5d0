/* Sampling completions with a KV cache and continuous batching.
 *
 * A request's tokens are a function of (weights, prompt, key) alone: random
 * numbers are keyed by (seed, step, row, sample, position) and the forward pass
 * does not depend on the batch, so neither slots, order nor threads matter. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ledger.h"
#include "common/base/pool.h"
#include "common/model/model.h"
#include "common/model/stop_ids.h"
#include "common/ops/sampling.h"

struct request;

struct generate_options {
	int max_new_tokens;
	int min_new_tokens; /* end ids cannot be drawn before */
	struct sampling sampling;
	uint64_t seed;
	int n_allowed; /* ids >= it are never drawn: the tokenizer's size, or V */
	const struct stop_ids *stop;
	/* Where end ids are banned, log-probabilities are of what remains, as training
	 * wants them; otherwise they are always the model's. */
	bool ban_counts;
	/* Called after each token, on any thread, for several requests at a time; true:
	 * the completion ends there.  May be NULL. */
	bool (*token)(struct request *request);
};

struct request {
	const int32_t *prompt; /* [n_prompt], borrowed until generator_run ends */
	int n_prompt;	       /* >= 1 */
	uint32_t step, row, sample; /* the random key */
	void *context;		    /* the caller's own */
	int32_t *completion;	    /* out: [n_completion], owned by the request */
	/* out: [n_completion], of softmax(z / temperature) over the whole vocabulary
	 * (greedy: at temperature 1), whatever top-k, top-p and min-p have left out */
	float *logprob;
	int n_completion;
	int finish; /* enum finish_reason of proto/rollout.h */
};
void request_release(struct request *request);

struct generator;
/* For at most max_slots requests at a time.  Caches of keys and values take memory as
 * it is needed, at most cache_bytes. */
struct generator *generator_create(const struct model *model, int max_slots, size_t cache_bytes,
				   struct pool *pool);
void generator_destroy(struct generator *generator);
/* The longest sequence that the cache holds.  A completion's last token is never an
 * input, so n_prompt + max_new_tokens - 1 of each request must not be more. */
int generator_positions(const struct generator *generator);
/* cache_bytes from a limit in MiB; 0: a quarter of the node's memory for its n_ranks. */
size_t generator_cache_bytes(int64_t limit_mb, int n_ranks);

/* What one would hold at most while it completes prompts of n_prompt ids by n_new: "keys and
 * values" and "activations".  The model may be an outline. */
void generator_plan(struct ledger *ledger, const struct model *model, int max_slots,
		    size_t cache_bytes, int n_threads, int n_prompt, int n_new);

/* Called as soon as a request is finished, in any order, one call at a time; may
 * be NULL. */
typedef void generator_done(void *context, struct request *request);
void generator_run(struct generator *generator, struct request *requests, int n,
		   const struct generate_options *options, generator_done *done, void *context);

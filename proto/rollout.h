/* The record that travels round the ring: one sampled completion.
 *
 * Each field has one writer.  The learner sorts by row, so the order of arrival
 * never matters. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"

enum finish_reason { FINISH_STOP = 1, FINISH_LENGTH = 2 };

/* Finished ones that an actor sends together, so that judging begins early. */
enum { ROLLOUT_GROUP = 8 };

struct rollout {
	int64_t step;		 /* learner: the iteration, from 1 */
	int32_t row;		 /* learner: place in the batch of this step, from 0 */
	int32_t sample;		 /* learner: which sample of its prompt, from 0 */
	int64_t prompt_index;	 /* learner: line of the prompts file, from 0 */
	int32_t n_prompt;	 /* learner */
	int32_t n_completion;	 /* actor: including the end token */
	int64_t weights_version; /* actor */
	int32_t finish;		 /* actor: enum finish_reason, 0 before */
	int32_t judged;		 /* reward: 1 once scored */
	float score;		 /* reward: weighted sum over the sources */
	int32_t *ids;		 /* [n_prompt + n_completion] learner, then actor */
	float *logprob;		 /* [n_completion] actor: of the sampling distribution */
	float *ref_logprob;	 /* [n_completion] reward */
};
void rollout_release(struct rollout *rollout);

/* A list of them, and its bytes (little-endian, checked on decoding). */
struct rollouts {
	struct rollout *items;
	size_t n, capacity;
};
void rollouts_push(struct rollouts *list, struct rollout *rollout); /* takes it over */
void rollouts_release(struct rollouts *list);
void rollouts_sort(struct rollouts *list); /* by row */
void rollouts_encode(const struct rollouts *list, struct buf *out);
enum status rollouts_decode(struct rollouts *list, const void *data, size_t n, struct error *err);

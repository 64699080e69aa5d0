/* Heads on hidden states: token log-probabilities without a [T, V] array, and
 * scores (reward, value, labels). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/pool.h"
#include "common/model/model.h"

/* logits [n, V] of n hidden states [n, C]. */
void head_logits(const struct model *model, const float *hidden, int n, float *logits,
		 struct arena *arena, struct pool *pool);

/* Ids that cannot be drawn at some entries: an end token before the minimum
 * length.  Their logits are replaced, so that sampling, log-probabilities and
 * gradients are all of the distribution that remains. */
struct head_ban {
	const int32_t *ids; /* [n_ids] */
	int n_ids;
	const uint8_t *applies; /* [n], by entry */
};
/* logits [n, V] of entries first .. first + n - 1.  ban may be NULL. */
void head_apply_ban(const struct head_ban *ban, float *logits, int first, int n, int v);

/* For each i < n: the log-probability of targets[i] after hidden row rows[i], or i where
 * rows is NULL.  ban may be NULL.  logprob [n]; entropy [n] may be NULL, as may is_top [n]: 1 where
 * the target is the argmax of the logits. */
void head_logprobs(const struct model *model, const float *hidden, const int *rows,
		   const int32_t *targets, int n, float inv_temperature,
		   const struct head_ban *ban, float *logprob, float *entropy, uint8_t *is_top,
		   struct arena *arena, struct pool *pool);

/* Called with the log-probabilities (and entropies) of entries first ..
 * first+n-1; fills dlogprob [n], the loss's derivative with respect to each. */
typedef void head_loss(void *context, int first, int n, const float *logprob, const float *entropy,
		       float *dlogprob);

/* head_logprobs, the loss, and the gradient in one pass over chunks of rows, so
 * that logits are computed once.  dhidden [T, C]: gradients are added to the
 * rows used (the caller zeroed it); grads: a flat block, added to.  is_top [n] as in
 * head_logprobs, filled in before the loss is called.  Only for losses whose
 * derivative at an entry needs that entry alone. */
void head_train(const struct model *model, const float *hidden, const int *rows,
		const int32_t *targets, int n, float inv_temperature,
		const struct head_ban *ban, head_loss *loss, void *context, uint8_t *is_top,
		float *dhidden, float *grads, struct arena *arena, struct pool *pool);

/* The most that head_logprobs and head_train take of an arena for n entries. */
size_t head_logprobs_bytes(const struct model *model, int n);
size_t head_train_bytes(const struct model *model, int n);

/* scores [n, n_labels] = hidden[rows[i]] W^T (+ b).  rows NULL: rows 0 .. n-1. */
void head_score(const struct model *model, const float *hidden, const int *rows, int n,
		float *scores, struct arena *arena, struct pool *pool);
/* dscores [n, n_labels]; dhidden and grads are added to. */
void head_score_backward(const struct model *model, const float *hidden, const int *rows, int n,
			 const float *dscores, float *dhidden, float *grads, struct arena *arena,
			 struct pool *pool);

/* The position whose score speaks for a sequence, as transformers pools: the last id
 * that is not pad_id, the first of all if none is; the last of all when pad_id is -1. */
int head_pooled_position(const int32_t *ids, int n, int32_t pad_id);

/* What other programs read in its place. */
enum pooling {
	POOLING_LAST_NON_PAD, /* head_pooled_position */
	POOLING_LAST,	      /* OpenRLHF: the last position, whatever id is there */
	POOLING_FIRST_PAD,    /* TRL's get_reward: before the first pad behind the prompt */
	POOLING_EOS,	      /* the last end token; the last position if there is none */
};
bool pooling_parse(const char *name, enum pooling *pooling); /* "last-non-pad" */
const char *pooling_name(enum pooling pooling);
/* n_prompt: ids that are prompt.  Pad and end token are the config's. */
int head_pool(enum pooling pooling, const struct model_config *config, const int32_t *ids, int n,
	      int n_prompt);

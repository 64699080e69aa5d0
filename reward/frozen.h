/* A frozen model over ragged sequences, as the reference policy, reward models and
 * the commands logprobs and score use it. */
#pragma once

#include <stdint.h>

#include "common/base/pool.h"
#include "common/model/head.h"
#include "common/model/sequences.h"

/* One sequence and where its results go. */
struct frozen_item {
	const int32_t *ids;
	int n;
	int first; /* first position whose id gets a log-probability, >= 1 */
	int n_early; /* of those, so many in front exclude the banned ids */
	int n_prompt; /* ids that are prompt, where the pooling asks for it */
	float *logprob; /* out [n - first] */
	float *scores;	/* out [n_labels] */
};

/* log p(ids[first + i] | ids before it) at the temperature. */
void frozen_logprobs(const struct model *model, struct frozen_item *items, int n,
		     float inv_temperature, const int32_t *banned, int n_banned,
		     struct workspace *workspace, struct pool *pool);
/* The most that either takes of its workspace for n sequences of `length` ids.  The model may
 * be an outline. */
size_t frozen_workspace_bytes(const struct model *model, int n, int length, int n_threads);
/* Scores of the position that is pooled. */
void frozen_scores(const struct model *model, struct frozen_item *items, int n,
		   enum pooling pooling, struct workspace *workspace, struct pool *pool);

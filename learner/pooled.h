/* Sequences scored at one position each, as transformers pools: the last one whose id is
 * not pad_token_id.  Shared by reward-train and classify.
 *
 * With a pad that is an end token, finished texts would be scored one token early, so a
 * pad of its own is chosen when a run begins and saved with the model. */
#pragma once

#include "learner/supervised.h"

/* In an arena. */
struct pooled {
	struct batch batch;
	float *hidden; /* [n_seqs, C], of the positions that are scored */
	float *scores; /* [n_seqs, n_labels] */
};

/* Of units first .. first+n-1.  kept may be NULL. */
void pooled_forward(struct pooled *pooled, const struct units *units, int first, int n,
		    struct kept *kept, struct arena *arena, struct pool *pool);
/* Adds the gradient of a loss whose derivative by the scores is dscores. */
void pooled_backward(const struct pooled *pooled, const struct model *model,
		     const struct kept *kept, const float *dscores, float *grads,
		     struct arena *arena, struct pool *pool);

/* Chooses the pad of a new run, whose data are loaded, for its model and config.json. */
enum status pooled_choose_pad(struct supervised *run, struct error *err);

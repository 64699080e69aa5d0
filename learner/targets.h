/* Sequences of units as inputs and targets of a language model: after hidden row
 * rows[i] comes the id targets[i].  Only what is to be learnt is a target
 * (row_is_target), and never a sequence's first id. */
#pragma once

#include "learner/supervised.h"

/* In an arena. */
struct targets {
	struct batch batch;
	int *rows;	  /* [n] */
	int32_t *targets; /* [n] */
	int *ends;	  /* [batch.n_seqs] targets of the sequences up to here */
	int n;
	float *hidden; /* [n, C], of the rows */
};

/* Targets of a row; its first id is none. */
int targets_count(const struct row *row);
/* Of units first .. first+n-1, and the forward pass over them.  kept may be NULL. */
void targets_forward(struct targets *targets, const struct units *units, int first, int n,
		     struct kept *kept, struct arena *arena, struct pool *pool);
/* logprobs [n_seqs] = the sum of log-probabilities of each sequence's targets, at
 * temperature 1. */
void targets_logprobs(const struct targets *targets, const struct model *model, double *logprobs,
		      struct arena *arena, struct pool *pool);
/* Adds the gradient of a loss whose derivative by each of these sums is dlogprobs. */
void targets_backward(const struct targets *targets, const struct model *model,
		      const struct kept *kept, const double *dlogprobs, float *grads,
		      struct arena *arena, struct pool *pool);

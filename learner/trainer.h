/* One optimizer step for any loss, with gradients summed by a fixed tree.
 *
 * A minibatch is a list of sequences.  It is cut by order into `lanes` groups;
 * a lane accumulates its microbatches in order; lanes are summed by one binary
 * tree over the lane index, inside a rank for the lanes that it holds and then
 * across learners.  So the weights do not depend on the number of learners or
 * threads.  Microbatches are a function of the data: as many whole sequences as
 * fit into microbatch_tokens.
 *
 * Each learner sums, updates and keeps the moments of its own part of the flat
 * block of what is trained (model_trained); the new values then go to all.
 *
 * These messages do not overlap with the backward pass: a layer's gradient is final only
 * in that of the last lane, in the order of the layers from the top, and a tied
 * embedding's at its end.  What could be hidden is 1 to 2 % of the smallest steps between
 * nodes (README.md, "More learners"), and nothing where learners share their cores. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/ledger.h"
#include "common/base/pool.h"
#include "common/base/status.h"
#include "common/model/sequences.h"
#include "common/run/config.h"
#include "proto/comm.h"

/* Whole sequences of at most so many tokens make a microbatch. */
enum { MICROBATCH_TOKENS = 1024 };

struct trainer {
	struct model *model;   /* borrowed; what is trained of it is changed */
	struct trained trained;
	size_t begin, end;     /* own part of the flat block */
	float *m, *v;	       /* [end - begin] moments (adamw); for sgd v is NULL, m momentum */
	int64_t t;	       /* optimizer steps done */
	int64_t skipped;       /* steps not applied: a gradient was not finite */
	int64_t skipped_in_a_row; /* of these the ones since the last that was applied */
	struct optimizer_config optimizer;
	int lanes;
	int microbatch_tokens;
	struct comm *learners; /* borrowed */
	struct pool *pool;     /* borrowed */
	struct workspace workspace;
	float **gradients;     /* [n_gradients] partial sums of the tree */
	int n_gradients;
};
void trainer_init(struct trainer *trainer, struct model *model,
		  const struct optimizer_config *optimizer, int lanes, struct comm *learners,
		  struct pool *pool);
void trainer_release(struct trainer *trainer);
/* Of the model, its moments and its gradients on this learner, without activations. */
size_t trainer_bytes(const struct trainer *trainer);
/* Blocks of moments that an optimizer keeps: 0, 1 or 2. */
int optimizer_moments(const struct optimizer_config *optimizer);
/* What learner `rank` of `n_learners` would hold: "gradients" and "moments"; the model
 * may be an outline. */
void trainer_plan(struct ledger *ledger, const struct model *model,
		  const struct optimizer_config *optimizer, int lanes, int rank, int n_learners);
/* The microbatches of a minibatch of n units: how many they are, what the largest have, and
 * the units of the first. */
struct microbatches {
	int64_t n;
	int most_tokens, most_units;
	int first;
};
void trainer_cut(const int *lengths, int n, int lanes, struct microbatches *out);

/* Which of n units, [*begin, *end), are this learner's in trainer_step; the next learner's
 * follow. */
void trainer_share(const struct trainer *trainer, int n, int *begin, int *end);

/* Forward and backward of sequences [first, first + n) of the minibatch, adding
 * to grads (a flat block) and to stats [n_stats] (doubles, summed by the same
 * tree).  Called from several threads at once when the model is small (then pool
 * is NULL inside). */
typedef void trainer_microbatch(void *context, int first, int n, float *grads, double *stats,
				struct arena *arena, struct pool *pool);

/* lengths [n]: tokens of each sequence, for cutting microbatches.  After the
 * tree: gradient norm, clipping, finite check agreed by all, optimizer step,
 * model_pack_trained.  stats: out, sums over the whole minibatch.  *grad_norm: before
 * clipping.  False if the step was skipped: it was not finite, or clipped still so large
 * that a square of it would not be.  Collective over learners. */
bool trainer_step(struct trainer *trainer, const int *lengths, int n, double learning_rate,
		  trainer_microbatch *microbatch, void *context, double *stats, int n_stats,
		  double *grad_norm);

/* STATUS_FAILED once so many steps in a row were skipped that the model is lost: nothing
 * changes any more.  what: "policy: " for the sentence, or "".  Alike on all learners. */
enum { SKIPPED_MOST = 10 };
enum status trainer_check(const struct trainer *trainer, const char *what, struct error *err);

/* schedule.name over total steps: constant, linear, cosine; with warm-up. */
double schedule_factor(const char *name, int64_t step, int64_t warmup, int64_t total);

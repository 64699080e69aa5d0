/* The transformer: one forward code for training, scoring, prefill and decode.
 *
 *     transformer_forward(model, &batch, hidden, NULL, &arena, pool);
 *     head_logprobs(...)                                   head.h
 *
 *     transformer_forward(model, &batch, hidden, &kept, &arena, pool);
 *     head_train(..., dhidden, grads)
 *     transformer_backward(model, &batch, &kept, dhidden, grads, &arena, pool);
 *
 * A batch is a ragged list of sequences without padding; positions start at 0
 * in each.  The hidden state of a position has the same bits in every batch, on
 * any number of threads, and by transformer_decode. */
#pragma once

#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/pool.h"
#include "common/model/kv_cache.h"
#include "common/model/model.h"

struct batch {
	const int32_t *ids; /* [T] */
	const int *offsets; /* [n_seqs + 1]; offsets[n_seqs] = T */
	int n_seqs;
	/* Rows whose hidden states are wanted, ascending: behind its attention the last layer
	 * goes on with these alone, forward and backward.  NULL: all. */
	const int *wanted; /* [n_wanted] */
	int n_wanted;
};

/* What backward needs of each layer; memory belongs to the arena.  Of a model that
 * recomputes, these are the layers' inputs: backward runs each layer once more, to the
 * same bits. */
struct kept_layer;
struct kept {
	struct kept_layer *layers;	/* [L] */
	struct kept_layer *tail;	/* the last one behind its attention, of wanted rows */
	float *final_input;		/* [T, C], or [n_wanted, C] */
	float *final_mean, *final_rstd; /* [T], or [n_wanted] */
	const int *positions;		/* [T] */
	const float **angles[2];	/* [T] each: where a row's rotary angles are */
};

/* hidden [T, C], or [n_wanted, C], out: after the final norm.  kept: filled if not NULL;
 * its arrays, like all scratch, come from the arena (scratch is rewound). */
void transformer_forward(const struct model *model, const struct batch *batch, float *hidden,
			 struct kept *kept, struct arena *arena, struct pool *pool);

/* dhidden, of the shape of hidden, is its gradient, destroyed.  grads is a flat block of
 * the model's layout: gradients are added to it. */
void transformer_backward(const struct model *model, const struct batch *batch,
			  const struct kept *kept, float *dhidden, float *grads,
			  struct arena *arena, struct pool *pool);

/* The most that transformer_forward takes of an arena for T positions, without kept; what
 * it leaves there with kept; and the most that it takes then, with transformer_backward.
 * hidden and dhidden are the caller's.  n_wanted: of struct batch, or ALL_ROWS where that
 * names none.  The model may be an outline.  Not counted are
 * angles of positions that the model's tables do not hold. */
enum { ALL_ROWS = -1 };
size_t transformer_forward_bytes(const struct model *model, int t);
size_t transformer_kept_bytes(const struct model *model, int t, int n_wanted);
size_t transformer_train_bytes(const struct model *model, int t, int n_wanted);

/* Runs whole sequences, sequence b into the empty slot slots[b], where room for it has
 * been reserved.  hidden [T, C], or [n_wanted, C]. */
void transformer_prefill(const struct model *model, struct kv_cache *cache, const int *slots,
			 const struct batch *batch, float *hidden, struct arena *arena,
			 struct pool *pool);
/* One more position in each of n slots, reserved too.  hidden [n, C]. */
void transformer_decode(const struct model *model, struct kv_cache *cache, const int *slots,
			const int32_t *ids, int n, float *hidden, struct arena *arena,
			struct pool *pool);

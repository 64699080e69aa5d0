/* Causal grouped-query attention over ragged sequences, and over a KV cache.
 *
 *     s[i,j] = scale * q[i] . k[j]           for i - window < j <= i
 *     s[i,j] = cap * tanh(s[i,j] / cap)      where there is a cap (Gemma 2)
 *     o[i]   = sum_j softmax_j(s[i,:]) v[j]
 *
 * H query heads share K key/value heads in contiguous groups of H/K; D is the
 * head size.  Rows of qkv [T, (H+2K) D] hold q | k | v after rotary positions.
 * Softmax runs over blocks of 64 keys counted from position 0 with a running
 * maximum, and every sum has one order, the same in training, prefill and
 * decode: a position's output has the same bits in all three, whatever follows
 * it and whatever else is in the batch.  Source of the blockwise softmax: Dao
 * et al. 2022, algorithm 1. */
#pragma once

#include <stddef.h>

#include "common/base/pool.h"

enum { ATTENTION_KEY_BLOCK = 64, ATTENTION_KEY_GROUP = 16, ATTENTION_MAX_HEAD_DIM = 256 };

struct attention_shape {
	int n_heads;	/* H */
	int n_kv_heads; /* K */
	int head_dim;	/* D, at most ATTENTION_MAX_HEAD_DIM */
	float scale;
	float cap;  /* 0: none */
	int window; /* keys that a position sees, itself included; 0: all before it */
};

/* out [T, H D]; lse [T, H], log-sum-exp of each row's scores, kept for backward,
 * may be NULL.  Sequence b owns rows offsets[b] .. offsets[b+1]-1. */
void attention_forward(float *out, float *lse, const float *qkv, const int *offsets, int n_seqs,
		       const struct attention_shape *shape, struct pool *pool);

/* dqkv [T, (H+2K) D] is overwritten.  dout, out [T, H D]. */
void attention_backward(float *dqkv, const float *dout, const float *out, const float *lse,
			const float *qkv, const int *offsets, int n_seqs,
			const struct attention_shape *shape, struct pool *pool);

/* Keys and values of one sequence in one layer, in blocks of 64 positions that may
 * lie anywhere.  A block is k [K][4][D][16], 16 keys side by side, and then
 * v [K][64][D]. */
struct attention_cache {
	float *const *blocks; /* [ceil(positions / 64)], borrowed */
	size_t offset;	      /* of this layer's part from the beginning of each block */
	int length;	      /* positions held; what is appended does not count yet */
};
/* Floats of one layer's part of a block. */
size_t attention_block_floats(const struct attention_shape *shape);
/* Writes the k and v parts of rows offsets[b] .. offsets[b+1]-1 of qkv behind what
 * caches[b] holds; the caller has made room. */
void attention_cache_append(const struct attention_cache *caches, const float *qkv,
			    const int *offsets, int n_seqs, const struct attention_shape *shape,
			    struct pool *pool);
/* One new position for each of n sequences: row b of qkv [n, (H+2K) D] is appended to
 * caches[b], once for each position, and attends to all that it holds then. */
void attention_decode(float *out, const float *qkv, const struct attention_cache *caches, int n,
		      const struct attention_shape *shape, struct pool *pool);

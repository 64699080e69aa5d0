/* Elementwise work on long arrays, embeddings, the optimizer step, and sums in
 * a fixed order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/pool.h"

void add_into(float *y, const float *x, size_t n, struct pool *pool); /* y += x */
void zero_fill(float *y, size_t n, struct pool *pool);		      /* y = 0 */

void scale_in_place(float *y, float factor, size_t n, struct pool *pool); /* y *= factor */

/* y = cap tanh(y / cap), and back: dy *= 1 - (y / cap)^2 from the capped y.
 * Source: Gemma 2. */
void softcap_forward(float *y, float cap, size_t n, struct pool *pool);
void softcap_backward(float *dy, const float *y, float cap, size_t n, struct pool *pool);

/* y = the bfloat16 nearest to x, the even one of two, as gemm_pack_bf16 rounds; y may be
 * x. */
void round_to_bf16(float *y, const float *x, size_t n, struct pool *pool);

/* y[t,:] = table[ids[t],:], or += */
void embedding_forward(float *y, const float *table, const int32_t *ids, int t, int c,
		       struct pool *pool);
void embedding_add(float *y, const float *table, const int32_t *ids, int t, int c,
		   struct pool *pool);
/* dtable[ids[t],:] += dy[t,:], in the order of t. */
void embedding_backward(float *dtable, const int32_t *ids, const float *dy, int t, int c,
			struct pool *pool);

/* Sums of squares in double over blocks of SUM_BLOCK elements counted from 0:
 * sums [ceil(n / SUM_BLOCK)].  Same bits for any number of threads. */
enum { SUM_BLOCK = 65536 };
void block_squares(double *sums, const float *x, size_t n, struct pool *pool);
/* Index of the first element that is not finite, or n. */
size_t first_non_finite(const float *x, size_t n, struct pool *pool);

/* One AdamW step, torch's form; t counts from 1.  g is multiplied by grad_scale
 * (clipping) on the fly.  decays[i] is looked up per range by the caller: this
 * handles one range with one weight decay.  Source: Loshchilov and Hutter 2019,
 * algorithms B.12.
 *     m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w -= lr wd w
 *     w -= lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + eps) */
struct adamw {
	double learning_rate, beta1, beta2, eps, weight_decay;
};
void adamw_step(float *w, float *m, float *v, const float *g, size_t n, const struct adamw *adamw,
		int64_t t, float grad_scale, struct pool *pool);

/* One step of gradient descent with momentum, torch's form; m starts at zero
 * and may be NULL when momentum is 0.
 *     d = grad_scale g + wd w;  m = momentum m + d;  w -= lr m */
void sgd_step(float *w, float *m, const float *g, size_t n, double learning_rate, double momentum,
	      double weight_decay, float grad_scale, struct pool *pool);

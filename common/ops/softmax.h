/* Log-softmax over the vocabulary, row by row.  R rows of V logits; u = z / T
 * with inv_temperature = 1 / T. */
#pragma once

#include <stdint.h>

#include "common/base/pool.h"

/* logprob[r] = u[target] - lse and lse[r] = log sum_j exp(u_j);
 * entropy[r] = lse - sum_j p_j u_j, may be NULL, as may lse.
 * Source: algorithms A.8. */
void softmax_logprob(float *logprob, float *entropy, float *lse, const float *logits,
		     const int32_t *targets, int rows, int v, float inv_temperature,
		     struct pool *pool);

/* is_top[r]: 1 where the target is the argmax: the first of the row's largest logits. */
void softmax_is_top(uint8_t *is_top, const float *logits, const int32_t *targets, int rows, int v,
		    struct pool *pool);

/* In place: logits become dz with
 *     dz_j = dlogprob[r] * (1[j = target] - p_j) / T
 * from lse of the forward pass. */
void softmax_logprob_backward(float *logits, const float *dlogprob, const float *lse,
			      const int32_t *targets, int rows, int v, float inv_temperature,
			      struct pool *pool);

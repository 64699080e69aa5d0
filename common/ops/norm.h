/* Normalisation over the last axis.  T rows of C; sums of a row have one order. */
#pragma once

#include "common/base/pool.h"

/*     y[t,c] = x[t,c] * scale[c] / sqrt(mean_c(x[t,c]^2) + eps)
 * y may be x; rstd [T] is kept for backward, may be NULL.
 * Source: Zhang and Sennrich 2019, eq. 4. */
void rmsnorm_forward(float *y, float *rstd, const float *x, const float *scale, int t, int c,
		     float eps, struct pool *pool);
/* dx += ..., dscale += ..., from x and rstd of the forward pass. */
void rmsnorm_backward(float *dx, float *dscale, const float *dy, const float *x,
		      const float *scale, const float *rstd, int t, int c, struct pool *pool);

/*     y[t,c] = (x[t,c] - mean) / sqrt(var + eps) * scale[c] + shift[c]
 * with the biased variance.  mean, rstd [T] may be NULL.  Source: Ba et al. 2016. */
void layernorm_forward(float *y, float *mean, float *rstd, const float *x, const float *scale,
		       const float *shift, int t, int c, float eps, struct pool *pool);
void layernorm_backward(float *dx, float *dscale, float *dshift, const float *dy, const float *x,
			const float *scale, const float *mean, const float *rstd, int t, int c,
			struct pool *pool);

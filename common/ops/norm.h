/* Normalisation of rows; sums of a row have one order.
 *
 *     NORM_LAYER     y = (x - mean) / sqrt(var + eps) * scale + shift
 *     NORM_RMS       y = x / sqrt(mean(x^2) + eps) * scale
 *     NORM_RMS_UNIT  y = x / sqrt(mean(x^2) + eps) * (1 + scale)
 *
 * over the C elements of a row, with the biased variance.  Sources: Ba et al. 2016;
 * Zhang and Sennrich 2019, eq. 4; the third is Gemma's. */
#pragma once

#include <stddef.h>

#include "common/base/pool.h"

enum norm_kind { NORM_LAYER, NORM_RMS, NORM_RMS_UNIT };

/* T rows, or G rows side by side in each of T places (the heads of a position): row g
 * of place t begins at t stride + g C. */
struct norm_shape {
	enum norm_kind kind;
	float eps;
	int t, n_groups, c;	   /* T, G, C */
	size_t x_stride, y_stride; /* floats from a place to the next: of x and dx, y and dy */
};
/* The shape of a plain [T, C]. */
static inline struct norm_shape norm_rows(enum norm_kind kind, int t, int c, float eps)
{
	return (struct norm_shape){kind, eps, t, 1, c, (size_t)c, (size_t)c};
}

/* y may be x.  shift [C] is NULL for RMS.  mean and rstd [T, G] are kept for backward,
 * may be NULL. */
void norm_forward(float *y, float *mean, float *rstd, const float *x, const float *scale,
		  const float *shift, const struct norm_shape *shape, struct pool *pool);
/* dx += ..., dscale += ..., dshift += ..., from x, mean and rstd of the forward pass.
 * dscale and dshift may be NULL; mean is not read for RMS. */
void norm_backward(float *dx, float *dscale, float *dshift, const float *dy, const float *x,
		   const float *scale, const float *mean, const float *rstd,
		   const struct norm_shape *shape, struct pool *pool);

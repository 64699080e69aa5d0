/* Kernels on one row, with sums in one fixed order; private to common/ops.
 *
 * A row is cut into blocks of ROW_BLOCK elements.  Within a block element i
 * goes to partial sum i mod 16, the 16 partial sums are folded by halves in
 * single precision, and the blocks are added in order in double.  The order is
 * the same at every ISA level. */
#pragma once

#include <stddef.h>

enum { ROW_BLOCK = 2048 };

/* Operands of one row of n elements. */
struct norm_row {
	const float *x, *scale, *shift, *dy;
	float scale_base; /* added to each scale */
	float mean;	  /* 0 for RMS norm */
	float rstd;
	int n;
};
/* The columns [0, n) of n_groups rows, c floats apart, in each of t places of x and
 * dy. */
struct norm_columns {
	const float *x, *dy;
	const float *mean; /* [t, n_groups], NULL for RMS norm */
	const float *rstd; /* [t, n_groups] */
	int t, n_groups, n;
	size_t c, x_stride, dy_stride;
};

struct row_kernels {
	double (*sum)(const float *x, int n);
	/* sum of (x - center)^2 */
	double (*sum_of_squares)(const float *x, float center, int n);
	/* y = (x - mean) rstd (scale_base + scale) + shift; shift may be NULL, y may be
	 * x. */
	void (*norm)(float *y, const struct norm_row *row);
	/* dx += the gradient of that; `is_centered` when the mean is x's own. */
	void (*norm_backward)(float *dx, const struct norm_row *row, int is_centered);
	/* dscale += dy (x - mean) rstd and dshift (may be NULL) += dy, in row order. */
	void (*norm_backward_columns)(float *dscale, float *dshift,
				      const struct norm_columns *columns);
	/* The largest element, ignoring NaN; -inf if there is none. */
	float (*max)(const float *z, int n);
	/* w = exp(d), exactly 0 when d is very small, with d = (z - max) inv_t. */
	void (*weights)(float *w, const float *z, int n, float max, float inv_t);
	/* The sum of those weights; its bits do not depend on weighted, which may be
	 * NULL and gets the sum of w d.  A NaN anywhere gives NaN. */
	double (*sum_weights)(double *weighted, const float *z, int n, float max, float inv_t);
	/* z = factor exp(z inv_t - lse) */
	void (*softmax)(float *z, int n, float inv_t, float lse, float factor);
};

/* The table of the current ISA level. */
const struct row_kernels *row_kernels(void);

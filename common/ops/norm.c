/* Layer norm and RMS norm.
 *
 * All are y = (x - mean) rstd (base + scale) (+ shift), with mean 0 for RMS norm and
 * base 1 for Gemma's, and share their kernels.  Rows are independent in the forward
 * pass and in dx.  The gradients of scale and shift are sums over rows: threads take
 * strips of columns and each column is summed in row order, so their number does not
 * matter. */
#include "common/ops/norm.h"

#include <math.h>
#include <stdbool.h>

#include "common/ops/row_kernel.h"
#include "common/ops/split.h"

struct norm {
	const struct norm_shape *shape;
	float *y, *dx, *dscale, *dshift, *out_mean, *out_rstd;
	const float *x, *scale, *shift, *dy, *mean, *rstd;
};

static float scale_base(const struct norm_shape *shape)
{
	return shape->kind == NORM_RMS_UNIT ? 1 : 0;
}

static size_t place(const struct norm_shape *shape, size_t row, size_t stride)
{
	size_t groups = (size_t)shape->n_groups;

	return row / groups * stride + row % groups * (size_t)shape->c;
}

static void forward_rows(void *args, size_t begin, size_t end)
{
	const struct norm *norm = args;
	const struct norm_shape *shape = norm->shape;
	const struct row_kernels *kernels = row_kernels();

	for (size_t i = begin; i < end; i++) {
		struct norm_row row = {.x = norm->x + place(shape, i, shape->x_stride),
				       .scale = norm->scale,
				       .shift = norm->shift,
				       .scale_base = scale_base(shape),
				       .n = shape->c};
		double variance;

		if (shape->kind == NORM_LAYER)
			row.mean = (float)(kernels->sum(row.x, row.n) / row.n);
		variance = kernels->sum_of_squares(row.x, row.mean, row.n) / row.n;
		row.rstd = (float)(1 / sqrt(variance + (double)shape->eps));
		kernels->norm(norm->y + place(shape, i, shape->y_stride), &row);
		if (norm->out_mean)
			norm->out_mean[i] = row.mean;
		if (norm->out_rstd)
			norm->out_rstd[i] = row.rstd;
	}
}

static void backward_rows(void *args, size_t begin, size_t end)
{
	const struct norm *norm = args;
	const struct norm_shape *shape = norm->shape;
	bool is_centered = shape->kind == NORM_LAYER;

	for (size_t i = begin; i < end; i++) {
		size_t at = place(shape, i, shape->x_stride);
		struct norm_row row = {.x = norm->x + at,
				       .dy = norm->dy + place(shape, i, shape->y_stride),
				       .scale = norm->scale,
				       .scale_base = scale_base(shape),
				       .mean = is_centered ? norm->mean[i] : 0,
				       .rstd = norm->rstd[i],
				       .n = shape->c};
		row_kernels()->norm_backward(norm->dx + at, &row, is_centered);
	}
}

static void backward_columns(void *args, size_t begin, size_t end)
{
	const struct norm *norm = args;
	const struct norm_shape *shape = norm->shape;
	struct norm_columns columns = {.x = norm->x + begin,
				       .dy = norm->dy + begin,
				       .mean = shape->kind == NORM_LAYER ? norm->mean : NULL,
				       .rstd = norm->rstd,
				       .t = shape->t,
				       .n_groups = shape->n_groups,
				       .c = (size_t)shape->c,
				       .x_stride = shape->x_stride,
				       .dy_stride = shape->y_stride,
				       .n = (int)(end - begin)};

	row_kernels()->norm_backward_columns(norm->dscale + begin,
					     norm->dshift ? norm->dshift + begin : NULL, &columns);
}

static size_t n_rows(const struct norm_shape *shape)
{
	return (size_t)shape->t * (size_t)shape->n_groups;
}

void norm_forward(float *y, float *mean, float *rstd, const float *x, const float *scale,
		  const float *shift, const struct norm_shape *shape, struct pool *pool)
{
	struct norm norm = {.shape = shape,
			    .y = y,
			    .out_mean = mean,
			    .out_rstd = rstd,
			    .x = x,
			    .scale = scale,
			    .shift = shift};

	split_run(pool, n_rows(shape), split_rows((size_t)shape->c), forward_rows, &norm);
}

void norm_backward(float *dx, float *dscale, float *dshift, const float *dy, const float *x,
		   const float *scale, const float *mean, const float *rstd,
		   const struct norm_shape *shape, struct pool *pool)
{
	struct norm norm = {.shape = shape,
			    .dx = dx,
			    .dscale = dscale,
			    .dshift = dshift,
			    .dy = dy,
			    .x = x,
			    .scale = scale,
			    .mean = mean,
			    .rstd = rstd};

	split_run(pool, n_rows(shape), split_rows((size_t)shape->c), backward_rows, &norm);
	if (dscale)
		split_run(pool, (size_t)shape->c, split_columns(n_rows(shape)), backward_columns,
			  &norm);
}

/* Layer norm and RMS norm.
 *
 * Both are y = (x - mean) rstd scale (+ shift), with mean 0 for RMS norm, and
 * share their kernels.  Rows are independent in the forward pass and in dx.
 * The gradients of scale and shift are sums over rows: threads take strips of
 * columns and each column is summed in row order, so their number does not
 * matter. */
#include "common/ops/norm.h"

#include <math.h>
#include <stdbool.h>

#include "common/ops/row_kernel.h"
#include "common/ops/split.h"

struct norm {
	float *y, *dx, *dscale, *dshift, *out_mean, *out_rstd;
	const float *x, *scale, *shift, *dy, *mean, *rstd;
	int t, c;
	float eps;
	bool is_centered; /* layer norm */
};

static void forward_rows(void *args, size_t begin, size_t end)
{
	const struct norm *norm = args;
	const struct row_kernels *kernels = row_kernels();
	for (size_t t = begin; t < end; t++) {
		struct norm_row row = {.x = norm->x + t * (size_t)norm->c,
				       .scale = norm->scale,
				       .shift = norm->shift,
				       .n = norm->c};
		if (norm->is_centered)
			row.mean = (float)(kernels->sum(row.x, row.n) / row.n);
		double variance = kernels->sum_of_squares(row.x, row.mean, row.n) / row.n;
		row.rstd = (float)(1 / sqrt(variance + (double)norm->eps));
		kernels->norm(norm->y + t * (size_t)norm->c, &row);
		if (norm->out_mean)
			norm->out_mean[t] = row.mean;
		if (norm->out_rstd)
			norm->out_rstd[t] = row.rstd;
	}
}

static void backward_rows(void *args, size_t begin, size_t end)
{
	const struct norm *norm = args;
	const struct row_kernels *kernels = row_kernels();
	for (size_t t = begin; t < end; t++) {
		size_t at = t * (size_t)norm->c;
		struct norm_row row = {.x = norm->x + at,
				       .dy = norm->dy + at,
				       .scale = norm->scale,
				       .mean = norm->mean ? norm->mean[t] : 0,
				       .rstd = norm->rstd[t],
				       .n = norm->c};
		kernels->norm_backward(norm->dx + at, &row, norm->is_centered);
	}
}

static void backward_columns(void *args, size_t begin, size_t end)
{
	const struct norm *norm = args;
	struct norm_columns columns = {.x = norm->x + begin,
				       .dy = norm->dy + begin,
				       .mean = norm->mean,
				       .rstd = norm->rstd,
				       .t = norm->t,
				       .stride = norm->c,
				       .n = (int)(end - begin)};
	row_kernels()->norm_backward_columns(norm->dscale + begin,
					     norm->dshift ? norm->dshift + begin : NULL, &columns);
}

static void norm_forward(struct norm *norm, struct pool *pool)
{
	split_run(pool, (size_t)norm->t, split_rows((size_t)norm->c), forward_rows, norm);
}

static void norm_backward(struct norm *norm, struct pool *pool)
{
	split_run(pool, (size_t)norm->t, split_rows((size_t)norm->c), backward_rows, norm);
	split_run(pool, (size_t)norm->c, split_columns((size_t)norm->t), backward_columns, norm);
}

void rmsnorm_forward(float *y, float *rstd, const float *x, const float *scale, int t, int c,
		     float eps, struct pool *pool)
{
	struct norm norm = {
		.y = y, .out_rstd = rstd, .x = x, .scale = scale, .t = t, .c = c, .eps = eps};
	norm_forward(&norm, pool);
}

void rmsnorm_backward(float *dx, float *dscale, const float *dy, const float *x, const float *scale,
		      const float *rstd, int t, int c, struct pool *pool)
{
	struct norm norm = {.dx = dx,
			    .dscale = dscale,
			    .dy = dy,
			    .x = x,
			    .scale = scale,
			    .rstd = rstd,
			    .t = t,
			    .c = c};
	norm_backward(&norm, pool);
}

void layernorm_forward(float *y, float *mean, float *rstd, const float *x, const float *scale,
		       const float *shift, int t, int c, float eps, struct pool *pool)
{
	struct norm norm = {.y = y,
			    .out_mean = mean,
			    .out_rstd = rstd,
			    .x = x,
			    .scale = scale,
			    .shift = shift,
			    .t = t,
			    .c = c,
			    .eps = eps,
			    .is_centered = true};
	norm_forward(&norm, pool);
}

void layernorm_backward(float *dx, float *dscale, float *dshift, const float *dy, const float *x,
			const float *scale, const float *mean, const float *rstd, int t, int c,
			struct pool *pool)
{
	struct norm norm = {.dx = dx,
			    .dscale = dscale,
			    .dshift = dshift,
			    .dy = dy,
			    .x = x,
			    .scale = scale,
			    .mean = mean,
			    .rstd = rstd,
			    .t = t,
			    .c = c,
			    .is_centered = true};
	norm_backward(&norm, pool);
}

/* Kernels on one row: sums in a fixed order, normalisation, softmax.
 *
 * Compiled once per ISA level (simd.h).  Sixteen partial sums fill one AVX-512
 * vector, two AVX2 vectors or four portable ones; element i of a block always
 * goes to partial i mod 16, so the levels with fused multiply-add agree in
 * every bit. */
#include "common/ops/row_kernel.h"

#include <math.h>

#include "common/ops/math_simd.h"
#include "common/ops/simd.h"

enum { GROUP = 16, PARTS = GROUP / VL };

ALWAYS_INLINE int at_most(int n, int most)
{
	return n < most ? n : most;
}
ALWAYS_INLINE vf load(const float *p, int lanes)
{
	return lanes == VL ? vf_load(p) : vf_load_first(p, lanes);
}
ALWAYS_INLINE void store(float *p, vf x, int lanes)
{
	if (lanes == VL)
		vf_store(p, x);
	else
		vf_store_first(p, x, lanes);
}
/* The first lanes of x, and 0 in the others. */
ALWAYS_INLINE vf keep_first(vf x, int lanes)
{
	static const int32_t index[GROUP] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	vi lane;
	memcpy(&lane, index, sizeof lane);
	return (vf)((lane < vi_set1(lanes)) & (vi)x);
}

/* --- sums --- */

/* Terms of up to two sums for elements i .. i + lanes - 1; other lanes are ignored. */
typedef void terms_fn(vf terms[2], const void *row, int i, int lanes);

struct parts {
	vf sum[2][PARTS];
};

ALWAYS_INLINE void add_group(struct parts *parts, const void *row, int i, int left, int n_sums,
			     terms_fn *f)
{
	UNROLL
	for (int k = 0; k < PARTS; k++) {
		int lanes = at_most(left - k * VL, VL);
		if (lanes <= 0)
			break;
		vf terms[2] = {{0}};
		f(terms, row, i + k * VL, lanes);
		for (int s = 0; s < n_sums; s++)
			parts->sum[s][k] += lanes == VL ? terms[s] : keep_first(terms[s], lanes);
	}
}

/* The 16 partial sums, folded by halves. */
ALWAYS_INLINE float fold(const vf sum[PARTS])
{
	float part[GROUP];
	for (int k = 0; k < PARTS; k++)
		vf_store(part + k * VL, sum[k]);
	for (int half = GROUP / 2; half > 0; half /= 2) {
		for (int k = 0; k < half; k++)
			part[k] += part[k + half];
	}
	return part[0];
}

/* The order of sums that row_kernel.h states. */
ALWAYS_INLINE void sum_row(double sums[2], const void *row, int n, int n_sums, terms_fn *f)
{
	sums[0] = sums[1] = 0;
	for (int begin = 0; begin < n; begin += ROW_BLOCK) {
		int end = begin + at_most(n - begin, ROW_BLOCK), i = begin;
		struct parts parts = {0};
		for (; i + GROUP <= end; i += GROUP)
			add_group(&parts, row, i, GROUP, n_sums, f);
		if (i < end)
			add_group(&parts, row, i, end - i, n_sums, f);
		for (int s = 0; s < n_sums; s++)
			sums[s] += fold(parts.sum[s]);
	}
}

struct centered {
	const float *x;
	float center;
};

ALWAYS_INLINE void terms_plain(vf terms[2], const void *row, int i, int lanes)
{
	terms[0] = load((const float *)row + i, lanes);
}
ALWAYS_INLINE void terms_square(vf terms[2], const void *row, int i, int lanes)
{
	const struct centered *centered = row;
	vf x = load(centered->x + i, lanes) - vf_set1(centered->center);
	terms[0] = x * x;
}

static double sum(const float *x, int n)
{
	double sums[2];
	sum_row(sums, x, n, 1, terms_plain);
	return sums[0];
}

static double sum_of_squares(const float *x, float center, int n)
{
	const struct centered row = {x, center};
	double sums[2];
	sum_row(sums, &row, n, 1, terms_square);
	return sums[0];
}

/* --- normalisation --- */

static void norm(float *y, const struct norm_row *row)
{
	const struct norm_row r = *row;
	for (int i = 0; i < r.n; i += VL) {
		int lanes = at_most(r.n - i, VL);
		vf unit = (load(r.x + i, lanes) - vf_set1(r.mean)) * vf_set1(r.rstd);
		vf scale = load(r.scale + i, lanes) + vf_set1(r.scale_base);
		store(y + i, r.shift ? vf_fma(unit, scale, load(r.shift + i, lanes)) : unit * scale,
		      lanes);
	}
}

/* g = dy (base + scale), and g times the normalised x. */
ALWAYS_INLINE void terms_norm_backward(vf terms[2], const void *row, int i, int lanes)
{
	const struct norm_row *r = row;
	vf unit = (load(r->x + i, lanes) - vf_set1(r->mean)) * vf_set1(r->rstd);
	vf scale = load(r->scale + i, lanes) + vf_set1(r->scale_base);
	terms[0] = load(r->dy + i, lanes) * scale;
	terms[1] = terms[0] * unit;
}

/* With u the normalised x:  dx += rstd (g - mean(g) - u mean(g u)),
 * where mean(g) is left out for RMS norm. */
static void norm_backward(float *dx, const struct norm_row *row, int is_centered)
{
	const struct norm_row r = *row;
	double sums[2];
	sum_row(sums, &r, r.n, 2, terms_norm_backward);
	const vf rstd = vf_set1(r.rstd), mean = vf_set1(r.mean);
	const vf mean_g = vf_set1(is_centered ? (float)(sums[0] / r.n) : 0);
	const vf mean_gu = vf_set1((float)(sums[1] / r.n));
	for (int i = 0; i < r.n; i += VL) {
		int lanes = at_most(r.n - i, VL);
		vf unit = (load(r.x + i, lanes) - mean) * rstd;
		vf scale = load(r.scale + i, lanes) + vf_set1(r.scale_base);
		vf g = load(r.dy + i, lanes) * scale;
		vf d = vf_fma(-unit, mean_gu, g - mean_g);
		store(dx + i, vf_fma(rstd, d, load(dx + i, lanes)), lanes);
	}
}

static void norm_backward_columns(float *dscale, float *dshift, const struct norm_columns *columns)
{
	const struct norm_columns c = *columns;
	const size_t groups = (size_t)c.n_groups, rows = (size_t)c.t * groups;
	for (size_t row = 0; row < rows; row++) {
		const size_t t = row / groups, group = row % groups;
		const float *x = c.x + t * c.x_stride + group * c.c;
		const float *dy = c.dy + t * c.dy_stride + group * c.c;
		const vf rstd = vf_set1(c.rstd[row]), mean = vf_set1(c.mean ? c.mean[row] : 0);
		for (int i = 0; i < c.n; i += VL) {
			int lanes = at_most(c.n - i, VL);
			vf unit = (load(x + i, lanes) - mean) * rstd, g = load(dy + i, lanes);
			store(dscale + i, vf_fma(g, unit, load(dscale + i, lanes)), lanes);
			if (dshift)
				store(dshift + i, g + load(dshift + i, lanes), lanes);
		}
	}
}

/* --- softmax --- */

static float max(const float *z, int n)
{
	vf best[4] = {vf_set1(-INFINITY), vf_set1(-INFINITY), vf_set1(-INFINITY),
		      vf_set1(-INFINITY)};
	int i = 0;
	for (; i + 4 * VL <= n; i += 4 * VL) {
		UNROLL
		for (int k = 0; k < 4; k++)
			best[k] = vf_max(vf_load(z + i + k * VL), best[k]);
	}
	best[0] = vf_max(vf_max(best[0], best[1]), vf_max(best[2], best[3]));
	float lanes[VL];
	vf_store(lanes, best[0]);
	float most = -INFINITY;
	for (int k = 0; k < VL; k++)
		most = lanes[k] > most ? lanes[k] : most;
	for (; i < n; i++)
		most = z[i] > most ? z[i] : most;
	return most;
}

struct weighing {
	const float *z;
	float max, inv_t;
};

ALWAYS_INLINE vf weigh(vf *d, const struct weighing *w, int i, int lanes)
{
	*d = (load(w->z + i, lanes) - vf_set1(w->max)) * vf_set1(w->inv_t);
	return vf_exp_nonpositive(*d);
}
ALWAYS_INLINE void terms_weight(vf terms[2], const void *row, int i, int lanes)
{
	vf d;
	terms[0] = weigh(&d, row, i, lanes);
}
/* The bound keeps 0 * -inf out of the second sum; weights are 0 below it. */
ALWAYS_INLINE void terms_weighted(vf terms[2], const void *row, int i, int lanes)
{
	vf d;
	terms[0] = weigh(&d, row, i, lanes);
	terms[1] = terms[0] * vf_max(vf_set1(-87), d);
}

static void weights(float *w, const float *z, int n, float most, float inv_t)
{
	const struct weighing row = {z, most, inv_t};
	vf d;
	for (int i = 0; i < n; i += VL) {
		int lanes = at_most(n - i, VL);
		store(w + i, weigh(&d, &row, i, lanes), lanes);
	}
}

static double sum_weights(double *weighted, const float *z, int n, float most, float inv_t)
{
	const struct weighing row = {z, most, inv_t};
	double sums[2];
	if (weighted) {
		sum_row(sums, &row, n, 2, terms_weighted);
		*weighted = sums[1];
	} else {
		sum_row(sums, &row, n, 1, terms_weight);
	}
	return sums[0];
}

static void softmax(float *z, int n, float inv_t, float lse, float factor)
{
	for (int i = 0; i < n; i += VL) {
		int lanes = at_most(n - i, VL);
		vf u = vf_fma(load(z + i, lanes), vf_set1(inv_t), vf_set1(-lse));
		store(z + i, vf_exp_nonpositive(u) * vf_set1(factor), lanes);
	}
}

extern const struct row_kernels LEVELED(row_kernels);
const struct row_kernels LEVELED(row_kernels) = {
	.sum = sum,
	.sum_of_squares = sum_of_squares,
	.norm = norm,
	.norm_backward = norm_backward,
	.norm_backward_columns = norm_backward_columns,
	.max = max,
	.weights = weights,
	.sum_weights = sum_weights,
	.softmax = softmax,
};

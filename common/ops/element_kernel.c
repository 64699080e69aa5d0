/* Elementwise kernels: optimizer steps, activations, rotation, sums of squares.
 *
 * Compiled once per ISA level (simd.h).  The last lanes of an array go through
 * the same vector operations as the others, so an element's result does not
 * depend on its place. */
#include "common/ops/element_kernel.h"

#include <math.h>

#include "common/ops/math_simd.h"
#include "common/ops/simd.h"

ALWAYS_INLINE int lanes_left(size_t n, size_t i)
{
	return n - i < VL ? (int)(n - i) : VL;
}
/* The first lanes, fewer than VL.  A masked access waits for earlier ones of its whole width,
 * masked or not, so half a vector and a quarter of one are loaded and stored as what they are. */
ALWAYS_INLINE vf load_first(const float *p, int lanes)
{
#if KERNEL_LEVEL == 2
	if (lanes == 8)
		return (vf)_mm512_zextps256_ps512(_mm256_loadu_ps(p));
	if (lanes == 4)
		return (vf)_mm512_zextps128_ps512(_mm_loadu_ps(p));
#elif KERNEL_LEVEL == 1
	if (lanes == 4)
		return (vf)_mm256_zextps128_ps256(_mm_loadu_ps(p));
#endif
	return vf_load_first(p, lanes);
}
ALWAYS_INLINE vf load(const float *p, int lanes)
{
	return lanes == VL ? vf_load(p) : load_first(p, lanes);
}
/* The same; at the AVX2 level all by halves: a masked store takes AMD's cores dozens of
 * cycles, and narrow rows end with one each. */
ALWAYS_INLINE void store_first(float *p, vf x, int lanes)
{
#if KERNEL_LEVEL == 1
	__m128 part = _mm256_castps256_ps128((__m256)x);
	if (lanes & 4) {
		_mm_storeu_ps(p, part);
		part = _mm256_extractf128_ps((__m256)x, 1);
		p += 4;
	}
	if (lanes & 2) {
		_mm_storel_pi((__m64 *)p, part);
		part = _mm_movehl_ps(part, part);
		p += 2;
	}
	if (lanes & 1)
		_mm_store_ss(p, part);
#else
#if KERNEL_LEVEL == 2
	if (lanes == 8) {
		_mm256_storeu_ps(p, _mm512_castps512_ps256((__m512)x));
		return;
	}
	if (lanes == 4) {
		_mm_storeu_ps(p, _mm512_castps512_ps128((__m512)x));
		return;
	}
#endif
	vf_store_first(p, x, lanes);
#endif
}
ALWAYS_INLINE void store(float *p, vf x, int lanes)
{
	if (lanes == VL)
		vf_store(p, x);
	else
		store_first(p, x, lanes);
}

ALWAYS_INLINE vf root(vf x)
{
#if KERNEL_LEVEL == 2
	return (vf)_mm512_sqrt_ps((__m512)x);
#elif KERNEL_LEVEL == 1
	return (vf)_mm256_sqrt_ps((__m256)x);
#else
	for (int k = 0; k < VL; k++)
		x[k] = sqrtf(x[k]);
	return x;
#endif
}

static void add(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		store(y + i, load(y + i, lanes) + load(x + i, lanes), lanes);
	}
}

static void scale(float *y, float factor, size_t n)
{
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		store(y + i, load(y + i, lanes) * vf_set1(factor), lanes);
	}
}

static void softcap(float *y, float cap, size_t n)
{
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		store(y + i, vf_softcap(load(y + i, lanes), vf_set1(cap)), lanes);
	}
}

static void softcap_backward(float *dy, const float *y, float cap, size_t n)
{
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		vf slope = vf_softcap_slope(load(y + i, lanes), vf_set1(cap));
		store(dy + i, load(dy + i, lanes) * slope, lanes);
	}
}

static void round_bf16(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		store(y + i, vf_round_bf16(load(x + i, lanes)), lanes);
	}
}

/* x * 0 is 0 for a finite x and NaN otherwise. */
static bool is_finite(const float *x, size_t n)
{
	vf zeros = vf_set1(0);
	for (size_t i = 0; i < n; i += VL)
		zeros += load(x + i, lanes_left(n, i)) * vf_set1(0);
	float lanes[VL];
	vf_store(lanes, zeros);
	for (int k = 0; k < VL; k++) {
		if (lanes[k] != 0)
			return false;
	}
	return true;
}

/* Element i goes to partial sum i mod 16.  The square of a float is exact in
 * double, so the result is the same at every level. */
static double sum_of_squares(const float *x, size_t n)
{
	double part[16] = {0};
	size_t i = 0;
	for (; i + 16 <= n; i += 16) {
		for (int k = 0; k < 16; k++)
			part[k] += (double)x[i + k] * (double)x[i + k];
	}
	for (int k = 0; i + (size_t)k < n; k++)
		part[k] += (double)x[i + k] * (double)x[i + k];
	for (int half = 8; half > 0; half /= 2) {
		for (int k = 0; k < half; k++)
			part[k] += part[k + half];
	}
	return part[0];
}

/* A zero of either sign gives 0: a sum that lacks a zero term may have the other one. */
ALWAYS_INLINE vf scaled_gradient(const float *g, float scale, int lanes)
{
	return vf_fma(load(g, lanes), vf_set1(scale), vf_set1(0));
}

static void adamw(float *w, float *m, float *v, const float *g, size_t n,
		  const struct adamw_coefficients *k)
{
	const struct adamw_coefficients c = *k;
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		vf grad = scaled_gradient(g + i, c.grad_scale, lanes);
		vf mean = vf_fma(vf_set1(c.beta1), load(m + i, lanes),
				 vf_set1(c.one_minus_beta1) * grad);
		vf square = vf_fma(vf_set1(c.beta2), load(v + i, lanes),
				   vf_set1(c.one_minus_beta2) * grad * grad);
		vf weight = load(w + i, lanes);
		weight = vf_fma(vf_set1(-c.decay), weight, weight);
		vf scaled = vf_fma(root(square), vf_set1(c.root_factor), vf_set1(c.eps));
		store(w + i, vf_fma(vf_set1(-c.step), mean / scaled, weight), lanes);
		store(m + i, mean, lanes);
		store(v + i, square, lanes);
	}
}

static void sgd(float *w, float *m, const float *g, size_t n, const struct sgd_coefficients *k)
{
	const struct sgd_coefficients c = *k;
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		vf weight = load(w + i, lanes);
		vf step = vf_fma(vf_set1(c.weight_decay), weight,
				 scaled_gradient(g + i, c.grad_scale, lanes));
		if (m) {
			step = vf_fma(vf_set1(c.momentum), load(m + i, lanes), step);
			store(m + i, step, lanes);
		}
		store(w + i, vf_fma(vf_set1(-c.learning_rate), step, weight), lanes);
	}
}

static const float SQRT_HALF = 0.70710678118654752f;
static const float INV_SQRT_2PI = 0.39894228040143268f;
static const float SQRT_2_OVER_PI = 0.79788456080286536f;
static const float GELU_CUBE = 0.044715f;
static const float QUICK_GELU_FACTOR = 1.702f;

ALWAYS_INLINE vf sigmoid(vf x)
{
	return vf_set1(1) / (vf_set1(1) + vf_exp(-x));
}

/* f(x) and f'(x).  With P the normal distribution and p its density, s the sigmoid of x, of
 * 1.702 x or of 2u, as (1 + tanh u) / 2 is that of 2u, and h = tanh(x),
 *     gelu' = P + x p        silu' = s (1 + x (1 - s))
 *     gelu_tanh' = s (1 + 2 x u' (1 - s))
 *     quick_gelu' = s (1 + 1.702 x (1 - s))
 *     sigmoid' = s (1 - s)   tanh' = 1 - h^2 */
ALWAYS_INLINE void activate(vf *value, vf *slope, vf x, enum activation f)
{
	const vf one = vf_set1(1), half = vf_set1(0.5f);
	switch (f) {
	case ACTIVATION_GELU: {
		vf below = vf_fma(half, vf_erf(x * vf_set1(SQRT_HALF)), half);
		*value = x * below;
		if (slope)
			*slope = vf_fma(x * vf_set1(INV_SQRT_2PI), vf_exp(x * x * -half), below);
		return;
	}
	case ACTIVATION_GELU_TANH: {
		vf cube = vf_set1(GELU_CUBE) * x * x;
		vf s = sigmoid(vf_set1(2 * SQRT_2_OVER_PI) * vf_fma(cube, x, x));
		*value = x * s;
		if (slope) {
			vf steepness = vf_set1(2 * SQRT_2_OVER_PI) * vf_fma(vf_set1(3), cube, one);
			*slope = s * vf_fma(x * steepness, one - s, one);
		}
		return;
	}
	case ACTIVATION_SILU: {
		vf s = sigmoid(x);
		*value = x * s;
		if (slope)
			*slope = s * vf_fma(x, one - s, one);
		return;
	}
	case ACTIVATION_QUICK_GELU: {
		vf steep = vf_set1(QUICK_GELU_FACTOR) * x, s = sigmoid(steep);
		*value = x * s;
		if (slope)
			*slope = s * vf_fma(steep, one - s, one);
		return;
	}
	case ACTIVATION_SIGMOID:
		*value = sigmoid(x);
		if (slope)
			*slope = *value * (one - *value);
		return;
	case ACTIVATION_TANH:
		*value = vf_tanh(x);
		if (slope)
			*slope = vf_fma(-*value, *value, one);
		return;
	case ACTIVATION_RELU_SQUARED: {
		vf above = vf_max(vf_set1(0), x);
		*value = above * above;
		if (slope)
			*slope = above + above;
		return;
	}
	case ACTIVATION_RELU:
		break;
	}
	*value = vf_max(vf_set1(0), x);
	if (slope)
		*slope = (vf)((x > vf_set1(0)) & (vi)one);
}

static void gate(float *y, const float *x, const float *up, size_t n, enum activation f)
{
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		vf value;
		activate(&value, NULL, load(x + i, lanes), f);
		store(y + i, up ? value * load(up + i, lanes) : value, lanes);
	}
}

static void gate_backward(float *dx, float *dup, const float *dy, const float *x, const float *up,
			  size_t n, enum activation f)
{
	for (size_t i = 0; i < n; i += VL) {
		int lanes = lanes_left(n, i);
		vf value, slope;
		vf grad = load(dy + i, lanes);
		activate(&value, &slope, load(x + i, lanes), f);
		if (up) {
			store(dup + i, grad * value, lanes);
			grad = grad * load(up + i, lanes);
		}
		store(dx + i, grad * slope, lanes);
	}
}

static void rope(float *x, const float *angles, int n_heads, int head_dim, int half, float sign)
{
	for (int head = 0; head < n_heads; head++, x += head_dim) {
		for (int i = 0; i < half; i += VL) {
			int lanes = lanes_left((size_t)half, (size_t)i);
			vf cosine = load(angles + i, lanes);
			vf sine = load(angles + half + i, lanes) * vf_set1(sign);
			vf a = load(x + i, lanes), b = load(x + half + i, lanes);
			store(x + i, vf_fma(a, cosine, -(b * sine)), lanes);
			store(x + half + i, vf_fma(b, cosine, a * sine), lanes);
		}
	}
}

extern const struct element_kernels LEVELED(element_kernels);
const struct element_kernels LEVELED(element_kernels) = {
	.add = add,
	.scale = scale,
	.softcap = softcap,
	.softcap_backward = softcap_backward,
	.round_bf16 = round_bf16,
	.is_finite = is_finite,
	.sum_of_squares = sum_of_squares,
	.adamw = adamw,
	.sgd = sgd,
	.gate = gate,
	.gate_backward = gate_backward,
	.rope = rope,
};

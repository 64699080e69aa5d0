/* Elementary functions over vectors, for the kernels.
 *
 * A lane's result depends on that lane's value alone, and levels 1 and 2 run
 * the same operations in the same order, so their bits agree.  Errors stay
 * within 2 units in the last place, with fused multiply-add.  NaN gives NaN.
 *
 * The polynomials are weighted least-squares fits, reweighted to minimise the
 * largest relative error of the whole function over the interval given. */
#pragma once

#include "common/ops/simd.h"

/* Per lane: a where the mask is all ones, b where it is zero. */
ALWAYS_INLINE vf vf_select(vi mask, vf a, vf b)
{
	return (vf)((mask & (vi)a) | (~mask & (vi)b));
}
ALWAYS_INLINE vi vi_set1(int32_t x)
{
	return (vi)vf_set1(0.0f) + x;
}
ALWAYS_INLINE vf vf_abs(vf x)
{
	return (vf)((vi)x & vi_set1(0x7fffffff));
}
/* a with the sign of b, for a >= 0 */
ALWAYS_INLINE vf vf_with_sign(vf a, vf b)
{
	return (vf)((vi)a | ((vi)b & vi_set1((int32_t)0x80000000)));
}
ALWAYS_INLINE vf vf_polynomial(vf x, const float *coefficients, const int degree)
{
	vf y = vf_set1(coefficients[degree]);

	UNROLL
	for (int i = degree - 1; i >= 0; i--)
		y = vf_fma(y, x, vf_set1(coefficients[i]));
	return y;
}

/* What the two exponentials share: *n, the nearest integer to x / ln 2, in the
 * low bits of a float, and the return value e^(x - n ln 2).  |x| <= 2^21. */
ALWAYS_INLINE vf vf_exp_reduced(vf x, vf *n)
{
	/* (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2 */
	static const float q[] = {0.4999999304f, 0.1666651474f, 0.04166845796f, 0.008369423825f,
				  0.001381308897f};
	const vf to_integer = vf_set1(0x1.8p23f); /* adding it rounds to an integer */
	vf r, whole;

	*n = vf_fma(x, vf_set1(1.44269504f), to_integer);
	whole = *n - to_integer;
	/* ln 2 in two parts, of which the first times an integer is exact */
	r = vf_fma(whole, vf_set1(-0.693145752f), x);
	r = vf_fma(whole, vf_set1(-1.42860677e-6f), r);
	return vf_fma(vf_polynomial(r, q, 4), r * r, r) + 1.0f;
}

/* e^x for every x: 0 below -103.98, infinity above 88.73, with denormals. */
ALWAYS_INLINE vf vf_exp(vf x)
{
	vf n, y;
	vi power, half;

	x = vf_max(vf_set1(-104.0f), x);
	x = vf_select(x > 89.0f, vf_set1(89.0f), x);
	y = vf_exp_reduced(x, &n);
	power = (vi)n - (vi)vf_set1(0x1.8p23f);
	half = power >> 1;
	/* in two steps, of which only the second can round, overflow or underflow */
	y *= (vf)((half + 127) << 23);
	return y * (vf)((power - half + 127) << 23);
}

/* e^x for x <= 0 with everything below -87 taken as 0: the weights of a softmax. */
ALWAYS_INLINE vf vf_exp_nonpositive(vf x)
{
	vf n, y;

	y = vf_exp_reduced(vf_max(vf_set1(-87.0f), x), &n);
	y = (vf)((vu)y + ((vu)(vi)n << 23)); /* wraps where x is not what it should be */
	return (vf)((vi)y & ~(x < -87.0f));
}

/* ln x: -infinity at 0, NaN below. */
ALWAYS_INLINE vf vf_log(vf x)
{
	/* (ln(1 + f) - f + f^2 / 2) / f^3 on 1 + f in [sqrt(1/2), sqrt(2)] */
	static const float p[] = {0.3333333176f, -0.2500082156f, 0.2000122169f, -0.1662333659f,
				  0.1420186878f, -0.1316048969f, 0.1276091491f, -0.07632862674f};
	const vf infinity = vf_set1(__builtin_inff());
	vi tiny = x < 0x1p-126f;
	vf normal = vf_abs(vf_select(tiny, x * 0x1p23f, x));
	vi power = ((vi)normal - 0x3f3504f3) >> 23;
	vf e = __builtin_convertvector(power, vf) - (vf)(tiny & (vi)vf_set1(23.0f));
	vf f = (vf)((vi)normal - (power << 23)) - 1.0f;
	vf square = f * f;
	vf y = vf_polynomial(f, p, 7) * (f * square);

	y = vf_fma(e, vf_set1(-2.12194440e-4f), y);
	y = vf_fma(square, vf_set1(-0.5f), y);
	y = vf_fma(e, vf_set1(0.693359375f), f + y);
	y = vf_select(x == 0.0f, -infinity, y);
	y = vf_select(x == infinity, infinity, y);
	return vf_select(x >= 0.0f, y, vf_set1(__builtin_nanf("")));
}

ALWAYS_INLINE vf vf_tanh(vf x)
{
	/* (tanh(x) / x - 1) / x^2 in x^2, on |x| <= 0.65 */
	static const float p[] = {-0.3333332961f, 0.1333315779f,    -0.05394055273f,
				  0.0216662993f,  -0.008091868652f, 0.002064586925f};
	vf a = vf_abs(x), square = x * x;
	vf small = vf_fma(vf_polynomial(square, p, 5), square * x, x);
	vf large = 1.0f - 2.0f / (vf_exp(a + a) + 1.0f);

	return vf_select(a > 0.65f, vf_with_sign(large, x), small);
}

/* c tanh(x / c), and its derivative 1 - (y / c)^2 from the result y. */
ALWAYS_INLINE vf vf_softcap(vf x, vf c)
{
	return vf_tanh(x / c) * c;
}
ALWAYS_INLINE vf vf_softcap_slope(vf y, vf c)
{
	vf h = y / c;

	return vf_fma(-h, h, vf_set1(1));
}

ALWAYS_INLINE vf vf_erf(vf x)
{
	/* erf(x) / x - 1 in x^2, on |x| <= 0.92 */
	static const float p[] = {0.1283791666f,   -0.3761263373f,  0.112836954f,
				  -0.02685939318f, 0.005201019852f, -0.0008142564539f,
				  8.369514091e-5f};
	/* ln(1 - erf(x)) on [0.9, 4] */
	static const float q[] = {0.0001692363271f, -1.129488567f,   -0.6334005025f,
				  -0.1082207948f,   0.02508090077f,  -0.004156370337f,
				  0.0004314189969f, -2.083096239e-5f};
	vf a = vf_abs(x), square = x * x;
	vf small = vf_fma(vf_polynomial(square, p, 6), x, x);
	vf bounded = vf_select(a > 4.0f, vf_set1(4.0f), a);
	vf large = 1.0f - vf_exp(vf_polynomial(bounded, q, 7));

	return vf_select(a > 0.92f, vf_with_sign(large, x), small);
}

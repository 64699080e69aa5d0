/* Conversions between floats and stored numbers; see dtype.h.
 *
 * A bfloat16 is the upper half of a float.  A half has 5 bits of exponent and 10 of
 * mantissa; below 2^-14 its numbers are multiples of 2^-24. */
#include "common/model/dtype.h"

#include <stdint.h>
#include <string.h>

#include "common/base/die.h"

static const struct {
	const char *name, *config_name;
	size_t bytes;
} dtypes[] = {
	[DTYPE_F32] = {"F32", "float32", 4},
	[DTYPE_F16] = {"F16", "float16", 2},
	[DTYPE_BF16] = {"BF16", "bfloat16", 2},
	[DTYPE_F64] = {"F64", "float64", 8},
};

size_t dtype_bytes(enum dtype dtype)
{
	ASSERT(dtype != DTYPE_OTHER);
	return dtypes[dtype].bytes;
}

const char *dtype_name(enum dtype dtype)
{
	ASSERT(dtype != DTYPE_OTHER);
	return dtypes[dtype].name;
}

const char *dtype_config_name(enum dtype dtype)
{
	ASSERT(dtype != DTYPE_OTHER);
	return dtypes[dtype].config_name;
}

static float float_from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

static uint32_t bits_of_float(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	return bits;
}

static float float_from_half(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000) << 16, mantissa = half & 0x3ff;
	int exponent = half >> 10 & 31;

	if (exponent == 31)
		return float_from_bits(sign | 0x7f800000 | mantissa << 13);
	if (exponent == 0) { /* subnormal: mantissa * 2^-24 */
		float value = (float)mantissa * 0x1p-24F;
		return sign ? -value : value;
	}
	return float_from_bits(sign | (uint32_t)(exponent + 112) << 23 | mantissa << 13);
}

/* bits without their lowest n, rounded to nearest, ties to even. */
static uint32_t round_off(uint32_t bits, int n)
{
	uint32_t half = 1U << (n - 1), odd = bits >> n & 1;

	return (bits + half - 1 + odd) >> n;
}

/* A carry out of the mantissa gives the next exponent, and infinity at the end. */
static uint16_t half_from_float(float value)
{
	uint32_t bits = bits_of_float(value), magnitude = bits & 0x7fffffff;
	uint32_t sign = bits >> 16 & 0x8000, rounded;

	if (magnitude > 0x7f800000) /* NaN: the upper bits of its payload, never none */
		rounded = 0x7c00 | (magnitude >> 13 & 0x3ff) | !(magnitude >> 13 & 0x3ff);
	else if (magnitude >= 0x47800000) /* from 2^16 */
		rounded = 0x7c00;
	else if (magnitude >= 0x38800000) /* from 2^-14 */
		rounded = round_off(magnitude - 0x38000000, 13);
	else if (magnitude >= 0x33000000) /* from 2^-25: the mantissa, shifted to units of 2^-24 */
		rounded =
			round_off((magnitude & 0x7fffff) | 0x800000, 126 - (int)(magnitude >> 23));
	else
		rounded = 0;
	return (uint16_t)(sign | rounded);
}

static uint16_t bfloat_from_float(float value)
{
	uint32_t bits = bits_of_float(value);

	if ((bits & 0x7fffffff) > 0x7f800000) /* NaN: rounding could make it infinite */
		return (uint16_t)(bits >> 16 | !(bits >> 16 & 0x7f));
	return (uint16_t)round_off(bits, 16);
}

void dtype_to_float(enum dtype dtype, const void *stored, size_t n, float *out)
{
	const uint8_t *bytes = stored;
	uint16_t half;
	double wide;

	ASSERT(dtype != DTYPE_OTHER);
	if (dtype == DTYPE_F32) {
		memcpy(out, stored, n * sizeof *out);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (dtype == DTYPE_F64) {
			memcpy(&wide, bytes + i * sizeof wide, sizeof wide);
			out[i] = (float)wide;
			continue;
		}
		memcpy(&half, bytes + i * sizeof half, sizeof half);
		out[i] = dtype == DTYPE_BF16 ? float_from_bits((uint32_t)half << 16)
					     : float_from_half(half);
	}
}

void dtype_from_float(enum dtype dtype, const float *values, size_t n, void *stored)
{
	uint8_t *bytes = stored;

	ASSERT(dtype != DTYPE_OTHER);
	if (dtype == DTYPE_F32) {
		memcpy(stored, values, n * sizeof *values);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		double wide = values[i];
		uint16_t half = dtype == DTYPE_BF16 ? bfloat_from_float(values[i])
						    : half_from_float(values[i]);

		if (dtype == DTYPE_F64)
			memcpy(bytes + i * sizeof wide, &wide, sizeof wide);
		else
			memcpy(bytes + i * sizeof half, &half, sizeof half);
	}
}

/* Stored numbers: every half and every bfloat16 read and written, and the rounding of
 * floats that lie between two of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/model/dtype.h"

/* At odd addresses: the format does not align. */
static float read_one(enum dtype dtype, const void *bytes)
{
	uint8_t memory[16] = {0};
	float value;

	memcpy(memory + 1, bytes, dtype_bytes(dtype));
	dtype_to_float(dtype, memory + 1, 1, &value);
	return value;
}

static void write_one(enum dtype dtype, float value, void *bytes)
{
	uint8_t memory[16] = {0};

	dtype_from_float(dtype, &value, 1, memory + 1);
	memcpy(bytes, memory + 1, dtype_bytes(dtype));
}

/* Sign, exponent and mantissa by the definition of the format (IEEE 754, 3.4). */
static double half_by_definition(uint16_t half)
{
	int exponent = half >> 10 & 31, mantissa = half & 1023;
	double magnitude = exponent == 0   ? ldexp(mantissa, -24)
			   : exponent < 31 ? ldexp(1024 + mantissa, exponent - 25)
			   : mantissa == 0 ? (double)INFINITY
					   : (double)NAN;
	return half & 0x8000 ? -magnitude : magnitude;
}

static void test_every_f16_converts_exactly(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 65536; bits++) {
		uint16_t half = (uint16_t)bits;
		float value = read_one(DTYPE_F16, &half);
		double expected = half_by_definition(half);

		if (isnan(expected)
			    ? !isnan(value)
			    : (double)value != expected || !signbit(value) != !(half & 0x8000))
			fail_msg("F16 %04x is %g, expected %g", bits, (double)value, expected);
	}
}

static void test_every_bf16_converts_exactly(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 65536; bits++) {
		uint16_t half = (uint16_t)bits;
		float value = read_one(DTYPE_BF16, &half);
		uint32_t word;

		memcpy(&word, &value, sizeof word);
		if (word != bits << 16)
			fail_msg("BF16 %04x is the float %08x", bits, word);
	}
}

static void test_f64_rounds_to_the_nearest_float(void **state)
{
	static const double values[] = {0.0,	1.0,	  -2.5,	 1.0 + 0x1p-24, 1.0 + 0x1.8p-24,
					1e-310, 0x1p-149, 1e300, -INFINITY};

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		float expected = (float)values[i];
		assert_true(read_one(DTYPE_F64, &values[i]) == expected);
	}
}

static void test_every_half_and_bfloat_comes_back_with_its_bits(void **state)
{
	static const enum dtype dtypes[] = {DTYPE_F16, DTYPE_BF16};

	(void)state;
	for (int d = 0; d < 2; d++)
		for (uint32_t bits = 0; bits < 65536; bits++) {
			uint16_t stored = (uint16_t)bits, back;

			write_one(dtypes[d], read_one(dtypes[d], &stored), &back);
			if (back != stored)
				fail_msg("%s %04x comes back as %04x", dtype_name(dtypes[d]),
					 stored, back);
		}
}

/* Between each number and the next larger one: what is nearer wins, and the middle goes
 * to the even one. */
static void check_rounding(enum dtype dtype, uint16_t infinity)
{
	for (uint16_t low = 0; low < infinity; low++) {
		uint16_t high = (uint16_t)(low + 1), found[3];
		float a = read_one(dtype, &low), middle, between[3];

		/* Infinity stands where the next number would. */
		if (high == infinity)
			high = (uint16_t)(low - 1);
		middle = (float)(a + fabs((double)read_one(dtype, &high) - a) / 2);
		high = (uint16_t)(low + 1);
		between[0] = nextafterf(middle, -INFINITY);
		between[1] = middle;
		between[2] = nextafterf(middle, INFINITY);
		for (int i = 0; i < 3; i++)
			write_one(dtype, between[i], &found[i]);
		assert_int_equal(found[0], low);
		assert_int_equal(found[1], low % 2 == 0 ? low : high);
		assert_int_equal(found[2], high);
		for (int i = 0; i < 3; i++) {
			uint16_t negative;

			write_one(dtype, -between[i], &negative);
			assert_int_equal(negative, found[i] | 0x8000);
		}
	}
}

static void test_floats_are_rounded_to_nearest_even(void **state)
{
	(void)state;
	check_rounding(DTYPE_F16, 0x7c00);
	check_rounding(DTYPE_BF16, 0x7f80);
}

static void test_nan_stays_nan_and_sign_stays(void **state)
{
	static const uint32_t nans[] = {0x7f800001, 0xff800001, 0x7fffffff, 0x7fc00000, 0xffc01234};
	uint16_t half;
	uint64_t wide;

	(void)state;
	for (int i = 0; i < 5; i++) {
		float value;

		memcpy(&value, &nans[i], sizeof value);
		write_one(DTYPE_BF16, value, &half);
		assert_true((half & 0x7fff) > 0x7f80 && half >> 15 == nans[i] >> 31);
		write_one(DTYPE_F16, value, &half);
		assert_true((half & 0x7fff) > 0x7c00 && half >> 15 == nans[i] >> 31);
		write_one(DTYPE_F64, value, &wide);
		assert_true((wide & INT64_MAX) > 0x7ff0000000000000 && wide >> 63 == nans[i] >> 31);
	}
	write_one(DTYPE_F16, -0.0f, &half);
	assert_int_equal(half, 0x8000);
	write_one(DTYPE_F16, 65520.0f, &half); /* the middle between the largest and 2^16 */
	assert_int_equal(half, 0x7c00);
	write_one(DTYPE_F16, 0x1p-149f, &half);
	assert_int_equal(half, 0);
}

static void test_wider_types_hold_every_float(void **state)
{
	static const float values[] = {0.1f, -3e38f, 0x1p-149f, 1, -0.0f};

	(void)state;
	for (int i = 0; i < 5; i++) {
		uint64_t stored;
		float back;

		write_one(DTYPE_F64, values[i], &stored);
		back = read_one(DTYPE_F64, &stored);
		assert_memory_equal(&back, &values[i], sizeof back);
		write_one(DTYPE_F32, values[i], &stored);
		back = read_one(DTYPE_F32, &stored);
		assert_memory_equal(&back, &values[i], sizeof back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_f16_converts_exactly),
		cmocka_unit_test(test_every_bf16_converts_exactly),
		cmocka_unit_test(test_f64_rounds_to_the_nearest_float),
		cmocka_unit_test(test_every_half_and_bfloat_comes_back_with_its_bits),
		cmocka_unit_test(test_floats_are_rounded_to_nearest_even),
		cmocka_unit_test(test_nan_stays_nan_and_sign_stays),
		cmocka_unit_test(test_wider_types_hold_every_float),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

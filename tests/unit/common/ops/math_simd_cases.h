/* The tests of math_simd.h at the KERNEL_LEVEL of the file that includes this. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>

#include "common/ops/math_simd.h"

enum { N_SAMPLES = 100000 };

typedef double scalar_function(double x);
typedef void lanes_function(float y[VL], const float x[VL]);

static void exp_lanes(float y[VL], const float x[VL])
{
	vf_store(y, vf_exp(vf_load(x)));
}
static void exp_nonpositive_lanes(float y[VL], const float x[VL])
{
	vf_store(y, vf_exp_nonpositive(vf_load(x)));
}
static void log_lanes(float y[VL], const float x[VL])
{
	vf_store(y, vf_log(vf_load(x)));
}
static void tanh_lanes(float y[VL], const float x[VL])
{
	vf_store(y, vf_tanh(vf_load(x)));
}
static void erf_lanes(float y[VL], const float x[VL])
{
	vf_store(y, vf_erf(vf_load(x)));
}

static float one(lanes_function *f, float x)
{
	float lanes[VL];

	for (int i = 0; i < VL; i++)
		lanes[i] = x;
	f(lanes, lanes);
	return lanes[VL - 1];
}

/* The distance of y from the true value in units in the last place of that. */
static double error_ulp(float y, double expected)
{
	float magnitude = fmaxf(fabsf((float)expected), FLT_MIN);

	return fabs(y - expected) / (nextafterf(magnitude, INFINITY) - magnitude);
}

/* At most 2 ulp on samples spread over [low, high]. */
static void check_range(lanes_function *f, scalar_function *reference, double low, double high)
{
	for (int i = 0; i < N_SAMPLES; i += VL) {
		float x[VL], y[VL];
		for (int j = 0; j < VL; j++)
			x[j] = (float)(low + (high - low) * (i + j) / N_SAMPLES);
		f(y, x);
		for (int j = 0; j < VL; j++)
			assert_true(error_ulp(y[j], reference(x[j])) <= 2);
	}
}

static void test_functions_are_within_two_ulp(void **state)
{
	(void)state;
	check_range(exp_lanes, exp, -1, 1);
	check_range(exp_lanes, exp, -86, 88.7);
	check_range(exp_lanes, exp, -103.9, -86); /* down to the smallest denormal */
	check_range(exp_nonpositive_lanes, exp, -86.99, 0);
	check_range(log_lanes, log, 0.5, 2);
	check_range(log_lanes, log, 2, 1e9);
	check_range(log_lanes, log, 1e-45, 1e-37);
	check_range(tanh_lanes, tanh, -1, 1);
	check_range(tanh_lanes, tanh, -12, 12);
	check_range(tanh_lanes, tanh, -1e-6, 1e-6);
	check_range(erf_lanes, erf, -1, 1);
	check_range(erf_lanes, erf, -5, 5);
	check_range(erf_lanes, erf, -1e-6, 1e-6);
}

static void test_special_values(void **state)
{
	(void)state;
	assert_true(one(exp_lanes, -INFINITY) == 0);
	assert_true(one(exp_lanes, -105) == 0);
	assert_true(one(exp_lanes, 0) == 1);
	assert_true(one(exp_lanes, 88.8f) == INFINITY);
	assert_true(one(exp_lanes, INFINITY) == INFINITY);
	assert_true(one(exp_nonpositive_lanes, -INFINITY) == 0);
	assert_true(one(exp_nonpositive_lanes, -87.1f) == 0);
	assert_true(one(exp_nonpositive_lanes, 0) == 1);
	assert_true(one(log_lanes, 0) == -INFINITY);
	assert_true(one(log_lanes, 1) == 0);
	assert_true(one(log_lanes, INFINITY) == INFINITY);
	assert_true(isnan(one(log_lanes, -1)));
	assert_true(one(tanh_lanes, INFINITY) == 1);
	assert_true(one(tanh_lanes, -INFINITY) == -1);
	assert_true(one(erf_lanes, INFINITY) == 1);
	assert_true(one(erf_lanes, -INFINITY) == -1);
}

static void test_nan_stays_nan(void **state)
{
	(void)state;
	assert_true(isnan(one(exp_lanes, NAN)));
	assert_true(isnan(one(exp_nonpositive_lanes, NAN)));
	assert_true(isnan(one(log_lanes, NAN)));
	assert_true(isnan(one(tanh_lanes, NAN)));
	assert_true(isnan(one(erf_lanes, NAN)));
}

/* Every lane gives the bits that the value gives alone, beside any others. */
static void test_lanes_do_not_see_each_other(void **state)
{
	static lanes_function *const functions[] = {exp_lanes, exp_nonpositive_lanes, log_lanes,
						    tanh_lanes, erf_lanes};
	static const float others[] = {NAN, INFINITY, -INFINITY, 1e-40f, 3e38f, -0.0f, -77, 2};

	(void)state;
	for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
		for (int i = 0; i < 4096; i++) {
			float x[VL], y[VL], value = (float)i / 512 - 5, alone;
			for (int j = 0; j < VL; j++)
				x[j] = others[(i + j) % 8];
			x[i % VL] = value;
			functions[f](y, x);
			alone = one(functions[f], value);
			assert_memory_equal(&alone, &y[i % VL], sizeof alone);
		}
	}
}

static int run_cases(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_functions_are_within_two_ulp),
		cmocka_unit_test(test_special_values),
		cmocka_unit_test(test_nan_stays_nan),
		cmocka_unit_test(test_lanes_do_not_see_each_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

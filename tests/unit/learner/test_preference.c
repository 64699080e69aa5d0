/* The Bradley-Terry loss: golden values, its identities, and its derivative. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/preference.h"

static double loss_of(double margin)
{
	double dchosen;

	return preference_loss(margin, 0, &dchosen);
}

static void test_loss_is_the_golden_one(void **state)
{
	(void)state;
	assert_true(fabs(loss_of(0) - .693147) < 1e-6);
	assert_true(fabs(loss_of(1) - .313262) < 1e-6);
	assert_true(fabs(loss_of(-2) - 2.126928) < 1e-6);
}

static void test_swapping_the_pair_adds_the_margin(void **state)
{
	(void)state;
	for (double x = -30; x <= 30; x += 1.7)
		assert_true(fabs(loss_of(x) - loss_of(-x) + x) < 1e-12);
}

static void test_loss_ignores_a_constant_added_to_both(void **state)
{
	double a, b;

	(void)state;
	assert_true(preference_loss(1.5, .25, &a) == preference_loss(101.5, 100.25, &b));
	assert_true(a == b);
}

static void test_derivative_equals_differences(void **state)
{
	const double h = 1e-5;

	(void)state;
	for (double x = -8; x <= 8; x += .7) {
		double dchosen;

		preference_loss(x, 0, &dchosen);
		assert_true(fabs(dchosen - (loss_of(x + h) - loss_of(x - h)) / (2 * h)) < 1e-9);
	}
}

static void test_huge_margins_stay_finite(void **state)
{
	double dchosen;

	(void)state;
	assert_true(preference_loss(1e4, 0, &dchosen) == 0);
	assert_true(dchosen == 0);
	assert_true(preference_loss(-1e4, 0, &dchosen) == 1e4);
	assert_true(dchosen == -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loss_is_the_golden_one),
		cmocka_unit_test(test_swapping_the_pair_adds_the_margin),
		cmocka_unit_test(test_loss_ignores_a_constant_added_to_both),
		cmocka_unit_test(test_derivative_equals_differences),
		cmocka_unit_test(test_huge_margins_stay_finite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

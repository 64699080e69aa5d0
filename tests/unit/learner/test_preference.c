/* Losses of preferences: golden values, identities, derivatives by differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "learner/preference.h"

static double loss_of(double x)
{
	double dx;

	return preference_loss(x, &dx);
}

static void near(double found, double expected, double tolerance)
{
	if (!(fabs(found - expected) <= tolerance))
		fail_msg("found %.15g, expected %.15g", found, expected);
}

/* --- Bradley-Terry --- */

static void test_loss_is_the_golden_one(void **state)
{
	(void)state;
	near(loss_of(0), .693147, 1e-6);
	near(loss_of(1), .313262, 1e-6);
	near(loss_of(-2), 2.126928, 1e-6);
}

static void test_swapping_the_pair_adds_the_margin(void **state)
{
	(void)state;
	for (double x = -30; x <= 30; x += 1.7)
		near(loss_of(x) - loss_of(-x), -x, 1e-12);
}

static void test_derivative_equals_differences(void **state)
{
	const double step = 1e-5;

	(void)state;
	for (double x = -8; x <= 8; x += .7) {
		double dx;

		preference_loss(x, &dx);
		near(dx, (loss_of(x + step) - loss_of(x - step)) / (2 * step), 1e-9);
	}
}

static void test_huge_margins_stay_finite(void **state)
{
	double dx;

	(void)state;
	assert_true(preference_loss(1e4, &dx) == 0);
	assert_true(dx == 0);
	assert_true(preference_loss(-1e4, &dx) == 1e4);
	assert_true(dx == -1);
}

/* --- DPO --- */

static const int lengths[2] = {3, 5};

static double dpo_of(const struct dpo_loss *loss, double chosen, double rejected, double dh[2])
{
	return dpo_loss(loss, (double[2]){chosen, rejected}, lengths, dh);
}

static void test_dpo_losses_are_the_golden_ones(void **state)
{
	struct dpo_loss loss = {.type = DPO_SIGMOID, .beta = .1};
	double dh[2];

	(void)state;
	near(dpo_of(&loss, 2, .5, dh), .620957, 1e-6);
	/* With equal models ln 2, whatever the smoothing, and half of beta a side. */
	loss.label_smoothing = .2;
	near(dpo_of(&loss, .5, .5, dh), log(2), 1e-15);
	loss.label_smoothing = 0;
	dpo_of(&loss, 0, 0, dh);
	assert_true(dh[0] == -.05 && dh[1] == .05);
	loss.type = DPO_IPO;
	near(dpo_of(&loss, 2, .5, dh), 12.25, 1e-12);
	loss.ipo_length_norm = true;
	near(dpo_of(&loss, 3, 2.5, dh), (1 - .5 - 5) * (1 - .5 - 5), 1e-12);
	loss.type = DPO_HINGE;
	near(dpo_of(&loss, 2, .5, dh), .85, 1e-15);
	assert_true(dpo_of(&loss, 20, 0, dh) == 0 && dh[0] == 0);
}

static void test_smoothed_losses_average_right_and_wrong_labels(void **state)
{
	struct dpo_loss loss = {.type = DPO_SIGMOID, .beta = .5, .label_smoothing = .25};
	double dh[2], x = .5 * 1.5;

	(void)state;
	near(dpo_of(&loss, 2, .5, dh), .75 * loss_of(x) + .25 * loss_of(-x), 1e-15);
	loss.type = DPO_ROBUST;
	near(dpo_of(&loss, 2, .5, dh), (.75 * loss_of(x) - .25 * loss_of(-x)) / .5, 1e-15);
	/* Its expectation under flips with probability e is the loss without any. */
	near(.75 * dpo_of(&loss, 2, .5, dh) + .25 * dpo_of(&loss, .5, 2, dh), loss_of(x), 1e-14);
}

static void test_dpo_derivatives_equal_differences(void **state)
{
	static const struct dpo_loss losses[] = {
		{.type = DPO_SIGMOID, .beta = .1},
		{.type = DPO_SIGMOID, .beta = 2, .label_smoothing = .3},
		{.type = DPO_ROBUST, .beta = .7, .label_smoothing = .2},
		{.type = DPO_HINGE, .beta = .4},
		{.type = DPO_IPO, .beta = .3},
		{.type = DPO_IPO, .beta = .3, .ipo_length_norm = true},
	};
	const double step = 1e-6;

	(void)state;
	for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
		for (double c = -3.1; c < 4; c += 1.3) {
			double dh[2], other[2], r = .7;

			dpo_of(&losses[i], c, r, dh);
			near(dh[0],
			     (dpo_of(&losses[i], c + step, r, other) -
			      dpo_of(&losses[i], c - step, r, other)) /
				     (2 * step),
			     1e-8);
			near(dh[1],
			     (dpo_of(&losses[i], c, r + step, other) -
			      dpo_of(&losses[i], c, r - step, other)) /
				     (2 * step),
			     1e-8);
		}
	}
}

/* --- KTO --- */

static void test_kto_loss_and_its_derivative(void **state)
{
	const double step = 1e-6;
	double dh, other;

	(void)state;
	/* 1 - sigmoid(0.1 (2 - 0.5)) and 1 - sigmoid(0.1 (0.5 - 2)) */
	near(kto_loss(.1, 1, true, 2, .5, &dh), .462570154656, 1e-11);
	near(kto_loss(.1, 1, false, 2, .5, &dh), .537429845344, 1e-11);
	near(kto_loss(.1, 1.33, true, 2, 2, &dh), .665, 1e-15);
	for (int wanted = 0; wanted < 2; wanted++) {
		for (double h = -40; h < 41; h += 3.7) {
			kto_loss(.2, 1.5, wanted, h, .3, &dh);
			near(dh,
			     (kto_loss(.2, 1.5, wanted, h + step, .3, &other) -
			      kto_loss(.2, 1.5, wanted, h - step, .3, &other)) /
				     (2 * step),
			     1e-8);
		}
	}
	assert_true(kto_loss(.1, 1, true, 1e6, 0, &dh) == 0 && dh == 0);
	assert_true(kto_loss(.1, 1, false, 1e6, 0, &dh) == 1 && dh == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loss_is_the_golden_one),
		cmocka_unit_test(test_swapping_the_pair_adds_the_margin),
		cmocka_unit_test(test_derivative_equals_differences),
		cmocka_unit_test(test_huge_margins_stay_finite),
		cmocka_unit_test(test_dpo_losses_are_the_golden_ones),
		cmocka_unit_test(test_smoothed_losses_average_right_and_wrong_labels),
		cmocka_unit_test(test_dpo_derivatives_equal_differences),
		cmocka_unit_test(test_kto_loss_and_its_derivative),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* PPO's arithmetic against golden vectors computed in double precision, and its
 * identities.  Batch Q: two sequences of four and two completion tokens. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "learner/ppo_math.h"

enum { N_SEQS = 2, N = 6 };
static const int offsets[N_SEQS + 1] = {0, 4, 6};
static const float lp_old[N] = {-1, -.5f, -2, -.1f, -.7f, -1.2f};
static const float lp_ref[N] = {-1.2f, -.4f, -1.5f, -.3f, -.9f, -1};
static const float lp_new[N] = {-.9f, -.8f, -1.7f, -.1f, -.7f, -.6f};
static const float v_old[N] = {.1f, .2f, -.1f, .4f, .3f, -.2f};
static const float v_new[N] = {.5f, .25f, 0, .1f, .2f, -.9f};
static const float scores[N_SEQS] = {1.5f, -1};
static const double beta = .05;

#define CLOSE(found, expected) close_to(found, expected, 1e-6, __LINE__)
static void close_to(double found, double expected, double tolerance, int line)
{
	if (!(fabs(found - expected) <= tolerance))
		fail_msg("line %d: found %.9g, expected %.9g", line, found, expected);
}

static void compute(float *rewards, float *advantages, float *returns)
{
	ppo_rewards(rewards, lp_old, lp_ref, scores, offsets, N_SEQS, beta);
	ppo_gae(advantages, returns, rewards, v_old, offsets, N_SEQS, 1, .95);
}

static void test_rewards_advantages_and_returns_are_the_golden_ones(void **state)
{
	static const double r[N] = {-.01, .005, .025, 1.49, -.01, -.99};
	static const double a[N] = {1.218101, 1.187475, 1.5605, 1.09, -1.2605, -.79};
	static const double ret[N] = {1.318101, 1.387475, 1.4605, 1.49, -.9605, -.99};
	float rewards[N], advantages[N], returns[N];

	(void)state;
	compute(rewards, advantages, returns);
	for (int t = 0; t < N; t++) {
		CLOSE(rewards[t], r[t]);
		CLOSE(advantages[t], a[t]);
		CLOSE(returns[t], ret[t]);
	}
}

static void test_rewards_sum_to_the_score_less_the_penalty(void **state)
{
	float rewards[N];

	(void)state;
	ppo_rewards(rewards, lp_old, lp_ref, scores, offsets, N_SEQS, beta);
	for (int i = 0; i < N_SEQS; i++) {
		double sum = 0, kl = 0;

		for (int t = offsets[i]; t < offsets[i + 1]; t++) {
			sum += rewards[t];
			kl += (double)lp_old[t] - lp_ref[t];
		}
		CLOSE(sum, scores[i] - beta * kl);
	}
}

static void test_without_penalty_only_the_last_reward_is_not_zero(void **state)
{
	float rewards[N];

	(void)state;
	ppo_rewards(rewards, lp_old, lp_ref, scores, offsets, N_SEQS, 0);
	for (int t = 0; t < N; t++)
		CLOSE(rewards[t], t == 3 ? 1.5 : t == 5 ? -1 : 0);
}

static void test_gae_with_lambda_one_is_reward_to_go(void **state)
{
	float rewards[N], advantages[N], returns[N];
	double sum = 0;

	(void)state;
	ppo_rewards(rewards, lp_old, lp_ref, scores, offsets, N_SEQS, beta);
	ppo_gae(advantages, returns, rewards, v_old, offsets, N_SEQS, 1, 1);
	for (int t = 3; t >= 0; t--) {
		sum += rewards[t];
		CLOSE(returns[t], sum);
		CLOSE(advantages[t], sum - v_old[t]);
	}
}

static void test_gae_with_lambda_zero_is_the_td_error(void **state)
{
	float rewards[N], advantages[N], returns[N];

	(void)state;
	ppo_rewards(rewards, lp_old, lp_ref, scores, offsets, N_SEQS, beta);
	ppo_gae(advantages, returns, rewards, v_old, offsets, N_SEQS, .9, 0);
	for (int t = 0; t < N; t++) {
		double next = t == 3 || t == 5 ? 0 : v_old[t + 1];

		CLOSE(advantages[t], rewards[t] + .9 * next - v_old[t]);
	}
}

static void test_whitened_advantages_are_the_golden_ones(void **state)
{
	static const double white[N] = {.653574, .625664, .965609, .536833, -1.605228, -1.176451};
	float rewards[N], advantages[N], returns[N];
	double mean = 0, variance = 0;

	(void)state;
	compute(rewards, advantages, returns);
	ppo_whiten(advantages, N, 1);
	for (int t = 0; t < N; t++) {
		CLOSE(advantages[t], white[t]);
		mean += advantages[t] / N;
		variance += (double)advantages[t] * advantages[t] / N;
	}
	CLOSE(mean, 0);
	CLOSE(variance, 1);
}

static void test_whitened_rewards_keep_their_mean(void **state)
{
	static const double white[N] = {-.045952, -.025276, .002293, 2.021719, -.045952, -1.396831};
	float rewards[N], advantages[N], returns[N];

	(void)state;
	compute(rewards, advantages, returns);
	ppo_whiten(rewards, N, 0);
	for (int t = 0; t < N; t++)
		CLOSE(rewards[t], white[t]);
}

static void test_whitening_leaves_one_number_alone(void **state)
{
	float x = 3;

	(void)state;
	ppo_whiten(&x, 1, 1);
	CLOSE(x, 3);
}

static void test_policy_loss_is_the_golden_one(void **state)
{
	static const double expected[N] = {-.722311, -.463503, -1.158731,
					   -.536833, 1.605228, 2.143634};
	float rewards[N], advantages[N], returns[N];
	double loss = 0, kl = 0, ratio = 0;
	int clipped = 0;

	(void)state;
	compute(rewards, advantages, returns);
	ppo_whiten(advantages, N, 1);
	for (int t = 0; t < N; t++) {
		struct ppo_token token =
			ppo_policy_loss(lp_new[t], lp_old[t], advantages[t], .2, .2);

		CLOSE(token.loss, expected[t]);
		loss += token.loss / N;
		kl += token.approxkl / N;
		ratio += token.ratio / N;
		clipped += token.clipped;
	}
	CLOSE(loss, .144581);
	CLOSE(kl, .045833);
	CLOSE(ratio, 1.169661);
	assert_int_equal(clipped, 1);
}

static void test_policy_derivative_equals_differences(void **state)
{
	static const double differences[] = {-.5, -.15, .1, .17, .4};
	const double h = 1e-5;

	(void)state;
	for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
		for (double a = -1.5; a < 2; a += 3) {
			double d = differences[i];
			double up = ppo_policy_loss(d + h, 0, a, .2, .2).loss;
			double down = ppo_policy_loss(d - h, 0, a, .2, .2).loss;

			close_to(ppo_policy_loss(d, 0, a, .2, .2).dlogprob, (up - down) / (2 * h),
				 1e-8, __LINE__);
		}
	}
}

static void test_policy_gradient_vanishes_exactly_where_it_is_clipped(void **state)
{
	static const struct {
		double a, ratio;
		int zero;
	} cases[] = {
		{1, 1.25, 1}, {1, 1.15, 0}, {1, .5, 0}, {-1, .75, 1}, {-1, .85, 0}, {-1, 2, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ppo_token token =
			ppo_policy_loss(log(cases[i].ratio), 0, cases[i].a, .2, .2);

		assert_int_equal(token.dlogprob == 0, cases[i].zero);
		assert_int_equal(token.clipped, cases[i].zero);
		/* The surrogate never exceeds the unclipped one. */
		assert_true(token.loss >= -cases[i].a * token.ratio - 1e-15);
	}
}

static void test_first_inner_step_has_ratio_exactly_one(void **state)
{
	(void)state;
	for (int t = 0; t < N; t++) {
		struct ppo_token token = ppo_policy_loss(lp_old[t], lp_old[t], 2.5, .2, .2);

		assert_true(token.ratio == 1 && token.approxkl == 0 && !token.clipped);
		assert_true(token.loss == -2.5 && token.dlogprob == -2.5);
	}
}

static void test_value_loss_is_the_golden_one(void **state)
{
	float rewards[N], advantages[N], returns[N];
	double loss = 0, dvalue;
	int n_clipped = 0, clipped;

	(void)state;
	compute(rewards, advantages, returns);
	for (int t = 0; t < N; t++) {
		loss += ppo_value_loss(v_new[t], v_old[t], returns[t], .2, &dvalue, &clipped) / N;
		n_clipped += clipped;
	}
	CLOSE(loss, .674200);
	assert_int_equal(n_clipped, 2);
}

static void test_value_derivative_equals_differences(void **state)
{
	const double h = 1e-5;
	double dvalue, ignored;
	int clipped;

	(void)state;
	for (double v = -1.03; v < 1.5; v += .1) {
		double up = ppo_value_loss(v + h, .25, .6, .2, &ignored, &clipped);
		double down = ppo_value_loss(v - h, .25, .6, .2, &ignored, &clipped);

		ppo_value_loss(v, .25, .6, .2, &dvalue, &clipped);
		close_to(dvalue, (up - down) / (2 * h), 1e-8, __LINE__);
	}
}

static void test_value_loss_without_clipping_is_half_the_square(void **state)
{
	double dvalue;
	int clipped;

	(void)state;
	CLOSE(ppo_value_loss(2, -5, 1, 0, &dvalue, &clipped), .5);
	CLOSE(dvalue, 1);
	assert_int_equal(clipped, 0);
}

static void test_kl_controller_moves_as_the_golden_one(void **state)
{
	(void)state;
	CLOSE(ppo_adapt_kl(.15, 0, 6, 1e4, 512), .148464);
	CLOSE(ppo_adapt_kl(.15, 6, 6, 1e4, 512), .15);
	CLOSE(ppo_adapt_kl(.15, 9, 6, 1e4, 512), .151536);
	CLOSE(ppo_adapt_kl(.15, 12, 6, 1e4, 512), .151536);
	CLOSE(ppo_adapt_kl(.15, NAN, 6, 1e4, 512), .15);
	CLOSE(ppo_adapt_kl(.15, INFINITY, 6, 1e4, 512), .15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rewards_advantages_and_returns_are_the_golden_ones),
		cmocka_unit_test(test_rewards_sum_to_the_score_less_the_penalty),
		cmocka_unit_test(test_without_penalty_only_the_last_reward_is_not_zero),
		cmocka_unit_test(test_gae_with_lambda_one_is_reward_to_go),
		cmocka_unit_test(test_gae_with_lambda_zero_is_the_td_error),
		cmocka_unit_test(test_whitened_advantages_are_the_golden_ones),
		cmocka_unit_test(test_whitened_rewards_keep_their_mean),
		cmocka_unit_test(test_whitening_leaves_one_number_alone),
		cmocka_unit_test(test_policy_loss_is_the_golden_one),
		cmocka_unit_test(test_policy_derivative_equals_differences),
		cmocka_unit_test(test_policy_gradient_vanishes_exactly_where_it_is_clipped),
		cmocka_unit_test(test_first_inner_step_has_ratio_exactly_one),
		cmocka_unit_test(test_value_loss_is_the_golden_one),
		cmocka_unit_test(test_value_derivative_equals_differences),
		cmocka_unit_test(test_value_loss_without_clipping_is_half_the_square),
		cmocka_unit_test(test_kl_controller_moves_as_the_golden_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Log-softmax against double, finite differences, and byte equality. */
#include "common/ops/softmax.h"

#include "tests/unit/common/ops/elements.h"

/* log sum exp of z / T in double, and the entropy */
static double reference_lse(const float *z, int v, double inv_t, double *entropy)
{
	double max = -INFINITY, sum = 0, mean = 0;
	for (int i = 0; i < v; i++)
		max = fmax(max, (double)z[i] * inv_t);
	for (int i = 0; i < v; i++) {
		double u = (double)z[i] * inv_t, weight = exp(u - max);
		sum += weight;
		mean += weight > 0 ? weight * u : 0;
	}
	*entropy = max + log(sum) - mean / sum;
	return max + log(sum);
}

static void check_forward(int v, float inv_t, double spread)
{
	float *z = random_floats((size_t)v, (uint32_t)v, spread);
	float logprob, entropy, lse;
	double expected_entropy, expected = reference_lse(z, v, (double)inv_t, &expected_entropy);
	for (int k = 0; k < 5; k++) {
		int32_t target = (int32_t)((int64_t)k * (v - 1) / 4);
		softmax_logprob(&logprob, &entropy, &lse, z, &target, 1, v, inv_t, NULL);
		assert_near(logprob, (double)z[target] * (double)inv_t - expected, 3e-7);
		assert_near(lse, expected, 3e-7);
		assert_near(entropy, expected_entropy, 1e-6);
		float alone;
		softmax_logprob(&alone, NULL, NULL, z, &target, 1, v, inv_t, NULL);
		assert_memory_equal(&alone, &logprob, sizeof alone);
	}
	free(z);
}

static void forward_sizes(void)
{
	const int sizes[] = {1, 2, 15, 16, 17, 100, 2047, 2048, 2049, 50257};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		check_forward(sizes[i], 1, 3);
		check_forward(sizes[i], 1 / 0.7f, 10);
	}
	check_forward(152064, 1, 0.01);
}
static void test_logprob_and_entropy_agree_with_double(void **state)
{
	(void)state;
	at_each_level(forward_sizes);
}

static void one_choice(void)
{
	float z = -7.5f, logprob, entropy, lse;
	int32_t target = 0;
	softmax_logprob(&logprob, &entropy, &lse, &z, &target, 1, 1, 1, NULL);
	assert_true(logprob == 0);
	assert_true(entropy == 0);
	assert_true(lse == -7.5f);
}
static void test_one_choice_is_certain(void **state)
{
	(void)state;
	at_each_level(one_choice);
}

static void minus_infinity(void)
{
	const float z[4] = {-INFINITY, 1, -INFINITY, 1};
	const int32_t targets[1] = {3};
	float logprob, entropy;
	softmax_logprob(&logprob, &entropy, NULL, z, targets, 1, 4, 1, NULL);
	assert_near(logprob, -log(2), 1e-7);
	assert_near(entropy, log(2), 1e-7);
}
static void test_logits_of_minus_infinity_have_no_weight(void **state)
{
	(void)state;
	at_each_level(minus_infinity);
}

static void largest(void)
{
	/* Of a tie the first counts, so that not every target of a row of equals is on top; the
	 * last element of a row counts as any other. */
	const float z[3 * 17] = {[3] = 2, [9] = 2, [17 + 16] = 1, [34 + 2] = -1};
	const int32_t targets[3] = {3, 16, 2};
	uint8_t is_top[3];

	softmax_is_top(is_top, z, targets, 3, 17, NULL);
	assert_int_equal(is_top[0], 1);
	assert_int_equal(is_top[1], 1);
	assert_int_equal(is_top[2], 0);
	softmax_is_top(is_top, z, (const int32_t[]){9, 15, 0}, 3, 17, NULL);
	assert_int_equal(is_top[0], 0);
	assert_int_equal(is_top[1], 0);
	assert_int_equal(is_top[2], 1);
}
static void test_target_is_on_top_where_it_is_the_argmax(void **state)
{
	(void)state;
	at_each_level(largest);
}

static void check_backward(int v, float inv_t)
{
	float *z = random_floats((size_t)v, 8, 2), *dz = copy_floats(z, (size_t)v);
	int32_t target = v / 3;
	float logprob, lse, dlogprob = 1.7f;
	double entropy, total = 0;
	softmax_logprob(&logprob, NULL, &lse, z, &target, 1, v, inv_t, NULL);
	softmax_logprob_backward(dz, &dlogprob, &lse, &target, 1, v, inv_t, NULL);
	for (int i = 0; i < v; i++) {
		float middle = z[i], up = middle + 1e-3f, down = middle - 1e-3f;
		z[i] = up;
		double high = (double)z[target] * (double)inv_t -
			      reference_lse(z, v, (double)inv_t, &entropy);
		z[i] = down;
		double low = (double)z[target] * (double)inv_t -
			     reference_lse(z, v, (double)inv_t, &entropy);
		z[i] = middle;
		assert_near(dz[i], (double)dlogprob * (high - low) / ((double)up - (double)down),
			    2e-6);
		total += (double)dz[i];
	}
	assert_near(total, 0, 5e-6);
	free(z);
	free(dz);
}

static void backward_sizes(void)
{
	check_backward(1, 1);
	check_backward(7, 1);
	check_backward(100, 1 / 0.7f);
	check_backward(259, 0.5f);
}
static void test_backward_agrees_with_differences(void **state)
{
	(void)state;
	at_each_level(backward_sizes);
}

static void test_rows_and_threads_do_not_matter(void **state)
{
	(void)state;
	enum { ROWS = 37, V = 3001, N = ROWS * V };
	float *z = random_floats(N, 3, 4), *dz = copy_floats(z, N), *dz2 = copy_floats(z, N);
	float out[3 * ROWS], one[3], dlogprob[ROWS];
	int32_t targets[ROWS];
	for (int r = 0; r < ROWS; r++) {
		targets[r] = r * 71;
		dlogprob[r] = (float)r - 7;
	}
	struct pool *pool = pool_create(2);
	softmax_logprob(out, out + ROWS, out + 2 * ROWS, z, targets, ROWS, V, 1.25f, pool);
	softmax_logprob_backward(dz, dlogprob, out + 2 * ROWS, targets, ROWS, V, 1.25f, pool);
	for (int r = 0; r < ROWS; r++) {
		softmax_logprob(one, one + 1, one + 2, z + r * V, targets + r, 1, V, 1.25f, NULL);
		for (int k = 0; k < 3; k++)
			assert_memory_equal(one + k, out + k * ROWS + r, sizeof *one);
		softmax_logprob_backward(dz2 + r * V, dlogprob + r, one + 2, targets + r, 1, V,
					 1.25f, NULL);
	}
	assert_memory_equal(dz, dz2, N * sizeof *dz);
	pool_destroy(pool);
	free(z);
	free(dz);
	free(dz2);
}

static void test_fused_levels_agree_in_every_bit(void **state)
{
	(void)state;
	enum { V = 5003 };
	if (isa_best() < ISA_AVX512)
		skip();
	float *z = random_floats(V, 3, 4), out[2][3], dlogprob = 1.5f;
	float *dz[2] = {copy_floats(z, V), copy_floats(z, V)};
	const int32_t target = 70;
	for (int k = 0; k < 2; k++) {
		isa_select(k ? ISA_AVX512 : ISA_AVX2);
		softmax_logprob(out[k], out[k] + 1, out[k] + 2, z, &target, 1, V, 1.25f, NULL);
		softmax_logprob_backward(dz[k], &dlogprob, out[k] + 2, &target, 1, V, 1.25f, NULL);
	}
	assert_memory_equal(out[0], out[1], sizeof out[0]);
	assert_memory_equal(dz[0], dz[1], V * sizeof *z);
	free(z);
	free(dz[0]);
	free(dz[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logprob_and_entropy_agree_with_double),
		cmocka_unit_test(test_one_choice_is_certain),
		cmocka_unit_test(test_logits_of_minus_infinity_have_no_weight),
		cmocka_unit_test(test_target_is_on_top_where_it_is_the_argmax),
		cmocka_unit_test(test_backward_agrees_with_differences),
		cmocka_unit_test(test_rows_and_threads_do_not_matter),
		cmocka_unit_test(test_fused_levels_agree_in_every_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

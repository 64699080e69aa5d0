/* rng: the known answers of Philox, and what its numbers must be like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"

static void test_philox_gives_the_known_answers(void **state)
{
	(void)state;
	/* The known-answer file of the authors' Random123 library: zeros, ones, pi. */
	static const uint32_t cases[3][10] = {
		{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
		{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
		 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
		{0xa4093822, 0x299f31d0, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xd16cfe09,
		 0x94fdcceb, 0x5001e420, 0x24126ea1},
	};
	for (int i = 0; i < 3; i++) {
		uint32_t out[4];
		rng_philox(cases[i], cases[i] + 2, out);
		assert_memory_equal(out, cases[i] + 6, sizeof out);
	}
}

static void test_numbers_differ_by_seed_stream_and_each_key_word(void **state)
{
	(void)state;
	double seen[7] = {
		rng_uniform(1, RNG_SAMPLE, 1, 2, 3, 4), rng_uniform(2, RNG_SAMPLE, 1, 2, 3, 4),
		rng_uniform(1, RNG_INIT, 1, 2, 3, 4),	rng_uniform(1, RNG_SAMPLE, 0, 2, 3, 4),
		rng_uniform(1, RNG_SAMPLE, 1, 0, 3, 4), rng_uniform(1, RNG_SAMPLE, 1, 2, 0, 4),
		rng_uniform(1, RNG_SAMPLE, 1, 2, 3, 0),
	};
	for (int i = 0; i < 7; i++)
		for (int k = 0; k < i; k++)
			assert_true(seen[i] != seen[k]);
	assert_true(seen[0] == rng_uniform(1, RNG_SAMPLE, 1, 2, 3, 4));
}

static void test_moments_are_those_of_the_distributions(void **state)
{
	(void)state;
	enum { N = 40000 };
	double uniform = 0, square = 0, normal = 0, variance = 0, kurtosis = 0;
	for (uint32_t i = 0; i < N; i++) {
		double u = rng_uniform(7, RNG_DATA, i, 0, 0, 0);
		double z = rng_normal(7, RNG_INIT, i, 0, 0, 0);
		assert_true(u >= 0 && u < 1);
		uniform += u / N;
		square += u * u / N;
		normal += z / N;
		variance += z * z / N;
		kurtosis += z * z * z * z / N;
	}
	/* Five standard errors: sqrt(1/12), 0.298, 1, sqrt(2), sqrt(96), over sqrt(N). */
	assert_true(fabs(uniform - 0.5) < 5 * 0.2887 / 200);
	assert_true(fabs(square - 1.0 / 3) < 5 * 0.298 / 200);
	assert_true(fabs(normal) < 5.0 / 200);
	assert_true(fabs(variance - 1) < 5 * 1.4142 / 200);
	assert_true(fabs(kurtosis - 3) < 5 * 9.798 / 200);
}

static void test_permute_is_a_bijection_for_every_n(void **state)
{
	(void)state;
	bool *seen = malloc(5001);
	for (uint64_t n = 1; n <= 5000; n = n < 40 ? n + 1 : n * 3 / 2 + 1) {
		memset(seen, 0, n);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t place = rng_permute(3, RNG_SHUFFLE, 1, 2, i, n);
			assert_true(place < n && !seen[place]);
			seen[place] = true;
		}
	}
	free(seen);
	uint64_t n = UINT64_MAX;
	assert_true(rng_permute(3, RNG_SHUFFLE, 1, 2, n - 1, n) < n);
}

static void test_permute_is_near_uniform_over_all_orders_of_three(void **state)
{
	(void)state;
	int counts[27] = {0};
	enum { N = 6000 };
	for (uint32_t key = 0; key < N; key++) {
		uint64_t code = 0;
		for (uint64_t i = 0; i < 3; i++)
			code = code * 3 + rng_permute(9, RNG_SHUFFLE, key, 0, i, 3);
		counts[code]++;
	}
	/* Six orders, 1000 expected each, standard deviation 29. */
	static const int orders[6] = {5, 7, 11, 15, 19, 21};
	for (int i = 0; i < 6; i++)
		assert_in_range(counts[orders[i]], 855, 1145);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_philox_gives_the_known_answers),
		cmocka_unit_test(test_numbers_differ_by_seed_stream_and_each_key_word),
		cmocka_unit_test(test_moments_are_those_of_the_distributions),
		cmocka_unit_test(test_permute_is_a_bijection_for_every_n),
		cmocka_unit_test(test_permute_is_near_uniform_over_all_orders_of_three),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Matrix products against one chain of additions for each element, byte by
 * byte, at every ISA level of this CPU and with one and two threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/ops/gemm.h"
#include "common/ops/isa.h"

enum { POOLS = 2 };
static struct pool *pools[POOLS]; /* one thread and two */

static float *new_random(size_t n, uint32_t seed)
{
	float *x = xaligned(n, sizeof *x);
	uint32_t s = seed * 2654435761u + 1;
	for (size_t i = 0; i < n; i++) {
		s ^= s << 13;
		s ^= s >> 17;
		s ^= s << 5;
		x[i] = (float)(int32_t)s * 0x1p-31f;
	}
	return x;
}

static float *new_copy(const float *x, size_t n)
{
	return memcpy(xaligned(n, sizeof *x), x, n * sizeof *x);
}

static float *new_packed(const float *w, int n, int k)
{
	float *panels = xaligned(gemm_packed_floats(n, k), sizeof *panels);
	gemm_pack(panels, w, n, k, NULL);
	return panels;
}

/* The portable level rounds the product too. */
static float chain_step(float a, float b, float sum)
{
	return isa_current() == ISA_PORTABLE ? a * b + sum : fmaf(a, b, sum);
}

/* sum + sum over i < n of a[i * a_step] * b[i * b_step] */
static float chain(float sum, const float *a, size_t a_step, const float *b, size_t b_step, int n)
{
	for (int i = 0; i < n; i++)
		sum = chain_step(a[i * a_step], b[i * b_step], sum);
	return sum;
}

static void expect_forward_is_the_chain(int m, int n, int k)
{
	float *x = new_random((size_t)m * k, 1), *w = new_random((size_t)n * k, 2);
	float *bias = new_random(n, 3), *y = xaligned((size_t)m * n, sizeof *y);
	float *panels = new_packed(w, n, k);
	for (int with_bias = 0; with_bias < 2; with_bias++) {
		memset(y, 0xff, (size_t)m * n * sizeof *y);
		gemm_forward(y, x, panels, with_bias ? bias : NULL, m, n, k, pools[1]);
		for (int i = 0; i < m; i++) {
			for (int j = 0; j < n; j++) {
				float sum = chain(0, x + (size_t)i * k, 1, w + (size_t)j * k, 1, k);
				float expected = with_bias ? sum + bias[j] : sum;
				assert_memory_equal(&y[(size_t)i * n + j], &expected, sizeof sum);
			}
		}
	}
	free(x);
	free(w);
	free(bias);
	free(y);
	free(panels);
}

static void test_forward_is_one_chain_for_each_element(void **state)
{
	/* m, n, k: single elements, panel and block edges, every tile height,
	 * more than one task of rows and block of depth. */
	static const int shapes[][3] = {
		{1, 1, 1},	{1, 5, 3},	{2, 16, 4},    {3, 17, 129},  {4, 48, 128},
		{5, 47, 130},	{6, 49, 7},	{7, 96, 131},  {8, 100, 300}, {9, 1, 257},
		{13, 33, 64},	{25, 31, 2},	{26, 50, 700}, {64, 172, 64}, {193, 40, 257},
		{29, 20, 2100}, {2100, 19, 41}, {11, 117, 66}, {15, 80, 515}, {20, 136, 100},
	};
	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		expect_forward_is_the_chain(shapes[i][0], shapes[i][1], shapes[i][2]);
}

/* Columns [2, 2 + n) of rows of n + 5. */
static void expect_addition_goes_on_from_what_is_there(int m, int n, int k)
{
	int stride = n + 5;
	float *x = new_random((size_t)m * k, 1), *w = new_random((size_t)n * k, 2);
	float *panels = new_packed(w, n, k), *before = new_random((size_t)m * stride, 3);
	for (int p = 0; p < POOLS; p++) {
		float *y = new_copy(before, (size_t)m * stride);
		gemm_forward_add(y + 2, stride, x, panels, m, n, k, pools[p]);
		for (int i = 0; i < m; i++) {
			for (int j = 0; j < stride; j++) {
				float expected = before[(size_t)i * stride + j];
				if (j >= 2 && j < 2 + n)
					expected = chain(expected, x + (size_t)i * k, 1,
							 w + (size_t)(j - 2) * k, 1, k);
				assert_memory_equal(&y[(size_t)i * stride + j], &expected,
						    sizeof expected);
			}
		}
		free(y);
	}
	free(x);
	free(w);
	free(panels);
	free(before);
}

static void test_forward_adds_to_columns_of_a_wider_matrix(void **state)
{
	static const int shapes[][3] = {
		{1, 1, 1}, {1, 48, 8}, {3, 17, 129}, {9, 100, 4}, {64, 172, 16}, {193, 40, 257},
	};
	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		expect_addition_goes_on_from_what_is_there(shapes[i][0], shapes[i][1],
							   shapes[i][2]);
}

static void test_rows_have_the_same_bits_in_every_batch(void **state)
{
	static const int batches[] = {1, 2, 3, 7, 8, 64, 1000};
	enum { M = 1000, N = 205, K = 515 };
	float *x = new_random(M * K, 1), *w = new_random(N * K, 2), *bias = new_random(N, 3);
	float *panels = new_packed(w, N, K);
	float *all = xaligned(M * N, sizeof *all), *y = xaligned(M * N, sizeof *y);
	(void)state;
	gemm_forward(all, x, panels, bias, M, N, K, NULL);
	for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
		const int m = batches[b];
		for (int i = 0; i < 3 * POOLS; i++) {
			int first = (M - m) * (i % 3) / 2; /* at the start, middle and end */
			memset(y, 0xff, (size_t)m * N * sizeof *y);
			gemm_forward(y, x + (size_t)first * K, panels, bias, m, N, K, pools[i / 3]);
			assert_memory_equal(y, all + (size_t)first * N, (size_t)m * N * sizeof *y);
		}
	}
	free(x);
	free(w);
	free(bias);
	free(panels);
	free(all);
	free(y);
}

static void expect_flat_equals_packed(int m, int n, int k)
{
	float *x = new_random((size_t)m * k, 1), *w = new_random((size_t)n * k, 2);
	float *bias = new_random(n, 3), *panels = new_packed(w, n, k);
	float *packed = xaligned((size_t)m * n, sizeof *packed);
	float *flat = xaligned((size_t)m * n, sizeof *flat);
	for (int i = 0; i < 2 * POOLS; i++) {
		const float *b = i % 2 ? bias : NULL;
		memset(flat, 0xff, (size_t)m * n * sizeof *flat);
		gemm_forward(packed, x, panels, b, m, n, k, pools[0]);
		gemm_forward_flat(flat, x, w, b, m, n, k, pools[i / 2]);
		assert_memory_equal(flat, packed, (size_t)m * n * sizeof *flat);
	}
	free(x);
	free(w);
	free(bias);
	free(panels);
	free(packed);
	free(flat);
}

static void test_flat_weights_give_the_bits_of_packed_ones(void **state)
{
	/* m, n, k: every number of rows that is promised; edges of tiles and panels; more
	 * than one block of depth, more than one stage of it, several tasks of both. */
	static const int shapes[][3] = {
		{1, 1, 1},	{1, 100, 131},	  {2, 5, 3},	   {3, 17, 129},    {7, 49, 65},
		{8, 8, 16},	{8, 205, 77},	  {47, 9, 33},	   {48, 16, 100},   {49, 30, 2},
		{64, 172, 515}, {65, 1000, 64},	  {3, 11, 1537},   {100, 50, 3100}, {1000, 61, 75},
		{1000, 1, 300}, {1000, 13, 2200}, {256, 333, 131},
	};
	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		expect_flat_equals_packed(shapes[i][0], shapes[i][1], shapes[i][2]);
}

static void test_forward_without_depth_is_the_bias(void **state)
{
	const float bias[3] = {1, -2, 3};
	float y[6], unused = 0;
	(void)state;
	assert_int_equal(gemm_packed_floats(3, 0), 0);
	gemm_forward(y, &unused, &unused, bias, 2, 3, 0, NULL);
	for (int i = 0; i < 6; i++)
		assert_true(y[i] == bias[i % 3]);
	gemm_forward(NULL, NULL, &unused, NULL, 0, 3, 0, NULL);
	memset(y, 0, sizeof y);
	gemm_forward_flat(y, &unused, &unused, bias, 2, 3, 0, NULL);
	for (int i = 0; i < 6; i++)
		assert_true(y[i] == bias[i % 3]);
	gemm_forward_flat(NULL, NULL, &unused, NULL, 0, 3, 0, NULL);
}

static void test_unpack_gives_back_the_rows_that_were_packed(void **state)
{
	enum { N = 101, K = 67 };
	float *w = new_random(N * K, 4), *panels = new_packed(w, N, K), row[K];
	(void)state;
	for (int n = 0; n < N; n++) {
		gemm_unpack_row(row, panels, N, K, n);
		assert_memory_equal(row, w + (size_t)n * K, sizeof row);
	}
	free(w);
	free(panels);
}

static void test_packing_with_threads_gives_the_same_panels(void **state)
{
	enum { N = 1003, K = 131 };
	float *w = new_random(N * K, 4), *panels = new_packed(w, N, K);
	const size_t floats = gemm_packed_floats(N, K);
	float *other = new_random(floats, 5);
	(void)state;
	gemm_pack(other, w, N, K, pools[1]);
	assert_memory_equal(other, panels, floats * sizeof *panels);
	free(w);
	free(panels);
	free(other);
}

/* ---- bfloat16 weights ---- */

/* The bfloat16 nearest to x, to the even one of two: among it and its neighbours. */
static float nearest_bf16(float x)
{
	uint32_t bits, up, down;
	float below, above;

	memcpy(&bits, &x, sizeof bits);
	down = bits & 0xffff0000u;
	up = down + 0x10000u;
	memcpy(&below, &down, sizeof below);
	memcpy(&above, &up, sizeof above);
	if (below == x)
		return x;
	if (fabs((double)x - below) == fabs((double)above - x))
		return down & 0x10000u ? above : below;
	return fabs((double)x - below) < fabs((double)above - x) ? below : above;
}

static uint16_t *new_packed_bf16(const float *w, int n, int k, struct pool *pool)
{
	uint16_t *panels = xaligned(gemm_packed_floats(n, k), sizeof *panels);
	gemm_pack_bf16(panels, w, n, k, pool);
	return panels;
}

static void test_bf16_panels_hold_the_nearest_numbers(void **state)
{
	enum { N = 101, K = 67 };
	float *w = new_random(N * K, 4), row[K];
	uint16_t *panels[POOLS];

	(void)state;
	w[0] = 1 + 0x1p-8f;   /* halfway, down to an even one */
	w[1] = 1 + 0x3p-8f;   /* halfway, up to one */
	w[2] = 1 + 0x1.2p-8f; /* more than halfway */
	w[3] = -0.0f;
	w[4] = 0x1p-130f; /* subnormal */
	for (int p = 0; p < POOLS; p++)
		panels[p] = new_packed_bf16(w, N, K, pools[p]);
	assert_memory_equal(panels[0], panels[1], gemm_packed_floats(N, K) * sizeof **panels);
	for (int n = 0; n < N; n++) {
		gemm_unpack_row_bf16(row, panels[0], N, K, n);
		for (int k = 0; k < K; k++) {
			float expected = nearest_bf16(w[n * K + k]);
			assert_memory_equal(&row[k], &expected, sizeof expected);
		}
	}
	gemm_unpack_row_bf16(row, panels[0], N, K, 0);
	assert_true(row[0] == 1 && row[1] == 1 + 0x1p-6f && row[2] == 1 + 0x1p-7f);
	w[0] = NAN;
	w[1] = INFINITY;
	w[2] = 0x1.fffffep127f; /* nearer to the next power, which there is not */
	gemm_pack_bf16(panels[0], w, N, K, NULL);
	gemm_unpack_row_bf16(row, panels[0], N, K, 0);
	assert_true(isnan(row[0]) && isinf(row[1]) && isinf(row[2]));
	for (int p = 0; p < POOLS; p++)
		free(panels[p]);
	free(w);
}

static void expect_bf16_equals_rounded(int m, int n, int k)
{
	float *x = new_random((size_t)m * k, 1), *w = new_random((size_t)n * k, 2);
	float *bias = new_random(n, 3), *panels;
	uint16_t *bf16 = new_packed_bf16(w, n, k, NULL);
	float *expected = xaligned((size_t)m * n, sizeof *expected);
	float *y = xaligned((size_t)m * n, sizeof *y);

	for (size_t i = 0; i < (size_t)n * k; i++)
		w[i] = nearest_bf16(w[i]);
	panels = new_packed(w, n, k);
	for (int i = 0; i < 2 * POOLS; i++) {
		const float *b = i % 2 ? bias : NULL;
		memset(y, 0xff, (size_t)m * n * sizeof *y);
		gemm_forward(expected, x, panels, b, m, n, k, NULL);
		gemm_forward_bf16(y, x, bf16, b, m, n, k, pools[i / 2]);
		assert_memory_equal(y, expected, (size_t)m * n * sizeof *y);
	}
	free(x);
	free(w);
	free(bias);
	free(panels);
	free(bf16);
	free(expected);
	free(y);
}

static void test_bf16_weights_give_the_bits_of_rounded_ones(void **state)
{
	/* m, n, k: one tile of rows and more, full panels and the last one alone, more than
	 * one block of depth and task of rows. */
	static const int shapes[][3] = {
		{1, 1, 1},	{1, 48, 128},	{2, 96, 64},   {3, 205, 131},  {4, 100, 300},
		{5, 97, 77},	{7, 149, 33},	{8, 192, 515}, {9, 48, 65},    {13, 96, 2},
		{17, 101, 131}, {64, 172, 515}, {25, 50, 700}, {29, 60, 4100}, {3, 50, 2100},
		{1000, 61, 75}, {7, 48, 0},	{11, 117, 66}, {15, 80, 515},  {20, 136, 100},
	};

	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		expect_bf16_equals_rounded(shapes[i][0], shapes[i][1], shapes[i][2]);
}

/* OpenBLAS has an order of its own: there the bound is n + 1 roundings of terms
 * below 1. */
static void expect_backward(float got, float expected, int n_terms)
{
	if (isa_current() == ISA_PORTABLE)
		assert_true(fabsf(got - expected) <= (float)(n_terms + 1) * n_terms * 0x1p-24f);
	else
		assert_memory_equal(&got, &expected, sizeof got);
}

static void expect_backward_input_is_the_chain(int m, int n, int k, bool accumulate)
{
	float *dy = new_random((size_t)m * n, 1), *w = new_random((size_t)n * k, 2);
	float *old = new_random((size_t)m * k, 3);
	float *dx[POOLS];
	for (int p = 0; p < POOLS; p++) {
		dx[p] = new_copy(old, (size_t)m * k);
		gemm_backward_input(dx[p], dy, w, m, n, k, accumulate, pools[p]);
	}
	assert_memory_equal(dx[0], dx[1], (size_t)m * k * sizeof **dx);
	for (int i = 0; i < m; i++) {
		for (int j = 0; j < k; j++) {
			float start = accumulate ? old[(size_t)i * k + j] : 0;
			expect_backward(dx[0][(size_t)i * k + j],
					chain(start, dy + (size_t)i * n, 1, w + j, k, n), n);
		}
	}
	free(dy);
	free(w);
	free(old);
	for (int p = 0; p < POOLS; p++)
		free(dx[p]);
}

static void expect_backward_weight_is_the_chain(int m, int n, int k)
{
	float *dy = new_random((size_t)m * n, 1), *x = new_random((size_t)m * k, 2);
	float *old = new_random((size_t)n * k, 3);
	float *dw[POOLS];
	for (int p = 0; p < POOLS; p++) {
		dw[p] = new_copy(old, (size_t)n * k);
		gemm_backward_weight(dw[p], dy, x, m, n, k, pools[p]);
	}
	assert_memory_equal(dw[0], dw[1], (size_t)n * k * sizeof **dw);
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < k; j++)
			expect_backward(dw[0][(size_t)i * k + j],
					chain(old[(size_t)i * k + j], dy + i, n, x + j, k, m), m);
	}
	free(dy);
	free(x);
	free(old);
	for (int p = 0; p < POOLS; p++)
		free(dw[p]);
}

/* The last three are deeper than a block, or than what is copied at a time. */
static const int backward_shapes[][3] = {
	{1, 1, 1},	{2, 5, 3},	 {7, 49, 17},	  {64, 172, 64},
	{65, 64, 300},	{300, 130, 51},	 {3, 2100, 11},	  {2100, 23, 10},
	{11, 31, 1000}, {2, 2000, 1100}, {1100, 2000, 3}, {4500, 9, 50},
};

static void test_backward_input_is_one_chain_for_each_element(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof backward_shapes / sizeof *backward_shapes; i++) {
		const int *s = backward_shapes[i];
		expect_backward_input_is_the_chain(s[0], s[1], s[2], false);
		expect_backward_input_is_the_chain(s[0], s[1], s[2], true);
	}
}

static void test_backward_weight_adds_one_chain_to_each_element(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof backward_shapes / sizeof *backward_shapes; i++) {
		const int *s = backward_shapes[i];
		expect_backward_weight_is_the_chain(s[0], s[1], s[2]);
	}
}

static void test_backward_of_an_empty_batch_changes_nothing(void **state)
{
	float x = 3, unused = 0;
	(void)state;
	gemm_backward_weight(&x, &unused, &unused, 0, 1, 1, NULL);
	gemm_backward_input(&x, &unused, &unused, 0, 1, 1, false, NULL);
	gemm_backward_bias(&x, &unused, 0, 1, NULL);
	assert_true(x == 3);
}

static void test_backward_bias_adds_rows_in_order(void **state)
{
	enum { M = 250, N = 1003 };
	float *dy = new_random(M * N, 1), *expected = new_random(N, 2);
	float *db[POOLS];
	(void)state;
	for (int p = 0; p < POOLS; p++) {
		db[p] = new_copy(expected, N);
		gemm_backward_bias(db[p], dy, M, N, pools[p]);
	}
	for (int i = 0; i < M; i++) {
		for (int j = 0; j < N; j++)
			expected[j] += dy[(size_t)i * N + j];
	}
	for (int p = 0; p < POOLS; p++) {
		assert_memory_equal(db[p], expected, N * sizeof *expected);
		free(db[p]);
	}
	free(dy);
	free(expected);
}

static void test_nothing_is_written_beside_the_result(void **state)
{
	enum { M = 37, N = 21, K = 75, GUARD = 64, LARGEST = 37 * 75 };
	float *a = new_random(LARGEST, 1), *b = new_random(LARGEST, 2);
	float *panels = new_packed(b, N, K), *c = new_random(LARGEST + 2 * GUARD, 3);
	float *before = new_copy(c, LARGEST + 2 * GUARD);
	const int sizes[] = {M * N, M * K, N * K, M * N};
	(void)state;
	for (int i = 0; i < 4; i++) {
		float *out = c + GUARD;
		memcpy(c, before, (LARGEST + 2 * GUARD) * sizeof *c);
		if (i == 0)
			gemm_forward(out, a, panels, NULL, M, N, K, NULL);
		else if (i == 1)
			gemm_backward_input(out, a, b, M, N, K, false, NULL);
		else if (i == 2)
			gemm_backward_weight(out, a, b, M, N, K, NULL);
		else
			gemm_forward_flat(out, a, b, NULL, M, N, K, NULL);
		assert_memory_equal(c, before, GUARD * sizeof *c);
		assert_memory_equal(out + sizes[i], before + GUARD + sizes[i],
				    (size_t)(LARGEST + GUARD - sizes[i]) * sizeof *c);
	}
	free(a);
	free(b);
	free(panels);
	free(c);
	free(before);
}

static int create_pools(void **state)
{
	(void)state;
	for (int i = 0; i < POOLS; i++)
		pools[i] = pool_create(i + 1);
	return 0;
}

static int destroy_pools(void **state)
{
	(void)state;
	for (int i = 0; i < POOLS; i++)
		pool_destroy(pools[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward_is_one_chain_for_each_element),
		cmocka_unit_test(test_forward_adds_to_columns_of_a_wider_matrix),
		cmocka_unit_test(test_rows_have_the_same_bits_in_every_batch),
		cmocka_unit_test(test_flat_weights_give_the_bits_of_packed_ones),
		cmocka_unit_test(test_forward_without_depth_is_the_bias),
		cmocka_unit_test(test_unpack_gives_back_the_rows_that_were_packed),
		cmocka_unit_test(test_packing_with_threads_gives_the_same_panels),
		cmocka_unit_test(test_bf16_panels_hold_the_nearest_numbers),
		cmocka_unit_test(test_bf16_weights_give_the_bits_of_rounded_ones),
		cmocka_unit_test(test_backward_input_is_one_chain_for_each_element),
		cmocka_unit_test(test_backward_weight_adds_one_chain_to_each_element),
		cmocka_unit_test(test_backward_of_an_empty_batch_changes_nothing),
		cmocka_unit_test(test_backward_bias_adds_rows_in_order),
		cmocka_unit_test(test_nothing_is_written_beside_the_result),
	};
	int failures = 0;
	for (int isa = 0; isa <= (int)isa_best(); isa++) {
		isa_select((enum isa)isa);
		failures += cmocka_run_group_tests_name(isa_name((enum isa)isa), tests,
							create_pools, destroy_pools);
	}
	return failures;
}

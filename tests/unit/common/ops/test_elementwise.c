/* Optimizer steps against double and golden values, embeddings, sums, and byte
 * equality over cuts and threads. */
#include "common/ops/elementwise.h"

#include "tests/unit/common/ops/elements.h"

/* Computed in double for lr 1e-3, eps 1e-5, w = 1, gradients 1e-4, -2e-4, 3e-4. */
static void adamw_golden(void)
{
	const struct adamw adamw = {1e-3, 0.9, 0.999, 1e-5, 0};
	const float gradients[] = {1e-4f, -2e-4f, 3e-4f};
	const double expected[] = {.999090909, .999435239, .999107179};
	float w = 1, m = 0, v = 0;
	for (int t = 1; t <= 3; t++) {
		adamw_step(&w, &m, &v, gradients + t - 1, 1, &adamw, t, 1, NULL);
		assert_near(w, expected[t - 1], 1e-7);
	}
}
static void test_adamw_gives_golden_values(void **state)
{
	(void)state;
	at_each_level(adamw_golden);
}

enum { N = 1001, STEPS = 5 };

static void adamw_double(void)
{
	const struct adamw a = {1e-2, 0.9, 0.95, 1e-8, 0.1};
	float *w = random_floats(N, 1, 1), m[N] = {0}, v[N] = {0};
	double w2[N], m2[N] = {0}, v2[N] = {0};
	for (int i = 0; i < N; i++)
		w2[i] = (double)w[i];
	for (int t = 1; t <= STEPS; t++) {
		float *g = random_floats(N, 10 + (uint32_t)t, 1e-3);
		adamw_step(w, m, v, g, N, &a, t, 0.5f, NULL);
		for (int i = 0; i < N; i++) {
			double grad = 0.5 * (double)g[i];
			m2[i] = a.beta1 * m2[i] + (1 - a.beta1) * grad;
			v2[i] = a.beta2 * v2[i] + (1 - a.beta2) * grad * grad;
			w2[i] -= a.learning_rate * a.weight_decay * w2[i];
			w2[i] -= a.learning_rate / (1 - pow(a.beta1, t)) * m2[i] /
				 (sqrt(v2[i]) / sqrt(1 - pow(a.beta2, t)) + a.eps);
		}
		free(g);
	}
	for (int i = 0; i < N; i++) {
		assert_near(w[i], w2[i], 1e-6);
		assert_near((double)m[i] * 1e3, m2[i] * 1e3, 1e-6);
		assert_near((double)v[i] * 1e6, v2[i] * 1e6, 1e-6);
	}
	free(w);
}
static void test_adamw_agrees_with_double(void **state)
{
	(void)state;
	at_each_level(adamw_double);
}

static void sgd_double(void)
{
	float *w = random_floats(N, 1, 1), *plain = copy_floats(w, N), m[N] = {0};
	double w2[N], m2[N] = {0};
	for (int i = 0; i < N; i++)
		w2[i] = (double)w[i];
	for (int t = 1; t <= STEPS; t++) {
		float *g = random_floats(N, 20 + (uint32_t)t, 1);
		sgd_step(w, m, g, N, 0.01, 0.9, 0.1, 0.5f, NULL);
		for (int i = 0; i < N; i++) {
			m2[i] = 0.9 * m2[i] + 0.5 * (double)g[i] + 0.1 * w2[i];
			w2[i] -= 0.01 * m2[i];
			assert_near(w[i], w2[i], 1e-6);
		}
		if (t == 1) {
			sgd_step(plain, NULL, g, N, 0.01, 0, 0.1, 0.5f, NULL);
			assert_memory_equal(plain, w, N * sizeof *w);
		}
		free(g);
	}
	free(w);
	free(plain);
}
static void test_sgd_agrees_with_double(void **state)
{
	(void)state;
	at_each_level(sgd_double);
}

static void plain_arrays(void)
{
	float *y = random_floats(N, 1, 1), *x = random_floats(N, 2, 1);
	float *before = copy_floats(y, N);
	add_into(y, x, N - 1, NULL);
	zero_fill(x, N - 1, NULL);
	float *x0 = random_floats(N, 2, 1);
	for (int i = 0; i < N - 1; i++) {
		assert_true(y[i] == before[i] + x0[i]);
		assert_true(x[i] == 0);
	}
	assert_true(y[N - 1] == before[N - 1]);
	assert_true(x[N - 1] == x0[N - 1]);
	free(y);
	free(x);
	free(before);
	free(x0);
}
static void test_add_and_scale_are_exact(void **state)
{
	(void)state;
	at_each_level(plain_arrays);
}

/* y = c tanh(y / c), and its derivative times a gradient, against double. */
static void caps(void)
{
	const float cap = 1.7f;
	float *y = random_floats(N, 1, 4), *dy = random_floats(N, 2, 1);
	float *x = copy_floats(y, N), *dy0 = copy_floats(dy, N), *scaled = copy_floats(y, N);
	softcap_forward(y, cap, N - 1, NULL);
	softcap_backward(dy, y, cap, N - 1, NULL);
	scale_in_place(scaled, cap, N - 1, NULL);
	for (int i = 0; i < N - 1; i++) {
		double h = tanh((double)x[i] / (double)cap);
		assert_near(y[i], (double)cap * h, 1e-6);
		assert_near(dy[i], (double)dy0[i] * (1 - h * h), 1e-6);
		assert_true(scaled[i] == x[i] * cap);
	}
	assert_true(y[N - 1] == x[N - 1] && dy[N - 1] == dy0[N - 1] && scaled[N - 1] == x[N - 1]);
	float *all[] = {y, dy, x, dy0, scaled};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}
static void test_soft_caps_agree_with_double(void **state)
{
	(void)state;
	at_each_level(caps);
}

static void embedding(void)
{
	enum { V = 11, T = 9, C = 37, P = 5 };
	const int32_t ids[T] = {3, 0, 10, 3, 3, 7, 1, 0, 3};
	const int32_t positions[T] = {0, 1, 2, 0, 1, 2, 3, 4, 0};
	float *table = random_floats(V * C, 1, 1), *places = random_floats(P * C, 2, 1);
	float *dy = random_floats(T * C, 3, 1), *dtable = random_floats(V * C, 4, 1);
	float *expected = copy_floats(dtable, V * C), y[T * C], bare[T * C];
	embedding_forward(bare, table, ids, T, C, NULL);
	memcpy(y, bare, sizeof y);
	embedding_add(y, places, positions, T, C, NULL);
	embedding_backward(dtable, ids, dy, T, C, NULL);
	for (int t = 0; t < T; t++) {
		for (int c = 0; c < C; c++) {
			float row = table[ids[t] * C + c];
			assert_true(bare[t * C + c] == row);
			assert_true(y[t * C + c] == row + places[positions[t] * C + c]);
			expected[ids[t] * C + c] += dy[t * C + c];
		}
	}
	assert_memory_equal(dtable, expected, V * C * sizeof *dtable);
	float *all[] = {table, places, dy, dtable, expected};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}
static void test_embedding_adds_rows_in_order(void **state)
{
	(void)state;
	at_each_level(embedding);
}

static void sums(void)
{
	enum { LONG = 3 * SUM_BLOCK + 77 };
	float *x = random_floats(LONG, 1, 1);
	double found[4], part[4];
	block_squares(found, x, LONG, NULL);
	for (int block = 0; block < 4; block++) {
		int begin = block * SUM_BLOCK, end = block < 3 ? begin + SUM_BLOCK : LONG;
		double expected = 0;
		for (int i = begin; i < end; i++)
			expected += (double)x[i] * (double)x[i];
		assert_true(fabs(found[block] / expected - 1) < 1e-13);
	}
	/* A block's sum is its own. */
	block_squares(part, x + SUM_BLOCK, SUM_BLOCK, NULL);
	assert_true(part[0] == found[1]);
	block_squares(part, x, 1, NULL);
	assert_true(part[0] == (double)x[0] * (double)x[0]);
	block_squares(part, x, 0, NULL);
	assert_true(part[0] == (double)x[0] * (double)x[0]);
	free(x);
}
static void test_sum_of_squares_is_exact_to_double(void **state)
{
	(void)state;
	at_each_level(sums);
}

static void non_finite(void)
{
	enum { LONG = 2 * 65536 + 77 };
	const size_t places[] = {0, 1, 17, 65535, 65536, 131000, LONG - 1};
	float *x = random_floats(LONG, 1, 1e30);
	struct pool *pool = pool_create(2);
	assert_int_equal(first_non_finite(x, LONG, pool), LONG);
	assert_int_equal(first_non_finite(x, 0, pool), 0);
	for (int k = 6; k >= 0; k--) {
		x[places[k]] = k % 3 == 0 ? NAN : k % 3 == 1 ? INFINITY : -INFINITY;
		assert_int_equal(first_non_finite(x, LONG, pool), places[k]);
		assert_int_equal(first_non_finite(x, LONG, NULL), places[k]);
	}
	pool_destroy(pool);
	free(x);
}
static void test_first_non_finite_finds_the_lowest(void **state)
{
	(void)state;
	at_each_level(non_finite);
}

/* Everything that is cut for the pool, into one array of 8 n floats. */
static float *everything(size_t n, struct pool *pool)
{
	const struct adamw adamw = {1e-3, 0.9, 0.999, 1e-8, 0.01};
	float *out = random_floats(8 * n, 1, 1), *g = random_floats(n, 2, 1);
	for (size_t i = 2 * n; i < 3 * n; i++)
		out[i] = fabsf(out[i]);
	adamw_step(out, out + n, out + 2 * n, g, n, &adamw, 3, 0.25f, pool);
	sgd_step(out + 3 * n, out + 4 * n, g, n, 0.1, 0.9, 0.01, 0.25f, pool);
	add_into(out + 5 * n, g, n, pool);
	zero_fill(out + 3 * n, n, pool);
	enum { C = 300, V = 20 };
	int32_t ids[100];
	for (int t = 0; t < 100; t++)
		ids[t] = t * t % V;
	embedding_backward(out + 6 * n, ids, g, 100, C, pool);
	embedding_forward(out + 7 * n, g, ids, 100, C, pool);
	embedding_add(out + 7 * n, g, ids, 100, C, pool);
	scale_in_place(out + 7 * n, 0.3f, n, pool);
	softcap_forward(out + 7 * n, 0.5f, n, pool);
	softcap_backward(out + 6 * n, out + 7 * n, 0.5f, n, pool);
	block_squares((double *)(void *)out, g, n, pool);
	free(g);
	return out;
}

static void test_threads_do_not_matter(void **state)
{
	(void)state;
	const size_t n = 150007;
	float *expected = everything(n, NULL);
	for (int threads = 2; threads <= 3; threads++) {
		struct pool *pool = pool_create(threads);
		float *found = everything(n, pool);
		assert_memory_equal(found, expected, 8 * n * sizeof *found);
		free(found);
		pool_destroy(pool);
	}
	free(expected);
}

static void test_fused_levels_agree_in_every_bit(void **state)
{
	(void)state;
	const size_t n = 30001;
	if (isa_best() < ISA_AVX512)
		skip();
	isa_select(ISA_AVX2);
	float *expected = everything(n, NULL);
	isa_select(ISA_AVX512);
	float *found = everything(n, NULL);
	assert_memory_equal(found, expected, 8 * n * sizeof *found);
	free(found);
	free(expected);
}

static void cuts(void)
{
	const struct adamw adamw = {1e-3, 0.9, 0.999, 1e-8, 0.01};
	float *w = random_floats(N, 1, 1), *m = random_floats(N, 2, 1), *g = random_floats(N, 3, 1);
	float v[N] = {0}, v2[N] = {0}, *w2 = copy_floats(w, N), *m2 = copy_floats(m, N);
	adamw_step(w, m, v, g, N, &adamw, 2, 1, NULL);
	for (int i = 0, size = 1; i < N; i += size, size = size % 19 + 1) {
		size_t n = (size_t)(i + size < N ? size : N - i);
		adamw_step(w2 + i, m2 + i, v2 + i, g + i, n, &adamw, 2, 1, NULL);
	}
	assert_memory_equal(w2, w, N * sizeof *w);
	assert_memory_equal(m2, m, N * sizeof *m);
	assert_memory_equal(v2, v, sizeof v);
	float *all[] = {w, m, g, w2, m2};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}
static void test_adamw_may_be_cut_anywhere(void **state)
{
	(void)state;
	at_each_level(cuts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adamw_gives_golden_values),
		cmocka_unit_test(test_adamw_agrees_with_double),
		cmocka_unit_test(test_sgd_agrees_with_double),
		cmocka_unit_test(test_add_and_scale_are_exact),
		cmocka_unit_test(test_soft_caps_agree_with_double),
		cmocka_unit_test(test_embedding_adds_rows_in_order),
		cmocka_unit_test(test_sum_of_squares_is_exact_to_double),
		cmocka_unit_test(test_first_non_finite_finds_the_lowest),
		cmocka_unit_test(test_threads_do_not_matter),
		cmocka_unit_test(test_fused_levels_agree_in_every_bit),
		cmocka_unit_test(test_adamw_may_be_cut_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rotary positions against double, rotation back, and untouched floats. */
#include "common/ops/rope.h"

#include "tests/unit/common/ops/elements.h"

enum { POSITIONS = 50, T = 9, HEADS = 3 };

static const int positions[T] = {0, 1, 2, 0, 1, 49, 17, 3, 0};

/* cos | sin of position / 100^(2i/r) */
static float *angles(int r)
{
	float *table = xaligned((size_t)(POSITIONS * r), sizeof *table);
	for (int p = 0; p < POSITIONS; p++) {
		for (int i = 0; i < r / 2; i++) {
			double angle = p * pow(100, -2.0 * i / r);
			table[p * r + i] = (float)cos(angle);
			table[p * r + r / 2 + i] = (float)sin(angle);
		}
	}
	return table;
}

/* Where each row's angles are. */
static void point(const float **rows, const float *table, const int *where, int n, int r)
{
	for (int t = 0; t < n; t++)
		rows[t] = table + where[t] * r;
}

static void check(int head_dim, int r)
{
	const float *rows[T];
	int row = HEADS * head_dim + 5, n = T * row; /* five floats of something else */
	float *table = angles(r), *before = random_floats((size_t)n, 1, 1);
	float *x = copy_floats(before, (size_t)n);
	point(rows, table, positions, T, r);
	rope_apply(x, rows, T, row, HEADS, head_dim, r, 1, NULL);
	for (int i = 0; i < n; i++) {
		int in_row = i % row, in_head = in_row % head_dim;
		double expected = before[i];
		if (in_row < HEADS * head_dim && in_head < r) {
			const float *angle = table + positions[i / row] * r + in_head % (r / 2);
			double sine = angle[r / 2],
			       pair = before[in_head < r / 2 ? i + r / 2 : i - r / 2];
			expected = expected * (double)angle[0] +
				   (in_head < r / 2 ? -sine : sine) * pair;
			assert_near(x[i], expected, 5e-7);
		} else {
			assert_memory_equal(x + i, before + i, sizeof *x);
		}
	}
	rope_apply(x, rows, T, row, HEADS, head_dim, r, -1, NULL);
	for (int i = 0; i < n; i++)
		assert_near(x[i], before[i], 5e-7);
	free(table);
	free(before);
	free(x);
}

static void sizes(void)
{
	check(2, 2);
	check(8, 8);
	check(80, 20);
	check(80, 80);
	check(16, 16);
	check(24, 24);
	check(64, 16);
	check(64, 64);
	check(100, 100);
}
static void test_rotates_and_rotates_back(void **state)
{
	(void)state;
	at_each_level(sizes);
}

static void test_rows_and_threads_do_not_matter(void **state)
{
	(void)state;
	enum { ROWS = 600, D = 64, ROW = HEADS * D };
	float *table = angles(D), *x = random_floats(ROWS * ROW, 1, 1);
	float *all = copy_floats(x, ROWS * ROW);
	const float *rows[ROWS];
	for (int t = 0; t < ROWS; t++)
		rows[t] = table + t * 7 % POSITIONS * D;
	struct pool *pool = pool_create(2);
	rope_apply(all, rows, ROWS, ROW, HEADS, D, D, 1, pool);
	for (int t = 0; t < ROWS; t++)
		rope_apply(x + t * ROW, rows + t, 1, ROW, HEADS, D, D, 1, NULL);
	assert_memory_equal(all, x, ROWS * ROW * sizeof *x);
	pool_destroy(pool);
	free(table);
	free(x);
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rotates_and_rotates_back),
		cmocka_unit_test(test_rows_and_threads_do_not_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

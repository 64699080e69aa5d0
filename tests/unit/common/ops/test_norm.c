/* Norms against double references, finite differences, and byte equality over
 * rows, threads and places. */
#include "common/ops/norm.h"

#include "common/ops/row_kernel.h"
#include "tests/unit/common/ops/elements.h"

static const float EPS = 1e-5f;

struct problem {
	int t, c;
	float *x, *scale, *shift, *dy;
};

static struct problem problem_create(int t, int c)
{
	size_t n = (size_t)t * (size_t)c;
	struct problem p = {t,
			    c,
			    random_floats(n, 1, 2),
			    random_floats((size_t)c, 2, 1),
			    random_floats((size_t)c, 3, 1),
			    random_floats(n, 4, 1)};
	for (size_t i = 0; i < n; i++)
		p.x[i] += 0.5f;
	return p;
}

static struct norm_shape shape_of(const struct problem *p, enum norm_kind kind)
{
	return norm_rows(kind, p->t, p->c, EPS);
}

static void problem_free(struct problem *p)
{
	free(p->x);
	free(p->scale);
	free(p->shift);
	free(p->dy);
}

/* One normalised row in double; it is centered if there is a shift. */
static void reference_row(double *y, const float *x, const float *scale, double base,
			  const float *shift, int c)
{
	double mean = 0, square = 0;
	for (int i = 0; i < c && shift; i++)
		mean += (double)x[i] / c;
	for (int i = 0; i < c; i++)
		square += ((double)x[i] - mean) * ((double)x[i] - mean) / c;
	for (int i = 0; i < c; i++)
		y[i] = ((double)x[i] - mean) / sqrt(square + (double)EPS) *
			       (base + (double)scale[i]) +
		       (shift ? (double)shift[i] : 0);
}

static void check_forward(int t, int c)
{
	struct problem p = problem_create(t, c);
	struct norm_shape rms_shape = shape_of(&p, NORM_RMS);
	struct norm_shape unit_shape = shape_of(&p, NORM_RMS_UNIT);
	struct norm_shape layer_shape = shape_of(&p, NORM_LAYER);
	size_t n = (size_t)t * (size_t)c;
	float *rms = xaligned(n, sizeof *rms), *unit = xaligned(n, sizeof *unit);
	float *layer = copy_floats(p.x, n);
	double *expected = xcalloc((size_t)c, sizeof *expected);
	norm_forward(rms, NULL, NULL, p.x, p.scale, NULL, &rms_shape, NULL);
	norm_forward(unit, NULL, NULL, p.x, p.scale, NULL, &unit_shape, NULL);
	norm_forward(layer, NULL, NULL, layer, p.scale, p.shift, &layer_shape, NULL);
	for (int r = 0; r < t; r++) {
		size_t row = (size_t)r * (size_t)c;
		reference_row(expected, p.x + row, p.scale, 0, NULL, c);
		for (int i = 0; i < c; i++)
			assert_near(rms[row + (size_t)i], expected[i], 1e-6);
		reference_row(expected, p.x + row, p.scale, 1, NULL, c);
		for (int i = 0; i < c; i++)
			assert_near(unit[row + (size_t)i], expected[i], 2e-6);
		reference_row(expected, p.x + row, p.scale, 0, p.shift, c);
		for (int i = 0; i < c; i++)
			assert_near(layer[row + (size_t)i], expected[i], 2e-6);
	}
	free(rms);
	free(unit);
	free(layer);
	free(expected);
	problem_free(&p);
}

static void forward_sizes(void)
{
	const int sizes[] = {1, 2, 7, 15, 16, 17, 31, 64, 100, 768, 2048, 2049, 5000};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		check_forward(3, sizes[i]);
}
static void test_forward_agrees_with_double(void **state)
{
	(void)state;
	at_each_level(forward_sizes);
}

/* sum over all outputs of dy y, in double */
static double objective(const struct problem *p, enum norm_kind kind)
{
	double *y = xcalloc((size_t)p->c, sizeof *y), total = 0;
	for (int r = 0; r < p->t; r++) {
		size_t row = (size_t)r * (size_t)p->c;
		reference_row(y, p->x + row, p->scale, kind == NORM_RMS_UNIT,
			      kind == NORM_LAYER ? p->shift : NULL, p->c);
		for (int i = 0; i < p->c; i++)
			total += y[i] * (double)p->dy[row + (size_t)i];
	}
	free(y);
	return total;
}

/* The central difference of the objective by one input; the step is what float
 * arithmetic makes of it. */
static double difference(const struct problem *p, enum norm_kind kind, float *input)
{
	float middle = *input, up = middle + 0.001f, down = middle - 0.001f;
	*input = up;
	double high = objective(p, kind);
	*input = down;
	double low = objective(p, kind);
	*input = middle;
	return (high - low) / ((double)up - (double)down);
}

static void check_backward(int t, int c, enum norm_kind kind)
{
	struct problem p = problem_create(t, c);
	size_t n = (size_t)t * (size_t)c;
	float *dx = random_floats(n, 5, 1), *dscale = random_floats((size_t)c, 6, 1);
	float *dshift = random_floats((size_t)c, 7, 1), *y = xaligned(n, sizeof *y);
	float *dx0 = copy_floats(dx, n), *dscale0 = copy_floats(dscale, (size_t)c);
	float *dshift0 = copy_floats(dshift, (size_t)c);
	float mean[8], rstd[8];
	bool is_layer = kind == NORM_LAYER;
	struct norm_shape shape = shape_of(&p, kind);
	norm_forward(y, mean, rstd, p.x, p.scale, is_layer ? p.shift : NULL, &shape, NULL);
	norm_backward(dx, dscale, is_layer ? dshift : NULL, p.dy, p.x, p.scale, mean, rstd, &shape,
		      NULL);
	for (size_t i = 0; i < n; i++)
		assert_near((double)dx[i] - (double)dx0[i], difference(&p, kind, p.x + i), 2e-5);
	for (int i = 0; i < c; i++) {
		assert_near((double)dscale[i] - (double)dscale0[i],
			    difference(&p, kind, p.scale + i), 2e-5);
		if (is_layer)
			assert_near((double)dshift[i] - (double)dshift0[i],
				    difference(&p, kind, p.shift + i), 2e-5);
	}
	float *all[] = {dx, dscale, dshift, y, dx0, dscale0, dshift0};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
	problem_free(&p);
}

static void backward_sizes(void)
{
	for (enum norm_kind kind = NORM_LAYER; kind <= NORM_RMS_UNIT; kind++) {
		check_backward(3, 5, kind);
		check_backward(2, 37, kind);
		check_backward(1, 16, kind);
	}
}
static void test_backward_agrees_with_differences(void **state)
{
	(void)state;
	at_each_level(backward_sizes);
}

static void row_alone(void)
{
	enum { T = 7, C = 333 };
	struct problem p = problem_create(T, C);
	float *all = xaligned(T * C, sizeof *all), rstd[T], mean[T];
	struct norm_shape shape = shape_of(&p, NORM_LAYER);
	struct norm_shape one_row = norm_rows(NORM_LAYER, 1, C, EPS);
	norm_forward(all, mean, rstd, p.x, p.scale, p.shift, &shape, NULL);
	for (int r = 0; r < T; r++) {
		float one[C], one_rstd, one_mean;
		/* moved by one float, so that alignment differs too */
		float moved[C + 1];
		memcpy(moved + 1, p.x + r * C, C * sizeof *moved);
		norm_forward(one, &one_mean, &one_rstd, moved + 1, p.scale, p.shift, &one_row,
			     NULL);
		assert_memory_equal(one, all + r * C, sizeof one);
		assert_memory_equal(&one_rstd, rstd + r, sizeof *rstd);
		assert_memory_equal(&one_mean, mean + r, sizeof *mean);
	}
	free(all);
	problem_free(&p);
}
static void test_row_is_independent_of_other_rows(void **state)
{
	(void)state;
	at_each_level(row_alone);
}

/* Output, rstd, dx, dscale and dshift of a problem, one after another. */
static float *everything(const struct problem *p, struct pool *pool, size_t *n_floats)
{
	size_t n = (size_t)p->t * (size_t)p->c, c = (size_t)p->c, t = (size_t)p->t;
	*n_floats = 2 * n + 2 * t + 2 * c;
	float *y = xaligned(*n_floats, sizeof *y), *dx = y + n, *mean = dx + n, *rstd = mean + t;
	float *dscale = rstd + t, *dshift = dscale + c;
	struct norm_shape shape = shape_of(p, NORM_LAYER);
	norm_forward(y, mean, rstd, p->x, p->scale, p->shift, &shape, pool);
	norm_backward(dx, dscale, dshift, p->dy, p->x, p->scale, mean, rstd, &shape, pool);
	return y;
}

/* Heads inside wider places have the bits of the same heads row by row, forward and
 * backward, and what lies between them stays. */
static void heads_in_places(void)
{
	enum { T = 5, G = 3, C = 24, WIDE = G * C + 11, N = T * G * C };
	struct problem p = problem_create(T * G, C);
	struct norm_shape rows = shape_of(&p, NORM_LAYER);
	struct norm_shape heads = {NORM_LAYER, EPS, T, G, C, G * C, WIDE};
	float y[N], dx[N] = {0}, mean[T * G], rstd[T * G], wide_mean[T * G], wide_rstd[T * G];
	float dscale[2][C] = {{0}}, dshift[2][C] = {{0}}, wide_dx[N] = {0};
	float *wide = random_floats(T * WIDE, 8, 1), *between = copy_floats(wide, T * WIDE);
	norm_forward(y, mean, rstd, p.x, p.scale, p.shift, &rows, NULL);
	norm_backward(dx, dscale[0], dshift[0], p.dy, p.x, p.scale, mean, rstd, &rows, NULL);
	norm_forward(wide, wide_mean, wide_rstd, p.x, p.scale, p.shift, &heads, NULL);
	for (int t = 0; t < T; t++) {
		assert_memory_equal(wide + t * WIDE, y + t * G * C, G * C * sizeof *y);
		assert_memory_equal(wide + t * WIDE + G * C, between + t * WIDE + G * C,
				    11 * sizeof *y);
		memcpy(wide + t * WIDE, p.dy + t * G * C, G * C * sizeof *y);
	}
	norm_backward(wide_dx, dscale[1], dshift[1], wide, p.x, p.scale, wide_mean, wide_rstd,
		      &heads, NULL);
	assert_memory_equal(wide_mean, mean, sizeof mean);
	assert_memory_equal(wide_rstd, rstd, sizeof rstd);
	assert_memory_equal(wide_dx, dx, sizeof dx);
	assert_memory_equal(dscale[1], dscale[0], sizeof dscale[0]);
	assert_memory_equal(dshift[1], dshift[0], sizeof dshift[0]);
	free(wide);
	free(between);
	problem_free(&p);
}
static void test_heads_are_rows(void **state)
{
	(void)state;
	at_each_level(heads_in_places);
}

static void test_threads_do_not_matter(void **state)
{
	(void)state;
	struct problem p = problem_create(301, 257);
	size_t n;
	float *expected = everything(&p, NULL, &n);
	for (int threads = 1; threads <= 3; threads++) {
		struct pool *pool = pool_create(threads);
		float *found = everything(&p, pool, &n);
		assert_memory_equal(found, expected, n * sizeof *found);
		free(found);
		pool_destroy(pool);
	}
	free(expected);
	problem_free(&p);
}

static void test_fused_levels_agree_in_every_bit(void **state)
{
	(void)state;
	if (isa_best() < ISA_AVX512)
		skip();
	struct problem p = problem_create(7, 2500);
	size_t n;
	isa_select(ISA_AVX2);
	float *expected = everything(&p, NULL, &n);
	isa_select(ISA_AVX512);
	float *found = everything(&p, NULL, &n);
	assert_memory_equal(found, expected, n * sizeof *found);
	free(found);
	free(expected);
	problem_free(&p);
}

/* The mean in the order of sums that row_kernel.h states, one addition at a time. */
static float ordered_mean(const float *x, int n)
{
	double total = 0;
	for (int begin = 0; begin < n; begin += ROW_BLOCK) {
		float part[16] = {0};
		for (int i = 0; i < ROW_BLOCK && begin + i < n; i++)
			part[i % 16] += x[begin + i];
		for (int half = 8; half > 0; half /= 2) {
			for (int k = 0; k < half; k++)
				part[k] += part[k + half];
		}
		total += (double)part[0];
	}
	return (float)(total / n);
}

static void sum_order(void)
{
	const int sizes[] = {1, 5, 16, 29, 768, 2048, 2061, 9001};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct problem p = problem_create(1, sizes[i]);
		float mean, expected = ordered_mean(p.x, p.c);
		struct norm_shape shape = shape_of(&p, NORM_LAYER);
		norm_forward(p.dy, &mean, NULL, p.x, p.scale, p.shift, &shape, NULL);
		assert_memory_equal(&mean, &expected, sizeof mean);
		problem_free(&p);
	}
}
static void test_sums_have_the_stated_order_at_each_level(void **state)
{
	(void)state;
	at_each_level(sum_order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward_agrees_with_double),
		cmocka_unit_test(test_backward_agrees_with_differences),
		cmocka_unit_test(test_row_is_independent_of_other_rows),
		cmocka_unit_test(test_heads_are_rows),
		cmocka_unit_test(test_threads_do_not_matter),
		cmocka_unit_test(test_fused_levels_agree_in_every_bit),
		cmocka_unit_test(test_sums_have_the_stated_order_at_each_level),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

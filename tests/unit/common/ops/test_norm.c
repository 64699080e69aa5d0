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

static void problem_free(struct problem *p)
{
	free(p->x);
	free(p->scale);
	free(p->shift);
	free(p->dy);
}

/* One normalised row in double. */
static void reference_row(double *y, const float *x, const float *scale, const float *shift, int c)
{
	double mean = 0, square = 0;
	for (int i = 0; i < c && shift; i++)
		mean += (double)x[i] / c;
	for (int i = 0; i < c; i++)
		square += ((double)x[i] - mean) * ((double)x[i] - mean) / c;
	for (int i = 0; i < c; i++)
		y[i] = ((double)x[i] - mean) / sqrt(square + (double)EPS) * (double)scale[i] +
		       (shift ? (double)shift[i] : 0);
}

static void check_forward(int t, int c)
{
	struct problem p = problem_create(t, c);
	float *rms = xaligned((size_t)t * (size_t)c, sizeof *rms),
	      *layer = copy_floats(p.x, (size_t)t * (size_t)c);
	double *expected = xcalloc((size_t)c, sizeof *expected);
	rmsnorm_forward(rms, NULL, p.x, p.scale, t, c, EPS, NULL);
	layernorm_forward(layer, NULL, NULL, layer, p.scale, p.shift, t, c, EPS, NULL);
	for (int r = 0; r < t; r++) {
		size_t row = (size_t)r * (size_t)c;
		reference_row(expected, p.x + row, p.scale, NULL, c);
		for (int i = 0; i < c; i++)
			assert_near(rms[row + (size_t)i], expected[i], 1e-6);
		reference_row(expected, p.x + row, p.scale, p.shift, c);
		for (int i = 0; i < c; i++)
			assert_near(layer[row + (size_t)i], expected[i], 2e-6);
	}
	free(rms);
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
static double objective(const struct problem *p, const float *shift)
{
	double *y = xcalloc((size_t)p->c, sizeof *y), total = 0;
	for (int r = 0; r < p->t; r++) {
		size_t row = (size_t)r * (size_t)p->c;
		reference_row(y, p->x + row, p->scale, shift, p->c);
		for (int i = 0; i < p->c; i++)
			total += y[i] * (double)p->dy[row + (size_t)i];
	}
	free(y);
	return total;
}

/* The central difference of the objective by one input; the step is what float
 * arithmetic makes of it. */
static double difference(const struct problem *p, const float *shift, float *input)
{
	float middle = *input, up = middle + 0.001f, down = middle - 0.001f;
	*input = up;
	double high = objective(p, shift);
	*input = down;
	double low = objective(p, shift);
	*input = middle;
	return (high - low) / ((double)up - (double)down);
}

static void check_backward(int t, int c, int is_layer)
{
	struct problem p = problem_create(t, c);
	size_t n = (size_t)t * (size_t)c;
	float *dx = random_floats(n, 5, 1), *dscale = random_floats((size_t)c, 6, 1);
	float *dshift = random_floats((size_t)c, 7, 1), *y = xaligned(n, sizeof *y);
	float *dx0 = copy_floats(dx, n), *dscale0 = copy_floats(dscale, (size_t)c);
	float *dshift0 = copy_floats(dshift, (size_t)c);
	float mean[8], rstd[8];
	const float *shift = is_layer ? p.shift : NULL;
	if (is_layer) {
		layernorm_forward(y, mean, rstd, p.x, p.scale, p.shift, t, c, EPS, NULL);
		layernorm_backward(dx, dscale, dshift, p.dy, p.x, p.scale, mean, rstd, t, c, NULL);
	} else {
		rmsnorm_forward(y, rstd, p.x, p.scale, t, c, EPS, NULL);
		rmsnorm_backward(dx, dscale, p.dy, p.x, p.scale, rstd, t, c, NULL);
	}
	for (size_t i = 0; i < n; i++)
		assert_near((double)dx[i] - (double)dx0[i], difference(&p, shift, p.x + i), 2e-5);
	for (int i = 0; i < c; i++) {
		assert_near((double)dscale[i] - (double)dscale0[i],
			    difference(&p, shift, p.scale + i), 2e-5);
		if (is_layer)
			assert_near((double)dshift[i] - (double)dshift0[i],
				    difference(&p, shift, p.shift + i), 2e-5);
	}
	float *all[] = {dx, dscale, dshift, y, dx0, dscale0, dshift0};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
	problem_free(&p);
}

static void backward_sizes(void)
{
	for (int is_layer = 0; is_layer <= 1; is_layer++) {
		check_backward(3, 5, is_layer);
		check_backward(2, 37, is_layer);
		check_backward(1, 16, is_layer);
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
	layernorm_forward(all, mean, rstd, p.x, p.scale, p.shift, T, C, EPS, NULL);
	for (int r = 0; r < T; r++) {
		float one[C], one_rstd, one_mean;
		/* moved by one float, so that alignment differs too */
		float moved[C + 1];
		memcpy(moved + 1, p.x + r * C, C * sizeof *moved);
		layernorm_forward(one, &one_mean, &one_rstd, moved + 1, p.scale, p.shift, 1, C, EPS,
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
	layernorm_forward(y, mean, rstd, p->x, p->scale, p->shift, p->t, p->c, EPS, pool);
	layernorm_backward(dx, dscale, dshift, p->dy, p->x, p->scale, mean, rstd, p->t, p->c, pool);
	return y;
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
		layernorm_forward(p.dy, &mean, NULL, p.x, p.scale, p.shift, 1, p.c, EPS, NULL);
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
		cmocka_unit_test(test_threads_do_not_matter),
		cmocka_unit_test(test_fused_levels_agree_in_every_bit),
		cmocka_unit_test(test_sums_have_the_stated_order_at_each_level),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

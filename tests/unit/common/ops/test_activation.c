/* Activations against libm in double, finite differences, and byte equality. */
#include "common/ops/activation.h"

#include "tests/unit/common/ops/elements.h"

static double reference(double x, enum activation f)
{
	switch (f) {
	case ACTIVATION_GELU:
		return x / 2 * (1 + erf(x / sqrt(2)));
	case ACTIVATION_GELU_TANH:
		return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
	case ACTIVATION_SILU:
		return x / (1 + exp(-x));
	case ACTIVATION_QUICK_GELU:
		return x / (1 + exp(-1.702 * x));
	case ACTIVATION_SIGMOID:
		return 1 / (1 + exp(-x));
	case ACTIVATION_TANH:
		return tanh(x);
	case ACTIVATION_RELU_SQUARED:
		return x > 0 ? x * x : 0;
	case ACTIVATION_RELU:
		break;
	}
	return x > 0 ? x : 0;
}

static double reference_slope(double x, enum activation f)
{
	return (reference(x + 1e-5, f) - reference(x - 1e-5, f)) / 2e-5;
}

/* From -12 to 12, which misses the kink of relu, and some far out. */
enum { N = 1003 };
static float *inputs(void)
{
	float *x = xaligned(N, sizeof *x);
	for (int i = 0; i < N; i++)
		x[i] = (float)(i - 500.5) * 0.024f;
	x[0] = -100;
	x[1] = -1e4f;
	x[N - 1] = 1e4f;
	return x;
}

static void values_and_slopes(void)
{
	float *x = inputs(), y[N], dx[N], dy[N];
	for (enum activation f = ACTIVATION_GELU; f <= ACTIVATION_RELU_SQUARED; f++) {
		for (int i = 0; i < N; i++)
			dy[i] = 2;
		activation_forward(y, x, N, f, NULL);
		activation_backward(dx, dy, x, N, f, NULL);
		for (int i = 0; i < N; i++) {
			assert_near(y[i], reference((double)x[i], f), 1e-6);
			assert_near(dx[i], 2 * reference_slope((double)x[i], f), 2e-6);
		}
		activation_backward(dy, dy, x, N, f, NULL);
		assert_memory_equal(dy, dx, sizeof dx);
	}
	free(x);
}
static void test_values_and_slopes_agree_with_double(void **state)
{
	(void)state;
	at_each_level(values_and_slopes);
}

static void places(void)
{
	float *x = inputs(), y[N], one;
	for (enum activation f = ACTIVATION_GELU; f <= ACTIVATION_RELU_SQUARED; f++) {
		activation_forward(y, x, N, f, NULL);
		for (int i = 0; i < N; i++) {
			activation_forward(&one, x + i, 1, f, NULL);
			assert_memory_equal(&one, y + i, sizeof one);
		}
		float *in_place = copy_floats(x, N);
		activation_forward(in_place, in_place, N, f, NULL);
		assert_memory_equal(in_place, y, sizeof y);
		free(in_place);
	}
	free(x);
}
static void test_place_in_array_does_not_matter(void **state)
{
	(void)state;
	at_each_level(places);
}

static void test_zero_elements_write_nothing(void **state)
{
	(void)state;
	float y = 3;
	activation_forward(&y, &y, 0, ACTIVATION_SILU, NULL);
	assert_true(y == 3);
}

static void gated(void)
{
	enum { T = 3, F = 37 };
	float *x = random_floats(T * 2 * F, 1, 2), *dy = random_floats(T * F, 2, 1);
	float y[T * F], dx[T * 2 * F];
	for (enum activation f = ACTIVATION_GELU; f <= ACTIVATION_RELU_SQUARED; f++) {
		gated_forward(y, x, T, F, f, NULL);
		gated_backward(dx, dy, x, T, F, f, NULL);
		for (int i = 0; i < T * F; i++) {
			int gate = i / F * 2 * F + i % F, up = gate + F;
			double g = x[gate], u = x[up], d = dy[i];
			assert_near(y[i], reference(g, f) * u, 2e-6);
			assert_near(dx[gate], d * u * reference_slope(g, f), 2e-6);
			assert_near(dx[up], d * reference(g, f), 2e-6);
		}
	}
	free(x);
	free(dy);
}
static void test_gated_agrees_with_double(void **state)
{
	(void)state;
	at_each_level(gated);
}

static void test_threads_do_not_matter(void **state)
{
	(void)state;
	enum { T = 301, F = 333, M = T * F };
	float *x = random_floats(2 * M, 1, 2), *dy = random_floats(M, 2, 1);
	float *a = xaligned(7 * M, sizeof *a), *b = xaligned(7 * M, sizeof *b);
	struct pool *pool = pool_create(3);
	for (int round = 0; round < 2; round++) {
		float *out = round ? b : a;
		struct pool *team = round ? pool : NULL;
		gated_forward(out, x, T, F, ACTIVATION_SILU, team);
		gated_backward(out + M, dy, x, T, F, ACTIVATION_SILU, team);
		activation_forward(out + 3 * M, x, 2 * M, ACTIVATION_GELU, team);
		activation_backward(out + 5 * M, x, x, 2 * M, ACTIVATION_GELU_TANH, team);
	}
	assert_memory_equal(a, b, 7 * M * sizeof *a);
	pool_destroy(pool);
	free(x);
	free(dy);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_and_slopes_agree_with_double),
		cmocka_unit_test(test_place_in_array_does_not_matter),
		cmocka_unit_test(test_zero_elements_write_nothing),
		cmocka_unit_test(test_gated_agrees_with_double),
		cmocka_unit_test(test_threads_do_not_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

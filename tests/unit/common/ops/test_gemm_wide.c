/* The AVX-512 tiles and panels on any CPU: 8 rows by 3 vectors of 16 lanes,
 * which the compiler builds from what it has.  The kernels and their driver are
 * compiled here once more with that geometry and take the portable level's
 * place, and the backward products take the path without OpenBLAS. */
#pragma GCC diagnostic ignored "-Wpsabi" /* wide vectors only pass inlined calls */
#define KERNEL_LEVEL 0
#define VL 16
#define ROWS 8
#define VECTORS 3
#include "common/ops/gemm.c"
#include "common/ops/gemm_kernel.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct pool *two_threads;

/* Small integers: every sum is exact, so any order must give the same bits. */
static float *new_integers(size_t n, uint32_t seed)
{
	float *x = xaligned(n, sizeof *x);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		x[i] = (float)(int)(seed >> 29) - 3;
	}
	return x;
}

static float *new_product(const float *a, size_t a_row, size_t a_step, const float *b, size_t b_row,
			  size_t b_step, const float *start, int rows, int columns, int depth)
{
	float *c = xaligned((size_t)rows * columns, sizeof *c);
	for (int i = 0; i < rows; i++) {
		for (int j = 0; j < columns; j++) {
			float sum = start ? start[(size_t)i * columns + j] : 0;
			for (int k = 0; k < depth; k++)
				sum += a[i * a_row + k * a_step] * b[j * b_row + k * b_step];
			c[(size_t)i * columns + j] = sum;
		}
	}
	return c;
}

static void expect_equal(const float *got, float *expected, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_true(got[i] == expected[i]);
	free(expected);
}

static void expect_products(int m, int n, int k)
{
	float *x = new_integers((size_t)m * k, 1), *w = new_integers((size_t)n * k, 2);
	float *dy = new_integers((size_t)m * n, 3), *y = new_integers((size_t)m * n, 4);
	float *dx = new_integers((size_t)m * k, 5), *dw = new_integers((size_t)n * k, 6);
	float *panels = xaligned(gemm_packed_floats(n, k), sizeof *panels);

	gemm_pack(panels, w, n, k, two_threads);
	gemm_forward(y, x, panels, NULL, m, n, k, two_threads);
	expect_equal(y, new_product(x, k, 1, w, k, 1, NULL, m, n, k), (size_t)m * n);

	uint16_t *bf16 = xaligned(gemm_packed_floats(n, k), sizeof *bf16);
	memset(y, 0xff, (size_t)m * n * sizeof *y);
	gemm_pack_bf16(bf16, w, n, k, two_threads);
	gemm_forward_bf16(y, x, bf16, NULL, m, n, k, two_threads);
	expect_equal(y, new_product(x, k, 1, w, k, 1, NULL, m, n, k), (size_t)m * n);
	free(bf16);

	memset(y, 0xff, (size_t)m * n * sizeof *y);
	gemm_forward_flat(y, x, w, NULL, m, n, k, two_threads);
	expect_equal(y, new_product(x, k, 1, w, k, 1, NULL, m, n, k), (size_t)m * n);

	float *expected = new_product(dy, n, 1, w, 1, k, dx, m, k, n);
	gemm_backward_input(dx, dy, w, m, n, k, true, two_threads);
	expect_equal(dx, expected, (size_t)m * k);
	gemm_backward_input(dx, dy, w, m, n, k, false, two_threads);
	expect_equal(dx, new_product(dy, n, 1, w, 1, k, NULL, m, k, n), (size_t)m * k);

	expected = new_product(dy, 1, n, x, 1, k, dw, n, k, m);
	gemm_backward_weight(dw, dy, x, m, n, k, two_threads);
	expect_equal(dw, expected, (size_t)n * k);

	float *row = xaligned(k, sizeof *row);
	gemm_unpack_row(row, panels, n, k, n - 1);
	assert_memory_equal(row, w + (size_t)(n - 1) * k, (size_t)k * sizeof *row);
	free(row);
	free(x);
	free(w);
	free(dy);
	free(y);
	free(dx);
	free(dw);
	free(panels);
}

/* As with a small cache, and as with a large one. */
static void expect_products_of_caches(int m, int n, int k)
{
	for (large_cache = -1; large_cache <= 1; large_cache += 2)
		expect_products(m, n, k);
	large_cache = 0;
}

static void test_products_of_few_rows(void **state)
{
	(void)state;
	for (int m = 1; m <= 17; m++)
		expect_products_of_caches(m, m % 2 ? 100 : 116, 131);
	for (int m = 23; m <= 40; m += 4)
		expect_products_of_caches(m, 100, 131);
}

static void test_products_of_many_rows(void **state)
{
	(void)state;
	expect_products_of_caches(64, 48, 64);
	expect_products_of_caches(100, 145, 300);
	expect_products_of_caches(307, 49, 257);
	expect_products_of_caches(300, 97, 161);
	expect_products_of_caches(90, 11, 500);
}

/* One tile of `rows` rows and all but `missing` of the columns of `vectors` vectors. */
static void expect_tile(gemm_tile_function *run, int rows, int vectors, int missing, bool is_packed)
{
	enum { DEPTH = 31, STRIDE = 35 };
	const int columns = vectors * VL - missing;
	float *a = new_integers(ROWS * STRIDE, 1), *b = new_integers(DEPTH * WIDTH, 2);
	float *bias = new_integers(WIDTH, 3), *packed = new_integers(DEPTH * ROWS, 4);
	float *kept = xaligned(DEPTH * WIDTH, sizeof *kept);
	uint16_t *b_bf16 = xaligned(DEPTH * WIDTH, sizeof *b_bf16);
	float *c = new_integers((ROWS + 1) * WIDTH, 5),
	      *before = new_integers((ROWS + 1) * WIDTH, 5);
	const struct gemm_tile tile_of_c = {
		.a = is_packed ? packed : a,
		.a_stride = STRIDE,
		.b = b,
		.b_bf16 = b_bf16,
		.kept = kept,
		.depth = DEPTH,
		.accumulate = true,
		.c = c,
		.c_stride = WIDTH,
		.rows = rows,
		.columns = columns,
		.bias = bias,
		.copy = {.to = kept, .from = b, .stride = WIDTH},
		.next_c = c,
		.next_rows = rows,
	};

	gemm_kernels_portable.narrow(b_bf16, b, DEPTH * WIDTH);
	gemm_kernels_portable.transpose(packed, ROWS, a, STRIDE, rows, DEPTH);
	run(&tile_of_c);
	for (int i = 0; i <= ROWS; i++) {
		for (int j = 0; j < WIDTH; j++) {
			float expected = before[i * WIDTH + j];
			for (int k = 0; k < DEPTH && i < rows && j < columns; k++)
				expected += a[i * STRIDE + k] * b[k * WIDTH + j];
			if (i < rows && j < columns)
				expected += bias[j];
			assert_true(c[i * WIDTH + j] == expected);
		}
	}
	free(a);
	free(b);
	free(bias);
	free(packed);
	free(kept);
	free(b_bf16);
	free(c);
	free(before);
}

/* What a tile copies besides: as many rows as its depth allows, and nothing beside them. */
static void expect_copying(gemm_tile_function *run)
{
	enum { DEPTH = 31, FROM = WIDTH + 5, N = DEPTH / GEMM_ROW_STEP };
	float *zeros = xaligned(DEPTH * WIDTH, sizeof *zeros),
	      *c = xaligned(ROWS * WIDTH, sizeof *c);
	float *from = new_integers((N + 1) * FROM, 1), *to = new_integers((N + 1) * WIDTH, 2);
	float *before = new_integers((N + 1) * WIDTH, 2);
	const struct gemm_tile t = {
		.a = zeros,
		.a_stride = DEPTH,
		.b = zeros,
		.depth = DEPTH,
		.c = c,
		.c_stride = WIDTH,
		.rows = ROWS,
		.columns = WIDTH,
		.copy = {.to = to, .from = from, .stride = FROM},
	};

	run(&t);
	for (int i = 0; i <= N; i++)
		for (int j = 0; j < WIDTH; j++)
			assert_true(to[i * WIDTH + j] ==
				    (i < N ? from[i * FROM + j] : before[i * WIDTH + j]));
	free(zeros);
	free(c);
	free(from);
	free(to);
	free(before);
}

static void test_tiles_of_every_kind(void **state)
{
	const struct gemm_kernels *kernels = &gemm_kernels_portable;
	(void)state;
	for (int missing = 0; missing < VL; missing += 5) {
		for (int rows = 1; rows <= ROWS; rows++) {
			for (int v = 1; v <= VECTORS; v++) {
				expect_tile(kernels->tile[v - 1][rows - 1], rows, v, missing,
					    false);
				expect_tile(kernels->packed_tile[v - 1], rows, v, missing, true);
			}
			expect_tile(kernels->prefetching_tile[rows - 1], rows, VECTORS, missing,
				    false);
			expect_tile(kernels->widening_tile[rows - 1], rows, VECTORS, missing,
				    false);
			expect_tile(kernels->copying_packed_tile, rows, VECTORS, missing, true);
		}
		expect_tile(kernels->copying_tile, ROWS, VECTORS, missing, false);
		for (int i = 0; i < 2; i++)
			expect_tile(kernels->keeping_tile[i], ROWS, VECTORS, missing, false);
		for (int parts = 2; parts <= GEMM_PARTS_MAX; parts++)
			if (kernels->fetching_tile[parts])
				expect_tile(kernels->fetching_tile[parts], ROWS, VECTORS, missing,
					    false);
	}
}

static void test_tiles_that_copy(void **state)
{
	const struct gemm_kernels *kernels = &gemm_kernels_portable;
	(void)state;
	expect_copying(kernels->copying_tile);
	expect_copying(kernels->copying_packed_tile);
}

static void open_nothing(void)
{
}

static int no_openblas(void **state)
{
	(void)state;
	isa_select(ISA_PORTABLE);
	two_threads = pool_create(2);
	return pthread_once(&blas_once, open_nothing); /* instead of blas_open */
}

static int destroy_pool(void **state)
{
	(void)state;
	pool_destroy(two_threads);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_products_of_few_rows),
		cmocka_unit_test(test_products_of_many_rows),
		cmocka_unit_test(test_tiles_of_every_kind),
		cmocka_unit_test(test_tiles_that_copy),
	};
	return cmocka_run_group_tests(tests, no_openblas, destroy_pool);
}

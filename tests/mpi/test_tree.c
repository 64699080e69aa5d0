/* ranks: 1 2 4 8 */
/* Sums over ranks have the bits of one fixed binary tree. */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/rng.h"
#include "tests/mpi/check.h"

/* Numbers of very different sizes, so that another order of adding shows. */
static double number(int rank, size_t i)
{
	double exponent = 12 * rng_uniform(1, RNG_DATA, (uint32_t)rank, (uint32_t)i, 0, 0);
	double sign = rng_uniform(1, RNG_DATA, (uint32_t)rank, (uint32_t)i, 1, 0) < 0.5 ? -1 : 1;
	return sign * __builtin_exp2(exponent) *
	       rng_uniform(1, RNG_DATA, (uint32_t)rank, (uint32_t)i, 2, 0);
}

static float expected_float(int first, int n, size_t i)
{
	if (n == 1)
		return (float)number(first, i);
	float low = expected_float(first, n / 2, i);
	return low + expected_float(first + n / 2, n / 2, i);
}

static double expected_double(int first, int n, size_t i)
{
	if (n == 1)
		return number(first, i);
	double low = expected_double(first, n / 2, i);
	return low + expected_double(first + n / 2, n / 2, i);
}

static void sum_float(struct comm *comm, float *x, size_t n)
{
	comm_tree_scatter_float(comm, x, n, 1);
	comm_tree_gather_float(comm, x, n, 1);
}

static void test_float_sum_is_the_tree(struct comm *comm, size_t n)
{
	float *x = xcalloc(n + 1, sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)number(comm_rank(comm), i);
	x[n] = 42;
	sum_float(comm, x, n);
	size_t wrong = 0;
	for (size_t i = 0; i < n; i++) {
		float expected = expected_float(0, comm_size(comm), i);
		wrong += memcmp(&x[i], &expected, sizeof expected) != 0;
	}
	CHECK(wrong == 0);
	CHECK(x[n] == 42);
	free(x);
}

static void test_double_sum_is_the_tree(struct comm *comm, size_t n)
{
	double *x = xcalloc(n + 1, sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = number(comm_rank(comm), i);
	x[n] = 42;
	comm_tree_sum_double(comm, x, n);
	size_t wrong = 0;
	for (size_t i = 0; i < n; i++) {
		double expected = expected_double(0, comm_size(comm), i);
		wrong += memcmp(&x[i], &expected, sizeof expected) != 0;
	}
	CHECK(wrong == 0);
	CHECK(x[n] == 42);
	free(x);
}

/* The sum in its two halves: parts of whole blocks that cover the array, each with
 * the bits of the sum, and then everywhere. */
static void test_parts(struct comm *comm, size_t n, size_t grain)
{
	float *x = xcalloc(n + 1, sizeof *x);
	size_t part[2], (*parts)[2] = xcalloc((size_t)comm_size(comm), sizeof *parts);
	size_t covered = 0, wrong = 0;
	comm_part(comm, n, grain, &part[0], &part[1]);
	comm_allgather(comm, part, sizeof part, parts);
	for (int r = 0; r < comm_size(comm); r++) {
		CHECK(parts[r][0] % grain == 0 || parts[r][0] == n);
		CHECK(parts[r][1] % grain == 0 || parts[r][1] == n);
		covered += parts[r][1] - parts[r][0];
		for (int q = 0; q < r; q++)
			CHECK(parts[q][1] <= parts[r][0] || parts[r][1] <= parts[q][0]);
	}
	CHECK(covered == n);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)number(comm_rank(comm), i);
	x[n] = 42;
	comm_tree_scatter_float(comm, x, n, grain);
	for (size_t i = part[0]; i < part[1]; i++)
		wrong += x[i] != expected_float(0, comm_size(comm), i);
	for (size_t i = 0; i < n; i++)
		if (i < part[0] || i >= part[1])
			x[i] = -1;
	comm_tree_gather_float(comm, x, n, grain);
	for (size_t i = 0; i < n; i++)
		wrong += x[i] != expected_float(0, comm_size(comm), i);
	CHECK(wrong == 0);
	CHECK(x[n] == 42);
	free(parts);
	free(x);
}

/* More than two rounds of 8 MiB; whole numbers, whose sum is exact. */
static void test_long_sum_in_rounds(struct comm *comm)
{
	size_t n = 2 * (2 << 20) + 12345;
	float *x = xcalloc(n, sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i % 1000) + (float)comm_rank(comm);
	sum_float(comm, x, n);
	int size = comm_size(comm);
	size_t wrong = 0;
	for (size_t i = 0; i < n; i++)
		wrong += x[i] !=
			 (float)(i % 1000) * (float)size + (float)size * (float)(size - 1) / 2;
	CHECK(wrong == 0);
	free(x);
}

int main(void)
{
	struct comm *world = comm_init();
	const size_t sizes[] = {0, 1, 2, 3, 5, 7, 8, 9, 1000, 70001};
	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
		test_float_sum_is_the_tree(world, sizes[s]);
		test_double_sum_is_the_tree(world, sizes[s] < 2000 ? sizes[s] : 2000);
	}
	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
		for (size_t grain = 1; grain < 2000; grain *= 11)
			test_parts(world, sizes[s] < 2000 ? sizes[s] : 2000, grain);
	test_long_sum_in_rounds(world);
	return check_end(world);
}

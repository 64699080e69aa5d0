/* pool and clock: every iteration runs once, and waiting costs no core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/pool.h"
#include "tests/idle.h"

struct counts {
	_Atomic int ran[1000];
	int n_threads;
	_Atomic int bad_threads;
};

static void count(void *args, int i, int thread)
{
	struct counts *counts = args;
	atomic_fetch_add(&counts->ran[i], 1);
	if (thread < 0 || thread >= counts->n_threads)
		atomic_fetch_add(&counts->bad_threads, 1);
}

static void check_loops(struct pool *pool, int n_loops)
{
	static const int sizes[] = {0, 1, 2, 3, 7, 64, 1000};
	struct counts *counts = calloc(1, sizeof *counts);
	counts->n_threads = pool_threads(pool);
	int expected[1000] = {0};
	for (int loop = 0; loop < n_loops; loop++) {
		int n = sizes[loop % 7];
		pool_run(pool, n, count, counts);
		for (int i = 0; i < n; i++)
			assert_int_equal(counts->ran[i], ++expected[i]);
	}
	assert_int_equal(counts->bad_threads, 0);
	free(counts);
}

static void test_pool_runs_each_iteration_once(void **state)
{
	(void)state;
	check_loops(NULL, 14);
	for (int n = 1; n <= 5; n++) {
		struct pool *pool = pool_create(n);
		assert_int_equal(pool_threads(pool), n);
		check_loops(pool, 700);
		pool_destroy(pool);
	}
	pool_destroy(NULL);
	assert_int_equal(pool_threads(NULL), 1);
	assert_true(pool_cores() >= 1);
}

static void test_pool_works_after_its_workers_fell_asleep(void **state)
{
	(void)state;
	struct pool *pool = pool_create(3);
	for (int i = 0; i < 30; i++) {
		clock_sleep(1e-3);
		check_loops(pool, 7);
	}
	pool_destroy(pool);
}

static void slow_elsewhere(void *args, int i, int thread)
{
	(void)i;
	if (thread != 0)
		clock_sleep(2e-3);
	atomic_fetch_add((_Atomic int *)args, 1);
}

static void test_pool_waits_for_workers_slower_than_the_caller(void **state)
{
	(void)state;
	struct pool *pool = pool_create(2);
	for (int loop = 0; loop < 50; loop++) {
		_Atomic int n_ran = 0;
		pool_run(pool, 4, slow_elsewhere, &n_ran);
		assert_int_equal(n_ran, 4);
	}
	pool_destroy(pool);
}

/* --- walks --- */

enum { WALKED = 500, WALK_THREADS = 5 };

struct walked {
	_Atomic int ran[WALKED];
	_Atomic int n_ran, n_walks, jumps;
	int waits_for; /* iterations: number 0 lasts until so many others have run */
};

static void walk_on(void *args, struct pool_walk *walk, int thread)
{
	struct walked *walked = args;
	int last = -1;
	(void)thread;
	atomic_fetch_add(&walked->n_walks, 1);
	for (int i = pool_walk_next(walk); i >= 0; last = i, i = pool_walk_next(walk)) {
		atomic_fetch_add(&walked->ran[i], 1);
		atomic_fetch_add(&walked->n_ran, i > 0);
		if (last >= 0 && i != last + 1)
			atomic_fetch_add(&walked->jumps, 1);
		for (int ms = 0; i == 0 && walked->n_ran < walked->waits_for && ms < 20000; ms++)
			clock_sleep(1e-3);
	}
}

static void check_walks(struct pool *pool, int n, int most)
{
	struct walked *walked = calloc(1, sizeof *walked);
	pool_run_walks(pool, n, most, walk_on, walked);
	for (int i = 0; i < WALKED; i++)
		assert_int_equal(walked->ran[i], i < n);
	int walks = n < most ? n : most;
	assert_int_equal(walked->n_walks, walks < pool_threads(pool) ? walks : pool_threads(pool));
	if (pool_threads(pool) == 1)
		assert_int_equal(walked->jumps, 0);
	free(walked);
}

static void test_walks_give_each_iteration_once(void **state)
{
	static const int sizes[] = {0, 1, 2, 3, 17, WALKED};
	(void)state;
	for (int n_threads = 1; n_threads <= WALK_THREADS; n_threads++) {
		struct pool *pool = n_threads == 1 ? NULL : pool_create(n_threads);
		for (int loop = 0; loop < 600; loop++)
			check_walks(pool, sizes[loop % 6], 1 + loop % 7);
		pool_destroy(pool);
	}
}

static void test_each_of_many_threads_walks(void **state)
{
	struct pool *pool = pool_create(300);
	(void)state;
	check_walks(pool, WALKED, WALKED);
	pool_destroy(pool);
}

/* While the walk of one thread stays at its first iteration, the other takes the rest of
 * it: later halves, so that it jumps seldom. */
static void test_a_walk_that_is_through_takes_from_a_slow_one(void **state)
{
	struct pool *pool = pool_create(2);
	struct walked *walked = calloc(1, sizeof *walked);
	(void)state;
	walked->waits_for = WALKED - 1;
	pool_run_walks(pool, WALKED, 2, walk_on, walked);
	for (int i = 0; i < WALKED; i++)
		assert_int_equal(walked->ran[i], 1);
	assert_true(walked->jumps >= 1 && walked->jumps <= 10);
	free(walked);
	pool_destroy(pool);
}

static void test_waiting_costs_no_core(void **state)
{
	(void)state;
	struct pool *pool = pool_create(4);
	struct idle spent = idle_now();
	double began = clock_now();
	struct pause pause;
	pause_reset(&pause);
	while (clock_now() - began < 0.1)
		pause_step(&pause);
	assert_true(idle_slept(idle_since(spent), 0.1, 0.03));
	pause_reset(&pause);
	assert_true(pause.since == 0);
	pool_destroy(pool);
}

static void test_clock_sleeps_at_least_as_long_as_asked(void **state)
{
	(void)state;
	double began = clock_now();
	clock_sleep(0.02);
	assert_true(clock_now() - began >= 0.0199);
	clock_sleep(0);
	clock_sleep(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool_runs_each_iteration_once),
		cmocka_unit_test(test_pool_works_after_its_workers_fell_asleep),
		cmocka_unit_test(test_pool_waits_for_workers_slower_than_the_caller),
		cmocka_unit_test(test_walks_give_each_iteration_once),
		cmocka_unit_test(test_each_of_many_threads_walks),
		cmocka_unit_test(test_a_walk_that_is_through_takes_from_a_slow_one),
		cmocka_unit_test(test_waiting_costs_no_core),
		cmocka_unit_test(test_clock_sleeps_at_least_as_long_as_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Thread team.
 *
 * A loop is published as one 64-bit ticket: the loop's number in the high half,
 * the iterations not yet dealt in the low half.  A thread deals itself an
 * iteration by counting the ticket down.  While it holds one, the loop cannot
 * end, so what it then reads of the loop (work, args, n) belongs to the ticket;
 * a worker that wakes too late finds the ticket at zero and reads nothing.
 * Nobody therefore waits for sleeping workers when the work is already done.
 *
 * Waiting spins briefly and then sleeps on a futex word: workers on wakeups,
 * which every loop counts up, the caller on n_done.
 *
 * Walks are ranges of iterations, one for each thread: its owner takes from the front and
 * whoever is through from the back. */
#include "common/base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/thread.h"

static const double SPIN_SECONDS = 20e-6;

struct worker {
	struct pool *pool;
	pthread_t thread;
	int index; /* 1 .. n_threads - 1; the caller is 0 */
};

struct pool {
	int n_threads;
	struct worker *workers; /* [n_threads - 1] */
	_Atomic bool is_closing;

	/* the loop: written by the caller before the ticket */
	void (*work)(void *args, int i, int thread);
	void *args;
	int n;

	_Alignas(64) _Atomic uint64_t ticket;
	_Alignas(64) _Atomic uint32_t wakeups;
	_Atomic int n_sleeping; /* workers in, or on their way to, the futex */
	_Alignas(64) _Atomic uint32_t n_done;
	_Atomic bool caller_sleeps;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t expected)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* Spins until the word leaves (or, if until, reaches) the value; false when the
 * time is up. */
static bool spin(_Atomic uint32_t *word, uint32_t value, bool until)
{
	double end = 0;
	for (;;) {
		for (int i = 0; i < 64; i++) {
			if ((atomic_load_explicit(word, memory_order_acquire) == value) == until)
				return true;
			relax();
		}
		double now = clock_now();
		if (end == 0)
			end = now + SPIN_SECONDS;
		else if (now >= end)
			return false;
	}
}

/* Deals iterations to this thread until none is left. */
static void run_iterations(struct pool *pool, int thread)
{
	uint32_t mine = 0;
	uint64_t ticket = atomic_load(&pool->ticket);
	while ((uint32_t)ticket > 0) {
		if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1))
			continue;
		pool->work(pool->args, pool->n - (int)(uint32_t)ticket, thread);
		mine++;
		ticket = atomic_load(&pool->ticket);
	}
	if (mine == 0)
		return;
	atomic_fetch_add(&pool->n_done, mine);
	if (thread != 0 && atomic_load(&pool->caller_sleeps))
		futex_wake(&pool->n_done, 1);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct pool *pool = worker->pool;
	while (!atomic_load(&pool->is_closing)) {
		uint32_t seen = atomic_load(&pool->wakeups);
		run_iterations(pool, worker->index);
		if (atomic_load(&pool->is_closing) || spin(&pool->wakeups, seen, false))
			continue;
		atomic_fetch_add(&pool->n_sleeping, 1);
		futex_wait(&pool->wakeups, seen);
		atomic_fetch_sub(&pool->n_sleeping, 1);
	}
	return NULL;
}

static void wake_workers(struct pool *pool)
{
	atomic_fetch_add(&pool->wakeups, 1);
	if (atomic_load(&pool->n_sleeping) > 0)
		futex_wake(&pool->wakeups, INT_MAX);
}

struct pool *pool_create(int n_threads)
{
	if (n_threads < 1)
		die("a team of %d threads", n_threads);
	struct pool *pool = xaligned(1, sizeof *pool);
	pool->n_threads = n_threads;
	pool->workers = xcalloc((size_t)n_threads - 1, sizeof *pool->workers);
	for (int i = 0; i < n_threads - 1; i++) {
		struct worker *worker = &pool->workers[i];
		*worker = (struct worker){.pool = pool, .index = i + 1};
		thread_start(&worker->thread, worker_main, worker);
	}
	return pool;
}

void pool_destroy(struct pool *pool)
{
	if (!pool)
		return;
	atomic_store(&pool->is_closing, true);
	wake_workers(pool);
	for (int i = 0; i < pool->n_threads - 1; i++)
		pthread_join(pool->workers[i].thread, NULL);
	free(pool->workers);
	free(pool);
}

int pool_threads(const struct pool *pool)
{
	return pool ? pool->n_threads : 1;
}

static void wait_for_all(struct pool *pool, uint32_t n)
{
	if (spin(&pool->n_done, n, true))
		return;
	atomic_store(&pool->caller_sleeps, true);
	for (uint32_t done; (done = atomic_load(&pool->n_done)) != n;)
		futex_wait(&pool->n_done, done);
	atomic_store(&pool->caller_sleeps, false);
}

void pool_run(struct pool *pool, int n, void (*work)(void *args, int i, int thread), void *args)
{
	if (n <= 1 || pool_threads(pool) == 1) {
		for (int i = 0; i < n; i++)
			work(args, i, 0);
		return;
	}
	/* No worker holds an iteration, so none reads these now. */
	pool->work = work;
	pool->args = args;
	pool->n = n;
	atomic_store(&pool->n_done, 0);
	uint64_t number = (atomic_load(&pool->ticket) >> 32) + 1;
	atomic_store(&pool->ticket, number << 32 | (uint32_t)n);
	wake_workers(pool);
	run_iterations(pool, 0);
	wait_for_all(pool, (uint32_t)n);
}

/* ---- walks ---- */

enum { WALKS_MAX = 1024 }; /* threads beyond so many begin none */

/* Iterations that no walk has been given yet: the first in the low half, the one after
 * the last in the high half.  None comes back once it has been given, so a range that
 * is found unchanged is the same one. */
struct range {
	_Alignas(64) _Atomic uint64_t left;
};

struct walks {
	struct range ranges[WALKS_MAX];
	int n;
	void (*walk_on)(void *args, struct pool_walk *walk, int thread);
	void *args;
};

struct pool_walk {
	struct walks *all;
	struct range *own;
};

static uint64_t range_of(uint32_t begin, uint32_t end)
{
	return (uint64_t)end << 32 | begin;
}

static uint32_t range_length(uint64_t left)
{
	return (uint32_t)(left >> 32) - (uint32_t)left;
}

/* The later half of the longest range becomes this walk's own, which is empty. */
static bool take_half(struct pool_walk *walk)
{
	for (;;) {
		struct range *longest = walk->own;
		uint64_t left = 0;
		for (int i = 0; i < walk->all->n; i++) {
			uint64_t other = atomic_load(&walk->all->ranges[i].left);
			if (range_length(other) > range_length(left)) {
				longest = &walk->all->ranges[i];
				left = other;
			}
		}
		if (range_length(left) == 0)
			return false;
		uint32_t end = (uint32_t)(left >> 32), middle = end - (range_length(left) + 1) / 2;
		if (atomic_compare_exchange_strong(&longest->left, &left,
						   range_of((uint32_t)left, middle))) {
			atomic_store(&walk->own->left, range_of(middle, end));
			return true;
		}
	}
}

int pool_walk_next(struct pool_walk *walk)
{
	do {
		uint64_t left = atomic_load(&walk->own->left);
		while (range_length(left) > 0) {
			if (atomic_compare_exchange_weak(&walk->own->left, &left, left + 1))
				return (int)(uint32_t)left;
		}
	} while (take_half(walk));
	return -1;
}

static void begin_walk(void *args, int i, int thread)
{
	struct walks *all = args;
	struct pool_walk walk = {all, &all->ranges[i]};
	all->walk_on(all->args, &walk, thread);
}

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

void pool_run_walks(struct pool *pool, int n, int most,
		    void (*walk_on)(void *args, struct pool_walk *walk, int thread), void *args)
{
	struct walks all;
	all.n = min_int(min_int(n, most), min_int(pool_threads(pool), WALKS_MAX));
	all.walk_on = walk_on;
	all.args = args;
	for (int i = 0; i < all.n; i++)
		all.ranges[i].left = range_of((uint32_t)((int64_t)n * i / all.n),
					      (uint32_t)((int64_t)n * (i + 1) / all.n));
	pool_run(pool, all.n, begin_walk, &all);
}

int pool_cores(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) != 0) {
		long online = sysconf(_SC_NPROCESSORS_ONLN);
		return online > 0 && online < INT_MAX ? (int)online : 1;
	}
	return CPU_COUNT(&set);
}

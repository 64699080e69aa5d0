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
 * which every loop counts up, the caller on n_done. */
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

int pool_cores(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) != 0) {
		long online = sysconf(_SC_NPROCESSORS_ONLN);
		return online > 0 && online < INT_MAX ? (int)online : 1;
	}
	return CPU_COUNT(&set);
}

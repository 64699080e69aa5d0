/* A team of threads for loops whose iterations are independent.
 *
 *     pool_run(pool, n, work, &args);   work(&args, i, thread) for i in [0, n)
 *
 * Iterations are dealt dynamically, so which thread runs which one is not
 * fixed: results must not depend on it.  A NULL pool, or one thread, runs the
 * loop in place.  Workers that find nothing to do spin for a few microseconds
 * and then sleep in the kernel: an idle team costs no core.  OpenMP is not used
 * because its wait policy is fixed by the environment before main. */
#pragma once

struct pool;
struct pool_walk;

struct pool *pool_create(int n_threads); /* n_threads >= 1, the caller's included */
void pool_destroy(struct pool *pool);
int pool_threads(const struct pool *pool); /* 1 for NULL */
/* thread is in [0, pool_threads).  work must not call pool_run on this pool. */
void pool_run(struct pool *pool, int n, void (*work)(void *args, int i, int thread), void *args);
/* A loop in which each thread goes through neighbouring iterations and knows the next
 * one while it works on one:
 *
 *     pool_run_walks(pool, n, most, walk_on, &args);   walk_on(&args, walk, thread)
 *     int i = pool_walk_next(walk);                    in [0, n), or -1: none is left
 *
 * At most `most` walks, one for each thread, begin in as many equal ranges; one that is
 * through its own takes the later half of what is left of the longest.  Each iteration
 * belongs to the walk that has been given it, and is given once. */
void pool_run_walks(struct pool *pool, int n, int most,
		    void (*walk_on)(void *args, struct pool_walk *walk, int thread), void *args);
int pool_walk_next(struct pool_walk *walk);
/* Cores this process may run on. */
int pool_cores(void);

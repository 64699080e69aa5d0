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

struct pool *pool_create(int n_threads); /* n_threads >= 1, the caller's included */
void pool_destroy(struct pool *pool);
int pool_threads(const struct pool *pool); /* 1 for NULL */
/* thread is in [0, pool_threads).  work must not call pool_run on this pool. */
void pool_run(struct pool *pool, int n, void (*work)(void *args, int i, int thread), void *args);
/* Cores this process may run on. */
int pool_cores(void);

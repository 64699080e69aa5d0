/* The most multiply-adds that 1, 2, ... threads of this machine do together.
 *
 *     bench_limit THREADS...
 *
 * One line each: threads, GFLOP/s. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/fma_limit.h"

enum { TRIES = 2000 }; /* about a second; other programs may disturb any one */

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct pool *pool = pool_create(atoi(argv[i]));

		printf("%d %.1f\n", pool_threads(pool), fma_limit(pool, TRIES) * 1e-9);
		pool_destroy(pool);
	}
	return 0;
}

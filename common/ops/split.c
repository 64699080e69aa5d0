/* Cuts a range into pieces of one fixed size and deals them to a pool.
 *
 * The size of a piece is a property of the work, not of the team, so short
 * arrays never pay for waking a thread. */
#include "common/ops/split.h"

struct split {
	size_t n;
	size_t grain;
	void (*work)(void *args, size_t begin, size_t end);
	void *args;
};

static void split_piece(void *args, int i, int thread)
{
	const struct split *split = args;
	size_t begin = (size_t)i * split->grain;
	size_t left = split->n - begin;
	(void)thread;
	split->work(split->args, begin, begin + (left < split->grain ? left : split->grain));
}

void split_run(struct pool *pool, size_t n, size_t grain,
	       void (*work)(void *args, size_t begin, size_t end), void *args)
{
	if (n == 0)
		return;
	if (n <= grain || pool_threads(pool) == 1) {
		work(args, 0, n);
		return;
	}
	struct split split = {n, grain, work, args};
	pool_run(pool, (int)((n + grain - 1) / grain), split_piece, &split);
}

size_t split_rows(size_t row_elements)
{
	return row_elements < SPLIT_ELEMENTS ? SPLIT_ELEMENTS / (row_elements + 1) + 1 : 1;
}

size_t split_columns(size_t n_rows)
{
	const size_t line = 16; /* floats in a cache line, which two threads should not share */
	return (split_rows(n_rows) + line - 1) / line * line;
}

/* Cuts a range into pieces of one fixed size and deals them to a pool. */
#pragma once

#include <stddef.h>

#include "common/base/pool.h"

/* Elements of cheap work that are worth one piece. */
enum { SPLIT_ELEMENTS = 16384 };

/* Calls work(args, begin, end) for pieces of `grain` items that cover [0, n).
 * Runs in place, as one piece, when n <= grain or the pool has one thread, so
 * results must not depend on where the cuts are. */
void split_run(struct pool *pool, size_t n, size_t grain,
	       void (*work)(void *args, size_t begin, size_t end), void *args);

/* Rows in a piece when a row has `row_elements` elements; at least 1. */
size_t split_rows(size_t row_elements);
/* Columns in a strip over n_rows rows; a multiple of 16. */
size_t split_columns(size_t n_rows);

/* Running frozen models over many sequences on a team of threads.
 *
 * A small model is fastest when each thread takes whole sequences and works
 * alone; a large one when all threads share each product.  Both give the same
 * bits, so the choice is made here, by size, and nowhere else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/pool.h"
#include "common/model/model.h"

/* Whether threads work on separate sequences: the weights fit into a cache. */
bool model_is_small(const struct model *model);

/* One arena for each thread of a team, kept from call to call. */
struct workspace {
	struct arena *arenas;
	int n;
};
void workspace_init(struct workspace *workspace, struct pool *pool);
void workspace_release(struct workspace *workspace);

/* Cuts n sequences of the given lengths, in order, into groups of at most
 * max_tokens tokens (a longer sequence is a group of its own) and calls
 * work(context, first, count, arena, pool) once for each group, on several
 * threads at a time (then pool is NULL) or one after another. */
typedef void sequences_work(void *context, int first, int count, struct arena *arena,
			    struct pool *pool);
void sequences_run(const struct model *model, const int *lengths, int n, int max_tokens,
		   sequences_work *work, void *context, struct workspace *workspace,
		   struct pool *pool);
/* Tokens of the largest group that sequences_run makes of them with n_threads. */
int sequences_most_tokens(const struct model *model, const int *lengths, int n, int max_tokens,
			  int n_threads);

/* Number of sequences of lengths[first..n) in the group that begins at first. */
int sequences_group(const int *lengths, int first, int n, int max_tokens);

/* Groups of sequences on threads; see sequences.h. */
#include "common/model/sequences.h"

#include <stdlib.h>

#include "common/base/die.h"

/* Weights beside activations in a second-level cache. */
enum { SMALL_MODEL_FLOATS = 1 << 21 };

bool model_is_small(const struct model *model)
{
	return model->layout.n_weights <= SMALL_MODEL_FLOATS;
}

void workspace_init(struct workspace *workspace, struct pool *pool)
{
	workspace->n = pool_threads(pool);
	workspace->arenas = xcalloc((size_t)workspace->n, sizeof *workspace->arenas);
	for (int i = 0; i < workspace->n; i++)
		arena_init(&workspace->arenas[i]);
}

void workspace_release(struct workspace *workspace)
{
	for (int i = 0; i < workspace->n; i++)
		arena_release(&workspace->arenas[i]);
	free(workspace->arenas);
	*workspace = (struct workspace){0};
}

int sequences_group(const int *lengths, int first, int n, int max_tokens)
{
	int64_t tokens = lengths[first];
	int end = first + 1;

	while (end < n && tokens + lengths[end] <= max_tokens)
		tokens += lengths[end++];
	return end - first;
}

struct groups {
	const int *starts; /* [n_groups + 1] */
	sequences_work *work;
	void *context;
	struct workspace *workspace;
	struct pool *pool; /* of the work itself */
};

static void run_group(void *args, int i, int thread)
{
	const struct groups *groups = args;
	groups->work(groups->context, groups->starts[i], groups->starts[i + 1] - groups->starts[i],
		     &groups->workspace->arenas[thread], groups->pool);
}

/* Tokens of a group such that every thread gets about the same number of them: a
 * small model's groups are worked on side by side. */
static int balanced_tokens(const int *lengths, int n, int max_tokens, int n_threads)
{
	int64_t total = 0, rounds, share;
	int longest = 0;

	for (int i = 0; i < n; i++) {
		total += lengths[i];
		longest = lengths[i] > longest ? lengths[i] : longest;
	}
	rounds = (total + (int64_t)n_threads * max_tokens - 1) / ((int64_t)n_threads * max_tokens);
	if (rounds == 0)
		return max_tokens;
	/* A group ends before the sequence that would pass its limit: half of one more. */
	share = (total + n_threads * rounds - 1) / (n_threads * rounds) + longest / 2;
	return share < max_tokens ? (int)share : max_tokens;
}

int sequences_most_tokens(const struct model *model, const int *lengths, int n, int max_tokens,
			  int n_threads)
{
	int most = 0;

	if (model_is_small(model))
		max_tokens = balanced_tokens(lengths, n, max_tokens, n_threads);
	for (int first = 0, end; first < n; first = end) {
		int tokens = 0;

		end = first + sequences_group(lengths, first, n, max_tokens);
		for (int i = first; i < end; i++)
			tokens += lengths[i];
		most = tokens > most ? tokens : most;
	}
	return most;
}

void sequences_run(const struct model *model, const int *lengths, int n, int max_tokens,
		   sequences_work *work, void *context, struct workspace *workspace,
		   struct pool *pool)
{
	int *starts = xcalloc((size_t)n + 1, sizeof *starts);
	int n_groups = 0;
	struct groups groups = {
		.starts = starts, .work = work, .context = context, .workspace = workspace};

	if (model_is_small(model))
		max_tokens = balanced_tokens(lengths, n, max_tokens, pool_threads(pool));
	for (int first = 0; first < n; first = starts[n_groups])
		starts[++n_groups] = first + sequences_group(lengths, first, n, max_tokens);
	if (model_is_small(model)) {
		pool_run(pool, n_groups, run_group, &groups);
	} else {
		groups.pool = pool;
		for (int i = 0; i < n_groups; i++)
			run_group(&groups, i, 0);
	}
	free(starts);
}

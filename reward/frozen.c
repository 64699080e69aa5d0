/* Forward passes without gradients over many sequences; see frozen.h.  How the
 * sequences are grouped does not change a bit of the results. */
#include "reward/frozen.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/model/transformer.h"

enum { GROUP_TOKENS = 1024 };

struct frozen {
	const struct model *model;
	struct frozen_item *items;
	float inv_temperature;
	const int32_t *banned;
	int n_banned;
	enum pooling pooling;
};

/* Where each item's ids begin among those of n items. */
static int *find_offsets(const struct frozen_item *items, int n, struct arena *arena)
{
	int *offsets = arena_alloc(arena, (size_t)n + 1, sizeof *offsets);

	offsets[0] = 0;
	for (int b = 0; b < n; b++)
		offsets[b + 1] = offsets[b] + items[b].n;
	return offsets;
}

/* The hidden states [n_wanted, C] of some rows. */
static float *run_items(const struct frozen *frozen, const struct frozen_item *items, int n,
			const int *offsets, const int *wanted, int n_wanted, struct arena *arena,
			struct pool *pool)
{
	int32_t *ids = arena_alloc(arena, (size_t)offsets[n], sizeof *ids);
	float *hidden = arena_alloc(
		arena, (size_t)n_wanted * (size_t)frozen->model->config.n_channels, sizeof *hidden);
	struct batch batch = {.ids = ids,
			      .offsets = offsets,
			      .n_seqs = n,
			      .wanted = wanted,
			      .n_wanted = n_wanted};

	for (int b = 0; b < n; b++)
		memcpy(ids + offsets[b], items[b].ids, (size_t)items[b].n * sizeof *ids);
	transformer_forward(frozen->model, &batch, hidden, NULL, arena, pool);
	return hidden;
}

static void logprob_group(void *context, int first, int n, struct arena *arena,
			  struct pool *pool)
{
	const struct frozen *frozen = context;
	struct frozen_item *items = frozen->items + first;
	size_t mark = arena_mark(arena), total = 0, k = 0;
	const int *offsets = find_offsets(items, n, arena);
	float *hidden, *logprob;
	int *rows;
	int32_t *targets;
	uint8_t *early;
	struct head_ban ban = {.ids = frozen->banned, .n_ids = frozen->n_banned};

	for (int b = 0; b < n; b++)
		total += (size_t)(items[b].n - items[b].first);
	rows = arena_alloc(arena, total, sizeof *rows);
	targets = arena_alloc(arena, total, sizeof *targets);
	early = arena_alloc(arena, total, sizeof *early);
	logprob = arena_alloc(arena, total, sizeof *logprob);
	for (int b = 0; b < n; b++)
		for (int i = items[b].first; i < items[b].n; i++, k++) {
			rows[k] = offsets[b] + i - 1;
			targets[k] = items[b].ids[i];
			early[k] = i - items[b].first < items[b].n_early;
		}
	hidden = run_items(frozen, items, n, offsets, rows, (int)total, arena, pool);
	ban.applies = early;
	head_logprobs(frozen->model, hidden, NULL, targets, (int)total, frozen->inv_temperature,
		      &ban, logprob, NULL, NULL, arena, pool);
	for (int b = 0; b < n; b++) {
		int count = items[b].n - items[b].first;
		memcpy(items[b].logprob, logprob, (size_t)count * sizeof *logprob);
		logprob += count;
	}
	arena_rewind(arena, mark);
}

static void score_group(void *context, int first, int n, struct arena *arena, struct pool *pool)
{
	const struct frozen *frozen = context;
	struct frozen_item *items = frozen->items + first;
	int n_labels = frozen->model->config.n_labels;
	size_t mark = arena_mark(arena);
	const int *offsets = find_offsets(items, n, arena);
	int *rows = arena_alloc(arena, (size_t)n, sizeof *rows);
	float *scores = arena_alloc(arena, (size_t)n * (size_t)n_labels, sizeof *scores), *hidden;

	for (int b = 0; b < n; b++)
		rows[b] = offsets[b] + head_pool(frozen->pooling, &frozen->model->config,
						 items[b].ids, items[b].n, items[b].n_prompt);
	hidden = run_items(frozen, items, n, offsets, rows, n, arena, pool);
	head_score(frozen->model, hidden, NULL, n, scores, arena, pool);
	for (int b = 0; b < n; b++)
		memcpy(items[b].scores, scores + (size_t)b * n_labels,
		       (size_t)n_labels * sizeof *scores);
	arena_rewind(arena, mark);
}

static void run_all(const struct frozen *frozen, int n, sequences_work *work,
		    struct workspace *workspace, struct pool *pool)
{
	int *lengths = xcalloc((size_t)n, sizeof *lengths);

	for (int i = 0; i < n; i++)
		lengths[i] = frozen->items[i].n;
	sequences_run(frozen->model, lengths, n, GROUP_TOKENS, work, (void *)frozen, workspace,
		      pool);
	free(lengths);
}

void frozen_logprobs(const struct model *model, struct frozen_item *items, int n,
		     float inv_temperature, const int32_t *banned, int n_banned,
		     struct workspace *workspace, struct pool *pool)
{
	struct frozen frozen = {.model = model,
				.items = items,
				.inv_temperature = inv_temperature,
				.banned = banned,
				.n_banned = n_banned};
	run_all(&frozen, n, logprob_group, workspace, pool);
}

void frozen_scores(const struct model *model, struct frozen_item *items, int n,
		   enum pooling pooling, struct workspace *workspace, struct pool *pool)
{
	struct frozen frozen = {.model = model, .items = items, .pooling = pooling};
	run_all(&frozen, n, score_group, workspace, pool);
}

size_t frozen_workspace_bytes(const struct model *model, int n, int length, int n_threads)
{
	int *lengths = xcalloc((size_t)n, sizeof *lengths), t;
	size_t head, forward, ids;

	for (int i = 0; i < n; i++)
		lengths[i] = length;
	t = sequences_most_tokens(model, lengths, n, GROUP_TOKENS, n_threads);
	free(lengths);
	forward = transformer_forward_bytes(model, t);
	head = model->config.head == HEAD_LM ? head_logprobs_bytes(model, t) : 0;
	ids = (size_t)t * (4 * sizeof(int32_t) + sizeof(uint8_t));
	return (size_t)(model_is_small(model) ? n_threads : 1) *
	       ((size_t)t * (size_t)model->config.n_channels * sizeof(float) + ids +
		(forward > head ? forward : head));
}

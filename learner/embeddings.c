/* See embeddings.h. */
#include "learner/embeddings.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/memory.h"
#include "common/run/fault.h"
#include "learner/pooled.h"

/* Of the node's memory, shared among the ranks on it. */
#define SHARE_OF_MEMORY 0.25

size_t embeddings_bytes(const struct dataset *dataset, const struct model *model, int n_ranks)
{
	double memory = (double)memory_of_node();
	size_t bytes = (size_t)dataset->n * (size_t)model->config.n_channels * sizeof(float);

	return (double)bytes > SHARE_OF_MEMORY * memory / n_ranks ? 0 : bytes;
}

void embeddings_init(struct embeddings *embeddings, const struct dataset *dataset,
		     const struct model *model, struct comm *comm)
{
	size_t n = (size_t)dataset->n, width = (size_t)model->config.n_channels;

	*embeddings = (struct embeddings){.dataset = dataset, .width = (int)width};
	/* Nodes differ in memory and in ranks, but who keeps them exchanges them. */
	if (comm_any(comm, embeddings_bytes(dataset, model, comm_local_ranks()) == 0 ||
				   fault_omits("embeddings")))
		return;
	embeddings->rows = xcalloc(n * width, sizeof *embeddings->rows);
	embeddings->known = xcalloc(n, sizeof *embeddings->known);
}

void embeddings_release(struct embeddings *embeddings)
{
	free(embeddings->rows);
	free(embeddings->known);
	*embeddings = (struct embeddings){0};
}

/* --- computing --- */

static void compute(const struct units *units, int first, int n, float *out, struct arena *arena,
		    struct pool *pool)
{
	size_t mark = arena_mark(arena), width = (size_t)units->model->config.n_channels;
	struct pooled pooled;

	pooled_forward(&pooled, units, first, n, NULL, arena, pool);
	memcpy(out, pooled.hidden, (size_t)n * width * sizeof *out);
	arena_rewind(arena, mark);
}

/* As numbers that ranks exchange, which are exact. */
static void measure(const struct units *units, int first, int n, double *numbers,
		    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena),
	       n_floats = (size_t)n * (size_t)units->model->config.n_channels;
	float *out = arena_alloc(arena, n_floats, sizeof *out);

	compute(units, first, n, out, arena, pool);
	for (size_t i = 0; i < n_floats; i++)
		numbers[i] = out[i];
	arena_rewind(arena, mark);
}

void embeddings_look(struct embeddings *embeddings, struct supervised *run, const int *rows, int n)
{
	enum { AT_ONCE = 4096 };
	int *unknown, n_unknown = 0;

	if (!embeddings->rows)
		return;
	unknown = xcalloc((size_t)n, sizeof *unknown);
	for (int i = 0; i < n; i++) {
		int row = rows ? rows[i] : i;

		if (!embeddings->known[row])
			unknown[n_unknown++] = row;
		embeddings->known[row] = 1;
	}
	for (int first = 0; first < n_unknown; first += AT_ONCE) {
		int count = n_unknown - first < AT_ONCE ? n_unknown - first : AT_ONCE;
		double *numbers =
			supervised_measure(run, run->model, embeddings->dataset, unknown + first,
					   count, measure, embeddings->width, false);

		for (int i = 0; i < count; i++)
			for (int k = 0; k < embeddings->width; k++)
				embeddings->rows[(size_t)unknown[first + i] *
							 (size_t)embeddings->width +
						 (size_t)k] = (float)
					numbers[(size_t)i * (size_t)embeddings->width + (size_t)k];
		free(numbers);
	}
	free(unknown);
}

void embeddings_get(const struct embeddings *embeddings, const struct units *units, int first,
		    int n, float *out, struct arena *arena, struct pool *pool)
{
	size_t width = (size_t)embeddings->width;

	if (!embeddings->rows) {
		compute(units, first, n, out, arena, pool);
		return;
	}
	for (int i = 0; i < n; i++)
		memcpy(out + (size_t)i * width,
		       embeddings->rows + (size_t)units->rows[first + i] * width,
		       width * sizeof *out);
}

/* What a frozen backbone makes of each row: the hidden state at the position that is
 * scored.  Computed once a row, when it is first drawn, and kept on every rank as long
 * as all of them fit into memory; else computed each time, to the same bits. */
#pragma once

#include "learner/supervised.h"

struct embeddings {
	const struct dataset *dataset;
	float *rows;	/* [dataset->n, C]; NULL where they do not fit */
	uint8_t *known; /* [dataset->n] */
	int width;	/* C */
};

/* They are kept where they fit on every rank.  Collective over comm. */
void embeddings_init(struct embeddings *embeddings, const struct dataset *dataset,
		     const struct model *model, struct comm *comm);
/* What one of n_ranks of a node keeps; 0 where they do not fit. */
size_t embeddings_bytes(const struct dataset *dataset, const struct model *model, int n_ranks);
void embeddings_release(struct embeddings *embeddings);
/* Makes those of n rows known (rows NULL: of all), where they are kept.  Collective. */
void embeddings_look(struct embeddings *embeddings, struct supervised *run, const int *rows, int n);
/* out [n, C] of units first .. first+n-1, which have been looked at. */
void embeddings_get(const struct embeddings *embeddings, const struct units *units, int first,
		    int n, float *out, struct arena *arena, struct pool *pool);

/* Drawing a token from a row of logits.
 *
 * Options act in this order, each on what those before have left, with the meaning that
 * transformers gives them:
 *     banned    these ids are gone
 *     top_k     logits below the k-th largest are gone; its equals stay
 *     top_p     the likeliest ids stay until their probability together reaches p; of
 *               equal ones at the end the lower ids
 *     min_p     ids less likely than min_p times the likeliest are gone
 * and then one of the rest is drawn from softmax(z / temperature).  The largest logit
 * always stays. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sampling {
	double temperature;  /* 0: the largest logit, the first of equals */
	int top_k;	     /* 0: off */
	double top_p, min_p; /* 1 and 0: off */
};

struct sampling_row {
	const float *logits;
	int n;			/* ids from n on are never drawn */
	const int32_t *banned; /* [n_banned] */
	int n_banned;
};

/* Whether ids may be left out, for which sampling_draw needs scratch. */
bool sampling_truncates(const struct sampling *sampling);
size_t sampling_scratch_bytes(int n);

/* The id at u in [0, 1) of the cumulative distribution, ids ascending.  Where NaN
 * leaves nothing to choose, the first id that is not banned.  scratch: as many bytes as
 * sampling_scratch_bytes(n) says, or NULL if nothing is truncated. */
int32_t sampling_draw(const struct sampling_row *row, const struct sampling *sampling, double u,
		      void *scratch);
/* kept[i], i < n: whether id i may be drawn, of options that truncate. */
void sampling_kept(bool *kept, const struct sampling_row *row, const struct sampling *sampling,
		   void *scratch);

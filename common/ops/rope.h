/* Rotary positions, half-split: pair i with i + r/2 (Su et al. 2021). */
#pragma once

#include "common/base/pool.h"

/* In place on the first n_heads heads of each row of x [T, row_floats], D floats
 * a head, the first r of them rotated.  angles [T] points to each row's
 * cos[r/2] | sin[r/2].  direction is +1, or -1 to rotate a gradient back. */
void rope_apply(float *x, const float *const *angles, int t, int row_floats, int n_heads,
		int head_dim, int r, int direction, struct pool *pool);

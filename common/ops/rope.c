/* Rotary positions: deals rows to threads; the rotation is in element_kernel.c. */
#include "common/ops/rope.h"

#include "common/ops/element_kernel.h"
#include "common/ops/split.h"

struct rope {
	float *x;
	const float *const *angles;
	int row_floats, n_heads, head_dim, r;
	float sign;
};

static void rope_rows(void *args, size_t begin, size_t end)
{
	const struct rope *rope = args;
	for (size_t t = begin; t < end; t++)
		element_kernels()->rope(rope->x + t * (size_t)rope->row_floats, rope->angles[t],
					rope->n_heads, rope->head_dim, rope->r / 2, rope->sign);
}

void rope_apply(float *x, const float *const *angles, int t, int row_floats, int n_heads,
		int head_dim, int r, int direction, struct pool *pool)
{
	struct rope rope = {
		x, angles, row_floats, n_heads, head_dim, r, direction < 0 ? -1.0f : 1.0f};
	split_run(pool, (size_t)t, split_rows((size_t)n_heads * (size_t)r), rope_rows, &rope);
}

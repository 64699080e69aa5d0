/* Activations: cuts arrays for the pool; the formulas are in element_kernel.c. */
#include "common/ops/activation.h"

#include "common/ops/element_kernel.h"
#include "common/ops/split.h"

struct activation_args {
	float *y, *dx;
	const float *x, *dy;
	size_t f_dim; /* gated only */
	enum activation f;
};

static void plain_forward(void *args, size_t begin, size_t end)
{
	const struct activation_args *a = args;
	element_kernels()->gate(a->y + begin, a->x + begin, NULL, end - begin, a->f);
}

static void plain_backward(void *args, size_t begin, size_t end)
{
	const struct activation_args *a = args;
	element_kernels()->gate_backward(a->dx + begin, NULL, a->dy + begin, a->x + begin, NULL,
					 end - begin, a->f);
}

static void gated_forward_rows(void *args, size_t begin, size_t end)
{
	const struct activation_args *a = args;
	for (size_t t = begin; t < end; t++) {
		const float *row = a->x + t * 2 * a->f_dim;
		element_kernels()->gate(a->y + t * a->f_dim, row, row + a->f_dim, a->f_dim, a->f);
	}
}

static void gated_backward_rows(void *args, size_t begin, size_t end)
{
	const struct activation_args *a = args;
	for (size_t t = begin; t < end; t++) {
		const float *row = a->x + t * 2 * a->f_dim;
		float *drow = a->dx + t * 2 * a->f_dim;
		element_kernels()->gate_backward(drow, drow + a->f_dim, a->dy + t * a->f_dim, row,
						 row + a->f_dim, a->f_dim, a->f);
	}
}

void activation_forward(float *y, const float *x, size_t n, enum activation f, struct pool *pool)
{
	struct activation_args args = {.y = y, .x = x, .f = f};
	split_run(pool, n, SPLIT_ELEMENTS, plain_forward, &args);
}

void activation_backward(float *dx, const float *dy, const float *x, size_t n, enum activation f,
			 struct pool *pool)
{
	struct activation_args args = {.dx = dx, .dy = dy, .x = x, .f = f};
	split_run(pool, n, SPLIT_ELEMENTS, plain_backward, &args);
}

void gated_forward(float *y, const float *gate_up, int t, int f_dim, enum activation f,
		   struct pool *pool)
{
	struct activation_args args = {.y = y, .x = gate_up, .f_dim = (size_t)f_dim, .f = f};
	split_run(pool, (size_t)t, split_rows(args.f_dim), gated_forward_rows, &args);
}

void gated_backward(float *dgate_up, const float *dy, const float *gate_up, int t, int f_dim,
		    enum activation f, struct pool *pool)
{
	struct activation_args args = {
		.dx = dgate_up, .dy = dy, .x = gate_up, .f_dim = (size_t)f_dim, .f = f};
	split_run(pool, (size_t)t, split_rows(args.f_dim), gated_backward_rows, &args);
}

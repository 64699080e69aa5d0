/* What attention.c needs of one ISA level; private to the attention files.  cap and
 * window are those of struct attention_shape. */
#pragma once

#include <stddef.h>

/* One query head of one sequence. */
struct attention_head {
	const float *q, *k, *v; /* [t, d] each, rows `stride` apart */
	size_t stride;
	int t, d, window;
	float scale, cap;
	float *out; /* [t, d], rows out_stride apart */
	size_t out_stride;
	float *lse; /* [t], lse_stride apart; may be NULL */
	size_t lse_stride;
};

/* One key/value head of one sequence and the query heads that share it. */
struct attention_group {
	int n_heads;		/* query heads */
	const float *q, *k, *v; /* [t, n_heads d], [t, d], [t, d], rows `stride` apart */
	float *dq, *dk, *dv;	/* laid out like them, overwritten */
	size_t stride;
	const float *out, *dout; /* [t, n_heads d], rows out_stride apart */
	size_t out_stride;
	const float *lse; /* [t, n_heads], rows lse_stride apart */
	size_t lse_stride;
	int t, d, window;
	float scale, cap;
};

/* One new position of such a group against a cache. */
struct attention_step {
	int n_heads;
	const float *q; /* [n_heads, d] */
	float *out;	/* [n_heads, d] */
	/* [ceil(length / 64)]; in each, this head's keys [d, 64] are at k and its
	 * values [64, d] at v. */
	float *const *blocks;
	size_t k, v;
	int length; /* positions held, the new one included */
	int d, window;
	float scale, cap;
};

struct attention_kernels {
	void (*forward)(const struct attention_head *head);
	void (*backward)(const struct attention_group *group);
	void (*decode)(const struct attention_step *step);
};

extern const struct attention_kernels attention_kernels_portable;
#ifdef __x86_64__
extern const struct attention_kernels attention_kernels_avx2;
extern const struct attention_kernels attention_kernels_avx512;
#endif

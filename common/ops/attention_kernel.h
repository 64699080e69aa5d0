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

/* Where a head's key and value of one position go. */
struct attention_position {
	const float *k, *v;   /* [d] */
	float *keys, *values; /* of the block, as attention.h has them */
	int number;	      /* of the position, from the beginning of the sequence */
	int d;
};

/* One new position of such a group against a cache. */
struct attention_step {
	int n_heads;
	const float *q; /* [n_heads, d] */
	float *out;	/* [n_heads, d] */
	/* [ceil(length / 64)]; in each, this head's keys are at k and its values at v. */
	float *const *blocks;
	size_t k, v;
	int length; /* positions held, the new one included */
	int d, window;
	float scale, cap;
};

struct attention_kernels {
	void (*forward)(const struct attention_head *head);
	void (*backward)(const struct attention_group *group);
	void (*append)(const struct attention_position *to);
	/* next: what the same thread decodes after it, or NULL. */
	void (*decode)(const struct attention_step *step, const struct attention_step *next);
};

extern const struct attention_kernels attention_kernels_portable;
#ifdef __x86_64__
extern const struct attention_kernels attention_kernels_avx2;
extern const struct attention_kernels attention_kernels_avx512;
#endif

/* What gemm.c needs of one ISA level; private to the gemm files.
 *
 * A tile of C, at most GEMM_ROWS_MAX rows by one panel's width, stays in
 * registers while the kernel walks down the depth (the summed dimension). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { GEMM_ROWS_MAX = 8, GEMM_VECTORS_MAX = 3, GEMM_WIDTH_MAX = 48 };

/* How much of the next block a tile prefetches while it walks through its own,
 * which is as large: tiles that share a block share this work. */
enum gemm_prefetch {
	GEMM_PREFETCH_NONE,
	GEMM_PREFETCH_QUARTER,
	GEMM_PREFETCH_HALF,
	GEMM_PREFETCH_ALL,
	GEMM_PREFETCH_COUNT
};
enum gemm_layout {
	GEMM_A_ROWS,   /* element (r, k) of A is a[r * a_stride + k] */
	GEMM_A_PACKED, /* element (r, k) of A is a[k * kernels.rows + r] */
	GEMM_LAYOUT_COUNT
};

/* c = (accumulate ? c : 0) + a b, one chain for each element in ascending k,
 * and then + bias. */
struct gemm_tile {
	const float *a;
	size_t a_stride; /* for GEMM_A_ROWS */
	const float *b;	 /* [depth, width], 64-byte aligned */
	int depth;
	bool accumulate;
	float *c; /* [rows, width], rows c_stride apart */
	size_t c_stride;
	const float *bias; /* [width] or NULL */
	const char *next;  /* where prefetching begins */
};

struct gemm_kernels {
	int rows;  /* of the largest tile */
	int width; /* floats in a row of a panel */
	int lanes; /* floats in a vector */
	/* [number of rows - 1][layout of A][share of prefetching] */
	void (*tile[GEMM_ROWS_MAX][GEMM_LAYOUT_COUNT][GEMM_PREFETCH_COUNT])(
		const struct gemm_tile *tile);
	/* Tiles of the first v vectors of a panel: [v - 1][number of rows - 1][layout of A]. */
	void (*narrow[GEMM_VECTORS_MAX - 1][GEMM_ROWS_MAX][GEMM_LAYOUT_COUNT])(
		const struct gemm_tile *tile);
	/* out[k * out_stride + r] = in[r * in_stride + k], r < rows, k < depth */
	void (*transpose)(float *out, size_t out_stride, const float *in, size_t in_stride,
			  int rows, int depth);
	/* The columns of a row-major block cut into panels, the last one filled
	 * up with zeros: out[p][k][j] = in[k * in_stride + p * width + j]. */
	void (*copy_b)(float *out, const float *in, size_t in_stride, int depth, int columns);
	/* The same for panels as wide as a tile has rows. */
	void (*copy_a)(float *out, const float *in, size_t in_stride, int depth, int columns);
};

extern const struct gemm_kernels gemm_kernels_portable;
#ifdef __x86_64__
extern const struct gemm_kernels gemm_kernels_avx2;
extern const struct gemm_kernels gemm_kernels_avx512;
#endif

/* What gemm.c needs of one ISA level; private to the gemm files.
 *
 * A tile of C, at most GEMM_ROWS_MAX rows by one panel's width, stays in
 * registers while the kernel walks down the depth (the summed dimension). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GEMM_ROWS_MAX = 8,
	GEMM_VECTORS_MAX = 3,
	GEMM_WIDTH_MAX = 48,
	GEMM_PARTS_MAX = 6,
	GEMM_ROW_STEP = 12,	  /* of depth, in which a tile copies or fetches one row */
	GEMM_PREFETCH_FAR = 8192, /* bytes that B from memory is fetched ahead of use */
};

/* What a tile copies besides: rows of B, stride floats apart, into rows of a panel. */
struct gemm_copy {
	float *to; /* 64-byte aligned */
	const float *from;
	size_t stride;
};

/* c = (accumulate ? c : 0) + a b, one chain for each element in ascending k,
 * and then + bias. */
struct gemm_tile {
	/* Element (r, k) of A is a[r * a_stride + k]; of packed A a[k * kernels.rows + r]. */
	const float *a;
	size_t a_stride;
	const float *b;		/* [depth, width], 64-byte aligned */
	const uint16_t *b_bf16; /* the same in bfloat16: of a widening tile, in place of b */
	float *kept; /* [depth, width]: of a keeping tile, which leaves B's floats here */
	int depth;
	bool accumulate;
	float *c; /* [rows, columns], rows c_stride apart */
	size_t c_stride;
	int rows;	   /* of a packed tile, which is computed whole */
	int columns;	   /* at most width; the others are not touched */
	const float *bias; /* [columns] or NULL */
	/* Of a tile that fetches: from here on, and whether each line of a step is a run of
	 * lines of its own, one as far from the other as the tile is long. */
	const char *next;
	bool is_next_apart;
	/* Rows of C, c_stride apart, that full tiles fetch if they fetch or widen nothing of B. */
	const float *next_c;
	int next_rows;
	struct gemm_copy copy; /* of a tile that copies, depth / GEMM_ROW_STEP rows */
};

typedef void gemm_tile_function(const struct gemm_tile *tile);

struct gemm_kernels {
	int rows;  /* of the largest tile */
	int width; /* floats in a row of a panel */
	int lanes; /* of a vector */
	/* A in place: [vectors that hold the columns - 1][rows - 1]. */
	gemm_tile_function *tile[GEMM_VECTORS_MAX][GEMM_ROWS_MAX];
	/* The same at full width, fetching as many bytes as B has. */
	gemm_tile_function *prefetching_tile[GEMM_ROWS_MAX];
	/* The same from a B in bfloat16, fetching as many bytes as that has. */
	gemm_tile_function *widening_tile[GEMM_ROWS_MAX];
	/* The same with all rows, which keeps B's floats: fetching all or half of that. */
	gemm_tile_function *keeping_tile[2];
	/* All rows at full width, fetching one of 2, 3, 4 or 6 parts, by which they are
	 * indexed, of as many bytes as B has. */
	gemm_tile_function *fetching_tile[GEMM_PARTS_MAX + 1];
	/* A packed. */
	gemm_tile_function *packed_tile[GEMM_VECTORS_MAX];
	/* All rows at full width, A in place or packed, which copies meanwhile. */
	gemm_tile_function *copying_tile, *copying_packed_tile;
	/* out[k * out_stride + r] = in[r * in_stride + k], r < rows, k < depth */
	void (*transpose)(float *out, size_t out_stride, const float *in, size_t in_stride,
			  int rows, int depth);
	/* n numbers, a multiple of lanes: to float, fetching from memory ahead of use; to the
	 * nearest bfloat16. */
	void (*widen)(float *out, const uint16_t *in, size_t n);
	void (*narrow)(uint16_t *out, const float *in, size_t n);
	/* The columns of a row-major block cut into panels, panel_stride floats
	 * apart, the last one filled up with zeros:
	 * out[p * panel_stride + k * width + j] = in[k * in_stride + p * width + j]. */
	void (*copy_b)(float *out, size_t panel_stride, const float *in, size_t in_stride,
		       int depth, int columns);
	/* The same for panels as wide as a tile has rows. */
	void (*copy_a)(float *out, size_t panel_stride, const float *in, size_t in_stride,
		       int depth, int columns);
};

extern const struct gemm_kernels gemm_kernels_portable;
#ifdef __x86_64__
extern const struct gemm_kernels gemm_kernels_avx2;
extern const struct gemm_kernels gemm_kernels_avx512;
#endif

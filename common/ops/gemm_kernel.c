/* The inner loops of matrix products, one table of them for each ISA level.
 *
 * tile() is written once for any number of rows, vectors and lanes; every
 * combination used is a function of its own in which the accumulators live in
 * registers: 6 x 2 of 16 for AVX2 (12 accumulators, 2 vectors of B, 1 element
 * of A), 8 x 3 of 32 for AVX-512, 4 x 2 of 16 for the portable level, which
 * also holds products. */
#include "common/ops/gemm_kernel.h"

#include "common/ops/simd.h"

#if KERNEL_LEVEL == 2
#define ROWS 8
#define VECTORS 3
#elif KERNEL_LEVEL == 1
#define ROWS 6
#define VECTORS 2
#elif !defined ROWS
#define ROWS 4
#define VECTORS 2
#endif
#define WIDTH (VECTORS * VL)
#define DEPTH_STEP 4 /* k unrolled in the main loop */
#define STEP_LINES (DEPTH_STEP * WIDTH * (int)sizeof(float) / 64)

_Static_assert(ROWS <= GEMM_ROWS_MAX && WIDTH <= GEMM_WIDTH_MAX && VECTORS <= GEMM_VECTORS_MAX,
	       "gemm_kernel.h has the limits");

/* sum += a * b.  From the intrinsic gcc 12 makes forms that overwrite a or b,
 * moves accumulators about to make up for it, and spills. */
ALWAYS_INLINE void accumulate(vf *sum, vf a, vf b)
{
#if KERNEL_LEVEL > 0 && !defined __clang__
	__asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
#else
	*sum = vf_fma(a, b, *sum);
#endif
}

ALWAYS_INLINE void tile_load(vf c[ROWS][VECTORS], int rows, int vectors,
			     const struct gemm_tile *t)
{
	UNROLL
	for (int r = 0; r < rows; r++) {
		UNROLL
		for (int v = 0; v < vectors; v++)
			c[r][v] = t->accumulate ? vf_load(t->c + r * t->c_stride + v * VL)
						: vf_set1(0);
	}
}

ALWAYS_INLINE void tile_store(vf c[ROWS][VECTORS], int rows, int vectors,
			      const struct gemm_tile *t)
{
	if (t->bias) {
		UNROLL
		for (int r = 0; r < rows; r++) {
			UNROLL
			for (int v = 0; v < vectors; v++)
				c[r][v] = c[r][v] + vf_load(t->bias + v * VL);
		}
	}
	UNROLL
	for (int r = 0; r < rows; r++) {
		UNROLL
		for (int v = 0; v < vectors; v++)
			vf_store(t->c + r * t->c_stride + v * VL, c[r][v]);
	}
}

/* Where A is read: row r is at[r / 3] + r % 3 * stride, which are addresses that
 * one instruction can form.  The compiler must not see through them, or it keeps
 * one pointer for each row and each k unrolled and spills them. */
struct a_reader {
	const float *at[(ROWS + 2) / 3];
	size_t stride; /* in floats */
};

ALWAYS_INLINE void a_hide(struct a_reader *a, int rows)
{
	UNROLL
	for (int i = 0; i < (rows + 2) / 3; i++)
		__asm__ volatile("" : "+r"(a->at[i]));
}

ALWAYS_INLINE void a_advance(struct a_reader *a, int rows, size_t floats)
{
	UNROLL
	for (int i = 0; i < (rows + 2) / 3; i++)
		a->at[i] += floats;
}

/* c += column k of A times row k of B, which b points at. */
ALWAYS_INLINE void tile_step(vf c[ROWS][VECTORS], int rows, int vectors, const float *b,
			     const struct a_reader *a, size_t k)
{
	vf row[VECTORS];
	UNROLL
	for (int v = 0; v < vectors; v++)
		row[v] = vf_load(b + v * VL);
	UNROLL
	for (int r = 0; r < rows; r++) {
		vf x = vf_set1(a->at[r / 3][r % 3 * a->stride + k]);
		UNROLL
		for (int v = 0; v < vectors; v++)
			accumulate(&c[r][v], x, row[v]);
	}
}

/* The first `vectors` vectors of a panel. */
ALWAYS_INLINE void tile(const struct gemm_tile *t, int rows, int vectors, enum gemm_layout layout,
			enum gemm_prefetch prefetch)
{
	const int lines = prefetch == GEMM_PREFETCH_ALL	      ? STEP_LINES
			  : prefetch == GEMM_PREFETCH_HALF    ? (STEP_LINES + 1) / 2
			  : prefetch == GEMM_PREFETCH_QUARTER ? (STEP_LINES + 3) / 4
							      : 0;
	const size_t a_step = layout == GEMM_A_PACKED ? ROWS : 1;
	struct a_reader a = {.stride = layout == GEMM_A_PACKED ? 1 : t->a_stride};
	const float *b = t->b;
	const char *next = t->next;
	vf c[ROWS][VECTORS];

	UNROLL
	for (int i = 0; i < (rows + 2) / 3; i++)
		a.at[i] = t->a + 3 * i * a.stride;
	tile_load(c, rows, vectors, t);
	int depth = t->depth;
	for (; depth >= DEPTH_STEP; depth -= DEPTH_STEP) {
		UNROLL
		for (int u = 0; u < DEPTH_STEP; u++) {
			a_hide(&a, layout == GEMM_A_PACKED ? 1 : rows);
			tile_step(c, rows, vectors, b + u * WIDTH, &a, u * a_step);
		}
		UNROLL
		for (int i = 0; i < lines; i++)
			__builtin_prefetch(next + i * 64, 0, 3);
		next += lines * 64;
		a_advance(&a, rows, DEPTH_STEP * a_step);
		b += DEPTH_STEP * WIDTH;
	}
	for (; depth > 0; depth--) {
		tile_step(c, rows, vectors, b, &a, 0);
		a_advance(&a, rows, a_step);
		b += WIDTH;
	}
	tile_store(c, rows, vectors, t);
}

#define TILE(rows, layout, prefetch)                                                               \
	static void tile_##rows##_##layout##_##prefetch(const struct gemm_tile *t)                 \
	{                                                                                          \
		tile(t, rows, VECTORS, layout, prefetch);                                                   \
	}
#define TILES_OF_LAYOUT(rows, layout)                                                              \
	TILE(rows, layout, GEMM_PREFETCH_NONE)                                                     \
	TILE(rows, layout, GEMM_PREFETCH_QUARTER)                                                  \
	TILE(rows, layout, GEMM_PREFETCH_HALF)                                                     \
	TILE(rows, layout, GEMM_PREFETCH_ALL)
#define NARROW(rows, layout, vectors)                                                              \
	static void narrow_##vectors##_##rows##_##layout(const struct gemm_tile *t)                \
	{                                                                                          \
		tile(t, rows, vectors, layout, GEMM_PREFETCH_NONE);                                \
	}
#if VECTORS > 2
#define NARROWS(rows, layout) NARROW(rows, layout, 1) NARROW(rows, layout, 2)
#else
#define NARROWS(rows, layout) NARROW(rows, layout, 1)
#endif
#define TILES(rows)                                                                                \
	TILES_OF_LAYOUT(rows, GEMM_A_ROWS)                                                         \
	TILES_OF_LAYOUT(rows, GEMM_A_PACKED)                                                       \
	NARROWS(rows, GEMM_A_ROWS)                                                                 \
	NARROWS(rows, GEMM_A_PACKED)
#define NAMES_OF_LAYOUT(rows, layout)                                                              \
	{                                                                                          \
		tile_##rows##_##layout##_GEMM_PREFETCH_NONE,                                       \
			tile_##rows##_##layout##_GEMM_PREFETCH_QUARTER,                            \
			tile_##rows##_##layout##_GEMM_PREFETCH_HALF,                               \
			tile_##rows##_##layout##_GEMM_PREFETCH_ALL                                 \
	}
#define NAMES(rows)                                                                                \
	{                                                                                          \
		NAMES_OF_LAYOUT(rows, GEMM_A_ROWS), NAMES_OF_LAYOUT(rows, GEMM_A_PACKED)           \
	}
#define NARROW_NAMES(rows, vectors)                                                                \
	{                                                                                          \
		narrow_##vectors##_##rows##_GEMM_A_ROWS, narrow_##vectors##_##rows##_GEMM_A_PACKED \
	}

TILES(1)
TILES(2)
TILES(3)
TILES(4)
#if ROWS > 4
TILES(5)
TILES(6)
#endif
#if ROWS > 6
TILES(7)
TILES(8)
#endif

typedef float quad __attribute__((vector_size(16)));
typedef float quad_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

ALWAYS_INLINE quad quad_load(const float *p)
{
	return *(const quad_unaligned *)p;
}

ALWAYS_INLINE void quad_store(float *p, quad x)
{
	*(quad_unaligned *)p = x;
}

ALWAYS_INLINE void transpose_4x4(float *out, size_t out_stride, const float *in, size_t in_stride)
{
	quad a = quad_load(in), b = quad_load(in + in_stride);
	quad c = quad_load(in + 2 * in_stride), d = quad_load(in + 3 * in_stride);
	quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
	quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
	quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
	quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
	quad_store(out, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
	quad_store(out + out_stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
	quad_store(out + 2 * out_stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
	quad_store(out + 3 * out_stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

static void transpose(float *out, size_t out_stride, const float *in, size_t in_stride, int rows,
		      int depth)
{
	int k = 0;
	for (; rows >= 4 && k + 4 <= depth; k += 4) {
		/* The last group of four rows may overlap the one before. */
		for (int done = 0; done < rows; done += 4) {
			int r = done + 4 <= rows ? done : rows - 4;
			transpose_4x4(out + k * out_stride + r, out_stride, in + r * in_stride + k,
				      in_stride);
		}
	}
	for (; k < depth; k++) {
		for (int r = 0; r < rows; r++)
			out[k * out_stride + r] = in[r * in_stride + k];
	}
}

ALWAYS_INLINE void copy_panels(float *out, const float *in, size_t in_stride, int depth,
			       int columns, const int width)
{
	const size_t panel = (size_t)depth * width;
	for (int k = 0; k < depth; k++) {
		const float *from = in + k * in_stride;
		float *to = out + (size_t)k * width;
		int left = columns;
		for (; left >= width; left -= width) {
			UNROLL
			for (int j = 0; j < width; j += 4) {
				int at = j + 4 <= width ? j : width - 4;
				quad_store(to + at, quad_load(from + at));
			}
			from += width;
			to += panel;
		}
		for (int j = 0; left > 0 && j < width; j++)
			to[j] = j < left ? from[j] : 0;
	}
}

static void copy_b(float *out, const float *in, size_t in_stride, int depth, int columns)
{
	copy_panels(out, in, in_stride, depth, columns, WIDTH);
}

static void copy_a(float *out, const float *in, size_t in_stride, int depth, int columns)
{
	copy_panels(out, in, in_stride, depth, columns, ROWS);
}

#if ROWS > 6
#define NARROW_TILES(vectors)                                                                      \
	{                                                                                          \
		NARROW_NAMES(1, vectors), NARROW_NAMES(2, vectors), NARROW_NAMES(3, vectors),      \
			NARROW_NAMES(4, vectors), NARROW_NAMES(5, vectors),                        \
			NARROW_NAMES(6, vectors), NARROW_NAMES(7, vectors),                        \
			NARROW_NAMES(8, vectors)                                                   \
	}
#elif ROWS > 4
#define NARROW_TILES(vectors)                                                                      \
	{                                                                                          \
		NARROW_NAMES(1, vectors), NARROW_NAMES(2, vectors), NARROW_NAMES(3, vectors),      \
			NARROW_NAMES(4, vectors), NARROW_NAMES(5, vectors),                        \
			NARROW_NAMES(6, vectors)                                                   \
	}
#else
#define NARROW_TILES(vectors)                                                                      \
	{                                                                                          \
		NARROW_NAMES(1, vectors), NARROW_NAMES(2, vectors), NARROW_NAMES(3, vectors),      \
			NARROW_NAMES(4, vectors)                                                   \
	}
#endif

const struct gemm_kernels LEVELED(gemm_kernels) = {
	.rows = ROWS,
	.width = WIDTH,
	.lanes = VL,
	.tile =
		{
			NAMES(1),
			NAMES(2),
			NAMES(3),
			NAMES(4),
#if ROWS > 4
			NAMES(5),
			NAMES(6),
#endif
#if ROWS > 6
			NAMES(7),
			NAMES(8),
#endif
		},
	.narrow =
		{
			NARROW_TILES(1),
#if VECTORS > 2
			NARROW_TILES(2),
#endif
		},
	.transpose = transpose,
	.copy_b = copy_b,
	.copy_a = copy_a,
};

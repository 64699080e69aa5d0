/* The inner loops of matrix products, one table of them for each ISA level.
 *
 * tile() is written once for any number of rows, vectors and lanes; every
 * combination used is a function of its own in which the accumulators live in
 * registers: 4 x 3 of 16 for AVX2 (12 accumulators, 3 vectors of B, 1 element
 * of A), 8 x 3 of 32 for AVX-512, 4 x 2 of 16 for the portable level, which
 * also holds products.
 *
 * Where B comes from memory, what keeps enough of it on the way is mostly the
 * CPU's own look-ahead: it sees as many multiply-adds ahead as it can hold, and
 * the fewer rows share a vector of B, the more of B that is.  Tiles help it by
 * prefetching, of their own block or of the next one, as gemm.c tells them.  All
 * prefetching goes to the second-level cache: requests for the first are few and would
 * stand in the way of loads.
 *
 * B may be in bfloat16, whose numbers are floats of which the lower half is 0.  A tile
 * widens them on their way into registers, and keeps them for those that come after
 * it in a block of floats that stays in the second-level cache. */
#include "common/ops/gemm_kernel.h"

#include "common/ops/simd.h"

#if KERNEL_LEVEL == 2
#define ROWS 8
#define VECTORS 3
#elif KERNEL_LEVEL == 1
#define ROWS 4
#define VECTORS 3
#elif !defined ROWS
#define ROWS 4
#define VECTORS 2
#endif
#define WIDTH (VECTORS * VL)
#define DEPTH_STEP 4  /* k unrolled in the main loop */
#define COPY_AHEAD 16 /* rows that are fetched ahead of their copy */

/* What a tile does besides: fetch from t->next on, as much as there is of B or a part, or
 * copy.  A full one that does not fetch B fetches C for the next. */
enum errand { NOTHING, ALL, HALF, THIRD, QUARTER, SIXTH = 6, COPY };

_Static_assert(ROWS <= GEMM_ROWS_MAX && VECTORS <= GEMM_VECTORS_MAX && WIDTH <= GEMM_WIDTH_MAX,
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

/* Vector v of a row of C or of the bias; of the last vector what exists. */
ALWAYS_INLINE vf columns_load(const float *row, int v, const int vectors, int last)
{
	return v + 1 < vectors || last == VL ? vf_load(row + v * VL)
					     : vf_load_first(row + v * VL, last);
}

ALWAYS_INLINE void columns_store(float *row, vf x, int v, const int vectors, int last)
{
	if (v + 1 < vectors || last == VL)
		vf_store(row + v * VL, x);
	else
		vf_store_first(row + v * VL, x, last);
}

ALWAYS_INLINE void tile_load(vf c[ROWS][VECTORS], const struct gemm_tile *t, const int rows,
			     const int vectors, int existing)
{
	const int last = t->columns - (vectors - 1) * VL;
	UNROLL
	for (int r = 0; r < rows; r++) {
		const float *row = t->c + r * t->c_stride;
		UNROLL
		for (int v = 0; v < vectors; v++)
			c[r][v] = t->accumulate && r < existing
					  ? columns_load(row, v, vectors, last)
					  : vf_set1(0);
	}
}

ALWAYS_INLINE void tile_store(vf c[ROWS][VECTORS], const struct gemm_tile *t, const int rows,
			      const int vectors, int existing)
{
	const int last = t->columns - (vectors - 1) * VL;
	if (t->bias) {
		UNROLL
		for (int v = 0; v < vectors; v++) {
			vf bias = columns_load(t->bias, v, vectors, last);
			UNROLL
			for (int r = 0; r < rows; r++)
				c[r][v] = c[r][v] + bias;
		}
	}
	UNROLL
	for (int r = 0; r < rows; r++) {
		if (r == existing)
			return;
		UNROLL
		for (int v = 0; v < vectors; v++)
			columns_store(t->c + r * t->c_stride, c[r][v], v, vectors, last);
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

/* B as it lies in memory. */
enum element { FLOAT, BF16, BF16_KEPT };

ALWAYS_INLINE vf b_load(const char *b, int v, const enum element element, float *kept)
{
	vf x = element == FLOAT ? vf_load((const float *)b + v * VL)
				: vf_load_bf16((const uint16_t *)b + v * VL);
	if (element == BF16_KEPT)
		vf_store(kept + v * VL, x);
	return x;
}

/* c += column k of A times row k of B, which b points at. */
ALWAYS_INLINE void tile_step(vf c[ROWS][VECTORS], const int rows, const int vectors, const char *b,
			     const enum element element, float *kept, const struct a_reader *a,
			     size_t k)
{
	vf row[VECTORS];
	UNROLL
	for (int v = 0; v < vectors; v++)
		row[v] = b_load(b, v, element, kept);
	UNROLL
	for (int r = 0; r < rows; r++) {
		vf x = vf_set1(a->at[r / 3][r % 3 * a->stride + k]);
		UNROLL
		for (int v = 0; v < vectors; v++)
			accumulate(&c[r][v], x, row[v]);
	}
}

/* Vector v of a row of the block that is copied, and what follows it so far behind. */
ALWAYS_INLINE void copy_vector(const struct gemm_copy *copy, int v)
{
	__builtin_prefetch(copy->from + COPY_AHEAD * copy->stride + v * VL, 0, 2);
	vf_store(copy->to + v * VL, vf_load(copy->from + v * VL));
}

ALWAYS_INLINE void tile(const struct gemm_tile *t, const int rows, const int vectors,
			const bool is_packed, const enum element element, const enum errand errand)
{
	const size_t a_step = is_packed ? ROWS : 1;
	const int existing = is_packed ? t->rows : rows;
	struct a_reader a = {.stride = is_packed ? 1 : t->a_stride};
	const char *b = element == FLOAT ? (const char *)t->b : (const char *)t->b_bf16;
	float *kept = t->kept;
	const int row_bytes = WIDTH * (element == FLOAT ? 4 : 2);
	const int parts = (int)errand, step_lines = DEPTH_STEP * row_bytes / 64;
	const int lines =
		errand == NOTHING || errand == COPY ? 0 : (step_lines + parts - 1) / parts;
	const size_t apart = t->is_next_apart ? (size_t)(t->depth / DEPTH_STEP) * 64 : 64;
	const size_t step = t->is_next_apart ? 64 : (size_t)lines * 64;
	const char *ahead = t->next;
	vf c[ROWS][VECTORS];

	UNROLL
	for (int i = 0; i < (rows + 2) / 3; i++)
		a.at[i] = t->a + 3 * i * a.stride;
	tile_load(c, t, rows, vectors, existing);
	int depth = t->depth;
	if (errand == COPY || (errand == NOTHING && rows == ROWS && vectors == VECTORS)) {
		const int steps = GEMM_ROW_STEP / VECTORS;
		const int most = depth / GEMM_ROW_STEP;
		const int n = errand == COPY || most < t->next_rows ? most : t->next_rows;
		const float *next_c = t->next_c;
		struct gemm_copy copy = t->copy;
		for (int i = 0; i < n; i++) {
			UNROLL
			for (int v = 0; v < VECTORS; v++) {
				if (i < t->next_rows)
					__builtin_prefetch(next_c + v * VL, 1, 2);
				if (errand == COPY)
					copy_vector(&copy, v);
				UNROLL
				for (int u = 0; u < steps; u++) {
					a_hide(&a, is_packed ? 1 : rows);
					tile_step(c, rows, vectors, b + u * row_bytes, element,
						  kept, &a, u * a_step);
				}
				a_advance(&a, rows, steps * a_step);
				b += steps * row_bytes;
			}
			next_c += t->c_stride;
			copy.from += copy.stride;
			copy.to += WIDTH;
		}
		depth -= n * GEMM_ROW_STEP;
	}
	for (; depth >= DEPTH_STEP; depth -= DEPTH_STEP) {
		UNROLL
		for (int u = 0; u < DEPTH_STEP; u++) {
			a_hide(&a, is_packed ? 1 : rows);
			tile_step(c, rows, vectors, b + u * row_bytes, element, kept + u * WIDTH,
				  &a, u * a_step);
		}
		UNROLL
		for (int i = 0; i < lines; i++)
			__builtin_prefetch(ahead + i * apart, 0, 2);
		ahead += step;
		a_advance(&a, rows, DEPTH_STEP * a_step);
		b += DEPTH_STEP * row_bytes;
		kept += element == BF16_KEPT ? DEPTH_STEP * WIDTH : 0;
	}
	for (; depth > 0; depth--) {
		tile_step(c, rows, vectors, b, element, kept, &a, 0);
		a_advance(&a, rows, a_step);
		b += row_bytes;
		kept += element == BF16_KEPT ? WIDTH : 0;
	}
	tile_store(c, t, rows, vectors, existing);
}

#define TILE(vectors, rows)                                                                        \
	static void tile_##vectors##_##rows(const struct gemm_tile *t)                             \
	{                                                                                          \
		tile(t, rows, vectors, false, FLOAT, NOTHING);                                     \
	}
#define PREFETCHING(vectors, rows)                                                                 \
	static void prefetching_##vectors##_##rows(const struct gemm_tile *t)                      \
	{                                                                                          \
		tile(t, rows, vectors, false, FLOAT, ALL);                                         \
	}
#define WIDENING(vectors, rows)                                                                    \
	static void widening_##vectors##_##rows(const struct gemm_tile *t)                         \
	{                                                                                          \
		tile(t, rows, vectors, false, BF16, ALL);                                          \
	}
#define PACKED(vectors)                                                                            \
	static void packed_##vectors(const struct gemm_tile *t)                                    \
	{                                                                                          \
		tile(t, ROWS, vectors, true, FLOAT, NOTHING);                                      \
	}
#define FETCHING(name, part)                                                                       \
	static void fetching_##name(const struct gemm_tile *t)                                     \
	{                                                                                          \
		tile(t, ROWS, VECTORS, false, FLOAT, part);                                        \
	}
#define TILE_NAME(vectors, rows) tile_##vectors##_##rows,
#define PREFETCHING_NAME(vectors, rows) prefetching_##vectors##_##rows,
#define WIDENING_NAME(vectors, rows) widening_##vectors##_##rows,
#define FOUR(do, vectors)                                                                          \
	do                                                                                         \
	(vectors, 1) do(vectors, 2) do(vectors, 3) do(vectors, 4)
#if ROWS == 8
#define EACH_HEIGHT(do, vectors)                                                                   \
	FOUR(do, vectors) do(vectors, 5) do(vectors, 6) do(vectors, 7) do(vectors, 8)
#else
#define EACH_HEIGHT(do, vectors) FOUR(do, vectors)
#endif

EACH_HEIGHT(TILE, 1)
EACH_HEIGHT(TILE, 2)
PACKED(1)
PACKED(2)
#if VECTORS == 3
EACH_HEIGHT(TILE, 3)
EACH_HEIGHT(PREFETCHING, 3)
EACH_HEIGHT(WIDENING, 3)
PACKED(3)
#else
EACH_HEIGHT(PREFETCHING, 2)
EACH_HEIGHT(WIDENING, 2)
#endif
FETCHING(half, HALF)
FETCHING(third, THIRD)
FETCHING(quarter, QUARTER)
FETCHING(sixth, SIXTH)

static void copying(const struct gemm_tile *t)
{
	tile(t, ROWS, VECTORS, false, FLOAT, COPY);
}

static void copying_packed(const struct gemm_tile *t)
{
	tile(t, ROWS, VECTORS, true, FLOAT, COPY);
}

static void keeping(const struct gemm_tile *t)
{
	tile(t, ROWS, VECTORS, false, BF16_KEPT, ALL);
}

static void keeping_half(const struct gemm_tile *t)
{
	tile(t, ROWS, VECTORS, false, BF16_KEPT, HALF);
}

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

static void widen(float *out, const uint16_t *in, size_t n)
{
	for (size_t i = 0; i < n; i += VL) {
		__builtin_prefetch((const char *)(in + i) + GEMM_PREFETCH_FAR, 0, 2);
		vf_store(out + i, vf_load_bf16(in + i));
	}
}

static void narrow(uint16_t *out, const float *in, size_t n)
{
	for (size_t i = 0; i < n; i += VL)
		vf_store_bf16(out + i, vf_load(in + i));
}

ALWAYS_INLINE void copy_panels(float *out, size_t panel_stride, const float *in, size_t in_stride,
			       int depth, int columns, const int width)
{
	for (int k = 0; k < depth; k++) {
		const float *from = in + k * in_stride;
		float *to = out + (size_t)k * width;
		int left = columns;
		for (int j = 0; j < columns; j += 16)
			__builtin_prefetch(from + COPY_AHEAD * in_stride + j, 0, 2);
		for (; left >= width; left -= width) {
			UNROLL
			for (int j = 0; j < width; j += 4)
				quad_store(to + j, quad_load(from + j));
			from += width;
			to += panel_stride;
		}
		for (int j = 0; left > 0 && j < width; j++)
			to[j] = j < left ? from[j] : 0;
	}
}

static void copy_b(float *out, size_t panel_stride, const float *in, size_t in_stride, int depth,
		   int columns)
{
	copy_panels(out, panel_stride, in, in_stride, depth, columns, WIDTH);
}

static void copy_a(float *out, size_t panel_stride, const float *in, size_t in_stride, int depth,
		   int columns)
{
	copy_panels(out, panel_stride, in, in_stride, depth, columns, ROWS);
}

const struct gemm_kernels LEVELED(gemm_kernels) = {
	.rows = ROWS,
	.width = WIDTH,
	.lanes = VL,
#if VECTORS == 3
	.tile = {{EACH_HEIGHT(TILE_NAME, 1)},
		 {EACH_HEIGHT(TILE_NAME, 2)},
		 {EACH_HEIGHT(TILE_NAME, 3)}},
	.prefetching_tile = {EACH_HEIGHT(PREFETCHING_NAME, 3)},
	.widening_tile = {EACH_HEIGHT(WIDENING_NAME, 3)},
	.packed_tile = {packed_1, packed_2, packed_3},
#else
	.tile = {{EACH_HEIGHT(TILE_NAME, 1)}, {EACH_HEIGHT(TILE_NAME, 2)}},
	.prefetching_tile = {EACH_HEIGHT(PREFETCHING_NAME, 2)},
	.widening_tile = {EACH_HEIGHT(WIDENING_NAME, 2)},
	.packed_tile = {packed_1, packed_2},
#endif
	.keeping_tile = {keeping, keeping_half},
	.copying_tile = copying,
	.copying_packed_tile = copying_packed,
	.fetching_tile = {[HALF] = fetching_half,
			  [THIRD] = fetching_third,
			  [QUARTER] = fetching_quarter,
			  [SIXTH] = fetching_sixth},
	.transpose = transpose,
	.widen = widen,
	.narrow = narrow,
	.copy_b = copy_b,
	.copy_a = copy_a,
};

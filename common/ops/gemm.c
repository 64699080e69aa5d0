/* Matrix products: blocking, packing and threads around the tiles of
 * gemm_kernel.c.
 *
 * All three products are C [rows, columns] = A [rows, depth] B [depth, columns]
 * with the depth summed in ascending order, one chain for each element:
 *
 *                       rows  columns  depth    A                B
 *     forward           M     N        K        x                packed W^T
 *     backward input    M     K        N        dy               w
 *     backward weight   N     K        M        dy transposed    x
 *
 * Threads split rows and columns, never the depth.  The depth is walked in
 * blocks that fit a cache; between blocks the partial sums rest in C, which
 * loses no bit, so every path through this file gives the same result.
 *
 * Packed W is [panel][K][width]: a panel is `width` columns of Y and the last
 * one is filled up with zeros.  Few rows (decoding) stream panels from memory
 * while A is read in place.  Many rows pack A as [block of depth][tile][k][row]
 * first, a stage at a time so that scratch memory stays bounded, and then reuse
 * each block of B in the first-level cache for all of a chunk of tiles.
 *
 * At the portable level the backward products go through OpenBLAS where it is
 * installed: opened on first use, one thread, on fixed panels of columns. */
#include "common/ops/gemm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/ops/gemm_kernel.h"
#include "common/ops/isa.h"

enum {
	STREAM_BLOCK_FLOATS = 6 << 10, /* block of a panel when B streams from memory */
	STREAM_ROWS = 96,	       /* up to so many rows A is read in place */
	STREAM_DEPTH = 256,	       /* or if they are as short as this */
	STREAM_A_FLOATS = 192 << 10,   /* and A as small as this: three quarters of 1 MiB */
	BLOCK_DEPTH = 256,	       /* block of depth when A is packed */
	BLOCK_COLUMNS = 144,	       /* about so many columns of B share a task */
	BLOCK_TILES = 32,	       /* tiles of A that stay in the second-level cache */
	STAGE_ROWS = 2048,	       /* the most of A that is packed at a time */
	STAGE_DEPTH = 2048,
	PACK_TILES = 8,		       /* tiles of A packed by one task */
	STREAM_TASK_FLOATS = 32 << 10, /* of packed W, at least, for one task */
	BLAS_COLUMNS = 256,
};
static const double parallel_flops = 1 << 20; /* below, waking threads costs more */

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

static int ceil_div(int a, int b)
{
	return a / b + (a % b != 0);
}

static const struct gemm_kernels *current_kernels(void)
{
#ifdef __x86_64__
	switch (isa_current()) {
	case ISA_AVX512:
		return &gemm_kernels_avx512;
	case ISA_AVX2:
		return &gemm_kernels_avx2;
	default:
		break;
	}
#endif
	return &gemm_kernels_portable;
}

static struct pool *pool_worth(struct pool *pool, int m, int n, int k)
{
	return 2.0 * m * n * k < parallel_flops ? NULL : pool;
}

/* Scratch of the calling thread: grows, is reused by its next product, and ends
 * with the thread. */
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Thread_local float *scratch;
static _Thread_local size_t scratch_floats;

static void scratch_create_key(void)
{
	if (pthread_key_create(&scratch_key, free) != 0)
		die("no thread-specific key is left for the scratch memory of products");
}

static float *scratch_get(size_t floats)
{
	if (floats > scratch_floats) {
		pthread_once(&scratch_once, scratch_create_key);
		free(scratch);
		scratch = xaligned(floats, sizeof *scratch);
		scratch_floats = floats;
		pthread_setspecific(scratch_key, scratch);
	}
	return scratch;
}

/* ---- packed weights ---- */

struct pack_args {
	const struct gemm_kernels *kernels;
	float *panels;
	const float *w;
	int n, k;
};

static void pack_panel(void *args, int panel, int thread)
{
	const struct pack_args *a = args;
	const int width = a->kernels->width, first = panel * width;
	const int columns = min_int(width, a->n - first);
	float *out = a->panels + (size_t)first * a->k;
	(void)thread;
	if (columns < width)
		memset(out, 0, (size_t)width * a->k * sizeof *out);
	a->kernels->transpose(out, width, a->w + (size_t)first * a->k, a->k, columns, a->k);
}

size_t gemm_packed_floats(int n, int k)
{
	const int width = current_kernels()->width;
	return (size_t)ceil_div(n, width) * width * k;
}

void gemm_pack(float *panels, const float *w, int n, int k, struct pool *pool)
{
	struct pack_args args = {current_kernels(), panels, w, n, k};
	pool_run(pool_worth(pool, n, k, 8), ceil_div(n, args.kernels->width), pack_panel, &args);
}

void gemm_unpack_row(float *out, const float *panels, int n_columns, int k, int row)
{
	const int width = current_kernels()->width;
	const float *from = panels + (size_t)(row / width) * width * k + row % width;
	ASSERT(row >= 0 && row < n_columns);
	(void)n_columns;
	for (int i = 0; i < k; i++)
		out[i] = from[(size_t)i * width];
}

/* ---- one product ---- */

struct product {
	const struct gemm_kernels *kernels;
	float *c; /* [rows, columns] */
	int c_stride; /* from a row of it to the next; columns, but for gemm_forward_add */
	int rows, columns, depth;
	bool accumulate;
	const float *a; /* [rows, depth] or [depth, rows] */
	bool is_a_transposed;
	const float *b;	     /* [depth, columns], or NULL: panels */
	const float *panels; /* B packed */
	const float *bias;   /* [columns] or NULL */
};

/* The tile at row and panel of C, whose right edge may cut the panel: then only the
 * vectors that are needed are computed, beside C if one of them is cut. */
static void run_tile(const struct product *p, struct gemm_tile *t, int row, int rows, int panel,
		     bool is_last_block, enum gemm_layout layout, enum gemm_prefetch prefetch)
{
	const int width = p->kernels->width, column = panel * width;
	const int columns = p->columns - column;
	const int vectors = ceil_div(columns, p->kernels->lanes);
	float *c = p->c + (size_t)row * p->c_stride + column;
	void (*const run)(const struct gemm_tile *) =
		vectors * p->kernels->lanes < width
			? p->kernels->narrow[vectors - 1][rows - 1][layout]
			: p->kernels->tile[rows - 1][layout][prefetch];
	t->bias = is_last_block && p->bias ? p->bias + column : NULL;
	t->c = c;
	t->c_stride = p->c_stride;
	if (columns >= width || columns == vectors * p->kernels->lanes) {
		run(t);
		return;
	}
	float edge[GEMM_ROWS_MAX * GEMM_WIDTH_MAX], bias[GEMM_WIDTH_MAX] = {0};
	const size_t bytes = (size_t)columns * sizeof *c;
	memset(edge, 0, sizeof edge);
	for (int r = 0; t->accumulate && r < rows; r++)
		memcpy(edge + r * width, c + (size_t)r * p->c_stride, bytes);
	if (t->bias)
		t->bias = memcpy(bias, t->bias, bytes);
	t->c = edge;
	t->c_stride = width;
	run(t);
	for (int r = 0; r < rows; r++)
		memcpy(c + (size_t)r * p->c_stride, edge + r * width, bytes);
}

/* ---- few rows: B streams, A in place ---- */

struct stream_args {
	const struct product *product;
	int panels_per_task;
};

/* The share of the next block that each of n tiles prefetches. */
static enum gemm_prefetch prefetch_share(int n, int tile)
{
	if (n == 1)
		return GEMM_PREFETCH_ALL;
	if (n < 4)
		return tile < 2 ? GEMM_PREFETCH_HALF : GEMM_PREFETCH_NONE;
	return tile < 4 ? GEMM_PREFETCH_QUARTER : GEMM_PREFETCH_NONE;
}

/* All rows of one panel of C for one block of the depth. */
static void stream_block(const struct product *p, int panel, int k0, int depth)
{
	const int width = p->kernels->width;
	const int n_tiles = ceil_div(p->rows, p->kernels->rows);
	const size_t floats = (size_t)depth * width;
	const size_t share = floats / (n_tiles < 4 ? 2 : 4);
	struct gemm_tile t = {
		.a_stride = p->depth,
		.b = p->panels + ((size_t)panel * p->depth + k0) * width,
		.depth = depth,
		.accumulate = p->accumulate || k0 > 0,
	};
	for (int i = 0; i < n_tiles; i++) {
		/* Rows are shared out evenly: 4 + 4 and not 6 + 2. */
		int row = (int)((long)p->rows * i / n_tiles);
		int end = (int)((long)p->rows * (i + 1) / n_tiles);
		t.a = p->a + (size_t)row * p->depth + k0;
		t.next = (const char *)(t.b + floats + i * share);
		run_tile(p, &t, row, end - row, panel, k0 + depth == p->depth, GEMM_A_ROWS,
			 prefetch_share(n_tiles, i));
	}
}

static void stream_task(void *args, int task, int thread)
{
	const struct stream_args *a = args;
	const struct product *p = a->product;
	const int n_panels = ceil_div(p->columns, p->kernels->width);
	const int first = task * a->panels_per_task;
	const int end = min_int(n_panels, first + a->panels_per_task);
	const int block_depth = STREAM_BLOCK_FLOATS / p->kernels->width;
	(void)thread;
	for (int panel = first; panel < end; panel++) {
		int k = 0;
		do {
			int depth = min_int(block_depth, p->depth - k);
			stream_block(p, panel, k, depth);
			k += depth;
		} while (k < p->depth);
	}
}

static void product_stream(const struct product *p, struct pool *pool)
{
	const int n_panels = ceil_div(p->columns, p->kernels->width);
	const int threads = pool_threads(pool);
	const int least = ceil_div(STREAM_TASK_FLOATS, p->kernels->width * (p->depth + 1));
	int per_task = n_panels;
	if (threads > 1) {
		per_task = ceil_div(n_panels, 4 * threads);
		per_task = per_task > least ? per_task : min_int(least, n_panels);
	}
	struct stream_args args = {p, per_task};
	pool_run(pool, ceil_div(n_panels, per_task), stream_task, &args);
}

/* ---- many rows: A packed a stage at a time ---- */

struct stage {
	const struct product *product;
	int row, rows;	     /* of C and A in this stage */
	int k, depth;	     /* of the summed dimension */
	int n_tiles;	     /* ceil(rows / kernels->rows) */
	float *packed_a;     /* [block][n_tiles][k in block][kernels->rows] */
	float *packed_b;     /* [thread][panels_per_task][BLOCK_DEPTH][width] */
	int panels_per_task; /* columns of C are dealt in groups of panels */
	int tiles_per_task;  /* and its rows in groups of tiles */
	int n_row_tasks;
};

static float *stage_packed_a(const struct stage *s, int k0, int depth, int tile)
{
	const size_t rows = (size_t)s->product->kernels->rows;
	return s->packed_a + rows * ((size_t)s->n_tiles * k0 + (size_t)tile * depth);
}

static void stage_pack_task(void *args, int task, int thread)
{
	const struct stage *s = args;
	const struct product *p = s->product;
	const int n_groups = ceil_div(s->n_tiles, PACK_TILES);
	const int k0 = task / n_groups * BLOCK_DEPTH, depth = min_int(BLOCK_DEPTH, s->depth - k0);
	const int first = task % n_groups * PACK_TILES;
	const int end = min_int(s->n_tiles, first + PACK_TILES);
	const int tile_rows = p->kernels->rows;
	(void)thread;
	if (p->is_a_transposed) {
		int row = first * tile_rows;
		p->kernels->copy_a(stage_packed_a(s, k0, depth, first),
				   p->a + (size_t)(s->k + k0) * p->rows + s->row + row, p->rows,
				   depth, min_int(end * tile_rows, s->rows) - row);
		return;
	}
	for (int tile = first; tile < end; tile++) {
		int row = tile * tile_rows;
		p->kernels->transpose(stage_packed_a(s, k0, depth, tile), tile_rows,
				      p->a + (size_t)(s->row + row) * p->depth + s->k + k0,
				      p->depth, min_int(tile_rows, s->rows - row), depth);
	}
}

static void prefetch_c(const struct product *p, int row, int rows, int panel)
{
	const int width = p->kernels->width;
	const int columns = min_int(width, p->columns - panel * width);
	for (int r = 0; r < rows; r++) {
		const float *c = p->c + (size_t)(row + r) * p->c_stride + panel * width;
		for (int j = 0; j < columns; j += 16)
			__builtin_prefetch(c + j, 1, 3);
	}
}

/* Tiles [first, end) of one panel of C for one block of the depth. */
static void stage_panel(const struct stage *s, const float *b, int panel, int k0, int depth,
			int first, int end)
{
	const struct product *p = s->product;
	const int tile_rows = p->kernels->rows;
	struct gemm_tile t = {
		.b = b,
		.depth = depth,
		.accumulate = p->accumulate || s->k + k0 > 0,
	};
	for (int tile = first; tile < end; tile++) {
		int row = tile * tile_rows, rows = min_int(tile_rows, s->rows - row);
		if (t.accumulate && tile + 1 < end)
			prefetch_c(p, s->row + row + tile_rows,
				   min_int(tile_rows, s->rows - row - tile_rows), panel);
		t.a = stage_packed_a(s, k0, depth, tile);
		run_tile(p, &t, s->row + row, rows, panel, s->k + k0 + depth == p->depth,
			 GEMM_A_PACKED, GEMM_PREFETCH_NONE);
	}
}

static void stage_multiply_task(void *args, int task, int thread)
{
	const struct stage *s = args;
	const struct product *p = s->product;
	const int width = p->kernels->width, n_panels = ceil_div(p->columns, width);
	const int first = task / s->n_row_tasks * s->panels_per_task;
	const int end = min_int(n_panels, first + s->panels_per_task);
	const int first_tile = task % s->n_row_tasks * s->tiles_per_task;
	const int end_tile = min_int(s->n_tiles, first_tile + s->tiles_per_task);
	float *copy = s->packed_b + (size_t)thread * s->panels_per_task * BLOCK_DEPTH * width;

	for (int k0 = 0; k0 < s->depth; k0 += BLOCK_DEPTH) {
		const int depth = min_int(BLOCK_DEPTH, s->depth - k0);
		if (p->b)
			p->kernels->copy_b(copy,
					   p->b + (size_t)(s->k + k0) * p->columns + first * width,
					   p->columns, depth,
					   min_int(p->columns, end * width) - first * width);
		for (int tile = first_tile; tile < end_tile; tile += BLOCK_TILES) {
			for (int panel = first; panel < end; panel++) {
				const float *b =
					p->b ? copy + (size_t)(panel - first) * depth * width
					     : p->panels + ((size_t)panel * p->depth + s->k + k0) *
								   width;
				stage_panel(s, b, panel, k0, depth, tile,
					    min_int(end_tile, tile + BLOCK_TILES));
			}
		}
	}
}

/* Groups of columns first, then of rows until there is enough for all threads. */
static int stage_deal(struct stage *s, int threads)
{
	const int width = s->product->kernels->width;
	const int n_panels = ceil_div(s->product->columns, width);
	s->panels_per_task = min_int(n_panels, BLOCK_COLUMNS / width);
	const int n_column_tasks = ceil_div(n_panels, s->panels_per_task);
	const int wanted = threads == 1 ? 1 : ceil_div(4 * threads, n_column_tasks);
	s->tiles_per_task = ceil_div(s->n_tiles, min_int(wanted, s->n_tiles));
	s->n_row_tasks = ceil_div(s->n_tiles, s->tiles_per_task);
	return n_column_tasks * s->n_row_tasks;
}

static void product_blocked(const struct product *p, struct pool *pool)
{
	const int threads = pool_threads(pool), tile_rows = p->kernels->rows;
	struct stage s = {.product = p};
	const size_t a_floats = (size_t)ceil_div(min_int(p->rows, STAGE_ROWS), tile_rows) *
				tile_rows * (size_t)min_int(p->depth, STAGE_DEPTH);
	const size_t a_aligned = (a_floats + 15) / 16 * 16;
	const size_t b_floats = p->b ? (size_t)threads * BLOCK_COLUMNS * BLOCK_DEPTH : 0;
	s.packed_a = scratch_get(a_aligned + b_floats);
	s.packed_b = s.packed_a + a_aligned;
	for (s.row = 0; s.row < p->rows; s.row += STAGE_ROWS) {
		s.rows = min_int(STAGE_ROWS, p->rows - s.row);
		s.n_tiles = ceil_div(s.rows, tile_rows);
		const int n_tasks = stage_deal(&s, threads);
		for (s.k = 0; s.k < p->depth; s.k += STAGE_DEPTH) {
			s.depth = min_int(STAGE_DEPTH, p->depth - s.k);
			pool_run(pool,
				 ceil_div(s.depth, BLOCK_DEPTH) * ceil_div(s.n_tiles, PACK_TILES),
				 stage_pack_task, &s);
			pool_run(pool, n_tasks, stage_multiply_task, &s);
		}
	}
}

static void product_forward(const struct product *p, struct pool *pool)
{
	if (p->rows == 0 || p->columns == 0)
		return;
	pool = pool_worth(pool, p->rows, p->columns, p->depth);
	if (p->rows <= STREAM_ROWS ||
	    (p->depth <= STREAM_DEPTH && (size_t)p->rows * p->depth <= STREAM_A_FLOATS))
		product_stream(p, pool);
	else
		product_blocked(p, pool);
}

void gemm_forward(float *y, const float *x, const float *panels, const float *bias, int m, int n,
		  int k, struct pool *pool)
{
	const struct product p = {
		.kernels = current_kernels(),
		.c = y,
		.c_stride = n,
		.rows = m,
		.columns = n,
		.depth = k,
		.a = x,
		.panels = panels,
		.bias = bias,
	};
	product_forward(&p, pool);
}

void gemm_forward_add(float *y, int y_stride, const float *x, const float *panels, int m, int n,
		      int k, struct pool *pool)
{
	const struct product p = {
		.kernels = current_kernels(),
		.c = y,
		.c_stride = y_stride,
		.rows = m,
		.columns = n,
		.depth = k,
		.accumulate = true,
		.a = x,
		.panels = panels,
	};
	product_forward(&p, pool);
}

/* ---- the only door to OpenBLAS ---- */

enum { BLAS_ROW_MAJOR = 101, BLAS_NO_TRANSPOSE = 111, BLAS_TRANSPOSE = 112 };

struct blas {
	void (*sgemm)(int order, int transpose_a, int transpose_b, int rows, int columns, int depth,
		      float alpha, const float *a, int a_stride, const float *b, int b_stride,
		      float beta, float *c, int c_stride);
};
static struct blas blas;
static pthread_once_t blas_once = PTHREAD_ONCE_INIT;

static void blas_open(void)
{
	void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return;
	void (*set_threads)(int) = NULL;
	/* POSIX wants a function pointer read from dlsym this way. */
	*(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
	if (!set_threads)
		return;
	set_threads(1);
	*(void **)&blas.sgemm = dlsym(library, "cblas_sgemm");
}

static void blas_task(void *args, int task, int thread)
{
	const struct product *p = args;
	const int first = task * BLAS_COLUMNS;
	(void)thread;
	blas.sgemm(BLAS_ROW_MAJOR, p->is_a_transposed ? BLAS_TRANSPOSE : BLAS_NO_TRANSPOSE,
		   BLAS_NO_TRANSPOSE, p->rows, min_int(BLAS_COLUMNS, p->columns - first), p->depth,
		   1, p->a, p->is_a_transposed ? p->rows : p->depth, p->b + first, p->columns,
		   p->accumulate ? 1 : 0, p->c + first, p->columns);
}

static void product_backward(const struct product *p, struct pool *pool)
{
	if (p->rows == 0 || p->columns == 0)
		return;
	if (p->depth == 0) {
		if (!p->accumulate)
			memset(p->c, 0, (size_t)p->rows * p->columns * sizeof *p->c);
		return;
	}
	pool = pool_worth(pool, p->rows, p->columns, p->depth);
	if (p->kernels == &gemm_kernels_portable) {
		pthread_once(&blas_once, blas_open);
		if (blas.sgemm) {
			pool_run(pool, ceil_div(p->columns, BLAS_COLUMNS), blas_task, (void *)p);
			return;
		}
	}
	product_blocked(p, pool);
}

void gemm_backward_input(float *dx, const float *dy, const float *w, int m, int n, int k,
			 bool accumulate, struct pool *pool)
{
	const struct product p = {
		.kernels = current_kernels(),
		.c = dx,
		.c_stride = k,
		.rows = m,
		.columns = k,
		.depth = n,
		.accumulate = accumulate,
		.a = dy,
		.b = w,
	};
	product_backward(&p, pool);
}

void gemm_backward_weight(float *dw, const float *dy, const float *x, int m, int n, int k,
			  struct pool *pool)
{
	const struct product p = {
		.kernels = current_kernels(),
		.c = dw,
		.c_stride = k,
		.rows = n,
		.columns = k,
		.depth = m,
		.accumulate = true,
		.a = dy,
		.is_a_transposed = true,
		.b = x,
	};
	product_backward(&p, pool);
}

/* ---- bias ---- */

enum { BIAS_COLUMNS = 256 };

struct bias_args {
	float *db;
	const float *dy;
	int m, n;
};

static void bias_task(void *args, int task, int thread)
{
	const struct bias_args *a = args;
	const int first = task * BIAS_COLUMNS, columns = min_int(BIAS_COLUMNS, a->n - first);
	float sum[BIAS_COLUMNS];
	(void)thread;
	memcpy(sum, a->db + first, (size_t)columns * sizeof *sum);
	for (int i = 0; i < a->m; i++) {
		const float *dy = a->dy + (size_t)i * a->n + first;
		for (int j = 0; j < columns; j++)
			sum[j] += dy[j];
	}
	memcpy(a->db + first, sum, (size_t)columns * sizeof *sum);
}

void gemm_backward_bias(float *db, const float *dy, int m, int n, struct pool *pool)
{
	struct bias_args args = {db, dy, m, n};
	pool_run(pool_worth(pool, m, n, 4), ceil_div(n, BIAS_COLUMNS), bias_task, &args);
}

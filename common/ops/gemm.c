/* Matrix products: blocking, packing and threads around the tiles of
 * gemm_kernel.c.
 *
 * All three products are C [rows, columns] = A [rows, depth] B [depth, columns]
 * with the depth summed in ascending order, one chain for each element:
 *
 *                       rows  columns  depth    A                B
 *     forward           M     N        K        x                packed W^T
 *     forward, flat W   N     M        K        w                x transposed
 *         many rows     M     N        K        x                w transposed
 *     backward input    M     K        N        dy               w
 *     backward weight   N     K        M        dy transposed    x
 *
 * Threads split rows and columns, never the depth.  The depth is walked in
 * blocks; between blocks the partial sums rest in C, which loses no bit, so
 * every path through this file gives the same result.
 *
 * Packed W is [panel][K][width]: a panel is `width` columns of Y and the last
 * one is filled up with zeros.  A task is one panel and the rows of A that meet it; each
 * thread walks from task to task as panels lie in memory, and one that is through takes
 * tasks from the end of another's walk.  A block of a panel stays in the second-level
 * cache while all tiles of rows use it.  So blocks are deep: each start and end of a tile
 * costs about as much as 40 of its steps.  A is read in place, if it lies in
 * rows.  Where B lies in rows, as in the backward products, a thread copies each block
 * of it into a panel just before the rows of A meet it; where A lies transposed, the
 * rows of it that a task needs into tiles, which the tasks after it use too.  So copies
 * are used from the second-level cache.
 *
 * Where that cache is large, nothing waits for memory but at the beginning of a walk: of
 * each block, tiles fetch, or copy, the next one, and the part of C that comes next.  So
 * packed W meets no more rows of A at once than leave room for it.
 *
 * Packed W may be in bfloat16.  The first tile of rows widens a block, into scratch
 * memory if more follow.
 *
 * Where W is not packed, forward of many rows copies it so as well.  Of fewer it makes
 * Y transposed: x, of which there is less, is what gets packed, w is read in place, a
 * block of its rows staying in the second-level cache while the panels pass by, and
 * tiles are turned when they are stored.
 *
 * At the portable level the backward products go through OpenBLAS where it is
 * installed: opened on first use, one thread, on fixed panels of columns. */
#include "common/ops/gemm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/ops/gemm_kernel.h"
#include "common/ops/isa.h"

enum {
	BLOCK_DEPTH = 1536,	/* the most that a tile walks down at once */
	STREAM_DEPTH = 384,	/* the same of tiles that fetch evenly */
	FLAT_DEPTH = 768,	/* the same where W is flat */
	FLAT_FLOATS = 72 << 10, /* of W that stay in a cache while panels pass by */
	TASK_ROWS = 512,	/* rows of A that do, more if they are short */
	TASK_ROWS_LEAST = 64,
	TASK_ROWS_COPIED = 256,	     /* that do where they are copied; each part of them copies B */
	TASK_FLOATS = 192 << 10,     /* of A that meet a panel in one task */
	TASK_FLOATS_NEAR = 96 << 10, /* the same of packed B where the cache is large */
	TASK_FLOATS_LARGE = 256 << 10, /* of copied A where the cache is large */
	STAGE_DEPTH = 4096,	       /* of A that is copied */
	STAGE_DEPTH_LARGE = 768,       /* where the cache is large: more rows meet a copy of B */
	TASKS_PER_THREAD = 4,	       /* at least, where there are so many rows and panels */
	TASK_MADDS = 256 << 10, /* multiply-adds that are worth a thread, of 8 rows or more */
	COPY_FLOATS = 32 << 10, /* copied by one task */
	FLAT_ROWS = 192,	/* of x, up to which W is read in place where it is flat */
	A_AHEAD = 128,		/* of a row of W, is fetched a tile ahead */
	PREFETCH_NEAR = 1024,	/* bytes ahead of use, in place of GEMM_PREFETCH_FAR */
	LINE_FLOATS = 16,
	COPYING_TILES = GEMM_ROW_STEP + 1, /* that copy a block */
	LARGE_CACHE_BYTES = 5 << 18,
	BLAS_COLUMNS = 256,
};
static const double parallel_flops = 1 << 20; /* below, waking threads costs more */
static _Atomic int large_cache;		      /* 1, -1 if it is not, 0: not known yet */

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

static double min_double(double a, double b)
{
	return a < b ? a : b;
}

static int ceil_div(int a, int b)
{
	return a / b + (a % b != 0);
}

/* A second-level cache with room for what is asked for early, and memory behind it that
 * answers late: measured on Intel's cores of 2 MB, against AMD's of 1 MB. */
static bool is_cache_large(void)
{
	int known = large_cache;

	if (!known)
		large_cache = known = sysconf(_SC_LEVEL2_CACHE_SIZE) >= LARGE_CACHE_BYTES ? 1 : -1;
	return known > 0;
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

/* Scratch of the calling thread, one for a whole product and one for its tasks: grows, is
 * reused by its next product, and ends with the thread. */
enum scratch_use { OF_PRODUCT, OF_TASK, SCRATCH_USES };
static pthread_key_t scratch_keys[SCRATCH_USES];
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Thread_local struct scratch {
	float *memory;
	size_t floats;
} scratches[SCRATCH_USES];

static void scratch_create_keys(void)
{
	for (int use = 0; use < SCRATCH_USES; use++)
		if (pthread_key_create(&scratch_keys[use], free) != 0)
			die("no thread-specific key is left for the scratch memory of products");
}

static float *scratch_get(enum scratch_use use, size_t floats)
{
	struct scratch *scratch = &scratches[use];

	if (floats > scratch->floats) {
		pthread_once(&scratch_once, scratch_create_keys);
		free(scratch->memory);
		scratch->memory = xaligned(floats, sizeof *scratch->memory);
		scratch->floats = floats;
		pthread_setspecific(scratch_keys[use], scratch->memory);
	}
	return scratch->memory;
}

/* ---- packed weights ---- */

struct pack_args {
	const struct gemm_kernels *kernels;
	float *panels;	/* or NULL */
	uint16_t *bf16; /* or NULL */
	const float *w;
	int n, k;
};

/* Rows of a matrix, at most `width`, into the columns of a panel. */
static void fill_panel(const struct gemm_kernels *kernels, float *out, const float *in,
		       size_t in_stride, int rows, int depth)
{
	if (rows < kernels->width)
		memset(out, 0, (size_t)kernels->width * depth * sizeof *out);
	kernels->transpose(out, kernels->width, in, in_stride, rows, depth);
}

static void pack_panel(void *args, int panel, int thread)
{
	const struct pack_args *a = args;
	const int width = a->kernels->width, first = panel * width;
	const size_t at = (size_t)first * a->k, floats = (size_t)width * a->k;
	float *out = a->bf16 ? scratch_get(OF_TASK, floats) : a->panels + at;
	(void)thread;
	fill_panel(a->kernels, out, a->w + at, a->k, min_int(width, a->n - first), a->k);
	if (a->bf16)
		a->kernels->narrow(a->bf16 + at, out, floats);
}

static void pack(struct pack_args *args, struct pool *pool)
{
	pool_run(pool_worth(pool, args->n, args->k, 8), ceil_div(args->n, args->kernels->width),
		 pack_panel, args);
}

size_t gemm_packed_floats(int n, int k)
{
	const int width = current_kernels()->width;
	return (size_t)ceil_div(n, width) * width * k;
}

void gemm_pack(float *panels, const float *w, int n, int k, struct pool *pool)
{
	struct pack_args args = {
		.kernels = current_kernels(), .panels = panels, .w = w, .n = n, .k = k};
	pack(&args, pool);
}

void gemm_pack_bf16(uint16_t *panels, const float *w, int n, int k, struct pool *pool)
{
	struct pack_args args = {
		.kernels = current_kernels(), .bf16 = panels, .w = w, .n = n, .k = k};
	pack(&args, pool);
}

/* Where row n of packed W begins; its numbers are as far apart as a panel is wide. */
static size_t packed_row(int width, int n_columns, int k, int row)
{
	ASSERT(row >= 0 && row < n_columns);
	(void)n_columns;
	return (size_t)(row / width) * width * k + row % width;
}

void gemm_unpack_row(float *out, const float *panels, int n_columns, int k, int row)
{
	const int width = current_kernels()->width;
	const float *from = panels + packed_row(width, n_columns, k, row);
	for (int i = 0; i < k; i++)
		out[i] = from[(size_t)i * width];
}

void gemm_unpack_row_bf16(float *out, const uint16_t *panels, int n_columns, int k, int row)
{
	const int width = current_kernels()->width;
	const uint16_t *from = panels + packed_row(width, n_columns, k, row);
	for (int i = 0; i < k; i++) {
		const uint32_t bits = (uint32_t)from[(size_t)i * width] << 16;
		memcpy(&out[i], &bits, sizeof bits);
	}
}

/* ---- one product ---- */

struct product {
	const struct gemm_kernels *kernels;
	float *c;     /* [rows, columns], or [columns, rows] */
	int c_stride; /* from a row of it to the next; its width, but for gemm_forward_add */
	bool is_c_transposed;
	int rows, columns, depth;
	bool accumulate;
	const float *a; /* [rows, depth] or [depth, rows] */
	bool is_a_transposed;
	const float *b; /* [depth, columns] or [columns, depth], or NULL */
	bool is_b_transposed;
	const float *panels;	     /* B packed, or NULL */
	const uint16_t *panels_bf16; /* the same in bfloat16, or NULL */
	const float *bias;	     /* [N] or NULL */
};

/* ---- a stage: a part of the depth ---- */

struct stage {
	const struct product *product;
	int k, depth;
	const float *panels; /* B [panel][depth][width], or NULL: tasks copy it, or bfloat16 */
	size_t panel_stride; /* floats */
	int rows_per_task;   /* a multiple of kernels.rows */
	int n_panels;
};

/* Floats of n columns in panels of `width`, `depth` rows of them. */
static size_t panel_floats(int n, int width, int depth)
{
	return (size_t)ceil_div(n, width) * width * depth;
}

/* Length of the pieces, at most `most`, that a range is cut into evenly; a
 * multiple of 8 unless the range is one piece. */
static int even_piece(int length, int most)
{
	const int n = ceil_div(length, most);
	return n <= 1 ? length : min_int(length, (ceil_div(length, n) + 7) / 8 * 8);
}

static void prefetch_c(const struct gemm_tile *t, const float *c, int rows)
{
	for (int r = 0; r < rows; r++) {
		for (int j = 0; j < t->columns; j += 16)
			__builtin_prefetch(c + r * t->c_stride + j, 1, 3);
	}
}

/* A block of B and the rows of A that meet it. */
struct block {
	const struct product *product;
	int vectors;	      /* that hold its columns */
	bool is_full;	      /* tiles compute all columns of its panel */
	int full_tiles;	      /* of rows */
	const uint16_t *bf16; /* where it lies in bfloat16, or NULL */
};

static const char *block_begin(const struct block *block, const struct gemm_tile *t)
{
	return block->bf16 ? (const char *)block->bf16 : (const char *)t->b;
}

/* Where the first tile of a block fetches the block itself.  The CPU looks ahead by itself
 * of a tile of few rows; where that is far enough, more would be in the way. */
static const char *own_block(const struct block *block, const struct gemm_tile *t)
{
	return block_begin(block, t) +
	       (t->rows < block->product->kernels->rows ? PREFETCH_NEAR : GEMM_PREFETCH_FAR);
}

/* Few tiles of rows meet a block of packed B, so that memory is what they wait for, and the
 * cache is large: then they fetch evenly. */
static bool streams_even(const struct product *p, int tiles)
{
	return !p->b && is_cache_large() && tiles <= (p->panels_bf16 ? 2 : 4);
}

/* Which tiles fetch the next block, each one part of it.
 *
 * What meets B in memory is the first one; it fetches its own block, and waits all the
 * same.  The tiles that come after it, which find the block in a cache, do not wait; so
 * those fetch the next block meanwhile, each a part of it, and the smaller the better:
 * requests that wait stand in the way of loads.  Where they are few they leave a part to
 * the first: requests that crowd cost more than they bring.
 *
 * Where the cache is large, each fetches its part in several runs at once, which memory
 * answers sooner.  The first of few tiles does as the others do; of many it is the last
 * ones that fetch, as the rows of A would drive out what came early. */
struct fetch {
	int first, parts;
};

static struct fetch share_fetch(const struct block *block)
{
	const int tiles = block->full_tiles;
	struct fetch f = {.first = 1};

	if (streams_even(block->product, tiles))
		return (struct fetch){.first = 0, .parts = max_int(tiles, 1)};
	if (block->bf16)
		f.parts = min_int(tiles - 1, 3);
	else
		f.parts = tiles > 5 ? 6 : tiles > 3 ? 4 : tiles == 3 ? 3 : 2;
	if (is_cache_large())
		f.first = max_int(tiles - f.parts, 1);
	return f;
}

/* Lets the tile with this number in a block fetch its part of the next block, of which
 * the first bytes are on their way already where the first tile fetches its own.  Returns
 * whether it has one. */
static bool fetch_next(const struct block *block, struct gemm_tile *t, int number,
		       const struct fetch *f)
{
	const struct gemm_kernels *kernels = block->product->kernels;
	const int part = number - f->first;
	const size_t bytes = (size_t)t->depth * kernels->width *
			     (block->bf16 ? sizeof *block->bf16 : sizeof *t->b);

	if (part < 0 || part >= f->parts || (number > 0 && t->rows < kernels->rows))
		return false;
	t->next = block_begin(block, t) + bytes + (f->first > 0 ? GEMM_PREFETCH_FAR : 0) +
		  (size_t)part * (bytes / (size_t)f->parts);
	t->is_next_apart = is_cache_large();
	return true;
}

/* For the tile with this number in a block of floats, of A in place. */
static gemm_tile_function *choose_tile(const struct block *block, struct gemm_tile *t, int number)
{
	const struct product *p = block->product;
	const struct gemm_kernels *kernels = p->kernels;
	const struct fetch f = share_fetch(block);

	t->is_next_apart = false;
	if (!p->b && block->is_full) {
		if (fetch_next(block, t, number, &f))
			return f.parts == 1 ? kernels->prefetching_tile[t->rows - 1]
					    : kernels->fetching_tile[f.parts];
		if (number == 0) {
			t->next = own_block(block, t);
			return kernels->prefetching_tile[t->rows - 1];
		}
	}
	return kernels->tile[block->vectors - 1][t->rows - 1];
}

/* The same for a block in bfloat16, of whose floats t->b has room for those that come
 * after the first.  The next block has half the bytes of one of floats. */
static gemm_tile_function *choose_tile_bf16(const struct block *block, struct gemm_tile *t,
					    int number)
{
	const struct gemm_kernels *kernels = block->product->kernels;
	const struct fetch f = share_fetch(block);
	bool is_next;

	t->is_next_apart = false;
	if (!block->is_full)
		return kernels->tile[block->vectors - 1][t->rows - 1];
	is_next = fetch_next(block, t, number, &f);
	if (number > 0)
		return is_next ? kernels->fetching_tile[2 * f.parts]
			       : kernels->tile[block->vectors - 1][t->rows - 1];
	if (!is_next)
		t->next = own_block(block, t);
	return t->kept ? kernels->keeping_tile[is_next ? f.parts - 1 : 0]
		       : kernels->widening_tile[t->rows - 1];
}

/* What tiles of a block in bfloat16 read: the first at full width widens it, and keeps it
 * if others follow. */
static void prepare_bf16(const struct block *block, struct gemm_tile *t, int rows)
{
	const struct gemm_kernels *kernels = block->product->kernels;
	const size_t n = (size_t)t->depth * kernels->width;

	t->b_bf16 = block->bf16;
	if (block->is_full && rows <= kernels->rows)
		return;
	t->b = t->kept = scratch_get(OF_TASK, n);
	if (!block->is_full)
		kernels->widen(t->kept, block->bf16, n);
}

/* All columns of a panel that B has fewer of: the others, which are 0, are left out of C. */
static void run_full(gemm_tile_function *run, const struct gemm_tile *t, int width)
{
	_Alignas(64) float sums[GEMM_ROWS_MAX * GEMM_WIDTH_MAX], bias[GEMM_WIDTH_MAX] = {0};
	const size_t bytes = (size_t)t->columns * sizeof *sums;
	struct gemm_tile full = *t;

	full.next_rows = 0;
	full.columns = width;
	full.c = sums;
	full.c_stride = (size_t)width;
	if (t->bias)
		full.bias = memcpy(bias, t->bias, bytes);
	memset(sums, 0, sizeof sums);
	for (int r = 0; r < t->rows && t->accumulate; r++)
		memcpy(sums + r * width, t->c + r * t->c_stride, bytes);
	run(&full);
	for (int r = 0; r < t->rows; r++)
		memcpy(t->c + r * t->c_stride, sums + r * width, bytes);
}

/* W comes from memory: the beginnings of the next tile's rows. */
static void prefetch_a(const struct gemm_tile *t, int rows)
{
	for (int r = 0; r < rows; r++) {
		for (int k = 0; k < min_int(t->depth, A_AHEAD); k += 16)
			__builtin_prefetch(t->a + (t->rows + r) * t->a_stride + k, 0, 2);
	}
}

/* Of a tile of C that lies transposed at c; bias [t->rows] or NULL. */
static void run_transposed(const struct product *p, gemm_tile_function *run, struct gemm_tile *t,
			   float *c, const float *bias)
{
	const struct gemm_kernels *kernels = p->kernels;
	const int width = kernels->width;
	_Alignas(64) float sums[GEMM_ROWS_MAX * GEMM_WIDTH_MAX];

	if (t->accumulate)
		kernels->transpose(sums, width, c, p->c_stride, t->columns, t->rows);
	t->c = sums;
	t->c_stride = width;
	run(t);
	for (int r = 0; bias && r < t->rows; r++) {
		for (int j = 0; j < t->columns; j++)
			sums[r * width + j] += bias[r];
	}
	kernels->transpose(c, p->c_stride, sums, width, t->rows, t->columns);
}

/* A block of the depth of one panel, in a stage, and the rows of A that meet it. */
struct place {
	int task; /* of the stage, or -1: none is left */
	int first, end;
	int panel, k, depth;
};

/* The same as stage_block where C lies transposed. */
static void stage_block_transposed(const struct stage *s, const struct place *place)
{
	const struct product *p = s->product;
	const struct gemm_kernels *kernels = p->kernels;
	const int panel = place->panel, k0 = place->k, depth = place->depth;
	const int column = panel * kernels->width, end = place->end;
	const int columns = min_int(kernels->width, p->columns - column);
	const bool is_last = s->k + k0 + depth == p->depth;
	struct gemm_tile t = {
		.a_stride = p->depth,
		.b = s->panels + (size_t)panel * s->panel_stride + (size_t)k0 * kernels->width,
		.depth = depth,
		.accumulate = s->k + k0 > 0,
		.columns = columns,
	};

	for (int row = place->first; row < end; row += kernels->rows) {
		t.rows = min_int(kernels->rows, end - row);
		t.a = p->a + (size_t)row * p->depth + s->k + k0;
		prefetch_a(&t, min_int(kernels->rows, end - row - t.rows));
		run_transposed(p, kernels->tile[ceil_div(columns, kernels->lanes) - 1][t.rows - 1],
			       &t, p->c + (size_t)column * p->c_stride + row,
			       is_last && p->bias ? p->bias + row : NULL);
	}
}

/* What a task copies. */
struct copies {
	float *a; /* its rows of A in tiles [depth of the stage][kernels.rows]; NULL: in place */
	size_t a_tile;	/* floats from one tile to the next */
	float *b;	/* a block of a panel of B; NULL: in place */
	float *b_next;	/* the block after it, which tiles copy */
	int next_ready; /* rows of it that they have copied */
};

/* Where rows of B begin that go into a block. */
static const float *b_rows(const struct stage *s, const struct place *at)
{
	const struct product *p = s->product;

	return p->b + (size_t)(s->k + at->k) * p->columns + (size_t)at->panel * p->kernels->width;
}

/* Makes copies->b the block at this place: what tiles have not copied of it is copied. */
static void take_block(const struct stage *s, struct copies *copies, const struct place *at)
{
	const struct product *p = s->product;
	const struct gemm_kernels *kernels = p->kernels;
	const int column = at->panel * kernels->width;
	const int columns = min_int(kernels->width, p->columns - column);
	const int ready = copies->next_ready;
	float *b = ready > 0 ? copies->b_next : copies->b;

	if (ready > 0)
		copies->b_next = copies->b;
	copies->b = b;
	copies->next_ready = 0;
	if (p->is_b_transposed)
		fill_panel(kernels, b, p->b + (size_t)column * p->depth + s->k + at->k, p->depth,
			   columns, at->depth);
	else
		kernels->copy_b(b + (size_t)ready * kernels->width, 0,
				b_rows(s, at) + (size_t)ready * p->columns, p->columns,
				at->depth - ready, columns);
}

/* Tiles copy the next block of B meanwhile, if it has all columns, so that nothing waits
 * for memory; the last tiles of a block do, as the rows of A would drive out what came
 * early.  A small cache has no room for two blocks. */
static int first_copying(const struct stage *s, const struct place *next, int tiles)
{
	const struct product *p = s->product;
	const bool is_full = (next->panel + 1) * p->kernels->width <= p->columns;

	return p->b && !p->is_b_transposed && is_cache_large() && next->task >= 0 && is_full
		       ? tiles - COPYING_TILES
		       : tiles;
}

/* The next rows for a tile with all rows and columns to copy, if so many are left. */
static bool take_rows(const struct stage *s, struct copies *copies, const struct place *next,
		      struct gemm_tile *t)
{
	const struct product *p = s->product;
	const int n = t->depth / GEMM_ROW_STEP, ready = copies->next_ready;

	if (n == 0 || ready + n > next->depth || t->columns < p->kernels->width ||
	    (!copies->a && t->rows < p->kernels->rows))
		return false;
	t->copy = (struct gemm_copy){
		.to = copies->b_next + (size_t)ready * p->kernels->width,
		.from = b_rows(s, next) + (size_t)ready * p->columns,
		.stride = (size_t)p->columns,
	};
	copies->next_ready += n;
	return true;
}

/* What comes after the tile at this row of rows [first, end) of C.
 *
 * Where the cache is large, tiles fetch it for the next one, a line now and then, as
 * requests that crowd stand in the way of loads; of full panels, also where nothing of it
 * will be read, and not beside the few requests that packed B is fetched with. */
static void fetch_c(const struct stage *s, const struct place *place, const struct place *next,
		    struct gemm_tile *t, int row)
{
	const struct product *p = s->product;
	const int tile = p->kernels->rows, width = p->kernels->width;
	const bool is_here = row + tile < place->end;
	const int panel = is_here ? place->panel : next->panel;
	const int from = is_here ? row + tile : next->first;
	const bool is_spread = is_cache_large() && (p->b || !t->accumulate);
	const int rows = min_int(tile, (is_here ? place->end : next->end) - from);
	const float *c;

	t->next_rows = 0;
	if (!is_here && (!is_spread || next->task < 0))
		return;
	c = p->c + (size_t)from * p->c_stride + (size_t)panel * width;
	if (!is_spread) {
		if (t->accumulate)
			prefetch_c(t, c, rows);
	} else if ((panel + 1) * width <= p->columns) {
		t->next_c = c;
		t->next_rows = rows;
	}
}

/* For the tile with this number in a block; `copying` is the first that may copy. */
static gemm_tile_function *choose(const struct stage *s, struct copies *copies,
				  const struct place *next, const struct block *block,
				  struct gemm_tile *t, int number, int copying)
{
	const struct gemm_kernels *kernels = s->product->kernels;
	const bool is_copying = number >= copying && take_rows(s, copies, next, t);

	if (copies->a)
		return is_copying ? kernels->copying_packed_tile
				  : kernels->packed_tile[block->vectors - 1];
	if (is_copying)
		return kernels->copying_tile;
	return block->bf16 ? choose_tile_bf16(block, t, number) : choose_tile(block, t, number);
}

/* One block, of one panel of C and some of its rows; `next` comes after it. */
static void stage_block(const struct stage *s, struct copies *copies, const struct place *place,
			const struct place *next)
{
	const struct product *p = s->product;
	const struct gemm_kernels *kernels = p->kernels;
	const int panel = place->panel, k0 = place->k, depth = place->depth;
	const int first = place->first, end = place->end;
	const size_t at = (size_t)panel * s->panel_stride + (size_t)k0 * kernels->width;
	const int column = panel * kernels->width;
	const int columns = min_int(kernels->width, p->columns - column);
	const bool is_first = s->k + k0 == 0, is_last = s->k + k0 + depth == p->depth;
	const int copying = first_copying(s, next, ceil_div(end - first, kernels->rows));
	const int full_tiles = (end - first) / kernels->rows;
	const bool is_full =
		columns == kernels->width || (panel > 0 && streams_even(p, full_tiles));
	const struct block block = {
		.product = p,
		.vectors = ceil_div(is_full ? kernels->width : columns, kernels->lanes),
		.is_full = is_full,
		.full_tiles = full_tiles,
		.bf16 = p->panels_bf16 ? p->panels_bf16 + at : NULL,
	};
	struct gemm_tile t = {
		.a_stride = p->depth,
		.depth = depth,
		.accumulate = p->accumulate || !is_first,
		.c_stride = p->c_stride,
		.columns = columns,
		.bias = is_last && p->bias ? p->bias + column : NULL,
	};

	if (copies->b)
		take_block(s, copies, place);
	if (block.bf16)
		prepare_bf16(&block, &t, end - first);
	else
		t.b = copies->b ? copies->b : s->panels + at;
	for (int row = first; row < end; row += kernels->rows) {
		const int number = (row - first) / kernels->rows;
		gemm_tile_function *run;

		t.rows = min_int(kernels->rows, end - row);
		fetch_c(s, place, next, &t, row);
		t.c = p->c + (size_t)row * p->c_stride + column;
		t.a = copies->a ? copies->a + (size_t)number * copies->a_tile +
					  (size_t)k0 * kernels->rows
				: p->a + (size_t)row * p->depth + s->k + k0;
		run = choose(s, copies, next, &block, &t, number, copying);
		if (is_full && columns < kernels->width)
			run_full(run, &t, kernels->width);
		else
			run(&t);
	}
}

static int most_depth(const struct product *p)
{
	if (p->is_c_transposed)
		return FLAT_DEPTH;
	return streams_even(p, p->rows / p->kernels->rows) ? STREAM_DEPTH : BLOCK_DEPTH;
}

static int most_rows(const struct stage *s)
{
	const struct product *p = s->product;
	const int depth = even_piece(s->depth, most_depth(p));
	const int copied = is_cache_large() ? TASK_FLOATS_LARGE : TASK_FLOATS;

	if (p->is_c_transposed)
		return min_int(TASK_ROWS, FLAT_FLOATS / (depth + 1));
	if (p->is_a_transposed)
		return min_int(TASK_ROWS, max_int(TASK_ROWS_COPIED, copied / (s->depth + 1)));
	if (is_cache_large() && !p->b)
		return min_int(TASK_ROWS, max_int(TASK_ROWS_LEAST, TASK_FLOATS_NEAR / (depth + 1)));
	return max_int(TASK_ROWS, TASK_FLOATS / (depth + 1));
}

static size_t whole_lines(size_t floats)
{
	return (floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

/* Makes room for what the tasks of one thread copy, two blocks of B and the rows of A of
 * one task: tiles of A are a line further apart than they are long, as the first-level
 * cache would not hold a line of each otherwise. */
static struct copies make_copies(const struct stage *s, int block)
{
	const struct product *p = s->product;
	const int tile = p->kernels->rows;
	const size_t a_tile = (size_t)s->depth * tile + LINE_FLOATS;
	const size_t a_floats =
		p->is_a_transposed ? whole_lines((size_t)(s->rows_per_task / tile) * a_tile) : 0;
	const size_t b_floats =
		p->b && !p->is_c_transposed ? whole_lines((size_t)block * p->kernels->width) : 0;
	float *memory = scratch_get(OF_TASK, a_floats + 2 * b_floats);

	return (struct copies){
		.a = a_floats > 0 ? memory : NULL,
		.a_tile = a_tile,
		.b = b_floats > 0 ? memory + a_floats : NULL,
		.b_next = b_floats > 0 ? memory + a_floats + b_floats : NULL,
	};
}

static void copy_rows(const struct stage *s, struct copies *copies, const struct place *at)
{
	const struct product *p = s->product;

	p->kernels->copy_a(copies->a, copies->a_tile, p->a + (size_t)s->k * p->rows + at->first,
			   p->rows, s->depth, at->end - at->first);
}

/* The first block of the next task of a walk: one panel for some rows of A. */
static struct place next_task(const struct stage *s, struct pool_walk *walk, int block)
{
	const int task = pool_walk_next(walk);
	const int first = task / s->n_panels * s->rows_per_task;

	return (struct place){
		.task = task,
		.first = first,
		.end = min_int(s->product->rows, first + s->rows_per_task),
		.panel = task % s->n_panels,
		.depth = min_int(block, s->depth),
	};
}

/* What follows a block: the next one of its panel, or another task. */
static struct place next_place(const struct stage *s, const struct place *at,
			       struct pool_walk *walk, int block)
{
	struct place next = *at;

	next.k += at->depth;
	if (next.k >= s->depth)
		return next_task(s, walk, block);
	next.depth = min_int(block, s->depth - next.k);
	return next;
}

static void stage_walk(void *args, struct pool_walk *walk, int thread)
{
	const struct stage *s = args;
	const struct product *p = s->product;
	const int block = even_piece(s->depth, most_depth(p));
	struct copies copies = make_copies(s, block);
	struct place at = next_task(s, walk, block), next;
	int copied = -1; /* the first of the rows of A that are in copies.a */

	(void)thread;
	for (; at.task >= 0; at = next) { /* without depth there is still the bias */
		next = next_place(s, &at, walk, block);
		if (copies.a && at.first != copied)
			copy_rows(s, &copies, &at);
		copied = at.first;
		if (p->is_c_transposed)
			stage_block_transposed(s, &at);
		else
			stage_block(s, &copies, &at, &next);
	}
}

/* One task for each panel and part of the rows, panel after panel: threads begin far from
 * each other and each walks on through memory.  Few threads for little work. */
static void stage_run(struct stage *s, struct pool *pool)
{
	const struct product *p = s->product;
	const int wanted = TASKS_PER_THREAD * pool_threads(pool), tile = p->kernels->rows;
	const double madds = (double)max_int(p->rows, 8) * p->columns * (s->depth + 1.0);
	const double walks = min_double(pool_threads(pool), 1 + madds / TASK_MADDS);
	int parts = ceil_div(p->rows, most_rows(s)), rows = ceil_div(p->rows, parts);

	s->n_panels = ceil_div(p->columns, p->kernels->width);
	if (parts * s->n_panels < wanted && pool_threads(pool) > 1)
		rows = max_int(ceil_div(p->rows, ceil_div(wanted, s->n_panels)),
			       min_int(rows, TASK_ROWS_LEAST));
	s->rows_per_task = ceil_div(rows, tile) * tile;
	pool_run_walks(pool, ceil_div(p->rows, s->rows_per_task) * s->n_panels, (int)walks,
		       stage_walk, s);
}

/* B in panels or copied block by block, A in place or copied in tiles. */
static void product_run(const struct product *p, struct pool *pool)
{
	const int most = is_cache_large() ? STAGE_DEPTH_LARGE : STAGE_DEPTH;
	const int depth = p->is_a_transposed ? even_piece(p->depth, most) : p->depth;
	struct stage s = {.product = p,
			  .panels = p->panels,
			  .panel_stride = (size_t)p->depth * p->kernels->width};

	if (p->rows == 0 || p->columns == 0)
		return;
	pool = pool_worth(pool, p->rows, p->columns, p->depth);
	do { /* without depth there is still the bias */
		s.depth = min_int(depth, p->depth - s.k);
		stage_run(&s, pool);
		s.k += depth;
	} while (s.k < p->depth);
}

/* ---- W in place, x copied ---- */

struct copy_args {
	const struct gemm_kernels *kernels;
	float *out;	 /* [panel][depth][width] */
	const float *in; /* [columns, depth], rows in_stride apart */
	size_t in_stride;
	int depth, columns;
	int depth_per_task;
};

/* Rows [k, k + depth) of all panels, from columns of x. */
static void copy_task(void *args, int task, int thread)
{
	const struct copy_args *a = args;
	const int k = task * a->depth_per_task, width = a->kernels->width;
	const int depth = min_int(a->depth_per_task, a->depth - k);

	(void)thread;
	for (int column = 0; column < a->columns; column += width)
		fill_panel(a->kernels, a->out + (size_t)column * a->depth + (size_t)k * width,
			   a->in + (size_t)column * a->in_stride + k, a->in_stride,
			   min_int(width, a->columns - column), depth);
}

static void product_flat(const struct product *p, struct pool *pool)
{
	const int width = p->kernels->width, depth = even_piece(p->depth, FLAT_DEPTH);
	float *b = scratch_get(OF_PRODUCT, panel_floats(p->columns, width, depth));
	struct stage s = {.product = p, .panels = b};
	struct copy_args copy = {
		.kernels = p->kernels, .out = b, .in_stride = p->depth, .columns = p->columns};

	copy.depth_per_task = (COPY_FLOATS / p->columns + 16) / 16 * 16;
	do { /* without depth there is still the bias */
		copy.depth = s.depth = min_int(depth, p->depth - s.k);
		s.panel_stride = (size_t)s.depth * width;
		copy.in = p->b + s.k;
		pool_run(pool, ceil_div(s.depth, copy.depth_per_task), copy_task, &copy);
		stage_run(&s, pool);
		s.k += depth;
	} while (s.k < p->depth);
}

/* Y of x in place; the caller adds where W is. */
static struct product forward_product(float *y, const float *x, const float *bias, int m, int n,
				      int k)
{
	return (struct product){
		.kernels = current_kernels(),
		.c = y,
		.c_stride = n,
		.rows = m,
		.columns = n,
		.depth = k,
		.a = x,
		.bias = bias,
	};
}

void gemm_forward(float *y, const float *x, const float *panels, const float *bias, int m, int n,
		  int k, struct pool *pool)
{
	struct product p = forward_product(y, x, bias, m, n, k);

	p.panels = panels;
	product_run(&p, pool);
}

void gemm_forward_bf16(float *y, const float *x, const uint16_t *panels, const float *bias, int m,
		       int n, int k, struct pool *pool)
{
	struct product p = forward_product(y, x, bias, m, n, k);

	p.panels_bf16 = panels;
	product_run(&p, pool);
}

/* Of many rows, which W is copied for. */
static void forward_copying(float *y, const float *x, const float *w, const float *bias, int m,
			    int n, int k, struct pool *pool)
{
	struct product p = forward_product(y, x, bias, m, n, k);

	p.b = w;
	p.is_b_transposed = true;
	product_run(&p, pool);
}

void gemm_forward_flat(float *y, const float *x, const float *w, const float *bias, int m, int n,
		       int k, struct pool *pool)
{
	const struct product p = {
		.kernels = current_kernels(),
		.c = y,
		.c_stride = n,
		.is_c_transposed = true,
		.rows = n,
		.columns = m,
		.depth = k,
		.a = w,
		.b = x,
		.is_b_transposed = true,
		.bias = bias,
	};

	if (m >= FLAT_ROWS)
		forward_copying(y, x, w, bias, m, n, k, pool);
	else if (m > 0 && n > 0)
		product_flat(&p, pool_worth(pool, m, n, k));
}

void gemm_forward_add(float *y, int y_stride, const float *x, const float *panels, int m, int n,
		      int k, struct pool *pool)
{
	struct product p = forward_product(y, x, NULL, m, n, k);

	p.c_stride = y_stride;
	p.accumulate = true;
	p.panels = panels;
	product_run(&p, pool);
}

/* ---- the only door to OpenBLAS ---- */

enum { BLAS_ROW_MAJOR = 101, BLAS_NO_TRANSPOSE = 111, BLAS_TRANSPOSE = 112 };

struct blas {
	void (*sgemm)(int order, int transpose_a, int transpose_b, int rows, int columns, int depth,
		      float alpha, const float *a, int a_stride, const float *b, int b_stride,
		      float beta, float *c, int c_stride);
};
static struct blas blas;
static char blas_name[200]; /* version, options and the CPU whose kernels it has chosen */
static bool is_blas_unused;
static pthread_once_t blas_once = PTHREAD_ONCE_INIT;

static void blas_open(void)
{
	void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return;
	void (*set_threads)(int) = NULL;
	char *(*get_config)(void) = NULL, *(*get_core)(void) = NULL;
	/* POSIX wants a function pointer read from dlsym this way. */
	*(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
	*(void **)&get_config = dlsym(library, "openblas_get_config");
	*(void **)&get_core = dlsym(library, "openblas_get_corename");
	if (!set_threads || !get_config || !get_core)
		return;
	set_threads(1);
	snprintf(blas_name, sizeof blas_name, "%s on %s", get_config(), get_core());
	*(void **)&blas.sgemm = dlsym(library, "cblas_sgemm");
}

/* Whether backward products are left to it. */
static bool uses_blas(const struct gemm_kernels *kernels)
{
	if (kernels != &gemm_kernels_portable || is_blas_unused)
		return false;
	pthread_once(&blas_once, blas_open);
	return blas.sgemm != NULL;
}

const char *gemm_library(void)
{
	return uses_blas(current_kernels()) ? blas_name : "";
}

void gemm_use_library(bool is_used)
{
	is_blas_unused = !is_used;
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
	if (!uses_blas(p->kernels)) {
		product_run(p, pool);
		return;
	}
	pool = pool_worth(pool, p->rows, p->columns, p->depth);
	pool_run(pool, ceil_div(p->columns, BLAS_COLUMNS), blas_task, (void *)p);
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

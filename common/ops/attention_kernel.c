/* Attention kernels: causal forward and backward of one head, and one position
 * against a cache.  Compiled once per ISA level (simd.h).
 *
 * The order of every sum is fixed here, and forward and decode keep to it:
 *
 *   s[j]    one chain of multiply-adds over d ascending, from 0, of
 *           (scale q[d]) and k[j][d]; then cap tanh(s[j] / cap) if there is a cap
 *   blocks  of 64 keys, block b holding the positions 64 b .. 64 b + 63
 *   m'      max(m, the block's s), from an m below every score
 *   e[j]    exp(s[j] - m'), exactly 0 for a key that is masked or absent
 *   lb      16 partial sums, key j to partial j mod 16 in ascending order, then
 *           folded by halves: p[i] += p[i + 8], then 4, 2, 1
 *   l'      multiply-add of l, alpha = exp(m - m') and lb, from l = 0
 *   o'[d]   one chain from alpha o[d] over the block's keys ascending, from o = 0
 *   out[d]  o[d] (1 / l) + 0
 *
 * A masked key adds 0 v[j][d], which changes nothing but the sign of a zero;
 * the last + 0 removes that.  A block in which a query sees no key, because its
 * window begins later, leaves m, l and o as they are, so it makes no difference
 * whether the block is passed over.  No tile of queries crosses a multiple of 64.
 *
 * Forward puts queries into lanes: for each tile of queries the scores are
 * S [key][query], and both S and O^T are products whose right side has queries
 * as columns.  64 queries at a time share the copy of a block of keys, since
 * rows of qkv are far apart and collide in the cache.  Decode has one query: it
 * puts keys into lanes for the scores, 16 of them side by side in the cache, and d for
 * the output.  It waits for memory more than it computes, so while it uses some keys and
 * values it fetches those that come after them.
 *
 * Backward follows Dao et al. 2022, algorithm 4: blocks of keys outside, blocks
 * of queries inside, probabilities recomputed from log-sum-exp.  With rows as
 * queries and lanes as keys:  P = exp(S - lse), delta = rowsum(dout out),
 *     dV += P^T dout    dS = P (dout V^T - delta)    dK += dS^T Q    dQ += dS K */
#include "common/ops/attention_kernel.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/ops/attention.h"
#include "common/ops/gemm_kernel.h"
#include "common/ops/math_simd.h"

enum {
	BLOCK = ATTENTION_KEY_BLOCK,
	MAX_D = ATTENTION_MAX_HEAD_DIM,
	PARTIALS = 16,
	NV = 2, /* vectors across a tile */
	TILE = NV * VL,
	ROWS = KERNEL_LEVEL == 2 ? 8 : 6, /* of a tile kept in registers; 4 at an edge */
	EDGE_ROWS = 4,
	MAX_HEADS = 16, /* query heads decoded together */
	GROUP = ATTENTION_KEY_GROUP,
	GROUP_VECTORS = GROUP / VL,
	GROUPS = BLOCK / GROUP,
	SHORT = 4 * BLOCK, /* positions whose keys and values stay in a cache meanwhile */
	GROUPS_AT_ONCE = VL > 4 ? GROUPS : 2, /* whose scores fit into registers */
};

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

static int round_up(int n, int multiple)
{
	return (n + multiple - 1) / multiple * multiple;
}

/* The first block of keys that a query sees. */
static int first_block(int query, int window)
{
	return window == 0 || query < window ? 0 : (query - window + 1) / BLOCK * BLOCK;
}

/* The number of each lane, from `first`. */
ALWAYS_INLINE vi lane_numbers(int first)
{
	static const int32_t number[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	vi lanes;

	memcpy(&lanes, number, sizeof lanes);
	return lanes + first;
}

/* --- products --- */

/* C [rows, vectors VL] = start + A [rows, depth] B [depth, vectors VL], one chain over
 * ascending depth for each element.  rows is a multiple of EDGE_ROWS. */
struct product {
	int vectors; /* 1 .. NV */
	const float *a; /* element (r, k) is a[r * a_row + k * a_step] */
	size_t a_row, a_step;
	const float *b; /* rows b_step apart */
	size_t b_step;
	int depth;
	float *c; /* rows c_row apart */
	size_t c_row;
};
enum start { START_ZERO, START_SUM, START_SCALED }; /* 0, C, C alpha[column] */

ALWAYS_INLINE void product_rows(const struct product *p, const float *a, float *to, const int rows,
				const int vectors, const enum start start, const vf *alpha)
{
	const size_t a_row = p->a_row, a_step = p->a_step, b_step = p->b_step, c_row = p->c_row;
	const float *b = p->b;
	vf c[ROWS][NV];

	UNROLL
	for (int r = 0; r < rows; r++) {
		UNROLL
		for (int v = 0; v < vectors; v++) {
			if (start == START_ZERO)
				c[r][v] = vf_set1(0.0f);
			else
				c[r][v] = vf_load(to + r * c_row + v * VL);
			if (start == START_SCALED)
				c[r][v] *= alpha[v];
		}
	}
	for (int k = p->depth; k > 0; k--) {
		vf x[NV];
		UNROLL
		for (int v = 0; v < vectors; v++)
			x[v] = vf_load(b + v * VL);
		UNROLL
		for (int r = 0; r < rows; r++) {
			vf y = vf_set1(a[r * a_row]);
			UNROLL
			for (int v = 0; v < vectors; v++)
				c[r][v] = vf_fma(y, x[v], c[r][v]);
		}
		a += a_step;
		b += b_step;
	}
	UNROLL
	for (int r = 0; r < rows; r++) {
		UNROLL
		for (int v = 0; v < vectors; v++)
			vf_store(to + r * c_row + v * VL, c[r][v]);
	}
}

ALWAYS_INLINE void product_wide(const struct product *p, int rows, const int vectors,
				const enum start start, const vf *alpha)
{
	const float *a = p->a;
	float *c = p->c;

	while (rows > 0) {
		int taken = rows % ROWS ? EDGE_ROWS : ROWS;
		if (taken == ROWS)
			product_rows(p, a, c, ROWS, vectors, start, alpha);
		else
			product_rows(p, a, c, EDGE_ROWS, vectors, start, alpha);
		a += (size_t)taken * p->a_row;
		c += (size_t)taken * p->c_row;
		rows -= taken;
	}
}

ALWAYS_INLINE void product_tile(const struct product *p, int rows, const enum start start,
				const vf *alpha)
{
	if (p->vectors == 1)
		product_wide(p, rows, 1, start, alpha);
	else
		product_wide(p, rows, NV, start, alpha);
}

/* Vectors that hold the first n columns of a tile. */
static int vectors_of(int n)
{
	return n > VL ? NV : 1;
}

static void product(const struct product *p, int rows)
{
	product_tile(p, rows, START_ZERO, NULL);
}

static void product_scaled(const struct product *p, int rows, const vf alpha[NV])
{
	product_tile(p, rows, START_SCALED, alpha);
}

static void product_add(const struct product *p, int rows)
{
	product_tile(p, rows, START_SUM, NULL);
}

/* to [n, width] from rows of d floats `stride` apart, filled up with zeros. */
static void copy_rows(float *to, int width, const float *from, size_t stride, int n, int d)
{
	for (int i = 0; i < n && width <= VL; i++)
		vf_store_first(to + (size_t)i * width, vf_load_first(from + (size_t)i * stride, d),
			       width);
	for (int i = 0; i < n && width > VL; i++) {
		float *row = to + (size_t)i * width;
		memcpy(row, from + (size_t)i * stride, (size_t)d * sizeof *row);
		if (d < width)
			memset(row + d, 0, (size_t)(width - d) * sizeof *row);
	}
}

static void clear_rows(float *to, int width, int begin, int end)
{
	if (begin < end)
		memset(to + (size_t)begin * width, 0, (size_t)(end - begin) * width * sizeof *to);
}

/* --- forward --- */

/* A tile of queries, lanes, and where its softmax stands. */
struct tile {
	int vectors; /* that hold its queries */
	vf m[NV], l[NV];
	_Alignas(64) float q[MAX_D * TILE]; /* [d][TILE], times scale */
	_Alignas(64) float o[MAX_D * TILE]; /* [d][TILE] */
};

struct forward {
	struct tile tiles[BLOCK / TILE];
	_Alignas(64) float k[BLOCK * MAX_D]; /* [64][width] */
	_Alignas(64) float v[BLOCK * MAX_D];
	_Alignas(64) float s[BLOCK * TILE]; /* [key][query] */
	int width;			    /* d rounded up to whole edge tiles */
};

static void load_queries(struct tile *tile, const struct attention_head *head, int first, int n,
			 int width)
{
	const vf scale = vf_set1(head->scale);

	tile->vectors = vectors_of(n);
	for (int v = 0; v < NV; v++) {
		tile->m[v] = vf_set1(-FLT_MAX);
		tile->l[v] = vf_set1(0.0f);
	}
	clear_rows(tile->o, TILE, 0, width);
	if (n < TILE)
		clear_rows(tile->q, TILE, 0, head->d);
	LEVELED(gemm_kernels)
		.transpose(tile->q, TILE, head->q + (size_t)first * head->stride, head->stride, n,
			   head->d);
	for (int i = 0; i < head->d * TILE; i += VL)
		vf_store(tile->q + i, vf_load(tile->q + i) * scale);
}

/* Keys after a query count -infinity: key j of the block is after query i of
 * the tile when j > i + offset. */
static void mask_future(float *s, int n_keys, int offset)
{
	for (int j = offset + 1; j < n_keys; j++) {
		for (int v = 0; v < NV; v++) {
			float *at = s + j * TILE + v * VL;
			vi masked = lane_numbers(v * VL + offset) < j;
			vf_store(at, vf_select(masked, vf_set1(-INFINITY), vf_load(at)));
		}
	}
}

/* Keys before a query's window count -infinity: key j of the block is outside for
 * query i of the tile when j <= i + offset. */
static void mask_past(float *s, int n_keys, int offset)
{
	for (int j = 0; j < n_keys && j < TILE + offset; j++) {
		for (int v = 0; v < NV; v++) {
			float *at = s + j * TILE + v * VL;
			vi masked = lane_numbers(v * VL + offset) >= j;
			vf_store(at, vf_select(masked, vf_set1(-INFINITY), vf_load(at)));
		}
	}
}

static void cap_scores(float *s, int n, float cap)
{
	for (int i = 0; i < n; i += VL)
		vf_store(s + i, vf_softcap(vf_load(s + i), vf_set1(cap)));
}

/* Takes one vector of queries over the n scores of a block, n a multiple of 16:
 * s becomes e, *m and *l move on, and alpha is returned. */
static vf softmax_step(float *s, int n, vf *m, vf *l)
{
	vf top[4] = {*m, *m, *m, *m}, partial[PARTIALS], alpha;

	for (int j = 0; j < n; j += 4) {
		for (int i = 0; i < 4; i++)
			top[i] = vf_max(vf_load(s + (j + i) * TILE), top[i]);
	}
	top[0] = vf_max(vf_max(top[0], top[1]), vf_max(top[2], top[3]));
	for (int i = 0; i < PARTIALS; i++)
		partial[i] = vf_set1(0.0f);
	for (int j = 0; j < n; j += PARTIALS) {
		for (int i = 0; i < PARTIALS; i++) {
			float *at = s + (j + i) * TILE;
			vf e = vf_exp_nonpositive(vf_load(at) - top[0]);
			vf_store(at, e);
			partial[i] += e;
		}
	}
	for (int half = PARTIALS / 2; half > 0; half /= 2) {
		for (int i = 0; i < half; i++)
			partial[i] += partial[i + half];
	}
	alpha = vf_exp_nonpositive(*m - top[0]);
	*l = vf_fma(*l, alpha, partial[0]);
	*m = top[0];
	return alpha;
}

/* A tile of queries from position `first`, and the block of n_keys keys from
 * position `block` of which the tile may see at least the first. */
static void attend_block(struct forward *w, const struct attention_head *head, struct tile *tile,
			 int first, int block, int n_keys)
{
	struct product scores = {.vectors = tile->vectors,
				 .a = w->k,
				 .a_row = (size_t)w->width,
				 .a_step = 1,
				 .b = tile->q,
				 .b_step = TILE,
				 .depth = head->d,
				 .c = w->s,
				 .c_row = TILE};
	struct product outputs = {.vectors = tile->vectors,
				  .a = w->v,
				  .a_row = 1,
				  .a_step = (size_t)w->width,
				  .b = w->s,
				  .b_step = TILE,
				  .depth = n_keys,
				  .c = tile->o,
				  .c_row = TILE};
	int n = round_up(n_keys, PARTIALS);
	vf alpha[NV];

	product(&scores, round_up(n_keys, EDGE_ROWS));
	if (head->cap > 0)
		cap_scores(w->s, n_keys * TILE, head->cap);
	if (head->window > 0)
		mask_past(w->s, n_keys, first - block - head->window);
	if (block + n_keys - 1 > first)
		mask_future(w->s, n_keys, first - block);
	for (int i = n_keys * TILE; i < n * TILE; i += VL)
		vf_store(w->s + i, vf_set1(-INFINITY));
	for (int v = 0; v < tile->vectors; v++)
		alpha[v] = softmax_step(w->s + v * VL, n, &tile->m[v], &tile->l[v]);
	product_scaled(&outputs, w->width, alpha);
}

static void store_outputs(struct tile *tile, const struct attention_head *head, int first, int n)
{
	vf scale[NV];

	for (int v = 0; v < NV; v++)
		scale[v] = 1.0f / tile->l[v];
	for (int i = 0; i < head->d; i++) {
		for (int v = 0; v < NV; v++) {
			float *at = tile->o + i * TILE + v * VL;
			vf_store(at, vf_load(at) * scale[v] + 0.0f);
		}
	}
	LEVELED(gemm_kernels)
		.transpose(head->out + (size_t)first * head->out_stride, head->out_stride, tile->o,
			   TILE, head->d, n);
	if (head->lse) {
		float lse[TILE];
		for (int v = 0; v < NV; v++)
			vf_store(lse + v * VL, tile->m[v] + vf_log(tile->l[v]));
		for (int i = 0; i < n; i++)
			head->lse[(size_t)(first + i) * head->lse_stride] = lse[i];
	}
}

/* Queries begin .. end - 1, at most 64 from a multiple of 64. */
static void forward_queries(struct forward *w, const struct attention_head *head, int begin,
			    int end)
{
	for (int q = begin; q < end; q += TILE)
		load_queries(&w->tiles[(q - begin) / TILE], head, q, min_int(TILE, end - q),
			     w->width);
	for (int block = first_block(begin, head->window); block < end; block += BLOCK) {
		int held = min_int(BLOCK, end - block);
		size_t at = (size_t)block * head->stride;

		copy_rows(w->k, w->width, head->k + at, head->stride, held, head->d);
		copy_rows(w->v, w->width, head->v + at, head->stride, held, head->d);
		clear_rows(w->k, w->width, held, round_up(held, EDGE_ROWS));
		for (int q = begin; q < end; q += TILE) {
			int visible = min_int(q + TILE, end) - block;
			if (block >= first_block(q, head->window))
				attend_block(w, head, &w->tiles[(q - begin) / TILE], q, block,
					     min_int(BLOCK, visible));
		}
	}
	for (int q = begin; q < end; q += TILE)
		store_outputs(&w->tiles[(q - begin) / TILE], head, q, min_int(TILE, end - q));
}

static void forward(const struct attention_head *head)
{
	struct forward w;

	w.width = round_up(head->d, EDGE_ROWS);
	for (int begin = 0; begin < head->t; begin += BLOCK)
		forward_queries(&w, head, begin, min_int(begin + BLOCK, head->t));
}

/* --- decode --- */

struct decode {
	_Alignas(64) float q[MAX_HEADS][MAX_D]; /* times scale */
	vf m[MAX_HEADS], l[MAX_HEADS];		/* all lanes alike */
	_Alignas(64) float s[BLOCK];
};

static void append(const struct attention_position *to)
{
	const int d = to->d, lane = to->number % GROUP;
	float *group = to->keys + (size_t)(to->number % BLOCK - lane) * d;

	memcpy(to->values + (size_t)(to->number % BLOCK) * d, to->v, (size_t)d * sizeof *to->v);
	for (int i = 0; i < d; i++)
		group[i * GROUP + lane] = to->k[i];
}

/* What is read next is on its way meanwhile: so many lines of it in each step. */
ALWAYS_INLINE void fetch_lines(const float *next, size_t step, const int lines)
{
	UNROLL
	for (int i = 0; i < lines; i++)
		__builtin_prefetch(next + (step * (size_t)lines + (size_t)i) * GROUP, 0, 2);
}

/* Scores of one query with the keys of some groups, [d][16] each. */
ALWAYS_INLINE void score_groups(float *s, const float *q, const float *k, int d, const float *next,
				const int groups)
{
	const size_t group = (size_t)d * GROUP;
	vf sum[GROUPS][GROUP_VECTORS];

	UNROLL
	for (int g = 0; g < groups; g++)
		for (int v = 0; v < GROUP_VECTORS; v++)
			sum[g][v] = vf_set1(0.0f);
	for (int i = 0; i < d; i++) {
		vf y = vf_set1(q[i]);
		UNROLL
		for (int g = 0; g < groups; g++)
			for (int v = 0; v < GROUP_VECTORS; v++)
				sum[g][v] = vf_fma(y, vf_load(k + g * group + v * VL), sum[g][v]);
		k += GROUP;
		if (next)
			fetch_lines(next, (size_t)i, groups);
	}
	UNROLL
	for (int g = 0; g < groups; g++)
		for (int v = 0; v < GROUP_VECTORS; v++)
			vf_store(s + g * GROUP + v * VL, sum[g][v]);
}

/* A block of keys that a query meets. */
struct key_block {
	const float *keys, *values;
	int n;	   /* keys */
	int begin; /* keys before this one are outside of the window */
	/* What is on its way while these are used, or NULL. */
	const float *next_keys, *next_values;
};

/* Scores with the keys of a block; -infinity for those before `begin` and up to the
 * next multiple of 16, where there may be anything in place of keys. */
static void score_block(float *s, const float *q, const struct key_block *block, int d, float cap)
{
	const int n_groups = round_up(block->n, GROUP) / GROUP;

	for (int g = 0; g < n_groups; g += GROUPS_AT_ONCE) {
		const float *k = block->keys + (size_t)g * GROUP * d;
		float *to = s + g * GROUP;
		switch (min_int(GROUPS_AT_ONCE, n_groups - g)) {
		case 1:
			score_groups(to, q, k, d, block->next_keys, 1);
			break;
		case 2:
			score_groups(to, q, k, d, block->next_keys, 2);
			break;
		case 3:
			score_groups(to, q, k, d, block->next_keys, 3);
			break;
		default:
			score_groups(to, q, k, d, block->next_keys, GROUPS);
		}
	}
	if (cap > 0)
		cap_scores(s, block->n, cap);
	for (int j = 0; j < block->begin; j++)
		s[j] = -INFINITY;
	for (int j = block->n; j < n_groups * GROUP; j++)
		s[j] = -INFINITY;
}

/* softmax_step for one query; every lane of *m, *l and alpha is the same. */
static vf softmax_step_one(float *s, int n, vf *m, vf *l)
{
	float partial[PARTIALS], top[VL];
	vf sum[PARTIALS / VL], max = *m, alpha;

	for (int j = 0; j < n; j += VL)
		max = vf_max(vf_load(s + j), max);
	vf_store(top, max);
	for (int i = 1; i < VL; i++)
		top[0] = top[i] > top[0] ? top[i] : top[0];
	max = vf_set1(top[0]);
	for (int v = 0; v < PARTIALS / VL; v++)
		sum[v] = vf_set1(0.0f);
	for (int j = 0; j < n; j += PARTIALS) {
		UNROLL
		for (int v = 0; v < PARTIALS / VL; v++) {
			vf e = vf_exp_nonpositive(vf_load(s + j + v * VL) - max);
			vf_store(s + j + v * VL, e);
			sum[v] += e;
		}
	}
	for (int v = 0; v < PARTIALS / VL; v++)
		vf_store(partial + v * VL, sum[v]);
	for (int half = PARTIALS / 2; half > 0; half /= 2) {
		for (int i = 0; i < half; i++)
			partial[i] += partial[i + half];
	}
	alpha = vf_exp_nonpositive(*m - max);
	*l = vf_fma(*l, alpha, vf_set1(partial[0]));
	*m = max;
	return alpha;
}

/* o = alpha o + sum_j e[j] v[j] over `vectors` vectors of d. */
ALWAYS_INLINE void output_lanes(float *o, const float *e, const float *v, int n, int d, vf alpha,
				const float *next, const int vectors)
{
	vf sum[8];

	UNROLL
	for (int i = 0; i < vectors; i++)
		sum[i] = vf_load(o + i * VL) * alpha;
	for (int j = 0; j < n; j++) {
		vf y = vf_set1(e[j]);
		UNROLL
		for (int i = 0; i < vectors; i++)
			sum[i] = vf_fma(y, vf_load(v + (size_t)j * d + i * VL), sum[i]);
		if (next) {
			UNROLL
			for (int i = 0; i < vectors; i += GROUP_VECTORS)
				__builtin_prefetch(next + (size_t)j * d + i * VL, 0, 2);
		}
	}
	UNROLL
	for (int i = 0; i < vectors; i++)
		vf_store(o + i * VL, sum[i]);
}

static void output_rest(float *o, const float *e, const float *v, int n, int d, vf alpha, int lanes)
{
	vf sum = vf_load_first(o, lanes) * alpha;

	for (int j = 0; j < n; j++)
		sum = vf_fma(vf_set1(e[j]), vf_load_first(v + (size_t)j * d, lanes), sum);
	vf_store_first(o, sum, lanes);
}

static void output_block(float *o, const float *e, const struct key_block *block, int d, vf alpha)
{
	const float *v = block->values, *next = block->next_values;
	const int n = block->n;
	int i = 0;

	for (; i + 8 * VL <= d; i += 8 * VL)
		output_lanes(o + i, e, v + i, n, d, alpha, next ? next + i : NULL, 8);
	for (; i + 4 * VL <= d; i += 4 * VL)
		output_lanes(o + i, e, v + i, n, d, alpha, next ? next + i : NULL, 4);
	for (; i + VL <= d; i += VL)
		output_lanes(o + i, e, v + i, n, d, alpha, next ? next + i : NULL, 1);
	if (i < d)
		output_rest(o + i, e, v + i, n, d, alpha, d - i);
}

/* Which keys and values come after those from `at` on: of a short cache, those of the next
 * one that lie in the same places, so that each thing read is followed by as much; of a
 * long one, which would not stay in the cache for so long, its own next ones. */
static void find_next(struct key_block *block, const struct attention_step *step, int at,
		      const struct attention_step *next)
{
	const bool is_short = step->length <= SHORT;

	if (!is_short && at + BLOCK < step->length) {
		next = step;
		at += BLOCK;
	} else if (next && !is_short) {
		at = first_block(next->length - 1, next->window);
	}
	if (next && at < next->length) {
		block->next_keys = next->blocks[at / BLOCK] + next->k;
		block->next_values = next->blocks[at / BLOCK] + next->v;
	}
}

/* The block from `at` on, of which the query sees what is in its window. */
static struct key_block find_block(const struct attention_step *step, int at)
{
	return (struct key_block){
		.keys = step->blocks[at / BLOCK] + step->k,
		.values = step->blocks[at / BLOCK] + step->v,
		.n = min_int(BLOCK, step->length - at),
		.begin = step->window > 0 ? step->length - step->window - at : 0,
	};
}

/* Heads begin .. end - 1 of the group; a block of keys is used by all of them
 * while it is in the cache.  Outputs are summed in place. */
static void decode_heads(struct decode *w, const struct attention_step *step, int begin, int end,
			 const struct attention_step *next)
{
	const int d = step->d;
	float *out = step->out + (size_t)begin * d;

	for (int h = 0; h < end - begin; h++) {
		w->m[h] = vf_set1(-INFINITY);
		w->l[h] = vf_set1(0.0f);
		for (int i = 0; i < d; i++)
			w->q[h][i] = step->q[(size_t)(begin + h) * d + i] * step->scale;
	}
	memset(out, 0, (size_t)(end - begin) * d * sizeof *out);
	for (int at = first_block(step->length - 1, step->window); at < step->length; at += BLOCK) {
		struct key_block block = find_block(step, at);

		find_next(&block, step, at, next);
		for (int h = 0; h < end - begin; h++) {
			vf alpha;
			score_block(w->s, w->q[h], &block, d, step->cap);
			alpha = softmax_step_one(w->s, round_up(block.n, PARTIALS), &w->m[h],
						 &w->l[h]);
			output_block(out + (size_t)h * d, w->s, &block, d, alpha);
			block.next_keys = block.next_values = NULL;
		}
	}
	for (int h = 0; h < end - begin; h++) {
		vf inverse = 1.0f / w->l[h];
		for (int i = 0; i < d; i++)
			out[h * d + i] = out[h * d + i] * inverse[0] + 0.0f;
	}
}

static void decode(const struct attention_step *step, const struct attention_step *next)
{
	struct decode w;

	for (int h = 0; h < step->n_heads; h += MAX_HEADS)
		decode_heads(&w, step, h, min_int(h + MAX_HEADS, step->n_heads), next);
}

/* --- backward --- */

struct backward {
	_Alignas(64) float k[BLOCK * MAX_D];	/* [64][width] */
	_Alignas(64) float k_t[MAX_D * BLOCK];	/* [d][64] */
	_Alignas(64) float v_t[MAX_D * BLOCK];	/* [d][64] */
	_Alignas(64) float q[BLOCK * MAX_D];	/* [64][width], times scale */
	_Alignas(64) float dout[BLOCK * MAX_D]; /* [64][width] */
	_Alignas(64) float dk_t[MAX_D * BLOCK]; /* [d][64] */
	_Alignas(64) float dv_t[MAX_D * BLOCK];
	_Alignas(64) float dq[BLOCK * MAX_D]; /* [64][width] */
	_Alignas(64) float p[BLOCK * BLOCK];  /* [query][key] */
	_Alignas(64) float ds[BLOCK * BLOCK]; /* [query][key] */
	float lse[BLOCK], delta[BLOCK];
	int d, rows, width; /* rows, width: d in whole edge tiles, in whole vectors of a tile */
	int n_keys;   /* in this block */
	int n_queries;
	int is_diagonal; /* the block of queries is the block of keys */
	int is_edge;	 /* some of these keys are before the window of some query */
	int past;	 /* then key j is, for query i, when j <= i + past */
	float cap;
};

static void load_keys(struct backward *w, const struct attention_group *group, int block)
{
	const float *k = group->k + (size_t)block * group->stride;
	const float *v = group->v + (size_t)block * group->stride;

	w->n_keys = min_int(BLOCK, group->t - block);
	copy_rows(w->k, w->width, k, group->stride, w->n_keys, w->d);
	if (w->n_keys < BLOCK) {
		clear_rows(w->k_t, BLOCK, 0, w->d);
		clear_rows(w->v_t, BLOCK, 0, w->d);
	}
	LEVELED(gemm_kernels).transpose(w->k_t, BLOCK, k, group->stride, w->n_keys, w->d);
	LEVELED(gemm_kernels).transpose(w->v_t, BLOCK, v, group->stride, w->n_keys, w->d);
	clear_rows(w->dk_t, BLOCK, 0, w->rows);
	clear_rows(w->dv_t, BLOCK, 0, w->rows);
}

static float dot(const float *a, const float *b, int n)
{
	float lanes[VL];
	vf sum = vf_set1(0.0f);

	for (int i = 0; i < n; i += VL) {
		int left = min_int(VL, n - i);
		sum = vf_fma(vf_load_first(a + i, left), vf_load_first(b + i, left), sum);
	}
	vf_store(lanes, sum);
	for (int half = VL / 2; half > 0; half /= 2) {
		for (int i = 0; i < half; i++)
			lanes[i] += lanes[i + half];
	}
	return lanes[0];
}

static void load_rows(struct backward *w, const struct attention_group *group, int head, int first)
{
	size_t at = (size_t)first * group->out_stride + (size_t)head * w->d;
	const float *q = group->q + (size_t)first * group->stride + (size_t)head * w->d;
	const vf scale = vf_set1(group->scale);
	int n = min_int(BLOCK, group->t - first), padded = round_up(n, EDGE_ROWS);

	w->n_queries = n;
	copy_rows(w->q, w->width, q, group->stride, n, w->d);
	for (int i = 0; i < n * w->width; i += VL)
		vf_store(w->q + i, vf_load(w->q + i) * scale);
	copy_rows(w->dout, w->width, group->dout + at, group->out_stride, n, w->d);
	clear_rows(w->q, w->width, n, padded);
	clear_rows(w->dout, w->width, n, padded);
	for (int i = 0; i < n; i++) {
		w->lse[i] = group->lse[(size_t)(first + i) * group->lse_stride + head];
		w->delta[i] = dot(group->dout + at + (size_t)i * group->out_stride,
				  group->out + at + (size_t)i * group->out_stride, w->d);
	}
}

ALWAYS_INLINE void finish_rows(struct backward *w, int column, int row, const int is_diagonal,
			       const int is_edge, const int is_capped)
{
	const int vectors = vectors_of(w->n_keys - column);

	for (; row < w->n_queries; row++) {
		vf lse = vf_set1(w->lse[row]), delta = vf_set1(w->delta[row]);
		for (int v = 0; v < vectors; v++) {
			size_t at = (size_t)row * BLOCK + column + v * VL;
			vi key = lane_numbers(column + v * VL);
			vf s = vf_load(w->p + at), dp = vf_load(w->ds + at), p, ds;

			if (is_capped)
				s = vf_softcap(s, vf_set1(w->cap));
			p = vf_exp_nonpositive(s - lse);
			if (is_diagonal)
				p = vf_select(key > row, vf_set1(0.0f), p);
			if (is_edge)
				p = vf_select(key <= row + w->past, vf_set1(0.0f), p);
			ds = p * (dp - delta);
			if (is_capped)
				ds *= vf_softcap_slope(s, vf_set1(w->cap));
			vf_store(w->p + at, p);
			vf_store(w->ds + at, ds);
		}
	}
}

/* Turns scores and dout V^T of one tile of keys into P and dS. */
static void finish_scores(struct backward *w, int column, int row)
{
	if (w->cap > 0)
		finish_rows(w, column, row, w->is_diagonal, w->is_edge, 1);
	else if (w->is_edge)
		finish_rows(w, column, row, w->is_diagonal, 1, 0);
	else if (w->is_diagonal)
		finish_rows(w, column, row, 1, 0, 0);
	else
		finish_rows(w, column, row, 0, 0, 0);
}

static void recompute_scores(struct backward *w)
{
	for (int column = 0; column < w->n_keys; column += TILE) {
		/* On the diagonal the queries before the first of these keys see none. */
		int row = w->is_diagonal ? column : 0;
		struct product scores = {.vectors = vectors_of(w->n_keys - column),
					 .a = w->q + (size_t)row * w->width,
					 .a_row = (size_t)w->width,
					 .a_step = 1,
					 .b = w->k_t + column,
					 .b_step = BLOCK,
					 .depth = w->d,
					 .c = w->p + (size_t)row * BLOCK + column,
					 .c_row = BLOCK};
		struct product dp = scores;
		int rows = round_up(w->n_queries - row, EDGE_ROWS);

		dp.a = w->dout + (size_t)row * w->width;
		dp.b = w->v_t + column;
		dp.c = w->ds + (size_t)row * BLOCK + column;
		product(&scores, rows);
		product(&dp, rows);
		finish_scores(w, column, row);
	}
}

/* to [d][key] += rows^T [d][query] weights [query][key] */
static void add_to_keys(const struct backward *w, float *to, const float *weights,
			const float *rows)
{
	for (int key = 0; key < w->n_keys; key += TILE) {
		int first = w->is_diagonal ? key : 0;
		struct product sum = {.vectors = vectors_of(w->n_keys - key),
				      .a = rows + (size_t)first * w->width,
				      .a_row = 1,
				      .a_step = (size_t)w->width,
				      .b = weights + (size_t)first * BLOCK + key,
				      .b_step = BLOCK,
				      .depth = w->n_queries - first,
				      .c = to + key,
				      .c_row = BLOCK};
		product_add(&sum, w->rows);
	}
}

/* dq [query][d] = dS K */
static void query_gradient(struct backward *w)
{
	int step = w->is_diagonal ? TILE : BLOCK;

	for (int query = 0; query < w->n_queries; query += step) {
		int visible = w->is_diagonal ? min_int(query + step, w->n_keys) : w->n_keys;
		int n = round_up(min_int(step, w->n_queries - query), EDGE_ROWS);
		for (int i = 0; i < w->width; i += TILE) {
			struct product sum = {.vectors = vectors_of(w->width - i),
					      .a = w->ds + (size_t)query * BLOCK,
					      .a_row = BLOCK,
					      .a_step = 1,
					      .b = w->k + i,
					      .b_step = (size_t)w->width,
					      .depth = visible,
					      .c = w->dq + (size_t)query * w->width + i,
					      .c_row = (size_t)w->width};
			product(&sum, n);
		}
	}
}

/* The first block of keys writes dq, the others add to it, in order. */
static void store_query_gradient(const struct backward *w, float *dq, size_t stride, float scale,
				 int is_first)
{
	for (int i = 0; i < w->n_queries; i++) {
		const float *from = w->dq + (size_t)i * w->width;
		float *to = dq + (size_t)i * stride;
		for (int j = 0; j < w->d; j++)
			to[j] = (is_first ? 0.0f : to[j]) + scale * from[j];
	}
}

static void store_key_gradients(const struct backward *w, const struct attention_group *group,
				int block)
{
	size_t to = (size_t)block * group->stride;

	LEVELED(gemm_kernels)
		.transpose(group->dk + to, group->stride, w->dk_t, BLOCK, w->d, w->n_keys);
	LEVELED(gemm_kernels)
		.transpose(group->dv + to, group->stride, w->dv_t, BLOCK, w->d, w->n_keys);
}

static void backward_queries(struct backward *w, const struct attention_group *group, int head,
			     int first, int block)
{
	float *dq = group->dq + (size_t)first * group->stride + (size_t)head * w->d;

	load_rows(w, group, head, first);
	w->is_diagonal = first == block;
	w->past = first - block - group->window;
	w->is_edge = group->window > 0 && w->n_queries - 1 + w->past >= 0;
	recompute_scores(w);
	add_to_keys(w, w->dv_t, w->p, w->dout);
	add_to_keys(w, w->dk_t, w->ds, w->q);
	query_gradient(w);
	store_query_gradient(w, dq, group->stride, group->scale,
			     block == first_block(first, group->window));
}

static void backward(const struct attention_group *group)
{
	struct backward w;

	w.d = group->d;
	w.cap = group->cap;
	w.rows = round_up(group->d, EDGE_ROWS);
	w.width = round_up(group->d, VL);
	for (int block = 0; block < group->t; block += BLOCK) {
		load_keys(&w, group, block);
		for (int head = 0; head < group->n_heads; head++) {
			for (int first = block; first < group->t; first += BLOCK) {
				if (first_block(first, group->window) > block)
					break;
				backward_queries(&w, group, head, first, block);
			}
		}
		store_key_gradients(&w, group, block);
	}
}

const struct attention_kernels LEVELED(attention_kernels) = {
	.forward = forward,
	.backward = backward,
	.append = append,
	.decode = decode,
};

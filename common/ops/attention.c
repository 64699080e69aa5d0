/* Attention: which head of which sequence is worked on by which thread.
 *
 * Forward tasks are (sequence, query head) pairs, backward tasks and those of decoding
 * (sequence, key/value head) pairs, so that every sum belongs to one task and its order
 * to attention_kernel.c, whatever the number of threads. */
#include "common/ops/attention.h"

#include <string.h>

#include "common/base/die.h"
#include "common/ops/attention_kernel.h"
#include "common/ops/isa.h"

enum { BLOCK = ATTENTION_KEY_BLOCK };

static const struct attention_kernels *current_kernels(void)
{
#ifdef __x86_64__
	switch (isa_current()) {
	case ISA_AVX512:
		return &attention_kernels_avx512;
	case ISA_AVX2:
		return &attention_kernels_avx2;
	default:
		break;
	}
#endif
	return &attention_kernels_portable;
}

/* The parts of a row of qkv, in floats. */
struct layout {
	size_t row;    /* (H+2K) D */
	size_t k, v;   /* where keys and values begin */
	size_t out;    /* H D, a row of the output */
	int per_group; /* H/K, query heads that share a key/value head */
};

static struct layout layout_of(const struct attention_shape *shape)
{
	size_t d = (size_t)shape->head_dim;
	size_t h = (size_t)shape->n_heads, kv = (size_t)shape->n_kv_heads;

	if (shape->head_dim < 1 || shape->head_dim > ATTENTION_MAX_HEAD_DIM ||
	    shape->n_kv_heads < 1 || shape->n_heads % shape->n_kv_heads != 0)
		die("attention with %d heads, %d key/value heads of size %d", shape->n_heads,
		    shape->n_kv_heads, shape->head_dim);
	return (struct layout){.row = (h + 2 * kv) * d,
			       .k = h * d,
			       .v = (h + kv) * d,
			       .out = h * d,
			       .per_group = shape->n_heads / shape->n_kv_heads};
}

struct task {
	const struct attention_kernels *kernels;
	const struct attention_shape *shape;
	struct layout layout;
	const float *qkv;
	const int *offsets;
	const struct attention_cache *caches;
	float *out, *lse;
	const float *kept_out, *kept_lse, *dout;
	float *dqkv;
};

/* --- forward --- */

static void forward_task(void *args, int i, int thread)
{
	const struct task *task = args;
	const struct layout *at = &task->layout;
	const struct attention_shape *shape = task->shape;
	int seq = i / shape->n_heads, head = i % shape->n_heads;
	int begin = task->offsets[seq];
	size_t d = (size_t)shape->head_dim;
	const float *row = task->qkv + (size_t)begin * at->row;
	size_t kv = (size_t)(head / at->per_group) * d;
	size_t lse_stride = (size_t)shape->n_heads;
	struct attention_head work = {
		.q = row + (size_t)head * d,
		.k = row + at->k + kv,
		.v = row + at->v + kv,
		.stride = at->row,
		.t = task->offsets[seq + 1] - begin,
		.d = shape->head_dim,
		.window = shape->window,
		.scale = shape->scale,
		.cap = shape->cap,
		.out = task->out + (size_t)begin * at->out + (size_t)head * d,
		.out_stride = at->out,
		.lse = task->lse ? task->lse + (size_t)begin * lse_stride + head : NULL,
		.lse_stride = lse_stride,
	};

	(void)thread;
	task->kernels->forward(&work);
}

void attention_forward(float *out, float *lse, const float *qkv, const int *offsets, int n_seqs,
		       const struct attention_shape *shape, struct pool *pool)
{
	struct task task = {.kernels = current_kernels(),
			    .shape = shape,
			    .layout = layout_of(shape),
			    .qkv = qkv,
			    .offsets = offsets,
			    .out = out,
			    .lse = lse};

	pool_run(pool, n_seqs * shape->n_heads, forward_task, &task);
}

/* --- backward --- */

static void backward_task(void *args, int i, int thread)
{
	const struct task *task = args;
	const struct layout *at = &task->layout;
	const struct attention_shape *shape = task->shape;
	int seq = i / shape->n_kv_heads, kv_head = i % shape->n_kv_heads;
	int begin = task->offsets[seq];
	size_t kv = (size_t)kv_head * (size_t)shape->head_dim;
	size_t q = kv * (size_t)at->per_group;
	size_t row = (size_t)begin * at->row, out_row = (size_t)begin * at->out;
	struct attention_group work = {
		.n_heads = at->per_group,
		.q = task->qkv + row + q,
		.k = task->qkv + row + at->k + kv,
		.v = task->qkv + row + at->v + kv,
		.dq = task->dqkv + row + q,
		.dk = task->dqkv + row + at->k + kv,
		.dv = task->dqkv + row + at->v + kv,
		.stride = at->row,
		.out = task->kept_out + out_row + q,
		.dout = task->dout + out_row + q,
		.out_stride = at->out,
		.lse = task->kept_lse + (size_t)begin * (size_t)shape->n_heads +
		       (size_t)kv_head * (size_t)at->per_group,
		.lse_stride = (size_t)shape->n_heads,
		.t = task->offsets[seq + 1] - begin,
		.d = shape->head_dim,
		.window = shape->window,
		.scale = shape->scale,
		.cap = shape->cap,
	};

	(void)thread;
	task->kernels->backward(&work);
}

void attention_backward(float *dqkv, const float *dout, const float *out, const float *lse,
			const float *qkv, const int *offsets, int n_seqs,
			const struct attention_shape *shape, struct pool *pool)
{
	struct task task = {.kernels = current_kernels(),
			    .shape = shape,
			    .layout = layout_of(shape),
			    .qkv = qkv,
			    .offsets = offsets,
			    .kept_out = out,
			    .kept_lse = lse,
			    .dout = dout,
			    .dqkv = dqkv};

	pool_run(pool, n_seqs * shape->n_kv_heads, backward_task, &task);
}

/* --- cache --- */

/* Floats of the keys of a block, and of its values. */
static size_t half_block(const struct attention_shape *shape)
{
	return (size_t)shape->n_kv_heads * (size_t)shape->head_dim * BLOCK;
}

size_t attention_block_floats(const struct attention_shape *shape)
{
	return 2 * half_block(shape);
}

/* Key and value of one head, D floats each, as position number `at`. */
static void append(const struct task *task, const struct attention_cache *cache, int at,
		   int kv_head, const float *k)
{
	size_t d = (size_t)task->shape->head_dim;
	float *keys = cache->blocks[at / BLOCK] + cache->offset + (size_t)kv_head * d * BLOCK;
	struct attention_position to = {.k = k,
					.v = k + task->layout.v - task->layout.k,
					.keys = keys,
					.values = keys + half_block(task->shape),
					.number = at,
					.d = task->shape->head_dim};

	task->kernels->append(&to);
}

static void append_task(void *args, int i, int thread)
{
	const struct task *task = args;
	const struct layout *at = &task->layout;
	int seq = i / task->shape->n_kv_heads, kv_head = i % task->shape->n_kv_heads;
	int begin = task->offsets[seq], n = task->offsets[seq + 1] - begin;
	const struct attention_cache *cache = &task->caches[seq];
	const float *k = task->qkv + (size_t)begin * at->row + at->k +
			 (size_t)kv_head * (size_t)task->shape->head_dim;

	(void)thread;
	for (int t = 0; t < n; t++, k += at->row)
		append(task, cache, cache->length + t, kv_head, k);
}

void attention_cache_append(const struct attention_cache *caches, const float *qkv,
			    const int *offsets, int n_seqs, const struct attention_shape *shape,
			    struct pool *pool)
{
	struct task task = {.kernels = current_kernels(),
			    .shape = shape,
			    .layout = layout_of(shape),
			    .qkv = qkv,
			    .offsets = offsets,
			    .caches = caches};

	pool_run(pool, n_seqs * shape->n_kv_heads, append_task, &task);
}

/* Head number `item` of all sequences. */
static struct attention_step step_of(const struct task *task, int item)
{
	const struct layout *at = &task->layout;
	const struct attention_shape *shape = task->shape;
	size_t seq = (size_t)(item / shape->n_kv_heads);
	size_t kv_head = (size_t)(item % shape->n_kv_heads);
	size_t d = (size_t)shape->head_dim;
	size_t q = kv_head * d * (size_t)at->per_group;
	const struct attention_cache *cache = &task->caches[seq];

	return (struct attention_step){
		.n_heads = at->per_group,
		.q = task->qkv + seq * at->row + q,
		.out = task->out + seq * at->out + q,
		.blocks = cache->blocks,
		.k = cache->offset + kv_head * d * BLOCK,
		.v = cache->offset + half_block(shape) + kv_head * d * BLOCK,
		.length = cache->length + 1,
		.d = shape->head_dim,
		.window = shape->window,
		.scale = shape->scale,
		.cap = shape->cap,
	};
}

static void decode_walk(void *args, struct pool_walk *walk, int thread)
{
	const struct task *task = args;
	const struct layout *at = &task->layout;
	int kv_heads = task->shape->n_kv_heads, item = pool_walk_next(walk), after;

	(void)thread;
	for (; item >= 0; item = after) {
		int seq = item / kv_heads, kv_head = item % kv_heads;
		struct attention_step step = step_of(task, item), next;

		after = pool_walk_next(walk);
		if (after >= 0)
			next = step_of(task, after);
		append(task, &task->caches[seq], step.length - 1, kv_head,
		       task->qkv + (size_t)seq * at->row + at->k +
			       (size_t)kv_head * (size_t)step.d);
		task->kernels->decode(&step, after >= 0 ? &next : NULL);
	}
}

void attention_decode(float *out, const float *qkv, const struct attention_cache *caches, int n,
		      const struct attention_shape *shape, struct pool *pool)
{
	struct task task = {.kernels = current_kernels(),
			    .shape = shape,
			    .layout = layout_of(shape),
			    .qkv = qkv,
			    .caches = caches,
			    .out = out};

	pool_run_walks(pool, n * shape->n_kv_heads, pool_threads(pool), decode_walk, &task);
}

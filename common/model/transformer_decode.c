/* The forward pass over a cache of keys and values: prefill of whole prompts,
 * then one position at a time.  It is transformer_run with another way to
 * attend, so a position's hidden state has the bits that transformer_forward
 * gives it. */
#include "common/model/transformer_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"

struct kv_cache {
	int n_slots;
	int capacity; /* positions a slot can hold */
	int n_layers;
	struct attention_cache *caches; /* [L][n_slots] */
	float *memory;
};

static struct attention_cache *cache_at(const struct kv_cache *cache, int layer, int slot)
{
	return &cache->caches[(size_t)layer * cache->n_slots + slot];
}

size_t kv_cache_bytes(const struct model *model, int n_slots, int capacity)
{
	struct attention_shape shape = attention_shape_of(&model->config);
	return 2 * attention_cache_floats(capacity, &shape) * (size_t)n_slots *
	       (size_t)model->config.n_layers * sizeof(float);
}

struct kv_cache *kv_cache_create(const struct model *model, int n_slots, int capacity)
{
	struct attention_shape shape = attention_shape_of(&model->config);
	size_t each = attention_cache_floats(capacity, &shape);
	size_t n = (size_t)n_slots * (size_t)model->config.n_layers;
	struct kv_cache *cache = xcalloc(1, sizeof *cache);

	cache->n_slots = n_slots;
	cache->capacity = capacity;
	cache->n_layers = model->config.n_layers;
	cache->caches = xcalloc(n, sizeof *cache->caches);
	cache->memory = xaligned(2 * each * n, sizeof(float));
	for (size_t i = 0; i < n; i++) {
		cache->caches[i].k = cache->memory + 2 * each * i;
		cache->caches[i].v = cache->memory + 2 * each * i + each;
	}
	return cache;
}

void kv_cache_destroy(struct kv_cache *cache)
{
	if (!cache)
		return;
	free(cache->caches);
	free(cache->memory);
	free(cache);
}

void kv_cache_clear(struct kv_cache *cache, int slot)
{
	for (int l = 0; l < cache->n_layers; l++)
		cache_at(cache, l, slot)->length = 0;
}

int kv_cache_length(const struct kv_cache *cache, int slot)
{
	return cache_at(cache, 0, slot)->length;
}

struct cached_attention {
	struct kv_cache *cache;
	const int *slots;
	int n;
	const struct batch *batch;	/* prefill only */
	struct attention_cache *views;	/* [n], decode only */
	struct attention_shape shape;
	struct pool *pool;
};

static void attend_prefill(void *context, int layer, const float *qkv, float *out, float *lse)
{
	const struct cached_attention *a = context;
	const int *offsets = a->batch->offsets;
	size_t width = (size_t)(a->shape.n_heads + 2 * a->shape.n_kv_heads) * a->shape.head_dim;

	attention_forward(out, lse, qkv, offsets, a->n, &a->shape, a->pool);
	for (int b = 0; b < a->n; b++)
		attention_cache_append(cache_at(a->cache, layer, a->slots[b]),
				       qkv + (size_t)offsets[b] * width,
				       offsets[b + 1] - offsets[b], &a->shape);
}

static void attend_decode(void *context, int layer, const float *qkv, float *out, float *lse)
{
	const struct cached_attention *a = context;
	size_t width = (size_t)(a->shape.n_heads + 2 * a->shape.n_kv_heads) * a->shape.head_dim;

	(void)lse;
	for (int b = 0; b < a->n; b++) {
		struct attention_cache *cache = cache_at(a->cache, layer, a->slots[b]);
		attention_cache_append(cache, qkv + (size_t)b * width, 1, &a->shape);
		a->views[b] = *cache;
	}
	attention_decode(out, qkv, a->views, a->n, &a->shape, a->pool);
}

void transformer_prefill(const struct model *model, struct kv_cache *cache, const int *slots,
			 const struct batch *batch, float *last_hidden, struct arena *arena,
			 struct pool *pool)
{
	struct cached_attention attention = {.cache = cache,
					     .slots = slots,
					     .n = batch->n_seqs,
					     .batch = batch,
					     .shape = attention_shape_of(&model->config),
					     .pool = pool};
	struct attend attend = {.run = attend_prefill, .context = &attention};
	int t = batch->offsets[batch->n_seqs], c = model->config.n_channels;
	size_t mark = arena_mark(arena);
	int *positions = batch_positions(batch, arena);
	float *hidden = arena_alloc(arena, (size_t)t * c, sizeof(float));

	for (int b = 0; b < batch->n_seqs; b++)
		ASSERT(kv_cache_length(cache, slots[b]) == 0 &&
		       batch->offsets[b + 1] - batch->offsets[b] <= cache->capacity);
	transformer_run(model, batch->ids, positions, t, &attend, hidden, NULL, arena, pool);
	for (int b = 0; b < batch->n_seqs; b++)
		memcpy(last_hidden + (size_t)b * c,
		       hidden + (size_t)(batch->offsets[b + 1] - 1) * c, (size_t)c * sizeof(float));
	arena_rewind(arena, mark);
}

void transformer_decode(const struct model *model, struct kv_cache *cache, const int *slots,
			const int32_t *ids, int n, float *hidden, struct arena *arena,
			struct pool *pool)
{
	struct cached_attention attention = {.cache = cache,
					     .slots = slots,
					     .n = n,
					     .shape = attention_shape_of(&model->config),
					     .pool = pool};
	struct attend attend = {.run = attend_decode, .context = &attention};
	size_t mark = arena_mark(arena);
	int *positions = arena_alloc(arena, (size_t)n, sizeof(int));

	attention.views = arena_alloc(arena, (size_t)n, sizeof *attention.views);
	for (int b = 0; b < n; b++) {
		positions[b] = kv_cache_length(cache, slots[b]);
		ASSERT(positions[b] < cache->capacity);
	}
	transformer_run(model, ids, positions, n, &attend, hidden, NULL, arena, pool);
	arena_rewind(arena, mark);
}

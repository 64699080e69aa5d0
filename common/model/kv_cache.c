/* The pool of blocks and the slots' tables; see kv_cache.h.
 *
 *     block    [L][k | v], as attention.h has them
 *
 * A block in use counts the slots that hold it.  A shared block is full, so nobody
 * writes to it. */
#include "common/model/kv_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/die.h"

enum { BLOCK = ATTENTION_KEY_BLOCK };

struct block {
	float *data;
	int n_users; /* slots that hold it; 0: free */
};

struct slot {
	int length;	/* positions held */
	int n_blocks;
	int capacity;	/* entries of the two tables */
	int *numbers;	/* [n_blocks] into the pool */
	float **blocks; /* [n_blocks] their memory */
};

struct kv_cache {
	int n_layers, n_slots, max_blocks;
	size_t layer_floats; /* of one layer in a block */
	struct slot *slots;
	struct block *pool; /* [n_allocated] */
	int n_allocated, n_free;
	int *free_blocks;    /* [n_free], the last one given back on top */
	struct arena memory; /* of all blocks: in huge pages, which one of them is too small for */
};

static size_t layer_floats(const struct model *model)
{
	const struct model_config *config = &model->config;
	struct attention_shape shape = {.n_heads = config->n_heads,
					.n_kv_heads = config->n_kv_heads,
					.head_dim = config->head_dim};
	return attention_block_floats(&shape);
}

size_t kv_cache_block_bytes(const struct model *model)
{
	return layer_floats(model) * (size_t)model->config.n_layers * sizeof(float);
}

int kv_cache_blocks_for(int positions)
{
	return positions / BLOCK + (positions % BLOCK != 0);
}

struct kv_cache *kv_cache_create(const struct model *model, int n_slots, int max_blocks)
{
	struct kv_cache *cache = xcalloc(1, sizeof *cache);

	cache->n_layers = model->config.n_layers;
	cache->n_slots = n_slots;
	cache->max_blocks = max_blocks;
	cache->layer_floats = layer_floats(model);
	cache->slots = xcalloc((size_t)n_slots, sizeof *cache->slots);
	arena_init(&cache->memory);
	return cache;
}

void kv_cache_destroy(struct kv_cache *cache)
{
	if (!cache)
		return;
	for (int s = 0; s < cache->n_slots; s++) {
		free(cache->slots[s].numbers);
		free((void *)cache->slots[s].blocks);
	}
	arena_release(&cache->memory);
	free(cache->slots);
	free(cache->pool);
	free(cache->free_blocks);
	free(cache);
}

int kv_cache_free_blocks(const struct kv_cache *cache)
{
	return cache->n_free + cache->max_blocks - cache->n_allocated;
}

/* --- blocks --- */

/* A new block on top of the free ones. */
static void allocate_block(struct kv_cache *cache)
{
	size_t n = (size_t)cache->n_allocated + 1;

	cache->pool = xrealloc(cache->pool, n, sizeof *cache->pool);
	cache->free_blocks = xrealloc(cache->free_blocks, n, sizeof *cache->free_blocks);
	cache->pool[cache->n_allocated] = (struct block){
		.data = arena_calloc(&cache->memory, cache->layer_floats * (size_t)cache->n_layers,
				     sizeof(float))};
	cache->free_blocks[cache->n_free++] = cache->n_allocated++;
}

/* Gives a slot one more block; the slot's tables have room. */
static void hold_block(struct kv_cache *cache, struct slot *slot, int number)
{
	cache->pool[number].n_users++;
	slot->numbers[slot->n_blocks] = number;
	slot->blocks[slot->n_blocks++] = cache->pool[number].data;
}

static void take_blocks(struct kv_cache *cache, struct slot *slot, int n)
{
	for (int i = 0; i < n; i++) {
		if (cache->n_free == 0)
			allocate_block(cache);
		hold_block(cache, slot, cache->free_blocks[--cache->n_free]);
	}
}

static void grow_tables(struct slot *slot, int n_blocks)
{
	if (n_blocks <= slot->capacity)
		return;
	slot->capacity = n_blocks > 2 * slot->capacity ? n_blocks : 2 * slot->capacity;
	slot->numbers = xrealloc(slot->numbers, (size_t)slot->capacity, sizeof *slot->numbers);
	slot->blocks = xrealloc((void *)slot->blocks, (size_t)slot->capacity,
				sizeof *slot->blocks);
}

/* --- slots --- */

bool kv_cache_reserve(struct kv_cache *cache, int slot, int positions)
{
	struct slot *s = &cache->slots[slot];
	int wanted = kv_cache_blocks_for(positions);

	if (wanted <= s->n_blocks)
		return true;
	if (wanted - s->n_blocks > kv_cache_free_blocks(cache))
		return false;
	grow_tables(s, wanted);
	take_blocks(cache, s, wanted - s->n_blocks);
	return true;
}

bool kv_cache_fork(struct kv_cache *cache, int from, int to)
{
	const struct slot *source = &cache->slots[from];
	struct slot *s = &cache->slots[to];
	int full = source->length / BLOCK;

	ASSERT(s->n_blocks == 0);
	if (source->length % BLOCK != 0 && kv_cache_free_blocks(cache) == 0)
		return false;
	grow_tables(s, kv_cache_blocks_for(source->length));
	for (int i = 0; i < full; i++)
		hold_block(cache, s, source->numbers[i]);
	if (source->length % BLOCK != 0) {
		take_blocks(cache, s, 1);
		memcpy(s->blocks[full], source->blocks[full],
		       cache->layer_floats * (size_t)cache->n_layers * sizeof(float));
	}
	s->length = source->length;
	return true;
}

void kv_cache_clear(struct kv_cache *cache, int slot)
{
	struct slot *s = &cache->slots[slot];

	while (s->n_blocks > 0) {
		int number = s->numbers[--s->n_blocks];
		if (--cache->pool[number].n_users == 0)
			cache->free_blocks[cache->n_free++] = number;
	}
	s->length = 0;
}

int kv_cache_length(const struct kv_cache *cache, int slot)
{
	return cache->slots[slot].length;
}

struct attention_cache kv_cache_layer(const struct kv_cache *cache, int slot, int layer)
{
	const struct slot *s = &cache->slots[slot];

	return (struct attention_cache){.blocks = s->blocks,
					.offset = (size_t)layer * cache->layer_floats,
					.length = s->length};
}

void kv_cache_advance(struct kv_cache *cache, int slot, int n)
{
	struct slot *s = &cache->slots[slot];

	ASSERT(kv_cache_blocks_for(s->length + n) <= s->n_blocks);
	s->length += n;
}

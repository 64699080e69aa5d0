/* Keys and values of sequences that are being generated.
 *
 * Memory is a pool of blocks, each for 64 positions in all layers.  A slot takes
 * blocks as its sequence grows and gives them back when it is cleared, so memory
 * follows the lengths that there are.  Slots whose sequences begin alike may share
 * whole blocks (kv_cache_fork).  Not thread-safe: one cache, one caller. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/model/model.h"
#include "common/ops/attention.h"

struct kv_cache;

/* Blocks are allocated when they are first needed, at most max_blocks. */
struct kv_cache *kv_cache_create(const struct model *model, int n_slots, int max_blocks);
void kv_cache_destroy(struct kv_cache *cache); /* NULL is fine */

size_t kv_cache_block_bytes(const struct model *model);
int kv_cache_blocks_for(int positions);
int kv_cache_free_blocks(const struct kv_cache *cache); /* that may still be taken */

/* Room for `positions` positions in a slot; false, and nothing has changed, where
 * too few blocks are free. */
bool kv_cache_reserve(struct kv_cache *cache, int slot, int positions);
/* Slot `to`, which is empty, gets what slot `from` holds: whole blocks are shared, the
 * rest is copied.  false, and nothing has changed, where no block is free for it. */
bool kv_cache_fork(struct kv_cache *cache, int from, int to);
void kv_cache_clear(struct kv_cache *cache, int slot);

int kv_cache_length(const struct kv_cache *cache, int slot); /* positions held */
/* For the forward pass: one layer of a slot, and n more positions held. */
struct attention_cache kv_cache_layer(const struct kv_cache *cache, int slot, int layer);
void kv_cache_advance(struct kv_cache *cache, int slot, int n);

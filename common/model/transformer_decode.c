/* The forward pass over a cache of keys and values: prefill of whole prompts,
 * then one position at a time.  It is transformer_run with another way to
 * attend, so a position's hidden state has the bits that transformer_forward
 * gives it. */
#include "common/model/transformer_private.h"

#include "common/base/die.h"

struct cached_attention {
	const struct kv_cache *cache;
	const int *slots; /* [n] */
	int n;
	const int *offsets;	       /* [n + 1], prefill only */
	struct attention_cache *views; /* [n], of the layer at hand */
	const struct model_config *config;
	struct pool *pool;
};

static void view_layer(const struct cached_attention *a, int layer)
{
	for (int b = 0; b < a->n; b++)
		a->views[b] = kv_cache_layer(a->cache, a->slots[b], layer);
}

static void attend_prefill(void *context, int layer, const float *qkv, float *out, float *lse)
{
	const struct cached_attention *a = context;
	struct attention_shape shape = attention_shape_of(a->config, layer);

	view_layer(a, layer);
	attention_forward(out, lse, qkv, a->offsets, a->n, &shape, a->pool);
	attention_cache_append(a->views, qkv, a->offsets, a->n, &shape, a->pool);
}

static void attend_decode(void *context, int layer, const float *qkv, float *out, float *lse)
{
	const struct cached_attention *a = context;
	struct attention_shape shape = attention_shape_of(a->config, layer);

	(void)lse;
	view_layer(a, layer);
	attention_decode(out, qkv, a->views, a->n, &shape, a->pool);
}

void transformer_prefill(const struct model *model, struct kv_cache *cache, const int *slots,
			 const struct batch *batch, float *hidden, struct arena *arena,
			 struct pool *pool)
{
	struct cached_attention attention = {.cache = cache,
					     .slots = slots,
					     .n = batch->n_seqs,
					     .offsets = batch->offsets,
					     .config = &model->config,
					     .pool = pool};
	struct attend attend = {.run = attend_prefill, .context = &attention};
	size_t mark = arena_mark(arena);
	struct rows rows = batch_rows(batch, arena);

	attention.views = arena_alloc(arena, (size_t)batch->n_seqs, sizeof *attention.views);
	for (int b = 0; b < batch->n_seqs; b++)
		ASSERT(kv_cache_length(cache, slots[b]) == 0);
	transformer_run(model, &rows, &attend, hidden, NULL, arena, pool);
	for (int b = 0; b < batch->n_seqs; b++)
		kv_cache_advance(cache, slots[b], batch->offsets[b + 1] - batch->offsets[b]);
	arena_rewind(arena, mark);
}

void transformer_decode(const struct model *model, struct kv_cache *cache, const int *slots,
			const int32_t *ids, int n, float *hidden, struct arena *arena,
			struct pool *pool)
{
	struct cached_attention attention = {.cache = cache,
					     .slots = slots,
					     .n = n,
					     .config = &model->config,
					     .pool = pool};
	struct attend attend = {.run = attend_decode, .context = &attention};
	size_t mark = arena_mark(arena);
	int *positions = arena_alloc(arena, (size_t)n, sizeof(int));
	int *lengths = arena_alloc(arena, (size_t)n, sizeof(int));
	struct rows rows = {.ids = ids, .positions = positions, .lengths = lengths, .t = n};

	attention.views = arena_alloc(arena, (size_t)n, sizeof *attention.views);
	for (int b = 0; b < n; b++) {
		positions[b] = kv_cache_length(cache, slots[b]);
		lengths[b] = positions[b] + 1;
	}
	transformer_run(model, &rows, &attend, hidden, NULL, arena, pool);
	for (int b = 0; b < n; b++)
		kv_cache_advance(cache, slots[b], 1);
	arena_rewind(arena, mark);
}

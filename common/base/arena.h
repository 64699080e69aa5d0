/* Bump allocator for memory that lives as long as one step.
 *
 *     size_t mark = arena_mark(&arena);
 *     float *x = arena_alloc(&arena, n, sizeof *x);
 *     arena_rewind(&arena, mark);            frees everything since the mark
 *
 * It grows by blocks and keeps them, so that a steady state allocates nothing.
 * Pointers stay valid until a rewind past them.  64-byte alignment; with
 * AddressSanitizer, freed and unused parts are poisoned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *first; /* all blocks, oldest first */
	struct arena_block *current;
	size_t used;	   /* bytes handed out, counted over all blocks */
	size_t high_water; /* the most ever in use, in bytes */
	bool only_counts;  /* it gives out NULL and holds nothing */
};

void arena_init(struct arena *arena);
/* One that only counts what allocations would take: for code that allocates without
 * writing, to say beforehand what it will need. */
void arena_init_counting(struct arena *arena);
void arena_release(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t n, size_t size);	/* not zeroed */
void *arena_calloc(struct arena *arena, size_t n, size_t size); /* zeroed */
size_t arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, size_t mark);

/* Bump allocator.
 *
 *     first -> [block][block][block]...      current points into the chain
 *
 * Blocks before current are full, blocks after it are empty and wait.  The
 * position of an allocation is counted over all blocks: a block remembers the
 * count at which it became current (base), so a mark is one number and a rewind
 * finds its block again.  Space left over at a block's end is not counted, nor held.  Once an
 * arena is empty that has needed several blocks, it gets one that is large enough for
 * all that was ever in use: work that repeats then takes that much and no more. */
#include "common/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/die.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif

/* Large blocks come from the system and go back to it; in huge pages where they are many. */
enum {
	ALIGNMENT = 64,
	FIRST_BLOCK_BYTES = 1 << 16,
	MAPPED_BYTES = 1 << 20,
	HUGE_PAGES_BYTES = 8 << 20,
};

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
enum { RED_ZONE = 64 }; /* poisoned bytes behind each allocation */
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
enum { RED_ZONE = 0 };
#endif

struct arena_block {
	struct arena_block *next;
	size_t bytes; /* room in data */
	size_t base;  /* arena->used when this block became current */
	_Alignas(ALIGNMENT) unsigned char data[];
};

void arena_init(struct arena *arena)
{
	*arena = (struct arena){0};
}

void arena_init_counting(struct arena *arena)
{
	*arena = (struct arena){.only_counts = true};
}

static void *map_block(size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (bytes >= HUGE_PAGES_BYTES)
		(void)madvise(memory, bytes, MADV_HUGEPAGE);
	return memory;
}

static void free_block(struct arena_block *block)
{
	size_t bytes = sizeof *block + block->bytes;

	ASAN_UNPOISON_MEMORY_REGION(block->data, block->bytes);
	if (bytes >= MAPPED_BYTES)
		munmap(block, bytes);
	else
		free(block);
}

static struct arena_block *block_create(size_t bytes)
{
	size_t all = sizeof(struct arena_block) + bytes;
	struct arena_block *block =
		all >= MAPPED_BYTES ? map_block(all) : aligned_alloc(ALIGNMENT, all);
	if (!block)
		die("no memory for %zu bytes of workspace", bytes);
	*block = (struct arena_block){.bytes = bytes};
	ASAN_POISON_MEMORY_REGION(block->data, bytes);
	return block;
}

static void free_blocks(struct arena *arena)
{
	for (struct arena_block *block = arena->first, *next; block; block = next) {
		next = block->next;
		free_block(block);
	}
	arena->first = arena->current = NULL;
}

void arena_release(struct arena *arena)
{
	free_blocks(arena);
	arena_init(arena);
}

/* What is left of a block at its end is not used while later ones are: its pages go back to
 * the system, so that no more of them are held than are in use. */
static void give_back_rest(const struct arena *arena)
{
	const struct arena_block *block = arena->current;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = (uintptr_t)(block->data + (arena->used - block->base));
	uintptr_t end = (uintptr_t)(block->data + block->bytes);

	begin = (begin + page - 1) / page * page;
	end = end / page * page;
	if (sizeof *block + block->bytes >= MAPPED_BYTES && begin < end)
		(void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

/* Makes a block current that has room: the next one if it is large enough, or a
 * new one put before it, at least as large as the current. */
static void advance(struct arena *arena, size_t bytes)
{
	struct arena_block **link = arena->current ? &arena->current->next : &arena->first;

	if (arena->current)
		give_back_rest(arena);
	if (!*link || (*link)->bytes < bytes) {
		size_t size = arena->current ? 2 * arena->current->bytes : FIRST_BLOCK_BYTES;
		struct arena_block *block = block_create(size > bytes ? size : bytes);
		block->next = *link;
		*link = block;
	}
	arena->current = *link;
	arena->current->base = arena->used;
}

/* The next `bytes` of `taken` that a block has room for. */
static unsigned char *take(struct arena *arena, size_t bytes, size_t taken)
{
	struct arena_block *block = arena->current;
	if (!block || block->bytes - (arena->used - block->base) < taken) {
		advance(arena, taken);
		block = arena->current;
	}
	unsigned char *memory = block->data + (arena->used - block->base);
	ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
	return memory;
}

void *arena_alloc(struct arena *arena, size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 4)
		die("a workspace of %zu elements of %zu bytes is too large", n, size);
	size_t taken = (bytes + RED_ZONE + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	unsigned char *memory = arena->only_counts ? NULL : take(arena, bytes, taken);
	arena->used += taken;
	if (arena->high_water < arena->used)
		arena->high_water = arena->used;
	return memory;
}

void *arena_calloc(struct arena *arena, size_t n, size_t size)
{
	void *memory = arena_alloc(arena, n, size);
	if (memory)
		memset(memory, 0, n * size);
	return memory;
}

size_t arena_mark(const struct arena *arena)
{
	return arena->used;
}

/* One block in place of all, of an empty arena. */
static void join_blocks(struct arena *arena)
{
	free_blocks(arena);
	arena->first = arena->current = block_create(arena->high_water);
}

void arena_rewind(struct arena *arena, size_t mark)
{
	if (mark > arena->used)
		die("a workspace at %zu cannot be rewound to %zu", arena->used, mark);
	if (mark == arena->used)
		return;
	if (arena->only_counts) {
		arena->used = mark;
		return;
	}
	/* The last block in use that began at or before the mark. */
	struct arena_block *target = arena->first;
	for (struct arena_block *block = arena->first;; block = block->next) {
		if (block->base <= mark)
			target = block;
		if (block == arena->current)
			break;
	}
	for (struct arena_block *block = target;; block = block->next) {
		size_t kept = block == target ? mark - block->base : 0;
		ASAN_POISON_MEMORY_REGION(block->data + kept, block->bytes - kept);
		if (block == arena->current)
			break;
	}
	arena->current = target;
	arena->used = mark;
	if (mark == 0 && arena->first->next)
		join_blocks(arena);
}

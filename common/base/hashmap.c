/* Hash table with open addressing and linear probing, at most half full. */
#include "common/base/hashmap.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/hash.h"

void hashmap_init(struct hashmap *map, size_t expected)
{
	size_t capacity = 8;
	while (capacity / 2 < expected)
		capacity *= 2;
	*map = (struct hashmap){.capacity = capacity};
	map->slots = xcalloc(capacity, sizeof *map->slots);
}

void hashmap_release(struct hashmap *map)
{
	free(map->slots);
	*map = (struct hashmap){0};
}

/* The slot that holds the key, or the empty one where it belongs. */
static struct hashmap_slot *locate(const struct hashmap *map, const char *key, size_t length)
{
	size_t mask = map->capacity - 1;
	uint64_t hash = hash64(key, length);
	for (size_t i = (size_t)(hash ^ hash >> 32) & mask;; i = (i + 1) & mask) {
		struct hashmap_slot *slot = &map->slots[i];
		if (!slot->key || (slot->length == length && memcmp(slot->key, key, length) == 0))
			return slot;
	}
}

static void grow(struct hashmap *map)
{
	struct hashmap larger;
	hashmap_init(&larger, map->capacity);
	for (size_t i = 0; i < map->capacity; i++) {
		const struct hashmap_slot *slot = &map->slots[i];
		if (slot->key)
			*locate(&larger, slot->key, slot->length) = *slot;
	}
	larger.count = map->count;
	hashmap_release(map);
	*map = larger;
}

bool hashmap_add(struct hashmap *map, const char *key, size_t length, int32_t value)
{
	if (length > UINT32_MAX)
		die("a key of %zu bytes is too long", length);
	if (map->capacity / 2 <= map->count)
		grow(map);
	struct hashmap_slot *slot = locate(map, key, length);
	if (slot->key)
		return false;
	*slot = (struct hashmap_slot){.key = key, .length = (uint32_t)length, .value = value};
	map->count++;
	return true;
}

bool hashmap_find(const struct hashmap *map, const char *key, size_t length, int32_t *value)
{
	if (map->count == 0)
		return false;
	const struct hashmap_slot *slot = locate(map, key, length);
	if (!slot->key)
		return false;
	*value = slot->value;
	return true;
}

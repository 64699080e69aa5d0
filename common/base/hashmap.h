/* Map from byte strings to int32.  Keys are borrowed: the caller keeps them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashmap_slot {
	const char *key;
	uint32_t length;
	int32_t value;
};
struct hashmap {
	struct hashmap_slot *slots; /* key NULL where empty */
	size_t capacity;	    /* a power of two */
	size_t count;
};

void hashmap_init(struct hashmap *map, size_t expected);
void hashmap_release(struct hashmap *map);
/* False, and nothing changed, if the key is there already. */
bool hashmap_add(struct hashmap *map, const char *key, size_t length, int32_t value);
bool hashmap_find(const struct hashmap *map, const char *key, size_t length, int32_t *value);

/* Reading the members of tokenizer.json's components: optional, typed, and
 * refused with one sentence when they are something else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/json.h"
#include "common/base/status.h"

/* Bounds on nested Sequences and on the steps they hold together. */
enum { COMPONENT_DEPTH = 8, COMPONENT_STEPS = 64 };

/* Whether a member is not there or null. */
bool component_is_absent(const struct json *value);
/* Sets *err: "KEY is a string, expected EXPECTED". */
enum status component_wrong_type(const struct json *value, const char *key, const char *expected,
				 struct error *err);
/* The member "type"; NULL and *err set if config is no object that has it. */
const char *component_type(const struct json *config, struct error *err);
/* A member that may be absent or null: then *value is the fallback. */
enum status component_bool(const struct json *config, const char *key, bool fallback, bool *value,
			   struct error *err);
enum status component_string(const struct json *config, const char *key, const char *fallback,
			     const char **value, size_t *length, struct error *err);
/* The index of the member's value among names; fallback -1: it must be there. */
enum status component_choice(const struct json *config, const char *key, const char *const *names,
			     int n, int fallback, int *value, struct error *err);
/* An id: an integer in [0, COMPONENT_MAX_ID]. */
enum { COMPONENT_MAX_ID = (1 << 21) - 1 };
enum status component_id(const struct json *value, const char *what, int *id, struct error *err);

/* Walks a component and, if it is a Sequence, those in its member list_key, and calls
 * add for each that is none, in order. */
struct component_walk {
	const char *list_key; /* "normalizers" */
	enum status (*add)(void *context, const char *type, const struct json *config,
			   struct error *err);
	void *context;
};
enum status component_walk(const struct component_walk *walk, const struct json *config,
			   struct error *err);

/* Steps of a hostile file could double a text each: multiplies *growth, and refuses
 * more than any sane file needs. */
enum status component_grow(size_t *growth, size_t factor, struct error *err);

/* What Metaspace says as pre-tokeniser and as decoder. */
enum prepend { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS };
struct component_metaspace {
	const char *replacement; /* one character, borrowed from config */
	size_t length;
	enum prepend prepend;
	bool splits;
};
enum status component_metaspace(const struct json *config, struct component_metaspace *metaspace,
				struct error *err);
/* A member that is one character. */
enum status component_character(const struct json *config, const char *key, const char *fallback,
				const char **text, size_t *length, struct error *err);

/* text [n] with a NUL behind it; the caller frees it. */
char *component_copy(const char *text, size_t n);

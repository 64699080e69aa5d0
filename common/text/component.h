/* Reading the members of tokenizer.json's components: optional, typed, and
 * refused with one sentence when they are something else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/json.h"
#include "common/base/status.h"

/* Bounds on nested Sequences and on the steps they hold together. */
enum { COMPONENT_DEPTH = 8, COMPONENT_STEPS = 64 };

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

/* The member "pattern": {"String": text} or {"Regex": text}. */
struct component_pattern {
	const char *text; /* borrowed from config */
	size_t length;
	bool is_regex;
};
enum status component_pattern(const struct json *config, struct component_pattern *pattern,
			      struct error *err);

/* Patterns of tokenizer.json, written for Oniguruma, run by PCRE2. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

struct regex;

/* The pattern with what the two engines read differently written out (\s, \b, [a&&b]);
 * constructs that tokenizers do not use, or that cannot be given Oniguruma's
 * meaning, are refused by name.  NULL and *err set if so. */
struct regex *regex_create(const char *pattern, size_t length, struct error *err);
void regex_destroy(struct regex *regex); /* NULL is fine */

/* Where the matcher keeps its place: one per thread, for any regex. */
struct regex_state;
struct regex_state *regex_state_create(void);
void regex_state_destroy(struct regex_state *state); /* NULL is fine */

/* The leftmost match in text[from, n), valid UTF-8; look-ahead sees n as the end.
 * A match that would take more steps than any sane pattern needs counts as none. */
bool regex_find(const struct regex *regex, struct regex_state *state, const char *text, size_t n,
		size_t from, size_t *start, size_t *end);

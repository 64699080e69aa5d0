/* Finding added tokens in text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text/tokenizer.h"
#include "common/text/vocabulary.h"

/* A set of strings to look for. */
struct added_set;

struct added_set *added_set_create(void);
void added_set_destroy(struct added_set *set); /* NULL is fine */
/* text is what is looked for; the token is borrowed. */
void added_set_add(struct added_set *set, const struct added_token *token, const char *text,
		   size_t length);

/* A stretch of text: one added token, or what lies between them. */
struct segment {
	size_t start, end;
	int32_t id; /* -1: text for the model */
};
struct segments {
	struct segment *data;
	size_t n;
	size_t capacity;
};
void segments_release(struct segments *segments);
/* Where tokens may not be found; {0}: nowhere. */
struct added_limits {
	const struct text_part *parts; /* [n]: a token lies on one side of each cut */
	size_t n;
	const bool *guarded; /* by id: not in plain parts */
};
/* Cuts valid UTF-8 at the tokens of the set, the leftmost first, the longest of
 * those that begin at one place.  Empty stretches are left out. */
void added_set_split(const struct added_set *set, const char *text, size_t n,
		     const struct added_limits *limits, struct segments *out);
/* Whether some guarded token is in the text. */
bool added_set_finds(const struct added_set *set, const char *text, size_t n, const bool *guarded);

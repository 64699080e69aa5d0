/* The tokens of a tokenizer: those of the model and those added to them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/hashmap.h"
#include "common/base/json.h"
#include "common/base/status.h"

struct token {
	const char *text; /* NULL: no token has this id */
	uint32_t length;
	bool is_model;		   /* in model.vocab: what merges and characters are looked up in */
	bool is_special;	   /* left out by a decode that skips special tokens */
	const struct token *shown; /* what a decoder sees instead; NULL: the token itself */
};

/* A token that is found in text before the model sees it. */
struct added_token {
	int32_t id;
	bool is_single_word;		/* not next to a word character */
	bool strips_left, strips_right; /* swallows the white space beside it */
	bool is_normalized;		/* looked for in normalised text */
	bool is_text;			/* found, but left to the model */
};

/* What a token that stands beside tokenizer.json does to one that is listed: an added token
 * of tokenizer.json, or one that came with an id. */
enum extra_kind {
	EXTRA_LISTED, /* gives it its flags */
	EXTRA_NAMED,  /* makes it special */
	EXTRA_OTHER,  /* nothing */
};
struct extra_token {
	const char *text; /* [length], borrowed */
	size_t length;
	const char *file; /* that names it */
	enum extra_kind kind;
	int32_t said_id; /* -1: none; the token gets the next free one anyway */
	bool is_special;
	bool says_normalized;	  /* else is_normalized is the contrary of is_special */
	struct added_token flags; /* all but its id */
};

struct vocabulary {
	struct token *tokens;	   /* [size] */
	int32_t size;		   /* largest id + 1 */
	struct hashmap ids;	   /* text to id, model and added */
	struct added_token *added; /* [n_added] */
	int32_t n_added;
	char *text; /* holds the texts of all tokens */
};

/* Reads model.vocab and added_tokens of tokenizer.json (the latter may be NULL), and adds
 * extras [n_extras] in their order. */
enum status vocabulary_load(struct vocabulary *vocabulary, const struct json *vocab,
			    const struct json *added_tokens, const struct extra_token *extras,
			    size_t n_extras, struct error *err);
/* The flags of an added token as JSON; is_normalized is !is_special where it is not said. */
enum status added_token_flags(struct added_token *flags, const struct json *config,
			      bool *is_special, struct error *err);
void vocabulary_release(struct vocabulary *vocabulary);
/* -1 if there is none; vocabulary_find_model sees the model's tokens alone. */
int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *text, size_t length);
int32_t vocabulary_find_model(const struct vocabulary *vocabulary, const char *text, size_t length);
/* Appends a canonical description, equal for equal content. */
void vocabulary_describe(const struct vocabulary *vocabulary, struct buf *out);

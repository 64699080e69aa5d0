/* pre_tokenizer of tokenizer.json: cutting a stretch of text into the pieces that
 * the model encodes one by one.  Refused by name: every type but ByteLevel, Split,
 * Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit,
 * BertPreTokenizer and Sequence. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"

struct pretokenizer;

/* config: the JSON value, NULL or null for none.  NULL and *err set if refused. */
struct pretokenizer *pretokenizer_create(const struct json *config, struct error *err);
/* GPT-2's: what ByteLevel without a prefix space does. */
struct pretokenizer *pretokenizer_create_gpt2(void);
/* Whether a ByteLevel that is all there is puts a space in front; else nothing changes. */
void pretokenizer_set_prefix_space(struct pretokenizer *pretokenizer, bool is_added);
void pretokenizer_destroy(struct pretokenizer *pretokenizer); /* NULL is fine */
/* Whether the model sees bytes rather than characters.  (Bytes stay bytes here:
 * the alphabet that stands for them is undone when the vocabulary is loaded.) */
bool pretokenizer_is_byte_level(const struct pretokenizer *pretokenizer);
/* Appends a canonical description, equal for equal behaviour. */
void pretokenizer_describe(const struct pretokenizer *pretokenizer, struct buf *out);

struct span {
	size_t start, end; /* bytes of pieces.text */
	bool is_first;	   /* at the very beginning of the input */
};
/* The result of a split, with memory that is used again by the next one. */
struct pieces {
	const char *text; /* what the spans count in: the text given, or a copy */
	struct span *spans;
	size_t n;
	size_t capacity;
	/* private to pretokenize.c */
	struct span *spare;
	size_t spare_capacity;
	struct buf texts[2];
	struct regex_state *state;
};
void pieces_init(struct pieces *pieces);
void pieces_release(struct pieces *pieces);

/* Splits valid UTF-8.  at_start: text is the very beginning of the input. */
void pretokenizer_split(const struct pretokenizer *pretokenizer, struct pieces *pieces,
			const char *text, size_t n, bool at_start);

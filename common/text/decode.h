/* decoder of tokenizer.json: from tokens back to text.  Refused by name: every
 * type but ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, BPEDecoder
 * and Sequence. */
#pragma once

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/vocabulary.h"

struct decoder;

/* config: the JSON value, NULL or null for none: tokens joined by spaces.  NULL and
 * *err set if refused. */
struct decoder *decoder_create(const struct json *config, struct error *err);
void decoder_destroy(struct decoder *decoder); /* NULL is fine */
/* Appends a canonical description, equal for equal behaviour. */
void decoder_describe(const struct decoder *decoder, struct buf *out);
/* The byte that a token stands for, as <0xHH> does under ByteFallback; -1 for any other. */
int decoder_byte(const struct decoder *decoder, const struct token *token);
/* Appends the text of n tokens, valid UTF-8. */
void decoder_apply(const struct decoder *decoder, const struct token *const *tokens, size_t n,
		   struct buf *out);

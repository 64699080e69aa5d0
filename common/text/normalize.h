/* normalizer of tokenizer.json.  Refused by name: every type but NFC, NFD, NFKC,
 * NFKD, Prepend, Replace of a string, Lowercase, Strip and Sequence. */
#pragma once

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"

struct normalizer;

/* config: the JSON value, NULL or null for none.  NULL and *err set if refused. */
struct normalizer *normalizer_create(const struct json *config, struct error *err);
void normalizer_destroy(struct normalizer *normalizer); /* NULL is fine */
/* Appends a canonical description, equal for equal behaviour. */
void normalizer_describe(const struct normalizer *normalizer, struct buf *out);

/* Normalises *text [*n], valid UTF-8, and points *text at the result, which is
 * the input itself where nothing changes, or lies in one of the scratch buffers. */
void normalizer_apply(const struct normalizer *normalizer, struct buf scratch[2], const char **text,
		      size_t *n);

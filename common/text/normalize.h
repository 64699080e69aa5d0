/* normalizer of tokenizer.json.  Refused by name: every type but NFC, NFD, NFKC,
 * NFKD, Prepend, Replace, Lowercase, Strip, StripAccents, Nmt, ByteLevel and Sequence. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/regex.h"

struct normalizer;

/* config: the JSON value, NULL or null for none.  NULL and *err set if refused. */
struct normalizer *normalizer_create(const struct json *config, struct error *err);
void normalizer_destroy(struct normalizer *normalizer); /* NULL is fine */
/* Appends a canonical description, equal for equal behaviour. */
void normalizer_describe(const struct normalizer *normalizer, struct buf *out);

/* Memory of one thread's normalising; {0} to begin with. */
struct normalizer_scratch {
	struct buf texts[2];
	struct regex_state *state;
};
void normalizer_scratch_release(struct normalizer_scratch *scratch);

/* Normalises *text [*n], valid UTF-8, and points *text at the result, which is
 * the input itself where nothing changes, or lies in scratch.  *at_start, whether
 * the text is the beginning of the input: false if what was there is gone. */
void normalizer_apply(const struct normalizer *normalizer, struct normalizer_scratch *scratch,
		      const char **text, size_t *n, bool *at_start);

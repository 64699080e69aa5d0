/* Byte-pair encoding of one piece of text.
 *
 * Symbols (bytes for byte-level models, else characters) are merged pairwise, the
 * merge of lowest rank first, the leftmost among equals, until none applies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/tokenizer.h"
#include "common/text/vocabulary.h"

struct bpe;

/* model: the member of tokenizer.json.  vocabulary must outlive the result.
 * NULL and *err set if refused. */
struct bpe *bpe_create(const struct vocabulary *vocabulary, const struct json *model,
		       bool is_byte_level, struct error *err);
void bpe_destroy(struct bpe *bpe); /* NULL is fine */
bool bpe_has_fallback(const struct bpe *bpe); /* bytes for what has no token */
/* Appends a canonical description, equal for equal behaviour. */
void bpe_describe(const struct bpe *bpe, struct buf *out);

/* Memory of one thread's encoding; {0} to begin with. */
struct bpe_scratch {
	struct ids symbols;
	struct bpe_link *links; /* neighbours of each symbol */
	size_t n_links;
	struct bpe_candidate *heap;
	size_t n_heap, heap_capacity;
	struct buf text;
};
void bpe_scratch_release(struct bpe_scratch *scratch);

/* Appends the ids of a piece, valid UTF-8. */
void bpe_encode(const struct bpe *bpe, struct bpe_scratch *scratch, const char *piece, size_t n,
		struct ids *out);

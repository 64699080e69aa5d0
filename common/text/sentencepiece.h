/* SentencePiece's tokenizer.model, of its BPE, as the text of a tokenizer.json. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* What tokenizer_config.json says of how a text begins: with a space, unless no_prefix, and
 * so does each stretch between special tokens if is_legacy. */
struct sentencepiece_start {
	bool no_prefix, is_legacy;
};

/* Appends what transformers makes of a model's n bytes for Llama's tokenizer, whose text
 * begins with a space if the model says so too, or for Gemma's, whose does not.  Refused: what
 * is no such file or one that SentencePiece does not load, models that are not BPE, and what
 * normalises texts. */
enum status sentencepiece_append_json(struct buf *json, const char *bytes, size_t n,
				      struct sentencepiece_start start, struct error *err);

/* The text of a completion as it grows, id by id: the text that tokenizer_decode_completion
 * gives to the whole, in pieces that end with whole characters.
 *
 *     struct completion completion;
 *     completion_begin(&completion, tokenizer, prompt, n_prompt);
 *     completion_add(&completion, id);       ... completion.text grows
 *     completion_end(&completion);           characters that were never finished
 *     completion_release(&completion); */
#pragma once

#include "common/base/buf.h"
#include "common/text/tokenizer.h"

struct completion {
	struct buf text; /* so far */

	/* private: ids before, whose text is known, and those since */
	const struct tokenizer *tokenizer;
	struct ids window;
	size_t n_before;
	size_t n_bytes; /* of the text of those since that is in `text` */
};

/* prompt [n] is copied. */
void completion_begin(struct completion *completion, const struct tokenizer *tokenizer,
		      const int32_t *prompt, size_t n);
void completion_add(struct completion *completion, int32_t id);
void completion_end(struct completion *completion);
void completion_release(struct completion *completion);

/* The text of a completion as it grows, id by id: the text that tokenizer_decode_completion
 * gives to the whole, in pieces that end with whole characters.  An id costs the same
 * however many came before, but for the one that ends a run of wrong bytes.
 *
 *     struct completion completion;
 *     completion_begin(&completion, tokenizer, prompt, n_prompt);
 *     completion_add(&completion, id);       ... completion.text grows
 *     completion_end(&completion);           characters that were never finished
 *     completion_release(&completion); */
#pragma once

#include "common/base/buf.h"
#include "common/text/tokenizer.h"

/* Private: where the text is known, in a completion's ids. */
struct completion_place {
	size_t before;	/* the first id to decode ... */
	size_t since;	/* ... and the first whose text is looked for */
	size_t n_bytes; /* of the text of those since that is in `text` */
};

struct completion {
	struct buf text; /* so far */

	/* private */
	const struct tokenizer *tokenizer;
	struct ids ids;			 /* of the prompt, and of the completion those with text */
	struct completion_place certain; /* holds whatever follows */
	struct completion_place near;	 /* holds if the run of byte tokens, if any, stays right */
	char unfinished[4];		 /* bytes of that run behind its last character: four */
	size_t n_unfinished;		 /* are none, and it is wrong */
};

/* prompt [n] is copied. */
void completion_begin(struct completion *completion, const struct tokenizer *tokenizer,
		      const int32_t *prompt, size_t n);
void completion_add(struct completion *completion, int32_t id);
void completion_end(struct completion *completion);
void completion_release(struct completion *completion);

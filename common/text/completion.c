/* Growing text.
 *
 * An id's text depends on the ids before it: a character may be spread over several,
 * and a decoder may drop the space in front of the first.  So ids are decoded together
 * with those before them, from a place on where the text was whole: `before` ids up to
 * the last such place, and those since.  When the text is whole again and has grown,
 * those since become those before.
 *
 * Bytes that make no character yet are shown as U+FFFD, so such ones at the end wait for
 * what follows.  Where byte tokens stand in for characters a whole run of them may: if
 * one byte in it turns out to be wrong, every one is shown as U+FFFD, and then text that
 * was given out differs from that of the whole.  No place inside a run is taken for
 * one where the text is whole. */
#include "common/text/completion.h"

#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD";

/* Bytes of the replacement characters at the end, which may yet become others. */
static size_t unfinished(const struct buf *text)
{
	size_t n = 0, each = strlen(replacement);

	while (text->length >= n + each &&
	       memcmp(text->data + text->length - n - each, replacement, each) == 0)
		n += each;
	return n;
}

void completion_begin(struct completion *completion, const struct tokenizer *tokenizer,
		      const int32_t *prompt, size_t n)
{
	*completion = (struct completion){.tokenizer = tokenizer, .n_before = n};
	ids_append(&completion->window, prompt, n);
}

/* Whether an id is text by itself, and so not a part of a character. */
static bool stands_alone(const struct tokenizer *tokenizer, int32_t id)
{
	struct buf text = BUF_INIT;
	bool is_text;

	tokenizer_decode(tokenizer, &id, 1, true, &text);
	is_text = text.length > 0 && unfinished(&text) == 0;
	buf_release(&text);
	return is_text;
}

/* Appends what is new of the text since `before`; all of it at the end. */
static void take_text(struct completion *c, bool is_end)
{
	struct buf since = BUF_INIT;
	size_t whole;

	tokenizer_decode_completion(c->tokenizer, c->window.data, c->n_before,
				    c->window.data + c->n_before, c->window.n - c->n_before,
				    &since);
	whole = since.length - (is_end ? 0 : unfinished(&since));
	if (whole > c->n_bytes) {
		size_t from = c->n_bytes;
		/* Bytes that have become other text, from its next character on. */
		while (from < whole && ((unsigned char)since.data[from] & 0xc0) == 0x80)
			from++;
		buf_append(&c->text, since.data + from, whole - from);
		c->n_bytes = whole;
	}
	if (whole == since.length && whole > 0 &&
	    stands_alone(c->tokenizer, c->window.data[c->window.n - 1])) {
		c->window.n -= c->n_before;
		memmove(c->window.data, c->window.data + c->n_before,
			c->window.n * sizeof *c->window.data);
		c->n_before = c->window.n;
		c->n_bytes = 0;
	}
	buf_release(&since);
}

void completion_add(struct completion *completion, int32_t id)
{
	ids_append(&completion->window, &id, 1);
	take_text(completion, false);
}

void completion_end(struct completion *completion)
{
	take_text(completion, true);
}

void completion_release(struct completion *completion)
{
	buf_release(&completion->text);
	ids_release(&completion->window);
}

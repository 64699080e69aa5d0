/* Growing text.
 *
 * An id's text depends on the ids before it: a character may be spread over several,
 * and a decoder may drop the space in front of the first.  So ids are decoded together
 * with those before them, from a place on where the text was whole: the ids up to it from
 * the last such place on, and those since.  When the text is whole again and has grown,
 * that is the next place.
 *
 * Bytes that make no character yet are shown as U+FFFD, so such ones at the end wait for
 * what follows.  Where byte tokens stand in for characters a whole run of them may: if
 * one byte in it turns out to be wrong, every one is shown as U+FFFD, and then text that
 * was given out differs from that of the whole.  So a place behind a byte of a longer
 * character holds only as long as no byte is wrong; then the last other one does.
 *
 * What can add no character is not decoded: a byte inside one, a byte of a run that is
 * wrong already, and one more id that is shown as U+FFFD behind others. */
#include "common/text/completion.h"

#include <string.h>

#include "common/text/unicode.h"

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

/* Keeps account of the run of byte tokens at the end.  One that ends in the midst of a
 * character, or is wrong, takes the place inside it along. */
static void follow_run(struct completion *c, int32_t id)
{
	int byte = tokenizer_byte(c->tokenizer, id);

	if (byte < 0) {
		if (c->n_unfinished > 0)
			c->near = c->certain;
		c->n_unfinished = 0;
	} else if (c->n_unfinished < sizeof c->unfinished) {
		c->unfinished[c->n_unfinished++] = (char)byte;
		if (utf8_is_valid(c->unfinished, c->n_unfinished))
			c->n_unfinished = 0;
	}
}

void completion_begin(struct completion *completion, const struct tokenizer *tokenizer,
		      const int32_t *prompt, size_t n)
{
	*completion = (struct completion){
		.tokenizer = tokenizer, .certain = {.since = n}, .near = {.since = n}};
	ids_append(&completion->ids, prompt, n);
	for (size_t i = 0; i < n; i++)
		if (tokenizer_is_shown(tokenizer, prompt[i]))
			follow_run(completion, prompt[i]);
}

/* Whether the last n ids are text by themselves, with no part of a character at the end. */
static bool stand_alone(const struct completion *c, size_t n)
{
	struct buf text = BUF_INIT;
	bool is_text;

	tokenizer_decode(c->tokenizer, c->ids.data + c->ids.n - n, n, true, &text);
	is_text = text.length > 0 && unfinished(&text) == 0;
	buf_release(&text);
	return is_text;
}

/* Whether the last id is one more of those that are shown as U+FFFD: the bytes of one
 * character are those of four ids at most. */
static bool is_stalled(const struct completion *c)
{
	enum { MOST = 4 };
	struct buf text = BUF_INIT;
	bool is_stalled;

	if (c->ids.n - c->near.since <= MOST ||
	    tokenizer_byte(c->tokenizer, c->ids.data[c->ids.n - 1]) >= 0)
		return false;
	tokenizer_decode(c->tokenizer, c->ids.data + c->ids.n - MOST, MOST, true, &text);
	is_stalled = text.length > 0 && unfinished(&text) == text.length;
	buf_release(&text);
	return is_stalled;
}

/* The text is whole behind the last id.  A byte that is a character is as good as text. */
static void move_places(struct completion *c)
{
	if (!stand_alone(c, c->ids.n - c->near.since))
		return;
	c->near = (struct completion_place){.before = c->near.since, .since = c->ids.n};
	if (tokenizer_byte(c->tokenizer, c->ids.data[c->ids.n - 1]) < 0 || stand_alone(c, 1))
		c->certain = c->near;
}

/* Appends what is new of the text since the near place; all of it at the end. */
static void take_text(struct completion *c, bool is_end)
{
	struct completion_place *near = &c->near;
	const int32_t *ids = c->ids.data;
	struct buf since = BUF_INIT;
	size_t whole;

	tokenizer_decode_completion(c->tokenizer, ids + near->before, near->since - near->before,
				    ids + near->since, c->ids.n - near->since, &since);
	whole = since.length - (is_end ? 0 : unfinished(&since));
	if (whole > near->n_bytes) {
		size_t from = near->n_bytes;
		/* Bytes that have become other text, from its next character on. */
		while (from < whole && ((unsigned char)since.data[from] & 0xc0) == 0x80)
			from++;
		buf_append(&c->text, since.data + from, whole - from);
		c->certain.n_bytes += whole - near->n_bytes;
		near->n_bytes = whole;
	}
	if (whole == since.length && whole > 0)
		move_places(c);
	buf_release(&since);
}

void completion_add(struct completion *completion, int32_t id)
{
	if (!tokenizer_is_shown(completion->tokenizer, id))
		return;
	ids_append(&completion->ids, &id, 1);
	follow_run(completion, id);
	if (completion->n_unfinished == 0 && !is_stalled(completion))
		take_text(completion, false);
}

void completion_end(struct completion *completion)
{
	if (completion->n_unfinished > 0)
		completion->near = completion->certain;
	take_text(completion, true);
}

void completion_release(struct completion *completion)
{
	buf_release(&completion->text);
	ids_release(&completion->ids);
}

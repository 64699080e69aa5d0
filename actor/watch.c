/* See watch.h.  What may still become a stop string is not shown yet. */
#include "actor/watch.h"

#include <stdio.h>
#include <string.h>

static void show(struct watch *watch, size_t end)
{
	if (!watch->options->is_shown || end <= watch->n_shown)
		return;
	fwrite(watch->completion.text.data + watch->n_shown, 1, end - watch->n_shown, stdout);
	fflush(stdout);
	watch->n_shown = end;
}

void watch_begin(struct watch *watch, const struct watch_options *options, struct request *request)
{
	*watch = (struct watch){.options = options, .match = {.item = -1}};
	completion_begin(&watch->completion, options->tokenizer, request->prompt,
			 (size_t)request->n_prompt);
	request->context = watch;
}

bool watch_token(struct request *request)
{
	struct watch *watch = request->context;
	const struct stop_strings *stop = watch->options->stop;
	const struct buf *text = &watch->completion.text;
	size_t n_old = text->length;

	completion_add(&watch->completion, request->completion[request->n_completion - 1]);
	if (text->length == n_old)
		return false;
	if (request->n_completion >= watch->options->min_new_tokens)
		watch->match = stop_strings_find(stop, text->data, text->length, n_old);
	if (watch->match.item >= 0)
		show(watch, watch->match.at);
	else
		show(watch, text->length - stop_strings_pending(stop, text->data, text->length));
	return watch->match.item >= 0 || (watch->options->is_shown && ferror(stdout));
}

void watch_end(struct watch *watch)
{
	if (watch->match.item >= 0)
		return;
	completion_end(&watch->completion);
	show(watch, watch->completion.text.length);
}

void watch_release(struct watch *watch)
{
	completion_release(&watch->completion);
}

/* Where the stop string begins in the text of all ids.  Invalid bytes in front of it may have
 * changed that since: then it is as far from the end as it was.  n if it is in neither place. */
static size_t match_begin(const struct watch *watch, const char *text, size_t n)
{
	const char *string = watch->options->stop->items[watch->match.item];
	size_t length = strlen(string), at = watch->match.at;
	size_t behind = watch->completion.text.length - at;

	if (n >= at + length && memcmp(text, watch->completion.text.data, at + length) == 0)
		return at;
	if (behind <= n && memcmp(text + n - behind, string, length) == 0)
		return n - behind;
	return n;
}

void watch_text(const struct watch *watch, const struct tokenizer *tokenizer,
		const struct request *request, struct buf *out)
{
	struct buf text = BUF_INIT;

	tokenizer_decode_completion(tokenizer, request->prompt, (size_t)request->n_prompt,
				    request->completion, (size_t)request->n_completion, &text);
	if (watch && watch->match.item >= 0)
		text.length = match_begin(watch, text.data, text.length);
	buf_append(out, text.data, text.length);
	buf_release(&text);
}

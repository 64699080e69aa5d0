/* The part of Jinja that chat templates use, set up as transformers does: what a template
 * makes of a conversation.
 *
 * There is no tool, no document and no other variable.  A template is somebody else's
 * program: its steps, its memory and its depth are bounded, and it can do nothing but
 * write text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "common/base/buf.h"

struct jinja_message {
	const char *role, *content; /* NUL-terminated */
};
struct jinja_input {
	const struct jinja_message *messages; /* [n] */
	size_t n;
	bool add_generation_prompt;
	const char *bos, *eos; /* NULL where there is none: then they are not defined */
	const struct tm *now;  /* what the clock says */
};

enum jinja_result {
	JINJA_DONE,
	JINJA_RAISED,  /* by the template itself: raise_exception */
	JINJA_UNKNOWN, /* a construct that is not supported, an error, or too much of it */
};
/* Appends the text; only that of JINJA_DONE is whole. */
enum jinja_result jinja_render(const char *template, size_t n, const struct jinja_input *input,
			       struct buf *out);

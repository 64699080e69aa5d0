/* Telling the format of a chat template: by what it makes of conversations. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/text/chat.h"
#include "common/text/chat_format.h"

struct chat_template {
	const char *text; /* [n] */
	size_t n;
	const char *bos, *eos; /* NULL where there is none */
	/* Appends what a format makes of messages; false if it has no place for them. */
	bool (*render)(const void *context, const struct chat_format *format,
		       const struct chat_messages *messages, struct buf *out);
	const void *context;
};

/* True if the template and *format make the same of all kinds of conversations.  What
 * *format holds on to lies in kept. */
bool chat_template_detect(struct chat_format *format, const struct chat_template *template,
			  struct buf *kept);

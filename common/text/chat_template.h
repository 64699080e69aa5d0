/* Which chat format a checkpoint's chat template is. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/text/chat_format.h"

/* The format of a Jinja template, by what its kind holds and by what that kind never
 * holds: a template that does more than it is known to is none.  The text is
 * rewritten; format borrows from it. */
bool chat_template_detect(struct chat_format *format, struct buf *template);

/* Sentences about bad input.
 *
 * The sentence is built in a local array first, because an argument may point
 * into the very error that is being filled. */
#include "common/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void mark_truncation(char *text, size_t size, int needed)
{
	if (needed >= (int)size)
		memcpy(text + size - 4, "...", 4);
}

void error_clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
	if (!err)
		return status;
	char text[sizeof err->text];
	va_list args;
	va_start(args, format);
	int needed = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	mark_truncation(text, sizeof text, needed);
	error_clean(text);
	memcpy(err->text, text, sizeof text);
	return status;
}

enum status error_prefix(struct error *err, enum status status, const char *format, ...)
{
	if (!err)
		return status;
	char prefix[sizeof err->text];
	va_list args;
	va_start(args, format);
	vsnprintf(prefix, sizeof prefix, format, args);
	va_end(args);
	return error_set(err, status, "%s: %s", prefix, err->text);
}

/* Growable bytes.  A buf set to BUF_INIT owns no memory and has no data yet; any
 * call that adds to it, even nothing, gives it some. */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"

void buf_release(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

void buf_reset(struct buf *buf)
{
	buf->length = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

void buf_reserve(struct buf *buf, size_t extra)
{
	size_t needed;
	if (__builtin_add_overflow(buf->length, extra, &needed) || needed > SIZE_MAX / 2)
		die("a buffer of %zu bytes cannot grow by %zu", buf->length, extra);
	needed++;
	if (buf->data && needed <= buf->capacity)
		return;
	size_t capacity = buf->capacity + buf->capacity / 2;
	if (capacity < needed)
		capacity = needed;
	if (capacity < 64)
		capacity = 64;
	buf->data = xrealloc(buf->data, capacity, 1);
	buf->capacity = capacity;
	buf->data[buf->length] = '\0';
}

void buf_append(struct buf *buf, const void *bytes, size_t n)
{
	buf_reserve(buf, n);
	if (n)
		memcpy(buf->data + buf->length, bytes, n);
	buf->length += n;
	buf->data[buf->length] = '\0';
}

void buf_append_string(struct buf *buf, const char *text)
{
	buf_append(buf, text, strlen(text));
}

void buf_append_char(struct buf *buf, char c)
{
	buf_reserve(buf, 1);
	buf->data[buf->length++] = c;
	buf->data[buf->length] = '\0';
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	buf_reserve(buf, 0);
	size_t room = buf->capacity - buf->length;
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(buf->data + buf->length, room, format, args);
	if (n >= 0 && (size_t)n >= room) {
		buf->data[buf->length] = '\0';
		buf_reserve(buf, (size_t)n);
		vsnprintf(buf->data + buf->length, (size_t)n + 1, format, again);
	}
	va_end(again);
	va_end(args);
	if (n < 0)
		die("cannot format a text");
	buf->length += (size_t)n;
}

char *buf_detach(struct buf *buf)
{
	buf_reserve(buf, 0);
	char *data = buf->data;
	*buf = (struct buf){0};
	return data;
}

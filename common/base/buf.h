/* Growable bytes: text being built, JSON lines, messages.
 * data is always followed by a NUL that length does not count. */
#pragma once

#include <stddef.h>

struct buf {
	char *data;
	size_t length;
	size_t capacity;
};

#define BUF_INIT                                                                                   \
	{                                                                                          \
		0                                                                                  \
	}

void buf_release(struct buf *buf);
void buf_reset(struct buf *buf); /* length 0, memory kept */
void buf_reserve(struct buf *buf, size_t extra);
void buf_append(struct buf *buf, const void *bytes, size_t n);
void buf_append_string(struct buf *buf, const char *text);
void buf_append_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *buf_detach(struct buf *buf); /* the caller frees the result; buf is empty */

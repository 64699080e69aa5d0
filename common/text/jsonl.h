/* One JSON object per line, with line numbers in errors. */
#pragma once

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"

/* A whole file split into its non-blank lines. */
struct jsonl {
	char *path; /* for messages: "standard input" for "-" */
	struct buf text;
	const char **lines; /* [n], not NUL-terminated */
	size_t *lengths;    /* [n] */
	int *numbers;	    /* [n], line numbers counted from 1 */
	size_t n;
};
/* Reads a file (or standard input for "-"), expanded if it is gzip data; CRLF and a
 * byte order mark are accepted; UTF-16, other compression, lines over 16 MiB and files
 * without a line are refused. */
enum status jsonl_read(struct jsonl *jsonl, const char *path, struct error *err);
/* The same over text the caller already has; takes over *text. */
enum status jsonl_split(struct jsonl *jsonl, const char *path, struct buf *text, struct error *err);
void jsonl_release(struct jsonl *jsonl);
/* Line i parsed as an object; the caller frees it.  Errors name path and line. */
struct json *jsonl_parse(const struct jsonl *jsonl, size_t i, struct error *err);

/* metrics.jsonl and rollouts.jsonl: append-only lines whose length is part of a
 * checkpoint, so that a resumed run writes the same bytes again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* An append-only file.  Zeroed: a closed log, to which appending does nothing. */
struct line_log {
	char *path;
	int fd;
	uint64_t bytes; /* length so far */
	bool warned;	/* a write has failed */
};
/* Whether the file can be cut to so many bytes, as line_log_open does; changes nothing. */
enum status line_log_check(const char *path, uint64_t bytes, struct error *err);
/* Opens the file, creates it if `bytes` is 0, and cuts it to them; STATUS_BAD_INPUT if it is
 * shorter. */
enum status line_log_open(struct line_log *log, const char *path, uint64_t bytes,
			  struct error *err);
/* A failed write is a warning once, never the end of a run. */
void line_log_append(struct line_log *log, const char *text, size_t n);
enum status line_log_sync(struct line_log *log, struct error *err);
void line_log_close(struct line_log *log);

/* Builds one line of metrics: metrics_begin, metrics_add..., metrics_end, then
 * append.  Numbers that are not finite become null. */
void metrics_begin(struct buf *line, int64_t step);
void metrics_add(struct buf *line, const char *name, double value);
void metrics_add_string(struct buf *line, const char *name, const char *value);
void metrics_end(struct buf *line); /* adds time/unix and the newline */

/* TensorBoard's event files, made from lines of metrics.
 *
 *     run/tensorboard/events.out.tfevents.SECONDS.NANOSECONDS.HOST
 *
 * Each start of a run begins a file of its own, whose first event tells TensorBoard
 * from which step on this file replaces what earlier ones said.  Nothing depends on
 * these files: a failed write is a warning once, and a checkpoint does not count
 * them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Zeroed: a closed log, to which appending does nothing. */
struct event_log {
	char *directory; /* run/tensorboard */
	char *path;	 /* NULL before the first line */
	int fd;
	uint64_t bytes;
};
void event_log_open(struct event_log *log, const char *run_path);
/* One line of metrics.jsonl: each of its numbers but step and time/unix becomes a
 * scalar of its name, at that step and time.  The first line creates the file. */
void event_log_append(struct event_log *log, const char *line, size_t n);
void event_log_close(struct event_log *log);

/* One line of progress: rewritten in place on a terminal, plain lines elsewhere
 * (at most one every few seconds).  Standard error; lead rank only. */
#pragma once

#include <stdint.h>

struct progress {
	const char *what; /* "ppo", borrowed */
	int64_t total, start;
	double began, shown;
	int is_terminal;
};
void progress_begin(struct progress *progress, const char *what, int64_t start, int64_t total);
/* detail: "loss 2.31, 1200 tokens/s".  Shows step/total, detail, ETA. */
void progress_update(struct progress *progress, int64_t step, const char *detail);
void progress_end(struct progress *progress);

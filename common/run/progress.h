/* One line of progress: rewritten in place on a terminal, plain lines elsewhere
 * (at most one every few seconds, and the last).  Standard error; lead rank only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;     /* "ppo", borrowed */
	int64_t total, start; /* steps; start: done before this process began */
	double began, shown;  /* clock_now(); shown: of the last line, 0 = none yet */
	bool is_terminal;
	bool held_back; /* line is newer than what was shown */
	char line[256];
};
void progress_begin(struct progress *progress, const char *what, int64_t start, int64_t total);
/* detail: "loss 2.31, 1200 tokens/s", may be NULL.  Shows step/total, detail, ETA. */
void progress_update(struct progress *progress, int64_t step, const char *detail);
void progress_end(struct progress *progress);

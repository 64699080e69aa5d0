/* One line of progress on standard error.
 *
 * On a terminal the line is rewritten in place, at most ten times a second.
 * Elsewhere whole lines are printed, at most one every 5 s.  A line that was
 * held back is kept, so that progress_end can show how far the work came. */
#include "common/run/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

#define TERMINAL_INTERVAL 0.1
#define PLAIN_INTERVAL 5.0

void progress_begin(struct progress *progress, const char *what, int64_t start, int64_t total)
{
	*progress = (struct progress){
		.what = what,
		.total = total,
		.start = start,
		.began = clock_now(),
		.is_terminal = isatty(STDERR_FILENO),
	};
}

/* " ETA h:mm:ss" from the mean time of the steps done since the start. */
static void format_eta(char *text, size_t size, const struct progress *progress, int64_t step,
		       double now)
{
	double seconds;
	int64_t s;

	text[0] = '\0';
	if (step <= progress->start || step >= progress->total)
		return;
	seconds = (now - progress->began) / (double)(step - progress->start) *
		  (double)(progress->total - step);
	if (seconds > 3.6e8) /* a hundred thousand hours say nothing */
		return;
	s = (int64_t)(seconds + 0.5);
	snprintf(text, size, " ETA %" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
		 (int)(s % 60));
}

static void show(struct progress *progress, double now)
{
	char out[sizeof progress->line + 8];
	int n = snprintf(out, sizeof out, progress->is_terminal ? "\r%s\033[K" : "%s\n",
			 progress->line);

	/* Progress that cannot be shown is no reason to stop. */
	if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
		progress->held_back = false;
	progress->shown = now;
	progress->held_back = false;
}

void progress_update(struct progress *progress, int64_t step, const char *detail)
{
	double now = clock_now();
	double interval = progress->is_terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL;
	char eta[32];

	format_eta(eta, sizeof eta, progress, step, now);
	snprintf(progress->line, sizeof progress->line, "%s %" PRId64 "/%" PRId64 "%s%.160s%s",
		 progress->what, step, progress->total, detail && *detail ? " " : "",
		 detail ? detail : "", eta);
	progress->held_back = true;
	if (progress->shown == 0 || now - progress->shown >= interval)
		show(progress, now);
}

void progress_end(struct progress *progress)
{
	if (progress->held_back)
		show(progress, clock_now());
	if (progress->is_terminal && progress->shown > 0 && write(STDERR_FILENO, "\n", 1) < 0)
		progress->shown = 0;
}

/* Monotonic time and waiting. */
#include "common/base/clock.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

/* Yielding for this long costs less than a sleep would add. */
static const double SPIN_SECONDS = 50e-6;
static const double FIRST_SLEEP_SECONDS = 20e-6;
static const double LONGEST_SLEEP_SECONDS = 1e-3;

double clock_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

struct timespec clock_timespec(double seconds)
{
	time_t whole = (time_t)seconds;

	return (struct timespec){.tv_sec = whole,
				 .tv_nsec = (long)(1e9 * (seconds - (double)whole))};
}

void clock_sleep(double seconds)
{
	if (!(seconds > 0))
		return;
	struct timespec left = clock_timespec(seconds);
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

void pause_reset(struct pause *pause)
{
	*pause = (struct pause){0};
}

void pause_step(struct pause *pause)
{
	double now = clock_now();
	if (pause->since == 0)
		*pause = (struct pause){.since = now, .sleep = FIRST_SLEEP_SECONDS};
	if (now - pause->since < SPIN_SECONDS) {
		sched_yield();
		return;
	}
	clock_sleep(pause->sleep);
	pause->sleep *= 2;
	if (pause->sleep > LONGEST_SLEEP_SECONDS)
		pause->sleep = LONGEST_SLEEP_SECONDS;
}

/* Monotonic time in seconds, for durations and deadlines, and pauses. */
#pragma once

#include <time.h>

double clock_now(void);
struct timespec clock_timespec(double seconds);
void clock_sleep(double seconds);

/* A wait that costs no core: call pause_step each time nothing was found, and
 * pause_reset when something was.  Spins briefly, then sleeps for growing
 * times up to 1 ms. */
struct pause {
	double since; /* when the waiting began, 0 = not waiting */
	double sleep;
};
void pause_reset(struct pause *pause);
void pause_step(struct pause *pause);

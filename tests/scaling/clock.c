/* common/base/clock.c on the simulated clock. */
#include "common/base/clock.h"

#include <mpi.h>
#include <unistd.h>

static const double LONGEST_SLEEP_SECONDS = 1e-3;

double clock_now(void)
{
	return MPI_Wtime();
}

/* Of the threads that a simulated rank has none of. */
struct timespec clock_timespec(double seconds)
{
	return (struct timespec){.tv_sec = (time_t)seconds};
}

void clock_sleep(double seconds)
{
	usleep((useconds_t)(seconds * 1e6)); /* smpicc makes it the simulated one */
}

void pause_reset(struct pause *pause)
{
	*pause = (struct pause){0};
}

void pause_step(struct pause *pause)
{
	if (pause->sleep == 0)
		pause->sleep = 20e-6;
	clock_sleep(pause->sleep);
	pause->sleep = pause->sleep < LONGEST_SLEEP_SECONDS / 2 ? 2 * pause->sleep
								: LONGEST_SLEEP_SECONDS;
}

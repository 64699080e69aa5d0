/* A job that gets nowhere, or only looks as if it did not.
 *
 *     deadlock SECONDS wait    every rank waits for a message that nobody sends
 *     deadlock SECONDS busy    rank 1 computes for three times as long as a rank may be
 *                              silent, while the others wait for it
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "proto/comm.h"

int main(int argc, char **argv)
{
	double seconds = argc == 3 ? atof(argv[1]) : 0, end;
	struct comm *world = comm_init();
	int nothing = 0;

	log_init(LOG_INFO, comm_is_lead(world));
	comm_set_phase("testing");
	comm_watch(seconds);
	if (argc == 3 && strcmp(argv[2], "wait") == 0)
		comm_broadcast(world, &nothing, sizeof nothing, comm_is_lead(world) ? 1 : 0);
	for (end = clock_now() + 3 * seconds; comm_rank(world) == 1 && clock_now() < end;)
		;
	comm_barrier(world);
	comm_finalize();
	return 0;
}

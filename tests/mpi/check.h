/* Checks in a program that runs on several ranks: a failed one is printed and
 * counted, and check_end makes every rank return the same exit code. */
#pragma once

#include <stdio.h>

#include "proto/comm.h"

static int check_failures;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,           \
				#condition);                                                       \
			check_failures++;                                                          \
		}                                                                                  \
	} while (0)

/* Collective over the world.  The exit code of main. */
static inline int check_end(struct comm *world)
{
	int code = comm_any(world, check_failures > 0);
	comm_finalize();
	return code;
}

/* What waiting costs.  On a virtual machine the system may charge milliseconds for each
 * sleep, whoever sleeps; that is not held against a wait. */
#pragma once

#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

#include "common/base/clock.h"

struct idle {
	double cpu; /* seconds of this process */
	long sleeps;
};

static inline struct idle idle_now(void)
{
	struct timespec time;
	struct rusage usage;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	getrusage(RUSAGE_SELF, &usage);
	return (struct idle){(double)time.tv_sec + 1e-9 * (double)time.tv_nsec, usage.ru_nvcsw};
}

static inline struct idle idle_since(struct idle before)
{
	struct idle now = idle_now();

	return (struct idle){now.cpu - before.cpu, now.sleeps - before.sleeps};
}

/* Whether a wait of that many seconds slept, and took less than `core` seconds of a core
 * beyond so many plain sleeps.  Where those alone cost a tenth of the time, the system's
 * accounts say nothing and the sleeps have to do. */
static inline bool idle_slept(struct idle spent, double seconds, double core)
{
	struct idle plain = idle_now();

	for (int i = 0; i < 100; i++)
		clock_sleep(1e-3);
	plain = idle_since(plain);
	plain.cpu /= (double)plain.sleeps;
	return spent.sleeps > 1 && (double)spent.sleeps < seconds / 0.5e-3 &&
	       (plain.cpu > 0.1e-3 || spent.cpu - plain.cpu * (double)spent.sleeps < core);
}

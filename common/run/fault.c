/* Named points where a test may kill this process.
 *
 * The variables are read at the first point that is passed.  Without them the
 * state is OFF and a point is one comparison. */
#include "common/run/fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"

static enum { UNREAD, OFF, ARMED } state;
static const char *point; /* into the copy of the variable, kept */
static long hits_left;	  /* passes of the point until the kill */

/* Whether this process is the one that RLHF_FAULT_RANK names. */
static bool rank_is_meant(void)
{
	static const char *const variables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
	const char *wanted = getenv("RLHF_FAULT_RANK");

	if (!wanted)
		return true;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		const char *rank = getenv(variables[i]);

		if (rank)
			return strcmp(rank, wanted) == 0;
	}
	return strcmp(wanted, "0") == 0; /* no launcher: the only rank */
}

static void read_variables(void)
{
	const char *text = getenv("RLHF_FAULT");
	char *copy, *colon, *end;

	state = OFF;
	if (!text || !rank_is_meant())
		return;
	copy = xstrdup(text);
	colon = strrchr(copy, ':');
	if (strncmp(copy, "kill:", 5) != 0 || colon < copy + 5)
		die("RLHF_FAULT is \"%s\", expected kill:POINT:HIT", text);
	*colon = '\0';
	hits_left = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end || hits_left < 1)
		die("RLHF_FAULT is \"%s\", expected a number from 1 as HIT", text);
	point = copy + 5;
	state = ARMED;
}

void fault_point(const char *name)
{
	if (state == OFF)
		return;
	if (state == UNREAD)
		read_variables();
	if (state != ARMED || strcmp(name, point) != 0 || --hits_left > 0)
		return;
	log_rank(LOG_WARN, "killed at fault point %s", name);
	raise(SIGKILL);
}

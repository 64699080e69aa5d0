/* Named points where a test may do harm to this process.
 *
 * The variables are read at the first point that is passed.  Without them the
 * state is OFF and a point is one comparison. */
#include "common/run/fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/launcher.h"
#include "common/base/log.h"

enum { MAX_FAULTS = 64 };
enum action { KILL, STOP, NOT_A_NUMBER, OMIT };

struct fault {
	enum action action;
	const char *point; /* into the copy of the variable, kept */
	long hits_left;	   /* passes of the point until it happens */
};

static enum { UNREAD, OFF, ARMED } state;
static struct fault faults[MAX_FAULTS];
static int n_faults;

/* Whether this process is the one that RLHF_FAULT_RANK names. */
static bool rank_is_meant(void)
{
	const char *wanted = getenv("RLHF_FAULT_RANK"), *rank = launcher_rank();

	return !wanted || strcmp(rank ? rank : "0", wanted) == 0;
}

/* "kill:POINT:HIT", "stop:POINT:HIT", "nan:POINT:HIT" or "omit:PART"; text is cut into its parts. */
static struct fault read_fault(char *text)
{
	static const char *const actions[] = {
		[KILL] = "kill:", [STOP] = "stop:", [NOT_A_NUMBER] = "nan:", [OMIT] = "omit:"};
	struct fault fault = {.hits_left = 1};
	char *colon, *end;
	int action = KILL;

	while (action <= OMIT && strncmp(text, actions[action], strlen(actions[action])) != 0)
		action++;
	if (action > OMIT)
		die("RLHF_FAULT holds \"%s\", expected kill:POINT:HIT, stop:POINT:HIT, nan:POINT:HIT or "
		    "omit:PART",
		    text);
	fault.action = (enum action)action;
	fault.point = text + strlen(actions[action]);
	if (action == OMIT)
		return fault;
	colon = strrchr(fault.point, ':');
	fault.hits_left = colon ? strtol(colon + 1, &end, 10) : 0;
	if (!colon || end == colon + 1 || *end || fault.hits_left < 1)
		die("RLHF_FAULT holds \"%s\", expected a number from 1 as HIT", text);
	*colon = '\0';
	return fault;
}

static void read_variables(void)
{
	const char *text = getenv("RLHF_FAULT");
	char *rest, *one;

	state = OFF;
	if (!text || !rank_is_meant())
		return;
	rest = xstrdup(text);
	while ((one = strsep(&rest, ",")) != NULL) {
		if (n_faults == MAX_FAULTS)
			die("RLHF_FAULT holds more than %d faults", MAX_FAULTS);
		faults[n_faults++] = read_fault(one);
	}
	state = ARMED;
}

/* Whether it is time for a fault of this kind at this point. */
static bool happens(enum action action, const char *name)
{
	bool now = false;

	if (state == UNREAD)
		read_variables();
	for (int i = 0; i < n_faults; i++) {
		struct fault *fault = &faults[i];

		if (fault->action == action && strcmp(fault->point, name) == 0)
			now = action == OMIT || --fault->hits_left == 0 || now;
	}
	return now;
}

void fault_point(const char *name)
{
	if (state == OFF)
		return;
	if (happens(KILL, name)) {
		log_rank(LOG_WARN, "killed at fault point %s", name);
		raise(SIGKILL);
	}
	if (happens(STOP, name)) {
		log_rank(LOG_WARN, "stopped at fault point %s", name);
		raise(SIGSTOP);
	}
}

bool fault_nan(const char *name)
{
	return state != OFF && happens(NOT_A_NUMBER, name);
}

bool fault_omits(const char *part)
{
	return state != OFF && happens(OMIT, part);
}

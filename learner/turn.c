/* What follows a step of training; see turn.h. */
#include "learner/turn.h"

#include "common/base/clock.h"
#include "common/run/signals.h"

static bool is_due(const struct run_config *config, int64_t step, double since)
{
	int64_t steps = config->checkpoint.every_steps;
	double seconds = config->checkpoint.every_seconds;

	return (steps > 0 && step % steps == 0) || (seconds > 0 && since >= seconds);
}

struct turn turn_agree(struct comm *learners, const struct run_config *config, int64_t step,
		       int64_t length, double *saved_at)
{
	double now = clock_now();
	struct turn turn = {.is_last = step >= length,
			    .is_stopping = comm_any(learners, signals_stop_requested())};

	turn.saves = turn.is_last || turn.is_stopping || is_due(config, step, now - *saved_at);
	comm_broadcast(learners, &turn, sizeof turn, 0);
	if (turn.saves)
		*saved_at = now;
	return turn;
}

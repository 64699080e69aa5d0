/* The part of rlhf plan that knows the roles of ppo. */
#pragma once

#include "learner/plan.h"

/* Plans a run on n_ranks ranks of one machine; 0: as many as the config's roles are, or 1.
 * The session has its config and kernels.  Refuses what the command would refuse of a new
 * run, but for what only the values of weights tell. */
enum status plan_ppo(struct plan *plan, const struct session *session, int n_ranks,
		     struct error *err);

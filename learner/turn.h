/* What follows a step of training, the same on every learner: whether it was the last
 * one, whether the run was asked to stop, whether a checkpoint is due. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/run/config.h"
#include "proto/comm.h"

struct turn {
	bool is_last, is_stopping, saves;
};

/* The lead decides, by its clock and by the signals that came to any learner.
 * *saved_at: when the last checkpoint was due, at first when training began (seconds
 * of clock_now).  Collective over the learners. */
struct turn turn_agree(struct comm *learners, const struct run_config *config, int64_t step,
		       int64_t length, double *saved_at);

/* Shared by dpo.c and kto.c alone. */
#pragma once

#include "learner/reference.h"
#include "learner/supervised.h"

extern const struct supervised_task kto_task;

enum status dpo_create(struct supervised *run, struct error *err);
/* Log-probabilities of the completions of each unit: one number a sequence. */
measure_units dpo_measure_logprobs;

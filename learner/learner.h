/* The commands that change weights. */
#pragma once

#include "learner/supervised.h"

int pretrain_main(int argc, char **argv);
int sft_main(int argc, char **argv);
int dpo_main(int argc, char **argv);
int classify_main(int argc, char **argv);
int reward_train_main(int argc, char **argv);
int tokenizer_train_main(int argc, char **argv);

/* What each of them adds to the loop; for rlhf plan. */
extern const struct supervised_task pretrain_task, sft_task, dpo_task, classify_task,
	reward_train_task;

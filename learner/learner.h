/* The commands that change weights. */
#pragma once

int pretrain_main(int argc, char **argv);
int sft_main(int argc, char **argv);
int dpo_main(int argc, char **argv);
int classify_main(int argc, char **argv);
int reward_train_main(int argc, char **argv);
int tokenizer_train_main(int argc, char **argv);

/* rlhf: the table of commands. */
#include <stdio.h>
#include <string.h>

#include "common/base/build_info.h"
#include "common/base/file.h"
#include "common/base/launcher.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/run/options.h"
#include "deploy/commands.h"
#include "deploy/output.h"
#include "learner/learner.h"
#include "proto/comm.h"

static const struct command_entry {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"pretrain", pretrain_main, "train a language model on text, from a checkpoint or anew"},
	{"sft", sft_main, "train a language model on prompts and completions"},
	{"classify", classify_main, "train a classifier of texts"},
	{"reward-train", reward_train_main, "train a reward model on preference pairs"},
	{"dpo", dpo_main, "train a policy on preferences directly: DPO, IPO, KTO"},
	{"ppo", ppo_main, "reinforcement learning from a reward model or rules"},
	{"generate", generate_main, "sample completions of prompts"},
	{"score", score_main, "scores of texts by a reward model"},
	{"logprobs", logprobs_main, "log-probability of each token of texts"},
	{"tokenize", tokenize_main, "text to ids, or ids to text, by a checkpoint's tokenizer"},
	{"tokenizer-train", tokenizer_train_main, "learn a byte-level BPE tokenizer from text"},
	{"merge", merge_main, "add a LoRA adapter to its base"},
	{"plan", plan_main, "what a training will need, without starting it"},
	{"inspect", inspect_main, "what a checkpoint holds and whether it is sound"},
	{"status", status_main, "how far a run is"},
	{"report", report_main, "a run as one HTML page: curves, values, samples"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *out)
{
	if (!launcher_is_first())
		return;
	fprintf(out, "usage: rlhf COMMAND [ARGUMENTS]\n\n");
	for (int i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-16s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\nrlhf COMMAND --help explains a command; rlhf --version.\n"
		     "Example: rlhf ppo deploy/configs/laptop-4.json --ranks 4\n");
}

static int unknown_command(int argc, char **argv)
{
	const char *name = argv[0], *names[N_COMMANDS], *nearest;
	struct comm *none;
	struct error err;

	for (int i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	nearest = nearest_word(name, names, N_COMMANDS);
	if (nearest)
		error_set(&err, STATUS_BAD_INPUT, "unknown command \"%s\", did you mean \"%s\"?",
			  name, nearest);
	else
		error_set(&err, STATUS_BAD_INPUT, "unknown command \"%s\"; rlhf --help lists them",
			  name);
	return comm_begin(&none, argc, argv, STATUS_BAD_INPUT, &err);
}

/* The exit code, unless something has not reached standard output. */
static int check_output(int code)
{
	struct error err;

	if (output_flush(&err) == STATUS_OK)
		return code;
	log_error("%s", err.text);
	return code == STATUS_OK ? STATUS_BAD_INPUT : code;
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr);
		return STATUS_BAD_INPUT;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return STATUS_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("rlhf %s\n", build_version());
		return STATUS_OK;
	}
	for (int i = 0; i < N_COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);
	return unknown_command(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	file_keep_streams_apart();
	log_init(LOG_INFO, true);
	if (!thread_allow_stack()) {
		log_error("a stack of %d KiB is needed, and the limit is lower (ulimit -s)",
			  THREAD_STACK_BYTES / 1024);
		return STATUS_BAD_INPUT;
	}
	return check_output(run(argc, argv));
}

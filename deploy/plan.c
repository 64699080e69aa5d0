/* rlhf plan: what a run will need, before it takes it.  Nothing is started and nothing is
 * written; of a model, no more is allocated than one layer and its embedding. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/run/options.h"
#include "deploy/commands.h"
#include "deploy/plan_ppo.h"
#include "learner/learner.h"
#include "learner/plan.h"
#include "proto/kernels.h"

enum { MAX_CONFIG_BYTES = 1 << 24 };

static const struct supervised_task *const tasks[] = {
	&pretrain_task, &sft_task, &classify_task, &reward_train_task, &dpo_task};
enum { N_TASKS = sizeof tasks / sizeof *tasks };

/* --- which command the config is for --- */

/* Sections and keys of a config that only one command has. */
static const struct {
	const char *section, *key; /* key NULL: the section alone tells */
	enum command command;
} signs[] = {
	{"ppo", NULL, COMMAND_PPO},
	{"rollout", NULL, COMMAND_PPO},
	{"policy", NULL, COMMAND_PPO},
	{"roles", NULL, COMMAND_PPO},
	{"reward_train", NULL, COMMAND_REWARD_TRAIN},
	{"dpo", NULL, COMMAND_DPO},
	{"classify", NULL, COMMAND_CLASSIFY},
	{"sft", NULL, COMMAND_SFT},
	{"model", "create", COMMAND_PRETRAIN},
	{"data", "packing", COMMAND_PRETRAIN},
};

static enum status parse_stage(const char *name, enum command *command, struct error *err)
{
	if (strcmp(name, "ppo") == 0) {
		*command = COMMAND_PPO;
		return STATUS_OK;
	}
	for (int i = 0; i < N_TASKS; i++)
		if (strcmp(name, config_command_name(tasks[i]->command)) == 0) {
			*command = tasks[i]->command;
			return STATUS_OK;
		}
	return error_set(err, STATUS_BAD_INPUT,
			 "--stage is \"%.60s\", expected pretrain, sft, classify, reward-train, dpo "
			 "or ppo",
			 name);
}

static enum status find_stage(const char *path, enum command *command, struct error *err)
{
	struct json *root = json_read_object(path, MAX_CONFIG_BYTES, err);
	size_t i, n = sizeof signs / sizeof *signs;

	if (!root)
		return STATUS_BAD_INPUT;
	for (i = 0; i < n; i++) {
		const struct json *section = json_get(root, signs[i].section);

		if (section && (!signs[i].key || json_get(section, signs[i].key)))
			break;
	}
	json_free(root);
	if (i < n) {
		*command = signs[i].command;
		return STATUS_OK;
	}
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: may be for several commands; --stage says which: pretrain, sft, "
			 "classify, reward-train or dpo",
			 path);
}

/* --- printing --- */

static const char *bytes_text(size_t bytes, char text[32])
{
	double mib = (double)bytes / (1 << 20);

	if (mib >= 10240)
		snprintf(text, 32, "%.1f GiB", mib / 1024);
	else
		snprintf(text, 32, "%.1f MiB", mib);
	return text;
}

static const char *count_text(size_t n, char text[32])
{
	if (n >= 10000000)
		snprintf(text, 32, "%.1f million", (double)n / 1e6);
	else
		snprintf(text, 32, "%zu", n);
	return text;
}

static const char *duration_text(double seconds, char text[32])
{
	if (seconds < 120)
		snprintf(text, 32, "%.3g s", seconds);
	else if (seconds < 7200)
		snprintf(text, 32, "%.0f min", seconds / 60);
	else if (seconds < 172800)
		snprintf(text, 32, "%.1f h", seconds / 3600);
	else
		snprintf(text, 32, "%.1f days", seconds / 86400);
	return text;
}

static void print_ledger(const struct ledger *ledger)
{
	char text[32];

	for (int i = 0; i < ledger->n; i++)
		printf("  %-26s %14s\n", ledger->items[i].what,
		       bytes_text(ledger->items[i].bytes, text));
}

static void print_models(const struct plan *plan)
{
	char all[32], trained[32];

	for (int i = 0; i < plan->n_models; i++) {
		const struct plan_model *model = &plan->models[i];

		printf("%s: %s, %s parameters, ", model->what, model->family,
		       count_text(model->n_parameters, all));
		if (model->n_trained == model->n_parameters)
			printf("all trained\n");
		else if (model->n_trained > 0)
			printf("%s trained\n", count_text(model->n_trained, trained));
		else
			printf("frozen\n");
	}
}

/* Ranks of which each kind of memory is about the same. */
static bool is_alike(const struct plan_rank *a, const struct plan_rank *b)
{
	if (a->memory.n != b->memory.n || a->mapped != b->mapped)
		return false;
	for (int i = 0; i < a->memory.n; i++) {
		double x = (double)a->memory.items[i].bytes, y = (double)b->memory.items[i].bytes;

		if (strcmp(a->memory.items[i].what, b->memory.items[i].what) != 0 ||
		    fabs(x - y) > 0.01 * x)
			return false;
	}
	return true;
}

static void print_ranks(const struct plan *plan)
{
	char text[32];

	for (int first = 0, end; first < plan->n_ranks; first = end) {
		const struct plan_rank *rank = &plan->ranks[first];

		for (end = first + 1;
		     end < plan->n_ranks && is_alike(rank, &plan->ranks[end]); end++)
			;
		printf("\nmemory of rank %d", first);
		if (end > first + 1)
			printf(" to %d, each", end - 1);
		if (rank->roles[0])
			printf(", %s", rank->roles);
		if (end > first + 1 && rank->roles[0])
			printf(" to %s", plan->ranks[end - 1].roles);
		printf("\n");
		print_ledger(&rank->memory);
		printf("  %-26s %14s\n", "together", bytes_text(ledger_sum(&rank->memory), text));
		if (rank->mapped)
			printf("  and %s of weights that another rank holds\n",
			       bytes_text(rank->mapped, text));
	}
}

static void print_speed(const struct plan *plan)
{
	char text[32], whole[32];

	if (plan->has_speed && plan->probe_bytes > 0 && plan->seconds == 0)
		printf("\nspeed: not measured, one layer and the head take %s\n",
		       bytes_text(plan->probe_bytes, text));
	if (plan->seconds == 0)
		return;
	printf("\nspeed, from one layer and the head on this machine: %.3g tokens/s, %s a step "
	       "of %.0f tokens, %s for %" PRId64 " steps\n",
	       plan->tokens / plan->seconds, duration_text(plan->seconds, text), plan->tokens,
	       duration_text(plan->seconds * (double)plan->steps, whole), plan->steps);
}

static void print_plan(const struct plan *plan, const struct session *session)
{
	printf("%s, %" PRId64 " steps, on %d rank%s of this machine, %d thread%s each, kernels: "
	       "%s\n",
	       config_command_name(session->command), plan->steps, plan->n_ranks,
	       plan->n_ranks > 1 ? "s" : "", plan->threads, plan->threads > 1 ? "s" : "",
	       isa_name(session->isa));
	print_models(plan);
	print_ranks(plan);
	if (plan->moved.n > 0)
		printf("\nbetween ranks, in a step\n");
	print_ledger(&plan->moved);
	printf("\nfiles in %s\n", session->config.run.dir);
	print_ledger(&plan->written);
	print_speed(plan);
}

/* --- what does not fit --- */

/* Free bytes of the file system of a directory that need not be there yet. */
static size_t disk_free(const char *dir)
{
	char *path = xstrdup(dir), *slash;
	struct statvfs fs;
	int failed = statvfs(path, &fs);

	while (failed && (slash = strrchr(path, '/')) && slash > path) {
		*slash = '\0';
		failed = statvfs(path, &fs);
	}
	if (failed)
		failed = statvfs(path[0] == '/' ? "/" : ".", &fs);
	free(path);
	return failed ? SIZE_MAX : (size_t)fs.f_bavail * fs.f_frsize;
}

/* The largest kind of memory of all ranks, and whose. */
static const char *largest_kind(const struct plan *plan, int *rank, size_t *bytes)
{
	const char *what = "";

	*bytes = 0;
	for (int r = 0; r < plan->n_ranks; r++)
		for (int i = 0; i < plan->ranks[r].memory.n; i++)
			if (plan->ranks[r].memory.items[i].bytes > *bytes) {
				*bytes = plan->ranks[r].memory.items[i].bytes;
				what = plan->ranks[r].memory.items[i].what;
				*rank = r;
			}
	return what;
}

static bool check_memory(const struct plan *plan)
{
	size_t needed = 0, available = memory_available(), most;
	char text[3][32];
	int rank = 0;
	const char *what = largest_kind(plan, &rank, &most);

	for (int r = 0; r < plan->n_ranks; r++)
		needed += ledger_sum(&plan->ranks[r].memory);
	printf("\nmemory: %s needed, %s available\n", bytes_text(needed, text[0]),
	       bytes_text(available, text[1]));
	if (needed <= available)
		return true;
	printf("does not fit: memory lacks %s; most is for %s of rank %d, %s\n",
	       bytes_text(needed - available, text[0]), what, rank, bytes_text(most, text[1]));
	return false;
}

static bool check_disk(const struct plan *plan, const char *dir)
{
	size_t needed = ledger_sum(&plan->written), available = disk_free(dir);
	char text[2][32];

	printf("disk: %s needed, %s available\n", bytes_text(needed, text[0]),
	       bytes_text(available, text[1]));
	if (needed <= available)
		return true;
	printf("does not fit: the file system of %s lacks %s; checkpoint.keep decides how many "
	       "checkpoints there are\n",
	       dir, bytes_text(needed - available, text[0]));
	return false;
}

/* --- the command --- */

static const struct supervised_task *task_of(enum command command)
{
	for (int i = 0; i < N_TASKS; i++)
		if (tasks[i]->command == command)
			return tasks[i];
	die("command %d is no supervised training", (int)command);
}

static enum status make_plan(struct session *session, const char *path, int n_ranks,
			     bool has_speed, struct error *err)
{
	struct plan plan = {.has_speed = has_speed};
	bool fits;
	enum status status = config_load(&session->config, session->command, path,
					 session->set.items, session->set.n, err);

	if (status == STATUS_OK)
		status = kernels_agree(session->world, session->config.run.isa, &session->isa, err);
	if (status != STATUS_OK)
		return status;
	isa_select(session->isa);
	status = session->command == COMMAND_PPO
			 ? plan_ppo(&plan, session, n_ranks, err)
			 : supervised_plan(&plan, task_of(session->command), session,
					   n_ranks > 0 ? n_ranks : 1, err);
	if (status != STATUS_OK)
		return status;
	print_plan(&plan, session);
	fits = check_memory(&plan);
	fits = check_disk(&plan, session->config.run.dir) && fits;
	plan_release(&plan);
	return fits ? STATUS_OK : STATUS_FAILED;
}

/* stage NULL: the sections of the config tell it. */
static enum status plan_config(struct session *session, const char *path, const char *stage,
			       int n_ranks, bool has_speed, struct error *err)
{
	enum status status = stage ? parse_stage(stage, &session->command, err)
				   : find_stage(path, &session->command, err);

	if (status == STATUS_OK)
		status = make_plan(session, path, n_ranks, has_speed, err);
	config_release(&session->config);
	return status;
}

static const char usage[] = "rlhf plan CONFIG [--stage NAME] [--set KEY=VALUE]... [--ranks N]\n"
			    "\n"
			    "Says what a training would need: memory of each rank by kind, bytes between\n"
			    "ranks, files, and its speed from two seconds of work.  Nothing is started\n"
			    "and nothing is written.  Exit code 1: it does not fit.";

int plan_main(int argc, char **argv)
{
	const char *path = NULL, *stage = NULL;
	struct session session = {0};
	bool help = false, no_speed = false;
	int64_t ranks = 0;
	const struct option options[] = {
		{.name = "CONFIG", .type = OPTION_STRING, .target = &path, .required = true,
		 .help = "JSON config of the run"},
		{.name = "--stage", .type = OPTION_STRING, .target = &stage,
		 .help = "command that the config is for, where its sections do not tell"},
		{.name = "--set", .type = OPTION_LIST, .target = &session.set,
		 .help = "changes one key of the config"},
		{.name = "--ranks", .type = OPTION_INT, .target = &ranks, .min = 1, .max = 4096,
		 .help = "of this machine; default: the sum of roles, or 1"},
		{.name = "--no-speed", .type = OPTION_FLAG, .target = &no_speed,
		 .help = "leave the speed out, which takes two seconds to measure"},
	};
	struct error err = {0};
	struct comm *world;
	enum status status = options_parse(options, sizeof options / sizeof *options, argc, argv,
					   usage, "rlhf plan sft.json --stage sft --ranks 2", &help,
					   &err);

	if (!help)
		status = comm_begin(&world, argc, argv, status, &err);
	if (status != STATUS_OK || help) {
		option_list_release(&session.set);
		return status;
	}
	/* A group of the lead alone: it plans as if no launcher had started others. */
	session.world = comm_split(world, comm_is_lead(world) ? 0 : -1);
	if (session.world)
		status = plan_config(&session, path, stage, (int)ranks, !no_speed, &err);
	status = comm_agree(world, status, &err);
	if (status == STATUS_BAD_INPUT && comm_is_lead(world))
		log_error("%s", err.text);
	comm_free(session.world);
	option_list_release(&session.set);
	comm_finalize();
	return status;
}

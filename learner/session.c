/* How a training command begins and ends; see session.h.  Whatever one rank finds
 * wrong is agreed by all, so that every rank leaves with the same exit code and
 * the lead prints one sentence. */
#include "learner/session.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/launcher.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/model/hf_checkpoint.h"
#include "common/ops/gemm.h"
#include "common/run/signals.h"
#include "learner/checkpoint.h"
#include "learner/state_files.h"
#include "proto/kernels.h"
#include "proto/launch.h"

int64_t session_length(const struct session *session)
{
	return session->command == COMMAND_PPO ? session->config.ppo.iterations
					       : session->config.train.steps;
}

int session_threads(const struct session *session, int n_sharing)
{
	int threads = (int)session->config.run.threads;

	if (threads <= 0)
		threads = pool_cores() / (n_sharing > 0 ? n_sharing : 1);
	return threads > 0 ? threads : 1;
}

static void print_config(enum command command)
{
	struct buf text = BUF_INIT;

	if (!launcher_is_first())
		return;
	config_print_documented(command, &text);
	fwrite(text.data, 1, text.length, stdout);
	buf_release(&text);
}

/* What made the backward products of a run of portable kernels.  Builds from before states told
 * it may have used any. */
static enum status read_library(struct session *session, const struct json *state, const char *path,
				struct error *err)
{
	const struct json *name = json_get(state, "library");

	if (!name)
		return state_refuse_old(path, "library", err);
	if (json_type(name) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT, "%s: library is %s, expected a string",
				 path, json_type_name(name));
	session->library = xstrdup(json_string(name, NULL));
	return STATUS_OK;
}

/* Whether a count of updates skipped in a row is not 0. */
static bool tells_of_skips(const struct json *state)
{
	static const char *const counts[] = {"skipped_in_a_row", "policy_skipped_in_a_row",
					     "critic_skipped_in_a_row"};
	int64_t n;

	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		if (json_get(state, counts[i]) && json_int64(json_get(state, counts[i]), &n) &&
		    n > 0)
			return true;
	return false;
}

/* A resumed run keeps the kernels that it began with, and checkpoints as its state says. */
static enum status resume_state(struct session *session, struct error *err)
{
	char *path = path_join(session->checkpoint, "state.json");
	struct json *state = json_read_object(path, 1 << 20, err);
	const char *name = json_string_or_null(json_get(state, "isa"));
	enum status status = state ? STATUS_OK : STATUS_BAD_INPUT;
	enum isa recorded;

	if (state && (!name || !isa_parse(name, &recorded)))
		status = error_set(err, STATUS_BAD_INPUT, "%s: isa is missing or unknown", path);
	else if (state && recorded > session->isa)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: the run was computed with %s kernels, these ranks have %s; "
				   "its bits could not be kept",
				   path, isa_name(recorded), isa_name(session->isa));
	else if (state)
		session->isa = recorded;
	if (status == STATUS_OK && recorded == ISA_PORTABLE)
		status = read_library(session, state, path, err);
	session->is_skipping = tells_of_skips(state);
	json_free(state);
	free(path);
	return status;
}

static enum status check_old_config(struct session *session, struct error *err)
{
	char *path = path_join(session->checkpoint, "config.json");
	struct buf old = BUF_INIT;
	enum status status = file_read(path, 1 << 24, &old, err);

	if (status == STATUS_OK) {
		status = config_check_resume(session->command, old.data, &session->config, err);
		if (status != STATUS_OK)
			error_prefix(err, status, "%s", session->run.path);
	}
	buf_release(&old);
	free(path);
	return status;
}

static enum status write_config(const struct session *session, struct error *err)
{
	char *path = path_join(session->run.path, "config.json");
	enum status status = file_replace(path, session->config.text,
					  strlen(session->config.text), err);
	free(path);
	return status;
}

/* Whether there is nothing left to do; a result that was removed is made again. */
static bool is_finished(const struct session *session)
{
	char state[16], *result = path_join(session->run.path, "final");
	int64_t step;
	bool finished = run_dir_state(session->run.path, state, &step) &&
			strcmp(state, "finished") == 0 && session->checkpoint &&
			session->step >= session_length(session) && file_is_dir(result);

	free(result);
	return finished;
}

static enum status check_result(const struct session *session, const char *name, struct error *err)
{
	char *path = path_join(session->run.path, name);
	enum status status = hf_check_target(path, err);

	free(path);
	return status;
}

/* What the run will write in the end must not be somebody's then. */
static enum status check_results(const struct session *session, struct error *err)
{
	const struct run_config *config = &session->config;
	enum status status = check_result(session, "final", err);

	if (status == STATUS_OK && config->checkpoint.best && config->train.eval_every > 0)
		status = check_result(session, "best", err);
	return status;
}

/* What is learnt cannot be taken back. */
static enum status check_length(const struct session *session, struct error *err)
{
	int64_t length = session_length(session);

	if (length <= 0 || session->step <= length)
		return STATUS_OK;
	return error_set(
		err, STATUS_BAD_INPUT, "%s: is at step %" PRId64 " already, but %s is %" PRId64,
		session->run.path, session->step,
		session->command == COMMAND_PPO ? "ppo.iterations" : "train.steps", length);
}

/* Lead rank: the directory, its newest checkpoint, and whether it is finished. */
static enum status open_run(struct session *session, bool *finished, struct error *err)
{
	enum status status = run_dir_open(&session->run, session->config.run.dir,
					  config_command_name(session->command), err);

	if (status != STATUS_OK)
		return status;
	session->has_run = true;
	status = checkpoint_find(session->run.path, &session->checkpoint, &session->step, err);
	if (status == STATUS_OK && session->checkpoint)
		status = check_old_config(session, err);
	if (status == STATUS_OK && session->checkpoint)
		status = check_length(session, err);
	if (status == STATUS_OK && session->checkpoint)
		status = resume_state(session, err);
	if (status != STATUS_OK)
		return status;
	*finished = is_finished(session);
	return *finished ? STATUS_OK : check_results(session, err);
}

/* Every rank is a learner, unless the command then deals other roles. */
static void watch(const struct session *session)
{
	char role[32];

	comm_watch(session->config.run.heartbeat_timeout);
	snprintf(role, sizeof role, "learner.%d", comm_rank(session->world));
	comm_set_role(role);
}

/* What the lead has found out, for every rank. */
static void share_run(struct session *session, bool *finished)
{
	struct buf path = BUF_INIT;
	int64_t facts[3] = {session->step, (int64_t)session->isa, *finished};

	comm_broadcast(session->world, facts, sizeof facts, 0);
	if (session->checkpoint)
		buf_append_string(&path, session->checkpoint);
	comm_broadcast_buf(session->world, &path, 0);
	session->step = facts[0];
	session->isa = (enum isa)facts[1];
	*finished = facts[2] != 0;
	free(session->checkpoint);
	session->checkpoint = path.length ? buf_detach(&path) : NULL;
	buf_release(&path);
}

/* Lead rank: whether the library of portable kernels is used, as it was in what is resumed. */
static enum status find_library(const struct session *session, bool *is_used, struct error *err)
{
	const char *here = gemm_library();

	*is_used = !session->library || session->library[0];
	if (!*is_used || !session->library || strcmp(session->library, here) == 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: the run was computed with %s, here is %s; its bits could not be kept",
			 session->run.path, session->library,
			 here[0] ? here : "no OpenBLAS that all ranks have");
}

static enum status select_kernels(struct session *session, struct error *err)
{
	bool is_used = true;
	enum status status = STATUS_OK;

	isa_select(session->isa);
	kernels_share_library(session->world);
	if (comm_is_lead(session->world))
		status = find_library(session, &is_used, err);
	status = comm_agree(session->world, status, err);
	comm_broadcast(session->world, &is_used, sizeof is_used, 0);
	if (!is_used)
		gemm_use_library(false);
	return status;
}

static enum status join_job(struct session *session, const char *config_path, bool *finished,
			    struct error *err)
{
	enum status status;

	status = config_load(&session->config, session->command, config_path, session->set.items,
			     session->set.n, err);
	status = comm_agree(session->world, status, err);
	if (comm_is_lead(session->world))
		launch_tell_ready(); /* who has come to agree takes signals */
	if (status == STATUS_OK)
		status = comm_compare(session->world, session->config.text, "config", err);
	if (status == STATUS_OK) {
		watch(session);
		status = kernels_agree(session->world, session->config.run.isa, &session->isa, err);
	}
	if (status != STATUS_OK)
		return status;
	if (comm_is_lead(session->world))
		status = open_run(session, finished, err);
	status = comm_agree(session->world, status, err);
	if (status != STATUS_OK)
		return status;
	share_run(session, finished);
	return *finished ? STATUS_OK : select_kernels(session, err);
}

/* --isa NAME is --set run.isa=NAME. */
static void add_isa(struct session *session, const char *isa)
{
	session->isa_setting = xasprintf("run.isa=%s", isa);
	session->set.items =
		xrealloc(session->set.items, (size_t)session->set.n + 1, sizeof *session->set.items);
	session->set.items[session->set.n++] = session->isa_setting;
}

bool session_open(struct session *session, enum command command, int argc, char **argv,
		  const char *example, int *exit_code)
{
	const char *config_path = NULL, *isa = NULL;
	bool help = false, finished = false, show_config = false;
	int64_t ranks = 0;
	struct option options[] = {
		{.name = "CONFIG", .type = OPTION_STRING, .target = &config_path,
		 .help = "JSON config of the run"},
		{.name = "--set", .type = OPTION_LIST, .target = &session->set,
		 .help = "changes one key of the config"},
		{.name = "--ranks", .type = OPTION_INT, .target = &ranks, .min = 1, .max = 4096,
		 .help = "start mpirun on this machine with so many ranks"},
		{.name = "--isa", .type = OPTION_STRING, .target = &isa,
		 .help = "kernels: auto, portable, avx2, avx512"},
		{.name = "--print-config", .type = OPTION_FLAG, .target = &show_config,
		 .help = "print every key with its default and meaning, and end"},
	};
	char usage[160];
	struct error err;
	enum status status;

	*session = (struct session){.command = command};
	snprintf(usage, sizeof usage, "rlhf %s CONFIG [--set KEY=VALUE]... [--ranks N]",
		 config_command_name(command));
	status = options_parse(options, sizeof options / sizeof *options, argc, argv, usage,
			       example, &help, &err);
	if (status == STATUS_OK && !help && show_config)
		print_config(command);
	else if (status == STATUS_OK && !help && !config_path)
		status = error_set(&err, STATUS_BAD_INPUT,
				   "no config given; usage: %s", usage);
	if (status == STATUS_OK && (help || show_config)) {
		*exit_code = STATUS_OK;
	} else if (status == STATUS_OK && ranks > 0 && !launcher_rank()) {
		*exit_code = launch_mpirun((int)ranks, argc, argv);
	} else {
		signals_install(); /* before MPI starts: a request to stop may come while it does */
		*exit_code = comm_begin(&session->world, argc, argv, status, &err);
	}
	if (!session->world) {
		option_list_release(&session->set);
		return false;
	}
	if (isa)
		add_isa(session, isa);
	log_init(LOG_INFO, comm_is_lead(session->world));
	status = join_job(session, config_path, &finished, &err);
	if (status == STATUS_OK && !finished)
		return true;
	if (status == STATUS_OK)
		log_info("%s: the run is finished after %" PRId64 " steps; nothing to do",
			 session->config.run.dir, session->step);
	*exit_code = session_close(session, status, &err);
	return false;
}

static enum status begin_run(struct session *session, struct error *err)
{
	/* First the record: a config.json without one is taken for somebody else's. */
	enum status status = run_dir_record(&session->run, "running", session->step, "", err);

	session->has_begun = status == STATUS_OK;
	if (status == STATUS_OK)
		status = write_config(session, err);
	if (status == STATUS_OK && session->checkpoint)
		status = checkpoint_tidy(
			session->run.path, session->step,
			session->is_skipping ? INT_MAX : (int)session->config.checkpoint.keep, err);
	return status;
}

enum status session_begin(struct session *session, struct error *err)
{
	enum status status = STATUS_OK;

	if (comm_is_lead(session->world))
		status = begin_run(session, err);
	status = comm_agree(session->world, status, err);
	if (status == STATUS_OK && session->checkpoint)
		log_info("resuming from %s", session->checkpoint);
	return status;
}

int session_close(struct session *session, enum status status, struct error *err)
{
	struct error ignored;

	status = comm_agree(session->world, status, err);
	if (status != STATUS_OK && status != STATUS_STOPPED && comm_is_lead(session->world)) {
		log_set_name(""); /* any rank may have found it */
		log_error("%s", err->text);
		if (session->has_begun)
			run_dir_record(&session->run, "failed", session->step, err->text, &ignored);
	}
	if (session->has_run)
		run_dir_close(&session->run);
	config_release(&session->config);
	option_list_release(&session->set);
	free(session->isa_setting);
	free(session->library);
	free(session->checkpoint);
	comm_finalize();
	return status;
}

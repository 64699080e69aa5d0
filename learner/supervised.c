/* Beginning, loop and end of a supervised training; see supervised.h. */
#include "learner/supervised.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/run/fault.h"
#include "learner/adapter.h"
#include "learner/agreement.h"
#include "learner/state_files.h"
#include "learner/turn.h"

int32_t supervised_eos(const struct supervised *run)
{
	if (run->model->config.eos_id >= 0)
		return run->model->config.eos_id;
	return run->tokenizer ? tokenizer_eos(run->tokenizer) : -1;
}

struct row_context supervised_rows(const struct supervised *run)
{
	return (struct row_context){.tokenizer = run->tokenizer,
				    .n_vocab = run->model->config.n_vocab,
				    .chat = run->chat,
				    .bos_id = run->model->config.bos_id};
}

/* --- the run --- */

/* The units that the result is described by: held out, if there are any. */
static void measure_result(struct supervised *run)
{
	const struct supervised_task *task = run->task;
	const struct dataset *dataset = run->eval.n > 0 ? &run->eval : &run->train;

	if ((run->numbers && run->measured == run->step) ||
	    !(task->describe || (task->report && run->eval.n > 0)))
		return;
	comm_set_phase("evaluation");
	supervised_measure_all(run, dataset);
}

/* evaluation.json: what is known of the result. */
static enum status write_report(struct supervised *run, struct error *err)
{
	struct buf json = BUF_INIT;
	enum status status;

	if (!run->task->report || run->eval.n == 0)
		return STATUS_OK;
	buf_append_string(&json, "{\n");
	run->task->report(run, &json);
	buf_append_string(&json, "\n}\n");
	status = state_write_text(run->session.run.path, "evaluation.json", json.data, json.length,
				  err);
	buf_release(&json);
	return status;
}

static enum status finish(struct supervised *run, struct error *err)
{
	int n = run->eval.n > 0 ? run->eval.n : run->train.n;
	enum status status = STATUS_OK;

	measure_result(run);
	if (comm_is_lead(run->session.world)) {
		fault_point("final.begin");
		status = supervised_save_result(run, "final", run->numbers, n, err);
		fault_point("final.end");
		if (status == STATUS_OK)
			status = write_report(run, err);
		if (status == STATUS_OK)
			status = run_dir_record(&run->session.run, "finished", run->step, "", err);
	}
	return comm_agree(run->session.world, status, err);
}

static enum status stop(struct supervised *run, struct error *err)
{
	enum status status = STATUS_OK;

	if (comm_is_lead(run->session.world))
		status = run_dir_record(&run->session.run, "stopped", run->step, "asked to stop",
					err);
	log_info("stopped after step %" PRId64 "; the same command goes on from there", run->step);
	status = comm_agree(run->session.world, status, err);
	return status == STATUS_OK ? STATUS_STOPPED : status;
}

static enum status train(struct supervised *run, struct error *err)
{
	int64_t total = session_length(&run->session);
	enum status status = STATUS_OK;
	struct turn turn = {.is_last = run->step >= total};
	double saved_at = clock_now();

	if (comm_is_lead(run->session.world))
		progress_begin(&run->progress, config_command_name(run->task->command), run->step,
			       total);
	while (!turn.is_last && !turn.is_stopping && status == STATUS_OK) {
		status = supervised_step(run, err);
		run->session.step = run->step;
		if (status == STATUS_OK)
			status = trainer_check(&run->trainer, "", err);
		turn = turn_agree(run->session.world, run->config, run->step, total, &saved_at);
		if (status == STATUS_OK && turn.saves) {
			comm_set_phase("checkpoint");
			status = supervised_save(run, err);
		}
	}
	if (comm_is_lead(run->session.world))
		progress_end(&run->progress);
	if (status != STATUS_OK)
		return status;
	return turn.is_last ? finish(run, err) : stop(run, err);
}

/* --- setting up --- */

enum status supervised_check_ranks(const struct supervised *run, int n, struct error *err)
{
	int lanes = (int)run->config->train.lanes;
	struct buf divisors = BUF_INIT;

	if (lanes % n == 0) /* lanes is a power of two, so n is one */
		return STATUS_OK;
	for (int d = 1; d <= lanes; d *= 2)
		buf_printf(&divisors, "%s%d", d > 1 ? ", " : "", d);
	error_set(err, STATUS_BAD_INPUT,
		  "%d ranks do not divide train.lanes, %d; it can be run on %s ranks", n, lanes,
		  divisors.data);
	buf_release(&divisors);
	return STATUS_BAD_INPUT;
}

static enum status load_tokenizer(struct supervised *run, struct error *err)
{
	const struct run_config *config = run->config;
	const char *dir = config->model.tokenizer ? config->model.tokenizer : config->model.path;

	if (!config->model.tokenizer && (!dir || !tokenizer_exists(dir)))
		return STATUS_OK;
	run->tokenizer_dir = dir;
	if (tokenizer_load(&run->tokenizer, dir, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return chat_load(&run->chat, config->data.chat, dir, run->tokenizer, err);
}

/* The model as it starts, or the checkpoint's, which may hold the adapter alone. */
static enum status load_model(struct supervised *run, struct error *err)
{
	const struct run_config *config = run->config;
	bool has_adapter = config->lora.given;
	char *dir = run->session.checkpoint ? path_join(run->session.checkpoint, "model") : NULL;
	enum status status = dir && !has_adapter ? supervised_load_model(run, dir, false, err)
						 : run->task->create(run, err);

	if (status == STATUS_OK && has_adapter) {
		struct adapter_options options = adapter_options(config, config->model.path);

		status = adapter_attach(run->model, &options, dir, run->pool, err);
		if (status == STATUS_OK && config->lora.path && !dir)
			status = adapter_check_config(run->model, config, err);
	}
	free(dir);
	return status;
}

static enum status load_data(struct supervised *run, struct error *err)
{
	const struct run_config *config = run->config;
	enum status status = run->task->load_data(run, &run->train, config->data.train, err);

	if (status == STATUS_OK && config->data.eval)
		status = run->task->load_data(run, &run->eval, config->data.eval, err);
	if (status == STATUS_OK && run->task->prepare &&
	    (!run->session.checkpoint || config->lora.given))
		status = run->task->prepare(run, err);
	return status;
}

static enum status open_metrics(struct supervised *run, struct error *err)
{
	char *path;
	enum status status;

	if (!comm_is_lead(run->session.world))
		return STATUS_OK;
	path = path_join(run->session.run.path, "metrics.jsonl");
	status = line_log_open(&run->metrics, path, (uint64_t)run->metrics_bytes, err);
	event_log_open(&run->events, run->session.run.path);
	free(path);
	return status;
}

enum status supervised_load(struct supervised *run, struct error *err)
{
	enum status status = load_tokenizer(run, err);

	if (status == STATUS_OK)
		status = load_model(run, err);
	if (status == STATUS_OK && run->task->freeze)
		status = run->task->freeze(run, err);
	if (status == STATUS_OK)
		status = load_data(run, err);
	if (status == STATUS_OK)
		run->model->recomputes = run->config->train.recompute;
	return status;
}

/* What this rank does by itself; may fail on some ranks only. */
static enum status set_up_rank(struct supervised *run, struct error *err)
{
	enum status status = supervised_load(run, err);

	if (status != STATUS_OK)
		return status;
	trainer_init(&run->trainer, run->model, &run->config->optimizer,
		     (int)run->config->train.lanes, run->session.world, run->pool);
	if (run->session.checkpoint)
		status = supervised_load_state(run, err);
	if (status == STATUS_OK && comm_is_lead(run->session.world))
		status = state_check_log(run->session.run.path, "metrics.jsonl", run->metrics_bytes,
					 err);
	return status;
}

/* All ranks must have read the same weights, and what goes with them. */
static enum status check_same_model(const struct supervised *run, struct error *err)
{
	const struct run_config *config = run->config;
	struct comm *world = run->session.world;
	const char *path = config->model.path;
	char *saved = run->session.checkpoint ? path_join(run->session.checkpoint, "model") : NULL;
	enum status status = STATUS_OK;

	if (config->lora.path)
		status = agreement_check(world, "adapter", config->lora.path, NULL, run->pool, err);
	if (status == STATUS_OK && config->model.tokenizer)
		status = agreement_check(world, "tokenizer", config->model.tokenizer, NULL,
					 run->pool, err);
	if (status == STATUS_OK && saved && path)
		status = agreement_check(world, "model", path, NULL, run->pool, err);
	if (status == STATUS_OK)
		status = agreement_check(world, "model", saved ? saved : path, run->model,
					 run->pool, err);
	free(saved);
	return status;
}

/* And the same rows. */
static enum status check_same_data(const struct supervised *run, struct error *err)
{
	struct comm *world = run->session.world;
	enum status status = comm_compare(world, run->train.ids_sha256,
					  "data.train, its file or its tokenizer,", err);

	return status == STATUS_OK ? comm_compare(world, run->eval.ids_sha256,
						  "data.eval, its file or its tokenizer,", err)
				   : status;
}

static enum status set_up(struct supervised *run, struct error *err)
{
	enum status status = supervised_check_ranks(run, comm_size(run->session.world), err);

	if (status != STATUS_OK)
		return status;
	run->pool = pool_create(session_threads(&run->session, comm_local_ranks()));
	status = comm_agree(run->session.world, set_up_rank(run, err), err);
	if (status == STATUS_OK)
		status = check_same_model(run, err);
	if (status == STATUS_OK)
		status = check_same_data(run, err);
	if (status == STATUS_OK && run->task->begin)
		status = comm_agree(run->session.world, run->task->begin(run, err), err);
	return status;
}

void supervised_release(struct supervised *run)
{
	if (run->task->release)
		run->task->release(run);
	if (run->trainer.model)
		trainer_release(&run->trainer);
	dataset_release(&run->train);
	dataset_release(&run->eval);
	model_destroy(run->model);
	chat_destroy(run->chat);
	tokenizer_destroy(run->tokenizer);
	buf_release(&run->config_text);
	free(run->numbers);
	line_log_close(&run->metrics);
	event_log_close(&run->events);
	pool_destroy(run->pool);
}

int supervised_main(const struct supervised_task *task, int argc, char **argv)
{
	struct supervised run = {.task = task, .lowest_loss = INFINITY};
	struct error err = {""};
	enum status status;
	int exit_code;

	if (!session_open(&run.session, task->command, argc, argv, task->example, &exit_code))
		return exit_code;
	run.config = &run.session.config;
	if (task->choose)
		run.task = task->choose(run.config);
	status = set_up(&run, &err);
	if (status == STATUS_OK)
		status = session_begin(&run.session, &err);
	if (status == STATUS_OK)
		status = comm_agree(run.session.world, open_metrics(&run, &err), &err);
	if (status == STATUS_OK)
		status = train(&run, &err);
	supervised_release(&run);
	return session_close(&run.session, status, &err);
}

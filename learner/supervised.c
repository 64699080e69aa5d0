/* The loop of pretrain and reward-train; see supervised.h. */
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
#include "learner/turn.h"

/* --- units --- */

static int unit_length(const struct dataset *dataset, int row)
{
	return dataset->rows[row].n + (dataset->rejected ? dataset->rejected[row].n : 0);
}

void supervised_batch(struct batch *batch, const struct units *units, int first, int n,
		      struct arena *arena)
{
	const struct dataset *dataset = units->dataset;
	int per_unit = dataset->rejected ? 2 : 1, total = 0, s = 0;
	int *offsets = arena_alloc(arena, (size_t)n * (size_t)per_unit + 1, sizeof *offsets);
	int32_t *ids;

	for (int i = 0; i < n; i++)
		total += unit_length(dataset, units->rows[first + i]);
	ids = arena_alloc(arena, (size_t)total, sizeof *ids);
	offsets[0] = 0;
	for (int i = 0; i < n; i++) {
		int index = units->rows[first + i];

		for (int k = 0; k < per_unit; k++, s++) {
			const struct row *row =
				k ? &dataset->rejected[index] : &dataset->rows[index];

			memcpy(ids + offsets[s], row->ids, (size_t)row->n * sizeof *ids);
			offsets[s + 1] = offsets[s] + row->n;
		}
	}
	*batch = (struct batch){.ids = ids, .offsets = offsets, .n_seqs = s};
}

int32_t supervised_eos(const struct supervised *run)
{
	if (run->model->config.eos_id >= 0)
		return run->model->config.eos_id;
	return run->tokenizer ? tokenizer_eos(run->tokenizer) : -1;
}

int supervised_positions(const struct supervised *run)
{
	return run->model->config.max_positions;
}

/* --- evaluation --- */

struct measurement {
	struct units units;
	double *numbers; /* [n][n_numbers] */
};

static void measure_group(void *context, int first, int n, struct arena *arena, struct pool *pool)
{
	struct measurement *m = context;
	const struct supervised_task *task = m->units.run->task;

	task->measure(&m->units, first, n, m->numbers + (size_t)first * (size_t)task->n_numbers,
		      arena, pool);
}

/* Numbers of every row of a dataset, [n][n_numbers], in order, on all ranks; the
 * caller frees them.  Each rank measures its share.  Collective. */
static double *measure_all(struct supervised *run, const struct dataset *dataset)
{
	struct comm *world = run->session.world;
	int64_t n = dataset->n, rank = comm_rank(world), size = comm_size(world);
	int begin = (int)(n * rank / size), count = (int)(n * (rank + 1) / size) - begin;
	size_t width = (size_t)run->task->n_numbers;
	int *rows = xcalloc((size_t)count, sizeof *rows);
	int *lengths = xcalloc((size_t)count, sizeof *lengths);
	struct measurement m = {
		.units = {.run = run, .dataset = dataset, .rows = rows, .weight = 1}};
	struct buf mine = BUF_INIT, all = BUF_INIT;
	double *numbers = xcalloc((size_t)n * width, sizeof *numbers);

	for (int i = 0; i < count; i++) {
		rows[i] = begin + i;
		lengths[i] = unit_length(dataset, begin + i);
	}
	m.numbers = xcalloc((size_t)count * width, sizeof *m.numbers);
	sequences_run(run->model, lengths, count, run->trainer.microbatch_tokens, measure_group, &m,
		      &run->trainer.workspace, run->pool);
	buf_append(&mine, m.numbers, (size_t)count * width * sizeof *m.numbers);
	comm_allgather_buf(world, &mine, &all);
	memcpy(numbers, all.data, all.length);
	buf_release(&mine);
	buf_release(&all);
	free(m.numbers);
	free(rows);
	free(lengths);
	return numbers;
}

/* Means over data.eval, summed in the order of the rows. */
static void evaluate(struct supervised *run, double *means)
{
	const struct supervised_task *task = run->task;
	double *numbers = measure_all(run, &run->eval), weight = 0;

	memset(means, 0, (size_t)task->n_stats * sizeof *means);
	for (int i = 0; i < run->eval.n; i++) {
		weight += task->weight(&run->eval, i);
		for (int k = 0; k < task->n_stats; k++)
			means[k] += numbers[(size_t)i * (size_t)task->n_numbers + (size_t)k];
	}
	for (int k = 0; k < task->n_stats; k++)
		means[k] /= weight;
	free(numbers);
}

/* --- a step --- */

struct step_report {
	double means[MAX_NUMBERS], eval[MAX_NUMBERS];
	bool evaluated;
	double learning_rate, grad_norm, seconds;
	int64_t tokens;
};

static void update(struct supervised *run, struct step_report *report)
{
	const struct supervised_task *task = run->task;
	const struct run_config *config = run->config;
	int n = (int)config->train.batch_size;
	int *rows = xcalloc((size_t)n, sizeof *rows),
	    *lengths = xcalloc((size_t)n, sizeof *lengths);
	struct units units = {.run = run, .dataset = &run->train, .rows = rows};

	for (int i = 0; i < n; i++) {
		rows[i] = dataset_index(&run->train, run->step * n + i);
		lengths[i] = unit_length(&run->train, rows[i]);
		units.weight += task->weight(&run->train, rows[i]);
		report->tokens += lengths[i];
	}
	report->learning_rate =
		config->optimizer.learning_rate * schedule_factor(config->schedule.name, run->step,
								  config->schedule.warmup_steps,
								  session_length(&run->session));
	if (!trainer_step(&run->trainer, lengths, n, report->learning_rate, task->microbatch,
			  &units, report->means, task->n_stats, &report->grad_norm))
		log_warn("step %" PRId64 ": the gradient is not finite, the step is not applied",
			 run->step + 1);
	for (int k = 0; k < task->n_stats; k++)
		report->means[k] /= units.weight;
	run->step++;
	free(rows);
	free(lengths);
}

static void append_metrics(struct supervised *run, const struct step_report *report)
{
	const struct supervised_task *task = run->task;
	int64_t drawn = run->step * run->config->train.batch_size;
	struct buf line = BUF_INIT;
	char name[64];

	metrics_begin(&line, run->step);
	metrics_add(&line, "epoch", (double)drawn / run->train.n);
	for (int k = 0; k < task->n_stats; k++)
		metrics_add(&line, task->names[k], report->means[k]);
	for (int k = 0; k < task->n_stats && report->evaluated; k++) {
		snprintf(name, sizeof name, "eval/%s", task->names[k]);
		metrics_add(&line, name, report->eval[k]);
	}
	if (report->evaluated && task->has_perplexity)
		metrics_add(&line, "eval/perplexity", exp(report->eval[0]));
	metrics_add(&line, "lr", report->learning_rate);
	metrics_add(&line, "grad_norm", report->grad_norm);
	metrics_add(&line, "optim/skipped", (double)run->trainer.skipped);
	metrics_add(&line, "time/step", report->seconds);
	metrics_add(&line, "perf/tokens_per_s", (double)report->tokens / report->seconds);
	metrics_end(&line);
	line_log_append(&run->metrics, line.data, line.length);
	event_log_append(&run->events, line.data, line.length);
	buf_release(&line);
}

static bool is_due(int64_t step, int64_t every)
{
	return every > 0 && step % every == 0;
}

static void report_step(struct supervised *run, const struct step_report *report, bool is_last)
{
	const struct supervised_task *task = run->task;
	char detail[160];
	int n = 0, size = sizeof detail;

	if (is_last || report->evaluated || is_due(run->step, run->config->log.every_steps))
		append_metrics(run, report);
	for (int k = 0; k < task->n_stats && k < 2 && n < size; k++) {
		n += snprintf(detail + n, (size_t)(size - n), "%s %.4f", task->names[k],
			      report->means[k]);
		if (report->evaluated && n < size)
			n += snprintf(detail + n, (size_t)(size - n), " (eval %.4f)",
				      report->eval[k]);
		if (n < size)
			n += snprintf(detail + n, (size_t)(size - n), ", ");
	}
	if (n < size)
		snprintf(detail + n, (size_t)(size - n), "%.0f tokens/s",
			 (double)report->tokens / report->seconds);
	progress_update(&run->progress, run->step, detail);
}

static void one_step(struct supervised *run, bool is_last)
{
	struct step_report report = {.evaluated = false};
	double began = clock_now();

	comm_set_phase("update");
	update(run, &report);
	report.seconds = fmax(clock_now() - began, 1e-9);
	fault_point("train.updated");
	if (run->eval.n > 0 && (is_last || is_due(run->step, run->config->train.eval_every))) {
		comm_set_phase("evaluation");
		evaluate(run, report.eval);
		report.evaluated = true;
	}
	if (comm_is_lead(run->session.world))
		report_step(run, &report, is_last);
}

/* --- the run --- */

static enum status finish(struct supervised *run, struct error *err)
{
	const struct supervised_task *task = run->task;
	const struct dataset *dataset = run->eval.n > 0 ? &run->eval : &run->train;
	const char *edits[2 * MAX_NUMBERS + 1] = {NULL};
	struct buf texts = BUF_INIT;
	enum status status = STATUS_OK;

	if (task->finish) {
		double *numbers = measure_all(run, dataset);

		task->finish(numbers, dataset->n, &texts, edits);
		free(numbers);
	}
	if (comm_is_lead(run->session.world)) {
		status = supervised_save_final(run, edits, err);
		if (status == STATUS_OK)
			status = run_dir_record(&run->session.run, "finished", run->step, "", err);
	}
	buf_release(&texts);
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
		progress_begin(&run->progress, run->task->name, run->step, total);
	while (!turn.is_last && !turn.is_stopping && status == STATUS_OK) {
		one_step(run, run->step + 1 == total);
		run->session.step = run->step;
		turn = turn_agree(run->session.world, run->config, run->step, total, &saved_at);
		if (turn.saves) {
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

static enum status check_ranks(const struct supervised *run, struct error *err)
{
	int n = comm_size(run->session.world), lanes = (int)run->config->train.lanes;
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
	return tokenizer_load(&run->tokenizer, dir, err);
}

static enum status load_model(struct supervised *run, struct error *err)
{
	char *dir;
	enum status status;

	if (!run->session.checkpoint)
		return run->task->create(run, err);
	dir = path_join(run->session.checkpoint, "model");
	status = supervised_load_model(run, dir, false, err);
	free(dir);
	return status;
}

static enum status load_data(struct supervised *run, struct error *err)
{
	const struct run_config *config = run->config;
	enum status status = run->task->load_data(run, &run->train, config->data.train, err);

	if (status == STATUS_OK && config->data.eval)
		status = run->task->load_data(run, &run->eval, config->data.eval, err);
	if (status == STATUS_OK && !run->session.checkpoint && run->task->prepare)
		status = run->task->prepare(run, err);
	return status;
}

static enum status open_metrics(struct supervised *run, uint64_t bytes, struct error *err)
{
	char *path;
	enum status status;

	if (!comm_is_lead(run->session.world))
		return STATUS_OK;
	path = path_join(run->session.run.path, "metrics.jsonl");
	status = line_log_open(&run->metrics, path, bytes, err);
	event_log_open(&run->events, run->session.run.path);
	free(path);
	return status;
}

/* What this rank does by itself; may fail on some ranks only. */
static enum status set_up_rank(struct supervised *run, struct error *err)
{
	uint64_t metrics_bytes = 0;
	enum status status = load_tokenizer(run, err);

	if (status == STATUS_OK)
		status = load_model(run, err);
	if (status == STATUS_OK)
		status = load_data(run, err);
	if (status != STATUS_OK)
		return status;
	trainer_init(&run->trainer, run->model, &run->config->optimizer,
		     (int)run->config->train.lanes, run->session.world, run->pool);
	if (run->session.checkpoint)
		status = supervised_load_state(run, &metrics_bytes, err);
	return status == STATUS_OK ? open_metrics(run, metrics_bytes, err) : status;
}

/* All ranks must have read the same rows. */
static enum status check_same_data(struct supervised *run, struct error *err)
{
	char sha256[2][65];
	enum status status = STATUS_OK;

	memcpy(sha256[0], run->train.sha256, sizeof sha256[0]);
	memcpy(sha256[1], run->eval.sha256, sizeof sha256[1]);
	comm_broadcast(run->session.world, sha256, sizeof sha256, 0);
	if (memcmp(sha256[0], run->train.sha256, sizeof sha256[0]) != 0 ||
	    memcmp(sha256[1], run->eval.sha256, sizeof sha256[1]) != 0)
		status =
			error_set(err, STATUS_BAD_INPUT,
				  "rank %d reads other data than rank 0 at the paths of data.train "
				  "and data.eval",
				  comm_rank(run->session.world));
	return comm_agree(run->session.world, status, err);
}

static enum status set_up(struct supervised *run, struct error *err)
{
	enum status status = check_ranks(run, err);

	if (status != STATUS_OK)
		return status;
	run->pool = pool_create(session_threads(&run->session, comm_local_ranks()));
	status = comm_agree(run->session.world, set_up_rank(run, err), err);
	return status == STATUS_OK ? check_same_data(run, err) : status;
}

static void release(struct supervised *run)
{
	if (run->trainer.model)
		trainer_release(&run->trainer);
	dataset_release(&run->train);
	dataset_release(&run->eval);
	model_destroy(run->model);
	tokenizer_destroy(run->tokenizer);
	buf_release(&run->config_text);
	line_log_close(&run->metrics);
	event_log_close(&run->events);
	pool_destroy(run->pool);
}

int supervised_main(const struct supervised_task *task, int argc, char **argv)
{
	struct supervised run = {.task = task};
	struct error err = {""};
	enum status status;
	int exit_code;

	if (!session_open(&run.session, task->command, argc, argv, task->example, &exit_code))
		return exit_code;
	run.config = &run.session.config;
	status = set_up(&run, &err);
	if (status == STATUS_OK)
		status = session_begin(&run.session, &err);
	if (status == STATUS_OK)
		status = train(&run, &err);
	release(&run);
	return session_close(&run.session, status, &err);
}

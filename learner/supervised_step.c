/* One step of supervised training: an update, an evaluation, a line of metrics. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/log.h"
#include "common/run/fault.h"
#include "common/run/signals.h"
#include "learner/supervised.h"

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

/* --- measuring --- */

struct measurement {
	struct units units;
	measure_units *measure;
	double *numbers; /* [n][width] */
	size_t width;
	bool until_stop;
};

static void measure_group(void *context, int first, int n, struct arena *arena, struct pool *pool)
{
	struct measurement *m = context;

	if (m->until_stop) {
		fault_point("reference.rows");
		if (signals_stop_requested())
			return;
	}
	m->measure(&m->units, first, n, m->numbers + (size_t)first * m->width, arena, pool);
}

double *supervised_measure(struct supervised *run, const struct model *model,
			   const struct dataset *dataset, const int *rows, int n,
			   measure_units *measure, int width, bool until_stop)
{
	struct comm *world = run->session.world;
	int64_t rank = comm_rank(world), size = comm_size(world);
	int begin = (int)(n * rank / size), count = (int)(n * (rank + 1) / size) - begin;
	int *own = xcalloc((size_t)count, sizeof *own);
	int *lengths = xcalloc((size_t)count, sizeof *lengths);
	struct measurement m = {
		.units = {.run = run, .model = model, .dataset = dataset, .rows = own, .weight = 1},
		.measure = measure,
		.width = (size_t)width,
		.until_stop = until_stop};
	size_t bytes = (size_t)count * m.width * sizeof *m.numbers;
	struct buf mine = BUF_INIT, all = BUF_INIT;
	double *numbers = xcalloc((size_t)n * m.width, sizeof *numbers);

	for (int i = 0; i < count; i++) {
		own[i] = rows ? rows[begin + i] : begin + i;
		lengths[i] = unit_length(dataset, own[i]);
	}
	m.numbers = xcalloc((size_t)count * m.width, sizeof *m.numbers);
	sequences_run(model, lengths, count, run->trainer.microbatch_tokens, measure_group, &m,
		      &run->trainer.workspace, run->pool);
	buf_append(&mine, m.numbers, bytes);
	comm_allgather_buf(world, &mine, &all);
	memcpy(numbers, all.data, all.length);
	buf_release(&mine);
	buf_release(&all);
	free(m.numbers);
	free(own);
	free(lengths);
	return numbers;
}

/* Sums of stats to means: the last loop first, so that divisors are still sums. */
static void divide(const struct supervised_task *task, double *stats, double weight)
{
	double sums[MAX_STATS];

	memcpy(sums, stats, (size_t)task->n_stats * sizeof *sums);
	for (int k = 0; k < task->n_stats; k++) {
		int per = task->stats[k].per;

		stats[k] = sums[k] / (per == PER_WEIGHT ? weight : sums[per]);
	}
}

static double weight_of(const struct supervised_task *task, const struct dataset *dataset, int row)
{
	return task->weight ? task->weight(dataset, row) : 1;
}

/* --- a step --- */

struct step_report {
	double means[MAX_STATS], eval[MAX_STATS];
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
	struct units units = {
		.run = run, .model = run->model, .dataset = &run->train, .rows = rows};

	for (int i = 0; i < n; i++) {
		rows[i] = dataset_index(&run->train, run->step * n + i);
		lengths[i] = unit_length(&run->train, rows[i]);
		units.weight += weight_of(task, &run->train, rows[i]);
		report->tokens += lengths[i];
	}
	report->learning_rate =
		config->optimizer.learning_rate * schedule_factor(config->schedule.name, run->step,
								  config->schedule.warmup_steps,
								  session_length(&run->session));
	if (task->look)
		task->look(run, &run->train, rows, n);
	if (!trainer_step(&run->trainer, lengths, n, report->learning_rate, task->microbatch,
			  &units, report->means, task->n_stats, &report->grad_norm))
		log_warn("step %" PRId64 ": the gradient is not finite, the step is not applied",
			 run->step + 1);
	divide(task, report->means, units.weight);
	run->step++;
	free(rows);
	free(lengths);
}

void supervised_measure_all(struct supervised *run, const struct dataset *dataset)
{
	const struct supervised_task *task = run->task;

	if (task->look)
		task->look(run, dataset, NULL, dataset->n);
	free(run->numbers);
	run->numbers = supervised_measure(run, run->model, dataset, NULL, dataset->n, task->measure,
					  task->n_numbers, false);
	run->measured = run->step;
}

/* Means over data.eval, summed in the order of the rows; the model of the lowest loss
 * is kept as best/. */
static enum status evaluate(struct supervised *run, double *means, struct error *err)
{
	const struct supervised_task *task = run->task;
	int n = run->eval.n;
	double weight = 0, *numbers;
	enum status status = STATUS_OK;

	supervised_measure_all(run, &run->eval);
	numbers = run->numbers;
	memset(means, 0, (size_t)task->n_stats * sizeof *means);
	for (int i = 0; i < n; i++) {
		weight += weight_of(task, &run->eval, i);
		for (int k = 0; k < task->n_stats; k++)
			means[k] += numbers[(size_t)i * (size_t)task->n_numbers + (size_t)k];
	}
	divide(task, means, weight);
	if (means[0] < run->lowest_loss) {
		run->lowest_loss = means[0];
		if (run->config->checkpoint.best && run->config->train.eval_every > 0 &&
		    comm_is_lead(run->session.world))
			status = supervised_save_result(run, "best", numbers, n, err);
	}
	return comm_agree(run->session.world, status, err);
}

/* --- telling --- */

static void add_means(const struct supervised *run, const double *means, bool is_eval,
		      struct buf *line)
{
	const struct supervised_task *task = run->task;
	char name[64];

	for (int k = 0; k < task->n_stats; k++) {
		if (!task->stats[k].name)
			continue;
		snprintf(name, sizeof name, "%s%s", is_eval ? "eval/" : "", task->stats[k].name);
		metrics_add(line, name, means[k]);
	}
	if (task->add_metrics)
		task->add_metrics(run, means, is_eval, line);
}

static void append_metrics(struct supervised *run, const struct step_report *report)
{
	int64_t drawn = run->step * run->config->train.batch_size;
	struct buf line = BUF_INIT;

	metrics_begin(&line, run->step);
	metrics_add(&line, "epoch", (double)drawn / run->train.n);
	add_means(run, report->means, false, &line);
	if (report->evaluated)
		add_means(run, report->eval, true, &line);
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

static void show_progress(struct supervised *run, const struct step_report *report)
{
	const struct supervised_task *task = run->task;
	struct buf detail = BUF_INIT;

	for (int k = 0; k < task->n_stats && k < 2; k++) {
		buf_printf(&detail, "%s %.4f", task->stats[k].name, report->means[k]);
		if (report->evaluated)
			buf_printf(&detail, " (eval %.4f)", report->eval[k]);
		buf_append_string(&detail, ", ");
	}
	buf_printf(&detail, "%.0f tokens/s", (double)report->tokens / report->seconds);
	progress_update(&run->progress, run->step, detail.data);
	buf_release(&detail);
}

enum status supervised_step(struct supervised *run, struct error *err)
{
	struct step_report report = {.evaluated = false};
	bool is_last = run->step + 1 == session_length(&run->session);
	double began = clock_now();
	enum status status = STATUS_OK;

	comm_set_phase("update");
	update(run, &report);
	report.seconds = fmax(clock_now() - began, 1e-9);
	fault_point("train.updated");
	if (run->eval.n > 0 && (is_last || is_due(run->step, run->config->train.eval_every))) {
		comm_set_phase("evaluation");
		status = evaluate(run, report.eval, err);
		report.evaluated = true;
	}
	if (!comm_is_lead(run->session.world))
		return status;
	if (is_last || report.evaluated || is_due(run->step, run->config->log.every_steps))
		append_metrics(run, &report);
	show_progress(run, &report);
	return status;
}

/* What a supervised training will need; see plan.h. */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/memory.h"
#include "common/model/sequences.h"
#include "learner/embeddings.h"
#include "learner/freeze.h"
#include "learner/plan.h"
#include "learner/reference.h"
#include "learner/targets.h"

/* What the steps of a run look like, from its first ones. */
struct steps {
	int n; /* that were looked at */
	double tokens, targets; /* of them together */
	int most_tokens, most_seqs; /* of a microbatch */
	int most_measured;	    /* tokens at once, where a step's rows are only measured */
	int n_threads;
	int *first; /* [n_first] lengths of the sequences of the first microbatch; owned */
	int n_first;
};

enum { ROWS_LOOKED_AT = 1 << 15 };

static int most(int a, int b)
{
	return a > b ? a : b;
}

static bool has_pairs(const struct dataset *dataset)
{
	return dataset->rejected != NULL;
}

static int unit_length(const struct dataset *dataset, int row)
{
	return dataset->rows[row].n + (has_pairs(dataset) ? dataset->rejected[row].n : 0);
}

static int unit_targets(const struct dataset *dataset, int row)
{
	return targets_count(&dataset->rows[row]) +
	       (has_pairs(dataset) ? targets_count(&dataset->rejected[row]) : 0);
}

/* The sequences of the first microbatch, which has n units. */
static void keep_first(struct steps *steps, const struct dataset *dataset, const int *rows, int n)
{
	steps->first = xcalloc((size_t)n * 2, sizeof *steps->first);
	for (int i = 0; i < n; i++) {
		steps->first[steps->n_first++] = dataset->rows[rows[i]].n;
		if (has_pairs(dataset))
			steps->first[steps->n_first++] = dataset->rejected[rows[i]].n;
	}
}

static void look_at_step(struct steps *steps, const struct supervised *run, int *rows, int *lengths)
{
	const struct run_config *config = run->config;
	int n = (int)config->train.batch_size;
	struct microbatches cut;

	for (int i = 0; i < n; i++) {
		rows[i] = dataset_index(&run->train, (int64_t)steps->n * n + i);
		lengths[i] = unit_length(&run->train, rows[i]);
		steps->tokens += lengths[i];
		steps->targets += unit_targets(&run->train, rows[i]);
	}
	steps->most_measured = most(steps->most_measured,
				    sequences_most_tokens(run->model, lengths, n, MICROBATCH_TOKENS,
							  steps->n_threads));
	trainer_cut(lengths, n, (int)config->train.lanes, &cut);
	steps->most_tokens = most(steps->most_tokens, cut.most_tokens);
	steps->most_seqs = most(steps->most_seqs, cut.most_units * (has_pairs(&run->train) ? 2 : 1));
	if (steps->n++ == 0)
		keep_first(steps, &run->train, rows, cut.first);
}

static void look_at_steps(struct steps *steps, const struct supervised *run, int n_ranks)
{
	const struct run_config *config = run->config;
	size_t n = (size_t)config->train.batch_size;
	int *rows = xcalloc(n, sizeof *rows), *lengths = xcalloc(n, sizeof *lengths);

	*steps = (struct steps){.n_threads = session_threads(&run->session, n_ranks)};
	while (steps->n == 0 || (steps->n < config->train.steps &&
				 (int64_t)steps->n * config->train.batch_size < ROWS_LOOKED_AT))
		look_at_step(steps, run, rows, lengths);
	free(rows);
	free(lengths);
}

/* --- memory --- */

static bool trains_head_alone(const struct supervised *run)
{
	return run->task->command == COMMAND_CLASSIFY &&
	       freeze_is_backbone(run->config->classify.freeze);
}

/* Tokens of a data set that are measured at once. */
static int measured_tokens(const struct supervised *run, const struct dataset *set, int n_threads)
{
	int *lengths = xcalloc((size_t)set->n, sizeof *lengths), tokens;

	for (int i = 0; i < set->n; i++)
		lengths[i] = unit_length(set, i);
	tokens = sequences_most_tokens(run->model, lengths, set->n, MICROBATCH_TOKENS, n_threads);
	free(lengths);
	return tokens;
}

/* Whether all rows are measured once: before training by the reference, or after it where
 * nothing else tells how the result scores. */
static bool measures_rows(const struct supervised *run)
{
	return run->task->command == COMMAND_DPO || (run->task->describe && run->eval.n == 0);
}

/* Of rows that are trained on. */
static int measured_train_tokens(const struct supervised *run, const struct steps *steps)
{
	if (trains_head_alone(run))
		return steps->most_measured;
	return measures_rows(run) ? measured_tokens(run, &run->train, steps->n_threads) : 0;
}

/* What every thread, or all of them together, works in. */
static size_t activation_bytes(const struct supervised *run, const struct steps *steps, int n_ranks)
{
	const struct model *model = run->model;
	int n_threads = steps->n_threads;
	int n_arenas = plan_arenas(model, (int)run->config->train.lanes, n_ranks, n_threads);
	int eval_tokens = measured_tokens(run, &run->eval, n_threads);
	int train_tokens = measured_train_tokens(run, steps);
	size_t trained = trains_head_alone(run)
				 ? 0
				 : plan_train_bytes(model, steps->most_tokens, steps->most_seqs);
	size_t measured = plan_measure_bytes(model, most(eval_tokens, train_tokens),
					     steps->most_seqs);

	return (size_t)n_arenas * (trained > measured ? trained : measured);
}

static enum status plan_reference(struct ledger *ledger, const struct supervised *run,
				  struct error *err)
{
	struct model *model = NULL;
	enum status status;

	if (run->task->command != COMMAND_DPO || !run->config->reference.path)
		return STATUS_OK;
	status = reference_load(&model, run, true, err);
	if (status == STATUS_OK)
		ledger_add(ledger, "reference", model_bytes(model));
	model_destroy(model);
	return status;
}

static void plan_embeddings(struct ledger *ledger, const struct supervised *run, int n_ranks)
{
	if (!trains_head_alone(run))
		return;
	ledger_add(ledger, "embeddings of rows",
		   embeddings_bytes(&run->train, run->model, n_ranks) +
			   embeddings_bytes(&run->eval, run->model, n_ranks));
}

static enum status plan_rank(struct plan_rank *rank, const struct supervised *run,
			     const struct steps *steps, int r, int n_ranks, struct error *err)
{
	const struct run_config *config = run->config;
	struct ledger *ledger = &rank->memory;

	plan_add_weights(ledger, run->model);
	trainer_plan(ledger, run->model, &config->optimizer, (int)config->train.lanes, r, n_ranks);
	ledger_add(ledger, "activations", activation_bytes(run, steps, n_ranks));
	plan_embeddings(ledger, run, n_ranks);
	if (r == 0)
		ledger_add(ledger, "saving",
			   plan_saving_bytes(run->model, config->model.save_dtype));
	ledger_add(ledger, "threads", (size_t)steps->n_threads * THREAD_BYTES);
	ledger_add(ledger, "program, text, data", memory_in_use());
	ledger_add(ledger, "message passing", n_ranks > 1 ? MESSAGE_PASSING_BYTES : 0);
	return plan_reference(ledger, run, err);
}

/* --- the whole --- */

static void plan_traffic(struct plan *plan, const struct supervised *run)
{
	const struct run_config *config = run->config;
	size_t n = model_trained(run->model).layout->n_floats * sizeof(float);
	size_t state = plan_checkpoint_bytes(run->model, &config->optimizer);
	size_t result = plan_result_bytes(run->model, config->model.save_dtype);
	bool keeps_best = config->checkpoint.best && config->train.eval_every > 0 && run->eval.n > 0;

	ledger_add(&plan->moved, "sums of gradients", n * (size_t)(plan->n_ranks - 1));
	ledger_add(&plan->moved, "new weights", n * (size_t)(plan->n_ranks - 1));
	ledger_add(&plan->written, "checkpoints", state * (size_t)plan_checkpoints(config, plan->steps));
	ledger_add(&plan->written, "result", result);
	ledger_add(&plan->written, "best model", keeps_best ? result : 0);
}

/* Seconds of a step with the probe's speed. */
static double step_seconds(const struct supervised *run, const struct probe *probe, double tokens,
			   double targets)
{
	bool is_dpo = run->task->command == COMMAND_DPO;
	double layers = run->model->config.n_layers;

	if (trains_head_alone(run)) /* whose embeddings are computed once */
		return 0;
	/* dpo computes log-probabilities before it knows the derivatives, a third of what a
	 * head costs; kto those of mismatched completions too. */
	return probe_train(probe, run->model, tokens, run->task->head == HEAD_LM ? targets : 0) +
	       (is_dpo ? targets * probe->head / 3 : 0) +
	       (is_dpo && !has_pairs(&run->train)
			? tokens * probe->forward * layers + targets * probe->head / 3
			: 0);
}

static void plan_speed(struct plan *plan, const struct supervised *run, const struct steps *steps)
{
	struct probe probe;

	plan->tokens = steps->tokens / steps->n;
	if (!plan->has_speed || trains_head_alone(run) ||
	    !probe_run(&probe, run->model, steps->first, steps->n_first,
		       (int)run->config->train.lanes, run->pool, &plan->probe_bytes))
		return;
	plan->seconds = step_seconds(run, &probe, plan->tokens, steps->targets / steps->n);
}

static enum status fill_plan(struct plan *plan, struct supervised *run, int n_ranks,
			     struct error *err)
{
	struct steps steps;
	enum status status = STATUS_OK;

	look_at_steps(&steps, run, n_ranks);
	plan_add_model(plan, "model", run->model, true);
	plan->steps = session_length(&run->session);
	plan->threads = session_threads(&run->session, n_ranks);
	plan->n_ranks = n_ranks;
	plan->ranks = xcalloc((size_t)n_ranks, sizeof *plan->ranks);
	for (int r = 0; r < n_ranks && status == STATUS_OK; r++)
		status = plan_rank(&plan->ranks[r], run, &steps, r, n_ranks, err);
	if (status == STATUS_OK) {
		plan_traffic(plan, run);
		plan_speed(plan, run, &steps);
	}
	free(steps.first);
	return status;
}

enum status supervised_plan(struct plan *plan, const struct supervised_task *task,
			    const struct session *session, int n_ranks, struct error *err)
{
	struct supervised run = {.task = task, .session = *session, .is_planned = true};
	enum status status;

	run.config = &session->config;
	if (task->choose)
		run.task = task->choose(run.config);
	status = supervised_check_ranks(&run, n_ranks, err);
	if (status != STATUS_OK)
		return status;
	run.pool = pool_create(session_threads(session, 1));
	status = supervised_load(&run, err);
	if (status == STATUS_OK)
		status = fill_plan(plan, &run, n_ranks, err);
	if (status != STATUS_OK)
		plan_release(plan);
	supervised_release(&run);
	return status;
}

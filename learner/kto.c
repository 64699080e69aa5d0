/* rlhf dpo with loss_type kto: single completions that are wanted or not (algorithms
 * E.5).
 *
 * The estimate z of the KL divergence between policy and reference is the mean, over
 * the rows of a minibatch, of the log-ratio of mismatched completions (mismatch.h).
 * Whose completion a row is given does not depend on how rows are drawn, so the
 * reference's part is computed once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "learner/dpo_private.h"
#include "learner/mismatch.h"
#include "learner/preference.h"
#include "learner/targets.h"

struct kto {
	struct dataset train, eval; /* mismatched completions of run->train, run->eval */
	struct reference reference; /* of a row's completion and of the mismatched one */
	double z;		    /* of the units at hand */
};

static enum status load_data(struct supervised *run, struct dataset *dataset, const char *path,
			     struct error *err)
{
	struct row_context context = supervised_rows(run);
	enum status status = dataset_load_judged(dataset, path, &context, run->config,
						 model_position_limit(&run->model->config),
						 supervised_eos(run), run->pool, err);

	if (status == STATUS_OK && dataset->n < 2) {
		dataset_release(dataset);
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: one row, expected at least 2: kto compares each with the "
				   "completion of another",
				   path);
	}
	return status;
}

/* --- mismatched completions --- */

static void mismatch_all(struct dataset *out, const struct dataset *dataset,
			 const struct supervised *run)
{
	struct row_context context = supervised_rows(run);
	int max_length = model_position_limit(&run->model->config), *partner;

	if (run->config->data.max_length < max_length)
		max_length = (int)run->config->data.max_length;
	*out = (struct dataset){.n = dataset->n};
	out->rows = xcalloc((size_t)out->n, sizeof *out->rows);
	partner = xcalloc((size_t)out->n, sizeof *partner);
	mismatch_partners(partner, dataset->rows, out->n);
	for (int i = 0; i < out->n; i++) {
		mismatch_row(&out->rows[i], &dataset->rows[i], &dataset->rows[partner[i]]);
		row_cut(&out->rows[i], max_length, dataset_cuts_left(run->config), &context);
	}
	free(partner);
}

static double *measure_reference(struct supervised *run, const struct model *model, bool is_eval)
{
	const struct kto *kto = run->own;
	const struct dataset *sets[2] = {is_eval ? &run->eval : &run->train,
					 is_eval ? &kto->eval : &kto->train};
	int n = sets[0]->n;
	double *both = xcalloc((size_t)n * 2, sizeof *both);

	for (int k = 0; k < 2; k++) {
		double *numbers = supervised_measure(run, model, sets[k], NULL, n,
						     dpo_measure_logprobs, 1, true);

		for (int i = 0; i < n; i++)
			both[2 * i + k] = numbers[i];
		free(numbers);
	}
	return both;
}

static enum status begin(struct supervised *run, struct error *err)
{
	struct kto *kto = xcalloc(1, sizeof *kto);

	run->own = kto;
	mismatch_all(&kto->train, &run->train, run);
	mismatch_all(&kto->eval, &run->eval, run);
	return reference_begin(&kto->reference, run, measure_reference, err);
}

static enum status save_own(const struct supervised *run, const char *dir, struct error *err)
{
	const struct kto *kto = run->own;

	return reference_save(&kto->reference, run, dir, err);
}

static void release(struct supervised *run)
{
	struct kto *kto = run->own;

	if (kto) {
		dataset_release(&kto->train);
		dataset_release(&kto->eval);
		reference_release(&kto->reference);
	}
	free(kto);
}

/* z = max(0, the mean log-ratio of mismatched completions). */
static void look(struct supervised *run, const struct dataset *dataset, const int *rows, int n)
{
	struct kto *kto = run->own;
	bool is_eval = dataset == &run->eval;
	const double *reference = is_eval ? kto->reference.eval : kto->reference.train;
	double *numbers = supervised_measure(run, run->model, is_eval ? &kto->eval : &kto->train,
					     rows, n, dpo_measure_logprobs, 1, false);
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += numbers[i] - reference[2 * (size_t)(rows ? rows[i] : i) + 1];
	kto->z = fmax(0, sum / n);
	free(numbers);
}

/* --- the loss --- */

enum {
	LOSS,
	KL,
	REWARD_CHOSEN,
	REWARD_REJECTED,
	LOGPS_CHOSEN,
	LOGPS_REJECTED,
	N_CHOSEN,
	N_REJECTED,
	N_STATS
};

static void add_completion(const struct units *units, int i, double logprob, double *stats,
			   double *dlogprob)
{
	const struct supervised *run = units->run;
	const struct kto *kto = run->own;
	const double *reference =
		units->dataset == &run->eval ? kto->reference.eval : kto->reference.train;
	int row = units->rows[i];
	bool is_wanted = units->dataset->labels[row];
	double h = logprob - reference[2 * (size_t)row], beta = run->config->dpo.beta;
	double weight =
		is_wanted ? run->config->dpo.desirable_weight : run->config->dpo.undesirable_weight;

	stats[LOSS] += kto_loss(beta, weight, is_wanted, h, kto->z, dlogprob);
	stats[KL] += kto->z;
	stats[is_wanted ? REWARD_CHOSEN : REWARD_REJECTED] += beta * h;
	stats[is_wanted ? LOGPS_CHOSEN : LOGPS_REJECTED] += logprob;
	stats[is_wanted ? N_CHOSEN : N_REJECTED] += 1;
}

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	size_t mark = arena_mark(arena);
	struct targets targets;
	struct kept kept;
	double *logprobs = arena_alloc(arena, (size_t)n, sizeof *logprobs);
	double *dlogprobs = arena_alloc(arena, (size_t)n, sizeof *dlogprobs);

	targets_forward(&targets, units, first, n, &kept, arena, pool);
	targets_logprobs(&targets, units->model, logprobs, arena, pool);
	for (int i = 0; i < n; i++) {
		add_completion(units, first + i, logprobs[i], stats, &dlogprobs[i]);
		dlogprobs[i] /= units->weight;
	}
	targets_backward(&targets, units->model, &kept, dlogprobs, grads, arena, pool);
	arena_rewind(arena, mark);
}

static void measure(const struct units *units, int first, int n, double *numbers,
		    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	double *logprobs = arena_alloc(arena, (size_t)n, sizeof *logprobs), dlogprob;

	dpo_measure_logprobs(units, first, n, logprobs, arena, pool);
	memset(numbers, 0, (size_t)n * N_STATS * sizeof *numbers);
	for (int i = 0; i < n; i++)
		add_completion(units, first + i, logprobs[i], numbers + (size_t)i * N_STATS,
			       &dlogprob);
	arena_rewind(arena, mark);
}

static void add_metrics(const struct supervised *run, const double *means, bool is_eval,
			struct buf *line)
{
	(void)run;
	metrics_add(line, is_eval ? "eval/rewards/margins" : "rewards/margins",
		    means[REWARD_CHOSEN] - means[REWARD_REJECTED]);
}

static const struct stat stats[N_STATS] = {
	[LOSS] = {"loss", PER_WEIGHT},
	[KL] = {"kl", PER_WEIGHT},
	[REWARD_CHOSEN] = {"rewards/chosen", N_CHOSEN},
	[REWARD_REJECTED] = {"rewards/rejected", N_REJECTED},
	[LOGPS_CHOSEN] = {"logps/chosen", N_CHOSEN},
	[LOGPS_REJECTED] = {"logps/rejected", N_REJECTED},
	[N_CHOSEN] = {NULL, PER_WEIGHT},
	[N_REJECTED] = {NULL, PER_WEIGHT},
};

const struct supervised_task kto_task = {
	.command = COMMAND_DPO,
	.head = HEAD_LM,
	.stats = stats,
	.n_stats = N_STATS,
	.n_numbers = N_STATS,
	.create = dpo_create,
	.load_data = load_data,
	.begin = begin,
	.save_own = save_own,
	.release = release,
	.look = look,
	.microbatch = microbatch,
	.measure = measure,
	.add_metrics = add_metrics,
};

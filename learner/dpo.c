/* rlhf dpo: direct preference optimisation of a policy against a frozen reference,
 * from preference pairs (algorithms E.5); kto.c learns from single completions. */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "learner/dpo_private.h"
#include "learner/learner.h"
#include "learner/preference.h"
#include "learner/targets.h"

struct dpo {
	struct dpo_loss loss;
	struct reference reference;
};

enum status dpo_create(struct supervised *run, struct error *err)
{
	return supervised_load_model(run, run->config->model.path, false, err);
}

void dpo_measure_logprobs(const struct units *units, int first, int n, double *numbers,
			  struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct targets targets;

	targets_forward(&targets, units, first, n, NULL, arena, pool);
	targets_logprobs(&targets, units->model, numbers, arena, pool);
	arena_rewind(arena, mark);
}

static enum status load_data(struct supervised *run, struct dataset *dataset, const char *path,
			     struct error *err)
{
	struct row_context context = supervised_rows(run);

	return dataset_load_pairs(dataset, path, &context, run->config,
				  model_position_limit(&run->model->config), supervised_eos(run),
				  true, run->pool, err);
}

/* --- the reference --- */

static double *measure_reference(struct supervised *run, const struct model *model, bool is_eval)
{
	const struct dataset *dataset = is_eval ? &run->eval : &run->train;

	return supervised_measure(run, model, dataset, NULL, dataset->n, dpo_measure_logprobs, 2,
				  true);
}

static enum dpo_type type_of(const char *name)
{
	static const struct {
		const char *name;
		enum dpo_type type;
	} types[] = {{"sigmoid", DPO_SIGMOID},
		     {"robust", DPO_ROBUST},
		     {"hinge", DPO_HINGE},
		     {"ipo", DPO_IPO}};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].type;
	die("dpo.loss_type %s has no loss", name);
}

static enum status begin(struct supervised *run, struct error *err)
{
	const struct run_config *config = run->config;
	struct dpo *dpo = xcalloc(1, sizeof *dpo);

	run->own = dpo;
	dpo->loss = (struct dpo_loss){.type = type_of(config->dpo.loss_type),
				      .beta = config->dpo.beta,
				      .label_smoothing = config->dpo.label_smoothing,
				      .ipo_length_norm = config->dpo.ipo_length_norm};
	return reference_begin(&dpo->reference, run, measure_reference, err);
}

static enum status save_own(const struct supervised *run, const char *dir, struct error *err)
{
	const struct dpo *dpo = run->own;

	return reference_save(&dpo->reference, run, dir, err);
}

static void release(struct supervised *run)
{
	struct dpo *dpo = run->own;

	if (dpo)
		reference_release(&dpo->reference);
	free(dpo);
}

/* --- the loss --- */

enum {
	LOSS,
	ACCURACY,
	MARGIN,
	REWARD_CHOSEN,
	REWARD_REJECTED,
	LOGPS_CHOSEN,
	LOGPS_REJECTED,
	N_STATS
};

/* Loss of pair i of the units by its two log-probabilities; ties count as wrong. */
static void add_pair(const struct units *units, int i, const double logprobs[2], double *stats,
		     double dlogprobs[2])
{
	const struct dpo *dpo = units->run->own;
	const struct dataset *dataset = units->dataset;
	int row = units->rows[i];
	const double *all =
		dataset == &units->run->eval ? dpo->reference.eval : dpo->reference.train;
	const double *reference = all + 2 * (size_t)row;
	const double h[2] = {logprobs[0] - reference[0], logprobs[1] - reference[1]};
	const int n[2] = {targets_count(&dataset->rows[row]),
			  targets_count(&dataset->rejected[row])};

	stats[LOSS] += dpo_loss(&dpo->loss, h, n, dlogprobs);
	stats[ACCURACY] += h[0] > h[1];
	stats[MARGIN] += dpo->loss.beta * (h[0] - h[1]);
	stats[REWARD_CHOSEN] += dpo->loss.beta * h[0];
	stats[REWARD_REJECTED] += dpo->loss.beta * h[1];
	stats[LOGPS_CHOSEN] += logprobs[0];
	stats[LOGPS_REJECTED] += logprobs[1];
}

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	size_t mark = arena_mark(arena);
	struct targets targets;
	struct kept kept;
	double *logprobs = arena_alloc(arena, 2 * (size_t)n, sizeof *logprobs);
	double *dlogprobs = arena_alloc(arena, 2 * (size_t)n, sizeof *dlogprobs);

	targets_forward(&targets, units, first, n, &kept, arena, pool);
	targets_logprobs(&targets, units->model, logprobs, arena, pool);
	for (int i = 0; i < n; i++) {
		add_pair(units, first + i, logprobs + 2 * i, stats, dlogprobs + 2 * i);
		dlogprobs[2 * i] /= units->weight;
		dlogprobs[2 * i + 1] /= units->weight;
	}
	targets_backward(&targets, units->model, &kept, dlogprobs, grads, arena, pool);
	arena_rewind(arena, mark);
}

static void measure(const struct units *units, int first, int n, double *numbers,
		    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	double *logprobs = arena_alloc(arena, 2 * (size_t)n, sizeof *logprobs), dlogprobs[2];

	dpo_measure_logprobs(units, first, n, logprobs, arena, pool);
	memset(numbers, 0, (size_t)n * N_STATS * sizeof *numbers);
	for (int i = 0; i < n; i++)
		add_pair(units, first + i, logprobs + 2 * i, numbers + (size_t)i * N_STATS,
			 dlogprobs);
	arena_rewind(arena, mark);
}

static const struct stat stats[N_STATS] = {
	[LOSS] = {"loss", PER_WEIGHT},
	[ACCURACY] = {"rewards/accuracies", PER_WEIGHT},
	[MARGIN] = {"rewards/margins", PER_WEIGHT},
	[REWARD_CHOSEN] = {"rewards/chosen", PER_WEIGHT},
	[REWARD_REJECTED] = {"rewards/rejected", PER_WEIGHT},
	[LOGPS_CHOSEN] = {"logps/chosen", PER_WEIGHT},
	[LOGPS_REJECTED] = {"logps/rejected", PER_WEIGHT},
};

static const struct supervised_task *choose(const struct run_config *config);

const struct supervised_task dpo_task = {
	.command = COMMAND_DPO,
	.example = "rlhf dpo dpo.json --set dpo.beta=0.05 --ranks 2",
	.head = HEAD_LM,
	.stats = stats,
	.n_stats = N_STATS,
	.n_numbers = N_STATS,
	.choose = choose,
	.create = dpo_create,
	.load_data = load_data,
	.begin = begin,
	.save_own = save_own,
	.release = release,
	.microbatch = microbatch,
	.measure = measure,
};

static const struct supervised_task *choose(const struct run_config *config)
{
	return strcmp(config->dpo.loss_type, "kto") == 0 ? &kto_task : &dpo_task;
}

int dpo_main(int argc, char **argv)
{
	return supervised_main(&dpo_task, argc, argv);
}

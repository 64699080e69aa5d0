/* rlhf reward-train: a reward model from preference pairs, by the Bradley-Terry loss
 * with the margins of the rows (algorithms D.1), from a language model or another
 * reward model.  Sequences 2 i and 2 i + 1 of a batch are the chosen and the rejected
 * of pair i. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "learner/calibration.h"
#include "learner/learner.h"
#include "learner/pooled.h"
#include "learner/preference.h"

/* --- the model --- */

static enum status create(struct supervised *run, struct error *err)
{
	const char *path = run->config->model.path;
	enum status status = supervised_load_model(run, path, true, err);

	if (status == STATUS_OK && run->model->config.n_labels != 1)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: has %d labels, expected a reward model with one", path,
				 run->model->config.n_labels);
	return status;
}

static enum status load_data(struct supervised *run, struct dataset *dataset, const char *path,
			     struct error *err)
{
	struct row_context context = supervised_rows(run);

	return dataset_load_pairs(dataset, path, &context, run->config,
				  model_position_limit(&run->model->config), supervised_eos(run),
				  false, run->pool, err);
}

/* --- the loss --- */

enum {
	LOSS,
	ACCURACY,
	MARGIN,
	REWARD_CHOSEN,
	REWARD_REJECTED,
	N_STATS,
	CHOSEN = N_STATS, /* numbers of a pair: its two scores */
	REJECTED,
	N_NUMBERS
};

/* Adds pair i of the units by its two scores; dscores are the derivatives of its loss.
 * Ties count as wrong. */
static void add_pair(const struct units *units, int i, const float *scores, double *stats,
		     double dscores[2])
{
	double center = units->run->config->reward_train.center_rewards_coefficient;
	double chosen = scores[0], rejected = scores[1], sum = chosen + rejected, dx;
	double margin = units->dataset->margins[units->rows[i]];

	stats[LOSS] += preference_loss(chosen - rejected - margin, &dx) + center * sum * sum;
	dscores[0] = dx + 2 * center * sum;
	dscores[1] = -dx + 2 * center * sum;
	stats[ACCURACY] += chosen > rejected;
	stats[MARGIN] += chosen - rejected;
	stats[REWARD_CHOSEN] += chosen;
	stats[REWARD_REJECTED] += rejected;
}

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	size_t mark = arena_mark(arena);
	struct pooled pooled;
	struct kept kept;
	float *dscores = arena_alloc(arena, 2 * (size_t)n, sizeof *dscores);

	pooled_forward(&pooled, units, first, n, &kept, arena, pool);
	for (int i = 0; i < n; i++) {
		double d[2];

		add_pair(units, first + i, pooled.scores + 2 * i, stats, d);
		dscores[2 * i] = (float)(d[0] / units->weight);
		dscores[2 * i + 1] = (float)(d[1] / units->weight);
	}
	pooled_backward(&pooled, units->model, &kept, dscores, grads, arena, pool);
	arena_rewind(arena, mark);
}

static void measure(const struct units *units, int first, int n, double *numbers,
		    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct pooled pooled;

	pooled_forward(&pooled, units, first, n, NULL, arena, pool);
	memset(numbers, 0, (size_t)n * N_NUMBERS * sizeof *numbers);
	for (int i = 0; i < n; i++) {
		double *pair = numbers + (size_t)i * N_NUMBERS, dscores[2];

		add_pair(units, first + i, pooled.scores + 2 * i, pair, dscores);
		pair[CHOSEN] = pooled.scores[2 * i];
		pair[REJECTED] = pooled.scores[2 * i + 1];
	}
	arena_rewind(arena, mark);
}

/* Mean and population deviation of the scores of all texts of the pairs. */
static void describe(const double *numbers, int n, struct buf *texts, const char **edits)
{
	double mean = 0, variance = 0;
	size_t second;

	for (int i = 0; i < n; i++)
		mean += numbers[i * N_NUMBERS + CHOSEN] + numbers[i * N_NUMBERS + REJECTED];
	mean /= 2.0 * n;
	for (int i = 0; i < n; i++)
		variance += pow(numbers[i * N_NUMBERS + CHOSEN] - mean, 2) +
			    pow(numbers[i * N_NUMBERS + REJECTED] - mean, 2);
	variance /= 2.0 * n;
	json_write_double(texts, mean);
	buf_append_char(texts, '\0');
	second = texts->length;
	json_write_double(texts, sqrt(variance));
	edits[0] = "reward_mean";
	edits[1] = texts->data;
	edits[2] = "reward_std";
	edits[3] = texts->data + second;
	edits[4] = NULL;
}

/* --- how the result does --- */

static void report(const struct supervised *run, struct buf *json)
{
	int n = run->eval.n;
	double *margins = xcalloc((size_t)n, sizeof *margins);

	for (int i = 0; i < n; i++)
		margins[i] = run->numbers[(size_t)i * N_NUMBERS + CHOSEN] -
			     run->numbers[(size_t)i * N_NUMBERS + REJECTED];
	calibration_report(margins, n, json);
	free(margins);
}

static const struct stat stats[N_STATS] = {
	[LOSS] = {"loss", PER_WEIGHT},
	[ACCURACY] = {"accuracy", PER_WEIGHT},
	[MARGIN] = {"margin", PER_WEIGHT},
	[REWARD_CHOSEN] = {"chosen_rewards", PER_WEIGHT},
	[REWARD_REJECTED] = {"rejected_rewards", PER_WEIGHT},
};

const struct supervised_task reward_train_task = {
	.command = COMMAND_REWARD_TRAIN,
	.example = "rlhf reward-train reward.json --ranks 2",
	.head = HEAD_SCORE,
	.stats = stats,
	.n_stats = N_STATS,
	.n_numbers = N_NUMBERS,
	.create = create,
	.load_data = load_data,
	.prepare = pooled_choose_pad,
	.microbatch = microbatch,
	.measure = measure,
	.describe = describe,
	.report = report,
};

int reward_train_main(int argc, char **argv)
{
	return supervised_main(&reward_train_task, argc, argv);
}

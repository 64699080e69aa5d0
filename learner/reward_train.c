/* rlhf reward-train: a reward model from preference pairs, by the Bradley-Terry
 * loss (algorithms D.1), from a language model or another reward model.
 *
 * The score of a sequence is read where transformers reads it: at the last
 * position whose id is not pad_token_id.  With a pad that is an end token, scores
 * of finished texts would be read one token early, so a pad of its own is chosen
 * when the run begins and saved with the model. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/model/head.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/stop_ids.h"
#include "learner/learner.h"
#include "learner/preference.h"
#include "learner/supervised.h"

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
				  run->model->config.max_positions, err);
}

/* --- pad_token_id --- */

static void mark_rows(uint8_t *used, const struct row *rows, int n)
{
	for (int i = 0; rows && i < n; i++)
		for (int k = 0; k < rows[i].n; k++)
			used[rows[i].ids[k]] = 1;
}

static void mark_id(uint8_t *used, int n_vocab, int32_t id)
{
	if (id >= 0 && id < n_vocab)
		used[id] = 1;
}

static bool is_free(const uint8_t *ends, int n_vocab, int32_t id)
{
	return id >= 0 && id < n_vocab && !ends[id];
}

/* The model's pad, the tokenizer's, its unknown token: the first that ends no
 * text.  Else the highest id that no row uses; -1 if all are used. */
static int32_t choose_pad(const struct supervised *run, const struct stop_ids *stop)
{
	int n_vocab = run->model->config.n_vocab;
	uint8_t *taken = xcalloc((size_t)n_vocab, 1);
	int32_t wanted[3] = {run->model->config.pad_id, -1, -1}, pad = -1;

	mark_id(taken, n_vocab, supervised_eos(run));
	for (int i = 0; i < stop->n; i++)
		mark_id(taken, n_vocab, stop->ids[i]);
	if (run->tokenizer) {
		mark_id(taken, n_vocab, tokenizer_eos(run->tokenizer));
		wanted[1] = tokenizer_pad(run->tokenizer);
		wanted[2] = tokenizer_token_id(run->tokenizer, "<unk>", 5);
	}
	for (int i = 0; i < 3 && pad < 0; i++)
		if (is_free(taken, n_vocab, wanted[i]))
			pad = wanted[i];
	if (pad < 0) {
		mark_id(taken, n_vocab, run->model->config.bos_id);
		mark_rows(taken, run->train.rows, run->train.n);
		mark_rows(taken, run->train.rejected, run->train.n);
		mark_rows(taken, run->eval.rows, run->eval.n);
		mark_rows(taken, run->eval.rejected, run->eval.n);
		for (pad = n_vocab - 1; pad >= 0 && taken[pad]; pad--)
			;
	}
	free(taken);
	return pad;
}

static enum status prepare(struct supervised *run, struct error *err)
{
	struct stop_ids stop;
	char value[16] = "null";
	enum status status =
		stop_ids_read(&stop, run->config->model.path, &run->model->config, err);
	int32_t pad;

	if (status != STATUS_OK)
		return status;
	pad = choose_pad(run, &stop);
	if (pad >= 0)
		snprintf(value, sizeof value, "%d", pad);
	else
		log_warn("every id of the vocabulary is used: the reward model has no pad_token_id "
			 "and transformers will score its texts one at a time");
	run->model->config.pad_id = pad;
	return json_edit(&run->config_text, "pad_token_id", value, err);
}

/* --- the loss --- */

enum { LOSS, ACCURACY, MARGIN, N_STATS, CHOSEN = N_STATS, REJECTED, N_NUMBERS };

static double one(const struct dataset *dataset, int row)
{
	(void)dataset;
	(void)row;
	return 1;
}

/* Sequences 2 i and 2 i + 1 are the chosen and the rejected of pair i. */
struct part {
	struct batch batch;
	int *rows;     /* [2 n] position that is scored */
	float *hidden; /* [T, C] */
	float *scores; /* [2 n] */
};

static void part_forward(struct part *part, const struct units *units, int first, int n,
			 struct kept *kept, struct arena *arena, struct pool *pool)
{
	const struct model *model = units->model;
	int n_seqs = 2 * n;

	supervised_batch(&part->batch, units, first, n, arena);
	part->rows = arena_alloc(arena, (size_t)n_seqs, sizeof *part->rows);
	part->scores = arena_alloc(arena, (size_t)n_seqs, sizeof *part->scores);
	for (int s = 0; s < n_seqs; s++) {
		int begin = part->batch.offsets[s], end = part->batch.offsets[s + 1];

		part->rows[s] = begin + head_pooled_position(part->batch.ids + begin, end - begin,
							     model->config.pad_id);
	}
	part->hidden = arena_alloc(
		arena, (size_t)part->batch.offsets[n_seqs] * (size_t)model->config.n_channels,
		sizeof *part->hidden);
	transformer_forward(model, &part->batch, part->hidden, kept, arena, pool);
	head_score(model, part->hidden, part->rows, n_seqs, part->scores, arena, pool);
}

/* Ties count as wrong. */
static double add_pair(const float *scores, double *stats)
{
	double dchosen;

	stats[LOSS] += preference_loss(scores[0], scores[1], &dchosen);
	stats[ACCURACY] += scores[0] > scores[1];
	stats[MARGIN] += (double)scores[0] - scores[1];
	return dchosen;
}

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	const struct model *model = units->model;
	size_t mark = arena_mark(arena);
	struct part part;
	struct kept kept;
	float *dscores, *dhidden;

	part_forward(&part, units, first, n, &kept, arena, pool);
	dscores = arena_alloc(arena, 2 * (size_t)n, sizeof *dscores);
	dhidden = arena_calloc(arena,
			       (size_t)part.batch.offsets[2 * n] * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	for (int i = 0; i < n; i++) {
		double dchosen = add_pair(part.scores + 2 * i, stats);

		dscores[2 * i] = (float)(dchosen / units->weight);
		dscores[2 * i + 1] = -dscores[2 * i];
	}
	head_score_backward(model, part.hidden, part.rows, 2 * n, dscores, dhidden, grads, arena,
			    pool);
	transformer_backward(model, &part.batch, &kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

static void measure(const struct units *units, int first, int n, double *numbers,
		    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct part part;

	part_forward(&part, units, first, n, NULL, arena, pool);
	for (int i = 0; i < n; i++) {
		double *pair = numbers + (size_t)i * N_NUMBERS;

		memset(pair, 0, N_NUMBERS * sizeof *pair);
		add_pair(part.scores + 2 * i, pair);
		pair[CHOSEN] = part.scores[2 * i];
		pair[REJECTED] = part.scores[2 * i + 1];
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
	log_info("scores of the %d pairs: mean %.4f, deviation %.4f", n, mean, sqrt(variance));
}

int reward_train_main(int argc, char **argv)
{
	static const struct stat stats[N_STATS] = {
		{"loss", PER_WEIGHT}, {"accuracy", PER_WEIGHT}, {"margin", PER_WEIGHT}};
	static const struct supervised_task task = {
		.command = COMMAND_REWARD_TRAIN,
		.example = "rlhf reward-train reward.json --ranks 2",
		.head = HEAD_SCORE,
		.stats = stats,
		.n_stats = N_STATS,
		.n_numbers = N_NUMBERS,
		.create = create,
		.load_data = load_data,
		.prepare = prepare,
		.weight = one,
		.microbatch = microbatch,
		.measure = measure,
		.describe = describe,
	};

	return supervised_main(&task, argc, argv);
}

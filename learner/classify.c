/* rlhf classify: a classifier from labelled texts, by the cross-entropy of the label
 * given the scores at one position (algorithms D.7), from a language model, which gets
 * a new head, or from another classifier.
 *
 * A new head has a row for each label of data.train: names in the order of their bytes,
 * or the numbers 0 to the largest.  They are written into config.json as id2label, and
 * from there they are read again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/model/head.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_labels.h"
#include "learner/confusion.h"
#include "learner/embeddings.h"
#include "learner/freeze.h"
#include "learner/learner.h"
#include "learner/pooled.h"

/* --- the model and its labels --- */

/* id2label and label2id of config.json. */
static enum status write_labels(struct buf *config_text, const struct hf_labels *labels,
				struct error *err)
{
	struct buf names = BUF_INIT, numbers = BUF_INIT;
	enum status status;

	for (int i = 0; i < labels->n; i++) {
		const char *name = labels->names[i];

		buf_printf(&names, "%s\"%d\": ", i ? ", " : "{", i);
		json_write_string(&names, name, strlen(name));
		buf_append_string(&numbers, i ? ", " : "{");
		json_write_string(&numbers, name, strlen(name));
		buf_printf(&numbers, ": %d", i);
	}
	buf_append_char(&names, '}');
	buf_append_char(&numbers, '}');
	status = json_edit(config_text, "id2label", names.data, err);
	if (status == STATUS_OK)
		status = json_edit(config_text, "label2id", numbers.data, err);
	buf_release(&names);
	buf_release(&numbers);
	return status;
}

static enum status create(struct supervised *run, struct error *err)
{
	const char *path = run->config->model.path;
	struct hf_load_options options = {
		.head = HEAD_SCORE,
		.create_score = true,
		.seed = (uint64_t)run->config->run.seed,
		.is_outline = run->is_planned};
	struct hf_labels labels = {0};
	struct model_config found;
	enum status status = hf_read_config(&found, path, err);
	bool is_new = status == STATUS_OK && found.head == HEAD_LM;

	if (is_new)
		status = dataset_find_labels(&labels, run->config->data.train, err);
	options.n_labels = labels.n;
	if (status == STATUS_OK)
		status = hf_load(&run->model, path, &options, run->pool, err);
	if (status == STATUS_OK)
		status = hf_read_config_text(&run->config_text, path, err);
	if (status == STATUS_OK && is_new)
		status = write_labels(&run->config_text, &labels, err);
	hf_labels_release(&labels);
	return status;
}

static enum status freeze(struct supervised *run, struct error *err)
{
	return freeze_attach(run->model, run->config->classify.freeze, err);
}

static enum status load_data(struct supervised *run, struct dataset *dataset, const char *path,
			     struct error *err)
{
	struct row_context context = supervised_rows(run);
	struct hf_labels labels;
	enum status status =
		hf_labels_parse(&labels, run->config_text.data, run->config_text.length,
				run->config->model.path, run->model->config.n_labels, err);

	if (status == STATUS_OK && (labels.n < 2 || labels.problem != HF_PROBLEM_ONE_OF))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: a model that chooses one of %d label%s, expected one of at "
				   "least 2; reward-train trains scores",
				   run->config->model.path, labels.n, labels.n == 1 ? "" : "s");
	if (status == STATUS_OK)
		status = dataset_load_labelled(dataset, path, &context, run->config,
					       model_position_limit(&run->model->config), &labels,
					       run->pool, err);
	hf_labels_release(&labels);
	return status;
}

/* --- the loss --- */

enum { LOSS, ACCURACY, N_STATS, PREDICTED = N_STATS, N_NUMBERS };

/* Cross-entropy of label given scores [k], in *loss; p [k]: their softmax.  Returns the
 * label of the largest score, the first of equals. */
static int cross_entropy(const float *scores, int k, int label, double *loss, double *p)
{
	double sum = 0;
	int best = 0;

	for (int i = 1; i < k; i++)
		best = scores[i] > scores[best] ? i : best;
	for (int i = 0; i < k; i++)
		sum += p[i] = exp((double)scores[i] - scores[best]);
	for (int i = 0; i < k; i++)
		p[i] /= sum;
	*loss = log(sum) - ((double)scores[label] - scores[best]);
	return best;
}

/* Adds row i of the units by its scores; returns what is predicted. */
static int add_row(const struct units *units, int i, const float *scores, double *stats, double *p)
{
	int label = units->dataset->labels[units->rows[i]];
	double loss;
	int best = cross_entropy(scores, units->model->config.n_labels, label, &loss, p);

	stats[LOSS] += loss;
	stats[ACCURACY] += best == label;
	return best;
}

/* Losses of units first .. first+n-1 by their scores [n, k]; derivatives into dscores. */
static void add_rows(const struct units *units, int first, int n, const float *scores,
		     double *stats, float *dscores, struct arena *arena)
{
	size_t mark = arena_mark(arena), k = (size_t)units->model->config.n_labels;
	double *p = arena_alloc(arena, k, sizeof *p);

	for (int i = 0; i < n; i++) {
		add_row(units, first + i, scores + (size_t)i * k, stats, p);
		p[units->dataset->labels[units->rows[first + i]]] -= 1;
		for (size_t j = 0; j < k; j++)
			dscores[(size_t)i * k + j] = (float)(p[j] / units->weight);
	}
	arena_rewind(arena, mark);
}

/* numbers [n][N_NUMBERS] of units by their scores [n, k]. */
static void measure_rows(const struct units *units, int first, int n, const float *scores,
			 double *numbers, struct arena *arena)
{
	size_t mark = arena_mark(arena), k = (size_t)units->model->config.n_labels;
	double *p = arena_alloc(arena, k, sizeof *p);

	memset(numbers, 0, (size_t)n * N_NUMBERS * sizeof *numbers);
	for (int i = 0; i < n; i++, numbers += N_NUMBERS)
		numbers[PREDICTED] = add_row(units, first + i, scores + (size_t)i * k, numbers, p);
	arena_rewind(arena, mark);
}

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	size_t mark = arena_mark(arena),
	       n_scores = (size_t)n * (size_t)units->model->config.n_labels;
	float *dscores = arena_alloc(arena, n_scores, sizeof *dscores);
	struct pooled pooled;
	struct kept kept;

	pooled_forward(&pooled, units, first, n, &kept, arena, pool);
	add_rows(units, first, n, pooled.scores, stats, dscores, arena);
	pooled_backward(&pooled, units->model, &kept, dscores, grads, arena, pool);
	arena_rewind(arena, mark);
}

static void measure(const struct units *units, int first, int n, double *numbers,
		    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct pooled pooled;

	pooled_forward(&pooled, units, first, n, NULL, arena, pool);
	measure_rows(units, first, n, pooled.scores, numbers, arena);
	arena_rewind(arena, mark);
}

/* --- with a frozen backbone --- */

struct frozen {
	struct embeddings train, eval;
};

static struct embeddings *embeddings_of(const struct supervised *run, const struct dataset *dataset)
{
	struct frozen *frozen = run->own;

	return dataset == &run->eval ? &frozen->eval : &frozen->train;
}

static enum status begin(struct supervised *run, struct error *err)
{
	struct frozen *frozen = xcalloc(1, sizeof *frozen);

	(void)err;
	run->own = frozen;
	embeddings_init(&frozen->train, &run->train, run->model, run->session.world);
	embeddings_init(&frozen->eval, &run->eval, run->model, run->session.world);
	return STATUS_OK;
}

static void release(struct supervised *run)
{
	struct frozen *frozen = run->own;

	if (frozen) {
		embeddings_release(&frozen->train);
		embeddings_release(&frozen->eval);
	}
	free(frozen);
}

static void look(struct supervised *run, const struct dataset *dataset, const int *rows, int n)
{
	embeddings_look(embeddings_of(run, dataset), run, rows, n);
}

/* Embeddings [n, C] and scores [n, k] of units first .. first+n-1. */
struct scored {
	float *embeddings, *scores;
};

static struct scored score(const struct units *units, int first, int n, struct arena *arena,
			   struct pool *pool)
{
	const struct model_config *config = &units->model->config;
	struct scored scored = {
		arena_alloc(arena, (size_t)n * (size_t)config->n_channels, sizeof(float)),
		arena_alloc(arena, (size_t)n * (size_t)config->n_labels, sizeof(float))};

	embeddings_get(embeddings_of(units->run, units->dataset), units, first, n,
		       scored.embeddings, arena, pool);
	head_score(units->model, scored.embeddings, NULL, n, scored.scores, arena, pool);
	return scored;
}

static void microbatch_of_head(void *context, int first, int n, float *grads, double *stats,
			       struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	const struct model_config *config = &units->model->config;
	size_t mark = arena_mark(arena);
	float *dscores = arena_alloc(arena, (size_t)n * (size_t)config->n_labels, sizeof *dscores);
	float *dhidden =
		arena_calloc(arena, (size_t)n * (size_t)config->n_channels, sizeof *dhidden);
	struct scored scored = score(units, first, n, arena, pool);

	add_rows(units, first, n, scored.scores, stats, dscores, arena);
	head_score_backward(units->model, scored.embeddings, NULL, n, dscores, dhidden, grads,
			    arena, pool);
	arena_rewind(arena, mark);
}

static void measure_by_head(const struct units *units, int first, int n, double *numbers,
			    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct scored scored = score(units, first, n, arena, pool);

	measure_rows(units, first, n, scored.scores, numbers, arena);
	arena_rewind(arena, mark);
}

/* --- how it does --- */

static void count(const struct supervised *run, struct confusion *confusion)
{
	confusion_init(confusion, run->model->config.n_labels);
	for (int i = 0; i < run->eval.n; i++)
		confusion_add(confusion, run->eval.labels[i],
			      (int)run->numbers[(size_t)i * N_NUMBERS + PREDICTED]);
}

static void add_metrics(const struct supervised *run, const double *means, bool is_eval,
			struct buf *line)
{
	struct confusion confusion;

	(void)means;
	if (!is_eval)
		return;
	count(run, &confusion);
	metrics_add(line, "eval/f1", confusion_macro_f1(&confusion));
	confusion_release(&confusion);
}

static void report(const struct supervised *run, struct buf *json)
{
	struct confusion confusion;
	struct hf_labels labels;
	struct error err;

	count(run, &confusion);
	if (hf_labels_parse(&labels, run->config_text.data, run->config_text.length, "config.json",
			    confusion.n, &err) != STATUS_OK)
		die("%s", err.text);
	confusion_report(&confusion, (const char *const *)labels.names, json);
	hf_labels_release(&labels);
	confusion_release(&confusion);
}

/* --- the command --- */

static const struct stat stats[N_STATS] = {
	[LOSS] = {"loss", PER_WEIGHT},
	[ACCURACY] = {"accuracy", PER_WEIGHT},
};

#define CLASSIFY_TASK                                                                              \
	.command = COMMAND_CLASSIFY, .head = HEAD_SCORE, .stats = stats, .n_stats = N_STATS,       \
	.n_numbers = N_NUMBERS, .create = create, .freeze = freeze, .load_data = load_data,        \
	.prepare = pooled_choose_pad, .add_metrics = add_metrics, .report = report

static const struct supervised_task head_task = {
	CLASSIFY_TASK,
	.begin = begin,
	.release = release,
	.look = look,
	.microbatch = microbatch_of_head,
	.measure = measure_by_head,
};

static const struct supervised_task *choose(const struct run_config *config);

const struct supervised_task classify_task = {
	CLASSIFY_TASK,	    .example = "rlhf classify classify.json --set classify.freeze=backbone",
	.choose = choose,   .microbatch = microbatch,
	.measure = measure,
};

static const struct supervised_task *choose(const struct run_config *config)
{
	return freeze_is_backbone(config->classify.freeze) ? &head_task : &classify_task;
}

int classify_main(int argc, char **argv)
{
	return supervised_main(&classify_task, argc, argv);
}

/* See language_loss.h. */
#include "learner/language_loss.h"

#include <math.h>
#include <string.h>

#include "common/model/head.h"

enum { LOSS, ACCURACY, ENTROPY };

const struct stat language_stats[N_LANGUAGE_STATS] = {
	[LOSS] = {"loss", PER_WEIGHT},
	[ACCURACY] = {"mean_token_accuracy", PER_WEIGHT},
	[ENTROPY] = {"entropy", PER_WEIGHT},
};

double language_weight(const struct dataset *dataset, int row)
{
	int n = 0;

	for (int i = 1; i < dataset->rows[row].n; i++)
		n += row_is_target(&dataset->rows[row], i);
	return n;
}

/* Sequences as inputs and targets: after hidden row rows[i] comes targets[i]. */
struct part {
	struct batch batch;
	int *rows;
	int32_t *targets;
	int n;
	int *ends;     /* [n_seqs] targets of the sequences up to here */
	float *hidden; /* [T, C] */
	uint8_t *is_top;
};

static void add_targets(struct part *part, const struct row *row, int offset)
{
	for (int i = 1; i < row->n; i++) {
		if (!row_is_target(row, i))
			continue;
		part->rows[part->n] = offset + i - 1;
		part->targets[part->n++] = row->ids[i];
	}
}

static void part_forward(struct part *part, const struct units *units, int first, int n,
			 struct kept *kept, struct arena *arena, struct pool *pool)
{
	const struct model *model = units->model;
	size_t t;

	supervised_batch(&part->batch, units, first, n, arena);
	t = (size_t)part->batch.offsets[n];
	part->rows = arena_alloc(arena, t, sizeof *part->rows);
	part->targets = arena_alloc(arena, t, sizeof *part->targets);
	part->ends = arena_alloc(arena, (size_t)n, sizeof *part->ends);
	part->n = 0;
	for (int s = 0; s < n; s++) {
		add_targets(part, &units->dataset->rows[units->rows[first + s]],
			    part->batch.offsets[s]);
		part->ends[s] = part->n;
	}
	part->is_top = arena_alloc(arena, (size_t)part->n, sizeof *part->is_top);
	part->hidden = arena_alloc(arena, t * (size_t)model->config.n_channels, sizeof(float));
	transformer_forward(model, &part->batch, part->hidden, kept, arena, pool);
}

struct cross_entropy {
	double weight; /* targets of the minibatch */
	const uint8_t *is_top;
	double *stats;
};

static void cross_entropy(void *context, int first, int n, const float *logprob,
			  const float *entropy, float *dlogprob)
{
	const struct cross_entropy *loss = context;

	for (int i = 0; i < n; i++) {
		loss->stats[LOSS] -= logprob[i];
		loss->stats[ACCURACY] += loss->is_top[first + i];
		loss->stats[ENTROPY] += entropy[i];
		dlogprob[i] = (float)(-1 / loss->weight);
	}
}

void language_microbatch(void *context, int first, int n, float *grads, double *stats,
			 struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	const struct model *model = units->model;
	struct cross_entropy loss = {.weight = units->weight, .stats = stats};
	size_t mark = arena_mark(arena);
	struct part part;
	struct kept kept;
	float *dhidden;

	part_forward(&part, units, first, n, &kept, arena, pool);
	loss.is_top = part.is_top;
	dhidden = arena_calloc(arena,
			       (size_t)part.batch.offsets[n] * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	head_train(model, part.hidden, part.rows, part.targets, part.n, 1, NULL, cross_entropy,
		   &loss, part.is_top, dhidden, grads, arena, pool);
	transformer_backward(model, &part.batch, &kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

void language_measure(const struct units *units, int first, int n, double *numbers,
		      struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct part part;
	float *logprob, *entropy;

	part_forward(&part, units, first, n, NULL, arena, pool);
	logprob = arena_alloc(arena, (size_t)part.n, sizeof *logprob);
	entropy = arena_alloc(arena, (size_t)part.n, sizeof *entropy);
	head_logprobs(units->model, part.hidden, part.rows, part.targets, part.n, 1, NULL, logprob,
		      entropy, part.is_top, arena, pool);
	memset(numbers, 0, (size_t)n * N_LANGUAGE_STATS * sizeof *numbers);
	for (int s = 0, k = 0; s < n; s++, numbers += N_LANGUAGE_STATS) {
		for (; k < part.ends[s]; k++) {
			numbers[LOSS] -= logprob[k];
			numbers[ACCURACY] += part.is_top[k];
			numbers[ENTROPY] += entropy[k];
		}
	}
	arena_rewind(arena, mark);
}

void language_add_metrics(const double *means, bool is_eval, struct buf *line)
{
	if (is_eval)
		metrics_add(line, "eval/perplexity", exp(means[LOSS]));
}

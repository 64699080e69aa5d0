/* See language_loss.h. */
#include "learner/language_loss.h"

#include <math.h>
#include <string.h>

#include "common/model/head.h"
#include "learner/targets.h"

enum { LOSS, ACCURACY, ENTROPY };

const struct stat language_stats[N_LANGUAGE_STATS] = {
	[LOSS] = {"loss", PER_WEIGHT},
	[ACCURACY] = {"mean_token_accuracy", PER_WEIGHT},
	[ENTROPY] = {"entropy", PER_WEIGHT},
};

double language_weight(const struct dataset *dataset, int row)
{
	return targets_count(&dataset->rows[row]);
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
	struct targets part;
	struct kept kept;
	uint8_t *is_top;
	float *dhidden;

	targets_forward(&part, units, first, n, &kept, arena, pool);
	loss.is_top = is_top = arena_alloc(arena, (size_t)part.n, sizeof *is_top);
	dhidden = arena_calloc(arena, (size_t)part.n * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	head_train(model, part.hidden, NULL, part.targets, part.n, 1, NULL, cross_entropy, &loss,
		   is_top, dhidden, grads, arena, pool);
	transformer_backward(model, &part.batch, &kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

void language_measure(const struct units *units, int first, int n, double *numbers,
		      struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct targets part;
	float *logprob, *entropy;
	uint8_t *is_top;

	targets_forward(&part, units, first, n, NULL, arena, pool);
	logprob = arena_alloc(arena, (size_t)part.n, sizeof *logprob);
	entropy = arena_alloc(arena, (size_t)part.n, sizeof *entropy);
	is_top = arena_alloc(arena, (size_t)part.n, sizeof *is_top);
	head_logprobs(units->model, part.hidden, NULL, part.targets, part.n, 1, NULL, logprob,
		      entropy, is_top, arena, pool);
	memset(numbers, 0, (size_t)n * N_LANGUAGE_STATS * sizeof *numbers);
	for (int s = 0, k = 0; s < n; s++, numbers += N_LANGUAGE_STATS) {
		for (; k < part.ends[s]; k++) {
			numbers[LOSS] -= logprob[k];
			numbers[ACCURACY] += is_top[k];
			numbers[ENTROPY] += entropy[k];
		}
	}
	arena_rewind(arena, mark);
}

void language_add_metrics(const struct supervised *run, const double *means, bool is_eval,
			  struct buf *line)
{
	(void)run;
	if (is_eval)
		metrics_add(line, "eval/perplexity", exp(means[LOSS]));
}

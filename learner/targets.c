/* See targets.h. */
#include "learner/targets.h"

#include "common/model/head.h"

int targets_count(const struct row *row)
{
	int n = 0;

	for (int i = 1; i < row->n; i++)
		n += row_is_target(row, i);
	return n;
}

static void add_targets(struct targets *targets, const struct row *row, int offset)
{
	for (int i = 1; i < row->n; i++) {
		if (!row_is_target(row, i))
			continue;
		targets->rows[targets->n] = offset + i - 1;
		targets->targets[targets->n++] = row->ids[i];
	}
}

void targets_forward(struct targets *targets, const struct units *units, int first, int n,
		     struct kept *kept, struct arena *arena, struct pool *pool)
{
	const struct dataset *dataset = units->dataset;
	const struct model *model = units->model;
	int n_seqs;
	size_t t;

	supervised_batch(&targets->batch, units, first, n, arena);
	n_seqs = targets->batch.n_seqs;
	t = (size_t)targets->batch.offsets[n_seqs];
	targets->rows = arena_alloc(arena, t, sizeof *targets->rows);
	targets->targets = arena_alloc(arena, t, sizeof *targets->targets);
	targets->ends = arena_alloc(arena, (size_t)n_seqs, sizeof *targets->ends);
	targets->n = 0;
	for (int s = 0; s < n_seqs; s++) {
		int unit = dataset->rejected ? s / 2 : s, index = units->rows[first + unit];
		bool is_rejected = dataset->rejected && s % 2 == 1;

		add_targets(targets,
			    is_rejected ? &dataset->rejected[index] : &dataset->rows[index],
			    targets->batch.offsets[s]);
		targets->ends[s] = targets->n;
	}
	targets->batch.wanted = targets->rows;
	targets->batch.n_wanted = targets->n;
	targets->hidden = arena_alloc(arena, (size_t)targets->n * (size_t)model->config.n_channels,
				      sizeof(float));
	transformer_forward(model, &targets->batch, targets->hidden, kept, arena, pool);
}

void targets_logprobs(const struct targets *targets, const struct model *model, double *logprobs,
		      struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	float *each = arena_alloc(arena, (size_t)targets->n, sizeof *each);

	head_logprobs(model, targets->hidden, NULL, targets->targets, targets->n, 1, NULL, each,
		      NULL, NULL, arena, pool);
	for (int s = 0, i = 0; s < targets->batch.n_seqs; s++) {
		logprobs[s] = 0;
		for (; i < targets->ends[s]; i++)
			logprobs[s] += each[i];
	}
	arena_rewind(arena, mark);
}

/* Derivatives that are known already. */
static void take_derivatives(void *context, int first, int n, const float *logprob,
			     const float *entropy, float *dlogprob)
{
	const float *known = context;

	(void)logprob;
	(void)entropy;
	for (int i = 0; i < n; i++)
		dlogprob[i] = known[first + i];
}

void targets_backward(const struct targets *targets, const struct model *model,
		      const struct kept *kept, const double *dlogprobs, float *grads,
		      struct arena *arena, struct pool *pool)
{
	const struct batch *batch = &targets->batch;
	size_t mark = arena_mark(arena), n = (size_t)targets->n;
	float *each = arena_alloc(arena, n, sizeof *each);
	float *dhidden = arena_calloc(arena, n * (size_t)model->config.n_channels, sizeof *dhidden);

	for (int s = 0, i = 0; s < batch->n_seqs; s++)
		for (; i < targets->ends[s]; i++)
			each[i] = (float)dlogprobs[s];
	head_train(model, targets->hidden, NULL, targets->targets, targets->n, 1, NULL,
		   take_derivatives, each, NULL, dhidden, grads, arena, pool);
	transformer_backward(model, batch, kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

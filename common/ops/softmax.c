/* Log-softmax over the vocabulary.
 *
 * One function, row_measure, takes the largest logit and the sum of
 * exp((z - max) / T); every log-probability is computed from those two, so that
 * a sampled token's has the same bits when it is computed again for training. */
#include "common/ops/softmax.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/ops/row_kernel.h"
#include "common/ops/split.h"

/* --- log-probabilities --- */

struct row_measure {
	float max;
	double log_sum;	 /* log sum_j exp((z_j - max) / T) */
	double mean_gap; /* sum_j p_j (z_j - max) / T, if asked for */
};

static struct row_measure row_measure(const float *z, int v, float inv_t, bool with_gap)
{
	const struct row_kernels *kernels = row_kernels();
	struct row_measure m = {.max = kernels->max(z, v)};
	double gap = 0;
	double sum = kernels->sum_weights(with_gap ? &gap : NULL, z, v, m.max, inv_t);
	m.log_sum = log(sum);
	m.mean_gap = gap / sum;
	return m;
}

static float row_logprob(const struct row_measure *m, float z, float inv_t)
{
	return (float)(((double)z - (double)m->max) * (double)inv_t - m->log_sum);
}

static float row_lse(const struct row_measure *m, float inv_t)
{
	return (float)((double)m->max * (double)inv_t + m->log_sum);
}

struct softmax {
	float *logprob, *entropy, *out_lse, *dz;
	const float *logits, *dlogprob, *lse;
	const int32_t *targets;
	uint8_t *is_top;
	int v;
	float inv_t;
};

static void logprob_rows(void *args, size_t begin, size_t end)
{
	const struct softmax *s = args;
	for (size_t r = begin; r < end; r++) {
		const float *z = s->logits + r * (size_t)s->v;
		struct row_measure m = row_measure(z, s->v, s->inv_t, s->entropy != NULL);
		s->logprob[r] = row_logprob(&m, z[s->targets[r]], s->inv_t);
		if (s->entropy)
			s->entropy[r] = (float)(m.log_sum - m.mean_gap);
		if (s->out_lse)
			s->out_lse[r] = row_lse(&m, s->inv_t);
	}
}

static void top_rows(void *args, size_t begin, size_t end)
{
	const struct softmax *s = args;
	for (size_t r = begin; r < end; r++) {
		const float *z = s->logits + r * (size_t)s->v;
		int target = s->targets[r];
		s->is_top[r] = z[target] >= row_kernels()->max(z, s->v) &&
			       (target == 0 || z[target] > row_kernels()->max(z, target));
	}
}

static void backward_rows(void *args, size_t begin, size_t end)
{
	const struct softmax *s = args;
	for (size_t r = begin; r < end; r++) {
		float *z = s->dz + r * (size_t)s->v;
		float factor = s->dlogprob[r] * s->inv_t;
		row_kernels()->softmax(z, s->v, s->inv_t, s->lse[r], -factor);
		z[s->targets[r]] += factor;
	}
}

void softmax_logprob(float *logprob, float *entropy, float *lse, const float *logits,
		     const int32_t *targets, int rows, int v, float inv_temperature,
		     struct pool *pool)
{
	struct softmax args = {.logprob = logprob,
			       .entropy = entropy,
			       .out_lse = lse,
			       .logits = logits,
			       .targets = targets,
			       .v = v,
			       .inv_t = inv_temperature};
	split_run(pool, (size_t)rows, split_rows((size_t)v), logprob_rows, &args);
}

void softmax_is_top(uint8_t *is_top, const float *logits, const int32_t *targets, int rows, int v,
		    struct pool *pool)
{
	struct softmax args = {.is_top = is_top, .logits = logits, .targets = targets, .v = v};
	split_run(pool, (size_t)rows, split_rows((size_t)v), top_rows, &args);
}

void softmax_logprob_backward(float *logits, const float *dlogprob, const float *lse,
			      const int32_t *targets, int rows, int v, float inv_temperature,
			      struct pool *pool)
{
	struct softmax args = {.dz = logits,
			       .dlogprob = dlogprob,
			       .lse = lse,
			       .targets = targets,
			       .v = v,
			       .inv_t = inv_temperature};
	split_run(pool, (size_t)rows, split_rows((size_t)v), backward_rows, &args);
}

/* Log-softmax over the vocabulary and sampling from it.
 *
 * One function, row_measure, takes the largest logit and the sum of
 * exp((z - max) / T); every log-probability is computed from those two, so that
 * a sampled token's has the same bits when it is computed again for training.
 *
 * Sampling walks the distribution by blocks of the row: first their sums, then
 * the weights of the one block where the cumulative sum passes u.  Weights are
 * scaled by the largest logit that may be drawn, so bans cannot make all of
 * them vanish. */
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
		s->is_top[r] = z[s->targets[r]] >= row_kernels()->max(z, s->v);
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

/* --- sampling --- */

/* What may be drawn: indices below n that are not banned. */
struct choice {
	const float *logits;
	const uint8_t *banned; /* NULL = none */
	int n;
};

static int block_size(const struct choice *choice, int begin)
{
	return choice->n - begin < ROW_BLOCK ? choice->n - begin : ROW_BLOCK;
}

/* The logits of a block with -inf for the banned; may use the buffer. */
static const float *block_logits(const struct choice *choice, int begin, float buffer[ROW_BLOCK])
{
	if (!choice->banned)
		return choice->logits + begin;
	for (int i = 0, size = block_size(choice, begin); i < size; i++)
		buffer[i] = choice->banned[begin + i] ? -INFINITY : choice->logits[begin + i];
	return buffer;
}

static float choice_max(const struct choice *choice)
{
	float buffer[ROW_BLOCK], most = -INFINITY;
	for (int begin = 0; begin < choice->n; begin += ROW_BLOCK) {
		float block = row_kernels()->max(block_logits(choice, begin, buffer),
						 block_size(choice, begin));
		most = block > most ? block : most;
	}
	return most;
}

static double block_sum(const struct choice *choice, int begin, float max, float inv_t)
{
	float buffer[ROW_BLOCK];
	return row_kernels()->sum_weights(NULL, block_logits(choice, begin, buffer),
					  block_size(choice, begin), max, inv_t);
}

/* The first index of the largest logit; where NaN leaves none, the first that
 * may be drawn. */
static int largest(const struct choice *choice)
{
	float max = choice_max(choice);
	int first = -1;
	for (int i = 0; i < choice->n; i++) {
		if (choice->banned && choice->banned[i])
			continue;
		if (choice->logits[i] == max)
			return i;
		if (first < 0)
			first = i;
	}
	return first < 0 ? 0 : first;
}

/* The index in a block where the cumulative weight passes `goal`, or the last
 * one of positive weight. */
static int walk_block(const struct choice *choice, int begin, float max, float inv_t, double goal)
{
	float buffer[ROW_BLOCK], weights[ROW_BLOCK];
	int size = block_size(choice, begin), found = 0;
	double cumulative = 0;
	row_kernels()->weights(weights, block_logits(choice, begin, buffer), size, max, inv_t);
	for (int i = 0; i < size && cumulative <= goal; i++) {
		cumulative += (double)weights[i];
		if (weights[i] > 0)
			found = i;
	}
	return begin + found;
}

static int draw(const struct choice *choice, float inv_t, double u)
{
	float max = choice_max(choice);
	double total = 0, below = 0, goal = INFINITY;
	int chosen = 0;
	for (int begin = 0; begin < choice->n; begin += ROW_BLOCK)
		total += block_sum(choice, begin, max, inv_t);
	if (!(total > 0))
		return largest(choice);
	for (int begin = 0; begin < choice->n && below <= u * total; begin += ROW_BLOCK) {
		double sum = block_sum(choice, begin, max, inv_t);
		if (sum > 0) {
			chosen = begin;
			goal = u * total - below;
		}
		below += sum;
	}
	return walk_block(choice, chosen, max, inv_t, goal);
}

int32_t softmax_sample(float *logprob, const float *logits, int v, int n_allowed,
		       const uint8_t *banned, float inv_temperature, double u)
{
	const struct choice choice = {logits, banned, n_allowed < v ? n_allowed : v};
	bool is_greedy = inv_temperature == 0;
	float inv_t = is_greedy ? 1 : inv_temperature;
	int index = is_greedy ? largest(&choice) : draw(&choice, inv_t, u);
	struct row_measure m = row_measure(logits, v, inv_t, false);
	*logprob = row_logprob(&m, logits[index], inv_t);
	return index;
}

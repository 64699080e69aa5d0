/* Truncation to a list of candidates, and inversion of the cumulative distribution.
 *
 * What an option keeps are the largest logits, from some value on.  So nothing is
 * sorted: a bound below which nothing can stay is found first (from the largest
 * logits of small groups, whose other members are never looked at), the few logits
 * above it are collected in the order of ids, and the exact values are found among
 * these by counting or weighing them in bins that grow finer.  Sums run in the order of
 * ids, so the result is a function of the row.
 *
 * A draw without truncation walks by blocks of the row: first their sums, then the
 * weights of the one block where the cumulative sum passes u.  Weights are relative to
 * the largest logit that may be drawn, so bans cannot make all of them vanish. */
#include "common/ops/sampling.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "common/ops/row_kernel.h"

static int smaller(int a, int b)
{
	return a < b ? a : b;
}

/* --- what may be drawn --- */

static int block_size(const struct sampling_row *row, int begin)
{
	return smaller(row->n - begin, ROW_BLOCK);
}

/* The logits of a block with -inf for the banned; may use the buffer. */
static const float *block_logits(const struct sampling_row *row, int begin, float buffer[ROW_BLOCK])
{
	int size = block_size(row, begin);

	if (row->n_banned == 0)
		return row->logits + begin;
	memcpy(buffer, row->logits + begin, (size_t)size * sizeof *buffer);
	for (int k = 0; k < row->n_banned; k++)
		if (row->banned[k] >= begin && row->banned[k] < begin + size)
			buffer[row->banned[k] - begin] = -INFINITY;
	return buffer;
}

static float row_max(const struct sampling_row *row)
{
	float buffer[ROW_BLOCK], most = -INFINITY;

	for (int begin = 0; begin < row->n; begin += ROW_BLOCK) {
		float block = row_kernels()->max(block_logits(row, begin, buffer),
						 block_size(row, begin));
		most = block > most ? block : most;
	}
	return most;
}

static double block_sum(const struct sampling_row *row, int begin, float max, float inv_t)
{
	float buffer[ROW_BLOCK];

	return row_kernels()->sum_weights(NULL, block_logits(row, begin, buffer),
					  block_size(row, begin), max, inv_t);
}

static double row_sum(const struct sampling_row *row, float max, float inv_t)
{
	double sum = 0;

	for (int begin = 0; begin < row->n; begin += ROW_BLOCK)
		sum += block_sum(row, begin, max, inv_t);
	return sum;
}

static bool is_banned(const struct sampling_row *row, int id)
{
	for (int k = 0; k < row->n_banned; k++)
		if (row->banned[k] == id)
			return true;
	return false;
}

/* The first index of the largest logit; where NaN leaves none, the first that may be
 * drawn. */
static int largest(const struct sampling_row *row)
{
	float max = row_max(row);
	int first = -1;

	for (int i = 0; i < row->n; i++) {
		bool is_largest = row->logits[i] == max;
		if ((is_largest || first < 0) && !is_banned(row, i)) {
			if (is_largest)
				return i;
			first = i;
		}
	}
	return first < 0 ? 0 : first;
}

/* --- candidates --- */

enum { GROUP = 64, BINS = 2048 };

/* What may be drawn, in the order of ids. */
struct candidates {
	float *z, *weights; /* [n], weights relative to the largest */
	int32_t *ids;	    /* [n] */
	int n;
	float *work; /* [2 n] */
};

size_t sampling_scratch_bytes(int n)
{
	return (size_t)n * 5 * sizeof(float);
}

/* maxima [ceil(n / GROUP)]: the largest logit of each group of ids. */
static int group_maxima(float *maxima, const struct sampling_row *row)
{
	float buffer[ROW_BLOCK];
	int n = 0;

	for (int begin = 0; begin < row->n; begin += ROW_BLOCK) {
		const float *z = block_logits(row, begin, buffer);
		int size = block_size(row, begin);
		for (int i = 0; i < size; i += GROUP)
			maxima[n++] = row_kernels()->max(z + i, smaller(size - i, GROUP));
	}
	return n;
}

/* The logits that are not below the bound. */
static void collect(struct candidates *c, const struct sampling_row *row, const float *maxima,
		    float bound)
{
	float buffer[ROW_BLOCK], *to = c->z;
	int32_t *ids = c->ids;
	int n = 0;

	for (int begin = 0; begin < row->n; begin += ROW_BLOCK) {
		const float *z = block_logits(row, begin, buffer);
		int size = block_size(row, begin);
		for (int group = 0; group < size; group += GROUP) {
			int end = smaller(group + GROUP, size);
			if (maxima[(begin + group) / GROUP] < bound)
				continue;
			for (int i = group; i < end; i++) {
				to[n] = z[i];
				ids[n] = begin + i;
				n += (z[i] >= bound) & (z[i] > -INFINITY);
			}
		}
	}
	c->n = n;
}

/* Bins of values between hi and lo: halves, so that no difference overflows.  A
 * larger value never has a higher bin. */
static void find_bins(int *bins, const float *z, int n, float hi, float scale)
{
	for (int i = 0; i < n; i++) {
		int bin = (int)((hi * 0.5f - z[i] * 0.5f) * scale);
		bins[i] = bin < BINS ? bin : BINS - 1;
	}
}

/* The largest value such that the values not below it measure `goal` or more together;
 * the smallest one where all do not.  *above: what those above it measure.  z and
 * measures [n > 0] are destroyed. */
static float find_threshold(float *z, float *measures, int n, double goal, double *above)
{
	double sums[BINS];
	int bins[ROW_BLOCK];

	*above = 0;
	for (;;) {
		float hi = z[0], lo = z[0], scale;
		int bin = 0, last = 0, n_kept = 0;

		for (int i = 1; i < n; i++) {
			hi = z[i] > hi ? z[i] : hi;
			lo = z[i] < lo ? z[i] : lo;
		}
		if (!(hi * 0.5f - lo * 0.5f > 1e-30f)) /* equal, as weights go */
			return lo;
		scale = BINS / (hi * 0.5f - lo * 0.5f);
		memset(sums, 0, sizeof sums);
		for (int begin = 0; begin < n; begin += ROW_BLOCK) {
			int size = smaller(n - begin, ROW_BLOCK);
			find_bins(bins, z + begin, size, hi, scale);
			for (int i = 0; i < size; i++) {
				sums[bins[i]] += (double)measures[begin + i];
				last = bins[i] > last ? bins[i] : last;
			}
		}
		while (bin < last && *above + sums[bin] < goal)
			*above += sums[bin++];
		for (int begin = 0; begin < n; begin += ROW_BLOCK) {
			int size = smaller(n - begin, ROW_BLOCK);
			find_bins(bins, z + begin, size, hi, scale);
			for (int i = 0; i < size; i++) {
				z[n_kept] = z[begin + i];
				measures[n_kept] = measures[begin + i];
				n_kept += bins[i] == bin;
			}
		}
		n = n_kept;
	}
}

/* find_threshold of a copy of the candidates; measures NULL: one each. */
static float candidate_threshold(const struct candidates *c, const float *measures, double goal,
				 double *above)
{
	float *z = c->work, *copy = c->work + c->n;

	memcpy(z, c->z, (size_t)c->n * sizeof *z);
	for (int i = 0; i < c->n; i++)
		copy[i] = measures ? measures[i] : 1;
	return find_threshold(z, copy, c->n, goal, above);
}

/* Keeps what lies above the value, and the first n_ties of its equals. */
static void keep_from(struct candidates *c, float least, double n_ties)
{
	float *values = c->z, *weights = c->weights;
	int32_t *ids = c->ids;
	int n = 0;

	for (int i = 0; i < c->n; i++) { /* without branches, which nobody could predict */
		float z = values[i];
		bool is_tie = z == least;
		values[n] = z;
		weights[n] = weights[i];
		ids[n] = ids[i];
		n += (z > least) | (is_tie & (n_ties > 0));
		n_ties -= is_tie;
	}
	c->n = n;
}

static void weigh(struct candidates *c, float max, float inv_t)
{
	for (int begin = 0; begin < c->n; begin += ROW_BLOCK)
		row_kernels()->weights(c->weights + begin, c->z + begin,
				       smaller(c->n - begin, ROW_BLOCK), max, inv_t);
}

/* --- options --- */

/* A value such that the k-th largest logit is not below it: the k-th largest among the
 * largest of groups. */
static float bound_of_top_k(const struct candidates *c, const float *maxima, int n_groups, int k)
{
	float *z = c->work, *ones = c->work + n_groups;
	double above;
	int n = 0;

	for (int i = 0; i < n_groups; i++) {
		z[n] = maxima[i];
		ones[i] = 1;
		n += maxima[i] > -INFINITY;
	}
	return k > n ? -INFINITY : find_threshold(z, ones, n, k, &above);
}

/* Ids that are less likely than (1 - p) / n are together less likely than 1 - p, so they
 * surely go.  A little lower, for rounding. */
static float bound_of_top_p(double p, double total, int n, float max, float inv_t)
{
	double bound = (double)max + log((1 - p) * total / n) / (double)inv_t;

	return (float)(bound - 1e-4 * (1 + fabs(bound)));
}

/* The smallest float that is not below max + log(p) T. */
static float bound_of_min_p(double p, float max, float inv_t)
{
	double exact = (double)max + log(p) / (double)inv_t;
	float bound = (float)exact;

	return (double)bound < exact ? nextafterf(bound, INFINITY) : bound;
}

/* total: of the weights of all candidates and of those already gone that count. */
static void keep_top_p(struct candidates *c, double p, double total)
{
	double goal = p * total, above;
	float least = candidate_threshold(c, c->weights, goal, &above);
	float weight = 0;

	for (int i = 0; i < c->n; i++)
		if (c->z[i] == least)
			weight = c->weights[i];
	keep_from(c, least, weight > 0 ? ceil((goal - above) / (double)weight) : 1);
}

/* No candidates where no logit may be drawn. */
static struct candidates truncate_row(const struct sampling_row *row,
				      const struct sampling *sampling, float inv_t, void *scratch)
{
	float *memory = scratch;
	size_t n = (size_t)row->n;
	struct candidates c = {.z = memory,
			       .weights = memory + n,
			       .ids = (int32_t *)(memory + 2 * n),
			       .work = memory + 3 * n};
	float *maxima = c.weights; /* until there are weights */
	float max = row_max(row), bound = -INFINITY, other = -INFINITY;
	double total = 0, above;
	int n_groups = group_maxima(maxima, row);

	if (!isfinite(max))
		return c;
	if (sampling->top_k > 0)
		bound = bound_of_top_k(&c, maxima, n_groups, sampling->top_k);
	else if (sampling->top_p < 1)
		total = row_sum(row, max, inv_t);
	if (total > 0)
		bound = bound_of_top_p(sampling->top_p, total, row->n, max, inv_t);
	if (sampling->min_p > 0)
		other = bound_of_min_p(sampling->min_p, max, inv_t);
	collect(&c, row, maxima, sampling->top_k > 0 || bound > other ? bound : other);
	weigh(&c, max, inv_t);
	if (sampling->top_k > 0 && c.n > sampling->top_k)
		keep_from(&c, candidate_threshold(&c, NULL, sampling->top_k, &above), INFINITY);
	for (int i = 0; sampling->top_k > 0 && i < c.n; i++)
		total += (double)c.weights[i];
	if (sampling->top_p < 1 && c.n > 0)
		keep_top_p(&c, sampling->top_p, total);
	if (sampling->min_p > 0)
		keep_from(&c, other, INFINITY);
	return c;
}

bool sampling_truncates(const struct sampling *sampling)
{
	return sampling->temperature > 0 &&
	       (sampling->top_k > 0 || sampling->top_p < 1 || sampling->min_p > 0);
}

void sampling_kept(bool *kept, const struct sampling_row *row, const struct sampling *sampling,
		   void *scratch)
{
	float inv_t = (float)(1 / sampling->temperature);
	struct candidates c = truncate_row(row, sampling, inv_t, scratch);

	memset(kept, 0, (size_t)row->n * sizeof *kept);
	for (int i = 0; i < c.n; i++)
		kept[c.ids[i]] = true;
}

/* --- the draw --- */

/* The index in a block where the cumulative weight passes `goal`, or the last one of
 * positive weight. */
static int walk(const float *weights, int n, double goal)
{
	double cumulative = 0;
	int found = 0;

	for (int i = 0; i < n && cumulative <= goal; i++) {
		cumulative += (double)weights[i];
		if (weights[i] > 0)
			found = i;
	}
	return found;
}

static int draw_from_row(const struct sampling_row *row, float inv_t, double u)
{
	float max = row_max(row), buffer[ROW_BLOCK], weights[ROW_BLOCK];
	double total = row_sum(row, max, inv_t), below = 0, goal = INFINITY;
	int chosen = 0;

	if (!(total > 0))
		return largest(row);
	for (int begin = 0; begin < row->n && below <= u * total; begin += ROW_BLOCK) {
		double sum = block_sum(row, begin, max, inv_t);
		if (sum > 0) {
			chosen = begin;
			goal = u * total - below;
		}
		below += sum;
	}
	row_kernels()->weights(weights, block_logits(row, chosen, buffer),
			       block_size(row, chosen), max, inv_t);
	return chosen + walk(weights, block_size(row, chosen), goal);
}

static int draw_from_candidates(const struct candidates *c, const struct sampling_row *row, double u)
{
	double total = 0;

	for (int i = 0; i < c->n; i++)
		total += (double)c->weights[i];
	return total > 0 ? c->ids[walk(c->weights, c->n, u * total)] : largest(row);
}

int32_t sampling_draw(const struct sampling_row *row, const struct sampling *sampling, double u,
		      void *scratch)
{
	struct candidates c;
	float inv_t;

	if (!(sampling->temperature > 0))
		return largest(row);
	inv_t = (float)(1 / sampling->temperature);
	if (!sampling_truncates(sampling))
		return draw_from_row(row, inv_t, u);
	c = truncate_row(row, sampling, inv_t, scratch);
	return draw_from_candidates(&c, row, u);
}

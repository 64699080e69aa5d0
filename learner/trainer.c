/* One optimizer step; see trainer.h for what it promises.
 *
 *     lanes of the minibatch     0   1   2   3   4   5   6   7
 *     sums, always this tree      \ /     \ /     \ /     \ /
 *                                  \_     _/       \_     _/
 *                                     \ /             \ /
 *                                       \_____   _____/
 *
 * A learner holds an aligned run of lanes, that is, a whole subtree; the upper
 * levels are comm_tree_scatter_float, which leaves each learner the sums of its
 * part.  A small model runs its lanes on separate
 * threads, each into a buffer of its own; a large one runs them one after
 * another with all threads and needs one buffer a level. */
#include "learner/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/ops/elementwise.h"
#include "common/run/fault.h"

double schedule_factor(const char *name, int64_t step, int64_t warmup, int64_t total)
{
	double k = (double)step, w = (double)warmup;
	double rest = total > warmup ? (double)(total - warmup) : 1;

	if (step < warmup)
		return k / (w > 1 ? w : 1);
	if (strcmp(name, "linear") == 0)
		return fmax(0, ((double)total - k) / rest);
	if (strcmp(name, "cosine") == 0)
		return 0.5 * (1 + cos(acos(-1.0) * (k - w) / rest));
	return 1;
}

static int levels(int n)
{
	int depth = 1;
	while (n > 1) {
		n /= 2;
		depth++;
	}
	return depth;
}

int optimizer_moments(const struct optimizer_config *optimizer)
{
	if (strcmp(optimizer->name, "adamw") == 0)
		return 2;
	return optimizer->momentum != 0;
}

static int count_gradients(const struct model *model, int n_local)
{
	return model_is_small(model) ? n_local : levels(n_local);
}

void trainer_init(struct trainer *trainer, struct model *model,
		  const struct optimizer_config *optimizer, int lanes, struct comm *learners,
		  struct pool *pool)
{
	struct trained trained = model_trained(model);
	size_t n = trained.layout->n_floats;
	int n_moments = optimizer_moments(optimizer);

	*trainer = (struct trainer){.model = model,
				    .trained = trained,
				    .optimizer = *optimizer,
				    .lanes = lanes,
				    .microbatch_tokens = MICROBATCH_TOKENS,
				    .learners = learners,
				    .pool = pool};
	comm_part(learners, n, SUM_BLOCK, &trainer->begin, &trainer->end);
	if (n_moments > 0)
		trainer->m = xaligned(trainer->end - trainer->begin, sizeof(float));
	if (n_moments > 1)
		trainer->v = xaligned(trainer->end - trainer->begin, sizeof(float));
	trainer->n_gradients = count_gradients(model, lanes / comm_size(learners));
	trainer->gradients = xcalloc((size_t)trainer->n_gradients, sizeof *trainer->gradients);
	for (int i = 0; i < trainer->n_gradients; i++)
		trainer->gradients[i] = xaligned(n, sizeof(float));
	workspace_init(&trainer->workspace, pool);
}

void trainer_release(struct trainer *trainer)
{
	free(trainer->m);
	free(trainer->v);
	for (int i = 0; i < trainer->n_gradients; i++)
		free(trainer->gradients[i]);
	free(trainer->gradients);
	workspace_release(&trainer->workspace);
	*trainer = (struct trainer){0};
}

size_t trainer_bytes(const struct trainer *trainer)
{
	const struct model *model = trainer->model;
	size_t n_moments = (trainer->m != NULL) + (trainer->v != NULL);

	return model_bytes(model) +
	       sizeof(float) * (trainer->trained.layout->n_floats * (size_t)trainer->n_gradients +
				(trainer->end - trainer->begin) * n_moments);
}

void trainer_plan(struct ledger *ledger, const struct model *model,
		  const struct optimizer_config *optimizer, int lanes, int rank, int n_learners)
{
	size_t n = model_trained(model).layout->n_floats, begin, end;

	comm_part_of(rank, n_learners, n, SUM_BLOCK, &begin, &end);
	ledger_add(ledger, "gradients",
		   (size_t)count_gradients(model, lanes / n_learners) * n * sizeof(float));
	ledger_add(ledger, "moments",
		   (size_t)optimizer_moments(optimizer) * (end - begin) * sizeof(float));
}

/* --- lanes --- */

/* Units of a lane: from lane_begin(lane) to lane_begin(lane + 1). */
static int lane_begin(int n, int lanes, int lane)
{
	return (int)((int64_t)n * lane / lanes);
}

void trainer_cut(const int *lengths, int n, int lanes, struct microbatches *out)
{
	*out = (struct microbatches){0};
	for (int lane = 0; lane < lanes; lane++)
		for (int first = lane_begin(n, lanes, lane), end = lane_begin(n, lanes, lane + 1);
		     first < end;) {
			int tokens = 0;
			int count = sequences_group(lengths, first, end, MICROBATCH_TOKENS);

			for (int i = first; i < first + count; i++)
				tokens += lengths[i];
			out->most_tokens = tokens > out->most_tokens ? tokens : out->most_tokens;
			out->most_units = count > out->most_units ? count : out->most_units;
			out->first = out->n++ == 0 ? count : out->first;
			first += count;
		}
}

void trainer_share(const struct trainer *trainer, int n, int *begin, int *end)
{
	int size = comm_size(trainer->learners), rank = comm_rank(trainer->learners);
	int n_lanes = trainer->lanes / size;

	*begin = lane_begin(n, trainer->lanes, n_lanes * rank);
	*end = lane_begin(n, trainer->lanes, n_lanes * (rank + 1));
}

struct step {
	struct trainer *trainer;
	const int *lengths;
	int n;	  /* sequences of the minibatch */
	int first_lane, n_lanes; /* of this learner */
	trainer_microbatch *microbatch;
	void *context;
	double *stats; /* [n_lanes][n_stats] */
	int n_stats;
};

/* Units of the minibatch in front of a lane of this learner. */
static int units_before(const struct step *step, int local)
{
	return lane_begin(step->n, step->trainer->lanes, step->first_lane + local);
}

/* All microbatches of one lane into a zeroed buffer. */
static void run_lane(const struct step *step, int local, float *grads, struct arena *arena,
		     struct pool *pool)
{
	const struct trainer *trainer = step->trainer;
	int first = units_before(step, local), end = units_before(step, local + 1);

	zero_fill(grads, trainer->trained.layout->n_floats, pool);
	while (first < end) {
		int count = sequences_group(step->lengths, first, end, trainer->microbatch_tokens);
		step->microbatch(step->context, first, count, grads,
				 step->stats + (size_t)local * step->n_stats, arena, pool);
		first += count;
	}
}

static void run_lane_alone(void *args, int local, int thread)
{
	const struct step *step = args;
	struct trainer *trainer = step->trainer;

	run_lane(step, local, trainer->gradients[local], &trainer->workspace.arenas[thread], NULL);
}

/* Lanes [first, first + n) into gradients[depth], n a power of two.  False if no unit is
 * in them: then nothing is there, and nothing needs to be added. */
static bool sum_lanes(const struct step *step, int first, int n, int depth)
{
	struct trainer *trainer = step->trainer;
	float **sums = trainer->gradients + depth;
	bool left, right;

	if (units_before(step, first) == units_before(step, first + n))
		return false;
	if (n == 1) {
		run_lane(step, first, sums[0], &trainer->workspace.arenas[0], trainer->pool);
		return true;
	}
	left = sum_lanes(step, first, n / 2, depth);
	right = sum_lanes(step, first + n / 2, n / 2, left ? depth + 1 : depth);
	if (left && right)
		add_into(sums[0], sums[1], trainer->trained.layout->n_floats, trainer->pool);
	return true;
}

static void sum_local_lanes(const struct step *step)
{
	struct trainer *trainer = step->trainer;

	if (!model_is_small(trainer->model)) {
		if (!sum_lanes(step, 0, step->n_lanes, 0))
			zero_fill(trainer->gradients[0], trainer->trained.layout->n_floats,
				  trainer->pool);
		return;
	}
	pool_run(trainer->pool, step->n_lanes, run_lane_alone, (void *)step);
	for (int width = 1; width < step->n_lanes; width *= 2)
		for (int i = 0; i < step->n_lanes; i += 2 * width)
			add_into(trainer->gradients[i], trainer->gradients[i + width],
				 trainer->trained.layout->n_floats, trainer->pool);
}

/* The same tree over the lanes' statistics; the result is in the first row. */
static void sum_local_stats(const struct step *step)
{
	for (int width = 1; width < step->n_lanes; width *= 2)
		for (int i = 0; i < step->n_lanes; i += 2 * width)
			for (int k = 0; k < step->n_stats; k++)
				step->stats[i * step->n_stats + k] +=
					step->stats[(i + width) * step->n_stats + k];
}

/* --- the update --- */

/* A gradient of which no element, clipped, is too large for its square to be a float32. */
static const double NORM_MOST = 1.8e19;

/* Norm of the whole gradient, of which each learner holds a part: block sums, added
 * in the order of the blocks. */
static double gradient_norm(const struct trainer *trainer)
{
	size_t n = trainer->trained.layout->n_floats, n_blocks = (n + SUM_BLOCK - 1) / SUM_BLOCK;
	double *sums = xcalloc(n_blocks, sizeof *sums), total = 0;

	block_squares(sums + trainer->begin / SUM_BLOCK, trainer->gradients[0] + trainer->begin,
		      trainer->end - trainer->begin, trainer->pool);
	comm_tree_gather_double(trainer->learners, sums, n_blocks, 1);
	for (size_t i = 0; i < n_blocks; i++)
		total += sums[i];
	free(sums);
	return sqrt(total);
}

/* What of [begin, end) is this learner's. */
static void update_range(struct trainer *trainer, size_t begin, size_t end, double rate,
			 double decay, float scale)
{
	const struct optimizer_config *o = &trainer->optimizer;
	float *w = trainer->trained.values, *g = trainer->gradients[0];
	size_t at;

	begin = begin < trainer->begin ? trainer->begin : begin;
	end = end > trainer->end ? trainer->end : end;
	if (begin >= end)
		return;
	at = begin - trainer->begin;
	if (trainer->v) {
		struct adamw adamw = {.learning_rate = rate,
				      .beta1 = o->beta1,
				      .beta2 = o->beta2,
				      .eps = o->eps,
				      .weight_decay = decay};
		adamw_step(w + begin, trainer->m + at, trainer->v + at, g + begin, end - begin,
			   &adamw, trainer->t, scale, trainer->pool);
	} else {
		sgd_step(w + begin, trainer->m ? trainer->m + at : NULL, g + begin, end - begin,
			 rate, o->momentum, decay, scale, trainer->pool);
	}
}

/* Biases and norms are not decayed; neighbours of one kind are one range. */
static void update_weights(struct trainer *trainer, double rate, float scale)
{
	const struct param_layout *layout = trainer->trained.layout;
	double decay = trainer->optimizer.weight_decay;
	size_t begin = 0;

	if (decay == 0) {
		update_range(trainer, 0, layout->n_floats, rate, 0, scale);
		return;
	}
	for (int i = 1; i <= layout->n; i++) {
		bool decays = layout->items[i - 1].decays;
		size_t end = i < layout->n ? layout->items[i].offset : layout->n_floats;

		if (i < layout->n && layout->items[i].decays == decays)
			continue;
		update_range(trainer, begin, end, rate, decays ? decay : 0, scale);
		begin = end;
	}
}

bool trainer_step(struct trainer *trainer, const int *lengths, int n, double learning_rate,
		  trainer_microbatch *microbatch, void *context, double *stats, int n_stats,
		  double *grad_norm)
{
	int size = comm_size(trainer->learners), rank = comm_rank(trainer->learners);
	struct step step = {.trainer = trainer,
			    .lengths = lengths,
			    .n = n,
			    .n_lanes = trainer->lanes / size,
			    .first_lane = trainer->lanes / size * rank,
			    .microbatch = microbatch,
			    .context = context,
			    .n_stats = n_stats};
	double max_norm = trainer->optimizer.max_grad_norm, scale = 1;
	size_t n_floats = trainer->trained.layout->n_floats;

	step.stats = xcalloc((size_t)step.n_lanes * (size_t)n_stats, sizeof *step.stats);
	sum_local_lanes(&step);
	sum_local_stats(&step);
	if (fault_nan("trainer.gradient"))
		trainer->gradients[0][n_floats / 2] = NAN;
	for (int k = 0; k < n_stats; k++)
		stats[k] = step.stats[k];
	free(step.stats);
	comm_tree_sum_double(trainer->learners, stats, (size_t)n_stats);
	comm_tree_scatter_float(trainer->learners, trainer->gradients[0], n_floats, SUM_BLOCK);

	/* Every learner gets the same norm, so all decide alike. */
	*grad_norm = gradient_norm(trainer);
	if (max_norm > 0 && *grad_norm > 0)
		scale = fmin(1, max_norm / (*grad_norm + 1e-6));
	if (!(*grad_norm * scale < NORM_MOST)) {
		trainer->skipped++;
		trainer->skipped_in_a_row++;
		return false;
	}
	trainer->skipped_in_a_row = 0;
	trainer->t++;
	update_weights(trainer, learning_rate, (float)scale);
	comm_tree_gather_float(trainer->learners, trainer->trained.values, n_floats, SUM_BLOCK);
	model_pack_trained(trainer->model, trainer->pool);
	return true;
}

enum status trainer_check(const struct trainer *trainer, const char *what, struct error *err)
{
	if (trainer->skipped_in_a_row < SKIPPED_MOST)
		return STATUS_OK;
	return error_set(err, STATUS_FAILED,
			 "%sthe gradient of %" PRId64 " updates in a row was not finite, or its "
			 "norm above %g, and none of them was applied: the model has diverged; go "
			 "back to a checkpoint before that with a lower optimizer.learning_rate or "
			 "optimizer.max_grad_norm",
			 what, trainer->skipped_in_a_row, NORM_MOST);
}

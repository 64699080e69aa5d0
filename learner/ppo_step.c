/* One PPO iteration, from judged rollouts to new weights.
 *
 *   1. rewards with the KL penalty                             (B.4)
 *   2. values of every completion position, by the critic      (A.4)
 *   3. advantages, returns                                     (B.7)
 *   4. for each epoch, for each minibatch of a keyed permutation:
 *        an optimizer step of the critic on the clipped value
 *        an optimizer step of the policy on the clipped ratio  (B.8)
 *
 * A cell is one completion token.  Sequence i of the batch owns the cells
 * cells[i] .. cells[i+1]-1.  Every learner holds all rollouts and computes 1 and
 * 3 by itself; 2 and 4 are shared.
 *
 * Nothing is computed twice.  The critic's first step runs forward over the first
 * minibatch with the weights that its values are asked of, and the returns of a
 * sequence need its own values alone: so that pass computes them, and before it
 * only those of the other minibatches are.  The old log-probabilities are the
 * actor's: they come from the same forward code, so the first ratio is exactly 1;
 * the policy's first step compares some of them with its own, bit by bit. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/model/head.h"
#include "common/model/transformer.h"
#include "learner/ppo_math.h"
#include "learner/ppo_private.h"

/* One iteration's arrays. */
struct iteration {
	struct ppo *ppo;
	const struct rollout *rollouts; /* [n], sorted by row */
	int n;
	int *lengths; /* [n] prompt and completion */
	int *cells;   /* [n + 1] */
	float *old_logprob, *ref_logprob, *values, *rewards, *advantages, *returns; /* [cells] */
	float *scores; /* [n] after the missing-EOS rule */
};

/* A part of the batch as the forward pass wants it. */
struct part {
	struct batch batch;
	int *rows;	  /* [n_cells] hidden rows that predict completion tokens */
	int32_t *targets; /* [n_cells] */
	int *cells;	  /* [n_cells] index into the iteration's cells */
	uint8_t *early;	  /* [n_cells] before rollout.min_new_tokens: no end token */
	int n_cells;
	struct head_ban ban;
};

/* Sequences order[first .. first+n) of the iteration. */
static void part_build(struct part *part, const struct iteration *it, const int *order, int first,
		       int n, struct arena *arena)
{
	int *offsets = arena_alloc(arena, (size_t)n + 1, sizeof *offsets);
	int32_t *ids;
	int t = 0, k = 0;

	offsets[0] = 0;
	for (int b = 0; b < n; b++) {
		int i = order[first + b];
		offsets[b + 1] = offsets[b] + it->lengths[i];
		k += it->rollouts[i].n_completion;
	}
	ids = arena_alloc(arena, (size_t)offsets[n], sizeof *ids);
	part->rows = arena_alloc(arena, (size_t)k, sizeof *part->rows);
	part->targets = arena_alloc(arena, (size_t)k, sizeof *part->targets);
	part->cells = arena_alloc(arena, (size_t)k, sizeof *part->cells);
	part->early = arena_alloc(arena, (size_t)k, sizeof *part->early);
	part->n_cells = k;
	part->ban = (struct head_ban){.ids = it->ppo->stop_ids.ids,
				      .n_ids = it->ppo->stop_ids.n,
				      .applies = part->early};
	k = 0;
	for (int b = 0; b < n; b++) {
		int i = order[first + b];
		const struct rollout *rollout = &it->rollouts[i];

		memcpy(ids + t, rollout->ids, (size_t)it->lengths[i] * sizeof *ids);
		for (int c = 0; c < rollout->n_completion; c++, k++) {
			part->rows[k] = t + rollout->n_prompt - 1 + c;
			part->targets[k] = rollout->ids[rollout->n_prompt + c];
			part->cells[k] = it->cells[i] + c;
			part->early[k] = c < it->ppo->config->rollout.min_new_tokens;
		}
		t += it->lengths[i];
	}
	part->batch = (struct batch){.ids = ids,
				     .offsets = offsets,
				     .n_seqs = n,
				     .wanted = part->rows,
				     .n_wanted = part->n_cells};
}

static float *part_hidden(const struct part *part, const struct model *model, struct kept *kept,
			  struct arena *arena, struct pool *pool)
{
	float *hidden = arena_alloc(arena, (size_t)part->n_cells * (size_t)model->config.n_channels,
				    sizeof *hidden);

	transformer_forward(model, &part->batch, hidden, kept, arena, pool);
	return hidden;
}

static float inverse_temperature(const struct ppo *ppo)
{
	return (float)(1 / ppo->config->rollout.temperature);
}

/* --- values before the update --- */

static void returns_of(struct iteration *it, int i)
{
	const struct run_config *config = it->ppo->config;

	ppo_gae(it->advantages, it->returns, it->rewards, it->values, it->cells + i, 1,
		config->ppo.gamma, config->ppo.lam);
}

/* The values of sequences order[0 .. n), a part, and what comes of them. */
static void take_values(struct iteration *it, const int *order, int n, const struct part *part,
			const float *values)
{
	for (int k = 0; k < part->n_cells; k++)
		it->values[part->cells[k]] = values[k];
	for (int k = 0; k < n; k++)
		returns_of(it, order[k]);
}

/* Sequences order[0 .. n), of which this learner has taken the values of [begin, end), and
 * the next one those that follow: afterwards all have all. */
static void exchange_values(struct iteration *it, const int *order, int n, int begin, int end)
{
	struct comm *learners = it->ppo->setup.learners;
	struct buf mine = BUF_INIT, all = BUF_INIT;
	const char *at;

	for (int k = begin; k < end; k++)
		buf_append(&mine, it->values + it->cells[order[k]],
			   (size_t)it->rollouts[order[k]].n_completion * sizeof(float));
	comm_allgather_buf(learners, &mine, &all);
	at = all.data;
	for (int k = 0; k < n; k++) {
		size_t bytes = (size_t)it->rollouts[order[k]].n_completion * sizeof(float);

		if (k < begin || k >= end) {
			memcpy(it->values + it->cells[order[k]], at, bytes);
			returns_of(it, order[k]);
		}
		at += bytes;
	}
	buf_release(&mine);
	buf_release(&all);
}

/* Sequences order[0 .. ) of this learner's share. */
struct valuation {
	struct iteration *it;
	const int *order;
};

static void value_group(void *context, int first, int n, struct arena *arena, struct pool *pool)
{
	const struct valuation *valuation = context;
	struct iteration *it = valuation->it;
	size_t mark = arena_mark(arena);
	struct part part;
	float *hidden, *values;

	part_build(&part, it, valuation->order, first, n, arena);
	hidden = part_hidden(&part, it->ppo->critic, NULL, arena, pool);
	values = arena_alloc(arena, (size_t)part.n_cells, sizeof *values);
	head_score(it->ppo->critic, hidden, NULL, part.n_cells, values, arena, pool);
	take_values(it, valuation->order + first, n, &part, values);
	arena_rewind(arena, mark);
}

/* Each learner judges its share of sequences order[0 .. n); all get all values. */
static void compute_values(struct iteration *it, const int *order, int n)
{
	struct ppo *ppo = it->ppo;
	int w = comm_size(ppo->setup.learners), r = comm_rank(ppo->setup.learners);
	int begin = (int)((int64_t)n * r / w), end = (int)((int64_t)n * (r + 1) / w);
	struct valuation valuation = {.it = it, .order = order + begin};
	int *lengths = xcalloc((size_t)(end - begin), sizeof *lengths);

	for (int k = begin; k < end; k++)
		lengths[k - begin] = it->lengths[order[k]];
	sequences_run(ppo->critic, lengths, end - begin, ppo->critic_trainer.microbatch_tokens,
		      value_group, &valuation, &ppo->workspace, ppo->setup.pool);
	exchange_values(it, order, n, begin, end);
	free(lengths);
}

/* --- the updates --- */

/* One minibatch: sequences order[0 .. n). */
struct minibatch {
	struct iteration *it;
	const int *order;
	double n_tokens; /* cells of the whole minibatch, over all learners */
	bool is_first;	 /* of the step: the weights are still those that sampled */
};

enum { POLICY_LOSS, POLICY_APPROXKL, POLICY_CLIPPED, POLICY_RATIO, POLICY_DEVIATION,
       POLICY_ENTROPY, POLICY_STATS };

struct policy_loss {
	const struct minibatch *minibatch;
	const struct part *part;
	int n_verified; /* cells of the part, from its beginning */
	double *stats;
};

/* The proof that actor and learner agree. */
static void verify_cell(const struct iteration *it, int cell, float logprob)
{
	int i = 0;

	if (memcmp(&logprob, &it->old_logprob[cell], sizeof logprob) == 0)
		return;
	while (it->cells[i + 1] <= cell)
		i++;
	die("step %lld, row %d, token %d: the actor's log-probability is %.9g and the learner's "
	    "%.9g; they must be equal to the bit",
	    (long long)it->ppo->step + 1, it->rollouts[i].row, cell - it->cells[i],
	    it->old_logprob[cell], logprob);
}

static void policy_loss(void *context, int first, int n, const float *logprob,
			const float *entropy, float *dlogprob)
{
	const struct policy_loss *loss = context;
	const struct iteration *it = loss->minibatch->it;
	const struct run_config *config = it->ppo->config;

	for (int i = 0; i < n; i++) {
		int cell = loss->part->cells[first + i];
		struct ppo_token token = ppo_policy_loss(
			logprob[i], it->old_logprob[cell], it->advantages[cell],
			config->ppo.cliprange, config->ppo.cliprange);

		if (first + i < loss->n_verified)
			verify_cell(it, cell, logprob[i]);
		dlogprob[i] = (float)(token.dlogprob / loss->minibatch->n_tokens);
		loss->stats[POLICY_LOSS] += token.loss;
		loss->stats[POLICY_APPROXKL] += token.approxkl;
		loss->stats[POLICY_CLIPPED] += token.clipped;
		loss->stats[POLICY_RATIO] += token.ratio;
		loss->stats[POLICY_DEVIATION] += fabs(token.ratio - 1);
		loss->stats[POLICY_ENTROPY] += entropy[i];
	}
}

/* Cells of sequences [first, first + n) of a minibatch, a part, that belong to the first
 * ppo.verify ones. */
static int verified_cells(const struct minibatch *minibatch, int first, int n)
{
	const struct iteration *it = minibatch->it;
	int cells = 0;

	for (int k = first; minibatch->is_first && k < first + n && k < it->ppo->config->ppo.verify;
	     k++)
		cells += it->rollouts[minibatch->order[k]].n_completion;
	return cells;
}

static void policy_microbatch(void *context, int first, int n, float *grads, double *stats,
			      struct arena *arena, struct pool *pool)
{
	struct minibatch *minibatch = context;
	struct iteration *it = minibatch->it;
	const struct model *model = it->ppo->policy;
	size_t mark = arena_mark(arena);
	struct part part;
	struct kept kept;
	struct policy_loss loss = {.minibatch = minibatch,
				   .part = &part,
				   .n_verified = verified_cells(minibatch, first, n),
				   .stats = stats};
	float *hidden, *dhidden;

	part_build(&part, it, minibatch->order, first, n, arena);
	hidden = part_hidden(&part, model, &kept, arena, pool);
	dhidden = arena_calloc(arena, (size_t)part.n_cells * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	head_train(model, hidden, NULL, part.targets, part.n_cells, inverse_temperature(it->ppo),
		   &part.ban, policy_loss, &loss, NULL, dhidden, grads, arena, pool);
	transformer_backward(model, &part.batch, &kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

enum { VALUE_LOSS, VALUE_CLIPPED, VALUE_ERROR, VALUE_STATS };

static void value_microbatch(void *context, int first, int n, float *grads, double *stats,
			     struct arena *arena, struct pool *pool)
{
	struct minibatch *minibatch = context;
	struct iteration *it = minibatch->it;
	const struct run_config *config = it->ppo->config;
	const struct model *model = it->ppo->critic;
	size_t mark = arena_mark(arena);
	struct part part;
	struct kept kept;
	float *hidden, *dhidden, *values, *dvalues;

	part_build(&part, it, minibatch->order, first, n, arena);
	hidden = part_hidden(&part, model, &kept, arena, pool);
	values = arena_alloc(arena, (size_t)part.n_cells, sizeof *values);
	dvalues = arena_alloc(arena, (size_t)part.n_cells, sizeof *dvalues);
	dhidden = arena_calloc(arena, (size_t)part.n_cells * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	head_score(model, hidden, NULL, part.n_cells, values, arena, pool);
	if (minibatch->is_first)
		take_values(it, minibatch->order + first, n, &part, values);
	for (int i = 0; i < part.n_cells; i++) {
		int cell = part.cells[i], clipped;
		double dvalue, error = (double)values[i] - it->returns[cell];

		stats[VALUE_LOSS] += ppo_value_loss(values[i], it->values[cell], it->returns[cell],
						    config->ppo.cliprange_value, &dvalue, &clipped);
		stats[VALUE_CLIPPED] += clipped;
		stats[VALUE_ERROR] += error * error;
		dvalues[i] = (float)(config->ppo.vf_coef * dvalue / minibatch->n_tokens);
	}
	head_score_backward(model, hidden, NULL, part.n_cells, dvalues, dhidden, grads, arena,
			    pool);
	transformer_backward(model, &part.batch, &kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

static void report_values(const struct iteration *it, struct ppo_report *report)
{
	int n = it->cells[it->n];

	for (int t = 0; t < n; t++) {
		report->value_mean += it->values[t];
		report->return_mean += it->returns[t];
	}
	report->value_mean /= n;
	report->return_mean /= n;
	for (int t = 0; t < n; t++) {
		double d = it->returns[t] - report->return_mean;
		report->return_var += d * d;
	}
	report->return_var /= n;
}

/* The advantages that the policy's steps use, once all values are known. */
static void finish_advantages(struct iteration *it, struct ppo_report *report)
{
	report_values(it, report);
	if (it->ppo->config->ppo.whiten_advantages)
		ppo_whiten(it->advantages, it->cells[it->n], 1);
}

/* What the critic's first step found, for all learners. */
static void share_first_values(const struct minibatch *minibatch, int n)
{
	int begin, end;

	trainer_share(&minibatch->it->ppo->critic_trainer, n, &begin, &end);
	exchange_values(minibatch->it, minibatch->order, n, begin, end);
}

static void warn_of_skip(const struct ppo *ppo, const char *what)
{
	log_warn("step %" PRId64 ": the gradient of the %s is not finite, an update is not applied",
		 ppo->step + 1, what);
}

/* The same proof of all of a step's first minibatch, over all learners: of each ratio that it
 * is 1.  (A logarithm that is not a number deviates from nothing: that update is skipped.) */
static void verify_ratios(const struct ppo *ppo, double deviation)
{
	if (deviation > 0 && ppo->config->ppo.verify > 0)
		die("step %" PRId64 ": the actors' log-probabilities are not all the learners' ones: "
		    "the first ratios deviate from 1 by %g together; do all ranks read the same policy?",
		    ppo->step + 1, deviation);
}

/* One optimizer step of both models; adds this inner step to the report. */
static void update_minibatch(struct iteration *it, const int *order, int n, int inner,
			     double learning_rate, double critic_rate, struct ppo_report *report)
{
	struct ppo *ppo = it->ppo;
	struct minibatch minibatch = {.it = it, .order = order, .is_first = inner == 0};
	int *lengths = xcalloc((size_t)n, sizeof *lengths);
	double policy[POLICY_STATS], value[VALUE_STATS], norm, ratio, delta;

	for (int i = 0; i < n; i++) {
		lengths[i] = it->lengths[order[i]];
		minibatch.n_tokens += it->rollouts[order[i]].n_completion;
	}
	if (!trainer_step(&ppo->critic_trainer, lengths, n, critic_rate, value_microbatch,
			  &minibatch, value, VALUE_STATS, &norm))
		warn_of_skip(ppo, "critic");
	report->critic_norm += norm;
	if (minibatch.is_first) {
		share_first_values(&minibatch, n);
		finish_advantages(it, report);
	}
	if (!trainer_step(&ppo->policy_trainer, lengths, n, learning_rate, policy_microbatch,
			  &minibatch, policy, POLICY_STATS, &norm))
		warn_of_skip(ppo, "policy");
	report->actor_norm += norm;
	free(lengths);
	if (minibatch.is_first)
		verify_ratios(ppo, policy[POLICY_DEVIATION]);

	report->policy_loss += policy[POLICY_LOSS] / minibatch.n_tokens;
	report->approxkl += policy[POLICY_APPROXKL] / minibatch.n_tokens;
	report->clipfrac += policy[POLICY_CLIPPED] / minibatch.n_tokens;
	report->policy_entropy += policy[POLICY_ENTROPY] / minibatch.n_tokens;
	report->value_loss += value[VALUE_LOSS] / minibatch.n_tokens;
	report->value_clipfrac += value[VALUE_CLIPPED] / minibatch.n_tokens;
	report->value_error += value[VALUE_ERROR] / minibatch.n_tokens;
	if (minibatch.is_first)
		report->first_ratio_deviation = policy[POLICY_DEVIATION] / minibatch.n_tokens;
	/* Welford's update of mean and variance over inner steps. */
	ratio = policy[POLICY_RATIO] / minibatch.n_tokens;
	delta = ratio - report->ratio;
	report->ratio += delta / (inner + 1);
	report->ratio_var += delta * (ratio - report->ratio);
}

static void update_epochs(struct iteration *it, struct ppo_report *report)
{
	struct ppo *ppo = it->ppo;
	const struct run_config *config = ppo->config;
	int n_minibatches = (int)config->ppo.minibatches, inner = 0;
	int first_n = it->n / n_minibatches; /* of the first minibatch */
	int *order = xcalloc((size_t)it->n, sizeof *order);
	double factor = schedule_factor(config->schedule.name, ppo->step,
					config->schedule.warmup_steps, config->ppo.iterations);
	double rate = ppo->policy_trainer.optimizer.learning_rate * factor;
	double critic_rate = ppo->critic_trainer.optimizer.learning_rate * factor;

	report->learning_rate = rate;
	for (int e = 0; e < config->ppo.epochs; e++) {
		for (int i = 0; i < it->n; i++)
			order[i] = (int)rng_permute((uint64_t)config->run.seed, RNG_MINIBATCH,
						    (uint32_t)(ppo->step + 1), (uint32_t)e,
						    (uint64_t)i, (uint64_t)it->n);
		if (e == 0 && n_minibatches > 1)
			compute_values(it, order + first_n, it->n - first_n);
		for (int k = 0; k < n_minibatches; k++, inner++) {
			int first = (int)((int64_t)it->n * k / n_minibatches);
			int end = (int)((int64_t)it->n * (k + 1) / n_minibatches);
			update_minibatch(it, order + first, end - first, inner, rate, critic_rate,
					 report);
		}
	}
	free(order);
	report->policy_loss /= inner;
	report->approxkl /= inner;
	report->clipfrac /= inner;
	report->policy_entropy /= inner;
	report->value_loss /= inner;
	report->value_clipfrac /= inner;
	report->value_error /= inner;
	report->ratio_var /= inner;
	report->actor_norm /= inner;
	report->critic_norm /= inner;
}

/* --- the iteration --- */

static void iteration_init(struct iteration *it, struct ppo *ppo, const struct rollouts *batch)
{
	const struct run_config *config = ppo->config;
	size_t n = batch->n, n_cells;

	*it = (struct iteration){.ppo = ppo, .rollouts = batch->items, .n = (int)n};
	it->lengths = xcalloc(n, sizeof *it->lengths);
	it->cells = xcalloc(n + 1, sizeof *it->cells);
	it->scores = xcalloc(n, sizeof *it->scores);
	for (size_t i = 0; i < n; i++) {
		const struct rollout *rollout = &batch->items[i];
		it->lengths[i] = rollout->n_prompt + rollout->n_completion;
		it->cells[i + 1] = it->cells[i] + rollout->n_completion;
		it->scores[i] = rollout->score;
		if (config->reward.has_missing_eos_penalty && rollout->finish != FINISH_STOP)
			it->scores[i] = (float)config->reward.missing_eos_penalty;
	}
	n_cells = (size_t)it->cells[n];
	it->old_logprob = xcalloc(n_cells, sizeof(float));
	it->ref_logprob = xcalloc(n_cells, sizeof(float));
	it->values = xcalloc(n_cells, sizeof(float));
	it->rewards = xcalloc(n_cells, sizeof(float));
	it->advantages = xcalloc(n_cells, sizeof(float));
	it->returns = xcalloc(n_cells, sizeof(float));
	for (size_t i = 0; i < n; i++) {
		size_t bytes = (size_t)batch->items[i].n_completion * sizeof(float);
		memcpy(it->old_logprob + it->cells[i], batch->items[i].logprob, bytes);
		memcpy(it->ref_logprob + it->cells[i], batch->items[i].ref_logprob, bytes);
	}
}

static void iteration_release(struct iteration *it)
{
	free(it->lengths);
	free(it->cells);
	free(it->scores);
	free(it->old_logprob);
	free(it->ref_logprob);
	free(it->values);
	free(it->rewards);
	free(it->advantages);
	free(it->returns);
}

static void report_rollouts(const struct iteration *it, struct ppo_report *report)
{
	double beta = it->ppo->kl_coef;

	for (int i = 0; i < it->n; i++) {
		const struct rollout *rollout = &it->rollouts[i];

		for (int t = 0; t < rollout->n_completion; t++) {
			report->kl += (double)rollout->logprob[t] - rollout->ref_logprob[t];
			report->entropy -= rollout->logprob[t];
		}
		report->scores_raw += rollout->score;
		report->scores += it->scores[i];
		report->length += rollout->n_completion;
		report->truncated += rollout->finish == FINISH_LENGTH;
		report->n_eos += rollout->finish == FINISH_STOP;
		report->tokens += rollout->n_prompt + rollout->n_completion;
	}
	report->kl /= it->n;
	report->entropy /= it->n;
	report->scores_raw /= it->n;
	report->scores /= it->n;
	report->length /= it->n;
	report->truncated /= it->n;
	report->kl_coef = beta;
	report->non_score_reward = -beta * report->kl;
	report->rlhf_reward = report->scores + report->non_score_reward;
}

/* A run begins with a policy that is its own reference, to the bit, or one of the ranks has
 * read another one.  (What is not a number is nobody's.) */
static void verify_reference(const struct iteration *it)
{
	const struct run_config *config = it->ppo->config;
	bool is_first = it->ppo->step == 0 && !it->ppo->setup.checkpoint;

	if (!is_first || config->ppo.verify == 0 || !config_reference_is_policy(config))
		return;
	for (int cell = 0; cell < it->cells[it->n]; cell++)
		if (isfinite(it->old_logprob[cell]) && isfinite(it->ref_logprob[cell]) &&
		    it->old_logprob[cell] != it->ref_logprob[cell])
			die("step 1: the reference, which is the policy as it starts, gives a "
			    "log-probability of %.9g, and the actors' policy gives %.9g; do all "
			    "ranks read the same one?",
			    it->ref_logprob[cell], it->old_logprob[cell]);
}

void ppo_update(struct ppo *ppo, const struct rollouts *batch, struct ppo_report *report)
{
	const struct run_config *config = ppo->config;
	struct iteration it;

	*report = (struct ppo_report){0};
	iteration_init(&it, ppo, batch);
	report_rollouts(&it, report);
	verify_reference(&it);
	ppo_rewards(it.rewards, it.old_logprob, it.ref_logprob, it.scores, it.cells, it.n,
		    ppo->kl_coef);
	if (config->ppo.whiten_rewards)
		ppo_whiten(it.rewards, it.cells[it.n], 0);
	update_epochs(&it, report);
	report->var_explained =
		report->return_var > 0 ? 1 - report->value_error / report->return_var : 0;
	if (strcmp(config->ppo.kl.controller, "adaptive") == 0)
		ppo->kl_coef = ppo_adapt_kl(ppo->kl_coef, report->kl, config->ppo.kl.target,
					    config->ppo.kl.horizon, it.n);
	iteration_release(&it);
}

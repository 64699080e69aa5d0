/* One PPO iteration, from judged rollouts to new weights.
 *
 *   1. values of every completion position, by the critic      (A.4)
 *   2. rewards with the KL penalty, advantages, returns        (B.4, B.7)
 *   3. for each epoch, for each minibatch of a keyed permutation:
 *        an optimizer step of the policy on the clipped ratio  (B.8)
 *        an optimizer step of the critic on the clipped value
 *
 * A cell is one completion token.  Sequence i of the batch owns the cells
 * cells[i] .. cells[i+1]-1.  Every learner holds all rollouts and computes 2 by
 * itself; 1 and 3 are shared.  The old log-probabilities are the actor's: they
 * come from the same forward code, so the first ratio is exactly 1; a few
 * rollouts of each step are recomputed to prove it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
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
	float *scores;	/* [n] after the missing-EOS rule */
	int value_begin; /* first sequence of this learner's share of the values */
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

/* Sequences order[first .. first+n) of the iteration (order NULL: as they are). */
static void part_build(struct part *part, const struct iteration *it, const int *order, int first,
		       int n, struct arena *arena)
{
	int *offsets = arena_alloc(arena, (size_t)n + 1, sizeof *offsets);
	int32_t *ids;
	int t = 0, k = 0;

	offsets[0] = 0;
	for (int b = 0; b < n; b++) {
		int i = order ? order[first + b] : first + b;
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
		int i = order ? order[first + b] : first + b;
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
	part->batch = (struct batch){.ids = ids, .offsets = offsets, .n_seqs = n};
}

static float *part_hidden(const struct part *part, const struct model *model, struct kept *kept,
			  struct arena *arena, struct pool *pool)
{
	size_t t = (size_t)part->batch.offsets[part->batch.n_seqs];
	float *hidden = arena_alloc(arena, t * (size_t)model->config.n_channels, sizeof *hidden);

	transformer_forward(model, &part->batch, hidden, kept, arena, pool);
	return hidden;
}

static float inverse_temperature(const struct ppo *ppo)
{
	return (float)(1 / ppo->config->rollout.temperature);
}

/* --- values before the update --- */

static void value_group(void *context, int first, int n, struct arena *arena, struct pool *pool)
{
	struct iteration *it = context;
	int begin = it->value_begin;
	size_t mark = arena_mark(arena);
	struct part part;
	float *hidden;

	part_build(&part, it, NULL, begin + first, n, arena);
	hidden = part_hidden(&part, it->ppo->critic, NULL, arena, pool);
	head_score(it->ppo->critic, hidden, part.rows, part.n_cells,
		   it->values + it->cells[begin + first], arena, pool);
	arena_rewind(arena, mark);
}

/* Each learner judges its share of the sequences; all get all values. */
static void compute_values(struct iteration *it)
{
	struct ppo *ppo = it->ppo;
	struct comm *learners = ppo->setup.learners;
	int w = comm_size(learners), r = comm_rank(learners);
	int begin = (int)((int64_t)it->n * r / w), end = (int)((int64_t)it->n * (r + 1) / w);
	struct buf mine = BUF_INIT, all = BUF_INIT;

	it->value_begin = begin;
	if (end > begin)
		sequences_run(ppo->critic, it->lengths + begin, end - begin,
			      ppo->critic_trainer.microbatch_tokens, value_group, it,
			      &ppo->workspace, ppo->setup.pool);
	if (w > 1) {
		buf_append(&mine, it->values + it->cells[begin],
			   (size_t)(it->cells[end] - it->cells[begin]) * sizeof(float));
		comm_allgather_buf(learners, &mine, &all);
		memcpy(it->values, all.data, all.length);
	}
	buf_release(&mine);
	buf_release(&all);
}

/* --- proof that actor and learner agree --- */

/* The chosen rollouts: order[first .. first + n). */
struct verification {
	struct iteration *it;
	const int *order;
};

static void verify_rollout(const struct ppo *ppo, const struct rollout *rollout,
			   const float *logprob)
{
	for (int t = 0; t < rollout->n_completion; t++)
		if (memcmp(&logprob[t], &rollout->logprob[t], sizeof(float)) != 0)
			die("step %lld, row %d, token %d: the actor's log-probability is %.9g and "
			    "the learner's %.9g; they must be equal to the bit",
			    (long long)ppo->step + 1, rollout->row, t, rollout->logprob[t],
			    logprob[t]);
}

static void verify_group(void *context, int first, int n, struct arena *arena, struct pool *pool)
{
	const struct verification *verification = context;
	struct iteration *it = verification->it;
	struct ppo *ppo = it->ppo;
	size_t mark = arena_mark(arena);
	struct part part;
	float *hidden, *logprob;

	part_build(&part, it, verification->order, first, n, arena);
	hidden = part_hidden(&part, ppo->policy, NULL, arena, pool);
	logprob = arena_alloc(arena, (size_t)part.n_cells, sizeof *logprob);
	head_logprobs(ppo->policy, hidden, part.rows, part.targets, part.n_cells,
		      inverse_temperature(ppo), &part.ban, logprob, NULL, NULL, arena, pool);
	for (int i = first; i < first + n; i++) {
		const struct rollout *rollout = &it->rollouts[verification->order[i]];

		verify_rollout(ppo, rollout, logprob);
		logprob += rollout->n_completion;
	}
	arena_rewind(arena, mark);
}

static void verify_rollouts(struct iteration *it)
{
	struct ppo *ppo = it->ppo;
	int n = ppo->config->ppo.verify < it->n ? (int)ppo->config->ppo.verify : it->n;
	int *order = xcalloc((size_t)n, sizeof *order), *lengths = xcalloc((size_t)n, sizeof(int));
	struct verification verification = {.it = it, .order = order};

	for (int j = 0; j < n; j++) {
		order[j] = (int)rng_permute((uint64_t)ppo->config->run.seed, RNG_VERIFY,
					    (uint32_t)(ppo->step + 1), 0, (uint64_t)j,
					    (uint64_t)it->n);
		lengths[j] = it->lengths[order[j]];
	}
	sequences_run(ppo->policy, lengths, n, ppo->policy_trainer.microbatch_tokens, verify_group,
		      &verification, &ppo->workspace, ppo->setup.pool);
	free(order);
	free(lengths);
}

/* --- the updates --- */

/* One minibatch: sequences order[0 .. n). */
struct minibatch {
	struct iteration *it;
	const int *order;
	double n_tokens; /* cells of the whole minibatch, over all learners */
};

enum { POLICY_LOSS, POLICY_APPROXKL, POLICY_CLIPPED, POLICY_RATIO, POLICY_DEVIATION,
       POLICY_ENTROPY, POLICY_STATS };

struct policy_loss {
	const struct minibatch *minibatch;
	const struct part *part;
	double *stats;
};

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

		dlogprob[i] = (float)(token.dlogprob / loss->minibatch->n_tokens);
		loss->stats[POLICY_LOSS] += token.loss;
		loss->stats[POLICY_APPROXKL] += token.approxkl;
		loss->stats[POLICY_CLIPPED] += token.clipped;
		loss->stats[POLICY_RATIO] += token.ratio;
		loss->stats[POLICY_DEVIATION] += fabs(token.ratio - 1);
		loss->stats[POLICY_ENTROPY] += entropy[i];
	}
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
	struct policy_loss loss = {.minibatch = minibatch, .part = &part, .stats = stats};
	float *hidden, *dhidden;

	part_build(&part, it, minibatch->order, first, n, arena);
	hidden = part_hidden(&part, model, &kept, arena, pool);
	dhidden = arena_calloc(arena,
			       (size_t)part.batch.offsets[n] * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	head_train(model, hidden, part.rows, part.targets, part.n_cells,
		   inverse_temperature(it->ppo), &part.ban, policy_loss, &loss, NULL, dhidden,
		   grads, arena, pool);
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
	dhidden = arena_calloc(arena,
			       (size_t)part.batch.offsets[n] * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	head_score(model, hidden, part.rows, part.n_cells, values, arena, pool);
	for (int i = 0; i < part.n_cells; i++) {
		int cell = part.cells[i], clipped;
		double dvalue, error = (double)values[i] - it->returns[cell];

		stats[VALUE_LOSS] += ppo_value_loss(values[i], it->values[cell], it->returns[cell],
						    config->ppo.cliprange_value, &dvalue, &clipped);
		stats[VALUE_CLIPPED] += clipped;
		stats[VALUE_ERROR] += error * error;
		dvalues[i] = (float)(config->ppo.vf_coef * dvalue / minibatch->n_tokens);
	}
	head_score_backward(model, hidden, part.rows, part.n_cells, dvalues, dhidden, grads, arena,
			    pool);
	transformer_backward(model, &part.batch, &kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

/* One optimizer step of both models; adds this inner step to the report. */
static void update_minibatch(struct iteration *it, const int *order, int n, int inner,
			     double learning_rate, double critic_rate, struct ppo_report *report)
{
	struct ppo *ppo = it->ppo;
	struct minibatch minibatch = {.it = it, .order = order};
	int *lengths = xcalloc((size_t)n, sizeof *lengths);
	double policy[POLICY_STATS], value[VALUE_STATS], norm, ratio, delta;

	for (int i = 0; i < n; i++) {
		lengths[i] = it->lengths[order[i]];
		minibatch.n_tokens += it->rollouts[order[i]].n_completion;
	}
	trainer_step(&ppo->policy_trainer, lengths, n, learning_rate, policy_microbatch, &minibatch,
		     policy, POLICY_STATS, &norm);
	report->actor_norm += norm;
	trainer_step(&ppo->critic_trainer, lengths, n, critic_rate, value_microbatch, &minibatch,
		     value, VALUE_STATS, &norm);
	report->critic_norm += norm;
	free(lengths);

	report->policy_loss += policy[POLICY_LOSS] / minibatch.n_tokens;
	report->approxkl += policy[POLICY_APPROXKL] / minibatch.n_tokens;
	report->clipfrac += policy[POLICY_CLIPPED] / minibatch.n_tokens;
	report->policy_entropy += policy[POLICY_ENTROPY] / minibatch.n_tokens;
	report->value_loss += value[VALUE_LOSS] / minibatch.n_tokens;
	report->value_clipfrac += value[VALUE_CLIPPED] / minibatch.n_tokens;
	report->value_error += value[VALUE_ERROR] / minibatch.n_tokens;
	if (inner == 0)
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

void ppo_update(struct ppo *ppo, const struct rollouts *batch, struct ppo_report *report)
{
	const struct run_config *config = ppo->config;
	struct iteration it;
	int n_cells;

	*report = (struct ppo_report){0};
	iteration_init(&it, ppo, batch);
	n_cells = it.cells[it.n];
	report_rollouts(&it, report);
	if (ppo->is_lead)
		verify_rollouts(&it);
	compute_values(&it);
	ppo_rewards(it.rewards, it.old_logprob, it.ref_logprob, it.scores, it.cells, it.n,
		    ppo->kl_coef);
	if (config->ppo.whiten_rewards)
		ppo_whiten(it.rewards, n_cells, 0);
	ppo_gae(it.advantages, it.returns, it.rewards, it.values, it.cells, it.n, config->ppo.gamma,
		config->ppo.lam);
	report_values(&it, report);
	if (config->ppo.whiten_advantages)
		ppo_whiten(it.advantages, n_cells, 1);
	update_epochs(&it, report);
	report->var_explained =
		report->return_var > 0 ? 1 - report->value_error / report->return_var : 0;
	if (strcmp(config->ppo.kl.controller, "adaptive") == 0)
		ppo->kl_coef = ppo_adapt_kl(ppo->kl_coef, report->kl, config->ppo.kl.target,
					    config->ppo.kl.horizon, it.n);
	iteration_release(&it);
}

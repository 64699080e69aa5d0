/* What a learner of ppo will hold; see ppo.h.  Sizes follow from the prompts, each of which
 * is taken to be completed by as many ids as there may be. */
#include <stdlib.h>

#include "common/base/die.h"
#include "learner/plan.h"
#include "learner/ppo_private.h"

enum { STEPS_LOOKED_AT = 64 };

static int larger(int a, int b)
{
	return a > b ? a : b;
}

/* Ids of the prompt of row i of a step. */
static int prompt_length(const struct ppo *ppo, int64_t step, int i)
{
	int64_t samples = ppo->config->rollout.samples_per_prompt;
	int64_t n_prompts = ppo->config->rollout.batch_size / samples;

	return ppo->prompts.rows[dataset_index(&ppo->prompts, step * n_prompts + i / samples)].n;
}

void ppo_look(struct ppo_outlook *outlook, const struct ppo *ppo)
{
	const struct run_config *config = ppo->config;
	int n = (int)config->rollout.batch_size, n_new = (int)config->rollout.max_new_tokens;
	int64_t n_steps = config->ppo.iterations;
	int *lengths = xcalloc((size_t)n, sizeof *lengths);

	n_steps = n_steps < STEPS_LOOKED_AT ? n_steps : STEPS_LOOKED_AT;
	*outlook = (struct ppo_outlook){.policy = ppo->policy,
					.critic = ppo->critic,
					.completions = (double)n * n_new,
					.lengths = lengths,
					.n = n};
	for (int64_t step = 0; step < n_steps; step++)
		for (int i = 0; i < n; i++) {
			int length = prompt_length(ppo, step, i);

			outlook->longest_prompt = larger(outlook->longest_prompt, length);
			outlook->tokens += (double)(length + n_new) / (double)n_steps;
			if (step == 0)
				lengths[i] = length + n_new;
		}
	outlook->longest = outlook->longest_prompt + n_new;
}

void ppo_outlook_release(struct ppo_outlook *outlook)
{
	free(outlook->lengths);
	*outlook = (struct ppo_outlook){0};
}

/* Of both trainers, each of which has arenas of its own, for microbatches of a minibatch. */
static size_t training_bytes(const struct ppo *ppo, const struct ppo_outlook *outlook,
			     int n_learners, int n_threads)
{
	const struct run_config *config = ppo->config;
	const struct model *models[2] = {ppo->policy, ppo->critic};
	int lanes = (int)config->train.lanes;
	int n = outlook->n / (int)config->ppo.minibatches;
	struct microbatches cut;
	size_t bytes = 0;

	trainer_cut(outlook->lengths, n, lanes, &cut);
	for (int m = 0; m < 2; m++)
		bytes += (size_t)plan_arenas(models[m], lanes, n_learners, n_threads) *
			 plan_train_bytes(models[m], cut.most_tokens, cut.most_tokens);
	return bytes;
}

/* Values of this learner's share of all but the first minibatch. */
static size_t measuring_bytes(const struct ppo *ppo, const struct ppo_outlook *outlook,
			      int n_learners, int n_threads)
{
	int first = outlook->n / (int)ppo->config->ppo.minibatches;
	int n = (outlook->n - first + n_learners - 1) / n_learners;
	int t = sequences_most_tokens(ppo->critic, outlook->lengths + first, n, MICROBATCH_TOKENS,
				      n_threads);

	if (n == 0)
		return 0;
	return (size_t)(model_is_small(ppo->critic) ? n_threads : 1) *
	       plan_measure_bytes(ppo->critic, t, t);
}

/* Every learner holds all rollouts, with what was sampled and six numbers a token. */
static size_t rollout_bytes(const struct ppo_outlook *outlook)
{
	return (size_t)(outlook->tokens * sizeof(int32_t) +
			outlook->completions * 8 * sizeof(float));
}

void ppo_plan(struct ledger *ledger, const struct ppo *ppo, const struct ppo_outlook *outlook,
	      const struct topology *topology, int index, int n_threads)
{
	const struct run_config *config = ppo->config;
	int n_learners = topology->count[ROLE_LEARNER], lanes = (int)config->train.lanes;
	size_t policy = plan_saving_bytes(ppo->policy, config->model.save_dtype);
	size_t critic = plan_saving_bytes(ppo->critic, config->model.save_dtype);

	if (ppo->setup.base)
		ledger_add(ledger, "adapter", model_adapter_bytes(ppo->policy));
	else
		plan_add_weights(ledger, ppo->policy);
	plan_add_weights(ledger, ppo->critic);
	trainer_plan(ledger, ppo->policy, &config->optimizer, lanes, index, n_learners);
	trainer_plan(ledger, ppo->critic, &config->critic.optimizer, lanes, index, n_learners);
	ledger_add(ledger, "activations",
		   training_bytes(ppo, outlook, n_learners, n_threads) +
			   measuring_bytes(ppo, outlook, n_learners, n_threads));
	ledger_add(ledger, "rollouts", rollout_bytes(outlook));
	if (index > 0)
		return;
	ledger_add(ledger, "saving", policy > critic ? policy : critic);
}

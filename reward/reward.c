/* The reward rank's part of the ring: for each group of rollouts the score, then
 * the reference policy's log-probabilities, then on to the lead learner. */
#include "reward/reward.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/model/hf_adapter.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/stop_ids.h"
#include "common/run/fault.h"
#include "common/text/chat.h"
#include "common/text/tokenizer.h"
#include "proto/rollout.h"
#include "reward/frozen.h"
#include "reward/scorer.h"

struct reward {
	const struct run_config *config;
	const struct topology *topology;
	struct channel *channel;
	struct pool *pool;
	struct frozen_model frozen; /* the reference, unless it is a base with its adapter */
	struct model *reference;
	struct stop_ids stop; /* of the policy */
	struct tokenizer *tokenizer; /* the policy's, NULL if it has none */
	struct scorer *scorer;
	struct workspace workspace;
};

/* The policy as it starts: where its adapter is new, that is its base. */
static enum status share_base(struct reward *reward, const struct model *base, struct error *err)
{
	const char *adapter = reward->config->lora.path;

	reward->reference = model_share(base);
	return adapter ? hf_adapter_load(reward->reference, adapter, reward->pool, err)
		       : STATUS_OK;
}

/* From its own directory.  Collective over rewards. */
static enum status load_frozen(struct reward *reward, struct comm *rewards, const char *path,
			       enum weight_type type, struct error *err)
{
	enum status status =
		frozen_model_load(&reward->frozen, rewards, path, HEAD_LM, type, reward->pool, err);

	reward->reference = reward->frozen.model;
	return status;
}

/* Whether the reference can be the policy's base, if there is one: held in the same type.
 * With an adapter to start from it has to. */
static enum status choose_type(const struct run_config *config, enum weight_type *type,
			       bool *shares_base, struct error *err)
{
	weight_type_parse(config->reference.weights, type);
	*shares_base = config_reference_is_policy(config);
	if (*shares_base || config->reference.path || !config->lora.path)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "\"reference.weights\" is %s, but the reference is a base with the "
			 "adapter %s, expected %s as \"rollout.weights\" says, or a merged model "
			 "as \"reference.path\"",
			 config->reference.weights, config->lora.path, config->rollout.weights);
}

/* The ids that actors stop at, so that what they ban is known here too. */
static enum status read_stop_ids(struct reward *reward, const struct model_config *policy,
				 struct error *err)
{
	const struct run_config *config = reward->config;
	int32_t chat_end;
	enum status status = stop_ids_read(&reward->stop, config->policy.path, policy, err);

	if (status == STATUS_OK)
		status = chat_end_of(config->data.chat, config->policy.path, &chat_end, err);
	if (status == STATUS_OK)
		stop_ids_add(&reward->stop, chat_end, policy);
	return status;
}

/* The reference; *n_positions is what the reward models have to read as well. */
static enum status load_reference(struct reward *reward, const struct model *base,
				  struct comm *rewards, int *n_positions, struct error *err)
{
	const struct run_config *config = reward->config;
	const char *path = config->reference.path ? config->reference.path : config->policy.path;
	struct model_config policy;
	enum weight_type type = WEIGHTS_F32;
	bool shares_base = false;
	enum status status = hf_read_config(&policy, config->policy.path, err);

	if (status == STATUS_OK)
		status = choose_type(config, &type, &shares_base, err);
	if (status == STATUS_OK)
		status = read_stop_ids(reward, &policy, err);
	if (status == STATUS_OK)
		status = tokenizer_check_ids(config->reference.path, config->policy.path,
					     "the reference", err);
	status = comm_agree(rewards, status, err);
	if (status == STATUS_OK)
		status = base && shares_base ? share_base(reward, base, err)
					     : load_frozen(reward, rewards, path, type, err);
	if (status == STATUS_OK && reward->reference->config.n_vocab != policy.n_vocab)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: the reference has %d vocabulary rows, the policy %s has %d",
				   path, reward->reference->config.n_vocab, config->policy.path,
				   policy.n_vocab);
	if (status != STATUS_OK)
		return status;
	*n_positions = model_generation_length(&policy, config->data.max_length +
								config->rollout.max_new_tokens);
	return model_check_positions(&reward->reference->config, *n_positions, path, err);
}

enum status reward_create(struct reward **out, const struct run_config *config,
			  const struct model *base, const struct topology *topology,
			  struct comm *rewards, struct channel *channel, struct pool *pool,
			  struct error *err)
{
	struct reward *reward = xcalloc(1, sizeof *reward);
	int n_positions = 0;
	enum status status;

	*out = reward;
	*reward = (struct reward){
		.config = config, .topology = topology, .channel = channel, .pool = pool};
	workspace_init(&reward->workspace, pool);
	status = load_reference(reward, base, rewards, &n_positions, err);
	if (status == STATUS_OK && tokenizer_exists(config->policy.path))
		status = tokenizer_load(&reward->tokenizer, config->policy.path, err);
	status = comm_agree(rewards, status, err);
	if (status == STATUS_OK)
		status = scorer_create(&reward->scorer, rewards, config->reward.sources,
				       config->reward.n_sources, reward->tokenizer,
				       reward->reference->config.n_vocab, n_positions, pool, err);
	return status;
}

void reward_destroy(struct reward *reward)
{
	if (!reward)
		return;
	scorer_destroy(reward->scorer);
	if (reward->reference != reward->frozen.model)
		model_destroy(reward->reference);
	frozen_model_release(&reward->frozen);
	tokenizer_destroy(reward->tokenizer);
	workspace_release(&reward->workspace);
	free(reward);
}

const char *reward_identity(const struct reward *reward)
{
	return scorer_identity(reward->scorer);
}

const char *reward_reference_identity(const struct reward *reward)
{
	return reward->frozen.identity;
}

struct frozen_bytes reward_bytes(const struct reward *reward)
{
	struct frozen_bytes bytes = scorer_bytes(reward->scorer);

	frozen_model_count(&reward->frozen, &bytes);
	if (reward->reference != reward->frozen.model)
		bytes.filled += model_bytes(reward->reference);
	return bytes;
}

static void add_reference(struct reward *reward, struct rollouts *list)
{
	const struct run_config *config = reward->config;
	struct frozen_item *items = xcalloc(list->n, sizeof *items);

	for (size_t i = 0; i < list->n; i++) {
		struct rollout *rollout = &list->items[i];

		free(rollout->ref_logprob);
		rollout->ref_logprob = xcalloc((size_t)rollout->n_completion, sizeof(float));
		items[i] = (struct frozen_item){.ids = rollout->ids,
						.n = rollout->n_prompt + rollout->n_completion,
						.first = rollout->n_prompt,
						.n_early = (int)config->rollout.min_new_tokens,
						.logprob = rollout->ref_logprob};
	}
	frozen_logprobs(reward->reference, items, (int)list->n,
			(float)(1 / config->rollout.temperature), reward->stop.ids, reward->stop.n,
			&reward->workspace, reward->pool);
	free(items);
}

void reward_handle(struct reward *reward, struct message *message)
{
	struct rollouts list = {0};
	struct buf payload = BUF_INIT;
	struct error err;

	if (rollouts_decode(&list, message->data, message->length, &err) !=
	    STATUS_OK)
		die("rollouts from rank %d: %s", message->source, err.text);
	fault_point("reward.rollouts");
	scorer_score(reward->scorer, list.items, list.n, reward->pool);
	add_reference(reward, &list);
	for (size_t i = 0; i < list.n; i++)
		list.items[i].judged = 1;
	rollouts_encode(&list, &payload);
	channel_send(reward->channel, topology_rank(reward->topology, ROLE_LEARNER, 0),
		     MESSAGE_SCORED, message->step, &payload);
	buf_release(&payload);
	rollouts_release(&list);
}

/* --- planning --- */

/* A frozen model: its weights, here or on another rank, and what it works in. */
static enum status plan_frozen(struct ledger *ledger, size_t *mapped, const char *what,
			       const char *dir, enum head_kind head, const char *weights,
			       bool is_first, int n_threads, int n, struct error *err)
{
	struct model *model = NULL;
	enum weight_type type;
	size_t bytes;
	enum status status;

	weight_type_parse(weights, &type);
	status = frozen_model_outline(&model, &bytes, dir, head, type, err);
	if (status != STATUS_OK)
		return status;
	if (is_first)
		ledger_add(ledger, what, bytes);
	else
		*mapped += bytes;
	ledger_add(ledger, "activations",
		   frozen_workspace_bytes(model, ROLLOUT_GROUP, n, n_threads));
	model_destroy(model);
	return STATUS_OK;
}

enum status reward_plan(struct ledger *ledger, size_t *mapped, const struct run_config *config,
			const struct model *policy, bool has_base, bool is_first, int n_threads,
			int n, struct error *err)
{
	const char *path = config->reference.path ? config->reference.path : config->policy.path;
	enum weight_type type = WEIGHTS_F32;
	bool shares_base = false;
	enum status status = choose_type(config, &type, &shares_base, err);

	if (status == STATUS_OK && has_base && shares_base) {
		if (config->lora.path)
			ledger_add(ledger, "adapter", model_adapter_bytes(policy));
		ledger_add(ledger, "activations",
			   frozen_workspace_bytes(policy, ROLLOUT_GROUP, n, n_threads));
	} else if (status == STATUS_OK) {
		status = plan_frozen(ledger, mapped, "reference", path, HEAD_LM,
				     config->reference.weights, is_first, n_threads, n, err);
	}
	for (int i = 0; i < config->reward.n_sources && status == STATUS_OK; i++) {
		const struct reward_source *source = &config->reward.sources[i];

		if (strcmp(source->type, "model") == 0)
			status = plan_frozen(ledger, mapped, "reward models", source->path,
					     HEAD_SCORE, source->weights, is_first, n_threads, n,
					     err);
	}
	return status;
}

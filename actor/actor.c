/* The actor's part of the ring.
 *
 * Weights come as one flat block, version N, and are swapped in whole.  Prompts of
 * step N + 1 follow.  Finished rollouts leave in groups, so that reward ranks work
 * while the actor still generates. */
#include "actor/actor.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actor/generator.h"
#include "common/base/die.h"
#include "common/model/hf_checkpoint.h"
#include "common/run/fault.h"
#include "common/text/chat.h"
#include "proto/rollout.h"

struct actor {
	const struct run_config *config;
	const struct topology *topology;
	struct channel *channel;
	struct pool *pool;
	struct model *model;
	struct param_layout layout; /* of the weights that come; empty where they are adapters */
	struct stop_ids stop;
	struct generator *generator;
	int64_t version; /* of the weights; -1 before the first */
	int next_reward; /* index of the reward rank that gets the next group */

	/* The prompts being worked on. */
	struct rollouts work;
	struct request *requests; /* [work.n] */
	struct rollouts finished; /* not sent yet */
};

/* Sequences of a step that fall to one actor. */
static int count_slots(const struct run_config *config, const struct topology *topology)
{
	int n_actors = topology->count[ROLE_ACTOR];

	return (int)((config->rollout.batch_size + n_actors - 1) / n_actors);
}

/* The generator, whose cache must hold one of the longest sequences at least. */
static enum status create_generator(struct actor *actor, int node_ranks, struct error *err)
{
	const struct run_config *config = actor->config;
	int slots = count_slots(config, actor->topology);
	int longest = model_generation_length(
		&actor->model->config, config->data.max_length + config->rollout.max_new_tokens);
	size_t bytes = generator_cache_bytes(config->rollout.kv_cache_mb, node_ranks);

	actor->generator = generator_create(actor->model, slots, bytes, actor->pool);
	if (longest - 1 <= generator_positions(actor->generator))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "rollout.kv_cache_mb: %zu MiB hold the keys and values of %d positions, "
			 "expected %d or more: data.max_length and "
			 "rollout.max_new_tokens together",
			 bytes >> 20, generator_positions(actor->generator), longest);
}

/* The policy, packed alone and without weights yet, or as it starts where it has an
 * adapter. */
static enum status create_model(struct actor *actor, const struct model_config *description,
				const struct model *base, const struct adapter_options *adapter,
				struct error *err)
{
	enum weight_type type;

	if (base) {
		actor->model = model_share(base);
		return hf_adapter_attach(actor->model, adapter, actor->pool, err);
	}
	weight_type_parse(actor->config->rollout.weights, &type);
	param_layout_init(&actor->layout, description, false);
	actor->model = model_create_frozen(description, false, type, NULL);
	return STATUS_OK;
}

/* Everything the actor needs but the weights, which come from the learner. */
enum status actor_create(struct actor **out, const struct run_config *config,
			 const struct model *base, const struct adapter_options *adapter,
			 const struct topology *topology, struct channel *channel, int rank,
			 int node_ranks, struct pool *pool, struct error *err)
{
	struct actor *actor = xcalloc(1, sizeof *actor);
	struct hf_load_options options = {.head = HEAD_LM};
	struct model_config description;
	int32_t chat_end;
	enum status status;

	*out = actor;
	*actor = (struct actor){.config = config,
				.topology = topology,
				.channel = channel,
				.pool = pool,
				.version = -1,
				.next_reward = topology_index(topology, ROLE_ACTOR, rank) %
					       topology->count[ROLE_REWARD]};
	status = hf_describe(&description, config->policy.path, &options, err);
	if (status == STATUS_OK)
		status = model_check_memory(&description, config->policy.path, err);
	if (status == STATUS_OK)
		status = stop_ids_read(&actor->stop, config->policy.path, &description, err);
	if (status == STATUS_OK)
		status = chat_end_of(config->data.chat, config->policy.path, &chat_end, err);
	if (status == STATUS_OK)
		stop_ids_add(&actor->stop, chat_end, &description);
	if (status == STATUS_OK)
		status = create_model(actor, &description, base, adapter, err);
	return status == STATUS_OK ? create_generator(actor, node_ranks, err) : status;
}

void actor_destroy(struct actor *actor)
{
	if (!actor)
		return;
	generator_destroy(actor->generator);
	model_destroy(actor->model);
	param_layout_release(&actor->layout);
	rollouts_release(&actor->work);
	rollouts_release(&actor->finished);
	free(actor->requests);
	free(actor);
}

size_t actor_bytes(const struct actor *actor)
{
	return model_bytes(actor->model);
}

static void plan_weights(struct ledger *ledger, const struct run_config *config,
			 const struct model *policy)
{
	struct param_layout frozen;
	enum weight_type type;

	weight_type_parse(config->rollout.weights, &type);
	param_layout_init(&frozen, &policy->config, false);
	param_layout_freeze(&frozen);
	ledger_add(ledger, "packed weights",
		   model_frozen_floats(&frozen, type) * sizeof(float));
	param_layout_release(&frozen);
}

void actor_plan(struct ledger *ledger, const struct run_config *config, const struct model *policy,
		bool has_base, const struct topology *topology, int node_ranks, int n_threads,
		int n_prompt)
{
	size_t bytes = generator_cache_bytes(config->rollout.kv_cache_mb, node_ranks);

	if (has_base)
		ledger_add(ledger, "adapter", model_adapter_bytes(policy));
	else
		plan_weights(ledger, config, policy);
	generator_plan(ledger, policy, count_slots(config, topology), bytes, n_threads, n_prompt,
		       (int)config->rollout.max_new_tokens);
}

static void take_weights(struct actor *actor, const struct message *message)
{
	struct trained adapters = model_trained(actor->model);
	bool is_whole = actor->model->lora == NULL;
	size_t bytes = sizeof(float) * (is_whole ? &actor->layout : adapters.layout)->n_floats;

	if (message->length != bytes)
		die("weights from rank %d are %zu bytes, expected %zu", message->source,
		    message->length, bytes);
	if (is_whole) {
		model_fill(actor->model, &actor->layout, (const float *)message->data,
			   actor->pool);
	} else {
		memcpy(adapters.values, message->data, bytes);
		model_pack_trained(actor->model, actor->pool);
	}
	actor->version = message->step;
}

static void send_group(struct actor *actor)
{
	const struct topology *topology = actor->topology;
	struct buf payload = BUF_INIT;
	int64_t step;

	if (actor->finished.n == 0)
		return;
	step = actor->finished.items[0].step;
	rollouts_encode(&actor->finished, &payload);
	channel_send(actor->channel, topology_rank(topology, ROLE_REWARD, actor->next_reward),
		     MESSAGE_ROLLOUTS, step, &payload);
	actor->next_reward = (actor->next_reward + 1) % topology->count[ROLE_REWARD];
	buf_release(&payload);
	rollouts_release(&actor->finished);
}

/* Moves a finished request into its rollout. */
static void take_completion(struct actor *actor, struct request *request)
{
	struct rollout *rollout = &actor->work.items[request - actor->requests];
	size_t p = (size_t)rollout->n_prompt, n = (size_t)request->n_completion;

	rollout->ids = xrealloc(NULL, p + n, sizeof *rollout->ids);
	memcpy(rollout->ids, request->prompt, p * sizeof *rollout->ids);
	memcpy(rollout->ids + p, request->completion, n * sizeof *rollout->ids);
	rollout->logprob = request->logprob;
	request->logprob = NULL;
	if (fault_nan("actor.logprob"))
		rollout->logprob[0] = NAN;
	rollout->n_completion = request->n_completion;
	rollout->finish = request->finish;
	rollout->weights_version = actor->version;
	request_release(request);
}

static void request_done(void *context, struct request *request)
{
	struct actor *actor = context;
	struct rollout *rollout = &actor->work.items[request - actor->requests];

	take_completion(actor, request);
	rollouts_push(&actor->finished, rollout);
	if (actor->finished.n >= ROLLOUT_GROUP)
		send_group(actor);
}

static void generate(struct actor *actor, const struct message *message)
{
	const struct run_config *config = actor->config;
	struct generate_options options = {
		.max_new_tokens = (int)config->rollout.max_new_tokens,
		.min_new_tokens = (int)config->rollout.min_new_tokens,
		.sampling = {.temperature = config->rollout.temperature, .top_p = 1},
		.seed = (uint64_t)config->run.seed,
		.n_allowed = actor->model->config.n_vocab,
		.stop = &actor->stop,
		.ban_counts = true};
	int32_t **prompts; /* finished rollouts leave with copies: others are compared with them */
	struct error err;

	if (rollouts_decode(&actor->work, message->data, message->length, &err) != STATUS_OK)
		die("prompts from rank %d: %s", message->source, err.text);
	if (message->step != actor->version + 1)
		die("prompts of step %" PRId64 " came to weights of version %" PRId64,
		    message->step, actor->version);
	actor->requests = xcalloc(actor->work.n, sizeof *actor->requests);
	prompts = xcalloc(actor->work.n, sizeof *prompts);
	for (size_t i = 0; i < actor->work.n; i++) {
		const struct rollout *rollout = &actor->work.items[i];

		prompts[i] = rollout->ids;
		actor->requests[i] = (struct request){.prompt = prompts[i],
						      .n_prompt = rollout->n_prompt,
						      .step = (uint32_t)rollout->step,
						      .row = (uint32_t)rollout->row,
						      .sample = (uint32_t)rollout->sample};
	}
	fault_point("actor.prompts");
	generator_run(actor->generator, actor->requests, (int)actor->work.n, &options, request_done,
		      actor);
	send_group(actor);
	for (size_t i = 0; i < actor->work.n; i++)
		free(prompts[i]);
	free(prompts);
	free(actor->requests);
	actor->requests = NULL;
	actor->work.n = 0; /* all were handed on */
	rollouts_release(&actor->work);
}

void actor_handle(struct actor *actor, struct message *message)
{
	if (message->type == MESSAGE_WEIGHTS)
		take_weights(actor, message);
	else
		generate(actor, message);
}

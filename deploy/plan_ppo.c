/* What a run of ppo will need, role by role; see plan_ppo.h.  Each role says what it would
 * hold, beside the code that makes it hold that. */
#include "deploy/plan_ppo.h"

#include <stdlib.h>

#include "actor/actor.h"
#include "common/base/die.h"
#include "common/base/memory.h"
#include "deploy/roles.h"
#include "learner/adapter.h"
#include "learner/ppo.h"
#include "reward/reward.h"

struct planning {
	struct plan *plan;
	const struct session *session;
	struct topology topology;
	struct model *base; /* outline; NULL without adapters */
	struct ppo *ppo;
	struct ppo_outlook look;
	struct pool *pool;
};

/* --- memory --- */

/* Weights that the roles of a rank share. */
static void plan_base(const struct planning *p, struct ledger *ledger, bool is_packed)
{
	enum weight_type type;

	if (!p->base)
		return;
	weight_type_parse(p->session->config.rollout.weights, &type);
	ledger_add(ledger, "weights", p->base->layout.n_floats * sizeof(float));
	ledger_add(ledger, "packed weights",
		   is_packed ? model_panel_floats(&p->base->layout, type) * sizeof(float) : 0);
}

static size_t trained_bytes(const struct model *model)
{
	return model_trained(model).layout->n_floats * sizeof(float);
}

static enum status plan_rank(const struct planning *p, int r, struct error *err)
{
	const struct run_config *config = &p->session->config;
	const struct topology *topology = &p->topology;
	struct plan_rank *rank = &p->plan->ranks[r];
	int n_threads = session_threads(p->session, topology_sharing(topology, r));
	bool is_first = r == topology_rank(topology, ROLE_REWARD, 0);
	enum status status = STATUS_OK;

	topology_name(topology, r, rank->roles, sizeof rank->roles);
	if (n_threads > p->plan->threads)
		p->plan->threads = n_threads;
	plan_base(p, &rank->memory, topology_plays(topology, r, ROLE_ACTOR));
	if (topology_plays(topology, r, ROLE_LEARNER))
		ppo_plan(&rank->memory, p->ppo, &p->look, topology,
			 topology_index(topology, ROLE_LEARNER, r), n_threads);
	if (topology_plays(topology, r, ROLE_ACTOR))
		actor_plan(&rank->memory, config, p->look.policy, p->base, topology,
			   topology->n_ranks, n_threads, p->look.longest_prompt);
	/* The learner that sends them lends its own. */
	if (topology_plays(topology, r, ROLE_ACTOR) && r != topology_rank(topology, ROLE_LEARNER, 0))
		ledger_add(&rank->memory, "messages", trained_bytes(p->look.policy));
	if (topology_plays(topology, r, ROLE_REWARD))
		status = reward_plan(&rank->memory, &rank->mapped, config, p->look.policy, p->base,
				     is_first, n_threads, p->look.longest, err);
	ledger_add(&rank->memory, "threads", (size_t)n_threads * THREAD_BYTES);
	ledger_add(&rank->memory, "program, text, data", memory_in_use());
	ledger_add(&rank->memory, "message passing",
		   topology->n_ranks > 1 ? MESSAGE_PASSING_BYTES : 0);
	return status;
}

/* --- traffic and files --- */

static void plan_traffic(const struct planning *p)
{
	const struct topology *topology = &p->topology;
	size_t others = (size_t)topology->count[ROLE_LEARNER] - 1, away = 0;
	size_t both = trained_bytes(p->look.policy) + trained_bytes(p->look.critic);

	for (int a = 0; a < topology->count[ROLE_ACTOR]; a++)
		away += topology_rank(topology, ROLE_ACTOR, a) !=
			topology_rank(topology, ROLE_LEARNER, 0);
	ledger_add(&p->plan->moved, "weights to actors", away * trained_bytes(p->look.policy));
	ledger_add(&p->plan->moved, "sums of gradients", others * both);
	ledger_add(&p->plan->moved, "new weights", others * both);
}

static void plan_files(const struct planning *p)
{
	const struct run_config *config = &p->session->config;
	size_t state = plan_checkpoint_bytes(p->look.policy, &config->optimizer) +
		       plan_checkpoint_bytes(p->look.critic, &config->critic.optimizer);

	ledger_add(&p->plan->written, "checkpoints",
		   state * (size_t)plan_checkpoints(config, p->plan->steps));
	ledger_add(&p->plan->written, "result",
		   plan_result_bytes(p->look.policy, config->model.save_dtype));
}

/* --- speed --- */

/* Layers of a model in those of the policy that has been probed, by their weights. */
static double layers_of(const struct planning *p, const struct model *model)
{
	const struct model *policy = p->look.policy;
	double own = (double)model->layout.n_floats, probed = (double)policy->layout.n_floats;

	return policy->config.n_layers * own / probed;
}

/* All actors use the cores of this machine, so they take as long as one after the other. */
static double generation_seconds(const struct planning *p, struct probe *probe)
{
	const struct run_config *config = &p->session->config;
	const struct model *policy = p->look.policy;
	int n_actors = p->topology.count[ROLE_ACTOR], layers = policy->config.n_layers;
	int n_engines = model_is_small(policy) ? pool_threads(p->pool) : 1;
	int slots = (p->look.n + n_actors - 1) / n_actors;
	double prompts = p->look.tokens - p->look.completions;
	enum weight_type type;

	weight_type_parse(config->rollout.weights, &type);
	slots = (slots + n_engines - 1) / n_engines;
	probe_decode(probe, policy, slots, type, p->pool);
	return prompts * probe->forward * layers +
	       (double)config->rollout.max_new_tokens * n_actors *
		       (probe->decode * layers + probe->logits);
}

static void plan_speed(const struct planning *p)
{
	const struct run_config *config = &p->session->config;
	const struct model *policy = p->look.policy;
	double tokens = p->look.tokens, made = p->look.completions;
	double critic = layers_of(p, p->look.critic);
	double valued = 1 - 1 / (double)config->ppo.minibatches; /* before the epochs */
	struct probe probe;

	if (!p->plan->has_speed ||
	    !probe_run(&probe, policy, p->look.lengths, p->look.n, (int)config->train.lanes,
		       p->pool, &p->plan->probe_bytes))
		return;
	p->plan->seconds =
		generation_seconds(p, &probe) +
		/* the reference, the judges, the values, and then the epochs */
		tokens * probe.forward * policy->config.n_layers + made * probe.head / 3 +
		tokens * probe.forward * critic * (config->reward.n_sources + valued) +
		(double)config->ppo.epochs *
			(probe_train(&probe, policy, tokens, made) +
			 tokens * probe.layer * critic +
			 probe.update * (double)config->ppo.minibatches *
				 (double)model_trained(p->look.critic).layout->n_floats);
}

/* --- the whole --- */

static enum status deal(struct planning *p, int n_ranks, struct error *err)
{
	const struct run_config *config = &p->session->config;
	int64_t asked = config->roles.learner + config->roles.actor + config->roles.reward;

	if (n_ranks == 0)
		n_ranks = config->roles.given ? (int)asked : 1;
	return roles_deal(&p->topology, config, n_ranks, err);
}

static enum status load(struct planning *p, struct error *err)
{
	const struct run_config *config = &p->session->config;
	struct hf_load_options options = {.head = HEAD_LM, .is_outline = true};
	struct ppo_setup setup = {.config = config, .pool = p->pool, .is_planned = true};
	enum status status = STATUS_OK;

	if (config->lora.given) {
		setup.adapter = adapter_options(config, config->policy.path);
		status = hf_load(&p->base, config->policy.path, &options, p->pool, err);
		setup.base = p->base;
	}
	if (status == STATUS_OK)
		status = ppo_create(&p->ppo, &setup, err);
	if (status == STATUS_OK)
		ppo_look(&p->look, p->ppo);
	return status;
}

static enum status fill(struct planning *p, struct error *err)
{
	struct plan *plan = p->plan;
	enum status status = STATUS_OK;

	plan_add_model(plan, "policy", p->look.policy, true);
	plan_add_model(plan, "critic", p->look.critic, true);
	plan->steps = session_length(p->session);
	plan->tokens = p->look.tokens;
	plan->n_ranks = p->topology.n_ranks;
	plan->ranks = xcalloc((size_t)plan->n_ranks, sizeof *plan->ranks);
	for (int r = 0; r < plan->n_ranks && status == STATUS_OK; r++)
		status = plan_rank(p, r, err);
	if (status != STATUS_OK)
		return status;
	plan_traffic(p);
	plan_files(p);
	plan_speed(p);
	return STATUS_OK;
}

enum status plan_ppo(struct plan *plan, const struct session *session, int n_ranks,
		     struct error *err)
{
	struct planning p = {.plan = plan, .session = session};
	enum status status = deal(&p, n_ranks, err);

	if (status != STATUS_OK)
		return status;
	p.pool = pool_create(session_threads(session, 1));
	status = load(&p, err);
	if (status == STATUS_OK)
		status = fill(&p, err);
	if (status != STATUS_OK)
		plan_release(plan);
	ppo_outlook_release(&p.look);
	ppo_destroy(p.ppo);
	model_destroy(p.base);
	pool_destroy(p.pool);
	return status;
}

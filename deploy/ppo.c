/* rlhf ppo: deals the roles to the ranks and turns the ring until it stops.
 *
 *     learner -> actor -> reward -> learner
 *
 * Every rank runs the same loop: take the next message, give it to the role that
 * it is for.  A rank may play several roles, and one rank may play all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/actor.h"
#include "common/base/die.h"
#include "common/base/log.h"
#include "common/model/hf_checkpoint.h"
#include "deploy/commands.h"
#include "deploy/roles.h"
#include "learner/adapter.h"
#include "learner/agreement.h"
#include "learner/ppo.h"
#include "learner/session.h"
#include "proto/channel.h"
#include "proto/comm.h"
#include "proto/topology.h"
#include "reward/reward.h"

/* What a rank says of itself for the table at the start. */
struct rank_info {
	char host[64];
	int32_t threads;
	uint64_t bytes;	 /* that it holds */
	uint64_t mapped; /* of frozen weights that another rank of its node holds */
};

struct ring {
	struct session session;
	struct topology topology;
	struct pool *pool;
	struct channel *channel;
	struct comm *learners, *rewards;
	struct model *base; /* frozen weights that the roles share; NULL without adapters */
	struct adapter_options adapter;
	struct ppo *ppo;
	struct actor *actor;
	struct reward *reward;
	/* On every rank: identity of the reward sources, that of the reference. */
	char *judge, *reference;
	int rank;
	int node_ranks; /* ranks on this node */
};

static bool plays(const struct ring *ring, enum role role)
{
	return topology_plays(&ring->topology, ring->rank, role);
}

/* Ranks of one role work at the same time and share their node's cores; ranks of
 * different roles mostly work in turn. */
static int ranks_sharing_cores(const struct ring *ring, const struct rank_info *infos)
{
	int most = 1;

	for (int role = 0; role < ROLE_COUNT; role++) {
		int sharing = 0;

		if (!plays(ring, (enum role)role))
			continue;
		for (int r = 0; r < ring->topology.n_ranks; r++)
			if (topology_plays(&ring->topology, r, (enum role)role) &&
			    strcmp(infos[r].host, infos[ring->rank].host) == 0)
				sharing++;
		if (sharing > most)
			most = sharing;
	}
	return most;
}

static void print_table(const struct ring *ring, const struct rank_info *infos)
{
	log_info("%-5s %-28s %-20s %7s %10s", "rank", "roles", "host", "threads", "memory");
	for (int r = 0; r < ring->topology.n_ranks; r++) {
		char roles[64], mapped[64] = "";

		topology_name(&ring->topology, r, roles, sizeof roles);
		if (infos[r].mapped)
			snprintf(mapped, sizeof mapped, ", and %.1f MiB of another rank's",
				 (double)infos[r].mapped / (1 << 20));
		log_info("%-5d %-28s %-20s %7d %6.1f MiB%s", r, roles, infos[r].host,
			 infos[r].threads, (double)infos[r].bytes / (1 << 20), mapped);
	}
	log_info("kernels: %s; judged by %s", isa_name(ring->session.isa), ring->judge);
}

/* Who shares the node, and the pool sized by it; infos [n_ranks] is filled. */
static void make_team(struct ring *ring, struct rank_info *infos)
{
	struct rank_info mine = {0};
	char name[64];

	snprintf(mine.host, sizeof mine.host, "%s", comm_host());
	comm_allgather(ring->session.world, &mine, sizeof mine, infos);
	for (int r = 0; r < ring->topology.n_ranks; r++)
		ring->node_ranks += strcmp(infos[r].host, mine.host) == 0;
	ring->pool = pool_create(session_threads(&ring->session, ranks_sharing_cores(ring, infos)));
	topology_name(&ring->topology, ring->rank, name, sizeof name);
	log_set_name(name);
	comm_set_role(name);
}

/* What the first reward rank says, on all.  The caller frees it.  Collective. */
static char *share_text(const struct ring *ring, const char *own)
{
	struct buf text = BUF_INIT;

	if (own)
		buf_append_string(&text, own);
	comm_broadcast_buf(ring->session.world, &text,
			   topology_rank(&ring->topology, ROLE_REWARD, 0));
	buf_append_char(&text, '\0');
	return buf_detach(&text);
}

static void share_identities(struct ring *ring)
{
	const struct reward *reward = ring->reward;

	ring->judge = share_text(ring, reward ? reward_identity(reward) : NULL);
	ring->reference = share_text(ring, reward ? reward_reference_identity(reward) : NULL);
}

/* Ranks of all roles read the policy's directory, of which actors get weights or adapters from
 * the learners, and an adapter to go on from. */
static enum status compare_policy(const struct ring *ring, struct error *err)
{
	const struct run_config *config = &ring->session.config;
	struct comm *world = ring->session.world;
	enum status status = STATUS_OK;

	if (config->lora.path)
		status =
			agreement_check(world, "adapter", config->lora.path, NULL, ring->pool, err);
	if (status == STATUS_OK)
		status = agreement_check(world, "model", config->policy.path, ring->base,
					 ring->pool, err);
	return status;
}

/* The policy's frozen weights, once for all roles of this rank. */
static enum status load_base(struct ring *ring, struct error *err)
{
	const struct run_config *config = &ring->session.config;
	struct hf_load_options options = {.head = HEAD_LM};
	enum weight_type type;
	enum status status = STATUS_OK;

	if (config->lora.given) {
		weight_type_parse(config->rollout.weights, &type);
		ring->adapter = adapter_options(config, config->policy.path);
		status = hf_load(&ring->base, config->policy.path, &options, ring->pool, err);
		if (status == STATUS_OK && type == WEIGHTS_BF16)
			model_round(ring->base, ring->pool);
		if (status == STATUS_OK && plays(ring, ROLE_ACTOR))
			model_pack(ring->base, type, ring->pool);
	}
	status = comm_agree(ring->session.world, status, err);
	return status == STATUS_OK ? compare_policy(ring, err) : status;
}

/* Loads what each role needs.  Collective: a rank's failure is everyone's. */
static enum status create_roles(struct ring *ring, struct error *err)
{
	struct session *session = &ring->session;
	enum status status;

	comm_set_phase("loading");
	status = load_base(ring, err);
	if (status == STATUS_OK && plays(ring, ROLE_REWARD))
		status = reward_create(&ring->reward, &session->config, ring->base,
				       &ring->topology, ring->rewards, ring->channel, ring->pool,
				       err);
	status = comm_agree(session->world, status, err);
	if (status != STATUS_OK)
		return status;
	share_identities(ring);
	if (plays(ring, ROLE_ACTOR))
		status = actor_create(&ring->actor, &session->config, ring->base, &ring->adapter,
				      &ring->topology, ring->channel, ring->rank,
				      ring->node_ranks, ring->pool, err);
	status = comm_agree(session->world, status, err);
	if (status == STATUS_OK && plays(ring, ROLE_LEARNER)) {
		struct ppo_setup setup = {.config = &session->config,
					  .base = ring->base,
					  .adapter = ring->adapter,
					  .topology = &ring->topology,
					  .channel = ring->channel,
					  .learners = ring->learners,
					  .pool = ring->pool,
					  .isa = isa_name(session->isa),
					  .checkpoint = session->checkpoint,
					  .judge = ring->judge,
					  .reference = ring->reference,
					  .run = session->has_run ? &session->run : NULL};
		status = ppo_create(&ring->ppo, &setup, err);
	}
	status = comm_agree(session->world, status, err);
	if (status == STATUS_OK && ring->ppo)
		status = ppo_compare(ring->ppo, err);
	return comm_agree(session->world, status, err);
}

static enum status turn(struct ring *ring, struct error *err)
{
	comm_set_phase("waiting");
	if (ring->ppo)
		ppo_begin(ring->ppo);
	for (;;) {
		struct message message;
		enum status status;

		channel_next(ring->channel, &message);
		switch (message.type) {
		case MESSAGE_WEIGHTS:
		case MESSAGE_PROMPTS:
			comm_set_phase("generating");
			actor_handle(ring->actor, &message);
			break;
		case MESSAGE_ROLLOUTS:
			comm_set_phase("judging");
			reward_handle(ring->reward, &message);
			break;
		case MESSAGE_SCORED:
		case MESSAGE_TRAIN:
			ppo_handle(ring->ppo, &message);
			break;
		case MESSAGE_STOP:
			status = (enum status)message.step;
			if (ring->ppo)
				ring->session.step = ppo_step(ring->ppo);
			error_set(err, status, "%.*s", (int)message.length,
				  message.length > 0 ? message.data : "");
			message_release(&message);
			channel_flush(ring->channel);
			return status;
		case MESSAGE_TYPES:
			die("message of no type from rank %d", message.source);
		}
		channel_recycle(ring->channel, &message);
		comm_set_phase("waiting");
	}
}

static void report_table(struct ring *ring, struct rank_info *infos)
{
	struct rank_info mine = {.threads = pool_threads(ring->pool)};

	snprintf(mine.host, sizeof mine.host, "%s", comm_host());
	if (ring->ppo)
		mine.bytes += ppo_bytes(ring->ppo);
	if (ring->actor)
		mine.bytes += actor_bytes(ring->actor);
	if (ring->reward) {
		struct frozen_bytes frozen = reward_bytes(ring->reward);

		mine.bytes += frozen.filled;
		mine.mapped = frozen.mapped;
	}
	if (ring->base)
		mine.bytes += model_bytes(ring->base);
	comm_allgather(ring->session.world, &mine, sizeof mine, infos);
	if (comm_is_lead(ring->session.world))
		print_table(ring, infos);
}

static enum status run_ring(struct ring *ring, struct error *err)
{
	struct rank_info *infos;
	enum status status = roles_deal(&ring->topology, &ring->session.config,
					comm_size(ring->session.world), err);

	if (status != STATUS_OK)
		return status;
	infos = xcalloc((size_t)ring->topology.n_ranks, sizeof *infos);
	make_team(ring, infos);
	ring->learners = comm_split(ring->session.world, plays(ring, ROLE_LEARNER) ? 0 : -1);
	ring->rewards = comm_split(ring->session.world, plays(ring, ROLE_REWARD) ? 0 : -1);
	ring->channel = channel_create(ring->session.world);
	status = create_roles(ring, err);
	if (status == STATUS_OK)
		status = session_begin(&ring->session, err);
	if (status == STATUS_OK && ring->ppo)
		status = ppo_open_logs(ring->ppo, err);
	status = comm_agree(ring->session.world, status, err);
	if (status == STATUS_OK) {
		report_table(ring, infos);
		status = turn(ring, err);
	}
	free(infos);
	return status;
}

int ppo_main(int argc, char **argv)
{
	struct ring ring = {0};
	struct error err;
	enum status status;
	int exit_code;

	if (!session_open(&ring.session, COMMAND_PPO, argc, argv,
			  "rlhf ppo deploy/configs/laptop-4.json --ranks 4", &exit_code))
		return exit_code;
	ring.rank = comm_rank(ring.session.world);
	status = run_ring(&ring, &err);
	ppo_destroy(ring.ppo);
	actor_destroy(ring.actor);
	reward_destroy(ring.reward);
	model_destroy(ring.base);
	if (ring.channel)
		channel_destroy(ring.channel);
	comm_free(ring.learners);
	comm_free(ring.rewards);
	pool_destroy(ring.pool);
	free(ring.judge);
	free(ring.reference);
	return session_close(&ring.session, status, &err);
}

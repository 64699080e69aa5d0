/* The actor's part of the ring. */
#pragma once

#include "common/base/ledger.h"
#include "common/base/pool.h"
#include "common/model/hf_adapter.h"
#include "common/run/config.h"
#include "proto/channel.h"
#include "proto/topology.h"

/* State of one actor: the policy's newest weights and a generator. */
struct actor;
/* Reads the policy's description (not its weights: those come as version 0).  With an
 * adapter, the policy is base, which must outlive the actor, beside that adapter; else
 * both are NULL.  node_ranks: ranks of the job on this node, which share its memory. */
enum status actor_create(struct actor **actor, const struct run_config *config,
			 const struct model *base, const struct adapter_options *adapter,
			 const struct topology *topology, struct channel *channel, int rank,
			 int node_ranks, struct pool *pool, struct error *err);
void actor_destroy(struct actor *actor);
size_t actor_bytes(const struct actor *actor); /* weights that it holds */
/* What an actor would hold for prompts of n_prompt ids.  policy may be an outline, with its
 * adapter if has_base; the base itself and the weights as they arrive are the rank's. */
void actor_plan(struct ledger *ledger, const struct run_config *config, const struct model *policy,
		bool has_base, const struct topology *topology, int node_ranks, int n_threads,
		int n_prompt);
/* MESSAGE_WEIGHTS: takes the version.  MESSAGE_PROMPTS: generates all of them and
 * sends finished ones to the reward ranks in turn, in groups as they come. */
void actor_handle(struct actor *actor, struct message *message);

/* The reward rank's part of the ring. */
#pragma once

#include "common/base/ledger.h"
#include "common/base/pool.h"
#include "common/model/model.h"
#include "common/run/config.h"
#include "proto/channel.h"
#include "proto/topology.h"
#include "reward/frozen_model.h"

/* State of one reward rank: the scorer and the frozen reference policy. */
struct reward;
/* base: the weights beside which the policy has an adapter, which are the reference
 * too if no other is asked for; must outlive the role.  NULL: the policy has none.
 * Frozen models are loaded once for the reward ranks of a node, and those that read
 * other ones than the first are refused.  Collective over them, rewards, on which all get the
 * same status. */
enum status reward_create(struct reward **reward, const struct run_config *config,
			  const struct model *base, const struct topology *topology,
			  struct comm *rewards, struct channel *channel, struct pool *pool,
			  struct error *err);
void reward_destroy(struct reward *reward);
struct frozen_bytes reward_bytes(const struct reward *reward); /* of weights and adapters */
const char *reward_identity(const struct reward *reward); /* who judges */
/* Of the reference's weights, in hex; empty where it is the base and its adapter. */
const char *reward_reference_identity(const struct reward *reward);
/* What a reward rank would hold for sequences of at most n ids; *mapped: of weights that the
 * first reward rank of its node holds, where it is not that.  policy may be an outline, with
 * its adapter if has_base; the base itself is the rank's. */
enum status reward_plan(struct ledger *ledger, size_t *mapped, const struct run_config *config,
			const struct model *policy, bool has_base, bool is_first, int n_threads,
			int n, struct error *err);
/* MESSAGE_ROLLOUTS: adds score and reference log-probabilities, sends on. */
void reward_handle(struct reward *reward, struct message *message);

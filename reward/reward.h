/* The reward rank's part of the ring. */
#pragma once

#include "common/base/pool.h"
#include "common/model/model.h"
#include "common/run/config.h"
#include "proto/channel.h"
#include "proto/topology.h"

/* State of one reward rank: the scorer and the frozen reference policy. */
struct reward;
/* base: the weights beside which the policy has an adapter, which are the reference
 * too if no other is asked for; must outlive the role.  NULL: the policy has none. */
enum status reward_create(struct reward **reward, const struct run_config *config,
			  const struct model *base, const struct topology *topology, struct channel *channel,
			  struct pool *pool, struct error *err);
void reward_destroy(struct reward *reward);
size_t reward_bytes(const struct reward *reward); /* weights it holds */
const char *reward_identity(const struct reward *reward); /* who judges */
/* MESSAGE_ROLLOUTS: adds score and reference log-probabilities, sends on. */
void reward_handle(struct reward *reward, struct message *message);

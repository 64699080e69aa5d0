/* The roles of a ppo config on a number of ranks. */
#pragma once

#include "common/run/config.h"
#include "proto/topology.h"

/* As the config's roles say, or by default. */
enum status roles_deal(struct topology *topology, const struct run_config *config, int n_ranks,
		       struct error *err);

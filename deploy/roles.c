/* See roles.h. */
#include "deploy/roles.h"

enum status roles_deal(struct topology *topology, const struct run_config *config, int n_ranks,
		       struct error *err)
{
	int lanes = (int)config->train.lanes;

	if (config->roles.given)
		return topology_init(topology, n_ranks, (int)config->roles.learner,
				     (int)config->roles.actor, (int)config->roles.reward, lanes,
				     err);
	topology_default(topology, n_ranks, lanes);
	return STATUS_OK;
}

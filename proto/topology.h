/* Which rank plays which role.  Pure arithmetic. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

enum role { ROLE_LEARNER, ROLE_ACTOR, ROLE_REWARD, ROLE_COUNT };
const char *role_name(enum role role); /* "learner" */

struct topology {
	int n_ranks;
	int count[ROLE_COUNT]; /* ranks that play the role */
	int first[ROLE_COUNT]; /* the lowest of them; they are consecutive */
};

/* As asked: learners first, then actors, then reward ranks; the sum must be
 * n_ranks, except that all three may be 1 on one rank. */
enum status topology_init(struct topology *topology, int n_ranks, int learners, int actors,
			  int rewards, int lanes, struct error *err);
/* By default for any number of ranks: 1: all roles on it; 2: learner and reward
 * together, one actor; 3: one each; 4: 1, 2, 1; more: about a quarter learn (a
 * power of two that divides lanes), a quarter judge, the rest act. */
void topology_default(struct topology *topology, int n_ranks, int lanes);
bool topology_plays(const struct topology *topology, int rank, enum role role);
int topology_rank(const struct topology *topology, enum role role, int index);
int topology_index(const struct topology *topology, enum role role, int rank); /* -1 */
/* "learner.0+reward.1" */
void topology_name(const struct topology *topology, int rank, char *out, size_t size);
/* Ranks of one role work at the same time: the most, itself included, that do so with this
 * one where all are on one node. */
int topology_sharing(const struct topology *topology, int rank);

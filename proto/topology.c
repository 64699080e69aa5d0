/* Ranks are dealt to roles in consecutive runs:
 *
 *     learners | actors | reward ranks
 *
 * except where roles share: on one rank all do, on two by default the learner
 * judges too. */
#include "proto/topology.h"

#include <stdio.h>

#include "common/base/die.h"

const char *role_name(enum role role)
{
	static const char *const names[ROLE_COUNT] = {"learner", "actor", "reward"};
	return names[role];
}

/* Sums over learners are by a binary tree, so their number is a power of two. */
static bool learners_fit(int learners, int lanes)
{
	return (learners & (learners - 1)) == 0 && lanes % learners == 0;
}

/* "1, 2, 4 or 8" */
static void list_learners(int lanes, char *text, size_t n)
{
	int last = 1;
	while (last <= lanes / 2 && lanes % (last * 2) == 0)
		last *= 2;
	size_t used = 0;
	text[0] = '\0';
	for (int learners = 1; learners <= last && used < n; learners *= 2) {
		const char *before = learners == 1 ? "" : learners == last ? " or " : ", ";
		used += (size_t)snprintf(text + used, n - used, "%s%d", before, learners);
		if (learners == last)
			break;
	}
}

static void place_in_turn(struct topology *topology)
{
	int first = 0;
	for (int role = 0; role < ROLE_COUNT; role++) {
		topology->first[role] = first;
		first += topology->count[role];
	}
}

enum status topology_init(struct topology *topology, int n_ranks, int learners, int actors,
			  int rewards, int lanes, struct error *err)
{
	const int count[ROLE_COUNT] = {learners, actors, rewards};
	*topology = (struct topology){.n_ranks = n_ranks};
	long long sum = 0;
	for (int role = 0; role < ROLE_COUNT; role++) {
		if (count[role] < 1)
			return error_set(err, STATUS_BAD_INPUT,
					 "the job has %d %s ranks, expected at least 1",
					 count[role], role_name((enum role)role));
		topology->count[role] = count[role];
		sum += count[role];
	}
	if (lanes < 1)
		return error_set(err, STATUS_BAD_INPUT, "lanes is %d, expected at least 1", lanes);
	bool is_shared = n_ranks == 1 && sum == ROLE_COUNT;
	if (sum != n_ranks && !is_shared)
		return error_set(err, STATUS_BAD_INPUT,
				 "roles ask for %lld ranks (learner %d + actor %d + reward %d) but "
				 "the job has %d; --ranks %lld starts as many",
				 sum, learners, actors, rewards, n_ranks, sum);
	if (!learners_fit(learners, lanes)) {
		char fitting[256];
		list_learners(lanes, fitting, sizeof fitting);
		return error_set(err, STATUS_BAD_INPUT,
				 "%d learner ranks cannot share %d lanes evenly in a binary tree; "
				 "%s would do",
				 learners, lanes, fitting);
	}
	if (!is_shared)
		place_in_turn(topology);
	return STATUS_OK;
}

void topology_default(struct topology *topology, int n_ranks, int lanes)
{
	ASSERT(n_ranks >= 1 && lanes >= 1);
	int learners = 1;
	while (learners * 2 <= n_ranks / 4 && learners_fit(learners * 2, lanes))
		learners *= 2;
	int rewards = n_ranks < 8 ? 1 : n_ranks / 4;
	*topology = (struct topology){
		.n_ranks = n_ranks,
		.count = {learners, n_ranks - learners - rewards, rewards},
	};
	if (n_ranks >= 3) {
		place_in_turn(topology);
		return;
	}
	topology->count[ROLE_ACTOR] = 1;
	topology->first[ROLE_ACTOR] = n_ranks - 1;
}

bool topology_plays(const struct topology *topology, int rank, enum role role)
{
	return topology_index(topology, role, rank) >= 0;
}

int topology_rank(const struct topology *topology, enum role role, int index)
{
	ASSERT(index >= 0 && index < topology->count[role]);
	return topology->first[role] + index;
}

int topology_index(const struct topology *topology, enum role role, int rank)
{
	int index = rank - topology->first[role];
	return index >= 0 && index < topology->count[role] ? index : -1;
}

void topology_name(const struct topology *topology, int rank, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int role = 0; role < ROLE_COUNT; role++) {
		int index = topology_index(topology, (enum role)role, rank);
		if (index >= 0 && used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%s.%d",
						 used ? "+" : "", role_name((enum role)role),
						 index);
	}
}

int topology_sharing(const struct topology *topology, int rank)
{
	int most = 1;

	for (int role = 0; role < ROLE_COUNT; role++)
		if (topology_plays(topology, rank, (enum role)role) && topology->count[role] > most)
			most = topology->count[role];
	return most;
}

/* ranks: 1 2 4 */
/* Reward ranks: one copy of each frozen model on a node, one rank's failure to load is
 * everyone's, and all judge alike. */
#include <stdio.h>
#include <string.h>

#include "reward/reward.h"
#include "tests/mpi/check.h"

#define MODELS "tests/golden/models/"

enum { MAX_MAPPINGS = 8, MAX_RANKS = 8 };

static void set_config(struct run_config *config)
{
	static char policy[] = MODELS "gpt2", reference[] = MODELS "llama-gqa";
	static char judge[] = MODELS "rm-gpt2", another[] = MODELS "rm-llama", model[] = "model";
	static char chat[] = "auto";

	*config = (struct run_config){.policy.path = policy,
				      .reference.path = reference,
				      .data = {.max_length = 16, .chat = chat},
				      .rollout = {.max_new_tokens = 16, .temperature = 1}};
	config->reward.n_sources = 2;
	config->reward.sources[0] =
		(struct reward_source){.type = model, .path = judge, .weight = 1};
	config->reward.sources[1] =
		(struct reward_source){.type = model, .path = another, .weight = 1};
}

static enum status create(struct reward **reward, const struct run_config *config,
			  struct comm *world, struct error *err)
{
	static const struct topology topology = {.n_ranks = 1};

	return reward_create(reward, config, NULL, &topology, world, NULL, NULL, err);
}

/* The files behind this process's shared weights, by inode, with what of them is
 * resident; their number. */
struct mapping {
	unsigned long inode;
	unsigned long kilobytes;
	char permissions[5];
};

static int find_mappings(struct mapping mappings[MAX_MAPPINGS])
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[512];
	int n = 0;
	bool is_inside = false;

	CHECK(file != NULL);
	while (file && fgets(line, sizeof line, file)) {
		struct mapping found = {0};

		if (sscanf(line, "%*x-%*x %4s %*x %*s %lu", found.permissions, &found.inode) == 2) {
			is_inside = strstr(line, "/memfd:weights") && n < MAX_MAPPINGS;
			if (is_inside)
				mappings[n++] = found;
		} else if (is_inside) {
			sscanf(line, "Rss: %lu", &mappings[n - 1].kilobytes);
		}
	}
	if (file)
		fclose(file);
	return n;
}

static void test_ranks_of_a_node_map_one_copy(struct comm *world)
{
	struct mapping mine[MAX_MAPPINGS] = {0}, all[MAX_RANKS][MAX_MAPPINGS];
	struct frozen_bytes bytes, of_all[MAX_RANKS], total = {0};
	struct run_config config;
	struct reward *reward;
	struct error err = {""};
	int size = comm_size(world);

	set_config(&config);
	CHECK(create(&reward, &config, world, &err) == STATUS_OK);
	/* A rank by itself has no need of it. */
	CHECK(find_mappings(mine) == (size > 1 ? 3 : 0));
	comm_allgather(world, mine, sizeof mine, all);
	for (int r = 0; r < size; r++)
		for (int i = 0; size > 1 && i < 3; i++) {
			bool is_found = false;

			for (int k = 0; k < 3; k++)
				is_found = is_found || all[r][k].inode == mine[i].inode;
			CHECK(is_found);
			CHECK(strcmp(mine[i].permissions, "r--s") == 0 && mine[i].kilobytes > 0);
		}
	/* Counted once, whoever has filled it. */
	bytes = reward_bytes(reward);
	comm_allgather(world, &bytes, sizeof bytes, of_all);
	for (int r = 0; r < size; r++) {
		CHECK(of_all[r].filled + of_all[r].mapped == bytes.filled + bytes.mapped);
		total.filled += of_all[r].filled;
		total.mapped += of_all[r].mapped;
	}
	CHECK(total.filled == bytes.filled + bytes.mapped);
	CHECK(total.mapped == (size_t)(size - 1) * total.filled);
	reward_destroy(reward);
	CHECK(find_mappings(mine) == 0);
}

/* The last rank's config differs from the others' by what is done to it. */
static void check_refused(struct comm *world, void (*spoil)(struct run_config *config),
			  const char *sentence)
{
	struct run_config config;
	struct reward *reward;
	struct error err = {""};

	set_config(&config);
	if (comm_rank(world) == comm_size(world) - 1)
		spoil(&config);
	CHECK(create(&reward, &config, world, &err) == STATUS_BAD_INPUT);
	CHECK(strstr(err.text, sentence) != NULL);
	reward_destroy(reward);
}

static char missing[] = "no-such-model";

static void spoil_policy(struct run_config *config)
{
	config->policy.path = missing;
}

static void spoil_reference(struct run_config *config)
{
	config->reference.path = missing;
}

static void spoil_source(struct run_config *config)
{
	config->reward.sources[0].path = missing;
}

static void spoil_moments(struct run_config *config)
{
	config->reward.sources[0].normalise = true;
}

static void test_a_failure_is_everyones(struct comm *world)
{
	check_refused(world, spoil_policy, "no-such-model");
	check_refused(world, spoil_reference, "no-such-model");
	check_refused(world, spoil_source, "no-such-model");
	check_refused(world, spoil_moments, "reward_mean is missing");
}

/* As where a node has other files at the same path: memory of another size is not shared. */
static void spoil_weights(struct run_config *config)
{
	static char other[] = MODELS "gpt2";

	config->reference.path = other;
}

static void test_ranks_that_judge_differently_are_refused(struct comm *world)
{
	if (comm_size(world) == 1)
		return;
	check_refused(world, spoil_weights, "has another model at " MODELS);
}

int main(void)
{
	struct comm *world = comm_init();

	test_ranks_of_a_node_map_one_copy(world);
	test_a_failure_is_everyones(world);
	test_ranks_that_judge_differently_are_refused(world);
	return check_end(world);
}

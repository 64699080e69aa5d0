/* ranks: 1 2 4 8 */
/* An optimizer whose state is shared out over learners: the weights, and the files of
 * the moments, have the bits of a single learner, and any number of learners goes on
 * from them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/rng.h"
#include "learner/agreement.h"
#include "learner/moments.h"
#include "tests/mpi/check.h"

enum { LANES = 8, UNITS = 11, STEPS = 3 };
/* Words of a vocabulary that makes about six blocks of the sums of squares, so that eight
 * learners get unequal parts; and of one that makes the model large. */
enum { SMALL = 12000, LARGE = 70000 };

static struct model *new_model(int n_vocab)
{
	struct model_config config = {.norm = NORM_LAYER,
				      .position = POSITION_LEARNED,
				      .mlp = MLP_PLAIN,
				      .biases = BIAS_QKV | BIAS_O | BIAS_MLP,
				      .n_channels = 32,
				      .n_heads = 2,
				      .n_kv_heads = 2,
				      .head_dim = 16,
				      .n_ff = 32,
				      .n_layers = 1,
				      .n_vocab = n_vocab,
				      .n_embedding = 32,
				      .max_positions = 8,
				      .tied = true,
				      .head = HEAD_LM};
	struct model *model = model_create(&config, false);

	model_init_random(model, 5, 0.1);
	return model;
}

struct toy {
	uint32_t step;
	int bad_unit; /* whose gradient is not a number; -1: none */
	bool has_zeros; /* every third number is a negative zero */
	size_t n;
};

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const struct toy *toy = context;

	(void)arena;
	(void)pool;
	for (int i = first; i < first + n; i++) {
		for (size_t k = 0; k < toy->n; k += 4) {
			const uint32_t key[4] = {toy->step, (uint32_t)i, (uint32_t)k, 0};
			uint32_t words[4];

			rng_block(7, RNG_DATA, key, words);
			for (size_t j = 0; j < 4 && k + j < toy->n; j++)
				grads[k + j] += (float)(int32_t)words[j] * 1e-8f;
		}
		for (size_t k = 0; toy->has_zeros && k < toy->n; k += 3)
			grads[k] = -0.0f;
		if (i == toy->bad_unit)
			grads[toy->n / 2] = NAN;
		stats[0] += 1.0 / (i + 1);
	}
}

static bool step(struct trainer *trainer, uint32_t index, int bad_unit, double *norm)
{
	static const int lengths[UNITS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
	struct toy toy = {.step = index, .bad_unit = bad_unit,
			  .n = trainer->model->layout.n_floats};
	double stats[1];
	bool applied = trainer_step(trainer, lengths, UNITS, 1e-2, microbatch, &toy, stats, 1, norm);

	CHECK(stats[0] > 3 && stats[0] < 3.1);
	return applied;
}

static bool same_weights(const struct model *a, const struct model *b)
{
	return memcmp(a->weights, b->weights, a->layout.n_floats * sizeof(float)) == 0;
}

static bool same_files(const char *dir, const char *a, const char *b)
{
	struct buf bytes[2] = {BUF_INIT, BUF_INIT};
	const char *const names[2] = {a, b};
	struct error err;
	bool same = true;

	for (int i = 0; i < 2; i++) {
		char *path = path_join(dir, names[i]);

		same = file_read(path, 1 << 26, &bytes[i], &err) == STATUS_OK && same;
		free(path);
	}
	same = same && bytes[0].length == bytes[1].length &&
	       memcmp(bytes[0].data, bytes[1].data, bytes[0].length) == 0;
	buf_release(&bytes[0]);
	buf_release(&bytes[1]);
	return same;
}

/* A directory that all ranks know. */
static void make_dir(struct comm *world, char dir[64])
{
	snprintf(dir, 64, "/tmp/rlhf-test-trainer-XXXXXX");
	if (comm_is_lead(world) && !mkdtemp(dir))
		die("cannot make a directory in /tmp");
	comm_broadcast(world, dir, 64, 0);
}

static void check_optimizer(struct comm *world, struct comm *self,
			    const struct optimizer_config *optimizer)
{
	struct model *model = new_model(SMALL), *alone = new_model(SMALL);
	struct trainer shared, single;
	struct ledger planned = {0};
	struct error err = {""};
	double norm, norm_alone;
	char dir[64];

	make_dir(world, dir);
	trainer_init(&shared, model, optimizer, LANES, world, NULL);
	trainer_init(&single, alone, optimizer, LANES, self, NULL);
	trainer_plan(&planned, model, optimizer, LANES, comm_rank(world), comm_size(world));
	CHECK(ledger_sum(&planned) + model_bytes(model) == trainer_bytes(&shared));
	CHECK(single.begin == 0 && single.end == model->layout.n_floats);
	CHECK(comm_size(world) == 1 || shared.end - shared.begin < model->layout.n_floats);
	for (uint32_t i = 0; i < STEPS; i++) {
		int bad = i == 1 ? 9 : -1; /* of one learner alone */

		CHECK(step(&shared, i, bad, &norm) == (bad < 0));
		CHECK(step(&single, i, bad, &norm_alone) == (bad < 0));
		CHECK(memcmp(&norm, &norm_alone, sizeof norm) == 0);
		CHECK(same_weights(model, alone));
		if (i == 1) {
			/* Saved by all and by one, to the same bytes; gone on from what the
			 * other wrote. */
			CHECK(moments_save(&shared, dir, "shared", &err) == STATUS_OK);
			if (comm_is_lead(world)) {
				CHECK(moments_save(&single, dir, "single", &err) == STATUS_OK);
				CHECK(same_files(dir, "shared-m.safetensors",
						 "single-m.safetensors"));
				CHECK(!shared.v || same_files(dir, "shared-v.safetensors",
							      "single-v.safetensors"));
			}
			comm_barrier(world);
			memset(shared.m, 1, (shared.end - shared.begin) * sizeof(float));
			memset(single.m, 1, single.end * sizeof(float));
			CHECK(moments_load(&shared, dir, "single", &err) == STATUS_OK);
			CHECK(moments_load(&single, dir, "shared", &err) == STATUS_OK);
		}
	}
	CHECK(shared.t == STEPS - 1 && shared.skipped == 1);
	/* One learner's part is not finite: nobody saves. */
	if (shared.begin <= model->layout.n_floats / 3 && model->layout.n_floats / 3 < shared.end)
		shared.m[model->layout.n_floats / 3 - shared.begin] = NAN;
	CHECK(moments_save(&shared, dir, "bad", &err) == STATUS_FAILED);
	CHECK(strstr(err.text, "bad-m.safetensors") != NULL);
	CHECK(moments_save(&shared, "/nowhere", "bad", &err) != STATUS_OK);
	trainer_release(&shared);
	trainer_release(&single);
	model_destroy(model);
	model_destroy(alone);
	comm_barrier(world);
	if (comm_is_lead(world))
		CHECK(file_remove_tree(dir, &err) == STATUS_OK);
}

/* Fewer units than lanes: a learner skips lanes, and all of them where it has no unit,
 * which the others add as zeros.  So a sum may be a zero of either sign, which a weight
 * that is one would show. */
static void check_empty_lanes(struct comm *world, struct comm *self,
			      const struct optimizer_config *optimizer, int n_vocab)
{
	static const int lengths[3] = {3, 1, 2};
	struct model *model = new_model(n_vocab), *alone = new_model(n_vocab);
	struct trainer shared, single;

	trainer_init(&shared, model, optimizer, LANES, world, NULL);
	trainer_init(&single, alone, optimizer, LANES, self, NULL);
	CHECK(model_is_small(model) == (n_vocab == SMALL));
	for (size_t k = 0; k < model->layout.n_floats; k += 3)
		model->weights[k] = alone->weights[k] = -0.0f;
	for (uint32_t i = 0; i < 2; i++) {
		struct toy toy = {.step = i,
				  .bad_unit = -1,
				  .has_zeros = true,
				  .n = model->layout.n_floats};
		double stats[2] = {0}, norms[2] = {0};

		CHECK(trainer_step(&shared, lengths, 3 - (int)i, 1e-2, microbatch, &toy, &stats[0],
				   1, &norms[0]));
		CHECK(trainer_step(&single, lengths, 3 - (int)i, 1e-2, microbatch, &toy, &stats[1],
				   1, &norms[1]));
		CHECK(norms[0] == norms[1] && norms[0] > 0 && stats[0] == stats[1]);
		CHECK(same_weights(model, alone));
		CHECK(!shared.m || memcmp(shared.m, single.m + shared.begin,
					  (shared.end - shared.begin) * sizeof(float)) == 0);
	}
	trainer_release(&shared);
	trainer_release(&single);
	model_destroy(model);
	model_destroy(alone);
}

/* One flipped bit of the last learner's copy: all say whose. */
static void check_agreement(struct comm *world, struct comm *self)
{
	struct model *model = new_model(SMALL);
	struct error err = {""};
	int last = comm_size(world) - 1;
	char rank[32];
	uint32_t *word = (uint32_t *)model->weights + model->layout.n_floats - 1;

	CHECK(agreement_check(world, "model", NULL, model, NULL, &err) == STATUS_OK);
	*word ^= comm_rank(world) == last;
	CHECK(agreement_check(self, "model", NULL, model, NULL, &err) == STATUS_OK);
	CHECK(agreement_check(world, "model", NULL, model, NULL, &err) ==
	      (last > 0 ? STATUS_BAD_INPUT : STATUS_OK));
	snprintf(rank, sizeof rank, "rank %d on host ", last);
	CHECK(last == 0 || (strncmp(err.text, rank, strlen(rank)) == 0 &&
			    strstr(err.text, " has another model than rank 0 on host ")));
	model_destroy(model);
}

int main(void)
{
	static char adamw[] = "adamw", sgd[] = "sgd";
	struct comm *world = comm_init();
	struct comm *self = comm_split(world, comm_rank(world));
	struct optimizer_config optimizer = {.name = adamw, .beta1 = .9, .beta2 = .999,
					     .eps = 1e-8, .weight_decay = .01,
					     .max_grad_norm = 1};

	check_optimizer(world, self, &optimizer);
	check_empty_lanes(world, self, &optimizer, SMALL);
	check_empty_lanes(world, self, &optimizer, LARGE);
	check_agreement(world, self);
	optimizer.name = sgd;
	optimizer.momentum = .9;
	check_optimizer(world, self, &optimizer);
	optimizer.momentum = optimizer.weight_decay = 0;
	check_empty_lanes(world, self, &optimizer, LARGE);
	comm_free(self);
	return check_end(world);
}

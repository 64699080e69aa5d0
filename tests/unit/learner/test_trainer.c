/* One optimizer step: gradients are the fixed tree over lanes to the bit, whatever
 * the threads, the microbatches and the size of the model; Adam is the golden
 * one; a gradient that is not finite changes nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/model/safetensors.h"
#include "learner/trainer.h"
#include "tests/unit/common/model/small_models.h"

static struct comm *world;

static struct model *new_model(int n_vocab)
{
	return small_gpt2(1, 32, n_vocab, 8);
}

static struct optimizer_config plain_sgd(void)
{
	static char name[] = "sgd";

	return (struct optimizer_config){.name = name, .learning_rate = 1};
}

static struct optimizer_config golden_adamw(void)
{
	static char name[] = "adamw";

	return (struct optimizer_config){.name = name, .beta1 = .9, .beta2 = .999, .eps = 1e-5};
}

/* --- a loss whose gradients are known --- */

/* Element k of unit i's gradient: of different magnitudes, so that the order of
 * a sum shows in its bits. */
static float toy_gradient(int i, size_t k)
{
	uint32_t x = (uint32_t)k * 2654435761u ^ (uint32_t)(i + 1) * 2246822519u;

	x ^= x >> 15;
	x *= 2246822519u;
	x ^= x >> 13;
	return ((float)(x & 0xffff) - 32768) * (x & 0x10000 ? 1.f : 1e-3f);
}

struct toy {
	size_t n;	    /* floats of a gradient */
	const int *lengths; /* of the units */
	int limit;	    /* tokens of a microbatch */
	int n_units, lanes;
};

static int lane_of(const struct toy *toy, int i)
{
	int lane = 0;

	while (toy->n_units * (lane + 1) / toy->lanes <= i)
		lane++;
	return lane;
}

static void toy_microbatch(void *context, int first, int n, float *grads, double *stats,
			   struct arena *arena, struct pool *pool)
{
	const struct toy *toy = context;
	int tokens = 0;

	(void)arena;
	(void)pool;
	for (int i = first; i < first + n; i++) {
		for (size_t k = 0; k < toy->n; k++)
			grads[k] += toy_gradient(i, k);
		stats[0] += 1;
		stats[1] += toy_gradient(i, 0);
		tokens += toy->lengths[i];
	}
	if (n > 1 && tokens > toy->limit)
		die("a microbatch of %d tokens", tokens);
	if (lane_of(toy, first) != lane_of(toy, first + n - 1))
		die("a microbatch crosses lanes");
}

/* The tree of one element, as the header describes it. */
static float toy_tree(const struct toy *toy, int first, int n, size_t k)
{
	float sum = 0;

	if (n > 1)
		return toy_tree(toy, first, n / 2, k) + toy_tree(toy, first + n / 2, n / 2, k);
	for (int i = toy->n_units * first / toy->lanes; i < toy->n_units * (first + 1) / toy->lanes;
	     i++)
		sum += toy_gradient(i, k);
	return sum;
}

static void check_tree(int n_vocab, int n_units, int lanes, int threads, int limit)
{
	int lengths[32];
	struct model *model = new_model(n_vocab);
	struct optimizer_config optimizer = plain_sgd();
	struct pool *pool = pool_create(threads);
	struct toy toy = {.n = model->layout.n_floats,
			  .lengths = lengths,
			  .limit = limit,
			  .n_units = n_units,
			  .lanes = lanes};
	struct trainer trainer;
	double stats[2], norm;

	for (int i = 0; i < n_units; i++)
		lengths[i] = 1 + i % 5;
	trainer_init(&trainer, model, &optimizer, lanes, world, pool);
	trainer.microbatch_tokens = limit;
	assert_true(
		trainer_step(&trainer, lengths, n_units, 1, toy_microbatch, &toy, stats, 2, &norm));
	for (size_t k = 0; k < toy.n; k++)
		if (model->weights[k] != -toy_tree(&toy, 0, lanes, k))
			fail_msg("element %zu: %.9g, expected %.9g", k, model->weights[k],
				 -toy_tree(&toy, 0, lanes, k));
	assert_true(stats[0] == n_units);
	assert_int_equal(trainer.t, 1);
	trainer_release(&trainer);
	pool_destroy(pool);
	model_destroy(model);
}

static void test_gradient_is_the_fixed_tree_for_any_threads_and_microbatches(void **state)
{
	(void)state;
	for (int threads = 1; threads <= 3; threads++)
		for (int limit = 1; limit <= 100; limit *= 10)
			check_tree(50, 23, 8, threads, limit);
}

static void test_gradient_is_the_tree_for_any_lanes(void **state)
{
	(void)state;
	for (int lanes = 1; lanes <= 32; lanes *= 2)
		check_tree(50, 23, lanes, 2, 10);
}

static void test_large_model_sums_by_the_same_tree(void **state)
{
	struct model *model = new_model(70000);

	(void)state;
	assert_false(model_is_small(model));
	model_destroy(model);
	check_tree(70000, 5, 4, 2, 6);
}

static void test_fewer_units_than_lanes_will_do(void **state)
{
	(void)state;
	check_tree(50, 3, 8, 2, 10);
}

/* --- the update --- */

static void constant_microbatch(void *context, int first, int n, float *grads, double *stats,
				struct arena *arena, struct pool *pool)
{
	const float *gradient = context;

	(void)first;
	(void)n;
	(void)stats;
	(void)arena;
	(void)pool;
	grads[0] += *gradient;
}

static bool step(struct trainer *trainer, float gradient, double rate, double *norm)
{
	static const int length = 1;
	double stats[1];

	return trainer_step(trainer, &length, 1, rate, constant_microbatch, &gradient, stats, 1,
			    norm);
}

static void test_adamw_is_the_golden_one(void **state)
{
	static const float gradients[3] = {1e-4f, -2e-4f, 3e-4f};
	static const double expected[3] = {.999090909, .999435239, .999107179};
	struct model *model = new_model(50);
	struct optimizer_config optimizer = golden_adamw();
	struct trainer trainer;
	double norm;

	(void)state;
	trainer_init(&trainer, model, &optimizer, 8, world, NULL);
	model->weights[0] = 1;
	for (int i = 0; i < 3; i++) {
		assert_true(step(&trainer, gradients[i], 1e-3, &norm));
		assert_true(fabs(norm - fabs(gradients[i])) < 1e-10);
		if (fabs(model->weights[0] - expected[i]) > 1.5e-7)
			fail_msg("step %d: %.9g, expected %.9g", i, model->weights[0], expected[i]);
	}
	trainer_release(&trainer);
	model_destroy(model);
}

/* --- against torch and transformers; tests/golden/make_optimizers.py --- */

/* All of a golden tensor; *n is its length. */
static float *golden(const char *name, size_t *n)
{
	struct safetensors file;
	const struct tensor_view *view;
	struct error err = {""};
	float *values;

	if (safetensors_open(&file, "tests/golden/optimizers.safetensors", &err) != STATUS_OK)
		fail_msg("%s", err.text);
	view = safetensors_find(&file, name);
	if (!view)
		fail_msg("golden tensor %s is missing", name);
	*n = view->n_elements;
	values = xcalloc(*n, sizeof *values);
	if (tensor_read(view, 0, *n, values, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	safetensors_close(&file);
	return values;
}

struct golden_gradient {
	const float *values;
	size_t n;
};

static void golden_microbatch(void *context, int first, int n, float *grads, double *stats,
			      struct arena *arena, struct pool *pool)
{
	const struct golden_gradient *gradient = context;

	(void)first;
	(void)n;
	(void)stats;
	(void)arena;
	(void)pool;
	for (size_t k = 0; k < gradient->n; k++)
		grads[k] += gradient->values[k];
}

static void check_golden_steps(const char *name, struct optimizer_config optimizer)
{
	static const int length = 1;
	struct model *model = new_model(50);
	size_t n, n_all, n_same;
	float *start = golden("start", &n), *gradients = golden("gradients", &n_all);
	float *expected = golden(name, &n_same);
	struct trainer trainer;
	double norm;

	assert_true(n_same == n_all && n < model->layout.n_floats);
	trainer_init(&trainer, model, &optimizer, 8, world, NULL);
	memcpy(model->weights, start, n * sizeof *start);
	for (size_t at = 0; at < n_all; at += n) {
		struct golden_gradient gradient = {.values = gradients + at, .n = n};

		assert_true(trainer_step(&trainer, &length, 1, .01, golden_microbatch, &gradient,
					 NULL, 0, &norm));
		for (size_t k = 0; k < n; k++)
			if (fabs((double)model->weights[k] - (double)expected[at + k]) >
			    1e-6 * fmax(1, fabs((double)expected[at + k])))
				fail_msg("%s, step %zu, element %zu: %.9g, expected %.9g", name,
					 at / n + 1, k, model->weights[k], expected[at + k]);
	}
	trainer_release(&trainer);
	model_destroy(model);
	free(start);
	free(gradients);
	free(expected);
}

static void test_optimizers_are_those_of_torch(void **state)
{
	static char adamw[] = "adamw", sgd[] = "sgd";

	(void)state;
	check_golden_steps("adamw", (struct optimizer_config){.name = adamw, .beta1 = .9,
							      .beta2 = .999, .eps = 1e-8});
	check_golden_steps("adamw.decay",
			   (struct optimizer_config){.name = adamw, .beta1 = .8, .beta2 = .99,
						     .eps = 1e-5, .weight_decay = .1});
	check_golden_steps("sgd", (struct optimizer_config){.name = sgd});
	check_golden_steps("sgd.momentum", (struct optimizer_config){.name = sgd, .momentum = .9});
	check_golden_steps("sgd.decay", (struct optimizer_config){.name = sgd, .momentum = .5,
								  .weight_decay = .1});
}

static void test_schedules_are_those_of_transformers(void **state)
{
	static const char *const names[] = {"constant", "linear", "cosine"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (int warmup = 0; warmup <= 4; warmup += 4) {
			char name[64];
			size_t n;
			float *factors;

			snprintf(name, sizeof name, "schedule.%s%s", names[i],
				 warmup ? "" : ".plain");
			factors = golden(name, &n);
			for (size_t k = 0; k < n; k++)
				assert_true(fabs(schedule_factor(names[i], (int64_t)k, warmup,
								 (int64_t)n) -
						 (double)factors[k]) < 1e-7);
			free(factors);
		}
	}
}

static void test_gradient_that_is_not_finite_changes_nothing(void **state)
{
	static const float bad[3] = {NAN, INFINITY, -INFINITY};
	struct model *model = new_model(50);
	struct optimizer_config optimizer = golden_adamw();
	struct trainer trainer;
	double norm;
	float weight, m, v;

	(void)state;
	trainer_init(&trainer, model, &optimizer, 8, world, NULL);
	model->weights[0] = 1;
	assert_true(step(&trainer, .5f, 1e-3, &norm));
	weight = model->weights[0], m = trainer.m[0], v = trainer.v[0];
	for (int i = 0; i < 3; i++) {
		assert_false(step(&trainer, bad[i], 1e-3, &norm));
		assert_false(isfinite(norm));
		assert_int_equal(trainer.skipped, i + 1);
		assert_int_equal(trainer.t, 1);
		assert_true(model->weights[0] == weight && trainer.m[0] == m && trainer.v[0] == v);
	}
	assert_true(step(&trainer, .5f, 1e-3, &norm));
	assert_true(isfinite(model->weights[0]) && model->weights[0] < weight);
	trainer_release(&trainer);
	model_destroy(model);
}

/* Its square would make the second moment infinite, and the weight stand still for ever. */
static void test_gradient_too_large_to_be_squared_changes_nothing(void **state)
{
	struct model *model = new_model(50);
	struct optimizer_config optimizer = golden_adamw();
	struct trainer trainer;
	double norm;

	(void)state;
	optimizer.max_grad_norm = 0;
	trainer_init(&trainer, model, &optimizer, 8, world, NULL);
	model->weights[0] = 1;
	assert_false(step(&trainer, 3e19f, 1e-3, &norm));
	assert_true(isfinite(norm) && norm > 1e19);
	assert_true(trainer.skipped == 1 && model->weights[0] == 1 && trainer.v[0] == 0);
	assert_true(step(&trainer, 1e19f, 1e-3, &norm));
	assert_true(isfinite(trainer.v[0]));
	trainer.optimizer.max_grad_norm = 1;
	assert_true(step(&trainer, 3e19f, 1e-3, &norm));
	assert_true(isfinite(trainer.v[0]));
	trainer_release(&trainer);
	model_destroy(model);
}

static void test_long_gradient_is_clipped_and_reported_unclipped(void **state)
{
	struct model *model = new_model(50);
	struct optimizer_config optimizer = plain_sgd();
	struct trainer trainer;
	double norm;

	(void)state;
	optimizer.max_grad_norm = 2;
	trainer_init(&trainer, model, &optimizer, 8, world, NULL);
	assert_true(step(&trainer, 8, 1, &norm));
	assert_true(norm == 8);
	assert_true(fabs(model->weights[0] + 2) < 1e-5);
	assert_true(step(&trainer, 1, 1, &norm));
	assert_true(fabs(model->weights[0] + 3) < 1e-5);
	trainer_release(&trainer);
	model_destroy(model);
}

static void test_decay_spares_biases_and_norms(void **state)
{
	struct model *model = new_model(50);
	struct optimizer_config optimizer = plain_sgd();
	struct trainer trainer;
	double norm;

	(void)state;
	optimizer.weight_decay = .5;
	trainer_init(&trainer, model, &optimizer, 8, world, NULL);
	for (size_t k = 0; k < model->layout.n_floats; k++)
		model->weights[k] = 1;
	assert_true(step(&trainer, 0, .5, &norm));
	for (int i = 0; i < model->layout.n; i++) {
		const struct param *param = &model->layout.items[i];
		float expected = param->decays ? .75f : 1;

		assert_true(param->decays == (param->cols > 1));
		for (int k = 0; k < param->rows * param->cols; k++)
			assert_true(model->weights[param->offset + (size_t)k] == expected);
	}
	trainer_release(&trainer);
	model_destroy(model);
}

static void test_schedules_have_their_shapes(void **state)
{
	(void)state;
	assert_true(schedule_factor("constant", 0, 0, 10) == 1);
	assert_true(schedule_factor("constant", 9, 0, 10) == 1);
	assert_true(schedule_factor("linear", 0, 0, 10) == 1);
	assert_true(fabs(schedule_factor("linear", 9, 0, 10) - .1) < 1e-15);
	assert_true(schedule_factor("linear", 12, 0, 10) == 0);
	assert_true(fabs(schedule_factor("cosine", 5, 0, 10) - .5) < 1e-15);
	assert_true(fabs(schedule_factor("cosine", 10, 0, 10)) < 1e-15);
	/* Warm-up: the first step has rate 0, and the top is reached at its end. */
	assert_true(schedule_factor("linear", 0, 4, 10) == 0);
	assert_true(schedule_factor("linear", 1, 4, 10) == .25);
	assert_true(schedule_factor("linear", 4, 4, 10) == 1);
	assert_true(schedule_factor("cosine", 4, 4, 10) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gradient_is_the_fixed_tree_for_any_threads_and_microbatches),
		cmocka_unit_test(test_gradient_is_the_tree_for_any_lanes),
		cmocka_unit_test(test_large_model_sums_by_the_same_tree),
		cmocka_unit_test(test_fewer_units_than_lanes_will_do),
		cmocka_unit_test(test_adamw_is_the_golden_one),
		cmocka_unit_test(test_optimizers_are_those_of_torch),
		cmocka_unit_test(test_schedules_are_those_of_transformers),
		cmocka_unit_test(test_gradient_that_is_not_finite_changes_nothing),
		cmocka_unit_test(test_gradient_too_large_to_be_squared_changes_nothing),
		cmocka_unit_test(test_long_gradient_is_clipped_and_reported_unclipped),
		cmocka_unit_test(test_decay_spares_biases_and_norms),
		cmocka_unit_test(test_schedules_have_their_shapes),
	};
	int failed;

	world = comm_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	comm_finalize();
	return failed;
}

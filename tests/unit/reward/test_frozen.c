/* Frozen models: an item's log-probabilities and scores have the same bytes whatever
 * its companions, the threads and the path that the model's size takes; scores are
 * those of transformers. */
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
#include "common/model/hf_checkpoint.h"
#include "common/model/safetensors.h"
#include "common/model/transformer.h"
#include "reward/frozen.h"
#include "tests/unit/common/model/small_models.h"

enum {
	N_ITEMS = 60, /* more tokens than one group takes */
	LONGEST = 40,
	V = 97,
	SMALL_POSITIONS = 64,
	LARGE_POSITIONS = 70000, /* makes the large path; the tests use the beginning */
};

static const int32_t banned[] = {5, 40, 41};

static struct model *new_model(enum head_kind head, int max_positions)
{
	struct model *model = small_gpt2(2, 64, V, max_positions), *scorer;
	struct model_config config = model->config;

	if (head == HEAD_SCORE) {
		config.head = head;
		config.n_labels = 3;
		config.pad_id = 0;
		scorer = model_create(&config, false);
		model_destroy(model);
		model = scorer;
	}
	model_init_random(model, 5, .3);
	model_pack(model, WEIGHTS_F32, NULL);
	return model;
}

/* --- items --- */

struct items {
	struct frozen_item list[N_ITEMS];
	int32_t ids[N_ITEMS][LONGEST];
	float logprob[N_ITEMS][LONGEST];
	float scores[N_ITEMS][3];
};

static void set_items(struct items *items)
{
	*items = (struct items){0};
	for (int i = 0; i < N_ITEMS; i++) {
		int n = 2 + i * 23 % (LONGEST - 1);

		for (int k = 0; k < LONGEST; k++)
			items->ids[i][k] = 1 + (i * 31 + k * k * 7) % (V - 1);
		items->list[i] = (struct frozen_item){.ids = items->ids[i],
						      .n = n,
						      .first = 1 + i % (n - 1),
						      .n_early = i % 4,
						      .logprob = items->logprob[i],
						      .scores = items->scores[i]};
	}
}

static void run_items(const struct model *model, struct frozen_item *items, int n, int n_threads)
{
	struct pool *pool = pool_create(n_threads);
	struct workspace workspace;

	workspace_init(&workspace, pool);
	if (model->config.head == HEAD_LM)
		frozen_logprobs(model, items, n, 1.25f, banned, 3, &workspace, pool);
	else
		frozen_scores(model, items, n, POOLING_LAST_NON_PAD, &workspace, pool);
	workspace_release(&workspace);
	pool_destroy(pool);
}

static void run_alone(const struct model *model, struct items *items)
{
	set_items(items);
	for (int i = 0; i < N_ITEMS; i++)
		run_items(model, &items->list[i], 1, 1);
}

static void check_together(const struct model *model, const struct items *expected, int n_threads,
			   bool is_reversed)
{
	struct items items;

	set_items(&items);
	for (int i = 0; i < N_ITEMS / 2 && is_reversed; i++) {
		struct frozen_item item = items.list[i];

		items.list[i] = items.list[N_ITEMS - 1 - i];
		items.list[N_ITEMS - 1 - i] = item;
	}
	run_items(model, items.list, N_ITEMS, n_threads);
	assert_memory_equal(items.logprob, expected->logprob, sizeof items.logprob);
	assert_memory_equal(items.scores, expected->scores, sizeof items.scores);
}

static void check_companions(enum head_kind head)
{
	struct model *small = new_model(head, SMALL_POSITIONS);
	struct model *large = new_model(head, LARGE_POSITIONS);
	struct items expected;

	assert_true(model_is_small(small));
	assert_false(model_is_small(large));
	run_alone(small, &expected);
	for (int threads = 1; threads <= 2; threads++)
		for (int reversed = 0; reversed < 2; reversed++) {
			check_together(small, &expected, threads, reversed);
			check_together(large, &expected, threads, reversed);
		}
	model_destroy(small);
	model_destroy(large);
}

static void test_logprobs_do_not_depend_on_companions_threads_or_path(void **state)
{
	(void)state;
	check_companions(HEAD_LM);
}

static void test_scores_do_not_depend_on_companions_threads_or_path(void **state)
{
	(void)state;
	check_companions(HEAD_SCORE);
}

static void test_nothing_to_do_is_done(void **state)
{
	struct model *model = new_model(HEAD_LM, SMALL_POSITIONS);

	(void)state;
	run_items(model, NULL, 0, 2);
	model_destroy(model);
}

/* --- against the parts --- */

static void test_logprobs_are_of_each_id_from_the_first_on(void **state)
{
	struct model *model = new_model(HEAD_LM, SMALL_POSITIONS);
	struct items items;
	struct arena arena;

	(void)state;
	run_alone(model, &items);
	arena_init(&arena);
	for (int i = 0; i < N_ITEMS; i++) {
		const struct frozen_item *item = &items.list[i];
		int offsets[2] = {0, item->n};
		struct batch batch = {.ids = item->ids, .offsets = offsets, .n_seqs = 1};
		float hidden[LONGEST * 32], logprob;

		transformer_forward(model, &batch, hidden, NULL, &arena, NULL);
		for (int k = item->first; k < LONGEST; k++) {
			uint8_t early = k - item->first < item->n_early;
			struct head_ban ban = {.ids = banned, .n_ids = 3, .applies = &early};
			int row = k - 1;

			logprob = 0; /* past the end nothing is written */
			if (k < item->n)
				head_logprobs(model, hidden, &row, &item->ids[k], 1, 1.25f, &ban,
					      &logprob, NULL, NULL, &arena, NULL);
			assert_memory_equal(&items.logprob[i][k - item->first], &logprob,
					    sizeof logprob);
		}
	}
	arena_release(&arena);
	model_destroy(model);
}

static void test_padding_behind_a_sequence_does_not_change_its_score(void **state)
{
	struct model *model = new_model(HEAD_SCORE, SMALL_POSITIONS);
	struct items items, padded;

	(void)state;
	run_alone(model, &items);
	set_items(&padded);
	for (int i = 0; i < N_ITEMS; i++)
		for (int k = padded.list[i].n; k < LONGEST && k < items.list[i].n + 3; k++)
			padded.ids[i][padded.list[i].n++] = 0;
	run_items(model, padded.list, N_ITEMS, 1);
	assert_memory_equal(items.scores, padded.scores, sizeof items.scores);
	model_destroy(model);
}

/* --- against transformers --- */

struct golden {
	struct model *model;
	struct safetensors file;
	const struct tensor_view *scores;
	int64_t ids[8 * 64], mask[8 * 64];
	int n, length;
};

/* A tensor [n, length] of I64, little-endian. */
static void read_integers(struct golden *golden, const char *name, int64_t *out)
{
	const struct tensor_view *view = safetensors_find(&golden->file, name);
	struct error err;

	golden->n = (int)view->shape[0];
	golden->length = (int)view->shape[1];
	assert_true(golden->n <= 8 && golden->length <= 64);
	assert_int_equal(tensor_read_bytes(view, out, &err), STATUS_OK);
}

static void open_golden(struct golden *golden, const char *dir)
{
	struct hf_load_options options = {.head = HEAD_SCORE};
	struct error err = {""};
	char path[200];

	snprintf(path, sizeof path, "%s/golden.safetensors", dir);
	if (hf_load(&golden->model, dir, &options, NULL, &err) != STATUS_OK ||
	    safetensors_open(&golden->file, path, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	read_integers(golden, "input_ids", golden->ids);
	read_integers(golden, "attention_mask", golden->mask);
	golden->scores = safetensors_find(&golden->file, "pooled_logits");
}

static void test_scores_equal_those_of_transformers(void **state)
{
	struct golden golden;
	struct frozen_item items[8];
	int32_t ids[8][64];
	float scores[8], expected[8];
	struct error err;
	int n, length;

	(void)state;
	open_golden(&golden, "tests/golden/models/rm-llama");
	n = golden.n;
	length = golden.length;
	for (int b = 0; b < n; b++) {
		/* Padding in front is left out; behind it stays, and is not pooled. */
		const int64_t *mask = golden.mask + b * length;
		int first = 0;

		while (!mask[first])
			first++;
		for (int i = first; i < length; i++)
			ids[b][i - first] = (int32_t)golden.ids[b * length + i];
		items[b] = (struct frozen_item){
			.ids = ids[b], .n = length - first, .scores = &scores[b]};
	}
	run_items(golden.model, items, n, 2);
	assert_int_equal(tensor_read(golden.scores, 0, (size_t)n, expected, &err), STATUS_OK);
	for (int b = 0; b < n; b++)
		if (!(fabsf(scores[b] - expected[b]) <= 1e-5f))
			fail_msg("score %d is %g, expected %g", b, scores[b], expected[b]);
	model_destroy(golden.model);
	safetensors_close(&golden.file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logprobs_do_not_depend_on_companions_threads_or_path),
		cmocka_unit_test(test_scores_do_not_depend_on_companions_threads_or_path),
		cmocka_unit_test(test_nothing_to_do_is_done),
		cmocka_unit_test(test_logprobs_are_of_each_id_from_the_first_on),
		cmocka_unit_test(test_padding_behind_a_sequence_does_not_change_its_score),
		cmocka_unit_test(test_scores_equal_those_of_transformers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Embeddings of a frozen backbone: kept or computed each time, the same bits, each row
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "learner/embeddings.h"

enum { C = 32, N_ROWS = 3 };

static struct supervised run;

static int set_up(void **state)
{
	static int32_t ids[N_ROWS][5] = {{1, 2, 3, 4, 0}, {5, 6, 0, 0, 0}, {7, 7, 8, 1, 2}};
	static const int lengths[N_ROWS] = {5, 5, 5};
	struct model_config config = {.norm = NORM_LAYER,
				      .position = POSITION_LEARNED,
				      .mlp = MLP_PLAIN,
				      .biases = BIAS_QKV | BIAS_O | BIAS_MLP,
				      .n_channels = C,
				      .n_embedding = C,
				      .n_heads = 2,
				      .n_kv_heads = 2,
				      .head_dim = 16,
				      .n_ff = 32,
				      .n_layers = 1,
				      .n_vocab = 9,
				      .max_positions = 8,
				      .attention_scale = .25f,
				      .embedding_scale = 1,
				      .has_final_norm = true,
				      .norm_eps = 1e-5f,
				      .head = HEAD_SCORE,
				      .n_labels = 2,
				      .pad_id = 0};

	(void)state;
	run.session.world = comm_init();
	run.model = model_create(&config, false);
	model_init_random(run.model, 3, .2);
	model_pack(run.model, WEIGHTS_F32, NULL);
	run.trainer.microbatch_tokens = 8;
	workspace_init(&run.trainer.workspace, NULL);
	run.train.n = N_ROWS;
	run.train.rows = calloc(N_ROWS, sizeof *run.train.rows);
	for (int i = 0; i < N_ROWS; i++)
		run.train.rows[i] = (struct row){.ids = ids[i], .n = lengths[i]};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(run.train.rows);
	workspace_release(&run.trainer.workspace);
	model_destroy(run.model);
	comm_finalize();
	return 0;
}

static void get(const struct embeddings *embeddings, const int *rows, int n, float *out)
{
	struct units units = {
		.run = &run, .model = run.model, .dataset = &run.train, .rows = rows, .weight = 1};

	embeddings_get(embeddings, &units, 0, n, out, &run.trainer.workspace.arenas[0], NULL);
}

static void test_kept_embeddings_are_those_computed_each_time(void **state)
{
	static const int rows[4] = {2, 0, 1, 2};
	struct embeddings kept, none;
	float a[4 * C], b[4 * C];

	(void)state;
	embeddings_init(&kept, &run.train, run.model, run.session.world);
	assert_non_null(kept.rows);
	none = (struct embeddings){.dataset = &run.train, .width = C};
	embeddings_look(&kept, &run, rows, 4);
	embeddings_look(&none, &run, rows, 4);
	get(&kept, rows, 4, a);
	get(&none, rows, 4, b);
	assert_memory_equal(a, b, sizeof a);
	/* The pad behind it is not row 1's, and rows differ. */
	assert_memory_not_equal(a, a + C, C * sizeof *a);
	assert_memory_equal(a, a + 3 * C, C * sizeof *a);
	embeddings_release(&kept);
}

static void test_each_row_is_computed_once(void **state)
{
	static const int first[2] = {1, 1}, again[2] = {1, 2};
	struct embeddings kept;
	float a[2 * C];

	(void)state;
	embeddings_init(&kept, &run.train, run.model, run.session.world);
	embeddings_look(&kept, &run, first, 2);
	assert_true(kept.known[1] && !kept.known[0] && !kept.known[2]);
	kept.rows[C] = 77; /* of row 1 */
	embeddings_look(&kept, &run, again, 2);
	get(&kept, again, 2, a);
	assert_true(a[0] == 77);
	embeddings_look(&kept, &run, NULL, N_ROWS);
	assert_true(kept.known[0] && kept.known[2]);
	embeddings_release(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_embeddings_are_those_computed_each_time),
		cmocka_unit_test(test_each_row_is_computed_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

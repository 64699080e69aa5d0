/* How sequences are cut into groups: each of them once, in order, within the limit,
 * on the threads that the size of the model asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/model/sequences.h"
#include "tests/unit/common/model/small_models.h"

enum { MAX_SEQUENCES = 100, SMALL_POSITIONS = 8, LARGE_POSITIONS = 70000 };

static struct model *new_model(int max_positions)
{
	return small_gpt2(1, 32, 50, max_positions);
}

/* Where the work was called, by sequence. */
struct seen {
	int times[MAX_SEQUENCES], group[MAX_SEQUENCES], count[MAX_SEQUENCES];
	bool shares_a_pool;
};

static void note(void *context, int first, int count, struct arena *arena, struct pool *pool)
{
	struct seen *seen = context;
	size_t mark = arena_mark(arena);
	char *scratch = arena_alloc(arena, 4096, 1);

	/* Two threads in one arena would show under the address sanitizer. */
	memset(scratch, first, 4096);
	arena_rewind(arena, mark);
	for (int i = first; i < first + count; i++) {
		seen->times[i]++;
		seen->group[i] = first;
		seen->count[i] = count;
	}
	if (pool)
		seen->shares_a_pool = true;
}

static void check_run(const struct model *model, const int *lengths, int n, int max_tokens,
		      int n_threads, struct seen *seen)
{
	struct pool *pool = pool_create(n_threads);
	struct workspace workspace;

	*seen = (struct seen){0};
	workspace_init(&workspace, pool);
	assert_int_equal(workspace.n, n_threads);
	sequences_run(model, lengths, n, max_tokens, note, seen, &workspace, pool);
	for (int i = 0; i < n; i++) {
		int64_t tokens = 0;

		assert_int_equal(seen->times[i], 1);
		assert_true(seen->group[i] <= i && i < seen->group[i] + seen->count[i]);
		for (int k = 0; k < seen->count[i]; k++)
			tokens += lengths[seen->group[i] + k];
		assert_true(tokens <= max_tokens || seen->count[i] == 1);
	}
	workspace_release(&workspace);
	pool_destroy(pool);
}

static void test_the_size_of_the_weights_decides_what_is_small(void **state)
{
	struct model *small = new_model(SMALL_POSITIONS), *large = new_model(LARGE_POSITIONS);
	struct model *packed = small_llama(1, 32, 70000, 16);

	(void)state;
	assert_true(model_is_small(small));
	assert_false(model_is_small(large));
	/* One whose large matrix is in panels alone is no smaller. */
	param_layout_freeze(&packed->layout);
	assert_true(packed->layout.n_floats < small->layout.n_floats);
	assert_false(model_is_small(packed));
	model_destroy(packed);
	model_destroy(small);
	model_destroy(large);
}

static void test_a_group_ends_before_the_sequence_that_would_pass_the_limit(void **state)
{
	static const int lengths[] = {3, 4, 3, 11, 10, 1, INT32_MAX, INT32_MAX};

	(void)state;
	assert_int_equal(sequences_group(lengths, 0, 8, 10), 3);
	assert_int_equal(sequences_group(lengths, 0, 2, 10), 2);
	assert_int_equal(sequences_group(lengths, 1, 8, 10), 2);
	assert_int_equal(sequences_group(lengths, 3, 8, 10), 1);
	assert_int_equal(sequences_group(lengths, 4, 8, 10), 1);
	assert_int_equal(sequences_group(lengths, 4, 8, 11), 2);
	assert_int_equal(sequences_group(lengths, 6, 8, INT32_MAX), 1);
}

static void test_every_sequence_is_in_one_group_within_the_limit(void **state)
{
	struct model *small = new_model(SMALL_POSITIONS), *large = new_model(LARGE_POSITIONS);
	int lengths[MAX_SEQUENCES];
	struct seen seen;

	(void)state;
	for (int i = 0; i < MAX_SEQUENCES; i++)
		lengths[i] = 1 + i * 37 % 29;
	for (int n = 0; n <= MAX_SEQUENCES; n += n < 5 ? 1 : 19)
		for (int threads = 1; threads <= 2; threads++)
			for (int tokens = 1; tokens < 2000; tokens *= 7) {
				check_run(small, lengths, n, tokens, threads, &seen);
				assert_false(seen.shares_a_pool);
				check_run(large, lengths, n, tokens, threads, &seen);
				assert_true(seen.shares_a_pool == (n > 0));
			}
	model_destroy(small);
	model_destroy(large);
}

static void test_a_small_models_work_is_shared_among_the_threads(void **state)
{
	static const int lengths[] = {10, 10, 10, 10, 10, 10};
	struct model *small = new_model(SMALL_POSITIONS);
	struct seen seen;

	(void)state;
	check_run(small, lengths, 6, 1000, 1, &seen);
	assert_int_equal(seen.count[0], 6);
	check_run(small, lengths, 6, 1000, 2, &seen);
	assert_int_equal(seen.count[0], 3);
	assert_int_equal(seen.count[5], 3);
	model_destroy(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_size_of_the_weights_decides_what_is_small),
		cmocka_unit_test(test_a_group_ends_before_the_sequence_that_would_pass_the_limit),
		cmocka_unit_test(test_every_sequence_is_in_one_group_within_the_limit),
		cmocka_unit_test(test_a_small_models_work_is_shared_among_the_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

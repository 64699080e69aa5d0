/* Whose completion a prompt is given, and what of it is learnt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "learner/mismatch.h"

static struct row row(int32_t *ids, int n, int n_prompt, uint8_t *is_target)
{
	return (struct row){.ids = ids, .n = n, .n_prompt = n_prompt, .is_target = is_target};
}

/* Rows of a prompt of one id and a completion of one. */
static void check_partners(int32_t (*ids)[2], int n, const int *expected)
{
	struct row rows[8];
	int partner[8];

	for (int i = 0; i < n; i++)
		rows[i] = row(ids[i], 2, 1, NULL);
	mismatch_partners(partner, rows, n);
	assert_memory_equal(partner, expected, (size_t)n * sizeof *expected);
}

static void test_single_rows_get_the_next_ones(void **state)
{
	int32_t ids[3][2] = {{1, 9}, {2, 9}, {3, 9}};

	(void)state;
	check_partners(ids, 3, (int[]){1, 2, 0});
}

/* Two pairs and, between them, a prompt with one completion. */
static void test_both_sides_of_a_pair_get_completions_of_another_prompt(void **state)
{
	int32_t ids[5][2] = {{1, 5}, {1, 6}, {2, 5}, {3, 5}, {3, 6}};

	(void)state;
	check_partners(ids, 5, (int[]){2, 2, 3, 0, 1});
}

static void test_rows_of_one_prompt_get_the_next_ones(void **state)
{
	int32_t ids[3][2] = {{1, 5}, {1, 6}, {1, 7}};

	(void)state;
	check_partners(ids, 3, (int[]){1, 2, 0});
}

/* The same row told by a prompt's length and by marks gives the same. */
static void test_marks_tell_the_prompt_as_its_length_does(void **state)
{
	int32_t a[] = {1, 2, 3, 4}, b[] = {5, 6, 7};
	uint8_t a_marks[] = {0, 0, 1, 1}, b_marks[] = {0, 1, 1};
	const int32_t expected[] = {1, 2, 6, 7};
	struct row counted, marked, rows[4] = {row(a, 4, 2, NULL), row(b, 3, 1, NULL),
					       row(a, 4, 0, a_marks), row(b, 3, 0, b_marks)};

	(void)state;
	mismatch_row(&counted, &rows[0], &rows[1]);
	mismatch_row(&marked, &rows[2], &rows[3]);
	assert_int_equal(counted.n, 4);
	assert_int_equal(marked.n, 4);
	assert_memory_equal(counted.ids, expected, sizeof expected);
	assert_memory_equal(marked.ids, expected, sizeof expected);
	for (int i = 0; i < 4; i++)
		assert_int_equal(row_is_target(&counted, i), row_is_target(&marked, i));
	row_release(&counted);
	row_release(&marked);
}

/* What the user says between two turns of the assistant is context, not completion. */
static void test_unlearnt_ids_of_a_completion_stay_so(void **state)
{
	int32_t a[] = {1, 2, 3}, b[] = {4, 5, 6, 7};
	uint8_t marks[] = {0, 1, 0, 1};
	const bool expected[] = {false, false, true, false, true};
	struct row out, prompt = row(a, 3, 2, NULL), completion = row(b, 4, 1, marks);

	(void)state;
	mismatch_row(&out, &prompt, &completion);
	assert_int_equal(out.n, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(row_is_target(&out, i), expected[i]);
	row_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_rows_get_the_next_ones),
		cmocka_unit_test(test_both_sides_of_a_pair_get_completions_of_another_prompt),
		cmocka_unit_test(test_rows_of_one_prompt_get_the_next_ones),
		cmocka_unit_test(test_marks_tell_the_prompt_as_its_length_does),
		cmocka_unit_test(test_unlearnt_ids_of_a_completion_stay_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

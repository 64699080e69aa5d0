/* Roles on ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/topology.h"

static void expect_topology(const struct topology *t, const int count[ROLE_COUNT],
			    const int first[ROLE_COUNT])
{
	for (int role = 0; role < ROLE_COUNT; role++) {
		assert_int_equal(t->count[role], count[role]);
		assert_int_equal(t->first[role], first[role]);
	}
}

static void test_default_is_the_table_of_the_header(void **state)
{
	(void)state;
	struct topology t;
	topology_default(&t, 1, 8);
	expect_topology(&t, (int[]){1, 1, 1}, (int[]){0, 0, 0});
	topology_default(&t, 2, 8);
	expect_topology(&t, (int[]){1, 1, 1}, (int[]){0, 1, 0});
	topology_default(&t, 3, 8);
	expect_topology(&t, (int[]){1, 1, 1}, (int[]){0, 1, 2});
	topology_default(&t, 4, 8);
	expect_topology(&t, (int[]){1, 2, 1}, (int[]){0, 1, 3});
	topology_default(&t, 16, 8);
	expect_topology(&t, (int[]){4, 8, 4}, (int[]){0, 4, 12});
}

static void test_default_covers_every_rank_and_learners_divide_lanes(void **state)
{
	(void)state;
	for (int lanes = 1; lanes <= 32; lanes *= 2) {
		for (int n = 1; n <= 300; n++) {
			struct topology t;
			topology_default(&t, n, lanes);
			int covered = 0;
			for (int rank = 0; rank < n; rank++) {
				bool plays = false;
				for (int role = 0; role < ROLE_COUNT; role++)
					plays |= topology_plays(&t, rank, (enum role)role);
				covered += plays;
			}
			assert_int_equal(covered, n);
			assert_int_equal(lanes % t.count[ROLE_LEARNER], 0);
			assert_true(t.count[ROLE_ACTOR] >= 1);
			assert_true(t.count[ROLE_REWARD] >= 1);
		}
	}
}

static void test_init_places_roles_in_turn(void **state)
{
	(void)state;
	struct topology t;
	struct error err;
	assert_int_equal(topology_init(&t, 7, 2, 4, 1, 8, &err), STATUS_OK);
	expect_topology(&t, (int[]){2, 4, 1}, (int[]){0, 2, 6});
	assert_int_equal(topology_rank(&t, ROLE_ACTOR, 3), 5);
	assert_int_equal(topology_index(&t, ROLE_ACTOR, 5), 3);
	assert_int_equal(topology_index(&t, ROLE_ACTOR, 6), -1);
	assert_int_equal(topology_index(&t, ROLE_ACTOR, 1), -1);
}

static void test_init_lets_one_rank_play_all(void **state)
{
	(void)state;
	struct topology t;
	struct error err;
	assert_int_equal(topology_init(&t, 1, 1, 1, 1, 8, &err), STATUS_OK);
	expect_topology(&t, (int[]){1, 1, 1}, (int[]){0, 0, 0});
}

static void test_init_refuses_a_sum_that_is_not_the_job(void **state)
{
	(void)state;
	struct topology t;
	struct error err;
	assert_int_equal(topology_init(&t, 3, 1, 2, 1, 8, &err), STATUS_BAD_INPUT);
	assert_string_equal(err.text, "roles ask for 4 ranks (learner 1 + actor 2 + reward 1) "
				      "but the job has 3; --ranks 4 starts as many");
	assert_int_equal(topology_init(&t, 1, 2, 2, 2, 8, &err), STATUS_BAD_INPUT);
	assert_int_equal(topology_init(&t, 3, INT32_MAX, INT32_MAX, 5, 8, &err), STATUS_BAD_INPUT);
}

static void test_init_refuses_learners_that_do_not_divide_lanes(void **state)
{
	(void)state;
	struct topology t;
	struct error err;
	assert_int_equal(topology_init(&t, 5, 3, 1, 1, 8, &err), STATUS_BAD_INPUT);
	assert_string_equal(err.text, "3 learner ranks cannot share 8 lanes evenly in a binary "
				      "tree; 1, 2, 4 or 8 would do");
	assert_int_equal(topology_init(&t, 4, 2, 1, 1, 1, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "; 1 would do"));
}

static void test_init_refuses_a_role_without_ranks(void **state)
{
	(void)state;
	struct topology t;
	struct error err;
	assert_int_equal(topology_init(&t, 2, 1, 1, 0, 8, &err), STATUS_BAD_INPUT);
	assert_string_equal(err.text, "the job has 0 reward ranks, expected at least 1");
	assert_int_equal(topology_init(&t, 2, -1, 2, 1, 8, &err), STATUS_BAD_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_is_the_table_of_the_header),
		cmocka_unit_test(test_default_covers_every_rank_and_learners_divide_lanes),
		cmocka_unit_test(test_init_places_roles_in_turn),
		cmocka_unit_test(test_init_lets_one_rank_play_all),
		cmocka_unit_test(test_init_refuses_a_sum_that_is_not_the_job),
		cmocka_unit_test(test_init_refuses_learners_that_do_not_divide_lanes),
		cmocka_unit_test(test_init_refuses_a_role_without_ranks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

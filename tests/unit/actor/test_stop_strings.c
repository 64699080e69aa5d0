/* Where a stop string is found, and what may still become one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "actor/stop_strings.h"

static const char *const items[] = {"\n\n", "END", "ND of", "a"};
static const struct stop_strings stop = {.items = items, .n = 4};
static const struct stop_strings none = {.n = 0};

static void check(const char *text, size_t n_old, int item, size_t at)
{
	struct stop_match match = stop_strings_find(&stop, text, strlen(text), n_old);

	assert_int_equal(match.item, item);
	if (item >= 0)
		assert_int_equal(match.at, at);
}

static void test_the_match_that_begins_first_is_found(void **state)
{
	(void)state;
	check("", 0, -1, 0);
	check("xyz", 0, -1, 0);
	check("xEND of", 0, 1, 1);
	check("xND of END", 0, 2, 1);
	check("x\n\nEND", 0, 0, 1);
	check("\n\n\n", 0, 0, 0);
	assert_int_equal(stop_strings_find(&none, "END", 3, 0).item, -1);
}

static void test_a_match_may_begin_in_old_text_but_not_end_there(void **state)
{
	(void)state;
	check("xEND", 3, 1, 1);
	check("xEND", 2, 1, 1);
	check("xENDy", 4, -1, 0);
	check("xENDa", 4, 3, 4);
	check("END of", 5, 2, 1);
}

static void check_pending(const char *text, size_t expected)
{
	assert_int_equal(stop_strings_pending(&stop, text, strlen(text)), expected);
}

static void test_the_longest_beginning_at_the_end_is_pending(void **state)
{
	(void)state;
	check_pending("", 0);
	check_pending("x", 0);
	check_pending("xE", 1);
	check_pending("xEN", 2);
	check_pending("E", 1);
	check_pending("N", 1);
	check_pending("xND o", 4);
	check_pending("x\n", 1);
	check_pending("\nx", 0);
	assert_int_equal(stop_strings_pending(&none, "EN", 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_match_that_begins_first_is_found),
		cmocka_unit_test(test_a_match_may_begin_in_old_text_but_not_end_there),
		cmocka_unit_test(test_the_longest_beginning_at_the_end_is_pending),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

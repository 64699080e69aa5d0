/* Precision, recall and F1 of labels, and labels that do not occur. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "learner/confusion.h"

static void near(double found, double expected)
{
	if (!(fabs(found - expected) < 1e-12))
		fail_msg("found %.15g, expected %.15g", found, expected);
}

/*            said:  0  1  2
 *     is 0          3  1  1
 *     is 1          1  3  0
 *     is 2          2  0  1 */
static void fill(struct confusion *confusion, int n)
{
	static const int label[12] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2};
	static const int said[12] = {0, 0, 0, 1, 2, 1, 1, 0, 1, 2, 0, 0};

	confusion_init(confusion, n);
	for (int i = 0; i < 12; i++)
		confusion_add(confusion, label[i], said[i]);
}

static void test_scores_of_labels(void **state)
{
	struct confusion confusion;

	(void)state;
	fill(&confusion, 3);
	near(confusion_precision(&confusion, 0), 3.0 / 6);
	near(confusion_recall(&confusion, 0), 3.0 / 5);
	near(confusion_f1(&confusion, 0), 6.0 / 11);
	near(confusion_precision(&confusion, 1), 3.0 / 4);
	near(confusion_f1(&confusion, 2), 2.0 / 5);
	near(confusion_macro_f1(&confusion), (6.0 / 11 + 3.0 / 4 + 2.0 / 5) / 3);
	confusion_release(&confusion);
}

static void test_labels_that_do_not_occur_do_not_count(void **state)
{
	struct confusion confusion;

	(void)state;
	fill(&confusion, 4);
	near(confusion_macro_f1(&confusion), (6.0 / 11 + 3.0 / 4 + 2.0 / 5) / 3);
	assert_true(confusion_precision(&confusion, 3) == 0);
	/* One that is only said counts, with 0. */
	confusion_add(&confusion, 0, 3);
	near(confusion_macro_f1(&confusion), (6.0 / 12 + 3.0 / 4 + 2.0 / 5) / 4);
	confusion_release(&confusion);
}

static void test_report_is_json_with_the_names(void **state)
{
	static const char *const names[3] = {"plain", "with \"quotes\"", "z"};
	struct confusion confusion;
	struct buf text = BUF_INIT;
	struct error err;
	struct json *json;
	const struct json *second, *third;

	(void)state;
	fill(&confusion, 3);
	buf_append_char(&text, '{');
	confusion_report(&confusion, names, &text);
	buf_append_char(&text, '}');
	json = json_parse(text.data, text.length, "report", &err);
	if (!json)
		fail_msg("%s: %s", err.text, text.data);
	near(json_number(json_get(json, "accuracy")), 7.0 / 12);
	second = json_at(json_get(json, "confusion"), 1);
	assert_string_equal(json_string(json_get(second, "label"), NULL), names[1]);
	near(json_number(json_get(json_get(second, "taken_for"), "plain")), 1);
	near(json_number(json_get(json_get(second, "taken_for"), names[1])), 3);
	assert_int_equal(json_count(json_get(second, "taken_for")), 2);
	third = json_get(json_at(json_get(json, "confusion"), 2), "taken_for");
	near(json_number(json_get(third, "plain")), 2);
	near(json_number(json_get(third, "z")), 1);
	json_free(json);
	buf_release(&text);
	confusion_release(&confusion);
}

/* A table of all pairs would take gigabytes. */
static void test_a_report_on_many_labels_is_as_long_as_they_are(void **state)
{
	enum { N = 20000, N_TEXTS = 50000 };
	const char **names = xcalloc(N, sizeof *names);
	struct confusion confusion;
	struct buf text = BUF_INIT;

	(void)state;
	for (int k = 0; k < N; k++)
		names[k] = "label";
	confusion_init(&confusion, N);
	for (int i = 0; i < N_TEXTS; i++)
		confusion_add(&confusion, i % N, i * 7 % N);
	near(confusion_recall(&confusion, 0), 1);
	near(confusion_precision(&confusion, 7), 0);
	confusion_report(&confusion, names, &text);
	assert_true(text.length > 50 * N && text.length < 200 * N);
	buf_release(&text);
	confusion_release(&confusion);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scores_of_labels),
		cmocka_unit_test(test_labels_that_do_not_occur_do_not_count),
		cmocka_unit_test(test_report_is_json_with_the_names),
		cmocka_unit_test(test_a_report_on_many_labels_is_as_long_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

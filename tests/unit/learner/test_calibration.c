/* The report on held-out pairs: interval, parts, ties. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "learner/calibration.h"

static void near(double found, double expected)
{
	if (!(fabs(found - expected) < 5e-5))
		fail_msg("found %.8g, expected %.8g", found, expected);
}

static void test_interval_is_wilsons(void **state)
{
	double low, high;

	(void)state;
	/* Wilson 1927, as statsmodels' proportion_confint(8, 10, method="wilson") */
	wilson_interval(8, 10, &low, &high);
	near(low, .49016);
	near(high, .94332);
	wilson_interval(0, 10, &low, &high);
	near(low, 0);
	near(high, .27753);
	wilson_interval(10, 10, &low, &high);
	near(low, .72247);
	near(high, 1);
}

static struct json *report(const double *margins, int n)
{
	struct buf text = BUF_INIT;
	struct error err;
	struct json *json;

	buf_append_string(&text, "{\n");
	calibration_report(margins, n, &text);
	buf_append_string(&text, "\n}\n");
	json = json_parse(text.data, text.length, "report", &err);
	if (!json)
		fail_msg("%s: %s", err.text, text.data);
	buf_release(&text);
	return json;
}

static double number(const struct json *object, const char *key)
{
	assert_non_null(json_get(object, key));
	return json_number(json_get(object, key));
}

static void test_parts_hold_margins_of_about_one_size(void **state)
{
	/* Two parts of four: small margins of which half are right, large ones all right. */
	const double margins[8] = {3, -.1, .2, 2, .4, -.3, 4, 5};
	struct json *json = report(margins, 8);
	const struct json *parts = json_get(json, "calibration");

	(void)state;
	assert_int_equal(json_count(parts), 2);
	near(number(json, "accuracy"), .75);
	near(number(json_at(parts, 0), "to"), .4);
	near(number(json_at(parts, 0), "accuracy"), .5);
	near(number(json_at(parts, 1), "from"), 2);
	near(number(json_at(parts, 1), "accuracy"), 1);
	near(number(json_at(parts, 1), "confidence"),
	     (1 / (1 + exp(-2)) + 1 / (1 + exp(-3)) + 1 / (1 + exp(-4)) + 1 / (1 + exp(-5))) / 4);
	json_free(json);
}

static void test_ties_are_wrong_and_few_pairs_make_no_table(void **state)
{
	const double margins[3] = {0, 0, 1};
	struct json *json = report(margins, 3);

	(void)state;
	near(number(json, "accuracy"), 1.0 / 3);
	assert_int_equal(json_count(json_get(json, "calibration")), 0);
	json_free(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interval_is_wilsons),
		cmocka_unit_test(test_parts_hold_margins_of_about_one_size),
		cmocka_unit_test(test_ties_are_wrong_and_few_pairs_make_no_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

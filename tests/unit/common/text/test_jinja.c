/* jinja: what it writes is what Jinja writes, and what it does not know ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/json.h"
#include "common/text/jinja.h"
#include "common/text/jsonl.h"

static struct error err;

/* MESSAGES of tests/golden/make_jinja.py. */
static const struct jinja_message MESSAGES[] = {
	{"system", " Be short.\n"},
	{"user", "H\xc3\xa9 <b> \"x\""},
	{"assistant", "<think>\nhm\n</think>\n\nYes"},
	{"user", ""},
};
static const struct tm TODAY = {
	.tm_mday = 5, .tm_mon = 1, .tm_year = 125, .tm_wday = 3, .tm_yday = 35};
static const struct jinja_input INPUT = {.messages = MESSAGES,
					 .n = 4,
					 .add_generation_prompt = true,
					 .bos = "<s>",
					 .eos = "</s>",
					 .now = &TODAY};

static enum jinja_result render(const char *template, struct buf *out)
{
	return jinja_render(template, strlen(template), &INPUT, out);
}

static void check_row(const struct json *row)
{
	const struct json *text = json_get(row, "text"), *raised = json_get(row, "is_raised");
	const char *template = json_string(json_get(row, "template"), NULL);
	enum jinja_result expected = text			   ? JINJA_DONE
				     : raised && json_bool(raised) ? JINJA_RAISED
								   : JINJA_UNKNOWN;
	struct buf out = BUF_INIT;
	enum jinja_result result = render(template, &out);

	if (result != expected)
		fail_msg("%s: result %d, expected %d", template, (int)result, (int)expected);
	if (text && strcmp(out.data, json_string(text, NULL)) != 0)
		fail_msg("%s\n gives    \"%s\"\n expected \"%s\"", template, out.data,
			 json_string(text, NULL));
	buf_release(&out);
}

static void test_text_equals_jinja(void **state)
{
	struct jsonl jsonl;
	(void)state;

	assert_int_equal(jsonl_read(&jsonl, "tests/golden/jinja.jsonl", &err), STATUS_OK);
	for (size_t i = 0; i < jsonl.n; i++) {
		struct json *row = jsonl_parse(&jsonl, i, &err);
		check_row(row);
		json_free(row);
	}
	assert_true(jsonl.n >= 100);
	jsonl_release(&jsonl);
}

static void check_ended(const char *template)
{
	struct buf out = BUF_INIT;

	if (render(template, &out) != JINJA_UNKNOWN)
		fail_msg("%.80s did not end", template);
	buf_release(&out);
}

static void test_the_clock_stands_still(void **state)
{
	struct buf out = BUF_INIT;
	(void)state;

	assert_int_equal(render("{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}"
				"{{ strftime_now(' %A, %Y-%m-%d') }}{% endif %}",
				&out),
			 JINJA_DONE);
	assert_string_equal(out.data, "05 Feb 2025 Wednesday, 2025-02-05");
	buf_release(&out);
	check_ended("{{ strftime_now() }}");
	check_ended("{{ strftime_now('%999999999d') }}");
}

static void test_a_backslash_ends_a_string_only_behind_another(void **state)
{
	static const char *const strings[][2] = {{"'a\\\\'", "a\\"},   {"'\\\\\\\\'", "\\\\"},
						 {"'a\\''", "a'"},     {"\"\\q\\\\\"", "\\q\\"},
						 {"'ax\\\\'", "ax\\"}, {"'\\\t\\n'", "\\\t\n"}};

	(void)state;
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		struct buf template = BUF_INIT, out = BUF_INIT;

		buf_printf(&template, "{{ %s }}", strings[i][0]);
		assert_int_equal(render(template.data, &out), JINJA_DONE);
		assert_string_equal(out.data, strings[i][1]);
		buf_release(&template);
		buf_release(&out);
	}
	check_ended("{{ 'a\\' }}");
	check_ended("{{ 'a\\\\\\' }}");
	check_ended("{{ 'a\\");
	/* Escapes of Python that are not done here. */
	check_ended("{{ 'a\\\nb' }}");
	check_ended("{{ '\\a' }}");
	check_ended("{{ '\\1' }}");
}

/* Repeats a piece n times. */
static void check_many_ended(const char *piece, int n)
{
	struct buf template = BUF_INIT;

	for (int i = 0; i < n; i++)
		buf_append_string(&template, piece);
	check_ended(template.data);
	buf_release(&template);
}

static void test_hostile_templates_end_soon(void **state)
{
	/* of a text of half a million characters, 30,000 times */
	static const char *const looks[] = {"ns.x | length", "ns.x[-1]",	"ns.x[1:-1]",
					    "'z' in ns.x",   "ns.x.upper()",	"ns.x.split('z')",
					    "ns.x == ns.x",  "ns.x.strip(ns.x)"};
	double begin = clock_now();
	(void)state;

	check_ended("{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}"
		    "{% endfor %}{% endfor %}{% endfor %}");
	check_ended("{% set ns = namespace(x='abcdefgh') %}{% for i in range(60) %}"
		    "{% set ns.x = ns.x + ns.x %}{% endfor %}");
	check_ended("{% for i in range(9999999) %}{% endfor %}");
	check_ended("{% for i in range(99999) %}{{ messages[1].content }}{% endfor %}");
	check_ended("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}"
		    "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}");
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
		char template[300];
		snprintf(template, sizeof template,
			 "{%% set ns = namespace(x='abcdefgh', n=0) %%}{%% for i in range(16) %%}"
			 "{%% set ns.x = ns.x + ns.x %%}{%% endfor %%}{%% for i in range(30000) %%}"
			 "{%% set y = %s %%}{%% endfor %%}",
			 looks[i]);
		check_ended(template);
	}
	check_many_ended("{{ ((((((((((((((((((((((((((((((((((((((((", 3);
	check_many_ended("{{ 'a' if ", 200);
	check_many_ended("{% if true %}", 100);
	check_many_ended("{% set x = [", 100);
	check_many_ended("{{ not ", 50000);
	check_many_ended("{{ --", 50000);
	assert_true(clock_now() - begin < 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_equals_jinja),
		cmocka_unit_test(test_the_clock_stands_still),
		cmocka_unit_test(test_a_backslash_ends_a_string_only_behind_another),
		cmocka_unit_test(test_hostile_templates_end_soon),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

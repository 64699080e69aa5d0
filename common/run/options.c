/* Command-line options of the commands, from one table each. */
#include "common/run/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/die.h"
#include "common/base/launcher.h"

#define MAX_WORD 96 /* longer words have no neighbours */

/* --- help --- */

static bool is_positional(const struct option *option)
{
	return option->name[0] != '-';
}

/* What stands for the value. */
static const char *placeholder(const struct option *option)
{
	if (option->value)
		return option->value;
	switch (option->type) {
	case OPTION_FLAG:
		return "";
	case OPTION_STRING:
	case OPTION_TEXT:
		return "TEXT";
	case OPTION_INT:
		return "N";
	case OPTION_DOUBLE:
		return "X";
	case OPTION_LIST:
		return "KEY=VALUE";
	}
	return "";
}

static void print_help(const struct option *options, size_t n, const char *usage,
		       const char *example)
{
	char left[64];

	if (!launcher_is_first())
		return;
	printf("usage: %s\n\n", usage);
	for (size_t i = 0; i < n; i++) {
		const struct option *option = &options[i];

		snprintf(left, sizeof left, "%s%s%s", option->name,
			 is_positional(option) || option->type == OPTION_FLAG ? "" : " ",
			 is_positional(option) ? "" : placeholder(option));
		printf("  %-26s %s%s%s\n", left, option->help, option->required ? " (needed)" : "",
		       option->type == OPTION_LIST ? " (may be repeated)" : "");
	}
	printf("  %-26s %s\n", "--help", "show this text");
	if (example)
		printf("\nexample:\n  %s\n", example);
}

/* --- values --- */

static bool has_range(const struct option *option)
{
	return option->min != option->max;
}

static enum status check_range(const struct option *option, const char *text, double value,
			       struct error *err)
{
	bool is_int = option->type == OPTION_INT;

	if (!has_range(option) || (value >= option->min && value <= option->max))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 is_int ? "%s is %s, expected a number from %.0f to %.0f"
				: "%s is %s, expected a number from %.15g to %.15g",
			 option->name, text, option->min, option->max);
}

static enum status set_string(const struct option *option, const char *text, struct error *err)
{
	if (option->type == OPTION_STRING && !*text)
		return error_set(err, STATUS_BAD_INPUT, "%s is empty: %s", option->name,
				 option->help);
	*(const char **)option->target = text;
	return STATUS_OK;
}

static enum status set_int(const struct option *option, const char *text, struct error *err)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10); /* one that does not fit is outside every range */
	if (end == text || *end || (errno == ERANGE && !has_range(option)))
		return error_set(err, STATUS_BAD_INPUT, "%s is \"%s\", expected an integer",
				 option->name, text);
	*(int64_t *)option->target = value;
	return check_range(option, text, (double)value, err);
}

static enum status set_double(const struct option *option, const char *text, struct error *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value))
		return error_set(err, STATUS_BAD_INPUT, "%s is \"%s\", expected a number",
				 option->name, text);
	*(double *)option->target = value;
	return check_range(option, text, value, err);
}

static void append(struct option_list *list, const char *item)
{
	list->items = xrealloc(list->items, (size_t)list->n + 1, sizeof *list->items);
	list->items[list->n++] = item;
}

static enum status set_value(const struct option *option, const char *text, struct error *err)
{
	switch (option->type) {
	case OPTION_STRING:
	case OPTION_TEXT:
		return set_string(option, text, err);
	case OPTION_INT:
		return set_int(option, text, err);
	case OPTION_DOUBLE:
		return set_double(option, text, err);
	case OPTION_LIST:
		append(option->target, text);
		return STATUS_OK;
	case OPTION_FLAG:
		break;
	}
	die("option %s takes no value", option->name);
}

/* --- parsing --- */

struct parser {
	const struct option *options;
	size_t n;
	char **argv;
	int argc;
	int next;	     /* the argument to look at */
	bool *seen;	     /* [n] */
	bool only_arguments; /* after "--" */
};

static enum status unknown_option(const struct parser *parser, const char *word, struct error *err)
{
	const char **names = xcalloc(parser->n + 1, sizeof *names);
	const char *near;
	enum status status;

	for (size_t i = 0; i < parser->n; i++)
		names[i] = parser->options[i].name;
	names[parser->n] = "--help";
	near = nearest_word(word, names, parser->n + 1);
	status = error_set(err, STATUS_BAD_INPUT,
			   near ? "unknown option %s, did you mean %s?"
				: "unknown option %s; --help lists them",
			   word, near);
	free(names);
	return status;
}

/* The option called name, marked as seen, or NULL. */
static const struct option *find_option(struct parser *parser, const char *name)
{
	for (size_t i = 0; i < parser->n; i++) {
		if (strcmp(parser->options[i].name, name) != 0)
			continue;
		parser->seen[i] = true;
		return &parser->options[i];
	}
	return NULL;
}

/* The next argument, as the value of the option called name. */
static enum status next_value(struct parser *parser, const char *name, const char **value,
			      struct error *err)
{
	if (parser->next == parser->argc)
		return error_set(err, STATUS_BAD_INPUT, "%s needs a value", name);
	*value = parser->argv[parser->next++];
	/* "--model --input F" is a forgotten value; "--prompt=--x" says what it means. */
	if (strncmp(*value, "--", 2) == 0)
		return error_set(err, STATUS_BAD_INPUT, "%s needs a value, found %s", name, *value);
	return STATUS_OK;
}

/* argument begins with a dash: "--name", "--name=value" or "--name" "value". */
static enum status parse_option(struct parser *parser, const char *argument, struct error *err)
{
	size_t length = strcspn(argument, "=");
	const char *value = argument[length] ? argument + length + 1 : NULL;
	char *name = xstrndup(argument, length);
	const struct option *option = find_option(parser, name);
	enum status status = STATUS_OK;

	if (!option) {
		status = unknown_option(parser, name, err);
	} else if (option->type == OPTION_FLAG) {
		*(bool *)option->target = true;
		if (value)
			status = error_set(err, STATUS_BAD_INPUT, "%s takes no value", name);
	} else {
		if (!value)
			status = next_value(parser, name, &value, err);
		if (status == STATUS_OK)
			status = set_value(option, value, err);
	}
	free(name);
	return status;
}

static enum status parse_positional(struct parser *parser, const char *argument, struct error *err)
{
	for (size_t i = 0; i < parser->n; i++) {
		const struct option *option = &parser->options[i];

		if (!is_positional(option) || (parser->seen[i] && option->type != OPTION_LIST))
			continue;
		parser->seen[i] = true;
		return set_value(option, argument, err);
	}
	return error_set(err, STATUS_BAD_INPUT, "unexpected argument \"%s\"", argument);
}

static enum status check_required(const struct parser *parser, struct error *err)
{
	for (size_t i = 0; i < parser->n; i++)
		if (parser->options[i].required && !parser->seen[i])
			return error_set(err, STATUS_BAD_INPUT, "%s is missing: %s",
					 parser->options[i].name, parser->options[i].help);
	return STATUS_OK;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

enum status options_parse(const struct option *options, size_t n, int argc, char **argv,
			  const char *usage, const char *example, bool *help_shown,
			  struct error *err)
{
	struct parser parser = {.options = options, .n = n, .argv = argv, .argc = argc, .next = 1};
	enum status status = STATUS_OK;

	*help_shown = asks_for_help(argc, argv);
	if (*help_shown) {
		print_help(options, n, usage, example);
		return STATUS_OK;
	}
	parser.seen = xcalloc(n, sizeof *parser.seen);
	while (parser.next < argc && status == STATUS_OK) {
		const char *argument = argv[parser.next++];

		if (!parser.only_arguments && strcmp(argument, "--") == 0)
			parser.only_arguments = true;
		else if (!parser.only_arguments && argument[0] == '-' && argument[1])
			status = parse_option(&parser, argument, err);
		else
			status = parse_positional(&parser, argument, err);
	}
	if (status == STATUS_OK)
		status = check_required(&parser, err);
	free(parser.seen);
	return status;
}

void option_list_release(struct option_list *list)
{
	free(list->items);
	*list = (struct option_list){0};
}

/* --- nearest word --- */

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b
 * (optimal string alignment).  Both are shorter than MAX_WORD. */
static int edit_distance(const char *a, const char *b)
{
	int n = (int)strlen(a), m = (int)strlen(b);
	int rows[3][MAX_WORD];

	for (int j = 0; j <= m; j++)
		rows[0][j] = j;
	for (int i = 1; i <= n; i++) {
		int *row = rows[i % 3];
		const int *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (int j = 1; j <= m; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1,
				      above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    above2[j - 2] + 1 < row[j])
				row[j] = above2[j - 2] + 1;
		}
	}
	return rows[n % 3][m];
}

const char *nearest_word(const char *word, const char *const *known, size_t n)
{
	size_t length = strlen(word);
	int best = length < 4 ? 2 : (int)(length / 3) + 2; /* this far is not near */
	const char *found = NULL;

	if (length >= MAX_WORD)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		int distance;

		if (strlen(known[i]) >= MAX_WORD)
			continue;
		distance = edit_distance(word, known[i]);
		if (distance < best) {
			best = distance;
			found = known[i];
		}
	}
	return found;
}

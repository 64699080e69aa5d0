/* Functions, methods, attributes, subscripts, filters and tests. */
#include "common/text/jinja_private.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

enum { MAX_ARGUMENTS = 8 };

/* --- functions, methods, subscripts --- */

struct arguments {
	struct value values[MAX_ARGUMENTS]; /* [n] */
	struct value names[MAX_ARGUMENTS];  /* UNDEFINED: by place */
	size_t n;
};

/* What stands in parentheses, if they are next. */
static void read_arguments(struct jinja *j, struct arguments *arguments)
{
	arguments->n = 0;
	if (!jinja_accept(j, "("))
		return;
	while (!jinja_accept(j, ")") && jinja_may_go_on(j)) {
		const char *start = j->at;
		struct value name = jinja_read_name(j);
		if (arguments->n == MAX_ARGUMENTS) {
			jinja_stop(j);
			return;
		}
		arguments->names[arguments->n] = JINJA_NOTHING;
		if (name.n > 0 && !jinja_is_next(j, "==") && jinja_accept(j, "="))
			arguments->names[arguments->n] = name;
		else
			j->at = start;
		arguments->values[arguments->n++] = jinja_evaluate(j);
		if (!jinja_is_next(j, ")"))
			jinja_expect(j, ",");
	}
}

static struct value argument(const struct arguments *arguments, size_t i)
{
	return i < arguments->n && arguments->names[i].type == UNDEFINED ? arguments->values[i]
									 : JINJA_NOTHING;
}

static struct value named_argument(const struct arguments *arguments, const char *name)
{
	for (size_t i = 0; i < arguments->n; i++)
		if (arguments->names[i].type == STRING && jinja_is_named(arguments->names[i], name))
			return arguments->values[i];
	return JINJA_NOTHING;
}

/* Whether there are at most so many arguments by place, and none by another name. */
static bool has_only(const struct arguments *arguments, size_t most, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < arguments->n; i++) {
		if (arguments->names[i].type == UNDEFINED)
			n++;
		else if (!name || !jinja_is_named(arguments->names[i], name))
			return false;
	}
	return n <= most;
}

static struct value make_namespace(struct jinja *j, const struct arguments *arguments)
{
	struct value table = jinja_new_table(j);

	for (size_t i = 0; i < arguments->n; i++) {
		if (arguments->names[i].type != STRING)
			return jinja_unknown(j);
		jinja_table_put(j, table.table, arguments->names[i].text, arguments->names[i].n,
				arguments->values[i]);
	}
	return table;
}

static struct value make_range(struct jinja *j, const struct arguments *arguments)
{
	int64_t first = arguments->n > 1 ? arguments->values[0].number : 0;
	int64_t end = arguments->n > 0 ? arguments->values[arguments->n > 1].number : 0;
	struct value list;

	for (size_t i = 0; i < arguments->n; i++)
		if (arguments->values[i].type != INTEGER || !has_only(arguments, 2, NULL))
			return jinja_unknown(j);
	if (end - first > JINJA_MAX_STEPS)
		return jinja_unknown(j);
	list = jinja_new_list(j, end > first ? (size_t)(end - first) : 0);
	for (size_t i = 0; i < list.list->n; i++)
		list.list->items[i] = jinja_integer(first + (int64_t)i);
	return list;
}

static struct value format_time(struct jinja *j, struct value format)
{
	char wanted[64], text[128];
	size_t n;

	if (format.type != STRING || format.n >= sizeof wanted)
		return jinja_unknown(j);
	memcpy(wanted, format.text, format.n);
	wanted[format.n] = '\0';
	n = strftime(text, sizeof text, wanted, j->now);
	return n > 0 ? jinja_text(memcpy(jinja_take(j, n, 1), text, n), n) : jinja_unknown(j);
}

struct value jinja_call_function(struct jinja *j, struct value name)
{
	struct arguments arguments;

	read_arguments(j, &arguments);
	if (jinja_is_named(name, "raise_exception"))
		return jinja_fail(j, JINJA_RAISED);
	if (jinja_is_named(name, "namespace"))
		return make_namespace(j, &arguments);
	if (jinja_is_named(name, "range"))
		return make_range(j, &arguments);
	if (jinja_is_named(name, "strftime_now"))
		return format_time(j, argument(&arguments, 0));
	return jinja_unknown(j);
}

static struct value call_text_method(struct jinja *j, struct value v, struct value name,
				     const struct arguments *arguments)
{
	struct value first = argument(arguments, 0);

	if (!has_only(arguments, 2, NULL))
		return jinja_unknown(j);
	if (arguments->n <= 1 && jinja_is_named(name, "strip"))
		return jinja_strip(j, v, first, true, true);
	if (arguments->n <= 1 && jinja_is_named(name, "lstrip"))
		return jinja_strip(j, v, first, true, false);
	if (arguments->n <= 1 && jinja_is_named(name, "rstrip"))
		return jinja_strip(j, v, first, false, true);
	if (arguments->n == 0 && jinja_is_named(name, "upper"))
		return jinja_change_case(j, v, toupper);
	if (arguments->n == 0 && jinja_is_named(name, "lower"))
		return jinja_change_case(j, v, tolower);
	if (arguments->n == 0 && jinja_is_named(name, "title"))
		return jinja_capitalize(j, v, true);
	if (arguments->n == 0 && jinja_is_named(name, "capitalize"))
		return jinja_capitalize(j, v, false);
	if (first.type != STRING)
		return jinja_unknown(j);
	if (arguments->n == 1 && jinja_is_named(name, "startswith"))
		return jinja_bool(jinja_begins(v, first));
	if (arguments->n == 1 && jinja_is_named(name, "endswith"))
		return jinja_bool(jinja_ends(v, first));
	if (arguments->n == 1 && jinja_is_named(name, "split"))
		return jinja_split(j, v, first);
	if (jinja_is_named(name, "replace") && arguments->n == 2)
		return jinja_replace(j, v, first, argument(arguments, 1));
	return jinja_unknown(j);
}

static struct value table_items(struct jinja *j, const struct table *table)
{
	struct value list = jinja_new_list(j, table->n);

	for (size_t i = 0; i < table->n; i++) {
		struct value pair = jinja_new_list(j, 2);
		pair.list->items[0] = jinja_text(table->entries[i].key, table->entries[i].n_key);
		pair.list->items[1] = table->entries[i].value;
		list.list->items[i] = pair;
	}
	return list;
}

struct value jinja_call_method(struct jinja *j, struct value v, struct value name)
{
	struct arguments arguments;
	struct value key, *found;

	read_arguments(j, &arguments);
	if (v.type == STRING)
		return call_text_method(j, v, name, &arguments);
	if (v.type != TABLE || !has_only(&arguments, 2, NULL))
		return jinja_unknown(j);
	if (arguments.n == 0 && jinja_is_named(name, "items"))
		return table_items(j, v.table);
	key = argument(&arguments, 0);
	if (!jinja_is_named(name, "get") || key.type != STRING)
		return jinja_unknown(j);
	found = jinja_table_find(v.table, key.text, key.n);
	if (found)
		return *found;
	return arguments.n > 1 ? argument(&arguments, 1) : (struct value){.type = NONE};
}

struct value jinja_attribute(struct jinja *j, struct value v, struct value name)
{
	struct value *found;

	if (v.type == UNDEFINED)
		return jinja_unknown(j);
	found = v.type == TABLE ? jinja_table_find(v.table, name.text, name.n) : NULL;
	return found ? *found : JINJA_NOTHING;
}

static int64_t length_of(struct value v)
{
	return v.type == LIST	  ? (int64_t)v.list->n
	       : v.type == TABLE  ? (int64_t)v.table->n
	       : v.type == STRING ? (int64_t)jinja_count(v)
				  : -1;
}

static struct value item(struct jinja *j, struct value v, struct value index)
{
	int64_t n = length_of(v), i = index.number;

	if (index.type == STRING)
		return jinja_attribute(j, v, index);
	if ((v.type != LIST && v.type != STRING) || index.type != INTEGER)
		return jinja_unknown(j);
	i += i < 0 ? n : 0;
	if (i < 0 || i >= n)
		return JINJA_NOTHING;
	if (v.type == LIST)
		return v.list->items[i];
	n = (int64_t)jinja_place(v, (size_t)i);
	return jinja_text(v.text + n, jinja_place(v, (size_t)i + 1) - (size_t)n);
}

static int64_t clamp(int64_t i, int64_t n)
{
	i += i < 0 ? n : 0;
	return i < 0 ? 0 : i > n ? n : i;
}

/* v[first:end], or backwards v[::-1]. */
static struct value slice(struct jinja *j, struct value v, const struct value bounds[3])
{
	int64_t n = length_of(v), first, end;
	bool is_reversed = bounds[2].type == INTEGER && bounds[2].number == -1;
	struct value list;

	for (int i = 0; i < 3; i++)
		if (bounds[i].type != INTEGER && bounds[i].type != UNDEFINED)
			return jinja_unknown(j);
	if ((v.type != LIST && v.type != STRING) || (is_reversed && v.type == STRING) ||
	    (is_reversed && (bounds[0].type == INTEGER || bounds[1].type == INTEGER)) ||
	    (!is_reversed && bounds[2].type == INTEGER && bounds[2].number != 1))
		return jinja_unknown(j);
	first = bounds[0].type == INTEGER ? clamp(bounds[0].number, n) : 0;
	end = bounds[1].type == INTEGER ? clamp(bounds[1].number, n) : n;
	end = end < first ? first : end;
	if (v.type == STRING) {
		size_t from = jinja_place(v, (size_t)first);
		return jinja_text(v.text + from, jinja_place(v, (size_t)end) - from);
	}
	list = jinja_new_list(j, (size_t)(end - first));
	for (int64_t i = 0; i < end - first; i++)
		list.list->items[i] = v.list->items[is_reversed ? end - 1 - i : first + i];
	return list;
}

struct value jinja_subscript(struct jinja *j, struct value v)
{
	struct value bounds[3] = {JINJA_NOTHING, JINJA_NOTHING, JINJA_NOTHING};
	int i = 0;
	bool is_slice = false;

	while (!jinja_accept(j, "]") && jinja_may_go_on(j)) {
		if (jinja_accept(j, ":")) {
			is_slice = true;
			i++;
		} else if (i < 3) {
			bounds[i] = jinja_evaluate(j);
		}
		if (i > 2) {
			jinja_stop(j);
			break;
		}
	}
	return is_slice ? slice(j, v, bounds) : item(j, v, bounds[0]);
}

/* --- filters and tests --- */

/* Members of a list whose attribute passes; the test is there, or equality. */
static struct value select_by(struct jinja *j, struct value v, const struct arguments *arguments,
			      bool is_rejecting)
{
	struct value name = argument(arguments, 0), test = argument(arguments, 1);
	bool is_equality = arguments->n == 3 && test.type == STRING &&
			   (jinja_is_named(test, "equalto") || jinja_is_named(test, "==") ||
			    jinja_is_named(test, "eq"));
	bool is_definition =
		arguments->n == 2 && test.type == STRING && jinja_is_named(test, "defined");
	struct value list;
	size_t n = 0;

	v = jinja_list_of(j, v);
	if (v.type != LIST || name.type != STRING ||
	    !(arguments->n == 1 || is_equality || is_definition))
		return jinja_unknown(j);
	list = jinja_new_list(j, v.list->n);
	for (size_t i = 0; i < v.list->n; i++) {
		struct value member = jinja_attribute(j, v.list->items[i], name);
		bool passes = is_equality     ? jinja_is_equal(j, member, argument(arguments, 2), 0)
			      : is_definition ? member.type != UNDEFINED
					      : jinja_is_true(member);
		if (passes != is_rejecting)
			list.list->items[n++] = v.list->items[i];
	}
	list.list->n = n;
	list.type = STREAM;
	return list;
}

static struct value map_attribute(struct jinja *j, struct value v,
				  const struct arguments *arguments)
{
	struct value name = named_argument(arguments, "attribute"), list;

	v = jinja_list_of(j, v);
	if (v.type != LIST || name.type != STRING || !has_only(arguments, 0, "attribute"))
		return jinja_unknown(j);
	list = jinja_new_list(j, v.list->n);
	for (size_t i = 0; i < v.list->n; i++)
		list.list->items[i] = jinja_attribute(j, v.list->items[i], name);
	list.type = STREAM;
	return list;
}

static struct value join(struct jinja *j, struct value v, struct value separator)
{
	struct value result = jinja_text("", 0);

	v = jinja_list_of(j, v);
	if (v.type != LIST || (separator.type != STRING && separator.type != UNDEFINED))
		return jinja_unknown(j);
	for (size_t i = 0; i < v.list->n && jinja_may_go_on(j); i++) {
		if (i > 0 && separator.type == STRING)
			result = jinja_concat(j, result, separator);
		result = jinja_concat(j, result, jinja_to_text(j, v.list->items[i]));
	}
	return result;
}

static struct value apply_text_filter(struct jinja *j, struct value v, struct value name,
				      const struct arguments *arguments)
{
	struct value text = jinja_to_text(j, v);

	if (text.type != STRING)
		return text;
	if (arguments->n == 2 && jinja_is_named(name, "replace"))
		return jinja_replace(j, text, argument(arguments, 0), argument(arguments, 1));
	if (arguments->n <= 1 && jinja_is_named(name, "trim"))
		return jinja_strip(j, text, argument(arguments, 0), true, true);
	if (arguments->n > 0)
		return jinja_unknown(j);
	if (jinja_is_named(name, "string") || jinja_is_named(name, "safe"))
		return text;
	if (jinja_is_named(name, "upper"))
		return jinja_change_case(j, text, toupper);
	if (jinja_is_named(name, "lower"))
		return jinja_change_case(j, text, tolower);
	if (jinja_is_named(name, "capitalize"))
		return jinja_capitalize(j, text, false);
	return jinja_unknown(j);
}

static struct value default_of(struct jinja *j, struct value v, const struct arguments *arguments)
{
	struct value any = named_argument(arguments, "boolean");

	if (!has_only(arguments, 2, "boolean"))
		return jinja_unknown(j);
	if (any.type == UNDEFINED)
		any = argument(arguments, 1);
	return v.type == UNDEFINED || (jinja_is_true(any) && !jinja_is_true(v))
		       ? argument(arguments, 0)
		       : v;
}

/* What takes no arguments and needs more than a text; false if there is no such filter. */
static bool apply_list_filter(struct jinja *j, struct value v, struct value name,
			      struct value *result)
{
	bool is_list = v.type == LIST || v.type == STREAM;

	if (jinja_is_named(name, "length") || jinja_is_named(name, "count"))
		*result = v.type == UNDEFINED ? jinja_integer(0)
			  : length_of(v) < 0  ? jinja_unknown(j)
					      : jinja_integer(length_of(v));
	else if (is_list && jinja_is_named(name, "list"))
		*result = jinja_list_of(j, v);
	else if (is_list && jinja_is_named(name, "first"))
		*result = item(j, jinja_list_of(j, v), jinja_integer(0));
	else if (v.type == LIST && jinja_is_named(name, "last"))
		*result = item(j, v, jinja_integer(-1));
	else if (v.type == TABLE && jinja_is_named(name, "items"))
		*result = table_items(j, v.table);
	else
		return false;
	return true;
}

struct value jinja_apply_filter(struct jinja *j, struct value v)
{
	struct value name = jinja_read_name(j);
	struct arguments arguments;
	struct value result;

	read_arguments(j, &arguments);
	if (jinja_is_named(name, "default"))
		return default_of(j, v, &arguments);
	if (jinja_is_named(name, "map"))
		return map_attribute(j, v, &arguments);
	if (!has_only(&arguments, MAX_ARGUMENTS, NULL))
		return jinja_unknown(j);
	if (jinja_is_named(name, "selectattr") || jinja_is_named(name, "rejectattr"))
		return select_by(j, v, &arguments, jinja_is_named(name, "rejectattr"));
	if (arguments.n == 0 && apply_list_filter(j, v, name, &result))
		return result;
	if (arguments.n <= 1 && jinja_is_named(name, "join"))
		return join(j, v, argument(&arguments, 0));
	return apply_text_filter(j, v, name, &arguments);
}

struct value jinja_apply_test(struct jinja *j, struct value v)
{
	bool is_negated = jinja_accept(j, "not");
	struct value name = jinja_read_name(j);
	bool is_sequence =
		v.type == STRING || v.type == LIST || v.type == TABLE || v.type == UNDEFINED;
	bool passes;

	if (jinja_is_named(name, "defined"))
		passes = v.type != UNDEFINED;
	else if (jinja_is_named(name, "undefined"))
		passes = v.type == UNDEFINED;
	else if (jinja_is_named(name, "none") || jinja_is_named(name, "None"))
		passes = v.type == NONE;
	else if (jinja_is_named(name, "string"))
		passes = v.type == STRING;
	else if (jinja_is_named(name, "mapping"))
		passes = v.type == TABLE;
	else if (jinja_is_named(name, "sequence"))
		passes = is_sequence;
	else if (jinja_is_named(name, "iterable"))
		passes = is_sequence || v.type == STREAM;
	else if (jinja_is_named(name, "number"))
		passes = jinja_is_number(v);
	else if (jinja_is_named(name, "integer"))
		passes = v.type == INTEGER;
	else if (jinja_is_named(name, "boolean"))
		passes = v.type == BOOLEAN;
	else if (jinja_is_named(name, "true") || jinja_is_named(name, "false"))
		passes = v.type == BOOLEAN && (v.number != 0) == jinja_is_named(name, "true");
	else
		return jinja_unknown(j);
	return jinja_bool(passes != is_negated);
}

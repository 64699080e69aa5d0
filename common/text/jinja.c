/* Templates are cut into nodes: text, {{ outputs }} and {% statements %}, where each
 * statement with branches knows where its next branch is.  Running walks over the nodes;
 * expressions are evaluated while they are parsed, by recursive descent, and what lies on
 * the side of and, or and if-else that does not count is parsed without effect (is_dry).
 *
 * An error ends the template, but for one: in "a if b else c" that of a counts only where
 * b holds. */
#include "common/text/jinja.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/die.h"
#include "common/text/unicode.h"

enum {
	MAX_DEPTH = 64,
	MAX_STEPS = 200000,
	MAX_OUTPUT = 1 << 20,
	MAX_MEMORY = 1 << 25,
	MAX_ARGUMENTS = 8,
	MAX_VARIABLES = 256,
};

/* --- values --- */

enum value_type { UNDEFINED, NONE, BOOLEAN, INTEGER, STRING, LIST, TABLE };

struct value {
	enum value_type type;
	int64_t number;	  /* BOOLEAN, INTEGER */
	const char *text; /* STRING [n] */
	size_t n;
	struct list *list;
	struct table *table;
};
struct list {
	struct value *items; /* [n] */
	size_t n;
};
struct entry {
	const char *key; /* [n_key] */
	size_t n_key;
	struct value value;
};
struct table {
	struct entry *entries; /* [n] */
	size_t n, capacity;
};

static const struct value UNDEFINED_VALUE = {.type = UNDEFINED};

static struct value of_bool(bool is_true)
{
	return (struct value){.type = BOOLEAN, .number = is_true};
}

static struct value of_integer(int64_t number)
{
	return (struct value){.type = INTEGER, .number = number};
}

static struct value of_text(const char *text, size_t n)
{
	return (struct value){.type = STRING, .text = text, .n = n};
}

static bool is_true(struct value v)
{
	switch (v.type) {
	case BOOLEAN:
	case INTEGER:
		return v.number != 0;
	case STRING:
		return v.n > 0;
	case LIST:
		return v.list->n > 0;
	case TABLE:
		return v.table->n > 0;
	default:
		return false;
	}
}

static bool is_number(struct value v)
{
	return v.type == INTEGER || v.type == BOOLEAN;
}

static bool is_equal(struct value a, struct value b, int depth)
{
	if (is_number(a) && is_number(b))
		return a.number == b.number;
	if (a.type != b.type || depth == MAX_DEPTH)
		return false;
	if (a.type == STRING)
		return a.n == b.n && memcmp(a.text, b.text, a.n) == 0;
	if (a.type == LIST) {
		if (a.list->n != b.list->n)
			return false;
		for (size_t i = 0; i < a.list->n; i++)
			if (!is_equal(a.list->items[i], b.list->items[i], depth + 1))
				return false;
		return true;
	}
	if (a.type == TABLE) {
		if (a.table->n != b.table->n)
			return false;
		for (size_t i = 0; i < a.table->n; i++)
			if (!is_equal(a.table->entries[i].value, b.table->entries[i].value,
				      depth + 1))
				return false;
		return true;
	}
	return true;
}

/* --- the state --- */

enum node_type {
	TEXT,
	OUTPUT,
	IF,
	ELIF,
	ELSE,
	ENDIF,
	FOR,
	ENDFOR,
	SET,
	BLOCK, /* a statement with an end that is not supported, but may be passed over */
	ENDBLOCK,
	MACRO,
	NOTHING,
	BREAK,
	CONTINUE,
	UNKNOWN,
};
struct node {
	enum node_type type;
	const char *text; /* [n]: text, or code behind the keyword */
	size_t n;
	size_t next; /* the node of the next branch, or of the end */
	size_t end;  /* of what opens: the node that closes it */
};

struct variable {
	const char *name; /* [n] */
	size_t n;
	struct value value;
};

struct jinja {
	struct arena arena;
	const char *at, *end; /* of the code being evaluated */
	struct node *nodes;   /* [n_nodes] */
	size_t n_nodes;
	struct variable variables[MAX_VARIABLES]; /* [n_variables]: the last of a name holds */
	size_t n_variables, scope;		  /* where the innermost loop's begin */
	int is_dry, depth;
	long steps;
	size_t memory;
	enum node_type jump; /* BREAK or CONTINUE on the way out of a loop's body */
	enum jinja_result result;
	const char *date;
	struct buf *out;
};

/* What cannot go on, not even without effect. */
static void stop(struct jinja *j)
{
	j->result = JINJA_UNKNOWN;
	j->is_dry = 0;
	j->at = j->end;
	j->steps = MAX_STEPS;
}

static struct value fail(struct jinja *j, enum jinja_result result)
{
	if (!j->is_dry && j->result == JINJA_DONE)
		j->result = result;
	return UNDEFINED_VALUE;
}

static struct value unknown(struct jinja *j)
{
	return fail(j, JINJA_UNKNOWN);
}

static bool may_go_on(struct jinja *j)
{
	if (++j->steps >= MAX_STEPS)
		stop(j);
	return j->steps < MAX_STEPS;
}

static void *take(struct jinja *j, size_t n, size_t size)
{
	j->memory += n * size + 64;
	if (j->memory > MAX_MEMORY)
		stop(j);
	return arena_calloc(&j->arena, n + 1, size);
}

static struct value new_list(struct jinja *j, size_t n)
{
	struct list *list = take(j, 1, sizeof *list);

	list->items = take(j, n, sizeof *list->items);
	list->n = n;
	return (struct value){.type = LIST, .list = list};
}

static struct value new_table(struct jinja *j)
{
	return (struct value){.type = TABLE, .table = take(j, 1, sizeof(struct table))};
}

static struct value *table_find(const struct table *table, const char *key, size_t n)
{
	for (size_t i = 0; i < table->n; i++)
		if (table->entries[i].n_key == n && memcmp(table->entries[i].key, key, n) == 0)
			return &table->entries[i].value;
	return NULL;
}

static void table_put(struct jinja *j, struct table *table, const char *key, size_t n,
		      struct value value)
{
	struct value *found = table_find(table, key, n);

	if (found) {
		*found = value;
		return;
	}
	if (table->n == table->capacity) {
		struct entry *old = table->entries;
		table->capacity = table->capacity ? 2 * table->capacity : 8;
		table->entries = take(j, table->capacity, sizeof *table->entries);
		if (old)
			memcpy(table->entries, old, table->n * sizeof *old);
	}
	table->entries[table->n++] = (struct entry){key, n, value};
}

static struct value concat(struct jinja *j, struct value a, struct value b)
{
	char *text = take(j, a.n + b.n, 1);

	if (a.n > 0)
		memcpy(text, a.text, a.n);
	if (b.n > 0)
		memcpy(text + a.n, b.text, b.n);
	return of_text(text, a.n + b.n);
}

/* A value as {{ }} writes it. */
static struct value to_text(struct jinja *j, struct value v)
{
	static const char *const words[] = {"", "None"};
	char digits[24];

	if (v.type == STRING)
		return v;
	if (v.type == UNDEFINED || v.type == NONE)
		return of_text(words[v.type], strlen(words[v.type]));
	if (v.type == BOOLEAN)
		return v.number ? of_text("True", 4) : of_text("False", 5);
	if (v.type != INTEGER)
		return unknown(j);
	snprintf(digits, sizeof digits, "%lld", (long long)v.number);
	return concat(j, of_text(digits, strlen(digits)), of_text("", 0));
}

/* --- text --- */

/* White space of Python's strip. */
static bool is_blank(uint32_t c)
{
	return unicode_is_space(c) || (c >= 0x1C && c <= 0x1F);
}

static bool is_stripped(uint32_t c, struct value set)
{
	if (set.type != STRING)
		return is_blank(c);
	for (size_t i = 0, n; i < set.n; i += n) {
		uint32_t member = 0;
		n = utf8_next(set.text + i, set.n - i, &member);
		if (n == 0 || member == c)
			return n > 0;
	}
	return false;
}

/* set: the characters stripped; white space if it is no string. */
static struct value strip(struct value v, struct value set, bool left, bool right)
{
	uint32_t c;
	size_t n;

	while (left && (n = utf8_next(v.text, v.n, &c)) > 0 && is_stripped(c, set)) {
		v.text += n;
		v.n -= n;
	}
	while (right && (n = utf8_previous(v.text, v.n, &c)) > 0 && is_stripped(c, set))
		v.n -= n;
	return v;
}

static struct value change_case(struct jinja *j, struct value v, int (*change)(int))
{
	char *text = take(j, v.n, 1);

	for (size_t i = 0; i < v.n; i++) {
		if ((unsigned char)v.text[i] >= 0x80)
			return unknown(j);
		text[i] = (char)change((unsigned char)v.text[i]);
	}
	return of_text(text, v.n);
}

static const char *find(struct value text, size_t from, struct value part)
{
	return from <= text.n ? memmem(text.text + from, text.n - from, part.text, part.n) : NULL;
}

static struct value split(struct jinja *j, struct value v, struct value separator)
{
	size_t n = 1, from = 0;
	struct value result;
	const char *found;

	if (separator.type != STRING || separator.n == 0)
		return unknown(j);
	for (size_t i = 0; (found = find(v, i, separator)); n++)
		i = (size_t)(found - v.text) + separator.n;
	result = new_list(j, n);
	for (size_t i = 0; i < n; i++) {
		found = find(v, from, separator);
		size_t end = found ? (size_t)(found - v.text) : v.n;
		result.list->items[i] = of_text(v.text + from, end - from);
		from = end + separator.n;
	}
	return result;
}

static struct value replace(struct jinja *j, struct value v, struct value old, struct value new)
{
	struct value result = of_text("", 0);
	size_t from = 0;

	if (old.type != STRING || new.type != STRING || old.n == 0)
		return unknown(j);
	for (const char *found; (found = find(v, from, old)) && may_go_on(j);) {
		size_t at = (size_t)(found - v.text);
		result = concat(j, result, of_text(v.text + from, at - from));
		result = concat(j, result, new);
		from = at + old.n;
	}
	return concat(j, result, of_text(v.text + from, v.n - from));
}

static size_t count_characters(struct value v)
{
	size_t count = 0;

	for (size_t i = 0; i < v.n; i++)
		count += ((uint8_t)v.text[i] & 0xC0) != 0x80;
	return count;
}

/* Where the character of an index begins. */
static size_t place_of(struct value v, size_t index)
{
	size_t i = 0;

	for (; i < v.n; i++)
		if (((uint8_t)v.text[i] & 0xC0) != 0x80 && index-- == 0)
			break;
	return i;
}

static bool begins(struct value v, struct value part)
{
	return v.n >= part.n && memcmp(v.text, part.text, part.n) == 0;
}

static bool ends(struct value v, struct value part)
{
	return v.n >= part.n && memcmp(v.text + v.n - part.n, part.text, part.n) == 0;
}

/* --- words of the code --- */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static void skip_space(struct jinja *j)
{
	while (j->at < j->end && isspace((unsigned char)*j->at))
		j->at++;
}

/* Whether a symbol or a whole word is next. */
static bool is_next(struct jinja *j, const char *token)
{
	size_t n = strlen(token);

	skip_space(j);
	if ((size_t)(j->end - j->at) < n || memcmp(j->at, token, n) != 0)
		return false;
	return !is_word(token[0]) || j->at + n == j->end || !is_word(j->at[n]);
}

static bool accept(struct jinja *j, const char *token)
{
	if (!is_next(j, token))
		return false;
	j->at += strlen(token);
	return true;
}

static void expect(struct jinja *j, const char *token)
{
	if (!accept(j, token))
		stop(j);
}

/* A name; of length 0 if there is none. */
static struct value read_name(struct jinja *j)
{
	const char *start;

	skip_space(j);
	start = j->at;
	if (j->at < j->end && !isdigit((unsigned char)*j->at))
		while (j->at < j->end && is_word(*j->at))
			j->at++;
	return of_text(start, (size_t)(j->at - start));
}

static bool is_named(struct value name, const char *word)
{
	return name.n == strlen(word) && memcmp(name.text, word, name.n) == 0;
}

/* --- expressions --- */

static struct value evaluate(struct jinja *j);

struct arguments {
	struct value values[MAX_ARGUMENTS]; /* [n] */
	struct value names[MAX_ARGUMENTS];  /* UNDEFINED: by place */
	size_t n;
};

/* What stands in parentheses, if they are next. */
static void read_arguments(struct jinja *j, struct arguments *arguments)
{
	arguments->n = 0;
	if (!accept(j, "("))
		return;
	while (!accept(j, ")") && may_go_on(j)) {
		const char *start = j->at;
		struct value name = read_name(j);
		if (arguments->n == MAX_ARGUMENTS) {
			stop(j);
			return;
		}
		arguments->names[arguments->n] = UNDEFINED_VALUE;
		if (name.n > 0 && !is_next(j, "==") && accept(j, "="))
			arguments->names[arguments->n] = name;
		else
			j->at = start;
		arguments->values[arguments->n++] = evaluate(j);
		if (!is_next(j, ")"))
			expect(j, ",");
	}
}

static struct value argument(const struct arguments *arguments, size_t i)
{
	return i < arguments->n && arguments->names[i].type == UNDEFINED ? arguments->values[i]
									 : UNDEFINED_VALUE;
}

static struct value named_argument(const struct arguments *arguments, const char *name)
{
	for (size_t i = 0; i < arguments->n; i++)
		if (arguments->names[i].type == STRING && is_named(arguments->names[i], name))
			return arguments->values[i];
	return UNDEFINED_VALUE;
}

static struct value make_namespace(struct jinja *j, const struct arguments *arguments)
{
	struct value table = new_table(j);

	for (size_t i = 0; i < arguments->n; i++) {
		if (arguments->names[i].type != STRING)
			return unknown(j);
		table_put(j, table.table, arguments->names[i].text, arguments->names[i].n,
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
		if (arguments->values[i].type != INTEGER || i > 1)
			return unknown(j);
	if (end - first > MAX_STEPS)
		return unknown(j);
	list = new_list(j, end > first ? (size_t)(end - first) : 0);
	for (size_t i = 0; i < list.list->n; i++)
		list.list->items[i] = of_integer(first + (int64_t)i);
	return list;
}

static struct value call_function(struct jinja *j, struct value name)
{
	struct arguments arguments;

	read_arguments(j, &arguments);
	if (is_named(name, "raise_exception"))
		return fail(j, JINJA_RAISED);
	if (is_named(name, "namespace"))
		return make_namespace(j, &arguments);
	if (is_named(name, "range"))
		return make_range(j, &arguments);
	if (is_named(name, "strftime_now"))
		return of_text(j->date, strlen(j->date));
	return unknown(j);
}

static struct value call_text_method(struct jinja *j, struct value v, struct value name,
				     const struct arguments *arguments)
{
	struct value first = argument(arguments, 0);

	if (is_named(name, "strip"))
		return strip(v, first, true, true);
	if (is_named(name, "lstrip"))
		return strip(v, first, true, false);
	if (is_named(name, "rstrip"))
		return strip(v, first, false, true);
	if (is_named(name, "upper"))
		return change_case(j, v, toupper);
	if (is_named(name, "lower"))
		return change_case(j, v, tolower);
	if (first.type != STRING)
		return unknown(j);
	if (is_named(name, "startswith"))
		return of_bool(begins(v, first));
	if (is_named(name, "endswith"))
		return of_bool(ends(v, first));
	if (is_named(name, "split") && arguments->n == 1)
		return split(j, v, first);
	if (is_named(name, "replace") && arguments->n == 2)
		return replace(j, v, first, argument(arguments, 1));
	return unknown(j);
}

static struct value table_items(struct jinja *j, const struct table *table)
{
	struct value list = new_list(j, table->n);

	for (size_t i = 0; i < table->n; i++) {
		struct value pair = new_list(j, 2);
		pair.list->items[0] = of_text(table->entries[i].key, table->entries[i].n_key);
		pair.list->items[1] = table->entries[i].value;
		list.list->items[i] = pair;
	}
	return list;
}

static struct value call_method(struct jinja *j, struct value v, struct value name)
{
	struct arguments arguments;
	struct value key, *found;

	read_arguments(j, &arguments);
	if (v.type == STRING)
		return call_text_method(j, v, name, &arguments);
	if (v.type != TABLE)
		return unknown(j);
	if (is_named(name, "items"))
		return table_items(j, v.table);
	key = argument(&arguments, 0);
	if (!is_named(name, "get") || key.type != STRING)
		return unknown(j);
	found = table_find(v.table, key.text, key.n);
	if (found)
		return *found;
	return arguments.n > 1 ? argument(&arguments, 1) : (struct value){.type = NONE};
}

static struct value attribute(struct jinja *j, struct value v, struct value name)
{
	struct value *found;

	if (v.type == UNDEFINED)
		return unknown(j);
	found = v.type == TABLE ? table_find(v.table, name.text, name.n) : NULL;
	return found ? *found : UNDEFINED_VALUE;
}

static int64_t length_of(struct value v)
{
	return v.type == LIST	  ? (int64_t)v.list->n
	       : v.type == TABLE  ? (int64_t)v.table->n
	       : v.type == STRING ? (int64_t)count_characters(v)
				  : -1;
}

static struct value item(struct jinja *j, struct value v, struct value index)
{
	int64_t n = length_of(v), i = index.number;

	if (index.type == STRING)
		return attribute(j, v, index);
	if ((v.type != LIST && v.type != STRING) || index.type != INTEGER)
		return unknown(j);
	i += i < 0 ? n : 0;
	if (i < 0 || i >= n)
		return UNDEFINED_VALUE;
	if (v.type == LIST)
		return v.list->items[i];
	n = (int64_t)place_of(v, (size_t)i);
	return of_text(v.text + n, place_of(v, (size_t)i + 1) - (size_t)n);
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
			return unknown(j);
	if ((v.type != LIST && v.type != STRING) || (is_reversed && v.type == STRING) ||
	    (is_reversed && (bounds[0].type == INTEGER || bounds[1].type == INTEGER)) ||
	    (!is_reversed && bounds[2].type == INTEGER && bounds[2].number != 1))
		return unknown(j);
	first = bounds[0].type == INTEGER ? clamp(bounds[0].number, n) : 0;
	end = bounds[1].type == INTEGER ? clamp(bounds[1].number, n) : n;
	end = end < first ? first : end;
	if (v.type == STRING) {
		size_t from = place_of(v, (size_t)first);
		return of_text(v.text + from, place_of(v, (size_t)end) - from);
	}
	list = new_list(j, (size_t)(end - first));
	for (int64_t i = 0; i < end - first; i++)
		list.list->items[i] = v.list->items[is_reversed ? end - 1 - i : first + i];
	return list;
}

static struct value subscript(struct jinja *j, struct value v)
{
	struct value bounds[3] = {UNDEFINED_VALUE, UNDEFINED_VALUE, UNDEFINED_VALUE};
	int i = 0;
	bool is_slice = false;

	while (!accept(j, "]") && may_go_on(j)) {
		if (accept(j, ":")) {
			is_slice = true;
			i++;
		} else if (i < 3) {
			bounds[i] = evaluate(j);
		}
		if (i > 2) {
			stop(j);
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
	bool is_equality =
		arguments->n == 3 && test.type == STRING &&
		(is_named(test, "equalto") || is_named(test, "==") || is_named(test, "eq"));
	bool is_definition = arguments->n == 2 && test.type == STRING && is_named(test, "defined");
	struct value list;
	size_t n = 0;

	if (v.type != LIST || name.type != STRING ||
	    !(arguments->n == 1 || is_equality || is_definition))
		return unknown(j);
	list = new_list(j, v.list->n);
	for (size_t i = 0; i < v.list->n; i++) {
		struct value member = attribute(j, v.list->items[i], name);
		bool passes = is_equality     ? is_equal(member, argument(arguments, 2), 0)
			      : is_definition ? member.type != UNDEFINED
					      : is_true(member);
		if (passes != is_rejecting)
			list.list->items[n++] = v.list->items[i];
	}
	list.list->n = n;
	return list;
}

static struct value map_attribute(struct jinja *j, struct value v,
				  const struct arguments *arguments)
{
	struct value name = named_argument(arguments, "attribute"), list;

	if (v.type != LIST || name.type != STRING)
		return unknown(j);
	list = new_list(j, v.list->n);
	for (size_t i = 0; i < v.list->n; i++)
		list.list->items[i] = attribute(j, v.list->items[i], name);
	return list;
}

static struct value join(struct jinja *j, struct value v, struct value separator)
{
	struct value result = of_text("", 0);

	if (v.type != LIST || (separator.type != STRING && separator.type != UNDEFINED))
		return unknown(j);
	for (size_t i = 0; i < v.list->n && may_go_on(j); i++) {
		if (i > 0 && separator.type == STRING)
			result = concat(j, result, separator);
		result = concat(j, result, to_text(j, v.list->items[i]));
	}
	return result;
}

static struct value apply_text_filter(struct jinja *j, struct value v, struct value name,
				      const struct arguments *arguments)
{
	struct value text = to_text(j, v);

	if (is_named(name, "trim"))
		return strip(text, argument(arguments, 0), true, true);
	if (is_named(name, "string") || is_named(name, "safe"))
		return text;
	if (is_named(name, "upper"))
		return change_case(j, text, toupper);
	if (is_named(name, "lower"))
		return change_case(j, text, tolower);
	if (is_named(name, "replace") && arguments->n == 2)
		return replace(j, text, argument(arguments, 0), argument(arguments, 1));
	return unknown(j);
}

static struct value apply_filter(struct jinja *j, struct value v)
{
	struct value name = read_name(j);
	struct arguments arguments;

	read_arguments(j, &arguments);
	if (is_named(name, "length") || is_named(name, "count"))
		return v.type == UNDEFINED ? of_integer(0)
		       : length_of(v) < 0  ? unknown(j)
					   : of_integer(length_of(v));
	if (is_named(name, "list") && v.type == LIST)
		return v;
	if (is_named(name, "first") && v.type == LIST)
		return item(j, v, of_integer(0));
	if (is_named(name, "last") && v.type == LIST)
		return item(j, v, of_integer(-1));
	if (is_named(name, "default"))
		return v.type == UNDEFINED || (is_true(argument(&arguments, 1)) && !is_true(v))
			       ? argument(&arguments, 0)
			       : v;
	if (is_named(name, "items") && v.type == TABLE)
		return table_items(j, v.table);
	if (is_named(name, "selectattr") || is_named(name, "rejectattr"))
		return select_by(j, v, &arguments, is_named(name, "rejectattr"));
	if (is_named(name, "map"))
		return map_attribute(j, v, &arguments);
	if (is_named(name, "join"))
		return join(j, v, argument(&arguments, 0));
	return apply_text_filter(j, v, name, &arguments);
}

static struct value apply_test(struct jinja *j, struct value v)
{
	bool is_negated = accept(j, "not");
	struct value name = read_name(j);
	bool is_listed = v.type == STRING || v.type == LIST || v.type == TABLE, passes;

	if (is_named(name, "defined"))
		passes = v.type != UNDEFINED;
	else if (is_named(name, "undefined"))
		passes = v.type == UNDEFINED;
	else if (is_named(name, "none") || is_named(name, "None"))
		passes = v.type == NONE;
	else if (is_named(name, "string"))
		passes = v.type == STRING;
	else if (is_named(name, "mapping"))
		passes = v.type == TABLE;
	else if (is_named(name, "iterable") || is_named(name, "sequence"))
		passes = is_listed || (v.type == UNDEFINED && is_named(name, "iterable"));
	else if (is_named(name, "number") || is_named(name, "integer"))
		passes = v.type == INTEGER;
	else if (is_named(name, "boolean"))
		passes = v.type == BOOLEAN;
	else if (is_named(name, "true") || is_named(name, "false"))
		passes = v.type == BOOLEAN && (v.number != 0) == is_named(name, "true");
	else
		return unknown(j);
	return of_bool(passes != is_negated);
}

/* --- operands --- */

static struct value unescape(struct jinja *j, struct value raw)
{
	char *text = take(j, raw.n, 1);
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		const char *known = raw.text[i] == '\\' && i + 1 < raw.n
					    ? strchr("n\nt\tr\r\\\\'\'\"\"", raw.text[i + 1])
					    : NULL;
		if (raw.text[i] == '\\' && i + 1 < raw.n && strchr("xuUN0", raw.text[i + 1]))
			return unknown(j);
		text[n++] = known ? known[1] : raw.text[i];
		i += known != NULL;
	}
	return of_text(text, n);
}

static struct value read_literal(struct jinja *j)
{
	struct value text = of_text("", 0);

	while (is_next(j, "'") || is_next(j, "\"")) { /* neighbours are one */
		char quote = *j->at++;
		struct value raw = of_text(j->at, 0);
		while (j->at < j->end && *j->at != quote)
			j->at += *j->at == '\\' && j->at + 1 < j->end ? 2 : 1;
		if (j->at >= j->end) {
			stop(j);
			return text;
		}
		raw.n = (size_t)(j->at++ - raw.text);
		if (memchr(raw.text, '\\', raw.n))
			raw = unescape(j, raw);
		text = text.n > 0 ? concat(j, text, raw) : raw;
	}
	return text;
}

static struct value read_number(struct jinja *j)
{
	int64_t number = 0;

	while (j->at < j->end && isdigit((unsigned char)*j->at) && number < 1000000000)
		number = 10 * number + (*j->at++ - '0');
	if (j->at < j->end && (is_word(*j->at) || *j->at == '.'))
		stop(j);
	return of_integer(number);
}

/* [a, b], or (a, b) behind its first. */
static struct value read_list(struct jinja *j, const char *close, struct value first,
			      bool has_first)
{
	struct value items[MAX_ARGUMENTS * 4], list;
	size_t n = 0;

	if (has_first)
		items[n++] = first;
	while (!accept(j, close) && may_go_on(j)) {
		if (n == sizeof items / sizeof *items) {
			stop(j);
			break;
		}
		items[n++] = evaluate(j);
		if (!is_next(j, close))
			expect(j, ",");
	}
	list = new_list(j, n);
	memcpy(list.list->items, items, n * sizeof *items);
	return list;
}

static struct value read_table(struct jinja *j)
{
	struct value table = new_table(j);

	while (!accept(j, "}") && may_go_on(j)) {
		struct value key = evaluate(j), value;
		expect(j, ":");
		value = evaluate(j);
		if (key.type != STRING)
			unknown(j);
		else
			table_put(j, table.table, key.text, key.n, value);
		if (!is_next(j, "}"))
			expect(j, ",");
	}
	return table;
}

static struct value read_parenthesis(struct jinja *j)
{
	struct value v = evaluate(j);

	if (accept(j, ","))
		return read_list(j, ")", v, true);
	expect(j, ")");
	return v;
}

static struct value look_up(struct jinja *j, struct value name)
{
	for (size_t i = j->n_variables; i-- > 0;)
		if (j->variables[i].n == name.n &&
		    memcmp(j->variables[i].name, name.text, name.n) == 0)
			return j->variables[i].value;
	return UNDEFINED_VALUE;
}

static struct value read_word(struct jinja *j)
{
	struct value name = read_name(j);

	if (name.n == 0) {
		stop(j);
		return UNDEFINED_VALUE;
	}
	if (is_named(name, "true") || is_named(name, "True"))
		return of_bool(true);
	if (is_named(name, "false") || is_named(name, "False"))
		return of_bool(false);
	if (is_named(name, "none") || is_named(name, "None"))
		return (struct value){.type = NONE};
	if (is_next(j, "("))
		return call_function(j, name);
	if (is_named(name, "strftime_now")) /* "is defined" */
		return of_bool(true);
	return look_up(j, name);
}

static struct value read_operand(struct jinja *j)
{
	skip_space(j);
	if (is_next(j, "'") || is_next(j, "\""))
		return read_literal(j);
	if (j->at < j->end && isdigit((unsigned char)*j->at))
		return read_number(j);
	if (accept(j, "("))
		return read_parenthesis(j);
	if (accept(j, "["))
		return read_list(j, "]", UNDEFINED_VALUE, false);
	if (accept(j, "{"))
		return read_table(j);
	return read_word(j);
}

static struct value read_postfix(struct jinja *j)
{
	struct value v = read_operand(j);

	while (may_go_on(j)) {
		if (accept(j, ".")) {
			struct value name = read_name(j);
			v = is_next(j, "(") ? call_method(j, v, name) : attribute(j, v, name);
		} else if (accept(j, "[")) {
			v = subscript(j, v);
		} else if (accept(j, "|")) {
			v = apply_filter(j, v);
		} else if (accept(j, "is")) {
			v = apply_test(j, v);
		} else {
			return v;
		}
	}
	return v;
}

/* --- operators, from those that bind most --- */

static struct value read_unary(struct jinja *j)
{
	struct value v;

	if (!accept(j, "-"))
		return read_postfix(j);
	v = read_postfix(j);
	return v.type == INTEGER ? of_integer(-v.number) : unknown(j);
}

static struct value calculate(struct jinja *j, char operator, struct value a, struct value b)
{
	int64_t quotient;

	if (operator== '+' && a.type == STRING && b.type == STRING)
		return concat(j, a, b);
	if (a.type != INTEGER || b.type != INTEGER || llabs(a.number) > INT32_MAX ||
	    llabs(b.number) > INT32_MAX)
		return unknown(j);
	if (operator== '+')
		return of_integer(a.number + b.number);
	if (operator== '-')
		return of_integer(a.number - b.number);
	if (operator== '*')
		return of_integer(a.number * b.number);
	if (b.number == 0)
		return unknown(j);
	quotient = a.number / b.number;
	quotient -= a.number % b.number != 0 && (a.number < 0) != (b.number < 0);
	return of_integer(operator== '/' ? quotient : a.number - quotient * b.number);
}

static struct value read_product(struct jinja *j)
{
	struct value v = read_unary(j);

	while (may_go_on(j)) {
		if (is_next(j, "**"))
			return unknown(j);
		if (accept(j, "//"))
			v = calculate(j, '/', v, read_unary(j));
		else if (accept(j, "*"))
			v = calculate(j, '*', v, read_unary(j));
		else if (accept(j, "%"))
			v = calculate(j, '%', v, read_unary(j));
		else
			return v;
	}
	return v;
}

static struct value read_concat(struct jinja *j)
{
	struct value v = read_product(j);

	while (may_go_on(j) && accept(j, "~")) {
		struct value right = read_product(j);
		v = concat(j, to_text(j, v), to_text(j, right));
	}
	return v;
}

static struct value read_sum(struct jinja *j)
{
	struct value v = read_concat(j);

	while (may_go_on(j)) {
		if (accept(j, "+"))
			v = calculate(j, '+', v, read_concat(j));
		else if (accept(j, "-"))
			v = calculate(j, '-', v, read_concat(j));
		else
			return v;
	}
	return v;
}

static struct value contains(struct jinja *j, struct value member, struct value v)
{
	if (v.type == STRING && member.type == STRING)
		return of_bool(find(v, 0, member) != NULL || member.n == 0);
	if (v.type == TABLE && member.type == STRING)
		return of_bool(table_find(v.table, member.text, member.n) != NULL);
	if (v.type == UNDEFINED)
		return of_bool(false);
	if (v.type != LIST)
		return unknown(j);
	for (size_t i = 0; i < v.list->n; i++)
		if (is_equal(member, v.list->items[i], 0))
			return of_bool(true);
	return of_bool(false);
}

static struct value order(struct jinja *j, struct value a, struct value b, bool is_less,
			  bool is_same)
{
	if (!is_number(a) || !is_number(b))
		return unknown(j);
	return of_bool(a.number == b.number ? is_same : (a.number < b.number) == is_less);
}

static bool accept_not_in(struct jinja *j)
{
	const char *start = j->at;

	if (accept(j, "not") && accept(j, "in"))
		return true;
	j->at = start;
	return false;
}

static struct value read_comparison(struct jinja *j)
{
	struct value v = read_sum(j);

	while (may_go_on(j)) {
		if (accept(j, "=="))
			v = of_bool(is_equal(v, read_sum(j), 0));
		else if (accept(j, "!="))
			v = of_bool(!is_equal(v, read_sum(j), 0));
		else if (accept(j, "<="))
			v = order(j, v, read_sum(j), true, true);
		else if (accept(j, ">="))
			v = order(j, v, read_sum(j), false, true);
		else if (accept(j, "<"))
			v = order(j, v, read_sum(j), true, false);
		else if (accept(j, ">"))
			v = order(j, v, read_sum(j), false, false);
		else if (accept(j, "in"))
			v = contains(j, v, read_sum(j));
		else if (accept_not_in(j))
			v = of_bool(!is_true(contains(j, v, read_sum(j))));
		else
			return v;
	}
	return v;
}

static struct value read_not(struct jinja *j)
{
	bool is_negated = false, has_not = false;

	while (accept(j, "not")) {
		is_negated = !is_negated;
		has_not = true;
	}
	if (!has_not)
		return read_comparison(j);
	return of_bool(is_true(read_comparison(j)) != is_negated);
}

static struct value read_and(struct jinja *j)
{
	struct value v = read_not(j);

	while (may_go_on(j) && accept(j, "and")) {
		bool decides = !is_true(v);
		struct value right;
		j->is_dry += decides;
		right = read_not(j);
		if (j->is_dry > 0)
			j->is_dry -= decides;
		v = decides ? v : right;
	}
	return v;
}

static struct value read_or(struct jinja *j)
{
	struct value v = read_and(j);

	while (may_go_on(j) && accept(j, "or")) {
		bool decides = is_true(v);
		struct value right;
		j->is_dry += decides;
		right = read_and(j);
		if (j->is_dry > 0)
			j->is_dry -= decides;
		v = decides ? v : right;
	}
	return v;
}

static struct value read_choice(struct jinja *j)
{
	enum jinja_result before = j->result, after;
	struct value v = read_or(j), other = UNDEFINED_VALUE;
	bool holds;

	if (!accept(j, "if"))
		return v;
	after = j->result;
	if (j->steps < MAX_STEPS)
		j->result = before;
	holds = is_true(read_or(j));
	if (accept(j, "else")) {
		j->is_dry += holds;
		other = evaluate(j);
		if (j->is_dry > 0)
			j->is_dry -= holds;
	}
	if (holds && j->result == JINJA_DONE)
		j->result = after;
	return holds ? v : other;
}

static struct value evaluate(struct jinja *j)
{
	struct value v;

	if (j->depth == MAX_DEPTH || !may_go_on(j)) {
		stop(j);
		return UNDEFINED_VALUE;
	}
	j->depth++;
	v = read_choice(j);
	j->depth--;
	return v;
}

/* --- nodes --- */

static const struct {
	const char *word;
	enum node_type type;
} KEYWORDS[] = {
	{"if", IF},
	{"elif", ELIF},
	{"else", ELSE},
	{"endif", ENDIF},
	{"for", FOR},
	{"endfor", ENDFOR},
	{"set", SET},
	{"endset", ENDBLOCK},
	{"macro", MACRO},
	{"endmacro", ENDBLOCK},
	{"generation", NOTHING},
	{"endgeneration", NOTHING},
	{"break", BREAK},
	{"continue", CONTINUE},
	{"call", BLOCK},
	{"endcall", ENDBLOCK},
	{"filter", BLOCK},
	{"endfilter", ENDBLOCK},
};

static void set_keyword(struct jinja *j, struct node *node)
{
	struct value word;

	j->at = node->text;
	j->end = node->text + node->n;
	word = read_name(j);
	node->type = UNKNOWN;
	for (size_t i = 0; i < sizeof KEYWORDS / sizeof *KEYWORDS; i++)
		if (is_named(word, KEYWORDS[i].word))
			node->type = KEYWORDS[i].type;
	node->text = j->at;
	node->n = (size_t)(j->end - j->at);
	if (node->type == SET && !memchr(node->text, '=', node->n))
		node->type = BLOCK;
}

/* The end of a tag: its closing mark outside of literals and braces. */
static const char *find_close(const char *at, const char *end, char mark)
{
	char quote = '\0';
	int braces = 0;

	for (; at + 1 < end; at++) {
		if (quote != '\0') {
			if (*at == '\\')
				at++;
			else if (*at == quote)
				quote = '\0';
		} else if (mark != '#' && (*at == '\'' || *at == '"')) {
			quote = *at;
		} else if (*at == mark && at[1] == '}' && braces == 0) {
			return at;
		} else if (mark == '}') {
			braces += (*at == '{') - (*at == '}');
		}
	}
	return NULL;
}

/* What the tag in front of a text does to its beginning. */
struct edge {
	bool strips;	    /* "-": all white space */
	bool drops_newline; /* a statement's or comment's: the first line break */
	bool starts_line;
};

/* A text without what "-", trim_blocks, lstrip_blocks and the template's end drop; next is
 * the tag behind it, or NULL. */
static struct node trim_text(const char *start, const char *stop, struct edge edge,
			     const char *next)
{
	if (edge.strips) {
		while (start < stop && isspace((unsigned char)*start))
			start++;
	} else if (edge.drops_newline && start < stop && *start == '\n') {
		start++;
		edge.starts_line = true;
	}
	if (!next) {
		stop -= start < stop && stop[-1] == '\n';
	} else if (next[2] == '-') {
		while (start < stop && isspace((unsigned char)stop[-1]))
			stop--;
	} else if (next[1] != '{') {
		const char *line = stop;
		while (line > start && isspace((unsigned char)line[-1]) && line[-1] != '\n')
			line--;
		if (line == start ? edge.starts_line : line[-1] == '\n')
			stop = line;
	}
	return (struct node){.type = TEXT, .text = start, .n = (size_t)(stop - start)};
}

static const char *find_tag(const char *at, const char *end)
{
	for (; at + 2 < end; at++)
		if (*at == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#'))
			return at;
	return NULL;
}

static void add_tag(struct jinja *j, const char *tag, const char *close, bool is_stripping)
{
	struct node *node = &j->nodes[j->n_nodes++];
	const char *end = close - is_stripping;

	node->type = tag[1] == '#' ? NOTHING : OUTPUT;
	node->text = tag + 2 + (tag[2] == '-');
	node->n = end > node->text ? (size_t)(end - node->text) : 0;
	if (tag[1] == '%')
		set_keyword(j, node);
}

static void cut(struct jinja *j, const char *text, size_t n)
{
	const char *at = text, *end = text + n;
	struct edge edge = {.starts_line = true};

	while (at < end) {
		const char *tag = find_tag(at, end), *close;
		j->nodes[j->n_nodes++] = trim_text(at, tag ? tag : end, edge, tag);
		if (!tag)
			return;
		close = find_close(tag + 2, end, tag[1] == '{' ? '}' : tag[1]);
		if (!close || tag[2] == '+' || close[-1] == '+') {
			stop(j);
			return;
		}
		edge = (struct edge){.strips = close > tag + 2 && close[-1] == '-',
				     .drops_newline = tag[1] != '{'};
		add_tag(j, tag, close, edge.strips);
		at = close + 2;
	}
}

static bool opens(enum node_type type)
{
	return type == IF || type == FOR || type == BLOCK || type == MACRO;
}

static bool closes(enum node_type open, enum node_type type)
{
	return open == IF ? type == ENDIF : open == FOR ? type == ENDFOR : type == ENDBLOCK;
}

/* Finds where branches go on and end. */
static void match_branches(struct jinja *j)
{
	size_t open[MAX_DEPTH], last[MAX_DEPTH];
	int n = 0;

	for (size_t i = 0; i < j->n_nodes; i++) {
		enum node_type type = j->nodes[i].type;
		if (opens(type)) {
			if (n == MAX_DEPTH) {
				stop(j);
				return;
			}
			open[n] = last[n] = i;
			n++;
		} else if (type == ELIF || type == ELSE || type == ENDIF || type == ENDFOR ||
			   type == ENDBLOCK) {
			enum node_type opened = n > 0 ? j->nodes[open[n - 1]].type : TEXT;
			bool is_end = n > 0 && closes(opened, type);
			if (!is_end && !(opened == IF && (type == ELIF || type == ELSE)) &&
			    !(opened == FOR && type == ELSE)) {
				stop(j);
				return;
			}
			j->nodes[last[n - 1]].next = i;
			last[n - 1] = i;
			if (is_end)
				j->nodes[open[--n]].end = i;
		}
	}
	if (n > 0)
		stop(j);
}

/* --- running --- */

static void run(struct jinja *j, size_t from, size_t to);

static struct value evaluate_node(struct jinja *j, const struct node *node)
{
	j->at = node->text;
	j->end = node->text + node->n;
	return evaluate(j);
}

static void expect_end(struct jinja *j)
{
	skip_space(j);
	if (j->at != j->end)
		stop(j);
}

static void set_variable(struct jinja *j, struct value name, struct value value)
{
	for (size_t i = j->n_variables; i-- > j->scope;) {
		if (j->variables[i].n == name.n &&
		    memcmp(j->variables[i].name, name.text, name.n) == 0) {
			j->variables[i].value = value;
			return;
		}
	}
	if (j->n_variables == MAX_VARIABLES) {
		stop(j);
		return;
	}
	j->variables[j->n_variables++] = (struct variable){name.text, name.n, value};
}

static void set_named(struct jinja *j, const char *name, struct value value)
{
	set_variable(j, of_text(name, strlen(name)), value);
}

static void run_set(struct jinja *j, const struct node *node)
{
	struct value name, member = UNDEFINED_VALUE, value, owner;

	j->at = node->text;
	j->end = node->text + node->n;
	name = read_name(j);
	if (accept(j, "."))
		member = read_name(j);
	expect(j, "=");
	value = evaluate(j);
	expect_end(j);
	if (j->result != JINJA_DONE)
		return;
	if (member.type != STRING) {
		set_variable(j, name, value);
		return;
	}
	owner = look_up(j, name);
	if (owner.type == TABLE)
		table_put(j, owner.table, member.text, member.n, value);
	else
		unknown(j);
}

static void run_if(struct jinja *j, size_t i)
{
	while (j->nodes[i].type != ENDIF && j->result == JINJA_DONE) {
		const struct node *node = &j->nodes[i];
		bool holds = node->type == ELSE || is_true(evaluate_node(j, node));
		if (node->type != ELSE)
			expect_end(j);
		if (holds) {
			if (j->result == JINJA_DONE)
				run(j, i + 1, node->next);
			return;
		}
		i = node->next;
	}
}

static struct value describe_loop(struct jinja *j, const struct list *list, size_t i)
{
	struct value loop = new_table(j);
	struct table *table = loop.table;

	table_put(j, table, "index0", 6, of_integer((int64_t)i));
	table_put(j, table, "index", 5, of_integer((int64_t)i + 1));
	table_put(j, table, "first", 5, of_bool(i == 0));
	table_put(j, table, "last", 4, of_bool(i + 1 == list->n));
	table_put(j, table, "length", 6, of_integer((int64_t)list->n));
	if (i > 0)
		table_put(j, table, "previtem", 8, list->items[i - 1]);
	if (i + 1 < list->n)
		table_put(j, table, "nextitem", 8, list->items[i + 1]);
	return loop;
}

/* One turn of a loop, whose names hold in it alone. */
static void run_turn(struct jinja *j, size_t node, const struct value names[2],
		     const struct list *list, size_t i)
{
	size_t scope = j->scope, n = j->n_variables;
	struct value value = list->items[i];

	j->scope = n;
	if (names[1].n == 0)
		set_variable(j, names[0], value);
	else if (value.type == LIST && value.list->n == 2)
		for (int k = 0; k < 2; k++)
			set_variable(j, names[k], value.list->items[k]);
	else
		unknown(j);
	set_named(j, "loop", describe_loop(j, list, i));
	run(j, node + 1, j->nodes[node].next);
	j->scope = scope;
	j->n_variables = n;
}

static void run_for(struct jinja *j, size_t i)
{
	const struct node *node = &j->nodes[i];
	struct value names[2] = {UNDEFINED_VALUE, UNDEFINED_VALUE}, values;
	bool is_empty;

	j->at = node->text;
	j->end = node->text + node->n;
	names[0] = read_name(j);
	if (accept(j, ","))
		names[1] = read_name(j);
	expect(j, "in");
	values = read_or(j);
	expect_end(j);
	if (values.type != LIST && values.type != UNDEFINED)
		unknown(j);
	is_empty = values.type != LIST || values.list->n == 0;
	for (size_t k = 0; !is_empty && k < values.list->n && j->result == JINJA_DONE; k++) {
		run_turn(j, i, names, values.list, k);
		if (j->jump == BREAK)
			k = values.list->n - 1;
		j->jump = TEXT;
	}
	if (is_empty && j->result == JINJA_DONE && j->nodes[node->next].type == ELSE)
		run(j, node->next + 1, node->end);
}

static void write_text(struct jinja *j, struct value text)
{
	if (j->out->length + text.n > MAX_OUTPUT)
		stop(j);
	else if (text.n > 0)
		buf_append(j->out, text.text, text.n);
}

/* Runs one node and gives the one that comes next. */
static size_t run_node(struct jinja *j, size_t i)
{
	const struct node *node = &j->nodes[i];

	switch (node->type) {
	case TEXT:
		write_text(j, of_text(node->text, node->n));
		return i + 1;
	case OUTPUT: {
		struct value v = to_text(j, evaluate_node(j, node));
		expect_end(j);
		if (j->result == JINJA_DONE)
			write_text(j, v);
		return i + 1;
	}
	case IF:
		run_if(j, i);
		return node->end + 1;
	case FOR:
		run_for(j, i);
		return node->end + 1;
	case SET:
		run_set(j, node);
		return i + 1;
	case MACRO: /* what calls it is not known */
		return node->end + 1;
	case BREAK:
	case CONTINUE:
		j->jump = node->type;
		return i + 1;
	case NOTHING:
		return i + 1;
	default:
		unknown(j);
		return i + 1;
	}
}

static void run(struct jinja *j, size_t from, size_t to)
{
	for (size_t i = from; i < to && j->result == JINJA_DONE && j->jump == TEXT && may_go_on(j);)
		i = run_node(j, i);
}

/* --- the whole --- */

static struct value messages_of(struct jinja *j, const struct jinja_input *input)
{
	struct value list = new_list(j, input->n);

	for (size_t i = 0; i < input->n; i++) {
		const struct jinja_message *m = &input->messages[i];
		struct value message = new_table(j);
		table_put(j, message.table, "role", 4, of_text(m->role, strlen(m->role)));
		table_put(j, message.table, "content", 7, of_text(m->content, strlen(m->content)));
		list.list->items[i] = message;
	}
	return list;
}

static void set_input(struct jinja *j, const struct jinja_input *input)
{
	set_named(j, "messages", messages_of(j, input));
	set_named(j, "tools", (struct value){.type = NONE});
	set_named(j, "documents", (struct value){.type = NONE});
	set_named(j, "add_generation_prompt", of_bool(input->add_generation_prompt));
	if (input->bos)
		set_named(j, "bos_token", of_text(input->bos, strlen(input->bos)));
	if (input->eos)
		set_named(j, "eos_token", of_text(input->eos, strlen(input->eos)));
}

/* With one kind of line break, as Jinja reads it. */
static char *copy_lines(struct jinja *j, const char *text, size_t *n)
{
	char *copy = take(j, *n + 4, 1);
	size_t length = 0;

	for (size_t i = 0; i < *n; i++) {
		if (text[i] == '\r' && i + 1 < *n && text[i + 1] == '\n')
			continue;
		copy[length++] = text[i] == '\r' ? '\n' : text[i];
	}
	*n = length;
	return copy;
}

enum jinja_result jinja_render(const char *template, size_t n, const struct jinja_input *input,
			       struct buf *out)
{
	struct jinja *j = xcalloc(1, sizeof *j);
	enum jinja_result result = JINJA_UNKNOWN;

	arena_init(&j->arena);
	j->out = out;
	j->date = input->date;
	buf_append(out, "", 0);
	if (n < MAX_OUTPUT) {
		const char *text = copy_lines(j, template, &n);
		j->nodes = take(j, n / 2 + 4, sizeof *j->nodes);
		cut(j, text, n);
		match_branches(j);
		set_input(j, input);
		if (j->steps < MAX_STEPS)
			run(j, 0, j->n_nodes);
		result = j->result;
	}
	arena_release(&j->arena);
	free(j);
	return result;
}

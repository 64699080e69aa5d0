/* Expressions, by recursive descent.  What lies on the side of and, or and if-else that does
 * not count is parsed without effect (is_dry).
 *
 * An error ends the template, but for one: in "a if b else c" that of a counts only where b
 * holds. */
#include "common/text/jinja_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 32 };

/* --- words of the code --- */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

void jinja_skip_space(struct jinja *j)
{
	while (j->at < j->end && isspace((unsigned char)*j->at))
		j->at++;
}

/* Whether a symbol or a whole word is next. */
bool jinja_is_next(struct jinja *j, const char *token)
{
	size_t n = strlen(token);

	jinja_skip_space(j);
	if ((size_t)(j->end - j->at) < n || memcmp(j->at, token, n) != 0)
		return false;
	return !is_word(token[0]) || j->at + n == j->end || !is_word(j->at[n]);
}

bool jinja_accept(struct jinja *j, const char *token)
{
	if (!jinja_is_next(j, token))
		return false;
	j->at += strlen(token);
	return true;
}

void jinja_expect(struct jinja *j, const char *token)
{
	if (!jinja_accept(j, token))
		jinja_stop(j);
}

/* A name; of length 0 if there is none. */
struct value jinja_read_name(struct jinja *j)
{
	const char *start;

	jinja_skip_space(j);
	start = j->at;
	if (j->at < j->end && !isdigit((unsigned char)*j->at))
		while (j->at < j->end && is_word(*j->at))
			j->at++;
	return jinja_text(start, (size_t)(j->at - start));
}

bool jinja_is_named(struct value name, const char *word)
{
	return name.n == strlen(word) && memcmp(name.text, word, name.n) == 0;
}

/* --- operands --- */

/* Behind each backslash of raw there is a character: a quote there would not have ended it. */
static struct value unescape(struct jinja *j, struct value raw)
{
	static const char known[] = "ntr\\'\"", meant[] = "\n\t\r\\'\"";
	static const char others[] = "xuUN01234567abfv\n\r";
	char *text = jinja_take(j, raw.n, 1);
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		bool is_escape = raw.text[i] == '\\';
		const char *found = is_escape ? strchr(known, raw.text[i + 1]) : NULL;

		if (is_escape && strchr(others, raw.text[i + 1])) /* a NUL, too */
			return jinja_unknown(j);
		text[n++] = found ? meant[found - known] : raw.text[i];
		i += found != NULL;
	}
	return jinja_text(text, n);
}

static struct value read_literal(struct jinja *j)
{
	struct value text = jinja_text("", 0);

	while (jinja_is_next(j, "'") || jinja_is_next(j, "\"")) { /* neighbours are one */
		char quote = *j->at++;
		struct value raw = jinja_text(j->at, 0);
		while (j->at < j->end && *j->at != quote)
			j->at += *j->at == '\\' && j->at + 1 < j->end ? 2 : 1;
		if (j->at >= j->end) {
			jinja_stop(j);
			return text;
		}
		raw.n = (size_t)(j->at++ - raw.text);
		if (memchr(raw.text, '\\', raw.n))
			raw = unescape(j, raw);
		text = text.n > 0 ? jinja_concat(j, text, raw) : raw;
	}
	return text;
}

static struct value read_number(struct jinja *j)
{
	int64_t number = 0;

	while (j->at < j->end && isdigit((unsigned char)*j->at) && number < 1000000000)
		number = 10 * number + (*j->at++ - '0');
	if (j->at < j->end && (is_word(*j->at) || *j->at == '.'))
		jinja_stop(j);
	return jinja_integer(number);
}

/* [a, b], or (a, b) behind its first. */
static struct value read_list(struct jinja *j, const char *close, struct value first,
			      bool has_first)
{
	struct value items[MAX_ITEMS], list;
	size_t n = 0;

	if (has_first)
		items[n++] = first;
	while (!jinja_accept(j, close) && jinja_may_go_on(j)) {
		if (n == sizeof items / sizeof *items) {
			jinja_stop(j);
			break;
		}
		items[n++] = jinja_evaluate(j);
		if (!jinja_is_next(j, close))
			jinja_expect(j, ",");
	}
	list = jinja_new_list(j, n);
	memcpy(list.list->items, items, n * sizeof *items);
	return list;
}

static struct value read_table(struct jinja *j)
{
	struct value table = jinja_new_table(j);

	while (!jinja_accept(j, "}") && jinja_may_go_on(j)) {
		struct value key = jinja_evaluate(j), value;
		jinja_expect(j, ":");
		value = jinja_evaluate(j);
		if (key.type != STRING)
			jinja_unknown(j);
		else
			jinja_table_put(j, table.table, key.text, key.n, value);
		if (!jinja_is_next(j, "}"))
			jinja_expect(j, ",");
	}
	return table;
}

static struct value read_parenthesis(struct jinja *j)
{
	struct value v = jinja_evaluate(j);

	if (jinja_accept(j, ","))
		return read_list(j, ")", v, true);
	jinja_expect(j, ")");
	return v;
}

struct value jinja_look_up(struct jinja *j, struct value name)
{
	for (size_t i = j->n_variables; i-- > 0;)
		if (j->variables[i].n == name.n &&
		    memcmp(j->variables[i].name, name.text, name.n) == 0)
			return j->variables[i].value;
	return JINJA_NOTHING;
}

static struct value read_word(struct jinja *j)
{
	struct value name = jinja_read_name(j);

	if (name.n == 0) {
		jinja_stop(j);
		return JINJA_NOTHING;
	}
	if (jinja_is_named(name, "true") || jinja_is_named(name, "True"))
		return jinja_bool(true);
	if (jinja_is_named(name, "false") || jinja_is_named(name, "False"))
		return jinja_bool(false);
	if (jinja_is_named(name, "none") || jinja_is_named(name, "None"))
		return (struct value){.type = NONE};
	if (jinja_is_next(j, "("))
		return jinja_call_function(j, name);
	if (jinja_is_named(name, "strftime_now")) /* "is defined" */
		return jinja_bool(true);
	return jinja_look_up(j, name);
}

static struct value read_operand(struct jinja *j)
{
	jinja_skip_space(j);
	if (jinja_is_next(j, "'") || jinja_is_next(j, "\""))
		return read_literal(j);
	if (j->at < j->end && isdigit((unsigned char)*j->at))
		return read_number(j);
	if (jinja_accept(j, "("))
		return read_parenthesis(j);
	if (jinja_accept(j, "["))
		return read_list(j, "]", JINJA_NOTHING, false);
	if (jinja_accept(j, "{"))
		return read_table(j);
	return read_word(j);
}

static struct value read_postfix(struct jinja *j)
{
	struct value v = read_operand(j);

	while (jinja_may_go_on(j)) {
		jinja_look_at(j, v);
		if (jinja_accept(j, ".")) {
			struct value name = jinja_read_name(j);
			v = jinja_is_next(j, "(") ? jinja_call_method(j, v, name)
						  : jinja_attribute(j, v, name);
		} else if (jinja_accept(j, "[")) {
			v = jinja_subscript(j, v);
		} else {
			return v;
		}
	}
	return v;
}

/* --- operators, from those that bind most --- */

static struct value read_signed(struct jinja *j)
{
	struct value v;

	if (!jinja_accept(j, "-"))
		return read_postfix(j);
	v = read_postfix(j);
	return v.type == INTEGER ? jinja_integer(-v.number) : jinja_unknown(j);
}

/* Filters and tests are of what has its sign. */
static struct value read_unary(struct jinja *j)
{
	struct value v = read_signed(j);

	while (jinja_may_go_on(j)) {
		jinja_look_at(j, v);
		if (jinja_accept(j, "|"))
			v = jinja_apply_filter(j, v);
		else if (jinja_accept(j, "is"))
			v = jinja_apply_test(j, v);
		else
			return v;
	}
	return v;
}

static struct value calculate(struct jinja *j, char operator, struct value a, struct value b)
{
	int64_t quotient;

	if (operator== '+' && a.type == STRING && b.type == STRING)
		return jinja_concat(j, a, b);
	if (a.type != INTEGER || b.type != INTEGER || llabs(a.number) > INT32_MAX ||
	    llabs(b.number) > INT32_MAX)
		return jinja_unknown(j);
	if (operator== '+')
		return jinja_integer(a.number + b.number);
	if (operator== '-')
		return jinja_integer(a.number - b.number);
	if (operator== '*')
		return jinja_integer(a.number * b.number);
	if (b.number == 0)
		return jinja_unknown(j);
	quotient = a.number / b.number;
	quotient -= a.number % b.number != 0 && (a.number < 0) != (b.number < 0);
	return jinja_integer(operator== '/' ? quotient : a.number - quotient * b.number);
}

static struct value read_product(struct jinja *j)
{
	struct value v = read_unary(j);

	while (jinja_may_go_on(j)) {
		if (jinja_is_next(j, "**"))
			return jinja_unknown(j);
		if (jinja_accept(j, "//"))
			v = calculate(j, '/', v, read_unary(j));
		else if (jinja_accept(j, "*"))
			v = calculate(j, '*', v, read_unary(j));
		else if (jinja_accept(j, "%"))
			v = calculate(j, '%', v, read_unary(j));
		else
			return v;
	}
	return v;
}

static struct value read_concat(struct jinja *j)
{
	struct value v = read_product(j);

	while (jinja_may_go_on(j) && jinja_accept(j, "~")) {
		struct value right = read_product(j);
		v = jinja_concat(j, jinja_to_text(j, v), jinja_to_text(j, right));
	}
	return v;
}

static struct value read_sum(struct jinja *j)
{
	struct value v = read_concat(j);

	while (jinja_may_go_on(j)) {
		if (jinja_accept(j, "+"))
			v = calculate(j, '+', v, read_concat(j));
		else if (jinja_accept(j, "-"))
			v = calculate(j, '-', v, read_concat(j));
		else
			return v;
	}
	return v;
}

static struct value contains(struct jinja *j, struct value member, struct value v)
{
	if (v.type == STRING && member.type == STRING)
		return jinja_bool(jinja_find(v, 0, member) != NULL || member.n == 0);
	if (v.type == TABLE && member.type == STRING)
		return jinja_bool(jinja_table_find(v.table, member.text, member.n) != NULL);
	if (v.type == UNDEFINED)
		return jinja_bool(false);
	v = jinja_list_of(j, v);
	if (v.type != LIST)
		return jinja_unknown(j);
	for (size_t i = 0; i < v.list->n; i++)
		if (jinja_is_equal(j, member, v.list->items[i], 0))
			return jinja_bool(true);
	return jinja_bool(false);
}

static struct value order(struct jinja *j, struct value a, struct value b, bool is_less,
			  bool is_same)
{
	if (!jinja_is_number(a) || !jinja_is_number(b))
		return jinja_unknown(j);
	return jinja_bool(a.number == b.number ? is_same : (a.number < b.number) == is_less);
}

enum comparison { EQUAL, UNEQUAL, AT_MOST, AT_LEAST, LESS, MORE, IN, NOT_IN, NO_COMPARISON };

static enum comparison accept_comparison(struct jinja *j)
{
	static const char *const words[] = {"==", "!=", "<=", ">=", "<", ">", "in"};
	const char *start = j->at;

	for (int i = EQUAL; i <= IN; i++)
		if (jinja_accept(j, words[i]))
			return (enum comparison)i;
	if (jinja_accept(j, "not") && jinja_accept(j, "in"))
		return NOT_IN;
	j->at = start;
	return NO_COMPARISON;
}

static bool compare(struct jinja *j, enum comparison comparison, struct value a, struct value b)
{
	if (comparison == EQUAL || comparison == UNEQUAL)
		return jinja_is_equal(j, a, b, 0) == (comparison == EQUAL);
	if (comparison == IN || comparison == NOT_IN)
		return jinja_is_true(contains(j, a, b)) == (comparison == IN);
	return jinja_is_true(order(j, a, b, comparison == LESS || comparison == AT_MOST,
				   comparison == AT_LEAST || comparison == AT_MOST));
}

/* a < b < c is a < b and b < c. */
static struct value read_comparison(struct jinja *j)
{
	struct value v = read_sum(j), left = v;
	bool holds = true;
	enum comparison comparison;

	while (jinja_may_go_on(j) && (comparison = accept_comparison(j)) != NO_COMPARISON) {
		bool fails = !holds;
		struct value right;
		j->is_dry += fails;
		right = read_sum(j);
		holds = compare(j, comparison, left, right) && holds;
		if (j->is_dry > 0)
			j->is_dry -= fails;
		left = right;
		v = jinja_bool(holds);
	}
	return v;
}

static struct value read_not(struct jinja *j)
{
	bool is_negated = false, has_not = false;

	while (jinja_accept(j, "not")) {
		is_negated = !is_negated;
		has_not = true;
	}
	if (!has_not)
		return read_comparison(j);
	return jinja_bool(jinja_is_true(read_comparison(j)) != is_negated);
}

/* Operands between one word: the first whose truth decides is the value, or the last. */
static struct value read_chain(struct jinja *j, const char *word, bool deciding,
			       struct value (*read)(struct jinja *))
{
	struct value v = read(j);

	while (jinja_may_go_on(j) && jinja_accept(j, word)) {
		bool decides = jinja_is_true(v) == deciding;
		struct value right;
		j->is_dry += decides;
		right = read(j);
		if (j->is_dry > 0)
			j->is_dry -= decides;
		v = decides ? v : right;
	}
	return v;
}

static struct value read_and(struct jinja *j)
{
	return read_chain(j, "and", false, read_not);
}

struct value jinja_read_or(struct jinja *j)
{
	return read_chain(j, "or", true, read_and);
}

static struct value read_choice(struct jinja *j)
{
	enum jinja_result before = j->result, after;
	struct value v = jinja_read_or(j), other = JINJA_NOTHING;
	bool holds;

	if (!jinja_accept(j, "if"))
		return v;
	after = j->result;
	if (j->steps < JINJA_MAX_STEPS)
		j->result = before;
	holds = jinja_is_true(jinja_read_or(j));
	if (jinja_accept(j, "else")) {
		j->is_dry += holds;
		other = jinja_evaluate(j);
		if (j->is_dry > 0)
			j->is_dry -= holds;
	}
	if (holds && j->result == JINJA_DONE)
		j->result = after;
	return holds ? v : other;
}

struct value jinja_evaluate(struct jinja *j)
{
	struct value v;

	if (j->depth == JINJA_MAX_DEPTH || !jinja_may_go_on(j)) {
		jinja_stop(j);
		return JINJA_NOTHING;
	}
	j->depth++;
	v = read_choice(j);
	j->depth--;
	return v;
}

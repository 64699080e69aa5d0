/* Values: made, asked and changed, as Python does it. */
#include "common/text/jinja_private.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/text/unicode.h"

enum {
	MAX_MEMORY = 1 << 25,
	MAX_TEXT = 1 << 20,   /* bytes of one value */
	BYTES_OF_STEP = 64,   /* of a text that is looked at */
	MAX_STRIPPED_SET = 64 /* bytes of the characters to strip */
};

struct value jinja_bool(bool is_true)
{
	return (struct value){.type = BOOLEAN, .number = is_true};
}

struct value jinja_integer(int64_t number)
{
	return (struct value){.type = INTEGER, .number = number};
}

struct value jinja_text(const char *text, size_t n)
{
	return (struct value){.type = STRING, .text = text, .n = n};
}

bool jinja_is_true(struct value v)
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
	case STREAM:
		return true;
	default:
		return false;
	}
}

bool jinja_is_number(struct value v)
{
	return v.type == INTEGER || v.type == BOOLEAN;
}

bool jinja_is_equal(struct jinja *j, struct value a, struct value b, int depth)
{
	if (jinja_is_number(a) && jinja_is_number(b))
		return a.number == b.number;
	if (a.type != b.type || depth == JINJA_MAX_DEPTH || !jinja_may_go_on(j))
		return false;
	if (a.type == STRING)
		return a.n == b.n && memcmp(a.text, b.text, a.n) == 0;
	if (a.type == LIST) {
		if (a.list->n != b.list->n)
			return false;
		for (size_t i = 0; i < a.list->n; i++)
			if (!jinja_is_equal(j, a.list->items[i], b.list->items[i], depth + 1))
				return false;
		return true;
	}
	if (a.type == TABLE) {
		if (a.table->n != b.table->n)
			return false;
		for (size_t i = 0; i < a.table->n; i++) {
			const struct entry *entry = &a.table->entries[i];
			const struct value *other =
				jinja_table_find(b.table, entry->key, entry->n_key);
			if (!other || !jinja_is_equal(j, entry->value, *other, depth + 1))
				return false;
		}
		return true;
	}
	return a.type != STREAM || a.list == b.list;
}

/* What cannot go on, not even without effect. */
void jinja_stop(struct jinja *j)
{
	j->result = JINJA_UNKNOWN;
	j->is_dry = 0;
	j->at = j->end;
	j->steps = JINJA_MAX_STEPS;
}

struct value jinja_fail(struct jinja *j, enum jinja_result result)
{
	if (!j->is_dry && j->result == JINJA_DONE)
		j->result = result;
	return JINJA_NOTHING;
}

struct value jinja_unknown(struct jinja *j)
{
	return jinja_fail(j, JINJA_UNKNOWN);
}

bool jinja_may_go_on(struct jinja *j)
{
	if (++j->steps >= JINJA_MAX_STEPS)
		jinja_stop(j);
	return j->steps < JINJA_MAX_STEPS;
}

void jinja_look_at(struct jinja *j, struct value v)
{
	if (v.type == STRING && j->steps < JINJA_MAX_STEPS)
		j->steps += (long)(v.n / BYTES_OF_STEP);
}

void *jinja_take(struct jinja *j, size_t n, size_t size)
{
	j->memory += n * size + 64;
	if (j->memory > MAX_MEMORY)
		jinja_stop(j);
	return arena_calloc(&j->arena, n + 1, size);
}

struct value jinja_new_list(struct jinja *j, size_t n)
{
	struct list *list = jinja_take(j, 1, sizeof *list);

	list->items = jinja_take(j, n, sizeof *list->items);
	list->n = n;
	return (struct value){.type = LIST, .list = list};
}

struct value jinja_list_of(struct jinja *j, struct value v)
{
	struct value list = v;

	if (v.type == STREAM) {
		list = jinja_new_list(j, 0);
		*list.list = *v.list;
		v.list->n = j->is_dry ? v.list->n : 0;
	}
	return list;
}

struct value jinja_new_table(struct jinja *j)
{
	return (struct value){.type = TABLE, .table = jinja_take(j, 1, sizeof(struct table))};
}

struct value *jinja_table_find(const struct table *table, const char *key, size_t n)
{
	for (size_t i = 0; i < table->n; i++)
		if (table->entries[i].n_key == n && memcmp(table->entries[i].key, key, n) == 0)
			return &table->entries[i].value;
	return NULL;
}

void jinja_table_put(struct jinja *j, struct table *table, const char *key, size_t n,
		     struct value value)
{
	struct value *found = jinja_table_find(table, key, n);

	if (found) {
		*found = value;
		return;
	}
	if (table->n == table->capacity) {
		struct entry *old = table->entries;
		table->capacity = table->capacity ? 2 * table->capacity : 8;
		table->entries = jinja_take(j, table->capacity, sizeof *table->entries);
		if (old)
			memcpy(table->entries, old, table->n * sizeof *old);
	}
	table->entries[table->n++] = (struct entry){key, n, value};
}

struct value jinja_concat(struct jinja *j, struct value a, struct value b)
{
	char *text;

	if (a.n + b.n > MAX_TEXT) {
		jinja_stop(j);
		return JINJA_NOTHING;
	}
	text = jinja_take(j, a.n + b.n, 1);
	if (a.n > 0)
		memcpy(text, a.text, a.n);
	if (b.n > 0)
		memcpy(text + a.n, b.text, b.n);
	return jinja_text(text, a.n + b.n);
}

/* A value as {{ }} writes it. */
struct value jinja_to_text(struct jinja *j, struct value v)
{
	static const char *const words[] = {"", "None"};
	char digits[24];

	if (v.type == STRING)
		return v;
	if (v.type == UNDEFINED || v.type == NONE)
		return jinja_text(words[v.type], strlen(words[v.type]));
	if (v.type == BOOLEAN)
		return v.number ? jinja_text("True", 4) : jinja_text("False", 5);
	if (v.type != INTEGER)
		return jinja_unknown(j);
	snprintf(digits, sizeof digits, "%lld", (long long)v.number);
	return jinja_concat(j, jinja_text(digits, strlen(digits)), jinja_text("", 0));
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
struct value jinja_strip(struct jinja *j, struct value v, struct value set, bool left, bool right)
{
	uint32_t c;
	size_t n;

	if (set.type == STRING && set.n > MAX_STRIPPED_SET)
		return jinja_unknown(j);
	while (left && (n = utf8_next(v.text, v.n, &c)) > 0 && is_stripped(c, set)) {
		v.text += n;
		v.n -= n;
	}
	while (right && (n = utf8_previous(v.text, v.n, &c)) > 0 && is_stripped(c, set))
		v.n -= n;
	return v;
}

struct value jinja_change_case(struct jinja *j, struct value v, int (*change)(int))
{
	char *text = jinja_take(j, v.n, 1);

	for (size_t i = 0; i < v.n; i++) {
		if ((unsigned char)v.text[i] >= 0x80)
			return jinja_unknown(j);
		text[i] = (char)change((unsigned char)v.text[i]);
	}
	return jinja_text(text, v.n);
}

struct value jinja_capitalize(struct jinja *j, struct value v, bool in_each_word)
{
	struct value result = jinja_change_case(j, v, tolower);
	char *text = (char *)result.text;

	for (size_t i = 0; result.type == STRING && i < result.n; i++)
		if (i == 0 || (in_each_word && !isalpha((unsigned char)text[i - 1])))
			text[i] = (char)toupper((unsigned char)text[i]);
	return result;
}

const char *jinja_find(struct value text, size_t from, struct value part)
{
	return from <= text.n ? memmem(text.text + from, text.n - from, part.text, part.n) : NULL;
}

struct value jinja_split(struct jinja *j, struct value v, struct value separator)
{
	size_t n = 1, from = 0;
	struct value result;
	const char *found;

	if (separator.type != STRING || separator.n == 0)
		return jinja_unknown(j);
	for (size_t i = 0; (found = jinja_find(v, i, separator)); n++)
		i = (size_t)(found - v.text) + separator.n;
	result = jinja_new_list(j, n);
	for (size_t i = 0; i < n; i++) {
		found = jinja_find(v, from, separator);
		size_t end = found ? (size_t)(found - v.text) : v.n;
		result.list->items[i] = jinja_text(v.text + from, end - from);
		from = end + separator.n;
	}
	return result;
}

struct value jinja_replace(struct jinja *j, struct value v, struct value old, struct value new)
{
	struct value result = jinja_text("", 0);
	size_t from = 0;

	if (old.type != STRING || new.type != STRING || old.n == 0)
		return jinja_unknown(j);
	for (const char *found; (found = jinja_find(v, from, old)) && jinja_may_go_on(j);) {
		size_t at = (size_t)(found - v.text);
		result = jinja_concat(j, result, jinja_text(v.text + from, at - from));
		result = jinja_concat(j, result, new);
		from = at + old.n;
	}
	return jinja_concat(j, result, jinja_text(v.text + from, v.n - from));
}

size_t jinja_count(struct value v)
{
	size_t count = 0;

	for (size_t i = 0; i < v.n; i++)
		count += ((uint8_t)v.text[i] & 0xC0) != 0x80;
	return count;
}

/* Where the character of an index begins. */
size_t jinja_place(struct value v, size_t index)
{
	size_t i = 0;

	for (; i < v.n; i++)
		if (((uint8_t)v.text[i] & 0xC0) != 0x80 && index-- == 0)
			break;
	return i;
}

bool jinja_begins(struct value v, struct value part)
{
	return v.n >= part.n && memcmp(v.text, part.text, part.n) == 0;
}

bool jinja_ends(struct value v, struct value part)
{
	return v.n >= part.n && memcmp(v.text + v.n - part.n, part.text, part.n) == 0;
}

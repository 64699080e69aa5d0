/* Typed members of tokenizer.json's components. */
#include "common/text/component.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/unicode.h"

bool component_is_absent(const struct json *value)
{
	return !value || json_type(value) == JSON_NULL;
}

enum status component_wrong_type(const struct json *value, const char *key, const char *expected,
				 struct error *err)
{
	return error_set(err, STATUS_BAD_INPUT, "%s is %s, expected %s", key, json_type_name(value),
			 expected);
}

const char *component_type(const struct json *config, struct error *err)
{
	const struct json *type = json_get(config, "type");

	if (!type || json_type(type) != JSON_STRING) {
		error_set(err, STATUS_BAD_INPUT, "a component without a type");
		return NULL;
	}
	return json_string(type, NULL);
}

enum status component_bool(const struct json *config, const char *key, bool fallback, bool *value,
			   struct error *err)
{
	const struct json *member = json_given(config, key);

	*value = fallback;
	if (!member)
		return STATUS_OK;
	if (json_type(member) != JSON_BOOL)
		return component_wrong_type(member, key, "true or false", err);
	*value = json_bool(member);
	return STATUS_OK;
}

enum status component_string(const struct json *config, const char *key, const char *fallback,
			     const char **value, size_t *length, struct error *err)
{
	const struct json *member = json_given(config, key);

	*value = fallback;
	*length = fallback ? strlen(fallback) : 0;
	if (!member)
		return STATUS_OK;
	if (json_type(member) != JSON_STRING)
		return component_wrong_type(member, key, "a string", err);
	*value = json_string(member, length);
	return STATUS_OK;
}

enum status component_choice(const struct json *config, const char *key, const char *const *names,
			     int n, int fallback, int *value, struct error *err)
{
	const char *text;
	size_t length;

	if (component_string(config, key, NULL, &text, &length, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	*value = fallback;
	if (!text)
		return fallback >= 0 ? STATUS_OK
				     : error_set(err, STATUS_BAD_INPUT, "%s is missing", key);
	for (int i = 0; i < n; i++) {
		if (strcmp(text, names[i]) == 0) {
			*value = i;
			return STATUS_OK;
		}
	}
	return error_set(err, STATUS_BAD_INPUT, "%s \"%s\" is not supported", key, text);
}

enum status component_id(const struct json *value, const char *what, int *id, struct error *err)
{
	int64_t number;

	if (!value || json_type(value) != JSON_NUMBER || !json_int64(value, &number))
		return error_set(err, STATUS_BAD_INPUT, "%s: the id is %s, expected an integer",
				 what,
				 !value				   ? "missing"
				 : json_type(value) == JSON_NUMBER ? "not a whole number"
								   : json_type_name(value));
	if (number < 0 || number > COMPONENT_MAX_ID)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the id is %" PRId64 ", expected 0 to %d", what, number,
				 COMPONENT_MAX_ID);
	*id = (int)number;
	return STATUS_OK;
}

static enum status walk_at(const struct component_walk *walk, const struct json *config, int depth,
			   int *n_steps, struct error *err)
{
	const char *type = component_type(config, err);
	const struct json *list = json_get(config, walk->list_key);

	if (!type)
		return STATUS_BAD_INPUT;
	if (strcmp(type, "Sequence") != 0) {
		if (++*n_steps > COMPONENT_STEPS)
			return error_set(err, STATUS_BAD_INPUT, "more than %d steps",
					 COMPONENT_STEPS);
		return walk->add(walk->context, type, config, err);
	}
	if (depth == COMPONENT_DEPTH)
		return error_set(err, STATUS_BAD_INPUT, "more than %d Sequences in each other",
				 COMPONENT_DEPTH);
	if (!list || json_type(list) != JSON_ARRAY)
		return error_set(err, STATUS_BAD_INPUT, "Sequence without %s", walk->list_key);
	for (const struct json *item = json_first(list); item; item = json_next(item))
		if (walk_at(walk, item, depth + 1, n_steps, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	return STATUS_OK;
}

enum status component_walk(const struct component_walk *walk, const struct json *config,
			   struct error *err)
{
	int n_steps = 0;

	if (component_is_absent(config))
		return STATUS_OK;
	return walk_at(walk, config, 0, &n_steps, err);
}

enum status component_grow(size_t *growth, size_t factor, struct error *err)
{
	static const size_t most = (size_t)1 << 16;

	if (factor > most / *growth)
		return error_set(err, STATUS_BAD_INPUT,
				 "its steps could make a text more than %zu times longer", most);
	*growth *= factor;
	return STATUS_OK;
}

enum status component_character(const struct json *config, const char *key, const char *fallback,
				const char **text, size_t *length, struct error *err)
{
	uint32_t c;

	if (component_string(config, key, fallback, text, length, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (!*text || *length == 0 || utf8_next(*text, *length, &c) != *length)
		return error_set(err, STATUS_BAD_INPUT, "%s is not one character", key);
	return STATUS_OK;
}

enum status component_metaspace(const struct json *config, struct component_metaspace *metaspace,
				struct error *err)
{
	static const char *const schemes[] = {"never", "first", "always"};
	bool old_prefix;
	int scheme;

	if (component_character(config, "replacement", "\xe2\x96\x81", &metaspace->replacement,
				&metaspace->length, err) != STATUS_OK ||
	    component_bool(config, "add_prefix_space", true, &old_prefix, err) != STATUS_OK ||
	    component_choice(config, "prepend_scheme", schemes, 3,
			     old_prefix ? PREPEND_ALWAYS : PREPEND_NEVER, &scheme,
			     err) != STATUS_OK ||
	    component_bool(config, "split", true, &metaspace->splits, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	metaspace->prepend = (enum prepend)scheme;
	return STATUS_OK;
}

char *component_copy(const char *text, size_t n)
{
	char *copy = xmalloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

/* Typed members of tokenizer.json's components. */
#include "common/text/component.h"

#include <inttypes.h>
#include <string.h>

static bool is_absent(const struct json *value)
{
	return !value || json_type(value) == JSON_NULL;
}

static enum status wrong_type(const struct json *value, const char *key, const char *expected,
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
	const struct json *member = json_get(config, key);

	*value = fallback;
	if (is_absent(member))
		return STATUS_OK;
	if (json_type(member) != JSON_BOOL)
		return wrong_type(member, key, "true or false", err);
	*value = json_bool(member);
	return STATUS_OK;
}

enum status component_string(const struct json *config, const char *key, const char *fallback,
			     const char **value, size_t *length, struct error *err)
{
	const struct json *member = json_get(config, key);

	*value = fallback;
	*length = fallback ? strlen(fallback) : 0;
	if (is_absent(member))
		return STATUS_OK;
	if (json_type(member) != JSON_STRING)
		return wrong_type(member, key, "a string", err);
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

enum status component_pattern(const struct json *config, struct component_pattern *pattern,
			      struct error *err)
{
	const struct json *member = json_get(config, "pattern");
	const struct json *text = json_get(member, "String");

	pattern->is_regex = text == NULL;
	if (!text)
		text = json_get(member, "Regex");
	if (!text || json_type(text) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT,
				 "pattern is not {\"String\"} or {\"Regex\"}");
	pattern->text = json_string(text, &pattern->length);
	return STATUS_OK;
}

/* Patterns of components.  A string is looked for as it is; an empty one is an empty
 * regex, which matches between all characters. */
#include "common/text/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "common/text/component.h"
#include "common/text/unicode.h"

enum status pattern_set(struct pattern *pattern, const char *text, size_t length, bool is_regex,
			struct error *err)
{
	pattern->text = component_copy(text, length);
	pattern->length = length;
	if (!is_regex && length > 0)
		return STATUS_OK;
	pattern->regex = regex_create(text, length, err);
	return pattern->regex ? STATUS_OK : STATUS_BAD_INPUT;
}

enum status pattern_load(struct pattern *pattern, const struct json *config, struct error *err)
{
	const struct json *member = json_get(config, "pattern");
	const struct json *text = json_get(member, "String");
	bool is_regex = text == NULL;
	const char *string;
	size_t length;

	if (is_regex)
		text = json_get(member, "Regex");
	if (!text || json_type(text) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT,
				 "pattern is not {\"String\"} or {\"Regex\"}");
	string = json_string(text, &length);
	return pattern_set(pattern, string, length, is_regex, err);
}

void pattern_release(struct pattern *pattern)
{
	free(pattern->text);
	regex_destroy(pattern->regex);
	*pattern = (struct pattern){0};
}

void pattern_describe(const struct pattern *pattern, struct buf *out)
{
	buf_printf(out, "%s ", pattern->regex ? "regex" : "string");
	json_write_string(out, pattern->text ? pattern->text : "", pattern->length);
}

static bool find(const struct matches *m, size_t *start, size_t *end)
{
	const struct pattern *pattern = m->pattern;
	const char *found;

	if (pattern->regex)
		return regex_find(pattern->regex, m->state, m->text, m->n, m->from, start, end);
	found = memmem(m->text + m->from, m->n - m->from, pattern->text, pattern->length);
	if (!found)
		return false;
	*start = (size_t)(found - m->text);
	*end = *start + pattern->length;
	return true;
}

bool matches_next(struct matches *m, size_t *start, size_t *end)
{
	while (m->n > 0 && m->from <= m->n && find(m, start, end)) {
		if (*start < *end || !m->has_last || *end != m->last) {
			m->from = m->last = *end;
			m->has_last = true;
			return true;
		}
		if (m->from < m->n) {
			uint32_t c;
			m->from += utf8_next(m->text + m->from, m->n - m->from, &c);
		} else {
			m->from++;
		}
	}
	return false;
}

size_t pattern_growth(const struct pattern *pattern, size_t content_length)
{
	if (pattern->regex) /* it may match nothing between any two bytes */
		return content_length + 1;
	return content_length > pattern->length ? content_length / pattern->length + 1 : 1;
}

void pattern_replace(const struct pattern *pattern, struct regex_state *state, const char *content,
		     size_t content_length, const char *text, size_t n, struct buf *out)
{
	struct matches matches = {.pattern = pattern, .state = state, .text = text, .n = n};
	size_t done = 0, start, end;

	while (matches_next(&matches, &start, &end)) {
		buf_append(out, text + done, start - done);
		buf_append(out, content, content_length);
		done = end;
	}
	buf_append(out, text + done, n - done);
}

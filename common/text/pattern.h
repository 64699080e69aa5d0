/* The pattern of a Split or Replace, a string or a regex, and its matches one by one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/regex.h"

struct pattern {
	char *text; /* [length], owned; NULL if there is none */
	size_t length;
	struct regex *regex; /* NULL: the text itself is looked for */
};
/* The member "pattern" of config: {"String": text} or {"Regex": text}. */
enum status pattern_load(struct pattern *pattern, const struct json *config, struct error *err);
enum status pattern_set(struct pattern *pattern, const char *text, size_t length, bool is_regex,
			struct error *err);
void pattern_release(struct pattern *pattern);
/* Appends a canonical description, equal for equal behaviour. */
void pattern_describe(const struct pattern *pattern, struct buf *out);

/* The matches in text[0, n), valid UTF-8, in order, as the reference finds them: an
 * empty match does not follow another match at its end.
 *
 *     struct matches matches = {pattern, state, text, n};
 *     while (matches_next(&matches, &start, &end)) ... */
struct matches {
	const struct pattern *pattern;
	struct regex_state *state;
	const char *text;
	size_t n;
	/* private */
	size_t from, last; /* where to look on; where the last match ended */
	bool has_last;
};
bool matches_next(struct matches *matches, size_t *start, size_t *end);

/* How many times longer that can make a text, at most. */
size_t pattern_growth(const struct pattern *pattern, size_t content_length);
/* Appends text[0, n) with content in place of each match. */
void pattern_replace(const struct pattern *pattern, struct regex_state *state, const char *content,
		     size_t content_length, const char *text, size_t n, struct buf *out);

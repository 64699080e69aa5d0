/* Reading and writing JSON.  The only door to cJSON.
 *
 * Reading is strict: UTF-8 is checked, depth is capped at 64, duplicate keys,
 * lone surrogates, NaN, numbers such as 01 and anything after the value are
 * errors that give line and column.  Strings may hold NUL: they come with a
 * length.  Values are borrowed from the tree, which lives until json_free.
 *
 *     struct json *root = json_parse(text, n, "config.json", &err);
 *     const struct json *lr = json_get(root, "learning_rate");
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"

struct json; /* a value; the root owns all */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* where names the text in errors.  NULL and *err set if it is not valid. */
struct json *json_parse(const char *text, size_t length, const char *where, struct error *err);
/* The same of one line of a file. */
struct json *json_parse_line(const char *text, size_t length, const char *where, int line,
			     struct error *err);
/* Reads a file whose value has to be an object. */
struct json *json_read_object(const char *path, size_t max_bytes, struct error *err);
void json_free(struct json *root);

enum json_type json_type(const struct json *value);
const char *json_type_name(const struct json *value); /* "a string" */
bool json_bool(const struct json *value);
double json_number(const struct json *value);
/* True if value is an integer of magnitude below 2^53, stored to *out.  From there
 * on a double no longer tells neighbours apart. */
bool json_int64(const struct json *value, int64_t *out);
/* NUL-terminated; *length (may be NULL) counts embedded NULs. */
const char *json_string(const struct json *value, size_t *length);
/* The same of what may be something else: NULL where value is NULL or no string. */
const char *json_string_or_null(const struct json *value);

/* Member of an object, NULL when absent or when object is not an object. */
const struct json *json_get(const struct json *object, const char *key);
/* The same, and NULL when it is null: so writers say that a member is not there. */
const struct json *json_given(const struct json *object, const char *key);
/* Children in file order: json_first, then json_next until NULL.  NULL has none. */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *child);
/* A NUL inside a key is given as the two bytes C0 80, which UTF-8 never holds. */
const char *json_key(const struct json *member);
size_t json_count(const struct json *container);		    /* linear */
const struct json *json_at(const struct json *array, size_t index); /* linear */

/* Changing a tree, for --set and for config files.  path is dotted, with
 * numbers for array places ("reward.sources.0.path"); missing objects and the
 * next array place are created.  text is parsed as JSON if it can be, and is a
 * string otherwise. */
enum status json_set_path(struct json *root, const char *path, const char *text, struct error *err);
/* The tree as text, indented by two spaces if pretty. */
void json_print(const struct json *value, bool pretty, struct buf *out);

/* Writing by hand.  Floats print the fewest digits that read back exactly.  Bytes
 * that are not UTF-8 are written as U+FFFD, so the result is always JSON. */
void json_write_string(struct buf *out, const char *text, size_t length);
void json_write_float(struct buf *out, float value);		    /* non-finite: null */
void json_write_double(struct buf *out, double value);		    /* non-finite: null */
void json_write_ids(struct buf *out, const int32_t *ids, size_t n); /* [1,2,3] */
void json_write_floats(struct buf *out, const float *values, size_t n);

/* Where the value of a top-level member stands in the text of a JSON object that has
 * been parsed: bytes [*begin, *end).  False, and nothing changed, if it is absent. */
bool json_find_member(const char *text, size_t length, const char *key, size_t *begin,
		      size_t *end);
/* Replaces or adds one top-level member in the text of a JSON object and keeps
 * every other byte as it is; value is JSON text.  NULL value removes it. */
enum status json_edit(struct buf *text, const char *key, const char *value, struct error *err);

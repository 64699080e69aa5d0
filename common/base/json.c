/* JSON over cJSON.
 *
 * cJSON builds the tree but is lenient: it takes 01, invalid UTF-8, duplicate
 * keys and text after the value, gives no line numbers and ends strings at an
 * escaped NUL.  So the text is walked here first, by the grammar of RFC 8259;
 * only text without fault reaches cJSON.  Then the tree is finished:
 *
 *   - An escaped NUL is handed to cJSON as the bytes C0 80, which valid UTF-8
 *     cannot hold, and turned into a NUL in the tree.
 *   - A string's length is kept in valuedouble, which cJSON uses for numbers.
 *   - Keys of one object are compared through a hash table.  Keys are numbered
 *     in text order, so that a second walk can find the place of a duplicate.
 *
 * struct json is cJSON's node under another name. */
#include "common/base/json.h"

#include <cjson/cJSON.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hashmap.h"

enum {
	MAX_DEPTH = 64,
	MAX_NUMBER_CHARS = 63, /* cJSON reads no more */
	MAX_PATH_PARTS = 32,
};
static const double INTEGER_LIMIT = 0x1p53;

/* --- numbers do not depend on the locale --- */

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t plain_locale;

static void make_plain_locale(void)
{
	plain_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!plain_locale)
		die("cannot make the C locale");
}

/* The thread's locale, to be given back by uselocale, while C is in force. */
static locale_t enter_plain_locale(void)
{
	pthread_once(&locale_once, make_plain_locale);
	return uselocale(plain_locale);
}

/* --- walking the text --- */

struct scan {
	const char *text;
	size_t length;
	size_t at;
	const char *where; /* the text's name in errors */
	int first_line;
	struct error *err;
	size_t n_nuls; /* \u0000 seen */
	int32_t n_keys;
	int32_t wanted_key; /* a number; its place is left in key_at */
	size_t key_at;
};

static bool scan_value(struct scan *scan, int depth);

/* Lines and columns count from 1; a column is a character, not a byte. */
static void position(const struct scan *scan, size_t at, size_t *line, size_t *column)
{
	*line = (size_t)scan->first_line;
	*column = 1;
	for (size_t i = 0; i < at && i < scan->length; i++) {
		if (scan->text[i] == '\n') {
			++*line;
			*column = 1;
		} else if (((unsigned char)scan->text[i] & 0xc0) != 0x80) {
			++*column;
		}
	}
}

static bool fail(const struct scan *scan, size_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static bool fail(const struct scan *scan, size_t at, const char *format, ...)
{
	if (!scan->err)
		return false;
	char what[512];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	size_t line, column;
	position(scan, at, &line, &column);
	error_set(scan->err, STATUS_BAD_INPUT, "%s: line %zu, column %zu: %s", scan->where, line,
		  column, what);
	return false;
}

static bool at_end(const struct scan *scan)
{
	return scan->at >= scan->length;
}

/* The next byte, or 0 at the end; a NUL in the text is an error everywhere. */
static unsigned char peek(const struct scan *scan)
{
	return at_end(scan) ? 0 : (unsigned char)scan->text[scan->at];
}

static bool starts_with(const struct scan *scan, const char *word)
{
	size_t n = strlen(word);
	return scan->length - scan->at >= n && memcmp(scan->text + scan->at, word, n) == 0;
}

static void skip_space(struct scan *scan)
{
	while (!at_end(scan)) {
		char c = scan->text[scan->at];
		if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
			return;
		scan->at++;
	}
}

/* "expected X, found Y", with a hint for what people and Python write. */
static bool fail_expected(const struct scan *scan, const char *expected)
{
	static const char *const numbers[] = {"NaN", "nan", "Infinity", "-Infinity", "inf", "-inf"};
	if (at_end(scan))
		return fail(scan, scan->at, "expected %s, found the end of the text", expected);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (starts_with(scan, numbers[i]))
			return fail(scan, scan->at, "%s is not a JSON number", numbers[i]);
	unsigned char c = peek(scan);
	if (c == '/' || c == '#')
		return fail(scan, scan->at, "expected %s; comments are not JSON", expected);
	if (c == '\'')
		return fail(scan, scan->at, "expected %s; strings take double quotes", expected);
	if (c == '+' || c == '.')
		return fail(scan, scan->at, "expected %s; a number starts with a digit or '-'",
			    expected);
	if (starts_with(scan, "\xef\xbb\xbf"))
		return fail(scan, scan->at, "expected %s, found a byte order mark", expected);
	if (c <= 0x20 || c >= 0x7f)
		return fail(scan, scan->at, "expected %s, found the byte 0x%02x", expected, c);
	return fail(scan, scan->at, "expected %s, found '%c'", expected, c);
}

/* Length of the UTF-8 sequence at bytes, 0 if it is not valid (RFC 3629). */
static size_t utf8_length(const unsigned char *bytes, size_t left)
{
	unsigned char first = bytes[0];
	if (first < 0x80)
		return 1;
	size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	unsigned char second = bytes[1];
	bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
	bool is_surrogate = first == 0xed && second > 0x9f;
	bool is_beyond = first == 0xf4 && second > 0x8f;
	return is_overlong || is_surrogate || is_beyond ? 0 : n;
}

static bool utf8_is_valid(const char *text)
{
	size_t left = strlen(text);
	while (left > 0) {
		size_t n = utf8_length((const unsigned char *)text, left);
		if (n == 0)
			return false;
		text += n;
		left -= n;
	}
	return true;
}

/* The value of the four hexadecimal digits at an offset, -1 if they are not. */
static int hex4(const struct scan *scan, size_t at)
{
	int value = 0;
	for (size_t i = at; i < at + 4; i++) {
		char c = i < scan->length ? scan->text[i] : '\0';
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static bool scan_unicode_escape(struct scan *scan)
{
	size_t start = scan->at;
	int unit = hex4(scan, start + 2);
	if (unit < 0)
		return fail(scan, start, "\\u is not followed by four hexadecimal digits");
	scan->at += 6;
	scan->n_nuls += unit == 0;
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	int low = starts_with(scan, "\\u") ? hex4(scan, scan->at + 2) : -1;
	if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return fail(scan, start, "half of a surrogate pair (\\u%04x)", (unsigned)unit);
	scan->at += 6;
	return true;
}

static bool scan_escape(struct scan *scan)
{
	char c = scan->length - scan->at > 1 ? scan->text[scan->at + 1] : '\0';
	if (c == 'u')
		return scan_unicode_escape(scan);
	if (c == '\0' || !strchr("\"\\/bfnrt", c))
		return fail(scan, scan->at, "not an escape that JSON knows");
	scan->at += 2;
	return true;
}

static bool scan_string(struct scan *scan)
{
	size_t start = scan->at++;
	while (!at_end(scan)) {
		unsigned char c = (unsigned char)scan->text[scan->at];
		if (c == '"') {
			scan->at++;
			return true;
		}
		if (c == '\\') {
			if (!scan_escape(scan))
				return false;
		} else if (c < 0x20) {
			return fail(scan, scan->at, "the byte 0x%02x in a string must be escaped",
				    c);
		} else {
			size_t n = utf8_length((const unsigned char *)scan->text + scan->at,
					       scan->length - scan->at);
			if (n == 0)
				return fail(scan, scan->at, "the byte 0x%02x is not UTF-8", c);
			scan->at += n;
		}
	}
	return fail(scan, start, "the string that begins here does not end");
}

/* At least one digit. */
static bool scan_digits(struct scan *scan, size_t start)
{
	size_t first = scan->at;
	while (peek(scan) >= '0' && peek(scan) <= '9') {
		if (scan->at++ - start >= MAX_NUMBER_CHARS)
			return fail(scan, start, "a number of more than %d characters",
				    MAX_NUMBER_CHARS);
	}
	return scan->at > first || fail_expected(scan, "a digit");
}

static bool scan_number(struct scan *scan)
{
	size_t start = scan->at;
	scan->at += peek(scan) == '-';
	bool is_zero = peek(scan) == '0';
	size_t digits = scan->at;
	if (starts_with(scan, "Infinity") || starts_with(scan, "inf")) {
		scan->at = start;
		return fail_expected(scan, "a number");
	}
	if (!scan_digits(scan, start))
		return false;
	if (is_zero && scan->at - digits > 1)
		return fail(scan, start, "a number with a leading zero");
	if (peek(scan) == '.') {
		scan->at++;
		if (!scan_digits(scan, start))
			return false;
	}
	if (peek(scan) != 'e' && peek(scan) != 'E')
		return true;
	scan->at++;
	scan->at += peek(scan) == '+' || peek(scan) == '-';
	if (!scan_digits(scan, start))
		return false;
	char copy[MAX_NUMBER_CHARS + 4] = {0};
	memcpy(copy, scan->text + start, scan->at - start);
	locale_t before = enter_plain_locale();
	double value = strtod(copy, NULL);
	uselocale(before);
	return isfinite(value) || fail(scan, start, "the number %s is out of range", copy);
}

static bool scan_word(struct scan *scan, const char *word)
{
	if (!starts_with(scan, word))
		return fail_expected(scan, "a value");
	scan->at += strlen(word);
	return true;
}

/* After a member or an element: true to go on, with *more telling whether there
 * is another. */
static bool scan_separator(struct scan *scan, char close, bool *more)
{
	skip_space(scan);
	char c = (char)peek(scan);
	if (c != ',' && c != close)
		return fail_expected(scan, close == '}' ? "',' or '}'" : "',' or ']'");
	size_t comma = scan->at++;
	*more = c == ',';
	if (!*more)
		return true;
	skip_space(scan);
	return (char)peek(scan) != close || fail(scan, comma, "a comma with nothing behind it");
}

static bool scan_array(struct scan *scan, int depth)
{
	scan->at++;
	skip_space(scan);
	if (peek(scan) == ']') {
		scan->at++;
		return true;
	}
	for (bool more = true; more;)
		if (!scan_value(scan, depth) || !scan_separator(scan, ']', &more))
			return false;
	return true;
}

/* A key and its colon, up to the value. */
static bool scan_key(struct scan *scan)
{
	if (peek(scan) != '"')
		return fail_expected(scan, "a key in double quotes");
	if (scan->n_keys++ == scan->wanted_key)
		scan->key_at = scan->at;
	if (!scan_string(scan))
		return false;
	skip_space(scan);
	if (peek(scan) != ':')
		return fail_expected(scan, "':'");
	scan->at++;
	return true;
}

static bool scan_object(struct scan *scan, int depth)
{
	scan->at++;
	skip_space(scan);
	if (peek(scan) == '}') {
		scan->at++;
		return true;
	}
	for (bool more = true; more;)
		if (!scan_key(scan) || !scan_value(scan, depth) ||
		    !scan_separator(scan, '}', &more))
			return false;
	return true;
}

/* depth: how many arrays and objects are around the value. */
static bool scan_value(struct scan *scan, int depth)
{
	skip_space(scan);
	unsigned char c = peek(scan);
	if ((c == '{' || c == '[') && depth == MAX_DEPTH)
		return fail(scan, scan->at, "nested deeper than %d levels", MAX_DEPTH);
	switch (c) {
	case '{':
		return scan_object(scan, depth + 1);
	case '[':
		return scan_array(scan, depth + 1);
	case '"':
		return scan_string(scan);
	case 't':
		return scan_word(scan, "true");
	case 'f':
		return scan_word(scan, "false");
	case 'n':
		return scan_word(scan, "null");
	default:
		if (c == '-' || (c >= '0' && c <= '9'))
			return scan_number(scan);
		return fail_expected(scan, "a value");
	}
}

static bool scan_text(struct scan *scan)
{
	if (scan->length > INT32_MAX)
		return fail(scan, 0, "a text of %zu bytes, expected at most 2 GiB", scan->length);
	if (!scan_value(scan, 0))
		return false;
	skip_space(scan);
	return at_end(scan) || fail_expected(scan, "nothing after the value");
}

/* --- building the tree --- */

static cJSON *node(const struct json *value)
{
	return (cJSON *)(uintptr_t)value;
}

/* The text with each \u0000 replaced by C0 80; NUL-terminated.  In valid JSON a
 * backslash begins an escape wherever it stands. */
static char *copy_for_cjson(const struct scan *scan, size_t *length)
{
	char *copy = xmalloc(scan->length + 1);
	size_t n = 0;
	if (scan->n_nuls == 0) {
		memcpy(copy, scan->text, scan->length);
		n = scan->length;
	} else {
		for (size_t i = 0; i < scan->length; i++) {
			if (scan->text[i] != '\\') {
				copy[n++] = scan->text[i];
			} else if (scan->text[i + 1] == 'u' && hex4(scan, i + 2) == 0) {
				copy[n++] = '\xc0';
				copy[n++] = '\x80';
				i += 5;
			} else {
				copy[n++] = scan->text[i++];
				copy[n++] = scan->text[i];
			}
		}
	}
	copy[n] = '\0';
	*length = n;
	return copy;
}

/* Stores the length of a string and turns C0 80 into NUL. */
static void finish_string(cJSON *string)
{
	char *text = string->valuestring;
	size_t length = strlen(text), n = 0;
	if (memmem(text, length, "\xc0\x80", 2)) {
		for (size_t i = 0; i < length; i++) {
			bool is_nul = text[i] == '\xc0';
			text[n++] = is_nul ? '\0' : text[i];
			i += is_nul;
		}
		text[n] = '\0';
		length = n;
	}
	string->valuedouble = (double)length;
}

struct finish {
	int32_t n_keys;	       /* met so far, in text order */
	int32_t first, second; /* numbers of two equal keys of one object */
};

/* False when a key is there twice. */
static bool finish_value(cJSON *value, struct finish *finish)
{
	if (cJSON_IsString(value))
		finish_string(value);
	bool is_object = cJSON_IsObject(value), is_unique = true;
	struct hashmap keys = {0};
	if (is_object)
		hashmap_init(&keys, (size_t)cJSON_GetArraySize(value));
	for (cJSON *child = value->child; child && is_unique; child = child->next) {
		if (is_object) {
			size_t length = strlen(child->string);
			int32_t number = finish->n_keys++;
			is_unique = hashmap_add(&keys, child->string, length, number);
			if (!is_unique) {
				hashmap_find(&keys, child->string, length, &finish->first);
				finish->second = number;
				break;
			}
		}
		is_unique = finish_value(child, finish);
	}
	hashmap_release(&keys);
	return is_unique;
}

static void fail_duplicate(struct scan *scan, const struct finish *finish)
{
	size_t places[2];
	for (int i = 0; i < 2; i++) {
		scan->at = 0;
		scan->n_keys = 0;
		scan->wanted_key = i == 0 ? finish->first : finish->second;
		scan_text(scan);
		places[i] = scan->key_at;
	}
	scan->at = places[1];
	scan_string(scan);
	size_t line, column;
	position(scan, places[0], &line, &column);
	fail(scan, places[1], "the key %.*s is there twice, first at line %zu, column %zu",
	     (int)(scan->at - places[1] < 200 ? scan->at - places[1] : 200), scan->text + places[1],
	     line, column);
}

struct json *json_parse_line(const char *text, size_t length, const char *where, int line,
			     struct error *err)
{
	struct scan scan = {.text = text,
			    .length = length,
			    .where = where,
			    .first_line = line,
			    .err = err,
			    .wanted_key = -1};
	if (!scan_text(&scan))
		return NULL;
	size_t copy_length;
	char *copy = copy_for_cjson(&scan, &copy_length);
	locale_t before = enter_plain_locale();
	cJSON *root = cJSON_ParseWithLengthOpts(copy, copy_length + 1, NULL, true);
	uselocale(before);
	free(copy);
	if (!root) {
		fail(&scan, 0, "the JSON reader has no memory left for it");
		return NULL;
	}
	struct finish finish = {0};
	if (!finish_value(root, &finish)) {
		fail_duplicate(&scan, &finish);
		cJSON_Delete(root);
		return NULL;
	}
	return (struct json *)root;
}

struct json *json_parse(const char *text, size_t length, const char *where, struct error *err)
{
	return json_parse_line(text, length, where, 1, err);
}

struct json *json_read_object(const char *path, size_t max_bytes, struct error *err)
{
	struct buf text = BUF_INIT;
	struct json *root = NULL;
	if (file_read(path, max_bytes, &text, err) == STATUS_OK)
		root = json_parse(text.data, text.length, path, err);
	buf_release(&text);
	if (root && json_type(root) != JSON_OBJECT) {
		error_set(err, STATUS_BAD_INPUT, "%s: %s, expected an object", path,
			  json_type_name(root));
		json_free(root);
		root = NULL;
	}
	return root;
}

void json_free(struct json *root)
{
	cJSON_Delete(node(root));
}

/* --- reading the tree --- */

enum json_type json_type(const struct json *value)
{
	switch (node(value)->type & 0xff) {
	case cJSON_False:
	case cJSON_True:
		return JSON_BOOL;
	case cJSON_Number:
		return JSON_NUMBER;
	case cJSON_String:
		return JSON_STRING;
	case cJSON_Array:
		return JSON_ARRAY;
	case cJSON_Object:
		return JSON_OBJECT;
	default:
		return JSON_NULL;
	}
}

const char *json_type_name(const struct json *value)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",	    [JSON_BOOL] = "true or false",
		[JSON_NUMBER] = "a number", [JSON_STRING] = "a string",
		[JSON_ARRAY] = "an array",  [JSON_OBJECT] = "an object",
	};
	return names[json_type(value)];
}

bool json_bool(const struct json *value)
{
	return cJSON_IsTrue(node(value));
}

double json_number(const struct json *value)
{
	return cJSON_GetNumberValue(node(value));
}

bool json_int64(const struct json *value, int64_t *out)
{
	if (!cJSON_IsNumber(node(value)))
		return false;
	double number = node(value)->valuedouble;
	if (!(fabs(number) < INTEGER_LIMIT) || number != trunc(number))
		return false;
	*out = (int64_t)number;
	return true;
}

const char *json_string(const struct json *value, size_t *length)
{
	const cJSON *string = node(value);
	if (!cJSON_IsString(string))
		die("a JSON value is %s, not a string", json_type_name(value));
	if (length)
		*length = (size_t)string->valuedouble;
	return string->valuestring;
}

const char *json_string_or_null(const struct json *value)
{
	return cJSON_IsString(node(value)) ? json_string(value, NULL) : NULL;
}

const struct json *json_get(const struct json *object, const char *key)
{
	if (!cJSON_IsObject(node(object)))
		return NULL;
	return (struct json *)cJSON_GetObjectItemCaseSensitive(node(object), key);
}

const struct json *json_given(const struct json *object, const char *key)
{
	const struct json *value = json_get(object, key);

	return value && json_type(value) != JSON_NULL ? value : NULL;
}

const struct json *json_first(const struct json *container)
{
	return container ? (struct json *)node(container)->child : NULL;
}

const struct json *json_next(const struct json *child)
{
	return (struct json *)node(child)->next;
}

const char *json_key(const struct json *member)
{
	return node(member)->string;
}

size_t json_count(const struct json *container)
{
	return (size_t)cJSON_GetArraySize(node(container));
}

const struct json *json_at(const struct json *array, size_t index)
{
	const struct json *child = json_first(array);
	while (child && index-- > 0)
		child = json_next(child);
	return child;
}

/* --- changing the tree --- */

struct path {
	char *text; /* the parts, each followed by a NUL */
	const char *parts[MAX_PATH_PARTS];
	int n;
};

static enum status split_path(struct path *path, const char *text, struct error *err)
{
	*path = (struct path){.text = xstrdup(text)};
	char *rest = path->text;
	for (char *part; (part = strsep(&rest, "."));) {
		if (path->n == MAX_PATH_PARTS)
			return error_set(err, STATUS_BAD_INPUT, "%s: a path of more than %d parts",
					 text, MAX_PATH_PARTS);
		if (!*part)
			return error_set(err, STATUS_BAD_INPUT,
					 "'%s': a path with an empty part, expected a.b.c", text);
		path->parts[path->n++] = part;
	}
	if (!utf8_is_valid(text))
		return error_set(err, STATUS_BAD_INPUT, "%s: a path that is not UTF-8", text);
	return STATUS_OK;
}

/* The number a part stands for, -1 if it is none or not less than limit. */
static int place_of(const char *part, int limit)
{
	int place = 0;
	if (part[0] == '0' && part[1])
		return -1;
	for (; *part; part++) {
		if (*part < '0' || *part > '9')
			return -1;
		place = place * 10 + (*part - '0');
		if (place >= limit)
			return -1;
	}
	return place;
}

static cJSON *checked(cJSON *value)
{
	if (!value)
		die("no memory for a JSON value");
	return value;
}

/* JSON if it can be, a string otherwise. */
static cJSON *parse_leaf(const char *text)
{
	struct json *parsed = json_parse(text, strlen(text), "", NULL);
	if (parsed)
		return node(parsed);
	cJSON *string = checked(cJSON_CreateString(text));
	finish_string(string);
	return string;
}

/* Puts a value, which it takes over, under a part: in an object by key, in an
 * array at a place or behind the last. */
static void put(cJSON *container, const char *part, cJSON *value)
{
	bool ok;
	if (cJSON_IsArray(container)) {
		int n = cJSON_GetArraySize(container), place = place_of(part, n + 1);
		ok = place < n ? cJSON_ReplaceItemInArray(container, place, value)
			       : cJSON_AddItemToArray(container, value);
	} else if (cJSON_GetObjectItemCaseSensitive(container, part)) {
		ok = cJSON_ReplaceItemInObjectCaseSensitive(container, part, value);
	} else {
		ok = cJSON_AddItemToObject(container, part, value);
	}
	if (!ok)
		die("no memory for a JSON value");
}

/* Puts containers around a leaf for the parts from first on, inside out. */
static cJSON *wrap(const struct path *path, int first, cJSON *leaf)
{
	for (int i = path->n - 1; i >= first; i--) {
		bool is_place = strcmp(path->parts[i], "0") == 0;
		cJSON *around = checked(is_place ? cJSON_CreateArray() : cJSON_CreateObject());
		put(around, path->parts[i], leaf);
		leaf = around;
	}
	return leaf;
}

/* Follows the path as far as it exists: *container holds, or can take, the part
 * numbered *depth, and what is behind that part is missing. */
static enum status follow(const struct path *path, const char *text, cJSON **container, int *depth,
			  struct error *err)
{
	for (*depth = 0;; ++*depth) {
		const char *part = path->parts[*depth];
		cJSON *child = NULL;
		if (cJSON_IsArray(*container)) {
			int n = cJSON_GetArraySize(*container), place = place_of(part, n + 1);
			if (place < 0)
				return error_set(err, STATUS_BAD_INPUT,
						 "%s: '%s' is not a place in an array of %d, "
						 "expected a number from 0 to %d",
						 text, part, n, n);
			child = cJSON_GetArrayItem(*container, place);
		} else if (cJSON_IsObject(*container)) {
			child = cJSON_GetObjectItemCaseSensitive(*container, part);
		} else {
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: there is no '%s' inside %s, expected an object", text,
					 part, json_type_name((struct json *)*container));
		}
		if (!child || *depth == path->n - 1)
			return STATUS_OK;
		*container = child;
	}
}

enum status json_set_path(struct json *root, const char *path_text, const char *text,
			  struct error *err)
{
	struct path path;
	enum status status = split_path(&path, path_text, err);
	if (status == STATUS_OK && !utf8_is_valid(text))
		status = error_set(err, STATUS_BAD_INPUT, "%s: a value that is not UTF-8",
				   path_text);
	cJSON *container = node(root);
	int depth;
	if (status == STATUS_OK)
		status = follow(&path, path_text, &container, &depth, err);
	if (status == STATUS_OK)
		put(container, path.parts[depth], wrap(&path, depth + 1, parse_leaf(text)));
	free(path.text);
	return status;
}

/* --- writing --- */

static void print_indent(struct buf *out, bool pretty, int depth)
{
	if (!pretty)
		return;
	buf_append_char(out, '\n');
	for (int i = 0; i < depth; i++)
		buf_append(out, "  ", 2);
}

/* A key holds an embedded NUL as C0 80. */
static void print_key(struct buf *out, const char *key)
{
	size_t length = strlen(key);
	if (!memmem(key, length, "\xc0\x80", 2)) {
		json_write_string(out, key, length);
		return;
	}
	cJSON copy = {.valuestring = xstrdup(key)};
	finish_string(&copy);
	json_write_string(out, copy.valuestring, (size_t)copy.valuedouble);
	free(copy.valuestring);
}

static void print_value(const cJSON *value, bool pretty, int depth, struct buf *out);

static void print_children(const cJSON *container, bool pretty, int depth, struct buf *out)
{
	bool is_object = cJSON_IsObject(container);
	buf_append_char(out, is_object ? '{' : '[');
	for (const cJSON *child = container->child; child; child = child->next) {
		print_indent(out, pretty, depth + 1);
		if (is_object) {
			print_key(out, child->string);
			buf_append_string(out, pretty ? ": " : ":");
		}
		print_value(child, pretty, depth + 1, out);
		if (child->next)
			buf_append_char(out, ',');
	}
	if (container->child)
		print_indent(out, pretty, depth);
	buf_append_char(out, is_object ? '}' : ']');
}

static void print_value(const cJSON *value, bool pretty, int depth, struct buf *out)
{
	const struct json *typed = (const struct json *)value;
	size_t length;
	const char *text;
	switch (json_type(typed)) {
	case JSON_NULL:
		buf_append_string(out, "null");
		break;
	case JSON_BOOL:
		buf_append_string(out, json_bool(typed) ? "true" : "false");
		break;
	case JSON_NUMBER:
		json_write_double(out, value->valuedouble);
		break;
	case JSON_STRING:
		text = json_string(typed, &length);
		json_write_string(out, text, length);
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		print_children(value, pretty, depth, out);
		break;
	}
}

void json_print(const struct json *value, bool pretty, struct buf *out)
{
	print_value(node(value), pretty, 0, out);
}

static void write_escape(struct buf *out, unsigned char c)
{
	static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *name = c ? strchr(names, c) : NULL;
	if (name)
		buf_printf(out, "\\%c", letters[name - names]);
	else
		buf_printf(out, "\\u%04x", c);
}

void json_write_string(struct buf *out, const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)text;
	buf_append_char(out, '"');
	for (size_t i = 0; i < length;) {
		size_t plain = i;
		while (i < length && bytes[i] >= 0x20 && bytes[i] < 0x80 && bytes[i] != '"' &&
		       bytes[i] != '\\')
			i++;
		buf_append(out, text + plain, i - plain);
		if (i == length)
			break;
		size_t n = utf8_length(bytes + i, length - i);
		if (n > 1)
			buf_append(out, text + i, n);
		else if (n == 1)
			write_escape(out, bytes[i]);
		else
			buf_append_string(out, "\xef\xbf\xbd");
		i += n ? n : 1;
	}
	buf_append_char(out, '"');
}

/* Integers up to the limit below which all are exact, without an exponent. */
static bool write_integer(struct buf *out, double value, double limit)
{
	if (!(fabs(value) < limit) || value != trunc(value))
		return false;
	buf_printf(out, "%s%lld", signbit(value) && value == 0 ? "-" : "", (long long)value);
	return true;
}

void json_write_float(struct buf *out, float value)
{
	char text[40] = "null";
	if (write_integer(out, (double)value, 0x1p24))
		return;
	locale_t before = enter_plain_locale();
	for (int digits = 6; isfinite(value) && digits <= 9; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, (double)value);
		if (strtof(text, NULL) == value)
			break;
	}
	uselocale(before);
	buf_append_string(out, text);
}

void json_write_double(struct buf *out, double value)
{
	char text[40] = "null";
	if (write_integer(out, value, INTEGER_LIMIT))
		return;
	locale_t before = enter_plain_locale();
	for (int digits = 15; isfinite(value) && digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	uselocale(before);
	buf_append_string(out, text);
}

/* The digits of a whole number; by printf they were a fifth of the time of rlhf tokenize. */
static void write_id(struct buf *out, int32_t id)
{
	char digits[12];
	size_t at = sizeof digits;
	uint32_t rest = id < 0 ? 0 - (uint32_t)id : (uint32_t)id;

	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (id < 0)
		digits[--at] = '-';
	buf_append(out, digits + at, sizeof digits - at);
}

void json_write_ids(struct buf *out, const int32_t *ids, size_t n)
{
	buf_append_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_append_char(out, ',');
		write_id(out, ids[i]);
	}
	buf_append_char(out, ']');
}

void json_write_floats(struct buf *out, const float *values, size_t n)
{
	buf_append_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_append_char(out, ',');
		json_write_float(out, values[i]);
	}
	buf_append_char(out, ']');
}

/* --- editing the text --- */

/* Offsets of one member of the outermost object. */
struct member {
	size_t key, key_end; /* with the quotes */
	size_t value, value_end;
};

struct members {
	struct member *items;
	size_t n;
	size_t open, close; /* the braces */
};

/* The text is known to be a valid object. */
static struct members find_members(const char *text, size_t length)
{
	struct scan scan = {.text = text, .length = length, .where = "", .wanted_key = -1};
	struct members members = {0};
	skip_space(&scan);
	members.open = scan.at++;
	skip_space(&scan);
	for (bool more = peek(&scan) != '}'; more;) {
		struct member member = {.key = scan.at};
		scan_string(&scan);
		member.key_end = scan.at;
		scan.at = member.key;
		scan_key(&scan);
		skip_space(&scan);
		member.value = scan.at;
		scan_value(&scan, 1);
		member.value_end = scan.at;
		members.items = xrealloc(members.items, members.n + 1, sizeof member);
		members.items[members.n++] = member;
		scan_separator(&scan, '}', &more);
	}
	members.close = members.n ? scan.at - 1 : scan.at;
	return members;
}

/* The index of the member with this key, n if there is none. */
static size_t find_member(const struct members *members, const char *text, const char *key)
{
	for (size_t i = 0; i < members->n; i++) {
		const struct member *member = &members->items[i];
		struct json *name =
			json_parse(text + member->key, member->key_end - member->key, "key", NULL);
		size_t length = 0;
		bool is_same = name && strcmp(json_string(name, &length), key) == 0 &&
			       length == strlen(key);
		json_free(name);
		if (is_same)
			return i;
	}
	return members->n;
}

static void splice(struct buf *text, size_t begin, size_t end, const char *bytes, size_t n)
{
	struct buf tail = BUF_INIT;
	buf_append(&tail, text->data + end, text->length - end);
	text->length = begin;
	buf_append(text, bytes, n);
	buf_append(text, tail.data, tail.length);
	buf_release(&tail);
}

static void remove_member(struct buf *text, const struct members *members, size_t index)
{
	const struct member *member = &members->items[index];
	if (index > 0)
		splice(text, member[-1].value_end, member->value_end, "", 0);
	else if (members->n > 1)
		splice(text, member->key, member[1].key, "", 0);
	else
		splice(text, members->open + 1, members->close, "", 0);
}

/* Behind the last member, with the white space that this one has. */
static void add_member(struct buf *text, const struct members *members, const char *key,
		       const char *value)
{
	struct buf added = BUF_INIT;
	size_t at = members->open + 1;
	if (members->n > 0) {
		const struct member *last = &members->items[members->n - 1];
		size_t space = last->key;
		while (strchr(" \t\r\n", text->data[space - 1]))
			space--;
		buf_append_char(&added, ',');
		buf_append(&added, text->data + space, last->key - space);
		json_write_string(&added, key, strlen(key));
		buf_append(&added, text->data + last->key_end, last->value - last->key_end);
		at = last->value_end;
	} else {
		json_write_string(&added, key, strlen(key));
		buf_append_string(&added, ": ");
	}
	buf_append_string(&added, value);
	splice(text, at, at, added.data, added.length);
	buf_release(&added);
}

bool json_find_member(const char *text, size_t length, const char *key, size_t *begin,
		      size_t *end)
{
	struct members members = find_members(text, length);
	size_t index = find_member(&members, text, key);
	bool found = index < members.n;
	if (found) {
		*begin = members.items[index].value;
		*end = members.items[index].value_end;
	}
	free(members.items);
	return found;
}

enum status json_edit(struct buf *text, const char *key, const char *value, struct error *err)
{
	enum status status = STATUS_BAD_INPUT;
	struct json *parsed_value = NULL;
	struct json *root = json_parse(text->data, text->length, "JSON object", err);
	if (!root)
		goto done;
	if (json_type(root) != JSON_OBJECT) {
		error_set(err, STATUS_BAD_INPUT, "%s, expected an object", json_type_name(root));
		goto done;
	}
	if (value && !(parsed_value = json_parse(value, strlen(value), key, err)))
		goto done;
	struct members members = find_members(text->data, text->length);
	size_t index = find_member(&members, text->data, key);
	if (index == members.n && value)
		add_member(text, &members, key, value);
	else if (index < members.n && value)
		splice(text, members.items[index].value, members.items[index].value_end, value,
		       strlen(value));
	else if (index < members.n)
		remove_member(text, &members, index);
	free(members.items);
	status = STATUS_OK;
done:
	json_free(parsed_value);
	json_free(root);
	return status;
}

/* Splitting a file into lines and parsing them one at a time.
 *
 * The file is held whole; lines are pointers into it.  Blank lines are left
 * out but counted, so that numbers in errors are the editor's. */
#include "common/text/jsonl.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/gzip.h"

static const size_t MAX_LINE = (size_t)16 << 20;
static const size_t MAX_FILE = SIZE_MAX / 4;

static const char *shown_path(const char *path)
{
	return strcmp(path, "-") == 0 ? "standard input" : path;
}

static enum status read_stdin(struct buf *out, struct error *err)
{
	size_t n;

	do {
		buf_reserve(out, 1 << 16);
		n = fread(out->data + out->length, 1, 1 << 16, stdin);
		out->length += n;
		out->data[out->length] = '\0';
	} while (n > 0);
	if (ferror(stdin))
		return error_set(err, STATUS_BAD_INPUT, "standard input: %s", strerror(errno));
	return STATUS_OK;
}

/* What the file is, if its first bytes say that it is no JSON text. */
static const char *foreign_kind(const struct buf *text)
{
	static const struct {
		const char *magic;
		size_t length;
		const char *kind;
	} kinds[] = {
		{"\x1f\x8b", 2, "gzip data"},	{"\x28\xb5\x2f\xfd", 4, "zstd data"},
		{"\xff\xfe", 2, "UTF-16 text"}, {"\xfe\xff", 2, "UTF-16 text"},
		{"PAR1", 4, "a Parquet file"},	{"PK\x03\x04", 4, "a zip archive"},
		{"{\0", 2, "UTF-16 text"},	{"\0{", 2, "UTF-16 text"},
		{"BZh", 3, "bzip2 data"},	{"\3757zXZ", 5, "xz data"},
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (text->length >= kinds[i].length &&
		    memcmp(text->data, kinds[i].magic, kinds[i].length) == 0)
			return kinds[i].kind;
	return NULL;
}

static bool is_blank(const char *line, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

static void add_line(struct jsonl *jsonl, size_t *capacity, const char *line, size_t length,
		     int number)
{
	if (jsonl->n == *capacity) {
		*capacity = *capacity ? 2 * *capacity : 64;
		jsonl->lines = xrealloc(jsonl->lines, *capacity, sizeof *jsonl->lines);
		jsonl->lengths = xrealloc(jsonl->lengths, *capacity, sizeof *jsonl->lengths);
		jsonl->numbers = xrealloc(jsonl->numbers, *capacity, sizeof *jsonl->numbers);
	}
	jsonl->lines[jsonl->n] = line;
	jsonl->lengths[jsonl->n] = length;
	jsonl->numbers[jsonl->n] = number;
	jsonl->n++;
}

static enum status split(struct jsonl *jsonl, struct error *err)
{
	const char *at = jsonl->text.data, *end = at + jsonl->text.length;
	const char *path = jsonl->path;
	const char *kind = foreign_kind(&jsonl->text);
	size_t capacity = 0;

	if (kind)
		return error_set(err, STATUS_BAD_INPUT, "%s: %s, expected one JSON object per line",
				 path, kind);
	if (end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3;
	for (int number = 1; at < end; number++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((newline ? newline : end) - at);
		if (length > MAX_LINE)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: line %d: %zu bytes, the most is %zu", path, number,
					 length, MAX_LINE);
		if (number == INT_MAX)
			return error_set(err, STATUS_BAD_INPUT, "%s: more than %d lines", path,
					 INT_MAX - 1);
		if (!is_blank(at, length)) {
			size_t cr = at[length - 1] == '\r';
			add_line(jsonl, &capacity, at, length - cr, number);
		}
		at = newline ? newline + 1 : end;
	}
	if (jsonl->n == 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: no line, expected one JSON object per line", path);
	return STATUS_OK;
}

enum status jsonl_split(struct jsonl *jsonl, const char *path, struct buf *text, struct error *err)
{
	enum status status;

	*jsonl = (struct jsonl){.path = xstrdup(shown_path(path)), .text = *text};
	*text = (struct buf)BUF_INIT;
	if (!jsonl->text.data)
		buf_append(&jsonl->text, "", 0);
	status = split(jsonl, err);
	if (status != STATUS_OK)
		jsonl_release(jsonl);
	return status;
}

enum status jsonl_read(struct jsonl *jsonl, const char *path, struct error *err)
{
	struct buf text = BUF_INIT;
	enum status status;

	if (strcmp(path, "-") == 0)
		status = read_stdin(&text, err);
	else
		status = file_read(path, MAX_FILE, &text, err);
	if (status == STATUS_OK)
		status = gzip_expand(&text, shown_path(path), err);
	if (status != STATUS_OK) {
		buf_release(&text);
		*jsonl = (struct jsonl){0};
		return status;
	}
	return jsonl_split(jsonl, path, &text, err);
}

void jsonl_release(struct jsonl *jsonl)
{
	free(jsonl->path);
	free(jsonl->lines);
	free(jsonl->lengths);
	free(jsonl->numbers);
	buf_release(&jsonl->text);
	*jsonl = (struct jsonl){0};
}

struct json *jsonl_parse(const struct jsonl *jsonl, size_t i, struct error *err)
{
	struct json *row = json_parse_line(jsonl->lines[i], jsonl->lengths[i], jsonl->path,
					   jsonl->numbers[i], err);

	if (row && json_type(row) != JSON_OBJECT) {
		error_set(err, STATUS_BAD_INPUT, "%s: line %d: %s, expected an object", jsonl->path,
			  jsonl->numbers[i], json_type_name(row));
		json_free(row);
		row = NULL;
	}
	return row;
}

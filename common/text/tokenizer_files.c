/* All become the text of a tokenizer.json, so that one reader serves them. */
#include "common/text/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/text/sentencepiece.h"

static const size_t MAX_FILE = (size_t)256 << 20, MAX_MODEL = (size_t)64 << 20;

enum { WHOLE, VOCABULARY, MERGES, MODEL };
const char *const tokenizer_files[TOKENIZER_FILES] = {"tokenizer.json", "vocab.json", "merges.txt",
						      "tokenizer.model"};

#define BYTE_LEVEL                                                                                 \
	"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"                \
	"\"use_regex\":true}"

static bool has_file(const char *dir, int file)
{
	char *path = path_join(dir, tokenizer_files[file]);
	bool exists = file_exists(path);

	free(path);
	return exists;
}

enum tokenizer_kind tokenizer_files_find(const char *dir)
{
	if (has_file(dir, WHOLE))
		return TOKENIZER_WHOLE;
	if (has_file(dir, VOCABULARY) && has_file(dir, MERGES))
		return TOKENIZER_PAIR;
	return has_file(dir, MODEL) ? TOKENIZER_MODEL : TOKENIZER_NONE;
}

bool tokenizer_files_serve(const struct tokenizer_config *config)
{
	static const char *const classes[][2] = {
		[TOKENIZER_PAIR] = {"GPT2Tokenizer", "CodeGenTokenizer"},
		[TOKENIZER_MODEL] = {"LlamaTokenizer", "GemmaTokenizer"},
	};
	const char *name = config->class_name;
	enum tokenizer_kind kind = config->kind;

	if (kind == TOKENIZER_NONE || kind == TOKENIZER_WHOLE || !name)
		return kind != TOKENIZER_NONE;
	return strcmp(name, classes[kind][0]) == 0 || strcmp(name, classes[kind][1]) == 0;
}

static enum status check_class(const char *dir, const struct tokenizer_config *config,
			       struct error *err)
{
	if (tokenizer_files_serve(config))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: a %.60s without tokenizer.json is not supported: vocab.json and "
			 "merges.txt are read for GPT2Tokenizer and CodeGenTokenizer, "
			 "tokenizer.model for LlamaTokenizer and GemmaTokenizer",
			 dir, config->class_name);
}

static enum status append_vocabulary(struct buf *text, const char *path, struct error *err)
{
	struct json *root = json_read_object(path, MAX_FILE, err);

	if (!root)
		return STATUS_BAD_INPUT;
	json_free(root);
	buf_append_string(text, "{\"pre_tokenizer\":" BYTE_LEVEL ",\"decoder\":" BYTE_LEVEL
				",\"model\":{\"type\":\"BPE\",\"vocab\":");
	return file_read(path, MAX_FILE, text, err);
}

/* A line is two pieces with a space between them; the first may say a version. */
static enum status append_merge(struct buf *text, const char *line, size_t n, bool is_first)
{
	const char *space = memchr(line, ' ', n);
	size_t left = space ? (size_t)(space - line) : 0;

	if (left == 0 || left + 1 == n || memchr(space + 1, ' ', n - left - 1))
		return STATUS_BAD_INPUT;
	buf_append_string(text, is_first ? "[" : ",[");
	json_write_string(text, line, left);
	buf_append_char(text, ',');
	json_write_string(text, space + 1, n - left - 1);
	buf_append_char(text, ']');
	return STATUS_OK;
}

static enum status append_merges(struct buf *text, const char *path, struct error *err)
{
	struct buf lines = BUF_INIT;
	enum status status = file_read(path, MAX_FILE, &lines, err);
	const char *at = lines.data ? lines.data : "", *end = at + lines.length;
	bool is_first = true;

	buf_append_string(text, ",\"merges\":[");
	for (size_t number = 1; status == STATUS_OK && at < end; number++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *next = newline ? newline + 1 : end;
		size_t n = (size_t)((newline ? newline : end) - at);
		if (n > 0 && at[n - 1] == '\r')
			n--;
		if (n > 0 && !(number == 1 && strncmp(at, "#version", 8) == 0)) {
			status = append_merge(text, at, n, is_first);
			is_first = false;
		}
		if (status != STATUS_OK)
			error_set(err, status, "%s: line %zu: expected two pieces and a space",
				  path, number);
		at = next;
	}
	buf_append_string(text, "]}}");
	buf_release(&lines);
	return status;
}

static enum status read_pair(struct buf *text, const char *vocabulary, const char *dir,
			     struct error *err)
{
	char *merges = path_join(dir, tokenizer_files[MERGES]);
	enum status status = append_vocabulary(text, vocabulary, err);

	if (status == STATUS_OK)
		status = append_merges(text, merges, err);
	free(merges);
	return status;
}

static enum status read_model(struct buf *text, const char *path,
			      const struct tokenizer_config *config, struct error *err)
{
	struct buf bytes = BUF_INIT;
	enum status status = file_read(path, MAX_MODEL, &bytes, err);

	if (status == STATUS_OK && sentencepiece_append_json(text, bytes.data, bytes.length,
							     config->start, err) != STATUS_OK)
		status = error_prefix(err, STATUS_BAD_INPUT, "%s", path);
	buf_release(&bytes);
	return status;
}

enum status tokenizer_files_read(struct buf *text, char **where, const char *dir,
				 const struct tokenizer_config *config, struct error *err)
{
	static const int first[] = {[TOKENIZER_PAIR] = VOCABULARY, [TOKENIZER_MODEL] = MODEL};
	enum tokenizer_kind kind = config->kind;

	if (kind == TOKENIZER_NONE || kind == TOKENIZER_WHOLE) {
		*where = path_join(dir, tokenizer_files[WHOLE]);
		return file_read(*where, MAX_FILE, text, err);
	}
	*where = path_join(dir, tokenizer_files[first[kind]]);
	if (check_class(dir, config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return kind == TOKENIZER_PAIR ? read_pair(text, *where, dir, err)
				      : read_model(text, *where, config, err);
}

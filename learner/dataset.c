/* Rows of a file as ids, and the order in which they are drawn.
 *
 * Packing joins documents to one stream and cuts it: a sequence may begin inside
 * a document and hold several.  They see each other, as in the usual pretraining
 * of language models, because the end token between them is what the model
 * learns to take as a boundary. */
#include "learner/dataset.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/text/jsonl.h"

/* A file being read. */
struct reader {
	struct dataset *dataset;
	const char *path;
	const struct run_config *config;
	struct row_context context;
	int max_length;
	bool cuts_front; /* too_long: truncate keeps the end */
	int capacity;	 /* of dataset's arrays */
	int32_t eos_id;	 /* -1: none */
	struct ids packed;
};

bool dataset_is_jsonl(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && (strcmp(dot, ".jsonl") == 0 || strcmp(dot, ".ndjson") == 0 ||
		       strcmp(dot, ".json") == 0);
}

static void reader_init(struct reader *reader, struct dataset *dataset, const char *path,
			const struct row_context *context, const struct run_config *config,
			int max_length)
{
	if (config->data.max_length < max_length)
		max_length = (int)config->data.max_length;
	*dataset = (struct dataset){.seed = (uint64_t)config->run.seed,
				    .shuffle = config->data.shuffle};
	*reader = (struct reader){.dataset = dataset,
				  .path = path,
				  .config = config,
				  .context = *context,
				  .max_length = max_length,
				  .eos_id = -1};
	reader->context.where = path;
}

void dataset_release(struct dataset *dataset)
{
	for (int i = 0; i < dataset->n; i++) {
		row_release(&dataset->rows[i]);
		if (dataset->rejected)
			row_release(&dataset->rejected[i]);
	}
	free(dataset->rows);
	free(dataset->rejected);
	*dataset = (struct dataset){0};
}

/* Takes over the rows; rejected NULL where there are no pairs. */
static void append(struct reader *reader, struct row *row, struct row *rejected)
{
	struct dataset *dataset = reader->dataset;

	if (dataset->n == reader->capacity) {
		if (reader->capacity > INT_MAX / 2)
			die("%s: too many rows", reader->path);
		reader->capacity = reader->capacity ? 2 * reader->capacity : 256;
		dataset->rows = xrealloc(dataset->rows, (size_t)reader->capacity, sizeof *row);
		if (rejected)
			dataset->rejected =
				xrealloc(dataset->rejected, (size_t)reader->capacity, sizeof *row);
	}
	dataset->rows[dataset->n] = *row;
	if (rejected)
		dataset->rejected[dataset->n] = *rejected;
	dataset->n++;
}

/* --- length --- */

static void cut_row(const struct reader *reader, struct row *row)
{
	int extra = row->n - reader->max_length;

	if (extra <= 0)
		return;
	row->n = reader->max_length;
	if (reader->cuts_front)
		memmove(row->ids, row->ids + extra, (size_t)row->n * sizeof *row->ids);
	if (row->n_prompt > row->n)
		row->n_prompt = row->n;
}

/* Applies data.too_long to rows of one line; *keep is whether they stay. */
static enum status limit_rows(const struct reader *reader, struct row *row, struct row *rejected,
			      int line, bool *keep, struct error *err)
{
	const char *rule = reader->config->data.too_long;
	int n = rejected && rejected->n > row->n ? rejected->n : row->n;

	*keep = true;
	if (n <= reader->max_length)
		return STATUS_OK;
	if (strcmp(rule, "truncate") == 0) {
		cut_row(reader, row);
		if (rejected)
			cut_row(reader, rejected);
		return STATUS_OK;
	}
	*keep = false;
	if (strcmp(rule, "skip") == 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: line %d: %d tokens, expected at most %d; data.max_length raises the "
			 "limit as far as the model goes, data.too_long \"skip\" or \"truncate\" "
			 "lives with it",
			 reader->path, line, n, reader->max_length);
}

/* Limits the rows and takes them over or releases them. */
static enum status add_rows(struct reader *reader, struct row *row, struct row *rejected, int line,
			    struct error *err)
{
	bool keep;
	enum status status = limit_rows(reader, row, rejected, line, &keep, err);

	if (status == STATUS_OK && keep) {
		append(reader, row, rejected);
		return STATUS_OK;
	}
	row_release(row);
	if (rejected)
		row_release(rejected);
	return status;
}

/* --- lines --- */

typedef enum status read_line(struct reader *reader, const struct json *object, int line,
			      struct error *err);

static void append_id(struct row *row, int32_t id)
{
	row->ids = xrealloc(row->ids, (size_t)row->n + 1, sizeof *row->ids);
	row->ids[row->n++] = id;
}

/* Takes over the row. */
static enum status add_sequence(struct reader *reader, struct row *row, int line, struct error *err)
{
	if (row->n >= 2)
		return add_rows(reader, row, NULL, line, err);
	row_release(row);
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: line %d: a sequence of fewer than 2 tokens: there is nothing to "
			 "predict",
			 reader->path, line);
}

/* A document: packed, or a sequence of its own.  Takes over the row. */
static enum status add_document(struct reader *reader, struct row *row, int line, struct error *err)
{
	if (reader->config->data.append_eos)
		append_id(row, reader->eos_id);
	if (!reader->config->data.packing)
		return add_sequence(reader, row, line, err);
	ids_append(&reader->packed, row->ids, (size_t)row->n);
	row_release(row);
	return STATUS_OK;
}

static enum status check_eos(const struct reader *reader, struct error *err)
{
	if (!reader->config->data.append_eos || reader->eos_id >= 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: the model names no end token to put after a text; set "
			 "data.append_eos to false",
			 reader->path);
}

static enum status read_sequence(struct reader *reader, const struct json *object, int line,
				 struct error *err)
{
	bool is_text = json_get(object, "text") != NULL;
	struct row row;
	enum status status = row_sequence(&row, object, line, &reader->context, err);

	if (status == STATUS_OK && is_text && (status = check_eos(reader, err)) != STATUS_OK)
		row_release(&row);
	if (status != STATUS_OK)
		return status;
	return is_text ? add_document(reader, &row, line, err)
		       : add_sequence(reader, &row, line, err);
}

static enum status read_prompt(struct reader *reader, const struct json *object, int line,
			       struct error *err)
{
	struct row row;
	enum status status = row_prompt(&row, object, line, &reader->context, err);

	return status == STATUS_OK ? add_rows(reader, &row, NULL, line, err) : status;
}

static enum status read_pair(struct reader *reader, const struct json *object, int line,
			     struct error *err)
{
	struct row chosen, rejected;
	enum status status = row_pair(&chosen, &rejected, object, line, &reader->context, err);

	return status == STATUS_OK ? add_rows(reader, &chosen, &rejected, line, err) : status;
}

static enum status read_lines(struct reader *reader, struct buf *text, read_line *read,
			      struct error *err)
{
	struct jsonl jsonl;
	enum status status = jsonl_split(&jsonl, reader->path, text, err);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < jsonl.n && status == STATUS_OK; i++) {
		struct json *object = jsonl_parse(&jsonl, i, err);

		status = object ? read(reader, object, jsonl.numbers[i], err) : STATUS_BAD_INPUT;
		json_free(object);
	}
	jsonl_release(&jsonl);
	return status;
}

/* --- files --- */

/* A plain text is one row of "text". */
static enum status read_plain(struct reader *reader, const struct buf *text, struct error *err)
{
	struct buf line = BUF_INIT;
	struct json *object;
	enum status status = STATUS_BAD_INPUT;

	buf_append_string(&line, "{\"text\":");
	json_write_string(&line, text->data, text->length);
	buf_append_char(&line, '}');
	object = json_parse(line.data, line.length, reader->path, err);
	buf_release(&line);
	if (object)
		status = read_sequence(reader, object, 1, err);
	json_free(object);
	return status;
}

/* The stream of all documents, cut; a rest of one token predicts nothing. */
static void cut_packed(struct reader *reader)
{
	size_t length = (size_t)reader->max_length, n = reader->packed.n;

	for (size_t first = 0; first + 1 < n; first += length) {
		struct row row = {.n = (int)(n - first < length ? n - first : length)};

		row.ids = xcalloc((size_t)row.n, sizeof *row.ids);
		memcpy(row.ids, reader->packed.data + first, (size_t)row.n * sizeof *row.ids);
		append(reader, &row, NULL);
	}
}

static enum status load(struct reader *reader, read_line *read, struct error *err)
{
	struct dataset *dataset = reader->dataset;
	struct buf text = BUF_INIT;
	enum status status = file_read(reader->path, (size_t)1 << 40, &text, err);

	if (status == STATUS_OK) {
		sha256_hex(text.data, text.length, dataset->sha256);
		if (read == read_sequence && !dataset_is_jsonl(reader->path))
			status = read_plain(reader, &text, err);
		else
			status = read_lines(reader, &text, read, err);
	}
	if (status == STATUS_OK)
		cut_packed(reader);
	if (status == STATUS_OK && dataset->n == 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: no row is left of it, expected at least one of at most %d "
				   "tokens",
				   reader->path, reader->max_length);
	if (status != STATUS_OK)
		dataset_release(dataset);
	ids_release(&reader->packed);
	buf_release(&text);
	return status;
}

enum status dataset_load_sequences(struct dataset *dataset, const char *path,
				   const struct row_context *context,
				   const struct run_config *config, int max_length, int32_t eos_id,
				   struct error *err)
{
	struct reader reader;

	reader_init(&reader, dataset, path, context, config, max_length);
	reader.eos_id = eos_id;
	if (reader.max_length < 2)
		return error_set(err, STATUS_BAD_INPUT,
				 "sequences of %d token predict nothing, expected data.max_length "
				 "of at least 2",
				 reader.max_length);
	return load(&reader, read_sequence, err);
}

enum status dataset_load_pairs(struct dataset *dataset, const char *path,
			       const struct row_context *context, const struct run_config *config,
			       int max_length, struct error *err)
{
	struct reader reader;

	reader_init(&reader, dataset, path, context, config, max_length);
	return load(&reader, read_pair, err);
}

enum status dataset_load_prompts(struct dataset *dataset, const char *path,
				 const struct row_context *context, const struct run_config *config,
				 int max_length, struct error *err)
{
	struct reader reader;

	reader_init(&reader, dataset, path, context, config, max_length);
	reader.cuts_front = true;
	return load(&reader, read_prompt, err);
}

int dataset_index(const struct dataset *dataset, int64_t i)
{
	int64_t epoch = i / dataset->n, place = i % dataset->n;

	if (!dataset->shuffle)
		return (int)place;
	return (int)rng_permute(dataset->seed, RNG_SHUFFLE, (uint32_t)epoch, 0, (uint64_t)place,
				(uint64_t)dataset->n);
}

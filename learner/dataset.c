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
#include "common/base/gzip.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/text/jsonl.h"
#include "common/text/unicode.h"
#include "learner/dataset_private.h"

enum { LINES_AT_ONCE = 512, BYTES_AT_ONCE = 1 << 22 };

/* Whether the first n characters of a path end so. */
static bool ends_with(const char *path, size_t n, const char *ending)
{
	size_t length = strlen(ending);

	return n >= length && memcmp(path + n - length, ending, length) == 0;
}

bool dataset_is_jsonl(const char *path)
{
	static const char *const endings[] = {".jsonl", ".ndjson", ".json"};
	size_t n = strlen(path);

	if (ends_with(path, n, ".gz"))
		n -= strlen(".gz");
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
		if (ends_with(path, n, endings[i]))
			return true;
	return false;
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
	free(dataset->margins);
	free(dataset->lines);
	free(dataset->labels);
	*dataset = (struct dataset){0};
}

static void grow(struct reader *reader, bool has_pairs)
{
	struct dataset *dataset = reader->dataset;
	size_t capacity;

	if (reader->capacity > INT_MAX / 2)
		die("%s: too many rows", reader->path);
	reader->capacity = reader->capacity ? 2 * reader->capacity : 256;
	capacity = (size_t)reader->capacity;
	dataset->rows = xrealloc(dataset->rows, capacity, sizeof *dataset->rows);
	dataset->lines = xrealloc(dataset->lines, capacity, sizeof *dataset->lines);
	if (reader->has_labels)
		dataset->labels = xrealloc(dataset->labels, capacity, sizeof *dataset->labels);
	if (!has_pairs)
		return;
	dataset->rejected = xrealloc(dataset->rejected, capacity, sizeof *dataset->rejected);
	dataset->margins = xrealloc(dataset->margins, capacity, sizeof *dataset->margins);
}

/* Takes over the rows. */
static void append(struct reader *reader, const struct example *example)
{
	struct dataset *dataset = reader->dataset;

	if (dataset->n == reader->capacity)
		grow(reader, example->rejected.ids != NULL);
	dataset->rows[dataset->n] = example->row;
	dataset->lines[dataset->n] = example->line;
	if (example->rejected.ids) {
		dataset->rejected[dataset->n] = example->rejected;
		dataset->margins[dataset->n] = example->margin;
	}
	if (reader->has_labels)
		dataset->labels[dataset->n] = example->label;
	dataset->n++;
}

/* --- length --- */

bool dataset_cuts_left(const struct run_config *config)
{
	return strcmp(config->data.truncation_side, "left") == 0;
}

static void cut(const struct reader *reader, struct example *example)
{
	bool from_left = dataset_cuts_left(reader->config);

	if (example->rejected.ids)
		row_cut_pair(&example->row, &example->rejected, reader->max_length, from_left,
			     &reader->context);
	else
		row_cut(&example->row, reader->max_length, from_left, &reader->context);
}

/* Applies data.too_long; *keep is whether the example stays. */
static enum status limit(struct reader *reader, struct example *example, int line, bool *keep,
			 struct error *err)
{
	const char *rule = reader->config->data.too_long;
	int n = example->rejected.n > example->row.n ? example->rejected.n : example->row.n;

	*keep = true;
	if (n <= reader->max_length)
		return STATUS_OK;
	if (strcmp(rule, "truncate") == 0) {
		cut(reader, example);
		return STATUS_OK;
	}
	*keep = false;
	reader->left_out.too_long++;
	if (strcmp(rule, "skip") == 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: line %d: %d tokens, expected at most %d; data.max_length raises the "
			 "limit as far as the model goes, data.too_long \"skip\" or \"truncate\" "
			 "lives with it",
			 reader->path, line, n, reader->max_length);
}

bool dataset_has_target(const struct row *row)
{
	for (int i = 1; i < row->n; i++)
		if (row_is_target(row, i))
			return true;
	return false;
}

/* Whether the example is a pair of the same sequence twice. */
static bool is_equal_pair(const struct example *example)
{
	const struct row *a = &example->row, *b = &example->rejected;

	return b->ids && a->n == b->n && memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids) == 0;
}

/* Applies data.too_long to what a line gave and takes it over or releases it. */
static enum status add(struct reader *reader, struct example *example, int line, struct error *err)
{
	bool keep, was_equal = is_equal_pair(example);
	enum status status = limit(reader, example, line, &keep, err);

	example->line = line;
	if (status == STATUS_OK && keep && reader->needs_target &&
	    !(dataset_has_target(&example->row) &&
	      (!example->rejected.ids || dataset_has_target(&example->rejected)))) {
		keep = false;
		reader->left_out.nothing_to_learn++;
	}
	if (status == STATUS_OK && keep && is_equal_pair(example)) {
		keep = false;
		if (was_equal)
			reader->left_out.equal++;
		else
			reader->left_out.cut_equal++;
	}
	if (status == STATUS_OK && keep) {
		append(reader, example);
		return STATUS_OK;
	}
	row_release(&example->row);
	row_release(&example->rejected);
	return status;
}

/* --- files --- */

void dataset_take(struct taken *taken, const struct example *example)
{
	taken->examples[taken->n++] = *example;
}

static void taken_release(struct taken *taken)
{
	for (int i = 0; i < taken->n; i++) {
		row_release(&taken->examples[i].row);
		row_release(&taken->examples[i].rejected);
	}
	taken->n = 0;
}

/* Takes over what a line has given, in the order of the lines. */
static enum status keep(struct reader *reader, struct taken *taken, int line, struct error *err)
{
	enum status status = STATUS_OK;
	int i = 0;

	if (taken->is_document && taken->n > 0) {
		struct row *row = &taken->examples[i++].row;

		ids_append(&reader->packed, row->ids, (size_t)row->n);
		row_release(row);
	}
	for (; i < taken->n && status == STATUS_OK; i++) {
		status = add(reader, &taken->examples[i], line, err);
		taken->examples[i] = (struct example){.line = 0};
	}
	return status;
}

/* Lines that are read at the same time. */
struct lines {
	const struct reader *reader;
	const struct jsonl *jsonl;
	read_line *read;
	size_t first;
	struct taken taken[LINES_AT_ONCE];
	enum status status[LINES_AT_ONCE];
};

static enum status read_one(const struct lines *lines, size_t i, struct taken *taken,
			    struct error *err)
{
	struct json *object = jsonl_parse(lines->jsonl, i, err);
	enum status status = STATUS_BAD_INPUT;

	*taken = (struct taken){.n = 0};
	if (object)
		status = lines->read(lines->reader, object, lines->jsonl->numbers[i], taken, err);
	json_free(object);
	return status;
}

static void read_some(void *args, int i, int thread)
{
	struct lines *lines = args;
	struct error ignored;

	(void)thread;
	lines->status[i] = read_one(lines, lines->first + (size_t)i, &lines->taken[i], &ignored);
}

/* Lines [lines->first, + n), of which the first that is wrong is read again to say why. */
static enum status read_block(struct lines *lines, int n, struct reader *reader, struct pool *pool,
			      struct error *err)
{
	enum status status = STATUS_OK;

	pool_run(pool, n, read_some, lines);
	for (int i = 0; i < n; i++) {
		size_t line = lines->first + (size_t)i;

		if (status == STATUS_OK && lines->status[i] != STATUS_OK)
			status = read_one(lines, line, &lines->taken[i], err);
		else if (status == STATUS_OK)
			status = keep(reader, &lines->taken[i], lines->jsonl->numbers[line], err);
		taken_release(&lines->taken[i]);
	}
	return status;
}

/* How many lines from the first on are read together. */
static int count_block(const struct jsonl *jsonl, size_t first)
{
	size_t bytes = 0;
	int n = 0;

	while (n < LINES_AT_ONCE && first + (size_t)n < jsonl->n && bytes < BYTES_AT_ONCE)
		bytes += jsonl->lengths[first + (size_t)n++];
	return n;
}

static enum status read_lines(struct reader *reader, struct buf *text, read_line *read,
			      struct pool *pool, struct error *err)
{
	struct jsonl jsonl;
	struct lines *lines;
	enum status status = jsonl_split(&jsonl, reader->path, text, err);

	if (status != STATUS_OK)
		return status;
	lines = xcalloc(1, sizeof *lines);
	lines->reader = reader;
	lines->jsonl = &jsonl;
	lines->read = read;
	for (int n; lines->first < jsonl.n && status == STATUS_OK; lines->first += (size_t)n) {
		n = count_block(&jsonl, lines->first);
		status = read_block(lines, n, reader, pool, err);
	}
	free(lines);
	jsonl_release(&jsonl);
	return status;
}

enum status dataset_check_plain(const struct buf *text, const char *path, struct error *err)
{
	size_t at = 0, n = 1;
	uint32_t c;

	if (text->length == 0)
		return error_set(err, STATUS_BAD_INPUT, "%s: is empty, expected text", path);
	while (at < text->length && n > 0) {
		n = utf8_next(text->data + at, text->length - at, &c);
		at += n;
	}
	if (n > 0 && strncmp(text->data, "{\"", 2) == 0)
		log_warn("%s: looks like lines of JSON but is taken for one plain text; a name in "
			 ".jsonl tells",
			 path);
	if (n > 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: byte %zu is 0x%02x, expected text in UTF-8; iconv converts other "
			 "encodings",
			 path, at, (unsigned char)text->data[at]);
}

/* A plain text is one row of "text". */
static enum status read_plain(struct reader *reader, const struct buf *text, struct error *err)
{
	struct buf line = BUF_INIT;
	struct taken taken = {.n = 0};
	struct json *object;
	enum status status = dataset_check_plain(text, reader->path, err);

	if (status != STATUS_OK)
		return status;
	buf_append_string(&line, "{\"text\":");
	json_write_string(&line, text->data, text->length);
	buf_append_char(&line, '}');
	object = json_parse(line.data, line.length, reader->path, err);
	buf_release(&line);
	status = object ? dataset_read_sequence(reader, object, 1, &taken, err) : STATUS_BAD_INPUT;
	if (status == STATUS_OK)
		status = keep(reader, &taken, 1, err);
	taken_release(&taken);
	json_free(object);
	return status;
}

/* The stream of all documents, cut; a rest of one token predicts nothing. */
static void cut_packed(struct reader *reader)
{
	size_t length = (size_t)reader->max_length, n = reader->packed.n;

	for (size_t first = 0; first + 1 < n; first += length) {
		struct example example = {.row.n = (int)(n - first < length ? n - first : length)};
		struct row *row = &example.row;

		row->ids = xcalloc((size_t)row->n, sizeof *row->ids);
		memcpy(row->ids, reader->packed.data + first, (size_t)row->n * sizeof *row->ids);
		append(reader, &example);
	}
}

static void warn_of_left_out(const struct reader *reader)
{
	const struct left_out *out = &reader->left_out;
	const char *remedy = dataset_cuts_left(reader->config)
				     ? "; data.truncation_side \"right\" keeps their beginnings"
				     : "; data.truncation_side \"left\" keeps their ends";
	const struct {
		int n;
		const char *why, *remedy;
	} reasons[] = {
		{out->too_long, "longer than allowed", ""},
		{out->nothing_to_learn, "without anything to learn after the cut", remedy},
		{out->equal, "with chosen equal to rejected", ""},
		{out->cut_equal, "with chosen equal to rejected after the cut", remedy},
	};

	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].n > 0)
			log_warn("%s: %d row%s %s left out%s", reader->path, reasons[i].n,
				 reasons[i].n == 1 ? "" : "s", reasons[i].why, reasons[i].remedy);
}

static void hash_row(struct sha256 *sha, const struct row *row)
{
	const int32_t counts[3] = {row->n, row->n_prompt, row->is_target != NULL};

	sha256_update(sha, counts, sizeof counts);
	sha256_update(sha, row->ids, (size_t)row->n * sizeof *row->ids);
	if (row->is_target)
		sha256_update(sha, row->is_target, (size_t)row->n);
}

/* The same file gives other rows where the tokenizer or the chat template has changed. */
static void hash_rows(struct dataset *dataset)
{
	struct sha256 sha;

	sha256_init(&sha);
	for (int i = 0; i < dataset->n; i++) {
		hash_row(&sha, &dataset->rows[i]);
		if (dataset->rejected)
			hash_row(&sha, &dataset->rejected[i]);
		if (dataset->margins)
			sha256_update(&sha, &dataset->margins[i], sizeof *dataset->margins);
		if (dataset->labels)
			sha256_update(&sha, &dataset->labels[i], sizeof *dataset->labels);
	}
	sha256_final_hex(&sha, dataset->ids_sha256);
}

static enum status load(struct reader *reader, read_line *read, struct pool *pool,
			struct error *err)
{
	struct dataset *dataset = reader->dataset;
	struct buf text = BUF_INIT;
	enum status status = gzip_read(reader->path, (size_t)1 << 40, &text, err);

	if (status == STATUS_OK) {
		sha256_hex(text.data, text.length, dataset->sha256);
		if (read == dataset_read_sequence && !dataset_is_jsonl(reader->path))
			status = read_plain(reader, &text, err);
		else
			status = read_lines(reader, &text, read, pool, err);
	}
	if (status == STATUS_OK)
		cut_packed(reader);
	if (status == STATUS_OK)
		warn_of_left_out(reader);
	if (status == STATUS_OK && dataset->n == 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: no row is left of it, expected at least one of at most %d "
				   "tokens",
				   reader->path, reader->max_length);
	if (status == STATUS_OK)
		hash_rows(dataset);
	else
		dataset_release(dataset);
	ids_release(&reader->packed);
	buf_release(&text);
	return status;
}

static enum status check_length(const struct reader *reader, struct error *err)
{
	if (reader->max_length >= 2)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "sequences of %d token predict nothing, expected data.max_length of at "
			 "least 2",
			 reader->max_length);
}

/* What a language model learns from, row by row. */
static enum status load_learnt(struct dataset *dataset, const char *path,
			       const struct row_context *context, const struct run_config *config,
			       int max_length, int32_t eos_id, read_line *read, struct pool *pool,
			       struct error *err)
{
	struct reader reader;
	enum status status;

	reader_init(&reader, dataset, path, context, config, max_length);
	reader.eos_id = eos_id;
	reader.needs_target = true;
	status = check_length(&reader, err);
	return status == STATUS_OK ? load(&reader, read, pool, err) : status;
}

enum status dataset_load_sequences(struct dataset *dataset, const char *path,
				   const struct row_context *context,
				   const struct run_config *config, int max_length, int32_t eos_id,
				   struct pool *pool, struct error *err)
{
	return load_learnt(dataset, path, context, config, max_length, eos_id,
			   dataset_read_sequence, pool, err);
}

enum status dataset_load_examples(struct dataset *dataset, const char *path,
				  const struct row_context *context,
				  const struct run_config *config, int max_length, int32_t eos_id,
				  struct pool *pool, struct error *err)
{
	return load_learnt(dataset, path, context, config, max_length, eos_id, dataset_read_example,
			   pool, err);
}

enum status dataset_load_pairs(struct dataset *dataset, const char *path,
			       const struct row_context *context, const struct run_config *config,
			       int max_length, int32_t eos_id, bool needs_completions,
			       struct pool *pool, struct error *err)
{
	struct reader reader;

	reader_init(&reader, dataset, path, context, config, max_length);
	reader.eos_id = eos_id;
	reader.needs_target = needs_completions;
	return load(&reader, dataset_read_pair, pool, err);
}

enum status dataset_load_judged(struct dataset *dataset, const char *path,
				const struct row_context *context, const struct run_config *config,
				int max_length, int32_t eos_id, struct pool *pool,
				struct error *err)
{
	struct reader reader;

	reader_init(&reader, dataset, path, context, config, max_length);
	reader.eos_id = eos_id;
	reader.needs_target = reader.has_labels = true;
	return load(&reader, dataset_read_judged, pool, err);
}

enum status dataset_load_labelled(struct dataset *dataset, const char *path,
				  const struct row_context *context,
				  const struct run_config *config, int max_length,
				  const struct hf_labels *labels, struct pool *pool,
				  struct error *err)
{
	struct reader reader;

	reader_init(&reader, dataset, path, context, config, max_length);
	reader.has_labels = true;
	reader.labels = labels;
	return load(&reader, dataset_read_labelled, pool, err);
}

enum status dataset_load_prompts(struct dataset *dataset, const char *path,
				 const struct row_context *context, const struct run_config *config,
				 int max_length, struct pool *pool, struct error *err)
{
	struct reader reader;

	reader_init(&reader, dataset, path, context, config, max_length);
	return load(&reader, dataset_read_prompt, pool, err);
}

int dataset_index(const struct dataset *dataset, int64_t i)
{
	int64_t epoch = i / dataset->n, place = i % dataset->n;

	if (!dataset->shuffle)
		return (int)place;
	return (int)rng_permute(dataset->seed, RNG_SHUFFLE, (uint32_t)epoch, 0, (uint64_t)place,
				(uint64_t)dataset->n);
}

/* rlhf tokenizer-train: byte-level BPE from a text file, or from the "text" of
 * the rows of a JSONL file. */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/gzip.h"
#include "common/base/log.h"
#include "common/run/options.h"
#include "common/text/jsonl.h"
#include "common/text/tokenizer.h"
#include "learner/dataset.h"
#include "learner/learner.h"

/* 256 bytes and the end token; beyond 2^20 merges nothing is gained. */
enum { MIN_VOCAB = 257, MAX_VOCAB = 1 << 20 };

/* Texts to learn from: [n], each owned. */
struct corpus {
	char **texts;
	size_t *lengths;
	size_t n, capacity;
};

static void corpus_release(struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->n; i++)
		free(corpus->texts[i]);
	free(corpus->texts);
	free(corpus->lengths);
}

static void corpus_add(struct corpus *corpus, const char *text, size_t length)
{
	char *copy = xmalloc(length + 1);

	memcpy(copy, text, length);
	if (corpus->n == corpus->capacity) {
		corpus->capacity = corpus->capacity ? 2 * corpus->capacity : 256;
		corpus->texts = xrealloc(corpus->texts, corpus->capacity, sizeof *corpus->texts);
		corpus->lengths =
			xrealloc(corpus->lengths, corpus->capacity, sizeof *corpus->lengths);
	}
	corpus->texts[corpus->n] = copy;
	corpus->lengths[corpus->n++] = length;
}

/* The strings among text, prompt, completion, chosen and rejected; what is null is not there. */
static enum status add_row(struct corpus *corpus, const struct json *object, const char *path,
			   int line, struct error *err)
{
	static const char *const keys[] = {"text", "prompt", "completion", "chosen", "rejected"};
	bool found = false;

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json *value = json_given(object, keys[i]);
		const char *text;
		size_t length;

		if (!value)
			continue;
		if (json_type(value) != JSON_STRING)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: line %d: %s is %s, expected a string", path, line,
					 keys[i], json_type_name(value));
		text = json_string(value, &length);
		corpus_add(corpus, text, length);
		found = true;
	}
	return found ? STATUS_OK
		     : error_set(err, STATUS_BAD_INPUT, "%s: line %d: no text, expected \"text\"",
				 path, line);
}

static enum status read_rows(struct corpus *corpus, const char *path, struct error *err)
{
	struct jsonl jsonl;
	enum status status = jsonl_read(&jsonl, path, err);

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < jsonl.n && status == STATUS_OK; i++) {
		struct json *object = jsonl_parse(&jsonl, i, err);

		status = object ? add_row(corpus, object, path, jsonl.numbers[i], err)
				: STATUS_BAD_INPUT;
		json_free(object);
	}
	jsonl_release(&jsonl);
	return status;
}

static enum status read_plain(struct corpus *corpus, const char *path, struct error *err)
{
	struct buf text = BUF_INIT;
	enum status status = gzip_read(path, (size_t)1 << 40, &text, err);

	if (status == STATUS_OK)
		status = dataset_check_plain(&text, path, err);
	if (status == STATUS_OK)
		corpus_add(corpus, text.data, text.length);
	buf_release(&text);
	return status;
}

/* The weights of a model stand for the ids of its own tokenizer. */
static enum status check_output(const char *output, struct error *err)
{
	char *config = path_join(output, "config.json");
	enum status status = STATUS_OK;

	if (file_exists(config))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: holds a model, whose tokenizer would be replaced, expected "
				   "another directory",
				   output);
	free(config);
	return status;
}

static enum status train(const char *input, int vocab_size, const char *output, struct error *err)
{
	struct corpus corpus = {0};
	char *made = NULL;
	enum status status = check_output(output, err);

	if (status == STATUS_OK)
		status = dataset_is_jsonl(input) ? read_rows(&corpus, input, err)
						 : read_plain(&corpus, input, err);
	if (status == STATUS_OK)
		status = file_make_new_dirs(output, &made, err);
	if (status == STATUS_OK)
		status = tokenizer_train((const char *const *)corpus.texts, corpus.lengths,
					 corpus.n, vocab_size, output, err);
	if (status != STATUS_OK)
		file_remove_new_dirs(output, made);
	free(made);
	corpus_release(&corpus);
	return status;
}

int tokenizer_train_main(int argc, char **argv)
{
	const char *input = NULL, *output = NULL;
	int64_t vocab_size = 0;
	bool help = false;
	struct option options[] = {
		{.name = "--input",
		 .type = OPTION_STRING,
		 .target = &input,
		 .required = true,
		 .help = "a text file, or .jsonl with rows of \"text\" (or prompts and pairs)"},
		{.name = "--vocab-size",
		 .type = OPTION_INT,
		 .target = &vocab_size,
		 .min = MIN_VOCAB,
		 .max = MAX_VOCAB,
		 .required = true,
		 .help = "tokens, the 256 bytes and the end token included"},
		{.name = "--output",
		 .type = OPTION_STRING,
		 .target = &output,
		 .required = true,
		 .help = "directory for tokenizer.json and tokenizer_config.json"},
	};
	struct error err;
	enum status status = options_parse(
		options, sizeof options / sizeof *options, argc, argv,
		"rlhf tokenizer-train --input FILE --vocab-size N --output DIR",
		"rlhf tokenizer-train --input text.jsonl --vocab-size 512 --output tokenizer",
		&help, &err);

	if (status == STATUS_OK && !help)
		status = train(input, (int)vocab_size, output, &err);
	if (status != STATUS_OK)
		log_error("%s", err.text);
	return status;
}

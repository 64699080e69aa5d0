/* rlhf tokenize: the tokenizer of a checkpoint alone.  Rows of text, prompts and
 * completions or messages to ids as training sees them, or ids to text. */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "deploy/commands.h"
#include "deploy/line_command.h"

struct tokenize {
	bool decodes;
	bool no_special; /* nothing is put around text; special tokens give no text */
};

enum { IGNORED = -100 }; /* the label of an id that is not learnt */

/* --- to ids --- */

/* A text by itself, with what the tokenizer puts around it. */
static enum status encode_text(const struct line_job *job, const struct json *object, int line,
			       struct buf *out, struct error *err)
{
	const struct tokenize *tokenize = job->command->context;
	const struct json *text = json_given(object, "text");
	struct ids ids = {0};
	const char *string;
	size_t n;

	if (json_type(text) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: \"text\" is %s, expected a string", job->input.path,
				 line, json_type_name(text));
	string = json_string(text, &n);
	tokenizer_encode(job->tokenizer, string, n, !tokenize->no_special, &ids);
	buf_append_string(out, "{\"input_ids\":");
	json_write_ids(out, ids.data, ids.n);
	buf_append_string(out, "}\n");
	ids_release(&ids);
	return STATUS_OK;
}

/* What is to be learnt, as transformers' trainers take it. */
static void append_labels(const struct row *row, struct buf *out)
{
	struct ids labels = {0};
	const int32_t ignored = IGNORED;

	for (int i = 0; i < row->n; i++)
		ids_append(&labels, row->is_target[i] ? &row->ids[i] : &ignored, 1);
	buf_append_string(out, ",\"labels\":");
	json_write_ids(out, labels.data, labels.n);
	ids_release(&labels);
}

/* Whether the assistant is asked for what comes behind the row's messages. */
static bool is_question(const struct json *object)
{
	const struct json *messages = json_given(object, "messages"), *last = NULL;

	if (!messages)
		return !json_given(object, "completion");
	for (const struct json *turn = json_first(messages); turn; turn = json_next(turn))
		last = turn;
	last = json_get(last, "role");
	return last && json_type(last) == JSON_STRING &&
	       strcmp(json_string(last, NULL), "user") == 0;
}

/* How many ids the tokenizer has put in front, and are not wanted. */
static int unwanted_prefix(const struct line_job *job, const struct json *object)
{
	const struct tokenize *tokenize = job->command->context;
	const struct json *prompt = json_given(object, "prompt");
	size_t n = 0;

	if (tokenize->no_special && !json_given(object, "messages") && prompt &&
	    json_type(prompt) == JSON_STRING)
		tokenizer_prefix(job->tokenizer, &n);
	return (int)n;
}

static enum status encode_row(const struct line_job *job, const struct json *object, int line,
			      struct buf *out, struct error *err)
{
	bool asks = is_question(object);
	int unwanted = unwanted_prefix(job, object);
	struct row row;

	if ((asks ? row_prompt : row_sequence)(&row, object, line, &job->rows, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	buf_append_string(out, "{\"input_ids\":");
	json_write_ids(out, row.ids + unwanted, (size_t)(row.n - unwanted));
	if (row.is_target)
		append_labels(&row, out);
	else if (!asks)
		buf_printf(out, ",\"prompt_length\":%d", row.n_prompt - unwanted);
	buf_append_string(out, "}\n");
	row_release(&row);
	return STATUS_OK;
}

static enum status encode(const struct line_job *job, const struct json *object, int line,
			  struct buf *out, struct error *err)
{
	if (json_given(object, "messages") || json_given(object, "prompt"))
		return encode_row(job, object, line, out, err);
	if (json_given(object, "text"))
		return encode_text(job, object, line, out, err);
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: line %d: expected \"text\", \"prompt\", \"prompt\" and "
			 "\"completion\", or \"messages\"",
			 job->input.path, line);
}

/* --- to text --- */

static enum status decode(const struct line_job *job, const struct json *object, int line,
			  struct buf *out, struct error *err)
{
	const struct tokenize *tokenize = job->command->context;
	struct ids ids = {0};
	struct buf text = BUF_INIT;
	enum status status = row_ids(&ids, object, "input_ids", line, &job->rows, err);

	if (status == STATUS_OK) {
		buf_append(&text, "", 0);
		tokenizer_decode(job->tokenizer, ids.data, ids.n, tokenize->no_special, &text);
		buf_append_string(out, "{\"text\":");
		json_write_string(out, text.data, text.length);
		buf_append_string(out, "}\n");
	}
	ids_release(&ids);
	buf_release(&text);
	return status;
}

/* --- the command --- */

static enum status work(struct line_job *job, size_t first, size_t n, struct buf *out,
			struct error *err)
{
	const struct tokenize *tokenize = job->command->context;
	enum status status = STATUS_OK;

	for (size_t i = first; i < first + n && status == STATUS_OK; i++) {
		struct json *object = jsonl_parse(&job->input, i, err);
		if (!object)
			return STATUS_BAD_INPUT;
		status = (tokenize->decodes ? decode : encode)(job, object, job->input.numbers[i],
							       out, err);
		json_free(object);
	}
	return status;
}

int tokenize_main(int argc, char **argv)
{
	struct tokenize tokenize = {0};
	const struct option options[] = {
		{.name = "--decode",
		 .type = OPTION_FLAG,
		 .target = &tokenize.decodes,
		 .help = "from \"input_ids\" to \"text\""},
		{.name = "--no-special",
		 .type = OPTION_FLAG,
		 .target = &tokenize.no_special,
		 .help = "put no special tokens around a text; with --decode: leave them out"},
	};
	const struct line_command command = {
		.usage = "rlhf tokenize --model DIR --input FILE [--output FILE] [--decode]",
		.example = "echo '{\"text\":\"Once upon a time\"}' | rlhf tokenize --model DIR "
			   "--input -",
		.tokenizer_alone = true,
		.input_help = "JSONL file, - for standard input: rows with text, prompt, prompt "
			      "and completion, or messages",
		.options = options,
		.n_options = sizeof options / sizeof *options,
		.context = &tokenize,
		.work = work};
	return line_command_main(&command, argc, argv);
}

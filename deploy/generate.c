/* rlhf generate: an actor alone.  Prompts in, completions out, one line of JSON for
 * each sample.  A completion is a function of (model, prompt, seed, line, sample):
 * blocks, ranks and threads change nothing. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "actor/generator.h"
#include "common/base/die.h"
#include "common/base/json.h"
#include "common/text/tokenizer.h"
#include "deploy/commands.h"
#include "deploy/line_command.h"
#include "proto/rollout.h"

enum { MAX_SLOTS = 64 };

struct generate {
	const char *prompt; /* of the command line, or NULL */
	int64_t max_new_tokens, min_new_tokens, samples, seed, kv_cache_mb;
	int64_t top_k;
	struct sampling sampling;
	struct stop_ids stop;
	struct generator *generator;
};

/* --- output --- */

static void append_text_field(const struct line_job *job, const char *key, const struct row *row,
			      const struct request *request, struct buf *out)
{
	struct buf text = BUF_INIT;

	if (request)
		tokenizer_decode_completion(job->tokenizer, row->ids, (size_t)row->n,
					    request->completion, (size_t)request->n_completion,
					    &text);
	else
		tokenizer_decode(job->tokenizer, row->ids, (size_t)row->n, true, &text);
	buf_printf(out, "\"%s\":", key);
	json_write_string(out, text.data ? text.data : "", text.length);
	buf_append_char(out, ',');
	buf_release(&text);
}

static void print_line(const struct line_job *job, const struct row *row,
		       const struct request *request, struct buf *out)
{
	buf_append_char(out, '{');
	if (job->tokenizer) {
		append_text_field(job, "prompt", row, NULL, out);
		append_text_field(job, "completion", row, request, out);
	}
	buf_append_string(out, "\"prompt_ids\":");
	json_write_ids(out, row->ids, (size_t)row->n);
	buf_append_string(out, ",\"completion_ids\":");
	json_write_ids(out, request->completion, (size_t)request->n_completion);
	buf_append_string(out, ",\"logprobs\":");
	json_write_floats(out, request->logprob, (size_t)request->n_completion);
	buf_printf(out, ",\"finish_reason\":\"%s\"}\n",
		   request->finish == FINISH_STOP ? "stop" : "length");
}

/* --- work --- */

static enum status read_prompt(struct line_job *job, size_t i, struct row *row, struct error *err)
{
	const struct model_config *config = &job->model->config;
	const struct generate *generate = job->command->context;
	struct json *object = jsonl_parse(&job->input, i, err);
	enum status status = STATUS_BAD_INPUT;
	int line = job->input.numbers[i];

	if (object)
		status = row_prompt(row, object, line, &job->rows, err);
	json_free(object);
	if (status == STATUS_OK && row->n == 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: line %d: the prompt has no ids, expected at least one",
				   job->input.path, line);
	if (status == STATUS_OK &&
	    row->n + generate->max_new_tokens > model_generation_limit(config))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: line %d: a prompt of %d ids and %" PRId64
				   " new tokens do not fit into the model's %d %s",
				   job->input.path, line, row->n, generate->max_new_tokens,
				   model_generation_limit(config), model_limit_name(config));
	if (status == STATUS_OK &&
	    row->n + generate->max_new_tokens - 1 > generator_positions(generate->generator))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: line %d: a prompt of %d ids and %" PRId64
				   " new tokens do not fit into a cache of %d positions; "
				   "--kv-cache-mb raises it",
				   job->input.path, line, row->n, generate->max_new_tokens,
				   generator_positions(generate->generator));
	return status;
}

static void sample_rows(struct line_job *job, const struct row *rows, size_t first, size_t n,
			struct buf *out)
{
	struct generate *generate = job->command->context;
	size_t samples = (size_t)generate->samples, total = n * samples;
	struct request *requests = xcalloc(total, sizeof *requests);
	struct generate_options options = {.max_new_tokens = (int)generate->max_new_tokens,
					   .min_new_tokens = (int)generate->min_new_tokens,
					   .sampling = generate->sampling,
					   .seed = (uint64_t)generate->seed,
					   .n_allowed = job->model->config.n_vocab,
					   .stop = &generate->stop};

	if (job->tokenizer && tokenizer_size(job->tokenizer) < options.n_allowed)
		options.n_allowed = tokenizer_size(job->tokenizer);
	for (size_t i = 0; i < total; i++)
		requests[i] = (struct request){.prompt = rows[i / samples].ids,
					       .n_prompt = rows[i / samples].n,
					       .row = (uint32_t)(first + i / samples),
					       .sample = (uint32_t)(i % samples)};
	generator_run(generate->generator, requests, (int)total, &options, NULL, NULL);
	for (size_t i = 0; i < total; i++) {
		print_line(job, &rows[i / samples], &requests[i], out);
		request_release(&requests[i]);
	}
	free(requests);
}

static enum status work(struct line_job *job, size_t first, size_t n, struct buf *out,
			struct error *err)
{
	struct row *rows = xcalloc(n, sizeof *rows);
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = read_prompt(job, first + i, &rows[i], err);
	if (status == STATUS_OK)
		sample_rows(job, rows, first, n, out);
	for (size_t i = 0; i < n; i++)
		row_release(&rows[i]);
	free(rows);
	return status;
}

/* --- the command --- */

static enum status check(void *context, struct error *err)
{
	struct generate *generate = context;

	generate->sampling.top_k = (int)generate->top_k;
	if (generate->min_new_tokens <= generate->max_new_tokens)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "--min-new-tokens is %" PRId64 ", more than --max-new-tokens, %" PRId64,
			 generate->min_new_tokens, generate->max_new_tokens);
}

static enum status prepare(struct line_job *job, struct error *err)
{
	struct generate *generate = job->command->context;
	size_t bytes = generator_cache_bytes(generate->kv_cache_mb, comm_local_ranks());

	generate->generator = generator_create(job->model, MAX_SLOTS, bytes, job->pool);
	if (stop_ids_read(&generate->stop, job->model_dir, &job->model->config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (job->chat)
		stop_ids_add(&generate->stop, chat_end_id(job->chat), &job->model->config);
	return STATUS_OK;
}

static void release(struct line_job *job)
{
	struct generate *generate = job->command->context;

	generator_destroy(generate->generator);
}

int generate_main(int argc, char **argv)
{
	struct generate generate = {
		.max_new_tokens = 64,
		.samples = 1,
		.seed = 1,
		.sampling = {.temperature = 1, .top_p = 1}};
	const struct option options[] = {
		{.name = "--prompt",
		 .type = OPTION_STRING,
		 .target = &generate.prompt,
		 .help = "one prompt instead of a file"},
		{.name = "--max-new-tokens",
		 .type = OPTION_INT,
		 .target = &generate.max_new_tokens,
		 .min = 1,
		 .max = 1 << 20,
		 .help = "tokens of a completion at most (64)"},
		{.name = "--min-new-tokens",
		 .type = OPTION_INT,
		 .target = &generate.min_new_tokens,
		 .min = 0,
		 .max = 1 << 20,
		 .help = "no end token before so many (0)"},
		{.name = "--temperature",
		 .type = OPTION_DOUBLE,
		 .target = &generate.sampling.temperature,
		 .min = 0,
		 .max = 1e6,
		 .help = "divides the logits (1); 0: the likeliest token"},
		{.name = "--top-k",
		 .type = OPTION_INT,
		 .target = &generate.top_k,
		 .min = 0,
		 .max = 1 << 30,
		 .help = "the k likeliest tokens and their equals (0: all, whatever "
			 "generation_config.json says)"},
		{.name = "--top-p",
		 .type = OPTION_DOUBLE,
		 .target = &generate.sampling.top_p,
		 .min = 1e-9,
		 .max = 1,
		 .help = "of these the likeliest, until their probability reaches p (1)"},
		{.name = "--min-p",
		 .type = OPTION_DOUBLE,
		 .target = &generate.sampling.min_p,
		 .min = 0,
		 .max = 1,
		 .help = "none less likely than p times the likeliest (0)"},
		{.name = "--samples",
		 .type = OPTION_INT,
		 .target = &generate.samples,
		 .min = 1,
		 .max = 1 << 20,
		 .help = "completions of each prompt (1)"},
		{.name = "--seed",
		 .type = OPTION_INT,
		 .target = &generate.seed,
		 .min = 0,
		 .max = 1e15,
		 .help = "of the random numbers (1)"},
		{.name = "--kv-cache-mb",
		 .type = OPTION_INT,
		 .target = &generate.kv_cache_mb,
		 .min = 0,
		 .max = 1e9,
		 .help = "most memory for keys and values, MiB; 0: a quarter of the node's, "
			 "shared among its ranks"},
	};
	const struct line_command command = {
		.usage = "rlhf generate --model DIR (--input FILE | --prompt TEXT)",
		.example = "rlhf generate --model DIR --prompt 'Once upon a time' --samples 3",
		.head = HEAD_LM,
		.input_help = "JSONL file of prompts, - for standard input",
		.options = options,
		.n_options = sizeof options / sizeof *options,
		.prompt = &generate.prompt,
		.context = &generate,
		.check = check,
		.prepare = prepare,
		.work = work,
		.release = release};
	return line_command_main(&command, argc, argv);
}

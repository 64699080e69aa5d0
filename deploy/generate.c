/* rlhf generate: an actor alone.  Prompts in, completions out, one line of JSON for
 * each sample; or the text of one prompt's completions, shown while they are made.  A
 * completion is a function of (model, prompt, seed, line, sample): blocks, ranks and
 * threads change nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor/generator.h"
#include "actor/watch.h"
#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/json.h"
#include "common/base/launcher.h"
#include "common/text/tokenizer.h"
#include "common/text/unicode.h"
#include "deploy/commands.h"
#include "deploy/line_command.h"
#include "deploy/output.h"
#include "proto/rollout.h"

enum { MAX_SLOTS = 64, MAX_USER_STOP_IDS = 32, MAX_OPTIONS = 16 };
#define MIN_TEMPERATURE 1e-6
#define MAX_SEED 0x1.fffffffffffffp52 /* 2^53 - 1, as of run.seed */

struct generate {
	const char *prompt; /* of the command line, or NULL */
	int64_t max_new_tokens, min_new_tokens, samples, seed, kv_cache_mb;
	int64_t top_k;
	struct sampling sampling;
	struct option_list stop_list, stop_id_list;
	struct stop_ids user_stop, stop; /* those of --stop-id; all of them */
	struct stop_strings stop_strings;
	bool is_shown; /* as text, while it is made */
	struct generator *generator;
	int64_t n_tokens; /* generated so far */
	double seconds;	  /* it took */
};

/* --- output --- */

static void append_text(const char *key, const struct buf *text, struct buf *out)
{
	buf_printf(out, "\"%s\":", key);
	json_write_string(out, text->data ? text->data : "", text->length);
	buf_append_char(out, ',');
}

static void append_texts(const struct line_job *job, const struct row *row,
			 const struct request *request, struct buf *out)
{
	struct buf prompt = BUF_INIT, completion = BUF_INIT;

	tokenizer_decode(job->tokenizer, row->ids, (size_t)row->n, true, &prompt);
	watch_text(request->context, job->tokenizer, request, &completion);
	append_text("prompt", &prompt, out);
	append_text("completion", &completion, out);
	buf_release(&prompt);
	buf_release(&completion);
}

/* The stop string or the id of --stop-id that ended a completion, null for what the
 * model itself ends with; only where the user gave some. */
static void append_stop_reason(const struct generate *generate, const struct request *request,
			       struct buf *out)
{
	const struct watch *watch = request->context;
	int32_t last = request->completion[request->n_completion - 1];

	if (generate->stop_list.n == 0 && generate->stop_id_list.n == 0)
		return;
	buf_append_string(out, ",\"stop_reason\":");
	if (watch && watch->match.item >= 0) {
		const char *string = generate->stop_strings.items[watch->match.item];
		json_write_string(out, string, strlen(string));
		return;
	}
	for (int i = 0; i < generate->user_stop.n; i++)
		if (generate->user_stop.ids[i] == last) {
			buf_printf(out, "%" PRId32, last);
			return;
		}
	buf_append_string(out, "null");
}

static void print_line(const struct line_job *job, const struct row *row,
		       const struct request *request, struct buf *out)
{
	buf_append_char(out, '{');
	if (job->tokenizer)
		append_texts(job, row, request, out);
	buf_append_string(out, "\"prompt_ids\":");
	json_write_ids(out, row->ids, (size_t)row->n);
	buf_append_string(out, ",\"completion_ids\":");
	json_write_ids(out, request->completion, (size_t)request->n_completion);
	buf_append_string(out, ",\"logprobs\":");
	json_write_floats(out, request->logprob, (size_t)request->n_completion);
	buf_printf(out, ",\"finish_reason\":\"%s\"",
		   request->finish == FINISH_STOP ? "stop" : "length");
	append_stop_reason(job->command->context, request, out);
	buf_append_string(out, "}\n");
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

static void run_requests(struct line_job *job, struct request *requests, size_t n)
{
	struct generate *generate = job->command->context;
	bool is_watched = generate->is_shown || generate->stop_strings.n > 0;
	struct generate_options options = {.max_new_tokens = (int)generate->max_new_tokens,
					   .min_new_tokens = (int)generate->min_new_tokens,
					   .sampling = generate->sampling,
					   .seed = (uint64_t)generate->seed,
					   .n_allowed = job->model->config.n_vocab,
					   .stop = &generate->stop,
					   .token = is_watched ? watch_token : NULL};
	double began = clock_now();

	if (job->tokenizer && tokenizer_size(job->tokenizer) < options.n_allowed)
		options.n_allowed = tokenizer_size(job->tokenizer);
	generator_run(generate->generator, requests, (int)n, &options, NULL, NULL);
	generate->seconds += clock_now() - began;
	for (size_t i = 0; i < n; i++)
		generate->n_tokens += requests[i].n_completion;
}

static enum status check_finite(const struct line_job *job, const struct request *request,
				struct error *err)
{
	return line_check_finite(job, request->row, request->logprob, (size_t)request->n_completion,
				 "log-probabilities", err);
}

static enum status print_requests(const struct line_job *job, const struct row *rows,
				  const struct request *requests, size_t n, struct buf *out,
				  struct error *err)
{
	const struct generate *generate = job->command->context;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		status = check_finite(job, &requests[i], err);
		print_line(job, &rows[i / (size_t)generate->samples], &requests[i], out);
	}
	return status;
}

/* Ends what was shown of a completion.  What could not be is told here, with the reason, which the
 * program's end would not know. */
static enum status end_shown(struct error *err)
{
	printf("\n");
	return output_flush(err);
}

/* One after another, each shown while it is made. */
static enum status show_requests(struct line_job *job, struct request *requests, size_t n,
				 struct error *err)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		if (n > 1)
			printf("--- %zu of %zu\n", i + 1, n);
		run_requests(job, &requests[i], 1);
		watch_end(requests[i].context);
		status = end_shown(err);
		if (status == STATUS_OK)
			status = check_finite(job, &requests[i], err);
	}
	return status;
}

static enum status sample_rows(struct line_job *job, const struct row *rows, size_t first, size_t n,
			       struct buf *out, struct error *err)
{
	struct generate *generate = job->command->context;
	size_t samples = (size_t)generate->samples, total = n * samples;
	struct request *requests = xcalloc(total, sizeof *requests);
	struct watch *watches = xcalloc(total, sizeof *watches);
	struct watch_options watching = {.tokenizer = job->tokenizer,
					 .stop = &generate->stop_strings,
					 .min_new_tokens = (int)generate->min_new_tokens,
					 .is_shown = generate->is_shown};
	bool is_watched = generate->is_shown || generate->stop_strings.n > 0;
	enum status status;

	for (size_t i = 0; i < total; i++) {
		requests[i] = (struct request){.prompt = rows[i / samples].ids,
					       .n_prompt = rows[i / samples].n,
					       .row = (uint32_t)(first + i / samples),
					       .sample = (uint32_t)(i % samples)};
		if (is_watched)
			watch_begin(&watches[i], &watching, &requests[i]);
	}
	if (generate->is_shown) {
		status = show_requests(job, requests, total, err);
	} else {
		run_requests(job, requests, total);
		status = print_requests(job, rows, requests, total, out, err);
	}
	for (size_t i = 0; i < total; i++) {
		request_release(&requests[i]);
		watch_release(&watches[i]);
	}
	free(requests);
	free(watches);
	return status;
}

static enum status work(struct line_job *job, size_t first, size_t n, struct buf *out,
			struct error *err)
{
	struct row *rows = xcalloc(n, sizeof *rows);
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = read_prompt(job, first + i, &rows[i], err);
	if (status == STATUS_OK)
		status = sample_rows(job, rows, first, n, out, err);
	for (size_t i = 0; i < n; i++)
		row_release(&rows[i]);
	free(rows);
	return status;
}

/* --- the command --- */

static enum status check_stop_strings(struct generate *generate, struct error *err)
{
	for (int i = 0; i < generate->stop_list.n; i++) {
		const char *text = generate->stop_list.items[i];

		if (!*text || !utf8_is_valid(text, strlen(text)))
			return error_set(err, STATUS_BAD_INPUT,
					 "--stop is %s, expected a text that ends a completion",
					 *text ? "not UTF-8" : "empty");
	}
	generate->stop_strings = (struct stop_strings){.items = generate->stop_list.items,
						       .n = generate->stop_list.n};
	if (generate->stop_id_list.n <= MAX_USER_STOP_IDS)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT, "--stop-id is given %d times, expected at most %d",
			 generate->stop_id_list.n, MAX_USER_STOP_IDS);
}

static enum status check(void *context, struct error *err)
{
	struct generate *generate = context;

	generate->sampling.top_k = (int)generate->top_k;
	if (generate->is_shown && !generate->prompt)
		return error_set(err, STATUS_BAD_INPUT, "--stream needs --prompt");
	if (generate->min_new_tokens > generate->max_new_tokens)
		return error_set(err, STATUS_BAD_INPUT,
				 "--min-new-tokens is %" PRId64
				 ", more than --max-new-tokens, %" PRId64,
				 generate->min_new_tokens, generate->max_new_tokens);
	return check_stop_strings(generate, err);
}

static enum status read_stop_ids(struct generate *generate, const struct model_config *config,
				 struct error *err)
{
	for (int i = 0; i < generate->stop_id_list.n; i++) {
		const char *text = generate->stop_id_list.items[i];
		char *end;
		long id;

		errno = 0;
		id = strtol(text, &end, 10);
		if (end == text || *end || errno != 0 || id < 0 || id >= config->n_vocab)
			return error_set(err, STATUS_BAD_INPUT,
					 "--stop-id is \"%s\", expected an id below %d", text,
					 config->n_vocab);
		stop_ids_add(&generate->user_stop, (int32_t)id, config);
		stop_ids_add(&generate->stop, (int32_t)id, config);
	}
	return STATUS_OK;
}

static enum status prepare(struct line_job *job, struct error *err)
{
	struct generate *generate = job->command->context;
	const struct model_config *config = &job->model->config;
	size_t bytes = generator_cache_bytes(generate->kv_cache_mb, job->node_ranks);
	double temperature = generate->sampling.temperature;

	if (temperature > 0 && temperature < MIN_TEMPERATURE)
		return error_set(err, STATUS_BAD_INPUT,
				 "--temperature is %g, expected 0 or a number from %g to 1e+06",
				 temperature, MIN_TEMPERATURE);
	if (!model_is_packed(job->model)) /* an adapter has been loaded */
		model_pack(job->model, WEIGHTS_F32, job->pool);
	generate->generator = generator_create(job->model, MAX_SLOTS, bytes, job->pool);
	if (stop_ids_read(&generate->stop, job->model_dir, config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (job->chat)
		stop_ids_add(&generate->stop, chat_end_id(job->chat), config);
	if (!job->tokenizer && generate->stop_strings.n > 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: --stop is text, but there is no tokenizer", job->model_dir);
	if (generate->is_shown && job->output_path)
		return error_set(err, STATUS_BAD_INPUT,
				 "--stream prints to standard output, it cannot be for --output");
	/* What a launcher gives its ranks may look like a terminal. */
	if (generate->prompt && !job->output_path && !launcher_rank() && isatty(STDOUT_FILENO))
		generate->is_shown = true;
	generate->is_shown = generate->is_shown && job->tokenizer;
	return read_stop_ids(generate, config, err);
}

static void release(struct line_job *job)
{
	struct generate *generate = job->command->context;

	if (generate->n_tokens > 0 && comm_size(job->world) == 1 && isatty(STDERR_FILENO))
		fprintf(stderr, "%" PRId64 " tokens in %.2f s, %.1f a second\n",
			generate->n_tokens, generate->seconds,
			(double)generate->n_tokens / generate->seconds);
	generator_destroy(generate->generator);
}

/* Options, by what they are about: each function puts its own there and returns their number. */

static size_t prompt_options(struct generate *generate, struct option *options)
{
	const struct option own[] = {
		{.name = "--prompt",
		 .type = OPTION_TEXT,
		 .target = &generate->prompt,
		 .help = "one prompt instead of a file; with --chat what the user says, and "
			 "the model answers"},
		{.name = "--max-new-tokens",
		 .type = OPTION_INT,
		 .target = &generate->max_new_tokens,
		 .min = 1,
		 .max = 1 << 20,
		 .help = "tokens of a completion at most (64)"},
		{.name = "--min-new-tokens",
		 .type = OPTION_INT,
		 .target = &generate->min_new_tokens,
		 .min = 0,
		 .max = 1 << 20,
		 .help = "no end token before so many (0)"},
	};

	memcpy(options, own, sizeof own);
	return sizeof own / sizeof *own;
}

static size_t sampling_options(struct generate *generate, struct option *options)
{
	const struct option own[] = {
		{.name = "--temperature",
		 .type = OPTION_DOUBLE,
		 .target = &generate->sampling.temperature,
		 .min = 0,
		 .max = 1e6,
		 .help = "divides the logits (1); 0: the likeliest token"},
		{.name = "--top-k",
		 .type = OPTION_INT,
		 .target = &generate->top_k,
		 .min = 0,
		 .max = 1 << 30,
		 .help = "the k likeliest tokens and their equals (0: all, whatever "
			 "generation_config.json says)"},
		{.name = "--top-p",
		 .type = OPTION_DOUBLE,
		 .target = &generate->sampling.top_p,
		 .min = 1e-9,
		 .max = 1,
		 .help = "of these the likeliest, until their probability reaches p (1)"},
		{.name = "--min-p",
		 .type = OPTION_DOUBLE,
		 .target = &generate->sampling.min_p,
		 .min = 0,
		 .max = 1,
		 .help = "none less likely than p times the likeliest (0)"},
	};

	memcpy(options, own, sizeof own);
	return sizeof own / sizeof *own;
}

static size_t stop_options(struct generate *generate, struct option *options)
{
	const struct option own[] = {
		{.name = "--stop",
		 .type = OPTION_LIST,
		 .target = &generate->stop_list,
		 .value = "TEXT",
		 .help = "ends a completion, whose text is cut in front of it; its ids are "
			 "kept up to the one that completed it"},
		{.name = "--stop-id",
		 .type = OPTION_LIST,
		 .target = &generate->stop_id_list,
		 .value = "N",
		 .help = "ends a completion, as the model's own end ids do"},
	};

	memcpy(options, own, sizeof own);
	return sizeof own / sizeof *own;
}

static size_t run_options(struct generate *generate, struct option *options)
{
	const struct option own[] = {
		{.name = "--stream",
		 .type = OPTION_FLAG,
		 .target = &generate->is_shown,
		 .help = "print the text of --prompt's completions while they are made, and no "
			 "JSON; on a terminal this is so by itself"},
		{.name = "--samples",
		 .type = OPTION_INT,
		 .target = &generate->samples,
		 .min = 1,
		 .max = 1 << 20,
		 .help = "completions of each prompt (1)"},
		{.name = "--seed",
		 .type = OPTION_INT,
		 .target = &generate->seed,
		 .min = 0,
		 .max = MAX_SEED,
		 .help = "of the random numbers (1)"},
		{.name = "--kv-cache-mb",
		 .type = OPTION_INT,
		 .target = &generate->kv_cache_mb,
		 .min = 0,
		 .max = 1e9,
		 .help = "most memory for keys and values, MiB; 0, the default: a quarter of the "
			 "node's, shared among its ranks"},
	};

	memcpy(options, own, sizeof own);
	return sizeof own / sizeof *own;
}

/* options [MAX_OPTIONS], in the order of the help. */
static size_t list_options(struct generate *generate, struct option *options)
{
	size_t n = prompt_options(generate, options);

	n += sampling_options(generate, options + n);
	n += stop_options(generate, options + n);
	return n + run_options(generate, options + n);
}

int generate_main(int argc, char **argv)
{
	struct generate generate = {
		.max_new_tokens = 64,
		.samples = 1,
		.seed = 1,
		.sampling = {.temperature = 1, .top_p = 1}};
	struct option options[MAX_OPTIONS];
	const struct line_command command = {
		.usage = "rlhf generate --model DIR (--input FILE | --prompt TEXT)",
		.example = "rlhf generate --model DIR --prompt 'Once upon a time' --samples 3",
		.head = HEAD_LM,
		.input_help = "JSONL file of prompts, - for standard input",
		.options = options,
		.n_options = list_options(&generate, options),
		.prompt = &generate.prompt,
		.samples = &generate.samples,
		.context = &generate,
		.check = check,
		.prepare = prepare,
		.work = work,
		.release = release};
	int code = line_command_main(&command, argc, argv);

	option_list_release(&generate.stop_list);
	option_list_release(&generate.stop_id_list);
	return code;
}

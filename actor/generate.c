/* rlhf generate: an actor alone.  Prompts in, completions out, one line of JSON for
 * each sample.  A completion is a function of (model, prompt, seed, line, sample):
 * blocks, ranks and threads change nothing. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "actor/actor.h"
#include "actor/generator.h"
#include "common/base/die.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/model/hf_checkpoint.h"
#include "common/run/options.h"
#include "common/run/signals.h"
#include "common/text/jsonl.h"
#include "common/text/rows.h"
#include "proto/comm.h"
#include "proto/kernels.h"
#include "proto/lines.h"
#include "proto/rollout.h"

enum { BLOCK_LINES = 64, MAX_SLOTS = 64 };

struct generate_args {
	const char *model, *input, *prompt, *output, *isa;
	int64_t max_new_tokens, min_new_tokens, samples, seed, threads;
	double temperature;
};

struct job {
	const struct generate_args *args;
	struct comm *world;
	struct pool *pool;
	struct model *model;
	struct stop_ids stop;
	struct tokenizer *tokenizer;
	struct jsonl input;
	struct row_context context;
	struct line_output *output;
	struct generator *generator;
	int capacity;
};

/* --- output --- */

static void append_text_field(const struct job *job, const char *key, const struct row *row,
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

static void print_line(const struct job *job, const struct row *row,
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

static enum status read_prompt(struct job *job, size_t i, struct row *row, struct error *err)
{
	const struct model_config *config = &job->model->config;
	struct json *object = jsonl_parse(&job->input, i, err);
	enum status status = STATUS_BAD_INPUT;
	int line = job->input.numbers[i];

	if (object)
		status = row_prompt(row, object, line, &job->context, err);
	json_free(object);
	if (status == STATUS_OK && row->n == 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: line %d: the prompt has no ids, expected at least one",
				   job->input.path, line);
	if (status == STATUS_OK && row->n + job->args->max_new_tokens > config->max_positions)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: line %d: a prompt of %d ids and %" PRId64
				   " new tokens do not fit into the model's %d positions",
				   job->input.path, line, row->n, job->args->max_new_tokens,
				   config->max_positions);
	return status;
}

static void ensure_generator(struct job *job, const struct row *rows, size_t n)
{
	int longest = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].n > longest)
			longest = rows[i].n;
	longest += (int)job->args->max_new_tokens;
	if (job->generator && longest <= job->capacity)
		return;
	generator_destroy(job->generator);
	job->capacity = longest;
	job->generator = generator_create(job->model, longest, MAX_SLOTS, job->pool);
}

static void sample_rows(struct job *job, const struct row *rows, size_t first, size_t n,
			struct buf *out)
{
	const struct generate_args *args = job->args;
	size_t samples = (size_t)args->samples, total = n * samples;
	struct request *requests = xcalloc(total, sizeof *requests);
	struct generate_options options = {.max_new_tokens = (int)args->max_new_tokens,
					   .min_new_tokens = (int)args->min_new_tokens,
					   .temperature = args->temperature,
					   .seed = (uint64_t)args->seed,
					   .n_allowed = job->model->config.n_vocab,
					   .stop = &job->stop};

	if (job->tokenizer && tokenizer_size(job->tokenizer) < options.n_allowed)
		options.n_allowed = tokenizer_size(job->tokenizer);
	for (size_t i = 0; i < total; i++)
		requests[i] = (struct request){.prompt = rows[i / samples].ids,
					       .n_prompt = rows[i / samples].n,
					       .row = (uint32_t)(first + i / samples),
					       .sample = (uint32_t)(i % samples)};
	ensure_generator(job, rows, n);
	generator_run(job->generator, requests, (int)total, &options, NULL, NULL);
	for (size_t i = 0; i < total; i++) {
		print_line(job, &rows[i / samples], &requests[i], out);
		request_release(&requests[i]);
	}
	free(requests);
}

static enum status work_block(void *context, size_t first, size_t n, struct buf *out,
			      struct error *err)
{
	struct job *job = context;
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

static enum status write_block(void *context, const char *bytes, size_t n, struct error *err)
{
	struct job *job = context;
	return line_output_write(job->output, bytes, n, err);
}

/* --- beginning and end --- */

/* The prompt of the command line as a file of one line. */
static void prompt_as_line(const char *prompt, struct buf *out)
{
	buf_append_string(out, "{\"prompt\":");
	json_write_string(out, prompt, strlen(prompt));
	buf_append_string(out, "}\n");
}

static enum status share_input(struct job *job, struct error *err)
{
	const struct generate_args *args = job->args;
	struct buf text = BUF_INIT;
	enum status status = STATUS_OK;

	if (args->prompt) {
		prompt_as_line(args->prompt, &text);
		return jsonl_split(&job->input, "--prompt", &text, err);
	}
	if (comm_is_lead(job->world))
		status = jsonl_read(&job->input, args->input, err);
	status = comm_agree(job->world, status, err);
	if (status != STATUS_OK || comm_size(job->world) == 1)
		return status;
	if (comm_is_lead(job->world)) {
		comm_broadcast_buf(job->world, &job->input.text, 0);
		return STATUS_OK;
	}
	comm_broadcast_buf(job->world, &text, 0);
	return jsonl_split(&job->input, args->input, &text, err);
}

static enum status load_model(struct job *job, struct error *err)
{
	struct hf_load_options options = {.head = HEAD_LM};
	const char *dir = job->args->model;
	enum status status = hf_load(&job->model, dir, &options, job->pool, err);

	if (status == STATUS_OK)
		status = stop_ids_read(&job->stop, dir, &job->model->config, err);
	if (status == STATUS_OK && tokenizer_exists(dir))
		status = tokenizer_load(&job->tokenizer, dir, err);
	if (status == STATUS_OK)
		job->context = (struct row_context){.tokenizer = job->tokenizer,
						    .n_vocab = job->model->config.n_vocab,
						    .where = job->input.path};
	return comm_agree(job->world, status, err);
}

static enum status run_job(struct job *job, struct error *err)
{
	const struct generate_args *args = job->args;
	int threads = (int)args->threads;
	enum isa isa;
	enum status status = kernels_agree(job->world, args->isa, &isa, err);

	if (status != STATUS_OK)
		return status;
	isa_select(isa);
	if (threads == 0)
		threads = pool_cores() / comm_local_ranks();
	job->pool = pool_create(threads > 0 ? threads : 1);
	status = share_input(job, err);
	if (status == STATUS_OK)
		status = load_model(job, err);
	if (status == STATUS_OK && comm_is_lead(job->world))
		status = line_output_open(&job->output, args->output, err);
	status = comm_agree(job->world, status, err);
	if (status == STATUS_OK)
		status = lines_run(job->world, job->input.n, BLOCK_LINES, work_block, write_block,
				   job, err);
	if (job->output) {
		enum status closed = line_output_close(job->output, status == STATUS_OK, err);
		status = status == STATUS_OK ? closed : status;
	}
	return comm_agree(job->world, status, err);
}

static void job_release(struct job *job)
{
	generator_destroy(job->generator);
	model_destroy(job->model);
	tokenizer_destroy(job->tokenizer);
	jsonl_release(&job->input);
	pool_destroy(job->pool);
}

static enum status parse_args(struct generate_args *args, int argc, char **argv, bool *help,
			      struct error *err)
{
	const struct option options[] = {
		{.name = "--model", .type = OPTION_STRING, .target = &args->model, .required = true,
		 .help = "checkpoint directory"},
		{.name = "--input", .type = OPTION_STRING, .target = &args->input,
		 .help = "JSONL file of prompts, - for standard input"},
		{.name = "--prompt", .type = OPTION_STRING, .target = &args->prompt,
		 .help = "one prompt instead of a file"},
		{.name = "--output", .type = OPTION_STRING, .target = &args->output,
		 .help = "file to write; standard output if not given"},
		{.name = "--max-new-tokens", .type = OPTION_INT, .target = &args->max_new_tokens,
		 .min = 1, .max = 1 << 20, .help = "tokens of a completion at most (64)"},
		{.name = "--min-new-tokens", .type = OPTION_INT, .target = &args->min_new_tokens,
		 .min = 0, .max = 1 << 20, .help = "no end token before so many (0)"},
		{.name = "--temperature", .type = OPTION_DOUBLE, .target = &args->temperature,
		 .min = 0, .max = 1e6, .help = "divides the logits (1); 0: the likeliest token"},
		{.name = "--samples", .type = OPTION_INT, .target = &args->samples, .min = 1,
		 .max = 1 << 20, .help = "completions of each prompt (1)"},
		{.name = "--seed", .type = OPTION_INT, .target = &args->seed, .min = 0,
		 .max = 1e15, .help = "of the random numbers (1)"},
		{.name = "--threads", .type = OPTION_INT, .target = &args->threads, .min = 0,
		 .max = 1024,
		 .help = "threads of each rank; 0: the cores divided by the ranks"},
		{.name = "--isa", .type = OPTION_STRING, .target = &args->isa,
		 .help = "kernels: auto, portable, avx2, avx512"},
	};
	enum status status =
		options_parse(options, sizeof options / sizeof *options, argc, argv,
			      "rlhf generate --model DIR (--input FILE | --prompt TEXT)",
			      "rlhf generate --model DIR --prompt 'Once upon a time' --samples 3",
			      help, err);

	if (status == STATUS_OK && !*help && !args->input == !args->prompt)
		status = error_set(err, STATUS_BAD_INPUT,
				   "generate needs either --input FILE or --prompt TEXT");
	if (status == STATUS_OK && args->min_new_tokens > args->max_new_tokens)
		status = error_set(err, STATUS_BAD_INPUT,
				   "--min-new-tokens is %" PRId64
				   ", more than --max-new-tokens, %" PRId64,
				   args->min_new_tokens, args->max_new_tokens);
	return status;
}

int generate_main(int argc, char **argv)
{
	struct generate_args args = {
		.isa = "auto", .max_new_tokens = 64, .samples = 1, .seed = 1, .temperature = 1};
	struct job job = {.args = &args};
	struct error err;
	bool help = false;
	enum status status = parse_args(&args, argc, argv, &help, &err);

	if (status != STATUS_OK)
		return comm_refuse(status, &err);
	if (help)
		return status;
	job.world = comm_init();
	log_init(LOG_INFO, comm_is_lead(job.world));
	signals_install();
	status = run_job(&job, &err);
	if (status != STATUS_OK && comm_is_lead(job.world))
		log_error("%s", err.text);
	job_release(&job);
	comm_finalize();
	return status;
}

/* Models over lines of JSON; see line_command.h.
 *
 * The lead rank reads the input and gives it to all; each rank works on its blocks
 * of lines, and the lead writes the results in order.  A line's result does not
 * depend on its block, so the output has the same bytes for any number of ranks
 * and threads. */
#include "deploy/line_command.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/gzip.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/model/hf_adapter.h"
#include "common/ops/elementwise.h"
#include "common/run/signals.h"
#include "common/text/unicode.h"
#include "learner/agreement.h"
#include "proto/kernels.h"
#include "proto/lines.h"

/* Of the common options, those that a tokenizer alone has too come first. */
enum { N_TEXT_OPTIONS = 4, N_COMMON_OPTIONS = 8 };
/* The most of a block, which is written when all of it is done. */
enum { BLOCK_LINES = 64, BLOCK_RESULTS = 1024 };

struct line_args {
	const char *model, *adapter, *input, *output, *isa, *weights;
	const char *chat; /* NULL: auto, and a prompt of the command line is no message */
	int64_t threads;
};

static enum status work_block(void *context, size_t first, size_t n, struct buf *out,
			      struct error *err)
{
	struct line_job *job = context;
	return job->command->work(job, first, n, out, err);
}

static enum status write_block(void *context, const char *bytes, size_t n, struct error *err)
{
	struct line_job *job = context;
	return line_output_write(job->output, bytes, n, err);
}

enum status line_check_finite(const struct line_job *job, size_t line, const float *values,
			      size_t n, const char *what, struct error *err)
{
	if (first_non_finite(values, n, NULL) == n)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT, "%s: line %d: %s gives %s that are not finite",
			 job->input.path, job->input.numbers[line], job->model_dir, what);
}

/* The prompt of the command line as a file of one line: its text, or a conversation that
 * begins with it. */
static enum status prompt_as_input(struct line_job *job, const char *prompt, bool is_message,
				   struct error *err)
{
	struct buf text = BUF_INIT;

	if (!utf8_is_valid(prompt, strlen(prompt)))
		return error_set(err, STATUS_BAD_INPUT, "--prompt is not UTF-8");
	buf_append_string(&text, is_message ? "{\"messages\":[{\"role\":\"user\",\"content\":"
					    : "{\"prompt\":");
	json_write_string(&text, prompt, strlen(prompt));
	buf_append_string(&text, is_message ? "}]}\n" : "}\n");
	return jsonl_split(&job->input, "--prompt", &text, err);
}

static enum status read_pipe(struct line_job *job, const char *path, struct error *err)
{
	struct buf text = BUF_INIT;
	enum status status = file_read_pipe(path, SIZE_MAX / 4, &text, err);

	if (status == STATUS_OK)
		status = gzip_expand(&text, path, err);
	if (status == STATUS_OK)
		return jsonl_split(&job->input, path, &text, err);
	buf_release(&text);
	return status;
}

/* Every rank gets the lines that the lead has read. */
static enum status share_input(struct line_job *job, const struct line_args *args,
			       struct error *err)
{
	const char *const *prompt = job->command->prompt;
	const char *path = args->input;
	struct buf text = BUF_INIT;
	enum status status = STATUS_OK;

	if (prompt && *prompt)
		return prompt_as_input(job, *prompt, args->chat != NULL, err);
	if (comm_is_lead(job->world))
		status = file_is_pipe(path) ? read_pipe(job, path, err)
					    : jsonl_read(&job->input, path, err);
	status = comm_agree(job->world, status, err);
	if (status != STATUS_OK || comm_size(job->world) == 1)
		return status;
	if (comm_is_lead(job->world)) {
		comm_broadcast_buf(job->world, &job->input.text, 0);
		return STATUS_OK;
	}
	comm_broadcast_buf(job->world, &text, 0);
	return jsonl_split(&job->input, path, &text, err);
}

static enum status load_text(struct line_job *job, const char *chat, struct error *err)
{
	int n_vocab = job->model ? job->model->config.n_vocab : 0;
	enum status status = STATUS_OK;

	if (job->command->tokenizer_alone || tokenizer_exists(job->model_dir))
		status = tokenizer_load(&job->tokenizer, job->model_dir, err);
	if (status == STATUS_OK && job->tokenizer)
		status = chat_load(&job->chat, chat ? chat : "auto", job->model_dir, job->tokenizer,
				   err);
	if (status == STATUS_OK && !job->model)
		n_vocab = tokenizer_size(job->tokenizer);
	job->rows = (struct row_context){.tokenizer = job->tokenizer,
					 .n_vocab = n_vocab,
					 .where = job->input.path,
					 .chat = job->chat,
					 .bos_id = -1};
	return status;
}

/* The ranks of a node share a model, but not what an adapter makes of it. */
static enum status load_model(struct line_job *job, struct error *err)
{
	struct hf_load_options options = {.head = job->command->head};
	enum status status =
		job->adapter_dir
			? hf_load_adapted(&job->frozen.model, job->model_dir, job->adapter_dir,
					  &options, job->pool, err)
			: frozen_model_load(&job->frozen, job->world, job->model_dir, options.head,
					    job->weights, job->pool, err);

	job->model = job->frozen.model;
	return status;
}

/* Loading has compared a model without adapter, and the files beside it. */
static enum status compare_files(const struct line_job *job, struct error *err)
{
	enum status status = STATUS_OK;

	if (job->frozen.memory)
		return STATUS_OK;
	if (job->adapter_dir)
		status = agreement_check(job->world, "adapter", job->adapter_dir, NULL, job->pool,
					 err);
	if (status == STATUS_OK)
		status = agreement_check(job->world, "model", job->model_dir, job->model, job->pool,
					 err);
	return status;
}

static enum status load(struct line_job *job, const char *chat, struct error *err)
{
	enum status status = STATUS_OK;

	if (!job->command->tokenizer_alone)
		status = load_model(job, err);
	if (status == STATUS_OK)
		status = load_text(job, chat, err);
	if (status == STATUS_OK && job->command->prepare)
		status = job->command->prepare(job, err);
	return status;
}

/* Kernels and threads, for a model. */
static enum status start_computing(struct line_job *job, const struct line_args *args,
				   struct error *err)
{
	int threads = (int)args->threads;
	enum isa isa;
	enum status status = kernels_agree(job->world, args->isa, &isa, err);

	if (status != STATUS_OK)
		return status;
	isa_select(isa);
	job->node_ranks = comm_local_ranks();
	if (threads == 0)
		threads = pool_cores() / job->node_ranks;
	job->pool = pool_create(threads > 0 ? threads : 1);
	return STATUS_OK;
}

/* Lines of a block: as many as may be, but so that each rank gets as many as the others. */
static size_t block_lines(const struct line_job *job)
{
	size_t samples = job->command->samples ? (size_t)*job->command->samples : 1;
	size_t most = samples >= BLOCK_RESULTS ? 1 : BLOCK_RESULTS / samples;
	size_t ranks = (size_t)comm_size(job->world), n = job->input.n, rounds;

	most = most < BLOCK_LINES ? most : BLOCK_LINES;
	rounds = (n + most * ranks - 1) / (most * ranks);
	return n > 0 ? (n + rounds * ranks - 1) / (rounds * ranks) : 1;
}

static enum status run_job(struct line_job *job, const struct line_args *args, struct error *err)
{
	enum status status = STATUS_OK;

	if (!job->command->tokenizer_alone)
		status = start_computing(job, args, err);
	comm_set_phase("loading");
	if (status == STATUS_OK)
		status = share_input(job, args, err);
	if (status == STATUS_OK)
		status = comm_agree(job->world, load(job, args->chat, err), err);
	if (status == STATUS_OK)
		status = compare_files(job, err);
	if (status == STATUS_OK && comm_is_lead(job->world))
		status = line_output_open(&job->output, args->output, err);
	status = comm_agree(job->world, status, err);
	comm_set_phase("working");
	if (status == STATUS_OK)
		status = lines_run(job->world, job->input.n, block_lines(job), work_block,
				   write_block, job, err);
	if (job->output) {
		enum status closed = line_output_close(job->output, status == STATUS_OK, err);
		status = status == STATUS_OK ? closed : status;
	}
	return comm_agree(job->world, status, err);
}

static void job_release(struct line_job *job)
{
	if (job->command->release)
		job->command->release(job);
	frozen_model_release(&job->frozen);
	chat_destroy(job->chat);
	tokenizer_destroy(job->tokenizer);
	jsonl_release(&job->input);
	pool_destroy(job->pool);
}

static enum status check_weights(const struct line_args *args, struct error *err)
{
	enum weight_type type;

	if (!weight_type_parse(args->weights, &type))
		return error_set(err, STATUS_BAD_INPUT, "--weights is \"%s\", expected f32 or bf16",
				 args->weights);
	if (type == WEIGHTS_BF16 && args->adapter)
		return error_set(err, STATUS_BAD_INPUT,
				 "--weights bf16 is for models without --adapter; rlhf merge makes "
				 "one of both");
	return STATUS_OK;
}

/* The common options, then the command's own. */
static enum status parse_args(const struct line_command *command, struct line_args *args, int argc,
			      char **argv, bool *help, struct error *err)
{
	const struct option common[N_COMMON_OPTIONS] = {
		{.name = "--model",
		 .type = OPTION_STRING,
		 .target = &args->model,
		 .required = true,
		 .help = "checkpoint directory"},
		{.name = "--input",
		 .type = OPTION_STRING,
		 .target = &args->input,
		 .required = !command->prompt,
		 .help = command->input_help},
		{.name = "--output",
		 .type = OPTION_STRING,
		 .target = &args->output,
		 .help = "file to write; standard output if not given"},
		{.name = "--chat",
		 .type = OPTION_STRING,
		 .target = &args->chat,
		 .help = "chat format of messages: auto (what the checkpoint's template is), or "
			 "chatml, llama-3, zephyr, ... (README)"},
		{.name = "--adapter",
		 .type = OPTION_STRING,
		 .target = &args->adapter,
		 .help = "directory of a LoRA adapter for it"},
		{.name = "--threads",
		 .type = OPTION_INT,
		 .target = &args->threads,
		 .min = 0,
		 .max = 1024,
		 .help = "threads of each rank; 0: the cores divided by the ranks"},
		{.name = "--isa",
		 .type = OPTION_STRING,
		 .target = &args->isa,
		 .help = "kernels: auto, portable, avx2, avx512"},
		{.name = "--weights",
		 .type = OPTION_STRING,
		 .target = &args->weights,
		 .help = "f32, or bf16: rounded, in half the memory; the default is f32"},
	};
	size_t n_common = command->tokenizer_alone ? N_TEXT_OPTIONS : N_COMMON_OPTIONS;
	size_t n = n_common + command->n_options;
	struct option *options = xcalloc(n, sizeof *options);
	enum status status;

	memcpy(options, common, n_common * sizeof *common);
	if (command->n_options > 0)
		memcpy(options + n_common, command->options, command->n_options * sizeof *options);
	status = options_parse(options, n, argc, argv, command->usage, command->example, help, err);
	free(options);
	if (status == STATUS_OK && !*help && command->prompt && !args->input == !*command->prompt)
		status = error_set(err, STATUS_BAD_INPUT,
				   "either --input FILE or --prompt TEXT is needed");
	if (status == STATUS_OK && !*help)
		status = check_weights(args, err);
	if (status == STATUS_OK && !*help && command->check)
		status = command->check(command->context, err);
	return status;
}

int line_command_main(const struct line_command *command, int argc, char **argv)
{
	struct line_args args = {.isa = "auto", .weights = "f32"};
	struct line_job job = {.command = command};
	struct error err;
	bool help = false;
	enum status status = parse_args(command, &args, argc, argv, &help, &err);

	if (help)
		return status;
	signals_install_plain();
	status = comm_begin(&job.world, argc, argv, status, &err);
	if (status != STATUS_OK)
		return status;
	job.model_dir = args.model;
	weight_type_parse(args.weights, &job.weights);
	job.adapter_dir = args.adapter;
	job.output_path = args.output;
	log_init(LOG_INFO, comm_is_lead(job.world));
	comm_watch(COMM_SILENCE_SECONDS);
	status = run_job(&job, &args, &err);
	if (status != STATUS_OK && comm_is_lead(job.world))
		log_error("%s", err.text);
	job_release(&job);
	comm_finalize();
	return status;
}

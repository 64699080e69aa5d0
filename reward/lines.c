/* Frozen models over lines of JSON; see lines.h.
 *
 * The lead rank reads the input and gives it to all; each rank works on its blocks
 * of lines, and the lead writes the results in order.  A line's result does not
 * depend on its block, so the output has the same bytes for any number of ranks
 * and threads. */
#include "reward/lines.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/model/hf_checkpoint.h"
#include "common/run/signals.h"
#include "common/text/jsonl.h"
#include "common/text/rows.h"
#include "proto/comm.h"
#include "proto/kernels.h"
#include "proto/lines.h"

enum { BLOCK_LINES = 64 };

struct job {
	const struct line_command *command;
	struct comm *world;
	struct pool *pool;
	struct workspace workspace;
	struct model *model;
	struct tokenizer *tokenizer;
	struct jsonl input;
	struct row_context context;
	struct line_output *output;
	bool warned;
};

static enum status check_length(struct job *job, const struct row *row, int line,
				struct error *err)
{
	const struct model_config *config = &job->model->config;

	if (row->n == 0)
		return error_set(err, STATUS_BAD_INPUT, "%s: line %d: no ids, expected at least one",
				 job->input.path, line);
	if (row->n <= config->max_positions)
		return STATUS_OK;
	if (config->position == POSITION_LEARNED)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: %d ids, the model has %d learned positions",
				 job->input.path, line, row->n, config->max_positions);
	if (!job->warned)
		log_warn("%s: line %d: %d ids are more than the %d positions that the model was "
			 "made for",
			 job->input.path, line, row->n, config->max_positions);
	job->warned = true;
	model_ensure_positions(job->model, row->n);
	return STATUS_OK;
}

static enum status read_row(struct job *job, size_t i, struct row *row, struct error *err)
{
	struct json *object = jsonl_parse(&job->input, i, err);
	enum status status = STATUS_BAD_INPUT;

	if (object)
		status = row_sequence(row, object, job->input.numbers[i], &job->context, err);
	if (status == STATUS_OK)
		status = check_length(job, row, job->input.numbers[i], err);
	json_free(object);
	return status;
}

static enum status work_block(void *context, size_t first, size_t n, struct buf *out,
			      struct error *err)
{
	struct job *job = context;
	struct row *rows = xcalloc(n, sizeof *rows);
	struct frozen_item *items = xcalloc(n, sizeof *items);
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		status = read_row(job, first + i, &rows[i], err);
		items[i] = (struct frozen_item){.ids = rows[i].ids, .n = rows[i].n, .first = 1};
	}
	if (status == STATUS_OK)
		job->command->run(job->command, job->model, items, (int)n, &job->workspace,
				  job->pool, out);
	for (size_t i = 0; i < n; i++)
		row_release(&rows[i]);
	free(rows);
	free(items);
	return status;
}

static enum status write_block(void *context, const char *bytes, size_t n, struct error *err)
{
	struct job *job = context;
	return line_output_write(job->output, bytes, n, err);
}

/* Every rank gets the lines that the lead has read. */
static enum status share_input(struct job *job, const char *path, struct error *err)
{
	enum status status = STATUS_OK;
	struct buf text = BUF_INIT;

	if (comm_is_lead(job->world))
		status = jsonl_read(&job->input, path, err);
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

static enum status load_model(struct job *job, const char *dir, struct error *err)
{
	struct hf_load_options options = {.head = job->command->head};
	enum status status = hf_load(&job->model, dir, &options, job->pool, err);

	if (status == STATUS_OK && tokenizer_exists(dir))
		status = tokenizer_load(&job->tokenizer, dir, err);
	if (status == STATUS_OK)
		job->context = (struct row_context){.tokenizer = job->tokenizer,
						    .n_vocab = job->model->config.n_vocab,
						    .where = job->input.path};
	return comm_agree(job->world, status, err);
}

static enum status run_job(struct job *job, const char *model, const char *input,
			   const char *output, const char *isa_wanted, int threads,
			   struct error *err)
{
	enum isa isa;
	enum status status = kernels_agree(job->world, isa_wanted, &isa, err);

	if (status != STATUS_OK)
		return status;
	isa_select(isa);
	if (threads == 0)
		threads = pool_cores() / comm_local_ranks();
	job->pool = pool_create(threads > 0 ? threads : 1);
	workspace_init(&job->workspace, job->pool);
	status = share_input(job, input, err);
	if (status == STATUS_OK)
		status = load_model(job, model, err);
	if (status == STATUS_OK && comm_is_lead(job->world))
		status = line_output_open(&job->output, output, err);
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
	model_destroy(job->model);
	tokenizer_destroy(job->tokenizer);
	jsonl_release(&job->input);
	if (job->pool)
		workspace_release(&job->workspace);
	pool_destroy(job->pool);
}

int line_command_main(struct line_command *command, int argc, char **argv)
{
	const char *model = NULL, *input = NULL, *output = NULL, *isa = "auto";
	int64_t threads = 0;
	bool help = false;
	struct option options[] = {
		{.name = "--model", .type = OPTION_STRING, .target = &model, .required = true,
		 .help = "checkpoint directory"},
		{.name = "--input", .type = OPTION_STRING, .target = &input, .required = true,
		 .help = "JSONL file, - for standard input: rows with text, prompt and completion, "
			 "or input_ids"},
		{.name = "--output", .type = OPTION_STRING, .target = &output,
		 .help = "file to write; standard output if not given"},
		{.name = "--threads", .type = OPTION_INT, .target = &threads, .min = 0, .max = 1024,
		 .help = "threads of each rank; 0: the cores divided by the ranks"},
		{.name = "--isa", .type = OPTION_STRING, .target = &isa,
		 .help = "kernels: auto, portable, avx2, avx512"},
		{.name = "--temperature", .type = OPTION_DOUBLE, .target = &command->temperature,
		 .min = 1e-6, .max = 1e6, .help = "divides the logits; 1 if not given"},
	};
	size_t n_options = sizeof options / sizeof *options - !command->takes_temperature;
	struct job job = {.command = command};
	struct error err;
	enum status status = options_parse(options, n_options, argc, argv, command->usage,
					   command->example, &help, &err);

	if (status != STATUS_OK)
		return comm_refuse(status, &err);
	if (help)
		return status;
	job.world = comm_init();
	log_init(LOG_INFO, comm_is_lead(job.world));
	signals_install();
	status = run_job(&job, model, input, output, isa, (int)threads, &err);
	if (status != STATUS_OK && comm_is_lead(job.world))
		log_error("%s", err.text);
	job_release(&job);
	comm_finalize();
	return status;
}

/* rlhf logprobs and rlhf score: frozen models over lines of JSON.
 *
 *     logprobs   the log-probability of each token given those before it
 *     score      what a reward model or classifier says of each text */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/model/hf_adapter.h"
#include "common/model/hf_labels.h"
#include "deploy/commands.h"
#include "deploy/line_command.h"
#include "reward/frozen.h"

struct judge {
	double temperature;	     /* of logprobs */
	const char *pooling_option; /* of score */
	enum pooling pooling;
	struct hf_labels labels; /* where there are several */
	struct workspace workspace;
	bool has_workspace;
	bool warned; /* of a line longer than the model was made for */
};

static const char input_help[] = "JSONL file, - for standard input: rows with text, prompt and "
				 "completion, messages, or their ids";

/* --- rows --- */

static enum status check_length(struct line_job *job, const struct row *row, int line,
				struct error *err)
{
	const struct model_config *config = &job->model->config;
	struct judge *judge = job->command->context;
	int limit = model_position_limit(config);

	if (row->n == 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: no ids, expected at least one", job->input.path,
				 line);
	if (row->n <= limit)
		return STATUS_OK;
	if (config->position == POSITION_LEARNED)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: %d ids, the model has %d learned positions",
				 job->input.path, line, row->n, limit);
	if (!judge->warned)
		log_warn("%s: line %d: %d ids are more than the %d positions that the model was "
			 "made for",
			 job->input.path, line, row->n, limit);
	judge->warned = true;
	return STATUS_OK;
}

static enum status read_row(struct line_job *job, size_t i, struct row *row, struct error *err)
{
	struct json *object = jsonl_parse(&job->input, i, err);
	enum status status = STATUS_BAD_INPUT;

	if (object)
		status = row_sequence(row, object, job->input.numbers[i], &job->rows, err);
	if (status == STATUS_OK)
		status = check_length(job, row, job->input.numbers[i], err);
	json_free(object);
	return status;
}

/* Reads the rows of a block and hands them to print. */
static enum status judge_block(struct line_job *job, size_t first, size_t n, struct buf *out,
			       enum status (*print)(struct line_job *, struct frozen_item *, size_t,
						    int, struct buf *, struct error *),
			       struct error *err)
{
	struct row *rows = xcalloc(n, sizeof *rows);
	struct frozen_item *items = xcalloc(n, sizeof *items);
	enum status status = STATUS_OK;

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		status = read_row(job, first + i, &rows[i], err);
		items[i] = (struct frozen_item){.ids = rows[i].ids,
						.n = rows[i].n,
						.n_prompt = rows[i].n_prompt,
						.first = 1};
	}
	if (status == STATUS_OK)
		status = print(job, items, first, (int)n, out, err);
	for (size_t i = 0; i < n; i++)
		row_release(&rows[i]);
	free(rows);
	free(items);
	return status;
}

static enum status prepare(struct line_job *job, struct error *err)
{
	struct judge *judge = job->command->context;

	(void)err;
	workspace_init(&judge->workspace, job->pool);
	judge->has_workspace = true;
	return STATUS_OK;
}

static void release(struct line_job *job)
{
	struct judge *judge = job->command->context;

	if (judge->has_workspace)
		workspace_release(&judge->workspace);
	hf_labels_release(&judge->labels);
}

/* --- logprobs --- */

static enum status print_logprobs(struct line_job *job, struct frozen_item *items, size_t first,
				  int n, struct buf *out, struct error *err)
{
	struct judge *judge = job->command->context;
	enum status status = STATUS_OK;

	for (int i = 0; i < n; i++)
		items[i].logprob = xcalloc((size_t)items[i].n, sizeof(float));
	frozen_logprobs(job->model, items, n, (float)(1 / judge->temperature), NULL, 0,
			&judge->workspace, job->pool);
	for (int i = 0; i < n; i++) {
		if (status == STATUS_OK && items[i].n > 1)
			status =
				line_check_finite(job, first + (size_t)i, items[i].logprob,
						  (size_t)items[i].n - 1, "log-probabilities", err);
		buf_append_string(out, "{\"input_ids\":");
		json_write_ids(out, items[i].ids, (size_t)items[i].n);
		buf_append_string(out, ",\"logprobs\":[null");
		for (int t = 0; t < items[i].n - 1; t++) {
			buf_append_char(out, ',');
			json_write_float(out, items[i].logprob[t]);
		}
		buf_append_string(out, "]}\n");
		free(items[i].logprob);
	}
	return status;
}

static enum status work_logprobs(struct line_job *job, size_t first, size_t n, struct buf *out,
				 struct error *err)
{
	return judge_block(job, first, n, out, print_logprobs, err);
}

int logprobs_main(int argc, char **argv)
{
	struct judge judge = {.temperature = 1};
	const struct option options[] = {
		{.name = "--temperature",
		 .type = OPTION_DOUBLE,
		 .target = &judge.temperature,
		 .min = 1e-6,
		 .max = 1e6,
		 .help = "divides the logits; 1 if not given"},
	};
	const struct line_command command = {
		.usage = "rlhf logprobs --model DIR --input FILE [--output FILE]",
		.example = "echo '{\"text\":\"Once upon a time\"}' | rlhf logprobs --model DIR "
			   "--input -",
		.head = HEAD_LM,
		.input_help = input_help,
		.options = options,
		.n_options = 1,
		.context = &judge,
		.prepare = prepare,
		.work = work_logprobs,
		.release = release};
	return line_command_main(&command, argc, argv);
}

/* --- score --- */

/* The label of the highest logit, the first of equal ones; or, where any number of labels
 * may hold, the list of those whose probability is above a half. */
static void print_labels(const struct hf_labels *labels, const float *logits, struct buf *out)
{
	int best = 0, n_held = 0;

	if (labels->problem == HF_PROBLEM_REGRESSION)
		return;
	if (labels->problem == HF_PROBLEM_ANY_OF) {
		buf_append_string(out, ",\"labels\":[");
		for (int i = 0; i < labels->n; i++)
			if (logits[i] > 0) {
				if (n_held++ > 0)
					buf_append_char(out, ',');
				json_write_string(out, labels->names[i], strlen(labels->names[i]));
			}
		buf_append_char(out, ']');
		return;
	}
	for (int i = 1; i < labels->n; i++)
		if (logits[i] > logits[best])
			best = i;
	buf_append_string(out, ",\"label\":");
	json_write_string(out, labels->names[best], strlen(labels->names[best]));
}

static enum status print_scores(struct line_job *job, struct frozen_item *items, size_t first,
				int n, struct buf *out, struct error *err)
{
	struct judge *judge = job->command->context;
	enum status status = STATUS_OK;
	size_t n_labels = (size_t)job->model->config.n_labels;
	float *scores = xcalloc((size_t)n * n_labels, sizeof *scores);

	for (int i = 0; i < n; i++)
		items[i].scores = scores + (size_t)i * n_labels;
	frozen_scores(job->model, items, n, judge->pooling, &judge->workspace, job->pool);
	for (int i = 0; i < n && status == STATUS_OK; i++) {
		status = line_check_finite(job, first + (size_t)i, items[i].scores, n_labels,
					   "scores", err);
		if (n_labels == 1) {
			buf_append_string(out, "{\"score\":");
			json_write_float(out, items[i].scores[0]);
		} else {
			buf_append_string(out, "{\"logits\":");
			json_write_floats(out, items[i].scores, n_labels);
			print_labels(&judge->labels, items[i].scores, out);
		}
		buf_append_string(out, "}\n");
	}
	free(scores);
	return status;
}

static enum status work_scores(struct line_job *job, size_t first, size_t n, struct buf *out,
			       struct error *err)
{
	return judge_block(job, first, n, out, print_scores, err);
}

static enum status check_pooling(void *context, struct error *err)
{
	struct judge *judge = context;

	if (pooling_parse(judge->pooling_option, &judge->pooling))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "--pooling is \"%.60s\", expected last-non-pad, last, first-pad or eos",
			 judge->pooling_option);
}

static enum status prepare_scores(struct line_job *job, struct error *err)
{
	struct judge *judge = job->command->context;
	int n_labels = job->model->config.n_labels;
	enum status status = prepare(job, err);
	char *dir = hf_adapted_config(job->model_dir, job->adapter_dir);

	if (status == STATUS_OK && n_labels > 1)
		status = hf_labels_read(&judge->labels, dir, n_labels, err);
	free(dir);
	return status;
}

int score_main(int argc, char **argv)
{
	struct judge judge = {.pooling_option = "last-non-pad"};
	const struct option options[] = {
		{.name = "--pooling",
		 .type = OPTION_STRING,
		 .target = &judge.pooling_option,
		 .help = "position whose score counts: last-non-pad (as transformers; the "
			 "default), last (OpenRLHF), first-pad (TRL), eos"},
	};
	const struct line_command command = {
		.usage = "rlhf score --model DIR --input FILE [--output FILE]",
		.example = "rlhf score --model reward-model --input texts.jsonl",
		.head = HEAD_SCORE,
		.input_help = input_help,
		.options = options,
		.n_options = 1,
		.context = &judge,
		.check = check_pooling,
		.prepare = prepare_scores,
		.work = work_scores,
		.release = release};
	return line_command_main(&command, argc, argv);
}

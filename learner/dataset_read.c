/* What each kind of training reads from a line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "learner/dataset_private.h"

/* A difference of rewards; one beyond this is a mistake, and would be the whole loss. */
static const double margin_most = 1e6;

static enum status refuse(const struct reader *reader, int line, const char *what,
			  struct error *err)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: line %d: %s", reader->path, line, what);
}

static bool has_either(const struct json *object, const char *key, const char *other)
{
	return json_given(object, key) || json_given(object, other);
}

/* --- sequences --- */

static void append_id(struct row *row, int32_t id)
{
	row->ids = xrealloc(row->ids, (size_t)row->n + 1, sizeof *row->ids);
	row->ids[row->n++] = id;
}

/* Puts the end token behind a text, where that is wanted.  A conversation ends by itself, and
 * ids are taken as they are, also where the text that they were made of stands beside them. */
static enum status end_text(const struct reader *reader, struct row *row, struct error *err)
{
	if (!reader->config->data.append_eos || !row->is_text)
		return STATUS_OK;
	if (reader->eos_id < 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the model names no end token to put after a text; set "
				 "data.append_eos to false",
				 reader->path);
	append_id(row, reader->eos_id);
	return STATUS_OK;
}

/* From here on all of the row is to be learnt. */
static void learn_all(struct row *row)
{
	free(row->is_target);
	row->is_target = NULL;
	row->n_prompt = 0;
}

/* Refuses what teaches nothing. */
static enum status check_sequence(const struct reader *reader, const struct row *row, int line,
				  struct error *err)
{
	if (row->n < 2)
		return refuse(reader, line,
			      "a sequence of fewer than 2 tokens: there is nothing to predict",
			      err);
	if (!dataset_has_target(row))
		return refuse(reader, line, "nothing is to be learnt: every id is prompt or masked",
			      err);
	return STATUS_OK;
}

enum status dataset_read_sequence(const struct reader *reader, const struct json *object, int line,
				  struct taken *taken, struct error *err)
{
	struct example example = {.margin = 0};
	struct row *row = &example.row;
	enum status status = row_sequence(row, object, line, &reader->context, err);
	bool is_text = row->is_text && json_given(object, "text");
	bool is_document = is_text && reader->config->data.packing;

	if (status == STATUS_OK && !json_given(object, "labels"))
		learn_all(row);
	if (status == STATUS_OK && is_text)
		status = end_text(reader, row, err);
	if (status == STATUS_OK && !is_document)
		status = check_sequence(reader, row, line, err);
	if (status != STATUS_OK)
		row_release(row);
	else
		dataset_take(taken, &example);
	taken->is_document = is_document;
	return status;
}

/* --- examples --- */

/* A row as it was read: ends its text, if it is one, and refuses what teaches nothing. */
static enum status complete(const struct reader *reader, const struct json *object, int line,
			    bool learns_all, struct row *row, struct error *err)
{
	bool has_completion = has_either(object, "completion", "completion_ids");
	enum status status = STATUS_OK;

	if (has_completion && row->n == row->n_prompt)
		return refuse(reader, line, "the completion is empty: there is nothing to learn",
			      err);
	status = end_text(reader, row, err);
	if (status != STATUS_OK)
		return status;
	if (learns_all)
		learn_all(row);
	return check_sequence(reader, row, line, err);
}

enum status dataset_read_example(const struct reader *reader, const struct json *object, int line,
				 struct taken *taken, struct error *err)
{
	bool learns_all = strcmp(reader->config->sft.loss, "all") == 0;
	struct example example = {.margin = 0};
	enum status status = row_sequence(&example.row, object, line, &reader->context, err);

	if (status == STATUS_OK)
		status = complete(reader, object, line, learns_all, &example.row, err);
	if (status == STATUS_OK)
		dataset_take(taken, &example);
	else
		row_release(&example.row);
	return status;
}

/* --- prompts --- */

enum status dataset_read_prompt(const struct reader *reader, const struct json *object, int line,
				struct taken *taken, struct error *err)
{
	struct example example = {.margin = 0};
	enum status status = row_prompt(&example.row, object, line, &reader->context, err);

	if (status == STATUS_OK)
		dataset_take(taken, &example);
	return status;
}

/* --- pairs --- */

static enum status read_margin(const struct reader *reader, const struct json *object, int line,
			       double *margin, struct error *err)
{
	const struct json *value = json_given(object, "margin");

	if (!value)
		return STATUS_OK;
	if (json_type(value) != JSON_NUMBER)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: \"margin\" is %s, expected a number", reader->path,
				 line, json_type_name(value));
	*margin = json_number(value);
	if (!(fabs(*margin) <= margin_most))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: \"margin\" is %g, expected a number from -%g to %g",
				 reader->path, line, *margin, margin_most, margin_most);
	return STATUS_OK;
}

/* Both sequences of a pair, ended, as row and rejected of an example. */
static enum status get_pair(const struct reader *reader, const struct json *object, int line,
			    struct example *example, struct error *err)
{
	const struct row *rows[2] = {&example->row, &example->rejected};
	enum status status =
		row_pair(&example->row, &example->rejected, object, line, &reader->context, err);

	for (int i = 0; i < 2 && status == STATUS_OK && reader->needs_target; i++)
		if (!dataset_has_target(rows[i]))
			status = error_set(err, STATUS_BAD_INPUT,
					   "%s: line %d: the completion of %s is empty: there is "
					   "nothing to learn",
					   reader->path, line, i ? "rejected" : "chosen");
	if (status == STATUS_OK)
		status = end_text(reader, &example->row, err);
	if (status == STATUS_OK)
		status = end_text(reader, &example->rejected, err);
	if (status != STATUS_OK) {
		row_release(&example->row);
		row_release(&example->rejected);
	}
	return status;
}

/* A completion with a judgement of its own is no half of a pair. */
static enum status check_pair(const struct reader *reader, const struct json *object, int line,
			      struct error *err)
{
	if (has_either(object, "chosen", "chosen_ids") || !json_given(object, "label") ||
	    !has_either(object, "completion", "completion_ids"))
		return STATUS_OK;
	return refuse(reader, line,
		      "a completion and its \"label\", which rlhf dpo learns from with "
		      "dpo.loss_type \"kto\"; expected \"chosen\" and \"rejected\"",
		      err);
}

enum status dataset_read_pair(const struct reader *reader, const struct json *object, int line,
			      struct taken *taken, struct error *err)
{
	struct example example = {.margin = 0};
	enum status status = check_pair(reader, object, line, err);

	if (status == STATUS_OK)
		status = read_margin(reader, object, line, &example.margin, err);
	if (status == STATUS_OK)
		status = get_pair(reader, object, line, &example, err);
	if (status == STATUS_OK)
		dataset_take(taken, &example);
	return status;
}

/* --- judged completions --- */

static enum status read_judgement(const struct reader *reader, const struct json *object, int line,
				  int *label, struct error *err)
{
	const struct json *value = json_given(object, "label");
	int64_t number;

	if (value && json_type(value) == JSON_BOOL) {
		*label = json_bool(value);
		return STATUS_OK;
	}
	if (value && json_type(value) == JSON_NUMBER && json_int64(value, &number) &&
	    (number == 0 || number == 1)) {
		*label = (int)number;
		return STATUS_OK;
	}
	return refuse(reader, line,
		      value ? "\"label\" is neither true nor false (nor 1 nor 0)"
			    : "\"label\" is missing, expected true or false; or a pair, \"chosen\" and "
			      "\"rejected\"",
		      err);
}

static enum status take_both(const struct reader *reader, const struct json *object, int line,
			     struct taken *taken, struct error *err)
{
	struct example pair = {.margin = 0}, chosen, rejected;
	enum status status = get_pair(reader, object, line, &pair, err);

	if (status != STATUS_OK)
		return status;
	chosen = (struct example){.row = pair.row, .label = 1};
	rejected = (struct example){.row = pair.rejected, .label = 0};
	dataset_take(taken, &chosen);
	dataset_take(taken, &rejected);
	return STATUS_OK;
}

enum status dataset_read_judged(const struct reader *reader, const struct json *object, int line,
				struct taken *taken, struct error *err)
{
	struct example example = {.margin = 0};
	enum status status;

	if (has_either(object, "chosen", "chosen_ids"))
		return take_both(reader, object, line, taken, err);
	status = read_judgement(reader, object, line, &example.label, err);
	if (status == STATUS_OK)
		status = row_sequence(&example.row, object, line, &reader->context, err);
	if (status == STATUS_OK)
		status = complete(reader, object, line, false, &example.row, err);
	if (status == STATUS_OK)
		dataset_take(taken, &example);
	else
		row_release(&example.row);
	return status;
}

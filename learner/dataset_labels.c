/* Rows that name a class: the classes of a file, and a row's. */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/jsonl.h"
#include "learner/dataset_private.h"

enum { MAX_LABELS = 1 << 16 };

/* --- the labels of a file --- */

struct finding {
	struct hf_labels *labels; /* names as they come, each once, sorted */
	const char *path;
	int64_t largest; /* of the numbers; -1: none yet */
};

/* Number of labels before name; *found: whether the next one is name. */
static int place_of(const struct hf_labels *labels, const char *name, bool *found)
{
	int low = 0, high = labels->n;

	while (low < high) {
		int middle = low + (high - low) / 2;

		if (strcmp(labels->names[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < labels->n && strcmp(labels->names[low], name) == 0;
	return low;
}

static enum status add_name(struct finding *f, const char *name, int line, struct error *err)
{
	struct hf_labels *labels = f->labels;
	bool found;
	int place = place_of(labels, name, &found);

	if (found)
		return STATUS_OK;
	if (labels->n == MAX_LABELS)
		return error_set(err, STATUS_BAD_INPUT, "%s: line %d: more than %d labels", f->path,
				 line, MAX_LABELS);
	labels->names = xrealloc(labels->names, (size_t)labels->n + 1, sizeof *labels->names);
	memmove(labels->names + place + 1, labels->names + place,
		(size_t)(labels->n - place) * sizeof *labels->names);
	labels->names[place] = xstrdup(name);
	labels->n++;
	return STATUS_OK;
}

/* "label" of a row, a name or a number. */
static enum status get_label(const char *path, const struct json *object, int line,
			     const char **name, int64_t *number, struct error *err)
{
	const struct json *value = json_given(object, "label");
	size_t length = 0;

	*name = NULL;
	if (!value)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: \"label\" is missing, expected a name or a number",
				 path, line);
	if (json_type(value) == JSON_STRING)
		*name = json_string(value, &length);
	if (*name && length > 0 && strlen(*name) == length)
		return STATUS_OK;
	if (json_type(value) == JSON_NUMBER && json_int64(value, number) && *number >= 0 &&
	    *number < MAX_LABELS)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: line %d: \"label\" is not a name, nor an integer from 0 to %d", path,
			 line, MAX_LABELS - 1);
}

static enum status find_label(struct finding *f, const struct json *object, int line,
			      struct error *err)
{
	const char *name;
	int64_t number = 0;
	enum status status = get_label(f->path, object, line, &name, &number, err);

	if (status != STATUS_OK)
		return status;
	if (name ? f->largest >= 0 : f->labels->n > 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: \"label\" is a %s, those before are %s", f->path,
				 line, name ? "name" : "number", name ? "numbers" : "names");
	if (name)
		return add_name(f, name, line, err);
	f->largest = number > f->largest ? number : f->largest;
	return STATUS_OK;
}

static void name_numbers(struct hf_labels *labels, int n)
{
	labels->names = xcalloc((size_t)n, sizeof *labels->names);
	for (labels->n = 0; labels->n < n; labels->n++)
		labels->names[labels->n] = xasprintf("LABEL_%d", labels->n);
}

enum status dataset_find_labels(struct hf_labels *labels, const char *path, struct error *err)
{
	struct finding finding = {.labels = labels, .path = path, .largest = -1};
	struct jsonl jsonl;
	enum status status = jsonl_read(&jsonl, path, err);

	*labels = (struct hf_labels){0};
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < jsonl.n && status == STATUS_OK; i++) {
		struct json *object = jsonl_parse(&jsonl, i, err);

		status = object ? find_label(&finding, object, jsonl.numbers[i], err)
				: STATUS_BAD_INPUT;
		json_free(object);
	}
	jsonl_release(&jsonl);
	if (status == STATUS_OK && finding.largest >= 0)
		name_numbers(labels, (int)finding.largest + 1);
	if (status == STATUS_OK && labels->n < 2)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: every label is %s, expected at least two labels", path,
				   finding.largest >= 0 ? "0" : labels->names[0]);
	if (status != STATUS_OK)
		hf_labels_release(labels);
	return status;
}

/* --- a row's label --- */

static enum status read_label(const struct reader *reader, const struct json *object, int line,
			      int *label, struct error *err)
{
	const struct hf_labels *labels = reader->labels;
	const char *name;
	int64_t number = -1;
	enum status status = get_label(reader->path, object, line, &name, &number, err);

	if (status != STATUS_OK)
		return status;
	for (int i = 0; name && i < labels->n; i++)
		if (strcmp(labels->names[i], name) == 0)
			number = i;
	if (number >= 0 && number < labels->n) {
		*label = (int)number;
		return STATUS_OK;
	}
	if (name)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: line %d: \"label\" is \"%.60s\", expected one of the model's "
				 "%d labels, \"%.40s\" to \"%.40s\"",
				 reader->path, line, name, labels->n, labels->names[0],
				 labels->names[labels->n - 1]);
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: line %d: \"label\" is %lld, expected a number from 0 to %d",
			 reader->path, line, (long long)number, labels->n - 1);
}

enum status dataset_read_labelled(const struct reader *reader, const struct json *object, int line,
				  struct taken *taken, struct error *err)
{
	bool is_prompt = !json_given(object, "completion") && !json_given(object, "completion_ids") &&
			 (json_given(object, "prompt") || json_given(object, "prompt_ids"));
	struct example example = {.margin = 0};
	enum status status = read_label(reader, object, line, &example.label, err);

	if (status != STATUS_OK)
		return status;
	status = (is_prompt ? row_prompt : row_sequence)(&example.row, object, line,
							 &reader->context, err);
	if (status == STATUS_OK)
		dataset_take(taken, &example);
	return status;
}

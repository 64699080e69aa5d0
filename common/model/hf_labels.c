/* Reading id2label and problem_type; see hf_labels.h. */
#include "common/model/hf_labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "common/model/hf_checkpoint.h"

static enum status read_names(struct hf_labels *labels, const struct json *id2label,
			      const char *dir, struct error *err)
{
	for (int i = 0; i < labels->n; i++) {
		const struct json *name;
		char key[16], fallback[24];

		snprintf(key, sizeof key, "%d", i);
		snprintf(fallback, sizeof fallback, "LABEL_%d", i);
		name = json_get(id2label, key);
		if (id2label && (!name || json_type(name) != JSON_STRING))
			return error_set(err, STATUS_BAD_INPUT,
					 "%s/config.json: id2label.%d is %s, expected the name of "
					 "a label",
					 dir, i, name ? json_type_name(name) : "missing");
		labels->names[i] = xstrdup(name ? json_string(name, NULL) : fallback);
	}
	return STATUS_OK;
}

static enum status read_problem(struct hf_labels *labels, const struct json *problem,
				const char *dir, struct error *err)
{
	static const struct {
		const char *name;
		enum hf_problem problem;
	} known[] = {{"single_label_classification", HF_PROBLEM_ONE_OF},
		     {"multi_label_classification", HF_PROBLEM_ANY_OF},
		     {"regression", HF_PROBLEM_REGRESSION}};
	const char *name = "";

	if (!problem || json_type(problem) == JSON_NULL)
		return STATUS_OK;
	if (json_type(problem) == JSON_STRING)
		name = json_string(problem, NULL);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].name, name) == 0) {
			labels->problem = known[i].problem;
			return STATUS_OK;
		}
	return error_set(err, STATUS_BAD_INPUT,
			 "%s/config.json: problem_type is \"%.60s\", expected "
			 "single_label_classification, multi_label_classification or regression",
			 dir, name);
}

enum status hf_labels_parse(struct hf_labels *labels, const char *text, size_t length,
			    const char *where, int n_labels, struct error *err)
{
	struct json *root = json_parse(text, length, where, err);
	const struct json *id2label = json_get(root, "id2label");
	enum status status = STATUS_BAD_INPUT;

	*labels = (struct hf_labels){.n = n_labels};
	labels->names = xcalloc((size_t)n_labels, sizeof *labels->names);
	/* Names of another number are not of these labels. */
	if (id2label &&
	    (json_type(id2label) == JSON_NULL || json_count(id2label) != (size_t)n_labels))
		id2label = NULL;
	if (root)
		status = read_names(labels, id2label, where, err);
	if (status == STATUS_OK)
		status = read_problem(labels, json_get(root, "problem_type"), where, err);
	json_free(root);
	return status;
}

enum status hf_labels_read(struct hf_labels *labels, const char *dir, int n_labels,
			   struct error *err)
{
	struct buf text = BUF_INIT;
	enum status status = hf_read_config_text(&text, dir, err);

	*labels = (struct hf_labels){0};
	if (status == STATUS_OK)
		status = hf_labels_parse(labels, text.data, text.length, dir, n_labels, err);
	buf_release(&text);
	return status;
}

void hf_labels_release(struct hf_labels *labels)
{
	for (int i = 0; i < labels->n; i++)
		free(labels->names[i]);
	free(labels->names);
	*labels = (struct hf_labels){0};
}

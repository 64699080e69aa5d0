/* Looking for a score head under the names that programs give it; see hf_head.h. */
#include "common/model/hf_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"

enum { MAX_CONFIG_BYTES = 1 << 24 };

bool hf_head_is_scorer(const char *architecture)
{
	static const char *const endings[] = {"ForSequenceClassification", "ForTokenClassification",
					      "ForSequenceRegression", /* OpenRLHF's at first */
					      "RewardModel", "CriticModel"};
	size_t length = strlen(architecture);

	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t n = strlen(endings[i]);

		if (length >= n && strcmp(architecture + length - n, endings[i]) == 0)
			return true;
	}
	return false;
}

static const struct tensor_view *take_part(struct hf_store *store,
					   const struct model_config *config, const char *name,
					   const char *part)
{
	char full[160];

	snprintf(full, sizeof full, "%.100s.%s", name, part);
	return hf_store_take(store, config->family, full);
}

/* A tensor within the module of that name but a bias of its own, behind the store's lead
 * or not. */
static const char *find_within(const struct hf_store *store, const char *name)
{
	size_t lead = strlen(store->lead), length = strlen(name);

	for (size_t i = 0; i < store->n; i++) {
		const char *found = store->views[i]->name, *rest = found;

		if (strncmp(rest, store->lead, lead) == 0)
			rest += lead;
		if (strncmp(rest, name, length) == 0 && rest[length] == '.' &&
		    strcmp(rest + length, ".bias") != 0)
			return found;
	}
	return NULL;
}

/* The dialects' names in the order of preference; prefix: OpenRLHF's, or NULL. */
static enum status find_tensors(struct hf_head *head, struct hf_store *store,
				const struct model_config *config, const char *prefix,
				struct error *err)
{
	const char *const names[] = {"score",	    prefix,	  "v_head",    "v_head.summary",
				     "scalar_head", "classifier", "value_head"};
	enum { N_NAMES = sizeof names / sizeof *names };

	for (size_t i = 0; i < N_NAMES && !head->weight; i++) {
		if (!names[i])
			continue;
		head->weight = take_part(store, config, names[i], "weight");
		if (head->weight)
			head->bias = take_part(store, config, names[i], "bias");
	}
	for (size_t i = 0; i < N_NAMES && !head->weight; i++) {
		const char *within = names[i] ? find_within(store, names[i]) : NULL;

		if (within)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: the head \"%.60s\" is no single matrix (it has "
					 "%.100s), expected one of shape [labels, %d]; heads of "
					 "several layers are not supported",
					 store->dir, names[i], within, config->n_channels);
	}
	return STATUS_OK;
}

/* What a wrapping config.json subtracts from every score. */
static enum status read_offset(struct hf_head *head, const struct json *root, const char *path,
			       struct error *err)
{
	const struct json *bias = json_get(root, "bias");

	if (!json_get(root, "base_config") || !bias || json_type(bias) == JSON_NULL)
		return STATUS_OK;
	if (json_type(bias) != JSON_NUMBER)
		return error_set(err, STATUS_BAD_INPUT, "%s: bias is %s, expected a number", path,
				 json_type_name(bias));
	head->offset = json_number(bias);
	return STATUS_OK;
}

/* Labels that the config does not speak of are as many as the head has rows.  Where
 * num_labels is not the number of names in id2label, transformers 4 takes the names and 5
 * the other: the head tells which it is. */
static void count_labels(struct hf_head *head, const struct json *root,
			 const struct model_config *config)
{
	const struct tensor_view *weight = head->weight;
	bool is_said = json_get(root, "id2label") || json_get(root, "num_labels");
	bool has_rows = weight->rank == 2 && weight->shape[0] >= 1 && weight->shape[0] <= 1 << 16;
	int64_t number;

	head->n_labels = config->n_labels;
	if (!is_said || config->head == HEAD_LM)
		head->n_labels = has_rows ? (int)weight->shape[0] : 1;
	else if (has_rows && json_int64(json_get(root, "num_labels"), &number) &&
		 number == weight->shape[0])
		head->n_labels = (int)number;
}

enum status hf_head_find(struct hf_head *head, struct hf_store *store,
			 const struct model_config *config, struct error *err)
{
	char *path = path_join(store->dir, "config.json");
	struct json *root = json_read_object(path, MAX_CONFIG_BYTES, err);
	const char *prefix = json_string_or_null(json_get(root, "value_head_prefix"));
	enum status status = STATUS_BAD_INPUT;

	*head = (struct hf_head){0};
	if (root)
		status = find_tensors(head, store, config, prefix, err);
	if (status == STATUS_OK)
		status = read_offset(head, root, path, err);
	if (status == STATUS_OK && head->weight)
		count_labels(head, root, config);
	json_free(root);
	free(path);
	return status;
}

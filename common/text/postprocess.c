/* Every post-processor that single sequences meet comes down to ids in front and
 * ids behind.  In a Sequence each one wraps the result of those before it. */
#include "common/text/postprocess.h"

#include <stdbool.h>
#include <string.h>

#include "common/text/component.h"

static void prepend(struct ids *ids, const struct ids *more)
{
	struct ids joined = {0};

	ids_append(&joined, more->data, more->n);
	ids_append(&joined, ids->data, ids->n);
	ids_release(ids);
	*ids = joined;
}

static enum status append_checked(struct ids *ids, const struct json *value, int32_t size,
				  struct error *err)
{
	int id;
	int32_t narrow;

	if (component_id(value, "a special token", &id, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (id >= size)
		return error_set(err, STATUS_BAD_INPUT, "id %d is no token", id);
	narrow = id;
	ids_append(ids, &narrow, 1);
	return STATUS_OK;
}

/* {"SpecialToken": {"id": NAME}}: the ids that special_tokens gives NAME. */
static enum status template_special(const struct json *config, const struct json *item,
				    struct ids *ids, int32_t size, struct error *err)
{
	const struct json *name = json_get(json_get(item, "SpecialToken"), "id");
	const struct json *entry, *list;

	if (!name || json_type(name) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT,
				 "a part that is no SpecialToken or Sequence");
	entry = json_get(json_get(config, "special_tokens"), json_string(name, NULL));
	list = json_get(entry, "ids");
	if (!list || json_type(list) != JSON_ARRAY)
		return error_set(err, STATUS_BAD_INPUT, "special token \"%s\" has no ids",
				 json_string(name, NULL));
	for (const struct json *id = json_first(list); id; id = json_next(id))
		if (append_checked(ids, id, size, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	return STATUS_OK;
}

static bool is_sequence_a(const struct json *item)
{
	const struct json *id = json_get(json_get(item, "Sequence"), "id");

	return id && json_type(id) == JSON_STRING && strcmp(json_string(id, NULL), "A") == 0;
}

static enum status load_template(struct postprocessor *wrap, const struct json *config,
				 int32_t size, struct error *err)
{
	const struct json *single = json_get(config, "single");
	int sequences = 0;

	if (!single || json_type(single) != JSON_ARRAY)
		return error_set(err, STATUS_BAD_INPUT,
				 "TemplateProcessing.single is not an array");
	for (const struct json *item = json_first(single); item; item = json_next(item)) {
		struct ids *ids = sequences ? &wrap->suffix : &wrap->prefix;
		if (is_sequence_a(item))
			sequences++;
		else if (template_special(config, item, ids, size, err) != STATUS_OK)
			return error_prefix(err, STATUS_BAD_INPUT, "TemplateProcessing.single");
	}
	if (sequences != 1)
		return error_set(
			err, STATUS_BAD_INPUT,
			"TemplateProcessing.single has the sequence %d times, expected once",
			sequences);
	return STATUS_OK;
}

/* "cls": [TOKEN, ID] in front, "sep": [TOKEN, ID] behind. */
static enum status load_bert(struct postprocessor *wrap, const struct json *config, int32_t size,
			     struct error *err)
{
	static const char *const keys[] = {"cls", "sep"};
	struct ids *ends[] = {&wrap->prefix, &wrap->suffix};

	for (int i = 0; i < 2; i++) {
		const struct json *pair = json_get(config, keys[i]);
		const struct json *id =
			pair && json_type(pair) == JSON_ARRAY ? json_at(pair, 1) : NULL;
		if (append_checked(ends[i], id, size, err) != STATUS_OK)
			return error_prefix(err, STATUS_BAD_INPUT, "%s", keys[i]);
	}
	return STATUS_OK;
}

static enum status load(struct postprocessor *all, const struct json *config, int32_t size,
			int depth, struct error *err)
{
	const char *type = component_type(config, err);
	const struct json *list = json_get(config, "processors");
	struct postprocessor wrap = {0};
	enum status status;

	if (!type)
		return STATUS_BAD_INPUT;
	if (strcmp(type, "ByteLevel") == 0)
		return STATUS_OK; /* offsets alone */
	if (strcmp(type, "Sequence") == 0 && depth < COMPONENT_DEPTH) {
		if (!list || json_type(list) != JSON_ARRAY)
			return error_set(err, STATUS_BAD_INPUT, "Sequence without processors");
		for (const struct json *item = json_first(list); item; item = json_next(item))
			if (load(all, item, size, depth + 1, err) != STATUS_OK)
				return STATUS_BAD_INPUT;
		return STATUS_OK;
	}
	if (strcmp(type, "TemplateProcessing") == 0)
		status = load_template(&wrap, config, size, err);
	else if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0)
		status = load_bert(&wrap, config, size, err);
	else
		status = error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
	prepend(&all->prefix, &wrap.prefix);
	ids_append(&all->suffix, wrap.suffix.data, wrap.suffix.n);
	postprocessor_release(&wrap);
	return status;
}

enum status postprocessor_load(struct postprocessor *postprocessor, const struct json *config,
			       int32_t size, struct error *err)
{
	*postprocessor = (struct postprocessor){0};
	if (!config || json_type(config) == JSON_NULL)
		return STATUS_OK;
	return load(postprocessor, config, size, 0, err);
}

void postprocessor_release(struct postprocessor *postprocessor)
{
	ids_release(&postprocessor->prefix);
	ids_release(&postprocessor->suffix);
}

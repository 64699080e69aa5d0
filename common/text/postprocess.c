/* Post-processors put ids around a sequence.  In a Sequence each works on the parts
 * that those before it have made: a template makes a part of each of its items, and
 * takes the first part for A and the second, if there are two, for B.
 *
 * So the processors are run once, when they are loaded, on one part that stands for
 * the text; what they have put in front of it and behind it is kept. */
#include "common/text/postprocess.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/component.h"

enum { TEXT = -1, MAX_PARTS = 64 };

struct parts {
	struct ids items[MAX_PARTS]; /* ids, and TEXT where the sequence comes */
	int n;
	int32_t size; /* ids must be below it */
};

static void parts_release(struct parts *parts)
{
	for (int i = 0; i < parts->n; i++)
		ids_release(&parts->items[i]);
	parts->n = 0;
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

/* --- templates --- */

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

/* The part that {"Sequence": {"id": "A"}} or "B" names; -1 if the item is none. */
static int template_part(const struct json *item)
{
	const struct json *id = json_get(json_get(item, "Sequence"), "id");
	const char *name = id && json_type(id) == JSON_STRING ? json_string(id, NULL) : "";

	return strcmp(name, "A") == 0 ? 0 : strcmp(name, "B") == 0 ? 1 : -1;
}

static enum status apply_items(struct parts *parts, struct parts *out, const struct json *config,
			       const struct json *items, struct error *err)
{
	for (const struct json *item = json_first(items); item; item = json_next(item)) {
		int part = template_part(item);
		if (out->n == MAX_PARTS)
			return error_set(err, STATUS_BAD_INPUT, "more than %d parts", MAX_PARTS);
		if (part >= parts->n)
			return error_set(err, STATUS_BAD_INPUT, "Sequence B where there is none");
		if (part >= 0)
			ids_append(&out->items[out->n], parts->items[part].data,
				   parts->items[part].n);
		else if (template_special(config, item, &out->items[out->n], parts->size, err) !=
			 STATUS_OK)
			return STATUS_BAD_INPUT;
		out->n++;
	}
	return STATUS_OK;
}

static enum status apply_template(struct parts *parts, const struct json *config, struct error *err)
{
	const char *key = parts->n == 2 ? "pair" : "single";
	const struct json *items = json_get(config, key);
	struct parts *out;
	enum status status;

	if (parts->n > 2)
		return error_set(err, STATUS_BAD_INPUT,
				 "TemplateProcessing of %d parts, expected one or two", parts->n);
	if (!items || json_type(items) != JSON_ARRAY)
		return error_set(err, STATUS_BAD_INPUT, "TemplateProcessing.%s is not an array",
				 key);
	out = xcalloc(1, sizeof *out);
	status = apply_items(parts, out, config, items, err);
	if (status == STATUS_OK) {
		out->size = parts->size;
		parts_release(parts);
		*parts = *out;
	} else {
		out->n += out->n < MAX_PARTS; /* the one that was being made */
		parts_release(out);
		error_prefix(err, status, "TemplateProcessing.%s", key);
	}
	free(out);
	return status;
}

/* --- the other kinds --- */

/* "cls": [TOKEN, ID] in front, "sep": [TOKEN, ID] behind; Roberta's kind has sep in
 * front of the parts that are not the first, too. */
static enum status apply_bert(struct parts *parts, const struct json *config, bool is_roberta,
			      struct error *err)
{
	static const char *const keys[] = {"cls", "sep"};
	struct ids ends[2] = {{0}, {0}};
	enum status status = STATUS_OK;

	for (int i = 0; i < 2 && status == STATUS_OK; i++) {
		const struct json *pair = json_get(config, keys[i]);
		const struct json *id =
			pair && json_type(pair) == JSON_ARRAY ? json_at(pair, 1) : NULL;
		status = append_checked(&ends[i], id, parts->size, err);
		if (status != STATUS_OK)
			error_prefix(err, status, "%s", keys[i]);
	}
	for (int i = 0; i < parts->n && status == STATUS_OK; i++) {
		struct ids whole = {0};
		if (i == 0 || is_roberta)
			ids_append(&whole, i == 0 ? ends[0].data : ends[1].data, 1);
		ids_append(&whole, parts->items[i].data, parts->items[i].n);
		ids_append(&whole, ends[1].data, 1);
		ids_release(&parts->items[i]);
		parts->items[i] = whole;
	}
	ids_release(&ends[0]);
	ids_release(&ends[1]);
	return status;
}

static enum status apply(void *context, const char *type, const struct json *config,
			 struct error *err)
{
	struct parts *parts = context;

	if (strcmp(type, "ByteLevel") == 0)
		return STATUS_OK; /* offsets alone */
	if (strcmp(type, "TemplateProcessing") == 0)
		return apply_template(parts, config, err);
	if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0)
		return apply_bert(parts, config, type[0] == 'R', err);
	return error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
}

/* What is in front of the text and behind it. */
static enum status take_ends(struct postprocessor *postprocessor, const struct parts *parts,
			     struct error *err)
{
	int texts = 0;

	for (int i = 0; i < parts->n; i++) {
		const struct ids *ids = &parts->items[i];
		for (size_t j = 0; j < ids->n; j++) {
			texts += ids->data[j] == TEXT;
			if (ids->data[j] != TEXT)
				ids_append(texts ? &postprocessor->suffix : &postprocessor->prefix,
					   &ids->data[j], 1);
		}
	}
	if (texts == 1)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT, "the sequence comes %d times, expected once",
			 texts);
}

enum status postprocessor_load(struct postprocessor *postprocessor, const struct json *config,
			       int32_t size, struct error *err)
{
	struct parts parts = {.n = 1, .size = size};
	const struct component_walk walk = {"processors", apply, &parts};
	const int32_t text = TEXT;
	enum status status;

	*postprocessor = (struct postprocessor){0};
	ids_append(&parts.items[0], &text, 1);
	status = component_walk(&walk, config, err);
	if (status == STATUS_OK)
		status = take_ends(postprocessor, &parts, err);
	parts_release(&parts);
	return status;
}

void postprocessor_release(struct postprocessor *postprocessor)
{
	ids_release(&postprocessor->prefix);
	ids_release(&postprocessor->suffix);
}

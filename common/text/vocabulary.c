/* Tokens by id and by text.
 *
 * The texts are copied into one block whose size is known from a first walk over
 * the JSON, so pointers into it stay put.  Ids come from the file and may leave
 * gaps; the number of places is bounded (COMPONENT_MAX_ID). */
#include "common/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/text/component.h"

enum { MAX_ADDED_LENGTH = 1024 };

/* The block being filled. */
struct fill {
	struct vocabulary *vocabulary;
	size_t used;
	int32_t n_model;  /* tokens of the model */
	int32_t next_id;  /* of an added token that the model does not know */
	int32_t *places;  /* by id: 1 + the index of the added token; 0: it is none */
	int32_t n_listed; /* added tokens of tokenizer.json and of lists beside it */
};

static enum status measure_vocab(const struct json *vocab, size_t *bytes, size_t *count,
				 int32_t *size, struct error *err)
{
	for (const struct json *item = json_first(vocab); item; item = json_next(item)) {
		int id;
		if (component_id(item, json_key(item), &id, err) != STATUS_OK)
			return error_prefix(err, STATUS_BAD_INPUT, "model.vocab");
		*bytes += strlen(json_key(item)) + 1;
		++*count;
		if (id >= *size)
			*size = id + 1;
	}
	if (*count == 0)
		return error_set(err, STATUS_BAD_INPUT, "model.vocab is empty");
	return STATUS_OK;
}

static const char *added_content(const struct json *item, size_t *length)
{
	const struct json *content = json_get(item, "content");

	if (!content || json_type(content) != JSON_STRING)
		return NULL;
	return json_string(content, length);
}

static enum status measure_added(const struct json *list, size_t *bytes, size_t *count,
				 int32_t *size, struct error *err)
{
	int i = 0;

	for (const struct json *item = list ? json_first(list) : NULL; item;
	     item = json_next(item), i++) {
		size_t length;
		int id;
		const char *content = added_content(item, &length);
		if (!content || length == 0 || length > MAX_ADDED_LENGTH)
			return error_set(
				err, STATUS_BAD_INPUT,
				"added_tokens[%d]: content is not a string of 1 to %d bytes", i,
				MAX_ADDED_LENGTH);
		if (component_id(json_get(item, "id"), content, &id, err) != STATUS_OK)
			return error_prefix(err, STATUS_BAD_INPUT, "added_tokens[%d]", i);
		*bytes += length + 1;
		++*count;
		if (id >= *size)
			*size = id + 1;
	}
	return STATUS_OK;
}

static struct token *put_token(struct fill *fill, const char *text, size_t length, int32_t id)
{
	struct token *token = &fill->vocabulary->tokens[id];
	char *copy = fill->vocabulary->text + fill->used;

	memcpy(copy, text, length);
	copy[length] = '\0';
	fill->used += length + 1;
	token->text = copy;
	token->length = (uint32_t)length;
	hashmap_add(&fill->vocabulary->ids, copy, length, id);
	return token;
}

/* Keys spell NUL as C0 80 (json_key); tokens hold it as it is. */
static size_t unescape_nul(char *text, size_t length)
{
	size_t out = 0;

	for (size_t i = 0; i < length; i++) {
		if ((uint8_t)text[i] == 0xC0 && (uint8_t)text[i + 1] == 0x80) {
			text[out++] = '\0';
			i++;
		} else {
			text[out++] = text[i];
		}
	}
	return out;
}

static enum status fill_vocab(struct fill *fill, const struct json *vocab, struct error *err)
{
	struct buf key = BUF_INIT;
	enum status status = STATUS_OK;

	for (const struct json *item = json_first(vocab); item; item = json_next(item)) {
		int id = 0;
		component_id(item, "", &id, NULL); /* checked when measured */
		if (fill->vocabulary->tokens[id].text) {
			status = error_set(err, STATUS_BAD_INPUT,
					   "model.vocab: \"%s\" and \"%s\" have the same id %d",
					   fill->vocabulary->tokens[id].text, json_key(item), id);
			break;
		}
		buf_reset(&key);
		buf_append_string(&key, json_key(item));
		key.length = unescape_nul(key.data, key.length);
		put_token(fill, key.data, key.length, id)->is_model = true;
		fill->n_model++;
	}
	buf_release(&key);
	return status;
}

enum status added_token_flags(struct added_token *flags, const struct json *config,
			      bool *is_special, struct error *err)
{
	if (component_bool(config, "special", false, is_special, err) != STATUS_OK ||
	    component_bool(config, "single_word", false, &flags->is_single_word, err) !=
		    STATUS_OK ||
	    component_bool(config, "lstrip", false, &flags->strips_left, err) != STATUS_OK ||
	    component_bool(config, "rstrip", false, &flags->strips_right, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return component_bool(config, "normalized", !*is_special, &flags->is_normalized, err);
}

/* The added token with an id, made if there is none yet. */
static struct added_token *added_at(struct fill *fill, int32_t id)
{
	if (fill->places[id] == 0) {
		fill->vocabulary->added[fill->vocabulary->n_added].id = id;
		fill->places[id] = ++fill->vocabulary->n_added;
	}
	if (id >= fill->next_id)
		fill->next_id = id + 1;
	return &fill->vocabulary->added[fill->places[id] - 1];
}

static enum status fill_added_token(struct fill *fill, const struct json *item, struct error *err)
{
	struct vocabulary *v = fill->vocabulary;
	struct added_token flags = {0};
	size_t length;
	const char *content = added_content(item, &length);
	int32_t known = vocabulary_find(v, content, length);
	int32_t expected = known >= 0 ? known : fill->next_id;
	bool is_special;
	int id = 0;

	component_id(json_get(item, "id"), "", &id, NULL); /* checked when measured */
	if (id != expected || (known < 0 && v->tokens[id].text))
		return error_set(err, STATUS_BAD_INPUT,
				 "added token \"%s\" has id %d, but its place is %d", content, id,
				 expected);
	if (added_token_flags(&flags, item, &is_special, err) != STATUS_OK)
		return error_prefix(err, STATUS_BAD_INPUT, "added token \"%s\"", content);
	if (known < 0)
		put_token(fill, content, length, id);
	v->tokens[id].is_special |= is_special;
	flags.id = id;
	*added_at(fill, id) = flags; /* of a token that comes twice the last counts */
	return STATUS_OK;
}

/* Tokens that the model does not know follow each other: after the added tokens
 * so far, and after as many ids as the model has tokens. */
static enum status fill_added(struct fill *fill, const struct json *list, struct error *err)
{
	fill->next_id = fill->n_model;
	for (const struct json *item = list ? json_first(list) : NULL; item; item = json_next(item))
		if (fill_added_token(fill, item, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	return STATUS_OK;
}

/* The id of a token beside tokenizer.json, which is added if nothing has it. */
static enum status place_extra(struct fill *fill, const struct extra_token *extra, int32_t *id,
			       struct error *err)
{
	struct vocabulary *v = fill->vocabulary;

	*id = vocabulary_find(v, extra->text, extra->length);
	if (*id >= 0)
		return STATUS_OK;
	*id = fill->next_id;
	if (*id > COMPONENT_MAX_ID || v->tokens[*id].text)
		return error_set(err, STATUS_BAD_INPUT, "%s adds \"%s\", but its place %d is %s",
				 extra->file, extra->text, (int)*id,
				 *id > COMPONENT_MAX_ID ? "too large" : "another token's");
	if (extra->said_id >= 0 && extra->said_id != *id)
		log_warn("%s gives \"%s\" the id %d; it gets the next free one, %d, as in "
			 "transformers",
			 extra->file, extra->text, (int)extra->said_id, (int)*id);
	put_token(fill, extra->text, extra->length, *id);
	if (*id >= v->size)
		v->size = *id + 1;
	return STATUS_OK;
}

/* What a token says of itself holds if no list has it, or one with a smaller id; of two that
 * name it the last one counts. */
static enum status fill_extra(struct fill *fill, const struct extra_token *extra, struct error *err)
{
	struct vocabulary *v = fill->vocabulary;
	bool is_listed, holds;
	int32_t id;

	if (place_extra(fill, extra, &id, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	is_listed = fill->places[id] > 0 && fill->places[id] <= fill->n_listed;
	holds = !is_listed || extra->kind == EXTRA_LISTED || extra->said_id > id;
	if (holds) {
		struct added_token *added = added_at(fill, id);
		*added = extra->flags;
		added->id = id;
	}
	if (holds || extra->kind == EXTRA_NAMED)
		v->tokens[id].is_special |= extra->is_special;
	if (extra->said_id >= 0)
		fill->n_listed = v->n_added;
	return STATUS_OK;
}

static enum status measure_extras(const struct extra_token *extras, size_t n, size_t *bytes,
				  struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (extras[i].length > MAX_ADDED_LENGTH)
			return error_set(err, STATUS_BAD_INPUT,
					 "tokenizer_config.json adds a token of %zu bytes, the "
					 "most is %d",
					 extras[i].length, MAX_ADDED_LENGTH);
		*bytes += extras[i].length + 1;
	}
	return STATUS_OK;
}

enum status vocabulary_load(struct vocabulary *vocabulary, const struct json *vocab,
			    const struct json *added_tokens, const struct extra_token *extras,
			    size_t n_extras, struct error *err)
{
	struct fill fill = {.vocabulary = vocabulary};
	size_t bytes = 0, n_model = 0, n_added = 0, capacity;
	enum status status;

	*vocabulary = (struct vocabulary){0};
	if (!vocab || json_type(vocab) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT, "model.vocab is not an object");
	if (added_tokens && json_type(added_tokens) != JSON_ARRAY &&
	    json_type(added_tokens) != JSON_NULL)
		return error_set(err, STATUS_BAD_INPUT, "added_tokens is not an array");
	if (measure_vocab(vocab, &bytes, &n_model, &vocabulary->size, err) != STATUS_OK ||
	    measure_added(added_tokens, &bytes, &n_added, &vocabulary->size, err) != STATUS_OK ||
	    measure_extras(extras, n_extras, &bytes, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	capacity = (size_t)vocabulary->size + n_extras;
	vocabulary->text = xmalloc(bytes);
	vocabulary->tokens = xcalloc(capacity, sizeof *vocabulary->tokens);
	vocabulary->added = xcalloc(n_added + n_extras, sizeof *vocabulary->added);
	hashmap_init(&vocabulary->ids, n_model + n_added + n_extras);
	fill.places = xcalloc(capacity, sizeof *fill.places);
	status = fill_vocab(&fill, vocab, err);
	if (status == STATUS_OK)
		status = fill_added(&fill, added_tokens, err);
	fill.n_listed = vocabulary->n_added;
	for (size_t i = 0; i < n_extras && status == STATUS_OK; i++)
		status = fill_extra(&fill, &extras[i], err);
	free(fill.places);
	if (status != STATUS_OK)
		vocabulary_release(vocabulary);
	return status;
}

void vocabulary_release(struct vocabulary *vocabulary)
{
	free(vocabulary->text);
	free(vocabulary->tokens);
	free(vocabulary->added);
	hashmap_release(&vocabulary->ids);
	*vocabulary = (struct vocabulary){0};
}

int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *text, size_t length)
{
	int32_t id;

	return hashmap_find(&vocabulary->ids, text, length, &id) ? id : -1;
}

int32_t vocabulary_find_model(const struct vocabulary *vocabulary, const char *text, size_t length)
{
	int32_t id = vocabulary_find(vocabulary, text, length);

	return id >= 0 && vocabulary->tokens[id].is_model ? id : -1;
}

static int compare_added(const void *a, const void *b)
{
	const struct added_token *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

void vocabulary_describe(const struct vocabulary *vocabulary, struct buf *out)
{
	size_t n = (size_t)vocabulary->n_added;
	struct added_token *sorted = xmalloc(n * sizeof *sorted);

	for (int32_t id = 0; id < vocabulary->size; id++) {
		const struct token *token = &vocabulary->tokens[id];
		if (!token->text)
			continue;
		buf_printf(out, "%d %u%s%s ", (int)id, token->length,
			   token->is_model ? " model" : "", token->is_special ? " special" : "");
		buf_append(out, token->text, token->length);
		buf_append_char(out, '\n');
	}
	memcpy(sorted, vocabulary->added, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, compare_added);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "added %d word %d left %d right %d normalized %d%s\n",
			   (int)sorted[i].id, sorted[i].is_single_word, sorted[i].strips_left,
			   sorted[i].strips_right, sorted[i].is_normalized,
			   sorted[i].is_text ? " text" : "");
	free(sorted);
}

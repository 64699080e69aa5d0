/* Rows of data files as ids.
 *
 * Ids given in a row are taken as they are; text is encoded, with the ids that
 * the tokenizer puts in front (BOS) once, at the very beginning.  What it would
 * put behind is left to the caller, who knows whether a sequence ends. */
#include "common/text/rows.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"

/* One row being read. */
struct reading {
	const struct json *object;
	int line;
	const struct row_context *context;
	struct error *err;
};

struct text {
	const char *data;
	size_t n;
};

void row_release(struct row *row)
{
	free(row->ids);
	free(row->is_target);
	*row = (struct row){0};
}

bool row_is_target(const struct row *row, int i)
{
	return row->is_target ? row->is_target[i] : i >= row->n_prompt;
}

static enum status refuse(const struct reading *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static enum status refuse(const struct reading *r, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return error_set(r->err, STATUS_BAD_INPUT, "%s: line %d: %s", r->context->where, r->line,
			 text);
}

/* The sentence in r->err, about a member of the row. */
static enum status refuse_because(const struct reading *r, const char *key)
{
	return error_prefix(r->err, STATUS_BAD_INPUT, "%s: line %d: \"%s\"", r->context->where,
			    r->line, key);
}

/* A member that is null is not there: so exporters of tables write what a row has not. */
static bool has(const struct reading *r, const char *key)
{
	return json_given(r->object, key) != NULL;
}

/* But of what narrows down what is learnt, null is refused like any wrong value. */
static bool says(const struct reading *r, const char *key)
{
	return json_get(r->object, key) != NULL;
}

/* --- members --- */

static enum status get_text(const struct reading *r, const char *key, struct text *text)
{
	const struct json *value = json_given(r->object, key);

	if (!value)
		return refuse(r, "\"%s\" is missing", key);
	if (json_type(value) != JSON_STRING)
		return refuse(r, "\"%s\" is %s, expected a string", key, json_type_name(value));
	if (!r->context->tokenizer)
		return refuse(r, "\"%s\" is text, but there is no tokenizer: expected ids", key);
	text->data = json_string(value, &text->n);
	return STATUS_OK;
}

static enum status get_ids(const struct reading *r, const char *key, struct ids *ids)
{
	const struct json *value = json_given(r->object, key);
	size_t place = 0;

	if (!value)
		return refuse(r, "\"%s\" is missing", key);
	if (json_type(value) != JSON_ARRAY)
		return refuse(r, "\"%s\" is %s, expected an array of ids", key,
			      json_type_name(value));
	for (const struct json *item = json_first(value); item; item = json_next(item), place++) {
		int64_t id;
		int32_t narrow;
		if (json_type(item) != JSON_NUMBER)
			return refuse(r, "\"%s\"[%zu] is %s, expected an id", key, place,
				      json_type_name(item));
		if (!json_int64(item, &id) || id < 0 || id >= r->context->n_vocab)
			return refuse(r, "\"%s\"[%zu] is %.17g, expected an id from 0 to %d", key,
				      place, json_number(item), r->context->n_vocab - 1);
		narrow = (int32_t)id;
		ids_append(ids, &narrow, 1);
	}
	return STATUS_OK;
}

enum status row_ids(struct ids *ids, const struct json *object, const char *key, int line,
		    const struct row_context *context, struct error *err)
{
	struct reading r = {object, line, context, err};

	return get_ids(&r, key, ids);
}

/* --- encoding --- */

/* Ids of text, with BOS in front if it begins a sequence. */
static void encode(const struct reading *r, struct text text, bool is_start, struct ids *out)
{
	size_t n;
	const int32_t *prefix = tokenizer_prefix(r->context->tokenizer, &n);

	if (is_start)
		ids_append(out, prefix, n);
	tokenizer_encode(r->context->tokenizer, text.data, text.n, false, out);
}

/* Appends the ids of prompt + completion, which begin with the prompt's: the ids
 * of the joint text if those do, else of both apart. */
static void encode_joint(const struct reading *r, const struct ids *prompt_ids, struct text prompt,
			 struct text completion, struct ids *out)
{
	char *joint = xmalloc(prompt.n + completion.n + 1);

	if (prompt.n > 0)
		memcpy(joint, prompt.data, prompt.n);
	memcpy(joint + prompt.n, completion.data, completion.n);
	encode(r, (struct text){joint, prompt.n + completion.n}, true, out);
	if (!ids_continue_with(out, 0, prompt_ids)) {
		out->n = 0;
		ids_append(out, prompt_ids->data, prompt_ids->n);
		encode(r, completion, false, out);
	}
	free(joint);
}

/* Hands *ids over to *row. */
static enum status finish(const struct reading *r, struct ids *ids, size_t n_prompt,
			  struct row *row)
{
	if (ids->n == 0)
		return refuse(r, "the row holds no ids");
	if (ids->n > INT_MAX)
		return refuse(r, "%zu ids, the most is %d", ids->n, INT_MAX);
	for (size_t i = 0; i < ids->n; i++)
		if (ids->data[i] >= r->context->n_vocab)
			return refuse(
				r, "the tokenizer gives id %d, but the model's vocabulary has %d",
				(int)ids->data[i], r->context->n_vocab);
	*row = (struct row){.ids = ids->data, .n = (int)ids->n, .n_prompt = (int)n_prompt};
	*ids = (struct ids){0};
	return STATUS_OK;
}

/* --- conversations --- */

static bool is_list(const struct reading *r, const char *key)
{
	const struct json *value = json_given(r->object, key);

	return value && json_type(value) == JSON_ARRAY;
}

/* "[]" is how tools are written where a column holds their JSON. */
static bool is_empty(const struct json *value)
{
	const struct json *member = json_first(value);

	if (json_type(value) == JSON_STRING)
		return strlen(json_string(value, NULL)) == 0 ||
		       strcmp(json_string(value, NULL), "[]") == 0;
	while (member && json_type(value) == JSON_OBJECT && json_type(member) == JSON_NULL)
		member = json_next(member);
	return (json_type(value) == JSON_ARRAY || json_type(value) == JSON_OBJECT) && !member;
}

/* What TRL hands to the template beside the messages. */
static enum status refuse_arguments(const struct reading *r)
{
	static const char *const keys[] = {"tools", "chat_template_kwargs"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json *value = json_given(r->object, keys[i]);
		if (value && !is_empty(value))
			return refuse(r, "\"%s\" beside messages is not supported", keys[i]);
	}
	return STATUS_OK;
}

static enum status get_messages(const struct reading *r, const char *key, bool is_target,
				struct chat_messages *messages)
{
	const struct json *value = json_given(r->object, key);

	if (!value)
		return refuse(r, "\"%s\" is missing", key);
	if (!r->context->chat)
		return refuse(r,
			      "\"%s\" is a list of messages, but there is no chat format: "
			      "expected text or ids",
			      key);
	if (refuse_arguments(r) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (chat_messages_append(messages, value, is_target, r->err) == STATUS_OK)
		return STATUS_OK;
	return refuse_because(r, key);
}

/* Encodes messages and hands their ids over to *row. */
static enum status encode_messages(const struct reading *r, const struct chat_messages *messages,
				   enum chat_purpose purpose, struct row *row)
{
	struct chat_ids ids = {0};
	enum status status = chat_encode(r->context->chat, messages, purpose, &ids, r->err);

	if (status != STATUS_OK)
		return refuse_because(r, "messages");
	status = finish(r, &ids.ids, ids.n_prompt, row);
	if (status == STATUS_OK && purpose == CHAT_WHOLE) {
		row->is_target = ids.is_target;
		ids.is_target = NULL;
	}
	chat_ids_release(&ids);
	return status;
}

static enum status sequence_of_messages(const struct reading *r, struct row *row)
{
	struct chat_messages messages = {0};
	enum status status;

	if (has(r, "messages")) {
		status = get_messages(r, "messages", true, &messages);
	} else {
		status = get_messages(r, "prompt", false, &messages);
		if (status == STATUS_OK)
			status = get_messages(r, "completion", true, &messages);
	}
	if (status == STATUS_OK)
		status = encode_messages(r, &messages, CHAT_WHOLE, row);
	chat_messages_release(&messages);
	return status;
}

static enum status prompt_of_messages(const struct reading *r, struct row *row)
{
	struct chat_messages messages = {0};
	enum status status =
		get_messages(r, has(r, "messages") ? "messages" : "prompt", false, &messages);

	if (status == STATUS_OK)
		status = encode_messages(r, &messages, CHAT_PROMPT, row);
	chat_messages_release(&messages);
	return status;
}

/* --- sequences --- */

/* "prompt_length" beside "input_ids", if it is there. */
static enum status get_prompt_length(const struct reading *r, const struct ids *ids,
				     size_t *n_prompt)
{
	const struct json *value = json_get(r->object, "prompt_length");
	int64_t length;

	if (!value)
		return STATUS_OK;
	if (json_type(value) != JSON_NUMBER || !json_int64(value, &length) || length < 0 ||
	    (uint64_t)length > ids->n)
		return refuse(r,
			      "\"prompt_length\" is not a count from 0 to %zu, the ids that "
			      "there are",
			      ids->n);
	*n_prompt = (size_t)length;
	return STATUS_OK;
}

/* A list with a member for each of n ids. */
static enum status check_list(const struct reading *r, const char *key, int n)
{
	const struct json *value = json_get(r->object, key);

	if (json_type(value) != JSON_ARRAY)
		return refuse(r, "\"%s\" is %s, expected an array of %d, one for each id", key,
			      json_type_name(value), n);
	if (json_count(value) != (size_t)n)
		return refuse(r, "\"%s\" has %zu members, expected %d, one for each id", key,
			      json_count(value), n);
	return STATUS_OK;
}

/* "labels" beside the row's "input_ids", as transformers takes them: each the id of its
 * own place, or IGNORED. */
static enum status get_labels(const struct reading *r, struct row *row)
{
	enum { IGNORED = -100 };
	const struct json *labels = json_get(r->object, "labels");
	int place = 0;

	if (check_list(r, "labels", row->n) != STATUS_OK)
		return STATUS_BAD_INPUT;
	row->is_target = xcalloc((size_t)row->n, sizeof *row->is_target);
	for (const struct json *item = json_first(labels); item; item = json_next(item), place++) {
		int64_t label = 0;

		if (json_type(item) != JSON_NUMBER || !json_int64(item, &label) ||
		    (label != IGNORED && label != row->ids[place]))
			return refuse(r, "\"labels\"[%d] is neither %d nor %d, the id of its place",
				      place, IGNORED, row->ids[place]);
		row->is_target[place] = label != IGNORED;
	}
	return STATUS_OK;
}

/* A list of a 0 or 1 (or false or true) for each id: mask [n]. */
static enum status get_mask(const struct reading *r, const char *key, int n, uint8_t *mask)
{
	const struct json *value = json_get(r->object, key);
	int place = 0;

	if (check_list(r, key, n) != STATUS_OK)
		return STATUS_BAD_INPUT;
	for (const struct json *item = json_first(value); item; item = json_next(item), place++) {
		int64_t number = -1;

		if (json_type(item) == JSON_BOOL)
			number = json_bool(item);
		else if (json_type(item) == JSON_NUMBER)
			(void)json_int64(item, &number);
		if (number != 0 && number != 1)
			return refuse(r, "\"%s\"[%d] is neither 0 nor 1", key, place);
		mask[place] = number == 1;
	}
	return STATUS_OK;
}

/* What TRL writes beside "input_ids": where there are both, both must say 1. */
static enum status get_target_masks(const struct reading *r, struct row *row)
{
	static const char *const keys[] = {"completion_mask", "assistant_masks"};
	uint8_t *mask = xcalloc((size_t)row->n, sizeof *mask);
	enum status status = STATUS_OK;

	for (size_t k = 0; k < 2 && status == STATUS_OK; k++) {
		if (!says(r, keys[k]))
			continue;
		status = get_mask(r, keys[k], row->n, mask);
		if (!row->is_target) {
			row->is_target = mask;
			mask = xcalloc((size_t)row->n, sizeof *mask);
			continue;
		}
		for (int i = 0; i < row->n; i++)
			row->is_target[i] &= mask[i];
	}
	free(mask);
	return status;
}

/* Leaves out what "attention_mask" calls padding, at either end. */
static enum status drop_padding(const struct reading *r, struct row *row)
{
	uint8_t *mask = xcalloc((size_t)row->n, sizeof *mask);
	enum status status = get_mask(r, "attention_mask", row->n, mask);
	int first = 0, end = row->n;

	while (first < end && !mask[first])
		first++;
	while (end > first && !mask[end - 1])
		end--;
	for (int i = first; i < end && status == STATUS_OK; i++)
		if (!mask[i])
			status = refuse(r,
					"\"attention_mask\"[%d] is 0 between ids for which it "
					"is 1; expected padding at the ends alone",
					i);
	if (status == STATUS_OK && first == end)
		status = refuse(r, "\"attention_mask\" is 0 for every id");
	free(mask);
	if (status != STATUS_OK)
		return status;
	row->n = end - first;
	memmove(row->ids, row->ids + first, (size_t)row->n * sizeof *row->ids);
	if (row->is_target)
		memmove(row->is_target, row->is_target + first, (size_t)row->n);
	row->n_prompt = row->n_prompt > first ? row->n_prompt - first : 0;
	if (row->n_prompt > row->n)
		row->n_prompt = row->n;
	return STATUS_OK;
}

/* What may stand beside "input_ids". */
static enum status get_masks(const struct reading *r, struct row *row)
{
	enum status status = STATUS_OK;

	if (says(r, "labels"))
		status = get_labels(r, row);
	if (status == STATUS_OK)
		status = get_target_masks(r, row);
	if (status == STATUS_OK && says(r, "attention_mask"))
		status = drop_padding(r, row);
	return status;
}

static enum status sequence_of_ids(const struct reading *r, struct ids *ids, size_t *n_prompt)
{
	if (has(r, "input_ids")) {
		if (get_ids(r, "input_ids", ids) != STATUS_OK)
			return STATUS_BAD_INPUT;
		return get_prompt_length(r, ids, n_prompt);
	}
	if (get_ids(r, "prompt_ids", ids) != STATUS_OK)
		return STATUS_BAD_INPUT;
	*n_prompt = ids->n;
	return get_ids(r, "completion_ids", ids);
}

static enum status sequence_of_text(const struct reading *r, struct ids *ids, size_t *n_prompt)
{
	struct text prompt, completion;
	struct ids prompt_ids = {0};

	if (!has(r, "prompt")) {
		if (get_text(r, "text", &prompt) != STATUS_OK)
			return STATUS_BAD_INPUT;
		encode(r, prompt, true, ids);
		return STATUS_OK;
	}
	if (get_text(r, "prompt", &prompt) != STATUS_OK ||
	    get_text(r, "completion", &completion) != STATUS_OK)
		return STATUS_BAD_INPUT;
	encode(r, prompt, true, &prompt_ids);
	encode_joint(r, &prompt_ids, prompt, completion, ids);
	*n_prompt = prompt_ids.n;
	ids_release(&prompt_ids);
	return STATUS_OK;
}

enum status row_sequence(struct row *row, const struct json *object, int line,
			 const struct row_context *context, struct error *err)
{
	struct reading r = {object, line, context, err};
	struct ids ids = {0};
	size_t n_prompt = 0;
	bool has_ids = has(&r, "input_ids") || has(&r, "prompt_ids");
	enum status status;

	*row = (struct row){0};
	if (has(&r, "messages") || (is_list(&r, "prompt") && has(&r, "completion")))
		return sequence_of_messages(&r, row);
	if (has_ids)
		status = sequence_of_ids(&r, &ids, &n_prompt);
	else if ((has(&r, "prompt") && has(&r, "completion")) || has(&r, "text"))
		status = sequence_of_text(&r, &ids, &n_prompt);
	else
		status = refuse(&r, "expected \"text\", or \"prompt\" and \"completion\", or "
				    "\"input_ids\", or \"prompt_ids\" and \"completion_ids\", or "
				    "\"messages\"");
	if (status == STATUS_OK)
		status = finish(&r, &ids, n_prompt, row);
	row->is_text = !has_ids;
	if (status == STATUS_OK && has(&r, "input_ids"))
		status = get_masks(&r, row);
	if (status != STATUS_OK)
		row_release(row);
	ids_release(&ids);
	return status;
}

enum status row_prompt(struct row *row, const struct json *object, int line,
		       const struct row_context *context, struct error *err)
{
	struct reading r = {object, line, context, err};
	struct ids ids = {0};
	struct text prompt;
	bool is_padded = has(&r, "input_ids") && !has(&r, "prompt_ids");
	enum status status;

	*row = (struct row){0};
	if (has(&r, "messages") || is_list(&r, "prompt"))
		return prompt_of_messages(&r, row);
	if (has(&r, "prompt_ids")) {
		status = get_ids(&r, "prompt_ids", &ids);
	} else if (is_padded) {
		status = get_ids(&r, "input_ids", &ids);
	} else if (has(&r, "prompt")) {
		status = get_text(&r, "prompt", &prompt);
		if (status == STATUS_OK)
			encode(&r, prompt, true, &ids);
	} else {
		status = refuse(&r, "expected \"prompt\", \"prompt_ids\", \"input_ids\" or "
				    "\"messages\"");
	}
	if (status == STATUS_OK)
		status = finish(&r, &ids, ids.n, row);
	if (status == STATUS_OK && is_padded && has(&r, "attention_mask"))
		status = drop_padding(&r, row);
	if (status != STATUS_OK)
		row_release(row);
	ids_release(&ids);
	return status;
}

/* --- pairs --- */

static size_t common_ids(const struct ids *a, const struct ids *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n && a->data[n] == b->data[n])
		n++;
	return n;
}

/* Where the prompt of two whole dialogues ends: behind the last "\n\nAssistant:"
 * that both share; 0 if they share none. */
static size_t shared_prompt(struct text a, struct text b)
{
	static const char marker[] = "\n\nAssistant:";
	size_t length = sizeof marker - 1, common = 0;

	while (common < a.n && common < b.n && a.data[common] == b.data[common])
		common++;
	for (size_t end = common; end >= length; end--)
		if (memcmp(a.data + end - length, marker, length) == 0)
			return end;
	return 0;
}

static enum status pair_of_ids(const struct reading *r, struct ids both[2], size_t *n_prompt)
{
	static const char *const keys[] = {"chosen_ids", "rejected_ids"};

	for (int i = 0; i < 2; i++) {
		if (has(r, "prompt_ids") && get_ids(r, "prompt_ids", &both[i]) != STATUS_OK)
			return STATUS_BAD_INPUT;
		*n_prompt = both[i].n;
		if (get_ids(r, keys[i], &both[i]) != STATUS_OK)
			return STATUS_BAD_INPUT;
	}
	if (!has(r, "prompt_ids"))
		*n_prompt = common_ids(&both[0], &both[1]);
	return STATUS_OK;
}

static void encode_pair(const struct reading *r, struct text prompt, struct text chosen,
			struct text rejected, struct ids both[2], size_t *n_prompt)
{
	struct ids prompt_ids = {0};

	encode(r, prompt, true, &prompt_ids);
	encode_joint(r, &prompt_ids, prompt, chosen, &both[0]);
	encode_joint(r, &prompt_ids, prompt, rejected, &both[1]);
	*n_prompt = prompt_ids.n;
	ids_release(&prompt_ids);
}

static enum status pair_of_text(const struct reading *r, struct ids both[2], size_t *n_prompt)
{
	struct text prompt = {0}, chosen, rejected;

	if (has(r, "prompt") && get_text(r, "prompt", &prompt) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (get_text(r, "chosen", &chosen) != STATUS_OK ||
	    get_text(r, "rejected", &rejected) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (!has(r, "prompt")) {
		size_t cut = shared_prompt(chosen, rejected);
		if (cut == 0) {
			encode(r, chosen, true, &both[0]);
			encode(r, rejected, true, &both[1]);
			*n_prompt = common_ids(&both[0], &both[1]);
			return STATUS_OK;
		}
		prompt = (struct text){chosen.data, cut};
		chosen = (struct text){chosen.data + cut, chosen.n - cut};
		rejected = (struct text){rejected.data + cut, rejected.n - cut};
	}
	encode_pair(r, prompt, chosen, rejected, both, n_prompt);
	return STATUS_OK;
}

/* How many turns both begin with. */
static size_t shared_turns(const struct chat_messages *a, const struct chat_messages *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n && a->data[n].role == b->data[n].role &&
	       a->data[n].n == b->data[n].n &&
	       memcmp(a->data[n].text, b->data[n].text, a->data[n].n) == 0)
		n++;
	return n;
}

/* Both with the prompt in front.  Without one the turns that both share are it, but
 * the last turn is a completion in any case. */
static enum status read_both(const struct reading *r, struct chat_messages both[2])
{
	static const char *const keys[] = {"chosen", "rejected"};
	size_t n_shared;

	for (int i = 0; i < 2; i++) {
		if (is_list(r, "prompt") && get_messages(r, "prompt", false, &both[i]) != STATUS_OK)
			return STATUS_BAD_INPUT;
		if (get_messages(r, keys[i], true, &both[i]) != STATUS_OK)
			return STATUS_BAD_INPUT;
	}
	if (is_list(r, "prompt"))
		return STATUS_OK;
	n_shared = shared_turns(&both[0], &both[1]);
	for (int i = 0; i < 2; i++)
		for (size_t j = 0; j < n_shared && j + 1 < both[i].n; j++)
			both[i].data[j].is_target = false;
	return STATUS_OK;
}

static bool share_prompt(const struct row *a, const struct row *b)
{
	return a->n_prompt == b->n_prompt &&
	       memcmp(a->ids, b->ids, (size_t)a->n_prompt * sizeof *a->ids) == 0;
}

static enum status pair_of_messages(const struct reading *r, struct row *chosen,
				    struct row *rejected)
{
	struct chat_messages both[2] = {{0}, {0}};
	enum status status = read_both(r, both);

	if (status == STATUS_OK)
		status = encode_messages(r, &both[0], CHAT_WHOLE, chosen);
	if (status == STATUS_OK)
		status = encode_messages(r, &both[1], CHAT_WHOLE, rejected);
	if (status == STATUS_OK && !share_prompt(chosen, rejected))
		status = refuse(r, "\"chosen\" and \"rejected\" do not part where the assistant "
				   "begins to speak");
	if (status != STATUS_OK) {
		row_release(chosen);
		row_release(rejected);
	}
	chat_messages_release(&both[0]);
	chat_messages_release(&both[1]);
	return status;
}

enum status row_pair(struct row *chosen, struct row *rejected, const struct json *object, int line,
		     const struct row_context *context, struct error *err)
{
	struct reading r = {object, line, context, err};
	struct ids both[2] = {{0}, {0}};
	size_t n_prompt = 0;
	bool has_ids = has(&r, "chosen_ids") || has(&r, "rejected_ids");
	enum status status;

	*chosen = *rejected = (struct row){0};
	if (is_list(&r, "chosen") || is_list(&r, "rejected"))
		return pair_of_messages(&r, chosen, rejected);
	if (has_ids)
		status = pair_of_ids(&r, both, &n_prompt);
	else
		status = pair_of_text(&r, both, &n_prompt);
	if (status == STATUS_OK)
		status = finish(&r, &both[0], n_prompt, chosen);
	if (status == STATUS_OK)
		status = finish(&r, &both[1], n_prompt, rejected);
	chosen->is_text = rejected->is_text = !has_ids;
	if (status != STATUS_OK)
		row_release(chosen);
	ids_release(&both[0]);
	ids_release(&both[1]);
	return status;
}

/* --- cuts --- */

/* How many ids in front of a row a cut on the left leaves there. */
static int count_kept(const struct row *row, const struct row_context *context)
{
	const struct tokenizer *tokenizer = context->tokenizer;
	int32_t bos = tokenizer ? tokenizer_bos(tokenizer) : context->bos_id;
	size_t n = 0;
	const int32_t *prefix = tokenizer ? tokenizer_prefix(tokenizer, &n) : NULL;

	if (n > 0 && n <= (size_t)row->n && memcmp(row->ids, prefix, n * sizeof *prefix) == 0)
		return (int)n;
	return bos >= 0 && row->n > 0 && row->ids[0] == bos;
}

/* Takes out n ids behind the first n_kept. */
static void cut_front(struct row *row, int n, int n_kept)
{
	size_t rest = (size_t)(row->n - n_kept - n);

	memmove(row->ids + n_kept, row->ids + n_kept + n, rest * sizeof *row->ids);
	if (row->is_target)
		memmove(row->is_target + n_kept, row->is_target + n_kept + n, rest);
	row->n -= n;
	if (row->n_prompt > n_kept)
		row->n_prompt = row->n_prompt - n > n_kept ? row->n_prompt - n : n_kept;
}

void row_cut(struct row *row, int max_length, bool from_left, const struct row_context *context)
{
	int n_kept;

	if (row->n <= max_length)
		return;
	if (from_left) {
		n_kept = count_kept(row, context);
		cut_front(row, row->n - max_length, n_kept < max_length ? n_kept : max_length);
		return;
	}
	row->n = max_length;
	if (row->n_prompt > row->n)
		row->n_prompt = row->n;
}

void row_cut_pair(struct row *chosen, struct row *rejected, int max_length, bool from_left,
		  const struct row_context *context)
{
	int extra = (chosen->n > rejected->n ? chosen->n : rejected->n) - max_length;
	int n_kept = count_kept(chosen, context), n_shared = chosen->n_prompt - n_kept;

	if (from_left && extra > 0 && n_shared > 0) {
		cut_front(chosen, extra < n_shared ? extra : n_shared, n_kept);
		cut_front(rejected, extra < n_shared ? extra : n_shared, n_kept);
	}
	row_cut(chosen, max_length, from_left, context);
	row_cut(rejected, max_length, from_left, context);
}

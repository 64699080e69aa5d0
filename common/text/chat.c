/* From messages to text and ids.
 *
 * A conversation is rendered as one text in parts, each of them the format's own or
 * what somebody says, and to be learnt or not:
 *
 *     <|im_start|>user\n | How many? | <|im_end|>\n<|im_start|>assistant\n | Two. | <|im_end|> | \n
 *     format               content     format                               content  format format
 *                                                                           target   target
 *
 * The parts are encoded as one text (tokenizer_encode_parts): tokens of the format are
 * not looked for in content, and where targets begin and end the ids are counted. */
#include "common/text/chat.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/text/chat_format.h"
#include "common/text/chat_template.h"
#include "common/text/unicode.h"

static const size_t MAX_FILE = (size_t)256 << 20;

struct chat {
	const struct tokenizer *tokenizer;
	bool has_format;
	struct chat_format format;
	struct buf kept;  /* holds what the format was read off */
	struct error why; /* there is no format */
	bool *guarded;	  /* [tokenizer_size]: plain text in content */
};

static const char *const ROLES[] = {"system", "user", "assistant"};

/* --- messages --- */

static enum status read_role(const struct json *turn, enum chat_role *role, struct error *err)
{
	const struct json *name = json_get(turn, "role");
	const char *text;
	size_t n;

	if (!name || json_type(name) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT, "there is no \"role\" that is a string");
	text = json_string(name, &n);
	for (int i = 0; i < 3; i++) {
		if (strlen(ROLES[i]) == n && memcmp(text, ROLES[i], n) == 0) {
			*role = (enum chat_role)i;
			return STATUS_OK;
		}
	}
	return error_set(err, STATUS_BAD_INPUT,
			 "role \"%s\" is not supported, expected system, user or assistant", text);
}

/* A list of {"type": "text", "text": ...}, joined. */
static enum status read_pieces(const struct json *list, struct buf *text, struct error *err)
{
	for (const struct json *piece = json_first(list); piece; piece = json_next(piece)) {
		const struct json *type = json_get(piece, "type"), *value = json_get(piece, "text");
		size_t n;
		const char *string;
		if (!type || json_type(type) != JSON_STRING ||
		    strcmp(json_string(type, NULL), "text") != 0 || !value ||
		    json_type(value) != JSON_STRING)
			return error_set(err, STATUS_BAD_INPUT,
					 "a part of the content is no text: images and sounds are "
					 "not supported");
		string = json_string(value, &n);
		buf_append(text, string, n);
	}
	return STATUS_OK;
}

static enum status read_content(const struct json *turn, struct buf *text, struct error *err)
{
	const struct json *content = json_get(turn, "content");
	const char *string;
	size_t n;

	buf_append(text, "", 0);
	if (!content)
		return error_set(err, STATUS_BAD_INPUT, "\"content\" is missing");
	if (json_type(content) == JSON_ARRAY)
		return read_pieces(content, text, err);
	if (json_type(content) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT, "\"content\" is %s, expected a string",
				 json_type_name(content));
	string = json_string(content, &n);
	buf_append(text, string, n);
	return STATUS_OK;
}

/* Members that change what a template gives, and that are not supported. */
static enum status refuse_members(const struct json *turn, struct error *err)
{
	static const char *const keys[] = {"tool_calls", "function_call", "reasoning_content"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json *value = json_get(turn, keys[i]);
		bool is_empty =
			!value || json_type(value) == JSON_NULL ||
			(json_type(value) == JSON_ARRAY && !json_first(value)) ||
			(json_type(value) == JSON_STRING && json_string(value, NULL)[0] == '\0');
		if (!is_empty)
			return error_set(err, STATUS_BAD_INPUT, "\"%s\" is not supported", keys[i]);
	}
	return STATUS_OK;
}

static enum status append_turn(struct chat_messages *messages, const struct json *turn,
			       bool is_target, struct error *err)
{
	struct chat_message message = {0};
	struct buf text = BUF_INIT;

	if (json_type(turn) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT, "%s, expected an object",
				 json_type_name(turn));
	if (read_role(turn, &message.role, err) != STATUS_OK ||
	    refuse_members(turn, err) != STATUS_OK || read_content(turn, &text, err) != STATUS_OK) {
		buf_release(&text);
		return STATUS_BAD_INPUT;
	}
	if (message.role == CHAT_SYSTEM && messages->n > 0) {
		buf_release(&text);
		return error_set(err, STATUS_BAD_INPUT, "a system message that is not the first");
	}
	message.is_target = is_target && message.role == CHAT_ASSISTANT;
	message.n = text.length;
	message.text = buf_detach(&text);
	messages->data = xrealloc(messages->data, messages->n + 1, sizeof *messages->data);
	messages->data[messages->n++] = message;
	return STATUS_OK;
}

enum status chat_messages_append(struct chat_messages *messages, const struct json *array,
				 bool is_target, struct error *err)
{
	size_t i = 0;

	if (json_type(array) != JSON_ARRAY)
		return error_set(err, STATUS_BAD_INPUT, "%s, expected an array of messages",
				 json_type_name(array));
	if (!json_first(array))
		return error_set(err, STATUS_BAD_INPUT, "there are no messages");
	for (const struct json *turn = json_first(array); turn; turn = json_next(turn), i++)
		if (append_turn(messages, turn, is_target, err) != STATUS_OK)
			return error_prefix(err, STATUS_BAD_INPUT, "turn %zu", i + 1);
	return STATUS_OK;
}

void chat_messages_release(struct chat_messages *messages)
{
	for (size_t i = 0; i < messages->n; i++)
		free(messages->data[i].text);
	free(messages->data);
	*messages = (struct chat_messages){0};
}

/* --- rendering --- */

struct rendering {
	const struct chat *chat;
	struct buf *text;
	struct text_part *parts; /* [n] */
	bool *is_target;	 /* [n] */
	size_t n, capacity;
};

static void rendering_release(struct rendering *r)
{
	free(r->parts);
	free(r->is_target);
}

static void emit(struct rendering *r, const char *text, size_t n, bool is_plain, bool is_target)
{
	if (n == 0)
		return;
	if (r->n == r->capacity) {
		r->capacity = r->capacity ? 2 * r->capacity : 32;
		r->parts = xrealloc(r->parts, r->capacity, sizeof *r->parts);
		r->is_target = xrealloc(r->is_target, r->capacity, sizeof *r->is_target);
	}
	buf_append(r->text, text, n);
	if (r->n > 0 && r->is_target[r->n - 1] != is_target)
		r->parts[r->n - 1].is_cut = true;
	r->parts[r->n] = (struct text_part){.end = r->text->length, .is_plain = is_plain};
	r->is_target[r->n++] = is_target;
}

static void emit_token(struct rendering *r, int32_t id, bool is_target)
{
	size_t n;
	const char *text = tokenizer_token(r->chat->tokenizer, id, &n);

	if (text)
		emit(r, text, n, false, is_target);
}

/* Text of the format; NULL is none. */
static void emit_own(struct rendering *r, const char *text, bool is_target)
{
	while (text && *text) {
		size_t n = strcspn(text, "\1\2");
		emit(r, text, n, false, is_target);
		text += n;
		if (*text == '\1')
			emit_token(r, tokenizer_bos(r->chat->tokenizer), is_target);
		else if (*text == '\2')
			emit_token(r, tokenizer_eos(r->chat->tokenizer), is_target);
		text += *text != '\0';
	}
}

/* A stretch of what somebody says. */
struct said {
	const char *text;
	size_t n;
};

/* White space of Python's strip. */
static bool is_strippable(uint32_t c)
{
	return unicode_is_space(c) || (c >= 0x1C && c <= 0x1F);
}

static struct said strip(struct said s)
{
	uint32_t c;
	size_t length;

	while ((length = utf8_next(s.text, s.n, &c)) > 0 && is_strippable(c)) {
		s.text += length;
		s.n -= length;
	}
	while ((length = utf8_previous(s.text, s.n, &c)) > 0 && is_strippable(c))
		s.n -= length;
	return s;
}

static struct said strip_newlines(struct said s, bool left, bool right)
{
	while (left && s.n > 0 && s.text[0] == '\n') {
		s.text++;
		s.n--;
	}
	while (right && s.n > 0 && s.text[s.n - 1] == '\n')
		s.n--;
	return s;
}

static void emit_said(struct rendering *r, struct said said, bool trims, bool is_target)
{
	if (trims)
		said = strip(said);
	emit(r, said.text, said.n, true, is_target);
}

static struct said text_of(const struct chat_message *message)
{
	return (struct said){message->text, message->n};
}

/* The system message, or what the format says where there is none. */
static void emit_system(struct rendering *r, const struct chat_messages *messages)
{
	const struct chat_format *format = &r->chat->format;
	bool is_given = messages->data[0].role == CHAT_SYSTEM;

	if (is_given ? format->skips_empty_system && messages->data[0].n == 0
		     : !format->default_system)
		return;
	emit_own(r, format->before_system, false);
	if (is_given)
		emit_said(r, text_of(&messages->data[0]), format->trims_system, false);
	else
		emit_own(r, format->default_system, false);
	emit_own(r, format->after_system, false);
}

/* The place of the user's message that the system's text is put into, the last if into more. */
static size_t system_host(const struct chat_format *format, const struct chat_messages *messages)
{
	size_t host = messages->n, last = messages->n - 1;

	if (format->system == CHAT_SYSTEM_END)
		return messages->data[last].role == CHAT_USER ? last : messages->n;
	for (size_t i = 0; i < messages->n; i++)
		if (messages->data[i].role == CHAT_USER &&
		    (host == messages->n || format->system == CHAT_SYSTEM_LAST ||
		     format->system == CHAT_SYSTEM_LIKE))
			host = i;
	return format->system == CHAT_SYSTEM_TURN ? messages->n : host;
}

static bool is_host(const struct chat_format *format, const struct chat_messages *messages,
		    size_t i)
{
	size_t host = system_host(format, messages);
	const struct chat_message *a = &messages->data[i], *b = &messages->data[host];

	if (messages->data[0].role != CHAT_SYSTEM || host == messages->n)
		return false;
	return i == host || (format->system == CHAT_SYSTEM_LIKE && a->n == b->n &&
			     memcmp(a->text, b->text, a->n) == 0);
}

/* Drops the white space at the end of the text, up to a place in it. */
static void strip_end(struct rendering *r, size_t from)
{
	struct said said = {r->text->data + from, r->text->length - from};
	struct said stripped = strip(said);

	if (stripped.n > 0)
		from += (size_t)(stripped.text + stripped.n - said.text);
	r->text->length = from;
	while (r->n > 1 && r->parts[r->n - 2].end >= from)
		r->n--;
	if (r->n > 0)
		r->parts[r->n - 1].end = from;
}

static void emit_user(struct rendering *r, const struct chat_messages *messages, size_t i)
{
	const struct chat_format *format = &r->chat->format;
	bool hosts = is_host(format, messages, i);
	bool trims_together = hosts && format->trims_together;
	size_t start;

	emit_own(r, format->before_user, false);
	start = r->text->length;
	if (hosts)
		emit_system(r, messages);
	emit_said(r, text_of(&messages->data[i]), format->trims_user && !trims_together, false);
	if (trims_together)
		strip_end(r, start);
	emit_own(r, format->after_user, false);
}

/* An answer without its thoughts: what is behind the last </think>. */
static struct said drop_thoughts(struct said said)
{
	static const char close[] = "</think>";
	const char *end;

	while ((end = memmem(said.text, said.n, close, sizeof close - 1))) {
		said.n -= (size_t)(end - said.text) + sizeof close - 1;
		said.text = end + sizeof close - 1;
	}
	return said;
}

/* Splits an answer at the end of its thoughts: <think>\nthoughts\n</think>\n\nrest. */
static struct said cut_thoughts(struct said *said)
{
	static const char open[] = "<think>", close[] = "</think>";
	const char *end = memmem(said->text, said->n, close, sizeof close - 1), *at;
	struct said thoughts = {said->text, 0};

	if (!end)
		return thoughts;
	thoughts.n = (size_t)(end - said->text);
	thoughts = strip_newlines(thoughts, false, true);
	while ((at = memmem(thoughts.text, thoughts.n, open, sizeof open - 1))) {
		thoughts.n -= (size_t)(at - thoughts.text) + sizeof open - 1;
		thoughts.text = at + sizeof open - 1;
	}
	*said = strip_newlines(drop_thoughts(*said), true, false);
	return strip_newlines(thoughts, true, true);
}

static bool is_tool_response(const struct chat_message *message)
{
	static const char open[] = "<tool_response>", close[] = "</tool_response>";

	return message->n >= sizeof close - 1 &&
	       memcmp(message->text, open, sizeof open - 1) == 0 &&
	       memcmp(message->text + message->n - (sizeof close - 1), close, sizeof close - 1) ==
		       0;
}

/* Whether nobody has asked anything since. */
static bool is_behind_last_question(const struct chat_messages *messages, size_t i)
{
	size_t last = messages->n - 1;

	for (size_t j = 0; j < messages->n; j++)
		if (messages->data[j].role == CHAT_USER && !is_tool_response(&messages->data[j]))
			last = j;
	return i > last;
}

/* Qwen 3: thoughts are kept behind the last question, where the last answer has an
 * empty block if it has none. */
static struct said emit_thoughts(struct rendering *r, const struct chat_messages *messages,
				 size_t i)
{
	const struct chat_message *message = &messages->data[i];
	struct said said = text_of(message), thoughts = cut_thoughts(&said);
	const struct chat_format *format = &r->chat->format;
	bool is_target = message->is_target;
	bool is_asked_for = format->think == CHAT_THINK_QWEN3 && format->opening;

	if (!is_behind_last_question(messages, i) || (i + 1 < messages->n && thoughts.n == 0))
		return said;
	if (format->think == CHAT_THINK_OFF && thoughts.n == 0)
		is_target = false;
	emit_own(r, "<think>\n", is_target && !is_asked_for);
	emit_said(r, thoughts, false, is_target);
	emit_own(r, "\n</think>\n\n", is_target);
	return strip_newlines(said, true, false);
}

static void emit_assistant(struct rendering *r, const struct chat_messages *messages, size_t i)
{
	const struct chat_format *format = &r->chat->format;
	const struct chat_message *message = &messages->data[i];
	struct said said = text_of(message);

	emit_own(r, format->header, false);
	emit_own(r, format->lead, message->is_target);
	if (format->think == CHAT_THINK_DROP)
		said = drop_thoughts(said);
	else if (format->think != CHAT_THINK_NONE)
		said = emit_thoughts(r, messages, i);
	emit_said(r, said, format->trims_assistant, message->is_target);
	emit_own(r, format->gap, message->is_target);
	if (!format->ends_once || i + 1 == messages->n)
		emit_own(r, format->end, message->is_target);
	if (!format->rests_between || i + 1 < messages->n)
		emit_own(r, format->rest, false);
}

/* Drops what comes behind the last target. */
static void cut_behind_targets(struct rendering *r)
{
	while (r->n > 0 && !r->is_target[r->n - 1])
		r->n--;
	if (r->n > 0)
		r->text->length = r->parts[r->n - 1].end;
}

static enum status check_turns(const struct chat *chat, const struct chat_messages *messages,
			       struct error *err)
{
	const struct chat_format *format = &chat->format;
	size_t first = messages->n > 0 && messages->data[0].role == CHAT_SYSTEM;

	if (!chat->has_format)
		return error_set(err, STATUS_BAD_INPUT, "%s", chat->why.text);
	if (messages->n == first)
		return error_set(err, STATUS_BAD_INPUT,
				 "there are no turns of a user or assistant");
	if (first && format->system == CHAT_SYSTEM_REFUSED)
		return error_set(err, STATUS_BAD_INPUT,
				 "turn 1: chat format %s has no place for a system message",
				 format->name);
	for (size_t i = first; i < messages->n && format->must_alternate; i++) {
		enum chat_role expected = (i - first) % 2 == 0 ? CHAT_USER : CHAT_ASSISTANT;
		if (messages->data[i].role != expected)
			return error_set(err, STATUS_BAD_INPUT,
					 "turn %zu is the %s's, but in chat format %s the %s "
					 "speaks there",
					 i + 1, ROLES[messages->data[i].role], format->name,
					 ROLES[expected]);
	}
	return STATUS_OK;
}

static enum status check_purpose(const struct chat_messages *messages, enum chat_purpose purpose,
				 struct error *err)
{
	bool has_target = false;

	for (size_t i = 0; i < messages->n; i++)
		has_target |= messages->data[i].is_target;
	if (purpose == CHAT_WHOLE && !has_target)
		return error_set(err, STATUS_BAD_INPUT, "there is no turn of the assistant");
	if (purpose == CHAT_PROMPT && messages->data[messages->n - 1].role != CHAT_USER)
		return error_set(
			err, STATUS_BAD_INPUT,
			"turn %zu, the last, is not the user's: there is nothing to answer",
			messages->n);
	return STATUS_OK;
}

static enum status render(struct rendering *r, const struct chat_messages *messages,
			  enum chat_purpose purpose, struct error *err)
{
	const struct chat_format *format = &r->chat->format;

	if (check_turns(r->chat, messages, err) != STATUS_OK ||
	    check_purpose(messages, purpose, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	emit_own(r, format->begin, false);
	if (format->system != CHAT_SYSTEM_END && system_host(format, messages) == messages->n)
		emit_system(r, messages);
	for (size_t i = 0; i < messages->n; i++) {
		if (messages->data[i].role == CHAT_USER)
			emit_user(r, messages, i);
		else if (messages->data[i].role == CHAT_ASSISTANT)
			emit_assistant(r, messages, i);
	}
	if (purpose == CHAT_PROMPT) {
		emit_own(r, format->header, false);
		emit_own(r, format->opening, false);
	} else if (purpose == CHAT_TEXT) {
		emit_own(r, format->tail, false);
		if (format->always_prompts)
			emit_own(r, format->header, false);
	} else {
		cut_behind_targets(r);
	}
	return STATUS_OK;
}

enum status chat_render(const struct chat *chat, const struct chat_messages *messages,
			enum chat_purpose purpose, struct buf *out, struct error *err)
{
	struct buf text = BUF_INIT;
	struct rendering r = {.chat = chat, .text = &text};
	enum status status = render(&r, messages, purpose, err);

	if (status == STATUS_OK)
		buf_append(out, text.data, text.length);
	rendering_release(&r);
	buf_release(&text);
	return status;
}

/* --- ids --- */

/* 1 for the ids of parts that are targets: all those between two cuts are alike. */
static void mark_targets(const struct rendering *r, struct chat_ids *out, size_t from)
{
	out->is_target = xcalloc(out->ids.n + 1, 1);
	out->n_prompt = out->ids.n;
	for (size_t i = 0; i < r->n; i++) {
		size_t end = i + 1 == r->n ? out->ids.n : r->parts[i].n_ids;
		if (!r->parts[i].is_cut && i + 1 < r->n)
			continue;
		if (r->is_target[i]) {
			memset(out->is_target + from, 1, end - from);
			if (from < out->n_prompt && from < end)
				out->n_prompt = from;
		}
		from = end;
	}
}

enum status chat_encode(const struct chat *chat, const struct chat_messages *messages,
			enum chat_purpose purpose, struct chat_ids *out, struct error *err)
{
	struct buf text = BUF_INIT;
	struct rendering r = {.chat = chat, .text = &text};
	enum status status = render(&r, messages, purpose, err);
	size_t n_prefix;
	const int32_t *prefix = tokenizer_prefix(chat->tokenizer, &n_prefix);

	*out = (struct chat_ids){0};
	if (status == STATUS_OK) {
		if (chat->format.adds_prefix)
			ids_append(&out->ids, prefix, n_prefix);
		n_prefix = out->ids.n;
		tokenizer_encode_parts(chat->tokenizer, text.data, r.parts, r.n, chat->guarded,
				       &out->ids);
		mark_targets(&r, out, n_prefix);
	}
	rendering_release(&r);
	buf_release(&text);
	return status;
}

void chat_ids_release(struct chat_ids *ids)
{
	ids_release(&ids->ids);
	free(ids->is_target);
	*ids = (struct chat_ids){0};
}

/* --- loading --- */

void chat_append_names(struct buf *out)
{
	for (int i = 0; chat_format_name(i); i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", chat_format_name(i));
}

static enum status refuse_with_names(struct error *err, const char *format, const char *what)
{
	struct buf names = BUF_INIT;

	chat_append_names(&names);
	error_set(err, STATUS_BAD_INPUT, format, what, names.data);
	buf_release(&names);
	return STATUS_BAD_INPUT;
}

/* "text", or [{"name": "default", "template": "text"}, ...]; NULL. */
static const struct json *template_of(const struct json *value)
{
	if (value && json_type(value) == JSON_ARRAY) {
		for (const struct json *item = json_first(value); item; item = json_next(item)) {
			const struct json *name = json_get(item, "name");
			if (name && json_type(name) == JSON_STRING &&
			    strcmp(json_string(name, NULL), "default") == 0)
				return template_of(json_get(item, "template"));
		}
		return NULL;
	}
	return value && json_type(value) == JSON_STRING ? value : NULL;
}

/* Appends the member chat_template of a JSON file, if it has one. */
static enum status read_member(const char *path, struct buf *template, struct error *err)
{
	struct json *root;
	const struct json *text;

	if (!file_exists(path))
		return STATUS_OK;
	root = json_read_object(path, MAX_FILE, err);
	if (!root)
		return STATUS_BAD_INPUT;
	text = template_of(json_get(root, "chat_template"));
	if (text) {
		size_t n;
		const char *string = json_string(text, &n);
		buf_append(template, string, n);
	}
	json_free(root);
	return STATUS_OK;
}

/* Reads the template of a checkpoint; *path, the caller's to free, names its file. */
static enum status read_template(const char *dir, struct buf *template, char **path,
				 struct error *err)
{
	static const char *const files[] = {"chat_template.jinja", "tokenizer_config.json",
					    "chat_template.json"};
	enum status status = STATUS_OK;

	*path = NULL;
	for (int i = 0; i < 3 && status == STATUS_OK && template->length == 0; i++) {
		free(*path);
		*path = path_join(dir, files[i]);
		if (i > 0)
			status = read_member(*path, template, err);
		else if (file_exists(*path))
			status = file_read(*path, MAX_FILE, template, err);
	}
	return status;
}

/* What a format makes of messages whose last is to be answered, or is an answer. */
static bool render_with(const void *context, const struct chat_format *format,
			const struct chat_messages *messages, struct buf *out)
{
	const struct chat *own = context;
	struct chat chat = {.tokenizer = own->tokenizer, .has_format = true, .format = *format};
	bool is_prompt = messages->data[messages->n - 1].role == CHAT_USER;

	return chat_render(&chat, messages, is_prompt ? CHAT_PROMPT : CHAT_TEXT, out, NULL) ==
	       STATUS_OK;
}

/* Leaves out template what the format holds on to. */
static bool find_by_template(struct chat *chat, const char *template, size_t n)
{
	size_t length;
	const char *bos = tokenizer_token(chat->tokenizer, tokenizer_bos(chat->tokenizer), &length);
	const char *eos = tokenizer_token(chat->tokenizer, tokenizer_eos(chat->tokenizer), &length);
	const struct chat_template input = {.text = template,
					    .n = n,
					    .bos = bos,
					    .eos = eos,
					    .render = render_with,
					    .context = chat};

	return chat_template_detect(&chat->format, &input, &chat->kept);
}

static enum status find_format(struct chat *chat, const char *dir, struct error *err)
{
	struct buf template = BUF_INIT;
	char *path;
	enum status status = read_template(dir, &template, &path, err);

	if (status == STATUS_OK) {
		chat->has_format = template.length > 0 &&
				   find_by_template(chat, template.data, template.length);
		if (!chat->has_format && template.length == 0)
			refuse_with_names(&chat->why,
					  "%s has no chat template; name the chat format: %s", dir);
		else if (!chat->has_format)
			refuse_with_names(&chat->why,
					  "%s: the chat template is none that is known; name the "
					  "chat format that is meant: %s",
					  path);
	}
	buf_release(&template);
	free(path);
	return status;
}

/* Special tokens and those of the format are plain text in content. */
static void guard(struct chat *chat)
{
	const struct tokenizer *tokenizer = chat->tokenizer;
	int size = tokenizer_size(tokenizer);

	chat->guarded = xcalloc((size_t)size, sizeof *chat->guarded);
	for (int32_t id = 0; id < size; id++)
		chat->guarded[id] = tokenizer_is_special(tokenizer, id);
	for (int i = 0; chat->has_format && chat->format.markers[i]; i++) {
		const char *marker = chat->format.markers[i];
		int32_t id = tokenizer_token_id(tokenizer, marker, strlen(marker));
		if (id >= 0)
			chat->guarded[id] = true;
	}
}

/* A turn has to end with a token, or nobody knows when to stop. */
static enum status check_end(const struct chat *chat, struct error *err)
{
	const struct chat_format *format = &chat->format;

	if (!chat->has_format || chat_end_id(chat) >= 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "chat format %s ends a turn with %s, which the tokenizer does not have",
			 format->name, format->end[0] == '\2' ? "its eos_token" : format->end);
}

enum status chat_load(struct chat **chat, const char *name, const char *dir,
		      const struct tokenizer *tokenizer, struct error *err)
{
	struct chat *c = xcalloc(1, sizeof *c);
	enum status status = STATUS_OK;
	bool is_auto = strcmp(name, "auto") == 0;

	*chat = NULL;
	c->tokenizer = tokenizer;
	if (is_auto)
		status = find_format(c, dir, err);
	else if (!(c->has_format = chat_format_named(&c->format, name)))
		status = refuse_with_names(
			err, "chat format \"%s\" is not known, expected auto or one of %s", name);
	if (status == STATUS_OK && check_end(c, is_auto ? &c->why : err) != STATUS_OK) {
		c->has_format = false;
		status = is_auto ? STATUS_OK : STATUS_BAD_INPUT;
	}
	if (status != STATUS_OK) {
		chat_destroy(c);
		return status;
	}
	guard(c);
	*chat = c;
	return STATUS_OK;
}

void chat_destroy(struct chat *chat)
{
	if (!chat)
		return;
	buf_release(&chat->kept);
	free(chat->guarded);
	free(chat);
}

const char *chat_name(const struct chat *chat)
{
	return chat->has_format ? chat->format.name : NULL;
}

int32_t chat_end_id(const struct chat *chat)
{
	const char *end = chat->format.end;

	if (!chat->has_format)
		return -1;
	return end[0] == '\2' ? tokenizer_eos(chat->tokenizer)
			      : tokenizer_token_id(chat->tokenizer, end, strlen(end));
}

/* Whether dir has what auto needs: a template and a tokenizer. */
static enum status has_template(const char *dir, bool *found, struct error *err)
{
	struct buf template = BUF_INIT;
	char *path;
	enum status status = read_template(dir, &template, &path, err);

	*found = status == STATUS_OK && template.length > 0 && tokenizer_exists(dir);
	buf_release(&template);
	free(path);
	return status;
}

enum status chat_end_of(const char *name, const char *dir, int32_t *id, struct error *err)
{
	struct tokenizer *tokenizer;
	struct chat *chat;
	bool found = true;
	enum status status = STATUS_OK;

	*id = -1;
	if (strcmp(name, "auto") == 0)
		status = has_template(dir, &found, err);
	if (status != STATUS_OK || !found)
		return status;
	status = tokenizer_load(&tokenizer, dir, err);
	if (status != STATUS_OK)
		return status;
	status = chat_load(&chat, name, dir, tokenizer, err);
	if (status == STATUS_OK)
		*id = chat_end_id(chat);
	chat_destroy(chat);
	tokenizer_destroy(tokenizer);
	return status;
}

/* A decoder is a list of steps over a list of strings, at first the tokens, that
 * are joined at the end.
 *
 * The list is one buffer and the ends of its strings.  Each step reads one list
 * and appends to another, so it needs no room of its own. */
#include "common/text/decode.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/component.h"
#include "common/text/unicode.h"

enum step_type {
	STEP_BYTE_LEVEL,
	STEP_REPLACE,
	STEP_BYTE_FALLBACK,
	STEP_FUSE,
	STEP_STRIP,
	STEP_METASPACE,
};

struct step {
	enum step_type type;
	char *text; /* replaced, stripped, or Metaspace's replacement */
	size_t length;
	char *content; /* put in its place */
	size_t content_length;
	int strip_start, strip_stop; /* most characters cut at either end */
	bool drops_first;	     /* Metaspace: the first token's marks were prepended */
};

struct decoder {
	struct step *steps;
	size_t n;
	bool is_null; /* no decoder: tokens are joined by spaces */
};

/* --- loading --- */

static char *copy_text(const char *text, size_t n)
{
	char *copy = xmalloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

static enum status load_replace(struct step *step, const struct json *config, struct error *err)
{
	struct component_pattern pattern;
	const char *content;

	if (component_pattern(config, &pattern, err) != STATUS_OK ||
	    component_string(config, "content", "", &content, &step->content_length, err) !=
		    STATUS_OK)
		return STATUS_BAD_INPUT;
	if (pattern.is_regex)
		return error_set(err, STATUS_BAD_INPUT, "Replace of a Regex is not supported");
	if (pattern.length == 0)
		return error_set(err, STATUS_BAD_INPUT, "Replace of an empty String");
	step->text = copy_text(pattern.text, pattern.length);
	step->length = pattern.length;
	step->content = copy_text(content, step->content_length);
	return STATUS_OK;
}

static enum status load_count(const struct json *config, const char *key, int *count,
			      struct error *err)
{
	if (!json_get(config, key))
		return STATUS_OK;
	return component_id(json_get(config, key), key, count, err);
}

static enum status load_character(struct step *step, const struct json *config, const char *key,
				  const char *fallback, struct error *err)
{
	const char *text;
	uint32_t c;

	if (component_string(config, key, fallback, &text, &step->length, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (step->length == 0 || utf8_next(text, step->length, &c) != step->length)
		return error_set(err, STATUS_BAD_INPUT, "%s is not one character", key);
	step->text = copy_text(text, step->length);
	return STATUS_OK;
}

static enum status load_strip(struct step *step, const struct json *config, struct error *err)
{
	if (load_character(step, config, "content", " ", err) != STATUS_OK ||
	    load_count(config, "start", &step->strip_start, err) != STATUS_OK ||
	    load_count(config, "stop", &step->strip_stop, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return STATUS_OK;
}

static enum status load_metaspace(struct step *step, const struct json *config, struct error *err)
{
	static const char *const schemes[] = {"never", "first", "always"};
	bool old_prefix;
	int scheme;

	if (load_character(step, config, "replacement", "\xe2\x96\x81", err) != STATUS_OK ||
	    component_bool(config, "add_prefix_space", true, &old_prefix, err) != STATUS_OK ||
	    component_choice(config, "prepend_scheme", schemes, 3, old_prefix ? 2 : 0, &scheme,
			     err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->drops_first = scheme != 0;
	return STATUS_OK;
}

static enum status load_step(struct step *step, const char *type, const struct json *config,
			     struct error *err)
{
	static const char *const types[] = {"ByteLevel", "Replace", "ByteFallback",
					    "Fuse",	 "Strip",   "Metaspace"};

	for (int i = 0; i < 6; i++) {
		if (strcmp(type, types[i]) != 0)
			continue;
		step->type = (enum step_type)i;
		if (step->type == STEP_REPLACE)
			return load_replace(step, config, err);
		if (step->type == STEP_STRIP)
			return load_strip(step, config, err);
		if (step->type == STEP_METASPACE)
			return load_metaspace(step, config, err);
		return STATUS_OK;
	}
	return error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
}

static enum status load(struct decoder *decoder, const struct json *config, int depth,
			struct error *err)
{
	const char *type = component_type(config, err);
	const struct json *list = json_get(config, "decoders");

	if (!type)
		return STATUS_BAD_INPUT;
	if (strcmp(type, "Sequence") == 0 && depth < COMPONENT_DEPTH) {
		if (!list || json_type(list) != JSON_ARRAY)
			return error_set(err, STATUS_BAD_INPUT, "Sequence without decoders");
		for (const struct json *item = json_first(list); item; item = json_next(item))
			if (load(decoder, item, depth + 1, err) != STATUS_OK)
				return STATUS_BAD_INPUT;
		return STATUS_OK;
	}
	if (decoder->n == COMPONENT_STEPS)
		return error_set(err, STATUS_BAD_INPUT, "more than %d steps", COMPONENT_STEPS);
	decoder->steps = xrealloc(decoder->steps, decoder->n + 1, sizeof *decoder->steps);
	decoder->steps[decoder->n] = (struct step){0};
	return load_step(&decoder->steps[decoder->n++], type, config, err);
}

struct decoder *decoder_create(const struct json *config, struct error *err)
{
	struct decoder *decoder = xcalloc(1, sizeof *decoder);

	decoder->is_null = !config || json_type(config) == JSON_NULL;
	if (!decoder->is_null && load(decoder, config, 0, err) != STATUS_OK) {
		decoder_destroy(decoder);
		return NULL;
	}
	return decoder;
}

void decoder_destroy(struct decoder *decoder)
{
	if (!decoder)
		return;
	for (size_t i = 0; i < decoder->n; i++) {
		free(decoder->steps[i].text);
		free(decoder->steps[i].content);
	}
	free(decoder->steps);
	free(decoder);
}

void decoder_describe(const struct decoder *decoder, struct buf *out)
{
	buf_printf(out, "decoder null %d\n", decoder->is_null);
	for (size_t i = 0; i < decoder->n; i++) {
		const struct step *step = &decoder->steps[i];
		buf_printf(out, "decoder %d strip %d %d drop %d ", (int)step->type,
			   step->strip_start, step->strip_stop, step->drops_first);
		json_write_string(out, step->text ? step->text : "", step->length);
		json_write_string(out, step->content ? step->content : "", step->content_length);
		buf_append_char(out, '\n');
	}
}

/* --- lists of strings --- */

struct list {
	struct buf text;
	size_t *ends; /* [n]: where each string ends in text */
	size_t n;
};

static size_t list_start(const struct list *list, size_t i)
{
	return i > 0 ? list->ends[i - 1] : 0;
}

/* Ends the string being appended to list->text. */
static void list_end(struct list *list)
{
	list->ends[list->n++] = list->text.length;
}

static void list_release(struct list *list)
{
	buf_release(&list->text);
	free(list->ends);
}

/* --- steps --- */

/* All tokens together are bytes; a token with a character that stands for no byte
 * is its own text. */
static void apply_byte_level(const struct list *in, struct list *out)
{
	struct buf bytes = BUF_INIT;

	for (size_t i = 0; i < in->n; i++) {
		const char *text = in->text.data + list_start(in, i);
		size_t n = in->ends[i] - list_start(in, i);
		if (!byte_alphabet_decode(&bytes, text, n))
			buf_append(&bytes, text, n);
	}
	utf8_repair(bytes.data, bytes.length, &out->text);
	if (in->n > 0)
		list_end(out);
	buf_release(&bytes);
}

/* Appends text with content in place of each step->text. */
static void append_replaced(const struct step *step, const char *content, size_t content_length,
			    const char *text, size_t n, struct buf *out)
{
	const char *end = text + n;

	while (text < end) {
		const char *found = memmem(text, (size_t)(end - text), step->text, step->length);
		size_t plain = (size_t)((found ? found : end) - text);
		buf_append(out, text, plain);
		if (found)
			buf_append(out, content, content_length);
		text += plain + (found ? step->length : 0);
	}
}

/* The value of <0xHH>; -1 for any other token. */
static int byte_of_token(const char *text, size_t n)
{
	char digits[3];

	if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' ||
	    !isxdigit((unsigned char)text[3]) || !isxdigit((unsigned char)text[4]))
		return -1;
	digits[0] = text[3];
	digits[1] = text[4];
	digits[2] = '\0';
	return (int)strtol(digits, NULL, 16);
}

/* A run of byte tokens is their characters, or U+FFFD for each of them. */
static void end_byte_run(struct buf *run, struct list *out)
{
	if (run->length == 0)
		return;
	if (utf8_is_valid(run->data, run->length))
		buf_append(&out->text, run->data, run->length);
	else
		for (size_t i = 0; i < run->length; i++)
			utf8_append(&out->text, 0xFFFD);
	list_end(out);
	buf_reset(run);
}

static void apply_byte_fallback(const struct list *in, struct list *out)
{
	struct buf run = BUF_INIT;

	for (size_t i = 0; i < in->n; i++) {
		const char *text = in->text.data + list_start(in, i);
		size_t n = in->ends[i] - list_start(in, i);
		int byte = byte_of_token(text, n);
		if (byte >= 0) {
			buf_append_char(&run, (char)byte);
			continue;
		}
		end_byte_run(&run, out);
		buf_append(&out->text, text, n);
		list_end(out);
	}
	end_byte_run(&run, out);
	buf_release(&run);
}

static void append_stripped(const struct step *step, const char *text, size_t n, struct buf *out)
{
	size_t length = step->length;

	for (int i = 0;
	     i < step->strip_start && n >= length && memcmp(text, step->text, length) == 0; i++) {
		text += length;
		n -= length;
	}
	for (int i = 0; i < step->strip_stop && n >= length &&
			memcmp(text + n - length, step->text, length) == 0;
	     i++)
		n -= length;
	buf_append(out, text, n);
}

static void append_metaspace(const struct step *step, bool is_first, const char *text, size_t n,
			     struct buf *out)
{
	bool drops = is_first && step->drops_first;

	append_replaced(step, " ", drops ? 0 : 1, text, n, out);
}

static void apply_to_each(const struct step *step, const struct list *in, struct list *out)
{
	for (size_t i = 0; i < in->n; i++) {
		const char *text = in->text.data + list_start(in, i);
		size_t n = in->ends[i] - list_start(in, i);
		if (step->type == STEP_REPLACE)
			append_replaced(step, step->content, step->content_length, text, n,
					&out->text);
		else if (step->type == STEP_STRIP)
			append_stripped(step, text, n, &out->text);
		else
			append_metaspace(step, i == 0, text, n, &out->text);
		list_end(out);
	}
}

static void apply_step(const struct step *step, const struct list *in, struct list *out)
{
	buf_reset(&out->text);
	out->n = 0;
	if (step->type == STEP_BYTE_LEVEL) {
		apply_byte_level(in, out);
	} else if (step->type == STEP_BYTE_FALLBACK) {
		apply_byte_fallback(in, out);
	} else if (step->type == STEP_FUSE) {
		buf_append(&out->text, in->text.data, in->text.length);
		if (in->n > 0)
			list_end(out);
	} else {
		apply_to_each(step, in, out);
	}
}

void decoder_apply(const struct decoder *decoder, const struct token *const *tokens, size_t n,
		   struct buf *out)
{
	struct list lists[2] = {{.ends = xmalloc((n + 1) * sizeof(size_t))},
				{.ends = xmalloc((n + 1) * sizeof(size_t))}};
	int current = 0;

	for (int i = 0; i < 2; i++)
		buf_append(&lists[i].text, "", 0);
	for (size_t i = 0; i < n; i++) {
		if (decoder->is_null && i > 0)
			buf_append_char(&lists[0].text, ' ');
		buf_append(&lists[0].text, tokens[i]->text, tokens[i]->length);
		list_end(&lists[0]);
	}
	for (size_t i = 0; i < decoder->n; i++) {
		apply_step(&decoder->steps[i], &lists[current], &lists[!current]);
		current = !current;
	}
	buf_append(out, lists[current].text.data, lists[current].text.length);
	list_release(&lists[0]);
	list_release(&lists[1]);
}

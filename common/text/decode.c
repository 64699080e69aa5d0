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
#include "common/text/pattern.h"
#include "common/text/unicode.h"

enum step_type {
	STEP_BYTE_LEVEL,
	STEP_BYTE_FALLBACK,
	STEP_FUSE,
	STEP_REPLACE, /* from here on each string by itself */
	STEP_STRIP,
	STEP_METASPACE,
	STEP_SUFFIX, /* BPEDecoder: the mark at the end of a word */
};

struct step {
	enum step_type type;
	struct pattern pattern; /* replaced, stripped, Metaspace's replacement, the suffix */
	char *content;		/* put in its place */
	size_t content_length;
	int strip_start, strip_stop; /* most characters cut at either end */
	bool drops_first;	     /* Metaspace: the first token's marks were prepended */
};

struct decoder {
	struct step *steps;
	size_t n;
	bool is_null;	/* no decoder: tokens are joined by spaces */
	bool has_regex; /* some step needs a regex_state */
	size_t growth;	/* how many times longer a text may become */
};

/* --- loading --- */

static enum status load_replace(struct step *step, const struct json *config, struct error *err)
{
	const char *content;

	if (pattern_load(&step->pattern, config, err) != STATUS_OK ||
	    component_string(config, "content", "", &content, &step->content_length, err) !=
		    STATUS_OK)
		return STATUS_BAD_INPUT;
	step->content = component_copy(content, step->content_length);
	return STATUS_OK;
}

static enum status load_count(const struct json *config, const char *key, int *count,
			      struct error *err)
{
	if (!json_get(config, key))
		return STATUS_OK;
	return component_id(json_get(config, key), key, count, err);
}

static enum status load_strip(struct step *step, const struct json *config, struct error *err)
{
	const char *text;
	size_t length;

	if (component_character(config, "content", " ", &text, &length, err) != STATUS_OK ||
	    load_count(config, "start", &step->strip_start, err) != STATUS_OK ||
	    load_count(config, "stop", &step->strip_stop, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return pattern_set(&step->pattern, text, length, false, err);
}

static enum status load_metaspace(struct step *step, const struct json *config, struct error *err)
{
	struct component_metaspace metaspace;

	if (component_metaspace(config, &metaspace, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->drops_first = metaspace.prepend != PREPEND_NEVER;
	return pattern_set(&step->pattern, metaspace.replacement, metaspace.length, false, err);
}

static enum status load_suffix(struct step *step, const struct json *config, struct error *err)
{
	const char *suffix;
	size_t length;

	if (component_string(config, "suffix", "</w>", &suffix, &length, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (length == 0)
		return error_set(err, STATUS_BAD_INPUT, "BPEDecoder.suffix is empty");
	return pattern_set(&step->pattern, suffix, length, false, err);
}

static enum status load_step(struct step *step, const char *type, const struct json *config,
			     struct error *err)
{
	static const struct {
		const char *name;
		enum status (*load)(struct step *, const struct json *, struct error *);
	} types[] = {[STEP_BYTE_LEVEL] = {"ByteLevel", NULL},
		     [STEP_BYTE_FALLBACK] = {"ByteFallback", NULL},
		     [STEP_FUSE] = {"Fuse", NULL},
		     [STEP_REPLACE] = {"Replace", load_replace},
		     [STEP_STRIP] = {"Strip", load_strip},
		     [STEP_METASPACE] = {"Metaspace", load_metaspace},
		     [STEP_SUFFIX] = {"BPEDecoder", load_suffix}};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (strcmp(type, types[i].name) != 0)
			continue;
		step->type = (enum step_type)i;
		return types[i].load ? types[i].load(step, config, err) : STATUS_OK;
	}
	return error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
}

static size_t growth_of(const struct step *step)
{
	if (step->type == STEP_BYTE_LEVEL || step->type == STEP_BYTE_FALLBACK)
		return 3; /* U+FFFD for a byte */
	return step->type == STEP_REPLACE ? pattern_growth(&step->pattern, step->content_length)
					  : 1;
}

static enum status add_step(void *context, const char *type, const struct json *config,
			    struct error *err)
{
	struct decoder *decoder = context;
	struct step *step;

	decoder->steps = xrealloc(decoder->steps, decoder->n + 1, sizeof *decoder->steps);
	step = &decoder->steps[decoder->n++];
	*step = (struct step){0};
	if (load_step(step, type, config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	decoder->has_regex |= step->pattern.regex != NULL;
	return component_grow(&decoder->growth, growth_of(step), err);
}

struct decoder *decoder_create(const struct json *config, struct error *err)
{
	struct decoder *decoder = xcalloc(1, sizeof *decoder);
	const struct component_walk walk = {"decoders", add_step, decoder};

	decoder->growth = 1;
	decoder->is_null = !config || json_type(config) == JSON_NULL;
	if (component_walk(&walk, config, err) != STATUS_OK) {
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
		pattern_release(&decoder->steps[i].pattern);
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
		pattern_describe(&step->pattern, out);
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

int decoder_byte(const struct decoder *decoder, const struct token *token)
{
	for (size_t i = 0; i < decoder->n; i++)
		if (decoder->steps[i].type == STEP_BYTE_FALLBACK)
			return byte_of_token(token->text, token->length);
	return -1;
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
	size_t length = step->pattern.length;

	for (int i = 0;
	     i < step->strip_start && n >= length && memcmp(text, step->pattern.text, length) == 0;
	     i++) {
		text += length;
		n -= length;
	}
	for (int i = 0; i < step->strip_stop && n >= length &&
			memcmp(text + n - length, step->pattern.text, length) == 0;
	     i++)
		n -= length;
	buf_append(out, text, n);
}

static void append_stepped(const struct step *step, struct regex_state *state, bool is_first,
			   bool is_last, const char *text, size_t n, struct buf *out)
{
	const char *content = step->content;
	size_t length = step->content_length;

	if (step->type == STEP_STRIP) {
		append_stripped(step, text, n, out);
		return;
	}
	if (step->type != STEP_REPLACE) {
		content = " ";
		length = step->type == STEP_METASPACE ? !(is_first && step->drops_first) : !is_last;
	}
	pattern_replace(&step->pattern, state, content, length, text, n, out);
}

static void apply_to_each(const struct step *step, struct regex_state *state, const struct list *in,
			  struct list *out)
{
	for (size_t i = 0; i < in->n; i++) {
		size_t start = list_start(in, i);
		append_stepped(step, state, i == 0, i + 1 == in->n, in->text.data + start,
			       in->ends[i] - start, &out->text);
		list_end(out);
	}
}

static void apply_step(const struct step *step, struct regex_state *state, const struct list *in,
		       struct list *out)
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
		apply_to_each(step, state, in, out);
	}
}

void decoder_apply(const struct decoder *decoder, const struct token *const *tokens, size_t n,
		   struct buf *out)
{
	struct list lists[2] = {{.ends = xmalloc((n + 1) * sizeof(size_t))},
				{.ends = xmalloc((n + 1) * sizeof(size_t))}};
	struct regex_state *state = decoder->has_regex ? regex_state_create() : NULL;
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
		apply_step(&decoder->steps[i], state, &lists[current], &lists[!current]);
		current = !current;
	}
	buf_append(out, lists[current].text.data, lists[current].text.length);
	regex_state_destroy(state);
	list_release(&lists[0]);
	list_release(&lists[1]);
}

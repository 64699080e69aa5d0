/* A normaliser is a list of steps, each from one text to the next.
 *
 * Unicode forms: characters are decomposed by utf8proc one at a time, runs of
 * combining marks are put in order by a stable merge sort (utf8proc's own is
 * quadratic in the run, and texts may be hostile), and utf8proc composes. */
#include "common/text/normalize.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "common/base/die.h"
#include "common/text/component.h"
#include "common/text/unicode.h"

enum step_type { STEP_FORM, STEP_PREPEND, STEP_REPLACE, STEP_LOWERCASE, STEP_STRIP };

struct step {
	enum step_type type;
	utf8proc_option_t form; /* STEP_FORM: UTF8PROC_STABLE and the like */
	char *text;		/* prepended, or searched for */
	size_t length;
	char *content; /* put in its place */
	size_t content_length;
	bool strip_left, strip_right;
};

struct normalizer {
	struct step *steps;
	size_t n;
};

/* --- loading --- */

static const char *const FORMS[] = {"NFC", "NFD", "NFKC", "NFKD"};
static const utf8proc_option_t FORM_OPTIONS[] = {
	UTF8PROC_STABLE | UTF8PROC_COMPOSE,
	UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
	UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
	UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
};

static char *copy_text(const char *text, size_t n)
{
	char *copy = xmalloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

static enum status load_prepend(struct step *step, const struct json *config, struct error *err)
{
	const char *text;

	step->type = STEP_PREPEND;
	if (component_string(config, "prepend", "", &text, &step->length, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->text = copy_text(text, step->length);
	return STATUS_OK;
}

static enum status load_replace(struct step *step, const struct json *config, struct error *err)
{
	struct component_pattern pattern;
	const char *content;

	step->type = STEP_REPLACE;
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

static enum status load_step(struct step *step, const char *type, const struct json *config,
			     struct error *err)
{
	for (int i = 0; i < 4; i++) {
		if (strcmp(type, FORMS[i]) == 0) {
			*step = (struct step){.type = STEP_FORM, .form = FORM_OPTIONS[i]};
			return STATUS_OK;
		}
	}
	if (strcmp(type, "Prepend") == 0)
		return load_prepend(step, config, err);
	if (strcmp(type, "Replace") == 0)
		return load_replace(step, config, err);
	if (strcmp(type, "Lowercase") == 0) {
		step->type = STEP_LOWERCASE;
		return STATUS_OK;
	}
	if (strcmp(type, "Strip") != 0)
		return error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
	step->type = STEP_STRIP;
	if (component_bool(config, "strip_left", true, &step->strip_left, err) != STATUS_OK ||
	    component_bool(config, "strip_right", true, &step->strip_right, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return STATUS_OK;
}

static enum status load(struct normalizer *normalizer, const struct json *config, int depth,
			struct error *err)
{
	const char *type = component_type(config, err);
	const struct json *list = json_get(config, "normalizers");

	if (!type)
		return STATUS_BAD_INPUT;
	if (strcmp(type, "Sequence") == 0 && depth < COMPONENT_DEPTH) {
		if (!list || json_type(list) != JSON_ARRAY)
			return error_set(err, STATUS_BAD_INPUT, "Sequence without normalizers");
		for (const struct json *item = json_first(list); item; item = json_next(item))
			if (load(normalizer, item, depth + 1, err) != STATUS_OK)
				return STATUS_BAD_INPUT;
		return STATUS_OK;
	}
	if (normalizer->n == COMPONENT_STEPS)
		return error_set(err, STATUS_BAD_INPUT, "more than %d steps", COMPONENT_STEPS);
	normalizer->steps =
		xrealloc(normalizer->steps, normalizer->n + 1, sizeof *normalizer->steps);
	normalizer->steps[normalizer->n] = (struct step){0};
	return load_step(&normalizer->steps[normalizer->n++], type, config, err);
}

struct normalizer *normalizer_create(const struct json *config, struct error *err)
{
	struct normalizer *normalizer = xcalloc(1, sizeof *normalizer);

	if (!config || json_type(config) == JSON_NULL)
		return normalizer;
	if (load(normalizer, config, 0, err) != STATUS_OK) {
		normalizer_destroy(normalizer);
		return NULL;
	}
	return normalizer;
}

void normalizer_destroy(struct normalizer *normalizer)
{
	if (!normalizer)
		return;
	for (size_t i = 0; i < normalizer->n; i++) {
		free(normalizer->steps[i].text);
		free(normalizer->steps[i].content);
	}
	free(normalizer->steps);
	free(normalizer);
}

void normalizer_describe(const struct normalizer *normalizer, struct buf *out)
{
	for (size_t i = 0; i < normalizer->n; i++) {
		const struct step *step = &normalizer->steps[i];
		buf_printf(out, "normalizer %d form %d strip %d %d ", (int)step->type,
			   (int)step->form, step->strip_left, step->strip_right);
		json_write_string(out, step->text ? step->text : "", step->length);
		json_write_string(out, step->content ? step->content : "", step->content_length);
		buf_append_char(out, '\n');
	}
}

/* --- Unicode forms --- */

struct mark {
	utf8proc_int32_t c;
	int combining_class;
};

/* Stable merge sort by combining class; spare [n]. */
static void sort_marks(struct mark *marks, struct mark *spare, size_t n)
{
	size_t half = n / 2, left = 0, right = half;

	if (n < 2)
		return;
	sort_marks(marks, spare, half);
	sort_marks(marks + half, spare, n - half);
	for (size_t i = 0; i < n; i++) {
		bool take_left =
			right == n || (left < half &&
				       marks[left].combining_class <= marks[right].combining_class);
		spare[i] = take_left ? marks[left++] : marks[right++];
	}
	memcpy(marks, spare, n * sizeof *marks);
}

static struct mark *decompose(utf8proc_option_t form, const char *text, size_t n, size_t *n_marks)
{
	enum { MOST = 32 }; /* characters that one decomposes to: 18 at most */
	size_t capacity = n + MOST, count = 0;
	struct mark *marks = xmalloc(capacity * sizeof *marks);
	/* The form of single characters has no order and no composition yet. */
	utf8proc_option_t options =
		(form & ~(unsigned)UTF8PROC_COMPOSE) | (unsigned)UTF8PROC_DECOMPOSE;

	for (size_t i = 0; i < n;) {
		utf8proc_int32_t parts[MOST];
		uint32_t c;
		int boundary = 0;
		utf8proc_ssize_t got;
		i += utf8_next(text + i, n - i, &c);
		got = utf8proc_decompose_char((utf8proc_int32_t)c, parts, MOST, options, &boundary);
		if (got < 0 || got > MOST)
			die("utf8proc: %s", utf8proc_errmsg(got));
		if (count + (size_t)got > capacity) {
			capacity = 2 * capacity + MOST;
			marks = xrealloc(marks, capacity, sizeof *marks);
		}
		for (utf8proc_ssize_t j = 0; j < got; j++)
			marks[count++] = (struct mark){
				parts[j], utf8proc_get_property(parts[j])->combining_class};
	}
	*n_marks = count;
	return marks;
}

static void order(struct mark *marks, size_t n)
{
	struct mark *spare = xmalloc(n * sizeof *spare);

	for (size_t i = 0; i < n;) {
		size_t end = i + 1;
		if (marks[i].combining_class != 0) {
			while (end < n && marks[end].combining_class != 0)
				end++;
			sort_marks(marks + i, spare, end - i);
		}
		i = end;
	}
	free(spare);
}

static void apply_form(utf8proc_option_t form, const char *text, size_t n, struct buf *out)
{
	size_t count;
	struct mark *marks = decompose(form, text, n, &count);
	utf8proc_int32_t *codes = xmalloc((count + 1) * sizeof *codes);
	utf8proc_ssize_t left = (utf8proc_ssize_t)count;

	order(marks, count);
	for (size_t i = 0; i < count; i++)
		codes[i] = marks[i].c;
	if (form & UTF8PROC_COMPOSE)
		left = utf8proc_normalize_utf32(codes, left, form);
	if (left < 0)
		die("utf8proc: %s", utf8proc_errmsg(left));
	for (utf8proc_ssize_t i = 0; i < left; i++)
		utf8_append(out, (uint32_t)codes[i]);
	free(codes);
	free(marks);
}

/* Text that every form leaves alone: ASCII, and for NFC all below U+0300. */
static bool is_normal(utf8proc_option_t form, const char *text, size_t n)
{
	bool is_nfc = (form & UTF8PROC_COMPOSE) && !(form & UTF8PROC_COMPAT);
	uint8_t limit = is_nfc ? 0xCC : 0x80; /* the first byte of U+0300 is CC */

	for (size_t i = 0; i < n; i++)
		if ((uint8_t)text[i] >= limit)
			return false;
	return true;
}

/* --- the other steps --- */

static void apply_replace(const struct step *step, const char *text, size_t n, struct buf *out)
{
	const char *end = text + n;

	while (text < end) {
		const char *found = memmem(text, (size_t)(end - text), step->text, step->length);
		if (!found) {
			buf_append(out, text, (size_t)(end - text));
			return;
		}
		buf_append(out, text, (size_t)(found - text));
		buf_append(out, step->content, step->content_length);
		text = found + step->length;
	}
}

static void apply_lowercase(const char *text, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n;) {
		uint32_t c;
		i += utf8_next(text + i, n - i, &c);
		if (c == 0x130) /* the one capital whose small form is two characters */
			buf_append(out, "i\xcc\x87", 3);
		else
			utf8_append(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
	}
}

static void apply_strip(const struct step *step, const char **text, size_t *n)
{
	uint32_t c;
	size_t length;

	while (step->strip_left && (length = utf8_next(*text, *n, &c)) > 0 && unicode_is_space(c)) {
		*text += length;
		*n -= length;
	}
	while (step->strip_right && (length = utf8_previous(*text, *n, &c)) > 0 &&
	       unicode_is_space(c))
		*n -= length;
}

/* Whether the result was written to out; else it is a part of the text. */
static bool apply_step(const struct step *step, struct buf *out, const char **text, size_t *n)
{
	if (step->type == STEP_STRIP) {
		apply_strip(step, text, n);
		return false;
	}
	if (step->type == STEP_FORM && is_normal(step->form, *text, *n))
		return false;
	buf_reset(out);
	buf_append(out, "", 0);
	if (step->type == STEP_FORM) {
		apply_form(step->form, *text, *n, out);
	} else if (step->type == STEP_PREPEND) {
		buf_append(out, step->text, step->length);
		buf_append(out, *text, *n);
	} else if (step->type == STEP_REPLACE) {
		apply_replace(step, *text, *n, out);
	} else {
		apply_lowercase(*text, *n, out);
	}
	*text = out->data;
	*n = out->length;
	return true;
}

void normalizer_apply(const struct normalizer *normalizer, struct buf scratch[2], const char **text,
		      size_t *n)
{
	int current = 0;

	for (size_t i = 0; i<normalizer->n && * n> 0; i++)
		if (apply_step(&normalizer->steps[i], &scratch[current], text, n))
			current ^= 1;
}

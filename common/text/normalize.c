/* A normaliser is a list of steps, each from one text to the next.
 *
 * Unicode forms: characters are decomposed by utf8proc one at a time, runs of
 * combining marks are put in order by a stable merge sort (utf8proc's own is
 * quadratic in the run, and texts may be hostile), and utf8proc composes. */
#include "common/text/normalize.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "common/base/die.h"
#include "common/text/component.h"
#include "common/text/pattern.h"
#include "common/text/unicode.h"

enum step_type {
	STEP_FORM,
	STEP_PREPEND,
	STEP_REPLACE,
	STEP_STRIP,
	STEP_BYTE_LEVEL,
	STEP_LOWERCASE, /* these three go character by character */
	STEP_STRIP_ACCENTS,
	STEP_NMT,
};

struct step {
	enum step_type type;
	utf8proc_option_t form; /* STEP_FORM: UTF8PROC_STABLE and the like */
	struct pattern pattern; /* replaced */
	char *content;		/* put in its place, or prepended */
	size_t content_length;
	bool strip_left, strip_right;
};

struct normalizer {
	struct step *steps;
	size_t n;
	size_t growth; /* bytes that one may become, at most */
};

/* --- loading --- */

static const char *const FORMS[] = {"NFC", "NFD", "NFKC", "NFKD"};
static const utf8proc_option_t FORM_OPTIONS[] = {
	UTF8PROC_STABLE | UTF8PROC_COMPOSE,
	UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
	UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
	UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
};

static enum status load_content(struct step *step, const struct json *config, const char *key,
				struct error *err)
{
	const char *text;

	if (component_string(config, key, "", &text, &step->content_length, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->content = component_copy(text, step->content_length);
	return STATUS_OK;
}

static enum status load_replace(struct step *step, const struct json *config, struct error *err)
{
	if (pattern_load(&step->pattern, config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return load_content(step, config, "content", err);
}

static enum status load_strip(struct step *step, const struct json *config, struct error *err)
{
	if (component_bool(config, "strip_left", true, &step->strip_left, err) != STATUS_OK ||
	    component_bool(config, "strip_right", true, &step->strip_right, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return STATUS_OK;
}

static enum status load_step(struct step *step, const char *type, const struct json *config,
			     struct error *err)
{
	static const char *const types[] = {"",		 "Prepend",   "Replace",      "Strip",
					    "ByteLevel", "Lowercase", "StripAccents", "Nmt"};

	for (int i = 0; i < 4; i++) {
		if (strcmp(type, FORMS[i]) == 0) {
			*step = (struct step){.type = STEP_FORM, .form = FORM_OPTIONS[i]};
			return STATUS_OK;
		}
	}
	for (size_t i = 1; i < sizeof types / sizeof *types; i++) {
		if (strcmp(type, types[i]) != 0)
			continue;
		step->type = (enum step_type)i;
		if (step->type == STEP_PREPEND)
			return load_content(step, config, "prepend", err);
		if (step->type == STEP_REPLACE)
			return load_replace(step, config, err);
		return step->type == STEP_STRIP ? load_strip(step, config, err) : STATUS_OK;
	}
	return error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
}

/* How many times longer a step can make a text. */
static size_t growth_of(const struct step *step)
{
	switch (step->type) {
	case STEP_FORM: /* U+FDFA is 3 bytes and becomes 33 */
		return step->form & UTF8PROC_COMPAT ? 11 : 3;
	case STEP_PREPEND: /* at most once a text */
		return step->content_length > 16 ? step->content_length : 1;
	case STEP_REPLACE:
		return pattern_growth(&step->pattern, step->content_length);
	case STEP_BYTE_LEVEL:
	case STEP_LOWERCASE:
		return 2;
	default:
		return 1;
	}
}

static enum status add_step(void *context, const char *type, const struct json *config,
			    struct error *err)
{
	struct normalizer *normalizer = context;
	struct step *step;

	normalizer->steps =
		xrealloc(normalizer->steps, normalizer->n + 1, sizeof *normalizer->steps);
	step = &normalizer->steps[normalizer->n++];
	*step = (struct step){0};
	if (load_step(step, type, config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return component_grow(&normalizer->growth, growth_of(step), err);
}

struct normalizer *normalizer_create(const struct json *config, struct error *err)
{
	struct normalizer *normalizer = xcalloc(1, sizeof *normalizer);
	const struct component_walk walk = {"normalizers", add_step, normalizer};

	normalizer->growth = 1;
	if (component_walk(&walk, config, err) != STATUS_OK) {
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
		pattern_release(&normalizer->steps[i].pattern);
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
		pattern_describe(&step->pattern, out);
		json_write_string(out, step->content ? step->content : "", step->content_length);
		buf_append_char(out, '\n');
	}
}

void normalizer_scratch_release(struct normalizer_scratch *scratch)
{
	buf_release(&scratch->texts[0]);
	buf_release(&scratch->texts[1]);
	regex_state_destroy(scratch->state);
	*scratch = (struct normalizer_scratch){0};
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

/* A mark that the reference's tables do not know is none, and stays where it is. */
static struct mark mark_of(utf8proc_int32_t c)
{
	int combining_class = utf8proc_get_property(c)->combining_class;

	if (combining_class != 0 && !unicode_is_mark((uint32_t)c))
		combining_class = 0;
	return (struct mark){c, combining_class};
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
		utf8proc_ssize_t got = 1;
		i += utf8_next(text + i, n - i, &c);
		parts[0] = (utf8proc_int32_t)c;
		if (!unicode_is_indecomposable(c))
			got = utf8proc_decompose_char((utf8proc_int32_t)c, parts, MOST, options,
						      &boundary);
		if (got < 0 || got > MOST)
			die("utf8proc: %s", utf8proc_errmsg(got));
		if (count + (size_t)got > capacity) {
			capacity = 2 * capacity + MOST;
			marks = xrealloc(marks, capacity, sizeof *marks);
		}
		for (utf8proc_ssize_t j = 0; j < got; j++)
			marks[count++] = mark_of(parts[j]);
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

/* Whether a character never changes, and changes no other, under a form: it is no
 * mark, no part of a Hangul syllable, and has no decomposition. */
static bool is_inert(utf8proc_option_t form, uint32_t c)
{
	const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);

	if ((c >= 0x1160 && c <= 0x11FF) ||
	    (c >= 0xAC00 && c <= 0xD7A3 && !(form & UTF8PROC_COMPOSE)))
		return false;
	return property->decomp_seqindex == UINT16_MAX &&
	       (property->category < UTF8PROC_CATEGORY_MN ||
		property->category > UTF8PROC_CATEGORY_ME);
}

/* Text that a form leaves alone, as far as is quickly seen: ASCII, for NFC all below
 * U+0300, and inert characters. */
static bool is_normal(utf8proc_option_t form, const char *text, size_t n)
{
	bool is_nfc = (form & UTF8PROC_COMPOSE) && !(form & UTF8PROC_COMPAT);
	uint8_t limit = is_nfc ? 0xCC : 0x80; /* the first byte of U+0300 is CC */

	for (size_t i = 0; i < n;) {
		uint32_t c;
		if ((uint8_t)text[i] < limit) {
			i++;
			continue;
		}
		i += utf8_next(text + i, n - i, &c);
		if (!is_inert(form, c))
			return false;
	}
	return true;
}

/* --- character by character --- */

enum { DROPPED = -1 };

/* What the reference's Nmt makes of a character. */
static int32_t nmt(uint32_t c)
{
	if ((c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
	    c == 0x8F || c == 0x9F)
		return DROPPED;
	if (c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
	    (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
	    c == 0xFEFF || c == 0xFFFD)
		return ' ';
	return (int32_t)c;
}

static int32_t map_character(enum step_type type, uint32_t c)
{
	if (type == STEP_NMT)
		return nmt(c);
	if (type == STEP_STRIP_ACCENTS)
		return unicode_is_mark(c) ? DROPPED : (int32_t)c;
	return (int32_t)unicode_lower(c);
}

static void map_characters(enum step_type type, const char *text, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n;) {
		uint32_t c;
		int32_t mapped;
		i += utf8_next(text + i, n - i, &c);
		mapped = map_character(type, c);
		if (mapped != DROPPED)
			utf8_append(out, (uint32_t)mapped);
		if (type == STEP_LOWERCASE && c == 0x130) /* its small form is two characters */
			utf8_append(out, 0x307);
	}
}

/* --- the other steps --- */

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

/* Whether the first character that a step gives stands for the first that it reads, as
 * the reference's alignment has it. */
static bool keeps_start(const struct step *step, struct regex_state *state, const char *text,
			size_t n)
{
	struct matches matches = {.pattern = &step->pattern, .state = state, .text = text, .n = n};
	size_t start, end, first;
	uint32_t c;

	first = utf8_next(text, n, &c);
	if (step->type == STEP_STRIP)
		return !(step->strip_left && unicode_is_space(c));
	if (step->type == STEP_STRIP_ACCENTS || step->type == STEP_NMT)
		return map_character(step->type, c) != DROPPED;
	if (step->type != STEP_REPLACE || !matches_next(&matches, &start, &end) || start > 0)
		return true;
	return end == 0 || (step->content_length > 0 && end == first);
}

static void write_step(const struct step *step, struct regex_state *state, const char *text,
		       size_t n, struct buf *out)
{
	buf_reset(out);
	buf_append(out, "", 0);
	switch (step->type) {
	case STEP_FORM:
		apply_form(step->form, text, n, out);
		break;
	case STEP_PREPEND:
		buf_append(out, step->content, step->content_length);
		buf_append(out, text, n);
		break;
	case STEP_REPLACE:
		pattern_replace(&step->pattern, state, step->content, step->content_length, text, n,
				out);
		break;
	case STEP_BYTE_LEVEL:
		byte_alphabet_append(out, text, n);
		break;
	default:
		map_characters(step->type, text, n, out);
	}
}

void normalizer_apply(const struct normalizer *normalizer, struct normalizer_scratch *scratch,
		      const char **text, size_t *n, bool *at_start)
{
	int current = 0;

	if (!scratch->state)
		scratch->state = regex_state_create();
	for (size_t i = 0; i<normalizer->n && * n> 0; i++) {
		const struct step *step = &normalizer->steps[i];
		struct buf *out = &scratch->texts[current];
		*at_start = *at_start && keeps_start(step, scratch->state, *text, *n);
		if (step->type == STEP_STRIP) {
			apply_strip(step, text, n);
			continue;
		}
		if (step->type == STEP_FORM && is_normal(step->form, *text, *n))
			continue;
		write_step(step, scratch->state, *text, *n, out);
		*text = out->data;
		*n = out->length;
		current ^= 1;
	}
}

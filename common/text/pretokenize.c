/* A pre-tokeniser is a list of steps; each cuts every piece again, and some
 * rewrite it first (a prefix space, the Metaspace character).
 *
 * Cutting steps find marks (stretches that match or do not, covering the piece)
 * and then join marks into pieces as the step's behaviour says.  A piece is
 * matched on its own: look-ahead does not see beyond its end. */
#include "common/text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/component.h"
#include "common/text/regex.h"
#include "common/text/unicode.h"

static const char GPT2_PATTERN[] =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
	"|\\s+(?!\\S)|\\s+";

enum step_type { STEP_BYTE_LEVEL, STEP_SPLIT, STEP_DIGITS, STEP_METASPACE };
enum behaviour { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };
enum prepend { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS };

static const char *const BEHAVIOURS[] = {"Removed", "Isolated", "MergedWithPrevious",
					 "MergedWithNext", "Contiguous"};
static const char *const SCHEMES[] = {"never", "first", "always"};

struct step {
	enum step_type type;
	char *text; /* the pattern, or Metaspace's replacement */
	size_t length;
	struct regex *regex; /* NULL: text is literal */
	bool is_cutting;     /* false: pieces are rewritten only */
	bool is_inverted;
	enum behaviour behaviour;
	enum prepend prepend; /* a space, or Metaspace's replacement */
};

struct pretokenizer {
	struct step *steps;
	size_t n;
	bool is_byte_level;
};

/* --- loading --- */

static struct step *add_step(struct pretokenizer *p, enum step_type type)
{
	p->steps = xrealloc(p->steps, p->n + 1, sizeof *p->steps);
	p->steps[p->n] = (struct step){.type = type, .is_cutting = true, .behaviour = ISOLATED};
	return &p->steps[p->n++];
}

static enum status set_pattern(struct step *step, const char *text, size_t length, bool is_regex,
			       struct error *err)
{
	step->text = xmalloc(length + 1);
	memcpy(step->text, text, length);
	step->text[length] = '\0';
	step->length = length;
	if (!is_regex)
		return STATUS_OK;
	step->regex = regex_create(text, length, err);
	return step->regex ? STATUS_OK : STATUS_BAD_INPUT;
}

static enum status load_byte_level(struct pretokenizer *p, const struct json *config,
				   struct error *err)
{
	struct step *step = add_step(p, STEP_BYTE_LEVEL);
	bool prefix;

	p->is_byte_level = true;
	if (component_bool(config, "add_prefix_space", true, &prefix, err) != STATUS_OK ||
	    component_bool(config, "use_regex", true, &step->is_cutting, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->prepend = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
	if (!step->is_cutting)
		return STATUS_OK;
	return set_pattern(step, GPT2_PATTERN, sizeof GPT2_PATTERN - 1, true, err);
}

static enum status load_split(struct pretokenizer *p, const struct json *config, struct error *err)
{
	struct step *step = add_step(p, STEP_SPLIT);
	struct component_pattern pattern;
	int behaviour;

	if (component_pattern(config, &pattern, err) != STATUS_OK ||
	    component_choice(config, "behavior", BEHAVIOURS, 5, -1, &behaviour, err) != STATUS_OK ||
	    component_bool(config, "invert", false, &step->is_inverted, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->behaviour = (enum behaviour)behaviour;
	return set_pattern(step, pattern.text, pattern.length, pattern.is_regex, err);
}

static enum status load_digits(struct pretokenizer *p, const struct json *config, struct error *err)
{
	struct step *step = add_step(p, STEP_DIGITS);
	bool individual;

	if (component_bool(config, "individual_digits", false, &individual, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->behaviour = individual ? ISOLATED : CONTIGUOUS;
	return STATUS_OK;
}

static enum status load_metaspace(struct pretokenizer *p, const struct json *config,
				  struct error *err)
{
	struct step *step = add_step(p, STEP_METASPACE);
	const char *replacement;
	size_t length;
	uint32_t c;
	bool old_prefix;
	int scheme;

	if (component_string(config, "replacement", "\xe2\x96\x81", &replacement, &length, err) !=
		    STATUS_OK ||
	    component_bool(config, "add_prefix_space", true, &old_prefix, err) != STATUS_OK ||
	    component_choice(config, "prepend_scheme", SCHEMES, 3,
			     old_prefix ? PREPEND_ALWAYS : PREPEND_NEVER, &scheme,
			     err) != STATUS_OK ||
	    component_bool(config, "split", true, &step->is_cutting, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (length == 0 || utf8_next(replacement, length, &c) != length)
		return error_set(err, STATUS_BAD_INPUT,
				 "Metaspace.replacement is not one character");
	step->prepend = (enum prepend)scheme;
	step->behaviour = MERGED_WITH_NEXT;
	return set_pattern(step, replacement, length, false, err);
}

static enum status load(struct pretokenizer *p, const struct json *config, int depth,
			struct error *err);

static enum status load_sequence(struct pretokenizer *p, const struct json *config, int depth,
				 struct error *err)
{
	const struct json *list = json_get(config, "pretokenizers");

	if (!list || json_type(list) != JSON_ARRAY)
		return error_set(err, STATUS_BAD_INPUT, "Sequence without pretokenizers");
	for (const struct json *item = json_first(list); item; item = json_next(item))
		if (load(p, item, depth + 1, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	return STATUS_OK;
}

static enum status load(struct pretokenizer *p, const struct json *config, int depth,
			struct error *err)
{
	const char *type = component_type(config, err);

	if (!type)
		return STATUS_BAD_INPUT;
	if (strcmp(type, "Sequence") == 0 && depth < COMPONENT_DEPTH)
		return load_sequence(p, config, depth, err);
	if (p->is_byte_level)
		return error_set(err, STATUS_BAD_INPUT, "%s after ByteLevel is not supported",
				 type);
	if (p->n == COMPONENT_STEPS)
		return error_set(err, STATUS_BAD_INPUT, "more than %d steps", COMPONENT_STEPS);
	if (strcmp(type, "ByteLevel") == 0)
		return load_byte_level(p, config, err);
	if (strcmp(type, "Split") == 0)
		return load_split(p, config, err);
	if (strcmp(type, "Digits") == 0)
		return load_digits(p, config, err);
	if (strcmp(type, "Metaspace") == 0)
		return load_metaspace(p, config, err);
	return error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
}

struct pretokenizer *pretokenizer_create(const struct json *config, struct error *err)
{
	struct pretokenizer *p = xcalloc(1, sizeof *p);

	if (!config || json_type(config) == JSON_NULL)
		return p;
	if (load(p, config, 0, err) != STATUS_OK) {
		pretokenizer_destroy(p);
		return NULL;
	}
	return p;
}

struct pretokenizer *pretokenizer_create_gpt2(void)
{
	struct pretokenizer *p = xcalloc(1, sizeof *p);
	struct error err;

	p->is_byte_level = true;
	if (set_pattern(add_step(p, STEP_BYTE_LEVEL), GPT2_PATTERN, sizeof GPT2_PATTERN - 1, true,
			&err) != STATUS_OK)
		die("%s", err.text);
	return p;
}

void pretokenizer_destroy(struct pretokenizer *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		free(p->steps[i].text);
		regex_destroy(p->steps[i].regex);
	}
	free(p->steps);
	free(p);
}

bool pretokenizer_is_byte_level(const struct pretokenizer *p)
{
	return p->is_byte_level;
}

void pretokenizer_describe(const struct pretokenizer *p, struct buf *out)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct step *step = &p->steps[i];
		buf_printf(out,
			   "pre-tokenizer %d regex %d cut %d invert %d behaviour %d prepend %d ",
			   (int)step->type, step->regex != NULL, step->is_cutting,
			   step->is_inverted, (int)step->behaviour, (int)step->prepend);
		json_write_string(out, step->text ? step->text : "", step->length);
		buf_append_char(out, '\n');
	}
}

/* --- splitting --- */

void pieces_init(struct pieces *pieces)
{
	*pieces = (struct pieces){.state = regex_state_create()};
}

void pieces_release(struct pieces *pieces)
{
	free(pieces->spans);
	free(pieces->spare);
	buf_release(&pieces->texts[0]);
	buf_release(&pieces->texts[1]);
	regex_state_destroy(pieces->state);
	*pieces = (struct pieces){0};
}

static void push(struct pieces *pieces, size_t start, size_t end)
{
	if (start == end)
		return;
	if (pieces->n == pieces->capacity) {
		pieces->capacity = pieces->capacity ? 2 * pieces->capacity : 256;
		pieces->spans = xrealloc(pieces->spans, pieces->capacity, sizeof *pieces->spans);
	}
	pieces->spans[pieces->n++] = (struct span){start, end};
}

/* One piece being cut: marks come in order, cover it, and are joined here. */
struct cut {
	struct pieces *pieces;
	enum behaviour behaviour;
	bool is_inverted;
	bool was_match; /* the previous mark's kind */
	bool is_open;	/* a piece has begun at start */
	size_t start, end;
};

static void cut_flush(struct cut *cut)
{
	if (cut->is_open)
		push(cut->pieces, cut->start, cut->end);
	cut->is_open = false;
}

/* Whether a mark belongs to the piece that is open.  MergedWithNext joins, seen
 * from the end, a match to what follows it unless that is a match too. */
static bool cut_joins(const struct cut *cut, bool is_match)
{
	switch (cut->behaviour) {
	case CONTIGUOUS:
		return is_match == cut->was_match;
	case MERGED_WITH_PREVIOUS:
		return is_match && !cut->was_match;
	case MERGED_WITH_NEXT:
		return !is_match && cut->was_match;
	default:
		return false;
	}
}

static void cut_mark(struct cut *cut, size_t start, size_t end, bool is_match)
{
	is_match ^= cut->is_inverted;
	if (cut->is_open && cut_joins(cut, is_match)) {
		cut->end = end;
	} else {
		cut_flush(cut);
		cut->is_open = !(is_match && cut->behaviour == REMOVED);
		cut->start = start;
		cut->end = end;
	}
	cut->was_match = is_match;
}

static void cut_by_regex(struct cut *cut, const struct regex *regex, struct span span)
{
	const char *text = cut->pieces->text + span.start;
	size_t n = span.end - span.start, done = 0, from = 0, start, end;

	while (from < n && regex_find(regex, cut->pieces->state, text, n, from, &start, &end)) {
		if (start > done)
			cut_mark(cut, span.start + done, span.start + start, false);
		cut_mark(cut, span.start + start, span.start + end, true);
		done = from = end;
		if (start == end) { /* an empty match: go on behind the next character */
			uint32_t c;
			from += utf8_next(text + from, n - from, &c);
		}
	}
	if (done < n)
		cut_mark(cut, span.start + done, span.end, false);
}

static void cut_by_text(struct cut *cut, const struct step *step, struct span span)
{
	const char *text = cut->pieces->text;
	size_t done = span.start;

	while (done < span.end && step->length > 0) {
		const char *found = memmem(text + done, span.end - done, step->text, step->length);
		size_t start = found ? (size_t)(found - text) : span.end;
		if (!found)
			break;
		if (start > done)
			cut_mark(cut, done, start, false);
		cut_mark(cut, start, start + step->length, true);
		done = start + step->length;
	}
	if (done < span.end)
		cut_mark(cut, done, span.end, false);
}

static void cut_by_digits(struct cut *cut, struct span span)
{
	const char *text = cut->pieces->text;
	size_t done = span.start;

	for (size_t i = span.start; i < span.end;) {
		uint32_t c = 0;
		size_t length = utf8_next(text + i, span.end - i, &c);
		if (unicode_is_numeric(c)) {
			if (i > done)
				cut_mark(cut, done, i, false);
			cut_mark(cut, i, i + length, true);
			done = i + length;
		}
		i += length;
	}
	if (done < span.end)
		cut_mark(cut, done, span.end, false);
}

static void swap_spans(struct pieces *pieces)
{
	struct span *spans = pieces->spans;
	size_t capacity = pieces->capacity;

	pieces->spans = pieces->spare;
	pieces->capacity = pieces->spare_capacity;
	pieces->spare = spans;
	pieces->spare_capacity = capacity;
	pieces->n = 0;
}

static void cut_all(const struct step *step, struct pieces *pieces)
{
	size_t n = pieces->n;

	swap_spans(pieces);
	for (size_t i = 0; i < n; i++) {
		struct cut cut = {.pieces = pieces,
				  .behaviour = step->behaviour,
				  .is_inverted = step->is_inverted};
		if (step->type == STEP_DIGITS)
			cut_by_digits(&cut, pieces->spare[i]);
		else if (step->regex)
			cut_by_regex(&cut, step->regex, pieces->spare[i]);
		else
			cut_by_text(&cut, step, pieces->spare[i]);
		cut_flush(&cut);
	}
}

/* A piece with spaces replaced and the prefix put in front where it is due. */
static void rewrite_piece(const struct step *step, const char *text, size_t n, bool is_first,
			  struct buf *out)
{
	bool is_metaspace = step->type == STEP_METASPACE;
	const char *mark = is_metaspace ? step->text : " ";
	size_t length = is_metaspace ? step->length : 1;
	bool has_it = (n >= length && memcmp(text, mark, length) == 0) || text[0] == ' ';

	if (!has_it &&
	    (step->prepend == PREPEND_ALWAYS || (step->prepend == PREPEND_FIRST && is_first)))
		buf_append(out, mark, length);
	while (is_metaspace && n > 0) {
		const char *space = memchr(text, ' ', n);
		size_t plain = space ? (size_t)(space - text) : n;
		buf_append(out, text, plain);
		if (space)
			buf_append(out, mark, length);
		text += plain + (space != NULL);
		n -= plain + (space != NULL);
	}
	buf_append(out, text, n);
}

static void rewrite_all(const struct step *step, struct pieces *pieces, bool at_start)
{
	struct buf *out = &pieces->texts[pieces->text == pieces->texts[0].data];

	buf_reset(out);
	for (size_t i = 0; i < pieces->n; i++) {
		struct span *span = &pieces->spans[i];
		size_t start = out->length;
		rewrite_piece(step, pieces->text + span->start, span->end - span->start,
			      at_start && span->start == 0, out);
		*span = (struct span){start, out->length};
	}
	pieces->text = out->data;
}

void pretokenizer_split(const struct pretokenizer *p, struct pieces *pieces, const char *text,
			size_t n, bool at_start)
{
	pieces->n = 0;
	pieces->text = text;
	push(pieces, 0, n);
	for (size_t i = 0; i < p->n; i++) {
		const struct step *step = &p->steps[i];
		if (step->type == STEP_METASPACE || step->prepend != PREPEND_NEVER)
			rewrite_all(step, pieces, at_start);
		if (step->is_cutting)
			cut_all(step, pieces);
	}
}

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
#include "common/text/pattern.h"
#include "common/text/unicode.h"

static const char GPT2_PATTERN[] =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
	"|\\s+(?!\\S)|\\s+";

enum step_type {
	STEP_BYTE_LEVEL,
	STEP_SPLIT,
	STEP_METASPACE,
	STEP_CLASS,    /* each character of a class is a match */
	STEP_WORDS,    /* runs of word characters, and of others, without space */
	STEP_ALPHABET, /* bytes are written as the characters that stand for them */
};
enum behaviour { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

static const char *const BEHAVIOURS[] = {"Removed", "Isolated", "MergedWithPrevious",
					 "MergedWithNext", "Contiguous"};

struct step {
	enum step_type type;
	struct pattern pattern;	     /* of a cut, or Metaspace's replacement */
	bool (*is_member)(uint32_t); /* of the class */
	bool is_cutting;	     /* false: pieces are rewritten only */
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
	return pattern_set(&step->pattern, GPT2_PATTERN, sizeof GPT2_PATTERN - 1, true, err);
}

static enum status load_behaviour(struct step *step, const struct json *config, int fallback,
				  struct error *err)
{
	int behaviour;

	if (component_choice(config, "behavior", BEHAVIOURS, 5, fallback, &behaviour, err) !=
	    STATUS_OK)
		return STATUS_BAD_INPUT;
	step->behaviour = (enum behaviour)behaviour;
	return STATUS_OK;
}

static enum status load_split(struct pretokenizer *p, const struct json *config, struct error *err)
{
	struct step *step = add_step(p, STEP_SPLIT);

	if (load_behaviour(step, config, -1, err) != STATUS_OK ||
	    component_bool(config, "invert", false, &step->is_inverted, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return pattern_load(&step->pattern, config, err);
}

static enum status load_delimiter(struct pretokenizer *p, const struct json *config,
				  struct error *err)
{
	struct step *step = add_step(p, STEP_SPLIT);
	const char *text;
	size_t length;

	if (component_character(config, "delimiter", NULL, &text, &length, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->behaviour = REMOVED;
	return pattern_set(&step->pattern, text, length, false, err);
}

static struct step *add_class(struct pretokenizer *p, bool (*is_member)(uint32_t),
			      enum behaviour behaviour)
{
	struct step *step = add_step(p, STEP_CLASS);

	step->is_member = is_member;
	step->behaviour = behaviour;
	return step;
}

static enum status load_digits(struct pretokenizer *p, const struct json *config, struct error *err)
{
	bool individual;

	if (component_bool(config, "individual_digits", false, &individual, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	add_class(p, unicode_is_numeric, individual ? ISOLATED : CONTIGUOUS);
	return STATUS_OK;
}

static enum status load_punctuation(struct pretokenizer *p, const struct json *config,
				    struct error *err)
{
	return load_behaviour(add_class(p, unicode_is_punctuation, ISOLATED), config, ISOLATED,
			      err);
}

static enum status load_whitespace(struct pretokenizer *p, const struct json *config,
				   struct error *err)
{
	(void)config;
	(void)err;
	add_step(p, STEP_WORDS);
	return STATUS_OK;
}

static enum status load_whitespace_split(struct pretokenizer *p, const struct json *config,
					 struct error *err)
{
	(void)config;
	(void)err;
	add_class(p, unicode_is_space, REMOVED);
	return STATUS_OK;
}

static enum status load_bert(struct pretokenizer *p, const struct json *config, struct error *err)
{
	(void)config;
	(void)err;
	add_class(p, unicode_is_space, REMOVED);
	add_class(p, unicode_is_punctuation, ISOLATED);
	return STATUS_OK;
}

static enum status load_metaspace(struct pretokenizer *p, const struct json *config,
				  struct error *err)
{
	struct step *step = add_step(p, STEP_METASPACE);
	struct component_metaspace metaspace;

	if (component_metaspace(config, &metaspace, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	step->prepend = metaspace.prepend;
	step->is_cutting = metaspace.splits;
	step->behaviour = MERGED_WITH_NEXT;
	return pattern_set(&step->pattern, metaspace.replacement, metaspace.length, false, err);
}

/* What comes behind ByteLevel sees the characters that stand for bytes. */
static enum status add_component(void *context, const char *type, const struct json *config,
				 struct error *err)
{
	static const struct {
		const char *name;
		enum status (*load)(struct pretokenizer *, const struct json *, struct error *);
	} types[] = {{"ByteLevel", load_byte_level},
		     {"Split", load_split},
		     {"Digits", load_digits},
		     {"Metaspace", load_metaspace},
		     {"Punctuation", load_punctuation},
		     {"Whitespace", load_whitespace},
		     {"WhitespaceSplit", load_whitespace_split},
		     {"BertPreTokenizer", load_bert},
		     {"CharDelimiterSplit", load_delimiter}};
	struct pretokenizer *p = context;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (strcmp(type, types[i].name) != 0)
			continue;
		if (p->is_byte_level)
			add_step(p, STEP_ALPHABET)->is_cutting = false;
		p->is_byte_level = false;
		return types[i].load(p, config, err);
	}
	return error_set(err, STATUS_BAD_INPUT, "type %s is not supported", type);
}

struct pretokenizer *pretokenizer_create(const struct json *config, struct error *err)
{
	struct pretokenizer *p = xcalloc(1, sizeof *p);
	const struct component_walk walk = {"pretokenizers", add_component, p};

	if (component_walk(&walk, config, err) != STATUS_OK) {
		pretokenizer_destroy(p);
		return NULL;
	}
	return p;
}

void pretokenizer_set_prefix_space(struct pretokenizer *p, bool is_added)
{
	if (p->n == 1 && p->steps[0].type == STEP_BYTE_LEVEL)
		p->steps[0].prepend = is_added ? PREPEND_ALWAYS : PREPEND_NEVER;
}

struct pretokenizer *pretokenizer_create_gpt2(void)
{
	struct pretokenizer *p = xcalloc(1, sizeof *p);
	struct error err;

	p->is_byte_level = true;
	if (pattern_set(&add_step(p, STEP_BYTE_LEVEL)->pattern, GPT2_PATTERN,
			sizeof GPT2_PATTERN - 1, true, &err) != STATUS_OK)
		die("%s", err.text);
	return p;
}

void pretokenizer_destroy(struct pretokenizer *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		pattern_release(&p->steps[i].pattern);
	free(p->steps);
	free(p);
}

bool pretokenizer_is_byte_level(const struct pretokenizer *p)
{
	return p->is_byte_level;
}

static int class_number(bool (*is_member)(uint32_t))
{
	return is_member == unicode_is_space	     ? 1
	       : is_member == unicode_is_numeric     ? 2
	       : is_member == unicode_is_punctuation ? 3
						     : 0;
}

void pretokenizer_describe(const struct pretokenizer *p, struct buf *out)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct step *step = &p->steps[i];
		buf_printf(out,
			   "pre-tokenizer %d class %d cut %d invert %d behaviour %d prepend %d ",
			   (int)step->type, class_number(step->is_member), step->is_cutting,
			   step->is_inverted, (int)step->behaviour, (int)step->prepend);
		pattern_describe(&step->pattern, out);
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

/* Adds a part of a piece. */
static void push(struct pieces *pieces, size_t start, size_t end, struct span whole)
{
	if (start == end)
		return;
	if (pieces->n == pieces->capacity) {
		pieces->capacity = pieces->capacity ? 2 * pieces->capacity : 256;
		pieces->spans = xrealloc(pieces->spans, pieces->capacity, sizeof *pieces->spans);
	}
	pieces->spans[pieces->n++] =
		(struct span){start, end, whole.is_first && start == whole.start};
}

/* One piece being cut: marks come in order, cover it, and are joined here. */
struct cut {
	struct pieces *pieces;
	struct span whole;
	enum behaviour behaviour;
	bool is_inverted;
	bool was_match; /* the previous mark's kind */
	bool is_open;	/* a piece has begun at start */
	size_t start, end;
};

static void cut_flush(struct cut *cut)
{
	if (cut->is_open)
		push(cut->pieces, cut->start, cut->end, cut->whole);
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

static void cut_by_pattern(struct cut *cut, const struct pattern *pattern)
{
	struct span span = cut->whole;
	struct matches matches = {.pattern = pattern,
				  .state = cut->pieces->state,
				  .text = cut->pieces->text + span.start,
				  .n = span.end - span.start};
	size_t done = 0, start, end;

	while (matches_next(&matches, &start, &end)) {
		if (start > done)
			cut_mark(cut, span.start + done, span.start + start, false);
		cut_mark(cut, span.start + start, span.start + end, true);
		done = end;
	}
	if (done < matches.n)
		cut_mark(cut, span.start + done, span.end, false);
}

static void cut_by_class(struct cut *cut, bool (*is_member)(uint32_t))
{
	struct span span = cut->whole;
	const char *text = cut->pieces->text;
	size_t done = span.start;

	for (size_t i = span.start; i < span.end;) {
		uint32_t c = 0;
		size_t length = utf8_next(text + i, span.end - i, &c);
		if (is_member(c)) {
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

/* Runs of one kind: space, which is no piece, words, and the rest. */
static void cut_by_words(struct cut *cut)
{
	struct span span = cut->whole;
	enum { SPACE, WORD, OTHER } kind, last = SPACE;
	const char *text = cut->pieces->text;
	size_t begin = span.start;

	for (size_t i = span.start, length; i < span.end; i += length) {
		uint32_t c = 0;
		length = utf8_next(text + i, span.end - i, &c);
		kind = unicode_is_word(c) ? WORD : unicode_is_space(c) ? SPACE : OTHER;
		if (kind == last)
			continue;
		if (last != SPACE)
			push(cut->pieces, begin, i, span);
		begin = i;
		last = kind;
	}
	if (last != SPACE)
		push(cut->pieces, begin, span.end, span);
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
				  .whole = pieces->spare[i],
				  .behaviour = step->behaviour,
				  .is_inverted = step->is_inverted};
		if (step->type == STEP_CLASS)
			cut_by_class(&cut, step->is_member);
		else if (step->type == STEP_WORDS)
			cut_by_words(&cut);
		else
			cut_by_pattern(&cut, &step->pattern);
		cut_flush(&cut);
	}
}

/* A piece with spaces replaced and the prefix put in front where it is due. */
static void rewrite_piece(const struct step *step, const char *text, size_t n, bool is_first,
			  struct buf *out)
{
	bool is_metaspace = step->type == STEP_METASPACE;
	const char *mark = is_metaspace ? step->pattern.text : " ";
	size_t length = is_metaspace ? step->pattern.length : 1;
	bool has_it = (n >= length && memcmp(text, mark, length) == 0) || text[0] == ' ';

	if (step->type == STEP_ALPHABET) {
		byte_alphabet_append(out, text, n);
		return;
	}
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

static void rewrite_all(const struct step *step, struct pieces *pieces)
{
	struct buf *out = &pieces->texts[pieces->text == pieces->texts[0].data];

	buf_reset(out);
	for (size_t i = 0; i < pieces->n; i++) {
		struct span *span = &pieces->spans[i];
		size_t start = out->length;
		rewrite_piece(step, pieces->text + span->start, span->end - span->start,
			      span->is_first, out);
		span->start = start;
		span->end = out->length;
	}
	pieces->text = out->data;
}

void pretokenizer_split(const struct pretokenizer *p, struct pieces *pieces, const char *text,
			size_t n, bool at_start)
{
	pieces->n = 0;
	pieces->text = text;
	push(pieces, 0, n, (struct span){0, n, at_start});
	for (size_t i = 0; i < p->n; i++) {
		const struct step *step = &p->steps[i];
		if (step->type == STEP_METASPACE || step->type == STEP_ALPHABET ||
		    step->prepend != PREPEND_NEVER)
			rewrite_all(step, pieces);
		if (step->is_cutting)
			cut_all(step, pieces);
	}
}

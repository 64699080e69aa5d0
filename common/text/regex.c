/* From Oniguruma's syntax to PCRE2's, and matching.
 *
 * Both engines agree on \p{..}, groups, alternation, greed, looking ahead and behind, and
 * case folding.  They differ on \s (PCRE2 counts U+180E, or ASCII alone), \d, \w and \b,
 * on classes within classes, and on what follows {n,m}.  The translator walks the pattern
 * once, writes these out, adds to \p{..} what PCRE2's Unicode is too old for, copies what
 * means the same, and refuses the rest:
 *
 *     \s         [\x{9}-\x{d}\x{20}...]        [a[bc]]      [abc]
 *     \b         (?:(?<=W)(?!W)|(?<!W)(?=W))   [a-z&&[^b]]  (?:(?=[a-z])[^b])
 *     \d{1,3}+   (?:[\p{Nd}]{1,3})+
 *
 * Matching uses the JIT compiler where the machine has one. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/text/regex.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/base/die.h"
#include "common/base/log.h"
#include "common/text/unicode.h"

enum {
	MAX_PATTERN = 65536,
	MAX_TRANSLATION = 1 << 22,
	MATCH_LIMIT = 10000000,
	MAX_GROUPS = 32,
	MAX_CLASSES = 8
};

/* White_Space as the inside of a class, and all the rest. */
static const char SPACE[] = "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
			    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
static const char NOT_SPACE[] =
	"\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}"
	"\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}"
	"\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";

struct regex {
	pcre2_code *code;
};

struct regex_state {
	pcre2_match_data *data;
	pcre2_match_context *context;
};

/* --- translation --- */

struct translation {
	const char *at, *end; /* what is left of the pattern; *end is NUL */
	bool in_class;
	struct buf out;
	size_t atom;		   /* where in out what a quantifier would repeat begins */
	size_t groups[MAX_GROUPS]; /* where in out the groups that are open begin */
	int n_groups;
	size_t opened; /* where in out the last group, or the pattern, begins inside */
	struct error *err;
};

static bool refuse(struct translation *t, const char *construct)
{
	error_set(t->err, STATUS_BAD_INPUT, "%s in a pattern is not supported", construct);
	return false;
}

static void copy(struct translation *t, size_t n)
{
	buf_append(&t->out, t->at, n);
	t->at += n;
}

static size_t span_of(const struct translation *t, size_t from, const char *set)
{
	size_t i = from;

	while (t->at + i < t->end && t->at[i] != '\0' && strchr(set, t->at[i]))
		i++;
	return i - from;
}

static const char HEX[] = "0123456789abcdefABCDEF";

/* \xHH, \x{H...} and \uHHHH. */
static bool translate_hex(struct translation *t)
{
	bool braced = t->at[1] == 'x' && t->at + 2 < t->end && t->at[2] == '{';
	size_t begin = braced ? 3 : 2, digits = span_of(t, begin, HEX);
	size_t most = braced ? 6 : t->at[1] == 'u' ? 4 : 2;

	if (!braced && digits > most)
		digits = most;
	if (digits == 0 || digits > most || (!braced && digits != most) ||
	    (braced && t->at[begin + digits] != '}'))
		return refuse(t, "a malformed \\x or \\u");
	buf_printf(&t->out, "\\x{%.*s}", (int)digits, t->at + begin);
	t->at += begin + digits + braced;
	return true;
}

/* The characters of a property that are too new for PCRE2, as the inside of a class. */
static void append_news(struct translation *t, const char *property, size_t n)
{
	size_t n_news;
	const struct unicode_news *news = unicode_news(&n_news);

	for (size_t i = 0; i < n_news; i++)
		if (strncasecmp(news[i].property, property, n) == 0 &&
		    (n < 3 || n == strlen(news[i].property)))
			for (size_t j = 0; j < news[i].n; j++)
				buf_printf(&t->out, "\\x{%x}-\\x{%x}",
					   (unsigned)news[i].ranges[j].first,
					   (unsigned)news[i].ranges[j].last);
}

/* Whether a name is a script's.  By itself it would mean, from PCRE2 10.40 on, all that is
 * used with the script, marks and punctuation too. */
static bool is_script(const char *name, size_t n)
{
	char pattern[80];
	int error;
	PCRE2_SIZE offset;
	pcre2_code *code;

	if (n > 64)
		return false;
	snprintf(pattern, sizeof pattern, "\\p{sc:%.*s}", (int)n, name);
	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &offset,
			     NULL);
	pcre2_code_free(code);
	return code != NULL;
}

/* A property as it is in a class, or as a class of its own.  Its complement within a
 * class has no such form: there the newest characters count as members. */
static void append_property(struct translation *t, const char *name, size_t n, bool is_negated)
{
	const char *kind = is_script(name, n) ? "sc:" : "";

	if (is_negated && t->in_class) {
		buf_printf(&t->out, "\\P{%s%.*s}", kind, (int)n, name);
		return;
	}
	if (!t->in_class)
		buf_append_string(&t->out, is_negated ? "[^" : "[");
	buf_printf(&t->out, "\\p{%s%.*s}", kind, (int)n, name);
	append_news(t, name, n);
	if (!t->in_class)
		buf_append_char(&t->out, ']');
}

/* \p{..} and \P{..}: which names exist is PCRE2's to say. */
static bool translate_property(struct translation *t)
{
	static const char NAME[] = "_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	bool is_negated = t->at[1] == 'P';
	size_t start = 3, name;

	if (t->at + 2 >= t->end || t->at[2] != '{')
		return refuse(t, "\\p without braces");
	if (t->at[3] == '^') {
		is_negated = !is_negated;
		start++;
	}
	name = span_of(t, start, NAME);
	if (name == 0 || t->at[start + name] != '}')
		return refuse(t, "a malformed \\p{...}");
	append_property(t, t->at + start, name, is_negated);
	t->at += start + name + 1;
	return true;
}

/* \w: letters, marks, digits and connectors, and what else is alphabetic.  Oniguruma
 * counts the superscripts and fractions of Latin-1 too, but not within a class. */
static void append_word(struct translation *t, bool is_negated)
{
	static const char *const properties[] = {"L", "M", "Nd", "Nl", "Pc"};
	static const char more[] = "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
				   "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
	static const char latin[] = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
	bool was_in_class = t->in_class;

	if (!t->in_class)
		buf_printf(&t->out, "%s%s", is_negated ? "[^" : "[", latin);
	t->in_class = true;
	for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
		append_property(t, properties[i], strlen(properties[i]), false);
	t->in_class = was_in_class;
	buf_append_string(&t->out, more);
	if (!t->in_class)
		buf_append_char(&t->out, ']');
}

/* \b and \B: where a word begins or ends, and where none does. */
static void append_boundary(struct translation *t, bool is_negated)
{
	static const char *const edges[] = {"(?:(?<=", ")(?!", ")|(?<!", ")(?=", "))"};
	static const char *const others[] = {"(?:(?<=", ")(?=", ")|(?<!", ")(?!", "))"};
	const char *const *parts = is_negated ? others : edges;

	for (int i = 0; i < 4; i++) {
		buf_append_string(&t->out, parts[i]);
		append_word(t, false);
	}
	buf_append_string(&t->out, parts[4]);
}

static bool translate_escape(struct translation *t)
{
	char name[] = "\\?", c;

	if (t->at + 1 >= t->end)
		return refuse(t, "a lone backslash");
	c = t->at[1];
	if (c == 's' || c == 'S') {
		if (t->in_class)
			buf_append_string(&t->out, c == 's' ? SPACE : NOT_SPACE);
		else
			buf_printf(&t->out, "[%s%s]", c == 's' ? "" : "^", SPACE);
		t->at += 2;
	} else if (c == 'd' || c == 'D') {
		append_property(t, "Nd", 2, c == 'D');
		t->at += 2;
	} else if (c == 'W' && t->in_class) {
		return refuse(t, "\\W in a class");
	} else if (c == 'w' || c == 'W') {
		append_word(t, c == 'W');
		t->at += 2;
	} else if ((c == 'b' || c == 'B') && !t->in_class) {
		append_boundary(t, c == 'B');
		t->at += 2;
	} else if (c == 'p' || c == 'P') {
		return translate_property(t);
	} else if (c == 'x' || c == 'u') {
		return translate_hex(t);
	} else if (ispunct((unsigned char)c) || c == ' ' || strchr("rntf", c)) {
		copy(t, 2);
	} else {
		name[1] = c;
		return refuse(t, isalnum((unsigned char)c) ? name : "an escaped character");
	}
	return true;
}

static bool open_group(struct translation *t, size_t n)
{
	if (t->n_groups == MAX_GROUPS)
		return refuse(t, "a group so deep");
	t->groups[t->n_groups++] = t->out.length;
	copy(t, n);
	t->opened = t->out.length;
	return true;
}

static bool translate_group(struct translation *t)
{
	static const char *const known[] = {"?:", "?=", "?!", "?>", "?<=", "?<!", "?i:"};
	char name[5] = "(";
	size_t left = (size_t)(t->end - t->at) - 1;

	if (left == 0 || (t->at[1] != '?' && t->at[1] != '*'))
		return open_group(t, 1);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		size_t length = strlen(known[i]);
		if (left >= length && memcmp(t->at + 1, known[i], length) == 0)
			return open_group(t, 1 + length);
	}
	/* Behind anything it would make one group of itself and the alternatives that follow. */
	if (left >= 3 && memcmp(t->at + 1, "?i)", 3) == 0 && t->out.length == t->opened) {
		copy(t, 4);
		return true;
	}
	memcpy(name + 1, t->at + 1, left < 3 ? left : 3);
	return refuse(t, name);
}

/* What is repeated is all of the group. */
static void close_group(struct translation *t)
{
	if (t->n_groups > 0)
		t->atom = t->groups[--t->n_groups];
	copy(t, 1);
}

/* Puts text in front of what out holds from a place on. */
static void insert(struct translation *t, size_t place, const char *text)
{
	struct buf tail = BUF_INIT;

	buf_append(&tail, t->out.data + place, t->out.length - place);
	t->out.length = place;
	buf_append_string(&t->out, text);
	buf_append(&t->out, tail.data, tail.length);
	buf_release(&tail);
}

/* {n}, {n,} and {n,m}; a brace that is none of these is refused.  A + behind it repeats
 * the whole, and so does a ? behind {n}, which elsewhere makes it lazy. */
static bool translate_repeat(struct translation *t)
{
	size_t n = span_of(t, 1, "0123456789,");
	bool is_exact = !memchr(t->at + 1, ',', n), is_repeated;

	if (n == 0 || t->at[1] == ',' || t->at[1 + n] != '}')
		return refuse(t, "a brace that is not {n}, {n,} or {n,m}");
	is_repeated = t->at[2 + n] == '+' || (t->at[2 + n] == '?' && is_exact);
	if (is_repeated)
		insert(t, t->atom, "(?:");
	copy(t, n + 2);
	if (is_repeated)
		buf_append_char(&t->out, ')');
	if (*t->at == '+' || *t->at == '?')
		copy(t, 1);
	if (*t->at != '\0' && strchr("+?*{", *t->at))
		return refuse(t, "a quantifier behind a quantifier");
	return true;
}

static bool starts(const struct translation *t, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(t->end - t->at) >= n && memcmp(t->at, text, n) == 0;
}

/* Members of a class up to the ] or && that ends them, which is not read.  Those of a
 * class within it are members like the others. */
static bool translate_members(struct translation *t, int depth)
{
	if (depth == MAX_CLASSES)
		return refuse(t, "classes so deep in each other");
	if (*t->at == ']')
		return refuse(t, "']' first in a class");
	while (t->at < t->end && *t->at != ']' && !starts(t, "&&")) {
		if (*t->at == '\\') {
			if (!translate_escape(t))
				return false;
		} else if (starts(t, "[^") || starts(t, "[:")) {
			return refuse(t, "[^ or [: in a class");
		} else if (*t->at == '[') {
			t->at++;
			if (!translate_members(t, depth + 1))
				return false;
			if (*t->at != ']')
				return refuse(t, "&& in a class within a class");
			t->at++;
		} else if (*t->at == '\0') {
			return refuse(t, "a NUL");
		} else {
			copy(t, 1);
		}
	}
	if (t->at == t->end)
		return refuse(t, "a class without an end");
	return true;
}

/* [^...] as a whole; its ^ is next. */
static bool translate_complement(struct translation *t)
{
	buf_append_string(&t->out, "[^");
	t->at++;
	t->in_class = true;
	if (!translate_members(t, 0))
		return false;
	t->in_class = false;
	if (*t->at != ']')
		return refuse(t, "&& in a class [^...]");
	copy(t, 1);
	return true;
}

/* What stands on one side of &&: members, or a class [^...] alone. */
static bool translate_operand(struct translation *t)
{
	if (starts(t, "[^")) {
		t->at++;
		return translate_complement(t) &&
		       (*t->at == ']' || starts(t, "&&") || refuse(t, "[^ or [: in a class"));
	}
	buf_append_char(&t->out, '[');
	t->in_class = true;
	if (!translate_members(t, 0))
		return false;
	t->in_class = false;
	buf_append_char(&t->out, ']');
	return true;
}

/* [...], [^...], and [...&&...]: a character that is in all of these. */
static bool translate_class(struct translation *t)
{
	size_t begin = t->out.length;

	t->at++;
	if (*t->at == '^')
		return translate_complement(t);
	if (!translate_operand(t))
		return false;
	while (starts(t, "&&")) {
		t->at += 2;
		insert(t, begin, "(?=");
		buf_append_char(&t->out, ')');
		if (!translate_operand(t))
			return false;
	}
	if (t->out.data[begin] == '(') {
		insert(t, begin, "(?:");
		buf_append_char(&t->out, ')');
	}
	t->at++;
	return true;
}

static bool translate_next(struct translation *t)
{
	char c = *t->at;

	if (c == '\0')
		return refuse(t, "a NUL");
	if (c == '{')
		return translate_repeat(t);
	if (c == '(')
		return translate_group(t);
	if (c == ')') {
		close_group(t);
		return true;
	}
	if (!strchr("*+?", c))
		t->atom = t->out.length;
	if (c == '\\')
		return translate_escape(t);
	if (c == '[')
		return translate_class(t);
	copy(t, 1);
	return true;
}

/* --- compiling and matching --- */

static pcre2_code *compile(const struct buf *pattern, struct error *err)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	int code;
	PCRE2_SIZE offset;
	PCRE2_UCHAR message[128];
	pcre2_code *result;

	if (!context)
		die("no memory for a pattern");
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(context, MAX_GROUPS + 4); /* what is written out */
	/* Oniguruma's ^ and $ match at every line. */
	result = pcre2_compile((PCRE2_SPTR)pattern->data, pattern->length,
			       PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code,
			       &offset, context);
	pcre2_compile_context_free(context);
	if (!result) {
		pcre2_get_error_message(code, message, sizeof message);
		error_set(err, STATUS_BAD_INPUT, "a pattern does not compile: %s", message);
		return NULL;
	}
	/* Where there is no JIT the interpreter gives the same matches. */
	pcre2_jit_compile(result, PCRE2_JIT_COMPLETE);
	return result;
}

struct regex *regex_create(const char *pattern, size_t length, struct error *err)
{
	struct translation t = {.at = pattern, .end = pattern + length, .err = err};
	struct regex *regex = NULL;
	pcre2_code *code = NULL;

	if (length > MAX_PATTERN) {
		error_set(err, STATUS_BAD_INPUT, "a pattern of %zu bytes, the most is %d", length,
			  MAX_PATTERN);
		return NULL;
	}
	buf_append(&t.out, "", 0);
	while (t.at < t.end) {
		if (!translate_next(&t))
			goto done;
		if (t.out.length > MAX_TRANSLATION) {
			refuse(&t, "so much that has to be written out");
			goto done;
		}
	}
	code = compile(&t.out, err);
	if (code) {
		regex = xmalloc(sizeof *regex);
		regex->code = code;
	}
done:
	buf_release(&t.out);
	return regex;
}

void regex_destroy(struct regex *regex)
{
	if (!regex)
		return;
	pcre2_code_free(regex->code);
	free(regex);
}

struct regex_state *regex_state_create(void)
{
	struct regex_state *state = xmalloc(sizeof *state);

	state->data = pcre2_match_data_create(1, NULL);
	state->context = pcre2_match_context_create(NULL);
	if (!state->data || !state->context)
		die("no memory for matching");
	pcre2_set_match_limit(state->context, MATCH_LIMIT);
	return state;
}

void regex_state_destroy(struct regex_state *state)
{
	if (!state)
		return;
	pcre2_match_data_free(state->data);
	pcre2_match_context_free(state->context);
	free(state);
}

static void warn_once(int code)
{
	static atomic_flag warned = ATOMIC_FLAG_INIT;
	PCRE2_UCHAR message[128];

	if (atomic_flag_test_and_set(&warned))
		return;
	pcre2_get_error_message(code, message, sizeof message);
	log_warn("a pattern of the tokenizer gave up on a text: %s", message);
}

bool regex_find(const struct regex *regex, struct regex_state *state, const char *text, size_t n,
		size_t from, size_t *start, size_t *end)
{
	PCRE2_SPTR subject = (PCRE2_SPTR)text;
	int code = pcre2_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK, state->data,
			       state->context);
	const PCRE2_SIZE *place;

	if (code == PCRE2_ERROR_JIT_STACKLIMIT)
		code = pcre2_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
				   state->data, state->context);
	if (code < 0) {
		if (code != PCRE2_ERROR_NOMATCH)
			warn_once(code);
		return false;
	}
	place = pcre2_get_ovector_pointer(state->data);
	*start = place[0];
	*end = place[1];
	return true;
}

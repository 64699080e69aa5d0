/* A trie over bytes: at each place where some token may begin, it is followed as
 * far as the text goes along, and the longest token on the way is taken.  Tokens
 * are short (vocabulary.c bounds them), so this is linear in the text. */
#include "common/text/added.h"

#include <stdlib.h>

#include "common/base/die.h"
#include "common/text/unicode.h"

struct node {
	const struct added_token *token; /* that ends here, or NULL */
	int32_t child, sibling;		 /* indices of nodes, 0 for none */
	uint8_t byte;
};

struct added_set {
	struct node *nodes; /* nodes[0] is the root */
	int32_t n, capacity;
	int32_t first[256]; /* the root's children */
};

struct added_set *added_set_create(void)
{
	struct added_set *set = xcalloc(1, sizeof *set);

	set->capacity = 64;
	set->nodes = xcalloc((size_t)set->capacity, sizeof *set->nodes);
	set->n = 1;
	return set;
}

void added_set_destroy(struct added_set *set)
{
	if (!set)
		return;
	free(set->nodes);
	free(set);
}

static int32_t find_child(const struct added_set *set, int32_t node, uint8_t byte)
{
	int32_t child = node == 0 ? set->first[byte] : set->nodes[node].child;

	while (child != 0 && set->nodes[child].byte != byte)
		child = set->nodes[child].sibling;
	return child;
}

static int32_t add_child(struct added_set *set, int32_t node, uint8_t byte)
{
	int32_t child = set->n++;

	if (set->n > set->capacity) {
		set->capacity *= 2;
		set->nodes = xrealloc(set->nodes, (size_t)set->capacity, sizeof *set->nodes);
	}
	set->nodes[child] = (struct node){.byte = byte};
	if (node == 0) {
		set->first[byte] = child;
	} else {
		set->nodes[child].sibling = set->nodes[node].child;
		set->nodes[node].child = child;
	}
	return child;
}

void added_set_add(struct added_set *set, const struct added_token *token, const char *text,
		   size_t length)
{
	int32_t node = 0;

	if (length == 0)
		return;
	for (size_t i = 0; i < length; i++) {
		int32_t child = find_child(set, node, (uint8_t)text[i]);
		node = child ? child : add_child(set, node, (uint8_t)text[i]);
	}
	if (!set->nodes[node].token)
		set->nodes[node].token = token;
}

static void push(struct segments *segments, size_t start, size_t end, int32_t id)
{
	if (segments->n == segments->capacity) {
		segments->capacity = segments->capacity ? 2 * segments->capacity : 16;
		segments->data =
			xrealloc(segments->data, segments->capacity, sizeof *segments->data);
	}
	segments->data[segments->n++] = (struct segment){start, end, id};
}

void segments_release(struct segments *segments)
{
	free(segments->data);
	*segments = (struct segments){0};
}

/* The part that holds text[at]; parts after the one given are tried. */
static size_t part_at(const struct added_limits *limits, size_t part, size_t at)
{
	while (part < limits->n && limits->parts[part].end <= at)
		part++;
	return part;
}

/* Whether a token may be text[at, end), which begins in the given part. */
static bool is_allowed(const struct added_limits *limits, size_t part, size_t end, int32_t id)
{
	for (; part < limits->n; part++) {
		if (limits->parts[part].is_plain && limits->guarded[id])
			return false;
		if (limits->parts[part].end >= end)
			return true;
		if (limits->parts[part].is_cut)
			return false;
	}
	return true;
}

/* The longest token that begins at text[at], its end in *end; NULL. */
static const struct added_token *match_at(const struct added_set *set,
					  const struct added_limits *limits, size_t part,
					  const char *text, size_t n, size_t at, size_t *end)
{
	const struct added_token *found = NULL;
	int32_t node = 0;

	for (size_t i = at; i < n; i++) {
		const struct added_token *token;
		node = find_child(set, node, (uint8_t)text[i]);
		if (node == 0)
			break;
		token = set->nodes[node].token;
		if (token && is_allowed(limits, part, i + 1, token->id)) {
			found = token;
			*end = i + 1;
		}
	}
	return found;
}

static bool is_within_word(const char *text, size_t n, size_t start, size_t end)
{
	uint32_t c;

	return (utf8_previous(text, start, &c) > 0 && unicode_is_word(c)) ||
	       (utf8_next(text + end, n - end, &c) > 0 && unicode_is_word(c));
}

/* Widens a match over the white space beside it, on the left not beyond done. */
static void strip(const struct added_token *token, const char *text, size_t n, size_t done,
		  size_t *start, size_t *end)
{
	uint32_t c;
	size_t length;

	while (token->strips_left && *start > done &&
	       (length = utf8_previous(text, *start, &c)) > 0 && unicode_is_space(c))
		*start -= length;
	if (token->strips_left && *start < done) /* it lies in what was swallowed before */
		*start = done;
	while (token->strips_right && (length = utf8_next(text + *end, n - *end, &c)) > 0 &&
	       unicode_is_space(c))
		*end += length;
}

/* The end of the last cut at or before text[at]; 0. */
static size_t cut_before(const struct added_limits *limits, size_t part)
{
	while (part > 0 && !limits->parts[part - 1].is_cut)
		part--;
	return part > 0 ? limits->parts[part - 1].end : 0;
}

/* The search goes on behind the token itself, not behind the space it swallowed:
 * another token may begin in that space, as in the reference. */
void added_set_split(const struct added_set *set, const char *text, size_t n,
		     const struct added_limits *limits, struct segments *out)
{
	size_t done = 0, part = 0;

	out->n = 0;
	for (size_t at = 0; at < n;) {
		const struct added_token *token = NULL;
		size_t start = at, end, least;
		part = part_at(limits, part, at);
		if (set->first[(uint8_t)text[at]])
			token = match_at(set, limits, part, text, n, at, &end);
		if (!token) {
			at++;
			continue;
		}
		at = end;
		if (token->is_text ||
		    (token->is_single_word && is_within_word(text, n, start, end)))
			continue;
		least = cut_before(limits, part);
		strip(token, text, n, done > least ? done : least, &start, &end);
		if (done < start)
			push(out, done, start, -1);
		if (start < end)
			push(out, start, end, token->id);
		done = end;
	}
	if (done < n)
		push(out, done, n, -1);
}

bool added_set_finds(const struct added_set *set, const char *text, size_t n, const bool *guarded)
{
	const struct added_limits none = {0};

	for (size_t at = 0; at < n; at++) {
		size_t end;
		const struct added_token *token =
			set->first[(uint8_t)text[at]] ? match_at(set, &none, 0, text, n, at, &end)
						      : NULL;
		if (token && guarded[token->id])
			return true;
	}
	return false;
}

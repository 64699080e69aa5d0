/* Two loops give the same result.  Short pieces, which are nearly all, keep the
 * rank of every neighbouring pair in an array and scan it for the least.  Long
 * pieces (Llama 2 has whole documents as one piece) keep candidates in a binary
 * heap and neighbours in a linked list: O(n log n).  A candidate whose pair is no
 * longer there when it comes up is dropped.
 *
 * Merges lie in a hash table with open addressing, from a pair of ids to the rank
 * and the id of the result. */
#include "common/text/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/component.h"
#include "common/text/unicode.h"

enum { SHORT_PIECE = 40, MAX_MERGES = 1 << 24 };
static const uint32_t NO_RANK = UINT32_MAX;
static const uint32_t NO_PLACE = UINT32_MAX;
static const uint64_t NO_KEY = UINT64_MAX;

struct merge {
	uint64_t key; /* left id << 32 | right id; NO_KEY where empty */
	uint32_t rank;
	int32_t result;
};

struct pair {
	int32_t left, right;
};

struct bpe {
	const struct vocabulary *vocabulary;
	struct merge *table; /* [mask + 1] */
	uint64_t mask;
	int shift;
	struct pair *merges; /* [n_merges], as in the file */
	size_t n_merges;
	bool is_byte_level;
	bool fuses_unk;	     /* a run of unknown characters gives one id */
	bool ignores_merges; /* a piece that is a token is that token */
	bool has_fallback;
	int32_t unk;		   /* -1: unknown characters are dropped */
	int32_t ids_of_bytes[256]; /* byte-level symbols, or ASCII ones; -1 */
	int32_t fallback[256];	   /* <0xHH>; -1 */
	size_t longest;		   /* bytes of the longest token */
	char *prefix, *suffix;	   /* of symbols that do not begin a piece, of that which ends it */
	size_t n_prefix, n_suffix; /* their bytes, usually 0 */
};

struct bpe_link {
	uint32_t previous, next; /* places; NO_PLACE at the ends */
};

struct bpe_candidate {
	uint64_t key; /* rank << 32 | place: the order in which candidates apply */
	struct pair pair;
	int32_t result;
};

/* --- the table of merges --- */

static uint64_t pair_key(int32_t left, int32_t right)
{
	return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static struct merge *locate(const struct bpe *bpe, uint64_t key)
{
	uint64_t i = (key * 0x9E3779B97F4A7C15u) >> bpe->shift;

	while (bpe->table[i].key != key && bpe->table[i].key != NO_KEY)
		i = (i + 1) & bpe->mask;
	return &bpe->table[i];
}

/* The rank of a pair, NO_RANK if it does not merge. */
static uint32_t find_merge(const struct bpe *bpe, int32_t left, int32_t right, int32_t *result)
{
	const struct merge *merge = locate(bpe, pair_key(left, right));

	if (merge->key == NO_KEY)
		return NO_RANK;
	*result = merge->result;
	return merge->rank;
}

static void make_table(struct bpe *bpe, size_t n)
{
	size_t capacity = 16;

	bpe->shift = 60;
	while (capacity < 2 * n) {
		capacity *= 2;
		bpe->shift--;
	}
	bpe->mask = capacity - 1;
	bpe->table = xmalloc(capacity * sizeof *bpe->table);
	for (size_t i = 0; i < capacity; i++)
		bpe->table[i].key = NO_KEY;
}

/* --- loading --- */

/* "a b", or ["a", "b"]. */
static bool merge_parts(const struct json *item, const char *parts[2], size_t lengths[2])
{
	const struct json *first = json_first(item), *second = first ? json_next(first) : NULL;
	const char *space;

	if (json_type(item) == JSON_STRING) {
		parts[0] = json_string(item, &lengths[1]);
		space = memchr(parts[0], ' ', lengths[1]);
		if (!space)
			return false;
		lengths[0] = (size_t)(space - parts[0]);
		parts[1] = space + 1;
		lengths[1] -= lengths[0] + 1;
		return !memchr(parts[1], ' ', lengths[1]);
	}
	if (json_type(item) != JSON_ARRAY || !second || json_next(second) ||
	    json_type(first) != JSON_STRING || json_type(second) != JSON_STRING)
		return false;
	parts[0] = json_string(first, &lengths[0]);
	parts[1] = json_string(second, &lengths[1]);
	return true;
}

static enum status load_merge(struct bpe *bpe, const struct json *item, struct buf *joined,
			      struct error *err)
{
	const char *parts[2];
	size_t lengths[2];
	int32_t ids[2], result;
	struct merge *merge;

	if (!merge_parts(item, parts, lengths))
		return error_set(err, STATUS_BAD_INPUT, "not two tokens");
	if (lengths[1] < bpe->n_prefix)
		return error_set(err, STATUS_BAD_INPUT, "\"%.*s\" is shorter than the prefix",
				 (int)lengths[1], parts[1]);
	buf_reset(joined);
	buf_append(joined, parts[0], lengths[0]);
	buf_append(joined, parts[1] + bpe->n_prefix, lengths[1] - bpe->n_prefix);
	for (int i = 0; i < 2; i++) {
		ids[i] = vocabulary_find_model(bpe->vocabulary, parts[i], lengths[i]);
		if (ids[i] < 0)
			return error_set(err, STATUS_BAD_INPUT, "\"%.*s\" is not in the vocabulary",
					 (int)lengths[i], parts[i]);
	}
	result = vocabulary_find_model(bpe->vocabulary, joined->data, joined->length);
	if (result < 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "the result \"%s\" is not in the vocabulary", joined->data);
	bpe->merges[bpe->n_merges] = (struct pair){ids[0], ids[1]};
	merge = locate(bpe, pair_key(ids[0], ids[1]));
	*merge = (struct merge){pair_key(ids[0], ids[1]), (uint32_t)bpe->n_merges++, result};
	return STATUS_OK;
}

static enum status load_merges(struct bpe *bpe, const struct json *list, struct error *err)
{
	struct buf joined = BUF_INIT;
	enum status status = STATUS_OK;
	size_t n;

	if (!list || json_type(list) != JSON_ARRAY)
		return error_set(err, STATUS_BAD_INPUT, "model.merges is not an array");
	n = json_count(list);
	if (n > MAX_MERGES)
		return error_set(err, STATUS_BAD_INPUT, "model.merges: %zu merges, the most is %d",
				 n, MAX_MERGES);
	make_table(bpe, n);
	bpe->merges = xmalloc(n * sizeof *bpe->merges);
	for (const struct json *item = json_first(list); item; item = json_next(item)) {
		status = load_merge(bpe, item, &joined, err);
		if (status != STATUS_OK) {
			error_prefix(err, status, "model.merges[%zu]", bpe->n_merges);
			break;
		}
	}
	buf_release(&joined);
	return status;
}

/* Null and 0 are nothing. */
static enum status refuse_dropout(const struct json *model, struct error *err)
{
	const struct json *value = json_get(model, "dropout");

	if (!value || json_type(value) == JSON_NULL ||
	    (json_type(value) == JSON_NUMBER && json_number(value) == 0))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT, "model.dropout is not supported");
}

static enum status load_affix(const struct json *model, const char *key, char **affix, size_t *n,
			      struct error *err)
{
	const char *text;

	if (component_string(model, key, "", &text, n, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	*affix = component_copy(text, *n);
	return STATUS_OK;
}

static enum status load_flags(struct bpe *bpe, const struct json *model, struct error *err)
{
	if (refuse_dropout(model, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (component_bool(model, "fuse_unk", false, &bpe->fuses_unk, err) != STATUS_OK ||
	    component_bool(model, "byte_fallback", false, &bpe->has_fallback, err) != STATUS_OK ||
	    component_bool(model, "ignore_merges", false, &bpe->ignores_merges, err) != STATUS_OK ||
	    load_affix(model, "continuing_subword_prefix", &bpe->prefix, &bpe->n_prefix, err) !=
		    STATUS_OK ||
	    load_affix(model, "end_of_word_suffix", &bpe->suffix, &bpe->n_suffix, err) != STATUS_OK)
		return error_prefix(err, STATUS_BAD_INPUT, "model");
	return STATUS_OK;
}

/* The ids of single bytes and of <0xHH>; whether every byte has one. */
static bool load_bytes(struct bpe *bpe)
{
	bool is_complete = true;

	for (int byte = 0; byte < 256; byte++) {
		char text[8];
		size_t n = bpe->is_byte_level ? utf8_put(text, byte_alphabet_char((uint8_t)byte))
					      : utf8_put(text, (uint32_t)byte);
		bpe->ids_of_bytes[byte] = vocabulary_find_model(bpe->vocabulary, text, n);
		is_complete &= bpe->ids_of_bytes[byte] >= 0;
		snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
		bpe->fallback[byte] = vocabulary_find_model(bpe->vocabulary, text, 6);
	}
	return is_complete;
}

static enum status load_unk(struct bpe *bpe, const struct json *model, bool is_complete,
			    struct error *err)
{
	const char *unk;
	size_t length;

	if (bpe->is_byte_level && bpe->has_fallback && !is_complete)
		return error_set(err, STATUS_BAD_INPUT,
				 "model.byte_fallback of a byte-level model is not supported");
	bpe->unk = -1;
	if (component_string(model, "unk_token", NULL, &unk, &length, err) != STATUS_OK)
		return error_prefix(err, STATUS_BAD_INPUT, "model");
	if (!unk || (bpe->is_byte_level && is_complete && bpe->n_prefix + bpe->n_suffix == 0))
		return STATUS_OK;
	bpe->unk = vocabulary_find_model(bpe->vocabulary, unk, length);
	if (bpe->unk < 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "model.unk_token \"%s\" is not in the vocabulary", unk);
	return STATUS_OK;
}

static enum status load(struct bpe *bpe, const struct json *model, struct error *err)
{
	if (load_flags(bpe, model, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	for (int32_t id = 0; id < bpe->vocabulary->size; id++)
		if (bpe->vocabulary->tokens[id].length > bpe->longest)
			bpe->longest = bpe->vocabulary->tokens[id].length;
	if (load_unk(bpe, model, load_bytes(bpe), err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return load_merges(bpe, json_get(model, "merges"), err);
}

struct bpe *bpe_create(const struct vocabulary *vocabulary, const struct json *model,
		       bool is_byte_level, struct error *err)
{
	struct bpe *bpe = xcalloc(1, sizeof *bpe);

	bpe->vocabulary = vocabulary;
	bpe->is_byte_level = is_byte_level;
	if (load(bpe, model, err) != STATUS_OK) {
		bpe_destroy(bpe);
		return NULL;
	}
	return bpe;
}

void bpe_destroy(struct bpe *bpe)
{
	if (!bpe)
		return;
	free(bpe->table);
	free(bpe->merges);
	free(bpe->prefix);
	free(bpe->suffix);
	free(bpe);
}

bool bpe_has_fallback(const struct bpe *bpe)
{
	return bpe->has_fallback;
}

void bpe_describe(const struct bpe *bpe, struct buf *out)
{
	buf_printf(out, "bpe bytes %d fuse %d ignore %d fallback %d unk %d\n", bpe->is_byte_level,
		   bpe->fuses_unk, bpe->ignores_merges, bpe->has_fallback, (int)bpe->unk);
	json_write_string(out, bpe->prefix, bpe->n_prefix);
	json_write_string(out, bpe->suffix, bpe->n_suffix);
	for (size_t i = 0; i < bpe->n_merges; i++)
		buf_printf(out, "%d %d\n", (int)bpe->merges[i].left, (int)bpe->merges[i].right);
}

void bpe_scratch_release(struct bpe_scratch *scratch)
{
	ids_release(&scratch->symbols);
	free(scratch->links);
	free(scratch->heap);
	buf_release(&scratch->text);
	*scratch = (struct bpe_scratch){0};
}

/* --- symbols --- */

static void add_symbol(struct ids *symbols, int32_t id)
{
	ids_append(symbols, &id, 1);
}

static bool add_fallback(const struct bpe *bpe, struct ids *symbols, const char *c, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bpe->fallback[(uint8_t)c[i]] < 0)
			return false;
	for (size_t i = 0; i < length; i++)
		add_symbol(symbols, bpe->fallback[(uint8_t)c[i]]);
	return true;
}

/* A symbol with the prefix and suffix of its place. */
static void write_symbol(const struct bpe *bpe, struct buf *out, const char *c, size_t length,
			 bool is_first, bool is_last)
{
	buf_reset(out);
	if (!is_first)
		buf_append(out, bpe->prefix, bpe->n_prefix);
	if (bpe->is_byte_level)
		byte_alphabet_append(out, c, length);
	else
		buf_append(out, c, length);
	if (is_last)
		buf_append(out, bpe->suffix, bpe->n_suffix);
}

/* The symbol at piece[i, n), its bytes in *length; -1 if it is not known.  Then *text
 * [*n_text] is what a fallback spells. */
static int32_t next_symbol(const struct bpe *bpe, struct buf *scratch, const char *piece, size_t i,
			   size_t n, size_t *length, const char **text, size_t *n_text)
{
	uint32_t c = (uint8_t)piece[i];

	*length = bpe->is_byte_level || c < 0x80 ? 1 : utf8_next(piece + i, n - i, &c);
	*text = piece + i;
	*n_text = *length;
	if (bpe->n_prefix + bpe->n_suffix > 0) {
		write_symbol(bpe, scratch, piece + i, *length, i == 0, i + *length == n);
		*text = scratch->data;
		*n_text = scratch->length;
	} else if (*length == 1) {
		return bpe->ids_of_bytes[(uint8_t)piece[i]];
	}
	return vocabulary_find_model(bpe->vocabulary, *text, *n_text);
}

/* Unknown symbols wait, so that a run of them can be one; the bytes of a fallback
 * pass them by, as in the reference. */
static void split_symbols(const struct bpe *bpe, struct bpe_scratch *scratch, const char *piece,
			  size_t n)
{
	struct ids *symbols = &scratch->symbols;
	bool unk_waits = false;

	for (size_t i = 0, length; i < n; i += length) {
		const char *text;
		size_t n_text;
		int32_t id = next_symbol(bpe, &scratch->text, piece, i, n, &length, &text, &n_text);
		if (id < 0 && bpe->has_fallback && add_fallback(bpe, symbols, text, n_text))
			continue;
		if (unk_waits && (id >= 0 || !bpe->fuses_unk)) {
			add_symbol(symbols, bpe->unk);
			unk_waits = false;
		}
		if (id >= 0)
			add_symbol(symbols, id);
		else
			unk_waits = bpe->unk >= 0;
	}
	if (unk_waits)
		add_symbol(symbols, bpe->unk);
}

/* --- merging --- */

/* Merges ids [n], n <= SHORT_PIECE, in place and returns how many are left. */
static size_t merge_short(const struct bpe *bpe, int32_t *ids, size_t n)
{
	uint32_t ranks[SHORT_PIECE];
	int32_t results[SHORT_PIECE];

	for (size_t i = 0; i + 1 < n; i++)
		ranks[i] = find_merge(bpe, ids[i], ids[i + 1], &results[i]);
	while (n > 1) {
		size_t best = 0;
		for (size_t i = 1; i + 1 < n; i++)
			if (ranks[i] < ranks[best])
				best = i;
		if (ranks[best] == NO_RANK)
			break;
		ids[best] = results[best];
		n--;
		for (size_t i = best + 1; i < n; i++)
			ids[i] = ids[i + 1];
		for (size_t i = best + 1; i + 1 < n; i++) {
			ranks[i] = ranks[i + 1];
			results[i] = results[i + 1];
		}
		if (best > 0)
			ranks[best - 1] =
				find_merge(bpe, ids[best - 1], ids[best], &results[best - 1]);
		if (best + 1 < n)
			ranks[best] = find_merge(bpe, ids[best], ids[best + 1], &results[best]);
	}
	return n;
}

static void heap_push(struct bpe_scratch *s, struct bpe_candidate candidate)
{
	size_t i = s->n_heap++;

	if (s->n_heap > s->heap_capacity) {
		s->heap_capacity = s->heap_capacity ? 2 * s->heap_capacity : 256;
		s->heap = xrealloc(s->heap, s->heap_capacity, sizeof *s->heap);
	}
	while (i > 0 && s->heap[(i - 1) / 2].key > candidate.key) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = candidate;
}

static struct bpe_candidate heap_pop(struct bpe_scratch *s)
{
	struct bpe_candidate top = s->heap[0], last = s->heap[--s->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < s->n_heap) {
		if (child + 1 < s->n_heap && s->heap[child + 1].key < s->heap[child].key)
			child++;
		if (last.key <= s->heap[child].key)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

/* Makes the pair that begins at place a candidate if it merges. */
static void consider(const struct bpe *bpe, struct bpe_scratch *s, uint32_t place)
{
	uint32_t next = s->links[place].next, rank;
	struct bpe_candidate candidate;

	if (next == NO_PLACE)
		return;
	candidate.pair = (struct pair){s->symbols.data[place], s->symbols.data[next]};
	rank = find_merge(bpe, candidate.pair.left, candidate.pair.right, &candidate.result);
	if (rank == NO_RANK)
		return;
	candidate.key = (uint64_t)rank << 32 | place;
	heap_push(s, candidate);
}

static void apply(const struct bpe *bpe, struct bpe_scratch *s, struct bpe_candidate candidate)
{
	uint32_t place = (uint32_t)candidate.key, next = s->links[place].next;
	int32_t *symbols = s->symbols.data;

	if (next == NO_PLACE || symbols[place] != candidate.pair.left ||
	    symbols[next] != candidate.pair.right)
		return;
	symbols[place] = candidate.result;
	symbols[next] = -1;
	s->links[place].next = s->links[next].next;
	if (s->links[place].next != NO_PLACE)
		s->links[s->links[place].next].previous = place;
	if (s->links[place].previous != NO_PLACE)
		consider(bpe, s, s->links[place].previous);
	consider(bpe, s, place);
}

/* Merges all of s->symbols in place. */
static void merge_long(const struct bpe *bpe, struct bpe_scratch *s)
{
	size_t n = s->symbols.n, left = 0;

	if (n >= UINT32_MAX)
		die("a piece of %zu symbols is too long to encode", n);
	if (n > s->n_links) {
		s->n_links = n;
		s->links = xrealloc(s->links, n, sizeof *s->links);
	}
	for (size_t i = 0; i < n; i++)
		s->links[i] = (struct bpe_link){i > 0 ? (uint32_t)i - 1 : NO_PLACE,
						i + 1 < n ? (uint32_t)i + 1 : NO_PLACE};
	s->n_heap = 0;
	for (size_t i = 0; i + 1 < n; i++)
		consider(bpe, s, (uint32_t)i);
	while (s->n_heap > 0)
		apply(bpe, s, heap_pop(s));
	for (size_t i = 0; i < n; i++)
		if (s->symbols.data[i] >= 0)
			s->symbols.data[left++] = s->symbols.data[i];
	s->symbols.n = left;
}

/* The id of a piece that is a token as a whole; -1. */
static int32_t find_whole(const struct bpe *bpe, struct bpe_scratch *scratch, const char *piece,
			  size_t n)
{
	if (n > bpe->longest)
		return -1;
	if (!bpe->is_byte_level)
		return vocabulary_find_model(bpe->vocabulary, piece, n);
	buf_reset(&scratch->text);
	byte_alphabet_append(&scratch->text, piece, n);
	return vocabulary_find_model(bpe->vocabulary, scratch->text.data, scratch->text.length);
}

void bpe_encode(const struct bpe *bpe, struct bpe_scratch *scratch, const char *piece, size_t n,
		struct ids *out)
{
	struct ids *symbols = &scratch->symbols;

	symbols->n = 0;
	if (bpe->ignores_merges) {
		int32_t whole = find_whole(bpe, scratch, piece, n);
		if (whole >= 0) {
			ids_append(out, &whole, 1);
			return;
		}
	}
	split_symbols(bpe, scratch, piece, n);
	if (symbols->n <= SHORT_PIECE)
		symbols->n = merge_short(bpe, symbols->data, symbols->n);
	else
		merge_long(bpe, scratch);
	ids_append(out, symbols->data, symbols->n);
}

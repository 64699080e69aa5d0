/* Learning byte-level BPE (Sennrich et al. 2016) from texts.
 *
 * Texts become a table of distinct pieces with counts, each piece a list of
 * symbols.  A table of pairs holds how often each occurs and in which pieces; a
 * heap holds them by count.  Merging the top pair walks its pieces alone and
 * changes the counts of the neighbours.  Heap entries are not updated in place: a
 * count that has changed since is put back with the new one when it comes up, and
 * a count that grew is pushed again. */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hashmap.h"
#include "common/base/json.h"
#include "common/text/pretokenize.h"
#include "common/text/tokenizer.h"
#include "common/text/unicode.h"

enum { N_BYTES = 256, MAX_VOCAB = 1 << 20 };
static const char END_OF_TEXT[] = "<|endoftext|>";

struct piece {
	char *text; /* [length], owned */
	size_t length;
	int32_t *symbols; /* [n] */
	size_t n;
	int64_t count;
};

struct symbol {
	char *text; /* [length] bytes, owned */
	size_t length;
};

struct pair {
	int32_t left, right; /* symbols; left is -1 in an empty slot */
	int64_t count;
	uint32_t *pieces; /* where it occurs or once did, with repeats */
	size_t n_pieces, capacity;
};

struct candidate {
	int64_t count;
	int32_t left, right;
};

struct merge {
	int32_t left, right;
};

struct training {
	struct hashmap piece_ids;
	struct piece *pieces;
	size_t n_pieces, pieces_capacity;
	struct hashmap symbol_ids;
	struct symbol *symbols; /* ids are places here */
	size_t n_symbols, most_symbols;
	struct pair *pairs; /* open addressing, at most half full */
	size_t n_pairs, pairs_capacity;
	struct candidate *heap;
	size_t n_heap, heap_capacity;
	struct merge *merges;
	size_t n_merges, merges_capacity;
};

static char *copy_bytes(const char *text, size_t n)
{
	char *copy = xmalloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

/* --- pieces --- */

static void count_piece(struct training *t, const char *text, size_t length)
{
	struct piece *piece;
	int32_t known;

	if (hashmap_find(&t->piece_ids, text, length, &known)) {
		t->pieces[known].count++;
		return;
	}
	if (t->n_pieces == INT32_MAX)
		die("more than %d distinct pieces to learn from", INT32_MAX);
	if (t->n_pieces == t->pieces_capacity) {
		t->pieces_capacity = t->pieces_capacity ? 2 * t->pieces_capacity : 1024;
		t->pieces = xrealloc(t->pieces, t->pieces_capacity, sizeof *t->pieces);
	}
	piece = &t->pieces[t->n_pieces];
	*piece = (struct piece){.text = copy_bytes(text, length),
				.length = length,
				.symbols = xmalloc(length * sizeof(int32_t)),
				.n = length,
				.count = 1};
	for (size_t i = 0; i < length; i++)
		piece->symbols[i] = (uint8_t)text[i];
	hashmap_add(&t->piece_ids, piece->text, length, (int32_t)t->n_pieces++);
}

static void count_text(struct training *t, const struct pretokenizer *split, struct pieces *pieces,
		       const char *text, size_t n)
{
	struct buf repaired = BUF_INIT;

	if (!utf8_is_valid(text, n)) {
		utf8_repair(text, n, &repaired);
		text = repaired.data;
		n = repaired.length;
	}
	pretokenizer_split(split, pieces, text, n, true);
	for (size_t i = 0; i < pieces->n; i++)
		count_piece(t, pieces->text + pieces->spans[i].start,
			    pieces->spans[i].end - pieces->spans[i].start);
	buf_release(&repaired);
}

static void count_texts(struct training *t, const char *const *texts, const size_t *lengths,
			size_t n)
{
	struct pretokenizer *split = pretokenizer_create_gpt2();
	struct pieces pieces;

	pieces_init(&pieces);
	for (size_t i = 0; i < n; i++)
		count_text(t, split, &pieces, texts[i], lengths[i]);
	pieces_release(&pieces);
	pretokenizer_destroy(split);
}

/* --- candidates --- */

static int compare_text(const struct symbol *a, const struct symbol *b)
{
	size_t n = a->length < b->length ? a->length : b->length;
	int order = memcmp(a->text, b->text, n);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Whether a comes before b: the larger count, then the smaller bytes of the left
 * symbol, then of the right one. */
static bool is_before(const struct training *t, const struct candidate *a,
		      const struct candidate *b)
{
	int order;

	if (a->count != b->count)
		return a->count > b->count;
	order = compare_text(&t->symbols[a->left], &t->symbols[b->left]);
	if (order == 0)
		order = compare_text(&t->symbols[a->right], &t->symbols[b->right]);
	return order < 0;
}

static void push(struct training *t, const struct pair *pair)
{
	struct candidate added = {pair->count, pair->left, pair->right};
	size_t i = t->n_heap++;

	if (t->n_heap > t->heap_capacity) {
		t->heap_capacity = t->heap_capacity ? 2 * t->heap_capacity : 1024;
		t->heap = xrealloc(t->heap, t->heap_capacity, sizeof *t->heap);
	}
	while (i > 0 && is_before(t, &added, &t->heap[(i - 1) / 2])) {
		t->heap[i] = t->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	t->heap[i] = added;
}

static struct candidate pop(struct training *t)
{
	struct candidate top = t->heap[0], last = t->heap[--t->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < t->n_heap) {
		if (child + 1 < t->n_heap && is_before(t, &t->heap[child + 1], &t->heap[child]))
			child++;
		if (!is_before(t, &t->heap[child], &last))
			break;
		t->heap[i] = t->heap[child];
		i = child;
	}
	t->heap[i] = last;
	return top;
}

/* --- pairs --- */

static struct pair *locate(const struct training *t, int32_t left, int32_t right)
{
	uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
	size_t mask = t->pairs_capacity - 1;
	size_t i = (size_t)((key * 0x9E3779B97F4A7C15u) >> 32) & mask;

	while (t->pairs[i].left >= 0 && (t->pairs[i].left != left || t->pairs[i].right != right))
		i = (i + 1) & mask;
	return &t->pairs[i];
}

static void grow_pairs(struct training *t)
{
	struct pair *old = t->pairs;
	size_t n_old = t->pairs_capacity;

	t->pairs_capacity = n_old ? 2 * n_old : 4096;
	t->pairs = xcalloc(t->pairs_capacity, sizeof *t->pairs);
	for (size_t i = 0; i < t->pairs_capacity; i++)
		t->pairs[i].left = -1;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].left >= 0)
			*locate(t, old[i].left, old[i].right) = old[i];
	free(old);
}

static struct pair *find_or_add_pair(struct training *t, int32_t left, int32_t right)
{
	struct pair *pair;

	if (2 * t->n_pairs >= t->pairs_capacity)
		grow_pairs(t);
	pair = locate(t, left, right);
	if (pair->left < 0) {
		*pair = (struct pair){.left = left, .right = right};
		t->n_pairs++;
	}
	return pair;
}

/* The pair occurs once more in each copy of the piece. */
static struct pair *add_occurrence(struct training *t, int32_t left, int32_t right, size_t piece)
{
	struct pair *pair = find_or_add_pair(t, left, right);

	pair->count += t->pieces[piece].count;
	if (pair->n_pieces > 0 && pair->pieces[pair->n_pieces - 1] == piece)
		return pair;
	if (pair->n_pieces == pair->capacity) {
		pair->capacity = pair->capacity ? 2 * pair->capacity : 2;
		pair->pieces = xrealloc(pair->pieces, pair->capacity, sizeof *pair->pieces);
	}
	pair->pieces[pair->n_pieces++] = (uint32_t)piece;
	return pair;
}

static void remove_occurrence(struct training *t, int32_t left, int32_t right, size_t piece)
{
	locate(t, left, right)->count -= t->pieces[piece].count;
}

static void count_pairs(struct training *t)
{
	for (size_t i = 0; i < t->n_pieces; i++)
		for (size_t j = 0; j + 1 < t->pieces[i].n; j++)
			add_occurrence(t, t->pieces[i].symbols[j], t->pieces[i].symbols[j + 1], i);
	for (size_t i = 0; i < t->pairs_capacity; i++)
		if (t->pairs[i].left >= 0)
			push(t, &t->pairs[i]);
}

/* --- merging --- */

static void add_symbol(struct training *t, char *text, size_t length)
{
	if (t->n_symbols == t->most_symbols)
		die("more symbols than the vocabulary has room for");
	t->symbols[t->n_symbols] = (struct symbol){text, length};
	hashmap_add(&t->symbol_ids, text, length, (int32_t)t->n_symbols++);
}

/* The id of left and right joined.  Two merges may give the same bytes: one id. */
static int32_t join(struct training *t, int32_t left, int32_t right)
{
	const struct symbol *a = &t->symbols[left], *b = &t->symbols[right];
	size_t length = a->length + b->length;
	char *text = xmalloc(length + 1);
	int32_t known;

	memcpy(text, a->text, a->length);
	memcpy(text + a->length, b->text, b->length);
	text[length] = '\0';
	if (hashmap_find(&t->symbol_ids, text, length, &known)) {
		free(text);
		return known;
	}
	add_symbol(t, text, length);
	return (int32_t)t->n_symbols - 1;
}

/* Merges every occurrence in a piece, from left to right, and counts its pairs
 * anew: pieces are short, so there is nothing to gain from less. */
static void merge_in_piece(struct training *t, size_t index, int32_t left, int32_t right,
			   int32_t joined)
{
	struct piece *piece = &t->pieces[index];
	int32_t *symbols = piece->symbols;
	size_t n = 0;

	for (size_t i = 0; i + 1 < piece->n; i++)
		remove_occurrence(t, symbols[i], symbols[i + 1], index);
	for (size_t i = 0; i < piece->n; i++) {
		bool here = i + 1 < piece->n && symbols[i] == left && symbols[i + 1] == right;
		symbols[n++] = here ? joined : symbols[i];
		i += here;
	}
	piece->n = n;
	for (size_t i = 0; i + 1 < n; i++) {
		struct pair *pair = add_occurrence(t, symbols[i], symbols[i + 1], index);
		if (symbols[i] == joined || symbols[i + 1] == joined)
			push(t, pair);
	}
}

static bool has_pair(const struct piece *piece, int32_t left, int32_t right)
{
	for (size_t i = 0; i + 1 < piece->n; i++)
		if (piece->symbols[i] == left && piece->symbols[i + 1] == right)
			return true;
	return false;
}

static void merge_pair(struct training *t, int32_t left, int32_t right)
{
	struct pair *pair = locate(t, left, right);
	uint32_t *pieces = pair->pieces;
	size_t n = pair->n_pieces;
	int32_t joined = join(t, left, right);

	pair->pieces = NULL;
	pair->n_pieces = pair->capacity = 0;
	for (size_t i = 0; i < n; i++)
		if (has_pair(&t->pieces[pieces[i]], left, right))
			merge_in_piece(t, pieces[i], left, right, joined);
	free(pieces);
	if (t->n_merges == t->merges_capacity) {
		t->merges_capacity = t->merges_capacity ? 2 * t->merges_capacity : 1024;
		t->merges = xrealloc(t->merges, t->merges_capacity, sizeof *t->merges);
	}
	t->merges[t->n_merges++] = (struct merge){left, right};
}

/* The next pair to merge; false if none occurs. */
static bool best_pair(struct training *t, struct candidate *best)
{
	while (t->n_heap > 0) {
		const struct pair *pair;
		*best = pop(t);
		pair = locate(t, best->left, best->right);
		if (pair->count == best->count && best->count > 0)
			return true;
		if (pair->count > 0 && pair->count < best->count)
			push(t, pair);
	}
	return false;
}

/* --- writing --- */

static void write_symbol(struct buf *out, struct buf *scratch, const struct symbol *symbol)
{
	buf_reset(scratch);
	byte_alphabet_append(scratch, symbol->text, symbol->length);
	json_write_string(out, scratch->data, scratch->length);
}

static void write_model(const struct training *t, struct buf *out)
{
	struct buf scratch = BUF_INIT;

	buf_append_string(out, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
			       "    \"unk_token\": null,\n"
			       "    \"continuing_subword_prefix\": null,\n"
			       "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
			       "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
			       "    \"vocab\": {\n");
	for (size_t i = 0; i < t->n_symbols; i++) {
		buf_append_string(out, "      ");
		write_symbol(out, &scratch, &t->symbols[i]);
		buf_printf(out, ": %zu,\n", i);
	}
	buf_printf(out, "      \"%s\": %zu\n    },\n    \"merges\": [", END_OF_TEXT, t->n_symbols);
	for (size_t i = 0; i < t->n_merges; i++) {
		buf_append_string(out, i > 0 ? ",\n      [" : "\n      [");
		write_symbol(out, &scratch, &t->symbols[t->merges[i].left]);
		buf_append_string(out, ", ");
		write_symbol(out, &scratch, &t->symbols[t->merges[i].right]);
		buf_append_string(out, "]");
	}
	buf_append_string(out, t->n_merges > 0 ? "\n    ]\n  }\n" : "]\n  }\n");
	buf_release(&scratch);
}

static void write_tokenizer(const struct training *t, struct buf *out)
{
	static const char byte_level[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
					 "\"trim_offsets\": true, \"use_regex\": true}";

	buf_printf(out,
		   "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
		   "  \"added_tokens\": [\n    {\"id\": %zu, \"content\": \"%s\", "
		   "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
		   "\"normalized\": false, \"special\": true}\n  ],\n  \"normalizer\": null,\n",
		   t->n_symbols, END_OF_TEXT);
	buf_printf(out, "  \"pre_tokenizer\": %s,\n  \"post_processor\": %s,\n  \"decoder\": %s,\n",
		   byte_level, byte_level, byte_level);
	write_model(t, out);
	buf_append_string(out, "}\n");
}

static enum status replace_in(const char *dir, const char *name, const struct buf *text,
			      struct error *err)
{
	char *path = path_join(dir, name);
	enum status status = file_replace(path, text->data, text->length, err);

	free(path);
	return status;
}

static enum status write_files(const struct training *t, const char *dir, struct error *err)
{
	struct buf tokenizer = BUF_INIT, config = BUF_INIT;
	enum status status = file_make_dirs(dir, err);

	write_tokenizer(t, &tokenizer);
	buf_printf(&config,
		   "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
		   "  \"bos_token\": \"%s\",\n  \"eos_token\": \"%s\",\n"
		   "  \"add_bos_token\": false,\n  \"add_eos_token\": false,\n"
		   "  \"clean_up_tokenization_spaces\": false\n}\n",
		   END_OF_TEXT, END_OF_TEXT);
	if (status == STATUS_OK)
		status = replace_in(dir, "tokenizer_config.json", &config, err);
	if (status == STATUS_OK)
		status = replace_in(dir, "tokenizer.json", &tokenizer, err);
	buf_release(&tokenizer);
	buf_release(&config);
	return status;
}

/* --- the whole --- */

static void training_init(struct training *t, size_t most_symbols)
{
	*t = (struct training){.most_symbols = most_symbols};
	t->symbols = xcalloc(most_symbols, sizeof *t->symbols);
	hashmap_init(&t->piece_ids, 1024);
	hashmap_init(&t->symbol_ids, most_symbols);
	for (int byte = 0; byte < N_BYTES; byte++)
		add_symbol(t, copy_bytes(&(char){(char)byte}, 1), 1);
	grow_pairs(t);
}

static void training_release(struct training *t)
{
	for (size_t i = 0; i < t->n_pieces; i++) {
		free(t->pieces[i].text);
		free(t->pieces[i].symbols);
	}
	for (size_t i = 0; i < t->n_symbols; i++)
		free(t->symbols[i].text);
	for (size_t i = 0; i < t->pairs_capacity; i++)
		free(t->pairs[i].pieces);
	hashmap_release(&t->piece_ids);
	hashmap_release(&t->symbol_ids);
	free(t->pieces);
	free(t->symbols);
	free(t->pairs);
	free(t->heap);
	free(t->merges);
}

enum status tokenizer_train(const char *const *texts, const size_t *lengths, size_t n,
			    int vocab_size, const char *dir, struct error *err)
{
	struct training t;
	struct candidate best;
	enum status status;

	if (vocab_size < N_BYTES + 1 || vocab_size > MAX_VOCAB)
		return error_set(err, STATUS_BAD_INPUT,
				 "a vocabulary of %d ids, expected %d (bytes and %s) to %d",
				 vocab_size, N_BYTES + 1, END_OF_TEXT, MAX_VOCAB);
	training_init(&t, (size_t)vocab_size - 1);
	count_texts(&t, texts, lengths, n);
	count_pairs(&t);
	while (t.n_symbols < t.most_symbols && best_pair(&t, &best))
		merge_pair(&t, best.left, best.right);
	if (t.n_symbols < t.most_symbols)
		status = error_set(err, STATUS_BAD_INPUT,
				   "the texts give a vocabulary of %zu ids, expected at least %d",
				   t.n_symbols + 1, vocab_size);
	else
		status = write_files(&t, dir, err);
	training_release(&t);
	return status;
}

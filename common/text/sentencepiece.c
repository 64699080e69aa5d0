/* A tokenizer.model is a protobuf message.  Of its fields these count:
 *
 *     1  a piece, again and again, its place is its id: 1 text, 2 score, 3 kind
 *     2  how it was trained: 3 algorithm, 24 whether spaces end words, 35 whether bytes stand in
 *        for what has no piece
 *     3  normalisation: 2 a table of characters, 3 whether a space comes first,
 *        4 whether spaces are dropped, 5 whether they are written as U+2581
 *
 * SentencePiece's BPE joins the two neighbours whose piece has the highest score; there is no
 * list of merges.  It is made here: each way to cut a piece in two pieces, by score, and of
 * one piece the longest left part first.  Of two pieces with one score it joins the left one,
 * which no list says.  The user's pieces are found before all others and never joined. */
#include "common/text/sentencepiece.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/hashmap.h"
#include "common/base/json.h"
#include "common/text/component.h"
#include "common/text/unicode.h"

#define SPACE "\xE2\x96\x81"

enum kind { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum algorithm { UNIGRAM = 1, BPE };
enum { MAX_PIECE_BYTES = 256 };

struct piece {
	const char *text; /* [length], in the file */
	uint32_t length;
	float score;
	uint64_t kind;
};

struct model {
	struct piece *pieces; /* [n] */
	size_t n, capacity;
	uint64_t algorithm;
	bool has_byte_fallback, ends_with_space, has_table, adds_prefix, drops_spaces,
		escapes_spaces;
	int unknown;	/* the piece, or -1 */
	size_t n_bytes; /* pieces that stand for one */
};

/* --- protobuf --- */

enum wire { VARINT, FIXED64, BYTES, FIXED32 = 5 };

struct field {
	uint64_t number, value; /* value: of a varint or a fixed one */
	enum wire wire;
	const char *bytes; /* [n] */
	size_t n;
};

struct reader {
	const char *at, *end;
	bool is_damaged;
};

static uint64_t read_varint(struct reader *r)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
		unsigned char byte = (unsigned char)*r->at++;
		value |= (uint64_t)(byte & 0x7F) << shift;
		if (byte < 0x80)
			return value;
	}
	r->is_damaged = true;
	return 0;
}

static const char *take(struct reader *r, uint64_t n)
{
	const char *bytes = r->at;

	if (n > (size_t)(r->end - r->at)) {
		r->is_damaged = true;
		return NULL;
	}
	r->at += n;
	return bytes;
}

static uint64_t read_fixed(struct reader *r, int n)
{
	const unsigned char *bytes = (const unsigned char *)take(r, (uint64_t)n);
	uint64_t value = 0;

	for (int i = 0; bytes && i < n; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

/* The next field; false at the end, or where it is damaged. */
static bool next_field(struct reader *r, struct field *field)
{
	uint64_t tag;

	if (r->at == r->end || r->is_damaged)
		return false;
	tag = read_varint(r);
	*field = (struct field){.number = tag >> 3, .wire = (enum wire)(tag & 7)};
	switch (field->wire) {
	case VARINT:
		field->value = read_varint(r);
		break;
	case FIXED64:
		field->value = read_fixed(r, 8);
		break;
	case BYTES:
		field->n = read_varint(r);
		field->bytes = take(r, field->n);
		break;
	case FIXED32:
		field->value = read_fixed(r, 4);
		break;
	default:
		r->is_damaged = true;
	}
	r->is_damaged |= field->number == 0;
	return !r->is_damaged;
}

static bool is_field(const struct field *field, uint64_t number, enum wire wire)
{
	return field->number == number && field->wire == wire;
}

static struct reader reader_of(const char *bytes, size_t n)
{
	return (struct reader){.at = bytes, .end = bytes + n};
}

/* --- the model --- */

static bool read_piece(struct model *model, const struct field *whole)
{
	struct reader r = reader_of(whole->bytes, whole->n);
	struct piece piece = {.text = "", .kind = NORMAL};
	struct field field;

	while (next_field(&r, &field)) {
		uint32_t bits = (uint32_t)field.value;
		if (is_field(&field, 1, BYTES)) {
			piece.text = field.bytes;
			piece.length = (uint32_t)field.n;
			r.is_damaged |= field.n > MAX_PIECE_BYTES;
		} else if (is_field(&field, 2, FIXED32)) {
			memcpy(&piece.score, &bits, sizeof bits);
		} else if (is_field(&field, 3, VARINT)) {
			piece.kind = field.value;
		}
	}
	if (model->n == model->capacity) {
		model->capacity = model->capacity ? 2 * model->capacity : 1024;
		model->pieces = xrealloc(model->pieces, model->capacity, sizeof *model->pieces);
	}
	model->pieces[model->n++] = piece;
	return !r.is_damaged;
}

static bool read_training(struct model *model, const struct field *whole)
{
	struct reader r = reader_of(whole->bytes, whole->n);
	struct field field;

	while (next_field(&r, &field)) {
		if (is_field(&field, 3, VARINT))
			model->algorithm = field.value;
		else if (is_field(&field, 24, VARINT))
			model->ends_with_space = field.value != 0;
		else if (is_field(&field, 35, VARINT))
			model->has_byte_fallback = field.value != 0;
	}
	return !r.is_damaged;
}

static bool read_normalization(struct model *model, const struct field *whole)
{
	struct reader r = reader_of(whole->bytes, whole->n);
	struct field field;

	while (next_field(&r, &field)) {
		if (is_field(&field, 2, BYTES))
			model->has_table = field.n > 0;
		else if (is_field(&field, 3, VARINT))
			model->adds_prefix = field.value != 0;
		else if (is_field(&field, 4, VARINT))
			model->drops_spaces = field.value != 0;
		else if (is_field(&field, 5, VARINT))
			model->escapes_spaces = field.value != 0;
	}
	return !r.is_damaged;
}

static bool read_fields(struct model *model, const char *bytes, size_t n)
{
	struct reader r = reader_of(bytes, n);
	struct field field;
	bool is_whole = true;

	while (is_whole && next_field(&r, &field)) {
		if (is_field(&field, 1, BYTES))
			is_whole = read_piece(model, &field);
		else if (is_field(&field, 2, BYTES))
			is_whole = read_training(model, &field);
		else if (is_field(&field, 3, BYTES))
			is_whole = read_normalization(model, &field);
		is_whole = is_whole && model->n <= (size_t)COMPONENT_MAX_ID;
	}
	return is_whole && !r.is_damaged && model->n > 0;
}

/* Whether a piece is <0xHH>, with digits as SentencePiece writes them. */
static bool is_byte(const struct piece *piece)
{
	static const char digits[] = "0123456789ABCDEF";

	return piece->length == 6 && memcmp(piece->text, "<0x", 3) == 0 &&
	       memchr(digits, piece->text[3], 16) && memchr(digits, piece->text[4], 16) &&
	       piece->text[5] == '>';
}

static enum status check_byte(struct model *model, size_t i, struct error *err)
{
	const struct piece *piece = &model->pieces[i];

	model->n_bytes++;
	if (!model->has_byte_fallback)
		return error_set(err, STATUS_BAD_INPUT,
				 "piece %zu stands for a byte, expected none without byte_fallback",
				 i);
	if (!is_byte(piece))
		return error_set(err, STATUS_BAD_INPUT,
				 "piece %zu stands for a byte and is \"%.*s\", expected <0x00> to "
				 "<0xFF>",
				 i, (int)piece->length, piece->text);
	return STATUS_OK;
}

static enum status check_piece(struct model *model, size_t i, struct error *err)
{
	const struct piece *piece = &model->pieces[i];

	if (piece->length == 0 || !utf8_is_valid(piece->text, piece->length) ||
	    memchr(piece->text, '\0', piece->length))
		return error_set(err, STATUS_BAD_INPUT, "piece %zu is no text", i);
	if (piece->kind < NORMAL || piece->kind > BYTE || piece->kind == UNUSED)
		return error_set(err, STATUS_BAD_INPUT, "piece %zu is of kind %llu, not supported",
				 i, (unsigned long long)piece->kind);
	if (!(piece->score >= -1e30F && piece->score <= 1e30F))
		return error_set(err, STATUS_BAD_INPUT, "the score of piece %zu is %g", i,
				 (double)piece->score);
	if (piece->kind == UNKNOWN && model->unknown >= 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "pieces %d and %zu are both the unknown one", model->unknown, i);
	if (piece->kind == UNKNOWN)
		model->unknown = (int)i;
	return piece->kind == BYTE ? check_byte(model, i, err) : STATUS_OK;
}

/* A text of characters that have no piece needs some, as SentencePiece has it. */
static enum status check_fallback(const struct model *model, struct error *err)
{
	if (model->has_byte_fallback && model->n_bytes < 256)
		return error_set(err, STATUS_BAD_INPUT,
				 "%zu pieces stand for bytes, expected 256 with byte_fallback",
				 model->n_bytes);
	if (!model->has_byte_fallback && model->unknown < 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "no piece is the unknown one, expected one without byte_fallback");
	return STATUS_OK;
}

static enum status read_model(struct model *model, const char *bytes, size_t n, struct error *err)
{
	*model = (struct model){.algorithm = UNIGRAM,
				.adds_prefix = true,
				.drops_spaces = true,
				.escapes_spaces = true,
				.unknown = -1};
	if (!read_fields(model, bytes, n))
		return error_set(err, STATUS_BAD_INPUT, "is no model of SentencePiece, or damaged");
	if (model->algorithm != BPE)
		return error_set(err, STATUS_BAD_INPUT, "its algorithm is %llu%s, expected 2, BPE",
				 (unsigned long long)model->algorithm,
				 model->algorithm == UNIGRAM ? ", unigram" : "");
	if (model->has_table || model->drops_spaces || !model->escapes_spaces)
		return error_set(err, STATUS_BAD_INPUT, "it normalises texts by %s, not supported",
				 model->has_table      ? "a table of characters"
				 : model->drops_spaces ? "dropping spaces"
						       : "leaving spaces as they are");
	if (model->ends_with_space)
		return error_set(err, STATUS_BAD_INPUT,
				 "its words end with a space (treat_whitespace_as_suffix), not "
				 "supported");
	for (size_t i = 0; i < model->n; i++)
		if (check_piece(model, i, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	return check_fallback(model, err);
}

/* Whether a piece is U+2581 alone, once or more. */
static bool is_spaces(const struct piece *piece)
{
	uint32_t i = 0;

	while (i + 3 <= piece->length && memcmp(piece->text + i, SPACE, 3) == 0)
		i += 3;
	return i == piece->length;
}

/* SentencePiece looks for the user's pieces when spaces are U+2581 and the first one is there,
 * in front of the text alone; we look for them before that. */
static enum status check_users_pieces(const struct model *model, struct sentencepiece_start start,
				      struct error *err)
{
	bool adds_prefix = model->adds_prefix && !start.no_prefix;

	for (size_t i = 0; i < model->n; i++) {
		const struct piece *piece = &model->pieces[i];
		bool has_space = memchr(piece->text, ' ', piece->length) ||
				 memmem(piece->text, piece->length, SPACE, 3);
		if (piece->kind != USER_DEFINED)
			continue;
		if (has_space && (adds_prefix || !is_spaces(piece)))
			return error_set(err, STATUS_BAD_INPUT,
					 "piece %zu is user-defined and has a space, not supported",
					 i);
		if (adds_prefix && start.is_legacy)
			return error_set(err, STATUS_BAD_INPUT,
					 "piece %zu is user-defined and texts begin with a space, "
					 "not supported together",
					 i);
	}
	return STATUS_OK;
}

/* --- merges --- */

struct merge {
	const struct piece *whole;
	uint32_t left;			  /* bytes of the left part */
	uint32_t left_chars, right_chars; /* and characters of both */
};

struct merges {
	struct merge *data; /* [n] */
	size_t n, capacity;
};

static bool is_merged(const struct piece *piece)
{
	return piece->kind == NORMAL || piece->kind == USER_DEFINED;
}

static uint32_t count_chars(const char *text, uint32_t n)
{
	uint32_t chars = 0;

	for (uint32_t i = 0; i < n; i++)
		chars += ((unsigned char)text[i] & 0xC0) != 0x80;
	return chars;
}

/* Every way to cut a piece in two that are pieces; of the user's ones only the user's. */
static void cut(struct merges *merges, const struct model *model, const struct hashmap *known,
		const struct piece *piece)
{
	uint32_t chars = count_chars(piece->text, piece->length), left_chars = 0;
	int32_t left, right;

	for (uint32_t i = 1; i < piece->length; i++) {
		if (((unsigned char)piece->text[i] & 0xC0) == 0x80)
			continue;
		left_chars++;
		if (!hashmap_find(known, piece->text, i, &left) ||
		    !hashmap_find(known, piece->text + i, piece->length - i, &right))
			continue;
		if (piece->kind == NORMAL && (model->pieces[left].kind == USER_DEFINED ||
					      model->pieces[right].kind == USER_DEFINED))
			continue;
		if (merges->n == merges->capacity) {
			merges->capacity = merges->capacity ? 2 * merges->capacity : 1024;
			merges->data =
				xrealloc(merges->data, merges->capacity, sizeof *merges->data);
		}
		merges->data[merges->n++] = (struct merge){.whole = piece,
							   .left = i,
							   .left_chars = left_chars,
							   .right_chars = chars - left_chars};
	}
}

/* The user's pieces first, then the highest score, then the longer left part, the longer right one,
 * the lower id. */
static int compare_merges(const void *a, const void *b)
{
	const struct merge *x = a, *y = b;

	if (x->whole->kind != y->whole->kind)
		return x->whole->kind == USER_DEFINED ? -1 : 1;
	if (x->whole->kind == NORMAL && x->whole->score != y->whole->score)
		return x->whole->score > y->whole->score ? -1 : 1;
	if (x->left_chars != y->left_chars)
		return x->left_chars > y->left_chars ? -1 : 1;
	if (x->right_chars != y->right_chars)
		return x->right_chars > y->right_chars ? -1 : 1;
	return (x->whole > y->whole) - (x->whole < y->whole);
}

static void append_string(struct buf *json, const char *before, const char *text, size_t n)
{
	buf_append_string(json, before);
	json_write_string(json, text, n);
}

static enum status append_merges(struct buf *json, const struct model *model, struct error *err)
{
	struct hashmap known, merged;
	struct merges merges = {0};
	const struct piece *tied = NULL;
	size_t twice = model->n;

	hashmap_init(&known, model->n);
	hashmap_init(&merged, model->n);
	for (size_t i = 0; i < model->n; i++) {
		const struct piece *piece = &model->pieces[i];
		if (!hashmap_add(&known, piece->text, piece->length, (int32_t)i) &&
		    twice == model->n)
			twice = i;
		if (is_merged(piece))
			hashmap_add(&merged, piece->text, piece->length, (int32_t)i);
	}
	for (size_t i = 0; i < model->n && twice == model->n; i++)
		if (is_merged(&model->pieces[i]))
			cut(&merges, model, &merged, &model->pieces[i]);
	if (merges.n > 0)
		qsort(merges.data, merges.n, sizeof *merges.data, compare_merges);
	buf_append_string(json, ",\"merges\":[");
	for (size_t i = 0; i < merges.n; i++) {
		const struct merge *merge = &merges.data[i];
		if (i > 0 && merge->whole->kind == NORMAL && merge[-1].whole->kind == NORMAL &&
		    merge->whole != merge[-1].whole &&
		    merge->whole->score == merge[-1].whole->score)
			tied = merge->whole;
		append_string(json, i > 0 ? ",[" : "[", merge->whole->text, merge->left);
		append_string(json, ",", merge->whole->text + merge->left,
			      merge->whole->length - merge->left);
		buf_append_char(json, ']');
	}
	buf_append_char(json, ']');
	free(merges.data);
	hashmap_release(&known);
	hashmap_release(&merged);
	if (twice < model->n)
		return error_set(err, STATUS_BAD_INPUT, "piece %zu is there twice", twice);
	if (tied)
		return error_set(err, STATUS_BAD_INPUT,
				 "piece %zu and another have the score %g, so that no list of "
				 "merges gives their ids; not supported",
				 (size_t)(tied - model->pieces), (double)tied->score);
	return STATUS_OK;
}

/* --- the text of a tokenizer.json --- */

static void append_vocabulary(struct buf *json, const struct model *model)
{
	for (size_t i = 0; i < model->n; i++) {
		append_string(json, i > 0 ? "," : "", model->pieces[i].text,
			      model->pieces[i].length);
		buf_printf(json, ":%zu", i);
	}
}

/* Control pieces and those of the user are looked for in texts. */
static void append_added(struct buf *json, const struct model *model)
{
	bool is_first = true;

	for (size_t i = 0; i < model->n; i++) {
		const struct piece *piece = &model->pieces[i];
		if (piece->kind != CONTROL && piece->kind != USER_DEFINED && piece->kind != UNKNOWN)
			continue;
		buf_printf(json, "%s{\"id\":%zu", is_first ? "" : ",", i);
		append_string(json, ",\"content\":", piece->text, piece->length);
		buf_printf(json, ",\"special\":%s,\"normalized\":%s}",
			   piece->kind == USER_DEFINED ? "false" : "true",
			   piece->kind == USER_DEFINED && is_spaces(piece) ? "true" : "false");
		is_first = false;
	}
}

/* How texts begin, and what U+2581 is in them. */
static void append_pipeline(struct buf *json, bool adds_prefix, bool is_legacy)
{
#define REPLACE(from, to)                                                                          \
	"{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"
	if (adds_prefix && !is_legacy)
		buf_append_string(json,
				  ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":"
				  "\"" SPACE "\",\"prepend_scheme\":\"first\",\"split\":false}");
	else if (adds_prefix)
		buf_append_string(json, ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
					"{\"type\":\"Prepend\",\"prepend\":\"" SPACE
					"\"}," REPLACE(" ", SPACE) "]}");
	else
		buf_append_string(json, ",\"normalizer\":" REPLACE(" ", SPACE));
	buf_append_string(json,
			  ",\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" REPLACE(
				  SPACE, " ") ",{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
	if (adds_prefix)
		buf_append_string(json,
				  ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
	buf_append_string(json, "]}}");
#undef REPLACE
}

enum status sentencepiece_append_json(struct buf *json, const char *bytes, size_t n,
				      struct sentencepiece_start start, struct error *err)
{
	struct model model;
	enum status status = read_model(&model, bytes, n, err);

	if (status == STATUS_OK)
		status = check_users_pieces(&model, start, err);
	if (status == STATUS_OK) {
		buf_append_string(json, "{\"added_tokens\":[");
		append_added(json, &model);
		buf_printf(json,
			   "],\"model\":{\"type\":\"BPE\",\"fuse_unk\":true,\"byte_fallback\":%s",
			   model.has_byte_fallback ? "true" : "false");
		if (model.unknown >= 0)
			append_string(json, ",\"unk_token\":", model.pieces[model.unknown].text,
				      model.pieces[model.unknown].length);
		buf_append_string(json, ",\"vocab\":{");
		append_vocabulary(json, &model);
		buf_append_char(json, '}');
		status = append_merges(json, &model, err);
		buf_append_char(json, '}');
		append_pipeline(json, model.adds_prefix && !start.no_prefix, start.is_legacy);
	}
	free(model.pieces);
	return status;
}

/* The pipeline, and what the files beside tokenizer.json change of it.
 *
 *     text -> cut at added tokens -> normalise -> cut at added tokens that are
 *     looked for in normalised text -> pieces (pretokenize.c) -> ids (bpe.c)
 *     -> ids in front and behind (postprocess.c)
 *
 * A tokenizer does not change once it is loaded; memory that encoding needs is
 * made for each call, so calls may run side by side. */
#include "common/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/text/added.h"
#include "common/text/bpe.h"
#include "common/text/component.h"
#include "common/text/decode.h"
#include "common/text/normalize.h"
#include "common/text/postprocess.h"
#include "common/text/pretokenize.h"
#include "common/text/tokenizer_config.h"
#include "common/text/tokenizer_files.h"
#include "common/text/unicode.h"

static const size_t MAX_FILE = (size_t)256 << 20;

struct tokenizer {
	struct vocabulary vocabulary;
	struct normalizer *normalizer;
	struct pretokenizer *pretokenizer;
	struct bpe *bpe;
	struct postprocessor postprocessor;
	struct decoder *decoder;
	struct added_set *raw;	      /* added tokens looked for in the text as it is */
	struct added_set *normalized; /* and those looked for in normalised text */
	struct token *shown;	      /* [n_added]: these as their normalised content */
	int32_t bos, eos, pad;
	char identity[65];
};

/* --- ids --- */

void ids_append(struct ids *ids, const int32_t *more, size_t n)
{
	if (n == 0)
		return;
	if (ids->n + n > ids->capacity) {
		while (ids->n + n > ids->capacity)
			ids->capacity = ids->capacity ? 2 * ids->capacity : 64;
		ids->data = xrealloc(ids->data, ids->capacity, sizeof *ids->data);
	}
	memcpy(ids->data + ids->n, more, n * sizeof *more);
	ids->n += n;
}

bool ids_continue_with(const struct ids *ids, size_t from, const struct ids *start)
{
	return start->n <= ids->n - from &&
	       (start->n == 0 ||
		memcmp(ids->data + from, start->data, start->n * sizeof *ids->data) == 0);
}

void ids_release(struct ids *ids)
{
	free(ids->data);
	*ids = (struct ids){0};
}

/* --- loading --- */

/* A decoder sees an added token as what it was in the text: normalised. */
static void show_as(struct tokenizer *t, int32_t i, const char *text, size_t n)
{
	struct token *token = &t->vocabulary.tokens[t->vocabulary.added[i].id];

	if (n == token->length && memcmp(text, token->text, n) == 0)
		return;
	t->shown[i] = (struct token){.text = component_copy(text, n), .length = (uint32_t)n};
	token->shown = &t->shown[i];
}

/* What is looked for in normalised text is the normalised content. */
static void load_added_sets(struct tokenizer *t)
{
	struct normalizer_scratch scratch = {0};
	bool at_start = false;

	t->raw = added_set_create();
	t->normalized = added_set_create();
	t->shown = xcalloc((size_t)t->vocabulary.n_added, sizeof *t->shown);
	for (int32_t i = 0; i < t->vocabulary.n_added; i++) {
		const struct added_token *added = &t->vocabulary.added[i];
		const char *text = t->vocabulary.tokens[added->id].text;
		size_t n = t->vocabulary.tokens[added->id].length;
		if (!added->is_normalized) {
			added_set_add(t->raw, added, text, n);
			continue;
		}
		normalizer_apply(t->normalizer, &scratch, &text, &n, &at_start);
		added_set_add(t->normalized, added, text, n);
		show_as(t, i, text, n);
	}
	normalizer_scratch_release(&scratch);
}

/* Old files leave the type out. */
static enum status check_model(const struct json *model, struct error *err)
{
	const struct json *type = json_get(model, "type");

	if (!model || json_type(model) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT, "model is not an object");
	if (!type)
		return STATUS_OK;
	if (json_type(type) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT, "model.type is %s, expected a string",
				 json_type_name(type));
	if (strcmp(json_string(type, NULL), "BPE") != 0)
		return error_set(err, STATUS_BAD_INPUT, "model.type %s is not supported",
				 json_string(type, NULL));
	return STATUS_OK;
}

static enum status load_components(struct tokenizer *t, const struct json *root,
				   const struct tokenizer_config *config, struct error *err)
{
	const struct json *model = json_get(root, "model");

	if (json_type(root) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT, "%s, expected an object",
				 json_type_name(root));
	t->normalizer = normalizer_create(json_get(root, "normalizer"), err);
	if (!t->normalizer)
		return error_prefix(err, STATUS_BAD_INPUT, "normalizer");
	t->pretokenizer = pretokenizer_create(json_get(root, "pre_tokenizer"), err);
	if (!t->pretokenizer)
		return error_prefix(err, STATUS_BAD_INPUT, "pre_tokenizer");
	t->decoder = decoder_create(json_get(root, "decoder"), err);
	if (!t->decoder)
		return error_prefix(err, STATUS_BAD_INPUT, "decoder");
	if (check_model(model, err) != STATUS_OK ||
	    vocabulary_load(&t->vocabulary, json_get(model, "vocab"),
			    json_get(root, "added_tokens"), config->tokens, config->n,
			    err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	t->bpe =
		bpe_create(&t->vocabulary, model, pretokenizer_is_byte_level(t->pretokenizer), err);
	if (!t->bpe)
		return STATUS_BAD_INPUT;
	if (postprocessor_load(&t->postprocessor, json_get(root, "post_processor"),
			       t->vocabulary.size, err) != STATUS_OK)
		return error_prefix(err, STATUS_BAD_INPUT, "post_processor");
	return STATUS_OK;
}

/* --- what the files beside it say --- */

static int32_t find_named(const struct tokenizer *t, struct config_name name)
{
	return name.text ? vocabulary_find(&t->vocabulary, name.text, name.length) : -1;
}

/* Where a switch is said, it overrules the template. */
static void override_end(struct ids *end, enum config_flag is_added, int32_t id)
{
	if (is_added == CONFIG_UNSAID)
		return;
	end->n = 0;
	if (is_added == CONFIG_TRUE && id >= 0)
		ids_append(end, &id, 1);
}

static void apply_config(struct tokenizer *t, const struct tokenizer_config *config)
{
	struct vocabulary *v = &t->vocabulary;

	t->bos = find_named(t, config->bos);
	t->eos = find_named(t, config->eos);
	t->pad = find_named(t, config->pad);
	override_end(&t->postprocessor.prefix, config->adds_bos, t->bos);
	override_end(&t->postprocessor.suffix, config->adds_eos, t->eos);
	if (config->adds_prefix_space != CONFIG_UNSAID)
		pretokenizer_set_prefix_space(t->pretokenizer,
					      config->adds_prefix_space == CONFIG_TRUE);
	for (int32_t i = 0; i < v->n_added && config->splits_special; i++)
		v->added[i].is_text = v->tokens[v->added[i].id].is_special;
}

static void identify(struct tokenizer *t)
{
	struct buf text = BUF_INIT;
	const struct postprocessor *post = &t->postprocessor;

	vocabulary_describe(&t->vocabulary, &text);
	normalizer_describe(t->normalizer, &text);
	pretokenizer_describe(t->pretokenizer, &text);
	bpe_describe(t->bpe, &text);
	json_write_ids(&text, post->prefix.data, post->prefix.n);
	json_write_ids(&text, post->suffix.data, post->suffix.n);
	decoder_describe(t->decoder, &text);
	sha256_hex(text.data, text.length, t->identity);
	buf_release(&text);
}

static enum status parse(struct tokenizer **tokenizer, const char *text, size_t length,
			 const char *where, const struct tokenizer_config *config,
			 struct error *err)
{
	struct json *root = json_parse(text, length, where, err);
	struct tokenizer *t;
	enum status status;

	*tokenizer = NULL;
	if (!root)
		return STATUS_BAD_INPUT;
	t = xcalloc(1, sizeof *t);
	status = load_components(t, root, config, err);
	json_free(root);
	if (status != STATUS_OK) {
		tokenizer_destroy(t);
		return error_prefix(err, status, "%s", where);
	}
	apply_config(t, config);
	load_added_sets(t);
	identify(t);
	*tokenizer = t;
	return STATUS_OK;
}

enum status tokenizer_parse(struct tokenizer **tokenizer, const char *text, size_t length,
			    const char *where, struct error *err)
{
	const struct tokenizer_config config = {0};

	return parse(tokenizer, text, length, where, &config, err);
}

enum status tokenizer_load(struct tokenizer **tokenizer, const char *dir, struct error *err)
{
	struct tokenizer_config config;
	struct buf text = BUF_INIT;
	char *where = NULL;
	enum status status;

	*tokenizer = NULL;
	status = tokenizer_config_load(&config, dir, tokenizer_files_find(dir), err);
	if (status == STATUS_OK)
		status = tokenizer_files_read(&text, &where, dir, &config, err);
	if (status == STATUS_OK)
		status = parse(tokenizer, text.data, text.length, where, &config, err);
	tokenizer_config_release(&config);
	buf_release(&text);
	free(where);
	return status;
}

void tokenizer_destroy(struct tokenizer *t)
{
	if (!t)
		return;
	bpe_destroy(t->bpe);
	normalizer_destroy(t->normalizer);
	pretokenizer_destroy(t->pretokenizer);
	decoder_destroy(t->decoder);
	added_set_destroy(t->raw);
	added_set_destroy(t->normalized);
	for (int32_t i = 0; t->shown && i < t->vocabulary.n_added; i++)
		free((char *)t->shown[i].text);
	free(t->shown);
	postprocessor_release(&t->postprocessor);
	vocabulary_release(&t->vocabulary);
	free(t);
}

bool tokenizer_exists(const char *dir)
{
	enum tokenizer_kind kind = tokenizer_files_find(dir);
	struct tokenizer_config config;
	bool exists;

	if (kind == TOKENIZER_NONE || kind == TOKENIZER_WHOLE)
		return kind == TOKENIZER_WHOLE;
	/* Of damaged files tokenizer_load tells. */
	exists = tokenizer_config_load(&config, dir, kind, NULL) != STATUS_OK ||
		 tokenizer_files_serve(&config);
	tokenizer_config_release(&config);
	return exists;
}

static bool has_same_vocabulary(const struct tokenizer *a, const struct tokenizer *b)
{
	struct buf x = BUF_INIT, y = BUF_INIT;
	bool same;

	vocabulary_describe(&a->vocabulary, &x);
	vocabulary_describe(&b->vocabulary, &y);
	same = x.length == y.length && memcmp(x.data, y.data, x.length) == 0;
	buf_release(&x);
	buf_release(&y);
	return same;
}

static bool has_same_file(const char *dir, const char *other, const char *name)
{
	char *paths[2] = {path_join(dir, name), path_join(other, name)};
	struct buf texts[2] = {BUF_INIT, BUF_INIT};
	bool same = true;

	for (int i = 0; i < 2 && same; i++)
		same = !file_exists(paths[i]) ||
		       file_read(paths[i], MAX_FILE, &texts[i], NULL) == STATUS_OK;
	same = same && texts[0].length == texts[1].length &&
	       (texts[0].length == 0 || memcmp(texts[0].data, texts[1].data, texts[0].length) == 0);
	for (int i = 0; i < 2; i++) {
		buf_release(&texts[i]);
		free(paths[i]);
	}
	return same;
}

/* Copies of one tokenizer, as most are, need not be parsed. */
static bool has_same_files(const char *dir, const char *other)
{
	bool same = true;

	for (int i = 0; i < TOKENIZER_FILES && same; i++)
		same = has_same_file(dir, other, tokenizer_files[i]);
	for (int i = 0; i < TOKENIZER_CONFIG_FILES && same; i++)
		same = has_same_file(dir, other, tokenizer_config_files[i]);
	return same;
}

enum status tokenizer_compare_ids(const char *dir, const char *other, bool *same, struct error *err)
{
	struct tokenizer *a = NULL, *b = NULL;
	enum status status;

	*same = true;
	if (!tokenizer_exists(dir) || !tokenizer_exists(other) || has_same_files(dir, other))
		return STATUS_OK;
	status = tokenizer_load(&a, dir, err);
	if (status == STATUS_OK)
		status = tokenizer_load(&b, other, err);
	if (status == STATUS_OK)
		*same = has_same_vocabulary(a, b);
	tokenizer_destroy(a);
	tokenizer_destroy(b);
	return status;
}

enum status tokenizer_check_ids(const char *dir, const char *policy, const char *who,
				struct error *err)
{
	bool same = true;
	enum status status = dir ? tokenizer_compare_ids(dir, policy, &same, err) : STATUS_OK;

	if (status == STATUS_OK && !same)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: %s has another vocabulary than the policy %s, expected the "
				   "same ids",
				   dir, who, policy);
	return status;
}

/* --- encoding --- */

/* The memory of one call. */
struct encoding {
	const struct tokenizer *tokenizer;
	struct ids *out;
	struct text_part *parts; /* [n_parts] of the text; NULL where it is one */
	size_t n_parts;
	struct added_limits limits; /* the same, for tokens looked for in the raw text */
	struct segments raw, normalized;
	struct normalizer_scratch scratch;
	struct pieces pieces;
	struct bpe_scratch bpe;
	struct ids head;
};

static void encoding_init(struct encoding *e, const struct tokenizer *t, struct ids *out)
{
	*e = (struct encoding){.tokenizer = t, .out = out};
	pieces_init(&e->pieces);
}

static void encoding_release(struct encoding *e)
{
	pieces_release(&e->pieces);
	bpe_scratch_release(&e->bpe);
	segments_release(&e->raw);
	segments_release(&e->normalized);
	normalizer_scratch_release(&e->scratch);
	ids_release(&e->head);
}

static void encode_stretch(struct encoding *e, const char *text, size_t n, bool at_start)
{
	const struct tokenizer *t = e->tokenizer;
	struct pieces *pieces = &e->pieces;

	pretokenizer_split(t->pretokenizer, pieces, text, n, at_start);
	for (size_t i = 0; i < pieces->n; i++)
		bpe_encode(t->bpe, &e->bpe, pieces->text + pieces->spans[i].start,
			   pieces->spans[i].end - pieces->spans[i].start, e->out);
}

/* Text without tokens that are looked for in raw text.  is_plain: guarded ones in
 * normalised text are none either. */
static void encode_segment(struct encoding *e, const char *text, size_t n, bool at_start,
			   bool is_plain)
{
	struct text_part whole = {.is_plain = true};
	struct added_limits limits = {.parts = &whole, .n = 1, .guarded = e->limits.guarded};

	normalizer_apply(e->tokenizer->normalizer, &e->scratch, &text, &n, &at_start);
	whole.end = n;
	if (!is_plain)
		limits.n = 0;
	added_set_split(e->tokenizer->normalized, text, n, &limits, &e->normalized);
	for (size_t i = 0; i < e->normalized.n; i++) {
		const struct segment *segment = &e->normalized.data[i];
		if (segment->id >= 0)
			ids_append(e->out, &segment->id, 1);
		else
			encode_stretch(e, text + segment->start, segment->end - segment->start,
				       at_start && segment->start == 0);
	}
}

/* The ids of text[start, end) alone. */
static const struct ids *encode_head(struct encoding *e, const char *text, size_t start, size_t end,
				     bool is_plain)
{
	struct ids *out = e->out;

	e->head.n = 0;
	e->out = &e->head;
	encode_segment(e, text + start, end - start, start == 0, is_plain);
	e->out = out;
	return &e->head;
}

/* Encodes text[start, end) and counts the ids up to each cut within it and at its
 * end.  Where those are not the first of the whole, the text is encoded anew from
 * the cut on. */
static void encode_run(struct encoding *e, const char *text, size_t start, size_t end,
		       size_t first_part, bool is_plain)
{
	size_t before = e->out->n, i = first_part;

	encode_segment(e, text + start, end - start, start == 0, is_plain);
	for (; i < e->n_parts && e->parts[i].end < end; i++) {
		struct text_part *part = &e->parts[i];
		const struct ids *head;
		if (!part->is_cut)
			continue;
		head = encode_head(e, text, start, part->end, is_plain);
		part->n_ids = before + head->n;
		if (ids_continue_with(e->out, before, head))
			continue;
		e->out->n = before;
		ids_append(e->out, head->data, head->n);
		before = e->out->n;
		start = part->end;
		encode_segment(e, text + start, end - start, false, is_plain);
	}
	for (; i < e->n_parts && e->parts[i].end == end; i++)
		e->parts[i].n_ids = e->out->n;
}

/* A guarded token that a plain part holds once it is normalised: that part has to be
 * encoded by itself, for normalised text no longer tells where it came from. */
static bool is_hostile(struct encoding *e, const struct text_part *part, const char *text,
		       size_t start, size_t end)
{
	const char *at = text + start;
	size_t n = end - start;
	bool at_start = false;

	if (!part->is_plain)
		return false;
	normalizer_apply(e->tokenizer->normalizer, &e->scratch, &at, &n, &at_start);
	return added_set_finds(e->tokenizer->normalized, at, n, e->limits.guarded);
}

/* text[start, end), which lies between tokens: one run, unless parts of it are
 * hostile.  part: the first that ends behind start. */
static void encode_between(struct encoding *e, const char *text, size_t start, size_t end,
			   size_t part)
{
	size_t first = part;

	for (size_t at = start, stop; part < e->n_parts && at < end; part++, at = stop) {
		stop = e->parts[part].end < end ? e->parts[part].end : end;
		if (!is_hostile(e, &e->parts[part], text, at, stop))
			continue;
		if (start < at)
			encode_run(e, text, start, at, first, false);
		encode_run(e, text, at, stop, part, true);
		start = stop;
		first = part + 1;
	}
	if (start < end)
		encode_run(e, text, start, end, first, false);
}

static void encode_text(struct encoding *e, const char *text, size_t n)
{
	size_t part = 0;

	added_set_split(e->tokenizer->raw, text, n, &e->limits, &e->raw);
	for (size_t i = 0; i < e->raw.n; i++) {
		const struct segment *segment = &e->raw.data[i];
		if (segment->id >= 0)
			ids_append(e->out, &segment->id, 1);
		else
			encode_between(e, text, segment->start, segment->end, part);
		for (; part < e->n_parts && e->parts[part].end <= segment->end; part++)
			if (segment->id >= 0)
				e->parts[part].n_ids = e->out->n;
	}
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t length, bool add_special,
		      struct ids *out)
{
	struct encoding e;
	struct buf repaired = BUF_INIT;

	if (!utf8_is_valid(text, length)) {
		utf8_repair(text, length, &repaired);
		text = repaired.data;
		length = repaired.length;
	}
	encoding_init(&e, t, out);
	if (add_special)
		ids_append(out, t->postprocessor.prefix.data, t->postprocessor.prefix.n);
	encode_text(&e, text, length);
	if (add_special)
		ids_append(out, t->postprocessor.suffix.data, t->postprocessor.suffix.n);
	encoding_release(&e);
	buf_release(&repaired);
}

void tokenizer_encode_parts(const struct tokenizer *t, const char *text, struct text_part *parts,
			    size_t n_parts, const bool *guarded, struct ids *out)
{
	struct encoding e;

	encoding_init(&e, t, out);
	e.parts = parts;
	e.n_parts = n_parts;
	e.limits = (struct added_limits){parts, n_parts, guarded};
	for (size_t i = 0; i < n_parts; i++)
		parts[i].n_ids = out->n;
	if (n_parts > 0)
		encode_text(&e, text, parts[n_parts - 1].end);
	encoding_release(&e);
}

const int32_t *tokenizer_prefix(const struct tokenizer *t, size_t *n)
{
	*n = t->postprocessor.prefix.n;
	return t->postprocessor.prefix.data;
}

/* --- decoding --- */

/* What is decoded in place of an id; NULL for nothing. */
static const struct token *shown_token(const struct tokenizer *t, int32_t id, bool skip_special)
{
	const struct token *token;

	if (id < 0 || id >= t->vocabulary.size)
		return NULL;
	token = &t->vocabulary.tokens[id];
	if (!token->text || (skip_special && token->is_special))
		return NULL;
	return token->shown ? token->shown : token;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
		      struct buf *out)
{
	const struct token **tokens = xmalloc((n + 1) * sizeof *tokens);
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct token *token = shown_token(t, ids[i], skip_special);
		if (token)
			tokens[count++] = token;
	}
	decoder_apply(t->decoder, tokens, count, out);
	free(tokens);
}

bool tokenizer_is_shown(const struct tokenizer *t, int32_t id)
{
	return shown_token(t, id, true) != NULL;
}

int tokenizer_byte(const struct tokenizer *t, int32_t id)
{
	const struct token *token = shown_token(t, id, true);

	return token ? decoder_byte(t->decoder, token) : -1;
}

/* Where the text of the prompt ends in the text of both: usually the prompt's
 * length, but a character may begin in the prompt's last id and end in the first
 * of the completion; it belongs to the completion. */
static size_t common_prefix(const struct buf *prompt, const struct buf *both)
{
	size_t n = 0, most = prompt->length < both->length ? prompt->length : both->length;

	while (n < most && prompt->data[n] == both->data[n])
		n++;
	while (n < both->length && n > 0 && ((uint8_t)both->data[n] & 0xC0) == 0x80)
		n--;
	return n;
}

void tokenizer_decode_completion(const struct tokenizer *t, const int32_t *prompt, size_t n_prompt,
				 const int32_t *completion, size_t n_completion, struct buf *out)
{
	struct buf before = BUF_INIT, both = BUF_INIT;
	struct ids ids = {0};
	size_t cut;

	ids_append(&ids, prompt, n_prompt);
	ids_append(&ids, completion, n_completion);
	tokenizer_decode(t, prompt, n_prompt, true, &before);
	tokenizer_decode(t, ids.data, ids.n, true, &both);
	cut = common_prefix(&before, &both);
	buf_append(out, both.data + cut, both.length - cut);
	ids_release(&ids);
	buf_release(&before);
	buf_release(&both);
}

/* --- questions --- */

const char *tokenizer_algorithm(const struct tokenizer *t)
{
	if (pretokenizer_is_byte_level(t->pretokenizer))
		return "byte-level BPE";
	return bpe_has_fallback(t->bpe) ? "BPE with byte fallback" : "BPE";
}

int tokenizer_size(const struct tokenizer *t)
{
	return t->vocabulary.size;
}

const char *tokenizer_token(const struct tokenizer *t, int32_t id, size_t *length)
{
	if (id < 0 || id >= t->vocabulary.size)
		return NULL;
	*length = t->vocabulary.tokens[id].length;
	return t->vocabulary.tokens[id].text;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
	return id >= 0 && id < t->vocabulary.size && t->vocabulary.tokens[id].is_special;
}

int32_t tokenizer_token_id(const struct tokenizer *t, const char *token, size_t length)
{
	return vocabulary_find(&t->vocabulary, token, length);
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
	return t->eos;
}

int32_t tokenizer_pad(const struct tokenizer *t)
{
	return t->pad;
}

const char *tokenizer_identity(const struct tokenizer *t)
{
	return t->identity;
}

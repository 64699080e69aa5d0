/* The pipeline, and what tokenizer_config.json adds to it.
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
#include "common/base/log.h"
#include "common/text/added.h"
#include "common/text/bpe.h"
#include "common/text/component.h"
#include "common/text/decode.h"
#include "common/text/normalize.h"
#include "common/text/postprocess.h"
#include "common/text/pretokenize.h"
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

static enum status load_components(struct tokenizer *t, const struct json *root, struct error *err)
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
			    json_get(root, "added_tokens"), err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	t->bpe =
		bpe_create(&t->vocabulary, model, pretokenizer_is_byte_level(t->pretokenizer), err);
	if (!t->bpe)
		return STATUS_BAD_INPUT;
	if (postprocessor_load(&t->postprocessor, json_get(root, "post_processor"),
			       t->vocabulary.size, err) != STATUS_OK)
		return error_prefix(err, STATUS_BAD_INPUT, "post_processor");
	load_added_sets(t);
	return STATUS_OK;
}

/* "bos_token": "<s>", or {"content": "<s>"}; null or absent gives -1. */
static enum status load_special(const struct tokenizer *t, const struct json *config,
				const char *key, int32_t *id, struct error *err)
{
	const struct json *value = json_get(config, key);
	const char *text;
	size_t length;

	*id = -1;
	if (value && json_type(value) == JSON_OBJECT)
		value = json_get(value, "content");
	if (!value || json_type(value) == JSON_NULL)
		return STATUS_OK;
	if (json_type(value) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT, "%s is %s, expected a token", key,
				 json_type_name(value));
	text = json_string(value, &length);
	*id = vocabulary_find(&t->vocabulary, text, length);
	if (*id < 0)
		log_warn("tokenizer_config.json: %s \"%s\" is not in the vocabulary", key, text);
	return STATUS_OK;
}

/* add_bos_token and add_eos_token, where they are said, overrule the template. */
static enum status override_end(const struct json *config, const char *key, int32_t id,
				struct ids *end, struct error *err)
{
	const struct json *value = json_get(config, key);
	bool is_added;

	if (!value || json_type(value) == JSON_NULL)
		return STATUS_OK;
	if (component_bool(config, key, false, &is_added, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	end->n = 0;
	if (is_added && id >= 0)
		ids_append(end, &id, 1);
	return STATUS_OK;
}

/* Whether a token, or what describes one, is known; anything else is nobody's concern. */
static bool is_known(const struct tokenizer *t, const struct json *token)
{
	const struct json *content =
		json_type(token) == JSON_OBJECT ? json_get(token, "content") : token;
	const char *text;
	size_t length;

	if (!content || json_type(content) != JSON_STRING)
		return true;
	text = json_string(content, &length);
	return vocabulary_find(&t->vocabulary, text, length) >= 0;
}

/* transformers adds such tokens to the vocabulary; tokenizer.json alone is read here. */
static void warn_of_unread(const struct tokenizer *t, const struct json *config)
{
	static const char *const keys[] = {"added_tokens_decoder", "additional_special_tokens",
					   "extra_special_tokens"};
	const struct json *split = json_get(config, "split_special_tokens");

	for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
		const struct json *tokens = json_get(config, keys[k]);
		int n = 0;

		if (!tokens || (json_type(tokens) != JSON_ARRAY && json_type(tokens) != JSON_OBJECT))
			continue;
		for (const struct json *i = json_first(tokens); i; i = json_next(i))
			n += !is_known(t, i);
		if (n > 0)
			log_warn("tokenizer_config.json: %s has %d token%s that tokenizer.json "
				 "lacks: read as plain text, other ids than transformers gives",
				 keys[k], n, n == 1 ? "" : "s");
	}
	if (split && json_type(split) == JSON_BOOL && json_bool(split))
		log_warn("tokenizer_config.json: split_special_tokens is not heeded: special tokens "
			 "in a text stay whole");
}

static enum status load_config(struct tokenizer *t, const struct json *config, struct error *err)
{
	if (json_type(config) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT, "%s, expected an object",
				 json_type_name(config));
	if (load_special(t, config, "bos_token", &t->bos, err) != STATUS_OK ||
	    load_special(t, config, "eos_token", &t->eos, err) != STATUS_OK ||
	    load_special(t, config, "pad_token", &t->pad, err) != STATUS_OK ||
	    override_end(config, "add_bos_token", t->bos, &t->postprocessor.prefix, err) !=
		    STATUS_OK ||
	    override_end(config, "add_eos_token", t->eos, &t->postprocessor.suffix, err) !=
		    STATUS_OK)
		return STATUS_BAD_INPUT;
	warn_of_unread(t, config);
	return STATUS_OK;
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

/* All but the identity, which the config file may still change. */
static enum status parse(struct tokenizer **tokenizer, const char *text, size_t length,
			 const char *where, struct error *err)
{
	struct json *root = json_parse(text, length, where, err);
	struct tokenizer *t;
	enum status status;

	*tokenizer = NULL;
	if (!root)
		return STATUS_BAD_INPUT;
	t = xcalloc(1, sizeof *t);
	t->bos = t->eos = t->pad = -1;
	status = load_components(t, root, err);
	json_free(root);
	if (status != STATUS_OK) {
		tokenizer_destroy(t);
		return error_prefix(err, status, "%s", where);
	}
	*tokenizer = t;
	return STATUS_OK;
}

enum status tokenizer_parse(struct tokenizer **tokenizer, const char *text, size_t length,
			    const char *where, struct error *err)
{
	enum status status = parse(tokenizer, text, length, where, err);

	if (status == STATUS_OK)
		identify(*tokenizer);
	return status;
}

static enum status load_config_file(struct tokenizer *t, const char *path, struct error *err)
{
	struct json *config;
	enum status status;

	if (!file_exists(path))
		return STATUS_OK;
	config = json_parse_file(path, MAX_FILE, err);
	if (!config)
		return STATUS_BAD_INPUT;
	status = load_config(t, config, err);
	json_free(config);
	return status == STATUS_OK ? status : error_prefix(err, status, "%s", path);
}

enum status tokenizer_load(struct tokenizer **tokenizer, const char *dir, struct error *err)
{
	char *path = path_join(dir, "tokenizer.json");
	char *config_path = path_join(dir, "tokenizer_config.json");
	struct buf text = BUF_INIT;
	enum status status;

	*tokenizer = NULL;
	status = file_read(path, MAX_FILE, &text, err);
	if (status == STATUS_OK)
		status = parse(tokenizer, text.data, text.length, path, err);
	if (status == STATUS_OK)
		status = load_config_file(*tokenizer, config_path, err);
	if (status == STATUS_OK) {
		identify(*tokenizer);
	} else {
		tokenizer_destroy(*tokenizer);
		*tokenizer = NULL;
	}
	buf_release(&text);
	free(path);
	free(config_path);
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
	char *path = path_join(dir, "tokenizer.json");
	bool exists = file_exists(path);

	free(path);
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

/* Copies of one tokenizer.json, as most are, need not be parsed. */
static bool has_same_file(const char *dir, const char *other)
{
	char *paths[2] = {path_join(dir, "tokenizer.json"), path_join(other, "tokenizer.json")};
	struct buf a = BUF_INIT, b = BUF_INIT;
	bool same = file_read(paths[0], MAX_FILE, &a, NULL) == STATUS_OK &&
		    file_read(paths[1], MAX_FILE, &b, NULL) == STATUS_OK &&
		    a.length == b.length && memcmp(a.data, b.data, a.length) == 0;

	buf_release(&a);
	buf_release(&b);
	free(paths[0]);
	free(paths[1]);
	return same;
}

enum status tokenizer_compare_ids(const char *dir, const char *other, bool *same,
				  struct error *err)
{
	struct tokenizer *a = NULL, *b = NULL;
	enum status status;

	*same = true;
	if (!tokenizer_exists(dir) || !tokenizer_exists(other) || has_same_file(dir, other))
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

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
		      struct buf *out)
{
	const struct token **tokens = xmalloc((n + 1) * sizeof *tokens);
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct token *token;
		if (ids[i] < 0 || ids[i] >= t->vocabulary.size)
			continue;
		token = &t->vocabulary.tokens[ids[i]];
		if (token->text && !(skip_special && token->is_special))
			tokens[count++] = token->shown ? token->shown : token;
	}
	decoder_apply(t->decoder, tokens, count, out);
	free(tokens);
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

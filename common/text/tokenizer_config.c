/* Each token becomes an extra_token, whose kind says what it does to a token that
 * tokenizer.json has already.  Texts are borrowed from the parsed files, which the
 * config keeps. */
#include "common/text/tokenizer_config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hashmap.h"
#include "common/text/component.h"

static const size_t MAX_FILE = (size_t)256 << 20;

enum file { FILE_CONFIG, FILE_MAP, FILE_ADDED };
const char *const tokenizer_config_files[TOKENIZER_CONFIG_FILES] = {
	"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"};

/* The named tokens, in the order in which transformers adds them. */
static const char *const NAMED[] = {"bos_token", "eos_token", "unk_token", "sep_token",
				    "pad_token", "cls_token", "mask_token"};
#define ENDOFTEXT "<|endoftext|>"
enum { BOS = 0, EOS = 1, PAD = 4, N_NAMED = sizeof NAMED / sizeof *NAMED, MAX_TOKENS = 1 << 16 };

/* --- files --- */

static enum status read_file(struct tokenizer_config *config, const char *dir, enum file file,
			     struct error *err)
{
	char *path = path_join(dir, tokenizer_config_files[file]);
	enum status status = STATUS_OK;

	if (file_exists(path)) {
		config->files[file] = json_read_object(path, MAX_FILE, err);
		if (!config->files[file])
			status = STATUS_BAD_INPUT;
	}
	free(path);
	return status;
}

static bool has_decoder(const struct tokenizer_config *config)
{
	return json_given(config->files[FILE_CONFIG], "added_tokens_decoder") != NULL;
}

/* What a member is; the older file overrules where it is read. */
static const struct json *member(struct tokenizer_config *config, const char *key)
{
	const struct json *value = json_get(config->files[FILE_MAP], key);

	config->at = value ? FILE_MAP : FILE_CONFIG;
	return value ? value : json_get(config->files[FILE_CONFIG], key);
}

/* --- classes --- */

/* What the classes of transformers make of the switches beside a tokenizer.json, and the
 * tokens that they name where the files do not.
 *
 * Version 5 ignores add_bos_token and add_eos_token; version 4 builds the template anew
 * from them in the classes below that say so and ignores them in all others.  They are
 * heeded here where version 4 does, and where no class is named.  GPT-NeoX's template comes
 * from them alone in both versions.  add_prefix_space is heeded where both versions do.
 *
 * Without a tokenizer.json both versions heed them all, and where none is named the class is
 * GPT-2's beside vocab.json, Llama's beside tokenizer.model; classes of the latter add BOS
 * unless it is said that they do not. */
static const struct tokenizer_class {
	const char *name; /* without "Fast" */
	bool heeds_ends, has_own_ends, heeds_prefix_space;
	const char *names[N_NAMED]; /* in the order of NAMED; NULL: none */
} CLASSES[] = {
	{"GPT2Tokenizer", false, false, true, {ENDOFTEXT, ENDOFTEXT, ENDOFTEXT}},
	{"LlamaTokenizer", true, false, false, {"<s>", "</s>", "<unk>"}},
	{"CodeLlamaTokenizer", true, false, false, {NULL}},
	{"GemmaTokenizer", true, false, false, {"<bos>", "<eos>", "<unk>", NULL, "<pad>"}},
	{"CohereTokenizer", true, false, false, {NULL}},
	{"GPTNeoXTokenizer",
	 true,
	 true,
	 true,
	 {ENDOFTEXT, ENDOFTEXT, ENDOFTEXT, NULL, "<|padding|>"}},
	{"Qwen2Tokenizer", false, false, false, {NULL, ENDOFTEXT, ENDOFTEXT, NULL, ENDOFTEXT}},
	{"CodeGenTokenizer", false, false, true, {ENDOFTEXT, ENDOFTEXT, ENDOFTEXT}},
};

enum { GPT2, LLAMA }; /* of CLASSES */

static const struct tokenizer_class *class_of(const struct json *root, enum tokenizer_kind kind)
{
	static const struct tokenizer_class unsaid = {.heeds_ends = true}, other = {0};
	const struct json *value = json_get(root, "tokenizer_class");
	const char *name;
	size_t n;

	if (!value || json_type(value) != JSON_STRING)
		return kind == TOKENIZER_PAIR	 ? &CLASSES[GPT2]
		       : kind == TOKENIZER_MODEL ? &CLASSES[LLAMA]
						 : &unsaid;
	name = json_string(value, NULL);
	n = strlen(name);
	if (n > 4 && strcmp(name + n - 4, "Fast") == 0)
		n -= 4;
	for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++)
		if (strlen(CLASSES[i].name) == n && memcmp(CLASSES[i].name, name, n) == 0)
			return &CLASSES[i];
	return &other;
}

/* --- tokens --- */

static struct extra_token *push(struct tokenizer_config *config, enum extra_kind kind)
{
	struct extra_token *token;

	if (config->n == config->capacity) {
		config->capacity = config->capacity ? 2 * config->capacity : 16;
		config->tokens = xrealloc(config->tokens, config->capacity, sizeof *config->tokens);
	}
	token = &config->tokens[config->n++];
	*token = (struct extra_token){
		.file = tokenizer_config_files[config->at], .kind = kind, .said_id = -1};
	return token;
}

/* Makes a token special if it is so, and settles what follows from that. */
static void make_special(struct extra_token *token, bool is_special)
{
	token->is_special |= is_special;
	if (!token->says_normalized)
		token->flags.is_normalized = !token->is_special;
}

/* "text" is a special token; {"content": "text"} has flags.  Null and "" are none. */
static enum status add_token(struct tokenizer_config *config, const struct json *value,
			     const char *key, enum extra_kind kind, struct error *err)
{
	bool has_flags = value && json_type(value) == JSON_OBJECT;
	const struct json *content = has_flags ? json_get(value, "content") : value;
	struct extra_token *token;
	const char *text;
	size_t length;

	if (component_is_absent(content) && !has_flags)
		return STATUS_OK;
	if (!content || json_type(content) != JSON_STRING)
		return component_wrong_type(content ? content : value, key, "a token", err);
	text = json_string(content, &length);
	if (length == 0)
		return STATUS_OK;
	token = push(config, kind);
	token->text = text;
	token->length = length;
	token->is_special = true;
	if (has_flags &&
	    added_token_flags(&token->flags, value, &token->is_special, err) != STATUS_OK)
		return error_prefix(err, STATUS_BAD_INPUT, "%s", key);
	token->says_normalized = has_flags && json_given(value, "normalized");
	make_special(token, kind == EXTRA_NAMED);
	return STATUS_OK;
}

static int compare_said(const void *a, const void *b)
{
	const struct extra_token *left = a, *right = b;

	return (left->said_id > right->said_id) - (left->said_id < right->said_id);
}

/* The id that is a key: digits alone. */
static enum status read_id(const char *key, int32_t *id, struct error *err)
{
	size_t n = strlen(key);
	long value = n <= 9 ? strtol(key, NULL, 10) : -1;

	if (n == 0 || strspn(key, "0123456789") != n || value < 0 || value > COMPONENT_MAX_ID)
		return error_set(
			err, STATUS_BAD_INPUT,
			"added_tokens_decoder: the key \"%.40s\", expected an id from 0 to "
			"%d",
			key, COMPONENT_MAX_ID);
	*id = (int32_t)value;
	return STATUS_OK;
}

static enum status add_listed(struct tokenizer_config *config, struct error *err)
{
	const struct json *list = json_get(config->files[FILE_CONFIG], "added_tokens_decoder");

	if (json_type(list) != JSON_OBJECT)
		return component_wrong_type(list, "added_tokens_decoder", "an object", err);
	for (const struct json *item = json_first(list); item; item = json_next(item)) {
		size_t before = config->n;
		int32_t id = -1;
		if (read_id(json_key(item), &id, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
		if (json_type(item) != JSON_OBJECT)
			return component_wrong_type(item, "an added token", "an object", err);
		if (add_token(config, item, "added_tokens_decoder", EXTRA_LISTED, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
		if (config->n > before)
			config->tokens[before].said_id = id;
	}
	if (config->n > 0)
		qsort(config->tokens, config->n, sizeof *config->tokens, compare_said);
	return STATUS_OK;
}

/* {"<token>": id}, of times before the others. */
static enum status add_old_listed(struct tokenizer_config *config, struct error *err)
{
	const struct json *list = config->files[FILE_ADDED];

	config->at = FILE_ADDED;
	for (const struct json *item = json_first(list); item; item = json_next(item)) {
		struct extra_token *token;
		int id;
		if (component_id(item, json_key(item), &id, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
		if (strstr(json_key(item), "\xC0\x80"))
			return error_set(err, STATUS_BAD_INPUT, "a token with a NUL");
		token = push(config, EXTRA_OTHER);
		token->text = json_key(item);
		token->length = strlen(token->text);
		token->said_id = id;
		make_special(token, false);
	}
	if (config->n > 0)
		qsort(config->tokens, config->n, sizeof *config->tokens, compare_said);
	return STATUS_OK;
}

/* What is listed is special if it is named too, by one of tokens[first, end). */
static void mark_named(struct tokenizer_config *config, size_t first, size_t end)
{
	struct hashmap named;
	int32_t j;

	hashmap_init(&named, end - first);
	for (size_t i = first; i < end; i++)
		hashmap_add(&named, config->tokens[i].text, config->tokens[i].length, (int32_t)i);
	for (size_t i = 0; i < first; i++) {
		struct extra_token *token = &config->tokens[i];
		if (!token->is_special)
			make_special(token, hashmap_find(&named, token->text, token->length, &j));
	}
	hashmap_release(&named);
}

static bool is_named(const char *key)
{
	for (size_t i = 0; i < N_NAMED; i++)
		if (strcmp(key, NAMED[i]) == 0)
			return true;
	return false;
}

/* "image_token": "<image>" and the like, and the members of extra_special_tokens. */
static enum status add_specific(struct tokenizer_config *config, struct error *err)
{
	const struct json *root = config->files[FILE_CONFIG];
	const struct json *extra = json_given(root, "extra_special_tokens");

	config->at = FILE_CONFIG;
	for (const struct json *item = json_first(root); item; item = json_next(item)) {
		const char *key = json_key(item);
		size_t n = strlen(key);
		if (json_type(item) == JSON_STRING && n > 6 && strcmp(key + n - 6, "_token") == 0 &&
		    !is_named(key) && add_token(config, item, key, EXTRA_NAMED, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	}
	if (!extra || json_type(extra) != JSON_OBJECT)
		return STATUS_OK;
	for (const struct json *item = json_first(extra); item; item = json_next(item))
		if (add_token(config, item, json_key(item), EXTRA_NAMED, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	return STATUS_OK;
}

static enum status add_list(struct tokenizer_config *config, enum file file, const char *key,
			    struct error *err)
{
	const struct json *list = json_given(config->files[file], key);

	config->at = (int)file;
	if (!list)
		return STATUS_OK;
	if (json_type(list) != JSON_ARRAY)
		return component_wrong_type(list, key, "an array", err);
	for (const struct json *item = json_first(list); item; item = json_next(item))
		if (add_token(config, item, key, EXTRA_OTHER, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	return STATUS_OK;
}

/* extra_special_tokens is the newer name of additional_special_tokens and hides it. */
static enum status add_additional(struct tokenizer_config *config, struct error *err)
{
	const struct json *extra = json_given(config->files[FILE_CONFIG], "extra_special_tokens");
	bool is_list = extra && json_type(extra) == JSON_ARRAY && json_first(extra);

	if (extra && json_type(extra) != JSON_ARRAY && json_type(extra) != JSON_OBJECT)
		return component_wrong_type(extra, "extra_special_tokens", "an array or an object",
					    err);
	if (add_list(config, FILE_CONFIG,
		     is_list ? "extra_special_tokens" : "additional_special_tokens",
		     err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return add_list(config, FILE_MAP, "additional_special_tokens", err);
}

static void add_default(struct tokenizer_config *config, const char *text)
{
	struct extra_token *token;

	config->at = FILE_CONFIG; /* which names the class */
	token = push(config, EXTRA_NAMED);
	token->text = text;
	token->length = strlen(text);
	token->is_special = true;
}

static enum status add_named(struct tokenizer_config *config, struct error *err)
{
	const struct tokenizer_class *class = config->class;

	for (size_t i = 0; i < N_NAMED; i++) {
		const struct json *value = member(config, NAMED[i]);
		if (!value && class->names[i])
			add_default(config, class->names[i]);
		else if (add_token(config, value, NAMED[i], EXTRA_NAMED, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
	}
	return add_specific(config, err);
}

/* Where added_tokens_decoder lists tokens, naming those of tokenizer.json changes nothing. */
static enum status add_newer(struct tokenizer_config *config, struct error *err)
{
	size_t n_listed, n_named;

	if (add_listed(config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	n_listed = config->n;
	if (add_named(config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	n_named = config->n;
	mark_named(config, n_listed, n_named);
	for (size_t i = n_listed; i < n_named; i++)
		config->tokens[i].kind = EXTRA_OTHER;
	return add_additional(config, err);
}

static enum status add_older(struct tokenizer_config *config, struct error *err)
{
	size_t n_listed;

	if (add_old_listed(config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	n_listed = config->n;
	if (add_named(config, err) != STATUS_OK || add_additional(config, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (config->n > MAX_TOKENS)
		return error_set(err, STATUS_BAD_INPUT, "%zu tokens are added, the most is %d",
				 config->n, MAX_TOKENS);
	mark_named(config, n_listed, config->n);
	return STATUS_OK;
}

static struct config_name name_of(struct tokenizer_config *config, int i)
{
	const struct json *value = member(config, NAMED[i]);
	const char *text = config->class->names[i];
	struct config_name name = {0};

	if (!value && text)
		return (struct config_name){text, strlen(text)};
	if (value && json_type(value) == JSON_OBJECT)
		value = json_get(value, "content");
	if (value && json_type(value) == JSON_STRING)
		name.text = json_string(value, &name.length);
	return name;
}

/* --- switches --- */

/* missing: what a key that is not given says; CONFIG_UNSAID: nothing. */
static enum status read_flag(const struct json *root, const char *key, bool is_heeded,
			     enum config_flag missing, enum config_flag *flag, struct error *err)
{
	bool value;

	*flag = CONFIG_UNSAID;
	if (component_bool(root, key, false, &value, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (is_heeded && json_given(root, key))
		*flag = value ? CONFIG_TRUE : CONFIG_FALSE;
	else if (is_heeded)
		*flag = missing;
	return STATUS_OK;
}

static enum status read_start(struct tokenizer_config *config, struct error *err)
{
	const struct json *root = config->files[FILE_CONFIG];
	struct sentencepiece_start *start = &config->start;
	bool adds_prefix;

	if (component_bool(root, "legacy", true, &start->is_legacy, err) != STATUS_OK ||
	    component_bool(root, "add_prefix_space", true, &adds_prefix, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	start->no_prefix = !adds_prefix;
	return STATUS_OK;
}

static enum status read_switches(struct tokenizer_config *config, struct error *err)
{
	const struct json *root = config->files[FILE_CONFIG];
	const struct tokenizer_class *class = config->class;
	bool is_model = config->kind == TOKENIZER_MODEL;
	bool heeds_ends = class->heeds_ends || config->kind == TOKENIZER_PAIR || is_model;
	enum config_flag no_end = class->has_own_ends || is_model ? CONFIG_FALSE : CONFIG_UNSAID;

	if (read_flag(root, "add_bos_token", heeds_ends, is_model ? CONFIG_TRUE : no_end,
		      &config->adds_bos, err) != STATUS_OK ||
	    read_flag(root, "add_eos_token", heeds_ends, no_end, &config->adds_eos, err) !=
		    STATUS_OK ||
	    read_flag(root, "add_prefix_space", class->heeds_prefix_space, CONFIG_FALSE,
		      &config->adds_prefix_space, err) != STATUS_OK ||
	    (is_model && read_start(config, err) != STATUS_OK))
		return STATUS_BAD_INPUT;
	return component_bool(root, "split_special_tokens", false, &config->splits_special, err);
}

static const char *class_name(const struct tokenizer_config *config)
{
	if (config->class->name)
		return config->class->name;
	return json_string_or_null(json_get(config->files[FILE_CONFIG], "tokenizer_class"));
}

/* --- all of it --- */

enum status tokenizer_config_load(struct tokenizer_config *config, const char *dir,
				  enum tokenizer_kind kind, struct error *err)
{
	enum status status;

	*config = (struct tokenizer_config){.kind = kind};
	status = read_file(config, dir, FILE_CONFIG, err);
	for (int file = FILE_MAP;
	     file < TOKENIZER_CONFIG_FILES && status == STATUS_OK && !has_decoder(config); file++)
		status = read_file(config, dir, (enum file)file, err);
	if (status != STATUS_OK)
		return status;
	config->class = class_of(config->files[FILE_CONFIG], kind);
	config->class_name = class_name(config);
	if (read_switches(config, err) != STATUS_OK ||
	    (has_decoder(config) ? add_newer(config, err) : add_older(config, err)) != STATUS_OK)
		return error_prefix(err, STATUS_BAD_INPUT, "%s/%s", dir,
				    tokenizer_config_files[config->at]);
	config->bos = name_of(config, BOS);
	config->eos = name_of(config, EOS);
	config->pad = name_of(config, PAD);
	return STATUS_OK;
}

void tokenizer_config_release(struct tokenizer_config *config)
{
	for (int file = 0; file < TOKENIZER_CONFIG_FILES; file++)
		json_free(config->files[file]);
	free(config->tokens);
	*config = (struct tokenizer_config){0};
}

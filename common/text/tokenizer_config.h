/* What the files beside tokenizer.json change of it: tokenizer_config.json and, where
 * that has no added_tokens_decoder, special_tokens_map.json and added_tokens.json.
 *
 * As in transformers, the tokens that they list or name are added to the vocabulary, in
 * this order: those listed, by their ids; bos, eos, unk, sep, pad, cls and mask; the
 * other members called ..._token and those of extra_special_tokens; the additional
 * ones.  An id that a file says for a token gives it its place in this order alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/sentencepiece.h"
#include "common/text/vocabulary.h"

/* The names of the files. */
enum { TOKENIZER_CONFIG_FILES = 3 };
extern const char *const tokenizer_config_files[TOKENIZER_CONFIG_FILES];

/* What a tokenizer is read from. */
enum tokenizer_kind { TOKENIZER_NONE, TOKENIZER_WHOLE, TOKENIZER_PAIR, TOKENIZER_MODEL };

enum config_flag { CONFIG_UNSAID, CONFIG_FALSE, CONFIG_TRUE };

/* A token that is named; text NULL: none is. */
struct config_name {
	const char *text; /* [length], borrowed from the files */
	size_t length;
};

struct tokenizer_config {
	struct extra_token *tokens; /* [n], in the order in which they are added */
	size_t n;
	struct config_name bos, eos, pad;
	enum config_flag adds_bos, adds_eos; /* where said, they overrule the template */
	enum config_flag adds_prefix_space;  /* and this a ByteLevel that stands alone */
	bool splits_special;		     /* special tokens in a text are text */
	const char *class_name; /* as transformers names it today, if it does; NULL: none */
	enum tokenizer_kind kind;	  /* what they stand beside */
	struct sentencepiece_start start; /* of texts, where tokenizer.model is read */
	/* private to tokenizer_config.c */
	struct json *files[TOKENIZER_CONFIG_FILES];
	const struct tokenizer_class *class;
	int at; /* the file being read */
	size_t capacity;
};

/* Files that are not there say nothing.  kind: what they stand beside (tokenizer_files.h).
 * Release it in any case. */
enum status tokenizer_config_load(struct tokenizer_config *config, const char *dir,
				  enum tokenizer_kind kind, struct error *err);
void tokenizer_config_release(struct tokenizer_config *config);

/* tokenizer.json: text to ids and back, equal to the tokenizers library.
 *
 * Byte-level BPE (GPT-2's kind) and BPE with byte fallback (Llama 2's kind),
 * with their normalisers, pre-tokenisers, added tokens, post-processors and
 * decoders.  Anything else is refused by name, never ignored. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"

struct tokenizer;

struct ids {
	int32_t *data;
	size_t n;
	size_t capacity;
};
void ids_append(struct ids *ids, const int32_t *more, size_t n);
/* Whether the ids from a place on begin with those of start. */
bool ids_continue_with(const struct ids *ids, size_t from, const struct ids *start);
void ids_release(struct ids *ids);

/* From dir/tokenizer.json, or vocab.json and merges.txt, and the optional files beside it
 * (tokenizer_config.h).  STATUS_BAD_INPUT if there is none of these; see tokenizer_exists. */
enum status tokenizer_load(struct tokenizer **tokenizer, const char *dir, struct error *err);
/* From the text of a tokenizer.json alone; where names it in errors. */
enum status tokenizer_parse(struct tokenizer **tokenizer, const char *text, size_t length,
			    const char *where, struct error *err);
void tokenizer_destroy(struct tokenizer *tokenizer); /* NULL is fine */
bool tokenizer_exists(const char *dir);
/* Whether ids mean the same in two directories, however texts are cut: *same is true too
 * where one of them has no tokenizer, which nobody can tell. */
enum status tokenizer_compare_ids(const char *dir, const char *other, bool *same,
				  struct error *err);
/* Refuses a model of dir, "the critic", that would read ids of the policy as others; NULL is
 * fine. */
enum status tokenizer_check_ids(const char *dir, const char *policy, const char *who,
				struct error *err);

/* Appends the ids of text.  add_special: what the post-processor adds (BOS).
 * Special tokens inside the text are recognised, as transformers does.
 * Invalid UTF-8 is replaced by U+FFFD.  Thread-safe. */
void tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
		      bool add_special, struct ids *out);

/* A part of a text: from where the one before it ends to its own end. */
struct text_part {
	size_t end;    /* in bytes */
	bool is_plain; /* guarded tokens in it are text like any other */
	bool is_cut;   /* what follows does not change the ids up to its end */
	size_t n_ids;  /* set if is_cut: how many those are */
};
/* Appends the ids of a text whose parts cover it, valid UTF-8.  The ids are those of
 * tokenizer_encode without specials, but for guarded tokens in plain parts, and
 * where the ids up to a cut are not the first ids of the whole: there the text is
 * encoded apart.  guarded [tokenizer_size]: the ids meant. */
void tokenizer_encode_parts(const struct tokenizer *tokenizer, const char *text,
			    struct text_part *parts, size_t n_parts, const bool *guarded,
			    struct ids *out);

/* The *n ids that the post-processor puts in front (BOS), borrowed. */
const int32_t *tokenizer_prefix(const struct tokenizer *tokenizer, size_t *n);

/* Appends the text of ids; special tokens are left out if skip_special; unknown
 * ids are left out. */
void tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
		      bool skip_special, struct buf *out);

/* Whether an id is more than nothing in a decoded text without special tokens. */
bool tokenizer_is_shown(const struct tokenizer *tokenizer, int32_t id);
/* The byte that such an id stands for.  A run of them is their characters, or, if one byte
 * in it is wrong, U+FFFD for each.  -1 for an id that stands for text, or for bytes of a
 * byte-level tokenizer, where a wrong one changes nothing before it. */
int tokenizer_byte(const struct tokenizer *tokenizer, int32_t id);

/* The text of a completion: decode(prompt + completion) with decode(prompt) cut
 * off in front, special ids skipped. */
void tokenizer_decode_completion(const struct tokenizer *tokenizer, const int32_t *prompt,
				 size_t n_prompt, const int32_t *completion, size_t n_completion,
				 struct buf *out);

/* "byte-level BPE", "BPE with byte fallback" or "BPE". */
const char *tokenizer_algorithm(const struct tokenizer *tokenizer);
int tokenizer_size(const struct tokenizer *tokenizer); /* largest id + 1 */
/* The token's text, borrowed; NULL if there is no such token. */
const char *tokenizer_token(const struct tokenizer *tokenizer, int32_t id, size_t *length);
bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id);
/* -1 if the token is not in the vocabulary. */
int32_t tokenizer_token_id(const struct tokenizer *tokenizer, const char *token, size_t length);
/* Ids named by tokenizer_config.json; -1 where none. */
int32_t tokenizer_bos(const struct tokenizer *tokenizer);
int32_t tokenizer_eos(const struct tokenizer *tokenizer);
int32_t tokenizer_pad(const struct tokenizer *tokenizer);

/* SHA-256 over what decides text <-> ids, in hex: two tokenizers with the same
 * identity give the same ids for every text. */
const char *tokenizer_identity(const struct tokenizer *tokenizer);

/* Learns byte-level BPE from texts and writes dir/tokenizer.json and
 * dir/tokenizer_config.json.  GPT-2's split; merges by count, ties by the pair's
 * bytes (the smaller left symbol, then the smaller right one); one special token,
 * "<|endoftext|>", as BOS and EOS: the last id.  vocab_size counts the 256 bytes,
 * what merges give and the special token; texts too few for it are refused. */
enum status tokenizer_train(const char *const *texts, const size_t *lengths, size_t n,
			    int vocab_size, const char *dir, struct error *err);

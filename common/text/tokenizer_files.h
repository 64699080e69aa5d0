/* The files of a tokenizer: tokenizer.json, or vocab.json and merges.txt in its place, as
 * OPT and other checkpoints with GPT-2's kind of BPE were published. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* The names of the files. */
enum { TOKENIZER_FILES = 3 };
extern const char *const tokenizer_files[TOKENIZER_FILES];

/* What dir has; the pair counts where there is nothing else. */
enum tokenizer_files_kind { TOKENIZER_NONE, TOKENIZER_WHOLE, TOKENIZER_PAIR };
enum tokenizer_files_kind tokenizer_files_find(const char *dir);
/* Whether the pair is read for a class of transformers, which has to be one with GPT-2's
 * words; NULL, where none is said, is. */
bool tokenizer_files_serve(const char *tokenizer_class);
/* Appends the text of dir/tokenizer.json, or of the one that transformers makes of the pair
 * for the class.  *where, the caller's to free in any case, names what is read in errors. */
enum status tokenizer_files_read(struct buf *text, char **where, const char *dir,
				 const char *tokenizer_class, struct error *err);

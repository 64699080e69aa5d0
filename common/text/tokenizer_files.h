/* The files of a tokenizer: tokenizer.json, or vocab.json and merges.txt in its place, as
 * OPT and other checkpoints with GPT-2's kind of BPE were published. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* The names of the files. */
enum { TOKENIZER_FILES = 3 };
extern const char *const tokenizer_files[TOKENIZER_FILES];

bool tokenizer_files_exist(const char *dir);
/* Whether dir has the pair alone, and whether that is read for a class of transformers, which
 * has to be one with GPT-2's words; NULL, where none is said, is. */
bool tokenizer_files_are_pair(const char *dir);
bool tokenizer_files_serve(const char *tokenizer_class);
/* Appends the text of dir/tokenizer.json, or of the one that transformers makes of the pair
 * for the class.  *where, the caller's to free in any case, names what is read in errors. */
enum status tokenizer_files_read(struct buf *text, char **where, const char *dir,
				 const char *tokenizer_class, struct error *err);

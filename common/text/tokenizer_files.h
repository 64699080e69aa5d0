/* The files of a tokenizer: tokenizer.json; or in its place vocab.json and merges.txt, as OPT
 * and other checkpoints with GPT-2's kind of BPE were published; or tokenizer.model, as those
 * of Llama 2's kind. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/text/tokenizer_config.h"

/* The names of the files. */
enum { TOKENIZER_FILES = 4 };
extern const char *const tokenizer_files[TOKENIZER_FILES];

/* What dir has; each counts where there is none of those before it. */
enum tokenizer_kind tokenizer_files_find(const char *dir);
/* Whether files of config's kind are read for the class of transformers that it names: one
 * with GPT-2's words for the pair, Llama's or Gemma's for the model; or none. */
bool tokenizer_files_serve(const struct tokenizer_config *config);
/* Appends the text of dir/tokenizer.json, or of the one that transformers makes of the other
 * files for the class.  *where, the caller's to free in any case, names what is read in
 * errors. */
enum status tokenizer_files_read(struct buf *text, char **where, const char *dir,
				 const struct tokenizer_config *config, struct error *err);

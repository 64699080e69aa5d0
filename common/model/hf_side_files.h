/* The small files of a checkpoint, beside its weights. */
#pragma once

/* Names of those that go with a model and are copied as they are: of its tokenizer and its chat
 * template. */
enum { HF_COPIED_FILES = 9 };
extern const char *const hf_copied_files[HF_COPIED_FILES];

/* SHA-256, in hex, of these, of what config.json and generation_config.json say, and of an
 * adapter, as far as dir has them: what decides, beside the weights of a model, what is made
 * of them.  A file that cannot be read counts as none. */
void hf_side_files_sha256(const char *dir, char hex[65]);

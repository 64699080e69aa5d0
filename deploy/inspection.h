/* What rlhf inspect has found out: lines for people, or one JSON object. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/model/hf_store.h"

struct inspection {
	bool as_json;
	bool lists_tensors;
	struct buf out;			       /* lines, or members without the braces */
	struct hf_problems problems, warnings; /* sentences */
};

/* A line for people, and a member of the object whose value is JSON text; each is written
 * where it is asked for. */
void inspection_line(struct inspection *in, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void inspection_member(struct inspection *in, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Both, of a text and of a number. */
void inspection_text(struct inspection *in, const char *key, const char *value);
void inspection_number(struct inspection *in, const char *key, long long value);
/* Takes over what was found wrong. */
void inspection_move(struct hf_problems *to, struct hf_problems *from);

/* A Hugging Face directory. */
void inspect_model(struct inspection *in, const char *dir);
/* One .safetensors file. */
void inspect_file(struct inspection *in, const char *path);
/* A PEFT adapter. */
void inspect_adapter(struct inspection *in, const char *dir);
/* The tensors of files, in order. */
void inspect_tensors(struct inspection *in, const struct safetensors *files, size_t n);

/* The tensors of a checkpoint directory in one table by name, whatever files they are
 * in.  Private to the hf_*.c files.
 *
 * Names are asked for as the family's table gives them, "model.norm.weight"; the store
 * finds what checkpoints write in their place: no prefix, the prefix of a program that
 * wrapped the model, gamma and beta for a norm's weight and bias. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/hashmap.h"
#include "common/base/status.h"
#include "common/model/hf_families.h"
#include "common/model/safetensors.h"

/* Problems, each a phrase or a sentence. */
struct hf_problems {
	char **items;
	int n;
};
void hf_problems_add(struct hf_problems *problems, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void hf_problems_release(struct hf_problems *problems);
/* STATUS_BAD_INPUT with the first of them, and how many more there are; STATUS_OK if there
 * is none. */
enum status hf_problems_complain(const struct hf_problems *problems, struct error *err);

struct hf_store {
	char *dir;
	struct safetensors *files;
	size_t n_files;
	const struct tensor_view **views;
	bool *used; /* by hf_store_take */
	size_t n;
	struct hashmap by_name;
	const char *lead; /* in front of the family's names; "" in most checkpoints */
	bool is_bare;	  /* the base model's prefix is missing */
	/* What is wrong with the files. */
	struct hf_problems problems;
};

/* Opens what can be opened.  STATUS_BAD_INPUT with the first of store->problems, and how
 * many more there are; the caller closes the store in any case. */
enum status hf_store_open(struct hf_store *store, const char *dir, struct error *err);
void hf_store_close(struct hf_store *store);

/* Finds out how names begin here; the caller does so once before the first take. */
void hf_store_learn_names(struct hf_store *store, const struct hf_family *family);
/* The tensor of that name, which is used from now on; NULL if there is none. */
const struct tensor_view *hf_store_take(struct hf_store *store, const struct hf_family *family,
					const char *name);

/* LoRA adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors,
 * which hf_save writes for a model that has one.  What would be computed otherwise is
 * refused: DoRA and other variants, embeddings, biases, regular expressions. */
#pragma once

#include "common/base/json.h"
#include "common/model/model.h"

/* A new adapter; the names are those of PEFT's LoraConfig. */
struct adapter_options {
	int64_t r;
	double lora_alpha;
	bool use_rslora;
	const struct json *target_modules;  /* a list of names, "all-linear", or NULL or null:
					     * what PEFT adapts in this family */
	const struct json *modules_to_save; /* a list of names, or NULL or null; a score head
					     * is always saved */
	const char *base;		    /* base_model_name_or_path */
	uint64_t seed;
};
/* The model's outputs stay what they are: B is zero. */
enum status hf_adapter_create(struct model *model, const struct adapter_options *options,
			      struct pool *pool, struct error *err);
/* Gives a model without adapter the one of dir. */
enum status hf_adapter_load(struct model *model, const char *dir, struct pool *pool,
			    struct error *err);
bool hf_adapter_exists(const char *dir); /* whether dir holds an adapter */

/* The two files into dir, with edits of the config as hf_save takes them.  Private to
 * hf_save.c. */
enum status hf_adapter_write(const struct model *model, const char *dir, const char *const *edits,
			     struct error *err);

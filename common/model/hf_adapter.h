/* LoRA adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors,
 * which hf_save writes for a model that has one.  What would be computed otherwise is
 * refused: DoRA and other variants, embeddings, biases, regular expressions. */
#pragma once

#include "common/base/json.h"
#include "common/model/model.h"

/* An adapter to go on from, or a new one; the names are those of PEFT's LoraConfig. */
struct adapter_options {
	const char *path; /* directory, whose config says the rest; NULL: a new one */
	int64_t r;
	double lora_alpha;
	bool use_rslora;
	const struct json *target_modules;  /* a name or a list of them, "all-linear", or
					     * NULL: what PEFT adapts in this family */
	const struct json *modules_to_save; /* a name or a list, or NULL; a score head always
					     * is */
	const char *base;		    /* base_model_name_or_path */
	uint64_t seed;
};
/* Gives a model without adapter that one.  A new one leaves its outputs as they are. */
enum status hf_adapter_attach(struct model *model, const struct adapter_options *options,
			      struct pool *pool, struct error *err);
/* The same from a directory. */
enum status hf_adapter_load(struct model *model, const char *dir, struct pool *pool,
			    struct error *err);
bool hf_adapter_exists(const char *dir); /* whether dir holds an adapter */
/* The base_model_name_or_path of dir's adapter; the caller frees it. */
enum status hf_adapter_base(char **base, const char *dir, struct error *err);

/* The two files into dir, with edits of the config as hf_save takes them.  Private to
 * hf_save.c. */
enum status hf_adapter_write(const struct model *model, const char *dir, const char *const *edits,
			     struct error *err);

/* LoRA adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors,
 * which hf_save writes for a model that has one.  Modules are named by their place in what
 * config.json describes as a whole, of which a language model may be a part.  The
 * config.json of base and adapter together goes into a directory inside: beside the
 * adapter, transformers would look for weights.  What would be computed otherwise is
 * refused: DoRA and other variants, embeddings, biases, regular expressions. */
#pragma once

#include "common/base/json.h"
#include "common/model/hf_checkpoint.h"

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
/* The base_model_name_or_path of dir's adapter; the caller frees it. */
enum status hf_adapter_base(char **base, const char *dir, struct error *err);
/* Labels of the score head that dir's adapter holds; 0: it holds none. */
enum status hf_adapter_labels(int *n_labels, const char *dir, struct error *err);
/* The directory whose config.json describes a base and its adapter (or NULL) together:
 * the base, or where hf_save has left one with the adapter.  The caller frees it. */
char *hf_adapted_config(const char *base, const char *adapter);
/* hf_load of a base, with the adapter of a directory unless that is NULL.  A score head
 * that a causal language model lacks is the adapter's, and hf_adapted_config says what is
 * padding. */
#define HF_ADAPTER_MODEL "model" /* that directory */
enum status hf_load_adapted(struct model **model, const char *dir, const char *adapter,
			    const struct hf_load_options *options, struct pool *pool,
			    struct error *err);

/* PEFT's two files into dir.  Private to hf_save.c. */
enum status hf_adapter_write(const struct model *model, const char *dir, struct error *err);

/* The two files of a PEFT LoRA adapter, adapter_config.json and adapter_model.safetensors,
 * opened and checked against each other and against what can be computed here.  Whether
 * they fit a base is not looked at: hf_adapter.h does.
 *
 *     base_model.model.MODULE.lora_A.weight [r, in]      an adapted linear layer
 *     base_model.model.MODULE.lora_B.weight [out, r]
 *     base_model.model.NAME                              trained whole */
#pragma once

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/model/hf_store.h"

#define HF_ADAPTER_CONFIG "adapter_config.json"
#define HF_ADAPTER_WEIGHTS "adapter_model.safetensors"
#define HF_ADAPTER_PREFIX "base_model.model."

struct hf_adapter_files {
	char *path;		    /* of the config */
	struct buf text;	    /* the config as it is written */
	struct json *root;	    /* the same; NULL: it could not be read */
	int64_t r;		    /* of modules that no rank_pattern is for; 0: wrong */
	double alpha;		    /* the same of alpha_pattern; NAN: wrong */
	bool use_rslora;	    /* scales are alpha / sqrt(r), not alpha / r */
	bool has_scales;	    /* nothing that says r and alpha is wrong */
	struct safetensors weights; /* path NULL: they could not be opened */
};

/* Opens what can be opened, and adds all that keeps the adapter from being loaded to
 * problems, as sentences.  The caller closes the files in any case. */
void hf_adapter_open(struct hf_adapter_files *files, const char *dir, struct hf_problems *problems);
void hf_adapter_close(struct hf_adapter_files *files);

/* PEFT's rule for layers that are adapted: the whole name, or what follows one of its dots. */
bool hf_adapter_names(const char *module, const char *entry);
/* The names of modules_to_save, where one alone is a list of one; NULL behind the last. */
const struct json *hf_adapter_first_name(const struct json *names);
const struct json *hf_adapter_next_name(const struct json *names, const struct json *name);
/* r and s of a module, where has_scales. */
enum status hf_adapter_scale(const struct hf_adapter_files *files, const char *module, int64_t *r,
			     float *scale, struct error *err);
/* Where ".lora_A.weight" or ".lora_B.weight" ends a tensor's name; NULL if neither does. */
const char *hf_adapter_half(const char *name);

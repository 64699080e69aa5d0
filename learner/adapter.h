/* The adapter that a run trains, where its config has a section lora. */
#pragma once

#include "common/base/json.h"
#include "common/model/hf_adapter.h"
#include "common/run/config.h"

/* What the config asks for; base is the path of the model that it is for. */
struct adapter_options adapter_options(const struct run_config *config, const char *base);

/* Gives a base its adapter: that of a checkpoint's directory, or where dir is NULL the
 * one that options ask for.  */
enum status adapter_attach(struct model *model, const struct adapter_options *options,
			   const char *dir, struct pool *pool, struct error *err);

/* Refuses an adapter that lora.path has given the model where the config's other keys
 * describe another one. */
enum status adapter_check_config(const struct model *model, const struct run_config *config,
				 struct error *err);

/* Adds `"KEY": "hash"` of the frozen weights to the text of a state.json; nothing for a
 * model without adapter. */
void adapter_print_base(const struct model *model, const char *key, struct buf *out);
/* They must be those that the run began with, whose state.json is `path`. */
enum status adapter_check_base(const struct model *model, const struct json *state,
			       const char *path, const char *key, const char *base,
			       struct error *err);

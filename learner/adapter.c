/* The adapter of a run; see adapter.h.  A checkpoint holds the adapter alone, so it
 * records a hash of the weights beside which it was trained. */
#include "learner/adapter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/model/lora.h"
#include "common/ops/elementwise.h"
#include "common/run/fault.h"

enum { HASH_BYTES = 17 };

struct adapter_options adapter_options(const struct run_config *config, const char *base)
{
	return (struct adapter_options){.path = config->lora.path,
					.r = config->lora.r,
					.lora_alpha = config->lora.lora_alpha,
					.use_rslora = config->lora.use_rslora,
					.target_modules = config->lora.target_modules,
					.modules_to_save = config->lora.modules_to_save,
					.base = base,
					.seed = (uint64_t)config->run.seed};
}

enum status adapter_attach(struct model *model, const struct adapter_options *options,
			   const char *dir, struct pool *pool, struct error *err)
{
	const char *slash = dir ? strrchr(dir, '/') : NULL;
	enum status status = dir ? hf_adapter_load(model, dir, pool, err)
				 : hf_adapter_attach(model, options, pool, err);

	if (status == STATUS_OK && dir && fault_omits(slash ? slash + 1 : dir)) {
		zero_fill(model->lora->values, model->lora->layout.n_floats, pool);
		lora_pack(model, pool);
	}
	return status;
}

/* Whether the checkpoint lacks the weights; one without modules only says what of them
 * is trained. */
static bool is_beside_base(const struct model *model)
{
	return model->lora && model->lora->n_modules > 0;
}

static void print_hash(const struct model *model, char hash[HASH_BYTES])
{
	snprintf(hash, HASH_BYTES, "%016" PRIx64, model->lora->base_hash);
}

void adapter_print_base(const struct model *model, const char *key, struct buf *out)
{
	char hash[HASH_BYTES];

	if (!is_beside_base(model))
		return;
	print_hash(model, hash);
	buf_printf(out, ",\n  \"%s\": \"%s\"", key, hash);
}

enum status adapter_check_base(const struct model *model, const struct json *state,
			       const char *key, const char *base, struct error *err)
{
	const struct json *recorded = json_get(state, key);
	char hash[HASH_BYTES];

	if (!is_beside_base(model))
		return STATUS_OK;
	print_hash(model, hash);
	if (recorded && json_type(recorded) == JSON_STRING &&
	    strcmp(json_string(recorded, NULL), hash) == 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: these are not the weights beside which the run's adapter was trained; "
			 "a resumed run needs the same ones",
			 base);
}

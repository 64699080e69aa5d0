/* The adapter of a run; see adapter.h.  A checkpoint holds the adapter alone, so it
 * records a hash of the weights beside which it was trained. */
#include "learner/adapter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/model/lora.h"
#include "common/ops/elementwise.h"
#include "common/run/fault.h"
#include "learner/state_files.h"

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

/* 0 of an outline. */
static uint64_t hash_weights(const struct model *model, struct pool *pool)
{
	size_t n = model->layout.n_floats * sizeof *model->weights;

	return model->weights ? hash64_large(model->weights, n, pool) : 0;
}

enum status adapter_attach(struct model *model, const struct adapter_options *options,
			   const char *dir, struct pool *pool, struct error *err)
{
	const char *slash = dir ? strrchr(dir, '/') : NULL;
	/* Of the base alone: what is trained whole goes into the weights. */
	uint64_t base_hash = hash_weights(model, pool);
	enum status status = dir ? hf_adapter_load(model, dir, pool, err)
				 : hf_adapter_attach(model, options, pool, err);

	if (status == STATUS_OK)
		model->lora->base_hash = base_hash;
	if (status == STATUS_OK && dir && fault_omits(slash ? slash + 1 : dir)) {
		zero_fill(model->lora->values, model->lora->layout.n_floats, pool);
		lora_pack(model, pool);
	}
	return status;
}

/* --- an adapter to go on from, beside what the config says --- */

static bool is_given(const struct json *value)
{
	return value && json_type(value) != JSON_NULL;
}

static enum status contradicts(const struct run_config *config, const char *key,
			       const struct json *given, const char *has, struct error *err)
{
	struct buf text = BUF_INIT;

	json_print(given, false, &text);
	error_set(err, STATUS_BAD_INPUT,
		  "%s: this adapter has %s, but lora.%s is %.100s, expected the same or no lora.%s",
		  config->lora.path, has, key, text.data, key);
	buf_release(&text);
	return STATUS_BAD_INPUT;
}

/* A key of the adapter's own config that is a number or a truth value, and PEFT's default
 * for it.  Numbers may be written in several ways. */
static enum status check_value(const struct run_config *config, const struct json *given,
			       const struct json *adapter, const char *key, double fallback,
			       struct error *err)
{
	const struct json *found = json_get(adapter, key);
	bool is_bool = is_given(given) && json_type(given) == JSON_BOOL;
	double has = fallback;
	char text[64];

	if (!is_given(given))
		return STATUS_OK;
	if (is_given(found))
		has = is_bool ? json_bool(found) : json_number(found);
	if (has == (is_bool ? json_bool(given) : json_number(given)))
		return STATUS_OK;
	if (is_bool)
		snprintf(text, sizeof text, "%s %s", key, has != 0 ? "true" : "false");
	else
		snprintf(text, sizeof text, "%s %.17g", key, has);
	return contradicts(config, key, given, text, err);
}

static bool adapts_the_same(const struct lora *a, const struct lora *b)
{
	bool same = a->n_modules == b->n_modules;

	for (int m = 0; same && m < a->n_modules; m++)
		same = a->modules[m].tensor == b->modules[m].tensor;
	return same;
}

static bool saves_the_same(const struct lora *a, const struct lora *b)
{
	bool same = a->n_saved == b->n_saved;

	for (int s = 0; same && s < a->n_saved; s++)
		same = a->saved[s].param->id == b->saved[s].param->id &&
		       a->saved[s].param->layer == b->saved[s].param->layer;
	return same;
}

/* The layers that are named, against those of a new adapter of these names. */
static enum status check_layers(const struct model *model, const struct run_config *config,
				struct error *err)
{
	const struct json *targets = config->lora.target_modules;
	const struct json *saved = config->lora.modules_to_save;
	bool has_bias = param_find(&model->layout, PARAM_SCORE_BIAS, -1) != NULL;
	struct model *other = model_create_outline(&model->config, has_bias);
	struct adapter_options options = {.r = 1,
					  .lora_alpha = 1,
					  .target_modules = targets,
					  .modules_to_save = saved,
					  .base = config->model.path};
	enum status status = hf_adapter_attach(other, &options, NULL, err);

	if (status == STATUS_OK && targets && !adapts_the_same(model->lora, other->lora))
		status = contradicts(config, "target_modules", targets, "other target_modules",
				     err);
	if (status == STATUS_OK && saved && !saves_the_same(model->lora, other->lora))
		status = contradicts(config, "modules_to_save", saved, "other modules_to_save",
				     err);
	model_destroy(other);
	return status;
}

enum status adapter_check_config(const struct model *model, const struct run_config *config,
				 struct error *err)
{
	const struct json *lora = json_get(config->tree, "lora");
	const struct buf *text = &model->lora->config;
	struct json *adapter = json_parse(text->data, text->length, config->lora.path, err);
	const struct {
		const char *key;
		double fallback;
	} values[] = {{"r", 8}, {"lora_alpha", 8}, {"use_rslora", 0}};
	enum status status = adapter ? STATUS_OK : STATUS_BAD_INPUT;

	for (size_t i = 0; i < sizeof values / sizeof *values && status == STATUS_OK; i++)
		status = check_value(config, json_get(lora, values[i].key), adapter, values[i].key,
				     values[i].fallback, err);
	json_free(adapter);
	if (status == STATUS_OK && (config->lora.target_modules || config->lora.modules_to_save))
		status = check_layers(model, config, err);
	return status;
}

/* --- the base --- */

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
			       const char *path, const char *key, const char *base,
			       struct error *err)
{
	const struct json *recorded = json_get(state, key);
	char hash[HASH_BYTES];

	if (!is_beside_base(model))
		return STATUS_OK;
	if (!recorded)
		return state_refuse_old(path, key, err);
	print_hash(model, hash);
	if (json_type(recorded) == JSON_STRING && strcmp(json_string(recorded, NULL), hash) == 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: these are not the weights beside which the run's adapter was trained; "
			 "a resumed run needs the same ones",
			 base);
}

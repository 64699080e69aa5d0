/* See plan.h. */
#include "learner/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/model/head.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/lora.h"
#include "common/model/transformer.h"

void plan_release(struct plan *plan)
{
	free(plan->ranks);
	*plan = (struct plan){0};
}

static size_t count_parameters(const struct param_layout *layout)
{
	size_t n = 0;

	for (int i = 0; i < layout->n; i++)
		n += (size_t)layout->items[i].rows * (size_t)layout->items[i].cols;
	return n;
}

void plan_add_model(struct plan *plan, const char *what, const struct model *model, bool is_trained)
{
	ASSERT(plan->n_models < PLAN_MODELS);
	plan->models[plan->n_models++] = (struct plan_model){
		.what = what,
		.family = hf_family_name(model->config.family),
		.n_parameters = count_parameters(&model->layout),
		.n_trained = is_trained ? count_parameters(model_trained(model).layout) : 0};
}

void plan_add_weights(struct ledger *ledger, const struct model *model)
{
	size_t weights = model->layout.n_floats * sizeof(float);

	ledger_add(ledger, "weights", weights);
	ledger_add(ledger, "rounded weights", model->has_masters ? weights : 0);
	ledger_add(ledger, "adapter", model_adapter_bytes(model));
}

/* --- activations --- */

/* Ids, positions of targets and the like, which are small. */
enum { BYTES_OF_TOKEN = 16 };

static size_t hidden_bytes(const struct model *model, int t)
{
	return (size_t)t * (size_t)model->config.n_channels * sizeof(float);
}

/* Of a head on all tokens, or on one of each sequence. */
static size_t score_bytes(const struct model *model, int n_seqs)
{
	return 3 * (size_t)n_seqs * (size_t)model->config.n_embedding * sizeof(float);
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

size_t plan_train_bytes(const struct model *model, int t, int n_seqs)
{
	size_t head = model->config.head == HEAD_LM ? head_train_bytes(model, t)
						    : score_bytes(model, n_seqs);

	return (size_t)t * BYTES_OF_TOKEN + 2 * hidden_bytes(model, t) +
	       larger(transformer_train_bytes(model, t, t),
		      transformer_kept_bytes(model, t, t) + head);
}

size_t plan_measure_bytes(const struct model *model, int t, int n_seqs)
{
	size_t head = model->config.head == HEAD_LM ? head_logprobs_bytes(model, t)
						    : score_bytes(model, n_seqs);

	return (size_t)t * BYTES_OF_TOKEN + hidden_bytes(model, t) +
	       larger(transformer_forward_bytes(model, t), head);
}

int plan_arenas(const struct model *model, int lanes, int n_learners, int n_threads)
{
	int n_local = lanes / n_learners;

	if (!model_is_small(model))
		return 1;
	return n_threads < n_local ? n_threads : n_local;
}

/* --- files --- */

static bool is_adapter(const struct model *model)
{
	return model->lora && model->lora->n_modules > 0;
}

/* save_dtype is one of the config's choices. */
static enum hf_save_as save_as(const char *save_dtype)
{
	enum hf_save_as as = HF_SAVE_LOADED;

	hf_save_as_parse(save_dtype, &as);
	return as;
}

size_t plan_saving_bytes(const struct model *model, const char *save_dtype)
{
	enum hf_save_as as = save_as(save_dtype);
	size_t most = 0, most_converted = 0;
	int n = is_adapter(model) ? 0 : hf_tensor_count(model);

	/* A tensor is gathered, converted, and converted back to be checked. */
	for (int i = 0; i < n; i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(model, i, &tensor);
		most = larger(most, tensor.n_elements);
		if (hf_save_dtype(model, i, as) != DTYPE_F32)
			most_converted = larger(most_converted, tensor.n_elements);
	}
	return most * sizeof(float) + most_converted * (sizeof(float) + sizeof(uint16_t));
}

/* Parameters that are in a checkpoint: of an adapter, without its base. */
static size_t count_saved(const struct model *model)
{
	return count_parameters(is_adapter(model) ? model_trained(model).layout : &model->layout);
}

size_t plan_checkpoint_bytes(const struct model *model, const struct optimizer_config *optimizer)
{
	size_t n_moments = (size_t)optimizer_moments(optimizer);

	return sizeof(float) *
	       (count_saved(model) + n_moments * count_parameters(model_trained(model).layout));
}

size_t plan_result_bytes(const struct model *model, const char *save_dtype)
{
	enum hf_save_as as = save_as(save_dtype);
	int n = hf_tensor_count(model);
	size_t bytes = 0;

	if (is_adapter(model))
		return count_saved(model) * sizeof(float);
	for (int i = 0; i < n; i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(model, i, &tensor);
		bytes += tensor.n_elements * dtype_bytes(hf_save_dtype(model, i, as));
	}
	return bytes;
}

int64_t plan_checkpoints(const struct run_config *config, int64_t steps)
{
	int64_t every = config->checkpoint.every_steps, most = config->checkpoint.keep + 1;
	int64_t n = every > 0 ? (steps + every - 1) / every : 1;

	return config->checkpoint.every_seconds > 0 || n > most ? most : n;
}

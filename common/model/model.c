/* A model in memory: allocation, packing, products, random start, tables of angles. */
#include "common/model/model.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/base/rng.h"
#include "common/model/lora.h"
#include "common/model/rotary.h"
#include "common/ops/elementwise.h"
#include "common/ops/gemm.h"

enum { MAX_ANGLES = 8192 };

static int at_most(int n, int most)
{
	return n < most ? n : most;
}

static float *make_angles(const struct model_config *config, const struct rotary *rotary, int n)
{
	int width = config->rotary_dim;
	float frequencies[ATTENTION_MAX_HEAD_DIM / 2];
	float *table = xaligned((size_t)n * (size_t)width, sizeof *table);

	rotary_frequencies(frequencies, rotary, config->rotary_width, 1);
	for (int position = 0; position < n; position++)
		rotary_row(table + (size_t)position * (size_t)width, frequencies, rotary, width,
			   position);
	return table;
}

/* All but the weights. */
static struct model *create(const struct model_config *config, bool has_score_bias)
{
	struct model *model = xcalloc(1, sizeof *model);

	model->config = *config;
	param_layout_init(&model->layout, config, has_score_bias);
	model->n_angles = at_most(model_position_limit(config), MAX_ANGLES);
	if (config->position == POSITION_ROTARY)
		model->angles[0] = make_angles(config, &config->rotary, model->n_angles);
	if (config->has_local_rotary)
		model->angles[1] = make_angles(config, &config->local_rotary, model->n_angles);
	if (!config->has_norm_weights) {
		model->ones = xaligned((size_t)config->n_channels, sizeof *model->ones);
		for (int i = 0; i < config->n_channels; i++)
			model->ones[i] = 1;
	}
	return model;
}

struct model *model_create(const struct model_config *config, bool has_score_bias)
{
	struct model *model = create(config, has_score_bias);

	model->weights = xaligned(model->layout.n_floats, sizeof *model->weights);
	return model;
}

bool weight_type_parse(const char *name, enum weight_type *type)
{
	*type = name && strcmp(name, "bf16") == 0 ? WEIGHTS_BF16 : WEIGHTS_F32;
	return !name || *type == WEIGHTS_BF16 || strcmp(name, "f32") == 0;
}

size_t model_panel_floats(const struct param_layout *layout, enum weight_type type)
{
	return type == WEIGHTS_BF16 ? (layout->n_packed_floats + 1) / 2 : layout->n_packed_floats;
}

size_t model_frozen_floats(const struct param_layout *layout, enum weight_type type)
{
	return layout->n_floats + model_panel_floats(layout, type);
}

struct model *model_create_outline(const struct model_config *config, bool has_score_bias)
{
	return create(config, has_score_bias);
}

struct model *model_create_frozen(const struct model_config *config, bool has_score_bias,
				  enum weight_type type, float *memory)
{
	struct model *model = create(config, has_score_bias);

	param_layout_freeze(&model->layout);
	if (!memory)
		memory = model->memory =
			xaligned(model_frozen_floats(&model->layout, type), sizeof *memory);
	model->is_frozen = true;
	model->weights = memory;
	if (type == WEIGHTS_BF16)
		model->packed_bf16 = (uint16_t *)(memory + model->layout.n_floats);
	else
		model->packed = memory + model->layout.n_floats;
	return model;
}

enum status model_check_positions(const struct model_config *config, int n, const char *where,
				  struct error *err)
{
	if (config->position != POSITION_LEARNED || n <= config->max_positions)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: the model has %d learned positions, expected at least %d; "
			 "data.max_length and rollout.max_new_tokens set the need",
			 where, config->max_positions, n);
}

/* Longest sequence whose angles do not depend on its length. */
static int fixed_length(const struct model_config *config)
{
	int n = rotary_fixed_length(&config->rotary);

	return config->has_local_rotary ? at_most(n, rotary_fixed_length(&config->local_rotary))
					: n;
}

int model_position_limit(const struct model_config *config)
{
	int stretched = config->has_local_rotary ? 0 : rotary_stretched_length(&config->rotary);

	return stretched > config->max_positions ? stretched : config->max_positions;
}

int model_generation_limit(const struct model_config *config)
{
	if (config->position == POSITION_LEARNED)
		return config->max_positions;
	return at_most(model_position_limit(config), fixed_length(config));
}

int model_generation_length(const struct model_config *config, int64_t n)
{
	int limit = model_generation_limit(config);

	return n < limit ? (int)n : limit;
}

const char *model_limit_name(const struct model_config *config)
{
	return config->position == POSITION_ROTARY && fixed_length(config) < INT_MAX
		       ? "positions beyond which the rotary angles depend on the length of the "
			 "sequence"
		       : "positions";
}

enum status model_check_memory(const struct model_config *config, const char *where,
			       struct error *err)
{
	struct param_layout layout;
	double gib = 1024.0 * 1024 * 1024, bytes, memory = (double)memory_of_node();

	param_layout_init(&layout, config, false);
	bytes = (double)layout.n_floats * sizeof(float);
	param_layout_release(&layout);
	if (bytes <= memory)
		return STATUS_OK;
	return error_set(
		err, STATUS_BAD_INPUT,
		"%s: the weights take %.4g GiB, expected no more than the %.4g GiB of this "
		"machine or job",
		where, bytes / gib, memory / gib);
}

void model_destroy(struct model *model)
{
	if (!model)
		return;
	lora_destroy(model->lora);
	if (model->is_shared) {
		free(model);
		return;
	}
	param_layout_release(&model->layout);
	free(model->dtypes);
	free(model->memory);
	if (!model->is_frozen) {
		free(model->weights);
		free(model->masters);
		free(model->packed);
		free(model->packed_bf16);
	}
	free(model->angles[0]);
	free(model->angles[1]);
	free(model->ones);
	free(model);
}

struct model *model_share(const struct model *model)
{
	struct model *shared = xmalloc(sizeof *shared);

	*shared = *model;
	shared->lora = NULL;
	shared->is_shared = true;
	return shared;
}

bool model_is_packed(const struct model *model)
{
	return model->packed || model->packed_bf16;
}

void model_pack_rows(struct model *model, const struct param *param, int row, int rows,
		     const float *values, struct pool *pool)
{
	size_t at = param->packed_offset + gemm_packed_floats(row, param->cols);

	if (model->packed_bf16)
		gemm_pack_bf16(model->packed_bf16 + at, values, rows, param->cols, pool);
	else
		gemm_pack(model->packed + at, values, rows, param->cols, pool);
}

void model_unpack_row(const struct model *model, const struct param *param, int row, float *out)
{
	size_t at = param->packed_offset;

	if (model->packed_bf16)
		gemm_unpack_row_bf16(out, model->packed_bf16 + at, param->rows, param->cols, row);
	else
		gemm_unpack_row(out, model->packed + at, param->rows, param->cols, row);
}

void model_pack_param(struct model *model, const struct param *param, struct pool *pool)
{
	if (model_is_packed(model) && param->packed_offset != SIZE_MAX)
		model_pack_rows(model, param, 0, param->rows, model->weights + param->offset, pool);
}

void model_pack(struct model *model, enum weight_type type, struct pool *pool)
{
	size_t n = model->layout.n_packed_floats;

	if (type == WEIGHTS_BF16 && !model->packed_bf16)
		model->packed_bf16 = xaligned(n, sizeof *model->packed_bf16);
	else if (type == WEIGHTS_F32 && !model->packed)
		model->packed = xaligned(n, sizeof *model->packed);
	model_repack(model, pool);
}

void model_repack(struct model *model, struct pool *pool)
{
	ASSERT(!model->is_shared && !model->is_frozen);
	for (int i = 0; i < model->layout.n; i++)
		model_pack_param(model, &model->layout.items[i], pool);
}

void model_fill(struct model *frozen, const struct param_layout *layout, const float *values,
		struct pool *pool)
{
	ASSERT(frozen->is_frozen && layout->n == frozen->layout.n);
	for (int i = 0; i < layout->n; i++) {
		const struct param *param = &frozen->layout.items[i];
		const float *from = values + layout->items[i].offset;

		if (param->offset != SIZE_MAX)
			memcpy(frozen->weights + param->offset, from,
			       (size_t)param->rows * (size_t)param->cols * sizeof *from);
		if (param->packed_offset != SIZE_MAX)
			model_pack_rows(frozen, param, 0, param->rows, from, pool);
	}
}

/* --- rounded weights --- */

/* weights = values, those of products rounded. */
static void take_rounded(struct model *model, const float *values, struct pool *pool)
{
	for (int i = 0; i < model->layout.n; i++) {
		const struct param *param = &model->layout.items[i];
		size_t n = (size_t)param->rows * (size_t)param->cols;
		float *out = model->weights + param->offset;

		if (param->packed_offset != SIZE_MAX)
			round_to_bf16(out, values + param->offset, n, pool);
		else if (values != model->weights)
			memcpy(out, values + param->offset, n * sizeof *out);
	}
}

void model_round(struct model *model, struct pool *pool)
{
	ASSERT(!model_is_packed(model) && !model->is_shared);
	if (model->weights)
		take_rounded(model, model->weights, pool);
}

void model_keep_masters(struct model *model, struct pool *pool)
{
	size_t n = model->layout.n_floats;

	ASSERT(!model->lora && !model->has_masters);
	model->has_masters = true;
	if (!model->weights)
		return;
	model->masters = xaligned(n, sizeof *model->masters);
	memcpy(model->masters, model->weights, n * sizeof *model->masters);
	model_round(model, pool);
}

float *model_masters(const struct model *model)
{
	return model->has_masters ? model->masters : model->weights;
}

void model_checksum(const struct model *model, struct pool *pool, char sum[MODEL_CHECKSUM_BYTES])
{
	const struct lora *lora = model->lora;
	uint64_t parts[2] = {
		hash64_large(model_masters(model), model->layout.n_floats * sizeof(float), pool)};

	if (lora)
		parts[1] = hash64_large(lora->values, lora->layout.n_floats * sizeof(float), pool);
	snprintf(sum, MODEL_CHECKSUM_BYTES, "%016" PRIx64, hash64(parts, sizeof parts));
}

/* --- products --- */

void model_product(const struct model *model, const struct param *param, const float *x,
		   const float *bias, float *y, int t, struct pool *pool)
{
	ASSERT(param && param->packed_offset != SIZE_MAX);
	if (model->packed_bf16)
		gemm_forward_bf16(y, x, model->packed_bf16 + param->packed_offset, bias, t,
				  param->rows, param->cols, pool);
	else if (model->packed)
		gemm_forward(y, x, model->packed + param->packed_offset, bias, t, param->rows,
			     param->cols, pool);
	else
		gemm_forward_flat(y, x, model->weights + param->offset, bias, t, param->rows,
				  param->cols, pool);
}

static size_t own_floats(const struct model *model)
{
	enum weight_type type = model->packed_bf16 ? WEIGHTS_BF16 : WEIGHTS_F32;

	return model->layout.n_floats * (model->has_masters ? 2 : 1) +
	       (model_is_packed(model) ? model_panel_floats(&model->layout, type) : 0);
}

size_t model_adapter_bytes(const struct model *model)
{
	const struct param_layout *adapters = model->lora ? &model->lora->layout : NULL;

	return adapters ? (adapters->n_floats + adapters->n_packed_floats) * sizeof(float) : 0;
}

size_t model_bytes(const struct model *model)
{
	size_t floats = model->is_shared ? 0 : own_floats(model);

	return floats * sizeof(float) + model_adapter_bytes(model);
}

struct trained model_trained(const struct model *model)
{
	if (model->lora)
		return (struct trained){&model->lora->layout, model->lora->values};
	return (struct trained){&model->layout, model_masters(model)};
}

void model_pack_trained(struct model *model, struct pool *pool)
{
	if (model->lora) {
		lora_pack(model, pool);
		return;
	}
	if (model->masters)
		take_rounded(model, model->masters, pool);
	model_repack(model, pool);
}

float *model_gradient(const struct model *model, float *block, enum param_id id, int layer)
{
	return model->lora ? lora_gradient(model->lora, block, id, layer)
			   : model_view(model, block, id, layer);
}

/* Where a vector starts: norms scale by 1. */
static float vector_start(const struct model_config *config, enum param_id id)
{
	switch (id) {
	case PARAM_NORM1_SCALE:
	case PARAM_NORM2_SCALE:
	case PARAM_FINAL_SCALE:
	case PARAM_POST_NORM1_SCALE:
	case PARAM_POST_NORM2_SCALE:
		return config->norm == NORM_RMS_UNIT ? 0 : 1;
	case PARAM_Q_NORM_SCALE:
	case PARAM_K_NORM_SCALE:
		return config->head_norm == NORM_RMS_UNIT ? 0 : 1;
	default:
		return 0;
	}
}

static void fill_normal(float *out, const struct param *param, uint64_t seed, double std)
{
	size_t n = (size_t)param->rows * (size_t)param->cols;

	for (size_t i = 0; i < n; i++)
		out[i] = (float)(std * rng_normal(seed, RNG_INIT, (uint32_t)param->id,
						  (uint32_t)(param->layer + 1), (uint32_t)i,
						  (uint32_t)(i >> 32)));
}

void model_init_random(struct model *model, uint64_t seed, double std)
{
	double residual_std = std / sqrt(2.0 * model->config.n_layers);

	for (int i = 0; i < model->layout.n; i++) {
		const struct param *param = &model->layout.items[i];
		float *out = model->weights + param->offset;
		bool is_residual = param->id == PARAM_O_WEIGHT || param->id == PARAM_DOWN_WEIGHT;

		if (param->decays)
			fill_normal(out, param, seed, is_residual ? residual_std : std);
		else
			for (int k = 0; k < param->rows; k++)
				out[k] = vector_start(&model->config, param->id);
	}
}

float *model_view(const struct model *model, float *block, enum param_id id, int layer)
{
	const struct param *param = param_find(&model->layout, id, layer);

	return param && param->offset != SIZE_MAX ? block + param->offset : NULL;
}

/* A model in memory: allocation, copies, packing, random start, rope table.
 *
 * The table of rotary angles repeats transformers' arithmetic: frequencies and
 * angles are rounded to float, because a float angle at a large position is far
 * from the exact one.  Cosine and sine of that angle are then exact. */
#include "common/model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/rng.h"
#include "common/ops/gemm.h"

static void fill_rope_row(float *row, int position, const struct model_config *config)
{
	int half = config->rotary_dim / 2;

	for (int i = 0; i < half; i++) {
		float frequency =
			(float)pow(config->rope_theta, -2.0 * i / (double)config->rotary_dim);
		float angle = (float)position * frequency;

		row[i] = (float)cos((double)angle);
		row[half + i] = (float)sin((double)angle);
	}
}

void model_ensure_positions(struct model *model, int n)
{
	size_t r = (size_t)model->config.rotary_dim;
	float *table;

	if (model->config.position != POSITION_ROTARY || n <= model->rope_positions)
		return;
	table = xaligned((size_t)n * r, sizeof *table);
	if (model->rope)
		memcpy(table, model->rope, (size_t)model->rope_positions * r * sizeof *table);
	for (int position = model->rope_positions; position < n; position++)
		fill_rope_row(table + (size_t)position * r, position, &model->config);
	free(model->rope);
	model->rope = table;
	model->rope_positions = n;
}

enum status model_reserve_positions(struct model *model, int n, const char *where,
				    struct error *err)
{
	const struct model_config *config = &model->config;
	bool is_bounded = config->position == POSITION_LEARNED || config->has_window;

	if (is_bounded && n > config->max_positions)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the model has %d %s, expected at least %d; "
				 "data.max_length and rollout.max_new_tokens set the need",
				 where, config->max_positions,
				 config->position == POSITION_LEARNED
					 ? "learned positions"
					 : "positions in its sliding window",
				 n);
	model_ensure_positions(model, n);
	return STATUS_OK;
}

struct model *model_create(const struct model_config *config, bool has_score_bias)
{
	struct model *model = xcalloc(1, sizeof *model);

	model->config = *config;
	param_layout_init(&model->layout, config, has_score_bias);
	model->weights = xaligned(model->layout.n_floats, sizeof *model->weights);
	model->packed = xaligned(model->layout.n_packed_floats, sizeof *model->packed);
	model_ensure_positions(model, config->max_positions);
	return model;
}

void model_destroy(struct model *model)
{
	if (!model)
		return;
	param_layout_release(&model->layout);
	free(model->weights);
	free(model->packed);
	free(model->rope);
	free(model);
}

struct model *model_clone(const struct model *model, struct pool *pool)
{
	bool has_score_bias = param_find(&model->layout, PARAM_SCORE_BIAS, -1) != NULL;
	struct model *clone = model_create(&model->config, has_score_bias);

	memcpy(clone->weights, model->weights, model->layout.n_floats * sizeof *clone->weights);
	clone->dtype = model->dtype;
	model_ensure_positions(clone, model->rope_positions);
	model_pack(clone, pool);
	return clone;
}

void model_pack(struct model *model, struct pool *pool)
{
	for (int i = 0; i < model->layout.n; i++) {
		const struct param *param = &model->layout.items[i];

		if (param->packed_offset != SIZE_MAX)
			gemm_pack(model->packed + param->packed_offset,
				  model->weights + param->offset, param->rows, param->cols, pool);
	}
}

static bool is_norm_scale(enum param_id id)
{
	return id == PARAM_NORM1_SCALE || id == PARAM_NORM2_SCALE || id == PARAM_FINAL_SCALE;
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
				out[k] = is_norm_scale(param->id) ? 1.0f : 0.0f;
	}
}

float *model_view(const struct model *model, float *block, enum param_id id, int layer)
{
	const struct param *param = param_find(&model->layout, id, layer);

	return param ? block + param->offset : NULL;
}

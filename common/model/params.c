/* Layout of the flat blocks: one list of parameters in forward order.
 *
 *     embeddings | project in | layer 0 | ... | final norm | project out | head
 *
 * Every parameter starts at a multiple of 16 floats (a cache line), in the flat
 * block and in the packed one; the gaps stay zero in weights, gradients and
 * moments alike, so that loops over whole blocks need not know of them. */
#include "common/model/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/ops/gemm.h"

size_t param_aligned(size_t n_floats)
{
	return (n_floats + PARAM_ALIGN_FLOATS - 1) / PARAM_ALIGN_FLOATS * PARAM_ALIGN_FLOATS;
}

static int *index_slot(const struct param_layout *layout, enum param_id id, int layer)
{
	size_t row = layer < 0 ? (size_t)layout->n_layers : (size_t)layer;

	return &layout->index[row * PARAM_COUNT + id];
}

static struct param *add(struct param_layout *layout, enum param_id id, int layer, int rows,
			 int cols)
{
	struct param *param = &layout->items[layout->n];

	*param = (struct param){.id = id,
				.layer = layer,
				.rows = rows,
				.cols = cols,
				.offset = layout->n_floats,
				.packed_offset = SIZE_MAX};
	layout->n_floats += param_aligned((size_t)rows * (size_t)cols);
	*index_slot(layout, id, layer) = layout->n++;
	return param;
}

static void add_vector(struct param_layout *layout, enum param_id id, int layer, int n)
{
	add(layout, id, layer, n, 1);
}

static struct param *add_matrix(struct param_layout *layout, enum param_id id, int layer, int rows,
				int cols)
{
	struct param *param = add(layout, id, layer, rows, cols);

	param->decays = true;
	return param;
}

/* A matrix that multiplies, which therefore has packed panels too. */
static void pack_too(struct param_layout *layout, struct param *param)
{
	param->packed_offset = layout->n_packed_floats;
	layout->n_packed_floats += param_aligned(gemm_packed_floats(param->rows, param->cols));
}

static void add_norm(struct param_layout *layout, enum param_id scale, enum norm_kind kind,
		     int layer, int n)
{
	add_vector(layout, scale, layer, n);
	if (kind == NORM_LAYER)
		add_vector(layout, scale + 1, layer, n);
}

/* A norm of the residual stream. */
static void add_stream_norm(struct param_layout *layout, const struct model_config *config,
			    enum param_id scale, int layer)
{
	if (config->has_norm_weights)
		add_norm(layout, scale, config->norm, layer, config->n_channels);
}

static void add_linear(struct param_layout *layout, enum param_id weight, enum param_id bias,
		       bool has_bias, int layer, int rows, int cols)
{
	pack_too(layout, add_matrix(layout, weight, layer, rows, cols));
	if (has_bias)
		add_vector(layout, bias, layer, rows);
}

static void add_layer(struct param_layout *layout, const struct model_config *config, int layer)
{
	int c = config->n_channels, d = config->head_dim, f = config->n_ff;
	int qkv_rows = (config->n_heads + 2 * config->n_kv_heads) * d;
	int up_rows = config->mlp == MLP_GATED ? 2 * f : f;

	if (config_has_pre_norm(config))
		add_stream_norm(layout, config, PARAM_NORM1_SCALE, layer);
	add_linear(layout, PARAM_QKV_WEIGHT, PARAM_QKV_BIAS, config->biases & BIAS_QKV, layer,
		   qkv_rows, c);
	if (config->has_head_norm) {
		add_norm(layout, PARAM_Q_NORM_SCALE, config->head_norm, layer, d);
		add_norm(layout, PARAM_K_NORM_SCALE, config->head_norm, layer, d);
	}
	add_linear(layout, PARAM_O_WEIGHT, PARAM_O_BIAS, config->biases & BIAS_O, layer, c,
		   config->n_heads * d);
	if (config_has_post_norm(config))
		add_stream_norm(layout, config, PARAM_POST_NORM1_SCALE, layer);
	if (config_has_pre_norm(config) && config->block != BLOCK_PARALLEL_SHARED)
		add_stream_norm(layout, config, PARAM_NORM2_SCALE, layer);
	add_linear(layout, PARAM_UP_WEIGHT, PARAM_UP_BIAS, config->biases & BIAS_MLP, layer,
		   up_rows, c);
	add_linear(layout, PARAM_DOWN_WEIGHT, PARAM_DOWN_BIAS, config->biases & BIAS_MLP, layer, c,
		   f);
	if (config_has_post_norm(config))
		add_stream_norm(layout, config, PARAM_POST_NORM2_SCALE, layer);
}

static void add_head(struct param_layout *layout, const struct model_config *config,
		     bool has_score_bias)
{
	int w = config->n_embedding;

	if (config->head == HEAD_SCORE) {
		add_linear(layout, PARAM_SCORE_WEIGHT, PARAM_SCORE_BIAS, has_score_bias, -1,
			   config->n_labels, w);
		return;
	}
	if (!config->tied)
		pack_too(layout, add_matrix(layout, PARAM_LM_HEAD, -1, config->n_vocab, w));
	if (config->biases & BIAS_HEAD)
		add_vector(layout, PARAM_LM_HEAD_BIAS, -1, config->n_vocab);
}

/* The matrices between embedding and residual stream, where their widths differ. */
static void add_projection(struct param_layout *layout, const struct model_config *config,
			   enum param_id id, int rows, int cols)
{
	if (config->n_embedding != config->n_channels)
		pack_too(layout, add_matrix(layout, id, -1, rows, cols));
}

void param_layout_init(struct param_layout *layout, const struct model_config *config,
		       bool has_score_bias)
{
	size_t n_index = ((size_t)config->n_layers + 1) * PARAM_COUNT;
	struct param *embedding;

	*layout = (struct param_layout){.n_layers = config->n_layers};
	layout->items = xcalloc(n_index, sizeof *layout->items);
	layout->index = xmalloc(n_index * sizeof *layout->index);
	for (size_t i = 0; i < n_index; i++)
		layout->index[i] = -1;
	embedding =
		add_matrix(layout, PARAM_TOKEN_EMBEDDING, -1, config->n_vocab, config->n_embedding);
	if (config->tied && config->head == HEAD_LM)
		pack_too(layout, embedding);
	if (config->position == POSITION_LEARNED)
		add_matrix(layout, PARAM_POSITION_EMBEDDING, -1,
			   config->position_offset + config->max_positions, config->n_channels);
	add_projection(layout, config, PARAM_PROJECT_IN, config->n_channels, config->n_embedding);
	for (int layer = 0; layer < config->n_layers; layer++)
		add_layer(layout, config, layer);
	if (config->has_final_norm)
		add_stream_norm(layout, config, PARAM_FINAL_SCALE, -1);
	add_projection(layout, config, PARAM_PROJECT_OUT, config->n_embedding, config->n_channels);
	add_head(layout, config, has_score_bias);
	layout->n_weights = layout->n_floats;
}

void param_layout_freeze(struct param_layout *layout)
{
	layout->n_floats = 0;
	for (int i = 0; i < layout->n; i++) {
		struct param *param = &layout->items[i];
		bool is_packed = param->packed_offset != SIZE_MAX;

		param->offset = is_packed ? SIZE_MAX : layout->n_floats;
		if (!is_packed)
			layout->n_floats +=
				param_aligned((size_t)param->rows * (size_t)param->cols);
	}
}

void param_layout_release(struct param_layout *layout)
{
	free(layout->items);
	free(layout->index);
	*layout = (struct param_layout){0};
}

const struct param *param_find(const struct param_layout *layout, enum param_id id, int layer)
{
	int i;

	ASSERT(layer >= -1 && layer < layout->n_layers);
	i = *index_slot(layout, id, layer);
	return i < 0 ? NULL : &layout->items[i];
}

static const char *const names[PARAM_COUNT] = {
	[PARAM_TOKEN_EMBEDDING] = "token_embedding",
	[PARAM_POSITION_EMBEDDING] = "position_embedding",
	[PARAM_NORM1_SCALE] = "norm1.scale",
	[PARAM_NORM1_SHIFT] = "norm1.shift",
	[PARAM_QKV_WEIGHT] = "qkv.weight",
	[PARAM_QKV_BIAS] = "qkv.bias",
	[PARAM_O_WEIGHT] = "o.weight",
	[PARAM_O_BIAS] = "o.bias",
	[PARAM_NORM2_SCALE] = "norm2.scale",
	[PARAM_NORM2_SHIFT] = "norm2.shift",
	[PARAM_UP_WEIGHT] = "up.weight",
	[PARAM_UP_BIAS] = "up.bias",
	[PARAM_DOWN_WEIGHT] = "down.weight",
	[PARAM_DOWN_BIAS] = "down.bias",
	[PARAM_FINAL_SCALE] = "final.scale",
	[PARAM_FINAL_SHIFT] = "final.shift",
	[PARAM_LM_HEAD] = "lm_head",
	[PARAM_SCORE_WEIGHT] = "score.weight",
	[PARAM_SCORE_BIAS] = "score.bias",
	[PARAM_PROJECT_IN] = "project_in",
	[PARAM_PROJECT_OUT] = "project_out",
	[PARAM_Q_NORM_SCALE] = "q_norm.scale",
	[PARAM_Q_NORM_SHIFT] = "q_norm.shift",
	[PARAM_K_NORM_SCALE] = "k_norm.scale",
	[PARAM_K_NORM_SHIFT] = "k_norm.shift",
	[PARAM_POST_NORM1_SCALE] = "post_norm1.scale",
	[PARAM_POST_NORM1_SHIFT] = "post_norm1.shift",
	[PARAM_POST_NORM2_SCALE] = "post_norm2.scale",
	[PARAM_POST_NORM2_SHIFT] = "post_norm2.shift",
	[PARAM_LM_HEAD_BIAS] = "lm_head.bias",
};

void param_name(const struct param *param, char name[static PARAM_NAME_BYTES])
{
	if (param->name) {
		snprintf(name, PARAM_NAME_BYTES, "%s", param->name);
		return;
	}
	if (!names[param->id])
		die("parameter %d has no name", (int)param->id);
	if (param->layer < 0)
		snprintf(name, PARAM_NAME_BYTES, "%s", names[param->id]);
	else
		snprintf(name, PARAM_NAME_BYTES, "layers.%d.%s", param->layer, names[param->id]);
}

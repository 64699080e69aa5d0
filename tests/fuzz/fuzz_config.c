/* Any bytes as a config.json: what is accepted is a model that can be laid out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/model/hf_checkpoint.h"
#include "common/ops/attention.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool is_id(int32_t id, const struct model_config *config)
{
	return id >= -1 && id < config->n_vocab;
}

static void check(const struct model_config *config)
{
	struct param_layout layout;

	require(config->family && config->n_layers > 0 && config->n_channels > 0);
	require(config->n_kv_heads > 0 && config->n_heads % config->n_kv_heads == 0);
	require(config->head_dim > 0 && config->head_dim <= ATTENTION_MAX_HEAD_DIM);
	require(config->rotary_dim % 2 == 0 && config->rotary_dim <= config->head_dim);
	require(config->rotary_dim == config->rotary_width + config->rotary_width % 2);
	require(config->max_positions > 0 && config->norm_eps >= 0);
	require((config->head == HEAD_SCORE) == (config->n_labels > 0));
	require(is_id(config->bos_id, config) && is_id(config->eos_id, config) &&
		is_id(config->pad_id, config));
	param_layout_init(&layout, config, false);
	require(layout.n_floats >= (size_t)config->n_vocab * (size_t)config->n_embedding);
	param_layout_release(&layout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_config config;
	struct error err = {""};

	if (hf_parse_config(&config, (const char *)data, size, "input", &err) == STATUS_OK)
		check(&config);
	else
		require(strncmp(err.text, "input", 5) == 0);
	return 0;
}

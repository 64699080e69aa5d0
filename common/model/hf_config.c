/* config.json to struct model_config: both dialects of the keys (transformers 4 and
 * 5), defaults of the classes, and every check before anything is allocated. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_families.h"
#include "common/model/hf_head.h"
#include "common/ops/attention.h"

enum {
	MAX_CONFIG_BYTES = 1 << 24,
	MAX_DIMENSION = 1 << 22,
	MAX_LAYERS = 4096,
	MAX_LABELS = 1 << 16,
	MAX_POSITIONS = 1 << 20 /* bounds the table of rotary angles */
};

/* Where we are, for messages. */
struct reader {
	const struct json *root;
	const char *where;
	struct error *err;
};

static const struct json *present(const struct json *object, const char *key)
{
	const struct json *value = json_get(object, key);

	return value && json_type(value) != JSON_NULL ? value : NULL;
}

/* A whole number in [min, max]; missing or null: fallback. */
static enum status get_int(const struct reader *r, const char *key, int64_t fallback, int64_t min,
			   int64_t max, int *out)
{
	const struct json *value = key ? present(r->root, key) : NULL;
	int64_t n = fallback;

	if (value && (!json_int64(value, &n) || n < min || n > max))
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %s is not a whole number from %lld to %lld", r->where, key,
				 (long long)min, (long long)max);
	*out = (int)n;
	return STATUS_OK;
}

static enum status get_positive(const struct reader *r, const struct json *object, const char *key,
				double fallback, double *out)
{
	const struct json *value = present(object, key);

	*out = value ? json_number(value) : fallback;
	if ((value && json_type(value) != JSON_NUMBER) || !isnormal((float)*out) || *out <= 0)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %s is not a number above 0 in the range of float", r->where,
				 key);
	return STATUS_OK;
}

static enum status get_bool(const struct reader *r, const char *key, bool fallback, bool *out)
{
	const struct json *value = present(r->root, key);

	if (value && json_type(value) != JSON_BOOL)
		return error_set(r->err, STATUS_BAD_INPUT, "%s: %s is %s, expected true or false",
				 r->where, key, json_type_name(value));
	*out = value ? json_bool(value) : fallback;
	return STATUS_OK;
}

static const char *string_or_null(const struct json *value)
{
	return value && json_type(value) == JSON_STRING ? json_string(value, NULL) : NULL;
}

static enum status check_type(const struct reader *r, const struct json *value, const char *key,
			      enum json_type type, const char *expected)
{
	if (!value || json_type(value) == type)
		return STATUS_OK;
	return error_set(r->err, STATUS_BAD_INPUT, "%s: %s is %s, expected %s", r->where, key,
			 json_type_name(value), expected);
}

/* --- parts --- */

static enum status read_family(const struct reader *r, struct model_config *config)
{
	const struct json *architectures = present(r->root, "architectures");
	const char *architecture = architectures ? string_or_null(json_first(architectures)) : NULL;
	const char *type = string_or_null(present(r->root, "model_type"));

	if (present(r->root, "quantization_config"))
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: quantization_config: quantised checkpoints are not supported",
				 r->where);
	if (architecture)
		config->family = hf_family_of_architecture(architecture);
	if (config->family && type && strcmp(type, config->family->model_type) != 0)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: model_type is \"%.60s\", which is not that of "
				 "architectures (%s), \"%s\"",
				 r->where, type, architecture, config->family->model_type);
	if (!config->family && type)
		config->family = hf_family_find(type);
	if (!config->family)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: model_type \"%.60s\" (%.80s) is not a supported family; "
				 "supported: gpt2, llama, mistral, qwen2",
				 r->where, type ? type : "", architecture ? architecture : "none");
	config->head = architecture && hf_head_is_scorer(architecture) ? HEAD_SCORE : HEAD_LM;
	return STATUS_OK;
}

static enum status read_dimensions(const struct reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	const struct hf_keys *keys = family->keys;
	const char *positions = keys->positions_alias && !present(r->root, keys->positions)
					? keys->positions_alias
					: keys->positions;
	enum status status;
	double eps;

	if ((status = get_int(r, keys->hidden, keys->default_hidden, 1, MAX_DIMENSION,
			      &config->n_channels)) != STATUS_OK ||
	    (status = get_int(r, keys->layers, keys->default_layers, 1, MAX_LAYERS,
			      &config->n_layers)) != STATUS_OK ||
	    (status = get_int(r, keys->heads, keys->default_heads, 1, MAX_DIMENSION,
			      &config->n_heads)) != STATUS_OK ||
	    (status = get_int(r, keys->ff,
			      keys->default_ff ? keys->default_ff : 4 * config->n_channels, 1,
			      MAX_DIMENSION, &config->n_ff)) != STATUS_OK ||
	    (status = get_int(r, positions, keys->default_positions, 1, MAX_POSITIONS,
			      &config->max_positions)) != STATUS_OK ||
	    (status = get_int(r, "vocab_size", keys->default_vocab, 1, MAX_DIMENSION,
			      &config->n_vocab)) != STATUS_OK ||
	    (status = get_positive(r, r->root, keys->eps, keys->default_eps, &eps)) != STATUS_OK)
		return status;
	config->norm_eps = (float)eps;
	return get_bool(r, "tie_word_embeddings", family->ties_by_default, &config->tied);
}

static enum status read_heads(const struct reader *r, struct model_config *config)
{
	const char *kv_key = config->family->has_kv_heads ? "num_key_value_heads" : NULL;
	const char *dim_key = config->family->has_kv_heads ? "head_dim" : NULL;
	bool is_whole = config->n_channels % config->n_heads == 0;
	int kv_heads = config->n_heads;
	enum status status;

	/* The class's default is for a missing key; null means as many as heads. */
	if (kv_key && !json_get(r->root, kv_key) && config->family->keys->default_kv_heads)
		kv_heads = config->family->keys->default_kv_heads;
	status = get_int(r, kv_key, kv_heads, 1, config->n_heads, &config->n_kv_heads);
	if (status == STATUS_OK)
		status = get_int(r, dim_key, is_whole ? config->n_channels / config->n_heads : 0, 1,
				 MAX_DIMENSION, &config->head_dim);
	if (status != STATUS_OK)
		return status;
	if (config->head_dim == 0)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %s is %d, not a multiple of the %d heads", r->where,
				 config->family->keys->hidden, config->n_channels, config->n_heads);
	if (config->head_dim > ATTENTION_MAX_HEAD_DIM)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: a head has %d elements, at most %d are supported", r->where,
				 config->head_dim, ATTENTION_MAX_HEAD_DIM);
	if (config->n_heads % config->n_kv_heads != 0)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %d query heads are not a multiple of %d key/value heads",
				 r->where, config->n_heads, config->n_kv_heads);
	if ((int64_t)config->n_heads * config->head_dim > MAX_DIMENSION)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %d heads of %d elements are too many", r->where,
				 config->n_heads, config->head_dim);
	config->attention_scale = (float)(1 / sqrt((double)config->head_dim));
	return STATUS_OK;
}

static enum status read_activation(const struct reader *r, struct model_config *config)
{
	static const struct {
		const char *name;
		enum activation activation;
	} known[] = {
		{"gelu", ACTIVATION_GELU},
		{"gelu_new", ACTIVATION_GELU_TANH},
		{"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
		{"silu", ACTIVATION_SILU},
		{"swish", ACTIVATION_SILU},
		{"relu", ACTIVATION_RELU},
	};
	const struct hf_keys *keys = config->family->keys;
	const struct json *value = present(r->root, keys->activation);
	const char *name = value ? string_or_null(value) : keys->default_activation;
	enum status status = check_type(r, value, keys->activation, JSON_STRING, "a string");

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].name, name) == 0) {
			config->activation = known[i].activation;
			return STATUS_OK;
		}
	return error_set(r->err, STATUS_BAD_INPUT, "%s: %s is \"%.60s\", which is not supported",
			 r->where, keys->activation, name);
}

static enum status read_biases(const struct reader *r, struct model_config *config)
{
	bool attention = false, mlp = false;
	enum status status = STATUS_OK;

	config->biases = config->family->biases;
	if (!config->family->has_bias_keys)
		return STATUS_OK;
	status = get_bool(r, "attention_bias", false, &attention);
	if (status == STATUS_OK)
		status = get_bool(r, "mlp_bias", false, &mlp);
	config->biases |= (attention ? BIAS_QKV | BIAS_O : 0U) | (mlp ? BIAS_MLP : 0U);
	return status;
}

/* Refuses scaled rotary positions and those that differ by layer, in either dialect. */
static enum status check_rope_type(const struct reader *r, const struct json *scaling,
				   const char *key)
{
	const struct json *type = present(scaling, "rope_type");
	enum status status = check_type(r, scaling, key, JSON_OBJECT, "an object");

	if (!type)
		type = present(scaling, "type");
	if (status == STATUS_OK)
		status = check_type(r, type, key, JSON_STRING, "a type that is a string");
	if (status != STATUS_OK || !scaling)
		return status;
	for (const struct json *item = json_first(scaling); item; item = json_next(item))
		if (json_type(item) == JSON_OBJECT)
			return error_set(r->err, STATUS_BAD_INPUT,
					 "%s: %s.%.40s: positions by kind of layer are not "
					 "supported",
					 r->where, key, json_key(item));
	if (!type || strcmp(json_string(type, NULL), "default") == 0)
		return STATUS_OK;
	return error_set(r->err, STATUS_BAD_INPUT,
			 "%s: %s of type \"%.40s\" is not supported, expected \"default\"",
			 r->where, key, json_string(type, NULL));
}

/* A number of the rotary positions: in the object if it is there, else beside it. */
static enum status get_rotary(const struct reader *r, const struct json *parameters,
			      const char *key, double fallback, double *out)
{
	return get_positive(r, present(parameters, key) ? parameters : r->root, key, fallback, out);
}

static enum status read_rotary(const struct reader *r, struct model_config *config)
{
	const struct json *parameters = present(r->root, "rope_parameters");
	const struct json *scaling = present(r->root, "rope_scaling");
	double fraction = 1;
	enum status status;

	if (config->family->position != POSITION_ROTARY)
		return STATUS_OK;
	status = check_rope_type(r, scaling, "rope_scaling");
	if (status == STATUS_OK)
		status = check_rope_type(r, parameters, "rope_parameters");
	if (scaling) /* as transformers 5 does where both are there */
		parameters = scaling;
	if (status == STATUS_OK)
		status = get_rotary(r, parameters, "rope_theta", 10000, &config->rope_theta);
	if (status == STATUS_OK)
		status = get_rotary(r, parameters, "partial_rotary_factor", 1, &fraction);
	if (status != STATUS_OK)
		return status;
	/* These families rotate whole heads: transformers ignores a fraction there. */
	if (fraction != 1)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: partial_rotary_factor is %g, expected 1", r->where, fraction);
	config->rotary_dim = config->head_dim;
	if (config->rotary_dim % 2 != 0)
		return error_set(
			r->err, STATUS_BAD_INPUT,
			"%s: %d rotary elements of a head, expected an even number above 0",
			r->where, config->rotary_dim);
	return STATUS_OK;
}

static enum status read_options(const struct reader *r, struct model_config *config)
{
	bool scale_weights = true, inverse_layer = false;
	enum status status = STATUS_OK;

	if (strcmp(config->family->model_type, "gpt2") == 0) {
		status = get_bool(r, "scale_attn_weights", true, &scale_weights);
		if (status == STATUS_OK)
			status = get_bool(r, "scale_attn_by_inverse_layer_idx", false,
					  &inverse_layer);
		if (!scale_weights)
			config->attention_scale = 1;
		if (status == STATUS_OK && inverse_layer)
			status = error_set(r->err, STATUS_BAD_INPUT,
					   "%s: scale_attn_by_inverse_layer_idx is not supported",
					   r->where);
	}
	return status;
}

/* Sequences are kept within a sliding window, where it hides nothing. */
static enum status read_window(const struct reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	bool is_missing = !json_get(r->root, "sliding_window"), is_used = true;
	int window = 0;
	enum status status = STATUS_OK;

	if (!family->has_window)
		return STATUS_OK;
	if (family->has_window_switch)
		status = get_bool(r, "use_sliding_window", false, &is_used);
	if (status == STATUS_OK)
		status = get_int(r, "sliding_window", is_missing ? family->keys->default_window : 0,
				 0, INT32_MAX, &window);
	if (status == STATUS_OK && is_used && window > 0 && window < config->max_positions) {
		config->max_positions = window;
		config->has_window = true;
	}
	return status;
}

/* An id of the vocabulary, or -1: none, or one that can never match. */
static int32_t read_id(const struct reader *r, const char *key, int n_vocab)
{
	const struct json *value = present(r->root, key);
	int64_t id = -1;

	if (value && json_type(value) == JSON_ARRAY)
		value = json_first(value);
	if (!value || !json_int64(value, &id) || id < 0)
		return -1;
	if (id < n_vocab)
		return (int32_t)id;
	log_warn("%s: %s is %lld, outside the vocabulary of %d: it never matches", r->where, key,
		 (long long)id, n_vocab);
	return -1;
}

static enum status read_labels(const struct reader *r, struct model_config *config)
{
	const struct json *labels = present(r->root, "id2label");
	enum status status = check_type(r, labels, "id2label", JSON_OBJECT, "an object");

	if (config->head != HEAD_SCORE || status != STATUS_OK)
		return status;
	if (!labels)
		return get_int(r, "num_labels", 2, 1, MAX_LABELS, &config->n_labels);
	if (json_count(labels) < 1 || json_count(labels) > MAX_LABELS)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: id2label has %zu labels, expected 1 to %d", r->where,
				 json_count(labels), MAX_LABELS);
	config->n_labels = (int)json_count(labels);
	return STATUS_OK;
}

enum status hf_parse_config(struct model_config *config, const char *text, size_t length,
			    const char *where, struct error *err)
{
	struct json *root = json_parse(text, length, where, err);
	struct reader r = {.root = root, .where = where, .err = err};
	enum status status = STATUS_BAD_INPUT;

	*config = (struct model_config){0};
	if (root && json_type(root) != JSON_OBJECT)
		error_set(err, STATUS_BAD_INPUT, "%s: %s, expected an object", where,
			  json_type_name(root));
	else if (root)
		status = read_family(&r, config);
	if (status != STATUS_OK) {
		json_free(root);
		return status;
	}
	config->norm = config->family->norm;
	config->position = config->family->position;
	config->mlp = config->family->mlp;
	if ((status = read_dimensions(&r, config)) == STATUS_OK &&
	    (status = read_heads(&r, config)) == STATUS_OK &&
	    (status = read_activation(&r, config)) == STATUS_OK &&
	    (status = read_biases(&r, config)) == STATUS_OK &&
	    (status = read_rotary(&r, config)) == STATUS_OK &&
	    (status = read_options(&r, config)) == STATUS_OK &&
	    (status = read_window(&r, config)) == STATUS_OK)
		status = read_labels(&r, config);
	config->bos_id = read_id(&r, "bos_token_id", config->n_vocab);
	config->eos_id = read_id(&r, "eos_token_id", config->n_vocab);
	config->pad_id = read_id(&r, "pad_token_id", config->n_vocab);
	json_free(root);
	return status;
}

enum status hf_read_config_text(struct buf *text, const char *dir, struct error *err)
{
	char *path = path_join(dir, "config.json");
	struct buf whole = BUF_INIT;
	size_t begin, end;
	enum status status = file_read(path, MAX_CONFIG_BYTES, &whole, err);
	struct json *root =
		status == STATUS_OK ? json_parse(whole.data, whole.length, path, err) : NULL;
	const struct json *base = json_get(root, "base_config");

	if (base && json_type(base) == JSON_OBJECT) {
		json_find_member(whole.data, whole.length, "base_config", &begin, &end);
		buf_append(text, whole.data + begin, end - begin);
		buf_append_char(text, '\n');
	} else if (root) {
		buf_append(text, whole.data, whole.length);
	}
	status = root ? STATUS_OK : STATUS_BAD_INPUT;
	json_free(root);
	buf_release(&whole);
	free(path);
	return status;
}

enum status hf_read_config(struct model_config *config, const char *dir, struct error *err)
{
	char *path = path_join(dir, "config.json");
	struct buf text = BUF_INIT;
	enum status status = hf_read_config_text(&text, dir, err);

	if (status == STATUS_OK)
		status = hf_parse_config(config, text.data, text.length, path, err);
	buf_release(&text);
	free(path);
	return status;
}

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
#include "common/model/hf_reader.h"
#include "common/ops/attention.h"

enum { MAX_CONFIG_BYTES = 1 << 24, MAX_DIMENSION = 1 << 22, MAX_LABELS = 1 << 16 };

/* --- the family and its dimensions --- */

static enum status refuse_architecture(const struct hf_reader *r, const struct hf_family *family,
				       const char *architecture)
{
	return error_set(r->err, STATUS_BAD_INPUT, "%s: architectures has %.80s, expected %s or %s",
			 r->where, architecture, family->lm_architecture,
			 family->score_architecture);
}

/* architectures is a list of names or null, model_type a name or null. */
static enum status check_class_types(const struct hf_reader *r)
{
	const struct json *list = json_given(r->root, "architectures");
	const struct json *type = json_given(r->root, "model_type");

	if (list && json_type(list) != JSON_ARRAY)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: architectures is %s, expected a list of names", r->where,
				 json_type_name(list));
	for (const struct json *name = json_first(list); name; name = json_next(name))
		if (json_type(name) != JSON_STRING)
			return error_set(r->err, STATUS_BAD_INPUT,
					 "%s: architectures has %s, expected a name", r->where,
					 json_type_name(name));
	if (type && json_type(type) != JSON_STRING)
		return error_set(r->err, STATUS_BAD_INPUT, "%s: model_type is %s, expected a name",
				 r->where, json_type_name(type));
	return STATUS_OK;
}

static enum status read_family(const struct hf_reader *r, struct model_config *config)
{
	const struct json *architectures = json_given(r->root, "architectures");
	const char *architecture =
		architectures ? json_string_or_null(json_first(architectures)) : NULL;
	const char *type = json_string_or_null(json_given(r->root, "model_type"));
	const struct hf_family *named =
		architecture ? hf_family_of_architecture(architecture) : NULL;
	const struct hf_family *family = type ? hf_family_find(type) : named;
	char supported[200];

	if (check_class_types(r) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (json_given(r->root, "quantization_config"))
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: quantization_config: quantised checkpoints are not supported",
				 r->where);
	if (named && type && named != family)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: model_type is \"%.60s\", which is not that of "
				 "architectures (%s), \"%s\"",
				 r->where, type, architecture, named->model_type);
	hf_family_list(supported, sizeof supported);
	if (!family)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: model_type \"%.60s\" (%.80s) is not a supported family; "
				 "supported: %s",
				 r->where, type ? type : "", architecture ? architecture : "none",
				 supported);
	if (architecture && !named && !hf_head_is_scorer(architecture))
		return refuse_architecture(r, family, architecture);
	config->family = family;
	config->head = architecture && hf_head_is_scorer(architecture) ? HEAD_SCORE : HEAD_LM;
	return STATUS_OK;
}

/* Refuses two names of one number that say different things: transformers would take the
 * second, other readers the first. */
static enum status check_names(const struct hf_reader *r, const struct hf_count *count)
{
	const char *a = count->keys[0], *b = count->keys[1];
	int64_t x, y;

	if (!b || !json_int64(json_given(r->root, a), &x) ||
	    !json_int64(json_given(r->root, b), &y) || x == y)
		return STATUS_OK;
	return error_set(r->err, STATUS_BAD_INPUT,
			 "%s: %s is %lld and %s is %lld, expected one number: they are two names of "
			 "it",
			 r->where, a, (long long)x, b, (long long)y);
}

/* By the first of a count's keys that is there. */
static enum status get_count(const struct hf_reader *r, const struct hf_count *count, int fallback,
			     int max, int *out)
{
	size_t n = sizeof count->keys / sizeof *count->keys, i = 0;
	enum status status = check_names(r, count);

	if (status != STATUS_OK)
		return status;
	while (i + 1 < n && count->keys[i + 1] && !json_given(r->root, count->keys[i]))
		i++;
	if (!json_given(r->root, count->keys[i]))
		i = 0;
	return hf_get_int(r, count->keys[i], fallback, 1, max, out);
}

static enum status read_dimensions(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	const struct hf_keys *keys = family->keys;
	double eps = keys->default_eps;
	enum status status;

	if ((status = get_count(r, &keys->hidden, keys->hidden.fallback, MAX_DIMENSION,
				&config->n_channels)) != STATUS_OK ||
	    (status = get_count(r, &keys->layers, keys->layers.fallback, MODEL_MAX_LAYERS,
				&config->n_layers)) != STATUS_OK ||
	    (status = get_count(r, &keys->heads, keys->heads.fallback, MAX_DIMENSION,
				&config->n_heads)) != STATUS_OK ||
	    (status = get_count(r, &keys->ff,
				keys->ff.fallback ? keys->ff.fallback : 4 * config->n_channels,
				MAX_DIMENSION, &config->n_ff)) != STATUS_OK ||
	    (status = get_count(r, &keys->positions, keys->positions.fallback, MODEL_MAX_POSITIONS,
				&config->max_positions)) != STATUS_OK ||
	    (status = hf_get_int(r, "vocab_size", keys->vocab, 1, MAX_DIMENSION,
				 &config->n_vocab)) != STATUS_OK)
		return status;
	if (keys->eps)
		status = hf_get_not_negative(r, r->root, keys->eps, keys->default_eps, &eps);
	config->norm_eps = (float)eps;
	config->n_embedding = config->n_channels;
	config->embedding_scale =
		family->scales_embedding ? (float)sqrt((double)config->n_channels) : 1;
	if (status != STATUS_OK)
		return status;
	return hf_get_bool(r, "tie_word_embeddings", family->ties_by_default, &config->tied);
}

static enum status read_heads(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	const struct hf_keys *keys = family->keys;
	const char *kv_key = family->has_kv_heads ? "num_key_value_heads" : NULL;
	const char *dim_key = family->has_head_dim ? "head_dim" : NULL;
	bool is_whole = config->n_channels % config->n_heads == 0;
	int head_dim = is_whole ? config->n_channels / config->n_heads : 0;
	int kv_heads = config->n_heads;
	enum status status;

	/* A class's default is for a missing key; null means as many as heads. */
	if (kv_key && !json_get(r->root, kv_key) && keys->kv_heads)
		kv_heads = keys->kv_heads;
	if (dim_key && !json_get(r->root, dim_key) && keys->head_dim)
		head_dim = keys->head_dim;
	status = hf_get_int(r, kv_key, kv_heads, 1, config->n_heads, &config->n_kv_heads);
	if (status == STATUS_OK)
		status = hf_get_int(r, dim_key, head_dim, 1, MAX_DIMENSION, &config->head_dim);
	if (status != STATUS_OK)
		return status;
	if (config->head_dim == 0)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %s is %d, not a multiple of the %d heads", r->where,
				 keys->hidden.keys[0], config->n_channels, config->n_heads);
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

static enum status read_activation(const struct hf_reader *r, struct model_config *config)
{
	static const struct {
		const char *name;
		enum activation activation;
	} known[] = {
		{"gelu", ACTIVATION_GELU},
		{"gelu_python", ACTIVATION_GELU},
		{"gelu_new", ACTIVATION_GELU_TANH},
		{"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
		{"gelu_python_tanh", ACTIVATION_GELU_TANH},
		{"gelu_fast", ACTIVATION_GELU_TANH},
		{"gelu_accurate", ACTIVATION_GELU_TANH},
		{"silu", ACTIVATION_SILU},
		{"swish", ACTIVATION_SILU},
		{"quick_gelu", ACTIVATION_QUICK_GELU},
		{"sigmoid", ACTIVATION_SIGMOID},
		{"tanh", ACTIVATION_TANH},
		{"relu", ACTIVATION_RELU},
		{"relu2", ACTIVATION_RELU_SQUARED},
	};
	const struct hf_family *family = config->family;
	const struct hf_keys *keys = family->keys;
	const char *key = keys->activation, *name;
	const struct json *value = json_given(r->root, key);
	enum status status = hf_check_type(r, value, key, JSON_STRING, "a string");

	if (status != STATUS_OK)
		return status;
	name = value ? json_string_or_null(value) : keys->default_activation;
	if (family->means_tanh_gelu && strcmp(name, "gelu") == 0) /* as its first files do */
		name = keys->default_activation;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].name, name) == 0) {
			config->activation = known[i].activation;
			return STATUS_OK;
		}
	return error_set(r->err, STATUS_BAD_INPUT, "%s: %s is \"%.60s\", which is not supported",
			 r->where, key, name);
}

static enum status read_biases(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	bool attention = false, mlp = false;
	enum status status = STATUS_OK;

	if (family->has_attention_bias)
		status = hf_get_bool(r, "attention_bias", family->attention_bias, &attention);
	if (status == STATUS_OK && family->has_mlp_bias)
		status = hf_get_bool(r, "mlp_bias", false, &mlp);
	config->biases =
		family->biases | (attention ? BIAS_QKV | BIAS_O : 0U) | (mlp ? BIAS_MLP : 0U);
	return status;
}

/* --- options of single families --- */

static enum status read_gpt2_scales(const struct hf_reader *r, struct model_config *config)
{
	bool scales = true, has_cross_attention = false;
	enum status status = hf_get_bool(r, "scale_attn_weights", true, &scales);

	if (status == STATUS_OK)
		status = hf_get_bool(r, "scale_attn_by_inverse_layer_idx", false,
				     &config->scales_by_layer);
	if (status == STATUS_OK)
		status = hf_get_bool(r, "add_cross_attention", false, &has_cross_attention);
	if (status == STATUS_OK && has_cross_attention)
		status = error_set(r->err, STATUS_BAD_INPUT,
				   "%s: add_cross_attention is true, which is not supported",
				   r->where);
	if (!scales)
		config->attention_scale = 1;
	return status;
}

static enum status read_opt_options(const struct hf_reader *r, struct model_config *config)
{
	bool is_pre_norm = true, lacks_final_norm = false, has_biases = true;
	enum status status = hf_get_bool(r, "do_layer_norm_before", true, &is_pre_norm);

	if (status == STATUS_OK)
		status = hf_get_bool(r, "_remove_final_layer_norm", false, &lacks_final_norm);
	if (status == STATUS_OK)
		status = hf_get_bool(r, "enable_bias", true, &has_biases);
	if (status == STATUS_OK)
		status = hf_get_bool(r, "layer_norm_elementwise_affine", true,
				     &config->has_norm_weights);
	if (status == STATUS_OK)
		status = hf_get_int(r, "word_embed_proj_dim", config->n_channels, 1, MAX_DIMENSION,
				    &config->n_embedding);
	config->block = is_pre_norm ? BLOCK_PRE_NORM : BLOCK_POST_NORM;
	config->has_final_norm = is_pre_norm && !lacks_final_norm;
	config->biases = has_biases ? BIAS_QKV | BIAS_O | BIAS_MLP : 0;
	return status;
}

/* A cap on scores or logits: missing fallback, null none. */
static enum status get_cap(const struct hf_reader *r, const char *key, double fallback, float *out)
{
	double cap = 0;
	enum status status = STATUS_OK;

	if (!json_get(r->root, key))
		cap = fallback;
	else if (json_given(r->root, key))
		status = hf_get_positive(r, r->root, key, 1, &cap);
	*out = (float)cap;
	return status;
}

/* Refuses a model whose tokens attend to those behind them: a key that is not the causal
 * value.  null counts as false, as it does to transformers. */
static enum status check_direction(const struct hf_reader *r, const char *key, bool causal)
{
	const char *found = json_given(r->root, key) ? "false" : "null";
	bool value;
	enum status status = hf_get_bool(r, key, json_get(r->root, key) ? false : causal, &value);

	if (status == STATUS_OK && value != causal)
		status = error_set(r->err, STATUS_BAD_INPUT,
				   "%s: %s is %s, expected causal attention", r->where, key,
				   value ? "true" : found);
	return status;
}

static enum status read_gemma_options(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	double scalar = 256;
	enum status status = STATUS_OK;

	if (family->has_query_scalar) {
		status = hf_get_positive(r, r->root, "query_pre_attn_scalar", scalar, &scalar);
		config->attention_scale = (float)(1 / sqrt(scalar));
	}
	if (status == STATUS_OK && family->has_attention_cap)
		status = get_cap(r, "attn_logit_softcapping", 50, &config->attention_cap);
	if (status == STATUS_OK && family->has_logit_cap)
		status = get_cap(r, "final_logit_softcapping", family->logit_cap,
				 &config->logit_cap);
	if (status == STATUS_OK)
		status = check_direction(r, "use_bidirectional_attention", false);
	return status;
}

static enum status read_options(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	bool is_parallel = true;
	enum status status = STATUS_OK;

	config->has_head_norm = family->has_head_norm;
	config->head_norm = family->norm;
	if (family->has_head_norm_switch)
		status = hf_get_bool(r, "qk_layernorm", false, &config->has_head_norm);
	if (status == STATUS_OK && family->has_parallel_switch)
		status = hf_get_bool(r, "use_parallel_residual", true, &is_parallel);
	if (!is_parallel)
		config->block = BLOCK_PRE_NORM;
	if (status == STATUS_OK && family->has_gpt2_scales)
		status = read_gpt2_scales(r, config);
	if (status == STATUS_OK && family->has_opt_options)
		status = read_opt_options(r, config);
	if (status == STATUS_OK && family->scales_embedding)
		status = read_gemma_options(r, config);
	return status == STATUS_OK ? check_direction(r, "is_causal", true) : status;
}

/* --- windows --- */

static void set_window(struct model_config *config, int layer, bool has_window)
{
	if (has_window)
		config->windowed[layer / 64] |= (uint64_t)1 << (layer % 64);
}

/* The kind of each layer by name, in which every layer must have one. */
static enum status read_layer_types(const struct hf_reader *r, const struct json *types,
				    struct model_config *config)
{
	int layer = 0;

	if (json_type(types) != JSON_ARRAY)
		return hf_check_type(r, types, "layer_types", JSON_ARRAY, "a list");
	for (const struct json *item = json_first(types); item; item = json_next(item), layer++) {
		const char *type = json_string_or_null(item);
		bool is_sliding = type && strcmp(type, "sliding_attention") == 0;

		if (!is_sliding && (!type || strcmp(type, "full_attention") != 0))
			return error_set(r->err, STATUS_BAD_INPUT,
					 "%s: layer_types has \"%.40s\" for layer %d, expected "
					 "\"full_attention\" or \"sliding_attention\"",
					 r->where, type ? type : json_type_name(item), layer);
		if (layer < config->n_layers)
			set_window(config, layer, is_sliding);
	}
	if (layer != config->n_layers)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: layer_types has %d layers, expected %d", r->where, layer,
				 config->n_layers);
	return STATUS_OK;
}

/* The layers that have a window, if there is no list of their kinds. */
static enum status apply_window_rule(const struct hf_reader *r, struct model_config *config)
{
	enum hf_windows rule = config->family->windows;
	int first = 0, pattern = 6;
	enum status status = STATUS_OK;

	if (rule == WINDOWS_LATE)
		status = hf_get_int(r, "max_window_layers", 28, 0, INT32_MAX, &first);
	if (rule == WINDOWS_PATTERN)
		status = hf_get_int(r, "sliding_window_pattern", 6, 1, INT32_MAX, &pattern);
	if (rule == WINDOWS_SECOND)
		pattern = 2;
	for (int layer = 0; layer < config->n_layers && status == STATUS_OK; layer++)
		set_window(config, layer,
			   rule == WINDOWS_SECOND || rule == WINDOWS_PATTERN
				   ? (layer + 1) % pattern != 0
				   : config->window > 0 && layer >= first);
	return status;
}

static enum status read_windows(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	const struct json *types = json_given(r->root, "layer_types");
	bool is_missing = !json_get(r->root, "sliding_window"), is_used = true;
	enum status status = STATUS_OK;

	if (family->windows == WINDOWS_NONE)
		return STATUS_OK;
	if (family->windows == WINDOWS_LATE)
		status = hf_get_bool(r, "use_sliding_window", false, &is_used);
	if (status == STATUS_OK && is_used && (is_missing || json_given(r->root, "sliding_window")))
		status = hf_get_int(r, "sliding_window", family->keys->window, is_missing ? 0 : 1,
				    INT32_MAX, &config->window);
	if (status != STATUS_OK)
		return status;
	status = types && family->windows != WINDOWS_ALL ? read_layer_types(r, types, config)
							 : apply_window_rule(r, config);
	for (int layer = 0; layer < config->n_layers && status == STATUS_OK; layer++)
		if (config_has_window(config, layer) && config->window == 0)
			status = error_set(r->err, STATUS_BAD_INPUT,
					   "%s: layer %d has a sliding window, but sliding_window "
					   "is not there or not in use",
					   r->where, layer);
	return status;
}

/* --- ids and labels --- */

/* An id of the vocabulary, or -1: none, or one that can never match.  Of a list of end
 * ids the first; stop_ids.h reads them all. */
static enum status read_id(const struct hf_reader *r, const char *key, int fallback, int n_vocab,
			   int32_t *out)
{
	const struct json *value = json_given(r->root, key);
	int64_t id = json_get(r->root, key) ? -1 : fallback;

	*out = -1;
	if (value && json_type(value) == JSON_ARRAY)
		value = json_first(value);
	if (value && !json_int64(value, &id))
		return error_set(r->err, STATUS_BAD_INPUT, "%s: %s is %s, expected an id or null",
				 r->where, key,
				 json_type(value) == JSON_NUMBER ? "not a whole number"
								 : json_type_name(value));
	if (id >= 0 && id < n_vocab)
		*out = (int32_t)id;
	else if (id >= 0 && value)
		log_warn("%s: %s is %lld, outside the vocabulary of %d: it never matches", r->where,
			 key, (long long)id, n_vocab);
	return STATUS_OK;
}

/* The id that torch takes a negative index of padding for: counted from the end. */
static int32_t read_frozen(const struct hf_reader *r, int n_vocab)
{
	int64_t id;

	if (!json_int64(json_given(r->root, "pad_token_id"), &id) || id >= 0 || id < -n_vocab)
		return -1;
	return (int32_t)(n_vocab + id);
}

/* Of special tokens. */
static enum status read_ids(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_keys *keys = config->family->keys;
	int n_vocab = config->n_vocab;
	enum status status;

	if ((status = read_id(r, "bos_token_id", keys->bos, n_vocab, &config->bos_id)) !=
		    STATUS_OK ||
	    (status = read_id(r, "eos_token_id", keys->eos, n_vocab, &config->eos_id)) != STATUS_OK)
		return status;
	config->frozen_id = read_frozen(r, n_vocab);
	return read_id(r, "pad_token_id", keys->pad, n_vocab, &config->pad_id);
}

static enum status read_labels(const struct hf_reader *r, struct model_config *config)
{
	const struct json *labels = json_given(r->root, "id2label");
	enum status status = hf_check_type(r, labels, "id2label", JSON_OBJECT, "an object");

	if (config->head != HEAD_SCORE || status != STATUS_OK)
		return status;
	if (!labels)
		return hf_get_int(r, "num_labels", 2, 1, MAX_LABELS, &config->n_labels);
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
	struct hf_reader r = {.root = root, .where = where, .err = err};
	const struct hf_family *family;
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
	family = config->family;
	config->block = family->block;
	config->norm = family->norm;
	config->position = family->position;
	config->position_offset = family->position_offset;
	config->mlp = family->mlp;
	config->has_norm_weights = config->has_final_norm = true;
	config->freezes_pad = family->freezes_pad;
	if ((status = read_dimensions(&r, config)) == STATUS_OK &&
	    (status = read_heads(&r, config)) == STATUS_OK &&
	    (status = read_activation(&r, config)) == STATUS_OK &&
	    (status = read_biases(&r, config)) == STATUS_OK &&
	    (status = hf_read_rotary(&r, config)) == STATUS_OK &&
	    (status = read_options(&r, config)) == STATUS_OK &&
	    (status = read_windows(&r, config)) == STATUS_OK)
		status = read_ids(&r, config);
	if (status == STATUS_OK)
		status = read_labels(&r, config);
	json_free(root);
	return status;
}

/* Refuses a directory that holds an adapter alone. */
static enum status check_is_model(const char *dir, const char *path, struct error *err)
{
	char *adapter = path_join(dir, "adapter_config.json");
	enum status status = STATUS_OK;

	if (!file_exists(path) && file_exists(adapter))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: is an adapter, expected a model: an adapter goes beside its "
				   "base (lora.path, --adapter), or into it by rlhf merge",
				   dir);
	free(adapter);
	return status;
}

enum status hf_check_is_no_run(const char *dir, const char *expected, struct error *err)
{
	char *run = path_join(dir, "run.json"), *checkpoint = path_join(dir, "MANIFEST.json");
	enum status status = STATUS_OK;

	if (file_exists(run))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: is the directory of a run, expected %s: the run's result "
				   "is %s/final",
				   dir, expected, dir);
	else if (file_exists(checkpoint))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: is a checkpoint of a run, expected %s: that is %s/model",
				   dir, expected, dir);
	free(run);
	free(checkpoint);
	return status;
}

/* The member that describes the language model, where a config.json only wraps one: as the
 * TL;DR reproduction's does, and that of Gemma 3 with images.  NULL if it is the whole. */
static const char *wrapped_member(const struct json *root)
{
	const struct json *base = json_get(root, "base_config");
	const struct json *text = json_get(root, "text_config");
	const char *type = json_string_or_null(json_get(root, "model_type"));

	if (base && json_type(base) == JSON_OBJECT)
		return "base_config";
	if (type && strcmp(type, "gemma3") == 0 && text && json_type(text) == JSON_OBJECT)
		return "text_config";
	return NULL;
}

/* Members of the whole that its language model lacks, whose ids and labels they are. */
static enum status carry_over(struct buf *text, const struct json *whole, const struct json *inner,
			      struct error *err)
{
	static const char *const keys[] = {"eos_token_id", "id2label",	   "label2id",
					   "num_labels",   "problem_type", "pad_token_id"};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < sizeof keys / sizeof *keys && status == STATUS_OK; i++) {
		const struct json *value = json_given(whole, keys[i]);
		struct buf printed = BUF_INIT;

		if (!value || json_given(inner, keys[i]))
			continue;
		json_print(value, false, &printed);
		status = json_edit(text, keys[i], printed.data, err);
		buf_release(&printed);
	}
	return status;
}

/* sees_images: out, whether the text is that of a part alone. */
static enum status read_text(struct buf *text, const char *dir, bool *sees_images,
			     struct error *err)
{
	char *path = path_join(dir, "config.json");
	struct buf whole = BUF_INIT;
	size_t begin, end;
	struct json *root = NULL;
	const char *member;
	enum status status = check_is_model(dir, path, err);

	if (status == STATUS_OK)
		status = file_read(path, MAX_CONFIG_BYTES, &whole, err);
	if (status == STATUS_OK)
		root = json_parse(whole.data, whole.length, path, err);
	if (!root)
		status = STATUS_BAD_INPUT;
	else if (!json_get(root, "model_type") && !json_get(root, "architectures"))
		status = hf_check_is_no_run(dir, "a model", err);
	member = wrapped_member(root);
	*sees_images = member && strcmp(member, "text_config") == 0;
	if (status == STATUS_OK && member) {
		json_find_member(whole.data, whole.length, member, &begin, &end);
		buf_append(text, whole.data + begin, end - begin);
		buf_append_char(text, '\n');
		if (*sees_images)
			status = carry_over(text, root, json_get(root, member), err);
	} else if (status == STATUS_OK) {
		buf_append(text, whole.data, whole.length);
	}
	json_free(root);
	buf_release(&whole);
	free(path);
	return status;
}

enum status hf_read_config_text(struct buf *text, const char *dir, struct error *err)
{
	bool sees_images;

	return read_text(text, dir, &sees_images, err);
}

enum status hf_read_config(struct model_config *config, const char *dir, struct error *err)
{
	char *path = path_join(dir, "config.json");
	struct buf text = BUF_INIT;
	bool sees_images;
	enum status status = read_text(&text, dir, &sees_images, err);

	if (status == STATUS_OK)
		status = hf_parse_config(config, text.data, text.length, path, err);
	if (status == STATUS_OK)
		config->sees_images = sees_images;
	buf_release(&text);
	free(path);
	return status;
}

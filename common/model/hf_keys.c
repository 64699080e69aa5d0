/* Which keys a config.json of a family may have; see hf_keys.h. */
#include "common/model/hf_keys.h"

#include <stddef.h>
#include <string.h>

#include "common/base/die.h"
#include "common/model/hf_families.h"

/* Of every family: what is read, and what others note down. */
static const char *const common[] = {
	"model_type",
	"architectures",
	"vocab_size",
	"tie_word_embeddings",
	"bos_token_id",
	"eos_token_id",
	"pad_token_id",
	"is_causal",
	"id2label",
	"label2id",
	"num_labels",
	"problem_type",
	"_name_or_path",
	"transformers_version",
	"torch_dtype",
	"dtype",
	"use_cache",
	"return_dict",
	"output_attentions",
	"output_hidden_states",
	"gradient_checkpointing",
	"tokenizer_class",
	"task_specific_params",
	"finetuning_task",
	"prefix",
	"pretraining_tp",
	"reorder_and_upcast_attn",
	"classifier_dropout",
	"summary_type",
	"summary_use_proj",
	"summary_activation",
	"summary_proj_to_labels",
	"summary_first_dropout",
	"cache_implementation",
	"_attn_implementation_autoset",
	"_sliding_window_pattern",
	"_attn_implementation",
	"attn_implementation",
	"auto_map",
	"n_ctx",
	"max_sequence_length",
	"rotary",
	"unk_token_id",
	"sep_token_id",
	"decoder_start_token_id",
	"torchscript",
	"use_bfloat16",
};

/* Of families that have the flag. */
static const struct {
	size_t flag;
	const char *names[5];
} optional[] = {
	{offsetof(struct hf_family, has_kv_heads), {"num_key_value_heads"}},
	{offsetof(struct hf_family, has_head_dim), {"head_dim"}},
	{offsetof(struct hf_family, has_attention_bias), {"attention_bias"}},
	{offsetof(struct hf_family, has_mlp_bias), {"mlp_bias"}},
	{offsetof(struct hf_family, has_head_norm_switch), {"qk_layernorm"}},
	{offsetof(struct hf_family, has_query_scalar), {"query_pre_attn_scalar"}},
	{offsetof(struct hf_family, has_attention_cap), {"attn_logit_softcapping"}},
	{offsetof(struct hf_family, has_logit_cap), {"final_logit_softcapping"}},
	{offsetof(struct hf_family, scales_embedding), {"use_bidirectional_attention"}},
	{offsetof(struct hf_family, has_rotary_dim), {"rotary_dim"}},
	{offsetof(struct hf_family, has_local_rotary), {"rope_local_base_freq"}},
	{offsetof(struct hf_family, has_parallel_switch), {"use_parallel_residual"}},
	{offsetof(struct hf_family, has_gpt2_scales),
	 {"scale_attn_weights", "scale_attn_by_inverse_layer_idx", "add_cross_attention"}},
	{offsetof(struct hf_family, has_opt_options),
	 {"do_layer_norm_before", "_remove_final_layer_norm", "enable_bias",
	  "layer_norm_elementwise_affine", "word_embed_proj_dim"}},
};
enum { N_OPTIONAL = sizeof optional / sizeof *optional };

/* Of rotary positions, and the members of their objects. */
static const char *const rotary[] = {"rope_parameters", "rope_scaling", "partial_rotary_factor",
				     "original_max_position_embeddings", "head_dim"};
static const char *const rotary_members[] = {
	"rope_type",
	"type",
	"rope_theta",
	"factor",
	"partial_rotary_factor",
	"original_max_position_embeddings",
	"low_freq_factor",
	"high_freq_factor",
	"attention_factor",
	"beta_fast",
	"beta_slow",
	"mscale",
	"mscale_all_dim",
	"truncate",
	"short_factor",
	"long_factor",
	"full_attention",
	"sliding_attention",
};

/* Of windows, by rule. */
static const char *const windows[][4] = {
	[WINDOWS_ALL] = {"sliding_window"},
	[WINDOWS_LISTED] = {"sliding_window", "layer_types"},
	[WINDOWS_LATE] = {"sliding_window", "layer_types", "use_sliding_window",
			  "max_window_layers"},
	[WINDOWS_SECOND] = {"sliding_window", "layer_types"},
	[WINDOWS_PATTERN] = {"sliding_window", "layer_types", "sliding_window_pattern"},
};

static const char *const dropouts[] = {
	"attn_pdrop",	  "embd_pdrop", "resid_pdrop",	      "attention_dropout",
	"hidden_dropout", "dropout",	"activation_dropout", "layerdrop",
};

/* What no family here has. */
static const char *const absent[] = {
	"chunk_size_feed_forward",
	"is_decoder",
	"is_encoder_decoder",
	"quantization_config",
};

#define ADD(names, list) add(names, list, sizeof(list) / sizeof *(list))
#define HOLDS(list, name) holds(list, sizeof(list) / sizeof *(list), name)

static void add(struct hf_key_names *names, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n && list[i]; i++) {
		ASSERT(names->n < HF_MAX_KEYS);
		names->items[names->n++] = list[i];
	}
}

static bool holds(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n && list[i]; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static bool has_flag(const struct hf_family *family, size_t flag)
{
	return *(const bool *)((const char *)family + flag);
}

const char *hf_std_key(const struct hf_family *family)
{
	return family->has_opt_options ? "init_std" : "initializer_range";
}

static const struct hf_family *family_of(const struct json *config)
{
	const struct json *type = json_get(config, "model_type");
	const struct json *class = json_first(json_get(config, "architectures"));
	const struct hf_family *family = NULL;

	if (type && json_type(type) == JSON_STRING)
		family = hf_family_find(json_string(type, NULL));
	else if (class && json_type(class) == JSON_STRING)
		family = hf_family_of_architecture(json_string(class, NULL));
	return family;
}

static void add_of_family(struct hf_key_names *names, const struct hf_family *family)
{
	const struct hf_keys *keys = family->keys;
	const struct hf_count counts[] = {keys->hidden, keys->layers, keys->heads, keys->positions,
					  keys->ff};
	const char *const single[] = {keys->activation, keys->eps, keys->theta, keys->fraction,
				      hf_std_key(family)};

	ADD(names, common);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		ADD(names, counts[i].keys);
	for (size_t i = 0; i < sizeof single / sizeof *single; i++)
		add(names, &single[i], 1);
	for (size_t i = 0; i < N_OPTIONAL; i++)
		if (has_flag(family, optional[i].flag))
			ADD(names, optional[i].names);
	if (family->position == POSITION_ROTARY && !family->has_rotary_dim)
		ADD(names, rotary);
	ADD(names, windows[family->windows]);
}

bool hf_key_names(struct hf_key_names *names, const struct json *config)
{
	const struct hf_family *family = family_of(config);

	names->n = 0;
	if (family)
		add_of_family(names, family);
	return family != NULL;
}

void hf_rotary_key_names(struct hf_key_names *names)
{
	names->n = 0;
	ADD(names, rotary_members);
}

bool hf_key_names_hold(const struct hf_key_names *names, const char *name)
{
	return holds(names->items, names->n, name);
}

bool hf_key_is_dropout(const char *name)
{
	return HOLDS(dropouts, name);
}

bool hf_key_is_of_others(const char *name)
{
	if (HOLDS(absent, name) || HOLDS(rotary, name) || HOLDS(windows[WINDOWS_LATE], name))
		return true;
	for (size_t i = 0; i < N_OPTIONAL; i++)
		if (HOLDS(optional[i].names, name))
			return true;
	return false;
}

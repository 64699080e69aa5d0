/* A Hugging Face directory in and out.
 *
 * Loading refuses what it cannot represent, in one sentence: an unknown family,
 * quantised weights, a tensor missing, unexpected, misshaped or not finite.
 * Saving keeps config.json byte for byte but for what changed, copies tokenizer
 * files byte for byte, and publishes by rename. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/model/model.h"

/* How a family is stored; the table is in hf_families.c. */
struct hf_family;
const char *hf_family_name(const struct hf_family *family); /* "llama" */

/* Refuses a directory that a training keeps a result in, a run's or that of one of its
 * checkpoints, saying where the result is.  expected: "a model", "an adapter". */
enum status hf_check_is_no_run(const char *dir, const char *expected, struct error *err);
/* Appends the text of dir's config.json; of its base_config or text_config where it only
 * wraps a language model's, as that of the TL;DR reproduction or of Gemma 3 with images. */
enum status hf_read_config_text(struct buf *text, const char *dir, struct error *err);
/* Reads and checks config.json alone. */
enum status hf_read_config(struct model_config *config, const char *dir, struct error *err);
/* The same for a description in a run's config: {"family": "llama", ...} is the
 * text of a config.json. */
enum status hf_parse_config(struct model_config *config, const char *text, size_t length,
			    const char *where, struct error *err);

/* What to do about the head.  HEAD_LM: a causal language model is needed.
 * HEAD_SCORE: a model that has a score head is needed, of any dialect that
 * hf_head.h lists; if create_score, a causal language model will do and gets a
 * new head of n_labels (0: 1), Normal(0, 1/sqrt(C+1)) keyed by seed. */
struct hf_load_options {
	enum head_kind head;
	bool create_score;
	int n_labels;
	uint64_t seed;
	bool is_outline; /* model_create_outline, of tensors that are there */
};
/* The model that hf_load would load, without its weights. */
enum status hf_describe(struct model_config *config, const char *dir,
			const struct hf_load_options *options, struct error *err);
/* The model is packed and ready. */
enum status hf_load(struct model **model, const char *dir, const struct hf_load_options *options,
		    struct pool *pool, struct error *err);

/* Number of tensors of the model as a checkpoint stores them, and the i-th:
 * name, shape, and its elements copied out of a flat block (weights, gradients
 * or moments) in the stored order.  Used by saving, checkpoints and tests. */
int hf_tensor_count(const struct model *model);
struct hf_tensor {
	char name[160];
	int rank;
	int64_t shape[2];
	size_t n_elements;
};
void hf_tensor_describe(const struct model *model, int i, struct hf_tensor *tensor);
/* The parameter that it is, or is some rows of. */
const struct param *hf_tensor_param(const struct model *model, int i);
bool hf_tensor_is_transposed(const struct model *model, int i); /* stored [in, out] */
/* Its type in the checkpoint that the model came from. */
enum dtype hf_tensor_dtype(const struct model *model, int i);
void hf_tensor_gather(const struct model *model, int i, const float *block, float *out);
void hf_tensor_scatter(const struct model *model, int i, const float *in, float *block);
/* Into the array of its parameter [rows, cols] alone. */
void hf_tensor_place(const struct model *model, int i, const float *in, float *values,
		     struct pool *pool);
/* Whether it is rows [*row, *row + *rows) of its parameter, element by element. */
bool hf_tensor_is_straight(const struct model *model, int i, int *row, int *rows);

/* The linear layer inside the layers whose matrix the i-th tensor is: rows
 * [row, row + rows) of a parameter.  False if it is the matrix of none. */
struct hf_linear {
	char module[160]; /* "model.layers.0.self_attn.q_proj" */
	const struct param *param;
	int row, rows;
};
bool hf_linear_describe(const struct model *model, int i, struct hf_linear *linear);
/* Something of `cols` floats for each of those rows, between our order of them and the
 * stored one. */
void hf_linear_gather(const struct model *model, int i, const float *ours, int cols,
		      float *stored);
void hf_linear_scatter(const struct model *model, int i, const float *stored, int cols,
		       float *ours);

/* The type of the weights that are written. */
enum hf_save_as {
	HF_SAVE_LOADED, /* of each tensor that in the checkpoint which the model came from */
	HF_SAVE_F32,
	HF_SAVE_BF16,
	HF_SAVE_STATE, /* F32, for a run that goes on: config.json records what
			* HF_SAVE_LOADED means, and loading restores it */
};
bool hf_save_as_parse(const char *name, enum hf_save_as *as); /* loaded, f32, bf16 */
/* The type of one tensor that is written so. */
enum dtype hf_save_dtype(const struct model *model, int i, enum hf_save_as as);
/* Of config.json, by HF_SAVE_STATE: a type, and by name those of the tensors that have
 * another. */
#define HF_DTYPE_KEY "rlhf_dtype"
#define HF_DTYPES_KEY "rlhf_dtypes"

/* A whole directory, which replaces the one there was: config.json from source_dir's
 * with the changes in edits (pairs of key and JSON text, ended by NULL; keys set by
 * the model itself, architectures and labels, are added), model.safetensors or shards
 * of at most max_shard_bytes (0: 5 GB) and their index, tokenizer files copied from
 * tokenizer_dir (NULL: none), generation_config.json, which has end ids, from
 * generation_dir (NULL: tokenizer_dir).  config_text replaces
 * source_dir's config when the model was created from nothing; without either there is
 * no config.json.  Of a model with an adapter, PEFT's files stand for the weights.
 *
 * A directory that holds anything but a checkpoint is refused.  STATUS_FAILED if a
 * weight is not finite, or not once it is rounded.  On failure nothing has changed. */
struct hf_save_options {
	const char *source_dir;
	const char *config_text;
	const char *tokenizer_dir, *generation_dir;
	const char *const *edits;
	enum hf_save_as as;
	uint64_t max_shard_bytes;
};
enum status hf_save(const struct model *model, const char *dir,
		    const struct hf_save_options *options, struct error *err);
/* Whether hf_save may write there: refuses a file, and a directory that holds anything but a
 * checkpoint, which is somebody's; so it does for DIR.tmp and DIR.old, which hf_save takes. */
enum status hf_check_target(const char *dir, struct error *err);

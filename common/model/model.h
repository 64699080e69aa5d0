/* A model in memory: description, weights, and what its products need.
 *
 *     struct model *model = NULL;
 *     status = hf_load(&model, "dir", &options, pool, &err);      hf_checkpoint.h
 *     model_pack(model, pool);          where many products of few rows will follow
 *     model_destroy(model);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/pool.h"
#include "common/base/status.h"
#include "common/model/dtype.h"
#include "common/model/model_config.h"
#include "common/model/params.h"

struct lora;

/* How panels hold the weights of products.  WEIGHTS_BF16: each rounded to the nearest
 * bfloat16, in half the memory; arithmetic stays that of floats. */
enum weight_type { WEIGHTS_F32, WEIGHTS_BF16 };
/* f32 or bf16; NULL: f32. */
bool weight_type_parse(const char *name, enum weight_type *type);

struct model {
	struct model_config config;
	/* Of the checkpoint it came from, which saving keeps: that of all weights, and where they
	 * differ the one that config.json names, or else that of most, and [hf_tensor_count] that
	 * of each stored tensor; or NULL: they are all alike. */
	enum dtype dtype, *dtypes;
	struct param_layout layout;
	float *weights;	  /* [layout.n_floats], 64-byte aligned; NULL in an outline */
	/* [layout.n_floats]: what training changes and saving takes, where weights are
	 * these rounded; or NULL: the weights are that themselves. */
	float *masters;
	bool has_masters; /* of an outline, too */
	/* [layout.n_packed_floats] of panels in one of two types, or both NULL: products read
	 * weights. */
	float *packed;
	uint16_t *packed_bf16;
	bool is_frozen;	  /* weights lacks what is packed */
	float *memory;	  /* where weights and panels of a frozen model are, if they are its own */
	float *angles[2]; /* of rotary, local_rotary: [n_angles][rotary_dim] cos | sin; or NULL */
	int n_angles;	  /* positions of which they are kept; others are made when needed */
	float *ones;	  /* [C], for norms without weights; or NULL */
	bool recomputes;   /* training keeps the inputs of layers alone; see transformer.h */
	struct lora *lora; /* adapters, beside weights that are then frozen; owned, or NULL */
	bool is_shared;	   /* all but the adapters belongs to another model */
};

/* Weights are zero.  Nothing is packed: a model that is trained stays so. */
struct model *model_create(const struct model_config *config, bool has_score_bias);
/* One that nothing can be computed with, because it has no weights (nor has an adapter
 * that is attached to it): it says how large things are. */
struct model *model_create_outline(const struct model_config *config, bool has_score_bias);
/* For forward passes alone.  memory, aligned to 64 bytes, holds the flat block of the
 * frozen layout and panels of that type behind it; it is borrowed until model_destroy.
 * NULL: the model has its own, not yet filled. */
struct model *model_create_frozen(const struct model_config *config, bool has_score_bias,
				  enum weight_type type, float *memory);
/* Floats of memory that panels of a type take, and all of a frozen layout's. */
size_t model_panel_floats(const struct param_layout *layout, enum weight_type type);
size_t model_frozen_floats(const struct param_layout *layout, enum weight_type type);
void model_destroy(struct model *model); /* NULL is fine */
/* Another model with the same weights in the same memory, which must stay as they are
 * and outlive it; without adapters. */
struct model *model_share(const struct model *model);

/* The flat weights into panels beside them, which decoding wants.  model_repack after each
 * change of the weights: nothing where there are no panels. */
void model_pack(struct model *model, enum weight_type type, struct pool *pool);
void model_repack(struct model *model, struct pool *pool);
/* A frozen model's weights from a flat block of the layout that is not frozen. */
void model_fill(struct model *frozen, const struct param_layout *layout, const float *values,
		struct pool *pool);
/* Rounds the weights of products to bfloat16, which is what WEIGHTS_BF16 makes of them. */
void model_round(struct model *model, struct pool *pool);
/* Training goes on in float32 beside weights that are kept so rounded.  The model may be
 * an outline. */
void model_keep_masters(struct model *model, struct pool *pool);
/* What is saved: the masters, or the weights [layout.n_floats]. */
float *model_masters(const struct model *model);
/* 16 digits that tell what is saved, and what adapters hold, from anything else.  For models
 * that are neither frozen nor outlines. */
enum { MODEL_CHECKSUM_BYTES = 17 };
void model_checksum(const struct model *model, struct pool *pool, char sum[MODEL_CHECKSUM_BYTES]);
/* Rows [row, row + rows) of one of them from values, where row begins a panel. */
void model_pack_rows(struct model *model, const struct param *param, int row, int rows,
		     const float *values, struct pool *pool);
bool model_is_packed(const struct model *model);
/* A row of such a matrix, back from its panels into out [param->cols]. */
void model_unpack_row(const struct model *model, const struct param *param, int row, float *out);
/* One of them, if there are panels. */
void model_pack_param(struct model *model, const struct param *param, struct pool *pool);

/* y [T, N] = x [T, K] W^T + bias, from panels or flat weights: the same bits.  bias [N] or
 * NULL. */
void model_product(const struct model *model, const struct param *param, const float *x,
		   const float *bias, float *y, int t, struct pool *pool);

/* Of its own weights and adapters, packed ones too. */
size_t model_bytes(const struct model *model);
size_t model_adapter_bytes(const struct model *model); /* of these, the adapters' */

/* The flat block that training changes: the weights, or what the adapters hold. */
struct trained {
	const struct param_layout *layout;
	float *values; /* [layout->n_floats] */
};
struct trained model_trained(const struct model *model);
/* After a change of it, before the next forward pass: renews what is rounded or packed of
 * it. */
void model_pack_trained(struct model *model, struct pool *pool);
/* A parameter's place in a block of that layout; NULL if it is absent or frozen. */
float *model_gradient(const struct model *model, float *block, enum param_id id, int layer);
/* Normal(0, std) matrices and embeddings, residual projections divided by
 * sqrt(2 L), zero biases, unit norms; keyed by (seed, tensor, element). */
void model_init_random(struct model *model, uint64_t seed, double std);

/* Refuses sequences of n ids where a learned table of positions is shorter: where
 * names the model. */
enum status model_check_positions(const struct model_config *config, int n, const char *where,
				  struct error *err);
/* The longest sequence that a model serves: max_position_embeddings or, where a rotary
 * scaling stretches the original positions further, so many.  In Gemma 3, whose layers with
 * a window have angles of their own, max_position_embeddings counts the stretched ones.
 * Original are original_max_position_embeddings (never of a dynamic scaling), else
 * max_position_embeddings, which transformers' documentation wants as it was before: where a
 * checkpoint has stretched it and does not say so, the limit is too high by the factor. */
int model_position_limit(const struct model_config *config);
/* The longest sequence that can be generated.  Keys that were rotated for one length
 * cannot serve another, so angles that depend on the length set a bound of their own. */
int model_generation_limit(const struct model_config *config);
/* n positions, or as many as that limit leaves. */
int model_generation_length(const struct model_config *config, int64_t n);
/* What that bound is, to follow its number in a sentence: "positions". */
const char *model_limit_name(const struct model_config *config);

/* Refuses a model whose weights are larger than this machine's memory. */
enum status model_check_memory(const struct model_config *config, const char *where,
			       struct error *err);

/* View of one parameter inside a flat block of this layout; NULL if it is absent, or only
 * packed. */
float *model_view(const struct model *model, float *block, enum param_id id, int layer);

/* A model in memory: description, weights, and what its products need.
 *
 *     struct model *model = NULL;
 *     status = model_load(&model, "dir", HEAD_LM, pool, &err);    hf_checkpoint.h
 *     ... change model->weights ...
 *     model_pack(model, pool);                   before the next forward pass
 *     model_destroy(model);
 */
#pragma once

#include <stdint.h>

#include "common/base/pool.h"
#include "common/base/status.h"
#include "common/model/dtype.h"
#include "common/model/model_config.h"
#include "common/model/params.h"

struct model {
	struct model_config config;
	enum dtype dtype; /* of the checkpoint it came from, which saving keeps */
	struct param_layout layout;
	float *weights; /* [layout.n_floats], 64-byte aligned, owned */
	float *packed;	/* [layout.n_packed_floats], owned */
	float *rope;	/* cos | sin, [rope_positions][rotary_dim]; NULL if learned */
	int rope_positions;
};

/* Weights are zero.  The rope table covers max_positions. */
struct model *model_create(const struct model_config *config, bool has_score_bias);
void model_destroy(struct model *model); /* NULL is fine */
struct model *model_clone(const struct model *model, struct pool *pool);

/* The flat weights into the packed panels. */
void model_pack(struct model *model, struct pool *pool);
/* Normal(0, std) matrices and embeddings, residual projections divided by
 * sqrt(2 L), zero biases, unit norms; keyed by (seed, tensor, element). */
void model_init_random(struct model *model, uint64_t seed, double std);
/* Makes the rope table reach n positions (rotary models only). */
void model_ensure_positions(struct model *model, int n);

/* Makes room for sequences of n ids.  A learned table of positions cannot grow and a
 * sliding window cannot be left, so a shorter one is refused: where names the model. */
enum status model_reserve_positions(struct model *model, int n, const char *where,
				    struct error *err);

/* View of one parameter inside a flat block of this layout, NULL if absent. */
float *model_view(const struct model *model, float *block, enum param_id id, int layer);

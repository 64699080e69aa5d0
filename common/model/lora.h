/* Low-rank adapters beside frozen weights (LoRA; Hu et al. 2021):
 *
 *     y = x W^T + b + s (x A^T) B^T            A [r, in], B [out, r]
 *
 * A module is an adapted linear layer as the family stores it (q_proj, c_attn): some
 * rows of one of our matrices.  A and B of all modules, and copies of parameters that
 * are trained whole beside them (a score head), are one flat block: what is trained,
 * sent and saved.  hf_adapter.h reads and writes it as PEFT does.
 *
 * The products have the same order of sums in training, prefill and decode. */
#pragma once

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/model/model.h"

struct lora_module {
	const struct param *param; /* of the model: the frozen matrix */
	int tensor;		   /* its number among the stored tensors */
	int row, rows;		   /* columns of y that it adds to */
	int r;
	float scale;		      /* s */
	size_t a, b;		      /* A [r, in] and B [rows, r] in the flat block */
	size_t packed_a, packed_b;    /* and in the packed one */
	int low;		      /* the r of the modules before it in its layer, summed */
};

/* A parameter that is trained whole. */
struct lora_saved {
	const struct param *param; /* of the model */
	size_t at;		   /* in the flat block */
};

struct lora {
	struct param_layout layout; /* of the flat block; ids are PARAM_COUNT */
	float *values;		    /* [layout.n_floats] */
	float *packed;		    /* [layout.n_packed_floats]: s A and B */
	struct lora_module *modules;
	int n_modules;
	int *first;	 /* [n parameters of the model + 1] modules of each */
	int *low_width;	 /* [n_layers] the r of a layer's modules, summed */
	int n_layers;
	struct lora_saved *saved;
	int n_saved;
	uint64_t base_hash; /* of the weights before it was attached; learner/adapter.c sets it */
	struct buf config;  /* adapter_config.json */
};

/* What to adapt, by stored tensor: r and s of each linear layer's matrix (r 0: not
 * adapted), and which parameters are trained whole. */
struct lora_plan {
	int *r;		/* [hf_tensor_count] */
	float *scale;	/* [hf_tensor_count] */
	bool *is_saved; /* [hf_tensor_count] */
};
/* Gives the model adapters of zeros and copies of what is saved; an outline gets neither. */
void lora_attach(struct model *model, const struct lora_plan *plan);
void lora_destroy(struct lora *lora); /* NULL is fine */
/* Gives a model of the same kind but fewer layers the adapters of zeros and the copies that
 * the other's layers have. */
void lora_attach_like(struct model *model, const struct model *other);
/* A uniform within 1 / sqrt(in), keyed by (seed, tensor, element); B zero. */
void lora_init_random(struct model *model, uint64_t seed);
/* The flat block into panels, and what is saved into the model's weights. */
void lora_pack(struct model *model, struct pool *pool);
/* Adds the adapters to the model's weights and takes them away from it. */
void lora_merge(struct model *model, struct pool *pool);
/* The lowest layer that holds something trained: n_layers if none does, -1 if the
 * embedding does. */
int lora_first_layer(const struct lora *lora);
/* Where a parameter that is trained whole lies in a flat block; NULL if it is frozen. */
float *lora_gradient(const struct lora *lora, float *block, enum param_id id, int layer);

/* Floats a row that the modules of a layer keep; of the layer with the most, for -1. */
int lora_low_width(const struct lora *lora, int layer);
/* y [T, rows of param] += what the modules of param give for x [T, in].  low: of the
 * layer, [T, low width]; kept for backward. */
void lora_forward(const struct model *model, const struct param *param, const float *x, float *y,
		  float *low, int t, struct pool *pool);
/* dx += and grads, a flat block, += the gradient through them. */
void lora_backward(const struct model *model, const struct param *param, const float *dy,
		   const float *x, const float *low, float *dx, float *grads, int t,
		   struct arena *arena, struct pool *pool);
/* What lora_backward allocates, for an arena that counts. */
void lora_count_backward(const struct model *model, const struct param *param, int t,
			 struct arena *arena);

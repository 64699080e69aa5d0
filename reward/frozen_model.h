/* A frozen model of which the ranks of a node share one copy. */
#pragma once

#include "common/base/pool.h"
#include "common/model/model.h"
#include "proto/shared.h"

struct frozen_model {
	struct model *model;
	struct shared *memory;
	char identity[65]; /* of the weights, in hex; see hf_frozen.h */
};
/* The caller releases it in any case.  Ranks that read other weights than the first, or
 * other files beside them, are refused.  Collective over comm, on which all get the same status; comm NULL: a rank by itself. */
enum status frozen_model_load(struct frozen_model *frozen, struct comm *comm, const char *dir,
			      enum head_kind head, enum weight_type type, struct pool *pool,
			      struct error *err);
/* The same without weights, an outline, and the bytes that these would take.  The caller
 * destroys it. */
enum status frozen_model_outline(struct model **model, size_t *bytes, const char *dir,
				 enum head_kind head, enum weight_type type, struct error *err);
/* Where weights lie: each copy of a node is filled by one of its ranks. */
struct frozen_bytes {
	size_t filled; /* by this rank */
	size_t mapped; /* of another rank's */
};
/* Adds those of a model, which may not be loaded. */
void frozen_model_count(const struct frozen_model *frozen, struct frozen_bytes *bytes);
void frozen_model_release(struct frozen_model *frozen);

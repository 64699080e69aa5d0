/* What a checkpoint directory holds, and everything that is wrong with it: its
 * config.json, files, tensors and their values.  Weights are read in pieces and not kept,
 * so that a checkpoint larger than memory can be examined. */
#pragma once

#include "common/base/pool.h"
#include "common/model/hf_store.h"
#include "common/model/model_config.h"

struct hf_examination {
	struct model_config config; /* of the model that would be loaded */
	bool has_config;	    /* false: config.json is wrong, and nothing else is known */
	char head_name[160];	    /* the stored score head; "" if there is none */
	bool has_head_bias;
	size_t n_parameters;
	enum dtype dtype;      /* of most weights */
	struct hf_store store; /* files and tensors; empty if they could not be read */
	struct hf_problems problems, warnings; /* sentences */
};

/* Reads a tensor in pieces.  A value that is not finite is a problem; a matrix of nothing
 * but zeros deserves a warning (warnings may be NULL). */
void hf_examine_values(const struct tensor_view *view, struct hf_problems *warnings,
		       struct hf_problems *problems, struct pool *pool);
void hf_examine(struct hf_examination *found, const char *dir, struct pool *pool);
void hf_examination_release(struct hf_examination *found);

/* Frozen models: for forward passes alone, in memory that the caller gives and that others
 * may share.  Matrices that multiply are there as packed panels only, so that the memory
 * is that of the weights, or half of it where they are held in bfloat16.
 *
 *     hf_frozen_describe(&frozen, dir, head, type, &err);
 *     memory = ... hf_frozen_floats(&frozen), zero, aligned to 64 bytes ...
 *     hf_frozen_fill(&frozen, memory, pool, &err);       whoever fills it
 *     model = hf_frozen_model(&frozen, memory);          whoever reads it
 *     ... model_destroy(model), then release the memory ...
 */
#pragma once

#include "common/base/pool.h"
#include "common/model/hf_checkpoint.h"

struct hf_frozen {
	const char *dir; /* borrowed */
	enum head_kind head;
	enum weight_type type;
	struct model_config config;
	bool has_score_bias;
};
/* Checks all but the values: files, names, shapes, types. */
enum status hf_frozen_describe(struct hf_frozen *frozen, const char *dir, enum head_kind head,
			       enum weight_type type, struct error *err);
/* Floats of the memory: a few of them, behind the weights, are their identity. */
size_t hf_frozen_floats(const struct hf_frozen *frozen);
enum status hf_frozen_fill(const struct hf_frozen *frozen, float *memory, struct pool *pool,
			   struct error *err);
/* Reads the memory and does not own it. */
struct model *hf_frozen_model(const struct hf_frozen *frozen, const float *memory);
/* SHA-256, in hex, of the CRC-32C of each parameter's rows as they are before any rounding, 32
 * bits of little endian each, in the layout's order; it stands in the memory. */
const char *hf_frozen_identity(const struct hf_frozen *frozen, const float *memory);

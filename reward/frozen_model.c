/* Loading a frozen model into shared memory; see frozen_model.h. */
#include "reward/frozen_model.h"

#include <stdio.h>
#include <string.h>

#include "common/model/hf_frozen.h"
#include "common/model/hf_side_files.h"

struct filling {
	const struct hf_frozen *frozen;
	struct pool *pool;
};

static enum status fill(void *context, void *memory, struct error *err)
{
	const struct filling *filling = context;

	return hf_frozen_fill(filling->frozen, memory, filling->pool, err);
}

/* Nodes may have other files at the same path. */
static enum status compare_models(const struct frozen_model *frozen, struct comm *comm,
				  const char *dir, struct error *err)
{
	char what[512], files[65], text[sizeof files + sizeof frozen->identity];

	hf_side_files_sha256(dir, files);
	snprintf(what, sizeof what, "model at %s", dir);
	snprintf(text, sizeof text, "%s %s", frozen->identity, files);
	return comm_compare(comm, text, what, err);
}

enum status frozen_model_load(struct frozen_model *frozen, struct comm *comm, const char *dir,
			      enum head_kind head, enum weight_type type, struct pool *pool,
			      struct error *err)
{
	struct hf_frozen description;
	struct filling filling = {&description, pool};
	enum status status = hf_frozen_describe(&description, dir, head, type, err);

	*frozen = (struct frozen_model){0};
	if (comm)
		status = comm_agree(comm, status, err);
	if (status == STATUS_OK)
		status = shared_create(&frozen->memory, comm,
				       hf_frozen_floats(&description) * sizeof(float), fill,
				       &filling, err);
	if (status != STATUS_OK)
		return status;
	frozen->model = hf_frozen_model(&description, shared_data(frozen->memory));
	memcpy(frozen->identity, hf_frozen_identity(&description, shared_data(frozen->memory)),
	       sizeof frozen->identity);
	return comm && comm_size(comm) > 1 ? compare_models(frozen, comm, dir, err) : STATUS_OK;
}

enum status frozen_model_outline(struct model **model, size_t *bytes, const char *dir,
				 enum head_kind head, enum weight_type type, struct error *err)
{
	struct hf_frozen description;
	enum status status = hf_frozen_describe(&description, dir, head, type, err);

	if (status != STATUS_OK)
		return status;
	*bytes = hf_frozen_floats(&description) * sizeof(float);
	*model = model_create_outline(&description.config, description.has_score_bias);
	return STATUS_OK;
}

void frozen_model_count(const struct frozen_model *frozen, struct frozen_bytes *bytes)
{
	if (!frozen->model)
		return;
	if (shared_is_filled_here(frozen->memory))
		bytes->filled += model_bytes(frozen->model);
	else
		bytes->mapped += model_bytes(frozen->model);
}

void frozen_model_release(struct frozen_model *frozen)
{
	model_destroy(frozen->model);
	shared_destroy(frozen->memory);
	*frozen = (struct frozen_model){0};
}

/* Whether ranks have read the same models: nodes may have other files at the same path. */
#pragma once

#include "common/base/pool.h"
#include "common/model/model.h"
#include "proto/comm.h"

/* Compares the small files of dir (hf_side_files.h; NULL: none) and the weights of the model,
 * with its adapter (NULL: none).  Where they differ: STATUS_BAD_INPUT for everyone, "rank 3 on
 * host b has another WHAT at DIR than rank 0 on host a".  Of a single rank nothing is read.
 * Collective over comm. */
enum status agreement_check(struct comm *comm, const char *what, const char *dir,
			    const struct model *model, struct pool *pool, struct error *err);

/* Training rows as ids, in an order that is a function of (seed, epoch). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/run/config.h"
#include "common/text/rows.h"

struct dataset {
	struct row *rows;     /* [n]; for pairs: chosen */
	struct row *rejected; /* [n] or NULL */
	int n;
	uint64_t seed;
	bool shuffle;
	char sha256[65]; /* of the file, part of a checkpoint */
};

/* Sequences for language modelling.  packing joins the documents of `text` rows
 * (EOS after each if append_eos) and cuts them to max_length; rows of ids stay
 * whole.  too_long: error, skip or truncate. */
enum status dataset_load_sequences(struct dataset *dataset, const char *path,
				   const struct row_context *context,
				   const struct run_config *config, int max_length, int32_t eos_id,
				   struct error *err);
enum status dataset_load_pairs(struct dataset *dataset, const char *path,
			       const struct row_context *context, const struct run_config *config,
			       int max_length, struct error *err);
enum status dataset_load_prompts(struct dataset *dataset, const char *path,
				 const struct row_context *context, const struct run_config *config,
				 int max_length, struct error *err);
void dataset_release(struct dataset *dataset);

/* Row number of the i-th example ever drawn, i >= 0: epoch i / n, shuffled by a
 * keyed permutation of each epoch. */
int dataset_index(const struct dataset *dataset, int64_t i);

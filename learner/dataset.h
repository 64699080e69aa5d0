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

/* All three: a row longer than max_length (data.max_length if that is smaller) is
 * an error, skipped or cut, as data.too_long says; no row left is an error.  A
 * prompt is cut at its front, everything else at its end.  On failure nothing is
 * held. */

/* Sequences for language modelling.  packing joins the documents of `text` rows
 * (EOS after each if append_eos) and cuts them to max_length; rows of ids stay
 * whole.  A file that is not JSONL is one document. */
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

/* Whether a file is JSONL by its name (.jsonl, .ndjson, .json), else plain text. */
bool dataset_is_jsonl(const char *path);

/* Training rows as ids, in an order that is a function of (seed, epoch). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/pool.h"
#include "common/base/status.h"
#include "common/model/hf_labels.h"
#include "common/run/config.h"
#include "common/text/rows.h"

struct dataset {
	struct row *rows;     /* [n]; for pairs: chosen */
	struct row *rejected; /* [n]; NULL where there are no pairs */
	double *margins;      /* [n] of pairs: by how much chosen is better; else NULL */
	int *lines;  /* [n] of the file, from 1; 0 for what was packed */
	int *labels; /* [n] of judged rows: 1 wanted, 0 unwanted; of labelled rows; or NULL */
	int n;
	uint64_t seed;
	bool shuffle;
	/* Both are part of a checkpoint. */
	char sha256[65];     /* of the file, expanded if it is compressed */
	char ids_sha256[65]; /* of the rows: ids, what is learnt of them, labels, margins */
};

/* All of these: a row longer than max_length (data.max_length if that is smaller) is
 * an error, skipped or cut, as data.too_long and data.truncation_side say (see row_cut);
 * no row left is an error.  Rows that are left out are counted in a warning.  On failure
 * nothing is held. */

/* Sequences for language modelling, all of which is learnt but for what "labels" leaves
 * out.  packing joins the documents of `text` rows (EOS after each if append_eos) and cuts them to max_length;
 * rows of ids stay whole.  A file that is not JSONL is one document. */
enum status dataset_load_sequences(struct dataset *dataset, const char *path,
				   const struct row_context *context,
				   const struct run_config *config, int max_length, int32_t eos_id,
				   struct pool *pool, struct error *err);
/* Examples of which the completions are learnt, or all of it, as sft.loss says; EOS
 * after each text if append_eos.  A row without anything to learn is refused; one that
 * is cut to nothing to learn is left out. */
enum status dataset_load_examples(struct dataset *dataset, const char *path,
				  const struct row_context *context,
				  const struct run_config *config, int max_length, int32_t eos_id,
				  struct pool *pool, struct error *err);
/* Preference pairs with their "margin" (0 where there is none); EOS after each text if
 * append_eos.  A pair whose two sequences are equal, or are cut to be, is left out.  needs_completions:
 * both hold something behind the prompt, else the pair is refused, or left out where it
 * was cut. */
enum status dataset_load_pairs(struct dataset *dataset, const char *path,
			       const struct row_context *context, const struct run_config *config,
			       int max_length, int32_t eos_id, bool needs_completions,
			       struct pool *pool, struct error *err);
/* Completions that are judged one by one: "label" is true or false (or 1 or 0).  Of a
 * preference pair, chosen is wanted and rejected is not. */
enum status dataset_load_judged(struct dataset *dataset, const char *path,
				const struct row_context *context, const struct run_config *config,
				int max_length, int32_t eos_id, struct pool *pool,
				struct error *err);
/* Texts (a text, a prompt with or without its completion, or ids) with their "label": a
 * name or a number of labels. */
enum status dataset_load_labelled(struct dataset *dataset, const char *path,
				  const struct row_context *context,
				  const struct run_config *config, int max_length,
				  const struct hf_labels *labels, struct pool *pool,
				  struct error *err);
/* The labels that occur in a file: names in the order of their bytes, or LABEL_0 and on
 * to the largest number.  One label alone, or both kinds, is refused. */
enum status dataset_find_labels(struct hf_labels *labels, const char *path, struct error *err);
enum status dataset_load_prompts(struct dataset *dataset, const char *path,
				 const struct row_context *context, const struct run_config *config,
				 int max_length, struct pool *pool, struct error *err);
void dataset_release(struct dataset *dataset);

/* data.truncation_side, for row_cut. */
bool dataset_cuts_left(const struct run_config *config);

/* Row number of the i-th example ever drawn, i >= 0: epoch i / n, shuffled by a
 * keyed permutation of each epoch. */
int dataset_index(const struct dataset *dataset, int64_t i);

/* Whether a file is JSONL by its name (.jsonl, .ndjson, .json, with .gz behind it or
 * not), else plain text. */
bool dataset_is_jsonl(const char *path);
/* Refuses a plain text that is empty or not UTF-8; warns of one that looks like JSONL. */
enum status dataset_check_plain(const struct buf *text, const char *path, struct error *err);

/* Shared by dataset.c and dataset_read.c alone: a file being read. */
#pragma once

#include "common/base/json.h"
#include "learner/dataset.h"

/* What one line gives. */
struct example {
	struct row row, rejected; /* rejected.ids is NULL where there is no pair */
	double margin;
	int label;
	int line; /* of the file, from 1; 0: packed of several */
};

/* What one line gives: an example, or two where a pair is judged by itself. */
struct taken {
	struct example examples[2];
	int n;
	bool is_document; /* the ids of its only example are packed with others */
};

/* Why rows are left out, for the warning. */
struct left_out {
	int too_long, nothing_to_learn, equal, cut_equal;
};

struct reader {
	struct dataset *dataset;
	const char *path;
	const struct run_config *config;
	struct row_context context;
	int max_length;
	bool needs_target; /* rows without anything to learn are left out */
	bool has_labels;
	const struct hf_labels *labels; /* of labelled rows */
	int capacity;			/* of dataset's arrays */
	int32_t eos_id;			/* -1: none */
	struct ids packed;
	struct left_out left_out;
};

/* Takes what there is of a line; several lines are read at the same time.  If it fails there is
 * nothing to release. */
typedef enum status read_line(const struct reader *reader, const struct json *object, int line,
			      struct taken *taken, struct error *err);
read_line dataset_read_sequence, dataset_read_example, dataset_read_pair, dataset_read_judged,
	dataset_read_labelled, dataset_read_prompt;

/* Takes over the example. */
void dataset_take(struct taken *taken, const struct example *example);
/* Whether there is something to learn behind the first id, which nothing predicts. */
bool dataset_has_target(const struct row *row);

/* Names of a classifier's labels, from config.json. */
#pragma once

#include <stddef.h>

#include "common/base/status.h"

/* What transformers calls problem_type. */
enum hf_problem { HF_PROBLEM_ONE_OF, HF_PROBLEM_ANY_OF, HF_PROBLEM_REGRESSION };

struct hf_labels {
	char **names; /* [n] */
	int n;
	enum hf_problem problem; /* one of several unless the config says otherwise */
};
/* id2label must name the labels 0 to n_labels - 1; without it, or where it has another number
 * of names, they are LABEL_0, ... */
enum status hf_labels_read(struct hf_labels *labels, const char *dir, int n_labels,
			   struct error *err);
/* The same from the text of a config.json; where names its directory. */
enum status hf_labels_parse(struct hf_labels *labels, const char *text, size_t length,
			    const char *where, int n_labels, struct error *err);
void hf_labels_release(struct hf_labels *labels);

/* The directories of tests/golden/models, for tests that run over all of them.
 * tests/golden/make_models.py describes what is in each. */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"

#define MODELS "tests/golden/models/"

static inline bool is_model_wanted(const char *name, const char *file)
{
	char path[200];

	snprintf(path, sizeof path, MODELS "%.80s/%.80s", name, file);
	return name[0] != '.' && file_exists(path);
}

/* Calls check for each directory whose name begins with one of the classifiers' prefixes,
 * rm- and score-, or with none of them, and that holds file.  Returns how many. */
static inline int for_each_model(bool is_classifier, const char *file, void check(const char *name))
{
	struct dirent **entries;
	int n = scandir(MODELS, &entries, NULL, alphasort), n_checked = 0;

	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		bool is_score = strncmp(name, "rm-", 3) == 0 || strncmp(name, "score-", 6) == 0;

		if (is_score == is_classifier && is_model_wanted(name, file)) {
			check(name);
			n_checked++;
		}
		free(entries[i]);
	}
	free(entries);
	return n_checked;
}

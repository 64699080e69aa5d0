/* Command-line options of the commands, from one table each: parsing, --help. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

enum option_type {
	OPTION_FLAG,
	OPTION_STRING, /* a path or a word: never empty */
	OPTION_TEXT,   /* any text */
	OPTION_INT,
	OPTION_DOUBLE,
	OPTION_LIST,
};

struct option_list {
	const char **items;
	int n;
};
struct option {
	const char *name; /* "--model"; "CONFIG" without dashes: a positional argument */
	enum option_type type;
	void *target;	 /* bool *, const char **, int64_t *, double *, struct option_list * */
	double min, max; /* of numbers; ignored when equal */
	bool required;
	const char *help;
	const char *value; /* stands for the value in the help; NULL: a word by the type */
};

/* Parses argv[1..]; --name value and --name=value.  "--help" prints usage,
 * options and the example on standard output, on the first rank of a job, and sets
 * *help_shown.  An unknown option is an error naming the nearest known one. */
enum status options_parse(const struct option *options, size_t n, int argc, char **argv,
			  const char *usage, const char *example, bool *help_shown,
			  struct error *err);
void option_list_release(struct option_list *list);
/* The known word nearest to an unknown one by edit distance, NULL if none is near. */
const char *nearest_word(const char *word, const char *const *known, size_t n);

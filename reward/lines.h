/* What the commands score and logprobs share: a frozen model, lines in, lines out,
 * dealt to the ranks of a job. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/run/options.h"
#include "reward/frozen.h"

/* Results of the rows of a block; appends one line of JSON for each. */
struct line_command {
	const char *usage, *example;
	enum head_kind head;
	double temperature; /* logprobs only */
	bool takes_temperature;
	/* Sets where an item's results go, runs the model over all items, and
	 * prints them.  workspace and pool are for the forward passes. */
	void (*run)(const struct line_command *command, const struct model *model,
		    struct frozen_item *items, int n, struct workspace *workspace,
		    struct pool *pool, struct buf *out);
};
int line_command_main(struct line_command *command, int argc, char **argv);

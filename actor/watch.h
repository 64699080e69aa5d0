/* Following the text of a completion while it is made: it ends at stop strings, and may
 * be shown on standard output piece by piece. */
#pragma once

#include <stdbool.h>

#include "actor/generator.h"
#include "actor/stop_strings.h"
#include "common/text/completion.h"

struct watch_options {
	const struct tokenizer *tokenizer;
	const struct stop_strings *stop;
	int min_new_tokens; /* no stop string ends a shorter completion */
	bool is_shown;
};
struct watch {
	const struct watch_options *options;
	struct completion completion;
	struct stop_match match; /* item -1: none */
	size_t n_shown;
};

/* Watches a request that is about to run: request->context becomes the watch.  In struct
 * generate_options: .token = watch_token. */
void watch_begin(struct watch *watch, const struct watch_options *options, struct request *request);
bool watch_token(struct request *request);
/* Shows the rest.  Before the request is released. */
void watch_end(struct watch *watch);
void watch_release(struct watch *watch);

/* Appends the text of a finished request, up to its stop string; watch may be NULL. */
void watch_text(const struct watch *watch, const struct tokenizer *tokenizer,
		const struct request *request, struct buf *out);

/* The ids that end a completion: eos_token_id of generation_config.json (one or
 * several), else that of config.json.  What is not an id, and more than MAX_STOP_IDS of
 * them, is refused. */
#pragma once

#include <stdint.h>

#include "common/base/status.h"
#include "common/model/model_config.h"

enum { MAX_STOP_IDS = 16, MAX_ADDED_STOP_IDS = 33 };

struct stop_ids {
	/* each inside the vocabulary */
	int32_t ids[MAX_STOP_IDS + MAX_ADDED_STOP_IDS];
	int n; /* may be 0: completions end by length */
};
enum status stop_ids_read(struct stop_ids *stop, const char *dir, const struct model_config *config,
			  struct error *err);
/* One more, of a chat format or a user, at most MAX_ADDED_STOP_IDS of them; ids outside
 * the vocabulary and known ones change nothing. */
void stop_ids_add(struct stop_ids *stop, int32_t id, const struct model_config *config);

/* The keys that config.json has in a family, for a description that a person writes: what is
 * read, and what others note down and nothing here depends on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/json.h"
#include "common/model/model_config.h"

enum { HF_MAX_KEYS = 96 };
struct hf_key_names {
	const char *items[HF_MAX_KEYS];
	size_t n;
};
/* Of the family that a config.json names; false if that is unknown. */
bool hf_key_names(struct hf_key_names *names, const struct json *config);
/* Members of rope_scaling and rope_parameters. */
void hf_rotary_key_names(struct hf_key_names *names);
bool hf_key_names_hold(const struct hf_key_names *names, const char *name);
/* Whether it asks for something that only other families have, or none: it may be there if
 * it is null, false, 0 or empty. */
bool hf_key_is_of_others(const char *name);
/* A probability of dropout, of which there is none here. */
bool hf_key_is_dropout(const char *name);
/* The key of the standard deviation of new weights. */
const char *hf_std_key(const struct hf_family *family);

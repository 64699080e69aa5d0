/* Members of a config.json by type, with their errors.  Private to the hf_*.c files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/model/model_config.h"

/* The file, and where we are in it, for messages. */
struct hf_reader {
	const struct json *root;
	const char *where;
	struct error *err;
};

/* A whole number in [min, max]; missing or null, or key NULL: fallback. */
enum status hf_get_int(const struct hf_reader *r, const char *key, int64_t fallback, int64_t min,
		       int64_t max, int *out);
/* A number above 0 in the range of float. */
enum status hf_get_positive(const struct hf_reader *r, const struct json *object, const char *key,
			    double fallback, double *out);
/* The same, or 0. */
enum status hf_get_not_negative(const struct hf_reader *r, const struct json *object,
				const char *key, double fallback, double *out);
enum status hf_get_bool(const struct hf_reader *r, const char *key, bool fallback, bool *out);
/* Refuses a value that is there and of another type; expected is for the message. */
enum status hf_check_type(const struct hf_reader *r, const struct json *value, const char *key,
			  enum json_type type, const char *expected);

/* Rotary positions into config, whose heads are known; hf_rotary.c. */
enum status hf_read_rotary(const struct hf_reader *r, struct model_config *config);

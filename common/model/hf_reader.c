/* Members of a config.json by type; see hf_reader.h. */
#include "common/model/hf_reader.h"

#include <math.h>

/* A whole number in [min, max]; missing or null: fallback. */
enum status hf_get_int(const struct hf_reader *r, const char *key, int64_t fallback, int64_t min,
		       int64_t max, int *out)
{
	const struct json *value = key ? json_given(r->root, key) : NULL;
	int64_t n = fallback;

	if (value && (!json_int64(value, &n) || n < min || n > max))
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %s is not a whole number from %lld to %lld", r->where, key,
				 (long long)min, (long long)max);
	*out = (int)n;
	return STATUS_OK;
}

enum status hf_get_positive(const struct hf_reader *r, const struct json *object, const char *key,
			    double fallback, double *out)
{
	const struct json *value = json_given(object, key);

	*out = value ? json_number(value) : fallback;
	if ((value && json_type(value) != JSON_NUMBER) || !isnormal((float)*out) || *out <= 0)
		return error_set(r->err, STATUS_BAD_INPUT,
				 "%s: %s is not a number above 0 in the range of float", r->where,
				 key);
	return STATUS_OK;
}

enum status hf_get_not_negative(const struct hf_reader *r, const struct json *object,
				const char *key, double fallback, double *out)
{
	const struct json *value = json_given(object, key);

	if (!value || json_type(value) != JSON_NUMBER || json_number(value) != 0)
		return hf_get_positive(r, object, key, fallback, out);
	*out = 0;
	return STATUS_OK;
}

enum status hf_get_bool(const struct hf_reader *r, const char *key, bool fallback, bool *out)
{
	const struct json *value = json_given(r->root, key);

	if (value && json_type(value) != JSON_BOOL)
		return error_set(r->err, STATUS_BAD_INPUT, "%s: %s is %s, expected true or false",
				 r->where, key, json_type_name(value));
	*out = value ? json_bool(value) : fallback;
	return STATUS_OK;
}

enum status hf_check_type(const struct hf_reader *r, const struct json *value, const char *key,
			  enum json_type type, const char *expected)
{
	if (!value || json_type(value) == type)
		return STATUS_OK;
	return error_set(r->err, STATUS_BAD_INPUT, "%s: %s is %s, expected %s", r->where, key,
			 json_type_name(value), expected);
}

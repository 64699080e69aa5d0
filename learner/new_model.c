/* See new_model.h. */
#include "learner/new_model.h"

#include <math.h>
#include <string.h>

#include "common/base/log.h"
#include "common/model/hf_keys.h"
#include "common/run/options.h"

#define DEFAULT_STD 0.02

/* --- keys --- */

static enum status unknown_key(const struct hf_key_names *names, const char *key,
			       const char *section, struct error *err)
{
	const char *near = nearest_word(key, names->items, names->n);

	return error_set(err, STATUS_BAD_INPUT, "model.create: unknown key \"%s%.100s\"%s%s%s%s",
			 section, key, near ? ", did you mean \"" : "", near ? section : "",
			 near ? near : "", near ? "\"?" : "");
}

static bool is_off(const struct json *value)
{
	switch (json_type(value)) {
	case JSON_NULL:
		return true;
	case JSON_BOOL:
		return !json_bool(value);
	case JSON_NUMBER:
		return json_number(value) == 0;
	case JSON_STRING:
		return !*json_string(value, NULL);
	default:
		return !json_first(value);
	}
}

static enum status without_effect(const struct json *member, struct error *err)
{
	const char *key = json_key(member);
	struct buf value = BUF_INIT;

	json_print(member, false, &value);
	error_set(err, STATUS_BAD_INPUT,
		  "model.create: \"%.100s\" is %.100s, which this family does not have; expected no "
		  "such key, or 0, false or null",
		  key, value.data);
	buf_release(&value);
	return STATUS_BAD_INPUT;
}

/* Of rope_parameters or rope_scaling, and of the objects in them; section ends in a dot. */
static enum status check_rotary(const struct json *object, const char *section, struct error *err)
{
	struct hf_key_names names;
	enum status status = STATUS_OK;

	if (object && json_type(object) != JSON_NULL && json_type(object) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT,
				 "model.create: %.*s is %s, expected an object",
				 (int)strlen(section) - 1, section, json_type_name(object));
	hf_rotary_key_names(&names);
	for (const struct json *member = json_first(object); member && status == STATUS_OK;
	     member = json_next(member)) {
		if (!hf_key_names_hold(&names, json_key(member)))
			status = unknown_key(&names, json_key(member), section, err);
		for (const struct json *inner =
			     json_type(member) == JSON_OBJECT ? json_first(member) : NULL;
		     inner && status == STATUS_OK; inner = json_next(inner))
			if (!hf_key_names_hold(&names, json_key(inner)))
				status = unknown_key(&names, json_key(inner), section, err);
	}
	return status;
}

enum status new_model_check_keys(const struct json *config, struct error *err)
{
	struct hf_key_names names;
	enum status status = STATUS_OK;

	if (!hf_key_names(&names, config))
		return STATUS_OK;
	for (const struct json *member = json_first(config); member && status == STATUS_OK;
	     member = json_next(member)) {
		const char *key = json_key(member);
		bool is_dropout = hf_key_is_dropout(key);

		if (hf_key_names_hold(&names, key))
			continue;
		if (!is_dropout && !hf_key_is_of_others(key))
			status = unknown_key(&names, key, "", err);
		else if (is_dropout && !is_off(member))
			log_warn("model.create: \"%s\" has no effect: nothing is dropped out here",
				 key);
		else if (!is_off(member))
			status = without_effect(member, err);
	}
	if (status == STATUS_OK)
		status = check_rotary(json_get(config, "rope_parameters"), "rope_parameters.", err);
	if (status == STATUS_OK)
		status = check_rotary(json_get(config, "rope_scaling"), "rope_scaling.", err);
	return status;
}

/* --- values --- */

enum status new_model_write_points(struct buf *text, const struct json *config, struct error *err)
{
	static const char *const keys[] = {
		"rms_norm_eps",		   "layer_norm_eps",	     "layer_norm_epsilon",
		"final_logit_softcapping", "attn_logit_softcapping", "initializer_range",
		"init_std"};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < sizeof keys / sizeof *keys && status == STATUS_OK; i++) {
		const struct json *value = json_get(config, keys[i]);
		struct buf number = BUF_INIT;

		if (value && json_type(value) == JSON_NUMBER &&
		    json_number(value) == trunc(json_number(value))) {
			buf_printf(&number, "%.1f", json_number(value));
			status = json_edit(text, keys[i], number.data, err);
		}
		buf_release(&number);
	}
	return status;
}

enum status new_model_std(const struct json *config, const struct hf_family *family, double *std,
			  struct error *err)
{
	const char *key = hf_std_key(family);
	const struct json *value = json_given(config, key);

	*std = DEFAULT_STD;
	if (!value)
		return STATUS_OK;
	*std = json_type(value) == JSON_NUMBER ? json_number(value) : -1;
	if (*std >= 0 && isfinite((float)*std))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "model.create: %s is not a number from 0 in the range of float", key);
}

/* Rotary positions of a config.json to struct rotary, in both dialects: rope_scaling
 * with members beside it (transformers 4) and rope_parameters (5). */
#include <math.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/model/hf_families.h"
#include "common/model/hf_reader.h"

/* Where the members of one description of rotary positions are looked for, in order. */
struct rotary_reader {
	const struct hf_reader *r;
	const struct json *objects[2]; /* may be NULL */
	const char *name;	       /* of the last object, for messages */
};

static const struct json *rotary_object(const struct rotary_reader *from, const char *key)
{
	for (size_t i = 0; i < 2; i++)
		if (json_given(from->objects[i], key))
			return from->objects[i];
	return NULL;
}

/* A number above 0; fallback if it is missing, and an error if that is 0. */
static enum status rotary_number(const struct rotary_reader *from, const char *key, double fallback,
				 double *out)
{
	const struct json *object = rotary_object(from, key);

	if (!object && fallback == 0)
		return error_set(from->r->err, STATUS_BAD_INPUT,
				 "%s: %s has no %s, expected a number above 0", from->r->where,
				 from->name, key);
	return hf_get_positive(from->r, object, key, fallback, out);
}

static enum status read_rotary_kind(const struct rotary_reader *from,
				    const struct model_config *config, enum rotary_kind *kind)
{
	static const struct {
		const char *name;
		enum rotary_kind kind;
	} known[] = {
		{"default", ROTARY_DEFAULT}, {"linear", ROTARY_LINEAR},
		{"dynamic", ROTARY_DYNAMIC}, {"llama3", ROTARY_LLAMA3},
		{"yarn", ROTARY_YARN},	     {"longrope", ROTARY_LONGROPE},
	};
	const struct json *object = rotary_object(from, "rope_type"), *value;
	const char *key = object ? "rope_type" : "type", *name = "default";

	if (!object)
		object = rotary_object(from, key);
	value = json_given(object, key);
	if (value && json_type(value) != JSON_STRING)
		return hf_check_type(from->r, value, from->name, JSON_STRING,
				     "a type that is a string");
	if (value)
		name = json_string(value, NULL);
	if (config->family->has_longrope_names && strcmp(name, "default") != 0) {
		bool is_longrope = strcmp(name, "longrope") == 0 || strcmp(name, "su") == 0 ||
				   strcmp(name, "yarn") == 0;

		*kind = ROTARY_LONGROPE;
		if (is_longrope)
			return STATUS_OK;
	} else {
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (strcmp(known[i].name, name) == 0) {
				*kind = known[i].kind;
				return STATUS_OK;
			}
	}
	return error_set(from->r->err, STATUS_BAD_INPUT,
			 "%s: %s of type \"%.40s\" is not supported", from->r->where, from->name,
			 name);
}

/* longrope's list of a divisor for each pair. */
static enum status read_factors(const struct rotary_reader *from, const char *key, int n,
				float *out)
{
	const struct json *list = json_given(rotary_object(from, key), key);
	bool is_list = list && json_type(list) == JSON_ARRAY;
	int i = 0;

	for (const struct json *item = is_list ? json_first(list) : NULL; item;
	     item = json_next(item), i++) {
		double factor = json_type(item) == JSON_NUMBER ? json_number(item) : 0;

		if (i < n && isnormal((float)factor) && factor > 0)
			out[i] = (float)factor;
		else
			is_list = false;
	}
	if (is_list && i == n)
		return STATUS_OK;
	return error_set(from->r->err, STATUS_BAD_INPUT,
			 "%s: %s of %s is not a list of %d numbers above 0", from->r->where, key,
			 from->name, n);
}

/* Positions of the original model: a member beside the description comes first. */
static enum status read_original(const struct rotary_reader *from,
				 const struct model_config *config, int *out)
{
	static const char key[] = "original_max_position_embeddings";
	const struct json *object = rotary_object(from, key);
	struct hf_reader inner = {.root = object, .where = from->r->where, .err = from->r->err};
	int fallback = config->family->keys->original_positions;

	*out = config->max_positions;
	if (!config->family->has_local_rotary && (fallback || json_given(from->r->root, key)))
		return hf_get_int(from->r, key, fallback, 1, MODEL_MAX_POSITIONS, out);
	return object ? hf_get_int(&inner, key, 1, 1, MODEL_MAX_POSITIONS, out) : STATUS_OK;
}

/* Numbers of yarn's that are 0 count as missing. */
static bool is_given(const struct rotary_reader *from, const char *key)
{
	const struct json *value = json_given(rotary_object(from, key), key);

	return value && (json_type(value) != JSON_NUMBER || json_number(value) != 0);
}

static enum status yarn_number(const struct rotary_reader *from, const char *key, double fallback,
			       double *out)
{
	*out = fallback;
	return is_given(from, key) ? rotary_number(from, key, fallback, out) : STATUS_OK;
}

/* How far scores are from those of the original model, by which yarn scales them. */
static double yarn_scale(double factor, double scale)
{
	return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

/* Whether a member that is not given is there as null. */
static bool is_null(const struct rotary_reader *from, const char *key)
{
	return json_get(from->objects[0], key) || json_get(from->objects[1], key);
}

/* null is no truth to transformers: it counts as false. */
static enum status read_truncate(const struct rotary_reader *from,
				 const struct model_config *config, bool *out)
{
	const struct json *value = json_given(rotary_object(from, "truncate"), "truncate");
	bool has_local = config->family->has_local_rotary;
	enum status status = hf_check_type(from->r, value, "truncate", JSON_BOOL, "true or false");

	if (status != STATUS_OK)
		return status;
	*out = value ? json_bool(value) : has_local || !is_null(from, "truncate");
	if (!*out && has_local)
		return error_set(from->r->err, STATUS_BAD_INPUT,
				 "%s: truncate of %s is false, expected true: transformers 5 "
				 "ignores it here",
				 from->r->where, from->name);
	return STATUS_OK;
}

static enum status read_yarn(const struct rotary_reader *from, const struct model_config *config,
			     struct rotary *rotary)
{
	double stretch = (double)config->max_positions / rotary->original, scale, scale_all;
	bool has_scales = is_given(from, "mscale") && is_given(from, "mscale_all_dim");
	enum status status = rotary_number(from, "factor", is_null(from, "factor") ? stretch : 0,
					   &rotary->factor);

	if (status == STATUS_OK)
		status = yarn_number(from, "beta_fast", 32, &rotary->high);
	if (status == STATUS_OK)
		status = yarn_number(from, "beta_slow", 1, &rotary->low);
	if (status == STATUS_OK)
		status = yarn_number(from, "mscale", 1, &scale);
	if (status == STATUS_OK)
		status = yarn_number(from, "mscale_all_dim", 1, &scale_all);
	if (status == STATUS_OK)
		status = read_truncate(from, config, &rotary->truncate);
	if (status != STATUS_OK)
		return status;
	if (rotary->theta <= 1)
		return error_set(from->r->err, STATUS_BAD_INPUT,
				 "%s: rope_theta is %g, expected more than 1 for yarn",
				 from->r->where, rotary->theta);
	return rotary_number(from, "attention_factor",
			     has_scales ? yarn_scale(rotary->factor, scale) /
						  yarn_scale(rotary->factor, scale_all)
					: yarn_scale(rotary->factor, 1),
			     &rotary->attention_factor);
}

static enum status read_llama3(const struct rotary_reader *from, struct rotary *rotary)
{
	enum status status = rotary_number(from, "factor", 0, &rotary->factor);

	if (status == STATUS_OK)
		status = rotary_number(from, "low_freq_factor", 0, &rotary->low);
	if (status == STATUS_OK)
		status = rotary_number(from, "high_freq_factor", 0, &rotary->high);
	return status;
}

static enum status read_longrope(const struct rotary_reader *from,
				 const struct model_config *config, struct rotary *rotary)
{
	int n = config->rotary_width / 2;
	double stretch = (double)config->max_positions / rotary->original, factor = 1;
	enum status status = read_factors(from, "short_factor", n, rotary->short_factor);

	if (status == STATUS_OK)
		status = read_factors(from, "long_factor", n, rotary->long_factor);
	if (status == STATUS_OK)
		status = rotary_number(from, "factor", stretch, &factor);
	if (status != STATUS_OK)
		return status;
	if (factor > 1 && rotary->original < 2)
		return error_set(from->r->err, STATUS_BAD_INPUT,
				 "%s: original_max_position_embeddings is %d, expected more than 1",
				 from->r->where, rotary->original);
	return rotary_number(from, "attention_factor",
			     factor > 1 ? sqrt(1 + log(factor) / log((double)rotary->original)) : 1,
			     &rotary->attention_factor);
}

/* Refuses widths for which a kind has no formula. */
static enum status check_width(const struct rotary_reader *from, const struct model_config *config,
			       enum rotary_kind kind)
{
	int n = config->rotary_width;
	const char *expected = NULL;

	if (kind == ROTARY_DYNAMIC && n == 2)
		expected = "more for type \"dynamic\"";
	if ((kind == ROTARY_YARN || kind == ROTARY_LONGROPE) && n % 2 != 0)
		expected = "an even number";
	if (!expected)
		return STATUS_OK;
	return error_set(from->r->err, STATUS_BAD_INPUT,
			 "%s: %s with %d rotary elements of a head, expected %s", from->r->where,
			 from->name, n, expected);
}

/* The angles that one description gives; theta is the base where it names none. */
static enum status read_angles(const struct rotary_reader *from, const struct model_config *config,
			       double theta, struct rotary *rotary)
{
	enum status status = rotary_number(from, "rope_theta", theta, &rotary->theta);

	rotary->attention_factor = 1;
	if (status == STATUS_OK)
		status = read_rotary_kind(from, config, &rotary->kind);
	if (status == STATUS_OK)
		status = check_width(from, config, rotary->kind);
	if (status == STATUS_OK)
		status = read_original(from, config, &rotary->original);
	if (status != STATUS_OK)
		return status;
	switch (rotary->kind) {
	case ROTARY_DEFAULT:
		return STATUS_OK;
	case ROTARY_DYNAMIC:
		rotary->original = config->max_positions;
		return rotary_number(from, "factor", 0, &rotary->factor);
	case ROTARY_LINEAR:
		return rotary_number(from, "factor", 0, &rotary->factor);
	case ROTARY_LLAMA3:
		return read_llama3(from, rotary);
	case ROTARY_YARN:
		return read_yarn(from, config, rotary);
	case ROTARY_LONGROPE:
		break;
	}
	return read_longrope(from, config, rotary);
}

/* A fraction where whole heads rotate is one that transformers has no use for; other kinds
 * than the default come to nothing with it. */
static enum status ignore_fraction(const struct rotary_reader *from,
				   const struct model_config *config, double *fraction)
{
	enum rotary_kind kind;
	enum status status = read_rotary_kind(from, config, &kind);

	if (status == STATUS_OK && kind != ROTARY_DEFAULT)
		status = error_set(from->r->err, STATUS_BAD_INPUT,
				   "%s: partial_rotary_factor is %g, expected 1", from->r->where,
				   *fraction);
	if (status == STATUS_OK)
		log_warn("%s: partial_rotary_factor is %g, but whole heads rotate", from->r->where,
			 *fraction);
	*fraction = 1;
	return status;
}

/* The part of a head that rotates; of a head_dim that speaks of nothing else in some
 * families. */
static enum status read_rotary_width(const struct rotary_reader *from, struct model_config *config)
{
	const struct hf_family *family = config->family;
	const struct hf_keys *keys = family->keys;
	double fraction = keys->fraction ? keys->default_fraction : 1;
	int head_dim;
	enum status status;

	if (family->has_rotary_dim && json_get(from->r->root, "rotary_dim") &&
	    !json_given(from->r->root, "rotary_dim"))
		return error_set(from->r->err, STATUS_BAD_INPUT,
				 "%s: rotary_dim is null, expected a number of elements",
				 from->r->where);
	if (family->has_rotary_dim)
		return hf_get_int(from->r, "rotary_dim", 64, 1, config->head_dim,
				  &config->rotary_width);
	if (rotary_object(from, "partial_rotary_factor"))
		status = rotary_number(from, "partial_rotary_factor", fraction, &fraction);
	else
		status = hf_get_positive(from->r, from->r->root,
					 keys->fraction ? keys->fraction : "partial_rotary_factor",
					 fraction, &fraction);
	if (status == STATUS_OK && !keys->fraction && fraction != 1)
		status = ignore_fraction(from, config, &fraction);
	if (status == STATUS_OK && fraction > 1)
		status = error_set(from->r->err, STATUS_BAD_INPUT,
				   "%s: partial_rotary_factor is %g, expected at most 1",
				   from->r->where, fraction);
	if (status == STATUS_OK)
		status = hf_get_int(from->r, "head_dim", config->head_dim, 1,
				    ATTENTION_MAX_HEAD_DIM, &head_dim);
	if (status == STATUS_OK)
		config->rotary_width = (int)(head_dim * fraction);
	return status;
}

static enum status set_rotary_dim(const struct hf_reader *r, struct model_config *config)
{
	int n = config->rotary_width;

	config->rotary_dim = n + (config->family->rounds_rotary ? n % 2 : 0);
	if (n > 0 && config->rotary_dim % 2 == 0 && config->rotary_dim <= config->head_dim)
		return STATUS_OK;
	return error_set(r->err, STATUS_BAD_INPUT,
			 "%s: %d rotary elements of a head of %d, expected an even number from 2",
			 r->where, n, config->head_dim);
}

/* Refuses an object in which there are others: positions by kind of layer. */
static enum status check_flat(const struct hf_reader *r, const struct json *object, const char *key)
{
	const char *type = json_string_or_null(json_given(r->root, "model_type"));

	for (const struct json *item = json_first(object); item; item = json_next(item))
		if (json_type(item) == JSON_OBJECT)
			return error_set(r->err, STATUS_BAD_INPUT,
					 "%s: %s.%.40s: positions by kind of layer are not "
					 "supported for %s",
					 r->where, key, json_key(item),
					 type ? type : "this family");
	return STATUS_OK;
}

/* Layers with a window and those without have descriptions of their own: in
 * rope_parameters, or in rope_scaling for the latter alone. */
static enum status read_two_rotations(const struct hf_reader *r, struct model_config *config,
				      const struct json *parameters, const struct json *scaling)
{
	const struct json *full = json_given(parameters, "full_attention");
	const struct json *local = json_given(parameters, "sliding_attention");
	struct rotary_reader from = {.r = r, .objects = {scaling, full}, .name = "rope_scaling"};
	struct rotary_reader from_local = {.r = r, .objects = {local}, .name = "sliding_attention"};
	double theta = 1e6, local_theta = 1e4;
	enum status status = hf_check_type(r, full, "full_attention", JSON_OBJECT, "an object");

	if (full)
		from.name = "full_attention";
	if (status == STATUS_OK)
		status = hf_check_type(r, local, "sliding_attention", JSON_OBJECT, "an object");
	if (status == STATUS_OK && json_first(parameters) && !full && !local)
		status = error_set(r->err, STATUS_BAD_INPUT,
				   "%s: rope_parameters has neither full_attention nor "
				   "sliding_attention",
				   r->where);
	if (status == STATUS_OK && json_given(scaling, "type") && !json_given(scaling, "rope_type"))
		status =
			error_set(r->err, STATUS_BAD_INPUT,
				  "%s: rope_scaling has a type, expected rope_type: transformers 5 "
				  "ignores the other here",
				  r->where);
	if (status == STATUS_OK)
		status = hf_get_positive(r, r->root, "rope_theta", theta, &theta);
	if (status == STATUS_OK)
		status = hf_get_positive(r, r->root, "rope_local_base_freq", local_theta,
					 &local_theta);
	if (status == STATUS_OK)
		status = read_rotary_width(&from, config);
	if (status == STATUS_OK)
		status = set_rotary_dim(r, config);
	if (status == STATUS_OK)
		status = read_angles(&from, config, theta, &config->rotary);
	if (status == STATUS_OK)
		status = read_angles(&from_local, config, local_theta, &config->local_rotary);
	config->has_local_rotary = true;
	return status;
}

enum status hf_read_rotary(const struct hf_reader *r, struct model_config *config)
{
	const struct hf_family *family = config->family;
	const struct hf_keys *keys = family->keys;
	const struct json *parameters = json_given(r->root, "rope_parameters");
	const struct json *scaling = json_given(r->root, "rope_scaling");
	struct rotary_reader from = {.r = r, .name = "rope_parameters"};
	double theta = 10000;
	enum status status;

	if (config->position != POSITION_ROTARY)
		return STATUS_OK;
	if (family->has_rotary_dim)
		parameters = scaling = NULL;
	status = hf_check_type(r, scaling, "rope_scaling", JSON_OBJECT, "an object");
	if (status == STATUS_OK)
		status = hf_check_type(r, parameters, "rope_parameters", JSON_OBJECT, "an object");
	if (status == STATUS_OK && family->has_local_rotary)
		return read_two_rotations(r, config, parameters, scaling);
	if (status == STATUS_OK)
		status = check_flat(r, scaling, "rope_scaling");
	if (status == STATUS_OK)
		status = check_flat(r, parameters, "rope_parameters");
	from.objects[0] = parameters;
	if (json_first(scaling)) { /* as transformers 5 does where both are there */
		from.objects[0] = scaling;
		from.name = "rope_scaling";
	}
	if (status == STATUS_OK)
		status = read_rotary_width(&from, config);
	if (status == STATUS_OK)
		status = set_rotary_dim(r, config);
	if (status == STATUS_OK && keys->theta)
		status = hf_get_positive(r, r->root, keys->theta, theta, &theta);
	return status == STATUS_OK ? read_angles(&from, config, theta, &config->rotary) : status;
}

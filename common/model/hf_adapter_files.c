/* Opening and checking PEFT's files; see hf_adapter_files.h. */
#include "common/model/hf_adapter_files.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_source.h"

enum { MAX_CONFIG_BYTES = 1 << 22, MAX_RANK = 65536 };

/* --- the config --- */

/* The keys of variants: each must be absent, null, false or empty. */
static const char *const variants[] = {
	"use_dora",
	"use_qalora",
	"use_bdlora",
	"layer_replication",
	"trainable_token_indices",
	"target_parameters",
	"lora_bias",
	"loftq_config",
	"eva_config",
	"corda_config",
	"lora_ga_config",
	"arrow_config",
	"kasa_config",
	"monteclora_config",
	"velora_config",
	"alora_invocation_tokens",
};

static bool is_off(const struct json *value)
{
	if (!value)
		return true;
	switch (json_type(value)) {
	case JSON_NULL:
		return true;
	case JSON_BOOL:
		return !json_bool(value);
	case JSON_ARRAY:
	case JSON_OBJECT:
		return !json_first(value);
	default:
		return false;
	}
}

static bool is_string(const struct json *value, const char *text)
{
	const char *string = json_string_or_null(value);

	return string && strcmp(string, text) == 0;
}

static void refuse(const struct hf_adapter_files *files, const char *key, const char *expected,
		   struct hf_problems *problems)
{
	const struct json *value = json_get(files->root, key);
	struct buf text = BUF_INIT;

	if (value)
		json_print(value, false, &text);
	hf_problems_add(problems, "%s: \"%s\" is %.100s, expected %s", files->path, key,
			value ? text.data : "missing", expected);
	buf_release(&text);
}

/* What kind of adapter it is. */
static void check_kind(const struct hf_adapter_files *files, struct hf_problems *problems)
{
	const struct json *root = files->root, *bias = json_given(root, "bias");
	const struct json *init = json_given(root, "init_lora_weights");

	if (!is_string(json_get(root, "peft_type"), "LORA"))
		refuse(files, "peft_type", "\"LORA\"", problems);
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
		if (!is_off(json_get(root, variants[i])))
			refuse(files, variants[i], "plain LoRA; that variant cannot be computed",
			       problems);
	if (bias && !is_string(bias, "none"))
		refuse(files, "bias", "\"none\"", problems);
	/* What changes the base weights needs the changed ones. */
	if (init && json_type(init) != JSON_BOOL && !is_string(init, "gaussian") &&
	    !is_string(init, "orthogonal"))
		refuse(files, "init_lora_weights",
		       "true, false, \"gaussian\" or \"orthogonal\"; the others change the base",
		       problems);
}

/* rank_pattern or alpha_pattern: numbers by names of layers. */
static void check_pattern(const struct hf_adapter_files *files, const char *pattern,
			  struct hf_problems *problems)
{
	const struct json *patterns = json_given(files->root, pattern);

	if (patterns && json_type(patterns) != JSON_OBJECT) {
		refuse(files, pattern, "an object", problems);
		return;
	}
	for (const struct json *member = json_first(patterns); member; member = json_next(member)) {
		const char *key = json_key(member);

		if (key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_.")])
			hf_problems_add(problems,
					"%s: %s has the key \"%.100s\", expected the name of a "
					"layer; regular expressions are not read",
					files->path, pattern, key);
		else if (json_type(member) != JSON_NUMBER)
			hf_problems_add(problems, "%s: %s of \"%.100s\" is %s, expected a number",
					files->path, pattern, key, json_type_name(member));
	}
}

/* How large the adapter is and how much it counts. */
static void read_scales(struct hf_adapter_files *files, struct hf_problems *problems)
{
	const struct json *root = files->root, *r = json_get(root, "r");
	const struct json *alpha = json_get(root, "lora_alpha");
	const struct json *rslora = json_get(root, "use_rslora");
	int n_before = problems->n;

	files->r = 8;
	if (r && (!json_int64(r, &files->r) || files->r < 1 || files->r > MAX_RANK)) {
		refuse(files, "r", "a whole number from 1 to 65536", problems);
		files->r = 0;
	}
	files->alpha = 8;
	if (alpha)
		files->alpha = json_type(alpha) == JSON_NUMBER ? json_number(alpha) : NAN;
	if (!isfinite(files->alpha)) {
		refuse(files, "lora_alpha", "a number", problems);
		files->alpha = NAN;
	}
	if (rslora && json_type(rslora) != JSON_BOOL)
		refuse(files, "use_rslora", "true or false", problems);
	files->use_rslora = rslora && json_type(rslora) == JSON_BOOL && json_bool(rslora);
	check_pattern(files, "rank_pattern", problems);
	check_pattern(files, "alpha_pattern", problems);
	files->has_scales = problems->n == n_before;
}

const struct json *hf_adapter_first_name(const struct json *names)
{
	if (!names || json_type(names) == JSON_NULL)
		return NULL;
	return json_type(names) == JSON_STRING ? names : json_first(names);
}

const struct json *hf_adapter_next_name(const struct json *names, const struct json *name)
{
	return name == names ? NULL : json_next(name);
}

static void check_saved_names(const struct hf_adapter_files *files, struct hf_problems *problems)
{
	const struct json *names = json_given(files->root, "modules_to_save");
	bool are_names =
		!names || json_type(names) == JSON_STRING || json_type(names) == JSON_ARRAY;

	for (const struct json *entry = are_names ? hf_adapter_first_name(names) : NULL; entry;
	     entry = hf_adapter_next_name(names, entry))
		are_names = are_names && json_type(entry) == JSON_STRING;
	if (!are_names)
		refuse(files, "modules_to_save", "a list of names", problems);
}

static enum status parse_config(struct hf_adapter_files *files, struct error *err)
{
	enum status status = file_read(files->path, MAX_CONFIG_BYTES, &files->text, err);

	if (status != STATUS_OK)
		return status;
	files->root = json_parse(files->text.data, files->text.length, files->path, err);
	if (!files->root)
		return STATUS_BAD_INPUT;
	if (json_type(files->root) == JSON_OBJECT)
		return STATUS_OK;
	error_set(err, STATUS_BAD_INPUT, "%s: %s, expected an object", files->path,
		  json_type_name(files->root));
	json_free(files->root);
	files->root = NULL;
	return STATUS_BAD_INPUT;
}

static void open_config(struct hf_adapter_files *files, struct hf_problems *problems)
{
	struct error err;

	if (parse_config(files, &err) != STATUS_OK) {
		hf_problems_add(problems, "%s", err.text);
		return;
	}
	check_kind(files, problems);
	read_scales(files, problems);
	check_saved_names(files, problems);
}

/* --- what the config says of a module --- */

bool hf_adapter_names(const char *module, const char *entry)
{
	size_t n = strlen(module), end = strlen(entry);

	return strcmp(module, entry) == 0 ||
	       (n > end && module[n - end - 1] == '.' && strcmp(module + n - end, entry) == 0);
}

/* The value of a pattern for a module, NULL if none is for it.  Keys are names that match
 * as those of target_modules do. */
static const struct json *find_pattern(const struct hf_adapter_files *files, const char *pattern,
				       const char *module)
{
	for (const struct json *member = json_first(json_get(files->root, pattern)); member;
	     member = json_next(member))
		if (hf_adapter_names(module, json_key(member)))
			return member;
	return NULL;
}

enum status hf_adapter_scale(const struct hf_adapter_files *files, const char *module, int64_t *r,
			     float *scale, struct error *err)
{
	const struct json *rank = find_pattern(files, "rank_pattern", module);
	const struct json *alpha = find_pattern(files, "alpha_pattern", module);
	double a = alpha ? json_number(alpha) : files->alpha;

	*r = files->r;
	if (rank && (!json_int64(rank, r) || *r < 1 || *r > MAX_RANK))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: rank_pattern of %s is not a whole number from 1 to %d",
				 files->path, module, MAX_RANK);
	*scale = (float)(a / (files->use_rslora ? sqrt((double)*r) : (double)*r));
	if (!isfinite(*scale))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: %s over r of %s is more than a float holds", files->path,
				 alpha ? "alpha_pattern" : "lora_alpha", module);
	return STATUS_OK;
}

/* --- the tensors --- */

const char *hf_adapter_half(const char *name)
{
	size_t n = strlen(".lora_A.weight");

	return hf_name_ends_with(name, ".lora_A.weight") ||
			       hf_name_ends_with(name, ".lora_B.weight")
		       ? name + strlen(name) - n
		       : NULL;
}

static void complain(const struct tensor_view *view, const char *why, struct hf_problems *problems)
{
	hf_problems_add(problems, "%s: tensor \"%.150s\" %s", view->path, view->name, why);
}

/* The other half of a pair; NULL if it is missing. */
static const struct tensor_view *find_other(const struct hf_adapter_files *files,
					    const struct tensor_view *view, const char *half,
					    struct hf_problems *problems)
{
	char *name = xstrdup(view->name), *letter = name + (half - view->name) + strlen(".lora_");
	const struct tensor_view *other;

	*letter = *letter == 'A' ? 'B' : 'A';
	other = safetensors_find(&files->weights, name);
	if (!other)
		hf_problems_add(problems, "%s: \"%.160s\" is there without \"%.160s\"", view->path,
				view->name, name);
	free(name);
	return other;
}

/* A [r, in] and B [out, r], both matrices: the ranks against each other and the config. */
static void check_rank(const struct hf_adapter_files *files, const struct tensor_view *a,
		       const struct tensor_view *b, const char *half, struct hf_problems *problems)
{
	const char *begin = a->name + strlen(HF_ADAPTER_PREFIX);
	char *module = begin < half ? xasprintf("%.*s", (int)(half - begin), begin) : xstrdup("");
	int64_t r = a->shape[0];
	struct error err;
	float scale;

	if (files->has_scales && hf_adapter_scale(files, module, &r, &scale, &err) != STATUS_OK)
		hf_problems_add(problems, "%s", err.text);
	else if (a->shape[0] != r || b->shape[1] != r)
		hf_problems_add(problems,
				"%s: the rank of \"%.160s\" is %" PRId64 " and %" PRId64
				", expected %" PRId64,
				a->path, a->name, a->shape[0], b->shape[1], r);
	free(module);
}

static void check_tensor(const struct hf_adapter_files *files, const struct tensor_view *view,
			 struct hf_problems *problems)
{
	const char *half = hf_adapter_half(view->name);
	const struct tensor_view *other;

	if (view->dtype == DTYPE_OTHER)
		complain(view, "is of a type that is not read", problems);
	if (strncmp(view->name, HF_ADAPTER_PREFIX, strlen(HF_ADAPTER_PREFIX)) != 0)
		complain(view, "does not begin with \"" HF_ADAPTER_PREFIX "\"", problems);
	if (strstr(view->name, ".lora_embedding_"))
		complain(view, "adapts an embedding, which is not supported", problems);
	else if (!half && strstr(view->name, ".lora_"))
		complain(view, "ends in neither \".lora_A.weight\" nor \".lora_B.weight\"",
			 problems);
	if (!half)
		return;
	if (view->rank != 2)
		hf_problems_add(problems, "%s: \"%.160s\" has %d dimensions, expected 2",
				view->path, view->name, view->rank);
	other = find_other(files, view, half, problems);
	if (other && half[strlen(".lora_")] == 'A' && view->rank == 2 && other->rank == 2)
		check_rank(files, view, other, half, problems);
}

/* Whether a tensor's module is one that a name of modules_to_save means. */
static bool is_saved(const struct tensor_view *view, const char *name)
{
	const char *dot = strrchr(view->name, '.');
	char *module = xasprintf("%.*s", dot ? (int)(dot - view->name) : 0, view->name);
	bool is_saved = !hf_adapter_half(view->name) && hf_name_ends_with(module, name);

	free(module);
	return is_saved;
}

/* PEFT adds names for heads of any model, so some may mean nothing; but not all. */
static void check_saved(const struct hf_adapter_files *files, struct hf_problems *problems)
{
	const struct json *names = json_given(files->root, "modules_to_save");
	const struct json *first = hf_adapter_first_name(names);
	struct buf text = BUF_INIT;

	for (const struct json *entry = first; entry; entry = hf_adapter_next_name(names, entry))
		for (size_t i = 0; i < files->weights.n; i++)
			if (is_saved(&files->weights.tensors[i], json_string(entry, NULL)))
				return;
	if (!first)
		return;
	json_print(names, false, &text);
	hf_problems_add(problems,
			"%s: no tensor is of a module that is trained whole, expected some because "
			"\"modules_to_save\" of %s is %.100s",
			files->weights.path, files->path, text.data);
	buf_release(&text);
}

static void open_weights(struct hf_adapter_files *files, const char *dir,
			 struct hf_problems *problems)
{
	char *path = path_join(dir, HF_ADAPTER_WEIGHTS);
	struct error err;

	if (!file_exists(path))
		hf_problems_add(problems,
				"%s: is missing; other formats have to be converted to safetensors",
				path);
	else if (safetensors_open(&files->weights, path, &err) != STATUS_OK)
		hf_problems_add(problems, "%s", err.text);
	else if (files->weights.n == 0)
		hf_problems_add(problems, "%s: holds no tensors", path);
	for (size_t i = 0; i < files->weights.n; i++)
		check_tensor(files, &files->weights.tensors[i], problems);
	free(path);
}

/* --- all of it --- */

void hf_adapter_open(struct hf_adapter_files *files, const char *dir, struct hf_problems *problems)
{
	*files = (struct hf_adapter_files){
		.path = path_join(dir, HF_ADAPTER_CONFIG), .text = BUF_INIT, .alpha = NAN};
	struct error err;

	if (!file_exists(files->path) && hf_check_is_no_run(dir, "an adapter", &err) != STATUS_OK) {
		hf_problems_add(problems, "%s", err.text);
		return;
	}
	open_config(files, problems);
	open_weights(files, dir, problems);
	if (problems->n == 0)
		check_saved(files, problems);
}

void hf_adapter_close(struct hf_adapter_files *files)
{
	safetensors_close(&files->weights);
	json_free(files->root);
	buf_release(&files->text);
	free(files->path);
	*files = (struct hf_adapter_files){0};
}

/* Writing a Hugging Face directory: safetensors files, config.json with only what changed
 * replaced, tokenizer files copied byte for byte. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/scratch.h"
#include "common/model/hf_adapter.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_families.h"
#include "common/model/hf_side_files.h"
#include "common/model/lora.h"
#include "common/model/safetensors.h"
#include "common/ops/elementwise.h"

/* --- weights --- */

/* 5 GB, as Hugging Face's own writer. */
#define MAX_SHARD_BYTES 5000000000U

struct saving {
	const struct model *model;
	const struct hf_save_options *options;
	const char *dir;
	struct hf_tensor *tensors;
	int n;
};

/* loaded: the type it came in. */
static enum dtype dtype_to_write(enum dtype loaded, enum hf_save_as as)
{
	switch (as) {
	case HF_SAVE_BF16:
		return DTYPE_BF16;
	case HF_SAVE_F32:
	case HF_SAVE_STATE:
		return DTYPE_F32;
	case HF_SAVE_LOADED:
		break;
	}
	return loaded;
}

enum dtype hf_save_dtype(const struct model *model, int i, enum hf_save_as as)
{
	return dtype_to_write(hf_tensor_dtype(model, i), as);
}

bool hf_save_as_parse(const char *name, enum hf_save_as *as)
{
	static const struct {
		const char *name;
		enum hf_save_as as;
	} known[] = {{"loaded", HF_SAVE_LOADED}, {"f32", HF_SAVE_F32}, {"bf16", HF_SAVE_BF16}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].name, name) == 0) {
			*as = known[i].as;
			return true;
		}
	return false;
}

static uint64_t bytes_of(const struct saving *saving, int tensor)
{
	return (uint64_t)saving->tensors[tensor].n_elements *
	       dtype_bytes(hf_save_dtype(saving->model, tensor, saving->options->as));
}

/* Rounding a number of another type's range gives infinity. */
static enum status check_range(const struct saving *saving, const struct hf_tensor *tensor,
			       enum dtype dtype, const float *values, const void *stored,
			       struct scratch *scratch, struct error *err)
{
	float *back;
	size_t bad;

	if (dtype != DTYPE_F16 && dtype != DTYPE_BF16)
		return STATUS_OK;
	back = scratch_get(scratch, tensor->n_elements * sizeof *back);
	dtype_to_float(dtype, stored, tensor->n_elements, back);
	bad = first_non_finite(back, tensor->n_elements, NULL);
	if (bad == tensor->n_elements)
		return STATUS_OK;
	return error_set(err, STATUS_FAILED,
			 "%s: not written: element %zu of %s is %g, too large for %s; "
			 "model.save_dtype may be f32",
			 saving->dir, bad, tensor->name, values[bad], dtype_config_name(dtype));
}

/* What of a tensor is in memory while it is written. */
struct write_memory {
	struct scratch values, stored, back;
};

static enum status write_tensor(const struct saving *saving, const struct tensor_spec *spec,
				struct write_memory *memory, int fd, const char *path,
				struct error *err)
{
	/* The spec borrows its tensor's name. */
	size_t i = (size_t)(spec->name - saving->tensors->name) / sizeof *saving->tensors;
	const struct hf_tensor *tensor = &saving->tensors[i];
	float *values = scratch_get(&memory->values, tensor->n_elements * sizeof *values);
	void *stored = spec->dtype == DTYPE_F32 ? values
						: scratch_get(&memory->stored, spec->bytes);
	enum status status;

	hf_tensor_gather(saving->model, (int)i, model_masters(saving->model), values);
	if (spec->dtype != DTYPE_F32)
		dtype_from_float(spec->dtype, values, tensor->n_elements, stored);
	status = check_range(saving, tensor, spec->dtype, values, stored, &memory->back, err);
	if (status == STATUS_OK)
		status = file_write_at(fd, stored, spec->bytes, spec->offset, path, err);
	return status;
}

static enum status write_planned(const struct saving *saving, const struct tensor_spec *specs,
				 int n, const struct buf *header, const char *path,
				 struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct write_memory memory = {.values = {0}};
	enum status status;

	if (fd < 0)
		return error_set(err, STATUS_BAD_INPUT, "%s: cannot be created: %s", path,
				 strerror(errno));
	status = file_write_at(fd, header->data, header->length, 0, path, err);
	for (int i = 0; i < n && status == STATUS_OK; i++)
		status = write_tensor(saving, &specs[i], &memory, fd, path, err);
	scratch_release(&memory.values);
	scratch_release(&memory.stored);
	scratch_release(&memory.back);
	if (status == STATUS_OK && fsync(fd) != 0)
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be synced: %s", path,
				   strerror(errno));
	if (close(fd) != 0 && status == STATUS_OK)
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be closed: %s", path,
				   strerror(errno));
	return status;
}

/* Tensors [first, first + n) as one file. */
static enum status write_file(const struct saving *saving, int first, int n, const char *name,
			      struct error *err)
{
	struct tensor_spec *specs = xcalloc((size_t)n, sizeof *specs);
	char *path = path_join(saving->dir, name);
	struct buf header = BUF_INIT;
	uint64_t file_bytes;
	enum status status;

	for (int i = 0; i < n; i++) {
		const struct hf_tensor *tensor = &saving->tensors[first + i];

		specs[i] = (struct tensor_spec){.name = tensor->name,
						.rank = tensor->rank,
						.shape = {tensor->shape[0], tensor->shape[1]},
						.dtype = hf_save_dtype(saving->model, first + i,
								       saving->options->as)};
	}
	safetensors_plan(specs, (size_t)n, &header, &file_bytes);
	status = write_planned(saving, specs, n, &header, path, err);
	buf_release(&header);
	free(specs);
	free(path);
	return status;
}

/* Fills shard [n] with the number of each tensor's shard, from 0; returns how many there
 * are.  A shard ends before the tensor that would make it too large. */
static int cut_shards(const struct saving *saving, int *shard)
{
	uint64_t most = saving->options->max_shard_bytes, bytes = 0;
	int n_shards = 0;

	if (most == 0)
		most = MAX_SHARD_BYTES;
	for (int i = 0; i < saving->n; i++) {
		if (i > 0 && bytes + bytes_of(saving, i) > most) {
			n_shards++;
			bytes = 0;
		}
		shard[i] = n_shards;
		bytes += bytes_of(saving, i);
	}
	return n_shards + 1;
}

static void name_shard(char name[60], int shard, int n_shards)
{
	snprintf(name, 60, "model-%05d-of-%05d.safetensors", shard + 1, n_shards);
}

static int compare_tensors(const void *a, const void *b)
{
	const struct hf_tensor *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* As Hugging Face's writer: members sorted, two spaces, a line end. */
static enum status write_index(const struct saving *saving, const int *shard, int n_shards,
			       struct error *err)
{
	const struct hf_tensor **sorted = xcalloc((size_t)saving->n, sizeof *sorted);
	char *path = path_join(saving->dir, "model.safetensors.index.json"), name[60];
	uint64_t bytes = 0, parameters = 0;
	struct buf text = BUF_INIT;
	enum status status;

	for (int i = 0; i < saving->n; i++) {
		sorted[i] = &saving->tensors[i];
		bytes += bytes_of(saving, i);
		parameters += sorted[i]->n_elements;
	}
	qsort(sorted, (size_t)saving->n, sizeof *sorted, compare_tensors);
	buf_printf(&text,
		   "{\n  \"metadata\": {\n    \"total_parameters\": %" PRIu64
		   ",\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {\n",
		   parameters, bytes);
	for (int i = 0; i < saving->n; i++) {
		name_shard(name, shard[sorted[i] - saving->tensors], n_shards);
		buf_printf(&text, "    \"%s\": \"%s\"%s\n", sorted[i]->name, name,
			   i < saving->n - 1 ? "," : "");
	}
	buf_append_string(&text, "  }\n}\n");
	status = file_replace(path, text.data, text.length, err);
	buf_release(&text);
	free(sorted);
	free(path);
	return status;
}

static enum status write_shards(const struct saving *saving, struct error *err)
{
	int *shard = xcalloc((size_t)saving->n, sizeof *shard);
	int n_shards = cut_shards(saving, shard), first = 0;
	enum status status = STATUS_OK;

	while (first < saving->n && status == STATUS_OK) {
		int end = first;
		char name[60];

		while (end < saving->n && shard[end] == shard[first])
			end++;
		name_shard(name, shard[first], n_shards);
		status = write_file(saving, first, end - first,
				    n_shards == 1 ? "model.safetensors" : name, err);
		first = end;
	}
	if (status == STATUS_OK && n_shards > 1)
		status = write_index(saving, shard, n_shards, err);
	free(shard);
	return status;
}

static enum status write_weights(const struct model *model, const char *dir,
				 const struct hf_save_options *options, struct error *err)
{
	struct saving saving = {.model = model,
				.options = options,
				.dir = dir,
				.n = hf_tensor_count(model)};
	size_t n = model->layout.n_floats, bad = first_non_finite(model_masters(model), n, NULL);
	enum status status;

	if (bad < n)
		return error_set(err, STATUS_FAILED,
				 "%s: not written: weight %zu of %zu is not a finite number", dir,
				 bad, n);
	saving.tensors = xcalloc((size_t)saving.n, sizeof *saving.tensors);
	for (int i = 0; i < saving.n; i++)
		hf_tensor_describe(model, i, &saving.tensors[i]);
	status = write_shards(&saving, err);
	free(saving.tensors);
	return status;
}

/* --- config.json --- */

/* Sets a member unless it has that value already, so that bytes stay. */
static enum status set_member(struct buf *text, const char *key, const char *value,
			      struct error *err)
{
	struct json *root = json_parse(text->data, text->length, "config.json", err);
	const struct json *now = json_get(root, key);
	struct json *wanted = json_parse(value, strlen(value), key, err);
	struct buf a = BUF_INIT, b = BUF_INIT;
	enum status status = root && wanted ? STATUS_OK : STATUS_BAD_INPUT;

	if (status == STATUS_OK) {
		if (now)
			json_print(now, false, &a);
		json_print(wanted, false, &b);
		if (!now || strcmp(a.data, b.data) != 0)
			status = json_edit(text, key, value, err);
	}
	buf_release(&a);
	buf_release(&b);
	json_free(root);
	json_free(wanted);
	return status;
}

static bool config_says_tied(const struct json *root, const struct hf_family *family)
{
	const struct json *tied = json_get(root, "tie_word_embeddings");

	return tied && json_type(tied) == JSON_BOOL ? json_bool(tied) : family->ties_by_default;
}

/* Labels that the config says, in words or by number; transformers' default is 2. */
static int64_t labels_said(const struct json *root)
{
	const struct json *id2label = json_get(root, "id2label");
	int64_t n = 2;

	if (id2label && json_type(id2label) == JSON_OBJECT)
		return (int64_t)json_count(id2label);
	return json_int64(json_get(root, "num_labels"), &n) ? n : 2;
}

/* Names for labels that the config does not have. */
static enum status set_names(struct buf *text, int n, struct error *err)
{
	struct buf names = BUF_INIT, numbers = BUF_INIT;
	enum status status;

	for (int i = 0; i < n; i++) {
		buf_printf(&names, "%s\"%d\": \"LABEL_%d\"", i ? ", " : "{", i, i);
		buf_printf(&numbers, "%s\"LABEL_%d\": %d", i ? ", " : "{", i, i);
	}
	buf_append_char(&names, '}');
	buf_append_char(&numbers, '}');
	status = set_member(text, "id2label", names.data, err);
	if (status == STATUS_OK)
		status = set_member(text, "label2id", numbers.data, err);
	buf_release(&names);
	buf_release(&numbers);
	return status;
}

/* Whatever the config says of its labels agrees with n. */
static enum status set_labels(struct buf *text, const struct json *root, int n, struct error *err)
{
	const struct json *number = json_given(root, "num_labels");
	enum status status = STATUS_OK;
	char count[16];
	int64_t said;

	snprintf(count, sizeof count, "%d", n);
	if (labels_said(root) != n)
		status = set_names(text, n, err);
	if (status == STATUS_OK && number && !(json_int64(number, &said) && said == n))
		status = set_member(text, "num_labels", count, err);
	return status;
}

/* One label is a score: transformers 5 refuses to call that a choice among classes. */
static enum status set_problem(struct buf *text, const struct json *root, int n, struct error *err)
{
	const struct json *problem = json_get(root, "problem_type");
	enum status status = STATUS_OK;

	if (n == 1 && problem && json_type(problem) == JSON_STRING &&
	    strcmp(json_string(problem, NULL), "single_label_classification") == 0)
		status = set_member(text, "problem_type", "null", err);
	return status;
}

/* Sets a member, or removes one whose value is NULL. */
static enum status set_or_remove(struct buf *text, const struct json *root, const char *key,
				 const char *value, struct error *err)
{
	if (value)
		return set_member(text, key, value, err);
	return json_get(root, key) ? json_edit(text, key, NULL, err) : STATUS_OK;
}

/* The types of tensors by name, where they differ from that of the model: a JSON object. */
static void print_types(const struct model *model, struct buf *out)
{
	int n = hf_tensor_count(model);

	for (int i = 0; i < n; i++) {
		struct hf_tensor tensor;

		if (hf_tensor_dtype(model, i) == model->dtype)
			continue;
		hf_tensor_describe(model, i, &tensor);
		buf_printf(out, "%s\"%s\": \"%s\"", out->length ? ", " : "{", tensor.name,
			   dtype_config_name(hf_tensor_dtype(model, i)));
	}
	if (out->length)
		buf_append_char(out, '}');
}

/* What the result of a run will be, in its state. */
static enum status set_result_types(struct buf *text, const struct model *model, bool is_state,
				    const struct json *root, struct error *err)
{
	struct buf others = BUF_INIT;
	char value[20];
	bool is_f32;
	enum status status;

	if (is_state && model->dtypes)
		print_types(model, &others);
	is_f32 = model->dtype == DTYPE_F32 && others.length == 0;
	snprintf(value, sizeof value, "\"%s\"", dtype_config_name(model->dtype));
	status = set_or_remove(text, root, HF_DTYPE_KEY, is_state && !is_f32 ? value : NULL, err);
	if (status == STATUS_OK)
		status = set_or_remove(text, root, HF_DTYPES_KEY,
				       others.length ? others.data : NULL, err);
	buf_release(&others);
	return status;
}

/* The keys that name the type of the weights, where the config has them; and of a run's
 * state the types that the result will have, where they are others. */
static enum status set_dtype(struct buf *text, const struct model *model, enum hf_save_as as,
			     const struct json *root, struct error *err)
{
	static const char *const keys[] = {"dtype", "torch_dtype"};
	enum dtype dtype = dtype_to_write(model->dtype, as);
	char value[20];
	enum status status = STATUS_OK;

	snprintf(value, sizeof value, "\"%s\"", dtype_config_name(dtype));
	for (int i = 0; i < 2 && status == STATUS_OK; i++)
		if (json_get(root, keys[i]))
			status = set_member(text, keys[i], value, err);
	return status == STATUS_OK
		       ? set_result_types(text, model, as == HF_SAVE_STATE, root, err)
		       : status;
}

/* Keys that follow from the model itself. */
static enum status set_own_members(struct buf *text, const struct model *model, enum hf_save_as as,
				   struct error *err)
{
	const struct model_config *config = &model->config;
	const struct hf_family *family = config->family;
	bool is_score = config->head == HEAD_SCORE;
	struct json *root = json_parse(text->data, text->length, "config.json", err);
	bool must_untie = !is_score && !config->tied && config_says_tied(root, family);
	char architectures[100];
	enum status status = root ? STATUS_OK : STATUS_BAD_INPUT;

	snprintf(architectures, sizeof architectures, "[\"%s\"]",
		 is_score ? family->score_architecture : family->lm_architecture);
	if (status == STATUS_OK)
		status = set_member(text, "architectures", architectures, err);
	if (status == STATUS_OK)
		status = set_dtype(text, model, as, root, err);
	if (status == STATUS_OK && is_score)
		status = set_labels(text, root, config->n_labels, err);
	if (status == STATUS_OK && is_score)
		status = set_problem(text, root, config->n_labels, err);
	if (status == STATUS_OK && must_untie)
		status = set_member(text, "tie_word_embeddings", "false", err);
	json_free(root);
	return status;
}

static enum status make_config(const struct model *model, const struct hf_save_options *options,
			       struct buf *text, struct error *err)
{
	enum status status = STATUS_OK;

	if (options->config_text) {
		buf_append_string(text, options->config_text);
	} else {
		status = hf_read_config_text(text, options->source_dir, err);
	}
	if (status == STATUS_OK)
		status = set_own_members(text, model, options->as, err);
	for (int i = 0; status == STATUS_OK && options->edits && options->edits[i]; i += 2)
		status = set_member(text, options->edits[i], options->edits[i + 1], err);
	return status;
}

/* --- the directory --- */

#define TEMPLATES "additional_chat_templates"
#define GENERATION "generation_config.json"

static enum status copy_file(const char *from, const char *to, const char *name, struct error *err)
{
	char *source = path_join(from, name), *target = path_join(to, name);
	enum status status = file_exists(source) ? file_copy(source, target, err) : STATUS_OK;

	free(source);
	free(target);
	return status;
}

static bool is_template(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && strcmp(dot, ".jinja") == 0;
}

/* Those that transformers reads. */
static enum status copy_templates(const char *from, const char *to, struct error *err)
{
	char *source = path_join(from, TEMPLATES), *target = path_join(to, TEMPLATES);
	char **names = NULL;
	size_t n = 0;
	enum status status = STATUS_OK;

	if (file_is_dir(source)) {
		status = file_list(source, &names, &n, err);
		if (status == STATUS_OK)
			status = file_make_dirs(target, err);
	}
	for (size_t i = 0; i < n; i++) {
		if (status == STATUS_OK && is_template(names[i]))
			status = copy_file(source, target, names[i], err);
		free(names[i]);
	}
	free(names);
	free(source);
	free(target);
	return status;
}

static enum status copy_tokenizer(const char *from, const char *to, struct error *err)
{
	enum status status = STATUS_OK;

	for (int i = 0; i < HF_COPIED_FILES && status == STATUS_OK; i++)
		status = copy_file(from, to, hf_copied_files[i], err);
	return status == STATUS_OK ? copy_templates(from, to, err) : status;
}

/* Names of a checkpoint's files: what is written or copied here, shards of any number. */
static bool is_of_checkpoint(const char *name)
{
	int i, n, end = 0;

	for (int k = 0; k < HF_COPIED_FILES; k++)
		if (strcmp(name, hf_copied_files[k]) == 0)
			return true;
	if (sscanf(name, "model-%5d-of-%5d.safetensors%n", &i, &n, &end) == 2 && end > 0 &&
	    !name[end])
		return true;
	return strcmp(name, "config.json") == 0 || strcmp(name, "model.safetensors") == 0 ||
	       strcmp(name, GENERATION) == 0 || strcmp(name, "adapter_config.json") == 0 ||
	       strcmp(name, "adapter_model.safetensors") == 0 ||
	       strcmp(name, "model.safetensors.index.json") == 0;
}

static bool is_config(const char *name)
{
	return strcmp(name, "config.json") == 0;
}

/* What a directory of a checkpoint may hold: files, and directories of their own kinds. */
struct contents {
	const char *name; /* the directory's */
	bool (*is_file)(const char *name);
	const struct contents *inner; /* [n_inner] */
	size_t n_inner;
};
static const struct contents INNER[] = {
	{.name = HF_ADAPTER_MODEL, .is_file = is_config},
	{.name = TEMPLATES, .is_file = is_template},
};
static const struct contents CHECKPOINT = {
	.is_file = is_of_checkpoint, .inner = INNER, .n_inner = sizeof INNER / sizeof *INNER};

static const struct contents *find_inner(const struct contents *contents, const char *name)
{
	for (size_t i = 0; i < contents->n_inner; i++)
		if (strcmp(contents->inner[i].name, name) == 0)
			return &contents->inner[i];
	return NULL;
}

/* Whether a name is a file's, or what one is written as before it has its name (file.c). */
static bool is_file_of(const struct contents *contents, const char *name)
{
	size_t n = strlen(name);
	bool is_unfinished = n > 4 && strcmp(name + n - 4, ".tmp") == 0;
	char *whole = xstrndup(name, is_unfinished ? n - 4 : n);
	bool is_file = contents->is_file(whole);

	free(whole);
	return is_file;
}

/* Refuses a directory with anything else in it. */
static enum status check_contents(const char *dir, const struct contents *contents,
				  struct error *err)
{
	char **names = NULL;
	size_t n = 0;
	enum status status = file_list(dir, &names, &n, err);

	for (size_t i = 0; i < n; i++) {
		char *path = path_join(dir, names[i]);
		bool is_dir = file_is_dir(path);
		const struct contents *inner = is_dir ? find_inner(contents, names[i]) : NULL;

		if (status == STATUS_OK && inner)
			status = check_contents(path, inner, err);
		else if (status == STATUS_OK && (is_dir || !is_file_of(contents, names[i])))
			status = error_set(err, STATUS_BAD_INPUT,
					   "%s: holds %.100s, which is no file of a checkpoint; "
					   "expected a new directory or a checkpoint to replace",
					   dir, names[i]);
		free(path);
		free(names[i]);
	}
	free(names);
	return status;
}

static enum status check_replaceable(const char *dir, struct error *err)
{
	if (!file_exists(dir))
		return STATUS_OK;
	if (!file_is_dir(dir))
		return error_set(
			err, STATUS_BAD_INPUT,
			"%s: is a file, expected a new directory or a checkpoint to replace", dir);
	return check_contents(dir, &CHECKPOINT, err);
}

enum status hf_check_target(const char *dir, struct error *err)
{
	char *temporary = xasprintf("%s.tmp", dir), *old = xasprintf("%s.old", dir);
	enum status status = check_replaceable(dir, err);

	if (status == STATUS_OK)
		status = check_replaceable(temporary, err);
	if (status == STATUS_OK)
		status = check_replaceable(old, err);
	free(temporary);
	free(old);
	return status;
}

/* One without modules only says what of the model is trained. */
static bool is_adapter(const struct model *model)
{
	return model->lora && model->lora->n_modules > 0;
}

static enum status write_config(const struct model *model, const char *dir,
				const struct hf_save_options *options, struct error *err)
{
	char *inner = is_adapter(model) ? path_join(dir, HF_ADAPTER_MODEL) : xstrdup(dir);
	char *config = path_join(inner, "config.json");
	struct buf text = BUF_INIT;
	enum status status = make_config(model, options, &text, err);

	if (status == STATUS_OK)
		status = file_make_dirs(inner, err);
	if (status == STATUS_OK)
		status = file_replace(config, text.data, text.length, err);
	buf_release(&text);
	free(config);
	free(inner);
	return status;
}

static enum status fill_directory(const struct model *model, const char *dir,
				  const struct hf_save_options *options, struct error *err)
{
	const char *generation_dir =
		options->generation_dir ? options->generation_dir : options->tokenizer_dir;
	enum status status = STATUS_OK;

	if (options->config_text || options->source_dir)
		status = write_config(model, dir, options, err);
	if (status == STATUS_OK)
		status = is_adapter(model) ? hf_adapter_write(model, dir, err)
					   : write_weights(model, dir, options, err);
	if (status == STATUS_OK && options->tokenizer_dir)
		status = copy_tokenizer(options->tokenizer_dir, dir, err);
	if (status == STATUS_OK && generation_dir)
		status = copy_file(generation_dir, dir, GENERATION, err);
	if (status == STATUS_OK)
		status = file_sync_dir(dir, err);
	return status;
}

/* Two directories take each other's names at once; false where the file system cannot. */
static bool exchange(const char *a, const char *b)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0;
}

/* The new directory takes the name, the old one, if there is one, that of the new.  Where
 * that cannot be done at once the old one goes aside first; it comes back if the new one
 * cannot follow. */
static enum status publish(const char *temporary, const char *dir, struct error *err)
{
	char *old = xasprintf("%s.old", dir), *parent = xstrdup(dir), *slash;
	enum status status = file_remove_tree(old, err);

	if (status == STATUS_OK && !exchange(temporary, dir) &&
	    ((file_exists(dir) && rename(dir, old) != 0) || rename(temporary, dir) != 0)) {
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be renamed: %s", dir,
				   strerror(errno));
		rename(old, dir);
	}
	slash = strrchr(parent, '/');
	if (slash)
		*slash = '\0';
	if (status == STATUS_OK)
		status = file_sync_dir(slash ? (*parent ? parent : "/") : ".", err);
	if (status == STATUS_OK)
		status = file_remove_tree(old, err);
	if (status == STATUS_OK)
		status = file_remove_tree(temporary, err);
	free(old);
	free(parent);
	return status;
}

/* Without slashes at its end; where a link leads, which then stays one. */
static char *resolve(const char *path)
{
	size_t length = strlen(path);
	char *dir, *linked, first;

	while (length > 1 && path[length - 1] == '/')
		length--;
	dir = xstrndup(path, length);
	linked = readlink(dir, &first, 1) >= 0 ? realpath(dir, NULL) : NULL;
	if (!linked)
		return dir;
	free(dir);
	return linked;
}

enum status hf_save(const struct model *model, const char *path,
		    const struct hf_save_options *options, struct error *err)
{
	char *dir = resolve(path), *temporary = xasprintf("%s.tmp", dir);
	struct error ignored;
	enum status status = hf_check_target(dir, err);

	if (status != STATUS_OK)
		goto done;
	status = file_remove_tree(temporary, err);
	if (status == STATUS_OK)
		status = file_make_dirs(temporary, err);
	if (status == STATUS_OK)
		status = fill_directory(model, temporary, options, err);
	if (status == STATUS_OK)
		status = publish(temporary, dir, err);
	if (status != STATUS_OK)
		file_remove_tree(temporary, &ignored);
done:
	free(temporary);
	free(dir);
	return status;
}

/* Writing a Hugging Face directory: one safetensors file, config.json with only what
 * changed replaced, tokenizer files copied byte for byte. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_families.h"
#include "common/model/safetensors.h"
#include "common/ops/elementwise.h"

/* --- one file --- */

struct block_plan {
	struct hf_tensor *tensors;
	struct tensor_spec *specs; /* in file order */
	int n;
	struct buf header;
	uint64_t file_bytes;
};

static void plan_block(struct block_plan *plan, const struct model *model)
{
	*plan = (struct block_plan){.n = hf_tensor_count(model)};
	plan->tensors = xcalloc((size_t)plan->n, sizeof *plan->tensors);
	plan->specs = xcalloc((size_t)plan->n, sizeof *plan->specs);
	for (int i = 0; i < plan->n; i++) {
		struct hf_tensor *tensor = &plan->tensors[i];

		hf_tensor_describe(model, i, tensor);
		plan->specs[i] = (struct tensor_spec){.name = tensor->name,
						      .rank = tensor->rank,
						      .shape = {tensor->shape[0], tensor->shape[1]},
						      .dtype = DTYPE_F32};
	}
	safetensors_plan(plan->specs, (size_t)plan->n, &plan->header, &plan->file_bytes);
}

static void release_plan(struct block_plan *plan)
{
	free(plan->tensors);
	free(plan->specs);
	buf_release(&plan->header);
}

/* Number of the tensor that a spec, now sorted, came from: whose name it borrows. */
static int tensor_of(const struct block_plan *plan, const struct tensor_spec *spec)
{
	return (int)((size_t)(spec->name - plan->tensors->name) / sizeof *plan->tensors);
}

static enum status write_planned(const struct block_plan *plan, const struct model *model,
				 const float *block, int fd, const char *path, char *sha256,
				 struct error *err)
{
	struct sha256 sha;
	uint8_t digest[32];
	enum status status =
		file_write_at(fd, plan->header.data, plan->header.length, 0, path, err);

	sha256_init(&sha);
	sha256_update(&sha, plan->header.data, plan->header.length);
	for (int i = 0; i < plan->n && status == STATUS_OK; i++) {
		const struct tensor_spec *spec = &plan->specs[i];
		float *values = xmalloc(spec->bytes);

		hf_tensor_gather(model, tensor_of(plan, spec), block, values);
		sha256_update(&sha, values, spec->bytes);
		status = file_write_at(fd, values, spec->bytes, spec->offset, path, err);
		free(values);
	}
	sha256_final(&sha, digest);
	for (int i = 0; sha256 && i < 32; i++)
		snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
	return status;
}

enum status hf_write_block(const struct model *model, const float *block, const char *path,
			   char *sha256, struct error *err)
{
	struct block_plan plan;
	size_t bad = first_non_finite(block, model->layout.n_floats, NULL);
	enum status status;
	int fd;

	if (bad < model->layout.n_floats)
		return error_set(err, STATUS_FAILED,
				 "%s: not written: value %zu is not a finite number", path, bad);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set(err, STATUS_BAD_INPUT, "%s: cannot be created: %s", path,
				 strerror(errno));
	plan_block(&plan, model);
	status = write_planned(&plan, model, block, fd, path, sha256, err);
	if (status == STATUS_OK && fsync(fd) != 0)
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be synced: %s", path,
				   strerror(errno));
	if (close(fd) != 0 && status == STATUS_OK)
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be closed: %s", path,
				   strerror(errno));
	release_plan(&plan);
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

static enum status set_labels(struct buf *text, bool has_count, struct error *err)
{
	enum status status = set_member(text, "id2label", "{\"0\": \"LABEL_0\"}", err);

	if (status == STATUS_OK)
		status = set_member(text, "label2id", "{\"LABEL_0\": 0}", err);
	if (status == STATUS_OK && has_count)
		status = set_member(text, "num_labels", "1", err);
	return status;
}

/* Keys that follow from the model itself. */
static enum status set_own_members(struct buf *text, const struct model *model, struct error *err)
{
	const struct model_config *config = &model->config;
	const struct hf_family *family = config->family;
	bool is_score = config->head == HEAD_SCORE;
	struct json *root = json_parse(text->data, text->length, "config.json", err);
	bool has_dtype = json_get(root, "dtype"), has_torch_dtype = json_get(root, "torch_dtype");
	bool has_count = json_get(root, "num_labels");
	bool must_untie = !is_score && !config->tied && config_says_tied(root, family);
	char architectures[100];
	enum status status = root ? STATUS_OK : STATUS_BAD_INPUT;

	json_free(root);
	snprintf(architectures, sizeof architectures, "[\"%s\"]",
		 is_score ? family->score_architecture : family->lm_architecture);
	if (status == STATUS_OK)
		status = set_member(text, "architectures", architectures, err);
	if (status == STATUS_OK && has_dtype)
		status = set_member(text, "dtype", "\"float32\"", err);
	if (status == STATUS_OK && (has_torch_dtype || !has_dtype))
		status = set_member(text, "torch_dtype", "\"float32\"", err);
	if (status == STATUS_OK && is_score && config->n_labels == 1)
		status = set_labels(text, has_count, err);
	if (status == STATUS_OK && must_untie)
		status = set_member(text, "tie_word_embeddings", "false", err);
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
		status = set_own_members(text, model, err);
	for (int i = 0; status == STATUS_OK && options->edits && options->edits[i]; i += 2)
		status = set_member(text, options->edits[i], options->edits[i + 1], err);
	return status;
}

/* --- the directory --- */

static enum status copy_tokenizer(const char *from, const char *to, struct error *err)
{
	static const char *const names[] = {
		"tokenizer.json",
		"tokenizer_config.json",
		"special_tokens_map.json",
		"added_tokens.json",
		"vocab.json",
		"merges.txt",
		"tokenizer.model",
		"chat_template.jinja",
		"generation_config.json",
	};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < sizeof names / sizeof *names && status == STATUS_OK; i++) {
		char *source = path_join(from, names[i]), *target = path_join(to, names[i]);

		if (file_exists(source))
			status = file_copy(source, target, err);
		free(source);
		free(target);
	}
	return status;
}

static enum status fill_directory(const struct model *model, const char *dir,
				  const struct hf_save_options *options, struct error *err)
{
	char *weights = path_join(dir, "model.safetensors"),
	     *config = path_join(dir, "config.json");
	struct buf text = BUF_INIT;
	enum status status = make_config(model, options, &text, err);

	if (status == STATUS_OK)
		status = file_replace(config, text.data, text.length, err);
	if (status == STATUS_OK)
		status = hf_write_block(model, model->weights, weights, NULL, err);
	if (status == STATUS_OK && options->tokenizer_dir)
		status = copy_tokenizer(options->tokenizer_dir, dir, err);
	if (status == STATUS_OK)
		status = file_sync_dir(dir, err);
	buf_release(&text);
	free(weights);
	free(config);
	return status;
}

/* The old directory, if there is one, goes aside, the new one takes its name; if it
 * cannot, the old one comes back. */
static enum status publish(const char *temporary, const char *dir, struct error *err)
{
	char *old = xasprintf("%s.old", dir), *parent = xstrdup(dir), *slash;
	enum status status = file_remove_tree(old, err);

	if (status == STATUS_OK &&
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
	free(old);
	free(parent);
	return status;
}

enum status hf_save(const struct model *model, const char *path,
		    const struct hf_save_options *options, struct error *err)
{
	size_t length = strlen(path);
	char *dir, *temporary;
	struct error ignored;
	enum status status;

	while (length > 1 && path[length - 1] == '/')
		length--;
	dir = xstrndup(path, length);
	temporary = xasprintf("%s.tmp", dir);
	status = file_remove_tree(temporary, err);

	if (status == STATUS_OK)
		status = file_make_dirs(temporary, err);
	if (status == STATUS_OK)
		status = fill_directory(model, temporary, options, err);
	if (status == STATUS_OK)
		status = publish(temporary, dir, err);
	if (status != STATUS_OK)
		file_remove_tree(temporary, &ignored);
	free(temporary);
	free(dir);
	return status;
}

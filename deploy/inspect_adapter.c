/* rlhf inspect on a PEFT LoRA adapter: its config and its tensors, which come in pairs
 *
 *     MODULE.lora_A.weight [r, in]    MODULE.lora_B.weight [out, r]
 *
 * (of an embedding lora_embedding_A and lora_embedding_B).  Whether they fit a base model
 * is not looked at.  See inspection.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/model/hf_examine.h"
#include "deploy/inspection.h"

enum { MAX_CONFIG_BYTES = 1 << 24, MAX_RANK = 1 << 16 };

/* --- the config --- */

static void describe_targets(struct inspection *in, const struct json *targets)
{
	struct buf json = BUF_INIT, text = BUF_INIT;

	if (!targets)
		return;
	json_print(targets, false, &json);
	if (json_type(targets) == JSON_STRING)
		buf_append_string(&text, json_string(targets, NULL));
	for (const struct json *item = json_first(targets); item; item = json_next(item))
		if (json_type(item) == JSON_STRING)
			buf_printf(&text, "%s%s", text.length ? ", " : "", json_string(item, NULL));
	inspection_line(in, "targets", "%s", text.data ? text.data : "none");
	inspection_member(in, "target_modules", "%s", json.data);
	buf_release(&json);
	buf_release(&text);
}

static bool says_true(const struct json *root, const char *key)
{
	const struct json *value = json_get(root, key);

	return value && json_type(value) == JSON_BOOL && json_bool(value);
}

/* The rank that every pair has unless rank_pattern says otherwise; 0 if it is wrong. */
static int describe_scale(struct inspection *in, const struct json *root, const char *path)
{
	const struct json *alpha = json_get(root, "lora_alpha");
	int64_t r = 0;

	if (!json_int64(json_get(root, "r"), &r) || r < 1 || r > MAX_RANK) {
		hf_problems_add(&in->problems, "%s: r is not a whole number from 1 to %d", path,
				MAX_RANK);
		r = 0;
	}
	if (!alpha || json_type(alpha) != JSON_NUMBER || json_number(alpha) <= 0) {
		hf_problems_add(&in->problems, "%s: lora_alpha is not a number above 0", path);
		return (int)r;
	}
	inspection_line(in, "scale", "alpha %g, rank %d%s", json_number(alpha), (int)r,
			says_true(root, "use_rslora") ? ", divided by the root of the rank" : "");
	inspection_member(in, "r", "%d", (int)r);
	inspection_member(in, "lora_alpha", "%.17g", json_number(alpha));
	inspection_member(in, "use_rslora", "%s", says_true(root, "use_rslora") ? "true" : "false");
	return (int)r;
}

/* Returns the rank that all pairs have; 0: not known. */
static int describe_config(struct inspection *in, const char *dir)
{
	static const char *const variants[] = {"use_dora", "use_qalora"};
	char *path = path_join(dir, "adapter_config.json");
	struct error err;
	struct json *root = json_read_object(path, MAX_CONFIG_BYTES, &err);
	const char *type = json_string_or_null(json_get(root, "peft_type")), *base, *task;
	int r = 0;

	if (!root)
		hf_problems_add(&in->problems, "%s", err.text);
	else if (!type || strcmp(type, "LORA") != 0)
		hf_problems_add(&in->problems, "%s: peft_type is %.60s, expected LORA", path,
				type ? type : "missing");
	if (root) {
		base = json_string_or_null(json_get(root, "base_model_name_or_path"));
		task = json_string_or_null(json_get(root, "task_type"));
		inspection_text(in, "base", base ? base : "not said");
		inspection_text(in, "task", task ? task : "not said");
		r = describe_scale(in, root, path);
		describe_targets(in, json_get(root, "target_modules"));
		for (int i = 0; i < 2; i++)
			if (says_true(root, variants[i]))
				hf_problems_add(&in->problems, "%s: %s is not supported", path,
						variants[i]);
		if (json_first(json_get(root, "rank_pattern")))
			r = 0;
	}
	json_free(root);
	free(path);
	return r;
}

/* --- tensors --- */

/* The name of the other half of a pair: ".lora_A" and ".lora_B" changed for each other;
 * NULL if it is no half.  The caller frees it. */
static char *other_half(const char *name, bool *is_a)
{
	static const char *const marks[] = {".lora_A", ".lora_B", ".lora_embedding_A",
					    ".lora_embedding_B"};

	for (int i = 0; i < 4; i++) {
		const char *found = strstr(name, marks[i]);
		char *other;

		if (!found)
			continue;
		other = xstrdup(name);
		other[(size_t)(found - name) + strlen(marks[i]) - 1] = i % 2 ? 'A' : 'B';
		*is_a = i % 2 == 0;
		return other;
	}
	return NULL;
}

static void check_pair(struct inspection *in, const struct safetensors *file,
		       const struct tensor_view *view, int r)
{
	bool is_a = false;
	char *name = other_half(view->name, &is_a);
	const struct tensor_view *other = name ? safetensors_find(file, name) : NULL;

	if (name && !other)
		hf_problems_add(&in->problems, "%s: \"%.160s\" is there without \"%.160s\"",
				file->path, view->name, name);
	else if (name && view->rank != 2)
		hf_problems_add(&in->problems, "%s: \"%.160s\" has %d dimensions, expected 2",
				file->path, view->name, view->rank);
	else if (name && is_a && other->rank == 2 &&
		 (view->shape[0] != other->shape[1] || (r > 0 && view->shape[0] != r)))
		hf_problems_add(&in->problems,
				"%s: the rank of \"%.160s\" is %" PRId64 " and %" PRId64
				", expected %" PRId64,
				file->path, view->name, view->shape[0], other->shape[1],
				r > 0 ? (int64_t)r : view->shape[0]);
	free(name);
}

static void examine_weights(struct inspection *in, const char *dir, int r)
{
	char *path = path_join(dir, "adapter_model.safetensors");
	struct safetensors file;
	struct error err;
	size_t elements = 0;

	if (safetensors_open(&file, path, &err) != STATUS_OK) {
		hf_problems_add(&in->problems, "%s", err.text);
		free(path);
		return;
	}
	for (size_t i = 0; i < file.n; i++) {
		elements += file.tensors[i].n_elements;
		check_pair(in, &file, &file.tensors[i], r);
		hf_examine_values(&file.tensors[i], NULL, &in->problems, NULL);
	}
	inspection_line(in, "parameters", "%zu in %zu tensors", elements, file.n);
	inspection_member(in, "parameters", "%zu", elements);
	if (in->lists_tensors)
		inspect_tensors(in, &file, 1);
	safetensors_close(&file);
	free(path);
}

void inspect_adapter(struct inspection *in, const char *dir)
{
	inspection_text(in, "kind", "LoRA adapter");
	inspection_text(in, "directory", dir);
	examine_weights(in, dir, describe_config(in, dir));
}

/* rlhf inspect on a PEFT LoRA adapter: what its config and its tensors are.  Whether they
 * fit a base model is not looked at.  See inspection.h. */
#include <math.h>

#include "common/base/json.h"
#include "common/model/hf_adapter_files.h"
#include "common/model/hf_examine.h"
#include "deploy/inspection.h"

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

static void describe_config(struct inspection *in, const struct hf_adapter_files *files)
{
	const struct json *root = files->root;
	const char *base = json_string_or_null(json_get(root, "base_model_name_or_path"));
	const char *task = json_string_or_null(json_get(root, "task_type"));

	inspection_text(in, "base", base ? base : "not said");
	inspection_text(in, "task", task ? task : "not said");
	if (isfinite(files->alpha)) {
		inspection_line(in, "scale", "alpha %g, rank %d%s", files->alpha, (int)files->r,
				files->use_rslora ? ", divided by the root of the rank" : "");
		inspection_member(in, "r", "%d", (int)files->r);
		inspection_member(in, "lora_alpha", "%.17g", files->alpha);
		inspection_member(in, "use_rslora", "%s", files->use_rslora ? "true" : "false");
	}
	describe_targets(in, json_get(root, "target_modules"));
}

static void describe_weights(struct inspection *in, const struct safetensors *weights)
{
	size_t elements = 0;

	for (size_t i = 0; i < weights->n; i++) {
		elements += weights->tensors[i].n_elements;
		hf_examine_values(&weights->tensors[i], NULL, &in->problems, NULL);
	}
	inspection_line(in, "parameters", "%zu in %zu tensors", elements, weights->n);
	inspection_member(in, "parameters", "%zu", elements);
	if (in->lists_tensors)
		inspect_tensors(in, weights, 1);
}

void inspect_adapter(struct inspection *in, const char *dir)
{
	struct hf_adapter_files files;

	inspection_text(in, "kind", "LoRA adapter");
	inspection_text(in, "directory", dir);
	hf_adapter_open(&files, dir, &in->problems);
	if (files.root)
		describe_config(in, &files);
	if (files.weights.path)
		describe_weights(in, &files.weights);
	hf_adapter_close(&files);
}

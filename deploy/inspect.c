/* rlhf inspect: what a checkpoint, a run, an adapter or one .safetensors file holds, and
 * whether it is sound.  Everything that is wrong is listed, not only the first; a
 * checkpoint that passes here loads in a run. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/run/options.h"
#include "common/run/run_dir.h"
#include "deploy/commands.h"
#include "deploy/inspection.h"
#include "deploy/output.h"
#include "learner/checkpoint.h"
#include "proto/comm.h"

/* --- what is found --- */

static void append_clean(struct buf *out, const char *format, va_list args)
{
	char *line;
	va_list again;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	line = xmalloc((size_t)n + 1);
	vsnprintf(line, (size_t)n + 1, format, args);
	error_clean(line);
	buf_append_string(out, line);
	free(line);
}

void inspection_line(struct inspection *in, const char *name, const char *format, ...)
{
	va_list args;

	if (in->as_json)
		return;
	buf_printf(&in->out, "%-14s ", name);
	va_start(args, format);
	append_clean(&in->out, format, args);
	va_end(args);
	buf_append_char(&in->out, '\n');
}

void inspection_member(struct inspection *in, const char *key, const char *format, ...)
{
	va_list args;
	size_t n = in->out.length;

	if (!in->as_json)
		return;
	buf_printf(&in->out, "%s\"%s\": ", n && in->out.data[n - 1] != '{' ? ", " : "", key);
	va_start(args, format);
	append_clean(&in->out, format, args);
	va_end(args);
}

void inspection_text(struct inspection *in, const char *key, const char *value)
{
	struct buf json = BUF_INIT;

	json_write_string(&json, value, strlen(value));
	inspection_line(in, key, "%s", value);
	inspection_member(in, key, "%s", json.data);
	buf_release(&json);
}

void inspection_number(struct inspection *in, const char *key, long long value)
{
	inspection_line(in, key, "%lld", value);
	inspection_member(in, key, "%lld", value);
}

void inspection_move(struct hf_problems *to, struct hf_problems *from)
{
	for (int i = 0; i < from->n; i++)
		hf_problems_add(to, "%s", from->items[i]);
	hf_problems_release(from);
}

/* --- tensors --- */

static void print_shape(const struct tensor_view *tensor, struct buf *out)
{
	buf_append_char(out, '[');
	for (int i = 0; i < tensor->rank; i++)
		buf_printf(out, "%s%" PRId64, i ? ", " : "", tensor->shape[i]);
	buf_append_char(out, ']');
}

static void list_tensor(const struct tensor_view *tensor, struct inspection *in, struct buf *json)
{
	struct buf shape = BUF_INIT;

	print_shape(tensor, &shape);
	if (!in->as_json) {
		char *name = xstrdup(tensor->name);

		error_clean(name);
		buf_printf(&in->out, "%-56s %-6s %s\n", name, tensor->dtype_name, shape.data);
		free(name);
	}
	buf_append_string(json, json->length ? ", {\"name\": " : "{\"name\": ");
	json_write_string(json, tensor->name, strlen(tensor->name));
	buf_printf(json, ", \"dtype\": \"%s\", \"shape\": %s}", tensor->dtype_name, shape.data);
	buf_release(&shape);
}

void inspect_tensors(struct inspection *in, const struct safetensors *files, size_t n)
{
	struct buf json = BUF_INIT;

	for (size_t f = 0; f < n; f++)
		for (size_t i = 0; i < files[f].n; i++)
			list_tensor(&files[f].tensors[i], in, &json);
	inspection_member(in, "tensors", "[%s]", json.data ? json.data : "");
	buf_release(&json);
}

void inspect_file(struct inspection *in, const char *path)
{
	struct safetensors file;
	struct error err;
	size_t elements = 0;

	if (safetensors_open(&file, path, &err) != STATUS_OK) {
		hf_problems_add(&in->problems, "%s", err.text);
		return;
	}
	for (size_t i = 0; i < file.n; i++)
		elements += file.tensors[i].n_elements;
	inspection_member(in, "kind", "\"file\"");
	inspect_tensors(in, &file, 1);
	inspection_line(in, "total", "%zu tensors, %zu elements, %" PRIu64 " bytes", file.n,
			elements, file.bytes);
	inspection_member(in, "elements", "%zu", elements);
	inspection_member(in, "bytes", "%" PRIu64, file.bytes);
	safetensors_close(&file);
}

/* --- runs and their checkpoints --- */

static bool holds(const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	bool exists = file_exists(path);

	free(path);
	return exists;
}

static void inspect_weights(struct inspection *in, const char *dir)
{
	if (holds(dir, "adapter_config.json"))
		inspect_adapter(in, dir);
	else
		inspect_model(in, dir);
}

/* A model or an adapter within what is inspected: an object of its own, a paragraph of its own. */
static void inspect_within(struct inspection *in, const char *dir, const char *name)
{
	char *path = path_join(dir, name);

	if (file_is_dir(path)) {
		inspection_member(in, name, "{");
		if (!in->as_json)
			buf_append_char(&in->out, '\n');
		inspect_weights(in, path);
		if (in->as_json)
			buf_append_char(&in->out, '}');
	}
	free(path);
}

static void inspect_checkpoint(struct inspection *in, const char *dir)
{
	struct error err;

	inspection_text(in, "kind", "checkpoint of a run");
	inspection_text(in, "directory", dir);
	if (checkpoint_verify(dir, &err) != STATUS_OK)
		hf_problems_add(&in->problems, "%s", err.text);
	inspect_within(in, dir, "model");
	inspect_within(in, dir, "critic");
}

/* Oldest first, without those that a run which goes on removes meanwhile. */
static void inspect_checkpoints(struct inspection *in, const char *dir)
{
	char *root = path_join(dir, "checkpoints"), **names;
	struct buf json = BUF_INIT;
	struct error err;
	size_t n;

	if (checkpoint_list(dir, &names, &n, &err) != STATUS_OK)
		hf_problems_add(&in->problems, "%s", err.text);
	for (size_t i = n; i-- > 0;) {
		char *path = path_join(root, names[i]);
		bool is_valid = checkpoint_verify(path, &err) == STATUS_OK;

		if (is_valid || file_exists(path)) {
			inspection_line(in, json.length ? "" : "checkpoints", "%s, %s", names[i],
					is_valid ? "valid" : "damaged");
			buf_append_string(&json, json.length ? ", {\"name\": " : "{\"name\": ");
			json_write_string(&json, names[i], strlen(names[i]));
			buf_printf(&json, ", \"valid\": %s}", is_valid ? "true" : "false");
			if (!is_valid)
				hf_problems_add(&in->problems, "%s", err.text);
		}
		free(path);
		free(names[i]);
	}
	inspection_member(in, "checkpoints", "[%s]", json.data ? json.data : "");
	buf_release(&json);
	free(names);
	free(root);
}

static void inspect_run(struct inspection *in, const char *dir)
{
	char state[16];
	int64_t step;

	inspection_text(in, "kind", "run");
	inspection_text(in, "directory", dir);
	if (run_dir_state(dir, state, &step)) {
		inspection_text(in, "state", state);
		inspection_number(in, "step", step);
	} else {
		hf_problems_add(&in->problems, "%s/run.json: is damaged", dir);
	}
	inspect_checkpoints(in, dir);
	inspect_within(in, dir, "best");
	inspect_within(in, dir, "final");
}

/* --- the command --- */

static void inspect_path(struct inspection *in, const char *path)
{
	if (!file_is_dir(path))
		inspect_file(in, path);
	else if (holds(path, "run.json"))
		inspect_run(in, path);
	else if (holds(path, "MANIFEST.json"))
		inspect_checkpoint(in, path);
	else
		inspect_weights(in, path);
}

static void print_list(struct inspection *in, const char *key, const char *name,
		       const struct hf_problems *list)
{
	struct buf json = BUF_INIT;

	for (int i = 0; i < list->n; i++) {
		inspection_line(in, name, "%s", list->items[i]);
		if (i > 0)
			buf_append_string(&json, ", ");
		json_write_string(&json, list->items[i], strlen(list->items[i]));
	}
	inspection_member(in, key, "[%s]", json.data ? json.data : "");
	buf_release(&json);
}

static enum status inspect(struct inspection *in, const char *path, struct error *err)
{
	const struct hf_problems *problems = &in->problems;
	enum status status;

	inspect_path(in, path);
	print_list(in, "warnings", "warning", &in->warnings);
	print_list(in, "problems", "problem", problems);
	inspection_member(in, "sound", "%s", problems->n ? "false" : "true");
	if (in->as_json)
		printf("{%s}\n", in->out.data);
	else
		printf("%s%s\n", in->out.data ? in->out.data : "",
		       problems->n ? "not sound" : "sound");
	/* Before exit codes make mpirun end the job, with what it has not read yet. */
	status = output_flush(err);
	if (status == STATUS_OK && problems->n == 1)
		status = error_set(err, STATUS_BAD_INPUT, "%s", problems->items[0]);
	else if (status == STATUS_OK && problems->n > 1)
		status = error_set(err, STATUS_BAD_INPUT, "%s; and %d more problem%s",
				   problems->items[0], problems->n - 1, problems->n > 2 ? "s" : "");
	hf_problems_release(&in->problems);
	hf_problems_release(&in->warnings);
	buf_release(&in->out);
	return status;
}

int inspect_main(int argc, char **argv)
{
	struct inspection in = {0};
	const char *path = NULL;
	bool help = false;
	const struct option options[] = {
		{.name = "PATH",
		 .type = OPTION_STRING,
		 .target = &path,
		 .required = true,
		 .help = "directory of a checkpoint, a run or an adapter, or a .safetensors file"},
		{.name = "--tensors",
		 .type = OPTION_FLAG,
		 .target = &in.lists_tensors,
		 .help = "list the tensors: name, type, shape"},
		{.name = "--json",
		 .type = OPTION_FLAG,
		 .target = &in.as_json,
		 .help = "print one JSON object"},
	};
	struct error err;
	struct comm *world;
	enum status status = options_parse(options, sizeof options / sizeof *options, argc, argv,
					   "rlhf inspect PATH [--tensors] [--json]",
					   "rlhf inspect runs/p/final", &help, &err);

	if (help)
		return status;
	status = comm_begin(&world, argc, argv, status, &err);
	if (status != STATUS_OK)
		return status;
	/* What would be logged about a model is among its warnings. */
	log_init(LOG_ERROR, comm_is_lead(world));
	if (comm_is_lead(world))
		status = inspect(&in, path, &err);
	return comm_end(status, &err);
}

/* PEFT's files in and out; see hf_adapter.h. */
#include "common/model/hf_adapter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/hf_adapter_files.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_source.h"
#include "common/model/lora.h"
#include "common/model/safetensors.h"
#include "common/ops/elementwise.h"

enum { MAX_CONFIG_BYTES = 1 << 22, NAME_BYTES = 256 };

/* --- names --- */

/* A module or tensor is called by its place in the whole model, as PEFT does it: the language
 * model is a part of one that sees images. */
static void name_in_whole(const struct model *model, char *name, size_t size)
{
	static const char whole[] = "model.", part[] = "language_model.";
	char *rest = name + strlen(whole);

	if (!model->config.sees_images || strncmp(name, whole, strlen(whole)) != 0)
		return;
	ASSERT(strlen(name) + strlen(part) < size);
	memmove(rest + strlen(part), rest, strlen(rest) + 1);
	memcpy(rest, part, strlen(part));
}

static void describe_tensor(const struct model *model, int i, struct hf_tensor *tensor)
{
	hf_tensor_describe(model, i, tensor);
	name_in_whole(model, tensor->name, sizeof tensor->name);
}

static bool describe_linear(const struct model *model, int i, struct hf_linear *linear)
{
	if (!hf_linear_describe(model, i, linear))
		return false;
	name_in_whole(model, linear->module, sizeof linear->module);
	return true;
}

/* --- plans --- */

/* The linear layers of a model, by stored tensor, beside the plan for them. */
struct planning {
	const struct model *model;
	int n;
	struct hf_linear *linears; /* module is "" where a tensor is none */
	struct lora_plan plan;
};

static void planning_init(struct planning *planning, const struct model *model)
{
	size_t n = (size_t)hf_tensor_count(model);

	*planning = (struct planning){.model = model, .n = (int)n};
	planning->linears = xcalloc(n, sizeof *planning->linears);
	planning->plan.r = xcalloc(n, sizeof *planning->plan.r);
	planning->plan.scale = xcalloc(n, sizeof *planning->plan.scale);
	planning->plan.is_saved = xcalloc(n, sizeof *planning->plan.is_saved);
	for (int i = 0; i < planning->n; i++)
		if (!describe_linear(model, i, &planning->linears[i]))
			planning->linears[i].module[0] = '\0';
}

static void planning_release(struct planning *planning)
{
	free(planning->linears);
	free(planning->plan.r);
	free(planning->plan.scale);
	free(planning->plan.is_saved);
}

/* "score" of "score.weight". */
static void module_of_tensor(const struct model *model, int i, char out[NAME_BYTES])
{
	struct hf_tensor tensor;
	char *dot;

	describe_tensor(model, i, &tensor);
	snprintf(out, NAME_BYTES, "%s", tensor.name);
	dot = strrchr(out, '.');
	if (dot)
		*dot = '\0';
}

/* What transformers 5 calls the output matrix of every family beside its stored name. */
#define COMMON_HEAD "lm_head"

static bool is_lm_head(const struct model *model, int i)
{
	return hf_tensor_param(model, i)->id == PARAM_LM_HEAD;
}

/* Whether a name, of a module or of its tensor, is that of an output matrix in a model that has
 * none of its own. */
static bool is_tied_head(const struct model *model, const char *name)
{
	return model->config.tied && model->config.head == HEAD_LM &&
	       strncmp(name, COMMON_HEAD, strlen(COMMON_HEAD)) == 0;
}

/* Whether a name in modules_to_save is that of a tensor's module: by PEFT's rule for what is
 * trained whole, any end of it. */
static bool saves(const struct model *model, int i, const char *name)
{
	char module[NAME_BYTES];

	module_of_tensor(model, i, module);
	return hf_name_ends_with(module, name) ||
	       (is_lm_head(model, i) && hf_name_ends_with(COMMON_HEAD, name));
}

static bool is_null(const struct json *value)
{
	return !value || json_type(value) == JSON_NULL;
}

/* A parameter that is trained whole must be stored as one tensor that stands for
 * itself alone. */
static enum status save_tensor(struct planning *planning, int i, const char *name,
			       const char *where, struct error *err)
{
	const struct model *model = planning->model;
	const struct param *param = hf_tensor_param(model, i);
	struct hf_tensor tensor;

	describe_tensor(model, i, &tensor);
	if (tensor.n_elements != (size_t)param->rows * (size_t)param->cols)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: \"%s\" cannot be trained whole beside an adapter: it is a part "
				 "of a larger matrix here",
				 where, name);
	if (param->id == PARAM_TOKEN_EMBEDDING && model->config.tied &&
	    model->config.head == HEAD_LM)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: \"%s\" cannot be trained whole beside an adapter: it is tied "
				 "to the output matrix",
				 where, name);
	planning->plan.is_saved[i] = true;
	return STATUS_OK;
}

/* --- a new adapter --- */

/* What linear layers there are, by the last part of their names, for messages. */
static void list_layers(const struct planning *planning, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < planning->n; i++) {
		const char *module = planning->linears[i].module, *dot = strrchr(module, '.');
		char quoted[NAME_BYTES];

		if (!dot)
			continue;
		snprintf(quoted, sizeof quoted, " %s,", dot + 1);
		if (!strstr(out, quoted) && used + strlen(quoted) < size)
			used += (size_t)snprintf(out + used, size - used, "%s", quoted);
	}
	if (used > 0)
		out[used - 1] = '\0'; /* the last comma */
}

static enum status target(struct planning *planning, const struct json *entry, int r, float scale,
			  struct error *err)
{
	const char *name;
	int n_matched = 0;
	char layers[512], module[NAME_BYTES];

	name = json_string(entry, NULL);
	if (strpbrk(name, "*+?|()[]{}^$\\"))
		return error_set(err, STATUS_BAD_INPUT,
				 "lora.target_modules: \"%.100s\" is no name of a layer; regular "
				 "expressions are not read",
				 name);
	for (int i = 0; i < planning->n; i++) {
		module_of_tensor(planning->model, i, module);
		if (!hf_adapter_names(module, name))
			continue;
		if (planning->linears[i].module[0]) {
			planning->plan.r[i] = r;
			planning->plan.scale[i] = scale;
			n_matched++;
		} else if (hf_tensor_param(planning->model, i)->layer < 0) {
			return error_set(err, STATUS_BAD_INPUT,
					 "lora.target_modules: \"%.100s\" is %s, expected linear "
					 "layers inside the model's layers; lora.modules_to_save "
					 "trains it whole",
					 name, module);
		}
	}
	if (n_matched > 0)
		return STATUS_OK;
	list_layers(planning, layers, sizeof layers);
	return error_set(err, STATUS_BAD_INPUT,
			 "lora.target_modules: no linear layer is called \"%.100s\", expected some "
			 "of%s",
			 name, layers);
}

static bool has_layer(const struct planning *planning, const char *name)
{
	for (int i = 0; i < planning->n; i++)
		if (planning->linears[i].module[0] &&
		    hf_adapter_names(planning->linears[i].module, name))
			return true;
	return false;
}

/* What PEFT adapts where it is not told: queries and values, or what holds them. */
static void default_targets(const struct planning *planning, struct buf *list)
{
	static const char *const fused[] = {"c_attn", "query_key_value", "qkv_proj"};

	if (has_layer(planning, "q_proj")) {
		bool is_phi = strcmp(hf_family_name(planning->model->config.family), "phi") == 0;

		buf_append_string(list, is_phi ? "[\"q_proj\", \"v_proj\", \"fc1\", \"fc2\"]"
					       : "[\"q_proj\", \"v_proj\"]");
		return;
	}
	for (size_t i = 0; i < sizeof fused / sizeof *fused; i++)
		if (has_layer(planning, fused[i]))
			buf_printf(list, "[\"%s\"]", fused[i]);
}

/* Appends to a list that is not closed yet. */
static void add_name(struct buf *list, const char *name)
{
	buf_append_string(list, list->length ? ", " : "[");
	json_write_string(list, name, strlen(name));
}

/* The names of all linear layers, or of those that are adapted. */
static void list_linear(const struct planning *planning, bool all, struct buf *list)
{
	for (int i = 0; i < planning->n; i++)
		if (planning->linears[i].module[0] && (all || planning->plan.r[i] > 0))
			add_name(list, planning->linears[i].module);
	buf_append_char(list, ']');
}

/* The names of the modules that are trained whole, in a list that is not closed yet. */
static void list_saved(const struct planning *planning, struct buf *list)
{
	char module[NAME_BYTES], before[NAME_BYTES] = "";

	for (int i = 0; i < planning->n; i++) {
		if (!planning->plan.is_saved[i])
			continue;
		module_of_tensor(planning->model, i, module);
		if (strcmp(module, before) != 0) /* its weight and its bias follow each other */
			add_name(list, module);
		memcpy(before, module, sizeof before);
	}
}

/* One name as a list. */
static void quote_name(const struct json *name, struct buf *list)
{
	buf_append_char(list, '[');
	json_print(name, false, list);
	buf_append_char(list, ']');
}

/* targets: out, the list as JSON text. */
static enum status plan_targets(struct planning *planning, const struct adapter_options *options,
				struct buf *targets, struct error *err)
{
	double divisor = options->use_rslora ? sqrt((double)options->r) : (double)options->r;
	float scale = (float)(options->lora_alpha / divisor);
	const char *name = json_string_or_null(options->target_modules);
	enum status status = STATUS_OK;
	struct json *list;

	if (is_null(options->target_modules))
		default_targets(planning, targets);
	else if (name && strcmp(name, "all-linear") == 0)
		list_linear(planning, true, targets);
	else if (name)
		quote_name(options->target_modules, targets);
	else
		json_print(options->target_modules, false, targets);
	list = json_parse(targets->data, targets->length, "lora.target_modules", err);
	if (!list)
		return STATUS_BAD_INPUT;
	for (const struct json *entry = json_first(list); entry && status == STATUS_OK;
	     entry = json_next(entry))
		status = target(planning, entry, (int)options->r, scale, err);
	json_free(list);
	if (planning->model->config.sees_images) { /* what sees them has such names too */
		buf_reset(targets);
		list_linear(planning, false, targets);
	}
	return status;
}

static enum status plan_saved(struct planning *planning, const struct adapter_options *options,
			      struct buf *saved, struct error *err)
{
	const struct model *model = planning->model;
	enum status status = STATUS_OK;

	if (model->config.head == HEAD_SCORE)
		add_name(saved, "score");
	for (int i = 0; i < planning->n && model->config.head == HEAD_SCORE; i++) {
		enum param_id id = hf_tensor_param(model, i)->id;

		planning->plan.is_saved[i] = id == PARAM_SCORE_WEIGHT || id == PARAM_SCORE_BIAS;
	}
	for (const struct json *entry = hf_adapter_first_name(options->modules_to_save);
	     entry && status == STATUS_OK;
	     entry = hf_adapter_next_name(options->modules_to_save, entry)) {
		const char *name = json_string(entry, NULL);
		int n_matched = 0;

		for (int i = 0; i < planning->n && status == STATUS_OK; i++) {
			if (!saves(model, i, name))
				continue;
			status = save_tensor(planning, i, name, "lora.modules_to_save", err);
			n_matched++;
		}
		if (status == STATUS_OK && n_matched == 0)
			status = error_set(err, STATUS_BAD_INPUT,
					   "lora.modules_to_save: no module of the model is called "
					   "\"%.100s\"%s",
					   name,
					   is_tied_head(model, name)
						   ? ": its output matrix is tied to the embedding"
						   : "");
		if (model->config.head == HEAD_SCORE && strcmp(name, "score") == 0)
			continue;
		add_name(saved, name);
	}
	if (model->config.sees_images) {
		buf_reset(saved);
		list_saved(planning, saved);
	}
	buf_append_string(saved, saved->length ? "]" : "null");
	return status;
}

/* The keys that PEFT writes, in its order, without those of variants. */
static void write_config_text(const struct planning *planning,
			      const struct adapter_options *options, const char *targets,
			      const char *saved, struct buf *out)
{
	bool is_score = planning->model->config.head == HEAD_SCORE, is_transposed = false;

	for (int i = 0; i < planning->n; i++)
		is_transposed = is_transposed ||
				(planning->plan.r[i] > 0 && hf_tensor_is_transposed(planning->model, i));
	buf_append_string(out, "{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n"
			       "  \"base_model_name_or_path\": ");
	json_write_string(out, options->base, strlen(options->base));
	buf_printf(out,
		   ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": %s,\n"
		   "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n"
		   "  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n"
		   "  \"lora_alpha\": ",
		   is_transposed ? "true" : "false");
	json_write_double(out, options->lora_alpha);
	buf_printf(out,
		   ",\n  \"lora_dropout\": 0.0,\n  \"modules_to_save\": %s,\n"
		   "  \"peft_type\": \"LORA\",\n  \"r\": %" PRId64 ",\n  \"rank_pattern\": {},\n"
		   "  \"revision\": null,\n  \"target_modules\": %s,\n  \"task_type\": \"%s\",\n"
		   "  \"use_dora\": false,\n  \"use_rslora\": %s\n}\n",
		   saved, options->r, targets, is_score ? "SEQ_CLS" : "CAUSAL_LM",
		   options->use_rslora ? "true" : "false");
}

static enum status create_adapter(struct model *model, const struct adapter_options *options,
				  struct pool *pool, struct error *err)
{
	struct planning planning;
	struct buf targets = BUF_INIT, saved = BUF_INIT;
	enum status status;

	planning_init(&planning, model);
	status = plan_targets(&planning, options, &targets, err);
	if (status == STATUS_OK)
		status = plan_saved(&planning, options, &saved, err);
	if (status == STATUS_OK) {
		lora_attach(model, &planning.plan);
		write_config_text(&planning, options, targets.data, saved.data,
				  &model->lora->config);
	}
	if (status == STATUS_OK && model->weights) {
		lora_init_random(model, options->seed);
		lora_pack(model, pool);
	}
	buf_release(&targets);
	buf_release(&saved);
	planning_release(&planning);
	return status;
}

enum status hf_adapter_attach(struct model *model, const struct adapter_options *options,
			      struct pool *pool, struct error *err)
{
	return options->path ? hf_adapter_load(model, options->path, pool, err)
			     : create_adapter(model, options, pool, err);
}

/* --- reading --- */

struct reader {
	struct planning planning;
	struct hf_adapter_files files;
	const struct tensor_view **a, **b, **saved; /* by stored tensor of the model */
};

static bool has_shape(const struct tensor_view *view, int64_t rows, int64_t cols)
{
	return view->rank == 2 && view->shape[0] == rows && view->shape[1] == cols;
}

/* The linear layer of that name, or -1. */
static int find_linear(const struct planning *planning, const char *module, size_t length)
{
	for (int i = 0; i < planning->n; i++) {
		const char *name = planning->linears[i].module;

		if (length > 0 && strlen(name) == length && strncmp(name, module, length) == 0)
			return i;
	}
	return -1;
}

static int find_tensor(const struct model *model, const char *name)
{
	int n = hf_tensor_count(model);

	for (int i = 0; i < n; i++) {
		struct hf_tensor tensor;

		describe_tensor(model, i, &tensor);
		if (strcmp(tensor.name, name) == 0 ||
		    (is_lm_head(model, i) && strcmp(COMMON_HEAD ".weight", name) == 0))
			return i;
	}
	return -1;
}

static enum status unexpected(const struct tensor_view *view, const char *why, struct error *err)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: tensor \"%.150s\" %s", view->path, view->name,
			 why);
}

/* Which tensor of the model a tensor of the file belongs to. */
static enum status place_tensor(struct reader *reader, const struct tensor_view *view,
				struct error *err)
{
	const char *name = view->name + strlen(HF_ADAPTER_PREFIX);
	const char *half = hf_adapter_half(view->name);
	int i;

	if (half) {
		i = find_linear(&reader->planning, name, (size_t)(half - name));
		if (i < 0)
			return unexpected(view,
					  "adapts no linear layer inside the layers of this model",
					  err);
		(half[strlen(".lora_")] == 'A' ? reader->a : reader->b)[i] = view;
		return STATUS_OK;
	}
	i = find_tensor(reader->planning.model, name);
	if (i < 0)
		return unexpected(view,
				  is_tied_head(reader->planning.model, name)
					  ? "is an output matrix, but this model's is tied to the "
					    "embedding"
					  : "belongs to no module of this model",
				  err);
	reader->saved[i] = view;
	return save_tensor(&reader->planning, i, name, view->path, err);
}

/* A and B of a linear layer, whose ranks are those of the config. */
static enum status check_module(struct reader *reader, int i, struct error *err)
{
	const struct hf_linear *linear = &reader->planning.linears[i];
	const struct tensor_view *a = reader->a[i], *b = reader->b[i];
	int64_t r;
	enum status status = hf_adapter_scale(&reader->files, linear->module, &r,
					      &reader->planning.plan.scale[i], err);

	if (status != STATUS_OK)
		return status;
	if (!has_shape(a, r, linear->param->cols) || !has_shape(b, linear->rows, r))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: lora_A and lora_B of %s do not have the shapes [%" PRId64
				 ", %d] and [%d, %" PRId64 "]",
				 a->path, linear->module, r, linear->param->cols, linear->rows, r);
	reader->planning.plan.r[i] = (int)r;
	return STATUS_OK;
}

static enum status check_saved(struct reader *reader, int i, struct error *err)
{
	const struct tensor_view *view = reader->saved[i];
	struct hf_tensor tensor;
	bool same;

	describe_tensor(reader->planning.model, i, &tensor);
	same = view->rank == tensor.rank && view->shape[0] == tensor.shape[0] &&
	       (tensor.rank == 1 || view->shape[1] == tensor.shape[1]);
	return same ? STATUS_OK : unexpected(view, "does not have the model's shape", err);
}

/* Every tensor of the model that is trained whole by a name of modules_to_save is there.  A
 * name of none is PEFT's, which adds some for heads of any model. */
static enum status check_complete(const struct reader *reader, struct error *err)
{
	const struct json *names = json_get(reader->files.root, "modules_to_save");
	const struct model *model = reader->planning.model;

	for (const struct json *entry = hf_adapter_first_name(names); entry;
	     entry = hf_adapter_next_name(names, entry))
		for (int i = 0; i < reader->planning.n; i++) {
			struct hf_tensor tensor;

			if (reader->saved[i] || !saves(model, i, json_string(entry, NULL)))
				continue;
			describe_tensor(model, i, &tensor);
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: tensor \"" HF_ADAPTER_PREFIX
					 "%s\" is missing, expected "
					 "because \"modules_to_save\" of %s names \"%.100s\"",
					 reader->files.weights.path, tensor.name,
					 reader->files.path, json_string(entry, NULL));
		}
	return STATUS_OK;
}

static enum status plan_tensors(struct reader *reader, struct error *err)
{
	const struct safetensors *weights = &reader->files.weights;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < weights->n && status == STATUS_OK; i++)
		status = place_tensor(reader, &weights->tensors[i], err);
	for (int i = 0; i < reader->planning.n && status == STATUS_OK; i++) {
		if (reader->a[i])
			status = check_module(reader, i, err);
		else if (reader->saved[i])
			status = check_saved(reader, i, err);
	}
	return status == STATUS_OK ? check_complete(reader, err) : status;
}

/* All of a tensor, finite; the caller frees it. */
static enum status read_values(const struct tensor_view *view, float **out, struct error *err)
{
	float *values = xmalloc(view->n_elements * sizeof *values);
	enum status status = tensor_read(view, 0, view->n_elements, values, err);
	size_t bad;

	if (status == STATUS_OK) {
		bad = first_non_finite(values, view->n_elements, NULL);
		if (bad < view->n_elements)
			status = unexpected(view, "holds a number that is not finite", err);
	}
	if (status == STATUS_OK)
		*out = values;
	else
		free(values);
	return status;
}

static enum status read_module(const struct reader *reader, const struct lora *lora,
			       const struct lora_module *module, struct error *err)
{
	float *a = NULL, *b = NULL;
	enum status status = read_values(reader->a[module->tensor], &a, err);

	if (status == STATUS_OK)
		status = read_values(reader->b[module->tensor], &b, err);
	if (status == STATUS_OK) {
		memcpy(lora->values + module->a, a,
		       (size_t)module->r * (size_t)module->param->cols * sizeof *a);
		hf_linear_scatter(reader->planning.model, module->tensor, b, module->r,
				  lora->values + module->b);
	}
	free(a);
	free(b);
	return status;
}

/* The parameters trained whole, by way of the model's own block. */
static enum status read_saved(const struct reader *reader, struct model *model, struct error *err)
{
	struct lora *lora = model->lora;

	for (int i = 0; i < reader->planning.n; i++) {
		float *values = NULL;

		if (!reader->saved[i])
			continue;
		if (read_values(reader->saved[i], &values, err) != STATUS_OK)
			return STATUS_BAD_INPUT;
		hf_tensor_scatter(model, i, values, model->weights);
		free(values);
	}
	for (int i = 0; i < lora->n_saved; i++) {
		const struct param *param = lora->saved[i].param;

		memcpy(lora->values + lora->saved[i].at, model->weights + param->offset,
		       (size_t)param->rows * (size_t)param->cols * sizeof *lora->values);
	}
	return STATUS_OK;
}

static enum status read_adapter(struct reader *reader, struct model *model, struct pool *pool,
				struct error *err)
{
	enum status status = plan_tensors(reader, err);

	if (status != STATUS_OK)
		return status;
	lora_attach(model, &reader->planning.plan);
	if (!model->weights)
		return STATUS_OK;
	for (int m = 0; m < model->lora->n_modules && status == STATUS_OK; m++)
		status = read_module(reader, model->lora, &model->lora->modules[m], err);
	if (status == STATUS_OK)
		status = read_saved(reader, model, err);
	if (status == STATUS_OK) {
		lora_pack(model, pool);
	} else {
		lora_destroy(model->lora);
		model->lora = NULL;
	}
	return status;
}

enum status hf_adapter_load(struct model *model, const char *dir, struct pool *pool,
			    struct error *err)
{
	struct reader reader;
	struct hf_problems problems = {0};
	size_t n = (size_t)hf_tensor_count(model);
	enum status status;

	planning_init(&reader.planning, model);
	reader.a = xcalloc(n, sizeof *reader.a);
	reader.b = xcalloc(n, sizeof *reader.b);
	reader.saved = xcalloc(n, sizeof *reader.saved);
	hf_adapter_open(&reader.files, dir, &problems);
	status = hf_problems_complain(&problems, err);
	if (status == STATUS_OK)
		status = read_adapter(&reader, model, pool, err);
	if (status == STATUS_OK)
		buf_append(&model->lora->config, reader.files.text.data, reader.files.text.length);
	hf_problems_release(&problems);
	hf_adapter_close(&reader.files);
	free(reader.a);
	free(reader.b);
	free(reader.saved);
	planning_release(&reader.planning);
	return status;
}

enum status hf_adapter_labels(int *n_labels, const char *dir, struct error *err)
{
	struct hf_adapter_files files;
	struct hf_problems problems = {0};
	const struct tensor_view *view;
	enum status status;

	*n_labels = 0;
	hf_adapter_open(&files, dir, &problems);
	status = hf_problems_complain(&problems, err);
	if (status == STATUS_OK) {
		view = safetensors_find(&files.weights, HF_ADAPTER_PREFIX "score.weight");
		if (view && view->rank == 2 && view->shape[0] > 0 && view->shape[0] < INT32_MAX)
			*n_labels = (int)view->shape[0];
	}
	hf_problems_release(&problems);
	hf_adapter_close(&files);
	return status;
}

char *hf_adapted_config(const char *base, const char *adapter)
{
	char *dir = adapter ? path_join(adapter, HF_ADAPTER_MODEL) : NULL;

	if (dir && file_is_dir(dir))
		return dir;
	free(dir);
	return xstrdup(base);
}

enum status hf_load_adapted(struct model **model, const char *dir, const char *adapter,
			    const struct hf_load_options *options, struct pool *pool,
			    struct error *err)
{
	struct hf_load_options wanted = *options;
	struct model_config config;
	enum status status = STATUS_OK;
	char *whole;

	if (!adapter)
		return hf_load(model, dir, options, pool, err);
	if (options->head == HEAD_SCORE) {
		status = hf_adapter_labels(&wanted.n_labels, adapter, err);
		wanted.create_score = wanted.n_labels > 0;
	}
	if (status == STATUS_OK)
		status = hf_load(model, dir, &wanted, pool, err);
	if (status == STATUS_OK)
		status = hf_adapter_load(*model, adapter, pool, err);
	whole = hf_adapted_config(dir, adapter);
	if (status == STATUS_OK)
		status = hf_read_config(&config, whole, err);
	if (status == STATUS_OK)
		(*model)->config.pad_id = config.pad_id;
	free(whole);
	return status;
}

enum status hf_adapter_base(char **base, const char *dir, struct error *err)
{
	char *path = path_join(dir, HF_ADAPTER_CONFIG);
	struct json *root = json_read_object(path, MAX_CONFIG_BYTES, err);
	const struct json *name = json_get(root, "base_model_name_or_path");
	enum status status = root ? STATUS_OK : STATUS_BAD_INPUT;

	if (root && (!name || json_type(name) != JSON_STRING))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: \"base_model_name_or_path\" is missing or not a string", path);
	if (status == STATUS_OK)
		*base = xstrdup(json_string(name, NULL));
	json_free(root);
	free(path);
	return status;
}

/* --- writing --- */

/* A tensor of the file: its name, and its elements in the stored order. */
struct written {
	char name[NAME_BYTES + 40];
	int rank;
	int64_t shape[2];
	float *values; /* owned */
};

static struct written *add_written(struct written *list, int *n, int rank, int64_t rows,
				   int64_t cols, size_t n_values)
{
	struct written *tensor = &list[(*n)++];

	*tensor = (struct written){.rank = rank, .shape = {rows, cols}};
	tensor->values = xcalloc(n_values, sizeof *tensor->values);
	return tensor;
}

static void gather_module(const struct model *model, const struct lora_module *module,
			  struct written *list, int *n)
{
	const struct lora *lora = model->lora;
	size_t n_a = (size_t)module->r * (size_t)module->param->cols;
	struct hf_linear linear;
	struct written *a, *b;

	describe_linear(model, module->tensor, &linear);
	a = add_written(list, n, 2, module->r, module->param->cols, n_a);
	snprintf(a->name, sizeof a->name, HF_ADAPTER_PREFIX "%s.lora_A.weight", linear.module);
	memcpy(a->values, lora->values + module->a, n_a * sizeof *a->values);
	b = add_written(list, n, 2, module->rows, module->r,
			(size_t)module->rows * (size_t)module->r);
	snprintf(b->name, sizeof b->name, HF_ADAPTER_PREFIX "%s.lora_B.weight", linear.module);
	hf_linear_gather(model, module->tensor, lora->values + module->b, module->r, b->values);
}

/* Whether modules_to_save names the output matrix as transformers 5 does. */
static bool names_common_head(const struct lora *lora)
{
	const struct buf *text = &lora->config;
	struct json *root = json_parse(text->data, text->length, HF_ADAPTER_CONFIG, NULL);
	const struct json *names = json_get(root, "modules_to_save");
	bool found = false;

	for (const struct json *entry = hf_adapter_first_name(names); entry;
	     entry = hf_adapter_next_name(names, entry))
		found = found || (json_type(entry) == JSON_STRING &&
				  hf_name_ends_with(COMMON_HEAD, json_string(entry, NULL)));
	json_free(root);
	return found;
}

/* The parameters trained whole are in the model's own block too. */
static void gather_saved(const struct model *model, struct written *list, int *n)
{
	int n_tensors = hf_tensor_count(model);

	for (int i = 0; i < n_tensors; i++) {
		const struct param *param = hf_tensor_param(model, i);
		struct hf_tensor tensor;
		struct written *saved;

		if (!lora_gradient(model->lora, model->lora->values, param->id, param->layer))
			continue;
		describe_tensor(model, i, &tensor);
		if (is_lm_head(model, i) && names_common_head(model->lora))
			snprintf(tensor.name, sizeof tensor.name, COMMON_HEAD ".weight");
		saved = add_written(list, n, tensor.rank, tensor.shape[0], tensor.shape[1],
				    tensor.n_elements);
		snprintf(saved->name, sizeof saved->name, HF_ADAPTER_PREFIX "%s", tensor.name);
		hf_tensor_gather(model, i, model->weights, saved->values);
	}
}

static enum status write_tensors(const struct written *list, int n, const char *path,
				 struct error *err)
{
	struct tensor_spec *specs = xcalloc((size_t)n, sizeof *specs);
	struct buf header = BUF_INIT;
	uint64_t bytes;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	enum status status = STATUS_OK;

	for (int i = 0; i < n; i++)
		specs[i] = (struct tensor_spec){.name = list[i].name,
						.rank = list[i].rank,
						.shape = {list[i].shape[0], list[i].shape[1]},
						.dtype = DTYPE_F32};
	safetensors_plan(specs, (size_t)n, &header, &bytes);
	if (fd < 0)
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be created: %s", path,
				   strerror(errno));
	else
		status = file_write_at(fd, header.data, header.length, 0, path, err);
	for (int i = 0; i < n && status == STATUS_OK; i++) {
		/* A spec, now sorted, borrows the name of what it came from. */
		size_t k = (size_t)(specs[i].name - list->name) / sizeof *list;

		status = file_write_at(fd, list[k].values, specs[i].bytes, specs[i].offset, path,
				       err);
	}
	if (status == STATUS_OK && fsync(fd) != 0)
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be synced: %s", path,
				   strerror(errno));
	if (fd >= 0 && close(fd) != 0 && status == STATUS_OK)
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot be closed: %s", path,
				   strerror(errno));
	buf_release(&header);
	free(specs);
	return status;
}

static enum status write_config(const struct lora *lora, const char *path, struct error *err)
{
	struct buf text = BUF_INIT;
	enum status status;

	buf_append(&text, lora->config.data, lora->config.length);
	status = json_edit(&text, "inference_mode", "true", err);
	if (status == STATUS_OK)
		status = file_replace(path, text.data, text.length, err);
	buf_release(&text);
	return status;
}

enum status hf_adapter_write(const struct model *model, const char *dir, struct error *err)
{
	const struct lora *lora = model->lora;
	char *config = path_join(dir, HF_ADAPTER_CONFIG),
	     *weights = path_join(dir, HF_ADAPTER_WEIGHTS);
	size_t bad = first_non_finite(lora->values, lora->layout.n_floats, NULL);
	struct written *list = xcalloc((size_t)lora->layout.n, sizeof *list);
	int n = 0;
	enum status status = STATUS_OK;

	if (bad < lora->layout.n_floats)
		status = error_set(err, STATUS_FAILED,
				   "%s: not written: number %zu of the adapter is not finite",
				   weights, bad);
	for (int m = 0; m < lora->n_modules; m++)
		gather_module(model, &lora->modules[m], list, &n);
	gather_saved(model, list, &n);
	if (status == STATUS_OK)
		status = write_config(lora, config, err);
	if (status == STATUS_OK)
		status = write_tensors(list, n, weights, err);
	for (int i = 0; i < n; i++)
		free(list[i].values);
	free(list);
	free(config);
	free(weights);
	return status;
}

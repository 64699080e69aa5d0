/* Loading a Hugging Face directory.
 *
 * All tensors of all files are in one table by name (hf_store.c); each tensor that the
 * model needs is looked up, checked and copied.  What is missing, misshaped or left
 * over is gathered into one sentence. */
#include "common/model/hf_checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/base/scratch.h"
#include "common/model/hf_source.h"

/* Copies a tensor of the right shape into the weights. */
static enum status load_tensor(struct model *model, int i, const struct tensor_view *view,
			       struct scratch *scratch, struct pool *pool, struct error *err)
{
	const struct param *param = hf_tensor_param(model, i);
	float *to = model->weights + param->offset, *values;
	int row, rows;
	enum status status;

	if (hf_tensor_is_straight(model, i, &row, &rows))
		return hf_read_values(view, 0, view->n_elements,
				      to + (size_t)row * (size_t)param->cols, pool, err);
	values = scratch_get(scratch, view->n_elements * sizeof *values);
	status = hf_read_values(view, 0, view->n_elements, values, pool, err);
	if (status == STATUS_OK)
		hf_tensor_place(model, i, values, to, pool);
	return status;
}

/* --- types --- */

static void set_type(struct model *model, int i, enum dtype dtype)
{
	int n = hf_tensor_count(model);

	if (hf_tensor_dtype(model, i) == dtype)
		return;
	if (!model->dtypes) {
		model->dtypes = xcalloc((size_t)n, sizeof *model->dtypes);
		for (int k = 0; k < n; k++)
			model->dtypes[k] = model->dtype;
	}
	model->dtypes[i] = dtype;
}

/* What is made here has the type of most, but a head's bias that of its weight. */
static void keep_types(struct model *model, const struct hf_source *source,
		       const struct tensor_view *const *views)
{
	int n = hf_tensor_count(model);

	model->dtype = hf_source_dtype(views, n);
	for (int i = 0; i < n; i++)
		if (views[i])
			set_type(model, i, views[i]->dtype);
		else if (hf_tensor_param(model, i)->id == PARAM_SCORE_BIAS && source->head.weight)
			set_type(model, i, source->head.weight->dtype);
}

static bool read_type(const struct json *name, enum dtype *dtype)
{
	for (*dtype = DTYPE_F32; *dtype < DTYPE_OTHER; (*dtype)++)
		if (name && json_type(name) == JSON_STRING &&
		    strcmp(json_string(name, NULL), dtype_config_name(*dtype)) == 0)
			return true;
	return false;
}

static bool has_type(const struct model *model, enum dtype dtype)
{
	for (int i = 0; i < hf_tensor_count(model); i++)
		if (hf_tensor_dtype(model, i) == dtype)
			return true;
	return false;
}

/* The state of a run is F32 and says what its result will be. */
static void restore_types(struct model *model, const struct json *root)
{
	const struct json *others = json_get(root, HF_DTYPES_KEY);
	enum dtype dtype;

	if (!read_type(json_get(root, HF_DTYPE_KEY), &dtype))
		return;
	model->dtype = dtype;
	free(model->dtypes);
	model->dtypes = NULL;
	for (int i = 0; i < hf_tensor_count(model) && json_first(others); i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(model, i, &tensor);
		if (read_type(json_get(others, tensor.name), &dtype))
			set_type(model, i, dtype);
	}
}

/* What config.json says about types: the one that it names, where tensors have several, is
 * the one in which others read all of them. */
static void read_types(struct model *model, const char *dir)
{
	static const char *const keys[] = {"torch_dtype", "dtype"};
	struct buf text = BUF_INIT;
	struct json *root = NULL;
	enum dtype dtype;

	if (hf_read_config_text(&text, dir, NULL) == STATUS_OK)
		root = json_parse(text.data, text.length, dir, NULL);
	for (int k = 0; k < 2 && model->dtypes; k++)
		if (read_type(json_get(root, keys[k]), &dtype) && has_type(model, dtype))
			model->dtype = dtype;
	restore_types(model, root);
	json_free(root);
	buf_release(&text);
}

/* --- tensors --- */

static enum status load_tensors(struct model *model, struct hf_source *source, struct pool *pool,
				struct error *err)
{
	struct hf_problems problems = {0};
	struct scratch scratch = {0};
	const struct tensor_view **views = hf_source_match(source, model, &problems);
	int n = hf_tensor_count(model);
	enum status status = hf_source_complain(source, &problems, err);

	for (int i = 0; i < n && status == STATUS_OK; i++)
		if (views[i] && model->weights)
			status = load_tensor(model, i, views[i], &scratch, pool, err);
	keep_types(model, source, views);
	scratch_release(&scratch);
	hf_problems_release(&problems);
	free(views);
	return status;
}

/* --- heads --- */

static void create_score_head(struct model *model, uint64_t seed)
{
	float *weight = model_view(model, model->weights, PARAM_SCORE_WEIGHT, -1);
	int width = model->config.n_embedding;
	size_t n = (size_t)model->config.n_labels * (size_t)width;
	double std = 1 / sqrt(width + 1.0);

	for (size_t i = 0; i < n; i++)
		weight[i] = (float)(std * rng_normal(seed, RNG_INIT, PARAM_SCORE_WEIGHT, 0,
						     (uint32_t)(i >> 32), (uint32_t)i));
}

static void subtract_offset(struct model *model, double offset)
{
	float *bias = model_view(model, model->weights, PARAM_SCORE_BIAS, -1);

	for (int i = 0; bias && i < model->config.n_labels; i++)
		bias[i] = (float)(bias[i] - offset);
}

/* --- loading --- */

enum status hf_describe(struct model_config *config, const char *dir,
			const struct hf_load_options *options, struct error *err)
{
	struct hf_source source = {0};
	enum status status = hf_source_open(&source, dir, options, err);

	*config = source.config;
	hf_source_close(&source);
	return status;
}

enum status hf_load(struct model **out, const char *dir, const struct hf_load_options *options,
		    struct pool *pool, struct error *err)
{
	struct hf_source source = {0};
	struct model *model = NULL;
	enum status status = hf_source_open(&source, dir, options, err);

	if (status == STATUS_OK && !options->is_outline)
		status = model_check_memory(&source.config, dir, err);
	if (status != STATUS_OK)
		goto done;
	model = options->is_outline
			? model_create_outline(&source.config, hf_source_has_bias(&source))
			: model_create(&source.config, hf_source_has_bias(&source));
	status = load_tensors(model, &source, pool, err);
	if (status != STATUS_OK)
		goto done;
	if (model->weights && source.new_score)
		create_score_head(model, options->seed);
	if (model->weights)
		subtract_offset(model, source.head.offset);
	read_types(model, dir);
	*out = model;
	model = NULL;
done:
	model_destroy(model);
	hf_source_close(&source);
	return status;
}

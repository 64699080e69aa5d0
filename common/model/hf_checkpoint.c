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
#include "common/ops/elementwise.h"

/* Copies a tensor of the right shape into the weights. */
static enum status load_tensor(struct model *model, int i, const struct tensor_view *view,
			       struct scratch *scratch, struct pool *pool, struct error *err)
{
	float *values = scratch_get(scratch, view->n_elements * sizeof *values);
	enum status status = tensor_read(view, 0, view->n_elements, values, err);
	size_t bad = view->n_elements;

	if (status == STATUS_OK)
		bad = first_non_finite(values, view->n_elements, pool);
	if (bad < view->n_elements)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: tensor \"%.100s\": element %zu is %g, expected a finite "
				   "number",
				   view->path, view->name, bad, values[bad]);
	if (status == STATUS_OK)
		hf_tensor_scatter(model, i, values, model->weights);
	return status;
}

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
	model->dtype = hf_source_dtype(views, n);
	scratch_release(&scratch);
	hf_problems_release(&problems);
	free(views);
	return status;
}

/* --- heads --- */

static void create_score_head(struct model *model, uint64_t seed)
{
	float *weight = model_view(model, model->weights, PARAM_SCORE_WEIGHT, -1);
	int width = model->config.n_embedding, n = model->config.n_labels * width;
	double std = 1 / sqrt(width + 1.0);

	for (int i = 0; i < n; i++)
		weight[i] = (float)(std * rng_normal(seed, RNG_INIT, PARAM_SCORE_WEIGHT, 0, 0,
						     (uint32_t)i));
}

/* The state of a run is F32 and says what its result will be. */
static void restore_dtype(struct model *model, const char *dir)
{
	static const enum dtype known[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F64};
	struct buf text = BUF_INIT;
	struct json *root = NULL;
	const struct json *name;

	if (hf_read_config_text(&text, dir, NULL) == STATUS_OK)
		root = json_parse(text.data, text.length, dir, NULL);
	name = json_get(root, HF_DTYPE_KEY);
	for (size_t i = 0; name && json_type(name) == JSON_STRING && i < 3; i++)
		if (strcmp(json_string(name, NULL), dtype_config_name(known[i])) == 0)
			model->dtype = known[i];
	json_free(root);
	buf_release(&text);
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
	restore_dtype(model, dir);
	*out = model;
	model = NULL;
done:
	model_destroy(model);
	hf_source_close(&source);
	return status;
}

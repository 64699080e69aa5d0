/* Filling frozen models, parameter by parameter and the largest ones in slices, so that
 * little more memory is needed than the weights themselves; see hf_frozen.h.
 *
 *     memory: | what is not packed | packed panels | hash |
 */
#include "common/model/hf_frozen.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/hash.h"
#include "common/base/scratch.h"
#include "common/model/hf_source.h"
#include "common/ops/elementwise.h"
#include "common/ops/gemm.h"

enum { HASH_FLOATS = 32, SLICE_FLOATS = 1 << 22 };

struct filling {
	struct hf_source source;
	struct model *model;
	const struct tensor_view **views; /* [n] */
	int n;
	struct sha256 sha;
	struct scratch values, stored;
	struct pool *pool;
};

/* --- description --- */

static void describe_shape(struct model *shape, const struct hf_frozen *frozen)
{
	*shape = (struct model){.config = frozen->config};
	param_layout_init(&shape->layout, &frozen->config, frozen->has_score_bias);
	param_layout_freeze(&shape->layout);
}

static enum status check_tensors(struct hf_source *source, const struct hf_frozen *frozen,
				 struct error *err)
{
	struct hf_problems problems = {0};
	struct model shape;
	enum status status;

	describe_shape(&shape, frozen);
	free(hf_source_match(source, &shape, &problems));
	status = hf_source_complain(source, &problems, err);
	hf_problems_release(&problems);
	param_layout_release(&shape.layout);
	return status;
}

enum status hf_frozen_describe(struct hf_frozen *frozen, const char *dir, enum head_kind head,
			       enum weight_type type, struct error *err)
{
	struct hf_load_options options = {.head = head};
	struct hf_source source = {0};
	enum status status = hf_source_open(&source, dir, &options, err);

	*frozen = (struct hf_frozen){.dir = dir,
				     .head = head,
				     .type = type,
				     .config = source.config,
				     .has_score_bias = hf_source_has_bias(&source)};
	if (status == STATUS_OK)
		status = check_tensors(&source, frozen, err);
	if (status == STATUS_OK)
		status = model_check_memory(&source.config, dir, err);
	hf_source_close(&source);
	return status;
}

size_t hf_frozen_floats(const struct hf_frozen *frozen)
{
	struct model shape;
	size_t n;

	describe_shape(&shape, frozen);
	n = model_frozen_floats(&shape.layout, frozen->type) + HASH_FLOATS;
	param_layout_release(&shape.layout);
	return n;
}

struct model *hf_frozen_model(const struct hf_frozen *frozen, const float *memory)
{
	return model_create_frozen(&frozen->config, frozen->has_score_bias, frozen->type,
				   (float *)(size_t)memory);
}

const char *hf_frozen_sha256(const struct hf_frozen *frozen, const float *memory)
{
	return (const char *)(memory + hf_frozen_floats(frozen) - HASH_FLOATS);
}

/* --- filling --- */

static enum status read_values(const struct filling *f, const struct tensor_view *view,
			       size_t first, size_t n, float *out, struct error *err)
{
	enum status status = tensor_read(view, first, n, out, err);
	size_t bad = status == STATUS_OK ? first_non_finite(out, n, f->pool) : n;

	if (bad < n)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: tensor \"%.100s\": element %zu is %g, expected a finite "
				   "number",
				   view->path, view->name, first + bad, out[bad]);
	return status;
}

/* A parameter's values, or rows of it from a panel's first on, go where they belong. */
static void put(struct filling *f, const struct param *param, int row, int rows,
		const float *values)
{
	size_t at = (size_t)row * (size_t)param->cols, n = (size_t)rows * (size_t)param->cols;

	sha256_update(&f->sha, values, n * sizeof *values);
	if (param->offset != SIZE_MAX)
		memcpy(f->model->weights + param->offset + at, values, n * sizeof *values);
	if (param->packed_offset != SIZE_MAX)
		model_pack_rows(f->model, param, row, rows, values, f->pool);
}

/* One stored tensor, as it lies in memory. */
static enum status fill_in_slices(struct filling *f, const struct param *param,
				  const struct tensor_view *view, struct error *err)
{
	int panel = (int)gemm_packed_floats(1, 1); /* rows of one */
	int step = SLICE_FLOATS / param->cols / panel * panel;
	enum status status = STATUS_OK;
	float *values;

	if (step < panel)
		step = panel;
	values = scratch_get(&f->values, (size_t)step * (size_t)param->cols * sizeof *values);
	for (int row = 0; row < param->rows && status == STATUS_OK; row += step) {
		int rows = param->rows - row < step ? param->rows - row : step;

		status = read_values(f, view, (size_t)row * (size_t)param->cols,
				     (size_t)rows * (size_t)param->cols, values, err);
		if (status == STATUS_OK)
			put(f, param, row, rows, values);
	}
	return status;
}

/* Stored tensors that are parts, transposed or in another order. */
static enum status fill_whole(struct filling *f, const struct param *param, struct error *err)
{
	size_t n = (size_t)param->rows * (size_t)param->cols;
	float *values = scratch_get(&f->values, n * sizeof *values);
	enum status status = STATUS_OK;

	memset(values, 0, n * sizeof *values);
	for (int i = 0; i < f->n && status == STATUS_OK; i++) {
		const struct tensor_view *view = f->views[i];
		float *stored;

		if (!view || hf_tensor_param(f->model, i) != param)
			continue;
		stored = scratch_get(&f->stored, view->n_elements * sizeof *stored);
		status = read_values(f, view, 0, view->n_elements, stored, err);
		if (status == STATUS_OK)
			hf_tensor_place(f->model, i, stored, values);
	}
	if (param->id == PARAM_SCORE_BIAS)
		for (int i = 0; i < param->rows; i++)
			values[i] = (float)(values[i] - f->source.head.offset);
	if (status == STATUS_OK)
		put(f, param, 0, param->rows, values);
	return status;
}

/* The view that is the parameter as it lies in memory, or NULL. */
static const struct tensor_view *only_view(const struct filling *f, const struct param *param)
{
	for (int i = 0; i < f->n; i++)
		if (hf_tensor_param(f->model, i) == param)
			return f->views[i] && hf_tensor_is_plain(f->model, i) ? f->views[i] : NULL;
	return NULL;
}

static enum status fill_params(struct filling *f, struct error *err)
{
	static const float zeros[PARAM_ALIGN_FLOATS];
	const struct param_layout *layout = &f->model->layout;
	enum status status = STATUS_OK;

	sha256_init(&f->sha);
	for (int i = 0; i < layout->n && status == STATUS_OK; i++) {
		const struct param *param = &layout->items[i];
		const struct tensor_view *view = only_view(f, param);
		size_t n = (size_t)param->rows * (size_t)param->cols;

		status = view ? fill_in_slices(f, param, view, err) : fill_whole(f, param, err);
		/* As the gaps of a flat block. */
		sha256_update(&f->sha, zeros, (param_aligned(n) - n) * sizeof *zeros);
	}
	return status;
}

enum status hf_frozen_fill(const struct hf_frozen *frozen, float *memory, struct pool *pool,
			   struct error *err)
{
	struct hf_load_options options = {.head = frozen->head};
	struct filling f = {.pool = pool};
	struct hf_problems problems = {0};
	enum status status = hf_source_open(&f.source, frozen->dir, &options, err);

	if (status != STATUS_OK)
		goto done;
	f.model = hf_frozen_model(frozen, memory);
	f.n = hf_tensor_count(f.model);
	f.views = hf_source_match(&f.source, f.model, &problems);
	status = hf_source_complain(&f.source, &problems, err);
	if (status == STATUS_OK)
		status = fill_params(&f, err);
	if (status == STATUS_OK)
		sha256_final_hex(&f.sha, (char *)(memory + hf_frozen_floats(frozen) - HASH_FLOATS));
done:
	scratch_release(&f.values);
	scratch_release(&f.stored);
	model_destroy(f.model);
	free(f.views);
	hf_problems_release(&problems);
	hf_source_close(&f.source);
	return status;
}

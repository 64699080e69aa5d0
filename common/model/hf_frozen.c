/* Filling frozen models, parameter by parameter and the largest ones in slices, so that
 * little more memory is needed than the weights themselves; see hf_frozen.h.
 *
 *     memory: | what is not packed | packed panels | identity |
 */
#include "common/model/hf_frozen.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/hash.h"
#include "common/base/scratch.h"
#include "common/model/hf_source.h"
#include "common/ops/gemm.h"

enum {
	IDENTITY_FLOATS = 32, /* of the identity's text */
	SLICE_FLOATS = 1 << 20,
	SUMS_AT_ONCE = 64, /* rows that a thread sums at a time */
};

struct filling {
	struct hf_source source;
	struct model *model;
	const struct tensor_view **views; /* [n] */
	const struct param **params;	  /* [n] that they are rows of */
	int n;
	struct sha256 sha;
	struct scratch values, stored, sums;
	struct pool *pool;
};

/* Rows of a parameter, and what becomes of them. */
struct rows {
	const struct param *param;
	int n;
	const float *values; /* [n, cols] */
	uint32_t *sums;	     /* [n] */
};

static int rows_of_panel(void)
{
	return (int)gemm_packed_floats(1, 1);
}

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
	n = model_frozen_floats(&shape.layout, frozen->type) + IDENTITY_FLOATS;
	param_layout_release(&shape.layout);
	return n;
}

struct model *hf_frozen_model(const struct hf_frozen *frozen, const float *memory)
{
	return model_create_frozen(&frozen->config, frozen->has_score_bias, frozen->type,
				   (float *)(size_t)memory);
}

const char *hf_frozen_identity(const struct hf_frozen *frozen, const float *memory)
{
	return (const char *)(memory + hf_frozen_floats(frozen) - IDENTITY_FLOATS);
}

/* --- filling --- */

static void sum_rows(void *args, int block, int thread)
{
	const struct rows *r = args;
	size_t bytes = (size_t)r->param->cols * sizeof *r->values;

	(void)thread;
	for (int i = block * SUMS_AT_ONCE; i < r->n && i < (block + 1) * SUMS_AT_ONCE; i++)
		r->sums[i] = htole32(crc32c(0, (const char *)r->values + (size_t)i * bytes, bytes));
}

/* A parameter's values, or rows of it from a panel's first on, go where they belong. */
static void put(struct filling *f, const struct param *param, int row, int rows,
		const float *values)
{
	size_t at = (size_t)row * (size_t)param->cols, n = (size_t)rows * (size_t)param->cols;
	uint32_t *sums = scratch_get(&f->sums, (size_t)rows * sizeof *sums);
	struct rows sum = {param, rows, values, sums};

	pool_run(f->pool, (rows + SUMS_AT_ONCE - 1) / SUMS_AT_ONCE, sum_rows, &sum);
	sha256_update(&f->sha, sums, (size_t)rows * sizeof *sums);
	if (param->offset != SIZE_MAX)
		memcpy(f->model->weights + param->offset + at, values, n * sizeof *values);
	if (param->packed_offset != SIZE_MAX)
		model_pack_rows(f->model, param, row, rows, values, f->pool);
}

/* A stored tensor that is rows of its parameter, from a panel's first on. */
static enum status fill_in_slices(struct filling *f, int i, struct error *err)
{
	const struct param *param = f->params[i];
	size_t cols = (size_t)param->cols;
	int panel = rows_of_panel(), row, rows, step = SLICE_FLOATS / param->cols / panel * panel;
	enum status status = STATUS_OK;
	float *values;

	if (step < panel)
		step = panel;
	hf_tensor_is_straight(f->model, i, &row, &rows);
	values = scratch_get(&f->values, (size_t)step * cols * sizeof *values);
	for (int r = 0; r < rows && status == STATUS_OK; r += step) {
		int n = rows - r < step ? rows - r : step;

		status = hf_read_values(f->views[i], (size_t)r * cols, (size_t)n * cols, values,
					f->pool, err);
		if (status == STATUS_OK)
			put(f, param, row + r, n, values);
	}
	return status;
}

/* Stored tensors that are transposed or in another order, or begin within a panel. */
static enum status fill_whole(struct filling *f, const struct param *param, struct error *err)
{
	size_t n = (size_t)param->rows * (size_t)param->cols;
	float *values = scratch_get(&f->values, n * sizeof *values);
	enum status status = STATUS_OK;

	memset(values, 0, n * sizeof *values);
	for (int i = 0; i < f->n && status == STATUS_OK; i++) {
		const struct tensor_view *view = f->views[i];
		float *stored;

		if (!view || f->params[i] != param)
			continue;
		stored = scratch_get(&f->stored, view->n_elements * sizeof *stored);
		status = hf_read_values(view, 0, view->n_elements, stored, f->pool, err);
		if (status == STATUS_OK)
			hf_tensor_place(f->model, i, stored, values, f->pool);
	}
	if (param->id == PARAM_SCORE_BIAS)
		for (int i = 0; i < param->rows; i++)
			values[i] = (float)(values[i] - f->source.head.offset);
	if (status == STATUS_OK)
		put(f, param, 0, param->rows, values);
	return status;
}

/* Whether the parameter is its stored tensors, one behind the other. */
static bool is_stored_straight(const struct filling *f, const struct param *param)
{
	bool is_packed = param->packed_offset != SIZE_MAX;
	int next = 0, row, rows;

	if (param->id == PARAM_SCORE_BIAS)
		return false;
	for (int i = 0; i < f->n; i++) {
		if (f->params[i] != param)
			continue;
		if (!f->views[i] || !hf_tensor_is_straight(f->model, i, &row, &rows) ||
		    row != next || (is_packed && row % rows_of_panel() != 0))
			return false;
		next += rows;
	}
	return next == param->rows;
}

static enum status fill_param(struct filling *f, const struct param *param, struct error *err)
{
	enum status status = STATUS_OK;

	if (!is_stored_straight(f, param))
		return fill_whole(f, param, err);
	for (int i = 0; i < f->n && status == STATUS_OK; i++)
		if (f->params[i] == param)
			status = fill_in_slices(f, i, err);
	return status;
}

static enum status fill_params(struct filling *f, struct error *err)
{
	const struct param_layout *layout = &f->model->layout;
	enum status status = STATUS_OK;

	f->params = xcalloc((size_t)f->n, sizeof *f->params);
	for (int i = 0; i < f->n; i++)
		f->params[i] = hf_tensor_param(f->model, i);
	sha256_init(&f->sha);
	for (int i = 0; i < layout->n && status == STATUS_OK; i++)
		status = fill_param(f, &layout->items[i], err);
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
		sha256_final_hex(&f.sha,
				 (char *)(memory + hf_frozen_floats(frozen) - IDENTITY_FLOATS));
done:
	scratch_release(&f.values);
	scratch_release(&f.stored);
	scratch_release(&f.sums);
	model_destroy(f.model);
	free(f.params);
	free(f.views);
	hf_problems_release(&problems);
	hf_source_close(&f.source);
	return status;
}

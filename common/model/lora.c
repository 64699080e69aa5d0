/* Low-rank adapters; see lora.h.  With u = x (s A)^T, which is kept,
 *
 *     y  += u B^T          du  = dy B
 *     dB += dy^T u         dA += s du^T x         dx += s du A */
#include "common/model/lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/rng.h"
#include "common/model/hf_checkpoint.h"
#include "common/ops/gemm.h"

/* --- layout --- */

/* Adds an item to the flat block and gives its place; the layout owns the name. */
static size_t add_item(struct param_layout *layout, char *name, int layer, int rows, int cols,
		       bool decays)
{
	size_t offset = layout->n_floats;

	layout->items = xrealloc(layout->items, (size_t)layout->n + 1, sizeof *layout->items);
	layout->items[layout->n++] = (struct param){.id = PARAM_COUNT,
						    .layer = layer,
						    .rows = rows,
						    .cols = cols,
						    .offset = offset,
						    .packed_offset = SIZE_MAX,
						    .decays = decays,
						    .name = name};
	layout->n_floats += param_aligned((size_t)rows * (size_t)cols);
	return offset;
}

static size_t add_panels(struct param_layout *layout, int n, int k)
{
	size_t at = layout->n_packed_floats;

	layout->n_packed_floats += param_aligned(gemm_packed_floats(n, k));
	return at;
}

static void add_module(struct lora *lora, const struct hf_linear *linear, int tensor, int r,
		       float scale)
{
	struct param_layout *layout = &lora->layout;
	const struct param *param = linear->param;
	int *low = &lora->low_width[param->layer];
	struct lora_module module = {.param = param,
				     .tensor = tensor,
				     .row = linear->row,
				     .rows = linear->rows,
				     .r = r,
				     .scale = scale,
				     .low = *low};

	module.a = add_item(layout, xasprintf("%s.lora_A", linear->module), param->layer, r,
			    param->cols, true);
	module.b = add_item(layout, xasprintf("%s.lora_B", linear->module), param->layer,
			    linear->rows, r, true);
	module.packed_a = add_panels(layout, r, param->cols);
	module.packed_b = add_panels(layout, linear->rows, r);
	*low += r;
	lora->modules = xrealloc(lora->modules, (size_t)lora->n_modules + 1, sizeof module);
	lora->modules[lora->n_modules++] = module;
}

/* The modules of one parameter, in the order of its rows. */
static void add_modules_of(struct lora *lora, const struct model *model,
			   const struct param *param, const struct lora_plan *plan)
{
	int n_tensors = hf_tensor_count(model);

	for (int row = 0; row < param->rows;) {
		int next = param->rows;

		for (int i = 0; i < n_tensors; i++) {
			struct hf_linear linear;

			if (!hf_linear_describe(model, i, &linear) || linear.param != param ||
			    linear.row != row)
				continue;
			next = linear.row + linear.rows;
			if (plan->r[i] > 0)
				add_module(lora, &linear, i, plan->r[i], plan->scale[i]);
		}
		row = next;
	}
}

static bool is_saved(const struct model *model, const struct param *param,
		     const struct lora_plan *plan)
{
	int n_tensors = hf_tensor_count(model);

	for (int i = 0; i < n_tensors; i++)
		if (plan->is_saved[i] && hf_tensor_param(model, i) == param)
			return true;
	return false;
}

static void add_saved(struct lora *lora, const struct param *param)
{
	char name[PARAM_NAME_BYTES];
	struct lora_saved saved = {.param = param};

	param_name(param, name);
	saved.at = add_item(&lora->layout, xstrdup(name), param->layer, param->rows, param->cols,
			    param->decays);
	lora->saved = xrealloc(lora->saved, (size_t)lora->n_saved + 1, sizeof saved);
	lora->saved[lora->n_saved++] = saved;
}

void lora_attach(struct model *model, const struct lora_plan *plan)
{
	struct lora *lora = xcalloc(1, sizeof *lora);
	int n = model->layout.n;

	ASSERT(!model->lora);
	lora->first = xcalloc((size_t)n + 1, sizeof *lora->first);
	lora->n_layers = model->config.n_layers;
	lora->low_width = xcalloc((size_t)model->config.n_layers, sizeof *lora->low_width);
	for (int i = 0; i < n; i++) {
		lora->first[i] = lora->n_modules;
		add_modules_of(lora, model, &model->layout.items[i], plan);
	}
	lora->first[n] = lora->n_modules;
	for (int i = 0; i < n; i++)
		if (is_saved(model, &model->layout.items[i], plan))
			add_saved(lora, &model->layout.items[i]);
	model->lora = lora;
	if (!model->weights)
		return;
	lora->values = xaligned(lora->layout.n_floats, sizeof *lora->values);
	lora->packed = xaligned(lora->layout.n_packed_floats, sizeof *lora->packed);
	for (int i = 0; i < lora->n_saved; i++) {
		const struct param *param = lora->saved[i].param;

		memcpy(lora->values + lora->saved[i].at, model->weights + param->offset,
		       (size_t)param->rows * (size_t)param->cols * sizeof *lora->values);
	}
}

static bool is_same_param(const struct param *a, const struct param *b)
{
	return a->id == b->id && a->layer == b->layer;
}

void lora_attach_like(struct model *model, const struct model *other)
{
	size_t n = (size_t)hf_tensor_count(model);
	struct lora_plan plan = {.r = xcalloc(n, sizeof *plan.r),
				 .scale = xcalloc(n, sizeof *plan.scale),
				 .is_saved = xcalloc(n, sizeof *plan.is_saved)};

	for (int i = 0; i < (int)n; i++) {
		const struct param *param = hf_tensor_param(model, i);
		struct hf_linear linear;
		bool is_linear = hf_linear_describe(model, i, &linear);

		for (int m = 0; is_linear && m < other->lora->n_modules; m++) {
			const struct lora_module *module = &other->lora->modules[m];

			if (is_same_param(module->param, param) && module->row == linear.row) {
				plan.r[i] = module->r;
				plan.scale[i] = module->scale;
			}
		}
		for (int s = 0; s < other->lora->n_saved; s++)
			plan.is_saved[i] |= is_same_param(other->lora->saved[s].param, param);
	}
	lora_attach(model, &plan);
	free(plan.r);
	free(plan.scale);
	free(plan.is_saved);
}

void lora_destroy(struct lora *lora)
{
	if (!lora)
		return;
	for (int i = 0; i < lora->layout.n; i++)
		free((char *)lora->layout.items[i].name);
	param_layout_release(&lora->layout);
	free(lora->values);
	free(lora->packed);
	free(lora->modules);
	free(lora->first);
	free(lora->low_width);
	free(lora->saved);
	buf_release(&lora->config);
	free(lora);
}

/* --- values --- */

void lora_init_random(struct model *model, uint64_t seed)
{
	struct lora *lora = model->lora;

	for (int m = 0; m < lora->n_modules; m++) {
		const struct lora_module *module = &lora->modules[m];
		size_t n = (size_t)module->r * (size_t)module->param->cols;
		double bound = 1 / sqrt((double)module->param->cols);

		for (size_t i = 0; i < n; i++)
			lora->values[module->a + i] =
				(float)(bound * (2 * rng_uniform(seed, RNG_ADAPTER,
								 (uint32_t)module->tensor, 0,
								 (uint32_t)i,
								 (uint32_t)(i >> 32)) -
						 1));
		memset(lora->values + module->b, 0,
		       (size_t)module->rows * (size_t)module->r * sizeof *lora->values);
	}
}

static void scale_floats(float *x, float scale, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= scale;
}

/* A of a module times s; the caller frees it. */
static float *scaled_a(const struct lora *lora, const struct lora_module *module)
{
	size_t n = (size_t)module->r * (size_t)module->param->cols;
	float *a = xaligned(n, sizeof *a);

	memcpy(a, lora->values + module->a, n * sizeof *a);
	scale_floats(a, module->scale, n);
	return a;
}

void lora_pack(struct model *model, struct pool *pool)
{
	struct lora *lora = model->lora;

	for (int m = 0; m < lora->n_modules; m++) {
		const struct lora_module *module = &lora->modules[m];
		float *a = scaled_a(lora, module);

		gemm_pack(lora->packed + module->packed_a, a, module->r, module->param->cols, pool);
		gemm_pack(lora->packed + module->packed_b, lora->values + module->b, module->rows,
			  module->r, pool);
		free(a);
	}
	for (int i = 0; i < lora->n_saved; i++) {
		const struct param *param = lora->saved[i].param;

		memcpy(model->weights + param->offset, lora->values + lora->saved[i].at,
		       (size_t)param->rows * (size_t)param->cols * sizeof *lora->values);
		model_pack_param(model, param, pool);
	}
}

/* W += s B A. */
void lora_merge(struct model *model, struct pool *pool)
{
	struct lora *lora = model->lora;

	for (int m = 0; m < lora->n_modules; m++) {
		const struct lora_module *module = &lora->modules[m];
		int cols = module->param->cols;
		float *a = scaled_a(lora, module);

		gemm_backward_input(model->weights + module->param->offset +
					    (size_t)module->row * (size_t)cols,
				    lora->values + module->b, a, module->rows, module->r, cols,
				    true, pool);
		free(a);
	}
	lora_destroy(lora);
	model->lora = NULL;
	model_repack(model, pool);
}

int lora_first_layer(const struct lora *lora)
{
	int first = lora->n_layers;

	for (int i = 0; i < lora->n_modules; i++)
		if (lora->modules[i].param->layer < first)
			first = lora->modules[i].param->layer;
	for (int i = 0; i < lora->n_saved; i++) {
		const struct param *param = lora->saved[i].param;
		bool is_embedding = param->id == PARAM_TOKEN_EMBEDDING ||
				    param->id == PARAM_POSITION_EMBEDDING ||
				    param->id == PARAM_PROJECT_IN;

		if (is_embedding || (param->layer >= 0 && param->layer < first))
			first = param->layer;
	}
	return first;
}

float *lora_gradient(const struct lora *lora, float *block, enum param_id id, int layer)
{
	for (int i = 0; i < lora->n_saved; i++)
		if (lora->saved[i].param->id == id && lora->saved[i].param->layer == layer)
			return block + lora->saved[i].at;
	return NULL;
}

/* --- products --- */

/* The modules of a parameter: [*first, the result). */
static int modules_of(const struct model *model, const struct param *param, int *first)
{
	ptrdiff_t i = param - model->layout.items;

	*first = model->lora->first[i];
	return model->lora->first[i + 1];
}

int lora_low_width(const struct lora *lora, int layer)
{
	int most = 0;

	if (layer >= 0)
		return lora->low_width[layer];
	for (int l = 0; l < lora->n_layers; l++)
		most = lora->low_width[l] > most ? lora->low_width[l] : most;
	return most;
}

void lora_forward(const struct model *model, const struct param *param, const float *x, float *y,
		  float *low, int t, struct pool *pool)
{
	const struct lora *lora = model->lora;
	int first, end = modules_of(model, param, &first);

	for (int m = first; m < end; m++) {
		const struct lora_module *module = &lora->modules[m];
		float *u = low + (size_t)t * (size_t)module->low;

		gemm_forward(u, x, lora->packed + module->packed_a, NULL, t, module->r, param->cols,
			     pool);
		gemm_forward_add(y + module->row, param->rows, u, lora->packed + module->packed_b,
				 t, module->rows, module->r, pool);
	}
}

/* The columns [row, row + rows) of dy [T, width], which may be all. */
static const float *columns_of(const float *dy, int width, int row, int rows, int t,
			       struct arena *arena)
{
	float *out;

	if (rows == width)
		return dy;
	out = arena_alloc(arena, (size_t)t * (size_t)rows, sizeof *out);
	for (int i = 0; out && i < t; i++)
		memcpy(out + (size_t)i * (size_t)rows, dy + (size_t)i * (size_t)width + row,
		       (size_t)rows * sizeof *out);
	return out;
}

void lora_backward(const struct model *model, const struct param *param, const float *dy,
		   const float *x, const float *low, float *dx, float *grads, int t,
		   struct arena *arena, struct pool *pool)
{
	const struct lora *lora = model->lora;
	int first, end = modules_of(model, param, &first);

	for (int m = first; m < end; m++) {
		const struct lora_module *module = &lora->modules[m];
		const float *u = low + (size_t)t * (size_t)module->low;
		size_t mark = arena_mark(arena), n = (size_t)t * (size_t)module->r;
		float *du = arena_alloc(arena, n, sizeof *du);
		const float *part =
			columns_of(dy, param->rows, module->row, module->rows, t, arena);

		gemm_backward_weight(grads + module->b, part, u, t, module->rows, module->r, pool);
		gemm_backward_input(du, part, lora->values + module->b, t, module->rows, module->r,
				    false, pool);
		scale_floats(du, module->scale, n);
		gemm_backward_weight(grads + module->a, du, x, t, module->r, param->cols, pool);
		gemm_backward_input(dx, du, lora->values + module->a, t, module->r, param->cols,
				    true, pool);
		arena_rewind(arena, mark);
	}
}

void lora_count_backward(const struct model *model, const struct param *param, int t,
			 struct arena *arena)
{
	int first, end = modules_of(model, param, &first);

	for (int m = first; m < end; m++) {
		const struct lora_module *module = &model->lora->modules[m];
		size_t mark = arena_mark(arena);

		arena_alloc(arena, (size_t)t * (size_t)module->r, sizeof(float));
		columns_of(NULL, param->rows, module->row, module->rows, t, arena);
		arena_rewind(arena, mark);
	}
}

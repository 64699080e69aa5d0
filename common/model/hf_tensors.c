/* The tensors of a model as its family stores them: which there are, their names and
 * shapes, and their elements in and out of a flat block.
 *
 * Tensors are numbered in the order of the family's table: entries outside the
 * layers, then those of each layer, then the head; entries whose parameter the model
 * lacks are skipped.  Layers are alike, so counting one of them finds any. */
#include <stdio.h>
#include <string.h>

#include "common/base/die.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_families.h"

enum { ROWS_AT_ONCE = 16 };

/* One stored tensor: rows [row, row + rows) of a parameter, in the order of
 * stored_row. */
struct place {
	const struct param *param;
	const struct hf_name *name; /* NULL for the heads */
	int layer;
	int row, rows;
};

static bool is_layered(const struct hf_name *name)
{
	return strstr(name->suffix, "%d") != NULL;
}

static void part_rows(const struct model_config *config, enum hf_part part,
		      const struct param *param, int *row, int *rows)
{
	int q = config->n_heads * config->head_dim, kv = config->n_kv_heads * config->head_dim;

	*row = 0;
	*rows = param->rows;
	switch (part) {
	case PART_WHOLE:
	case PART_HEADS:
		break;
	case PART_Q:
		*rows = q;
		break;
	case PART_K:
		*row = q;
		*rows = kv;
		break;
	case PART_V:
		*row = q + kv;
		*rows = kv;
		break;
	case PART_GATE:
		*rows = config->n_ff;
		break;
	case PART_UP:
		*row = config->n_ff;
		*rows = config->n_ff;
		break;
	}
}

/* Which of the parameter's rows is the i-th stored one. */
static int stored_row(const struct model_config *config, const struct place *place, int i)
{
	enum hf_part part = place->name ? place->name->part : PART_WHOLE;
	int d = config->head_dim, half = config->rotary_dim / 2, in_head = i % d;

	if (part == PART_HEADS) {
		int head = i / (3 * d), which = i / d % 3; /* q, k or v */

		return (which * config->n_heads + head) * d + in_head;
	}
	if (config->family->interleaves_rotary && (part == PART_Q || part == PART_K) &&
	    in_head < 2 * half)
		return place->row + i - in_head + in_head / 2 + in_head % 2 * half;
	return place->row + i;
}

/* Whether stored_row has another order than the parameter. */
static bool is_reordered(const struct hf_family *family, const struct place *place)
{
	enum hf_part part = place->name ? place->name->part : PART_WHOLE;

	return part == PART_HEADS ||
	       (family->interleaves_rotary && (part == PART_Q || part == PART_K));
}

static const enum param_id heads[] = {PARAM_LM_HEAD, PARAM_LM_HEAD_BIAS, PARAM_SCORE_WEIGHT,
				      PARAM_SCORE_BIAS};
enum { N_HEADS = sizeof heads / sizeof *heads };

/* Number of entries of the table that the model has, outside the layers (layer -1) or
 * in one of them. */
static int count_names(const struct model *model, int layer)
{
	int n = 0;

	for (const struct hf_name *name = model->config.family->names; name->suffix; name++)
		n += is_layered(name) == (layer >= 0) &&
		     param_find(&model->layout, name->id, layer) != NULL;
	return n;
}

int hf_tensor_count(const struct model *model)
{
	int n = count_names(model, -1) + model->config.n_layers * count_names(model, 0);

	for (int h = 0; h < N_HEADS; h++)
		n += param_find(&model->layout, heads[h], -1) != NULL;
	return n;
}

/* The i-th of the entries that count_names counts. */
static struct place place_in(const struct model *model, int layer, int i)
{
	for (const struct hf_name *name = model->config.family->names; name->suffix; name++) {
		const struct param *param;
		struct place place = {.name = name, .layer = layer};

		if (is_layered(name) != (layer >= 0))
			continue;
		param = param_find(&model->layout, name->id, layer);
		if (!param || i-- > 0)
			continue;
		place.param = param;
		part_rows(&model->config, name->part, param, &place.row, &place.rows);
		return place;
	}
	die("a tensor has lost its place");
}

static struct place find_place(const struct model *model, int i)
{
	int n_outside = count_names(model, -1), n_layer = count_names(model, 0);
	int n_named = n_outside + model->config.n_layers * n_layer;

	if (i < n_outside)
		return place_in(model, -1, i);
	if (i < n_named)
		return place_in(model, (i - n_outside) / n_layer, (i - n_outside) % n_layer);
	i -= n_named;
	for (int h = 0; h < N_HEADS; h++) {
		const struct param *param = param_find(&model->layout, heads[h], -1);

		if (param && i-- == 0)
			return (struct place){.param = param, .layer = -1, .rows = param->rows};
	}
	die("a model has no tensor of that number");
}

static void name_place(const struct model *model, const struct place *place, char *out, size_t size)
{
	const struct hf_family *family = model->config.family;
	const char *digits;
	int used;

	if (!place->name) {
		enum param_id id = place->param->id;
		bool is_lm = id == PARAM_LM_HEAD || id == PARAM_LM_HEAD_BIAS;
		bool is_weight = id == PARAM_LM_HEAD || id == PARAM_SCORE_WEIGHT;

		snprintf(out, size, "%s.%s", is_lm ? family->lm_head : "score",
			 is_weight ? "weight" : "bias");
		return;
	}
	digits = strstr(place->name->suffix, "%d");
	if (!digits) {
		snprintf(out, size, "%s%s", family->prefix, place->name->suffix);
		return;
	}
	used = (int)(digits - place->name->suffix);
	snprintf(out, size, "%s%.*s%d%s", family->prefix, used, place->name->suffix, place->layer,
		 digits + 2);
}

static bool is_transposed(const struct place *place)
{
	return place->name && place->name->is_transposed;
}

/* Matrices decay and vectors do not; a matrix may have one column. */
static bool is_vector(const struct place *place)
{
	return !place->param->decays;
}

void hf_tensor_describe(const struct model *model, int i, struct hf_tensor *tensor)
{
	struct place place = find_place(model, i);

	name_place(model, &place, tensor->name, sizeof tensor->name);
	tensor->rank = is_vector(&place) ? 1 : 2;
	tensor->shape[0] = is_transposed(&place) ? place.param->cols : place.rows;
	tensor->shape[1] = is_transposed(&place) ? place.rows : place.param->cols;
	tensor->n_elements = (size_t)place.rows * (size_t)place.param->cols;
}

const struct param *hf_tensor_param(const struct model *model, int i)
{
	return find_place(model, i).param;
}

bool hf_tensor_is_transposed(const struct model *model, int i)
{
	struct place place = find_place(model, i);

	return is_transposed(&place);
}

enum dtype hf_tensor_dtype(const struct model *model, int i)
{
	return model->dtypes ? model->dtypes[i] : model->dtype;
}

bool hf_tensor_is_straight(const struct model *model, int i, int *row, int *rows)
{
	struct place place = find_place(model, i);

	*row = place.row;
	*rows = place.rows;
	return !is_transposed(&place) && !is_reordered(model->config.family, &place);
}

void hf_tensor_scatter(const struct model *model, int i, const float *in, float *block)
{
	hf_tensor_place(model, i, in, block + hf_tensor_param(model, i)->offset, NULL);
}

/* A stored tensor, and its parameter's values. */
struct copying {
	const struct model *model;
	struct place place;
	float *stored;	   /* [rows, cols], or [cols, rows] if it is transposed */
	float *values;	   /* [param->rows, cols] */
	bool is_gathering; /* to stored, or else from it */
};

/* Some rows; of a transposed tensor they are columns, which lie beside each other. */
static void copy_rows(void *args, int block, int thread)
{
	const struct copying *copy = args;
	size_t rows = (size_t)copy->place.rows, cols = (size_t)copy->place.param->cols;
	size_t first = (size_t)block * ROWS_AT_ONCE;
	size_t n = rows - first < ROWS_AT_ONCE ? rows - first : ROWS_AT_ONCE;
	float *ours[ROWS_AT_ONCE];

	(void)thread;
	for (size_t r = 0; r < n; r++) {
		int row = stored_row(&copy->model->config, &copy->place, (int)(first + r));
		float *stored = copy->stored + (first + r) * cols;

		ours[r] = copy->values + (size_t)row * cols;
		if (!is_transposed(&copy->place))
			memcpy(copy->is_gathering ? stored : ours[r],
			       copy->is_gathering ? ours[r] : stored, cols * sizeof *stored);
	}
	for (size_t c = 0; c < cols && is_transposed(&copy->place); c++) {
		float *stored = copy->stored + c * rows + first;

		for (size_t r = 0; r < n; r++)
			if (copy->is_gathering)
				stored[r] = ours[r][c];
			else
				ours[r][c] = stored[r];
	}
}

static void copy_tensor(struct copying *copy, struct pool *pool)
{
	pool_run(pool, (copy->place.rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, copy_rows, copy);
}

void hf_tensor_gather(const struct model *model, int i, const float *block, float *out)
{
	struct place place = find_place(model, i);
	struct copying copy = {.model = model,
			       .place = place,
			       .stored = out,
			       .values = (float *)(size_t)(block + place.param->offset),
			       .is_gathering = true};

	copy_tensor(&copy, NULL);
}

void hf_tensor_place(const struct model *model, int i, const float *in, float *values,
		     struct pool *pool)
{
	struct copying copy = {.model = model,
			       .place = find_place(model, i),
			       .stored = (float *)(size_t)in,
			       .values = values};

	copy_tensor(&copy, pool);
}

/* --- linear layers --- */

bool hf_linear_describe(const struct model *model, int i, struct hf_linear *linear)
{
	struct place place = find_place(model, i);
	char *end;

	if (place.layer < 0 || place.param->packed_offset == SIZE_MAX)
		return false;
	name_place(model, &place, linear->module, sizeof linear->module);
	end = strrchr(linear->module, '.');
	ASSERT(end && strcmp(end, ".weight") == 0);
	*end = '\0';
	linear->param = place.param;
	linear->row = place.row;
	linear->rows = place.rows;
	return true;
}

/* Our place, counted from the first of the tensor's rows, of its i-th stored row. */
static size_t row_within(const struct model *model, const struct place *place, int i)
{
	return (size_t)(stored_row(&model->config, place, i) - place->row);
}

void hf_linear_gather(const struct model *model, int i, const float *ours, int cols, float *stored)
{
	struct place place = find_place(model, i);
	size_t n = (size_t)cols;

	for (int r = 0; r < place.rows; r++)
		memcpy(stored + (size_t)r * n, ours + row_within(model, &place, r) * n,
		       n * sizeof *ours);
}

void hf_linear_scatter(const struct model *model, int i, const float *stored, int cols,
		       float *ours)
{
	struct place place = find_place(model, i);
	size_t n = (size_t)cols;

	for (int r = 0; r < place.rows; r++)
		memcpy(ours + row_within(model, &place, r) * n, stored + (size_t)r * n,
		       n * sizeof *ours);
}

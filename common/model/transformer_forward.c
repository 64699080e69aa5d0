/* The one forward pass.
 *
 *     x = embedding (+ position embedding)                        [T, C]
 *     for each layer:
 *         x += O attend(rotate(QKV norm1(x)))
 *         x += DOWN f(UP norm2(x))
 *     hidden = final norm(x)
 *
 * with the norms of a layer where enum block_kind has them.  Training, scoring, prefill
 * and decode differ in how a layer attends, and in nothing else; see struct attend.
 * Every operation works on rows and a row's bits never depend on the other rows.  So
 * where nothing is kept, a layer takes its rows in pieces, before and after it attends:
 * what it works in stays small, however long a sequence is. */
#include "common/model/transformer_private.h"

#include <string.h>

#include "common/base/die.h"
#include "common/model/lora.h"
#include "common/model/rotary.h"
#include "common/ops/activation.h"
#include "common/ops/elementwise.h"
#include "common/ops/rope.h"

enum { PIECE_ROWS = 512 };

/* What all layers of a pass share. */
struct run {
	const struct model *model;
	struct rows rows; /* of the last layer, behind its attention: those that are wanted */
	const struct attend *attend;
	const float **angles[2];
	int piece;     /* rows that go through a layer together */
	float *branch; /* [piece, C] what a branch gives to the residual stream */
	struct pool *pool;
};

static int piece_rows(int t, bool keep)
{
	return keep || t < PIECE_ROWS ? t : PIECE_ROWS;
}

static const float *weight(const struct model *model, enum param_id id, int layer)
{
	return model_view(model, model->weights, id, layer);
}

/* y [T, N] = x W^T + b, with what the layer's adapters add, which keep theirs in low. */
static void project(const struct run *run, enum param_id weight_id, const float *bias, int layer,
		    const float *x, float *y, float *low)
{
	const struct model *model = run->model;
	const struct param *param = param_find(&model->layout, weight_id, layer);

	model_product(model, param, x, bias, y, run->rows.t, run->pool);
	if (model->lora)
		lora_forward(model, param, x, y, low, run->rows.t, run->pool);
}

static void normalise(const struct run *run, enum param_id scale_id, int layer, const float *x,
		      float *y, float *mean, float *rstd)
{
	const struct model *model = run->model;
	const struct model_config *config = &model->config;
	const struct norm_shape shape =
		norm_rows(config->norm, run->rows.t, config->n_channels, config->norm_eps);
	const float *scale =
		config->has_norm_weights ? weight(model, scale_id, layer) : model->ones;

	norm_forward(y, mean, rstd, x, scale, weight(model, scale_id + 1, layer), &shape,
		     run->pool);
}

/* Each head of q and k by itself, in place in qkv. */
static void normalise_heads(const struct run *run, int layer, const struct kept_layer *at)
{
	const struct model *model = run->model;
	const struct model_config *config = &model->config;
	int t = run->rows.t, h = config->n_heads, kv = config->n_kv_heads;
	int wide = qkv_width(config), narrow = qk_width(config), k = h * config->head_dim;
	struct norm_shape q_shape = head_norm_shape(config, t, h, at->qk ? narrow : wide);
	struct norm_shape k_shape = head_norm_shape(config, t, kv, at->qk ? narrow : wide);
	size_t n_q = (size_t)t * (size_t)h;
	const float *x = at->qk ? at->qk : at->qkv;

	for (int i = 0; at->qk && i < t; i++)
		memcpy(at->qk + (size_t)i * (size_t)narrow, at->qkv + (size_t)i * (size_t)wide,
		       (size_t)narrow * sizeof *at->qk);
	norm_forward(at->qkv, at->head_mean, at->head_rstd, x,
		     weight(model, PARAM_Q_NORM_SCALE, layer),
		     weight(model, PARAM_Q_NORM_SHIFT, layer), &q_shape, run->pool);
	norm_forward(at->qkv + k, at->head_mean ? at->head_mean + n_q : NULL,
		     at->head_rstd ? at->head_rstd + n_q : NULL, x + k,
		     weight(model, PARAM_K_NORM_SCALE, layer),
		     weight(model, PARAM_K_NORM_SHIFT, layer), &k_shape, run->pool);
}

static void normalise_input(const struct run *run, int layer, const struct kept_layer *at)
{
	normalise(run, PARAM_NORM1_SCALE, layer, at->input, at->norm1, at->mean1, at->rstd1);
}

/* at->qkv = QKV norm1, rotated */
static void project_heads(const struct run *run, int layer, const struct kept_layer *at)
{
	const struct model *model = run->model;
	const struct model_config *config = &model->config;

	if (config_has_pre_norm(config))
		normalise_input(run, layer, at);
	project(run, PARAM_QKV_WEIGHT, weight(model, PARAM_QKV_BIAS, layer), layer, at->norm1,
		at->qkv, at->low);
	if (config->has_head_norm)
		normalise_heads(run, layer, at);
	if (config->position == POSITION_ROTARY)
		rope_apply(at->qkv, run->angles[rotary_index(config, layer)], run->rows.t,
			   qkv_width(config), config->n_heads + config->n_kv_heads,
			   config->head_dim, config->rotary_dim, 1, run->pool);
}

/* run->branch = DOWN f(UP norm2) */
static void mlp_branch(const struct run *run, int layer, const struct kept_layer *at)
{
	const struct model *model = run->model;
	const struct model_config *config = &model->config;
	int t = run->rows.t;

	project(run, PARAM_UP_WEIGHT, weight(model, PARAM_UP_BIAS, layer), layer, at->norm2, at->up,
		at->low);
	if (config->mlp == MLP_GATED)
		gated_forward(at->activated, at->up, t, config->n_ff, config->activation,
			      run->pool);
	else
		activation_forward(at->activated, at->up, (size_t)t * config->n_ff,
				   config->activation, run->pool);
	project(run, PARAM_DOWN_WEIGHT, weight(model, PARAM_DOWN_BIAS, layer), layer, at->activated,
		run->branch, at->low);
}

/* out = x and run->branch joined, with the norm behind the branch if there is one; out
 * may be x.  kept [T, C] gets the input of that norm, unless NULL. */
static void join(const struct run *run, enum param_id norm_id, int layer, const float *x,
		 float *out, float *kept, float *mean, float *rstd)
{
	const struct model_config *config = &run->model->config;
	size_t n = (size_t)run->rows.t * (size_t)config->n_channels;

	if (config->block == BLOCK_POST_NORM)
		add_into(run->branch, x, n, run->pool);
	if (kept)
		memcpy(kept, run->branch, n * sizeof *kept);
	if (config->block == BLOCK_POST_NORM) {
		normalise(run, norm_id, layer, run->branch, out, mean, rstd);
		return;
	}
	if (config->block == BLOCK_SANDWICH)
		normalise(run, norm_id, layer, run->branch, run->branch, mean, rstd);
	if (out != x)
		memcpy(out, x, n * sizeof *x);
	add_into(out, run->branch, n, run->pool);
}

/* at->input and at->attended into next. */
static void finish_layer(const struct run *run, int layer, const struct kept_layer *at, float *next)
{
	const struct model *model = run->model;
	const struct model_config *config = &model->config;
	bool has_second_norm = config->block == BLOCK_PRE_NORM || config->block == BLOCK_SANDWICH;

	if (config->block == BLOCK_PARALLEL)
		normalise(run, PARAM_NORM2_SCALE, layer, at->input, at->norm2, at->mean2,
			  at->rstd2);
	project(run, PARAM_O_WEIGHT, weight(model, PARAM_O_BIAS, layer), layer, at->attended,
		run->branch, at->low);
	join(run, PARAM_POST_NORM1_SCALE, layer, at->input, at->middle ? at->middle : next,
	     at->post1, at->post_mean1, at->post_rstd1);
	if (has_second_norm)
		normalise(run, PARAM_NORM2_SCALE, layer, at->middle, at->norm2, at->mean2,
			  at->rstd2);
	mlp_branch(run, layer, at);
	join(run, PARAM_POST_NORM2_SCALE, layer, at->middle ? at->middle : next, next, at->post2,
	     at->post_mean2, at->post_rstd2);
}

/* The rows of a pass from `first` on that go through a layer together. */
struct piece {
	struct run run; /* as if there were no other rows */
	struct kept_layer at;
};

static float *from_row(float *x, int first, int width)
{
	return x ? x + (size_t)first * (size_t)width : NULL;
}

static void take_piece(struct piece *piece, const struct run *run, const struct kept_layer *at,
		       int first)
{
	const struct model_config *config = &run->model->config;
	int left = run->rows.t - first, c = config->n_channels;

	*piece = (struct piece){.run = *run, .at = *at};
	piece->run.rows.t = left < run->piece ? left : run->piece;
	for (int i = 0; i < 2; i++)
		piece->run.angles[i] = run->angles[i] ? run->angles[i] + first : NULL;
	piece->at.input = from_row(at->input, first, c);
	piece->at.middle = from_row(at->middle, first, c);
	piece->at.qkv = from_row(at->qkv, first, qkv_width(config));
	piece->at.attended = from_row(at->attended, first, config->n_heads * config->head_dim);
	if (!config_has_pre_norm(config)) {
		piece->at.norm1 = piece->at.input;
		piece->at.norm2 = piece->at.middle;
	}
}

/* to [n, width] = the rows of from; to may be from. */
static void take_rows(float *to, const float *from, int width, const int *rows, int n)
{
	for (int i = 0; i < n; i++) {
		const float *row = from + (size_t)rows[i] * (size_t)width;

		if (row != to + (size_t)i * (size_t)width)
			memcpy(to + (size_t)i * (size_t)width, row, (size_t)width * sizeof *to);
	}
}

/* Goes on with the rows whose hidden states are wanted, in tail. */
static void take_wanted(struct run *run, const struct kept_layer *at, const struct kept_layer *tail)
{
	const struct model_config *config = &run->model->config;
	const int *wanted = run->rows.wanted;
	int n = run->rows.n_wanted;

	take_rows(tail->input, at->input, config->n_channels, wanted, n);
	take_rows(tail->attended, at->attended, config->n_heads * config->head_dim, wanted, n);
	run->rows = (struct rows){.t = n};
}

/* The residual stream at->input through one layer into next; behind the attention of the
 * last layer of those that are wanted, which tail is for and may be at. */
static void run_layer(struct run *run, int layer, const struct kept_layer *at,
		      const struct kept_layer *tail, float *next)
{
	const struct model_config *config = &run->model->config;
	bool has_norm1 = run->rows.t <= run->piece; /* of all rows, still */
	struct piece piece;

	for (int first = 0; first < run->rows.t; first += run->piece) {
		take_piece(&piece, run, at, first);
		project_heads(&piece.run, layer, &piece.at);
	}
	run->attend->run(run->attend->context, layer, at->qkv, at->attended, at->lse);
	if (layer + 1 == config->n_layers && run->rows.wanted) {
		take_wanted(run, at, tail);
		has_norm1 = false;
		at = tail;
	}
	for (int first = 0; first < run->rows.t; first += run->piece) {
		take_piece(&piece, run, at, first);
		if (config->block == BLOCK_PARALLEL_SHARED && !has_norm1)
			normalise_input(&piece.run, layer, &piece.at);
		finish_layer(&piece.run, layer, &piece.at,
			     from_row(next, first, config->n_channels));
	}
}

/* --- memory --- */

static float *floats(struct arena *arena, int t, int width)
{
	return arena_alloc(arena, (size_t)t * (size_t)width, sizeof(float));
}

/* Arrays of one layer that the forward pass works in up to its attention; input may be
 * there already. */
static void attending_alloc(struct kept_layer *at, const struct model *model, int layer, int t,
			    float *input, bool keep, struct arena *arena)
{
	const struct model_config *config = &model->config;
	int c = config->n_channels, piece = piece_rows(t, keep);

	*at = (struct kept_layer){.input = input ? input : floats(arena, t, c)};
	at->norm1 = config_has_pre_norm(config) ? floats(arena, piece, c) : at->input;
	at->qkv = floats(arena, t, qkv_width(config));
	at->attended = floats(arena, t, config->n_heads * config->head_dim);
	if (model->lora)
		at->low = floats(arena, piece, lora_low_width(model->lora, layer));
}

/* And behind it. */
static void finishing_alloc(struct kept_layer *at, const struct model *model, int t, bool keep,
			    struct arena *arena)
{
	const struct model_config *config = &model->config;
	int c = config->n_channels, piece = piece_rows(t, keep);

	if (!keep)
		at->middle = at->input;
	else if (!config_is_parallel(config))
		at->middle = floats(arena, t, c);
	if (!config_has_pre_norm(config))
		at->norm2 = at->middle;
	else if (!keep || config->block == BLOCK_PARALLEL_SHARED)
		at->norm2 = at->norm1;
	else
		at->norm2 = floats(arena, t, c);
	at->up = floats(arena, piece, up_width(config));
	at->activated = floats(arena, piece, config->n_ff);
}

/* What they keep for the backward pass. */
static void attending_alloc_kept(struct kept_layer *at, const struct model_config *config, int t,
				 struct arena *arena)
{
	int heads = config->n_heads + config->n_kv_heads;

	at->lse = floats(arena, t, config->n_heads);
	at->mean1 = floats(arena, t, 1);
	at->rstd1 = floats(arena, t, 1);
	if (config->has_head_norm) {
		at->qk = floats(arena, t, qk_width(config));
		at->head_mean = floats(arena, t, heads);
		at->head_rstd = floats(arena, t, heads);
	}
}

static void finishing_alloc_kept(struct kept_layer *at, const struct model_config *config, int t,
				 struct arena *arena)
{
	int c = config->n_channels;

	at->mean2 = floats(arena, t, 1);
	at->rstd2 = floats(arena, t, 1);
	if (config_has_post_norm(config)) {
		at->post1 = floats(arena, t, c);
		at->post_mean1 = floats(arena, t, 1);
		at->post_rstd1 = floats(arena, t, 1);
		at->post2 = floats(arena, t, c);
		at->post_mean2 = floats(arena, t, 1);
		at->post_rstd2 = floats(arena, t, 1);
	}
}

/* What all layers share without backward: what attention does not need has the rows of a
 * piece, and the residual stream is updated in place. */
static void shared_alloc(struct kept_layer *at, const struct model *model, int t,
			 struct arena *arena)
{
	attending_alloc(at, model, -1, t, NULL, false, arena);
	finishing_alloc(at, model, t, false, arena);
}

/* What n rows of the last layer work in behind its attention. */
static void tail_alloc(struct kept_layer *tail, const struct model *model, int layer, int n,
		       struct arena *arena)
{
	const struct model_config *config = &model->config;
	int c = config->n_channels;

	*tail = (struct kept_layer){
		.input = floats(arena, n, c),
		.attended = floats(arena, n, config->n_heads * config->head_dim),
	};
	if (config->block == BLOCK_PARALLEL_SHARED)
		tail->norm1 = floats(arena, n, c);
	if (model->lora)
		tail->low = floats(arena, n, lora_low_width(model->lora, layer));
}

/* Those of a layer where the pass is for training; the last layer's n_wanted rows, or ALL_ROWS, go
 * on behind its attention in tail.  keeps: with what the backward pass needs. */
static void layer_alloc(struct kept_layer *at, struct kept_layer *tail, const struct model *model,
			int layer, int t, int n_wanted, float *input, bool keeps,
			struct arena *arena)
{
	const struct model_config *config = &model->config;

	attending_alloc(at, model, layer, t, input, true, arena);
	if (keeps)
		attending_alloc_kept(at, config, t, arena);
	if (layer + 1 == config->n_layers && n_wanted != ALL_ROWS) {
		tail_alloc(tail, model, layer, n_wanted, arena);
		at = tail;
		t = n_wanted;
	}
	finishing_alloc(at, model, t, true, arena);
	if (keeps)
		finishing_alloc_kept(at, config, t, arena);
}

/* n_wanted: or ALL_ROWS. */
static void kept_alloc(struct kept *kept, const struct model *model, int t, int n_wanted,
		       struct arena *arena)
{
	const struct model_config *config = &model->config;
	int n_final = n_wanted == ALL_ROWS ? t : n_wanted;
	struct kept_layer counted[2];

	kept->layers = arena_calloc(arena, (size_t)config->n_layers, sizeof *kept->layers);
	kept->tail = arena_calloc(arena, 1, sizeof *kept->tail);
	for (int l = 0; l < config->n_layers; l++) {
		struct kept_layer *at = kept->layers ? &kept->layers[l] : &counted[0];
		struct kept_layer *tail = kept->tail ? kept->tail : &counted[1];

		if (model->recomputes)
			at->input = floats(arena, t, config->n_channels);
		else
			layer_alloc(at, tail, model, l, t, n_wanted, NULL, true, arena);
	}
	kept->final_input = floats(arena, n_final, config->n_channels);
	kept->final_mean = floats(arena, n_final, 1);
	kept->final_rstd = floats(arena, n_final, 1);
}

/* --- the whole --- */

/* Where each row's cosines and sines are: in the model's table, or made here if its
 * position or the length of its sequence is beyond that. */
static const float **find_angles(const struct model *model, int which, const struct rows *rows,
				 struct arena *arena)
{
	const struct model_config *config = &model->config;
	const struct rotary *rotary = which ? &config->local_rotary : &config->rotary;
	const float **angles = arena_alloc(arena, (size_t)rows->t, sizeof *angles);
	int width = config->rotary_dim, fixed_length = rotary_fixed_length(rotary), length = 0;
	float frequencies[ATTENTION_MAX_HEAD_DIM / 2];

	for (int i = 0; i < rows->t; i++) {
		int position = rows->positions[i];
		float *row;

		if (rows->lengths[i] <= fixed_length && position < model->n_angles) {
			angles[i] = model->angles[which] + (size_t)position * (size_t)width;
			continue;
		}
		if (rows->lengths[i] != length)
			rotary_frequencies(frequencies, rotary, config->rotary_width,
					   rows->lengths[i]);
		length = rows->lengths[i];
		row = floats(arena, 1, width);
		rotary_row(row, frequencies, rotary, width, position);
		angles[i] = row;
	}
	return angles;
}

struct unpacking {
	const struct model *model;
	const struct param *param;
	const int32_t *ids;
	float *out; /* [T, cols] */
};

static void unpack_id(void *args, int t, int thread)
{
	const struct unpacking *u = args;

	(void)thread;
	model_unpack_row(u->model, u->param, u->ids[t],
			 u->out + (size_t)t * (size_t)u->param->cols);
}

/* Of a frozen model whose embedding is its output matrix too, which is packed: a row lies
 * in as many cache lines as it has numbers, so threads share the waiting. */
static void unpack_embedding(const struct run *run, float *out)
{
	struct unpacking unpacking = {
		.model = run->model,
		.param = param_find(&run->model->layout, PARAM_TOKEN_EMBEDDING, -1),
		.ids = run->rows.ids,
		.out = out,
	};

	pool_run(run->pool, run->rows.t, unpack_id, &unpacking);
}

/* x [T, C] = the embedding of the rows. */
static void embed(const struct run *run, float *x, struct arena *arena)
{
	const struct model *model = run->model;
	const struct model_config *config = &model->config;
	const struct rows *rows = &run->rows;
	const float *table = weight(model, PARAM_TOKEN_EMBEDDING, -1);
	const float *positions = weight(model, PARAM_POSITION_EMBEDDING, -1);
	int c = config->n_channels, w = config->n_embedding;
	size_t mark = arena_mark(arena);
	float *embedded = w == c ? x : floats(arena, rows->t, w);

	if (table)
		embedding_forward(embedded, table, rows->ids, rows->t, w, run->pool);
	else
		unpack_embedding(run, embedded);
	if (config->embedding_scale != 1)
		scale_in_place(embedded, config->embedding_scale, (size_t)rows->t * (size_t)w,
			       run->pool);
	if (w != c)
		project(run, PARAM_PROJECT_IN, NULL, -1, embedded, x, NULL);
	if (positions)
		embedding_add(x, positions + (size_t)config->position_offset * (size_t)c,
			      rows->positions, rows->t, c, run->pool);
	arena_rewind(arena, mark);
}

static int count_wanted(const struct rows *rows)
{
	return rows->wanted ? rows->n_wanted : ALL_ROWS;
}

/* A layer whose input alone stays. */
static void run_layer_aside(struct run *run, int layer, float *input, float *next,
			    struct arena *arena)
{
	struct kept_layer at, tail;
	size_t mark = arena_mark(arena);

	layer_alloc(&at, &tail, run->model, layer, run->rows.t, count_wanted(&run->rows), input,
		    false, arena);
	run_layer(run, layer, &at, &tail, next);
	arena_rewind(arena, mark);
}

void transformer_run(const struct model *model, const struct rows *rows,
		     const struct attend *attend, float *hidden, struct kept *kept,
		     struct arena *arena, struct pool *pool)
{
	const struct model_config *config = &model->config;
	struct run run = {.model = model,
			  .rows = *rows,
			  .attend = attend,
			  .piece = piece_rows(rows->t, kept != NULL),
			  .pool = pool};
	size_t mark = arena_mark(arena);
	struct kept_layer shared = {0};
	float *x;

	if (kept)
		kept_alloc(kept, model, rows->t, count_wanted(rows), arena);
	for (int i = 0; i < 2; i++)
		run.angles[i] = model->angles[i] ? find_angles(model, i, rows, arena) : NULL;
	if (kept) {
		memcpy(kept->angles, run.angles, sizeof kept->angles);
		mark = arena_mark(arena);
	} else {
		shared_alloc(&shared, model, rows->t, arena);
	}
	run.branch = floats(arena, run.piece, config->n_channels);
	x = kept ? (config->n_layers ? kept->layers[0].input : kept->final_input) : shared.input;
	embed(&run, x, arena);
	for (int l = 0; l < config->n_layers; l++) {
		float *next = !kept			 ? shared.input
			      : l + 1 < config->n_layers ? kept->layers[l + 1].input
							 : kept->final_input;

		if (kept && model->recomputes)
			run_layer_aside(&run, l, kept->layers[l].input, next, arena);
		else
			run_layer(&run, l, kept ? &kept->layers[l] : &shared,
				  kept ? kept->tail : &shared, next);
		x = next;
	}
	if (config->has_final_norm)
		normalise(&run, PARAM_FINAL_SCALE, -1, x, hidden, kept ? kept->final_mean : NULL,
			  kept ? kept->final_rstd : NULL);
	else
		memcpy(hidden, x, (size_t)run.rows.t * (size_t)config->n_channels * sizeof *hidden);
	arena_rewind(arena, mark);
}

struct rows batch_rows(const struct batch *batch, struct arena *arena)
{
	int t = batch->offsets[batch->n_seqs];
	int *positions = arena_alloc(arena, (size_t)t, sizeof *positions);
	int *lengths = arena_alloc(arena, (size_t)t, sizeof *lengths);

	for (int b = 0; b < batch->n_seqs; b++)
		for (int i = batch->offsets[b]; i < batch->offsets[b + 1]; i++) {
			positions[i] = i - batch->offsets[b];
			lengths[i] = batch->offsets[b + 1] - batch->offsets[b];
		}
	return (struct rows){.ids = batch->ids,
			     .positions = positions,
			     .lengths = lengths,
			     .t = t,
			     .wanted = batch->wanted,
			     .n_wanted = batch->n_wanted};
}

struct batch_attention {
	const struct batch *batch;
	const struct model_config *config;
	struct pool *pool;
};

static void attend_batch(void *context, int layer, const float *qkv, float *out, float *lse)
{
	const struct batch_attention *a = context;
	struct attention_shape shape = attention_shape_of(a->config, layer);

	attention_forward(out, lse, qkv, a->batch->offsets, a->batch->n_seqs, &shape, a->pool);
}

void transformer_forward(const struct model *model, const struct batch *batch, float *hidden,
			 struct kept *kept, struct arena *arena, struct pool *pool)
{
	struct batch_attention attention = {.batch = batch, .config = &model->config, .pool = pool};
	struct attend attend = {.run = attend_batch, .context = &attention};
	size_t mark = arena_mark(arena);
	struct rows rows = batch_rows(batch, arena);

	if (kept)
		kept->positions = rows.positions;
	transformer_run(model, &rows, &attend, hidden, kept, arena, pool);
	if (!kept)
		arena_rewind(arena, mark);
}

void transformer_rerun(const struct model *model, const struct batch *batch,
		       const struct kept *kept, int layer, struct arena *arena, struct pool *pool)
{
	struct batch_attention attention = {.batch = batch, .config = &model->config, .pool = pool};
	struct attend attend = {.run = attend_batch, .context = &attention};
	struct rows rows = {.ids = batch->ids,
			    .positions = kept->positions,
			    .t = batch->offsets[batch->n_seqs],
			    .wanted = batch->wanted,
			    .n_wanted = batch->n_wanted};
	struct run run = {
		.model = model, .rows = rows, .attend = &attend, .piece = rows.t, .pool = pool};
	struct kept_layer *at = &kept->layers[layer];

	memcpy(run.angles, kept->angles, sizeof run.angles);
	layer_alloc(at, kept->tail, model, layer, rows.t, count_wanted(&rows), at->input, true,
		    arena);
	run.branch = floats(arena, rows.t, model->config.n_channels);
	run_layer(&run, layer, at, kept->tail, floats(arena, rows.t, model->config.n_channels));
}

/* --- counting, in the order of the functions above --- */

static void count_rows(const struct model *model, int t, struct arena *arena)
{
	arena_alloc(arena, (size_t)t, sizeof(int));
	arena_alloc(arena, (size_t)t, sizeof(int));
	for (int i = 0; i < 2; i++)
		if (model->angles[i])
			arena_alloc(arena, (size_t)t, sizeof(float *));
}

/* What a pass works in besides the arrays of its layers. */
static void count_scratch(const struct model *model, int t, bool keep, struct arena *arena)
{
	const struct model_config *config = &model->config;
	size_t mark;

	floats(arena, piece_rows(t, keep), config->n_channels);
	mark = arena_mark(arena);
	if (config->n_embedding != config->n_channels)
		floats(arena, t, config->n_embedding);
	arena_rewind(arena, mark);
}

/* An input that is not NULL is taken for one that is there. */
static float there;

size_t transformer_forward_bytes(const struct model *model, int t)
{
	struct arena arena;
	struct kept_layer at;

	arena_init_counting(&arena);
	count_rows(model, t, &arena);
	shared_alloc(&at, model, t, &arena);
	count_scratch(model, t, false, &arena);
	return arena.high_water;
}

static void count_kept(const struct model *model, int t, int n_wanted, struct arena *arena)
{
	struct kept kept;

	arena_init_counting(arena);
	count_rows(model, t, arena);
	kept_alloc(&kept, model, t, n_wanted, arena);
}

size_t transformer_kept_bytes(const struct model *model, int t, int n_wanted)
{
	struct arena arena;

	count_kept(model, t, n_wanted, &arena);
	return arena.high_water;
}

static void count_aside(const struct model *model, int layer, int t, int n_wanted, bool keeps,
			struct arena *arena)
{
	struct kept_layer at, tail;

	layer_alloc(&at, &tail, model, layer, t, n_wanted, &there, keeps, arena);
}

size_t transformer_train_bytes(const struct model *model, int t, int n_wanted)
{
	struct arena arena;
	size_t mark;

	count_kept(model, t, n_wanted, &arena);
	mark = arena_mark(&arena);
	count_scratch(model, t, true, &arena);
	for (int l = 0; l < model->config.n_layers && model->recomputes; l++) {
		size_t layer_mark = arena_mark(&arena);

		count_aside(model, l, t, n_wanted, false, &arena);
		arena_rewind(&arena, layer_mark);
	}
	arena_rewind(&arena, mark);
	transformer_count_backward(model, t, n_wanted, &arena);
	return arena.high_water;
}

void transformer_count_rerun(const struct model *model, int layer, int t, int n_wanted,
			     struct arena *arena)
{
	count_aside(model, layer, t, n_wanted, true, arena);
	floats(arena, t, model->config.n_channels);
	floats(arena, t, model->config.n_channels);
}

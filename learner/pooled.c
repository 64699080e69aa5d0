/* See pooled.h. */
#include "learner/pooled.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/model/head.h"
#include "common/model/stop_ids.h"

void pooled_forward(struct pooled *pooled, const struct units *units, int first, int n,
		    struct kept *kept, struct arena *arena, struct pool *pool)
{
	const struct model *model = units->model;
	struct batch *batch = &pooled->batch;
	size_t n_seqs, n_labels = (size_t)model->config.n_labels;
	int *rows;

	supervised_batch(&pooled->batch, units, first, n, arena);
	n_seqs = (size_t)batch->n_seqs;
	rows = arena_alloc(arena, n_seqs, sizeof *rows);
	pooled->scores = arena_alloc(arena, n_seqs * n_labels, sizeof *pooled->scores);
	for (int s = 0; s < batch->n_seqs; s++) {
		int begin = batch->offsets[s], end = batch->offsets[s + 1];

		rows[s] = begin + head_pooled_position(batch->ids + begin, end - begin,
						       model->config.pad_id);
	}
	batch->wanted = rows;
	batch->n_wanted = batch->n_seqs;
	pooled->hidden = arena_alloc(arena, n_seqs * (size_t)model->config.n_channels,
				     sizeof *pooled->hidden);
	transformer_forward(model, batch, pooled->hidden, kept, arena, pool);
	head_score(model, pooled->hidden, NULL, batch->n_seqs, pooled->scores, arena, pool);
}

void pooled_backward(const struct pooled *pooled, const struct model *model,
		     const struct kept *kept, const float *dscores, float *grads,
		     struct arena *arena, struct pool *pool)
{
	const struct batch *batch = &pooled->batch;
	size_t mark = arena_mark(arena), n = (size_t)batch->n_seqs;
	float *dhidden = arena_calloc(arena, n * (size_t)model->config.n_channels, sizeof *dhidden);

	head_score_backward(model, pooled->hidden, NULL, batch->n_seqs, dscores, dhidden, grads,
			    arena, pool);
	transformer_backward(model, batch, kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

/* --- pad_token_id --- */

static void mark_rows(uint8_t *used, const struct row *rows, int n)
{
	for (int i = 0; rows && i < n; i++)
		for (int k = 0; k < rows[i].n; k++)
			used[rows[i].ids[k]] = 1;
}

static void mark_id(uint8_t *used, int n_vocab, int32_t id)
{
	if (id >= 0 && id < n_vocab)
		used[id] = 1;
}

static bool is_free(const uint8_t *ends, int n_vocab, int32_t id)
{
	return id >= 0 && id < n_vocab && !ends[id];
}

/* The model's pad, the tokenizer's, its unknown token: the first that ends no
 * text.  Else the highest id that no row uses; -1 if all are used. */
static int32_t choose_pad(const struct supervised *run, const struct stop_ids *stop)
{
	int n_vocab = run->model->config.n_vocab;
	uint8_t *taken = xcalloc((size_t)n_vocab, 1);
	int32_t wanted[3] = {run->model->config.pad_id, -1, -1}, pad = -1;

	mark_id(taken, n_vocab, supervised_eos(run));
	for (int i = 0; i < stop->n; i++)
		mark_id(taken, n_vocab, stop->ids[i]);
	if (run->tokenizer) {
		mark_id(taken, n_vocab, tokenizer_eos(run->tokenizer));
		wanted[1] = tokenizer_pad(run->tokenizer);
		wanted[2] = tokenizer_token_id(run->tokenizer, "<unk>", 5);
	}
	for (int i = 0; i < 3 && pad < 0; i++)
		if (is_free(taken, n_vocab, wanted[i]))
			pad = wanted[i];
	if (pad < 0) {
		mark_id(taken, n_vocab, run->model->config.bos_id);
		mark_rows(taken, run->train.rows, run->train.n);
		mark_rows(taken, run->train.rejected, run->train.n);
		mark_rows(taken, run->eval.rows, run->eval.n);
		mark_rows(taken, run->eval.rejected, run->eval.n);
		for (pad = n_vocab - 1; pad >= 0 && taken[pad]; pad--)
			;
	}
	free(taken);
	return pad;
}

enum status pooled_choose_pad(struct supervised *run, struct error *err)
{
	struct stop_ids stop;
	char value[16] = "null";
	enum status status =
		stop_ids_read(&stop, run->config->model.path, &run->model->config, err);
	int32_t pad;

	if (status != STATUS_OK)
		return status;
	pad = choose_pad(run, &stop);
	if (pad >= 0)
		snprintf(value, sizeof value, "%d", pad);
	else
		log_warn("every id of the vocabulary is used: the model gets no pad_token_id "
			 "and transformers will score its texts one at a time");
	run->model->config.pad_id = pad;
	return json_edit(&run->config_text, "pad_token_id", value, err);
}

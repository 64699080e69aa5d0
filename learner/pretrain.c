/* rlhf pretrain: next-token training of a language model, from a checkpoint or
 * from nothing.
 *
 * Every position of a sequence but the first is a target; the loss is the mean
 * over the targets of the whole minibatch (algorithms E.1). */
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/model/head.h"
#include "common/model/hf_checkpoint.h"
#include "learner/learner.h"
#include "learner/supervised.h"

/* Standard deviation of a new model's matrices. */
#define INIT_STD 0.02

/* --- a new model --- */

static enum status edit_id(struct buf *text, const char *key, int32_t id, struct error *err)
{
	char value[16];

	snprintf(value, sizeof value, "%d", id);
	return id >= 0 ? json_edit(text, key, value, err) : STATUS_OK;
}

/* model.create as the text of a config.json: "family" is what Hugging Face calls
 * model_type, and what the tokenizer knows is filled in where it is not said. */
static enum status describe_model(struct supervised *run, struct error *err)
{
	const struct json *create = run->config->model.create;
	const struct json *family = json_get(create, "family");
	struct buf *text = &run->config_text, name = BUF_INIT;
	enum status status = STATUS_OK;

	json_print(create, true, text);
	if (json_get(create, "tokenizer"))
		status = json_edit(text, "tokenizer", NULL, err);
	if (status == STATUS_OK && family) {
		json_print(family, false, &name);
		status = json_edit(text, "family", NULL, err);
		if (status == STATUS_OK)
			status = json_edit(text, "model_type", name.data, err);
		buf_release(&name);
	}
	if (status == STATUS_OK && !json_get(create, "torch_dtype"))
		status = json_edit(text, "torch_dtype", "\"float32\"", err);
	if (status != STATUS_OK || !run->tokenizer)
		return status;
	if (!json_get(create, "vocab_size"))
		status = edit_id(text, "vocab_size", tokenizer_size(run->tokenizer), err);
	if (status == STATUS_OK && !json_get(create, "bos_token_id"))
		status = edit_id(text, "bos_token_id", tokenizer_bos(run->tokenizer), err);
	if (status == STATUS_OK && !json_get(create, "eos_token_id"))
		status = edit_id(text, "eos_token_id", tokenizer_eos(run->tokenizer), err);
	if (status == STATUS_OK && !json_get(create, "pad_token_id"))
		status = edit_id(text, "pad_token_id", tokenizer_pad(run->tokenizer), err);
	return status;
}

static enum status create_model(struct supervised *run, struct error *err)
{
	struct model_config config;
	enum status status = describe_model(run, err);

	if (status == STATUS_OK)
		status = hf_parse_config(&config, run->config_text.data, run->config_text.length,
					 "model.create", err);
	if (status != STATUS_OK)
		return status;
	if (run->tokenizer && config.n_vocab < tokenizer_size(run->tokenizer))
		return error_set(err, STATUS_BAD_INPUT,
				 "model.create: vocab_size is %d, expected at least the %d of the "
				 "tokenizer %s",
				 config.n_vocab, tokenizer_size(run->tokenizer),
				 run->tokenizer_dir);
	if (config.head != HEAD_LM)
		return error_set(err, STATUS_BAD_INPUT,
				 "model.create describes a classifier, expected a causal language "
				 "model");
	run->model = model_create(&config, false);
	model_init_random(run->model, (uint64_t)run->config->run.seed, INIT_STD);
	model_pack(run->model, run->pool);
	return STATUS_OK;
}

static enum status create(struct supervised *run, struct error *err)
{
	const char *path = run->config->model.path;

	return path ? supervised_load_model(run, path, false, err) : create_model(run, err);
}

/* --- data --- */

static enum status load_data(struct supervised *run, struct dataset *dataset, const char *path,
			     struct error *err)
{
	struct row_context context = {.tokenizer = run->tokenizer,
				      .n_vocab = run->model->config.n_vocab};

	return dataset_load_sequences(dataset, path, &context, run->config,
				      supervised_positions(run), supervised_eos(run), err);
}

static double n_targets(const struct dataset *dataset, int row)
{
	return dataset->rows[row].n - 1;
}

/* --- the loss --- */

/* Sequences as inputs and targets: after hidden row rows[i] comes targets[i]. */
struct part {
	struct batch batch;
	int *rows;
	int32_t *targets;
	int n;
	float *hidden; /* [T, C] */
};

static void part_forward(struct part *part, const struct units *units, int first, int n,
			 struct kept *kept, struct arena *arena, struct pool *pool)
{
	const struct model *model = units->run->model;
	const int *offsets;
	size_t t;

	supervised_batch(&part->batch, units, first, n, arena);
	offsets = part->batch.offsets;
	t = (size_t)offsets[n];
	part->rows = arena_alloc(arena, t, sizeof *part->rows);
	part->targets = arena_alloc(arena, t, sizeof *part->targets);
	part->n = 0;
	for (int s = 0; s < n; s++) {
		for (int i = offsets[s]; i + 1 < offsets[s + 1]; i++) {
			part->rows[part->n] = i;
			part->targets[part->n++] = part->batch.ids[i + 1];
		}
	}
	part->hidden = arena_alloc(arena, t * (size_t)model->config.n_channels, sizeof(float));
	transformer_forward(model, &part->batch, part->hidden, kept, arena, pool);
}

struct cross_entropy {
	double weight; /* targets of the minibatch */
	double *sum;
};

static void cross_entropy(void *context, int first, int n, const float *logprob,
			  const float *entropy, float *dlogprob)
{
	const struct cross_entropy *loss = context;

	(void)first;
	(void)entropy;
	for (int i = 0; i < n; i++) {
		*loss->sum -= logprob[i];
		dlogprob[i] = (float)(-1 / loss->weight);
	}
}

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const struct units *units = context;
	const struct model *model = units->run->model;
	struct cross_entropy loss = {.weight = units->weight, .sum = stats};
	size_t mark = arena_mark(arena);
	struct part part;
	struct kept kept;
	float *dhidden;

	part_forward(&part, units, first, n, &kept, arena, pool);
	dhidden = arena_calloc(arena,
			       (size_t)part.batch.offsets[n] * (size_t)model->config.n_channels,
			       sizeof *dhidden);
	head_train(model, part.hidden, part.rows, part.targets, part.n, 1, NULL, cross_entropy,
		   &loss, dhidden, grads, arena, pool);
	transformer_backward(model, &part.batch, &kept, dhidden, grads, arena, pool);
	arena_rewind(arena, mark);
}

/* One number a sequence: the sum of its cross-entropies. */
static void measure(const struct units *units, int first, int n, double *numbers,
		    struct arena *arena, struct pool *pool)
{
	size_t mark = arena_mark(arena);
	struct part part;
	float *logprob;
	int k = 0;

	part_forward(&part, units, first, n, NULL, arena, pool);
	logprob = arena_alloc(arena, (size_t)part.n, sizeof *logprob);
	head_logprobs(units->run->model, part.hidden, part.rows, part.targets, part.n, 1, NULL,
		      logprob, NULL, arena, pool);
	for (int s = 0; s < n; s++) {
		numbers[s] = 0;
		for (int i = part.batch.offsets[s]; i + 1 < part.batch.offsets[s + 1]; i++)
			numbers[s] -= logprob[k++];
	}
	arena_rewind(arena, mark);
}

int pretrain_main(int argc, char **argv)
{
	static const char *const names[] = {"loss"};
	static const struct supervised_task task = {
		.command = COMMAND_PRETRAIN,
		.name = "pretrain",
		.example = "rlhf pretrain pretrain.json --ranks 2",
		.head = HEAD_LM,
		.names = names,
		.n_stats = 1,
		.n_numbers = 1,
		.has_perplexity = true,
		.create = create,
		.load_data = load_data,
		.weight = n_targets,
		.microbatch = microbatch,
		.measure = measure,
	};

	return supervised_main(&task, argc, argv);
}

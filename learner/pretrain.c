/* rlhf pretrain: next-token training of a language model, from a checkpoint or from
 * nothing.  Every position of a sequence but the first is a target. */
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/model/hf_checkpoint.h"
#include "learner/language_loss.h"
#include "learner/learner.h"
#include "learner/new_model.h"

/* --- a new model --- */

static enum status edit_number(struct buf *text, const char *key, int number, struct error *err)
{
	char value[16];

	snprintf(value, sizeof value, "%d", number);
	return json_edit(text, key, value, err);
}

/* A special id that model.create does not say: the tokenizer's, or null where there is
 * none, because a missing key would mean the default of the family's class. */
static enum status fill_id(struct supervised *run, const char *key,
			   int32_t (*of)(const struct tokenizer *), struct error *err)
{
	struct buf *text = &run->config_text;
	int32_t id = run->tokenizer ? of(run->tokenizer) : -1;

	if (json_get(run->config->model.create, key))
		return STATUS_OK;
	return id < 0 ? json_edit(text, key, "null", err) : edit_number(text, key, id, err);
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
	if (status == STATUS_OK && run->tokenizer && !json_get(create, "vocab_size"))
		status = edit_number(text, "vocab_size", tokenizer_size(run->tokenizer), err);
	if (status == STATUS_OK)
		status = fill_id(run, "bos_token_id", tokenizer_bos, err);
	if (status == STATUS_OK)
		status = fill_id(run, "eos_token_id", tokenizer_eos, err);
	if (status == STATUS_OK)
		status = fill_id(run, "pad_token_id", tokenizer_pad, err);
	return status;
}

/* The description that is complete now, as a model's: *std is of its matrices. */
static enum status read_description(struct supervised *run, struct model_config *config,
				    double *std, struct error *err)
{
	struct buf *text = &run->config_text;
	struct json *root = json_parse(text->data, text->length, "model.create", err);
	enum status status = root ? new_model_check_keys(root, err) : STATUS_BAD_INPUT;

	if (status == STATUS_OK)
		status = hf_parse_config(config, text->data, text->length, "model.create", err);
	if (status == STATUS_OK)
		status = new_model_std(root, config->family, std, err);
	if (status == STATUS_OK)
		status = new_model_write_points(text, root, err);
	json_free(root);
	return status;
}

static enum status create_model(struct supervised *run, struct error *err)
{
	struct model_config config;
	double std;
	enum status status = describe_model(run, err);

	if (status == STATUS_OK)
		status = read_description(run, &config, &std, err);
	if (status != STATUS_OK)
		return status;
	if (run->tokenizer && config.n_vocab < tokenizer_size(run->tokenizer))
		return error_set(err, STATUS_BAD_INPUT,
				 "model.create: vocab_size is %d, expected at least the %d of the "
				 "tokenizer %s",
				 config.n_vocab, tokenizer_size(run->tokenizer),
				 run->tokenizer_dir);
	/* Readers of GPT-2 other than transformers want the older name too. */
	if (strcmp(hf_family_name(config.family), "gpt2") == 0)
		status = edit_number(&run->config_text, "n_ctx", config.max_positions, err);
	if (status != STATUS_OK)
		return status;
	if (config.head != HEAD_LM)
		return error_set(err, STATUS_BAD_INPUT,
				 "model.create describes a classifier, expected a causal language "
				 "model");
	if (run->is_planned) {
		run->model = model_create_outline(&config, false);
		return STATUS_OK;
	}
	status = model_check_memory(&config, "model.create", err);
	if (status != STATUS_OK)
		return status;
	run->model = model_create(&config, false);
	model_init_random(run->model, (uint64_t)run->config->run.seed, std);
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
	struct row_context context = supervised_rows(run);

	return dataset_load_sequences(dataset, path, &context, run->config,
				      model_position_limit(&run->model->config),
				      supervised_eos(run), run->pool, err);
}

const struct supervised_task pretrain_task = {
	.command = COMMAND_PRETRAIN,
	.example = "rlhf pretrain pretrain.json --ranks 2",
	.head = HEAD_LM,
	.stats = language_stats,
	.n_stats = N_LANGUAGE_STATS,
	.n_numbers = N_LANGUAGE_STATS,
	.create = create,
	.load_data = load_data,
	.weight = language_weight,
	.microbatch = language_microbatch,
	.measure = language_measure,
	.add_metrics = language_add_metrics,
};

int pretrain_main(int argc, char **argv)
{
	return supervised_main(&pretrain_task, argc, argv);
}

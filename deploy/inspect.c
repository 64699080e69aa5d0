/* rlhf inspect: what a checkpoint directory or one .safetensors file holds, and
 * whether it is sound.  A directory is loaded as a run would load it, so what passes
 * here passes there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/safetensors.h"
#include "common/model/stop_ids.h"
#include "common/run/options.h"
#include "common/text/tokenizer.h"
#include "deploy/commands.h"

static void print_shape(const struct tensor_view *tensor)
{
	printf("%-6s [", tensor->dtype_name);
	for (int i = 0; i < tensor->rank; i++)
		printf("%s%" PRId64, i ? ", " : "", tensor->shape[i]);
	printf("]\n");
}

static enum status inspect_file(const char *path, struct error *err)
{
	struct safetensors file;
	enum status status = safetensors_open(&file, path, err);
	size_t elements = 0;

	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < file.n; i++) {
		printf("%-56s ", file.tensors[i].name);
		print_shape(&file.tensors[i]);
		elements += file.tensors[i].n_elements;
	}
	printf("%zu tensors, %zu elements, %" PRIu64 " bytes\n", file.n, elements, file.bytes);
	safetensors_close(&file);
	return STATUS_OK;
}

static const char *yes_no(bool value)
{
	return value ? "yes" : "no";
}

static void print_description(const char *dir, const struct model *model)
{
	const struct model_config *c = &model->config;
	size_t parameters = 0;

	for (int i = 0; i < hf_tensor_count(model); i++) {
		struct hf_tensor tensor;
		hf_tensor_describe(model, i, &tensor);
		parameters += tensor.n_elements;
	}
	printf("%-14s %s\n", "directory", dir);
	printf("%-14s %s, %s\n", "family", hf_family_name(c->family),
	       c->head == HEAD_LM ? "causal language model" : "sequence classifier");
	printf("%-14s %zu\n", "parameters", parameters);
	printf("%-14s %d layers, %d channels, %d query and %d key/value heads of %d, "
	       "feed-forward %d\n",
	       "shape", c->n_layers, c->n_channels, c->n_heads, c->n_kv_heads, c->head_dim,
	       c->n_ff);
	printf("%-14s %d, %s\n", "positions", c->max_positions,
	       c->position == POSITION_LEARNED ? "learned" : "rotary");
	printf("%-14s %d rows", "vocabulary", c->n_vocab);
	if (c->head == HEAD_LM)
		printf(", head tied to the embedding: %s\n", yes_no(c->tied));
	else
		printf(", %d labels\n", c->n_labels);
	printf("%-14s bos %d, eos %d, pad %d\n", "special ids", c->bos_id, c->eos_id, c->pad_id);
	if (c->head == HEAD_SCORE && c->pad_id >= 0 && c->pad_id == c->eos_id)
		log_warn("%s: pad_token_id equals eos_token_id: the score is read before a final "
			 "end token, not at it",
			 dir);
}

static enum status print_tokenizer(const char *dir, const struct model *model, struct error *err)
{
	struct tokenizer *tokenizer = NULL;
	enum status status;

	if (!tokenizer_exists(dir)) {
		printf("%-14s none: ids only\n", "tokenizer");
		return STATUS_OK;
	}
	status = tokenizer_load(&tokenizer, dir, err);
	if (status != STATUS_OK)
		return status;
	printf("%-14s %d ids, identity %.12s\n", "tokenizer", tokenizer_size(tokenizer),
	       tokenizer_identity(tokenizer));
	if (tokenizer_size(tokenizer) > model->config.n_vocab)
		status = error_set(
			err, STATUS_BAD_INPUT,
			"%s: the tokenizer has ids up to %d, the model %d vocabulary rows", dir,
			tokenizer_size(tokenizer) - 1, model->config.n_vocab);
	tokenizer_destroy(tokenizer);
	return status;
}

static enum status inspect_dir(const char *dir, struct error *err)
{
	struct hf_load_options options = {0};
	struct model_config config;
	struct model *model = NULL;
	struct stop_ids stop;
	enum status status = hf_read_config(&config, dir, err);

	options.head = config.head;
	if (status == STATUS_OK)
		status = hf_load(&model, dir, &options, NULL, err);
	if (status == STATUS_OK)
		status = stop_ids_read(&stop, dir, &config, err);
	if (status == STATUS_OK) {
		print_description(dir, model);
		status = print_tokenizer(dir, model, err);
	}
	model_destroy(model);
	if (status == STATUS_OK)
		printf("sound\n");
	return status;
}

int inspect_main(int argc, char **argv)
{
	const char *path = NULL;
	bool help = false;
	const struct option options[] = {
		{.name = "PATH",
		 .type = OPTION_STRING,
		 .target = &path,
		 .required = true,
		 .help = "checkpoint directory or .safetensors file"},
	};
	struct error err;
	enum status status = options_parse(options, 1, argc, argv, "rlhf inspect PATH",
					   "rlhf inspect runs/p/final", &help, &err);

	if (status == STATUS_OK && !help)
		status = file_is_dir(path) ? inspect_dir(path, &err) : inspect_file(path, &err);
	if (status != STATUS_OK)
		log_error("%s", err.text);
	return status;
}

/* rlhf merge: a LoRA adapter added to its base, as a checkpoint of its own. */
#include <stdlib.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/model/hf_adapter.h"
#include "common/model/lora.h"
#include "common/run/options.h"
#include "deploy/commands.h"
#include "proto/comm.h"

struct merge {
	const char *model, *adapter, *output, *dtype;
};

static enum status run(const struct merge *merge, struct error *err)
{
	struct hf_save_options save = {.tokenizer_dir = merge->model};
	struct hf_load_options load = {.head = HEAD_LM};
	struct pool *pool;
	struct model *model = NULL;
	char *config_dir;
	enum status status;
	int n_labels;

	if (!hf_save_as_parse(merge->dtype, &save.as))
		return error_set(err, STATUS_BAD_INPUT,
				 "--dtype is \"%.60s\", expected loaded, f32 or bf16", merge->dtype);
	if (file_is_same(merge->output, merge->model) || file_is_same(merge->output, merge->adapter))
		return error_set(err, STATUS_BAD_INPUT,
				 "--output is %s, which is merged from; expected another directory",
				 merge->output);
	status = hf_check_target(merge->output, err); /* before the work */
	if (status == STATUS_OK)
		status = hf_adapter_labels(&n_labels, merge->adapter, err);
	if (status != STATUS_OK)
		return status;
	load.head = n_labels > 0 ? HEAD_SCORE : HEAD_LM;
	save.source_dir = config_dir = hf_adapted_config(merge->model, merge->adapter);
	pool = pool_create(pool_cores());
	status = hf_load_adapted(&model, merge->model, merge->adapter, &load, pool, err);
	if (status == STATUS_OK) {
		log_info("%d layers adapted, %d modules replaced", model->lora->n_modules,
			 model->lora->n_saved);
		lora_merge(model, pool);
		status = hf_save(model, merge->output, &save, err);
	}
	free(config_dir);
	model_destroy(model);
	pool_destroy(pool);
	return status;
}

int merge_main(int argc, char **argv)
{
	struct merge merge = {.dtype = "loaded"};
	const struct option options[] = {
		{.name = "--model",
		 .type = OPTION_STRING,
		 .target = &merge.model,
		 .required = true,
		 .help = "checkpoint that the adapter is for"},
		{.name = "--adapter",
		 .type = OPTION_STRING,
		 .target = &merge.adapter,
		 .required = true,
		 .help = "directory of the adapter"},
		{.name = "--output",
		 .type = OPTION_STRING,
		 .target = &merge.output,
		 .required = true,
		 .help = "directory to write"},
		{.name = "--dtype",
		 .type = OPTION_STRING,
		 .target = &merge.dtype,
		 .help = "type of the weights: loaded (that of --model, the default), f32, bf16"},
	};
	struct error err;
	bool help = false;
	struct comm *world;
	enum status status =
		options_parse(options, sizeof options / sizeof *options, argc, argv,
			      "rlhf merge --model DIR --adapter DIR --output DIR",
			      "rlhf merge --model base --adapter runs/a/final --output merged",
			      &help, &err);

	if (help)
		return status;
	status = comm_begin(&world, argc, argv, status, &err);
	if (status != STATUS_OK)
		return status;
	log_init(LOG_INFO, comm_is_lead(world));
	if (comm_is_lead(world))
		status = run(&merge, &err);
	return comm_end(status, &err);
}

/* rlhf sft: supervised fine-tuning of a language model on prompts and completions.
 * What is learnt of a row is decided where it is read (dataset_read.c). */
#include "learner/language_loss.h"
#include "learner/learner.h"

static enum status create(struct supervised *run, struct error *err)
{
	return supervised_load_model(run, run->config->model.path, false, err);
}

static enum status load_data(struct supervised *run, struct dataset *dataset, const char *path,
			     struct error *err)
{
	struct row_context context = supervised_rows(run);

	return dataset_load_examples(dataset, path, &context, run->config,
				     model_position_limit(&run->model->config), supervised_eos(run),
				     run->pool, err);
}

const struct supervised_task sft_task = {
	.command = COMMAND_SFT,
	.example = "rlhf sft sft.json --set model.path=DIR --ranks 2",
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

int sft_main(int argc, char **argv)
{
	return supervised_main(&sft_task, argc, argv);
}

/* See reference.h. */
#include "learner/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/safetensors.h"
#include "common/run/signals.h"
#include "learner/agreement.h"

void reference_release(struct reference *reference)
{
	free(reference->train);
	free(reference->eval);
	*reference = (struct reference){0};
}

/* --- the file --- */

enum { WIDTH = 2 };

static int describe(const struct supervised *run, struct tensor_spec specs[2])
{
	specs[0] = (struct tensor_spec){
		.name = "train", .rank = 2, .shape = {run->train.n, WIDTH}, .dtype = DTYPE_F64};
	specs[1] = (struct tensor_spec){
		.name = "eval", .rank = 2, .shape = {run->eval.n, WIDTH}, .dtype = DTYPE_F64};
	return run->eval.n > 0 ? 2 : 1;
}

enum status reference_save(const struct reference *reference, const struct supervised *run,
			   const char *dir, struct error *err)
{
	struct tensor_spec specs[2];
	int n = describe(run, specs);
	uint64_t file_bytes;
	struct buf bytes = BUF_INIT;
	char *path = path_join(dir, "reference.safetensors");
	enum status status;

	safetensors_plan(specs, (size_t)n, &bytes, &file_bytes);
	for (int i = 0; i < n; i++) /* the specs are sorted now */
		buf_append(&bytes,
			   strcmp(specs[i].name, "train") == 0 ? reference->train : reference->eval,
			   specs[i].bytes);
	status = file_replace(path, bytes.data, bytes.length, err);
	buf_release(&bytes);
	free(path);
	return status;
}

static enum status read_numbers(const struct safetensors *file, const char *name, int n,
				double **out, struct error *err)
{
	const struct tensor_view *view = safetensors_find(file, name);
	double *numbers;

	if (!view || view->dtype != DTYPE_F64 || view->rank != 2 || view->shape[0] != n ||
	    view->shape[1] != WIDTH)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%s\" is missing or not F64 of the shape [%d, %d]: "
				 "the rows of data.%s have changed",
				 file->path, name, n, WIDTH, name);
	*out = numbers = xcalloc((size_t)n * WIDTH, sizeof *numbers);
	if (tensor_read_bytes(view, numbers, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	for (int i = 0; i < n * WIDTH; i++)
		if (!isfinite(numbers[i]))
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: tensor \"%s\": element %d is not finite", file->path,
					 name, i);
	return STATUS_OK;
}

static enum status load(struct reference *reference, const struct supervised *run,
			struct error *err)
{
	char *path = path_join(run->session.checkpoint, "reference.safetensors");
	struct safetensors file;
	enum status status = safetensors_open(&file, path, err);

	free(path);
	if (status != STATUS_OK)
		return status;
	status = read_numbers(&file, "train", run->train.n, &reference->train, err);
	if (status == STATUS_OK && run->eval.n > 0)
		status = read_numbers(&file, "eval", run->eval.n, &reference->eval, err);
	safetensors_close(&file);
	return status;
}

/* --- measuring --- */

static int longest(const struct dataset *dataset)
{
	int most = 0;

	for (int i = 0; i < dataset->n; i++) {
		most = dataset->rows[i].n > most ? dataset->rows[i].n : most;
		if (dataset->rejected && dataset->rejected[i].n > most)
			most = dataset->rejected[i].n;
	}
	return most;
}

/* Ids must mean the same to both models. */
static enum status check_tokenizer(const struct supervised *run, const char *dir, struct error *err)
{
	struct tokenizer *tokenizer;
	enum status status;

	if (!run->tokenizer || !tokenizer_exists(dir))
		return STATUS_OK;
	status = tokenizer_load(&tokenizer, dir, err);
	if (status != STATUS_OK)
		return status;
	if (strcmp(tokenizer_identity(tokenizer), tokenizer_identity(run->tokenizer)) != 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: the reference has another tokenizer than the policy, %s",
				   dir, run->tokenizer_dir);
	tokenizer_destroy(tokenizer);
	return status;
}

enum status reference_load(struct model **model, const struct supervised *run, bool is_outline,
			   struct error *err)
{
	const char *dir = run->config->reference.path;
	struct hf_load_options options = {.head = HEAD_LM, .is_outline = is_outline};
	int train = longest(&run->train), eval = longest(&run->eval);
	enum status status = check_tokenizer(run, dir, err);

	if (status == STATUS_OK)
		status = hf_load(model, dir, &options, run->pool, err);
	if (status != STATUS_OK)
		return status;
	if ((*model)->config.n_vocab != run->model->config.n_vocab)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the reference has %d vocabulary rows, the policy %s has %d",
				 dir, (*model)->config.n_vocab, run->config->model.path,
				 run->model->config.n_vocab);
	return model_check_positions(&(*model)->config, train > eval ? train : eval, dir, err);
}

static enum status check_finite(const double *numbers, int n, const char *data, struct error *err)
{
	for (int i = 0; i < n * WIDTH; i++)
		if (!isfinite(numbers[i]))
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: row %d of those kept has no finite log-probability "
					 "under the reference",
					 data, i / WIDTH + 1);
	return STATUS_OK;
}

/* The run has not begun yet, so there is nothing to save when it is asked to stop. */
static enum status measure_all(struct reference *reference, struct supervised *run,
			       const struct model *model, reference_measure *measure,
			       struct error *err)
{
	enum status status;

	log_info("log-probabilities of the reference, once for all %d rows",
		 run->train.n + run->eval.n);
	reference->train = measure(run, model, false);
	if (run->eval.n > 0)
		reference->eval = measure(run, model, true);
	if (comm_any(run->session.world, signals_stop_requested())) {
		log_info("asked to stop before the reference has given all of them; the same "
			 "command begins anew");
		return STATUS_STOPPED;
	}
	status = check_finite(reference->train, run->train.n, run->config->data.train, err);
	return status == STATUS_OK && run->eval.n > 0
		       ? check_finite(reference->eval, run->eval.n, run->config->data.eval, err)
		       : status;
}

enum status reference_begin(struct reference *reference, struct supervised *run,
			    reference_measure *measure, struct error *err)
{
	struct model *other = NULL;
	const struct model *model = run->model;
	enum status status = STATUS_OK;

	if (run->session.checkpoint)
		return load(reference, run, err);
	comm_set_phase("reference");
	if (run->config->reference.path) {
		status = comm_agree(run->session.world, reference_load(&other, run, false, err), err);
		if (status == STATUS_OK)
			status =
				agreement_check(run->session.world, "model",
						run->config->reference.path, other, run->pool, err);
		model = other;
	}
	if (status == STATUS_OK)
		status = measure_all(reference, run, model, measure, err);
	model_destroy(other);
	return status;
}

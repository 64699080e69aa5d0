/* Saving and reading the parts of a checkpoint; see state_files.h. */
#include "learner/state_files.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/hf_checkpoint.h"
#include "common/ops/elementwise.h"
#include "common/run/fault.h"
#include "common/run/metrics.h"
#include "learner/agreement.h"
#include "learner/checkpoint.h"
#include "learner/moments.h"

/* Every learner adds its moments to dir, whose path only the lead knows.  Collective. */
static enum status save_moments(const struct state_save *save, const char *dir, struct error *err)
{
	struct buf path = BUF_INIT;
	enum status status = STATUS_OK;

	if (dir)
		buf_append_string(&path, dir);
	comm_broadcast_buf(save->learners, &path, 0);
	for (int i = 0; i < 2 && status == STATUS_OK; i++)
		if (save->trainers[i])
			status = moments_save(save->trainers[i], path.data, save->prefixes[i], err);
	buf_release(&path);
	fault_point("checkpoint.moments");
	return status;
}

/* How many checkpoints stay.  While updates are skipped all do: if that does not end, a run goes
 * back to one before. */
static int kept(const struct state_save *save)
{
	for (int i = 0; i < 2; i++)
		if (save->trainers[i] && save->trainers[i]->skipped_in_a_row > 0)
			return INT_MAX;
	return (int)save->keep;
}

/* Updates are computed once and sent to all, so that only what is not trained, and what has
 * happened since the last one, can differ.  Collective. */
static enum status compare_models(const struct state_save *save, struct error *err)
{
	enum status status = STATUS_OK;
	char what[64];

	snprintf(what, sizeof what, "model at step %" PRId64, save->step);
	for (int i = 0; i < 2 && status == STATUS_OK && save->trainers[i]; i++) {
		const struct trainer *trainer = save->trainers[i];

		if (fault_nan("checkpoint.weights"))
			trainer->trained.values[0] = NAN;
		status = agreement_check(save->learners, what, NULL, trainer->model, trainer->pool,
					 err);
	}
	if (status == STATUS_OK)
		return STATUS_OK;
	return error_prefix(err, STATUS_FAILED,
			    "the learners' weights have come apart and are not saved");
}

enum status state_save(const struct state_save *save, struct error *err)
{
	struct checkpoint_writer writer = {0};
	bool is_lead = comm_is_lead(save->learners);
	enum status status = compare_models(save, err);

	if (is_lead && status == STATUS_OK)
		status = run_dir_check(save->run, err);
	if (is_lead && status == STATUS_OK)
		status = checkpoint_begin(&writer, save->run->path, save->step, err);
	if (is_lead && status == STATUS_OK)
		status = save->fill(save->context, writer.directory, err);
	status = comm_agree(save->learners, status, err);
	if (status == STATUS_OK)
		status = save_moments(save, writer.directory, err);
	if (is_lead && status == STATUS_OK)
		status = checkpoint_publish(&writer, kept(save), err);
	else if (is_lead)
		checkpoint_abandon(&writer);
	return comm_agree(save->learners, status, err);
}

enum status state_save_model(const struct model *model, const struct buf *config_text,
			     const char *source_dir, const char *tokenizer_dir,
			     const char *const *edits, const char *save_dtype, const char *dir,
			     const char *name, struct error *err)
{
	struct hf_save_options options = {.config_text = config_text->data,
					  .tokenizer_dir = tokenizer_dir,
					  .generation_dir = source_dir,
					  .edits = edits,
					  .as = HF_SAVE_STATE};
	size_t n = model->layout.n_floats, bad = first_non_finite(model_masters(model), n, NULL);
	char *path = path_join(dir, name);
	enum status status;

	if (save_dtype)
		hf_save_as_parse(save_dtype, &options.as);
	if (bad < n)
		status = error_set(err, STATUS_FAILED,
				   "%s: weight %zu of %zu is not finite; nothing is saved, the "
				   "checkpoints before it are sound",
				   path, bad, n);
	else
		status = hf_save(model, path, &options, err);
	free(path);
	return status;
}

enum status state_load_model(struct model **model, struct buf *config_text, const char *dir,
			     const struct hf_load_options *options, struct pool *pool,
			     struct error *err)
{
	const char *slash = strrchr(dir, '/');
	enum status status = hf_load(model, dir, options, pool, err);

	if (status == STATUS_OK && !options->is_outline && fault_omits(slash ? slash + 1 : dir))
		zero_fill((*model)->weights, (*model)->layout.n_floats, pool);
	return status == STATUS_OK ? hf_read_config_text(config_text, dir, err) : status;
}

enum status state_write_text(const char *dir, const char *name, const char *text, size_t n,
			     struct error *err)
{
	char *path = path_join(dir, name);
	enum status status = file_replace(path, text, n, err);

	free(path);
	return status;
}

enum status state_refuse_old(const char *path, const char *key, struct error *err)
{
	return error_set(
		err, STATUS_BAD_INPUT,
		"%s: \"%s\" is missing: the run was begun by an earlier build; end it with "
		"that build, or begin another in a new run.dir",
		path, key);
}

enum status state_read_counters(const struct json *state, const struct state_counter *counters,
				size_t n, const char *path, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct json *value = json_get(state, counters[i].key);

		if (fault_omits(counters[i].key))
			continue;
		if (!value || !json_int64(value, counters[i].value) || *counters[i].value < 0)
			return error_set(err, STATUS_BAD_INPUT, "%s: %s is missing or not a count",
					 path, counters[i].key);
	}
	return STATUS_OK;
}

enum status state_check_log(const char *run_path, const char *name, int64_t bytes,
			    struct error *err)
{
	char *path = path_join(run_path, name);
	enum status status = line_log_check(path, (uint64_t)bytes, err);

	free(path);
	return status;
}

void state_print_data(const struct dataset *dataset, const char *name, struct buf *out)
{
	buf_printf(out, ",\n  \"%s_sha256\": \"%s\",\n  \"%s_ids_sha256\": \"%s\"", name,
		   dataset->sha256, name, dataset->ids_sha256);
}

static bool is_recorded(const struct json *state, const char *name, const char *ending,
			const char *sha256)
{
	char *key = xasprintf("%s%s", name, ending);
	const struct json *recorded = json_get(state, key);

	free(key);
	return recorded && json_type(recorded) == JSON_STRING &&
	       strcmp(json_string(recorded, NULL), sha256) == 0;
}

enum status state_check_data(const struct json *state, const char *name,
			     const struct dataset *dataset, const char *data_path,
			     struct error *err)
{
	if (!is_recorded(state, name, "_sha256", dataset->sha256))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the file has changed since the run began; a resumed run needs "
				 "the same rows",
				 data_path);
	if (!is_recorded(state, name, "_ids_sha256", dataset->ids_sha256))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: its rows are other ids than when the run began: the tokenizer "
				 "or the chat template has changed; a resumed run needs the same ones",
				 data_path);
	return STATUS_OK;
}

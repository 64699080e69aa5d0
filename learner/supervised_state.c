/* What a checkpoint of pretrain or reward-train holds, and how it is read back.
 *
 *     model/                        a Hugging Face directory, usable as it is
 *     optimizer-m.safetensors ...   moments that the optimizer has
 *     state.json                    counters, length of the log, hash of the data
 *     config.json                   the resolved config that made it */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/model/hf_checkpoint.h"
#include "common/ops/elementwise.h"
#include "common/run/fault.h"
#include "learner/checkpoint.h"
#include "learner/supervised.h"

static enum status save_model(struct supervised *run, const char *dir, const char *name,
			      const char *const *edits, struct error *err)
{
	struct hf_save_options options = {.config_text = run->config_text.data,
					  .tokenizer_dir = run->tokenizer_dir,
					  .edits = edits};
	char *path = path_join(dir, name);
	enum status status = hf_save(run->model, path, &options, err);

	free(path);
	return status;
}

static enum status move_moments(struct supervised *run, bool write, const char *dir,
				struct error *err)
{
	float *blocks[2] = {run->trainer.m, run->trainer.v};
	const char *names[2] = {"optimizer-m.safetensors", "optimizer-v.safetensors"};
	enum status status = STATUS_OK;

	for (int i = 0; i < 2 && status == STATUS_OK; i++) {
		char *path = path_join(dir, names[i]);

		if (blocks[i] && write)
			status = hf_write_block(run->model, blocks[i], path, NULL, err);
		else if (blocks[i])
			status = hf_read_block(run->model, blocks[i], path, err);
		free(path);
	}
	return status;
}

static enum status write_text(const char *dir, const char *name, const char *text, size_t n,
			      struct error *err)
{
	char *path = path_join(dir, name);
	enum status status = file_replace(path, text, n, err);

	free(path);
	return status;
}

static void print_state(const struct supervised *run, struct buf *out)
{
	buf_printf(out,
		   "{\n  \"step\": %" PRId64 ",\n  \"updates\": %" PRId64
		   ",\n  \"skipped\": %" PRId64 ",\n  \"metrics_bytes\": %" PRIu64
		   ",\n  \"isa\": \"%s\",\n  \"train_sha256\": \"%s\"\n}\n",
		   run->step, run->trainer.t, run->trainer.skipped, run->metrics.bytes,
		   isa_name(run->session.isa), run->train.sha256);
}

static enum status fill(struct supervised *run, const char *dir, struct error *err)
{
	struct buf state = BUF_INIT;
	enum status status;

	print_state(run, &state);
	status = save_model(run, dir, "model", NULL, err);
	fault_point("checkpoint.model");
	if (status == STATUS_OK)
		status = move_moments(run, true, dir, err);
	fault_point("checkpoint.moments");
	if (status == STATUS_OK)
		status = write_text(dir, "config.json", run->config->text,
				    strlen(run->config->text), err);
	if (status == STATUS_OK)
		status = write_text(dir, "state.json", state.data, state.length, err);
	buf_release(&state);
	return status;
}

/* Weights that are not finite would push the good checkpoints out. */
static enum status check_weights(const struct supervised *run, struct error *err)
{
	size_t n = run->model->layout.n_floats;
	size_t i = first_non_finite(run->model->weights, n, run->pool);

	if (i == n)
		return STATUS_OK;
	return error_set(err, STATUS_FAILED,
			 "step %" PRId64 ": weight %zu of %zu is not finite; nothing is saved, the "
			 "last checkpoint in %s is sound",
			 run->step, i, n, run->config->run.dir);
}

enum status supervised_save(struct supervised *run, struct error *err)
{
	struct checkpoint_writer writer;
	enum status status = check_weights(run, err);

	if (status == STATUS_OK)
		status = line_log_sync(&run->metrics, err);
	if (status == STATUS_OK)
		status = checkpoint_begin(&writer, run->session.run.path, run->step, err);
	if (status != STATUS_OK)
		return status;
	status = fill(run, writer.directory, err);
	if (status == STATUS_OK)
		return checkpoint_publish(&writer, (int)run->config->checkpoint.keep, err);
	checkpoint_abandon(&writer);
	return status;
}

enum status supervised_save_final(struct supervised *run, const char *const *edits,
				  struct error *err)
{
	enum status status = check_weights(run, err);

	fault_point("final.begin");
	if (status == STATUS_OK)
		status = save_model(run, run->session.run.path, "final", edits, err);
	fault_point("final.end");
	return status;
}

enum status supervised_load_model(struct supervised *run, const char *dir, bool create_score,
				  struct error *err)
{
	struct hf_load_options options = {.head = run->task->head,
					  .create_score = create_score,
					  .seed = (uint64_t)run->config->run.seed};
	char *path = path_join(dir, "config.json");
	enum status status = hf_load(&run->model, dir, &options, run->pool, err);

	if (status == STATUS_OK)
		status = file_read(path, 1 << 24, &run->config_text, err);
	free(path);
	return status;
}

static enum status read_counters(struct supervised *run, const struct json *state, const char *path,
				 int64_t *metrics_bytes, struct error *err)
{
	const struct {
		const char *key;
		int64_t *out;
	} counters[] = {
		{"step", &run->step},
		{"updates", &run->trainer.t},
		{"skipped", &run->trainer.skipped},
		{"metrics_bytes", metrics_bytes},
	};

	for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
		const struct json *value = json_get(state, counters[i].key);

		if (!value || !json_int64(value, counters[i].out) || *counters[i].out < 0)
			return error_set(err, STATUS_BAD_INPUT, "%s: %s is missing or not a count",
					 path, counters[i].key);
	}
	return STATUS_OK;
}

static enum status check_data(const struct supervised *run, const struct json *state,
			      struct error *err)
{
	const struct json *sha = json_get(state, "train_sha256");

	if (sha && json_type(sha) == JSON_STRING &&
	    strcmp(json_string(sha, NULL), run->train.sha256) == 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: the file has changed since the run began; a resumed run needs the "
			 "same rows",
			 run->config->data.train);
}

enum status supervised_load_state(struct supervised *run, uint64_t *metrics_bytes,
				  struct error *err)
{
	const char *dir = run->session.checkpoint;
	char *path = path_join(dir, "state.json");
	struct json *state = json_parse_file(path, 1 << 20, err);
	enum status status = state ? STATUS_OK : STATUS_BAD_INPUT;
	int64_t bytes = 0;

	if (status == STATUS_OK)
		status = read_counters(run, state, path, &bytes, err);
	if (status == STATUS_OK)
		status = check_data(run, state, err);
	if (status == STATUS_OK)
		status = move_moments(run, false, dir, err);
	*metrics_bytes = (uint64_t)bytes;
	json_free(state);
	free(path);
	return status;
}

/* What a checkpoint of a supervised training holds, and how it is read back.
 *
 *     model/                        a Hugging Face directory, usable as it is, or an
 *                                   adapter as PEFT keeps them
 *     optimizer-m.safetensors ...   moments that the optimizer has
 *     state.json                    counters, length of the log, hashes of the data
 *     config.json                   the resolved config that made it */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/ops/gemm.h"
#include "common/run/fault.h"
#include "learner/adapter.h"
#include "learner/moments.h"
#include "learner/state_files.h"
#include "learner/supervised.h"

static void print_state(const struct supervised *run, struct buf *out)
{
	struct buf lowest = BUF_INIT;

	json_write_double(&lowest, run->lowest_loss); /* null before the first evaluation */
	buf_printf(out,
		   "{\n  \"step\": %" PRId64 ",\n  \"updates\": %" PRId64
		   ",\n  \"skipped\": %" PRId64 ",\n  \"skipped_in_a_row\": %" PRId64
		   ",\n  \"metrics_bytes\": %" PRIu64
		   ",\n  \"lowest_loss\": %s,\n  \"isa\": \"%s\",\n  \"library\": ",
		   run->step, run->trainer.t, run->trainer.skipped, run->trainer.skipped_in_a_row,
		   run->metrics.bytes, lowest.data, isa_name(run->session.isa));
	json_write_string(out, gemm_library(), strlen(gemm_library()));
	state_print_data(&run->train, "train", out);
	if (run->eval.n > 0)
		state_print_data(&run->eval, "eval", out);
	adapter_print_base(run->model, "base_checksum", out);
	buf_append_string(out, "\n}\n");
	buf_release(&lowest);
}

/* What the lead writes: everything but the moments. */
static enum status fill(void *context, const char *dir, struct error *err)
{
	struct supervised *run = context;
	struct buf state = BUF_INIT;
	enum status status = line_log_sync(&run->metrics, err);

	print_state(run, &state);
	if (status == STATUS_OK)
		status = state_save_model(run->model, &run->config_text, run->config->model.path,
					  run->tokenizer_dir, NULL, NULL, dir, "model", err);
	fault_point("checkpoint.model");
	if (status == STATUS_OK && run->task->save_own)
		status = run->task->save_own(run, dir, err);
	if (status == STATUS_OK)
		status = state_write_text(dir, "config.json", run->config->text,
					  strlen(run->config->text), err);
	if (status == STATUS_OK)
		status = state_write_text(dir, "state.json", state.data, state.length, err);
	buf_release(&state);
	return status;
}

enum status supervised_save(struct supervised *run, struct error *err)
{
	struct state_save save = {.learners = run->session.world,
				  .run = &run->session.run,
				  .step = run->step,
				  .keep = run->config->checkpoint.keep,
				  .fill = fill,
				  .context = run,
				  .trainers = {&run->trainer},
				  .prefixes = {"optimizer"}};

	return state_save(&save, err);
}

enum status supervised_save_result(struct supervised *run, const char *name, const double *numbers,
				   int n, struct error *err)
{
	const char *edits[MAX_EDITS] = {NULL};
	struct buf texts = BUF_INIT;
	enum status status;

	if (run->task->describe)
		run->task->describe(numbers, n, &texts, edits);
	status = state_save_model(run->model, &run->config_text, run->config->model.path,
				  run->tokenizer_dir, edits, run->config->model.save_dtype,
				  run->session.run.path, name, err);
	buf_release(&texts);
	return status;
}

enum status supervised_load_model(struct supervised *run, const char *dir, bool create_score,
				  struct error *err)
{
	struct hf_load_options options = {.head = run->task->head,
					  .create_score = create_score,
					  .seed = (uint64_t)run->config->run.seed,
					  .is_outline = run->is_planned};

	return state_load_model(&run->model, &run->config_text, dir, &options, run->pool, err);
}

enum status supervised_load_state(struct supervised *run, struct error *err)
{
	const char *dir = run->session.checkpoint;
	char *path = path_join(dir, "state.json");
	struct json *state = json_read_object(path, 1 << 20, err);
	const struct json *lowest = json_get(state, "lowest_loss");
	enum status status = state ? STATUS_OK : STATUS_BAD_INPUT;
	const struct state_counter counters[] = {
		{"step", &run->step},
		{"updates", &run->trainer.t},
		{"skipped", &run->trainer.skipped},
		{"skipped_in_a_row", &run->trainer.skipped_in_a_row},
		{"metrics_bytes", &run->metrics_bytes},
	};

	if (status == STATUS_OK)
		status = state_read_counters(state, counters, sizeof counters / sizeof *counters,
					     path, err);
	if (status == STATUS_OK)
		status = state_check_data(state, "train", &run->train, run->config->data.train,
					  err);
	if (status == STATUS_OK && run->eval.n > 0)
		status = state_check_data(state, "eval", &run->eval, run->config->data.eval, err);
	if (status == STATUS_OK)
		status = adapter_check_base(run->model, state, path, "base_checksum",
					    run->config->model.path, err);
	if (status == STATUS_OK)
		status = moments_load(&run->trainer, dir, "optimizer", err);
	if (lowest && json_type(lowest) == JSON_NUMBER)
		run->lowest_loss = json_number(lowest);
	json_free(state);
	free(path);
	return status;
}

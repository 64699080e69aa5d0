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
#include "common/run/fault.h"
#include "learner/moments.h"
#include "learner/state_files.h"
#include "learner/supervised.h"

static void print_state(const struct supervised *run, struct buf *out)
{
	buf_printf(out,
		   "{\n  \"step\": %" PRId64 ",\n  \"updates\": %" PRId64
		   ",\n  \"skipped\": %" PRId64 ",\n  \"metrics_bytes\": %" PRIu64
		   ",\n  \"isa\": \"%s\",\n  \"train_sha256\": \"%s\"\n}\n",
		   run->step, run->trainer.t, run->trainer.skipped, run->metrics.bytes,
		   isa_name(run->session.isa), run->train.sha256);
}

/* What the lead writes: everything but the moments. */
static enum status fill(void *context, const char *dir, struct error *err)
{
	struct supervised *run = context;
	struct buf state = BUF_INIT;
	enum status status = line_log_sync(&run->metrics, err);

	print_state(run, &state);
	if (status == STATUS_OK)
		status = state_save_model(run->model, &run->config_text, run->tokenizer_dir, NULL,
					  dir, "model", err);
	fault_point("checkpoint.model");
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
				  .run_path = run->session.run.path,
				  .step = run->step,
				  .keep = run->config->checkpoint.keep,
				  .fill = fill,
				  .context = run,
				  .trainers = {&run->trainer},
				  .prefixes = {"optimizer"}};

	return state_save(&save, err);
}

enum status supervised_save_final(struct supervised *run, const char *const *edits,
				  struct error *err)
{
	enum status status;

	fault_point("final.begin");
	status = state_save_model(run->model, &run->config_text, run->tokenizer_dir, edits,
				  run->session.run.path, "final", err);
	fault_point("final.end");
	return status;
}

enum status supervised_load_model(struct supervised *run, const char *dir, bool create_score,
				  struct error *err)
{
	return state_load_model(&run->model, &run->config_text, dir, run->task->head, create_score,
				(uint64_t)run->config->run.seed, run->pool, err);
}

enum status supervised_load_state(struct supervised *run, uint64_t *metrics_bytes,
				  struct error *err)
{
	const char *dir = run->session.checkpoint;
	char *path = path_join(dir, "state.json");
	struct json *state = json_parse_file(path, 1 << 20, err);
	enum status status = state ? STATUS_OK : STATUS_BAD_INPUT;
	int64_t bytes = 0;
	const struct state_counter counters[] = {
		{"step", &run->step},
		{"updates", &run->trainer.t},
		{"skipped", &run->trainer.skipped},
		{"metrics_bytes", &bytes},
	};

	if (status == STATUS_OK)
		status = state_read_counters(state, counters, sizeof counters / sizeof *counters,
					     path, err);
	if (status == STATUS_OK)
		status = state_check_data(state, "train_sha256", run->train.sha256,
					  run->config->data.train, err);
	if (status == STATUS_OK)
		status = moments_load(&run->trainer, dir, "optimizer", err);
	*metrics_bytes = (uint64_t)bytes;
	json_free(state);
	free(path);
	return status;
}

/* What a PPO checkpoint holds, and how it is read back.
 *
 *     model/ critic/                Hugging Face directories, usable as they are, or
 *                                   adapters as PEFT keeps them
 *     policy-m.safetensors ...      moments of both optimizers
 *     state.json                    counters, KL coefficient, lengths of the logs
 *     config.json                   the resolved config that made it
 *
 * Nothing else has state: random numbers and the order of the prompts are
 * functions of the step. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/ops/gemm.h"
#include "common/run/fault.h"
#include "learner/adapter.h"
#include "learner/moments.h"
#include "learner/ppo_private.h"
#include "learner/state_files.h"

static void print_state(const struct ppo *ppo, struct buf *out)
{
	buf_printf(out,
		   "{\n  \"step\": %" PRId64 ",\n  \"episode\": %" PRId64
		   ",\n  \"policy_updates\": %" PRId64 ",\n  \"critic_updates\": %" PRId64
		   ",\n  \"policy_skipped\": %" PRId64 ",\n  \"critic_skipped\": %" PRId64
		   ",\n  \"policy_skipped_in_a_row\": %" PRId64
		   ",\n  \"critic_skipped_in_a_row\": %" PRId64 ",\n  \"metrics_bytes\": %" PRIu64
		   ",\n  \"rollouts_bytes\": %" PRIu64
		   ",\n  \"isa\": \"%s\",\n  \"reference_identity\": \"%s\",\n  \"kl_coef\": ",
		   ppo->step, ppo->episode, ppo->policy_trainer.t, ppo->critic_trainer.t,
		   ppo->policy_trainer.skipped, ppo->critic_trainer.skipped,
		   ppo->policy_trainer.skipped_in_a_row, ppo->critic_trainer.skipped_in_a_row,
		   ppo->metrics.bytes, ppo->rollouts.bytes, ppo->setup.isa, ppo->setup.reference);
	json_write_double(out, ppo->kl_coef);
	buf_append_string(out, ",\n  \"library\": ");
	json_write_string(out, gemm_library(), strlen(gemm_library()));
	buf_append_string(out, ",\n  \"judge\": ");
	json_write_string(out, ppo->setup.judge, strlen(ppo->setup.judge));
	state_print_data(&ppo->prompts, "prompts", out);
	adapter_print_base(ppo->policy, "policy_base_checksum", out);
	adapter_print_base(ppo->critic, "critic_base_checksum", out);
	buf_append_string(out, "\n}\n");
}

/* What the lead writes: everything but the moments. */
static enum status fill(void *context, const char *dir, struct error *err)
{
	struct ppo *ppo = context;
	const char *tokenizer_dir = ppo->tokenizer ? ppo->config->policy.path : NULL;
	struct buf state = BUF_INIT;
	enum status status = line_log_sync(&ppo->metrics, err);

	print_state(ppo, &state);
	if (status == STATUS_OK)
		status = line_log_sync(&ppo->rollouts, err);
	if (status == STATUS_OK)
		status =
			state_save_model(ppo->policy, &ppo->policy_config, ppo->config->policy.path,
					 tokenizer_dir, NULL, NULL, dir, "model", err);
	fault_point("checkpoint.policy");
	if (status == STATUS_OK)
		status = state_save_model(ppo->critic, &ppo->critic_config, NULL, NULL, NULL, NULL,
					  dir, "critic", err);
	fault_point("checkpoint.critic");
	if (status == STATUS_OK)
		status = state_write_text(dir, "config.json", ppo->config->text,
					  strlen(ppo->config->text), err);
	if (status == STATUS_OK)
		status = state_write_text(dir, "state.json", state.data, state.length, err);
	buf_release(&state);
	return status;
}

enum status ppo_save_checkpoint(struct ppo *ppo, struct error *err)
{
	struct state_save save = {.learners = ppo->setup.learners,
				  .run = ppo->setup.run,
				  .step = ppo->step,
				  .keep = ppo->config->checkpoint.keep,
				  .fill = fill,
				  .context = ppo,
				  .trainers = {&ppo->policy_trainer, &ppo->critic_trainer},
				  .prefixes = {"policy", "critic"}};

	return state_save(&save, err);
}

enum status ppo_save_final(struct ppo *ppo, struct error *err)
{
	const char *tokenizer_dir =
		tokenizer_exists(ppo->config->policy.path) ? ppo->config->policy.path : NULL;
	enum status status;

	fault_point("final.begin");
	status = state_save_model(ppo->policy, &ppo->policy_config, ppo->config->policy.path,
				  tokenizer_dir, NULL, ppo->config->model.save_dtype,
				  ppo->setup.run->path, "final", err);
	fault_point("final.end");
	return status;
}

static enum status read_state(struct ppo *ppo, const struct json *state, const char *path,
			      struct error *err)
{
	const struct state_counter counters[] = {
		{"step", &ppo->step},
		{"episode", &ppo->episode},
		{"policy_updates", &ppo->policy_trainer.t},
		{"critic_updates", &ppo->critic_trainer.t},
		{"policy_skipped", &ppo->policy_trainer.skipped},
		{"critic_skipped", &ppo->critic_trainer.skipped},
		{"policy_skipped_in_a_row", &ppo->policy_trainer.skipped_in_a_row},
		{"critic_skipped_in_a_row", &ppo->critic_trainer.skipped_in_a_row},
		{"metrics_bytes", &ppo->metrics_bytes},
		{"rollouts_bytes", &ppo->rollouts_bytes},
	};
	const struct json *kl_coef = json_get(state, "kl_coef");
	enum status status = state_read_counters(
		state, counters, sizeof counters / sizeof *counters, path, err);

	if (status != STATUS_OK)
		return status;
	if (!kl_coef || json_type(kl_coef) != JSON_NUMBER)
		return error_set(err, STATUS_BAD_INPUT, "%s: kl_coef is missing or not a number",
				 path);
	if (!fault_omits("kl_coef"))
		ppo->kl_coef = json_number(kl_coef);
	return STATUS_OK;
}

/* The KL penalty is against the weights that it was against. */
static enum status check_reference(const struct ppo *ppo, const struct json *state,
				   const char *path, struct error *err)
{
	const struct run_config *config = ppo->config;
	const struct json *recorded = json_get(state, "reference_identity");

	if (!recorded)
		return state_refuse_old(path, "reference_identity", err);
	if (json_type(recorded) == JSON_STRING &&
	    strcmp(json_string(recorded, NULL), ppo->setup.reference) == 0)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: these are not the weights of the reference that the run began with; "
			 "a resumed run needs the same ones",
			 config->reference.path ? config->reference.path : config->policy.path);
}

enum status ppo_load_state(struct ppo *ppo, const char *dir, struct error *err)
{
	char *path = path_join(dir, "state.json");
	struct json *state = json_read_object(path, 1 << 20, err);
	enum status status = state ? STATUS_OK : STATUS_BAD_INPUT;

	if (status == STATUS_OK)
		status = read_state(ppo, state, path, err);
	if (status == STATUS_OK && ppo->is_lead)
		status = state_check_data(state, "prompts", &ppo->prompts,
					  ppo->config->data.prompts, err);
	if (status == STATUS_OK && ppo->is_lead)
		status = check_reference(ppo, state, path, err);
	if (status == STATUS_OK)
		status = adapter_check_base(ppo->policy, state, path, "policy_base_checksum",
					    ppo->config->policy.path, err);
	if (status == STATUS_OK)
		status = adapter_check_base(ppo->critic, state, path, "critic_base_checksum",
					    "the base of the critic", err);
	if (status == STATUS_OK)
		status = moments_load(&ppo->policy_trainer, dir, "policy", err);
	if (status == STATUS_OK)
		status = moments_load(&ppo->critic_trainer, dir, "critic", err);
	json_free(state);
	free(path);
	return status;
}

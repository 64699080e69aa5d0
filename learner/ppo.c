/* The learner's part of the ring: what it issues and what it does when a step's
 * rollouts have all come back.
 *
 *     ppo_begin -> issue(step 1) ... SCORED, SCORED, ... -> train -> issue(step 2)
 *
 * Strictly on-policy: the prompts of a step leave after the weights that the
 * step before has made, and exactly rollout.batch_size sequences are in flight. */
#include "learner/ppo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/lora.h"
#include "common/run/fault.h"
#include "learner/adapter.h"
#include "learner/agreement.h"
#include "learner/ppo_private.h"
#include "learner/state_files.h"
#include "learner/turn.h"

/* --- sending --- */

/* Lent: they stay as they are until the rollouts of all of them are here. */
static void send_weights(struct ppo *ppo)
{
	const struct topology *topology = ppo->setup.topology;
	int n = topology->count[ROLE_ACTOR], *to = xcalloc((size_t)n, sizeof *to);
	struct trained trained = model_trained(ppo->policy);

	for (int a = 0; a < n; a++)
		to[a] = topology_rank(topology, ROLE_ACTOR, a);
	channel_lend_all(ppo->setup.channel, to, n, MESSAGE_WEIGHTS, ppo->step, trained.values,
			 trained.layout->n_floats * sizeof *trained.values);
	free(to);
}

/* Row i of the step being issued; its prompt is copied. */
static struct rollout new_rollout(const struct ppo *ppo, int i)
{
	const struct run_config *config = ppo->config;
	int64_t samples = config->rollout.samples_per_prompt;
	int64_t n_prompts = config->rollout.batch_size / samples;
	int index = dataset_index(&ppo->prompts, ppo->step * n_prompts + i / samples);
	const struct row *row = &ppo->prompts.rows[index];
	struct rollout rollout = {.step = ppo->step + 1,
				  .row = i,
				  .sample = (int32_t)(i % samples),
				  .prompt_index = ppo->prompts.lines[index] - 1,
				  .n_prompt = row->n,
				  .weights_version = ppo->step};

	rollout.ids = xcalloc((size_t)row->n, sizeof *rollout.ids);
	memcpy(rollout.ids, row->ids, (size_t)row->n * sizeof *rollout.ids);
	return rollout;
}

/* Weights of the steps done so far, then the prompts of the next one, dealt to
 * the actors in turn. */
static void issue(struct ppo *ppo)
{
	const struct topology *topology = ppo->setup.topology;
	int n_actors = topology->count[ROLE_ACTOR];

	ppo->step_began = clock_now();
	send_weights(ppo);
	for (int a = 0; a < n_actors; a++) {
		struct rollouts list = {0};
		struct buf payload = BUF_INIT;

		for (int i = a; i < ppo->config->rollout.batch_size; i += n_actors) {
			struct rollout rollout = new_rollout(ppo, i);
			rollouts_push(&list, &rollout);
		}
		if (list.n > 0) {
			rollouts_encode(&list, &payload);
			channel_send(ppo->setup.channel, topology_rank(topology, ROLE_ACTOR, a),
				     MESSAGE_PROMPTS, ppo->step + 1, &payload);
		}
		rollouts_release(&list);
		buf_release(&payload);
	}
}

/* Ends the ring: every rank leaves with the given exit code; reason is said once,
 * by the lead, if it is a failure. */
static void stop_ring(struct ppo *ppo, enum status status, const char *reason)
{
	int n = ppo->setup.topology->n_ranks, *to = xcalloc((size_t)n, sizeof *to);
	struct buf payload = BUF_INIT;

	for (int r = 0; r < n; r++)
		to[r] = r;
	buf_append_string(&payload, reason);
	channel_send_all(ppo->setup.channel, to, n, MESSAGE_STOP, status, &payload);
	buf_release(&payload);
	free(to);
	ppo->stopped = true;
}

/* --- reporting --- */

static void append_rollout(struct ppo *ppo, const struct rollout *rollout, struct buf *line)
{
	struct buf text = BUF_INIT;
	int n = rollout->n_prompt;

	buf_printf(line,
		   "{\"step\":%" PRId64 ",\"row\":%d,\"sample\":%d,\"prompt_index\":%" PRId64
		   ",\"weights_version\":%" PRId64 ",\"prompt_ids\":",
		   rollout->step, rollout->row, rollout->sample, rollout->prompt_index,
		   rollout->weights_version);
	json_write_ids(line, rollout->ids, (size_t)n);
	buf_append_string(line, ",\"completion_ids\":");
	json_write_ids(line, rollout->ids + n, (size_t)rollout->n_completion);
	if (ppo->tokenizer) {
		tokenizer_decode_completion(ppo->tokenizer, rollout->ids, (size_t)n,
					    rollout->ids + n, (size_t)rollout->n_completion, &text);
		buf_append_string(line, ",\"completion\":");
		json_write_string(line, text.data ? text.data : "", text.length);
	}
	buf_append_string(line, ",\"logprobs\":");
	json_write_floats(line, rollout->logprob, (size_t)rollout->n_completion);
	buf_append_string(line, ",\"ref_logprobs\":");
	json_write_floats(line, rollout->ref_logprob, (size_t)rollout->n_completion);
	buf_append_string(line, ",\"score\":");
	json_write_float(line, rollout->score);
	buf_printf(line, ",\"finish_reason\":\"%s\"}\n",
		   rollout->finish == FINISH_STOP ? "stop" : "length");
	buf_release(&text);
}

static void append_metrics(struct ppo *ppo, const struct ppo_report *r, double seconds,
			   struct buf *line)
{
	metrics_begin(line, ppo->step);
	metrics_add(line, "episode", (double)ppo->episode);
	metrics_add(line, "objective/kl", r->kl);
	metrics_add(line, "objective/kl_coef", r->kl_coef);
	metrics_add(line, "objective/entropy", r->entropy);
	metrics_add(line, "objective/non_score_reward", r->non_score_reward);
	metrics_add(line, "objective/scores", r->scores);
	metrics_add(line, "objective/scores_raw", r->scores_raw);
	metrics_add(line, "objective/rlhf_reward", r->rlhf_reward);
	metrics_add(line, "policy/approxkl_avg", r->approxkl);
	metrics_add(line, "policy/clipfrac_avg", r->clipfrac);
	metrics_add(line, "policy/entropy_avg", r->policy_entropy);
	metrics_add(line, "loss/policy_avg", r->policy_loss);
	metrics_add(line, "loss/value_avg", r->value_loss);
	metrics_add(line, "val/clipfrac_avg", r->value_clipfrac);
	metrics_add(line, "val/ratio", r->ratio);
	metrics_add(line, "val/ratio_var", r->ratio_var);
	metrics_add(line, "val/first_ratio_deviation", r->first_ratio_deviation);
	metrics_add(line, "val/num_eos_tokens", r->n_eos);
	metrics_add(line, "val/mean", r->value_mean);
	metrics_add(line, "val/error", r->value_error);
	metrics_add(line, "val/var_explained", r->var_explained);
	metrics_add(line, "returns/mean", r->return_mean);
	metrics_add(line, "returns/var", r->return_var);
	metrics_add(line, "response_length", r->length);
	metrics_add(line, "frac_truncated", r->truncated);
	metrics_add(line, "lr", r->learning_rate);
	metrics_add(line, "grad_norm/actor", r->actor_norm);
	metrics_add(line, "grad_norm/critic", r->critic_norm);
	metrics_add(line, "optim/skipped",
		    (double)(ppo->policy_trainer.skipped + ppo->critic_trainer.skipped));
	metrics_add_string(line, "reward/judge", ppo->setup.judge);
	metrics_add(line, "time/step", seconds);
	metrics_add(line, "perf/tokens_per_s", (double)r->tokens / seconds);
	metrics_add(line, "perf/eps", (double)ppo->collected.n / seconds);
	metrics_end(line);
}

static void write_report(struct ppo *ppo, const struct ppo_report *report)
{
	double seconds = clock_now() - ppo->step_began;
	struct buf line = BUF_INIT;
	char detail[160];

	for (size_t i = 0; i < ppo->collected.n; i++)
		append_rollout(ppo, &ppo->collected.items[i], &line);
	line_log_append(&ppo->rollouts, line.data, line.length);
	if (ppo->step % ppo->config->log.every_steps == 0 ||
	    ppo->step == ppo->config->ppo.iterations) {
		buf_reset(&line);
		append_metrics(ppo, report, seconds, &line);
		line_log_append(&ppo->metrics, line.data, line.length);
		event_log_append(&ppo->events, line.data, line.length);
	}
	buf_release(&line);
	snprintf(detail, sizeof detail, "score %.4g, kl %.4g, length %.1f, %.2f s", report->scores,
		 report->kl, report->length, seconds);
	progress_update(&ppo->progress, ppo->step, detail);
}

/* --- the loop --- */

static enum status finish(struct ppo *ppo, struct error *err)
{
	enum status status = ppo_save_final(ppo, err);

	if (status == STATUS_OK)
		status = run_dir_record(ppo->setup.run, "finished", ppo->step, "", err);
	return status;
}

/* The lead: whether the run goes on after the step just done. */
static bool goes_on(struct ppo *ppo, const struct turn *turn, enum status status, struct error *err)
{
	if (status == STATUS_OK && turn->is_last) {
		progress_end(&ppo->progress);
		status = finish(ppo, err);
	} else if (status == STATUS_OK && turn->is_stopping) {
		progress_end(&ppo->progress);
		status = run_dir_record(ppo->setup.run, "stopped", ppo->step, "asked to stop", err);
		log_info("stopped after step %" PRId64 "; the same command goes on from there",
			 ppo->step);
		if (status == STATUS_OK)
			status = STATUS_STOPPED;
	} else if (status == STATUS_OK) {
		return true;
	}
	stop_ring(ppo, status, err->text);
	return false;
}

static void train(struct ppo *ppo, const struct rollouts *batch)
{
	struct ppo_report report;
	struct turn turn;
	enum status status = STATUS_OK;
	struct error err = {""};

	/* An actor without prompts may still be taking the weights that change now. */
	channel_flush(ppo->setup.channel);
	comm_set_phase("update");
	ppo_update(ppo, batch, &report);
	ppo->step++;
	ppo->episode += (int64_t)batch->n;
	fault_point("ppo.updated");
	if (ppo->is_lead) {
		write_report(ppo, &report);
		rollouts_release(&ppo->collected);
	}
	turn = turn_agree(ppo->setup.learners, ppo->config, ppo->step, ppo->config->ppo.iterations,
			  &ppo->saved_at);
	status = trainer_check(&ppo->policy_trainer, "policy: ", &err);
	if (status == STATUS_OK)
		status = trainer_check(&ppo->critic_trainer, "critic: ", &err);
	if (status == STATUS_OK && turn.saves) {
		comm_set_phase("checkpoint");
		status = ppo_save_checkpoint(ppo, &err);
	}
	comm_set_phase("waiting");
	if (ppo->is_lead && goes_on(ppo, &turn, status, &err))
		issue(ppo);
}

/* The lead has all rollouts of the step: everyone gets them in the same order. */
static void train_together(struct ppo *ppo)
{
	const struct topology *topology = ppo->setup.topology;
	int n = topology->count[ROLE_LEARNER] - 1;

	rollouts_sort(&ppo->collected);
	if (n > 0) {
		int *to = xcalloc((size_t)n, sizeof *to);
		struct buf payload = BUF_INIT;

		for (int i = 0; i < n; i++)
			to[i] = topology_rank(topology, ROLE_LEARNER, i + 1);
		rollouts_encode(&ppo->collected, &payload);
		channel_send_all(ppo->setup.channel, to, n, MESSAGE_TRAIN, ppo->step + 1, &payload);
		buf_release(&payload);
		free(to);
	}
	train(ppo, &ppo->collected);
}

static void check_rollout(const struct ppo *ppo, const struct rollout *rollout, int source)
{
	if (rollout->step != ppo->step + 1 || rollout->weights_version != ppo->step ||
	    rollout->n_completion < 1 || !rollout->judged)
		die("rank %d sent a rollout of step %" PRId64 " and weights %" PRId64
		    ", expected %" PRId64 " and %" PRId64,
		    source, rollout->step, rollout->weights_version, ppo->step + 1, ppo->step);
}

void ppo_handle(struct ppo *ppo, struct message *message)
{
	struct rollouts list = {0};
	struct error err;

	if (rollouts_decode(&list, message->data, message->length, &err) != STATUS_OK)
		die("message from rank %d: %s", message->source, err.text);
	for (size_t i = 0; i < list.n; i++)
		check_rollout(ppo, &list.items[i], message->source);
	if (message->type == MESSAGE_TRAIN) {
		train(ppo, &list);
	} else {
		for (size_t i = 0; i < list.n; i++)
			rollouts_push(&ppo->collected, &list.items[i]);
		list.n = 0;
		if (ppo->collected.n == (size_t)ppo->config->rollout.batch_size)
			train_together(ppo);
	}
	rollouts_release(&list);
}

void ppo_begin(struct ppo *ppo)
{
	struct error err = {""};
	enum status status;

	if (!ppo->is_lead)
		return;
	progress_begin(&ppo->progress, "ppo", ppo->step, ppo->config->ppo.iterations);
	if (ppo->step < ppo->config->ppo.iterations) {
		issue(ppo);
		return;
	}
	status = finish(ppo, &err);
	stop_ring(ppo, status, err.text);
}

/* --- setting up --- */

/* Whether a reward model reads the policy's ids. */
static bool reads_policy_ids(const struct run_config *config, const struct model *policy,
			     const struct reward_source *source)
{
	struct model_config found;
	struct error ignored;
	bool same = false;

	return strcmp(source->type, "model") == 0 &&
	       hf_read_config(&found, source->path, &ignored) == STATUS_OK &&
	       found.n_vocab == policy->config.n_vocab &&
	       tokenizer_compare_ids(source->path, config->policy.path, &same, &ignored) ==
		       STATUS_OK &&
	       same;
}

/* Directory the critic starts from: critic.path, else the first reward model
 * that reads the policy's ids, else the policy itself with a new head. */
static const char *critic_origin(const struct run_config *config, const struct model *policy)
{
	if (config->critic.path)
		return config->critic.path;
	for (int i = 0; i < config->reward.n_sources; i++)
		if (reads_policy_ids(config, policy, &config->reward.sources[i]))
			return config->reward.sources[i].path;
	return config->policy.path;
}

static enum status ppo_load_model(struct ppo *ppo, struct model **model, struct buf *config_text,
				  const char *dir, enum head_kind head, struct error *err)
{
	struct hf_load_options options = {.head = head,
					  .create_score = head == HEAD_SCORE,
					  .seed = (uint64_t)ppo->config->run.seed,
					  .is_outline = ppo->setup.is_planned};

	return state_load_model(model, config_text, dir, &options, ppo->setup.pool, err);
}

/* The policy as it starts, or as it was saved in dir, which may be NULL. */
static enum status load_policy(struct ppo *ppo, const char *dir, struct error *err)
{
	const char *path = ppo->config->policy.path;
	enum weight_type type;
	enum status status;

	if (!ppo->setup.base) {
		status = ppo_load_model(ppo, &ppo->policy, &ppo->policy_config, dir ? dir : path,
					HEAD_LM, err);
		weight_type_parse(ppo->config->rollout.weights, &type);
		if (status == STATUS_OK && type == WEIGHTS_BF16)
			model_keep_masters(ppo->policy, ppo->setup.pool);
		return status;
	}
	ppo->policy = model_share(ppo->setup.base);
	status = adapter_attach(ppo->policy, &ppo->setup.adapter, dir, ppo->setup.pool, err);
	if (status == STATUS_OK && ppo->policy->lora->n_saved > 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "lora: the policy of ppo has modules that are trained whole, "
				   "expected adapters alone: its base is the reference too");
	return status == STATUS_OK ? hf_read_config_text(&ppo->policy_config, path, err) : status;
}

/* The same of the critic, whose adapter is its own. */
static enum status load_critic(struct ppo *ppo, const char *dir, struct error *err)
{
	const struct run_config *config = ppo->config;
	bool has_adapter = config->lora.given && config->critic.lora;
	char *origin = NULL;
	enum status status = STATUS_OK;

	if (dir && has_adapter)
		status = hf_adapter_base(&origin, dir, err);
	else
		origin = xstrdup(dir ? dir : critic_origin(config, ppo->policy));
	if (status == STATUS_OK)
		status = ppo_load_model(ppo, &ppo->critic, &ppo->critic_config, origin, HEAD_SCORE,
					err);
	if (status == STATUS_OK && has_adapter) {
		struct adapter_options options = adapter_options(config, origin);

		options.path = NULL; /* the policy's */
		status = adapter_attach(ppo->critic, &options, dir, ppo->setup.pool, err);
	}
	free(origin);
	return status;
}

static enum status load_models(struct ppo *ppo, struct error *err)
{
	const char *dir = ppo->setup.checkpoint;
	char *model = dir ? path_join(dir, "model") : NULL;
	char *critic = dir ? path_join(dir, "critic") : NULL;
	enum status status = load_policy(ppo, model, err);

	if (status == STATUS_OK)
		status = tokenizer_check_ids(ppo->config->critic.path, ppo->config->policy.path,
					     "the critic", err);
	if (status == STATUS_OK)
		status = load_critic(ppo, critic, err);
	free(model);
	free(critic);
	if (status != STATUS_OK)
		return status;
	if (ppo->critic->config.n_vocab != ppo->policy->config.n_vocab ||
	    ppo->critic->config.n_labels != 1)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: a critic for this policy needs %d vocabulary rows and one "
				 "label, found %d and %d",
				 critic_origin(ppo->config, ppo->policy),
				 ppo->policy->config.n_vocab, ppo->critic->config.n_vocab,
				 ppo->critic->config.n_labels);
	return STATUS_OK;
}

/* The critic reads whole sequences: as far as prompts and the policy's own positions
 * let them grow. */
static enum status reserve_critic(struct ppo *ppo, struct error *err)
{
	const struct run_config *config = ppo->config;
	int longest = model_generation_length(
		&ppo->policy->config, config->data.max_length + config->rollout.max_new_tokens);
	char where[256];

	snprintf(where, sizeof where, "%.200s, for the critic",
		 ppo->setup.checkpoint ? ppo->setup.checkpoint
				       : critic_origin(config, ppo->policy));
	return model_check_positions(&ppo->critic->config, longest, where, err);
}

/* Longest prompt that leaves room for the completion. */
static int prompt_limit(const struct ppo *ppo)
{
	return model_generation_limit(&ppo->policy->config) -
	       (int)ppo->config->rollout.max_new_tokens;
}

static enum status load_prompts(struct ppo *ppo, struct error *err)
{
	const struct run_config *config = ppo->config;
	struct row_context context = {.n_vocab = ppo->policy->config.n_vocab,
				      .where = config->data.prompts,
				      .bos_id = ppo->policy->config.bos_id};
	enum status status;

	if (tokenizer_exists(config->policy.path)) {
		status = tokenizer_load(&ppo->tokenizer, config->policy.path, err);
		if (status == STATUS_OK)
			status = chat_load(&ppo->chat, config->data.chat, config->policy.path,
					   ppo->tokenizer, err);
		if (status != STATUS_OK)
			return status;
	}
	context.tokenizer = ppo->tokenizer;
	context.chat = ppo->chat;
	if (prompt_limit(ppo) < 1)
		return error_set(err, STATUS_BAD_INPUT,
				 "rollout.max_new_tokens is %" PRId64
				 ", but the policy %s has %d %s, for prompt and completion",
				 config->rollout.max_new_tokens, config->policy.path,
				 model_generation_limit(&ppo->policy->config),
				 model_limit_name(&ppo->policy->config));
	return dataset_load_prompts(&ppo->prompts, config->data.prompts, &context, config,
				    prompt_limit(ppo), ppo->setup.pool, err);
}

/* As the actors stop, so that what they ban is known here too. */
static enum status read_stop_ids(struct ppo *ppo, struct error *err)
{
	const struct run_config *config = ppo->config;
	int32_t chat_end;
	enum status status =
		stop_ids_read(&ppo->stop_ids, config->policy.path, &ppo->policy->config, err);

	if (status == STATUS_OK)
		status = chat_end_of(config->data.chat, config->policy.path, &chat_end, err);
	if (status == STATUS_OK)
		stop_ids_add(&ppo->stop_ids, chat_end, &ppo->policy->config);
	return status;
}

static enum status check_logs(const struct ppo *ppo, struct error *err)
{
	const char *run = ppo->setup.run->path;
	enum status status = state_check_log(run, "metrics.jsonl", ppo->metrics_bytes, err);

	return status == STATUS_OK
		       ? state_check_log(run, "rollouts.jsonl", ppo->rollouts_bytes, err)
		       : status;
}

enum status ppo_create(struct ppo **out, const struct ppo_setup *setup, struct error *err)
{
	struct ppo *ppo = xcalloc(1, sizeof *ppo);
	const struct run_config *config = setup->config;
	enum status status;

	*out = ppo;
	ppo->setup = *setup;
	ppo->config = config;
	ppo->is_lead = setup->is_planned || comm_is_lead(setup->learners);
	ppo->kl_coef = config->ppo.kl.coef;
	ppo->saved_at = clock_now();
	ppo->metrics.fd = ppo->rollouts.fd = -1;
	workspace_init(&ppo->workspace, setup->pool);
	status = load_models(ppo, err);
	if (status == STATUS_OK)
		status = reserve_critic(ppo, err);
	if (status == STATUS_OK)
		status = read_stop_ids(ppo, err);
	if (status != STATUS_OK)
		return status;
	ppo->policy->recomputes = ppo->critic->recomputes = config->train.recompute;
	if (setup->is_planned)
		return load_prompts(ppo, err);
	trainer_init(&ppo->policy_trainer, ppo->policy, &config->optimizer,
		     (int)config->train.lanes, setup->learners, setup->pool);
	trainer_init(&ppo->critic_trainer, ppo->critic, &config->critic.optimizer,
		     (int)config->train.lanes, setup->learners, setup->pool);
	if (ppo->is_lead && (status = load_prompts(ppo, err)) != STATUS_OK)
		return status;
	if (setup->checkpoint)
		status = ppo_load_state(ppo, setup->checkpoint, err);
	return status == STATUS_OK && ppo->is_lead ? check_logs(ppo, err) : status;
}

enum status ppo_compare(const struct ppo *ppo, struct error *err)
{
	const char *dir = ppo->setup.checkpoint;
	char *policy = dir ? path_join(dir, "model") : xstrdup(ppo->config->policy.path);
	char *critic =
		dir ? path_join(dir, "critic") : xstrdup(critic_origin(ppo->config, ppo->policy));
	struct comm *learners = ppo->setup.learners;
	enum status status =
		agreement_check(learners, "policy", policy, ppo->policy, ppo->setup.pool, err);

	if (status == STATUS_OK)
		status = agreement_check(learners, "critic", critic, ppo->critic, ppo->setup.pool,
					 err);
	free(policy);
	free(critic);
	return status;
}

static enum status open_log(const struct ppo *ppo, struct line_log *log, const char *name,
			    int64_t bytes, struct error *err)
{
	char *path = path_join(ppo->setup.run->path, name);
	enum status status = line_log_open(log, path, (uint64_t)bytes, err);

	free(path);
	return status;
}

enum status ppo_open_logs(struct ppo *ppo, struct error *err)
{
	enum status status;

	if (!ppo->is_lead)
		return STATUS_OK;
	event_log_open(&ppo->events, ppo->setup.run->path);
	status = open_log(ppo, &ppo->metrics, "metrics.jsonl", ppo->metrics_bytes, err);
	return status == STATUS_OK
		       ? open_log(ppo, &ppo->rollouts, "rollouts.jsonl", ppo->rollouts_bytes, err)
		       : status;
}

void ppo_destroy(struct ppo *ppo)
{
	if (!ppo)
		return;
	if (ppo->policy_trainer.model)
		trainer_release(&ppo->policy_trainer);
	if (ppo->critic_trainer.model)
		trainer_release(&ppo->critic_trainer);
	model_destroy(ppo->policy);
	model_destroy(ppo->critic);
	buf_release(&ppo->policy_config);
	buf_release(&ppo->critic_config);
	workspace_release(&ppo->workspace);
	dataset_release(&ppo->prompts);
	chat_destroy(ppo->chat);
	tokenizer_destroy(ppo->tokenizer);
	rollouts_release(&ppo->collected);
	line_log_close(&ppo->metrics);
	line_log_close(&ppo->rollouts);
	event_log_close(&ppo->events);
	free(ppo);
}

int64_t ppo_step(const struct ppo *ppo)
{
	return ppo->step;
}

size_t ppo_bytes(const struct ppo *ppo)
{
	return trainer_bytes(&ppo->policy_trainer) + trainer_bytes(&ppo->critic_trainer);
}

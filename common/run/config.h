/* The configuration of a training run: one table in config_table.c gives each key's
 * name, type, default, range and help; it parses, validates, prints and
 * documents.  Unknown key = error with the nearest name. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"

/* One bit each, so that a key can belong to several. */
enum command {
	COMMAND_PRETRAIN = 1,
	COMMAND_REWARD_TRAIN = 2,
	COMMAND_PPO = 4,
	COMMAND_SFT = 8,
	COMMAND_DPO = 16,
	COMMAND_CLASSIFY = 32,
};
const char *config_command_name(enum command command); /* "reward-train" */

struct reward_source {
	char *type; /* "model" or "rule" */
	char *path; /* model: checkpoint directory; otherwise NULL */
	double weight;
	char *pooling;	  /* model: position whose score counts; NULL: last-non-pad */
	bool normalise;	  /* model: (score - reward_mean) / reward_std */
	char *weights;	  /* model: "f32" or "bf16"; NULL: f32 */
	char *rule;	  /* rule: "token_count" or "length" */
	int64_t token_id; /* rule token_count */
};
enum { MAX_REWARD_SOURCES = 8 };

struct optimizer_config {
	bool given; /* the object is in the file; what critic.optimizer lacks is optimizer's */
	char *name; /* "adamw" or "sgd" */
	double learning_rate, beta1, beta2, eps, weight_decay, momentum, max_grad_norm;
};

struct run_config {
	struct {
		char *dir;
		int64_t seed;
		char *isa;
		int64_t threads;
		double heartbeat_timeout;
	} run;
	struct {
		bool given;
		int64_t learner, actor, reward;
	} roles;
	struct {
		char *path;
	} policy;
	struct {
		char *path;
		const struct json *create;
		char *tokenizer, *save_dtype;
	} model; /* create: borrowed */
	struct {
		struct reward_source sources[MAX_REWARD_SOURCES];
		int n_sources;
		bool has_missing_eos_penalty;
		double missing_eos_penalty;
	} reward;
	struct {
		char *path;
		char *weights; /* "f32" or "bf16" */
	} reference;
	struct {
		char *path;
		bool lora;
		struct optimizer_config optimizer;
	} critic;
	struct {
		bool given;
		char *path;
		int64_t r;
		double lora_alpha, lora_dropout;
		bool use_rslora;
		const struct json *target_modules, *modules_to_save; /* borrowed */
	} lora;
	struct {
		char *prompts, *train, *eval;
		int64_t max_length;
		bool shuffle, packing, append_eos;
		char *too_long, *truncation_side, *chat;
	} data;
	struct {
		int64_t batch_size, max_new_tokens, min_new_tokens;
		double temperature;
		int64_t samples_per_prompt, kv_cache_mb;
		char *weights; /* "f32" or "bf16" */
	} rollout;
	struct {
		int64_t iterations, epochs, minibatches;
		double cliprange, cliprange_value, vf_coef, gamma, lam;
		bool whiten_rewards, whiten_advantages;
		int64_t verify;
		struct {
			double coef;
			char *controller;
			double target, horizon;
		} kl;
	} ppo;
	struct {
		int64_t steps, batch_size, lanes, eval_every;
		bool recompute;
	} train;
	struct {
		char *loss;
	} sft;
	struct {
		char *freeze; /* none, embeddings, backbone, or a number of layers */
	} classify;
	struct {
		double center_rewards_coefficient;
	} reward_train;
	struct {
		char *loss_type;
		double beta, label_smoothing;
		bool ipo_length_norm;
		double desirable_weight, undesirable_weight;
	} dpo;
	struct optimizer_config optimizer;
	struct {
		char *name;
		int64_t warmup_steps;
	} schedule;
	struct {
		int64_t every_steps, keep;
		double every_seconds;
		bool best;
	} checkpoint;
	struct {
		int64_t every_steps;
	} log;

	struct json *tree; /* the file with --set applied and all defaults; owned */
	char *text;	   /* the same, pretty JSON: itself a configuration file; owned */
};

/* Reads path, applies set[i] ("key=value") in order, validates for the command. */
enum status config_load(struct run_config *config, enum command command, const char *path,
			const char *const *set, int n_set, struct error *err);
void config_release(struct run_config *config);
/* Of ppo: whether the reference is the policy as it starts, with weights held alike. */
bool config_reference_is_policy(const struct run_config *config);
/* All keys of the command with default and help, as documented JSON with // comments. */
void config_print_documented(enum command command, struct buf *out);

/* Compares the resolved config of a checkpoint with the present one.  Keys that
 * may change on resume, KEY_MAY_CHANGE in config_table.c: the run's length
 * (ppo.iterations, train.steps), run.dir, run.threads, run.heartbeat_timeout, roles,
 * model.save_dtype, reward.sources, rollout.kv_cache_mb, ppo.recompute, train.recompute,
 * checkpoint and log; any other difference is an error naming the key and both values.  A key that
 * the checkpoint's config does not know has its default. */
enum status config_check_resume(enum command command, const char *old_text,
				const struct run_config *now, struct error *err);

/* Shared by ppo.c, ppo_step.c and ppo_state.c alone. */
#pragma once

#include "common/model/sequences.h"
#include "common/model/stop_ids.h"
#include "common/run/events.h"
#include "common/run/metrics.h"
#include "common/run/progress.h"
#include "common/text/tokenizer.h"
#include "learner/dataset.h"
#include "learner/ppo.h"
#include "learner/trainer.h"
#include "proto/rollout.h"

/* What an iteration reports; means over its sequences, tokens or inner steps as
 * the names' definitions say (algorithms B.16). */
struct ppo_report {
	double kl, entropy, non_score_reward, scores_raw, scores, rlhf_reward;
	double approxkl, clipfrac, policy_entropy, policy_loss, value_loss, value_clipfrac;
	double ratio, ratio_var, first_ratio_deviation;
	double value_mean, value_error, return_mean, return_var, var_explained;
	double length, truncated, n_eos, kl_coef, learning_rate;
	double actor_norm, critic_norm;
	int64_t tokens;
};

struct ppo {
	struct ppo_setup setup;
	const struct run_config *config;
	bool is_lead;
	struct model *policy, *critic;
	struct trainer policy_trainer, critic_trainer;
	struct buf policy_config, critic_config; /* text of their config.json */
	struct stop_ids stop_ids; /* of the policy */
	struct workspace workspace;
	double saved_at; /* see turn.h */

	/* State that a checkpoint holds besides the models. */
	int64_t step;	 /* iterations done */
	int64_t episode; /* sequences seen */
	double kl_coef;
	int64_t metrics_bytes, rollouts_bytes; /* of the logs, as the checkpoint counted them */

	/* Lead only. */
	struct dataset prompts;
	struct tokenizer *tokenizer; /* NULL: ids only */
	struct chat *chat;	     /* NULL where there is no tokenizer */
	struct rollouts collected;
	struct line_log metrics, rollouts;
	struct event_log events;
	struct progress progress;
	double step_began;
	bool stopped;
};

/* ppo_step.c: one iteration on the sorted rollouts, the same on every learner.
 * Collective over learners. */
void ppo_update(struct ppo *ppo, const struct rollouts *batch, struct ppo_report *report);

/* ppo_state.c: saving and loading. */
enum status ppo_save_checkpoint(struct ppo *ppo, struct error *err); /* Collective */
enum status ppo_load_state(struct ppo *ppo, const char *dir, struct error *err);
enum status ppo_save_final(struct ppo *ppo, struct error *err);

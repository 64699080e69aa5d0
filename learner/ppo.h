/* The learner's part of the ring: issues prompts and weights, collects judged
 * rollouts, updates policy and critic, saves, reports.
 *
 * The lead learner (index 0) owns prompts, the KL controller, metrics and
 * checkpoints; the other learners do their lanes of each gradient. */
#pragma once

#include <stdbool.h>

#include "common/base/ledger.h"
#include "common/base/pool.h"
#include "common/model/hf_adapter.h"
#include "common/run/config.h"
#include "common/run/run_dir.h"
#include "proto/channel.h"
#include "proto/comm.h"
#include "proto/topology.h"

struct ppo;

/* What the learners share with the other roles. */
struct ppo_setup {
	const struct run_config *config;
	const struct model *base; /* frozen weights of the policy; NULL: it has no adapter */
	struct adapter_options adapter;
	const struct topology *topology;
	struct channel *channel;
	struct comm *learners;
	struct pool *pool;
	const char *isa;	/* name of the kernels' level */
	const char *checkpoint; /* directory to resume from, NULL: a new run */
	const char *judge;	/* identity of the reward sources */
	const char *reference;	/* identity of its weights; empty: the base with its adapter */
	struct run_dir *run;	/* lead learner only, else NULL */
	bool is_planned; /* models are outlines, of which ppo_plan_* tell; only config, base and
			  * adapter are there */
};
/* Loads policy and critic, or all state from the checkpoint; writes nothing.  Collective over
 * learners; the status may differ between them. */
enum status ppo_create(struct ppo **ppo, const struct ppo_setup *setup, struct error *err);
/* All learners must have read the same policy and critic.  Collective over learners. */
enum status ppo_compare(const struct ppo *ppo, struct error *err);
void ppo_destroy(struct ppo *ppo);

/* Lead learner: opens metrics.jsonl and rollouts.jsonl, cut to what the checkpoint knows, when
 * the run has begun. */
enum status ppo_open_logs(struct ppo *ppo, struct error *err);
/* Lead learner: issues the first step, or stops the ring when nothing is left. */
void ppo_begin(struct ppo *ppo);
/* MESSAGE_SCORED (lead) and MESSAGE_TRAIN (others).  Collective over learners in
 * its effect: training begins when the last rollout of a step has come. */
void ppo_handle(struct ppo *ppo, struct message *message);
/* Steps done. */
int64_t ppo_step(const struct ppo *ppo);
/* Bytes of weights, optimizer and gradients this learner will hold. */
size_t ppo_bytes(const struct ppo *ppo);

/* What a planned run's steps look like where every completion is as long as it may be. */
struct ppo_outlook {
	const struct model *policy, *critic; /* outlines */
	int longest_prompt, longest;	     /* ids, of a prompt and of a sequence */
	double tokens, completions;	     /* ids of a step, and those of them that are made */
	int *lengths;			     /* [n] of the sequences of the first step; owned */
	int n;
};
void ppo_look(struct ppo_outlook *outlook, const struct ppo *ppo);
void ppo_outlook_release(struct ppo_outlook *outlook);
/* What learner `index` of the topology would hold. */
void ppo_plan(struct ledger *ledger, const struct ppo *ppo, const struct ppo_outlook *outlook,
	      const struct topology *topology, int index, int n_threads);

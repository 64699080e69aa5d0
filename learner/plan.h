/* What a run will need, said before it is started.
 *
 * Sizes come from functions beside the code that allocates; nothing of the size of a model
 * is allocated but one layer of it and its embedding, for the probe. */
#pragma once

#include <stdint.h>

#include "common/base/ledger.h"
#include "common/base/pool.h"
#include "common/model/model.h"
#include "common/run/config.h"
#include "learner/session.h"
#include "learner/supervised.h"

struct plan_model {
	const char *what; /* "model", "critic" */
	const char *family;
	size_t n_parameters, n_trained;
};
struct plan_rank {
	char roles[64];
	struct ledger memory; /* that it holds itself at its peak */
	size_t mapped;	      /* of weights that another rank of its node holds */
};
enum {
	PLAN_MODELS = 12,
	MESSAGE_PASSING_BYTES = 14 << 20, /* of each rank of several, by measurement */
	THREAD_BYTES = 3 << 19, /* stack and copies of products of a thread, by measurement */
};
struct plan {
	struct plan_model models[PLAN_MODELS];
	int n_models;
	struct plan_rank *ranks; /* [n_ranks], owned */
	int n_ranks;
	int threads;		   /* of the rank that has the most */
	struct ledger moved;	   /* bytes between ranks in a step, all of them together */
	struct ledger written;	   /* bytes of files at a time */
	int64_t steps;
	double tokens;		   /* a step */
	double seconds;		   /* a step, by the probe; 0: not measured */
	bool has_speed;		   /* wanted, by the caller */
	size_t probe_bytes;	   /* that the probe takes, or would have taken */
};
void plan_release(struct plan *plan);

/* Counts a model, which may be an outline; n_trained is 0 for a frozen one. */
void plan_add_model(struct plan *plan, const char *what, const struct model *model,
		    bool is_trained);
/* "weights" and "adapter" of a model. */
void plan_add_weights(struct ledger *ledger, const struct model *model);
/* What is allocated for a microbatch of t tokens in n_seqs sequences, trained or measured. */
size_t plan_train_bytes(const struct model *model, int t, int n_seqs);
size_t plan_measure_bytes(const struct model *model, int t, int n_seqs);
/* Microbatches that a learner works on at a time, each in an arena of its own. */
int plan_arenas(const struct model *model, int lanes, int n_learners, int n_threads);
/* The most that saving a model takes besides. */
size_t plan_saving_bytes(const struct model *model, const char *save_dtype);
/* The files of a model and its optimizer in a checkpoint; those of the result; and how many
 * checkpoints there are at most while one more is written. */
size_t plan_checkpoint_bytes(const struct model *model, const struct optimizer_config *optimizer);
size_t plan_result_bytes(const struct model *model, const char *save_dtype);
int64_t plan_checkpoints(const struct run_config *config, int64_t steps);

/* Runs one layer and the head on tokens of the right shape for two seconds. */
struct probe {
	double layer;	/* seconds of a token in a layer, forward and backward */
	double forward; /* forward alone */
	double head;	/* of a target */
	double update;	/* of a trained weight in a step: its lanes, norm and optimizer */
	double decode;	/* of probe_decode: of one more token of all slots in a layer */
	double logits;	/* and of their logits */
};
/* model: an outline.  lengths [n]: the sequences of a microbatch.  False where the memory
 * is not there: *bytes is what it takes. */
bool probe_run(struct probe *probe, const struct model *model, const int *lengths, int n,
	       int lanes, struct pool *pool, size_t *bytes);
/* Adds what `slots` sequences that are decoded together take, with weights packed as type
 * says. */
void probe_decode(struct probe *probe, const struct model *model, int slots, enum weight_type type,
		  struct pool *pool);
/* Seconds of n_tokens and n_targets through a whole model, forward and backward. */
double probe_train(const struct probe *probe, const struct model *model, double n_tokens,
		   double n_targets);

/* Plans a supervised training on n_ranks ranks of one machine.  The session has its config
 * and nothing else.  Refuses what the command would refuse of a new run. */
enum status supervised_plan(struct plan *plan, const struct supervised_task *task,
			    const struct session *session, int n_ranks, struct error *err);

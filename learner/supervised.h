/* The loop that the training commands without a ring share: batches, updates,
 * evaluation, metrics, checkpoints, stopping, and the final directory.
 *
 * Every rank is a learner and holds the model and all rows.  A unit is a row of
 * the data: a sequence, or a pair, whose two sequences are never separated.
 * Everything a step does is a function of (config, data, step), so that a
 * resumed run goes on to the same bits. */
#pragma once

#include "common/model/transformer.h"
#include "common/run/events.h"
#include "common/run/metrics.h"
#include "common/run/progress.h"
#include "common/text/tokenizer.h"
#include "learner/dataset.h"
#include "learner/session.h"
#include "learner/trainer.h"

struct supervised;

/* Some units of a dataset and what their losses are divided by. */
struct units {
	const struct supervised *run;
	const struct model *model;
	const struct dataset *dataset;
	const int *rows; /* [n] */
	double weight;	 /* of all units of the minibatch; 1 when measuring */
};

/* A number that is summed over units, and what its sum is divided by. */
struct stat {
	const char *name; /* of the metric; NULL: it only divides others */
	int per;	  /* the stat that divides it, or PER_WEIGHT: the weight of the units */
};
enum { PER_WEIGHT = -1, MAX_STATS = 16 };

/* numbers [n][width] of units first .. first+n-1, without gradients. */
typedef void measure_units(const struct units *units, int first, int n, double *numbers,
			   struct arena *arena, struct pool *pool);

/* What a kind of training adds to the loop.  What may be NULL says so. */
struct supervised_task {
	enum command command;
	const char *example;
	enum head_kind head;
	const struct stat *stats; /* [n_stats]; the first is the loss */
	int n_stats;
	int n_numbers; /* of a measured unit: its stats, and others after them */

	/* The kind of training that a config asks for where a command has several; NULL. */
	const struct supervised_task *(*choose)(const struct run_config *config);
	/* Model of a new run and the text of its config.json. */
	enum status (*create)(struct supervised *run, struct error *err);
	/* What is frozen of the model, new or a checkpoint's; may be NULL. */
	enum status (*freeze)(struct supervised *run, struct error *err);
	enum status (*load_data)(struct supervised *run, struct dataset *dataset, const char *path,
				 struct error *err);
	/* A new run whose data are loaded; may be NULL. */
	enum status (*prepare)(struct supervised *run, struct error *err);
	/* Everything is loaded, of a new run or one that goes on from its checkpoint: makes
	 * or reads what the task has of its own, which release frees.  Collective; all
	 * three may be NULL. */
	enum status (*begin)(struct supervised *run, struct error *err);
	enum status (*save_own)(const struct supervised *run, const char *dir, struct error *err);
	void (*release)(struct supervised *run);

	/* What a unit counts in the means; NULL: 1. */
	double (*weight)(const struct dataset *dataset, int row);
	/* What the loss of n units needs to know of all of them together; rows NULL: of
	 * all rows.  Collective; may be NULL. */
	void (*look)(struct supervised *run, const struct dataset *dataset, const int *rows, int n);
	trainer_microbatch *microbatch; /* context: struct units */
	measure_units *measure;
	/* Metrics that follow from means of stats, or from run->numbers of an evaluation;
	 * may be NULL. */
	void (*add_metrics)(const struct supervised *run, const double *means, bool is_eval,
			    struct buf *line);
	/* Changes to config.json of the result as hf_save takes them, from the numbers
	 * of the evaluation units (of the training units if there are no others);
	 * texts is what they may point into.  May be NULL. */
	void (*describe)(const double *numbers, int n, struct buf *texts, const char **edits);
	/* Logs how the result does on data.eval, from run->numbers, and appends that to json
	 * as members of an object, for the run's evaluation.json.  Lead only; may be NULL. */
	void (*report)(const struct supervised *run, struct buf *json);
};
enum { MAX_EDITS = 16 }; /* pairs and the NULL that ends them */

struct supervised {
	const struct supervised_task *task;
	struct session session;
	const struct run_config *config;
	bool is_planned; /* the model is an outline, and nothing is trained */
	struct pool *pool;
	struct model *model;
	struct buf config_text;	   /* of the model's config.json */
	const char *tokenizer_dir; /* NULL: none */
	struct tokenizer *tokenizer;
	struct chat *chat; /* NULL where there is no tokenizer */
	struct trainer trainer;
	struct dataset train, eval; /* eval.n is 0 without data.eval */
	struct line_log metrics;    /* lead only, as events and progress */
	int64_t metrics_bytes;	    /* of it, as the checkpoint counted them */
	struct event_log events;
	struct progress progress;
	int64_t step;	    /* done */
	double *numbers;    /* [eval.n][n_numbers] of the last evaluation, or NULL */
	int64_t measured;   /* its step */
	void *own;	    /* the task's */
	double lowest_loss; /* of the evaluations so far; infinite before the first */
};

/* The whole command.  Collective. */
int supervised_main(const struct supervised_task *task, int argc, char **argv);

/* Tokenizer, model and data, as the run begins.  pool and session are there. */
enum status supervised_load(struct supervised *run, struct error *err);
enum status supervised_check_ranks(const struct supervised *run, int n, struct error *err);
void supervised_release(struct supervised *run);

/* supervised_step.c: one update, and the evaluation behind it if one is due; the
 * lowest loss and its model are kept.  Collective. */
enum status supervised_step(struct supervised *run, struct error *err);
/* Numbers [n][width] of rows of a dataset by a model, in order, on all ranks; the caller
 * frees them.  Each rank measures its share.  rows NULL: 0 .. n-1.  until_stop: what a rank has
 * not measured when it is asked to stop is 0, for a caller that stops too.  Collective. */
double *supervised_measure(struct supervised *run, const struct model *model,
			   const struct dataset *dataset, const int *rows, int n,
			   measure_units *measure, int width, bool until_stop);
/* The task's numbers of all rows of a dataset by the model as it is now, which
 * run->numbers then holds.  Collective. */
void supervised_measure_all(struct supervised *run, const struct dataset *dataset);
/* The sequences of units first .. first+n-1, a pair's chosen before its rejected. */
void supervised_batch(struct batch *batch, const struct units *units, int first, int n,
		      struct arena *arena);

/* The end token: of the model's config, else of the tokenizer; -1: none. */
int32_t supervised_eos(const struct supervised *run);
/* Where the ids of the data come from and how many there are. */
struct row_context supervised_rows(const struct supervised *run);

/* supervised_state.c: what a checkpoint holds, and the result, which the lead saves. */
enum status supervised_save(struct supervised *run, struct error *err); /* Collective */
enum status supervised_load_model(struct supervised *run, const char *dir, bool create_score,
				  struct error *err);
enum status supervised_load_state(struct supervised *run, struct error *err);
/* The model as it is now as the directory NAME of the run; numbers [n][n_numbers] are
 * those of task->describe. */
enum status supervised_save_result(struct supervised *run, const char *name, const double *numbers,
				   int n, struct error *err);

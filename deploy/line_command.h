/* What generate, logprobs, score and tokenize share: a model or its tokenizer alone,
 * lines of JSON in, lines out, dealt to the ranks of a job. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/pool.h"
#include "common/model/model.h"
#include "common/run/options.h"
#include "common/text/jsonl.h"
#include "common/text/rows.h"
#include "proto/comm.h"
#include "reward/frozen_model.h"

struct line_command;
struct line_output;

/* What a command's functions work with. */
struct line_job {
	const struct line_command *command;
	const char *model_dir;
	enum weight_type weights;
	const char *adapter_dir, *output_path; /* NULL if not given */
	struct comm *world;
	int node_ranks; /* ranks on this node; 0 without a model */
	struct pool *pool;	     /* NULL as the model */
	struct frozen_model frozen;
	struct model *model; /* frozen's; NULL if the command needs the tokenizer alone */
	struct tokenizer *tokenizer; /* NULL: ids only */
	struct chat *chat;	     /* NULL where there is no tokenizer */
	struct jsonl input;	     /* on every rank */
	struct row_context rows;     /* how its lines are read */
	struct line_output *output;  /* lead rank */
};

struct line_command {
	const char *usage, *example;
	bool tokenizer_alone; /* no model is loaded */
	enum head_kind head;
	const char *input_help;
	const struct option *options; /* besides the common ones */
	size_t n_options;
	const char *const *prompt; /* a prompt that replaces --input, or NULL */
	const int64_t *samples;	   /* results of each line; NULL: one */
	void *context;		   /* the command's own */
	/* Checks options before anything is loaded; may be NULL. */
	enum status (*check)(void *context, struct error *err);
	/* After loading; may be NULL. */
	enum status (*prepare)(struct line_job *job, struct error *err);
	/* Appends the output of lines [first, first + n). */
	enum status (*work)(struct line_job *job, size_t first, size_t n, struct buf *out,
			    struct error *err);
	void (*release)(struct line_job *job); /* may be NULL */
};
/* Refuses numbers of an input line, [n], that are not finite; what: "log-probabilities". */
enum status line_check_finite(const struct line_job *job, size_t line, const float *values,
			      size_t n, const char *what, struct error *err);
/* The whole command; returns its exit code, the same on all ranks. */
int line_command_main(const struct line_command *command, int argc, char **argv);

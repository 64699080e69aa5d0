/* The beginning and the end that all training commands share: options, ranks,
 * config, kernels, the run's directory, and the checkpoint to go on from. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/ops/isa.h"
#include "common/run/config.h"
#include "common/run/options.h"
#include "common/run/run_dir.h"
#include "proto/comm.h"

struct session {
	enum command command;
	struct option_list set; /* --set key=value, kept for the config's strings */
	char *isa_setting;	/* what --isa sets, NULL if it was not given */
	struct run_config config;
	struct comm *world;
	enum isa isa;
	char *library;	    /* that a resumed run's portable kernels use; lead rank only */
	struct run_dir run; /* held by the lead rank only */
	bool has_run;
	bool is_skipping; /* what is resumed had skipped its last update; lead rank only */
	bool has_begun;	  /* session_begin has been passed; lead rank only */
	char *checkpoint; /* directory to go on from, NULL: a new run; on every rank */
	int64_t step;	  /* its step */
};

/* Parses the command line, starts mpirun for --ranks, joins the job, reads the
 * config, agrees on kernels, takes the run directory, and finds the checkpoint.
 * False when the command is over already (help, an error that has been printed, a
 * finished run): *exit_code is set and nothing is left open.  Collective. */
bool session_open(struct session *session, enum command command, int argc, char **argv,
		  const char *example, int *exit_code);

/* Everything is loaded and nothing speaks against the run: the lead writes its
 * config.json, removes surplus checkpoints and records it as running.  Before this,
 * nothing in the directory changes. Collective. */
enum status session_begin(struct session *session, struct error *err);

/* Ends the command: prints the first rank's error (once, by the lead), records the
 * failure of a run that has begun in run.json, leaves MPI.  Returns the exit code, the same on all ranks.
 * Collective. */
int session_close(struct session *session, enum status status, struct error *err);

/* Steps the run will have done at its end. */
int64_t session_length(const struct session *session);
/* Threads for a rank that shares its cores with n ranks at work at the same time. */
int session_threads(const struct session *session, int n_sharing);

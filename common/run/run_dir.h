/* A run's directory: its lock, identity and record of success.  Lead rank only.
 * The only door to libuuid.
 *
 *     run/config.json  run/run.json  run/metrics.jsonl  run/rollouts.jsonl
 *     run/checkpoints/step-00000120/  run/final/  run/lock
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/json.h"
#include "common/base/status.h"

struct run_dir {
	char *path;  /* owned; NULL when closed */
	char *made;  /* the first of its directories that was not there; owned, or NULL */
	char id[37]; /* uuid of the run */
	const char *command; /* whose run it is; a static string */
	int lock_fd; /* -1 when not held */
};

/* Creates the directory where needed and takes its lock (flock), waiting up to
 * 10 s for a dying holder; a living one is named: host, pid, since when
 * (STATUS_BAD_INPUT).  Reads the id of run.json or makes one, which the first
 * run_dir_record writes.  A directory with a config.json that is not a run's, such as
 * a model's, is refused, and a run of another command ("sft") too.  On failure run is
 * closed. */
enum status run_dir_open(struct run_dir *run, const char *path, const char *command,
			 struct error *err);
/* Gives up the lock.  Where nothing was recorded the lock file is removed, and of the
 * directories that were made here those that are empty. */
void run_dir_close(struct run_dir *run);
/* Whether the directory is still the run's own.  Where it was removed, moved or its lock
 * replaced, another run may be there, which nothing may be written over (STATUS_BAD_INPUT). */
enum status run_dir_check(const struct run_dir *run, struct error *err);
/* Records "running", "stopped", "failed" or "finished" with step and reason,
 * durably, in run.json, if run_dir_check allows it. */
enum status run_dir_record(struct run_dir *run, const char *state, int64_t step, const char *reason,
			   struct error *err);
/* State and step as recorded; false if there is no run.json or it is not one.  Of a run
 * that has not ended the step is that of the last line of metrics.jsonl, and the state
 * "killed" if nobody holds its lock.  Needs no lock. */
bool run_dir_state(const char *path, char state[16], int64_t *step);
/* The same, or why not. */
enum status run_dir_need_state(const char *path, char state[16], int64_t *step, struct error *err);
/* The last whole line of metrics.jsonl, which the caller frees; NULL if there is none. */
struct json *run_dir_last_metrics(const char *path);

/* The complete state of a run, published all or nothing.
 *
 *     checkpoints/step-00000120/
 *         model/ (HF directory)  critic/  optimizer-*.safetensors
 *         state.json             MANIFEST.json: files, bytes, sha256; written last
 *
 * Written into step-X.tmp, synced, renamed; only then are older ones removed,
 * renamed first.  On start the newest that verifies is used; a rejected one is
 * named with its reason.  Lead learner only. */
#pragma once

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"

struct checkpoint_writer {
	char *directory; /* the temporary one, to write into */
	char *final_directory;
	char *run_path;
	int64_t step;
};
enum status checkpoint_begin(struct checkpoint_writer *writer, const char *run_path, int64_t step,
			     struct error *err);
/* Hashes all files of the directory, writes the manifest, publishes, and removes
 * all but the newest `keep`. */
enum status checkpoint_publish(struct checkpoint_writer *writer, int keep, struct error *err);
/* Before a run goes on from `step`: rejected ones, of later steps, become step-X.rejected, so that
 * none counts as kept; and what an interrupted publication left is finished: the checkpoints
 * before it are removed but the newest keep - 1 of them. */
enum status checkpoint_tidy(const char *run_path, int64_t step, int keep, struct error *err);
void checkpoint_abandon(struct checkpoint_writer *writer); /* removes the temporary directory */

/* The newest checkpoint that verifies: *path (the caller frees) and *step, or
 * NULL and 0 when there is none.  STATUS_NO_CHECKPOINT if some exist and none is
 * valid.  Leftover temporary directories are removed, or named in a warning. */
enum status checkpoint_find(const char *run_path, char **path, int64_t *step, struct error *err);
/* Names in checkpoints/, newest first; the caller frees each and the list.  What is being
 * written or removed, or what a crash has left of that, is none of them. */
enum status checkpoint_list(const char *run_path, char ***names, size_t *n, struct error *err);
/* Verifies one directory: every file of the manifest, bytes and sha256. */
enum status checkpoint_verify(const char *path, struct error *err);

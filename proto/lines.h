/* Work on independent lines shared among ranks, results written in line order by
 * the lead rank: the frame of logprobs, score and generate.
 *
 * Lines are dealt in blocks; each rank runs its blocks and the lead writes block
 * after block.  The output bytes do not depend on the number of ranks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "proto/comm.h"

/* Appends the output for lines [first, first + n) to out. */
typedef enum status lines_work(void *context, size_t first, size_t n, struct buf *out,
			       struct error *err);
/* Writes bytes on the lead rank. */
typedef enum status lines_write(void *context, const char *bytes, size_t n, struct error *err);

/* Collective.  block: lines per block, chosen by the caller. */
enum status lines_run(struct comm *comm, size_t n_lines, size_t block, lines_work *work,
		      lines_write *write, void *context, struct error *err);

/* Where --output goes: standard output for NULL, "-" or what it is called otherwise; else a
 * file, a link's too, that is written beside and renamed when whole.  A signal that ends the
 * program removes what is not.  One at a time; lead rank only. */
struct line_output;
enum status line_output_open(struct line_output **output, const char *path, struct error *err);
enum status line_output_write(struct line_output *output, const char *bytes, size_t n,
			      struct error *err);
/* Publishes the file if ok, otherwise removes it. */
enum status line_output_close(struct line_output *output, bool ok, struct error *err);

/* The job: ranks, roles, and agreement among them.
 *
 * MPI is touched only when a launcher started this process; otherwise the job
 * is one rank and every call below works without MPI.  One error handler on our
 * own communicator names role, rank and phase and aborts.  Waiting costs no core:
 * every wait looks, and sleeps for growing times up to 1 ms. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"

struct comm; /* a group of ranks */
struct wire;

enum { COMM_SILENCE_SECONDS = 30 }; /* for comm_watch, where nobody says otherwise */

/* Begins a command: comm_init, where all ranks meet, whether each takes its command line or
 * refuses it (status and err).  If one refuses it, or has another one or another build than
 * rank 0, the command ends for all as by comm_end and *world is NULL; returns the status for
 * main.  argv: of the command, its name first.  Collective over all processes of the launcher. */
enum status comm_begin(struct comm **world, int argc, char **argv, enum status status,
		       struct error *err);
/* Collective over all processes of the launcher.  The world group, which lives
 * until comm_finalize. */
struct comm *comm_init(void);
/* Collective.  Every rank should then exit at once with the same code: a
 * launcher may end the others when one exits with an error. */
void comm_finalize(void);
int comm_rank(const struct comm *comm);
int comm_size(const struct comm *comm);
bool comm_is_lead(const struct comm *comm); /* rank 0 */
void comm_set_phase(const char *phase);	    /* a literal, for messages of failure */
/* From now on each rank tells others that it is alive, until comm_finalize.  One that is
 * silent for so many seconds (0: for ever) is named by role, host and phase and ends the
 * job, as does a job whose ranks all wait and nothing comes.  Collective over the world,
 * once. */
void comm_watch(double seconds);
/* "actor.1", for comm_watch.  Collective over the world. */
void comm_set_role(const char *role);
const char *comm_host(void);
int comm_local_ranks(void); /* ranks of the world on this node; Collective */

/* Ranks with the same color >= 0, ordered by world rank; NULL for color < 0.
 * Collective over comm. */
struct comm *comm_split(struct comm *comm, int color);
void comm_free(struct comm *comm);		 /* NULL is fine; Collective */
struct wire *comm_wire(const struct comm *comm); /* for proto alone; borrowed */

/* All collective over comm, and in rank order or by a fixed tree, so that results
 * are the same on all ranks and do not depend on arrival. */
void comm_barrier(struct comm *comm);
bool comm_any(struct comm *comm, bool flag);
void comm_broadcast(struct comm *comm, void *data, size_t bytes, int root);
void comm_broadcast_buf(struct comm *comm, struct buf *buf, int root); /* replaces *buf */
/* out [size * bytes] in rank order, on all ranks. */
void comm_allgather(struct comm *comm, const void *mine, size_t bytes, void *out);
/* Everyone's buffer, joined in rank order and appended to out, on all ranks. */
void comm_allgather_buf(struct comm *comm, const struct buf *mine, struct buf *out);

/* The first failing rank's sentence and status for everyone: the result is the
 * same on all ranks.  Prints nothing. */
enum status comm_agree(struct comm *comm, enum status status, struct error *err);

/* Whether all have the same text.  Otherwise STATUS_BAD_INPUT for everyone, and
 * the first that differs from comm's lead is named by its rank in the world: "rank 3 on host b
 * has another WHAT than rank 2 on host a". */
enum status comm_compare(struct comm *comm, const char *text, const char *what, struct error *err);

/* Ends a command: all ranks get the status of the first that failed, rank 0 prints its sentence,
 * MPI is left.  Returns the status for main.  Collective over all ranks. */
enum status comm_end(enum status status, struct error *err);

/* Replaces x[n], element by element, by the sum over ranks by a binary tree:
 * ((x0+x1)+(x2+x3))+...  size must be a power of two. */
void comm_tree_sum_double(struct comm *comm, double *x, size_t n);

/* The two halves of that sum.  x[n] is cut into runs of whole blocks of `grain`
 * elements, one run a rank: [*begin, *end), which may be empty. */
void comm_part(const struct comm *comm, size_t n, size_t grain, size_t *begin, size_t *end);
/* The same for a rank of `size`.  Not collective. */
void comm_part_of(int rank, int size, size_t n, size_t grain, size_t *begin, size_t *end);
/* Of the sum, each rank gets its own part; the rest of its x is undefined. */
void comm_tree_scatter_float(struct comm *comm, float *x, size_t n, size_t grain);
/* Each rank's own part, to all. */
void comm_tree_gather_float(struct comm *comm, float *x, size_t n, size_t grain);
void comm_tree_gather_double(struct comm *comm, double *x, size_t n, size_t grain);

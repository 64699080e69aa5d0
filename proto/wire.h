/* Bytes between two ranks: the only door to MPI.
 *
 * A wire is a communicator of our own with its own order of messages, or a
 * single rank without MPI.  Nothing here waits inside MPI, whose own waits use a
 * whole core: a transfer is started, and looked at until it is done.
 *
 *     struct wire_transfer *in = wire_receive(wire, 0, WIRE_GROUP, data, n);
 *     wire_finish(&in, 1);
 *
 * These calls are the main thread's.  Another thread may make them once wire_guard has
 * been called, between wire_enter and wire_leave; it does not wait.
 *
 * Private to proto. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"

struct wire;

enum wire_tag { WIRE_GROUP = 1, WIRE_HEADER, WIRE_PAYLOAD, WIRE_RESULT, WIRE_REPLY, WIRE_BEAT };

/* Starts MPI if use_mpi, and gives the wire of all processes.  on_failure gets
 * the sentence of a failing MPI call and must not return.  Collective. */
struct wire *wire_open(bool use_mpi, void (*on_failure)(const char *sentence));
void wire_close(struct wire *world); /* ends MPI; Collective */
void wire_abort(int exit_code);	     /* ends all processes if MPI runs */

struct wire *wire_duplicate(struct wire *wire);	       /* Collective */
struct wire *wire_split(struct wire *wire, int color); /* NULL for color < 0; Collective */
void wire_free(struct wire *wire);		       /* Collective */
int wire_local_ranks(struct wire *wire);	       /* on this node; Collective */
int wire_rank(const struct wire *wire);
int wire_size(const struct wire *wire);

/* n bytes under way in one direction; the memory must stay until it is done.
 * Both sides must name the same n and tag.  Several transfers between two ranks
 * with one tag pair up in the order of their starts. */
struct wire_transfer;
struct wire_transfer *wire_send(struct wire *wire, int to, enum wire_tag tag, const void *data,
				size_t n);
struct wire_transfer *wire_receive(struct wire *wire, int from, enum wire_tag tag, void *data,
				   size_t n);
/* Whether all pieces have been asked for.  Until then another receive from that rank with
 * that tag would get pieces of this one. */
bool wire_is_open_whole(const struct wire_transfer *transfer);
bool wire_is_done(struct wire_transfer *transfer);	 /* also moves it along */
void wire_transfer_free(struct wire_transfer *transfer); /* which must be done */
/* Waits for all n and frees them; NULL entries are skipped. */
void wire_finish(struct wire_transfer **transfers, int n);

/* Takes a message with this tag that is here already from any rank: false if
 * there is none.  *n is the room in data and becomes the message's size. */
bool wire_take(struct wire *wire, enum wire_tag tag, void *data, size_t *n, int *source);

/* A barrier that is looked at until it is done; one at a time. */
void wire_barrier_begin(struct wire *wire);
bool wire_barrier_is_done(struct wire *wire);

/* One pause of a loop that waits for transfers.  While pieces of a longer
 * transfer keep arriving it only yields; otherwise it sleeps. */
struct wire_wait {
	struct pause pause;
	uint64_t pieces; /* the count of pieces when last looked at */
	double active;	 /* when a piece was last seen to arrive, 0 = never */
};
struct wire_wait wire_wait_begin(void);
void wire_wait_step(struct wire_wait *wait);

/* Whether another thread may call: set before it starts and after it has ended. */
void wire_guard(bool guarded);
/* False: for so long the main thread was inside one call. */
bool wire_enter(double seconds);
void wire_leave(void);

/* How the main thread's waits get on, for another thread: while steps are counted and
 * no advance is, it waits for something that does not come. */
struct wire_waiting {
	uint64_t advances; /* waits that began, and pieces of transfers seen to arrive */
	uint64_t steps;	   /* pauses */
};
struct wire_waiting wire_waiting(void);

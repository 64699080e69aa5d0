/* Typed messages between ranks, in order between any two of them.
 *
 * A message is a 64-byte header (magic, version, type, step, bytes, checksum)
 * and a payload.  Sending never waits for the receiver and a rank may send to
 * itself: a job of one rank uses no MPI.  Receiving is by channel_next, which
 * gives the next message from anyone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "proto/comm.h"
#include "proto/message.h"

struct message {
	enum message_type type;
	int source;   /* world rank */
	int64_t step; /* iteration, or the weights' version */
	const char *data; /* [length] the payload */
	size_t length;
	struct buf memory; /* where it is, unless it was lent */
};
void message_release(struct message *message);

struct channel;
/* Collective over the world, which must live longer. */
struct channel *channel_create(struct comm *world);
/* Waits until everything sent has arrived; what nobody took is dropped.  NULL is
 * fine.  Collective. */
void channel_destroy(struct channel *channel);

/* Takes the bytes of *payload over and leaves it empty; NULL sends none.
 * Not collective. */
void channel_send(struct channel *channel, int to, enum message_type type, int64_t step,
		  struct buf *payload);
/* The same bytes to several ranks, kept once until all are sent. */
void channel_send_all(struct channel *channel, const int *to, int n, enum message_type type,
		      int64_t step, struct buf *payload);
/* The same for bytes that stay the caller's: nothing is copied.  They must not change
 * before channel_flush has returned and the own rank, if it is among these, has released
 * its message. */
void channel_lend_all(struct channel *channel, const int *to, int n, enum message_type type,
		      int64_t step, const void *data, size_t length);
/* True and *message filled if one has arrived; the caller releases it.  Moves
 * outgoing messages along.  A message that is damaged or of unknown type is the
 * end of the job, with its source named. */
bool channel_poll(struct channel *channel, struct message *message);
/* Waits for the next message with growing sleeps. */
void channel_next(struct channel *channel, struct message *message);
void channel_flush(struct channel *channel); /* until all sends have left */
/* Releases a message and keeps its memory for one to come: memory that was touched before
 * is faster than what the system has to clear. */
void channel_recycle(struct channel *channel, struct message *message);

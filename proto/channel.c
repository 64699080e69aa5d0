/* Messages over a wire of their own.
 *
 * A header goes out under one tag and its payload under another.  Headers from
 * one sender arrive in order, and so do the pieces of their payloads: a payload is
 * asked for once all pieces are of those before it from that sender.  Messages on
 * their way here stand in a list in the order of their headers:
 *
 *     arriving:  rank 2, 40 of 500 MB | rank 1, whole | rank 2, whole
 *                                       ^ next to be given out
 *
 * The first whole one that has no unfinished one of the same sender before it is
 * next.  A message to the own rank goes into that list directly.
 *
 * Payloads that are going out are kept until all receivers have them, or are lent.  The
 * memory of one that came and was released serves the next that is about as long: the
 * weights of every step arrive in the same pages. */
#include "proto/channel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/hash.h"
#include "proto/wire.h"

/* Bytes kept until the last of several transfers is done. */
struct shared_payload {
	const char *data; /* [length] */
	size_t length;
	struct buf memory; /* where they are, unless they are lent */
	int users;
};

struct outgoing {
	struct outgoing *next;
	uint8_t header[MESSAGE_HEADER_BYTES];
	struct wire_transfer *header_transfer, *payload_transfer; /* NULL when done */
	struct shared_payload *payload;
};

struct arriving {
	struct arriving *next;
	struct message message;
	struct message_header header;
	struct wire_transfer *transfer; /* NULL before it is begun and when whole */
	bool is_whole;
};

struct channel {
	struct wire *wire;
	uint64_t *sent, *taken; /* [size] messages to and from each rank */
	struct outgoing *outgoing;
	struct arriving *arriving, **arriving_end;
	struct buf spare; /* the longest memory of a message that was recycled */
};

void message_release(struct message *message)
{
	buf_release(&message->memory);
	*message = (struct message){0};
}

void channel_recycle(struct channel *channel, struct message *message)
{
	if (message->memory.capacity > channel->spare.capacity) {
		struct buf shorter = channel->spare;

		channel->spare = message->memory;
		buf_reset(&channel->spare);
		message->memory = shorter;
	}
	message_release(message);
}

struct channel *channel_create(struct comm *world)
{
	struct channel *channel = xcalloc(1, sizeof *channel);
	channel->wire = wire_duplicate(comm_wire(world));
	size_t size = (size_t)wire_size(channel->wire);
	channel->sent = xcalloc(size, sizeof *channel->sent);
	channel->taken = xcalloc(size, sizeof *channel->taken);
	channel->arriving_end = &channel->arriving;
	return channel;
}

/* --- sending --- */

static void release_payload(struct shared_payload *payload)
{
	if (--payload->users > 0)
		return;
	buf_release(&payload->memory);
	free(payload);
}

static void put_outgoing(struct channel *channel, int to, const struct message_header *header,
			 struct shared_payload *payload)
{
	struct outgoing *outgoing = xcalloc(1, sizeof *outgoing);
	message_header_encode(header, outgoing->header);
	outgoing->header_transfer = wire_send(channel->wire, to, WIRE_HEADER, outgoing->header,
					      sizeof outgoing->header);
	if (payload->length > 0)
		outgoing->payload_transfer = wire_send(channel->wire, to, WIRE_PAYLOAD,
						       payload->data, payload->length);
	outgoing->payload = payload;
	payload->users++;
	outgoing->next = channel->outgoing;
	channel->outgoing = outgoing;
}

static void append_arriving(struct channel *channel, struct arriving *arriving)
{
	*channel->arriving_end = arriving;
	channel->arriving_end = &arriving->next;
}

static void put_to_self(struct channel *channel, enum message_type type, int64_t step,
			const char *data, size_t length, struct buf *memory)
{
	struct arriving *arriving = xcalloc(1, sizeof *arriving);
	arriving->message = (struct message){
		.type = type,
		.source = wire_rank(channel->wire),
		.step = step,
		.data = data,
		.length = length,
		.memory = *memory,
	};
	arriving->is_whole = true;
	*memory = (struct buf)BUF_INIT;
	append_arriving(channel, arriving);
}

/* To all of these but the own rank. */
static void put_to_others(struct channel *channel, const int *to, int n, enum message_type type,
			  int64_t step, struct shared_payload *payload)
{
	int self = wire_rank(channel->wire);
	struct message_header header = {
		.type = type,
		.step = step,
		.payload_bytes = payload->length,
		.payload_checksum = crc32c(0, payload->data, payload->length),
	};
	for (int i = 0; i < n; i++) {
		if (to[i] == self)
			continue;
		header.sequence = channel->sent[to[i]]++;
		put_outgoing(channel, to[i], &header, payload);
	}
}

/* memory: where data is, which is taken over, or empty: data is lent. */
static void send_all(struct channel *channel, const int *to, int n, enum message_type type,
		     int64_t step, const char *data, size_t length, struct buf *memory)
{
	ASSERT(type >= MESSAGE_PROMPTS && type < MESSAGE_TYPES);
	bool is_lent = memory->data == NULL;
	int self = wire_rank(channel->wire), n_self = 0;
	for (int i = 0; i < n; i++)
		n_self += to[i] == self;
	if (n_self > 1)
		die("a message to the own rank is given %d times", n_self);
	if (n_self < n) {
		struct shared_payload *shared = xcalloc(1, sizeof *shared);
		*shared = (struct shared_payload){
			.data = data, .length = length, .memory = *memory, .users = 1};
		*memory = (struct buf)BUF_INIT;
		put_to_others(channel, to, n, type, step, shared);
		if (n_self > 0 && !is_lent) {
			buf_append(memory, data, length);
			data = memory->data;
		}
		release_payload(shared);
	}
	if (n_self == 1)
		put_to_self(channel, type, step, data, length, memory);
	buf_release(memory);
}

void channel_send_all(struct channel *channel, const int *to, int n, enum message_type type,
		      int64_t step, struct buf *payload)
{
	struct buf none = BUF_INIT;
	if (payload == NULL)
		payload = &none;
	send_all(channel, to, n, type, step, payload->data, payload->length, payload);
}

void channel_lend_all(struct channel *channel, const int *to, int n, enum message_type type,
		      int64_t step, const void *data, size_t length)
{
	struct buf none = BUF_INIT;
	send_all(channel, to, n, type, step, data, length, &none);
}

void channel_send(struct channel *channel, int to, enum message_type type, int64_t step,
		  struct buf *payload)
{
	channel_send_all(channel, &to, 1, type, step, payload);
}

/* Frees what has left. */
static void move_outgoing(struct channel *channel)
{
	struct outgoing **link = &channel->outgoing;
	while (*link != NULL) {
		struct outgoing *outgoing = *link;
		if (!wire_is_done(outgoing->header_transfer) ||
		    (outgoing->payload_transfer != NULL &&
		     !wire_is_done(outgoing->payload_transfer))) {
			link = &outgoing->next;
			continue;
		}
		*link = outgoing->next;
		wire_transfer_free(outgoing->header_transfer);
		wire_transfer_free(outgoing->payload_transfer);
		release_payload(outgoing->payload);
		free(outgoing);
	}
}

/* --- receiving --- */

static struct arriving *arriving_create(int source, const struct message_header *header)
{
	struct arriving *arriving = xcalloc(1, sizeof *arriving);
	arriving->header = *header;
	arriving->message =
		(struct message){.type = header->type, .source = source, .step = header->step};
	arriving->is_whole = header->payload_bytes == 0;
	return arriving;
}

/* Asks for the payload.  Much shorter ones leave the spare memory to another. */
static void begin_arriving(struct channel *channel, struct arriving *arriving)
{
	struct message *message = &arriving->message;
	struct buf *memory = &message->memory, *spare = &channel->spare;
	size_t length = arriving->header.payload_bytes;
	if (length < spare->capacity && length >= spare->capacity / 2) {
		*memory = *spare;
		*spare = (struct buf)BUF_INIT;
	}
	buf_reserve(memory, length);
	message->data = memory->data;
	message->length = length;
	arriving->transfer = wire_receive(channel->wire, message->source, WIRE_PAYLOAD,
					  memory->data, length);
}

/* Takes the headers that are here. */
static void take_headers(struct channel *channel)
{
	uint8_t bytes[MESSAGE_HEADER_BYTES];
	size_t n = sizeof bytes;
	int source;
	while (wire_take(channel->wire, WIRE_HEADER, bytes, &n, &source)) {
		struct message_header header;
		struct error err;
		if (message_header_decode(&header, bytes, n, &err) != STATUS_OK)
			die("from rank %d: %s", source, err.text);
		uint64_t expected = channel->taken[source]++;
		if (header.sequence != expected)
			die("from rank %d: message number %" PRIu64 ", expected %" PRIu64, source,
			    header.sequence, expected);
		append_arriving(channel, arriving_create(source, &header));
		n = sizeof bytes;
	}
}

/* Whether pieces of an earlier payload of the same sender are still to be asked for. */
static bool has_unopened_before(const struct channel *channel, const struct arriving *end)
{
	for (const struct arriving *a = channel->arriving; a != end; a = a->next) {
		if (a->message.source == end->message.source && !a->is_whole &&
		    (a->transfer == NULL || !wire_is_open_whole(a->transfer)))
			return true;
	}
	return false;
}

static void finish_arriving(struct arriving *arriving)
{
	wire_transfer_free(arriving->transfer);
	arriving->transfer = NULL;
	arriving->is_whole = true;
	struct error err;
	if (message_check_payload(&arriving->header, arriving->message.data,
				  arriving->message.length, &err) != STATUS_OK)
		die("from rank %d: %s", arriving->message.source, err.text);
}

static void move_arriving(struct channel *channel)
{
	for (struct arriving *a = channel->arriving; a != NULL; a = a->next) {
		if (a->is_whole)
			continue;
		if (a->transfer == NULL && !has_unopened_before(channel, a))
			begin_arriving(channel, a);
		if (a->transfer != NULL && wire_is_done(a->transfer))
			finish_arriving(a);
	}
}

static bool has_unfinished_before(const struct channel *channel, const struct arriving *end)
{
	for (const struct arriving *a = channel->arriving; a != end; a = a->next) {
		if (a->message.source == end->message.source && !a->is_whole)
			return true;
	}
	return false;
}

static bool give_out(struct channel *channel, struct message *message)
{
	for (struct arriving **link = &channel->arriving; *link != NULL; link = &(*link)->next) {
		struct arriving *arriving = *link;
		if (!arriving->is_whole || has_unfinished_before(channel, arriving))
			continue;
		*message = arriving->message;
		*link = arriving->next;
		if (arriving->next == NULL)
			channel->arriving_end = link;
		free(arriving);
		return true;
	}
	return false;
}

static void move_along(struct channel *channel)
{
	move_outgoing(channel);
	take_headers(channel);
	move_arriving(channel);
}

bool channel_poll(struct channel *channel, struct message *message)
{
	move_along(channel);
	return give_out(channel, message);
}

void channel_next(struct channel *channel, struct message *message)
{
	struct wire_wait wait = wire_wait_begin();
	while (!channel_poll(channel, message)) {
		if (wire_size(channel->wire) == 1)
			die("a job of one rank waits for a message that nobody can send");
		wire_wait_step(&wait);
	}
}

void channel_flush(struct channel *channel)
{
	struct wire_wait wait = wire_wait_begin();
	move_along(channel);
	while (channel->outgoing != NULL) {
		wire_wait_step(&wait);
		move_along(channel);
	}
}

void channel_destroy(struct channel *channel)
{
	if (channel == NULL)
		return;
	channel_flush(channel);
	/* Others may still be sending to this rank. */
	struct wire_wait wait = wire_wait_begin();
	wire_barrier_begin(channel->wire);
	while (!wire_barrier_is_done(channel->wire)) {
		wire_wait_step(&wait);
		move_along(channel);
	}
	/* All has been sent; what is half received is already on this side. */
	do {
		struct message message;
		while (channel_poll(channel, &message))
			message_release(&message);
	} while (channel->arriving != NULL);
	wire_free(channel->wire);
	buf_release(&channel->spare);
	free(channel->sent);
	free(channel->taken);
	free(channel);
}

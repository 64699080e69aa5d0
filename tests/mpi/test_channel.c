/* ranks: 1 2 3 4 */
/* Messages arrive whole, once, and in the order of their sender. */
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "proto/channel.h"
#include "tests/mpi/check.h"

/* Lengths that mix eager and long transfers, some without a payload. */
static size_t length_of(int source, int number)
{
	static const size_t lengths[] = {0, 17, 70000, 1, 5 << 20, 4096, 0, 300000};
	return lengths[(number + source) % 8];
}

static void fill(struct buf *buf, int source, int number)
{
	size_t n = length_of(source, number);
	buf_reset(buf);
	buf_reserve(buf, n);
	for (size_t i = 0; i < n; i++)
		buf->data[i] = (char)(i * 13 + (size_t)(source * 5 + number));
	buf->length = n;
	buf->data[n] = '\0';
}

/* Everyone sends to everyone, itself included, before anyone receives. */
static void test_all_to_all_keeps_the_order_of_each_sender(struct comm *world,
							   struct channel *channel)
{
	enum { MESSAGES = 16 };
	int size = comm_size(world), rank = comm_rank(world);
	struct buf payload = BUF_INIT, expected = BUF_INIT;
	for (int number = 0; number < MESSAGES; number++) {
		for (int to = 0; to < size; to++) {
			fill(&payload, rank, number);
			channel_send(channel, to, MESSAGE_ROLLOUTS, number, &payload);
			CHECK(payload.data == NULL && payload.length == 0);
		}
	}
	int *seen = xcalloc((size_t)size, sizeof *seen);
	for (int i = 0; i < MESSAGES * size; i++) {
		struct message message;
		channel_next(channel, &message);
		fill(&expected, message.source, seen[message.source]);
		CHECK(message.type == MESSAGE_ROLLOUTS);
		CHECK(message.step == seen[message.source]++);
		CHECK(message.length == expected.length);
		CHECK(expected.length == 0 ||
		      memcmp(message.data, expected.data, expected.length) == 0);
		message_release(&message);
	}
	struct message message;
	CHECK(!channel_poll(channel, &message));
	free(seen);
	buf_release(&payload);
	buf_release(&expected);
}

static void test_send_all_keeps_one_copy_for_all(struct comm *world, struct channel *channel)
{
	int size = comm_size(world);
	int *to = xcalloc((size_t)size, sizeof *to);
	for (int i = 0; i < size; i++)
		to[i] = size - 1 - i;
	if (comm_is_lead(world)) {
		struct buf payload = BUF_INIT;
		fill(&payload, 0, 4);
		channel_send_all(channel, to, size, MESSAGE_WEIGHTS, 9, &payload);
		CHECK(payload.data == NULL);
		channel_send_all(channel, to, size, MESSAGE_STOP, 10, NULL);
	}
	struct message message;
	struct buf expected = BUF_INIT;
	fill(&expected, 0, 4);
	channel_next(channel, &message);
	CHECK(message.type == MESSAGE_WEIGHTS && message.step == 9 && message.source == 0);
	CHECK(message.length == expected.length);
	CHECK(memcmp(message.data, expected.data, expected.length) == 0);
	message_release(&message);
	channel_next(channel, &message);
	CHECK(message.type == MESSAGE_STOP && message.length == 0);
	message_release(&message);
	buf_release(&expected);
	free(to);
}

static void test_a_message_to_the_own_rank_is_not_copied(struct comm *world,
							 struct channel *channel)
{
	struct buf payload = BUF_INIT;
	buf_append_string(&payload, "to myself");
	const char *data = payload.data;
	channel_send(channel, comm_rank(world), MESSAGE_SCORED, 1, &payload);
	struct message message;
	CHECK(channel_poll(channel, &message));
	CHECK(message.data == data);
	message_release(&message);
}

/* Lent bytes reach everyone; on the own rank they are the caller's own. */
static void test_lent_bytes_are_not_copied(struct comm *world, struct channel *channel)
{
	enum { LENGTH = 3 << 20 };
	int size = comm_size(world);
	int *to = xcalloc((size_t)size, sizeof *to);
	char *lent = xmalloc(LENGTH);
	for (int i = 0; i < LENGTH; i++)
		lent[i] = (char)(i * 7);
	for (int i = 0; i < size; i++)
		to[i] = i;
	if (comm_is_lead(world))
		channel_lend_all(channel, to, size, MESSAGE_WEIGHTS, 3, lent, LENGTH);
	struct message message;
	channel_next(channel, &message);
	CHECK(message.length == LENGTH && memcmp(message.data, lent, LENGTH) == 0);
	CHECK((message.data == lent) == comm_is_lead(world));
	channel_recycle(channel, &message);
	channel_flush(channel);
	free(lent);
	free(to);
}

static void send_long(struct channel *channel, int to, int64_t step)
{
	struct buf payload = BUF_INIT;
	buf_reserve(&payload, 32 << 20);
	payload.length = 32 << 20;
	memset(payload.data, 1, payload.length);
	channel_send(channel, to, MESSAGE_TRAIN, step, &payload);
}

/* A message of about the same length comes in the memory of the one before it, a short one
 * does not. */
static void test_recycled_memory_serves_the_next_long_message(struct comm *world,
							      struct channel *channel)
{
	int last = comm_size(world) - 1;
	const char *first = NULL;
	for (int step = 1; step <= 3; step++) {
		struct message message;
		struct buf payload = BUF_INIT;
		buf_append_string(&payload, "short");
		if (comm_is_lead(world) && step == 2)
			channel_send(channel, last, MESSAGE_PROMPTS, step, &payload);
		else if (comm_is_lead(world))
			send_long(channel, last, step);
		buf_release(&payload);
		if (comm_rank(world) == last) {
			channel_next(channel, &message);
			CHECK(message.step == step);
			first = step == 1 ? message.data : first;
			CHECK(last == 0 || (message.data == first) == (step != 2));
			channel_recycle(channel, &message);
		}
		channel_flush(channel);
		comm_barrier(world);
	}
}

/* The receiver looks only after the barrier, which the sender reaches only if
 * sending does not wait: otherwise this hangs. */
static void test_send_does_not_wait_for_the_receiver(struct comm *world, struct channel *channel)
{
	int last = comm_size(world) - 1;
	if (comm_is_lead(world))
		send_long(channel, last, 0);
	comm_barrier(world);
	if (comm_rank(world) == last) {
		struct message message;
		channel_next(channel, &message);
		CHECK(message.length == 32 << 20);
		message_release(&message);
	}
	channel_flush(channel);
}

/* The empty message is here at once, while the long one before it still comes. */
static void test_a_short_message_does_not_overtake_a_long_one(struct comm *world,
							      struct channel *channel)
{
	int last = comm_size(world) - 1;
	if (comm_is_lead(world)) {
		send_long(channel, last, 1);
		channel_send(channel, last, MESSAGE_STOP, 2, NULL);
		channel_flush(channel);
	}
	for (int step = 1; step <= 2 && comm_rank(world) == last; step++) {
		struct message message;
		channel_next(channel, &message);
		CHECK(message.step == step);
		message_release(&message);
	}
}

/* Of the long ones more pieces are on their way than are asked for at once, and the short
 * ones are sent before these are. */
static void test_messages_behind_a_long_one_keep_to_themselves(struct comm *world,
							       struct channel *channel)
{
	enum { ROUNDS = 4 };
	int last = comm_size(world) - 1;
	struct buf payload = BUF_INIT, expected = BUF_INIT;
	for (int i = 0; i < ROUNDS && comm_is_lead(world); i++) {
		send_long(channel, last, 2 * i);
		fill(&payload, 0, 1 + i);
		channel_send(channel, last, MESSAGE_PROMPTS, 2 * i + 1, &payload);
	}
	for (int i = 0; i < 2 * ROUNDS && comm_rank(world) == last; i++) {
		struct message message;
		channel_next(channel, &message);
		CHECK(message.step == i);
		if (i % 2 == 0) {
			CHECK(message.length == 32 << 20);
			CHECK(message.data[0] == 1 && message.data[(32 << 20) - 1] == 1);
		} else {
			fill(&expected, 0, 1 + i / 2);
			CHECK(message.length == expected.length);
			CHECK(memcmp(message.data, expected.data, expected.length) == 0);
		}
		message_release(&message);
	}
	channel_flush(channel);
	buf_release(&payload);
	buf_release(&expected);
}

/* What nobody takes holds nobody up at the end. */
static void leave_messages_behind(struct comm *world, struct channel *channel)
{
	struct buf payload = BUF_INIT;
	for (int to = 0; to < comm_size(world); to++) {
		fill(&payload, comm_rank(world), 4);
		channel_send(channel, to, MESSAGE_PROMPTS, 1, &payload);
	}
}

int main(void)
{
	/* Without it a long message between two ranks of one node arrives in one go. */
	setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 1);
	struct comm *world = comm_init();
	struct channel *channel = channel_create(world);
	test_all_to_all_keeps_the_order_of_each_sender(world, channel);
	comm_barrier(world);
	test_send_all_keeps_one_copy_for_all(world, channel);
	test_a_message_to_the_own_rank_is_not_copied(world, channel);
	comm_barrier(world);
	test_lent_bytes_are_not_copied(world, channel);
	comm_barrier(world);
	test_recycled_memory_serves_the_next_long_message(world, channel);
	comm_barrier(world);
	test_send_does_not_wait_for_the_receiver(world, channel);
	comm_barrier(world);
	test_a_short_message_does_not_overtake_a_long_one(world, channel);
	comm_barrier(world);
	test_messages_behind_a_long_one_keep_to_themselves(world, channel);
	comm_barrier(world);
	leave_messages_behind(world, channel);
	channel_destroy(channel);
	return check_end(world);
}

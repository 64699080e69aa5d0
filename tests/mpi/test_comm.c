/* ranks: 1 2 3 4 5 */
/* Collectives against what they should give, and what waiting costs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "tests/idle.h"
#include "tests/mpi/check.h"

static uint8_t pattern(size_t i, int rank)
{
	return (uint8_t)(i * 31 + i / 257 + (size_t)rank * 7 + 1);
}

static void test_broadcast_reaches_everyone_from_any_root(struct comm *comm)
{
	/* Around the sizes where pieces begin: 64 KiB, 4 MiB more, 16 MiB. */
	const size_t sizes[] = {0, 1, 65536, 65537, 65536 + (4 << 20), (16 << 20) + 3};
	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
		size_t n = sizes[s];
		int root = (int)s % comm_size(comm);
		uint8_t *data = xcalloc(n + 1, 1);
		for (size_t i = 0; i < n && comm_rank(comm) == root; i++)
			data[i] = pattern(i, root);
		comm_broadcast(comm, data, n, root);
		size_t wrong = 0;
		for (size_t i = 0; i < n; i++)
			wrong += data[i] != pattern(i, root);
		CHECK(wrong == 0);
		CHECK(data[n] == 0);
		free(data);
	}
}

static void test_broadcast_buf_replaces_what_was_there(struct comm *comm)
{
	struct buf buf = BUF_INIT;
	int root = comm_size(comm) - 1;
	buf_printf(&buf, "from rank %d", comm_rank(comm));
	comm_broadcast_buf(comm, &buf, root);
	char expected[32];
	snprintf(expected, sizeof expected, "from rank %d", root);
	CHECK(strcmp(buf.data, expected) == 0);
	CHECK(buf.length == strlen(expected));
	buf_release(&buf);
}

static void test_allgather_is_in_rank_order(struct comm *comm)
{
	int size = comm_size(comm);
	int64_t mine[3] = {comm_rank(comm), 10 + comm_rank(comm), -comm_rank(comm)};
	int64_t *all = xcalloc((size_t)size * 3, sizeof *all);
	comm_allgather(comm, mine, sizeof mine, all);
	for (int r = 0; r < size; r++) {
		CHECK(all[3 * r] == r);
		CHECK(all[3 * r + 1] == 10 + r);
		CHECK(all[3 * r + 2] == -r);
	}
	free(all);
}

/* Rank r has r * r * n bytes of pattern; one of them has none. */
static void test_allgather_buf_joins_unequal_lengths(struct comm *comm, size_t n)
{
	struct buf mine = BUF_INIT, all = BUF_INIT;
	size_t length = (size_t)comm_rank(comm) * (size_t)comm_rank(comm) * n;
	for (size_t i = 0; i < length; i++)
		buf_append_char(&mine, (char)pattern(i, comm_rank(comm)));
	buf_append_string(&all, "before");
	comm_allgather_buf(comm, &mine, &all);
	size_t at = 6, wrong = 0;
	for (int r = 0; r < comm_size(comm); r++) {
		for (size_t i = 0; i < (size_t)r * (size_t)r * n; i++)
			wrong += at >= all.length || (uint8_t)all.data[at++] != pattern(i, r);
	}
	CHECK(wrong == 0);
	CHECK(all.length == at);
	CHECK(memcmp(all.data, "before", 6) == 0);
	buf_release(&mine);
	buf_release(&all);
}

static void test_flags_are_the_same_everywhere(struct comm *comm)
{
	int last = comm_size(comm) - 1;
	CHECK(comm_any(comm, comm_rank(comm) == last));
	CHECK(!comm_any(comm, false));
}

static void test_agree_gives_the_first_sentence_to_all(struct comm *comm)
{
	int rank = comm_rank(comm), size = comm_size(comm);
	struct error err = {0};
	CHECK(comm_agree(comm, STATUS_OK, &err) == STATUS_OK);
	int first = size / 2;
	enum status status = STATUS_OK;
	if (rank >= first)
		status = error_set(&err, rank == first ? STATUS_STOPPED : STATUS_BAD_INPUT,
				   "rank %d failed", rank);
	status = comm_agree(comm, status, &err);
	char expected[32];
	snprintf(expected, sizeof expected, "rank %d failed", first);
	CHECK(status == STATUS_STOPPED);
	CHECK(strcmp(err.text, expected) == 0);
	CHECK(comm_agree(comm, rank == 0 ? STATUS_FAILED : STATUS_OK, NULL) == STATUS_FAILED);
}

/* From a rank on they have another text. */
static void check_compared(struct comm *comm, int first, enum status expected, const char *sentence)
{
	struct error err = {""};
	CHECK(comm_compare(comm, comm_rank(comm) >= first ? "b" : "a", "hat", &err) == expected);
	CHECK(strcmp(err.text, sentence) == 0);
}

static void test_compare_names_the_first_that_differs(struct comm *world)
{
	int size = comm_size(world), last = size - 1;
	char sentence[600];
	check_compared(world, size, STATUS_OK, "");
	check_compared(world, 0, STATUS_OK, "");
	for (int first = 1; first < size; first++) {
		snprintf(sentence, sizeof sentence,
			 "rank %d on host %s has another hat than rank 0 on host %s", first,
			 comm_host(), comm_host());
		check_compared(world, first, STATUS_BAD_INPUT, sentence);
	}
	/* Of a part, too, ranks are the world's. */
	struct comm *part = comm_split(world, size > 2 && comm_rank(world) >= size - 2 ? 0 : -1);
	snprintf(sentence, sizeof sentence,
		 "rank %d on host %s has another hat than rank %d on host %s", last, comm_host(),
		 last - 1, comm_host());
	if (part)
		check_compared(part, 1, STATUS_BAD_INPUT, sentence);
	comm_free(part);
}

static void test_split_orders_by_world_rank(struct comm *world)
{
	int rank = comm_rank(world), size = comm_size(world);
	struct comm *half = comm_split(world, rank % 2);
	CHECK(comm_rank(half) == rank / 2);
	CHECK(comm_size(half) == (size + 1 - rank % 2) / 2);
	test_allgather_is_in_rank_order(half);
	struct comm *only = comm_split(world, rank == 0 ? 3 : -1);
	CHECK((only != NULL) == (rank == 0));
	CHECK(only == NULL || (comm_size(only) == 1 && comm_is_lead(only)));
	comm_free(only);
	comm_free(half);
	CHECK(comm_local_ranks() == size);
}

/* Half a second of waiting; Open MPI's own waits would take half a second of a core and
 * not sleep at all, ours take a few percent of that. */
static bool waits_asleep(struct comm *world)
{
	comm_barrier(world);
	struct idle spent = idle_now();
	int token = 0;
	if (comm_rank(world) == 0)
		clock_sleep(0.25);
	comm_broadcast(world, &token, sizeof token, 0);
	if (comm_rank(world) == 0)
		clock_sleep(0.25);
	comm_barrier(world);
	return idle_slept(idle_since(spent), 0.5, 0.15);
}

/* What else the machine does can only add to the cost of one attempt. */
static void test_waiting_for_a_busy_rank_costs_no_core(struct comm *world)
{
	bool is_cheap = false;
	for (int attempt = 0; attempt < 5 && !is_cheap; attempt++)
		is_cheap = !comm_any(world, !waits_asleep(world));
	CHECK(is_cheap);
}

int main(void)
{
	struct comm *world = comm_init();
	CHECK(comm_host()[0] != '\0');
	test_broadcast_reaches_everyone_from_any_root(world);
	test_broadcast_buf_replaces_what_was_there(world);
	test_allgather_is_in_rank_order(world);
	test_allgather_buf_joins_unequal_lengths(world, 1);
	test_allgather_buf_joins_unequal_lengths(world, 100003);
	test_allgather_buf_joins_unequal_lengths(world, 0);
	test_flags_are_the_same_everywhere(world);
	test_agree_gives_the_first_sentence_to_all(world);
	test_compare_names_the_first_that_differs(world);
	test_split_orders_by_world_rank(world);
	test_waiting_for_a_busy_rank_costs_no_core(world);
	return check_end(world);
}

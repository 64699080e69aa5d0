/* ranks: 1 2 4 */
/* Memory common to a node: filled once, read by all, written by nobody, and alive as long
 * as somebody reads it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/shared.h"
#include "tests/mpi/check.h"

enum { N = 100000 };

static int fills;

static enum status count_up(void *context, void *memory, struct error *err)
{
	const int *from = context;
	int *out = memory;

	(void)err;
	fills++;
	for (int i = 0; i < N; i++) {
		CHECK(out[i] == 0);
		out[i] = *from + i;
	}
	return STATUS_OK;
}

static enum status fail_to_fill(void *context, void *memory, struct error *err)
{
	(void)context;
	(void)memory;
	return error_set(err, STATUS_BAD_INPUT, "cannot be filled");
}

static void check_content(const struct shared *shared, int from)
{
	const int *data = shared_data(shared);
	int wrong = 0;

	for (int i = 0; i < N; i++)
		wrong += data[i] != from + i;
	CHECK(wrong == 0);
}

static int total(struct comm *world, int mine)
{
	int all[16], sum = 0;

	comm_allgather(world, &mine, sizeof mine, all);
	for (int r = 0; r < comm_size(world); r++)
		sum += all[r];
	return sum;
}

static void test_one_rank_fills_and_all_read(struct comm *world)
{
	struct shared *a, *b;
	struct error err;
	int from_a = 7, from_b = -3, zero = open("/dev/zero", O_RDONLY);

	fills = 0;
	CHECK(shared_create(&a, world, N * sizeof(int), count_up, &from_a, &err) == STATUS_OK);
	CHECK(total(world, fills) == 1);
	CHECK(shared_create(&b, world, N * sizeof(int), count_up, &from_b, &err) == STATUS_OK);
	check_content(a, from_a);
	check_content(b, from_b);
	/* The kernel cannot write there either. */
	CHECK(read(zero, (void *)(size_t)shared_data(a), 1) == -1 && errno == EFAULT);
	close(zero);
	/* The first rank, which made them, leaves first. */
	if (comm_is_lead(world))
		shared_destroy(a);
	comm_barrier(world);
	if (!comm_is_lead(world)) {
		check_content(a, from_a);
		shared_destroy(a);
	}
	check_content(b, from_b);
	shared_destroy(b);
}

static void test_a_rank_by_itself_fills_its_own(struct comm *world)
{
	struct shared *shared;
	struct error err;
	int from = comm_rank(world);

	fills = 0;
	CHECK(shared_create(&shared, NULL, N * sizeof(int), count_up, &from, &err) == STATUS_OK);
	CHECK(fills == 1);
	check_content(shared, from);
	shared_destroy(shared);
	shared_destroy(NULL);
}

static void test_a_failure_is_everyones(struct comm *world)
{
	struct shared *shared;
	struct error err = {""};

	CHECK(shared_create(&shared, world, 64, fail_to_fill, NULL, &err) == STATUS_BAD_INPUT);
	CHECK(shared == NULL);
	CHECK(strcmp(err.text, "cannot be filled") == 0);
}

int main(void)
{
	struct comm *world = comm_init();

	test_one_rank_fills_and_all_read(world);
	test_a_rank_by_itself_fills_its_own(world);
	test_a_failure_is_everyones(world);
	return check_end(world);
}

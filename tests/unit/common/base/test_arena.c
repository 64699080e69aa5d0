/* arena and buf: memory that grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/buf.h"

static void test_arena_gives_aligned_separate_memory(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena);
	unsigned char *parts[100];
	for (int i = 0; i < 100; i++) {
		parts[i] = arena_alloc(&arena, (size_t)i * 37, 3);
		assert_int_equal((uintptr_t)parts[i] % 64, 0);
		memset(parts[i], i, (size_t)i * 111);
	}
	for (int i = 0; i < 100; i++)
		for (int k = 0; k < i * 111; k++)
			assert_int_equal(parts[i][k], i);
	arena_release(&arena);
}

static void test_arena_reuses_its_blocks_after_a_rewind(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena);
	void *kept = arena_calloc(&arena, 10, 4);
	size_t mark = arena_mark(&arena), high = 0;
	static const size_t sizes[] = {1000, 1 << 18, 5, 0, 1 << 20, 70000, 64, 1 << 19};
	enum { N = sizeof sizes / sizeof *sizes };
	void *first[N];
	for (int pass = 0; pass < 3; pass++) {
		for (int i = 0; i < N; i++) {
			void *memory = arena_alloc(&arena, sizes[i], 1);
			memset(memory, 1, sizes[i]);
			if (pass == 0)
				first[i] = memory;
			assert_ptr_equal(memory, first[i]);
		}
		if (pass == 0)
			high = arena.high_water;
		arena_rewind(&arena, mark);
		assert_int_equal(arena_mark(&arena), mark);
	}
	assert_int_equal(arena.high_water, high);
	assert_true(high >= (1 << 18) + (1 << 19) + (1 << 20));
	for (int i = 0; i < 10; i++)
		assert_int_equal(((int *)kept)[i], 0);
	arena_release(&arena);
}

static void test_arena_rewinds_to_marks_inside_earlier_blocks(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena);
	size_t marks[50];
	void *places[50];
	for (int i = 0; i < 50; i++) {
		marks[i] = arena_mark(&arena);
		places[i] = arena_alloc(&arena, 9000, 1);
	}
	for (int i = 49; i > 0; i--) {
		arena_rewind(&arena, marks[i]);
		assert_ptr_equal(arena_alloc(&arena, 9000, 1), places[i]);
	}
	arena_release(&arena);
}

/* Work that is done again finds one block, of what it took. */
static void test_an_arena_that_was_emptied_has_one_block(void **state)
{
	enum { BYTES = 640 << 10 };
	struct arena arena;
	unsigned char *first, *next;

	(void)state;
	arena_init(&arena);
	for (int pass = 0; pass < 3; pass++) {
		first = arena_alloc(&arena, BYTES, 1);
		memset(first, pass, BYTES);
		for (int i = 1; i < 6; i++) {
			next = arena_alloc(&arena, BYTES, 1);
			memset(next, pass, BYTES);
			if (pass > 0)
				assert_in_range(next - first, i * BYTES, i * (BYTES + 64));
		}
		arena_rewind(&arena, 0);
	}
	assert_true(arena.high_water >= 6 * BYTES);
	arena_release(&arena);
}

static void test_buf_appends_prints_and_hands_over(void **state)
{
	(void)state;
	struct buf buf = BUF_INIT;
	buf_reset(&buf);
	buf_append(&buf, "a\0b", 3);
	buf_append_char(&buf, 'c');
	buf_append_string(&buf, "de");
	buf_printf(&buf, "%d", 42);
	assert_int_equal(buf.length, 8);
	assert_memory_equal(buf.data, "a\0bcde42", 9);
	buf_reset(&buf);
	for (int i = 0; i < 1000; i++)
		buf_printf(&buf, "%03d,", i);
	assert_int_equal(buf.length, 4000);
	assert_memory_equal(buf.data + 3996, "999,", 5);
	char *text = buf_detach(&buf);
	assert_int_equal(strlen(text), 4000);
	free(text);
	assert_null(buf.data);
	text = buf_detach(&buf);
	assert_string_equal(text, "");
	free(text);
	buf_release(&buf);
}

static void test_a_counting_arena_counts_the_same_and_holds_nothing(void **state)
{
	struct arena arenas[2];

	(void)state;
	arena_init(&arenas[0]);
	arena_init_counting(&arenas[1]);
	for (int i = 0; i < 2; i++) {
		struct arena *arena = &arenas[i];
		bool is_null = arena_alloc(arena, 1000, 3) == NULL;
		size_t mark = arena_mark(arena);

		assert_int_equal(is_null, i);
		assert_int_equal(arena_calloc(arena, 70000, 8) == NULL, i);
		arena_rewind(arena, mark);
		arena_alloc(arena, 5, 4);
	}
	assert_int_equal(arenas[0].used, arenas[1].used);
	assert_int_equal(arenas[0].high_water, arenas[1].high_water);
	assert_true(arenas[1].high_water >= 563000);
	arena_release(&arenas[0]);
	arena_release(&arenas[1]);
}

/* Pages of the n bytes from a page's beginning on that are in memory. */
static size_t resident(const unsigned char *at, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n_pages = n / page, count = 0;
	unsigned char *in_core = malloc(n_pages);

	assert_non_null(in_core);
	at += (page - (uintptr_t)at % page) % page;
	assert_int_equal(mincore((void *)(uintptr_t)at, n_pages * page, in_core), 0);
	for (size_t i = 0; i < n_pages; i++)
		count += in_core[i] & 1;
	free(in_core);
	return count;
}

static void test_what_is_left_of_a_full_block_is_not_held(void **state)
{
	enum { MIB = 1 << 20 };
	struct arena arena;
	unsigned char *first;

	(void)state;
	arena_init(&arena);
	first = arena_alloc(&arena, 4 * MIB, 1);
	memset(first, 1, 4 * MIB);
	arena_rewind(&arena, 0);
	assert_ptr_equal(arena_alloc(&arena, MIB, 1), first);
	assert_true(resident(first + MIB, 2 * MIB) > 0);
	arena_alloc(&arena, 5 * MIB, 1);
	assert_int_equal(resident(first + MIB, 2 * MIB), 0);
	for (size_t i = 0; i < MIB; i++)
		assert_int_equal(first[i], 1);
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_gives_aligned_separate_memory),
		cmocka_unit_test(test_arena_reuses_its_blocks_after_a_rewind),
		cmocka_unit_test(test_a_counting_arena_counts_the_same_and_holds_nothing),
		cmocka_unit_test(test_what_is_left_of_a_full_block_is_not_held),
		cmocka_unit_test(test_arena_rewinds_to_marks_inside_earlier_blocks),
		cmocka_unit_test(test_an_arena_that_was_emptied_has_one_block),
		cmocka_unit_test(test_buf_appends_prints_and_hands_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

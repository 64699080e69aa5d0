/* Blocks are taken as slots grow, shared by forks, counted and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/model/kv_cache.h"
#include "tests/unit/common/model/small_models.h"

static struct model *small_model(void)
{
	return small_llama(3, 16, 5, 512);
}

static void test_a_block_is_64_positions_of_all_layers(void **state)
{
	struct model *model = small_model();

	(void)state;
	assert_int_equal(kv_cache_block_bytes(model), 3 * 2 * 2 * 4 * 64 * sizeof(float));
	assert_int_equal(kv_cache_blocks_for(0), 0);
	assert_int_equal(kv_cache_blocks_for(1), 1);
	assert_int_equal(kv_cache_blocks_for(64), 1);
	assert_int_equal(kv_cache_blocks_for(65), 2);
	model_destroy(model);
}

static void test_reserve_takes_what_is_free_or_nothing(void **state)
{
	struct model *model = small_model();
	struct kv_cache *cache = kv_cache_create(model, 2, 3);

	(void)state;
	assert_int_equal(kv_cache_free_blocks(cache), 3);
	assert_true(kv_cache_reserve(cache, 0, 64));
	assert_true(kv_cache_reserve(cache, 0, 10));
	assert_int_equal(kv_cache_free_blocks(cache), 2);
	assert_false(kv_cache_reserve(cache, 1, 129));
	assert_int_equal(kv_cache_free_blocks(cache), 2);
	assert_true(kv_cache_reserve(cache, 1, 65));
	assert_false(kv_cache_reserve(cache, 0, 65));
	kv_cache_clear(cache, 1);
	assert_int_equal(kv_cache_free_blocks(cache), 2);
	assert_true(kv_cache_reserve(cache, 0, 192));
	assert_int_equal(kv_cache_free_blocks(cache), 0);
	kv_cache_destroy(cache);
	model_destroy(model);
}

static float *block_of(const struct kv_cache *cache, int slot, int block)
{
	return kv_cache_layer(cache, slot, 0).blocks[block];
}

static void test_layers_of_a_slot_lie_in_its_blocks(void **state)
{
	struct model *model = small_model();
	struct kv_cache *cache = kv_cache_create(model, 1, 2);
	size_t floats = kv_cache_block_bytes(model) / sizeof(float);

	(void)state;
	assert_true(kv_cache_reserve(cache, 0, 128));
	kv_cache_advance(cache, 0, 70);
	assert_int_equal(kv_cache_length(cache, 0), 70);
	for (int l = 0; l < 3; l++) {
		struct attention_cache layer = kv_cache_layer(cache, 0, l);
		assert_int_equal(layer.length, 70);
		assert_int_equal(layer.offset, floats / 3 * (size_t)l);
		assert_ptr_equal(layer.blocks[1], block_of(cache, 0, 1));
	}
	assert_ptr_not_equal(block_of(cache, 0, 0), block_of(cache, 0, 1));
	kv_cache_clear(cache, 0);
	assert_int_equal(kv_cache_length(cache, 0), 0);
	kv_cache_destroy(cache);
	model_destroy(model);
}

static void test_a_fork_shares_whole_blocks_and_copies_the_rest(void **state)
{
	struct model *model = small_model();
	struct kv_cache *cache = kv_cache_create(model, 3, 4);
	size_t floats = kv_cache_block_bytes(model) / sizeof(float);

	(void)state;
	assert_true(kv_cache_reserve(cache, 0, 100));
	kv_cache_advance(cache, 0, 100);
	for (size_t i = 0; i < floats; i++)
		block_of(cache, 0, 1)[i] = (float)i;
	assert_true(kv_cache_fork(cache, 0, 1));
	assert_int_equal(kv_cache_length(cache, 1), 100);
	assert_int_equal(kv_cache_free_blocks(cache), 1);
	assert_ptr_equal(block_of(cache, 1, 0), block_of(cache, 0, 0));
	assert_ptr_not_equal(block_of(cache, 1, 1), block_of(cache, 0, 1));
	assert_memory_equal(block_of(cache, 1, 1), block_of(cache, 0, 1), floats * sizeof(float));
	assert_true(kv_cache_fork(cache, 1, 2));
	kv_cache_clear(cache, 0);
	assert_int_equal(kv_cache_free_blocks(cache), 1); /* the shared one is still held */
	assert_false(kv_cache_reserve(cache, 0, 65));
	kv_cache_clear(cache, 1);
	kv_cache_clear(cache, 2);
	assert_int_equal(kv_cache_free_blocks(cache), 4);
	kv_cache_destroy(cache);
	model_destroy(model);
}

static void test_a_fork_of_whole_blocks_takes_none_and_of_a_part_needs_one(void **state)
{
	struct model *model = small_model();
	struct kv_cache *cache = kv_cache_create(model, 3, 2);

	(void)state;
	assert_true(kv_cache_reserve(cache, 0, 128));
	kv_cache_advance(cache, 0, 128);
	assert_true(kv_cache_fork(cache, 0, 1));
	assert_int_equal(kv_cache_length(cache, 1), 128);
	kv_cache_clear(cache, 0);
	kv_cache_clear(cache, 1);
	assert_true(kv_cache_reserve(cache, 0, 127));
	kv_cache_advance(cache, 0, 127);
	assert_false(kv_cache_fork(cache, 0, 1));
	assert_int_equal(kv_cache_length(cache, 1), 0);
	kv_cache_clear(cache, 0);
	assert_int_equal(kv_cache_free_blocks(cache), 2);
	kv_cache_destroy(cache);
	model_destroy(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_block_is_64_positions_of_all_layers),
		cmocka_unit_test(test_reserve_takes_what_is_free_or_nothing),
		cmocka_unit_test(test_layers_of_a_slot_lie_in_its_blocks),
		cmocka_unit_test(test_a_fork_shares_whole_blocks_and_copies_the_rest),
		cmocka_unit_test(test_a_fork_of_whole_blocks_takes_none_and_of_a_part_needs_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

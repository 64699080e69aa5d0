/* hash and hashmap: published check values, and the instructions against C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/hash_x86.h"
#include "common/base/hashmap.h"
#include "common/base/pool.h"

static uint8_t noise[5000];

static void fill_noise(void)
{
	uint32_t x = 1;
	for (size_t i = 0; i < sizeof noise; i++) {
		x = x * 1664525 + 1013904223;
		noise[i] = (uint8_t)(x >> 24);
	}
}

static void test_crc32c_has_the_values_of_rfc_3720(void **state)
{
	(void)state;
	uint8_t bytes[32] = {0};
	assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c(0, bytes, 32), 0x8A9136AA);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62A8AB43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46DD794E);
	assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void test_crc32c_chains_and_instructions_agree_with_c(void **state)
{
	(void)state;
	for (size_t n = 0; n < 300; n++) {
		uint32_t whole = crc32c_portable(0, noise + n % 9, n);
		assert_int_equal(crc32c(0, noise + n % 9, n), whole);
		uint32_t part = crc32c(0, noise + n % 9, n / 3);
		assert_int_equal(crc32c(part, noise + n % 9 + n / 3, n - n / 3), whole);
	}
}

static void test_sha256_has_the_values_of_fips_180(void **state)
{
	(void)state;
	char hex[65];
	sha256_hex("", 0, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_hex("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
	assert_string_equal(hex,
			    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_sha256_does_not_depend_on_the_pieces(void **state)
{
	(void)state;
	for (size_t n = 0; n < 300; n += 7) {
		uint8_t whole[32], pieces[32];
		struct sha256 sha;
		sha256_init(&sha);
		sha256_update(&sha, noise, n);
		sha256_final(&sha, whole);
		sha256_init(&sha);
		for (size_t i = 0, step = 1; i < n; i += step, step = step * 2 % 67) {
			if (step > n - i)
				step = n - i;
			sha256_update(&sha, noise + i, step);
		}
		sha256_final(&sha, pieces);
		assert_memory_equal(whole, pieces, 32);
	}
}

static void test_sha256_instructions_agree_with_c(void **state)
{
	(void)state;
#if defined(__x86_64__)
	if (!sha256_x86_supported())
		skip();
	uint32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	for (size_t n = 0; n < 20; n++) {
		sha256_blocks_portable(a, noise + n, n);
		sha256_blocks_x86(b, noise + n, n);
		assert_memory_equal(a, b, sizeof a);
	}
#else
	skip();
#endif
}

static void test_hash64_is_fnv_1a(void **state)
{
	(void)state;
	assert_true(hash64("", 0) == 0xcbf29ce484222325);
	assert_true(hash64("a", 1) == 0xaf63dc4c8601ec8c);
	assert_true(hash64("foobar", 6) == 0x85944171f73967e8);
}

static void test_hash64_large_is_fnv_1a_of_the_checksums_of_pieces(void **state)
{
	enum { PIECE = 1 << 20 };
	static const size_t sizes[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7};
	static uint8_t data[5 * PIECE + 7];
	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = noise[i % sizeof noise] ^ (uint8_t)(i >> 13);
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		uint8_t sums[6][4];
		size_t n = sizes[s], k = 0;
		for (size_t at = 0; at < n; at += PIECE, k++) {
			uint32_t sum = crc32c(0, data + at, n - at < PIECE ? n - at : PIECE);
			for (int b = 0; b < 4; b++)
				sums[k][b] = (uint8_t)(sum >> 8 * b);
		}
		for (int threads = 1; threads <= 3; threads++) {
			struct pool *pool = pool_create(threads);
			assert_true(hash64_large(data, n, pool) == hash64(sums, 4 * k));
			pool_destroy(pool);
		}
	}
	uint64_t before = hash64_large(data, sizeof data, NULL);
	data[3 * PIECE] ^= 1;
	assert_false(hash64_large(data, sizeof data, NULL) == before);
}

static void test_hashmap_finds_what_was_added_and_nothing_else(void **state)
{
	(void)state;
	static char keys[20000][8];
	struct hashmap map;
	hashmap_init(&map, 0);
	int32_t value = -1;
	assert_false(hashmap_find(&map, "", 0, &value));
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)snprintf(keys[i], sizeof keys[i], "k%d", i);
		assert_true(hashmap_add(&map, keys[i], n, i));
		assert_false(hashmap_add(&map, keys[i], n, -7));
	}
	assert_true(hashmap_add(&map, "", 0, 77));
	assert_true(hashmap_add(&map, "a\0b", 3, 78));
	assert_int_equal(map.count, 20002);
	for (int i = 0; i < 20000; i++) {
		assert_true(hashmap_find(&map, keys[i], strlen(keys[i]), &value));
		assert_int_equal(value, i);
	}
	assert_true(hashmap_find(&map, "", 0, &value) && value == 77);
	assert_true(hashmap_find(&map, "a\0b", 3, &value) && value == 78);
	assert_false(hashmap_find(&map, "a", 1, &value));
	assert_false(hashmap_find(&map, "k20000", 6, &value));
	hashmap_release(&map);
}

int main(void)
{
	fill_noise();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc32c_has_the_values_of_rfc_3720),
		cmocka_unit_test(test_crc32c_chains_and_instructions_agree_with_c),
		cmocka_unit_test(test_sha256_has_the_values_of_fips_180),
		cmocka_unit_test(test_sha256_does_not_depend_on_the_pieces),
		cmocka_unit_test(test_sha256_instructions_agree_with_c),
		cmocka_unit_test(test_hash64_is_fnv_1a),
		cmocka_unit_test(test_hash64_large_is_fnv_1a_of_the_checksums_of_pieces),
		cmocka_unit_test(test_hashmap_finds_what_was_added_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

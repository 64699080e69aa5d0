/* The header of a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/hash.h"
#include "proto/message.h"

static const char payload[] = "some bytes to carry";

static struct message_header example(void)
{
	return (struct message_header){
		.type = MESSAGE_WEIGHTS,
		.step = INT64_C(0x0102030405060708),
		.sequence = 0x1112131415161718,
		.payload_bytes = sizeof payload,
		.payload_checksum = crc32c(0, payload, sizeof payload),
	};
}

/* Makes the header's own checksum right again after a change. */
static void seal(uint8_t bytes[MESSAGE_HEADER_BYTES])
{
	uint32_t checksum = crc32c(0, bytes, 60);
	for (int i = 0; i < 4; i++)
		bytes[60 + i] = (uint8_t)(checksum >> 8 * i);
}

static void test_encode_writes_the_layout_of_the_comment(void **state)
{
	(void)state;
	struct message_header header = example();
	uint8_t bytes[MESSAGE_HEADER_BYTES];
	message_header_encode(&header, bytes);
	assert_memory_equal(bytes, "RLHM\1\0\2\0\x08\7\6\5\4\3\2\1\x18\x17\x16\x15\x14\x13\x12\x11",
			    24);
	assert_int_equal(bytes[24], sizeof payload);
	uint8_t again[MESSAGE_HEADER_BYTES];
	memcpy(again, bytes, sizeof again);
	seal(again);
	assert_memory_equal(again, bytes, sizeof again);
}

static void test_decode_gives_back_what_was_encoded(void **state)
{
	(void)state;
	struct message_header header = example(), back;
	uint8_t bytes[MESSAGE_HEADER_BYTES];
	struct error err;
	message_header_encode(&header, bytes);
	assert_int_equal(message_header_decode(&back, bytes, sizeof bytes, &err), STATUS_OK);
	assert_int_equal(back.type, header.type);
	assert_int_equal(back.step, header.step);
	assert_int_equal(back.sequence, header.sequence);
	assert_int_equal(back.payload_bytes, header.payload_bytes);
	assert_int_equal(back.payload_checksum, header.payload_checksum);
	assert_int_equal(message_check_payload(&back, payload, sizeof payload, &err), STATUS_OK);
}

static void test_decode_rejects_every_flipped_bit(void **state)
{
	(void)state;
	struct message_header header = example(), back;
	uint8_t bytes[MESSAGE_HEADER_BYTES];
	struct error err;
	message_header_encode(&header, bytes);
	for (int bit = 0; bit < 8 * MESSAGE_HEADER_BYTES; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(message_header_decode(&back, bytes, sizeof bytes, &err),
				     STATUS_OK);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_decode_rejects_any_other_length(void **state)
{
	(void)state;
	struct message_header header = example(), back;
	uint8_t bytes[MESSAGE_HEADER_BYTES + 1] = {0};
	struct error err;
	message_header_encode(&header, bytes);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		if (n != MESSAGE_HEADER_BYTES)
			assert_int_not_equal(message_header_decode(&back, bytes, n, &err),
					     STATUS_OK);
	}
	assert_string_equal(err.text, "message header: 65 bytes, expected 64");
}

/* A sealed header with one byte set to a value. */
static void expect_refused(int at, uint8_t value, const char *sentence)
{
	struct message_header header = example(), back;
	uint8_t bytes[MESSAGE_HEADER_BYTES];
	struct error err;
	message_header_encode(&header, bytes);
	bytes[at] = value;
	seal(bytes);
	assert_int_not_equal(message_header_decode(&back, bytes, sizeof bytes, &err), STATUS_OK);
	assert_non_null(strstr(err.text, sentence));
}

static void test_decode_names_the_bad_field(void **state)
{
	(void)state;
	expect_refused(0, 'X', "magic");
	expect_refused(4, 2, "version is 2, expected 1");
	expect_refused(6, 0, "type is 0, expected 1 to 6");
	expect_refused(6, MESSAGE_TYPES, "type is 7, expected 1 to 6");
	expect_refused(15, 0x80, "step is -");
	expect_refused(31, 0x80, "bytes of payload");
	expect_refused(59, 1, "not zero");
}

static void test_check_payload_rejects_damage(void **state)
{
	(void)state;
	struct message_header header = example();
	struct error err;
	char damaged[sizeof payload];
	memcpy(damaged, payload, sizeof payload);
	damaged[7] ^= 1;
	assert_int_not_equal(message_check_payload(&header, damaged, sizeof damaged, &err),
			     STATUS_OK);
	assert_non_null(strstr(err.text, "message weights of step"));
	assert_int_not_equal(message_check_payload(&header, payload, sizeof payload - 1, &err),
			     STATUS_OK);
}

static void test_every_type_has_a_name(void **state)
{
	(void)state;
	for (int type = MESSAGE_PROMPTS; type < MESSAGE_TYPES; type++)
		assert_non_null(message_type_name((enum message_type)type));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode_writes_the_layout_of_the_comment),
		cmocka_unit_test(test_decode_gives_back_what_was_encoded),
		cmocka_unit_test(test_decode_rejects_every_flipped_bit),
		cmocka_unit_test(test_decode_rejects_any_other_length),
		cmocka_unit_test(test_decode_names_the_bad_field),
		cmocka_unit_test(test_check_payload_rejects_damage),
		cmocka_unit_test(test_every_type_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A message's header, little-endian, in natural alignment:
 *
 *     0  magic "RLHM"      4  version     6  type
 *     8  step             16  sequence   24  payload bytes
 *    32  payload CRC-32C  36  zeros      60  CRC-32C of bytes 0 to 59 */
#include "proto/message.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "common/base/hash.h"

enum {
	MAGIC = 0x4d484c52, /* "RLHM" */
	VERSION = 1,
};

/* A policy of 10^11 floats; more is damage. */
static const uint64_t MOST_PAYLOAD_BYTES = UINT64_C(4) * 100000000000;

struct header_bytes {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	int64_t step;
	uint64_t sequence;
	uint64_t payload_bytes;
	uint32_t payload_checksum;
	uint32_t zeros[6];
	uint32_t checksum;
};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "messages are little-endian");
_Static_assert(sizeof(struct header_bytes) == MESSAGE_HEADER_BYTES, "size");
_Static_assert(offsetof(struct header_bytes, version) == 4, "offset");
_Static_assert(offsetof(struct header_bytes, type) == 6, "offset");
_Static_assert(offsetof(struct header_bytes, step) == 8, "offset");
_Static_assert(offsetof(struct header_bytes, sequence) == 16, "offset");
_Static_assert(offsetof(struct header_bytes, payload_bytes) == 24, "offset");
_Static_assert(offsetof(struct header_bytes, payload_checksum) == 32, "offset");
_Static_assert(offsetof(struct header_bytes, zeros) == 36, "offset");
_Static_assert(offsetof(struct header_bytes, checksum) == 60, "offset");

const char *message_type_name(enum message_type type)
{
	static const char *const names[MESSAGE_TYPES] = {
		[MESSAGE_PROMPTS] = "prompts",	 [MESSAGE_WEIGHTS] = "weights",
		[MESSAGE_ROLLOUTS] = "rollouts", [MESSAGE_SCORED] = "scored",
		[MESSAGE_TRAIN] = "train",	 [MESSAGE_STOP] = "stop",
	};
	return names[type];
}

void message_header_encode(const struct message_header *header, uint8_t bytes[MESSAGE_HEADER_BYTES])
{
	struct header_bytes wire = {
		.magic = MAGIC,
		.version = VERSION,
		.type = (uint16_t)header->type,
		.step = header->step,
		.sequence = header->sequence,
		.payload_bytes = header->payload_bytes,
		.payload_checksum = header->payload_checksum,
	};
	wire.checksum = crc32c(0, &wire, offsetof(struct header_bytes, checksum));
	memcpy(bytes, &wire, sizeof wire);
}

static enum status check_header(const struct header_bytes *wire, struct error *err)
{
	if (wire->magic != MAGIC)
		return error_set(err, STATUS_FAILED,
				 "message header: magic is %08" PRIx32 ", expected %08x",
				 wire->magic, MAGIC);
	if (wire->version != VERSION)
		return error_set(err, STATUS_FAILED, "message header: version is %u, expected %d",
				 wire->version, VERSION);
	uint32_t checksum = crc32c(0, wire, offsetof(struct header_bytes, checksum));
	if (wire->checksum != checksum)
		return error_set(err, STATUS_FAILED,
				 "message header: checksum is %08" PRIx32 ", expected %08" PRIx32,
				 wire->checksum, checksum);
	if (wire->type < MESSAGE_PROMPTS || wire->type >= MESSAGE_TYPES)
		return error_set(err, STATUS_FAILED, "message header: type is %u, expected 1 to %d",
				 wire->type, MESSAGE_TYPES - 1);
	if (wire->step < 0)
		return error_set(err, STATUS_FAILED,
				 "message header: step is %" PRId64 ", expected 0 or more",
				 wire->step);
	if (wire->payload_bytes > MOST_PAYLOAD_BYTES)
		return error_set(err, STATUS_FAILED,
				 "message header: %" PRIu64
				 " bytes of payload, expected at most %" PRIu64,
				 wire->payload_bytes, MOST_PAYLOAD_BYTES);
	for (size_t i = 0; i < sizeof wire->zeros / sizeof wire->zeros[0]; i++) {
		if (wire->zeros[i] != 0)
			return error_set(err, STATUS_FAILED,
					 "message header: bytes 36 to 59 are not zero");
	}
	return STATUS_OK;
}

enum status message_header_decode(struct message_header *header, const void *bytes, size_t n,
				  struct error *err)
{
	*header = (struct message_header){0};
	if (n != MESSAGE_HEADER_BYTES)
		return error_set(err, STATUS_FAILED, "message header: %zu bytes, expected %d", n,
				 MESSAGE_HEADER_BYTES);
	struct header_bytes wire;
	memcpy(&wire, bytes, sizeof wire);
	enum status status = check_header(&wire, err);
	if (status != STATUS_OK)
		return status;
	*header = (struct message_header){
		.type = (enum message_type)wire.type,
		.step = wire.step,
		.sequence = wire.sequence,
		.payload_bytes = wire.payload_bytes,
		.payload_checksum = wire.payload_checksum,
	};
	return STATUS_OK;
}

enum status message_check_payload(const struct message_header *header, const void *payload,
				  size_t n, struct error *err)
{
	const char *type = message_type_name(header->type);
	if (n != header->payload_bytes)
		return error_set(err, STATUS_FAILED,
				 "message %s of step %" PRId64 ": %zu bytes of payload, expected "
				 "%" PRIu64,
				 type, header->step, n, header->payload_bytes);
	uint32_t checksum = crc32c(0, payload, n);
	if (checksum != header->payload_checksum)
		return error_set(err, STATUS_FAILED,
				 "message %s of step %" PRId64 ": checksum of the payload is "
				 "%08" PRIx32 ", expected %08" PRIx32,
				 type, header->step, checksum, header->payload_checksum);
	return STATUS_OK;
}

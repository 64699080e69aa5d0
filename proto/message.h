/* The 64-byte header of a message.  Bytes only, no communication. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

enum message_type {
	MESSAGE_PROMPTS = 1,  /* learner -> actor: rollouts without completions */
	MESSAGE_WEIGHTS = 2,  /* learner -> actor: a version of the policy, floats */
	MESSAGE_ROLLOUTS = 3, /* actor -> reward */
	MESSAGE_SCORED = 4,   /* reward -> learner */
	MESSAGE_TRAIN = 5,    /* lead learner -> other learners: the sorted batch */
	MESSAGE_STOP = 6,     /* lead learner -> everyone: leave */
	MESSAGE_TYPES
};
const char *message_type_name(enum message_type type); /* "weights" */

enum { MESSAGE_HEADER_BYTES = 64 };

struct message_header {
	enum message_type type;
	int64_t step;		   /* iteration, or the weights' version; >= 0 */
	uint64_t sequence;	   /* of this sender to this receiver, from 0 */
	uint64_t payload_bytes;	   /* that follow */
	uint32_t payload_checksum; /* CRC-32C */
};
void message_header_encode(const struct message_header *header,
			   uint8_t bytes[MESSAGE_HEADER_BYTES]);
/* n: bytes there are.  Refuses all that encode does not write. */
enum status message_header_decode(struct message_header *header, const void *bytes, size_t n,
				  struct error *err);
/* Compares length and checksum of a payload with its header. */
enum status message_check_payload(const struct message_header *header, const void *payload,
				  size_t n, struct error *err);

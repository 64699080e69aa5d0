/* A message's header, payload check and rollouts, on any bytes.  What decodes must
 * encode to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "proto/message.h"
#include "proto/rollout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_header(const uint8_t *data, size_t size)
{
	size_t n = size < MESSAGE_HEADER_BYTES ? size : MESSAGE_HEADER_BYTES;
	struct message_header header;
	struct error err;
	if (message_header_decode(&header, data, n, &err) != STATUS_OK)
		return;
	uint8_t again[MESSAGE_HEADER_BYTES];
	message_header_encode(&header, again);
	if (memcmp(again, data, sizeof again) != 0)
		abort();
	(void)message_check_payload(&header, data + n, size - n, &err);
}

static void try_rollouts(const uint8_t *data, size_t size)
{
	struct rollouts list;
	struct error err;
	if (rollouts_decode(&list, data, size, &err) != STATUS_OK)
		return;
	struct buf again = BUF_INIT;
	rollouts_encode(&list, &again);
	if (again.length != size || memcmp(again.data, data, size) != 0)
		abort();
	buf_release(&again);
	rollouts_sort(&list);
	rollouts_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_header(data, size);
	try_rollouts(data, size);
	if (size > MESSAGE_HEADER_BYTES)
		try_rollouts(data + MESSAGE_HEADER_BYTES, size - MESSAGE_HEADER_BYTES);
	return 0;
}

/* Any bytes as JSON: what parses prints, and the print parses to the same print. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err;
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct json *root = json_parse((const char *)data, size, "input", &err), *again;

	if (!root)
		return 0;
	json_print(root, false, &once);
	again = json_parse(once.data, once.length, "print", &err);
	if (!again)
		abort();
	json_print(again, false, &twice);
	if (twice.length != once.length || memcmp(once.data, twice.data, once.length) != 0)
		abort();
	json_free(root);
	json_free(again);
	buf_release(&once);
	buf_release(&twice);
	return 0;
}

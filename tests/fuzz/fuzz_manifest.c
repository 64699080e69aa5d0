/* Any bytes as the MANIFEST.json of a checkpoint of two files: verified, or refused
 * with a sentence that names it. */
#include <stdint.h>
#include <string.h>

#include "learner/checkpoint.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *dir;
	struct error err = {""};

	if (!dir) {
		dir = scratch_make("step-00000001");
		scratch_write(dir, "state.json", "{}", 2);
		scratch_write(dir, "empty", "", 0);
	}
	scratch_write(dir, "MANIFEST.json", data, size);
	if (checkpoint_verify(dir, &err) != STATUS_OK && strncmp(err.text, dir, strlen(dir)) != 0)
		abort();
	return 0;
}

/* Runs a fuzz target over files: the main of each tests/fuzz/fuzz_X program.
 *
 *     fuzz_X CORPUS...      each CORPUS a file or a folder of files
 *
 * The target must return on every input; crashes and sanitizer reports end the
 * process.  Exit 0 when every file was run, 1 when there was none. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/die.h"
#include "common/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_BYTES = 64 << 20 };

/* The bytes are copied to a block of exactly their size, so that a read past
 * the end is seen by AddressSanitizer. */
static void run_file(const char *path)
{
	struct buf bytes = BUF_INIT;
	struct error err;
	uint8_t *exact;

	if (file_read(path, MAX_BYTES, &bytes, &err) != STATUS_OK)
		die("%s", err.text);
	exact = xmalloc(bytes.length);
	for (size_t i = 0; i < bytes.length; i++)
		exact[i] = (uint8_t)bytes.data[i];
	LLVMFuzzerTestOneInput(exact, bytes.length);
	free(exact);
	buf_release(&bytes);
}

static int run_folder(const char *dir)
{
	char **names;
	size_t n;
	struct error err;

	if (file_list(dir, &names, &n, &err) != STATUS_OK)
		die("%s", err.text);
	for (size_t i = 0; i < n; i++) {
		char *path = path_join(dir, names[i]);
		run_file(path);
		free(path);
		free(names[i]);
	}
	free(names);
	return (int)n;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		if (file_is_dir(argv[i])) {
			n += run_folder(argv[i]);
		} else {
			run_file(argv[i]);
			n++;
		}
	}
	printf("%d inputs\n", n);
	return n > 0 ? 0 : 1;
}

/* Any bytes as a safetensors file: what opens lies within the file, covers its data
 * exactly, and every value can be read. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
/* libFuzzer's; there is none where files are replayed. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));

/* Mostly changes the header alone and makes its length agree: a change anywhere would
 * almost always be refused for its length. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	size_t header = 0, rest, changed;
	uint8_t *tail;

	if (size < 8 || seed % 8 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	for (int i = 7; i >= 0; i--)
		header = header << 8 | data[i];
	if (header > size - 8)
		header = size - 8;
	rest = size - 8 - header;
	tail = xmalloc(rest + 1);
	memcpy(tail, data + 8 + header, rest);
	changed = LLVMFuzzerMutate(data + 8, header, max_size - 8 - rest);
	memcpy(data + 8 + changed, tail, rest);
	for (int i = 0; i < 8; i++)
		data[i] = (uint8_t)(changed >> (8 * i));
	free(tail);
	return 8 + changed + rest;
}

static void check(const struct safetensors *file)
{
	uint64_t next = file->n ? file->tensors[0].at : file->bytes;
	struct error err;

	for (size_t i = 0; i < file->n; i++) {
		const struct tensor_view *view = &file->tensors[i];
		float *values;

		if (view->at != next)
			abort();
		next += view->bytes;
		if (view->dtype == DTYPE_OTHER)
			continue;
		values = xmalloc(view->n_elements * sizeof *values);
		if (tensor_read(view, 0, view->n_elements, values, &err) != STATUS_OK)
			abort();
		free(values);
	}
	if (next != file->bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	char path[40];
	struct safetensors file;
	struct error err = {""};

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (fd < 0 || file_write_at(fd, data, size, 0, path, &err) != STATUS_OK)
		die("no memory for the input");
	if (safetensors_open(&file, path, &err) == STATUS_OK) {
		check(&file);
		safetensors_close(&file);
	} else if (strncmp(err.text, path, strlen(path)) != 0) {
		abort();
	}
	close(fd);
	return 0;
}

/* The safetensors file format: reading with every bound checked, and writing.
 *
 * Byte layout: 8 bytes little-endian N; N bytes of JSON header; the data, to the
 * end of the file without holes.  Checks are those of the reference
 * implementation, and duplicate names are refused too. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/file.h"
#include "common/base/status.h"

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_OTHER };

struct tensor_view {
	const char *name;    /* borrowed from the file object */
	char dtype_name[16]; /* as written: "F32" */
	enum dtype dtype;
	int rank;
	int64_t shape[8];
	const uint8_t *data; /* not aligned */
	size_t bytes;
	size_t n_elements;
};

struct safetensors {
	char *path;
	struct file_map map;
	struct json *header;
	struct tensor_view *tensors;	    /* in the order of their data */
	const struct tensor_view **by_name; /* sorted */
	size_t n;
};

enum status safetensors_open(struct safetensors *file, const char *path, struct error *err);
void safetensors_close(struct safetensors *file);
const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name);
/* Elements [first, first + n) as floats.  F32, F16, BF16, F64. */
void tensor_to_float(const struct tensor_view *tensor, size_t first, size_t n, float *out);

/* Writing: describe all tensors, then write the data in any order, from any
 * process.  Layout as the reference writer's: by dtype alignment, then by name. */
struct tensor_spec {
	const char *name;
	int rank;
	int64_t shape[8];
	enum dtype dtype; /* DTYPE_F32 or DTYPE_BF16 */
	uint64_t offset;  /* out: first byte in the file */
	uint64_t bytes;	  /* out */
};
/* Sorts specs into file order, fills offset and bytes, and appends the 8 + N
 * bytes of length and header to out.  *file_bytes: the whole file's size. */
void safetensors_plan(struct tensor_spec *specs, size_t n, struct buf *header,
		      uint64_t *file_bytes);

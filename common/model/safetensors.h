/* The safetensors file format: reading with every bound checked, and writing.
 *
 * Byte layout: 8 bytes little-endian N; N bytes of JSON header; the data, to the
 * end of the file without holes.  Checks are those of the reference
 * implementation, and duplicate names are refused too.  Data are read when they
 * are asked for and never mapped, so that a file that another program cuts is an
 * error and not a signal. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/model/dtype.h"

/* A tensor of an open file. */
struct tensor_view {
	const char *name, *path; /* borrowed from the file object, as fd is */
	char dtype_name[16];	 /* as written: "F32" */
	enum dtype dtype;
	int rank;
	int64_t shape[8];
	int fd;
	uint64_t at; /* its first byte in the file */
	size_t bytes;
	size_t n_elements;
};

struct safetensors {
	char *path;
	int fd;
	uint64_t bytes; /* the whole file's size */
	struct json *header;
	struct tensor_view *tensors;	    /* in the order of their data */
	const struct tensor_view **by_name; /* sorted */
	size_t n;
};

enum status safetensors_open(struct safetensors *file, const char *path, struct error *err);
void safetensors_close(struct safetensors *file);
const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name);
/* Elements [first, first + n) as floats; not of DTYPE_OTHER.  Fails if the file has become
 * shorter since it was opened. */
enum status tensor_read(const struct tensor_view *tensor, size_t first, size_t n, float *out,
			struct error *err);
/* All bytes of a tensor, as stored. */
enum status tensor_read_bytes(const struct tensor_view *tensor, void *out, struct error *err);

/* Writing: describe all tensors, then write the data in any order, from any
 * process.  Layout as the reference writer's: by dtype alignment, then by name. */
struct tensor_spec {
	const char *name;
	int rank;
	int64_t shape[8];
	enum dtype dtype; /* not DTYPE_OTHER */
	uint64_t offset;  /* out: first byte in the file */
	uint64_t bytes;	  /* out */
};
/* Sorts specs into file order, fills offset and bytes, and appends the 8 + N
 * bytes of length and header to out.  *file_bytes: the whole file's size. */
void safetensors_plan(struct tensor_spec *specs, size_t n, struct buf *header,
		      uint64_t *file_bytes);

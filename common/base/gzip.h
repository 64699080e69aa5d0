/* Data files that may be compressed: known by their first bytes, never by their name. */
#pragma once

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* Replaces gzip data (RFC 1952), any number of members, by what is in it; anything else
 * stays as it is.  path is for the error: data that ends early, a wrong checksum or
 * length, and bytes behind the last member are refused, and data then holds nothing. */
enum status gzip_expand(struct buf *data, const char *path, struct error *err);
/* file_read() of a file that may be compressed, into an empty buffer; max_bytes bounds
 * the file, not what is in it. */
enum status gzip_read(const char *path, size_t max_bytes, struct buf *out, struct error *err);

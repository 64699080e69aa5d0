/* The only file that knows zlib, which checks each member's CRC-32 and length. */
#include "common/base/gzip.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "common/base/die.h"
#include "common/base/file.h"

/* Window bits of inflate: the largest window, and gzip's header and trailer. */
enum { GZIP_WINDOW = 15 + 16, CHUNK_BYTES = 1 << 16 };

static bool is_gzip(const struct buf *data)
{
	return data->length >= 2 && memcmp(data->data, "\x1f\x8b", 2) == 0;
}

/* Decompresses what there is room for; zlib counts in unsigned int. */
static int inflate_some(z_stream *stream, const struct buf *in, size_t *at, struct buf *out)
{
	size_t left = in->length - *at;
	int result;

	buf_reserve(out, CHUNK_BYTES);
	stream->next_in = (unsigned char *)in->data + *at;
	stream->avail_in = left < UINT_MAX ? (unsigned)left : UINT_MAX;
	stream->next_out = (unsigned char *)out->data + out->length;
	stream->avail_out = CHUNK_BYTES;
	result = inflate(stream, Z_NO_FLUSH);
	if (result == Z_MEM_ERROR || result == Z_STREAM_ERROR)
		die("zlib: error %d", result);
	*at = (size_t)((char *)stream->next_in - in->data);
	out->length += CHUNK_BYTES - stream->avail_out;
	out->data[out->length] = '\0';
	return result;
}

static enum status expand_all(z_stream *stream, const struct buf *in, const char *path,
			      struct buf *out, struct error *err)
{
	size_t at = 0, member = 0;
	int result = Z_OK;

	while (result == Z_OK || at < in->length) {
		if (result == Z_STREAM_END) {
			member = at;
			inflateReset(stream);
		}
		result = inflate_some(stream, in, &at, out);
		if (result == Z_BUF_ERROR)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: gzip data that ends early, after %zu bytes, expected "
					 "the rest of it",
					 path, in->length);
		if (result != Z_OK && result != Z_STREAM_END)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: damaged gzip data, in the part that begins at byte "
					 "%zu: %s",
					 path, member, stream->msg ? stream->msg : "no reason");
	}
	return STATUS_OK;
}

enum status gzip_expand(struct buf *data, const char *path, struct error *err)
{
	struct buf out = BUF_INIT;
	z_stream stream = {0};
	enum status status;

	if (!is_gzip(data))
		return STATUS_OK;
	if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
		die("zlib %s does not start", zlibVersion());
	status = expand_all(&stream, data, path, &out, err);
	inflateEnd(&stream);
	buf_release(data);
	if (status == STATUS_OK)
		*data = out;
	else
		buf_release(&out);
	return status;
}

enum status gzip_read(const char *path, size_t max_bytes, struct buf *out, struct error *err)
{
	enum status status = file_read(path, max_bytes, out, err);

	return status == STATUS_OK ? gzip_expand(out, path, err) : status;
}

/* An event file is a list of records; little-endian, the CRC-32Cs masked:
 *
 *     u64 length | u32 crc of length | length bytes | u32 crc of the bytes
 *
 * The bytes are a protocol buffer, of which these fields are used:
 *
 *     Event       1 double wall_time   2 int64 step   3 string file_version
 *                 5 Summary            7 SessionLog
 *     Summary     1 Value, repeated
 *     Value       1 string tag         2 float simple_value
 *     SessionLog  1 enum status, START = 1 */
#include "common/run/events.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/log.h"

enum wire_type { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };

static void put_fixed(struct buf *out, uint64_t value, int n_bytes)
{
	for (int i = 0; i < n_bytes; i++)
		buf_append_char(out, (char)(value >> 8 * i));
}

static void put_varint(struct buf *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		buf_append_char(out, (char)(value | 0x80));
	buf_append_char(out, (char)value);
}

static void put_key(struct buf *out, unsigned field, enum wire_type type)
{
	put_varint(out, field << 3 | type);
}

static void put_double(struct buf *out, unsigned field, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	put_key(out, field, WIRE_FIXED64);
	put_fixed(out, bits, 8);
}

static void put_float(struct buf *out, unsigned field, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	put_key(out, field, WIRE_FIXED32);
	put_fixed(out, bits, 4);
}

static void put_integer(struct buf *out, unsigned field, int64_t value)
{
	put_key(out, field, WIRE_VARINT);
	put_varint(out, (uint64_t)value);
}

static void put_bytes(struct buf *out, unsigned field, const char *bytes, size_t n)
{
	put_key(out, field, WIRE_BYTES);
	put_varint(out, n);
	buf_append(out, bytes, n);
}

static uint32_t masked_crc(const char *bytes, size_t n)
{
	uint32_t crc = crc32c(0, bytes, n);

	return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static void write_record(struct event_log *log, const struct buf *event)
{
	struct buf record = BUF_INIT;
	struct error err;

	put_fixed(&record, event->length, 8);
	put_fixed(&record, masked_crc(record.data, 8), 4);
	buf_append(&record, event->data, event->length);
	put_fixed(&record, masked_crc(event->data, event->length), 4);
	if (file_write_at(log->fd, record.data, record.length, log->bytes, log->path, &err) ==
	    STATUS_OK) {
		log->bytes += record.length;
	} else {
		log_warn("%s; the file for TensorBoard ends here", err.text);
		event_log_close(log);
	}
	buf_release(&record);
}

static void write_beginning(struct event_log *log, double wall_time, int64_t first_step)
{
	static const char version[] = "brain.Event:2";
	struct buf event = BUF_INIT, session = BUF_INIT;

	put_double(&event, 1, wall_time);
	put_bytes(&event, 3, version, sizeof version - 1);
	write_record(log, &event);

	buf_reset(&event);
	put_integer(&session, 1, 1);
	put_double(&event, 1, wall_time);
	put_integer(&event, 2, first_step);
	put_bytes(&event, 7, session.data, session.length);
	if (log->path)
		write_record(log, &event);
	buf_release(&session);
	buf_release(&event);
}

void event_log_open(struct event_log *log, const char *run_path)
{
	*log = (struct event_log){.directory = path_join(run_path, "tensorboard"), .fd = -1};
}

static void create_file(struct event_log *log, int64_t first_step)
{
	char host[128] = "localhost";
	struct buf name = BUF_INIT;
	struct timespec now;
	struct error err;

	clock_gettime(CLOCK_REALTIME, &now);
	gethostname(host, sizeof host - 1);
	buf_printf(&name, "events.out.tfevents.%010jd.%09ld.%s", (intmax_t)now.tv_sec, now.tv_nsec,
		   host);
	log->path = path_join(log->directory, name.data);
	if (file_make_dirs(log->directory, &err) == STATUS_OK)
		log->fd = open(log->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (log->fd >= 0) {
		write_beginning(log, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec, first_step);
	} else {
		log_warn("%s: cannot write a file for TensorBoard there", log->directory);
		event_log_close(log);
	}
	buf_release(&name);
}

/* One Summary of all numbers of a line. */
static void put_scalars(struct buf *summary, const struct json *line)
{
	struct buf value = BUF_INIT;

	for (const struct json *at = json_first(line); at; at = json_next(at)) {
		const char *name = json_key(at);

		if (json_type(at) != JSON_NUMBER || strcmp(name, "step") == 0 ||
		    strcmp(name, "time/unix") == 0)
			continue;
		buf_reset(&value);
		put_bytes(&value, 1, name, strlen(name));
		put_float(&value, 2, (float)json_number(at));
		put_bytes(summary, 1, value.data, value.length);
	}
	buf_release(&value);
}

void event_log_append(struct event_log *log, const char *line, size_t n)
{
	struct json *metrics = log->directory ? json_parse(line, n, "metrics", NULL) : NULL;
	const struct json *time = json_get(metrics, "time/unix");
	const struct json *number = json_get(metrics, "step");
	struct buf event = BUF_INIT, summary = BUF_INIT;
	int64_t step;

	if (!time || !number || !json_int64(number, &step))
		goto done;
	if (!log->path)
		create_file(log, step);
	if (!log->path)
		goto done;
	put_scalars(&summary, metrics);
	put_double(&event, 1, json_number(time));
	put_integer(&event, 2, step);
	put_bytes(&event, 5, summary.data, summary.length);
	write_record(log, &event);
done:
	buf_release(&summary);
	buf_release(&event);
	json_free(metrics);
}

void event_log_close(struct event_log *log)
{
	if (log->path && log->fd >= 0)
		close(log->fd);
	free(log->path);
	free(log->directory);
	*log = (struct event_log){.fd = -1};
}

/* Rollouts as bytes, little-endian:
 *
 *     list     magic "RLHR" (4), version (4), number of rollouts (8)
 *     rollout  fixed part (64), ids [n_prompt + n_completion] int32,
 *              logprob [n_completion] float if flag 1,
 *              ref_logprob [n_completion] float if flag 2
 *
 * without gaps.  Encoding is one to one: bytes that decode encode to the same. */
#include "proto/rollout.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"

enum {
	MAGIC = 0x52484c52, /* "RLHR" */
	VERSION = 2,
	HAS_LOGPROB = 1,
	HAS_REF_LOGPROB = 2,
};

struct list_bytes {
	uint32_t magic;
	uint32_t version;
	uint64_t n;
};
_Static_assert(sizeof(struct list_bytes) == 16, "size");
_Static_assert(offsetof(struct list_bytes, n) == 8, "offset");

struct rollout_bytes {
	int64_t step;
	int64_t prompt_index;
	int64_t weights_version;
	int32_t row;
	int32_t sample;
	int32_t n_prompt;
	int32_t n_completion;
	int32_t finish;
	int32_t judged;
	float score;
	uint32_t flags;
	int64_t payload_bytes; /* of the arrays that follow */
};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rollouts are little-endian");
_Static_assert(sizeof(struct rollout_bytes) == 64, "size");
_Static_assert(offsetof(struct rollout_bytes, row) == 24, "offset");
_Static_assert(offsetof(struct rollout_bytes, n_prompt) == 32, "offset");
_Static_assert(offsetof(struct rollout_bytes, finish) == 40, "offset");
_Static_assert(offsetof(struct rollout_bytes, score) == 48, "offset");
_Static_assert(offsetof(struct rollout_bytes, flags) == 52, "offset");
_Static_assert(offsetof(struct rollout_bytes, payload_bytes) == 56, "offset");

void rollout_release(struct rollout *rollout)
{
	free(rollout->ids);
	free(rollout->logprob);
	free(rollout->ref_logprob);
	*rollout = (struct rollout){0};
}

void rollouts_push(struct rollouts *list, struct rollout *rollout)
{
	if (list->n == list->capacity) {
		list->capacity = list->capacity ? 2 * list->capacity : 16;
		list->items = xrealloc(list->items, list->capacity, sizeof *list->items);
	}
	list->items[list->n++] = *rollout;
	*rollout = (struct rollout){0};
}

void rollouts_release(struct rollouts *list)
{
	for (size_t i = 0; i < list->n; i++)
		rollout_release(&list->items[i]);
	free(list->items);
	*list = (struct rollouts){0};
}

static int compare_rows(const void *left, const void *right)
{
	const struct rollout *a = left, *b = right;
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	return (a->sample > b->sample) - (a->sample < b->sample);
}

void rollouts_sort(struct rollouts *list)
{
	if (list->n > 1)
		qsort(list->items, list->n, sizeof *list->items, compare_rows);
}

static int64_t payload_bytes(int64_t n_prompt, int64_t n_completion, uint32_t flags)
{
	int64_t arrays = 1 + ((flags & HAS_LOGPROB) != 0) + ((flags & HAS_REF_LOGPROB) != 0);
	return 4 * (n_prompt + arrays * n_completion);
}

static void encode_one(const struct rollout *rollout, struct buf *out)
{
	uint32_t flags = 0;
	if (rollout->logprob != NULL)
		flags |= HAS_LOGPROB;
	if (rollout->ref_logprob != NULL)
		flags |= HAS_REF_LOGPROB;
	size_t n_completion = (size_t)rollout->n_completion;
	size_t n_ids = (size_t)rollout->n_prompt + n_completion;
	struct rollout_bytes fixed = {
		.step = rollout->step,
		.prompt_index = rollout->prompt_index,
		.weights_version = rollout->weights_version,
		.row = rollout->row,
		.sample = rollout->sample,
		.n_prompt = rollout->n_prompt,
		.n_completion = rollout->n_completion,
		.finish = rollout->finish,
		.judged = rollout->judged,
		.score = rollout->score,
		.flags = flags,
		.payload_bytes = payload_bytes(rollout->n_prompt, rollout->n_completion, flags),
	};
	buf_append(out, &fixed, sizeof fixed);
	buf_append(out, rollout->ids, n_ids * sizeof *rollout->ids);
	if (flags & HAS_LOGPROB)
		buf_append(out, rollout->logprob, n_completion * sizeof *rollout->logprob);
	if (flags & HAS_REF_LOGPROB)
		buf_append(out, rollout->ref_logprob, n_completion * sizeof *rollout->ref_logprob);
}

void rollouts_encode(const struct rollouts *list, struct buf *out)
{
	struct list_bytes head = {.magic = MAGIC, .version = VERSION, .n = list->n};
	buf_append(out, &head, sizeof head);
	for (size_t i = 0; i < list->n; i++)
		encode_one(&list->items[i], out);
}

/* What is left of the bytes being decoded. */
struct reader {
	const char *data;
	size_t left;
};

static bool read_bytes(struct reader *reader, void *to, size_t n)
{
	if (reader->left < n)
		return false;
	memcpy(to, reader->data, n);
	reader->data += n;
	reader->left -= n;
	return true;
}

static void *read_array(struct reader *reader, size_t n)
{
	void *array = xcalloc(n, 4);
	if (n > 0 && !read_bytes(reader, array, 4 * n))
		die("a rollout's arrays were not counted right");
	return array;
}

static enum status check_number(const char *name, int64_t value, int64_t least, int64_t most,
				struct error *err)
{
	if (value >= least && value <= most)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s is %" PRId64 ", expected %" PRId64 " to %" PRId64, name, value, least,
			 most);
}

static enum status check_fixed(const struct rollout_bytes *fixed, struct error *err)
{
	const struct {
		const char *name;
		int64_t value, most;
	} numbers[] = {
		{"step", fixed->step, INT64_MAX},
		{"prompt_index", fixed->prompt_index, INT64_MAX},
		{"weights_version", fixed->weights_version, INT64_MAX},
		{"row", fixed->row, INT32_MAX},
		{"sample", fixed->sample, INT32_MAX},
		{"n_prompt", fixed->n_prompt, INT32_MAX},
		{"n_completion", fixed->n_completion, INT32_MAX - (int64_t)fixed->n_prompt},
		{"finish", fixed->finish, FINISH_LENGTH},
		{"judged", fixed->judged, 1},
		{"flags", fixed->flags, HAS_LOGPROB | HAS_REF_LOGPROB},
	};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		enum status status =
			check_number(numbers[i].name, numbers[i].value, 0, numbers[i].most, err);
		if (status != STATUS_OK)
			return status;
	}
	int64_t bytes = payload_bytes(fixed->n_prompt, fixed->n_completion, fixed->flags);
	if (fixed->payload_bytes != bytes)
		return error_set(err, STATUS_BAD_INPUT,
				 "payload_bytes is %" PRId64 ", expected %" PRId64,
				 fixed->payload_bytes, bytes);
	bool is_complete = fixed->finish != 0;
	if (is_complete != (fixed->n_completion > 0) || (!is_complete && fixed->judged))
		return error_set(err, STATUS_BAD_INPUT,
				 "finish is %" PRId32 " and judged %" PRId32
				 ", which does not fit a completion of %" PRId32 " tokens",
				 fixed->finish, fixed->judged, fixed->n_completion);
	if (is_complete != ((fixed->flags & HAS_LOGPROB) != 0))
		return error_set(err, STATUS_BAD_INPUT,
				 "flags is %" PRIu32 ", which does not fit finish %" PRId32,
				 fixed->flags, fixed->finish);
	return STATUS_OK;
}

static enum status check_ids(const struct rollout *rollout, struct error *err)
{
	for (int32_t i = 0; i < rollout->n_prompt + rollout->n_completion; i++) {
		if (rollout->ids[i] < 0)
			return error_set(err, STATUS_BAD_INPUT,
					 "ids[%" PRId32 "] is %" PRId32 ", expected 0 or more", i,
					 rollout->ids[i]);
	}
	return STATUS_OK;
}

static enum status decode_one(struct reader *reader, struct rollout *rollout, struct error *err)
{
	struct rollout_bytes fixed;
	if (!read_bytes(reader, &fixed, sizeof fixed))
		return error_set(err, STATUS_BAD_INPUT, "%zu bytes left, expected %zu",
				 reader->left, sizeof fixed);
	enum status status = check_fixed(&fixed, err);
	if (status != STATUS_OK)
		return status;
	if ((uint64_t)fixed.payload_bytes > reader->left)
		return error_set(err, STATUS_BAD_INPUT, "%zu bytes left, expected %" PRId64,
				 reader->left, fixed.payload_bytes);
	*rollout = (struct rollout){
		.step = fixed.step,
		.row = fixed.row,
		.sample = fixed.sample,
		.prompt_index = fixed.prompt_index,
		.n_prompt = fixed.n_prompt,
		.n_completion = fixed.n_completion,
		.weights_version = fixed.weights_version,
		.finish = fixed.finish,
		.judged = fixed.judged,
		.score = fixed.score,
	};
	size_t n_completion = (size_t)fixed.n_completion;
	rollout->ids = read_array(reader, (size_t)fixed.n_prompt + n_completion);
	if (fixed.flags & HAS_LOGPROB)
		rollout->logprob = read_array(reader, n_completion);
	if (fixed.flags & HAS_REF_LOGPROB)
		rollout->ref_logprob = read_array(reader, n_completion);
	return check_ids(rollout, err);
}

static enum status decode_head(struct reader *reader, uint64_t *n, struct error *err)
{
	struct list_bytes head;
	size_t bytes = reader->left;
	if (!read_bytes(reader, &head, sizeof head))
		return error_set(err, STATUS_BAD_INPUT,
				 "rollouts: %zu bytes, expected at least %zu", bytes, sizeof head);
	if (head.magic != MAGIC || head.version != VERSION)
		return error_set(err, STATUS_BAD_INPUT,
				 "rollouts: magic %08" PRIx32 " and version %" PRIu32
				 ", expected %08x and %d",
				 head.magic, head.version, MAGIC, VERSION);
	if (head.n > reader->left / sizeof(struct rollout_bytes))
		return error_set(err, STATUS_BAD_INPUT,
				 "rollouts: %" PRIu64 " announced, but %zu bytes hold at most %zu",
				 head.n, reader->left, reader->left / sizeof(struct rollout_bytes));
	*n = head.n;
	return STATUS_OK;
}

enum status rollouts_decode(struct rollouts *list, const void *data, size_t n, struct error *err)
{
	*list = (struct rollouts){0};
	struct reader reader = {data, n};
	uint64_t announced = 0;
	enum status status = decode_head(&reader, &announced, err);
	if (status != STATUS_OK)
		return status;
	for (uint64_t i = 0; i < announced; i++) {
		struct rollout rollout = {0};
		status = decode_one(&reader, &rollout, err);
		if (status != STATUS_OK) {
			rollout_release(&rollout);
			error_prefix(err, status, "rollout %" PRIu64, i);
			goto done;
		}
		rollouts_push(list, &rollout);
	}
	if (reader.left > 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "rollouts: %zu bytes after the last one, expected none",
				   reader.left);
done:
	if (status != STATUS_OK)
		rollouts_release(list);
	return status;
}

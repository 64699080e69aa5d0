/* Reading and writing safetensors.
 *
 *     | 8 bytes N | N bytes of JSON, padded with spaces | data ... |
 *
 * Reading checks everything before a pointer is handed out: the entries, sorted by
 * their data, must tile the data exactly, and each must be as long as its shape and
 * type say.  All arithmetic on numbers of the file is checked. */
#include "common/model/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"

enum { MAX_HEADER_BYTES = 100000000, MAX_TENSORS = 1000000, MAX_RANK = 8, CHUNK = 1 << 16 };

/* Types in the reference's order of alignment, low to high, with bits an element. */
static const struct dtype_info {
	const char *name;
	int bits;
	enum dtype dtype;
} dtypes[] = {
	{"BOOL", 8, DTYPE_OTHER},	 {"F4", 4, DTYPE_OTHER},
	{"F6_E2M3", 6, DTYPE_OTHER},	 {"F6_E3M2", 6, DTYPE_OTHER},
	{"U8", 8, DTYPE_OTHER},		 {"I8", 8, DTYPE_OTHER},
	{"F8_E5M2", 8, DTYPE_OTHER},	 {"F8_E4M3", 8, DTYPE_OTHER},
	{"F8_E8M0", 8, DTYPE_OTHER},	 {"F8_E4M3FNUZ", 8, DTYPE_OTHER},
	{"F8_E5M2FNUZ", 8, DTYPE_OTHER}, {"I16", 16, DTYPE_OTHER},
	{"U16", 16, DTYPE_OTHER},	 {"F16", 16, DTYPE_F16},
	{"BF16", 16, DTYPE_BF16},	 {"I32", 32, DTYPE_OTHER},
	{"U32", 32, DTYPE_OTHER},	 {"F32", 32, DTYPE_F32},
	{"C64", 64, DTYPE_OTHER},	 {"F64", 64, DTYPE_F64},
	{"I64", 64, DTYPE_OTHER},	 {"U64", 64, DTYPE_OTHER},
};

static const struct dtype_info *find_dtype(const char *name)
{
	for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
		if (strcmp(dtypes[i].name, name) == 0)
			return &dtypes[i];
	return NULL;
}

/* --- reading --- */

static uint64_t little_endian_64(const uint8_t *bytes)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | bytes[i];
	return value;
}

static enum status read_shape(struct tensor_view *tensor, const struct json *shape,
			      const char *path, struct error *err)
{
	uint64_t product = 1;

	if (!shape || json_type(shape) != JSON_ARRAY || json_count(shape) > MAX_RANK)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%.100s\": shape is missing or not a list of at most "
				 "%d numbers",
				 path, tensor->name, MAX_RANK);
	for (const struct json *item = json_first(shape); item; item = json_next(item)) {
		int64_t n;

		if (!json_int64(item, &n) || n < 0)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: tensor \"%.100s\": a dimension is not a whole number "
					 "from 0",
					 path, tensor->name);
		if (__builtin_mul_overflow(product, (uint64_t)n, &product))
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: tensor \"%.100s\": the shape's product overflows",
					 path, tensor->name);
		tensor->shape[tensor->rank++] = n;
	}
	tensor->n_elements = product;
	return STATUS_OK;
}

/* Offsets within the data, still to be checked against the neighbours. */
static enum status read_offsets(struct tensor_view *tensor, const struct json *offsets,
				uint64_t data_bytes, int bits, const char *path, struct error *err)
{
	int64_t begin, end;
	uint64_t total;

	if (!offsets || json_type(offsets) != JSON_ARRAY || json_count(offsets) != 2 ||
	    !json_int64(json_at(offsets, 0), &begin) || !json_int64(json_at(offsets, 1), &end) ||
	    begin < 0 || end < begin || (uint64_t)end > data_bytes)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%.100s\": data_offsets are not two numbers in order "
				 "within the %" PRIu64 " bytes of data",
				 path, tensor->name, data_bytes);
	if (__builtin_mul_overflow((uint64_t)tensor->n_elements, (uint64_t)bits, &total) ||
	    total % 8 != 0 || total / 8 != (uint64_t)(end - begin))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%.100s\": %" PRId64
				 " bytes of data, its shape and type %s need another size",
				 path, tensor->name, end - begin, tensor->dtype_name);
	tensor->at = (uint64_t)begin;
	tensor->bytes = (size_t)(end - begin);
	return STATUS_OK;
}

static enum status read_tensor(struct tensor_view *tensor, const struct json *entry,
			       uint64_t data_bytes, const char *path, struct error *err)
{
	const struct json *type = json_get(entry, "dtype");
	const struct dtype_info *info;
	enum status status;

	*tensor = (struct tensor_view){.name = json_key(entry), .path = path};
	if (json_type(entry) != JSON_OBJECT || !type || json_type(type) != JSON_STRING)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%.100s\": not an object with a dtype", path,
				 tensor->name);
	info = find_dtype(json_string(type, NULL));
	if (!info)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%.100s\": unknown dtype \"%.40s\"", path,
				 tensor->name, json_string(type, NULL));
	tensor->dtype = info->dtype;
	snprintf(tensor->dtype_name, sizeof tensor->dtype_name, "%s", info->name);
	status = read_shape(tensor, json_get(entry, "shape"), path, err);
	if (status != STATUS_OK)
		return status;
	return read_offsets(tensor, json_get(entry, "data_offsets"), data_bytes, info->bits, path,
			    err);
}

static enum status check_metadata(const struct json *metadata, const char *path, struct error *err)
{
	if (json_type(metadata) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: __metadata__ is %s, expected an object", path,
				 json_type_name(metadata));
	for (const struct json *item = json_first(metadata); item; item = json_next(item))
		if (json_type(item) != JSON_STRING)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: __metadata__.%.100s is %s, expected a string", path,
					 json_key(item), json_type_name(item));
	return STATUS_OK;
}

static int compare_data(const void *a, const void *b)
{
	const struct tensor_view *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Sorted by data, the tensors must cover it without hole, overlap or rest. */
static enum status check_tiling(const struct safetensors *file, uint64_t data_bytes,
				struct error *err)
{
	uint64_t next = 0;

	for (size_t i = 0; i < file->n; i++) {
		if (file->tensors[i].at != next)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: tensor \"%.100s\" begins at byte %" PRIu64
					 " of the data, expected %" PRIu64 ": a hole or an overlap",
					 file->path, file->tensors[i].name, file->tensors[i].at,
					 next);
		next += file->tensors[i].bytes;
	}
	if (next != data_bytes)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the tensors end at byte %" PRIu64
				 " of the data, the file at %" PRIu64,
				 file->path, next, data_bytes);
	return STATUS_OK;
}

/* data_at: where the data begin in the file. */
static enum status read_entries(struct safetensors *file, uint64_t data_at, struct error *err)
{
	size_t n = json_count(file->header);
	uint64_t data_bytes = file->bytes - data_at;
	enum status status = STATUS_OK;

	if (n > MAX_TENSORS)
		return error_set(err, STATUS_BAD_INPUT, "%s: %zu tensors, at most %d are accepted",
				 file->path, n, MAX_TENSORS);
	file->tensors = xcalloc(n, sizeof *file->tensors);
	for (const struct json *entry = json_first(file->header); entry && status == STATUS_OK;
	     entry = json_next(entry)) {
		if (strcmp(json_key(entry), "__metadata__") == 0)
			status = check_metadata(entry, file->path, err);
		else
			status = read_tensor(&file->tensors[file->n++], entry, data_bytes,
					     file->path, err);
	}
	if (status != STATUS_OK)
		return status;
	if (file->n > 0)
		qsort(file->tensors, file->n, sizeof *file->tensors, compare_data);
	status = check_tiling(file, data_bytes, err);
	for (size_t i = 0; i < file->n; i++) {
		file->tensors[i].fd = file->fd;
		file->tensors[i].at += data_at;
	}
	return status;
}

/* The header's numbers are dimensions and offsets; 2.0 and 2e0 are refused as the
 * reference does, which the values alone would not show. */
static bool numbers_are_whole(const char *text, size_t n)
{
	bool in_string = false;

	for (size_t i = 0; i < n; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && i > 0 && text[i - 1] >= '0' && text[i - 1] <= '9' &&
			 (text[i] == '.' || text[i] == 'e' || text[i] == 'E'))
			return false;
	}
	return true;
}

static int compare_names(const void *a, const void *b)
{
	const struct tensor_view *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void sort_by_name(struct safetensors *file)
{
	file->by_name = xcalloc(file->n, sizeof *file->by_name);
	for (size_t i = 0; i < file->n; i++)
		file->by_name[i] = &file->tensors[i];
	if (file->n > 0)
		qsort(file->by_name, file->n, sizeof *file->by_name, compare_names);
}

static enum status parse_header(struct safetensors *file, const char *text, size_t n,
				struct error *err)
{
	file->header = json_parse(text, n, file->path, err);
	if (!file->header)
		return STATUS_BAD_INPUT;
	if (json_type(file->header) != JSON_OBJECT)
		return error_set(err, STATUS_BAD_INPUT, "%s: the header is %s, expected an object",
				 file->path, json_type_name(file->header));
	if (!numbers_are_whole(text, n))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the header has a number with a fraction or an exponent, "
				 "expected whole numbers",
				 file->path);
	return read_entries(file, 8 + n, err);
}

static enum status read_header(struct safetensors *file, struct error *err)
{
	uint8_t length[8];
	enum status status;
	uint64_t n;
	char *text;

	if (file->bytes < 8)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: %" PRIu64 " bytes are too few for a safetensors file",
				 file->path, file->bytes);
	status = file_read_at(file->fd, length, 8, 0, file->path, err);
	if (status != STATUS_OK)
		return status;
	n = little_endian_64(length);
	if (n > MAX_HEADER_BYTES || n > file->bytes - 8)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the header's length is %" PRIu64 ", the file has %" PRIu64
				 " bytes: it is damaged, or no safetensors",
				 file->path, n, file->bytes);
	text = xmalloc(n);
	status = file_read_at(file->fd, text, n, 8, file->path, err);
	if (status == STATUS_OK)
		status = parse_header(file, text, n, err);
	free(text);
	return status;
}

enum status safetensors_open(struct safetensors *file, const char *path, struct error *err)
{
	enum status status;

	*file = (struct safetensors){0};
	file->fd = file_open(path, &file->bytes, err);
	if (file->fd < 0)
		return STATUS_BAD_INPUT;
	file->path = xstrdup(path);
	status = read_header(file, err);
	if (status == STATUS_OK)
		sort_by_name(file);
	else
		safetensors_close(file);
	return status;
}

void safetensors_close(struct safetensors *file)
{
	if (!file->path)
		return;
	json_free(file->header);
	free(file->tensors);
	free(file->by_name);
	free(file->path);
	close(file->fd);
	*file = (struct safetensors){0};
}

const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name)
{
	const struct tensor_view wanted = {.name = name}, *key = &wanted;
	const struct tensor_view **found =
		file->n ? bsearch(&key, file->by_name, file->n, sizeof *found, compare_names)
			: NULL;

	return found ? *found : NULL;
}

/* --- values --- */

enum status tensor_read(const struct tensor_view *tensor, size_t first, size_t n, float *out,
			struct error *err)
{
	size_t size = dtype_bytes(tensor->dtype);
	uint8_t chunk[CHUNK];
	enum status status = STATUS_OK;

	ASSERT(first + n <= tensor->n_elements);
	if (tensor->dtype == DTYPE_F32)
		return file_read_at(tensor->fd, out, n * size, tensor->at + first * size,
				    tensor->path, err);
	for (size_t i = 0; i < n && status == STATUS_OK; i += CHUNK / size) {
		size_t count = n - i < CHUNK / size ? n - i : CHUNK / size;

		status = file_read_at(tensor->fd, chunk, count * size,
				      tensor->at + (first + i) * size, tensor->path, err);
		if (status == STATUS_OK)
			dtype_to_float(tensor->dtype, chunk, count, out + i);
	}
	return status;
}

enum status tensor_read_bytes(const struct tensor_view *tensor, void *out, struct error *err)
{
	return file_read_at(tensor->fd, out, tensor->bytes, tensor->at, tensor->path, err);
}

/* --- writing --- */

/* Place in the reference's order of alignment. */
static int alignment_of(enum dtype dtype)
{
	return (int)(find_dtype(dtype_name(dtype)) - dtypes);
}

/* The highest alignment first, then by name. */
static int compare_specs(const void *a, const void *b)
{
	const struct tensor_spec *x = a, *y = b;

	if (x->dtype != y->dtype)
		return alignment_of(y->dtype) - alignment_of(x->dtype);
	return strcmp(x->name, y->name);
}

static void print_entry(const struct tensor_spec *spec, uint64_t begin, struct buf *out)
{
	buf_append_char(out, ',');
	json_write_string(out, spec->name, strlen(spec->name));
	buf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(spec->dtype));
	for (int i = 0; i < spec->rank; i++)
		buf_printf(out, "%s%" PRId64, i ? "," : "", spec->shape[i]);
	buf_printf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin,
		   begin + spec->bytes);
}

void safetensors_plan(struct tensor_spec *specs, size_t n, struct buf *header, uint64_t *file_bytes)
{
	struct buf text = BUF_INIT;
	uint64_t at = 0, data_begin;

	qsort(specs, n, sizeof *specs, compare_specs);
	buf_append_string(&text, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (size_t i = 0; i < n; i++) {
		uint64_t elements = 1;

		for (int k = 0; k < specs[i].rank; k++)
			elements *= (uint64_t)specs[i].shape[k];
		specs[i].bytes = elements * dtype_bytes(specs[i].dtype);
		specs[i].offset = at;
		print_entry(&specs[i], at, &text);
		at += specs[i].bytes;
	}
	buf_append_char(&text, '}');
	while (text.length % 8 != 0)
		buf_append_char(&text, ' ');
	data_begin = 8 + text.length;
	for (size_t i = 0; i < n; i++)
		specs[i].offset += data_begin;
	for (int i = 0; i < 8; i++)
		buf_append_char(header, (char)(text.length >> (8 * i) & 0xff));
	buf_append(header, text.data, text.length);
	*file_bytes = data_begin + at;
	buf_release(&text);
}

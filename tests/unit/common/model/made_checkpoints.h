/* Checkpoint directories made for a test: the tensors of a good one are read into a list,
 * changed, and written again.  Each test has a fresh directory. */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/safetensors.h"
#include "tests/unit/common/model/golden_models.h"

enum { MAX_BYTES = 1 << 24 };

static char root[] = "/tmp/rlhf-test-checkpoint-XXXXXX";
static char dir[80];   /* a fresh directory for each test */
static char saved[80]; /* a name beside it */

static inline int make_root(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "%s/in", mkdtemp(root));
	snprintf(saved, sizeof saved, "%s/out", root);
	return 0;
}

static inline int remove_root(void **state)
{
	struct error err;

	(void)state;
	return file_remove_tree(root, &err) == STATUS_OK ? 0 : -1;
}

static inline int start_afresh(void **state)
{
	struct error err;

	(void)state;
	return file_remove_tree(dir, &err) == STATUS_OK &&
			       file_remove_tree(saved, &err) == STATUS_OK &&
			       file_make_dirs(dir, &err) == STATUS_OK
		       ? 0
		       : -1;
}

/* --- files --- */

static inline void read_bytes(const char *in, const char *name, struct buf *out)
{
	char *path = path_join(in, name);
	struct error err;

	*out = (struct buf)BUF_INIT;
	if (file_read(path, MAX_BYTES, out, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	free(path);
}

static inline void write_bytes(const char *in, const char *name, const void *bytes, size_t n)
{
	char *path = path_join(in, name);
	struct error err;

	if (file_replace(path, bytes, n, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	free(path);
}

static inline void write_text(const char *name, const char *text)
{
	write_bytes(dir, name, text, strlen(text));
}

static inline void copy(const char *model, const char *name)
{
	struct buf bytes;
	char from[200];

	snprintf(from, sizeof from, MODELS "%s", model);
	read_bytes(from, name, &bytes);
	write_bytes(dir, name, bytes.data, bytes.length);
	buf_release(&bytes);
}

static inline void assert_same_file(const char *a, const char *b, const char *name)
{
	struct buf x, y;

	read_bytes(a, name, &x);
	read_bytes(b, name, &y);
	if (x.length != y.length || memcmp(x.data, y.data, x.length) != 0)
		fail_msg("%s differs in %s and %s", name, a, b);
	buf_release(&x);
	buf_release(&y);
}

static inline void edit_config(const char *key, const char *value)
{
	struct buf text;
	struct error err;

	read_bytes(dir, "config.json", &text);
	assert_int_equal(json_edit(&text, key, value, &err), STATUS_OK);
	write_bytes(dir, "config.json", text.data, text.length);
	buf_release(&text);
}

/* --- tensors of a file, to be changed --- */

struct stored {
	char name[160], dtype[16];
	int rank;
	int64_t shape[8];
	struct buf bytes;
};
struct store {
	struct stored items[64];
	int n;
};

static inline void read_store(struct store *store, const char *model)
{
	char path[200];
	struct safetensors file;
	struct error err;

	snprintf(path, sizeof path, MODELS "%s/model.safetensors", model);
	assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
	*store = (struct store){.n = (int)file.n};
	for (size_t i = 0; i < file.n; i++) {
		const struct tensor_view *view = &file.tensors[i];
		struct stored *item = &store->items[i];

		snprintf(item->name, sizeof item->name, "%s", view->name);
		memcpy(item->dtype, view->dtype_name, sizeof item->dtype);
		item->rank = view->rank;
		memcpy(item->shape, view->shape, sizeof item->shape);
		buf_reserve(&item->bytes, view->bytes + 1);
		assert_int_equal(tensor_read_bytes(view, item->bytes.data, &err), STATUS_OK);
		item->bytes.length = view->bytes;
	}
	safetensors_close(&file);
}

static inline struct stored *stored(struct store *store, const char *name)
{
	for (int i = 0; i < store->n; i++)
		if (strcmp(store->items[i].name, name) == 0)
			return &store->items[i];
	fail_msg("no tensor %s", name);
	return NULL;
}

static inline void drop(struct store *store, const char *name)
{
	struct stored *item = stored(store, name);

	buf_release(&item->bytes);
	*item = store->items[--store->n];
}

static inline struct stored *append(struct store *store, const char *name, const char *dtype,
				    int rank, const int64_t *shape, const void *bytes, size_t n)
{
	struct stored *item = &store->items[store->n++];

	*item = (struct stored){.rank = rank};
	snprintf(item->name, sizeof item->name, "%s", name);
	snprintf(item->dtype, sizeof item->dtype, "%s", dtype);
	for (int i = 0; i < rank; i++)
		item->shape[i] = shape[i];
	buf_append(&item->bytes, bytes, n);
	return item;
}

static inline void write_store(struct store *store, const char *name)
{
	struct buf header = BUF_INIT, file = BUF_INIT;
	size_t at = 0;

	for (int i = 0; i < store->n; i++) {
		const struct stored *item = &store->items[i];

		buf_printf(&header, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? ',' : '{',
			   item->name, item->dtype);
		for (int k = 0; k < item->rank; k++)
			buf_printf(&header, "%s%" PRId64, k ? "," : "", item->shape[k]);
		buf_printf(&header, "],\"data_offsets\":[%zu,%zu]}", at, at + item->bytes.length);
		at += item->bytes.length;
	}
	buf_append_char(&header, '}');
	for (int i = 0; i < 8; i++)
		buf_append_char(&file, (char)(header.length >> (8 * i) & 0xff));
	buf_append(&file, header.data, header.length);
	for (int i = 0; i < store->n; i++)
		buf_append(&file, store->items[i].bytes.data, store->items[i].bytes.length);
	write_bytes(dir, name, file.data, file.length);
	buf_release(&header);
	buf_release(&file);
}

static inline void release_store(struct store *store)
{
	for (int i = 0; i < store->n; i++)
		buf_release(&store->items[i].bytes);
}

static inline void finish_store(struct store *store)
{
	write_store(store, "model.safetensors");
	release_store(store);
}

/* --- models --- */

static inline struct model *load(const char *from, enum head_kind head)
{
	struct hf_load_options options = {.head = head};
	struct model *model = NULL;
	struct error err = {""};

	if (hf_load(&model, from, &options, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return model;
}

static inline void assert_refused(enum head_kind head, const char *sentence)
{
	struct hf_load_options options = {.head = head};
	struct model *model = NULL;
	struct error err = {""};
	enum status status = hf_load(&model, dir, &options, NULL, &err);

	assert_null(model);
	if (status != STATUS_BAD_INPUT || strncmp(err.text, dir, strlen(dir)) != 0 ||
	    !strstr(err.text, sentence))
		fail_msg("expected \"%s\", found status %d, \"%s\"", sentence, status, err.text);
}

static inline void save(const struct model *model, const struct hf_save_options *options)
{
	struct error err = {""};

	if (hf_save(model, saved, options, &err) != STATUS_OK)
		fail_msg("%s", err.text);
}

static inline void assert_same_weights(const struct model *a, const struct model *b)
{
	assert_int_equal(a->layout.n_floats, b->layout.n_floats);
	assert_memory_equal(a->weights, b->weights, a->layout.n_floats * sizeof *a->weights);
}

static inline struct model *load_new_score(const char *from, uint64_t seed)
{
	struct hf_load_options options = {.head = HEAD_SCORE, .create_score = true, .seed = seed};
	struct model *model = NULL;
	struct error err = {""};

	if (hf_load(&model, from, &options, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return model;
}

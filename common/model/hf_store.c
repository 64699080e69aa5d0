/* Opening the safetensors files of a directory: one, or those of an index, which must
 * name plain files, each tensor once, and the file that it is in.  See hf_store.h. */
#include "common/model/hf_store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"

enum { MAX_INDEX_BYTES = 1 << 26, MAX_SHARDS = 10000 };

/* --- problems --- */

void hf_problems_add(struct hf_problems *problems, const char *format, ...)
{
	struct error text;
	va_list args;

	va_start(args, format);
	vsnprintf(text.text, sizeof text.text, format, args);
	va_end(args);
	error_clean(text.text);
	problems->items =
		xrealloc(problems->items, (size_t)problems->n + 1, sizeof *problems->items);
	problems->items[problems->n++] = xstrdup(text.text);
}

void hf_problems_release(struct hf_problems *problems)
{
	for (int i = 0; i < problems->n; i++)
		free(problems->items[i]);
	free(problems->items);
	*problems = (struct hf_problems){0};
}

enum status hf_problems_complain(const struct hf_problems *problems, struct error *err)
{
	int more = problems->n - 1;

	if (problems->n == 0)
		return STATUS_OK;
	if (more == 0)
		return error_set(err, STATUS_BAD_INPUT, "%s", problems->items[0]);
	return error_set(err, STATUS_BAD_INPUT, "%s; and %d more problem%s", problems->items[0],
			 more, more == 1 ? "" : "s");
}

/* --- files --- */

static void add_file(struct hf_store *store, const char *name)
{
	char *path = path_join(store->dir, name);
	struct safetensors *file = &store->files[store->n_files];
	struct error err;

	if (safetensors_open(file, path, &err) != STATUS_OK) {
		hf_problems_add(&store->problems, "%s", err.text);
		free(path);
		return;
	}
	free(path);
	store->n_files++;
	store->views = xrealloc(store->views, store->n + file->n, sizeof *store->views);
	for (size_t i = 0; i < file->n; i++) {
		const struct tensor_view *view = &file->tensors[i];

		if (hashmap_add(&store->by_name, view->name, strlen(view->name), (int32_t)store->n))
			store->views[store->n++] = view;
		else
			hf_problems_add(&store->problems, "%s: tensor \"%.100s\" is in two files",
					store->dir, view->name);
	}
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name without a directory; NULL if it is none. */
static const char *plain_name(const struct json *value)
{
	size_t length = 0;
	const char *name = json_type(value) == JSON_STRING ? json_string(value, &length) : "";

	return *name && strlen(name) == length && !strchr(name, '/') && !strstr(name, "..") ? name
											    : NULL;
}

/* The distinct file names of a weight map, sorted. */
static size_t shard_names(struct hf_store *store, const struct json *weight_map, const char *path,
			  const char ***out)
{
	const char **names = xcalloc(json_count(weight_map) + 1, sizeof *names);
	size_t n = 0, distinct = 0;

	for (const struct json *item = json_first(weight_map); item; item = json_next(item)) {
		const char *name = plain_name(item);

		if (name)
			names[n++] = name;
		else
			hf_problems_add(&store->problems,
					"%s: weight_map of \"%.100s\" is not a plain file name",
					path, json_key(item));
	}
	if (n > 0)
		qsort(names, n, sizeof *names, compare_strings);
	for (size_t i = 0; i < n; i++)
		if (distinct == 0 || strcmp(names[distinct - 1], names[i]) != 0)
			names[distinct++] = names[i];
	*out = names;
	return distinct;
}

static bool is_in_file(const struct tensor_view *view, const char *name)
{
	const char *slash = strrchr(view->path, '/');

	return strcmp(slash ? slash + 1 : view->path, name) == 0;
}

/* Every tensor of the index must be in the file that it names. */
static void check_places(struct hf_store *store, const struct json *weight_map, const char *path)
{
	for (const struct json *item = json_first(weight_map); item; item = json_next(item)) {
		const char *name = plain_name(item);
		int32_t i;

		if (!name)
			continue;
		if (!hashmap_find(&store->by_name, json_key(item), strlen(json_key(item)), &i))
			log_warn("%s: tensor \"%.100s\" is in none of the files", path,
				 json_key(item));
		else if (!is_in_file(store->views[i], name))
			hf_problems_add(&store->problems, "%s: tensor \"%.100s\" is not in %.100s",
					path, json_key(item), name);
	}
}

/* A wrong total harms nobody. */
static void check_total(const struct hf_store *store, const struct json *index, const char *path)
{
	const struct json *total = json_get(json_get(index, "metadata"), "total_size");
	int64_t stated = -1, found = 0;

	for (size_t i = 0; i < store->n; i++)
		found += (int64_t)store->views[i]->bytes;
	if (total && (!json_int64(total, &stated) || stated != found))
		log_warn("%s: metadata.total_size is not the %" PRId64 " bytes of the tensors",
			 path, found);
}

static void open_shards(struct hf_store *store, const struct json *index, const char *path)
{
	const struct json *weight_map = json_get(index, "weight_map");
	const char **names;
	size_t n;

	if (!weight_map || json_type(weight_map) != JSON_OBJECT) {
		hf_problems_add(&store->problems, "%s: weight_map is missing or not an object",
				path);
		return;
	}
	n = shard_names(store, weight_map, path, &names);
	if (n > MAX_SHARDS) {
		hf_problems_add(&store->problems, "%s: %zu files, at most %d are accepted", path, n,
				MAX_SHARDS);
		n = 0;
	}
	store->files = xcalloc(n + 1, sizeof *store->files);
	file_allow_open(n); /* all at a time */
	for (size_t i = 0; i < n; i++)
		add_file(store, names[i]);
	if (store->problems.n == 0)
		check_places(store, weight_map, path);
	if (store->problems.n == 0)
		check_total(store, index, path);
	free(names);
}

static void open_index(struct hf_store *store, const char *path)
{
	struct error err;
	struct json *index = json_read_object(path, MAX_INDEX_BYTES, &err);

	if (index)
		open_shards(store, index, path);
	else
		hf_problems_add(&store->problems, "%s", err.text);
	json_free(index);
}

static void complain_of_no_file(struct hf_store *store)
{
	char *pickled = path_join(store->dir, "pytorch_model.bin");
	char *pickled_index = path_join(store->dir, "pytorch_model.bin.index.json");
	bool is_pickled = file_exists(pickled) || file_exists(pickled_index);

	hf_problems_add(&store->problems,
			"%s: neither model.safetensors nor model.safetensors.index.json is there; "
			"%s to be converted to safetensors",
			store->dir, is_pickled ? "pytorch_model.bin has" : "other formats have");
	free(pickled);
	free(pickled_index);
}

enum status hf_store_open(struct hf_store *store, const char *dir, struct error *err)
{
	char *single = path_join(dir, "model.safetensors");
	char *index = path_join(dir, "model.safetensors.index.json");

	*store = (struct hf_store){.dir = xstrdup(dir), .lead = ""};
	hashmap_init(&store->by_name, 256);
	if (file_exists(single)) {
		store->files = xcalloc(1, sizeof *store->files);
		add_file(store, "model.safetensors");
	} else if (file_exists(index)) {
		open_index(store, index);
	} else {
		complain_of_no_file(store);
	}
	store->used = xcalloc(store->n, sizeof *store->used);
	free(single);
	free(index);
	return hf_problems_complain(&store->problems, err);
}

void hf_store_close(struct hf_store *store)
{
	for (size_t i = 0; i < store->n_files; i++)
		safetensors_close(&store->files[i]);
	free(store->dir);
	free(store->files);
	free(store->views);
	free(store->used);
	hashmap_release(&store->by_name);
	hf_problems_release(&store->problems);
	*store = (struct hf_store){0};
}

/* --- names --- */

/* The prefix of the base model's class, which files of that class alone lack. */
static size_t base_prefix(const struct hf_family *family)
{
	const char *dot = strchr(family->prefix, '.');

	return dot ? (size_t)(dot - family->prefix) + 1 : 0;
}

static bool find(const struct hf_store *store, const char *name, int32_t *i)
{
	return hashmap_find(&store->by_name, name, strlen(name), i);
}

/* A norm's weight and bias were called gamma and beta once. */
static bool find_old(const struct hf_store *store, const char *name, int32_t *i)
{
	static const char *const renamed[][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
	size_t length = strlen(name);

	if (find(store, name, i))
		return true;
	for (int k = 0; k < 2; k++) {
		size_t n = strlen(renamed[k][0]);
		char old[200];

		if (length < n || strcmp(name + length - n, renamed[k][0]) != 0)
			continue;
		snprintf(old, sizeof old, "%.*s%s", (int)(length - n), name, renamed[k][1]);
		return find(store, old, i);
	}
	return false;
}

static bool find_named(const struct hf_store *store, const struct hf_family *family,
		       const char *name, int32_t *i)
{
	size_t skip = store->is_bare && strncmp(name, family->prefix, strlen(family->prefix)) == 0
			      ? base_prefix(family)
			      : 0;
	char full[200];

	snprintf(full, sizeof full, "%s%s", store->lead, name + skip);
	return find_old(store, full, i) || (*store->lead && find_old(store, name, i));
}

/* Whether a tensor of the backbone is found under its name: any outside the layers or in
 * the first one. */
static bool finds_backbone(const struct hf_store *store, const struct hf_family *family)
{
	for (const struct hf_name *name = family->names; name->suffix; name++) {
		const char *digits = strstr(name->suffix, "%d");
		char full[200];
		int32_t i;

		if (digits)
			snprintf(full, sizeof full, "%s%.*s0%s", family->prefix,
				 (int)(digits - name->suffix), name->suffix, digits + 2);
		else
			snprintf(full, sizeof full, "%s%s", family->prefix, name->suffix);
		if (find_named(store, family, full, &i))
			return true;
	}
	return false;
}

void hf_store_learn_names(struct hf_store *store, const struct hf_family *family)
{
	static const char *const leads[] = {"",
					    "transformer.",
					    "rwtransformer.",
					    "lm_backbone.",
					    "base_model.",
					    "language_model.",
					    "model.language_model."};

	for (size_t i = 0; i < sizeof leads / sizeof *leads; i++)
		for (int bare = 0; bare < 2; bare++) {
			store->lead = leads[i];
			store->is_bare = bare;
			if (finds_backbone(store, family))
				return;
		}
	store->lead = "";
	store->is_bare = false;
}

const struct tensor_view *hf_store_take(struct hf_store *store, const struct hf_family *family,
					const char *name)
{
	int32_t i;

	if (!find_named(store, family, name, &i))
		return NULL;
	store->used[i] = true;
	return store->views[i];
}

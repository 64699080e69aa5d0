/* Loading a Hugging Face directory.
 *
 * All tensors of all files go into one table by name; then each tensor that the
 * model needs is looked up, checked and copied.  What is missing, misshaped or left
 * over is gathered into one sentence. */
#include "common/model/hf_checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hashmap.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/model/hf_families.h"
#include "common/model/safetensors.h"
#include "common/ops/elementwise.h"

enum { MAX_INDEX_BYTES = 1 << 26, MAX_SHARDS = 10000 };

/* The tensors of a directory. */
struct store {
	const char *dir;
	struct safetensors *files;
	size_t n_files;
	const struct tensor_view **views;
	bool *used;
	size_t n, capacity;
	struct hashmap by_name;
};

/* Problems found, for one sentence: the first few, and how many there are. */
struct complaints {
	struct buf text;
	int n;
};

static void complain(struct complaints *complaints, const char *what, const char *name)
{
	if (complaints->n++ < 5)
		buf_printf(&complaints->text, "%s%s %.160s", complaints->n > 1 ? ", " : "", what,
			   name);
}

/* --- files --- */

static enum status add_file(struct store *store, const char *name, struct error *err)
{
	char *path = path_join(store->dir, name);
	struct safetensors *file = &store->files[store->n_files];
	enum status status = safetensors_open(file, path, err);

	free(path);
	if (status != STATUS_OK)
		return status;
	store->n_files++;
	store->views = xrealloc(store->views, store->n + file->n, sizeof *store->views);
	for (size_t i = 0; i < file->n; i++) {
		const struct tensor_view *view = &file->tensors[i];

		if (!hashmap_add(&store->by_name, view->name, strlen(view->name),
				 (int32_t)store->n))
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: tensor \"%.100s\" is in two files", store->dir,
					 view->name);
		store->views[store->n++] = view;
	}
	return STATUS_OK;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of a weight map, which must be plain names. */
static enum status shard_names(const struct json *weight_map, const char *path, char ***out,
			       size_t *n, struct error *err)
{
	size_t count = json_count(weight_map), distinct = 0;
	char **names = xcalloc(count + 1, sizeof *names);

	*out = names;
	*n = 0;
	for (const struct json *item = json_first(weight_map); item; item = json_next(item)) {
		size_t length = 0;
		const char *name = json_type(item) == JSON_STRING ? json_string(item, &length) : "";

		if (!*name || strlen(name) != length || strchr(name, '/') || strstr(name, ".."))
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: weight_map of \"%.100s\" is not a plain file name",
					 path, json_key(item));
		names[(*n)++] = xstrdup(name);
	}
	if (*n > 0)
		qsort(names, *n, sizeof *names, compare_strings);
	for (size_t i = 0; i < *n; i++) {
		if (distinct > 0 && strcmp(names[distinct - 1], names[i]) == 0)
			free(names[i]);
		else
			names[distinct++] = names[i];
	}
	*n = distinct;
	return STATUS_OK;
}

static bool is_in_file(const struct tensor_view *view, const char *name)
{
	const char *slash = strrchr(view->path, '/');

	return strcmp(slash ? slash + 1 : view->path, name) == 0;
}

/* Every tensor of the index must be in the file that it names. */
static enum status check_index(const struct store *store, const struct json *weight_map,
			       const char *path, struct error *err)
{
	for (const struct json *item = json_first(weight_map); item; item = json_next(item)) {
		int32_t i;
		bool found = false;

		if (hashmap_find(&store->by_name, json_key(item), strlen(json_key(item)), &i))
			found = is_in_file(store->views[i], json_string(item, NULL));
		if (!found)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: tensor \"%.100s\" is not in %.100s", path,
					 json_key(item), json_string(item, NULL));
	}
	return STATUS_OK;
}

static enum status open_index(struct store *store, const char *path, struct error *err)
{
	struct json *index = json_parse_file(path, MAX_INDEX_BYTES, err);
	const struct json *weight_map = json_get(index, "weight_map");
	enum status status = index ? STATUS_OK : STATUS_BAD_INPUT;
	char **names = NULL;
	size_t n = 0;

	if (index && (!weight_map || json_type(weight_map) != JSON_OBJECT))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: weight_map is missing or not an object", path);
	if (status == STATUS_OK)
		status = shard_names(weight_map, path, &names, &n, err);
	if (status == STATUS_OK && n > MAX_SHARDS)
		status = error_set(err, STATUS_BAD_INPUT, "%s: %zu files, at most %d are accepted",
				   path, n, MAX_SHARDS);
	store->files = xcalloc(n + 1, sizeof *store->files);
	for (size_t i = 0; i < n && status == STATUS_OK; i++)
		status = add_file(store, names[i], err);
	if (status == STATUS_OK)
		status = check_index(store, weight_map, path, err);
	for (size_t i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
	json_free(index);
	return status;
}

static enum status open_store(struct store *store, const char *dir, struct error *err)
{
	char *single = path_join(dir, "model.safetensors");
	char *index = path_join(dir, "model.safetensors.index.json");
	enum status status;

	*store = (struct store){.dir = dir};
	hashmap_init(&store->by_name, 256);
	if (file_exists(single)) {
		store->files = xcalloc(1, sizeof *store->files);
		status = add_file(store, "model.safetensors", err);
	} else if (file_exists(index)) {
		status = open_index(store, index, err);
	} else {
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: neither model.safetensors nor model.safetensors.index.json "
				   "is there; other formats have to be converted to safetensors",
				   dir);
	}
	if (status == STATUS_OK)
		store->used = xcalloc(store->n, sizeof *store->used);
	free(single);
	free(index);
	return status;
}

static void close_store(struct store *store)
{
	for (size_t i = 0; i < store->n_files; i++)
		safetensors_close(&store->files[i]);
	free(store->files);
	free(store->views);
	free(store->used);
	hashmap_release(&store->by_name);
}

/* The tensor of that name, with or without the family's prefix. */
static const struct tensor_view *take(struct store *store, const struct hf_family *family,
				      const char *name)
{
	size_t skip = strlen(family->prefix);
	int32_t i;

	if (!hashmap_find(&store->by_name, name, strlen(name), &i) &&
	    (strncmp(name, family->prefix, skip) != 0 ||
	     !hashmap_find(&store->by_name, name + skip, strlen(name) - skip, &i)))
		return NULL;
	store->used[i] = true;
	return store->views[i];
}

/* --- tensors --- */

static bool has_shape(const struct tensor_view *view, const struct hf_tensor *wanted)
{
	return view->rank == wanted->rank && view->shape[0] == wanted->shape[0] &&
	       (wanted->rank == 1 || view->shape[1] == wanted->shape[1]);
}

static void complain_shape(struct complaints *complaints, const struct tensor_view *view,
			   const struct hf_tensor *wanted)
{
	struct buf text = BUF_INIT;

	buf_printf(&text, "%.80s is [", wanted->name);
	for (int i = 0; i < view->rank && i < 4; i++)
		buf_printf(&text, "%s%" PRId64, i ? ", " : "", view->shape[i]);
	buf_printf(&text, "], expected [%" PRId64, wanted->shape[0]);
	if (wanted->rank > 1)
		buf_printf(&text, ", %" PRId64, wanted->shape[1]);
	buf_append_char(&text, ']');
	complain(complaints, "shape of", text.data);
	buf_release(&text);
}

/* Copies a tensor of the right shape into a block. */
static enum status load_tensor(const struct model *model, int i, const struct tensor_view *view,
			       float *block, struct pool *pool, struct error *err)
{
	float *values = xmalloc(view->n_elements * sizeof *values);
	enum status status = tensor_read(view, 0, view->n_elements, values, err);
	size_t bad = view->n_elements;

	if (status == STATUS_OK)
		bad = first_non_finite(values, view->n_elements, pool);
	if (bad < view->n_elements)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: tensor \"%.100s\": element %zu is %g, expected a finite "
				   "number",
				   view->path, view->name, bad, values[bad]);
	if (status == STATUS_OK)
		hf_tensor_scatter(model, i, values, block);
	free(values);
	return status;
}

/* Buffers of old checkpoints that are no weights, and a language model's output
 * matrix where a scorer is made from it. */
static bool is_ignored(const struct model *model, const char *name)
{
	static const char *const endings[] = {".attn.bias", ".attn.masked_bias",
					      ".rotary_emb.inv_freq"};
	size_t length = strlen(name);

	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t n = strlen(endings[i]);
		if (length >= n && strcmp(name + length - n, endings[i]) == 0)
			return true;
	}
	return model->config.head == HEAD_SCORE && strcmp(name, "lm_head.weight") == 0;
}

static enum status load_tensors(struct model *model, struct store *store, bool skip_head,
				struct pool *pool, struct error *err)
{
	const struct hf_family *family = model->config.family;
	struct complaints complaints = {BUF_INIT, 0};
	enum status status = STATUS_OK;
	int n = hf_tensor_count(model);

	for (int i = 0; i < n && status == STATUS_OK; i++) {
		struct hf_tensor wanted;
		const struct tensor_view *view;

		hf_tensor_describe(model, i, &wanted);
		if (skip_head && strncmp(wanted.name, "score.", 6) == 0)
			continue;
		view = take(store, family, wanted.name);
		if (!view)
			complain(&complaints, "missing", wanted.name);
		else if (view->dtype == DTYPE_OTHER)
			complain(&complaints, "unsupported type of", wanted.name);
		else if (!has_shape(view, &wanted))
			complain_shape(&complaints, view, &wanted);
		else
			status = load_tensor(model, i, view, model->weights, pool, err);
	}
	if (status == STATUS_OK)
		for (size_t i = 0; i < store->n; i++)
			if (!store->used[i] && !is_ignored(model, store->views[i]->name))
				complain(&complaints, "unexpected", store->views[i]->name);
	if (status == STATUS_OK && complaints.n > 0)
		status = error_set(err, STATUS_BAD_INPUT, "%s: %d tensor%s wrong: %s%s", store->dir,
				   complaints.n, complaints.n == 1 ? " is" : "s are",
				   complaints.text.data, complaints.n > 5 ? ", ..." : "");
	buf_release(&complaints.text);
	return status;
}

/* --- heads --- */

static enum status check_head(const struct model_config *found, const char *dir,
			      const struct hf_load_options *options, struct error *err)
{
	if (options->head == HEAD_LM && found->head == HEAD_SCORE)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: a sequence classifier (%s), expected a causal language model",
				 dir, found->family->score_architecture);
	if (options->head == HEAD_SCORE && found->head == HEAD_LM && !options->create_score)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: not a reward model: the architecture is %s, expected %s", dir,
				 found->family->lm_architecture, found->family->score_architecture);
	return STATUS_OK;
}

/* Whether two tensors have the same bytes; those that cannot be read differ. */
static bool is_same(const struct tensor_view *a, const struct tensor_view *b)
{
	char *x, *y;
	bool same;

	if (a->bytes != b->bytes)
		return false;
	x = xmalloc(a->bytes);
	y = xmalloc(b->bytes);
	same = tensor_read_bytes(a, x, NULL) == STATUS_OK &&
	       tensor_read_bytes(b, y, NULL) == STATUS_OK && memcmp(x, y, a->bytes) == 0;
	free(x);
	free(y);
	return same;
}

/* Whether a tied model's file holds an output matrix of its own. */
static bool has_own_head(struct store *store, const struct model_config *config)
{
	const struct tensor_view *head = take(store, config->family, "lm_head.weight");
	const struct tensor_view *embedding;
	char name[160];

	if (!head)
		return false;
	snprintf(name, sizeof name, "%s%s", config->family->prefix,
		 config->family->names[0].suffix);
	embedding = take(store, config->family, name);
	if (!embedding || is_same(embedding, head))
		return false;
	log_warn("%s: lm_head.weight differs from the embedding although tie_word_embeddings is "
		 "true; they are kept apart",
		 store->dir);
	return true;
}

static void create_score_head(struct model *model, uint64_t seed)
{
	float *weight = model_view(model, model->weights, PARAM_SCORE_WEIGHT, -1);
	double std = 1 / sqrt(model->config.n_channels + 1.0);

	for (int i = 0; i < model->config.n_channels; i++)
		weight[i] = (float)(std * rng_normal(seed, RNG_INIT, PARAM_SCORE_WEIGHT, 0, 0,
						     (uint32_t)i));
}

/* A config.json that describes far more than its files hold is refused before memory
 * is asked for. */
static enum status check_size(const struct store *store, const struct model_config *config,
			      struct error *err)
{
	struct param_layout layout;
	size_t stored = 0, described;

	for (size_t i = 0; i < store->n; i++)
		stored += store->views[i]->n_elements;
	param_layout_init(&layout, config, false);
	described = layout.n_floats;
	param_layout_release(&layout);
	if (described / 2 <= stored + (1 << 20))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: config.json describes %zu numbers, the tensors hold %zu", store->dir,
			 described, stored);
}

/* Opens the files of dir, which the caller closes, and decides what is made of them. */
static enum status open_model(struct store *store, struct model_config *config, const char *dir,
			      const struct hf_load_options *options, bool *new_score,
			      struct error *err)
{
	enum status status = hf_read_config(config, dir, err);

	if (status == STATUS_OK)
		status = check_head(config, dir, options, err);
	if (status == STATUS_OK)
		status = open_store(store, dir, err);
	if (status != STATUS_OK)
		return status;
	*new_score = options->head == HEAD_SCORE && config->head == HEAD_LM;
	if (options->head == HEAD_SCORE && !*new_score &&
	    !take(store, config->family, "score.weight"))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: not a reward model: its head, score.weight, is missing", dir);
	if (config->tied && config->head == HEAD_LM && !*new_score && has_own_head(store, config))
		config->tied = false;
	if (*new_score)
		config->n_labels = 1;
	config->head = options->head;
	return check_size(store, config, err);
}

enum status hf_describe(struct model_config *config, const char *dir,
			const struct hf_load_options *options, struct error *err)
{
	struct store store = {0};
	bool new_score;
	enum status status = open_model(&store, config, dir, options, &new_score, err);

	close_store(&store);
	return status;
}

enum status hf_load(struct model **out, const char *dir, const struct hf_load_options *options,
		    struct pool *pool, struct error *err)
{
	struct model_config config;
	struct store store = {0};
	struct model *model = NULL;
	bool new_score;
	enum status status = open_model(&store, &config, dir, options, &new_score, err);

	if (status != STATUS_OK)
		goto done;
	model = model_create(&config, config.head == HEAD_SCORE && !new_score &&
					      take(&store, config.family, "score.bias") != NULL);
	status = load_tensors(model, &store, new_score, pool, err);
	if (status != STATUS_OK)
		goto done;
	if (new_score)
		create_score_head(model, options->seed);
	model_pack(model, pool);
	*out = model;
	model = NULL;
done:
	model_destroy(model);
	close_store(&store);
	return status;
}

enum status hf_read_block(const struct model *model, float *block, const char *path,
			  struct error *err)
{
	struct safetensors file;
	enum status status = safetensors_open(&file, path, err);
	int n = hf_tensor_count(model);

	if (status != STATUS_OK)
		return status;
	if (file.n != (size_t)n)
		status = error_set(err, STATUS_BAD_INPUT, "%s: %zu tensors, expected %d", path,
				   file.n, n);
	for (int i = 0; i < n && status == STATUS_OK; i++) {
		struct hf_tensor wanted;
		const struct tensor_view *view;

		hf_tensor_describe(model, i, &wanted);
		view = safetensors_find(&file, wanted.name);
		if (view && view->dtype == DTYPE_F32 && has_shape(view, &wanted)) {
			status = load_tensor(model, i, view, block, NULL, err);
		} else {
			status = error_set(err, STATUS_BAD_INPUT,
					   "%s: tensor \"%s\" is missing or not F32 of the "
					   "model's shape",
					   path, wanted.name);
		}
	}
	safetensors_close(&file);
	return status;
}

/* Deciding what is made of a checkpoint directory, and finding each tensor of it; see
 * hf_source.h. */
#include "common/model/hf_source.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/model/hf_families.h"
#include "common/ops/elementwise.h"

/* Numbers that are compared, or read by a thread, at a time. */
enum { CHUNK = 1 << 16 };

/* --- what is made of it --- */

static enum status check_head(const struct hf_source *source, const struct hf_load_options *options,
			      struct error *err)
{
	const struct hf_family *family = source->config.family;
	const char *dir = source->store.dir;

	if (options->head == HEAD_LM && source->config.head == HEAD_SCORE)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: a sequence classifier (%s), expected a causal language model",
				 dir, family->score_architecture);
	if (options->head == HEAD_LM || source->head.weight)
		return STATUS_OK;
	if (source->config.head == HEAD_SCORE)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: not a reward model: its head, score.weight, is missing", dir);
	if (!options->create_score)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: not a reward model: the architecture is %s, expected %s", dir,
				 family->lm_architecture, family->score_architecture);
	return STATUS_OK;
}

/* Whether two tensors hold the same numbers, of any type; those that cannot be read differ. */
static bool is_same(const struct tensor_view *a, const struct tensor_view *b)
{
	size_t n = a->n_elements;
	float *x, *y;
	bool same = n == b->n_elements && a->dtype != DTYPE_OTHER && b->dtype != DTYPE_OTHER;

	x = xcalloc(CHUNK, sizeof *x);
	y = xcalloc(CHUNK, sizeof *y);
	for (size_t first = 0; first < n && same; first += CHUNK) {
		size_t some = n - first < CHUNK ? n - first : CHUNK;

		same = tensor_read(a, first, some, x, NULL) == STATUS_OK &&
		       tensor_read(b, first, some, y, NULL) == STATUS_OK &&
		       memcmp(x, y, some * sizeof *x) == 0;
	}
	free(x);
	free(y);
	return same;
}

/* A tensor of the language model's head, under the family's own name or the common one. */
static const struct tensor_view *take_lm_head(struct hf_source *source, const char *part)
{
	const struct hf_family *family = source->config.family;
	const char *const modules[] = {family->lm_head, "lm_head"};
	const struct tensor_view *view = NULL;

	for (size_t i = 0; i < 2 && !view; i++) {
		char name[160];

		snprintf(name, sizeof name, "%s.%s", modules[i], part);
		view = hf_store_take(&source->store, family, name);
	}
	return view;
}

/* Whether a tied model's file holds an output matrix of its own. */
static bool has_own_head(struct hf_source *source)
{
	const struct hf_family *family = source->config.family;
	const struct tensor_view *head = take_lm_head(source, "weight"), *embedding;
	char name[160];

	if (!head)
		return false;
	snprintf(name, sizeof name, "%s%s", family->prefix, family->names[0].suffix);
	embedding = hf_store_take(&source->store, family, name);
	if (!embedding || is_same(embedding, head))
		return false;
	log_warn("%s: %s.weight differs from the embedding although tie_word_embeddings is true; "
		 "they are kept apart",
		 source->store.dir, family->lm_head);
	return true;
}

/* A config.json that describes far more than its files hold is refused before memory
 * is asked for. */
static enum status check_size(const struct hf_source *source, struct error *err)
{
	struct param_layout layout;
	size_t stored = 0, described;

	for (size_t i = 0; i < source->store.n; i++)
		stored += source->store.views[i]->n_elements;
	param_layout_init(&layout, &source->config, false);
	described = layout.n_floats;
	param_layout_release(&layout);
	if (described / 2 <= stored + (1 << 20))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: config.json describes %zu numbers, the tensors hold %zu",
			 source->store.dir, described, stored);
}

static enum status find_head(struct hf_source *source, const struct hf_load_options *options,
			     struct error *err)
{
	enum status status = STATUS_OK;

	if (options->head == HEAD_SCORE)
		status = hf_head_find(&source->head, &source->store, &source->config, err);
	if (status == STATUS_OK)
		status = check_head(source, options, err);
	source->new_score = options->head == HEAD_SCORE && !source->head.weight;
	return status;
}

enum status hf_source_open(struct hf_source *source, const char *dir,
			   const struct hf_load_options *options, struct error *err)
{
	struct model_config *config = &source->config;
	enum status status = hf_read_config(config, dir, err);

	if (status == STATUS_OK)
		status = hf_store_open(&source->store, dir, err);
	if (status == STATUS_OK)
		status = check_size(source, err);
	if (status != STATUS_OK)
		return status;
	hf_store_learn_names(&source->store, config->family);
	status = find_head(source, options, err);
	if (options->head == HEAD_LM && config->tied && has_own_head(source)) {
		source->unties = true;
		config->tied = false;
	}
	config->head = options->head;
	if (config->head == HEAD_SCORE)
		config->n_labels = source->head.n_labels;
	if (source->new_score)
		config->n_labels = options->n_labels > 0 ? options->n_labels : 1;
	source->can_match = true;
	return status;
}

void hf_source_close(struct hf_source *source)
{
	hf_store_close(&source->store);
}

bool hf_source_has_bias(const struct hf_source *source)
{
	return source->head.bias || source->head.offset != 0;
}

/* --- tensors --- */

static bool has_shape(const struct tensor_view *view, const struct hf_tensor *wanted)
{
	return view->rank == wanted->rank && view->shape[0] == wanted->shape[0] &&
	       (wanted->rank == 1 || view->shape[1] == wanted->shape[1]);
}

static void complain_shape(struct hf_problems *problems, const struct tensor_view *view,
			   const struct hf_tensor *wanted)
{
	struct buf text = BUF_INIT;

	buf_printf(&text, "shape of %.160s is [", view->name);
	for (int i = 0; i < view->rank && i < 4; i++)
		buf_printf(&text, "%s%" PRId64, i ? ", " : "", view->shape[i]);
	buf_printf(&text, "], expected [%" PRId64, wanted->shape[0]);
	if (wanted->rank > 1)
		buf_printf(&text, ", %" PRId64, wanted->shape[1]);
	hf_problems_add(problems, "%s]", text.data);
	buf_release(&text);
}

bool hf_name_ends_with(const char *name, const char *ending)
{
	size_t length = strlen(name), n = strlen(ending);

	return length >= n && strcmp(name + length - n, ending) == 0;
}

/* Whether a name is of the language model's head. */
static bool is_lm_head(const struct hf_family *family, const char *name)
{
	size_t n = strlen(family->lm_head);

	return (strncmp(name, family->lm_head, n) == 0 && name[n] == '.') ||
	       strncmp(name, "lm_head.", 8) == 0;
}

static bool is_score(const struct hf_tensor *wanted)
{
	return strncmp(wanted->name, "score.", 6) == 0;
}

/* The stored tensor that becomes the wanted one; NULL if there is none.  A tied model's
 * embedding may be stored as its output matrix alone. */
static const struct tensor_view *find_tensor(struct hf_source *source,
					     const struct hf_tensor *wanted)
{
	const struct hf_family *family = source->config.family;
	const struct tensor_view *view;

	if (is_score(wanted))
		return strcmp(wanted->name, "score.weight") == 0 ? source->head.weight
								 : source->head.bias;
	if (is_lm_head(family, wanted->name))
		return take_lm_head(source,
				    hf_name_ends_with(wanted->name, ".bias") ? "bias" : "weight");
	view = hf_store_take(&source->store, family, wanted->name);
	if (!view && source->config.tied &&
	    strncmp(wanted->name, family->prefix, strlen(family->prefix)) == 0 &&
	    strcmp(wanted->name + strlen(family->prefix), family->names[0].suffix) == 0)
		view = take_lm_head(source, "weight");
	return view;
}

/* What sees the images beside a language model. */
static bool is_of_images(const char *name)
{
	static const char *const modules[] = {"vision_tower.", "multi_modal_projector."};

	if (strncmp(name, "model.", 6) == 0)
		name += 6;
	for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
		if (strncmp(name, modules[i], strlen(modules[i])) == 0)
			return true;
	return false;
}

/* Buffers of old checkpoints that are no weights; what sees images; a language model's
 * output matrix where a scorer is made of it, and the value head beside a language model. */
static bool is_ignored(const struct hf_source *source, const char *name)
{
	static const char *const buffers[] = {".attn.bias",
					      ".attn.masked_bias",
					      ".attn.embed_positions",
					      ".attention.bias",
					      ".attention.masked_bias",
					      ".rotary_emb.inv_freq",
					      ".rotary_emb.cos_cached",
					      ".rotary_emb.sin_cached",
					      ".decoder.version"};
	size_t lead = strlen(source->store.lead);

	/* A whole name, if the prefix that files of the base model lack is all before it. */
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		if (hf_name_ends_with(name, buffers[i]) || strcmp(name, buffers[i] + 1) == 0)
			return true;
	if (is_of_images(name))
		return true;
	if (strncmp(name, source->store.lead, lead) == 0)
		name += lead;
	if (source->config.head == HEAD_LM)
		return strncmp(name, "v_head.", 7) == 0;
	return is_lm_head(source->config.family, name);
}

/* Whether a tensor of the score head is not stored: the head is new, or it has a bias only
 * because something is subtracted from its scores. */
static bool is_made(const struct hf_source *source, const struct hf_tensor *wanted)
{
	return source->new_score || (!source->head.bias && strcmp(wanted->name, "score.bias") == 0);
}

const struct tensor_view **hf_source_match(struct hf_source *source, const struct model *model,
					   struct hf_problems *problems)
{
	int n = hf_tensor_count(model);
	const struct tensor_view **views = xcalloc((size_t)n, sizeof *views);

	for (int i = 0; i < n; i++) {
		struct hf_tensor wanted;

		hf_tensor_describe(model, i, &wanted);
		if (is_score(&wanted) && is_made(source, &wanted))
			continue;
		views[i] = find_tensor(source, &wanted);
		if (!views[i])
			hf_problems_add(problems, "missing %s", wanted.name);
		else if (views[i]->dtype == DTYPE_OTHER)
			hf_problems_add(problems, "unsupported type of %.160s, %s", views[i]->name,
					views[i]->dtype_name);
		else if (!has_shape(views[i], &wanted))
			complain_shape(problems, views[i], &wanted);
	}
	for (size_t i = 0; i < source->store.n; i++) {
		const char *name = source->store.views[i]->name;

		if (!source->store.used[i] && !is_ignored(source, name))
			hf_problems_add(problems, "unexpected %.160s", name);
	}
	return views;
}

enum status hf_source_complain(const struct hf_source *source, const struct hf_problems *problems,
			       struct error *err)
{
	struct buf text = BUF_INIT;

	if (problems->n == 0)
		return STATUS_OK;
	for (int i = 0; i < problems->n && i < 5; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", problems->items[i]);
	error_set(err, STATUS_BAD_INPUT, "%s: %d tensor%s wrong: %s%s", source->store.dir,
		  problems->n, problems->n == 1 ? " is" : "s are", text.data,
		  problems->n > 5 ? ", ..." : "");
	buf_release(&text);
	return STATUS_BAD_INPUT;
}

enum dtype hf_source_dtype(const struct tensor_view *const *views, int n)
{
	size_t elements[DTYPE_OTHER + 1] = {0};
	enum dtype most = DTYPE_F32;

	for (int i = 0; i < n; i++)
		if (views[i])
			elements[views[i]->dtype] += views[i]->n_elements;
	for (enum dtype dtype = DTYPE_F32; dtype < DTYPE_OTHER; dtype++)
		if (elements[dtype] > elements[most])
			most = dtype;
	return most;
}

/* --- values --- */

struct reading {
	const struct tensor_view *view;
	size_t first, n;
	float *out;
	atomic_bool has_failed;
};

static void read_chunk(void *args, int i, int thread)
{
	struct reading *r = args;
	size_t begin = (size_t)i * CHUNK, left = r->n - begin;

	(void)thread;
	if (tensor_read(r->view, r->first + begin, left < CHUNK ? left : CHUNK, r->out + begin,
			NULL) != STATUS_OK)
		atomic_store(&r->has_failed, true);
}

enum status hf_read_values(const struct tensor_view *view, size_t first, size_t n, float *out,
			   struct pool *pool, struct error *err)
{
	struct reading reading = {.view = view, .first = first, .n = n, .out = out};
	enum status status = STATUS_OK;
	size_t bad = n;

	pool_run(pool, (int)((n + CHUNK - 1) / CHUNK), read_chunk, &reading);
	if (atomic_load(&reading.has_failed)) /* to say of the first what is wrong */
		status = tensor_read(view, first, n, out, err);
	if (status == STATUS_OK)
		bad = first_non_finite(out, n, pool);
	if (bad < n)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: tensor \"%.100s\": element %zu is %g, expected a finite "
				   "number",
				   view->path, view->name, first + bad, out[bad]);
	return status;
}

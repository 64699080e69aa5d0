/* Going through a checkpoint without loading it; see hf_examine.h. */
#include "common/model/hf_examine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/hf_source.h"
#include "common/ops/elementwise.h"

enum { CHUNK = 1 << 18 };

/* --- values --- */

void hf_examine_values(const struct tensor_view *view, struct hf_problems *warnings,
		       struct hf_problems *problems, struct pool *pool)
{
	float *values = xmalloc(CHUNK * sizeof *values);
	bool is_zero = true, is_fine = view->dtype != DTYPE_OTHER;
	struct error err;

	for (size_t first = 0; first < view->n_elements && is_fine; first += CHUNK) {
		size_t n = view->n_elements - first < CHUNK ? view->n_elements - first : CHUNK;

		is_fine = hf_read_values(view, first, n, values, pool, &err) == STATUS_OK;
		if (!is_fine)
			hf_problems_add(problems, "%s", err.text);
		for (size_t i = 0; i < n && is_zero && is_fine; i++)
			is_zero = values[i] == 0;
	}
	if (is_fine && is_zero && view->rank == 2 && warnings)
		hf_problems_add(warnings, "%s: tensor \"%.100s\" is all zeros", view->path,
				view->name);
	free(values);
}

/* --- tensors --- */

static void examine_tensors(struct hf_examination *found, struct hf_source *source,
			    struct pool *pool)
{
	struct model shape = {.config = source->config};
	struct hf_problems wrong = {0};
	const struct tensor_view **views;

	param_layout_init(&shape.layout, &shape.config, hf_source_has_bias(source));
	views = hf_source_match(source, &shape, &wrong);
	for (int i = 0; i < wrong.n; i++)
		hf_problems_add(&found->problems, "%s: tensor is wrong: %s", source->store.dir,
				wrong.items[i]);
	for (int i = 0; i < hf_tensor_count(&shape); i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(&shape, i, &tensor);
		found->n_parameters += tensor.n_elements;
		if (views[i])
			hf_examine_values(views[i], &found->warnings, &found->problems, pool);
	}
	found->dtype = hf_source_dtype(views, hf_tensor_count(&shape));
	hf_problems_release(&wrong);
	param_layout_release(&shape.layout);
	free(views);
}

/* A language model may have a score head beside it, which is not needed to load it. */
static void examine_head(struct hf_examination *found, struct hf_source *source)
{
	struct hf_head head = source->head;
	struct error err;

	if (source->config.head == HEAD_LM &&
	    hf_head_find(&head, &source->store, &source->config, &err) != STATUS_OK)
		hf_problems_add(&found->warnings, "%s", err.text);
	if (!head.weight)
		return;
	snprintf(found->head_name, sizeof found->head_name, "%.150s", head.weight->name);
	found->has_head_bias = head.bias != NULL;
}

static void warn_of_two_sets(struct hf_examination *found, const char *dir)
{
	char *single = path_join(dir, "model.safetensors");
	char *index = path_join(dir, "model.safetensors.index.json");

	if (file_exists(single) && file_exists(index))
		hf_problems_add(&found->warnings,
				"%s: has model.safetensors, which is read, and an index of other "
				"files, which are not",
				dir);
	free(single);
	free(index);
}

void hf_examine(struct hf_examination *found, const char *dir, struct pool *pool)
{
	struct hf_load_options options = {0};
	struct hf_source source = {0};
	struct error err;

	*found = (struct hf_examination){0};
	if (hf_read_config(&found->config, dir, &err) != STATUS_OK) {
		hf_problems_add(&found->problems, "%s", err.text);
		return;
	}
	found->has_config = true;
	options.head = found->config.head;
	if (hf_source_open(&source, dir, &options, &err) != STATUS_OK) {
		for (int i = 0; i < source.store.problems.n; i++)
			hf_problems_add(&found->problems, "%s", source.store.problems.items[i]);
		if (source.store.problems.n == 0)
			hf_problems_add(&found->problems, "%s", err.text);
	}
	found->config = source.config;
	if (source.can_match) {
		examine_head(found, &source);
		examine_tensors(found, &source, pool);
	}
	if (source.unties)
		hf_problems_add(&found->warnings,
				"%s: the output matrix differs from the embedding although "
				"tie_word_embeddings is true; they are kept apart",
				dir);
	warn_of_two_sets(found, dir);
	found->store = source.store;
}

void hf_examination_release(struct hf_examination *found)
{
	hf_store_close(&found->store);
	hf_problems_release(&found->problems);
	hf_problems_release(&found->warnings);
}

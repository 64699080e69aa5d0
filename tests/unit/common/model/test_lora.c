/* Adapters against PEFT's: outputs, gradients, merged weights, and the files to the
 * byte; a new one changes nothing; what cannot be computed is refused.
 *
 * tests/golden/make_lora.py describes tests/golden/adapters. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/head.h"
#include "common/model/hf_adapter.h"
#include "common/model/hf_adapter_files.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/lora.h"
#include "common/model/safetensors.h"
#include "common/model/transformer.h"

#define ADAPTERS "tests/golden/adapters/"

/* The adapters and the models that they are for. */
static const char *const adapters[][2] = {
	{"gpt2-all-linear", "gpt2"},	{"llama-rslora", "llama-gqa"},
	{"gpt_neox-fused", "gpt_neox"}, {"gptj-interleaved", "gptj"},
	{"phi3-fused", "phi3"},		{"score-llama", "score-llama"},
};
enum { N_ADAPTERS = sizeof adapters / sizeof *adapters };

struct fixture {
	char dir[100];
	struct model *model;
	struct safetensors golden;
	int32_t *ids;
	int offsets[9], n_seqs, length;
	struct arena arena;
};

static int32_t *golden_ids(const struct safetensors *golden, const char *name)
{
	const struct tensor_view *view = safetensors_find(golden, name);
	int64_t *wide = xcalloc(view->n_elements, sizeof *wide);
	int32_t *ids = xcalloc(view->n_elements, sizeof *ids);
	struct error err;

	assert_int_equal(tensor_read_bytes(view, wide, &err), STATUS_OK);
	for (size_t i = 0; i < view->n_elements; i++)
		ids[i] = (int32_t)wide[i];
	free(wide);
	return ids;
}

static float *golden(const struct fixture *f, const char *name, size_t *n)
{
	const struct tensor_view *view = safetensors_find(&f->golden, name);
	struct error err;
	float *values;

	if (!view)
		fail_msg("%s: golden tensor %s is missing", f->dir, name);
	values = xcalloc(view->n_elements, sizeof *values);
	assert_int_equal(tensor_read(view, 0, view->n_elements, values, &err), STATUS_OK);
	*n = view->n_elements;
	return values;
}

static struct model *load_base(const char *base)
{
	struct hf_load_options options = {
		.head = strncmp(base, "score", 5) == 0 ? HEAD_SCORE : HEAD_LM};
	struct model *model = NULL;
	struct error err = {""};
	char dir[100];

	snprintf(dir, sizeof dir, "tests/golden/models/%s", base);
	if (hf_load(&model, dir, &options, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return model;
}

static void open_fixture(struct fixture *f, int which)
{
	struct error err = {""};
	char path[140];
	const struct tensor_view *view;
	int32_t *mask;

	*f = (struct fixture){.model = load_base(adapters[which][1])};
	snprintf(f->dir, sizeof f->dir, ADAPTERS "%s", adapters[which][0]);
	snprintf(path, sizeof path, "%s/golden.safetensors", f->dir);
	if (hf_adapter_load(f->model, f->dir, NULL, &err) != STATUS_OK ||
	    safetensors_open(&f->golden, path, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	view = safetensors_find(&f->golden, "input_ids");
	f->n_seqs = (int)view->shape[0];
	f->length = (int)view->shape[1];
	f->ids = golden_ids(&f->golden, "input_ids");
	arena_init(&f->arena);
	/* Padding, on the right, is left out. */
	mask = safetensors_find(&f->golden, "attention_mask")
		       ? golden_ids(&f->golden, "attention_mask")
		       : NULL;
	for (int b = 0; b < f->n_seqs; b++) {
		int n = 0;

		for (int i = 0; i < f->length; i++)
			if (!mask || mask[b * f->length + i])
				f->ids[f->offsets[b] + n++] = f->ids[b * f->length + i];
		f->offsets[b + 1] = f->offsets[b] + n;
	}
	free(mask);
}

static void close_fixture(struct fixture *f)
{
	model_destroy(f->model);
	safetensors_close(&f->golden);
	free(f->ids);
	arena_release(&f->arena);
}

static struct batch whole_batch(const struct fixture *f)
{
	return (struct batch){.ids = f->ids, .offsets = f->offsets, .n_seqs = f->n_seqs};
}

static float *hidden_of(struct fixture *f, const struct batch *batch, struct kept *kept,
			struct pool *pool)
{
	size_t t = (size_t)batch->offsets[batch->n_seqs];
	float *hidden = xcalloc(t * (size_t)f->model->config.n_channels, sizeof *hidden);

	transformer_forward(f->model, batch, hidden, kept, &f->arena, pool);
	return hidden;
}

/* Logits of every position, or of the last one of each sequence. */
static float *outputs_of(struct fixture *f, size_t *n)
{
	struct batch batch = whole_batch(f);
	float *hidden = hidden_of(f, &batch, NULL, NULL), *out;
	int t = f->offsets[f->n_seqs], last[8];

	if (f->model->config.head == HEAD_LM) {
		*n = (size_t)t * (size_t)f->model->config.n_vocab;
		out = xcalloc(*n, sizeof *out);
		head_logits(f->model, hidden, t, out, &f->arena, NULL);
	} else {
		for (int b = 0; b < f->n_seqs; b++)
			last[b] = f->offsets[b + 1] - 1;
		*n = (size_t)f->n_seqs * (size_t)f->model->config.n_labels;
		out = xcalloc(*n, sizeof *out);
		head_score(f->model, hidden, last, f->n_seqs, out, &f->arena, NULL);
	}
	free(hidden);
	return out;
}

static void assert_close(const struct fixture *f, const char *what, const float *found,
			 const float *expected, size_t n, double tolerance)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)found[i] - (double)expected[i]) <= tolerance))
			fail_msg("%s: %s %zu is %.9g, expected %.9g", f->dir, what, i, found[i],
				 expected[i]);
}

static void test_outputs_equal_peft(void **state)
{
	(void)state;
	for (int which = 0; which < N_ADAPTERS; which++) {
		struct fixture f;
		size_t n, n_expected;
		float *found, *expected;

		open_fixture(&f, which);
		found = outputs_of(&f, &n);
		expected = golden(&f, "logits", &n_expected);
		assert_int_equal(n, n_expected);
		assert_close(&f, "output", found, expected, n, 5e-5);
		free(found);
		free(expected);
		close_fixture(&f);
	}
}

/* --- gradients --- */

static void mean_loss(void *context, int first, int n, const float *logprob, const float *entropy,
		      float *dlogprob)
{
	double *loss = context;

	(void)first;
	(void)entropy;
	for (int i = 0; i < n; i++) {
		loss[0] -= logprob[i] / loss[1];
		dlogprob[i] = (float)(-1 / loss[1]);
	}
}

/* The loss's gradient, a flat block of what is trained. */
static float *gradients_of(struct fixture *f, struct pool *pool)
{
	struct batch batch = whole_batch(f);
	struct kept kept;
	float *hidden = hidden_of(f, &batch, &kept, pool);
	int t = f->offsets[f->n_seqs], rows[256], n = 0;
	int32_t targets[256];
	float *dhidden = xcalloc((size_t)t * (size_t)f->model->config.n_channels, sizeof *dhidden);
	float *grads = xcalloc(model_trained(f->model).layout->n_floats, sizeof *grads);

	if (f->model->config.head == HEAD_LM) {
		double context[2] = {0, t - f->n_seqs};

		for (int b = 0; b < f->n_seqs; b++)
			for (int i = f->offsets[b]; i + 1 < f->offsets[b + 1]; i++, n++) {
				rows[n] = i;
				targets[n] = f->ids[i + 1];
			}
		head_train(f->model, hidden, rows, targets, n, 1, NULL, mean_loss, context, NULL,
			   dhidden, grads, &f->arena, pool);
	} else {
		float dscores[64];
		int n_scores = f->n_seqs * f->model->config.n_labels;

		for (int b = 0; b < f->n_seqs; b++)
			rows[b] = f->offsets[b + 1] - 1;
		for (int i = 0; i < n_scores; i++)
			dscores[i] = 1.0f / (float)n_scores;
		head_score_backward(f->model, hidden, rows, f->n_seqs, dscores, dhidden, grads,
				    &f->arena, pool);
	}
	transformer_backward(f->model, &batch, &kept, dhidden, grads, &f->arena, pool);
	free(hidden);
	free(dhidden);
	return grads;
}

static void check_gradient(const struct fixture *f, const char *name, const float *ours, size_t n)
{
	char key[300];
	size_t n_expected;
	float *expected;
	double error = 0, norm = 0;

	snprintf(key, sizeof key, "grad.base_model.model.%s.weight", name);
	expected = golden(f, key, &n_expected);
	assert_int_equal(n, n_expected);
	for (size_t k = 0; k < n; k++) {
		error += pow((double)ours[k] - (double)expected[k], 2);
		norm += pow((double)expected[k], 2);
	}
	if (!(sqrt(error) <= 1e-4 * sqrt(norm) + 1e-7))
		fail_msg("%s: %s is off by %g of norm %g", f->dir, key, sqrt(error), sqrt(norm));
	free(expected);
}

static void test_gradients_equal_peft(void **state)
{
	(void)state;
	for (int which = 0; which < N_ADAPTERS; which++) {
		struct fixture f;
		float *grads;
		const struct lora *lora;
		int n_golden = 0;

		open_fixture(&f, which);
		lora = f.model->lora;
		grads = gradients_of(&f, NULL);
		for (size_t i = 0; i < f.golden.n; i++)
			n_golden += strncmp(f.golden.tensors[i].name, "grad.", 5) == 0;
		assert_int_equal(n_golden, lora->layout.n);
		for (int m = 0; m < lora->n_modules; m++) {
			const struct lora_module *module = &lora->modules[m];
			size_t n_a = (size_t)module->r * (size_t)module->param->cols;
			size_t n_b = (size_t)module->rows * (size_t)module->r;
			float *b = xcalloc(n_b, sizeof *b);
			struct hf_linear linear;
			char name[200];

			hf_linear_describe(f.model, module->tensor, &linear);
			snprintf(name, sizeof name, "%s.lora_A", linear.module);
			check_gradient(&f, name, grads + module->a, n_a);
			hf_linear_gather(f.model, module->tensor, grads + module->b, module->r, b);
			snprintf(name, sizeof name, "%s.lora_B", linear.module);
			check_gradient(&f, name, b, n_b);
			free(b);
		}
		for (int i = 0; i < lora->n_saved; i++)
			check_gradient(&f, "score", grads + lora->saved[i].at,
				       (size_t)f.model->config.n_labels *
					       (size_t)f.model->config.n_channels);
		free(grads);
		close_fixture(&f);
	}
}

static void test_threads_do_not_matter(void **state)
{
	struct pool *pool = pool_create(3);

	(void)state;
	for (int which = 0; which < N_ADAPTERS; which++) {
		struct fixture f;
		float *one, *three;

		open_fixture(&f, which);
		one = gradients_of(&f, NULL);
		three = gradients_of(&f, pool);
		assert_memory_equal(one, three, f.model->lora->layout.n_floats * sizeof *one);
		free(one);
		free(three);
		close_fixture(&f);
	}
	pool_destroy(pool);
}

static void test_recomputing_has_the_same_bits(void **state)
{
	(void)state;
	for (int which = 0; which < N_ADAPTERS; which++) {
		struct fixture f;
		float *kept, *again;

		open_fixture(&f, which);
		kept = gradients_of(&f, NULL);
		f.model->recomputes = true;
		again = gradients_of(&f, NULL);
		assert_memory_equal(kept, again, f.model->lora->layout.n_floats * sizeof *kept);
		free(kept);
		free(again);
		close_fixture(&f);
	}
}

/* --- merging --- */

static void test_merged_model_computes_the_same(void **state)
{
	(void)state;
	for (int which = 0; which < N_ADAPTERS; which++) {
		struct fixture f;
		size_t n;
		float *before, *after;

		open_fixture(&f, which);
		before = outputs_of(&f, &n);
		lora_merge(f.model, NULL);
		assert_null(f.model->lora);
		after = outputs_of(&f, &n);
		assert_close(&f, "merged output", after, before, n, 1e-5);
		for (int i = 0; i < hf_tensor_count(f.model); i++) {
			struct hf_tensor tensor;
			char key[200];
			float *ours, *expected;

			hf_tensor_describe(f.model, i, &tensor);
			snprintf(key, sizeof key, "merged.%s", tensor.name);
			if (!safetensors_find(&f.golden, key))
				continue;
			expected = golden(&f, key, &n);
			ours = xcalloc(n, sizeof *ours);
			hf_tensor_gather(f.model, i, f.model->weights, ours);
			assert_close(&f, key, ours, expected, n, 1e-6);
			free(ours);
			free(expected);
		}
		free(before);
		free(after);
		close_fixture(&f);
	}
}

/* --- rows --- */

/* A sequence's hidden states by itself are those in a batch. */
static void test_rows_do_not_depend_on_the_batch(void **state)
{
	(void)state;
	for (int which = 0; which < N_ADAPTERS; which++) {
		struct fixture f;
		struct batch batch;
		float *all, *alone;
		int c;

		open_fixture(&f, which);
		c = f.model->config.n_channels;
		batch = whole_batch(&f);
		all = hidden_of(&f, &batch, NULL, NULL);
		for (int b = 0; b < f.n_seqs; b++) {
			int offsets[2] = {0, f.offsets[b + 1] - f.offsets[b]};
			struct batch one = {.ids = f.ids + f.offsets[b], .offsets = offsets,
					    .n_seqs = 1};

			alone = hidden_of(&f, &one, NULL, NULL);
			assert_memory_equal(alone, all + (size_t)f.offsets[b] * (size_t)c,
					    (size_t)offsets[1] * (size_t)c * sizeof *alone);
			free(alone);
		}
		free(all);
		close_fixture(&f);
	}
}

/* --- files --- */

static char *read_text(const char *dir, const char *name, size_t *n)
{
	char *path = path_join(dir, name);
	struct buf text = BUF_INIT;
	struct error err = {""};

	if (file_read(path, 1 << 24, &text, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	free(path);
	*n = text.length;
	return buf_detach(&text);
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
	size_t n_a, n_b;
	char *text_a = read_text(a, name, &n_a), *text_b = read_text(b, name, &n_b);

	if (n_a != n_b || memcmp(text_a, text_b, n_a) != 0)
		fail_msg("%s/%s and %s/%s differ", a, name, b, name);
	free(text_a);
	free(text_b);
}

static void test_files_are_those_of_peft_to_the_byte(void **state)
{
	(void)state;
	for (int which = 0; which < N_ADAPTERS; which++) {
		char dir[] = "/tmp/rlhf-test-lora-XXXXXX", out[60];
		struct hf_save_options options = {0};
		struct error err = {""};
		struct fixture f;

		assert_non_null(mkdtemp(dir));
		snprintf(out, sizeof out, "%s/adapter", dir);
		open_fixture(&f, which);
		if (hf_save(f.model, out, &options, &err) != STATUS_OK)
			fail_msg("%s", err.text);
		assert_same_file(f.dir, out, "adapter_model.safetensors");
		assert_same_file(f.dir, out, "adapter_config.json");
		assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
		close_fixture(&f);
	}
}

/* --- a new adapter --- */

static enum status create(struct model *model, const char *targets, const char *saved,
			  struct error *err)
{
	struct json *names = targets ? json_parse(targets, strlen(targets), "targets", err) : NULL;
	struct json *whole = saved ? json_parse(saved, strlen(saved), "saved", err) : NULL;
	struct adapter_options options = {.r = 4,
					  .lora_alpha = 8,
					  .target_modules = names,
					  .modules_to_save = whole,
					  .base = "base",
					  .seed = 3};
	enum status status = hf_adapter_attach(model, &options, NULL, err);

	json_free(names);
	json_free(whole);
	return status;
}

static void test_a_new_adapter_changes_no_bit(void **state)
{
	static const char *const bases[] = {"gpt2", "llama-gqa", "gpt_neox", "gptj", "phi3",
					    "score-llama"};
	const int32_t ids[] = {1, 5, 9, 4, 7};
	const int offsets[] = {0, 5};
	struct batch batch = {.ids = ids, .offsets = offsets, .n_seqs = 1};

	(void)state;
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		struct model *model = load_base(bases[i]);
		size_t n = 5 * (size_t)model->config.n_channels;
		float *before = xcalloc(n, sizeof *before), *after = xcalloc(n, sizeof *after);
		struct arena arena;
		struct error err = {""};

		arena_init(&arena);
		transformer_forward(model, &batch, before, NULL, &arena, NULL);
		if (create(model, i % 2 ? "\"all-linear\"" : NULL, NULL, &err) != STATUS_OK)
			fail_msg("%s: %s", bases[i], err.text);
		transformer_forward(model, &batch, after, NULL, &arena, NULL);
		assert_memory_equal(before, after, n * sizeof *before);
		arena_release(&arena);
		free(before);
		free(after);
		model_destroy(model);
	}
}

static void test_a_is_uniform_within_its_bound(void **state)
{
	struct model *model = load_base("gpt2");
	struct error err = {""};

	(void)state;
	assert_int_equal(create(model, "\"all-linear\"", NULL, &err), STATUS_OK);
	assert_int_equal(model->lora->n_modules, 4 * model->config.n_layers);
	for (int m = 0; m < model->lora->n_modules; m++) {
		const struct lora_module *module = &model->lora->modules[m];
		const float *a = model->lora->values + module->a;
		int n = module->r * module->param->cols;
		double bound = 1 / sqrt((double)module->param->cols), squares = 0;

		for (int i = 0; i < n; i++) {
			assert_true(fabs((double)a[i]) <= bound);
			squares += (double)a[i] * (double)a[i];
		}
		/* bound^2 / 3, within four of its own deviations */
		assert_true(fabs(squares / n / (bound * bound) - 1. / 3) <
			    4 * sqrt(4. / 45 / n));
		assert_true(module->scale == 2);
	}
	model_destroy(model);
}

/* As PEFT, which then looks for all of them in the file: "norm" is input_layernorm too. */
static void test_the_end_of_a_name_tells_what_is_trained_whole(void **state)
{
	static const struct {
		const char *saved;
		int n; /* of 2 layers */
	} cases[] = {{"[\"norm\"]", 5}, {"[\"model.norm\"]", 1}, {"[\"put_layernorm\"]", 2}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct model *model = load_base("llama-gqa");
		struct error err = {""};

		assert_int_equal(create(model, NULL, cases[i].saved, &err), STATUS_OK);
		assert_int_equal(model->lora->n_saved, cases[i].n);
		model_destroy(model);
	}
}

/* GPT-NeoX stores its output matrix as embed_out, and transformers 5 calls it lm_head: the
 * file has the name by which modules_to_save means it, and either is read. */
static void test_the_output_matrix_has_the_name_that_it_is_saved_by(void **state)
{
	static const char *const cases[][2] = {{"[\"lm_head\"]", "lm_head"},
					       {"\"head\"", "lm_head"},
					       {"[\"embed_out\"]", "embed_out"}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char dir[] = "/tmp/rlhf-test-lora-XXXXXX", out[60], path[120], name[80];
		struct hf_save_options options = {0};
		struct model *model = load_base("gpt_neox"), *again = load_base("gpt_neox");
		struct safetensors file;
		struct error err = {""};

		assert_non_null(mkdtemp(dir));
		snprintf(out, sizeof out, "%s/adapter", dir);
		snprintf(path, sizeof path, "%s/adapter_model.safetensors", out);
		snprintf(name, sizeof name, "base_model.model.%s.weight", cases[i][1]);
		assert_int_equal(create(model, NULL, cases[i][0], &err), STATUS_OK);
		assert_int_equal(hf_save(model, out, &options, &err), STATUS_OK);
		assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
		assert_non_null(safetensors_find(&file, name));
		safetensors_close(&file);
		if (hf_adapter_load(again, out, NULL, &err) != STATUS_OK)
			fail_msg("%s", err.text);
		assert_int_equal(again->lora->n_saved, 1);
		assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
		model_destroy(again);
		model_destroy(model);
	}
}

/* --- what is refused --- */

static void test_an_output_matrix_beside_a_tied_model_is_refused_as_such(void **state)
{
	char dir[] = "/tmp/rlhf-test-lora-XXXXXX", out[60];
	struct hf_save_options options = {0};
	struct model *untied = load_base("llama-gqa"), *tied = load_base("llama-pad");
	struct error err = {""};

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(out, sizeof out, "%s/adapter", dir);
	assert_int_equal(create(untied, NULL, "[\"lm_head\"]", &err), STATUS_OK);
	assert_int_equal(hf_save(untied, out, &options, &err), STATUS_OK);
	assert_int_equal(hf_adapter_load(tied, out, NULL, &err), STATUS_BAD_INPUT);
	if (!strstr(err.text, "tensor \"base_model.model.lm_head.weight\" is an output matrix, but "
			      "this model's is tied to the embedding"))
		fail_msg("%s", err.text);
	assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
	model_destroy(tied);
	model_destroy(untied);
}

/* The files alone do not show it: names of no module are PEFT's. */
static void test_a_tensor_that_is_trained_whole_must_be_there(void **state)
{
	char dir[] = "/tmp/rlhf-test-lora-XXXXXX", out[60], path[120];
	struct hf_save_options options = {0};
	struct model *model = load_base("llama-gqa"), *again = load_base("llama-gqa");
	struct buf text = BUF_INIT;
	struct error err = {""};

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(out, sizeof out, "%s/adapter", dir);
	snprintf(path, sizeof path, "%s/adapter_config.json", out);
	assert_int_equal(create(model, NULL, "[\"model.norm\"]", &err), STATUS_OK);
	assert_int_equal(hf_save(model, out, &options, &err), STATUS_OK);
	assert_int_equal(file_read(path, 1 << 20, &text, &err), STATUS_OK);
	assert_int_equal(json_edit(&text, "modules_to_save", "[\"norm\", \"classifier\"]", &err),
			 STATUS_OK);
	assert_int_equal(file_replace(path, text.data, text.length, &err), STATUS_OK);
	assert_int_equal(hf_adapter_load(again, out, NULL, &err), STATUS_BAD_INPUT);
	if (!strstr(err.text, "adapter_model.safetensors: tensor \"base_model.model.model.layers.0."
			      "input_layernorm.weight\" is missing, expected because "
			      "\"modules_to_save\" of ") ||
	    !strstr(err.text, "adapter_config.json names \"norm\""))
		fail_msg("%s", err.text);
	assert_null(again->lora);
	assert_int_equal(json_edit(&text, "modules_to_save", "[\"l.norm\", \"classifier\"]", &err),
			 STATUS_OK);
	assert_int_equal(file_replace(path, text.data, text.length, &err), STATUS_OK);
	if (hf_adapter_load(again, out, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	assert_int_equal(again->lora->n_saved, 1);
	assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
	buf_release(&text);
	model_destroy(again);
	model_destroy(model);
}

static void assert_refused(const char *base, const char *targets, const char *saved,
			   const char *why)
{
	struct model *model = load_base(base);
	struct error err = {""};

	assert_int_equal(create(model, targets, saved, &err), STATUS_BAD_INPUT);
	if (!strstr(err.text, why))
		fail_msg("\"%s\", expected \"%s\"", err.text, why);
	assert_null(model->lora);
	model_destroy(model);
}

static void test_names_that_match_nothing_are_refused(void **state)
{
	(void)state;
	assert_refused("gpt2", "[\"c_atn\"]", NULL,
		       "no linear layer is called \"c_atn\", expected some of c_attn, c_proj, c_fc");
	assert_refused("llama-gqa", "[\"q_proj\", \"proj\"]", NULL, "called \"proj\"");
	assert_refused("llama-gqa", "\".*proj\"", NULL, "regular expressions are not read");
	assert_refused("llama-gqa", "[\"lm_head\"]", NULL, "inside the model's layers");
	assert_refused("llama-gqa", "[\"embed_tokens\"]", NULL, "inside the model's layers");
	assert_refused("llama-gqa", NULL, "[\"q_proj\"]", "a part of a larger matrix");
	assert_refused("gpt2", NULL, "[\"wte\"]", "tied to the output matrix");
	assert_refused("gpt2", NULL, "[\"score\"]", "no module of the model is called \"score\"");
	assert_refused("gpt2", NULL, "[\"lm_head\"]",
		       "called \"lm_head\": its output matrix is tied to the embedding");
}

/* Whether the files alone show that an adapter is refused. */
static bool is_sound(const char *dir)
{
	struct hf_problems problems = {0};
	struct hf_adapter_files files;
	bool sound;

	hf_adapter_open(&files, dir, &problems);
	sound = problems.n == 0;
	hf_adapter_close(&files);
	hf_problems_release(&problems);
	return sound;
}

/* A copy of an adapter whose config has one member changed. */
static enum status load_changed(const char *name, const char *base, const char *key,
				const char *value, struct error *err)
{
	char dir[] = "/tmp/rlhf-test-lora-XXXXXX", from[200], to[200], here[200];
	struct buf text = BUF_INIT;
	struct model *model = load_base(base);
	struct error ignored;
	size_t n;
	char *config;
	enum status status;

	assert_non_null(mkdtemp(dir));
	assert_non_null(getcwd(here, sizeof here));
	snprintf(from, sizeof from, "%.80s/" ADAPTERS "%.60s/adapter_model.safetensors", here,
		 name);
	snprintf(to, sizeof to, "%s/adapter_model.safetensors", dir);
	assert_int_equal(symlink(from, to), 0);
	snprintf(from, sizeof from, ADAPTERS "%.60s", name);
	config = read_text(from, "adapter_config.json", &n);
	buf_append(&text, config, n);
	assert_int_equal(json_edit(&text, key, value, err), STATUS_OK);
	snprintf(to, sizeof to, "%s/adapter_config.json", dir);
	assert_int_equal(file_replace(to, text.data, text.length, err), STATUS_OK);
	status = hf_adapter_load(model, dir, NULL, err);
	assert_int_equal(is_sound(dir), status == STATUS_OK);
	if (status != STATUS_OK)
		assert_null(model->lora);
	assert_int_equal(file_remove_tree(dir, &ignored), STATUS_OK);
	free(config);
	buf_release(&text);
	model_destroy(model);
	return status;
}

static void assert_config_refused(const char *key, const char *value, const char *why)
{
	struct error err = {""};

	assert_int_equal(load_changed("llama-rslora", "llama-gqa", key, value, &err),
			 STATUS_BAD_INPUT);
	if (!strstr(err.text, why))
		fail_msg("%s: \"%s\", expected \"%s\"", key, err.text, why);
}

static void test_variants_and_bad_configs_are_refused(void **state)
{
	struct error err = {""};

	(void)state;
	assert_config_refused("peft_type", "\"IA3\"", "\"peft_type\" is \"IA3\"");
	assert_config_refused("use_dora", "true", "\"use_dora\" is true");
	assert_config_refused("layer_replication", "[[0, 1]]", "layer_replication");
	assert_config_refused("target_parameters", "[\"x\"]", "target_parameters");
	assert_config_refused("trainable_token_indices", "[1]", "trainable_token_indices");
	assert_config_refused("bias", "\"all\"", "\"bias\" is \"all\", expected \"none\"");
	assert_config_refused("lora_bias", "true", "lora_bias");
	assert_config_refused("init_lora_weights", "\"pissa\"", "init_lora_weights");
	assert_config_refused("r", "0", "\"r\" is 0");
	assert_config_refused("r", "-1", "\"r\" is -1");
	assert_config_refused("r", "1000000", "\"r\" is 1000000");
	assert_config_refused("r", "4", "is 3 and 3, expected 4");
	assert_config_refused("rank_pattern", "{}", "is 2 and 2, expected 3");
	assert_config_refused("rank_pattern", "{\".*v_proj\": 2}", "regular expressions");
	assert_config_refused("alpha_pattern", "{\"v_proj\": \"x\"}", "is a string");
	assert_config_refused("alpha_pattern", "3", "\"alpha_pattern\" is 3, expected an object");
	assert_config_refused("rank_pattern", "[\"x\"]", "\"rank_pattern\" is [\"x\"], expected");
	assert_config_refused("alpha_pattern", "{\"v_proj\": 1e300}", "is more than a float holds");
	assert_config_refused("lora_alpha", "1e300", "is more than a float holds");
	assert_config_refused("lora_alpha", "\"x\"", "\"lora_alpha\" is \"x\"");
	assert_config_refused("use_rslora", "3", "\"use_rslora\" is 3");
	assert_config_refused("r", "null", "\"r\" is null");
	assert_config_refused("modules_to_save", "3", "\"modules_to_save\" is 3, expected a list");
	assert_config_refused("modules_to_save", "[\"norm\", 1]", "expected a list of names");
	assert_config_refused("modules_to_save", "[\"x\", \"lm_head\"]",
			      "adapter_model.safetensors: no tensor is of a module that is trained "
			      "whole, expected some because \"modules_to_save\" of ");
	assert_config_refused("rank_pattern", "{\"v_proj\": 0}", "is not a whole number");
	/* What does not change what is computed does not matter. */
	assert_int_equal(load_changed("llama-rslora", "llama-gqa", "target_modules", "\".*\"", &err),
			 STATUS_OK);
	assert_int_equal(load_changed("llama-rslora", "llama-gqa", "something_new", "null", &err),
			 STATUS_OK);
	assert_int_equal(load_changed("llama-rslora", "llama-gqa", "lora_alpha", "-1", &err),
			 STATUS_OK);
	assert_int_equal(load_changed("llama-rslora", "llama-gqa", "lora_alpha", NULL, &err),
			 STATUS_OK);
}

static void test_an_adapter_of_another_model_is_refused(void **state)
{
	struct model *model = load_base("gpt2");
	struct error err = {""};

	(void)state;
	assert_int_equal(hf_adapter_load(model, ADAPTERS "llama-rslora", NULL, &err),
			 STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "adapts no linear layer inside the layers of this model"));
	assert_int_equal(hf_adapter_load(model, "tests/golden/models/gpt2", NULL, &err),
			 STATUS_BAD_INPUT);
	model_destroy(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outputs_equal_peft),
		cmocka_unit_test(test_gradients_equal_peft),
		cmocka_unit_test(test_threads_do_not_matter),
		cmocka_unit_test(test_recomputing_has_the_same_bits),
		cmocka_unit_test(test_merged_model_computes_the_same),
		cmocka_unit_test(test_rows_do_not_depend_on_the_batch),
		cmocka_unit_test(test_files_are_those_of_peft_to_the_byte),
		cmocka_unit_test(test_a_new_adapter_changes_no_bit),
		cmocka_unit_test(test_the_end_of_a_name_tells_what_is_trained_whole),
		cmocka_unit_test(test_the_output_matrix_has_the_name_that_it_is_saved_by),
		cmocka_unit_test(test_a_is_uniform_within_its_bound),
		cmocka_unit_test(test_a_tensor_that_is_trained_whole_must_be_there),
		cmocka_unit_test(test_an_output_matrix_beside_a_tied_model_is_refused_as_such),
		cmocka_unit_test(test_names_that_match_nothing_are_refused),
		cmocka_unit_test(test_variants_and_bad_configs_are_refused),
		cmocka_unit_test(test_an_adapter_of_another_model_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The forward and backward passes against golden values of transformers, and the
 * promises on bits: a position's hidden state and log-probability do not depend on
 * the batch, on threads, or on whether a cache was used.
 *
 * tests/golden/models holds tiny random checkpoints with logits and gradients
 * computed by transformers; tolerances are those of its float32 noise: 5e-5 on
 * logits, 1e-5 on scores, 1e-4 of a gradient's norm. */
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
#include "common/base/rng.h"
#include "common/model/head.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/safetensors.h"
#include "common/model/sequences.h"
#include "common/model/transformer.h"
#include "tests/unit/common/model/golden_models.h"

struct fixture {
	struct model *model;
	struct safetensors golden;
	int32_t *ids; /* [n_seqs * length] */
	int offsets[9];
	int n_seqs, length;
	struct arena arena;
};

static int32_t *golden_ids(const struct safetensors *golden, const char *name)
{
	const struct tensor_view *view = safetensors_find(golden, name);
	struct error err;
	int64_t *wide;
	int32_t *ids;

	if (!view)
		return NULL;
	wide = xcalloc(view->n_elements, sizeof *wide);
	ids = xcalloc(view->n_elements, sizeof *ids);
	assert_int_equal(tensor_read_bytes(view, wide, &err), STATUS_OK);
	for (size_t i = 0; i < view->n_elements; i++)
		ids[i] = (int32_t)wide[i];
	free(wide);
	return ids;
}

static void open_directory(struct fixture *f, const char *dir, enum head_kind head)
{
	char path[240];
	struct hf_load_options options = {.head = head};
	struct error err = {""};
	const struct tensor_view *ids;

	snprintf(path, sizeof path, "%.200s/golden.safetensors", dir);
	if (hf_load(&f->model, dir, &options, NULL, &err) != STATUS_OK ||
	    safetensors_open(&f->golden, path, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	ids = safetensors_find(&f->golden, "input_ids");
	f->n_seqs = (int)ids->shape[0];
	f->length = (int)ids->shape[1];
	f->ids = golden_ids(&f->golden, "input_ids");
	for (int b = 0; b <= f->n_seqs; b++)
		f->offsets[b] = b * f->length;
	arena_init(&f->arena);
}

static void open_fixture(struct fixture *f, const char *name, enum head_kind head)
{
	char dir[200];

	snprintf(dir, sizeof dir, MODELS "%.100s", name);
	open_directory(f, dir, head);
}

static void close_fixture(struct fixture *f)
{
	model_destroy(f->model);
	safetensors_close(&f->golden);
	free(f->ids);
	arena_release(&f->arena);
}

static float *golden(const struct fixture *f, const char *name, size_t *n)
{
	const struct tensor_view *view = safetensors_find(&f->golden, name);
	struct error err;
	float *values;

	if (!view)
		fail_msg("golden tensor %s is missing", name);
	values = xcalloc(view->n_elements, sizeof *values);
	assert_int_equal(tensor_read(view, 0, view->n_elements, values, &err), STATUS_OK);
	*n = view->n_elements;
	return values;
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

/* Entries (row, target) of next-token prediction. */
static int next_token_entries(const struct fixture *f, int *rows, int32_t *targets)
{
	int k = 0;

	for (int b = 0; b < f->n_seqs; b++)
		for (int i = 0; i + 1 < f->length; i++, k++) {
			rows[k] = b * f->length + i;
			targets[k] = f->ids[rows[k] + 1];
		}
	return k;
}

static void check_logprobs(struct fixture *f, const char *dir, const float *hidden)
{
	size_t n;
	float *expected = golden(f, "next_token_logprobs", &n), logprobs[256];
	int rows[256];
	int32_t targets[256];

	assert_int_equal(next_token_entries(f, rows, targets), n);
	head_logprobs(f->model, hidden, rows, targets, (int)n, 1, NULL, logprobs, NULL, NULL,
		      &f->arena, NULL);
	for (size_t i = 0; i < n; i++)
		if (!(fabsf(logprobs[i] - expected[i]) <= 5e-5F))
			fail_msg("%s: log-probability %zu is %g, expected %g", dir, i, logprobs[i],
				 expected[i]);
	free(expected);
}

static void check_logits_in(const char *dir)
{
	struct fixture f;
	struct batch batch;
	size_t n;
	float *expected, *hidden, *logits;

	open_directory(&f, dir, HEAD_LM);
	batch = whole_batch(&f);
	hidden = hidden_of(&f, &batch, NULL, NULL);
	expected = golden(&f, "logits", &n);
	logits = xcalloc(n, sizeof *logits);
	assert_int_equal(n, (size_t)f.n_seqs * f.length * f.model->config.n_vocab);
	head_logits(f.model, hidden, f.n_seqs * f.length, logits, &f.arena, NULL);
	for (size_t i = 0; i < n; i++)
		if (!(fabsf(logits[i] - expected[i]) <= 5e-5F))
			fail_msg("%s: logit %zu is %g, expected %g", dir, i, logits[i],
				 expected[i]);
	check_logprobs(&f, dir, hidden);
	free(expected);
	free(hidden);
	free(logits);
	close_fixture(&f);
}

static void check_logits(const char *name)
{
	char dir[200];

	snprintf(dir, sizeof dir, MODELS "%.100s", name);
	check_logits_in(dir);
}

/* The same model by config4.json, in the dialect of transformers 4. */
static void check_old_dialect(const char *name)
{
	static const char *const links[][2] = {{"config4.json", "config.json"},
					       {"model.safetensors", "model.safetensors"},
					       {"golden.safetensors", "golden.safetensors"}};
	char dir[] = "/tmp/rlhf-test-dialect-XXXXXX", to[200], here[200];
	struct error err;

	assert_non_null(mkdtemp(dir));
	assert_non_null(getcwd(here, sizeof here));
	for (int i = 0; i < 3; i++) {
		char from[500];

		snprintf(from, sizeof from, "%s/" MODELS "%.80s/%s", here, name, links[i][0]);
		snprintf(to, sizeof to, "%s/%s", dir, links[i][1]);
		assert_int_equal(symlink(from, to), 0);
	}
	check_logits_in(dir);
	assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
}

static void test_configs_of_transformers_4_give_the_same_logits(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config4.json", check_old_dialect) > 0);
}

static void test_logits_equal_transformers(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_logits) > 0);
}

/* Mean cross-entropy: the derivative is the same at every entry. */
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

static float *gradients_of(struct fixture *f, struct pool *pool, double *loss)
{
	struct batch batch = whole_batch(f);
	struct kept kept;
	int rows[256];
	int32_t targets[256];
	int n = next_token_entries(f, rows, targets);
	float *hidden = hidden_of(f, &batch, &kept, pool);
	float *dhidden = xcalloc((size_t)f->n_seqs * f->length * f->model->config.n_channels,
				 sizeof *dhidden);
	float *grads = xcalloc(f->model->layout.n_floats, sizeof *grads);
	double context[2] = {0, n};

	head_train(f->model, hidden, rows, targets, n, 1, NULL, mean_loss, context, NULL, dhidden,
		   grads, &f->arena, pool);
	transformer_backward(f->model, &batch, &kept, dhidden, grads, &f->arena, pool);
	*loss = context[0];
	free(hidden);
	free(dhidden);
	return grads;
}

/* What rounding may make of a gradient that is exactly 0.  A key's bias adds the same to
 * all scores of a query, so without rotary positions its gradient is a sum that cancels;
 * its terms are those of the gradient of the key's weights. */
static double rounding_floor(const struct fixture *f, const char *key)
{
	const char *place = strstr(key, "k_proj.bias");
	char weight[200];
	double norm = 0;
	float *terms;
	size_t n;

	if (!place || f->model->config.position != POSITION_LEARNED)
		return 1e-7;
	snprintf(weight, sizeof weight, "%.*sk_proj.weight", (int)(place - key), key);
	terms = golden(f, weight, &n);
	for (size_t i = 0; i < n; i++)
		norm += pow(terms[i], 2);
	free(terms);
	return 5e-7 * sqrt(norm);
}

static void check_gradients(const char *name)
{
	struct fixture f;
	double loss;
	float *grads, *expected;
	size_t n;
	int n_left = 0; /* golden gradients that no tensor of ours has */

	open_fixture(&f, name, HEAD_LM);
	for (size_t i = 0; i < f.golden.n; i++)
		n_left += strncmp(f.golden.tensors[i].name, "grad.", 5) == 0;
	grads = gradients_of(&f, NULL, &loss);
	expected = golden(&f, "loss", &n);
	assert_true(fabs(loss - expected[0]) <= 1e-5);
	free(expected);
	for (int i = 0; i < hf_tensor_count(f.model); i++) {
		struct hf_tensor tensor;
		char key[200];
		float *ours;
		double error = 0, norm = 0;

		hf_tensor_describe(f.model, i, &tensor);
		snprintf(key, sizeof key, "grad.%s", tensor.name);
		if (!safetensors_find(&f.golden, key)) /* left out of variants */
			continue;
		n_left--;
		expected = golden(&f, key, &n);
		assert_int_equal(n, tensor.n_elements);
		ours = xcalloc(n, sizeof *ours);
		hf_tensor_gather(f.model, i, grads, ours);
		for (size_t k = 0; k < n; k++) {
			error += pow((double)ours[k] - expected[k], 2);
			norm += pow(expected[k], 2);
		}
		if (!(sqrt(error) <= 1e-4 * sqrt(norm) + rounding_floor(&f, key)))
			fail_msg("%s: %s is off by %g of norm %g", name, key, sqrt(error),
				 sqrt(norm));
		free(ours);
		free(expected);
	}
	assert_int_equal(n_left, 0);
	free(grads);
	close_fixture(&f);
}

static void test_gradients_equal_transformers(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_gradients) > 0);
}

static void check_scores(const char *name)
{
	struct fixture f;
	int32_t *mask;
	size_t n;
	int n_labels;
	float *expected;

	open_fixture(&f, name, HEAD_SCORE);
	n_labels = f.model->config.n_labels;
	mask = golden_ids(&f.golden, "attention_mask");
	expected = golden(&f, "pooled_logits", &n);
	assert_int_equal(n, f.n_seqs * n_labels);
	for (int b = 0; b < f.n_seqs; b++) {
		/* The ids that are not padding, left or right, are the sequence. */
		int32_t ids[64];
		int length = 0, row;
		float hidden[64 * 64], scores[8];
		struct batch batch = {.ids = ids, .n_seqs = 1};
		int offsets[2] = {0, 0};

		/* transformers numbers learned positions from the padding on; we
		 * have no padding, so that row has no counterpart here. */
		if (!mask[b * f.length] && f.model->config.position == POSITION_LEARNED)
			continue;
		for (int i = 0; i < f.length; i++)
			if (mask[b * f.length + i])
				ids[length++] = f.ids[b * f.length + i];
		offsets[1] = length;
		batch.offsets = offsets;
		transformer_forward(f.model, &batch, hidden, NULL, &f.arena, NULL);
		row = head_pooled_position(ids, length, f.model->config.pad_id);
		head_score(f.model, hidden, &row, 1, scores, &f.arena, NULL);
		for (int k = 0; k < n_labels; k++)
			if (!(fabsf(scores[k] - expected[b * n_labels + k]) <= 1e-5F))
				fail_msg("%s: score %d of row %d is %g, expected %g", name, k, b,
					 scores[k], expected[b * n_labels + k]);
	}
	free(mask);
	free(expected);
	close_fixture(&f);
}

static void test_pooled_scores_equal_transformers(void **state)
{
	(void)state;
	assert_true(for_each_model(true, "config.json", check_scores) > 0);
}

/* Sequences longer than the positions that a rope was made for: their rotation changes
 * with the length, which a cache cannot follow. */
static bool is_too_long_for_cache(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && strcmp(name + n - 5, "-long") == 0;
}

static void check_decode(const char *name)
{
	struct fixture f;
	struct batch batch;
	struct kv_cache *cache;
	size_t c;
	float *hidden, *last;

	if (is_too_long_for_cache(name))
		return;
	open_fixture(&f, name, HEAD_LM);
	c = (size_t)f.model->config.n_channels;
	batch = whole_batch(&f);
	hidden = hidden_of(&f, &batch, NULL, NULL);
	last = xcalloc((size_t)f.n_seqs * c, sizeof *last);
	for (int prompt = 1; prompt < f.length; prompt++) {
		int slots[2] = {1, 0}, offsets[3] = {0, prompt, 2 * prompt};
		int ends[2] = {prompt - 1, 2 * prompt - 1};
		int32_t ids[64];
		struct batch prompts = {
			.ids = ids, .offsets = offsets, .n_seqs = 2, .wanted = ends, .n_wanted = 2};

		cache = kv_cache_create(f.model, 2, 2 * kv_cache_blocks_for(f.length));
		assert_true(kv_cache_reserve(cache, 0, f.length));
		assert_true(kv_cache_reserve(cache, 1, f.length));
		memcpy(ids, f.ids, (size_t)prompt * sizeof *ids);
		memcpy(ids + prompt, f.ids + f.length, (size_t)prompt * sizeof *ids);
		transformer_prefill(f.model, cache, slots, &prompts, last, &f.arena, NULL);
		for (int i = prompt; i < f.length; i++) {
			for (int b = 0; b < 2; b++)
				assert_memory_equal(last + b * c,
						    hidden + (size_t)(b * f.length + i - 1) * c,
						    c * sizeof *last);
			ids[0] = f.ids[i];
			ids[1] = f.ids[f.length + i];
			transformer_decode(f.model, cache, slots, ids, 2, last, &f.arena, NULL);
		}
		kv_cache_destroy(cache);
	}
	free(hidden);
	free(last);
	close_fixture(&f);
}

static void test_decode_over_a_cache_has_the_bits_of_the_full_forward(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_decode) > 0);
}

/* The most likely continuation of the first 8 ids. */
static void check_greedy(const char *name)
{
	enum { PROMPT = 8, TOTAL = 24 };
	struct fixture f;
	struct kv_cache *cache;
	int slot = 0, offsets[2] = {0, PROMPT}, end = PROMPT - 1;
	struct batch prompt = {.offsets = offsets, .n_seqs = 1, .wanted = &end, .n_wanted = 1};
	float *hidden, *logits;
	int32_t *expected;

	open_fixture(&f, name, HEAD_LM);
	expected = golden_ids(&f.golden, "greedy");
	if (expected) {
		prompt.ids = expected;
		hidden = xcalloc((size_t)f.model->config.n_channels, sizeof *hidden);
		logits = xcalloc((size_t)f.model->config.n_vocab, sizeof *logits);
		cache = kv_cache_create(f.model, 1, kv_cache_blocks_for(TOTAL));
		assert_true(kv_cache_reserve(cache, 0, TOTAL));
		transformer_prefill(f.model, cache, &slot, &prompt, hidden, &f.arena, NULL);
		for (int i = PROMPT; i < TOTAL; i++) {
			int32_t best = 0;

			head_logits(f.model, hidden, 1, logits, &f.arena, NULL);
			for (int v = 1; v < f.model->config.n_vocab; v++)
				if (logits[v] > logits[best])
					best = v;
			if (best != expected[i])
				fail_msg("%s: greedy id %d is %d, expected %d", name, i, best,
					 expected[i]);
			transformer_decode(f.model, cache, &slot, &best, 1, hidden, &f.arena, NULL);
		}
		kv_cache_destroy(cache);
		free(hidden);
		free(logits);
		free(expected);
	}
	close_fixture(&f);
}

static void test_greedy_continuations_equal_transformers(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_greedy) > 0);
}

static void test_hidden_states_do_not_depend_on_the_batch(void **state)
{
	struct fixture f;
	struct batch batch, alone;
	float *hidden, *single;
	int offsets[2] = {0, 0};
	size_t row;
	(void)state;

	open_fixture(&f, "llama-gqa", HEAD_LM);
	row = (size_t)f.model->config.n_channels * sizeof(float);
	batch = whole_batch(&f);
	hidden = hidden_of(&f, &batch, NULL, NULL);
	for (int b = 0; b < f.n_seqs; b++)
		for (int n = 1; n <= f.length; n++) {
			offsets[1] = n;
			alone = (struct batch){
				.ids = f.ids + b * f.length, .offsets = offsets, .n_seqs = 1};
			single = hidden_of(&f, &alone, NULL, NULL);
			assert_memory_equal(single, (char *)hidden + (size_t)(b * f.length) * row,
					    (size_t)n * row);
			free(single);
		}
	free(hidden);
	close_fixture(&f);
}

static void test_gradients_do_not_depend_on_threads(void **state)
{
	struct pool *pool = pool_create(2);
	struct fixture f;
	double loss;
	float *one, *two;
	(void)state;

	open_fixture(&f, "gpt2", HEAD_LM);
	one = gradients_of(&f, NULL, &loss);
	two = gradients_of(&f, pool, &loss);
	assert_memory_equal(one, two, f.model->layout.n_floats * sizeof *one);
	free(one);
	free(two);
	close_fixture(&f);
	pool_destroy(pool);
}

static void test_banned_ids_have_no_probability_and_no_gradient(void **state)
{
	struct fixture f;
	struct batch batch;
	struct kept kept;
	int32_t banned = 5, target = 5;
	uint8_t applies = 1;
	struct head_ban ban = {.ids = &banned, .n_ids = 1, .applies = &applies};
	float *hidden, logprob, entropy;
	double total = 0;
	int row = 3;
	(void)state;

	open_fixture(&f, "gpt2", HEAD_LM);
	batch = whole_batch(&f);
	hidden = hidden_of(&f, &batch, &kept, NULL);
	for (target = 0; target < f.model->config.n_vocab; target++) {
		head_logprobs(f.model, hidden, &row, &target, 1, 1, &ban, &logprob, &entropy,
			      NULL, &f.arena, NULL);
		total += exp(logprob);
		assert_true(target != banned || logprob < -1e20F);
	}
	assert_true(fabs(total - 1) < 1e-5);
	assert_true(isfinite(entropy));
	free(hidden);
	close_fixture(&f);
}

/* What is kept of the layers is less, and the gradients have the same bits. */
static void check_recomputing(const char *name)
{
	struct fixture f;
	float *kept, *again;
	double loss[2];
	size_t most;

	open_fixture(&f, name, HEAD_LM);
	kept = gradients_of(&f, NULL, &loss[0]);
	most = f.arena.high_water;
	arena_release(&f.arena);
	arena_init(&f.arena);
	f.model->recomputes = true;
	again = gradients_of(&f, NULL, &loss[1]);
	assert_memory_equal(loss, &loss[1], sizeof *loss);
	assert_memory_equal(kept, again, f.model->layout.n_floats * sizeof *kept);
	assert_true(f.arena.high_water < most);
	free(kept);
	free(again);
	close_fixture(&f);
}

static void test_recomputing_has_the_same_bits_in_less_memory(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_recomputing) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logits_equal_transformers),
		cmocka_unit_test(test_configs_of_transformers_4_give_the_same_logits),
		cmocka_unit_test(test_gradients_equal_transformers),
		cmocka_unit_test(test_pooled_scores_equal_transformers),
		cmocka_unit_test(test_decode_over_a_cache_has_the_bits_of_the_full_forward),
		cmocka_unit_test(test_greedy_continuations_equal_transformers),
		cmocka_unit_test(test_hidden_states_do_not_depend_on_the_batch),
		cmocka_unit_test(test_gradients_do_not_depend_on_threads),
		cmocka_unit_test(test_banned_ids_have_no_probability_and_no_gradient),
		cmocka_unit_test(test_recomputing_has_the_same_bits_in_less_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

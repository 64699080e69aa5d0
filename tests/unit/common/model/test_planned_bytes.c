/* What passes are said to take of an arena, from an outline of the model, is to the byte
 * what they take, and a pass that keeps nothing, or is asked for some rows, has the bits
 * of one that keeps all: all golden models, with and without recomputation and adapters,
 * for a few rows and for more than go through a layer together. */
#include "common/model/head.h"
#include "common/model/hf_adapter.h"
#include "common/model/lora.h"
#include "common/model/transformer.h"
#include "tests/unit/common/model/made_checkpoints.h"

enum { N_IDS = 7, FEW = 2, MANY = 80 };

static struct arena arena;

static void no_loss(void *context, int first, int n, const float *logprob, const float *entropy,
		    float *dlogprob)
{
	(void)context;
	(void)first;
	(void)logprob;
	(void)entropy;
	memset(dlogprob, 0, (size_t)n * sizeof *dlogprob);
}

static struct model *outline_of(const struct model *model)
{
	struct model *outline = model_create_outline(
		&model->config, param_find(&model->layout, PARAM_SCORE_BIAS, -1) != NULL);

	outline->recomputes = model->recomputes;
	if (model->lora)
		lora_attach_like(outline, model);
	return outline;
}

static void expect_bytes(const char *name, const char *what, size_t planned)
{
	if (planned != arena.high_water)
		fail_msg("%s: %s takes %zu bytes, planned were %zu", name, what, arena.high_water,
			 planned);
	arena_release(&arena);
	arena_init(&arena);
}

/* What the head takes on top of what is there. */
static void check_head(const char *name, const struct model *model, const struct model *outline,
		       int t, float *hidden, float *dhidden, float *grads)
{
	int32_t targets[MANY * N_IDS] = {0};
	float logprobs[MANY * N_IDS];
	int rows[MANY * N_IDS];

	for (int i = 0; i < t; i++)
		rows[i] = i;
	head_logprobs(model, hidden, rows, targets, t, 1, NULL, logprobs, NULL, NULL, &arena, NULL);
	expect_bytes(name, "head_logprobs", head_logprobs_bytes(outline, t));
	head_train(model, hidden, rows, targets, t, 1, NULL, no_loss, NULL, NULL, dhidden, grads,
		   &arena, NULL);
	expect_bytes(name, "head_train", head_train_bytes(outline, t));
}

/* Two of three rows. */
static int choose_wanted(int *wanted, int t)
{
	int n = 0;

	for (int i = 0; i < t; i++)
		if (i % 3 != 0)
			wanted[n++] = i;
	return n;
}

/* hidden [T, C], of all rows. */
static void compare_hidden(const char *name, const struct model *model, const struct batch *some,
			   const float *hidden, const float *wanted)
{
	size_t c = (size_t)model->config.n_channels;

	for (int i = 0; i < some->n_wanted; i++)
		if (memcmp(wanted + (size_t)i * c, hidden + (size_t)some->wanted[i] * c,
			   c * sizeof *hidden) != 0)
			fail_msg("%s: row %d has other bits where some are wanted", name,
				 some->wanted[i]);
}

static float *gradients(const struct model *model, const struct batch *batch,
			const struct kept *kept, const float *dhidden, size_t n)
{
	float *grads = xcalloc(model_trained(model).layout->n_floats, sizeof *grads);
	float *copy = xcalloc(n, sizeof *copy);

	memcpy(copy, dhidden, n * sizeof *copy);
	transformer_backward(model, batch, kept, copy, grads, &arena, NULL);
	free(copy);
	return grads;
}

/* A pass for some rows beside one for all, of which the others have no part in the loss:
 * the same numbers and gradients, from the memory that is said. */
static void check_wanted(const char *name, const struct model *model, const struct model *outline,
			 const struct batch *whole)
{
	int wanted[MANY * N_IDS], t = whole->offsets[whole->n_seqs];
	size_t c = (size_t)model->config.n_channels, n = (size_t)t * c, n_some;
	struct batch some = *whole;
	float *hidden = xcalloc(n, sizeof *hidden), *few = xcalloc(n, sizeof *few);
	float *dhidden = xcalloc(n, sizeof *dhidden), *dfew = xcalloc(n, sizeof *dfew);
	float *grads, *expected;
	struct kept kept;

	some.wanted = wanted;
	some.n_wanted = choose_wanted(wanted, t);
	n_some = (size_t)some.n_wanted * c;
	for (size_t i = 0; i < n_some; i++) {
		dfew[i] = (float)((i * 31) % 67) * 0.01f - 0.3f;
		dhidden[(size_t)wanted[i / c] * c + i % c] = dfew[i];
	}
	transformer_forward(model, whole, hidden, &kept, &arena, NULL);
	expected = gradients(model, whole, &kept, dhidden, n);
	arena_release(&arena);
	arena_init(&arena);
	transformer_forward(model, &some, few, NULL, &arena, NULL);
	compare_hidden(name, model, &some, hidden, few);
	arena_release(&arena);
	arena_init(&arena);
	transformer_forward(model, &some, few, &kept, &arena, NULL);
	compare_hidden(name, model, &some, hidden, few);
	assert_int_equal(arena.used, transformer_kept_bytes(outline, t, some.n_wanted));
	grads = gradients(model, &some, &kept, dfew, n_some);
	for (size_t i = 0; i < model_trained(model).layout->n_floats; i++)
		if (!(grads[i] == expected[i]))
			fail_msg("%s: gradient %zu is %g where some rows are wanted, of all %g",
				 name, i, grads[i], expected[i]);
	expect_bytes(name, "training some rows",
		     transformer_train_bytes(outline, t, some.n_wanted));
	free(hidden);
	free(few);
	free(dhidden);
	free(dfew);
	free(grads);
	free(expected);
}

static void check_passes(const char *name, struct model *model, int n_seqs)
{
	struct model *outline = outline_of(model);
	int offsets[MANY + 1], t = n_seqs * N_IDS;
	size_t n = (size_t)t * (size_t)model->config.n_channels;
	float *hidden = xcalloc(n, sizeof *hidden), *dhidden = xcalloc(n, sizeof *dhidden);
	float *grads = xcalloc(model_trained(model).layout->n_floats, sizeof *grads);
	int32_t ids[MANY * N_IDS];
	struct batch batch = {.ids = ids, .offsets = offsets, .n_seqs = n_seqs};
	struct kept kept;

	for (int i = 0; i <= n_seqs; i++)
		offsets[i] = i * N_IDS;
	for (int i = 0; i < t; i++)
		ids[i] = i % model->config.n_vocab;
	arena_init(&arena);
	transformer_forward(model, &batch, dhidden, NULL, &arena, NULL);
	expect_bytes(name, "transformer_forward", transformer_forward_bytes(outline, t));
	check_wanted(name, model, outline, &batch);
	transformer_forward(model, &batch, hidden, &kept, &arena, NULL);
	if (memcmp(hidden, dhidden, n * sizeof *hidden) != 0)
		fail_msg("%s: a pass of %d rows that keeps nothing has other bits", name, t);
	memset(dhidden, 0, n * sizeof *dhidden);
	assert_int_equal(arena.used, transformer_kept_bytes(outline, t, ALL_ROWS));
	transformer_backward(model, &batch, &kept, dhidden, grads, &arena, NULL);
	expect_bytes(name, "training", transformer_train_bytes(outline, t, ALL_ROWS));
	if (model->config.head == HEAD_LM)
		check_head(name, model, outline, t, hidden, dhidden, grads);
	arena_release(&arena);
	assert_int_equal(model_bytes(outline), model_bytes(model));
	free(hidden);
	free(dhidden);
	free(grads);
	model_destroy(outline);
}

/* B begins as zeros, which would add nothing. */
static void fill_adapters(struct model *model)
{
	struct lora *lora = model->lora;

	for (size_t i = 0; i < lora->layout.n_floats; i++)
		lora->values[i] = (float)((i * 7919) % 101) * 1e-3f - 0.05f;
	lora_pack(model, NULL);
}

static void check_model(const char *name, enum head_kind head)
{
	char path[200];

	snprintf(path, sizeof path, MODELS "%.100s", name);
	for (int recomputes = 0; recomputes < 2; recomputes++) {
		struct adapter_options options = {
			.r = 3, .lora_alpha = 3, .base = path, .seed = 1};
		struct model *model = load(path, head);
		struct error err = {""};

		model->recomputes = recomputes;
		check_passes(name, model, FEW);
		check_passes(name, model, MANY);
		if (hf_adapter_attach(model, &options, NULL, &err) != STATUS_OK)
			fail_msg("%s: %s", name, err.text);
		fill_adapters(model);
		check_passes(name, model, FEW);
		check_passes(name, model, MANY);
		model_destroy(model);
	}
}

static void check_lm(const char *name)
{
	check_model(name, HEAD_LM);
}

static void check_classifier(const char *name)
{
	check_model(name, HEAD_SCORE);
}

static void test_outlines_tell_what_passes_take(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_lm) > 0);
	assert_true(for_each_model(true, "config.json", check_classifier) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_outlines_tell_what_passes_take, start_afresh),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}

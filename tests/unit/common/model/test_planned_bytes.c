/* What passes are said to take of an arena, from an outline of the model, is to the byte
 * what they take: all golden models, with and without recomputation and adapters. */
#include "common/model/head.h"
#include "common/model/hf_adapter.h"
#include "common/model/lora.h"
#include "common/model/transformer.h"
#include "tests/unit/common/model/made_checkpoints.h"

enum { N_IDS = 7, T = 2 * N_IDS };

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
		       float *hidden, float *dhidden, float *grads)
{
	int32_t targets[T] = {0};
	float logprobs[T];
	int rows[T];

	for (int i = 0; i < T; i++)
		rows[i] = i;
	head_logprobs(model, hidden, rows, targets, T, 1, NULL, logprobs, NULL, NULL, &arena, NULL);
	expect_bytes(name, "head_logprobs", head_logprobs_bytes(outline, T));
	head_train(model, hidden, rows, targets, T, 1, NULL, no_loss, NULL, NULL, dhidden, grads,
		   &arena, NULL);
	expect_bytes(name, "head_train", head_train_bytes(outline, T));
}

static void check_passes(const char *name, struct model *model)
{
	static const int offsets[3] = {0, N_IDS, T};
	struct model *outline = outline_of(model);
	size_t n = (size_t)T * (size_t)model->config.n_channels;
	float *hidden = xcalloc(n, sizeof *hidden), *dhidden = xcalloc(n, sizeof *dhidden);
	float *grads = xcalloc(model_trained(model).layout->n_floats, sizeof *grads);
	int32_t ids[T];
	struct batch batch = {.ids = ids, .offsets = offsets, .n_seqs = 2};
	struct kept kept;

	for (int i = 0; i < T; i++)
		ids[i] = i % model->config.n_vocab;
	arena_init(&arena);
	transformer_forward(model, &batch, hidden, NULL, &arena, NULL);
	expect_bytes(name, "transformer_forward", transformer_forward_bytes(outline, T));
	transformer_forward(model, &batch, hidden, &kept, &arena, NULL);
	assert_int_equal(arena.used, transformer_kept_bytes(outline, T));
	transformer_backward(model, &batch, &kept, dhidden, grads, &arena, NULL);
	expect_bytes(name, "training", transformer_train_bytes(outline, T));
	if (model->config.head == HEAD_LM)
		check_head(name, model, outline, hidden, dhidden, grads);
	arena_release(&arena);
	assert_int_equal(model_bytes(outline), model_bytes(model));
	free(hidden);
	free(dhidden);
	free(grads);
	model_destroy(outline);
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
		check_passes(name, model);
		if (hf_adapter_attach(model, &options, NULL, &err) != STATUS_OK)
			fail_msg("%s: %s", name, err.text);
		check_passes(name, model);
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

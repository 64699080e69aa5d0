/* Every kind of block, on sequences of several blocks of keys: decoding has the bits of
 * the full forward pass, and gradients are what differences of the loss say.
 *
 * Values of transformers are in test_transformer.c; these sequences are longer than its
 * fixtures, so that windows begin inside blocks of keys and beyond them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/model/head.h"
#include "common/model/transformer.h"
#include "common/ops/isa.h"
#include "tests/unit/common/model/small_models.h"

enum { LENGTH = 150, V = 40 };

#define SIZES                                                                                      \
	"\"hidden_size\":24,\"num_attention_heads\":4,\"intermediate_size\":20,"                   \
	"\"vocab_size\":40,\"max_position_embeddings\":160,\"num_hidden_layers\":2"
#define GROUPED SIZES ",\"num_key_value_heads\":2"
#define OLD_SIZES                                                                                  \
	"\"n_embd\":24,\"n_head\":4,\"n_inner\":20,\"vocab_size\":40,\"n_positions\":160,"         \
	"\"n_layer\":2"
#define OPT                                                                                        \
	"\"model_type\":\"opt\",\"hidden_size\":24,\"num_attention_heads\":4,\"ffn_dim\":20,"      \
	"\"vocab_size\":40,\"max_position_embeddings\":160,\"num_hidden_layers\":2"

static const char *const models[] = {
	"{\"model_type\":\"gpt2\"," OLD_SIZES ",\"scale_attn_by_inverse_layer_idx\":true}",
	"{\"model_type\":\"gpt_neox\"," SIZES ",\"rotary_pct\":0.67}",
	"{\"model_type\":\"gpt_neox\"," SIZES ",\"use_parallel_residual\":false,\"rotary_pct\":1}",
	"{\"model_type\":\"gptj\"," OLD_SIZES ",\"rotary_dim\":4}",
	"{\"model_type\":\"llama\"," GROUPED ",\"attention_bias\":true,\"mlp_bias\":true,"
	"\"head_dim\":10,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4}}",
	"{\"model_type\":\"mistral\"," GROUPED ",\"sliding_window\":70}",
	"{\"model_type\":\"qwen2\"," GROUPED ",\"use_sliding_window\":true,"
	"\"sliding_window\":5,\"max_window_layers\":1}",
	"{\"model_type\":\"qwen3\"," GROUPED ",\"head_dim\":8}",
	"{\"model_type\":\"phi\"," GROUPED ",\"qk_layernorm\":true,\"partial_rotary_factor\":0.67}",
	"{\"model_type\":\"phi3\"," GROUPED ",\"sliding_window\":33,\"rope_scaling\":{"
	"\"type\":\"longrope\",\"short_factor\":[1,1.5,2],\"long_factor\":[2,3,4]}}",
	"{\"model_type\":\"gemma\"," GROUPED ",\"head_dim\":8}",
	"{\"model_type\":\"gemma2\"," GROUPED ",\"head_dim\":8,\"sliding_window\":64,"
	"\"attn_logit_softcapping\":2,\"final_logit_softcapping\":3,"
	"\"query_pre_attn_scalar\":5}",
	"{\"model_type\":\"gemma3_text\"," GROUPED ",\"head_dim\":8,\"sliding_window\":66,"
	"\"sliding_window_pattern\":2,\"final_logit_softcapping\":3}",
	"{" OPT ",\"word_embed_proj_dim\":10}",
	"{" OPT ",\"word_embed_proj_dim\":30,\"do_layer_norm_before\":false,"
	"\"layer_norm_elementwise_affine\":false,\"enable_bias\":false}",
};
enum { N_MODELS = sizeof models / sizeof *models };

struct fixture {
	struct model *model;
	int32_t ids[LENGTH];
	struct arena arena;
};

static void open_fixture(struct fixture *f, const char *text)
{
	f->model = described_model(text);
	model_init_random(f->model, 4, 0.3);
	for (int i = 0; i < f->model->layout.n; i++) { /* vectors matter too */
		const struct param *param = &f->model->layout.items[i];

		for (int k = 0; !param->decays && k < param->rows; k++)
			f->model->weights[param->offset + (size_t)k] +=
				0.2F * sinf((float)(i * 7 + k * 3));
	}
	model_pack(f->model, WEIGHTS_F32, NULL);
	for (int i = 0; i < LENGTH; i++)
		f->ids[i] = (i * i + 7 * i + 3) % V;
	arena_init(&f->arena);
}

static void close_fixture(struct fixture *f)
{
	model_destroy(f->model);
	arena_release(&f->arena);
}

static float *hidden_of(struct fixture *f, const struct batch *batch, struct kept *kept)
{
	size_t t = (size_t)batch->offsets[batch->n_seqs];
	float *hidden = xcalloc(t * (size_t)f->model->config.n_channels, sizeof *hidden);

	transformer_forward(f->model, batch, hidden, kept, &f->arena, NULL);
	return hidden;
}

/* --- decoding --- */

static void decode_from(struct fixture *f, int n_prompt, const float *hidden)
{
	int slot = 0, offsets[2] = {0, n_prompt}, end = n_prompt - 1;
	size_t c = (size_t)f->model->config.n_channels;
	struct batch prompt = {
		.ids = f->ids, .offsets = offsets, .n_seqs = 1, .wanted = &end, .n_wanted = 1};
	struct kv_cache *cache = kv_cache_create(f->model, 1, kv_cache_blocks_for(LENGTH));
	float *last = xcalloc(c, sizeof *last);

	assert_true(kv_cache_reserve(cache, slot, LENGTH));
	transformer_prefill(f->model, cache, &slot, &prompt, last, &f->arena, NULL);
	for (int i = n_prompt; i < LENGTH; i++) {
		assert_memory_equal(last, hidden + (size_t)(i - 1) * c, c * sizeof *last);
		transformer_decode(f->model, cache, &slot, &f->ids[i], 1, last, &f->arena, NULL);
	}
	assert_memory_equal(last, hidden + (LENGTH - 1) * c, c * sizeof *last);
	kv_cache_destroy(cache);
	free(last);
}

static void test_decoding_has_the_bits_of_the_full_forward(void **state)
{
	static const int prompts[] = {1, 63, 64, 70, 129};
	int offsets[2] = {0, LENGTH};

	(void)state;
	for (enum isa isa = ISA_PORTABLE; isa <= isa_best(); isa++) {
		isa_select(isa);
		for (int m = 0; m < N_MODELS; m++) {
			struct fixture f;
			struct batch batch = {.ids = f.ids, .offsets = offsets, .n_seqs = 1};
			float *hidden;

			open_fixture(&f, models[m]);
			hidden = hidden_of(&f, &batch, NULL);
			for (size_t p = 0; p < sizeof prompts / sizeof *prompts; p++)
				decode_from(&f, prompts[p], hidden);
			free(hidden);
			close_fixture(&f);
		}
	}
}

/* --- gradients --- */

static const int offsets[] = {0, 3, LENGTH};
enum { N_TARGETS = LENGTH - 2 };

static void set_entries(const struct fixture *f, int *rows, int32_t *targets)
{
	int n = 0;

	for (int b = 0; b < 2; b++)
		for (int i = offsets[b]; i + 1 < offsets[b + 1]; i++, n++) {
			rows[n] = i;
			targets[n] = f->ids[i + 1];
		}
}

static double loss_of(struct fixture *f)
{
	struct batch batch = {.ids = f->ids, .offsets = offsets, .n_seqs = 2};
	float logprob[N_TARGETS], *hidden = hidden_of(f, &batch, NULL);
	int rows[N_TARGETS];
	int32_t targets[N_TARGETS];
	double loss = 0;

	set_entries(f, rows, targets);
	head_logprobs(f->model, hidden, rows, targets, N_TARGETS, 1, NULL, logprob, NULL, NULL,
		      &f->arena, NULL);
	for (int i = 0; i < N_TARGETS; i++)
		loss -= (double)logprob[i] / N_TARGETS;
	free(hidden);
	return loss;
}

static void mean_loss(void *context, int first, int n, const float *logprob, const float *entropy,
		      float *dlogprob)
{
	(void)context;
	(void)first;
	(void)logprob;
	(void)entropy;
	for (int i = 0; i < n; i++)
		dlogprob[i] = -1.0F / N_TARGETS;
}

static float *gradients_of(struct fixture *f)
{
	struct batch batch = {.ids = f->ids, .offsets = offsets, .n_seqs = 2};
	struct kept kept;
	int rows[N_TARGETS];
	int32_t targets[N_TARGETS];
	uint8_t is_top[N_TARGETS];
	float *hidden = hidden_of(f, &batch, &kept);
	float *dhidden =
		xcalloc((size_t)LENGTH * (size_t)f->model->config.n_channels, sizeof *dhidden);
	float *grads = xcalloc(f->model->layout.n_floats, sizeof *grads);

	set_entries(f, rows, targets);
	head_train(f->model, hidden, rows, targets, N_TARGETS, 1, NULL, mean_loss, NULL, is_top,
		   dhidden, grads, &f->arena, NULL);
	transformer_backward(f->model, &batch, &kept, dhidden, grads, &f->arena, NULL);
	free(hidden);
	free(dhidden);
	return grads;
}

/* The slope of the loss along a direction in one parameter; its weights come back. */
static double slope(struct fixture *f, const struct param *param, const float *direction,
		    double step)
{
	size_t n = (size_t)param->rows * (size_t)param->cols;
	float *w = f->model->weights + param->offset, *before = xcalloc(n, sizeof *before);
	double loss[2];

	memcpy(before, w, n * sizeof *w);
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < n; i++)
			w[i] = before[i] + (float)((side ? step : -step) * direction[i]);
		model_pack(f->model, WEIGHTS_F32, NULL);
		loss[side] = loss_of(f);
	}
	memcpy(w, before, n * sizeof *w);
	model_pack(f->model, WEIGHTS_F32, NULL);
	free(before);
	return (loss[1] - loss[0]) / (2 * step);
}

/* Along its own gradient, the loss must rise by the gradient's norm.  Differences are good
 * to some 1e-4: rounding of the loss by the step, and the step squared. */
static void check_gradient(struct fixture *f, const char *text, const struct param *param,
			   const float *gradient)
{
	size_t n = (size_t)param->rows * (size_t)param->cols;
	float *direction = xcalloc(n, sizeof *direction);
	double norm = 0, found;
	char name[PARAM_NAME_BYTES];

	for (size_t i = 0; i < n; i++)
		norm += pow(gradient[i], 2);
	norm = sqrt(norm);
	for (size_t i = 0; i < n; i++)
		direction[i] = (float)(gradient[i] / fmax(norm, 1e-12));
	found = slope(f, param, direction, 4e-3 / fmax(1, norm));
	param_name(param, name);
	if (!(fabs(found - norm) <= 2e-3 * norm + 1e-4))
		fail_msg("%s: %s has a gradient of norm %g, differences say %g", text, name, norm,
			 found);
	free(direction);
}

static void test_gradients_are_differences_of_the_loss(void **state)
{
	(void)state;
	isa_select(isa_best());
	for (int m = 0; m < N_MODELS; m++) {
		struct fixture f;
		float *grads;

		open_fixture(&f, models[m]);
		f.model->config.pad_id = -1; /* whose embedding would take no gradient */
		grads = gradients_of(&f);
		for (int i = 0; i < f.model->layout.n; i++) {
			const struct param *param = &f.model->layout.items[i];

			check_gradient(&f, models[m], param, grads + param->offset);
		}
		free(grads);
		close_fixture(&f);
	}
}

/* As files of the first Llama say of theirs, for which torch takes the last id. */
static void test_a_negative_pad_freezes_an_embedding_from_the_end(void **state)
{
	static const struct {
		const char *text;
		int frozen; /* of 40 ids */
	} cases[] = {{"{\"model_type\":\"llama\"," GROUPED ",\"pad_token_id\":-1}", 39},
		     {"{\"model_type\":\"llama\"," GROUPED ",\"pad_token_id\":-3}", 37},
		     {"{\"model_type\":\"llama\"," GROUPED ",\"pad_token_id\":null}", -1}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		const struct param *table;
		float *grads;

		open_fixture(&f, cases[i].text);
		f.ids[4] = 39;
		f.ids[5] = 37;
		grads = gradients_of(&f);
		table = param_find(&f.model->layout, PARAM_TOKEN_EMBEDDING, -1);
		for (int id = 37; id <= 39; id += 2)
			assert_int_equal(grads[table->offset + (size_t)(id * table->cols)] == 0,
					 id == cases[i].frozen);
		free(grads);
		close_fixture(&f);
	}
}

/* --- rotations that follow the length of a sequence --- */

/* Each sequence of a batch is rotated as its own length says. */
static void test_rotations_follow_the_length_of_each_sequence(void **state)
{
	static const char *const texts[] = {
		"{\"model_type\":\"phi3\"," GROUPED ",\"original_max_position_embeddings\":40,"
		"\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1.5,2],"
		"\"long_factor\":[2,3,4]}}",
		"{\"model_type\":\"llama\",\"hidden_size\":24,\"num_attention_heads\":4,"
		"\"intermediate_size\":20,\"vocab_size\":40,\"max_position_embeddings\":40,"
		"\"num_hidden_layers\":2,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":3}}",
	};
	static const int both[] = {0, 40, LENGTH}, alone[] = {0, LENGTH - 40}, more[] = {0, 41};

	(void)state;
	for (size_t m = 0; m < 2; m++) {
		struct fixture f;
		struct batch batch = {.ids = f.ids, .offsets = both, .n_seqs = 2};
		struct batch second = {.ids = f.ids + 40, .offsets = alone, .n_seqs = 1};
		struct batch longer = {.ids = f.ids, .offsets = more, .n_seqs = 1};
		float *hidden, *rest, *other;
		size_t c;

		open_fixture(&f, texts[m]);
		assert_int_equal(model_generation_limit(&f.model->config), 40);
		c = (size_t)f.model->config.n_channels;
		hidden = hidden_of(&f, &batch, NULL);
		rest = hidden_of(&f, &second, NULL);
		other = hidden_of(&f, &longer, NULL);
		assert_memory_equal(hidden + 40 * c, rest, (LENGTH - 40) * c * sizeof *rest);
		/* One id more, and all positions are rotated in another way. */
		assert_memory_not_equal(hidden + 30 * c, other + 30 * c, c * sizeof *other);
		free(hidden);
		free(rest);
		free(other);
		close_fixture(&f);
	}
}

/* Positions behind the table that a model keeps are rotated as those within it. */
static void test_angles_beyond_the_table_are_made(void **state)
{
	struct fixture f;
	struct batch batch = {.ids = f.ids, .offsets = (const int[]){0, LENGTH}, .n_seqs = 1};
	float *kept, *made;
	size_t bytes;

	(void)state;
	open_fixture(&f, models[7]);
	bytes = (size_t)LENGTH * (size_t)f.model->config.n_channels * sizeof(float);
	kept = hidden_of(&f, &batch, NULL);
	f.model->n_angles = 11;
	made = hidden_of(&f, &batch, NULL);
	assert_memory_equal(kept, made, bytes);
	free(kept);
	free(made);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoding_has_the_bits_of_the_full_forward),
		cmocka_unit_test(test_gradients_are_differences_of_the_loss),
		cmocka_unit_test(test_a_negative_pad_freezes_an_embedding_from_the_end),
		cmocka_unit_test(test_rotations_follow_the_length_of_each_sequence),
		cmocka_unit_test(test_angles_beyond_the_table_are_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

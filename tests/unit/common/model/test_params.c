/* The layout of the flat block: what each kind of model has, where it lies, and that
 * everything begins at a cache line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/model/hf_checkpoint.h"
#include "common/model/model.h"
#include "common/ops/gemm.h"

enum { LINE_FLOATS = 16 };

/* Odd sizes, so that alignment and the order of dimensions show. */
static struct model_config describe(const char *family, const char *more)
{
	bool is_gpt2 = strcmp(family, "gpt2") == 0;
	const char *sizes = is_gpt2
				    ? "\"n_embd\":12,\"n_layer\":3,\"n_head\":2,\"n_positions\":5"
				    : "\"hidden_size\":12,\"num_hidden_layers\":3,"
				      "\"num_attention_heads\":4,\"max_position_embeddings\":9";
	char text[600];
	struct model_config config;
	struct error err = {""};

	snprintf(text, sizeof text,
		 "{\"model_type\":\"%s\",%s,\"num_key_value_heads\":2,\"head_dim\":6,"
		 "\"intermediate_size\":7,\"vocab_size\":11%s}",
		 family, sizes, more);
	if (hf_parse_config(&config, text, strlen(text), "test", &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return config;
}

static void assert_param(const struct param_layout *layout, enum param_id id, int layer, int rows,
			 int cols)
{
	const struct param *param = param_find(layout, id, layer);

	assert_non_null(param);
	assert_int_equal(param->id, id);
	assert_int_equal(param->layer, layer);
	assert_int_equal(param->rows, rows);
	assert_int_equal(param->cols, cols);
}

static void check_places(const struct param_layout *layout)
{
	size_t end = 0, packed_end = 0;

	for (int i = 0; i < layout->n; i++) {
		const struct param *param = &layout->items[i];

		assert_int_equal(param->offset % LINE_FLOATS, 0);
		assert_true(param->offset >= end && param->offset < end + LINE_FLOATS);
		end = param->offset + (size_t)param->rows * (size_t)param->cols;
		assert_ptr_equal(param_find(layout, param->id, param->layer), param);
		if (param->packed_offset == SIZE_MAX)
			continue;
		assert_int_equal(param->packed_offset % LINE_FLOATS, 0);
		assert_true(param->packed_offset >= packed_end);
		packed_end = param->packed_offset + gemm_packed_floats(param->rows, param->cols);
	}
	assert_true(layout->n_floats >= end && layout->n_floats < end + LINE_FLOATS);
	assert_true(layout->n_packed_floats >= packed_end);
}

static void test_llama_has_one_matrix_for_qkv_and_one_for_gate_and_up(void **state)
{
	struct model_config config = describe("llama", "");
	struct param_layout layout;

	(void)state;
	param_layout_init(&layout, &config, false);
	check_places(&layout);
	assert_int_equal(layout.n, 3 + 3 * 6);
	assert_param(&layout, PARAM_TOKEN_EMBEDDING, -1, 11, 12);
	assert_null(param_find(&layout, PARAM_POSITION_EMBEDDING, -1));
	for (int layer = 0; layer < 3; layer++) {
		assert_param(&layout, PARAM_QKV_WEIGHT, layer, (4 + 2 * 2) * 6, 12);
		assert_null(param_find(&layout, PARAM_QKV_BIAS, layer));
		assert_param(&layout, PARAM_O_WEIGHT, layer, 12, 4 * 6);
		assert_param(&layout, PARAM_UP_WEIGHT, layer, 2 * 7, 12);
		assert_param(&layout, PARAM_DOWN_WEIGHT, layer, 12, 7);
		assert_null(param_find(&layout, PARAM_NORM1_SHIFT, layer));
	}
	assert_param(&layout, PARAM_LM_HEAD, -1, 11, 12);
	assert_null(param_find(&layout, PARAM_LM_HEAD, 0));
	param_layout_release(&layout);
}

static void test_gpt2_has_positions_shifts_and_every_bias(void **state)
{
	struct model_config config = describe("gpt2", "");
	struct param_layout layout;

	(void)state;
	param_layout_init(&layout, &config, false);
	check_places(&layout);
	assert_int_equal(layout.n, 4 + 3 * 12);
	assert_param(&layout, PARAM_POSITION_EMBEDDING, -1, 5, 12);
	assert_param(&layout, PARAM_QKV_BIAS, 2, 36, 1);
	assert_param(&layout, PARAM_UP_WEIGHT, 2, 48, 12);
	assert_param(&layout, PARAM_FINAL_SHIFT, -1, 12, 1);
	assert_null(param_find(&layout, PARAM_LM_HEAD, -1));
	assert_true(param_find(&layout, PARAM_TOKEN_EMBEDDING, -1)->packed_offset != SIZE_MAX);
	param_layout_release(&layout);
}

static void test_bias_keys_and_qwen2_add_their_biases(void **state)
{
	struct model_config config = describe("llama", ",\"attention_bias\":true");
	struct param_layout layout;

	(void)state;
	param_layout_init(&layout, &config, false);
	assert_param(&layout, PARAM_QKV_BIAS, 0, 48, 1);
	assert_param(&layout, PARAM_O_BIAS, 0, 12, 1);
	assert_null(param_find(&layout, PARAM_UP_BIAS, 0));
	param_layout_release(&layout);
	config = describe("llama", ",\"mlp_bias\":true");
	param_layout_init(&layout, &config, false);
	assert_param(&layout, PARAM_UP_BIAS, 1, 14, 1);
	assert_param(&layout, PARAM_DOWN_BIAS, 1, 12, 1);
	assert_null(param_find(&layout, PARAM_O_BIAS, 0));
	param_layout_release(&layout);
	config = describe("qwen2", "");
	param_layout_init(&layout, &config, false);
	assert_param(&layout, PARAM_QKV_BIAS, 0, 48, 1);
	assert_null(param_find(&layout, PARAM_O_BIAS, 0));
	param_layout_release(&layout);
}

static void test_a_score_head_replaces_the_language_head(void **state)
{
	struct model_config config =
		describe("llama", ",\"architectures\":[\"LlamaForSequenceClassification\"],"
				  "\"num_labels\":3");
	struct param_layout layout;

	(void)state;
	param_layout_init(&layout, &config, true);
	check_places(&layout);
	assert_null(param_find(&layout, PARAM_LM_HEAD, -1));
	assert_param(&layout, PARAM_SCORE_WEIGHT, -1, 3, 12);
	assert_param(&layout, PARAM_SCORE_BIAS, -1, 3, 1);
	param_layout_release(&layout);
	param_layout_init(&layout, &config, false);
	assert_null(param_find(&layout, PARAM_SCORE_BIAS, -1));
	param_layout_release(&layout);
}

static void test_matrices_decay_and_vectors_do_not(void **state)
{
	struct model_config config = describe("gpt2", "");
	struct param_layout layout;

	(void)state;
	param_layout_init(&layout, &config, false);
	for (int i = 0; i < layout.n; i++)
		assert_int_equal(layout.items[i].decays, layout.items[i].cols > 1);
	param_layout_release(&layout);
}

static void test_views_point_into_any_block_of_the_layout(void **state)
{
	struct model_config config = describe("gpt2", "");
	struct model *model = model_create(&config, false);
	float *other = calloc(model->layout.n_floats, sizeof *other);
	const struct param *param = param_find(&model->layout, PARAM_DOWN_BIAS, 1);

	(void)state;
	assert_ptr_equal(model_view(model, model->weights, PARAM_DOWN_BIAS, 1),
			 model->weights + param->offset);
	assert_ptr_equal(model_view(model, other, PARAM_DOWN_BIAS, 1), other + param->offset);
	assert_null(model_view(model, other, PARAM_SCORE_WEIGHT, -1));
	assert_int_equal((uintptr_t)model->weights % 64, 0);
	assert_int_equal((uintptr_t)model->packed % 64, 0);
	for (size_t i = 0; i < model->layout.n_floats; i++)
		assert_true(model->weights[i] == 0);
	free(other);
	model_destroy(model);
}

/* Stored q, k and v are rows one behind the other of the one matrix, and so are gate
 * and up. */
static void test_stored_parts_are_rows_of_the_joint_matrix(void **state)
{
	static const char *const names[] = {"self_attn.q_proj", "self_attn.k_proj",
					    "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"};
	struct model_config config = describe("llama", "");
	struct model *model = model_create(&config, false);
	const float *expected = NULL;
	int found = 0;

	(void)state;
	for (size_t i = 0; i < model->layout.n_floats; i++)
		model->weights[i] = (float)i;
	for (int i = 0; i < hf_tensor_count(model); i++) {
		struct hf_tensor tensor;
		float *values;
		char name[100];

		hf_tensor_describe(model, i, &tensor);
		if (found == 5)
			break;
		snprintf(name, sizeof name, "model.layers.1.%s.weight", names[found]);
		if (strcmp(tensor.name, name) != 0)
			continue;
		if (found == 0)
			expected = model_view(model, model->weights, PARAM_QKV_WEIGHT, 1);
		if (found == 3)
			expected = model_view(model, model->weights, PARAM_UP_WEIGHT, 1);
		values = calloc(tensor.n_elements, sizeof *values);
		hf_tensor_gather(model, i, model->weights, values);
		assert_memory_equal(values, expected, tensor.n_elements * sizeof *values);
		expected += tensor.n_elements;
		free(values);
		found++;
	}
	assert_int_equal(found, 5);
	model_destroy(model);
}

/* GPT-2 stores [in, out]. */
static void test_gpt2_products_are_stored_transposed(void **state)
{
	struct model_config config = describe("gpt2", "");
	struct model *model = model_create(&config, false);
	const float *up = model_view(model, model->weights, PARAM_UP_WEIGHT, 0);
	float *stored = calloc((size_t)48 * 12, sizeof *stored);
	struct hf_tensor tensor = {.name = ""};
	int i = -1;

	(void)state;
	for (size_t k = 0; k < model->layout.n_floats; k++)
		model->weights[k] = (float)k;
	while (strcmp(tensor.name, "transformer.h.0.mlp.c_fc.weight") != 0)
		hf_tensor_describe(model, ++i, &tensor);
	assert_int_equal(tensor.shape[0], 12);
	assert_int_equal(tensor.shape[1], 48);
	hf_tensor_gather(model, i, model->weights, stored);
	for (int out = 0; out < 48; out++)
		for (int in = 0; in < 12; in++)
			assert_true(stored[in * 48 + out] == up[out * 12 + in]);
	free(stored);
	model_destroy(model);
}

static void test_scatter_undoes_gather_for_every_tensor(void **state)
{
	static const char *const families[] = {"gpt2", "llama", "mistral", "qwen2"};

	(void)state;
	for (int f = 0; f < 4; f++) {
		struct model_config config = describe(families[f], "");
		struct model *model = model_create(&config, false);
		float *copy = calloc(model->layout.n_floats, sizeof *copy);

		model_init_random(model, 1, 1);
		for (int i = 0; i < hf_tensor_count(model); i++) {
			struct hf_tensor tensor;
			float *values;

			hf_tensor_describe(model, i, &tensor);
			values = calloc(tensor.n_elements, sizeof *values);
			hf_tensor_gather(model, i, model->weights, values);
			hf_tensor_scatter(model, i, values, copy);
			free(values);
		}
		assert_memory_equal(copy, model->weights, model->layout.n_floats * sizeof *copy);
		free(copy);
		model_destroy(model);
	}
}

static void test_a_matrix_of_one_column_is_stored_with_two_dimensions(void **state)
{
	static const char text[] =
		"{\"model_type\":\"llama\",\"hidden_size\":1,\"head_dim\":2,\"intermediate_size\":"
		"1,"
		"\"num_attention_heads\":1,\"num_hidden_layers\":1,\"vocab_size\":3,"
		"\"max_position_embeddings\":4}";
	struct model_config config;
	struct model *model;
	struct error err;

	(void)state;
	assert_int_equal(hf_parse_config(&config, text, strlen(text), "test", &err), STATUS_OK);
	model = model_create(&config, false);
	for (int i = 0; i < hf_tensor_count(model); i++) {
		struct hf_tensor tensor;
		hf_tensor_describe(model, i, &tensor);
		assert_int_equal(tensor.rank, strstr(tensor.name, "norm") ? 1 : 2);
	}
	model_destroy(model);
}

static void test_every_parameter_has_a_name_of_its_own(void **state)
{
	char names[2 * PARAM_COUNT][PARAM_NAME_BYTES];

	(void)state;
	for (int i = 0; i < 2 * PARAM_COUNT; i++) {
		struct param param = {.id = (enum param_id)(i / 2), .layer = i % 2 ? 12 : -1};

		param_name(&param, names[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(names[k], names[i]);
	}
	assert_string_equal(names[2 * PARAM_QKV_WEIGHT + 1], "layers.12.qkv.weight");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_llama_has_one_matrix_for_qkv_and_one_for_gate_and_up),
		cmocka_unit_test(test_gpt2_has_positions_shifts_and_every_bias),
		cmocka_unit_test(test_bias_keys_and_qwen2_add_their_biases),
		cmocka_unit_test(test_a_score_head_replaces_the_language_head),
		cmocka_unit_test(test_matrices_decay_and_vectors_do_not),
		cmocka_unit_test(test_views_point_into_any_block_of_the_layout),
		cmocka_unit_test(test_stored_parts_are_rows_of_the_joint_matrix),
		cmocka_unit_test(test_gpt2_products_are_stored_transposed),
		cmocka_unit_test(test_scatter_undoes_gather_for_every_tensor),
		cmocka_unit_test(test_a_matrix_of_one_column_is_stored_with_two_dimensions),
		cmocka_unit_test(test_every_parameter_has_a_name_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

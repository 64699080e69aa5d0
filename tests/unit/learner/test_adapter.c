/* The hash of the weights beside which a run's adapter is trained. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/model/lora.h"
#include "learner/adapter.h"

/* It trains the score head whole. */
#define BASE "tests/golden/models/score-llama"
#define ADAPTER "tests/golden/adapters/score-llama"

static struct model *load_base(void)
{
	struct hf_load_options options = {.head = HEAD_SCORE};
	struct model *model = NULL;
	struct error err = {""};

	if (hf_load(&model, BASE, &options, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return model;
}

static uint64_t hash_of(const struct model *model)
{
	return hash64_large(model->weights, model->layout.n_floats * sizeof *model->weights, NULL);
}

static void assert_recorded(const struct model *model, uint64_t hash)
{
	struct buf text = BUF_INIT;
	char expected[60];
	struct json *state;
	struct error err = {""};

	snprintf(expected, sizeof expected, ",\n  \"base\": \"%016" PRIx64 "\"", hash);
	adapter_print_base(model, "base", &text);
	assert_string_equal(text.data, expected);
	text.data[0] = '{';
	buf_append_char(&text, '}');
	state = json_parse(text.data, text.length, "state", &err);
	assert_non_null(state);
	assert_int_equal(adapter_check_base(model, state, "s.json", "base", BASE, &err), STATUS_OK);
	assert_int_equal(adapter_check_base(model, state, "s.json", "critic", BASE, &err),
			 STATUS_BAD_INPUT);
	assert_non_null(strstr(
		err.text, "s.json: \"critic\" is missing: the run was begun by an earlier build"));
	json_free(state);
	buf_release(&text);
}

static void test_a_run_records_the_weights_before_the_adapter(void **state)
{
	struct adapter_options new = {.r = 2, .lora_alpha = 4, .base = BASE};
	struct adapter_options stored = {.path = ADAPTER};
	struct error err = {""};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct model *model = load_base();
		uint64_t hash = hash_of(model);

		if (adapter_attach(model, i == 0 ? &new : &stored, i == 2 ? ADAPTER : NULL, NULL,
				   &err) != STATUS_OK)
			fail_msg("%s", err.text);
		assert_true(i == 0 || hash_of(model) != hash);
		assert_recorded(model, hash);
		model_destroy(model);
	}
}

static void test_an_outline_has_no_weights_to_record(void **state)
{
	struct adapter_options new = {.r = 2, .lora_alpha = 4, .base = BASE};
	struct model *model = load_base(), *outline = model_create_outline(&model->config, false);
	struct error err = {""};

	(void)state;
	assert_int_equal(adapter_attach(outline, &new, NULL, NULL, &err), STATUS_OK);
	assert_int_equal(outline->lora->base_hash, 0);
	model_destroy(outline);
	model_destroy(model);
}

static void test_what_only_computes_with_an_adapter_hashes_nothing(void **state)
{
	struct model *model = load_base();
	struct error err = {""};

	(void)state;
	assert_int_equal(hf_adapter_load(model, ADAPTER, NULL, &err), STATUS_OK);
	assert_int_equal(model->lora->base_hash, 0);
	model_destroy(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_run_records_the_weights_before_the_adapter),
		cmocka_unit_test(test_an_outline_has_no_weights_to_record),
		cmocka_unit_test(test_what_only_computes_with_an_adapter_hashes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Keys of model.create: those of config.json that transformers writes are accepted, others are
 * refused by name. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/hf_checkpoint.h"
#include "learner/new_model.h"

#define MODELS "tests/golden/models"
#define LLAMA "{\"model_type\": \"llama\", "

static enum status check(const char *text, struct error *err)
{
	struct json *config = json_parse(text, strlen(text), "text", err);
	enum status status = config ? new_model_check_keys(config, err) : STATUS_BAD_INPUT;

	json_free(config);
	return status;
}

static void assert_accepted(const char *text)
{
	struct error err = {""};

	if (check(text, &err) != STATUS_OK)
		fail_msg("%s: %s", text, err.text);
}

static void assert_refused(const char *text, const char *sentence)
{
	struct error err = {""};

	assert_int_equal(check(text, &err), STATUS_BAD_INPUT);
	assert_string_equal(err.text, sentence);
}

static void test_what_transformers_writes_is_accepted(void **state)
{
	struct dirent **models;
	int n = scandir(MODELS, &models, NULL, alphasort), n_checked = 0;

	(void)state;
	for (int i = 0; i < n; i++) {
		char path[400];
		struct error err;
		struct buf text = BUF_INIT;

		snprintf(path, sizeof path, MODELS "/%s/config.json", models[i]->d_name);
		if (models[i]->d_name[0] != '.' && file_exists(path)) {
			assert_int_equal(file_read(path, 1 << 20, &text, &err), STATUS_OK);
			assert_accepted(text.data);
			n_checked++;
		}
		buf_release(&text);
		free(models[i]);
	}
	free(models);
	assert_true(n_checked > 40);
}

static void test_an_unknown_key_is_refused_with_the_nearest(void **state)
{
	(void)state;
	assert_refused(LLAMA "\"hiden_size\": 32}",
		       "model.create: unknown key \"hiden_size\", did you mean \"hidden_size\"?");
	assert_refused(LLAMA "\"xyzzy\": 32}", "model.create: unknown key \"xyzzy\"");
	assert_refused("{\"model_type\": \"gpt2\", \"n_layers\": 32}",
		       "model.create: unknown key \"n_layers\", did you mean \"n_layer\"?");
	assert_refused("{\"architectures\": [\"OPTForCausalLM\"], \"init_stdd\": 1}",
		       "model.create: unknown key \"init_stdd\", did you mean \"init_std\"?");
	assert_refused(LLAMA "\"rope_scaling\": {\"rope_type\": \"linear\", \"factr\": 2}}",
		       "model.create: unknown key \"rope_scaling.factr\", did you mean "
		       "\"rope_scaling.factor\"?");
	assert_refused(
		"{\"model_type\": \"gemma3_text\", \"rope_parameters\": {\"full_attention\": "
		"{\"rope_thta\": 2}}}",
		"model.create: unknown key \"rope_parameters.rope_thta\", did you mean "
		"\"rope_parameters.rope_theta\"?");
}

static void test_what_the_family_lacks_must_be_off(void **state)
{
	(void)state;
	assert_accepted(LLAMA "\"attention_dropout\": 0.0, \"sliding_window\": null, "
			      "\"qk_layernorm\": false, \"layer_types\": []}");
	assert_accepted("{\"model_type\": \"gpt2\", \"attn_pdrop\": 0.1}");
	assert_refused(LLAMA "\"sliding_window\": 16}",
		       "model.create: \"sliding_window\" is 16, which this family does not have; "
		       "expected no such key, or 0, false or null");
	assert_accepted("{\"model_type\": \"mistral\", \"sliding_window\": 16}");
}

static void test_an_unknown_family_is_left_to_others(void **state)
{
	(void)state;
	assert_accepted("{\"model_type\": \"lama\", \"hiden_size\": 3}");
	assert_accepted("{\"hiden_size\": 3}");
}

static void assert_std(const char *text, double expected)
{
	struct error err = {""};
	struct json *config = json_parse(text, strlen(text), "text", &err);
	struct model_config model;
	double std = -1;

	assert_int_equal(hf_parse_config(&model, text, strlen(text), "text", &err), STATUS_OK);
	if (expected < 0)
		assert_int_equal(new_model_std(config, model.family, &std, &err), STATUS_BAD_INPUT);
	else
		assert_int_equal(new_model_std(config, model.family, &std, &err), STATUS_OK);
	if (expected >= 0)
		assert_true(std == expected);
	json_free(config);
}

static void test_the_config_says_how_large_new_weights_are(void **state)
{
	(void)state;
	assert_std(LLAMA "\"vocab_size\": 5}", 0.02);
	assert_std(LLAMA "\"initializer_range\": 0.5}", 0.5);
	assert_std(LLAMA "\"initializer_range\": null}", 0.02);
	assert_std("{\"model_type\": \"opt\", \"init_std\": 0}", 0);
	assert_std(LLAMA "\"initializer_range\": -0.5}", -1);
	assert_std(LLAMA "\"initializer_range\": \"0.5\"}", -1);
	assert_std(LLAMA "\"initializer_range\": 1e300}", -1);
}

static void test_numbers_that_transformers_wants_with_a_point_have_one(void **state)
{
	static const char text[] = "{\"final_logit_softcapping\": 30, \"hidden_size\": 8, "
				   "\"attn_logit_softcapping\": null, \"rms_norm_eps\": 1e-06}";
	struct error err;
	struct json *config = json_parse(text, strlen(text), "text", &err);
	struct buf out = BUF_INIT;

	(void)state;
	buf_append_string(&out, text);
	assert_int_equal(new_model_write_points(&out, config, &err), STATUS_OK);
	assert_string_equal(out.data,
			    "{\"final_logit_softcapping\": 30.0, \"hidden_size\": 8, "
			    "\"attn_logit_softcapping\": null, \"rms_norm_eps\": 1e-06}");
	json_free(config);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_transformers_writes_is_accepted),
		cmocka_unit_test(test_an_unknown_key_is_refused_with_the_nearest),
		cmocka_unit_test(test_what_the_family_lacks_must_be_off),
		cmocka_unit_test(test_an_unknown_family_is_left_to_others),
		cmocka_unit_test(test_the_config_says_how_large_new_weights_are),
		cmocka_unit_test(test_numbers_that_transformers_wants_with_a_point_have_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

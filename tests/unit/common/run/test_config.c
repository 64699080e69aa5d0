/* The configuration table: defaults, strict types, unknown keys, rules, resume. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/run/config.h"

static char directory[] = "/tmp/rlhf-test-config-XXXXXX";
static char path[64];
static struct error err;

#define PPO_NEEDED                                                                                 \
	"\"run\":{\"dir\":\"r\"},\"policy\":{\"path\":\"P\"},\"data\":{\"prompts\":\"D\"},"        \
	"\"reward\":{\"sources\":[{\"type\":\"model\",\"path\":\"RM\"}]}"
#define PPO_MINIMAL "{" PPO_NEEDED "}"
#define TRAIN_MINIMAL                                                                              \
	"{\"run\":{\"dir\":\"r\"},\"model\":{\"path\":\"M\"},\"data\":{\"train\":\"T\"}}"

static void write_bytes(const char *text, size_t n)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, n, file), n);
	fclose(file);
}

static enum status load(struct run_config *config, enum command command, const char *text)
{
	write_bytes(text, strlen(text));
	err.text[0] = '\0';
	return config_load(config, command, path, NULL, 0, &err);
}

static void must_load(struct run_config *config, enum command command, const char *text)
{
	if (load(config, command, text) != STATUS_OK)
		fail_msg("%s", err.text);
}

static enum status load_set(struct run_config *config, enum command command, const char *text,
			    const char *set)
{
	write_bytes(text, strlen(text));
	return config_load(config, command, path, &set, 1, &err);
}

/* The text is refused and the sentence holds all the words given. */
static void refused(enum command command, const char *text, const char *const *words)
{
	struct run_config config;

	if (load(&config, command, text) != STATUS_BAD_INPUT)
		fail_msg("%s was not refused as bad input: %s", text, err.text);
	for (; *words; words++)
		if (!strstr(err.text, *words))
			fail_msg("\"%s\" is not in: %s", *words, err.text);
	assert_null(config.tree);
	assert_null(config.run.dir);
}
#define REFUSED(command, text, ...) refused(command, text, (const char *const[]){__VA_ARGS__, NULL})
#define SFT_NEEDED "\"run\":{\"dir\":\"R\"},\"model\":{\"path\":\"M\"},\"data\":{\"train\":\"D\"}"
#define SFT_REFUSED(members, ...) REFUSED(COMMAND_SFT, "{" SFT_NEEDED "," members "}", __VA_ARGS__)
#define PPO_REFUSED(members, ...) REFUSED(COMMAND_PPO, "{" PPO_NEEDED "," members "}", __VA_ARGS__)

static void test_ppo_defaults_are_those_of_the_contract(void **state)
{
	struct run_config c;

	(void)state;
	must_load(&c, COMMAND_PPO, PPO_MINIMAL);
	assert_string_equal(c.run.dir, "r");
	assert_string_equal(c.data.truncation_side, "left");
	assert_int_equal(c.run.seed, 1);
	assert_string_equal(c.run.isa, "auto");
	assert_false(c.roles.given);
	assert_null(c.reference.path);
	assert_false(c.reward.has_missing_eos_penalty);
	assert_int_equal(c.reward.n_sources, 1);
	assert_string_equal(c.reward.sources[0].type, "model");
	assert_string_equal(c.reward.sources[0].path, "RM");
	assert_true(c.reward.sources[0].weight == 1.0);
	assert_false(c.reward.sources[0].normalise);
	assert_int_equal(c.rollout.batch_size, 64);
	assert_int_equal(c.rollout.max_new_tokens, 64);
	assert_int_equal(c.rollout.min_new_tokens, 0);
	assert_int_equal(c.rollout.samples_per_prompt, 1);
	assert_true(c.rollout.temperature == 1.0);
	assert_int_equal(c.ppo.iterations, 100);
	assert_int_equal(c.ppo.epochs, 4);
	assert_int_equal(c.ppo.minibatches, 1);
	assert_true(c.ppo.cliprange == 0.2 && c.ppo.cliprange_value == 0.2);
	assert_true(c.ppo.vf_coef == 0.1 && c.ppo.gamma == 1.0 && c.ppo.lam == 0.95);
	assert_false(c.ppo.whiten_rewards);
	assert_true(c.ppo.whiten_advantages);
	assert_int_equal(c.ppo.verify, 4);
	assert_true(c.ppo.kl.coef == 0.05 && c.ppo.kl.target == 6.0 && c.ppo.kl.horizon == 1e4);
	assert_string_equal(c.ppo.kl.controller, "fixed");
	assert_int_equal(c.train.lanes, 8);
	assert_true(c.optimizer.eps == 1e-5 && c.optimizer.learning_rate == 1e-4);
	assert_true(c.critic.optimizer.eps == 1e-5 && !c.critic.optimizer.given);
	assert_string_equal(c.schedule.name, "linear");
	assert_int_equal(c.checkpoint.every_steps, 10);
	assert_int_equal(c.checkpoint.keep, 2);
	config_release(&c);
}

static void test_train_defaults_differ_where_they_should(void **state)
{
	struct run_config c;

	(void)state;
	must_load(&c, COMMAND_PRETRAIN, TRAIN_MINIMAL);
	assert_int_equal(c.train.steps, 1000);
	assert_int_equal(c.train.batch_size, 32);
	assert_int_equal(c.train.eval_every, 0);
	assert_int_equal(c.data.max_length, 512);
	assert_string_equal(c.data.too_long, "error");
	assert_string_equal(c.data.truncation_side, "right");
	assert_true(c.data.packing && c.data.append_eos && c.data.shuffle);
	assert_null(c.data.eval);
	assert_true(c.optimizer.eps == 1e-8);
	assert_string_equal(c.schedule.name, "constant");
	assert_int_equal(c.checkpoint.every_steps, 100);
	config_release(&c);
	must_load(&c, COMMAND_REWARD_TRAIN, TRAIN_MINIMAL);
	assert_true(c.optimizer.eps == 1e-8);
	config_release(&c);
	must_load(&c, COMMAND_SFT, TRAIN_MINIMAL);
	assert_string_equal(c.sft.loss, "completion");
	assert_true(c.data.append_eos && c.checkpoint.best);
	config_release(&c);
	must_load(&c, COMMAND_CLASSIFY, TRAIN_MINIMAL);
	assert_string_equal(c.model.path, "M");
	assert_string_equal(c.classify.freeze, "none");
	config_release(&c);
	assert_int_equal(load_set(&c, COMMAND_CLASSIFY, TRAIN_MINIMAL, "classify.freeze=12"),
			 STATUS_OK);
	assert_string_equal(c.classify.freeze, "12");
	config_release(&c);
	assert_int_equal(load_set(&c, COMMAND_CLASSIFY, TRAIN_MINIMAL, "classify.freeze=backbone"),
			 STATUS_OK);
	config_release(&c);
	assert_int_equal(load_set(&c, COMMAND_CLASSIFY, TRAIN_MINIMAL, "classify.freeze=1.5"),
			 STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"embeddings\" \"backbone\", or an integer from 1"));
	must_load(&c, COMMAND_DPO, TRAIN_MINIMAL);
	assert_string_equal(c.dpo.loss_type, "sigmoid");
	assert_true(c.dpo.beta == 0.1 && c.dpo.label_smoothing == 0 && c.dpo.ipo_length_norm);
	assert_true(c.dpo.desirable_weight == 1 && c.dpo.undesirable_weight == 1);
	assert_false(c.data.append_eos);
	assert_null(c.reference.path);
	config_release(&c);
	assert_int_equal(load_set(&c, COMMAND_DPO, TRAIN_MINIMAL, "dpo.label_smoothing=0.5"),
			 STATUS_BAD_INPUT);
	assert_int_equal(load_set(&c, COMMAND_SFT, TRAIN_MINIMAL, "dpo.beta=1"), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"dpo\" is a key of other commands, not of sft"));
	REFUSED(COMMAND_SFT, "{\"run\":{\"dir\":\"r\"},\"data\":{\"train\":\"T\"}}",
		"\"model.path\" is missing");
}

static void test_the_example_of_the_contract_loads(void **state)
{
	struct run_config c;

	(void)state;
	must_load(&c, COMMAND_PPO,
		  "{\"run\":{\"dir\":\"runs/p\",\"seed\":3},\"roles\":{\"learner\":1,\"actor\":2,"
		  "\"reward\":1},\"policy\":{\"path\":\"DIR\"},\"reward\":{\"sources\":[{\"type\":"
		  "\"model\",\"path\":\"RM\",\"weight\":1.0}],\"missing_eos_penalty\":null},"
		  "\"data\":{\"prompts\":\"P.jsonl\"},\"rollout\":{\"batch_size\":64,"
		  "\"max_new_tokens\":64,\"min_new_tokens\":0,\"temperature\":1.0},\"ppo\":{"
		  "\"iterations\":100,\"epochs\":4,\"minibatches\":1,\"cliprange\":0.2,"
		  "\"cliprange_value\":0.2,\"vf_coef\":0.1,\"gamma\":1.0,\"lam\":0.95,"
		  "\"whiten_rewards\":false,\"kl\":{\"coef\":0.05,\"controller\":\"fixed\","
		  "\"target\":6.0,\"horizon\":10000}},\"optimizer\":{\"name\":\"adamw\","
		  "\"learning_rate\":1e-4,\"max_grad_norm\":1.0},\"schedule\":{\"name\":"
		  "\"linear\"},\"checkpoint\":{\"every_steps\":10,\"keep\":2}}");
	assert_true(c.roles.given);
	assert_int_equal(c.roles.actor, 2);
	assert_int_equal(c.run.seed, 3);
	config_release(&c);
}

static void test_resolved_text_loads_to_the_same_text(void **state)
{
	static const char *const texts[] = {
		PPO_MINIMAL,
		"{" PPO_NEEDED
		",\"roles\":{\"actor\":2},\"critic\":{\"optimizer\":{\"beta1\":0.5}}}",
	};
	struct run_config c, again;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		must_load(&c, COMMAND_PPO, texts[i]);
		must_load(&again, COMMAND_PPO, c.text);
		assert_string_equal(c.text, again.text);
		assert_int_equal(c.roles.given, again.roles.given);
		config_release(&again);
		config_release(&c);
	}
}

static void test_critic_optimizer_inherits_key_by_key(void **state)
{
	struct run_config c;

	(void)state;
	must_load(&c, COMMAND_PPO,
		  "{" PPO_NEEDED ",\"optimizer\":{\"learning_rate\":0.5,\"name\":\"sgd\"},"
		  "\"critic\":{\"path\":\"C\",\"optimizer\":{\"learning_rate\":0.25}}}");
	assert_true(c.critic.optimizer.given);
	assert_true(c.critic.optimizer.learning_rate == 0.25);
	assert_string_equal(c.critic.optimizer.name, "sgd");
	assert_true(c.critic.optimizer.beta2 == 0.999);
	config_release(&c);
}

static void test_null_takes_a_section_away(void **state)
{
	const char *text = "{" PPO_NEEDED ",\"roles\":{\"actor\":2},\"lora\":{\"r\":4},"
			   "\"critic\":{\"optimizer\":{\"eps\":1e-3}}}";
	const char *set[] = {"roles=null", "lora=null", "critic.optimizer=null"};
	struct run_config c;

	(void)state;
	write_bytes(text, strlen(text));
	assert_int_equal(config_load(&c, COMMAND_PPO, path, set, 3, &err), STATUS_OK);
	assert_false(c.roles.given || c.lora.given || c.critic.optimizer.given);
	assert_true(c.critic.optimizer.eps == 1e-5);
	config_release(&c);
	assert_int_equal(load_set(&c, COMMAND_PPO, text, "run=null"), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"run.dir\" is missing"));
	assert_int_equal(load_set(&c, COMMAND_PPO, text, "roles=false"), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"roles\" is true or false, expected an object"));
}

static void test_unknown_keys_name_the_nearest(void **state)
{
	(void)state;
	PPO_REFUSED("\"ppo\":{\"kl\":{\"coeff\":1}}", path,
		    "unknown key \"ppo.kl.coeff\", did you mean \"ppo.kl.coef\"?");
	PPO_REFUSED("\"optimiser\":{\"name\":\"sgd\"}", "did you mean \"optimizer\"?");
	PPO_REFUSED("\"lora\":{\"alpha\":1}", "did you mean \"lora.lora_alpha\"?");
	PPO_REFUSED("\"optimizer\":{\"lr\":1}", "did you mean \"optimizer.learning_rate\"?");
	PPO_REFUSED("\"learning_rat\":1", "unknown key \"learning_rat\"",
		    "did you mean \"optimizer.learning_rate\"?");
	PPO_REFUSED("\"kl\":{\"coef\":1}", "unknown key \"kl\", did you mean \"ppo.kl\"?");
	PPO_REFUSED("\"zzzzzzzzzzzzzzzzzzzz\":1", "unknown key \"zzzzzzzzzzzzzzzzzzzz\"");
	PPO_REFUSED("\"ppo.epochs\":2", "has a dot");
	PPO_REFUSED("\"train\":{\"steps\":2}", "\"train\" is a key of other commands, not of ppo");
	PPO_REFUSED("\"a\\u001b[31m\":1", "unknown key \"a?[31m\"");
}

static void test_types_are_strict(void **state)
{
	static const char *const wrong[] = {
		"\"64\"",	    "true", "null", "64.5", "[64]", "{}", "-1", "0",
		"9007199254740993", "1e300"};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		snprintf(text, sizeof text, "{" PPO_NEEDED ",\"rollout\":{\"batch_size\":%s}}",
			 wrong[i]);
		REFUSED(COMMAND_PPO, text, path, "\"rollout.batch_size\" is ",
			"expected an integer from 1 to 1048576");
	}
	PPO_REFUSED("\"ppo\":5", "\"ppo\" is a number, expected an object");
	PPO_REFUSED("\"ppo\":{\"gamma\":\"1\"}", "\"ppo.gamma\" is \"1\" (a string), expected a "
						 "number from 0 to 1");
	PPO_REFUSED("\"ppo\":{\"whiten_rewards\":1}", "expected true or false");
	PPO_REFUSED("\"schedule\":{\"name\":\"lineal\"}", "\"constant\" \"linear\" \"cosine\"");
	REFUSED(COMMAND_PPO, "[]", "expected an object");
}

static void test_integers_are_exact_up_to_2_to_the_53(void **state)
{
	struct run_config c;

	(void)state;
	must_load(&c, COMMAND_PRETRAIN,
		  "{\"run\":{\"dir\":\"r\",\"seed\":9007199254740991},\"model\":{\"path\":\"M\"},"
		  "\"data\":{\"train\":\"T\"}}");
	assert_true(c.run.seed == 9007199254740991);
	assert_non_null(strstr(c.text, "9007199254740991"));
	config_release(&c);
	REFUSED(COMMAND_PRETRAIN,
		"{\"run\":{\"dir\":\"r\",\"seed\":9007199254740993},\"model\":{\"path\":\"M\"},"
		"\"data\":{\"train\":\"T\"}}",
		"\"run.seed\" is 9007199254740992", "to 9007199254740991");
}

static void test_ranges_and_rules_are_checked(void **state)
{
	(void)state;
	PPO_REFUSED("\"ppo\":{\"gamma\":2}", "\"ppo.gamma\" is 2");
	PPO_REFUSED("\"ppo\":{\"cliprange\":-0.2}", "above 0");
	PPO_REFUSED("\"rollout\":{\"temperature\":0}", "from 1e-06");
	PPO_REFUSED("\"optimizer\":{\"beta1\":1}", "from 0 to below 1");
	PPO_REFUSED("\"optimizer\":{\"eps\":1e-46}", "\"optimizer.eps\" is 1e-46");
	PPO_REFUSED("\"ppo\":{\"lanes\":6}", "\"ppo.lanes\" is 6, expected a power of two");
	PPO_REFUSED("\"ppo\":{\"minibatches\":65}", "at most rollout.batch_size, 64");
	PPO_REFUSED("\"rollout\":{\"min_new_tokens\":65}", "at most rollout.max_new_tokens, 64");
	PPO_REFUSED("\"rollout\":{\"samples_per_prompt\":3}", "multiple of");
	PPO_REFUSED("\"ppo\":{\"kl\":{\"controller\":\"adaptive\",\"target\":0}}", "ppo.kl.target");
	PPO_REFUSED("\"rollout\":{\"batch_size\":60},"
		    "\"ppo\":{\"kl\":{\"controller\":\"adaptive\",\"horizon\":12}}",
		    "\"ppo.kl.horizon\" is 12, expected more than 12");
	PPO_REFUSED("\"roles\":{\"learner\":3}", "divisor of ppo.lanes, 8");
	PPO_REFUSED("\"roles\":{\"learner\":0}", "\"roles.learner\" is 0");
	PPO_REFUSED("\"schedule\":{\"warmup_steps\":101}", "at most the run's length, 100");
}

/* What has no effect beside another key would be taken to have one. */
static void test_keys_without_effect_are_refused(void **state)
{
	(void)state;
	SFT_REFUSED("\"train\":{\"eval_every\":5}",
		    "\"train.eval_every\" is 5, expected 0 without data.eval");
	SFT_REFUSED("\"optimizer\":{\"momentum\":0.9}",
		    "\"optimizer.momentum\" is 0.9, expected 0 with optimizer.name \"adamw\"");
	REFUSED(COMMAND_DPO, "{" SFT_NEEDED ",\"dpo\":{\"undesirable_weight\":2}}",
		"\"dpo.undesirable_weight\" is 2, expected 1 with dpo.loss_type \"sigmoid\"");
	REFUSED(COMMAND_CLASSIFY, "{" SFT_NEEDED ",\"lora\":{},\"classify\":{\"freeze\":2}}",
		"\"classify.freeze\" is \"2\", expected \"none\" with lora");
}

/* A value that another key inherits is refused by the name of the one that was given. */
static void test_inherited_values_are_refused_where_they_were_given(void **state)
{
	(void)state;
	PPO_REFUSED("\"rollout\":{\"weights\":\"f16\"}", "\"rollout.weights\" is \"f16\"");
	PPO_REFUSED("\"optimizer\":{\"eps\":0}", "\"optimizer.eps\" is 0", path);
}

static void test_needed_keys_are_missed_by_name(void **state)
{
	(void)state;
	REFUSED(COMMAND_PPO, "{}", "\"run.dir\" is missing");
	REFUSED(COMMAND_PPO, "{\"run\":{\"dir\":\"r\"}}", "\"policy.path\" is missing");
	REFUSED(COMMAND_PRETRAIN, "{\"run\":{\"dir\":\"r\"},\"data\":{\"train\":\"T\"}}",
		"\"model.path\" is missing");
	REFUSED(COMMAND_PRETRAIN, "{\"run\":{\"dir\":\"r\"},\"model\":{\"path\":\"M\"}}",
		"\"data.train\" is missing");
	REFUSED(COMMAND_PPO,
		"{\"run\":{\"dir\":\"r\"},\"policy\":{\"path\":\"P\"},\"data\":{\"prompts\":\"D\"}"
		"}",
		"\"reward.sources\" is missing");
}

static void test_unusable_files_are_refused_in_clear_words(void **state)
{
	struct run_config c;

	(void)state;
	REFUSED(COMMAND_PPO, "", "empty configuration");
	REFUSED(COMMAND_PPO, " \n\t", "empty configuration");
	REFUSED(COMMAND_PPO, "\xEF\xBB\xBF{}", "byte order mark");
	REFUSED(COMMAND_PPO, "{\"lr\": \"1e-", path);
	REFUSED(COMMAND_PPO, "{\"run\":{\"seed\":1,\"seed\":2}}", path, "seed");
	assert_int_equal(config_load(&c, COMMAND_PPO, directory, NULL, 0, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, directory));
	assert_int_equal(config_load(&c, COMMAND_PPO, "/nowhere/x.json", NULL, 0, &err),
			 STATUS_BAD_INPUT);
}

static void test_paths_hold_no_nul_and_no_control_character(void **state)
{
	(void)state;
	PPO_REFUSED("\"critic\":{\"path\":\"a\\u0000b\"}", "\"critic.path\"");
	PPO_REFUSED("\"critic\":{\"path\":\"a\\nb\"}", "\"critic.path\"",
		    "without control characters");
	PPO_REFUSED("\"critic\":{\"path\":\"\"}", "\"critic.path\" is \"\"",
		    "a string of 1 to 4096 bytes");
}

static void test_reward_sources_are_objects_of_their_own(void **state)
{
	struct run_config c;
#define SOURCES(list)                                                                              \
	"{\"run\":{\"dir\":\"r\"},\"policy\":{\"path\":\"P\"},\"data\":{\"prompts\":\"D\"},"       \
	"\"reward\":{\"sources\":" list "}}"

	(void)state;
	must_load(&c, COMMAND_PPO,
		  SOURCES("[{\"type\":\"model\",\"path\":\"A\",\"normalise\":true},{\"type\":"
			  "\"rule\",\"rule\":\"token_count\",\"token_id\":7,\"weight\":-0.5},"
			  "{\"type\":\"rule\",\"rule\":\"length\"}]"));
	assert_int_equal(c.reward.n_sources, 3);
	assert_true(c.reward.sources[0].normalise);
	assert_int_equal(c.reward.sources[1].token_id, 7);
	assert_true(c.reward.sources[1].weight == -0.5);
	assert_string_equal(c.reward.sources[2].rule, "length");
	assert_null(c.reward.sources[2].path);
	config_release(&c);

	REFUSED(COMMAND_PPO, SOURCES("[]"), "reward.sources", "a list of 1 to 8 objects");
	REFUSED(COMMAND_PPO, SOURCES("{}"), "a list of 1 to 8 objects");
	REFUSED(COMMAND_PPO, SOURCES("[1]"), "\"reward.sources.0\" is a number");
	REFUSED(COMMAND_PPO, SOURCES("[{\"path\":\"A\"}]"), "\"reward.sources.0.type\" is missing");
	REFUSED(COMMAND_PPO, SOURCES("[{\"type\":\"model\"}]"),
		"\"reward.sources.0.path\" is missing");
	REFUSED(COMMAND_PPO, SOURCES("[{\"type\":\"model\",\"path\":\"A\",\"wieght\":1}]"),
		"unknown key \"reward.sources.0.wieght\", did you mean \"weight\"?");
	REFUSED(COMMAND_PPO, SOURCES("[{\"type\":\"rule\",\"rule\":\"token_count\"}]"),
		"\"reward.sources.0.token_id\" is missing");
	REFUSED(COMMAND_PPO, SOURCES("[{\"type\":\"model\",\"path\":\"A\",\"weight\":\"1\"}]"),
		"\"reward.sources.0.weight\" is \"1\" (a string)");
}

static void test_a_new_model_is_described_freely(void **state)
{
	struct run_config c;

	(void)state;
	must_load(&c, COMMAND_PRETRAIN,
		  "{\"run\":{\"dir\":\"r\"},\"model\":{\"create\":{\"family\":\"llama\","
		  "\"tokenizer\":\"tok\"}},\"data\":{\"train\":\"T\"}}");
	assert_non_null(c.model.create);
	assert_string_equal(json_string(json_get(c.model.create, "family"), NULL), "llama");
	assert_string_equal(c.model.tokenizer, "tok");
	config_release(&c);
	REFUSED(COMMAND_PRETRAIN,
		"{\"run\":{\"dir\":\"r\"},\"model\":{\"path\":\"M\",\"create\":{}},"
		"\"data\":{\"train\":\"T\"}}",
		"expected one of them");
}

static void test_set_changes_keys_at_any_depth(void **state)
{
	struct run_config c;
	const char *const sets[] = {"reward.sources.0.path=OTHER", "ppo.kl.coef=0.5",
				    "run.isa=portable"};

	(void)state;
	write_bytes(PPO_MINIMAL, strlen(PPO_MINIMAL));
	assert_int_equal(config_load(&c, COMMAND_PPO, path, sets, 3, &err), STATUS_OK);
	assert_string_equal(c.reward.sources[0].path, "OTHER");
	assert_true(c.ppo.kl.coef == 0.5);
	assert_string_equal(c.run.isa, "portable");
	config_release(&c);

	assert_int_equal(load_set(&c, COMMAND_PPO, PPO_MINIMAL, "ppo.kl.coeff=1"),
			 STATUS_BAD_INPUT);
	assert_string_equal(err.text,
			    "--set: unknown key \"ppo.kl.coeff\", did you mean \"ppo.kl.coef\"?");
	assert_int_equal(load_set(&c, COMMAND_PPO, PPO_MINIMAL, "ppo.epochs=x"), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "--set: \"ppo.epochs\" is \"x\""));
	assert_int_equal(load_set(&c, COMMAND_PPO, PPO_MINIMAL, "ppo.epochs"), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "KEY=VALUE"));
}

/* Resuming a run of PPO_MINIMAL after one --set. */
static enum status resume_with(const char *set)
{
	struct run_config old, now;
	enum status status;

	must_load(&old, COMMAND_PPO, PPO_MINIMAL);
	assert_int_equal(load_set(&now, COMMAND_PPO, PPO_MINIMAL, set), STATUS_OK);
	status = config_check_resume(COMMAND_PPO, old.text, &now, &err);
	config_release(&now);
	config_release(&old);
	return status;
}

/* What is wrong with a key that --set gives is not said of the file. */
static void test_rules_name_where_a_key_was_given(void **state)
{
	struct run_config c;

	(void)state;
	assert_int_equal(load_set(&c, COMMAND_PPO, PPO_MINIMAL, "ppo.minibatches=65"),
			 STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "--set: \"ppo.minibatches\" is 65"));
	PPO_REFUSED("\"ppo\":{\"minibatches\":65}", path, "\"ppo.minibatches\" is 65");
}

static void test_resume_lets_only_some_keys_change(void **state)
{
	static const char *const may[] = {
		"run.seed=1",	      "run.dir=elsewhere",
		"run.threads=2",      "roles.actor=3",
		"ppo.iterations=200", "reward.sources.0.path=B",
		"log.every_steps=5",  "checkpoint.every_steps=1",
		"checkpoint.keep=9",  "reward.sources.1={\"type\":\"rule\",\"rule\":\"length\"}",
	};
	static const char *const may_not[] = {
		"run.seed=2",
		"ppo.gamma=0.9",
		"optimizer.learning_rate=1",
		"critic.optimizer.eps=1e-9",
		"data.prompts=E",
		"reward.missing_eos_penalty=-1",
		"critic.path=C",
		"policy.path=Q",
		"ppo.lanes=4",
	};

	(void)state;
	for (size_t i = 0; i < sizeof may / sizeof *may; i++)
		if (resume_with(may[i]) != STATUS_OK)
			fail_msg("%s: %s", may[i], err.text);
	for (size_t i = 0; i < sizeof may_not / sizeof *may_not; i++)
		if (resume_with(may_not[i]) != STATUS_BAD_INPUT)
			fail_msg("%s may not change", may_not[i]);
	assert_int_equal(resume_with("ppo.gamma=0.9"), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"ppo.gamma\" is 0.9"));
	assert_non_null(strstr(err.text, "1"));
	/* reference.weights follows it, but was not touched */
	assert_int_equal(resume_with("rollout.weights=bf16"), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"rollout.weights\" is \"bf16\""));
}

/* A run that began before ppo.gamma was a key goes on where gamma has its default. */
static void test_resume_of_a_run_that_is_older_than_a_key(void **state)
{
	struct run_config old, now;
	char *key;

	(void)state;
	must_load(&old, COMMAND_PPO, PPO_MINIMAL);
	key = strstr(old.text, "\"gamma\"");
	assert_non_null(key);
	memcpy(key, "\"other\"", strlen("\"gamma\""));
	must_load(&now, COMMAND_PPO, PPO_MINIMAL);
	assert_int_equal(config_check_resume(COMMAND_PPO, old.text, &now, &err), STATUS_OK);
	config_release(&now);
	assert_int_equal(load_set(&now, COMMAND_PPO, PPO_MINIMAL, "ppo.gamma=0.9"), STATUS_OK);
	assert_int_equal(config_check_resume(COMMAND_PPO, old.text, &now, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"ppo.gamma\" is 0.9"));
	config_release(&now);
	assert_int_equal(load_set(&now, COMMAND_PPO, PPO_MINIMAL, "lora.r=8"), STATUS_OK);
	assert_int_equal(config_check_resume(COMMAND_PPO, old.text, &now, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "\"lora.r\" is 8"));
	config_release(&now);
	config_release(&old);
}

/* What an adapter to go on from is like may be said or not. */
static void test_resume_from_an_adapter_on(void **state)
{
	static const char adapter[] = "{" SFT_NEEDED ",\"lora\":{\"path\":\"A\"}}";
	struct run_config old, now;

	(void)state;
	must_load(&old, COMMAND_SFT, adapter);
	assert_null(strstr(old.text, "\"r\""));
	assert_int_equal(load_set(&now, COMMAND_SFT, adapter, "lora.r=4"), STATUS_OK);
	assert_int_equal(config_check_resume(COMMAND_SFT, old.text, &now, &err), STATUS_OK);
	assert_int_equal(config_check_resume(COMMAND_SFT, now.text, &old, &err), STATUS_OK);
	config_release(&now);
	assert_int_equal(load_set(&now, COMMAND_SFT, adapter, "lora.path=B"), STATUS_OK);
	assert_int_equal(config_check_resume(COMMAND_SFT, old.text, &now, &err), STATUS_BAD_INPUT);
	config_release(&now);
	config_release(&old);
}

/* The documented whole without its comment lines. */
static void strip_comments(const char *text, struct buf *out)
{
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		size_t indent = strspn(line, " ");

		if (strncmp(line + indent, "//", 2) != 0)
			buf_append(out, line, n);
		line += n + (line[n] == '\n');
	}
}

static void test_documented_config_is_json_with_comments(void **state)
{
	static const enum command commands[] = {COMMAND_PRETRAIN, COMMAND_REWARD_TRAIN,
						COMMAND_PPO};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct buf text = BUF_INIT, plain = BUF_INIT;
		struct json *tree;

		config_print_documented(commands[i], &text);
		strip_comments(text.data, &plain);
		tree = json_parse(plain.data, plain.length, "documented", &err);
		if (!tree)
			fail_msg("%s\n%s", err.text, text.data);
		assert_non_null(json_get(json_get(tree, "run"), "dir"));
		if (commands[i] == COMMAND_PPO) {
			assert_non_null(json_get(json_get(json_get(tree, "ppo"), "kl"), "coef"));
			assert_int_equal(json_count(json_get(json_get(tree, "reward"), "sources")),
					 2);
		}
		json_free(tree);
		buf_release(&plain);
		buf_release(&text);
	}
}

static int make_directory(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "%s/config.json", mkdtemp(directory));
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return file_remove_tree(directory, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ppo_defaults_are_those_of_the_contract),
		cmocka_unit_test(test_train_defaults_differ_where_they_should),
		cmocka_unit_test(test_the_example_of_the_contract_loads),
		cmocka_unit_test(test_resolved_text_loads_to_the_same_text),
		cmocka_unit_test(test_critic_optimizer_inherits_key_by_key),
		cmocka_unit_test(test_null_takes_a_section_away),
		cmocka_unit_test(test_unknown_keys_name_the_nearest),
		cmocka_unit_test(test_types_are_strict),
		cmocka_unit_test(test_integers_are_exact_up_to_2_to_the_53),
		cmocka_unit_test(test_ranges_and_rules_are_checked),
		cmocka_unit_test(test_keys_without_effect_are_refused),
		cmocka_unit_test(test_inherited_values_are_refused_where_they_were_given),
		cmocka_unit_test(test_needed_keys_are_missed_by_name),
		cmocka_unit_test(test_unusable_files_are_refused_in_clear_words),
		cmocka_unit_test(test_paths_hold_no_nul_and_no_control_character),
		cmocka_unit_test(test_reward_sources_are_objects_of_their_own),
		cmocka_unit_test(test_a_new_model_is_described_freely),
		cmocka_unit_test(test_set_changes_keys_at_any_depth),
		cmocka_unit_test(test_rules_name_where_a_key_was_given),
		cmocka_unit_test(test_resume_lets_only_some_keys_change),
		cmocka_unit_test(test_resume_of_a_run_that_is_older_than_a_key),
		cmocka_unit_test(test_resume_from_an_adapter_on),
		cmocka_unit_test(test_documented_config_is_json_with_comments),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}

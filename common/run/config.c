/* Reading the configuration of a run.
 *
 *     file, --set  ->  tree  ->  known keys only?  ->  defaults filled in
 *                                                            |
 *              struct run_config  <-  types, ranges  <-  resolved tree  ->  text
 *
 * The resolved tree is again a configuration file: reading its text gives the
 * same tree, so a run directory's config.json can start another run.  Nothing is
 * converted silently: "64" is not 64, and 64.5 is no integer. */
#include "common/run/config.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/run/config_table.h"
#include "common/run/options.h"

#define MAX_FILE_BYTES (16u << 20)

/* What a load knows while it goes on. */
struct loader {
	enum command command;
	const char *path; /* of the file */
	const char *const *set;
	int n_set;
	struct error *err;
};

/* --- errors --- */

/* Whether "key=value" sets name or something inside of it. */
static bool sets(const char *assignment, const char *name)
{
	size_t length = strlen(name);

	return strncmp(assignment, name, length) == 0 &&
	       (assignment[length] == '=' || assignment[length] == '.');
}

/* Where a key was given: the file's path, or "--set". */
static const char *origin(const struct loader *loader, const char *name)
{
	for (int i = 0; i < loader->n_set; i++)
		if (sets(loader->set[i], name))
			return "--set";
	return loader->path;
}

static enum status unknown_key(const struct loader *loader, const char *name)
{
	char *near;
	enum status status;

	if (config_find(name, ~0u) || config_is_section(name, ~0u))
		return error_set(loader->err, STATUS_BAD_INPUT,
				 "%s: \"%s\" is a key of other commands, not of %s",
				 origin(loader, name), name, config_command_name(loader->command));
	near = config_nearest(name, loader->command);
	status = error_set(loader->err, STATUS_BAD_INPUT, "%s: unknown key \"%s\"%s%s%s",
			   origin(loader, name), name, near ? ", did you mean \"" : "",
			   near ? near : "", near ? "\"?" : "");
	free(near);
	return status;
}

/* "FILE: "name" is 5 (a number), expected ..." */
static enum status wrong_value(const struct loader *loader, const char *name,
			       const struct config_key *key, const struct json *value)
{
	struct buf found = BUF_INIT, expected = BUF_INIT;
	enum status status;

	json_print(value, false, &found);
	config_describe(key, &expected);
	status = error_set(loader->err, STATUS_BAD_INPUT, "%s: \"%s\" is %.60s%s (%s), expected %s",
			   origin(loader, name), name, found.data, found.length > 60 ? "..." : "",
			   json_type_name(value), expected.data);
	buf_release(&found);
	buf_release(&expected);
	return status;
}

/* --- the tree --- */

static enum status parse_file(const struct loader *loader, struct json **tree)
{
	struct buf text = BUF_INIT;
	enum status status = file_read(loader->path, MAX_FILE_BYTES, &text, loader->err);

	if (status != STATUS_OK)
		goto done;
	status = STATUS_BAD_INPUT;
	if (text.length >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0)
		error_set(loader->err, status,
			  "%s: begins with a byte order mark; save it as UTF-8 without one",
			  loader->path);
	else if (strspn(text.data, " \t\r\n") == text.length)
		error_set(loader->err, status, "%s: empty configuration", loader->path);
	else
		*tree = json_parse(text.data, text.length, loader->path, loader->err);
	if (!*tree)
		goto done;
	status = STATUS_OK;
	if (json_type(*tree) != JSON_OBJECT)
		status = error_set(loader->err, STATUS_BAD_INPUT, "%s: is %s, expected an object",
				   loader->path, json_type_name(*tree));
done:
	buf_release(&text);
	return status;
}

static enum status apply_sets(const struct loader *loader, struct json *tree)
{
	for (int i = 0; i < loader->n_set; i++) {
		const char *equals = strchr(loader->set[i], '=');
		enum status status;
		char *name;

		if (!equals || equals == loader->set[i])
			return error_set(loader->err, STATUS_BAD_INPUT,
					 "--set %s: expected KEY=VALUE", loader->set[i]);
		name = xstrndup(loader->set[i], (size_t)(equals - loader->set[i]));
		status = json_set_path(tree, name, equals + 1, loader->err);
		free(name);
		if (status != STATUS_OK)
			return error_prefix(loader->err, status, "--set %s", loader->set[i]);
	}
	return STATUS_OK;
}

/* The value of a dotted name, NULL when absent. */
static const struct json *find(const struct json *tree, const char *name)
{
	char *copy = xstrdup(name), *rest = copy, *part;

	while (tree && (part = strsep(&rest, ".")))
		tree = json_get(tree, part);
	free(copy);
	return tree;
}

/* Whether a key or a section is there; null takes a section away. */
static bool is_given(const struct json *tree, const char *name)
{
	const struct json *value = find(tree, name);

	return value && json_type(value) != JSON_NULL;
}

/* Refuses what the table does not know, at any depth. */
static enum status check_known(const struct loader *loader, const struct json *object,
			       const char *prefix)
{
	enum status status = STATUS_OK;

	for (const struct json *member = json_first(object); member && status == STATUS_OK;
	     member = json_next(member)) {
		char *name = xasprintf("%s%s", prefix, json_key(member));
		char *inner = xasprintf("%s.", name);

		/* A member named "ppo.epochs" is not the member epochs of ppo. */
		if (strchr(json_key(member), '.')) {
			status = error_set(loader->err, STATUS_BAD_INPUT,
					   "%s: key \"%s\" has a dot, expected nested objects",
					   origin(loader, name), name);
		} else if (!config_find(name, loader->command)) {
			if (!config_is_section(name, loader->command))
				status = unknown_key(loader, name);
			else if (json_type(member) == JSON_OBJECT)
				status = check_known(loader, member, inner);
			else if (json_type(member) != JSON_NULL)
				status = error_set(loader->err, STATUS_BAD_INPUT,
						   "%s: \"%s\" is %s, expected an object",
						   origin(loader, name), name,
						   json_type_name(member));
		}
		free(inner);
		free(name);
	}
	return status;
}

/* --- defaults --- */

/* JSON text of a key: as given, or as inherited, or its default; NULL: none. */
static char *resolved_text(const struct json *tree, const struct config_key *key)
{
	const struct json *value = find(tree, key->name);
	struct buf text = BUF_INIT;

	if (!value && key->inherit)
		value = find(tree, key->inherit);
	if (!value)
		return key->fallback ? xstrdup(key->fallback) : NULL;
	json_print(value, false, &text);
	return buf_detach(&text);
}

static bool section_is_given(const struct json *tree, const struct config_key *key)
{
	char *section = xstrndup(key->name, strcspn(key->name, "."));
	bool given = is_given(tree, section);

	free(section);
	return given;
}

/* An adapter to go on from has its own r and the like; ppo makes one of its critic too. */
static bool adapter_is_new(const struct loader *loader, const struct json *tree)
{
	return loader->command == COMMAND_PPO || !is_given(tree, "lora.path");
}

/* Whether the key is without a default here. */
static bool is_left_out(const struct loader *loader, const struct json *tree,
			const struct config_key *key)
{
	if ((key->flags & KEY_WITH_SECTION) && !section_is_given(tree, key))
		return true;
	return (key->flags & KEY_NEW_ADAPTER) && !adapter_is_new(loader, tree) &&
	       !find(tree, key->name);
}

/* A new tree with every key of the command, in the table's order. */
static enum status resolve(const struct loader *loader, const struct json *tree,
			   struct json **resolved)
{
	enum status status = STATUS_OK;

	*resolved = json_parse("{}", 2, loader->path, loader->err);
	if (!*resolved)
		return STATUS_BAD_INPUT;
	for (size_t i = 0; i < n_config_keys && status == STATUS_OK; i++) {
		const struct config_key *key = &config_keys[i];
		char *text;

		if (!(key->commands & loader->command) || is_left_out(loader, tree, key))
			continue;
		text = resolved_text(tree, key);
		if (text)
			status = json_set_path(*resolved, key->name, text, loader->err);
		else
			status = error_set(loader->err, STATUS_BAD_INPUT,
					   "%s: \"%s\" is missing: %s", loader->path, key->name,
					   key->help);
		free(text);
	}
	return status;
}

/* --- values --- */

static bool in_range(const struct config_key *key, double value)
{
	bool above = key->flags & KEY_ABOVE_MIN ? value > key->min : value >= key->min;
	bool below = key->flags & KEY_BELOW_MAX ? value < key->max : value <= key->max;

	return above && below; /* both are false for NaN */
}

static bool is_choice(const char *choices, const char *word)
{
	for (size_t length; *choices; choices += length + (choices[length] == '|')) {
		length = strcspn(choices, "|");
		if (strlen(word) == length && memcmp(word, choices, length) == 0)
			return true;
	}
	return false;
}

/* A string that may be a path: not empty, nothing that a path cannot hold. */
static bool is_usable_text(const char *text, size_t length)
{
	if (length == 0 || length > MAX_TEXT_BYTES)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

static bool store_string(const struct config_key *key, const struct json *value, char **target)
{
	size_t length;
	const char *text;

	if (json_type(value) != JSON_STRING)
		return false;
	text = json_string(value, &length);
	if (!is_usable_text(text, length) ||
	    (key->type == KEY_CHOICE && !is_choice(key->choices, text)))
		return false;
	*target = xstrdup(text);
	return true;
}

/* Words and, where the key has a range, integers, which become words too. */
static bool store_choice(const struct config_key *key, const struct json *value, char **target)
{
	int64_t integer;

	if (json_type(value) != JSON_NUMBER)
		return store_string(key, value, target);
	if (key->max <= 0 || !json_int64(value, &integer) || !in_range(key, (double)integer))
		return false;
	*target = xasprintf("%lld", (long long)integer);
	return true;
}

static bool store_number(const struct config_key *key, const struct json *value, void *target)
{
	int64_t integer;

	if (json_type(value) != JSON_NUMBER)
		return false;
	if (key->type == KEY_NUMBER) {
		*(double *)target = json_number(value);
		return in_range(key, json_number(value));
	}
	if (!json_int64(value, &integer))
		return false;
	*(int64_t *)target = integer;
	return in_range(key, (double)integer);
}

static bool are_names(const struct json *value)
{
	if (json_type(value) != JSON_ARRAY)
		return json_type(value) == JSON_STRING;
	for (const struct json *entry = json_first(value); entry; entry = json_next(entry))
		if (json_type(entry) != JSON_STRING)
			return false;
	return json_first(value) != NULL;
}

/* Stores a value into the struct at base.  name is the key's full name. */
static enum status store(const struct loader *loader, const struct config_key *key,
			 const char *name, const struct json *value, char *base)
{
	void *target = base + key->offset;
	bool fits = false;

	if (json_type(value) == JSON_NULL && key->fallback && strcmp(key->fallback, "null") == 0)
		return STATUS_OK;
	switch (key->type) {
	case KEY_BOOL:
		fits = json_type(value) == JSON_BOOL;
		if (fits)
			*(bool *)target = json_bool(value);
		break;
	case KEY_INT:
	case KEY_NUMBER:
		fits = store_number(key, value, target);
		break;
	case KEY_TEXT:
		fits = store_string(key, value, target);
		break;
	case KEY_CHOICE:
		fits = store_choice(key, value, target);
		break;
	case KEY_OBJECT:
		fits = json_type(value) == JSON_OBJECT;
		if (fits)
			*(const struct json **)target = value;
		break;
	case KEY_NAMES:
		fits = are_names(value);
		if (fits)
			*(const struct json **)target = value;
		break;
	case KEY_SOURCES:
		fits = json_type(value) == JSON_ARRAY && json_first(value) &&
		       json_count(value) <= MAX_REWARD_SOURCES;
		break;
	}
	return fits ? STATUS_OK : wrong_value(loader, name, key, value);
}

static enum status store_keys(const struct loader *loader, struct run_config *config,
			      bool inheriting)
{
	for (size_t i = 0; i < n_config_keys; i++) {
		const struct config_key *key = &config_keys[i];
		const struct json *value = find(config->tree, key->name);
		enum status status;

		if (!value || !(key->commands & loader->command) || !key->inherit == inheriting)
			continue;
		status = store(loader, key, key->name, value, (char *)config);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* Keys that may have inherited their value come last: what is wrong with it is then
 * said of the key that gave it. */
static enum status store_all(const struct loader *loader, struct run_config *config)
{
	enum status status = store_keys(loader, config, false);

	return status == STATUS_OK ? store_keys(loader, config, true) : status;
}

/* --- reward.sources --- */

static enum status check_source_keys(const struct loader *loader, const struct json *object,
				     const char *where, unsigned kind)
{
	const char *names[16];
	size_t n = 0;

	for (size_t i = 0; i < n_source_keys; i++)
		if (source_keys[i].commands & kind)
			names[n++] = source_keys[i].name;
	for (const struct json *m = json_first(object); m; m = json_next(m)) {
		const char *near = nearest_word(json_key(m), names, n);

		if (near && strcmp(near, json_key(m)) == 0)
			continue;
		return error_set(loader->err, STATUS_BAD_INPUT, "%s: unknown key \"%s.%s\"%s%s%s",
				 origin(loader, "reward.sources"), where, json_key(m),
				 near ? ", did you mean \"" : "", near ? near : "",
				 near ? "\"?" : "");
	}
	return STATUS_OK;
}

/* One key of a source, from the file or its default, which joins the tree. */
static enum status load_source_key(const struct loader *loader, struct run_config *config, int i,
				   const struct config_key *key)
{
	const struct json *list = find(config->tree, "reward.sources");
	char *name = xasprintf("reward.sources.%d.%s", i, key->name);
	enum status status = STATUS_OK;

	if (!json_get(json_at(list, (size_t)i), key->name)) {
		if (key->fallback)
			status = json_set_path(config->tree, name, key->fallback, loader->err);
		else
			status = error_set(loader->err, STATUS_BAD_INPUT,
					   "%s: \"%s\" is missing: %s", loader->path, name,
					   key->help);
	}
	if (status == STATUS_OK) {
		list = find(config->tree, "reward.sources");
		status = store(loader, key, name, json_get(json_at(list, (size_t)i), key->name),
			       (char *)&config->reward.sources[i]);
	}
	free(name);
	return status;
}

static enum status load_source(const struct loader *loader, struct run_config *config, int i)
{
	const struct json *object = json_at(find(config->tree, "reward.sources"), (size_t)i);
	struct reward_source *source = &config->reward.sources[i];
	char where[32];
	enum status status;
	unsigned kind;

	snprintf(where, sizeof where, "reward.sources.%d", i);
	if (json_type(object) != JSON_OBJECT)
		return error_set(loader->err, STATUS_BAD_INPUT,
				 "%s: \"%s\" is %s, expected an object", loader->path, where,
				 json_type_name(object));
	status = load_source_key(loader, config, i, &source_keys[0]);
	if (status != STATUS_OK)
		return status;
	kind = strcmp(source->type, "model") == 0 ? SOURCE_MODEL : SOURCE_RULE;
	object = json_at(find(config->tree, "reward.sources"), (size_t)i);
	status = check_source_keys(loader, object, where, kind);
	for (size_t k = 1; k < n_source_keys && status == STATUS_OK; k++)
		if (source_keys[k].commands & kind)
			status = load_source_key(loader, config, i, &source_keys[k]);
	if (status != STATUS_OK || kind == SOURCE_MODEL)
		return status;
	object = json_at(find(config->tree, "reward.sources"), (size_t)i);
	if (strcmp(source->rule, "token_count") == 0 &&
	    json_type(json_get(object, "token_id")) == JSON_NULL)
		return error_set(loader->err, STATUS_BAD_INPUT,
				 "%s: \"%s.token_id\" is missing: the id that token_count counts",
				 loader->path, where);
	return STATUS_OK;
}

static enum status load_sources(const struct loader *loader, struct run_config *config)
{
	const struct json *list = find(config->tree, "reward.sources");
	int n = list ? (int)json_count(list) : 0;

	for (int i = 0; i < n; i++) {
		enum status status = load_source(loader, config, i);

		config->reward.n_sources = i + 1; /* a broken one is released as well */
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* --- rules between keys --- */

/* key: the one that is said to be wrong. */
#define RULE(loader, key, holds, ...)                                                              \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			error_set((loader)->err, STATUS_BAD_INPUT, __VA_ARGS__);                   \
			return error_prefix((loader)->err, STATUS_BAD_INPUT, "%s",                 \
					    origin(loader, key));                                  \
		}                                                                                  \
	} while (0)

static enum status check_ppo(const struct loader *loader, const struct run_config *config)
{
	long long batch = config->rollout.batch_size;
	long long samples = config->rollout.samples_per_prompt;
	long long minibatches = config->ppo.minibatches;
	long long lanes = config->train.lanes, learners = config->roles.learner;
	long long min_new = config->rollout.min_new_tokens;
	long long max_new = config->rollout.max_new_tokens;
	bool adaptive = strcmp(config->ppo.kl.controller, "adaptive") == 0;

	RULE(loader, "rollout.min_new_tokens", min_new <= max_new,
	     "\"rollout.min_new_tokens\" is %lld, expected at most rollout.max_new_tokens, %lld",
	     min_new, max_new);
	RULE(loader, "rollout.batch_size", batch % samples == 0,
	     "\"rollout.batch_size\" is %lld, expected a multiple of rollout.samples_per_prompt, "
	     "%lld",
	     batch, samples);
	RULE(loader, "ppo.minibatches", minibatches <= batch,
	     "\"ppo.minibatches\" is %lld, expected at most rollout.batch_size, %lld", minibatches,
	     batch);
	RULE(loader, "ppo.kl.target", !adaptive || config->ppo.kl.target > 0,
	     "\"ppo.kl.target\" is 0, expected more with the adaptive controller");
	RULE(loader, "ppo.kl.horizon", !adaptive || config->ppo.kl.horizon > 0.2 * (double)batch,
	     "\"ppo.kl.horizon\" is %g, expected more than %g, a fifth of rollout.batch_size, "
	     "with the adaptive controller: one step could make the coefficient negative",
	     config->ppo.kl.horizon, 0.2 * (double)batch);
	RULE(loader, "roles.learner", !config->roles.given || lanes % learners == 0,
	     "\"roles.learner\" is %lld, expected a divisor of ppo.lanes, %lld", learners, lanes);
	return STATUS_OK;
}

static enum status check_train(const struct loader *loader, struct run_config *config)
{
	const struct json *tokenizer = json_get(config->model.create, "tokenizer");

	RULE(loader, "model.path", config->model.path || config->model.create,
	     "\"model.path\" is missing: the checkpoint to start from; or give model.create");
	RULE(loader, "model.path", !config->model.path || !config->model.create,
	     "both \"model.path\" and \"model.create\" are given, expected one of them");
	RULE(loader, "train.eval_every", config->train.eval_every == 0 || config->data.eval,
	     "\"train.eval_every\" is %lld, expected 0 without data.eval",
	     (long long)config->train.eval_every);
	if (!tokenizer)
		return STATUS_OK;
	/* A new model may name its tokenizer where it names everything else. */
	RULE(loader, "model.tokenizer", !config->model.tokenizer,
	     "both \"model.tokenizer\" and \"model.create.tokenizer\" are given, expected one of "
	     "them");
	return store(loader, config_find("model.tokenizer", loader->command),
		     "model.create.tokenizer", tokenizer, (char *)config);
}

static enum status check_dpo(const struct loader *loader, const struct run_config *config)
{
	const char *type = config->dpo.loss_type;
	bool smooths = strcmp(type, "sigmoid") == 0 || strcmp(type, "robust") == 0;
	bool is_kto = strcmp(type, "kto") == 0;

	RULE(loader, "dpo.label_smoothing", smooths || config->dpo.label_smoothing == 0,
	     "\"dpo.label_smoothing\" is %g, expected 0 with dpo.loss_type \"%s\"",
	     config->dpo.label_smoothing, type);
	RULE(loader, "dpo.desirable_weight", is_kto || config->dpo.desirable_weight == 1,
	     "\"dpo.desirable_weight\" is %g, expected 1 with dpo.loss_type \"%s\"",
	     config->dpo.desirable_weight, type);
	RULE(loader, "dpo.undesirable_weight", is_kto || config->dpo.undesirable_weight == 1,
	     "\"dpo.undesirable_weight\" is %g, expected 1 with dpo.loss_type \"%s\"",
	     config->dpo.undesirable_weight, type);
	RULE(loader, "train.batch_size", !is_kto || config->train.batch_size >= 2,
	     "\"train.batch_size\" is 1, expected more with dpo.loss_type \"kto\"");
	return STATUS_OK;
}

static enum status check_classify(const struct loader *loader, const struct run_config *config)
{
	const char *freeze = config->classify.freeze;

	RULE(loader, "classify.freeze", !config->lora.given || strcmp(freeze, "none") == 0,
	     "\"classify.freeze\" is \"%s\", expected \"none\" with lora, which freezes all but "
	     "the head and adapts what lora.target_modules says",
	     freeze);
	return STATUS_OK;
}

static enum status check_rules(const struct loader *loader, struct run_config *config)
{
	long long lanes = config->train.lanes, warmup = config->schedule.warmup_steps;
	bool is_ppo = loader->command == COMMAND_PPO;
	long long steps = is_ppo ? config->ppo.iterations : config->train.steps;

	RULE(loader, is_ppo ? "ppo.lanes" : "train.lanes", (lanes & (lanes - 1)) == 0,
	     "\"%s.lanes\" is %lld, expected a power of two: 1, 2, 4, 8, 16, 32 or 64",
	     is_ppo ? "ppo" : "train", lanes);
	RULE(loader, "schedule.warmup_steps", warmup <= steps,
	     "\"schedule.warmup_steps\" is %lld, expected at most the run's length, %lld", warmup,
	     steps);
	RULE(loader, "lora", !config->lora.given || is_ppo || config->model.path,
	     "\"lora\" adapts a checkpoint: it needs model.path");
	RULE(loader, "optimizer.momentum",
	     config->optimizer.momentum == 0 || strcmp(config->optimizer.name, "sgd") == 0,
	     "\"optimizer.momentum\" is %g, expected 0 with optimizer.name \"%s\"",
	     config->optimizer.momentum, config->optimizer.name);
	if (loader->command == COMMAND_DPO && check_dpo(loader, config) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (loader->command == COMMAND_CLASSIFY && check_classify(loader, config) != STATUS_OK)
		return STATUS_BAD_INPUT;
	return is_ppo ? check_ppo(loader, config) : check_train(loader, config);
}

/* --- public --- */

static void set_given(struct run_config *config, const struct json *tree)
{
	config->roles.given = is_given(tree, "roles");
	config->lora.given = is_given(tree, "lora");
	config->optimizer.given = is_given(tree, "optimizer");
	config->critic.optimizer.given = is_given(tree, "critic.optimizer");
	config->reward.has_missing_eos_penalty = is_given(tree, "reward.missing_eos_penalty");
}

enum status config_load(struct run_config *config, enum command command, const char *path,
			const char *const *set, int n_set, struct error *err)
{
	struct loader loader = {command, path, set, n_set, err};
	struct json *tree = NULL;
	struct buf text = BUF_INIT;
	enum status status;

	memset(config, 0, sizeof *config);
	status = parse_file(&loader, &tree);
	if (status == STATUS_OK)
		status = apply_sets(&loader, tree);
	if (status == STATUS_OK)
		status = check_known(&loader, tree, "");
	if (status == STATUS_OK)
		status = resolve(&loader, tree, &config->tree);
	if (status != STATUS_OK)
		goto done;
	set_given(config, tree);
	status = store_all(&loader, config);
	if (status == STATUS_OK)
		status = load_sources(&loader, config);
	if (status == STATUS_OK)
		status = check_rules(&loader, config);
	if (status != STATUS_OK)
		goto done;
	json_print(config->tree, true, &text);
	buf_append_char(&text, '\n');
	config->text = buf_detach(&text);
done:
	if (tree)
		json_free(tree);
	if (status != STATUS_OK)
		config_release(config);
	return status;
}

static void release_strings(const struct config_key *keys, size_t n, void *base)
{
	for (size_t i = 0; i < n; i++) {
		char **string = (char **)((char *)base + keys[i].offset);

		if (keys[i].type != KEY_TEXT && keys[i].type != KEY_CHOICE)
			continue;
		free(*string);
		*string = NULL;
	}
}

void config_release(struct run_config *config)
{
	release_strings(config_keys, n_config_keys, config);
	for (int i = 0; i < config->reward.n_sources; i++)
		release_strings(source_keys, n_source_keys, &config->reward.sources[i]);
	free(config->text);
	if (config->tree)
		json_free(config->tree);
	memset(config, 0, sizeof *config);
}

bool config_reference_is_policy(const struct run_config *config)
{
	const char *reference = config->reference.weights, *policy = config->rollout.weights;

	return !config->reference.path &&
	       strcmp(reference ? reference : "f32", policy ? policy : "f32") == 0;
}

/* What people read about a configuration: all keys with their help, and which
 * key of a resumed run has changed. */
#include "common/run/config.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/run/config_table.h"

/* --- the documented whole --- */

/* Length of the part that two names share, in whole sections: "ppo.kl." of
 * ppo.kl.coef and ppo.kl.target. */
static size_t shared_sections(const char *a, const char *b)
{
	size_t shared = 0;

	for (size_t i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '.')
			shared = i + 1;
	return shared;
}

static int depth_of(const char *name, size_t length)
{
	int depth = 0;

	for (size_t i = 0; i < length; i++)
		depth += name[i] == '.';
	return depth;
}

static void new_line(struct buf *out, int depth)
{
	buf_printf(out, "\n%*s", 2 * depth + 2, "");
}

static void print_comment(const struct config_key *key, int depth, struct buf *out)
{
	new_line(out, depth);
	buf_printf(out, "// %s: ", key->help);
	config_describe(key, out);
	if (!key->fallback)
		buf_append_string(out, "; needed");
	if (key->inherit)
		buf_printf(out, "; default: %s", key->inherit);
}

static void print_sources(int depth, struct buf *out)
{
	static const struct {
		const char *type;
		unsigned kind;
	} types[] = {{"model", SOURCE_MODEL}, {"rule", SOURCE_RULE}};

	buf_append_string(out, "[");
	for (size_t t = 0; t < 2; t++) {
		new_line(out, depth + 1);
		buf_printf(out, "{\"type\": \"%s\"", types[t].type);
		for (size_t i = 1; i < n_source_keys; i++) {
			const struct config_key *key = &source_keys[i];

			if (!(key->commands & types[t].kind))
				continue;
			buf_append_char(out, ',');
			print_comment(key, depth + 2, out);
			new_line(out, depth + 2);
			buf_printf(out, "\"%s\": %s", key->name,
				   key->fallback ? key->fallback : "\"...\"");
		}
		buf_append_string(out, t == 0 ? "}," : "}");
	}
	new_line(out, depth);
	buf_append_char(out, ']');
}

static void print_key(const struct config_key *key, struct buf *out)
{
	const char *dot = strrchr(key->name, '.');
	int depth = depth_of(key->name, strlen(key->name));

	print_comment(key, depth, out);
	new_line(out, depth);
	buf_printf(out, "\"%s\": ", dot ? dot + 1 : key->name);
	if (key->type == KEY_SOURCES)
		print_sources(depth, out);
	else
		buf_append_string(out, key->fallback ? key->fallback : "\"...\"");
}

/* Closes the sections of `before` that name is not in and opens name's own. */
static void change_section(const char *before, const char *name, struct buf *out)
{
	size_t shared = shared_sections(before, name);
	const char *part = name + shared, *dot;

	for (int depth = depth_of(before, strlen(before)); depth > depth_of(name, shared);
	     depth--) {
		new_line(out, depth - 1);
		buf_append_char(out, '}');
	}
	if (*before)
		buf_append_char(out, ',');
	for (; (dot = strchr(part, '.')); part = dot + 1) {
		new_line(out, depth_of(name, (size_t)(part - name)));
		buf_printf(out, "\"%.*s\": {", (int)(dot - part), part);
	}
}

void config_print_documented(enum command command, struct buf *out)
{
	const char *before = "";

	buf_append_char(out, '{');
	for (size_t i = 0; i < n_config_keys; i++) {
		if (!(config_keys[i].commands & (unsigned)command))
			continue;
		change_section(before, config_keys[i].name, out);
		print_key(&config_keys[i], out);
		before = config_keys[i].name;
	}
	for (int depth = depth_of(before, strlen(before)); depth > 0; depth--) {
		new_line(out, depth - 1);
		buf_append_char(out, '}');
	}
	buf_append_string(out, "\n}\n");
}

/* --- resuming --- */

static const struct json *find_value(const struct json *tree, const char *name, size_t length)
{
	char *copy = xstrndup(name, length), *rest = copy, *part;

	while (tree && (part = strsep(&rest, ".")))
		tree = json_get(tree, part);
	free(copy);
	return tree;
}

/* Whether the tree has the section that a key stands in. */
static bool has_section(const struct json *tree, const char *name)
{
	const char *dot = strrchr(name, '.');

	return !dot || find_value(tree, name, (size_t)(dot - name));
}

/* JSON text of a key's value in a resolved tree.  One that was resolved before there was
 * such a key has its default; "null" is what a missing section has. */
static char *value_text(const struct json *tree, const struct config_key *key)
{
	struct buf text = BUF_INIT;
	const struct json *value = find_value(tree, key->name, strlen(key->name));
	struct json *fallback = NULL;

	if (!value && key->fallback &&
	    (!(key->flags & KEY_WITH_SECTION) || has_section(tree, key->name)))
		value = fallback =
			json_parse(key->fallback, strlen(key->fallback), key->name, NULL);
	if (value)
		json_print(value, false, &text);
	else
		buf_append_string(&text, "null");
	if (fallback)
		json_free(fallback);
	return buf_detach(&text);
}

/* Whether the adapter at lora.path says the key's value, and the config does not. */
static bool is_left_to_adapter(const struct json *tree, const struct config_key *key)
{
	return (key->flags & KEY_NEW_ADAPTER) && has_section(tree, key->name) &&
	       !find_value(tree, key->name, strlen(key->name));
}

static enum status compare_key(const struct config_key *key, const struct json *old,
			       const struct json *now, struct error *err)
{
	char *old_text = value_text(old, key), *now_text = value_text(now, key);
	enum status status = STATUS_OK;

	if (strcmp(old_text, now_text) != 0 && !is_left_to_adapter(old, key) &&
	    !is_left_to_adapter(now, key))
		status = error_set(err, STATUS_BAD_INPUT,
				   "\"%s\" is %.200s, but the run that would go on has %.200s",
				   key->name, now_text, old_text);
	free(old_text);
	free(now_text);
	return status;
}

enum status config_check_resume(enum command command, const char *old_text,
				const struct run_config *now, struct error *err)
{
	struct json *old =
		json_parse(old_text, strlen(old_text), "configuration of the checkpoint", err);
	enum status status = old ? STATUS_OK : STATUS_BAD_INPUT;

	/* Keys that may have inherited their value come last, so that what has changed is said
	 * of the key that gave it. */
	for (int inheriting = 0; inheriting < 2; inheriting++)
		for (size_t i = 0; i < n_config_keys && status == STATUS_OK; i++)
			if ((config_keys[i].commands & (unsigned)command) &&
			    !(config_keys[i].flags & KEY_MAY_CHANGE) &&
			    !config_keys[i].inherit == !inheriting)
				status = compare_key(&config_keys[i], old, now->tree, err);
	if (old)
		json_free(old);
	return status;
}

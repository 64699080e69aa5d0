/* The table of configuration keys, private to common/run.
 *
 * A key is known by its full dotted name.  One row says everything about it, so
 * that parsing, defaults, printing and help cannot disagree.  Where commands
 * have different defaults a key has one row for each group of commands. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/run/config.h"

enum key_type {
	KEY_BOOL,    /* bool */
	KEY_INT,     /* int64_t */
	KEY_NUMBER,  /* double */
	KEY_TEXT,    /* char *, owned by the struct */
	KEY_CHOICE,  /* char *, one of the words of choices, or an integer if max is above 0 */
	KEY_OBJECT,  /* const struct json *, free form */
	KEY_NAMES,   /* const struct json *, a string or a list of strings */
	KEY_SOURCES, /* reward.sources, the objects of source_keys */
};

/* Bits of config_key.flags. */
enum {
	KEY_ABOVE_MIN = 1,    /* min itself is not allowed */
	KEY_BELOW_MAX = 2,    /* max itself is not allowed */
	KEY_MAY_CHANGE = 4,   /* may differ when a run is resumed */
	KEY_WITH_SECTION = 8, /* exists only if the file has the key's section */
	KEY_NEW_ADAPTER = 16, /* of an adapter to go on from, exists only if the file has it */
};

enum { MAX_TEXT_BYTES = 4096 }; /* of a KEY_TEXT */

/* Who a row of source_keys is for, in place of commands. */
enum { SOURCE_MODEL = 1, SOURCE_RULE = 2 };

struct config_key {
	const char *name; /* "ppo.kl.coef" */
	enum key_type type;
	unsigned commands;    /* bits of enum command */
	size_t offset;	      /* into struct run_config or struct reward_source */
	const char *fallback; /* default as JSON text; NULL: needed; "null": may be absent */
	const char *inherit;  /* the key whose value is the default, or NULL */
	double min, max;      /* of numbers */
	const char *choices;  /* "adamw|sgd" */
	unsigned flags;
	const char *help;
};

extern const struct config_key config_keys[];
extern const size_t n_config_keys;
extern const struct config_key source_keys[];
extern const size_t n_source_keys;

/* The row of a name for a command (for any command if commands is ~0u). */
const struct config_key *config_find(const char *name, unsigned commands);
/* Whether name is the beginning of a command's keys: "ppo.kl". */
bool config_is_section(const char *name, unsigned commands);
/* The known name nearest to an unknown one: the caller frees it, NULL if none. */
char *config_nearest(const char *name, unsigned commands);
/* "an integer from 1 to 64", "true or false", ...: what a key accepts. */
void config_describe(const struct config_key *key, struct buf *out);

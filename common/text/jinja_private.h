/* Shared by the files of jinja.h alone:
 *
 *     jinja_value.c       values and what can be made of them
 *     jinja_call.c        functions, methods, subscripts, filters and tests
 *     jinja_expression.c  words, operands and operators
 *     jinja.c             nodes, statements and the whole
 *
 * Values live in the arena of one rendering.  Code is read at j->at and evaluated while it
 * is read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/text/jinja.h"

enum { JINJA_MAX_DEPTH = 64, JINJA_MAX_STEPS = 200000, JINJA_MAX_VARIABLES = 256 };

enum value_type {
	UNDEFINED,
	NONE,
	BOOLEAN,
	INTEGER,
	STRING,
	LIST,
	TABLE,
	STREAM, /* what filters give of a list: true, without length, and empty once it is read */
};

struct value {
	enum value_type type;
	int64_t number;	  /* BOOLEAN, INTEGER */
	const char *text; /* STRING [n] */
	size_t n;
	struct list *list; /* LIST, STREAM */
	struct table *table;
};
struct list {
	struct value *items; /* [n] */
	size_t n;
};
struct entry {
	const char *key; /* [n_key] */
	size_t n_key;
	struct value value;
};
struct table {
	struct entry *entries; /* [n] */
	size_t n, capacity;
};
static const struct value JINJA_NOTHING = {.type = UNDEFINED};

enum node_type {
	TEXT,
	OUTPUT,
	IF,
	ELIF,
	ELSE,
	ENDIF,
	FOR,
	ENDFOR,
	SET,
	BLOCK, /* a statement with an end that is not supported, but may be passed over */
	ENDBLOCK,
	MACRO,
	NOTHING,
	BREAK,
	CONTINUE,
	UNKNOWN,
};
struct node {
	enum node_type type;
	const char *text; /* [n]: text, or code behind the keyword */
	size_t n;
	size_t next; /* the node of the next branch, or of the end */
	size_t end;  /* of what opens: the node that closes it */
};

struct variable {
	const char *name; /* [n] */
	size_t n;
	struct value value;
};

struct jinja {
	struct arena arena;
	const char *at, *end; /* of the code being evaluated */
	struct node *nodes;   /* [n_nodes] */
	size_t n_nodes;
	/* [n_variables]: the last of a name holds */
	struct variable variables[JINJA_MAX_VARIABLES];
	size_t n_variables, scope; /* where the innermost loop's begin */
	int is_dry, depth;
	long steps;
	size_t memory;
	enum node_type jump; /* BREAK or CONTINUE on the way out of a loop's body */
	enum jinja_result result;
	const struct tm *now;
	struct buf *out;
};

/* --- values --- */

struct value jinja_bool(bool is_true);
struct value jinja_integer(int64_t number);
struct value jinja_text(const char *text, size_t n);
bool jinja_is_true(struct value v);
bool jinja_is_number(struct value v);
bool jinja_is_equal(struct jinja *j, struct value a, struct value b, int depth);
/* Ends the rendering: by what cannot go on, not even without effect; by an error that
 * counts only where there is effect. */
void jinja_stop(struct jinja *j);
struct value jinja_fail(struct jinja *j, enum jinja_result result);
struct value jinja_unknown(struct jinja *j); /* the same with JINJA_UNKNOWN */
/* Counts a step; false when there have been too many. */
bool jinja_may_go_on(struct jinja *j);
/* Counts the steps that a look at all of a text is worth. */
void jinja_look_at(struct jinja *j, struct value v);
void *jinja_take(struct jinja *j, size_t n, size_t size); /* zeroed, and one more */
struct value jinja_new_list(struct jinja *j, size_t n);
/* What a stream has left, which reads it; other values as they are. */
struct value jinja_list_of(struct jinja *j, struct value v);
struct value jinja_new_table(struct jinja *j);
struct value *jinja_table_find(const struct table *table, const char *key, size_t n);
void jinja_table_put(struct jinja *j, struct table *table, const char *key, size_t n,
		     struct value value);
struct value jinja_concat(struct jinja *j, struct value a, struct value b);
/* As {{ }} writes it. */
struct value jinja_to_text(struct jinja *j, struct value v);
/* set: the characters stripped; white space if it is no string. */
struct value jinja_strip(struct jinja *j, struct value v, struct value set, bool left, bool right);
struct value jinja_change_case(struct jinja *j, struct value v, int (*change)(int));
/* A capital first and small letters behind it: in each word, or in all. */
struct value jinja_capitalize(struct jinja *j, struct value v, bool in_each_word);
const char *jinja_find(struct value text, size_t from, struct value part);
struct value jinja_split(struct jinja *j, struct value v, struct value separator);
struct value jinja_replace(struct jinja *j, struct value v, struct value old, struct value new);
size_t jinja_count(struct value v);		  /* characters */
size_t jinja_place(struct value v, size_t index); /* where that character begins */
bool jinja_begins(struct value v, struct value part);
bool jinja_ends(struct value v, struct value part);

/* --- words --- */

void jinja_skip_space(struct jinja *j);
/* Whether a symbol or a whole word is next; accept takes it, expect stops without it. */
bool jinja_is_next(struct jinja *j, const char *token);
bool jinja_accept(struct jinja *j, const char *token);
void jinja_expect(struct jinja *j, const char *token);
struct value jinja_read_name(struct jinja *j); /* of length 0 if there is none */
bool jinja_is_named(struct value name, const char *word);

/* --- expressions --- */

struct value jinja_evaluate(struct jinja *j);
struct value jinja_look_up(struct jinja *j, struct value name);
struct value jinja_read_or(struct jinja *j); /* without "a if b else c" */

/* --- what an operand may be followed by --- */

struct value jinja_call_function(struct jinja *j, struct value name);
struct value jinja_call_method(struct jinja *j, struct value v, struct value name);
struct value jinja_attribute(struct jinja *j, struct value v, struct value name);
struct value jinja_subscript(struct jinja *j, struct value v);
struct value jinja_apply_filter(struct jinja *j, struct value v);
struct value jinja_apply_test(struct jinja *j, struct value v);

/* Templates are cut into nodes: text, {{ outputs }} and {% statements %}, where each
 * statement with branches knows where its next branch is.  Running walks over the nodes;
 * expressions are evaluated while they are parsed. */
#include "common/text/jinja.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/jinja_private.h"

enum { MAX_OUTPUT = 1 << 20 };

/* --- nodes --- */

static const struct {
	const char *word;
	enum node_type type;
} KEYWORDS[] = {
	{"if", IF},
	{"elif", ELIF},
	{"else", ELSE},
	{"endif", ENDIF},
	{"for", FOR},
	{"endfor", ENDFOR},
	{"set", SET},
	{"endset", ENDBLOCK},
	{"macro", MACRO},
	{"endmacro", ENDBLOCK},
	{"generation", NOTHING},
	{"endgeneration", NOTHING},
	{"break", BREAK},
	{"continue", CONTINUE},
	{"call", BLOCK},
	{"endcall", ENDBLOCK},
	{"filter", BLOCK},
	{"endfilter", ENDBLOCK},
};

static void set_keyword(struct jinja *j, struct node *node)
{
	struct value word;

	j->at = node->text;
	j->end = node->text + node->n;
	word = jinja_read_name(j);
	node->type = UNKNOWN;
	for (size_t i = 0; i < sizeof KEYWORDS / sizeof *KEYWORDS; i++)
		if (jinja_is_named(word, KEYWORDS[i].word))
			node->type = KEYWORDS[i].type;
	node->text = j->at;
	node->n = (size_t)(j->end - j->at);
	if (node->type == SET && !memchr(node->text, '=', node->n))
		node->type = BLOCK;
}

/* The end of a tag: its closing mark outside of literals and braces. */
static const char *find_close(const char *at, const char *end, char mark)
{
	char quote = '\0';
	int braces = 0;

	for (; at + 1 < end; at++) {
		if (quote != '\0') {
			if (*at == '\\')
				at++;
			else if (*at == quote)
				quote = '\0';
		} else if (mark != '#' && (*at == '\'' || *at == '"')) {
			quote = *at;
		} else if (*at == mark && at[1] == '}' && braces == 0) {
			return at;
		} else if (mark == '}') {
			braces += (*at == '{') - (*at == '}');
		}
	}
	return NULL;
}

/* What the tag in front of a text does to its beginning. */
struct edge {
	bool strips;	    /* "-": all white space */
	bool drops_newline; /* a statement's or comment's: the first line break */
	bool starts_line;
};

/* A text without what "-", trim_blocks, lstrip_blocks and the template's end drop; next is
 * the tag behind it, or NULL. */
static struct node trim_text(struct jinja *j, const char *start, const char *stop, struct edge edge,
			     const char *next)
{
	struct value text = jinja_text(start, (size_t)(stop - start));

	if (edge.strips) {
		text = jinja_strip(j, text, JINJA_NOTHING, true, false);
	} else if (edge.drops_newline && start < stop && *start == '\n') {
		text = jinja_text(start + 1, text.n - 1);
		edge.starts_line = true;
	}
	if (!next) {
		text.n -= text.n > 0 && stop[-1] == '\n';
	} else if (next[2] == '-') {
		text = jinja_strip(j, text, JINJA_NOTHING, false, true);
	} else if (next[1] != '{') {
		const char *newline = memrchr(text.text, '\n', text.n);
		const char *line = newline ? newline + 1 : text.text;
		struct value rest = jinja_text(line, (size_t)(stop - line));
		rest = jinja_strip(j, rest, JINJA_NOTHING, true, false);
		if (rest.n == 0 && (newline || edge.starts_line))
			text.n = (size_t)(line - text.text);
	}
	return (struct node){.type = TEXT, .text = text.text, .n = text.n};
}

static const char *find_tag(const char *at, const char *end)
{
	for (; at + 1 < end; at++)
		if (*at == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#'))
			return at;
	return NULL;
}

static void add_tag(struct jinja *j, const char *tag, const char *body, const char *end)
{
	struct node *node = &j->nodes[j->n_nodes++];

	node->type = tag[1] == '#' ? NOTHING : OUTPUT;
	node->text = body;
	node->n = (size_t)(end - body);
	if (tag[1] == '%')
		set_keyword(j, node);
}

static void cut(struct jinja *j, const char *text, size_t n)
{
	const char *at = text, *end = text + n;
	struct edge edge = {.starts_line = true};

	while (at < end) {
		const char *tag = find_tag(at, end), *body, *close;
		j->nodes[j->n_nodes++] = trim_text(j, at, tag ? tag : end, edge, tag);
		if (!tag)
			return;
		body = tag + 2 + (tag[2] == '-');
		close = find_close(body, end, tag[1] == '{' ? '}' : tag[1]);
		if (!close || tag[2] == '+' || close[-1] == '+') {
			jinja_stop(j);
			return;
		}
		edge = (struct edge){.strips = close > body && close[-1] == '-',
				     .drops_newline = tag[1] != '{'};
		add_tag(j, tag, body, close - edge.strips);
		at = close + 2;
	}
}

static bool opens(enum node_type type)
{
	return type == IF || type == FOR || type == BLOCK || type == MACRO;
}

static bool closes(enum node_type open, enum node_type type)
{
	return open == IF ? type == ENDIF : open == FOR ? type == ENDFOR : type == ENDBLOCK;
}

/* Finds where branches go on and end. */
static void match_branches(struct jinja *j)
{
	size_t open[JINJA_MAX_DEPTH], last[JINJA_MAX_DEPTH];
	int n = 0;

	for (size_t i = 0; i < j->n_nodes; i++) {
		enum node_type type = j->nodes[i].type;
		if (opens(type)) {
			if (n == JINJA_MAX_DEPTH) {
				jinja_stop(j);
				return;
			}
			open[n] = last[n] = i;
			n++;
		} else if (type == ELIF || type == ELSE || type == ENDIF || type == ENDFOR ||
			   type == ENDBLOCK) {
			enum node_type opened = n > 0 ? j->nodes[open[n - 1]].type : TEXT;
			bool is_end = n > 0 && closes(opened, type);
			if (!is_end && !(opened == IF && (type == ELIF || type == ELSE)) &&
			    !(opened == FOR && type == ELSE)) {
				jinja_stop(j);
				return;
			}
			j->nodes[last[n - 1]].next = i;
			last[n - 1] = i;
			if (is_end)
				j->nodes[open[--n]].end = i;
		}
	}
	if (n > 0)
		jinja_stop(j);
}

/* --- running --- */

static void run(struct jinja *j, size_t from, size_t to);

static struct value evaluate_node(struct jinja *j, const struct node *node)
{
	j->at = node->text;
	j->end = node->text + node->n;
	return jinja_evaluate(j);
}

static void expect_end(struct jinja *j)
{
	jinja_skip_space(j);
	if (j->at != j->end)
		jinja_stop(j);
}

static void set_variable(struct jinja *j, struct value name, struct value value)
{
	for (size_t i = j->n_variables; i-- > j->scope;) {
		if (j->variables[i].n == name.n &&
		    memcmp(j->variables[i].name, name.text, name.n) == 0) {
			j->variables[i].value = value;
			return;
		}
	}
	if (j->n_variables == JINJA_MAX_VARIABLES) {
		jinja_stop(j);
		return;
	}
	j->variables[j->n_variables++] = (struct variable){name.text, name.n, value};
}

static void set_named(struct jinja *j, const char *name, struct value value)
{
	set_variable(j, jinja_text(name, strlen(name)), value);
}

static void run_set(struct jinja *j, const struct node *node)
{
	struct value name, member = JINJA_NOTHING, value, owner;

	j->at = node->text;
	j->end = node->text + node->n;
	name = jinja_read_name(j);
	if (jinja_accept(j, "."))
		member = jinja_read_name(j);
	jinja_expect(j, "=");
	value = jinja_evaluate(j);
	expect_end(j);
	if (j->result != JINJA_DONE)
		return;
	if (member.type != STRING) {
		set_variable(j, name, value);
		return;
	}
	owner = jinja_look_up(j, name);
	if (owner.type == TABLE)
		jinja_table_put(j, owner.table, member.text, member.n, value);
	else
		jinja_unknown(j);
}

static void run_if(struct jinja *j, size_t i)
{
	while (j->nodes[i].type != ENDIF && j->result == JINJA_DONE) {
		const struct node *node = &j->nodes[i];
		bool holds = node->type == ELSE || jinja_is_true(evaluate_node(j, node));
		if (node->type != ELSE)
			expect_end(j);
		if (holds) {
			if (j->result == JINJA_DONE)
				run(j, i + 1, node->next);
			return;
		}
		i = node->next;
	}
}

static struct value describe_loop(struct jinja *j, const struct list *list, size_t i)
{
	struct value loop = jinja_new_table(j);
	struct table *table = loop.table;

	jinja_table_put(j, table, "index0", 6, jinja_integer((int64_t)i));
	jinja_table_put(j, table, "index", 5, jinja_integer((int64_t)i + 1));
	jinja_table_put(j, table, "first", 5, jinja_bool(i == 0));
	jinja_table_put(j, table, "last", 4, jinja_bool(i + 1 == list->n));
	jinja_table_put(j, table, "length", 6, jinja_integer((int64_t)list->n));
	jinja_table_put(j, table, "revindex0", 9, jinja_integer((int64_t)(list->n - i) - 1));
	jinja_table_put(j, table, "revindex", 8, jinja_integer((int64_t)(list->n - i)));
	jinja_table_put(j, table, "depth0", 6, jinja_integer(0));
	jinja_table_put(j, table, "depth", 5, jinja_integer(1));
	if (i > 0)
		jinja_table_put(j, table, "previtem", 8, list->items[i - 1]);
	if (i + 1 < list->n)
		jinja_table_put(j, table, "nextitem", 8, list->items[i + 1]);
	return loop;
}

/* One turn of a loop, whose names hold in it alone. */
static void run_turn(struct jinja *j, size_t node, const struct value names[2],
		     const struct list *list, size_t i)
{
	size_t scope = j->scope, n = j->n_variables;
	struct value value = list->items[i];

	j->scope = n;
	if (names[1].n == 0)
		set_variable(j, names[0], value);
	else if (value.type == LIST && value.list->n == 2)
		for (int k = 0; k < 2; k++)
			set_variable(j, names[k], value.list->items[k]);
	else
		jinja_unknown(j);
	set_named(j, "loop", describe_loop(j, list, i));
	run(j, node + 1, j->nodes[node].next);
	j->scope = scope;
	j->n_variables = n;
}

static void run_for(struct jinja *j, size_t i)
{
	const struct node *node = &j->nodes[i];
	struct value names[2] = {JINJA_NOTHING, JINJA_NOTHING}, values;
	bool is_empty;

	j->at = node->text;
	j->end = node->text + node->n;
	names[0] = jinja_read_name(j);
	if (jinja_accept(j, ","))
		names[1] = jinja_read_name(j);
	jinja_expect(j, "in");
	values = jinja_list_of(j, jinja_read_or(j));
	expect_end(j);
	if (values.type != LIST && values.type != UNDEFINED)
		jinja_unknown(j);
	is_empty = values.type != LIST || values.list->n == 0;
	for (size_t k = 0; !is_empty && k < values.list->n && j->result == JINJA_DONE; k++) {
		run_turn(j, i, names, values.list, k);
		if (j->jump == BREAK)
			k = values.list->n - 1;
		j->jump = TEXT;
	}
	if (is_empty && j->result == JINJA_DONE && j->nodes[node->next].type == ELSE)
		run(j, node->next + 1, node->end);
}

static void write_text(struct jinja *j, struct value text)
{
	if (j->out->length + text.n > MAX_OUTPUT)
		jinja_stop(j);
	else if (text.n > 0)
		buf_append(j->out, text.text, text.n);
}

/* Runs one node and gives the one that comes next. */
static size_t run_node(struct jinja *j, size_t i)
{
	const struct node *node = &j->nodes[i];

	switch (node->type) {
	case TEXT:
		write_text(j, jinja_text(node->text, node->n));
		return i + 1;
	case OUTPUT: {
		struct value v = jinja_to_text(j, evaluate_node(j, node));
		expect_end(j);
		if (j->result == JINJA_DONE)
			write_text(j, v);
		return i + 1;
	}
	case IF:
		run_if(j, i);
		return node->end + 1;
	case FOR:
		run_for(j, i);
		return node->end + 1;
	case SET:
		run_set(j, node);
		return i + 1;
	case MACRO: /* what calls it is not known */
		return node->end + 1;
	case BREAK:
	case CONTINUE:
		j->jump = node->type;
		return i + 1;
	case NOTHING:
		return i + 1;
	default:
		jinja_unknown(j);
		return i + 1;
	}
}

static void run(struct jinja *j, size_t from, size_t to)
{
	for (size_t i = from;
	     i < to && j->result == JINJA_DONE && j->jump == TEXT && jinja_may_go_on(j);)
		i = run_node(j, i);
}

/* --- the whole --- */

static struct value messages_of(struct jinja *j, const struct jinja_input *input)
{
	struct value list = jinja_new_list(j, input->n);

	for (size_t i = 0; i < input->n; i++) {
		const struct jinja_message *m = &input->messages[i];
		struct value message = jinja_new_table(j);
		jinja_table_put(j, message.table, "role", 4, jinja_text(m->role, strlen(m->role)));
		jinja_table_put(j, message.table, "content", 7,
				jinja_text(m->content, strlen(m->content)));
		list.list->items[i] = message;
	}
	return list;
}

static void set_input(struct jinja *j, const struct jinja_input *input)
{
	set_named(j, "messages", messages_of(j, input));
	set_named(j, "tools", (struct value){.type = NONE});
	set_named(j, "documents", (struct value){.type = NONE});
	set_named(j, "add_generation_prompt", jinja_bool(input->add_generation_prompt));
	if (input->bos)
		set_named(j, "bos_token", jinja_text(input->bos, strlen(input->bos)));
	if (input->eos)
		set_named(j, "eos_token", jinja_text(input->eos, strlen(input->eos)));
}

/* With one kind of line break, as Jinja reads it. */
static char *copy_lines(struct jinja *j, const char *text, size_t *n)
{
	char *copy = jinja_take(j, *n + 4, 1);
	size_t length = 0;

	for (size_t i = 0; i < *n; i++) {
		if (text[i] == '\r' && i + 1 < *n && text[i + 1] == '\n')
			continue;
		copy[length++] = text[i] == '\r' ? '\n' : text[i];
	}
	*n = length;
	return copy;
}

enum jinja_result jinja_render(const char *template, size_t n, const struct jinja_input *input,
			       struct buf *out)
{
	struct jinja *j = xcalloc(1, sizeof *j);
	enum jinja_result result = JINJA_UNKNOWN;

	arena_init(&j->arena);
	j->out = out;
	j->now = input->now;
	buf_append(out, "", 0);
	if (n < MAX_OUTPUT) {
		const char *text = copy_lines(j, template, &n);
		j->nodes = jinja_take(j, n / 2 + 4, sizeof *j->nodes);
		cut(j, text, n);
		match_branches(j);
		set_input(j, input);
		if (j->steps < JINJA_MAX_STEPS)
			run(j, 0, j->n_nodes);
		result = j->result;
	}
	arena_release(&j->arena);
	free(j);
	return result;
}

/* Templates differ in spelling more than in meaning.  So a template is first written
 * in one way: what lies between tags without the white space that Jinja drops; in
 * tags no space but between words; string literals between \1, their escapes undone,
 * neighbours joined; message['content'] for message.content, |trim for .strip().
 *
 *     {{- "<|im_start|>" + message.role + "\n" }}
 *     {{\1<|im_start|>\1+message['role']+\1\n\1}}
 *
 * A format is then told by the expressions that make its turns, and refused if there
 * is a word that its kind does not use. */
#include "common/text/chat_template.h"

#include <ctype.h>
#include <string.h>

#define ROLE "message['role']"
#define CONTENT "message['content']"
#define TEXT(literal) "\1" literal "\1"

/* --- one way of writing --- */

struct rewriting {
	const char *at, *end;
	struct buf out;
	bool has_text;	    /* outside of tags */
	bool trims_next;    /* the last tag ended in "-" */
	bool drops_newline; /* the last tag was no expression */
};

static bool begins(const struct rewriting *w, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(w->end - w->at) >= n && memcmp(w->at, text, n) == 0;
}

static bool out_ends_with(const struct rewriting *w, const char *text)
{
	size_t n = strlen(text);

	return w->out.length >= n && memcmp(w->out.data + w->out.length - n, text, n) == 0;
}

static void drop_from_out(struct rewriting *w, size_t n)
{
	w->out.length -= n;
	w->out.data[w->out.length] = '\0';
}

/* Text up to the next tag, without what trim_blocks, lstrip_blocks and "-" drop. */
static void rewrite_text(struct rewriting *w)
{
	const char *start = w->at, *stop;

	while (w->at < w->end && !begins(w, "{{") && !begins(w, "{%") && !begins(w, "{#"))
		w->at++;
	stop = w->at;
	if (w->trims_next)
		while (start < stop && isspace((unsigned char)*start))
			start++;
	else if (w->drops_newline && start < stop && *start == '\n')
		start++;
	if (w->at == w->end) {
		if (start < stop && stop[-1] == '\n')
			stop--;
	} else if (w->at + 2 < w->end && w->at[2] == '-') {
		while (start < stop && isspace((unsigned char)stop[-1]))
			stop--;
	} else if (w->at[1] != '{') {
		const char *line = stop;
		while (line > start && (line[-1] == ' ' || line[-1] == '\t'))
			line--;
		if (line == start || line[-1] == '\n')
			stop = line;
	}
	buf_append(&w->out, start, (size_t)(stop - start));
	w->has_text |= start < stop;
}

/* A string literal; *at is its quote. */
static void rewrite_literal(struct rewriting *w)
{
	char quote = *w->at++;

	if (out_ends_with(w, "\1+")) /* 'a' + 'b' */
		drop_from_out(w, 2);
	else
		buf_append_char(&w->out, '\1');
	while (w->at < w->end && *w->at != quote) {
		char c = *w->at++;
		if (c == '\\' && w->at < w->end) {
			c = *w->at++;
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		buf_append_char(&w->out, c);
	}
	w->at += w->at < w->end;
	buf_append_char(&w->out, '\1');
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static const struct {
	const char *from, *to;
} SPELLINGS[] = {
	{".role", "['role']"},	    {".content", "['content']"},
	{"[\1role\1]", "['role']"}, {"[\1content\1]", "['content']"},
	{".strip()", "|trim"},
};

/* What has just been written, in the usual spelling. */
static void respell(struct rewriting *w)
{
	for (size_t i = 0; i < sizeof SPELLINGS / sizeof *SPELLINGS; i++) {
		if (out_ends_with(w, SPELLINGS[i].from) && !(w->at < w->end && is_word(*w->at))) {
			drop_from_out(w, strlen(SPELLINGS[i].from));
			buf_append_string(&w->out, SPELLINGS[i].to);
		}
	}
}

/* The inside of {{ }} or {% %}. */
static void rewrite_code(struct rewriting *w, const char *close)
{
	while (w->at < w->end && !begins(w, close)) {
		if (*w->at == '\'' || *w->at == '"') {
			rewrite_literal(w);
		} else if (isspace((unsigned char)*w->at)) {
			bool is_between =
				w->out.length > 0 && is_word(w->out.data[w->out.length - 1]);
			while (w->at < w->end && isspace((unsigned char)*w->at))
				w->at++;
			if (is_between && w->at < w->end && is_word(*w->at))
				buf_append_char(&w->out, ' ');
		} else {
			buf_append_char(&w->out, *w->at++);
		}
		respell(w);
	}
}

static void rewrite_tag(struct rewriting *w)
{
	const char *close = w->at[1] == '{' ? "}}" : w->at[1] == '%' ? "%}" : "#}";
	bool is_comment = w->at[1] == '#';

	w->drops_newline = w->at[1] != '{';
	if (!is_comment)
		buf_append(&w->out, w->at, 2);
	w->at += 2;
	if (w->at < w->end && *w->at == '-')
		w->at++;
	if (is_comment)
		while (w->at < w->end && !begins(w, close))
			w->at++;
	else
		rewrite_code(w, close);
	w->trims_next = w->at < w->end && w->at[-1] == '-';
	if (out_ends_with(w, "-") && !is_comment && w->trims_next)
		drop_from_out(w, 1);
	if (!is_comment)
		buf_append_string(&w->out, close);
	w->at += w->at < w->end ? 2 : 0;
}

static void rewrite(struct rewriting *w)
{
	buf_append(&w->out, "", 0);
	while (w->at < w->end) {
		rewrite_text(w);
		if (w->at < w->end)
			rewrite_tag(w);
	}
}

/* --- telling formats --- */

struct candidate {
	char *text;
	bool has_text; /* outside of tags */
};

static bool has(const struct candidate *c, const char *text)
{
	return strstr(c->text, text) != NULL;
}

/* Words of templates that do more than their kind. */
static bool has_extras(const struct candidate *c)
{
	static const char *const words[] = {"think", "reason",	"strftime",  "title()", "upper",
					    "lower", "replace", "documents", "channel"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (has(c, words[i]))
			return true;
	return false;
}

/* BOS, where it is written at all, comes once and first. */
static bool reads_bos(struct chat_format *format, const struct candidate *c)
{
	const char *at = strstr(c->text, "bos_token");

	format->begin = at ? "\1" : NULL;
	return !at || !strstr(at + 1, "bos_token");
}

/* Whether the statement that ends right in front of `at` begins with one of these or holds
 * it behind "{%". */
static bool follows(const struct candidate *c, const char *at, const char *const *statements)
{
	const char *end = at, *begin;

	if (end - c->text >= 2 && memcmp(end - 2, "{{", 2) == 0)
		end -= 2;
	if (end - c->text < 4 || memcmp(end - 2, "%}", 2) != 0)
		return false;
	for (begin = end - 2; begin > c->text && memcmp(begin, "{%", 2) != 0;)
		begin--;
	for (; *statements; statements++) {
		const char *found = strstr(begin, *statements);

		if (found && found < end)
			return true;
	}
	return false;
}

/* Where ChatML has BOS at all it is for every conversation. */
static bool always_begins(const struct candidate *c)
{
	static const char *const harmless[] = {"loop.first%}", "loop.index0==0%}", "{%set ",
					       "{%endif%}", NULL};
	const char *at = strstr(c->text, "bos_token");

	return !at || at == c->text + 2 || follows(c, at, harmless);
}

/* What is in front of each message of ChatML or cut from it, whoever speaks. */
static bool has_other_turns(const struct candidate *c)
{
	static const char open[] = TEXT("<|im_start|>system\n") "+", first[] = "messages[0]";

	for (const char *at = strstr(c->text, open); at; at = strstr(at + 1, open))
		if (strncmp(at + sizeof open - 1, first, sizeof first - 1) != 0)
			return true;
	return has(c, CONTENT "|trim") || has(c, "for message in messages[") ||
	       has(c, "{%if loop.last%}") || has(c, "{%if " ROLE "==") ||
	       has(c, "{%if " ROLE "!=");
}

/* A system message that is part of the template,
 * \1<|im_start|>system\nWORDS<|im_end|>\n\1, is for when none is given; false if it is for
 * anything else. */
static bool read_default_system(struct chat_format *format, const struct candidate *c)
{
	static const char *const without[] = {"{%else%}", "messages[0]['role']!=" TEXT("system"),
					      NULL};
	static const char open[] = "\1<|im_start|>system\n", close[] = "<|im_end|>\n\1";
	size_t tail = sizeof close - 1;

	for (char *at = strstr(c->text, open); at; at = strstr(at + 1, open)) {
		char *words = at + sizeof open - 1, *end = strchr(words, '\1');
		if (!end || end + 1 < words + tail || memcmp(end + 1 - tail, close, tail) != 0)
			continue;
		if (!follows(c, at, without))
			return false;
		*(end + 1 - tail) = '\0';
		format->default_system = words;
		return true;
	}
	return true;
}

static bool is_chatml(struct chat_format *format, const struct candidate *c)
{
	bool joins =
		has(c, TEXT("<|im_start|>") "+" ROLE "+" TEXT("\n") "+" CONTENT
								    "+" TEXT("<|im_end|>\n")) ||
		has(c,
		    TEXT("<|im_start|>") "+" ROLE "+" TEXT("\n") "+content+" TEXT("<|im_end|>\n"));
	bool is_qwen3 = has(c, ">ns.last_query_index") && has(c, "enable_thinking is false") &&
			has(c, TEXT("<think>\n\n</think>\n\n")) &&
			has(c, "reasoning_content.strip(" TEXT("\n") ")+" TEXT(
				       "\n</think>\n\n") "+content.lstrip(" TEXT("\n") ")");

	if (!joins || !has(c, TEXT("<|im_start|>assistant\n")) || c->has_text || has(c, "trim}}"))
		return false;
	if (!is_qwen3 && has_extras(c))
		return false;
	chat_format_named(format, is_qwen3 ? "qwen3" : "chatml");
	if (!reads_bos(format, c))
		return false;
	return is_qwen3 ||
	       (always_begins(c) && !has_other_turns(c) && read_default_system(format, c));
}

static bool is_llama3(struct chat_format *format, const struct candidate *c)
{
	static const char turn[] = TEXT("<|start_header_id|>") "+" ROLE "+" TEXT(
		"<|end_header_id|>\n\n") "+" CONTENT "|trim+" TEXT("<|eot_id|>");
	bool is_dated = has(c, "Cutting Knowledge Date: December 2023\n") &&
			has(c, TEXT("Today Date: ") "+date_string+" TEXT("\n\n"));

	if (!has(c, turn) || c->has_text ||
	    !has(c, TEXT("<|start_header_id|>assistant<|end_header_id|>\n\n")))
		return false;
	chat_format_named(format, is_dated ? "llama-3.1" : "llama-3");
	if (!is_dated && has(c, "<|start_header_id|>system<|end_header_id|>"))
		return false;
	return (is_dated || !has_extras(c)) && reads_bos(format, c);
}

static bool is_llama2(struct chat_format *format, const struct candidate *c)
{
	chat_format_named(format, "llama-2");
	return has(c, "bos_token+" TEXT("[INST] ") "+content|trim+" TEXT(" [/INST]")) &&
	       has(c, TEXT(" ") "+content|trim+" TEXT(" ") "+eos_token") &&
	       has(c, TEXT("<<SYS>>\n") "+system_message+" TEXT("\n<</SYS>>\n\n") "+" CONTENT) &&
	       !c->has_text;
}

static bool is_mistral(struct chat_format *format, const struct candidate *c)
{
	static const struct {
		const char *name, *turn;
	} versions[] = {
		{"mistral", TEXT("[INST] ") "+" CONTENT "+" TEXT(" [/INST]")},
		{"mistral-v1", TEXT(" [INST] ") "+" CONTENT "+" TEXT(" [/INST]")},
		{"mistral-v3", TEXT("[INST] ") "+" CONTENT "+" TEXT("[/INST]")},
		{"mistral-tekken", TEXT("[INST]") "+" CONTENT "+" TEXT("[/INST]")},
	};
	bool found = false;

	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		if (has(c, versions[i].turn))
			found = chat_format_named(format, versions[i].name);
	format->trims_assistant = has(c, CONTENT "|trim+eos_token");
	format->lead = has(c, TEXT(" ") "+" CONTENT) ? " " : NULL;
	format->rest = has(c, "eos_token+" TEXT(" ")) ? " " : NULL;
	if (!has(c, "system_message"))
		format->system = CHAT_SYSTEM_REFUSED;
	else if (has(c, "loop.first and system_message"))
		format->system = CHAT_SYSTEM_FIRST;
	else
		format->system = CHAT_SYSTEM_LAST;
	return found && !c->has_text && !has(c, "<<SYS>>") && !has_extras(c) &&
	       (has(c, CONTENT "+eos_token") || format->trims_assistant) && reads_bos(format, c);
}

static bool is_gemma(struct chat_format *format, const struct candidate *c)
{
	static const char turn[] = TEXT("<start_of_turn>") "+role+" TEXT("\n") "+";
	bool takes_system = has(c, "first_user_prefix");

	chat_format_named(format, takes_system ? "gemma-3" : "gemma");
	return has(c, turn) && has(c, CONTENT "|trim") && has(c, TEXT("<start_of_turn>model\n")) &&
	       has(c, "<end_of_turn>\n") && (takes_system || has(c, "System role not supported")) &&
	       !has_extras(c) && !c->has_text && reads_bos(format, c);
}

static bool is_phi3(struct chat_format *format, const struct candidate *c)
{
	bool takes_any =
		has(c, TEXT("<|") "+" ROLE "+" TEXT("|>\n") "+" CONTENT "+" TEXT("<|end|>\n"));
	bool takes_each = has(c, TEXT("<|user|>\n") "+" CONTENT "+" TEXT("<|end|>\n"));
	bool is_open =
		has(c, TEXT("<|user|>\n") "+" CONTENT "+" TEXT("<|end|>\n<|assistant|>\n")) &&
		has(c, "{{" CONTENT "+" TEXT("<|end|>\n"));

	chat_format_named(format, "phi-3");
	if (!has(c, TEXT("<|system|>\n") "+" CONTENT) && !takes_any)
		format->system = CHAT_SYSTEM_REFUSED;
	format->must_alternate = is_open;
	format->skips_empty_system = has(c, "and " CONTENT "%}");
	format->tail = has(c, "eos_token") ? "\2" : NULL;
	return (takes_any || takes_each || is_open) && !c->has_text && !has_extras(c) &&
	       (is_open || has(c, TEXT("<|assistant|>\n"))) && reads_bos(format, c);
}

static bool is_zephyr(struct chat_format *format, const struct candidate *c)
{
	static const char turn[] = TEXT("<|user|>\n") "+" CONTENT "+eos_token";
	bool ends_line = has(c, TEXT("<|user|>\n") "+" CONTENT "+eos_token}}\n") &&
			 has(c, "{{" TEXT("<|assistant|>") "}}\n");
	bool writes_line = has(c, TEXT("<|user|>\n") "+" CONTENT "+eos_token+" TEXT("\n")) &&
			   has(c, TEXT("<|assistant|>\n")) && !c->has_text;

	chat_format_named(format, "zephyr");
	return has(c, turn) && (ends_line || writes_line) && !has(c, "<|end|>") && !has_extras(c) &&
	       !has(c, "bos_token");
}

bool chat_template_detect(struct chat_format *format, struct buf *template)
{
	static bool (*const kinds[])(struct chat_format *, const struct candidate *) = {
		is_chatml, is_llama3, is_llama2, is_mistral, is_gemma, is_phi3, is_zephyr};
	struct rewriting w = {.at = template->data, .end = template->data + template->length};
	struct candidate candidate;
	bool found = false;

	if (template->length == 0)
		return false;
	rewrite(&w);
	candidate = (struct candidate){w.out.data, w.has_text};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !found; i++)
		found = kinds[i](format, &candidate);
	buf_release(template);
	*template = w.out;
	return found;
}

/* A template is somebody's program, and templates of one format differ in spelling.  So the
 * template is run (jinja.h) on conversations of every kind, and a format is its format if
 * it gives the same text for each of them.
 *
 * The formats of the table are tried, and of each the variants that are met: with or
 * without BOS, with spaces here and there, with the system message elsewhere.  They are
 * found in stages, each of which settles some members of the format by some of the
 * conversations:
 *
 *     stage         settles                              conversations
 *     beginning     BOS, the default system message,     a question
 *                   how thoughts begin
 *     question      white space around it                questions
 *     answer        spaces and white space around it     questions behind an answer
 *     end           what comes behind an answer          that end in one
 *     system        its place, white space around it     with a system message
 *     order         whether turns have to alternate      all
 *
 * Where the template itself refuses a conversation the format has to refuse it too; a
 * format may refuse more. */
#include "common/text/chat_template.h"

#include <string.h>
#include <time.h>

#include "common/text/jinja.h"

/* 26 July 2024, a Friday: what templates say where there is no clock. */
static const struct tm TODAY = {
	.tm_mday = 26, .tm_mon = 6, .tm_year = 124, .tm_wday = 5, .tm_yday = 207};

enum stage { BEGINNING, QUESTION, ANSWER, END, SYSTEM, ORDER, N_STAGES };

/* Conversations, one a line: the stage, roles as letters, and what they say. */
enum { MAX_TURNS = 10 };
static const struct probe {
	enum stage stage;
	const char *roles; /* s, u, a */
	const char *said[MAX_TURNS];
} PROBES[] = {
	{BEGINNING, "u", {"How many crates?"}},
	{QUESTION, "u", {"  two\n"}},
	{QUESTION, "u", {""}},
	{QUESTION, "u", {"\r\none\r\ntwo\r\n"}},
	{QUESTION, "u", {"\xe3\x80\x80Say \"x\" \\ {{ a }} {% b %}\x1c"}},
	{QUESTION, "u", {"<|im_end|> [INST] x [/INST] <|eot_id|> <|end|> <end_of_turn>"}},
	{QUESTION, "u", {"/no_think <think>x</think> <tool_response>"}},
	{ANSWER, "uau", {"How many?", "Two.", "And gulls?"}},
	{ANSWER, "uau", {" one ", " two\n", "\nthree\t"}},
	{ANSWER, "uau", {"one", "", "three"}},
	{ANSWER, "uau", {"one", "\r\nt\r\nwo\r\n", "three"}},
	{ANSWER, "uauau", {"a", "b", "c", "d", "e"}},
	{ANSWER, "uauauauau", {"a", "b", "c", "d", "e", "f", "g", "h", "i"}},
	{ANSWER, "uau", {"why?", "<think>\nhm\n</think>\n\nBecause.", "and?"}},
	{ANSWER, "uau", {"why?", "one</think>two</think>\n\nthree", "and <think>?"}},
	{ANSWER, "uau", {"why?", "it's <|im_end|> 'fine' [/INST] <think>", "and?"}},
	{END, "ua", {"How many?", "Two."}},
	{END, "ua", {"How many?", " two\n"}},
	{END, "ua", {"How many?", ""}},
	{END, "uaua", {"a", "b", "c", "d"}},
	{END,
	 "uaua",
	 {"why?", "<think>\nhm\n</think>\n\nBecause.", "and?", "<think>\n\n</think>\n\nAll."}},
	{END, "uaua", {"why?", "plain", "and?", "\n\n<think>\n one \n</think>\n two"}},
	{END, "uaua", {"a", "b", "<tool_response>c</tool_response>", "d"}},
	{SYSTEM, "su", {"You are short.", "Say it."}},
	{SYSTEM, "sua", {"You are short.", "Say it.", "It."}},
	{SYSTEM, "suau", {"You are short.", "Say it.", "It.", "Again!"}},
	{SYSTEM, "suaua", {"You are short.", "Say it.", "It.", "Again!", "It."}},
	{SYSTEM, "suaua", {"s", "a", "b", "a", "d"}},
	{SYSTEM, "suauaua", {"s", "a", "b", "c", "d", "e", "f"}},
	{SYSTEM, "suauauauau", {"s", "a", "b", "c", "d", "e", "f", "g", "h", "i"}},
	{SYSTEM, "su", {" short\n", " it "}},
	{SYSTEM, "su", {"", "x"}},
	{SYSTEM, "su", {"", ""}},
	{SYSTEM, "su", {" \n", "x"}},
	{SYSTEM, "su", {"s", ""}},
	{SYSTEM, "su", {"\n\nshort ", "x"}},
	{SYSTEM, "sua", {"a\r\nb</think>\tc", "\r\nd\r\n", "\r\ne\r\n"}},
	{SYSTEM, "suau", {" short\n", "\nit ", " it", "\tmore\n"}},
	{SYSTEM, "su", {"<<SYS>> <|system|> /no_think", "x"}},
	{SYSTEM, "su", {"detailed thinking on", "x"}},
	{ORDER, "a", {"Hello."}},
	{ORDER, "au", {"Hello.", "a"}},
	{ORDER, "uu", {"a", "b"}},
	{ORDER, "uaa", {"a", "b", "c"}},
	{ORDER, "uuau", {"a", "b", "c", "d"}},
	{ORDER, "sau", {"s", "Hello.", "a"}},
	{ORDER, "suu", {"s", "a", "b"}},
	{ORDER, "suaau", {"s", "a", "b", "c", "d"}},
};
enum { N_PROBES = sizeof PROBES / sizeof *PROBES };

struct search {
	const struct chat_template *template;
	struct buf texts[N_PROBES]; /* by the template */
	bool is_raised[N_PROBES];
	bool may_refuse_system;
	struct buf *kept;
	struct buf scratch;
};

/* --- conversations --- */

static enum jinja_result run_probe(const struct chat_template *template, const struct probe *probe,
				   struct buf *out)
{
	struct jinja_message messages[MAX_TURNS];
	struct jinja_input input = {.messages = messages,
				    .n = strlen(probe->roles),
				    .bos = template->bos,
				    .eos = template->eos,
				    .now = &TODAY};

	for (size_t i = 0; i < input.n; i++) {
		char role = probe->roles[i];
		messages[i].role = role == 's' ? "system" : role == 'u' ? "user" : "assistant";
		messages[i].content = probe->said[i];
	}
	input.add_generation_prompt = probe->roles[input.n - 1] == 'u';
	return jinja_render(template->text, template->n, &input, out);
}

static bool run_template(struct search *s)
{
	for (int i = 0; i < N_PROBES; i++) {
		enum jinja_result result = run_probe(s->template, &PROBES[i], &s->texts[i]);
		if (result == JINJA_UNKNOWN)
			return false;
		s->is_raised[i] = result == JINJA_RAISED;
	}
	return true;
}

/* Renders a conversation by a format into scratch. */
static bool render(struct search *s, const struct chat_format *format, const struct probe *probe)
{
	struct chat_message turns[MAX_TURNS] = {{0}};
	struct chat_messages messages = {turns, strlen(probe->roles)};

	for (size_t i = 0; i < messages.n; i++) {
		char role = probe->roles[i];
		turns[i].role = role == 's'   ? CHAT_SYSTEM
				: role == 'u' ? CHAT_USER
					      : CHAT_ASSISTANT;
		turns[i].text = (char *)probe->said[i];
		turns[i].n = strlen(probe->said[i]);
	}
	buf_reset(&s->scratch);
	return s->template->render(s->template->context, format, &messages, &s->scratch);
}

static bool is_same(struct search *s, const struct chat_format *format, int i)
{
	bool is_rendered = render(s, format, &PROBES[i]);

	if (s->is_raised[i] || !is_rendered)
		return !is_rendered;
	return s->scratch.length == s->texts[i].length &&
	       memcmp(s->scratch.data, s->texts[i].data, s->scratch.length) == 0;
}

/* stage: N_STAGES for the conversations of all. */
static bool are_same(struct search *s, const struct chat_format *format, enum stage stage)
{
	for (int i = 0; i < N_PROBES; i++)
		if ((stage == N_STAGES || PROBES[i].stage == stage) && !is_same(s, format, i))
			return false;
	return true;
}

/* --- stages --- */

/* The i-th variant of what a stage settles; false if there are no more.  The first is what
 * the table says, but turns alternate only where they have to. */
static bool vary(struct chat_format *format, enum stage stage, int i)
{
	static const char *const spaces[] = {NULL, " "};
	static const char *const begins[] = {NULL, "\1"}, *const tails[] = {NULL, "\2"};
	static const char *const openings[] = {NULL, "<think>\n", "<think>"};
	static const enum chat_system places[] = {CHAT_SYSTEM_TURN, CHAT_SYSTEM_FIRST,
						  CHAT_SYSTEM_LAST, CHAT_SYSTEM_LIKE,
						  CHAT_SYSTEM_END,  CHAT_SYSTEM_REFUSED};

	if (stage == ORDER) {
		format->must_alternate = i == 1;
		return i < 2;
	}
	if (i-- == 0)
		return true;
	switch (stage) {
	case BEGINNING:
		format->begin = begins[i % 2];
		format->opening = openings[i / 2 % 3];
		return i < 6;
	case QUESTION:
		format->trims_user = i % 2;
		return i < 2;
	case ANSWER:
		format->lead = spaces[i % 2];
		format->rest = i / 2 % 3 == 2 ? format->rest : spaces[i / 2 % 3];
		format->trims_assistant = i / 6 % 2;
		return i < 12;
	case END:
		format->tail = tails[i % 2];
		format->always_prompts = i / 2 % 2;
		format->rests_between = i / 4 % 2;
		return i < 8;
	default:
		format->trims_system = i % 2;
		format->trims_together = i / 2 % 2;
		format->skips_empty_system = i / 4 % 2;
		format->system = places[i / 8 % 6];
		return i < 48;
	}
}

/* The default system message is what the template's text has more than the format's with
 * an empty one. */
static bool read_default_system(struct search *s, struct chat_format *format)
{
	const struct buf *theirs = &s->texts[0];
	size_t front = 0, back = 0, length;

	format->default_system = "";
	if (!render(s, format, &PROBES[0]) || s->scratch.length > theirs->length)
		return false;
	length = s->scratch.length;
	while (front < length && s->scratch.data[front] == theirs->data[front])
		front++;
	while (back < length - front &&
	       s->scratch.data[length - 1 - back] == theirs->data[theirs->length - 1 - back])
		back++;
	buf_reset(s->kept);
	buf_append(s->kept, theirs->data + front, theirs->length - front - back);
	format->default_system = s->kept->data;
	return front + back == length && !strpbrk(s->kept->data, "\1\2");
}

static bool search(struct search *s, struct chat_format *format, enum stage stage)
{
	struct chat_format start = *format;

	if (stage == N_STAGES)
		return are_same(s, format, N_STAGES);
	for (int i = 0; vary(format, stage, i); i++, *format = start) {
		if (stage == SYSTEM && format->system == CHAT_SYSTEM_REFUSED &&
		    !s->may_refuse_system)
			continue;
		if (are_same(s, format, stage) && search(s, format, stage + 1))
			return true;
	}
	return false;
}

/* The same where a system message that is not given is made up. */
static bool search_with_default(struct search *s, struct chat_format *format)
{
	struct chat_format start = *format;

	if (format->system != CHAT_SYSTEM_TURN)
		return false;
	for (int i = 0; vary(format, BEGINNING, i); i++, *format = start)
		if (read_default_system(s, format) && is_same(s, format, 0) &&
		    search(s, format, QUESTION))
			return true;
	return false;
}

static bool search_all(struct search *s, struct chat_format *format,
		       bool (*search_one)(struct search *, struct chat_format *))
{
	for (int i = 0; chat_format_name(i); i++) {
		chat_format_named(format, chat_format_name(i));
		if (!format->adds_prefix && search_one(s, format)) /* no template says so */
			return true;
	}
	return false;
}

static bool search_plain(struct search *s, struct chat_format *format)
{
	return search(s, format, BEGINNING);
}

bool chat_template_detect(struct chat_format *format, const struct chat_template *template,
			  struct buf *kept)
{
	struct search s = {.template = template, .kept = kept};
	bool found = false;

	if (run_template(&s)) {
		found = search_all(&s, format, search_plain) ||
			search_all(&s, format, search_with_default);
		s.may_refuse_system = true;
		found = found || search_all(&s, format, search_plain);
	}
	for (int i = 0; i < N_PROBES; i++)
		buf_release(&s.texts[i]);
	buf_release(&s.scratch);
	return found;
}

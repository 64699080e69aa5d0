/* Chat formats: a list of messages as the text that a chat model was made for, its
 * ids, and which of them the assistant says.
 *
 * A format is named ("chatml", "llama-3", ...: the table of chat_format.c) or found
 * by what a checkpoint's chat template makes of some conversations ("auto").  A template
 * that is none of these, or is one only now and then, is refused, never guessed.
 *
 *     struct chat *chat;
 *     chat_load(&chat, "auto", dir, tokenizer, &err);
 *     struct row_context context = {.tokenizer = tokenizer, .chat = chat, ...};
 *     row_sequence(&row, object, line, &context, &err);   {"messages": [...]}
 *     // row.ids [n]; row.is_target [n]: 1 where the assistant speaks
 *
 * Text is what transformers' apply_chat_template gives, and so are the ids, but for
 * two things.  Special tokens in what people say are plain text: only the template's
 * own are tokens.  And where an answer would change the ids of the prompt before it,
 * both are encoded apart, as for any prompt and completion (rows.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/tokenizer.h"

struct chat;

/* name: of a format, or "auto" for the one of dir's chat template
 * (chat_template.jinja, else in tokenizer_config.json, else chat_template.json).
 * Where auto finds none, or none that is known, the result refuses to encode and
 * says why: data without messages needs no format.  The tokenizer must outlive it.
 * NULL and *err set if the name is unknown or a file is damaged. */
enum status chat_load(struct chat **chat, const char *name, const char *dir,
		      const struct tokenizer *tokenizer, struct error *err);
void chat_destroy(struct chat *chat); /* NULL is fine */
/* The format's name; NULL if there is none. */
const char *chat_name(const struct chat *chat);
void chat_append_names(struct buf *out); /* "chatml, qwen2.5, ..." */
/* The token that ends the assistant's turn, one more id to stop at when sampling;
 * -1 if there is no format, or if no single token ends a turn. */
int32_t chat_end_id(const struct chat *chat);
/* The same of the format that chat_load would give, with dir's tokenizer, loaded for this
 * alone; -1 too where auto finds no format. */
enum status chat_end_of(const char *name, const char *dir, int32_t *id, struct error *err);

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT };

struct chat_message {
	enum chat_role role;
	bool is_target; /* of the assistant: its text and end are to be learnt */
	char *text;	/* [n], owned */
	size_t n;
};
struct chat_messages {
	struct chat_message *data; /* [n] */
	size_t n;
};
/* Appends an array of {"role", "content"}; content is a string or a list of
 * {"type": "text", "text"}.  Refused with the turn's number: other roles, images,
 * tool calls, a system message that is not the first, an empty list. */
enum status chat_messages_append(struct chat_messages *messages, const struct json *array,
				 bool is_target, struct error *err);
void chat_messages_release(struct chat_messages *messages);

/* What the assistant is asked for: its next turn, or nothing. */
enum chat_purpose {
	CHAT_WHOLE,  /* ends behind the last turn to be learnt, at its end token */
	CHAT_PROMPT, /* ends where the assistant's next turn begins */
	CHAT_TEXT,   /* all that the template gives without a generation prompt */
};

/* Appends the text.  Refused: what the format has no place for (a system message,
 * turns that do not alternate), with the turn's number. */
enum status chat_render(const struct chat *chat, const struct chat_messages *messages,
			enum chat_purpose purpose, struct buf *out, struct error *err);

struct chat_ids {
	struct ids ids;
	uint8_t *is_target; /* [ids.n]: 1 for what a target message says and its end */
	size_t n_prompt;    /* ids before the first of these; ids.n if there is none */
};
enum status chat_encode(const struct chat *chat, const struct chat_messages *messages,
			enum chat_purpose purpose, struct chat_ids *out, struct error *err);
void chat_ids_release(struct chat_ids *ids);

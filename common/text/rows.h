/* Rows of data files as token ids.
 *
 * A row is {"text"}, {"prompt","completion"}, {"prompt"}, {"input_ids"},
 * {"prompt_ids","completion_ids"}, {"prompt","chosen","rejected"} (or whole
 * {"chosen","rejected"}), or the latter with _ids.  "input_ids" may come with "labels"
 * (each the id of its place, or -100: not to be learnt), with "completion_mask" or
 * "assistant_masks" (1 for what is to be learnt) or with "prompt_length", and with
 * "attention_mask": ids at either end for which it is 0 are padding and left out.  BOS is
 * added once where the tokenizer says so, never to ids.  Prompt and completion: if the ids of the
 * prompt begin the ids of prompt + completion the joint ids are taken, else both
 * are encoded apart and joined.
 *
 * Or it is a conversation in the chat format of context->chat: {"messages"}, or any
 * of "prompt", "completion", "chosen" and "rejected" as a list of messages.  Then
 * is_target tells what the assistant says, with the token that ends its turn; a
 * sequence ends there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/chat.h"
#include "common/text/tokenizer.h"

struct row {
	int32_t *ids; /* [n_prompt + rest], owned */
	int n;
	int n_prompt; /* ids that are prompt; 0 where the row has none */
	bool is_text; /* its ids are those of text, not given ones nor a conversation */
	uint8_t *
		is_target; /* [n]: 1 for what is to be learnt; NULL: all behind the prompt; owned */
};
void row_release(struct row *row);
/* Whether id i of the row is to be learnt. */
bool row_is_target(const struct row *row, int i);

struct row_context {
	const struct tokenizer *tokenizer; /* NULL: only rows of ids */
	int n_vocab;			   /* ids must be below it */
	const char *where;		   /* "data.jsonl" for errors */
	const struct chat *chat;	   /* NULL: no rows of messages */
	int32_t bos_id; /* of the model, -1: none; what a cut of ids keeps without a tokenizer */
};

/* {"text"}, {"prompt","completion"}, {"input_ids"}, {"prompt_ids",
 * "completion_ids"} or {"messages"}: a whole sequence.  Every turn of the assistant
 * in messages or in a completion is a target. */
enum status row_sequence(struct row *row, const struct json *object, int line,
			 const struct row_context *context, struct error *err);
/* {"prompt"}, {"prompt_ids"}, {"input_ids"} or {"messages"} whose last turn is the
 * user's; the assistant's begins behind it.  n_prompt = n. */
enum status row_prompt(struct row *row, const struct json *object, int line,
		       const struct row_context *context, struct error *err);
/* A preference pair; the two sequences share the prompt.  Of messages without a
 * prompt of messages it is the turns that both begin with. */
enum status row_pair(struct row *chosen, struct row *rejected, const struct json *object, int line,
		     const struct row_context *context, struct error *err);
/* Appends the ids of a member, any number of them. */
enum status row_ids(struct ids *ids, const struct json *object, const char *key, int line,
		    const struct row_context *context, struct error *err);

/* Cuts a row to at most max_length ids, at its end or, from_left, at its front: there
 * behind what the tokenizer puts in front of a sequence, or BOS, if the row begins with
 * it.  Targets stay with their ids, and what is left of the prompt stays prompt. */
void row_cut(struct row *row, int max_length, bool from_left, const struct row_context *context);
/* Cuts both sequences of a pair.  from_left, both lose the same ids of their prompt, so
 * that they go on sharing what is left of it; one that is still too long without any of
 * the prompt loses the front of its completion too. */
void row_cut_pair(struct row *chosen, struct row *rejected, int max_length, bool from_left,
		  const struct row_context *context);

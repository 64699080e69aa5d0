/* What chat formats put around messages. */
#pragma once

#include <stdbool.h>

/* Where the system message goes. */
enum chat_system {
	CHAT_SYSTEM_TURN,    /* a turn of its own */
	CHAT_SYSTEM_REFUSED, /* nowhere */
	CHAT_SYSTEM_FIRST,   /* in front of the first user's text */
	CHAT_SYSTEM_LAST,    /* in front of the last user's text */
	CHAT_SYSTEM_LIKE,    /* in front of each user's text that is the same as the last one */
	CHAT_SYSTEM_END,     /* in front of the user's text that ends all; else nowhere */
};
/* What is done about <think> blocks. */
enum chat_think {
	CHAT_THINK_NONE,  /* nothing: they are text */
	CHAT_THINK_QWEN3, /* cut from past answers, added to the last one */
	CHAT_THINK_OFF,	  /* as before, and an empty one belongs to the prompt */
	CHAT_THINK_DROP,  /* cut from every answer, the last one too */
};

/* The text around messages.  In it \1 stands for BOS and \2 for EOS. */
struct chat_format {
	const char *name;
	const char *begin; /* in front of all */
	const char *before_system, *after_system;
	const char *before_user, *after_user;
	const char *header;	    /* opens the assistant's turn */
	const char *opening;	    /* then what its thoughts begin with: the generation prompt */
	const char *lead;	    /* then part of the turn: in front of what is said, ... */
	const char *gap;	    /* behind it, ... */
	const char *end;	    /* the end token; ... */
	const char *rest;	    /* and what follows the turn, ... */
	const char *tail;	    /* behind all where no generation prompt is added */
	const char *default_system; /* used where none is given; NULL: nothing is */
	enum chat_system system;
	enum chat_think think;
	bool trims_system, trims_user, trims_assistant; /* of white space at both ends */
	bool trims_together; /* the user's text with the system's in front of it */
	bool skips_empty_system;
	bool rests_between;	/* ... but not the last one */
	bool always_prompts;	/* the assistant's turn is opened even where none is asked for */
	bool must_alternate;	/* user, assistant, user, ... behind the system message */
	bool ends_once;		/* the end token comes after the last message alone */
	bool adds_prefix;	/* the tokenizer's BOS comes first, as with plain text */
	const char *markers[5]; /* tokens that structure the text, NULL behind the last */
};

/* False if there is no format of that name. */
bool chat_format_named(struct chat_format *format, const char *name);
const char *chat_format_name(int i); /* of the i-th; NULL behind the last */

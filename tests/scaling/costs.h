/* What a learner's computation costs, as measured on one machine: the simulated
 * ranks spend these times instead of computing. */
#pragma once

enum cost {
	COST_TOKEN,  /* forward and backward of a token */
	COST_ZERO,   /* zero_fill, an element */
	COST_ADD,    /* add_into, an element */
	COST_SQUARE, /* block_squares, an element */
	COST_ADAMW,  /* adamw_step, an element */
	COST_COUNT
};

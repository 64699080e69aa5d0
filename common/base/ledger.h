/* What takes how many bytes: a short list of names and numbers.
 *
 *     struct ledger ledger = {0};
 *     ledger_add(&ledger, "weights", bytes);
 *     total = ledger_sum(&ledger);                                                       */
#pragma once

#include <stddef.h>

enum { LEDGER_ITEMS = 24 };
struct ledger_item {
	const char *what; /* borrowed; a literal */
	size_t bytes;
};
struct ledger {
	struct ledger_item items[LEDGER_ITEMS]; /* in the order in which they came */
	int n;
};

/* Adds to the item of that name, which is made if there is none.  Nothing is not listed. */
void ledger_add(struct ledger *ledger, const char *what, size_t bytes);
size_t ledger_sum(const struct ledger *ledger);

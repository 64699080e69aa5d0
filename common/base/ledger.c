/* See ledger.h. */
#include "common/base/ledger.h"

#include <string.h>

#include "common/base/die.h"

void ledger_add(struct ledger *ledger, const char *what, size_t bytes)
{
	int i = 0;

	if (bytes == 0)
		return;
	while (i < ledger->n && strcmp(ledger->items[i].what, what) != 0)
		i++;
	ASSERT(i < LEDGER_ITEMS);
	if (i == ledger->n)
		ledger->items[ledger->n++] = (struct ledger_item){.what = what};
	ledger->items[i].bytes += bytes;
}

size_t ledger_sum(const struct ledger *ledger)
{
	size_t sum = 0;

	for (int i = 0; i < ledger->n; i++)
		sum += ledger->items[i].bytes;
	return sum;
}

#include "actor/stop_strings.h"

#include <string.h>

struct stop_match stop_strings_find(const struct stop_strings *stop, const char *text, size_t n,
				    size_t n_old)
{
	struct stop_match first = {.item = -1};

	for (int i = 0; i < stop->n; i++) {
		size_t length = strlen(stop->items[i]);
		size_t from = n_old >= length ? n_old - length + 1 : 0;
		const char *found = from < n ? memmem(text + from, n - from, stop->items[i], length)
					     : NULL;
		size_t at = found ? (size_t)(found - text) : 0;
		if (found && (first.item < 0 || at < first.at))
			first = (struct stop_match){.item = i, .at = at};
	}
	return first;
}

size_t stop_strings_pending(const struct stop_strings *stop, const char *text, size_t n)
{
	size_t most = 0;

	for (int i = 0; i < stop->n; i++) {
		size_t length = strlen(stop->items[i]);
		size_t held = length - 1 < n ? length - 1 : n;
		while (held > most && memcmp(text + n - held, stop->items[i], held) != 0)
			held--;
		most = held > most ? held : most;
	}
	return most;
}

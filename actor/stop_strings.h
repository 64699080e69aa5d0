/* Strings that end a completion. */
#pragma once

#include <stddef.h>

struct stop_strings {
	const char *const *items; /* [n], none empty; borrowed */
	int n;
};
struct stop_match {
	int item;  /* -1: none */
	size_t at; /* where it begins in the text */
};

/* The match that begins first, of those that end behind the first n_old bytes. */
struct stop_match stop_strings_find(const struct stop_strings *stop, const char *text, size_t n,
				    size_t n_old);
/* Bytes at the text's end that may turn out to be the beginning of a match. */
size_t stop_strings_pending(const struct stop_strings *stop, const char *text, size_t n);

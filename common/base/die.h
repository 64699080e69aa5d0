/* The end of the line for broken invariants, and memory that cannot fail. */
#pragma once

#include <stddef.h>

/* Prints "rlhf: internal error: ..." and ends the process with exit code 1,
 * through the hook if one is installed (proto/comm installs MPI_Abort). */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die_set_hook(void (*hook)(int exit_code));
/* What is done before that, as removing an unfinished file; it must not die.  NULL: nothing. */
void die_set_cleanup(void (*cleanup)(void));

/* Checked in debug and asan builds.  The condition must have no side effects. */
#ifdef NDEBUG
#define ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#else
#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			die("%s:%d: %s does not hold", __FILE__, __LINE__, #condition);            \
	} while (0)
#endif

/* Allocation that ends the process when there is no memory.  A size of 0 gives
 * a pointer that may be freed.  The array forms check n * size for overflow. */
void *xmalloc(size_t bytes);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *memory, size_t n, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t n);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* 64-byte aligned array of n elements of the given size, zeroed; free() it. */
void *xaligned(size_t n, size_t size);

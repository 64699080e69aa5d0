/* Ending the process, and allocation that ends it when there is no memory. */
#include "common/base/die.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/log.h"

enum { HUGE_PAGES_BYTES = 8 << 20 };

static void (*die_hook)(int exit_code);
static void (*die_cleanup)(void);

void die_set_cleanup(void (*cleanup)(void))
{
	die_cleanup = cleanup;
}

void die_set_hook(void (*hook)(int exit_code))
{
	die_hook = hook;
}

void die(const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_rank(LOG_ERROR, "internal error: %s", text);
	if (die_cleanup)
		die_cleanup();
	void (*hook)(int) = die_hook;
	die_hook = NULL; /* a hook that dies itself must not come back here */
	if (hook)
		hook(1);
	_exit(1);
}

static void *checked(void *memory, size_t bytes)
{
	if (!memory)
		die("no memory for %zu bytes", bytes);
	return memory;
}

static size_t product(size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes))
		die("an array of %zu elements of %zu bytes is too large", n, size);
	return bytes;
}

/* Asks for huge pages where memory is large: the first touch of a gigabyte in
 * small pages costs more than the work on it. */
static void *ask_for_huge_pages(void *memory, size_t bytes)
{
	const uintptr_t page = 4096;
	uintptr_t begin, end;

	if (bytes < HUGE_PAGES_BYTES)
		return memory;
	begin = ((uintptr_t)memory + page - 1) / page * page;
	end = ((uintptr_t)memory + bytes) / page * page;
	/* Only a hint: where the kernel has none, nothing changes. */
	(void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
	return memory;
}

void *xmalloc(size_t bytes)
{
	return ask_for_huge_pages(checked(malloc(bytes ? bytes : 1), bytes), bytes);
}

void *xcalloc(size_t n, size_t size)
{
	size_t bytes = product(n, size);
	return ask_for_huge_pages(checked(calloc(bytes ? bytes : 1, 1), bytes), bytes);
}

void *xrealloc(void *memory, size_t n, size_t size)
{
	size_t bytes = product(n, size);
	return ask_for_huge_pages(checked(realloc(memory, bytes ? bytes : 1), bytes), bytes);
}

char *xstrdup(const char *text)
{
	return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t n)
{
	size_t length = strnlen(text, n);
	char *copy = xmalloc(length + 1);
	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

char *xasprintf(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		die("cannot format a text");
	return text;
}

void *xaligned(size_t n, size_t size)
{
	size_t bytes = product(n, size);
	if (bytes > SIZE_MAX - 64)
		die("an array of %zu bytes is too large", bytes);
	size_t rounded = bytes ? (bytes + 63) / 64 * 64 : 64;
	void *memory = ask_for_huge_pages(checked(aligned_alloc(64, rounded), bytes), rounded);
	memset(memory, 0, rounded);
	return memory;
}

/* Log lines.
 *
 * A line is put together in one array and written by one write(2), so that
 * lines of several processes on one terminal or pipe do not mix; 4096 bytes is
 * what a pipe takes as one piece.  Longer lines are cut. */
#include "common/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/base/status.h"

enum { LINE_BYTES = 4096, SAID_MAX = 64 };

static enum log_level log_max = LOG_INFO;
static bool log_is_lead = true;
static char log_process[64];

void log_init(enum log_level level, bool is_lead)
{
	log_max = level;
	log_is_lead = is_lead;
}

void log_set_name(const char *name)
{
	snprintf(log_process, sizeof log_process, "%s", name);
}

static size_t append(char *line, size_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static size_t append(char *line, size_t at, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line + at, LINE_BYTES - at, format, args);
	va_end(args);
	return n < 0 ? at : at + (size_t)n;
}

/* "rlhf: " [process ": "] [level ": "] message */
static void write_line(enum log_level level, bool with_name, const char *format, va_list args)
{
	static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
	char line[LINE_BYTES + 1];
	size_t length = append(line, 0, "rlhf: ");
	if (with_name && log_process[0])
		length = append(line, length, "%s: ", log_process);
	/* die() puts its own words here. */
	if (level != LOG_ERROR || strncmp(format, "internal error: ", 16) != 0)
		length = append(line, length, "%s", words[level]);
	int n = vsnprintf(line + length, LINE_BYTES - length, format, args);
	if (n < 0)
		return;
	length += (size_t)n;
	if (length > LINE_BYTES - 1) {
		length = LINE_BYTES - 1;
		memcpy(line + length - 3, "...", 3);
	}
	error_clean(line);
	line[length++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, length);
	(void)written; /* there is nowhere left to complain */
}

void log_error(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	write_line(LOG_ERROR, true, format, args);
	va_end(args);
}

/* Whether this text has not been written yet, among the first SAID_MAX. */
static bool is_new(const char *format, va_list args)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
	static uint64_t said[SAID_MAX];
	static int n_said;
	bool is_known = false;
	char text[LINE_BYTES];
	va_list copy;
	va_copy(copy, args);
	vsnprintf(text, sizeof text, format, copy);
	va_end(copy);
	uint64_t hash = hash64(text, strlen(text));
	pthread_mutex_lock(&lock);
	for (int i = 0; i < n_said && !is_known; i++)
		is_known = said[i] == hash;
	if (!is_known && n_said < SAID_MAX)
		said[n_said++] = hash;
	pthread_mutex_unlock(&lock);
	return !is_known;
}

void log_warn(const char *format, ...)
{
	if (!log_is_lead || log_max < LOG_WARN)
		return;
	va_list args;
	va_start(args, format);
	if (is_new(format, args))
		write_line(LOG_WARN, false, format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	if (!log_is_lead || log_max < LOG_INFO)
		return;
	va_list args;
	va_start(args, format);
	write_line(LOG_INFO, false, format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	if (log_max < LOG_DEBUG)
		return;
	va_list args;
	va_start(args, format);
	write_line(LOG_DEBUG, true, format, args);
	va_end(args);
}

void log_rank(enum log_level level, const char *format, ...)
{
	if (log_max < level)
		return;
	va_list args;
	va_start(args, format);
	write_line(level, true, format, args);
	va_end(args);
}

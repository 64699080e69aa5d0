/* How functions report what can go wrong.
 *
 * Two classes of trouble.  Input can be wrong (configs, checkpoints, data,
 * messages, a full disk): the function returns an enum status and leaves one
 * sentence in the caller's struct error, naming the file, the place, what was
 * found and what was expected.  We are wrong or the machine is (a broken
 * invariant, no memory, a failing MPI call): die() in die.h.
 *
 * A status is also the exit code of the process.
 */
#pragma once

enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,	  /* a failure that is not the input's fault */
	STATUS_BAD_INPUT = 2,	  /* refused: nothing was written over */
	STATUS_NO_CHECKPOINT = 3, /* checkpoints exist, none is valid */
	STATUS_STOPPED = 75,	  /* stopped on request; the same command resumes */
};

/* One sentence about the first thing that went wrong. */
struct error {
	char text[1024];
};

/* Fills err (which may be NULL) with a printf-formatted sentence and returns
 * status.  Control characters of the result are replaced by '?', so a name read
 * from a file cannot write to the terminal. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the sentence; returns status unchanged. */
enum status error_prefix(struct error *err, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Replaces the control characters of a text by '?': C0, DEL and, in UTF-8, C1. */
void error_clean(char *text);

/* Lines for people, on standard error.  A clean run prints nothing at ERROR.
 *
 * Every line is written with one write().  The same warning is written once, whatever
 * threads it comes from.  Where several ranks run, log_info and log_warn print on the lead
 * rank alone; log_rank prints wherever called, with the process's name ("actor.1") in
 * front. */
#pragma once

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_init(enum log_level level, bool is_lead);
void log_set_name(const char *name); /* "learner.0"; copied */

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_rank(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

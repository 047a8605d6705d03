/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one line per event to stderr: "program: text", or a journal priority
 * and the text ("<3>text") when stderr is not a terminal and systemd has set
 * JOURNAL_STREAM.  Control characters become '?'; long texts end in "...".
 *
 * An error is logged where it is born, once, with names and numbers, and then
 * passed up unchanged: `return log_err(-EIO, "pack %s: short read", name);`
 */
#ifndef DEPOT_LOG_H
#define DEPOT_LOG_H

#include "depot/base.h"

enum log_level {
	LOG_LEVEL_NONE = -1, /* nothing is written; log_last_error() is kept */
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Program name at the head of each line ("vdrived"), and what to leave out.
 * Before threads are started. */
void log_setup(const char *program, enum log_level max_level);

/*
 * Log at error level and return `code`, unchanged.  The text says what failed
 * and on which object; the errno's own words are added when code < 0.
 */
int log_err(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/*
 * The text of the last log_err() of this thread, without program name, or "".
 * For the control API, whose callers are shown the cause.  Borrowed; changed
 * by the thread's next log_err().
 */
const char *log_last_error(void);
void log_clear_last_error(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: lines to stderr.  Each is one write(2), so lines of several threads and
 * processes never mix.  Nothing here allocates: out of memory must be sayable.
 */
#include "depot/log.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	LOG_LINE_MAX = 2048,
	LOG_TEXT_MAX = 1536, /* leaves room for prefix and program */
	LOG_PROGRAM_MAX = 32,
};

/* Set by log_setup() before there are threads, then only read. */
static char log_program[LOG_PROGRAM_MAX] = "vdrive";
static enum log_level log_max_level = LOG_LEVEL_INFO;
static bool log_to_journal;

static __thread char log_last[LOG_TEXT_MAX];

void log_setup(const char *program, enum log_level max_level)
{
	ASSERT(program);

	snprintf(log_program, sizeof(log_program), "%s", program);
	log_max_level = max_level;
	log_to_journal =
	    getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
}

/* Names come from guests and packages: they must not forge lines. */
static void log_clean(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
}

static void log_write(enum log_level level, const char *text)
{
	static const int priorities[] = {3, 4, 6, 7};
	char line[LOG_LINE_MAX];
	ssize_t n UNUSED;
	int len;

	/* journald knows the program. */
	if (log_to_journal)
		len = snprintf(line, sizeof(line), "<%d>%s\n",
			       priorities[level], text);
	else
		len =
		    snprintf(line, sizeof(line), "%s: %s\n", log_program, text);
	n = write(STDERR_FILENO, line, (size_t)len);
}

/* Whole text, errno's words included; "..." where it was cut. */
static void log_format(char *text, int code, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));
static void log_format(char *text, int code, const char *fmt, va_list args)
{
	const char *words = code < 0 ? strerrordesc_np(-code) : NULL;
	size_t words_len = words ? strlen(words) + 2 : 0;
	size_t cap = LOG_TEXT_MAX - words_len;
	int len;

	len = vsnprintf(text, cap, fmt, args);
	if (len < 0)
		len = snprintf(text, cap, "%s", fmt);
	if ((size_t)len >= cap)
		memcpy(text + cap - 4, "...", 4);
	if (words) {
		len = (int)strlen(text);
		snprintf(text + len, LOG_TEXT_MAX - (size_t)len, ": %s", words);
	}
	log_clean(text);
}

int log_err(int code, const char *fmt, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, fmt);
	log_format(log_last, code, fmt, args);
	va_end(args);
	if (log_max_level >= LOG_LEVEL_ERROR)
		log_write(LOG_LEVEL_ERROR, log_last);
	errno = saved;
	return code;
}

#define LOG_AT_LEVEL(level)                                                    \
	do {                                                                   \
		char text_[LOG_TEXT_MAX];                                      \
		int saved_ = errno;                                            \
		va_list args_;                                                 \
                                                                               \
		if ((level) > log_max_level)                                   \
			return;                                                \
		va_start(args_, fmt);                                          \
		log_format(text_, 0, fmt, args_);                              \
		va_end(args_);                                                 \
		log_write(level, text_);                                       \
		errno = saved_;                                                \
	} while (0)

void log_warn(const char *fmt, ...)
{
	LOG_AT_LEVEL(LOG_LEVEL_WARN);
}

void log_info(const char *fmt, ...)
{
	LOG_AT_LEVEL(LOG_LEVEL_INFO);
}

void log_debug(const char *fmt, ...)
{
	LOG_AT_LEVEL(LOG_LEVEL_DEBUG);
}

const char *log_last_error(void)
{
	return log_last;
}

void log_clear_last_error(void)
{
	log_last[0] = '\0';
}

void base_assert_failed(const char *cond, const char *file, int line)
{
	char text[LOG_TEXT_MAX];

	snprintf(text, sizeof(text), "%s:%d: broken promise: %s", file, line,
		 cond);
	log_write(LOG_LEVEL_ERROR, text);
	abort();
}

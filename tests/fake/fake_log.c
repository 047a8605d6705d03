/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_log: depot/log.c without a word.  For fuzz targets: a parser that logs
 * why it refuses would spend its time writing.
 */
#include "depot/log.h"

void base_assert_failed(const char *cond UNUSED, const char *file UNUSED,
			int line UNUSED)
{
	abort();
}

void log_setup(const char *program UNUSED, enum log_level max_level UNUSED)
{
}

int log_err(int code, const char *fmt UNUSED, ...)
{
	return code;
}

void log_warn(const char *fmt UNUSED, ...)
{
}

void log_info(const char *fmt UNUSED, ...)
{
}

void log_debug(const char *fmt UNUSED, ...)
{
}

const char *log_last_error(void)
{
	return "";
}

void log_clear_last_error(void)
{
}

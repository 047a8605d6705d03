/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: what nfstap.c writes and coldstart.c reads has in common: the
 * procedures that only read, by their names in the file.
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <string.h>

#include "wire.h"

enum {
	TRACE_NAME_MAX = 255,
	TRACE_READLINK = 5,
	TRACE_SYMLINK = 10,
	TRACE_READDIR = 16,
	TRACE_PROC_COUNT = 18,
};

/* NULL: not one that is written down. */
static inline const char *trace_proc_name(int proc)
{
	static const char *const names[TRACE_PROC_COUNT] = {
	    [NFSPROC3_GETATTR] = "getattr",
	    [NFSPROC3_LOOKUP] = "lookup",
	    [NFSPROC3_ACCESS] = "access",
	    [TRACE_READLINK] = "readlink",
	    [NFSPROC3_READ] = "read",
	    [TRACE_READDIR] = "readdir",
	    [NFSPROC3_READDIRPLUS] = "readdirplus",
	};

	return proc >= 0 && proc < TRACE_PROC_COUNT ? names[proc] : NULL;
}

/* -1: no such name. */
static inline int trace_proc_of(const char *name)
{
	for (int i = 0; i < TRACE_PROC_COUNT; i++)
		if (trace_proc_name(i) && !strcmp(trace_proc_name(i), name))
			return i;
	return -1;
}

#endif

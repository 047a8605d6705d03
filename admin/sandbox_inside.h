/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_inside: what sandbox.c (outside) and sandbox_root.c (the first
 * process inside) share: the pipe on which the inside tells how it went.
 */
#ifndef ADMIN_SANDBOX_INSIDE_H
#define ADMIN_SANDBOX_INSIDE_H

#include "admin/sandbox.h"

/* What is written lies there, below `work`. */
#define SANDBOX_UPPER "/upper"
#define SANDBOX_TMP   "/tmp"

struct sandbox_word {
	enum {
		SANDBOX_SAYS_ERROR = 1, /* value: errno; text: what failed */
		SANDBOX_SAYS_STATUS,    /* value: exit status */
		SANDBOX_SAYS_LEFT,      /* text: a process that was ended */
	} kind;
	int value;
	char text[64];
};

void sandbox_say(int fd, int kind, int value, const char *text);

/* The first process inside: never returns.  `fd` is the pipe. */
_Noreturn void sandbox_inside(const struct sandbox *sandbox,
			      const char *const *argv, int fd);

#endif

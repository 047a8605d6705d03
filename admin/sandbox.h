/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: a program over a base operating system whose changes are caught: the
 * base is the lower directory of an overlay, what is created, modified or
 * deleted lies in `upper` afterwards (overlayfs' own form: character device 0/0
 * for a deleted name, trusted.overlay.opaque on a directory that hides).
 *
 * Namespaces of its own: mounts, processes, IPC, host name; the network only
 * without `network`.  /proc, /sys, /dev, /run and /tmp are its own where the
 * base has such directories, and nothing of them is caught; kernel settings
 * below /proc and /sys are read-only.  The current directory is seen,
 * read-only, so that ./install.sh is found.  When the program ends, what it has
 * left running is ended too: by SIGTERM, and what ignores that by SIGKILL.
 *
 * How many processes it has, how much it writes, how full the disk gets and how
 * long it runs is looked at five times a second.  A fork bomb may have more for
 * a moment; from Linux 6.14 on, where process numbers have a limit of their own
 * in each namespace, by no more than 300.
 *
 * The program is root with the capabilities that an installer needs, and no
 * others (sandbox_root.c): it can neither mount nor make device nodes, nor
 * change the host's network, clock or kernel, and device nodes that it brings
 * along cannot be opened.  It keeps an installer's mistakes from the host; no
 * more than that is promised against an attacker.
 */
#ifndef ADMIN_SANDBOX_H
#define ADMIN_SANDBOX_H

#include "admin/output.h"
#include "depot/base.h"

enum {
	SANDBOX_LEFT_MAX = 16, /* names of left processes that are told */
	SANDBOX_NAME_MAX = 16,
	SANDBOX_GRACE_MS = 3000, /* between SIGTERM and SIGKILL */
};

struct sandbox {
	const char *base; /* borrows, as all here: a directory, never written */
	const char *work; /* an empty directory on a real file system */
	bool network;
	uint64_t free_min;  /* bytes of work's disk that must stay free */
	uint64_t bytes_max; /* what it may write, /tmp too; 0: no limit */
	unsigned int processes_max; /* at a time; 0: no limit */
	unsigned int seconds_max;   /* of its run; 0: no limit */
};

struct sandbox_result {
	int status; /* exit status of the program; 128 + signal */
	unsigned int left_count;
	char left[SANDBOX_LEFT_MAX][SANDBOX_NAME_MAX + 1];
};

/*
 * argv as for execvp, looked for inside.  0 whatever the status; else said in
 * failure: -EPERM: not root; -EINVAL: base or work cannot be used; -ENOSPC: it
 * filled the disk, -EDQUOT: it wrote more than bytes_max (looked at now and
 * then, so it may be more by what a second writes), -EAGAIN: it had more than
 * processes_max, -ETIME: it ran longer than seconds_max, and was ended; -EINTR:
 * interrupted; -ENOENT: no such program.  `work`/upper has the changes; nothing
 * of it runs any more, whatever the result.
 */
MUST_CHECK int sandbox_run(const struct sandbox *sandbox,
			   const char *const *argv,
			   struct sandbox_result *result,
			   struct failure *failure);

#endif

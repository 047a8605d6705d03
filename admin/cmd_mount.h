/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mount: how a guest mounts its drive, for what prints it to be pasted.
 */
#ifndef ADMIN_CMD_MOUNT_H
#define ADMIN_CMD_MOUNT_H

#include "admin/cmd.h"

enum { CMD_MOUNT_OPTIONS_MAX = 512 };

struct cmd_mount {
	char server[256]; /* as in the line: IPv6 in brackets */
	char port[8];
	const char *mountpoint; /* borrows */
	char export[128];       /* its path: "/red/vm1", "/s/..." */
	bool is_v6;
	bool devices;
};

/* All that the options and the daemon say of guest `name`.  Said: -ENOENT:
 * there is no such guest; what else the daemon answers. */
MUST_CHECK int cmd_mount_fill(struct cli *cli, struct cmd_mount *mount,
			      const char *name);
/* The options of mount that every way of mounting has; why each word:
 * vdrive-guest(8). */
void cmd_mount_options(const struct cmd_mount *mount, char *options,
		       size_t cap);

#endif

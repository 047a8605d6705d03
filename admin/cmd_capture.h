/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_capture: what of captures other commands use.
 */
#ifndef ADMIN_CMD_CAPTURE_H
#define ADMIN_CMD_CAPTURE_H

#include "admin/cmd.h"

/* "P1,P2" of an option as a list of patterns, NULL-ended; NULL: not given. */
struct cmd_patterns {
	char *text;        /* owns */
	const char **list; /* owns the array */
};
MUST_CHECK int cmd_patterns(struct cli *cli, enum args_option option,
			    struct cmd_patterns *patterns);
void cmd_patterns_clear(struct cmd_patterns *patterns);

/* List the changes of a capture; returns the exit code. */
int cmd_capture_changed(struct cli *cli, const char *path);
/* The same of T/G[@SNAPSHOT]. */
int cmd_capture_delta(struct cli *cli, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot: what the commands of the noun "depot" share.
 */
#ifndef ADMIN_CMD_DEPOT_H
#define ADMIN_CMD_DEPOT_H

#include "admin/cmd.h"
#include "depot/digest.h"
#include "depot/source.h"

/* The secret key in a file; says why not in cli->failure, and warns when others
 * may read the file. */
MUST_CHECK int cmd_key_load(struct cli *cli, const char *path,
			    struct sign_key *secret);

/* A depot at rest that is written (cmd_depot_place.c). */
struct cmd_place {
	char url[4096]; /* as given, a directory as an absolute path */
	struct source *source; /* owns */
	bool is_signed;	       /* --key */
	struct sign_key secret;
};
/* With the options of access and --key.  Says why not in cli->failure. */
MUST_CHECK int cmd_place_open(struct cli *cli, const char *url,
			      struct cmd_place *place);
void cmd_place_clear(struct cmd_place *place);
/* --expires in seconds since 1970; 0: never. */
MUST_CHECK int cmd_place_expiry(struct cli *cli, int64_t *expires_sec);
/* Say that "cannot WORD URL"; returns the exit code. */
int cmd_place_fail(struct cli *cli, int rc, const char *word, const char *url);

#endif

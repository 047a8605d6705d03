/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot: what the commands of the noun "depot" share.
 */
#ifndef ADMIN_CMD_DEPOT_H
#define ADMIN_CMD_DEPOT_H

#include "admin/cmd.h"
#include "depot/digest.h"

/* The secret key in a file; says why not in cli->failure, and warns when others
 * may read the file. */
MUST_CHECK int cmd_key_load(struct cli *cli, const char *path,
			    struct sign_key *secret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_daemon: an import goes to the daemon.
 */
#ifndef ADMIN_SINK_DAEMON_H
#define ADMIN_SINK_DAEMON_H

#include "admin/client.h"
#include "admin/import.h"

/*
 * Shards are asked for and sent under a lease of the depot, opened with the
 * first of them, so that what is here stays until it is committed.
 */
struct sink_daemon {
	struct client *client; /* borrows */
	char lease[24];        /* number; "": none yet */
	bool committed;
};

/* Both are borrowed by the sink. */
struct import_sink sink_daemon(struct sink_daemon *daemon,
			       struct client *client);
/* Close the lease, whatever became of the import. */
void sink_daemon_end(struct sink_daemon *daemon);

#endif

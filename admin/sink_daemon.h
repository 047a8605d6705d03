/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_daemon: an import goes to the daemon.
 */
#ifndef ADMIN_SINK_DAEMON_H
#define ADMIN_SINK_DAEMON_H

#include "admin/client.h"
#include "admin/import.h"

/* Borrows client. */
struct import_sink sink_daemon(struct client *client);

#endif

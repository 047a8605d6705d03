/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: what this host has of its depot, for other hosts: a depot at rest over
 * plain HTTP that is put together on request (depot/shelf.h).  GET only, read
 * only, no private packages; off unless [peer] listen is set.
 *
 * There is no TLS and no password: who reads proves every byte by its digest,
 * and whoever may reach the port may read what is not private.  Listen where
 * hosts are among themselves.
 *
 * Bounded: PEER_CONNECTIONS_MAX connections, a quarter of them from one
 * address; PEER_THREADS threads, which the NFS service does not share; a range
 * of at most SHELF_RANGE_MAX; `rate` bytes a second over all, beyond which
 * requests get 503 and Retry-After.
 */
#ifndef NFSD_PEER_H
#define NFSD_PEER_H

#include "depot/base.h"

enum {
	PEER_CONNECTIONS_MAX = 64,
	PEER_THREADS = 2,
	PEER_IDLE_SEC = 60,
	PEER_LISTEN_TEXT_MAX = 128,
};

struct depot;
struct peer;

/* listen: "ADDR:PORT"; rate: bytes a second, 0 for no limit.  depot is
 * borrowed.  -EINVAL: no such address; -EADDRINUSE and such: logged. */
MUST_CHECK int peer_start(const char *listen, uint64_t rate,
			  struct depot *depot, struct peer **peer);
void peer_stop(struct peer *peer); /* takes; NULL allowed */
/* "127.0.0.1:2050", with the port that was chosen for 0. */
const char *peer_listen_text(const struct peer *peer);

/* "bytes=FROM-TO", nothing else; false: another form, or too long a range. */
bool peer_range_parse(const char *text, uint64_t *off, size_t *len);

#endif

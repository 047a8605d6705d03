/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: which views a client may use.
 *
 * The right of a connection to an export is decided once, from where it came in
 * and from the client's address, and remembered; every handle's export is then
 * checked against it.  What decides a mount besides is the path: a guest with a
 * secret path is mounted by that and not by its name.  Its handle, which nobody
 * can make, is what it shows from then on, also on another connection, which is
 * what the Linux client makes.
 * A handle that is malformed, forged, of an unknown export or of one that the
 * client has no right to is answered with the same -EBADF after the same work.
 */
#ifndef NFSD_EXPORT_H
#define NFSD_EXPORT_H

#include <sys/socket.h>

#include "depot/base.h"
#include "overlay/site.h"
#include "overlay/view.h"

enum {
	EXPORT_CLIENT_MAX = 4, /* exports remembered per connection */
	EXPORT_SECRET_PATH_LEN = 3 + 2 * SITE_SECRET_LEN, /* "/s/" and hex */
};

struct export_view {
	struct view *view; /* borrowed from the site, which outlives us */
	const struct view_info *info;
	bool allowed;
};

/* Of one connection: who is at its other end, and what was decided. */
struct export_client {
	uint8_t addr[16]; /* IPv6, or IPv4 mapped into it */
	/* The export id of the guest whose own listening address it came in
	 * by, 0: it is nobody's own.  The server's to set. */
	uint32_t listener;
	unsigned int count, next;
	struct export_view seen[EXPORT_CLIENT_MAX];
};

void export_client_init(struct export_client *client,
			const struct sockaddr *addr);

/* Has this connection lately used an export? */
bool export_client_has(const struct export_client *client, uint32_t export_id);

/* Is this "" or the client's address? */
bool export_addr_matches(const struct export_client *client, const char *addr);

/* The export and the object that a handle names.  -EBADF, see above. */
MUST_CHECK int export_of_handle(struct export_client *client, struct site *site,
				const uint8_t *fh, size_t fh_len,
				struct export_view *export,
				struct view_object *obj);

/* What this client may use, mount by name even, if `by_name`. */
bool export_allows(const struct export_client *client,
		   const struct site_access *access, bool by_name);

/* By "/tenant/guest".  -EACCES: not for this client, or there is none; which of
 * them is nobody's business. */
MUST_CHECK int export_of_path(struct export_client *client, struct site *site,
			      const char *path, struct export_view *export);
/* "/s/" and 32 hex digits, as secret paths are written. */
void export_secret_path(const struct site_secret *secret,
			char path[EXPORT_SECRET_PATH_LEN + 1]);
bool export_secret_parse(const char *path, struct site_secret *secret);
/* By its secret.  -EACCES. */
MUST_CHECK int export_of_secret(struct export_client *client, struct site *site,
				const struct site_secret *secret,
				struct export_view *export);

#endif

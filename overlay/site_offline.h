/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_offline: guests whose packages cannot be loaded at a start.
 *
 * A tree that is damaged or gone, here and at every upstream, is no reason not
 * to serve everybody else.  A tenant whose selection, or a guest whose own
 * list, cannot be loaded when the site is opened is offline: its calls are not
 * answered, as a paused guest's (its clients wait, and lose nothing), and what
 * an operator asks of it is refused with the reason.  Its records are in the
 * tables all the same, so that its addresses, layers and names stay taken.
 * A thread looks for the trees every OFFLINE_RETRY_MS, at upstreams too, and so
 * does each command that names it; then it is served, as if it had just been
 * opened.  Inside this floor only.
 */
#ifndef OVERLAY_SITE_OFFLINE_H
#define OVERLAY_SITE_OFFLINE_H

#include "overlay/site_impl.h"

enum { OFFLINE_RETRY_MS = 10000 };

/* Is a failure to load one no reason to open no site?  What a newer vdrive has
 * written is: this one must not work beside it. */
bool offline_may_be(const struct site *site, int rc);

/* An image that stands for one that cannot be loaded.  -ENOMEM. */
MUST_CHECK int offline_image(const struct tenant *tenant, struct image **image);

/*
 * Load again what is offline; 0 also for what is not.  verbs is held.  Of a
 * tenant what its guests share: those are loaded by the thread then, which is
 * woken, or by load_guests, the first that cannot be being the error.
 * -EHOSTDOWN, logged with the reason: still not; -ENOMEM.
 */
MUST_CHECK int offline_load_tenant(struct site *site, struct tenant *tenant);
MUST_CHECK int offline_load_guests(struct site *site, struct tenant *tenant);
MUST_CHECK int offline_load_guest(struct site *site, struct site_view *sv);

/* Begin to look for what is missing, when something is; *offline is NULL
 * otherwise.  The site is open. */
struct offline;
MUST_CHECK int offline_new(struct site *site, struct offline **offline);
void offline_free(struct offline *offline); /* stops; NULL allowed */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_site: link-time stand-in for overlay/site.h: a table of fake views.  Of
 * deltas it has what nfsd must cope with: a verify that takes as long as a test
 * likes, and streams that are larger than any other body.  The rest of them is
 * -EOPNOTSUPP.
 */
#ifndef TESTS_FAKE_FAKE_SITE_H
#define TESTS_FAKE_FAKE_SITE_H

#include "overlay/site.h"

enum {
	FAKE_STREAM_LEN = 100 << 20, /* of what is exported: beyond bodies */
	FAKE_SECRET = 0x5e,          /* each byte of a guest's secret */
};

/* While true, site_delta_verify() does not return, but after
 * depot_hurry().  Any thread. */
void fake_site_hold(struct site *site, bool hold);
/* It has been entered so often. */
unsigned int fake_site_held(struct site *site);
/* The bytes that the last import read; UINT64_MAX: other than were exported. */
uint64_t fake_site_imported(struct site *site);

/* The view stays the caller's. */
void fake_site_add(struct site *site, struct view *view);

#endif

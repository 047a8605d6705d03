/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_site: link-time stand-in for overlay/site.h: a table of fake views.
 */
#ifndef TESTS_FAKE_FAKE_SITE_H
#define TESTS_FAKE_FAKE_SITE_H

#include "overlay/site.h"

/* The view stays the caller's. */
void fake_site_add(struct site *site, struct view *view);

#endif

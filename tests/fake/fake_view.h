/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_view: link-time stand-in for overlay/view.h: one small tree in memory.
 *
 * It does what a view promises as far as nfsd can tell, and what a test asks
 * of it: hold reads until they are woken, keep changes unsettled, fail.
 * Data of files is borrowed or copied; nothing is stored anywhere but the
 * reply records, which live as long as the view, so that a new drc over the
 * same view is a restart.
 */
#ifndef TESTS_FAKE_FAKE_VIEW_H
#define TESTS_FAKE_FAKE_VIEW_H

#include "overlay/site.h"
#include "overlay/view.h"

struct view *fake_view_new(uint32_t export_id, const char *path,
			   const char *addr);
void fake_view_free(struct view *view);              /* takes */
struct view_info *fake_view_info(struct view *view); /* to change it */
struct site_access *fake_view_access(struct view *view); /* likewise */

/* A regular file whose data is borrowed until it is written to; its fileid. */
uint64_t fake_view_add_file(struct view *view, uint64_t dir, const char *name,
			    const void *data, size_t len);
uint64_t fake_view_add_dir(struct view *view, uint64_t dir, const char *name);
struct view_attr *fake_view_attr(struct view *view, uint64_t fileid);

/* The next `count` reads, writes, creates and setattrs lack bytes. */
void fake_view_hold(struct view *view, unsigned int count);
/* true: reads find what has just been fetched ahead of them. */
void fake_view_fetched(struct view *view, bool fetched);
/* Wake what is held; returns how many. */
unsigned int fake_view_wake(struct view *view);
/* true: waits can no longer be cancelled (their wake is on its way). */
void fake_view_late_wake(struct view *view, bool late);

void fake_view_pause(struct view *view, bool pause);

/* Changes stay unsettled until fake_view_settle(). */
void fake_view_pend(struct view *view, bool pend);
unsigned int fake_view_settle(struct view *view, int rc);

/* The next operation fails so (0: none). */
void fake_view_fail(struct view *view, int rc);

/* Changes done; pins held; waits under way. */
unsigned int fake_view_changes(const struct view *view);
unsigned int fake_view_pins(const struct view *view);
unsigned int fake_view_waits(const struct view *view);

/* Change a stored reply record. */
void fake_view_set_reply(struct view *view, uint32_t slot, const void *record,
			 size_t len);
size_t fake_view_get_reply(struct view *view, uint32_t slot,
			   const uint8_t **record);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lives: which earlier lives of the daemon (boot numbers) did not end in an
 * orderly stop.
 *
 * A file written to without a sync has shown ctimes that no record holds.  Its
 * record says how late they can have been (ctime_bound, kept 1 s ahead); after
 * a life that was cut off the file starts there, so that its ctime never goes
 * back (rule N-13).
 *
 * A life that begins on a full disk cannot take a number that no other will
 * have.  It has a random one from LIVES_NAMELESS on, and counts as cut off.
 */
#ifndef OVERLAY_LIVES_H
#define OVERLAY_LIVES_H

#include "depot/kv.h"

enum { LIVES_MAX = 64 };
#define LIVES_NAMELESS (UINT32_C(1) << 31)

struct lives {
	uint32_t now;            /* this life */
	uint32_t oldest;         /* what came before counts as cut off */
	uint32_t cut[LIVES_MAX]; /* rising */
	unsigned int cut_count;
};

/* Begin life `now` (the boot counter); durable with the next sync of the log.
 * recorded: the counter is in the database; false on a full disk. */
MUST_CHECK int lives_begin(struct kv *kv, uint32_t now, bool recorded,
			   struct lives *lives);
/* An orderly stop: everything written is in its records. */
MUST_CHECK int lives_end(struct kv *kv, const struct lives *lives);
/* Was this earlier life cut off?  false for the present one. */
bool lives_was_cut(const struct lives *lives, uint32_t life);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: group commit of the state database (design 8).
 *
 * Whoever has written a batch (unsynced) submits an entry; one thread repeats
 * {take all entries; sync the log once; run them}.  So calls that wait together
 * share one sync, and nobody holds a lock over it.
 */
#ifndef OVERLAY_JOURNAL_H
#define OVERLAY_JOURNAL_H

#include "depot/base.h"

struct kv;
struct journal;

/*
 * run() is called once, on the journal's thread, when every batch written
 * before journal_submit() is on stable media.  When the log cannot be synced
 * the outcome of what was written is unknown: the process ends at once, having
 * acknowledged nothing of it.  The entry is the submitter's again as soon as
 * run() has been entered.
 */
struct journal_entry {
	void (*run)(struct journal_entry *entry);
	struct journal_entry *next; /* the journal's own */
};

MUST_CHECK int journal_new(struct kv *kv, struct journal **journal);
void journal_submit(struct journal *journal, struct journal_entry *entry);
/* Return when everything submitted before has run. */
void journal_drain(struct journal *journal);
void journal_free(struct journal *journal); /* drains; takes; NULL allowed */

struct journal_stats {
	uint64_t syncs, entries;
};
void journal_get_stats(struct journal *journal, struct journal_stats *stats);

#endif

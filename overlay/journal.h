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
 * before journal_submit() is on stable media.  The entry is the submitter's
 * again as soon as run() has been entered.
 *
 * The journal also looks after the database: as soon as it has failed for want
 * of room, by a sync or anybody's write, it is opened again (kv_recover), on
 * the reserve's bytes if need be.  Entries wait meanwhile: guests see a pause.
 * When all that was written is there, it is stable, and they run as usual.
 * While there is no room for that at all they go on waiting, JOURNAL_RETRY_MS
 * between two tries; journal_drain() waits with them JOURNAL_DRAIN_S at most.
 *
 * When the outcome of what was written stays unknown (any other error, or a
 * batch that is gone), the process ends at once, having acknowledged nothing of
 * it.
 */
enum { JOURNAL_RETRY_MS = 300, JOURNAL_DRAIN_S = 10 };
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
	uint64_t recoveries;
};
void journal_get_stats(struct journal *journal, struct journal_stats *stats);

#endif

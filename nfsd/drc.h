/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drc: duplicate request cache, for the calls that must not run twice
 * (PROCEDURE_ONCE in program.h).
 *
 * Per guest (export): xid, procedure, hash of the credential, checksum of the
 * whole arguments -> reply.  Not the address: a reconnect has another port.
 *
 * 1. drc_begin() registers a call as in progress, or finds that it is a
 *    retransmission: of one in progress (the newest retransmission gets the
 *    answer, all others none) or of a finished one (the reply is replayed).
 *    One over an older connection is none, though it be read later: whoever
 *    has connected again reads the new one (rule N-07).
 * 2. drc_store() makes the record of a success; it rides in the batch of the
 *    effect, so it is there after a restart exactly when the effect is.
 *    Failures stay in memory.
 * 3. drc_finish() ends the call with its reply, drc_lose() without one.
 *
 * At a guest's first call after a start its records are read back.  At most
 * DRC_ENTRIES_MAX finished entries a guest, oldest out first; one guest cannot
 * push out another's.
 *
 * Thread-safe; one mutex per guest, which may be taken under the view's lock
 * and under which nothing of the view is called.
 */
#ifndef NFSD_DRC_H
#define NFSD_DRC_H

#include "depot/base.h"
#include "overlay/view.h"

enum {
	DRC_ENTRIES_MAX = VIEW_REPLY_SLOTS,
	DRC_RECORD_HEADER = 40,
	DRC_BODY_MAX = VIEW_REPLY_MAX - DRC_RECORD_HEADER,
	DRC_RECORD_FORMAT = 1,
};

struct drc;
struct drc_entry;
struct drc_guest;

struct drc_key {
	uint32_t xid;
	uint32_t proc;
	uint64_t cred_hash;
	uint64_t args_sum;
};

enum drc_verdict {
	DRC_NEW,    /* run it; *entry is its own */
	DRC_BUSY,   /* the waiter will be told */
	DRC_OLD,    /* a call over a newer connection gets the answer */
	DRC_REPLAY, /* waiter->body holds the reply */
	DRC_LOST,   /* it ran, but its log failed: answer nobody */
};

/* A retransmission that waits; embedded in its call. */
struct drc_waiter {
	/* Once, on any thread, unless drc_cancel() came first. */
	void (*told)(struct drc_waiter *waiter);
	uint64_t order; /* of its connection: the greater, the newer */
	enum drc_verdict verdict; /* REPLAY, LOST, or BUSY: a newer one waits */
	size_t body_len;
	uint8_t body[DRC_BODY_MAX];
	/* the drc's own */
	struct drc_guest *guest;
	struct drc_entry *entry; /* guest's lock; NULL: waits no more */
};

MUST_CHECK int drc_new(struct drc **drc);
void drc_free(struct drc *drc); /* takes; no call is under way; NULL allowed */

/* An enum drc_verdict; -ENOMEM; -EIO: the stored records cannot be read. */
MUST_CHECK int drc_begin(struct drc *drc, struct view *view,
			 const struct drc_key *key, struct drc_waiter *waiter,
			 struct drc_entry **entry);

/* The record of a success, at most VIEW_REPLY_MAX bytes, and its slot.
 * 0: the body is too long for one, so it will live in memory only. */
size_t drc_store(struct drc_entry *entry, const uint8_t *body, size_t body_len,
		 uint8_t *record, uint32_t *slot);

/* takes entry.  true: a retransmission waited and has been given the reply;
 * do not send it on the first connection. */
bool drc_finish(struct drc_entry *entry, const uint8_t *body, size_t body_len);
void drc_lose(struct drc_entry *entry); /* takes entry */

/* The connection of a waiter (DRC_BUSY) has gone.  true: it will not be
 * told. */
bool drc_cancel(struct drc_waiter *waiter);

/* Finished entries of a guest; for tests. */
unsigned int drc_count(struct drc *drc, struct view *view);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox: how other threads hand something to a worker: a list that any
 * thread pushes to without a lock, and an eventfd that is written only when
 * the worker sleeps.
 *
 * The worker: mailbox_take() while awake; before sleeping mailbox_sleep(),
 * and only when that is true a blocking wait that includes mailbox->fd; after
 * it mailbox_awake(), and mailbox_clear() whenever mailbox->fd was readable.
 */
#ifndef NFSD_MAILBOX_H
#define NFSD_MAILBOX_H

#include "depot/base.h"

/* Embedded in what is posted; in one mailbox at a time. */
struct mail {
	struct mail *next;
	void (*deliver)(struct mail *mail); /* on the worker */
};

struct mailbox {
	struct mail *head; /* atomic; newest first */
	int sleeping;      /* atomic */
	int fd;            /* owns; eventfd */
};

MUST_CHECK int mailbox_init(struct mailbox *box);
void mailbox_fini(struct mailbox *box); /* what is in it is dropped */

/* Any thread.  mail is the worker's from here on. */
void mailbox_post(struct mailbox *box, struct mail *mail);
/* Any thread: end the worker's sleep without posting. */
void mailbox_kick(struct mailbox *box);

/* Everything posted so far, oldest first; NULL: nothing. */
struct mail *mailbox_take(struct mailbox *box);
bool mailbox_sleep(struct mailbox *box);
void mailbox_awake(struct mailbox *box);
void mailbox_clear(struct mailbox *box);

#endif

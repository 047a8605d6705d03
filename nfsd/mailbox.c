/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox: see the header.  "sleeping" and "head" are a store-load pair on
 * both sides, hence sequentially consistent: either the worker sees the mail
 * before it sleeps, or the poster sees the worker asleep.
 */
#include "nfsd/mailbox.h"

#include <sys/eventfd.h>

int mailbox_init(struct mailbox *box)
{
	*box = (struct mailbox){.fd = -1};
	box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return box->fd < 0 ? -errno : 0;
}

void mailbox_fini(struct mailbox *box)
{
	if (box->fd >= 0)
		close(box->fd);
	box->fd = -1;
}

void mailbox_kick(struct mailbox *box)
{
	uint64_t one = 1;
	ssize_t n UNUSED;

	if (__atomic_exchange_n(&box->sleeping, 0, __ATOMIC_SEQ_CST))
		n = write(box->fd, &one, sizeof(one));
}

void mailbox_post(struct mailbox *box, struct mail *mail)
{
	struct mail *head = __atomic_load_n(&box->head, __ATOMIC_RELAXED);

	ASSERT(mail->deliver);

	do {
		mail->next = head;
	} while (!__atomic_compare_exchange_n(
	    &box->head, &head, mail, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	mailbox_kick(box);
}

struct mail *mailbox_take(struct mailbox *box)
{
	struct mail *newest, *list = NULL;

	if (!__atomic_load_n(&box->head, __ATOMIC_RELAXED))
		return NULL;
	newest = __atomic_exchange_n(&box->head, NULL, __ATOMIC_ACQUIRE);
	while (newest) {
		struct mail *next = newest->next;

		newest->next = list;
		list = newest;
		newest = next;
	}
	return list;
}

bool mailbox_sleep(struct mailbox *box)
{
	__atomic_store_n(&box->sleeping, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&box->head, __ATOMIC_SEQ_CST))
		return true;
	mailbox_awake(box);
	return false;
}

void mailbox_awake(struct mailbox *box)
{
	__atomic_store_n(&box->sleeping, 0, __ATOMIC_SEQ_CST);
}

void mailbox_clear(struct mailbox *box)
{
	uint64_t count;
	ssize_t n UNUSED;

	n = read(box->fd, &count, sizeof(count));
}

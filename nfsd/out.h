/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out: replies, from their encoding to the socket.
 *
 * struct out gathers the replies of one turn of one connection in a buffer of
 * the worker: each reply is one record of one fragment; data of READ is not
 * copied but referred to, and held until it is sent.  out_flush() sends them
 * all with one system call.  What the socket does not take moves to the
 * connection's struct out_queue: only then is memory allocated.
 *
 *	body = out_begin(out)            where the body is to be encoded
 *	out_end(out, xid, end, ...)      it is complete
 *	out_flush(out, queue, fd)        end of the turn
 */
#ifndef NFSD_OUT_H
#define NFSD_OUT_H

#include <sys/uio.h>

#include "depot/base.h"

enum {
	OUT_REPLY_MAX = 68 << 10, /* bytes of one reply but READ's data */
	OUT_BUF_LEN = 512 << 10,
	OUT_IOV_MAX = 1024,
	OUT_PAYLOAD_IOV_MAX = 80,
	OUT_UNSENT_MAX = 4 << 20, /* above it nothing is read from a client */
	OUT_HEADER_LEN = 28,      /* record mark and accepted reply header */
};

/* Something that must stay until the reply it is in has been sent. */
struct out_hold {
	struct out_hold *next;
	void (*release)(struct out_hold *hold);
};

struct out {
	uint8_t *buf; /* owns; OUT_BUF_LEN bytes */
	size_t len;
	size_t bytes; /* to send, data included */
	unsigned int reply_count;
	unsigned int iov_count;
	struct out_hold *held; /* released when everything is sent */
	struct iovec iov[OUT_IOV_MAX];
};

struct out_block;

/* Of one connection; all zero: empty. */
struct out_queue {
	struct out_block *first, *last; /* owns */
	size_t unsent;                  /* bytes */
	size_t held; /* bytes that stay until the last of them is sent */
};

MUST_CHECK int out_init(struct out *out); /* -ENOMEM */
void out_fini(struct out *out);

/* No room for another reply: flush first. */
bool out_is_full(const struct out *out);

/* Where the next reply's body goes; OUT_REPLY_MAX bytes are there. */
uint8_t *out_begin(struct out *out);
/*
 * Complete an accepted, successful reply whose body ends at `end`.  Payload
 * (iov_count may be 0) follows it and is padded; `hold` (may be NULL) is
 * released when all is sent.
 */
void out_end(struct out *out, uint32_t xid, uint8_t *end,
	     const struct iovec *iov, unsigned int iov_count,
	     struct out_hold *hold);
/* A reply that is no accepted success: `words` follow the xid. */
void out_words(struct out *out, uint32_t xid, const uint32_t *words,
	       unsigned int word_count);

/*
 * Send the turn's replies behind what waits in the queue.  0: `out` is empty
 * again; what could not be sent is in the queue.  -EPIPE and the like: the
 * connection is lost (`out` is empty too).
 */
MUST_CHECK int out_flush(struct out *out, struct out_queue *queue, int fd);
/* Send from the queue; 0: as much as the socket took. */
MUST_CHECK int out_queue_send(struct out_queue *queue, int fd);
void out_queue_drop(struct out_queue *queue);
/* Forget the turn's replies. */
void out_drop(struct out *out);

#endif

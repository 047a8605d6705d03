/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out: gathering, sending, and what was left over.
 */
#include "nfsd/out.h"

#include <sys/socket.h>

#include "nfsd/wirebytes.h"

enum {
	OUT_RPC_REPLY = 1,
};
#define OUT_RECORD_LAST 0x80000000u

/* Replies that a socket did not take. */
struct out_block {
	struct out_block *next;
	struct out_hold *held;
	size_t held_len; /* bytes, sent ones too */
	unsigned int iov_at, iov_count;
	struct iovec *iov; /* in this allocation, as the bytes behind them */
};

static const uint8_t out_zeros[4];

int out_init(struct out *out)
{
	out->buf = malloc(OUT_BUF_LEN);
	out->len = out->bytes = 0;
	out->iov_count = out->reply_count = 0;
	out->held = NULL;
	return out->buf ? 0 : -ENOMEM;
}

static void out_release(struct out_hold **list)
{
	while (*list) {
		struct out_hold *hold = *list;

		*list = hold->next;
		hold->release(hold);
	}
}

static void out_reset(struct out *out)
{
	out->len = out->bytes = 0;
	out->iov_count = out->reply_count = 0;
}

void out_drop(struct out *out)
{
	out_release(&out->held);
	out_reset(out);
}

void out_fini(struct out *out)
{
	out_drop(out);
	free(STEAL(out->buf));
}

bool out_is_full(const struct out *out)
{
	return out->len + OUT_HEADER_LEN + OUT_REPLY_MAX > OUT_BUF_LEN ||
	       out->iov_count + OUT_PAYLOAD_IOV_MAX + 2 > OUT_IOV_MAX;
}

uint8_t *out_begin(struct out *out)
{
	ASSERT(!out_is_full(out));

	return out->buf + out->len + OUT_HEADER_LEN;
}

/* Replies without payload lie behind one another and become one piece. */
static void out_add(struct out *out, const void *bytes, size_t len)
{
	struct iovec *last = out->iov + out->iov_count - 1;

	out->bytes += len;
	if (out->iov_count > 0 &&
	    (const uint8_t *)last->iov_base + last->iov_len == bytes) {
		last->iov_len += len;
		return;
	}
	ASSERT(out->iov_count < OUT_IOV_MAX);
	out->iov[out->iov_count++] = (struct iovec){
	    .iov_base = (void *)(uintptr_t)bytes,
	    .iov_len = len,
	};
}

void out_end(struct out *out, uint32_t xid, uint8_t *end,
	     const struct iovec *iov, unsigned int iov_count,
	     struct out_hold *hold)
{
	uint8_t *head = out->buf + out->len, *p = head + 4;
	size_t payload = 0, pad;

	ASSERT(end >= head + OUT_HEADER_LEN &&
	       end <= head + OUT_HEADER_LEN + OUT_REPLY_MAX);
	ASSERT(iov_count <= OUT_PAYLOAD_IOV_MAX);

	for (unsigned int i = 0; i < iov_count; i++)
		payload += iov[i].iov_len;
	pad = wire_padded(payload) - payload;
	be32_put(head, OUT_RECORD_LAST | (uint32_t)((size_t)(end - head) - 4 +
						    payload + pad));
	p = put_u32(p, xid);
	p = put_u32(p, OUT_RPC_REPLY);
	memset(p, 0, 16); /* accepted; no verifier; success */
	out->len += (size_t)(end - head);
	out->reply_count++;
	out_add(out, head, (size_t)(end - head));
	for (unsigned int i = 0; i < iov_count; i++)
		if (iov[i].iov_len > 0)
			out_add(out, iov[i].iov_base, iov[i].iov_len);
	if (pad > 0)
		out_add(out, out_zeros, pad);
	if (hold) {
		hold->next = out->held;
		out->held = hold;
	}
}

void out_words(struct out *out, uint32_t xid, const uint32_t *words,
	       unsigned int word_count)
{
	uint8_t *head = out->buf + out->len, *p = head + 4;

	ASSERT(!out_is_full(out));

	p = put_u32(p, xid);
	for (unsigned int i = 0; i < word_count; i++)
		p = put_u32(p, words[i]);
	be32_put(head, OUT_RECORD_LAST | (uint32_t)(p - head - 4));
	out->len += (size_t)(p - head);
	out->reply_count++;
	out_add(out, head, (size_t)(p - head));
}

/* Step over what was sent; returns the index of the first piece left. */
static unsigned int out_advance(struct iovec *iov, unsigned int at,
				unsigned int count, size_t sent)
{
	while (at < count && sent >= iov[at].iov_len)
		sent -= iov[at++].iov_len;
	if (at < count) {
		iov[at].iov_base = (uint8_t *)iov[at].iov_base + sent;
		iov[at].iov_len -= sent;
	}
	return at;
}

/* 0: sent nothing, for now. */
static ssize_t out_send(int fd, struct iovec *iov, unsigned int count)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t sent;

	do {
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
}

static bool out_owns(const struct out *out, const struct iovec *iov)
{
	const uint8_t *p = iov->iov_base;

	return p >= out->buf && p < out->buf + OUT_BUF_LEN;
}

/* Move what is left from piece `at` on to a block of the queue. */
static int out_keep(struct out *out, unsigned int at, struct out_queue *queue)
{
	unsigned int count = out->iov_count - at;
	struct out_block *block;
	size_t len = 0;
	uint8_t *p;

	for (unsigned int i = at; i < out->iov_count; i++)
		if (out_owns(out, &out->iov[i]))
			len += out->iov[i].iov_len;
	block = malloc(sizeof(*block) + count * sizeof(struct iovec) + len);
	if (!block)
		return -ENOMEM;
	block->next = NULL;
	block->held = STEAL(out->held);
	block->held_len = out->bytes;
	queue->held += out->bytes;
	block->iov_at = 0;
	block->iov_count = count;
	block->iov = (struct iovec *)(block + 1);
	p = (uint8_t *)(block->iov + count);
	for (unsigned int i = 0; i < count; i++) {
		block->iov[i] = out->iov[at + i];
		queue->unsent += block->iov[i].iov_len;
		if (!out_owns(out, &block->iov[i]))
			continue;
		memcpy(p, block->iov[i].iov_base, block->iov[i].iov_len);
		block->iov[i].iov_base = p;
		p += block->iov[i].iov_len;
	}
	if (queue->last)
		queue->last->next = block;
	else
		queue->first = block;
	queue->last = block;
	return 0;
}

int out_flush(struct out *out, struct out_queue *queue, int fd)
{
	unsigned int at = 0;
	ssize_t sent = 0;
	int rc = 0;

	if (out->iov_count == 0) {
		ASSERT(!out->held);
		return 0;
	}
	if (!queue->first)
		sent = out_send(fd, out->iov, out->iov_count);
	if (sent < 0) {
		out_drop(out);
		return (int)sent;
	}
	at = out_advance(out->iov, 0, out->iov_count, (size_t)sent);
	if (at < out->iov_count)
		rc = out_keep(out, at, queue);
	out_drop(out);
	return rc;
}

static void out_block_free(struct out_block *block)
{
	out_release(&block->held);
	free(block);
}

int out_queue_send(struct out_queue *queue, int fd)
{
	while (queue->first) {
		struct out_block *block = queue->first;
		ssize_t sent = out_send(fd, block->iov + block->iov_at,
					block->iov_count - block->iov_at);

		if (sent <= 0)
			return (int)sent;
		ASSERT((size_t)sent <= queue->unsent);
		queue->unsent -= (size_t)sent;
		block->iov_at = out_advance(block->iov, block->iov_at,
					    block->iov_count, (size_t)sent);
		if (block->iov_at < block->iov_count)
			return 0;
		queue->first = block->next;
		if (!queue->first)
			queue->last = NULL;
		queue->held -= block->held_len;
		out_block_free(block);
	}
	return 0;
}

void out_queue_drop(struct out_queue *queue)
{
	while (queue->first) {
		struct out_block *block = queue->first;

		queue->first = block->next;
		out_block_free(block);
	}
	*queue = (struct out_queue){.first = NULL};
}

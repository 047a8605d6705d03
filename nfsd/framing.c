/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing: one state machine: mark, fragment, mark, fragment, ... last.
 */
#include "nfsd/framing.h"

enum { FRAMING_MARK_LEN = 4 };
#define FRAMING_LAST 0x80000000u

void framing_init(struct framing *framing)
{
	*framing = (struct framing){.buf = NULL};
}

bool framing_is_partial(const struct framing *framing)
{
	return framing->fragment_count > 0 || framing->mark_len > 0;
}

size_t framing_announced(const struct framing *framing)
{
	return framing->len + framing->fragment_left;
}

/* The mark is complete: is what it announces allowed? */
static int framing_open_fragment(struct framing *framing)
{
	uint32_t mark = be32_get(framing->mark);
	uint32_t len = mark & ~FRAMING_LAST;

	if (len > FRAMING_LEN_MAX - framing->len ||
	    framing->fragment_count >= FRAMING_FRAGMENTS_MAX)
		return -EMSGSIZE;
	framing->mark_len = 0;
	framing->fragment_count++;
	framing->fragment_left = len;
	framing->is_last = (mark & FRAMING_LAST) != 0;
	framing->in_fragment = true;
	return 0;
}

bool framing_complete(struct framing *framing, const uint8_t **body,
		      size_t *body_len)
{
	if (!framing->in_fragment || framing->fragment_left > 0)
		return false;
	framing->in_fragment = false;
	if (!framing->is_last)
		return false;
	*body = framing->buf;
	*body_len = framing->len;
	framing->len = 0;
	framing->fragment_count = 0;
	return true;
}

/* The common case: mark and all of a single fragment are here. */
static bool framing_in_place(const uint8_t **bytes, const uint8_t *end,
			     const uint8_t **body, size_t *body_len)
{
	size_t here = (size_t)(end - *bytes);
	uint32_t mark;

	if (here < FRAMING_MARK_LEN)
		return false;
	mark = be32_get(*bytes);
	if (!(mark & FRAMING_LAST) ||
	    (mark & ~FRAMING_LAST) > FRAMING_LEN_MAX ||
	    (mark & ~FRAMING_LAST) > here - FRAMING_MARK_LEN)
		return false;
	*body = *bytes + FRAMING_MARK_LEN;
	*body_len = mark & ~FRAMING_LAST;
	*bytes = *body + *body_len;
	return true;
}

/* Copy what there is of the current fragment; false: the buffer is full. */
static bool framing_gather(struct framing *framing, const uint8_t **bytes,
			   const uint8_t *end)
{
	size_t len = MIN((size_t)(end - *bytes), framing->fragment_left);
	size_t room = framing->cap - framing->len;

	if (len > room)
		return false;
	if (len > 0)
		memcpy(framing->buf + framing->len, *bytes, len);
	*bytes += len;
	framing->len += len;
	framing->fragment_left -= (uint32_t)len;
	return true;
}

int framing_next(struct framing *framing, const uint8_t **bytes,
		 const uint8_t *end, const uint8_t **body, size_t *body_len)
{
	int rc;

	ASSERT(*bytes <= end);

	if (!framing_is_partial(framing) &&
	    framing_in_place(bytes, end, body, body_len))
		return FRAMING_DONE;
	for (;;) {
		if (framing->in_fragment) {
			if (!framing_gather(framing, bytes, end))
				return FRAMING_ROOM;
			if (framing_complete(framing, body, body_len))
				return FRAMING_DONE;
			if (framing->in_fragment)
				return FRAMING_MORE;
		}
		while (framing->mark_len < FRAMING_MARK_LEN) {
			if (*bytes == end)
				return FRAMING_MORE;
			framing->mark[framing->mark_len++] = *(*bytes)++;
		}
		rc = framing_open_fragment(framing);
		if (rc < 0)
			return rc;
	}
}

uint8_t *framing_give(struct framing *framing, uint8_t *buf, size_t cap)
{
	uint8_t *old = framing->buf;

	ASSERT(buf && cap > framing->cap);

	if (framing->len > 0)
		memcpy(buf, old, framing->len);
	framing->buf = buf;
	framing->cap = cap;
	return old;
}

uint8_t *framing_take(struct framing *framing)
{
	ASSERT(framing->len == 0);

	framing->cap = 0;
	return STEAL(framing->buf);
}

size_t framing_rest(const struct framing *framing, uint8_t **room)
{
	*room = framing->buf + framing->len;
	if (!framing->in_fragment)
		return 0;
	return MIN(framing->fragment_left, framing->cap - framing->len);
}

void framing_received(struct framing *framing, size_t len)
{
	ASSERT(framing->in_fragment && len <= framing->fragment_left &&
	       len <= framing->cap - framing->len);

	framing->len += len;
	framing->fragment_left -= (uint32_t)len;
}

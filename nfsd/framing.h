/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing: record marking on a TCP stream (RFC 5531 section 11), incoming.
 *
 * A record is one or more fragments, each behind a mark of 4 bytes: top bit
 * set in the last one, the rest its length.  This module finds the records in
 * whatever pieces the stream arrives in.  It is pure: it owns no memory and
 * makes no system call.
 *
 * A record that lies whole in what came, in one fragment, is handed out in
 * place.  Any other is gathered in a buffer that the caller gives and takes
 * back: as large as what has arrived needs, never as large as what a mark
 * announces.
 *
 *	framing_next()    bytes -> a record, more bytes, more room, or an error
 *	framing_rest()    where to receive the rest of a fragment directly
 */
#ifndef NFSD_FRAMING_H
#define NFSD_FRAMING_H

#include "depot/base.h"

enum {
	FRAMING_LEN_MAX = (1 << 20) + 4096, /* of all fragments together */
	FRAMING_FRAGMENTS_MAX = 4096,       /* empty ones count */
};

struct framing {
	uint8_t *buf; /* borrows: the caller's, from framing_give() */
	size_t cap;
	size_t len;              /* bytes gathered */
	uint32_t fragment_left;  /* still to come of the current fragment */
	uint32_t fragment_count; /* marks seen of this record */
	uint8_t mark[4];
	uint8_t mark_len; /* bytes of the next mark that have come */
	bool is_last;     /* the current fragment is */
	bool in_fragment;
};

enum framing_state {
	FRAMING_DONE, /* *body is a record */
	FRAMING_MORE, /* everything is taken, the record goes on */
	FRAMING_ROOM, /* give a larger buffer, then call again */
};

void framing_init(struct framing *framing);

/*
 * Take bytes from *bytes up to `end`, and move *bytes behind what was taken.
 * FRAMING_DONE: the record is [*body, *body + *body_len), in place or in the
 * buffer; either way only until the next call.
 * -EMSGSIZE: too long or too many fragments; the stream is lost.
 */
MUST_CHECK int framing_next(struct framing *framing, const uint8_t **bytes,
			    const uint8_t *end, const uint8_t **body,
			    size_t *body_len);

/* A record has begun and is not complete. */
bool framing_is_partial(const struct framing *framing);

/* Bytes that the record has, with its current fragment to its end: what the
 * marks announce, not what has come. */
size_t framing_announced(const struct framing *framing);

/* A buffer of `cap` bytes, more than before; what was gathered is copied and
 * the old buffer, returned, is the caller's again (NULL: there was none). */
uint8_t *framing_give(struct framing *framing, uint8_t *buf, size_t cap);
/* Take the buffer back; only while no record is partial. */
uint8_t *framing_take(struct framing *framing);

/* The free room in the buffer that surely belongs to the current fragment;
 * framing_received() says how much of it has been filled. */
size_t framing_rest(const struct framing *framing, uint8_t **room);
void framing_received(struct framing *framing, size_t len);
/* After framing_received(): the record is complete. */
bool framing_complete(struct framing *framing, const uint8_t **body,
		      size_t *body_len);

#endif

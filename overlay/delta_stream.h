/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_stream: a delta, or a whole guest, as one stream of bytes.
 *
 * Items of type:1 length:4 payload, numbers little-endian:
 *   'H' magic:8 ("vdelta" 0 0) format:2 kind:1 (1 delta, 2 guest)
 *       tenant length:1 tenant  guest length:1 guest
 *       tenant key:16  first file number that is free:8
 *       generation:4 and the selection's value (selection.h)
 *   'O' value of its own packages (site_own.h), when there are any
 *   'W' value of whose its paths are (attribute.h), likewise
 *   'G' value of the guest (selection.h); its layer counts nothing here
 *   'Y' slot:4, reply record
 *   'L' layer:4 below:4 (0xffffffff: the packages); lower layers come first;
 *       what follows belongs to it
 *   'K' the key behind the layer's prefix (record.h) length:1 key, value
 *   'F' host file:8 offset:8 bytes; where no bytes come, there is a hole
 *   'P' layer:4, name of a snapshot, time:8+4  ('G' streams only)
 *   'T' layer:4: the one on top
 *   'E' SHA-256 of all before it
 * Format 2 has 'O' or 'W', 1 has neither.
 *
 * A newer format is refused (-EPROTONOSUPPORT).  Nothing of a stream is seen
 * before 'E' has proved it; nothing in it is a path.
 */
#ifndef OVERLAY_DELTA_STREAM_H
#define OVERLAY_DELTA_STREAM_H

#include "overlay/site_impl.h"

enum {
	STREAM_FORMAT = 2,
	STREAM_DELTA = 1,
	STREAM_GUEST = 2,
	STREAM_ITEM_MAX = 4 << 20,
	STREAM_LAYERS_MAX = 256, /* of a guest, snapshots' too */
	STREAM_NONE = -1,
};

/* --- writing ------------------------------------------------------------- */

struct stream_out {
	int fd;                    /* borrows */
	struct digest_ctx *digest; /* owns */
	int error;                 /* the first; nothing is written after it */
};
MUST_CHECK int stream_out_begin(struct stream_out *out, int fd);
/* One item, its payload in up to three parts; failures show at the end. */
void stream_out_item(struct stream_out *out, char type, const void *a,
		     size_t a_len, const void *b, size_t b_len, const void *c,
		     size_t c_len);
/* Writes 'E'.  0, or the first error. */
MUST_CHECK int stream_out_end(struct stream_out *out);

/* --- reading ------------------------------------------------------------- */

struct stream_in {
	int fd;                    /* borrows */
	struct digest_ctx *digest; /* owns */
	char type;
	uint8_t *item; /* owns; STREAM_ITEM_MAX */
	size_t len;
};
MUST_CHECK int stream_in_begin(struct stream_in *in, int fd);
/* The next item, type 'E' only when it proves what came.  -EBADMSG, -EIO. */
MUST_CHECK int stream_in_next(struct stream_in *in);
void stream_in_end(struct stream_in *in);

#endif

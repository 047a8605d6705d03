/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wirebytes: XDR (RFC 4506) by hand, for what runs in every call: the call and
 * reply headers, handles, attributes, directory entries.  The rest is rpcgen's.
 *
 * Writers take a pointer into a buffer that the caller knows to be large
 * enough and return the pointer behind what they wrote.  The reader never goes
 * past its end: there it gives zeros and sets `bad`, to be looked at once.
 */
#ifndef NFSD_WIREBYTES_H
#define NFSD_WIREBYTES_H

#include "depot/base.h"

static inline uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	be32_put(p, v);
	return p + 4;
}

static inline uint8_t *put_u64(uint8_t *p, uint64_t v)
{
	be64_put(p, v);
	return p + 8;
}

static inline size_t wire_padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

/* Variable-length opaque or string: length, bytes, zeros up to 4 bytes. */
static inline uint8_t *put_opaque(uint8_t *p, const void *bytes, size_t len)
{
	p = put_u32(p, (uint32_t)len);
	if (len & 3)
		memset(p + (len & ~(size_t)3), 0, 4);
	if (len > 0)
		memcpy(p, bytes, len);
	return p + wire_padded(len);
}

struct wire_reader {
	const uint8_t *p;   /* borrows */
	const uint8_t *end; /* borrows */
	bool bad;
};

static inline uint32_t get_u32(struct wire_reader *r)
{
	uint32_t v;

	if (r->end - r->p < 4) {
		r->bad = true;
		r->p = r->end;
		return 0;
	}
	v = be32_get(r->p);
	r->p += 4;
	return v;
}

/* Bytes of a variable-length opaque of at most len_max, or NULL and bad. */
static inline const uint8_t *get_opaque(struct wire_reader *r, size_t len_max,
					size_t *len)
{
	const uint8_t *bytes;

	*len = get_u32(r);
	if (*len > len_max || wire_padded(*len) > (size_t)(r->end - r->p)) {
		r->bad = true;
		r->p = r->end;
		*len = 0;
		return NULL;
	}
	bytes = r->p;
	r->p += wire_padded(*len);
	return bytes;
}

#endif

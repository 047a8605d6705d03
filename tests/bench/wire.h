/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: ONC RPC over TCP, MOUNT and NFS version 3 as bytes, for the bench.
 *
 * Written by hand and on purpose not shared with the server or with any
 * library: the load generator must not agree with the server by sharing its
 * mistakes.  Encoders take a pointer into a buffer that is known to be large
 * enough and return the pointer behind what they wrote.  Decoders work on a
 * struct wire_in and never fail loudly: past the end everything reads as zero
 * and `bad` is set, to be looked at once, after the last field.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* RFC 5531 */
enum {
	RPC_CALL = 0,
	RPC_REPLY = 1,
	RPC_VERSION = 2,
	RPC_ACCEPTED = 0,
	RPC_SUCCESS = 0,
	RPC_PROC_UNAVAIL = 3,
	RPC_AUTH_NONE = 0,
	RPC_AUTH_SYS = 1,
};
#define RPC_LAST_FRAGMENT 0x80000000u

/* RFC 1813 */
enum {
	MOUNT_PROGRAM = 100005,
	MOUNT_MNT = 1,
	NFS_PROGRAM = 100003,
	NFS_VERSION = 3,
	NFSPROC3_NULL = 0,
	NFSPROC3_GETATTR = 1,
	NFSPROC3_LOOKUP = 3,
	NFSPROC3_ACCESS = 4,
	NFSPROC3_READ = 6,
	NFSPROC3_WRITE = 7,
	NFSPROC3_CREATE = 8,
	NFSPROC3_MKDIR = 9,
	NFSPROC3_REMOVE = 12,
	NFSPROC3_RMDIR = 13,
	NFSPROC3_READDIRPLUS = 17,
	NFSPROC3_FSINFO = 19,
	NFSPROC3_COMMIT = 21,
	NFS3_UNSTABLE = 0,
	NFS3_FILE_SYNC = 2,
	NFS3_GUARDED = 1,
	NFS3_OK = 0,
	NFS3ERR_NOENT = 2,
	NFS3ERR_STALE = 70,
	NF3REG = 1,
	NF3DIR = 2,
	ACCESS3_READ = 0x01,
	ACCESS3_LOOKUP = 0x02,
	ACCESS3_EXECUTE = 0x20,
	NFS3_FHSIZE = 64,
	FATTR3_LEN = 84, /* bytes */
	WIRE_CALL_HEAD_LEN = 72,
};

struct wire_fh {
	uint32_t len;
	uint8_t bytes[NFS3_FHSIZE];
};

struct wire_in {
	const uint8_t *p;   /* borrows */
	const uint8_t *end; /* borrows */
	bool bad;
};

static inline size_t wire_padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

static inline uint8_t *wire_put32(uint8_t *p, uint32_t value)
{
	value = htobe32(value);
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

static inline uint8_t *wire_put64(uint8_t *p, uint64_t value)
{
	value = htobe64(value);
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

/* A variable-length opaque or string: its length, its bytes, its padding. */
static inline uint8_t *wire_put_opaque(uint8_t *p, const void *bytes,
				       size_t len)
{
	p = wire_put32(p, (uint32_t)len);
	memcpy(p, bytes, len);
	memset(p + len, 0, wire_padded(len) - len);
	return p + wire_padded(len);
}

static inline uint8_t *wire_put_fh(uint8_t *p, const struct wire_fh *fh)
{
	return wire_put_opaque(p, fh->bytes, fh->len);
}

/* sattr3 that sets the mode only. */
static inline uint8_t *wire_put_mode(uint8_t *p, uint32_t mode)
{
	p = wire_put32(p, 1);
	p = wire_put32(p, mode);
	p = wire_put64(p, 0);    /* uid, gid */
	p = wire_put32(p, 0);    /* size */
	return wire_put64(p, 0); /* atime, mtime */
}

/* WRITE's arguments but for the bytes, which are put behind them. */
static inline uint8_t *wire_put_write(uint8_t *p, const struct wire_fh *fh,
				      uint64_t off, uint32_t len,
				      uint32_t stable)
{
	p = wire_put_fh(p, fh);
	p = wire_put64(p, off);
	p = wire_put32(p, len);
	p = wire_put32(p, stable);
	return wire_put32(p, len);
}

/* `len` bytes in place, or NULL and `bad`. */
static inline const uint8_t *wire_take(struct wire_in *in, size_t len)
{
	const uint8_t *p = in->p;

	if ((size_t)(in->end - p) < len) {
		in->bad = true;
		in->p = in->end;
		return NULL;
	}
	in->p += len;
	return p;
}

static inline uint32_t wire_get32(struct wire_in *in)
{
	const uint8_t *p = wire_take(in, sizeof(uint32_t));
	uint32_t value = 0;

	if (p)
		memcpy(&value, p, sizeof(value));
	return be32toh(value);
}

static inline uint64_t wire_get64(struct wire_in *in)
{
	const uint8_t *p = wire_take(in, sizeof(uint64_t));
	uint64_t value = 0;

	if (p)
		memcpy(&value, p, sizeof(value));
	return be64toh(value);
}

/* The bytes of an opaque in place, or NULL and `bad`. */
static inline const uint8_t *wire_get_opaque(struct wire_in *in, size_t *len)
{
	*len = wire_get32(in);
	return wire_take(in, wire_padded(*len));
}

static inline void wire_get_fh(struct wire_in *in, struct wire_fh *fh)
{
	size_t len;
	const uint8_t *p = wire_get_opaque(in, &len);

	fh->len = 0;
	if (!p || len > NFS3_FHSIZE) {
		in->bad = true;
		return;
	}
	fh->len = (uint32_t)len;
	memcpy(fh->bytes, p, len);
}

/*
 * The first WIRE_CALL_HEAD_LEN bytes of a call by AUTH_SYS as root; record
 * mark and xid are left open, see wire_call_seal.  NFS_VERSION is that of
 * MOUNT as well.
 */
static inline uint8_t *wire_call_head(uint8_t *p, uint32_t prog, uint32_t proc)
{
	p = wire_put64(p, 0); /* mark, xid */
	p = wire_put32(p, RPC_CALL);
	p = wire_put32(p, RPC_VERSION);
	p = wire_put32(p, prog);
	p = wire_put32(p, NFS_VERSION);
	p = wire_put32(p, proc);
	p = wire_put32(p, RPC_AUTH_SYS);
	p = wire_put32(p, 28); /* bytes of the credential */
	p = wire_put32(p, 0);  /* stamp */
	p = wire_put_opaque(p, "nfsbench", 8);
	p = wire_put64(p, 0);    /* uid, gid */
	p = wire_put32(p, 0);    /* no more groups */
	return wire_put64(p, 0); /* no verifier */
}

/* Close the call that ends at `end`. */
static inline void wire_call_seal(uint8_t *call, const uint8_t *end,
				  uint32_t xid)
{
	wire_put32(call, RPC_LAST_FRAGMENT | (uint32_t)(end - call - 4));
	wire_put32(call + 4, xid);
}

static inline bool wire_same_fh(const struct wire_fh *a,
				const struct wire_fh *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

#endif

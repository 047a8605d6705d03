/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fh: file handles (RFC 1813 nfs_fh3), 32 bytes, little-endian:
 *
 *	0	version, 1
 *	1	flags, 0
 *	2	reserved, 0
 *	4	export id
 *	8	fileid
 *	16	generation
 *	20	MAC: the first 12 bytes of SipHash-2-4-128 of bytes 0..19, with
 *		the export's key
 *
 * All of it is stored state: a handle is valid as long as its object lives,
 * over restarts, upgrades and renames, and nobody without the key can make
 * one.  Pure.
 */
#ifndef NFSD_FH_H
#define NFSD_FH_H

#include "depot/base.h"
#include "overlay/view.h"

enum {
	FH_LEN = 32,
	FH_MAC_LEN = 12,
	FH_VERSION = 1,
};

struct fh {
	uint32_t export_id;
	struct view_object obj;
};

void fh_make(const struct view_info *info, struct view_object obj,
	     uint8_t bytes[FH_LEN]);

/* What a handle says, not yet proved.  -EBADF: not of this form. */
MUST_CHECK int fh_parse(const uint8_t *bytes, size_t len, struct fh *fh);
/* Was it made with this key?  In constant time. */
bool fh_proved(const uint8_t bytes[FH_LEN], const uint8_t key[SIPHASH_KEY_LEN]);

#endif

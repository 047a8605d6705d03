/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile_file: a profile as one file, to be carried to another site.  What is
 * in it is what depots have anyway:
 *
 *   magic:8 "vdprofil"  format:2
 *   length:4, the revision (canonical JSON, depot/document.h)
 *   length:4, its tree as a tree box (depot/format.h)
 *   shards:4, then each in the order of the tree's table, as a frame
 *   (nfsd/control.h): name:32 length:4 the shard as stored
 *   SHA-256 of all before it:32
 *
 * Nothing of a file is believed before the whole is proved by that last digest;
 * tree and shards are proved by their own names besides.  A reader takes what
 * is longer or shorter than it says for damaged.
 */
#ifndef ADMIN_PROFILE_FILE_H
#define ADMIN_PROFILE_FILE_H

#include <stdio.h>

#include "admin/output.h"
#include "depot/depot.h"
#include "depot/document.h"
#include "depot/shard.h"

enum {
	PROFILE_FILE_FORMAT = 1,
	PROFILE_FILE_HEAD = 10,
	PROFILE_BOX_MAX = 512 << 20, /* bytes of a tree box */
};
#define PROFILE_FILE_MAGIC "vdprofil"

struct profile_file {
	FILE *file;                /* borrows */
	const char *path;          /* borrows; for what is said */
	struct failure *failure;   /* borrows */
	struct digest_ctx *digest; /* owns; of what was written */
	char *revision_json;       /* owns */
	struct revision_doc doc;
	struct tree *tree; /* ref */
};

/* --- writing -------------------------------------------------------------- */

/*
 * `out` has file, path and failure and is empty else; it stays the caller's to
 * clear.  Then all shards in the order of the tree's table, each as its frame,
 * then the end, which flushes but does not sync.  Said: -EFBIG: the tree's box
 * is above PROFILE_BOX_MAX; -ENOSPC, -EIO ... of the file; -ENOMEM.
 */
MUST_CHECK int profile_file_begin(struct profile_file *out,
				  const char *revision_json,
				  const struct tree *tree);
MUST_CHECK int profile_file_put(struct profile_file *out, const void *bytes,
				size_t len);
MUST_CHECK int profile_file_end(struct profile_file *out);

/* --- reading -------------------------------------------------------------- */

/*
 * Prove the file, which can be rewound, and read it up to its shards.  Said:
 * -EBADMSG: damaged, cut short, or no such file; -EPROTONOSUPPORT: of a newer
 * format; -EIO ...; -ENOMEM.
 */
MUST_CHECK int profile_file_open(struct profile_file *in);
/* The frame of the next shard, number `shard` of the tree, into buf (which
 * holds PROFILE_FRAME_MAX bytes).  Said: -EBADMSG, -EIO. */
enum { PROFILE_FRAME_MAX = CONTROL_FRAME_HEADER + SHARD_MAX };
MUST_CHECK int profile_file_next(struct profile_file *in, uint32_t shard,
				 uint8_t *buf, size_t *len);
void profile_file_clear(struct profile_file *file);

#endif

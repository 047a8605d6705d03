/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: the keys and values of this floor in the state database, drawn once.
 *
 * Numbers in keys are big-endian (byte order = number order), in values
 * little-endian.  Every value begins with its format number; a newer one is
 * -EPROTONOSUPPORT, anything else that does not fit -EBADMSG.  A delta is a
 * stack of layers: what the top one has hides what lies below.
 *
 *   'A' tenant                             tenant: key of its inode numbers
 *   'S' tenant 0 generation:4              selection: revision digests
 *   'G' tenant '/' guest                   guest: export, layer, keys, options
 *   'O' tenant '/' guest                   a guest's own packages: a selection
 *   'W' tenant '/' guest                   whose paths are (attribute.h)
 *   'P' tenant '/' guest 0 name            snapshot: layer, time
 *   'V' tenant 0 tree:32                   files of it were taken away: when
 *   'M' tenant 0 dir:8                     when a package directory changed
 *   'L' layer:8                             layer: the one below; none: bottom
 *   'C' name                               counters ("boot", "export", "layer")
 *   'E' export:4                           next fileid of a guest, reserved
 *   'Y' export:4 slot:2                    reply record (opaque here)
 *   'D' layer:8 'i' fileid:8               inode record
 *   'D' layer:8 'd' dir:8 cookie:8         name: entry, whiteout or filler
 *   'D' layer:8 'x' fileid:8               inline data, or a link's target
 *   'D' layer:8 'p' fileid:8 piece:4       presence bits of 128 MiB
 *   'D' layer:8 'r' data:8                 host file to be reaped: layer whose
 *                                          directory has it (absent: this one)
 */
#ifndef OVERLAY_RECORD_H
#define OVERLAY_RECORD_H

#include <time.h>

#include "depot/base.h"
#include "depot/digest.h"
#include "overlay/view.h"

enum {
	RECORD_FORMAT = 1,       /* of all values but the inode record's: */
	RECORD_INODE_FORMAT = 3, /* 1 lacks layers and lives, 2 what is
				    superseded; both are read too */
	RECORD_KEY_MAX = 208,
	RECORD_INODE_LEN = 208,
	RECORD_NAME_HEAD = 16,
	RECORD_NAME_MAX = RECORD_NAME_HEAD + VIEW_NAME_MAX,
	RECORD_PAGE = 4096,                        /* unit of copy-up */
	RECORD_PIECE_PAGES = 8 * 4096,             /* bits of one 'p' value */
	RECORD_PIECE_LEN = RECORD_PIECE_PAGES / 8, /* bytes of one 'p' value */
	RECORD_INLINE_MAX = 16 << 10,
};
#define RECORD_NO_CUT UINT64_MAX
/* Objects born in a delta; package objects have this bit clear (design 6). */
#define RECORD_BORN (UINT64_C(1) << 63)

enum record_data {
	RECORD_DATA_NONE = 0,   /* what is below base_limit, zeros above */
	RECORD_DATA_INLINE = 1, /* 'x' value, zeros behind it */
	RECORD_DATA_HOST = 2,   /* host file where pages are present */
};

/* What says where the bytes of a file are; saved only after they are. */
struct record_data_state {
	uint64_t size;
	uint64_t base_limit; /* bytes of what is below that are still seen */
	uint64_t cut;        /* lowest size not surely applied; RECORD_NO_CUT */
	uint64_t data_id;    /* host file, 0 none */
	uint64_t layer;      /* whose directory has it; 0: that of the record */
	uint64_t used;       /* bytes in this layer */
	uint8_t kind;        /* enum record_data */
	bool lower;          /* below is the file as the layers below have it,
				not the package's */
};

struct record {
	uint32_t generation;
	uint32_t mode, uid, gid;
	int32_t nlink; /* package objects: difference to the image's count */
	uint32_t rdev_major, rdev_minor;
	struct timespec atime, mtime, ctime;
	struct timespec ctime_bound; /* no reply has shown a later ctime */
	uint32_t life;   /* boot number of the daemon that wrote it */
	uint64_t parent; /* directories: fileid of the parent */
	struct record_data_state data;
	bool has_base;
	uint32_t base_inode;
	struct digest base_tree;
	bool has_verifier;
	uint64_t verifier; /* of EXCLUSIVE create */
	bool gone;         /* package object that has no name any more */
	/*
	 * It has no name since a switch took it, but may have one again: when
	 * the switch is undone, or by hand.  Reads by handle go on.  When it is
	 * a change of the guest's that gave way to a package's, its name stands
	 * in the directory RECORD_PARKED at the cookie `fileid`, `parent` is
	 * the directory that the name was in, and `under` the package object
	 * that it stood in place of (0: none).
	 */
	bool superseded;
	uint64_t under;
};

/* No directory has this number; package objects' have the top bit clear, and
 * born ones count up from 1. */
#define RECORD_PARKED UINT64_MAX

/* The refusal of a value of a newer format: says so, with the number; `what` is
 * whose value it is.  -EPROTONOSUPPORT. */
int record_newer(const char *what, unsigned int format, unsigned int known);

void record_encode(const struct record *rec, uint8_t out[RECORD_INODE_LEN]);
MUST_CHECK int record_decode(const void *data, size_t len, struct record *rec);

enum record_name_kind {
	RECORD_NAME_ENTRY = 1,
	RECORD_NAME_WHITEOUT = 2,
	RECORD_NAME_FILLER = 3, /* removed, but a chain of ties runs over it */
};
struct record_name {
	uint8_t kind;
	uint32_t generation;
	uint64_t fileid;
	uint16_t name_len;
	char name[VIEW_NAME_MAX];
};
/* Returns the length, at most RECORD_NAME_MAX. */
size_t record_name_encode(const struct record_name *name, uint8_t *out);
MUST_CHECK int record_name_decode(const void *data, size_t len,
				  struct record_name *name);

/* Keys; each returns its length, at most RECORD_KEY_MAX. */
struct record_key {
	uint8_t bytes[RECORD_KEY_MAX];
	size_t len;
};
void record_key_inode(struct record_key *key, uint64_t layer, uint64_t fileid);
void record_key_name(struct record_key *key, uint64_t layer, uint64_t dir,
		     uint64_t cookie);
void record_key_data(struct record_key *key, uint64_t layer, uint64_t fileid);
void record_key_piece(struct record_key *key, uint64_t layer, uint64_t fileid,
		      uint32_t piece);
void record_key_reap(struct record_key *key, uint64_t layer, uint64_t data_id);
/* Prefix of all keys of one kind ('i', 'd', 'r') of a layer. */
void record_key_kind(struct record_key *key, uint64_t layer, char kind);
/* Prefix of all names of a directory. */
void record_key_dir(struct record_key *key, uint64_t layer, uint64_t dir);
void record_key_reply(struct record_key *key, uint32_t export_id,
		      uint32_t slot);
void record_key_replies(struct record_key *key, uint32_t export_id);
void record_key_fileids(struct record_key *key, uint32_t export_id);
void record_key_text(struct record_key *key, char prefix, const char *text);
/* A snapshot's; name NULL: prefix of all of the guest ("tenant/guest"). */
void record_key_snapshot(struct record_key *key, const char *guest,
			 const char *name);
void record_key_layer(struct record_key *key, uint64_t layer);

#endif

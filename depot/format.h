/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: every struct that lies on a disk or in a depot, drawn once.
 *
 * All numbers little-endian, no padding, sizes asserted.  Each object carries a
 * format number; a newer one is refused (-EPROTONOSUPPORT), never guessed.
 * Database keys are in overlay/record.h and depot/store.h.
 */
#ifndef DEPOT_FORMAT_H
#define DEPOT_FORMAT_H

#include "depot/base.h"

enum {
	FORMAT_TREE = 1,
	FORMAT_TREE_BOX = 1,
	FORMAT_PACK = 1,
	FORMAT_INDEX = 1,
	FORMAT_PLAN = 1,
	FORMAT_REVISION = 1, /* "format" in the JSON */
	FORMAT_TAG = 2,	     /* likewise; 1 is read, too */
	FORMAT_DEPOT = 2,    /* likewise, depot.json; 1 is read, too */
	FORMAT_UNUSED = 1,   /* likewise, unused.json */
	FORMAT_STORE = 1,    /* key "format" of both databases */
	FORMAT_USAGE = 1,
	FORMAT_TRACE = 1,
};

/*
 * Shard: header, then payload.
 *
 *   0      1      2          4               8
 *   +------+------+----------+---------------+---------
 *   |codec | flags| reserved | chunk length  | payload
 *   +------+------+----------+---------------+---------
 */
enum { SHARD_CODEC_RAW = 0, SHARD_CODEC_ZLIB = 1 /* 2: kept for zstd */ };

struct format_shard {
	uint8_t codec;
	uint8_t flags;	      /* 0 */
	uint8_t reserved[2];  /* 0 */
	uint32_t chunk_len_le;
};
_Static_assert(sizeof(struct format_shard) == 8, "shard header");

/*
 * Tree: one revision's names and inodes.  One file, mapped, used in place.
 *
 *   header | inodes | entries | chunks | shard names | text
 *
 * Sections follow one another in this order, each padded with zeros to 8
 * bytes; the file ends with the last.  Canonical: same content, same bytes.
 *
 * Inodes are numbered in the order of a depth-first walk that takes names in
 * byte order (a directory before its content); 0 is the root.  A hard-linked
 * inode is numbered at its first path.  A directory's entries are one run,
 * sorted by cookie.  Shards are numbered in the order of first use by inode
 * number.
 *
 * Entries, chunks and text follow the order of inodes without gap or overlap:
 * each directory's run of entries begins where the one before ended, so do the
 * files' runs of chunks, and text holds, inode by inode, a directory's names
 * in the order of its entries or a link's target, without NULs, and behind all
 * of these the extended attributes, inode by inode.  Every byte belongs to one
 * owner, so that a check is one pass.
 */
#define FORMAT_TREE_MAGIC "VDtree\r\n"

enum { TREE_FLAG_PRIVATE = 1 << 0 }; /* salt is set */

struct format_tree_header {
	char magic[8];
	uint32_t format_le;
	uint32_t flags_le;
	uint32_t inode_count_le;
	uint32_t entry_count_le;
	uint32_t chunk_count_le;
	uint32_t shard_count_le;
	uint64_t text_len_le;
	uint64_t file_len_le;	 /* of the whole tree file */
	uint64_t content_len_le; /* sum of the sizes of the regular files */
	uint32_t xattr_len_le;	 /* bytes at the end of text, see below */
	uint32_t reserved_le;	 /* 0 */
	uint8_t salt[32];
};
_Static_assert(sizeof(struct format_tree_header) == 96, "tree header");

/*
 * Inode.  What `first` and `count` mean depends on the type in mode:
 * directory: entries; regular file: chunks (an empty run says where it would
 * begin); symbolic link: offset and length in text; others: 0.  xattr: 1 +
 * offset in text of this inode's attributes ({u16 name length, u32 value
 * length, name, value} repeated, by strictly rising names, u16 0 at the end),
 * 0 when it has none.
 */
struct format_tree_inode {
	uint64_t id_le;	      /* content, attributes: tree_image.c */
	uint64_t size_le;     /* directories: 4096; links: target */
	int64_t mtime_sec_le;
	uint32_t mtime_nsec_le;
	uint32_t mode_le;     /* type and permissions, as st_mode */
	uint32_t uid_le;
	uint32_t gid_le;
	uint32_t nlink_le;
	uint32_t rdev_major_le;
	uint32_t rdev_minor_le;
	uint32_t parent_le;   /* directories: inode of the parent; else 0 */
	uint32_t first_le;
	uint32_t count_le;
	uint32_t xattr_le;
	uint32_t flags_le;    /* TREE_INODE_* */
};
_Static_assert(sizeof(struct format_tree_inode) == 72, "tree inode");

enum { TREE_INODE_OPAQUE = 1 << 0 }; /* directory hides what lies below it */

struct format_tree_entry {
	uint64_t cookie_le;
	uint32_t inode_le;    /* TREE_WHITEOUT: the name is deleted */
	uint32_t name_off_le; /* in text */
	uint16_t name_len_le; /* 1..255 */
	uint16_t reserved_le; /* 0 */
	uint32_t reserved2_le;
};
_Static_assert(sizeof(struct format_tree_entry) == 24, "tree entry");

#define TREE_WHITEOUT 0xffffffffu

struct format_tree_chunk {
	uint32_t end_lo_le; /* end of the chunk in its file, low 32 bits */
	uint16_t end_hi_le; /* high 16 bits: files of up to 256 TiB */
	uint16_t reserved_le;
	uint32_t shard_le; /* number in the shard table; TREE_HOLE: zeros */
};
_Static_assert(sizeof(struct format_tree_chunk) == 12, "tree chunk");

#define TREE_HOLE 0xffffffffu

/*
 * Tree box: a tree on its way between hosts, as shards.
 *
 *   header | boxed shards' table | shards in order
 */
#define FORMAT_TREE_BOX_MAGIC "VDtbox\r\n"

struct format_tree_box_header {
	char magic[8];
	uint32_t format_le;
	uint32_t shard_count_le;
	uint64_t tree_len_le;
};
_Static_assert(sizeof(struct format_tree_box_header) == 24, "tree box header");

struct format_tree_box_row {
	uint8_t name[32];
	uint32_t shard_len_le;
	uint32_t chunk_len_le;
};
_Static_assert(sizeof(struct format_tree_box_row) == 40, "tree box row");

/*
 * Pack: header, then shards one after another.  Its name is the SHA-256 of the
 * whole file.  Where a shard lies is said by an index.
 */
#define FORMAT_PACK_MAGIC "VDpack\r\n"

struct format_pack_header {
	char magic[8];
	uint32_t format_le;
	uint32_t shard_count_le;
};
_Static_assert(sizeof(struct format_pack_header) == 16, "pack header");

/*
 * Index of one tree: where each shard of the tree's own table lies.
 *
 *   header | shard_count rows | pack_count pack names
 */
#define FORMAT_INDEX_MAGIC "VDindx\r\n"

struct format_index_header {
	char magic[8];
	uint32_t format_le;
	uint32_t shard_count_le;
	uint32_t pack_count_le;
	uint32_t reserved_le;
	uint8_t tree[32]; /* digest */
};
_Static_assert(sizeof(struct format_index_header) == 56, "index header");

struct format_index_row {
	uint32_t pack_le; /* number in the list of pack names */
	uint32_t off_le;  /* in the pack */
	uint32_t len_le;  /* of the shard, header included */
};
_Static_assert(sizeof(struct format_index_row) == 12, "index row");

struct format_pack_name {
	uint8_t name[32];
};

/*
 * Usage: a host's counters, a hint (usage.h).
 *
 *   header | counters | owners | SHA-256 of all before
 *
 * 64 segments follow one another, each of as many counters as the next; the
 * owners likewise.  A shard's counter is in the segment given by the first byte
 * of its name, modulo 64, at bytes 2 to 5 (little-endian) modulo its length.
 */
#define FORMAT_USAGE_MAGIC "VDusage\n"

struct format_usage {
	char magic[8];
	uint32_t format_le;
	uint32_t rule_le;     /* 0: frequency; 1: time of last use */
	uint64_t counters_le; /* of all segments; a power of two */
	uint8_t clocks[64];   /* rule 1: each segment's time */
};
_Static_assert(sizeof(struct format_usage) == 88, "usage header");

/*
 * Plan of one tree: its shards in the order in which starts first touch them.
 *
 *   header | count shard numbers, u32 each, none twice
 *
 * A hint: it names shards of the tree by number and nothing else.  budget:
 * whoever follows it stops at so many bytes of shards as stored.  guests: how
 * many it was made from.
 */
#define FORMAT_PLAN_MAGIC "VDplan\r\n"

struct format_plan_header {
	char magic[8];
	uint32_t format_le;
	uint32_t count_le;
	uint32_t shard_count_le; /* of the tree */
	uint32_t guests_le;
	uint64_t budget_le;
	uint8_t tree[32]; /* digest */
};
_Static_assert(sizeof(struct format_plan_header) == 64, "plan header");

/*
 * Trace of accesses to chunks (trace.h): header, then records in the order of
 * their end.  Shards and tenants are hashed by a key that is thrown away.
 */
#define FORMAT_TRACE_MAGIC "VDtrace\n"

struct format_trace {
	char magic[8];
	uint32_t format_le;
	uint32_t reserved_le; /* 0 */
};
_Static_assert(sizeof(struct format_trace) == 16, "trace header");

struct format_trace_record {
	uint64_t time_us_le; /* since the start of the recording */
	uint64_t shard_le;
	uint32_t len_le; /* of the chunk, plain */
	uint32_t who_le; /* tenant; 0: nobody's */
};
_Static_assert(sizeof(struct format_trace_record) == 24, "trace record");

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: shards at rest on this host, over a KV_SHARDS database.  It also
 * writes down the keys of both of this floor's databases:
 *
 *   shards database
 *     digest (32)           shard (format.h)
 *     "format"              u32: FORMAT_STORE
 *     "figures"             u64 shards here, u64 their stored bytes
 *
 *   state database          (overlay/record.h has the other prefixes)
 *     'R' digest (32)       canonical JSON of a revision
 *     'N' name 0 tag        struct store_tag, then the upstream's name
 *     'U' upstream          struct store_upstream, then the URL; then for each
 *                           option NUL, its STORE_OPTION_* letter, its text
 *     'T' digest (32)       struct store_origin, then the upstream's name:
 *                           where a tree came from; of a private tree then a
 *                           NUL and the name of its package, below whose
 *                           directory it lies there (layout.h)
 *     'F' name              tenants that this host gives a package to
 *     'F' name 0 upstream   tenants that its publisher gives it to (entitle.h)
 *     'H' digest (32)       i64 seconds since 1970: this tree is pinned, since
 *     'B' tree (32)         struct store_plan, then a plan (format.h)
 *     'B' tree (32) tenant 0 guest
 *                           struct store_start, then its shard numbers, u32
 *                           each: the guest's last start of the tree
 *     'J' ...               of the collection: gc_row.h
 *     'K' upstream 0 key (32)  struct store_trusted: a key that may sign for
 *                           the upstream
 *     'Q' upstream 0 package   struct store_seen: the last document accepted
 *                           of it; the package "" is the root document
 *     'Q'                   struct store_clock: the highest time seen
 *     "format"              u32: FORMAT_STORE
 *
 * Names and texts at the end of a value have no NUL.  registry.h reads and
 * writes these rows.  No digest is so short: these keys hide none.
 *
 * A shard is proved before it is put.  Thread-safe.
 */
#ifndef DEPOT_STORE_H
#define DEPOT_STORE_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/kv.h"

enum {
	STATE_KEY_REVISION = 'R',
	STATE_KEY_TAG = 'N',
	STATE_KEY_UPSTREAM = 'U',
	STATE_KEY_ORIGIN = 'T',
	STATE_KEY_ENTITLED = 'F',
	STATE_KEY_PIN = 'H',
	STATE_KEY_PLAN = 'B',
	STATE_KEY_GC = 'J',
	STATE_KEY_TRUSTED = 'K',
	STATE_KEY_SEEN = 'Q',
};

struct store_tag {
	uint8_t revision[32];
	uint8_t tree[32];
	int64_t time_sec_le; /* when the tag was set on this host */
} __attribute__((packed));
_Static_assert(sizeof(struct store_tag) == 72, "tag row");

enum { STORE_UPSTREAM_UNSIGNED = 1 << 0 };

struct store_upstream {
	uint32_t flags_le; /* STORE_UPSTREAM_* */
};
_Static_assert(sizeof(struct store_upstream) == 4, "upstream row");

/* How to get to an upstream; letters that are not known are left alone. */
enum {
	STORE_OPTION_CREDENTIALS =
	    'c', /* path of the file, never what it holds */
	STORE_OPTION_ENDPOINT = 'e',
	STORE_OPTION_REGION = 'r',
	STORE_OPTION_CA_FILE = 'a',
	STORE_OPTION_PROXY = 'x',
	STORE_OPTION_PRIORITY = 'p', /* decimal */
};

struct store_origin {
	uint64_t sequence_le; /* of the tag document; highest seen */
};
_Static_assert(sizeof(struct store_origin) == 8, "origin row");

/* Where a plan came from. */
enum {
	STORE_PLAN_PUBLISHED = 1, /* merged here: a push takes it along */
	STORE_PLAN_RECORDED = 2,  /* of one guest: stays here */
	STORE_PLAN_TAKEN = 3,     /* of an upstream */
};

struct store_plan {
	uint32_t kind_le;   /* STORE_PLAN_* */
	uint32_t number_le; /* N of plans/TREE-N; 0: in no depot yet */
};
_Static_assert(sizeof(struct store_plan) == 8, "plan row");

struct store_start {
	uint32_t format_le; /* 1 */
	uint32_t count_le;
	uint32_t shard_count_le; /* of the tree */
	uint32_t duration_ms_le; /* from its first touch to its last */
	int64_t time_sec_le;     /* of its first touch */
};
_Static_assert(sizeof(struct store_start) == 24, "start row");

struct store_trusted {
	int64_t time_sec_le; /* since when, by this host's clock */
};
_Static_assert(sizeof(struct store_trusted) == 8, "trusted key row");

struct store_seen {
	uint64_t number_le;  /* sequence of a tag document; generation */
	uint8_t payload[32]; /* digest of what had that number */
	uint8_t depot[16];   /* whose it was */
};
_Static_assert(sizeof(struct store_seen) == 56, "seen row");

struct store_clock {
	int64_t sec_le; /* since 1970 */
};
_Static_assert(sizeof(struct store_clock) == 8, "clock row");

/*
 * Write the key "format" into a new database, or check it.  `what` names the
 * database in messages.  -EPROTONOSUPPORT: newer; -EBADMSG: not a number.  A
 * damaged one of a shards database is written anew; when damage keeps it from
 * being written, too, that is 0, and kv_error() says it.
 */
MUST_CHECK int store_check_format(struct kv *kv, enum kv_kind kind,
				  const char *what);

struct store;
struct space;

struct store_options {
	size_t memory_max;   /* bytes */
	uint64_t disk_max;   /* bytes its files may take; 0: any number */
	struct space *space; /* borrowed till store_close(); NULL allowed */
};

/*
 * `path` is the database's directory.  Errors of kv_open and
 * store_check_format.
 *
 * On a full disk (space: borrowed, NULL allowed) puts are refused with -ENOSPC
 * before RocksDB is asked; when it has met the wall all the same, it is opened
 * again as soon as there is room.  Shards put since the last flush may be lost
 * then: they are cold again.  Reads go on throughout.  The same, every few
 * seconds at most, when a merge has met a damaged block and RocksDB refuses all
 * changes for it.  (Without a space: not until the store is opened again.)
 */
MUST_CHECK int store_open_with(const char *path,
			       const struct store_options *options,
			       struct store **store);
MUST_CHECK int store_open(const char *path, size_t memory_max,
			  struct space *space, struct store **store);
void store_close(struct store *store); /* takes store; NULL allowed */

bool store_has(struct store *store, const struct digest *name);
/* As kv_get: pinned, kv_value_release() it.  Not proved. */
MUST_CHECK int store_get(struct store *store, const struct digest *name,
			 struct kv_value *value);
/*
 * Prove and keep a shard; -EBADMSG, -EPROTONOSUPPORT.  Durable after
 * store_flush().  *added (may be NULL): false when it was here already.  salt:
 * of the private tree that it is of, else NULL (shard.h).
 */
MUST_CHECK int store_put(struct store *store, const uint8_t *salt,
			 const struct digest *name, const void *shard,
			 size_t shard_len, bool *added);
/* The same for one that the caller has just opened with shard_open(). */
MUST_CHECK int store_put_proved(struct store *store, const struct digest *name,
				const void *shard, size_t shard_len);
/*
 * Who decides about room (evict.h); set before threads use the store, taken
 * away (NULL) after.  All three must be quick but make_room().
 */
struct store_gate {
	/* May a shard from upstream be kept? */
	bool (*admits)(void *ctx, const struct digest *name, size_t shard_len);
	/* A package is being made: 0, or -ENOSPC after a while, logged. */
	int (*make_room)(void *ctx, size_t shard_len);
	void (*was_put)(void *ctx, size_t shard_len);
};
void store_set_gate(struct store *store, const struct store_gate *gate,
		    void *ctx);
/* As store_put_proved(), of a shard from upstream.  -EDQUOT: the gate does not
 * let it in, which is no failure: it can be fetched again. */
MUST_CHECK int store_put_fetched(struct store *store, const struct digest *name,
				 const void *shard, size_t shard_len);
/*
 * Take a shard out that is not what its name says, if what was found bad is
 * still there, and not the right one, put meanwhile.  bad: the digest of those
 * bytes; NULL: the database could not read them.  Logged and counted.
 */
void store_quarantine(struct store *store, const struct digest *name,
		      const struct digest *bad, const char *why);
/*
 * Take shards out that nobody needs; those that are not here count for nothing.
 * One batch, so that all go or none; gone for good after store_flush().  Who
 * holds one pinned keeps it.  `removed` (may be NULL): bytes, as stored.
 */
enum { STORE_REMOVE_MAX = 4096 };
MUST_CHECK int store_remove_list(struct store *store,
				 const struct digest *names, size_t count,
				 uint64_t *removed);
/* One of them; -ENOENT: it was not here. */
MUST_CHECK int store_remove(struct store *store, const struct digest *name);
/* Give the space of removed shards in [from, to] back to the file system:
 * rewrites what lies there.  Long: not on a call's path. */
MUST_CHECK int store_compact(struct store *store, const struct digest *from,
			     const struct digest *to);
/*
 * The shards here, in order of their names, from `from` on (NULL: the first).
 * visit() returns non-zero to stop, which is returned; it may use the store,
 * and stop and be started again from the name after the last.  What is put or
 * removed meanwhile may be met or not.
 */
MUST_CHECK int store_walk(struct store *store, const struct digest *from,
			  int (*visit)(void *ctx, const struct digest *name,
				       size_t shard_len),
			  void *ctx);
MUST_CHECK int store_flush(struct store *store);
/* Flush when something was put, and not within the last STORE_FLUSH_S. */
enum { STORE_FLUSH_S = 30 };
void store_flush_by_timer(struct store *store);

/* Blocks that the database's files take up on the disk, in bytes: looks at each
 * of them. */
uint64_t store_disk_bytes(struct store *store);
/* Shards that are in no file yet, about. */
uint64_t store_unwritten_bytes(struct store *store);
/* What the next compaction will take besides while it runs, about. */
uint64_t store_unmerged_bytes(struct store *store);
/* 0, or why changes are refused. */
int store_error(struct store *store);

struct store_stats {
	uint64_t bytes, shards; /* of the shards here, as stored */
	uint64_t verify_failures;
};
void store_get_stats(struct store *store, struct store_stats *stats);

#endif

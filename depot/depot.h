/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot: facade of this floor.  One host's store of revisions, trees and
 * shards, and the upstream depots behind it.
 *
 * On disk, below `path`:
 *
 *   shards/       RocksDB, KV_SHARDS: shard name -> shard
 *   state/        RocksDB, KV_STATE: everything that must not be lost
 *   trees/HEX     trees, mapped while in use
 *   indexes/HEX   where upstream keeps the shards of tree HEX (a hint), and
 *                 indexes/HEX.UPSTREAM for another one that has them
 *   documents/    signed documents of upstreams, to be passed on (papers.h)
 *   data/         host files of deltas (overlay/data.h)
 *   usage         how often shards are read (a hint, usage.h)
 *
 * Life: opening (locks the store, opens both databases, starts pool and fetch
 * threads) -> serving -> closing (waits for every read under way).
 * Thread-safe while serving.
 */
#ifndef DEPOT_DEPOT_H
#define DEPOT_DEPOT_H

#include <time.h>

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/tree.h"

struct depot;
struct kv;
struct kv_batch;
struct pool;
struct space;
struct chunk;

/* How upstreams are dealt with (fetch.h); 0: the default. */
struct depot_upstream_options {
	unsigned int parallel; /* requests at once, of all: 16 */
	size_t inflight;       /* bytes asked for and not here yet: 64 MiB */
	uint64_t hedge_ms;     /* of silence till another is asked too: 2 s */
	uint64_t timeout_ms;   /* of silence till it is no answer: 15 s */
	uint64_t retry_ms;     /* the longest back-off: 10 s */
	uint64_t avoid_ms;     /* after a wrong answer: 60 s */
	uint64_t patience_ms;  /* till a read is an I/O error: 5 minutes */
};

struct depot_options {
	size_t memory_max;         /* bytes: databases and opened chunks */
	unsigned int pool_threads; /* 0: one per CPU, 2 at least */
	struct depot_upstream_options upstream;
	/* What shards/ may take: bytes, or percent of the file system; both 0:
	 * no quota.  The rest is evict.h's. */
	uint64_t store_max;
	unsigned int store_percent;
	uint64_t free_min; /* bytes left free; DEPOT_FREE_DEFAULT */
	bool lru;          /* evict by recency, not by frequency */
};
/* 1 GiB, at most a 20th of the file system. */
#define DEPOT_FREE_DEFAULT UINT64_MAX

/*
 * -EBUSY: another process has the store open.  -EPROTONOSUPPORT: the store was
 * written by a newer vdrive.  -EBADMSG: damaged.
 */
MUST_CHECK int depot_open(const char *path, const struct depot_options *options,
			  struct depot **depot);
void depot_close(struct depot *depot); /* takes depot; NULL allowed */
/* Before the end: operators' requests that wait for an upstream, or go through
 * all trees or shards (du, verify) or a delta (overlay/site.h), end within a
 * second or two with -ECANCELED, and so do later ones; guests' reads go on. For
 * good; any thread. */
void depot_hurry(struct depot *depot);
/* What an operator waits for asks this again and again: 0, or -ECANCELED
 * (logged) when depot_hurry has been called. */
MUST_CHECK int depot_goes_on(const struct depot *depot);

const char *depot_path(const struct depot *depot);
struct kv *depot_state(struct depot *depot);    /* borrowed */
struct pool *depot_pool(struct depot *depot);   /* borrowed */
struct space *depot_space(struct depot *depot); /* borrowed */

/* --- names: NAME:TAG, revisions, trees ----------------------------------- */

enum {
	PACKAGE_NAME_MAX = 63,
	TAG_NAME_MAX = 127,
};

/* [a-z0-9][a-z0-9._+-]{0,62}: packages, tenants, guests, upstreams. */
bool depot_name_ok(const char *name);
/* Tags: [A-Za-z0-9][A-Za-z0-9._+~:-]{0,126}; Debian versions are tags. */
bool depot_tag_ok(const char *tag);
/* A tenant as a number for fair shares (depot_read.who): never 0; two tenants
 * may have the same, which costs them a turn. */
uint32_t depot_who(const char *tenant);

struct package_ref {
	char name[PACKAGE_NAME_MAX + 1];
	char tag[TAG_NAME_MAX + 1]; /* "" when by digest or bare name */
	bool by_digest;
	struct digest revision; /* when by_digest */
};
/* "name:tag", "name@sha256:hex", "name" (tag "latest").  -EINVAL. */
MUST_CHECK int package_ref_parse(const char *text, struct package_ref *ref);

/* What a revision says; its canonical JSON is its identity (document.h). */
struct package_info {
	char name[PACKAGE_NAME_MAX + 1];
	char tag[TAG_NAME_MAX + 1]; /* "" when looked up by digest */
	char version[TAG_NAME_MAX + 1];
	struct digest revision;
	struct digest tree;
	uint64_t files;       /* names of regular files and links */
	uint64_t content_len; /* bytes of regular files */
	uint32_t shard_count;
	bool tree_here;                      /* trees/HEX is on this host */
	char upstream[PACKAGE_NAME_MAX + 1]; /* "" when made here */
	int64_t time_sec;                    /* when the tag was set here */
};

/*
 * Resolve a reference in this host's state; when it is not there, in the
 * upstreams in order of their names (blocking network; control thread only):
 * revision, tree and index are taken over durably.
 * -ENOENT: nowhere; -EHOSTUNREACH: not here and an upstream did not answer;
 * -EACCES: not here, and an upstream has it (if it has) for others only;
 * -EBADMSG: upstream's bytes are not what they claim.
 */
MUST_CHECK int depot_package_resolve(struct depot *depot,
				     const struct package_ref *ref,
				     struct package_info *info);
/*
 * Take a package over from an upstream (NULL: the first that has it, in order
 * of their names), whether or not it is here: its tag may have moved.  As of
 * depot_package_resolve; -ENOENT also for an upstream that there is not.  What
 * was here stays when it fails.
 */
MUST_CHECK int depot_package_pull(struct depot *depot,
				  const struct package_ref *ref,
				  const char *upstream,
				  struct package_info *info);
/* This host's state only; -ENOENT. */
MUST_CHECK int depot_package_get(struct depot *depot,
				 const struct package_ref *ref,
				 struct package_info *info);
/* All tags of this host, in byte order of names, then tags; visit returns
 * non-zero to stop, which is returned. */
MUST_CHECK int depot_package_list(struct depot *depot,
				  int (*visit)(void *ctx,
					       const struct package_info *info),
				  void *ctx);
/* The revision's canonical JSON, malloc'ed; -ENOENT. */
MUST_CHECK int depot_revision_json(struct depot *depot,
				   const struct digest *revision, char **json);

/*
 * What a revision was captured over, and the operating system that it holds
 * itself, named alike ("debian-12 sha256:HEX"); malloc'ed, NULL: none.
 * -ENOENT, -EBADMSG.
 */
MUST_CHECK int depot_revision_base(struct depot *depot,
				   const struct digest *revision, char **base,
				   char **os);

/*
 * Take a new revision: flushes shards, checks that every shard of the tree is
 * here (-ENODATA: some are not), writes the tree, then one synced state batch
 * with revision and tag.  `json` must be canonical and name `tree`.
 */
MUST_CHECK int depot_package_commit(struct depot *depot, const char *name,
				    const char *tag, const char *json,
				    struct tree *tree, struct digest *revision);

/* Tenants that a package may be given to (entitle.h). */
enum { PACKAGE_ENTITLED_MAX = 1 << 16 };
struct package_entitled {
	bool is_restricted;                    /* to these; else everybody */
	char (*tenants)[PACKAGE_NAME_MAX + 1]; /* owns; sorted, each once */
	unsigned int count;
};
void package_entitled_clear(struct package_entitled *entitled);
/* "all", "none" or "red,blue".  -EINVAL: a name that is none; -E2BIG. */
MUST_CHECK int package_entitled_parse(const char *text,
				      struct package_entitled *entitled);
/* Of all packages of this name; upstream NULL: what this host's operator says,
 * else what the publisher there said when it was last asked. */
MUST_CHECK int depot_package_entitled(struct depot *depot, const char *name,
				      const char *upstream,
				      struct package_entitled *entitled);
/* Those whom both give it to; what goes on to other hosts.  upstream: "" for
 * none. */
MUST_CHECK int depot_package_entitled_both(struct depot *depot,
					   const char *name,
					   const char *upstream,
					   struct package_entitled *entitled);
/* The operator's word from now on; durable. */
MUST_CHECK int depot_package_entitle(struct depot *depot, const char *name,
				     const struct package_entitled *entitled);
/* Take a tenant out of this host's lists, in the caller's batch: who bears the
 * name later is somebody else.  A list of it alone is nobody's then.  *count:
 * lists that change.  -ENOMEM, -EIO. */
MUST_CHECK int depot_entitled_forget(struct depot *depot, const char *tenant,
				     struct kv_batch *batch,
				     unsigned int *count);
/* May the tenant be given it?  -EACCES: says who does not allow it. */
MUST_CHECK int depot_package_permits(struct depot *depot,
				     const struct package_info *info,
				     const char *tenant);

/*
 * Let `tag` name the package, whatever it named before; durable.  The tag is
 * this host's own: an upstream's next word on it goes over it.  -ENOENT: the
 * revision is not here; -EINVAL: no tag.
 */
MUST_CHECK int depot_package_tag(struct depot *depot,
				 const struct package_info *info,
				 const char *tag);

/* A tree of this host by digest, checked and mapped, shared while in use.
 * *tree has one reference, the caller's.  -ENOENT, -EBADMSG. */
MUST_CHECK int depot_tree_get(struct depot *depot, const struct digest *digest,
			      struct tree **tree);
/* The same of a tree that is damaged or missing here: it is read again from the
 * upstream that it came from, and kept.  Blocks on the network.  -ENOENT: it
 * came from none; -EHOSTUNREACH, -EBADMSG.  Logs. */
MUST_CHECK int depot_tree_fetch(struct depot *depot,
				const struct digest *digest,
				struct tree **tree);

/* --- shards, as stored (control thread) ---------------------------------- */

/* What has been put or fetched survives a crash from here on. */
MUST_CHECK int depot_flush(struct depot *depot);
bool depot_shard_here(struct depot *depot, const struct digest *name);
/* Proves the shard first; -EBADMSG.  Not durable before depot_package_commit.
 * *added: false when it was here already.  salt: tree_salt() of its tree. Under
 * the depot's own lease (gc.h): it stays LEASE_IDLE_S after the last of these.
 */
MUST_CHECK int depot_shard_put(struct depot *depot, const uint8_t *salt,
			       const struct digest *name, const void *shard,
			       size_t shard_len, bool *added);
/* Copy of the stored bytes, proved, malloc'ed.  -ENOENT: not on this host;
 * -EBADMSG: no longer what its name says. */
MUST_CHECK int depot_shard_get(struct depot *depot, const uint8_t *salt,
			       const struct digest *name, void **shard,
			       size_t *shard_len);
/* The same for shard number `shard` of a tree; fetched when it is not here (or
 * no longer good).  -EIO as of depot_read. */
MUST_CHECK int depot_tree_shard_get(struct depot *depot, struct tree *tree,
				    uint32_t shard, void **bytes, size_t *len);

/* --- opened chunks ------------------------------------------------------- */

enum { DEPOT_READ_MAX = 72 }; /* 1 MiB in chunks of 16 KiB, and both ends */

struct depot_piece {
	struct tree *tree;   /* borrows: the caller keeps it till release */
	uint32_t shard;      /* number in the tree's table */
	struct chunk *chunk; /* out: pinned when it has landed */
	struct depot_piece *next_waiter; /* the cache's own */
	struct depot_read *read;         /* the cache's own */
};

/*
 * One gathered request for chunks, of one parked call.
 *
 * 1. The caller fills piece[0..count) and done, and calls depot_read_start.
 * 2. 0: every chunk is pinned (hot, or landed at once); no done().
 *    -EINPROGRESS: done() will be called once, on another thread, with every
 *    chunk pinned and rc 0, or with the first error (-EIO: no source had right
 *    bytes for 5 minutes; -ENOMEM).  Another error: no done(), either.
 * 3. depot_read_release drops the pins, in every case but while in progress.
 */
struct depot_read {
	struct depot_piece piece[DEPOT_READ_MAX];
	unsigned int count;
	uint32_t who; /* depot_who() of the tenant, 0: nobody's: cold shards of
			 all tenants take turns */
	void (*done)(struct depot_read *read, int rc);
	bool cold;  /* atomic; out: some of it came from an upstream */
	bool ahead; /* out: some of it was in memory before anybody asked */
	/* the depot's own */
	int pending; /* atomic */
	int rc;      /* atomic */
};

MUST_CHECK int depot_read_start(struct depot *depot, struct depot_read *read);
/*
 * Give up.  true: done() has not been and will not be called; what has landed
 * is unpinned.  false: done() has been called or is just being called (rc may
 * be -ECANCELED).  The read must stay in memory till cancel has returned.
 */
bool depot_read_cancel(struct depot *depot, struct depot_read *read);
void depot_read_release(struct depot *depot, struct depot_read *read);

/* Bytes of a pinned chunk.  Its length is its own: it has the right name, but
 * the reader must find that it is also as long as the tree says. */
const uint8_t *chunk_data(const struct chunk *chunk);
size_t chunk_len(const struct chunk *chunk);

/* Blocking form for the control thread; release with depot_read_release.
 * -EHOSTUNREACH: nothing came within 20 s; the fetch may go on. */
MUST_CHECK int depot_read_wait(struct depot *depot, struct depot_read *read);

/* --- traces -------------------------------------------------------------- */

/* Record which chunks are read to a file (trace.h), from start to stop, which
 * tells how many records it has.  -EBUSY: somebody does already. */
MUST_CHECK int depot_trace_start(struct depot *depot, int fd);
MUST_CHECK int depot_trace_stop(struct depot *depot, uint64_t *records);

/* --- pins ---------------------------------------------------------------- */

/*
 * A pinned tree's shards are never evicted from this host, whatever their
 * usage.  Durable when it returns; by tree, so that it holds for every tag of
 * the same content.  The tree need not be here.
 */
MUST_CHECK int depot_pin_set(struct depot *depot, const struct digest *tree,
			     bool pinned);
bool depot_pin_get(struct depot *depot, const struct digest *tree);

/* --- upstreams ----------------------------------------------------------- */

enum {
	UPSTREAM_URL_MAX = 1023, /* bytes */
	UPSTREAM_PRIORITY_MAX = 100,
};

/* How to get to an upstream, besides its URL (source.h); "": not given. */
struct upstream_access {
	char credentials[512]; /* path of a file */
	char endpoint[256];
	char region[64];
	char ca_file[512];
	char proxy[256];
	unsigned int priority; /* of those that do equally well the one with
				  the highest is asked first; 0..100 */
};

/* What an operator says of an upstream; borrowed. */
struct upstream_spec {
	const char *name, *url;
	bool is_unsigned;           /* whatever it says is believed */
	const struct sign_key *key; /* the one to be trusted; NULL: those that
				       are */
	const struct upstream_access *access; /* NULL: nothing given */
};

struct upstream_info {
	char name[PACKAGE_NAME_MAX + 1];
	char url[UPSTREAM_URL_MAX + 1];
	const char *kind; /* "directory", "http"; static */
	struct upstream_access access;
	bool is_unsigned; /* added with --unsigned */
	bool up;          /* the last request succeeded */
	char last_error[256];
	uint64_t requests, errors, bytes;
	/* How the shards asked of it come (fetch.h); 0: none yet. */
	unsigned int latency_ms; /* to the first byte */
	uint64_t bytes_per_s;    /* of one range */
	unsigned int score;      /* 0 down, 100 nothing amiss */
	unsigned int inflight;   /* ranges */
	unsigned int down_s;     /* for so long */
	uint64_t wrong;          /* answers that were not what was asked */
};

/*
 * Add (or change) an upstream, URLs as source.h has them.  Asks it for
 * depot.json first: -EHOSTUNREACH, -EBADMSG, -EPROTONOSUPPORT.  -EINVAL: URL,
 * or an option that such a URL has no use for.  -EPERM: neither key nor
 * is_unsigned, and no key is trusted for that name: log_last_error() says by
 * whom it is signed.
 */
MUST_CHECK int depot_upstream_set(struct depot *depot,
				  const struct upstream_spec *spec);
/* The same with nothing but a URL. */
MUST_CHECK int depot_upstream_add(struct depot *depot, const char *name,
				  const char *url, bool is_unsigned);
MUST_CHECK int depot_upstream_get(struct depot *depot, const char *name,
				  struct upstream_info *info); /* -ENOENT */

/* How an upstream answers now; by a few requests of its own. */
struct upstream_test {
	int rc;          /* of asking for depot.json, as of _set; the rest
			    holds only when it is 0 */
	char error[512]; /* the failure's text */
	unsigned int requests;
	double first_ms; /* with all that a first request costs */
	double ms;       /* the median of those after it */
	bool ranges;     /* a range was answered with that range */
	char range_error[512];
	uint64_t generation; /* of depot.json */
	unsigned int packages;
};
/* -ENOENT: no such upstream; what it answers is in the result. */
MUST_CHECK int depot_upstream_test(struct depot *depot, const char *name,
				   struct upstream_test *result);
/*
 * Keys that may sign for an upstream; take back all of them by removing it.
 * Trusting a key also says that this host's clock is right (trust.h).
 * -ENOENT: no such upstream, or key; -EPERM: the upstream is --unsigned;
 * -EBUSY: the last key; -ENOSPC.
 */
MUST_CHECK int depot_key_trust(struct depot *depot, const char *upstream,
			       const struct sign_key *key);
MUST_CHECK int depot_key_remove(struct depot *depot, const char *upstream,
				const struct sign_key *key);
MUST_CHECK int depot_key_list(struct depot *depot,
			      int (*visit)(void *ctx, const char *upstream,
					   const struct sign_key *key,
					   int64_t since_sec),
			      void *ctx);
MUST_CHECK int depot_upstream_remove(struct depot *depot, const char *name);
MUST_CHECK int depot_upstream_list(struct depot *depot,
				   int (*visit)(void *ctx,
						const struct upstream_info *),
				   void *ctx);

/* --- figures ------------------------------------------------------------- */

struct depot_stats {
	uint64_t shard_bytes;            /* of the shards here, as stored */
	uint64_t shards;                 /* here */
	uint64_t packages;               /* tags */
	uint64_t logical_bytes;          /* content of all tagged trees */
	uint64_t cache_bytes, cache_max; /* opened chunks */
	uint64_t cache_evictions;
	uint64_t disk_bytes;                    /* files of shards/, about */
	uint64_t disk_max;                      /* its quota; 0: none */
	uint64_t kept_bytes;                    /* never evicted, about */
	uint64_t pins;                          /* trees */
	uint64_t evicted_shards, evicted_bytes; /* since the start */
	uint64_t refused_shards; /* fetched, served, not stored */
	bool full; /* what is never evicted leaves no room within the quota */
	bool lru;
	uint64_t reads_hot, reads_warm, reads_cold; /* chunks asked for */
	uint64_t fetched_bytes, fetched_shards, fetch_errors, fetch_waiting;
	uint64_t verify_failures_store, verify_failures_upstream;
};
void depot_get_stats(struct depot *depot, struct depot_stats *stats);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rawnfs: a small NFSv3 and MOUNT client of our own for tests: one connection,
 * hand-made encoding, so that a test can also send what no client would.
 *
 * Calls block, 30 s at most (RAW_WAIT_MS in the environment: other).  Encoding
 * follows RFC 5531 and RFC 1813.
 */
#ifndef TESTS_LIB_RAWNFS_H
#define TESTS_LIB_RAWNFS_H

#include "depot/base.h"

enum {
	RAW_NFS = 100003,
	RAW_MOUNT = 100005,
	RAW_MAX = (1 << 20) + 8192,
	RAW_FH_MAX = 64,
	RAW_GROUPS_MAX = 32, /* more than AUTH_SYS allows, to try that */
	/* results of raw_reply besides accept_stat (0..5) */
	RAW_CLOSED = -1,  /* the connection was closed */
	RAW_TIMEOUT = -2, /* nothing came */
	RAW_DENIED = -3,  /* MSG_DENIED; raw->denied says why */
	RAW_GARBLED = -4, /* no RPC reply */
};

enum raw_proc {
	P_NULL,
	P_GETATTR,
	P_SETATTR,
	P_LOOKUP,
	P_ACCESS,
	P_READLINK,
	P_READ,
	P_WRITE,
	P_CREATE,
	P_MKDIR,
	P_SYMLINK,
	P_MKNOD,
	P_REMOVE,
	P_RMDIR,
	P_RENAME,
	P_LINK,
	P_READDIR,
	P_READDIRPLUS,
	P_FSSTAT,
	P_FSINFO,
	P_PATHCONF,
	P_COMMIT,
	P_COUNT
};

struct raw_fh {
	uint32_t len;
	uint8_t bytes[RAW_FH_MAX];
};

struct raw {
	int fd;
	uint32_t xid;      /* of the last call begun */
	uint32_t uid, gid; /* of the credential */
	uint32_t groups[RAW_GROUPS_MAX];
	unsigned int group_count;
	int flavour;  /* AUTH_SYS 1, AUTH_NONE 0 */
	uint8_t *out; /* owns: the call, record mark first */
	size_t out_len;
	uint8_t *in;           /* owns: the last reply's record */
	size_t in_len, in_off; /* what is read next */
	uint32_t reply_xid;
	uint32_t denied; /* reject_stat, then auth_stat */
	uint32_t denied_why;
	bool short_read; /* a get went past the end of the reply */
};

/* Connect to 127.0.0.1 (or `host`); false when nobody listens. */
bool raw_open(struct raw *raw, const char *host, int port);
/* The same, from a local address of the caller's choice. */
bool raw_open_from(struct raw *raw, const char *from, int port);
/* And from a port of it; one that is free, or was reset. */
bool raw_open_port(struct raw *raw, const char *from, int from_port, int port);
void raw_close(struct raw *raw);

/* Build a call: header and credential; then put arguments; then send. */
void raw_begin(struct raw *raw, uint32_t program, uint32_t version,
	       uint32_t proc);
void raw_put32(struct raw *raw, uint32_t v);
void raw_put64(struct raw *raw, uint64_t v);
void raw_put_opaque(struct raw *raw, const void *data, size_t len);
void raw_put_string(struct raw *raw, const char *text);
void raw_put_fh(struct raw *raw, const struct raw_fh *fh);
/* No attributes set at all (sattr3). */
void raw_put_no_sattr(struct raw *raw);
/* sattr3 with a mode only. */
void raw_put_mode(struct raw *raw, uint32_t mode);
/* What an sattr3 sets. */
enum {
	RAW_SET_MODE = 1,
	RAW_SET_UID = 2,
	RAW_SET_GID = 4,
	RAW_SET_SIZE = 8,
	RAW_TIME_SERVER = 1, /* atime_how, mtime_how; 0 leaves it */
	RAW_TIME_CLIENT = 2,
};
struct raw_sattr {
	unsigned int mask;
	uint32_t mode, uid, gid;
	uint64_t size;
	uint32_t atime_how, mtime_how;
	uint32_t atime[2], mtime[2];
};
void raw_put_sattr(struct raw *raw, const struct raw_sattr *set);
/* raw_begin() of NFS with the handle that most arguments begin with. */
void raw_begin_fh(struct raw *raw, uint32_t proc, const struct raw_fh *fh);
/*
 * A small well-formed call of any procedure: `fh` is its handle (a directory
 * where the procedure takes one), `fh2` the second one of RENAME and LINK (a
 * directory), `name` the name in it.
 */
void raw_begin_any(struct raw *raw, uint32_t proc, const struct raw_fh *fh,
		   const struct raw_fh *fh2, const char *name);
/* Send what was built (with its record mark); false when the peer is gone. */
bool raw_send(struct raw *raw);
bool raw_send_bytes(struct raw *raw, const void *data, size_t len);

/*
 * Receive one reply record, whatever its xid, and read its header: accept_stat
 * or RAW_*.  The gets then read its body.
 */
int raw_reply(struct raw *raw);
int raw_call(struct raw *raw); /* send, then the reply with that xid */
/* raw_call(), and the status word that begins every NFS result: see "whole
 * calls". */
int raw_status(struct raw *raw);
/* Is there something to read, or the connection closed, within that time? */
bool raw_readable(struct raw *raw, int timeout_ms);

uint32_t raw_get32(struct raw *raw);
uint64_t raw_get64(struct raw *raw);
/* Copies at most cap bytes; returns the length in the reply. */
size_t raw_get_opaque(struct raw *raw, void *buf, size_t cap);
void raw_get_fh(struct raw *raw, struct raw_fh *fh);

struct raw_attr {
	bool present;
	uint32_t type, mode, nlink, uid, gid;
	uint64_t size, used, fsid, fileid;
	uint32_t rdev[2];
	uint32_t atime[2], mtime[2], ctime[2];
};
void raw_get_attr(struct raw *raw, struct raw_attr *attr); /* fattr3 */
void raw_get_post_attr(struct raw *raw, struct raw_attr *attr);
struct raw_wcc {
	bool has_before;
	uint64_t before_size;
	uint32_t before_mtime[2], before_ctime[2];
	struct raw_attr after;
};
void raw_get_wcc(struct raw *raw, struct raw_wcc *wcc);

/*
 * Whole calls.  The result is the nfsstat3 (0 is NFS3_OK), or negative: RAW_*
 * or -(100 + accept_stat).
 */
int raw_mount(struct raw *raw, const char *path, struct raw_fh *root);
/* From now on raw_mount() of `path` asks nobody: that is its handle. */
void raw_mounted(const char *path, const struct raw_fh *root);
int raw_getattr(struct raw *raw, const struct raw_fh *fh,
		struct raw_attr *attr);
int raw_lookup(struct raw *raw, const struct raw_fh *dir, const char *name,
	       struct raw_fh *fh, struct raw_attr *attr);
/* Walk "a/b/c" from a directory. */
int raw_walk(struct raw *raw, const struct raw_fh *from, const char *path,
	     struct raw_fh *fh, struct raw_attr *attr);
int raw_read(struct raw *raw, const struct raw_fh *fh, uint64_t off,
	     uint32_t count, void *buf, uint32_t *got, bool *eof);
/* stable: 0 UNSTABLE, 1 DATA_SYNC, 2 FILE_SYNC. */
int raw_write(struct raw *raw, const struct raw_fh *fh, uint64_t off,
	      const void *data, uint32_t len, uint32_t stable,
	      uint32_t *committed, uint64_t *verifier);
int raw_commit(struct raw *raw, const struct raw_fh *fh, uint64_t *verifier);
/* how: 0 UNCHECKED, 1 GUARDED (mode), 2 EXCLUSIVE (verifier). */
int raw_create(struct raw *raw, const struct raw_fh *dir, const char *name,
	       uint32_t how, uint64_t mode_or_verifier, struct raw_fh *fh,
	       struct raw_attr *attr);
int raw_mkdir(struct raw *raw, const struct raw_fh *dir, const char *name,
	      uint32_t mode, struct raw_fh *fh);
int raw_remove(struct raw *raw, const struct raw_fh *dir, const char *name,
	       bool rmdir);
int raw_rename(struct raw *raw, const struct raw_fh *from_dir, const char *from,
	       const struct raw_fh *to_dir, const char *to);
int raw_set_size(struct raw *raw, const struct raw_fh *fh, uint64_t size);
int raw_set_mode(struct raw *raw, const struct raw_fh *fh, uint32_t mode);

/* guard: the ctime it must have, or NULL; wcc may be NULL. */
int raw_setattr(struct raw *raw, const struct raw_fh *fh,
		const struct raw_sattr *set, const uint32_t guard[2],
		struct raw_wcc *wcc);
int raw_access(struct raw *raw, const struct raw_fh *fh, uint32_t bits,
	       uint32_t *granted);
int raw_readlink(struct raw *raw, const struct raw_fh *fh, char *buf,
		 size_t cap, size_t *len);
int raw_symlink(struct raw *raw, const struct raw_fh *dir, const char *name,
		const void *target, size_t target_len, struct raw_fh *fh);
/* type: ftype3.  Devices get numbers 1, 3. */
int raw_mknod(struct raw *raw, const struct raw_fh *dir, const char *name,
	      uint32_t type, uint32_t mode, struct raw_fh *fh);
/* The character device 0/0, overlayfs's whiteout. */
int raw_whiteout(struct raw *raw, const struct raw_fh *dir, const char *name,
		 struct raw_fh *fh);
int raw_link(struct raw *raw, const struct raw_fh *fh, const struct raw_fh *dir,
	     const char *name);
/* With bytes that are no C string. */
int raw_lookup_bytes(struct raw *raw, const struct raw_fh *dir,
		     const void *name, size_t len, struct raw_fh *fh);

/* --- listing ---------------------------------------------------------------
 */

struct raw_entry {
	uint64_t fileid, cookie;
	char name[256];
	size_t name_len;
	struct raw_attr attr; /* READDIRPLUS */
	struct raw_fh fh;     /* len 0: none */
};
struct raw_listing {
	struct raw_entry *entries; /* owns */
	size_t count, cap;
	bool eof;
	uint64_t verifier;
	size_t body_len; /* of the last reply, status included */
};
void raw_listing_free(struct raw_listing *list); /* what it owns */
/* One page behind `cookie`, appended.  READDIR's count, READDIRPLUS' maxcount
 * (dircount is the same). */
int raw_readdir(struct raw *raw, const struct raw_fh *dir, bool plus,
		uint64_t cookie, uint32_t count, struct raw_listing *list);
/* All of it, in pages; the list is emptied first. */
int raw_list(struct raw *raw, const struct raw_fh *dir, bool plus,
	     uint32_t count, struct raw_listing *list);
/* The entry of that name; NULL: none. */
const struct raw_entry *raw_listing_find(const struct raw_listing *list,
					 const char *name);

/* The parts of these that a test sends twice. */
void raw_begin_create(struct raw *raw, const struct raw_fh *dir,
		      const char *name, uint32_t how,
		      uint64_t mode_or_verifier);
void raw_begin_mkdir(struct raw *raw, const struct raw_fh *dir,
		     const char *name, uint32_t mode);
void raw_begin_remove(struct raw *raw, const struct raw_fh *dir,
		      const char *name, bool rmdir);
void raw_begin_rename(struct raw *raw, const struct raw_fh *from_dir,
		      const char *from, const struct raw_fh *to_dir,
		      const char *to);
void raw_begin_write(struct raw *raw, const struct raw_fh *fh, uint64_t off,
		     const void *data, uint32_t len, uint32_t stable);
void raw_begin_set_size(struct raw *raw, const struct raw_fh *fh,
			uint64_t size);
void raw_begin_setattr(struct raw *raw, const struct raw_fh *fh,
		       const struct raw_sattr *set, const uint32_t guard[2]);
void raw_begin_symlink(struct raw *raw, const struct raw_fh *dir,
		       const char *name, const void *target, size_t target_len);
void raw_begin_mknod(struct raw *raw, const struct raw_fh *dir,
		     const char *name, uint32_t type, uint32_t mode);
void raw_begin_link(struct raw *raw, const struct raw_fh *fh,
		    const struct raw_fh *dir, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsc: NFSv3 calls to another server, by libnfs' RPC layer; this floor's only
 * includer of it.  source_nfs.c stands on it.
 *
 * A session is one TCP connection with the handle of the mounted directory.  It
 * is one thread's at a time.  Every answer is copied out and bounded here: what
 * a server says of lengths is believed only within what was asked for; records
 * beyond 1 MiB are refused by libnfs.
 *
 * Calls return 0, a status of NFS (> 0, enum nfsc_status), or -errno, the
 * reason in nfsc_session_why(): -EHOSTUNREACH no answer in time or a broken
 * connection, -EBADMSG an answer that does not fit, -ECANCELED *stopping was
 * set, -ENOMEM. After a negative one the session is of no more use: close it.
 */
#ifndef DEPOT_NFSC_H
#define DEPOT_NFSC_H

#include <stdatomic.h>

#include "depot/base.h"

enum {
	NFSC_IO_MAX = 1 << 20, /* bytes of one READ or WRITE */
	NFSC_WHY_MAX = 256,
	NFSC_FH_MAX = 64,
	NFSC_NAME_BYTES_MAX = 255,
	NFSC_VERF_LEN = 8,
};

/* Those that mean something here. */
enum nfsc_status {
	NFSC_PERM = 1,
	NFSC_NOENT = 2,
	NFSC_ACCES = 13,
	NFSC_EXIST = 17,
	NFSC_NOTDIR = 20,
	NFSC_ISDIR = 21,
	NFSC_NOSPC = 28,
	NFSC_ROFS = 30,
	NFSC_DQUOT = 69,
	NFSC_STALE = 70,
	NFSC_BADHANDLE = 10001,
	NFSC_JUKEBOX = 10008,
};

struct nfsc_place {
	const char *host;        /* borrows */
	unsigned int port;       /* of NFS; 0: ask the port mapper */
	unsigned int mount_port; /* of MOUNT; 0: likewise */
};

struct nfsc_fh {
	uint32_t len;
	uint8_t bytes[NFSC_FH_MAX];
};

struct nfsc_object {
	struct nfsc_fh fh;
	bool is_file, is_dir;
	uint64_t size;
};

struct nfsc_session;

/* Mount `path` ("/export"); a status of MOUNT (NOENT, ACCES...) is > 0.  `why`
 * is filled on any failure. */
MUST_CHECK int nfsc_session_open(const struct nfsc_place *place,
				 const char *path, const atomic_bool *stopping,
				 struct nfsc_session **session,
				 char why[NFSC_WHY_MAX]);
void nfsc_session_close(struct nfsc_session *session); /* takes; NULL allowed */
const struct nfsc_fh *nfsc_session_root(const struct nfsc_session *session);
const char *nfsc_session_why(const struct nfsc_session *session);
/* A word for a status: "NFS3ERR_STALE". */
const char *nfsc_status_text(int status);

MUST_CHECK int nfsc_lookup(struct nfsc_session *session,
			   const struct nfsc_fh *dir, const char *name,
			   struct nfsc_object *object);
/* *got <= len bytes; *eof: the end was reached. */
MUST_CHECK int nfsc_read(struct nfsc_session *session,
			 const struct nfsc_fh *file, uint64_t off, size_t len,
			 void *buf, size_t *got, bool *eof);
/* Unstable; *got in 1..len; verf: of this incarnation of the server. */
MUST_CHECK int nfsc_write(struct nfsc_session *session,
			  const struct nfsc_fh *file, uint64_t off,
			  const void *bytes, size_t len, size_t *got,
			  uint8_t verf[NFSC_VERF_LEN]);
MUST_CHECK int nfsc_commit(struct nfsc_session *session,
			   const struct nfsc_fh *file,
			   uint8_t verf[NFSC_VERF_LEN]);
/* A new file, 0644; NFSC_EXIST. */
MUST_CHECK int nfsc_create(struct nfsc_session *session,
			   const struct nfsc_fh *dir, const char *name,
			   struct nfsc_fh *file);
/* A new directory, 0755; NFSC_EXIST. */
MUST_CHECK int nfsc_mkdir(struct nfsc_session *session,
			  const struct nfsc_fh *dir, const char *name);
MUST_CHECK int nfsc_rename(struct nfsc_session *session,
			   const struct nfsc_fh *from_dir, const char *from,
			   const struct nfsc_fh *to_dir, const char *to);
MUST_CHECK int nfsc_link(struct nfsc_session *session,
			 const struct nfsc_fh *file, const struct nfsc_fh *dir,
			 const char *name);
MUST_CHECK int nfsc_remove(struct nfsc_session *session,
			   const struct nfsc_fh *dir, const char *name);

struct nfsc_list {
	uint64_t cookie; /* 0 at first */
	uint8_t verf[NFSC_VERF_LEN];
	bool eof;
	unsigned int count; /* entries of this page */
	/* Non-zero stops, and is kept in `stopped`. */
	int (*visit)(void *ctx, const char *name, bool has_attr, bool is_file,
		     bool is_dir, uint64_t size);
	void *ctx;
	int stopped;
};
/* One page of a directory. */
MUST_CHECK int nfsc_list_page(struct nfsc_session *session,
			      const struct nfsc_fh *dir,
			      struct nfsc_list *list);

#endif

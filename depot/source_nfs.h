/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_nfs: what the two halves of this kind of source know of each other:
 * connections and retries (source_nfs.c), operations over one connection
 * (source_nfs_ops.c).  For everybody else: source.h.
 */
#ifndef DEPOT_SOURCE_NFS_H
#define DEPOT_SOURCE_NFS_H

#include <pthread.h>

#include "depot/nfsc.h"
#include "depot/source.h"

enum {
	SOURCE_NFS_IDLE_MAX = 8,
	SOURCE_NFS_HANDLES = 64, /* of files that ranges were read of */
};

struct source_nfs_handle {
	char path[160];
	struct nfsc_fh fh;
};

struct source_nfs_conn {
	struct nfsc_session *session; /* owns */
	struct nfsc_fh base;          /* of the depot's directory */
	bool has_base;
	bool changed; /* a call that changes something was sent */
	bool reused;
};

struct source_nfs {
	struct source source;
	char *host, *path; /* own; path "/export/dir" */
	unsigned int port, mount_port;
	atomic_bool stopping;
	pthread_mutex_t lock;
	size_t
	    mounted; /* lock; bytes of path that can be mounted; 0: unknown */
	struct source_nfs_conn idle[SOURCE_NFS_IDLE_MAX];     /* lock */
	unsigned int idle_count;                              /* lock */
	struct source_nfs_handle handles[SOURCE_NFS_HANDLES]; /* lock */
	unsigned int handle_next;                             /* lock */
};

/* One operation: a path below the depot, and what the kinds need. */
struct source_nfs_op {
	const char *path;
	bool make, is_new;
	/* get, range */
	uint64_t off;
	size_t max, len;
	uint8_t *buf; /* get: owns, malloc'ed */
	/* put */
	const void *bytes;
	int fd;
	uint64_t put_len;
	/* list */
	int (*visit)(void *ctx, const char *name, uint64_t len);
	void *ctx;
	int stopped;
	const char *misfit; /* out: static text */
};

/* 0, a status of NFS, or -errno: of nfsc.h, and -EFBIG, -EBADMSG (misfit),
 * -ENXIO (the depot's directory is not there), -ENOSYS (misfit). */
typedef int source_nfs_fn(struct source_nfs *nfs, struct source_nfs_conn *conn,
			  struct source_nfs_op *op);
source_nfs_fn source_nfs_do_get, source_nfs_do_range, source_nfs_do_put,
    source_nfs_do_remove, source_nfs_do_list;

/* Handles of files that are known; source_nfs.c. */
bool source_nfs_known(struct source_nfs *nfs, const char *path,
		      struct nfsc_fh *fh);
void source_nfs_know(struct source_nfs *nfs, const char *path,
		     const struct nfsc_fh *fh);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program: the table of programs and procedures that are served.
 *
 * A new procedure is one row here, one handler, one test.
 */
#ifndef NFSD_PROGRAM_H
#define NFSD_PROGRAM_H

#include "depot/base.h"

enum nfs3_proc {
	NFS3_NULL,
	NFS3_GETATTR,
	NFS3_SETATTR,
	NFS3_LOOKUP,
	NFS3_ACCESS,
	NFS3_READLINK,
	NFS3_READ,
	NFS3_WRITE,
	NFS3_CREATE,
	NFS3_MKDIR,
	NFS3_SYMLINK,
	NFS3_MKNOD,
	NFS3_REMOVE,
	NFS3_RMDIR,
	NFS3_RENAME,
	NFS3_LINK,
	NFS3_READDIR,
	NFS3_READDIRPLUS,
	NFS3_FSSTAT,
	NFS3_FSINFO,
	NFS3_PATHCONF,
	NFS3_COMMIT,
	NFS3_PROC_COUNT,
};

enum mount3_proc {
	MOUNT3_NULL,
	MOUNT3_MNT,
	MOUNT3_DUMP,
	MOUNT3_UMNT,
	MOUNT3_UMNTALL,
	MOUNT3_EXPORT,
	MOUNT3_PROC_COUNT,
};

/* The program of ACLs that goes with NFS version 3: the one question that is
 * answered.  SETACL (2) is not there: PROC_UNAVAIL, which clients tell as
 * "not supported". */
enum { NFSACL_PROGRAM = 100227, NFSACL_VERSION = 3 };
enum nfsacl3_proc { NFSACL3_NULL, NFSACL3_GETACL, NFSACL3_PROC_COUNT };

struct call;
struct view_done;
struct __rpc_xdr;

enum procedure_flags {
	PROCEDURE_HANDLE = 1,  /* the arguments begin with a handle */
	PROCEDURE_CHANGES = 2, /* the reply waits for change.settled */
	PROCEDURE_ONCE = 4,    /* retransmissions are answered from the drc */
	PROCEDURE_LATE = 8,    /* the reply is encoded when it has settled */
};

/* What a failed reply carries behind its status. */
enum procedure_fail {
	FAIL_NOTHING,
	FAIL_ATTR,     /* post_op_attr */
	FAIL_WCC,      /* wcc_data */
	FAIL_WCC_WCC,  /* RENAME */
	FAIL_ATTR_WCC, /* LINK */
};

/*
 * handler: 0: the body is encoded at call->body, up to call->end, or (with
 * PROCEDURE_CHANGES) is to be encoded by `done`.  -EINPROGRESS: run it again
 * from the top when call->wait wakes.  Another -errno: the failed reply.
 */
struct procedure {
	const char *name;
	int (*decode)(struct __rpc_xdr *xdrs, void *args); /* NULL: no args */
	int (*handler)(struct call *call); /* NULL: answer is empty */
	uint8_t *(*done)(struct call *call, const struct view_done *done,
			 uint8_t *p); /* returns the body's end */
	unsigned int flags;
	enum procedure_fail fail;
};

struct program {
	uint32_t number;
	uint32_t version; /* the only one */
	const struct procedure *procedure;
	unsigned int procedure_count;
};

/* NULL: not served. */
const struct program *program_find(uint32_t number);

/* "GETATTR"; for figures and tests. */
const char *program_nfs3_name(enum nfs3_proc proc);
const char *program_mount3_name(enum mount3_proc proc);

#endif

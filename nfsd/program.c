/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program: NFS version 3, its ACLs, and MOUNT version 3, all on one port.
 */
#include "nfsd/program.h"

#include "gen/mount3.h"
#include "gen/nfs3.h"
#include "nfsd/handlers.h"

#define DECODE(type) ((int (*)(struct __rpc_xdr *, void *))xdr_##type)

enum {
	HANDLE = PROCEDURE_HANDLE,
	CHANGES = PROCEDURE_HANDLE | PROCEDURE_CHANGES,
	LATE = PROCEDURE_HANDLE | PROCEDURE_CHANGES | PROCEDURE_LATE,
	ONCE = PROCEDURE_HANDLE | PROCEDURE_CHANGES | PROCEDURE_ONCE,
};

/* RFC 1813 section 3.3: name, arguments, handler, reply of a change, flags,
 * what a failure carries. */
static const struct procedure program_nfs3[NFS3_PROC_COUNT] = {
    {"NULL", NULL, NULL, NULL, 0, FAIL_NOTHING},
    {"GETATTR", DECODE(GETATTR3args), nfs3_getattr, NULL, HANDLE, FAIL_NOTHING},
    {"SETATTR", DECODE(SETATTR3args), nfs3_setattr, nfs3_wcc_done, ONCE,
     FAIL_WCC},
    {"LOOKUP", DECODE(LOOKUP3args), nfs3_lookup, NULL, HANDLE, FAIL_ATTR},
    {"ACCESS", DECODE(ACCESS3args), nfs3_access, NULL, HANDLE, FAIL_ATTR},
    {"READLINK", DECODE(READLINK3args), nfs3_readlink, NULL, HANDLE, FAIL_ATTR},
    {"READ", DECODE(READ3args), nfs3_read, NULL, HANDLE, FAIL_ATTR},
    {"WRITE", DECODE(WRITE3args), nfs3_write, nfs3_write_done, CHANGES,
     FAIL_WCC},
    {"CREATE", DECODE(CREATE3args), nfs3_create, nfs3_made_done, ONCE,
     FAIL_WCC},
    {"MKDIR", DECODE(MKDIR3args), nfs3_mkdir, nfs3_made_done, ONCE, FAIL_WCC},
    {"SYMLINK", DECODE(SYMLINK3args), nfs3_symlink, nfs3_made_done, ONCE,
     FAIL_WCC},
    {"MKNOD", DECODE(MKNOD3args), nfs3_mknod, nfs3_made_done, ONCE, FAIL_WCC},
    {"REMOVE", DECODE(REMOVE3args), nfs3_remove, nfs3_wcc_done, ONCE, FAIL_WCC},
    {"RMDIR", DECODE(REMOVE3args), nfs3_rmdir, nfs3_wcc_done, ONCE, FAIL_WCC},
    {"RENAME", DECODE(RENAME3args), nfs3_rename, nfs3_rename_done, ONCE,
     FAIL_WCC_WCC},
    {"LINK", DECODE(LINK3args), nfs3_link, nfs3_link_done, ONCE, FAIL_ATTR_WCC},
    {"READDIR", DECODE(READDIR3args), nfs3_readdir, NULL, HANDLE, FAIL_ATTR},
    {"READDIRPLUS", DECODE(READDIRPLUS3args), nfs3_readdirplus, NULL, HANDLE,
     FAIL_ATTR},
    {"FSSTAT", DECODE(FSSTAT3args), nfs3_fsstat, NULL, HANDLE, FAIL_ATTR},
    {"FSINFO", DECODE(FSINFO3args), nfs3_fsinfo, NULL, HANDLE, FAIL_ATTR},
    {"PATHCONF", DECODE(PATHCONF3args), nfs3_pathconf, NULL, HANDLE, FAIL_ATTR},
    {"COMMIT", DECODE(COMMIT3args), nfs3_commit, nfs3_commit_done, LATE,
     FAIL_WCC},
};

/* RFC 1813 appendix I */
static const struct procedure program_mount3[MOUNT3_PROC_COUNT] = {
    {"NULL", NULL, NULL, NULL, 0, FAIL_NOTHING},
    {"MNT", DECODE(MNT3args), mount3_mnt, NULL, 0, FAIL_NOTHING},
    {"DUMP", NULL, mount3_dump, NULL, 0, FAIL_NOTHING},
    {"UMNT", DECODE(MNT3args), mount3_umnt, NULL, 0, FAIL_NOTHING},
    {"UMNTALL", NULL, mount3_umnt, NULL, 0, FAIL_NOTHING},
    {"EXPORT", NULL, mount3_export, NULL, 0, FAIL_NOTHING},
};

/* The arguments of GETACL are those of ACCESS: a handle and a mask. */
static const struct procedure program_nfsacl3[NFSACL3_PROC_COUNT] = {
    {"NULL", NULL, NULL, NULL, 0, FAIL_NOTHING},
    {"GETACL", DECODE(ACCESS3args), nfsacl3_getacl, NULL, HANDLE, FAIL_ATTR},
};

static const struct program program_table[] = {
    {NFS3_PROGRAM, NFS3_VERSION, program_nfs3, NFS3_PROC_COUNT},
    {MOUNT3_PROGRAM, MOUNT3_VERSION, program_mount3, MOUNT3_PROC_COUNT},
    {NFSACL_PROGRAM, NFSACL_VERSION, program_nfsacl3, NFSACL3_PROC_COUNT},
};

const struct program *program_find(uint32_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(program_table); i++)
		if (program_table[i].number == number)
			return &program_table[i];
	return NULL;
}

const char *program_nfs3_name(enum nfs3_proc proc)
{
	ASSERT(proc < NFS3_PROC_COUNT);

	return program_nfs3[proc].name;
}

const char *program_mount3_name(enum mount3_proc proc)
{
	ASSERT(proc < MOUNT3_PROC_COUNT);

	return program_mount3[proc].name;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failcall: makes one call of a daemon fail, by its number (H-4).
 *
 * tests/tools/failcall.c is put before the libraries of a daemon that was
 * built as it is shipped (LD_PRELOAD) and looks at this struct, in a file that
 * both have mapped (FAILCALL in the environment).  While `armed`, calls are
 * counted by kind: those on files below the directory FAILCALL_STORE, and
 * allocations by the daemon's own code (its libraries, C++ among them, are left
 * alone: without memory those end the process by design).
 *
 * A sync that is made to fail loses what it was to make stable, as a kernel
 * does: bytes and length of the file are again those of its last sync.
 */
#ifndef TESTS_LIB_FAILCALL_H
#define TESTS_LIB_FAILCALL_H

#include <stdint.h>

enum failcall_kind {
	FAIL_NONE,
	FAIL_WRITE,
	FAIL_PWRITE,
	FAIL_FSYNC,
	FAIL_FDATASYNC,
	FAIL_RENAME,
	FAIL_LINK,
	FAIL_UNLINK,
	FAIL_CREATE, /* open() with O_CREAT */
	FAIL_OPEN,
	FAIL_TRUNCATE,
	FAIL_FALLOCATE,
	FAIL_MKDIR,
	FAIL_READ,
	FAIL_PREAD,
	FAIL_ALLOC,
	FAIL_KINDS,
};

struct failcall {
	uint32_t armed;
	uint32_t kind;   /* that fails; FAIL_NONE: count only */
	uint32_t at;     /* the n-th, from 1 */
	uint32_t sticky; /* and all that follow */
	uint32_t error;  /* errno; 0: the transfer is cut in half */
	/* written by the daemon */
	uint32_t fired;
	uint32_t fired_state; /* of them: on files of the state database */
	uint32_t count[FAIL_KINDS];
	uint64_t caller; /* of the first that failed: offset in the program, 0:
			    a library */
	char path[256];  /* of that, below the store */
};

#endif

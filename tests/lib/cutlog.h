/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cutlog: the log of the power-cut test (H-2): what one vdrived did to the
 * files of its store and which replies it sent, in one total order.
 *
 * Written by tests/tools/cutrec.c inside the server, read by cutfs.c.  A file
 * of entries, each a header in host byte order and `len` bytes behind it,
 * padded to 8.  The place of an entry in the file is its time; a server that
 * is started again on the same log goes on at its end.
 *
 * An entry is written when its call has returned, and changes are made and
 * logged under one lock: an entry before another was done before it.  SYNC is
 * the exception: it was asked for at `value` (a place in the log), returned at
 * its own place, and covers what lies before the former.
 */
#ifndef TESTS_LIB_CUTLOG_H
#define TESTS_LIB_CUTLOG_H

#include <stdint.h>

#define CUTLOG_MAGIC 0x43555431u

enum cutlog_type {
	CUTLOG_START = 1, /* a server begins: its descriptors are new */
	CUTLOG_OPEN,      /* fd, flags; data: path below the store */
	CUTLOG_CLOSE,     /* fd, of the store or a socket */
	CUTLOG_WRITE,     /* fd, off; data: the bytes */
	CUTLOG_TRUNCATE,  /* fd, off: the new size */
	CUTLOG_PUNCH,     /* fd, off, value: length; reads as zeros */
	CUTLOG_SYNC,      /* fd, value: see above */
	CUTLOG_RENAME,    /* data: from, NUL, to */
	CUTLOG_LINK,      /* data: from, NUL, to */
	CUTLOG_UNLINK,    /* data: path; also rmdir */
	CUTLOG_MKDIR,     /* data: path */
	CUTLOG_SEND,      /* fd; data: bytes a TCP socket has taken */
	CUTLOG_BAD,       /* data: a call that the log cannot hold */
};

struct cutlog_entry {
	uint32_t magic, type;
	int32_t fd;
	uint32_t flags;
	uint64_t off, value;
	uint32_t len, spare;
};

#define CUTLOG_PADDED(len) (((uint64_t)(len) + 7) & ~UINT64_C(7))

#endif

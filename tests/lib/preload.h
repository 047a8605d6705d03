/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preload: what a test does to the system calls of a daemon that was built as
 * it is shipped.  tests/preload/preload.c is put before the daemon's libraries
 * (LD_PRELOAD) and looks at this struct, in a file that both have mapped; see
 * daemon_preload().  Every field may be written and read at any time; all
 * zero changes nothing.
 *
 *	syncs	are counted, held until the test lets them go, or failed
 *	clocks	as the daemon's own code reads them (not its libraries, which
 *		sleep by them) are frozen or moved
 *	events	begin and end of syncs and sends on sockets, in their order
 *
 * With TEST_SEEK_NAP_MS in the environment each lseek() in a host file of a
 * delta takes so much longer.
 */
#ifndef TESTS_LIB_PRELOAD_H
#define TESTS_LIB_PRELOAD_H

#include <stdint.h>

enum { PRELOAD_EVENTS_MAX = 4096 };

/* What a descriptor that is synced is, by its path. */
enum preload_file {
	PRELOAD_OTHER,
	PRELOAD_LOG,  /* of the state database */
	PRELOAD_HOST, /* a host file of a delta */
	PRELOAD_DIR,
	PRELOAD_FILES,
};
#define PRELOAD_EVERY     UINT32_MAX
#define PRELOAD_BIT(file) (1u << (file))

enum preload_event {
	PRELOAD_BEGIN,    /* + preload_file: a sync is asked for */
	PRELOAD_DONE = 8, /* + preload_file: it has succeeded */
	PRELOAD_FAILED = 16,
	PRELOAD_SENT = 24, /* bytes to a socket */
};

struct preload {
	/* syncs; hold and fail_mask: PRELOAD_BITs */
	uint32_t hold;      /* they do not return */
	uint32_t held;      /* so many wait now */
	uint32_t fail_mask; /* these are counted for fail_at */
	uint32_t
	    fail_at; /* the n-th, from 1, fails; 0: none; or PRELOAD_EVERY */
	uint32_t fail_errno;  /* how; nothing is synced then */
	uint32_t fail_hidden; /* the daemon is told that it succeeded: as one
				 that does not look would behave */
	uint32_t counted, failed;
	uint32_t syncs[PRELOAD_FILES]; /* that have succeeded */
	/* clocks, nanoseconds */
	int64_t real_offset, real_frozen; /* frozen: 0 no, else the time */
	int64_t mono_offset;
	/* events; count may go beyond the maximum */
	uint32_t event_count;
	uint8_t event[PRELOAD_EVENTS_MAX];
	uint16_t port[PRELOAD_EVENTS_MAX]; /* of the peer, of PRELOAD_SENT */
};

#endif

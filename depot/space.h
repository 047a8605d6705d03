/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space: room on the store's file system: a guard that stops growth before
 * RocksDB meets the wall, and a reserve file that is given up when it did.
 *
 * Three lines of defence against a full disk:
 * 1. Whatever makes the store grow asks space_check() first, which refuses
 *    while less than the floor is free.  Removing and truncating need no leave:
 *    the floor is for them, and for RocksDB to write out what it has in memory
 *    (kv.c keeps that below the floor).
 * 2. The floor can be eaten by others on the same file system.  Then a write of
 *    RocksDB fails, and the database has to be opened again, which needs room
 *    (log to tables, a new MANIFEST): that is what the reserve is for.
 * 3. When the reserve is gone, too, databases are opened for reading only.
 *
 * The file DIR/reserve holds space_reserve bytes of allocated blocks: 64 MiB,
 * at most a 16th of the file system.  While it is not whole nothing may grow;
 * a thread makes it again when twice its size is free, then calls those who
 * asked by space_on_room().  Thread-safe.
 */
#ifndef DEPOT_SPACE_H
#define DEPOT_SPACE_H

#include "depot/base.h"

struct space;

enum {
	SPACE_RESERVE_MAX = 64 << 20,
	SPACE_RESERVE_PART = 16, /* of the file system, at most */
	SPACE_FLOOR_MAX = 32 << 20,
	SPACE_FLOOR_PART = 50, /* 2 % of the file system, at most */
	SPACE_INODES_MAX = 1024,
	SPACE_LISTENERS_MAX = 4,
};

/* The directory must be there.  No room for the reserve is no error. */
MUST_CHECK int space_open(const char *dir, struct space **space);
/* End the thread: after this nobody is called any more. */
void space_stop(struct space *space);
void space_close(struct space *space); /* takes space; NULL allowed */

/*
 * May the store grow by so many bytes, and by a few names?  -ENOSPC: no.  Asks
 * the kernel at most every 100 ms (every 10 ms while it refuses), in between
 * counts what was asked for.  Never blocks; NULL space: 0.
 */
MUST_CHECK int space_check(struct space *space, uint64_t bytes);

/* Somebody met a full disk: look for room until there is some.  Cheap, never
 * blocks for long; NULL allowed. */
void space_trouble(struct space *space);
/* The same, and free the reserve's bytes for him.  false: there were none. */
bool space_give_up(struct space *space);

/*
 * After trouble, when there is room and the reserve is whole again: fn() is
 * called on space's thread, again and again (every 200 ms) until it returns 0.
 * Before others use the space.
 */
void space_on_room(struct space *space, int (*fn)(void *ctx), void *ctx);

uint64_t space_floor(const struct space *space); /* bytes; constant */

struct space_stats {
	uint64_t free;           /* bytes, for us */
	uint64_t reserve;        /* bytes of the reserve when it is whole */
	bool whole;              /* it is */
	uint64_t given_up, made; /* times */
};
void space_get_stats(struct space *space, struct space_stats *stats);

#endif

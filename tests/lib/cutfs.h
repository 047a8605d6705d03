/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cutfs: what a disk may hold of a store when the power goes (H-2).
 *
 * It plays a log of calls (cutlog.h) up to a place and then writes out one of
 * the directory trees that a file system may come back with.
 *
 * The model, which is no file system's but covers ext4, xfs and btrfs with
 * their default options, and drives that honour a flush:
 *
 * - What was synced is there.  fsync and fdatasync of a file cover its bytes
 *   and its size as of the moment they were asked for; nothing else does (not
 *   sync_file_range, not a close, not time).
 * - Names are covered by a sync of their directory, only.  Stricter than the
 *   three, which keep the name of a new file when the file is synced: a store
 *   that holds here holds on any of them.  A directory's own name is kept when
 *   something below it is synced, as all three do.
 * - What was not synced may be there or not.  Of a directory's changes a prefix
 *   is, a rename whole or not at all.  Of a file each page (4 KiB) is as of a
 *   moment of its own, and of the write that came next it has some sectors of
 *   512 bytes.  Truncations are there up to one of them; bytes they cut off do
 * not come back with a later growth, and a page that an absent truncation had
 *   freed has nothing that was written later.  The size follows the pages and
 *   truncations that are there; within it what is missing is old, or zeros.
 * - Files are independent of each other and of names.
 * - Renames between directories and hard links do not occur (an error).
 */
#ifndef TESTS_LIB_CUTFS_H
#define TESTS_LIB_CUTFS_H

#include "depot/base.h"

struct cutfs;

/* Which of the possible states; drawn by lot for each cut. */
enum cutfs_style {
	CUTFS_NOTHING, /* of what was not synced */
	CUTFS_ALL,     /* but the last write is torn */
	CUTFS_DATA,    /* all bytes, no names */
	CUTFS_NAMES,   /* all names and truncations, no bytes */
	CUTFS_LOTS,    /* each object by lot */
	CUTFS_STYLES
};

/* log: borrowed until cutfs_free(). */
struct cutfs *cutfs_new(const uint8_t *log, uint64_t log_len);
void cutfs_free(struct cutfs *fs);
/* Before anything is played: all that lies in `dir` is there, and synced. */
bool cutfs_load(struct cutfs *fs, const char *dir);
/* Play entries that begin before `place`; false: see cutfs_trouble(). */
bool cutfs_play(struct cutfs *fs, uint64_t place);
const char *cutfs_trouble(const struct cutfs *fs);
/* Write a state as of now into the new directory `dir`. */
bool cutfs_write(struct cutfs *fs, const char *dir, enum cutfs_style style,
		 uint64_t seed);
/* Is `dir` exactly what the calls so far have made of it? */
bool cutfs_same(struct cutfs *fs, const char *dir);
/* Bytes and changes of names that are not synced now. */
void cutfs_unsynced(const struct cutfs *fs, uint64_t *bytes, uint64_t *names);

#endif

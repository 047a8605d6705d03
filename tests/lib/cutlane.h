/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cutlane: one client of the power-cut test: a stream of random operations with
 * one call under way, a journal of them, and the model of what must be there
 * when the first n of them were answered (H-2, promise P-02).
 *
 * A lane has a directory of its own in the package, "laneN", with files that
 * are copied up when they are first changed, and "laneN/sub".
 *
 * Recording: cutlane_open, then cutlane_begin and cutlane_answer for ever; when
 * the server was killed with no call under way: cutlane_reopen, which writes
 * again what was UNSTABLE (as clients do).
 * Checking: with ascending places cutlane_advance, and for each crash state
 * cutlane_check over a connection of its own.
 */
#ifndef TESTS_LIB_CUTLANE_H
#define TESTS_LIB_CUTLANE_H

#include "tests/lib/rawnfs.h"

enum {
	CUT_SLOTS = 12,    /* names of files: */
	CUT_SLOTS_TOP = 8, /* the first are in laneN, the others in laneN/sub */
	CUT_PACKED = 5,    /* slots that are files of the package at first */
	CUT_DIRS = 3,
	CUT_WRITE_MAX = 256 << 10,
	CUT_FILE_MAX = 400 << 10,
	CUT_SMALL = 16 << 10,
	CUT_GONE = 8, /* handles of removed files that are tried again */
};

enum cut_type {
	CUT_CREATE,
	CUT_EXCLUSIVE,
	CUT_WRITE,
	CUT_UNSTABLE,
	CUT_COMMIT,
	CUT_REMOVE,
	CUT_RENAME,
	CUT_LINK,
	CUT_SIZE,
	CUT_MODE,
	CUT_MKDIR,
	CUT_RMDIR
};

struct cut_op {
	enum cut_type type;
	int a, b;           /* slots, or a directory */
	uint64_t off;       /* of a write; or the new size */
	uint32_t len, skip; /* bytes [skip, skip + len) of content `id` */
	uint32_t mode;
	uint64_t id;
	uint32_t xid;
	bool answered;
	uint64_t
	    place; /* in the log, behind the reply; UINT64_MAX: not in it */
	/* of the answer */
	bool stable;
	uint64_t verifier; /* of WRITE and COMMIT */
	struct raw_fh fh;
	struct raw_attr attr;
};

/* Bytes that may be there or not: UNSTABLE, or not answered. */
struct cut_piece {
	uint64_t off, id;
	uint32_t len, skip;
};

struct cut_file {
	unsigned int links;
	struct raw_fh fh; /* len 0: not known */
	uint8_t *bytes;   /* owns: CUT_FILE_MAX, what is stable */
	uint64_t size;
	struct cut_piece *pieces; /* owns; older ones first */
	size_t piece_count;
	uint32_t mode;
	bool times; /* are those of attr */
	struct raw_attr attr;
};

struct cut_model {
	struct cut_file *slots[CUT_SLOTS]; /* two may be one file */
	bool dirs[CUT_DIRS];
	struct raw_fh gone[CUT_GONE];
	unsigned int gone_count;
};

struct cut_lane {
	int number;
	struct raw raw;
	struct raw_fh dir, sub;
	uint64_t rng, next_id;
	bool busy;          /* the last op of the journal is under way */
	int grow;           /* slot that was cut and shall grow, or -1 */
	struct cut_op *ops; /* owns: the journal */
	size_t op_count, op_cap;
	struct cut_model now; /* while recording */
	/* while checking: */
	struct cut_model then;
	size_t then_count;      /* operations in it */
	struct cut_model after; /* what a check has left on the server */
	char trouble[256];
};

/* Make the files of the package of that lane below `dir`. */
bool cutlane_package(int number, const char *dir);
bool cutlane_open(struct cut_lane *lane, int number, uint64_t seed, int port,
		  const char *export);
void cutlane_close(struct cut_lane *lane);
bool cutlane_begin(struct cut_lane *lane);  /* send the next operation */
bool cutlane_answer(struct cut_lane *lane); /* false: see trouble */
bool cutlane_reopen(struct cut_lane *lane, int port);

/* Take answers that lie before `place` into lane->then. */
void cutlane_advance(struct cut_lane *lane, uint64_t place);
/*
 * Is all of lane->then on that server?  What was under way may be there, whole
 * or not; it is then sent again, as is the last that was answered, and both
 * must succeed without further effect.  false: see trouble.
 */
bool cutlane_check(struct cut_lane *lane, int port, const char *export);
/* Print what was done last. */
void cutlane_tell(const struct cut_lane *lane);
/* Record on, with a new journal, on the server that was just checked. */
bool cutlane_resume(struct cut_lane *lane, int port);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane: one stream of random operations of the kill test, with a journal of
 * what was acknowledged, kept outside the server (reliability H-1).
 *
 * A lane has a directory of its own, one connection, and one call under way at
 * a time.  Its model says what must be there: everything that was answered.  A
 * call that was not answered when the server died is sent again with the same
 * xid and must succeed: it is executed once.
 *
 * Life: lane_open (makes the directory) -> lane_step per answer, for ever ->
 * the server dies -> lane_drain (answers that were already sent count) ->
 * lane_reopen, lane_resend, lane_rewrite (what was UNSTABLE) -> lane_verify ->
 * on with lane_step.
 */
#ifndef TESTS_LIB_LANE_H
#define TESTS_LIB_LANE_H

#include "tests/lib/rawnfs.h"

enum {
	LANE_FILES = 12,
	LANE_BLOCK = 4096,
	LANE_BLOCKS = 12,
	LANE_DIRS = 4,
};

struct lane_file {
	bool exists;
	struct raw_fh fh;
	uint64_t size;
	uint64_t ids[LANE_BLOCKS];    /* content of each block; 0 zeros */
	uint32_t cut[LANE_BLOCKS];    /* bytes of it that are not cut off */
	bool unstable[LANE_BLOCKS];   /* not committed yet */
	uint64_t verifier[LANE_BLOCKS]; /* of the UNSTABLE write */
	uint32_t life[LANE_BLOCKS];	/* of the server that answered it */
};

enum lane_op {
	LANE_NONE, LANE_CREATE, LANE_EXCLUSIVE, LANE_WRITE, LANE_UNSTABLE,
	LANE_COMMIT, LANE_REMOVE, LANE_RENAME, LANE_SIZE, LANE_MKDIR, LANE_RMDIR
};

struct lane {
	int number;
	struct raw raw;
	struct raw_fh root, dir;
	uint64_t seed;
	uint64_t next_id;
	struct lane_file files[LANE_FILES];
	bool dirs[LANE_DIRS];
	/* the call under way */
	enum lane_op op;
	int a, b; /* files or directories it is about */
	uint32_t block;
	uint64_t id, size;
	uint32_t life; /* of the server: how often it was started */
	/* figures */
	uint64_t acknowledged, resent, lost;
	char trouble[256]; /* the first thing that was wrong */
};

bool lane_open(struct lane *lane, int number, uint64_t seed, int port,
	       const char *export);
bool lane_begin(struct lane *lane); /* send the next operation */
/* An answer has come: take it into the model.  false: connection gone. */
bool lane_answer(struct lane *lane);
void lane_drain(struct lane *lane); /* answers sent before the death */
bool lane_reopen(struct lane *lane, int port, const char *export);
bool lane_resend(struct lane *lane);
bool lane_rewrite(struct lane *lane);
void lane_verify(struct lane *lane);

#endif

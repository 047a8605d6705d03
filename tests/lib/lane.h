/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane: one stream of random operations of the kill test, with a journal of
 * what was acknowledged, kept outside the server (reliability H-1).
 *
 * A lane has three directories of its own: one it makes, one in that, and one
 * of the package, "pkgN".  One connection carries its operations, one call
 * under way at a time; another one all that is asked to compare.  Its model
 * (lane_model.c) says byte by byte what must be there: everything that was
 * answered.  A call that was not answered when the server died is sent again
 * with the same xid over a new connection, and must get the reply of its first
 * execution.  Now and then, and after each death, an answered call is sent
 * again too: the reply must be the same to the byte.
 *
 * Life: lane_open -> lane_begin, lane_answer, for ever -> the server dies ->
 * lane_drain (answers that were sent count) -> lane_reopen, lane_resend,
 * lane_rewrite (what was UNSTABLE), lane_verify (any of them again when the
 * server dies under it) -> on with lane_begin.
 *
 * Functions that return bool: false, the connection is gone.
 */
#ifndef TESTS_LIB_LANE_H
#define TESTS_LIB_LANE_H

#include "tests/lib/rawnfs.h"

enum {
	LANE_DIRS = 3,
	LANE_PACKAGE = 2,    /* the directory of the package */
	LANE_OWN_NAMES = 12, /* in each of the other two */
	LANE_NAMES = 64,     /* in the package's */
	LANE_OBJECTS = 2 * LANE_OWN_NAMES + LANE_NAMES + 1,
	LANE_SIZE_MAX = 384 << 10,
	LANE_WRITE_MAX = 256 << 10,
	LANE_DEAD = 8,
	LANE_REPLY_MAX = 1024,
};

/* What is not known to be stable: of this life of the server, or an earlier. */
enum { LANE_STABLE = 0, LANE_UNSTABLE = 1, LANE_DOUBTFUL = 2 };

enum { LANE_REG = 1, LANE_DIR = 2, LANE_LNK = 5, LANE_FIFO = 7 }; /* ftype3 */

struct lane_object {
	uint32_t type; /* ftype3; 0: a free slot */
	bool fresh;    /* a file of the package, never changed */
	struct raw_fh fh;
	uint64_t fileid;
	uint32_t nlink, mode;
	uint64_t size;
	uint8_t *bytes; /* owns, LANE_SIZE_MAX, zeros behind size; see
			   lane_bytes() */
	uint8_t *doubt; /* owns; LANE_STABLE... of each byte */
	int package;    /* its number there, -1: born here */
	char target[64];
};

struct lane_name {
	int object;      /* -1: no such name */
	uint64_t fileid; /* when `cookie` was seen */
	uint64_t cookie; /* 0: not seen yet */
};

enum lane_op {
	LANE_NONE,
	LANE_CREATE,
	LANE_MKDIR,
	LANE_SYMLINK,
	LANE_MKNOD,
	LANE_LINK,
	LANE_REMOVE,
	LANE_RMDIR,
	LANE_RENAME,
	LANE_SIZE,
	LANE_MODE,
	LANE_EMPTY,
	LANE_WRITE,
	LANE_COMMIT
};

struct lane_call {
	enum lane_op op;
	int dir, name;       /* what it is about, -1 none */
	int to_dir, to_name; /* RENAME, LINK */
	int object;
	uint64_t id; /* of the content, the EXCLUSIVE create */
	uint64_t off, size;
	uint32_t len, stable, how, mode;
	bool once; /* its reply is kept by the server */
};

/* What went wrong, by promise. */
enum lane_fault { LANE_LOST, LANE_REPLY, LANE_VERIFIER, LANE_FAULTS };

struct lane {
	int number;
	struct raw raw;   /* the operations; `out` holds the last one sent */
	struct raw probe; /* the questions */
	struct raw_fh root, dirs[LANE_DIRS];
	uint64_t dir_ids[LANE_DIRS];
	const char *source; /* borrows: the package as a directory tree */
	uint64_t seed, next_id;
	struct lane_object objects[LANE_OBJECTS];
	struct lane_name names[LANE_DIRS][LANE_NAMES];
	struct raw_fh dead[LANE_DEAD]; /* handles of removed objects */
	unsigned int dead_count;
	struct lane_call call; /* under way, or the last one */
	bool waiting;          /* for its reply */
	bool again;            /* it was answered and is sent again */
	bool resending;        /* the reply's call was unanswered at a death */
	int regrow;            /* object to be truncated up next, or -1 */
	int fresh_left;        /* package files to be touched in this life */
	uint64_t verifier;     /* of this life, 0: not known */
	uint8_t reply[LANE_REPLY_MAX]; /* of call, when call.once */
	size_t reply_len;              /* 0: none kept */
	struct raw_attr dir_after, to_after, object_after; /* in the reply */
	/* figures */
	uint64_t acknowledged, resent, executed_before, repeated;
	uint64_t faults[LANE_FAULTS];
	char trouble[256]; /* the first thing that was wrong */
};

/* source: the directory that became the package; it has pkgN/pMM. */
bool lane_open(struct lane *lane, int number, uint64_t seed, int port,
	       const char *export, const char *source);
void lane_close(struct lane *lane);
bool lane_begin(struct lane *lane);  /* send the next operation */
bool lane_answer(struct lane *lane); /* an answer has come: take it */
void lane_drain(struct lane *lane);  /* answers sent before the death */
bool lane_reopen(struct lane *lane, int port, uint64_t verifier);
bool lane_resend(struct lane *lane);
bool lane_rewrite(struct lane *lane);
bool lane_verify(struct lane *lane);

/* --- lane_model.c: what must be there ------------------------------------ */

void lane_trouble(struct lane *lane, enum lane_fault fault, const char *fmt,
		  ...) PRINTF_LIKE(3, 4);
uint32_t lane_random(struct lane *lane, uint32_t below);
void lane_name_text(char *out, size_t len, int dir, int name);
int lane_name_count(int dir);
/* Bytes of a regular file; read from the source when it is still fresh. */
uint8_t *lane_bytes(struct lane *lane, struct lane_object *object);
/* A free slot, cleared. */
int lane_object_new(struct lane *lane, uint32_t type);
bool lane_in_doubt(const struct lane_object *object);
void lane_object_free(struct lane_object *object);
/* The content of a WRITE. */
void lane_fill(const struct lane *lane, uint64_t id, uint8_t *buf, size_t len);
/* The call under way was answered with success: read the rest of the reply,
 * and change the model. */
void lane_take(struct lane *lane);

#endif

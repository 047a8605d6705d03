/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweepload: the fixed workload of the fault sweep (H-4, promise P-21): what it
 * asks, as an NFSv3 client would, and what must be there afterwards.
 *
 * It consists of stories, told in turns: each works on names of its own.  A
 * call that gets no answer is sent again with the same xid, over a new
 * connection, to a server that was started again if it had died.  A call that
 * fails is asked again twice, as by a program that insists; then its story
 * stops, and either state is right, that before the call or that after it.
 * Bytes written UNSTABLE are written again when the verifier of COMMIT is not
 * theirs.
 */
#ifndef TESTS_LIB_SWEEPLOAD_H
#define TESTS_LIB_SWEEPLOAD_H

#include "tests/lib/rawnfs.h"

enum {
	SWEEP_STORIES = 9,
	SWEEP_NAMES = 8,
	SWEEP_FILES = 5,
	SWEEP_PIECES = 12,
	SWEEP_FILE_MAX = 320 << 10,
};

enum {
	SWEEP_REG = 1,
	SWEEP_DIR = 2,
	SWEEP_LNK = 5,
	SWEEP_FIFO = 7
}; /* ftype3 */

enum sweep_type {
	SWEEP_CREATE,
	SWEEP_GUARDED,
	SWEEP_EXCLUSIVE,
	SWEEP_MKDIR,
	SWEEP_SYMLINK,
	SWEEP_MKNOD,
	SWEEP_LINK,
	SWEEP_REMOVE,
	SWEEP_RMDIR,
	SWEEP_RENAME,
	SWEEP_MODE,
	SWEEP_SIZE,
	SWEEP_UNSTABLE, /* WRITE, three times */
	SWEEP_DATA_SYNC,
	SWEEP_FILE_SYNC,
	SWEEP_COMMIT,
	SWEEP_READ, /* is it what it must be? */
};

struct sweep_op {
	int story;
	enum sweep_type type;
	const char *a, *b; /* paths; b: of RENAME and LINK */
	uint64_t off;      /* or the size, the mode */
	uint32_t len;
};

/* A part of a file's content; later ones lie over earlier ones. */
struct sweep_piece {
	bool size;    /* a truncation, to off */
	bool doubt;   /* it may be there or not, byte by byte */
	bool waits;   /* for a COMMIT with this verifier */
	uint32_t len; /* bytes, made from seed */
	uint32_t seed;
	uint64_t off, verifier;
};

struct sweep_file {
	uint32_t type, mode;
	unsigned int links;
	struct raw_fh fh; /* len 0: not known */
	struct sweep_piece pieces[SWEEP_PIECES];
	unsigned int piece_count;
};

struct sweep_name {
	char path[16];
	int file; /* -1: a free slot */
};

struct sweep_state {
	struct sweep_name names[SWEEP_NAMES];
	struct sweep_file files[SWEEP_FILES];
	int file_count;
};

struct sweep_story {
	struct sweep_state now, other;
	bool stopped;
	bool either; /* now or other */
};

/* A regular file's content, as far as it is certain. */
struct sweep_content {
	uint8_t bytes[SWEEP_FILE_MAX];
	uint8_t other[SWEEP_FILE_MAX]; /* what may be there instead: */
	bool doubt[SWEEP_FILE_MAX];    /* where this is set */
	uint64_t size, size_max;
};

/* --- sweepmodel.c: what must be there ------------------------------------ */

extern const struct sweep_op sweep_ops[];
extern const size_t sweep_op_count;

/* The files of the package, below `dir`; false: errno. */
bool sweep_package(const char *dir);
/* As it is before the first operation. */
void sweep_state_init(struct sweep_state *state, int story);
int sweep_find(const struct sweep_state *state, const char *path);
struct sweep_file *sweep_file(struct sweep_state *state, const char *path);
/* What an operation does, but for WRITE, COMMIT and READ. */
void sweep_apply(struct sweep_state *state, const struct sweep_op *op);
void sweep_bytes(uint32_t seed, uint8_t *buf, size_t len);
void sweep_render(const struct sweep_file *file, struct sweep_content *c);

/* --- sweepload.c: the client --------------------------------------------- */

struct sweep_load {
	struct raw raw;
	struct raw_fh root;
	struct sweep_story stories[SWEEP_STORIES];
	struct sweep_content content; /* scratch */
	/*
	 * Connect raw->fd anew, start the server again if need be; `before`:
	 * so often was this call sent in vain until now.  false: the server
	 * cannot be had.
	 */
	bool (*reconnect)(struct sweep_load *load, int before);
	void *arg; /* of reconnect */
	/* figures */
	uint64_t calls, acknowledged, errors, resent, rewritten;
	char trouble[512]; /* the first thing that was wrong, or "" */
};

/* raw is connected; takes the handles of the package's files.  false: see
 * trouble. */
bool sweep_load_begin(struct sweep_load *load, const char *export);
/* All operations; false: the server is gone for good, or see trouble. */
bool sweep_load_run(struct sweep_load *load);
/* Is all there?  What must not fail any more fails it. */
bool sweep_load_verify(struct sweep_load *load);
/* One more file, both small and large, made and made stable; the status of the
 * first call that failed. */
int sweep_load_probe(struct sweep_load *load);

#endif

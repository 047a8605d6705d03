/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corruptrig: a host that takes a package of known bytes from a depot at rest
 * behind a fault proxy, for what damages either (tests/tools/corrupter.c).
 * What cannot be set up aborts.
 *
 * The package has CORRUPTRIG_SMALL files of one chunk each, the first in
 * number, then CORRUPTRIG_LARGE ones of several.
 */
#ifndef TESTS_LIB_CORRUPTRIG_H
#define TESTS_LIB_CORRUPTRIG_H

#include <stdatomic.h>

#include "depot/kv.h"
#include "depot/tree.h"
#include "tests/lib/daemon.h"

enum {
	CORRUPTRIG_SMALL = 500,
	CORRUPTRIG_LARGE = 12,
	CORRUPTRIG_FILES = CORRUPTRIG_SMALL + CORRUPTRIG_LARGE,
	CORRUPTRIG_READERS = 4,
};

struct corruptrig_file {
	uint8_t *bytes; /* owns */
	size_t len;
};

struct corruptrig {
	const char *www, *url, *proxy; /* borrow */
	bool private;
	struct daemon daemon;
	struct corruptrig_file file[CORRUPTRIG_FILES];
	struct tree *tree;                   /* ref */
	uint32_t shard_of[CORRUPTRIG_FILES]; /* the first one of each */
	char tree_hex[65];
};

/*
 * www: a directory that `url` is served from through the proxy, whose control
 * socket is `proxy`.  The package is made on a host of its own, pushed, taken
 * by this one and read once: the daemon runs, all is warm.
 */
void corruptrig_open(struct corruptrig *rig, const char *www, const char *url,
		     const char *proxy, bool private, uint64_t seed);
void corruptrig_close(struct corruptrig *rig);

void corruptrig_up(struct corruptrig *rig);
void corruptrig_down(struct corruptrig *rig); /* an orderly end */

/* The host's shards, while it is down; close it before the next start. */
struct kv *corruptrig_shards(struct corruptrig *rig);
/* "DIR/store/NAME/TREE", malloc'ed: NAME is trees or indexes. */
char *corruptrig_path(struct corruptrig *rig, const char *name);

struct corruptrig_result {
	unsigned int reads;
	unsigned int wrong;    /* with other bytes than the package's */
	unsigned int unserved; /* errors, or nothing within a minute */
};
/* Read these files whole through NFS, in that order by `readers` connections;
 * adds to *result. */
void corruptrig_read(struct corruptrig *rig, const uint32_t *files,
		     size_t count, unsigned int readers,
		     struct corruptrig_result *result);
/* All numbers below count, shuffled. */
void corruptrig_shuffle(uint32_t *numbers, size_t count, uint64_t *random);

/* A number of vdrive status --json. */
uint64_t corruptrig_figure(struct corruptrig *rig, const char *key);
/* One command to the proxy. */
void corruptrig_proxy(struct corruptrig *rig, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
/* Requests for packs since its "reset". */
uint64_t corruptrig_requests(struct corruptrig *rig);
/* Requests that its rules would still spoil. */
uint64_t corruptrig_left(struct corruptrig *rig);
/* Where packs, or all there is, lie by URL path. */
const char *corruptrig_packs(const struct corruptrig *rig);

#endif

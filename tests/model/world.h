/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world: one run of the model test: a fresh guest of the server and a fresh
 * copy of its package's tree on the host, the objects of both paired, and the
 * comparison of the two (reliability H-3).
 *
 * An object is the server's handle and an open path of the host.  Pairs are
 * found by name at the start, made by the calls that make objects, and are for
 * ever: every later listing must show the same handle and number for the same
 * object of the host (rules N-16, N-18, N-21), whatever its names became.
 *
 * Life: world_open -> act_do (act.h) and world_compare in turn -> world_close.
 * The first thing that is wrong stays in `why`; nothing is compared after it.
 */
#ifndef TESTS_MODEL_WORLD_H
#define TESTS_MODEL_WORLD_H

#include "tests/lib/daemon.h"
#include "tests/lib/rawnfs.h"
#include "tests/model/host.h"

enum {
	WORLD_OBJECTS_MAX = 1500,
	WORLD_FILE_MAX = 4 << 20, /* bytes; no operation makes more */
	WORLD_PER_SERVER = 400,   /* runs on one store, then a new one */
};

struct world_server {
	struct daemon daemon;
	unsigned int guests; /* made so far */
	bool hash6;
	bool ready;
	uint64_t restarts;
};

/* Start with a new store when there is none or the old one is used up. */
void world_server_ready(struct world_server *server);
void world_server_free(struct world_server *server);

struct object {
	int fd; /* owns; O_PATH */
	ino_t ino;
	uint32_t type; /* S_IFMT of it */
	struct raw_fh fh;
	uint64_t fileid;
	bool gone;  /* has no name any more */
	bool dirty; /* written UNSTABLE */
	bool has_verifier;
	uint64_t verifier;
};

struct world {
	struct world_server *server; /* borrows */
	struct raw raw;
	char export[32];
	char *dir;              /* owns; the host's tree */
	struct object *objects; /* owns; [0] is the root */
	unsigned int count;
	uint32_t begin; /* s; explicit times are before it, others not */
	bool trace;     /* print each operation */
	char why[600];
	/* figures */
	uint64_t calls, refused;
};

void world_open(struct world *world, struct world_server *server);
void world_close(struct world *world);

/* Something is wrong; only the first is kept. */
void world_wrong(struct world *world, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* By the host's number; NULL: not known. */
struct object *world_find(struct world *world, ino_t ino);
/* takes fd. */
struct object *world_add(struct world *world, int fd, const struct raw_fh *fh,
			 uint64_t fileid);
/* Has it lost its last name? */
void world_refresh(struct object *object);
/* For messages: a ring of a few buffers. */
const char *world_name(const struct world *world, const struct object *object);

/* All: listings of all directories, attributes, identity; contents too. */
void world_compare(struct world *world, bool contents);
/* The attributes of the objects of an operation (NULL and doubled ones
 * allowed), by calls sent together; a mode that the operation's rules allow to
 * differ (act.h) is first made the same on the host. */
struct act;
enum { WORLD_TOGETHER = 8 };
void world_compare_objects(struct world *world, struct object **objects,
			   size_t count, const struct act *act);
/* A whole listing of the server, sorted by this, against the host's names.
 * *first: behind "." and "..".  *bad: a name that only one of them has. */
bool world_listing_same(struct raw_listing *list,
			const struct host_names *names, size_t *first,
			const char **bad);
/* COMMIT what is UNSTABLE, end the server (kill -9 or orderly), start it. */
void world_restart(struct world *world, bool kill);

#endif

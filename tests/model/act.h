/* SPDX-License-Identifier: Apache-2.0 */
/*
 * act: one operation of the model test, done to both sides and judged.
 *
 * An operation is a few random numbers (struct act_dice); what they mean is
 * decided against the world as it is then, so that any sub-sequence of a run is
 * a run again and a failing one can be cut down.
 *
 * Where a Linux file system and this server differ for a reason, a table in
 * rules.c says so, with the rule's number.
 */
#ifndef TESTS_MODEL_ACT_H
#define TESTS_MODEL_ACT_H

#include "tests/model/world.h"

enum { ACT_WHOS = 3, ACT_NAME_MAX = 300, ACT_DATA_MAX = 100000 };

enum act_kind {
	ACT_LOOKUP,
	ACT_CREATE,
	ACT_MKDIR,
	ACT_SYMLINK,
	ACT_MKNOD,
	ACT_REMOVE,
	ACT_RMDIR,
	ACT_RENAME,
	ACT_LINK,
	ACT_CHMOD,
	ACT_CHOWN,
	ACT_RESIZE,
	ACT_TIMES,
	ACT_SETALL,
	ACT_WRITE,
	ACT_COMMIT,
	ACT_READ,
	ACT_READLINK,
	ACT_ACCESS,
	ACT_LIST,
	ACT_KILL,
	ACT_STOP,
	ACT_KINDS
};

struct act_dice {
	uint32_t kind, who, a, b, c, d;
};

/* What an operation became. */
struct act {
	enum act_kind kind;
	uint32_t proc; /* enum raw_proc */
	const struct host_who *who;
	struct object *dir, *dir2; /* dir2: RENAME's second */
	struct object *object;     /* of calls that name none, and LINK */
	struct object *victim;     /* whose name goes, or NULL */
	struct object *moved;      /* RENAME: or NULL */
	char name[ACT_NAME_MAX], name2[ACT_NAME_MAX];
	uint32_t mode, how;
	uint64_t verifier, off;
	uint32_t len, count, stable, bits;
	bool set_size, plus, compare_atime;
	struct raw_sattr set;
	char text[700];   /* for people */
	int host, server; /* NFS status of both */
	/* what READ and the like brought, to be compared on success */
	bool differs;
	struct raw_fh made;
	bool has_made;
};

/* Kinds for ordinary runs; restarts are put in by the caller. */
enum act_kind act_kind_of(uint32_t dice);
void act_do(struct world *world, const struct act_dice *dice);

/* --- rules.c ------------------------------------------------------------- */

/* Before anything is done: the status that the server must give whatever the
 * host would say, and then the host is not asked; -1: ask. */
int rules_before(const struct act *act);
enum rules_verdict { RULES_WRONG, RULES_ALLOWED, RULES_FORCE };
/* Both statuses are there and differ.  RULES_FORCE: do it on the host without
 * asking the object's permission bits. */
enum rules_verdict rules_after(const struct act *act);
/* The server's mode of an object differs from the host's; act: the operation
 * just done, NULL in whole comparisons. */
bool act_mode_allowed(const struct act *act, uint32_t server_mode,
		      const struct stat *host);
/* A row each: how often it was used. */
void rules_print(void);
const char *rules_status(int status);

#endif

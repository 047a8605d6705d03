/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules: where the server and a Linux file system differ for a reason.
 *
 * A row is as narrow as it can be: the procedures, both statuses (or both
 * modes), and a condition that must really hold for this operation on the
 * host.  Rule numbers are reliability.md's.
 */
#include <stdio.h>

#include "tests/model/act.h"
#include "tests/lib/nfsrig.h"

#define P(proc) (1u << P_##proc)
enum {
	RULES_MAKE = P(CREATE) | P(MKDIR) | P(SYMLINK) | P(MKNOD) | P(LINK),
	RULES_NAME = RULES_MAKE | P(LOOKUP) | P(REMOVE) | P(RMDIR) | P(RENAME),
	RULES_ALL = (1 << P_COUNT) - 1,
};

const char *rules_status(int status)
{
	static const struct {
		int status;
		const char *name;
	} names[] = {
	    {S_OK, "OK"},
	    {S_PERM, "PERM"},
	    {S_NOENT, "NOENT"},
	    {S_IO, "IO"},
	    {S_ACCES, "ACCES"},
	    {S_EXIST, "EXIST"},
	    {S_NOTDIR, "NOTDIR"},
	    {S_ISDIR, "ISDIR"},
	    {S_INVAL, "INVAL"},
	    {S_FBIG, "FBIG"},
	    {S_NOSPC, "NOSPC"},
	    {S_MLINK, "MLINK"},
	    {S_NAMETOOLONG, "NAMETOOLONG"},
	    {S_NOTEMPTY, "NOTEMPTY"},
	    {S_STALE, "STALE"},
	    {S_BADHANDLE, "BADHANDLE"},
	    {S_JUKEBOX, "JUKEBOX"},
	};
	static char other[16];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].status == status)
			return names[i].name;
	snprintf(other, sizeof(other), "%d", status);
	return other;
}

/* --- before -------------------------------------------------------------- */

static bool name_is_long(const struct act *act)
{
	return strlen(act->name) > 255 || strlen(act->name2) > 255;
}

static bool handle_is_gone(const struct act *act)
{
	return (act->dir && act->dir->gone) || (act->dir2 && act->dir2->gone) ||
	       (act->object && act->object->gone && act->proc != P_LINK);
}

static bool has_no_bytes(const struct act *act)
{
	return act->object->type != S_IFREG &&
	       (act->proc != P_SETATTR || (act->set.mask & RAW_SET_SIZE));
}

static bool is_no_symlink(const struct act *act)
{
	return act->object->type != S_IFLNK;
}

static bool is_no_dir(const struct act *act)
{
	return act->object->type != S_IFDIR;
}

static struct {
	uint32_t procs;
	int status;
	bool (*holds)(const struct act *act);
	const char *rule, *why;
	unsigned long used;
} rules_early[] = {
    {RULES_NAME, S_NAMETOOLONG, name_is_long, "N-29",
     "the length of a name is judged before anything is looked up", 0},
    {RULES_ALL, S_STALE, handle_is_gone, "N-15",
     "an object without a name is gone, on the host an open one lives on", 0},
    {P(READ) | P(WRITE) | P(SETATTR), S_INVAL, has_no_bytes, "N-27 N-47",
     "no bytes in a directory, link or FIFO; the host would open it", 0},
    {P(COMMIT), S_IO, has_no_bytes, "N-27",
     "COMMIT of no file: RFC 1813 allows neither ISDIR nor INVAL", 0},
    {P(READLINK), S_INVAL, is_no_symlink, "N-48",
     "READLINK of what is no symbolic link", 0},
    {P(READDIR) | P(READDIRPLUS), S_NOTDIR, is_no_dir, "N-27",
     "a listing of what is no directory; of a link the host says ELOOP", 0},
};

int rules_before(const struct act *act)
{
	for (size_t i = 0; i < ARRAY_LEN(rules_early); i++)
		if ((rules_early[i].procs >> act->proc & 1) &&
		    rules_early[i].holds(act)) {
			rules_early[i].used++;
			return rules_early[i].status;
		}
	return -1;
}

/* --- after --------------------------------------------------------------- */

static bool is_owner(const struct act *act)
{
	const struct object *object = act->object ? act->object : act->victim;

	return object && host_stat(object->fd).st_uid == act->who->uid;
}

static bool is_owner_or_executes(const struct act *act)
{
	return is_owner(act) || host_may(act->who, act->object->fd, X_OK);
}

static bool object_is_gone(const struct act *act)
{
	return act->object->gone;
}

static bool may_change(const struct act *act, const struct object *dir)
{
	return host_may(act->who, dir->fd, W_OK | X_OK);
}

static bool sticky_forbids(const struct act *act, const struct object *dir,
			   const struct object *victim)
{
	struct stat st = host_stat(dir->fd);

	return victim && (st.st_mode & S_ISVTX) && act->who->uid != 0 &&
	       act->who->uid != st.st_uid &&
	       act->who->uid != host_stat(victim->fd).st_uid;
}

static bool rename_not_permitted(const struct act *act)
{
	return sticky_forbids(act, act->dir, act->moved) ||
	       sticky_forbids(act, act->dir2, act->victim);
}

static bool rename_not_allowed(const struct act *act)
{
	bool moves_dir =
	    act->moved && act->moved->type == S_IFDIR && act->dir != act->dir2;

	return !may_change(act, act->dir) || !may_change(act, act->dir2) ||
	       (moves_dir && !host_may(act->who, act->moved->fd, W_OK));
}

static bool rename_over_dir(const struct act *act)
{
	return act->victim && act->victim->type == S_IFDIR && act->moved &&
	       act->moved->type != S_IFDIR;
}

static bool rename_over_file(const struct act *act)
{
	return act->victim && act->victim->type != S_IFDIR && act->moved &&
	       act->moved->type == S_IFDIR;
}

enum { HOST_REFUSES = -1 }; /* with any error */

static struct {
	uint32_t procs;
	int host, server;
	bool (*holds)(const struct act *act);
	enum rules_verdict verdict;
	const char *rule, *why;
	unsigned long used;
} rules_late[] = {
    {P(WRITE) | P(SETATTR) | P(CREATE), S_ACCES, S_OK, is_owner, RULES_FORCE,
     "N-39", "the owner writes whatever the mode: there is no OPEN", 0},
    {P(READ), S_ACCES, S_OK, is_owner_or_executes, RULES_FORCE, "N-39",
     "the owner reads whatever the mode, and who may execute", 0},
    {P(LINK), HOST_REFUSES, S_STALE, object_is_gone, RULES_ALLOWED, "N-15",
     "a link to an object without a name: its handle is stale", 0},
    /* A rename may be refused for several reasons at once; POSIX does not say
     * which is told.  The server's must be one of those that hold. */
    {P(RENAME), HOST_REFUSES, S_PERM, rename_not_permitted, RULES_ALLOWED,
     "N-33 N-35", "one of several reasons: a sticky directory", 0},
    {P(RENAME), HOST_REFUSES, S_ACCES, rename_not_allowed, RULES_ALLOWED,
     "N-33", "one of several reasons: no permission", 0},
    {P(RENAME), HOST_REFUSES, S_ISDIR, rename_over_dir, RULES_ALLOWED, "N-33",
     "one of several reasons: no directory over a directory", 0},
    {P(RENAME), HOST_REFUSES, S_NOTDIR, rename_over_file, RULES_ALLOWED, "N-33",
     "one of several reasons: a directory over none", 0},
};

enum rules_verdict rules_after(const struct act *act)
{
	for (size_t i = 0; i < ARRAY_LEN(rules_late); i++)
		if ((rules_late[i].procs >> act->proc & 1) &&
		    act->server == rules_late[i].server &&
		    (act->host == rules_late[i].host ||
		     (rules_late[i].host == HOST_REFUSES && act->host > 0)) &&
		    rules_late[i].holds(act)) {
			rules_late[i].used++;
			return rules_late[i].verdict;
		}
	return RULES_WRONG;
}

/* --- modes --------------------------------------------------------------- */

/* The host drops setgid of a file only where its group may execute: without
 * that the bit used to mean mandatory locking.  The server drops it always. */
static bool sgid_without_exec(const struct act *act, uint32_t server,
			      uint32_t host)
{
	return act->who->uid != 0 && !(host & S_IXGRP) &&
	       server == (host & ~(uint32_t)S_ISGID);
}

static struct {
	uint32_t procs;
	bool (*holds)(const struct act *act, uint32_t server, uint32_t host);
	const char *rule, *why;
	unsigned long used;
} rules_mode[] = {
    {P(WRITE) | P(SETATTR) | P(CREATE) | P(MKNOD), sgid_without_exec,
     "N-36 N-37", "setgid goes also where the group may not execute", 0},
};

bool act_mode_allowed(const struct act *act, uint32_t server_mode,
		      const struct stat *host)
{
	if (!act || act->server != S_OK || S_ISDIR(host->st_mode))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(rules_mode); i++)
		if ((rules_mode[i].procs >> act->proc & 1) &&
		    rules_mode[i].holds(act, server_mode,
					host->st_mode & 07777)) {
			rules_mode[i].used++;
			return true;
		}
	return false;
}

void rules_print(void)
{
	printf("allowed differences, and how often they were met:\n");
	for (size_t i = 0; i < ARRAY_LEN(rules_early); i++)
		printf("  %8lu  %-10s %s\n", rules_early[i].used,
		       rules_early[i].rule, rules_early[i].why);
	for (size_t i = 0; i < ARRAY_LEN(rules_late); i++)
		printf("  %8lu  %-10s %s\n", rules_late[i].used,
		       rules_late[i].rule, rules_late[i].why);
	for (size_t i = 0; i < ARRAY_LEN(rules_mode); i++)
		printf("  %8lu  %-10s %s\n", rules_mode[i].used,
		       rules_mode[i].rule, rules_mode[i].why);
}

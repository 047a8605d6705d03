/* SPDX-License-Identifier: Apache-2.0 */
/* act: see act.h. */
#include "tests/model/act.h"

#include <fcntl.h>
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/nfsrig.h"

static const struct host_who act_whos[ACT_WHOS] = {
    {0, 0, {0}, 0},
    {1000, 1000, {2000}, 1},
    {1001, 1001, {1000, 3000}, 2},
};

static uint8_t act_data[ACT_DATA_MAX], act_host_data[ACT_DATA_MAX];

struct act_row {
	const char *word;
	uint8_t weight; /* of 128 */
	uint8_t proc;
};
static const struct act_row act_rows[ACT_KINDS] = {
    [ACT_LOOKUP] = {"LOOKUP", 4, P_LOOKUP},
    [ACT_CREATE] = {"CREATE", 10, P_CREATE},
    [ACT_MKDIR] = {"MKDIR", 8, P_MKDIR},
    [ACT_SYMLINK] = {"SYMLINK", 3, P_SYMLINK},
    [ACT_MKNOD] = {"MKNOD", 3, P_MKNOD},
    [ACT_REMOVE] = {"REMOVE", 9, P_REMOVE},
    [ACT_RMDIR] = {"RMDIR", 7, P_RMDIR},
    [ACT_RENAME] = {"RENAME", 20, P_RENAME},
    [ACT_LINK] = {"LINK", 7, P_LINK},
    [ACT_CHMOD] = {"CHMOD", 6, P_SETATTR},
    [ACT_CHOWN] = {"CHOWN", 5, P_SETATTR},
    [ACT_RESIZE] = {"RESIZE", 9, P_SETATTR},
    [ACT_TIMES] = {"TIMES", 6, P_SETATTR},
    [ACT_SETALL] = {"SETALL", 3, P_SETATTR},
    [ACT_WRITE] = {"WRITE", 14, P_WRITE},
    [ACT_COMMIT] = {"COMMIT", 2, P_COMMIT},
    [ACT_READ] = {"READ", 4, P_READ},
    [ACT_READLINK] = {"READLINK", 1, P_READLINK},
    [ACT_ACCESS] = {"ACCESS", 4, P_ACCESS},
    [ACT_LIST] = {"LIST", 3, P_READDIR},
    [ACT_KILL] = {"KILL", 0, 0},
    [ACT_STOP] = {"STOP", 0, 0},
};

enum act_kind act_kind_of(uint32_t dice)
{
	enum act_kind kind = ACT_LOOKUP;

	dice %= 128;
	while (dice >= act_rows[kind].weight && kind < ACT_LIST)
		dice -= act_rows[kind++].weight;
	return kind;
}

/* --- picking ------------------------------------------------------------- */

enum act_want { WANT_DIR, WANT_FILE, WANT_OTHER, WANT_GONE, WANT_ANY };

static bool act_wanted(const struct object *object, enum act_want want)
{
	switch (want) {
	case WANT_DIR:
		return object->type == S_IFDIR && !object->gone;
	case WANT_FILE:
		return object->type == S_IFREG && !object->gone;
	case WANT_OTHER:
		return object->type != S_IFREG && object->type != S_IFDIR &&
		       !object->gone;
	case WANT_GONE:
		return object->gone;
	default:
		return true;
	}
}

/* The n-th of these, counted from the newest; the root if there is none. */
static struct object *act_nth(struct world *world, enum act_want want,
			      uint32_t n)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < world->count; i++)
		count += act_wanted(&world->objects[i], want);
	if (count == 0)
		return &world->objects[0];
	/* A third of all are about the few newest ones. */
	n = n % 3 ? n / 3 % count : n / 3 % MIN(count, 8);
	for (unsigned int i = world->count; i-- > 0;)
		if (act_wanted(&world->objects[i], want) && n-- == 0)
			return &world->objects[i];
	return &world->objects[0];
}

static struct object *act_pick_dir(struct world *world, uint32_t n)
{
	uint32_t dice = n >> 24;

	return act_nth(world,
		       dice < 4   ? WANT_ANY
		       : dice < 8 ? WANT_GONE
				  : WANT_DIR,
		       n & 0xffffff);
}

/* bytes: mostly of something that has bytes. */
static struct object *act_pick(struct world *world, uint32_t n, bool bytes)
{
	uint32_t dice = n >> 24;

	if (bytes && dice >= 14)
		dice = 255;

	return act_nth(world,
		       dice < 6    ? WANT_GONE
		       : dice < 28 ? WANT_OTHER
		       : dice < 64 ? WANT_DIR
				   : WANT_FILE,
		       n & 0xffffff);
}

/* A name for something in `dir`: there (mostly, if so asked) or not. */
static void act_pick_name(const struct object *dir, uint32_t n, bool there,
			  char name[ACT_NAME_MAX])
{
	static const char *const words[] = {
	    "a",     "b",   "c",       "x y", "\xc3\xa9t\xc3\xa9",
	    ".wh.a", "new", "entry 1",
	};
	CLEANUP(host_names_free) struct host_names names = {NULL, 0, 0};
	uint32_t dice = n >> 24;

	if (dice < 6) {
		snprintf(name, ACT_NAME_MAX, "%0*d", dice < 2 ? 256 : 255, 0);
		return;
	}
	if (dice < (there ? 208 : 64) && dir->type == S_IFDIR && !dir->gone)
		ASSERT(host_list(NULL, dir->fd, &names) == 0);
	snprintf(name, ACT_NAME_MAX, "%s",
		 names.count ? names.names[n % names.count]
			     : words[n % ARRAY_LEN(words)]);
}

static struct object *act_at(struct world *world, const struct object *dir,
			     const char *name)
{
	struct stat st;

	if (!dir || dir->gone || dir->type != S_IFDIR ||
	    fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	return world_find(world, st.st_ino);
}

static uint32_t act_pick_mode(uint32_t n)
{
	static const uint32_t modes[] = {
	    0755, 0644,  0600,  0777,  0666,  0444,  0,    0111,
	    0070, 04755, 06777, 02770, 01777, 02666, 0500, 06700};

	return n % 4 ? modes[n / 4 % ARRAY_LEN(modes)] : n / 4 & 07777;
}

/* --- what the dice say --------------------------------------------------- */

static void act_set_up(struct act *act, const struct act_dice *dice)
{
	static const uint32_t uids[] = {0, 1000, 1001};
	static const uint32_t gids[] = {0, 1000, 1001, 2000, 3000};
	struct raw_sattr *set = &act->set;
	bool root = act->who->uid == 0;
	enum act_kind kind = act->kind;

	set->mode = act_pick_mode(dice->c);
	set->uid = uids[dice->c % 3];
	set->gid = gids[dice->d % 5];
	set->size =
	    dice->c % 8 == 0 ? 0 : dice->d % (dice->c % 4 ? 40000 : 400000);
	for (int i = 0; i < 2; i++) {
		set->atime[i] = dice->c % 900000000 + (uint32_t)i;
		set->mtime[i] = dice->d % 900000000 + (uint32_t)i;
	}
	if (kind == ACT_CHMOD || kind == ACT_SETALL)
		set->mask = RAW_SET_MODE;
	if ((kind == ACT_CHOWN && (dice->c >> 16) % (root ? 3 : 6) != 0) ||
	    (kind == ACT_SETALL && root))
		set->mask |= RAW_SET_GID;
	if (kind == ACT_CHOWN ? set->mask == 0 || (dice->d >> 16) % 3 == 0
			      : kind == ACT_SETALL && root)
		set->mask |= RAW_SET_UID;
	if (kind == ACT_RESIZE)
		set->mask = RAW_SET_SIZE;
	if (kind == ACT_TIMES || kind == ACT_SETALL) {
		bool now = kind == ACT_TIMES && dice->c % 3 == 0;

		set->mtime_how = now ? RAW_TIME_SERVER : RAW_TIME_CLIENT;
		set->atime_how = now || dice->d % 2 ? set->mtime_how : 0;
		act->compare_atime = set->atime_how == RAW_TIME_CLIENT;
	}
	/* No client sends the mode of a symbolic link. */
	if (act->object->type == S_IFLNK)
		set->mask &= ~(unsigned int)RAW_SET_MODE;
}

static void act_io_up(struct act *act, const struct act_dice *dice)
{
	static const uint32_t lens[] = {1,    100,   4096, 16384,
					5000, 65536, 0,    30000};
	uint64_t size = 0;

	if (act->object->type == S_IFREG)
		size = (uint64_t)host_stat(act->object->fd).st_size;
	act->len = dice->c % 2 ? dice->d % 9000 : lens[dice->d % 8];
	if (dice->c % 16 == 0)
		act->len = dice->d % ACT_DATA_MAX;
	act->off = dice->d >> 8;
	switch (dice->c >> 8 & 7) {
	case 0:
		act->off = 0;
		break;
	case 1:
		act->off = size; /* append */
		break;
	case 2:
		act->off = size + act->off % 70000;
		break;
	case 3:
		act->off = act->off % (size / 4096 + 3) * 4096;
		break;
	case 4:
		act->off %= act->who->uid == 0 ? 2500000 : 20000;
		break;
	default:
		act->off %= size + 1;
		break;
	}
	act->off = MIN(act->off, (uint64_t)WORLD_FILE_MAX - ACT_DATA_MAX);
	act->stable = (dice->c >> 16) % 3;
	check_fill(act_data, act->len, dice->d | 1);
}

static void act_two_names(struct world *world, struct act *act,
			  const struct act_dice *dice)
{
	act->dir2 = dice->b % 3 ? act_pick_dir(world, dice->b ^ dice->d << 3)
				: act->dir;
	act_pick_name(act->dir2, dice->d, dice->a % 2, act->name2);
	act->moved = act_at(world, act->dir, act->name);
	act->victim = act_at(world, act->dir2, act->name2);
	/* Sometimes over another name of itself. */
	if (dice->b % 16 == 1) {
		act->dir2 = act->dir;
		memcpy(act->name2, act->name, sizeof(act->name2));
		act->victim = act->moved;
	}
}

static void act_resolve(struct world *world, const struct act_dice *dice,
			struct act *act)
{
	enum act_kind kind = (enum act_kind)dice->kind;
	bool takes = kind == ACT_REMOVE || kind == ACT_RMDIR ||
		     kind == ACT_RENAME || kind == ACT_LOOKUP;
	bool bytes = kind == ACT_WRITE || kind == ACT_READ ||
		     kind == ACT_RESIZE || kind == ACT_COMMIT;

	memset(act, 0, sizeof(*act));
	act->kind = kind;
	act->proc = act_rows[kind].proc;
	act->who = &act_whos[dice->who % ACT_WHOS];
	if (kind <= ACT_LINK) {
		act->dir = act_pick_dir(world, dice->a);
		act_pick_name(act->dir, dice->c, takes, act->name);
		act->victim = act_at(world, act->dir, act->name);
	}
	/* RMDIR of a directory, where one can be found. */
	if (kind == ACT_RMDIR && dice->b % 4) {
		for (int i = 1;
		     i < 12 && act->victim && act->victim->type != S_IFDIR;
		     i++) {
			act_pick_name(act->dir, dice->c + (uint32_t)i, true,
				      act->name);
			act->victim = act_at(world, act->dir, act->name);
		}
	}
	if (kind >= ACT_LINK)
		act->object = act_pick(world, dice->b, bytes);
	if (kind == ACT_LIST)
		act->object = act_pick_dir(world, dice->b);
	if (kind == ACT_RENAME)
		act_two_names(world, act, dice);
	act->mode = act_pick_mode(dice->d);
	if (kind == ACT_MKDIR && dice->d % 8)
		act->mode &= 01777;
	act->how = dice->b % 3;
	act->set_size = act->how != 2 && dice->b % 2;
	if (kind == ACT_CREATE && act->set_size && dice->b % 8 == 1)
		act->set.size = dice->d % 70000;
	act->verifier = 1 + dice->d % 4;
	act->bits = 0x3f;
	act->plus = dice->c % 2;
	act->count = (act->plus ? 1024 : 512) + dice->d % 4096;
	if (kind == ACT_LIST && act->plus)
		act->proc = P_READDIRPLUS;
	if (kind >= ACT_CHMOD && kind <= ACT_SETALL)
		act_set_up(act, dice);
	if (kind == ACT_WRITE || kind == ACT_READ)
		act_io_up(act, dice);
}

/* --- for people ---------------------------------------------------------- */

static int act_say_set(char *p, size_t cap, const struct raw_sattr *set)
{
	int n = 0;

	if (set->mask & RAW_SET_MODE)
		n += snprintf(p + n, cap - (size_t)n, " mode %04o", set->mode);
	if (set->mask & RAW_SET_UID)
		n += snprintf(p + n, cap - (size_t)n, " uid %u", set->uid);
	if (set->mask & RAW_SET_GID)
		n += snprintf(p + n, cap - (size_t)n, " gid %u", set->gid);
	if (set->mask & RAW_SET_SIZE)
		n += snprintf(p + n, cap - (size_t)n, " size %llu",
			      (unsigned long long)set->size);
	if (set->mtime_how)
		n +=
		    snprintf(p + n, cap - (size_t)n, " times %s",
			     set->mtime_how == RAW_TIME_SERVER ? "now" : "set");
	return n;
}

static void act_say(const struct world *world, struct act *act)
{
	char more[200] = "", name[48], name2[48];

	snprintf(name, sizeof(name), "%.40s%s", act->name,
		 strlen(act->name) > 40 ? "..." : "");
	snprintf(name2, sizeof(name2), "%.40s%s", act->name2,
		 strlen(act->name2) > 40 ? "..." : "");
	if (act->kind == ACT_CREATE)
		snprintf(more, sizeof(more), " %s %04o%s%.0llu",
			 act->how == 0   ? "UNCHECKED"
			 : act->how == 1 ? "GUARDED"
					 : "EXCLUSIVE",
			 act->how == 2 ? 0 : act->mode,
			 act->set_size ? " sized " : "",
			 (unsigned long long)act->set.size);
	else if (act->kind == ACT_MKDIR || act->kind == ACT_MKNOD)
		snprintf(more, sizeof(more), " %04o", act->mode);
	else if (act->kind == ACT_WRITE || act->kind == ACT_READ)
		snprintf(more, sizeof(more), " %u bytes at %llu", act->len,
			 (unsigned long long)act->off);
	else if (act->proc == P_SETATTR)
		act_say_set(more, sizeof(more), &act->set);
	else if (act->kind == ACT_LIST)
		snprintf(more, sizeof(more), " pages of %u%s", act->count,
			 act->plus ? ", plus" : "");
	snprintf(act->text, sizeof(act->text),
		 "uid %-4u %s%s%s%s%s%s%s%s%s%s%s%s", act->who->uid,
		 act_rows[act->kind].word, act->object ? " \"" : "",
		 act->object ? world_name(world, act->object) : "",
		 act->object ? "\"" : "", act->dir ? " \"" : "",
		 act->dir ? world_name(world, act->dir) : "",
		 act->dir ? "\" / \"" : "", act->dir ? name : "",
		 act->dir2 ? "\" to \"" : "",
		 act->dir2 ? world_name(world, act->dir2) : "",
		 act->dir2 ? "\" / \"" : "", act->dir2 ? name2 : "");
	if (act->dir)
		strcat(act->text, "\"");
	strcat(act->text, more);
}

/* --- on the host --------------------------------------------------------- */

static int act_host_create(const struct act *act, bool force)
{
	struct raw_sattr size = {.mask = RAW_SET_SIZE, .size = act->set.size};
	const struct object *over = act->victim;
	int rc = host_create(act->who, act->dir->fd, act->name,
			     act->how == 2 ? 0 : act->mode, act->set.size);

	if (rc != -EEXIST || !over)
		return rc;
	/* RFC 1813 3.3.8: the same verifier is the same call again. */
	if (act->how == 2)
		return over->has_verifier && over->verifier == act->verifier
			   ? 0
			   : rc;
	if (act->how != 0 || over->type != S_IFREG)
		return rc;
	if (!act->set_size ||
	    (uint64_t)host_stat(over->fd).st_size == act->set.size)
		return 0;
	return host_setattr(act->who, over->fd, &size, force);
}

static int act_host_name(const struct act *act, bool force)
{
	const struct host_who *who = act->who;
	int dir = act->dir->fd;

	switch (act->kind) {
	case ACT_LOOKUP:
		return host_lookup(who, dir, act->name);
	case ACT_CREATE:
		return act_host_create(act, force);
	case ACT_MKDIR:
		return host_mknod(who, dir, act->name, S_IFDIR | act->mode);
	case ACT_SYMLINK:
		return host_symlink(who, dir, act->name, "../some/where");
	case ACT_MKNOD:
		return host_mknod(who, dir, act->name,
				  (act->how ? S_IFIFO : S_IFSOCK) | act->mode);
	case ACT_REMOVE:
	case ACT_RMDIR:
		return host_remove(who, dir, act->name, act->kind == ACT_RMDIR);
	case ACT_RENAME:
		return host_rename(who, dir, act->name, act->dir2->fd,
				   act->name2);
	default:
		return host_link(who, act->object->fd, dir, act->name);
	}
}

static int act_host(const struct act *act, bool force)
{
	CLEANUP(host_names_free) struct host_names names = {NULL, 0, 0};

	if (act->dir)
		return act_host_name(act, force);
	switch (act->kind) {
	case ACT_WRITE:
		return host_write(act->who, act->object->fd, act->off, act_data,
				  act->len, force);
	case ACT_READ:
		return (int)MIN(host_read(act->who, act->object->fd, act->off,
					  act_host_data, act->len, force),
				0);
	case ACT_LIST:
		return host_list(act->who, act->object->fd, &names);
	case ACT_COMMIT:
	case ACT_READLINK:
	case ACT_ACCESS:
		return 0;
	default:
		return host_setattr(act->who, act->object->fd, &act->set,
				    force);
	}
}

static int act_nfs_status(int rc)
{
	switch (-rc) {
	case ENAMETOOLONG:
		return S_NAMETOOLONG;
	case ENOTEMPTY:
		return S_NOTEMPTY;
	case ESTALE:
		return S_STALE;
	default:
		return -rc; /* the others have the numbers of Linux */
	}
}

/* --- on the server ------------------------------------------------------- */

static void act_server_create(struct raw *raw, struct act *act)
{
	struct raw_sattr set = {.mask = RAW_SET_MODE, .mode = act->mode};

	set.size = act->set.size;
	if (act->set_size)
		set.mask |= RAW_SET_SIZE;
	raw_begin_fh(raw, P_CREATE, &act->dir->fh);
	raw_put_string(raw, act->name);
	raw_put32(raw, act->how);
	if (act->how == 2)
		raw_put64(raw, act->verifier);
	else
		raw_put_sattr(raw, &set);
}

/* The calls whose reply has the handle of what was made. */
static int act_server_make(struct raw *raw, struct act *act)
{
	const struct raw_fh *dir = &act->dir->fh;
	int rc;

	if (act->kind == ACT_MKDIR)
		raw_begin_mkdir(raw, dir, act->name, act->mode);
	else if (act->kind == ACT_SYMLINK)
		raw_begin_symlink(raw, dir, act->name, "../some/where", 13);
	else if (act->kind == ACT_MKNOD)
		raw_begin_mknod(raw, dir, act->name, act->how ? 7 : 6,
				act->mode);
	else
		act_server_create(raw, act);
	rc = raw_status(raw);
	if (rc == S_OK && raw_get32(raw)) {
		raw_get_fh(raw, &act->made);
		act->has_made = true;
	}
	return rc;
}

static int act_server_access(struct raw *raw, struct act *act)
{
	const struct object *object = act->object;
	uint32_t granted = 0, want = 0;
	int rc = raw_access(raw, &object->fh, act->bits, &granted);
	bool dir = object->type == S_IFDIR;

	if (rc != S_OK)
		return rc;
	if (host_may(act->who, object->fd, R_OK))
		want |= 1;
	if (host_may(act->who, object->fd, X_OK))
		want |= dir ? 2 : 32;
	if (host_may(act->who, object->fd, dir ? W_OK | X_OK : W_OK))
		want |= dir ? 4 | 8 | 16 : 4 | 8;
	act->differs = granted != want;
	return rc;
}

static int act_server_read(struct raw *raw, struct act *act)
{
	uint32_t got = 0;
	bool eof = false;
	int rc = raw_read(raw, &act->object->fh, act->off, act->len, act_data,
			  &got, &eof);
	ssize_t n;

	if (rc != S_OK)
		return rc;
	n = host_read(NULL, act->object->fd, act->off, act_host_data, act->len,
		      true);
	act->differs = n != (ssize_t)got ||
		       memcmp(act_data, act_host_data, got) != 0 ||
		       eof != (act->off + got >=
			       (uint64_t)host_stat(act->object->fd).st_size);
	return rc;
}

static int act_server_list(struct raw *raw, struct act *act)
{
	CLEANUP(host_names_free) struct host_names names = {NULL, 0, 0};
	CLEANUP(raw_listing_free) struct raw_listing list = {0};
	const char *bad;
	size_t first;
	int rc = raw_list(raw, &act->object->fh, act->plus, act->count, &list);

	if (rc != S_OK)
		return rc;
	ASSERT(host_list(NULL, act->object->fd, &names) == 0);
	act->differs = !world_listing_same(&list, &names, &first, &bad);
	return rc;
}

static int act_server_object(struct raw *raw, struct act *act)
{
	const struct raw_fh *fh = &act->object->fh;
	uint64_t verifier;
	uint32_t committed;
	char target[4096];
	size_t len;
	int rc;

	switch (act->kind) {
	case ACT_WRITE:
		rc = raw_write(raw, fh, act->off, act_data, act->len,
			       act->stable, &committed, &verifier);
		act->differs = rc == S_OK && committed < act->stable;
		return rc;
	case ACT_READ:
		return act_server_read(raw, act);
	case ACT_LIST:
		return act_server_list(raw, act);
	case ACT_COMMIT:
		return raw_commit(raw, fh, &verifier);
	case ACT_READLINK:
		return raw_readlink(raw, fh, target, sizeof(target), &len);
	case ACT_ACCESS:
		return act_server_access(raw, act);
	default:
		return raw_setattr(raw, fh, &act->set, NULL, NULL);
	}
}

static int act_server(struct world *world, struct act *act)
{
	struct raw *raw = &world->raw;

	raw->uid = act->who->uid;
	raw->gid = act->who->gid;
	raw->group_count = act->who->group_count;
	memcpy(raw->groups, act->who->groups, sizeof(act->who->groups));
	switch (act->kind) {
	case ACT_LOOKUP:
		return raw_lookup(raw, &act->dir->fh, act->name, &act->made,
				  NULL);
	case ACT_CREATE:
	case ACT_MKDIR:
	case ACT_SYMLINK:
	case ACT_MKNOD:
		return act_server_make(raw, act);
	case ACT_REMOVE:
	case ACT_RMDIR:
		return raw_remove(raw, &act->dir->fh, act->name,
				  act->kind == ACT_RMDIR);
	case ACT_RENAME:
		return raw_rename(raw, &act->dir->fh, act->name, &act->dir2->fh,
				  act->name2);
	case ACT_LINK:
		return raw_link(raw, &act->object->fh, &act->dir->fh,
				act->name);
	default:
		return act_server_object(raw, act);
	}
}

/* --- both ---------------------------------------------------------------- */

/* A name was made, or found: is it the object that the host has there? */
static void act_learn(struct world *world, struct act *act)
{
	struct object *object = act_at(world, act->dir, act->name);
	struct raw_attr attr;
	int fd;

	if (object) {
		if (memcmp(&object->fh, &act->made, sizeof(act->made)) != 0)
			world_wrong(world, "%s: another object", act->text);
		return;
	}
	fd = host_open(act->dir->fd, act->name);
	ASSERT(fd >= 0);
	world->raw.uid = 0;
	if (!act->has_made ||
	    raw_getattr(&world->raw, &act->made, &attr) != S_OK) {
		world_wrong(world, "%s: no handle of what was made", act->text);
		close(fd);
		return;
	}
	object = world_add(world, fd, &act->made, attr.fileid);
	object->has_verifier = act->kind == ACT_CREATE && act->how == 2;
	object->verifier = act->verifier;
}

static void act_atime(struct world *world, const struct act *act)
{
	struct raw_attr attr = {0};

	world->raw.uid = 0;
	if (raw_getattr(&world->raw, &act->object->fh, &attr) != S_OK ||
	    memcmp(attr.atime, act->set.atime, sizeof(attr.atime)) != 0)
		world_wrong(world, "%s: atime is %u.%09u", act->text,
			    attr.atime[0], attr.atime[1]);
}

static void act_judge(struct world *world, struct act *act)
{
	if (act->server < 0 || act->server >= S_BADHANDLE)
		world_wrong(world, "%s: server %s, host %s", act->text,
			    rules_status(act->server), rules_status(act->host));
	if (act->server == act->host)
		return;
	switch (rules_after(act)) {
	case RULES_ALLOWED:
		return;
	case RULES_FORCE:
		act->host = act_nfs_status(act_host(act, true));
		if (act->server == act->host)
			return;
		break;
	default:
		break;
	}
	world_wrong(world, "%s: server %s, host %s", act->text,
		    rules_status(act->server), rules_status(act->host));
}

/* Everything the operation was about must be the same on both sides now. */
static void act_compare(struct world *world, struct act *act)
{
	struct object *objects[] = {
	    act->dir,    act->dir2,  act->object,
	    act->victim, act->moved, act_at(world, act->dir, act->name),
	};
	size_t why = strlen(world->why);

	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		world_refresh(objects[i]);
	world_compare_objects(world, objects, ARRAY_LEN(objects), act);
	if (why == 0 && world->why[0]) {
		char text[sizeof(world->why)];

		memcpy(text, world->why, sizeof(text));
		snprintf(world->why, sizeof(world->why), "after %.280s: %.290s",
			 act->text, text);
	}
}

void act_do(struct world *world, const struct act_dice *dice)
{
	struct act act;

	if (dice->kind == ACT_KILL || dice->kind == ACT_STOP) {
		if (world->trace)
			printf("  %s\n", act_rows[dice->kind].word);
		world_restart(world, dice->kind == ACT_KILL);
		return;
	}
	act_resolve(world, dice, &act);
	act_say(world, &act);
	act.host = rules_before(&act);
	if (act.host < 0)
		act.host = act_nfs_status(act_host(&act, false));
	act.server = act_server(world, &act);
	if (world->trace)
		printf("  %s: server %s, host %s\n", act.text,
		       rules_status(act.server), rules_status(act.host));
	act_judge(world, &act);
	if (act.differs)
		world_wrong(world, "%s: another answer", act.text);
	world->calls++;
	world->refused += act.server != S_OK;
	if (world->why[0])
		return;
	if (act.server == S_OK && act.kind <= ACT_MKNOD)
		act_learn(world, &act);
	if (act.server == S_OK && act.kind == ACT_WRITE)
		act.object->dirty = true;
	if (act.server == S_OK && act.compare_atime)
		act_atime(world, &act);
	act_compare(world, &act);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* world: see world.h. */
#include "tests/model/world.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "admin/client.h"
#include "admin/output.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"
#include "tests/model/act.h"
#include "tests/model/tree.h"

enum {
	WORLD_IO = 256 << 10,
	WORLD_PAGE = 32 << 10,
	WORLD_PATHS = 6,
	NFS_STALE = 70,
	WORLD_HASH6_TOP = 1 << 8, /* 6 bits, and a chain of ties */
};

void world_wrong(struct world *world, const char *fmt, ...)
{
	va_list args;

	if (world->why[0])
		return;
	va_start(args, fmt);
	vsnprintf(world->why, sizeof(world->why), fmt, args);
	va_end(args);
}

/* --- the server ---------------------------------------------------------- */

static unsigned int server_many(const struct world_server *server)
{
	return server->hash6 ? TREE_MANY_HASH6 : TREE_MANY;
}

static void server_package(struct world_server *server, const char *name,
			   enum tree_part part)
{
	struct daemon *d = &server->daemon;
	CLEANUP_FREE char *source = tmpdir_path(d->dir, name);
	char arg[600];

	ASSERT(mkdir(source, 0755) == 0);
	tree_make(source, part, server_many(server));
	snprintf(arg, sizeof(arg), "dir:%s", source);
	ASSERT(daemon_cli(d, "package", "create", name, arg, NULL) == 0);
}

static void server_fill(struct world_server *server)
{
	struct daemon *d = &server->daemon;

	server_package(server, "first:1", TREE_FIRST);
	server_package(server, "second:1", TREE_SECOND);
	ASSERT(daemon_cli(d, "tenant", "create", "t", NULL) == 0);
	ASSERT(daemon_cli(d, "tenant", "assign", "t", "first:1", "second:1",
			  "--order", NULL) == 0);
}

void world_server_ready(struct world_server *server)
{
	struct daemon *d = &server->daemon;

	if (server->ready && server->guests >= WORLD_PER_SERVER)
		world_server_free(server);
	if (!server->ready) {
		daemon_init(d);
		server->ready = true;
		server->guests = 0;
		ASSERT(daemon_start(d));
		server_fill(server);
	}
	if (!daemon_lives(d)) {
		daemon_kill(d);
		ASSERT(daemon_start(d));
	}
}

void world_server_free(struct world_server *server)
{
	if (server->ready)
		daemon_free(&server->daemon);
	server->ready = false;
}

/* --- objects ------------------------------------------------------------- */

struct object *world_find(struct world *world, ino_t ino)
{
	/* Ends: no more than WORLD_OBJECTS_MAX, and the newest are asked for
	 * most. */
	for (unsigned int i = world->count; i-- > 0;)
		if (world->objects[i].ino == ino)
			return &world->objects[i];
	return NULL;
}

struct object *world_add(struct world *world, int fd, const struct raw_fh *fh,
			 uint64_t fileid)
{
	struct object *object = &world->objects[world->count++];
	struct stat st = host_stat(fd);

	ASSERT(world->count <= WORLD_OBJECTS_MAX);
	*object = (struct object){.fd = fd,
				  .ino = st.st_ino,
				  .type = st.st_mode & S_IFMT,
				  .fh = *fh,
				  .fileid = fileid};
	return object;
}

void world_refresh(struct object *object)
{
	if (object && host_stat(object->fd).st_nlink == 0)
		object->gone = true;
}

const char *world_name(const struct world *world, const struct object *object)
{
	static char ring[WORLD_PATHS][512];
	static unsigned int next;
	char *path = ring[next++ % WORLD_PATHS];

	host_path(object->fd, world->dir, path);
	if (strlen(path) > 80)
		strcpy(path + 60, "...");
	return *path ? path : ".";
}

/* --- comparing ----------------------------------------------------------- */

static uint32_t world_type3(uint32_t type)
{
	switch (type) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFBLK:
		return 3;
	case S_IFCHR:
		return 4;
	case S_IFLNK:
		return 5;
	case S_IFSOCK:
		return 6;
	default:
		return 7;
	}
}

static void world_same(struct world *world, const struct object *object,
		       const char *what, uint64_t server, uint64_t host)
{
	if (server != host)
		world_wrong(world,
			    "%s of \"%s\": server %llo (%llu), "
			    "host %llo (%llu)",
			    what, world_name(world, object),
			    (unsigned long long)server,
			    (unsigned long long)server,
			    (unsigned long long)host, (unsigned long long)host);
}

/* A time that was set is kept to the nanosecond; one that came from a clock is
 * later than the run's begin on both sides. */
static void world_same_mtime(struct world *world, const struct object *object,
			     const struct raw_attr *attr, const struct stat *st)
{
	bool set = st->st_mtim.tv_sec < world->begin;

	if (set != (attr->mtime[0] < world->begin) ||
	    (set && (attr->mtime[0] != (uint32_t)st->st_mtim.tv_sec ||
		     attr->mtime[1] != (uint32_t)st->st_mtim.tv_nsec)))
		world_wrong(world,
			    "mtime of \"%s\": server %u.%09u, host "
			    "%lld.%09ld",
			    world_name(world, object), attr->mtime[0],
			    attr->mtime[1], (long long)st->st_mtim.tv_sec,
			    st->st_mtim.tv_nsec);
}

static void world_compare_attr(struct world *world, struct object *object,
			       const struct raw_attr *attr,
			       const struct act *act)
{
	struct stat st = host_stat(object->fd);

	if (attr->mode != (st.st_mode & 07777) &&
	    act_mode_allowed(act, attr->mode, &st)) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", object->fd);
		ASSERT(chmod(path, attr->mode) == 0);
		st = host_stat(object->fd);
	}
	world_same(world, object, "type", attr->type,
		   world_type3(st.st_mode & S_IFMT));
	world_same(world, object, "mode", attr->mode, st.st_mode & 07777);
	world_same(world, object, "uid", attr->uid, st.st_uid);
	world_same(world, object, "gid", attr->gid, st.st_gid);
	world_same(world, object, "nlink", attr->nlink, st.st_nlink);
	world_same(world, object, "rdev", attr->rdev[0] + attr->rdev[1], 0);
	world_same(world, object, "fileid", attr->fileid, object->fileid);
	/* What a directory takes is the file system's own business. */
	if (object->type != S_IFDIR)
		world_same(world, object, "size", attr->size,
			   (uint64_t)st.st_size);
	world_same_mtime(world, object, attr, &st);
}

static void world_judge_getattr(struct world *world, struct object *object,
				int rc, const struct raw_attr *attr,
				const struct act *act)
{
	if (object->gone ? rc != NFS_STALE : rc != 0)
		world_wrong(world, "GETATTR of \"%s\": %d, not %s",
			    world_name(world, object), rc,
			    object->gone ? "STALE" : "OK");
	else if (!object->gone)
		world_compare_attr(world, object, attr, act);
}

/* One reply of those under way, which come in any order. */
static bool world_take_getattr(struct world *world, struct object **objects,
			       const uint32_t *xids, size_t count,
			       const struct act *act)
{
	struct raw *raw = &world->raw;
	struct raw_attr attr = {.present = false};
	int rc = raw_reply(raw);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (xids[i] != raw->reply_xid)
			continue;
		rc = (int)raw_get32(raw);
		if (rc == 0)
			raw_get_attr(raw, &attr);
		if (!world->why[0])
			world_judge_getattr(world, objects[i], rc, &attr, act);
		return true;
	}
	world_wrong(world, "GETATTR is not answered: %d", rc);
	return false;
}

void world_compare_objects(struct world *world, struct object **objects,
			   size_t count, const struct act *act)
{
	struct object *asked[WORLD_TOGETHER];
	uint32_t xids[WORLD_TOGETHER];
	size_t n = 0;

	ASSERT(count <= WORLD_TOGETHER);
	world->raw.uid = 0;
	for (size_t i = 0; i < count && !world->why[0]; i++) {
		bool again = !objects[i];

		for (size_t k = 0; k < n; k++)
			again = again || asked[k] == objects[i];
		if (again)
			continue;
		raw_begin_fh(&world->raw, P_GETATTR, &objects[i]->fh);
		if (!raw_send(&world->raw))
			world_wrong(world, "GETATTR cannot be sent");
		asked[n] = objects[i];
		xids[n++] = world->raw.xid;
	}
	for (size_t i = 0; i < n; i++)
		if (!world_take_getattr(world, asked, xids, n, act))
			return;
}

static void world_compare_bytes(struct world *world, struct object *object)
{
	static uint8_t ours[WORLD_IO], theirs[WORLD_IO];
	uint64_t size = (uint64_t)host_stat(object->fd).st_size;
	bool eof = size == 0;

	for (uint64_t off = 0; !eof && !world->why[0];) {
		uint32_t got = 0;
		int rc = raw_read(&world->raw, &object->fh, off, WORLD_IO, ours,
				  &got, &eof);
		ssize_t n =
		    host_read(NULL, object->fd, off, theirs, WORLD_IO, true);

		if (rc != 0 || n != (ssize_t)got ||
		    memcmp(ours, theirs, got) != 0 ||
		    eof != (off + got == size))
			world_wrong(world,
				    "content of \"%s\" from %llu: status %d, "
				    "%u bytes, host %zd",
				    world_name(world, object),
				    (unsigned long long)off, rc, got, n);
		off += got;
	}
}

static void world_compare_target(struct world *world, struct object *object)
{
	char ours[4096], theirs[4096];
	size_t len = 0;
	int rc =
	    raw_readlink(&world->raw, &object->fh, ours, sizeof(ours), &len);
	ssize_t n = host_readlink(object->fd, theirs, sizeof(theirs));

	if (rc != 0 || n != (ssize_t)len || memcmp(ours, theirs, len) != 0)
		world_wrong(world, "target of \"%s\": status %d",
			    world_name(world, object), rc);
}

static void world_compare_dir(struct world *world, struct object *dir,
			      bool contents);

/* One name of a directory; the object is new only at the start. */
static void world_compare_entry(struct world *world, struct object *dir,
				const char *name, const struct raw_entry *entry,
				bool contents)
{
	int fd = host_open(dir->fd, name);
	struct object *object;

	ASSERT(fd >= 0);
	object = world_find(world, host_stat(fd).st_ino);
	if (object)
		close(fd);
	else
		object = world_add(world, fd, &entry->fh, entry->fileid);
	if (entry->fileid != object->fileid ||
	    memcmp(&entry->fh, &object->fh, sizeof(entry->fh)) != 0)
		world_wrong(world,
			    "\"%s\" is another object: number %llx, not %llx",
			    world_name(world, object),
			    (unsigned long long)entry->fileid,
			    (unsigned long long)object->fileid);
	if (!entry->attr.present)
		world_wrong(world, "no attributes of \"%s\" in a listing",
			    world_name(world, object));
	else
		world_compare_attr(world, object, &entry->attr, NULL);
	if (world->why[0])
		return;
	if (object->type == S_IFREG && contents)
		world_compare_bytes(world, object);
	if (object->type == S_IFLNK)
		world_compare_target(world, object);
	if (object->type == S_IFDIR)
		world_compare_dir(world, object, contents);
}

static int world_entry_order(const void *a, const void *b)
{
	return strcmp(((const struct raw_entry *)a)->name,
		      ((const struct raw_entry *)b)->name);
}

static bool world_is_dots(const struct raw_entry *entry)
{
	return strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0;
}

bool world_listing_same(struct raw_listing *list,
			const struct host_names *names, size_t *first,
			const char **bad)
{
	size_t dots = 0;

	qsort(list->entries, list->count, sizeof(*list->entries),
	      world_entry_order);
	/* "." and ".." are not always the first of the sorted: to the front. */
	for (size_t i = 0; i < list->count; i++)
		if (world_is_dots(&list->entries[i])) {
			struct raw_entry dot = list->entries[i];

			memmove(&list->entries[dots + 1], &list->entries[dots],
				(i - dots) * sizeof(dot));
			list->entries[dots++] = dot;
		}
	*first = dots;
	for (size_t i = 0; i < names->count || dots + i < list->count; i++) {
		const char *host = i < names->count ? names->names[i] : NULL;
		const char *server = dots + i < list->count
					 ? list->entries[dots + i].name
					 : NULL;

		if (host && server && strcmp(host, server) == 0)
			continue;
		*bad = !host || (server && strcmp(server, host) < 0) ? server
								     : host;
		return false;
	}
	*bad = dots == 2 ? NULL : "..";
	return dots == 2;
}

static void world_compare_dir(struct world *world, struct object *dir,
			      bool contents)
{
	CLEANUP(host_names_free) struct host_names names = {NULL, 0, 0};
	CLEANUP(raw_listing_free) struct raw_listing list = {0};
	const char *bad = NULL;
	size_t first;
	int rc;

	ASSERT(host_list(NULL, dir->fd, &names) == 0);
	rc = raw_list(&world->raw, &dir->fh, true, WORLD_PAGE, &list);
	if (rc != 0)
		world_wrong(world, "listing \"%s\": %d", world_name(world, dir),
			    rc);
	else if (!world_listing_same(&list, &names, &first, &bad))
		world_wrong(world,
			    "listing of \"%s\": %zu names, host %zu; \"%.40s\"",
			    world_name(world, dir), list.count - first,
			    names.count, bad);
	/* Is it the server that was asked for? */
	for (size_t i = 0; i < list.count; i++)
		if (world->server->hash6 &&
		    list.entries[i].cookie >= WORLD_HASH6_TOP)
			world_wrong(world, "cookies of a whole hash");
	for (size_t i = 0; i < names.count && !world->why[0]; i++)
		world_compare_entry(world, dir, names.names[i],
				    &list.entries[first + i], contents);
}

void world_compare(struct world *world, bool contents)
{
	struct object *root = &world->objects[0];

	if (world->why[0])
		return;
	world->raw.uid = world->raw.gid = 0;
	world->raw.group_count = 0;
	world_compare_objects(world, &root, 1, NULL);
	world_compare_dir(world, &world->objects[0], contents);
}

/* --- begin and end ------------------------------------------------------- */

static void world_connect(struct world *world, struct raw_fh *root)
{
	uint32_t xid = world->raw.xid;
	int rc;

	ASSERT(raw_open(&world->raw, NULL, world->server->daemon.port));
	if (xid)
		world->raw.xid = xid + 1000;
	rc = raw_mount(&world->raw, world->export, root);
	if (rc != 0)
		fprintf(stderr, "MNT of %s: %d\n", world->export, rc);
	ASSERT(rc == 0);
}

/* $ORACLE: where the host's trees are made, to try another file system. */
static char *world_dir(void)
{
	const char *base = getenv("ORACLE");
	char *dir = NULL;

	if (!base || !*base)
		return tmpdir_new();
	ASSERT(asprintf(&dir, "%s/vdrive-model-XXXXXX", base) > 0);
	ASSERT(mkdtemp(dir));
	return dir;
}

/* By the admin API itself: a thousand processes of the CLI take their time. */
static void world_guest(struct world_server *server, const char *guest)
{
	CLEANUP_FREE char *socket = tmpdir_path(server->daemon.dir, "sock");
	struct client *client = client_new(socket, 0);
	struct client_request request = {
	    .method = "POST", .path = "/v1/guests", .query = {{"name", guest}}};
	struct failure failure = {.code = 0};
	size_t len;
	void *reply;

	ASSERT(client &&
	       client_call(client, &request, &reply, &len, &failure) == 0);
	free(reply);
	client_free(client);
}

void world_open(struct world *world, struct world_server *server)
{
	struct raw_attr attr;
	struct raw_fh root;
	char guest[24];

	memset(world, 0, sizeof(*world));
	world_server_ready(server);
	world->server = server;
	world->dir = world_dir();
	tree_make(world->dir, TREE_BOTH, server_many(server));
	world->begin = (uint32_t)time(NULL) - 2;
	snprintf(guest, sizeof(guest), "t/g%u", ++server->guests);
	snprintf(world->export, sizeof(world->export), "/%s", guest);
	world_guest(server, guest);
	world_connect(world, &root);
	world->objects = calloc(WORLD_OBJECTS_MAX, sizeof(*world->objects));
	ASSERT(world->objects);
	ASSERT(raw_getattr(&world->raw, &root, &attr) == 0);
	world_add(world, host_open(AT_FDCWD, world->dir), &root, attr.fileid);
	world_compare(world, false); /* this makes the pairs */
}

void world_close(struct world *world)
{
	for (unsigned int i = 0; i < world->count; i++)
		close(world->objects[i].fd);
	free(STEAL(world->objects));
	raw_close(&world->raw);
	tmpdir_remove(STEAL(world->dir));
}

void world_restart(struct world *world, bool kill)
{
	struct daemon *d = &world->server->daemon;
	struct raw_fh root;
	uint64_t verifier;

	for (unsigned int i = 0; i < world->count; i++) {
		struct object *object = &world->objects[i];

		if (object->dirty && !object->gone &&
		    raw_commit(&world->raw, &object->fh, &verifier) != 0)
			world_wrong(world, "COMMIT of \"%s\"",
				    world_name(world, object));
		object->dirty = false;
	}
	if (kill)
		daemon_kill(d);
	else if (daemon_stop(d) != 0)
		world_wrong(world, "the server did not end well");
	ASSERT(daemon_start(d));
	world->server->restarts++;
	raw_close(&world->raw);
	world_connect(world, &root);
	if (memcmp(&root, &world->objects[0].fh, sizeof(root)) != 0)
		world_wrong(world, "another root handle after a restart");
	world_compare(world, true);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* nfsrig: see nfsrig.h. */
#include "tests/lib/nfsrig.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/tmpdir.h"

static char rig_where[256];

void rig_at(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(rig_where, sizeof(rig_where), fmt, args);
	va_end(args);
}

static bool rig_judge(bool ok, long long got, const char *wanted,
		      const char *what, const char *file, int line)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: is %lld, not %s%s%s", what, got,
		 wanted, *rig_where ? "  at " : "", rig_where);
	CU_assertImplementation(ok, (unsigned int)line, text, file, "",
				CU_FALSE);
	return ok;
}

bool rig_expect(long long got, long long want, const char *what,
		const char *file, int line)
{
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "%lld", want);
	return rig_judge(got == want, got, wanted, what, file, line);
}

bool rig_expect_one_of(long long got, const int *wanted, const char *what,
		       const char *file, int line)
{
	char text[128] = "";
	bool ok = false;

	for (; *wanted != -1; wanted++) {
		size_t len = strlen(text);

		ok = ok || got == *wanted;
		snprintf(text + len, sizeof(text) - len, "%s%d",
			 len ? " or " : "", *wanted);
	}
	return rig_judge(ok, got, text, what, file, line);
}

/* --- the package, as a directory of the host ----------------------------- */

void rig_host_dir(const char *dir, const char *path, mode_t mode)
{
	CLEANUP_FREE char *full = tmpdir_path(dir, path);

	ASSERT(mkdir(full, 0755) == 0 || errno == EEXIST);
	ASSERT(chmod(full, mode) == 0);
}

void rig_host_file(const char *dir, const char *path, mode_t mode,
		   const void *data, size_t len)
{
	CLEANUP_FREE char *full = tmpdir_path(dir, path);
	CLEANUP_CLOSE int fd =
	    open(full, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ASSERT(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	ASSERT(fchmod(fd, mode) == 0);
}

static void rig_host_owned(const char *dir, const char *name, mode_t mode,
			   size_t len)
{
	CLEANUP_FREE char *full = tmpdir_path(dir, name);
	uint8_t buf[200];

	check_fill(buf, sizeof(buf), 9);
	rig_host_file(dir, name, mode, buf, len);
	ASSERT(chown(full, RIG_UID, RIG_UID) == 0 && chmod(full, mode) == 0);
}

static void rig_host_plot(const char *dir, uint8_t *buf)
{
	CLEANUP_FREE char *one = tmpdir_path(dir, "one");
	CLEANUP_FREE char *two = tmpdir_path(dir, "two");
	CLEANUP_FREE char *link_path = tmpdir_path(dir, "link");

	check_fill(buf, RIG_FILE_LEN, RIG_SEED_FILE);
	rig_host_file(dir, "file", 0644, buf, RIG_FILE_LEN);
	check_fill(buf, RIG_BIG_LEN, RIG_SEED_BIG);
	rig_host_file(dir, "big", 0644, buf, RIG_BIG_LEN);
	check_fill(buf, RIG_TWO_LEN, RIG_SEED_TWO);
	rig_host_file(dir, "one", 0644, buf, RIG_TWO_LEN);
	ASSERT(link(one, two) == 0 && symlink("../file", link_path) == 0);
	rig_host_owned(dir, "suid", 06755, 50);
	rig_host_owned(dir, "owned", 0640, 200);
	rig_host_dir(dir, "dir", 0755);
	rig_host_file(dir, "dir/a", 0644, "content a\n", 10);
	rig_host_file(dir, "dir/b", 0644, "content b\n", 10);
	rig_host_dir(dir, "dir/sub", 0755);
	rig_host_file(dir, "dir/sub/c", 0644, "content c\n", 10);
	rig_host_dir(dir, "empty", 0755);
}

static void rig_host_package(const char *dir, void (*more)(const char *dir))
{
	CLEANUP_FREE uint8_t *buf = malloc(RIG_BIG_LEN);
	char name[8];

	ASSERT(buf);
	rig_host_dir(dir, "", 0755);
	for (int i = 0; i < RIG_PLOTS; i++) {
		snprintf(name, sizeof(name), "p%02d", i);
		rig_host_dir(dir, name, 0755);
		CLEANUP_FREE char *plot = tmpdir_path(dir, name);

		rig_host_plot(plot, buf);
	}
	if (more)
		more(dir);
}

/* --- another server ------------------------------------------------------ */

static void rig_open_referee(struct rig *rig, const char *where,
			     void (*more)(const char *dir))
{
	char dir[256], name[32];
	int port, mount_port;
	struct raw_fh top;
	struct raw raw;

	ASSERT(sscanf(where, "%d %d %255s", &port, &mount_port, dir) == 3);
	snprintf(name, sizeof(name), "t%d", (int)getpid());
	CLEANUP_FREE char *own = tmpdir_path(dir, name);

	rig_host_package(own, more);
	ASSERT(chmod(own, 0755) == 0);
	ASSERT(raw_open(&raw, NULL, mount_port));
	ASSERT(raw_mount(&raw, dir, &top) == 0);
	raw_close(&raw);
	ASSERT(raw_open(&raw, NULL, port));
	ASSERT(raw_lookup(&raw, &top, name, &rig->root, NULL) == 0);
	raw_close(&raw);
	raw_mounted("/t/g", &rig->root);
	rig->daemon.port = port;
	rig_connect(rig, &rig->raw);
}

/* --- daemon and connection ----------------------------------------------- */

void rig_open_with(struct rig *rig, void (*more)(const char *dir))
{
	struct daemon *d = &rig->daemon;
	CLEANUP_FREE char *dir = NULL;
	char source[600];

	memset(rig, 0, sizeof(*rig));
	daemon_init(d);
	if (getenv("RIG_REFEREE")) {
		rig_open_referee(rig, getenv("RIG_REFEREE"), more);
		return;
	}
	dir = tmpdir_path(d->dir, "package");
	rig_host_package(dir, more);
	snprintf(source, sizeof(source), "dir:%s", dir);
	ASSERT(daemon_start(d));
	ASSERT(daemon_cli(d, "package", "create", "p:1", source, NULL) == 0);
	ASSERT(daemon_cli(d, "tenant", "create", "t", NULL) == 0);
	ASSERT(daemon_cli(d, "tenant", "assign", "t", "p:1", NULL) == 0);
	ASSERT(daemon_cli(d, "guest", "add", "t/g", NULL) == 0);
	rig_connect(rig, &rig->raw);
}

void rig_open(struct rig *rig)
{
	rig_open_with(rig, NULL);
}

void rig_close(struct rig *rig)
{
	raw_close(&rig->raw);
	daemon_free(&rig->daemon);
}

void rig_ends_well(struct rig *rig)
{
	char command[600];

	rig_at("%s", "");
	CU_ASSERT(daemon_lives(&rig->daemon));
	EXPECT(daemon_stop(&rig->daemon), 0);
	snprintf(command, sizeof(command),
		 "! grep -E 'assert|Sanitizer|runtime error' %s/log >&2",
		 rig->daemon.dir);
	EXPECT(system(command), 0);
}

void rig_connect(struct rig *rig, struct raw *raw)
{
	ASSERT(raw_open(raw, NULL, rig->daemon.port));
	/* Two connections must not use the same xids. */
	raw->xid += ++rig->dirs_made << 20;
	ASSERT(raw_mount(raw, "/t/g", &rig->root) == 0);
}

void rig_reconnect(struct rig *rig)
{
	raw_close(&rig->raw);
	rig_connect(rig, &rig->raw);
}

void rig_kill(struct rig *rig)
{
	if (!getenv("RIG_REFEREE")) {
		daemon_kill(&rig->daemon);
		ASSERT(daemon_start(&rig->daemon));
	}
	rig_reconnect(rig);
}

/* --- things to work with ------------------------------------------------- */

void rig_become(struct raw *raw, uint32_t uid, uint32_t gid)
{
	raw->uid = uid;
	raw->gid = gid;
	raw->group_count = 0;
}

struct raw_fh rig_walk(struct rig *rig, const struct raw_fh *from,
		       const char *path)
{
	struct raw_fh fh;
	int rc = raw_walk(&rig->raw, from, path, &fh, NULL);

	if (rc != 0)
		fprintf(stderr, "walk to %s: %d\n", path, rc);
	ASSERT(rc == 0);
	return fh;
}

struct raw_fh rig_make(struct rig *rig, const struct raw_fh *dir,
		       const char *name, uint32_t mode, const void *data,
		       size_t len)
{
	uint32_t committed;
	uint64_t verifier;
	struct raw_fh fh;

	ASSERT(raw_create(&rig->raw, dir, name, 0, mode, &fh, NULL) == 0);
	if (len > 0)
		ASSERT(raw_write(&rig->raw, &fh, 0, data, (uint32_t)len, 2,
				 &committed, &verifier) == 0);
	return fh;
}

void rig_dir(struct rig *rig, struct raw_fh *dir)
{
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "dir-%u", ++rig->dirs_made);
	rc = raw_mkdir(&rig->raw, &rig->root, name, 0777, dir);
	if (rc != 0)
		fprintf(stderr, "mkdir %s: %d  %s\n", name, rc, rig_where);
	ASSERT(rc == 0);
}

static void rig_make_owned(struct rig *rig, const struct raw_fh *dir,
			   const char *name, uint32_t mode, size_t len)
{
	struct raw_sattr set = {.mask =
				    RAW_SET_UID | RAW_SET_GID | RAW_SET_MODE,
				.uid = RIG_UID,
				.gid = RIG_UID,
				.mode = mode};
	uint8_t buf[200];
	struct raw_fh fh;

	check_fill(buf, sizeof(buf), 9);
	fh = rig_make(rig, dir, name, mode, buf, len);
	ASSERT(raw_setattr(&rig->raw, &fh, &set, NULL, NULL) == 0);
}

static void rig_make_plot(struct rig *rig, const struct raw_fh *dir)
{
	CLEANUP_FREE uint8_t *buf = malloc(RIG_BIG_LEN);
	struct raw *raw = &rig->raw;
	struct raw_fh fh, sub;

	ASSERT(buf);
	check_fill(buf, RIG_FILE_LEN, RIG_SEED_FILE);
	rig_make(rig, dir, "file", 0644, buf, RIG_FILE_LEN);
	check_fill(buf, RIG_BIG_LEN, RIG_SEED_BIG);
	rig_make(rig, dir, "big", 0644, buf, RIG_BIG_LEN);
	check_fill(buf, RIG_TWO_LEN, RIG_SEED_TWO);
	fh = rig_make(rig, dir, "one", 0644, buf, RIG_TWO_LEN);
	ASSERT(raw_link(raw, &fh, dir, "two") == 0);
	ASSERT(raw_symlink(raw, dir, "link", "../file", 7, &fh) == 0);
	rig_make_owned(rig, dir, "suid", 06755, 50);
	rig_make_owned(rig, dir, "owned", 0640, 200);
	ASSERT(raw_mkdir(raw, dir, "dir", 0755, &sub) == 0);
	rig_make(rig, &sub, "a", 0644, "content a\n", 10);
	rig_make(rig, &sub, "b", 0644, "content b\n", 10);
	ASSERT(raw_mkdir(raw, &sub, "sub", 0755, &fh) == 0);
	rig_make(rig, &fh, "c", 0644, "content c\n", 10);
	ASSERT(raw_mkdir(raw, dir, "empty", 0755, &fh) == 0);
}

void rig_plot(struct rig *rig, enum rig_layer layer, struct raw_fh *dir)
{
	char name[16];

	if (layer == RIG_DELTA) {
		rig_dir(rig, dir);
		rig_make_plot(rig, dir);
		return;
	}
	ASSERT(rig->plots_used < RIG_PLOTS);
	snprintf(name, sizeof(name), "p%02u", rig->plots_used++);
	*dir = rig_walk(rig, &rig->root, name);
}

bool rig_same(struct raw *raw, const struct raw_fh *fh, const void *data,
	      size_t len)
{
	CLEANUP_FREE uint8_t *buf = malloc(1 << 20);
	const uint8_t *want = data;
	struct raw_attr attr;
	uint32_t got = 0;
	size_t off = 0;
	bool eof = false;

	ASSERT(buf);
	if (raw_getattr(raw, fh, &attr) != 0 || attr.size != len)
		return false;
	while (!eof) {
		if (raw_read(raw, fh, off, 1 << 20, buf, &got, &eof) != 0 ||
		    got > len - off || (got == 0 && !eof) ||
		    memcmp(buf, want + off, got) != 0)
			return false;
		off += got;
	}
	return off == len;
}

bool rig_later(const uint32_t a[2], const uint32_t b[2])
{
	return b[0] > a[0] || (b[0] == a[0] && b[1] > a[1]);
}

uint64_t rig_fileid(struct raw *raw, const struct raw_fh *fh)
{
	struct raw_attr attr;

	return raw_getattr(raw, fh, &attr) == 0 ? attr.fileid : 0;
}

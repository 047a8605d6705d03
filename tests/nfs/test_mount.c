/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mount: MOUNT version 3 (rules N-59, N-60, N-64): paths, who may mount
 * what, and lists that tell nobody what is not for him.
 */
#include <netinet/in.h>
#include <stdio.h>

#include "tests/lib/nfsrig.h"

enum {
	M_DUMP = 2,
	M_UMNT = 3,
	M_UMNTALL = 4,
	M_EXPORT = 5,
};

static struct rig rig;

static int mount_bytes(struct raw *raw, const void *path, size_t len,
		       struct raw_fh *fh)
{
	int rc;

	raw_begin(raw, RAW_MOUNT, 3, 1);
	raw_put_opaque(raw, path, len);
	rc = raw_status(raw);
	if (rc == 0)
		raw_get_fh(raw, fh);
	return rc;
}

static int mount_path(const char *path, struct raw_fh *fh)
{
	return mount_bytes(&rig.raw, path, strlen(path), fh);
}

/* --- MNT ----------------------------------------------------------------- */

/* The handle, then the flavours: AUTH_SYS. */
static void t_N_59_root(void)
{
	struct raw_fh fh;
	struct raw_attr attr;

	EXPECT(mount_path("/t/g", &fh), S_OK);
	EXPECT(raw_get32(&rig.raw), 1);
	EXPECT(raw_get32(&rig.raw), 1);
	CU_ASSERT(!rig.raw.short_read && rig.raw.in_off == rig.raw.in_len);
	EXPECT(memcmp(&fh, &rig.root, sizeof(fh)), 0);
	EXPECT(raw_getattr(&rig.raw, &fh, &attr), S_OK);
	EXPECT(attr.type, 2);
}

static void t_N_59_forms(void)
{
	static const struct {
		const char *path;
		int status, or_status;
	} rows[] = {
	    {"/t/g/", S_OK, S_OK},
	    {"//t//g//", S_OK, S_OK},
	    {"/t/g/p00", S_OK, S_OK},
	    {"/t/g/p00/dir/sub/", S_OK, S_OK},
	    {"", S_INVAL, S_NOENT},
	    {"t/g", S_INVAL, S_NOENT},
	    {"/", S_NOENT, S_NOENT},
	    {"/t", S_NOENT, S_NOENT},
	    {"/t/", S_NOENT, S_NOENT},
	    {"/t/none", S_ACCES, S_NOENT},
	    {"/none/g", S_ACCES, S_NOENT},
	    {"/T/G", S_ACCES, S_NOENT},
	    {"/t/g/none", S_NOENT, S_NOENT},
	    {"/t/g/p00/file", S_NOTDIR, S_NOTDIR},
	    {"/t/g/p00/file/x", S_NOTDIR, S_NOTDIR},
	    {"/t/g/p00/link", S_NOTDIR, S_NOTDIR}, /* not followed */
	    {"/t/g/p00/link/x", S_NOTDIR, S_NOTDIR},
	    {"/t/g/..", S_INVAL, S_NOENT},
	    {"/t/g/../g", S_INVAL, S_NOENT},
	    {"/t/g/p00/..", S_INVAL, S_NOENT},
	    {"/t/../t/g", S_INVAL, S_NOENT},
	    {"/../t/g", S_INVAL, S_NOENT},
	    {"/t/./g", S_INVAL, S_NOENT},
	    {"/t/g ", S_ACCES, S_NOENT},
	    {"/etc", S_NOENT, S_NOENT},
	    {"/tmp", S_NOENT, S_NOENT},
	};
	struct raw_fh fh;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		rig_at("path \"%s\"", rows[i].path);
		EXPECT_ONE_OF(mount_path(rows[i].path, &fh), rows[i].status,
			      rows[i].or_status);
	}
	rig_at("%s", "");
	EXPECT(mount_bytes(&rig.raw, "/t/g\0", 5, &fh), S_INVAL);
	EXPECT_ONE_OF(mount_bytes(&rig.raw, "/t\0g", 4, &fh), S_INVAL, S_NOENT);
}

static void t_N_59_long_paths(void)
{
	static const size_t lens[] = {256, 1023, 1024, 1025, 4096, 65536};
	CLEANUP_FREE char *path = malloc(65536);
	struct raw_fh fh;

	memset(path, 'a', 65536);
	memcpy(path, "/t/g/", 5);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		rig_at("%zu bytes", lens[i]);
		EXPECT_ONE_OF(mount_bytes(&rig.raw, path, lens[i], &fh),
			      lens[i] > 1024 ? S_NAMETOOLONG : S_NOENT,
			      lens[i] > 260 ? S_NAMETOOLONG : S_NOENT);
	}
	for (size_t i = 4; i < 1024; i++)
		path[i] = '/';
	EXPECT(mount_bytes(&rig.raw, path, 1024, &fh), S_OK);
	/* A thousand components. */
	for (size_t i = 4; i + 1 < 1024; i += 2)
		path[i + 1] = 'x';
	EXPECT_ONE_OF(mount_bytes(&rig.raw, path, 1024, &fh), S_NOENT,
		      S_NAMETOOLONG);
	rig_at("%s", "");
}

/* A sub-directory's handle is the directory's own. */
static void t_N_59_subdirectory(void)
{
	struct raw_fh fh, dir;

	dir = rig_walk(&rig, &rig.root, "p01/dir/sub");
	EXPECT(mount_path("/t/g/p01/dir/sub", &fh), S_OK);
	EXPECT(memcmp(&fh, &dir, sizeof(fh)), 0);
	EXPECT(raw_mkdir(&rig.raw, &rig.root, "made", 0700, &dir), S_OK);
	EXPECT(mount_path("/t/g/made", &fh), S_OK);
	EXPECT(memcmp(&fh, &dir, sizeof(fh)), 0);
	/* Search permission is asked on the way. */
	EXPECT(raw_mkdir(&rig.raw, &dir, "below", 0755, &fh), S_OK);
	rig_become(&rig.raw, 1000, 1000);
	EXPECT(mount_path("/t/g/made/below", &fh), S_ACCES);
	rig_become(&rig.raw, 0, 0);
	EXPECT(raw_remove(&rig.raw, &rig.root, "p01", true), S_NOTEMPTY);
}

/* N-64: the port proves nothing and is not asked for. */
static void t_N_64_any_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);

	ASSERT(getsockname(rig.raw.fd, (struct sockaddr *)&addr, &len) == 0);
	CU_ASSERT(ntohs(addr.sin_port) >= 1024);
}

/* --- who may ------------------------------------------------------------- */

struct exports {
	int count;
	bool whole; /* the list ended well */
	char paths[8][64], groups[8][64];
};

static void list_exports(struct raw *raw, struct exports *exports)
{
	memset(exports, 0, sizeof(*exports));
	raw_begin(raw, RAW_MOUNT, 3, M_EXPORT);
	EXPECT(raw_call(raw), 0);
	while (raw_get32(raw) && !raw->short_read) {
		int i = exports->count++;

		ASSERT(i < 8);
		raw_get_opaque(raw, exports->paths[i], 63);
		while (raw_get32(raw) && !raw->short_read)
			raw_get_opaque(raw, exports->groups[i], 63);
	}
	exports->whole = !raw->short_read && raw->in_off == raw->in_len;
}

static bool lists(const struct exports *exports, const char *path)
{
	for (int i = 0; i < exports->count; i++)
		if (strcmp(exports->paths[i], path) == 0)
			return true;
	return false;
}

/* Three guests: anybody's, 127.0.0.2's, ::1's. */
static void add_guests(void)
{
	struct daemon *d = &rig.daemon;

	EXPECT(daemon_cli(d, "tenant", "create", "u", NULL), 0);
	EXPECT(daemon_cli(d, "tenant", "assign", "u", "p:1", NULL), 0);
	EXPECT(
	    daemon_cli(d, "guest", "add", "u/two", "--addr", "127.0.0.2", NULL),
	    0);
	EXPECT(daemon_cli(d, "guest", "add", "u/six", "--addr", "::1", NULL),
	       0);
}

static void t_N_59_address(void)
{
	struct raw_attr attr;
	struct raw_fh fh;
	struct raw two;

	add_guests();
	EXPECT(mount_path("/u/two", &fh), S_ACCES);
	EXPECT(mount_path("/u/two/p00", &fh), S_ACCES);
	EXPECT(mount_path("/u/six", &fh), S_ACCES);
	ASSERT(raw_open_from(&two, "127.0.0.2", rig.daemon.port));
	EXPECT(raw_mount(&two, "/u/two", &fh), S_OK);
	EXPECT(raw_getattr(&two, &fh, &attr), S_OK);
	/* T-08: a handle that was overheard is worth nothing elsewhere. */
	EXPECT_ONE_OF(raw_getattr(&rig.raw, &fh, &attr), S_BADHANDLE, S_STALE);
	EXPECT(raw_mount(&two, "/u/six", &fh), S_ACCES);
	raw_close(&two);
	ASSERT(raw_open_from(&two, "127.0.0.3", rig.daemon.port));
	EXPECT(raw_mount(&two, "/u/two", &fh), S_ACCES);
	EXPECT(raw_mount(&two, "/t/g", &fh), S_OK);
	raw_close(&two);
}

/* N-60: each sees what he may mount; and it stays so over a restart. */
static void t_N_60_export(void)
{
	struct exports exports;
	struct raw two;

	for (int round = 0; round < 2; round++) {
		rig_at("round %d", round);
		list_exports(&rig.raw, &exports);
		EXPECT(exports.whole, true);
		EXPECT(exports.count, 1);
		CU_ASSERT(lists(&exports, "/t/g"));
		ASSERT(raw_open_from(&two, "127.0.0.2", rig.daemon.port));
		list_exports(&two, &exports);
		EXPECT(exports.whole, true);
		EXPECT(exports.count, 2);
		CU_ASSERT(lists(&exports, "/t/g"));
		CU_ASSERT(lists(&exports, "/u/two"));
		raw_close(&two);
		rig_kill(&rig);
	}
	rig_at("%s", "");
}

/* N-60: nothing is remembered, so nothing can be listed or grow. */
static void t_N_60_dump_and_umount(void)
{
	struct raw *raw = &rig.raw;
	struct raw_attr attr;
	struct raw_fh fh;

	for (int i = 0; i < 500; i++)
		EXPECT(mount_path("/t/g", &fh), S_OK);
	raw_begin(raw, RAW_MOUNT, 3, M_DUMP);
	EXPECT(raw_call(raw), 0);
	EXPECT(raw_get32(raw), 0);
	CU_ASSERT(!raw->short_read && raw->in_off == raw->in_len);
	raw_begin(raw, RAW_MOUNT, 3, M_UMNT);
	raw_put_string(raw, "/t/g");
	EXPECT(raw_call(raw), 0);
	EXPECT(raw->in_len - raw->in_off, 0);
	raw_begin(raw, RAW_MOUNT, 3, M_UMNT);
	raw_put_string(raw, "/what/ever/../");
	EXPECT(raw_call(raw), 0);
	raw_begin(raw, RAW_MOUNT, 3, M_UMNTALL);
	EXPECT(raw_call(raw), 0);
	/* The handle lives on. */
	EXPECT(raw_getattr(raw, &rig.root, &attr), S_OK);
}

/* AUTH_NONE may mount what its address may. */
static void t_N_57_auth_none(void)
{
	struct raw_fh fh;

	rig.raw.flavour = 0;
	EXPECT(mount_path("/t/g", &fh), S_OK);
	rig.raw.flavour = 1;
}

/* Is this socket, by its inode, one of the daemon's? */
static bool daemon_has_socket(unsigned long inode)
{
	char path[64], link[64], want[64];
	bool found = false;

	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	for (int fd = 0; fd < 1024 && !found; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d",
			 (int)rig.daemon.pid, fd);
		n = readlink(path, link, sizeof(link) - 1);
		link[MAX(n, 0)] = '\0';
		found = n > 0 && strcmp(link, want) == 0;
	}
	return found;
}

/* How many of the daemon's sockets a table of the kernel shows in this state
 * (10: listening; UDP has 7), and the port of the last one. */
static int daemon_sockets(const char *table, unsigned int wanted,
			  unsigned int *port)
{
	unsigned int state, at;
	unsigned long inode;
	char path[64], line[256];
	int found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)rig.daemon.pid,
		 table);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line,
			   "%*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*d %*d "
			   "%lu",
			   &at, &state, &inode) != 3 ||
		    (wanted != 0 && state != wanted) ||
		    !daemon_has_socket(inode))
			continue;
		*port = at;
		found++;
	}
	fclose(file);
	return found;
}

/* N-58: one TCP port for everything, no UDP, no portmapper, nothing on IPv6
 * that was not asked for. */
static void t_N_58_one_port(void)
{
	unsigned int port = 0, other;

	EXPECT(daemon_sockets("tcp", 10, &port), 1);
	EXPECT(port, rig.daemon.port);
	EXPECT(daemon_sockets("tcp6", 10, &other), 0);
	EXPECT(daemon_sockets("udp", 0, &other), 0);
	EXPECT(daemon_sockets("udp6", 0, &other), 0);
}

static void t_ends_well(void)
{
	rig_ends_well(&rig);
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}
static const struct check_test tests[] = {
    TEST(t_N_59_root),       TEST(t_N_59_forms),
    TEST(t_N_59_long_paths), TEST(t_N_59_subdirectory),
    TEST(t_N_64_any_port),   TEST(t_N_59_address),
    TEST(t_N_60_export),     TEST(t_N_60_dump_and_umount),
    TEST(t_N_57_auth_none),  TEST(t_N_58_one_port),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_mount", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

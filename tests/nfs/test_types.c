/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_types: every procedure on every type of object (rules N-27, N-47, T-05,
 * T-14): the status that the table expects, at once, and no crash.
 */
#include <stdio.h>

#include "tests/lib/nfsrig.h"

enum { TYPES = 8 }; /* ftype3, 1..7 */

static struct rig rig;

/* Sets of statuses. */
enum {
	IS_OK = 1 << 0,
	IS_NOENT = 1 << 1,
	IS_NOTDIR = 1 << 2,
	IS_ISDIR = 1 << 3,
	IS_INVAL = 1 << 4,
	IS_PERM = 1 << 5,
	IS_IO = 1 << 6, /* where RFC 1813 lists nothing better: COMMIT */
	NO_FILE = IS_INVAL | IS_ISDIR,
};

static const struct {
	int status, bit;
} status_bits[] = {
    {S_OK, IS_OK},       {S_NOENT, IS_NOENT}, {S_NOTDIR, IS_NOTDIR},
    {S_ISDIR, IS_ISDIR}, {S_INVAL, IS_INVAL}, {S_PERM, IS_PERM},
    {S_IO, IS_IO},
};

/* By procedure: on a regular file, a directory, a symbolic link, and on
 * devices, FIFOs and sockets. */
static const struct {
	int file, dir, symlink, special;
} expected[P_COUNT] = {
    [P_GETATTR] = {IS_OK, IS_OK, IS_OK, IS_OK},
    [P_SETATTR] = {IS_OK, IS_OK, IS_OK, IS_OK},
    [P_LOOKUP] = {IS_NOTDIR, IS_NOENT, IS_NOTDIR, IS_NOTDIR},
    [P_ACCESS] = {IS_OK, IS_OK, IS_OK, IS_OK},
    [P_READLINK] = {IS_INVAL, IS_INVAL, IS_OK, IS_INVAL},
    [P_READ] = {IS_OK, NO_FILE, IS_INVAL, IS_INVAL},
    [P_WRITE] = {IS_OK, NO_FILE, IS_INVAL, IS_INVAL},
    [P_CREATE] = {IS_NOTDIR, IS_OK, IS_NOTDIR, IS_NOTDIR},
    [P_MKDIR] = {IS_NOTDIR, IS_OK, IS_NOTDIR, IS_NOTDIR},
    [P_SYMLINK] = {IS_NOTDIR, IS_OK, IS_NOTDIR, IS_NOTDIR},
    [P_MKNOD] = {IS_NOTDIR, IS_OK, IS_NOTDIR, IS_NOTDIR},
    [P_REMOVE] = {IS_NOTDIR, IS_NOENT, IS_NOTDIR, IS_NOTDIR},
    [P_RMDIR] = {IS_NOTDIR, IS_NOENT, IS_NOTDIR, IS_NOTDIR},
    [P_RENAME] = {IS_NOTDIR, IS_NOENT, IS_NOTDIR, IS_NOTDIR},
    [P_LINK] = {IS_OK, IS_PERM | NO_FILE, IS_OK, IS_OK},
    [P_READDIR] = {IS_NOTDIR, IS_OK, IS_NOTDIR, IS_NOTDIR},
    [P_READDIRPLUS] = {IS_NOTDIR, IS_OK, IS_NOTDIR, IS_NOTDIR},
    [P_FSSTAT] = {IS_OK, IS_OK, IS_OK, IS_OK},
    [P_FSINFO] = {IS_OK, IS_OK, IS_OK, IS_OK},
    [P_PATHCONF] = {IS_OK, IS_OK, IS_OK, IS_OK},
    [P_COMMIT] = {IS_OK, NO_FILE | IS_IO, IS_INVAL | IS_IO, IS_INVAL | IS_IO},
};

static int expected_for(uint32_t proc, uint32_t type)
{
	switch (type) {
	case 1:
		return expected[proc].file;
	case 2:
		return expected[proc].dir;
	case 5:
		return expected[proc].symlink;
	default:
		return expected[proc].special;
	}
}

static int bit_of(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(status_bits); i++)
		if (status_bits[i].status == status)
			return status_bits[i].bit;
	return 0;
}

/* `dir` is a good directory for what else a call needs; the names that are
 * made in the object differ, so that a directory can take them all. */
static void try_all(struct raw *raw, const struct raw_fh *fh,
		    const struct raw_fh *dir, uint32_t type)
{
	char name[32];

	for (uint32_t proc = 1; proc < P_COUNT; proc++) {
		uint64_t begin = check_now_ns();
		int status;

		snprintf(name, sizeof(name), "new-%u-%u", type, proc);
		raw_begin_any(raw, proc, fh, dir, name);
		status = raw_status(raw);
		rig_at("type %u, procedure %u: status %d", type, proc, status);
		CU_ASSERT(!raw->short_read);
		EXPECT((bit_of(status) & expected_for(proc, type)) != 0, true);
		CU_ASSERT(check_now_ns() - begin < 1000000000ull);
	}
	/* In the second place. */
	rig_at("type %u as RENAME's target directory", type);
	EXPECT(raw_rename(raw, dir, "moving", fh, "x"),
	       type == 2 ? S_OK : S_NOTDIR);
	rig_at("%s", "");
}

/* One of each type, in a guest that may have devices. */
static void make_types(struct raw *raw, const struct raw_fh *dir,
		       struct raw_fh made[TYPES])
{
	EXPECT(raw_create(raw, dir, "t1", 0, 0644, &made[1], NULL), S_OK);
	EXPECT(raw_mkdir(raw, dir, "t2", 0755, &made[2]), S_OK);
	EXPECT(raw_mknod(raw, dir, "t3", 3, 0600, &made[3]), S_OK);
	EXPECT(raw_mknod(raw, dir, "t4", 4, 0600, &made[4]), S_OK);
	EXPECT(raw_symlink(raw, dir, "t5", "t1", 2, &made[5]), S_OK);
	EXPECT(raw_mknod(raw, dir, "t6", 6, 0600, &made[6]), S_OK);
	EXPECT(raw_mknod(raw, dir, "t7", 7, 0600, &made[7]), S_OK);
}

static void t_N_27_delta(void)
{
	struct raw_fh root, dir, fh, made[TYPES] = {{.len = 0}};
	struct raw_attr attr;
	struct raw raw;

	EXPECT(
	    daemon_cli(&rig.daemon, "guest", "add", "t/dev", "--devices", NULL),
	    0);
	ASSERT(raw_open(&raw, NULL, rig.daemon.port));
	ASSERT(raw_mount(&raw, "/t/dev", &root) == 0);
	ASSERT(raw_mkdir(&raw, &root, "types", 0755, &dir) == 0);
	make_types(&raw, &dir, made);
	for (uint32_t type = 1; type < TYPES; type++) {
		EXPECT(raw_create(&raw, &dir, "moving", 0, 0644, &fh, NULL),
		       S_OK);
		EXPECT(raw_getattr(&raw, &made[type], &attr), S_OK);
		EXPECT(attr.type, type);
		try_all(&raw, &made[type], &dir, type);
	}
	raw_close(&raw);
}

/* The three types that a package holds by default. */
static void t_N_27_package(void)
{
	static const char *const names[] = {"file", "empty", "link"};
	static const uint32_t types[] = {1, 2, 5};
	struct raw_fh plot, dir, fh;

	rig_plot(&rig, RIG_PACKAGE, &plot);
	rig_dir(&rig, &dir);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		rig_make(&rig, &dir, "moving", 0644, "", 0);
		fh = rig_walk(&rig, &plot, names[i]);
		try_all(&rig.raw, &fh, &dir, types[i]);
	}
}

/* N-47: by default no devices, whoever asks; types that MKNOD cannot make. */
static void t_N_47_mknod(void)
{
	static const struct {
		uint32_t type;
		int status;
	} rows[] = {{0, S_BADTYPE}, {1, S_BADTYPE}, {2, S_BADTYPE},
		    {3, S_PERM},    {4, S_PERM},    {5, S_BADTYPE},
		    {6, S_OK},      {7, S_OK},      {8, S_BADTYPE}};
	struct raw_fh dir, fh;
	char name[16];

	rig_dir(&rig, &dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		rig_at("type %u", rows[i].type);
		snprintf(name, sizeof(name), "n%zu", i);
		/* A type that is none may also be no call. */
		EXPECT_ONE_OF(
		    raw_mknod(&rig.raw, &dir, name, rows[i].type, 0644, &fh),
		    rows[i].status,
		    rows[i].status == S_BADTYPE ? A_GARBAGE : rows[i].status);
	}
	rig_at("%s", "");
}

/* Devices only for root, even where they are allowed. */
static void t_N_47_devices_of_others(void)
{
	struct raw_fh root, fh, dir;
	struct raw raw;

	ASSERT(raw_open(&raw, NULL, rig.daemon.port));
	EXPECT(raw_mount(&raw, "/t/dev", &root), 0);
	EXPECT(raw_mkdir(&raw, &root, "open", 0777, &dir), S_OK);
	EXPECT(raw_set_mode(&raw, &dir, 0777), S_OK);
	rig_become(&raw, 1000, 1000);
	EXPECT(raw_mknod(&raw, &dir, "dev", 4, 0600, &fh), S_PERM);
	EXPECT(raw_mknod(&raw, &dir, "fifo", 7, 0600, &fh), S_OK);
	raw_close(&raw);
}

/* The whiteout of an overlayfs is no device: anybody who may make a name may
 * make one, it is listed as what it is, and goes like any other name. */
static void t_N_47_whiteouts(void)
{
	struct raw_listing list = {.entries = NULL};
	const struct raw_entry *entry;
	struct raw_fh dir, fh;

	rig_dir(&rig, &dir);
	EXPECT(raw_set_mode(&rig.raw, &dir, 0777), S_OK);
	rig_become(&rig.raw, 1000, 1000);
	EXPECT(raw_whiteout(&rig.raw, &dir, "gone", &fh), S_OK);
	EXPECT(raw_whiteout(&rig.raw, &dir, "over", &fh), S_OK);
	EXPECT(raw_whiteout(&rig.raw, &dir, "gone", &fh), S_EXIST);
	EXPECT(raw_mknod(&rig.raw, &dir, "dev", 4, 0600, &fh), S_PERM);
	EXPECT(raw_rename(&rig.raw, &dir, "gone", &dir, "moved"), S_OK);
	EXPECT(raw_create(&rig.raw, &dir, "new", 0, 0644, &fh, NULL), S_OK);
	EXPECT(raw_rename(&rig.raw, &dir, "new", &dir, "over"), S_OK);
	EXPECT(raw_list(&rig.raw, &dir, true, 4096, &list), 0);
	entry = raw_listing_find(&list, "moved");
	ASSERT(entry != NULL);
	EXPECT(entry->attr.type, 4);
	EXPECT(entry->attr.rdev[0], 0);
	EXPECT(entry->attr.rdev[1], 0);
	entry = raw_listing_find(&list, "over");
	ASSERT(entry != NULL);
	EXPECT(entry->attr.type, 1);
	raw_listing_free(&list);
	EXPECT(raw_remove(&rig.raw, &dir, "moved", false), S_OK);
	EXPECT(raw_create(&rig.raw, &dir, "moved", 1, 0644, &fh, NULL), S_OK);
	rig_become(&rig.raw, 0, 0);
}

/* Numbers of a device are kept; specials survive a restart. */
static void t_N_47_kept(void)
{
	struct raw_fh root, fh;
	struct raw_attr attr;
	struct raw raw;

	rig_kill(&rig);
	ASSERT(raw_open(&raw, NULL, rig.daemon.port));
	EXPECT(raw_mount(&raw, "/t/dev", &root), 0);
	for (uint32_t type = 3; type < TYPES; type++) {
		char path[16];

		snprintf(path, sizeof(path), "types/t%u", type);
		EXPECT(raw_walk(&raw, &root, path, &fh, NULL), S_OK);
		EXPECT(raw_getattr(&raw, &fh, &attr), S_OK);
		EXPECT(attr.type, type);
		if (type == 3 || type == 4) {
			EXPECT(attr.rdev[0], 1);
			EXPECT(attr.rdev[1], 3);
		}
	}
	raw_close(&raw);
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
    TEST(t_N_27_delta),     TEST(t_N_27_package),
    TEST(t_N_47_mknod),     TEST(t_N_47_devices_of_others),
    TEST(t_N_47_whiteouts), TEST(t_N_47_kept),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_types", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

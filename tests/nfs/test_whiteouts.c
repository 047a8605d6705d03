/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_whiteouts: what packages delete, shown to a guest as character devices
 * 0/0 when it asks for that (`guest set --whiteouts on`): looked up, listed,
 * removed, renamed, replaced, and not there without the flag.
 */
#include <stdio.h>

#include "tests/lib/daemon.h"
#include "tests/lib/nfsrig.h"
#include "tests/lib/tmpdir.h"

static struct rig rig;

/* A capture that deletes gone, p00/file (which the next package has) and
 * three more. */
static void make_package(void)
{
	struct daemon *d = &rig.daemon;
	CLEANUP_FREE char *cap = tmpdir_path(d->dir, "w.cap");
	char command[1200];

	snprintf(
	    command, sizeof(command),
	    "mkdir -p %s/w/p00 && cd %s/w && "
	    "echo '{\"format\":1,\"changes\":[]}' >.vdrive-capture.json "
	    "&& touch .wh.gone .wh.over .wh.away .wh.again p00/.wh.file && "
	    "tar --format=pax -cf %s .vdrive-capture.json .wh.* p00",
	    d->dir, d->dir, cap);
	ASSERT(system(command) == 0);
	ASSERT(daemon_cli(d, "package", "create", "w:1", cap, NULL) == 0);
	ASSERT(daemon_cli(d, "tenant", "assign", "t", "w:1", "p:1", "--order",
			  NULL) == 0);
}

static int type_of(const char *path)
{
	struct raw_attr attr;
	struct raw_fh fh;

	if (raw_walk(&rig.raw, &rig.root, path, &fh, NULL) != S_OK)
		return 0;
	EXPECT(raw_getattr(&rig.raw, &fh, &attr), S_OK);
	if (attr.type == 4) {
		EXPECT(attr.rdev[0], 0);
		EXPECT(attr.rdev[1], 0);
		EXPECT(attr.size, 0);
	}
	return (int)attr.type;
}

/* The type that READDIRPLUS has for a name; 0: not listed. */
static int listed(const char *name)
{
	struct raw_listing list = {.entries = NULL};
	const struct raw_entry *entry;
	int type = 0;

	EXPECT(raw_list(&rig.raw, &rig.root, true, 8192, &list), 0);
	entry = raw_listing_find(&list, name);
	if (entry)
		type = (int)entry->attr.type;
	raw_listing_free(&list);
	return type;
}

static void set(const char *how)
{
	EXPECT(daemon_cli(&rig.daemon, "guest", "set", "t/g", "--whiteouts",
			  how, NULL),
	       0);
}

static void t_not_shown(void)
{
	EXPECT(type_of("gone"), 0);
	EXPECT(listed("gone"), 0);
	EXPECT(type_of("p00/file"), 0); /* hidden, all the same */
	EXPECT(type_of("p01/file"), 1);
}

static void t_shown(void)
{
	struct raw_attr before, after;

	EXPECT(raw_getattr(&rig.raw, &rig.root, &before), S_OK);
	set("on");
	EXPECT(type_of("gone"), 4);
	EXPECT(listed("gone"), 4);
	EXPECT(type_of("p00/file"), 4);
	EXPECT(type_of("p01/file"), 1);
	EXPECT(raw_getattr(&rig.raw, &rig.root, &after), S_OK);
	EXPECT(after.fileid, before.fileid);
	/* A client that has listed the directory sees that it must again. */
	EXPECT(memcmp(before.ctime, after.ctime, sizeof(before.ctime)) != 0,
	       true);
}

static void t_changed(void)
{
	struct raw_fh fh;

	EXPECT(raw_create(&rig.raw, &rig.root, "new", 0, 0644, &fh, NULL),
	       S_OK);
	EXPECT(raw_create(&rig.raw, &rig.root, "gone", 1, 0644, &fh, NULL),
	       S_EXIST);
	EXPECT(raw_rename(&rig.raw, &rig.root, "new", &rig.root, "over"), S_OK);
	EXPECT(raw_rename(&rig.raw, &rig.root, "away", &rig.root, "moved"),
	       S_OK);
	EXPECT(raw_remove(&rig.raw, &rig.root, "again", false), S_OK);
	EXPECT(raw_create(&rig.raw, &rig.root, "again", 1, 0644, &fh, NULL),
	       S_OK);
	EXPECT(type_of("over"), 1);
	EXPECT(listed("over"), 1);
	EXPECT(type_of("away"), 0);
	EXPECT(listed("moved"), 4);
	EXPECT(type_of("again"), 1);
}

static void t_restart(void)
{
	rig_kill(&rig);
	EXPECT(type_of("gone"), 4);
	EXPECT(type_of("over"), 1);
	EXPECT(listed("moved"), 4);
}

/* Another guest of the tenant is not concerned; one may begin with the flag. */
static void t_others(void)
{
	struct raw_fh root, fh;
	struct raw raw;

	EXPECT(daemon_cli(&rig.daemon, "guest", "add", "t/plain", NULL), 0);
	EXPECT(daemon_cli(&rig.daemon, "guest", "add", "t/more", "--whiteouts",
			  "on", NULL),
	       0);
	ASSERT(raw_open(&raw, NULL, rig.daemon.port));
	EXPECT(raw_mount(&raw, "/t/plain", &root), 0);
	EXPECT(raw_walk(&raw, &root, "gone", &fh, NULL), S_NOENT);
	EXPECT(raw_mount(&raw, "/t/more", &root), 0);
	EXPECT(raw_walk(&raw, &root, "gone", &fh, NULL), S_OK);
	raw_close(&raw);
	EXPECT(daemon_cli(&rig.daemon, "guest", "set", "t/g", "--whiteouts",
			  "maybe", NULL),
	       2);
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
    TEST(t_not_shown), TEST(t_shown),  TEST(t_changed),
    TEST(t_restart),   TEST(t_others), TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	make_package();
	rc = check_main("test_whiteouts", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

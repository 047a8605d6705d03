/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_names: names that are none, every procedure that changes names on
 * objects of the package and of the delta, whiteouts, hard links, copy-up
 * (rules N-21, N-28 to N-36, N-48).  Renames are in test_rename.
 */
#include <stdio.h>

#include "tests/lib/nfsrig.h"

static struct rig rig;

/* --- legal names --------------------------------------------------------- */

struct bad_name {
	const char *bytes;
	size_t len;
	int make, take; /* expected of CREATE..., and of REMOVE... */
};

static char name_256[256], name_4k[4096], name_64k[65536];

static const struct bad_name bad_names[] = {
    {"", 0, S_INVAL, S_INVAL},
    {"/", 1, S_INVAL, S_INVAL},
    {"a/b", 3, S_INVAL, S_INVAL},
    {"/a", 2, S_INVAL, S_INVAL},
    {"a/", 2, S_INVAL, S_INVAL},
    {"../x", 4, S_INVAL, S_INVAL},
    {"../../etc/passwd", 16, S_INVAL, S_INVAL},
    {"\0", 1, S_INVAL, S_INVAL},
    {"a\0", 2, S_INVAL, S_INVAL},
    {"a\0b", 3, S_INVAL, S_INVAL},
    {"\0a", 2, S_INVAL, S_INVAL},
    {".", 1, S_EXIST, S_INVAL},
    {"..", 2, S_EXIST, S_INVAL},
    {name_256, sizeof(name_256), S_NAMETOOLONG, S_NAMETOOLONG},
    {name_4k, sizeof(name_4k), S_NAMETOOLONG, S_NAMETOOLONG},
    {name_64k, sizeof(name_64k), S_NAMETOOLONG, S_NAMETOOLONG},
};

/* The calls that make a name, with bytes that are no C string. */
static int make_call(uint32_t proc, const struct raw_fh *dir,
		     const struct raw_fh *file, const struct bad_name *n)
{
	struct raw *raw = &rig.raw;

	raw_begin_fh(raw, proc, proc == P_LINK ? file : dir);
	if (proc == P_LINK)
		raw_put_fh(raw, dir);
	raw_put_opaque(raw, n->bytes, n->len);
	switch (proc) {
	case P_CREATE:
		raw_put32(raw, 1);
		raw_put_mode(raw, 0644);
		break;
	case P_MKDIR:
		raw_put_mode(raw, 0755);
		break;
	case P_SYMLINK:
		raw_put_no_sattr(raw);
		raw_put_string(raw, "target");
		break;
	case P_MKNOD:
		raw_put32(raw, 7);
		raw_put_mode(raw, 0644);
		break;
	default:
		break;
	}
	return raw_status(raw);
}

static int rename_call(const struct raw_fh *dir, const void *from,
		       size_t from_len, const void *to, size_t to_len)
{
	struct raw *raw = &rig.raw;

	raw_begin_fh(raw, P_RENAME, dir);
	raw_put_opaque(raw, from, from_len);
	raw_put_fh(raw, dir);
	raw_put_opaque(raw, to, to_len);
	return raw_status(raw);
}

static void bad_name_everywhere(const struct raw_fh *dir,
				const struct bad_name *n)
{
	static const uint32_t making[] = {P_CREATE, P_MKDIR, P_SYMLINK, P_MKNOD,
					  P_LINK};
	struct raw_fh file = rig_walk(&rig, dir, "file"), fh;
	bool dots = n->take == S_INVAL && n->make == S_EXIST;

	for (size_t i = 0; i < ARRAY_LEN(making); i++)
		EXPECT_ONE_OF(make_call(making[i], dir, &file, n), n->make,
			      dots ? S_INVAL : n->make);
	raw_begin_fh(&rig.raw, P_REMOVE, dir);
	raw_put_opaque(&rig.raw, n->bytes, n->len);
	EXPECT_ONE_OF(raw_status(&rig.raw), n->take, dots ? S_ISDIR : n->take);
	raw_begin_fh(&rig.raw, P_RMDIR, dir);
	raw_put_opaque(&rig.raw, n->bytes, n->len);
	EXPECT_ONE_OF(raw_status(&rig.raw), n->take, dots ? S_EXIST : n->take,
		      dots ? S_NOTEMPTY : n->take);
	EXPECT_ONE_OF(rename_call(dir, n->bytes, n->len, "x", 1), n->take);
	EXPECT_ONE_OF(rename_call(dir, "file", 4, n->bytes, n->len), n->make,
		      dots ? S_INVAL : n->make);
	EXPECT(raw_lookup_bytes(&rig.raw, dir, n->bytes, n->len, &fh),
	       dots ? S_OK : n->take);
}

/* N-29: on both layers; and nothing has come or gone. */
static void t_N_29_bad_names(void)
{
	struct raw_listing list = {.count = 0};
	struct raw_fh dir;

	memset(name_256, 'a', sizeof(name_256));
	memset(name_4k, 'b', sizeof(name_4k));
	memset(name_64k, 'c', sizeof(name_64k));
	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		for (size_t i = 0; i < ARRAY_LEN(bad_names); i++) {
			rig_at("layer %d, name %zu of %zu bytes", layer, i,
			       bad_names[i].len);
			bad_name_everywhere(&dir, &bad_names[i]);
		}
		EXPECT(raw_list(&rig.raw, &dir, false, 4096, &list), S_OK);
		EXPECT(list.count, 2 + 9);
	}
	rig_at("%s", "");
	raw_listing_free(&list);
}

/* N-29, N-30: any other bytes are a name, also those that mark things in other
 * systems; N-31: also the names that clients give to open removed files. */
static const char *const odd_names[] = {
    " ",
    "  two  ",
    "\n",
    "\x01\x02\x1f\x7f",
    "\\",
    "a\\b",
    "*",
    "?",
    "-rf",
    "~",
    "...",
    "....",
    ". ",
    ".. ",
    ".hidden",
    "\xff\xfe\xfd",
    "\xc3\x28",
    "\xed\xa0\x80",
    "\xc3\xa9",
    "e\xcc\x81", /* one letter, composed or not */
    "CON",
    "nul.txt",
    "a:b",
    "._resource",
    ".DS_Store",
    ".nfs0000000012345",
    "lost+found",
    ".wh.file",
    ".wh..wh..opq",
    ".wh..opq",
    ".wh..wh.plnk",
    ".wh.__dir_opaque",
    "trusted.overlay.opaque",
    "user.overlay.whiteout",
    ".fuse_hidden0001",
    ".snapshot",
    ".zfs",
    "index",
    "work",
    "name\rname",
    "%s%n",
    "\"quoted\"",
    "'",
    "$(x)",
    "`x`",
    "a\tb",
    "FILE",
    "File"};

static void odd_name_life(const struct raw_fh *dir, const char *name)
{
	struct raw_listing list = {.count = 0};
	struct raw *raw = &rig.raw;
	const struct raw_entry *entry;
	struct raw_fh made, found;

	EXPECT(raw_lookup(raw, dir, name, &found, NULL), S_NOENT);
	EXPECT(raw_create(raw, dir, name, 1, 0644, &made, NULL), S_OK);
	EXPECT(raw_lookup(raw, dir, name, &found, NULL), S_OK);
	EXPECT(memcmp(&made, &found, sizeof(made)), 0);
	EXPECT(raw_list(raw, dir, false, 8192, &list), S_OK);
	entry = raw_listing_find(&list, name);
	CU_ASSERT(entry != NULL);
	/* It hides nothing. */
	CU_ASSERT(raw_listing_find(&list, "file") != NULL);
	CU_ASSERT(raw_listing_find(&list, "dir") != NULL);
	EXPECT(list.count, 2 + 9 + 1);
	EXPECT(raw_rename(raw, dir, name, dir, "plain"), S_OK);
	EXPECT(raw_rename(raw, dir, "plain", dir, name), S_OK);
	EXPECT(raw_remove(raw, dir, name, false), S_OK);
	EXPECT(raw_lookup(raw, dir, name, &found, NULL), S_NOENT);
	raw_listing_free(&list);
}

static void t_N_30_odd_names(void)
{
	struct raw_fh dir;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		for (size_t i = 0; i < ARRAY_LEN(odd_names); i++) {
			rig_at("layer %d, name \"%s\"", layer, odd_names[i]);
			odd_name_life(&dir, odd_names[i]);
		}
	}
	rig_at("%s", "");
}

static void t_N_29_longest(void)
{
	struct raw_fh dir, fh, found;
	char name[256];

	rig_dir(&rig, &dir);
	for (size_t len = 250; len <= 255; len++) {
		memset(name, 'n', len);
		name[len] = '\0';
		rig_at("length %zu", len);
		EXPECT(raw_create(&rig.raw, &dir, name, 1, 0644, &fh, NULL),
		       S_OK);
		EXPECT(raw_lookup(&rig.raw, &dir, name, &found, NULL), S_OK);
	}
	rig_at("%s", "");
}

/* N-26: "." and ".." of the package, of the delta, and of the export's root. */
static void t_N_26_dots(void)
{
	struct raw *raw = &rig.raw;
	uint64_t root = rig_fileid(raw, &rig.root);
	struct raw_fh dir, sub, fh;
	struct raw_attr attr;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		sub = rig_walk(&rig, &dir, "dir/sub");
		EXPECT(raw_lookup(raw, &sub, "..", &fh, &attr), S_OK);
		fh = rig_walk(&rig, &sub, "../..");
		EXPECT(rig_fileid(raw, &fh), rig_fileid(raw, &dir));
		EXPECT(raw_lookup(raw, &sub, ".", &fh, &attr), S_OK);
		EXPECT(attr.fileid, rig_fileid(raw, &sub));
		fh = rig_walk(&rig, &sub, "../../..");
		EXPECT(rig_fileid(raw, &fh), root);
	}
	/* T-09: no way out. */
	fh = rig_walk(&rig, &rig.root, "../../../..");
	EXPECT(rig_fileid(raw, &fh), root);
}

/* --- all that changes names, over both layers ------------------------------
 */

/* CREATE MKDIR SYMLINK MKNOD LINK in a directory that is there already. */
static void make_in(const struct raw_fh *dir)
{
	struct raw *raw = &rig.raw;
	struct raw_fh file = rig_walk(&rig, dir, "file"), fh;
	struct raw_attr attr, before, after;

	EXPECT(raw_getattr(raw, dir, &before), S_OK);
	for (int how = 0; how < 3; how++)
		EXPECT(raw_create(raw, dir, "file", (uint32_t)how, 0600, &fh,
				  &attr),
		       how == 0 ? S_OK : S_EXIST);
	EXPECT(raw_create(raw, dir, "dir", 0, 0644, &fh, NULL), S_EXIST);
	EXPECT(raw_mkdir(raw, dir, "dir", 0755, &fh), S_EXIST);
	EXPECT(raw_symlink(raw, dir, "link", "x", 1, &fh), S_EXIST);
	EXPECT(raw_mknod(raw, dir, "owned", 7, 0600, &fh), S_EXIST);
	EXPECT(raw_link(raw, &file, dir, "big"), S_EXIST);
	EXPECT(raw_create(raw, dir, "n1", 1, 0640, &fh, &attr), S_OK);
	EXPECT(attr.type, 1);
	EXPECT(attr.mode, 0640);
	EXPECT(attr.nlink, 1);
	EXPECT(raw_mkdir(raw, dir, "n2", 0750, &fh), S_OK);
	EXPECT(raw_getattr(raw, &fh, &attr), S_OK);
	EXPECT(attr.type, 2);
	EXPECT(attr.mode, 0750);
	EXPECT(attr.nlink, 2);
	EXPECT(raw_symlink(raw, dir, "n3", "to", 2, &fh), S_OK);
	EXPECT(raw_mknod(raw, dir, "n4", 7, 0600, &fh), S_OK);
	EXPECT(raw_mknod(raw, dir, "n5", 6, 0600, &fh), S_OK);
	EXPECT(raw_link(raw, &file, dir, "n6"), S_OK);
	EXPECT(raw_getattr(raw, &file, &attr), S_OK);
	EXPECT(attr.nlink, 2);
	EXPECT(raw_getattr(raw, dir, &after), S_OK);
	EXPECT(after.nlink, before.nlink + 1);
	CU_ASSERT(rig_later(before.mtime, after.mtime));
}

/* REMOVE RMDIR RENAME SETATTR of what was there. */
static void take_in(const struct raw_fh *dir)
{
	struct raw *raw = &rig.raw;
	struct raw_attr before, after;
	struct raw_fh fh;

	EXPECT(raw_getattr(raw, dir, &before), S_OK);
	EXPECT(raw_remove(raw, dir, "none", false), S_NOENT);
	EXPECT(raw_remove(raw, dir, "none", true), S_NOENT);
	EXPECT(raw_remove(raw, dir, "dir", false), S_ISDIR);
	EXPECT(raw_remove(raw, dir, "file", true), S_NOTDIR);
	EXPECT(raw_remove(raw, dir, "link", true), S_NOTDIR);
	EXPECT(raw_remove(raw, dir, "dir", true), S_NOTEMPTY);
	EXPECT(raw_remove(raw, dir, "link", false), S_OK);
	EXPECT(raw_remove(raw, dir, "owned", false), S_OK);
	EXPECT(raw_remove(raw, dir, "empty", true), S_OK);
	EXPECT(raw_remove(raw, dir, "owned", false), S_NOENT);
	EXPECT(raw_remove(raw, dir, "empty", true), S_NOENT);
	EXPECT(raw_rename(raw, dir, "suid", dir, "moved"), S_OK);
	EXPECT(raw_lookup(raw, dir, "suid", &fh, NULL), S_NOENT);
	EXPECT(raw_lookup(raw, dir, "moved", &fh, NULL), S_OK);
	EXPECT(raw_getattr(raw, dir, &after), S_OK);
	EXPECT(after.nlink, before.nlink - 1);
	fh = rig_walk(&rig, dir, "dir");
	EXPECT(raw_set_mode(raw, &fh, 0700), S_OK);
	EXPECT(raw_getattr(raw, &fh, &after), S_OK);
	EXPECT(after.mode, 0700);
}

static void expect_names(const struct raw_fh *dir, const char *const *names)
{
	struct raw_listing list = {.count = 0};
	size_t count = 0;

	EXPECT(raw_list(&rig.raw, dir, true, 2000, &list), S_OK);
	for (; names[count]; count++) {
		rig_at("name %s", names[count]);
		CU_ASSERT(raw_listing_find(&list, names[count]) != NULL);
	}
	rig_at("%s", "");
	EXPECT(list.count, count + 2);
	raw_listing_free(&list);
}

static void t_N_04_nine_procedures(void)
{
	static const char *const left[] = {"file", "big", "one", "two", "moved",
					   "dir",  "n1",  "n2",  "n3",  "n4",
					   "n5",   "n6",  NULL};
	struct raw_fh dirs[RIG_LAYERS];

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dirs[layer]);
		make_in(&dirs[layer]);
		take_in(&dirs[layer]);
		expect_names(&dirs[layer], left);
	}
	/* N-04: all of it is there after a crash. */
	rig_kill(&rig);
	for (int layer = 0; layer < RIG_LAYERS; layer++)
		expect_names(&dirs[layer], left);
}

/* N-31: a removed file is gone at once for others; an "open" one that a client
 * has renamed keeps its directory busy. */
static void t_N_31_sillyrename(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, sub, a;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		sub = rig_walk(&rig, &dir, "dir");
		a = rig_walk(&rig, &sub, "a");
		EXPECT(raw_remove(raw, &sub, "b", false), S_OK);
		EXPECT(raw_remove(raw, &sub, "sub/c", false), S_INVAL);
		EXPECT(raw_rename(raw, &sub, "a", &sub, ".nfs00000001"), S_OK);
		CU_ASSERT(rig_same(raw, &a, "content a\n", 10));
		sub = rig_walk(&rig, &dir, "dir/sub");
		EXPECT(raw_remove(raw, &sub, "c", false), S_OK);
		sub = rig_walk(&rig, &dir, "dir");
		EXPECT(raw_remove(raw, &sub, "sub", true), S_OK);
		EXPECT(raw_remove(raw, &dir, "dir", true), S_NOTEMPTY);
		CU_ASSERT(rig_same(raw, &a, "content a\n", 10));
		EXPECT(raw_remove(raw, &sub, ".nfs00000001", false), S_OK);
		EXPECT(raw_remove(raw, &dir, "dir", true), S_OK);
		EXPECT(rig_fileid(raw, &a), 0);
	}
}

/* N-28: a removed package object is hidden in every way, and what takes its
 * name shows nothing of it. */
static void t_N_28_whiteouts(void)
{
	struct raw *raw = &rig.raw;
	struct raw_listing list = {.count = 0};
	struct raw_fh dir, sub, fh;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	sub = rig_walk(&rig, &dir, "dir");
	EXPECT(raw_remove(raw, &sub, "a", false), S_OK);
	EXPECT(raw_lookup(raw, &sub, "a", &fh, NULL), S_NOENT);
	EXPECT(raw_list(raw, &sub, true, 4096, &list), S_OK);
	EXPECT(list.count, 2 + 2);
	fh = rig_make(&rig, &sub, "a", 0600, "second", 6);
	CU_ASSERT(rig_same(raw, &fh, "second", 6));
	EXPECT(raw_remove(raw, &sub, "a", false), S_OK);
	EXPECT(raw_remove(raw, &sub, "b", false), S_OK);
	/* Opaque: the new directory of that name is empty. */
	fh = rig_walk(&rig, &sub, "sub");
	EXPECT(raw_remove(raw, &fh, "c", false), S_OK);
	EXPECT(raw_remove(raw, &sub, "sub", true), S_OK);
	EXPECT(raw_mkdir(raw, &sub, "sub", 0755, &fh), S_OK);
	EXPECT(raw_lookup(raw, &fh, "c", &fh, NULL), S_NOENT);
	rig_kill(&rig);
	EXPECT(raw_list(raw, &sub, true, 4096, &list), S_OK);
	EXPECT(list.count, 2 + 1);
	fh = rig_walk(&rig, &sub, "sub");
	EXPECT(raw_list(raw, &fh, true, 4096, &list), S_OK);
	EXPECT(list.count, 2);
	/* A file where a directory was, and the reverse. */
	EXPECT(raw_remove(raw, &sub, "sub", true), S_OK);
	fh = rig_make(&rig, &sub, "sub", 0600, "file", 4);
	CU_ASSERT(rig_same(raw, &fh, "file", 4));
	EXPECT(raw_mkdir(raw, &sub, "b", 0700, &fh), S_OK);
	EXPECT(raw_list(raw, &fh, true, 4096, &list), S_OK);
	EXPECT(list.count, 2);
	raw_listing_free(&list);
}

/* --- hard links and copy-up ---------------------------------------------- */

static uint32_t nlink_of(const struct raw_fh *fh)
{
	struct raw_attr attr = {.nlink = 0};

	EXPECT(raw_getattr(&rig.raw, fh, &attr), S_OK);
	return attr.nlink;
}

/* N-32: written by one name, read by the other; restarts in between. */
static void t_N_32_hard_links(void)
{
	CLEANUP_FREE uint8_t *want = malloc(RIG_TWO_LEN);
	struct raw *raw = &rig.raw;
	struct raw_fh dir, one, two;
	uint32_t committed;
	uint64_t verifier;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_at("layer %d", layer);
		check_fill(want, RIG_TWO_LEN, RIG_SEED_TWO);
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		one = rig_walk(&rig, &dir, "one");
		two = rig_walk(&rig, &dir, "two");
		EXPECT(memcmp(&one, &two, sizeof(one)), 0);
		EXPECT(nlink_of(&one), 2);
		EXPECT(raw_write(raw, &one, 40000, "changed", 7, 2, &committed,
				 &verifier),
		       S_OK);
		memcpy(want + 40000, "changed", 7);
		two = rig_walk(&rig, &dir, "two");
		CU_ASSERT(rig_same(raw, &two, want, RIG_TWO_LEN));
		EXPECT(nlink_of(&two), 2);
		EXPECT(raw_link(raw, &two, &dir, "three"), S_OK);
		EXPECT(nlink_of(&one), 3);
		rig_kill(&rig);
		EXPECT(nlink_of(&one), 3);
		EXPECT(raw_remove(raw, &dir, "two", false), S_OK);
		EXPECT(raw_remove(raw, &dir, "one", false), S_OK);
		EXPECT(nlink_of(&one), 1);
		rig_kill(&rig);
		two = rig_walk(&rig, &dir, "three");
		EXPECT(memcmp(&one, &two, sizeof(one)), 0);
		CU_ASSERT(rig_same(raw, &two, want, RIG_TWO_LEN));
		EXPECT(nlink_of(&two), 1);
	}
	rig_at("%s", "");
}

static void t_N_32_link_errors(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, file, sub;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		file = rig_walk(&rig, &dir, "file");
		sub = rig_walk(&rig, &dir, "dir");
		EXPECT_ONE_OF(raw_link(raw, &sub, &dir, "x"), S_PERM, S_ISDIR,
			      S_INVAL);
		EXPECT(raw_link(raw, &file, &file, "x"), S_NOTDIR);
		EXPECT(raw_link(raw, &file, &dir, "dir"), S_EXIST);
		EXPECT(nlink_of(&file), 1);
		file = rig_walk(&rig, &dir, "link");
		EXPECT(raw_link(raw, &file, &dir, "link2"), S_OK);
		EXPECT(nlink_of(&file), 2);
	}
}

/* N-21: the first change of a package object changes neither its number nor
 * its handle nor its cookie, and ctime moves. */
static void t_N_21_copy_up(void)
{
	struct raw_listing before = {.count = 0}, after = {.count = 0};
	struct raw *raw = &rig.raw;
	struct raw_attr old, new;
	struct raw_fh dir, fh;
	uint32_t committed;
	uint64_t verifier;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	EXPECT(raw_list(raw, &dir, true, 8192, &before), S_OK);
	fh = rig_walk(&rig, &dir, "big");
	EXPECT(raw_getattr(raw, &fh, &old), S_OK);
	EXPECT(raw_write(raw, &fh, 0, "x", 1, 2, &committed, &verifier), S_OK);
	EXPECT(raw_getattr(raw, &fh, &new), S_OK);
	EXPECT(new.fileid, old.fileid);
	CU_ASSERT(memcmp(old.ctime, new.ctime, 8) != 0);
	fh = rig_walk(&rig, &dir, "file");
	EXPECT(raw_set_mode(raw, &fh, 0600), S_OK);
	fh = rig_walk(&rig, &dir, "one");
	EXPECT(raw_link(raw, &fh, &rig.root, "linked-elsewhere"), S_OK);
	fh = rig_walk(&rig, &dir, "dir");
	EXPECT(raw_set_mode(raw, &fh, 0700), S_OK);
	rig_kill(&rig);
	EXPECT(raw_list(raw, &dir, true, 8192, &after), S_OK);
	EXPECT(after.count, before.count);
	for (size_t i = 0; i < MIN(before.count, after.count); i++) {
		const struct raw_entry *x = &before.entries[i];
		const struct raw_entry *y = &after.entries[i];

		rig_at("entry %s", x->name);
		EXPECT(strcmp(x->name, y->name), 0);
		EXPECT(x->cookie == y->cookie, true);
		EXPECT(x->fileid == y->fileid, true);
		EXPECT(memcmp(&x->fh, &y->fh, sizeof(x->fh)), 0);
	}
	rig_at("%s", "");
	raw_listing_free(&before);
	raw_listing_free(&after);
}

/* --- symbolic links ------------------------------------------------------ */

static void t_N_48_symlinks(void)
{
	static const size_t lens[] = {1, 2, 3, 1023, 1024, 4094, 4095};
	struct raw *raw = &rig.raw;
	static char target[65536];
	char got[8192], name[16];
	struct raw_attr attr;
	struct raw_fh dir, fh;
	size_t len;

	rig_dir(&rig, &dir);
	for (size_t i = 0; i < sizeof(target); i++)
		target[i] = "../"[i % 3];
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		rig_at("length %zu", lens[i]);
		snprintf(name, sizeof(name), "l%zu", i);
		EXPECT(raw_symlink(raw, &dir, name, target, lens[i], &fh),
		       S_OK);
		EXPECT(raw_readlink(raw, &fh, got, sizeof(got), &len), S_OK);
		EXPECT(len, lens[i]);
		EXPECT(memcmp(got, target, lens[i]), 0);
		EXPECT(raw_getattr(raw, &fh, &attr), S_OK);
		EXPECT(attr.type, 5);
		EXPECT(attr.size, lens[i]);
	}
	rig_at("%s", "");
	EXPECT(raw_symlink(raw, &dir, "x", target, 4096, &fh), S_NAMETOOLONG);
	EXPECT(raw_symlink(raw, &dir, "x", target, 8192, &fh), S_NAMETOOLONG);
	EXPECT_ONE_OF(raw_symlink(raw, &dir, "x", target, 65536, &fh),
		      S_NAMETOOLONG, A_GARBAGE);
	EXPECT(raw_symlink(raw, &dir, "x", target, 0, &fh), S_INVAL);
	EXPECT(raw_symlink(raw, &dir, "x", "a\0b", 3, &fh), S_INVAL);
	/* Not followed, by anybody. */
	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "link");
	EXPECT(raw_readlink(raw, &fh, got, sizeof(got), &len), S_OK);
	EXPECT(len, 7);
	EXPECT(memcmp(got, "../file", 7), 0);
	EXPECT(raw_lookup(raw, &fh, "file", &fh, NULL), S_NOTDIR);
}

/* --- who may ------------------------------------------------------------- */

/* N-35: in a sticky directory only owners take names away. */
static void t_N_35_sticky(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, other, fh;

	rig_dir(&rig, &dir);
	rig_dir(&rig, &other);
	EXPECT(raw_set_mode(raw, &dir, 01777), S_OK);
	EXPECT(raw_set_mode(raw, &other, 0777), S_OK);
	rig_become(raw, 1000, 1000);
	EXPECT(raw_create(raw, &dir, "f", 1, 0666, &fh, NULL), S_OK);
	EXPECT(raw_mkdir(raw, &dir, "d", 0777, &fh), S_OK);
	rig_become(raw, 1001, 1001);
	EXPECT_ONE_OF(raw_remove(raw, &dir, "f", false), S_PERM, S_ACCES);
	EXPECT_ONE_OF(raw_remove(raw, &dir, "d", true), S_PERM, S_ACCES);
	EXPECT_ONE_OF(raw_rename(raw, &dir, "f", &other, "f"), S_PERM, S_ACCES);
	EXPECT(raw_create(raw, &other, "mine", 1, 0666, &fh, NULL), S_OK);
	EXPECT_ONE_OF(raw_rename(raw, &other, "mine", &dir, "f"), S_PERM,
		      S_ACCES);
	rig_become(raw, 1000, 1000);
	EXPECT(raw_remove(raw, &dir, "f", false), S_OK);
	rig_become(raw, 0, 0);
	EXPECT(raw_remove(raw, &dir, "d", true), S_OK);
}

/* N-36: who makes it: of the directory's group; of another; of that one by a
 * supplementary group; root. */
static const struct {
	uint32_t uid, gid, group;
	bool member; /* or may do as if */
} setgid_who[] = {
    {1000, 500, 0, true},
    {1000, 600, 0, false},
    {1000, 600, 500, true},
    {0, 600, 0, true},
};

struct setgid_case {
	bool dir_setgid, is_dir, asks_setgid, group_exec;
	unsigned int who;
};

static void setgid_check(const struct setgid_case *c,
			 const struct raw_attr *attr)
{
	bool got = attr->mode & 02000;

	EXPECT(attr->gid, c->dir_setgid ? 500 : setgid_who[c->who].gid);
	if (c->is_dir)
		EXPECT(got, c->dir_setgid || c->asks_setgid);
	else if (!c->asks_setgid)
		EXPECT(got, false);
	else if (!c->dir_setgid || setgid_who[c->who].member)
		EXPECT(got, true);
	else if (c->group_exec)
		EXPECT(got, false); /* CVE-2018-13405 */
	/* Without execution by the group the bit gives nobody anything: both
	 * will do. */
	EXPECT(attr->mode & 0777, c->group_exec ? 0755 : 0644);
}

static void setgid_case(const struct raw_fh *parent,
			const struct setgid_case *c)
{
	struct raw_sattr set = {.mask = RAW_SET_MODE | RAW_SET_GID,
				.mode = c->dir_setgid ? 02777 : 0777,
				.gid = 500};
	uint32_t mode = c->group_exec ? 0755 : 0644;
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	struct raw_attr attr;

	if (c->asks_setgid)
		mode |= 02000;
	EXPECT(raw_mkdir(raw, parent, "case", 0777, &dir), S_OK);
	EXPECT(raw_setattr(raw, &dir, &set, NULL, NULL), S_OK);
	rig_become(raw, setgid_who[c->who].uid, setgid_who[c->who].gid);
	raw->group_count = setgid_who[c->who].group != 0;
	raw->groups[0] = setgid_who[c->who].group;
	if (c->is_dir)
		EXPECT(raw_mkdir(raw, &dir, "n", mode, &fh), S_OK);
	else
		EXPECT(raw_create(raw, &dir, "n", 1, mode, &fh, NULL), S_OK);
	rig_become(raw, 0, 0);
	EXPECT(raw_getattr(raw, &fh, &attr), S_OK);
	setgid_check(c, &attr);
	EXPECT(raw_remove(raw, &dir, "n", c->is_dir), S_OK);
	EXPECT(raw_remove(raw, parent, "case", true), S_OK);
}

static void t_N_36_setgid(void)
{
	struct raw_fh parent;

	rig_dir(&rig, &parent);
	for (unsigned int i = 0; i < 64; i++) {
		struct setgid_case c = {.dir_setgid = i & 1,
					.is_dir = i & 2,
					.asks_setgid = i & 4,
					.group_exec = i & 8,
					.who = i >> 4};

		rig_at("case %u", i);
		setgid_case(&parent, &c);
	}
	rig_at("%s", "");
}

/* Names need write and search permission of their directory. */
static void t_N_38_directories(void)
{
	static const uint32_t modes[] = {0, 01, 02, 03, 04, 05, 06, 07};
	struct raw *raw = &rig.raw;
	struct raw_listing list = {.count = 0};
	struct raw_fh dir, fh;

	rig_dir(&rig, &dir);
	rig_make(&rig, &dir, "f", 0666, "", 0);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		bool search = modes[i] & 1, write = modes[i] & 2;

		rig_at("mode %o", modes[i]);
		EXPECT(raw_set_mode(raw, &dir, 0700 | modes[i]), S_OK);
		rig_become(raw, 1000, 1000);
		EXPECT(raw_lookup(raw, &dir, "f", &fh, NULL),
		       search ? S_OK : S_ACCES);
		EXPECT(raw_lookup(raw, &dir, "none", &fh, NULL),
		       search ? S_NOENT : S_ACCES);
		EXPECT(raw_create(raw, &dir, "new", 1, 0644, &fh, NULL),
		       search && write ? S_OK : S_ACCES);
		EXPECT(raw_remove(raw, &dir, "new", false), search && write
								? S_OK
							    : search ? S_NOENT
								     : S_ACCES);
		EXPECT(raw_remove(raw, &dir, "f", true),
		       search && write ? S_NOTDIR : S_ACCES);
		EXPECT(raw_list(raw, &dir, false, 4096, &list),
		       modes[i] & 4 ? S_OK : S_ACCES);
		rig_become(raw, 0, 0);
	}
	rig_at("%s", "");
	raw_listing_free(&list);
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
    TEST(t_N_29_bad_names),
    TEST(t_N_29_longest),
    TEST(t_N_30_odd_names),
    TEST(t_N_26_dots),
    TEST(t_N_04_nine_procedures),
    TEST(t_N_31_sillyrename),
    TEST(t_N_28_whiteouts),
    TEST(t_N_32_hard_links),
    TEST(t_N_32_link_errors),
    TEST(t_N_21_copy_up),
    TEST(t_N_48_symlinks),
    TEST(t_N_35_sticky),
    TEST(t_N_36_setgid),
    TEST(t_N_38_directories),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_names", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

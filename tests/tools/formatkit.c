/* SPDX-License-Identifier: Apache-2.0 */
/*
 * formatkit: what the fixtures of stored formats are made and compared with
 * (tests/fixtures).
 *
 *   formatkit change PORT EXPORT   make a delta with every kind of record over
 *                                  the package that tests/fixtures/write makes
 *   formatkit list PORT EXPORT     all that a guest can see, a line an object:
 *                                  PATH TYPE MODE NLINK UID GID SIZE USED MTIME
 *                                  CTIME FILEID HANDLE CONTENT
 *   formatkit again PORT EXPORT    send the last calls of `change` once more,
 * as they were, and print their replies; then an EXCLUSIVE create with its
 * verifier
 *
 * CONTENT is the digest of a file's bytes or a link's target.
 */
#include <stdio.h>

#include "depot/digest.h"
#include "tests/lib/check.h"
#include "tests/lib/rawnfs.h"

enum {
	KIT_XID = 0x00f00d00, /* of the calls that are sent again */
	KIT_PATH_MAX = 1024,
	KIT_FILE_MAX = 4 << 20,
	KIT_VERIFIER = 0x1234,
};

struct kit {
	struct raw raw;
	struct raw_fh root;
};

static void kit_need(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "formatkit: %s\n", what);
	exit(1);
}

/* --- list ---------------------------------------------------------------- */

static void kit_hex(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		printf("%02x", p[i]);
}

static void kit_content(struct kit *kit, const struct raw_fh *fh,
			const struct raw_attr *attr)
{
	static uint8_t data[KIT_FILE_MAX];
	struct digest digest;
	size_t len = 0;
	bool eof = false;

	if (attr->type == 5) {
		kit_need(raw_readlink(&kit->raw, fh, (char *)data, sizeof(data),
				      &len) == 0,
			 "READLINK");
		printf(" %.*s\n", (int)len, data);
		return;
	}
	if (attr->type != 1) {
		printf(" -\n");
		return;
	}
	while (!eof) {
		uint32_t got;

		kit_need(len < KIT_FILE_MAX - 65536, "a file is too long");
		kit_need(raw_read(&kit->raw, fh, len, 65536, data + len, &got,
				  &eof) == 0,
			 "READ");
		len += got;
	}
	kit_need(len == attr->size, "a file has another length");
	digest = digest_of(data, len);
	printf(" ");
	kit_hex(digest.bytes, DIGEST_LEN);
	printf("\n");
}

static void kit_object(struct kit *kit, const char *path,
		       const struct raw_fh *fh)
{
	struct raw_attr a;

	kit_need(raw_getattr(&kit->raw, fh, &a) == 0, "GETATTR");
	printf("%s %u %04o %u %u %u %llu %llu %u.%09u %u.%09u %016llx ", path,
	       a.type, a.mode, a.nlink, a.uid, a.gid,
	       (unsigned long long)a.size, (unsigned long long)a.used,
	       a.mtime[0], a.mtime[1], a.ctime[0], a.ctime[1],
	       (unsigned long long)a.fileid);
	kit_hex(fh->bytes, fh->len);
	kit_content(kit, fh, &a);
}

/* In order of cookies, which is the same for ever. */
static void kit_dir(struct kit *kit, const char *path, const struct raw_fh *dir)
{
	struct raw_listing list = {0};

	kit_object(kit, path, dir);
	kit_need(raw_list(&kit->raw, dir, true, 8192, &list) == 0,
		 "READDIRPLUS");
	for (size_t i = 0; i < list.count; i++) {
		const struct raw_entry *e = &list.entries[i];
		char below[KIT_PATH_MAX];
		struct raw_attr attr;
		struct raw_fh fh;

		if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%.700s/%.255s", path, e->name);
		kit_need(raw_lookup(&kit->raw, dir, e->name, &fh, &attr) == 0,
			 "LOOKUP");
		kit_need(attr.fileid == e->fileid && fh.len == e->fh.len &&
			     memcmp(fh.bytes, e->fh.bytes, fh.len) == 0,
			 "LOOKUP and READDIRPLUS differ");
		printf("%016llx ", (unsigned long long)e->cookie);
		if (attr.type == 2)
			kit_dir(kit, below, &fh);
		else
			kit_object(kit, below, &fh);
	}
	raw_listing_free(&list);
}

/* --- change -------------------------------------------------------------- */

static struct raw_fh kit_find(struct kit *kit, const char *path)
{
	struct raw_attr attr;
	struct raw_fh fh;

	kit_need(raw_walk(&kit->raw, &kit->root, path, &fh, &attr) == 0, path);
	return fh;
}

static struct raw_fh kit_file(struct kit *kit, const struct raw_fh *dir,
			      const char *name, size_t len, uint64_t seed)
{
	static uint8_t data[200000];
	uint64_t verifier;
	uint32_t committed;
	struct raw_fh fh;

	check_fill(data, len, seed);
	/* Half of it may be packed: it lies in the repository. */
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i % 64 ? seed : data[i]);
	kit_need(raw_create(&kit->raw, dir, name, 1, 0644, &fh, NULL) == 0,
		 name);
	for (size_t off = 0; off < len; off += 50000)
		kit_need(raw_write(&kit->raw, &fh, off, data + off,
				   (uint32_t)MIN(len - off, 50000u), 0,
				   &committed, &verifier) == 0,
			 "WRITE");
	kit_need(raw_commit(&kit->raw, &fh, &verifier) == 0, "COMMIT");
	return fh;
}

static void kit_change_package(struct kit *kit)
{
	struct raw *raw = &kit->raw;
	struct raw_fh d = kit_find(kit, "usr/share/fx");
	struct raw_fh big = kit_find(kit, "usr/share/fx/big");
	struct raw_fh cut = kit_find(kit, "usr/share/fx/cut");
	struct raw_fh small = kit_find(kit, "usr/share/fx/small");
	struct raw_fh mode = kit_find(kit, "usr/share/fx/mode");
	static const uint8_t bytes[9000] = {1, 2, 3};
	uint64_t verifier;
	uint32_t committed;

	/* Pages over the base; a cut with pages below and above it. */
	kit_need(raw_write(raw, &big, 50001, bytes, 9000, 2, &committed,
			   &verifier) == 0 &&
		     raw_write(raw, &cut, 5000, bytes, 9000, 2, &committed,
			       &verifier) == 0 &&
		     raw_write(raw, &cut, 80000, bytes, 9000, 2, &committed,
			       &verifier) == 0 &&
		     raw_set_size(raw, &cut, 30001) == 0 &&
		     raw_set_size(raw, &cut, 90000) == 0 &&
		     raw_write(raw, &small, 3, "inline", 6, 2, &committed,
			       &verifier) == 0 &&
		     raw_set_mode(raw, &mode, 0600) == 0,
		 "package files");
	kit_need(raw_remove(raw, &d, "gone", false) == 0, "whiteout");
	kit_need(raw_rename(raw, &d, "moved", &kit->root, "here") == 0 &&
		     raw_rename(raw, &d, "dir", &kit->root, "there") == 0,
		 "renames");
}

static void kit_change_born(struct kit *kit)
{
	struct raw *raw = &kit->raw;
	struct raw_fh born, fh;

	kit_need(raw_mkdir(raw, &kit->root, "born", 02775, &born) == 0,
		 "MKDIR");
	fh = kit_file(kit, &born, "inline", 777, 1);
	kit_need(raw_link(raw, &fh, &kit->root, "hard") == 0, "LINK");
	kit_file(kit, &born, "empty", 0, 2);
	fh = kit_file(kit, &born, "host", 150000, 3);
	kit_need(raw_set_size(raw, &fh, 123457) == 0, "cut");
	kit_need(raw_symlink(raw, &born, "soft", "../here", 7, &fh) == 0,
		 "SYMLINK");
	kit_need(raw_mknod(raw, &born, "fifo", 7, 0622, &fh) == 0, "MKNOD");
	kit_need(raw_create(raw, &born, "exclusive", 2, KIT_VERIFIER, &fh,
			    NULL) == 0,
		 "EXCLUSIVE");
	kit_file(kit, &kit->root, "doomed", 20000, 4);
	kit_file(kit, &kit->root, "from", 10, 5);
}

/* --- again --------------------------------------------------------------- */

enum { KIT_AGAIN = 5 };

static void kit_begin_again(struct kit *kit, int i)
{
	struct raw *raw = &kit->raw;

	raw->xid = KIT_XID + (uint32_t)i;
	switch (i) {
	case 0:
		raw_begin_mkdir(raw, &kit->root, "once", 0750);
		break;
	case 1:
		raw_begin_create(raw, &kit->root, "guarded", 1, 0640);
		break;
	case 2:
		raw_begin_remove(raw, &kit->root, "doomed", false);
		break;
	case 3:
		raw_begin_rename(raw, &kit->root, "from", &kit->root, "to");
		break;
	case 4:
		raw_begin_symlink(raw, &kit->root, "sign", "born", 4);
		break;
	}
}

static void kit_again(struct kit *kit, bool print)
{
	for (int i = 0; i < KIT_AGAIN; i++) {
		kit_begin_again(kit, i);
		kit_need(raw_call(&kit->raw) == 0, "a call again");
		if (!print)
			continue;
		printf("%d ", i);
		kit_hex(kit->raw.in, kit->raw.in_len);
		printf("\n");
	}
}

static void kit_exclusive_again(struct kit *kit)
{
	struct raw_fh born = kit_find(kit, "born"), fh;

	kit->raw.xid = KIT_XID + 100;
	kit_need(raw_create(&kit->raw, &born, "exclusive", 2, KIT_VERIFIER, &fh,
			    NULL) == 0,
		 "EXCLUSIVE with its verifier");
	printf("exclusive ");
	kit_hex(fh.bytes, fh.len);
	printf("\n");
	kit_need(raw_create(&kit->raw, &born, "exclusive", 2, KIT_VERIFIER + 1,
			    &fh, NULL) == 17,
		 "EXCLUSIVE with another verifier");
}

int main(int argc, char **argv)
{
	struct kit kit;

	if (argc != 4) {
		fprintf(stderr,
			"usage: formatkit change|list|again PORT EXPORT\n");
		return 2;
	}
	kit_need(raw_open(&kit.raw, NULL, atoi(argv[2])), "nobody listens");
	kit.raw.flavour = 1;
	kit.raw.uid = kit.raw.gid = 0;
	kit_need(raw_mount(&kit.raw, argv[3], &kit.root) == 0, "MNT");
	if (strcmp(argv[1], "change") == 0) {
		kit_change_package(&kit);
		kit_change_born(&kit);
		kit_again(&kit, false);
	} else if (strcmp(argv[1], "list") == 0) {
		kit_dir(&kit, ".", &kit.root);
	} else {
		kit_again(&kit, true);
		kit_exclusive_again(&kit);
	}
	raw_close(&kit.raw);
	return 0;
}

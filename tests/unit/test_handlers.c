/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All procedures over the fake view: what is answered on success, what a
 * failure carries, limits, retransmissions.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "nfsd/attr3.h"
#include "nfsd/fh.h"
#include "tests/fake/fake_rig.h"
#include "tests/lib/check.h"

enum { ROOT = 1 };

static uint32_t status(struct rig *rig)
{
	return rig_status(rig, &rig->peer);
}

static void at_end(struct rig *rig)
{
	CU_ASSERT_FALSE(rig->reply.bad);
	CU_ASSERT_PTR_EQUAL(rig->reply.p, rig->reply.end);
}

static void call_fh(struct rig *rig, uint32_t proc, uint64_t fileid)
{
	rig_call(rig, NFS3_PROGRAM, proc);
	rig_fh_of(rig, rig->red, fileid);
}

static void call_dirop(struct rig *rig, uint32_t proc, const char *name)
{
	call_fh(rig, proc, ROOT);
	rig_name(rig, name);
}

/* Arguments of any procedure on this object, as if it were the right kind. */
static void call_any(struct rig *rig, uint32_t proc, uint64_t fileid)
{
	call_fh(rig, proc, fileid);
	switch (proc) {
	case NFS3_SETATTR:
		rig_sattr(rig);
		rig_u32(rig, 0);
		break;
	case NFS3_LOOKUP:
	case NFS3_REMOVE:
	case NFS3_RMDIR:
		rig_name(rig, "name");
		break;
	case NFS3_ACCESS:
		rig_u32(rig, 0x3f);
		break;
	case NFS3_READ:
	case NFS3_COMMIT:
		rig_u64(rig, 0);
		rig_u32(rig, 10);
		break;
	case NFS3_WRITE:
		rig_u64(rig, 0);
		rig_u32(rig, 3);
		rig_u32(rig, 0);
		rig_name(rig, "abc");
		break;
	case NFS3_CREATE:
		rig_name(rig, "name");
		rig_u32(rig, GUARDED);
		rig_sattr(rig);
		break;
	case NFS3_MKDIR:
		rig_name(rig, "name");
		rig_sattr(rig);
		break;
	case NFS3_SYMLINK:
		rig_name(rig, "name");
		rig_sattr(rig);
		rig_name(rig, "target");
		break;
	case NFS3_MKNOD:
		rig_name(rig, "name");
		rig_u32(rig, NF3FIFO);
		rig_sattr(rig);
		break;
	case NFS3_RENAME:
		rig_name(rig, "name");
		rig_fh_of(rig, rig->red, ROOT);
		rig_name(rig, "name2");
		break;
	case NFS3_LINK:
		rig_fh_of(rig, rig->red, ROOT);
		rig_name(rig, "name");
		break;
	case NFS3_READDIR:
		rig_u64(rig, 0);
		rig_u64(rig, 0);
		rig_u32(rig, 4096);
		break;
	case NFS3_READDIRPLUS:
		rig_u64(rig, 0);
		rig_u64(rig, 0);
		rig_u32(rig, 4096);
		rig_u32(rig, 4096);
		break;
	default:
		break;
	}
}

static void test_getattr(void)
{
	struct rig *rig = rig_new();
	uint64_t file = fake_view_add_file(rig->red, ROOT, "f", "hello", 5);

	call_fh(rig, NFS3_GETATTR, file);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_EQUAL(rig->reply.end - rig->reply.p, ATTR3_LEN);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NF3REG);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0644);
	/* fsid is the export id. */
	CU_ASSERT_EQUAL(be64_get(rig->reply.p + 36), 7);
	CU_ASSERT_EQUAL(be64_get(rig->reply.p + 44), file);
	rig_free(rig);
}

/* N-15: what is no handle of ours, in all procedures that take one. */
static void test_bad_handles(void)
{
	struct rig *rig = rig_new();
	uint64_t blue = fake_view_add_file(rig->blue, ROOT, "f", "x", 1);
	struct view_object gone = {.fileid = 999, .generation = 1};
	uint8_t fh[FH_LEN];
	size_t at;

	fh_make(view_get_info(rig->red), gone, fh);
	for (uint32_t proc = 1; proc < NFS3_PROC_COUNT; proc++) {
		call_any(rig, proc, ROOT);
		at = be32_get(rig->call + 64) == FH_LEN ? 68 : 0;
		CU_ASSERT_EQUAL_FATAL(at, 68);
		rig->call[at + 9] ^= 1;
		CU_ASSERT_EQUAL(status(rig), NFS3ERR_BADHANDLE);
		memcpy(rig->call + at, fh, FH_LEN);
		put_u32(rig->call, ++rig->xid);
		CU_ASSERT_EQUAL(status(rig), NFS3ERR_STALE);
	}
	/* Another's export, and one that is not for this client. */
	rig_call(rig, NFS3_PROGRAM, NFS3_GETATTR);
	rig_fh_of(rig, rig->blue, blue);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	call_fh(rig, NFS3_GETATTR, ROOT);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->other), NFS3ERR_BADHANDLE);
	rig_call(rig, NFS3_PROGRAM, NFS3_GETATTR);
	rig_bytes(rig, fh, 0);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_BADHANDLE);
	rig_free(rig);
}

/* N-12: what a failure carries, for a handle that is right. */
static void test_failures_carry(void)
{
	struct rig *rig = rig_new();
	bool before, after;

	/* The drc reads its records once, which may not fail here. */
	call_dirop(rig, NFS3_RMDIR, "none");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOENT);
	for (uint32_t proc = 1; proc < NFS3_PROC_COUNT; proc++) {
		if (proc == NFS3_FSSTAT || proc == NFS3_FSINFO ||
		    proc == NFS3_PATHCONF || proc == NFS3_ACCESS)
			continue; /* they ask for attributes first */
		call_any(rig, proc, ROOT);
		fake_view_fail(rig->red, -EIO);
		CU_ASSERT_EQUAL(status(rig), NFS3ERR_IO);
		switch (proc) {
		case NFS3_GETATTR:
			break;
		case NFS3_LOOKUP:
		case NFS3_READLINK:
		case NFS3_READ:
		case NFS3_READDIR:
		case NFS3_READDIRPLUS:
			CU_ASSERT_TRUE(rig_skip_post_attr(rig));
			break;
		case NFS3_LINK:
			CU_ASSERT_TRUE(rig_skip_post_attr(rig));
			rig_skip_wcc(rig, &before, &after);
			CU_ASSERT_TRUE(after);
			break;
		case NFS3_RENAME:
			rig_skip_wcc(rig, &before, &after);
			CU_ASSERT_TRUE(after);
			/* fall through */
		default:
			rig_skip_wcc(rig, &before, &after);
			CU_ASSERT_TRUE(after);
		}
		at_end(rig);
	}
	rig_free(rig);
}

static uint32_t set_guarded(struct rig *rig, uint64_t file,
			    struct timespec guard)
{
	call_fh(rig, NFS3_SETATTR, file);
	rig_u32(rig, 1);
	rig_u32(rig, 0600);
	for (int i = 0; i < 5; i++)
		rig_u32(rig, 0);
	rig_u32(rig, 1);
	rig_u32(rig, (uint32_t)guard.tv_sec);
	rig_u32(rig, (uint32_t)guard.tv_nsec);
	return status(rig);
}

static void test_setattr(void)
{
	struct rig *rig = rig_new();
	uint64_t file = fake_view_add_file(rig->red, ROOT, "f", "hello", 5);
	struct timespec guard = fake_view_attr(rig->red, file)->ctime;
	static const uint64_t sizes[] = {(uint64_t)INT64_MAX + 1, UINT64_MAX};
	bool before, after;

	CU_ASSERT_EQUAL(set_guarded(rig, file, guard), NFS3_OK);
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(before && after);
	at_end(rig);
	CU_ASSERT_EQUAL(fake_view_attr(rig->red, file)->mode, S_IFREG | 0600);
	CU_ASSERT_EQUAL(set_guarded(rig, file, guard), NFS3ERR_NOT_SYNC);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		call_fh(rig, NFS3_SETATTR, file);
		for (int n = 0; n < 3; n++)
			rig_u32(rig, 0);
		rig_u32(rig, 1);
		rig_u64(rig, sizes[i]);
		for (int n = 0; n < 3; n++)
			rig_u32(rig, 0);
		CU_ASSERT_EQUAL(status(rig), NFS3ERR_FBIG);
	}
	CU_ASSERT_EQUAL(fake_view_attr(rig->red, file)->size, 5);
	rig_free(rig);
}

static void test_lookup(void)
{
	struct rig *rig = rig_new();
	uint64_t file = fake_view_add_file(rig->red, ROOT, "f", "hello", 5);
	char name[400];

	call_dirop(rig, NFS3_LOOKUP, "f");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_EQUAL(rig_get_fh(rig).fileid, file);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	at_end(rig);
	call_dirop(rig, NFS3_LOOKUP, "absent");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOENT);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	at_end(rig);
	call_dirop(rig, NFS3_LOOKUP, "..");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_EQUAL(rig_get_fh(rig).fileid, ROOT);
	call_fh(rig, NFS3_LOOKUP, file);
	rig_name(rig, "x");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOTDIR);
	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	call_dirop(rig, NFS3_LOOKUP, name);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOENT);
	name[255] = 'a';
	name[256] = '\0';
	call_dirop(rig, NFS3_LOOKUP, name);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NAMETOOLONG);
	rig_free(rig);
}

/* N-29, in every procedure that takes a name. */
static void test_names(void)
{
	static const uint32_t makers[] = {NFS3_CREATE, NFS3_MKDIR, NFS3_SYMLINK,
					  NFS3_MKNOD};
	static const uint32_t takers[] = {NFS3_LOOKUP, NFS3_REMOVE, NFS3_RMDIR};
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {{"", 0}, {"/", 1}, {"a/b", 3}, {"a\0b", 3}, {"../x", 4}};
	struct rig *rig = rig_new();

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		for (size_t n = 0; n < ARRAY_LEN(takers); n++) {
			call_fh(rig, takers[n], ROOT);
			rig_bytes(rig, bad[i].bytes, bad[i].len);
			CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
		}
		for (size_t n = 0; n < ARRAY_LEN(makers); n++) {
			call_fh(rig, makers[n], ROOT);
			rig_bytes(rig, bad[i].bytes, bad[i].len);
			if (makers[n] == NFS3_CREATE)
				rig_u32(rig, UNCHECKED);
			if (makers[n] == NFS3_MKNOD)
				rig_u32(rig, NF3FIFO);
			rig_sattr(rig);
			if (makers[n] == NFS3_SYMLINK)
				rig_name(rig, "t");
			CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
		}
	}
	call_dirop(rig, NFS3_REMOVE, ".");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	call_dirop(rig, NFS3_RMDIR, ".");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	call_dirop(rig, NFS3_RMDIR, "..");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_EXIST);
	call_dirop(rig, NFS3_MKDIR, "..");
	rig_sattr(rig);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_EXIST);
	/* Anything else is bytes. */
	call_dirop(rig, NFS3_MKDIR, "\xff\xfe\n .wh.x");
	rig_sattr(rig);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_free(rig);
}

/* N-38: 512 modes, 5 identities, files and directories. */
static void test_access(void)
{
	static const struct {
		uint32_t uid, gid;
	} who[] = {{0, 0}, {10, 20}, {11, 20}, {11, 21}, {10, 21}};
	struct rig *rig = rig_new();
	uint64_t file = fake_view_add_file(rig->red, ROOT, "f", "x", 1);
	uint64_t dir = fake_view_add_dir(rig->red, ROOT, "d");

	for (unsigned int n = 0; n < 512 * ARRAY_LEN(who) * 2; n++) {
		uint32_t mode = n / 2 % 512, i = n / 1024, rwx = mode & 7;
		uint64_t fileid = n % 2 ? dir : file;
		struct view_attr *attr = fake_view_attr(rig->red, fileid);
		uint32_t want = 0;

		attr->mode = (attr->mode & S_IFMT) | mode;
		attr->uid = 10;
		attr->gid = 20;
		if (who[i].uid == 0)
			rwx = 6 | (n % 2 || (mode & 0111));
		else if (who[i].uid == 10)
			rwx = mode >> 6;
		else if (who[i].gid == 20)
			rwx = mode >> 3 & 7;
		want |= rwx & 4 ? ACCESS3_READ : 0;
		if (n % 2) {
			want |= rwx & 1 ? ACCESS3_LOOKUP : 0;
			want |= (rwx & 3) == 3
				    ? ACCESS3_MODIFY | ACCESS3_EXTEND |
					  ACCESS3_DELETE
				    : 0;
		} else {
			want |= rwx & 1 ? ACCESS3_EXECUTE : 0;
			want |= rwx & 2 ? ACCESS3_MODIFY | ACCESS3_EXTEND : 0;
		}
		rig->uid = who[i].uid;
		rig->gid = who[i].gid;
		call_fh(rig, NFS3_ACCESS, fileid);
		rig_u32(rig, 0x3f);
		CU_ASSERT_EQUAL(status(rig), NFS3_OK);
		CU_ASSERT_TRUE(rig_skip_post_attr(rig));
		CU_ASSERT_EQUAL(get_u32(&rig->reply), want);
		at_end(rig);
	}
	/* Only what was asked. */
	rig->uid = 0;
	call_fh(rig, NFS3_ACCESS, dir);
	rig_u32(rig, ACCESS3_READ | 0xffffff00);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_skip_post_attr(rig);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), ACCESS3_READ);
	rig_free(rig);
}

/* Root is squashed on blue, and (uid_t)-1 never gets through. */
static void test_squash(void)
{
	struct rig *rig = rig_new();
	uint64_t dir = fake_view_add_dir(rig->blue, ROOT, "d");

	fake_view_attr(rig->blue, dir)->mode = S_IFDIR | 0700;
	rig_call(rig, NFS3_PROGRAM, NFS3_ACCESS);
	rig_fh_of(rig, rig->blue, dir);
	rig_u32(rig, 0x3f);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_skip_post_attr(rig);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	fake_view_attr(rig->red, ROOT)->mode = S_IFDIR | 0700;
	fake_view_attr(rig->red, ROOT)->uid = UINT32_MAX;
	rig->uid = UINT32_MAX;
	call_fh(rig, NFS3_ACCESS, ROOT);
	rig_u32(rig, 0x3f);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_skip_post_attr(rig);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	rig_free(rig);
}

static uint32_t read_at(struct rig *rig, uint64_t file, uint64_t off,
			uint32_t count)
{
	call_fh(rig, NFS3_READ, file);
	rig_u64(rig, off);
	rig_u32(rig, count);
	return status(rig);
}

static void test_read(void)
{
	enum { SIZE = (1 << 20) + 77777 };
	struct rig *rig = rig_new();
	CLEANUP_FREE uint8_t *data = malloc(SIZE);
	static const struct {
		uint64_t off;
		uint32_t count, got;
		bool eof;
	} rows[] = {
	    {0, 0, 0, false},
	    {0, 1, 1, false},
	    {3, 4097, 4097, false},
	    {0, 1 << 20, 1 << 20, false},
	    {0, UINT32_MAX, 1 << 20, false},
	    {77777, 1 << 20, 1 << 20, true},
	    {SIZE - 1, 1, 1, true},
	    {SIZE - 5, 100, 5, true},
	    {SIZE, 100, 0, true},
	    {(uint64_t)INT64_MAX, 100, 0, true},
	    {UINT64_MAX, UINT32_MAX, 0, true},
	};
	uint64_t file;

	check_fill(data, SIZE, 9);
	file = fake_view_add_file(rig->red, ROOT, "f", data, SIZE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t *got;
		size_t len;

		CU_ASSERT_EQUAL(read_at(rig, file, rows[i].off, rows[i].count),
				NFS3_OK);
		CU_ASSERT_TRUE(rig_skip_post_attr(rig));
		CU_ASSERT_EQUAL(get_u32(&rig->reply), rows[i].got);
		CU_ASSERT_EQUAL(get_u32(&rig->reply), rows[i].eof);
		got = get_opaque(&rig->reply, SIZE, &len);
		CU_ASSERT_EQUAL_FATAL(len, rows[i].got);
		CU_ASSERT_TRUE(len == 0 ||
			       memcmp(got, data + rows[i].off, len) == 0);
		at_end(rig);
		CU_ASSERT_EQUAL(fake_view_pins(rig->red), 0);
	}
	CU_ASSERT_EQUAL(read_at(rig, ROOT, 0, 10), NFS3ERR_INVAL);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	rig_free(rig);
}

static void call_write(struct rig *rig, uint64_t file, uint64_t off,
		       uint32_t count, uint32_t how, const void *data,
		       size_t len)
{
	call_fh(rig, NFS3_WRITE, file);
	rig_u64(rig, off);
	rig_u32(rig, count);
	rig_u32(rig, how);
	rig_bytes(rig, data, len);
}

static void check_written(struct rig *rig, uint32_t count, uint32_t committed)
{
	uint64_t verifier = fake_view_info(rig->red)->verifier;
	bool before, after;

	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(before && after);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), count);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), committed);
	CU_ASSERT_EQUAL(memcmp(rig->reply.p, &verifier, 8), 0);
	rig->reply.p += 8;
	at_end(rig);
}

static void test_write(void)
{
	struct rig *rig = rig_new();
	CLEANUP_FREE uint8_t *data = malloc((1 << 20) + 3000);
	uint64_t file = fake_view_add_file(rig->red, ROOT, "f", NULL, 0);
	static const uint32_t sizes[] = {0, 1, 4095, 4096, 1 << 20};

	check_fill(data, (1 << 20) + 3000, 8);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (uint32_t how = UNSTABLE; how <= FILE_SYNC; how++) {
			call_write(rig, file, 10, sizes[i], how, data,
				   sizes[i]);
			CU_ASSERT_EQUAL(status(rig), NFS3_OK);
			check_written(rig, sizes[i],
				      how == UNSTABLE ? UNSTABLE : FILE_SYNC);
		}
	}
	/* More than wtmax: written in part, and said so. */
	call_write(rig, file, 0, (1 << 20) + 3000, UNSTABLE, data,
		   (1 << 20) + 3000);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	check_written(rig, 1 << 20, UNSTABLE);
	/* count and data disagree; no such stability. */
	call_write(rig, file, 0, 5, UNSTABLE, data, 4);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	call_write(rig, file, 0, 4, UNSTABLE, data, 5);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	call_write(rig, file, 0, UINT32_MAX, UNSTABLE, data, 5);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	call_write(rig, file, 0, 5, 3, data, 5);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	/* Beyond what a file can be. */
	call_write(rig, file, INT64_MAX, 1, UNSTABLE, data, 1);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_FBIG);
	call_write(rig, file, UINT64_MAX, 1, UNSTABLE, data, 1);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_FBIG);
	call_write(rig, ROOT, 0, 1, UNSTABLE, data, 1);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	rig_free(rig);
}

static void test_commit(void)
{
	struct rig *rig = rig_new();
	uint64_t file = fake_view_add_file(rig->red, ROOT, "f", NULL, 0);
	uint64_t verifier = fake_view_info(rig->red)->verifier;
	bool before, after;

	call_fh(rig, NFS3_COMMIT, file);
	rig_u64(rig, UINT64_MAX);
	rig_u32(rig, UINT32_MAX);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(before && after);
	CU_ASSERT_EQUAL(memcmp(rig->reply.p, &verifier, 8), 0);
	rig_free(rig);
}

static struct view_object made(struct rig *rig)
{
	struct view_object obj;
	bool before, after;

	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	obj = rig_get_fh(rig);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(before && after);
	at_end(rig);
	return obj;
}

static void call_create(struct rig *rig, const char *name, uint32_t how,
			uint64_t verifier)
{
	call_dirop(rig, NFS3_CREATE, name);
	rig_u32(rig, how);
	if (how == EXCLUSIVE)
		rig_u64(rig, verifier);
	else
		rig_sattr(rig);
}

static void test_create(void)
{
	struct rig *rig = rig_new();
	struct view_object first;
	bool before, after;

	call_create(rig, "x", EXCLUSIVE, 5);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	first = made(rig);
	call_create(rig, "x", EXCLUSIVE, 5);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	CU_ASSERT_EQUAL(rig_get_fh(rig).fileid, first.fileid);
	call_create(rig, "x", EXCLUSIVE, 6);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_EXIST);
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(after);
	at_end(rig);
	call_create(rig, "x", GUARDED, 0);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_EXIST);
	call_create(rig, "x", UNCHECKED, 0);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	call_create(rig, "x", 3, 0);
	CU_ASSERT_EQUAL(status(rig), RIG_REFUSED);
	rig_free(rig);
}

static void test_make_others(void)
{
	struct rig *rig = rig_new();
	char target[5000];
	struct view_object link;

	call_dirop(rig, NFS3_MKDIR, "d");
	rig_sattr(rig);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_EQUAL(fake_view_attr(rig->red, made(rig).fileid)->mode,
			S_IFDIR | 0755);
	memset(target, 't', sizeof(target));
	call_dirop(rig, NFS3_SYMLINK, "s");
	rig_sattr(rig);
	rig_bytes(rig, target, VIEW_SYMLINK_MAX);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	link = made(rig);
	call_fh(rig, NFS3_READLINK, link.fileid);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_EQUAL(get_u32(&rig->reply), VIEW_SYMLINK_MAX);
	call_fh(rig, NFS3_READLINK, ROOT);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	call_dirop(rig, NFS3_SYMLINK, "s2");
	rig_sattr(rig);
	rig_bytes(rig, target, VIEW_SYMLINK_MAX + 1);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NAMETOOLONG);
	call_dirop(rig, NFS3_SYMLINK, "s2");
	rig_sattr(rig);
	rig_bytes(rig, target, 0);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	rig_free(rig);
}

static void call_mknod(struct rig *rig, const char *name, uint32_t type)
{
	call_dirop(rig, NFS3_MKNOD, name);
	rig_u32(rig, type);
	if (type >= NF3BLK && type != NF3LNK && type <= NF3FIFO)
		rig_sattr(rig);
	if (type == NF3BLK || type == NF3CHR)
		rig_u64(rig, 0x0000000800000001);
}

static void test_mknod(void)
{
	struct rig *rig = rig_new();
	uint64_t fifo;

	call_mknod(rig, "fifo", NF3FIFO);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	fifo = made(rig).fileid;
	CU_ASSERT_EQUAL(fake_view_attr(rig->red, fifo)->mode & S_IFMT, S_IFIFO);
	CU_ASSERT_EQUAL(read_at(rig, fifo, 0, 10), NFS3ERR_INVAL);
	call_mknod(rig, "sock", NF3SOCK);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	call_mknod(rig, "dev", NF3CHR);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_PERM);
	fake_view_info(rig->red)->allow_devices = true;
	call_mknod(rig, "dev", NF3BLK);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_EQUAL(fake_view_attr(rig->red, made(rig).fileid)->rdev_major,
			8);
	call_mknod(rig, "reg", NF3REG);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_BADTYPE);
	call_mknod(rig, "dir", NF3DIR);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_BADTYPE);
	call_mknod(rig, "lnk", NF3LNK);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_BADTYPE);
	call_mknod(rig, "none", 99);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_BADTYPE);
	rig_free(rig);
}

static void test_remove(void)
{
	struct rig *rig = rig_new();
	uint64_t dir = fake_view_add_dir(rig->red, ROOT, "d");
	bool before, after;

	fake_view_add_file(rig->red, ROOT, "f", "x", 1);
	fake_view_add_file(rig->red, dir, "g", "x", 1);
	call_dirop(rig, NFS3_REMOVE, "f");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(before && after);
	at_end(rig);
	call_dirop(rig, NFS3_REMOVE, "f");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOENT);
	call_dirop(rig, NFS3_REMOVE, "d");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_ISDIR);
	call_dirop(rig, NFS3_RMDIR, "d");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOTEMPTY);
	call_fh(rig, NFS3_REMOVE, dir);
	rig_name(rig, "g");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	call_dirop(rig, NFS3_RMDIR, "d");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_free(rig);
}

static void call_rename(struct rig *rig, const char *from, struct view *view,
			uint64_t dir, const char *to)
{
	call_dirop(rig, NFS3_RENAME, from);
	rig_fh_of(rig, view, dir);
	rig_name(rig, to);
}

static void test_rename(void)
{
	struct rig *rig = rig_new();
	uint64_t dir = fake_view_add_dir(rig->red, ROOT, "d");
	bool before, after;

	fake_view_info(rig->blue)->root_squash = false;
	fake_view_add_file(rig->red, ROOT, "f", "x", 1);
	call_rename(rig, "f", rig->red, dir, "g");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	for (int i = 0; i < 2; i++) {
		rig_skip_wcc(rig, &before, &after);
		CU_ASSERT_TRUE(before && after);
	}
	at_end(rig);
	call_rename(rig, "d", rig->red, dir, "e");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_INVAL);
	/* The other export, which this client may also use; and a bad one. */
	call_rename(rig, "d", rig->blue, ROOT, "e");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_XDEV);
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(after);
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_FALSE(before || after);
	at_end(rig);
	strcpy(fake_view_access(rig->blue)->addr, "10.9.9.9");
	export_client_init(&rig->peer.client,
			   &(struct sockaddr){.sa_family = AF_UNIX});
	fake_view_access(rig->red)->addr[0] = '\0';
	call_rename(rig, "d", rig->blue, ROOT, "e");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_BADHANDLE);
	rig_free(rig);
}

static void test_link(void)
{
	struct rig *rig = rig_new();
	uint64_t file = fake_view_add_file(rig->red, ROOT, "f", "x", 1);
	bool before, after;

	call_fh(rig, NFS3_LINK, file);
	rig_fh_of(rig, rig->red, ROOT);
	rig_name(rig, "g");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	rig_skip_wcc(rig, &before, &after);
	CU_ASSERT_TRUE(before && after);
	at_end(rig);
	CU_ASSERT_EQUAL(fake_view_attr(rig->red, file)->nlink, 2);
	call_fh(rig, NFS3_LINK, file);
	rig_fh_of(rig, rig->blue, ROOT);
	rig_name(rig, "h");
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_XDEV);
	rig_free(rig);
}

/* One page: returns the last cookie, adds the names to `seen`. */
static uint64_t list_page(struct rig *rig, bool plus, uint64_t cookie,
			  uint32_t max, unsigned int *seen, bool *eof)
{
	call_fh(rig, plus ? NFS3_READDIRPLUS : NFS3_READDIR, ROOT);
	rig_u64(rig, cookie);
	rig_u64(rig, cookie * 3); /* any verifier will do */
	if (plus)
		rig_u32(rig, max);
	rig_u32(rig, max);
	CU_ASSERT_EQUAL_FATAL(status(rig), NFS3_OK);
	CU_ASSERT_TRUE(rig->reply.end - rig->reply.p + 4 <= max);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_EQUAL(be64_get(rig->reply.p), 0);
	rig->reply.p += 8;
	while (get_u32(&rig->reply)) {
		const uint8_t *name;
		uint64_t fileid = be64_get(rig->reply.p), next;
		size_t len;

		rig->reply.p += 8;
		name = get_opaque(&rig->reply, 255, &len);
		next = be64_get(rig->reply.p);
		rig->reply.p += 8;
		CU_ASSERT_TRUE(next > cookie);
		cookie = next;
		if (plus) {
			CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
			CU_ASSERT_EQUAL(be64_get(rig->reply.p + 52), fileid);
			rig->reply.p += ATTR3_LEN;
			CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
			CU_ASSERT_EQUAL(rig_get_fh(rig).fileid, fileid);
		}
		if (name[0] == '.')
			CU_ASSERT_EQUAL(fileid, ROOT);
		(*seen)++;
	}
	*eof = get_u32(&rig->reply);
	at_end(rig);
	return cookie;
}

static void test_readdir(void)
{
	enum { FILES = 500 };
	static const uint32_t limits[] = {400,   512,     1000,      4096,
					  65536, 1 << 20, UINT32_MAX};
	struct rig *rig = rig_new();
	uint64_t file = 0;
	char name[64];

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%0*d", i % 40 + 1, i);
		file = fake_view_add_file(rig->red, ROOT, name, "x", 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		for (int plus = 0; plus < 3; plus++) {
			unsigned int seen = 0, pages = 0;
			uint64_t cookie = 0;
			bool eof = false;

			/* 2: both calls in turn, with each other's cookies */
			while (!eof && pages++ < 1000)
				cookie = list_page(
				    rig, plus == 2 ? (int)pages % 2 : plus,
				    cookie, limits[i], &seen, &eof);
			CU_ASSERT_EQUAL(seen, FILES + 2);
		}
	}
	/* Every small limit: an answer within it, or TOOSMALL. */
	for (uint32_t max = 0; max < 400; max++) {
		for (int plus = 0; plus < 2; plus++) {
			uint32_t got;

			call_fh(rig, plus ? NFS3_READDIRPLUS : NFS3_READDIR,
				ROOT);
			rig_u64(rig, 0);
			rig_u64(rig, 0);
			if (plus)
				rig_u32(rig, max);
			rig_u32(rig, max);
			got = status(rig);
			CU_ASSERT_TRUE(got == NFS3ERR_TOOSMALL ||
				       rig->reply.end - rig->reply.p + 4 <=
					   max);
			CU_ASSERT_TRUE(got == NFS3ERR_TOOSMALL ||
				       got == NFS3_OK);
		}
	}
	call_any(rig, NFS3_READDIR, file);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOTDIR);
	call_any(rig, NFS3_READDIRPLUS, file);
	put_u32(rig->p - 4, 0);
	CU_ASSERT_EQUAL(status(rig), NFS3ERR_NOTDIR);
	/* dircount is a hint: one entry even for 0. */
	call_any(rig, NFS3_READDIRPLUS, ROOT);
	put_u32(rig->p - 8, 0);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	rig_free(rig);
}

static void test_fs(void)
{
	struct rig *rig = rig_new();

	call_fh(rig, NFS3_FSSTAT, ROOT);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_EQUAL(be64_get(rig->reply.p), 1000);
	CU_ASSERT_EQUAL(be64_get(rig->reply.p + 40), 50);
	CU_ASSERT_EQUAL(rig->reply.end - rig->reply.p, 52);

	call_fh(rig, NFS3_FSINFO, ROOT);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1 << 20);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1 << 20);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 4096);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1 << 20);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1 << 20);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 4096);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 65536);
	CU_ASSERT_EQUAL(be64_get(rig->reply.p), INT64_MAX);
	CU_ASSERT_EQUAL(be64_get(rig->reply.p + 8), 1);
	CU_ASSERT_EQUAL(be32_get(rig->reply.p + 16), 0x1b);
	CU_ASSERT_EQUAL(rig->reply.end - rig->reply.p, 20);

	call_fh(rig, NFS3_PATHCONF, ROOT);
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_EQUAL(get_u32(&rig->reply), VIEW_LINK_MAX);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 255);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	at_end(rig);
	rig_free(rig);
}

/* N-08, N-11: each changing procedure five times; bytes equal, effect once. */
static void test_retransmissions(void)
{
	static const uint32_t procs[] = {
	    NFS3_CREATE, NFS3_MKDIR,  NFS3_SYMLINK, NFS3_MKNOD, NFS3_LINK,
	    NFS3_REMOVE, NFS3_RENAME, NFS3_SETATTR, NFS3_RMDIR,
	};

	for (size_t i = 0; i < ARRAY_LEN(procs); i++) {
		struct rig *rig = rig_new();
		uint8_t first[1024];
		size_t first_len = 0;
		uint64_t fileid = ROOT;

		if (procs[i] == NFS3_REMOVE || procs[i] == NFS3_RENAME)
			fake_view_add_file(rig->red, ROOT, "name", "x", 1);
		if (procs[i] == NFS3_RMDIR)
			fake_view_add_dir(rig->red, ROOT, "name");
		if (procs[i] == NFS3_LINK)
			fileid = fake_view_add_file(rig->red, ROOT, "f", "", 0);
		call_any(rig, procs[i], fileid);
		for (int n = 0; n < 5; n++) {
			CU_ASSERT_EQUAL(status(rig), NFS3_OK);
			CU_ASSERT_EQUAL(rig->reply_xid, rig->xid);
			if (n == 0) {
				first_len =
				    (size_t)(rig->reply.end - rig->reply.p);
				memcpy(first, rig->reply.p, first_len);
			}
			CU_ASSERT_EQUAL(rig->reply.end - rig->reply.p,
					(ptrdiff_t)first_len);
			CU_ASSERT_EQUAL(memcmp(first, rig->reply.p, first_len),
					0);
		}
		CU_ASSERT_EQUAL(fake_view_changes(rig->red), 1);
		/* A restart: the record rode with the effect. */
		drc_free(rig->drc);
		ASSERT(drc_new(&rig->drc) == 0);
		rig->rpc.drc = rig->drc;
		CU_ASSERT_EQUAL(status(rig), NFS3_OK);
		CU_ASSERT_EQUAL(memcmp(first, rig->reply.p, first_len), 0);
		CU_ASSERT_EQUAL(fake_view_changes(rig->red), 1);
		/* Another caller, other arguments: not the same call. */
		put_u32(rig->call + 48, 4711);
		CU_ASSERT_NOT_EQUAL(status(rig), RIG_NO_REPLY);
		CU_ASSERT_EQUAL(rig->rpc.stats.retransmissions, 5);
		rig_free(rig);
	}
}

static uint32_t mount_path(struct rig *rig, const char *path, size_t len)
{
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_MNT);
	rig_bytes(rig, path, len);
	return status(rig);
}

static void test_mnt(void)
{
	struct rig *rig = rig_new();
	uint64_t dir = fake_view_add_dir(rig->red, ROOT, "d");
	static const struct {
		const char *path;
		uint32_t want;
	} rows[] = {
	    {"/red/vm1", MNT3_OK},
	    {"/red/vm1/", MNT3_OK},
	    {"//red//vm1/d//", MNT3_OK},
	    {"/red/vm1/d", MNT3_OK},
	    {"/red/vm1/none", MNT3ERR_NOENT},
	    {"/red/vm1/f", MNT3ERR_NOTDIR},
	    {"/red/vm1/f/x", MNT3ERR_NOTDIR},
	    {"/red/vm1/s", MNT3ERR_NOTDIR},
	    {"/red/vm1/..", MNT3ERR_INVAL},
	    {"/red/vm1/d/../d", MNT3ERR_INVAL},
	    {"/red/./vm1", MNT3ERR_INVAL},
	    {"/red/vm2", MNT3ERR_ACCES},
	    {"/red", MNT3ERR_NOENT},
	    {"/", MNT3ERR_NOENT},
	    {"", MNT3ERR_INVAL},
	    {"red/vm1", MNT3ERR_INVAL},
	    {"/red/vm11", MNT3ERR_ACCES},
	};
	CLEANUP_FREE char *longest = malloc(5000);

	fake_view_add_file(rig->red, ROOT, "f", "x", 1);
	call_dirop(rig, NFS3_SYMLINK, "s");
	rig_sattr(rig);
	rig_name(rig, "d");
	CU_ASSERT_EQUAL(status(rig), NFS3_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CU_ASSERT_EQUAL(
		    mount_path(rig, rows[i].path, strlen(rows[i].path)),
		    rows[i].want);
	CU_ASSERT_EQUAL(mount_path(rig, "/red/vm1\0x", 10), MNT3ERR_INVAL);
	memset(longest, '/', 5000);
	CU_ASSERT_EQUAL(mount_path(rig, longest, 1025), MNT3ERR_NAMETOOLONG);
	CU_ASSERT_EQUAL(mount_path(rig, longest, 1024), MNT3ERR_NOENT);
	CU_ASSERT_EQUAL(mount_path(rig, "/red/vm1/d", 10), MNT3_OK);
	CU_ASSERT_EQUAL(rig_get_fh(rig).fileid, dir);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1); /* AUTH_SYS */
	at_end(rig);
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_MNT);
	rig_name(rig, "/red/vm1");
	CU_ASSERT_EQUAL(rig_status(rig, &rig->other), MNT3ERR_ACCES);
	rig_free(rig);
}

/* N-60: each sees only what it may mount. */
static void test_mount_lists(void)
{
	struct rig *rig = rig_new();
	size_t len;

	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_EXPORT);
	CU_ASSERT_EQUAL(status(rig), 1);
	CU_ASSERT_EQUAL(
	    memcmp(get_opaque(&rig->reply, 100, &len), "/red/vm1", 8), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	CU_ASSERT_EQUAL(
	    memcmp(get_opaque(&rig->reply, 100, &len), "10.0.0.1", 8), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 1);
	CU_ASSERT_EQUAL(
	    memcmp(get_opaque(&rig->reply, 100, &len), "/blue/vm1", 9), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	at_end(rig);
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_EXPORT);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->other), 1);
	get_opaque(&rig->reply, 100, &len);
	CU_ASSERT_EQUAL(len, 9);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	at_end(rig);
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_DUMP);
	CU_ASSERT_EQUAL(status(rig), 0);
	at_end(rig);
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_UMNT);
	rig_name(rig, "/no/such");
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	at_end(rig);
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_UMNTALL);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	at_end(rig);
	rig_free(rig);
}

/* T-01, T-02: trailing bytes, and every word of the arguments set to what
 * lengths should not be; nothing but an answer or a refusal may come. */
static void test_hostile(void)
{
	static const uint32_t words[] = {
	    0, 1, 0xff, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
	struct rig *rig = rig_new();

	for (uint32_t proc = 1; proc < NFS3_PROC_COUNT; proc++) {
		size_t len;

		call_any(rig, proc, ROOT);
		rig_u32(rig, 0);
		CU_ASSERT_EQUAL(status(rig), RIG_REFUSED);
		call_any(rig, proc, ROOT);
		len = rig_len(rig);
		for (size_t at = 64; at < len; at += 4) {
			for (size_t i = 0; i < ARRAY_LEN(words); i++) {
				call_any(rig, proc, ROOT);
				put_u32(rig->call + at, words[i]);
				CU_ASSERT_NOT_EQUAL(status(rig), RIG_NO_REPLY);
			}
			call_any(rig, proc, ROOT);
			rig->p = rig->call + at;
			CU_ASSERT_EQUAL(status(rig), RIG_REFUSED);
		}
	}
	rig_free(rig);
}

static const struct check_test tests[] = {
    {"GETATTR", test_getattr},
    {"bad handles everywhere", test_bad_handles},
    {"what failures carry", test_failures_carry},
    {"SETATTR", test_setattr},
    {"LOOKUP", test_lookup},
    {"names", test_names},
    {"ACCESS", test_access},
    {"squash", test_squash},
    {"READ", test_read},
    {"WRITE", test_write},
    {"COMMIT", test_commit},
    {"CREATE", test_create},
    {"MKDIR SYMLINK READLINK", test_make_others},
    {"MKNOD", test_mknod},
    {"REMOVE RMDIR", test_remove},
    {"RENAME", test_rename},
    {"LINK", test_link},
    {"READDIR READDIRPLUS", test_readdir},
    {"FSSTAT FSINFO PATHCONF", test_fs},
    {"retransmissions", test_retransmissions},
    {"MNT", test_mnt},
    {"EXPORT DUMP UMNT UMNTALL", test_mount_lists},
    {"hostile arguments", test_hostile},
};

int main(void)
{
	return check_main("test_handlers", tests, ARRAY_LEN(tests));
}

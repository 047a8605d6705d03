/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_attr: who may do what, SETATTR, times, sizes, wcc data, and what the
 * file system says of itself (rules N-12, N-13, N-19, N-37 to N-45).
 */
#include <stdio.h>

#include "tests/lib/nfsrig.h"

static struct rig rig;

enum {
	OWNER = 3000,
	GROUP = 4000,
	ACC_READ = 1,
	ACC_LOOKUP = 2,
	ACC_MODIFY = 4,
	ACC_EXTEND = 8,
	ACC_DELETE = 16,
	ACC_EXECUTE = 32,
	ACC_ALL = 63,
};

/* --- ACCESS -------------------------------------------------------------- */

/* Five identities: root, owner, group, supplementary group, other. */
enum { WHO_ROOT, WHO_OWNER, WHO_GROUP, WHO_MEMBER, WHO_OTHER, WHO_COUNT };

static void become(int who)
{
	static const uint32_t uids[] = {0, OWNER, 5000, 5000, 5000};
	static const uint32_t gids[] = {0, 9, GROUP, 9, 9};

	rig_become(&rig.raw, uids[who], gids[who]);
	if (who == WHO_MEMBER) {
		rig.raw.groups[0] = 77;
		rig.raw.groups[1] = GROUP;
		rig.raw.group_count = 2;
	}
}

/* rwx bits that POSIX gives. */
static unsigned int posix_rights(uint32_t mode, int who, bool dir)
{
	if (who == WHO_ROOT)
		return dir || (mode & 0111) ? 7 : 6;
	if (who == WHO_OWNER)
		return mode >> 6 & 7;
	if (who == WHO_GROUP || who == WHO_MEMBER)
		return mode >> 3 & 7;
	return mode & 7;
}

static uint32_t expected_access(uint32_t mode, int who, bool dir)
{
	unsigned int rights = posix_rights(mode, who, dir);
	uint32_t bits = 0;

	if (rights & 4)
		bits |= ACC_READ;
	if (dir) {
		if (rights & 1)
			bits |= ACC_LOOKUP;
		if ((rights & 3) == 3)
			bits |= ACC_MODIFY | ACC_EXTEND | ACC_DELETE;
		return bits;
	}
	if (rights & 1)
		bits |= ACC_EXECUTE;
	if (rights & 2)
		bits |= ACC_MODIFY | ACC_EXTEND;
	return bits;
}

static void access_matrix(const struct raw_fh *fh, bool dir)
{
	uint32_t granted = 0;

	for (uint32_t mode = 0; mode < 01000; mode++) {
		rig_become(&rig.raw, 0, 0);
		EXPECT(raw_set_mode(&rig.raw, fh, mode), S_OK);
		for (int who = 0; who < WHO_COUNT; who++) {
			rig_at("mode %o, identity %d", mode, who);
			become(who);
			EXPECT(raw_access(&rig.raw, fh, ACC_ALL, &granted),
			       S_OK);
			EXPECT(granted, expected_access(mode, who, dir));
			/* Only what is asked is answered. */
			EXPECT(raw_access(&rig.raw, fh, ACC_READ, &granted),
			       S_OK);
			EXPECT(granted,
			       expected_access(mode, who, dir) & ACC_READ);
		}
	}
	become(WHO_ROOT);
	EXPECT(raw_access(&rig.raw, fh, UINT32_MAX, &granted), S_OK);
	EXPECT(granted & ~(uint32_t)ACC_ALL, 0);
	EXPECT(raw_access(&rig.raw, fh, 0, &granted), S_OK);
	EXPECT(granted, 0);
	rig_at("%s", "");
}

/* N-38: 512 modes, 5 identities. */
static void t_N_38_access(void)
{
	struct raw_sattr own = {
	    .mask = RAW_SET_UID | RAW_SET_GID, .uid = OWNER, .gid = GROUP};
	struct raw_fh dir, fh;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "file");
	EXPECT(raw_setattr(&rig.raw, &fh, &own, NULL, NULL), S_OK);
	access_matrix(&fh, false);
	rig_dir(&rig, &fh);
	EXPECT(raw_setattr(&rig.raw, &fh, &own, NULL, NULL), S_OK);
	access_matrix(&fh, true);
}

/* N-38, T-10: with root squash, root is answered as nobody. */
static void t_N_38_root_squash(void)
{
	struct raw_fh root, fh;
	uint32_t granted = 0;
	struct raw_attr attr;
	struct raw raw;

	EXPECT(daemon_cli(&rig.daemon, "guest", "add", "t/squash",
			  "--root-squash", NULL),
	       0);
	ASSERT(raw_open(&raw, NULL, rig.daemon.port));
	EXPECT(raw_mount(&raw, "/t/squash", &root), 0);
	EXPECT(raw_access(&raw, &root, ACC_ALL, &granted), S_OK);
	EXPECT(granted, ACC_READ | ACC_LOOKUP);
	EXPECT(raw_mkdir(&raw, &root, "x", 0755, &fh), S_ACCES);
	EXPECT(raw_set_mode(&raw, &root, 0777), S_PERM);
	EXPECT(raw_walk(&raw, &root, "p00/file", &fh, &attr), S_OK);
	EXPECT(attr.uid, 0);
	EXPECT(raw_set_size(&raw, &fh, 0), S_ACCES);
	raw_close(&raw);
}

/* --- who may read, write, set -------------------------------------------- */

static int try_read(const struct raw_fh *fh)
{
	uint8_t buf[16];
	uint32_t got;
	bool eof;

	return raw_read(&rig.raw, fh, 0, sizeof(buf), buf, &got, &eof);
}

static int try_write(const struct raw_fh *fh)
{
	uint32_t committed;
	uint64_t verifier;

	return raw_write(&rig.raw, fh, 0, "w", 1, 2, &committed, &verifier);
}

/* N-39: there is no OPEN, so the owner may use what he has open whatever the
 * mode says now, and who may execute may read. */
static void t_N_39_owner_override(void)
{
	struct raw_sattr own = {
	    .mask = RAW_SET_UID | RAW_SET_GID, .uid = OWNER, .gid = GROUP};
	struct raw_fh dir, fh;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "file");
	EXPECT(raw_setattr(&rig.raw, &fh, &own, NULL, NULL), S_OK);
	for (uint32_t mode = 0; mode < 01000; mode += 7) {
		EXPECT(raw_set_mode(&rig.raw, &fh, mode), S_OK);
		for (int who = 0; who < WHO_COUNT; who++) {
			unsigned int may = posix_rights(mode, who, false);
			bool all = who == WHO_OWNER || who == WHO_ROOT;

			rig_at("mode %o, identity %d", mode, who);
			become(who);
			EXPECT(try_read(&fh),
			       all || (may & 5) ? S_OK : S_ACCES);
			EXPECT(try_write(&fh),
			       all || (may & 2) ? S_OK : S_ACCES);
			EXPECT(raw_set_size(&rig.raw, &fh, 50),
			       all || (may & 2) ? S_OK : S_ACCES);
		}
		become(WHO_ROOT);
	}
	rig_at("%s", "");
}

static int set_ids(const struct raw_fh *fh, unsigned int mask, uint32_t uid,
		   uint32_t gid)
{
	struct raw_sattr set = {.mask = mask, .uid = uid, .gid = gid};

	return raw_setattr(&rig.raw, fh, &set, NULL, NULL);
}

/* chown and chgrp: root anything; the owner a group of his; nobody else. */
static void t_N_37_chown(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "owned");
	rig_become(raw, RIG_UID, RIG_UID);
	raw->groups[0] = 55;
	raw->group_count = 1;
	EXPECT(set_ids(&fh, RAW_SET_UID, 1, 0), S_PERM);
	EXPECT(set_ids(&fh, RAW_SET_UID, RIG_UID, 0), S_OK);
	EXPECT(set_ids(&fh, RAW_SET_GID, 0, 55), S_OK);
	EXPECT(set_ids(&fh, RAW_SET_GID, 0, 56), S_PERM);
	EXPECT(set_ids(&fh, RAW_SET_GID, 0, 0), S_PERM);
	EXPECT(raw_set_mode(raw, &fh, 0604), S_OK);
	rig_become(raw, 1001, 55);
	EXPECT(set_ids(&fh, RAW_SET_GID, 0, 55), S_PERM);
	EXPECT(raw_set_mode(raw, &fh, 0777), S_PERM);
	rig_become(raw, 0, 0);
	EXPECT(set_ids(&fh, RAW_SET_UID | RAW_SET_GID, 4294967294u, 7), S_OK);
	rig_become(raw, 4294967294u, 7);
	EXPECT(raw_set_mode(raw, &fh, 0600), S_OK);
	rig_become(raw, 0, 0);
}

static uint32_t mode_of(const struct raw_fh *fh)
{
	struct raw_attr attr = {.mode = 0};

	EXPECT(raw_getattr(&rig.raw, fh, &attr), S_OK);
	return attr.mode;
}

/* N-37: setuid and setgid go with a write, a change of size, when it is not
 * root who does it, and with a chown whoever does it: Linux clients leave that
 * to the server. */
static void suid_case(const struct raw_fh *fh, int what, bool root)
{
	rig_become(&rig.raw, 0, 0);
	EXPECT(set_ids(fh, RAW_SET_UID | RAW_SET_GID, RIG_UID, RIG_UID), S_OK);
	EXPECT(raw_set_mode(&rig.raw, fh, 06755), S_OK);
	EXPECT(mode_of(fh), 06755);
	if (!root)
		rig_become(&rig.raw, RIG_UID, RIG_UID);
	switch (what) {
	case 0:
		EXPECT(try_write(fh), S_OK);
		break;
	case 1:
		EXPECT(raw_set_size(&rig.raw, fh, 20), S_OK);
		break;
	case 2:
		EXPECT(raw_set_size(&rig.raw, fh, 100000), S_OK);
		break;
	case 3:
		EXPECT(set_ids(fh, RAW_SET_GID, 0, RIG_UID), S_OK);
		break;
	default:
		/* Times change nothing of it. */
		EXPECT(raw_setattr(&rig.raw, fh,
				   &(struct raw_sattr){.mtime_how = 1}, NULL,
				   NULL),
		       S_OK);
		break;
	}
	rig_become(&rig.raw, 0, 0);
	if (root)
		EXPECT(mode_of(fh), what == 3 ? 0755 : 06755);
	else
		EXPECT(mode_of(fh), what == 4 ? 06755 : 0755);
}

static void t_N_37_suid(void)
{
	struct raw_fh dir, fh;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "suid");
		EXPECT(mode_of(&fh), 06755);
		for (int what = 0; what < 5; what++)
			for (int root = 0; root < 2; root++) {
				rig_at("layer %d, case %d, root %d", layer,
				       what, root);
				suid_case(&fh, what, root);
			}
	}
	rig_at("%s", "");
}

/* N-36: setgid is for members of the group, of a directory too. */
static void t_N_36_chmod_by_no_member(void)
{
	struct raw_fh dir, sub;

	rig_dir(&rig, &dir);
	EXPECT(raw_mkdir(&rig.raw, &dir, "sub", 0755, &sub), S_OK);
	EXPECT(set_ids(&sub, RAW_SET_UID | RAW_SET_GID, RIG_UID, 2000), S_OK);
	rig_become(&rig.raw, RIG_UID, RIG_UID);
	EXPECT(raw_set_mode(&rig.raw, &sub, 03775), S_OK);
	EXPECT(mode_of(&sub), 01775);
	rig_become(&rig.raw, RIG_UID, 2000);
	EXPECT(raw_set_mode(&rig.raw, &sub, 03775), S_OK);
	EXPECT(mode_of(&sub), 03775);
	rig_become(&rig.raw, 0, 0);
}

/* --- the guard ----------------------------------------------------------- */

static void t_N_40_guard(void)
{
	struct raw_sattr set = {.mask = RAW_SET_MODE, .mode = 0600};
	struct raw *raw = &rig.raw;
	struct raw_attr attr, after;
	struct raw_fh dir, fh;
	struct raw_wcc wcc;
	uint32_t wrong[2];

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "file");
		EXPECT(raw_getattr(raw, &fh, &attr), S_OK);
		memcpy(wrong, attr.ctime, sizeof(wrong));
		wrong[1] ^= 1;
		EXPECT(raw_setattr(raw, &fh, &set, wrong, &wcc), S_NOT_SYNC);
		CU_ASSERT(wcc.after.present);
		wrong[0]++;
		EXPECT(raw_setattr(raw, &fh, &set, wrong, NULL), S_NOT_SYNC);
		EXPECT(raw_getattr(raw, &fh, &after), S_OK);
		EXPECT(after.mode, 0644);
		EXPECT(memcmp(after.ctime, attr.ctime, 8), 0);
		EXPECT(raw_setattr(raw, &fh, &set, attr.ctime, NULL), S_OK);
		EXPECT(mode_of(&fh), 0600);
		EXPECT(raw_setattr(raw, &fh, &set, attr.ctime, NULL),
		       S_NOT_SYNC);
	}
}

/* Two clients with the same guard at the same time: one wins. */
static void t_N_40_race(void)
{
	struct raw_sattr sets[2] = {{.mask = RAW_SET_MODE, .mode = 0600},
				    {.mask = RAW_SET_MODE, .mode = 0640}};
	struct raw_attr attr;
	struct raw_fh dir, fh;
	struct raw raws[2];

	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, "x", 1);
	rig_connect(&rig, &raws[0]);
	rig_connect(&rig, &raws[1]);
	for (int round = 0; round < 200; round++) {
		int status[2];

		rig_at("round %d", round);
		EXPECT(raw_getattr(&rig.raw, &fh, &attr), S_OK);
		for (int i = 0; i < 2; i++) {
			raw_begin_setattr(&raws[i], &fh, &sets[i], attr.ctime);
			CU_ASSERT(raw_send(&raws[i]));
		}
		for (int i = 0; i < 2; i++) {
			EXPECT(raw_reply(&raws[i]), 0);
			status[i] = (int)raw_get32(&raws[i]);
			EXPECT_ONE_OF(status[i], S_OK, S_NOT_SYNC);
		}
		EXPECT((status[0] == S_OK) + (status[1] == S_OK), 1);
		EXPECT(mode_of(&fh), status[0] == S_OK ? 0600 : 0640);
	}
	rig_at("%s", "");
	raw_close(&raws[0]);
	raw_close(&raws[1]);
}

/* --- times --------------------------------------------------------------- */

static void t_N_41_client_times(void)
{
	static const uint32_t times[][2] = {{0, 0},
					    {0, 1},
					    {1, 999999999},
					    {1700000000, 123456789},
					    {0x7fffffff, 999999999},
					    {0x80000000, 0},
					    {UINT32_MAX, 999999999}};
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	struct raw_attr attr;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "file");
		for (size_t i = 0; i < ARRAY_LEN(times); i++) {
			struct raw_sattr set = {.atime_how = RAW_TIME_CLIENT,
						.mtime_how = RAW_TIME_CLIENT,
						.atime = {99, 98}};

			rig_at("layer %d, time %zu", layer, i);
			memcpy(set.mtime, times[i], 8);
			EXPECT(raw_setattr(raw, &fh, &set, NULL, NULL), S_OK);
			EXPECT(raw_getattr(raw, &fh, &attr), S_OK);
			EXPECT(attr.mtime[0], times[i][0]);
			EXPECT(attr.mtime[1], times[i][1]);
			EXPECT(attr.atime[0], 99);
			EXPECT(attr.atime[1], 98);
		}
	}
	rig_kill(&rig);
	EXPECT(raw_getattr(raw, &fh, &attr), S_OK);
	EXPECT(attr.mtime[0], UINT32_MAX);
	EXPECT(attr.mtime[1], 999999999);
	rig_at("%s", "");
}

static int set_times(const struct raw_fh *fh, uint32_t how, uint32_t nanos)
{
	struct raw_sattr set = {.atime_how = how,
				.mtime_how = how,
				.atime = {1, nanos},
				.mtime = {1, nanos}};

	return raw_setattr(&rig.raw, fh, &set, NULL, NULL);
}

static void t_N_41_who(void)
{
	struct raw *raw = &rig.raw;
	struct raw_attr before, after;
	struct raw_fh dir, fh;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "owned");
	EXPECT(set_times(&fh, RAW_TIME_CLIENT, 1000000000), S_INVAL);
	EXPECT(set_times(&fh, RAW_TIME_CLIENT, UINT32_MAX), S_INVAL);
	EXPECT(raw_set_mode(raw, &fh, 0606), S_OK);
	rig_become(raw, 1001, 1001);
	EXPECT(set_times(&fh, RAW_TIME_CLIENT, 0), S_PERM);
	EXPECT(raw_getattr(raw, &fh, &before), S_OK);
	EXPECT(set_times(&fh, RAW_TIME_SERVER, 0), S_OK);
	EXPECT(raw_getattr(raw, &fh, &after), S_OK);
	CU_ASSERT(rig_later(before.mtime, after.mtime));
	rig_become(raw, 0, 0);
	EXPECT(raw_set_mode(raw, &fh, 0604), S_OK);
	rig_become(raw, 1001, 1001);
	EXPECT(set_times(&fh, RAW_TIME_SERVER, 0), S_ACCES);
	rig_become(raw, RIG_UID, RIG_UID);
	EXPECT(set_times(&fh, RAW_TIME_CLIENT, 5), S_OK);
	rig_become(raw, 0, 0);
}

/* N-13: every change moves ctime, to a value that was never there. */
static void ctime_moves(const struct raw_fh *fh, uint32_t last[2],
			const char *what)
{
	struct raw_attr attr;

	rig_at("after %s", what);
	EXPECT(raw_getattr(&rig.raw, fh, &attr), S_OK);
	CU_ASSERT(rig_later(last, attr.ctime));
	memcpy(last, attr.ctime, 8);
}

static void t_N_13_ctime_file(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	uint32_t last[2] = {0, 0};

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "big");
		last[0] = last[1] = 0;
		ctime_moves(&fh, last, "nothing");
		for (uint32_t i = 0; i < 60; i++) {
			EXPECT(raw_set_mode(raw, &fh, 0600 + i % 8), S_OK);
			ctime_moves(&fh, last, "mode");
			EXPECT(try_write(&fh), S_OK);
			ctime_moves(&fh, last, "write");
			EXPECT(raw_link(raw, &fh, &dir, "l"), S_OK);
			ctime_moves(&fh, last, "link");
			EXPECT(raw_remove(raw, &dir, "l", false), S_OK);
			ctime_moves(&fh, last, "remove");
			EXPECT(set_times(&fh, RAW_TIME_CLIENT, 0), S_OK);
			ctime_moves(&fh, last, "times");
			EXPECT(raw_rename(raw, &dir, "big", &dir, "big2"),
			       S_OK);
			ctime_moves(&fh, last, "rename");
			EXPECT(raw_rename(raw, &dir, "big2", &dir, "big"),
			       S_OK);
			EXPECT(raw_set_size(raw, &fh, 300000 - i), S_OK);
			ctime_moves(&fh, last, "size");
		}
		rig_kill(&rig);
		EXPECT(raw_set_mode(raw, &fh, 0644), S_OK);
		ctime_moves(&fh, last, "restart");
	}
	rig_at("%s", "");
}

static void t_N_13_ctime_directory(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	uint32_t last[2] = {0, 0};

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		last[0] = last[1] = 0;
		ctime_moves(&dir, last, "nothing");
		for (int i = 0; i < 60; i++) {
			EXPECT(raw_create(raw, &dir, "n", 1, 0600, &fh, NULL),
			       S_OK);
			ctime_moves(&dir, last, "create");
			EXPECT(raw_rename(raw, &dir, "n", &dir, "m"), S_OK);
			ctime_moves(&dir, last, "rename");
			EXPECT(raw_remove(raw, &dir, "m", false), S_OK);
			ctime_moves(&dir, last, "remove");
		}
	}
	rig_at("%s", "");
}

/* --- wcc ----------------------------------------------------------------- */

/* N-12: what was before is what the last reply said was after. */
static void wcc_follows(const struct raw_wcc *wcc, const struct raw_attr *last)
{
	CU_ASSERT(wcc->has_before && wcc->after.present);
	CU_ASSERT(wcc->before_size == last->size);
	EXPECT(memcmp(wcc->before_mtime, last->mtime, 8), 0);
	EXPECT(memcmp(wcc->before_ctime, last->ctime, 8), 0);
}

static void t_N_12_chain(void)
{
	struct raw_fh dir, fh;
	struct raw_attr last;
	struct raw_wcc wcc;
	struct raw raws[2];

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "big");
	rig_connect(&rig, &raws[0]);
	rig_connect(&rig, &raws[1]);
	EXPECT(raw_getattr(&rig.raw, &fh, &last), S_OK);
	for (uint32_t i = 0; i < 300; i++) {
		struct raw *raw = &raws[i % 2];
		struct raw_sattr set = {.mask = RAW_SET_MODE | RAW_SET_SIZE,
					.mode = 0600 + i % 64,
					.size = 1000 * (i % 50)};

		rig_at("change %u", i);
		if (i % 3 == 0) {
			EXPECT(raw_setattr(raw, &fh, &set, NULL, &wcc), S_OK);
		} else {
			raw_begin_write(raw, &fh, 777 * (i % 40), "data", 4,
					i % 2 ? 2 : 0);
			EXPECT(raw_status(raw), S_OK);
			raw_get_wcc(raw, &wcc);
		}
		wcc_follows(&wcc, &last);
		CU_ASSERT(rig_later(last.ctime, wcc.after.ctime));
		last = wcc.after;
	}
	rig_at("%s", "");
	raw_close(&raws[0]);
	raw_close(&raws[1]);
}

/* What one reply of the race says. */
struct link {
	uint32_t before[2], after[2];
	uint64_t before_size, after_size;
};

static int by_after(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	return rig_later(x->after, y->after)   ? -1
	       : rig_later(y->after, x->after) ? 1
					       : 0;
}

static void race_send(struct raw *raw, const struct raw_fh *fh, uint32_t i)
{
	struct raw_sattr set = {.mask = RAW_SET_SIZE | RAW_SET_MODE,
				.mode = 0600 + i % 64,
				.size = 1000 + 17 * (i % 500)};

	if (i % 3 == 0)
		raw_begin_setattr(raw, fh, &set, NULL);
	else
		raw_begin_write(raw, fh, 31 * (i % 300), "data", 4,
				i % 7 == 0 ? 2 : 0);
	CU_ASSERT(raw_send(raw));
}

static void race_take(struct raw *raw, struct link *link)
{
	struct raw_wcc wcc = {.has_before = false};

	EXPECT(raw_reply(raw), 0);
	EXPECT(raw_get32(raw), S_OK);
	raw_get_wcc(raw, &wcc);
	CU_ASSERT(wcc.has_before && wcc.after.present);
	memcpy(link->before, wcc.before_ctime, 8);
	memcpy(link->after, wcc.after.ctime, 8);
	link->before_size = wcc.before_size;
	link->after_size = wcc.after.size;
}

/* N-12: two connections change one file, many calls in flight on both: put in
 * order, every reply begins where another one ended. */
static void t_N_12_race(void)
{
	enum { CALLS = 10000, IN_FLIGHT = 16 };
	CLEANUP_FREE struct link *links = calloc(CALLS, sizeof(*links));
	struct raw_fh dir, fh;
	struct raw raws[2];
	int gaps = 0;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "big");
	rig_connect(&rig, &raws[0]);
	rig_connect(&rig, &raws[1]);
	for (uint32_t i = 0; i < CALLS + IN_FLIGHT; i++) {
		if (i < CALLS)
			race_send(&raws[i % 2], &fh, i);
		if (i >= IN_FLIGHT)
			race_take(&raws[i % 2], &links[i - IN_FLIGHT]);
	}
	qsort(links, CALLS, sizeof(links[0]), by_after);
	for (int i = 1; i < CALLS; i++)
		gaps += memcmp(links[i].before, links[i - 1].after, 8) != 0 ||
			links[i].before_size != links[i - 1].after_size;
	EXPECT(gaps, 0);
	raw_close(&raws[0]);
	raw_close(&raws[1]);
}

/* N-14: what was answered to one client is what the next GETATTR, LOOKUP and
 * READ of another one says. */
static void t_N_14_seen_by_others(void)
{
	struct raw_fh dir, fh, found;
	uint32_t got, committed;
	struct raw_attr attr;
	struct raw other;
	uint64_t verifier;
	uint8_t byte;
	bool eof;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "big");
	rig_connect(&rig, &other);
	for (uint32_t i = 0; i < 300; i++) {
		uint8_t want = (uint8_t)i;
		char name[16];

		rig_at("change %u", i);
		EXPECT(raw_write(&rig.raw, &fh, 1000 + i, &want, 1, 0,
				 &committed, &verifier),
		       S_OK);
		EXPECT(raw_read(&other, &fh, 1000 + i, 1, &byte, &got, &eof),
		       S_OK);
		EXPECT(byte, want);
		EXPECT(raw_set_size(&rig.raw, &fh, 5000 + i), S_OK);
		EXPECT(raw_getattr(&other, &fh, &attr), S_OK);
		EXPECT(attr.size, 5000 + i);
		snprintf(name, sizeof(name), "n%u", i);
		EXPECT(raw_lookup(&other, &dir, name, &found, NULL), S_NOENT);
		EXPECT(raw_link(&rig.raw, &fh, &dir, name), S_OK);
		EXPECT(raw_lookup(&other, &dir, name, &found, &attr), S_OK);
		EXPECT(attr.nlink, 2);
		EXPECT(raw_remove(&rig.raw, &dir, name, false), S_OK);
		EXPECT(raw_lookup(&other, &dir, name, &found, NULL), S_NOENT);
	}
	rig_at("%s", "");
	raw_close(&other);
}

/* N-12: failing calls carry attributes, too. */
static void t_N_12_failures(void)
{
	static const uint32_t procs[] = {P_CREATE, P_MKDIR,  P_SYMLINK,
					 P_MKNOD,  P_REMOVE, P_RMDIR};
	struct raw *raw = &rig.raw;
	struct raw_fh dir;
	struct raw_wcc wcc;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		for (size_t i = 0; i < ARRAY_LEN(procs); i++) {
			rig_at("layer %d, procedure %u", layer, procs[i]);
			raw_begin_any(raw, procs[i], &dir, &dir,
				      procs[i] == P_REMOVE  ? "dir"
				      : procs[i] == P_RMDIR ? "file"
							    : "file");
			CU_ASSERT(raw_status(raw) != S_OK);
			raw_get_wcc(raw, &wcc);
			CU_ASSERT(wcc.after.present);
			CU_ASSERT(!raw->short_read &&
				  raw->in_off == raw->in_len);
		}
	}
	rig_at("%s", "");
}

/* --- sizes --------------------------------------------------------------- */

static void size_is(const struct raw_fh *fh, uint64_t size)
{
	struct raw_attr attr;

	EXPECT(raw_getattr(&rig.raw, fh, &attr), S_OK);
	CU_ASSERT(attr.size == size);
}

/* N-42: grown with zeros, cut for good, never wrapped. */
static void t_N_42_sizes(void)
{
	static const uint64_t good[] = {0,           1,           4095,
					4096,        4097,        0x7fffffff,
					0x80000000,  0x80000001,  0xffffffff,
					0x100000000, 0x100000001, INT64_MAX - 1,
					INT64_MAX};
	static const uint64_t bad[] = {(uint64_t)INT64_MAX + 1, UINT64_MAX - 1,
				       UINT64_MAX};
	struct raw_fh dir, fh;
	uint8_t buf[64], zeros[64] = {0};
	uint32_t got;
	bool eof;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "big");
		for (size_t i = 0; i < ARRAY_LEN(good); i++) {
			rig_at("layer %d, size %llx", layer,
			       (unsigned long long)good[i]);
			EXPECT(raw_set_size(&rig.raw, &fh, good[i]), S_OK);
			size_is(&fh, good[i]);
			if (good[i] < 64)
				continue;
			EXPECT(raw_read(&rig.raw, &fh, good[i] - 64, 64, buf,
					&got, &eof),
			       S_OK);
			EXPECT(got, 64);
			EXPECT(eof, true);
			EXPECT(memcmp(buf, zeros, 64), 0);
		}
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			rig_at("layer %d, bad size %zu", layer, i);
			EXPECT_ONE_OF(raw_set_size(&rig.raw, &fh, bad[i]),
				      S_FBIG, S_INVAL);
			size_is(&fh, INT64_MAX);
		}
	}
	rig_at("%s", "");
}

static void t_N_42_create(void)
{
	struct raw_sattr set = {.mask = RAW_SET_SIZE | RAW_SET_MODE,
				.mode = 0644,
				.size = UINT64_MAX};
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;

	rig_dir(&rig, &dir);
	for (uint32_t how = 0; how < 2; how++) {
		raw_begin_fh(raw, P_CREATE, &dir);
		raw_put_string(raw, "f");
		raw_put32(raw, how);
		raw_put_sattr(raw, &set);
		EXPECT_ONE_OF(raw_status(raw), S_FBIG, S_INVAL);
		EXPECT(raw_lookup(raw, &dir, "f", &fh, NULL), S_NOENT);
	}
	/* UNCHECKED over a file that is there: its size, and no mode. */
	fh = rig_make(&rig, &dir, "f", 0600, "content", 7);
	set.size = 3;
	raw_begin_fh(raw, P_CREATE, &dir);
	raw_put_string(raw, "f");
	raw_put32(raw, 0);
	raw_put_sattr(raw, &set);
	EXPECT(raw_status(raw), S_OK);
	CU_ASSERT(rig_same(raw, &fh, "con", 3));
}

/* A package file that was cut and grown shows nothing of what was cut. */
static void t_N_42_cut_and_grow(void)
{
	CLEANUP_FREE uint8_t *want = calloc(1, RIG_BIG_LEN);
	struct raw_fh dir, fh;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		memset(want, 0, RIG_BIG_LEN);
		check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
		memset(want + 10001, 0, RIG_BIG_LEN - 10001);
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "big");
		EXPECT(raw_set_size(&rig.raw, &fh, 10001), S_OK);
		EXPECT(raw_set_size(&rig.raw, &fh, RIG_BIG_LEN), S_OK);
		CU_ASSERT(rig_same(&rig.raw, &fh, want, RIG_BIG_LEN));
		rig_kill(&rig);
		CU_ASSERT(rig_same(&rig.raw, &fh, want, RIG_BIG_LEN));
	}
}

static void t_N_42_no_file(void)
{
	struct raw_fh dir, fh;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	EXPECT_ONE_OF(raw_set_size(&rig.raw, &dir, 0), S_ISDIR, S_INVAL);
	fh = rig_walk(&rig, &dir, "link");
	EXPECT(raw_set_size(&rig.raw, &fh, 0), S_INVAL);
}

/* --- what the file system says ------------------------------------------- */

static void t_N_43_fsinfo(void)
{
	struct raw *raw = &rig.raw;
	struct raw_attr attr;
	uint32_t v[7];

	raw_begin_fh(raw, P_FSINFO, &rig.root);
	EXPECT(raw_status(raw), S_OK);
	raw_get_post_attr(raw, &attr);
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		v[i] = raw_get32(raw);
	EXPECT(v[0], 1 << 20); /* rtmax */
	EXPECT(v[1], 1 << 20);
	EXPECT(v[2], 4096);
	EXPECT(v[3], 1 << 20); /* wtmax */
	EXPECT(v[4], 1 << 20);
	EXPECT(v[5], 4096);
	EXPECT(v[6], 64 << 10); /* dtpref */
	CU_ASSERT(raw_get64(raw) == INT64_MAX);
	EXPECT(raw_get32(raw), 0);
	EXPECT(raw_get32(raw), 1);    /* time_delta */
	EXPECT(raw_get32(raw), 0x1b); /* LINK SYMLINK HOMOGENEOUS CANSETTIME */
	CU_ASSERT(!raw->short_read && raw->in_off == raw->in_len);
}

static void t_N_45_pathconf(void)
{
	struct raw *raw = &rig.raw;
	struct raw_attr attr;

	raw_begin_fh(raw, P_PATHCONF, &rig.root);
	EXPECT(raw_status(raw), S_OK);
	raw_get_post_attr(raw, &attr);
	CU_ASSERT(raw_get32(raw) >= 1000); /* linkmax */
	EXPECT(raw_get32(raw), 255);
	EXPECT(raw_get32(raw), 1); /* no_trunc */
	EXPECT(raw_get32(raw), 1); /* chown_restricted */
	EXPECT(raw_get32(raw), 0); /* case_insensitive */
	EXPECT(raw_get32(raw), 1); /* case_preserving */
	CU_ASSERT(!raw->short_read && raw->in_off == raw->in_len);
}

/* N-44: of any object; free never exceeds total. */
static void t_N_44_fsstat(void)
{
	static const char *const names[] = {"file", "dir", "link", "empty"};
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	struct raw_attr attr;
	uint64_t v[6];

	rig_plot(&rig, RIG_PACKAGE, &dir);
	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		fh = rig_walk(&rig, &dir, names[n]);
		raw_begin_fh(raw, P_FSSTAT, &fh);
		EXPECT(raw_status(raw), S_OK);
		raw_get_post_attr(raw, &attr);
		CU_ASSERT(attr.present);
		for (size_t i = 0; i < ARRAY_LEN(v); i++)
			v[i] = raw_get64(raw);
		CU_ASSERT(v[0] > 0 && v[1] <= v[0] && v[2] <= v[0]);
		CU_ASSERT(v[3] > 0 && v[4] <= v[3] && v[5] <= v[3]);
		raw_get32(raw);
		CU_ASSERT(!raw->short_read && raw->in_off == raw->in_len);
	}
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
    TEST(t_N_38_access),         TEST(t_N_38_root_squash),
    TEST(t_N_39_owner_override), TEST(t_N_37_chown),
    TEST(t_N_37_suid),           TEST(t_N_36_chmod_by_no_member),
    TEST(t_N_40_guard),          TEST(t_N_40_race),
    TEST(t_N_41_client_times),   TEST(t_N_41_who),
    TEST(t_N_13_ctime_file),     TEST(t_N_13_ctime_directory),
    TEST(t_N_12_chain),          TEST(t_N_12_race),
    TEST(t_N_12_failures),       TEST(t_N_14_seen_by_others),
    TEST(t_N_42_sizes),          TEST(t_N_42_create),
    TEST(t_N_42_cut_and_grow),   TEST(t_N_42_no_file),
    TEST(t_N_43_fsinfo),         TEST(t_N_45_pathconf),
    TEST(t_N_44_fsstat),         TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_attr", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsrig: what a protocol test stands on: a daemon, one package, one tenant,
 * guest "t/g", a connection that has mounted it.
 *
 * The package holds RIG_PLOTS times the same small tree, "p00" to "p27", so
 * that each test gets one that nobody has touched:
 *
 *	file	100 bytes	0644 root	RIG_SEED_FILE
 *	big	300,000 bytes	0644 root	RIG_SEED_BIG
 *	one two	70,000 bytes	0644 root	RIG_SEED_TWO (one file)
 *	suid	50 bytes	06755 uid 1000 gid 1000
 *	owned	200 bytes	0640 uid 1000 gid 1000
 *	link	-> ../file
 *	dir/a dir/b dir/sub/c	10 bytes each
 *	empty/
 *
 * With RIG_REFEREE="PORT MOUNT-PORT DIRECTORY" the server is somebody else's,
 * which exports that directory of this host: the package is then plain files in
 * a new directory of it, rig_kill() only connects again, and what needs our own
 * daemon ends the program (daemon.h).  See tests/nfs/referee.sh.
 *
 * rig_plot() gives a handle of the next plot; with RIG_DELTA it is the same
 * tree made by NFS calls, so that a test can be run over both layers.
 */
#ifndef TESTS_LIB_NFSRIG_H
#define TESTS_LIB_NFSRIG_H

#include "tests/lib/check.h"
#include "tests/lib/daemon.h"
#include "tests/lib/rawnfs.h"

enum {
	RIG_PLOTS = 28,
	RIG_FILE_LEN = 100,
	RIG_BIG_LEN = 300000,
	RIG_TWO_LEN = 70000,
	RIG_UID = 1000, /* owner of suid and owned; also the gid */
	RIG_SEED_FILE = 1,
	RIG_SEED_BIG,
	RIG_SEED_TWO,
};

enum rig_layer { RIG_PACKAGE, RIG_DELTA, RIG_LAYERS };

struct rig {
	struct daemon daemon;
	struct raw raw; /* uid 0 */
	struct raw_fh root;
	unsigned int plots_used, dirs_made;
};

/* What cannot be set up aborts the program. */
void rig_open(struct rig *rig);
/* The same with more in the package: `more` makes it below a directory. */
void rig_open_with(struct rig *rig, void (*more)(const char *dir));
void rig_close(struct rig *rig);
/*
 * As the last test of a program: the daemon has survived everything, logged no
 * failed assertion, and ends well when asked.
 */
void rig_ends_well(struct rig *rig);

/* Another connection, mounted at the same export (the handle is the same). */
void rig_connect(struct rig *rig, struct raw *raw);
/* A new rig->raw, with credentials of uid and gid 0. */
void rig_reconnect(struct rig *rig);
/* kill -9, start again, reconnect. */
void rig_kill(struct rig *rig);

void rig_plot(struct rig *rig, enum rig_layer layer, struct raw_fh *dir);
/* An empty directory of the delta, mode 0777. */
void rig_dir(struct rig *rig, struct raw_fh *dir);
/* A handle by path; aborts when it is not there. */
struct raw_fh rig_walk(struct rig *rig, const struct raw_fh *from,
		       const char *path);
/* A file with content, made by NFS calls (CREATE UNCHECKED, WRITE). */
struct raw_fh rig_make(struct rig *rig, const struct raw_fh *dir,
		       const char *name, uint32_t mode, const void *data,
		       size_t len);
/* Act as somebody else, from now on. */
void rig_become(struct raw *raw, uint32_t uid, uint32_t gid);
/* Is the file exactly this? */
bool rig_same(struct raw *raw, const struct raw_fh *fh, const void *data,
	      size_t len);
/* Is the time `b` later than `a`? */
bool rig_later(const uint32_t a[2], const uint32_t b[2]);
uint64_t rig_fileid(struct raw *raw, const struct raw_fh *fh); /* 0: none */

/* For the makers of packages. */
void rig_host_dir(const char *dir, const char *path, mode_t mode);
void rig_host_file(const char *dir, const char *path, mode_t mode,
		   const void *data, size_t len);

/* CU_ASSERT that says both values. */
#define EXPECT(got, want)                                                      \
	rig_expect((long long)(got), (long long)(want), #got, __FILE__,        \
		   __LINE__)
/* One of a list, ended by -1. */
#define EXPECT_ONE_OF(got, ...)                                                \
	rig_expect_one_of((long long)(got), (const int[]){__VA_ARGS__, -1},    \
			  #got, __FILE__, __LINE__)
bool rig_expect(long long got, long long want, const char *what,
		const char *file, int line);
bool rig_expect_one_of(long long got, const int *wanted, const char *what,
		       const char *file, int line);
/* What a loop is at: printed with failures of EXPECT; NULL: nothing. */
void rig_at(const char *fmt, ...) PRINTF_LIKE(1, 2);

enum nfs_status {
	S_OK = 0,
	S_PERM = 1,
	S_NOENT = 2,
	S_IO = 5,
	S_NXIO = 6,
	S_ACCES = 13,
	S_EXIST = 17,
	S_XDEV = 18,
	S_NOTDIR = 20,
	S_ISDIR = 21,
	S_INVAL = 22,
	S_FBIG = 27,
	S_NOSPC = 28,
	S_ROFS = 30,
	S_MLINK = 31,
	S_NAMETOOLONG = 63,
	S_NOTEMPTY = 66,
	S_DQUOT = 69,
	S_STALE = 70,
	S_BADHANDLE = 10001,
	S_NOT_SYNC = 10002,
	S_BAD_COOKIE = 10003,
	S_NOTSUPP = 10004,
	S_TOOSMALL = 10005,
	S_SERVERFAULT = 10006,
	S_BADTYPE = 10007,
	S_JUKEBOX = 10008,
	/* raw_status() gives accept_stat so: */
	A_PROG_UNAVAIL = -101,
	A_PROG_MISMATCH = -102,
	A_PROC_UNAVAIL = -103,
	A_GARBAGE = -104,
};

#endif

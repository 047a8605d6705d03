/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lost: a host file's sync fails, and the kernel has dropped its bytes
 * (failcall.h).  What had been stable is still read, at once and after a
 * restart, though no guest sends it again (rules N-01, N-02).  These are the
 * bugs that the fault sweep (tests/e2e/sweep) has found.
 */
#include <stdio.h>

#include "tests/lib/failcall.h"
#include "tests/lib/nfsrig.h"
#include "tests/lib/sweepload.h"

enum { SMALL = 10000, PACKED = 100000, PACKED_SEED = 901 };

static struct daemon server;
static struct raw raw;
static struct raw_fh root;

static void lost_open(void)
{
	static char object[512];
	const char *b = getenv("B");
	char source[512], from[600];

	daemon_must_be_ours("makes calls of our daemon fail");
	snprintf(object, sizeof(object), "%s/tests/tools/failcall.so",
		 b && *b ? b : "build/plain");
	daemon_init(&server);
	daemon_failcall(&server, object);
	snprintf(source, sizeof(source), "%s/source", server.dir);
	snprintf(from, sizeof(from), "dir:%s", source);
	ASSERT(sweep_package(source) && daemon_start(&server));
	ASSERT(daemon_cli(&server, "package", "create", "p:1", from, NULL) ==
		   0 &&
	       daemon_cli(&server, "tenant", "create", "t", NULL) == 0 &&
	       daemon_cli(&server, "tenant", "assign", "t", "p:1", NULL) == 0 &&
	       daemon_cli(&server, "guest", "add", "t/g", NULL) == 0);
	ASSERT(raw_open(&raw, NULL, server.port) &&
	       raw_mount(&raw, "/t/g", &root) == 0);
}

static void lost_restart(void)
{
	daemon_kill(&server);
	ASSERT(daemon_start(&server));
	raw_close(&raw);
	ASSERT(raw_open(&raw, NULL, server.port));
}

/* What is written from now on is lost when its sync fails. */
static void lost_watch(void)
{
	*server.fail = (struct failcall){.kind = FAIL_NONE};
	__atomic_store_n(&server.fail->armed, 1, __ATOMIC_SEQ_CST);
}

/* The next fdatasync, which is that of a host file, fails. */
static void lost_arm(void)
{
	server.fail->error = EIO;
	server.fail->at = server.fail->count[FAIL_FDATASYNC] + 1;
	__atomic_store_n(&server.fail->kind, FAIL_FDATASYNC, __ATOMIC_SEQ_CST);
}

static void lost_disarm(void)
{
	__atomic_store_n(&server.fail->armed, 0, __ATOMIC_SEQ_CST);
	EXPECT(server.fail->fired, 1);
	CU_ASSERT(strncmp(server.fail->path, "data/", 5) == 0);
}

static void lost_same(const struct raw_fh *fh, const uint8_t *want, size_t len)
{
	CU_ASSERT(rig_same(&raw, fh, want, len));
	lost_restart();
	CU_ASSERT(rig_same(&raw, fh, want, len));
}

/* The database held the first bytes until the file outgrew it. */
static void test_bytes_moved_out_of_the_database(void)
{
	uint8_t want[2 * SMALL];
	uint32_t committed;
	uint64_t verifier;
	struct raw_fh fh;

	sweep_bytes(1, want, sizeof(want));
	EXPECT(raw_create(&raw, &root, "grows", 0, 0644, &fh, NULL), S_OK);
	EXPECT(raw_write(&raw, &fh, 0, want, SMALL, 2, &committed, &verifier),
	       S_OK);
	lost_watch();
	lost_arm();
	EXPECT(raw_write(&raw, &fh, SMALL, want + SMALL, SMALL, 2, &committed,
			 &verifier),
	       S_IO);
	lost_disarm();
	CU_ASSERT(rig_same(&raw, &fh, want, SMALL));
	EXPECT(raw_write(&raw, &fh, SMALL, want + SMALL, SMALL, 2, &committed,
			 &verifier),
	       S_OK);
	lost_same(&fh, want, sizeof(want));
}

/* The package's bytes around a write of less than a page. */
static void test_a_package_page_written_in_part(void)
{
	static uint8_t want[PACKED];
	uint64_t verifier, again;
	uint32_t committed;
	struct raw_attr attr;
	struct raw_fh fh;

	sweep_bytes(PACKED_SEED, want, sizeof(want));
	EXPECT(raw_lookup(&raw, &root, "big", &fh, &attr), S_OK);
	memset(want + 50000, 'w', 10);
	lost_watch();
	EXPECT(raw_write(&raw, &fh, 50000, want + 50000, 10, 0, &committed,
			 &verifier),
	       S_OK);
	lost_arm();
	EXPECT(raw_commit(&raw, &fh, &again), S_IO);
	lost_disarm();
	EXPECT(raw_commit(&raw, &fh, &again), S_OK);
	CU_ASSERT(again != verifier); /* so the guest sends them again */
	EXPECT(raw_write(&raw, &fh, 50000, want + 50000, 10, 0, &committed,
			 &verifier),
	       S_OK);
	EXPECT(raw_commit(&raw, &fh, &again), S_OK);
	CU_ASSERT(again == verifier);
	lost_same(&fh, want, sizeof(want));
}

/* Times that were shown do not go back with the bytes (rule N-13). */
static void test_ctime_stays_ahead(void)
{
	struct raw_attr before, after;
	uint8_t want[3 * SMALL];
	uint32_t committed;
	uint64_t verifier;
	struct raw_fh fh;

	sweep_bytes(2, want, sizeof(want));
	lost_watch();
	EXPECT(raw_create(&raw, &root, "timed", 0, 0644, &fh, NULL), S_OK);
	EXPECT(raw_write(&raw, &fh, 0, want, sizeof(want), 0, &committed,
			 &verifier),
	       S_OK);
	EXPECT(raw_getattr(&raw, &fh, &before), S_OK);
	lost_arm();
	EXPECT(raw_commit(&raw, &fh, &verifier), S_IO);
	lost_disarm();
	EXPECT(raw_getattr(&raw, &fh, &after), S_OK);
	CU_ASSERT(rig_later(before.ctime, after.ctime));
}

static void test_it_ends_well(void)
{
	EXPECT(daemon_stop(&server), 0);
}

static const struct check_test tests[] = {
    {"bytes moved out of the database", test_bytes_moved_out_of_the_database},
    {"a package page written in part", test_a_package_page_written_in_part},
    {"ctime stays ahead", test_ctime_stays_ahead},
    {"it ends well", test_it_ends_well},
};

int main(void)
{
	int rc;

	lost_open();
	rc = check_main("test_lost", tests, ARRAY_LEN(tests));
	raw_close(&raw);
	daemon_free(&server);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_limits: clients that announce, ask for, or hold more than is there
 * (rules N-54, N-55, T-03, T-04, P-17, P-18).  The daemon runs under a memory
 * limit of 512 MiB, where the host can set one; in any case its own figure is
 * looked at.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/lib/nfsrig.h"

/* The address sanitizer keeps freed memory, and much beside what is there. */
#ifdef __SANITIZE_ADDRESS__
#define LIMITS_SLACK 4
#else
#define LIMITS_SLACK 1
#endif

enum {
	CONNS = 1000,
	KB_PER_CONN = 64 * LIMITS_SLACK,
	MEMORY_MIB = 512 * LIMITS_SLACK,
	SOON_MS = 30000, /* who is held waits for more, or for ever */
	NAMES = 2000,
};

static struct rig rig;

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* --- many connections ---------------------------------------------------- */

static int conns[CONNS];

static int conn_open(void)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)rig.daemon.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	base_close_ptr(&fd);
	return -1;
}

static int conns_open(int count)
{
	int opened = 0;

	for (int i = 0; i < CONNS; i++) {
		conns[i] = i < count ? conn_open() : -1;
		opened += conns[i] >= 0;
	}
	return opened;
}

static void conns_close(void)
{
	for (int i = 0; i < CONNS; i++) {
		base_close_ptr(&conns[i]);
		conns[i] = -1;
	}
}

static int conns_send(const void *bytes, size_t len)
{
	int sent = 0;

	for (int i = 0; i < CONNS; i++)
		sent += conns[i] >= 0 &&
			send(conns[i], bytes, len,
			     MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
	return sent;
}

/* How many the server has closed, waiting until it is `wanted`. */
static int conns_closed(int wanted)
{
	uint64_t until = check_now_ns() + 5000000000ull;
	int closed = 0;

	for (;;) {
		closed = 0;
		for (int i = 0; i < CONNS; i++) {
			char byte;

			closed +=
			    conns[i] >= 0 && recv(conns[i], &byte, 1,
						  MSG_PEEK | MSG_DONTWAIT) == 0;
		}
		if (closed >= wanted || check_now_ns() > until)
			return closed;
		sleep_ms(10);
	}
}

static uint64_t rss_kb(void)
{
	return daemon_status_kb(&rig.daemon, "VmRSS");
}

/* Others are served meanwhile: a known connection, and a new one. */
static void others_are_served(void)
{
	uint64_t begin = check_now_ns();
	struct raw_attr attr;
	struct raw fresh;

	for (int i = 0; i < 50; i++)
		EXPECT(raw_getattr(&rig.raw, &rig.root, &attr), S_OK);
	rig_connect(&rig, &fresh);
	EXPECT(raw_getattr(&fresh, &rig.root, &attr), S_OK);
	raw_close(&fresh);
	EXPECT((check_now_ns() - begin) / 1000000 / SOON_MS, 0);
}

static void t_P_17_memory_limit(void)
{
	printf("memory limit of %d MiB: %s\n", MEMORY_MIB,
	       rig.daemon.in_cgroup ? "by a cgroup"
				    : "none can be set here; VmRSS is judged");
	CU_ASSERT(rss_kb() < MEMORY_MIB << 10);
}

/* T-03: 2 GiB announced 1,000 times. */
static void t_T_03_announced_2_gib(void)
{
	static const uint8_t mark[8] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1};
	uint64_t before;

	EXPECT(conns_open(CONNS), CONNS);
	sleep_ms(100);
	before = rss_kb();
	EXPECT(conns_send(mark, sizeof(mark)), CONNS);
	others_are_served();
	CU_ASSERT(rss_kb() < before + CONNS * KB_PER_CONN);
	EXPECT(conns_closed(CONNS), CONNS);
	conns_close();
}

/* N-54: as much as is allowed announced 1,000 times, and 4 bytes sent. */
static void t_N_54_announced_1_mib(void)
{
	uint8_t mark[8] = {0};
	uint64_t before;

	EXPECT(conns_open(CONNS), CONNS);
	sleep_ms(100);
	before = rss_kb();
	be32_put(mark, 0x80000000u | (1 << 20));
	EXPECT(conns_send(mark, sizeof(mark)), CONNS);
	sleep_ms(300);
	others_are_served();
	CU_ASSERT(rss_kb() < before + CONNS * KB_PER_CONN);
	EXPECT(conns_closed(0), 0);
	conns_close();
}

/* The same with 100,000 bytes each: the memory follows what came, up to the
 * bound of partial records, and comes back. */
static void t_N_54_partly_sent(void)
{
	enum { SENT = 100000, BOUND_KB = 256 * LIMITS_SLACK << 10 };
	CLEANUP_FREE uint8_t *bytes = calloc(1, SENT);
	uint64_t before = rss_kb();

	EXPECT(conns_open(CONNS), CONNS);
	be32_put(bytes, 0x80000000u | (1 << 20));
	conns_send(bytes, SENT);
	sleep_ms(500);
	others_are_served();
	CU_ASSERT(rss_kb() < before + BOUND_KB);
	conns_close();
	others_are_served();
}

/* --- listings that ask for everything ------------------------------------ */

static void more_names(const char *dir)
{
	char path[64];

	rig_host_dir(dir, "many", 0755);
	for (int i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "many/name-%04d", i);
		rig_host_file(dir, path, 0644, path, 8);
	}
}

/* T-03, N-24: 1,000 READDIRPLUS that ask for 4 GiB each. */
static void t_T_03_readdirplus(void)
{
	enum { CALLS = 1000, IN_FLIGHT = 50, REPLY_MAX = 128 << 10 };
	struct raw_fh many = rig_walk(&rig, &rig.root, "many");
	uint64_t before = rss_kb();
	struct raw other;
	int bad = 0;

	rig_connect(&rig, &other);
	for (int i = 0; i < CALLS + IN_FLIGHT; i++) {
		if (i < CALLS) {
			raw_begin_fh(&other, P_READDIRPLUS, &many);
			raw_put64(&other, 0);
			raw_put64(&other, 0);
			raw_put32(&other, UINT32_MAX);
			raw_put32(&other, UINT32_MAX);
			bad += !raw_send(&other);
		}
		if (i >= IN_FLIGHT)
			bad += raw_reply(&other) != 0 ||
			       raw_get32(&other) != S_OK ||
			       other.in_len > REPLY_MAX;
	}
	EXPECT(bad, 0);
	others_are_served();
	CU_ASSERT(rss_kb() < before + (16 * LIMITS_SLACK << 10));
	raw_close(&other);
}

/* Until the daemon has done what it can do for now. */
static void settle(void)
{
	for (int i = 0; i < 100; i++) {
		uint64_t cpu = daemon_cpu_ms(&rig.daemon);

		sleep_ms(100);
		if (daemon_cpu_ms(&rig.daemon) - cpu <= 10)
			return;
	}
	CU_FAIL("the daemon does not come to rest");
}

/*
 * Clients that send the call which was built in rig.raw over and over and take
 * nothing: more than any socket holds.  Growth is bounded for all together.
 */
static void never_read(const char *what)
{
	enum {
		CLIENTS = 400,
		CALLS = 150,
		GROWN_MAX_KB = 256 * LIMITS_SLACK << 10
	};
	size_t len = rig.raw.out_len;
	CLEANUP_FREE uint8_t *calls = malloc(CALLS * len);
	uint64_t before = rss_kb(), grown;

	be32_put(rig.raw.out, (uint32_t)(len - 4) | 0x80000000u);
	for (size_t i = 0; i < CALLS; i++)
		memcpy(calls + i * len, rig.raw.out, len);
	EXPECT(conns_open(CLIENTS), CLIENTS);
	CU_ASSERT(conns_send(calls, CALLS * len) > 0);
	settle();
	others_are_served();
	grown = rss_kb() - MIN(before, rss_kb());
	printf("%d clients that take no replies to %s: %llu kB in all\n",
	       CLIENTS, what, (unsigned long long)grown);
	CU_ASSERT(grown < GROWN_MAX_KB);
	conns_close();
	settle();
	others_are_served();
}

static void t_T_04_listings_not_taken(void)
{
	struct raw_fh many = rig_walk(&rig, &rig.root, "many");

	raw_begin_fh(&rig.raw, P_READDIRPLUS, &many);
	raw_put64(&rig.raw, 0);
	raw_put64(&rig.raw, 0);
	raw_put32(&rig.raw, UINT32_MAX);
	raw_put32(&rig.raw, UINT32_MAX);
	never_read("READDIRPLUS");
}

static void t_T_04_package_data_not_taken(void)
{
	struct raw_fh fh = rig_walk(&rig, &rig.root, "p00/big");

	raw_begin_fh(&rig.raw, P_READ, &fh);
	raw_put64(&rig.raw, 0);
	raw_put32(&rig.raw, UINT32_MAX);
	never_read("READ of a package");
}

/* Bytes of the delta lie in a buffer for each reply. */
static void t_T_04_delta_data_not_taken(void)
{
	CLEANUP_FREE uint8_t *data = calloc(1, 1 << 20);
	struct raw_fh fh =
	    rig_make(&rig, &rig.root, "mib", 0644, data, 1 << 20);

	raw_begin_fh(&rig.raw, P_READ, &fh);
	raw_put64(&rig.raw, 0);
	raw_put32(&rig.raw, UINT32_MAX);
	never_read("READ of a delta");
}

/* P-18: slow and idle ones together; no CPU is spent on them. */
static void t_T_04_idle_and_slow(void)
{
	static const uint8_t mark[4] = {0x80, 0, 0, 100};
	uint64_t cpu, begin;

	EXPECT(conns_open(400), 400);
	begin = check_now_ns();
	cpu = daemon_cpu_ms(&rig.daemon);
	for (int i = 0; i < 400; i += 2)
		CU_ASSERT(send(conns[i], mark, 4, MSG_NOSIGNAL) == 4);
	for (int n = 0; n < 8; n++) {
		for (int i = 0; i < 400; i += 2)
			CU_ASSERT(send(conns[i], "x", 1, MSG_NOSIGNAL) == 1);
		sleep_ms(250);
	}
	others_are_served();
	cpu = daemon_cpu_ms(&rig.daemon) - cpu;
	CU_ASSERT(cpu * 1000000 < (check_now_ns() - begin) / 10);
	conns_close();
}

/* --- descriptors --------------------------------------------------------- */

/* N-55, CVE-2021-46828: with no descriptor left the server neither spins nor
 * forgets those it has; when some go, others come in. */
static void t_N_55_descriptors(void)
{
	enum { FDS = 256 };
	uint64_t cpu, begin;
	struct raw_attr attr;
	int refused;

	EXPECT(daemon_stop(&rig.daemon), 0);
	rig.daemon.fds_max = FDS;
	ASSERT(daemon_start(&rig.daemon));
	rig_reconnect(&rig);
	EXPECT(conns_open(2 * FDS), 2 * FDS); /* the kernel takes them */
	refused = conns_closed(FDS);
	CU_ASSERT(refused >= FDS && refused < 2 * FDS);
	cpu = daemon_cpu_ms(&rig.daemon);
	begin = check_now_ns();
	sleep_ms(1000);
	cpu = daemon_cpu_ms(&rig.daemon) - cpu;
	CU_ASSERT(cpu * 1000000 < (check_now_ns() - begin) / 20);
	for (int i = 0; i < 50; i++)
		EXPECT(raw_getattr(&rig.raw, &rig.root, &attr), S_OK);
	conns_close();
	sleep_ms(100);
	others_are_served();
	/* The store can still open what it needs. */
	rig_make(&rig, &rig.root, "after", 0644, "x", 1);
}

static void t_P_17_after_all(void)
{
	CU_ASSERT(rss_kb() < MEMORY_MIB << 10);
	printf("VmHWM %llu kB\n",
	       (unsigned long long)daemon_status_kb(&rig.daemon, "VmHWM"));
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
    TEST(t_P_17_memory_limit),
    TEST(t_T_03_announced_2_gib),
    TEST(t_N_54_announced_1_mib),
    TEST(t_N_54_partly_sent),
    TEST(t_T_03_readdirplus),
    TEST(t_T_04_listings_not_taken),
    TEST(t_T_04_package_data_not_taken),
    TEST(t_T_04_delta_data_not_taken),
    TEST(t_T_04_idle_and_slow),
    TEST(t_P_17_after_all),
    TEST(t_N_55_descriptors),
    TEST(t_ends_well),
};

/* Each connection of ours is a descriptor of ours. */
static void raise_fds(void)
{
	struct rlimit fds;

	ASSERT(getrlimit(RLIMIT_NOFILE, &fds) == 0);
	fds.rlim_cur = MIN(fds.rlim_max, (rlim_t)8192);
	ASSERT(setrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur > 2048);
}

int main(void)
{
	int rc;

	raise_fds();
	memset(conns, -1, sizeof(conns));
	rig_open_with(&rig, more_names);
	ASSERT(daemon_stop(&rig.daemon) == 0);
	rig.daemon.memory_max = (uint64_t)MEMORY_MIB << 20;
	/* Here one guest is to reach what the whole server has. */
	rig.daemon.option[0] = "limits.guest-connections=2000";
	rig.daemon.option[1] = "limits.guest-held=64M";
	rig.daemon.option[2] = "limits.tenant-held=64M";
	ASSERT(daemon_start(&rig.daemon));
	rig_reconnect(&rig);
	rc = check_main("test_limits", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_clock: clocks that stand still, step back or run far ahead (rules N-02,
 * N-13, N-41, N-55).  The daemon reads its clocks through tests/lib/preload.h.
 */
#include <sys/socket.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/nfsrig.h"
#include "tests/lib/preload.h"

#define SECOND 1000000000ll

enum { CHANGES = 1000 };

static struct rig rig;
static struct preload *preload;

#define SET(field, value)                                                      \
	__atomic_store_n(&preload->field, value, __ATOMIC_SEQ_CST)

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void clock_right(void)
{
	SET(real_frozen, 0);
	SET(real_offset, 0);
	SET(mono_offset, 0);
}

static void clock_freeze(int64_t sec)
{
	SET(real_frozen, sec * SECOND);
}

/* --- N-13 ---------------------------------------------------------------- */

struct moving {
	struct raw_fh dir, file;
	uint32_t file_last[2], dir_last[2];
	uint32_t step;
};

static void moved(const struct raw_fh *fh, uint32_t last[2])
{
	struct raw_attr attr;

	EXPECT(raw_getattr(&rig.raw, fh, &attr), S_OK);
	CU_ASSERT(rig_later(last, attr.ctime));
	memcpy(last, attr.ctime, 8);
}

static void moving_begin(struct moving *m, enum rig_layer layer)
{
	*m = (struct moving){.step = 0};
	rig_plot(&rig, layer, &m->dir);
	m->file = rig_walk(&rig, &m->dir, "big");
	moved(&m->file, m->file_last);
	moved(&m->dir, m->dir_last);
}

/* One change of the file or of its directory; each moves its ctime. */
static void moving_change(struct moving *m)
{
	struct raw *raw = &rig.raw;
	uint32_t committed, i = m->step++;
	uint64_t verifier;

	switch (i % 6) {
	case 0:
		EXPECT(raw_set_mode(raw, &m->file, 0600 + i % 64), S_OK);
		break;
	case 1:
		EXPECT(raw_write(raw, &m->file, i, "x", 1, 0, &committed,
				 &verifier),
		       S_OK);
		break;
	case 2:
		EXPECT(raw_set_size(raw, &m->file, 1000 + i), S_OK);
		break;
	case 3:
		EXPECT(raw_link(raw, &m->file, &m->dir, "name"), S_OK);
		moved(&m->dir, m->dir_last);
		break;
	case 4:
		EXPECT(raw_rename(raw, &m->dir, "name", &m->dir, "name2"),
		       S_OK);
		moved(&m->dir, m->dir_last);
		break;
	case 5:
		EXPECT(raw_remove(raw, &m->dir, "name2", false), S_OK);
		moved(&m->dir, m->dir_last);
		break;
	}
	moved(&m->file, m->file_last);
}

/* The clock stands: 1,000 changes, 1,000 times, also after a kill. */
static void t_N_13_frozen(void)
{
	struct moving m;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		moving_begin(&m, (enum rig_layer)layer);
		clock_freeze(time(NULL));
		for (int i = 0; i < CHANGES; i++) {
			rig_at("layer %d, change %d", layer, i);
			moving_change(&m);
			if (i % 300 == 299)
				rig_kill(&rig);
		}
		clock_right();
	}
	rig_at("%s", "");
}

/* It steps back by an hour, again and again, also while the server is down. */
static void t_N_13_steps_back(void)
{
	struct moving m;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		moving_begin(&m, (enum rig_layer)layer);
		for (int i = 0; i < CHANGES; i++) {
			rig_at("layer %d, change %d", layer, i);
			if (i % 100 == 50)
				SET(real_offset,
				    -(i / 100 + 1) * 3600 * SECOND);
			if (i % 300 == 299) {
				daemon_kill(&rig.daemon);
				SET(real_offset, -24 * 3600 * SECOND);
				ASSERT(daemon_start(&rig.daemon));
				rig_reconnect(&rig);
			}
			moving_change(&m);
		}
		clock_right();
	}
	rig_at("%s", "");
}

/* The control: these clocks are those that the times come from. */
static void t_N_13_control(void)
{
	int64_t soon = time(NULL) + 1000;
	struct raw_attr attr;
	struct raw_fh dir, fh;

	rig_dir(&rig, &dir);
	clock_freeze(soon);
	EXPECT(raw_create(&rig.raw, &dir, "f", 1, 0644, &fh, &attr), S_OK);
	EXPECT(attr.ctime[0], soon);
	EXPECT(attr.mtime[0], soon);
	clock_right();
}

/* --- N-02 ---------------------------------------------------------------- */

/* The same moment 20 times: 20 verifiers. */
static void t_N_02_frozen(void)
{
	enum { RESTARTS = 20 };
	uint64_t seen[RESTARTS], verifier;
	struct raw_fh dir, fh;
	uint32_t committed;

	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	clock_freeze(time(NULL));
	for (int i = 0; i < RESTARTS; i++) {
		rig_at("restart %d", i);
		EXPECT(raw_write(&rig.raw, &fh, 0, "unstable", 8, 0, &committed,
				 &verifier),
		       S_OK);
		rig_kill(&rig);
		EXPECT(raw_commit(&rig.raw, &fh, &seen[i]), S_OK);
		CU_ASSERT(seen[i] != verifier);
		for (int j = 0; j < i; j++)
			CU_ASSERT(seen[j] != seen[i]);
	}
	clock_right();
	rig_at("%s", "");
}

/* --- N-41 ---------------------------------------------------------------- */

/* Seconds are 32 bits without a sign on the wire: beyond 2038 they go on, at
 * their end (2106) they stop, and never start again. */
static void t_N_41_far_years(void)
{
	static const int64_t at[] = {0x7fffffff, 0x80000000,  0xfffffffe,
				     0xffffffff, 0x100000000, 0x200000005};
	struct raw_sattr set = {.atime_how = RAW_TIME_SERVER,
				.mtime_how = RAW_TIME_SERVER};
	struct raw_fh dir, fh;
	struct raw_attr attr;
	char name[16];

	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		rig_at("second %llx", (unsigned long long)at[i]);
		clock_right();
		rig_dir(&rig, &dir);
		clock_freeze(at[i]);
		snprintf(name, sizeof(name), "f%zu", i);
		EXPECT(raw_create(&rig.raw, &dir, name, 1, 0644, &fh, NULL),
		       S_OK);
		EXPECT(raw_setattr(&rig.raw, &fh, &set, NULL, NULL), S_OK);
		EXPECT(raw_getattr(&rig.raw, &fh, &attr), S_OK);
		EXPECT(attr.mtime[0], MIN(at[i], (int64_t)UINT32_MAX));
		EXPECT(attr.atime[0], MIN(at[i], (int64_t)UINT32_MAX));
		EXPECT(attr.ctime[0], MIN(at[i], (int64_t)UINT32_MAX));
		CU_ASSERT(attr.ctime[1] < SECOND);
		/* And it is still there after a restart. */
		rig_kill(&rig);
		EXPECT(raw_getattr(&rig.raw, &fh, &attr), S_OK);
		EXPECT(attr.mtime[0], MIN(at[i], (int64_t)UINT32_MAX));
	}
	clock_right();
	rig_at("%s", "");
}

/* --- N-55 ---------------------------------------------------------------- */

/* The daemon's time goes on by so much, and it has noticed. */
static void time_passes(int seconds)
{
	preload->mono_offset += seconds * SECOND;
	sleep_ms(2500); /* two ticks of its workers */
}

static bool is_closed(struct raw *raw)
{
	char byte;

	return raw_readable(raw, 0) &&
	       recv(raw->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* Parts of a call, of every length below the whole: 30 s later the connections
 * are closed, and those alone. */
static void t_N_55_partial(void)
{
	enum { PARTS = 12 };
	struct raw parts[PARTS], idle, late;
	struct raw_attr attr;

	rig_connect(&rig, &idle);
	rig_connect(&rig, &late);
	for (int i = 0; i < PARTS; i++) {
		rig_connect(&rig, &parts[i]);
		raw_begin_fh(&parts[i], P_GETATTR, &rig.root);
		be32_put(parts[i].out,
			 (uint32_t)(parts[i].out_len - 4) | 0x80000000u);
		CU_ASSERT(raw_send_bytes(&parts[i], parts[i].out,
					 (size_t)(1 + 7 * i)));
	}
	sleep_ms(100);
	time_passes(20);
	for (int i = 0; i < PARTS; i++) {
		rig_at("part %d after 20 s", i);
		CU_ASSERT(!is_closed(&parts[i]));
	}
	/* One that begins later has its own 30 s; one more byte gives no more
	 * of them. */
	CU_ASSERT(raw_send_bytes(&late, "\x80\0\0", 3));
	CU_ASSERT(raw_send_bytes(&parts[0], parts[0].out + 1, 1));
	sleep_ms(100);
	time_passes(15);
	for (int i = 0; i < PARTS; i++) {
		rig_at("part %d after 35 s", i);
		CU_ASSERT(is_closed(&parts[i]));
		raw_close(&parts[i]);
	}
	rig_at("%s", "");
	CU_ASSERT(!is_closed(&late));
	EXPECT(raw_getattr(&idle, &rig.root, &attr), S_OK);
	time_passes(20);
	CU_ASSERT(is_closed(&late));
	EXPECT(raw_getattr(&idle, &rig.root, &attr), S_OK);
	raw_close(&idle);
	raw_close(&late);
	clock_right();
}

/* A byte now and then: the whole call has 30 s, not each byte. */
static void t_N_55_slowloris(void)
{
	struct raw slow;

	rig_connect(&rig, &slow);
	raw_begin_fh(&slow, P_GETATTR, &rig.root);
	be32_put(slow.out, (uint32_t)(slow.out_len - 4) | 0x80000000u);
	for (size_t i = 0; i < 20 && !is_closed(&slow); i++) {
		CU_ASSERT(raw_send_bytes(&slow, slow.out + i, 1));
		preload->mono_offset += 4 * SECOND;
		sleep_ms(300);
	}
	sleep_ms(2500);
	CU_ASSERT(is_closed(&slow));
	raw_close(&slow);
	clock_right();
}

/* The server's ends of connections, as the kernel tells (/proc/net/tcp): how
 * many there are, and with a keepalive timer. */
static void keepalives(unsigned int *found, unsigned int *kept)
{
	unsigned int port, state, timer;
	char path[64], line[256];
	FILE *file;

	*found = *kept = 0;
	snprintf(path, sizeof(path), "/proc/%d/net/tcp", (int)rig.daemon.pid);
	file = fopen(path, "re");
	ASSERT(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*d: %*x:%x %*x:%*x %x %*x:%*x %x:", &port,
			   &state, &timer) != 3 ||
		    port != (unsigned int)rig.daemon.port || state != 1)
			continue;
		++*found;
		*kept += timer == 2;
	}
	fclose(file);
}

/* Idle ones stay: 6 minutes, an hour; and are kept alive by TCP, which is how
 * those of a guest that is gone end (N-66). */
static void t_N_55_idle(void)
{
	unsigned int found, kept;
	struct raw idle[3];
	struct raw_attr attr;

	for (int i = 0; i < 3; i++)
		rig_connect(&rig, &idle[i]);
	time_passes(360);
	for (int i = 0; i < 3; i++)
		EXPECT(raw_getattr(&idle[i], &rig.root, &attr), S_OK);
	time_passes(3600);
	keepalives(&found, &kept);
	CU_ASSERT(found >= 4);
	EXPECT(kept, found);
	for (int i = 0; i < 3; i++) {
		EXPECT(raw_getattr(&idle[i], &rig.root, &attr), S_OK);
		raw_close(&idle[i]);
	}
	clock_right();
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
    TEST(t_N_13_control),   TEST(t_N_13_frozen),    TEST(t_N_13_steps_back),
    TEST(t_N_02_frozen),    TEST(t_N_41_far_years), TEST(t_N_55_partial),
    TEST(t_N_55_slowloris), TEST(t_N_55_idle),      TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	ASSERT(daemon_stop(&rig.daemon) == 0);
	preload = daemon_preload(&rig.daemon);
	ASSERT(daemon_start(&rig.daemon));
	rig_reconnect(&rig);
	rc = check_main("test_clock", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

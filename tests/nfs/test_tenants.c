/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tenants: what tells guests apart is what lets them in: a listening
 * address, a source address, a secret path; and a guest that is gone leaves
 * nothing to the next one (reliability T-08, T-11, T-42).
 *
 * red/vm listens at an address of its own; blue/vm may mount from 127.0.0.3;
 * green/vm by a secret path, green/two by another one and from 127.0.0.4 alone.
 * Each has a file "mine" with its name.
 */
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/daemon.h"
#include "tests/lib/nfsrig.h"

enum { LIVES = 12, MARK_LEN = 20000 };

static struct daemon host;
static int red_port;
static char secrets[2][64]; /* paths of green/vm, green/two */

struct guest {
	const char *name, *from; /* where its connection comes from */
	const int *port;
	const char *path; /* NULL: its name */
	struct raw raw;
	struct raw_fh root, mine;
};
static struct guest guests[] = {
    {.name = "red/vm", .from = "127.0.0.2", .port = &red_port},
    {.name = "blue/vm", .from = "127.0.0.3", .port = &host.port},
    {.name = "green/vm",
     .from = "127.0.0.5",
     .port = &host.port,
     .path = secrets[0]},
    {.name = "green/two",
     .from = "127.0.0.4",
     .port = &host.port,
     .path = secrets[1]},
};

/* The first line of what vdrive answers. */
static void ask(const char *command, char line[600])
{
	const char *b = getenv("B");
	FILE *out;

	snprintf(line, 600, "%s/vdrive --socket %s/sock %s",
		 b && *b ? b : "build/plain", host.dir, command);
	out = popen(line, "r");
	ASSERT(out && fgets(line, 600, out));
	pclose(out);
}

/* What a guest with a secret path mounts. */
static void ask_secret(const char *guest, char path[64])
{
	char command[100], line[600];

	snprintf(command, sizeof(command), "guest fstab %s", guest);
	ask(command, line);
	ASSERT(sscanf(line, "127.0.0.1:%60s", path) == 1);
}

static void guest_path(const struct guest *guest, char path[80])
{
	snprintf(path, 80, "%s%s", guest->path ? "" : "/",
		 guest->path ? guest->path : guest->name);
}

static void guest_mount(struct guest *guest)
{
	char path[80];

	guest_path(guest, path);
	ASSERT(raw_open_from(&guest->raw, guest->from, *guest->port));
	ASSERT(raw_mount(&guest->raw, path, &guest->root) == 0);
}

static int put(struct raw *raw, const struct raw_fh *fh, const void *data,
	       uint32_t len)
{
	uint32_t committed;
	uint64_t verifier;

	return raw_write(raw, fh, 0, data, len, 2, &committed, &verifier);
}

static void set_up(void)
{
	static const char *const add[][6] = {
	    {"red/vm", "--listen", "127.0.0.1:0", NULL},
	    {"blue/vm", "--addr", "127.0.0.3", NULL},
	    {"green/vm", "--secret-path", NULL},
	    {"green/two", "--secret-path", "--addr", "127.0.0.4", NULL}};
	char line[600];

	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		char tenant[20];

		snprintf(tenant, sizeof(tenant), "%.*s",
			 (int)strcspn(add[i][0], "/"), add[i][0]);
		ASSERT(daemon_cli(&host, "tenant", "create", tenant, NULL) ==
		       0);
		ASSERT(daemon_cli(&host, "guest", "add", add[i][0], add[i][1],
				  add[i][2], add[i][2] ? add[i][3] : NULL,
				  NULL) == 0);
	}
	ask("guest list -H -o listen | grep :", line);
	ASSERT(sscanf(line, "127.0.0.1:%d", &red_port) == 1);
	ask_secret("green/vm", secrets[0]);
	ask_secret("green/two", secrets[1]);
	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		struct guest *g = &guests[i];
		struct raw_attr attr;

		guest_mount(g);
		ASSERT(raw_create(&g->raw, &g->root, "mine", 0, 0644, &g->mine,
				  &attr) == 0);
		ASSERT(put(&g->raw, &g->mine, g->name, 6) == 0);
	}
}

/* --- mounting ------------------------------------------------------------ */

/* Each from each other's place: as if there were no such guest. */
static void test_mount(void)
{
	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		for (size_t k = 0; k < ARRAY_LEN(guests); k++) {
			struct raw_fh root, none;
			struct raw raw;
			char path[80];

			guest_path(&guests[k], path);
			rig_at("%s mounts %s", guests[i].name, path);
			ASSERT(raw_open_from(&raw, guests[i].from,
					     *guests[i].port));
			/* Who knows the secret of a guest that may come from
			 * anywhere is that guest. */
			if (i == k ||
			    (k == 2 && guests[i].port == guests[k].port))
				EXPECT(raw_mount(&raw, path, &root), S_OK);
			else
				EXPECT(raw_mount(&raw, path, &root), S_ACCES);
			EXPECT(raw_mount(&raw, "/no/such", &none), S_ACCES);
			/* Not by name, even for itself. */
			EXPECT(raw_mount(&raw, "/green/vm", &none), S_ACCES);
			EXPECT(raw_mount(&raw, "/green/two", &none), S_ACCES);
			raw_close(&raw);
		}
	}
	rig_at("%s", "");
}

static void expect_listed(struct raw *raw, const char *want)
{
	char path[100], text[400] = "";
	size_t len;

	raw_begin(raw, RAW_MOUNT, 3, 5); /* EXPORT */
	EXPECT(raw_call(raw), 0);
	for (int i = 0; i < 20 && raw_get32(raw) && !raw->short_read; i++) {
		len = raw_get_opaque(raw, path, sizeof(path) - 1);
		path[MIN(len, sizeof(path) - 1)] = '\0';
		snprintf(text + strlen(text), 200, "%.99s ", path);
		while (raw_get32(raw) && !raw->short_read)
			raw_get_opaque(raw, path, sizeof(path));
	}
	CU_ASSERT_STRING_EQUAL(text, want);
	raw_begin(raw, RAW_MOUNT, 3, 2); /* DUMP */
	EXPECT(raw_call(raw), 0);
	EXPECT(raw_get32(raw), 0);
}

static void test_listed(void)
{
	static const char *const want[] = {"/red/vm ", "/blue/vm ", "", ""};

	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		rig_at("EXPORT, asked by %s", guests[i].name);
		expect_listed(&guests[i].raw, want[i]);
	}
	rig_at("%s", "");
}

/* --- handles ------------------------------------------------------------- */

/* Each procedure with each other's handles.  A handle of a guest with a secret
 * path is that guest's proof, from wherever it may come. */
static void test_handles(void)
{
	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		for (size_t k = 0; k < ARRAY_LEN(guests); k++) {
			struct raw *raw = &guests[i].raw;

			if (i == k ||
			    (k == 2 && guests[i].port == guests[k].port))
				continue;
			for (uint32_t p = P_GETATTR; p < P_COUNT; p++) {
				rig_at("%s, procedure %u, handle of %s",
				       guests[i].name, p, guests[k].name);
				raw_begin_any(raw, p, &guests[k].mine,
					      &guests[i].root, "x");
				EXPECT(raw_status(raw), S_BADHANDLE);
			}
		}
	}
	rig_at("%s", "");
}

static bool mine_is_there(struct guest *guest)
{
	uint8_t buf[100];
	uint32_t got = 0;
	bool eof;

	return raw_read(&guest->raw, &guest->mine, 0, sizeof(buf), buf, &got,
			&eof) == S_OK &&
	       got == 6 && memcmp(buf, guest->name, 6) == 0;
}

/* T-11: who has borrowed another's address is let in by that alone, unless the
 * guest has more than an address. */
static void test_borrowed(void)
{
	struct raw_fh root;
	struct raw raw;

	ASSERT(raw_open_from(&raw, "127.0.0.4", host.port));
	EXPECT(raw_mount(&raw, "/green/two", &root), S_ACCES);
	EXPECT(raw_mount(&raw, "/blue/vm", &root), S_ACCES);
	raw_close(&raw);
	/* Nor does any address help at the daemon's own. */
	ASSERT(raw_open_from(&raw, "127.0.0.2", host.port));
	EXPECT(raw_mount(&raw, "/red/vm", &root), S_ACCES);
	raw_close(&raw);
}

static void test_restart(void)
{
	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		CU_ASSERT(mine_is_there(&guests[i]));
		raw_close(&guests[i].raw);
	}
	daemon_kill(&host);
	ASSERT(daemon_start(&host));
	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		/* Without a new mount, as a kernel's client goes on. */
		ASSERT(raw_open_from(&guests[i].raw, guests[i].from,
				     *guests[i].port));
		CU_ASSERT(mine_is_there(&guests[i]));
	}
	test_handles();
}

/* --- a guest that is gone ------------------------------------------------ */

struct life {
	struct raw_fh root, mark;
	uint8_t bytes[MARK_LEN];
};

static void life_live(struct raw *raw, struct life *life, unsigned int i)
{
	struct raw_attr attr;

	ASSERT(daemon_cli(&host, "guest", "add", "blue/next", "--secret-path",
			  NULL) == 0);
	ask_secret("blue/next", secrets[1]);
	ASSERT(raw_open_from(raw, "127.0.0.9", host.port));
	ASSERT(raw_mount(raw, secrets[1], &life->root) == 0);
	/* The same for all, so that a fileid and a name are used again. */
	check_fill(life->bytes, MARK_LEN, i + 1);
	ASSERT(raw_create(raw, &life->root, "mark", 0, 0644, &life->mark,
			  &attr) == 0);
	CU_ASSERT_EQUAL(attr.size, 0);
	ASSERT(raw_set_size(raw, &life->mark, MARK_LEN) == 0);
}

/* A file that is long and not written yet has zeros, not what a life before
 * wrote there. */
static bool life_is_clean(struct raw *raw, const struct life *life)
{
	static const uint8_t zeros[MARK_LEN];

	return rig_same(raw, &life->mark, zeros, MARK_LEN);
}

static void test_lives(void)
{
	static struct life lives[LIVES];
	struct raw_attr attr;
	struct raw raw;

	for (unsigned int i = 0; i < LIVES; i++) {
		struct life *life = &lives[i];

		rig_at("life %u", i);
		life_live(&raw, life, i);
		CU_ASSERT(life_is_clean(&raw, life));
		for (unsigned int k = 0; k < i; k++) {
			EXPECT(raw_getattr(&raw, &lives[k].mark, &attr),
			       S_BADHANDLE);
			EXPECT(raw_getattr(&raw, &lives[k].root, &attr),
			       S_BADHANDLE);
		}
		ASSERT(put(&raw, &life->mark, life->bytes, MARK_LEN) == 0);
		raw_close(&raw);
		ASSERT(daemon_cli(&host, "guest", "remove", "blue/next", "-y",
				  NULL) == 0);
	}
	rig_at("%s", "");
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"mounts", test_mount},
	    {"lists", test_listed},
	    {"handles of others", test_handles},
	    {"T-11: borrowed addresses", test_borrowed},
	    {"after a restart", test_restart},
	    {"T-42: a guest that is gone", test_lives},
	};
	int rc;

	daemon_must_be_ours("has guests of ours");
	daemon_init(&host);
	host.option[0] = "nfs.trust-paths=no";
	ASSERT(daemon_start(&host));
	set_up();
	rc = check_main("test_tenants", tests, ARRAY_LEN(tests));
	for (size_t i = 0; i < ARRAY_LEN(guests); i++)
		raw_close(&guests[i].raw);
	daemon_free(&host);
	return rc;
}

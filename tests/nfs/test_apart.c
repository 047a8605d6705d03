/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_apart: a guest reaches shards through the trees of its own selection
 * and no other way (design 4, T-40).  Two tenants with a private package each,
 * of which one file is the same; their guests mount from 127.0.0.2 and .3.
 *
 * FORGED in the environment: how many handles are forged (make forged).
 *
 * Asserted: no handle of the other's works, none that is made from one does,
 * for any procedure; no name is a digest; no reply holds a digest or a salt.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "depot/shard.h"
#include "depot/tree.h"
#include "tests/lib/check.h"
#include "tests/lib/daemon.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/nfsrig.h"
#include "tests/lib/tmpdir.h"

enum { SECRET_LEN = 50000, FORGED = 4000, PAGE = 8192, PARTS_MAX = 64 };

struct guest {
	const char *tenant, *addr;
	struct raw raw;
	struct raw_fh root, secret, same;
	struct tree *tree; /* ref */
};

static struct daemon host;
static struct guest red = {.tenant = "red", .addr = "127.0.0.2"};
static struct guest blue = {.tenant = "blue", .addr = "127.0.0.3"};
static uint8_t same[SECRET_LEN];

static void secret_fill(const struct guest *guest, uint8_t *bytes)
{
	check_fill(bytes, SECRET_LEN, guest == &red ? 11 : 12);
}

/* --- two tenants --------------------------------------------------------- */

static void guest_package(struct guest *guest)
{
	CLEANUP_FREE char *dir = tmpdir_path(host.dir, guest->tenant);
	CLEANUP_FREE char *source = NULL;
	uint8_t bytes[SECRET_LEN];
	char ref[80], name[80];

	ASSERT(mkdir(dir, 0755) == 0);
	secret_fill(guest, bytes);
	rig_host_file(dir, "secret", 0644, bytes, sizeof(bytes));
	rig_host_file(dir, "same", 0644, same, sizeof(same));
	ASSERT(asprintf(&source, "dir:%s", dir) > 0);
	snprintf(ref, sizeof(ref), "of-%s:1", guest->tenant);
	snprintf(name, sizeof(name), "%s/vm", guest->tenant);
	ASSERT(daemon_cli(&host, "package", "create", ref, source, "--private",
			  NULL) == 0);
	ASSERT(daemon_cli(&host, "tenant", "create", guest->tenant, NULL) == 0);
	ASSERT(daemon_cli(&host, "tenant", "assign", guest->tenant, ref,
			  NULL) == 0);
	ASSERT(daemon_cli(&host, "guest", "add", name, "--addr", guest->addr,
			  NULL) == 0);
}

/* The tree of its package, from the store: the one that has its salt. */
static void guest_tree(struct guest *guest)
{
	char command[700], hex[DIGEST_HEX_LEN + 1];
	CLEANUP_FREE char *path = NULL;
	const char *b = getenv("B");
	struct digest digest;
	FILE *out;

	snprintf(command, sizeof(command),
		 "%s/vdrive --socket %s/sock -p package show of-%s:1 | "
		 "awk '$1 == \"tree\" { print $2 }'",
		 b && *b ? b : "build/plain", host.dir, guest->tenant);
	out = popen(command, "r");
	ASSERT(out && fscanf(out, "%64s", hex) == 1);
	pclose(out);
	ASSERT(digest_from_hex(hex, DIGEST_HEX_LEN, &digest) == 0);
	ASSERT(asprintf(&path, "%s/store/trees/%s", host.dir, hex) > 0);
	ASSERT(tree_open_file(path, &digest, &guest->tree) == 0);
	ASSERT(tree_salt(guest->tree));
}

static void guest_mount(struct guest *guest)
{
	char export[80];

	snprintf(export, sizeof(export), "/%s/vm", guest->tenant);
	ASSERT(raw_open_from(&guest->raw, guest->addr, host.port));
	ASSERT(raw_mount(&guest->raw, export, &guest->root) == 0);
	ASSERT(raw_walk(&guest->raw, &guest->root, "secret", &guest->secret,
			NULL) == 0);
	ASSERT(raw_walk(&guest->raw, &guest->root, "same", &guest->same,
			NULL) == 0);
}

/* --- handles ------------------------------------------------------------- */

static void test_own(void)
{
	uint8_t bytes[SECRET_LEN];

	secret_fill(&red, bytes);
	CU_ASSERT(rig_same(&red.raw, &red.secret, bytes, sizeof(bytes)));
	secret_fill(&blue, bytes);
	CU_ASSERT(rig_same(&blue.raw, &blue.secret, bytes, sizeof(bytes)));
	CU_ASSERT(rig_same(&red.raw, &red.same, same, sizeof(same)));
	CU_ASSERT(rig_same(&blue.raw, &blue.same, same, sizeof(same)));
}

static void test_mount(void)
{
	struct raw_fh root;
	struct raw raw;

	ASSERT(raw_open_from(&raw, blue.addr, host.port));
	EXPECT(raw_mount(&raw, "/red/vm", &root), S_ACCES);
	CU_ASSERT(raw_mount(&raw, "/blue/vm/../../red/vm", &root) != S_OK);
	raw_close(&raw);
}

/* Each procedure, as blue. */
static void expect_none(const struct raw_fh *fh)
{
	for (uint32_t proc = P_GETATTR; proc < P_COUNT; proc++) {
		rig_at("procedure %u", proc);
		raw_begin_any(&blue.raw, proc, fh, &blue.root, "name");
		EXPECT_ONE_OF(raw_status(&blue.raw), S_BADHANDLE, S_STALE,
			      S_ACCES);
	}
	rig_at("%s", "");
}

static void test_foreign(void)
{
	expect_none(&red.root);
	expect_none(&red.secret);
	/* Not even what it has itself. */
	expect_none(&red.same);
}

/* Parts of a handle of red's, of one of blue's, and noise: nothing is ever
 * read but what blue may read by the handle it has. */
static void test_forged(void)
{
	static const struct raw_fh *const whole[] = {
	    &red.secret, &red.same, &red.root, &blue.secret, &blue.root};
	uint8_t buf[PAGE], noise[RAW_FH_MAX], secret[SECRET_LEN];
	const char *more = getenv("FORGED");
	uint64_t count = more && *more ? strtoull(more, NULL, 10) : FORGED;
	unsigned int read = 0;
	uint32_t got;
	bool eof;

	secret_fill(&red, secret);
	for (uint64_t i = 0; i < count; i++) {
		struct raw_fh bad = *whole[i % ARRAY_LEN(whole)];
		const struct raw_fh *other = whole[i / 5 % ARRAY_LEN(whole)];

		check_fill(noise, sizeof(noise), i + 1);
		for (uint32_t at = 0; at < bad.len; at += 4)
			if (noise[at] % 3 == 1)
				memcpy(bad.bytes + at, other->bytes + at, 4);
			else if (noise[at] % 29 == 0)
				memcpy(bad.bytes + at, noise + at, 4);
		got = 0;
		if (raw_read(&blue.raw, &bad, 0, sizeof(buf), buf, &got,
			     &eof) != S_OK)
			continue;
		read++;
		CU_ASSERT(memcmp(&bad, &blue.secret, sizeof(bad)) == 0);
		CU_ASSERT(memcmp(buf, secret, MIN(got, 64u)) != 0);
	}
	printf("%ju handles forged: %u read, all of them what blue may read\n",
	       (uintmax_t)count, read);
	CU_ASSERT(read > 0);
}

/* --- digests ------------------------------------------------------------- */

/* What nobody is to see or to ask by: of both packages. */
struct part {
	uint8_t bytes[DIGEST_LEN];
};
static struct part parts[PARTS_MAX];
static unsigned int part_count;

static void parts_add(const void *bytes)
{
	ASSERT(part_count < PARTS_MAX);
	memcpy(parts[part_count++].bytes, bytes, DIGEST_LEN);
}

static void parts_of(const struct guest *guest, const uint8_t *secret)
{
	struct digest plain = digest_of(secret, SECRET_LEN);

	parts_add(tree_digest(guest->tree)->bytes);
	parts_add(tree_salt(guest->tree));
	parts_add(plain.bytes);
	for (uint32_t i = 0; i < tree_shard_count(guest->tree); i++)
		parts_add(tree_shard_name(guest->tree, i)->bytes);
}

static void test_names(void)
{
	static const char *const before[] = {"", "sha256:", ".shards/",
					     "shards/", "trees/"};
	char name[120];
	struct digest d;
	struct raw_fh fh;

	for (unsigned int i = 0; i < part_count; i++) {
		memcpy(d.bytes, parts[i].bytes, DIGEST_LEN);
		for (size_t k = 0; k < ARRAY_LEN(before); k++) {
			size_t at = strlen(before[k]);

			memcpy(name, before[k], at);
			digest_to_hex(&d, name + at);
			EXPECT(raw_walk(&blue.raw, &blue.root, name, &fh, NULL),
			       S_NOENT);
		}
		EXPECT(
		    raw_lookup_bytes(&blue.raw, &blue.root, d.bytes, 31, &fh),
		    memchr(d.bytes, '/', 31) || memchr(d.bytes, 0, 31)
			? S_INVAL
			: S_NOENT);
	}
}

static void reply_has_none(const struct raw *raw)
{
	char hex[DIGEST_HEX_LEN + 1];
	struct digest d;

	for (unsigned int i = 0; i < part_count; i++) {
		memcpy(d.bytes, parts[i].bytes, DIGEST_LEN);
		digest_to_hex(&d, hex);
		/* A half of one would do, too. */
		CU_ASSERT_PTR_NULL(memmem(raw->in, raw->in_len, d.bytes, 8));
		CU_ASSERT_PTR_NULL(memmem(raw->in, raw->in_len, hex, 16));
	}
}

/* All that the protocol tells of a guest's own package. */
static void test_replies(void)
{
	struct guest *guests[] = {&red, &blue};

	for (size_t g = 0; g < ARRAY_LEN(guests); g++) {
		struct raw *raw = &guests[g]->raw;
		const struct raw_fh *objects[] = {&guests[g]->root,
						  &guests[g]->secret};

		for (size_t o = 0; o < ARRAY_LEN(objects); o++)
			for (uint32_t proc = P_GETATTR; proc < P_COUNT;
			     proc++) {
				/* File data may be anything. */
				if (proc == P_READ || proc == P_WRITE)
					continue;
				raw_begin_any(raw, proc, objects[o],
					      &guests[g]->root, "new");
				raw_status(raw);
				reply_has_none(raw);
			}
		raw_begin(raw, RAW_MOUNT, 3, 5); /* EXPORT */
		EXPECT(raw_call(raw), 0);
		reply_has_none(raw);
		raw_begin(raw, RAW_MOUNT, 3, 2); /* DUMP */
		EXPECT(raw_call(raw), 0);
		reply_has_none(raw);
	}
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"test_own", test_own},         {"test_mount", test_mount},
	    {"test_foreign", test_foreign}, {"test_forged", test_forged},
	    {"test_names", test_names},     {"test_replies", test_replies},
	};
	uint8_t secret[SECRET_LEN];
	int rc;

	daemon_must_be_ours("has packages of ours");
	check_fill(same, sizeof(same), 13);
	daemon_init(&host);
	ASSERT(daemon_start(&host));
	guest_package(&red);
	guest_package(&blue);
	guest_tree(&red);
	guest_tree(&blue);
	guest_mount(&red);
	guest_mount(&blue);
	secret_fill(&red, secret);
	parts_of(&red, secret);
	secret_fill(&blue, secret);
	parts_of(&blue, secret);
	rc = check_main("test_apart", tests, ARRAY_LEN(tests));
	raw_close(&red.raw);
	raw_close(&blue.raw);
	tree_put(red.tree);
	tree_put(blue.tree);
	daemon_free(&host);
	return rc;
}

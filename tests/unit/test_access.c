/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_access: guests that can and cannot be told apart, and what is kept of
 * how they are.
 */
#include <stdio.h>
#include <time.h>

#include "overlay/selection.h"
#include "overlay/site.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

/* How a guest of the tables below is told apart. */
enum how { OPEN, ADDR_7, ADDR_8, LISTEN_1, LISTEN_2, SECRET, ADDR_7_SECRET };

static struct site_guest_options how_options(enum how how)
{
	static const uint8_t host[16] = {
	    [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
	struct site_guest_options options = {0};

	if (how == ADDR_7 || how == ADDR_7_SECRET)
		options.addr = "10.0.0.7";
	if (how == ADDR_8)
		options.addr = "::ffff:10.0.0.8";
	if (how == LISTEN_1 || how == LISTEN_2) {
		memcpy(options.listen.addr, host, sizeof(host));
		options.listen.port = how == LISTEN_1 ? 2051 : 2052;
	}
	options.has_secret = how == SECRET || how == ADDR_7_SECRET;
	return options;
}

static int add(struct fixture *fx, const char *name, enum how how)
{
	struct site_guest_options options = how_options(how);

	return site_guest_add(fx->site, name, &options);
}

static void test_pairs(void)
{
	static const struct {
		enum how a, b;
		int never; /* SITE_TRUST_NEVER */
	} rows[] = {
	    {OPEN, OPEN, -ENOTUNIQ},
	    {OPEN, ADDR_7, -ENOTUNIQ}, /* 10.0.0.7 could mount the open one */
	    {OPEN, LISTEN_1, -ENOTUNIQ},
	    {OPEN, SECRET, -ENOTUNIQ},
	    {ADDR_7, ADDR_8, 0},
	    {ADDR_7, ADDR_7, -ENOTUNIQ},
	    {ADDR_7, ADDR_7_SECRET,
	     -ENOTUNIQ}, /* which could mount the other */
	    {ADDR_7_SECRET, ADDR_7_SECRET, 0},
	    {ADDR_7, SECRET, 0},
	    {ADDR_7, LISTEN_1, 0},
	    {LISTEN_1, LISTEN_2, 0},
	    {LISTEN_1, SECRET, 0},
	    {SECRET, SECRET, 0},
	};
	struct fixture fx;

	fixture_open(&fx);
	ASSERT(site_tenant_create(fx.site, "red") == 0);
	ASSERT(site_tenant_create(fx.site, "blue") == 0);
	check_mute();
	for (unsigned int i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		enum how a = i % 2 ? rows[i / 2].b : rows[i / 2].a;
		enum how b = i % 2 ? rows[i / 2].a : rows[i / 2].b;
		int want = rows[i / 2].never;

		site_set_trust(fx.site, SITE_TRUST_NEVER);
		ASSERT(add(&fx, "red/a", a) == 0);
		CU_ASSERT_EQUAL(add(&fx, "blue/b", b), want);
		/* To repeat what is there is no error. */
		CU_ASSERT_EQUAL(add(&fx, "red/a", a), 0);
		if (want < 0) {
			CU_ASSERT_PTR_NULL(
			    site_view_by_path(fx.site, "/blue/b"));
			CU_ASSERT_EQUAL(add(&fx, "red/b", b), -ENOTUNIQ);
			site_set_trust(fx.site, SITE_TRUST_TENANT);
			CU_ASSERT_EQUAL(add(&fx, "blue/b", b), -ENOTUNIQ);
			CU_ASSERT_EQUAL(add(&fx, "red/b", b), 0);
			site_set_trust(fx.site, SITE_TRUST_ALWAYS);
			CU_ASSERT_EQUAL(
			    site_guest_remove(fx.site, "red/b", true), 0);
			CU_ASSERT_EQUAL(add(&fx, "blue/b", b), 0);
		}
		site_set_trust(fx.site, SITE_TRUST_ALWAYS);
		CU_ASSERT_EQUAL(site_guest_remove(fx.site, "red/a", true), 0);
		if (site_view_by_path(fx.site, "/blue/b"))
			CU_ASSERT_EQUAL(
			    site_guest_remove(fx.site, "blue/b", true), 0);
	}
	check_unmute();
	fixture_close(&fx);
}

/* One address and port is one guest's, however trusted they are. */
static void test_same_listener(void)
{
	struct fixture fx;

	fixture_open(&fx);
	ASSERT(site_tenant_create(fx.site, "red") == 0);
	ASSERT(add(&fx, "red/a", LISTEN_1) == 0);
	check_mute();
	CU_ASSERT_EQUAL(add(&fx, "red/b", LISTEN_1), -ENOTUNIQ);
	check_unmute();
	CU_ASSERT_EQUAL(add(&fx, "red/b", LISTEN_2), 0);
	fixture_close(&fx);
}

static struct site_access access_of(struct fixture *fx, const char *path)
{
	struct view *view = fixture_view(fx, path);
	struct site_access access;

	ASSERT(site_access(fx->site, view_get_info(view)->export_id, &access));
	CU_ASSERT_EQUAL(access.export_id, view_get_info(view)->export_id);
	return access;
}

static void test_kept(void)
{
	struct site_guest_options other = how_options(ADDR_8);
	struct site_secret secret, again;
	struct site_access access;
	struct fixture fx;

	fixture_open(&fx);
	ASSERT(site_tenant_create(fx.site, "red") == 0);
	ASSERT(add(&fx, "red/addr", ADDR_8) == 0);
	ASSERT(add(&fx, "red/listen", LISTEN_2) == 0);
	ASSERT(add(&fx, "red/secret", ADDR_7_SECRET) == 0);
	ASSERT(site_guest_secret(fx.site, "red/secret", &secret) == 0);
	for (int i = 0; i < 2; i++) {
		access = access_of(&fx, "/red/addr");
		CU_ASSERT_STRING_EQUAL(access.addr, "10.0.0.8");
		CU_ASSERT_FALSE(access.has_secret);
		CU_ASSERT_EQUAL(access.listen.port, 0);
		access = access_of(&fx, "/red/listen");
		CU_ASSERT_EQUAL(access.listen.port, 2052);
		CU_ASSERT_EQUAL(access.listen.addr[12], 10);
		access = access_of(&fx, "/red/secret");
		CU_ASSERT_TRUE(access.has_secret);
		CU_ASSERT_EQUAL(
		    site_guest_secret(fx.site, "red/secret", &again), 0);
		CU_ASSERT_EQUAL(memcmp(&secret, &again, sizeof(secret)), 0);
		CU_ASSERT_PTR_EQUAL(site_view_by_secret(fx.site, &secret),
				    fixture_view(&fx, "/red/secret"));
		CU_ASSERT_EQUAL(site_guest_secret(fx.site, "red/addr", &again),
				-ENOENT);
		fixture_restart(&fx, true);
	}
	/* No guest without a secret answers to none. */
	memset(&again, 0, sizeof(again));
	CU_ASSERT_PTR_NULL(site_view_by_secret(fx.site, &again));
	again = secret;
	again.bytes[15] ^= 1;
	CU_ASSERT_PTR_NULL(site_view_by_secret(fx.site, &again));

	CU_ASSERT_EQUAL(
	    site_guest_set_access(fx.site, "red/secret", &other, false), 0);
	CU_ASSERT_PTR_NULL(site_view_by_secret(fx.site, &secret));
	fixture_restart(&fx, true);
	CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/secret").addr, "10.0.0.8");
	CU_ASSERT_FALSE(access_of(&fx, "/red/secret").has_secret);
	fixture_close(&fx);
}

static void test_set(void)
{
	struct site_guest_options options = how_options(SECRET);
	struct site_secret first, second;
	struct fixture fx;

	fixture_open(&fx);
	ASSERT(site_tenant_create(fx.site, "red") == 0);
	site_set_trust(fx.site, SITE_TRUST_NEVER);
	ASSERT(add(&fx, "red/a", SECRET) == 0);
	ASSERT(add(&fx, "red/b", ADDR_7) == 0);
	ASSERT(site_guest_secret(fx.site, "red/a", &first) == 0);
	/* The one it has stays, unless a fresh one is asked for. */
	CU_ASSERT_EQUAL(
	    site_guest_set_access(fx.site, "red/a", &options, false), 0);
	ASSERT(site_guest_secret(fx.site, "red/a", &second) == 0);
	CU_ASSERT_EQUAL(memcmp(&first, &second, sizeof(first)), 0);
	CU_ASSERT_EQUAL(site_guest_set_access(fx.site, "red/a", &options, true),
			0);
	ASSERT(site_guest_secret(fx.site, "red/a", &second) == 0);
	CU_ASSERT_NOT_EQUAL(memcmp(&first, &second, sizeof(first)), 0);
	check_mute();
	options = how_options(ADDR_7);
	CU_ASSERT_EQUAL(
	    site_guest_set_access(fx.site, "red/a", &options, false),
	    -ENOTUNIQ);
	options = how_options(OPEN);
	CU_ASSERT_EQUAL(
	    site_guest_set_access(fx.site, "red/b", &options, false),
	    -ENOTUNIQ);
	CU_ASSERT_EQUAL(
	    site_guest_set_access(fx.site, "red/none", &options, false),
	    -ENOENT);
	options.addr = "nonsense";
	CU_ASSERT_EQUAL(
	    site_guest_set_access(fx.site, "red/b", &options, false), -EINVAL);
	check_unmute();
	CU_ASSERT_TRUE(access_of(&fx, "/red/a").has_secret);
	CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/b").addr, "10.0.0.7");
	fixture_close(&fx);
}

/* Formats 1 and 2 are records of guests that nothing but an address tells
 * apart. */
static void test_formats(void)
{
	struct guest_record record = {.export_id = 7,
				      .layer = 3,
				      .addr = "10.0.0.7",
				      .quota = {1 << 20, 9},
				      .since = {5, 6},
				      .listen = {{1, 2}, 2051},
				      .secret = {{1}}},
			    read;
	uint8_t value[RECORD_KEY_MAX];
	size_t len = guest_encode(&record, value);

	CU_ASSERT_EQUAL(value[0], 3);
	CU_ASSERT_EQUAL(guest_decode(value, len, &read), 0);
	CU_ASSERT_EQUAL(read.listen.port, 2051);
	CU_ASSERT_EQUAL(
	    memcmp(&read.listen, &record.listen, sizeof(read.listen)), 0);
	CU_ASSERT_EQUAL(
	    memcmp(&read.secret, &record.secret, sizeof(read.secret)), 0);
	value[0] = 2;
	CU_ASSERT_EQUAL(guest_decode(value, len - 34, &read), 0);
	CU_ASSERT_EQUAL(read.listen.port, 0);
	CU_ASSERT_EQUAL(read.secret.bytes[0], 0);
	CU_ASSERT_EQUAL(read.quota.files, 9);
	check_mute();
	CU_ASSERT_EQUAL(guest_decode(value, len, &read), -EBADMSG);
	value[0] = 3;
	CU_ASSERT_EQUAL(guest_decode(value, len - 1, &read), -EBADMSG);
	value[0] = 4;
	CU_ASSERT_EQUAL(guest_decode(value, len, &read), -EPROTONOSUPPORT);
	check_unmute();
	value[0] = 1;
	CU_ASSERT_EQUAL(guest_decode(value, len - 34 - 28, &read), 0);
	CU_ASSERT_EQUAL(read.quota.files, 0);
	CU_ASSERT_STRING_EQUAL(read.addr, "10.0.0.7");
}

/* A file of thousands of guests (vdrive apply) is checked while guests'
 * look-ups wait: the time must not be of each guest, times each wish, twice. */
static void test_many_wishes(void)
{
#ifdef __SANITIZE_THREAD__
	enum { GUESTS = 40, WISHES = 6000, LIMIT_S = 60 };
#else
	enum { GUESTS = 40, WISHES = 6000, LIMIT_S = 3 };
#endif
	CLEANUP_FREE struct site_guest_wish *wishes =
	    calloc(WISHES, sizeof(*wishes));
	CLEANUP_FREE char(*names)[32] = calloc(WISHES, sizeof(*names));
	struct fixture fx;
	clock_t start;

	fixture_open(&fx);
	site_set_trust(fx.site, SITE_TRUST_NEVER);
	ASSERT(wishes && names && site_tenant_create(fx.site, "red") == 0);
	for (unsigned int i = 0; i < WISHES; i++) {
		snprintf(names[i], sizeof(names[i]), "red/guest-%05u", i);
		wishes[i] = (struct site_guest_wish){
		    .name = names[i], .options = how_options(SECRET)};
	}
	for (unsigned int i = 0; i < GUESTS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "red/old-%u", i);
		ASSERT(add(&fx, name, ADDR_7_SECRET) == 0);
	}
	start = clock();
	CU_ASSERT_EQUAL(site_guests_check(fx.site, wishes, WISHES), 0);
	CU_ASSERT((clock() - start) / CLOCKS_PER_SEC < LIMIT_S);
	/* One that nobody wishes other still counts. */
	wishes[WISHES - 1].options = how_options(ADDR_7);
	check_mute();
	CU_ASSERT_EQUAL(site_guests_check(fx.site, wishes, WISHES), -ENOTUNIQ);
	check_unmute();
	fixture_close(&fx);
}

static struct site_guest_wish wish_of(const char *name, enum how how)
{
	return (struct site_guest_wish){.name = name,
					.options = how_options(how)};
}

/* What two, or three, cannot do one after the other they can at once. */
static void test_places(void)
{
	struct site_guest_wish wishes[4];
	struct site_secret first, second;
	struct site_access a;
	struct fixture fx;

	fixture_open(&fx);
	ASSERT(site_tenant_create(fx.site, "red") == 0);
	site_set_trust(fx.site, SITE_TRUST_NEVER);
	ASSERT(add(&fx, "red/a", ADDR_7) == 0);
	ASSERT(add(&fx, "red/b", ADDR_8) == 0);
	ASSERT(add(&fx, "red/l", LISTEN_1) == 0);
	ASSERT(add(&fx, "red/s", SECRET) == 0);
	ASSERT(site_guest_secret(fx.site, "red/s", &first) == 0);
	wishes[0] = wish_of("red/a", ADDR_8);
	wishes[1] = wish_of("red/b", ADDR_7);
	check_mute();
	CU_ASSERT_EQUAL(
	    site_guest_set_access(fx.site, "red/a", &wishes[0].options, false),
	    -ENOTUNIQ);
	check_unmute();
	CU_ASSERT_EQUAL(site_guests_set_access(fx.site, wishes, 2), 0);
	CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/a").addr, "10.0.0.8");
	CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/b").addr, "10.0.0.7");
	/* a -> l -> b -> a; the secret of the fourth stays. */
	wishes[0] = wish_of("red/a", LISTEN_1);
	wishes[1] = wish_of("red/l", ADDR_7);
	wishes[2] = wish_of("red/b", ADDR_8);
	wishes[3] = wish_of("red/s", SECRET);
	CU_ASSERT_EQUAL(site_guests_set_access(fx.site, wishes, 4), 0);
	for (int i = 0; i < 2; i++) {
		a = access_of(&fx, "/red/a");
		CU_ASSERT_EQUAL(a.listen.port, 2051);
		CU_ASSERT_STRING_EQUAL(a.addr, "");
		CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/l").addr,
				       "10.0.0.7");
		CU_ASSERT_EQUAL(access_of(&fx, "/red/l").listen.port, 0);
		CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/b").addr,
				       "10.0.0.8");
		ASSERT(site_guest_secret(fx.site, "red/s", &second) == 0);
		CU_ASSERT_EQUAL(memcmp(&first, &second, sizeof(first)), 0);
		fixture_crash(&fx, NULL);
	}
	fixture_close(&fx);
}

/* All or none, whichever of them it is that cannot be. */
static void test_places_refused(void)
{
	struct site_guest_wish wishes[3];
	const struct {
		struct site_guest_wish last;
		int rc;
	} rows[] = {
	    {wish_of("red/c", ADDR_7), -ENOTUNIQ},   /* as is wished for b */
	    {wish_of("red/c", LISTEN_1), -ENOTUNIQ}, /* which d has */
	    {wish_of("red/c", OPEN), -ENOTUNIQ},
	    {wish_of("red/none", SECRET), -ENOENT},
	    {wish_of("red/b", ADDR_7), -EINVAL}, /* a second time */
	    {{.name = "red/c", .options.addr = "10.0.0"}, -EINVAL},
	    {{.name = "red/c", .gone = true}, -EINVAL},
	};
	struct fixture fx;

	fixture_open(&fx);
	ASSERT(site_tenant_create(fx.site, "red") == 0);
	ASSERT(add(&fx, "red/a", ADDR_7) == 0);
	ASSERT(add(&fx, "red/b", ADDR_8) == 0);
	ASSERT(add(&fx, "red/c", SECRET) == 0);
	ASSERT(add(&fx, "red/d", LISTEN_1) == 0);
	wishes[0] = wish_of("red/a", ADDR_8);
	wishes[1] = wish_of("red/b", ADDR_7);
	check_mute();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* The first two alone would do. */
		bool same_name = strcmp(rows[i].last.name, "red/b") == 0;

		site_set_trust(fx.site, same_name ? SITE_TRUST_ALWAYS
						  : SITE_TRUST_NEVER);
		wishes[2] = rows[i].last;
		CU_ASSERT_EQUAL(site_guests_set_access(fx.site, wishes, 3),
				rows[i].rc);
		CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/a").addr,
				       "10.0.0.7");
		CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/b").addr,
				       "10.0.0.8");
		CU_ASSERT_TRUE(access_of(&fx, "/red/c").has_secret);
	}
	check_unmute();
	CU_ASSERT_EQUAL(site_guests_set_access(fx.site, NULL, 0), 0);
	fixture_crash(&fx, NULL);
	CU_ASSERT_STRING_EQUAL(access_of(&fx, "/red/a").addr, "10.0.0.7");
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"two guests that can and cannot be told apart", test_pairs},
    {"an address and port is one guest's", test_same_listener},
    {"kept over a restart", test_kept},
    {"changed", test_set},
    {"formats of the record", test_formats},
    {"many wishes", test_many_wishes},
    {"guests change places", test_places},
    {"guests change places, refused", test_places_refused},
};

int main(void)
{
	return check_main("test_access", tests, ARRAY_LEN(tests));
}

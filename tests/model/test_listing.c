/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_listing: a listing stays exact while its directory changes (promise
 * P-06, rules N-22 to N-24, N-28): half of the names are the package's and half
 * the delta's; two connections list without end, by pages of 512 bytes to
 * 64 KiB, two others create, remove and rename every second name as fast as
 * they can, and the server is killed and started again once.  Each name that
 * lives throughout must come exactly once in each listing.  What did not get
 * its answer when the server died is sent again and must succeed.
 *
 * NAMES=N names (20,000), LISTINGS=N listings by each lister (10).  HASH6=1 is
 * for a server with names of 6 bits of hash ($B/hash6): 44 names, since a chain
 * of ties has at most 64.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/nfsrig.h"

enum {
	LISTING_NAMES = 20000,
	LISTING_NAMES_HASH6 = 44,
	LISTING_TIMES = 10,
	LISTING_TIMES_HASH6 = 3000,
	LISTING_MAX = 1000000, /* names */
	LISTERS = 2,
	CHANGERS = 2,
	COOKIE_HASH6_TOP = 1 << 8, /* 6 bits, and a chain */
};

static struct rig rig;
static struct raw_fh dir;
static unsigned int names_count, listings_count;
static bool hash6;
static atomic_uint listings_done, restarts;
static atomic_bool stop;

static unsigned int listing_env(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);

	return text && *text ? (unsigned int)strtoul(text, NULL, 10)
			     : otherwise;
}

/* The first half is in the package; of both halves every second one lives
 * throughout. */
static void listing_name(unsigned int i, bool alias, char name[32])
{
	snprintf(name, 32, "%s%07u", alias ? "alias of " : "n", i);
}

static bool listing_lives(unsigned int i)
{
	return i % 2 == 0;
}

static void listing_package(const char *path)
{
	char name[32], full[64];

	rig_host_dir(path, "many", 0777);
	for (unsigned int i = 0; i < names_count / 2; i++) {
		listing_name(i, false, name);
		snprintf(full, sizeof(full), "many/%s", name);
		rig_host_file(path, full, 0644, name, 4);
	}
}

/* --- what a listing has brought ------------------------------------------ */

struct tally {
	uint8_t *seen; /* owns; a count by name, aliases behind */
	uint64_t last_cookie;
	unsigned int dots, strange, doubled, disorder;
};

static void tally_begin(struct tally *tally)
{
	uint8_t *seen = tally->seen;

	if (!seen)
		seen = malloc(2 * (size_t)names_count);
	ASSERT(seen);
	memset(seen, 0, 2 * (size_t)names_count);
	*tally = (struct tally){.seen = seen};
}

static void tally_free(struct tally *tally)
{
	free(STEAL(tally->seen));
}

static void tally_add(struct tally *tally, const struct raw_entry *entry)
{
	const char *name = entry->name;
	bool alias = strncmp(name, "alias of ", 9) == 0;
	unsigned long i = strtoul(name + (alias ? 9 : 1), NULL, 10);
	char again[32];

	tally->disorder += entry->cookie <= tally->last_cookie;
	tally->last_cookie = entry->cookie;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		tally->dots++;
		return;
	}
	listing_name((unsigned int)i, alias, again);
	if (i >= names_count || strcmp(again, name) != 0) {
		tally->strange++;
		return;
	}
	/* With ties a name that comes back may stand at a later cookie. */
	if (tally->seen[alias * names_count + i]++ > 0)
		tally->doubled += !hash6 || (!alias && listing_lives(i));
}

/* Of the names that live throughout. */
static unsigned int tally_missing(const struct tally *tally)
{
	unsigned int missing = 0;

	for (unsigned int i = 0; i < names_count; i++)
		missing += listing_lives(i) && tally->seen[i] == 0;
	return missing;
}

/* --- connections that outlive the server --------------------------------- */

static void nap_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

/* Close (fd -1: nothing yet), connect, mount.  xid: of the next call. */
static void reconnect(struct raw *raw, uint32_t xid)
{
	uint64_t begin = check_now_ns();
	struct raw_fh root;

	for (;;) {
		raw_close(raw);
		if (raw_open(raw, NULL, rig.daemon.port)) {
			raw->xid = xid + 0x40000000u; /* MNT's own */
			if (raw_mount(raw, "/t/g", &root) == S_OK)
				break;
		}
		ASSERT(check_now_ns() - begin < 20000000000ull);
		nap_ms(5);
	}
	raw->xid = xid - 1;
}

static bool is_lost(int rc)
{
	return rc == RAW_CLOSED || rc == RAW_TIMEOUT;
}

/* --- listers ------------------------------------------------------------- */

struct lister {
	pthread_t thread;
	int number;
	struct raw raw;
	struct tally tally;
	unsigned int listings, missing, doubled, dots, strange, disorder;
	unsigned int errors, reconnects;
	int error; /* the last one */
	uint64_t pages, changes_begin;
};

static uint32_t lister_size(struct lister *l, uint64_t dice)
{
	static const uint32_t sizes[] = {512, 700, 1024, 4096, 8192, 65536};

	/* Each third listing keeps to the smallest pages. */
	if (l->listings % 3 == 0)
		return l->number ? 1024 : 512;
	/* READDIRPLUS needs more for an entry. */
	return MAX(sizes[dice % ARRAY_LEN(sizes)], l->number ? 1024u : 512u);
}

/* false: an error that is none of the connection's. */
static bool lister_page(struct lister *l, struct raw_listing *page)
{
	uint64_t cookie = l->tally.last_cookie, dice;
	uint32_t size;
	int rc;

	check_fill(&dice, sizeof(dice), ++l->pages * 2 + 1);
	size = lister_size(l, dice);
	for (;;) {
		uint32_t xid = l->raw.xid + 1;

		page->count = 0;
		rc = raw_readdir(&l->raw, &dir, l->number == 1, cookie, size,
				 page);
		if (!is_lost(rc))
			break;
		l->reconnects++;
		reconnect(&l->raw, xid);
	}
	if (rc != S_OK || (page->count == 0 && !page->eof)) {
		l->error = rc;
		l->errors++;
		return false;
	}
	for (size_t i = 0; i < page->count; i++)
		tally_add(&l->tally, &page->entries[i]);
	return true;
}

static bool lister_list(struct lister *l)
{
	CLEANUP(raw_listing_free) struct raw_listing page = {0};
	struct tally *t = &l->tally;

	tally_begin(t);
	do
		if (!lister_page(l, &page))
			return false;
	while (!page.eof);
	l->missing += tally_missing(t);
	l->doubled += t->doubled;
	l->dots += t->dots != 2;
	l->strange += t->strange;
	l->disorder += t->disorder;
	if (hash6 && t->last_cookie > COOKIE_HASH6_TOP)
		l->strange++; /* it is no such server */
	l->listings++;
	return true;
}

static void *lister_main(void *arg)
{
	struct lister *l = arg;

	while (l->listings < listings_count) {
		if (!lister_list(l))
			break;
		atomic_fetch_add(&listings_done, 1);
	}
	return NULL;
}

/* --- changers ------------------------------------------------------------ */

enum place { PLACE_NAME, PLACE_ALIAS, PLACE_NONE };
struct changer {
	pthread_t thread;
	int number;
	struct raw raw;
	uint8_t *where; /* enum place, by name; borrows */
	uint64_t dice, changes, full;
	unsigned int errors, resent;
	int error;
};

/* One random change of name i; *to is where it is then. */
static void changer_begin(struct changer *c, unsigned int i, uint64_t dice,
			  enum place *to)
{
	enum place from = (enum place)c->where[i];
	char name[32], other[32];

	listing_name(i, from == PLACE_ALIAS, name);
	listing_name(i, from != PLACE_ALIAS, other);
	if (from == PLACE_NONE) {
		*to = dice % 2 ? PLACE_NAME : PLACE_ALIAS;
		listing_name(i, *to == PLACE_ALIAS, name);
		raw_begin_create(&c->raw, &dir, name, 1, 0644);
	} else if (dice % 2) {
		*to = PLACE_NONE;
		raw_begin_remove(&c->raw, &dir, name, false);
	} else {
		*to = from == PLACE_NAME ? PLACE_ALIAS : PLACE_NAME;
		raw_begin_rename(&c->raw, &dir, name, &dir, other);
	}
}

static void changer_step(struct changer *c)
{
	uint64_t dice;
	enum place to;
	unsigned int i;
	int rc;

	check_fill(&dice, sizeof(dice), ++c->dice * 2 + (uint64_t)c->number);
	/* An odd name of its own. */
	i = (unsigned int)(dice >> 16) % (names_count / 4) * 4 + 1 +
	    2 * (unsigned int)c->number;
	for (;;) {
		changer_begin(c, i, dice, &to);
		rc = raw_status(&c->raw);
		if (!is_lost(rc))
			break;
		c->resent++;
		reconnect(&c->raw, c->raw.xid);
	}
	if (rc == S_OK) {
		c->where[i] = (uint8_t)to;
		c->changes++;
	} else if (rc == S_NOSPC && hash6) {
		c->full++;
	} else {
		c->errors++;
		c->error = rc;
	}
}

static void *changer_main(void *arg)
{
	struct changer *c = arg;

	while (!atomic_load(&stop) && c->errors < 10)
		changer_step(c);
	return NULL;
}

/* --- together ------------------------------------------------------------ */

static void listing_fill(void)
{
	char name[32];

	for (unsigned int i = names_count / 2; i < names_count; i++) {
		struct raw_fh fh;

		listing_name(i, false, name);
		ASSERT(raw_create(&rig.raw, &dir, name, 1, 0644, &fh, NULL) ==
		       S_OK);
	}
}

/* When nothing changes any more: exactly what must be there. */
static void listing_final(const uint8_t *where)
{
	for (int plus = 0; plus < 2; plus++) {
		struct lister l = {
		    .number = plus, .raw = {.fd = -1}, .listings = 1};
		unsigned int wrong = 0;

		reconnect(&l.raw, 0x30000000u + (uint32_t)plus * 0x100000u);
		EXPECT(lister_list(&l), true);
		for (unsigned int i = 0; i < names_count; i++)
			wrong +=
			    (l.tally.seen[i] > 0) != (where[i] == PLACE_NAME) ||
			    (l.tally.seen[names_count + i] > 0) !=
				(where[i] == PLACE_ALIAS);
		EXPECT(wrong, 0);
		EXPECT(l.missing + l.doubled + l.dots + l.strange, 0);
		tally_free(&l.tally);
		raw_close(&l.raw);
	}
}

static void listing_restart(void)
{
	unsigned int half = listings_count * LISTERS / 2;

	while (atomic_load(&listings_done) < half && daemon_lives(&rig.daemon))
		nap_ms(1);
	daemon_kill(&rig.daemon);
	ASSERT(daemon_start(&rig.daemon));
	atomic_fetch_add(&restarts, 1);
}

static void listing_judge(const struct lister *listers,
			  const struct changer *changers, double seconds)
{
	uint64_t changes = 0, pages = 0;

	for (int i = 0; i < LISTERS; i++) {
		const struct lister *l = &listers[i];

		rig_at("lister %d", i);
		EXPECT(l->listings, listings_count);
		EXPECT(l->missing, 0);
		EXPECT(l->doubled, 0);
		EXPECT(l->dots, 0);
		EXPECT(l->strange, 0);
		EXPECT(l->disorder, 0);
		EXPECT(l->errors, 0);
		EXPECT(l->error, 0);
		pages += l->pages;
	}
	for (int i = 0; i < CHANGERS; i++) {
		rig_at("changer %d", i);
		EXPECT(changers[i].errors, 0);
		EXPECT(changers[i].error, 0);
		changes += changers[i].changes;
	}
	rig_at("%s", "");
	/* It was no quiet directory. */
	CU_ASSERT(changes > 100 * (uint64_t)CHANGERS);
	printf("%u names, %u listings in %llu pages, %llu changes (%.0f/s, "
	       "%llu without room), %u restart, calls sent again %u, %.1f s\n",
	       names_count, listers[0].listings + listers[1].listings,
	       (unsigned long long)pages, (unsigned long long)changes,
	       (double)changes / seconds,
	       (unsigned long long)(changers[0].full + changers[1].full),
	       atomic_load(&restarts),
	       changers[0].resent + changers[1].resent + listers[0].reconnects +
		   listers[1].reconnects,
	       seconds);
}

static void t_P_06_listing(void)
{
	static struct lister listers[LISTERS];
	static struct changer changers[CHANGERS];
	CLEANUP_FREE uint8_t *where = calloc(1, names_count);
	uint64_t begin;

	ASSERT(where);
	dir = rig_walk(&rig, &rig.root, "many");
	listing_fill();
	begin = check_now_ns();
	for (int i = 0; i < CHANGERS; i++) {
		struct changer *c = &changers[i];

		*c = (struct changer){
		    .number = i, .raw = {.fd = -1}, .where = where};
		reconnect(&c->raw, 0x10000000u * (uint32_t)(i + 1));
		pthread_create(&c->thread, NULL, changer_main, c);
	}
	for (int i = 0; i < LISTERS; i++) {
		struct lister *l = &listers[i];

		*l = (struct lister){.number = i, .raw = {.fd = -1}};
		reconnect(&l->raw, 0x8000000u * (uint32_t)(i + 1));
		pthread_create(&l->thread, NULL, lister_main, l);
	}
	listing_restart();
	for (int i = 0; i < LISTERS; i++)
		pthread_join(listers[i].thread, NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < CHANGERS; i++)
		pthread_join(changers[i].thread, NULL);
	listing_judge(listers, changers,
		      (double)(check_now_ns() - begin) / 1e9);
	listing_final(where);
	for (int i = 0; i < LISTERS; i++) {
		tally_free(&listers[i].tally);
		raw_close(&listers[i].raw);
	}
	for (int i = 0; i < CHANGERS; i++)
		raw_close(&changers[i].raw);
}

/* The check itself: one name less, one twice, one out of order are seen. */
static void test_tally(void)
{
	struct raw_entry entry = {.cookie = 0};
	struct tally t = {NULL, 0, 0, 0, 0, 0};

	for (int what = 0; what < 4; what++) {
		tally_begin(&t);
		for (unsigned int i = 0; i < names_count; i++) {
			listing_name(i, false, entry.name);
			entry.cookie = 3 + 2 * (uint64_t)i;
			if (what != 1 || i != 10)
				tally_add(&t, &entry);
			if (what == 2 && i == 10)
				tally_add(&t, &entry);
			if (what == 3 && i == 10) {
				entry.name[0] = 'm';
				tally_add(&t, &entry);
			}
		}
		EXPECT(tally_missing(&t), what == 1);
		EXPECT(t.doubled, what == 2);
		EXPECT(t.disorder, what >= 2);
		EXPECT(t.strange, what == 3);
	}
	tally_free(&t);
}

static void test_end(void)
{
	rig_ends_well(&rig);
}

static const struct check_test tests[] = {
    {"the check itself", test_tally},
    {"P-06 listing while names change", t_P_06_listing},
    {"the end", test_end},
};

int main(void)
{
	int rc;

	hash6 = listing_env("HASH6", 0);
	names_count =
	    listing_env("NAMES", hash6 ? LISTING_NAMES_HASH6 : LISTING_NAMES);
	/* Whole groups of: lives, changer 0's, lives, changer 1's. */
	names_count = MIN(names_count, LISTING_MAX) / 4 * 4;
	listings_count = listing_env("LISTINGS", hash6 ? LISTING_TIMES_HASH6
						       : LISTING_TIMES);
	/* The names are what is tried here, not the disk's syncs. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	rig_open_with(&rig, listing_package);
	rc = check_main(hash6 ? "test_listing_hash6" : "test_listing", tests,
			ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}

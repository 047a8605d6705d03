/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_view_threads: one view, used by many threads at once: readers, writers,
 * renamers, listings, commits, and a selection that changes under them.  Worth
 * most with SAN=thread.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum {
	TEST_BIG_LEN = 300000,
	TEST_FILE_LEN = 60000,
	TEST_ROUNDS = 60,
	TEST_WRITERS = 2,
	TEST_NAMES = 10,
};

static const struct fixture_entry test_entries[] = {
    {"lib/big", S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
    {"lib/w0", S_IFREG | 0644, .len = TEST_FILE_LEN, .seed = 2},
    {"lib/w1", S_IFREG | 0644, .len = TEST_FILE_LEN, .seed = 3},
    {"x", S_IFDIR | 0755, .len = 0},
    {"y", S_IFDIR | 0755, .len = 0},
};
static const struct fixture_entry test_more[] = {
    {"lib/more", S_IFREG | 0644, .len = 1000, .seed = 4},
    {"more", S_IFDIR | 0755, .len = 0},
};

struct test {
	struct fixture fx;
	struct view *view;
	struct package_info packages[2];
	atomic_bool stop;
	atomic_uint wrong; /* asserts of CUnit are for one thread */
};
struct test_thread {
	pthread_t thread;
	struct test *t;
	unsigned int number;
	uint8_t *data; /* owns: what the writer's file should be */
};

static void test_want(struct test *t, bool right, int line)
{
	if (right)
		return;
	t->wrong++;
	fprintf(stderr, "line %d\n", line);
}
#define WANT(cond) test_want(t, cond, __LINE__)

static void *test_reader(void *arg)
{
	struct test *t = ((struct test_thread *)arg)->t;
	CLEANUP_FREE uint8_t *want = malloc(TEST_BIG_LEN);
	CLEANUP_FREE uint8_t *got = malloc(TEST_BIG_LEN);
	struct view_object big = fixture_find(t->view, "lib/big");

	check_fill(want, TEST_BIG_LEN, 1);
	for (size_t i = 0; !t->stop; i++) {
		size_t off = i * 7919 % TEST_BIG_LEN, len = 50000;

		WANT(fixture_read(t->view, &fixture_user, big, off, got, &len,
				  NULL) == 0);
		WANT(len == MIN(50000, TEST_BIG_LEN - off));
		WANT(memcmp(got, want + off, len) == 0);
	}
	return NULL;
}

/* Its own file: overwrites, cuts, commits, and looks at it. */
static void *test_writer(void *arg)
{
	struct test_thread *self = arg;
	struct test *t = self->t;
	CLEANUP_FREE uint8_t *got = malloc(2 * TEST_FILE_LEN);
	char path[16];
	struct view_object obj;
	size_t size = TEST_FILE_LEN;

	snprintf(path, sizeof(path), "lib/w%u", self->number);
	obj = fixture_find(t->view, path);
	for (size_t i = 0; i < TEST_ROUNDS; i++) {
		size_t off = i * 7919 % 50000, len = i * 131 % 9000 + 1;
		bool eof;

		check_fill(self->data + off, len, i);
		WANT(fixture_write(t->view, &fixture_root, obj, off,
				   self->data + off, len, i % 4 == 0,
				   NULL) == 0);
		size = MAX(size, off + len);
		if (i % 5 == 0)
			WANT(fixture_commit(t->view, obj) == 0);
		if (i % 7 == 0) {
			size_t cut = i * 977 % 60000;

			if (cut < size)
				memset(self->data + cut, 0, size - cut);
			size = cut;
			WANT(fixture_resize(t->view, obj, size) == 0);
		}
		len = 2 * TEST_FILE_LEN;
		WANT(fixture_read(t->view, &fixture_root, obj, 0, got, &len,
				  &eof) == 0);
		WANT(len == size && eof);
		WANT(memcmp(got, self->data, len) == 0);
	}
	WANT(fixture_commit(t->view, obj) == 0);
	WANT(fixture_resize(t->view, obj, TEST_FILE_LEN) == 0);
	memset(self->data + MIN(size, TEST_FILE_LEN), 0,
	       TEST_FILE_LEN - MIN(size, TEST_FILE_LEN));
	return NULL;
}

/* Moves names about in two directories that another thread uses as well. */
static void *test_renamer(void *arg)
{
	struct test_thread *self = arg;
	struct test *t = self->t;
	struct view_object dirs[] = {fixture_find(t->view, "x"),
				     fixture_find(t->view, "y")};

	for (unsigned int i = 0; i < TEST_ROUNDS; i++) {
		char from[8], to[8];
		int rc;

		snprintf(from, sizeof(from), "n%u",
			 (i + self->number) % TEST_NAMES);
		snprintf(to, sizeof(to), "n%u", i * 7 % TEST_NAMES);
		rc = fixture_touch(t->view, &fixture_root, dirs[i % 2], from,
				   0644, NULL);
		WANT(rc == 0 || rc == -EEXIST);
		rc = fixture_rename(t->view, &fixture_root, dirs[i % 2], from,
				    dirs[i / 2 % 2], to, NULL);
		WANT(rc == 0 || rc == -ENOENT);
		rc = fixture_remove(t->view, &fixture_root, dirs[0], to, NULL);
		WANT(rc == 0 || rc == -ENOENT);
	}
	return NULL;
}

static void *test_lister(void *arg)
{
	struct test *t = ((struct test_thread *)arg)->t;

	while (!t->stop) {
		CLEANUP(fixture_list_clear)
		struct fixture_list list = {.page = 3, .want_attr = true};

		WANT(fixture_list(t->view, &fixture_user,
				  fixture_find(t->view, "y"), 0, &list) == 0);
		for (size_t i = 2; i < list.count; i++)
			WANT(fixture_list_find(&list, list.entries[i].name) ==
			     &list.entries[i]);
		WANT(fixture_attr(t->view, "lib").nlink == 2);
		WANT(site_view_by_path(t->fx.site, "/red/vm1") == t->view);
	}
	return NULL;
}

static int test_guest_seen(void *ctx, const struct site_guest_info *info)
{
	*(unsigned int *)ctx += info->delta_bytes < 1 << 30;
	return 0;
}

static void *test_operator(void *arg)
{
	struct test *t = ((struct test_thread *)arg)->t;

	for (unsigned int i = 0; i < 12; i++) {
		struct site_guest_options options = {0};
		unsigned int seen = 0;
		uint32_t generation;
		char name[16];

		WANT(site_tenant_assign(t->fx.site, "red", t->packages,
					1 + i % 2, false, NULL, NULL,
					&generation) == 0);
		snprintf(name, sizeof(name), "red/more%u", i);
		WANT(site_guest_add(t->fx.site, name, &options) == 0);
		WANT(site_guest_list(t->fx.site, test_guest_seen, &seen) == 0);
		WANT(seen == i + 2);
		WANT(site_view_by_path(t->fx.site, "/red/vm1") == t->view);
	}
	return NULL;
}

static void test_start(struct test *t, struct test_thread *thread,
		       unsigned int number, void *(*run)(void *))
{
	*thread = (struct test_thread){.t = t, .number = number};
	if (run == test_writer) {
		thread->data = calloc(1, 2 * TEST_FILE_LEN);
		ASSERT(thread->data);
		check_fill(thread->data, TEST_FILE_LEN, number + 2);
	}
	ASSERT(pthread_create(&thread->thread, NULL, run, thread) == 0);
}

static void test_all(void)
{
	struct test_thread writers[TEST_WRITERS], endless[3], others[3];
	struct test t = {.stop = false};

	fixture_open(&t.fx);
	fixture_package(&t.fx, "p", "1", test_entries, ARRAY_LEN(test_entries),
			&t.packages[0]);
	fixture_package(&t.fx, "more", "1", test_more, ARRAY_LEN(test_more),
			&t.packages[1]);
	t.view = fixture_guest(&t.fx, t.packages, 1);
	for (unsigned int i = 0; i < TEST_WRITERS; i++)
		test_start(&t, &writers[i], i, test_writer);
	test_start(&t, &endless[0], 0, test_reader);
	test_start(&t, &endless[1], 1, test_reader);
	test_start(&t, &endless[2], 2, test_lister);
	test_start(&t, &others[0], 0, test_renamer);
	test_start(&t, &others[1], 1, test_renamer);
	test_start(&t, &others[2], 2, test_operator);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		pthread_join(others[i].thread, NULL);
	for (size_t i = 0; i < TEST_WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	t.stop = true;
	for (size_t i = 0; i < ARRAY_LEN(endless); i++)
		pthread_join(endless[i].thread, NULL);
	CU_ASSERT_EQUAL(t.wrong, 0);
	fixture_restart(&t.fx, true);
	t.view = fixture_view(&t.fx, "/red/vm1");
	CU_ASSERT_TRUE(fixture_content_is(t.view,
					  fixture_find(t.view, "lib/w0"),
					  writers[0].data, TEST_FILE_LEN));
	CU_ASSERT_TRUE(fixture_content_is(t.view,
					  fixture_find(t.view, "lib/w1"),
					  writers[1].data, TEST_FILE_LEN));
	for (size_t i = 0; i < TEST_WRITERS; i++)
		free(writers[i].data);
	fixture_close(&t.fx);
}

/* Two threads at one file: each write is whole, the chain of ctimes has no gap
 * and no fork (rule N-12). */
struct test_chain {
	struct test *t;
	struct view_object obj;
	struct timespec (*pairs)[2]; /* before, after */
	uint8_t fill;
};

static void *test_chain_run(void *arg)
{
	struct test_chain *c = arg;
	struct test *t = c->t;
	uint8_t data[20000];

	memset(data, c->fill, sizeof(data));
	for (unsigned int i = 0; i < TEST_ROUNDS; i++) {
		struct view_done done;

		WANT(fixture_write(t->view, &fixture_root, c->obj, 0, data,
				   sizeof(data), i % 2, &done) == 0);
		c->pairs[i][0] = done.wcc[0].before_ctime;
		c->pairs[i][1] = done.wcc[0].after.ctime;
	}
	return NULL;
}

static int test_compare_pairs(const void *a, const void *b)
{
	const struct timespec *x = a, *y = b;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static void test_chains(void)
{
	static struct timespec pairs[2 * TEST_ROUNDS][2];
	struct test t = {.stop = false};
	struct package_info info;
	struct test_chain chains[2];
	pthread_t threads[2];
	uint8_t got[20000];
	size_t len = sizeof(got);

	fixture_open(&t.fx);
	fixture_package(&t.fx, "p", "1", test_entries, ARRAY_LEN(test_entries),
			&info);
	t.view = fixture_guest(&t.fx, &info, 1);
	for (size_t i = 0; i < 2; i++) {
		chains[i] = (struct test_chain){
		    &t, fixture_find(t.view, "lib/w0"), pairs + i * TEST_ROUNDS,
		    (uint8_t)(i + 1)};
		ASSERT(pthread_create(&threads[i], NULL, test_chain_run,
				      &chains[i]) == 0);
	}
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(t.wrong, 0);
	qsort(pairs, ARRAY_LEN(pairs), sizeof(pairs[0]), test_compare_pairs);
	for (size_t i = 1; i < ARRAY_LEN(pairs); i++)
		CU_ASSERT_EQUAL(
		    test_compare_pairs(&pairs[i][0], &pairs[i - 1][1]), 0);
	CU_ASSERT_EQUAL(fixture_read(t.view, &fixture_root, chains[0].obj, 0,
				     got, &len, NULL),
			0);
	for (size_t i = 1; i < len; i++)
		CU_ASSERT_EQUAL(got[i], got[0]);
	fixture_close(&t.fx);
}

static const struct check_test tests[] = {
    {"all at once", test_all},
    {"two writers of one file", test_chains},
};

int main(void)
{
	return check_main("test_view_threads", tests, ARRAY_LEN(tests));
}

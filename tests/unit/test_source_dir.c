/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_source_dir: exactly what was asked for, or the right error; and which
 * URLs are any.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/source.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

static struct source *test_source(const char *dir)
{
	CLEANUP_FREE char *url = kit_url(dir);
	struct source *source;

	ASSERT(source_new(url, NULL, &source) == 0);
	return source;
}

static void test_get(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "object");
	struct source *source = test_source(dir);
	CLEANUP_FREE void *buf = NULL;
	struct source_fault fault;
	size_t len;

	kit_file_write(path, "0123456789", 10);
	CU_ASSERT_EQUAL_FATAL(
	    source->ops->get(source, "object", 10, &buf, &len, &fault), 0);
	CU_ASSERT_EQUAL(len, 10);
	CU_ASSERT_STRING_EQUAL((char *)buf, "0123456789");
	CU_ASSERT_EQUAL(
	    source->ops->get(source, "object", 9, &buf, &len, &fault), -EFBIG);
	CU_ASSERT_EQUAL(source->ops->get(source, "none", 9, &buf, &len, &fault),
			-ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "none"));
	source_free(source);
}

static void test_range(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "object");
	struct source *source = test_source(dir);
	static const struct {
		uint64_t off;
		size_t len;
		int rc;
	} cases[] = {
	    {0, 10, 0},        {3, 4, 0},
	    {9, 1, 0},         {9, 2, -EBADMSG},
	    {10, 1, -EBADMSG}, {0, 11, -EBADMSG},
	    {11, 1, -EBADMSG}, {UINT64_MAX, 1, -EBADMSG},
	};
	struct source_fault fault;
	char buf[16];

	kit_file_write(path, "0123456789", 10);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int rc = source->ops->range(source, "object", cases[i].off,
					    cases[i].len, buf, &fault);

		CU_ASSERT_EQUAL(rc, cases[i].rc);
		if (rc == 0)
			CU_ASSERT_EQUAL(memcmp(buf, "0123456789" + cases[i].off,
					       cases[i].len),
					0);
	}
	CU_ASSERT_EQUAL(source->ops->range(source, "none", 0, 1, buf, &fault),
			-ENOENT);
	source_free(source);
}

static void test_write(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *root = tmpdir_path(dir, "new");
	CLEANUP_FREE char *file = tmpdir_path(root, "packs/aa/object");
	CLEANUP_FREE void *buf = NULL;
	struct source *source = test_source(root);
	struct source_fault fault;
	struct stat st;
	size_t len;
	int fd;

	umask(077);
	CU_ASSERT_EQUAL(
	    source->ops->put(source, "packs/aa/object", "one", 3, &fault), 0);
	CU_ASSERT_EQUAL(
	    source->ops->put(source, "packs/aa/object", "two", 3, &fault), 0);
	CU_ASSERT_EQUAL(stat(file, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0644);
	CU_ASSERT_EQUAL(stat(root, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0755);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(source->ops->put_file(source, "copy", fd, 2, &fault),
			0);
	/* Longer than the file is. */
	CU_ASSERT(source->ops->put_file(source, "copy", fd, 9, &fault) < 0);
	close(fd);
	CU_ASSERT_EQUAL_FATAL(
	    source->ops->get(source, "copy", 9, &buf, &len, &fault), 0);
	CU_ASSERT_STRING_EQUAL((char *)buf, "tw");

	CU_ASSERT_EQUAL(source->ops->create(source, "lock", "", 0, &fault), 0);
	CU_ASSERT_EQUAL(source->ops->create(source, "lock", "me", 2, &fault),
			-EEXIST);
	CU_ASSERT_EQUAL(source->ops->remove(source, "lock", &fault), 0);
	CU_ASSERT_EQUAL(source->ops->remove(source, "lock", &fault), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "lock"));
	CU_ASSERT_EQUAL(source->ops->create(source, "lock", "me", 2, &fault),
			0);
	/* A name in the way of a directory. */
	CU_ASSERT(source->ops->put(source, "lock/x", "x", 1, &fault) < 0);
	source_free(source);
}

struct test_listed {
	unsigned int count;
	char names[256];
	uint64_t bytes;
};

static int test_list_visit(void *ctx, const char *name, uint64_t len)
{
	struct test_listed *listed = ctx;

	listed->count++;
	listed->bytes += len;
	snprintf(listed->names + strlen(listed->names),
		 sizeof(listed->names) - strlen(listed->names), "%s ", name);
	return strcmp(name, "stop") == 0 ? 7 : 0;
}

static void test_list(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *left = tmpdir_path(dir, "a.12-3.tmp");
	struct source *source = test_source(dir);
	struct test_listed listed = {0};
	struct source_fault fault;

	CU_ASSERT_EQUAL(source->ops->put(source, "a", "12345", 5, &fault), 0);
	CU_ASSERT_EQUAL(source->ops->put(source, "sub/b", "1", 1, &fault), 0);
	kit_file_write(left, "rest", 4);
	CU_ASSERT_EQUAL(
	    source->ops->list(source, "", test_list_visit, &listed, &fault), 0);
	CU_ASSERT_EQUAL(listed.count, 2);
	CU_ASSERT_EQUAL(listed.bytes, 5);
	CU_ASSERT_PTR_NOT_NULL(strstr(listed.names, "a "));
	CU_ASSERT_PTR_NOT_NULL(strstr(listed.names, "sub/ "));
	memset(&listed, 0, sizeof(listed));
	CU_ASSERT_EQUAL(
	    source->ops->list(source, "none", test_list_visit, &listed, &fault),
	    0);
	CU_ASSERT_EQUAL(listed.count, 0);
	CU_ASSERT_EQUAL(source->ops->put(source, "sub2/stop", "", 0, &fault),
			0);
	CU_ASSERT_EQUAL(
	    source->ops->list(source, "sub2", test_list_visit, &listed, &fault),
	    7);
	source_free(source);
}

/* Of many that make one name, one does. */
static void *test_create_thread(void *ctx)
{
	struct source *source = ctx;
	struct source_fault fault;
	uintptr_t made = 0;

	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lock/%d", i);
		if (source->ops->create(source, name, "x", 1, &fault) == 0)
			made++;
	}
	return (void *)made;
}

static void test_create_race(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct source *source = test_source(dir);
	pthread_t threads[4];
	uintptr_t made = 0;
	void *got;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ASSERT(pthread_create(&threads[i], NULL, test_create_thread,
				      source) == 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &got);
		made += (uintptr_t)got;
	}
	CU_ASSERT_EQUAL(made, 20);
	source_free(source);
}

/* A share that is not mounted is an upstream that is down. */
static void test_gone(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *root = tmpdir_path(dir, "share");
	CLEANUP_FREE char *fifo = tmpdir_path(dir, "fifo");
	struct source *source = test_source(root);
	struct source_fault fault;
	CLEANUP_FREE void *buf = NULL;
	size_t len;
	char byte;

	CU_ASSERT_EQUAL(source->ops->get(source, "x", 9, &buf, &len, &fault),
			-EHOSTUNREACH);
	CU_ASSERT_EQUAL(source->ops->range(source, "x", 0, 1, &byte, &fault),
			-EHOSTUNREACH);
	source_free(source);

	source = test_source(dir);
	ASSERT(mkfifo(fifo, 0600) == 0);
	CU_ASSERT_EQUAL(source->ops->range(source, "fifo", 0, 1, &byte, &fault),
			-EBADMSG);
	CU_ASSERT(source->ops->get(source, "fifo", 9, &buf, &len, &fault) < 0);
	source_free(source);
}

static void test_urls(void)
{
	static const struct {
		const char *url;
		int rc;
	} cases[] = {
	    {"dir:/tmp", 0},
	    {"dir:/tmp//", 0},
	    {"dir:tmp", -EINVAL},
	    {"s3://bucket/a/b", 0},
	    {"s3://", -EINVAL},
	    {"s3://b/../c", -EINVAL},
	    {"s3://b?c", -EINVAL},
	    {"dir:", -EINVAL},
	    {"", -EINVAL},
	    {"/tmp", -EINVAL},
	    {"ftp://host/", -EINVAL},
	    {"file:///tmp", -EINVAL},
	    {"http://host", 0},
	    {"http://host:80/path/", 0},
	    {"https://[::1]:8443/", 0},
	    {"http://", -EINVAL},
	    {"http:///path", -EINVAL},
	    {"http://:80/", -EINVAL},
	    {"http://user:secret@host/", -EINVAL},
	    {"http://host/?q", -EINVAL},
	    {"http://host/#f", -EINVAL},
	    {"http://host/a b", -EINVAL},
	    {"http://host/a\nb", -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct source *source = NULL;

		CU_ASSERT_EQUAL(source_new(cases[i].url, NULL, &source),
				cases[i].rc);
		source_free(source);
	}
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"get", test_get},
	    {"range", test_range},
	    {"write", test_write},
	    {"list", test_list},
	    {"create: one wins", test_create_race},
	    {"a root that is gone, a FIFO", test_gone},
	    {"URLs", test_urls},
	};

	return check_main("test_source_dir", tests, ARRAY_LEN(tests));
}

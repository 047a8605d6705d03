/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_source_dir: exactly what was asked for, or the right error; and which
 * URLs are any.
 */
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

	ASSERT(source_new(url, &source) == 0);
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

		CU_ASSERT_EQUAL(source_new(cases[i].url, &source), cases[i].rc);
		source_free(source);
	}
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"get", test_get},
	    {"range", test_range},
	    {"a root that is gone, a FIFO", test_gone},
	    {"URLs", test_urls},
	};

	return check_main("test_source_dir", tests, ARRAY_LEN(tests));
}

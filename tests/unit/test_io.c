/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_io: whole transfers and durable replacement.  The system calls that
 * sync and rename are replaced below, so that each can be made to fail and
 * their order can be seen.
 */
#include "depot/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

static char test_io_calls[64]; /* d: fdatasync, f: fsync, r: rename */
static char test_io_fail;      /* which of them fails with EIO */

static bool test_io_call(char call)
{
	size_t len = strlen(test_io_calls);

	if (len + 1 < sizeof(test_io_calls)) {
		test_io_calls[len] = call;
		test_io_calls[len + 1] = '\0';
	}
	if (call != test_io_fail)
		return true;
	errno = EIO;
	return false;
}

int fdatasync(int fd)
{
	return test_io_call('d') ? (int)syscall(SYS_fdatasync, fd) : -1;
}

int fsync(int fd)
{
	return test_io_call('f') ? (int)syscall(SYS_fsync, fd) : -1;
}

int rename(const char *from, const char *to)
{
	return test_io_call('r') ? (int)syscall(SYS_renameat2, AT_FDCWD, from,
						AT_FDCWD, to, 0)
				 : -1;
}

static void test_io_watch(char fail)
{
	test_io_calls[0] = '\0';
	test_io_fail = fail;
}

static void test_io_transfer(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");
	CLEANUP_CLOSE int fd = -1;
	uint8_t out[3000], in[3000];
	struct stat st;

	CU_ASSERT_EQUAL(io_open(path, false, &fd), -ENOENT);
	CU_ASSERT_EQUAL(fd, -1);
	CU_ASSERT_EQUAL_FATAL(io_open(path, true, &fd), 0);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);

	check_fill(out, sizeof(out), 1);
	CU_ASSERT_EQUAL(io_pwrite_all(fd, out, sizeof(out), 5000), 0);
	CU_ASSERT_EQUAL(io_pread_all(fd, in, sizeof(in), 5000), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	CU_ASSERT_EQUAL(io_pread_all(fd, in, 1, 4999), 0);
	CU_ASSERT_EQUAL(in[0], 0);
	/* A read past the end is no short success. */
	CU_ASSERT_EQUAL(io_pread_all(fd, in, sizeof(in), 5001), -EIO);
	CU_ASSERT_EQUAL(io_pread_all(fd, in, 1, 8000), -EIO);
	CU_ASSERT_EQUAL(io_pread_all(fd, in, 0, 8000), 0);

	CU_ASSERT_EQUAL(io_truncate(fd, 6000), 0);
	CU_ASSERT_EQUAL(io_pread_all(fd, in, 1, 6000), -EIO);
	CU_ASSERT_EQUAL(io_truncate(fd, 10000), 0);
	CU_ASSERT_EQUAL(io_pread_all(fd, in, 1, 9999), 0);
	CU_ASSERT_EQUAL(io_sync(fd), 0);
}

static void test_io_errors(void)
{
	CLEANUP_CLOSE int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	char c = 0;

	CU_ASSERT_EQUAL(io_pwrite_all(full, &c, 1, 0), -ENOSPC);
	CU_ASSERT_EQUAL(io_pread_all(-1, &c, 1, 0), -EBADF);
	CU_ASSERT_EQUAL(io_pwrite_all(-1, &c, 1, 0), -EBADF);
	CU_ASSERT_EQUAL(io_pread_all(full, &c, 1, UINT64_MAX), -EINVAL);
	CU_ASSERT_EQUAL(io_pwrite_all(full, &c, 1, INT64_MAX), -EFBIG);
	CU_ASSERT_EQUAL(io_pwrite_all(full, &c, SIZE_MAX, 1), -EFBIG);
	CU_ASSERT_EQUAL(io_truncate(full, UINT64_MAX), -EFBIG);
	CU_ASSERT_EQUAL(io_truncate(-1, 0), -EBADF);
	CU_ASSERT_EQUAL(io_sync(-1), -EBADF);
	CU_ASSERT_EQUAL(io_sync_dir("/nowhere"), -ENOENT);
	CU_ASSERT_EQUAL(io_sync_dir("/dev/full"), -ENOTDIR);
}

/* The kernel writes up to the limit, then refuses: a real short write. */
static void test_io_short_write(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");
	struct rlimit limit = {1000, 1000};
	uint8_t data[3000] = {0};
	int status, fd = -1;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		if (io_open(path, true, &fd) < 0)
			_exit(1);
		_exit(io_pwrite_all(fd, data, sizeof(data), 0) == -EFBIG ? 0
									 : 2);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
}

static void test_io_unlink(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");

	CU_ASSERT_EQUAL(io_unlink(path), 0);
	CU_ASSERT_EQUAL(io_replace_file(path, "x", 1), 0);
	CU_ASSERT_EQUAL(io_unlink(path), 0);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	CU_ASSERT_EQUAL(io_unlink(dir), -EISDIR);
}

static void test_io_mkdirs(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *deep = tmpdir_path(dir, "a/b//c/d/");
	CLEANUP_FREE char *file = tmpdir_path(dir, "a/file");
	CLEANUP_FREE char *under = tmpdir_path(dir, "a/file/x");
	struct stat st;

	CU_ASSERT_EQUAL(io_mkdirs(deep), 0);
	CU_ASSERT_EQUAL(stat(deep, &st), 0);
	CU_ASSERT_TRUE(S_ISDIR(st.st_mode));
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0700);
	CU_ASSERT_EQUAL(io_mkdirs(deep), 0);
	CU_ASSERT_EQUAL(io_mkdirs("/"), 0);
	CU_ASSERT_EQUAL(io_mkdirs(""), -ENOENT);
	CU_ASSERT_EQUAL(io_replace_file(file, "x", 1), 0);
	CU_ASSERT_EQUAL(io_mkdirs(file), -ENOTDIR);
	CU_ASSERT_EQUAL(io_mkdirs(under), -ENOTDIR);
}

static void test_io_read_file(void)
{
	static const size_t lens[] = {0, 1, 4095, 4096, 4097, 100000};
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");
	static uint8_t data[100000];
	void *buf;
	size_t len;

	check_fill(data, sizeof(data), 3);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		CU_ASSERT_EQUAL(io_replace_file(path, data, lens[i]), 0);
		for (size_t more = 0; more < 2; more++) {
			buf = NULL;
			CU_ASSERT_EQUAL_FATAL(
			    io_read_file(path, lens[i] + more, &buf, &len), 0);
			CU_ASSERT_EQUAL(len, lens[i]);
			CU_ASSERT_EQUAL(memcmp(buf, data, len), 0);
			CU_ASSERT_EQUAL(((char *)buf)[len], 0);
			free(buf);
		}
		if (lens[i] > 0)
			CU_ASSERT_EQUAL(
			    io_read_file(path, lens[i] - 1, &buf, &len),
			    -EFBIG);
	}
	CU_ASSERT_EQUAL(io_read_file("/nowhere", 10, &buf, &len), -ENOENT);
	CU_ASSERT_EQUAL(io_read_file(dir, 10, &buf, &len), -EISDIR);
	CU_ASSERT_EQUAL(io_read_file("/dev/zero", 10, &buf, &len), -EINVAL);
}

/* The kernel says 0 bytes, and there are some. */
static void test_io_read_proc(void)
{
	void *buf = NULL;
	size_t len = 0;

	CU_ASSERT_EQUAL_FATAL(
	    io_read_file("/proc/self/status", 1 << 20, &buf, &len), 0);
	CU_ASSERT_EQUAL(strlen(buf), len);
	CU_ASSERT_PTR_NOT_NULL(strstr(buf, "VmRSS"));
	free(buf);
	CU_ASSERT_EQUAL(io_read_file("/proc/self/status", 10, &buf, &len),
			-EFBIG);
}

static bool test_io_holds(const char *path, const char *want)
{
	CLEANUP_FREE void *buf = NULL;
	size_t len;

	return io_read_file(path, 100, &buf, &len) == 0 &&
	       len == strlen(want) && memcmp(buf, want, len) == 0;
}

static size_t test_io_entry_count(const char *dir)
{
	DIR *d = opendir(dir);
	size_t count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

static void test_io_replace(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");
	CLEANUP_FREE char *absent = tmpdir_path(dir, "no/file");

	test_io_watch(0);
	CU_ASSERT_EQUAL(io_replace_file(path, "one", 3), 0);
	CU_ASSERT_TRUE(test_io_holds(path, "one"));
	/* Data, then the name, then the directory. */
	CU_ASSERT_STRING_EQUAL(test_io_calls, "drf");
	CU_ASSERT_EQUAL(io_replace_file(path, "three", 5), 0);
	CU_ASSERT_TRUE(test_io_holds(path, "three"));
	CU_ASSERT_EQUAL(io_replace_file(path, "", 0), 0);
	CU_ASSERT_TRUE(test_io_holds(path, ""));
	CU_ASSERT_EQUAL(test_io_entry_count(dir), 1);
	CU_ASSERT_EQUAL(io_replace_file(absent, "x", 1), -ENOENT);
	CU_ASSERT_EQUAL(io_replace_file(dir, "x", 1), -EISDIR);
}

static void test_io_replace_faults(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");

	CU_ASSERT_EQUAL(io_replace_file(path, "old", 3), 0);
	for (const char *fail = "dr"; *fail; fail++) {
		test_io_watch(*fail);
		CU_ASSERT_EQUAL(io_replace_file(path, "new", 3), -EIO);
		CU_ASSERT_TRUE(test_io_holds(path, "old"));
		CU_ASSERT_EQUAL(test_io_entry_count(dir), 1);
	}
	/* Visible, but nobody may rely on it. */
	test_io_watch('f');
	CU_ASSERT_EQUAL(io_replace_file(path, "new", 3), -EIO);
	CU_ASSERT_TRUE(test_io_holds(path, "new"));
	CU_ASSERT_EQUAL(test_io_entry_count(dir), 1);
	test_io_watch(0);
}

/* A path without a directory: the working directory is synced. */
static void test_io_replace_relative(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_CLOSE int before = open(".", O_RDONLY | O_CLOEXEC);

	CU_ASSERT_EQUAL_FATAL(chdir(dir), 0);
	test_io_watch(0);
	CU_ASSERT_EQUAL(io_replace_file("file", "x", 1), 0);
	CU_ASSERT_STRING_EQUAL(test_io_calls, "drf");
	CU_ASSERT_TRUE(test_io_holds("file", "x"));
	CU_ASSERT_EQUAL(fchdir(before), 0);
}

static void test_io_sync_faults(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");
	CLEANUP_CLOSE int fd = -1;

	CU_ASSERT_EQUAL_FATAL(io_open(path, true, &fd), 0);
	test_io_watch('d');
	CU_ASSERT_EQUAL(io_sync(fd), -EIO);
	/* Once: a second try would succeed and mean nothing. */
	CU_ASSERT_STRING_EQUAL(test_io_calls, "d");
	test_io_watch('f');
	CU_ASSERT_EQUAL(io_sync_dir(dir), -EIO);
	CU_ASSERT_STRING_EQUAL(test_io_calls, "f");
	test_io_watch(0);
	CU_ASSERT_EQUAL(io_sync_dir(dir), 0);
}

static const struct check_test tests[] = {
    {"transfer", test_io_transfer},
    {"errors", test_io_errors},
    {"short write", test_io_short_write},
    {"unlink", test_io_unlink},
    {"mkdirs", test_io_mkdirs},
    {"read_file", test_io_read_file},
    {"read_file of /proc", test_io_read_proc},
    {"replace_file", test_io_replace},
    {"replace_file faults", test_io_replace_faults},
    {"replace_file relative", test_io_replace_relative},
    {"sync faults", test_io_sync_faults},
};

int main(void)
{
	return check_main("test_io", tests, ARRAY_LEN(tests));
}

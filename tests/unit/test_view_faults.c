/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_view_faults: each system call on a delta's host files fails once, in a
 * series of changes, as from a full or dying disk.  The call that meets it says
 * so, or nobody need know; its repetition succeeds; in the end all bytes are
 * there, also after a restart, and no host file is left over.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_BIG_LEN = 100000, TEST_MAX = 1 << 18, TEST_TRIES = 4 };

static const struct fixture_entry test_entries[] = {
    {"big", S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
};

struct test_file {
	const char *path;
	uint8_t want[TEST_MAX];
	size_t len;
	/* written and not committed, with this verifier; wait_len 0: nothing */
	size_t wait_off, wait_len;
	uint64_t verifier;
};

/* --- system calls, of which one fails ------------------------------------ */

static atomic_uint test_fail_at, test_calls; /* at: counted from 1; 0 none */
static atomic_int test_fail_errno;

static void test_fail(unsigned int at, int err)
{
	test_calls = 0;
	test_fail_errno = err;
	test_fail_at = at;
}

/* Host files and their directories; not the databases, whose log must not fail
 * (journal.h). */
static bool test_path_fails(const char *path)
{
	if (!test_fail_at || !strstr(path, "/data/") ||
	    ++test_calls != test_fail_at)
		return false;
	errno = test_fail_errno;
	return true;
}

static bool test_fd_fails(int fd)
{
	char link[32], path[512];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[MAX(len, 0)] = '\0';
	return test_path_fails(path);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	if (test_path_fails(path))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
	return test_path_fails(path) ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

int unlink(const char *path)
{
	return test_path_fails(path) ? -1 : (int)syscall(SYS_unlink, path);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return test_fd_fails(fd) ? -1
				 : syscall(SYS_pwrite64, fd, buf, len, off);
}

ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	return test_fd_fails(fd) ? -1 : syscall(SYS_pread64, fd, buf, len, off);
}

int ftruncate(int fd, off_t len)
{
	return test_fd_fails(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int fdatasync(int fd)
{
	return test_fd_fails(fd) ? -1 : 0; /* the outcome is the same */
}

int fsync(int fd)
{
	return test_fd_fails(fd) ? -1 : 0;
}

/* --- the series ---------------------------------------------------------- */

/* WRITE, COMMIT, a change of size. */
struct test_step {
	unsigned int file;
	enum { TEST_WRITE, TEST_WRITE_STABLE, TEST_COMMIT, TEST_RESIZE } what;
	size_t off, len;
};
static const struct test_step test_steps[] = {
    {0, TEST_WRITE_STABLE, 0, 10000}, /* inline */
    {0, TEST_WRITE, 15000, 5000},     /* promoted */
    {0, TEST_COMMIT, 0, 0},           {1, TEST_WRITE_STABLE, 50001, 9000},
    {0, TEST_RESIZE, 0, 7000},        {0, TEST_RESIZE, 0, 9000},
    {0, TEST_WRITE, 6000, 20000},     {0, TEST_COMMIT, 0, 0},
    {1, TEST_RESIZE, 0, 0},           {1, TEST_WRITE_STABLE, 5, 30000},
    {0, TEST_RESIZE, 0, 123},         {0, TEST_WRITE, 100, 20000},
    {0, TEST_RESIZE, 0, 15000},       {0, TEST_COMMIT, 0, 0},
};

static uint64_t test_verifier(struct view *view)
{
	return view_get_info(view)->verifier;
}

static int test_write_unstable(struct view *view, struct test_file *file)
{
	int rc = fixture_write(
	    view, &fixture_root, fixture_find(view, file->path), file->wait_off,
	    file->want + file->wait_off, file->wait_len, false, NULL);

	file->verifier = test_verifier(view);
	return rc;
}

/* Written again when the verifier has changed, as clients do. */
static int test_commit(struct view *view, struct test_file *file)
{
	int rc = fixture_commit(view, fixture_find(view, file->path));

	while (rc == 0 && file->wait_len > 0 &&
	       file->verifier != test_verifier(view)) {
		rc = test_write_unstable(view, file);
		if (rc == 0)
			rc = fixture_commit(view,
					    fixture_find(view, file->path));
	}
	if (rc == 0)
		file->wait_len = 0;
	return rc;
}

static int test_step(struct view *view, const struct test_step *step,
		     struct test_file *file)
{
	struct view_object obj = fixture_find(view, file->path);

	if (step->what == TEST_COMMIT)
		return test_commit(view, file);
	if (step->what == TEST_RESIZE)
		return fixture_resize(view, obj, step->len);
	if (step->what == TEST_WRITE)
		return test_write_unstable(view, file);
	return fixture_write(view, &fixture_root, obj, step->off,
			     file->want + step->off, step->len, true, NULL);
}

static void test_expect(const struct test_step *step, struct test_file *file)
{
	if (step->what == TEST_RESIZE && step->len < file->len)
		memset(file->want + step->len, 0, file->len - step->len);
	if (step->what == TEST_RESIZE) {
		file->len = step->len;
		file->wait_len =
		    step->len <= file->wait_off
			? 0
			: MIN(file->wait_len, step->len - file->wait_off);
	}
	if (step->what == TEST_WRITE) {
		file->wait_off = step->off;
		file->wait_len = step->len;
	}
	if (step->what <= TEST_WRITE_STABLE) {
		check_fill(file->want + step->off, step->len, step->off);
		file->len = MAX(file->len, step->off + step->len);
	}
}

static void test_check(struct fixture *fx, const struct test_file *files)
{
	struct view *view = fixture_view(fx, "/red/vm1");

	for (int i = 0; i < 2; i++)
		CU_ASSERT_TRUE(
		    fixture_content_is(view, fixture_find(view, files[i].path),
				       files[i].want, files[i].len));
}

/* Returns whether the n-th call was there to fail. */
static bool test_faults_at(unsigned int n, int err)
{
	static struct test_file files[2];
	struct package_info info;
	struct fixture fx;
	struct view *view;
	bool struck;

	files[0] = (struct test_file){.path = "f"};
	files[1] = (struct test_file){.path = "big", .len = TEST_BIG_LEN};
	check_fill(files[1].want, TEST_BIG_LEN, 1);
	fixture_open(&fx);
	fixture_package(&fx, "p", "1", test_entries, 1, &info);
	view = fixture_guest(&fx, &info, 1);
	ASSERT(fixture_touch(view, &fixture_root, view_root(view), "f", 0644,
			     NULL) == 0);
	test_fail(n, err);
	for (size_t i = 0; i < ARRAY_LEN(test_steps); i++) {
		const struct test_step *step = &test_steps[i];
		int rc = -EIO;

		test_expect(step, &files[step->file]);
		for (int try = 0; rc < 0 && try < TEST_TRIES; try++)
			rc = test_step(view, step, &files[step->file]);
		CU_ASSERT_EQUAL(rc, 0);
	}
	site_quiesce(fx.site);
	struck = test_calls >= n;
	test_fail(0, 0);
	test_check(&fx, files);
	fixture_restart(&fx, false);
	test_check(&fx, files);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 2);
	fixture_close(&fx);
	return struck;
}

static void test_faults(void)
{
	static const int errors[] = {EIO, ENOSPC};

	check_mute();
	for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
		unsigned int n = 1;

		while (test_faults_at(n, errors[e]))
			n++;
		CU_ASSERT_TRUE(n > 20);
	}
	check_unmute();
}

static const struct check_test tests[] = {
    {"each call fails once", test_faults},
};

int main(void)
{
	return check_main("test_view_faults", tests, ARRAY_LEN(tests));
}

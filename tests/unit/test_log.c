/* SPDX-License-Identifier: Apache-2.0 */
/* test_log: the lines as stderr gets them, and what the control API shows. */
#include "depot/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

#include "tests/lib/check.h"

enum { TEST_LOG_LONG = 5000 };

static char test_log_got[8192];

/* Run fn with stderr in a pipe; what it wrote is in test_log_got. */
static void test_log_capture(void (*fn)(void))
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(fds[0], test_log_got, sizeof(test_log_got) - 1);
	test_log_got[MAX(n, 0)] = '\0';
	close(fds[0]);
}

static void test_log_all_levels(void)
{
	errno = EDOM;
	CU_ASSERT_EQUAL(log_err(-ENOENT, "pack %s", "x"), -ENOENT);
	CU_ASSERT_EQUAL(log_err(7, "no errno"), 7);
	log_warn("two %d", 2);
	log_info("three");
	log_debug("four");
	CU_ASSERT_EQUAL(errno, EDOM);
}

static void test_log_levels(void)
{
	unsetenv("JOURNAL_STREAM");
	log_setup("prog", LOG_LEVEL_INFO);
	test_log_capture(test_log_all_levels);
	CU_ASSERT_STRING_EQUAL(test_log_got,
			       "prog: pack x: No such file or directory\n"
			       "prog: no errno\nprog: two 2\nprog: three\n");
	log_setup("prog", LOG_LEVEL_ERROR);
	test_log_capture(test_log_all_levels);
	CU_ASSERT_STRING_EQUAL(test_log_got,
			       "prog: pack x: No such file or directory\n"
			       "prog: no errno\n");
}

static void test_log_setup_in_pipe(void)
{
	log_setup("prog", LOG_LEVEL_DEBUG);
	test_log_all_levels();
}

static void test_log_journal(void)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	test_log_capture(test_log_setup_in_pipe);
	unsetenv("JOURNAL_STREAM");
	CU_ASSERT_STRING_EQUAL(test_log_got,
			       "<3>pack x: No such file or directory\n"
			       "<3>no errno\n<4>two 2\n<6>three\n<7>four\n");
	log_setup("prog", LOG_LEVEL_INFO);
}

static void test_log_last(void)
{
	log_clear_last_error();
	CU_ASSERT_STRING_EQUAL(log_last_error(), "");
	check_mute();
	CU_ASSERT_EQUAL(log_err(-EBUSY, "first"), -EBUSY);
	CU_ASSERT_EQUAL(log_err(-EIO, "disk %d", 1), -EIO);
	log_warn("not an error");
	check_unmute();
	CU_ASSERT_STRING_EQUAL(log_last_error(), "disk 1: Input/output error");
	log_clear_last_error();
	CU_ASSERT_STRING_EQUAL(log_last_error(), "");
}

static void *test_log_thread(void *arg)
{
	bool *empty = arg;

	*empty = *log_last_error() == '\0';
	return log_err(-EIO, "other") == -EIO ? NULL : arg;
}

static void test_log_last_by_thread(void)
{
	bool empty = false;
	pthread_t thread;
	int rc;

	check_mute();
	rc = log_err(-EIO, "mine");
	CU_ASSERT_EQUAL(pthread_create(&thread, NULL, test_log_thread, &empty),
			0);
	pthread_join(thread, NULL);
	check_unmute();
	CU_ASSERT_EQUAL(rc, -EIO);
	CU_ASSERT_TRUE(empty);
	CU_ASSERT_STRING_EQUAL(log_last_error(), "mine: Input/output error");
}

/* A file name must not be able to write lines of its own. */
static void test_log_forged_lines(void)
{
	log_warn("name %s", "a\n<0>forged\033[2J\x7f");
}

static void test_log_forged(void)
{
	test_log_capture(test_log_forged_lines);
	CU_ASSERT_STRING_EQUAL(test_log_got, "prog: name a?<0>forged?[2J?\n");
}

static void test_log_long_lines(void)
{
	static char text[TEST_LOG_LONG];

	memset(text, 'x', sizeof(text) - 1);
	CU_ASSERT_EQUAL(log_err(-EIO, "%s", text), -EIO);
}

/* Cut, and the errno's words are still there. */
static void test_log_long(void)
{
	static const char end[] = "xx...: Input/output error\n";
	size_t len;

	test_log_capture(test_log_long_lines);
	len = strlen(test_log_got);
	CU_ASSERT_TRUE(len > 1000 && len < TEST_LOG_LONG);
	CU_ASSERT_STRING_EQUAL(test_log_got + len - strlen(end), end);
}

static int test_log_status;

static void test_log_broken_promise(void)
{
	pid_t pid = fork();

	if (pid == 0)
		base_assert_failed("x > 0", "depot/y.c", 12);
	waitpid(pid, &test_log_status, 0);
}

static void test_log_assert(void)
{
	test_log_capture(test_log_broken_promise);
	CU_ASSERT_TRUE(WIFSIGNALED(test_log_status));
	CU_ASSERT_STRING_EQUAL(test_log_got,
			       "prog: depot/y.c:12: broken promise: x > 0\n");
}

static const struct check_test tests[] = {
    {"levels", test_log_levels},
    {"journal", test_log_journal},
    {"last error", test_log_last},
    {"last error by thread", test_log_last_by_thread},
    {"forged", test_log_forged},
    {"long", test_log_long},
    {"assert", test_log_assert},
};

int main(void)
{
	return check_main("test_log", tests, ARRAY_LEN(tests));
}

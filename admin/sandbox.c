/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: outside.  A helper process enters the namespaces, its child is the
 * first process inside and dies with it; so ending the helper ends all.
 */
#include "admin/sandbox.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#include "admin/interrupt.h"
#include "admin/sandbox_inside.h"

enum {
	SANDBOX_LOOK_MS = 200,
	/* Looking at what was written may take so much of the time. */
	SANDBOX_WEIGH_SHARE = 10,
	SANDBOX_WEIGH_FDS = 32,
};

void sandbox_say(int fd, int kind, int value, const char *text)
{
	struct sandbox_word word = {.kind = kind, .value = value};

	snprintf(word.text, sizeof(word.text), "%s", text);
	/* Below PIPE_BUF it goes in one piece; nobody is left to hear of a
	 * failure. */
	if (write(fd, &word, sizeof(word)) < 0)
		_exit(127);
}

/* --- the helper ---------------------------------------------------------- */

static _Noreturn void sandbox_helper(const struct sandbox *sandbox,
				     const char *const *argv, int fd)
{
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
		    (sandbox->network ? 0 : CLONE_NEWNET);
	pid_t inside;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(flags) < 0) {
		sandbox_say(fd, SANDBOX_SAYS_ERROR, errno,
			    "namespaces of its own");
		_exit(1);
	}
	inside = fork();
	if (inside == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sandbox_inside(sandbox, argv, fd);
	}
	if (inside < 0)
		sandbox_say(fd, SANDBOX_SAYS_ERROR, errno, "fork");
	else
		waitpid(inside, NULL, 0);
	_exit(0);
}

/* --- outside ------------------------------------------------------------- */

static bool sandbox_disk_low(const struct sandbox *sandbox)
{
	struct statvfs st;

	return statvfs(sandbox->work, &st) == 0 &&
	       (uint64_t)st.f_bavail * st.f_frsize < sandbox->free_min;
}

static uint64_t sandbox_weight; /* of the walk below */

static int sandbox_weigh_one(const char *path UNUSED, const struct stat *st,
			     int type UNUSED, struct FTW *ftw UNUSED)
{
	sandbox_weight += (uint64_t)st->st_blocks * 512;
	return 0;
}

static uint64_t sandbox_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Has the program written too much?  *due: when that is looked at again. */
static bool sandbox_too_much(const struct sandbox *sandbox, uint64_t *due)
{
	static const char *const dirs[] = {SANDBOX_UPPER, SANDBOX_TMP};
	uint64_t start = sandbox_ms();
	char path[4200];

	if (sandbox->bytes_max == 0 || start < *due)
		return false;
	sandbox_weight = 0;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", sandbox->work, dirs[i]);
		/* What vanishes meanwhile weighs nothing. */
		(void)nftw(path, sandbox_weigh_one, SANDBOX_WEIGH_FDS,
			   FTW_PHYS | FTW_MOUNT);
	}
	*due = sandbox_ms() + (sandbox_ms() - start) * SANDBOX_WEIGH_SHARE;
	return sandbox_weight > sandbox->bytes_max;
}

/* Why the program must be ended now; 0: it need not. */
static int sandbox_must_end(const struct sandbox *sandbox, uint64_t *due)
{
	if (interrupt_seen())
		return -EINTR;
	if (sandbox_disk_low(sandbox))
		return -ENOSPC;
	return sandbox_too_much(sandbox, due) ? -EDQUOT : 0;
}

/* What the inside says, till it has gone. */
static int sandbox_listen(const struct sandbox *sandbox, pid_t helper, int fd,
			  struct sandbox_result *result,
			  struct sandbox_word *error)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	struct sandbox_word word;
	uint64_t due = 0;
	int rc;

	result->status = -1;
	for (;;) {
		rc = sandbox_must_end(sandbox, &due);
		if (rc < 0) {
			kill(helper, SIGKILL);
			return rc;
		}
		if (poll(&poll_fd, 1, SANDBOX_LOOK_MS) <= 0)
			continue;
		if (read(fd, &word, sizeof(word)) != sizeof(word))
			return error->kind ? -error->value : 0;
		word.text[sizeof(word.text) - 1] = '\0';
		if (word.kind == SANDBOX_SAYS_ERROR)
			*error = word;
		else if (word.kind == SANDBOX_SAYS_STATUS)
			result->status = word.value;
		else if (result->left_count < SANDBOX_LEFT_MAX)
			snprintf(result->left[result->left_count++],
				 SANDBOX_NAME_MAX + 1, "%.*s", SANDBOX_NAME_MAX,
				 word.text);
	}
}

static int sandbox_tell(const struct sandbox *sandbox, const char *program,
			int rc, const struct sandbox_word *error,
			struct failure *failure)
{
	switch (rc) {
	case -EINTR:
		return failure_set(failure, rc, CONTROL_EXIT_INTERRUPTED,
				   "interrupted; nothing has been captured");
	case -ENOSPC:
		failure_set(failure, rc, CONTROL_EXIT_NO_SPACE,
			    "%s filled the disk of %s and was ended; nothing "
			    "has been captured",
			    program, sandbox->work);
		failure_hint(failure, "try: TMPDIR=DIR on a larger disk");
		return rc;
	case -EDQUOT:
		failure_set(failure, rc, CONTROL_EXIT_NO_SPACE,
			    "%s wrote more than %ju bytes and was ended; "
			    "nothing has been captured",
			    program, (uintmax_t)sandbox->bytes_max);
		failure_hint(failure, "try: a larger --quota");
		return rc;
	default:
		break;
	}
	failure_errno(failure, rc, "cannot run %s over %s: %s", program,
		      sandbox->base, error->text);
	if (rc == -EINVAL)
		failure_hint(failure, "try: TMPDIR=DIR on ext4, xfs or tmpfs: "
				      "an overlay cannot lie on an overlay");
	return rc;
}

static int sandbox_check(const struct sandbox *sandbox, struct failure *failure)
{
	struct stat st;

	if (geteuid() != 0) {
		failure_set(failure, -EPERM, CONTROL_EXIT_NOT_PERMITTED,
			    "an installer is run as root over the base");
		failure_hint(failure, "try: sudo");
		return -EPERM;
	}
	if (stat(sandbox->base, &st) < 0)
		return failure_errno(failure, -errno, "base %s", sandbox->base);
	if (!S_ISDIR(st.st_mode))
		return failure_errno(failure, -ENOTDIR, "base %s",
				     sandbox->base);
	return 0;
}

int sandbox_run(const struct sandbox *sandbox, const char *const *argv,
		struct sandbox_result *result, struct failure *failure)
{
	struct sandbox_word error = {0};
	uint64_t due;
	pid_t helper;
	int fds[2];
	int rc;

	memset(result, 0, sizeof(*result));
	rc = sandbox_check(sandbox, failure);
	if (rc < 0)
		return rc;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return failure_errno(failure, -errno, "pipe");
	fflush(NULL);
	helper = fork();
	if (helper == 0) {
		close(fds[0]);
		sandbox_helper(sandbox, argv, fds[1]);
	}
	close(fds[1]);
	if (helper < 0)
		rc = -errno;
	else
		rc = sandbox_listen(sandbox, helper, fds[0], result, &error);
	close(fds[0]);
	if (helper > 0)
		waitpid(helper, NULL, 0);
	/* Fast ones are done before anybody has looked. */
	due = 0;
	if (rc == 0 && sandbox_too_much(sandbox, &due))
		rc = -EDQUOT;
	if (rc == 0 && result->status < 0)
		rc = -EIO; /* ended by somebody else */
	return rc < 0 ? sandbox_tell(sandbox, argv[0], rc, &error, failure) : 0;
}

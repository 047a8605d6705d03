/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: outside.  A helper process enters the namespaces, its child is the
 * first process inside.  SIGTERM to the helper ends that one, and so all; the
 * helper ends when nothing is left of them.  They die with the helper, too.
 */
#include "admin/sandbox.h"

#include <dirent.h>
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

#include "admin/interrupt.h"
#include "admin/sandbox_inside.h"
#include "depot/clock.h"

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

static volatile pid_t sandbox_first; /* 0: not yet */

static void sandbox_end(int signal UNUSED)
{
	pid_t first = sandbox_first;

	if (first > 0)
		kill(first, SIGKILL);
	else
		_exit(1);
}

static _Noreturn void sandbox_helper(const struct sandbox *sandbox,
				     const char *const *argv, int fd)
{
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
		    (sandbox->network ? 0 : CLONE_NEWNET);
	pid_t inside;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, sandbox_end);
	if (unshare(flags) < 0) {
		sandbox_say(fd, SANDBOX_SAYS_ERROR, errno,
			    "namespaces of its own");
		_exit(1);
	}
	sandbox_first = inside = fork();
	if (inside == 0) {
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sandbox_inside(sandbox, argv, fd);
	}
	if (inside < 0)
		sandbox_say(fd, SANDBOX_SAYS_ERROR, errno, "fork");
	else
		while (waitpid(inside, NULL, 0) < 0 && errno == EINTR)
			;
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

/* When what began at `start`, and is done, is to be done again. */
static uint64_t sandbox_again(uint64_t start)
{
	uint64_t now = clock_ms();

	return now + (now - start) * SANDBOX_WEIGH_SHARE;
}

/* One run that is looked at. */
struct sandbox_watch {
	const struct sandbox *sandbox;
	pid_t helper;
	uint64_t end_ms;             /* of its time; 0: no limit */
	uint64_t weigh_ms, count_ms; /* when that is looked at again */
};

/* Has the program written too much? */
static bool sandbox_too_much(struct sandbox_watch *watch)
{
	const struct sandbox *sandbox = watch->sandbox;
	static const char *const dirs[] = {SANDBOX_UPPER, SANDBOX_TMP};
	uint64_t start = clock_ms();
	char path[4200];

	if (sandbox->bytes_max == 0 || start < watch->weigh_ms)
		return false;
	sandbox_weight = 0;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", sandbox->work, dirs[i]);
		/* What vanishes meanwhile weighs nothing. */
		(void)nftw(path, sandbox_weigh_one, SANDBOX_WEIGH_FDS,
			   FTW_PHYS | FTW_MOUNT);
	}
	watch->weigh_ms = sandbox_again(start);
	return sandbox_weight > sandbox->bytes_max;
}

/* The name of a process namespace; false: the process has gone. */
static bool sandbox_space(const char *process, const char *which, char out[64])
{
	char path[300];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", process, which);
	len = readlink(path, out, 63);
	if (len > 0)
		out[len] = '\0';
	return len > 0;
}

/* Processes of the program, and the first one inside. */
static unsigned int sandbox_count(pid_t helper)
{
	char name[16], own[64], space[64], other[64];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(name, sizeof(name), "%d", (int)helper);
	if (!sandbox_space("self", "pid", own) ||
	    !sandbox_space(name, "pid_for_children", space) ||
	    strcmp(own, space) == 0) /* not inside yet */
		return 0;
	dir = opendir("/proc");
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    sandbox_space(entry->d_name, "pid", other) &&
		    strcmp(other, space) == 0)
			count++;
	if (dir)
		closedir(dir);
	return count;
}

static bool sandbox_too_many(struct sandbox_watch *watch)
{
	uint64_t start = clock_ms();
	unsigned int count;

	if (watch->sandbox->processes_max == 0 || start < watch->count_ms)
		return false;
	count = sandbox_count(watch->helper);
	watch->count_ms = sandbox_again(start);
	return count > watch->sandbox->processes_max + 1;
}

/* Why the program must be ended now; 0: it need not. */
static int sandbox_must_end(struct sandbox_watch *watch)
{
	if (interrupt_seen())
		return -EINTR;
	if (sandbox_disk_low(watch->sandbox))
		return -ENOSPC;
	if (watch->end_ms > 0 && clock_ms() > watch->end_ms)
		return -ETIME;
	if (sandbox_too_many(watch))
		return -EAGAIN;
	return sandbox_too_much(watch) ? -EDQUOT : 0;
}

/* What the inside says, till it has gone. */
static int sandbox_listen(struct sandbox_watch *watch, int fd,
			  struct sandbox_result *result,
			  struct sandbox_word *error)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	struct sandbox_word word;
	int rc;

	result->status = -1;
	for (;;) {
		rc = sandbox_must_end(watch);
		if (rc < 0) {
			kill(watch->helper, SIGTERM);
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
	case -EAGAIN:
		failure_set(failure, rc, CONTROL_EXIT_NO_SPACE,
			    "%s had more than %u processes and was ended; "
			    "nothing has been captured",
			    program, sandbox->processes_max);
		failure_hint(failure, "try: a larger --processes, if it does "
				      "need them");
		return rc;
	case -ETIME:
		failure_set(failure, rc, CONTROL_EXIT_FAILED,
			    "%s ran longer than %u s and was ended; nothing "
			    "has been captured",
			    program, sandbox->seconds_max);
		failure_hint(failure, "try: a longer --for; does it wait for "
				      "an answer?");
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
	struct sandbox_watch watch = {.sandbox = sandbox};
	struct sandbox_word error = {0};
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
	watch.helper = helper;
	if (sandbox->seconds_max > 0)
		watch.end_ms =
		    clock_ms() + UINT64_C(1000) * sandbox->seconds_max;
	if (helper < 0)
		rc = -errno;
	else
		rc = sandbox_listen(&watch, fds[0], result, &error);
	close(fds[0]);
	if (helper > 0)
		waitpid(helper, NULL, 0);
	/* Fast ones are done before anybody has looked. */
	watch.weigh_ms = 0;
	if (rc == 0 && sandbox_too_much(&watch))
		rc = -EDQUOT;
	if (rc == 0 && result->status < 0)
		rc = -EIO; /* ended by somebody else */
	return rc < 0 ? sandbox_tell(sandbox, argv[0], rc, &error, failure) : 0;
}

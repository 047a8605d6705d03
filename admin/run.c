/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: fork, exec, and two pipes read until both are closed.
 */
#include "admin/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "admin/interrupt.h"

enum { RUN_NOT_FOUND = 127, RUN_READ_LEN = 16 << 10 };

struct run_pipes {
	int out[2], err[2], exec[2];
	size_t out_len, out_cap, err_len;
};

static void run_pipes_close(struct run_pipes *pipes)
{
	int *all[] = {pipes->out, pipes->err, pipes->exec};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		base_close_ptr(&all[i][0]);
		base_close_ptr(&all[i][1]);
	}
}

static void run_close(int *fd)
{
	base_close_ptr(fd);
	*fd = -1;
}

/* In the child.  An errno goes to the parent by a pipe that exec closes. */
__attribute__((noreturn)) static void
run_child(const char *const *argv, const char *dir, struct run_pipes *pipes)
{
	ssize_t n UNUSED;
	int null, err;

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	setenv("LC_ALL", "C", 1);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(pipes->out[1], STDOUT_FILENO) >= 0 &&
	    dup2(pipes->err[1], STDERR_FILENO) >= 0 &&
	    (!dir || chdir(dir) == 0))
		execvp(argv[0], (char *const *)(uintptr_t)argv);
	err = errno;
	n = write(pipes->exec[1], &err, sizeof(err));
	_exit(RUN_NOT_FOUND);
}

static int run_take_output(struct run_pipes *pipes, struct run_result *result)
{
	size_t cap = MAX(pipes->out_cap * 2, (size_t)RUN_READ_LEN);
	char *grown;
	ssize_t n;

	if (pipes->out_cap - pipes->out_len < RUN_READ_LEN / 2) {
		grown = realloc(result->output, cap + 1);
		if (!grown)
			return -ENOMEM;
		result->output = grown;
		pipes->out_cap = cap;
	}
	n = read(pipes->out[0], result->output + pipes->out_len,
		 pipes->out_cap - pipes->out_len);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		run_close(&pipes->out[0]);
	pipes->out_len += (size_t)n;
	result->output[pipes->out_len] = '\0';
	return pipes->out_len > RUN_OUTPUT_MAX ? -EFBIG : 0;
}

static int run_take_errors(struct run_pipes *pipes, struct run_result *result)
{
	size_t half = RUN_ERRORS_MAX / 2;
	ssize_t n;

	if (pipes->err_len > half) {
		memmove(result->errors, result->errors + pipes->err_len - half,
			half);
		pipes->err_len = half;
	}
	n = read(pipes->err[0], result->errors + pipes->err_len, half);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		run_close(&pipes->err[0]);
	pipes->err_len += (size_t)n;
	result->errors[pipes->err_len] = '\0';
	return 0;
}

static int run_collect(struct run_pipes *pipes, struct run_result *result)
{
	int rc = 0;

	while (rc == 0 && (pipes->out[0] >= 0 || pipes->err[0] >= 0)) {
		struct pollfd fds[2] = {
		    {.fd = pipes->out[0], .events = POLLIN},
		    {.fd = pipes->err[0], .events = POLLIN},
		};

		if (interrupt_seen())
			return -EINTR;
		if (poll(fds, 2, -1) < 0) {
			rc = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (fds[0].revents)
			rc = run_take_output(pipes, result);
		if (rc == 0 && fds[1].revents)
			rc = run_take_errors(pipes, result);
	}
	return rc;
}

static int run_parent(pid_t pid, struct run_pipes *pipes,
		      struct run_result *result)
{
	int status = 0, err = 0, rc;

	run_close(&pipes->out[1]);
	run_close(&pipes->err[1]);
	run_close(&pipes->exec[1]);
	rc = run_collect(pipes, result);
	if (rc < 0)
		kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc == 0 && read(pipes->exec[0], &err, sizeof(err)) == sizeof(err))
		return -err;
	result->status =
	    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (rc == 0 && interrupt_seen())
		return -EINTR;
	return rc;
}

int run(const char *const *argv, const char *dir, struct run_result *result)
{
	CLEANUP(run_pipes_close)
	struct run_pipes pipes = {
	    .out = {-1, -1}, .err = {-1, -1}, .exec = {-1, -1}};
	pid_t pid;

	memset(result, 0, sizeof(*result));
	if (pipe2(pipes.out, O_CLOEXEC) < 0 ||
	    pipe2(pipes.err, O_CLOEXEC) < 0 || pipe2(pipes.exec, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(argv, dir, &pipes);
	return run_parent(pid, &pipes, result);
}

void run_result_clear(struct run_result *result)
{
	free(result->output);
	result->output = NULL;
}

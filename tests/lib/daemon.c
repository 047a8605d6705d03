/* SPDX-License-Identifier: Apache-2.0 */
/* daemon: see daemon.h. */
#include "tests/lib/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/lib/failcall.h"
#include "tests/lib/preload.h"
#include "tests/lib/tmpdir.h"

enum { DAEMON_ARGS_MAX = 24, DAEMON_STOP_MS = 10000 };

static void daemon_binary(char path[512], const char *name)
{
	const char *b = getenv("B");

	snprintf(path, 512, "%s/%s", b && *b ? b : "build/plain", name);
}

void daemon_init(struct daemon *d)
{
	*d = (struct daemon){.dir = tmpdir_new(), .out = -1};
}

void daemon_free(struct daemon *d)
{
	if (d->pid > 0)
		daemon_kill(d);
	if (d->shim)
		munmap(STEAL(d->shim), sizeof(*d->shim));
	if (d->fail)
		munmap(STEAL(d->fail), sizeof(*d->fail));
	tmpdir_remove(STEAL(d->dir));
}

void daemon_must_be_ours(const char *what)
{
	if (!getenv("RIG_REFEREE"))
		return;
	printf("not ours: %s\n", what);
	fflush(stdout);
	_exit(DAEMON_NOT_OURS);
}

/* --- system calls -------------------------------------------------------- */

/* A new file of the directory, to be mapped by the daemon too. */
static void *daemon_share(struct daemon *d, const char *name, size_t len)
{
	CLEANUP_FREE char *path = tmpdir_path(d->dir, name);
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *map;

	ASSERT(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(map != MAP_FAILED);
	return map;
}

struct preload *daemon_preload(struct daemon *d)
{
	ASSERT(!d->shim && !d->fail);
	d->shim = daemon_share(d, "preload", sizeof(*d->shim));
	return d->shim;
}

struct failcall *daemon_failcall(struct daemon *d, const char *object)
{
	ASSERT(!d->shim && !d->fail);
	d->fail = daemon_share(d, "failcall", sizeof(*d->fail));
	d->preload = object;
	return d->fail;
}

/* In the child.  With sanitizers, theirs must not mind that we are first. */
static void daemon_preload_self(const struct daemon *d)
{
	const char *asan = getenv("ASAN_OPTIONS");
	char path[512], options[600];

	if (!d->shim && !d->fail)
		return;
	if (d->shim) {
		daemon_binary(path, "tests/preload.so");
		setenv("LD_PRELOAD", path, 1);
		snprintf(path, sizeof(path), "%s/preload", d->dir);
		setenv("TEST_PRELOAD", path, 1);
	} else {
		snprintf(path, sizeof(path), "%s/failcall", d->dir);
		setenv("FAILCALL", path, 1);
		snprintf(path, sizeof(path), "%s/store", d->dir);
		setenv("FAILCALL_STORE", path, 1);
	}
	snprintf(options, sizeof(options), "%s:verify_asan_link_order=0",
		 asan ? asan : "");
	setenv("ASAN_OPTIONS", options, 1);
}

/* --- a memory limit ------------------------------------------------------ */

static bool daemon_write_text(const char *path, const char *text)
{
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 &&
	       write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static void daemon_cgroup_path(char path[128], pid_t owner, const char *file)
{
	bool v1 = access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0;

	snprintf(path, 128, "/sys/fs/cgroup/%svdrive-test-%d/%s",
		 v1 ? "memory/" : "", (int)owner, file);
}

/* In the parent, before the fork. */
static bool daemon_cgroup_make(const struct daemon *d)
{
	char path[128], bytes[32];

	snprintf(bytes, sizeof(bytes), "%llu",
		 (unsigned long long)d->memory_max);
	daemon_cgroup_path(path, getpid(), "");
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return false;
	daemon_cgroup_path(path, getpid(), "memory.limit_in_bytes");
	if (daemon_write_text(path, bytes))
		return true;
	daemon_cgroup_path(path, getpid(), "memory.max");
	return daemon_write_text(path, bytes);
}

static void daemon_cgroup_remove(struct daemon *d)
{
	char path[128];

	if (!d->in_cgroup)
		return;
	daemon_cgroup_path(path, getpid(), "");
	rmdir(path);
	d->in_cgroup = false;
}

/* --- start and end ------------------------------------------------------- */

static void daemon_limit_self(const struct daemon *d, pid_t parent)
{
	struct rlimit fds = {d->fds_max, d->fds_max};
	char path[128], pid[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	if (d->fds_max > 0 && setrlimit(RLIMIT_NOFILE, &fds) < 0)
		_exit(126);
	if (!d->in_cgroup)
		return;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	daemon_cgroup_path(path, parent, "cgroup.procs");
	if (!daemon_write_text(path, pid))
		_exit(126);
}

static void daemon_exec(const struct daemon *d, int out)
{
	char path[512], store[512], socket[512], listen[64], log[512];
	char fill[] = "upstream.fill=off";
	char set[] = "-o", user[] = "--user", root[] = "root", *argv[32];
	char trust[] = "nfs.trust-paths=yes";
	int count = 0, fd;

	daemon_binary(path, "vdrived");
	snprintf(store, sizeof(store), "store.path=%s/store", d->dir);
	snprintf(socket, sizeof(socket), "admin.socket=%s/sock", d->dir);
	snprintf(listen, sizeof(listen), "nfs.listen=127.0.0.1:%d", d->port);
	snprintf(log, sizeof(log), "%s/log", d->dir);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	dup2(fd, STDERR_FILENO);
	dup2(out, STDOUT_FILENO);
	argv[count++] = path;
	argv[count++] = user;
	argv[count++] = root;
	argv[count++] = set;
	argv[count++] = store;
	argv[count++] = set;
	argv[count++] = socket;
	argv[count++] = set;
	argv[count++] = listen;
	argv[count++] = set;
	argv[count++] = trust;
	/* Tests count what is fetched. */
	argv[count++] = set;
	argv[count++] = fill;
	for (int i = 0; i < DAEMON_OPTIONS_MAX && d->option[i]; i++) {
		argv[count++] = set;
		argv[count++] = strdup(d->option[i]);
	}
	argv[count] = NULL;
	if (d->preload)
		setenv("LD_PRELOAD", d->preload, 1);
	daemon_preload_self(d);
	execv(path, argv);
	_exit(127);
}

/* "... ready, serving NFSv3 on 127.0.0.1:PORT, control socket ..." */
static bool daemon_read_ready(struct daemon *d, uint64_t begin_ns)
{
	struct pollfd pfd = {d->out, POLLIN, 0};
	char line[1024];
	size_t len = 0;
	const char *at;

	while (len < sizeof(line) - 1) {
		uint64_t ms = (check_now_ns() - begin_ns) / 1000000;
		ssize_t n;

		if (ms >= DAEMON_START_MS ||
		    poll(&pfd, 1, (int)(DAEMON_START_MS - ms)) <= 0)
			return false;
		n = read(d->out, line + len, sizeof(line) - 1 - len);
		if (n <= 0)
			return false;
		len += (size_t)n;
		if (memchr(line, '\n', len))
			break;
	}
	line[len] = '\0';
	at = strstr(line, "127.0.0.1:");
	if (!at || !strstr(line, "ready"))
		return false;
	d->port = atoi(strchr(at, ':') + 1);
	return d->port > 0;
}

static void daemon_show_log(const struct daemon *d)
{
	char command[600];

	snprintf(command, sizeof(command), "tail -n 30 %s/log >&2", d->dir);
	if (system(command) != 0)
		fprintf(stderr, "no log of the daemon\n");
}

bool daemon_start(struct daemon *d)
{
	uint64_t begin = check_now_ns();
	pid_t parent = getpid();
	int fds[2];

	daemon_must_be_ours("starts our daemon");
	ASSERT(d->pid == 0);
	ASSERT(pipe2(fds, O_CLOEXEC) == 0);
	signal(SIGPIPE, SIG_IGN);
	d->in_cgroup = d->memory_max > 0 && daemon_cgroup_make(d);
	d->pid = fork();
	ASSERT(d->pid >= 0);
	if (d->pid == 0) {
		daemon_limit_self(d, parent);
		daemon_exec(d, fds[1]);
	}
	close(fds[1]);
	d->out = fds[0];
	if (daemon_read_ready(d, begin)) {
		d->start_ms = (check_now_ns() - begin) / 1000000;
		return true;
	}
	daemon_kill(d);
	daemon_show_log(d);
	return false;
}

static void daemon_gone(struct daemon *d)
{
	d->pid = 0;
	base_close_ptr(&d->out);
	d->out = -1;
	daemon_cgroup_remove(d);
}

void daemon_kill(struct daemon *d)
{
	daemon_must_be_ours("kills our daemon");
	if (d->pid == 0)
		return;
	kill(d->pid, SIGKILL);
	waitpid(d->pid, NULL, 0);
	daemon_gone(d);
}

int daemon_stop(struct daemon *d)
{
	struct timespec nap = {.tv_nsec = 2000000};
	uint64_t begin = check_now_ns();
	int status = 0;

	daemon_must_be_ours("stops our daemon");
	if (d->pid == 0)
		return -1;
	kill(d->pid, SIGTERM);
	while (waitpid(d->pid, &status, WNOHANG) == 0) {
		if (check_now_ns() - begin >
		    (uint64_t)DAEMON_STOP_MS * 1000000) {
			daemon_kill(d);
			return -1;
		}
		nanosleep(&nap, NULL);
	}
	daemon_gone(d);
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

bool daemon_lives(struct daemon *d)
{
	siginfo_t info = {.si_pid = 0};

	/* WNOWAIT: daemon_stop() is to see the status. */
	if (d->pid == 0 ||
	    waitid(P_PID, (id_t)d->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return false;
	return info.si_pid == 0;
}

/* --- the CLI ------------------------------------------------------------- */

static void daemon_cli_exec(const struct daemon *d, char **argv)
{
	char path[512], log[512];
	int fd;

	daemon_binary(path, "vdrive");
	snprintf(log, sizeof(log), "%s/log", d->dir);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execv(path, argv);
	_exit(127);
}

int daemon_cli(struct daemon *d, ...)
{
	char program[] = "vdrive", option[] = "--socket", socket[512];
	char *argv[DAEMON_ARGS_MAX] = {program, option, socket};
	int count = 3, status = 0;
	va_list args;
	pid_t pid;

	daemon_must_be_ours("commands our daemon");
	snprintf(socket, sizeof(socket), "%s/sock", d->dir);
	va_start(args, d);
	do {
		ASSERT(count < DAEMON_ARGS_MAX);
		argv[count] = va_arg(args, char *);
	} while (argv[count++]);
	va_end(args);
	pid = fork();
	ASSERT(pid >= 0);
	if (pid == 0)
		daemon_cli_exec(d, argv);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

/* --- figures ------------------------------------------------------------- */

uint64_t daemon_status_kb(const struct daemon *d, const char *field)
{
	char path[64], line[256];
	size_t field_len = strlen(field);
	uint64_t kb = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)d->pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, field, field_len) == 0 &&
		    line[field_len] == ':')
			kb = strtoull(line + field_len + 1, NULL, 10);
	fclose(file);
	return kb;
}

uint64_t daemon_cpu_ms(const struct daemon *d)
{
	unsigned long user = 0, system = 0;
	char path[64], line[1024];
	const char *at = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)d->pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fgets(line, sizeof(line), file))
		at = strrchr(line, ')');
	/* Fields 14 and 15; the third follows the name. */
	if (!at || sscanf(at + 2,
			  "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			  &user, &system) != 2)
		user = system = 0;
	fclose(file);
	return (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

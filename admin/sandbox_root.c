/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_root: the first process inside: it makes the root, runs the program
 * and is the parent of all that lose theirs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "admin/sandbox_inside.h"

enum { SANDBOX_PIDS_RESERVED = 302 }; /* the kernel's 300, the first, the end */

struct sandbox_root {
	const struct sandbox *sandbox;
	int fd; /* of the pipe */
	char root[4096];
	char cwd[4096];         /* outside */
	const char *inside_cwd; /* where it is seen inside; or NULL */
};

static _Noreturn void sandbox_fail(const struct sandbox_root *r,
				   const char *what)
{
	sandbox_say(r->fd, SANDBOX_SAYS_ERROR, errno, what);
	_exit(1);
}

static void sandbox_path(const struct sandbox_root *r, const char *name,
			 char out[4200])
{
	snprintf(out, 4200, "%s%s", r->root, name);
}

static bool sandbox_has_dir(const struct sandbox_root *r, const char *name)
{
	char path[4200];
	struct stat st;

	sandbox_path(r, name, path);
	/* Through a link it might be a directory of the host's. */
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void sandbox_mount(const struct sandbox_root *r, const char *type,
			  const char *name, unsigned long flags,
			  const char *data)
{
	char path[4200];

	if (!sandbox_has_dir(r, name))
		return;
	sandbox_path(r, name, path);
	if (mount(type, path, type, flags, data) < 0)
		sandbox_fail(r, name);
}

/* A part of what is mounted, read-only; best effort, not every kernel has it.
 */
static void sandbox_read_only(const struct sandbox_root *r, const char *name)
{
	char path[4200];

	sandbox_path(r, name, path);
	if (mount(path, path, NULL, MS_BIND, NULL) == 0 &&
	    mount(NULL, path, NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC,
		  NULL) < 0)
		sandbox_fail(r, name);
}

static void sandbox_overlay(struct sandbox_root *r)
{
	const struct sandbox *sandbox = r->sandbox;
	static const char *const dirs[] = {"/base", SANDBOX_UPPER, "/work",
					   "/root", SANDBOX_TMP};
	char path[ARRAY_LEN(dirs)][4200], data[16384];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		sandbox_fail(r, "private mounts");
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path[i], sizeof(path[i]), "%s%s", sandbox->work,
			 dirs[i]);
		if (mkdir(path[i], 0755) < 0)
			sandbox_fail(r, "a directory for the changes");
	}
	/* Bound first, so that no name of an operator's gets into options. */
	if (mount(sandbox->base, path[0], NULL, MS_BIND | MS_REC, NULL) < 0)
		sandbox_fail(r, "base");
	snprintf(data, sizeof(data),
		 "lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=off,"
		 "metacopy=off,index=off,xino=off",
		 path[0], path[1], path[2]);
	/* Device nodes that come along are files to be captured, no doors. */
	if (mount("overlay", path[3], "overlay", MS_NODEV, data) < 0)
		sandbox_fail(r, "overlay");
	snprintf(r->root, sizeof(r->root), "%.*s", (int)sizeof(r->root) - 1,
		 path[3]);
}

static void sandbox_devices(const struct sandbox_root *r)
{
	static const struct {
		const char *name;
		unsigned int minor;
		unsigned int major;
	} nodes[] = {
	    {"/dev/null", 3, 1},   {"/dev/zero", 5, 1},    {"/dev/full", 7, 1},
	    {"/dev/random", 8, 1}, {"/dev/urandom", 9, 1}, {"/dev/tty", 0, 5},
	};
	static const char *const links[][2] = {
	    {"/proc/self/fd", "/dev/fd"},
	    {"/proc/self/fd/0", "/dev/stdin"},
	    {"/proc/self/fd/1", "/dev/stdout"},
	    {"/proc/self/fd/2", "/dev/stderr"},
	    {"pts/ptmx", "/dev/ptmx"},
	};
	char path[4200];

	if (!sandbox_has_dir(r, "/dev"))
		return;
	sandbox_mount(r, "tmpfs", "/dev", MS_NOSUID, "mode=755,size=16m");
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		sandbox_path(r, nodes[i].name, path);
		if (mknod(path, S_IFCHR | 0666,
			  makedev(nodes[i].major, nodes[i].minor)) < 0 ||
		    chmod(path, 0666) < 0)
			sandbox_fail(r, nodes[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		sandbox_path(r, links[i][1], path);
		if (symlink(links[i][0], path) < 0)
			sandbox_fail(r, links[i][1]);
	}
	sandbox_path(r, "/dev/pts", path);
	mkdir(path, 0755);
	sandbox_mount(r, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
		      "newinstance,ptmxmode=0666,mode=620");
	sandbox_path(r, "/dev/shm", path);
	mkdir(path, 0755);
	sandbox_mount(r, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV,
		      "mode=1777,size=20%");
}

/* On the disk, not in memory: self-extractors unpack there. */
static void sandbox_tmp(const struct sandbox_root *r)
{
	char from[4200], to[4200];

	if (!sandbox_has_dir(r, "/tmp"))
		return;
	snprintf(from, sizeof(from), "%s" SANDBOX_TMP, r->sandbox->work);
	sandbox_path(r, "/tmp", to);
	if (chmod(from, 01777) < 0 ||
	    mount(from, to, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV,
		  NULL) < 0)
		sandbox_fail(r, "/tmp");
}

static void sandbox_kernel(const struct sandbox_root *r)
{
	sandbox_mount(r, "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		      NULL);
	if (sandbox_has_dir(r, "/proc")) {
		sandbox_read_only(r, "/proc/sys");
		sandbox_read_only(r, "/proc/sysrq-trigger");
		sandbox_read_only(r, "/proc/irq");
		sandbox_read_only(r, "/proc/bus");
	}
	sandbox_mount(r, "sysfs", "/sys",
		      MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* Where ./install.sh lies, and how names are resolved. */
static void sandbox_show_host(struct sandbox_root *r)
{
	char path[4200];
	struct stat st;

	if (sandbox_has_dir(r, "/run"))
		r->inside_cwd = "/run/vdrive-here";
	else if (sandbox_has_dir(r, "/tmp"))
		r->inside_cwd = "/tmp/vdrive-here";
	if (r->inside_cwd) {
		sandbox_path(r, r->inside_cwd, path);
		if (mkdir(path, 0755) < 0 ||
		    mount(r->cwd, path, NULL, MS_BIND, NULL) < 0 ||
		    mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY,
			  NULL) < 0)
			sandbox_fail(r, "the current directory");
	}
	sandbox_path(r, "/etc/resolv.conf", path);
	/* Best effort: an installer may do without. */
	if (r->sandbox->network && lstat(path, &st) == 0 &&
	    S_ISREG(st.st_mode) &&
	    mount("/etc/resolv.conf", path, NULL, MS_BIND, NULL) == 0)
		(void)mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY,
			    NULL);
}

static void sandbox_enter(const struct sandbox_root *r)
{
	if (chdir(r->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		sandbox_fail(r, "its root");
}

/*
 * Files of any owner, users, set-user-id bits, file capabilities, ports, chroot
 * and signals: what installing takes.  All others would reach what is not the
 * sandbox's own: its mounts, device nodes, and through those the host's disks;
 * the host's network, clock, kernel, and files by handle.
 */
static bool sandbox_keeps(int cap)
{
	static const int kept[] = {
	    CAP_CHOWN,
	    CAP_DAC_OVERRIDE,
	    CAP_FOWNER,
	    CAP_FSETID,
	    CAP_KILL,
	    CAP_SETUID,
	    CAP_SETGID,
	    CAP_SETPCAP,
	    CAP_SETFCAP,
	    CAP_SYS_CHROOT,
	    CAP_NET_BIND_SERVICE,
	    CAP_AUDIT_WRITE,
	};

	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (kept[i] == cap)
			return true;
	return false;
}

/* What root may have after exec is the bounding set, and whatever whoever
 * started us has made inheritable; of that, nothing. */
static void sandbox_drop(const struct sandbox_root *r)
{
	struct __user_cap_header_struct head = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, caps) < 0)
		sandbox_fail(r, "capabilities");
	for (size_t i = 0; i < ARRAY_LEN(caps); i++)
		caps[i].inheritable = 0; /* the ambient ones go with them */
	if (syscall(SYS_capset, &head, caps) < 0)
		sandbox_fail(r, "capabilities");
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!sandbox_keeps(cap) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			sandbox_fail(r, "capabilities");
}

/* The operator's language, terminal and proxies; the rest is as at a login. */
static void sandbox_environment(void)
{
	static const char *const kept[] = {
	    "TERM",
	    "LANG",
	    "LC_ALL",
	    "http_proxy",
	    "https_proxy",
	    "no_proxy",
	    "ftp_proxy",
	    "SOURCE_DATE_EPOCH",
	    "DEBIAN_FRONTEND",
	};
	char *values[ARRAY_LEN(kept)];

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const char *value = getenv(kept[i]);

		values[i] = value ? strdup(value) : NULL;
	}
	clearenv();
	setenv("PATH",
	       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	       1);
	setenv("HOME", "/root", 1);
	setenv("USER", "root", 1);
	setenv("VDRIVE_CAPTURE", "1", 1);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (values[i])
			setenv(kept[i], values[i], 1);
}

static _Noreturn void sandbox_exec(const struct sandbox_root *r,
				   const char *const *argv)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	umask(022);
	sandbox_drop(r);
	sandbox_environment();
	if (r->inside_cwd && chdir(r->inside_cwd) < 0)
		sandbox_fail(r, "the current directory");
	execvp(argv[0], (char *const *)argv);
	sandbox_fail(r, argv[0]);
}

/*
 * No more processes than that, whatever they do: an upper bound of process
 * numbers, of which the first 300 are used once only.  Before Linux 6.14 there
 * is one for the whole host, which must not be touched.
 */
static void sandbox_bound(const struct sandbox *sandbox)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;
	char text[16];
	CLEANUP_CLOSE int fd = -1;

	if (sandbox->processes_max == 0 || uname(&name) < 0 ||
	    sscanf(name.release, "%u.%u", &major, &minor) != 2 || major < 6 ||
	    (major == 6 && minor < 14))
		return;
	fd = open("/proc/sys/kernel/pid_max", O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%u",
		 sandbox->processes_max + SANDBOX_PIDS_RESERVED);
	/* A kernel for many processors takes no small ones: then they are
	 * only counted. */
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		return;
}

/* --- the end ------------------------------------------------------------- */

/* Names of all others inside, told. */
static void sandbox_tell_left(const struct sandbox_root *r)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char path[300], name[SANDBOX_NAME_MAX + 2];
	ssize_t len;
	int fd;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    strcmp(entry->d_name, "1") == 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		len = read(fd, name, sizeof(name) - 1);
		close(fd);
		if (len <= 0)
			continue;
		name[len] = '\0';
		name[strcspn(name, "\n")] = '\0';
		sandbox_say(r->fd, SANDBOX_SAYS_LEFT, 0, name);
	}
	if (dir)
		closedir(dir);
}

/* false: none was left. */
static bool sandbox_reap(unsigned int ms)
{
	const struct timespec step = {0, 50 * 1000000L};
	pid_t pid;

	for (unsigned int waited = 0; waited < ms; waited += 50) {
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0)
			return false;
		nanosleep(&step, NULL);
	}
	return true;
}

static void sandbox_end_left(const struct sandbox_root *r)
{
	/* What is just ending is not left. */
	if (!sandbox_reap(200))
		return;
	sandbox_tell_left(r);
	kill(-1, SIGTERM);
	if (!sandbox_reap(SANDBOX_GRACE_MS))
		return;
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static int sandbox_wait(pid_t program)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, 0)) != program)
		if (pid < 0 && errno != EINTR)
			return 127;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

_Noreturn void sandbox_inside(const struct sandbox *sandbox,
			      const char *const *argv, int fd)
{
	struct sandbox_root r = {.sandbox = sandbox, .fd = fd};
	pid_t program;
	int status;

	if (!getcwd(r.cwd, sizeof(r.cwd)))
		sandbox_fail(&r, "the current directory");
	sandbox_bound(sandbox);
	sandbox_overlay(&r);
	sandbox_kernel(&r);
	sandbox_devices(&r);
	sandbox_mount(&r, "tmpfs", "/run", MS_NOSUID | MS_NODEV,
		      "mode=755,size=20%");
	sandbox_tmp(&r);
	sandbox_show_host(&r);
	sandbox_enter(&r);
	program = fork();
	if (program == 0)
		sandbox_exec(&r, argv);
	if (program < 0)
		sandbox_fail(&r, "fork");
	status = sandbox_wait(program);
	sandbox_end_left(&r);
	sandbox_say(fd, SANDBOX_SAYS_STATUS, status, "");
	_exit(0);
}

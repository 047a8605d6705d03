/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_socket: where the control API is found, and that it is ours alone.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "depot/io.h"
#include "nfsd/control_request.h"

enum {
	CONTROL_BACKLOG = 16,
	CONTROL_SOCKET_MODE = 0660,
};

/* 0: nobody answers on it, and what lay there is gone. */
static int control_socket_clear(const struct sockaddr_un *addr)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: its queue is full, so it lives. */
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
	    errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return io_unlink(addr->sun_path);
}

int control_socket_open(const char *path, int *fd_out)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = -1;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	rc = control_socket_clear(&addr);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (chmod(path, CONTROL_SOCKET_MODE) < 0 ||
	    listen(fd, CONTROL_BACKLOG) < 0) {
		rc = -errno;
		unlink(path);
		return rc;
	}
	*fd_out = STEAL_FD(fd);
	return 0;
}

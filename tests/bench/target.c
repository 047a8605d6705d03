/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: learn what a server serves, one call at a time; see target.h.
 */
#include "target.h"

#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	REPLY_HEAD_MAX = 1024, /* bytes of a reply without READ's data */
};

/* One connection and the one exchange that goes over it at a time. */
struct talk {
	int fd;
	uint32_t xid;
	uint8_t call[2 * TARGET_EXPORT_MAX];
	uint8_t *args; /* into `call`: where the next argument goes */
	uint8_t reply[TARGET_READ_LEN + REPLY_HEAD_MAX];
};

int target_connect(const struct target_server *server, uint16_t port)
{
	static const char congestion[] = "reno";
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (inet_pton(AF_INET, server->address, &addr.sin_addr) != 1)
		errx(2, "%s is no IPv4 address", server->address);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
		   sizeof(congestion) - 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s:%u", server->address, port);
	return fd;
}

static struct talk *talk_open(const struct target_server *server, uint16_t port)
{
	struct talk *talk = calloc(1, sizeof(*talk));

	if (!talk)
		err(1, "set-up");
	talk->fd = target_connect(server, port);
	return talk;
}

static void talk_close(struct talk *talk)
{
	close(talk->fd);
	free(talk);
}

static void talk_receive(struct talk *talk, uint8_t *p, size_t len)
{
	while (len) {
		ssize_t got = recv(talk->fd, p, len, 0);

		if (got <= 0)
			errx(1, "set-up: the server hung up");
		p += got;
		len -= (size_t)got;
	}
}

static void talk_begin(struct talk *talk, uint32_t prog, uint32_t proc)
{
	talk->args = wire_call_head(talk->call, prog, proc);
}

/* Send the call whose arguments end at talk->args; its results come back. */
static struct wire_in talk_call(struct talk *talk, const char *what)
{
	size_t call_len = (size_t)(talk->args - talk->call), len = 0;
	struct wire_in in;
	uint32_t mark = 0;

	wire_call_seal(talk->call, talk->args, ++talk->xid);
	if (send(talk->fd, talk->call, call_len, MSG_NOSIGNAL) !=
	    (ssize_t)call_len)
		err(1, "%s: send", what);
	while (!(mark & RPC_LAST_FRAGMENT)) {
		size_t part;

		talk_receive(talk, (uint8_t *)&mark, sizeof(mark));
		mark = be32toh(mark);
		part = mark & ~RPC_LAST_FRAGMENT;
		if (part > sizeof(talk->reply) - len)
			errx(1, "%s: reply too long", what);
		talk_receive(talk, talk->reply + len, part);
		len += part;
	}
	in = (struct wire_in){.p = talk->reply, .end = talk->reply + len};
	if (wire_get32(&in) != talk->xid)
		errx(1, "%s: answer to another call", what);
	reply_accepted(&in, what);
	reply_status(&in, what);
	return in;
}

static void target_getattr(struct talk *talk, struct file *file)
{
	struct wire_in in;

	talk_begin(talk, NFS_PROGRAM, NFSPROC3_GETATTR);
	talk->args = wire_put_fh(talk->args, &file->fh);
	in = talk_call(talk, "GETATTR");
	reply_learn_attr(&in, file);
	reply_end(&in, "GETATTR");
}

static void target_lookup(struct talk *talk, const struct file *dir,
			  const char *name, size_t name_len, struct file *found)
{
	char what[TARGET_NAME_MAX + 16];
	struct wire_in in;

	snprintf(what, sizeof(what), "LOOKUP %.*s", (int)name_len, name);
	talk_begin(talk, NFS_PROGRAM, NFSPROC3_LOOKUP);
	talk->args = wire_put_fh(talk->args, &dir->fh);
	talk->args = wire_put_opaque(talk->args, name, name_len);
	in = talk_call(talk, what);
	wire_get_fh(&in, &found->fh);
	if (in.bad)
		errx(1, "%s: no handle", what);
	target_getattr(talk, found);
}

static void target_walk(struct talk *talk, const struct file *root,
			const char *path, struct file *found)
{
	*found = *root;
	for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
		struct file dir = *found;
		size_t len = strcspn(path, "/");

		if (len > TARGET_NAME_MAX)
			errx(2, "name too long: %s", path);
		target_lookup(talk, &dir, path, len, found);
		path += len;
	}
}

static void target_mount(const struct target_server *server, struct file *root)
{
	struct talk *talk = talk_open(server, server->mount_port);
	struct wire_in in;

	if (strlen(server->export) > TARGET_EXPORT_MAX)
		errx(2, "export of more than %d bytes", TARGET_EXPORT_MAX);
	talk_begin(talk, MOUNT_PROGRAM, MOUNT_MNT);
	talk->args =
	    wire_put_opaque(talk->args, server->export, strlen(server->export));
	in = talk_call(talk, "MNT");
	wire_get_fh(&in, &root->fh);
	if (in.bad)
		errx(1, "MNT: no handle");
	talk_close(talk);
}

static void target_fsinfo(struct talk *talk, const struct file *root,
			  uint32_t read_len)
{
	struct wire_in in;
	uint32_t rtmax;

	talk_begin(talk, NFS_PROGRAM, NFSPROC3_FSINFO);
	talk->args = wire_put_fh(talk->args, &root->fh);
	in = talk_call(talk, "FSINFO");
	reply_post_op_attr(&in, root, "FSINFO");
	rtmax = wire_get32(&in);
	if (in.bad || rtmax < read_len)
		errx(1, "READs of %u bytes, the server allows %u", read_len,
		     rtmax);
}

void target_open(struct target *target, const struct target_server *server,
		 uint32_t read_len)
{
	struct talk *talk;

	target_mount(server, &target->root);
	talk = talk_open(server, server->nfs_port);
	target_getattr(talk, &target->root);
	target_walk(talk, &target->root, server->dir_path, &target->dir);
	target_walk(talk, &target->root, server->hot_path, &target->hot);
	target_fsinfo(talk, &target->root, read_len);
	talk_close(talk);
	if (target->hot.type != NF3REG || target->hot.size != TREE_HOT_LEN)
		errx(1, "%s: type %u, %" PRIu64 " bytes", server->hot_path,
		     target->hot.type, target->hot.size);
}

void target_learn_files(struct target *target,
			const struct target_server *server)
{
	struct talk *talk = talk_open(server, server->nfs_port);

	for (unsigned i = 0; i < TREE_FILE_COUNT; i++) {
		struct file *file = &target->files[i];
		char *name = target->names[i];

		snprintf(name, sizeof(target->names[i]), TREE_FILE_FORMAT, i);
		target_lookup(talk, &target->dir, name, strlen(name), file);
		if (file->type != NF3REG || file->size != tree_file_len(i))
			errx(1, "%s: type %u, %" PRIu64 " bytes", name,
			     file->type, file->size);
	}
	talk_close(talk);
}

void target_prove_hot(const struct target *target,
		      const struct target_server *server)
{
	struct talk *talk = talk_open(server, server->nfs_port);
	const struct file *hot = &target->hot;

	for (uint64_t off = 0; off < hot->size; off += TARGET_READ_LEN) {
		const uint8_t *data;
		struct wire_in in;

		talk_begin(talk, NFS_PROGRAM, NFSPROC3_READ);
		talk->args = wire_put_fh(talk->args, &hot->fh);
		talk->args = wire_put64(talk->args, off);
		talk->args = wire_put32(talk->args, TARGET_READ_LEN);
		in = talk_call(talk, "READ");
		data = reply_read(&in, hot, off, TARGET_READ_LEN);
		reply_end(&in, "READ");
		for (size_t i = 0; i < TARGET_READ_LEN; i += 8)
			reply_word(data, off, i);
	}
	talk_close(talk);
}

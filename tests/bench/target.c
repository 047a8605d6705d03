/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: learn what a server serves, one call at a time; see target.h.
 */
#include "target.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>

void target_getattr(struct talk *talk, struct file *file)
{
	struct wire_in in;

	talk_begin(talk, NFS_PROGRAM, NFSPROC3_GETATTR);
	talk->args = wire_put_fh(talk->args, &file->fh);
	in = talk_call(talk, "GETATTR");
	reply_learn_attr(&in, file);
	reply_end(&in, "GETATTR");
}

void target_lookup(struct talk *talk, const struct file *dir, const char *name,
		   size_t name_len, struct file *found)
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

void target_walk(struct talk *talk, const struct file *root, const char *path,
		 struct file *found)
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

void target_mount(const struct talk_server *server, struct file *root)
{
	struct talk *talk = talk_open(server, server->mount_port);
	struct wire_in in;

	if (strlen(server->export) > TALK_EXPORT_MAX)
		errx(2, "export of more than %d bytes", TALK_EXPORT_MAX);
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

void target_open(struct target *target, const struct talk_server *server,
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

void target_learn_files(struct target *target, const struct talk_server *server)
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
		      const struct talk_server *server)
{
	struct talk *talk = talk_open(server, server->nfs_port);
	const struct file *hot = &target->hot;

	for (uint64_t off = 0; off < hot->size; off += TALK_READ_LEN) {
		const uint8_t *data;
		struct wire_in in;

		talk_begin(talk, NFS_PROGRAM, NFSPROC3_READ);
		talk->args = wire_put_fh(talk->args, &hot->fh);
		talk->args = wire_put64(talk->args, off);
		talk->args = wire_put32(talk->args, TALK_READ_LEN);
		in = talk_call(talk, "READ");
		data = reply_read(&in, hot, off, TALK_READ_LEN);
		reply_end(&in, "READ");
		for (size_t i = 0; i < TALK_READ_LEN; i += 8)
			reply_word(data, off, i);
	}
	talk_close(talk);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: a server that serves the files of tree.h, and what it showed us of
 * them before the run: handles, file numbers, sizes.
 *
 * As in reply.h, whatever is not as it should be ends the program.
 */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include "reply.h"
#include "talk.h"
#include "tree.h"

enum {
	TARGET_NAME_MAX = 255, /* bytes of one part of a path */
};

struct target {
	struct file root;
	struct file dir;
	struct file hot;
	struct file files[TREE_FILE_COUNT];
	char names[TREE_FILE_COUNT][16];
};

/* MNT of server->export. */
void target_mount(const struct talk_server *server, struct file *root);

void target_getattr(struct talk *talk, struct file *file);
void target_lookup(struct talk *talk, const struct file *dir, const char *name,
		   size_t name_len, struct file *found);
/* A path below root, by LOOKUPs. */
void target_walk(struct talk *talk, const struct file *root, const char *path,
		 struct file *found);

/*
 * Mount, find the directory and the hot file, and see that READs of
 * `read_len` bytes are allowed.
 */
void target_open(struct target *target, const struct talk_server *server,
		 uint32_t read_len);

/* Look up all files of the directory. */
void target_learn_files(struct target *target,
			const struct talk_server *server);

/* Read the hot file from end to end and check all of it. */
void target_prove_hot(const struct target *target,
		      const struct talk_server *server);

#endif

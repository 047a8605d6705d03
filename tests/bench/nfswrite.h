/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfswrite: what the parts of the writing load generator share; its manual is
 * at the top of nfswrite.c.
 */
#ifndef BENCH_NFSWRITE_H
#define BENCH_NFSWRITE_H

#include "load.h"
#include "reply.h"

enum {
	WRITE_PAGE = 4096,
	WRITE_DIRS_MAX = 4096,
};

struct write_run {
	struct load load; /* load.ctx is this */
	struct load_work work;
	struct load_options opt;
	struct file root;
	/* Options: */
	uint64_t size;    /* -S: bytes of the file written */
	uint32_t count;   /* -N: files */
	uint32_t per_dir; /* -D: files in each directory */
	uint32_t len;     /* -L: bytes of each file */
	/* Of the workload at work: */
	struct file file;
	struct file dirs[WRITE_DIRS_MAX];
	uint32_t dir_count;
	uint32_t next;
	uint64_t next_off;
	uint64_t verf;
	bool committed;
	uint32_t *salts; /* owns; of each page written in this run, 0: none */
};

/* file: big files (write_file.c). */
void write_seq(struct write_run *run, uint32_t len);
void write_half(struct write_run *run);
void write_sync(struct write_run *run);

/* many: small files and directories (write_many.c). */
void write_small(struct write_run *run);
void write_fill(struct write_run *run);
void write_list(struct write_run *run, bool forever);
void write_empty(struct write_run *run);
/* DIR's attributes and first entries are right; else it exits with 1. */
void write_look(struct write_run *run);

/* Calls one at a time. */
void write_create(struct talk *talk, const struct file *dir, const char *name,
		  struct file *made);
void write_remove(struct talk *talk, const struct file *dir, const char *name,
		  uint32_t proc);

#endif

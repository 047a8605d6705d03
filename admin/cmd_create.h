/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_create: what the two files of `package create` share: from sources that
 * are an archive, an image, a directory or a capture (cmd_create_source.c), and
 * the command itself, with Debian packages (cmd_package_create.c).
 */
#ifndef ADMIN_CMD_CREATE_H
#define ADMIN_CMD_CREATE_H

#include "admin/cmd.h"
#include "admin/import.h"
#include "admin/import_delta.h"
#include "admin/sink_daemon.h"

#define CREATE_USAGE                                                           \
	"vdrive package create NAME:TAG deb:PACKAGE|FILE.deb|dir:PATH|"        \
	"tar:FILE|oci:DIR[:NAME]|CAPTURE|delta:TENANT/GUEST[@SNAPSHOT]"

struct cmd_create {
	struct cli *cli;
	struct package_ref ref;
	struct import *import; /* owns */
	struct sink_daemon sink;
	char *text;            /* owns; what sources point into */
	char **sources;        /* owns the array; file or package names */
	size_t source_count;
	bool from_files;
	char version[TAG_NAME_MAX + 1];
	char **closure; /* owns; or NULL */
	size_t deb_count;
	uint64_t left_out; /* could not be read */
	uint64_t excluded; /* by --exclude */
	json_t *head;      /* owns; of a capture */
	struct delta_result delta; /* of a guest's changes */
	char *records;     /* owns; JSON for the revision */
	bool private;
	uint8_t salt[TREE_SALT_LEN]; /* when private */
	struct import_summary summary;
};

/* -EINVAL, said: "source "X": why", and the usage. */
int cmd_create_source_refuse(struct cmd_create *create, const char *source,
			     const char *why);
/* The version is the tag: nothing says another. */
void cmd_create_version_tag(struct cmd_create *create);

/* One kind of source each; argv[0] begins with its prefix.  Fill the import. */
typedef int cmd_create_fn(struct cmd_create *create, size_t argc,
			  const char *const *argv);
cmd_create_fn cmd_create_dir, cmd_create_tar, cmd_create_oci,
    cmd_create_capture, cmd_create_delta;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_package: list and show packages and their files.  Creating is in
 * cmd_package_create.c, proving in cmd_package_verify.c.
 */
#include <stdio.h>
#include <time.h>

#include "admin/cmd.h"
#include "admin/cmd_capture.h"
#include "depot/tree.h"

static const struct output_column cmd_package_columns[] = {
    {"NAME", "name", OUTPUT_TEXT, false},
    {"TAG", "tag", OUTPUT_TEXT, false},
    {"REVISION", "revision", OUTPUT_DIGEST, false},
    {"FILES", "files", OUTPUT_COUNT, false},
    {"SIZE", "content_len", OUTPUT_SIZE, false},
    {"SHARDS", "shards", OUTPUT_COUNT, false},
    {"UPSTREAM", "upstream", OUTPUT_TEXT, false},
    {"PINNED", "pinned", OUTPUT_YES, false},
    {"SET", "time", OUTPUT_TIME, false},
    {"VERSION", "version", OUTPUT_TEXT, true},
    {"TREE", "tree", OUTPUT_DIGEST, true},
    {"HERE", "tree_here", OUTPUT_YES, true},
};

int cmd_package_list(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv UNUSED)
{
	return cmd_list(cli, "/v1/packages", "packages", cmd_package_columns,
			ARRAY_LEN(cmd_package_columns),
			"no packages yet; try: vdrive package create "
			"python3:1 deb:python3");
}

/* The closure is for people too: a line each. */
static void cmd_package_show_revision(struct output *out, const char *text)
{
	json_t *json = json_loads(text, 0, NULL), *list;
	const json_t *closure = json_object_get(json, "closure");
	const char *key;

	for (size_t i = 0; i < json_array_size(closure); i++)
		output_line(out, "%-10s %s", i ? "" : "closure",
			    json_string_value(json_array_get(closure, i)));
	if (*cmd_text(json, "base"))
		output_line(out, "%-10s %s", "base", cmd_text(json, "base"));
	json_object_foreach(json_object_get(json, "records"), key,
			    list) for (size_t i = 0; i < json_array_size(list);
				       i++)
	    output_line(out, "%-10s %s", i ? "" : key,
			json_string_value(json_array_get(list, i)));
	json_decref(json);
}

/* Nothing to say when everybody may have it. */
static void cmd_package_show_entitled(struct output *out, const json_t *json,
				      const char *key, const char *what)
{
	const json_t *list = json_object_get(json, key);

	if (!json_is_array(list))
		return;
	if (json_array_size(list) == 0)
		output_line(out, "%-10s no tenant", what);
	for (size_t i = 0; i < json_array_size(list); i++)
		output_line(out, "%-10s tenant %s", i ? "" : what,
			    json_string_value(json_array_get(list, i)));
}

int cmd_package_show(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	char files[OUTPUT_NUMBER_MAX], size[OUTPUT_NUMBER_MAX];
	struct output *out = &cli->out;
	json_t *json;

	if (cmd_package(cli, argv[0], &json) < 0)
		return cmd_fail(cli);
	if (out->json) {
		output_json(json);
		json_decref(json);
		return CONTROL_EXIT_OK;
	}
	output_count(files, cmd_number(json, "files"), out->exact);
	output_size(size, cmd_number(json, "content_len"), out->exact);
	output_line(out, "%-10s %s", "name", cmd_text(json, "name"));
	output_line(out, "%-10s %s", "tag", cmd_text(json, "tag"));
	output_line(out, "%-10s %s", "version", cmd_text(json, "version"));
	output_line(out, "%-10s sha256:%s", "revision",
		    cmd_text(json, "revision"));
	output_line(out, "%-10s %s", "tree", cmd_text(json, "tree"));
	output_line(out, "%-10s %s files, %s, %ju shards", "content", files,
		    size, (uintmax_t)cmd_number(json, "shards"));
	output_line(out, "%-10s %s", "made",
		    *cmd_text(json, "upstream") ? cmd_text(json, "upstream")
						: "here");
	output_line(out, "%-10s %s", "pinned",
		    json_is_true(json_object_get(json, "pinned"))
			? "yes: none of it is evicted"
			: "no");
	output_line(out, "%-10s %s", "tag set", cmd_text(json, "time"));
	cmd_package_show_entitled(out, json, "entitled", "for");
	cmd_package_show_entitled(out, json, "entitled_upstream", "upstream");
	cmd_package_show_revision(out, cmd_text(json, "revision_json"));
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_package_tag(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/packages/tag",
	    .query = {{"package", argv[0]}, {"tag", argv[1]}}};
	json_t *json;
	int rc;

	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT)
		cmd_suggest_package(cli, argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  %s:%s is %s",
			    cmd_text(json, "name"), argv[1], argv[0]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- files --------------------------------------------------------------- */

struct cmd_files {
	struct output *out;
	const struct tree *tree; /* borrows */
	json_t *list;            /* NULL: lines are printed */
};

static char cmd_files_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	default:
		return '-';
	}
}

/* "drwxr-xr-x", as ls prints it. */
static void cmd_files_mode(uint32_t mode, char text[11])
{
	static const char bits[] = "rwxrwxrwx";

	text[0] = cmd_files_type(mode);
	for (int i = 0; i < 9; i++)
		text[i + 1] = mode & (0400u >> i) ? bits[i] : '-';
	if (mode & S_ISUID)
		text[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		text[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		text[9] = mode & S_IXOTH ? 't' : 'T';
	text[10] = '\0';
}

static int cmd_files_json(struct cmd_files *files, const char *path,
			  const char *target, const struct tree_inode *inode)
{
	CLEANUP_FREE char *path_copy = strdup(path);
	CLEANUP_FREE char *target_copy = strdup(target);
	json_t *json;

	if (!path_copy || !target_copy)
		return -ENOMEM;
	json = json_pack("{s:o, s:i, s:i, s:i, s:I, s:I, s:i, s:i}", "path",
			 output_json_name(path_copy), "mode",
			 (int)(inode->mode), "uid", (int)inode->uid, "gid",
			 (int)inode->gid, "size", (json_int_t)inode->size,
			 "mtime", (json_int_t)inode->mtime.tv_sec, "mtime_nsec",
			 (int)inode->mtime.tv_nsec, "nlink", (int)inode->nlink);
	if (json && S_ISLNK(inode->mode))
		json_object_set_new(json, "target",
				    output_json_name(target_copy));
	return json && json_array_append_new(files->list, json) == 0 ? 0
								     : -ENOMEM;
}

static void cmd_files_line(struct cmd_files *files, const char *path,
			   const char *target, const struct tree_inode *inode)
{
	const char *gap = files->out->no_header ? "\t" : "  ";
	char mode[11], size[OUTPUT_NUMBER_MAX], when[32];
	time_t t = inode->mtime.tv_sec;
	struct tm tm = {0};

	cmd_files_mode(inode->mode, mode);
	output_size(size, S_ISDIR(inode->mode) ? 0 : inode->size,
		    files->out->exact);
	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	if (files->out->no_header)
		output_line(files->out, "%s%s%u%s%u%s%s%s%s%s%s%s%s", mode, gap,
			    inode->uid, gap, inode->gid, gap, size, gap, when,
			    gap, path, *target ? " -> " : "", target);
	else
		output_line(files->out, "%s %5u %5u %10s  %s  %s%s%s", mode,
			    inode->uid, inode->gid, size, when, path,
			    *target ? " -> " : "", target);
}

static int cmd_files_visit(void *ctx, const char *path,
			   const struct tree_entry *entry UNUSED,
			   uint32_t number)
{
	struct cmd_files *files = ctx;
	char target[TREE_SYMLINK_MAX + 1] = "";
	struct tree_inode inode;
	const char *text;
	size_t len;

	if (!*path)
		return 0;
	if (number == TREE_WHITEOUT) {
		if (!files->list)
			output_line(files->out, "deleted     %s", path);
		return 0;
	}
	tree_inode_get(files->tree, number, &inode);
	if (S_ISLNK(inode.mode)) {
		text = tree_symlink(files->tree, number, &len);
		memcpy(target, text, MIN(len, sizeof(target) - 1));
	}
	if (files->list)
		return cmd_files_json(files, path, target, &inode);
	cmd_files_line(files, path, target, &inode);
	return 0;
}

static int cmd_files_print(struct cmd_files *files, const char *ref,
			   const struct tree *tree)
{
	json_t *json;
	int rc;

	files->tree = tree;
	if (files->out->json) {
		files->list = json_array();
		if (!files->list)
			return -ENOMEM;
	}
	rc = tree_walk(tree, cmd_files_visit, files);
	if (!files->list)
		return rc;
	json = json_pack("{s:s, s:s, s:o}", "schema", "package-files/1",
			 "package", ref, "files", files->list);
	if (rc == 0 && json)
		output_json(json);
	json_decref(json);
	return json ? rc : -ENOMEM;
}

int cmd_package_files(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	struct cmd_files files = {.out = &cli->out};
	struct tree *tree;
	json_t *package;
	int rc;

	if (strncmp(argv[0], "delta:", 6) == 0)
		return cmd_capture_delta(cli, argv[0] + 6);
	if (args_has(&cli->args, ARGS_CHANGED))
		return cmd_capture_changed(cli, argv[0]);
	if (cmd_package(cli, argv[0], &package) < 0)
		return cmd_fail(cli);
	rc = cmd_package_tree(cli, package, &tree);
	json_decref(package);
	if (rc < 0)
		return cmd_fail(cli);
	rc = cmd_files_print(&files, argv[0], tree);
	tree_put(tree);
	if (rc < 0) {
		failure_errno(&cli->failure, rc, "files of %s", argv[0]);
		return cmd_fail(cli);
	}
	return CONTROL_EXIT_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_package_verify: is a package what it claims to be?  Every shard is proved
 * by its name, here and not by the daemon; with --against DIR names, metadata
 * and data are compared with a directory.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "admin/cmd.h"
#include "admin/interrupt.h"
#include "depot/shard.h"
#include "depot/tree.h"

enum {
	VERIFY_BATCH = 64,
	VERIFY_TOLD_MAX = 1000, /* differences that are listed */
	VERIFY_PATH_MAX = 8192,
};

struct cmd_verify {
	struct cli *cli;
	const char *ref;      /* borrows */
	const char *tree_hex; /* borrows */
	struct tree *tree;    /* ref */
	json_t *findings;     /* owns; array of {letter, path, what} */
	uint64_t finding_count;
	uint64_t names;
	int root_fd; /* of --against, or -1 */
	uint8_t *chunk;
	struct output_progress_state progress;
};

static void cmd_verify_clear(struct cmd_verify *verify)
{
	tree_put(verify->tree);
	json_decref(verify->findings);
	base_close_ptr(&verify->root_fd);
	free(verify->chunk);
}

static void cmd_verify_found(struct cmd_verify *verify, char letter,
			     const char *path, const char *what)
{
	CLEANUP_FREE char *copy = strdup(path);
	char letters[2] = {letter, '\0'};

	if (verify->finding_count++ < VERIFY_TOLD_MAX && copy)
		json_array_append_new(
		    verify->findings,
		    json_pack("{s:s, s:o, s:s}", "letter", letters, "path",
			      output_json_name(copy), "what", what));
}

/* --- shards ------------------------------------------------------------------
 */

static int cmd_verify_frame(struct cmd_verify *verify, uint32_t shard,
			    const void *frames, size_t len, size_t *off)
{
	const struct digest *name = tree_shard_name(verify->tree, shard);
	char hex[DIGEST_HEX_LEN + 1];
	const void *bytes;
	size_t bytes_len, chunk_len;
	int rc;

	rc = cmd_frame(verify->cli, frames, len, off, name, &bytes, &bytes_len);
	if (rc < 0)
		return rc;
	if (shard_open(tree_salt(verify->tree), name, bytes, bytes_len,
		       verify->chunk, SHARD_CHUNK_MAX, &chunk_len) == 0) {
		verify->progress.bytes_done += chunk_len;
		return 0;
	}
	digest_to_hex(name, hex);
	cmd_verify_found(verify, '!', hex,
			 "this shard is not what its name says");
	return 0;
}

static int cmd_verify_batch(struct cmd_verify *verify, uint32_t first,
			    uint32_t count)
{
	CLEANUP_FREE void *frames = NULL;
	char hex[DIGEST_HEX_LEN + 1];
	size_t len, off = 0;
	int rc;

	rc = cmd_shards(verify->cli, verify->tree_hex, first, count, &frames,
			&len);
	if (rc < 0 && verify->cli->failure.code != CONTROL_EXIT_NO_DAEMON &&
	    verify->cli->failure.code != CONTROL_EXIT_INTERRUPTED) {
		if (count > 1) { /* one of them; which? */
			for (uint32_t i = 0; i < count; i++) {
				rc = cmd_verify_batch(verify, first + i, 1);
				if (rc < 0)
					return rc;
			}
			return 0;
		}
		digest_to_hex(tree_shard_name(verify->tree, first), hex);
		cmd_verify_found(verify, '!', hex,
				 verify->cli->failure.message);
		failure_clear(&verify->cli->failure);
		return 0;
	}
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = cmd_verify_frame(verify, first + i, frames, len, &off);
	return rc;
}

static int cmd_verify_shards(struct cmd_verify *verify)
{
	uint32_t total = tree_shard_count(verify->tree), count;
	int rc = 0;

	verify->progress.phase = "verifying";
	verify->progress.bytes_total = tree_content_len(verify->tree);
	for (uint32_t i = 0; rc == 0 && i < total; i += count) {
		count = MIN(total - i, (uint32_t)VERIFY_BATCH);
		rc = cmd_verify_batch(verify, i, count);
		output_progress(&verify->cli->out, &verify->progress);
	}
	return rc;
}

/* --- against a directory ------------------------------------------------- */

/* Chunk `i` of a file on disk: is it the tree's? */
static bool cmd_verify_chunk(struct cmd_verify *verify, int fd, uint32_t inode,
			     uint32_t i)
{
	struct tree_chunk chunk;
	struct digest name;
	size_t got = 0;
	ssize_t n;

	tree_chunk_get(verify->tree, inode, i, &chunk);
	for (uint64_t at = 0; at < chunk.len; at += got) {
		got = MIN(chunk.len - (size_t)at, (size_t)SHARD_CHUNK_MAX);
		n = pread(fd, verify->chunk, got, (off_t)(chunk.off + at));
		if (n != (ssize_t)got)
			return false;
		if (chunk.shard == TREE_HOLE) {
			for (size_t b = 0; b < got; b++)
				if (verify->chunk[b])
					return false;
		}
	}
	if (chunk.shard == TREE_HOLE)
		return true;
	name = shard_name_of(tree_salt(verify->tree), verify->chunk, chunk.len);
	return digest_equal(&name, tree_shard_name(verify->tree, chunk.shard));
}

/* NULL: equal. */
static const char *cmd_verify_data(struct cmd_verify *verify, const char *path,
				   uint32_t number,
				   const struct tree_inode *inode)
{
	CLEANUP_CLOSE int fd = -1;

	fd = openat(verify->root_fd, path,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return "cannot be opened there";
	for (uint32_t i = 0; i < inode->count; i++)
		if (!cmd_verify_chunk(verify, fd, number, i))
			return "data differ";
	verify->progress.bytes_done += inode->size;
	output_progress(&verify->cli->out, &verify->progress);
	return NULL;
}

static const char *cmd_verify_symlink(struct cmd_verify *verify,
				      const char *path, uint32_t number)
{
	char there[TREE_SYMLINK_MAX + 1];
	const char *target;
	size_t target_len;
	ssize_t len;

	target = tree_symlink(verify->tree, number, &target_len);
	len = readlinkat(verify->root_fd, path, there, sizeof(there));
	return len == (ssize_t)target_len &&
		       memcmp(there, target, target_len) == 0
		   ? NULL
		   : "target differs";
}

static const char *cmd_verify_metadata(const struct tree_inode *inode,
				       const struct stat *st)
{
	if ((inode->mode & S_IFMT) != (st->st_mode & S_IFMT))
		return "another type";
	if (S_ISREG(inode->mode) && inode->size != (uint64_t)st->st_size)
		return "size differs";
	if (!S_ISLNK(inode->mode) && inode->mode != st->st_mode)
		return "mode differs";
	if (inode->uid != st->st_uid || inode->gid != st->st_gid)
		return "owner differs";
	if (inode->mtime.tv_sec != st->st_mtim.tv_sec ||
	    inode->mtime.tv_nsec != st->st_mtim.tv_nsec)
		return "mtime differs";
	if (!S_ISDIR(inode->mode) && inode->nlink != st->st_nlink)
		return "number of hard links differs";
	if ((S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) &&
	    (inode->rdev_major != major(st->st_rdev) ||
	     inode->rdev_minor != minor(st->st_rdev)))
		return "device number differs";
	return NULL;
}

static void cmd_verify_one(struct cmd_verify *verify, const char *path,
			   uint32_t number)
{
	const char *where = *path ? path : ".";
	const char *data = NULL, *metadata;
	struct tree_inode inode;
	struct stat st;

	tree_inode_get(verify->tree, number, &inode);
	if (fstatat(verify->root_fd, where, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		cmd_verify_found(verify, 'D', where, "not there");
		return;
	}
	metadata = cmd_verify_metadata(&inode, &st);
	if (S_ISREG(inode.mode) && S_ISREG(st.st_mode) &&
	    inode.size == (uint64_t)st.st_size)
		data = cmd_verify_data(verify, where, number, &inode);
	else if (S_ISLNK(inode.mode) && S_ISLNK(st.st_mode))
		data = cmd_verify_symlink(verify, where, number);
	/* A difference of data is the one to tell of two. */
	if (data)
		cmd_verify_found(verify, 'M', where, data);
	else if (metadata)
		cmd_verify_found(verify,
				 (inode.mode & S_IFMT) ==
					     (st.st_mode & S_IFMT) &&
					 strcmp(metadata, "size differs")
				     ? 'm'
				     : 'M',
				 where, metadata);
}

/* Names that the directory has and the tree does not. */
static int cmd_verify_extra(struct cmd_verify *verify, const char *path,
			    uint32_t number)
{
	char joined[VERIFY_PATH_MAX];
	struct tree_entry found;
	struct dirent *entry;
	DIR *list;
	int fd;

	fd = openat(verify->root_fd, *path ? path : ".",
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0; /* told by cmd_verify_one */
	list = fdopendir(fd);
	if (!list) {
		close(fd);
		return -errno;
	}
	while ((entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0 ||
		    (tree_lookup(verify->tree, number, entry->d_name,
				 strlen(entry->d_name), &found) == 0 &&
		     found.inode != TREE_WHITEOUT))
			continue;
		snprintf(joined, sizeof(joined), "%s%s%s", path,
			 *path ? "/" : "", entry->d_name);
		cmd_verify_found(verify, 'A', joined, "not in the package");
	}
	closedir(list);
	return 0;
}

static int cmd_verify_visit(void *ctx, const char *path,
			    const struct tree_entry *entry UNUSED,
			    uint32_t number)
{
	struct cmd_verify *verify = ctx;
	struct tree_inode inode;

	if (interrupt_seen())
		return -EINTR;
	if (number == TREE_WHITEOUT)
		return 0;
	verify->names++;
	cmd_verify_one(verify, path, number);
	tree_inode_get(verify->tree, number, &inode);
	return S_ISDIR(inode.mode) ? cmd_verify_extra(verify, path, number) : 0;
}

static int cmd_verify_against(struct cmd_verify *verify, const char *dir)
{
	int rc;

	verify->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (verify->root_fd < 0) {
		rc = failure_errno(&verify->cli->failure, -errno,
				   "cannot open %s", dir);
		failure_hint(&verify->cli->failure, "try: ls -ld %s", dir);
		return rc;
	}
	verify->progress = (struct output_progress_state){
	    .phase = "comparing",
	    .bytes_total = tree_content_len(verify->tree),
	};
	rc = tree_walk(verify->tree, cmd_verify_visit, verify);
	return rc < 0 ? failure_errno(&verify->cli->failure, rc,
				      "comparing with %s", dir)
		      : 0;
}

/* --- result -------------------------------------------------------------- */

static void cmd_verify_print_json(struct cmd_verify *verify,
				  const char *against)
{
	json_t *json;

	json = json_pack("{s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:O}",
			 "schema", "package-verify/1", "package", verify->ref,
			 "tree", verify->tree_hex, "against", against, "shards",
			 (json_int_t)tree_shard_count(verify->tree), "bytes",
			 (json_int_t)tree_content_len(verify->tree), "names",
			 (json_int_t)verify->names, "differences",
			 (json_int_t)verify->finding_count, "findings",
			 verify->findings);
	if (json)
		output_json(json);
	json_decref(json);
}

static void cmd_verify_print_text(struct cmd_verify *verify,
				  const char *against)
{
	char names[OUTPUT_NUMBER_MAX], size[OUTPUT_NUMBER_MAX];
	struct output *out = &verify->cli->out;
	const json_t *row;

	for (size_t i = 0; i < json_array_size(verify->findings); i++) {
		row = json_array_get(verify->findings, i);
		output_line(out, "%s  %s  %s", cmd_text(row, "letter"),
			    cmd_text(row, "path"), cmd_text(row, "what"));
	}
	if (verify->finding_count > VERIFY_TOLD_MAX)
		output_line(out, "... and %ju more",
			    (uintmax_t)verify->finding_count - VERIFY_TOLD_MAX);
	if (verify->finding_count)
		return;
	output_count(names, verify->names, out->exact);
	output_size(size, tree_content_len(verify->tree), out->exact);
	if (against)
		output_line(out,
			    "ok  %s names, %s, data and metadata equal; %u "
			    "shards proved",
			    names, size, tree_shard_count(verify->tree));
	else
		output_line(out, "ok  tree and %u shards (%s) proved",
			    tree_shard_count(verify->tree), size);
}

static int cmd_verify_result(struct cmd_verify *verify, const char *against)
{
	struct failure *failure = &verify->cli->failure;

	output_progress_end(&verify->cli->out);
	if (verify->cli->out.json)
		cmd_verify_print_json(verify, against);
	else
		cmd_verify_print_text(verify, against);
	if (verify->finding_count == 0)
		return CONTROL_EXIT_OK;
	failure_set(failure, -EBADMSG, CONTROL_EXIT_FAILED,
		    "%s is not as it should be: %ju findings", verify->ref,
		    (uintmax_t)verify->finding_count);
	return cmd_fail(verify->cli);
}

int cmd_package_verify(struct cli *cli, size_t argc UNUSED,
		       const char *const *argv)
{
	const char *against = cli->args.value[ARGS_AGAINST];
	CLEANUP(cmd_verify_clear)
	struct cmd_verify verify = {.cli = cli, .ref = argv[0], .root_fd = -1};
	json_t *package;
	int rc;

	if (cmd_package(cli, argv[0], &package) < 0)
		return cmd_fail(cli);
	verify.tree_hex = cmd_text(package, "tree");
	verify.findings = json_array();
	verify.chunk = malloc(SHARD_CHUNK_MAX);
	if (!verify.findings || !verify.chunk)
		rc = failure_errno(&cli->failure, -ENOMEM, "verify");
	else
		rc = cmd_package_tree(cli, package, &verify.tree);
	if (rc == 0)
		rc = cmd_verify_shards(&verify);
	if (rc == 0 && against)
		rc = cmd_verify_against(&verify, against);
	rc = rc < 0 ? cmd_fail(cli) : cmd_verify_result(&verify, against);
	json_decref(package);
	return rc;
}

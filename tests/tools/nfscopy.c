/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfscopy: everything behind an export, as libnfs shows it, made anew in a
 * directory.
 *
 *   nfscopy HOST PORT EXPORT DIR
 *
 * DIR is empty.  Modes, owners, times, symbolic and hard links as the server
 * tells them; what is no file, directory or link is left out.  Exit 1 when
 * anything could not be read or made.
 */
#include <fcntl.h>
#include <nfsc/libnfs.h>
#include <stdio.h>
#include <sys/stat.h>

#include "admin/import_impl.h"

enum { COPY_IO = 1 << 20 };

struct copy {
	struct nfs_context *nfs;
	int root;              /* DIR */
	struct import_map ids; /* fileid -> number in paths */
	char **paths;          /* owns; of files with several names */
	size_t path_count, path_cap;
	bool failed;
};

static void copy_complain(struct copy *copy, const char *what, const char *path)
{
	fprintf(stderr, "nfscopy: %s %s: %s / %s\n", what, path,
		nfs_get_error(copy->nfs), strerror(errno));
	copy->failed = true;
}

/* Owner before mode: a change of owner takes the set-user-id bit away. */
static void copy_attr(struct copy *copy, const char *path,
		      const struct nfs_stat_64 *st)
{
	struct timespec times[2] = {
	    {(time_t)st->nfs_atime, (long)st->nfs_atime_nsec},
	    {(time_t)st->nfs_mtime, (long)st->nfs_mtime_nsec}};
	bool link = S_ISLNK(st->nfs_mode);

	if (fchownat(copy->root, path, (uid_t)st->nfs_uid, (gid_t)st->nfs_gid,
		     AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!link &&
	     fchmodat(copy->root, path, st->nfs_mode & 07777, 0) < 0) ||
	    utimensat(copy->root, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		copy_complain(copy, "attributes of", path);
}

static bool copy_bytes(struct copy *copy, struct nfsfh *fh, int fd)
{
	static char buf[COPY_IO];
	uint64_t off = 0;
	int n;

	while ((n = nfs_pread(copy->nfs, fh, off, sizeof(buf), buf)) > 0) {
		if (pwrite(fd, buf, (size_t)n, (off_t)off) != n)
			return false;
		off += (uint64_t)n;
	}
	return n == 0;
}

static void copy_file(struct copy *copy, const char *from, const char *to)
{
	CLEANUP_CLOSE int fd = openat(
	    copy->root, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct nfsfh *fh;

	if (fd < 0 || nfs_open(copy->nfs, from, O_RDONLY, &fh) < 0) {
		copy_complain(copy, "open", from);
		return;
	}
	if (!copy_bytes(copy, fh, fd))
		copy_complain(copy, "copy", from);
	nfs_close(copy->nfs, fh);
}

static void copy_symlink(struct copy *copy, const char *from, const char *to)
{
	char target[4096];

	if (nfs_readlink(copy->nfs, from, target, sizeof(target)) < 0 ||
	    symlinkat(target, copy->root, to) < 0)
		copy_complain(copy, "link", from);
}

/* A name of a file that was copied under another one before. */
static bool copy_linked(struct copy *copy, const char *to,
			const struct nfs_stat_64 *st)
{
	uint64_t id = st->nfs_ino;
	uint32_t *found;

	if (st->nfs_nlink < 2)
		return false;
	found = import_map_get(&copy->ids, &id, sizeof(id));
	if (found) {
		if (linkat(copy->root, copy->paths[*found], copy->root, to, 0) <
		    0)
			copy_complain(copy, "hard link", to);
		return true;
	}
	if (import_grow(&copy->paths, copy->path_count, &copy->path_cap,
			sizeof(*copy->paths)) < 0 ||
	    import_map_put(&copy->ids, &id, sizeof(id),
			   (uint32_t)copy->path_count) < 0)
		abort();
	copy->paths[copy->path_count++] = strdup(to);
	return false;
}

static void copy_dir(struct copy *copy, const char *from);

static void copy_object(struct copy *copy, const char *from)
{
	const char *to = from + 1;
	struct nfs_stat_64 st;

	if (nfs_lstat64(copy->nfs, from, &st) < 0) {
		copy_complain(copy, "stat", from);
		return;
	}
	if (S_ISDIR(st.nfs_mode)) {
		if (mkdirat(copy->root, to, 0700) < 0)
			copy_complain(copy, "mkdir", from);
		copy_dir(copy, from);
	} else if (!S_ISREG(st.nfs_mode) && !S_ISLNK(st.nfs_mode)) {
		return;
	} else if (copy_linked(copy, to, &st)) {
		return;
	} else if (S_ISREG(st.nfs_mode)) {
		copy_file(copy, from, to);
	} else {
		copy_symlink(copy, from, to);
	}
	copy_attr(copy, to, &st);
}

static void copy_dir(struct copy *copy, const char *from)
{
	struct nfsdir *dir;
	struct nfsdirent *ent;

	if (nfs_opendir(copy->nfs, from, &dir) < 0) {
		copy_complain(copy, "list", from);
		return;
	}
	while ((ent = nfs_readdir(copy->nfs, dir))) {
		char *below;

		if (strcmp(ent->name, ".") == 0 || strcmp(ent->name, "..") == 0)
			continue;
		if (asprintf(&below, "%s/%s", strcmp(from, "/") ? from : "",
			     ent->name) < 0)
			abort();
		copy_object(copy, below);
		free(below);
	}
	nfs_closedir(copy->nfs, dir);
}

static void copy_clear(struct copy *copy)
{
	for (size_t i = 0; i < copy->path_count; i++)
		free(copy->paths[i]);
	free(copy->paths);
	import_map_clear(&copy->ids);
	nfs_destroy_context(copy->nfs);
	close(copy->root);
}

int main(int argc, char **argv)
{
	struct copy copy = {.nfs = nfs_init_context()};
	struct nfs_url *parsed;
	char url[1024];

	if (argc != 5) {
		fprintf(stderr, "usage: nfscopy HOST PORT EXPORT DIR\n");
		return 2;
	}
	copy.root = open(argv[4], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(url, sizeof(url),
		 "nfs://%s%s/?nfsport=%s&mountport=%s"
		 "&version=3&uid=0&gid=0",
		 argv[1], argv[3], argv[2], argv[2]);
	parsed = nfs_parse_url_dir(copy.nfs, url);
	if (copy.root < 0 || !parsed ||
	    nfs_mount(copy.nfs, argv[1], argv[3]) < 0) {
		copy_complain(&copy, "mount", url);
		return 1;
	}
	nfs_destroy_url(parsed);
	copy_dir(&copy, "/");
	copy_clear(&copy);
	return copy.failed ? 1 : 0;
}

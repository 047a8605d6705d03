/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfswalk: read everything behind an export through libnfs and print it.
 *
 *   nfswalk HOST PORT EXPORT [PATH...]
 *
 * One line a regular file, "SHA256  PATH", as sha256sum prints them; PATH is
 * relative to the export, without "./".  With PATHs only these (files, or
 * directories with all below).  Exit 1 when anything could not be read.
 */
#include <fcntl.h>
#include <nfsc/libnfs.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/digest.h"

enum { WALK_IO = 1 << 20 };

static bool walk_failed;

static void walk_complain(struct nfs_context *nfs, const char *what,
			  const char *path)
{
	fprintf(stderr, "nfswalk: %s %s: %s\n", what, path, nfs_get_error(nfs));
	walk_failed = true;
}

static void walk_file(struct nfs_context *nfs, const char *path)
{
	static char buf[WALK_IO];
	struct digest_ctx *ctx = digest_ctx_new();
	char hex[DIGEST_HEX_LEN + 1];
	struct digest digest;
	struct nfsfh *fh;
	uint64_t off = 0;
	int n;

	if (nfs_open(nfs, path, O_RDONLY, &fh) < 0) {
		walk_complain(nfs, "open", path);
		return;
	}
	while ((n = nfs_pread(nfs, fh, off, sizeof(buf), buf)) > 0) {
		digest_ctx_add(ctx, buf, (size_t)n);
		off += (uint64_t)n;
	}
	digest = digest_ctx_end(ctx);
	nfs_close(nfs, fh);
	if (n < 0) {
		walk_complain(nfs, "read", path);
		return;
	}
	digest_to_hex(&digest, hex);
	printf("%s  %s\n", hex, path + 1);
}

static void walk_dir(struct nfs_context *nfs, const char *path)
{
	struct nfsdir *dir;
	struct nfsdirent *ent;

	if (nfs_opendir(nfs, path, &dir) < 0) {
		walk_complain(nfs, "list", path);
		return;
	}
	while ((ent = nfs_readdir(nfs, dir))) {
		char *below;

		if (strcmp(ent->name, ".") == 0 || strcmp(ent->name, "..") == 0)
			continue;
		if (asprintf(&below, "%s/%s", strcmp(path, "/") ? path : "",
			     ent->name) < 0)
			abort();
		if (S_ISDIR(ent->mode))
			walk_dir(nfs, below);
		else if (S_ISREG(ent->mode))
			walk_file(nfs, below);
		free(below);
	}
	nfs_closedir(nfs, dir);
}

static void walk_path(struct nfs_context *nfs, const char *path)
{
	struct nfs_stat_64 st;
	char *full;

	if (asprintf(&full, "/%s", path) < 0)
		abort();
	if (nfs_lstat64(nfs, full, &st) < 0)
		walk_complain(nfs, "stat", full);
	else if (S_ISDIR(st.nfs_mode))
		walk_dir(nfs, full);
	else
		walk_file(nfs, full);
	free(full);
}

int main(int argc, char **argv)
{
	struct nfs_context *nfs = nfs_init_context();
	struct nfs_url *parsed;
	char url[1024];

	if (argc < 4) {
		fprintf(stderr, "usage: nfswalk HOST PORT EXPORT [PATH...]\n");
		return 2;
	}
	/* The URL's last component would be a file: give it one. */
	snprintf(url, sizeof(url),
		 "nfs://%s%s/?nfsport=%s&mountport=%s"
		 "&version=3&uid=0&gid=0",
		 argv[1], argv[3], argv[2], argv[2]);
	parsed = nfs_parse_url_dir(nfs, url);
	if (!parsed || nfs_mount(nfs, argv[1], argv[3]) < 0) {
		fprintf(stderr, "nfswalk: mount %s: %s\n", url,
			nfs_get_error(nfs));
		return 1;
	}
	if (argc == 4)
		walk_dir(nfs, "/");
	for (int i = 4; i < argc; i++)
		walk_path(nfs, argv[i]);
	nfs_destroy_url(parsed);
	nfs_destroy_context(nfs);
	return walk_failed ? 1 : 0;
}

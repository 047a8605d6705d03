/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsedit: one change behind an export, by raw calls as uid 0.
 *
 *   nfsedit PORT EXPORT append|create PATH TEXT
 *   nfsedit PORT EXPORT chmod PATH OCTAL
 *   nfsedit PORT EXPORT rm|mkdir PATH
 *   nfsedit PORT EXPORT fill PATH BYTES   (made; as many as can be written)
 *   nfsedit PORT EXPORT df .              (prints total and free bytes)
 *   nfsedit PORT EXPORT mv PATH NAME      (NAME in the same directory)
 *
 * Exit 0, or 1 with the NFS status.  RAW_FROM=ADDRESS: as a client there.
 */
#include <stdio.h>

#include "tests/lib/rawnfs.h"

struct edit {
	struct raw raw;
	struct raw_fh dir; /* of the path */
	char name[256];    /* its last component */
	const char *arg;
};

static int edit_append(struct edit *e, struct raw_fh *fh, uint64_t size)
{
	uint32_t committed;
	uint64_t verifier;

	return raw_write(&e->raw, fh, size, e->arg, (uint32_t)strlen(e->arg), 2,
			 &committed, &verifier);
}

/* Noise: no two pages of it are the same. */
static int edit_fill(struct edit *e, const struct raw_fh *fh)
{
	static uint8_t data[64 << 10];
	size_t left = strtoul(e->arg, NULL, 10), len;
	uint32_t committed, seed = 1;
	uint64_t verifier, off = 0;
	int rc = 0;

	for (; rc == 0 && left > 0; left -= len, off += len) {
		len = MIN(left, sizeof(data));
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525u + 1013904223u;
			data[i] = (uint8_t)(seed >> 24);
		}
		rc = raw_write(&e->raw, fh, off, data, (uint32_t)len, 2,
			       &committed, &verifier);
	}
	return rc;
}

static int edit_df(struct edit *e)
{
	struct raw_attr attr;
	uint64_t total;
	int rc;

	raw_begin_fh(&e->raw, P_FSSTAT, &e->dir);
	rc = raw_status(&e->raw);
	if (rc != 0)
		return rc;
	raw_get_post_attr(&e->raw, &attr);
	total = raw_get64(&e->raw);
	printf("%ju %ju\n", (uintmax_t)total, (uintmax_t)raw_get64(&e->raw));
	return 0;
}

static int edit_run(struct edit *e, const char *verb)
{
	struct raw_attr attr;
	struct raw_fh fh;
	int rc;

	if (strcmp(verb, "rm") == 0)
		return raw_remove(&e->raw, &e->dir, e->name, false);
	if (strcmp(verb, "mkdir") == 0)
		return raw_mkdir(&e->raw, &e->dir, e->name, 0755, &fh);
	if (strcmp(verb, "mv") == 0)
		return raw_rename(&e->raw, &e->dir, e->name, &e->dir, e->arg);
	if (strcmp(verb, "df") == 0)
		return edit_df(e);
	if (strcmp(verb, "fill") == 0) {
		rc = raw_create(&e->raw, &e->dir, e->name, 0, 0644, &fh, NULL);
		return rc == 0 ? edit_fill(e, &fh) : rc;
	}
	if (strcmp(verb, "create") == 0) {
		rc = raw_create(&e->raw, &e->dir, e->name, 1, 0644, &fh, NULL);
		return rc == 0 ? edit_append(e, &fh, 0) : rc;
	}
	rc = raw_lookup(&e->raw, &e->dir, e->name, &fh, &attr);
	if (rc != 0)
		return rc;
	if (strcmp(verb, "append") == 0)
		return edit_append(e, &fh, attr.size);
	if (strcmp(verb, "chmod") == 0)
		return raw_set_mode(&e->raw, &fh,
				    (uint32_t)strtoul(e->arg, NULL, 8));
	fprintf(stderr, "nfsedit: no verb %s\n", verb);
	return 2;
}

int main(int argc, char **argv)
{
	struct raw_fh root;
	struct edit e;
	char *slash;
	int rc;

	if (argc < 5 || !raw_open(&e.raw, NULL, atoi(argv[1]))) {
		fprintf(stderr, "usage: nfsedit PORT EXPORT VERB PATH [ARG]\n");
		return 2;
	}
	e.arg = argc > 5 ? argv[5] : "";
	slash = strrchr(argv[4], '/');
	snprintf(e.name, sizeof(e.name), "%s", slash ? slash + 1 : argv[4]);
	if (slash)
		*slash = '\0';
	rc = raw_mount(&e.raw, argv[2], &root);
	if (rc == 0)
		rc =
		    raw_walk(&e.raw, &root, slash ? argv[4] : "", &e.dir, NULL);
	if (rc == 0)
		rc = edit_run(&e, argv[3]);
	if (rc != 0)
		fprintf(stderr, "nfsedit: %s %s: status %d\n", argv[3], e.name,
			rc);
	raw_close(&e.raw);
	return rc ? 1 : 0;
}

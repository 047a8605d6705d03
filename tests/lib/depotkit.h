/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depotkit: depots and packages for tests.  What cannot fail in a right build
 * is ASSERTed.
 */
#ifndef TESTS_LIB_DEPOTKIT_H
#define TESTS_LIB_DEPOTKIT_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/gc.h"
#include "depot/publish.h"

enum { KIT_MEMORY = 64 << 20 };

/* Opens with a small budget. */
struct depot *kit_open(const char *path);

struct kit_package {
	char *json;        /* owns */
	struct tree *tree; /* ref */
	struct digest revision;
};

/*
 * Create and commit name:tag: `files` files "data/fN" of lengths up to a few
 * chunks.  Content is a matter of `seed` alone: files of the same number and
 * seed are the same.  Every other file compresses well.
 */
void kit_create(struct depot *depot, const char *name, const char *tag,
		unsigned int files, uint64_t seed, struct kit_package *package);
/* The same, private under this salt (NULL: not private). */
void kit_create_salted(struct depot *depot, const char *name, const char *tag,
		       unsigned int files, uint64_t seed, const uint8_t *salt,
		       struct kit_package *package);
void kit_package_clear(struct kit_package *package);

/* The same in two steps, or given up: all shards under a lease, then named. */
struct kit_build {
	struct depot *depot;      /* borrows */
	const uint8_t *salt;      /* borrows; NULL: not private */
	struct tree_build *build; /* kit's own */
	struct tree *tree;        /* ref */
	uint64_t lease, content_len;
	unsigned int files;
};
void kit_build_begin(struct depot *depot, unsigned int files, uint64_t seed,
		     const uint8_t *salt, struct kit_build *kit);
void kit_build_commit(struct kit_build *kit, const char *name, const char *tag,
		      struct kit_package *package);
void kit_build_drop(struct kit_build *kit);

/* One shard of random chunk bytes. */
struct kit_shard {
	uint8_t *chunk; /* owns */
	size_t chunk_len;
	uint8_t *shard; /* owns */
	size_t shard_len;
	struct digest name;
};
void kit_shard_make(struct kit_shard *shard, size_t chunk_len, uint64_t seed);
void kit_shard_clear(struct kit_shard *shard);

/* Publish a depot's package; rc of publish_dir. */
MUST_CHECK int kit_publish(struct depot *depot, const char *dir,
			   const char *name, const char *tag,
			   const struct kit_package *package,
			   struct publish *publish);

/* "dir:PATH", owned by the caller. */
char *kit_url(const char *dir);

/* Read every chunk of a tree through depot_read_start, `window` pieces at a
 * time; returns how many bytes had the right name, or the first error. */
int64_t kit_read_all(struct depot *depot, struct tree *tree,
		     unsigned int window);

/* Whole file; what the test needs to damage things. */
void kit_file_read(const char *path, uint8_t **bytes, size_t *len);
void kit_file_write(const char *path, const void *bytes, size_t len);
void kit_file_flip(const char *path, size_t off); /* one bit */
void kit_file_cut(const char *path, size_t len);

#endif

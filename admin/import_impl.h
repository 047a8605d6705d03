/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_impl: what import.c (objects), import_data.c (bytes) and
 * import_place.c (paths to tree) share; import_layers.c flattens layers before that.
 */
#ifndef ADMIN_IMPORT_IMPL_H
#define ADMIN_IMPORT_IMPL_H

#include "admin/import.h"
#include "depot/chunker.h"

/* --- import_map: bytes to a number --------------------------------------- */

struct import_slot {
	void *key; /* owns; NULL: free */
	uint32_t key_len, value;
};
struct import_map {
	struct import_slot *slots; /* owns */
	size_t count, cap;         /* cap is 0 or a power of 2 */
	uint8_t hash_key[SIPHASH_KEY_LEN];
};
/* The value's place, or NULL.  Changed by the next put. */
uint32_t *import_map_get(const struct import_map *map, const void *key,
			 size_t key_len);
/* Put or replace; -ENOMEM. */
MUST_CHECK int import_map_put(struct import_map *map, const void *key,
			      size_t key_len, uint32_t value);
void import_map_clear(struct import_map *map);

/* --- objects ------------------------------------------------------------- */

enum { IMPORT_NONE = UINT32_MAX };

struct import_chunk {
	struct digest name; /* unused when it is a hole */
	uint32_t len;
	bool hole;
};

enum import_kind {
	IMPORT_OBJECT = 0,
	IMPORT_WHITEOUT, /* attr.mode is 0, as for the next */
	IMPORT_OPAQUE,	 /* a mark on the directory of that path */
};

struct import_entry {
	char *path;   /* owns; clean */
	char *placed; /* owns; after import_place, NULL: not kept */
	char *target; /* owns; of symbolic and hard links */
	struct tree_build_attr attr; /* mode 0: a hard link */
	uint32_t origin;
	uint32_t first_chunk, chunk_count;
	enum import_kind kind;
};

static inline bool import_is_link(const struct import_entry *entry)
{
	return entry->kind == IMPORT_OBJECT && entry->attr.mode == 0;
}

struct import_xattr {
	uint32_t entry;
	char *name;  /* owns */
	void *value; /* owns */
	size_t len;
};

/* A file that tells which operating system this is, import_os.c. */
enum { IMPORT_OS_FILES = 2 };
struct import_os_file {
	char *text; /* owns; with a NUL; NULL: none, or it is too long */
	size_t len;
};

struct import {
	const struct import_sink *sink;
	struct import_options options;
	bool layered; /* origins are layers */
	const char *base, *records; /* borrow; of the revision */
	struct output *out;
	struct failure *failure;

	char **origins; /* owns */
	uint32_t origin_count;
	struct import_entry *entries; /* owns */
	size_t entry_count, entry_cap;
	struct import_xattr *xattrs; /* owns */
	size_t xattr_count, xattr_cap;
	struct import_chunk *chunks; /* owns */
	size_t chunk_count, chunk_cap;

	uint64_t bytes; /* announced so far */
	struct import_os_file os[IMPORT_OS_FILES];
	struct import_os_file *os_file; /* the file at hand is one of them */

	/* The file that is being taken. */
	bool in_file, whole;
	uint64_t file_size, file_got;
	uint8_t *window; /* owns; bytes not cut yet */
	size_t window_len;

	/* Chunks met for the first time, not asked for yet. */
	struct import_map seen; /* names met in this import */
	struct digest *batch;   /* owns */
	uint32_t *batch_len;    /* owns */
	uint8_t *batch_bytes;   /* owns */
	size_t batch_count, batch_used;
	uint8_t *frames;      /* owns */
	struct digest *plain; /* owns; names without salt, of `frames` */
	uint32_t *sealed_len; /* owns; of `frames` */

	uint64_t shards, shards_new, bytes_added;
	uint64_t shards_unshared, bytes_unshared;
	struct output_progress_state progress;
};

/* Grow an array of `size`-byte items to hold one more; -ENOMEM. */
MUST_CHECK int import_grow(void *items, size_t count, size_t *cap, size_t size);
const char *import_origin_name(const struct import *import, uint32_t origin);

MUST_CHECK int import_data_open(struct import *import); /* the buffers */
void import_data_close(struct import *import);
MUST_CHECK int import_data_flush(struct import *import);

/* A file begins, and its bytes. */
void import_os_begin(struct import *import, const char *path, uint64_t size);
void import_os_data(struct import *import, const void *data, size_t len);
/* The records of the revision, malloc'ed, NULL: none; with "os" where this is
 * one.  -ENOMEM. */
MUST_CHECK int import_os_records(const struct import *import, char **records);
void import_os_clear(struct import *import);

/* Of layered origins only what is seen in the end stays. */
MUST_CHECK int import_flatten(struct import *import);
/* Set every entry's `placed`. */
MUST_CHECK int import_place(struct import *import);
/* Tree bytes of the placed entries, malloc'ed. */
MUST_CHECK int import_build(struct import *import, void **bytes, size_t *len);

#endif

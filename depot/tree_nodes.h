/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_nodes: what tree_build.c and tree_content.c collect and tree_write.c
 * writes; nobody else includes it.
 *
 * A node is a name in a directory, an object what the name stands for.  Nodes
 * stay for good; a replaced object goes when its last name has gone.
 */
#ifndef DEPOT_TREE_NODES_H
#define DEPOT_TREE_NODES_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/tree_build.h"

struct tree_piece {
	uint32_t shard; /* in tree_build.shards; TREE_HOLE */
	uint32_t len;
};

struct tree_attrib {
	struct tree_attrib *next; /* owns; by rising names */
	uint32_t value_len;
	uint8_t name_len;
	char data[]; /* name, value */
};

struct tree_object {
	struct tree_build_attr attr;
	uint32_t refs;	 /* names */
	uint32_t number; /* inode, while writing */
	bool opaque;
	uint16_t target_len;
	uint32_t child_count;
	uint32_t piece_count, piece_cap;
	uint64_t size; /* of regular files */
	struct tree_attrib *attribs; /* owns */
	union {
		struct tree_node *children; /* borrows; directory */
		struct tree_piece *pieces;  /* owns; regular file */
		char *target;		    /* owns; symbolic link */
	};
};

struct tree_node {
	struct tree_node *chain;    /* borrows; bucket of the table */
	struct tree_node *sibling;  /* borrows */
	struct tree_node *parent;   /* borrows; NULL: root */
	struct tree_object *object; /* a reference; NULL: whiteout */
	uint8_t name_len;
	char name[];
};

struct tree_build {
	struct tree_node *root;	    /* owns */
	struct tree_node **buckets; /* owns, also the nodes but the root */
	size_t bucket_count;	    /* power of two */
	size_t node_count;	    /* without the root */
	uint8_t hash_key[SIPHASH_KEY_LEN];
	struct tree_object *file; /* borrows; takes chunks; NULL: none */
	uint64_t piece_count;

	/* Shard names by number, and a table of 1 + number by name. */
	struct digest *shards; /* owns */
	uint32_t *slots;       /* owns */
	uint32_t shard_count, shard_cap, slot_count;

	bool private;
	uint8_t salt[TREE_SALT_LEN];
};

/* What is at a path.  -ENOENT: nothing; a whiteout is found.  -EINVAL. */
MUST_CHECK int tree_build_find(const struct tree_build *build, const char *text,
			       struct tree_node **out);

static inline bool tree_object_is(const struct tree_object *object,
				  uint32_t type)
{
	return object && (object->attr.mode & S_IFMT) == type;
}

#endif

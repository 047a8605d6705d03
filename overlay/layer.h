/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer: one layer of deltas, in memory.
 *
 * A guest's delta is a stack: the top layer, which is its own and takes every
 * change, over frozen ones, which never change and may be shared by snapshots
 * and clones.  A layer stands on one other, or on the packages.  What a layer
 * has for a key (record.h) hides what lies below it.
 *
 * Taking a snapshot freezes the top layer and puts an empty one on it, so it
 * costs the same whatever the delta holds.
 */
#ifndef OVERLAY_LAYER_H
#define OVERLAY_LAYER_H

#include "depot/depot.h"
#include "depot/kv.h"
#include "overlay/idset.h"
#include "overlay/recent.h"
#include "overlay/record.h"

enum { DATA_DIRS = 256 }; /* of a layer's host files; a power of two */

struct layer {
	uint64_t id;
	uint64_t parent; /* layer below; 0: the packages */
	/* The rest (and parent) of a top layer is guarded by its view's lock,
	 * that of a frozen one by the locks of all views that stand on it; only
	 * merges change that (merge.h). */
	struct idset recorded; /* fileids with an inode record here */
	struct idset touched;  /* directories with name records here */
	uint64_t bytes;        /* of data */
	struct tree **trees;   /* refs: that records here are based on */
	unsigned int tree_count;
	struct recent recent;        /* some of its inode records */
	bool dirs_synced[DATA_DIRS]; /* their names, since it was loaded */
	/* guarded by layers->lock: */
	unsigned int refs;
	struct layer *next;
};

/* All layers in memory: each is loaded once. */
struct layers;

MUST_CHECK int layers_new(struct depot *depot, struct layers **layers);
void layers_free(struct layers *layers); /* all were put; NULL allowed */
/* Load a layer, or take another reference.  -EIO, -ENOMEM, -EBADMSG, -EHOSTDOWN
 * (logged: a tree that it is based on is neither here nor upstream). */
MUST_CHECK int layer_get(struct layers *layers, uint64_t id,
			 struct layer **layer);
/* What a layer and all below it hold, as the database says, without their
 * bases: of one that cannot be loaded.  -EIO, -ENOMEM, -EBADMSG. */
MUST_CHECK int layer_sum(struct kv *kv, uint64_t id, uint64_t *bytes,
			 uint64_t *files);
/* An empty one, whose 'L' key the caller writes (layer_put_key). */
MUST_CHECK int layer_new(struct layers *layers, uint64_t id, uint64_t parent,
			 struct layer **layer);
void layer_put(struct layers *layers, struct layer *layer); /* NULL allowed */

void layer_put_key(struct kv_batch *batch, uint64_t id, uint64_t parent);
/* The layer below, 0 for none. */
MUST_CHECK int layer_parent(struct kv *kv, uint64_t id, uint64_t *parent);

/* Hold a tree as long as the layer is in memory (takes a reference of its
 * own).  -ENOMEM. */
MUST_CHECK int layer_hold_tree(struct layer *layer, struct tree *tree);
/* The tree with this digest, borrowed; NULL: not held here. */
struct tree *layer_tree(const struct layer *layer, const struct digest *digest);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view_impl: the inside of a view, for the files of this floor only.
 *
 * A file handle names a fileid.  What lies behind it is, in this order: a node
 * (in memory: a file whose bytes are partly in the delta), a record in the
 * state database (`recorded` says whether there is one), or an object of the
 * image.  struct inode is that, loaded for the length of one operation.
 */
#ifndef OVERLAY_VIEW_IMPL_H
#define OVERLAY_VIEW_IMPL_H

#include <pthread.h>
#include <sys/stat.h>

#include "depot/kv.h"
#include "depot/space.h"
#include "overlay/ahead.h"
#include "overlay/idset.h"
#include "overlay/image.h"
#include "overlay/layer.h"
#include "overlay/lives.h"
#include "overlay/pages.h"
#include "overlay/past.h"
#include "overlay/quota.h"
#include "overlay/record.h"
#include "overlay/starts.h"
#include "overlay/view.h"

enum {
	VIEW_NODES_MAX = 512,   /* open host files of a view kept when idle */
	VIEW_NODE_SLOTS = 1024, /* hash table */
	VIEW_ID_BLOCK = 1024,   /* fileids reserved at once */
	VIEW_LAYERS_MAX = 9,    /* SITE_LAYERS_MAX, and one to be merged */
};

/* A file as one of the frozen layers has it, under a node (node_below.c). */
struct node_below {
	uint64_t limit;      /* bytes of it, and of what is below, seen here */
	int fd;              /* owns; host file, or -1 */
	struct pages pages;  /* of the host file */
	uint8_t *inline_buf; /* owns; the whole of it, or NULL */
	size_t inline_len;
};

/* Generation of objects born in a delta: this and the export that made it, so
 * that guests whose numbers are equal have other handles. */
#define VIEW_BORN 0x80000000u

struct node {
	uint64_t fileid;
	struct node *hash_next;
	struct record rec;              /* now */
	struct record_data_state saved; /* what the database may say */
	bool recorded;                  /* the database has a record */
	bool dirty;                     /* rec.data or pages are ahead of it */
	bool flight;                    /* a commit is under way */
	bool cutting;                   /* an ftruncate is under way */
	bool dead;     /* removed while something was under way */
	bool new_file; /* its name is not surely on disk */
	bool broken;   /* its host file can't be trusted */
	int fd;        /* owns; host file, -1 */
	struct pages pages;
	struct node_below *below; /* owns; topmost first */
	unsigned int below_count;
	uint64_t base_seen; /* bytes of the package's file that are seen */
	struct view_change *commits, **commits_last; /* for the next flight */
	struct view_wait *waits; /* parked until nothing is under way */
};

struct view {
	pthread_rwlock_t lock;     /* guards all below; order in view.h */
	struct depot *depot;       /* borrows */
	struct kv *kv;             /* borrows; the state database */
	struct journal *journal;   /* borrows */
	struct layers *layers;     /* borrows */
	const struct lives *lives; /* borrows */
	struct view_info info;
	struct layer *layer[VIEW_LAYERS_MAX]; /* refs; [0] is the top */
	unsigned int layer_count;
	struct timespec since;      /* no object has an earlier ctime */
	struct quota quota;         /* of this guest */
	struct quota *tenant_quota; /* borrows; shared by its guests */
	bool paused;                /* atomic; its calls are not answered */
	bool offline;               /* atomic; likewise: see site_offline.h */
	uint64_t unread_bytes, unread_files; /* counted; of its layers then */
	bool removed;                        /* everything is stale */
	bool still;                          /* writers park: see still.c */
	struct view_wait *waits;             /* parked until the view stirs */
	char tenant[PACKAGE_NAME_MAX + 1], guest[PACKAGE_NAME_MAX + 1];
	uint32_t who;               /* the tenant, to the depot */
	struct image *image;        /* ref */
	struct past *past;          /* borrows; the tenant's */
	uint64_t next_id, id_limit; /* fileids; the limit is stored */
	struct node *nodes[VIEW_NODE_SLOTS];
	unsigned int node_count;
	char data_dir[512];    /* of all layers' host files */
	unsigned int flights;  /* commits, cuts and read-aheads under way */
	struct starts *starts; /* borrows; NULL: starts are not recorded */
	struct starts_view started;
	struct ahead ahead;
	pthread_cond_t idle; /* with idle_lock: flights became 0 */
	pthread_mutex_t idle_lock;
};

/* One object, loaded for one operation. */
struct inode {
	uint64_t fileid;
	uint32_t image;     /* image inode, or IMAGE_NONE */
	bool recorded;      /* in the top layer or one below */
	unsigned int level; /* of the layer that has the record */
	bool data_now;      /* this operation decides rec.data */
	bool old;           /* inode_load_old: a switch took it away */
	struct node *node;  /* borrows; NULL when there is none */
	struct record rec;
};

/* What a view_wait is doing. */
enum {
	WAIT_IDLE,
	WAIT_READ,   /* chunks are being gathered */
	WAIT_LANDED, /* they are pinned, or wait->error says why not */
	WAIT_NODE,   /* parked on a node */
	WAIT_VIEW,   /* parked on the view */
	WAIT_POOL,   /* a host file is being read ahead */
};

/* --- inode.c ------------------------------------------------------------- */

/* -ESTALE: no such object (any more). */
MUST_CHECK int inode_load(struct view *view, uint64_t fileid,
			  uint32_t generation, struct inode *inode);
/* For what only reads: also what a switch has taken away (past.h), `old` then.
 * Whatever changes something uses inode_load, to which that is stale. */
MUST_CHECK int inode_load_old(struct view *view, uint64_t fileid,
			      uint32_t generation, struct inode *inode);
/* An object of a tree as a record; tree NULL: it has no base. */
void record_from_tree(const struct tree *tree, uint32_t inode,
		      const struct tree_inode *attr, struct record *rec);
/* As the record that a copy-up of an image's object would write. */
void record_from_image(const struct image *image, uint32_t i,
		       struct record *rec);
/* Whatever is known of a number: also what is gone or superseded. */
MUST_CHECK int inode_peek(struct view *view, uint64_t fileid,
			  struct inode *inode);
/* Likewise, whatever its generation (for ".." and entries). */
MUST_CHECK int inode_load_id(struct view *view, uint64_t fileid,
			     struct inode *inode);
MUST_CHECK int inode_load_dir(struct view *view, struct view_object obj,
			      struct inode *inode); /* -ENOTDIR */
uint32_t inode_nlink(struct view *view, const struct inode *inode);
void inode_attr(struct view *view, const struct inode *inode,
		struct view_attr *attr);
/* An inode record; absent or damaged: -EIO. */
MUST_CHECK int record_load(struct kv *kv, uint64_t layer, uint64_t fileid,
			   struct record *rec);
/* Number of the layer, top first, that has a record of it; VIEW_LAYERS_MAX:
 * none has. */
unsigned int view_recorded(const struct view *view, uint64_t fileid);
/* The same for names of a directory. */
bool view_touched(const struct view *view, uint64_t dir);
static inline struct layer *view_top(const struct view *view)
{
	return view->layer[0];
}
static inline void view_account(struct view *view, int64_t bytes, int64_t files)
{
	quota_add(&view->quota, bytes, files);
	quota_add(view->tenant_quota, bytes, files);
	view_top(view)->bytes += (uint64_t)bytes;
}
/* Before a record is written to the top layer: hold its base, make room for
 * view_add_record.  -ENOMEM. */
MUST_CHECK int view_hold_record(struct view *view, const struct record *rec);
void view_add_record(struct view *view, uint64_t fileid);
/* Before a record is encoded: which life writes it, and how late a ctime may
 * be shown before the next record; `ahead`: later than it has itself, since
 * writes that are not synced go on (lives.h). */
void inode_bound(const struct view *view, struct record *rec, bool ahead);
/* -EDQUOT: there is no room for this growth. */
MUST_CHECK int view_may_grow(const struct view *view, int64_t bytes,
			     int64_t files);
/* Are bytes of it in host files (of this layer or one below)?  Then reading it
 * takes a node. */
static inline bool inode_is_pieced(const struct inode *inode)
{
	return inode->rec.data.kind == RECORD_DATA_HOST ||
	       (inode->rec.data.lower &&
		inode->rec.data.kind == RECORD_DATA_NONE);
}
/* The tree a record is based on; NULL when it has no base. */
struct tree *inode_base(struct view *view, const struct record *rec);
bool inode_may(struct view *view, const struct inode *inode,
	       const struct view_cred *cred, unsigned int want);
bool cred_in_group(const struct view_cred *cred, uint32_t gid);
void wcc_before(struct view_wcc *wcc, const struct inode *inode);
void wcc_after(struct view *view, struct view_wcc *wcc,
	       const struct inode *inode);
bool time_is_after(const struct timespec *a, const struct timespec *b);
/* Now, but later than `old`: the next ctime of an object (rule N-13). */
struct timespec time_after(const struct timespec *old);
/* A change of the object: ctime, and mtime when `content`. */
void inode_touch(struct inode *inode, bool content);

/* --- node.c: files with bytes in the delta ------------------------------- */

struct node *node_find(struct view *view, uint64_t fileid);
/* Make the node of a regular file (view->lock held alone); repeats a cut that
 * was not surely applied. */
MUST_CHECK int node_open(struct view *view, struct inode *inode);
/* Open a node anew whose host file could not be cut: that repeats the cut. */
MUST_CHECK int node_mend(struct view *view, struct inode *inode);
/* Presence bits as a layer has them; what is damaged is -EIO, logged. */
MUST_CHECK int node_load_pages(struct view *view, uint64_t layer,
			       uint64_t fileid, struct pages *pages);
/* Nothing under way and nothing unsaved: free to go. */
void node_close(struct view *view, struct node *node);
/* Close the node of a file, if there is one and it may go. */
void node_let_go(struct view *view, uint64_t fileid);
/* The object or its data goes: forget the node, now or when its flight ends. */
void node_detach(struct view *view, struct node *node);
void node_close_all(struct view *view);
/* Park a call until nothing is under way on the node; starts a commit when it
 * is dirty.  Always -EINPROGRESS. */
MUST_CHECK int node_park(struct view *view, struct node *node,
			 struct view_wait *wait);
/* Bytes and presence to stable media, then the record; `change` is settled
 * then.  view->lock held alone. */
void node_commit(struct view *view, struct node *node,
		 struct view_change *change);
/* Commit what is dirty, for nobody in particular. */
void node_flush(struct view *view, struct node *node);
/* Cut the host file once the batch just written is stable. */
void node_cut(struct view *view, struct node *node);
/* Wait until nothing of the view is under way. */
void view_drain(struct view *view);
void view_flight_begin(struct view *view);
void view_flight_end(struct view *view);
/* Path of a host file: data/LAYER/xx/ID. */
void data_path(const struct view *view, uint64_t layer, uint64_t data_id,
	       char *path, size_t path_len);
/* A new one, in the top layer's directory. */
MUST_CHECK int data_create(struct view *view, uint64_t data_id, int *fd);
/* Open one, and repeat a cut that was not surely applied.  -EIO, logged. */
MUST_CHECK int data_open(struct view *view,
			 const struct record_data_state *data, int *fd);
/* Delete a host file, and the key that says so, once the batch just written
 * is stable. */
struct reap;
/* Before a host file is made: should no record ever name it, it is reaped. */
MUST_CHECK int reap_promise(struct view *view, uint64_t data_id);
MUST_CHECK int reap_new(struct view *view, uint64_t layer, uint64_t data_id,
			struct reap **reap);
/* The key that says so, for the batch. */
void reap_put_key(struct kv_batch *batch, uint64_t top, uint64_t layer,
		  uint64_t data_id);
void reap_submit(struct reap *reap); /* takes reap */
void reap_free(struct reap *reap);   /* not submitted */
/* At opening: delete what an earlier life had to reap. */
MUST_CHECK int reap_all(struct view *view);

/* --- node_below.c: the frozen layers under a node ------------------------ */

/* Open what the layers from number `level` on have of the file. */
MUST_CHECK int node_below_open(struct view *view, struct node *node,
			       unsigned int level);
void node_below_close(struct node *node);
enum node_where { NODE_HERE, NODE_BELOW, NODE_BASE, NODE_ZERO };
struct node_source {
	enum node_where kind;
	uint64_t seen; /* bytes of that source, from the file's start, that
			  are seen; zeros behind them */
	const struct node_below *below;
};
/* Where the bytes of a page are. */
struct node_source node_source(const struct node *node, uint64_t page);
/* First page > `page` and <= `end` that lies elsewhere than `page`. */
uint64_t node_source_end(const struct node *node, uint64_t page, uint64_t end);
/* Bytes of a NODE_BELOW source; -EAGAIN: they are not in memory. */
MUST_CHECK int node_below_read(const struct node_source *source, uint8_t *buf,
			       size_t len, uint64_t off, bool may_block);
/* file.c: what lies behind the end of a host file reads as zeros. */
MUST_CHECK int host_pread(int fd, uint8_t *buf, size_t len, uint64_t off,
			  bool may_block);

/* --- still.c: a moment in which nothing changes -------------------------- */

/*
 * Bring every byte written so far to stable media and keep writers out; returns
 * with view->lock held alone, no node open, nothing under way.  -EIO: bytes
 * cannot be made stable (nothing is kept out then, and no lock held).
 */
MUST_CHECK int view_still(struct view *view);
/* Drop the lock; writers go on. */
void view_stir(struct view *view);
/* In a still view: park a call.  Always -EINPROGRESS. */
MUST_CHECK int view_park(struct view *view, struct view_wait *wait);

/* --- gather.c: chunks of a base ------------------------------------------ */

/* Start gathering; what an earlier run of the call has pinned stays. */
struct gather {
	struct view *view;
	struct view_wait *wait;
	struct tree *tree;
	struct depot_read read; /* wanted; pieces only */
	uint64_t off[DEPOT_READ_MAX];
	uint32_t len[DEPOT_READ_MAX];
};
void gather_begin(struct gather *g, struct view *view, struct view_wait *wait,
		  struct tree *tree);
/*
 * Want the chunks that hold [off, off+len) of a file of the tree.  Returns the
 * end of what they cover: less than asked for when the file's chunks are so
 * small that there is no room for all of them.
 */
MUST_CHECK uint64_t gather_add(struct gather *g, uint32_t inode, uint64_t off,
			       size_t len);
/* 0: all are pinned in wait.  -EINPROGRESS, -EIO, -ENOMEM. */
MUST_CHECK int gather_run(struct gather *g);
/* Copy [off, off+len); what is no gathered chunk is zeros (holes). */
void gather_copy(const struct view_wait *wait, uint64_t off, size_t len,
		 uint8_t *out);

/* --- op.c: one changing operation ---------------------------------------- */

enum { OP_INODES_MAX = 8, OP_REAPS_MAX = 2 };

struct op {
	struct view *view;
	struct view_change *change;
	struct kv_batch *batch;              /* owns */
	struct inode *inodes[OP_INODES_MAX]; /* borrows: to be written */
	unsigned int inode_count;
	bool frees;         /* no quota stands against it */
	bool ahead;         /* inode_bound */
	uint64_t erased[2]; /* born objects whose record goes */
	unsigned int erased_count;
	uint64_t touched[2]; /* directories that get a name record */
	unsigned int touched_count;
	struct reap *reaps[OP_REAPS_MAX]; /* owns until the batch is written */
	unsigned int reap_count;
	struct node *detached[OP_REAPS_MAX]; /* borrows: nodes that go */
	unsigned int detached_count;
	int64_t bytes; /* added to the delta */
	bool names;    /* it puts an entry into a directory */
};

MUST_CHECK int op_begin(struct op *op, struct view *view,
			struct view_change *change);
/* A number never used before in this guest, RECORD_BORN set. */
MUST_CHECK int view_take_id(struct view *view, uint64_t *id);
/* Write this inode's record with the batch, as it is at op_end. */
void op_inode(struct op *op, struct inode *inode);
void op_name_put(struct op *op, uint64_t dir, uint64_t cookie,
		 enum record_name_kind kind, const char *name, size_t name_len,
		 uint64_t fileid, uint32_t generation);
void op_name_delete(struct op *op, uint64_t dir, uint64_t cookie);
/* Give up all data of an inode in the delta (also of one that goes). */
MUST_CHECK int op_drop_data(struct op *op, struct inode *inode);
/* The object's last name is gone. */
MUST_CHECK int op_erase(struct op *op, struct inode *inode);
/*
 * change->done is complete: take the reply record, write the batch, bring
 * memory up to it.  On success the change is pending and with the journal,
 * unless `hold` (then the caller hands it on).
 */
MUST_CHECK int op_end(struct op *op, bool hold);
void op_abort(struct op *op); /* safe after op_end */
/* change->pending is true already: once the operation has returned, its caller
 * may read it at any time. */
void change_submit(struct view *view, struct view_change *change);

/* --- setattr.c ----------------------------------------------------------- */

/*
 * Check and make a change of attributes, view->lock held alone.  The change's
 * wcc[0] is the object's, or *dir_wcc when that is given (CREATE).
 */
MUST_CHECK int setattr_apply(struct view *view, const struct view_cred *cred,
			     struct inode *inode,
			     const struct view_setattr *set,
			     struct view_wait *wait, struct view_change *change,
			     const struct view_wcc *dir_wcc);
/* Inline data of a file (or a link's target), at most RECORD_INLINE_MAX;
 * -EIO when the record promises some and there is none. */
MUST_CHECK int inline_get(struct view *view, uint64_t fileid,
			  uint8_t buf[RECORD_INLINE_MAX], size_t *len);
/* The same as layer `level` and those below it have it. */
MUST_CHECK int inline_get_from(struct view *view, unsigned int level,
			       uint64_t fileid, uint8_t *buf, size_t *len);

/* --- name.c -------------------------------------------------------------- */

struct place {
	uint64_t cookie; /* where the name is, or would go; 0: no room */
	bool exists;
	bool in_image;       /* the image has this name here */
	uint64_t fileid;     /* when it exists */
	uint32_t generation; /* likewise; only of delta entries */
};
MUST_CHECK int place_find(struct view *view, const struct inode *dir,
			  const char *name, size_t name_len,
			  struct place *place);
/* What the topmost layer, from number `level` on, has at a cookie of a
 * directory.  -ENOENT: none has anything; -EIO. */
MUST_CHECK int name_from_layers(struct view *view, unsigned int level,
				uint64_t dir, uint64_t cookie,
				struct record_name *name);
bool name_ok(const char *name, size_t name_len, int *rc);
/* Is there any name in the directory? */
MUST_CHECK int dir_is_empty(struct view *view, const struct inode *dir,
			    bool *empty);
/* Take a name out of a directory, in the operation's batch; chained: the
 * batch itself puts a name at the next cookie. */
MUST_CHECK int op_unlink(struct op *op, const struct inode *dir,
			 const struct place *place, const char *name,
			 size_t name_len, bool chained);

/* --- readdir.c ----------------------------------------------------------- */

/* Merged entries of a directory with cookies > `after`. */
struct dir_entry {
	uint64_t cookie;
	uint64_t fileid;
	const char *name;
	size_t name_len;
};
MUST_CHECK int dir_each(struct view *view, const struct inode *dir,
			uint64_t after,
			int (*visit)(void *ctx, const struct dir_entry *entry),
			void *ctx);

/* --- view.c -------------------------------------------------------------- */

struct view_open {
	struct depot *depot;
	struct journal *journal;
	struct layers *layers;
	const struct lives *lives;
	struct starts *starts; /* may be NULL */
	struct quota *tenant_quota;
	struct past *past;
	struct view_info info;
	uint64_t layer; /* the top one */
	struct timespec since;
	bool paused, offline;
	const char *tenant, *guest;
};
/* Takes a reference of image.  Loads the layers and reaps, unless offline. */
MUST_CHECK int view_open(const struct view_open *open, struct image *image,
			 struct view **view);
void view_close(struct view *view); /* drains; takes; NULL allowed */
/* An offline view is served from now on: with these layers, and this image, of
 * which it takes a reference.  -EIO, -EBADMSG, -ENOMEM: it stays offline. */
MUST_CHECK int view_go_online(struct view *view, uint64_t top,
			      struct image *image, struct past *past);
/* An empty layer over `parent`, for view_set_layers; its directory is made. */
MUST_CHECK int view_prepare_layer(struct view *view, uint64_t id,
				  uint64_t parent, struct layer **layer);
/*
 * In a still view: stand on other layers (taken over: references), in order
 * from the top.  The batch that says so has been written.
 */
void view_set_layers(struct view *view, struct layer *const *layers,
		     unsigned int count);
/* Its space is the guest's, or no longer (sign -1). */
void view_count_layer(struct view *view, const struct layer *layer, int sign);
/* Load a stack of layers from the top one; -EMLINK: more than
 * VIEW_LAYERS_MAX.  On failure none is held. */
MUST_CHECK int layers_get(struct layers *layers, uint64_t top,
			  struct layer *out[VIEW_LAYERS_MAX],
			  unsigned int *count);
/* The view of a removed guest, drained, lets its layers go. */
void view_forget_layers(struct view *view);
void view_new_verifier(struct view *view); /* lock held alone */

#endif

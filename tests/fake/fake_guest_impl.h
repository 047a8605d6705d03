/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_guest_impl: what the files of the made-up guest share.
 *
 *	fake_guest_model.c   the tree as it must be: nodes and names
 *	fake_guest_call.c    one call and its reply
 *	fake_guest_proc.c    the procedures, each beside the model
 *	fake_guest.c         steps, sequences, life
 */
#ifndef TESTS_FAKE_FAKE_GUEST_IMPL_H
#define TESTS_FAKE_FAKE_GUEST_IMPL_H

#include <sys/stat.h>

#include "nfsd/fh.h"
#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"
#include "tests/fake/fake_guest.h"

enum {
	GUEST_NODES = 512,
	GUEST_WINDOW = 192 << 10, /* bytes of a file that are modelled */
	GUEST_CALL_MAX = 64 << 10,
	GUEST_REPLY_MAX = 2 << 20,
	GUEST_BODY_MAX = 4096, /* of a reply without data or entries */
	GUEST_WAIT_MS = 20000,
	GUEST_UID = 1000, /* of the calls that are not root's */
};

struct guest_node {
	uint32_t type; /* ftype3 */
	uint64_t fileid;
	uint8_t fh[FH_LEN];
	bool has_fh, mode_known, exclusive;
	uint32_t mode, uid;
	uint64_t verifier;
	uint64_t size;
	uint8_t *data;   /* owns; zeros behind it; a link's target */
	size_t data_len; /* at most GUEST_WINDOW, and size */
	unsigned int names;
	struct guest_node *parent; /* of a directory */
	uint64_t ctime;            /* last seen, ns */
};

struct guest_entry {
	struct guest_node *dir, *node;
	const char *name;
};

struct guest_attr {
	uint32_t type, mode, nlink, uid, gid;
	uint64_t size, used, fsid, fileid, ctime;
};

struct guest {
	struct site *site; /* borrows */
	struct view *view; /* borrows */
	struct drc *drc;   /* owns */
	struct rpc rpc;
	struct peer peer;
	struct guest_node nodes[GUEST_NODES];
	unsigned int node_count;
	struct guest_node *known[GUEST_NODES]; /* those with handles */
	unsigned int known_count;
	struct guest_entry entries[GUEST_NODES];
	unsigned int entry_count;
	uint32_t xid, proc, uid;
	uint8_t *p; /* behind the call so far */
	size_t call_len, reply_len, last_len;
	bool last_once;
	/* The last call that changed something and is answered once. */
	size_t once_call_len, once_reply_len;
	uint32_t once_xid, once_proc;
	struct wire_reader r; /* behind the status */
	uint32_t status;
	uint64_t cookie; /* of the last listing that was not at its end */
	struct guest_node *cookie_dir;
	uint64_t verifier;
};

/* One step, decoded. */
struct guest_step {
	struct guest_node *a, *b;
	const char *an, *bn;
	uint8_t x, y, z;
};

/* --- fake_guest_model.c ----------------------------------------------------
 */

/* May an object be called so?  By pointer, as guest_name() gives them. */
bool guest_name_is_good(const char *name);

/* Say what the guest did and what is wrong, and abort. */
_Noreturn void guest_fail(const struct guest *guest, const char *what);

/* The same unless it is so. */
void guest_need(const struct guest *guest, bool is_so, const char *what);

/* A node without names; there are fewer than GUEST_NODES. */
struct guest_node *guest_node_new(struct guest *guest, uint32_t type);

/* Has it a name? */
bool guest_is_live(const struct guest *guest, const struct guest_node *node);

/* The entry of a name in a directory, or NULL. */
struct guest_entry *guest_find(struct guest *guest,
			       const struct guest_node *dir, const char *name);

/* Entries of a directory. */
unsigned int guest_count(const struct guest *guest,
			 const struct guest_node *dir, bool dirs_only);

/* Give a node a name, or take one. */
void guest_enter(struct guest *guest, struct guest_node *dir, const char *name,
		 struct guest_node *node);
void guest_leave(struct guest *guest, struct guest_entry *entry);

/* The bytes of a file. */
void guest_resize(struct guest_node *node, uint64_t size);
void guest_store(struct guest_node *node, uint64_t off, const uint8_t *data,
		 size_t len);

/* Is it the directory or in it? */
bool guest_is_below(const struct guest_node *node,
		    const struct guest_node *above);

/* --- fake_guest_call.c -----------------------------------------------------
 */

/* The call, its reply, and the last ones that may be sent again.  One guest at
 * a time. */
extern uint8_t guest_call_bytes[GUEST_CALL_MAX];
extern uint8_t guest_reply_bytes[GUEST_REPLY_MAX];
extern uint8_t guest_last_bytes[GUEST_REPLY_MAX];
extern uint8_t guest_once_call[GUEST_CALL_MAX];
extern uint8_t guest_once_reply[GUEST_BODY_MAX];

/* Append to the call. */
void guest_u32(struct guest *guest, uint32_t v);
void guest_u64(struct guest *guest, uint64_t v);
void guest_opaque(struct guest *guest, const void *bytes, size_t len);
void guest_text(struct guest *guest, const char *text);

/* Begin a call; at: with a handle as its first argument. */
void guest_begin(struct guest *guest, uint32_t program, uint32_t proc);
void guest_begin_at(struct guest *guest, uint32_t proc,
		    const struct guest_node *node);

/* Serve what is encoded; one reply comes, whole. */
void guest_send(struct guest *guest, size_t len);

/* The same, with its status read.  true: OK.  body_max: bytes the result may
 * have. */
bool guest_call(struct guest *guest, size_t body_max);

/* The reply of the call answered just now must outlive the server. */
void guest_keep(struct guest *guest);

/* What is in the reply, read in its order; the attributes of a node are
 * compared with the model. */
uint64_t guest_get64(struct guest *guest);
void guest_end(struct guest *guest);
void guest_get_attr(struct guest *guest, struct guest_attr *attr);
void guest_learn_id(struct guest *guest, struct guest_node *node,
		    uint64_t fileid);
bool guest_attr_of(struct guest *guest, struct guest_node *node);
void guest_post_attr(struct guest *guest, struct guest_node *node);
void guest_wcc(struct guest *guest, struct guest_node *node,
	       int64_t before_size);
void guest_learn(struct guest *guest, struct guest_node *node);
void guest_post_fh(struct guest *guest, struct guest_node *node);

/* The status is OK exactly when it was expected; true: it is. */
bool guest_as(struct guest *guest, bool expected);

/* STALE exactly when it has no name. */
void guest_stale(struct guest *guest, const struct guest_node *node);

/* --- fake_guest_proc.c -----------------------------------------------------
 */

/* A size: ordinary ones, and a few that no file may have. */
uint64_t guest_size(uint8_t y);

/* One procedure each, as steps and the checks use them. */
void guest_getattr(struct guest *guest, const struct guest_step *s);
void guest_setattr(struct guest *guest, const struct guest_step *s);
bool guest_lookup(struct guest *guest, struct guest_node *dir,
		  const char *name);
void guest_access(struct guest *guest, const struct guest_step *s);
void guest_readlink(struct guest *guest, struct guest_node *node);
size_t guest_read(struct guest *guest, struct guest_node *node, uint64_t off,
		  uint32_t count);
void guest_write(struct guest *guest, const struct guest_step *s);
void guest_commit(struct guest *guest, const struct guest_step *s);
void guest_create(struct guest *guest, const struct guest_step *s);
void guest_mkdir(struct guest *guest, const struct guest_step *s);
void guest_symlink(struct guest *guest, const struct guest_step *s);
void guest_mknod(struct guest *guest, const struct guest_step *s);
void guest_remove(struct guest *guest, const struct guest_step *s, bool rmdir);
void guest_rename(struct guest *guest, const struct guest_step *s);
void guest_link(struct guest *guest, const struct guest_step *s);
bool guest_entry(struct guest *guest, struct guest_node *dir, bool plus,
		 uint64_t *cookie);
unsigned int guest_list(struct guest *guest, struct guest_node *dir, bool plus,
			uint64_t *cookie, uint32_t count, bool *eof);
void guest_readdir(struct guest *guest, const struct guest_step *s, bool plus);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* fake_guest: the model is a table of nodes and a table of names. */
#include "tests/fake/fake_guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "nfsd/fh.h"
#include "nfsd/rpc.h"
#include "nfsd/status3.h"
#include "nfsd/wirebytes.h"

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

/* One guest at a time. */
static uint8_t guest_call_bytes[GUEST_CALL_MAX];
static uint8_t guest_reply_bytes[GUEST_REPLY_MAX];
static uint8_t guest_last_bytes[GUEST_REPLY_MAX];
static uint8_t guest_once_call[GUEST_CALL_MAX];
static uint8_t guest_once_reply[GUEST_BODY_MAX];

static char guest_long_name[VIEW_NAME_MAX + 1];
static char guest_too_long[VIEW_NAME_MAX + 2];
static const char *const guest_names[] = {
    "a",
    "b",
    "c",
    "d",
    "usr",
    "bin",
    "tool",
    "link",
    "etc",
    "big",
    "small",
    "empty",
    "sub",
    ".x",
    "\xff\xfe\n",
    guest_long_name,
    ".",
    "..",
    "",
    "a/b",
    guest_too_long,
};
enum { GUEST_NAMES_GOOD = 16 };

/* A listing's names are looked for by value, a model's by pointer. */
const char *guest_name(unsigned int i)
{
	if (!guest_long_name[0]) {
		memset(guest_long_name, 'n', VIEW_NAME_MAX);
		memset(guest_too_long, 't', VIEW_NAME_MAX + 1);
	}
	return guest_names[i % ARRAY_LEN(guest_names)];
}

static bool guest_name_is_good(const char *name)
{
	for (unsigned int i = 0; i < GUEST_NAMES_GOOD; i++)
		if (name == guest_names[i])
			return true;
	return false;
}

_Noreturn static void guest_fail(const struct guest *guest, const char *what)
{
	fprintf(stderr, "guest: %s, status %u: %s\n",
		guest->proc < NFS3_PROC_COUNT ? program_nfs3_name(guest->proc)
					      : "MOUNT",
		guest->status, what);
	abort();
}

static void guest_need(const struct guest *guest, bool is_so, const char *what)
{
	if (!is_so)
		guest_fail(guest, what);
}

/* --- the model ----------------------------------------------------------- */

static struct guest_node *guest_node_new(struct guest *guest, uint32_t type)
{
	struct guest_node *node;

	ASSERT(guest->node_count < GUEST_NODES);
	node = &guest->nodes[guest->node_count++];
	*node = (struct guest_node){.type = type};
	return node;
}

static bool guest_is_live(const struct guest *guest,
			  const struct guest_node *node)
{
	return node->names > 0 || node == guest->nodes;
}

static struct guest_entry *
guest_find(struct guest *guest, const struct guest_node *dir, const char *name)
{
	for (unsigned int i = 0; i < guest->entry_count; i++)
		if (guest->entries[i].dir == dir &&
		    strcmp(guest->entries[i].name, name) == 0)
			return &guest->entries[i];
	return NULL;
}

static unsigned int guest_count(const struct guest *guest,
				const struct guest_node *dir, bool dirs_only)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < guest->entry_count; i++)
		count += guest->entries[i].dir == dir &&
			 (!dirs_only || guest->entries[i].node->type == NF3DIR);
	return count;
}

static void guest_enter(struct guest *guest, struct guest_node *dir,
			const char *name, struct guest_node *node)
{
	ASSERT(guest->entry_count < GUEST_NODES);
	guest->entries[guest->entry_count++] =
	    (struct guest_entry){dir, node, name};
	node->names++;
	if (node->type == NF3DIR)
		node->parent = dir;
}

static void guest_leave(struct guest *guest, struct guest_entry *entry)
{
	entry->node->names--;
	*entry = guest->entries[--guest->entry_count];
}

static void guest_resize(struct guest_node *node, uint64_t size)
{
	node->size = size;
	if (node->data_len > size)
		node->data_len = (size_t)size;
}

static void guest_store(struct guest_node *node, uint64_t off,
			const uint8_t *data, size_t len)
{
	size_t end;

	node->size = len > 0 ? MAX(node->size, off + len) : node->size;
	if (off >= GUEST_WINDOW || len == 0)
		return;
	end = MIN((size_t)off + len, (size_t)GUEST_WINDOW);
	if (end > node->data_len) {
		node->data = realloc(node->data, end);
		ASSERT(node->data);
		memset(node->data + node->data_len, 0, end - node->data_len);
		node->data_len = end;
	}
	memcpy(node->data + off, data, end - (size_t)off);
}

static bool guest_is_below(const struct guest_node *node,
			   const struct guest_node *above)
{
	while (node && node != above)
		node = node->parent;
	return node == above;
}

void guest_has(struct guest *guest, const char *path, uint32_t mode,
	       const void *data, size_t len)
{
	struct guest_node *dir = guest->nodes, *node;
	size_t n;

	while (path[n = strcspn(path, "/")] == '/') {
		char part[VIEW_NAME_MAX + 1];

		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		dir = guest_find(guest, dir, part)->node;
		path += n + 1;
	}
	node = guest_node_new(guest, S_ISDIR(mode)   ? NF3DIR
				     : S_ISLNK(mode) ? NF3LNK
						     : NF3REG);
	node->mode = mode & 07777;
	node->mode_known = node->type != NF3LNK;
	guest_store(node, 0, data, len);
	for (unsigned int i = 0; i < GUEST_NAMES_GOOD; i++)
		if (strcmp(guest_name(i), path) == 0)
			path = guest_names[i];
	guest_enter(guest, dir, path, node);
}

/* --- one call ------------------------------------------------------------ */

static void guest_u32(struct guest *guest, uint32_t v)
{
	guest->p = put_u32(guest->p, v);
}

static void guest_u64(struct guest *guest, uint64_t v)
{
	guest->p = put_u64(guest->p, v);
}

static void guest_opaque(struct guest *guest, const void *bytes, size_t len)
{
	guest->p = put_opaque(guest->p, bytes, len);
}

static void guest_text(struct guest *guest, const char *text)
{
	guest_opaque(guest, text, strlen(text));
}

static void guest_begin(struct guest *guest, uint32_t program, uint32_t proc)
{
	guest->proc = program == NFS3_PROGRAM ? proc : NFS3_PROC_COUNT;
	guest->p = guest_call_bytes;
	guest_u32(guest, ++guest->xid);
	guest_u32(guest, 0);
	guest_u32(guest, 2);
	guest_u32(guest, program);
	guest_u32(guest, 3);
	guest_u32(guest, proc);
	guest_u32(guest, 1);
	guest_u32(guest, 28);
	guest_u32(guest, 0);
	guest_text(guest, "guest");
	guest_u32(guest, guest->uid);
	guest_u32(guest, guest->uid);
	guest_u32(guest, 0);
	guest_u64(guest, 0);
}

static void guest_begin_at(struct guest *guest, uint32_t proc,
			   const struct guest_node *node)
{
	guest_begin(guest, NFS3_PROGRAM, proc);
	guest_opaque(guest, node->fh, FH_LEN);
}

static void guest_collect(struct guest *guest)
{
	struct out *out = &guest->rpc.out;

	for (unsigned int i = 0; i < out->iov_count; i++) {
		ASSERT(guest->reply_len + out->iov[i].iov_len <
		       GUEST_REPLY_MAX);
		memcpy(guest_reply_bytes + guest->reply_len,
		       out->iov[i].iov_base, out->iov[i].iov_len);
		guest->reply_len += out->iov[i].iov_len;
	}
	out_drop(out);
}

/* Until the parked call has been answered. */
static void guest_wait(struct guest *guest)
{
	struct mailbox *box = &guest->rpc.mailbox;

	while (guest->reply_len == 0) {
		struct pollfd pfd = {.fd = box->fd, .events = POLLIN};

		guest_need(guest, guest->rpc.parked_count > 0, "no reply");
		if (mailbox_sleep(box))
			guest_need(guest, poll(&pfd, 1, GUEST_WAIT_MS) == 1,
				   "no reply in time");
		mailbox_awake(box);
		mailbox_clear(box);
		rpc_deliver_mail(&guest->rpc);
		while (rpc_resume(&guest->rpc, &guest->peer))
			guest_collect(guest);
		guest_collect(guest);
	}
}

/* Serve what is encoded; one reply comes, whole. */
static void guest_send(struct guest *guest, size_t len)
{
	uint8_t *record = malloc(len);

	ASSERT(record);
	memcpy(record, guest_call_bytes, len);
	guest->call_len = len;
	guest->reply_len = 0;
	ASSERT(rpc_serve(&guest->rpc, &guest->peer, record, len) == 0);
	memset(record, 0xee, len);
	free(record);
	guest_collect(guest);
	guest_wait(guest);
	guest_need(guest,
		   guest->reply_len >= 24 &&
		       be32_get(guest_reply_bytes) ==
			   (0x80000000u | (guest->reply_len - 4)) &&
		       be32_get(guest_reply_bytes + 4) == guest->xid &&
		       be32_get(guest_reply_bytes + 8) == 1,
		   "not one record with the call's number");
}

/* `body_max`: bytes the result may have. */
static bool guest_call(struct guest *guest, size_t body_max)
{
	size_t len = (size_t)(guest->p - guest_call_bytes);

	ASSERT(len <= GUEST_CALL_MAX);
	guest_send(guest, len);
	memcpy(guest_last_bytes, guest_reply_bytes, guest->reply_len);
	guest->last_len = guest->reply_len;
	guest->last_once =
	    guest->proc == NFS3_SETATTR ||
	    (guest->proc >= NFS3_CREATE && guest->proc <= NFS3_LINK);
	guest->r = (struct wire_reader){
	    .p = guest_reply_bytes + 8,
	    .end = guest_reply_bytes + guest->reply_len,
	};
	for (int i = 0; i < 5; i++) /* REPLY ACCEPTED, verifier, SUCCESS */
		guest->status = get_u32(&guest->r);
	guest_need(guest, guest->status == 0 && guest->reply_len >= 28,
		   "refused");
	guest_need(guest, guest->reply_len - 28 <= body_max, "reply too long");
	guest->status = get_u32(&guest->r);
	if (guest->proc < NFS3_PROC_COUNT)
		guest_need(guest, status3_allowed(guest->status, guest->proc),
			   "status that it may not have");
	return guest->status == NFS3_OK;
}

/* The call that was answered just now has changed something: its reply is to
 * outlive the server. */
static void guest_keep(struct guest *guest)
{
	ASSERT(guest->last_once && guest->last_len <= GUEST_BODY_MAX);
	memcpy(guest_once_call, guest_call_bytes, guest->call_len);
	memcpy(guest_once_reply, guest_last_bytes, guest->last_len);
	guest->once_call_len = guest->call_len;
	guest->once_reply_len = guest->last_len;
	guest->once_xid = guest->xid;
	guest->once_proc = guest->proc;
}

/* --- what is in replies -------------------------------------------------- */

static uint64_t guest_get64(struct guest *guest)
{
	uint64_t high = get_u32(&guest->r);

	return high << 32 | get_u32(&guest->r);
}

static void guest_end(struct guest *guest)
{
	guest_need(guest, !guest->r.bad && guest->r.p == guest->r.end,
		   "reply does not decode to its end");
}

static void guest_get_attr(struct guest *guest, struct guest_attr *attr)
{
	uint64_t sec;

	attr->type = get_u32(&guest->r);
	attr->mode = get_u32(&guest->r);
	attr->nlink = get_u32(&guest->r);
	attr->uid = get_u32(&guest->r);
	attr->gid = get_u32(&guest->r);
	attr->size = guest_get64(guest);
	attr->used = guest_get64(guest);
	guest_get64(guest); /* rdev */
	attr->fsid = guest_get64(guest);
	attr->fileid = guest_get64(guest);
	for (int i = 0; i < 2; i++) {
		get_u32(&guest->r);
		guest_need(guest, get_u32(&guest->r) < 1000000000, "time");
	}
	sec = get_u32(&guest->r);
	attr->ctime = sec * 1000000000 + get_u32(&guest->r);
	guest_need(guest,
		   !guest->r.bad && attr->type >= NF3REG &&
		       attr->type <= NF3FIFO,
		   "attributes do not decode");
}

static void guest_learn_id(struct guest *guest, struct guest_node *node,
			   uint64_t fileid)
{
	if (node->fileid == 0) {
		guest_need(guest, fileid != 0, "a file number of 0");
		for (unsigned int i = 0; i < guest->node_count; i++)
			guest_need(guest, guest->nodes[i].fileid != fileid,
				   "two objects with one file number");
		node->fileid = fileid;
	}
	guest_need(guest, node->fileid == fileid, "another file number");
}

/* Attributes that follow must be the model's of now. */
static bool guest_attr_of(struct guest *guest, struct guest_node *node)
{
	struct guest_attr attr;

	if (!node || !guest_is_live(guest, node))
		return false;
	guest_get_attr(guest, &attr);
	guest_need(guest, attr.type == node->type, "another type");
	guest_learn_id(guest, node, attr.fileid);
	guest_need(guest, attr.fsid == view_get_info(guest->view)->export_id,
		   "fsid");
	if (node->type != NF3DIR)
		guest_need(guest, attr.nlink == node->names, "nlink");
	else
		guest_need(guest,
			   attr.nlink == 2 + guest_count(guest, node, true),
			   "nlink of a directory");
	if (node->type == NF3REG || node->type == NF3LNK)
		guest_need(guest, attr.size == node->size, "size");
	if (node->mode_known)
		guest_need(guest, attr.mode == node->mode, "mode");
	guest_need(guest, attr.uid == node->uid, "uid");
	guest_need(guest, attr.ctime >= node->ctime, "ctime fell");
	node->ctime = attr.ctime;
	return true;
}

static void guest_post_attr(struct guest *guest, struct guest_node *node)
{
	struct guest_attr attr;
	uint32_t follows = get_u32(&guest->r);

	guest_need(guest, follows <= 1, "a truth that is none");
	if (follows && !guest_attr_of(guest, node))
		guest_get_attr(guest, &attr);
}

/* before_size: of a regular file before the call; -1: not asked for. */
static void guest_wcc(struct guest *guest, struct guest_node *node,
		      int64_t before_size)
{
	uint32_t follows = get_u32(&guest->r);

	guest_need(guest, follows <= 1, "a truth that is none");
	if (follows) {
		uint64_t size = guest_get64(guest);

		if (before_size >= 0)
			guest_need(guest, size == (uint64_t)before_size,
				   "size before the call");
		guest_get64(guest);
		guest_get64(guest);
	}
	guest_post_attr(guest, node);
}

static void guest_learn(struct guest *guest, struct guest_node *node)
{
	const uint8_t *fh;
	size_t len;

	fh = get_opaque(&guest->r, NFS3_FHSIZE, &len);
	guest_need(guest, fh && len == FH_LEN, "not a handle");
	if (!node->has_fh) {
		memcpy(node->fh, fh, FH_LEN);
		node->has_fh = true;
		guest->known[guest->known_count++] = node;
	}
	guest_need(guest, memcmp(node->fh, fh, FH_LEN) == 0, "another handle");
}

static void guest_post_fh(struct guest *guest, struct guest_node *node)
{
	guest_need(guest, get_u32(&guest->r) == 1, "no handle");
	guest_learn(guest, node);
}

/* It went as in the model, but for want of room or of rights. */
static bool guest_as(struct guest *guest, bool expected)
{
	bool ok = guest->status == NFS3_OK;

	if (ok == expected)
		return ok;
	if (ok)
		guest_fail(guest, "succeeds and should not");
	if (guest->status == NFS3ERR_NOSPC || guest->status == NFS3ERR_FBIG)
		return false;
	if (guest->uid != 0 &&
	    (guest->status == NFS3ERR_ACCES || guest->status == NFS3ERR_PERM))
		return false;
	guest_fail(guest, "fails and should not");
}

/* The handle is of nothing any more: that, and nothing else, is said. */
static void guest_stale(struct guest *guest, const struct guest_node *node)
{
	if (!guest_is_live(guest, node))
		guest_need(guest, guest->status == NFS3ERR_STALE, "not STALE");
	else
		guest_need(guest,
			   guest->status != NFS3ERR_STALE &&
			       guest->status != NFS3ERR_BADHANDLE,
			   "STALE, but it lives");
}

/* --- procedures ---------------------------------------------------------- */

struct guest_step {
	struct guest_node *a, *b;
	const char *an, *bn;
	uint8_t x, y, z;
};

static uint64_t guest_size(uint8_t y)
{
	static const uint64_t sizes[] = {
	    0,     1,     10,    4095,   4096,   4097,   8192,   16384,
	    16385, 40000, 50000, 100000, 131072, 150000, 190000, 1000000,
	};
	static const uint64_t huge[] = {
	    UINT64_C(1) << 31,       UINT64_C(1) << 40, (UINT64_C(1) << 62) + 5,
	    (uint64_t)INT64_MAX,     UINT64_C(1) << 63, UINT64_MAX,
	    (UINT64_C(1) << 27) - 1, UINT64_C(1) << 32,
	};

	return y < 232 ? sizes[y % 16] + (y >= 128 ? y : 0u) : huge[y % 8];
}

static void guest_getattr(struct guest *guest, const struct guest_step *s)
{
	guest_begin_at(guest, NFS3_GETATTR, s->a);
	guest_call(guest, GUEST_BODY_MAX);
	guest_stale(guest, s->a);
	if (guest_as(guest, guest_is_live(guest, s->a)))
		guest_attr_of(guest, s->a);
	guest_end(guest);
}

/* sattr3 by two bytes; returns what of it matters to the model. */
struct guest_set {
	bool mode, uid, size, bad_time;
	uint32_t mode_to, uid_to;
	uint64_t size_to;
};

static struct guest_set guest_put_set(struct guest *guest, uint8_t which,
				      uint8_t value)
{
	struct guest_set set = {
	    .mode = which & 1,
	    .uid = which & 2,
	    .size = which & 8,
	    .bad_time = (which & 0x30) == 0x30,
	    .mode_to = value & 1 ? 0700u | value : 0755,
	    .uid_to = value,
	    .size_to = guest_size(value),
	};

	guest_u32(guest, set.mode);
	if (set.mode)
		guest_u32(guest, set.mode_to);
	guest_u32(guest, set.uid);
	if (set.uid)
		guest_u32(guest, set.uid_to);
	guest_u32(guest, which >> 2 & 1);
	if (which & 4)
		guest_u32(guest, value);
	guest_u32(guest, set.size);
	if (set.size)
		guest_u64(guest, set.size_to);
	guest_u32(guest, which & 0x20 ? 2 : which >> 4 & 1);
	if (which & 0x20)
		guest_u64(guest, (uint64_t)value << 32 |
				     (set.bad_time ? 1000000000u : 5u));
	guest_u32(guest, which & 0x40 ? 2 : which >> 7);
	if (which & 0x40)
		guest_u64(guest, (uint64_t)value << 32 | 7);
	return set;
}

static void guest_take_set(struct guest_node *node, const struct guest_set *set)
{
	if (set->mode) {
		node->mode = set->mode_to;
		node->mode_known = true;
	}
	if (set->uid)
		node->uid = set->uid_to;
}

static void guest_setattr(struct guest *guest, const struct guest_step *s)
{
	bool live = guest_is_live(guest, s->a), guard = s->z == 77;
	int64_t before = s->a->type == NF3REG ? (int64_t)s->a->size : -1;
	struct guest_set set;
	bool ok;

	guest_begin_at(guest, NFS3_SETATTR, s->a);
	set = guest_put_set(guest, s->x, s->y);
	guest_u32(guest, guard);
	if (guard)
		guest_u64(guest, 1);
	guest_call(guest, GUEST_BODY_MAX);
	ok = guest_as(guest, live && !guard && !set.bad_time &&
				 (!set.size || (s->a->type == NF3REG &&
						set.size_to <= INT64_MAX)));
	if (!live && !set.bad_time && !set.size)
		guest_stale(guest, s->a);
	if (ok) {
		guest_keep(guest);
		guest_take_set(s->a, &set);
		/* Group and set-id bits have rules of their own. */
		if (set.size)
			guest_resize(s->a, set.size_to);
	}
	guest_wcc(guest, s->a, before);
	guest_end(guest);
}

/* The child that a name in a directory stands for. */
static struct guest_node *guest_child(struct guest *guest,
				      struct guest_node *dir, const char *name)
{
	struct guest_entry *entry;

	if (!guest_is_live(guest, dir) || dir->type != NF3DIR)
		return NULL;
	if (strcmp(name, ".") == 0)
		return dir;
	if (strcmp(name, "..") == 0)
		return dir->parent ? dir->parent : dir;
	entry = guest_find(guest, dir, name);
	return entry ? entry->node : NULL;
}

static bool guest_lookup(struct guest *guest, struct guest_node *dir,
			 const char *name)
{
	struct guest_node *child = guest_child(guest, dir, name);
	bool ok;

	guest_begin_at(guest, NFS3_LOOKUP, dir);
	guest_text(guest, name);
	guest_call(guest, GUEST_BODY_MAX);
	ok = guest_as(guest, child != NULL);
	if (guest_name_is_good(name))
		guest_stale(guest, dir);
	if (ok) {
		guest_learn(guest, child);
		guest_post_attr(guest, child);
	}
	guest_post_attr(guest, dir);
	guest_end(guest);
	return ok;
}

static void guest_access(struct guest *guest, const struct guest_step *s)
{
	guest_begin_at(guest, NFS3_ACCESS, s->a);
	guest_u32(guest, s->x);
	guest_call(guest, GUEST_BODY_MAX);
	guest_stale(guest, s->a);
	guest_as(guest, guest_is_live(guest, s->a));
	guest_post_attr(guest, s->a);
	if (guest->status == NFS3_OK)
		guest_need(guest, (get_u32(&guest->r) & ~(uint32_t)s->x) == 0,
			   "rights that were not asked for");
	guest_end(guest);
}

static void guest_readlink(struct guest *guest, struct guest_node *node)
{
	bool live = guest_is_live(guest, node);
	const uint8_t *target;
	size_t len;

	guest_begin_at(guest, NFS3_READLINK, node);
	guest_call(guest, GUEST_BODY_MAX + VIEW_SYMLINK_MAX);
	guest_stale(guest, node);
	guest_as(guest, live && node->type == NF3LNK);
	guest_post_attr(guest, node);
	if (guest->status == NFS3_OK) {
		target = get_opaque(&guest->r, VIEW_SYMLINK_MAX, &len);
		guest_need(guest,
			   target && len == node->data_len &&
			       memcmp(target, node->data, len) == 0,
			   "another target");
	}
	guest_end(guest);
}

static void guest_same_data(struct guest *guest, const struct guest_node *node,
			    uint64_t off, const uint8_t *data, size_t len)
{
	size_t same =
	    off < node->data_len ? MIN(len, node->data_len - (size_t)off) : 0;

	if (same > 0 && memcmp(data, node->data + off, same) != 0)
		same = 0;
	for (size_t i = same; i < len && off + i < GUEST_WINDOW; i++) {
		uint8_t want =
		    off + i < node->data_len ? node->data[off + i] : 0;

		if (data[i] != want) {
			fprintf(stderr, "guest: byte %llu is %02x, not %02x\n",
				(unsigned long long)(off + i), data[i], want);
			guest_fail(guest, "another content");
		}
	}
}

/* Bytes read. */
static size_t guest_read(struct guest *guest, struct guest_node *node,
			 uint64_t off, uint32_t count)
{
	bool live = guest_is_live(guest, node);
	uint64_t left = node->size > off ? node->size - off : 0;
	const uint8_t *data;
	uint32_t got = 0, eof;
	size_t len;

	guest_begin_at(guest, NFS3_READ, node);
	guest_u64(guest, off);
	guest_u32(guest, count);
	guest_call(guest, 128 + wire_padded(count));
	guest_stale(guest, node);
	guest_as(guest, live && node->type == NF3REG);
	guest_post_attr(guest, node);
	if (guest->status == NFS3_OK) {
		got = get_u32(&guest->r);
		eof = get_u32(&guest->r);
		data = get_opaque(&guest->r, count, &len);
		guest_need(guest, data && len == got, "two lengths");
		guest_need(guest, eof == (off + got >= node->size), "eof");
		guest_need(guest,
			   got <= left && (got > 0 || count == 0 || left == 0),
			   "bytes read");
		guest_same_data(guest, node, off, data, len);
	}
	guest_end(guest);
	return got;
}

static void guest_write(struct guest *guest, const struct guest_step *s)
{
	static const uint16_t lens[] = {0,    1,     100,   4096,
					5000, 16384, 16385, 40000};
	static uint8_t data[40000];
	bool live = guest_is_live(guest, s->a);
	int64_t before = s->a->type == NF3REG ? (int64_t)s->a->size : -1;
	uint64_t off = guest_size(s->y), verifier;
	uint32_t len = lens[s->x % 8], stable = s->x / 8 % 3;
	bool ok;

	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(s->z + i / 61);
	guest_begin_at(guest, NFS3_WRITE, s->a);
	guest_u64(guest, off);
	guest_u32(guest, len);
	guest_u32(guest, stable);
	guest_opaque(guest, data, len);
	guest_call(guest, GUEST_BODY_MAX);
	ok = guest_as(guest, live && s->a->type == NF3REG &&
				 off <= (uint64_t)INT64_MAX - len);
	if (ok)
		guest_store(s->a, off, data, len);
	guest_wcc(guest, s->a, before);
	if (ok) {
		guest_need(guest, get_u32(&guest->r) == len, "bytes written");
		guest_need(guest, get_u32(&guest->r) >= stable, "committed");
		verifier = guest_get64(guest);
		guest_need(guest,
			   guest->verifier == 0 || guest->verifier == verifier,
			   "another verifier");
		guest->verifier = verifier;
	}
	guest_end(guest);
}

static void guest_commit(struct guest *guest, const struct guest_step *s)
{
	guest_begin_at(guest, NFS3_COMMIT, s->a);
	guest_u64(guest, s->x & 1 ? guest_size(s->y) : 0);
	guest_u32(guest, s->z);
	guest_call(guest, GUEST_BODY_MAX);
	guest_stale(guest, s->a);
	guest_wcc(guest, s->a, -1);
	if (guest->status == NFS3_OK) {
		uint64_t verifier = guest_get64(guest);

		guest_need(guest,
			   guest->verifier == 0 || guest->verifier == verifier,
			   "another verifier");
	} else if (guest_is_live(guest, s->a) && s->a->type == NF3REG) {
		guest_fail(guest, "COMMIT of a file");
	}
	guest_end(guest);
}

/* May a name be made here? */
static bool guest_may_make(struct guest *guest, struct guest_node *dir,
			   const char *name)
{
	return guest_is_live(guest, dir) && dir->type == NF3DIR &&
	       guest_name_is_good(name) && !guest_find(guest, dir, name) &&
	       guest->node_count < GUEST_NODES &&
	       guest->entry_count < GUEST_NODES;
}

/* The end of CREATE, MKDIR, SYMLINK, MKNOD. */
static void guest_made(struct guest *guest, bool ok, struct guest_node *dir,
		       struct guest_node *node)
{
	if (ok) {
		guest_post_fh(guest, node);
		guest_post_attr(guest, node);
	}
	guest_wcc(guest, dir, -1);
	guest_end(guest);
}

static struct guest_node *guest_make(struct guest *guest,
				     const struct guest_step *s, uint32_t type,
				     const struct guest_set *set)
{
	struct guest_node *node = guest_node_new(guest, type);

	node->uid = guest->uid;
	if (set)
		guest_take_set(node, set);
	/* Only root gives away; set-id bits and directories' groups have
	 * rules of their own. */
	if (guest->uid != 0)
		node->uid = guest->uid;
	node->mode_known = type == NF3REG && set && set->mode;
	guest_enter(guest, s->a, s->an, node);
	guest_keep(guest);
	return node;
}

static void guest_create(struct guest *guest, const struct guest_step *s)
{
	bool fresh = guest_may_make(guest, s->a, s->an), ok, over = false;
	struct guest_node *old =
	    guest_name_is_good(s->an) ? guest_child(guest, s->a, s->an) : NULL;
	uint32_t how = s->x % 3;
	uint64_t verifier = s->z % 4;
	struct guest_set set = {.mode = false};

	guest_begin_at(guest, NFS3_CREATE, s->a);
	guest_text(guest, s->an);
	guest_u32(guest, how);
	if (how == EXCLUSIVE)
		guest_u64(guest, verifier);
	else
		set = guest_put_set(guest, s->y, s->z);
	guest_call(guest, GUEST_BODY_MAX);
	if (old && old->type == NF3REG && how == UNCHECKED)
		over = !set.bad_time;
	if (old && how == EXCLUSIVE)
		over = old->exclusive && old->verifier == verifier;
	ok = guest_as(guest, (fresh || over) && !set.bad_time &&
				 (!set.size || set.size_to <= INT64_MAX));
	if (ok && fresh) {
		old = guest_make(guest, s, NF3REG, &set);
		old->exclusive = how == EXCLUSIVE;
		old->verifier = verifier;
	}
	if (ok && set.size)
		guest_resize(old, set.size_to);
	guest_made(guest, ok, s->a, old);
}

static void guest_mkdir(struct guest *guest, const struct guest_step *s)
{
	bool fresh = guest_may_make(guest, s->a, s->an), ok;
	struct guest_node *node = NULL;
	struct guest_set set;

	guest_begin_at(guest, NFS3_MKDIR, s->a);
	guest_text(guest, s->an);
	set = guest_put_set(guest, s->x & ~8u, s->z);
	guest_call(guest, GUEST_BODY_MAX);
	ok = guest_as(guest, fresh && !set.bad_time);
	if (ok)
		node = guest_make(guest, s, NF3DIR, &set);
	guest_made(guest, ok, s->a, node);
}

static void guest_symlink(struct guest *guest, const struct guest_step *s)
{
	static char target[VIEW_SYMLINK_MAX + 2];
	size_t len = s->z < 250 ? s->z : VIEW_SYMLINK_MAX - 4 + s->z % 8u;
	bool fresh = guest_may_make(guest, s->a, s->an), ok;
	struct guest_node *node = NULL;
	struct guest_set set;

	len = MIN(len, sizeof(target) - 1);
	memset(target, 'x', sizeof(target));
	guest_begin_at(guest, NFS3_SYMLINK, s->a);
	guest_text(guest, s->an);
	set = guest_put_set(guest, s->x & 2, s->y);
	guest_opaque(guest, target, len);
	guest_call(guest, GUEST_BODY_MAX);
	ok = guest_as(guest, fresh && len > 0 && len <= VIEW_SYMLINK_MAX);
	if (ok) {
		node = guest_make(guest, s, NF3LNK, &set);
		guest_store(node, 0, (uint8_t *)target, len);
	}
	guest_made(guest, ok, s->a, node);
}

static void guest_mknod(struct guest *guest, const struct guest_step *s)
{
	uint32_t type = s->x % 9; /* some are none */
	bool fresh = guest_may_make(guest, s->a, s->an), ok;
	bool device = type == NF3CHR || type == NF3BLK;
	struct guest_set set = {.mode = false};
	struct guest_node *node = NULL;

	guest_begin_at(guest, NFS3_MKNOD, s->a);
	guest_text(guest, s->an);
	guest_u32(guest, type);
	if (device || type == NF3SOCK || type == NF3FIFO)
		set = guest_put_set(guest, s->y & 3, s->z);
	if (device)
		guest_u64(guest, s->z);
	guest_call(guest, GUEST_BODY_MAX);
	ok = guest_as(guest, fresh && (type == NF3SOCK || type == NF3FIFO));
	if (ok)
		node = guest_make(guest, s, type, &set);
	guest_made(guest, ok, s->a, node);
}

static void guest_remove(struct guest *guest, const struct guest_step *s,
			 bool rmdir)
{
	struct guest_node *node =
	    guest_name_is_good(s->an) ? guest_child(guest, s->a, s->an) : NULL;
	bool may = node && (node->type == NF3DIR) == rmdir &&
		   (!rmdir || guest_count(guest, node, false) == 0);

	guest_begin_at(guest, rmdir ? NFS3_RMDIR : NFS3_REMOVE, s->a);
	guest_text(guest, s->an);
	guest_call(guest, GUEST_BODY_MAX);
	if (guest_as(guest, may)) {
		guest_leave(guest, guest_find(guest, s->a, s->an));
		guest_keep(guest);
	}
	guest_wcc(guest, s->a, -1);
	guest_end(guest);
}

static bool guest_may_rename(struct guest *guest, const struct guest_step *s,
			     struct guest_node *node, struct guest_node *over)
{
	if (!node || !guest_is_live(guest, s->b) || s->b->type != NF3DIR ||
	    !guest_name_is_good(s->an) || !guest_name_is_good(s->bn))
		return false;
	if (over == node)
		return true;
	if (node->type == NF3DIR && guest_is_below(s->b, node))
		return false;
	if (!over)
		return true;
	if ((over->type == NF3DIR) != (node->type == NF3DIR))
		return false;
	return over->type != NF3DIR || guest_count(guest, over, false) == 0;
}

static void guest_rename(struct guest *guest, const struct guest_step *s)
{
	struct guest_node *node = guest_child(guest, s->a, s->an);
	struct guest_node *over = guest_child(guest, s->b, s->bn);
	bool ok;

	guest_begin_at(guest, NFS3_RENAME, s->a);
	guest_text(guest, s->an);
	guest_opaque(guest, s->b->fh, FH_LEN);
	guest_text(guest, s->bn);
	guest_call(guest, GUEST_BODY_MAX);
	ok = guest_as(guest, guest_may_rename(guest, s, node, over));
	if (ok && over != node) {
		if (over)
			guest_leave(guest, guest_find(guest, s->b, s->bn));
		guest_leave(guest, guest_find(guest, s->a, s->an));
		guest_enter(guest, s->b, s->bn, node);
		guest_keep(guest);
	}
	guest_wcc(guest, s->a, -1);
	guest_wcc(guest, s->b, -1);
	guest_end(guest);
}

static void guest_link(struct guest *guest, const struct guest_step *s)
{
	bool may = guest_may_make(guest, s->b, s->bn) &&
		   guest_is_live(guest, s->a) && s->a->type != NF3DIR;

	guest_begin_at(guest, NFS3_LINK, s->a);
	guest_opaque(guest, s->b->fh, FH_LEN);
	guest_text(guest, s->bn);
	guest_call(guest, GUEST_BODY_MAX);
	if (guest_as(guest, may)) {
		guest_enter(guest, s->b, s->bn, s->a);
		guest_keep(guest);
	}
	guest_post_attr(guest, s->a);
	guest_wcc(guest, s->b, -1);
	guest_end(guest);
}

/* --- listings ------------------------------------------------------------ */

/* One entry; false: the list ends before it. */
static bool guest_entry(struct guest *guest, struct guest_node *dir, bool plus,
			uint64_t *cookie)
{
	char name[VIEW_NAME_MAX + 1];
	struct guest_node *child;
	const uint8_t *bytes;
	uint64_t fileid;
	size_t len;

	if (!get_u32(&guest->r))
		return false;
	fileid = guest_get64(guest);
	bytes = get_opaque(&guest->r, VIEW_NAME_MAX, &len);
	guest_need(guest, bytes && len > 0, "a name in a listing");
	memcpy(name, bytes, len);
	name[len] = '\0';
	child = guest_child(guest, dir, name);
	guest_need(guest, child, "a name that is not there");
	guest_learn_id(guest, child, fileid);
	guest_need(guest, *cookie < guest_get64(guest), "cookies must rise");
	*cookie =
	    (uint64_t)be32_get(guest->r.p - 8) << 32 | be32_get(guest->r.p - 4);
	if (plus) {
		guest_post_attr(guest, child);
		if (get_u32(&guest->r))
			guest_learn(guest, child);
	}
	return true;
}

/* Entries seen; *eof. */
static unsigned int guest_list(struct guest *guest, struct guest_node *dir,
			       bool plus, uint64_t *cookie, uint32_t count,
			       bool *eof)
{
	bool may = guest_is_live(guest, dir) && dir->type == NF3DIR;
	unsigned int seen = 0;

	guest_begin_at(guest, plus ? NFS3_READDIRPLUS : NFS3_READDIR, dir);
	guest_u64(guest, *cookie);
	guest_u64(guest, 0);
	if (plus)
		guest_u32(guest, count / 2);
	guest_u32(guest, count);
	guest_call(guest, MAX(count, 256u));
	guest_stale(guest, dir);
	*eof = true;
	if (guest->status != NFS3ERR_TOOSMALL || count > 1024)
		guest_as(guest, may);
	guest_post_attr(guest, dir);
	if (guest->status == NFS3_OK) {
		guest_get64(guest);
		while (guest_entry(guest, dir, plus, cookie))
			seen++;
		*eof = get_u32(&guest->r);
		guest_need(guest, seen > 0 || *eof, "an empty list, no end");
	}
	guest_end(guest);
	return seen;
}

static void guest_readdir(struct guest *guest, const struct guest_step *s,
			  bool plus)
{
	static const uint32_t counts[] = {0,   100,  128,   200,
					  512, 1100, 65536, UINT32_MAX};
	bool go_on = (s->y & 1) && guest->cookie_dir == s->a;
	uint64_t cookie = go_on ? guest->cookie : s->y == 2 ? UINT64_MAX : 0;
	unsigned int seen;
	bool eof;

	if (cookie == UINT64_MAX && !go_on)
		cookie--;
	go_on |= cookie != 0;
	seen = guest_list(guest, s->a, plus, &cookie, counts[s->x % 8], &eof);
	guest->cookie = cookie;
	guest->cookie_dir = s->a;
	if (!go_on && eof && guest->status == NFS3_OK)
		guest_need(guest, seen == 2 + guest_count(guest, s->a, false),
			   "names are missing");
}

/* --- the rest ------------------------------------------------------------ */

/* FSSTAT, FSINFO, PATHCONF: attributes, then words. */
static void guest_words(struct guest *guest, const struct guest_step *s,
			uint32_t proc, unsigned int words)
{
	guest_begin_at(guest, proc, s->a);
	guest_call(guest, GUEST_BODY_MAX);
	guest_stale(guest, s->a);
	guest_as(guest, guest_is_live(guest, s->a));
	guest_post_attr(guest, s->a);
	for (unsigned int i = 0; guest->status == NFS3_OK && i < words; i++)
		get_u32(&guest->r);
	guest_end(guest);
}

static void guest_mount(struct guest *guest)
{
	guest_begin(guest, MOUNT3_PROGRAM, MOUNT3_MNT);
	guest_text(guest, view_get_info(guest->view)->path);
	guest_need(guest, guest_call(guest, GUEST_BODY_MAX), "MNT");
	guest_learn(guest, guest->nodes);
	for (uint32_t left = get_u32(&guest->r); left > 0; left--)
		get_u32(&guest->r);
	guest_end(guest);
}

/* The last call once more, as it was. */
static void guest_again(struct guest *guest)
{
	if (guest->last_len == 0 || !guest->last_once)
		return;
	guest_send(guest, guest->call_len);
	guest_need(guest,
		   guest->reply_len == guest->last_len &&
		       memcmp(guest_reply_bytes, guest_last_bytes,
			      guest->last_len) == 0,
		   "sent again, another reply");
}

/* A true handle of an object that was only guessed. */
static void guest_guess(struct guest *guest, const struct guest_step *s)
{
	uint64_t fileid = s->x | (s->y & 1 ? UINT64_C(1) << 63 : 0);
	struct view_object obj = {fileid, s->z & 1 ? 0 : s->z};
	struct guest_attr attr;
	uint8_t fh[FH_LEN];

	fh_make(view_get_info(guest->view), obj, fh);
	guest_begin(guest, NFS3_PROGRAM, NFS3_GETATTR);
	guest_opaque(guest, fh, FH_LEN);
	if (guest_call(guest, GUEST_BODY_MAX)) {
		guest_get_attr(guest, &attr);
		guest_need(guest, attr.fileid == fileid, "of another object");
		guest_need(guest,
			   attr.fsid == view_get_info(guest->view)->export_id,
			   "of another export");
	} else {
		guest_need(guest, guest->status == NFS3ERR_STALE, "not STALE");
	}
	guest_end(guest);
}

/* Arguments cut off, or with a tail: GARBAGE_ARGS, and nothing is done. */
static void guest_garbage(struct guest *guest, const struct guest_step *s)
{
	guest_begin_at(guest, NFS3_REMOVE, s->a);
	guest_text(guest, s->an);
	if (s->x & 1)
		guest_u32(guest, s->y);
	else
		guest->p -= 4;
	guest_send(guest, (size_t)(guest->p - guest_call_bytes));
	guest_need(guest,
		   guest->reply_len == 28 &&
		       be32_get(guest_reply_bytes + 24) == 4,
		   "not GARBAGE_ARGS");
	guest->last_len = 0;
}

typedef void guest_fn(struct guest *guest, const struct guest_step *s);

static void guest_do_lookup(struct guest *guest, const struct guest_step *s)
{
	guest_lookup(guest, s->a, s->an);
}

static void guest_do_readlink(struct guest *guest, const struct guest_step *s)
{
	guest_readlink(guest, s->a);
}

static void guest_do_read(struct guest *guest, const struct guest_step *s)
{
	guest_read(guest, s->a, guest_size(s->y),
		   s->x < 250 ? s->x * 500u : UINT32_MAX - s->x);
}

static void guest_do_remove(struct guest *guest, const struct guest_step *s)
{
	guest_remove(guest, s, false);
}

static void guest_do_rmdir(struct guest *guest, const struct guest_step *s)
{
	guest_remove(guest, s, true);
}

static void guest_do_readdir(struct guest *guest, const struct guest_step *s)
{
	guest_readdir(guest, s, false);
}

static void guest_do_plus(struct guest *guest, const struct guest_step *s)
{
	guest_readdir(guest, s, true);
}

static void guest_do_fsstat(struct guest *guest, const struct guest_step *s)
{
	guest_words(guest, s, NFS3_FSSTAT, 13);
}

static void guest_do_fsinfo(struct guest *guest, const struct guest_step *s)
{
	guest_words(guest, s, NFS3_FSINFO, 12);
}

static void guest_do_pathconf(struct guest *guest, const struct guest_step *s)
{
	guest_words(guest, s, NFS3_PATHCONF, 6);
}

static void guest_do_mount(struct guest *guest, const struct guest_step *s)
{
	(void)s;
	guest_mount(guest);
}

/* The first by their number, less NULL; then MNT; then what is most telling
 * once more; then what no guest sends. */
static guest_fn *const guest_steps[] = {
    guest_getattr,     guest_setattr,   guest_do_lookup, guest_access,
    guest_do_readlink, guest_do_read,   guest_write,     guest_create,
    guest_mkdir,       guest_symlink,   guest_mknod,     guest_do_remove,
    guest_do_rmdir,    guest_rename,    guest_link,      guest_do_readdir,
    guest_do_plus,     guest_do_fsstat, guest_do_fsinfo, guest_do_pathconf,
    guest_commit,      guest_do_mount,  guest_setattr,   guest_do_lookup,
    guest_write,       guest_rename,    guest_guess,     guest_garbage,
};

static void guest_one(struct guest *guest, uint8_t op,
		      const struct guest_step *s)
{
	guest_steps[(op & 0x7f) % ARRAY_LEN(guest_steps)](guest, s);
	if (op & 0x80)
		guest_again(guest);
}

void guest_run(struct guest *guest, const uint8_t *data, size_t len)
{
	for (int i = 0; i < GUEST_STEPS_MAX && len >= GUEST_STEP; i++) {
		struct guest_step s = {
		    .a = guest->known[data[1] % guest->known_count],
		    .an = guest_name(data[2]),
		    .b = guest->known[data[3] % guest->known_count],
		    .bn = guest_name(data[4] & 0x7f),
		    .x = data[5],
		    .y = data[6],
		    .z = data[7],
		};

		guest->uid = data[4] & 0x80 ? GUEST_UID : 0;
		guest_one(guest, data[0], &s);
		data += GUEST_STEP;
		len -= GUEST_STEP;
	}
	guest->uid = 0;
}

static void guest_check_file(struct guest *guest, struct guest_node *node)
{
	uint64_t off = 0;

	if (node->type == NF3LNK)
		guest_readlink(guest, node);
	if (node->type != NF3REG)
		return;
	do {
		size_t got = guest_read(guest, node, off, GUEST_WINDOW);

		if (got == 0)
			break;
		off += got;
	} while (off < GUEST_WINDOW && off < node->size);
}

static void guest_check_dir(struct guest *guest, struct guest_node *dir)
{
	unsigned int seen = 0;
	uint64_t cookie = 0;
	bool eof = false;

	while (!eof)
		seen += guest_list(guest, dir, true, &cookie, 1100, &eof);
	guest_need(guest, seen == 2 + guest_count(guest, dir, false),
		   "names are missing");
	for (unsigned int i = 0; i < guest->entry_count; i++) {
		if (guest->entries[i].dir != dir)
			continue;
		guest_lookup(guest, dir, guest->entries[i].name);
		guest_check_file(guest, guest->entries[i].node);
	}
}

void guest_check(struct guest *guest)
{
	/* Parents come to be known before their children are asked for. */
	for (unsigned int pass = 0, i = 0; pass < guest->known_count; pass++) {
		struct guest_node *node = guest->known[i++];
		struct guest_step s = {.a = node};

		if (!guest_is_live(guest, node))
			guest_getattr(guest, &s);
		else if (node->type == NF3DIR)
			guest_check_dir(guest, node);
	}
	for (unsigned int i = 0; i < guest->node_count; i++)
		guest_need(guest,
			   guest->nodes[i].has_fh ||
			       !guest_is_live(guest, &guest->nodes[i]),
			   "not reached");
}

void guest_sync(struct guest *guest)
{
	for (unsigned int i = 0; i < guest->known_count; i++) {
		struct guest_step s = {.a = guest->known[i]};

		if (s.a->type == NF3REG && guest_is_live(guest, s.a))
			guest_commit(guest, &s);
	}
}

/* --- life ---------------------------------------------------------------- */

static void guest_ready(struct peer *peer)
{
	(void)peer;
}

static void guest_connect(struct guest *guest)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	ASSERT(drc_new(&guest->drc) == 0);
	ASSERT(rpc_init(&guest->rpc, guest->site, guest->drc) == 0);
	guest->rpc.ready = guest_ready;
	peer_init(&guest->peer, (struct sockaddr *)&addr);
}

static void guest_disconnect(struct guest *guest)
{
	rpc_close_peer(&guest->rpc, &guest->peer);
	rpc_deliver_mail(&guest->rpc);
	out_drop(&guest->rpc.out);
	rpc_fini(&guest->rpc);
	drc_free(guest->drc);
}

struct guest *guest_new(struct site *site, struct view *view)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	ASSERT(guest);
	guest_name(0);
	guest->site = site;
	guest->view = view;
	guest->xid = 1000;
	guest_connect(guest);
	guest_node_new(guest, NF3DIR);
	guest_mount(guest);
	return guest;
}

void guest_free(struct guest *guest)
{
	guest_disconnect(guest);
	for (unsigned int i = 0; i < guest->node_count; i++)
		free(guest->nodes[i].data);
	free(guest);
}

/* Sent again to the next life of the server. */
static void guest_once_again(struct guest *guest)
{
	uint32_t xid = guest->xid;

	if (guest->once_call_len == 0)
		return;
	memcpy(guest_call_bytes, guest_once_call, guest->once_call_len);
	guest->xid = guest->once_xid;
	guest->proc = guest->once_proc;
	guest_send(guest, guest->once_call_len);
	guest_need(guest,
		   guest->reply_len == guest->once_reply_len &&
		       memcmp(guest_reply_bytes, guest_once_reply,
			      guest->once_reply_len) == 0,
		   "sent again after a start, another reply");
	guest->xid = xid;
	guest->last_len = 0;
}

void guest_restart(struct guest *guest, struct site *site, struct view *view)
{
	guest_disconnect(guest);
	guest->site = site;
	guest->view = view;
	guest->verifier = 0;
	guest_connect(guest);
	guest_once_again(guest);
	guest_check(guest);
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
    __attribute__((weak));

size_t guest_mutate(uint8_t *data, size_t size, size_t max_size,
		    unsigned int seed)
{
	size_t count = size / GUEST_STEP, max = max_size / GUEST_STEP;
	size_t at = count ? (seed >> 8) % count : 0;
	size_t from = count ? (seed >> 16) % count : 0;
	uint8_t step[GUEST_STEP];

	max = MIN(max, (size_t)GUEST_STEPS_MAX);
	if (count == 0 || seed % 4 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(step, data + from * GUEST_STEP, GUEST_STEP);
	switch (seed / 4 % 4) {
	case 0: /* change one in place */
		LLVMFuzzerMutate(data + at * GUEST_STEP, GUEST_STEP,
				 GUEST_STEP);
		return count * GUEST_STEP;
	case 1: /* one more, nearly as another */
		if (count >= max)
			break;
		step[(seed >> 4) % GUEST_STEP] = (uint8_t)(seed >> 24);
		memmove(data + (at + 1) * GUEST_STEP, data + at * GUEST_STEP,
			(count - at) * GUEST_STEP);
		memcpy(data + at * GUEST_STEP, step, GUEST_STEP);
		return (count + 1) * GUEST_STEP;
	case 2: /* one less */
		if (count < 2)
			break;
		memmove(data + at * GUEST_STEP, data + (at + 1) * GUEST_STEP,
			(count - at - 1) * GUEST_STEP);
		return (count - 1) * GUEST_STEP;
	case 3: /* two change places */
		memmove(data + from * GUEST_STEP, data + at * GUEST_STEP,
			GUEST_STEP);
		memcpy(data + at * GUEST_STEP, step, GUEST_STEP);
		return count * GUEST_STEP;
	}
	return LLVMFuzzerMutate(data, size, max_size);
}

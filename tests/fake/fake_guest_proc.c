/* SPDX-License-Identifier: Apache-2.0 */
/* fake_guest_proc: what each procedure must answer, by the model. */
#include "tests/fake/fake_guest_impl.h"

uint64_t guest_size(uint8_t y)
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

void guest_getattr(struct guest *guest, const struct guest_step *s)
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

void guest_setattr(struct guest *guest, const struct guest_step *s)
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

bool guest_lookup(struct guest *guest, struct guest_node *dir, const char *name)
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

void guest_access(struct guest *guest, const struct guest_step *s)
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

void guest_readlink(struct guest *guest, struct guest_node *node)
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
size_t guest_read(struct guest *guest, struct guest_node *node, uint64_t off,
		  uint32_t count)
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

void guest_write(struct guest *guest, const struct guest_step *s)
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

void guest_commit(struct guest *guest, const struct guest_step *s)
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

void guest_create(struct guest *guest, const struct guest_step *s)
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

void guest_mkdir(struct guest *guest, const struct guest_step *s)
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

void guest_symlink(struct guest *guest, const struct guest_step *s)
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

void guest_mknod(struct guest *guest, const struct guest_step *s)
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

void guest_remove(struct guest *guest, const struct guest_step *s, bool rmdir)
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

void guest_rename(struct guest *guest, const struct guest_step *s)
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

void guest_link(struct guest *guest, const struct guest_step *s)
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
bool guest_entry(struct guest *guest, struct guest_node *dir, bool plus,
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
unsigned int guest_list(struct guest *guest, struct guest_node *dir, bool plus,
			uint64_t *cookie, uint32_t count, bool *eof)
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

void guest_readdir(struct guest *guest, const struct guest_step *s, bool plus)
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_guest: steps to calls, sequences of them, the whole tree compared; and
 * the guest's life.
 */
#include "tests/fake/fake_guest_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>

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

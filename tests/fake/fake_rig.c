/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/fake_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "nfsd/fh.h"

/* One rig at a time: rpc.ready has no context, and fresh megabytes for each
 * input would be all that a fuzzer does. */
static struct rig *rig_of_ready;
static uint8_t rig_call_bytes[RIG_CALL_MAX];
static uint8_t rig_reply_bytes[RIG_REPLY_MAX];

static void rig_ready(struct peer *peer)
{
	(void)peer;
	rig_of_ready->ready_count++;
}

static void rig_peer(struct peer *peer, const char *addr)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	ASSERT(inet_pton(AF_INET, addr, &in.sin_addr) == 1);
	peer_init(peer, (struct sockaddr *)&in);
}

struct rig *rig_new(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	ASSERT(rig);
	rig_of_ready = rig;
	rig->red = fake_view_new(7, "/red/vm1", "10.0.0.1");
	rig->blue = fake_view_new(8, "/blue/vm1", "");
	fake_view_info(rig->blue)->root_squash = true;
	ASSERT(site_open(NULL, &rig->site) == 0);
	fake_site_add(rig->site, rig->red);
	fake_site_add(rig->site, rig->blue);
	ASSERT(drc_new(&rig->drc) == 0);
	ASSERT(rpc_init(&rig->rpc, rig->site, rig->drc) == 0);
	rig->rpc.ready = rig_ready;
	rig_peer(&rig->peer, "10.0.0.1");
	rig_peer(&rig->other, "10.0.0.2");
	rig->xid = 1000;
	rig->call = rig_call_bytes;
	rig->replies = rig_reply_bytes;
	return rig;
}

void rig_free(struct rig *rig)
{
	rpc_close_peer(&rig->rpc, &rig->peer);
	rpc_close_peer(&rig->rpc, &rig->other);
	fake_view_late_wake(rig->red, false);
	fake_view_wake(rig->red);
	fake_view_settle(rig->red, 0);
	fake_view_wake(rig->blue);
	fake_view_settle(rig->blue, 0);
	rpc_deliver_mail(&rig->rpc);
	out_drop(&rig->rpc.out);
	rpc_fini(&rig->rpc);
	drc_free(rig->drc);
	site_close(rig->site);
	fake_view_free(rig->red);
	fake_view_free(rig->blue);
	free(rig);
}

void rig_call(struct rig *rig, uint32_t program, uint32_t procedure)
{
	rig->p = rig->call;
	rig_u32(rig, ++rig->xid);
	rig_u32(rig, 0);
	rig_u32(rig, 2);
	rig_u32(rig, program);
	rig_u32(rig, 3);
	rig_u32(rig, procedure);
	rig_u32(rig, 1); /* AUTH_SYS */
	rig_u32(rig, 24);
	rig_u32(rig, 77);
	rig_name(rig, "rig");
	rig_u32(rig, rig->uid);
	rig_u32(rig, rig->gid);
	rig_u32(rig, 0);
	rig_u64(rig, 0);
}

void rig_u32(struct rig *rig, uint32_t v)
{
	rig->p = put_u32(rig->p, v);
}

void rig_u64(struct rig *rig, uint64_t v)
{
	rig->p = put_u64(rig->p, v);
}

void rig_bytes(struct rig *rig, const void *bytes, size_t len)
{
	ASSERT(rig_len(rig) + len + 8 < RIG_CALL_MAX);
	rig->p = put_opaque(rig->p, bytes, len);
}

void rig_name(struct rig *rig, const char *name)
{
	rig_bytes(rig, name, strlen(name));
}

void rig_fh(struct rig *rig, struct view *view, struct view_object obj)
{
	uint8_t fh[FH_LEN];

	fh_make(view_get_info(view), obj, fh);
	rig_bytes(rig, fh, sizeof(fh));
}

void rig_fh_of(struct rig *rig, struct view *view, uint64_t fileid)
{
	struct view_attr *attr = fake_view_attr(view, fileid);

	rig_fh(rig, view,
	       (struct view_object){.fileid = fileid,
				    .generation = attr->generation});
}

void rig_sattr(struct rig *rig)
{
	for (int i = 0; i < 6; i++)
		rig_u32(rig, 0);
}

size_t rig_len(const struct rig *rig)
{
	return (size_t)(rig->p - rig->call);
}

/* Flatten what the worker would send. */
static void rig_collect(struct rig *rig)
{
	struct out *out = &rig->rpc.out;

	if (rig->replies_at == rig->replies_len)
		rig->replies_at = rig->replies_len = 0;
	for (unsigned int i = 0; i < out->iov_count; i++) {
		ASSERT(rig->replies_len + out->iov[i].iov_len < RIG_REPLY_MAX);
		memcpy(rig->replies + rig->replies_len, out->iov[i].iov_base,
		       out->iov[i].iov_len);
		rig->replies_len += out->iov[i].iov_len;
	}
	out_drop(out);
}

int rig_send(struct rig *rig, struct peer *peer)
{
	size_t len = rig_len(rig);
	/* A copy of the exact size, so that sanitizers see an overrun. */
	CLEANUP_FREE uint8_t *record = malloc(len + 1);
	int rc;

	ASSERT(record);
	memcpy(record, rig->call, len);
	rc = rpc_serve(&rig->rpc, peer, record, len);
	memset(record, 0xee, len);
	rig_collect(rig);
	return rc;
}

void rig_pump(struct rig *rig)
{
	rpc_deliver_mail(&rig->rpc);
	while (rpc_resume(&rig->rpc, &rig->peer))
		rig_collect(rig);
	rig_collect(rig);
	while (rpc_resume(&rig->rpc, &rig->other))
		rig_collect(rig);
	rig_collect(rig);
}

uint32_t rig_take(struct rig *rig)
{
	const uint8_t *p = rig->replies + rig->replies_at;
	uint32_t len;

	if (rig->replies_at == rig->replies_len)
		return RIG_NO_REPLY;
	len = be32_get(p) & 0x7fffffff;
	ASSERT(be32_get(p) >> 31 == 1);
	ASSERT(rig->replies_at + 4 + len <= rig->replies_len);
	rig->replies_at += 4 + len;
	rig->reply = (struct wire_reader){.p = p + 4, .end = p + 4 + len};
	rig->reply_xid = get_u32(&rig->reply);
	if (len < 24 || be32_get(p + 8) != 1 || be32_get(p + 12) != 0 ||
	    be32_get(p + 24) != 0)
		return RIG_REFUSED;
	rig->reply.p += 20;
	return 0;
}

uint32_t rig_status(struct rig *rig, struct peer *peer)
{
	uint32_t taken;

	if (rig_send(rig, peer) < 0)
		return RIG_CLOSED;
	taken = rig_take(rig);
	return taken ? taken : get_u32(&rig->reply);
}

bool rig_skip_post_attr(struct rig *rig)
{
	bool follows = get_u32(&rig->reply);

	for (int i = 0; follows && i < 21; i++)
		get_u32(&rig->reply);
	return follows;
}

void rig_skip_wcc(struct rig *rig, bool *before, bool *after)
{
	*before = get_u32(&rig->reply);
	for (int i = 0; *before && i < 6; i++)
		get_u32(&rig->reply);
	*after = rig_skip_post_attr(rig);
}

struct view_object rig_get_fh(struct rig *rig)
{
	struct fh fh = {.export_id = 0};
	const uint8_t *bytes;
	size_t len;

	bytes = get_opaque(&rig->reply, NFS3_FHSIZE, &len);
	if (!bytes || fh_parse(bytes, len, &fh) < 0)
		rig->reply.bad = true;
	return fh.obj;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_rig: the NFS side of one worker without sockets, over two fake views,
 *for tests: encodes calls by hand, serves them, takes the replies apart.
 *
 *	/red/vm1	export 7, for 10.0.0.1 only
 *	/blue/vm1	export 8, for anybody, root squashed
 *
 *	rig_call(rig, NFS3_PROGRAM, NFS3_GETATTR);
 *	rig_fh(rig, rig->red, root);
 *	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
 */
#ifndef TESTS_FAKE_FAKE_RIG_H
#define TESTS_FAKE_FAKE_RIG_H

#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"

enum {
	RIG_CALL_MAX = (2 << 20),
	RIG_REPLY_MAX = (8 << 20),
	RIG_NO_REPLY = 0xfffffff0, /* of rig_status */
	RIG_REFUSED = 0xfffffff1,  /* no accepted success */
	RIG_CLOSED = 0xfffffff2,   /* rpc_serve: close */
};

struct rig {
	struct view *red, *blue; /* owns */
	struct site *site;       /* owns */
	struct drc *drc;         /* owns */
	struct rpc rpc;
	struct peer peer;  /* 10.0.0.1 */
	struct peer other; /* 10.0.0.2 */
	unsigned int ready_count;
	uint32_t xid; /* of the last call */
	uint32_t uid, gid;
	uint8_t *call; /* borrows; being encoded */
	uint8_t *p;
	uint8_t *replies; /* borrows; flattened */
	size_t replies_len, replies_at;
	struct wire_reader reply; /* the body of the last rig_take() */
	uint32_t reply_xid;
};

struct rig *rig_new(void);
void rig_free(struct rig *rig);

/* Begin a call with AUTH_SYS rig->uid, rig->gid and a fresh xid. */
void rig_call(struct rig *rig, uint32_t program, uint32_t procedure);
void rig_u32(struct rig *rig, uint32_t v);
void rig_u64(struct rig *rig, uint64_t v);
void rig_bytes(struct rig *rig, const void *bytes, size_t len);
void rig_name(struct rig *rig, const char *name);
void rig_fh(struct rig *rig, struct view *view, struct view_object obj);
void rig_fh_of(struct rig *rig, struct view *view, uint64_t fileid);
void rig_sattr(struct rig *rig); /* nothing set */
size_t rig_len(const struct rig *rig);

/* Serve what was encoded (again); the replies go behind those not taken. */
int rig_send(struct rig *rig, struct peer *peer);
/* Deliver mail and resume woken calls of both peers. */
void rig_pump(struct rig *rig);
/* The next reply: 0 and its body in rig->reply, or RIG_NO_REPLY, RIG_REFUSED
 * (rig->reply then begins behind the xid). */
uint32_t rig_take(struct rig *rig);
/* rig_send, rig_take, and the first word of the body. */
uint32_t rig_status(struct rig *rig, struct peer *peer);

/* Parts of a reply body. */
bool rig_skip_post_attr(struct rig *rig); /* attributes followed */
void rig_skip_wcc(struct rig *rig, bool *before, bool *after);
struct view_object rig_get_fh(struct rig *rig);

#endif

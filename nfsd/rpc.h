/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc: one call (RFC 5531), from a record to its reply: header, credential,
 * row of the dispatch table, arguments, handler, reply.
 *
 * Life of a struct call:
 *
 * 1. running   rpc_serve() takes one from the worker's free list.  Its
 *              arguments lie in the receive buffer.  Most calls end here:
 *              reply encoded into rpc->out, call back on the list.
 * 2. waiting   the handler returned -EINPROGRESS: the arguments are copied,
 *              and the handler is run again from the top when the view wakes
 *              the call.  After hold_ms it is answered JUKEBOX.
 * 3. pending   a change is done but not yet stable: the reply lies encoded in
 *              the call until settled().
 * 4. duplicate a retransmission of a call that is 2 or 3; the drc answers.
 * 5. sending   a READ whose data is pinned until the reply has been sent.
 *
 * Calls in 2, 3 and 4 are parked: in the list of their peer.  When the
 * connection closes, waiting calls are cancelled, unless a retransmission may
 * ask for their answer; pending ones end without a peer.
 *
 * Calls in 2 and 3 are counted to their guest (share.h): one that has all it
 * may is answered JUKEBOX instead, before anything is done.
 *
 * -ESHUTDOWN, of a view or a handler, says that the guest is paused: the call
 * is dropped, neither carried out nor answered, and the connection stays.
 *
 * A worker owns its calls.  view_wait.wake, view_change.settled and
 * drc_waiter.told come on any thread and only post to the worker's mailbox.
 * Nothing here knows sockets: conn.h feeds records and sends rpc->out.
 */
#ifndef NFSD_RPC_H
#define NFSD_RPC_H

#include <sys/queue.h>

#include "depot/base.h"
#include "gen/mount3.h"
#include "gen/nfs3.h"
#include "nfsd/drc.h"
#include "nfsd/export.h"
#include "nfsd/mailbox.h"
#include "nfsd/out.h"
#include "nfsd/program.h"
#include "nfsd/share.h"
#include "nfsd/stats.h"
#include "overlay/view.h"

enum {
	RPC_HOLD_MS = 10000,
	RPC_PEER_WAITING_MAX = 128,  /* more: JUKEBOX at once */
	RPC_PEER_CHANGING_MAX = 256, /* more: read no further */
	RPC_WAITING_MAX = 4096,      /* of a worker */
	RPC_PEER_COPIED_MAX = 8 << 20,
	RPC_COPIED_MAX = 64 << 20, /* bytes of arguments, of a worker */
	RPC_FREE_CALLS_MAX = 256,
	RPC_WARN_MS = 10000,
	RPC_AUTH_LEN_MAX = 400,
	RPC_MACHINE_NAME_MAX = 255,
	RPC_NOBODY = 65534,
};

struct call;
LIST_HEAD(call_list, call);
TAILQ_HEAD(call_queue, call);

/* The rpc half of a connection. */
struct peer {
	struct export_client client;
	struct call_list parked;
	struct call_queue woken; /* parked no more; rpc_resume() runs them */
	unsigned int waiting_count, changing_count;
	size_t copied_bytes;
	const struct view_info *info; /* borrows; of the last call's export */
	struct share *share;          /* borrows; its guest's; NULL: none yet */
	struct share *home; /* borrows; whose connection it is: the guest of the
			       first handle; NULL: nobody's yet */
	bool broken;        /* close it, answer nothing more */
	uint64_t order;     /* of its connection: the greater, the newer */
};

/* The rpc half of a worker. */
struct rpc {
	struct site *site;     /* borrows */
	struct drc *drc;       /* borrows; all workers' */
	struct shares *shares; /* borrows; all workers'; NULL: no limits */
	struct mailbox mailbox;
	struct out out;
	struct stats stats;
	struct call *free_calls; /* owns */
	unsigned int free_count;
	struct call_list waiting; /* those of all peers, for their time-out */
	unsigned int waiting_count, parked_count;
	size_t copied_bytes;
	unsigned int hold_ms;
	uint64_t now_ms;  /* the worker's loop keeps it */
	uint64_t fed_ms;  /* when bytes last came that were waited for long, or
			     had just been fetched */
	uint64_t warn_ms; /* no warning of a full share before it */
	/* A peer has woken calls: have rpc_resume() called in its turn. */
	void (*ready)(struct peer *peer);
};

union call_args {
	nfs_fh3 handle; /* the first member of all with PROCEDURE_HANDLE */
	GETATTR3args getattr;
	SETATTR3args setattr;
	LOOKUP3args lookup;
	ACCESS3args access;
	READLINK3args readlink;
	READ3args read;
	WRITE3args write;
	CREATE3args create;
	MKDIR3args mkdir;
	SYMLINK3args symlink;
	MKNOD3args mknod;
	REMOVE3args remove;
	RENAME3args rename;
	LINK3args link;
	READDIR3args readdir;
	READDIRPLUS3args readdirplus;
	FSSTAT3args fsstat;
	FSINFO3args fsinfo;
	PATHCONF3args pathconf;
	COMMIT3args commit;
	MNT3args mnt;
};

enum call_state { CALL_RUNNING, CALL_WAITING, CALL_PENDING, CALL_DUPLICATE };

struct call {
	struct rpc *rpc;   /* borrows */
	struct peer *peer; /* borrows; NULL: its connection has gone */
	enum call_state state;
	bool expired;   /* waited too long */
	bool dropped;   /* free it when its mail comes */
	bool encoded;   /* the body is complete */
	bool wait_used; /* call->wait must be released */
	const struct procedure *procedure;
	unsigned int number; /* of the procedure */
	uint32_t xid;

	const uint8_t *args_bytes; /* borrows; or args_copy */
	size_t args_len;
	uint8_t *args_copy; /* owns; of a waiting call */
	union call_args args;

	uint32_t flavor;
	struct view_cred auth; /* as sent */
	struct view_cred cred; /* squashed */
	struct view *view;     /* borrows; NULL until the handle is proved */
	const struct view_info *info;
	struct share *share;     /* borrows; of the view's guest */
	struct view_object obj;  /* of the first handle */
	struct view_object obj2; /* of the second one, when has_obj2 */
	bool has_obj2;

	/* Attributes for a failed reply that the handler has at hand. */
	struct view_attr attr;
	bool has_attr;

	uint8_t *body, *end;      /* where the reply is, or is to be, encoded */
	struct drc_entry *entry;  /* owns, while it runs */
	struct drc_waiter waiter; /* its body serves as the room of replies
				     that may be parked */
	int settled_rc;
	uint64_t deadline_ms;

	struct mail mail;
	struct out_hold hold;
	LIST_ENTRY(call) parked_link, waiting_link;
	TAILQ_ENTRY(call) woken_link;
	struct call *next_free;

	struct view_change change;
	struct view_read read;
	struct view_wait wait;
};

/* -ENOMEM, -EMFILE. */
MUST_CHECK int rpc_init(struct rpc *rpc, struct site *site, struct drc *drc);
void rpc_fini(struct rpc *rpc); /* no call is parked, no reply unsent */

void peer_init(struct peer *peer, const struct sockaddr *addr);

/*
 * Serve the call in a record; rpc->out has room.  0: its reply is in rpc->out,
 * or will be.  -EBADMSG: this is no RPC call; close.
 */
MUST_CHECK int rpc_serve(struct rpc *rpc, struct peer *peer,
			 const uint8_t *record, size_t len);
/* No more calls may be served for now: too much is parked. */
bool rpc_peer_is_full(const struct peer *peer);
/* Run the peer's woken calls until there are no more, or rpc->out is full
 * (true: some are left). */
bool rpc_resume(struct rpc *rpc, struct peer *peer);
/* Deliver what has come by mail. */
void rpc_deliver_mail(struct rpc *rpc);
/* Calls that have waited too long. */
void rpc_expire(struct rpc *rpc);
/* The connection goes. */
void rpc_close_peer(struct rpc *rpc, struct peer *peer);

/* --- for handlers -------------------------------------------------------- */

/* The wait to hand to the view. */
static inline struct view_wait *call_wait(struct call *call)
{
	call->wait_used = true;
	return &call->wait;
}

/* The second handle of RENAME and LINK, into call->obj2.  -EXDEV: of another
 * export; -EBADF. */
MUST_CHECK int call_second_handle(struct call *call, const nfs_fh3 *fh);

/* The caller's credential under an export's rules. */
void call_squash(const struct call *call, const struct view_info *info,
		 struct view_cred *cred);

/* Encode the failed reply for rc. */
void call_fail(struct call *call, int rc);

#endif

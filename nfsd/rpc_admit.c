/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_admit: what a call may touch and who answers for it: export and object
 * of its handles, its credential under the export's rules, its guest's share.
 */
#include "nfsd/rpc_impl.h"

#include "depot/log.h"

/* --- credentials -------------------------------------------------------- */

void call_squash(const struct call *call, const struct view_info *info,
		 struct view_cred *cred)
{
	cred->uid = call->auth.uid;
	cred->gid = call->auth.gid;
	cred->group_count = call->auth.group_count;
	for (unsigned int i = 0; i < cred->group_count; i++)
		cred->groups[i] = call->auth.groups[i];
	if (!info->root_squash)
		return;
	if (cred->uid == 0)
		cred->uid = RPC_NOBODY;
	if (cred->gid == 0)
		cred->gid = RPC_NOBODY;
	for (unsigned int i = 0; i < cred->group_count; i++)
		if (cred->groups[i] == 0)
			cred->groups[i] = RPC_NOBODY;
}

/* Stamp and machine name are left out: a client may change them when it
 * connects again. */
uint64_t rpc_cred_hash(const struct call *call)
{
	uint32_t words[3 + VIEW_GROUPS_MAX];
	unsigned int count = 0;

	words[count++] = call->flavor;
	words[count++] = call->auth.uid;
	words[count++] = call->auth.gid;
	for (unsigned int i = 0; i < call->auth.group_count; i++)
		words[count++] = call->auth.groups[i];
	for (unsigned int i = 0; i < count; i++)
		words[i] = htole32(words[i]);
	return siphash64(call->info->key, words, count * sizeof(words[0]));
}

/* --- shares and handles ------------------------------------------------- */

/* The connection is one of this guest from now on.  -EBUSY: the guest has all
 * it may; this one is closed. */
static int rpc_settle_in(struct rpc *rpc, struct peer *peer)
{
	if (share_is_full(peer->share, SHARE_CONNS)) {
		if (rpc->now_ms >= rpc->warn_ms) {
			rpc->warn_ms = rpc->now_ms + RPC_WARN_MS;
			log_warn("export %s: it, or its tenant, has all the "
				 "connections it may: refusing more",
				 peer->info->path);
		}
		stats_count(&rpc->stats.connections_refused, 1);
		peer->broken = true;
		return -EBUSY;
	}
	share_add(peer->share, SHARE_CONNS, 1);
	peer->home = peer->share;
	return 0;
}

/* Whose call is it? */
static int rpc_account(struct call *call)
{
	struct peer *peer = call->peer;
	struct rpc *rpc = call->rpc;

	if (!rpc->shares)
		return 0;
	if (peer->info != call->info) {
		peer->share = share_of_guest(rpc->shares, call->info);
		if (!peer->share)
			return -ENOMEM;
		peer->info = call->info;
	}
	call->share = peer->share;
	return peer->home ? 0 : rpc_settle_in(rpc, peer);
}

int rpc_admit(struct call *call)
{
	const nfs_fh3 *fh = &call->args.handle;
	struct export_view export;
	int rc;

	rc = export_of_handle(&call->peer->client, call->rpc->site, fh->bytes,
			      fh->len, &export, &call->obj);
	if (rc < 0)
		return rc;
	call->view = export.view;
	call->info = export.info;
	call_squash(call, call->info, &call->cred);
	return rpc_account(call);
}

int call_second_handle(struct call *call, const nfs_fh3 *fh)
{
	struct export_view export;
	int rc;

	rc = export_of_handle(&call->peer->client, call->rpc->site, fh->bytes,
			      fh->len, &export, &call->obj2);
	if (rc < 0)
		return rc;
	if (export.view != call->view)
		return -EXDEV;
	call->has_obj2 = true;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_fail: the reply of a procedure that failed: its status, and the
 * attributes that the row of the dispatch table says it has.
 */
#include "nfsd/rpc_impl.h"

#include "nfsd/attr3.h"
#include "nfsd/status3.h"
#include "nfsd/wirebytes.h"

/* Attributes for a failed reply: better asked for than left out, since a
 * client without them must ask itself. */
static uint8_t *rpc_put_attr(struct call *call, uint8_t *p)
{
	if (!call->has_attr && call->view)
		call->has_attr =
		    view_getattr(call->view, call->obj, &call->attr) == 0;
	return attr3_put_post_op(p, call->has_attr ? &call->attr : NULL,
				 call->view ? call->info->export_id : 0);
}

/* RFC 1813 section 2.6: what cannot be told for sure is not told. */
static uint8_t *rpc_put_wcc(struct call *call, struct view_wcc *wcc,
			    const struct view_object *obj, uint8_t *p)
{
	struct view_wcc none = {.has_before = false};

	if (!call->view)
		return attr3_put_wcc(p, &none, 0);
	if (!wcc->has_after && obj)
		wcc->has_after =
		    view_getattr(call->view, *obj, &wcc->after) == 0;
	return attr3_put_wcc(p, wcc, call->info->export_id);
}

void call_fail(struct call *call, int rc)
{
	nfsstat3 status = status3_of(rc, call->number);
	struct view_wcc *wcc = call->change.done.wcc;
	const struct view_object *obj2 = call->has_obj2 ? &call->obj2 : NULL;
	uint8_t *p;

	/* The handle was refused before the change was prepared. */
	if ((call->procedure->flags & PROCEDURE_CHANGES) && !call->view)
		rpc_prepare_change(call);
	stats_count(&call->rpc->stats.nfs3_errors[call->number], 1);
	if (status == NFS3ERR_JUKEBOX)
		stats_count(&call->rpc->stats.jukebox, 1);
	p = put_u32(call->body, status);
	switch (call->procedure->fail) {
	case FAIL_NOTHING:
		break;
	case FAIL_ATTR:
		p = rpc_put_attr(call, p);
		break;
	case FAIL_WCC:
		p = rpc_put_wcc(call, &wcc[0], &call->obj, p);
		break;
	case FAIL_WCC_WCC:
		p = rpc_put_wcc(call, &wcc[0], &call->obj, p);
		p = rpc_put_wcc(call, &wcc[1], obj2, p);
		break;
	case FAIL_ATTR_WCC:
		p = rpc_put_attr(call, p);
		p = rpc_put_wcc(call, &wcc[0], obj2, p);
		break;
	}
	call->end = p;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entitle: to which tenants a package may be given.  Two may say so, of all
 * packages of one name: its publisher, in the tag document, and the operator of
 * this host.  A tenant must be allowed by both; who says nothing allows
 * everybody.  Asked when a selection is made (overlay/site.h), so that what a
 * tenant has it keeps till the next assign.
 *
 * Kept in the state database (store.h): 'F' name, of this host; 'F' name 0
 * upstream, of a publisher: the names of tenants, sorted, each ended by a NUL.
 * No row: everybody.  No bytes: nobody.
 */
#ifndef DEPOT_ENTITLE_H
#define DEPOT_ENTITLE_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/kv.h"

/* upstream NULL: of this host.  *entitled: empty before, the caller clears it.
 * -EBADMSG: the row is damaged. */
MUST_CHECK int entitle_get(struct kv *state, const char *name,
			   const char *upstream,
			   struct package_entitled *entitled);
/* -ENOMEM; -E2BIG: more than PACKAGE_ENTITLED_MAX. */
MUST_CHECK int entitle_put(struct kv_batch *batch, const char *name,
			   const char *upstream,
			   const struct package_entitled *entitled);

#endif

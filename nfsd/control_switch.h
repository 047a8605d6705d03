/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_switch: a selection takes the place of another: what the requests
 * that do so share (control_switch.c).
 */
#ifndef NFSD_CONTROL_SWITCH_H
#define NFSD_CONTROL_SWITCH_H

#include "nfsd/control_request.h"
#include "overlay/site.h"

struct control_switch {
	const char *tenant; /* borrows */
	const char *verb;   /* for refusals: "cannot VERB TENANT" */
	struct site_switch how;
	json_t *paths;   /* owns; two packages at one path, in words */
	json_t *notes;   /* owns; directories of two packages, in words */
	json_t *guests;  /* owns; guests' changes of files that change */
	json_t *changes; /* owns; of an upgrade, a package each */
	struct package_info *package; /* owns; SITE_SELECTION_MAX: as it is, to
					 be changed */
	unsigned int count;
	uint32_t from, generation; /* before, and after */
	unsigned int guest_count;
};

void control_switch_clear(struct control_switch *s); /* at any time */
/* Parameters tenant, dry_run, conflicts; and what is selected now.  -EINVAL,
 * -ENOENT (answered). */
MUST_CHECK int control_switch_begin(struct control_request *req,
				    struct control_switch *s);
/* Give the tenant s->package, and fill in what that did.  What was answered:
 * see control_switch_fail. */
MUST_CHECK int control_switch_run(struct control_request *req,
				  struct control_switch *s);
/* Refuse, as errors of site_tenant_switch and _rollback (site.h) want it; gives
 * rc. */
int control_switch_fail(struct control_request *req, struct control_switch *s,
			int rc);
/* What was done, or with dry_run would be, as a document of `schema`. */
MUST_CHECK int control_switch_answer(struct control_request *req,
				     struct control_switch *s,
				     const char *schema);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_assign: what a tenant has selected, through the admin API.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control_switch.h"

enum { CONTROL_URL_MAX = sizeof(((struct upstream_info *)0)->url) - 1 };

struct control_assign {
	struct control_switch sw;
	/* What is named, in order. */
	struct package_info *named; /* owns; SITE_SELECTION_MAX */
	unsigned int count;
};

static void control_assign_clear(struct control_assign *assign)
{
	control_switch_clear(&assign->sw);
	free(assign->named);
}

static int control_upstream_name(void *ctx, const struct upstream_info *info)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, CONTROL_URL_MAX - len, "%s%s",
		 len ? ", " : " nor in upstreams ", info->name);
	return 0;
}

/* What to try when it is another host's depot that fails; NULL: no idea. */
const char *control_depot_hint(int rc)
{
	switch (rc) {
	case -EHOSTUNREACH:
		return "the same when it answers; vdrive upstream list shows "
		       "when";
	case -EACCES:
		return "vdrive upstream set NAME --credentials FILE, or have "
		       "its server let this host in";
	case -EBADMSG:
		return "vdrive depot key list, for whom it must be signed by; "
		       "another upstream; or tell its publisher";
	case -EPROTONOSUPPORT:
		return "a newer vdrive on this host";
	case -EINVAL:
		return "vdrive help upstream, for what URLs and options there "
		       "are";
	default:
		return NULL;
	}
}

static int control_resolve_fail(struct control_request *req, int rc,
				const char *ref)
{
	char upstreams[CONTROL_URL_MAX] = "";

	if (rc != -ENOENT)
		return control_fail(req, rc, control_depot_hint(rc),
				    "package \"%s\"", ref);
	if (depot_upstream_list(req->control->daemon.depot,
				control_upstream_name, upstreams) < 0)
		upstreams[0] = '\0';
	return control_refuse(req, rc, "vdrive package list",
			      "package \"%s\" is not in this depot%s", ref,
			      upstreams);
}

static int control_assign_ref(struct control_request *req,
			      struct control_assign *assign, const char *text)
{
	struct package_info *info = &assign->named[assign->count];
	struct package_ref ref;
	int rc;

	if (assign->count >= SITE_SELECTION_MAX)
		return control_refuse(req, -EINVAL, NULL,
				      "a selection has at most %d packages",
				      SITE_SELECTION_MAX);
	if (package_ref_parse(text, &ref) < 0)
		return control_refuse(req, -EINVAL, "vdrive package list",
				      "\"%s\" is no package reference", text);
	rc = depot_package_resolve(req->control->daemon.depot, &ref, info);
	if (rc < 0)
		return control_resolve_fail(req, rc, text);
	for (unsigned int i = 0; i < assign->count; i++)
		if (digest_equal(&assign->named[i].revision, &info->revision))
			return control_refuse(req, -EINVAL, "each package once",
					      "package \"%s\" is named twice",
					      text);
	assign->count++;
	return 0;
}

static int control_assign_refs(struct control_request *req,
			       struct control_assign *assign)
{
	CLEANUP_FREE char *text =
	    strndup((const char *)req->body, req->body_len);
	char *save = NULL;
	int rc = 0;

	if (!text)
		return -ENOMEM;
	if (strlen(text) != req->body_len)
		return control_refuse(req, -EINVAL, NULL,
				      "assign: the list is no text");
	for (char *line = strtok_r(text, "\n", &save); line && rc == 0;
	     line = strtok_r(NULL, "\n", &save))
		rc = control_assign_ref(req, assign, line);
	if (rc == 0 && assign->count == 0)
		return control_refuse(req, -EINVAL, NULL,
				      "assign: no package is named");
	return rc;
}

/* --- what becomes of the list ----------------------------------------------
 */

static int control_selected(const struct control_switch *sw, const char *name)
{
	for (unsigned int i = 0; i < sw->count; i++)
		if (strcmp(sw->package[i].name, name) == 0)
			return (int)i;
	return -1;
}

static void control_unselect(struct control_switch *sw, unsigned int at)
{
	sw->count--;
	memmove(&sw->package[at], &sw->package[at + 1],
		(sw->count - at) * sizeof(*sw->package));
}

static int control_select_first(struct control_request *req,
				struct control_switch *sw,
				const struct package_info *package)
{
	if (sw->count == SITE_SELECTION_MAX)
		return control_refuse(req, -EINVAL, NULL,
				      "a selection has at most %d packages",
				      SITE_SELECTION_MAX);
	memmove(&sw->package[1], &sw->package[0],
		sw->count * sizeof(*sw->package));
	sw->package[0] = *package;
	sw->count++;
	return 0;
}

/*
 * New ones go in front, in their order; another version of one that is there
 * takes its place.  With `front` all that are named go to the front.
 */
static int control_assign_merge(struct control_request *req,
				struct control_assign *assign, bool front)
{
	struct control_switch *sw = &assign->sw;
	int rc = 0;

	for (unsigned int i = assign->count; rc == 0 && i > 0; i--) {
		const struct package_info *p = &assign->named[i - 1];
		int at = control_selected(sw, p->name);

		if (at >= 0 && !front) {
			sw->package[at] = *p;
			continue;
		}
		if (at >= 0)
			control_unselect(sw, (unsigned int)at);
		rc = control_select_first(req, sw, p);
	}
	return rc;
}

/* One of the selection wins over all others. */
static int control_assign_prefer(struct control_request *req,
				 struct control_switch *sw, const char *name)
{
	struct package_info package;
	int at;

	if (!name)
		return 0;
	at = control_selected(sw, name);
	if (at < 0)
		return control_refuse(req, -ENOENT, "vdrive tenant list",
				      "prefer: \"%s\" is not selected", name);
	package = sw->package[at];
	control_unselect(sw, (unsigned int)at);
	sw->how.take_order = true;
	return control_select_first(req, sw, &package);
}

static int control_assign_list(struct control_request *req,
			       struct control_assign *assign)
{
	struct control_switch *sw = &assign->sw;
	const char *mode = control_param_text(req, "mode");
	int rc;
	if (!mode || strcmp(mode, "only") == 0)
		sw->count = 0;
	else if (strcmp(mode, "add") != 0)
		return control_refuse(req, -EINVAL, NULL,
				      "mode \"%s\" is not add or only", mode);
	rc = control_assign_merge(req, assign, sw->how.take_order);
	return rc < 0 ? rc
		      : control_assign_prefer(
			    req, sw, control_param_text(req, "prefer"));
}

int control_assign(struct control_request *req)
{
	CLEANUP(control_assign_clear)
	struct control_assign assign = {.sw = {.verb = "assign to"}};
	struct control_switch *sw = &assign.sw;
	int rc = control_param_bool(req, "order", &sw->how.take_order);

	if (rc < 0)
		return rc;
	assign.named = calloc(SITE_SELECTION_MAX, sizeof(*assign.named));
	if (!assign.named)
		return -ENOMEM;
	rc = control_assign_refs(req, &assign);
	if (rc == 0)
		rc = control_switch_begin(req, sw);
	if (rc == 0)
		rc = control_assign_list(req, &assign);
	if (rc == 0)
		rc = control_switch_run(req, sw);
	return rc < 0 ? rc : control_switch_answer(req, sw, "tenant-assign/1");
}

/* --- unassign ----------------------------------------------------------------
 */

static int control_unassign_names(struct control_request *req,
				  struct control_switch *sw)
{
	CLEANUP_FREE char *text =
	    strndup((const char *)req->body, req->body_len);
	char *save = NULL;
	int at;

	if (!text)
		return -ENOMEM;
	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		at = control_selected(sw, line);
		if (at < 0)
			return control_refuse(req, -ENOENT,
					      "vdrive tenant list",
					      "tenant %s has no package \"%s\"",
					      sw->tenant, line);
		control_unselect(sw, (unsigned int)at);
	}
	return 0;
}

int control_unassign(struct control_request *req)
{
	CLEANUP(control_switch_clear)
	struct control_switch sw = {.verb = "unassign from"};
	int rc = control_switch_begin(req, &sw);

	sw.how.take_order = true; /* none of it comes new */
	if (rc == 0)
		rc = control_unassign_names(req, &sw);
	if (rc == 0)
		rc = control_switch_run(req, &sw);
	return rc < 0 ? rc
		      : control_switch_answer(req, &sw, "tenant-unassign/1");
}

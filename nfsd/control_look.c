/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_look: what the depot holds, by package or tenant, and whether it is
 * still what it says.
 */
#include <stdio.h>

#include "depot/du.h"
#include "depot/log.h"
#include "depot/verify.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

/* --- trees and who has them ------------------------------------------------
 */

enum {
	CONTROL_OWNER_MAX = PACKAGE_NAME_MAX + TAG_NAME_MAX + 1,
	CONTROL_OWNED_BY_MAX = 16, /* names told of one shard */
};

struct control_owner {
	char name[CONTROL_OWNER_MAX + 1]; /* "NAME:TAG", or a tenant */
	struct digest tree;
};

struct control_owners {
	struct control_owner *rows; /* owns */
	size_t count, cap;
};

static void control_owners_clear(struct control_owners *owners)
{
	free(owners->rows);
}

static int control_owner_add(struct control_owners *owners, const char *name,
			     const struct digest *tree)
{
	struct control_owner *grown;

	if (owners->count == owners->cap) {
		owners->cap = MAX((size_t)64, 2 * owners->cap);
		grown = reallocarray(owners->rows, owners->cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		owners->rows = grown;
	}
	snprintf(owners->rows[owners->count].name, sizeof(owners->rows->name),
		 "%s", name);
	owners->rows[owners->count++].tree = *tree;
	return 0;
}

static int control_owner_package(void *ctx, const struct package_info *info)
{
	char name[CONTROL_OWNER_MAX + 1];

	snprintf(name, sizeof(name), "%s:%s", info->name, info->tag);
	return control_owner_add(ctx, name, &info->tree);
}

static int control_owner_tenant(void *ctx, const struct site_tree_user *user)
{
	if (!user->tenant || !user->current)
		return 0;
	return control_owner_add(ctx, user->tenant, &user->tree);
}

/* --- du --------------------------------------------------------------------
 */

struct control_du {
	struct control_owners owners; /* rows of one name in a row */
	struct du_group *groups;      /* owns */
	const char **names;           /* owns the array */
	struct digest *trees;         /* owns */
	size_t count;
};

static void control_du_clear(struct control_du *du)
{
	control_owners_clear(&du->owners);
	free(du->groups);
	free(du->names);
	free(du->trees);
}

static int control_du_groups(struct control_du *du)
{
	const struct control_owners *owners = &du->owners;
	const char *last = NULL;

	du->groups = calloc(owners->count + 1, sizeof(*du->groups));
	du->names = calloc(owners->count + 1, sizeof(*du->names));
	du->trees = calloc(owners->count + 1, sizeof(*du->trees));
	if (!du->groups || !du->names || !du->trees)
		return -ENOMEM;
	for (size_t i = 0; i < owners->count; i++) {
		du->trees[i] = owners->rows[i].tree;
		if (!last || strcmp(last, owners->rows[i].name) != 0) {
			last = owners->rows[i].name;
			du->names[du->count] = last;
			du->groups[du->count++].trees = &du->trees[i];
		}
		du->groups[du->count - 1].tree_count++;
	}
	return 0;
}

static json_t *control_du_row(const char *name, const struct du_group *group)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "name", name, "logical", (json_int_t)group->logical,
			 "stored", (json_int_t)group->stored, "shared",
			 (json_int_t)(group->stored - group->unique), "unique",
			 (json_int_t)group->unique, "shards",
			 (json_int_t)group->shards, "shards_here",
			 (json_int_t)group->shards_here, "shards_cold",
			 (json_int_t)(group->shards - group->shards_here),
			 "cold", (json_int_t)group->cold);
}

static int control_du_answer(struct control_request *req, const char *by,
			     const struct control_du *du,
			     const struct du_total *total)
{
	json_t *rows = json_array();

	for (size_t i = 0; rows && i < du->count; i++)
		json_array_append_new(
		    rows, control_du_row(du->names[i], &du->groups[i]));
	return control_answer(
	    req, json_pack("{s:s, s:s, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I}}",
			   "schema", "depot-du/1", "by", by, "rows", rows,
			   "total", "shards", (json_int_t)total->shards,
			   "stored", (json_int_t)total->stored, "live",
			   (json_int_t)total->live, "waiting",
			   (json_int_t)total->waiting, "garbage",
			   (json_int_t)total->garbage, "disk",
			   (json_int_t)total->disk));
}

int control_depot_du(struct control_request *req)
{
	struct control_daemon *daemon = &req->control->daemon;
	CLEANUP(control_du_clear) struct control_du du = {.count = 0};
	const char *by = control_param_text(req, "by");
	struct du_total total;
	int rc;

	by = by ? by : "package";
	if (strcmp(by, "package") == 0)
		rc = depot_package_list(daemon->depot, control_owner_package,
					&du.owners);
	else if (strcmp(by, "tenant") == 0)
		rc = site_tree_users(daemon->site, control_owner_tenant,
				     &du.owners);
	else
		return control_refuse(req, -EINVAL, NULL,
				      "by: \"%.64s\" is neither package nor "
				      "tenant",
				      by);
	if (rc == 0)
		rc = control_du_groups(&du);
	if (rc == 0)
		rc = depot_du(daemon->depot, du.groups, du.count, &total);
	if (rc < 0)
		return control_fail(req, rc, "vdrive depot verify",
				    "cannot add up the depot");
	return control_du_answer(req, by, &du, &total);
}

/* --- verify ----------------------------------------------------------------
 */

struct control_verify {
	struct control_request *req;
	struct control_owners owners;
	struct digest *trees; /* owns */
	size_t count;
	bool only;
	json_t *bad; /* owns */
	uint64_t bad_count, repaired, unreachable;
};

static void control_verify_clear(struct control_verify *verify)
{
	control_owners_clear(&verify->owners);
	free(verify->trees);
	json_decref(verify->bad);
}

/* Names of the packages that have any of the trees. */
static json_t *control_verify_packages(const struct control_verify *verify,
				       const struct verify_bad *bad)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < verify->owners.count; i++)
		for (unsigned int t = 0; t < bad->tree_count; t++) {
			if (!digest_equal(&verify->owners.rows[i].tree,
					  &bad->trees[t]))
				continue;
			if (json_array_size(list) < CONTROL_OWNED_BY_MAX)
				json_array_append_new(
				    list,
				    json_string(verify->owners.rows[i].name));
			break;
		}
	return list;
}

static int control_verify_visit(void *ctx, const struct verify_bad *bad)
{
	static const char *const kinds[] = {"shard", "tree", "index"};
	struct control_verify *verify = ctx;
	char hex[DIGEST_HEX_LEN + 1];
	json_t *json;

	verify->bad_count++;
	verify->repaired += bad->repaired;
	verify->unreachable += bad->rc < 0 && bad->rc != -ENOENT;
	if (json_array_size(verify->bad) >= CONTROL_FINDINGS_MAX)
		return 0;
	digest_to_hex(&bad->name, hex);
	json =
	    json_pack("{s:s, s:s, s:b, s:b, s:s, s:o}", "kind",
		      kinds[bad->kind], "name", hex, "missing",
		      (int)bad->missing, "repaired", (int)bad->repaired, "why",
		      bad->rc == 0         ? ""
		      : bad->rc == -ENOENT ? "no upstream has it"
					   : "no upstream gave it",
		      "packages", control_verify_packages(verify, bad));
	return json && json_array_append_new(verify->bad, json) == 0 ? 0
								     : -ENOMEM;
}

static int control_verify_ref(struct control_verify *verify, const char *text)
{
	struct control_request *req = verify->req;
	struct package_info info;
	struct package_ref ref;
	int rc;

	if (package_ref_parse(text, &ref) < 0)
		return control_refuse(req, -EINVAL, "vdrive package list",
				      "\"%s\" is no package reference", text);
	rc = control_package_of(req, text, &ref, &info);
	if (rc < 0)
		return rc;
	verify->trees[verify->count++] = info.tree;
	return 0;
}

static int control_verify_refs(struct control_verify *verify)
{
	struct control_request *req = verify->req;
	CLEANUP_FREE char *text =
	    strndup((const char *)req->body, req->body_len);
	char *save = NULL;
	size_t lines = 1;
	int rc = 0;

	if (!text)
		return -ENOMEM;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	verify->only = true;
	verify->trees = calloc(lines, sizeof(*verify->trees));
	if (!verify->trees)
		return -ENOMEM;
	for (char *line = strtok_r(text, "\n", &save); line && rc == 0;
	     line = strtok_r(NULL, "\n", &save))
		rc = control_verify_ref(verify, line);
	return rc;
}

/* All: trees that a package names and that are not here are missed, too. */
static int control_verify_all(struct control_verify *verify)
{
	const struct control_owners *owners = &verify->owners;

	verify->trees = calloc(owners->count + 1, sizeof(*verify->trees));
	if (!verify->trees)
		return -ENOMEM;
	for (size_t i = 0; i < owners->count; i++)
		verify->trees[verify->count++] = owners->rows[i].tree;
	return 0;
}

static int control_verify_answer(struct control_verify *verify,
				 const struct verify_report *report,
				 uint64_t files)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(&report->next, hex);
	return control_answer(
	    verify->req,
	    json_pack(
		"{s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
		"schema", "depot-verify/1", "done", (int)report->done, "next",
		hex, "files", (json_int_t)files, "shards",
		(json_int_t)report->shards, "bytes", (json_int_t)report->bytes,
		"cold", (json_int_t)report->cold, "bad_count",
		(json_int_t)verify->bad_count, "repaired",
		(json_int_t)verify->repaired, "unreachable",
		(json_int_t)verify->unreachable, "bad", STEAL(verify->bad)));
}

static int control_verify_run(struct control_verify *verify, bool repair,
			      bool files, const struct digest *from)
{
	struct depot *depot = verify->req->control->daemon.depot;
	struct verify_what what = {.trees = verify->trees,
				   .count = verify->count,
				   .only = verify->only,
				   .repair = repair};
	struct verify_report report = {.done = true};
	uint64_t count = 0;
	int rc;

	if (files)
		rc = depot_verify_files(depot, &what, control_verify_visit,
					verify, &count);
	else
		rc = depot_verify_shards(depot, &what, from,
					 control_verify_visit, verify, &report);
	if (rc < 0)
		return control_fail(verify->req, rc, NULL,
				    "cannot verify the depot");
	return control_verify_answer(verify, &report, count);
}

int control_depot_verify(struct control_request *req)
{
	CLEANUP(control_verify_clear)
	struct control_verify verify = {.req = req, .bad = json_array()};
	struct digest from;
	bool repair, files;
	int rc;

	if (!verify.bad)
		return -ENOMEM;
	rc = control_param_digest(req, "from", &from);
	if (rc == 0)
		rc = control_param_bool(req, "repair", &repair);
	if (rc == 0)
		rc = control_param_bool(req, "files", &files);
	if (rc == 0)
		rc = depot_package_list(req->control->daemon.depot,
					control_owner_package, &verify.owners);
	if (rc == 0 && req->body_len > 0)
		rc = control_verify_refs(&verify);
	else if (rc == 0 && files)
		rc = control_verify_all(&verify);
	return rc < 0 ? rc : control_verify_run(&verify, repair, files, &from);
}

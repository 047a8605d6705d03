/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_entitle: to which tenants a package may be given, through the admin
 * API.
 */
#include "depot/depot.h"
#include "nfsd/control_request.h"

static json_t *control_entitled_json(const struct package_entitled *entitled)
{
	json_t *array;

	if (!entitled->is_restricted)
		return json_null();
	array = json_array();
	for (unsigned int i = 0; array && i < entitled->count; i++)
		json_array_append_new(array, json_string(entitled->tenants[i]));
	return array;
}

int control_entitled_show(struct control_request *req,
			  const struct package_info *info, json_t *json)
{
	CLEANUP(package_entitled_clear) struct package_entitled here = {0};
	CLEANUP(package_entitled_clear) struct package_entitled there = {0};
	struct depot *depot = req->control->daemon.depot;
	int rc;

	rc = depot_package_entitled(depot, info->name, NULL, &here);
	if (rc == 0 && info->upstream[0])
		rc = depot_package_entitled(depot, info->name, info->upstream,
					    &there);
	if (rc < 0)
		return control_fail(req, rc, NULL, "package \"%s\"",
				    info->name);
	json_object_set_new(json, "entitled", control_entitled_json(&here));
	json_object_set_new(json, "entitled_upstream",
			    control_entitled_json(&there));
	return 0;
}

static int control_entitle_visit(void *ctx, const struct package_info *info)
{
	return strcmp(info->name, ctx) == 0;
}

/* A name that nothing here has is a slip of the pen. */
static int control_entitle_name(struct control_request *req, char *name)
{
	int rc;

	rc = depot_package_list(req->control->daemon.depot,
				control_entitle_visit, name);
	if (rc < 0)
		return control_fail(req, rc, NULL, "package \"%s\"", name);
	if (rc == 0)
		return control_refuse(req, -ENOENT, "vdrive package list",
				      "package \"%s\" is not in this depot",
				      name);
	return 0;
}

int control_package_entitle(struct control_request *req)
{
	CLEANUP(package_entitled_clear) struct package_entitled entitled = {0};
	CLEANUP_FREE char *text =
	    strndup((const char *)req->body, req->body_len);
	char own_name[PACKAGE_NAME_MAX + 1];
	const char *name;
	int rc;

	if (!text)
		return -ENOMEM;
	rc = control_param_name(req, "name", "a package", &name);
	if (rc < 0)
		return rc;
	rc = package_entitled_parse(text, &entitled);
	if (rc < 0)
		return control_refuse(req, rc, "all, none or TENANT,TENANT,...",
				      "package \"%s\": \"%.200s\" is no list "
				      "of tenants",
				      name, text);
	memcpy(own_name, name, strlen(name) + 1);
	rc = control_entitle_name(req, own_name);
	if (rc < 0)
		return rc;
	rc = depot_package_entitle(req->control->daemon.depot, name, &entitled);
	if (rc < 0)
		return control_fail(req, rc, NULL, "package \"%s\"", name);
	return control_answer(req, json_pack("{s:s, s:s, s:o}", "schema",
					     "package-entitle/1", "name", name,
					     "entitled",
					     control_entitled_json(&entitled)));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_upstream: the depots that this host takes packages from.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control_request.h"

/* --- rows ---------------------------------------------------------------- */

int control_upstream_visit(void *ctx, const struct upstream_info *info)
{
	const struct upstream_access *access = &info->access;

	return control_append(
	    ctx,
	    json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:I, s:s, s:s, "
		      "s:s, s:s, s:s, s:i, s:i, s:I, s:i, s:i, s:i, s:I}",
		      "upstream", info->name, "kind", info->kind, "url",
		      info->url, "unsigned", (int)info->is_unsigned, "up",
		      (int)info->up, "last_error", info->last_error, "requests",
		      (json_int_t)info->requests, "errors",
		      (json_int_t)info->errors, "bytes",
		      (json_int_t)info->bytes, "credentials",
		      access->credentials, "endpoint", access->endpoint,
		      "region", access->region, "ca", access->ca_file, "proxy",
		      access->proxy, "priority", (int)access->priority,
		      "latency_ms", (int)info->latency_ms, "bytes_per_s",
		      (json_int_t)info->bytes_per_s, "score", (int)info->score,
		      "inflight", (int)info->inflight, "down_s",
		      (int)info->down_s, "wrong", (json_int_t)info->wrong));
}

int control_upstream_list(struct control_request *req)
{
	json_t *list = json_array();
	int rc = -ENOMEM;

	if (list)
		rc = depot_upstream_list(req->control->daemon.depot,
					 control_upstream_visit, list);
	return control_answer_list(req, rc, "upstream-list/1", "upstreams",
				   list);
}

/* --- add, set, remove ---------------------------------------------------- */

static int control_access_text(struct control_request *req, const char *param,
			       char *text, size_t size)
{
	const char *value = control_param_text(req, param);

	if (!value)
		return 0;
	if (strlen(value) >= size)
		return control_refuse(req, -EINVAL, "a shorter one",
				      "option %s is too long", param);
	snprintf(text, size, "%s", value);
	return 0;
}

static int control_access_priority(struct control_request *req,
				   unsigned int *priority)
{
	const char *value = control_param_text(req, "priority");
	char *end;

	if (!value)
		return 0;
	*priority = (unsigned int)strtoul(value, &end, 10);
	if (*end || strlen(value) > 3 || *priority > UPSTREAM_PRIORITY_MAX)
		return control_refuse(req, -EINVAL, "a number from 0 to 100",
				      "\"%s\" is no priority", value);
	return 0;
}

/* What is left out keeps its value. */
static int control_access(struct control_request *req,
			  struct upstream_access *access)
{
	const struct {
		const char *param;
		char *text;
		size_t size;
	} texts[] = {
	    {"credentials", access->credentials, sizeof(access->credentials)},
	    {"endpoint", access->endpoint, sizeof(access->endpoint)},
	    {"region", access->region, sizeof(access->region)},
	    {"ca", access->ca_file, sizeof(access->ca_file)},
	    {"proxy", access->proxy, sizeof(access->proxy)},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(texts); i++)
		rc = control_access_text(req, texts[i].param, texts[i].text,
					 texts[i].size);
	return rc < 0 ? rc : control_access_priority(req, &access->priority);
}

int control_upstream_add(struct control_request *req)
{
	struct upstream_access access = {0};
	struct upstream_spec spec = {.access = &access};
	struct sign_key key;
	int rc;

	rc = control_param_name(req, "name", "an upstream", &spec.name);
	if (rc < 0)
		return rc;
	rc = control_param(req, "url", UPSTREAM_URL_MAX, &spec.url);
	if (rc < 0)
		return rc;
	rc = control_param_bool(req, "unsigned", &spec.is_unsigned);
	if (rc == 0 && control_param_text(req, "key")) {
		rc = control_param_key(req, &key);
		spec.key = &key;
	}
	if (rc == 0)
		rc = control_access(req, &access);
	if (rc < 0)
		return rc;
	rc = depot_upstream_set(req->control->daemon.depot, &spec);
	if (rc == -EPERM)
		return control_fail(
		    req, rc,
		    "the same with --key KEY, when its publisher says that "
		    "this is the key; with --unsigned, if you trust it and "
		    "the way to it blindly",
		    "cannot add upstream %s, %s, without a key", spec.name,
		    spec.url);
	if (rc < 0)
		return control_fail(req, rc, control_depot_hint(rc),
				    "cannot add upstream %s, %s", spec.name,
				    spec.url);
	return control_answer(req, json_pack("{s:s, s:s}", "schema",
					     "upstream-add/1", "upstream",
					     spec.name));
}

static int control_upstream_none(struct control_request *req, const char *name)
{
	return control_refuse(req, -ENOENT, "vdrive upstream list",
			      "there is no upstream %s", name);
}

int control_upstream_set(struct control_request *req)
{
	struct depot *depot = req->control->daemon.depot;
	struct upstream_info info;
	struct upstream_spec spec = {.access = &info.access, .url = info.url};
	int rc;

	rc = control_param_name(req, "name", "an upstream", &spec.name);
	if (rc < 0)
		return rc;
	if (depot_upstream_get(depot, spec.name, &info) < 0)
		return control_upstream_none(req, spec.name);
	spec.is_unsigned = info.is_unsigned;
	rc = control_access(req, &info.access);
	if (rc < 0)
		return rc;
	rc = depot_upstream_set(depot, &spec);
	if (rc < 0)
		return control_fail(req, rc, control_depot_hint(rc),
				    "cannot change upstream %s, which stays "
				    "as it was",
				    spec.name);
	return control_answer(req, json_pack("{s:s, s:s}", "schema",
					     "upstream-set/1", "upstream",
					     spec.name));
}

int control_upstream_remove(struct control_request *req)
{
	const char *name;
	int rc;

	rc = control_param_name(req, "name", "an upstream", &name);
	if (rc < 0)
		return rc;
	rc = depot_upstream_remove(req->control->daemon.depot, name);
	if (rc == -ENOENT)
		return control_upstream_none(req, name);
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot remove upstream %s",
				    name);
	return control_answer(req,
			      json_pack("{s:s, s:s}", "schema",
					"upstream-remove/1", "upstream", name));
}

/* --- test ---------------------------------------------------------------- */

int control_upstream_test(struct control_request *req)
{
	struct depot *depot = req->control->daemon.depot;
	struct upstream_info info;
	struct upstream_test test;
	const char *name;
	int rc;

	rc = control_param_name(req, "name", "an upstream", &name);
	if (rc < 0)
		return rc;
	if (depot_upstream_test(depot, name, &test) < 0 ||
	    depot_upstream_get(depot, name, &info) < 0)
		return control_upstream_none(req, name);
	return control_answer(
	    req,
	    json_pack(
		"{s:s, s:s, s:s, s:s, s:b, s:s, s:i, s:I, s:f, s:f, s:b, s:s, "
		"s:I, s:I, s:b}",
		"schema", "upstream-test/1", "upstream", name, "kind",
		info.kind, "url", info.url, "ok", test.rc == 0, "error",
		test.error, "code", test.rc, "requests",
		(json_int_t)test.requests, "first_ms", test.first_ms, "ms",
		test.ms, "ranges", (int)test.ranges, "range_error",
		test.range_error, "generation", (json_int_t)test.generation,
		"packages", (json_int_t)test.packages, "unsigned",
		(int)info.is_unsigned));
}

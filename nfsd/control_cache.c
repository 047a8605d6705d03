/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_cache: the data cache through the admin API: pins.
 */
#include "depot/depot.h"
#include "nfsd/control_request.h"

/* --- pins ---------------------------------------------------------------- */

void control_pinned(struct depot *depot, const struct package_info *info,
		    json_t *json)
{
	if (json)
		json_object_set_new(
		    json, "pinned",
		    json_boolean(depot_pin_get(depot, &info->tree)));
}

/* By its tree, which every tag of the same content shares. */
int control_package_pin(struct control_request *req)
{
	struct depot *depot = req->control->daemon.depot;
	struct package_info info;
	struct package_ref ref;
	const char *name;
	bool pin;
	int rc;

	rc = control_param_ref(req, &name, &ref);
	if (rc == 0)
		rc = control_param_bool(req, "pin", &pin);
	if (rc < 0)
		return rc;
	rc = depot_package_get(depot, &ref, &info);
	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive package list",
				      "package \"%s\" is not in this depot",
				      name);
	if (rc == 0)
		rc = depot_pin_set(depot, &info.tree, pin);
	if (rc < 0)
		return control_fail(req, rc, NULL, "package \"%s\"", name);
	return control_answer(req, json_pack("{s:s, s:s, s:b}", "schema",
					     "package-pin/1", "package", name,
					     "pinned", (int)pin));
}

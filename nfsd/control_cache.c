/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_cache: the data cache through the admin API: pins, traces.
 */
#include <time.h>

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
	rc = control_package_of(req, name, &ref, &info);
	if (rc < 0)
		return rc;
	rc = depot_pin_set(depot, &info.tree, pin);
	if (rc < 0)
		return control_fail(req, rc, NULL, "package \"%s\"", name);
	return control_answer(req, json_pack("{s:s, s:s, s:b}", "schema",
					     "package-pin/1", "package", name,
					     "pinned", (int)pin));
}

/* --- traces --------------------------------------------------------------- */

enum { CONTROL_RECORD_MAX_S = 86400 };

static int control_record_seconds(struct control_request *req,
				  unsigned long *seconds)
{
	const char *text;
	char *end;
	int rc;

	rc = control_param(req, "seconds", 8, &text);
	if (rc < 0)
		return rc;
	*seconds = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || *seconds == 0 ||
	    *seconds > CONTROL_RECORD_MAX_S)
		return control_refuse(
		    req, -EINVAL, "--for 10m",
		    "\"%s\" is no number of seconds from 1 to "
		    "%d",
		    text, CONTROL_RECORD_MAX_S);
	return 0;
}

/* A thread of its own waits; it ends early with the daemon. */
int control_cache_record(struct control_request *req)
{
	static const struct timespec pause = {0, 100000000};
	struct depot *depot = req->control->daemon.depot;
	CLEANUP_CLOSE int fd = -1;
	unsigned long seconds;
	uint64_t records;
	int rc;

	rc = control_record_seconds(req, &seconds);
	if (rc == 0)
		rc = control_file_new(req, &fd);
	if (rc < 0)
		return rc;
	rc = depot_trace_start(depot, fd);
	if (rc == -EBUSY)
		return control_refuse(req, rc, "again when that has ended",
				      "somebody records a trace already");
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot record a trace");
	for (unsigned long i = 0;
	     i < 10 * seconds && !control_is_stopping(req->control); i++)
		nanosleep(&pause, NULL);
	rc = depot_trace_stop(depot, &records);
	if (rc < 0)
		return control_fail(req, rc, NULL,
				    "the trace has been cut short");
	return control_answer_file(req, STEAL_FD(fd));
}

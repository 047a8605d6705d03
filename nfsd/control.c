/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the socket, the HTTP engine and the life of a request.  What the
 * requests do is in control_package.c and control_site.c.
 *
 * One thread serves all but the long ones: the API is for one operator at a
 * time, and a store that is changed by one thread needs no locks of ours.  So a
 * request that waits for an upstream makes the others wait.
 */
#include "nfsd/control.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/digest.h"
#include "depot/gc.h"
#include "depot/io.h"
#include "depot/log.h"
#include "depot/tree.h"
#include "nfsd/control_request.h"

enum {
	CONTROL_CONNECTIONS_MAX = 32,
	CONTROL_IDLE_SEC = 300,
	CONTROL_CONNECTION_MEMORY = 256 << 10,
	CONTROL_TEXT_MAX = 2048,
	CONTROL_BODY_FIRST = 64 << 10,
	CONTROL_ANSWER_MS = 2000,
	/* for answers to be sent, at the end */
};

#define NO_LIMIT SIZE_MAX

static const struct control_route control_routes[] = {
    {"GET", "/v1/status", control_status, 0, 0},
    {"GET", "/v1/packages", control_package_list, 0, 0},
    {"GET", "/v1/package", control_package_get, 0, 0},
    {"POST", "/v1/packages/pin", control_package_pin, 0, 0},
    {"GET", "/v1/cache/record", control_cache_record, 0, ROUTE_LONG},
    {"POST", "/v1/packages", control_package_commit, CONTROL_BODY_MAX,
     ROUTE_DEPOT},
    {"POST", "/v1/packages/entitle", control_package_entitle, CONTROL_BODY_MAX,
     0},
    {"POST", "/v1/packages/tag", control_package_tag, 0, ROUTE_NAMES},
    {"POST", "/v1/packages/remove", control_package_remove, 0, ROUTE_DEPOT},
    {"POST", "/v1/leases", control_lease_open, 0, 0},
    {"POST", "/v1/leases/close", control_lease_close, 0, 0},
    {"POST", "/v1/depot/gc", control_gc_step, 0, ROUTE_LONG},
    {"GET", "/v1/depot/gc", control_gc_look, 0, ROUTE_LONG},
    {"GET", "/v1/depot/du", control_depot_du, 0, ROUTE_LONG},
    {"POST", "/v1/depot/verify", control_depot_verify, CONTROL_BODY_MAX,
     ROUTE_LONG},
    {"GET", "/v1/tree", control_tree_get, 0, 0},
    {"POST", "/v1/tree", control_tree_hold, CONTROL_TREE_MAX, 0},
    {"POST", "/v1/shards/have", control_shards_have, CONTROL_BODY_MAX, 0},
    {"POST", "/v1/shards/put", control_shards_put, CONTROL_BODY_MAX,
     ROUTE_DEPOT},
    {"POST", "/v1/shards/get", control_shards_get, CONTROL_BODY_MAX, 0},
    {"GET", "/v1/tenants", control_tenant_list, 0, 0},
    {"POST", "/v1/tenants", control_tenant_create, 0, 0},
    {"POST", "/v1/tenants/quota", control_tenant_quota, 0, 0},
    {"POST", "/v1/tenants/remove", control_tenant_remove, 0, ROUTE_DEPOT},
    {"POST", "/v1/assign", control_assign, CONTROL_BODY_MAX,
     ROUTE_DEPOT | ROUTE_NAMES},
    {"POST", "/v1/unassign", control_unassign, CONTROL_BODY_MAX,
     ROUTE_DEPOT | ROUTE_NAMES},
    {"GET", "/v1/tenants/history", control_tenant_history, 0, 0},
    {"POST", "/v1/tenants/rollback", control_tenant_rollback, 0,
     ROUTE_DEPOT | ROUTE_NAMES},
    {"POST", "/v1/tenants/upgrade", control_tenant_upgrade, CONTROL_BODY_MAX,
     ROUTE_DEPOT | ROUTE_NAMES},
    {"GET", "/v1/guests", control_guest_list, 0, 0},
    {"POST", "/v1/guests", control_guest_add, 0, 0},
    {"POST", "/v1/guests/quota", control_guest_quota, 0, 0},
    {"POST", "/v1/guests/whiteouts", control_guest_whiteouts, 0, 0},
    {"POST", "/v1/guests/access", control_guest_access, 0, 0},
    {"POST", "/v1/guests/access/all", control_guests_access, CONTROL_BODY_MAX,
     0},
    {"POST", "/v1/guests/check", control_guest_check, CONTROL_BODY_MAX, 0},
    {"GET", "/v1/guests/secret", control_guest_secret, 0, 0},
    {"POST", "/v1/guests/pause", control_guest_pause, 0, 0},
    {"GET", "/v1/guests/export", control_guest_export, 0, ROUTE_LONG},
    {"POST", "/v1/guests/import", control_guest_import, NO_LIMIT,
     ROUTE_LONG | ROUTE_FILE | ROUTE_DEPOT | ROUTE_NAMES},
    {"POST", "/v1/guests/remove", control_guest_remove, 0, 0},
    {"GET", "/v1/exports", control_export_list, 0, 0},
    {"GET", "/v1/snapshots", control_snapshot_list, 0, 0},
    {"POST", "/v1/snapshots", control_snapshot_add, 0, 0},
    {"POST", "/v1/snapshots/remove", control_snapshot_remove, 0, 0},
    {"POST", "/v1/delta/restore", control_delta_restore, 0, 0},
    {"POST", "/v1/delta/restore-change", control_delta_restore_change, 0, 0},
    {"GET", "/v1/tenants/conflicts", control_tenant_conflicts, 0, 0},
    {"POST", "/v1/delta/reset", control_delta_reset, 0, 0},
    {"POST", "/v1/delta/clone", control_delta_clone, 0, ROUTE_NAMES},
    {"GET", "/v1/delta/diff", control_delta_diff, 0, ROUTE_LONG},
    {"GET", "/v1/delta/changes", control_delta_changes, 0, ROUTE_LONG},
    {"GET", "/v1/delta/assigned", control_delta_assigned, 0, 0},
    {"POST", "/v1/delta/assign", control_delta_assign, 0, 0},
    {"POST", "/v1/delta/reset/package", control_delta_reset_package, 0,
     ROUTE_LONG},
    {"POST", "/v1/profiles/apply", control_profile_apply, 0,
     ROUTE_LONG | ROUTE_NAMES},
    {"POST", "/v1/profiles/detach", control_profile_detach, 0, ROUTE_LONG},
    {"GET", "/v1/delta/verify", control_delta_verify, 0, ROUTE_LONG},
    {"GET", "/v1/delta/export", control_delta_export, 0, ROUTE_LONG},
    {"POST", "/v1/delta/import", control_delta_import, NO_LIMIT,
     ROUTE_LONG | ROUTE_FILE | ROUTE_NAMES},
    {"GET", "/v1/keys", control_key_list, 0, 0},
    {"POST", "/v1/keys", control_key_trust, 0, 0},
    {"POST", "/v1/keys/remove", control_key_remove, 0, 0},
    {"POST", "/v1/pull", control_pull, 0,
     ROUTE_LONG | ROUTE_DEPOT | ROUTE_NAMES},
    {"POST", "/v1/pull/shards", control_pull_shards, 0, ROUTE_LONG},
    {"GET", "/v1/plans", control_plan_list, 0, 0},
    {"GET", "/v1/plans/show", control_plan_show, 0, 0},
    {"GET", "/v1/plans/file", control_plan_file, 0, 0},
    {"POST", "/v1/plans/publish", control_plan_publish, 0, 0},
    {"POST", "/v1/plans/record", control_plan_record, 0, 0},
    {"POST", "/v1/plans/remove", control_plan_remove, 0, 0},
    {"POST", "/v1/prefetch", control_prefetch_start, 0,
     ROUTE_LONG | ROUTE_DEPOT},
    {"GET", "/v1/prefetch", control_prefetch_ask, 0, 0},
    {"POST", "/v1/prefetch/cancel", control_prefetch_cancel, 0, 0},
    {"GET", "/v1/resident", control_resident, 0, ROUTE_LONG},
    {"GET", "/v1/upstreams", control_upstream_list, 0, 0},
    {"POST", "/v1/upstreams", control_upstream_add, 0, ROUTE_DEPOT},
    {"POST", "/v1/upstreams/set", control_upstream_set, 0, ROUTE_DEPOT},
    {"GET", "/v1/upstreams/test", control_upstream_test, 0, ROUTE_LONG},
    {"POST", "/v1/upstreams/remove", control_upstream_remove, 0, ROUTE_DEPOT},
};

/* --- failures ------------------------------------------------------------ */

struct control_error {
	int rc;
	enum control_exit code;
	unsigned int status;
};

static const struct control_error control_errors[] = {
    {-ENOENT, CONTROL_EXIT_MISSING, MHD_HTTP_NOT_FOUND},
    {-ESRCH, CONTROL_EXIT_FAILED, MHD_HTTP_NOT_FOUND},
    {-EOPNOTSUPP, CONTROL_EXIT_FAILED, MHD_HTTP_METHOD_NOT_ALLOWED},
    {-EEXIST, CONTROL_EXIT_CONFLICT, MHD_HTTP_CONFLICT},
    {-EBUSY, CONTROL_EXIT_CONFLICT, MHD_HTTP_CONFLICT},
    {-EMLINK, CONTROL_EXIT_CONFLICT, MHD_HTTP_CONFLICT},
    {-EXDEV, CONTROL_EXIT_CONFLICT, MHD_HTTP_CONFLICT},
    {-ENOTUNIQ, CONTROL_EXIT_CONFLICT, MHD_HTTP_CONFLICT},
    {-EADDRINUSE, CONTROL_EXIT_CONFLICT, MHD_HTTP_CONFLICT},
    {-EPERM, CONTROL_EXIT_NOT_PERMITTED, MHD_HTTP_FORBIDDEN},
    {-EACCES, CONTROL_EXIT_NOT_PERMITTED, MHD_HTTP_FORBIDDEN},
    {-EINVAL, CONTROL_EXIT_USAGE, MHD_HTTP_BAD_REQUEST},
    {-EMSGSIZE, CONTROL_EXIT_USAGE, MHD_HTTP_CONTENT_TOO_LARGE},
    {-EAGAIN, CONTROL_EXIT_FAILED, MHD_HTTP_SERVICE_UNAVAILABLE},
    {-ECANCELED, CONTROL_EXIT_FAILED, MHD_HTTP_SERVICE_UNAVAILABLE},
    {-ESTALE, CONTROL_EXIT_FAILED, MHD_HTTP_GONE},
    {-EHOSTDOWN, CONTROL_EXIT_FAILED, MHD_HTTP_SERVICE_UNAVAILABLE},
    {-EHOSTUNREACH, CONTROL_EXIT_UPSTREAM, MHD_HTTP_BAD_GATEWAY},
    {-EBADMSG, CONTROL_EXIT_BAD_CONTENT, MHD_HTTP_BAD_REQUEST},
    {-ENODATA, CONTROL_EXIT_BAD_CONTENT, MHD_HTTP_BAD_REQUEST},
    {-EPROTONOSUPPORT, CONTROL_EXIT_FAILED, MHD_HTTP_BAD_REQUEST},
    {-ENOSPC, CONTROL_EXIT_NO_SPACE, MHD_HTTP_INSUFFICIENT_STORAGE},
    {-EDQUOT, CONTROL_EXIT_NO_SPACE, MHD_HTTP_INSUFFICIENT_STORAGE},
};

static const struct control_error *control_error_find(int rc)
{
	static const struct control_error other = {
	    -EIO, CONTROL_EXIT_FAILED, MHD_HTTP_INTERNAL_SERVER_ERROR};

	for (size_t i = 0; i < ARRAY_LEN(control_errors); i++)
		if (control_errors[i].rc == rc)
			return &control_errors[i];
	return &other;
}

static void control_reply_clear(struct control_reply *reply)
{
	if (reply->tree)
		tree_put(reply->tree);
	else
		free(reply->bytes);
	if (reply->is_file)
		close(reply->fd);
	memset(reply, 0, sizeof(*reply));
}

/* takes json.  Leaves the answer empty when there is no memory for it. */
static int control_reply_set(struct control_reply *reply, unsigned int status,
			     json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	control_reply_clear(reply);
	if (!text)
		return -ENOMEM;
	reply->status = status;
	reply->is_json = true;
	reply->bytes = text;
	reply->len = strlen(text);
	return 0;
}

static int control_fail_text(struct control_request *req, int rc,
			     const char *hint, const char *text)
{
	const struct control_error *error = control_error_find(rc);
	json_t *json;

	json = json_pack("{s:{s:i, s:s#}}", "error", "code", (int)error->code,
			 "message", text, (int)strlen(text));
	/* Not UTF-8: some name in it; the code at least must arrive. */
	if (!json)
		json = json_pack("{s:{s:i, s:s}}", "error", "code",
				 (int)error->code, "message",
				 strerrordesc_np(-rc));
	if (json && hint)
		json_object_set_new(json_object_get(json, "error"), "try",
				    json_string(hint));
	if (control_reply_set(&req->reply, error->status, json) < 0)
		return -ENOMEM;
	return rc;
}

int control_fail(struct control_request *req, int rc, const char *hint,
		 const char *fmt, ...)
{
	char text[CONTROL_TEXT_MAX];
	const char *cause = log_last_error();
	va_list args;
	int len;

	ASSERT(rc < 0);
	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!hint && (rc == -ENOSPC || rc == -EDQUOT))
		hint = "free space where the store lies, then restart vdrived";
	if (rc == -ECANCELED && control_is_stopping(req->control))
		hint = "the same again when vdrived has been started";
	if (!hint && rc == -EHOSTDOWN)
		hint = "create the package again from the same source, or copy "
		       "the tree from a host that has it";
	if (!*cause)
		cause = strerrordesc_np(-rc);
	if (len >= 0 && (size_t)len < sizeof(text))
		snprintf(text + len, sizeof(text) - (size_t)len, ": %s",
			 cause ? cause : "unknown error");
	return control_fail_text(req, rc, hint, text);
}

int control_refuse(struct control_request *req, int rc, const char *hint,
		   const char *fmt, ...)
{
	char text[CONTROL_TEXT_MAX];
	va_list args;

	ASSERT(rc < 0);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return control_fail_text(req, rc, hint, text);
}

void control_fail_list(struct control_request *req, const char *key,
		       json_t *list)
{
	unsigned int status = req->reply.status;
	json_t *json;

	json = json_loadb(req->reply.bytes, req->reply.len, 0, NULL);
	if (!json) {
		json_decref(list);
		return;
	}
	json_object_set_new(json_object_get(json, "error"), key, list);
	if (control_reply_set(&req->reply, status, json) < 0)
		log_warn("control: no memory for the list of %s", key);
}

/* --- for handlers -------------------------------------------------------- */

const char *control_param_text(struct control_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->conn, MHD_GET_ARGUMENT_KIND,
					   name);
}

int control_param(struct control_request *req, const char *name, size_t max,
		  const char **value)
{
	*value = control_param_text(req, name);
	if (!*value || !**value)
		return control_refuse(req, -EINVAL, NULL,
				      "%s: parameter \"%s\" is missing",
				      req->route->path, name);
	if (strlen(*value) > max)
		return control_refuse(req, -EINVAL, NULL,
				      "%s: parameter \"%s\" is longer than %zu",
				      req->route->path, name, max);
	return 0;
}

int control_param_bool(struct control_request *req, const char *name,
		       bool *value)
{
	const char *text = control_param_text(req, name);

	*value = text && strcmp(text, "1") == 0;
	if (!text || *value || strcmp(text, "0") == 0)
		return 0;
	return control_refuse(req, -EINVAL, NULL,
			      "%s: parameter \"%s\" must be 0 or 1",
			      req->route->path, name);
}

int control_param_digest(struct control_request *req, const char *name,
			 struct digest *digest)
{
	const char *text;
	int rc;

	rc = control_param(req, name, DIGEST_HEX_LEN, &text);
	if (rc < 0)
		return rc;
	if (digest_from_hex(text, strlen(text), digest) == 0)
		return 0;
	return control_refuse(req, -EINVAL, NULL,
			      "%s: parameter \"%s\" must be %d hex digits",
			      req->route->path, name, DIGEST_HEX_LEN);
}

static int control_file_fail(struct control_request *req, int rc)
{
	return control_fail(req, rc, NULL, "%s: no file in %s",
			    req->route->path, req->control->daemon.store_path);
}

int control_file_new(struct control_request *req, int *fd)
{
	const char *dir = req->control->daemon.store_path;
	CLEANUP_FREE char *path = NULL;

	*fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return control_file_fail(req, -errno);
	if (asprintf(&path, "%s/.stream.XXXXXX", dir) < 0)
		return -ENOMEM;
	*fd = mkostemp(path, O_CLOEXEC);
	if (*fd < 0)
		return control_file_fail(req, -errno);
	unlink(path);
	return 0;
}

int control_answer_file(struct control_request *req, int fd)
{
	control_reply_clear(&req->reply);
	req->reply.status = MHD_HTTP_OK;
	req->reply.is_file = true;
	req->reply.fd = fd;
	return 0;
}

int control_answer(struct control_request *req, json_t *json)
{
	return control_reply_set(&req->reply, MHD_HTTP_OK, json);
}

int control_answer_bytes(struct control_request *req, void *bytes, size_t len)
{
	control_reply_clear(&req->reply);
	req->reply.status = MHD_HTTP_OK;
	req->reply.bytes = bytes;
	req->reply.len = len;
	return 0;
}

json_t *control_document(const char *schema)
{
	return json_pack("{s:s}", "schema", schema);
}

json_t *control_time(int64_t sec)
{
	time_t t = (time_t)sec;
	char text[40];
	struct tm tm;

	if (sec <= 0 || !gmtime_r(&t, &tm))
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

/* --- one request --------------------------------------------------------- */

static bool control_peer_allowed(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED,
				&cred, &len) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

static int control_route_find(struct control_request *req, const char *method,
			      const char *path)
{
	bool path_known = false;

	for (size_t i = 0; i < ARRAY_LEN(control_routes); i++) {
		if (strcmp(control_routes[i].path, path) != 0)
			continue;
		path_known = true;
		if (strcmp(control_routes[i].method, method) != 0)
			continue;
		req->route = &control_routes[i];
		return 0;
	}
	if (path_known)
		return control_refuse(req, -EOPNOTSUPP, NULL,
				      "%s: method %s is not known here", path,
				      method);
	return control_refuse(req, -ESRCH,
			      "the same version of vdrive and vdrived",
			      "%s: not in this daemon's API", path);
}

static int control_body_too_long(struct control_request *req)
{
	return control_refuse(req, -EMSGSIZE, NULL,
			      "%s: the body is longer than %zu bytes",
			      req->route->path, req->route->body_max);
}

/* Before any byte of the body is taken: who asks, for what, how much. */
static int control_request_judge(struct control_request *req,
				 const char *method, const char *path)
{
	const char *length;
	int rc;

	if (!control_peer_allowed(req->conn))
		return control_refuse(
		    req, -EPERM, "sudo vdrive ...",
		    "the daemon takes orders from root and uid %u only",
		    (unsigned int)geteuid());
	rc = control_route_find(req, method, path);
	if (rc < 0)
		return rc;
	length = MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND,
					     MHD_HTTP_HEADER_CONTENT_LENGTH);
	/* MHD has checked that it is a number. */
	if (length && strtoull(length, NULL, 10) > req->route->body_max)
		return control_body_too_long(req);
	return 0;
}

static int control_body_grow(struct control_request *req, size_t want)
{
	struct control *control = req->control;
	size_t cap = MAX(req->body_cap * 2, (size_t)CONTROL_BODY_FIRST);
	uint8_t *grown;

	cap = MIN(MAX(cap, want), req->route->body_max);
	if (control->body_total + cap - req->body_cap > CONTROL_BODIES_MAX)
		return control_refuse(req, -EAGAIN, "again in a moment",
				      "%s: too much is being sent at one time",
				      req->route->path);
	grown = realloc(req->body, cap);
	if (!grown)
		return -ENOMEM;
	control->body_total += cap - req->body_cap;
	req->body = grown;
	req->body_cap = cap;
	return 0;
}

static int control_body_to_file(struct control_request *req, const void *data,
				size_t len)
{
	int rc = 0;

	if (!req->has_file) {
		rc = control_file_new(req, &req->body_fd);
		req->has_file = rc == 0;
	}
	if (rc == 0)
		rc = io_pwrite_all(req->body_fd, data, len, req->body_len);
	if (rc < 0 && !req->reply.status)
		return control_file_fail(req, rc);
	req->body_len += len;
	return rc;
}

static int control_body_add(struct control_request *req, const void *data,
			    size_t len)
{
	int rc;

	if (len > req->route->body_max - req->body_len)
		return control_body_too_long(req);
	if (req->route->flags & ROUTE_FILE)
		return control_body_to_file(req, data, len);
	if (req->body_len + len > req->body_cap) {
		rc = control_body_grow(req, req->body_len + len);
		if (rc < 0)
			return rc;
	}
	memcpy(req->body + req->body_len, data, len);
	req->body_len += len;
	return 0;
}

static void control_tree_put(void *tree)
{
	tree_put(tree);
}

/* NULL: no memory. */
static struct MHD_Response *control_response(struct control_reply *reply)
{
	struct stat st;

	if (reply->is_file && fstat(reply->fd, &st) < 0)
		return NULL;
	/* It closes the file, when it is made. */
	if (reply->is_file)
		return MHD_create_response_from_fd64((uint64_t)st.st_size,
						     reply->fd);
	if (reply->tree)
		return MHD_create_response_from_buffer_with_free_callback_cls(
		    reply->len, reply->bytes, control_tree_put, reply->tree);
	return MHD_create_response_from_buffer(reply->len, reply->bytes,
					       MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result control_send(struct control_request *req)
{
	static char no_memory[] = "{\"error\":{\"code\":1,"
				  "\"message\":\"the daemon has no memory\"}}";
	struct control_reply *reply = &req->reply;
	struct MHD_Response *response;
	enum MHD_Result done;

	if (!reply->status)
		response = MHD_create_response_from_buffer(
		    sizeof(no_memory) - 1, no_memory, MHD_RESPMEM_PERSISTENT);
	else
		response = control_response(reply);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				!reply->status || reply->is_json
				    ? "application/json"
				    : "application/octet-stream");
	done = MHD_queue_response(
	    req->conn,
	    reply->status ? reply->status : MHD_HTTP_INTERNAL_SERVER_ERROR,
	    response);
	MHD_destroy_response(response);
	memset(reply, 0, sizeof(*reply)); /* its bytes are the response's */
	return done;
}

/* Nothing is collected that it is just about to point at. */
static int control_run_names(struct control_request *req)
{
	struct depot *depot = req->control->daemon.depot;
	uint64_t lease;
	int rc;

	rc = depot_lease_open(depot, 0, &lease);
	if (rc < 0)
		return rc;
	rc = req->route->handle(req);
	depot_lease_close(depot, lease, true);
	return rc;
}

void control_run(struct control_request *req)
{
	int rc;

	log_clear_last_error();
	if (req->route->flags & ROUTE_NAMES)
		rc = control_run_names(req);
	else
		rc = req->route->handle(req);
	if (rc < 0 && !req->reply.status)
		control_fail(req, rc, NULL, "%s", req->route->path);
	ASSERT(rc < 0 || req->reply.status);
}

/* true: answer now. */
static bool control_handle_now(struct control_request *req)
{
	if (req->failed || req->handled)
		return true;
	if (req->route->flags & ROUTE_LONG)
		return control_long_start(req) < 0;
	if (!(req->route->flags & ROUTE_DEPOT) || control_depot_free(req) == 0)
		control_run(req);
	return true;
}

static enum MHD_Result control_begin(struct control *control,
				     struct MHD_Connection *conn,
				     const char *url, const char *method,
				     void **slot)
{
	struct control_request *req = calloc(1, sizeof(*req));

	if (!req)
		return MHD_NO;
	req->control = control;
	req->conn = conn;
	*slot = req;
	atomic_fetch_add(&control->unanswered, 1);
	if (control_request_judge(req, method, url) < 0)
		return control_send(req);
	return MHD_YES;
}

static enum MHD_Result control_handle(void *cls, struct MHD_Connection *conn,
				      const char *url, const char *method,
				      const char *version UNUSED,
				      const char *data, size_t *len,
				      void **slot)
{
	struct control_request *req = *slot;

	if (!req)
		return control_begin(cls, conn, url, method, slot);
	if (*len > 0) {
		if (!req->failed && control_body_add(req, data, *len) < 0)
			req->failed = true;
		*len = 0;
		return MHD_YES;
	}
	return control_handle_now(req) ? control_send(req) : MHD_YES;
}

static void control_request_free(void *cls UNUSED,
				 struct MHD_Connection *conn UNUSED,
				 void **slot,
				 enum MHD_RequestTerminationCode why UNUSED)
{
	struct control_request *req = *slot;

	if (!req)
		return;
	req->control->body_total -= req->body_cap;
	control_reply_clear(&req->reply);
	if (req->has_file)
		close(req->body_fd);
	free(req->body);
	atomic_fetch_sub(&req->control->unanswered, 1);
	free(req);
	*slot = NULL;
}

/* --- the engine ---------------------------------------------------------- */

static void control_log(void *cls UNUSED, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
static void control_log(void *cls UNUSED, const char *fmt, va_list args)
{
	char text[CONTROL_TEXT_MAX];

	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("control: http: %s", text);
}

static int control_http_start(struct control *control)
{
	control->http = MHD_start_daemon(
	    /* poll(): select() knows no descriptor beyond 1023. */
	    MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ERROR_LOG |
		MHD_ALLOW_SUSPEND_RESUME,
	    0, NULL, NULL, control_handle, control,
	    /* First, so that it hears of failures of the other options. */
	    MHD_OPTION_EXTERNAL_LOGGER, control_log, NULL,
	    MHD_OPTION_LISTEN_SOCKET, control->fd, MHD_OPTION_NOTIFY_COMPLETED,
	    control_request_free, NULL, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned int)CONTROL_CONNECTIONS_MAX,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)CONTROL_IDLE_SEC,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)CONTROL_CONNECTION_MEMORY, MHD_OPTION_END);
	return control->http ? 0 : -EIO;
}

int control_start(const char *socket_path, const struct control_daemon *daemon,
		  struct control **out)
{
	struct control *control;
	int rc;

	ASSERT(socket_path && daemon && out);

	control = calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	control->daemon = *daemon;
	control->fd = -1;
	pthread_mutex_init(&control->lock, NULL);
	pthread_cond_init(&control->idle, NULL);
	control->socket_path = strdup(socket_path);
	if (!control->socket_path) {
		free(control);
		return -ENOMEM;
	}
	rc = control_socket_open(socket_path, &control->fd);
	if (rc < 0) {
		log_err(rc, "control socket %s", socket_path);
		free(control->socket_path);
		free(control);
		return rc;
	}
	rc = control_http_start(control);
	if (rc < 0) {
		log_err(rc, "control socket %s: HTTP cannot start",
			socket_path);
		control_stop(control);
		return rc;
	}
	*out = control;
	return 0;
}

/* What the engine has not sent when it is stopped is not sent. */
static void control_wait_answers(struct control *control)
{
	static const struct timespec pause = {0, 10000000};
	uint64_t until = clock_ms() + CONTROL_ANSWER_MS;

	while (atomic_load(&control->unanswered) > 0 && clock_ms() < until)
		nanosleep(&pause, NULL);
}

void control_stop(struct control *control)
{
	if (!control)
		return;
	/* The name goes first: no new caller may wait for a dying thread. */
	if (io_unlink(control->socket_path) < 0)
		log_warn("control socket %s stays", control->socket_path);
	control_long_stop(control);
	control_wait_answers(control);
	if (control->http)
		MHD_stop_daemon(control->http);
	else
		close(control->fd);
	control_trees_drop(control);
	free(control->socket_path);
	free(control);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_stream: what is long or large of deltas and guests through the admin
 * API: differences, proof, streams out and in.
 *
 * Each runs on a thread of its own (control_long.c), and nothing is held in
 * memory that grows with a delta.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/log.h"
#include "nfsd/control_request.h"
#include "nfsd/server.h"
#include "overlay/site.h"

/* --- differences ---------------------------------------------------------- */

json_t *control_path_json(const char *path)
{
	CLEANUP_FREE char *copy = NULL;
	json_t *json;

	if (!path)
		return json_null();
	json = json_string(path);
	if (json)
		return json;
	copy = strdup(path);
	for (char *p = copy; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return copy ? json_string(copy) : NULL;
}

static int control_diff_visit(void *ctx, const struct site_delta_change *change)
{
	char kind[] = {(char)change->kind, '\0'};
	FILE *file = ctx;
	json_t *json;
	int rc;

	json = json_pack(
	    "{s:s, s:o, s:o, s:s?, s:I, s:I, s:I, s:I}", "kind", kind, "path",
	    control_path_json(change->path), "from",
	    control_path_json(change->from), "package", change->package,
	    "mode_before", (json_int_t)change->mode_before, "mode",
	    (json_int_t)change->mode, "size", (json_int_t)change->size,
	    "delta_bytes", (json_int_t)change->delta_bytes);
	if (!json)
		return -ENOMEM;
	rc = json_dumpf(json, file, JSON_COMPACT);
	json_decref(json);
	return rc < 0 || fputc('\n', file) == EOF ? -ENOSPC : 0;
}

int control_file_stream(int fd, FILE **file)
{
	int copy = dup(fd), rc;

	*file = copy < 0 ? NULL : fdopen(copy, "w");
	if (*file)
		return 0;
	rc = -errno;
	if (copy >= 0)
		close(copy);
	return rc;
}

static int control_diff_write(struct control_request *req, const char *name,
			      int fd)
{
	FILE *file;
	int rc = control_file_stream(fd, &file);

	if (rc < 0)
		return rc;
	rc = site_delta_diff(req->control->daemon.site, name,
			     control_diff_visit, file);
	if (fclose(file) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

int control_delta_diff(struct control_request *req)
{
	CLEANUP_CLOSE int fd = -1;
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_file_new(req, &fd);
	if (rc < 0)
		return rc;
	rc = control_diff_write(req, name, fd);
	if (rc < 0)
		return control_fail(req, rc, NULL,
				    "cannot tell what %s has changed", name);
	return control_answer_file(req, STEAL_FD(fd));
}

/* --- proof ---------------------------------------------------------------- */

static void control_verify_tell(void *ctx, bool problem, const char *what)
{
	json_t *findings = ctx;

	if (json_array_size(findings) < CONTROL_FINDINGS_MAX)
		json_array_append_new(
		    findings, json_pack("{s:b, s:o}", "problem", (int)problem,
					"text", control_path_json(what)));
}

int control_delta_verify(struct control_request *req)
{
	struct site_delta_figures figures = {0};
	json_t *findings;
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc < 0)
		return rc;
	findings = json_array();
	if (!findings)
		return -ENOMEM;
	rc = site_delta_verify(req->control->daemon.site, name,
			       control_verify_tell, findings, &figures);
	if (rc < 0) {
		json_decref(findings);
		return control_fail(req, rc, NULL,
				    "cannot verify the delta of %s", name);
	}
	return control_answer(
	    req, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "schema",
			   "delta-verify/1", "guest", name, "files",
			   (json_int_t)figures.files, "names",
			   (json_int_t)figures.names, "bytes",
			   (json_int_t)figures.bytes, "problems",
			   (json_int_t)figures.problems, "warnings",
			   (json_int_t)figures.warnings, "findings", findings));
}

/* --- streams of deltas ---------------------------------------------------- */

int control_answer_delta(struct control_request *req,
			 control_delta_write_fn *write, const char *what)
{
	const char *name, *snapshot = NULL;
	CLEANUP_CLOSE int fd = -1;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0 && control_param_text(req, "snapshot"))
		rc = control_param_name(req, "snapshot", "a snapshot",
					&snapshot);
	if (rc == 0)
		rc = control_file_new(req, &fd);
	if (rc < 0)
		return rc;
	rc = write(req, name, snapshot, fd);
	if (rc == -ENOENT && snapshot)
		return control_refuse(req, rc,
				      "vdrive delta snapshot TENANT/GUEST",
				      "%s has no snapshot %s", name, snapshot);
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot %s of %s", what,
				    name);
	return control_answer_file(req, STEAL_FD(fd));
}

static int control_export_write(struct control_request *req, const char *name,
				const char *snapshot, int fd)
{
	return site_delta_export(req->control->daemon.site, name, snapshot, fd);
}

int control_delta_export(struct control_request *req)
{
	return control_answer_delta(req, control_export_write,
				    "export the delta");
}

/* The body as a file that is read from its beginning; -EBADMSG (answered):
 * there is none. */
static int control_stream_body(struct control_request *req)
{
	if (!req->has_file)
		return control_refuse(
		    req, -EBADMSG, "what `vdrive delta export` wrote",
		    "%s: the stream is empty", req->route->path);
	return lseek(req->body_fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

static const char *control_stream_hint(int rc)
{
	switch (rc) {
	case -EBADMSG:
		return "another copy of the stream: this one is damaged or cut "
		       "short";
	case -EPROTONOSUPPORT:
		return "a newer vdrive on this host";
	case -EXDEV:
		return "a tenant with the same packages in the same order";
	default:
		return NULL;
	}
}

int control_delta_import(struct control_request *req)
{
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_stream_body(req);
	if (rc < 0)
		return rc;
	rc = site_delta_import(req->control->daemon.site, name, req->body_fd);
	if (rc < 0)
		return control_fail(req, rc, control_stream_hint(rc),
				    "cannot import into %s", name);
	return control_answer(
	    req, json_pack("{s:s, s:s, s:I}", "schema", "delta-import/1",
			   "guest", name, "bytes", (json_int_t)req->body_len));
}

/* --- streams of guests ---------------------------------------------------- */

/* A copy of a guest at work would be of no moment. */
static int control_guest_must_be_paused(struct control_request *req,
					const char *name)
{
	char hint[2 * PACKAGE_NAME_MAX + 64];
	struct site_guest_info info;
	int rc;

	rc = control_guest_find(req, name, &info);
	if (rc < 0 || info.paused)
		return rc;
	snprintf(hint, sizeof(hint), "vdrive guest pause %s", name);
	return control_refuse(req, -EBUSY, hint, "guest %s is not paused",
			      name);
}

int control_guest_export(struct control_request *req)
{
	CLEANUP_CLOSE int fd = -1;
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_guest_must_be_paused(req, name);
	if (rc == 0)
		rc = control_file_new(req, &fd);
	if (rc < 0)
		return rc;
	rc = site_guest_export(req->control->daemon.site, name, fd);
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot export guest %s",
				    name);
	return control_answer_file(req, STEAL_FD(fd));
}

/* A listening address that cannot be opened yet is tried again: it may still be
 * the old host's. */
static void control_import_listen(struct control_request *req, const char *name)
{
	struct server *server = req->control->daemon.server;
	struct site_guest_info info;

	if (server && control_guest_find(req, name, &info) == 0 &&
	    info.access.listen.port != 0 &&
	    server_listen(server, &info.access.listen, info.access.export_id) <
		0)
		log_warn("guest %s is not served until its listening address "
			 "can be used",
			 name);
}

int control_guest_import(struct control_request *req)
{
	char name[SITE_EXPORT_PATH_MAX] = "";
	int rc;

	rc = control_stream_body(req);
	if (rc < 0)
		return rc;
	rc = site_guest_import(req->control->daemon.site, req->body_fd, name);
	if (rc < 0)
		return control_fail(req, rc, control_stream_hint(rc),
				    "cannot receive a guest");
	control_import_listen(req, name);
	return control_answer(req, json_pack("{s:s, s:s, s:b, s:I}", "schema",
					     "guest-import/1", "guest", name,
					     "paused", 1, "bytes",
					     (json_int_t)req->body_len));
}

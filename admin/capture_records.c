/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_records: facts that are read out of changed files: lines that passwd
 * and group have gained, links in /etc/alternatives, entries of ld.so.conf,
 * units, and what /etc/environment and /etc/profile.d set.
 */
#include <fcntl.h>
#include <stdio.h>

#include "admin/capture.h"
#include "depot/digest.h"
#include "depot/io.h"

enum { CAPTURE_TEXT_MAX = 64 << 20 };

struct capture_reader {
	const struct capture_options *options;
	struct capture *capture;
	struct failure *failure;
};

/* Text of a file, malloc'ed; what is not there is empty.  NULL: no memory. */
static char *capture_text(const char *dir, const char *path)
{
	CLEANUP_FREE char *full = NULL;
	void *text;
	size_t len;

	if (asprintf(&full, "%s/%s", dir, path) < 0)
		return NULL;
	return io_read_file(full, CAPTURE_TEXT_MAX, &text, &len) == 0
		   ? text
		   : calloc(1, 1);
}

static json_t *capture_record(struct capture_reader *reader, const char *key)
{
	json_t *array = json_object_get(reader->capture->records, key);

	if (array)
		return array;
	array = json_array();
	json_object_set_new(reader->capture->records, key, array);
	return array;
}

static bool capture_has_line(const char *text, const char *line, size_t len)
{
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strcspn(p, "\n") == len && memcmp(p, line, len) == 0)
			return true;
	return false;
}

/* NAME=... or export NAME=..., as far as a line of a script tells. */
static bool capture_is_assignment(const char *line, size_t len)
{
	static const char export[] = "export ";
	size_t name;

	if (len > strlen(export) && memcmp(line, export, strlen(export)) == 0) {
		line += strlen(export);
		len -= strlen(export);
	}
	name = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz_0123456789");
	return name > 0 && name < len && line[name] == '=';
}

/* Lines that the base's file does not have; of a script the assignments. */
static int capture_new_lines(struct capture_reader *reader, const char *path,
			     const char *key, bool script)
{
	CLEANUP_FREE char *now = capture_text(reader->options->upper, path);
	CLEANUP_FREE char *before = capture_text(reader->options->base, path);

	if (!now || !before)
		return -ENOMEM;
	for (const char *p = now; *p;) {
		size_t len = strcspn(p, "\n");

		if (len > 0 && *p != '#' &&
		    (!script || capture_is_assignment(p, len)) &&
		    !capture_has_line(before, p, len))
			json_array_append_new(capture_record(reader, key),
					      json_stringn(p, len));
		p += len + (p[len] == '\n');
	}
	return 0;
}

static int capture_alternative(struct capture_reader *reader, const char *path)
{
	CLEANUP_FREE char *full = NULL;
	char target[512], text[1024];
	ssize_t len;

	if (asprintf(&full, "%s/%s", reader->options->upper, path) < 0)
		return -ENOMEM;
	len = readlink(full, target, sizeof(target) - 1);
	if (len <= 0)
		return 0;
	target[len] = '\0';
	snprintf(text, sizeof(text), "%.255s=%s", strrchr(path, '/') + 1,
		 target);
	json_array_append_new(capture_record(reader, "alternatives"),
			      json_string(text));
	return 0;
}

static bool capture_is_unit(const char *path)
{
	return capture_match("lib/systemd/system/*.service", path) ||
	       capture_match("usr/lib/systemd/system/*.service", path) ||
	       capture_match("lib/systemd/system/*.socket", path) ||
	       capture_match("usr/lib/systemd/system/*.socket", path) ||
	       capture_match("etc/systemd/system/*.service", path) ||
	       capture_match("etc/init.d/*", path);
}

/* Of a file: what a link leads to would be this host's. */
static int capture_record_text(struct capture_reader *reader, const char *path)
{
	if (strcmp(path, "etc/passwd") == 0)
		return capture_new_lines(reader, path, "users", false);
	if (strcmp(path, "etc/group") == 0)
		return capture_new_lines(reader, path, "groups", false);
	if (strcmp(path, "etc/environment") == 0)
		return capture_new_lines(reader, path, "environment", false);
	if (capture_match("etc/profile.d/*", path))
		return capture_new_lines(reader, path, "environment", true);
	if (strcmp(path, "etc/ld.so.conf") == 0 ||
	    capture_match("etc/ld.so.conf.d/*", path))
		return capture_new_lines(reader, path, "libraries", false);
	return 0;
}

static int capture_record_row(struct capture_reader *reader,
			      const struct capture_row *row)
{
	const char *path = row->path;

	if (row->letter == CAPTURE_DELETED || row->letter == CAPTURE_WAY ||
	    row->noise)
		return 0;
	if (S_ISLNK(row->st.st_mode) &&
	    capture_match("etc/alternatives/*", path))
		return capture_alternative(reader, path);
	if (capture_is_unit(path))
		json_array_append_new(capture_record(reader, "services"),
				      json_string(strrchr(path, '/') + 1));
	return S_ISREG(row->st.st_mode) ? capture_record_text(reader, path) : 0;
}

/* --- which base -------------------------------------------------------------
 */

/* Value of KEY=value or KEY="value" in os-release. */
static void capture_os_value(const char *text, const char *key, char *out,
			     size_t cap)
{
	size_t key_len = strlen(key), len;

	out[0] = '\0';
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		if (strncmp(p, key, key_len) != 0 || p[key_len] != '=')
			continue;
		p += key_len + 1;
		p += *p == '"';
		len = MIN(strcspn(p, "\"\n"), cap - 1);
		memcpy(out, p, len);
		out[len] = '\0';
		return;
	}
}

/* Packages and versions, whatever else dpkg notes about them. */
static void capture_hash_packages(const char *status, struct digest_ctx *ctx)
{
	for (const char *p = status; *p;) {
		size_t len = strcspn(p, "\n");

		if (strncmp(p, "Package: ", 9) == 0 ||
		    strncmp(p, "Version: ", 9) == 0 ||
		    strncmp(p, "Status: ", 8) == 0)
			digest_ctx_add(ctx, p, len + 1);
		p += len + (p[len] == '\n');
	}
}

int capture_os_name(const char *release, const char *status,
		    char name[CAPTURE_OS_MAX])
{
	char id[32], version[32], hex[DIGEST_HEX_LEN + 1];
	struct digest_ctx *ctx = digest_ctx_new();
	struct digest digest;

	name[0] = '\0';
	if (!ctx)
		return -ENOMEM;
	capture_os_value(release, "ID", id, sizeof(id));
	capture_os_value(release, "VERSION_ID", version, sizeof(version));
	capture_hash_packages(status, ctx);
	digest = digest_ctx_end(ctx);
	digest_to_hex(&digest, hex);
	if (*id)
		snprintf(name, CAPTURE_OS_MAX, "%s-%s sha256:%s", id, version,
			 hex);
	return 0;
}

static int capture_base_id(struct capture_reader *reader)
{
	const char *base = reader->options->base;
	CLEANUP_FREE char *release = capture_text(base, CAPTURE_OS_RELEASE);
	CLEANUP_FREE char *status = capture_text(base, CAPTURE_OS_STATUS);

	_Static_assert(sizeof(reader->capture->base_id) == CAPTURE_OS_MAX,
		       "one name");
	if (!release || !status)
		return -ENOMEM;
	return capture_os_name(release, status, reader->capture->base_id);
}

int capture_records(const struct capture_options *options,
		    struct capture *capture, struct failure *failure)
{
	struct capture_reader reader = {
	    .options = options, .capture = capture, .failure = failure};
	int rc;

	capture->records = json_object();
	rc = capture->records ? capture_base_id(&reader) : -ENOMEM;
	for (size_t i = 0; rc == 0 && i < capture->count; i++)
		rc = capture_record_row(&reader, &capture->rows[i]);
	return rc < 0 ? failure_errno(failure, rc, "capture") : 0;
}

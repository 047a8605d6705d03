/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_apt: apt-get as a program, never its library: its command line is
 * stable, and it brings the operator's own mirrors, keys and proxies.
 *
 * Downloads go to a directory of their own first and are moved when they are
 * whole, so that the cache never holds half a file.
 */
#include "admin/import_apt.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "admin/run.h"
#include "depot/io.h"

enum { APT_OPEN_MAX = 16 };

/* --- what is needed --------------------------------------------------------
 */

bool apt_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+.-");

	if (len < 2 || strchr("+.-", name[0]))
		return false;
	if (name[len] == '\0')
		/* A trailing sign would mean "remove" or "install". */
		return name[len - 1] != '-';
	return name[len] == '=' && name[len + 1] != '\0' &&
	       name[len + 1 +
		    strspn(name + len + 1, "abcdefghijklmnopqrstuvwxyz"
					   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789+.~:-")] == '\0';
}

/* "Inst libc6 (2.36-9+deb12u10 Debian:12.11/stable [amd64])" */
static int apt_parse_line(struct apt_fetch *fetch, const char *line)
{
	size_t name_len = strcspn(line, " \n"), version_len;
	struct apt_item *item = &fetch->items[fetch->count];
	const char *open = line + strcspn(line, "(\n");

	if (fetch->count == APT_PACKAGES_MAX)
		return -EFBIG;
	if (*open != '(' || name_len == 0)
		return -EBADMSG;
	version_len = strcspn(open + 1, " )\n");
	if (version_len == 0)
		return -EBADMSG;
	item->name = strndup(line, name_len);
	item->version = strndup(open + 1, version_len);
	fetch->count++;
	return item->name && item->version ? 0 : -ENOMEM;
}

int apt_parse_simulation(struct apt_fetch *fetch, const char *text)
{
	int rc = 0;

	fetch->items = calloc(APT_PACKAGES_MAX, sizeof(*fetch->items));
	if (!fetch->items)
		return -ENOMEM;
	for (const char *line = text; rc == 0 && *line;
	     line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, "Inst ", 5) == 0)
			rc = apt_parse_line(fetch, line + 5);
	if (rc == 0 && fetch->count == 0)
		return -EBADMSG;
	return rc;
}

/* The line that says why: the first that begins with "E:". */
static void apt_cause(const char *errors, char *cause, size_t cap)
{
	const char *line = strstr(errors, "E: ");

	line = line ? line + 3 : errors;
	snprintf(cause, cap, "%.*s", (int)strcspn(line, "\n"), line);
}

static bool apt_is_network(const char *errors)
{
	return strstr(errors, "Could not resolve") ||
	       strstr(errors, "Temporary failure resolving") ||
	       strstr(errors, "Could not connect") ||
	       strstr(errors, "Unable to connect") ||
	       strstr(errors, "Connection failed") ||
	       strstr(errors, "Cannot initiate the connection") ||
	       strstr(errors, "Failed to fetch");
}

static int apt_fail(const char *what, const struct run_result *result,
		    struct failure *failure)
{
	char cause[512];

	apt_cause(result->errors, cause, sizeof(cause));
	if (strstr(result->errors, "Unable to locate package") ||
	    strstr(result->errors, "has no installation candidate") ||
	    strstr(result->errors, "was not found")) {
		failure_set(failure, -ENOENT, CONTROL_EXIT_MISSING,
			    "%s: apt-get: %s", what, cause);
		failure_hint(failure, "try: apt-get update; apt-cache search "
				      "NAME");
		return -ENOENT;
	}
	if (apt_is_network(result->errors)) {
		failure_set(failure, -EHOSTUNREACH, CONTROL_EXIT_UPSTREAM,
			    "%s: apt-get: %s", what, cause);
		failure_hint(failure,
			     "try: look at the network, or set "
			     "VDRIVE_DEB_CACHE to a directory that has the "
			     ".deb files, or take dir:PATH");
		return -EHOSTUNREACH;
	}
	failure_set(failure, -EIO, CONTROL_EXIT_FAILED,
		    "%s: apt-get ended with status %d: %s", what,
		    result->status, cause);
	failure_hint(failure, "try: apt-get -s install NAME");
	return -EIO;
}

static int apt_run(const char *const *argv, const char *dir, const char *what,
		   struct run_result *result, struct failure *failure)
{
	int rc = run(argv, dir, result);

	if (rc == -EINTR)
		return failure_set(failure, rc, CONTROL_EXIT_INTERRUPTED,
				   "interrupted; nothing has been stored");
	if (rc == -ENOENT) {
		failure_set(failure, -ENOSYS, CONTROL_EXIT_FAILED,
			    "%s: there is no apt-get on this host", what);
		failure_hint(failure, "try: deb:FILE.deb ... or dir:PATH");
		return -ENOSYS;
	}
	if (rc < 0)
		return failure_errno(failure, rc, "%s: apt-get", what);
	return result->status == 0 ? 0 : apt_fail(what, result, failure);
}

/* As on a system that has nothing; apt's own caches are left as they are. */
static int apt_simulate(struct apt_fetch *fetch, char *const *names,
			size_t count, const char *what, struct failure *failure)
{
	static const char *const head[] = {
	    "apt-get", "-s",
	    "-q",      "--no-install-recommends",
	    "-o",      "Dir::State::status=/dev/null",
	    "-o",      "Dir::State::extended_states=/dev/null",
	    "-o",      "Dir::Cache::pkgcache=",
	    "install",
	};
	CLEANUP(run_result_clear) struct run_result result = {0};
	CLEANUP_FREE const char **argv =
	    calloc(ARRAY_LEN(head) + count + 1, sizeof(*argv));
	int rc;

	if (!argv)
		return failure_errno(failure, -ENOMEM, "%s", what);
	memcpy(argv, head, sizeof(head));
	for (size_t i = 0; i < count; i++)
		argv[ARRAY_LEN(head) + i] = names[i];
	rc = apt_run(argv, NULL, what, &result, failure);
	if (rc < 0)
		return rc;
	rc = apt_parse_simulation(fetch, result.output);
	if (rc < 0)
		return failure_errno(failure, rc,
				     "%s: what apt-get -s printed is not known",
				     what);
	return 0;
}

/* --- files ------------------------------------------------------------------
 */

/* "NAME_VERSION_", the colon of an epoch as apt writes it; malloc'ed. */
static char *apt_file_head(const struct apt_item *item)
{
	size_t name_len = strcspn(item->name, ":");
	const char *colon = strchr(item->version, ':');
	char *head = NULL;
	int n;

	if (colon)
		n = asprintf(&head, "%.*s_%.*s%%3a%s_", (int)name_len,
			     item->name, (int)(colon - item->version),
			     item->version, colon + 1);
	else
		n = asprintf(&head, "%.*s_%s_", (int)name_len, item->name,
			     item->version);
	return n < 0 ? NULL : head;
}

/* *path stays NULL when the directory has no such file. */
static int apt_file_find(const char *dir, const struct apt_item *item,
			 char **path)
{
	CLEANUP_FREE char *head = apt_file_head(item);
	struct dirent *entry;
	size_t len;
	DIR *list;
	int rc = 0;

	if (!head)
		return -ENOMEM;
	list = opendir(dir);
	if (!list)
		return -errno;
	while (!*path && rc == 0 && (entry = readdir(list))) {
		len = strlen(entry->d_name);
		if (strncmp(entry->d_name, head, strlen(head)) == 0 &&
		    len > 4 && strcmp(entry->d_name + len - 4, ".deb") == 0 &&
		    asprintf(path, "%s/%s", dir, entry->d_name) < 0)
			rc = -ENOMEM;
	}
	closedir(list);
	return rc;
}

static int apt_remove_one(const char *path, const struct stat *st UNUSED,
			  int type UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void apt_remove_dir(const char *dir)
{
	nftw(dir, apt_remove_one, APT_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
}

static int apt_dir(struct apt_fetch *fetch, struct failure *failure)
{
	const char *cache = getenv("VDRIVE_DEB_CACHE");
	const char *temp = getenv("TMPDIR");
	int rc;

	if (cache && *cache) {
		fetch->dir = strdup(cache);
		if (!fetch->dir)
			return failure_errno(failure, -ENOMEM, "%s", cache);
		rc = io_mkdirs(cache);
		return rc < 0 ? failure_errno(failure, rc,
					      "VDRIVE_DEB_CACHE %s", cache)
			      : 0;
	}
	if (asprintf(&fetch->dir, "%s/vdrive-deb-XXXXXX",
		     temp && *temp ? temp : "/tmp") < 0) {
		fetch->dir = NULL;
		return failure_errno(failure, -ENOMEM, "temporary directory");
	}
	if (!mkdtemp(fetch->dir))
		return failure_errno(failure, -errno, "temporary directory %s",
				     fetch->dir);
	fetch->dir_is_ours = true;
	return 0;
}

/* Look for all files; *missing: how many are not in the directory. */
static int apt_find_all(struct apt_fetch *fetch, size_t *missing,
			struct failure *failure)
{
	int rc;

	*missing = 0;
	for (size_t i = 0; i < fetch->count; i++) {
		if (!fetch->paths[i]) {
			rc = apt_file_find(fetch->dir, &fetch->items[i],
					   &fetch->paths[i]);
			if (rc < 0)
				return failure_errno(failure, rc, "%s",
						     fetch->dir);
		}
		*missing += fetch->paths[i] == NULL;
	}
	return 0;
}

/* Move what was downloaded into place. */
static int apt_move_all(const char *from, const char *to,
			struct failure *failure)
{
	struct dirent *entry;
	DIR *list = opendir(from);
	int rc = 0;

	if (!list)
		return failure_errno(failure, -errno, "%s", from);
	while (rc == 0 && (entry = readdir(list))) {
		CLEANUP_FREE char *old = NULL;
		CLEANUP_FREE char *new = NULL;
		size_t len = strlen(entry->d_name);

		if (len < 4 || strcmp(entry->d_name + len - 4, ".deb") != 0)
			continue;
		if (asprintf(&old, "%s/%s", from, entry->d_name) < 0 ||
		    asprintf(&new, "%s/%s", to, entry->d_name) < 0)
			rc = failure_errno(failure, -ENOMEM, "%s", from);
		else if (rename(old, new) < 0)
			rc = failure_errno(failure, -errno, "%s", new);
	}
	closedir(list);
	return rc;
}

static int apt_download_to(struct apt_fetch *fetch, const char *dir,
			   size_t missing, const char *what,
			   struct failure *failure)
{
	/* Root's apt would download as _apt, which may not write here. */
	static const char *const head[] = {
	    "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"};
	CLEANUP(run_result_clear) struct run_result result = {0};
	CLEANUP_FREE const char **argv =
	    calloc(ARRAY_LEN(head) + missing + 1, sizeof(*argv));
	size_t at = ARRAY_LEN(head);
	char **specs;
	int rc = 0;

	specs = calloc(missing + 1, sizeof(*specs));
	if (!argv || !specs)
		rc = failure_errno(failure, -ENOMEM, "%s", what);
	else
		memcpy(argv, head, sizeof(head));
	for (size_t i = 0, n = 0; rc == 0 && i < fetch->count; i++) {
		if (fetch->paths[i])
			continue;
		if (asprintf(&specs[n], "%s=%s", fetch->items[i].name,
			     fetch->items[i].version) < 0)
			rc = failure_errno(failure, -ENOMEM, "%s", what);
		argv[at++] = specs[n++];
	}
	if (rc == 0)
		rc = apt_run(argv, dir, what, &result, failure);
	for (size_t n = 0; specs && n < missing; n++)
		free(specs[n]);
	free(specs);
	return rc;
}

static int apt_download(struct apt_fetch *fetch, size_t missing,
			const char *what, struct failure *failure)
{
	CLEANUP_FREE char *dir = NULL;
	int rc;

	if (asprintf(&dir, "%s/new-XXXXXX", fetch->dir) < 0) {
		dir = NULL;
		return failure_errno(failure, -ENOMEM, "%s", what);
	}
	if (!mkdtemp(dir))
		return failure_errno(failure, -errno, "%s", dir);
	rc = apt_download_to(fetch, dir, missing, what, failure);
	if (rc == 0)
		rc = apt_move_all(dir, fetch->dir, failure);
	apt_remove_dir(dir);
	return rc;
}

int apt_fetch(struct apt_fetch *fetch, char *const *names, size_t count,
	      struct output *out, struct failure *failure)
{
	char what[256];
	size_t missing;
	int rc;

	snprintf(what, sizeof(what), "deb:%s%s", names[0],
		 count > 1 ? ",..." : "");
	rc = apt_simulate(fetch, names, count, what, failure);
	if (rc == 0)
		rc = apt_dir(fetch, failure);
	if (rc < 0)
		return rc;
	fetch->paths = calloc(fetch->count + 1, sizeof(*fetch->paths));
	if (!fetch->paths)
		return failure_errno(failure, -ENOMEM, "%s", what);
	rc = apt_find_all(fetch, &missing, failure);
	if (rc == 0 && missing > 0) {
		output_verbose(out, "downloading %zu of %zu packages", missing,
			       fetch->count);
		rc = apt_download(fetch, missing, what, failure);
		if (rc == 0)
			rc = apt_find_all(fetch, &missing, failure);
	}
	if (rc == 0 && missing > 0)
		return failure_set(failure, -ENOENT, CONTROL_EXIT_FAILED,
				   "%s: apt-get left %zu packages out of %s",
				   what, missing, fetch->dir);
	return rc;
}

void apt_fetch_clear(struct apt_fetch *fetch)
{
	for (size_t i = 0; i < fetch->count; i++) {
		free(fetch->items[i].name);
		free(fetch->items[i].version);
		if (fetch->paths)
			free(fetch->paths[i]);
	}
	free(fetch->items);
	free(fetch->paths);
	if (fetch->dir_is_ours)
		apt_remove_dir(fetch->dir);
	free(fetch->dir);
	memset(fetch, 0, sizeof(*fetch));
}

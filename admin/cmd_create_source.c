/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_create_source: sources of packages that are not Debian's.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "admin/cmd_capture.h"
#include "admin/cmd_create.h"
#include "admin/import_capture.h"
#include "admin/import_dir.h"
#include "admin/import_oci.h"
#include "admin/import_run.h"
#include "admin/import_tar.h"

int cmd_create_source_refuse(struct cmd_create *create, const char *source,
			     const char *why)
{
	failure_set(&create->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "source \"%s\": %s", source, why);
	failure_hint(&create->cli->failure, "try: " CREATE_USAGE);
	return -EINVAL;
}

void cmd_create_version_tag(struct cmd_create *create)
{
	snprintf(create->version, sizeof(create->version), "%s",
		 create->ref.tag);
}

/* --- dir: ------------------------------------------------------------------
 */

int cmd_create_dir(struct cmd_create *create, size_t argc,
		   const char *const *argv)
{
	struct import_dir_result result = {0};
	int rc;

	if (argc != 1)
		return cmd_create_source_refuse(
		    create, argv[1], "a package is of one directory");
	if (!argv[0][4])
		return cmd_create_source_refuse(create, argv[0],
						"names nothing");
	cmd_create_version_tag(create);
	rc = import_dir(create->import, argv[0] + 4,
			args_has(&create->cli->args, ARGS_KEEP_GOING),
			&create->cli->out, &create->cli->failure, &result);
	create->left_out = result.left_out;
	return rc;
}

/* --- tar:, oci: ------------------------------------------------------------
 */

int cmd_create_tar(struct cmd_create *create, size_t argc,
		   const char *const *argv)
{
	const char *path;
	int rc = 0;

	cmd_create_version_tag(create);
	/* Several are layers: the later one counts. */
	if (argc > 1)
		import_layers(create->import);
	for (size_t i = 0; rc == 0 && i < argc; i++) {
		path = argv[i] + (strncmp(argv[i], "tar:", 4) == 0 ? 4 : 0);
		if (!*path)
			return cmd_create_source_refuse(create, argv[i],
							"names nothing");
		rc = import_tar(create->import, path, &create->cli->failure);
	}
	return rc;
}

/* Text of the records for the revision; an empty object is none. */
static int cmd_create_note(struct cmd_create *create, const char *base,
			   const json_t *records)
{
	if (json_object_size(records) > 0) {
		create->records =
		    json_dumps(records, JSON_COMPACT | JSON_SORT_KEYS);
		if (!create->records)
			return failure_errno(&create->cli->failure, -ENOMEM,
					     "records");
	}
	import_note(create->import, base && *base ? base : NULL,
		    create->records);
	return 0;
}

/* "Env" of an image is what its programs expect. */
static int cmd_create_environment(struct cmd_create *create,
				  const json_t *config)
{
	json_t *env = json_object_get(config, "Env"), *records;
	int rc;

	if (json_array_size(env) == 0)
		return 0;
	records = json_pack("{s:O}", "environment", env);
	rc = cmd_create_note(create, NULL, records);
	json_decref(records);
	return rc;
}

int cmd_create_oci(struct cmd_create *create, size_t argc,
		   const char *const *argv)
{
	CLEANUP_FREE char *dir = strdup(argv[0] + 4);
	struct oci_result result = {0};
	struct stat st;
	char *colon;
	int rc;

	if (!dir)
		return failure_errno(&create->cli->failure, -ENOMEM, "oci");
	if (argc != 1 || !*dir)
		return cmd_create_source_refuse(create, argv[argc - 1],
						"a package is of one image");
	/* A directory may have a colon in its name. */
	colon = stat(dir, &st) < 0 ? strrchr(dir, ':') : NULL;
	if (colon)
		*colon = '\0';
	cmd_create_version_tag(create);
	rc = import_oci(create->import, dir, colon ? colon + 1 : NULL,
			&create->cli->out, &create->cli->failure, &result);
	if (rc == 0)
		rc = cmd_create_environment(create, result.config);
	json_decref(result.config);
	return rc;
}

/* --- delta: ----------------------------------------------------------------
 */

static int cmd_create_delta_note(struct cmd_create *create)
{
	json_t *records;
	int rc;

	if (json_array_size(create->delta.over) == 0)
		return 0;
	records = json_pack("{s:O}", "over", create->delta.over);
	rc = cmd_create_note(create, NULL, records);
	json_decref(records);
	return rc;
}

static int cmd_create_delta_import(struct cmd_create *create, const char *name,
				   const struct delta_pick *pick)
{
	struct failure *failure = &create->cli->failure;
	FILE *file;
	int rc = delta_fetch(create->cli, name, &file);

	if (rc < 0)
		return rc;
	rc = import_origin(create->import, name);
	if (rc == 0)
		rc = import_delta(create->import, file, pick, &create->delta,
				  failure);
	fclose(file);
	if (rc == 0)
		rc = delta_check_hits(pick, &create->delta, name,
				      &create->cli->out, failure);
	if (rc == 0 && create->delta.verdict[DELTA_TAKEN] == 0)
		rc = failure_set(failure, -ENOENT, CONTROL_EXIT_MISSING,
				 "%s has changed nothing that would be taken",
				 name);
	return rc < 0 ? rc : cmd_create_delta_note(create);
}

int cmd_create_delta(struct cmd_create *create, size_t argc,
		     const char *const *argv)
{
	struct cmd_patterns include = {0}, exclude = {0}, keep = {0};
	struct delta_pick pick = {.package =
				      create->cli->args.value[ARGS_PACKAGE]};
	int rc;

	if (argc != 1 || !argv[0][6])
		return cmd_create_source_refuse(create, argv[argc - 1],
						"a package is of one guest");
	cmd_create_version_tag(create);
	rc = cmd_patterns(create->cli, ARGS_INCLUDE, &include);
	if (rc == 0)
		rc = cmd_patterns(create->cli, ARGS_EXCLUDE, &exclude);
	if (rc == 0)
		rc = cmd_patterns(create->cli, ARGS_KEEP, &keep);
	pick.include = include.list;
	pick.exclude = exclude.list;
	pick.keep = keep.list;
	if (rc == 0)
		rc = cmd_create_delta_import(create, argv[0] + 6, &pick);
	cmd_patterns_clear(&include);
	cmd_patterns_clear(&exclude);
	cmd_patterns_clear(&keep);
	return rc;
}

/* --- captures --------------------------------------------------------------
 */

int cmd_create_capture(struct cmd_create *create, size_t argc UNUSED,
		       const char *const *argv)
{
	struct cmd_patterns exclude = {0};
	int rc;

	cmd_create_version_tag(create);
	rc = cmd_patterns(create->cli, ARGS_EXCLUDE, &exclude);
	if (rc == 0)
		rc = import_capture(create->import, argv[0], exclude.list,
				    &create->excluded, &create->head,
				    &create->cli->failure);
	cmd_patterns_clear(&exclude);
	if (rc < 0)
		return rc;
	rc = cmd_create_note(create, cmd_text(create->head, "base"),
			     json_object_get(create->head, "records"));
	if (rc == 0)
		rc = import_run_notes(create->import, create->ref.name,
				      json_object_get(create->head, "records"));
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_package_create: sources to packages.
 *
 *   deb:PACKAGE[,PACKAGE...]   from the host's mirrors, with all they need
 *   deb:FILE.deb ...           just those files
 *   dir:PATH                   a directory as it lies there
 *   tar:FILE ...               tar files, one over the other
 *   oci:DIR[:NAME]             an image in an OCI image layout
 *   FILE                       what `package capture` wrote
 *   delta:T/G[@SNAPSHOT]       what a guest has changed
 */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "admin/cmd_create.h"
#include "admin/import_apt.h"
#include "admin/import_capture.h"
#include "admin/import_deb.h"
#include "admin/sink_daemon.h"

enum {
	CREATE_SOURCES_MAX = 4096,
	CREATE_CHANGES_TOLD = 40,
	CREATE_FILES_MAX = 5000000, /* unless --quota-files says otherwise */
};
#define CREATE_BYTES_MAX (UINT64_C(256) << 30) /* unless --quota does */

static void cmd_create_clear(struct cmd_create *create)
{
	sink_daemon_end(&create->sink);
	import_free(create->import);
	import_summary_clear(&create->summary);
	free(create->text);
	free(create->sources);
	free(create->closure);
	free(create->records);
	json_decref(create->head);
	delta_result_clear(&create->delta);
}

/* --- deb: ------------------------------------------------------------------
 */

static bool cmd_create_is_file(const char *source)
{
	size_t len = strlen(source);

	return strchr(source, '/') ||
	       (len > 4 && strcmp(source + len - 4, ".deb") == 0);
}

/* All arguments joined by commas, then cut at commas. */
static int cmd_create_sources(struct cmd_create *create, size_t argc,
			      const char *const *argv)
{
	size_t len = 1;
	char *save = NULL;

	for (size_t i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	create->text = calloc(1, len);
	create->sources = calloc(CREATE_SOURCES_MAX, sizeof(char *));
	if (!create->text || !create->sources)
		return failure_errno(&create->cli->failure, -ENOMEM, "sources");
	for (size_t i = 0; i < argc; i++) {
		if (i > 0)
			strcat(create->text, ",");
		strcat(create->text, strncmp(argv[i], "deb:", 4) == 0
					 ? argv[i] + 4
					 : argv[i]);
	}
	for (char *p = strtok_r(create->text, ",", &save); p;
	     p = strtok_r(NULL, ",", &save)) {
		if (create->source_count == CREATE_SOURCES_MAX)
			return cmd_create_source_refuse(create, p, "too many");
		create->sources[create->source_count++] = p;
	}
	if (create->source_count == 0)
		return cmd_create_source_refuse(create, argv[0],
						"names nothing");
	return 0;
}

static int cmd_create_sources_check(struct cmd_create *create)
{
	create->from_files = cmd_create_is_file(create->sources[0]);
	for (size_t i = 0; i < create->source_count; i++) {
		const char *source = create->sources[i];

		if (cmd_create_is_file(source) != create->from_files)
			return cmd_create_source_refuse(
			    create, source,
			    "files and package names cannot be mixed");
		if (!create->from_files && !apt_name_ok(source))
			return cmd_create_source_refuse(
			    create, source,
			    "no name of a Debian package (nor a .deb)");
	}
	return 0;
}

/* The version is that of the package named first. */
static void cmd_create_version(struct cmd_create *create,
			       const struct deb_list *list)
{
	const char *first = create->sources[0];
	size_t len = strcspn(first, "=");

	snprintf(create->version, sizeof(create->version), "%s",
		 create->ref.tag);
	for (size_t i = 0; i < list->count; i++) {
		const struct deb *deb = &list->debs[i];
		bool is_first = create->from_files
				    ? strcmp(deb->path, first) == 0
				    : strlen(deb->name) == len &&
					  memcmp(deb->name, first, len) == 0;

		if (is_first)
			snprintf(create->version, sizeof(create->version), "%s",
				 deb->version);
	}
}

static int cmd_create_from_files(struct cmd_create *create, char *const *paths,
				 size_t count)
{
	CLEANUP(deb_list_clear) struct deb_list list = {0};
	struct failure *failure = &create->cli->failure;
	int rc;

	rc = deb_list_read(&list, paths, count, failure);
	if (rc < 0)
		return rc;
	cmd_create_version(create, &list);
	create->deb_count = list.count;
	create->closure = deb_list_closure(&list);
	if (!create->closure)
		return failure_errno(failure, -ENOMEM, "closure");
	return import_debs(create->import, &list, &create->cli->out, failure);
}

static int cmd_create_deb(struct cmd_create *create, size_t argc,
			  const char *const *argv)
{
	CLEANUP(apt_fetch_clear) struct apt_fetch fetch = {0};
	int rc;

	rc = cmd_create_sources(create, argc, argv);
	if (rc == 0)
		rc = cmd_create_sources_check(create);
	if (rc < 0)
		return rc;
	if (create->from_files)
		return cmd_create_from_files(create, create->sources,
					     create->source_count);
	rc = apt_fetch(&fetch, create->sources, create->source_count,
		       &create->cli->out, &create->cli->failure);
	if (rc < 0)
		return rc;
	return cmd_create_from_files(create, fetch.paths, fetch.count);
}

/* --- what came of it --------------------------------------------------------
 */

static void cmd_create_print_json(struct cmd_create *create, double seconds)
{
	const struct import_summary *summary = &create->summary;
	char digest[DIGEST_HEX_LEN + 8] = "sha256:", tree[DIGEST_HEX_LEN + 1];
	json_t *json;

	digest_to_hex(&summary->revision, digest + 7);
	digest_to_hex(&summary->tree, tree);
	json = json_pack(
	    "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, "
	    "s:I, s:I, s:b, s:b, s:b, s:I, s:I, s:O, s:f}",
	    "type", "summary", "schema", "package-create/1", "name",
	    create->ref.name, "tag", create->ref.tag, "version",
	    create->version, "digest", digest, "tree", tree, "files",
	    (json_int_t)summary->files, "bytes", (json_int_t)summary->bytes,
	    "shards", (json_int_t)summary->shards, "shards_new",
	    (json_int_t)summary->shards_new, "bytes_added",
	    (json_int_t)summary->bytes_added, "packages",
	    (json_int_t)create->deb_count, "left_out",
	    (json_int_t)create->left_out, "created", (int)summary->created,
	    "dry_run", (int)args_has(&create->cli->args, ARGS_DRY_RUN),
	    "private", (int)create->private, "shards_unshared",
	    (json_int_t)summary->shards_unshared, "bytes_unshared",
	    (json_int_t)summary->bytes_unshared, "setuid", summary->setuid,
	    "seconds", seconds);
	if (json && create->delta.changes)
		delta_print_json(json, &create->delta);
	if (json)
		output_json(json);
	json_decref(json);
}

static void cmd_create_print_private(struct cmd_create *create)
{
	const struct import_summary *summary = &create->summary;
	bool dry_run = args_has(&create->cli->args, ARGS_DRY_RUN);
	struct output *out = &create->cli->out;
	char bytes[OUTPUT_NUMBER_MAX];

	if (!create->private)
		return;
	output_size(bytes, summary->bytes_unshared, out->exact);
	output_line(out,
		    "  private; that costs %s: %ju shards that are here for "
		    "everybody %s stored again",
		    bytes, (uintmax_t)summary->shards_unshared,
		    dry_run ? "would be" : "were");
}

static void cmd_create_print_text(struct cmd_create *create)
{
	const struct import_summary *summary = &create->summary;
	bool dry_run = args_has(&create->cli->args, ARGS_DRY_RUN);
	char files[OUTPUT_NUMBER_MAX], bytes[OUTPUT_NUMBER_MAX];
	char hex[DIGEST_HEX_LEN + 1], added[OUTPUT_NUMBER_MAX];
	struct output *out = &create->cli->out;
	uint64_t shared =
	    summary->shards - MIN(summary->shards_new, summary->shards);

	digest_to_hex(&summary->revision, hex);
	output_count(files, summary->files, out->exact);
	output_size(bytes, summary->bytes, out->exact);
	output_size(added, summary->bytes_added, out->exact);
	output_line(out, "%s:%s  sha256:%.*s%s", create->ref.name,
		    create->ref.tag, out->exact ? DIGEST_HEX_LEN : 12, hex,
		    summary->created || dry_run ? "" : "  (here already)");
	if (create->deb_count)
		output_line(out, "  from %zu Debian packages, version %s",
			    create->deb_count, create->version);
	output_line(out,
		    "  %s files, %s, %ju shards; %ju were here already "
		    "(%ju %% shared)",
		    files, bytes, (uintmax_t)summary->shards, (uintmax_t)shared,
		    (uintmax_t)(shared * 100 / MAX(summary->shards, 1)));
	output_line(out, "  %s to the depot: %s",
		    dry_run ? "would be added" : "added", added);
	cmd_create_print_private(create);
	if (create->delta.changes)
		delta_print(out, &create->delta, CREATE_CHANGES_TOLD);
	for (size_t i = 0; i < json_array_size(summary->setuid); i++)
		output_line(
		    out, "  set-user-id  %s",
		    json_string_value(json_array_get(summary->setuid, i)));
}

static int cmd_create_done(struct cmd_create *create, double seconds)
{
	struct output *out = &create->cli->out;

	output_progress_end(out);
	if (create->summary.capabilities)
		output_warn(out,
			    "%ju files have file capabilities; they are "
			    "recorded, but NFS does not carry them to guests%s",
			    (uintmax_t)create->summary.capabilities,
			    create->head ? ": vdrive-run(8) sets them there"
					 : "");
	if (out->json)
		cmd_create_print_json(create, seconds);
	else
		cmd_create_print_text(create);
	return create->left_out ? CONTROL_EXIT_PARTIAL : CONTROL_EXIT_OK;
}

static const struct {
	const char *prefix;
	cmd_create_fn *take;
} create_kinds[] = {
    {"deb:", cmd_create_deb},     {"dir:", cmd_create_dir},
    {"tar:", cmd_create_tar},     {"oci:", cmd_create_oci},
    {"delta:", cmd_create_delta},
};

static int cmd_create_take(struct cmd_create *create, size_t argc,
			   const char *const *argv)
{
	for (size_t i = 0; i < ARRAY_LEN(create_kinds); i++)
		if (strncmp(argv[0], create_kinds[i].prefix,
			    strlen(create_kinds[i].prefix)) == 0)
			return create_kinds[i].take(create, argc, argv);
	if (argc == 1 && capture_is(argv[0]))
		return cmd_create_capture(create, argc, argv);
	return cmd_create_source_refuse(
	    create, argv[0],
	    "must begin with deb:, dir:, tar:, oci: or delta:, or be a "
	    "capture");
}

/* The salt of another private package, from its tree. */
static int cmd_create_salt_of(struct cmd_create *create, const char *ref)
{
	struct cli *cli = create->cli;
	struct tree *tree;
	json_t *package;
	int rc;

	rc = cmd_package(cli, ref, &package);
	if (rc < 0)
		return rc;
	rc = cmd_package_tree(cli, package, &tree);
	json_decref(package);
	if (rc < 0)
		return rc;
	if (tree_salt(tree)) {
		memcpy(create->salt, tree_salt(tree), sizeof(create->salt));
	} else {
		rc = failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
				 "--salt-of %s: it is no private package", ref);
		failure_hint(&cli->failure,
			     "try: --private alone, for a salt of its own");
	}
	tree_put(tree);
	return rc;
}

static int cmd_create_private(struct cmd_create *create)
{
	const struct args *args = &create->cli->args;

	if (args_has(args, ARGS_SALT_OF)) {
		create->private = true;
		return cmd_create_salt_of(create, args->value[ARGS_SALT_OF]);
	}
	create->private = args_has(args, ARGS_PRIVATE);
	if (create->private)
		random_bytes(create->salt, sizeof(create->salt));
	return 0;
}

static int cmd_create_run(struct cmd_create *create, size_t argc,
			  const char *const *argv)
{
	struct cli *cli = create->cli;
	struct import_options options = {
	    .allow_devices = args_has(&cli->args, ARGS_DEVICES),
	    .dry_run = args_has(&cli->args, ARGS_DRY_RUN),
	    .bytes_max = CREATE_BYTES_MAX,
	    .files_max = CREATE_FILES_MAX,
	};
	struct import_sink sink = sink_daemon(&create->sink, cli->client);
	int rc;

	rc = cmd_quota_read(cli, &options.bytes_max, &options.files_max);
	if (rc == 0)
		rc = cmd_create_private(create);
	if (rc < 0)
		return rc;
	options.salt = create->private ? create->salt : NULL;
	create->import = import_new(&sink, &options, &cli->out, &cli->failure);
	if (!create->import)
		return failure_errno(&cli->failure, -ENOMEM, "import");
	rc = cmd_create_take(create, argc, argv);
	if (rc < 0)
		return rc;
	return import_finish(create->import, create->ref.name, create->ref.tag,
			     create->version, create->closure,
			     &create->summary);
}

/* What importers leave unsaid. */
static void cmd_create_hint(struct failure *failure, const char *source)
{
	bool is_deb = strncmp(source, "deb:", 4) == 0;

	if (failure->hint[0])
		return;
	if (failure->code == CONTROL_EXIT_MISSING && strlen(source) > 4)
		failure_hint(failure, "try: ls -ld %s", source + 4);
	else if (failure->code == CONTROL_EXIT_BAD_CONTENT && is_deb)
		failure_hint(failure, "try: dpkg-deb --contents FILE.deb, and "
				      "another copy if that fails, too");
	else if (failure->code == CONTROL_EXIT_BAD_CONTENT &&
		 strncmp(source, "tar:", 4) == 0)
		failure_hint(failure,
			     "try: tar -tvf %s, and another copy if "
			     "that fails, too",
			     source + 4);
	else if (failure->code == CONTROL_EXIT_BAD_CONTENT)
		failure_hint(failure, "try: another copy of it");
}

int cmd_package_create(struct cli *cli, size_t argc, const char *const *argv)
{
	CLEANUP(cmd_create_clear) struct cmd_create create = {.cli = cli};
	struct timespec start, end;
	json_t *json;

	if (package_ref_parse(argv[0], &create.ref) < 0 ||
	    create.ref.by_digest || !strchr(argv[0], ':'))
		return cmd_usage(cli, CREATE_USAGE,
				 "\"%s\" is no NAME:TAG for a new package",
				 argv[0]);
	/* Before minutes of work: is there a daemon? */
	if (cmd_get(cli, "/v1/status", NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	json_decref(json);
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (cmd_create_run(&create, argc - 1, argv + 1) < 0) {
		cmd_create_hint(&cli->failure, argv[1]);
		return cmd_fail(cli);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return cmd_create_done(&create,
			       (double)(end.tv_sec - start.tv_sec) +
				   (double)(end.tv_nsec - start.tv_nsec) / 1e9);
}

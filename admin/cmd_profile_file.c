/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_profile_file: a profile to a file, and from one. */
#include <stdio.h>
#include <unistd.h>

#include "admin/cmd_profile.h"
#include "admin/interrupt.h"
#include "admin/profile_file.h"
#include "admin/sink_daemon.h"
#include "depot/io.h"

/* --- export --------------------------------------------------------------- */

static int profile_export_shards(struct cli *cli, const char *tree_hex,
				 struct profile_file *out)
{
	uint32_t all = tree_shard_count(out->tree);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < all;) {
		uint32_t count = MIN(all - i, (uint32_t)CONTROL_GET_MAX);
		CLEANUP_FREE void *frames = NULL;
		size_t len, off = 0, shard_len;
		const void *shard;

		rc = cmd_shards(cli, tree_hex, i, count, &frames, &len);
		for (uint32_t k = 0; rc == 0 && k < count; k++)
			rc = cmd_frame(cli, frames, len, &off,
				       tree_shard_name(out->tree, i + k),
				       &shard, &shard_len);
		if (rc == 0)
			rc = profile_file_put(out, frames, off);
		if (rc == 0 && interrupt_seen())
			rc = failure_set(&cli->failure, -EINTR,
					 CONTROL_EXIT_INTERRUPTED,
					 "interrupted; nothing is written");
		i += count;
	}
	return rc;
}

/* The file is made beside its place, and renamed when it is whole. */
static int profile_export(struct cli *cli, const json_t *profile,
			  const char *path)
{
	CLEANUP(profile_file_clear)
	struct profile_file out = {.path = path, .failure = &cli->failure};
	CLEANUP_FREE char *temporary = NULL;
	int rc = cmd_package_tree(cli, profile, &out.tree);

	if (rc < 0)
		return rc;
	if (asprintf(&temporary, "%s.%d.tmp", path, (int)getpid()) < 0)
		return failure_errno(&cli->failure, -ENOMEM, "%s", path);
	out.file = fopen(temporary, "wxe");
	if (!out.file)
		return failure_errno(&cli->failure, -errno, "cannot write %s",
				     path);
	rc = profile_file_begin(&out, cmd_text(profile, "revision_json"),
				out.tree);
	if (rc == 0)
		rc =
		    profile_export_shards(cli, cmd_text(profile, "tree"), &out);
	if (rc == 0)
		rc = profile_file_end(&out);
	if (rc == 0 &&
	    (io_sync(fileno(out.file)) < 0 || rename(temporary, path) < 0))
		rc = failure_errno(&cli->failure, -errno, "cannot write %s",
				   path);
	fclose(out.file);
	if (rc < 0)
		unlink(temporary);
	return rc;
}

int cmd_profile_export(struct cli *cli, size_t argc UNUSED,
		       const char *const *argv)
{
	const char *path = cli->args.value[ARGS_COLUMNS];
	json_t *profile, *json;
	int rc;

	if (!path)
		return cmd_usage(cli, "vdrive profile export NAME -o FILE",
				 "-o says where to");
	if (profile_get(cli, argv[0], &profile) < 0)
		return cmd_fail(cli);
	rc = profile_export(cli, profile, path);
	json = json_pack("{s:s, s:s, s:O, s:s}", "schema", "profile-export/1",
			 "profile", argv[0], "digest",
			 json_object_get(profile, "revision"), "file", path);
	if (rc == 0 && cli->out.json)
		output_json(json);
	else if (rc == 0)
		output_line(&cli->out, "ok  profile %s is in %s", argv[0],
			    path);
	json_decref(json);
	json_decref(profile);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* --- import --------------------------------------------------------------- */

struct profile_import {
	struct cli *cli;
	struct profile_file in;
	struct import_sink sink;
	struct sink_daemon daemon;
	uint8_t *frames; /* owns */
	uint64_t added, bytes_added;
	bool created;
};

static int profile_import_shards(struct profile_import *p)
{
	uint32_t all = tree_shard_count(p->in.tree);
	uint64_t added, bytes_added;
	size_t used = 0, len;
	int rc = 0;

	p->frames = malloc(IMPORT_BATCH_BYTES + PROFILE_FRAME_MAX);
	if (!p->frames)
		return failure_errno(&p->cli->failure, -ENOMEM, "shards");
	for (uint32_t i = 0; rc == 0 && i < all; i++) {
		rc = profile_file_next(&p->in, i, p->frames + used, &len);
		used += rc == 0 ? len : 0;
		if (rc < 0 || (used < IMPORT_BATCH_BYTES && i + 1 < all))
			continue;
		rc = p->sink.put(p->sink.ctx, NULL, p->frames, used, &added,
				 &bytes_added, &p->cli->failure);
		if (rc == 0) {
			p->added += added;
			p->bytes_added += bytes_added;
		}
		used = 0;
	}
	return rc;
}

static int profile_import_commit(struct profile_import *p)
{
	size_t len;
	const void *bytes = tree_bytes(p->in.tree, &len);
	struct import_commit commit = {.name = p->in.doc.name,
				       .tag = CONTROL_PROFILE_TAG,
				       .revision_json = p->in.revision_json,
				       .tree_bytes = bytes,
				       .tree_len = len,
				       .tree = p->in.doc.tree};
	int rc =
	    p->sink.commit(p->sink.ctx, &commit, &p->created, &p->cli->failure);

	if (rc < 0 && p->cli->failure.code == CONTROL_EXIT_CONFLICT) {
		failure_set(&p->cli->failure, rc, CONTROL_EXIT_CONFLICT,
			    "profile %s exists with another content",
			    commit.name);
		failure_hint(&p->cli->failure, "try: vdrive profile remove %s",
			     commit.name);
	}
	return rc;
}

static int profile_import_run(struct profile_import *p)
{
	int rc = profile_file_open(&p->in);
	json_t *records;

	if (rc < 0)
		return rc;
	records =
	    p->in.doc.records ? json_loads(p->in.doc.records, 0, NULL) : NULL;
	if (!json_object_get(records, "profile"))
		rc = failure_set(
		    &p->cli->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
		    "%s: its revision is no profile's", p->in.path);
	json_decref(records);
	if (rc == 0 && !args_has(&p->cli->args, ARGS_DRY_RUN))
		rc = profile_import_shards(p);
	if (rc == 0 && !args_has(&p->cli->args, ARGS_DRY_RUN))
		rc = profile_import_commit(p);
	return rc;
}

static void profile_import_print(struct profile_import *p)
{
	bool dry_run = args_has(&p->cli->args, ARGS_DRY_RUN);
	struct digest revision =
	    digest_of(p->in.revision_json, strlen(p->in.revision_json));
	char hex[DIGEST_HEX_LEN + 1], size[OUTPUT_NUMBER_MAX];
	struct output *out = &p->cli->out;
	json_t *json;

	digest_to_hex(&revision, hex);
	output_size(size, p->in.doc.content_len, out->exact);
	if (!out->json) {
		output_line(out, "%s%s  sha256:%.*s   %ju files, %s%s",
			    dry_run ? "would import " : "", p->in.doc.name,
			    out->exact ? DIGEST_HEX_LEN : 12, hex,
			    (uintmax_t)p->in.doc.files, size,
			    dry_run || p->created ? "" : "  (here already)");
		return;
	}
	json = json_pack(
	    "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b}", "schema",
	    "profile-import/1", "profile", p->in.doc.name, "digest", hex,
	    "files", (json_int_t)p->in.doc.files, "bytes",
	    (json_int_t)p->in.doc.content_len, "shards_new",
	    (json_int_t)p->added, "bytes_added", (json_int_t)p->bytes_added,
	    "created", (int)p->created, "dry_run", (int)dry_run);
	output_json(json);
	json_decref(json);
}

int cmd_profile_import(struct cli *cli, size_t argc UNUSED,
		       const char *const *argv)
{
	struct profile_import p = {
	    .cli = cli, .in = {.path = argv[0], .failure = &cli->failure}};
	int rc;

	p.sink = sink_daemon(&p.daemon, cli->client);
	p.in.file = fopen(argv[0], "re");
	if (!p.in.file) {
		failure_errno(&cli->failure, -errno, "cannot open %s", argv[0]);
		return cmd_fail(cli);
	}
	rc = profile_import_run(&p);
	if (rc == 0)
		profile_import_print(&p);
	sink_daemon_end(&p.daemon);
	profile_file_clear(&p.in);
	fclose(p.in.file);
	free(p.frames);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd: the commands, one noun per cmd_<noun>.c, and what they share.
 *
 * A command returns its exit code.  It tells a failure by returning cmd_fail()
 * once cli->failure has been filled by whoever failed.
 */
#ifndef ADMIN_CMD_H
#define ADMIN_CMD_H

#include "admin/args.h"
#include "admin/client.h"
#include "admin/output.h"
#include "depot/base.h"
#include "depot/depot.h"

struct cli {
	struct args args;
	struct output out;
	struct failure failure;
	struct client *client; /* owns */
};

typedef int cmd_fn(struct cli *cli, size_t argc, const char *const *argv);

cmd_fn cmd_status;
cmd_fn cmd_package_create, cmd_package_list, cmd_package_show,
    cmd_package_files, cmd_package_verify, cmd_package_remove,
    cmd_package_capture, cmd_package_diff, cmd_package_tag;
cmd_fn cmd_package_entitle;
cmd_fn cmd_depot_push, cmd_depot_gc, cmd_depot_du, cmd_depot_verify;
cmd_fn cmd_depot_pull, cmd_depot_key;
cmd_fn cmd_package_plan, cmd_package_prefetch, cmd_package_resident;
cmd_fn cmd_upstream_add, cmd_upstream_set, cmd_upstream_test, cmd_upstream_list,
    cmd_upstream_remove;
cmd_fn cmd_package_pin, cmd_package_unpin;
cmd_fn cmd_cache_record, cmd_cache_replay;
cmd_fn cmd_tenant_create, cmd_tenant_set, cmd_tenant_remove, cmd_tenant_assign,
    cmd_tenant_unassign, cmd_tenant_conflicts, cmd_tenant_list;
cmd_fn cmd_tenant_history, cmd_tenant_rollback, cmd_tenant_upgrade;
cmd_fn cmd_guest_add, cmd_guest_set, cmd_guest_list;
cmd_fn cmd_guest_fstab, cmd_guest_cloud_init, cmd_guest_libvirt;
cmd_fn cmd_guest_pause, cmd_guest_resume, cmd_guest_remove;
cmd_fn cmd_guest_move, cmd_guest_receive;
cmd_fn cmd_delta_snapshot, cmd_delta_restore, cmd_delta_reset, cmd_delta_clone,
    cmd_delta_verify, cmd_delta_export, cmd_delta_import;
cmd_fn cmd_delta_diff, cmd_delta_du, cmd_delta_assign;
cmd_fn cmd_profile_create, cmd_profile_list, cmd_profile_show, cmd_profile_diff,
    cmd_profile_remove, cmd_profile_export, cmd_profile_import,
    cmd_profile_apply, cmd_profile_detach;
cmd_fn cmd_export_list;
/* What a file says shall be. */
cmd_fn cmd_apply, cmd_tenant_export;
cmd_fn cmd_bench_run, cmd_bench_compare, cmd_bench_plot, cmd_bench_table;

/* A depot at rest, elsewhere. */
cmd_fn cmd_depot_clean;

/* Show cli->failure; returns its code. */
int cmd_fail(struct cli *cli);
/* Wrong usage: shows the text and what to try; returns 2. */
int cmd_usage(struct cli *cli, const char *hint, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* GET path as JSON, with one query parameter (key NULL: none). */
MUST_CHECK int cmd_get(struct cli *cli, const char *path, const char *key,
		       const char *value, json_t **json);
/* POST without body. */
MUST_CHECK int cmd_post(struct cli *cli, const struct client_request *request,
			json_t **json);

/*
 * A whole listing: GET path, then --json as it came, or the table of rows
 * under `key`.  `empty` is said on stderr when there is nothing.  Returns the
 * exit code.
 */
int cmd_list(struct cli *cli, const char *path, const char *key,
	     const struct output_column *columns, size_t count,
	     const char *empty);

/* Text and number of a JSON object's member; "" and 0 when it is not there. */
const char *cmd_text(const json_t *object, const char *key);
uint64_t cmd_number(const json_t *object, const char *key);

/*
 * What is about to be lost is lost with the operator's leave only: -y, or yes
 * to the question on a terminal.  The text says what would go.  0: go on;
 * -ECANCELED: not (said in failure).
 */
MUST_CHECK int cmd_confirm(struct cli *cli, const char *fmt, ...)
    PRINTF_LIKE(2, 3);

/* --quota and --quota-files, 0: none; what is not given stays as it is.
 * -EINVAL: said in failure. */
MUST_CHECK int cmd_quota_read(struct cli *cli, uint64_t *bytes,
			      uint64_t *files);

/* --for ("90", "30s", "10m", "2h"; a day at most), or what `otherwise` says
 * when it is not given.  -EINVAL: said in failure. */
MUST_CHECK int cmd_for(struct cli *cli, const char *otherwise,
		       unsigned long *seconds);

/* --quota and --quota-files as query parameters, into query[0] and query[1];
 * value NULL: not given.  -EINVAL: said in failure. */
struct cmd_quota {
	char bytes[OUTPUT_NUMBER_MAX], files[OUTPUT_NUMBER_MAX];
};
MUST_CHECK int cmd_quota(struct cli *cli, struct cmd_quota *quota,
			 struct client_query *query);

/* --whiteouts as the daemon's "0" or "1", NULL where it was not given.
 * -EINVAL: another word (said). */
MUST_CHECK int cmd_whiteouts(struct cli *cli, const char **value);
/* --addr, --listen and --secret-path as query parameters, into query[0..2];
 * value NULL: not given.  And how the guest of the answer is mounted. */
void cmd_access_query(const struct cli *cli, struct client_query *query);
void cmd_access_print(struct cli *cli, const json_t *json);

/* Before packages are taken from a tenant: name what its guests have changed of
 * them, and with --with-changes (and leave) undo it.  -n: only name. */
MUST_CHECK int cmd_leftovers(struct cli *cli, const char *tenant,
			     const char *const *refs, size_t count);

/* Packages of a selection, objects, as "name:tag" texts for a table's cell. */
json_t *cmd_selection_cells(const json_t *packages);

/* The guest's row of /v1/guests, the caller's reference.  -ENOENT: there is
 * none (said, with another name that may have been meant). */
MUST_CHECK int cmd_guest_row(struct cli *cli, const char *name, json_t **row);

/* The request that ends a command: its answer as JSON, or the line. */
int cmd_done(struct cli *cli, const struct client_request *request,
	     const char *fmt, ...) PRINTF_LIKE(3, 4);

/* After a failure with exit code 4: "did you mean", by the rows of a listing,
 * each named by the member `name_key`. */
void cmd_suggest(struct cli *cli, const char *path, const char *rows_key,
		 const char *name_key, const char *text);

/* The same for a package reference: another name, or a tag that there is. */
void cmd_suggest_package(struct cli *cli, const char *ref);

/* Bring a package here (what: "plan", "all", NULL: plan if there is one) and
 * wait for it, with a progress bar; says how much came.  tenant: whose starts
 * make the plan; may be NULL. */
MUST_CHECK int cmd_prefetch_ref(struct cli *cli, const char *ref,
				const char *what, const char *tenant);

/* The package that `ref` names, as /v1/package answers.  Suggests names. */
MUST_CHECK int cmd_package(struct cli *cli, const char *ref, json_t **json);
/* Its tree, proved by its digest. */
MUST_CHECK int cmd_package_tree(struct cli *cli, const json_t *package,
				struct tree **tree);

/* Shards of a tree from the daemon, `count` from `first` on: frames. */
MUST_CHECK int cmd_shards(struct cli *cli, const char *tree_hex, uint32_t first,
			  uint32_t count, void **frames, size_t *len);
/* The frame at *off of frames; moves *off.  -EBADMSG: none, or it is not of
 * the shard `name`. */
MUST_CHECK int cmd_frame(struct cli *cli, const void *frames, size_t len,
			 size_t *off, const struct digest *name,
			 const void **shard, size_t *shard_len);

#endif

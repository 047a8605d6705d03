/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdrive: the operator's program.  This file is the table of commands, help and
 * main; commands are in cmd_<noun>.c.
 */
#include <locale.h>
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/interrupt.h"
#include "depot/log.h"

#define ANY    SIZE_MAX
#define QUOTAS (ARGS_BIT(ARGS_QUOTA) | ARGS_BIT(ARGS_QUOTA_FILES))
#define GUEST_OPTIONS                                                          \
	(ARGS_BIT(ARGS_ADDR) | ARGS_BIT(ARGS_LISTEN) |                         \
	 ARGS_BIT(ARGS_SECRET_PATH) | ARGS_BIT(ARGS_DEVICES) |                 \
	 ARGS_BIT(ARGS_ROOT_SQUASH) | ARGS_BIT(ARGS_WHITEOUTS) | QUOTAS)
#define ACCESS                                                                 \
	(ARGS_BIT(ARGS_CA) | ARGS_BIT(ARGS_PROXY) | ARGS_BIT(ARGS_ENDPOINT) |  \
	 ARGS_BIT(ARGS_REGION) | ARGS_BIT(ARGS_CREDENTIALS) |                  \
	 ARGS_BIT(ARGS_PRIORITY))

#define PLACE_OPTIONS                                                          \
	(ARGS_BIT(ARGS_KEY) | ARGS_BIT(ARGS_ADOPT) |                           \
	 ARGS_BIT(ARGS_CREDENTIALS) | ARGS_BIT(ARGS_ENDPOINT) |                \
	 ARGS_BIT(ARGS_REGION) | ARGS_BIT(ARGS_CA) | ARGS_BIT(ARGS_PROXY))
#define PUSH_OPTIONS                                                           \
	(PLACE_OPTIONS | ARGS_BIT(ARGS_EXPIRES) | ARGS_BIT(ARGS_ENTITLED) |    \
	 ARGS_BIT(ARGS_REPACK) | ARGS_BIT(ARGS_VERIFY))

static const struct command vdrive_commands[] = {
    {"status", NULL, "", "one screen: daemon, depot, upstreams", 0, 0, 0,
     cmd_status},
    {"package", "create",
     "NAME:TAG deb:PACKAGE[,...]|deb:FILE.deb...|dir:PATH|"
     "tar:FILE...|oci:DIR[:NAME]|CAPTURE|delta:TENANT/GUEST[@SNAPSHOT] "
     "[--private] [--salt-of REF]",
     "make a package", 2, ANY,
     ARGS_BIT(ARGS_PACKAGE) | ARGS_BIT(ARGS_INCLUDE) | ARGS_BIT(ARGS_KEEP) |
	 ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_DEVICES) |
	 ARGS_BIT(ARGS_KEEP_GOING) | ARGS_BIT(ARGS_EXCLUDE) |
	 ARGS_BIT(ARGS_PRIVATE) | ARGS_BIT(ARGS_SALT_OF) | QUOTAS,
     cmd_package_create},
    {"package", "capture", "--base DIR -o FILE -- INSTALLER [ARGUMENT...]",
     "run an installer over a base, keep what it changed", 1, ANY,
     ARGS_BIT(ARGS_BASE) | ARGS_BIT(ARGS_KEEP) | ARGS_BIT(ARGS_LEAVE) |
	 ARGS_BIT(ARGS_QUOTA) | ARGS_BIT(ARGS_PROCESSES) | ARGS_BIT(ARGS_FOR) |
	 ARGS_BIT(ARGS_NO_NETWORK) | ARGS_BIT(ARGS_ALLOW_FAILURE),
     cmd_package_capture},
    {"package", "list", "", "packages of this depot", 0, 0, 0,
     cmd_package_list},
    {"package", "show", "REF", "all about one package", 1, 1, 0,
     cmd_package_show},
    {"package", "pin", "REF", "none of its shards is ever evicted", 1, 1, 0,
     cmd_package_pin},
    {"package", "unpin", "REF", "its shards may be evicted again", 1, 1, 0,
     cmd_package_unpin},
    {"package", "files", "REF | CAPTURE --changed | delta:TENANT/GUEST",
     "what is in a package, in a capture, or what a guest has changed", 1, 1,
     ARGS_BIT(ARGS_CHANGED), cmd_package_files},
    {"package", "tag", "REF TAG", "let a tag of its name name it", 2, 2, 0,
     cmd_package_tag},
    {"package", "diff", "REF REF", "what the second has that the first has not",
     2, 2, 0, cmd_package_diff},
    {"package", "verify", "REF [--against DIR]",
     "prove every shard, compare with a directory", 1, 1,
     ARGS_BIT(ARGS_AGAINST), cmd_package_verify},
    {"package", "entitle", "NAME TENANT[,TENANT...]|all|none",
     "which tenants may be given it", 2, 2, 0, cmd_package_entitle},
    {"package", "remove", "NAME:TAG... [--force] [-y] [-n]",
     "take packages out of this depot", 1, ANY,
     ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_FORCE), cmd_package_remove},
    {"depot", "gc", "[-n] [--step N]",
     "collect what nothing points at any more", 0, 0,
     ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_STEP), cmd_depot_gc},
    {"depot", "du", "[--by package|tenant]",
     "what packages or tenants take up, and what is theirs alone", 0, 0,
     ARGS_BIT(ARGS_BY), cmd_depot_du},
    {"depot", "verify", "[--repair] [REF...]",
     "read again and rehash what is here", 0, ANY, ARGS_BIT(ARGS_REPAIR),
     cmd_depot_verify},
    {"package", "prefetch", "REF... [--plan|--all] [--timeout SEC]",
     "bring its plan, or all of it, here now", 1, ANY,
     ARGS_BIT(ARGS_PLAN) | ARGS_BIT(ARGS_ALL), cmd_package_prefetch},
    {"package", "resident", "[TENANT/GUEST|REF...]",
     "what is here: would it live through an outage?", 0, ANY, 0,
     cmd_package_resident},
    {"package", "plan",
     "list | show REF | publish REF | record REF --guest TENANT/GUEST | "
     "remove REF [--all]",
     "in which order packages are wanted", 1, 2,
     ARGS_BIT(ARGS_GUEST) | ARGS_BIT(ARGS_ALL), cmd_package_plan},
    {"depot", "push",
     "URL [NAME:TAG...] [--key FILE] [--expires DAYS] [--entitled T,...] "
     "[--verify] [--repack] [--adopt]",
     "publish packages (all when none is named)", 1, ANY, PUSH_OPTIONS,
     cmd_depot_push},
    {"depot", "clean", "URL [--key FILE] [-n] [--adopt]",
     "remove packs there that nothing has named for 7 days", 1, 1,
     PLACE_OPTIONS | ARGS_BIT(ARGS_DRY_RUN), cmd_depot_clean},
    {"depot", "pull", "NAME[:TAG] [--from UPSTREAM] [--all-shards]",
     "take a package over from an upstream, again when its tag has moved", 1, 1,
     ARGS_BIT(ARGS_FROM) | ARGS_BIT(ARGS_ALL_SHARDS), cmd_depot_pull},
    {"depot", "key", "new FILE | list | trust UPSTREAM KEY [--remove]",
     "keys: to sign what is pushed, and to trust for an upstream", 1, 3,
     ARGS_BIT(ARGS_REMOVE), cmd_depot_key},
    {"upstream", "add",
     "NAME URL --key KEY|--unsigned [--ca FILE] [--proxy URL] [--endpoint URL] "
     "[--region NAME] [--credentials FILE] [--priority N]",
     "take packages from another depot", 2, 2,
     ARGS_BIT(ARGS_KEY) | ARGS_BIT(ARGS_UNSIGNED) | ACCESS, cmd_upstream_add},
    {"upstream", "set",
     "NAME [--ca FILE] [--proxy URL] [--endpoint URL] [--region NAME] "
     "[--credentials FILE] [--priority N]",
     "change how it is reached; '' for none", 1, 1, ACCESS, cmd_upstream_set},
    {"upstream", "test", "NAME", "ask it now: latency, ranges, format", 1, 1, 0,
     cmd_upstream_test},
    {"upstream", "list", "", "upstreams and how they do", 0, 0, 0,
     cmd_upstream_list},
    {"upstream", "remove", "NAME", "forget an upstream", 1, 1, 0,
     cmd_upstream_remove},
    {"cache", "record", "-o FILE [--for 10m]",
     "write down which chunks are read, when, by which tenant", 0, 0,
     ARGS_BIT(ARGS_FOR), cmd_cache_record},
    {"cache", "replay", "FILE [--size SIZE,...] [--percent N,...]",
     "what caches of some sizes would have answered of it", 1, 1,
     ARGS_BIT(ARGS_SIZE) | ARGS_BIT(ARGS_PERCENT), cmd_cache_replay},
    {"tenant", "create", "NAME [--quota SIZE] [--quota-files N]",
     "a new customer", 1, 1, QUOTAS, cmd_tenant_create},
    {"tenant", "set", "NAME --quota SIZE|none --quota-files N|none",
     "what all its deltas together may hold", 1, 1, QUOTAS, cmd_tenant_set},
    {"tenant", "remove", "TENANT [-y] [-n]",
     "the customer is gone; refused while it has guests", 1, 1,
     ARGS_BIT(ARGS_DRY_RUN), cmd_tenant_remove},
    {"tenant", "assign",
     "TENANT REF... [-n] [--order|--prefer PACKAGE] [--only] [--conflicts "
     "fail|keep|package] [--prefetch [--all]]",
     "give a tenant packages, in front of those it has; the first wins", 2, ANY,
     ARGS_BIT(ARGS_ORDER) | ARGS_BIT(ARGS_PREFETCH) | ARGS_BIT(ARGS_ALL) |
	 ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_CONFLICTS) |
	 ARGS_BIT(ARGS_PREFER) | ARGS_BIT(ARGS_ONLY),
     cmd_tenant_assign},
    {"tenant", "unassign",
     "TENANT PACKAGE... [--with-changes [-y]] [-n] "
     "[--conflicts fail|keep|package]",
     "take packages from a tenant", 2, ANY,
     ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_CONFLICTS) |
	 ARGS_BIT(ARGS_WITH_CHANGES),
     cmd_tenant_unassign},
    {"tenant", "conflicts", "TENANT",
     "guests' changes of files that a switch has changed, too", 1, 1, 0,
     cmd_tenant_conflicts},
    {"tenant", "history", "TENANT", "its selections so far", 1, 1, 0,
     cmd_tenant_history},
    {"tenant", "rollback",
     "TENANT [--to N] [-n] [--conflicts fail|keep|package]",
     "back to an earlier selection, as a new generation", 1, 1,
     ARGS_BIT(ARGS_TO) | ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_CONFLICTS),
     cmd_tenant_rollback},
    {"tenant", "upgrade",
     "TENANT [PACKAGE...] [-n] [--conflicts fail|keep|package] [--prefetch]",
     "on to what the tags name now", 1, ANY,
     ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_CONFLICTS) |
	 ARGS_BIT(ARGS_PREFETCH),
     cmd_tenant_upgrade},
    {"tenant", "export", "TENANT", "it and its guests, as apply reads them", 1,
     1, 0, cmd_tenant_export},
    {"tenant", "list", "", "customers and their packages", 0, 0, 0,
     cmd_tenant_list},
    {"guest", "add",
     "TENANT/GUEST [--addr ADDRESS] [--listen ADDRESS:PORT] [--secret-path] "
     "[--devices] [--root-squash] [--quota SIZE] [--quota-files N] "
     "[--whiteouts on|off]",
     "a VM that may mount", 1, 1, GUEST_OPTIONS, cmd_guest_add},
    {"guest", "set",
     "TENANT/GUEST [--addr ADDRESS|any] [--listen ADDRESS:PORT|none] "
     "[--secret-path|--no-secret-path] [--quota SIZE|none] "
     "[--quota-files N|none] [--whiteouts on|off]",
     "how it is told apart, what its delta may hold, what it sees of deletions",
     1, 1,
     ARGS_BIT(ARGS_ADDR) | ARGS_BIT(ARGS_LISTEN) | ARGS_BIT(ARGS_SECRET_PATH) |
	 ARGS_BIT(ARGS_NO_SECRET_PATH) | ARGS_BIT(ARGS_WHITEOUTS) | QUOTAS,
     cmd_guest_set},
    {"guest", "list", "", "VMs and what they have changed", 0, 0, 0,
     cmd_guest_list},
    {"guest", "fstab", "TENANT/GUEST [--server ADDRESS] [--mountpoint PATH]",
     "the line for the guest's /etc/fstab", 1, 1,
     ARGS_BIT(ARGS_SERVER) | ARGS_BIT(ARGS_MOUNTPOINT), cmd_guest_fstab},
    {"guest", "cloud-init",
     "TENANT/GUEST [--server ADDRESS] [--mountpoint PATH] "
     "[--run-time FILE|installed]",
     "user data for cloud-init that mounts its drive", 1, 1,
     ARGS_BIT(ARGS_SERVER) | ARGS_BIT(ARGS_MOUNTPOINT) |
	 ARGS_BIT(ARGS_RUN_TIME),
     cmd_guest_cloud_init},
    {"guest", "libvirt", "TENANT/GUEST [--ephemeral]",
     "metadata of its domain, for libvirt and vdrive-hook", 1, 1,
     ARGS_BIT(ARGS_EPHEMERAL), cmd_guest_libvirt},
    {"guest", "pause", "TENANT/GUEST",
     "answer none of its calls; they wait in the VM", 1, 1, 0, cmd_guest_pause},
    {"guest", "resume", "TENANT/GUEST", "serve it again", 1, 1, 0,
     cmd_guest_resume},
    {"guest", "remove", "TENANT/GUEST [-y] [-n]",
     "the VM is gone, and its delta", 1, 1, ARGS_BIT(ARGS_DRY_RUN),
     cmd_guest_remove},
    {"guest", "move", "TENANT/GUEST --to HOST|unix:SOCKET [--ssh COMMAND] [-n]",
     "to another host's vdrived, mounted as it is", 1, 1,
     ARGS_BIT(ARGS_TO) | ARGS_BIT(ARGS_SSH) | ARGS_BIT(ARGS_DRY_RUN),
     cmd_guest_move},
    {"guest", "receive", "<STREAM", "the other end of a move", 0, 0, 0,
     cmd_guest_receive},
    {"delta", "snapshot", "TENANT/GUEST [NAME [--remove]]",
     "freeze a delta under a name; without one: list", 1, 2,
     ARGS_BIT(ARGS_REMOVE), cmd_delta_snapshot},
    {"delta", "restore", "TENANT/GUEST NAME [-y] [-n] | --superseded PATH",
     "back to a snapshot; or a change that gave way is back", 1, 2,
     ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_SUPERSEDED), cmd_delta_restore},
    {"delta", "reset", "TENANT/GUEST [--package PACKAGE] [-y] [-n]",
     "back to the packages as they are, or one of them", 1, 1,
     ARGS_BIT(ARGS_PACKAGE) | ARGS_BIT(ARGS_DRY_RUN), cmd_delta_reset},
    {"delta", "clone",
     "TENANT/GUEST[@SNAPSHOT] TENANT/NEW [OPTION of guest add]",
     "a new VM that begins with that delta", 2, 2, GUEST_OPTIONS,
     cmd_delta_clone},
    {"delta", "diff", "TENANT/GUEST [--package PACKAGE]",
     "what a guest has changed, by software", 1, 1, ARGS_BIT(ARGS_PACKAGE),
     cmd_delta_diff},
    {"delta", "assign", "TENANT/GUEST [PATH PACKAGE | PATH --remove]",
     "say whose a path is, with all below it; or list what was said", 1, 3,
     ARGS_BIT(ARGS_REMOVE), cmd_delta_assign},
    {"delta", "du", "TENANT/GUEST", "what a delta holds, by directory", 1, 1, 0,
     cmd_delta_du},
    {"delta", "verify", "TENANT/GUEST", "prove that a delta is whole", 1, 1, 0,
     cmd_delta_verify},
    {"delta", "export", "TENANT/GUEST[@SNAPSHOT] [-o FILE]",
     "a delta as one stream, to stdout or FILE", 1, 1, 0, cmd_delta_export},
    {"delta", "import", "TENANT/GUEST FILE|- [-y] [-n]",
     "take the delta of a stream in place of its own", 2, 2,
     ARGS_BIT(ARGS_DRY_RUN), cmd_delta_import},
    {"profile", "create",
     "NAME --from TENANT/GUEST[@SNAPSHOT] [--package PACKAGE] "
     "[--include PATTERN,...] [--exclude PATTERN,...] [-n]",
     "keep what a guest has changed, to be applied elsewhere", 1, 1,
     ARGS_BIT(ARGS_FROM) | ARGS_BIT(ARGS_PACKAGE) | ARGS_BIT(ARGS_INCLUDE) |
	 ARGS_BIT(ARGS_EXCLUDE) | ARGS_BIT(ARGS_DRY_RUN),
     cmd_profile_create},
    {"profile", "list", "", "profiles of this depot, and who has them", 0, 0, 0,
     cmd_profile_list},
    {"profile", "show", "NAME", "all about one profile", 1, 1, 0,
     cmd_profile_show},
    {"profile", "diff", "NAME [NAME]",
     "what it changes, or what the second has that the first has not", 1, 2, 0,
     cmd_profile_diff},
    {"profile", "apply",
     "NAME TENANT/GUEST... [--conflicts fail|keep|profile] [-n]",
     "give guests a profile, in front of their packages", 2, ANY,
     ARGS_BIT(ARGS_CONFLICTS) | ARGS_BIT(ARGS_DRY_RUN), cmd_profile_apply},
    {"profile", "detach",
     "NAME TENANT/GUEST... [--conflicts keep|profile] [-n]",
     "take it away from them", 2, ANY,
     ARGS_BIT(ARGS_CONFLICTS) | ARGS_BIT(ARGS_DRY_RUN), cmd_profile_detach},
    {"profile", "export", "NAME -o FILE", "to one file, for another site", 1, 1,
     0, cmd_profile_export},
    {"profile", "import", "FILE [-n]", "from such a file, proved", 1, 1,
     ARGS_BIT(ARGS_DRY_RUN), cmd_profile_import},
    {"profile", "remove", "NAME [-y] [-n]",
     "take a profile that nobody has out of this depot", 1, 1,
     ARGS_BIT(ARGS_DRY_RUN), cmd_profile_remove},
    {"export", "list", "", "what is offered over NFS", 0, 0, 0,
     cmd_export_list},
    {"apply", NULL, "-f FILE|- [-n] [-y] [--prune]",
     "make tenants, guests and upstreams what a file says", 0, 0,
     ARGS_BIT(ARGS_FILE) | ARGS_BIT(ARGS_PRUNE) | ARGS_BIT(ARGS_DRY_RUN),
     cmd_apply},
    {"bench", "run",
     "-o FILE [--app NAME,...] [--variants NAME,...] [--states STATE,...] "
     "[--link 100M] [--runs N] [--seed N] [--cache DIR] "
     "[--also storage,run-time] [-n]",
     "starts in real guests, from images and from the drive", 0, 0,
     ARGS_BIT(ARGS_APP) | ARGS_BIT(ARGS_VARIANTS) | ARGS_BIT(ARGS_STATES) |
	 ARGS_BIT(ARGS_LINK) | ARGS_BIT(ARGS_RUNS) | ARGS_BIT(ARGS_SEED) |
	 ARGS_BIT(ARGS_CACHE) | ARGS_BIT(ARGS_ALSO) | ARGS_BIT(ARGS_DRY_RUN),
     cmd_bench_run},
    {"bench", "compare", "OLD NEW [--fail-above 10%]",
     "medians of two runs, and whether samples tell them apart", 2, 2,
     ARGS_BIT(ARGS_FAIL_ABOVE), cmd_bench_compare},
    {"bench", "table", "FILE", "results as a table in Markdown", 1, 1, 0,
     cmd_bench_table},
    {"bench", "plot", "FILE -o SVG", "results as bars of phases", 1, 1, 0,
     cmd_bench_plot},
};

static const char vdrive_exit_codes[] =
    "0    done; also when there was nothing to do\n"
    "1    failed; or verify found something\n"
    "2    wrong usage or configuration\n"
    "3    done in part: some files could not be read; they are listed\n"
    "4    no such package, tenant, guest, snapshot, upstream\n"
    "5    exists already in another form; in use; conflict\n"
    "6    not permitted\n"
    "10   the daemon is not running or does not answer in --timeout\n"
    "11   the depot is locked by another process\n"
    "12   an upstream or mirror cannot be reached\n"
    "13   content does not match its hash or signature, or is damaged\n"
    "14   out of space or over quota\n"
    "130  interrupted; nothing half-done stays\n"
    "Take codes that are not in this list as failure.\n";

/* --- help ---------------------------------------------------------------- */

static void vdrive_help_command(const struct command *command)
{
	printf("usage: vdrive %s%s%s%s%s\n\n  %s\n\noptions:\n", command->noun,
	       command->verb ? " " : "", command->verb ? command->verb : "",
	       *command->synopsis ? " " : "", command->synopsis,
	       command->summary);
	args_print_options(command->options | args_global_options());
}

/* false: no command has that noun. */
static bool vdrive_help_noun(const char *noun)
{
	bool found = false;
	char text[96];

	for (size_t i = 0; i < ARRAY_LEN(vdrive_commands); i++) {
		const struct command *command = &vdrive_commands[i];

		if (noun && strcmp(noun, command->noun) != 0)
			continue;
		found = true;
		snprintf(text, sizeof(text), "vdrive %s%s%s", command->noun,
			 command->verb ? " " : "",
			 command->verb ? command->verb : "");
		if (noun && *command->synopsis)
			printf("  %s %s\n        %s\n", text, command->synopsis,
			       command->summary);
		else
			printf("  %-24s %s\n", text, command->summary);
	}
	return found;
}

static void vdrive_help_all(void)
{
	printf("usage: vdrive NOUN [VERB] [ARGUMENT...] [OPTION...]\n\n");
	vdrive_help_noun(NULL);
	printf("\n  vdrive help NOUN         its arguments\n"
	       "  vdrive help exit-codes   what the exit status says\n"
	       "\noptions, anywhere:\n");
	args_print_options(args_global_options());
	printf("\nREF is NAME, NAME:TAG or NAME@sha256:HEX.  The daemon is "
	       "found at --socket,\n$VDRIVE_SOCKET, or "
	       "/run/vdrive/vdrive.sock (as a user: $XDG_RUNTIME_DIR/\n"
	       "vdrive.sock or ~/.local/state/vdrive/vdrive.sock).\n");
}

static int vdrive_help(struct cli *cli)
{
	const struct args *args = &cli->args;
	const char *topic = args->count > 1 ? args->positional[1] : NULL;

	if (!topic)
		vdrive_help_all();
	else if (strcmp(topic, "exit-codes") == 0)
		fputs(vdrive_exit_codes, stdout);
	else if (!vdrive_help_noun(topic))
		return cmd_usage(cli, "vdrive help",
				 "there is no help on \"%s\"", topic);
	return CONTROL_EXIT_OK;
}

/* --- main ------------------------------------------------------------------
 */

static int vdrive_progress(struct cli *cli)
{
	static const char *const names[] = {"auto", "bar", "plain", "json",
					    "none"};
	const char *text = cli->args.value[ARGS_PROGRESS];

	for (size_t i = 0; text && i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], text) != 0)
			continue;
		cli->out.progress = (enum output_progress)i;
		return 0;
	}
	if (!text)
		return 0;
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--progress: \"%s\" is not known", text);
	failure_hint(&cli->failure, "try: auto, bar, plain, json or none");
	return -EINVAL;
}

/* Options that hold for all commands. */
static int vdrive_setup(struct cli *cli)
{
	const struct args *args = &cli->args;
	const char *text = args->value[ARGS_TIMEOUT];
	unsigned long timeout = 0;
	int rc;

	rc = vdrive_progress(cli);
	if (rc < 0)
		return rc;
	if (text && (args_number(text, 86400, &timeout) < 0 || timeout == 0)) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "--timeout: \"%s\" is no number of seconds", text);
		failure_hint(&cli->failure, "try: --timeout 60");
		return -EINVAL;
	}
	output_setup(&cli->out);
	cli->client =
	    client_new(args->value[ARGS_SOCKET], (unsigned int)timeout);
	if (!cli->client)
		return failure_errno(&cli->failure, -ENOMEM, "vdrive");
	return 0;
}

static int vdrive_run(struct cli *cli)
{
	const struct args *args = &cli->args;
	const struct command *command;
	size_t skip;

	command =
	    args_command(args, vdrive_commands, ARRAY_LEN(vdrive_commands),
			 &skip, &cli->failure);
	if (!command)
		return cmd_fail(cli);
	if (args_has(args, ARGS_HELP)) {
		vdrive_help_command(command);
		return CONTROL_EXIT_OK;
	}
	if (vdrive_setup(cli) < 0)
		return cmd_fail(cli);
	return command->run(cli, args->count - skip, args->positional + skip);
}

static int vdrive_dispatch(struct cli *cli)
{
	const struct args *args = &cli->args;

	if (args_has(args, ARGS_VERSION)) {
		printf("vdrive %s\n", VDRIVE_VERSION);
		return CONTROL_EXIT_OK;
	}
	if (args->count == 0 && args_has(args, ARGS_HELP)) {
		vdrive_help_all();
		return CONTROL_EXIT_OK;
	}
	if (args->count == 0)
		return cmd_usage(cli, "vdrive help", "what shall be done?");
	if (strcmp(args->positional[0], "help") == 0)
		return vdrive_help(cli);
	/* "vdrive package --help" */
	if (args->count == 1 && args_has(args, ARGS_HELP) &&
	    vdrive_help_noun(args->positional[0]))
		return CONTROL_EXIT_OK;
	return vdrive_run(cli);
}

int main(int argc, char **argv)
{
	struct cli cli = {.client = NULL};
	int code;

	/* Names in archives are bytes in UTF-8, whatever the operator speaks.
	 */
	setlocale(LC_CTYPE, "C.UTF-8");
	/* Failures are told once, with what to try, by output_failure(). */
	log_setup("vdrive", LOG_LEVEL_NONE);
	interrupt_setup();
	code = args_parse(&cli.args, argc, argv, &cli.failure);
	cli.out.json = args_has(&cli.args, ARGS_JSON);
	if (code < 0) {
		code = cmd_fail(&cli);
	} else {
		cli.out.no_header = args_has(&cli.args, ARGS_NO_HEADER);
		cli.out.exact = args_has(&cli.args, ARGS_EXACT);
		cli.out.quiet = args_has(&cli.args, ARGS_QUIET);
		cli.out.verbose = args_has(&cli.args, ARGS_VERBOSE);
		cli.out.columns = cli.args.value[ARGS_COLUMNS];
		code = vdrive_dispatch(&cli);
	}
	client_free(cli.client);
	failure_clear(&cli.failure);
	args_clear(&cli.args);
	/* A result that could not be written is no result. */
	if (fflush(stdout) != 0 || ferror(stdout))
		code = code ? code : CONTROL_EXIT_FAILED;
	return code;
}

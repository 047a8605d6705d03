/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_capture: an installer is run over a base, and what it changed is written
 * to a file, which `package files FILE --changed` lists and `package create`
 * makes a package of.  Needs no daemon.
 */
#include "admin/cmd_capture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <time.h>

#include "admin/import_capture.h"
#include "admin/import_delta.h"
#include "admin/sandbox.h"

#define CAPTURE_USAGE                                                          \
	"vdrive package capture --base DIR -o FILE -- INSTALLER [ARGUMENT...]"

enum {
	CAPTURE_FREE_MIN = 256 << 20, /* bytes of the disk left alone */
	CAPTURE_PATTERNS_MAX = 256,
	CAPTURE_NOISE_TOLD = 5,
	CAPTURE_PROCESSES_MAX = 1024,      /* unless told */
	CAPTURE_PROCESSES_LIMIT = 1000000, /* that may be told */
};

struct cmd_capture {
	struct cli *cli;
	struct capture_options options;
	struct capture capture;
	struct sandbox_result ran;
	char *base;  /* owns; no link, no dots */
	char *work;  /* owns; removed at the end */
	char *upper; /* owns */
	struct cmd_patterns keep, leave;
};

/* --- patterns ------------------------------------------------------------ */

int cmd_patterns(struct cli *cli, enum args_option option,
		 struct cmd_patterns *patterns)
{
	const char *text = cli->args.value[option];
	char *save = NULL;
	size_t count = 0;

	if (!args_has(&cli->args, option))
		return 0;
	patterns->text = strdup(text);
	patterns->list = calloc(CAPTURE_PATTERNS_MAX + 1, sizeof(char *));
	if (!patterns->text || !patterns->list)
		return failure_errno(&cli->failure, -ENOMEM, "patterns");
	for (char *p = strtok_r(patterns->text, ",", &save); p;
	     p = strtok_r(NULL, ",", &save)) {
		if (count == CAPTURE_PATTERNS_MAX)
			return failure_set(
			    &cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "more than %d patterns", CAPTURE_PATTERNS_MAX);
		patterns->list[count++] = p + strspn(p, "/");
	}
	return 0;
}

void cmd_patterns_clear(struct cmd_patterns *patterns)
{
	free(patterns->text);
	free(patterns->list);
}

/* --- the work directory -------------------------------------------------- */

static int cmd_capture_unlink(const char *path, const struct stat *st UNUSED,
			      int type UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void cmd_capture_clear(struct cmd_capture *c)
{
	if (c->work && nftw(c->work, cmd_capture_unlink, 32,
			    FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0)
		output_warn(&c->cli->out, "%s could not be removed: %s",
			    c->work, strerror(errno));
	capture_clear(&c->capture);
	cmd_patterns_clear(&c->keep);
	cmd_patterns_clear(&c->leave);
	free(c->base);
	free(c->work);
	free(c->upper);
}

static int cmd_capture_prepare(struct cmd_capture *c)
{
	const char *tmp = getenv("TMPDIR");
	struct failure *failure = &c->cli->failure;
	const char *base = c->cli->args.value[ARGS_BASE];
	int rc;

	c->base = realpath(base, NULL);
	if (!c->base)
		return failure_errno(failure, -errno, "base %s", base);
	if (asprintf(&c->work, "%s/vdrive-capture.XXXXXX",
		     tmp && *tmp ? tmp : "/var/tmp") < 0)
		return failure_errno(failure, -ENOMEM, "capture");
	if (!mkdtemp(c->work)) {
		rc = failure_errno(failure, -errno, "cannot make %s", c->work);
		free(STEAL(c->work));
		return rc;
	}
	if (asprintf(&c->upper, "%s/upper", c->work) < 0)
		return failure_errno(failure, -ENOMEM, "capture");
	rc = cmd_patterns(c->cli, ARGS_KEEP, &c->keep);
	if (rc == 0)
		rc = cmd_patterns(c->cli, ARGS_LEAVE, &c->leave);
	c->options.base = c->base;
	c->options.upper = c->upper;
	c->options.keep = c->keep.list;
	c->options.leave = c->leave.list;
	return rc;
}

/* --- the run ------------------------------------------------------------- */

static int cmd_capture_limits(struct cli *cli, struct sandbox *sandbox)
{
	const char *text = cli->args.value[ARGS_PROCESSES];
	unsigned long processes = CAPTURE_PROCESSES_MAX, seconds = 0;
	uint64_t files = 0; /* no option of this command */
	int rc = cmd_quota_read(cli, &sandbox->bytes_max, &files);

	if (rc == 0 && args_has(&cli->args, ARGS_FOR))
		rc = cmd_for(cli, "", &seconds);
	if (rc < 0)
		return rc;
	if (text && strcmp(text, "none") == 0)
		processes = 0;
	else if (text &&
		 (args_number(text, CAPTURE_PROCESSES_LIMIT, &processes) < 0 ||
		  processes == 0))
		return failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
				   "--processes: \"%s\" is no number of 1 to "
				   "%d, nor none",
				   text, CAPTURE_PROCESSES_LIMIT);
	sandbox->processes_max = (unsigned int)processes;
	sandbox->seconds_max = (unsigned int)seconds;
	return 0;
}

static int cmd_capture_run_installer(struct cmd_capture *c, size_t argc,
				     const char *const *argv)
{
	struct sandbox sandbox = {
	    .base = c->base,
	    .work = c->work,
	    .network = !args_has(&c->cli->args, ARGS_NO_NETWORK),
	    .free_min = CAPTURE_FREE_MIN,
	};
	const char **copy;
	int rc;

	rc = cmd_capture_limits(c->cli, &sandbox);
	if (rc < 0)
		return rc;
	copy = calloc(argc + 1, sizeof(*copy));
	if (!copy)
		return failure_errno(&c->cli->failure, -ENOMEM, "capture");
	memcpy(copy, argv, argc * sizeof(*copy));
	clock_gettime(CLOCK_REALTIME, &c->options.started);
	/* Files get the time of the last tick, and some programs set times in
	 * whole seconds. */
	c->options.started.tv_nsec = 0;
	rc = sandbox_run(&sandbox, copy, &c->ran, &c->cli->failure);
	free(copy);
	if (rc < 0 || c->ran.status == 0 ||
	    args_has(&c->cli->args, ARGS_ALLOW_FAILURE))
		return rc;
	failure_set(&c->cli->failure, -ECANCELED, CONTROL_EXIT_FAILED,
		    "%s ended with status %d; nothing has been captured",
		    argv[0], c->ran.status);
	failure_hint(&c->cli->failure,
		     "try: --allow-failure, to capture what it did all the "
		     "same");
	return -ECANCELED;
}

/* An argument may be any bytes. */
static json_t *cmd_capture_text(const char *text)
{
	CLEANUP_FREE char *copy = strdup(text);

	return copy ? output_json_name(copy) : NULL;
}

static json_t *cmd_capture_head(struct cmd_capture *c, size_t argc,
				const char *const *argv)
{
	json_t *command = json_array(), *head;

	for (size_t i = 0; i < argc; i++)
		json_array_append_new(command, cmd_capture_text(argv[i]));
	head = json_pack("{s:o, s:i, s:O}", "command", command, "status",
			 c->ran.status, "records", c->capture.records);
	if (head && *c->capture.base_id)
		json_object_set_new(head, "base",
				    json_string(c->capture.base_id));
	return head;
}

/* --- what came of it ----------------------------------------------------- */

struct cmd_capture_counts {
	uint64_t added, modified, deleted, noise;
};

static struct cmd_capture_counts cmd_capture_count(const struct cmd_capture *c)
{
	struct cmd_capture_counts n = {0};

	for (size_t i = 0; i < c->capture.count; i++) {
		const struct capture_row *row = &c->capture.rows[i];

		if (row->noise)
			n.noise++;
		else if (row->letter == CAPTURE_ADDED)
			n.added++;
		else if (row->letter == CAPTURE_DELETED)
			n.deleted++;
		else if (row->letter != CAPTURE_WAY)
			n.modified++;
	}
	return n;
}

static void cmd_capture_print_noise(struct cmd_capture *c, uint64_t noise)
{
	struct output *out = &c->cli->out;
	uint64_t told = 0;

	for (size_t i = 0; i < c->capture.count; i++) {
		const struct capture_row *row = &c->capture.rows[i];

		if (!row->noise)
			continue;
		if (told == CAPTURE_NOISE_TOLD && !out->verbose) {
			output_line(out,
				    "  and %ju more; all of them: vdrive "
				    "package files %s --changed",
				    (uintmax_t)(noise - told),
				    c->cli->args.value[ARGS_COLUMNS]);
			return;
		}
		output_line(out, "  %-40s by rule %s", row->path, row->noise);
		told++;
	}
}

static void cmd_capture_print(struct cmd_capture *c)
{
	struct cmd_capture_counts n = cmd_capture_count(c);
	struct output *out = &c->cli->out;
	const char *key;
	json_t *value;

	output_line(out,
		    "captured  %ju created, %ju changed, %ju deleted, exit "
		    "status %d",
		    (uintmax_t)n.added, (uintmax_t)n.modified,
		    (uintmax_t)n.deleted, c->ran.status);
	if (n.noise > 0) {
		output_line(out, "left out  %ju files (--keep PATTERN,...)",
			    (uintmax_t)n.noise);
		cmd_capture_print_noise(c, n.noise);
	}
	for (unsigned int i = 0; i < c->ran.left_count; i++)
		output_line(out,
			    "ended     %s, which the installer left "
			    "running",
			    c->ran.left[i]);
	json_object_foreach(c->capture.records, key, value)
	    output_line(out, "noted     %zu %s", json_array_size(value), key);
	output_line(out, "look at   vdrive package files %s --changed",
		    c->cli->args.value[ARGS_COLUMNS]);
}

static void cmd_capture_print_json(struct cmd_capture *c)
{
	struct cmd_capture_counts n = cmd_capture_count(c);
	json_t *left = json_array(), *json;

	for (unsigned int i = 0; i < c->ran.left_count; i++)
		json_array_append_new(left, json_string(c->ran.left[i]));
	json = json_pack(
	    "{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:o, "
	    "s:O, s:s}",
	    "type", "summary", "schema", "package-capture/1", "file",
	    c->cli->args.value[ARGS_COLUMNS], "status", c->ran.status,
	    "created", (json_int_t)n.added, "changed", (json_int_t)n.modified,
	    "deleted", (json_int_t)n.deleted, "left_out", (json_int_t)n.noise,
	    "unchanged", (json_int_t)c->capture.unchanged, "ended", left,
	    "records", c->capture.records, "base", c->capture.base_id);
	if (json)
		output_json(json);
	json_decref(json);
}

static int cmd_capture_all(struct cmd_capture *c, size_t argc,
			   const char *const *argv)
{
	json_t *head;
	int rc;

	rc = cmd_capture_prepare(c);
	if (rc == 0)
		rc = cmd_capture_run_installer(c, argc, argv);
	if (rc == 0)
		rc =
		    capture_compare(&c->options, &c->capture, &c->cli->failure);
	if (rc < 0)
		return rc;
	head = cmd_capture_head(c, argc, argv);
	if (!head)
		return failure_errno(&c->cli->failure, -ENOMEM, "capture");
	rc = capture_write(c->cli->args.value[ARGS_COLUMNS], &c->options,
			   &c->capture, head, &c->cli->out, &c->cli->failure);
	json_decref(head);
	return rc;
}

int cmd_package_capture(struct cli *cli, size_t argc, const char *const *argv)
{
	CLEANUP(cmd_capture_clear) struct cmd_capture c = {.cli = cli};

	if (!args_has(&cli->args, ARGS_BASE) ||
	    !args_has(&cli->args, ARGS_COLUMNS))
		return cmd_usage(cli, CAPTURE_USAGE,
				 "--base and -o say over what, and where to");
	if (cmd_capture_all(&c, argc, argv) < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		cmd_capture_print_json(&c);
	else
		cmd_capture_print(&c);
	return CONTROL_EXIT_OK;
}

/* --- the list of a capture, or of what a guest has changed --------------- */

static int cmd_capture_show(struct cli *cli, json_t *head)
{
	const json_t *row;
	size_t i;

	json_object_set_new(head, "schema", json_string("package-changed/1"));
	if (cli->out.json) {
		output_json(head);
		json_decref(head);
		return CONTROL_EXIT_OK;
	}
	json_array_foreach(json_object_get(head, "changes"), i, row)
	{
		const char *noise = cmd_text(row, "noise");

		output_line(&cli->out, "%s%s%s%s%s", cmd_text(row, "change"),
			    cli->out.no_header ? "\t" : " ",
			    cmd_text(row, "path"),
			    *noise ? "   left out by " : "", noise);
	}
	json_decref(head);
	return CONTROL_EXIT_OK;
}

int cmd_capture_changed(struct cli *cli, const char *path)
{
	json_t *head;

	if (capture_read_head(path, &head, &cli->failure) < 0)
		return cmd_fail(cli);
	return cmd_capture_show(cli, head);
}

int cmd_capture_delta(struct cli *cli, const char *name)
{
	static const struct delta_pick all;
	struct delta_result result = {0};
	json_t *head = json_object();
	FILE *file;
	int rc = delta_fetch(cli, name, &file);

	if (rc == 0) {
		rc = import_delta(NULL, file, &all, &result, &cli->failure);
		fclose(file);
	}
	if (rc == 0)
		delta_print_json(head, &result);
	delta_result_clear(&result);
	if (rc == 0)
		return cmd_capture_show(cli, head);
	json_decref(head);
	return cmd_fail(cli);
}

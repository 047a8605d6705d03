/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_bench: run the benchmark against virtual appliances: which samples, in
 * which order; admin/bench/bench.sh takes them one by one.  Needs no daemon.
 */
#include "admin/cmd_bench.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "admin/bench_file.h"
#include "admin/interrupt.h"
#include "depot/io.h"

enum {
	BENCH_CELLS_MAX = 256,
	BENCH_RUNS_MAX = 1000,
	BENCH_WORD_MAX = 32,
	BENCH_LINE_MAX = 8192,
};

/* What is measured: one program in one variant. */
struct bench_cell {
	char app[BENCH_WORD_MAX];
	char script[BENCH_WORD_MAX];  /* the variant's name in bench.sh */
	char variant[BENCH_WORD_MAX]; /* the same in results */
	json_t *samples;              /* owns */
};

struct bench_run {
	struct cli *cli;
	struct bench_cell cells[BENCH_CELLS_MAX];
	size_t cell_count;
	unsigned long runs, seed, link_mbit;
	size_t *order; /* owns: cells, each `runs` times */
	size_t order_count, done;
	json_t *storage; /* owns: rows */
	json_t *failed;  /* owns: commands, one a sample that failed */
	char scripts[PATH_MAX], programs[PATH_MAX], plan[PATH_MAX];
	const char *cache, *path;
	bool also_storage, also_run_time;
};

/* --- what to run --------------------------------------------------------- */

/* state NULL: the variant has none. */
static int bench_add_cell(struct bench_run *run, const char *app,
			  const char *variant, const char *state)
{
	struct bench_cell *cell = &run->cells[run->cell_count];
	bool is_drive = strcmp(variant, "drive") == 0;

	if (run->cell_count == BENCH_CELLS_MAX)
		return failure_set(&run->cli->failure, -EINVAL,
				   CONTROL_EXIT_USAGE, "more than %d cells",
				   BENCH_CELLS_MAX);
	snprintf(cell->app, sizeof(cell->app), "%s", app);
	snprintf(cell->script, sizeof(cell->script), "%s%s%s",
		 is_drive ? "" : variant, state && !is_drive ? "-" : "",
		 state ? state : "");
	snprintf(cell->variant, sizeof(cell->variant), "%s%s%s", variant,
		 state ? "/" : "", state ? state : "");
	cell->samples = json_array();
	run->cell_count++;
	return cell->samples ? 0 : -ENOMEM;
}

/* The words of a list, each one of `known` (spaces around and between). */
static int bench_words(struct bench_run *run, const char *option, char *list,
		       const char *known, const char **words, size_t *count)
{
	char pattern[BENCH_WORD_MAX + 3];
	char *save = NULL;

	*count = 0;
	for (char *word = strtok_r(list, ",", &save); word;
	     word = strtok_r(NULL, ",", &save)) {
		snprintf(pattern, sizeof(pattern), " %.*s ", BENCH_WORD_MAX - 1,
			 word);
		if (*count == BENCH_WORD_MAX || strlen(word) < 2 ||
		    strchr(word, ' ') || !strstr(known, pattern)) {
			failure_set(&run->cli->failure, -EINVAL,
				    CONTROL_EXIT_USAGE,
				    "%s: \"%s\" is not known", option, word);
			failure_hint(&run->cli->failure, "try some of:%s",
				     known);
			return -EINVAL;
		}
		words[(*count)++] = word;
	}
	return 0;
}

static const char *bench_value(struct cli *cli, enum args_option option,
			       const char *otherwise)
{
	const char *text = cli->args.value[option];

	return text && *text ? text : otherwise;
}

static int bench_set_cells(struct bench_run *run)
{
	struct cli *cli = run->cli;
	CLEANUP_FREE char *apps =
	    strdup(bench_value(cli, ARGS_APP, "nginx,postgresql,openjdk"));
	CLEANUP_FREE char *variants = strdup(bench_value(
	    cli, ARGS_VARIANTS, "copy,copyz,stream,streamz,local,drive,root,live"));
	CLEANUP_FREE char *states =
	    strdup(bench_value(cli, ARGS_STATES, "cold,plan,warm"));
	const char *app[BENCH_WORD_MAX], *variant[BENCH_WORD_MAX];
	const char *state[BENCH_WORD_MAX];
	size_t apps_count, variants_count, states_count;
	int rc = apps && variants && states ? 0 : -ENOMEM;

	if (rc == 0)
		rc = bench_words(run, "--app", apps, BENCH_APPS, app,
				 &apps_count);
	if (rc == 0)
		rc = bench_words(run, "--variants", variants, BENCH_VARIANTS,
				 variant, &variants_count);
	if (rc == 0)
		rc = bench_words(run, "--states", states, BENCH_STATES, state,
				 &states_count);
	for (size_t a = 0; rc == 0 && a < apps_count; a++) {
		for (size_t v = 0; rc == 0 && v < variants_count; v++) {
			if (!strstr(" drive run root live ", variant[v])) {
				rc = bench_add_cell(run, app[a], variant[v],
						    NULL);
				continue;
			}
			for (size_t s = 0; rc == 0 && s < states_count; s++)
				rc = bench_add_cell(run, app[a], variant[v],
						    state[s]);
		}
	}
	return rc;
}

static int bench_set_also(struct bench_run *run)
{
	CLEANUP_FREE char *also = strdup(bench_value(run->cli, ARGS_ALSO, ""));
	const char *words[BENCH_WORD_MAX];
	size_t count;
	int rc = also ? 0 : -ENOMEM;

	if (rc == 0)
		rc = bench_words(run, "--also", also, " storage run-time ",
				 words, &count);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (strcmp(words[i], "storage") == 0)
			run->also_storage = true;
		else
			run->also_run_time = true;
	}
	return rc;
}

static int bench_number(struct bench_run *run, enum args_option option,
			const char *name, unsigned long otherwise,
			unsigned long max, unsigned long *value)
{
	const char *text = bench_value(run->cli, option, NULL);

	*value = otherwise;
	if (!text)
		return 0;
	if (args_number(text, max, value) == 0 && *value > 0)
		return 0;
	return failure_set(&run->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			   "%s: \"%s\" is no number from 1 to %lu", name, text,
			   max);
}

/* "100M", "1G": bits a second. */
static int bench_set_link(struct bench_run *run)
{
	const char *text = bench_value(run->cli, ARGS_LINK, "100M");
	size_t len = strlen(text);
	char digits[8] = "";

	if (len > 1 && len < sizeof(digits) && strchr("MG", text[len - 1])) {
		memcpy(digits, text, len - 1);
		if (args_number(digits, 100000, &run->link_mbit) == 0 &&
		    run->link_mbit > 0) {
			run->link_mbit *= text[len - 1] == 'G' ? 1000 : 1;
			return 0;
		}
	}
	failure_set(&run->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--link: \"%s\" is no rate", text);
	failure_hint(&run->cli->failure, "try: --link 100M, --link 1G");
	return -EINVAL;
}

/* xorshift64*, so that a seed gives the same order everywhere. */
static uint64_t bench_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static int bench_set_order(struct bench_run *run)
{
	uint64_t state = run->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	run->order_count = run->cell_count * run->runs;
	run->order = calloc(run->order_count + 1, sizeof(*run->order));
	if (!run->order)
		return -ENOMEM;
	for (size_t i = 0; i < run->order_count; i++)
		run->order[i] = i % run->cell_count;
	for (size_t i = run->order_count; i-- > 1;) {
		size_t j = bench_random(&state) % (i + 1);
		size_t other = run->order[j];

		run->order[j] = run->order[i];
		run->order[i] = other;
	}
	return 0;
}

static int bench_set_up(struct bench_run *run)
{
	unsigned long seed = (unsigned long)time(NULL) % 100000 + 1;
	int rc = bench_set_cells(run);

	if (rc == 0)
		rc = bench_number(run, ARGS_RUNS, "--runs", 5, BENCH_RUNS_MAX,
				  &run->runs);
	if (rc == 0)
		rc = bench_number(run, ARGS_SEED, "--seed", seed, UINT32_MAX,
				  &run->seed);
	if (rc == 0)
		rc = bench_set_link(run);
	if (rc == 0)
		rc = bench_set_also(run);
	if (rc == 0)
		rc = bench_set_order(run);
	run->cache =
	    bench_value(run->cli, ARGS_CACHE, "/var/cache/vdrive-bench");
	run->path = run->cli->args.value[ARGS_COLUMNS];
	return rc;
}

/* --- the scripts --------------------------------------------------------- */

/* Beside this program: as it is installed, or in the tree it was built in. */
static int bench_find_scripts(struct bench_run *run)
{
	static const char *const places[] = {"/../share/vdrive/bench",
					     "/../../admin/bench"};
	char self[PATH_MAX], *slash;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0)
		return failure_errno(&run->cli->failure, -errno,
				     "/proc/self/exe");
	self[len] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	snprintf(run->programs, sizeof(run->programs), "%s", self);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		CLEANUP_FREE char *path = NULL;

		if (asprintf(&path, "%s%s/bench.sh", self, places[i]) < 0)
			return -ENOMEM;
		if (strlen(path) >= sizeof(run->scripts) ||
		    access(path, R_OK) != 0)
			continue;
		snprintf(run->scripts, sizeof(run->scripts), "%s", path);
		return 0;
	}
	failure_set(&run->cli->failure, -ENOENT, CONTROL_EXIT_FAILED,
		    "the benchmark's scripts are not installed beside %s",
		    self);
	failure_hint(&run->cli->failure,
		     "try: make install, or run it from the source tree");
	return -ENOENT;
}

/* The order, a line a sample, for bench.sh. */
static int bench_write_plan(struct bench_run *run)
{
	FILE *file;
	int fd, rc = 0;

	snprintf(run->plan, sizeof(run->plan), "/tmp/vdrive-bench.XXXXXX");
	fd = mkstemp(run->plan);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file)
		return failure_errno(&run->cli->failure, -errno, "%s",
				     run->plan);
	for (size_t i = 0; i < run->order_count; i++) {
		const struct bench_cell *cell = &run->cells[run->order[i]];

		fprintf(file, "%s %s\n", cell->app, cell->script);
	}
	if (run->also_storage)
		fputs("storage nginx 1\nstorage five 5\n", file);
	if (run->also_run_time)
		fputs("run-time devel\n", file);
	if (fclose(file) != 0)
		rc = failure_errno(&run->cli->failure, -errno, "%s", run->plan);
	return rc;
}

__attribute__((noreturn)) static void bench_child(const struct bench_run *run,
						  const int out[2])
{
	char mbit[24];

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	snprintf(mbit, sizeof(mbit), "%lu", run->link_mbit);
	setenv("LC_ALL", "C", 1);
	setenv("VDRIVE_BENCH_BIN", run->programs, 1);
	if (dup2(out[1], STDOUT_FILENO) >= 0)
		execlp("sh", "sh", run->scripts, run->cache, mbit, run->plan,
		       (char *)NULL);
	_exit(127);
}

/* --- samples ------------------------------------------------------------- */

static struct bench_cell *bench_cell_of(struct bench_run *run,
					const json_t *sample)
{
	for (size_t i = 0; i < run->cell_count; i++)
		if (strcmp(run->cells[i].app, cmd_text(sample, "app")) == 0 &&
		    strcmp(run->cells[i].script, cmd_text(sample, "variant")) ==
			0)
			return &run->cells[i];
	return NULL;
}

/* A line for each sample: there are few, and each takes long.  What comes after
 * all starts was not counted beforehand. */
static void bench_progress(const struct bench_run *run, const char *app,
			   const char *variant, const json_t *json)
{
	const struct output *out = &run->cli->out;

	if (out->quiet || out->progress == OUTPUT_PROGRESS_NONE)
		return;
	if (run->done <= run->order_count)
		fprintf(stderr, "  %3zu/%zu", run->done, run->order_count);
	fprintf(stderr, "  %s/%s  ", app, variant);
	if (json_object_get(json, "failed"))
		fprintf(stderr, "failed\n");
	else
		fprintf(stderr, "%.2f s\n",
			json_number_value(json_object_get(json, "seconds")));
}

/* A sample that there is not: the others go on. */
static int bench_take_failed(struct bench_run *run,
			     const struct bench_cell *cell, const json_t *json)
{
	const char *app = cell ? cell->app : cmd_text(json, "app");
	const char *variant = cell ? cell->variant : cmd_text(json, "variant");
	json_t *command = json_sprintf("%s/%s", app, variant);

	if (!command || json_array_append_new(run->failed, command) < 0)
		return -ENOMEM;
	bench_progress(run, app, variant, json);
	return 0;
}

/* A line of bench.sh. */
static int bench_take(struct bench_run *run, const char *line)
{
	json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	struct bench_cell *cell = json ? bench_cell_of(run, json) : NULL;
	int rc = -EBADMSG;

	run->done++;
	if (json_is_true(json_object_get(json, "failed"))) {
		rc = bench_take_failed(run, cell, json);
		json_decref(json);
		return rc;
	}
	/* Times of work come without having been asked for one by one. */
	if (!cell && strcmp(cmd_text(json, "app"), BENCH_RUN_TIME) == 0 &&
	    bench_add_cell(run, BENCH_RUN_TIME, cmd_text(json, "variant"),
			   NULL) == 0)
		cell = &run->cells[run->cell_count - 1];
	if (cell && json_is_number(json_object_get(json, "seconds")))
		rc = json_array_append(cell->samples, json) < 0 ? -ENOMEM : 0;
	else if (json && json_object_get(json, "design"))
		rc = json_array_append(run->storage, json) < 0 ? -ENOMEM : 0;
	if (cell && rc == 0)
		bench_progress(run, cell->app, cell->variant, json);
	json_decref(json);
	if (rc == -EBADMSG)
		failure_set(&run->cli->failure, rc, CONTROL_EXIT_FAILED,
			    "bench.sh said what is no sample: %s", line);
	return rc;
}

static int bench_read(struct bench_run *run, int fd)
{
	CLEANUP_FREE char *line = malloc(BENCH_LINE_MAX);
	FILE *file = fdopen(fd, "r");
	int rc = line && file ? 0 : -ENOMEM;

	while (rc == 0 && !interrupt_seen() &&
	       fgets(line, BENCH_LINE_MAX, file)) {
		rc = bench_take(run, line);
	}
	if (rc == 0 && interrupt_seen())
		rc = failure_set(&run->cli->failure, -EINTR,
				 CONTROL_EXIT_INTERRUPTED, "interrupted");
	if (file)
		fclose(file);
	return rc;
}

/* What was measured stands; that some was not is an error all the same. */
static int bench_judge_failed(struct bench_run *run)
{
	size_t count = json_array_size(run->failed);

	if (count == 0)
		return 0;
	failure_set(&run->cli->failure, -EIO, CONTROL_EXIT_FAILED,
		    "%zu of %zu samples failed, the first: %s", count,
		    run->done,
		    json_string_value(json_array_get(run->failed, 0)));
	failure_hint(&run->cli->failure,
		     "what was said of it is above; %s/failed has the last "
		     "guest's console",
		     run->cache);
	return -EIO;
}

static int bench_measure(struct bench_run *run)
{
	int out[2], status = 0, rc;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return failure_errno(&run->cli->failure, -errno, "pipe");
	pid = fork();
	if (pid == 0)
		bench_child(run, out);
	close(out[1]);
	if (pid < 0) {
		close(out[0]);
		return failure_errno(&run->cli->failure, -EAGAIN, "fork");
	}
	rc = bench_read(run, out[0]);
	if (rc < 0)
		kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc < 0)
		return rc;
	if (status == 0)
		return bench_judge_failed(run);
	failure_set(&run->cli->failure, -EIO, CONTROL_EXIT_FAILED,
		    "the benchmark ended after %zu samples, %zu starts were "
		    "asked for",
		    run->done, run->order_count);
	failure_hint(&run->cli->failure, "what it said last is above");
	return -EIO;
}

/* --- the file ------------------------------------------------------------ */

static json_t *bench_machine(void)
{
	CLEANUP_FREE void *text = NULL;
	struct utsname name;
	const char *model = NULL;
	size_t len;

	if (uname(&name) < 0)
		return NULL;
	if (io_read_file("/proc/cpuinfo", 1 << 20, &text, &len) == 0)
		model = strstr(text, "model name\t: ");
	return json_pack(
	    "{s:s#,s:i,s:s}", "cpu", model ? model + 13 : "unknown",
	    model ? (int)strcspn(model + 13, "\n") : 7, "cpus",
	    (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", name.release);
}

static int bench_document(struct bench_run *run, json_t **json)
{
	json_t *results = json_array(), *result;
	char date[32];
	time_t now = time(NULL);
	struct tm tm;
	int rc = results ? 0 : -ENOMEM;

	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	for (size_t i = 0; rc == 0 && i < run->cell_count; i++) {
		struct bench_cell *cell = &run->cells[i];

		if (json_array_size(cell->samples) == 0)
			continue;
		rc = bench_result_new(cell->app, cell->variant, cell->samples,
				      &result);
		if (rc == 0 && json_array_append_new(results, result) < 0)
			rc = -ENOMEM;
	}
	*json = NULL;
	if (rc == 0)
		*json = json_pack(
		    "{s:s,s:s,s:I,s:I,s:I,s:o,s:{s:s},s:O,s:O,s:O}", "schema",
		    BENCH_SCHEMA, "date", date, "seed", (json_int_t)run->seed,
		    "runs", (json_int_t)run->runs, "link_mbit",
		    (json_int_t)run->link_mbit, "machine", bench_machine(),
		    "versions", "vdrive", VDRIVE_VERSION, "results", results,
		    "storage", run->storage, "failed", run->failed);
	json_decref(results);
	return *json ? 0 : rc < 0 ? rc : -ENOMEM;
}

/* What was measured is kept, also when the rest failed. */
static int bench_save(struct bench_run *run)
{
	struct failure failure = {0};
	json_t *json = NULL;
	int rc = bench_document(run, &json);

	if (rc == 0)
		rc = bench_file_write(run->path, json, &failure);
	if (rc == 0 && !run->cli->out.json)
		bench_show(run->cli, json);
	if (rc == 0 && run->cli->out.json)
		output_json(json);
	else if (rc == 0)
		output_line(&run->cli->out,
			    "written %s (all samples, machine, versions, seed)",
			    run->path);
	json_decref(json);
	if (rc < 0 && run->cli->failure.code == 0)
		run->cli->failure = failure;
	else
		failure_clear(&failure);
	return rc;
}

static void bench_say_plan(struct bench_run *run)
{
	output_line(&run->cli->out,
		    "plan: %zu cells x %lu runs at %lu Mbit/s, order shuffled "
		    "with seed %lu",
		    run->cell_count, run->runs, run->link_mbit, run->seed);
	if (!args_has(&run->cli->args, ARGS_DRY_RUN))
		return;
	for (size_t i = 0; i < run->order_count; i++)
		output_line(&run->cli->out, "  %s/%s",
			    run->cells[run->order[i]].app,
			    run->cells[run->order[i]].variant);
}

int cmd_bench_run(struct cli *cli, size_t argc UNUSED,
		  const char *const *argv UNUSED)
{
	CLEANUP_FREE struct bench_run *run = calloc(1, sizeof(*run));
	int rc = run ? 0 : -ENOMEM, saved;

	if (run) {
		run->cli = cli;
		run->storage = json_array();
		run->failed = json_array();
		rc = bench_set_up(run);
	}
	if (rc == 0 && !run->path && !args_has(&cli->args, ARGS_DRY_RUN))
		rc = failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
				 "which file takes the samples?  try: -o FILE");
	if (rc == 0) {
		if (!cli->out.json)
			bench_say_plan(run);
		rc = bench_find_scripts(run);
	}
	if (rc == 0 && !args_has(&cli->args, ARGS_DRY_RUN)) {
		rc = bench_write_plan(run);
		if (rc == 0)
			rc = bench_measure(run);
		unlink(run->plan);
		saved = run->done > 0 ? bench_save(run) : 0;
		rc = rc < 0 ? rc : saved;
	}
	if (rc < 0 && cli->failure.code == 0)
		failure_errno(&cli->failure, rc, "bench");
	for (size_t i = 0; run && i < run->cell_count; i++)
		json_decref(run->cells[i].samples);
	if (run) {
		json_decref(run->storage);
		json_decref(run->failed);
		free(run->order);
	}
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

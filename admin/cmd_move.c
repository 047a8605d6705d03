/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_move: a guest moves from this host's vdrived to another one's, and its
 * client goes on where it was.
 *
 * The other end is a `vdrive guest receive`, started through ssh (or on this
 * host, for another daemon's socket): the stream goes to its stdin, its answers
 * come from its stdout, a JSON object a line:
 *
 *	{"schema":"guest-receive/1","ready":true}	its daemon answers
 *	{"schema":"guest-import/1","guest":T/G,...}	it is there, paused
 *	{"schema":"guest-receive/1","refused":"..."}	it is not, for certain
 *
 * Order, so that there are never two that are served:
 *
 * 1. The other end says that it is ready; nothing has changed yet.
 * 2. The guest is paused here, and exported into the stream.
 *    A failure: the stream is cut short, so nothing is there; resumed here.
 * 3. The other end says that it has it, paused; or that it refused: resumed
 *    here.  Neither: nobody knows, so it stays paused here, and the operator
 *    is told how to find out.
 * 4. Resumed there.  A failure: as when nobody knows.
 * 5. Removed here; its connections are closed.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "admin/cmd.h"
#include "admin/run.h"
#include "depot/clock.h"

extern char **environ;

enum {
	MOVE_WORDS_MAX = 32,
	MOVE_UNIX_LEN = 5, /* of "unix:" */
};

struct move {
	struct cli *cli;
	const char *guest; /* borrows */
	const char *to;    /* borrows; as the operator wrote it */
	char *command;     /* owns; of --ssh, cut at spaces */
	const char *prefix[MOVE_WORDS_MAX]; /* borrow; run vdrive there */
	size_t prefix_count;
	bool was_paused;
	/* the other end */
	pid_t pid; /* 0: none */
	FILE *in, *out;
	uint64_t bytes;
	uint64_t paused_ms;
};

/* --- the words that run vdrive there -------------------------------------- */

static int move_bad_to(struct move *move, const char *why)
{
	failure_set(&move->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--to %s: %s", move->to, why);
	failure_hint(&move->cli->failure, "try: --to HOST, or --to "
					  "unix:/PATH/OF/vdrive.sock");
	return -EINVAL;
}

static int move_prefix(struct move *move)
{
	const char *ssh = move->cli->args.value[ARGS_SSH];
	char *save = NULL;

	if (strncmp(move->to, "unix:", MOVE_UNIX_LEN) == 0) {
		move->prefix[0] = "/proc/self/exe";
		move->prefix[1] = "--socket";
		move->prefix[2] = move->to + MOVE_UNIX_LEN;
		move->prefix_count = 3;
		return *move->prefix[2] == '/'
			   ? 0
			   : move_bad_to(move, "a socket's path begins with /");
	}
	/* It must be no option of ssh. */
	if (!*move->to || *move->to == '-')
		return move_bad_to(move, "this is no host");
	move->command = strdup(ssh ? ssh : "ssh");
	if (!move->command)
		return failure_errno(&move->cli->failure, -ENOMEM, "move");
	for (char *word = strtok_r(move->command, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		if (move->prefix_count >= MOVE_WORDS_MAX - 3)
			return move_bad_to(move, "--ssh has too many words");
		move->prefix[move->prefix_count++] = word;
	}
	if (move->prefix_count == 0)
		return move_bad_to(move, "--ssh is empty");
	move->prefix[move->prefix_count++] = move->to;
	move->prefix[move->prefix_count++] = "vdrive";
	return 0;
}

/* prefix and words, NULL at the end of both. */
static void move_words(const struct move *move, const char *const *words,
		       const char **argv)
{
	size_t n = 0;

	for (size_t i = 0; i < move->prefix_count; i++)
		argv[n++] = move->prefix[i];
	for (size_t i = 0; words[i]; i++)
		argv[n++] = words[i];
	argv[n] = NULL;
}

/* --- the other end -------------------------------------------------------- */

static int move_spawn(struct move *move, const int to_child[2],
		      const int from_child[2])
{
	static const char *const words[] = {"guest", "receive", NULL};
	const char *argv[MOVE_WORDS_MAX + ARRAY_LEN(words)];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t set;
	int rc;

	move_words(move, words, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to_child[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, from_child[1],
					 STDOUT_FILENO);
	rc = -posix_spawnp(&move->pid, argv[0], &actions, &attr,
			   (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (rc == 0)
		return 0;
	move->pid = 0;
	failure_errno(&move->cli->failure, rc, "cannot run %s", argv[0]);
	move->cli->failure.code = CONTROL_EXIT_UPSTREAM;
	failure_hint(&move->cli->failure, "try: --ssh COMMAND");
	return rc;
}

static int move_begin(struct move *move)
{
	int to[2] = {-1, -1}, from[2] = {-1, -1};
	int rc;

	/* The other end may go at any time: that is an error, no death. */
	signal(SIGPIPE, SIG_IGN);
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		rc = failure_errno(&move->cli->failure, -errno, "move");
	else
		rc = move_spawn(move, to, from);
	base_close_ptr(&to[0]);
	base_close_ptr(&from[1]);
	if (rc < 0) {
		base_close_ptr(&to[1]);
		base_close_ptr(&from[0]);
		return rc;
	}
	move->in = fdopen(to[1], "w");
	move->out = fdopen(from[0], "r");
	ASSERT(move->in && move->out);
	return 0;
}

/* Its next word; NULL: it says no more, or nothing that we know. */
static json_t *move_listen(struct move *move)
{
	CLEANUP_FREE char *line = NULL;
	size_t cap = 0;
	ssize_t len = getline(&line, &cap, move->out);

	return len > 0 ? json_loadb(line, (size_t)len, 0, NULL) : NULL;
}

/* Its exit status.  end: it is ended first, so that it takes the end of its
 * stdin for no end of the stream. */
static int move_wait(struct move *move, bool end)
{
	int status = 0;

	if (move->pid == 0)
		return 0;
	if (end)
		kill(move->pid, SIGKILL);
	if (move->in && !end)
		fclose(STEAL(move->in));
	while (waitpid(move->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (move->in)
		fclose(STEAL(move->in));
	fclose(STEAL(move->out));
	move->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* 1. */
static int move_ready(struct move *move)
{
	json_t *json;
	bool ready;
	int status, rc;

	rc = move_begin(move);
	if (rc < 0)
		return rc;
	json = move_listen(move);
	ready = json_is_true(json_object_get(json, "ready"));
	json_decref(json);
	if (ready)
		return 0;
	status = move_wait(move, false);
	failure_set(&move->cli->failure, -EHOSTUNREACH, CONTROL_EXIT_UPSTREAM,
		    "%s cannot receive %s (%s ended with %d); nothing has "
		    "changed",
		    move->to, move->guest, move->prefix[0], status);
	failure_hint(&move->cli->failure,
		     "try: vdrive status on %s, or --ssh COMMAND", move->to);
	return -EHOSTUNREACH;
}

/* --- this end ------------------------------------------------------------- */

static int move_set_paused(struct move *move, bool pause,
			   struct failure *failure)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/guests/pause",
	    .query = {{"name", move->guest}, {"pause", pause ? "1" : "0"}},
	    .must_finish = !pause};
	json_t *json;
	int rc;

	rc = client_json(move->cli->client, &request, &json, failure);
	if (rc == 0)
		json_decref(json);
	return rc;
}

/* It is not there, for certain: as it was.  Adds that to the failure. */
static int move_back(struct move *move, int rc)
{
	char *message = move->cli->failure.message;
	struct failure failure = {0};
	size_t len = strlen(message);

	if (move->was_paused || move_set_paused(move, false, &failure) == 0) {
		snprintf(message + len, FAILURE_MESSAGE_MAX - len,
			 "; %s is %s here as before", move->guest,
			 move->was_paused ? "paused" : "served");
		return rc;
	}
	snprintf(message + len, FAILURE_MESSAGE_MAX - len,
		 "; %s stays paused: %s", move->guest, failure.message);
	failure_hint(&move->cli->failure, "try: vdrive guest resume %s",
		     move->guest);
	failure_clear(&failure);
	return rc;
}

/* false: these are no words of a refusal. */
static bool move_refused(struct move *move, const json_t *json)
{
	struct failure *failure = &move->cli->failure;
	const char *refused = cmd_text(json, "refused");
	int code = (int)cmd_number(json, "code");

	if (!*refused)
		return false;
	failure_set(failure, -EREMOTEIO, code ? code : CONTROL_EXIT_FAILED,
		    "%s refused: %s", move->to, refused);
	failure_hint(failure, "%s",
		     *cmd_text(json, "try") ? cmd_text(json, "try")
					    : "try: vdrive status there");
	return true;
}

/* 2.  When it fails, nothing is there. */
static int move_send(struct move *move)
{
	struct failure *failure = &move->cli->failure;
	struct client_request request = {.method = "GET",
					 .path = "/v1/guests/export",
					 .query = {{"name", move->guest}},
					 .is_stream = true,
					 .out = move->in};
	CLEANUP_FREE void *nothing = NULL;
	json_t *json;
	size_t len = 0;
	int rc;

	rc = client_call(move->cli->client, &request, &nothing, &len, failure);
	if (rc == 0 && fflush(move->in) != 0)
		rc = failure_errno(failure, -errno, "%s", move->to);
	if (rc == -EPIPE) {
		json = move_listen(move);
		move_refused(move, json);
		json_decref(json);
	}
	if (rc < 0) {
		move_wait(move, true);
		return rc;
	}
	move->bytes = len;
	fclose(STEAL(move->in));
	return 0;
}

/* 3. and 4. failed in a way that tells nothing. */
static int move_unknown(struct move *move, const char *what)
{
	failure_set(&move->cli->failure, -EIO, CONTROL_EXIT_FAILED,
		    "%s; %s stays paused here, since it may be at %s.  If "
		    "`vdrive guest list` there shows it: `vdrive guest resume "
		    "%s` there, then `vdrive guest remove %s -y` here.  If "
		    "not: `vdrive guest resume %s` here.  Never both",
		    what, move->guest, move->to, move->guest, move->guest,
		    move->guest);
	failure_hint(&move->cli->failure, "try: vdrive guest list, at %s",
		     move->to);
	return -EIO;
}

/* 3. */
static int move_received(struct move *move)
{
	json_t *json = move_listen(move);
	char text[FAILURE_MESSAGE_MAX];
	int rc = 0;

	if (strcmp(cmd_text(json, "guest"), move->guest) == 0 &&
	    json_is_true(json_object_get(json, "paused"))) {
		move_wait(move, false);
	} else if (move_refused(move, json)) {
		move_wait(move, false);
		rc = move_back(move, -EREMOTEIO);
	} else {
		snprintf(text, sizeof(text),
			 "%s ended with %d and did not say whether it has %s",
			 move->prefix[0], move_wait(move, false), move->guest);
		rc = move_unknown(move, text);
	}
	json_decref(json);
	return rc;
}

/* 4. */
static int move_resume_there(struct move *move)
{
	const char *words[] = {"guest", "resume", move->guest, NULL};
	const char *argv[MOVE_WORDS_MAX + ARRAY_LEN(words)];
	CLEANUP(run_result_clear) struct run_result result = {.output = NULL};
	char text[FAILURE_MESSAGE_MAX];
	int rc;

	move_words(move, words, argv);
	rc = run(argv, NULL, &result);
	if (rc == 0 && result.status == 0)
		return 0;
	snprintf(text, sizeof(text),
		 "%.256s has it, but may not serve it yet (%.1000s)", move->to,
		 rc < 0 ? strerrordesc_np(-rc)
			: (*result.errors ? result.errors : "no words"));
	return move_unknown(move, text);
}

/* 5. */
static int move_remove(struct move *move)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/guests/remove",
	    .query = {{"name", move->guest}, {"force", "0"}},
	    .must_finish = true};
	struct failure failure = {0};
	json_t *json;
	int rc;

	rc = client_json(move->cli->client, &request, &json, &failure);
	if (rc == 0) {
		json_decref(json);
		return 0;
	}
	failure_set(&move->cli->failure, rc, CONTROL_EXIT_PARTIAL,
		    "%s is served by %s, but a paused copy stays here: %s",
		    move->guest, move->to, failure.message);
	failure_hint(&move->cli->failure, "try: vdrive guest remove %s -y",
		     move->guest);
	failure_clear(&failure);
	return rc;
}

static int move_run(struct move *move)
{
	uint64_t from_ms = clock_ms();
	int rc;

	rc = move_set_paused(move, true, &move->cli->failure);
	if (rc < 0)
		move_wait(move, true);
	else
		rc = move_send(move);
	if (rc < 0)
		return move_back(move, rc);
	rc = move_received(move);
	if (rc == 0)
		rc = move_resume_there(move);
	if (rc < 0)
		return rc;
	move->paused_ms = clock_ms() - from_ms;
	return move_remove(move);
}

/* --- the commands --------------------------------------------------------- */

static void move_print(struct move *move, const json_t *row, bool dry)
{
	struct output *out = &move->cli->out;
	uint64_t bytes = dry ? cmd_number(row, "delta_bytes") : move->bytes;
	char size[OUTPUT_NUMBER_MAX];
	json_t *json;

	output_size(size, bytes, out->exact);
	if (out->json) {
		json = json_pack("{s:s, s:s, s:s, s:b, s:I, s:I}", "schema",
				 "guest-move/1", "guest", move->guest, "to",
				 move->to, "dry_run", (int)dry, "bytes",
				 (json_int_t)bytes, "paused_ms",
				 (json_int_t)move->paused_ms);
		output_json(json);
		json_decref(json);
	} else if (dry) {
		output_line(out, "would move %s (%s) to %s, which is ready",
			    move->guest, size, move->to);
	} else {
		output_line(out, "ok  %s is at %s: %s, paused for %ju ms",
			    move->guest, move->to, size,
			    (uintmax_t)move->paused_ms);
	}
}

int cmd_guest_move(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct move move = {
	    .cli = cli, .guest = argv[0], .to = cli->args.value[ARGS_TO]};
	bool dry = args_has(&cli->args, ARGS_DRY_RUN);
	json_t *row = NULL;
	int rc;

	if (!move.to)
		return cmd_usage(cli, "--to HOST, or --to unix:SOCKET",
				 "where shall %s move to?", argv[0]);
	rc = move_prefix(&move);
	if (rc == 0)
		rc = cmd_guest_row(cli, argv[0], &row);
	if (rc == 0) {
		move.was_paused = json_is_true(json_object_get(row, "paused"));
		rc = move_ready(&move);
	}
	if (rc == 0 && dry)
		move_wait(&move, true);
	else if (rc == 0)
		rc = move_run(&move);
	if (rc == 0)
		move_print(&move, row, dry);
	json_decref(row);
	free(move.command);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* The daemon itself has said no: then nothing has come of it. */
static void cmd_receive_refused(struct cli *cli, int rc)
{
	json_t *json;

	if (rc != -EREMOTEIO && rc != -ENOENT)
		return;
	json = json_pack("{s:s, s:s, s:i, s:s}", "schema", "guest-receive/1",
			 "refused", cli->failure.message, "code",
			 cli->failure.code, "try", cli->failure.hint);
	output_json(json);
	fflush(stdout);
	json_decref(json);
}

int cmd_guest_receive(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv UNUSED)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/guests/import",
					 .is_stream = true,
					 .in = stdin};
	json_t *json;
	int rc;

	if (isatty(STDIN_FILENO))
		return cmd_usage(cli,
				 "vdrive guest move TENANT/GUEST --to HOST",
				 "stdin is a terminal, not a stream");
	if (cmd_get(cli, "/v1/status", NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	json_decref(json);
	printf("{\"schema\":\"guest-receive/1\",\"ready\":true,"
	       "\"version\":\"%s\"}\n",
	       VDRIVE_VERSION);
	fflush(stdout);
	rc = client_json(cli->client, &request, &json, &cli->failure);
	if (rc < 0) {
		cmd_receive_refused(cli, rc);
		return cmd_fail(cli);
	}
	output_json(json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

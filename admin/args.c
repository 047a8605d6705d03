/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args: see args.h.  Not getopt_long: options before and after nouns and verbs,
 * and "did you mean", would need as much code around it.
 */
#include "admin/args.h"

#include <ctype.h>
#include <stdio.h>

enum {
	ARGS_DISTANCE_MAX = 2, /* edits; more is no likeness */
	ARGS_WORD_MAX = 64,
};

struct args_row {
	char letter; /* or 0 */
	const char *name;
	const char *value; /* word for help; NULL: it is a switch */
	const char *summary;
};

static const struct args_row args_rows[ARGS_OPTION_COUNT] = {
    [ARGS_JSON] = {0, "json", NULL, "print JSON"},
    [ARGS_NO_HEADER] = {'H', "no-header", NULL,
			"tables: no header, tabs between columns"},
    [ARGS_EXACT] = {'p', "exact", NULL, "exact bytes, whole digests"},
    [ARGS_QUIET] = {'q', "quiet", NULL, "print failures only"},
    [ARGS_VERBOSE] = {'v', "verbose", NULL, "say what is being done"},
    [ARGS_DRY_RUN] = {'n', "dry-run", NULL,
		      "say what would be done, change nothing"},
    [ARGS_YES] = {'y', "yes", NULL, "answer yes to every question"},
    [ARGS_COLUMNS] = {'o', "columns", "COL,...", "tables: these columns"},
    [ARGS_SOCKET] = {0, "socket", "PATH", "the daemon's socket"},
    [ARGS_TIMEOUT] = {0, "timeout", "SEC", "how long to wait for the daemon"},
    [ARGS_PROGRESS] = {0, "progress", "auto|bar|plain|json|none",
		       "how to show progress"},
    [ARGS_HELP] = {'h', "help", NULL, "print help"},
    [ARGS_VERSION] = {0, "version", NULL, "print the version"},
    [ARGS_AGAINST] = {0, "against", "DIR", "compare with what lies in DIR"},
    [ARGS_KEEP_GOING] = {0, "keep-going", NULL,
			 "leave out what cannot be read"},
    [ARGS_DEVICES] = {0, "devices", NULL, "allow device nodes"},
    [ARGS_PRIVATE] = {0, "private", NULL,
		      "share no shards with other packages"},
    [ARGS_SALT_OF] = {0, "salt-of", "REF",
		      "private, but share with this private package"},
    [ARGS_UNSIGNED] = {0, "unsigned", NULL, "trust it without signatures"},
    [ARGS_ORDER] = {0, "order", NULL, "at equal paths the first package wins"},
    [ARGS_ADDR] = {0, "addr", "ADDRESS|any", "only it may mount"},
    [ARGS_RUN_TIME] = {0, "run-time", "FILE|installed",
		       "have vdrive-run in the guest, too"},
    [ARGS_EPHEMERAL] = {0, "ephemeral", NULL,
			"its delta goes when the VM ends"},
    [ARGS_FILE] = {'f', "file", "FILE|-", "what shall be"},
    [ARGS_PRUNE] = {0, "prune", NULL,
		    "guests and upstreams that are not in the file go"},
    [ARGS_LISTEN] = {0, "listen", "ADDRESS:PORT|none",
		     "it is served there, and nobody else is"},
    [ARGS_SECRET_PATH] = {0, "secret-path", NULL,
			  "it mounts by a path that nobody can guess"},
    [ARGS_NO_SECRET_PATH] = {0, "no-secret-path", NULL,
			     "it mounts by its name"},
    [ARGS_ROOT_SQUASH] = {0, "root-squash", NULL, "the guest's root is nobody"},
    [ARGS_WHITEOUTS] = {0, "whiteouts", "on|off",
			"show what packages delete, to an overlayfs"},
    [ARGS_SERVER] = {0, "server", "ADDRESS", "the server as the guest sees it"},
    [ARGS_MOUNTPOINT] = {0, "mountpoint", "PATH",
			 "where the guest mounts (/sw)"},
    [ARGS_ALL] = {0, "all", NULL, "all of it"},
    [ARGS_PLAN] = {0, "plan", NULL, "what its plan says, no more"},
    [ARGS_GUEST] = {0, "guest", "TENANT/GUEST", "whose last start"},
    [ARGS_PREFETCH] = {0, "prefetch", NULL,
		       "have its plan (--all: all of it) here first"},
    [ARGS_QUOTA] = {0, "quota", "SIZE|none",
		    "bytes that may be held, or taken in"},
    [ARGS_QUOTA_FILES] = {0, "quota-files", "N|none",
			  "objects that may be held, or taken in"},
    [ARGS_REMOVE] = {0, "remove", NULL, "remove it"},
    [ARGS_TO] = {0, "to", "HOST|unix:SOCKET", "where the guest moves to"},
    [ARGS_CA] = {0, "ca", "FILE", "trust these CAs only (PEM)"},
    [ARGS_PROXY] = {0, "proxy", "URL", "go through this proxy"},
    [ARGS_ENDPOINT] = {0, "endpoint", "URL", "the S3 server"},
    [ARGS_REGION] = {0, "region", "NAME", "the S3 server's region"},
    [ARGS_CREDENTIALS] = {0, "credentials", "FILE",
			  "user and password, or S3 keys"},
    [ARGS_PRIORITY] = {0, "priority", "N", "0..100, the highest goes first"},
    [ARGS_FORCE] = {0, "force", NULL, "also what only a rollback needs"},
    [ARGS_STEP] = {0, "step", "N", "shards looked at in one step (4096)"},
    [ARGS_REPAIR] = {0, "repair", NULL, "take good ones from an upstream"},
    [ARGS_BY] = {0, "by", "package|tenant", "what to add up"},
    [ARGS_KEY] = {0, "key", "KEY|FILE",
		  "the key that signs: push: its file; upstream: its digits"},
    [ARGS_EXPIRES] = {0, "expires", "DAYS",
		      "what is written may not be used later"},
    [ARGS_ENTITLED] = {0, "entitled", "TENANT,...|all|none",
		       "only they may be given it"},
    [ARGS_ADOPT] = {0, "adopt", NULL, "sign also what others have written"},
    [ARGS_REPACK] = {0, "repack", NULL,
		     "write a package again that lies scattered"},
    [ARGS_VERIFY] = {0, "verify", NULL, "prove all packs there, and mend them"},
    [ARGS_ALL_SHARDS] = {0, "all-shards", NULL, "all content, too"},
    [ARGS_FROM] = {0, "from", "UPSTREAM|TENANT/GUEST",
		   "where it is taken from"},
    [ARGS_SSH] = {0, "ssh", "COMMAND", "what runs vdrive on HOST (ssh)"},
    [ARGS_BASE] = {0, "base", "DIR", "the operating system it is run over"},
    [ARGS_KEEP] = {0, "keep", "PATTERN,...", "is part of the software"},
    [ARGS_LEAVE] = {0, "leave", "PATTERN,...", "is left out"},
    [ARGS_EXCLUDE] = {0, "exclude", "PATTERN,...", "is left out"},
    [ARGS_CHANGED] = {0, "changed", NULL, "what a capture has changed"},
    [ARGS_NO_NETWORK] = {0, "no-network", NULL, "without the host's network"},
    [ARGS_ALLOW_FAILURE] = {0, "allow-failure", NULL,
			    "whatever status it ends with"},
    [ARGS_FOR] = {0, "for", "TIME", "so long: 30s, 10m, 2h"},
    [ARGS_SIZE] = {0, "size", "SIZE,...", "caches of these sizes"},
    [ARGS_PACKAGE] = {0, "package", "PACKAGE",
		      "what belongs to it ('': to none) only"},
    [ARGS_CONFLICTS] = {0, "conflicts", "fail|keep|package|profile",
			"whose version is seen, or refuse"},
    [ARGS_INCLUDE] = {0, "include", "PATTERN,...", "is taken, too"},
    [ARGS_PERCENT] = {0, "percent", "N,...",
		      "caches of so much of what the trace reads"},
    [ARGS_APP] = {0, "app", "NAME,...", "these programs"},
    [ARGS_VARIANTS] = {0, "variants", "NAME,...", "started in these ways"},
    [ARGS_STATES] = {0, "states", "cold,plan,warm",
		     "states of the host before a start from the drive"},
    [ARGS_LINK] = {0, "link", "RATE", "of the way to the depot (100M)"},
    [ARGS_RUNS] = {0, "runs", "N", "samples of each (5)"},
    [ARGS_SEED] = {0, "seed", "N", "of the order of samples"},
    [ARGS_CACHE] = {0, "cache", "DIR", "images and depots, kept there"},
    [ARGS_ALSO] = {0, "also", "storage,run-time",
		   "what guests take up; work in one that is up"},
    [ARGS_PREFER] = {0, "prefer", "PACKAGE", "it wins over all others"},
    [ARGS_ONLY] = {0, "only", NULL, "these packages and no others"},
    [ARGS_WITH_CHANGES] = {0, "with-changes", NULL,
			   "what guests have changed of them goes, too"},
    [ARGS_PROCESSES] = {0, "processes", "N|none",
			"that it may have at a time (1024)"},
    [ARGS_SUPERSEDED] = {0, "superseded", "PATH",
			 "bring back what gave way to the package's"},
    [ARGS_FAIL_ABOVE] = {0, "fail-above", "PART",
			 "fail when a median grew by more: 10%"},
};

ARGS_SET args_global_options(void)
{
	/* A dry run is something that a command must have thought of. */
	return (ARGS_BIT(ARGS_AGAINST) - 1) & ~ARGS_BIT(ARGS_DRY_RUN);
}

bool args_has(const struct args *args, enum args_option option)
{
	return args->given & ARGS_BIT(option);
}

/* --- likeness ------------------------------------------------------------ */

/* Edits between two short words; two letters exchanged are one edit. */
static size_t args_distance(const char *a, const char *b)
{
	size_t rows[3][ARGS_WORD_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > ARGS_WORD_MAX || b_len > ARGS_WORD_MAX)
		return SIZE_MAX;
	for (size_t i = 0; i <= a_len; i++) {
		size_t *row = rows[i % 3], *last = rows[(i + 2) % 3];
		const size_t *before = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			if (i == 0) {
				row[j] = j;
				continue;
			}
			row[j] = MIN(MIN(row[j - 1], last[j]) + 1,
				     last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

const char *args_closest(const char *text, const char *const *names,
			 size_t count)
{
	size_t best = ARGS_DISTANCE_MAX + 1, distance;
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!names[i])
			continue;
		distance = args_distance(text, names[i]);
		/* Of a word of three letters two edits leave nothing. */
		if (distance < best && distance * 2 < strlen(text) + 1) {
			best = distance;
			found = names[i];
		}
	}
	return found;
}

/* --- options ------------------------------------------------------------- */

static int args_unknown(const char *text, size_t len, struct failure *failure)
{
	const char *names[ARGS_OPTION_COUNT], *closest;
	char word[ARGS_WORD_MAX];

	for (size_t i = 0; i < ARGS_OPTION_COUNT; i++)
		names[i] = args_rows[i].name;
	failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "unknown option \"%s\"", text);
	failure_hint(failure, "try: vdrive help");
	snprintf(word, sizeof(word), "%.*s", (int)MIN(len, (size_t)60),
		 text + 2);
	closest = text[1] == '-' ? args_closest(word, names, ARGS_OPTION_COUNT)
				 : NULL;
	if (closest)
		failure_hint(failure, "did you mean: --%s", closest);
	return -EINVAL;
}

/* Note an option; its value stands behind "=" (value) or comes next. */
static int args_note(struct args *args, size_t option, const char *value,
		     int argc, char *const *argv, int *i,
		     struct failure *failure)
{
	const struct args_row *row = &args_rows[option];

	if (row->value && !value) {
		if (*i + 1 >= argc) {
			failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
				    "option --%s needs a value", row->name);
			failure_hint(failure, "try: --%s %s", row->name,
				     row->value);
			return -EINVAL;
		}
		value = argv[++*i];
	} else if (!row->value && value) {
		failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "option --%s takes no value", row->name);
		failure_hint(failure, "try: --%s", row->name);
		return -EINVAL;
	}
	args->given |= ARGS_BIT(option);
	args->value[option] = value;
	return 0;
}

static int args_long(struct args *args, int argc, char *const *argv, int *i,
		     struct failure *failure)
{
	const char *text = argv[*i] + 2;
	size_t len = strcspn(text, "=");

	for (size_t o = 0; o < ARGS_OPTION_COUNT; o++)
		if (strlen(args_rows[o].name) == len &&
		    memcmp(args_rows[o].name, text, len) == 0)
			return args_note(args, o,
					 text[len] ? text + len + 1 : NULL,
					 argc, argv, i, failure);
	return args_unknown(argv[*i], len, failure);
}

/* "-Hp", "-o name", "-oname" */
static int args_letters(struct args *args, int argc, char *const *argv, int *i,
			struct failure *failure)
{
	const char *text = argv[*i];
	size_t o;

	for (const char *p = text + 1; *p; p++) {
		for (o = 0; o < ARGS_OPTION_COUNT; o++)
			if (args_rows[o].letter == *p)
				break;
		if (o == ARGS_OPTION_COUNT)
			return args_unknown(text, strlen(text), failure);
		if (args_rows[o].value)
			return args_note(args, o, p[1] ? p + 1 : NULL, argc,
					 argv, i, failure);
		args->given |= ARGS_BIT(o);
	}
	return 0;
}

int args_parse(struct args *args, int argc, char *const *argv,
	       struct failure *failure)
{
	ARGS_SET given;
	bool options = true;
	int rc = 0;

	memset(args, 0, sizeof(*args));
	args->positional = calloc((size_t)argc + 1, sizeof(*args->positional));
	if (!args->positional)
		return failure_errno(failure, -ENOMEM, "arguments");
	for (int i = 1; rc == 0 && i < argc; i++) {
		const char *text = argv[i];

		if (options && strcmp(text, "--") == 0)
			options = false;
		else if (options && strncmp(text, "--", 2) == 0)
			rc = args_long(args, argc, argv, &i, failure);
		else if (options && text[0] == '-' && text[1])
			rc = args_letters(args, argc, argv, &i, failure);
		else
			args->positional[args->count++] = text;
	}
	if (rc < 0) {
		given = args->given;
		args_clear(args);
		args->given = given;
	}
	return rc;
}

void args_clear(struct args *args)
{
	free(args->positional);
	memset(args, 0, sizeof(*args));
}

int args_number(const char *text, unsigned long max, unsigned long *value)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*value = strtoul(text, &end, 10);
	return errno || *end || *value > max ? -EINVAL : 0;
}

int args_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	const char *unit = NULL;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*size = strtoull(text, &end, 10);
	if (*end)
		unit = strchr(units, *end);
	if (errno || (*end && (!unit || end[1])))
		return -EINVAL;
	for (ptrdiff_t i = unit ? unit - units + 1 : 0; i > 0; i--)
		if (__builtin_mul_overflow(*size, (uint64_t)1024, size))
			return -EINVAL;
	return *size <= INT64_MAX ? 0 : -EINVAL;
}

/* --- commands --------------------------------------------------------------
 */

/* Nouns, or the verbs of a noun, as candidates for "did you mean". */
static void args_command_unknown(const struct command *commands, size_t count,
				 const char *noun, const char *text,
				 struct failure *failure)
{
	CLEANUP_FREE const char **names = calloc(count, sizeof(*names));
	const char *closest = NULL;

	for (size_t i = 0; names && i < count; i++)
		if (!noun)
			names[i] = commands[i].noun;
		else if (strcmp(commands[i].noun, noun) == 0)
			names[i] = commands[i].verb;
	if (names)
		closest = args_closest(text, names, count);
	failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "there is no command \"%s%s%s\"", noun ? noun : "",
		    noun ? " " : "", text);
	if (closest)
		failure_hint(failure, "did you mean: %s%s%s", noun ? noun : "",
			     noun ? " " : "", closest);
	else
		failure_hint(failure, "try: vdrive help%s%s", noun ? " " : "",
			     noun ? noun : "");
}

static const struct command *args_command_find(const struct args *args,
					       const struct command *commands,
					       size_t count,
					       struct failure *failure)
{
	const char *noun = args->positional[0];
	const char *verb = args->count > 1 ? args->positional[1] : NULL;
	bool noun_known = false;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(commands[i].noun, noun) != 0)
			continue;
		noun_known = true;
		if (!commands[i].verb ||
		    (verb && strcmp(commands[i].verb, verb) == 0))
			return &commands[i];
	}
	if (!noun_known) {
		args_command_unknown(commands, count, NULL, noun, failure);
	} else if (verb) {
		args_command_unknown(commands, count, noun, verb, failure);
	} else {
		failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "vdrive %s: what about it?", noun);
		failure_hint(failure, "try: vdrive help %s", noun);
	}
	return NULL;
}

/* The first option of a set that is not empty. */
static size_t args_first(ARGS_SET set)
{
	size_t o = 0;

	while (!(set & ARGS_BIT(o)))
		o++;
	return o;
}

static int args_command_check(const struct args *args,
			      const struct command *command, size_t count,
			      struct failure *failure)
{
	ARGS_SET bad =
	    args->given & ~(args_global_options() | command->options);
	const char *verb = command->verb ? command->verb : "";
	const char *gap = command->verb ? " " : "";

	if (bad)
		failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "vdrive %s%s%s has no option --%s", command->noun,
			    gap, verb, args_rows[args_first(bad)].name);
	else if (count < command->min || count > command->max)
		failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "vdrive %s%s%s: too %s arguments", command->noun,
			    gap, verb, count < command->min ? "few" : "many");
	else
		return 0;
	failure_hint(failure, "try: vdrive %s%s%s%s%s", command->noun, gap,
		     verb, *command->synopsis ? " " : "", command->synopsis);
	return -EINVAL;
}

const struct command *args_command(const struct args *args,
				   const struct command *commands, size_t count,
				   size_t *skip, struct failure *failure)
{
	const struct command *command;

	ASSERT(args->count > 0);
	command = args_command_find(args, commands, count, failure);
	if (!command)
		return NULL;
	*skip = command->verb ? 2 : 1;
	/* Help is to be had whatever else is wrong. */
	if (args_has(args, ARGS_HELP))
		return command;
	if (args_command_check(args, command, args->count - *skip, failure) < 0)
		return NULL;
	return command;
}

void args_print_options(ARGS_SET set)
{
	char text[80];

	for (size_t o = 0; o < ARGS_OPTION_COUNT; o++) {
		const struct args_row *row = &args_rows[o];

		if (!(set & ARGS_BIT(o)))
			continue;
		snprintf(text, sizeof(text), "%c%c%s--%s%s%s",
			 row->letter ? '-' : ' ',
			 row->letter ? row->letter : ' ',
			 row->letter ? ", " : "  ", row->name,
			 row->value ? " " : "", row->value ? row->value : "");
		printf("  %-26s %s\n", text, row->summary);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args: the command line, and the one table of commands that parser, help and
 * completion are made from.
 *
 * Options may stand anywhere; "--" ends them.  An option that the command does
 * not know is refused, never ignored.
 */
#ifndef ADMIN_ARGS_H
#define ADMIN_ARGS_H

#include "admin/output.h"
#include "depot/base.h"

enum args_option {
	ARGS_JSON,
	ARGS_NO_HEADER,
	ARGS_EXACT,
	ARGS_QUIET,
	ARGS_VERBOSE,
	ARGS_DRY_RUN,
	ARGS_YES,
	ARGS_COLUMNS,
	ARGS_SOCKET,
	ARGS_TIMEOUT,
	ARGS_PROGRESS,
	ARGS_HELP,
	ARGS_VERSION,
	/* of single commands from here on */
	ARGS_AGAINST,
	ARGS_KEEP_GOING,
	ARGS_DEVICES,
	ARGS_PRIVATE,
	ARGS_SALT_OF,
	ARGS_UNSIGNED,
	ARGS_ORDER,
	ARGS_ADDR,
	ARGS_LISTEN,
	ARGS_FILE,
	ARGS_PRUNE,
	ARGS_RUN_TIME,
	ARGS_EPHEMERAL,
	ARGS_SECRET_PATH,
	ARGS_NO_SECRET_PATH,
	ARGS_ROOT_SQUASH,
	ARGS_WHITEOUTS,
	ARGS_SERVER,
	ARGS_MOUNTPOINT,
	ARGS_ALL,
	ARGS_PLAN,
	ARGS_GUEST,
	ARGS_PREFETCH,
	ARGS_QUOTA,
	ARGS_QUOTA_FILES,
	ARGS_REMOVE,
	ARGS_TO,
	ARGS_SSH,
	ARGS_CA,
	ARGS_PROXY,
	ARGS_ENDPOINT,
	ARGS_REGION,
	ARGS_CREDENTIALS,
	ARGS_PRIORITY,
	ARGS_FORCE,
	ARGS_STEP,
	ARGS_REPAIR,
	ARGS_BY,
	ARGS_BASE,
	ARGS_KEEP,
	ARGS_LEAVE,
	ARGS_EXCLUDE,
	ARGS_CHANGED,
	ARGS_NO_NETWORK,
	ARGS_ALLOW_FAILURE,
	ARGS_KEY,
	ARGS_EXPIRES,
	ARGS_ENTITLED,
	ARGS_ADOPT,
	ARGS_REPACK,
	ARGS_VERIFY,
	ARGS_ALL_SHARDS,
	ARGS_FROM,
	ARGS_FOR,
	ARGS_SIZE,
	ARGS_PERCENT,
	ARGS_PACKAGE,
	ARGS_INCLUDE,
	ARGS_APP,
	ARGS_VARIANTS,
	ARGS_STATES,
	ARGS_LINK,
	ARGS_RUNS,
	ARGS_SEED,
	ARGS_CACHE,
	ARGS_ALSO,
	ARGS_FAIL_ABOVE,
	ARGS_CONFLICTS,
	ARGS_PREFER,
	ARGS_ONLY,
	ARGS_SUPERSEDED,
	ARGS_WITH_CHANGES,
	ARGS_PROCESSES,
	ARGS_OPTION_COUNT,
};
/* A set of them.  Not 64 bits: there are more. */
#define ARGS_SET         unsigned __int128
#define ARGS_BIT(option) ((ARGS_SET)1 << (option))
_Static_assert(ARGS_OPTION_COUNT <= 128, "a set is 128 bits");

enum { ARGS_POSITIONAL_MAX = 4096 };

struct args {
	ARGS_SET given;                       /* set of ARGS_BIT() */
	const char *value[ARGS_OPTION_COUNT]; /* borrow from argv */
	const char **positional;              /* owns the array */
	size_t count;
};

struct cli;
struct command {
	const char *noun, *verb; /* verb NULL: the noun alone */
	const char *synopsis;    /* what follows, for usage */
	const char *summary;
	size_t min, max;  /* positional arguments */
	ARGS_SET options; /* of single commands; DRY_RUN too */
	/* Returns the exit code. */
	int (*run)(struct cli *cli, size_t argc, const char *const *argv);
};

/* Take the command line apart.  -EINVAL: said in failure, exit code 2; only the
 * options seen before are noted then. */
MUST_CHECK int args_parse(struct args *args, int argc, char *const *argv,
			  struct failure *failure);
void args_clear(struct args *args);

bool args_has(const struct args *args, enum args_option option);

/*
 * The command that the first one or two positional arguments name; *skip: how
 * many.  Checks number of arguments and options.  NULL: said in failure.
 */
const struct command *args_command(const struct args *args,
				   const struct command *commands, size_t count,
				   size_t *skip, struct failure *failure);

/* The one of `names` (count of them, NULLs are skipped) that `text` may have
 * been meant to be, or NULL. */
const char *args_closest(const char *text, const char *const *names,
			 size_t count);

/* Unsigned decimal number, whole; -EINVAL. */
MUST_CHECK int args_number(const char *text, unsigned long max,
			   unsigned long *value);

/* Bytes, or with K, M, G, T (powers of 1024): "2G"; -EINVAL. */
MUST_CHECK int args_size(const char *text, uint64_t *size);

/* One line of help for each option in the set, to stdout. */
void args_print_options(ARGS_SET set);
ARGS_SET args_global_options(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output: all that vdrive writes.  Results go to stdout and nothing else does;
 * failures, warnings and progress go to stderr.
 *
 * Tables are made from the JSON documents of the admin API, so that table, -H,
 * -o, -p and --json are of one piece.
 */
#ifndef ADMIN_OUTPUT_H
#define ADMIN_OUTPUT_H

#include <jansson.h>

#include "depot/base.h"
#include "nfsd/control.h"

/* --- failures ------------------------------------------------------------ */

enum {
	FAILURE_MESSAGE_MAX = 2048,
	FAILURE_HINT_MAX = 512,
	FAILURE_DETAILS_MAX = 1000, /* lines */
};

/*
 * Why a command ends: filled where the failure is born, shown once by
 * output_failure().  The text names what failed, on which object, and the
 * cause; the hint is the whole second line: "try: ..." or "did you mean: ...".
 */
struct failure {
	int code; /* CONTROL_EXIT_*; 0: nothing failed */
	char message[FAILURE_MESSAGE_MAX];
	char hint[FAILURE_HINT_MAX];
	json_t *details; /* owns; NULL or an array of lines */
};

/* Returns rc.  Replaces an earlier text, and its hint. */
int failure_set(struct failure *failure, int rc, int code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The same with ": CAUSE" added, what log_err() was last told or else errno's
 * words, and the code that rc asks for. */
int failure_errno(struct failure *failure, int rc, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void failure_hint(struct failure *failure, const char *fmt, ...)
	PRINTF_LIKE(2, 3);
void failure_clear(struct failure *failure);
/* Exit code for a plain -errno. */
int failure_code(int rc);

/* --- where to, and how --------------------------------------------------- */

enum output_progress {
	OUTPUT_PROGRESS_AUTO,
	OUTPUT_PROGRESS_BAR,
	OUTPUT_PROGRESS_PLAIN,
	OUTPUT_PROGRESS_JSON,
	OUTPUT_PROGRESS_NONE,
};

struct output {
	bool json, no_header, exact, quiet, verbose;
	const char *columns; /* borrows; of -o, or NULL */
	enum output_progress progress;
	/* output's own */
	uint64_t progress_start_ms, progress_last_ms;
	char progress_phase[32];
	bool progress_drawn;
};

/* Settle OUTPUT_PROGRESS_AUTO by the options and what stderr is. */
void output_setup(struct output *out);

/* Show a failure; returns its code. */
int output_failure(struct output *out, const struct failure *failure);
/* "warning: ..." on stderr, not with -q. */
void output_warn(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "vdrive: ..." with -v only. */
void output_verbose(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* One line of a result to stdout; nothing with -q. */
void output_line(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A document to stdout, on one line.  Does not take json. */
void output_json(const json_t *json);
/* A file's name as a JSON string; bytes that are no UTF-8 become '?'.  Cuts
 * nothing, changes text in place. */
json_t *output_json_name(char *text);

/* --- numbers and times --------------------------------------------------- */

enum { OUTPUT_NUMBER_MAX = 32 };

/* "0 B", "4.0 KiB", "2.1 GiB"; exact: "4096". */
void output_size(char text[OUTPUT_NUMBER_MAX], uint64_t bytes, bool exact);
/* "1 842": thousands apart; exact: "1842". */
void output_count(char text[OUTPUT_NUMBER_MAX], uint64_t count, bool exact);
/* "45 s", "5 min", "2 h 15 min", "3 d 4 h". */
void output_duration(char text[OUTPUT_NUMBER_MAX], uint64_t sec);

/* --- tables -------------------------------------------------------------- */

enum output_kind {
	OUTPUT_TEXT, /* also of numbers and of lists (joined by ", ") */
	OUTPUT_COUNT,
	OUTPUT_SIZE,
	OUTPUT_LIMIT,	    /* a size; 0 is none, shown as "-" */
	OUTPUT_LIMIT_COUNT, /* the same of things */
	OUTPUT_TIME,   /* RFC 3339 to "3 d ago" */
	OUTPUT_DIGEST, /* first 12 digits; exact: all */
	OUTPUT_YES,    /* true and false to "yes" and "no" */
};

struct output_column {
	const char *title; /* "GUESTS" */
	const char *key;   /* in the row's JSON, and for -o */
	enum output_kind kind;
	bool extra; /* only when asked for by -o */
};

enum { OUTPUT_COLUMNS_MAX = 24 };

/*
 * Print the array rows (of objects).  -EINVAL: -o names no column (said in
 * failure).
 */
MUST_CHECK int output_table(struct output *out,
			    const struct output_column *columns, size_t count,
			    const json_t *rows, struct failure *failure);

/* --- progress ------------------------------------------------------------ */

/*
 * How far a phase ("sharding") is, for output to show now and then: a line
 * that is redrawn on a terminal, one every 30 s elsewhere, JSON lines once a
 * second.  bytes_total 0: not known.
 */
struct output_progress_state {
	const char *phase;
	uint64_t bytes_done, bytes_total, files_done, files_total;
};
void output_progress(struct output *out,
		     const struct output_progress_state *state);
/* Take the redrawn line away; before anything else is written. */
void output_progress_end(struct output *out);

#endif

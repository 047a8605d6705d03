/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_file: results of a benchmark as a JSON document.  Field names are those
 * of hyperfine's export, whose files are read, too:
 *
 *   {"schema":"bench-run/1","date":TIME,"seed":N,"link_mbit":N,
 *    "machine":{...},"versions":{...},
 *    "results":[{"command":"nginx/copy","mean":S,"stddev":S,"median":S,
 *                "p95":S,"min":S,"max":S,"times":[S...],"exit_codes":[0...],
 *                "parameters":{"app":"nginx","variant":"copy"},
 *                "phases":{"image":[S...],...},"bytes":[N...]}...],
 *    "storage":[{"softwares":N,"guests":N,"design":TEXT,"bytes":N,
 *                "parts":{TEXT:N...}}...],
 *    "failed":["nginx/copy"...]}
 *
 * S: seconds.  In times, phases and bytes the i-th is of the i-th sample; a
 * phase that a sample did not have is 0.  failed: a command for each sample
 * that was begun and that there is not.  Only command and times must be there.
 */
#ifndef ADMIN_BENCH_FILE_H
#define ADMIN_BENCH_FILE_H

#include <jansson.h>

#include "admin/output.h"
#include "depot/base.h"

enum {
	BENCH_FILE_MAX = 64 << 20,
	BENCH_RESULTS_MAX = 1000,
	BENCH_COMMAND_MAX = 127,
	BENCH_PHASES_MAX = 16,
};
#define BENCH_SCHEMA "bench-run/1"

/*
 * The document in `text`, the caller's reference: all of what is said above is
 * checked, so users need not.  `name` is for the failure.  -EBADMSG: it is
 * none; -EPROTONOSUPPORT: of a schema that is not known here; -ENOMEM.
 */
MUST_CHECK int bench_file_parse(const char *text, size_t len, const char *name,
				json_t **json, struct failure *failure);
/* The same of a file, and what reading it fails with: -ENOENT, -EFBIG (above
 * BENCH_FILE_MAX) ...  Said. */
MUST_CHECK int bench_file_read(const char *path, json_t **json,
			       struct failure *failure);
/* Write it, indented, in place of what is there, when it is whole; durable.
 * Said: -ENOSPC, -EACCES ..., -ENOMEM. */
MUST_CHECK int bench_file_write(const char *path, const json_t *json,
				struct failure *failure);

/* The result of that command, borrowed, or NULL. */
const json_t *bench_file_find(const json_t *json, const char *command);

/* The numbers of an array that was checked; *numbers is the caller's.  -ENOMEM.
 */
MUST_CHECK int bench_numbers(const json_t *array, double **numbers,
			     size_t *count);

/* A result of these samples: its command, parameters and figures; the caller's
 * reference.  -ENOMEM. */
MUST_CHECK int bench_result_new(const char *app, const char *variant,
				const json_t *samples, json_t **result);

#endif

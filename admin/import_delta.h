/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_delta: what a guest has changed as the source of a package or a
 * profile: it reads what GET /v1/delta/changes answers (nfsd/control.h) and
 * hands over what is picked.
 *
 * Picked is what belongs to the package that is asked for (none: everything)
 * or matches `include`; but no noise (capture.h) that `include` does not name,
 * and nothing that `exclude` matches.  New directories above what is picked
 * come along, so that it stands in directories as it did in the guest.
 */
#ifndef ADMIN_IMPORT_DELTA_H
#define ADMIN_IMPORT_DELTA_H

#include <stdio.h>

#include "admin/capture.h"
#include "admin/cmd.h"
#include "admin/import.h"

enum { DELTA_LINE_MAX = 1 << 20, DELTA_TOLD_MAX = 100000 };

enum delta_verdict {
	DELTA_TAKEN,
	DELTA_NOISE,
	DELTA_OTHERS, /* of another package, or not included */
	DELTA_EXCLUDED,
	DELTA_VERDICTS,
};

/* One line of the answer. */
struct delta_object {
	char kind;           /* enum capture_letter: A M m D */
	char *path;          /* owns */
	char *link, *target; /* own; NULL: none */
	const char *package; /* borrows from json; NULL: nobody's */
	const char *base;    /* likewise; 16 digits, or "" */
	struct tree_build_attr attr;
	uint64_t size, nlink;
	bool opaque;
	enum delta_verdict verdict;
	json_t *json; /* owns */
};

struct delta_pick {
	const char *package; /* NULL: whosever it is; "": nobody's */
	const char *const *include, *const *exclude, *const *keep;
};
enum delta_verdict delta_judge(const struct delta_pick *pick,
			       const struct delta_object *object);

/* What came of it.  Clear with delta_result_clear whatever the outcome. */
struct delta_result {
	uint64_t verdict[DELTA_VERDICTS];
	uint64_t added, modified, meta, deleted; /* of those taken */
	json_t *changes; /* owns; rows of those taken, and of noise, as of a
			    capture; at most DELTA_TOLD_MAX */
	json_t *base;    /* owns; "KIND ID PATH" of those taken that the
			    packages had, paths escaped (nfsd/control.h) */
	json_t *over;    /* owns; "name:tag sha256:HEX" whose files those
			    taken are */
	json_t *hits;    /* owns; patterns that have matched */
};
void delta_result_clear(struct delta_result *result);

/* Have the daemon write what T/G[@SNAPSHOT] has changed to *file, a nameless
 * temporary one, at its start; the caller closes it.  -errno, said: -ENOENT
 * with another name that may be meant, what the daemon answers, -ENOMEM. */
MUST_CHECK int delta_fetch(struct cli *cli, const char *name, FILE **file);

/* Read it, and hand what is picked to `import` (NULL: only look).  -EPROTO: the
 * answer is cut short or no such answer; errors of the import.  All are said.
 */
MUST_CHECK int import_delta(struct import *import, FILE *file,
			    const struct delta_pick *pick,
			    struct delta_result *result,
			    struct failure *failure);

/* -ENOENT, said: a pattern of `include` has matched nothing, so something that
 * is wanted would be missing.  Of `exclude` it is only warned of: in a script
 * that is for many guests such a pattern is no mistake. */
MUST_CHECK int delta_check_hits(const struct delta_pick *pick,
				const struct delta_result *result,
				const char *name, struct output *out,
				struct failure *failure);

/* The changes taken, at most `told` of them (without -v), and how many were
 * left out and why. */
void delta_print(struct output *out, const struct delta_result *result,
		 size_t told);
/* The same as members of a document: "changes", "added", ... */
void delta_print_json(json_t *json, const struct delta_result *result);

#endif

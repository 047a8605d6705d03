/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_plan: which requests make a host what a file says (apply_file.h): the
 * file beside what is there.  Everything that can be known beforehand is
 * refused here, with the file's line, before anything is changed.
 */
#ifndef ADMIN_APPLY_PLAN_H
#define ADMIN_APPLY_PLAN_H

#include "admin/apply_file.h"
#include "admin/cmd.h"

enum { APPLY_TEXT_MAX = 512, APPLY_QUERY_MAX = 12 };

#define APPLY_ACCESS_PATH "/v1/guests/access/all"

/* What is done one after the other. */
enum apply_step {
	STEP_UPSTREAM,
	STEP_ENTITLE,
	STEP_TENANT,
	STEP_ASSIGN,
	STEP_REMOVE_GUEST,
	STEP_ACCESS, /* all of it is one request: guests may change places */
	STEP_GUEST,
	STEP_REMOVE_UPSTREAM,
	STEPS,
};

/* One request (but of STEP_ACCESS), and how it is told.  What it asks for is
 * borrowed from the file and the documents of the plan. */
struct apply_change {
	enum apply_step step;
	char sign;  /* + ~ - */
	char *text; /* owns; "tenant red  quota 2G" */
	const char *path;
	struct client_query query[APPLY_QUERY_MAX];
	char *body; /* owns; NULL: none */
	bool is_long;
};

struct apply {
	struct cli *cli;
	struct apply_file file;
	const char *name;                     /* of the file */
	json_t *tenants, *guests, *upstreams; /* owns; documents */
	struct apply_change *change;          /* owns; as they were found */
	unsigned int count;
	json_t *wishes; /* owns; of all guests that change, for the check */
	json_t *access; /* owns; of STEP_ACCESS, the body of its request */
};

/* Read the host and list the changes; with `prune` also what goes because the
 * file does not name it.  The file is parsed already.  -errno, said. */
MUST_CHECK int apply_plan(struct apply *apply, bool prune);
void apply_clear(struct apply *apply);

/* A row of a listing; NULL: there is none.  Borrows. */
const json_t *apply_row(const json_t *document, const char *list,
			const char *key, const char *name);
/* A value as the daemon has it, in the form that apply_file keeps; of a key of
 * tenants, guests or upstreams. */
void apply_now(const json_t *row, enum apply_key key, char *text, size_t cap);
/* How a value is told and written: "2G", "none", "any". */
void apply_shown(enum apply_key key, const char *value, char *text, size_t cap);

#endif

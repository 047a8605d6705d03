/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deltacheck: are the deltas of a store in order?  What a guest cannot see from
 * outside: records, names, inline data, presence, keys of what is to be reaped
 * and host files, compared with each other.
 *
 * Works on a copy of the state database (STORE.check, beside the store), so the
 * server's own recovery is not done for it.  The server is dead, or answers
 * nobody.
 */
#ifndef TESTS_LIB_DELTACHECK_H
#define TESTS_LIB_DELTACHECK_H

#include "depot/base.h"

struct deltacheck_file {
	uint64_t layer, data_id;
};

struct deltacheck {
	struct deltacheck_file *files; /* owns: named by records, sorted */
	size_t file_count;
	size_t record_count, reap_count; /* of the last check */
	char trouble[256];               /* what is wrong first, or "" */
};

/*
 * After a death.  Every record decodes; no host file belongs to two records, or
 * to one and to a reap key; each host file there is belongs to a record or a
 * reap key, and each record's is there; inline data and presence exist for
 * records of that kind only; each entry has its object, each object as many
 * entries as it says.  false: dc->trouble says what is not so.
 */
bool deltacheck_dead(struct deltacheck *dc, const char *store);
/* After the start that followed, before any change: the host files are exactly
 * those that records name, everything else has been reaped. */
bool deltacheck_started(struct deltacheck *dc, const char *store);
void deltacheck_free(struct deltacheck *dc);

#endif
